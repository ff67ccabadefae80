/* See tree.h. */
#include "rec/rank/tree.h"

#include "engine/base/check.h"

int rr_tree_trunk(const struct rr_prompt_ids *p, int n)
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

int rr_tree_open_trunk(struct rr_trunk *t, struct rr_session *s, const struct rr_prompt_ids *p,
                       int n, struct rr_error *err)
{
    *t = (struct rr_trunk){.node = -1, .n_tokens = rr_tree_trunk(p, n)};
    if (!t->n_tokens)
        return RR_OK;
    int rc = rr_session_branch(s, -1, t->n_tokens, &t->node, err);
    t->feed = (struct rr_feed){t->node, p[0].ids, t->n_tokens};
    return rc;
}

/* Of pairs of tokens: one place, two ways. */
static const struct rr_choices two_ways = {
    .n = 2, .branches = {{.n_ids = 2}}, .n_branches = 1, .n_logits = 2};

static const struct rr_choices *choices_of(const struct rr_tree_job *job)
{
    return job->pairs ? &two_ways : job->choices;
}

/* Opens the nodes of one prompt: its leaf, and one below it per deeper branch. RR_OK, or the status
 * of the one that did not fit; then the session is as before. */
static int open_leaf(struct rr_session *s, const struct rr_tree_job *job,
                     const struct rr_trunk *trunk, int prompt, struct rr_feed *feeds,
                     struct rr_error *err)
{
    const struct rr_prompt_ids *p = &job->prompts[prompt];
    const struct rr_choices *c = choices_of(job);
    int rc = rr_session_branch(s, trunk->node, p->n - trunk->n_tokens, &feeds[0].node, err);
    if (rc)
        return rc;
    feeds[0].tokens = p->ids + trunk->n_tokens;
    feeds[0].n_tokens = p->n - trunk->n_tokens;
    for (int b = 1; b < c->n_branches && !rc; b++) {
        rc = rr_session_branch(s, feeds[0].node, c->branches[b].n_path, &feeds[b].node, err);
        feeds[b].tokens = c->branches[b].path;
        feeds[b].n_tokens = c->branches[b].n_path;
    }
    if (rc)
        rr_session_rewind(s, feeds[0].node);
    return rc;
}

/* Opens leaves for prompts[first..] until the session is full; returns how many, or a status
 * when not even one fits. */
static int open_leaves(struct rr_session *s, const struct rr_tree_job *job,
                       const struct rr_trunk *trunk, int first, struct rr_feed *feeds,
                       struct rr_error *err)
{
    int n = 0;
    for (; first + n < job->n_prompts; n++) {
        int rc = open_leaf(s, job, trunk, first + n, feeds + n * choices_of(job)->n_branches,
                           n ? NULL : err);
        if (rc)
            return n ? n : rc;
    }
    return n;
}

static void make_wants(const struct rr_tree_job *job, const struct rr_feed *feeds, int n_before,
                       int first, int n)
{
    const struct rr_choices *c = choices_of(job);
    float *logits = job->logits + (size_t)first * (size_t)c->n_logits;
    for (int i = 0; i < n * c->n_branches; i++) {
        const struct rr_branch *b = &c->branches[i % c->n_branches];
        job->wants[i] = (struct rr_want){.feed = n_before + i,
                                         .offset = feeds[i].n_tokens - 1,
                                         .ids = job->pairs ? job->pairs[first + i] : b->ids,
                                         .n_ids = b->n_ids,
                                         .logits = logits};
        logits += b->n_ids;
    }
}

int rr_tree_answers(struct rr_session *s, const struct rr_tree_job *job, struct rr_error *err)
{
    struct rr_trunk trunk;
    int rc = rr_tree_open_trunk(&trunk, s, job->prompts, job->n_prompts, err);
    int n_before = trunk.node >= 0; /* feeds ahead of the leaves: the trunk, in the first group */
    job->feeds[0] = trunk.feed;
    for (int first = 0; first < job->n_prompts && !rc; n_before = 0) {
        struct rr_feed *leaves = job->feeds + n_before;
        const int n = open_leaves(s, job, &trunk, first, leaves, err);
        if (n < 0) {
            rc = n;
            break;
        }
        make_wants(job, leaves, n_before, first, n);
        const int n_feeds = n * choices_of(job)->n_branches;
        rc = rr_session_eval(s, job->feeds, n_before + n_feeds, job->wants, n_feeds, err);
        rr_session_rewind(s, leaves[0].node);
        first += n;
    }
    if (trunk.node >= 0)
        rr_session_rewind(s, trunk.node);
    return rc;
}
