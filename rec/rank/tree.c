/* See tree.h. */
#include "rec/rank/tree.h"

#include "engine/base/check.h"
#include "engine/base/mem.h"

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

/* How many of ids[most] a path begins with; 0 where that is no more than its earlier nodes have. */
static int begins_with(const struct rr_path *p, const int *ids, int most)
{
    int same = 0;
    if (p->node < 0)
        return 0;
    while (same < p->n && same < most && p->ids[same] == ids[same])
        same++;
    return same > p->above ? same : 0;
}

/* A kept trunk takes room: it must be worth it. */
#define LEAST_KEPT 16

int rr_tree_open_trunk(struct rr_trunk *t, struct rr_session *s, struct rr_known *known,
                       const int *ids, int n, int most, struct rr_error *err)
{
    const struct rr_path *best = NULL;
    int same = 0;
    for (int i = 0; i < RR_N_TASKS; i++) {
        const int also = begins_with(&known->heads[i], ids, most);
        if (also > same) {
            same = also;
            best = &known->heads[i];
        }
    }
    const int kept = begins_with(&known->kept, ids, most);
    if (kept >= same + LEAST_KEPT) {
        same = kept;
        best = &known->kept;
    } else {
        rr_tree_forget(s, known);
    }
    *t = (struct rr_trunk){.node = -1, .n_tokens = rr_max_int(n, same)};
    if (best) {
        t->node = best->node;
        t->behind = same - best->above;
    }
    const int own = t->n_tokens - same;
    if (!own)
        return RR_OK;
    int rc = rr_session_branch_at(s, t->node, t->behind, own, &t->node, err);
    t->behind = own;
    t->fed = rc == RR_OK;
    t->feed = (struct rr_feed){t->node, ids + same, own};
    return rc;
}

int rr_tree_open_prompts(struct rr_trunk *t, struct rr_session *s, struct rr_known *known,
                         const struct rr_prompt_ids *p, int n, struct rr_error *err)
{
    const int common = rr_tree_trunk(p, n);
    return rr_tree_open_trunk(t, s, known, p[0].ids, common, n > 1 ? common : p[0].n - 1, err);
}

int rr_tree_open_leaf(const struct rr_trunk *t, struct rr_session *s, int n_tokens, int *node,
                      struct rr_error *err)
{
    return rr_session_branch_at(s, t->node, t->behind, n_tokens, node, err);
}

void rr_tree_close_trunk(const struct rr_trunk *t, struct rr_session *s, struct rr_known *known,
                         bool computed)
{
    struct rr_path *kept = &known->kept;
    const size_t n = (size_t)t->n_tokens;
    if (!t->fed)
        return;
    if (!computed || kept->node >= 0 || kept->cap < n) {
        rr_session_rewind(s, t->node);
        return;
    }
    kept->node = t->node;
    kept->n = t->n_tokens;
    kept->above = t->n_tokens - t->feed.n_tokens;
    rr_copy(kept->ids, t->feed.tokens - kept->above, n * sizeof *kept->ids);
}

void rr_tree_forget(struct rr_session *s, struct rr_known *known)
{
    if (known->kept.node >= 0)
        rr_session_rewind(s, known->kept.node);
    known->kept.node = -1;
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
    int rc = rr_tree_open_leaf(trunk, s, p->n - trunk->n_tokens, &feeds[0].node, err);
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
    int rc = rr_tree_open_prompts(&trunk, s, job->known, job->prompts, job->n_prompts, err);
    int n_before = trunk.fed; /* feeds ahead of the leaves: the trunk, in the first group */
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
    rr_tree_close_trunk(&trunk, s, job->known, !rc);
    return rc;
}
