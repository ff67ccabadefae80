/* See tune.h. */
#include "rec/learn/tune.h"

#include "engine/base/check.h"
#include "engine/base/rng.h"

struct lesson {
    const struct rr_instructions *in;
    const struct rr_corpus *c; /* NULL: none */
    struct rr_corpus_pass windows;
    int *order; /* of the pass: below in->n an instruction, else a window */
    int n, at;
};

static int begin(void *arg, uint64_t seed, int pass, struct rr_error *err)
{
    struct lesson *l = arg;
    struct rr_rng rng;
    int rc = l->c ? rr_corpus_pass_open(&l->windows, l->c, seed, pass, err) : RR_OK;
    if (rc)
        return rc;
    const size_t n = l->in->n + (size_t)l->windows.n;
    l->n = l->at = 0;
    l->order = rr_alloc(n, sizeof *l->order);
    if (!l->order)
        return rr_fail_memory(err, "pass", n * sizeof *l->order);
    for (size_t i = 0; i < n; i++)
        if (i >= l->in->n || !l->in->all[i].valid)
            l->order[l->n++] = (int)i;
    rr_rng_stream(&rng, seed + 1, (uint64_t)pass);
    rr_rng_shuffle(&rng, l->order, (size_t)l->n);
    return RR_OK;
}

static void end(void *arg)
{
    struct lesson *l = arg;
    if (l->c)
        rr_corpus_pass_close(&l->windows);
    rr_free(l->order);
    l->order = NULL;
}

static void append(struct rr_batch *b, const struct rr_instructions *in,
                   const struct rr_instruction_tokens *x)
{
    const int *ids = in->ids + x->from;
    rr_batch_append(b, ids, x->n_question, false);
    rr_batch_append(b, ids + x->n_question, x->n - x->n_question, true);
    rr_batch_end(b);
}

static bool next(void *arg, struct rr_batch *b)
{
    struct lesson *l = arg;
    const int n_in = (int)l->in->n;
    rr_batch_clear(b);
    for (; l->at < l->n; l->at++) {
        const int i = l->order[l->at];
        const int rows = i < n_in ? l->in->all[i].n : rr_corpus_window_rows(&l->windows, i - n_in);
        if (b->n_rows + rows > b->cap_rows)
            break;
        if (i < n_in)
            append(b, l->in, &l->in->all[i]);
        else
            rr_corpus_window_append(&l->windows, i - n_in, b);
    }
    return b->n_seqs > 0;
}

static bool valid(void *arg, int *at, struct rr_batch *b)
{
    const struct lesson *l = arg;
    const int n_in = (int)l->in->n;
    rr_batch_clear(b);
    for (; *at < n_in; ++*at) {
        const struct rr_instruction_tokens *x = &l->in->all[*at];
        if (!x->valid)
            continue;
        if (b->n_rows + x->n > b->cap_rows)
            break;
        append(b, l->in, x);
    }
    if (b->n_seqs || !l->c)
        return b->n_seqs > 0;
    int user = *at - n_in;
    const bool more = rr_corpus_validation(l->c, &user, b);
    *at = n_in + user;
    return more;
}

/* Batches of a pass, about: the last sequence of a batch often does not fit. */
static int count_batches(const struct lesson *l, int rows)
{
    long long sum = 0, n = 0;
    for (size_t i = 0; i < l->in->n; i++)
        if (!l->in->all[i].valid) {
            sum += l->in->all[i].n;
            n++;
        }
    const int filled = rr_max_int(rows - (n ? (int)(sum / n / 2) : 0), rr_max_int(rows / 2, 1));
    return (int)(sum / filled + 1) + (l->c ? rr_corpus_batches(l->c, rows) : 0);
}

int rr_tune(struct rr_train_report *r, struct rr_lm *lm, struct rr_engine *e,
            const struct rr_instructions *in, const struct rr_corpus *rehearse,
            const struct rr_train_options *o, struct rr_error *err)
{
    struct lesson l = {.in = in, .c = rehearse};
    const int longest = rr_max_int(in->longest, rehearse ? rr_corpus_longest(rehearse) : 0);
    struct rr_train_options with = *o;
    with.rows = rr_max_int(o->rows ? o->rows : 4096, longest);
    const struct rr_lesson lesson = {.arg = &l,
                                     .n_batches = count_batches(&l, with.rows),
                                     .longest = longest,
                                     .begin = begin,
                                     .next = next,
                                     .end = end,
                                     .valid = valid};
    return rr_train(r, lm, e, &lesson, &with, err);
}
