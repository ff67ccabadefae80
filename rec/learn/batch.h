/* Sequences of tokens side by side, as one training step takes them. */
#ifndef RR_BATCH_H
#define RR_BATCH_H

#include "engine/train/lm.h"

struct rr_batch {
    int *tokens, *targets, *starts; /* [cap_rows], [cap_rows], [cap_rows + 1] */
    int n_rows, n_seqs, n_targets, cap_rows;
};
int rr_batch_open(struct rr_batch *b, int cap_rows, struct rr_error *err);
void rr_batch_close(struct rr_batch *b);

void rr_batch_clear(struct rr_batch *b);
/* Appends tokens to the sequence that is being made; with `learn` each is the target of the one
 * before it. The caller has seen to the room. */
void rr_batch_append(struct rr_batch *b, const int *ids, int n, bool learn);
/* Ends the sequence; its last token, which nothing follows, is taken off again. */
void rr_batch_end(struct rr_batch *b);
/* What rr_lm_run takes. */
struct rr_lm_batch rr_batch_view(const struct rr_batch *b);

#endif
