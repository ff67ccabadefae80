/* Checkpoints of a training: one file, written atomically, with a checksum and the identity of the
 * run it belongs to; and the lock that keeps two processes from training into one. */
#ifndef RR_CHECKPOINT_H
#define RR_CHECKPOINT_H

#include <stdint.h>

#include "engine/base/fail.h"
#include "engine/base/mem.h"

/* How far a run is. */
struct rr_train_state {
    double best_loss, loss; /* of the best pass; summed over the pass begun */
    int64_t best_pass, passes_done;
    int64_t batches_done, targets; /* of the pass begun */
    int64_t step, tokens;          /* of the run */
};

#define RR_CHECKPOINT_ARRAYS 4
struct rr_checkpoint {
    const char *path, *identity; /* identity: any text */
    struct rr_train_state *state;
    float *arrays[RR_CHECKPOINT_ARRAYS]; /* [n] each: weights, first and second moments, best */
    size_t n;
};

int rr_checkpoint_save(const struct rr_checkpoint *c, struct rr_error *err);
/* Fills state and arrays from the file, if there is one. RR_ERR_DATA "CHECKPOINT": damaged, or of
 * another run; then nothing was changed. */
int rr_checkpoint_load(struct rr_checkpoint *c, struct rr_error *err);

struct rr_checkpoint_lock {
    int fd; /* -1: none */
    struct rr_buf path;
};
/* path NULL: nothing is locked. RR_ERR_BUSY "CHECKPOINT_BUSY": another process has it. The lock
 * dies with the process. Unlock also after a failure. */
int rr_checkpoint_lock(struct rr_checkpoint_lock *l, const char *path, struct rr_error *err);
void rr_checkpoint_unlock(struct rr_checkpoint_lock *l);

#endif
