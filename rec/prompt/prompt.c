/* See prompt.h. */
#include "rec/prompt/prompt.h"

#include <math.h>
#include <stdlib.h>
#include "engine/base/check.h"
#include "engine/base/number.h"
#include "engine/base/rng.h"

struct rr_prompt_style rr_prompt_style_for(const struct rr_dataset *d, uint64_t seed)
{
    return (struct rr_prompt_style){.noun = d->noun,
                                    .nouns = d->nouns,
                                    .levels = (int)d->rating_max,
                                    .has_thresholds = true,
                                    .like = d->like,
                                    .dislike = d->dislike,
                                    .seed = seed};
}

int rr_prompter_init(struct rr_prompter *p, const struct rr_prompt_style *style,
                     struct rr_error *err)
{
    *p = (struct rr_prompter){.style = *style};
    struct rr_prompt_style *s = &p->style;
    s->noun = s->noun ? s->noun : "movie";
    s->nouns = s->nouns ? s->nouns : style->noun ? "items" : "movies";
    s->levels = s->levels ? s->levels : 5;
    if (!s->has_thresholds) {
        s->like = 4;
        s->dislike = 2;
    }
    s->max_rated = s->max_rated ? s->max_rated : 50;
    s->max_liked = s->max_liked ? s->max_liked : 50;
    s->max_disliked = s->max_disliked ? s->max_disliked : 10;
    for (int t = 0; t < RR_N_TASKS; t++) {
        if (s->templates[t])
            continue;
        const char *text = rr_template_text((enum rr_task)t);
        int rc = rr_template_parse(&p->compiled[t], (enum rr_task)t, text, strlen(text),
                                   "compiled template", err);
        if (rc)
            return rc;
        s->templates[t] = &p->compiled[t];
    }
    return RR_OK;
}

void rr_prompter_release(struct rr_prompter *p)
{
    for (int t = 0; t < RR_N_TASKS; t++)
        rr_template_free(&p->compiled[t]);
    rr_free(p->entries);
    *p = (struct rr_prompter){0};
}

void rr_prompt_free(struct rr_prompt *p)
{
    rr_buf_free(&p->text);
    *p = (struct rr_prompt){0};
}

void rr_prompt_add_title(struct rr_buf *out, const char *title)
{
    size_t n = strlen(title);
    const bool cut = n > RR_TITLE_BYTES;
    if (cut) /* between two characters */
        for (n = RR_TITLE_BYTES; n && ((unsigned char)title[n] & 0xC0) == 0x80; n--)
            ;
    rr_buf_add(out, "\"", 1);
    for (const char *p = title; p < title + n; p++) {
        const char c = (unsigned char)*p < 0x20 || *p == 0x7f ? ' ' : *p == '"' ? '\'' : *p;
        rr_buf_add(out, &c, 1);
    }
    rr_buf_puts(out, cut ? "...\"" : "\"");
}

void rr_prompt_likes_begin(struct rr_buf *out, const char *nouns)
{
    rr_buf_printf(out, "User's liked %s:", nouns);
}

/* Streams of one seed that must not meet: histories, lists and pairs of every request. */
enum stream { STREAM_HISTORY = 1, STREAM_LIST = 2, STREAM_PAIRS = 3 };

static void start_stream(struct rr_rng *rng, uint64_t seed, uint64_t request, enum stream s, int i)
{
    struct rr_rng mix;
    rr_rng_stream(&mix, seed, request);
    rr_rng_stream(rng, rr_rng_u64(&mix), (uint64_t)s << 32 | (uint32_t)i);
}

void rr_prompt_list_order(int *shown, int n, const struct rr_prompt_style *style, uint64_t request,
                          int list)
{
    struct rr_rng rng;
    for (int i = 0; i < n; i++)
        shown[i] = i;
    if (style->no_shift || style->plain_lists)
        return;
    start_stream(&rng, style->seed, request, STREAM_LIST, list);
    rr_rng_shuffle(&rng, shown, (size_t)n);
}

int rr_prompt_pairs(int (*pairs)[2], int *pi, int n, uint64_t seed, uint64_t request, int round)
{
    struct rr_rng rng;
    for (int i = 0; i < n; i++)
        pi[i] = i;
    start_stream(&rng, seed, request, STREAM_PAIRS, round);
    rr_rng_shuffle(&rng, pi, (size_t)n);
    for (int t = 0; t < n / 2; t++) {
        pairs[t][0] = pi[t];
        pairs[t][1] = pi[t + n / 2];
    }
    return n / 2;
}

/* An entry of the history in the order in which it is shown. */
struct rr_shown_entry {
    uint64_t key;
    int entry;
};

static int by_key(const void *a, const void *b)
{
    const struct rr_shown_entry *x = a, *y = b;
    if (x->key != y->key)
        return x->key > y->key ? 1 : -1;
    return (x->entry > y->entry) - (x->entry < y->entry);
}

/* What one question needs while its sections are rendered. */
struct rendering {
    struct rr_prompter *p;
    const struct rr_request *q;
    const struct rr_question *question;
    bool failed;
};

static bool within(const struct rr_rated *r, float low, float high)
{
    return r->rating >= low && r->rating <= high;
}

/* The newest `most` entries with a rating in [low, high], in the order shown; how many. Shuffled,
 * an entry's place depends on its age alone, so that cutting old ones does not stir the rest. */
