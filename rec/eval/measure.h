/* How well a network ranks while it is trained: validation items among a recommender's
 * candidates. */
#ifndef RR_MEASURE_H
#define RR_MEASURE_H

#include "rec/rank/ranker.h"
#include "rec/rank/user.h"

struct rr_measured {
    int n; /* users */
    unsigned tasks;
    double hr5, ndcg5;                                   /* of the candidates' own order */
    double hr5_of[RR_N_SIGNALS], ndcg5_of[RR_N_SIGNALS]; /* of each task asked */
};

/* Asks about up to n_users users (0: all) that have a validation item, spread over them evenly.
 * Items that are held out are only looked for in the orders. */
int rr_measure(struct rr_measured *out, struct rr_ranker *r, const struct rr_source *s, int n_users,
               struct rr_error *err);

#endif
