/* A user of a data set as a request: history from the training ratings, candidates from a backbone
 * or an imported list, hints from a rating model. Nothing here reads a test rating, and a
 * validation rating only with with_valid, unless the original's protocol is asked for by name. */
#ifndef RR_USER_H
#define RR_USER_H

#include "rec/backbone/lists.h"
#include "rec/recrank.h"

/* Where a request comes from. All must outlive the request. */
struct rr_source {
    const struct rr_split *split;
    const struct rr_backbone *backbone;  /* candidates, unless there are lists */
    const struct rr_lists *lists;        /* NULL: none */
    const char *name;                    /* of what the candidates come from, for reports */
    const struct rr_rating_model *hints; /* predicted ratings; NULL: no pointwise hints */
    bool scores_are_ratings; /* the lists' scores are predicted ratings: they are the hints */
    bool observed_hints; /* protocol official: an observed rating stands in for its prediction, also
                            a validation or test rating */
    bool with_valid; /* the validation item is history too (what a user has seen by the time of the
                        test item), and no candidate */
    int n_candidates;
};

struct rr_user_request {
    struct rr_request request;
    struct rr_candidate *candidates; /* [n_candidates + 1] item and score, in retrieval order */
    struct rr_rated *history;
    struct rr_asked *asked;
    float *scores; /* scratch [n_items] */
};

int rr_user_request_init(struct rr_user_request *u, const struct rr_source *s,
                         struct rr_error *err);
void rr_user_request_release(struct rr_user_request *u);
/* Refills u for one user. Cannot fail. */
void rr_user_request_make(struct rr_user_request *u, const struct rr_source *s, int user);

/* The pointwise hint for a user and an item (with a score from a list), or RR_NO_HINT. */
float rr_source_hint(const struct rr_source *s, int user, int item, float score);

#endif
