/* See trainer.h. The order of batches and the dropout of a step follow from the seed and its
 * number, so a checkpoint holds numbers only. */
#include "rec/learn/trainer.h"

#include <math.h>
#include "engine/base/check.h"
#include "rec/learn/checkpoint.h"

#define SAVE_EVERY 30.0 /* seconds */
#define FLOOR_RATE 0.02 /* of the peak, at the end */

struct trainer {
    struct rr_lm *lm;
    struct rr_engine *engine;
    const struct rr_lesson *lesson;
    struct rr_train_options o;
    struct rr_lm_state *state;
    struct rr_adamw adam;
    struct rr_batch batch;
    float *best;
    struct rr_train_state at;
    bool has_valid, saved; /* saved: there is a checkpoint of this run */
    long long steps_planned;
    double last_save;
    struct rr_error *err;
};

static double now(const struct trainer *t)
{
    return t->o.clock ? t->o.clock() : 0;
}

/* The arrays that a checkpoint holds. */
static struct rr_checkpoint checkpoint_of(struct trainer *t)
{
    return (struct rr_checkpoint){.path = t->o.checkpoint,
                                  .identity = t->o.identity,
                                  .state = &t->at,
                                  .arrays = {t->lm->values, t->adam.m, t->adam.v, t->best},
                                  .n = t->lm->n_values};
}

static int save(struct trainer *t)
{
    const struct rr_checkpoint c = checkpoint_of(t);
    t->last_save = now(t);
    t->at.step = t->adam.step;
    int rc = t->o.checkpoint ? rr_checkpoint_save(&c, t->err) : RR_OK;
    t->saved = t->saved || (!rc && t->o.checkpoint);
    return rc;
}

static int resume(struct trainer *t)
{
    struct rr_checkpoint c = checkpoint_of(t);
    int rc = t->o.checkpoint ? rr_checkpoint_load(&c, t->err) : RR_OK;
    t->adam.step = t->at.step;
    t->saved = t->at.step > 0;
    return rc;
}

/* The validation loss of a sequence, on average; NaN where there is none. */
static double validate(struct trainer *t)
{
    double sum = 0;
    int at = 0, n;
    long long sequences = 0;
    while (t->lesson->valid(t->lesson->arg, &at, &t->batch)) {
        const struct rr_lm_batch b = rr_batch_view(&t->batch);
        sum += rr_lm_run(t->lm, t->state, &b, false, 1, 0, &n);
        sequences += t->batch.n_seqs;
    }
    t->has_valid = sequences > 0;
    return sequences ? sum / (double)sequences : NAN;
}

static int diverged(struct trainer *t, const char *what, long long step)
{
    const bool kept = t->o.checkpoint && t->saved;
    memcpy(t->lm->values, t->best, t->lm->n_values * sizeof *t->best);
    return rr_fail(t->err, RR_ERR_DATA, "DIVERGED", RR_NOWHERE,
                   "the %s of step %lld is not finite: %s%s%s%s", what, step,
                   step > 1 ? "lower the learning rate"
                            : "the weights are damaged, or the learning rate is too high",
                   kept ? ", and remove " : "", kept ? t->o.checkpoint : "",
                   kept ? ", which has the last good weights" : "");
}

static double rate_at(const struct trainer *t, long long step)
{
    return rr_cosine_rate(step, t->steps_planned, t->o.warmup, t->o.rate, FLOOR_RATE);
}

static int one_step(struct trainer *t)
{
    const struct rr_lm_batch b = rr_batch_view(&t->batch);
    const long long step = t->adam.step + 1;
    int n;
    const double loss = rr_lm_run(t->lm, t->state, &b, true, 1.0 / t->batch.n_targets,
                                  t->o.seed * 1000003u + (uint64_t)step, &n);
    if (!isfinite(loss))
        return diverged(t, "loss", step);
    if (!isfinite(rr_adamw_step(&t->adam, t->engine, t->lm, rate_at(t, step))))
        return diverged(t, "gradient", step);
    t->at.loss += loss;
    t->at.targets += t->batch.n_targets;
    t->at.tokens += t->batch.n_rows;
    t->at.batches_done++;
    return RR_OK;
}

/* The step's report to the caller, who may stop; now and then it is saved. */
static int after_step(struct trainer *t)
{
    if (t->o.progress && t->o.progress(t->o.progress_arg, t->adam.step, t->steps_planned)) {
        int rc = save(t);
        return rc ? rc
                  : rr_fail(t->err, RR_ERR_INTERRUPTED, "INTERRUPTED", RR_NOWHERE,
                            "stopped at step %lld of %lld%s", t->adam.step, t->steps_planned,
                            t->o.checkpoint ? "; the same command goes on from there" : "");
    }
    return t->o.clock && now(t) - t->last_save > SAVE_EVERY ? save(t) : RR_OK;
}

/* Whether a pass improved validation; the best weights are kept. Without validation the last pass
 * is the one to keep. */
static bool keep_best(struct trainer *t, double valid)
{
    if (t->has_valid && isfinite(t->at.best_loss) && !(valid < t->at.best_loss))
        return false;
    t->at.best_loss = valid;
    t->at.best_pass = t->at.passes_done;
    memcpy(t->best, t->lm->values, t->lm->n_values * sizeof *t->best);
    return true;
}

