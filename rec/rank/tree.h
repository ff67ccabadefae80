/* From prompts to a tree: what several prompts begin with is computed once (spec/method.md
 * section 9). */
#ifndef RR_TREE_H
#define RR_TREE_H

#include "engine/session.h"
#include "rec/rank/choices.h"

struct rr_prompt_ids {
    const int *ids;
    int n; /* at least 1 */
};

/* Tokens that all prompts begin with, leaving each at least one of its own; 0 for a single one. */
int rr_tree_trunk(const struct rr_prompt_ids *p, int n);

/* The trunk as an open node and its feed; leaves are opened below it. */
struct rr_trunk {
    int node; /* -1: none, the leaves begin at the beginning of text */
    int n_tokens;
    struct rr_feed feed;
};
int rr_tree_open_trunk(struct rr_trunk *t, struct rr_session *s, const struct rr_prompt_ids *p,
                       int n, struct rr_error *err);

struct rr_tree_job {
    const struct rr_prompt_ids *prompts; /* [n_prompts] */
    int n_prompts;
    const struct rr_choices *choices; /* the prompts end in choices->common */
    const int (*pairs)[2]; /* [n_prompts] instead: two tokens are asked for behind each prompt */
    float *logits;         /* [n_prompts, choices->n_logits (pairs: 2)], the result */
    struct rr_feed *feeds; /* [n_prompts n_branches + 1], scratch */
    struct rr_want *wants; /* [n_prompts n_branches], scratch */
};

/* job->logits = what the model gives at every branch of the choices, after each prompt. The
 * prompts' longest common prefix is one trunk node, the rest of each a leaf, a deeper branch a node
 * below its leaf; leaves that do not fit into the session together are computed in groups. The
 * numbers are those that each prompt alone would give, bit for bit. Afterwards the session is as it
 * was found. */
int rr_tree_answers(struct rr_session *s, const struct rr_tree_job *job, struct rr_error *err);

#endif
