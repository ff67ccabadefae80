/* See pretrain.h. The order of windows and the dropout of a step follow from the seed and its
 * number, so a checkpoint holds numbers only: weights, moments, the best weights, and how far the
 * run was. */
#include "rec/learn/pretrain.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "engine/base/check.h"
#include "engine/base/file.h"
#include "engine/base/sha256.h"

#define MAGIC "RRTRAIN1"

struct trainer {
    struct rr_lm *lm;
    struct rr_engine *engine;
    const struct rr_corpus *c;
    struct rr_pretrain_options o;
    struct rr_pretrain_report *report;
    struct rr_lm_state *state;
    struct rr_adamw adam;
    struct rr_corpus_batch batch;
    float *best;
    int passes_done;
    bool has_valid;
    long long steps_planned;
    struct rr_error *err;
};

/* ---- checkpoints --------------------------------------------------------------------------------
 */

struct head {
    char magic[8];
    char identity[64]; /* sha256 of the options' text */
    double best_loss;
    int64_t n, passes_done, best_pass, step, tokens;
};

static void identify(const struct trainer *t, char hex[65])
{
    struct rr_sha256 sum;
    rr_sha256_init(&sum);
    rr_sha256_add(&sum, t->o.identity, strlen(t->o.identity));
    rr_sha256_hex(&sum, hex);
}

static int save(struct trainer *t)
{
    struct rr_out out;
    struct rr_sha256 sum;
    char hex[65];
    const size_t n = t->lm->n_values, bytes = n * sizeof(float);
    struct head h = {.best_loss = t->report->best_loss,
                     .n = (int64_t)n,
                     .passes_done = t->passes_done,
                     .best_pass = t->report->best_pass,
                     .step = t->adam.step,
                     .tokens = t->report->tokens};
    const void *const parts[] = {&h, t->lm->values, t->adam.m, t->adam.v, t->best};
    const size_t sizes[] = {sizeof h, bytes, bytes, bytes, bytes};
    memcpy(h.magic, MAGIC, 8);
    identify(t, hex);
    memcpy(h.identity, hex, 64);
    if (!t->o.checkpoint)
        return RR_OK;
    int rc = rr_out_open(&out, t->o.checkpoint, t->err);
    if (rc)
        return rc;
    rr_sha256_init(&sum);
    for (int i = 0; i < 5; i++) {
        rr_sha256_add(&sum, parts[i], sizes[i]);
        fwrite(parts[i], 1, sizes[i], out.f);
    }
    rr_sha256_hex(&sum, hex);
    fwrite(hex, 1, 64, out.f);
    return rr_out_commit(&out, t->err);
}

static int bad_checkpoint(const struct trainer *t, const char *what)
{
    return rr_fail(t->err, RR_ERR_DATA, "CHECKPOINT", RR_AT_FILE(t->o.checkpoint),
                   "%s; remove it to begin anew", what);
}

static int take_checkpoint(struct trainer *t, const struct rr_map *map)
{
    const size_t n = t->lm->n_values, bytes = n * sizeof(float);
    struct head h;
    struct rr_sha256 sum;
    char hex[65];
    if (map->size != sizeof h + 4 * bytes + 64 || memcmp(map->data, MAGIC, 8) != 0)
        return bad_checkpoint(t, "no checkpoint of this training");
    rr_sha256_init(&sum);
    rr_sha256_add(&sum, map->data, map->size - 64);
    rr_sha256_hex(&sum, hex);
    if (memcmp(hex, map->data + map->size - 64, 64) != 0)
        return bad_checkpoint(t, "its checksum differs: the file is damaged");
    memcpy(&h, map->data, sizeof h);
    identify(t, hex);
    if (memcmp(h.identity, hex, 64) != 0 || h.n != (int64_t)n)
        return bad_checkpoint(t, "it is of a training with other options or data");
    const unsigned char *p = map->data + sizeof h;
    float *const to[] = {t->lm->values, t->adam.m, t->adam.v, t->best};
    for (int i = 0; i < 4; i++, p += bytes)
        memcpy(to[i], p, bytes);
    t->passes_done = (int)h.passes_done;
    t->adam.step = h.step;
    t->report->best_loss = h.best_loss;
    t->report->best_pass = (int)h.best_pass;
    t->report->tokens = h.tokens;
    return RR_OK;
}

