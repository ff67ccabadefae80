/* Out-of-fold hints: models that have not seen the label a training instruction asks for, so that
 * the language model does not learn to trust a hint that is better in training than at test
 * (spec/method.md section 4).
 *
 * Every user's training ratings are dealt to K folds; fold f's models are fitted without fold f's
 * ratings. The ratings that one listwise instruction asks for (3 of the highest value, 2 of the
 * next) are dealt together, as a set, so that one model has seen none of them. */
#ifndef RR_FOLDS_H
#define RR_FOLDS_H

#include "rec/backbone/backbone.h"

#define RR_SET_TOP 3  /* ratings of the highest value in a set */
#define RR_SET_NEXT 2 /* and of the next */
#define RR_SET_SIZE (RR_SET_TOP + RR_SET_NEXT)

struct rr_fold_model {
    struct rr_split split; /* the training part without the fold */
    struct rr_backbone backbone;
    struct rr_rating_model ratings;
};

struct rr_folds {
    const struct rr_split *split;
    int n;
    unsigned char *of; /* [rated] fold of each entry of split->rated */
    int *sets;   /* [rated] sets of a user, RR_SET_SIZE entries each, from rated_start[u] on: the
                    highest ratings first; indices into split->rated */
    int *n_sets; /* [n_users] */
    struct rr_fold_model *models; /* [n] */
};

struct rr_folds_options {
    int n; /* 2 to 64; 1: one model that has seen everything (protocol official) */
    enum rr_backbone_kind kind;
    struct rr_fit_options fit; /* progress counts models; validation items are not looked at */
    bool deal_only;            /* no hints are wanted: no model is trained */
    uint64_t seed;
};

int rr_folds_make(struct rr_folds *f, const struct rr_split *split,
                  const struct rr_folds_options *o, struct rr_error *err);
void rr_folds_free(struct rr_folds *f);

#endif
