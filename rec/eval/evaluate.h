/* Evaluation on the test items: the backbone's order, the model's by every method, and the lines
 * that bound them. Every user that counts is reranked, also those whose test item was not
 * retrieved. */
#ifndef RR_EVALUATE_H
#define RR_EVALUATE_H

#include "rec/eval/fit.h"
#include "rec/eval/journal.h"
#include "rec/eval/metrics.h"
#include "rec/eval/stats.h"
#include "rec/rank/ranker.h"
#include "rec/rank/user.h"

/* One way to put the questions. The first is the run's own; others are ablations of it, or the
 * original's protocol beside ours. */
struct rr_variant {
    const char *name; /* "" for the first */
    struct rr_ranker_options ranker;
    struct rr_source source;
    bool all_methods; /* a row for every method, not for the hybrid alone */
    bool fit_only; /* no rows: asked about users whose validation item is among the candidates, for
                      the fitted weights. For a first variant that shows the validation item. */
};
#define RR_MAX_VARIANTS 8
#define RR_MAX_ROWS 48

struct rr_evaluation_row {
    char name[48]; /* "backbone", "pointwise", ..., "ease", "random", "ceiling"; a variant's rows
                      are "variant:method" */
    struct rr_metrics metrics;   /* means over n users */
    int *ranks;                  /* [n] of the test item, 0: not in the list; NULL: no such thing */
    struct rr_interval interval; /* where there are ranks */
};

/* One row minus another, on the same users: a protocol against the other. */
struct rr_evaluation_difference {
    int row, base;
    struct rr_metrics low, high; /* 95 % bootstrap interval */
};

/* A test of one row against the backbone. */
struct rr_evaluation_test {
    int row;
    enum rr_measure measure; /* HR: McNemar; NDCG: sign flips */
    int cut;
    int better, worse; /* users whose test item the row, or the backbone, placed better */
    double p, p_holm;
};

/* Where a model's answers lean by place alone. */
struct rr_position_bias {
    int k;               /* places; 0: nothing asked */
    double *mean_place;  /* [k] of the candidate shown at each place, in the answers; 1-based */
    double *first_share; /* [k] how often the one shown there came first */
    long long n_lists, n_pairs, n_yes, n_questions, n_disagree;
};

struct rr_evaluation {
    int n, k;    /* users; candidates per user */
    int n_found; /* users whose test item is among the candidates */
    int *users;  /* [n] ascending */
    struct rr_evaluation_row rows[RR_MAX_ROWS];
    int n_rows;
    struct rr_evaluation_test tests[2 * RR_MAX_ROWS * 2];
    int n_tests;
    struct rr_evaluation_difference differences[RR_N_METHODS];
    int n_differences;
    struct rr_position_bias bias;
    bool fitted_used;
    struct rr_fitted fitted;
    /* Of the first variant: what the questions would cost one by one; what was computed. */
    long long tokens_asked, tokens_computed;
    long long n_cut; /* users whose history was cut to the context */
    long long n_malformed, n_invalid_lists;
    double *seconds;        /* [n] the first variant took, per user */
    long long *user_tokens; /* [n] and how many tokens it computed */
    double seconds_asking;  /* this process spent */
    int n_resumed;          /* replies taken from the journal */
    /* HR@5 of no order that the model makes lies more than two standard errors from the random
     * order's: what an untuned model gives. */
    bool like_random;
};

struct rr_evaluate_options {
    int n_users; /* evaluate this many, drawn without replacement by seed; 0: all that count */
    uint64_t seed;
    const struct rr_variant *variants; /* [n_variants]; the first one's source serves all rows
                                          without a model */
    int n_variants;
    const struct rr_backbone *ease; /* a row of its own list; NULL: none */
    bool fit_weights;
    bool ablate; /* rows of the hybrid without each task, from the first variant's replies */
    const char *journal;      /* path, or NULL */
    const char *settings;     /* the run's identity, for the journal */
    double (*clock)(void);    /* seconds, monotonic */
    rr_progress_fn *progress; /* may be NULL; nonzero stops with RR_ERR_INTERRUPTED */
    void *progress_arg;
};

/* ranker NULL: the backbone alone (n_variants is 1). Users are those of rr_split_counts, in
 * ascending order. Release with rr_evaluation_free, also after a failure. */
int rr_evaluate(struct rr_evaluation *e, struct rr_ranker *ranker,
                const struct rr_evaluate_options *o, struct rr_error *err);
void rr_evaluation_free(struct rr_evaluation *e);

/* One run's identity, for reports. */
struct rr_run {
    const struct rr_split *split;
    const char *data, *model, *model_fingerprint, *task, *protocol;
    const char *candidates; /* name of their source */
    const char *options;    /* how the questions were put, as text */
    bool with_valid;        /* of the sources */
    uint64_t seed;
    double seconds;
    int n_context, model_context; /* 0: no model */
    bool latency;                 /* JSON: seconds per user at the median and at 95 %, too */
    bool clock; /* JSON may have clock readings: not where a resumed run must give it again byte for
                   byte */
};
void rr_evaluation_text(struct rr_buf *out, const struct rr_evaluation *e,
                        const struct rr_run *run);
void rr_evaluation_json(struct rr_buf *out, const struct rr_evaluation *e,
                        const struct rr_run *run);
/* One line: seconds in all and per user, and how much came from a journal. */
void rr_evaluation_clock(struct rr_buf *out, const struct rr_evaluation *e, double seconds);
/* A line per user: id, test item, its place in every row, tokens. */
void rr_evaluation_tsv(struct rr_buf *out, const struct rr_evaluation *e, const struct rr_run *run);
/* The p-quantile (nearest rank) of the seconds per user. */
double rr_evaluation_latency(const struct rr_evaluation *e, double p);

#endif
