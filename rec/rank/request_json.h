/* A ranking request as one JSON object, so that no data set is needed:
 *
 *   {"id": anything,
 *    "history": ["liked title", {"title": "T", "rating": 2}, ...],      oldest first
 *    "liked": [titles], "disliked": [titles],                           instead, or before it
 *    "candidates": ["title", {"title": "T", "id": anything, "score": 0.7, "hint": 3.5}, ...]}
 *
 * A title alone in the history counts as the highest rating. When every candidate has a score, they
 * are put in its order, which is then also what pairwise and listwise hints say; else the order
 * given decides among equals and no such hint is given. */
#ifndef RR_REQUEST_JSON_H
#define RR_REQUEST_JSON_H

#include "engine/base/json.h"
#include "rec/recrank.h"

struct rr_json_request {
    struct rr_request request;
    const struct rr_json *id;            /* NULL: none given */
    const struct rr_json **candidate_id; /* [n_candidates] in the request's order; NULL: none */
    int *index;                          /* [n_candidates] place in the JSON array */
};

/* Everything lives in the arena, or points into root. levels is the highest rating. RR_ERR_DATA
 * "REQUEST" with the offset of what is wrong. */
int rr_request_from_json(struct rr_json_request *out, struct rr_arena *arena,
                         const struct rr_json *root, int levels, struct rr_error *err);

#endif
