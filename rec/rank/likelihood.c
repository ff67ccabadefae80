/* The likelihood of each candidate's title as the next liked one: log p(title | the user's liked
 * titles, oldest first), summed over the title's tokens. The liked titles are the trunk, the titles
 * the leaves; nothing is asked, so it needs no instruction tuning, only a model that has read what
 * is liked after what (rec/learn). */
#include "engine/base/check.h"
#include "rec/rank/ranker.h"

/* The trunk: what the likelihood is asked behind, and the newest liked titles from `from` on. */
struct trunk {
    int *ids;
    size_t n, cap;
};

static int add_trunk(struct trunk *t, const int *ids, size_t n, struct rr_error *err)
{
    if (!rr_grow(&t->ids, &t->cap, t->n + n, sizeof *t->ids))
        return rr_fail_memory(err, "trunk", (t->n + n) * sizeof *t->ids);
    rr_copy(t->ids + t->n, ids, n * sizeof *t->ids);
    t->n += n;
    return RR_OK;
}

/* The newest liked titles that are shown: how many, and the first one's place in the history. */
static int first_liked(const struct rr_ranker *r, const struct rr_request *q, int *n_liked)
{
    int first = q->n_history;
    *n_liked = 0;
    for (int i = q->n_history - 1; i >= 0 && *n_liked < r->o.n_titles; i--)
        if (q->history[i].rating >= r->o.style.like) {
            first = i;
            ++*n_liked;
        }
    return first;
}

/* Elements of the candidates, then of the liked titles, into r->elements. */
static int encode_titles(struct rr_ranker *r, const struct rr_request *q, int first, int n_liked,
                         struct rr_error *err)
{
    struct rr_buf head = {0};
    rr_prompt_likes_begin(&head, r->prompter.style.nouns);
    int rc = head.failed ? rr_fail_memory(err, "titles", head.n)
                         : rr_ranker_elements_begin(r, &head, q->n_candidates + n_liked, err);
    for (int c = 0; c < q->n_candidates && !rc; c++)
        rc = rr_ranker_elements_add(r, q->candidates[c].title, ",", err);
    for (int i = first; i < q->n_history && !rc; i++)
        if (q->history[i].rating >= r->o.style.like)
            rc = rr_ranker_elements_add(r, q->history[i].title, ",", err);
    rr_buf_free(&head);
    return rc;
}

static int length_of(const struct rr_ranker *r, int element)
{
    return r->element_starts[element + 1] - r->element_starts[element];
}

/* The trunk with as many of the newest liked titles as leave room for the longest candidate. */
static int make_trunk(struct rr_ranker *r, const struct rr_request *q, int n_liked, struct trunk *t,
                      struct rr_reply *reply, struct rr_error *err)
{
    const int bos = rr_tokenizer_bos(r->tokenizer), n = q->n_candidates;
    int longest = 0, first = n, rc = RR_OK;
    long long rows = (long long)r->n_begin + (bos >= 0);
    for (int c = 0; c < n; c++)
        longest = rr_max_int(longest, length_of(r, c));
    for (int l = 0; l < n_liked; l++)
        rows += length_of(r, n + l);
    for (; first < n + n_liked && rows + longest > r->o.n_context; first++)
        rows -= length_of(r, first);
    if (rows + longest > r->o.n_context)
        return rr_fail(
            err, RR_ERR_DATA, "PROMPT_TOO_LONG", RR_NOWHERE,
            "a title of %d tokens behind %lld; the context holds %d: raise the context (--context)",
            longest, rows, r->o.n_context);
    if (first > n) /* counted in liked titles here */
        reply->n_cut = rr_max_int(reply->n_cut, first - n);
    if (bos >= 0)
        rc = add_trunk(t, &bos, 1, err);
    if (!rc)
        rc = add_trunk(t, r->begin, r->n_begin, err);
    for (int e = first; e < n + n_liked && !rc; e++)
        rc = add_trunk(t, r->elements + r->element_starts[e], (size_t)length_of(r, e), err);
    return rc;
}

/* Titles scored side by side: candidates first .. first + n. */
struct group {
    int first, n, n_feeds, n_wants;
};

