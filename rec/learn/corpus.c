/* See corpus.h. A title's tokens do not depend on its neighbours (words end at blanks), so each is
 * encoded once. */
#include "rec/learn/corpus.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/check.h"
#include "rec/data/ids.h"
#include "rec/learn/wording.h"
#include "rec/prompt/prompt.h"

/* ---- vocabulary ---------------------------------------------------------------------------------
 */

#define FEWEST_MERGES 384 /* pieces that are no whole titles, at least; and a quarter of all */

/* A title as an element of a list: a blank stands before it when it is encoded. */
static void spell(struct rr_buf *out, const char *title)
{
    rr_prompt_add_title(out, title);
    rr_buf_puts(out, ",");
}

struct liked {
    int item, count;
};

static int most_liked(const void *a, const void *b)
{
    const struct liked *x = a, *y = b;
    return x->count != y->count ? (x->count < y->count ? 1 : -1)
                                : (x->item > y->item) - (x->item < y->item);
}

/* The most liked titles, as many as leave room in a vocabulary of `size`; distinct. */
static int choose_whole(struct rr_bpe_text *out, size_t *n, struct rr_arena *arena,
                        const struct rr_split *s, int size, struct rr_error *err)
{
    const struct rr_dataset *d = s->data;
    const int merges = rr_max_int(FEWEST_MERGES, size / 4);
    const size_t room = size > merges ? (size_t)(size - merges) : 0;
    struct liked *order = rr_alloc((size_t)d->n_items, sizeof *order);
    struct rr_ids seen = {.arena = arena};
    struct rr_buf text = {0};
    bool good = order != NULL;
    *n = 0;
    for (int i = 0; good && i < d->n_items; i++)
        order[i] = (struct liked){i, s->train_count[i]};
    if (good)
        qsort(order, (size_t)d->n_items, sizeof *order, most_liked);
    for (int i = 0; good && i < d->n_items && *n < room && order[i].count; i++) {
        rr_buf_clear(&text);
        rr_prompt_add_title(&text, d->titles[order[i].item]);
        const int at = text.failed ? -1 : rr_ids_add(&seen, text.data, text.n);
        good = at >= 0;
        if (good && (size_t)at == *n)
            out[(*n)++] = (struct rr_bpe_text){.s = seen.text[at], .n = text.n};
    }
    rr_ids_free(&seen);
    rr_free(order);
    rr_buf_free(&text);
    return good ? RR_OK : rr_fail_memory(err, "titles", *n * sizeof *out);
}

int rr_corpus_vocabulary(struct rr_vocab *v, struct rr_arena *arena, const struct rr_split *split,
                         int size, bool whole_titles, struct rr_error *err)
{
    const struct rr_dataset *d = split->data;
    const size_t n = (size_t)d->n_items + 1 + RR_N_TASKS;
    struct rr_bpe_text *texts = rr_arena_alloc(arena, n, sizeof *texts);
    struct rr_buf text = {0};
    size_t k = 0;
    bool room = texts != NULL;
    for (int i = 0; room && i < d->n_items; i++) {
        rr_buf_clear(&text);
        spell(&text, d->titles[i]);
        const char *copy = text.failed ? NULL : rr_arena_copy(arena, text.data, text.n);
        room = copy != NULL;
        texts[k++] = (struct rr_bpe_text){copy, text.n, 1 + split->train_count[i]};
    }
    rr_buf_clear(&text);
    rr_prompt_likes_begin(&text, d->nouns);
    const char *head = room && !text.failed ? rr_arena_copy(arena, text.data, text.n) : NULL;
    if (head)
        texts[k++] = (struct rr_bpe_text){head, text.n, 2};
    for (int t = 0; head && t < RR_N_TASKS; t++) {
        const char *wording = rr_learn_wording((enum rr_task)t);
        texts[k++] = (struct rr_bpe_text){wording, strlen(wording), 2};
    }
    rr_buf_free(&text);
    if (!head)
        return rr_fail_memory(err, "titles", n * sizeof *texts);
    struct rr_bpe_options o = {.size = size};
    struct rr_bpe_text *whole = rr_arena_alloc(arena, n, sizeof *whole);
    int rc = whole ? RR_OK : rr_fail_memory(err, "titles", n * sizeof *whole);
    if (!rc && whole_titles)
        rc = choose_whole(whole, &o.n_user, arena, split, size, err);
    o.user = whole;
    o.size -= (int)o.n_user;
    return rc ? rc : rr_bpe_train(v, arena, texts, k, &o, err);
}

/* ---- tokens -------------------------------------------------------------------------------------
 */

