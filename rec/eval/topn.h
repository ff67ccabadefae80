/* Top-10 metrics of a recommender on a split by ratio, as RecBole's tables have them
 * (spec/baselines.md 2.1): several relevant items per user, all items ranked, the user's training
 * and validation items masked, means over users with a test item. */
#ifndef RR_TOPN_H
#define RR_TOPN_H

#include "rec/backbone/backbone.h"

#define RR_TOPN 10

struct rr_topn {
    double recall, mrr, ndcg, hit, precision; /* at 10 */
    int n_users;
    size_t n_train, n_valid, n_test;
};

int rr_topn_evaluate(struct rr_topn *out, const struct rr_backbone *b, const struct rr_split *split,
                     const struct rr_held_out *valid, const struct rr_held_out *test,
                     struct rr_error *err);

#endif