static int resume(struct trainer *t)
{
    struct rr_map map;
    if (!t->o.checkpoint || !rr_path_exists(t->o.checkpoint))
        return RR_OK;
    int rc = rr_map_open(&map, t->o.checkpoint, t->err);
    if (rc)
        return rc;
    rc = take_checkpoint(t, &map);
    rr_map_close(&map);
    return rc;
}

/* One process trains into a checkpoint at a time; a lock dies with its process. *fd -1: none. */
static int lock_checkpoint(struct trainer *t, int *fd, struct rr_buf *path)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    *fd = -1;
    if (!t->o.checkpoint)
        return RR_OK;
    rr_buf_printf(path, "%s.lock", t->o.checkpoint);
    if (path->failed)
        return rr_fail_memory(t->err, "file name", path->n);
    *fd = open(path->data, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (*fd < 0)
        return rr_fail(t->err, RR_ERR_OPEN, "CANNOT_WRITE", RR_AT_FILE(path->data),
                       "cannot create a file there: %s", strerror(errno));
    if (fcntl(*fd, F_SETLK, &lock) == 0)
        return RR_OK;
    close(*fd);
    *fd = -1;
    return rr_fail(t->err, RR_ERR_BUSY, "CHECKPOINT_BUSY", RR_AT_FILE(t->o.checkpoint),
                   "another process is training into it");
}

static void unlock_checkpoint(int fd, struct rr_buf *path)
{
    if (fd >= 0) {
        remove(path->data);
        close(fd);
    }
    rr_buf_free(path);
}

/* ---- passes -------------------------------------------------------------------------------------
 */

static struct rr_lm_batch as_batch(const struct rr_corpus_batch *b)
{
    return (struct rr_lm_batch){.tokens = b->tokens,
                                .targets = b->targets,
                                .starts = b->starts,
                                .n_rows = b->n_rows,
                                .n_seqs = b->n_seqs};
}

/* Minus the log-likelihood of a validation title, on average; NaN where there is none. */
static double validate(struct trainer *t)
{
    double sum = 0;
    int user = 0, n, titles = 0;
    while (rr_corpus_validation(t->c, &user, &t->batch)) {
        const struct rr_lm_batch b = as_batch(&t->batch);
        sum += rr_lm_run(t->lm, t->state, &b, false, 1, 0, &n);
        titles += t->batch.n_seqs;
    }
    t->has_valid = titles > 0;
    return titles ? sum / titles : NAN;
}

static int diverged(struct trainer *t, const char *what)
{
    memcpy(t->lm->values, t->best, t->lm->n_values * sizeof *t->best);
    return rr_fail(t->err, RR_ERR_DATA, "DIVERGED", RR_NOWHERE,
                   "the %s of step %lld is not finite: lower the learning rate%s%s%s", what,
                   t->adam.step + 1, t->o.checkpoint && t->passes_done ? ", and remove " : "",
                   t->o.checkpoint && t->passes_done ? t->o.checkpoint : "",
                   t->o.checkpoint && t->passes_done ? ", which has the last good weights" : "");
}

static int one_step(struct trainer *t, double *loss)
{
    const struct rr_lm_batch b = as_batch(&t->batch);
    const long long step = t->adam.step + 1;
    int n;
    *loss = rr_lm_run(t->lm, t->state, &b, true, 1.0 / t->batch.n_targets,
                      t->o.seed * 1000003u + (uint64_t)step, &n);
    if (!isfinite(*loss))
        return diverged(t, "loss");
    const double rate = rr_cosine_rate(step, t->steps_planned, t->o.warmup, t->o.rate, 0.02);
    if (!isfinite(rr_adamw_step(&t->adam, t->engine, t->lm, rate)))
        return diverged(t, "gradient");
    t->report->tokens += t->batch.n_rows;
    return RR_OK;
}

/* Whether a pass improved validation; the best weights are kept. Without validation items the last
 * pass is the one to keep. */
static bool keep_best(struct trainer *t, double valid)
{
    if (t->has_valid && t->report->best_pass && !(valid < t->report->best_loss))
        return false;
    t->report->best_loss = valid;
    t->report->best_pass = t->passes_done;
    memcpy(t->best, t->lm->values, t->lm->n_values * sizeof *t->best);
    return true;
}

