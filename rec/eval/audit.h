/* The leak audit: proves by experiment that nothing held out reaches a prompt, a hint or an
 * instruction. Held-out ratings of the data are changed, everything is made anew, and the bytes are
 * compared; and every instruction is looked at for its own answer. */
#ifndef RR_AUDIT_H
#define RR_AUDIT_H

#include "rec/prompt/instruct.h"

struct rr_audit_check {
    const char *name;
    bool passed;
    char detail[200];
};
#define RR_MAX_AUDIT_CHECKS 16

struct rr_audit {
    struct rr_audit_check checks[RR_MAX_AUDIT_CHECKS];
    int n, n_failed;
};

struct rr_audit_options {
    enum rr_backbone_kind backbone;
    enum rr_split_order order;
    int n_candidates, n_instructions;
    bool official; /* audits the original's protocol: it must fail */
    uint64_t seed;
    rr_progress_fn *progress; /* may be NULL */
    void *progress_arg;
};

int rr_audit_run(struct rr_audit *a, const struct rr_dataset *d, const struct rr_audit_options *o,
                 struct rr_error *err);

#endif
