/* Ranking metrics with one relevant item per user (spec/method.md section 7), and the lines that
 * bound them. */
#ifndef RR_METRICS_H
#define RR_METRICS_H

#define RR_N_CUTS 3 /* metrics at 3, 5 and 10 */
extern const int rr_cuts[RR_N_CUTS];

struct rr_metrics {
    double hr[RR_N_CUTS], ndcg[RR_N_CUTS]; /* sums until rr_metrics_mean, then means */
    int n;                                 /* users */
};

/* Adds one user whose relevant item has the given 1-based rank, 0: not in the list. */
void rr_metrics_add(struct rr_metrics *m, int rank);
struct rr_metrics rr_metrics_mean(const struct rr_metrics *sums);

/* What a random order of a list of `length` gives when `found` of `n` users have their item in
 * it (exactly), and what a perfect one gives. Both as means. */
struct rr_metrics rr_metrics_random(int n, int found, int length);
struct rr_metrics rr_metrics_ceiling(int n, int found);

#endif