static int encode_titles(struct rr_corpus *c, const struct rr_tokenizer *t, struct rr_error *err)
{
    const struct rr_dataset *d = c->split->data;
    struct rr_encoding e = {0};
    struct rr_buf text = {0};
    size_t n = 0, cap = 0;
    int rc = RR_OK;
    for (int i = 0; i < d->n_items && !rc; i++) {
        rr_buf_clear(&text);
        spell(&text, d->titles[i]);
        rc = text.failed ? rr_fail_memory(err, "titles", text.n)
                         : rr_tokenizer_encode(t, &e, text.data, text.n, err);
        if (!rc && n + e.n > INT_MAX)
            rc = rr_fail(err, RR_ERR_DATA, "TITLES", RR_AT_FILE(d->path),
                         "its titles have more than %d tokens", INT_MAX);
        if (!rc && !rr_grow(&c->ids, &cap, n + e.n, sizeof *c->ids))
            rc = rr_fail_memory(err, "titles", n * sizeof *c->ids);
        if (rc)
            break;
        rr_copy(c->ids + n, e.ids, e.n * sizeof *c->ids);
        c->start[i] = (int)n;
        n += e.n;
        c->start[i + 1] = (int)n;
        c->longest = rr_max_int(c->longest, (int)e.n);
    }
    rr_encoding_free(&e);
    rr_buf_free(&text);
    return rc;
}

static int encode_head(struct rr_corpus *c, const struct rr_tokenizer *t, struct rr_error *err)
{
    struct rr_encoding e = {0};
    struct rr_buf text = {0};
    const int bos = rr_tokenizer_bos(t);
    rr_prompt_likes_begin(&text, c->split->data->nouns);
    int rc = text.failed ? rr_fail_memory(err, "titles", text.n)
                         : rr_tokenizer_encode(t, &e, text.data, text.n, err);
    if (!rc) {
        c->head = rr_alloc(e.n + 1, sizeof *c->head);
        if (!c->head)
            rc = rr_fail_memory(err, "titles", e.n);
    }
    if (!rc) {
        if (bos >= 0)
            c->head[c->n_head++] = bos;
        rr_copy(c->head + c->n_head, e.ids, e.n * sizeof *e.ids);
        c->n_head += (int)e.n;
    }
    rr_encoding_free(&e);
    rr_buf_free(&text);
    return rc;
}

int rr_corpus_make(struct rr_corpus *c, const struct rr_split *split, const struct rr_tokenizer *t,
                   int window, struct rr_error *err)
{
    *c = (struct rr_corpus){.split = split, .window = window};
    if (window < 2 || window > 1000)
        return rr_fail(err, RR_ERR_USAGE, "WINDOW", RR_NOWHERE,
                       "windows of %d titles; expected 2 to 1000", window);
    c->start = rr_zalloc((size_t)split->data->n_items + 1, sizeof *c->start);
    int rc = c->start ? encode_titles(c, t, err) : rr_fail_memory(err, "titles", 0);
    if (!rc)
        rc = encode_head(c, t, err);
    if (rc)
        rr_corpus_free(c);
    return rc;
}

void rr_corpus_free(struct rr_corpus *c)
{
    rr_free(c->ids);
    rr_free(c->start);
    rr_free(c->head);
    *c = (struct rr_corpus){0};
}

/* ---- batches ------------------------------------------------------------------------------------
 */

int rr_corpus_longest(const struct rr_corpus *c)
{
    return c->n_head + c->window * c->longest;
}

static int title_length(const struct rr_corpus *c, int item)
{
    return c->start[item + 1] - c->start[item];
}

static void append_title(struct rr_batch *b, const struct rr_corpus *c, int item, bool learn)
{
    rr_batch_append(b, c->ids + c->start[item], title_length(c, item), learn);
}

/* ---- passes -------------------------------------------------------------------------------------
 */

struct rr_corpus_window {
    size_t from;
    int n, rows;   /* rows: of all n titles */
    uint64_t seed; /* of what is left out of it */
};

static int user_windows(const struct rr_corpus *c, int user)
{
    const size_t n = c->split->train_start[user + 1] - c->split->train_start[user];
    return n < 2 ? 0 : (int)((n + (size_t)c->window - 1) / (size_t)c->window);
}

