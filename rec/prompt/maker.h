/* One drawn user at work: what the kinds of instructions share. Not for other folders. */
#ifndef RR_MAKER_H
#define RR_MAKER_H

#include "rec/prompt/instruct.h"

struct rr_maker {
    const struct rr_split *split;
    const struct rr_instruct_options *o;
    const struct rr_folds *folds;
    struct rr_prompter prompter;
    struct rr_prompt prompt;
    struct rr_buf answer;
    struct rr_rated *history;
    struct rr_asked asked[RR_LIST_SIZE];
    struct rr_next *next; /* NULL: the paper's instructions */
    float *scores;        /* [n_items] of the fold's model for the user */
    int *pool;            /* training items */
    int n_pool;
    struct rr_rng rng;
    int user;
    uint64_t draw;
    rr_instruction_fn *emit;
    void *arg;
    struct rr_error *err;
};

/* Shows the prompt and its answer (in m->answer) to the caller. */
int rr_maker_finish(struct rr_maker *m, struct rr_instruction *in, const struct rr_request *q,
                    const struct rr_question *question);
/* m->answer = what the answer of a task begins with, and a blank. */
void rr_maker_begin_answer(struct rr_maker *m, enum rr_task task);

/* Appends the answer to a pair, as its template wants it: the preferred title, or whether the first
 * is preferred. */
void rr_maker_answer_pair(struct rr_maker *m, const char *preferred, bool first);

/* next.c: instructions about the next liked title. Open after m->folds were made; what is kept
 * between draws is in m->next. */
int rr_next_open(struct rr_maker *m, struct rr_error *err);
void rr_next_close(struct rr_maker *m);
/* The instructions of one draw; made[t] counts those of a task. */
int rr_next_draw(struct rr_maker *m, int *made);

#endif
