/* See pretrain.h. */
#include "rec/learn/pretrain.h"

#include "engine/base/check.h"

struct lesson {
    const struct rr_corpus *c;
    struct rr_corpus_pass pass;
};

static int begin(void *arg, uint64_t seed, int pass, struct rr_error *err)
{
    struct lesson *l = arg;
    return rr_corpus_pass_open(&l->pass, l->c, seed, pass, err);
}

static bool next(void *arg, struct rr_batch *b)
{
    struct lesson *l = arg;
    return rr_corpus_pass_next(&l->pass, b);
}

static void end(void *arg)
{
    struct lesson *l = arg;
    rr_corpus_pass_close(&l->pass);
}

static bool valid(void *arg, int *at, struct rr_batch *b)
{
    const struct lesson *l = arg;
    return rr_corpus_validation(l->c, at, b);
}

int rr_pretrain(struct rr_train_report *r, struct rr_lm *lm, struct rr_engine *e,
                const struct rr_corpus *c, const struct rr_train_options *o, struct rr_error *err)
{
    struct lesson l = {.c = c};
    struct rr_train_options with = *o;
    with.rows = rr_max_int(o->rows ? o->rows : 4096, rr_corpus_longest(c));
    const struct rr_lesson lesson = {.arg = &l,
                                     .n_batches = rr_corpus_batches(c, with.rows),
                                     .longest = rr_corpus_longest(c),
                                     .begin = begin,
                                     .next = next,
                                     .end = end,
                                     .valid = valid};
    return rr_train(r, lm, e, &lesson, &with, err);
}
