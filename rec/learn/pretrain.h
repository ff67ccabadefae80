/* Pretraining: a small LLaMA learns a catalogue and what is liked after what, from the corpus
 * alone.
 *
 * Deterministic for a seed at any number of threads; a run that is killed and begun again with the
 * same options ends in the same weights, byte for byte. */
#ifndef RR_PRETRAIN_H
#define RR_PRETRAIN_H

#include "engine/train/optim.h"
#include "rec/backbone/backbone.h"
#include "rec/learn/corpus.h"

struct rr_pretrain_log;

struct rr_pretrain_options {
    int passes;   /* over the corpus; 0: 30 */
    int rows;     /* tokens of a step, at least those of a window; 0: 4096 */
    double rate;  /* peak learning rate; 0: 2e-3 */
    int warmup;   /* steps; 0: 100 */
    double decay; /* weight decay; 0: none */
    uint64_t seed;
    const char *checkpoint; /* written after every pass, removed at the end; NULL: none */
    const char
        *identity; /* everything the run depends on, as text: a checkpoint of another is refused */
    double (*clock)(void);    /* seconds, for tokens_per_second; NULL: none */
    rr_progress_fn *progress; /* steps; nonzero stops with RR_ERR_INTERRUPTED */
    void *progress_arg;
    /* After every pass; may be NULL. */
    void (*log)(void *arg, const struct rr_pretrain_log *l);
    void *log_arg;
};

struct rr_pretrain_log {
    int pass, passes;
    long long step, steps;
    double loss;       /* per token of this pass */
    double valid_loss; /* per validation title: minus log-likelihood after the user's likes; NaN:
                          none there, and every pass is the best so far */
    double rate, tokens_per_second;
    bool best;
};

struct rr_pretrain_report {
    int best_pass;
    double best_loss;
    long long steps, tokens;
};

/* Trains lm in place; it ends with the weights of the pass whose validation loss was least.
 * RR_ERR_DATA "DIVERGED" names the step whose loss or gradient was not finite; lm then holds the
 * best weights so far. "CORPUS": nobody has two likes. RR_ERR_BUSY "CHECKPOINT_BUSY":
 * another process trains into it. "CHECKPOINT": damaged or of another run. */
int rr_pretrain(struct rr_pretrain_report *r, struct rr_lm *lm, struct rr_engine *e,
                const struct rr_corpus *c, const struct rr_pretrain_options *o,
                struct rr_error *err);

#endif
