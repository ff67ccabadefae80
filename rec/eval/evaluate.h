/* Evaluation on the test items: the backbone's order, the model's, and the lines that bound
 * them. */
#ifndef RR_EVALUATE_H
#define RR_EVALUATE_H

#include "rec/eval/metrics.h"
#include "rec/rank/ranker.h"
#include "rec/rank/user.h"

struct rr_evaluation_row {
    const char *name;          /* "backbone", "random", "ceiling", "pointwise" */
    struct rr_metrics metrics; /* means over n users */
};

#define RR_MAX_ROWS 8

struct rr_evaluation {
    int n, k;    /* users; candidates per user */
    int n_found; /* users whose test item is among the candidates */
    struct rr_evaluation_row rows[RR_MAX_ROWS];
    int n_rows;
    long long tokens_asked,
        tokens_computed; /* what the questions would cost one by one; what was computed */
    long long n_cut;     /* users whose history was cut to the context */
    /* The model's HR@5 lies within two standard errors of the random order's: what an untuned
     * model gives. */
    bool like_random;
};

struct rr_evaluate_options {
    int n_users; /* evaluate this many, drawn without replacement by seed; 0: all that count */
    uint64_t seed;
    rr_progress_fn *progress; /* may be NULL; nonzero stops with RR_ERR_INTERRUPTED */
    void *progress_arg;
};

/* ranker NULL: the backbone alone. Users are those of rr_split_counts, in ascending order. */
int rr_evaluate(struct rr_evaluation *e, const struct rr_source *source, struct rr_ranker *ranker,
                const struct rr_evaluate_options *o, struct rr_error *err);

/* One run's identity, for reports. */
struct rr_run {
    const char *data, *data_name, *fingerprint, *model, *backbone, *task;
    uint64_t seed;
    double seconds;
    int n_context, model_context; /* 0: no model */
};
void rr_evaluation_text(struct rr_buf *out, const struct rr_evaluation *e,
                        const struct rr_run *run);
void rr_evaluation_json(struct rr_buf *out, const struct rr_evaluation *e,
                        const struct rr_run *run);

#endif
