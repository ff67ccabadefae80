/* Conventional recommenders: they propose the candidates that the language model reorders, and give
 * its hints.
 *
 * Trained here, on the training part of a split only, in portable C: the same seed gives the
 * same candidates on every machine. */
#ifndef RR_BACKBONE_H
#define RR_BACKBONE_H

#include "engine/base/fail.h"
#include "engine/base/mem.h"
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
    int best_epoch; /* MF, LIGHTGCN: the one that was best on validation, from 1; 0: the last was
                       kept */
    uint64_t seed;
    char settings[96]; /* the options it was fitted with, as text */
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
    bool last_epoch;          /* MF, LIGHTGCN: keep the last epoch; validation is not looked at */
    rr_progress_fn *progress; /* may be NULL */
    void *progress_arg;
};

/* "pop", "mf", "itemknn", "ease", "lightgcn" */
const char *rr_backbone_name(enum rr_backbone_kind kind);
/* The kind of that name, or -1. */
int rr_backbone_kind_from_name(const char *name);

/* Trains on split->train. MF and LightGCN: Bayesian personalised ranking (arXiv 1205.2618) with
 * the details of spec/method.md section 8; the epoch with the best HR@10 on the validation
 * items is kept. */
int rr_backbone_fit(struct rr_backbone *b, enum rr_backbone_kind kind, const struct rr_split *split,
                    const struct rr_fit_options *o, struct rr_error *err);
void rr_backbone_free(struct rr_backbone *b);

/* scores[n_items] for one user; split is the one trained on. Thread-safe. */
void rr_backbone_scores(const struct rr_backbone *b, const struct rr_split *split, int user,
                        float *scores);

/* Whether users have embeddings (b->users): MF and LIGHTGCN. */
static inline bool rr_backbone_has_embeddings(const struct rr_backbone *b)
{
    return b->users != NULL;
}

/* Writes the backbone to a file, atomically, with the identity of the split it was trained on. The
 * same backbone gives the same bytes. */
int rr_backbone_save(const struct rr_backbone *b, const struct rr_split *split, const char *path,
                     struct rr_error *err);
/* Reads it back. RR_ERR_DATA "BACKBONE": no such file of ours, damaged (its checksum is checked) or
 * of other sizes; "BACKBONE_DATA": trained on other data, or split otherwise. */
int rr_backbone_load(struct rr_backbone *b, const struct rr_split *split, const char *path,
                     struct rr_error *err);
/* The same from memory; file is for errors. */
int rr_backbone_parse(struct rr_backbone *b, const struct rr_split *split, const void *bytes,
                      size_t n, const char *file, struct rr_error *err);

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

/* A predictor of ratings, fitted on ratings[n] of a data set and nothing else: mean + biases +
 * factors, by stochastic gradient descent (Koren et al., "Matrix Factorization Techniques for
 * Recommender Systems", 2009). The pointwise hint comes from it. */
struct rr_rating_model {
    int n_users, n_items, dim;
    float mean, min, max;
    float *user_bias, *item_bias, *users, *items;
};
int rr_rating_fit(struct rr_rating_model *m, const struct rr_dataset *d,
                  const struct rr_rating *ratings, size_t n, uint64_t seed, struct rr_error *err);
void rr_rating_free(struct rr_rating_model *m);
/* Within the scale of the data set. Thread-safe. */
float rr_rating_predict(const struct rr_rating_model *m, int user, int item);

#endif
