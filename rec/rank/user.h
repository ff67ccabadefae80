/* A user of a data set as a request: history from the training ratings, candidates from the
 * backbone, hints from the rating model. Nothing here reads a validation or test rating. */
#ifndef RR_USER_H
#define RR_USER_H

#include "rec/backbone/backbone.h"
#include "rec/recrank.h"

/* Where a request comes from. All must outlive the request. */
struct rr_source {
    const struct rr_split *split;
    const struct rr_backbone *backbone;
    const struct rr_rating_model *hints; /* NULL: no hints */
    int n_candidates, max_history;
};

struct rr_user_request {
    struct rr_request request;
    struct rr_candidate
        *candidates; /* [request.n_candidates] item and backbone score, in retrieval order */
    struct rr_rated *history;
    struct rr_asked *asked;
    float *scores; /* scratch [n_items] */
};

int rr_user_request_init(struct rr_user_request *u, const struct rr_source *s,
                         struct rr_error *err);
void rr_user_request_release(struct rr_user_request *u);
/* Refills u for one user. Cannot fail. */
void rr_user_request_make(struct rr_user_request *u, const struct rr_source *s, int user);

#endif
