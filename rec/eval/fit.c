/* See fit.h. */
#include "rec/eval/fit.h"

#include <math.h>
#include "rec/eval/metrics.h"

#define F RR_N_FEATURES
#define MAX_STEPS 50

struct scale {
    double mean[F], deviation[F];
};

static void measure(struct scale *s, const struct rr_choice_set *sets, int n)
{
    double x[RR_MAX_CANDIDATES][F], sum[F] = {0}, squares[F] = {0}, count = 0;
    for (int i = 0; i < n; i++) {
        rr_reply_features(x, sets[i].reply);
        for (int c = 0; c < sets[i].reply->n; c++, count++)
            for (int f = 0; f < F; f++) {
                sum[f] += x[c][f];
                squares[f] += x[c][f] * x[c][f];
            }
    }
    for (int f = 0; f < F; f++) {
        s->mean[f] = sum[f] / count;
        const double v = squares[f] / count - s->mean[f] * s->mean[f];
        s->deviation[f] = v > 1e-12 ? sqrt(v) : 0; /* 0: constant, gets no weight */
    }
}

/* p[n] = probabilities of the candidates of one set; x becomes standardised features. */
static void probabilities(double *p, double (*x)[F], const struct rr_reply *r, const double *w,
                          const struct scale *s)
{
    double max = -INFINITY, sum = 0;
    rr_reply_features(x, r);
    for (int c = 0; c < r->n; c++) {
        p[c] = 0;
        for (int f = 0; f < F; f++) {
            x[c][f] = s->deviation[f] > 0 ? (x[c][f] - s->mean[f]) / s->deviation[f] : 0;
            p[c] += w[f] * x[c][f];
        }
        max = fmax(max, p[c]);
    }
    for (int c = 0; c < r->n; c++)
        sum += p[c] = exp(p[c] - max);
    for (int c = 0; c < r->n; c++)
        p[c] /= sum;
}

/* Gradient g and negative Hessian h of the penalised log-likelihood at w. */
static void derivatives(double *g, double (*h)[F], const struct rr_choice_set *sets, int n,
                        int fold, const double *w, const struct scale *s)
{
    double p[RR_MAX_CANDIDATES], x[RR_MAX_CANDIDATES][F];
    for (int f = 0; f < F; f++) {
        g[f] = -RR_FIT_RIDGE * w[f];
        for (int e = 0; e < F; e++)
            h[f][e] = f == e ? RR_FIT_RIDGE : 0;
    }
    for (int i = 0; i < n; i++) {
        const struct rr_reply *r = sets[i].reply;
        double mean[F] = {0};
        if (i % RR_FIT_FOLDS == fold)
            continue;
        probabilities(p, x, r, w, s);
        for (int c = 0; c < r->n; c++)
            for (int f = 0; f < F; f++)
                mean[f] += p[c] * x[c][f];
        for (int f = 0; f < F; f++)
            g[f] += x[sets[i].target][f] - mean[f];
        for (int c = 0; c < r->n; c++)
            for (int f = 0; f < F; f++)
                for (int e = 0; e < F; e++)
                    h[f][e] += p[c] * (x[c][f] - mean[f]) * (x[c][e] - mean[e]);
    }
}

/* Solves h d = g, h symmetric positive definite; h and g are overwritten, g becomes d. */
static void solve(double (*h)[F], double *g)
{
    for (int k = 0; k < F; k++)
        for (int i = k + 1; i < F; i++) {
            const double m = h[i][k] / h[k][k];
            for (int j = k; j < F; j++)
                h[i][j] -= m * h[k][j];
            g[i] -= m * g[k];
        }
    for (int k = F - 1; k >= 0; k--) {
        for (int j = k + 1; j < F; j++)
            g[k] -= h[k][j] * g[j];
        g[k] /= h[k][k];
    }
}

/* Weights of the standardised features without the sets of one fold (-1: with all). */
static void maximise(double *w, const struct rr_choice_set *sets, int n, int fold,
                     const struct scale *s)
{
    double g[F], h[F][F];
    for (int f = 0; f < F; f++)
        w[f] = 0;
    for (int step = 0; step < MAX_STEPS; step++) {
        double size = 0;
        derivatives(g, h, sets, n, fold, w, s);
        solve(h, g);
        for (int f = 0; f < F; f++)
            size = fmax(size, fabs(g[f]));
        const double by = size > 1 ? 1 / size : 1; /* no step across the flat tails */
        for (int f = 0; f < F; f++)
            w[f] += by * g[f];
        if (size < 1e-10)
            break;
    }
}

static void unscale(double *out, const double *w, const struct scale *s)
{
    for (int f = 0; f < F; f++)
        out[f] = s->deviation[f] > 0 ? w[f] / s->deviation[f] : 0;
}

static double ndcg_of(const struct rr_choice_set *set, const double *weights)
{
    double scores[RR_MAX_CANDIDATES];
    struct rr_ranked order[RR_MAX_CANDIDATES];
    rr_reply_scores(scores, set->reply, RR_BY_FITTED, weights);
    rr_order_by_score(order, scores, set->reply->n);
    for (int i = 0; i < set->reply->n; i++)
        if (order[i].candidate == set->target)
            return rr_metrics_value(RR_NDCG, 5, i + 1);
    return 0;
}

int rr_fit_too_few(int n, struct rr_error *err)
{
    return rr_fail(err, RR_ERR_DATA, "FIT", RR_NOWHERE,
                   "%d users have their validation item among the candidates; fitted weights need "
                   "at least %d: ask about more users or candidates",
                   n, RR_FIT_FEWEST);
}

int rr_fit_weights(struct rr_fitted *f, const struct rr_choice_set *sets, int n,
                   struct rr_error *err)
{
    struct scale s;
    double w[F], weights[F];
    *f = (struct rr_fitted){.n = n};
    if (n < RR_FIT_FEWEST)
        return rr_fit_too_few(n, err);
    measure(&s, sets, n);
    maximise(w, sets, n, -1, &s);
    unscale(f->weights, w, &s);
    for (int fold = 0; fold < RR_FIT_FOLDS; fold++) {
        maximise(w, sets, n, fold, &s);
        unscale(weights, w, &s);
        for (int i = fold; i < n; i += RR_FIT_FOLDS) {
            f->ndcg_cross += ndcg_of(&sets[i], weights) / n;
            f->ndcg_retrieval += rr_metrics_value(RR_NDCG, 5, sets[i].target + 1) / n;
        }
    }
    return RR_OK;
}
