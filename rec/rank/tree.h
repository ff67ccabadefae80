/* From prompts to a tree: what several prompts begin with is computed once (spec/method.md
 * section 9). */
#ifndef RR_TREE_H
#define RR_TREE_H

#include "engine/session.h"

struct rr_prompt_ids {
    const int *ids;
    int n; /* at least 1 */
};

struct rr_tree_job {
    const struct rr_prompt_ids *prompts; /* [n_prompts] */
    int n_prompts;
    const int *answers; /* [n_answers] token ids */
    int n_answers;
    float *logits;         /* [n_prompts, n_answers], the result */
    struct rr_feed *feeds; /* [n_prompts + 1], scratch */
    struct rr_want *wants; /* [n_prompts], scratch */
};

/* job->logits = what the model gives the answers after each prompt. The prompts' longest common
 * prefix is one trunk node, the rest of each a leaf; leaves that do not fit into the session
 * together are computed in groups. The numbers are those that each prompt alone would give, bit
 * for bit. Afterwards the session is as it was found. */
int rr_tree_answers(struct rr_session *s, const struct rr_tree_job *job, struct rr_error *err);

#endif
