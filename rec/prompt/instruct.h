/* The instruction set (spec/method.md section 4): sampled users, three kinds of questions with
 * their answers, and every leak of the original closed. What is written depends on nothing but the
 * training part of a split: which items are held out, and how they were rated, changes no byte.
 *
 * One consequence differs from the original: the item that a pairwise or listwise instruction calls
 * not liked is drawn from all training items that the user has not liked (pairwise) or rated
 * (listwise) in training, held-out ones included. Leaving them out, as the original does, would
 * tell which they are. */
#ifndef RR_INSTRUCT_H
#define RR_INSTRUCT_H

#include "rec/prompt/folds.h"
#include "rec/prompt/prompt.h"
#include "rec/prompt/sampling.h"

#define RR_LIST_UNRATED 5
#define RR_LIST_SIZE (RR_SET_SIZE + RR_LIST_UNRATED)

struct rr_instruction {
    enum rr_task task;
    int user;
    const struct rr_prompt *prompt;
    const char *answer; /* "Answer: 4" */
    int items[RR_LIST_SIZE];
    int n_items, n_answers; /* the first n_answers are what the answer is about */
    const struct rr_request *request;
    const struct rr_split *hint_split; /* what the models behind the hint were fitted on */
    const struct rr_rating *next;      /* in split->rated: the like it is about; or NULL */
};
/* Nonzero stops with that status. */
typedef int rr_instruction_fn(void *arg, const struct rr_instruction *in, struct rr_error *err);

struct rr_instruct_options {
    unsigned tasks; /* bit per task; 0: all */
    struct rr_sampling_options sampling;
    struct rr_folds_options folds;
    struct rr_prompt_style style;
    bool official;  /* the original's leaks: answers stay in the history shown, hints have seen the
                       labels, ties in hints keep the answer's order, held-out items are left out
                       where something not liked is drawn */
    bool in_sample; /* hints alone are as leaky as the original's: one model that has seen all */
    bool next;      /* instead of the paper's: which of a recommender's candidates was liked next
                       (next.c) */
    bool tied_scores; /* for the audit: the recommender says the same about everything */
    uint64_t seed;
};

struct rr_instruct_report {
    struct rr_sampling sampling;
    int n[RR_N_TASKS];
    int n_without[RR_N_TASKS]; /* draws that gave none: not enough ratings */
};

/* Emits the instructions of every draw, task after task. embeddings[n_users, dim] are for sampling
 * (NULL when its clustering is off). The report is filled also after a failure; release its
 * sampling with rr_sampling_free. */
int rr_instruct(struct rr_instruct_report *report, const struct rr_split *split,
                const float *embeddings, int dim, const struct rr_instruct_options *o,
                rr_instruction_fn *emit, void *arg, struct rr_error *err);

enum rr_dialect { RR_DIALECT_MESSAGES, RR_DIALECT_ALPACA, RR_DIALECT_SHAREGPT };
const char *rr_dialect_name(enum rr_dialect d); /* "messages", "alpaca", "sharegpt" */
/* Appends one line of JSON: the dialect's own fields, then "task", "user", "items". */
void rr_instruction_write(struct rr_buf *out, enum rr_dialect dialect,
                          const struct rr_instruction *in, const struct rr_dataset *d);
/* Appends LLaMA-Factory's dataset_info.json for a file in a dialect. */
void rr_dialect_info(struct rr_buf *out, enum rr_dialect dialect, const char *file);

#endif