static int one_pass(struct trainer *t)
{
    struct rr_corpus_pass p;
    double sum = 0, loss;
    long long tokens = 0, rows = 0;
    const double start = t->o.clock ? t->o.clock() : 0;
    int rc = rr_corpus_pass_open(&p, t->c, t->o.seed, t->passes_done, t->err);
    while (!rc && rr_corpus_pass_next(&p, &t->batch)) {
        rc = one_step(t, &loss);
        sum += rc ? 0 : loss;
        tokens += t->batch.n_targets;
        rows += t->batch.n_rows;
        if (!rc && t->o.progress &&
            t->o.progress(t->o.progress_arg, t->adam.step, t->steps_planned))
            rc = rr_fail(t->err, RR_ERR_INTERRUPTED, "INTERRUPTED", RR_NOWHERE,
                         "stopped at step %lld of %lld%s", t->adam.step, t->steps_planned,
                         t->o.checkpoint ? "; the same command goes on from the last pass" : "");
    }
    rr_corpus_pass_close(&p);
    if (!rc && !tokens)
        rc = rr_fail(t->err, RR_ERR_DATA, "CORPUS", RR_NOWHERE,
                     "nothing to learn from: no user has two likes for training");
    if (rc)
        return rc;
    const double seconds = (t->o.clock ? t->o.clock() : 0) - start, valid = validate(t);
    t->passes_done++;
    if (t->has_valid && !isfinite(valid))
        return diverged(t, "validation loss");
    const struct rr_pretrain_log l = {
        .pass = t->passes_done,
        .passes = t->o.passes,
        .step = t->adam.step,
        .steps = t->steps_planned,
        .loss = sum / (double)(tokens ? tokens : 1),
        .valid_loss = valid,
        .rate = rr_cosine_rate(t->adam.step, t->steps_planned, t->o.warmup, t->o.rate, 0.02),
        .tokens_per_second = seconds > 0 ? (double)rows / seconds : 0,
        .best = keep_best(t, valid)};
    if (t->o.log)
        t->o.log(t->o.log_arg, &l);
    return save(t);
}

static void set_options(struct trainer *t, const struct rr_pretrain_options *o)
{
    t->o = *o;
    t->o.passes = o->passes ? o->passes : 30;
    t->o.rows = o->rows ? o->rows : 4096;
    t->o.rate = o->rate > 0 ? o->rate : 2e-3;
    t->o.warmup = o->warmup ? o->warmup : 100;
    t->o.rows = rr_max_int(t->o.rows, t->c->n_head + t->c->window * t->c->longest);
    t->steps_planned = (long long)rr_corpus_batches(t->c, t->o.rows) * t->o.passes;
}

int rr_pretrain(struct rr_pretrain_report *r, struct rr_lm *lm, struct rr_engine *e,
                const struct rr_corpus *c, const struct rr_pretrain_options *o,
                struct rr_error *err)
{
    struct trainer t = {.lm = lm, .engine = e, .c = c, .report = r, .err = err};
    const int longest = c->n_head + c->window * c->longest;
    *r = (struct rr_pretrain_report){0};
    set_options(&t, o);
    const int rows = t.o.rows;
    if (longest > lm->h.n_context)
        return rr_fail(err, RR_ERR_USAGE, "CONTEXT", RR_NOWHERE,
                       "a window of %d titles may take %d tokens; the context is %d", c->window,
                       longest, lm->h.n_context);
    int lock;
    struct rr_buf lock_path = {0};
    int rc = lock_checkpoint(&t, &lock, &lock_path);
    if (!rc)
        rc = rr_lm_state_open(&t.state, e, lm, rows, longest, err);
    if (!rc)
        rc = rr_adamw_open(&t.adam, lm->n_values, err);
    if (!rc)
        rc = rr_corpus_batch_open(&t.batch, rows, err);
    t.best = rc ? NULL : rr_alloc(lm->n_values, sizeof *t.best);
    if (!rc && !t.best)
        rc = rr_fail_memory(err, "weights", lm->n_values * sizeof *t.best);
    if (!rc) {
        t.adam.decay = o->decay;
        memcpy(t.best, lm->values, lm->n_values * sizeof *t.best);
        rc = resume(&t);
    }
    while (!rc && t.passes_done < t.o.passes)
        rc = one_pass(&t);
    if (!rc) {
        memcpy(lm->values, t.best, lm->n_values * sizeof *t.best);
        if (t.o.checkpoint)
            remove(t.o.checkpoint);
    }
    unlock_checkpoint(lock, &lock_path);
    r->steps = t.adam.step;
    rr_free(t.best);
    rr_corpus_batch_close(&t.batch);
    rr_adamw_close(&t.adam);
    rr_lm_state_close(t.state);
    return rc;
}
