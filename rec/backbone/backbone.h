/* Conventional recommenders: they propose the candidates that the language model reorders, and give
 * its hints.
 *
 * Trained here, on the training part of a split only, in portable C: the same seed gives the
 * same candidates on every machine. */
#ifndef RR_BACKBONE_H
#define RR_BACKBONE_H

#include "engine/base/fail.h"
#include "engine/base/rng.h"
#include "rec/data/split.h"

enum rr_backbone_kind {
    RR_BACKBONE_POP,
    RR_BACKBONE_MF,
    RR_BACKBONE_ITEMKNN,
    RR_BACKBONE_EASE,
    RR_BACKBONE_LIGHTGCN,
    RR_BACKBONE_COUNT
};

struct rr_backbone {
    enum rr_backbone_kind kind;
    int n_users, n_items, dim;
    float *users, *items; /* [n_users, dim], [n_items, dim] */
    float *popularity;    /* [n_items] likes in training; POP only */
    float *weights;       /* [n_items, n_items] what a liked row gives a column; ITEMKNN, EASE */
    int best_epoch;       /* MF, LIGHTGCN: the one that validation chose, from 1 */
};

/* Called now and then while training; nonzero stops it with RR_ERR_INTERRUPTED. */
typedef int rr_progress_fn(void *arg, long long done, long long total);

struct rr_fit_options {
    uint64_t seed;
    int dim, epochs, batch;   /* MF, LIGHTGCN; 0: 64, 100 (300), 2048 */
    double rate, regularise;  /* MF, LIGHTGCN; 0: 1e-3, 1e-4 */
    int neighbours;           /* ITEMKNN; 0: 100 */
    double shrink;            /* ITEMKNN: added to the product of the norms */
    double lambda;            /* EASE; 0: 100 */
    rr_progress_fn *progress; /* may be NULL */
    void *progress_arg;
};

const char *
rr_backbone_name(enum rr_backbone_kind kind); /* "pop", "mf", "itemknn", "ease", "lightgcn" */

/* Trains on split->train. MF and LightGCN: Bayesian personalised ranking (arXiv 1205.2618) with
 * the details of spec/method.md section 8; the epoch with the best HR@10 on the validation
 * items is kept. */
int rr_backbone_fit(struct rr_backbone *b, enum rr_backbone_kind kind, const struct rr_split *split,
                    const struct rr_fit_options *o, struct rr_error *err);
void rr_backbone_free(struct rr_backbone *b);

/* scores[n_items] for one user; split is the one trained on. Thread-safe. */
void rr_backbone_scores(const struct rr_backbone *b, const struct rr_split *split, int user,
                        float *scores);

struct rr_candidate {
    int item;
    float score;
};
/* The k best items of training that are not among the user's training likes, best first, equal
 * scores by item number. scores is scratch [n_items]. Returns how many (k unless the catalogue
 * is smaller). */
int rr_backbone_candidates(struct rr_candidate *out, int k, const struct rr_backbone *b,
                           const struct rr_split *split, int user, float *scores);

/* The parts of bpr.c and item.c. */
int rr_backbone_fit_bpr(struct rr_backbone *b, const struct rr_split *split,
                        const struct rr_fit_options *o, struct rr_error *err);

int rr_backbone_fit_items(struct rr_backbone *b, const struct rr_split *split,
                          const struct rr_fit_options *o, struct rr_error *err);

/* A predictor of ratings, fitted on split->rated only: mean + biases + factors, by stochastic
 * gradient descent (Koren et al., "Matrix Factorization Techniques for Recommender Systems",
 * 2009). The pointwise hint comes from it. */
struct rr_rating_model {
    int n_users, n_items, dim;
    float mean, min, max;
    float *user_bias, *item_bias, *users, *items;
};
int rr_rating_fit(struct rr_rating_model *m, const struct rr_split *split, uint64_t seed,
                  struct rr_error *err);
void rr_rating_free(struct rr_rating_model *m);
/* Within the scale of the data set. Thread-safe. */
float rr_rating_predict(const struct rr_rating_model *m, int user, int item);

#endif
