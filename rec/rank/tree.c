/* See tree.h. */
#include "rec/rank/tree.h"

#include "engine/base/check.h"

static int common_prefix(const struct rr_prompt_ids *p, int n)
{
    int len = p[0].n - 1; /* every leaf keeps a token to read the answer behind */
    for (int i = 1; i < n; i++) {
        int same = 0, most = rr_min_int(len, p[i].n - 1);
        while (same < most && p[i].ids[same] == p[0].ids[same])
            same++;
        len = same;
    }
    return n > 1 ? len : 0;
}

/* Opens leaves for prompts[first..] until the session is full; returns how many, or a status
 * when not even one fits. */
static int open_leaves(struct rr_session *s, const struct rr_tree_job *job, int trunk, int n_trunk,
                       int first, struct rr_feed *feeds, struct rr_error *err)
{
    int n = 0;
    for (; first + n < job->n_prompts; n++) {
        const struct rr_prompt_ids *p = &job->prompts[first + n];
        struct rr_feed *f = &feeds[n];
        int rc = rr_session_branch(s, trunk, p->n - n_trunk, &f->node, n ? NULL : err);
        if (rc)
            return n ? n : rc;
        f->tokens = p->ids + n_trunk;
        f->n_tokens = p->n - n_trunk;
    }
    return n;
}

int rr_tree_answers(struct rr_session *s, const struct rr_tree_job *job, struct rr_error *err)
{
    const int n_trunk = common_prefix(job->prompts, job->n_prompts);
    int trunk = -1, rc = RR_OK;
    int n_before = 0; /* feeds ahead of the leaves: the trunk, in the first group */
    if (n_trunk) {
        if ((rc = rr_session_branch(s, -1, n_trunk, &trunk, err)) != 0)
            return rc;
        job->feeds[n_before++] = (struct rr_feed){trunk, job->prompts[0].ids, n_trunk};
    }
    for (int first = 0; first < job->n_prompts && !rc; n_before = 0) {
        struct rr_feed *leaves = job->feeds + n_before;
        const int n = open_leaves(s, job, trunk, n_trunk, first, leaves, err);
        if (n < 0) {
            rc = n;
            break;
        }
        for (int i = 0; i < n; i++)
            job->wants[i] = (struct rr_want){.feed = n_before + i,
                                             .offset = leaves[i].n_tokens - 1,
                                             .ids = job->answers,
                                             .n_ids = job->n_answers,
                                             .logits = job->logits + (size_t)(first + i) *
                                                                         (size_t)job->n_answers};
        rc = rr_session_eval(s, job->feeds, n_before + n, job->wants, n, err);
        rr_session_rewind(s, leaves[0].node);
        first += n;
    }
    if (trunk >= 0)
        rr_session_rewind(s, trunk);
    return rc;
}
