/* See optim.h. */
#include "engine/train/optim.h"

#include <math.h>
#include <string.h>
#include "engine/base/mem.h"

#define EACH 16384 /* numbers of one task, and of one partial sum */

int rr_adamw_open(struct rr_adamw *a, size_t n, struct rr_error *err)
{
    *a = (struct rr_adamw){
        .beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-8, .decay = 0.1, .clip = 1, .n = n};
    a->m = rr_zalloc(n, sizeof *a->m);
    a->v = rr_zalloc(n, sizeof *a->v);
    if (a->m && a->v)
        return RR_OK;
    rr_adamw_close(a);
    return rr_fail_memory(err, "optimiser", 2 * n * sizeof(rr_real));
}

void rr_adamw_close(struct rr_adamw *a)
{
    rr_free(a->m);
    rr_free(a->v);
    *a = (struct rr_adamw){0};
}

/* Squares of the gradient, a part at a time, parts added in order. */
static double norm(const rr_real *g, size_t n)
{
    double sum = 0;
    for (size_t at = 0; at < n; at += EACH) {
        double part = 0;
        for (size_t i = at; i < at + EACH && i < n; i++)
            part += (double)g[i] * (double)g[i];
        sum += part;
    }
    return sqrt(sum);
}

struct job {
    struct rr_adamw *a;
    struct rr_lm *lm;
    size_t at, n;
    double rate, decay, scale, correct1, correct2;
};

static void update(void *arg, int task, int worker)
{
    const struct job *j = arg;
    const size_t begin = j->at + (size_t)task * EACH, last = j->at + j->n,
                 end = begin + EACH < last ? begin + EACH : last;
    rr_real *restrict w = j->lm->values, *restrict g = j->lm->grads, *restrict m = j->a->m,
                      *restrict v = j->a->v;
    const rr_real b1 = (rr_real)j->a->beta1, b2 = (rr_real)j->a->beta2,
                  eps = (rr_real)j->a->epsilon, scale = (rr_real)j->scale,
                  rate = (rr_real)(j->rate / j->correct1), root = (rr_real)(1 / sqrt(j->correct2)),
                  keep = (rr_real)(1 - j->rate * j->decay);
    (void)worker;
    for (size_t i = begin; i < end; i++) {
        const rr_real x = g[i] * scale;
        m[i] = b1 * m[i] + (1 - b1) * x;
        v[i] = b2 * v[i] + (1 - b2) * x * x;
        w[i] = w[i] * keep - rate * m[i] / ((rr_real)sqrt((double)v[i]) * root + eps);
        g[i] = 0;
    }
}

double rr_adamw_step(struct rr_adamw *a, struct rr_engine *e, struct rr_lm *lm, double rate)
{
    const double size = norm(lm->grads, lm->n_values);
    if (!isfinite(size)) {
        memset(lm->grads, 0, lm->n_values * sizeof *lm->grads);
        return size;
    }
    a->step++;
    struct job j = {.a = a,
                    .lm = lm,
                    .rate = rate,
                    .scale = a->clip > 0 && size > a->clip ? a->clip / size : 1,
                    .correct1 = 1 - pow(a->beta1, (double)a->step),
                    .correct2 = 1 - pow(a->beta2, (double)a->step)};
    for (int t = 0; t < lm->n_tensors; t++) {
        const struct rr_lm_tensor *x = &lm->tensors[t];
        j.at = x->at;
        j.n = (size_t)x->rows * (size_t)(x->cols ? x->cols : 1);
        j.decay = x->decays ? a->decay : 0;
        rr_pool_run(e->pool, update, &j, (int)((j.n + EACH - 1) / EACH));
    }
    return size;
}

double rr_cosine_rate(long long step, long long total, long long warmup, double peak,
                      double floor_share)
{
    if (step <= warmup)
        return peak * (double)step / (double)warmup;
    const double along = total > warmup ? (double)(step - warmup) / (double)(total - warmup) : 1;
    const double share =
        floor_share + (1 - floor_share) * 0.5 * (1 + cos(3.14159265358979323846 * fmin(along, 1)));
    return peak * share;
}
