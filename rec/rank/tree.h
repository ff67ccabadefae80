/* From prompts to a tree: what several prompts begin with is computed once (spec/method.md
 * section 9). */
#ifndef RR_TREE_H
#define RR_TREE_H

#include "engine/session.h"
#include "rec/prompt/template.h"
#include "rec/rank/choices.h"

struct rr_prompt_ids {
    const int *ids;
    int n; /* at least 1 */
};

/* Tokens that all prompts begin with, leaving each at least one of its own; 0 for a single one. */
int rr_tree_trunk(const struct rr_prompt_ids *p, int n);

/* A path in the session whose tokens are computed. */
struct rr_path {
    int node; /* its last; -1: there is no path */
    int *ids; /* [n] */
    int n;
    int above; /* of them are tokens of earlier nodes */
    size_t cap;
};

/* What texts may begin with. */
struct rr_known {
    struct rr_path heads[RR_N_TASKS]; /* task sentences: stay */
    struct rr_path kept;              /* a trunk of the same request; has room for any */
};

/* What leaves are opened below. */
struct rr_trunk {
    int node;     /* -1: none, the leaves begin at the beginning of text */
    int behind;   /* so many of its tokens */
    int n_tokens; /* on the path down to there */
    bool fed;     /* it has a node of its own, to be fed with the first leaves: */
    struct rr_feed feed;
};
/* The trunk ids[n], at least: as much of it as is known, up to `most` tokens of ids, and a node for
 * the rest. Opening drops the kept trunk where that is of no use. */
int rr_tree_open_trunk(struct rr_trunk *t, struct rr_session *s, struct rr_known *known,
                       const int *ids, int n, int most, struct rr_error *err);
/* The trunk of some prompts. */
int rr_tree_open_prompts(struct rr_trunk *t, struct rr_session *s, struct rr_known *known,
                         const struct rr_prompt_ids *p, int n, struct rr_error *err);
/* A leaf below it: rr_session_branch. */
int rr_tree_open_leaf(const struct rr_trunk *t, struct rr_session *s, int n_tokens, int *node,
                      struct rr_error *err);
/* Drops its node, or keeps it for what comes next in the request: if nothing is kept yet, and it
 * was computed. */
void rr_tree_close_trunk(const struct rr_trunk *t, struct rr_session *s, struct rr_known *known,
                         bool computed);
/* Drops what is kept. */
void rr_tree_forget(struct rr_session *s, struct rr_known *known);

struct rr_tree_job {
    const struct rr_prompt_ids *prompts; /* [n_prompts] */
    int n_prompts;
    struct rr_known *known;
    const struct rr_choices *choices; /* the prompts end in choices->common */
    const int (*pairs)[2]; /* [n_prompts] instead: two tokens are asked for behind each prompt */
    float *logits;         /* [n_prompts, choices->n_logits (pairs: 2)], the result */
    struct rr_feed *feeds; /* [n_prompts n_branches + 1], scratch */
    struct rr_want *wants; /* [n_prompts n_branches], scratch */
};

/* job->logits = what the model gives at every branch of the choices, after each prompt. The
 * prompts' longest common prefix is one trunk node (or what of it is not known), the
 * rest of each a leaf, a deeper branch a node below its leaf; leaves that do not fit into the
 * session together are computed in groups. The numbers are those that each prompt alone would give,
 * bit for bit. Afterwards the session is as it was found, but for a trunk that is kept. */
int rr_tree_answers(struct rr_session *s, const struct rr_tree_job *job, struct rr_error *err);

#endif
