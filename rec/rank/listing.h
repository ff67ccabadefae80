/* Constrained decoding of a list: whatever the logits say, the result is a permutation.
 *
 * Each element is a token sequence (a quoted title and its comma). At any time the elements that
 * are not used yet and begin with what was decoded of the current one are alive; where they go
 * different ways, the logits of those ways choose; where there is one way, it is taken. An element
 * whose tokens are complete ends there, also when a longer one goes on: that one comes later. Equal
 * sequences (two items with one title) are told apart by their place: the earlier first. */
#ifndef RR_LISTING_H
#define RR_LISTING_H

#include <stdbool.h>
#include "engine/base/fail.h"

struct rr_listing {
    int n;             /* elements */
    const int *tokens; /* element e: tokens[start[e]] .. tokens[start[e + 1]] */
    const int *start;
    int *order; /* [n] the result: element at each place */
    int n_done;
    bool *used; /* [n] */
    int *alive; /* [n] elements, ascending */
    int n_alive;
    int depth;    /* tokens of the current element decoded */
    int *allowed; /* [n] distinct ways at a branch */
    int n_allowed;
};

/* Memory of a listing of up to n elements; the element tokens are the caller's. */
int rr_listing_init(struct rr_listing *l, int n, struct rr_error *err);
void rr_listing_release(struct rr_listing *l);
/* Begins a list of n elements, n >= 1 and at most what it was made for. */
void rr_listing_start(struct rr_listing *l, int n, const int *tokens, const int *start);

/* Runs to the next branch, or to the end: appends the tokens decoded on the way to out (room for
 * all elements' tokens), *n_out of them. True: l->allowed[n_allowed] are the ways, and
 * rr_listing_choose must follow. False: l->order is complete. The last element needs no decoding.
 */
bool rr_listing_run(struct rr_listing *l, int *out, int *n_out);
/* Takes the way with the largest logit (the first among equals), logits[n_allowed]; that token is
 * the first of the next run's output. */
void rr_listing_choose(struct rr_listing *l, const float *logits);

#endif
