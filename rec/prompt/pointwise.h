/* The text of the pointwise question (spec/method.md section 4): the user's ratings, one
 * candidate, the hint, "Answer: ". */
#ifndef RR_PROMPT_POINTWISE_H
#define RR_PROMPT_POINTWISE_H

#include "engine/base/mem.h"
#include "rec/recrank.h"

struct rr_prompt_style {
    const char *noun; /* "movie" */
    int levels;       /* ratings go from 1 to this */
};

/* Replaces out by the prompt for one candidate, up to and with "Answer: ". All prompts of one
 * user share every byte before the candidate's title. */
void rr_prompt_pointwise(struct rr_buf *out, const struct rr_prompt_style *style,
                         const struct rr_rated *history, int n_history,
                         const struct rr_asked *candidate);

#endif
