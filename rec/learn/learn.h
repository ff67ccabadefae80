/* From a data set to instructions in memory, for a network that knows its corpus: the second half
 * of `recrank learn`. */
#ifndef RR_LEARN_H
#define RR_LEARN_H

#include "rec/learn/instructions.h"
#include "rec/prompt/instruct.h"

struct rr_learn_options {
    int n_draws; /* users drawn, each for one instruction per task; 0: rr_learn_draws */
    enum rr_backbone_kind hints;
    bool paper;     /* the paper's instructions, not those about the next liked title */
    bool in_sample; /* hints from a model that has seen the answers: the original's leak */
    bool uniform;   /* users drawn uniformly */
    bool no_hints;
    bool no_shift;
    const float *embeddings; /* [n_users, dim] for the sampling of users; NULL: no clustering */
    int dim;
    int n_context;
    uint64_t seed;
    rr_progress_fn *progress; /* models of the folds */
    void *progress_arg;
};

/* Draws that suit a data set: 32 per user, at most 20000. More would go to a few users only: the
 * sampling's penalty for repetition is meant for few repetitions (spec/method.md section 3). */
int rr_learn_draws(const struct rr_dataset *d);

/* The style that rr_learn's models are taught with, and asked with: the wordings of wording.h must
 * stand in templates[RR_N_TASKS], parsed, and outlive it. */
struct rr_prompt_style rr_learn_style(const struct rr_dataset *d,
                                      const struct rr_template *templates, uint64_t seed);

/* Adds the instructions of a split to `in`. The report's sampling is the caller's to free. */
int rr_learn_instructions(struct rr_instructions *in, struct rr_instruct_report *report,
                          const struct rr_split *split, const struct rr_tokenizer *t,
                          const struct rr_template *templates, const struct rr_learn_options *o,
                          struct rr_error *err);

#endif
