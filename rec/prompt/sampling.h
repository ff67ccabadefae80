/* Adaptive user sampling (spec/method.md section 3): which users the instructions are about.
 *
 *   1. importance: n1 draws with P(u) = ln q_u / sum, q_u the user's training likes
 *   2. clustering: n2 draws, each cluster of user embeddings its share, uniform inside it
 *   3. penalty:    N draws from the multiset S of both, P(u) = r C^(r-1) / sum, r times in S
 *
 * Each can be switched off: without 1 or 2 the other alone makes S, without both S is N uniform
 * draws; without 3 the N draws are uniform over S's occurrences. */
#ifndef RR_SAMPLING_H
#define RR_SAMPLING_H

#include "rec/backbone/backbone.h"

struct rr_sampling_options {
    int n;          /* users drawn; 0: 5000 */
    int n_clusters; /* 0: 10 */
    double penalty; /* C, in (0, 1]; 0: 0.92 (the paper's text; its code has 0.95) */
    bool no_importance, no_clustering, no_penalty;
    uint64_t seed;
};

struct rr_sampling {
    int *users; /* [n] drawn, in the order of drawing */
    int n;
    /* The report. */
    int n_importance, n_clustering;    /* draws of stages 1 and 2 */
    int n_pool;                        /* users that can be drawn at all: with training likes */
    int n_distinct, most_repeats;      /* among users */
    int n_clusters;                    /* 0: no clustering */
    int *cluster_size, *cluster_drawn; /* [n_clusters] users of a cluster; draws of them in users */
    double q_quartiles[5];             /* least, quartiles and largest q_u of the draws */
    double pool_quartiles[5];          /* and of the users that could be drawn */
    int repeats[6];                    /* users drawn 1, 2, 3, 4, 5-9, 10 and more times */
};

/* embeddings[n_users, dim] are needed unless clustering is off: RR_ERR_USAGE "EMBEDDINGS". */
int rr_sampling_draw(struct rr_sampling *s, const struct rr_split *split, const float *embeddings,
                     int dim, const struct rr_sampling_options *o, struct rr_error *err);
void rr_sampling_free(struct rr_sampling *s);

void rr_sampling_text(struct rr_buf *out, const struct rr_sampling *s);
void rr_sampling_json(struct rr_buf *out, const struct rr_sampling *s);

/* The closed forms, for the draws and their tests. p[n] = probabilities.
 * p_u = ln q_u / sum; all zero when no q exceeds 1. */
void rr_sampling_importance(double *p, const int *q, int n);
/* p_u = r_u C^(r_u - 1) / sum. */
void rr_sampling_penalty(double *p, const int *r, int n, double c);
/* draws[k] = round(size_k / sum * n), halves to even. */
void rr_sampling_quotas(int *draws, const int *size, int k, int n);

#endif