int rr_corpus_pass_open(struct rr_corpus_pass *p, const struct rr_corpus *c, uint64_t seed,
                        int pass, struct rr_error *err)
{
    const struct rr_split *s = c->split;
    struct rr_rng rng;
    int n = 0, *order = NULL;
    for (int u = 0; u < s->data->n_users; u++)
        n += user_windows(c, u);
    *p = (struct rr_corpus_pass){.c = c, .n = n};
    struct rr_corpus_window *made = rr_alloc((size_t)n, sizeof *made);
    order = rr_alloc((size_t)n, sizeof *order);
    p->windows = rr_alloc((size_t)n, sizeof *p->windows);
    if (!made || !order || !p->windows) {
        rr_free(made);
        rr_free(order);
        rr_corpus_pass_close(p);
        return rr_fail_memory(err, "windows", (size_t)n * sizeof *made);
    }
    rr_rng_stream(&rng, seed, (uint64_t)pass);
    int at = 0;
    for (int u = 0; u < s->data->n_users; u++) {
        const size_t begin = s->train_start[u], likes = s->train_start[u + 1] - begin;
        for (int k = user_windows(c, u); k > 0; k--) {
            struct rr_corpus_window *w = &made[at];
            w->n = likes < (size_t)c->window ? (int)likes : c->window;
            w->from = begin + (size_t)rr_rng_below(&rng, likes - (size_t)w->n + 1);
            w->rows = c->n_head;
            for (int i = 0; i < w->n; i++)
                w->rows += title_length(c, s->train[w->from + (size_t)i].item);
            w->seed = rr_rng_u64(&rng);
            order[at] = at;
            at++;
        }
    }
    rr_rng_shuffle(&rng, order, (size_t)n);
    for (int i = 0; i < n; i++)
        p->windows[i] = made[order[i]];
    rr_free(made);
    rr_free(order);
    return RR_OK;
}

int rr_corpus_window_rows(const struct rr_corpus_pass *p, int i)
{
    return p->windows[i].rows;
}

void rr_corpus_window_append(const struct rr_corpus_pass *p, int i, struct rr_batch *b)
{
    const struct rr_corpus *c = p->c;
    const struct rr_corpus_window *w = &p->windows[i];
    struct rr_rng rng;
    int order[1000], n = 0;
    rr_rng_seed(&rng, w->seed);
    for (int k = 0; k < w->n; k++)
        if (rr_rng_unit(&rng) >= c->skip || (n < 2 && w->n - k <= 2 - n))
            order[n++] = k;
    if (rr_rng_unit(&rng) < c->stir)
        rr_rng_shuffle(&rng, order, (size_t)n);
    rr_batch_append(b, c->head, c->n_head, false);
    for (int k = 0; k < n; k++)
        append_title(b, c, c->split->train[w->from + (size_t)order[k]].item, true);
    rr_batch_end(b);
}

bool rr_corpus_pass_next(struct rr_corpus_pass *p, struct rr_batch *b)
{
    rr_batch_clear(b);
    for (; p->at < p->n && b->n_rows + p->windows[p->at].rows <= b->cap_rows; p->at++)
        rr_corpus_window_append(p, p->at, b);
    return b->n_seqs > 0;
}

void rr_corpus_pass_close(struct rr_corpus_pass *p)
{
    rr_free(p->windows);
    *p = (struct rr_corpus_pass){0};
}

int rr_corpus_batches(const struct rr_corpus *c, int cap_rows)
{
    const struct rr_split *s = c->split;
    long long rows = 0;
    for (int u = 0; u < s->data->n_users; u++) {
        const int windows = user_windows(c, u);
        long long titles = 0;
        for (size_t i = s->train_start[u]; i < s->train_start[u + 1]; i++)
            titles += title_length(c, s->train[i].item);
        titles = (long long)((double)titles * (1 - c->skip));
        /* The windows of a user hold as many titles as a user's likes, rounded up to windows. */
        const long long likes = (long long)(s->train_start[u + 1] - s->train_start[u]);
        if (windows)
            rows +=
                windows * c->n_head + titles * windows * rr_min_int(c->window, (int)likes) / likes;
    }
    /* What of a batch is filled: the next window often does not fit. */
    const int filled = rr_max_int(cap_rows - c->window * 4, rr_max_int(cap_rows / 2, 1));
    return (int)(rows / filled + 1);
}

bool rr_corpus_validation(const struct rr_corpus *c, int *user, struct rr_batch *b)
{
    const struct rr_split *s = c->split;
    rr_batch_clear(b);
    for (; *user < s->data->n_users; ++*user) {
        const int item = s->valid[*user].item;
        const size_t begin = s->train_start[*user], end = s->train_start[*user + 1];
        size_t from = end - begin > (size_t)c->window - 1 ? end - (size_t)c->window + 1 : begin;
        int rows = c->n_head;
        if (item < 0 || begin == end)
            continue;
        for (size_t i = from; i < end; i++)
            rows += title_length(c, s->train[i].item);
        rows += title_length(c, item);
        if (b->n_rows + rows > b->cap_rows)
            break;
        rr_batch_append(b, c->head, c->n_head, false);
        for (size_t i = from; i < end; i++)
            append_title(b, c, s->train[i].item, false);
        append_title(b, c, item, true);
        rr_batch_end(b);
    }
    return b->n_seqs > 0;
}