/* What is left of a pass, which a checkpoint may have begun. */
static int run_batches(struct trainer *t, long long *rows)
{
    const struct rr_lesson *l = t->lesson;
    int64_t at = 0;
    int rc = l->begin(l->arg, t->o.seed, (int)t->at.passes_done, t->err);
    while (!rc && l->next(l->arg, &t->batch)) {
        if (at++ < t->at.batches_done)
            continue;
        rc = one_step(t);
        *rows += t->batch.n_rows;
        if (!rc)
            rc = after_step(t);
    }
    l->end(l->arg);
    if (!rc && !at)
        rc = rr_fail(
            t->err, RR_ERR_DATA, "NOTHING_TO_LEARN", RR_NOWHERE,
            "nothing to learn from: there is no sequence for training (of a data set, a user "
            "needs three likes; see: recrank data)");
    return rc;
}

static void tell(struct trainer *t, double valid, bool best, double tokens_per_second)
{
    const struct rr_train_log l = {.pass = (int)t->at.passes_done,
                                   .passes = t->o.passes,
                                   .step = t->adam.step,
                                   .steps = t->steps_planned,
                                   .loss = t->at.targets ? t->at.loss / (double)t->at.targets : NAN,
                                   .valid_loss = valid,
                                   .rate = rate_at(t, t->adam.step),
                                   .tokens_per_second = tokens_per_second,
                                   .best = best};
    if (t->o.log)
        t->o.log(t->o.log_arg, &l);
}

static int one_pass(struct trainer *t)
{
    const double start = now(t);
    long long rows = 0;
    int rc = run_batches(t, &rows);
    if (rc)
        return rc;
    const double seconds = now(t) - start, valid = validate(t);
    t->at.passes_done++;
    if (t->has_valid && !isfinite(valid))
        return diverged(t, "validation loss", t->adam.step);
    tell(t, valid, keep_best(t, valid), seconds > 0 ? (double)rows / seconds : 0);
    t->at.batches_done = t->at.targets = 0;
    t->at.loss = 0;
    return save(t);
}

static int open_trainer(struct trainer *t)
{
    const struct rr_train_options *o = &t->o;
    const size_t n = t->lm->n_values;
    int rc = rr_lm_state_open(&t->state, t->engine, t->lm, o->rows, t->lesson->longest, t->err);
    if (!rc)
        rc = rr_adamw_open(&t->adam, n, t->err);
    if (!rc)
        rc = rr_batch_open(&t->batch, o->rows, t->err);
    t->best = rc ? NULL : rr_alloc(n, sizeof *t->best);
    if (!rc && !t->best)
        rc = rr_fail_memory(t->err, "weights", n * sizeof *t->best);
    if (rc)
        return rc;
    t->adam.decay = o->decay;
    memcpy(t->best, t->lm->values, n * sizeof *t->best);
    t->last_save = now(t);
    rc = resume(t);
    if (!rc && o->judge_start && !t->adam.step) {
        const double valid = validate(t);
        if (t->has_valid && !isfinite(valid))
            return rr_fail(t->err, RR_ERR_DATA, "NONFINITE_LOGITS", RR_NOWHERE,
                           "the loss before the first step is not finite; the weights are damaged");
        if (t->has_valid)
            tell(t, valid, keep_best(t, valid), 0);
    }
    return rc;
}

int rr_train(struct rr_train_report *r, struct rr_lm *lm, struct rr_engine *e,
             const struct rr_lesson *lesson, const struct rr_train_options *o, struct rr_error *err)
{
    struct trainer t = {.lm = lm, .engine = e, .lesson = lesson, .o = *o, .err = err};
    struct rr_checkpoint_lock lock;
    *r = (struct rr_train_report){0};
    t.at.best_loss = NAN;
    t.o.rows = rr_max_int(o->rows ? o->rows : 4096, lesson->longest);
    t.o.rate = o->rate > 0 ? o->rate : 2e-3;
    t.o.warmup = o->warmup ? o->warmup : 100;
    t.steps_planned = (long long)lesson->n_batches * o->passes;
    if (lesson->longest > lm->h.n_context)
        return rr_fail(err, RR_ERR_USAGE, "CONTEXT", RR_NOWHERE,
                       "the longest sequence takes %d tokens; the context is %d", lesson->longest,
                       lm->h.n_context);
    int rc = rr_checkpoint_lock(&lock, o->checkpoint, err);
    if (!rc)
        rc = open_trainer(&t);
    while (!rc && t.at.passes_done < t.o.passes)
        rc = one_pass(&t);
    if (!rc)
        memcpy(lm->values, t.best, lm->n_values * sizeof *t.best);
    rr_checkpoint_unlock(&lock);
    *r = (struct rr_train_report){(int)t.at.best_pass, t.at.best_loss, t.adam.step, t.at.tokens};
    rr_free(t.best);
    rr_batch_close(&t.batch);
    rr_adamw_close(&t.adam);
    rr_lm_state_close(t.state);
    return rc;
}
