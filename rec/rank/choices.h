/* A closed set of answers ("1" to "5"; "Yes.", "No.") as token sequences behind a prompt, and their
 * probabilities under constrained decoding: at each place where the answers still possible go
 * different ways, the model's logits of just those ways, renormalised (spec/method.md section 5).
 */
#ifndef RR_CHOICES_H
#define RR_CHOICES_H

#include "tokenizer/tokenizer.h"

#define RR_MAX_CHOICES 10
#define RR_MAX_CHOICE_TOKENS 16

/* A place where answers part: `path` leads there from the end of the common tokens. */
struct rr_branch {
    int path[RR_MAX_CHOICE_TOKENS], n_path;
    int ids[RR_MAX_CHOICES], n_ids; /* what may come next, distinct */
    int way[RR_MAX_CHOICES];        /* of each answer: index into ids, or -1: it does not pass */
};

struct rr_choices {
    int n;
    int common[RR_MAX_CHOICE_TOKENS], n_common; /* tokens all answers begin with */
    struct rr_branch branches[RR_MAX_CHOICES];  /* the first has an empty path */
    int n_branches;
    int n_logits; /* ids of all branches together */
};

/* Tokenizes begin + " " + answer for every answer; what they all share with `begin` (the last line
 * of the prompt and what stands before it) is the prompt's own end. When one answer's tokens begin
 * another's, the token `end` decides (-1: there is none). RR_ERR_DATA "ANSWER_TOKENS": the
 * tokenizer does not keep the answers apart from the prompt or from each other. n is 2 to
 * RR_MAX_CHOICES. */
int rr_choices_make(struct rr_choices *c, const struct rr_tokenizer *t, struct rr_encoding *e,
                    const char *begin, const char *const *answers, int n, int end,
                    struct rr_error *err);

/* log_p[n] = log-probability of each answer, from logits[n_logits] (branch after branch). */
void rr_choices_log_p(double *log_p, const struct rr_choices *c, const float *logits);

#endif