static int choose_entries(struct rendering *r, float low, float high, int most)
{
    const struct rr_request *q = r->q;
    struct rr_prompter *p = r->p;
    const int from = r->question->from;
    int n = 0;
    for (int i = q->n_history - 1; i >= from && n < most; i--) {
        if (!within(&q->history[i], low, high))
            continue;
        if (!rr_grow(&p->entries, &p->cap_entries, (size_t)n + 1, sizeof *p->entries)) {
            r->failed = true;
            return 0;
        }
        struct rr_rng rng;
        if (p->style.shuffle_history)
            start_stream(&rng, p->style.seed, q->id, STREAM_HISTORY, q->n_history - i);
        p->entries[n++] =
            (struct rr_shown_entry){p->style.shuffle_history ? rr_rng_u64(&rng) : (uint64_t)i, i};
    }
    if (n)
        qsort(p->entries, (size_t)n, sizeof *p->entries, by_key);
    return n;
}

static void add_rated(struct rendering *r, struct rr_buf *out)
{
    char number[32];
    const int n = choose_entries(r, -INFINITY, INFINITY, r->p->style.max_rated);
    for (int i = 0; i < n; i++) {
        const struct rr_rated *h = &r->q->history[r->p->entries[i].entry];
        rr_buf_puts(out, i ? "\n" : "");
        rr_prompt_add_title(out, h->title);
        rr_buf_puts(out, ": ");
        rr_buf_puts(out, rr_format_short(number, (double)h->rating));
    }
    if (!n)
        rr_buf_puts(out, "None.");
}

static void add_titles(struct rendering *r, struct rr_buf *out, float low, float high, int most,
                       int fewest)
{
    const int n = choose_entries(r, low, high, most);
    if (n < fewest) {
        rr_buf_puts(out, "None.");
        return;
    }
    for (int i = 0; i < n; i++) {
        rr_buf_puts(out, i ? ", " : "");
        rr_prompt_add_title(out, r->q->history[r->p->entries[i].entry].title);
    }
}

static void add_candidates(struct rr_buf *out, const struct rr_request *q, const int *order, int n)
{
    for (int i = 0; i < n; i++) {
        rr_buf_puts(out, i ? ", " : "");
        rr_prompt_add_title(out, q->candidates[order ? order[i] : i].title);
    }
}

/* The conventional recommender's opinion: its rating, or its order, which is that of the
 * request's candidates. */
static bool add_hint(const struct rendering *r, struct rr_buf *out)
{
    const struct rr_question *qn = r->question;
    const struct rr_request *q = r->q;
    if (r->p->style.no_hints)
        return false;
    if (qn->task == RR_POINTWISE) {
        const float hint = q->candidates[qn->a].hint;
        if (isnan(hint))
            return false;
        char number[32];
        rr_buf_puts(out, rr_format_tenths(number, (double)hint));
        return true;
    }
    if (!q->order_is_hint)
        return false;
    if (qn->task == RR_PAIRWISE && r->p->style.templates[RR_PAIRWISE]->title_answer)
        rr_prompt_add_title(out, q->candidates[rr_min_int(qn->a, qn->b)].title);
    else if (qn->task == RR_PAIRWISE)
        rr_buf_puts(out, qn->a < qn->b ? "Yes." : "No.");
    else
        add_candidates(out, q, NULL, rr_min_int(RR_LIST_TOP, q->n_candidates));
    return true;
}

static bool slot_value(void *arg, enum rr_slot slot, struct rr_buf *out)
{
    struct rendering *r = arg;
    const struct rr_prompt_style *s = &r->p->style;
    const struct rr_question *qn = r->question;
    const struct rr_request *q = r->q;
    switch (slot) {
    case RR_SLOT_NOUN:
        rr_buf_puts(out, s->noun);
        break;
    case RR_SLOT_NOUNS:
        rr_buf_puts(out, s->nouns);
        break;
    case RR_SLOT_LEVELS:
        rr_buf_printf(out, "%d", s->levels);
        break;
    case RR_SLOT_RATED:
        add_rated(r, out);
        break;
    case RR_SLOT_LIKED:
        add_titles(r, out, s->like, INFINITY, s->max_liked, 1);
        break;
    case RR_SLOT_DISLIKED:
        add_titles(r, out, -INFINITY, s->dislike, s->max_disliked, RR_FEWEST_DISLIKED);
        break;
    case RR_SLOT_TITLE:
    case RR_SLOT_FIRST:
        rr_prompt_add_title(out, q->candidates[qn->a].title);
        break;
    case RR_SLOT_SECOND:
        rr_prompt_add_title(out, q->candidates[qn->b].title);
        break;
    case RR_SLOT_CANDIDATES:
        add_candidates(out, q, qn->shown, q->n_candidates);
        break;
    case RR_SLOT_N:
        rr_buf_printf(out, "%d", q->n_candidates);
        break;
    case RR_SLOT_TOP:
        rr_buf_printf(out, "%d", rr_min_int(RR_LIST_TOP, q->n_candidates));
        break;
    default:
        return add_hint(r, out);
    }
    return true;
}

int rr_prompt_make(struct rr_prompt *out, struct rr_prompter *p, const struct rr_request *q,
                   const struct rr_question *question, struct rr_error *err)
{
    struct rendering r = {p, q, question, false};
    const struct rr_template *t = p->style.templates[question->task];
    rr_buf_clear(&out->text);
    rr_template_render(&out->text, t, RR_SECTION_SYSTEM, slot_value, &r);
    out->system_end = out->text.n;
    if (out->system_end)
        rr_buf_puts(&out->text, "\n\n");
    out->user_begin = out->text.n;
    rr_template_render(&out->text, t, RR_SECTION_USER, slot_value, &r);
    out->user_end = out->text.n;
    rr_buf_puts(&out->text, "\n");
    rr_template_render(&out->text, t, RR_SECTION_ANSWER, slot_value, &r);
    return out->text.failed || r.failed ? rr_fail_memory(err, "prompt", out->text.n) : RR_OK;
}
