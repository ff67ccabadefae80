/* Ranking metrics with one relevant item per user (spec/method.md section 7), and the lines that
 * bound them. */
#ifndef RR_METRICS_H
#define RR_METRICS_H

enum rr_measure { RR_HR, RR_NDCG, RR_MRR, RR_N_MEASURES };
#define RR_N_CUTS 4 /* metrics at 1, 3, 5 and 10 */
extern const int rr_cuts[RR_N_CUTS];
const char *rr_measure_name(enum rr_measure m); /* "HR", "NDCG", "MRR" */

struct rr_metrics {
    double at[RR_N_MEASURES][RR_N_CUTS]; /* sums until rr_metrics_mean, then means */
    int n;                               /* users */
};

/* What a rank (1-based, 0: not in the list) contributes to a measure at a cut. */
double rr_metrics_value(enum rr_measure m, int cut, int rank);
/* Adds `times` users whose relevant item has the given rank. */
void rr_metrics_add(struct rr_metrics *m, int rank, int times);
struct rr_metrics rr_metrics_mean(const struct rr_metrics *sums);

/* What a random order of a list of `length` gives one user, exactly, whose item is in it or not;
 * and what a perfect one gives when `found` of n users have theirs. Both as means. */
struct rr_metrics rr_metrics_random(int found, int length);
struct rr_metrics rr_metrics_ceiling(int n, int found);

#endif
