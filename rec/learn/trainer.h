/* Training: passes over lessons, AdamW, the best weights on validation, checkpoints.
 *
 * Deterministic for a seed at any number of threads; a run that is killed and begun again with the
 * same options ends in the same weights, byte for byte. */
#ifndef RR_TRAINER_H
#define RR_TRAINER_H

#include "engine/train/optim.h"
#include "rec/backbone/backbone.h"
#include "rec/learn/batch.h"

/* What is to be learned, in batches. One pass at a time is open; the same seed and pass give the
 * same batches. */
struct rr_lesson {
    void *arg;
    int n_batches; /* of a pass, about: the learning rate's plan */
    int longest;   /* rows of the longest sequence */
    int (*begin)(void *arg, uint64_t seed, int pass, struct rr_error *err);
    bool (*next)(void *arg, struct rr_batch *b); /* false: the pass is over */
    void (*end)(void *arg);                      /* also after a failed begin */
    /* Fills b with validation sequences from *at on, and moves *at; false: there are no more. The
     * validation loss is that of a sequence, on average. */
    bool (*valid)(void *arg, int *at, struct rr_batch *b);
};

struct rr_train_log {
    int pass, passes;
    long long step, steps;
    double loss;       /* per token of this pass */
    double valid_loss; /* NaN: nothing to validate on, and every pass is the best so far */
    double rate, tokens_per_second;
    bool best;
};

struct rr_train_options {
    int passes;
    int rows;     /* tokens of a step, at least those of the longest sequence; 0: 4096 */
    double rate;  /* peak learning rate; 0: 2e-3 */
    int warmup;   /* steps; 0: 100 */
    double decay; /* weight decay; 0: none */
    uint64_t seed;
    bool judge_start;       /* the weights as they come are validated too, as pass 0 */
    const char *checkpoint; /* written after every pass, when interrupted, and every half minute (by
                               the clock); the caller removes it when what was trained is
                               written; NULL: none */
    const char *identity;   /* everything the run depends on, as text: a checkpoint of another is
                               refused */
    double (*clock)(void);  /* seconds, for tokens_per_second; NULL: none */
    rr_progress_fn *progress; /* steps; nonzero saves and stops with RR_ERR_INTERRUPTED */
    void *progress_arg;
    /* After every pass; may be NULL. */
    void (*log)(void *arg, const struct rr_train_log *l);
    void *log_arg;
};

struct rr_train_report {
    int best_pass;
    double best_loss;
    long long steps, tokens;
};

/* Trains lm in place; it ends with the weights of the pass whose validation loss was least.
 * RR_ERR_DATA "DIVERGED" names the step whose loss or gradient was not finite; lm then holds the
 * best weights so far. "NOTHING_TO_LEARN": a pass had no batch. RR_ERR_USAGE "CONTEXT": the
 * longest sequence is longer than the model's context. RR_ERR_BUSY "CHECKPOINT_BUSY": another
 * process trains into it. "CHECKPOINT": damaged or of another run. */
int rr_train(struct rr_train_report *r, struct rr_lm *lm, struct rr_engine *e,
             const struct rr_lesson *lesson, const struct rr_train_options *o,
             struct rr_error *err);

#endif
