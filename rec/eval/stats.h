/* What tells a gain from noise: intervals over users and paired tests against the backbone. All
 * random numbers come from one seed. */
#ifndef RR_STATS_H
#define RR_STATS_H

#include "engine/base/fail.h"
#include "engine/base/rng.h"
#include "rec/eval/metrics.h"

#define RR_BOOTSTRAP_DRAWS 2000
#define RR_SIGN_FLIPS 20000
#define RR_SIGN_EXACT 16 /* up to this many differences all sign patterns are counted */

/* 95 % percentile bootstrap intervals over users (Efron 1979): the metrics of one row, and their
 * differences from those of `base`, on the same resamples. ranks[n_rows][n]: 1-based, 0 none. Sums
 * of resampled users are exact in counts of ranks, so nothing depends on their order. */
struct rr_interval {
    struct rr_metrics low, high;           /* of the row */
    struct rr_metrics gain_low, gain_high; /* of row minus base */
};
int rr_bootstrap(struct rr_interval *out, const int *const *ranks, int n_rows, int base, int n,
                 uint64_t seed, struct rr_error *err);

/* McNemar's exact test (1947; binomial on the discordant users): two-sided p for b users only the
 * first hits and c only the second. */
double rr_mcnemar(int b, int c);
/* Paired sign-flip (permutation) test of mean difference zero, two-sided (Fisher 1935): exact for
 * few non-zero differences, else RR_SIGN_FLIPS random patterns, counting the observed one. Permutes
 * nothing in d. */
double rr_sign_flip(const double *d, int n, struct rr_rng *rng);
/* Holm 1979: adjusted[i] = p[i] corrected for m tests. order is scratch [m]. */
void rr_holm(double *adjusted, const double *p, int m, int *order);

#endif
