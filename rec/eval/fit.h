/* Weights of the tasks fitted on validation items: a conditional logit (McFadden 1974) over a
 * user's candidates, the validation item being the one chosen. Test items are candidates like any
 * other: no test label is read. */
#ifndef RR_FIT_H
#define RR_FIT_H

#include "rec/rank/reply.h"

/* One user's choice: target is the index of the item chosen. */
struct rr_choice_set {
    const struct rr_reply *reply;
    int target;
};

#define RR_FIT_RIDGE 1.0 /* of half the squared weights of standardised features */
#define RR_FIT_FOLDS 5
#define RR_FIT_FEWEST 10 /* choice sets */

struct rr_fitted {
    double weights[RR_N_FEATURES]; /* of rr_reply_features, unstandardised */
    int n;                         /* choice sets */
    /* NDCG@5 of the validation items, each fold's by weights fitted on the others
     * (the features' scales are those of all, which the ridge alone looks at); and of the
     * retrieval order. Over the choice sets only. */
    double ndcg_cross, ndcg_retrieval;
};

/* Newton's method on the penalised log-likelihood, which is concave: the result does not depend on
 * a start. RR_ERR_DATA "FIT": fewer than RR_FIT_FEWEST choice sets. */
int rr_fit_weights(struct rr_fitted *f, const struct rr_choice_set *sets, int n,
                   struct rr_error *err);
/* That failure. */
int rr_fit_too_few(int n, struct rr_error *err);

#endif
