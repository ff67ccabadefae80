/* See metrics.h. */
#include "rec/eval/metrics.h"

#include <math.h>

const int rr_cuts[RR_N_CUTS] = {3, 5, 10};

void rr_metrics_add(struct rr_metrics *m, int rank)
{
    m->n++;
    for (int c = 0; c < RR_N_CUTS; c++) {
        if (rank < 1 || rank > rr_cuts[c])
            continue;
        m->hr[c] += 1;
        m->ndcg[c] += 1 / log2(rank + 1);
    }
}

static struct rr_metrics scaled(const struct rr_metrics *m, double by, int n)
{
    struct rr_metrics out = {.n = n};
    for (int c = 0; c < RR_N_CUTS; c++) {
        out.hr[c] = m->hr[c] * by;
        out.ndcg[c] = m->ndcg[c] * by;
    }
    return out;
}

struct rr_metrics rr_metrics_mean(const struct rr_metrics *sums)
{
    return scaled(sums, sums->n ? 1.0 / sums->n : 0, sums->n);
}

struct rr_metrics rr_metrics_random(int n, int found, int length)
{
    /* Every rank is equally likely: the mean over ranks 1..length, for the users whose item is
     * there. */
    struct rr_metrics over_ranks = {0};
    for (int rank = 1; rank <= length; rank++)
        rr_metrics_add(&over_ranks, rank);
    return scaled(&over_ranks, n && length ? (double)found / n / length : 0, n);
}

struct rr_metrics rr_metrics_ceiling(int n, int found)
{
    struct rr_metrics first = {0};
    rr_metrics_add(&first, 1);
    return scaled(&first, n ? (double)found / n : 0, n);
}