/* Opens a leaf for every title with more than one token, until the session is full. */
static int open_leaves(struct rr_ranker *r, const struct rr_trunk *trunk, int n_candidates,
                       struct group *g, struct rr_error *err)
{
    for (g->n = 0; g->first + g->n < n_candidates; g->n++) {
        const int c = g->first + g->n, n = length_of(r, c);
        struct rr_feed *f = &r->feeds[g->n_feeds];
        if (n < 2)
            continue;
        int rc = rr_tree_open_leaf(trunk, r->session, n - 1, &f->node, g->n ? NULL : err);
        if (rc)
            return g->n ? RR_OK : rc;
        f->tokens = r->elements + r->element_starts[c];
        f->n_tokens = n - 1;
        for (int t = 0; t + 1 < n; t++, g->n_wants++)
            r->wants[g->n_wants] = (struct rr_want){.feed = g->n_feeds,
                                                    .offset = t,
                                                    .ids = f->tokens + t + 1,
                                                    .n_ids = 1,
                                                    .logits = &r->logits[g->n_wants + n_candidates],
                                                    .log_norm = &r->norms[g->n_wants]};
        g->n_feeds++;
    }
    return RR_OK;
}

/* Sums what the leaves of a group gave. */
static void add_leaves(struct rr_ranker *r, const struct group *g, int w, int n_candidates,
                       double *out)
{
    for (int c = g->first; c < g->first + g->n; c++)
        for (int t = 1; t < length_of(r, c); t++, w++)
            out[c] += (double)r->logits[w + n_candidates] - r->norms[w];
}

static int make_room(struct rr_ranker *r, int n, struct rr_error *err)
{
    const size_t wants = r->n_elements + 1, k = (size_t)n;
    if (rr_grow(&r->logits, &r->cap_logits, k + wants, sizeof *r->logits) &&
        rr_grow(&r->norms, &r->cap_norms, wants, sizeof *r->norms) &&
        rr_grow(&r->feeds, &r->cap_feeds, k + 1, sizeof *r->feeds) &&
        rr_grow(&r->wants, &r->cap_wants, wants, sizeof *r->wants) &&
        rr_grow(&r->scratch, &r->cap_scratch, k, sizeof *r->scratch))
        return RR_OK;
    return rr_fail_memory(err, "likelihood", wants * sizeof *r->wants);
}

/* Evaluates trunk and leaves; out[n] = log-likelihoods. */
static int evaluate(struct rr_ranker *r, const struct trunk *t, int n, double *out,
                    struct rr_error *err)
{
    struct group g = {0};
    struct rr_trunk trunk; /* at least its last token is computed here, for what follows it */
    int rc =
        rr_tree_open_trunk(&trunk, r->session, &r->known, t->ids, (int)t->n, (int)t->n - 1, err);
    if (rc)
        return rc;
    /* The first tokens of all titles are read at the trunk's end. */
    for (int c = 0; c < n; c++)
        r->scratch[c] = r->elements[r->element_starts[c]];
    r->feeds[0] = trunk.feed;
    r->wants[0] = (struct rr_want){.feed = 0,
                                   .offset = trunk.feed.n_tokens - 1,
                                   .ids = r->scratch,
                                   .n_ids = n,
                                   .logits = r->logits,
                                   .log_norm = &r->norms[0]};
    g.n_feeds = g.n_wants = 1;
    while (g.first < n && !rc) {
        const int own = g.n_wants; /* 1 with the trunk, then 0 */
        rc = open_leaves(r, &trunk, n, &g, err);
        if (!rc)
            rc = rr_session_eval(r->session, r->feeds, g.n_feeds, r->wants, g.n_wants, err);
        if (rc)
            break;
        for (int c = 0; c < n && own; c++)
            out[c] = (double)r->logits[c] - r->norms[0];
        add_leaves(r, &g, own, n, out);
        if (g.n_feeds > own)
            rr_session_rewind(r->session, r->feeds[own].node);
        g = (struct group){.first = g.first + g.n};
    }
    rr_tree_close_trunk(&trunk, r->session, &r->known, false);
    return rc;
}

int rr_ranker_likelihood(struct rr_ranker *r, const struct rr_request *q, struct rr_reply *reply,
                         struct rr_error *err)
{
    struct trunk t = {0};
    int n_liked, first = first_liked(r, q, &n_liked);
    int rc = encode_titles(r, q, first, n_liked, err);
    if (!rc)
        rc = make_room(r, q->n_candidates, err);
    if (!rc)
        rc = make_trunk(r, q, n_liked, &t, reply, err);
    if (!rc)
        rc = evaluate(r, &t, q->n_candidates, reply->likelihood, err);
    for (int c = 0; c < q->n_candidates && !rc; c++) {
        reply->tokens_asked += (long long)t.n + length_of(r, c) - 1;
        if (r->o.per_token)
            reply->likelihood[c] /= length_of(r, c);
    }
    rr_free(t.ids);
    return rc;
}
