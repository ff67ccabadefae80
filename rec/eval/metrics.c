/* See metrics.h. */
#include "rec/eval/metrics.h"

#include <math.h>

const int rr_cuts[RR_N_CUTS] = {1, 3, 5, 10};

const char *rr_measure_name(enum rr_measure m)
{
    static const char *const names[RR_N_MEASURES] = {"HR", "NDCG", "MRR"};
    return names[m];
}

double rr_metrics_value(enum rr_measure m, int cut, int rank)
{
    if (rank < 1 || rank > cut)
        return 0;
    return m == RR_HR ? 1 : m == RR_NDCG ? 1 / log2(rank + 1) : 1.0 / rank;
}

void rr_metrics_add(struct rr_metrics *m, int rank, int times)
{
    m->n += times;
    for (int k = 0; k < RR_N_MEASURES; k++)
        for (int c = 0; c < RR_N_CUTS; c++)
            m->at[k][c] += times * rr_metrics_value((enum rr_measure)k, rr_cuts[c], rank);
}

static struct rr_metrics scaled(const struct rr_metrics *m, double by, int n)
{
    struct rr_metrics out = {.n = n};
    for (int k = 0; k < RR_N_MEASURES; k++)
        for (int c = 0; c < RR_N_CUTS; c++)
            out.at[k][c] = m->at[k][c] * by;
    return out;
}

struct rr_metrics rr_metrics_mean(const struct rr_metrics *sums)
{
    return scaled(sums, sums->n ? 1.0 / sums->n : 0, sums->n);
}

struct rr_metrics rr_metrics_random(int found, int length)
{
    /* Every rank is equally likely. */
    struct rr_metrics over_ranks = {0};
    for (int rank = 1; rank <= length; rank++)
        rr_metrics_add(&over_ranks, rank, 1);
    return scaled(&over_ranks, found && length ? 1.0 / length : 0, 1);
}

struct rr_metrics rr_metrics_ceiling(int n, int found)
{
    struct rr_metrics first = {0};
    rr_metrics_add(&first, 1, 1);
    return scaled(&first, n ? (double)found / n : 0, n);
}
