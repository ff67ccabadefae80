/* The task sentences: what all prompts of a task begin with, whoever is asked about. Their keys and
 * values are computed when the ranker is set up (or set up anew, for other questions), and stay in
 * its session. */
#include "rec/rank/ranker.h"

/* What the system section of a task says. How much of it a prompt really begins with is looked at
 * when it is asked (rr_tree_open_trunk): with few candidates it says so, and its last token may
 * merge with what stands behind. A sentence too long for its share of the cells is not kept. */
static int encode_head(struct rr_ranker *r, enum rr_task task, struct rr_error *err)
{
    struct rr_asked candidates[RR_LIST_TOP] = {{0}};
    struct rr_path *h = &r->known.heads[task];
    int shown[RR_LIST_TOP];
    for (int i = 0; i < RR_LIST_TOP; i++) {
        candidates[i].title = "";
        shown[i] = i;
    }
    const struct rr_request q = {.candidates = candidates, .n_candidates = RR_LIST_TOP};
    const struct rr_question question = {.task = task, .b = 1, .shown = shown};
    const int bos = r->frame.bos;
    h->n = 0;
    int rc = rr_prompt_make(&r->prompt, &r->prompter, &q, &question, err);
    const struct rr_chat_turns head = {.system = r->prompt.text.data,
                                       .n_system = r->prompt.system_end};
    if (rc || !head.n_system)
        return rc;
    rc = rr_chat_encode(&r->encoding, &r->frame, &head, err);
    const size_t n = r->encoding.n;
    if (rc || n >= RR_HEAD_CELLS / RR_N_TASKS || (int)n > r->o.n_context / 2)
        return rc;
    if (!rr_grow(&h->ids, &h->cap, n + 1, sizeof *h->ids))
        return rr_fail_memory(err, "task", n * sizeof *h->ids);
    if (bos >= 0)
        h->ids[h->n++] = bos;
    rr_copy(h->ids + h->n, r->encoding.ids, n * sizeof *h->ids);
    h->n += (int)n;
    return RR_OK;
}

static void forget_all(struct rr_ranker *r)
{
    rr_session_rewind(r->session, 0);
    r->known.kept.node = -1;
    for (int t = 0; t < RR_N_TASKS; t++)
        r->known.heads[t].node = -1;
}

int rr_ranker_heads_make(struct rr_ranker *r, struct rr_error *err)
{
    int rc = RR_OK, n_feeds = 0;
    struct rr_feed feeds[RR_N_TASKS];
    struct rr_path *kept = &r->known.kept;
    forget_all(r);
    if (!rr_grow(&kept->ids, &kept->cap, (size_t)r->o.n_context, sizeof *kept->ids))
        return rr_fail_memory(err, "trunk", (size_t)r->o.n_context * sizeof *kept->ids);
    for (int t = 0; t < RR_N_TASKS && !rc; t++) {
        struct rr_path *h = &r->known.heads[t];
        if (!(r->o.tasks >> t & 1))
            continue;
        rc = encode_head(r, (enum rr_task)t, err);
        if (rc || !h->n)
            continue;
        rc = rr_session_branch(r->session, -1, h->n, &h->node, err);
        feeds[n_feeds++] = (struct rr_feed){h->node, h->ids, h->n};
    }
    if (!rc)
        rc = rr_session_eval(r->session, feeds, n_feeds, NULL, 0, err);
    if (rc)
        forget_all(r);
    return rc;
}

void rr_ranker_heads_release(struct rr_ranker *r)
{
    for (int t = 0; t < RR_N_TASKS; t++)
        rr_free(r->known.heads[t].ids);
    rr_free(r->known.kept.ids);
}
