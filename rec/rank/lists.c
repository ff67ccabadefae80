/* The listwise question by constrained decoding (see listing.h): all lists of a request are decoded
 * side by side over one trunk, feeding what is forced and asking at branches only. */
#include "engine/base/check.h"
#include "rec/rank/ranker.h"

/* An element as it stands in an answer: a blank, the quoted title, its end. It is tokenized behind
 * what the answer begins with; words end at blanks, so its tokens are the same behind another
 * element. */
int rr_ranker_elements_begin(struct rr_ranker *r, const struct rr_buf *behind, int n,
                             struct rr_error *err)
{
    rr_buf_clear(&r->element);
    rr_buf_add(&r->element, behind->data, behind->n);
    r->n_element_begin = behind->n;
    r->n_elements = 0;
    r->n_element_starts = 0;
    if (r->element.failed || !rr_grow(&r->element_starts, &r->cap_element_starts, (size_t)n + 1,
                                      sizeof *r->element_starts))
        return rr_fail_memory(err, "list", r->element.n);
    int rc = rr_tokenizer_encode(r->tokenizer, &r->encoding, r->element.data, r->element.n, err);
    if (rc)
        return rc;
    r->n_begin = r->encoding.n;
    if (!rr_grow(&r->begin, &r->cap_begin, r->n_begin, sizeof *r->begin))
        return rr_fail_memory(err, "list", r->n_begin * sizeof *r->begin);
    rr_copy(r->begin, r->encoding.ids, r->n_begin * sizeof *r->begin);
    r->element_starts[0] = 0;
    return RR_OK;
}

int rr_ranker_elements_add(struct rr_ranker *r, const char *title, const char *end,
                           struct rr_error *err)
{
    r->element.n = r->n_element_begin;
    rr_buf_puts(&r->element, " ");
    rr_prompt_add_title(&r->element, title);
    rr_buf_puts(&r->element, end);
    if (r->element.failed)
        return rr_fail_memory(err, "list", r->element.n);
    int rc = rr_tokenizer_encode(r->tokenizer, &r->encoding, r->element.data, r->element.n, err);
    if (rc)
        return rc;
    const size_t n = r->encoding.n, begin = r->n_begin;
    if (n <= begin || memcmp(r->begin, r->encoding.ids, begin * sizeof *r->begin) != 0)
        return rr_fail(err, RR_ERR_DATA, "ANSWER_TOKENS", RR_NOWHERE,
                       "the tokenizer merges a title with what stands before it; lists need titles "
                       "with tokens of their own");
    if (!rr_grow(&r->elements, &r->cap_elements, r->n_elements + n, sizeof *r->elements))
        return rr_fail_memory(err, "list", r->n_elements * sizeof *r->elements);
    rr_copy(r->elements + r->n_elements, r->encoding.ids + begin, (n - begin) * sizeof(int));
    r->n_elements += n - begin;
    r->element_starts[++r->n_element_starts] = (int)r->n_elements;
    return RR_OK;
}

/* The candidates as elements behind what the answer of a task begins with: those of a list end in a
 * comma, the answer to a pair is a title alone. */
static int encode_elements(struct rr_ranker *r, const struct rr_request *q, enum rr_task task,
                           struct rr_error *err)
{
    struct rr_buf begin = {0};
    int rc = rr_ranker_answer_begin(r, task, &begin, err);
    if (!rc)
        rc = rr_ranker_elements_begin(r, &begin, q->n_candidates, err);
    for (int c = 0; c < q->n_candidates && !rc; c++)
        rc = rr_ranker_elements_add(r, q->candidates[c].title, task == RR_LISTWISE ? "," : "", err);
    rr_buf_free(&begin);
    return rc;
}

static int make_room(struct rr_ranker *r, int n_candidates, struct rr_error *err)
{
    const size_t lists = (size_t)r->n_questions, n = (size_t)n_candidates;
    if (r->n_listings < r->n_questions || r->listing_n < n_candidates) {
        for (int i = 0; i < r->n_listings; i++)
            rr_listing_release(&r->listings[i]);
        rr_free(r->listings);
        r->n_listings = 0;
        r->listing_n = rr_max_int(r->listing_n, n_candidates);
        r->listings = rr_zalloc(lists, sizeof *r->listings);
        if (!r->listings)
            return rr_fail_memory(err, "lists", lists * sizeof *r->listings);
        for (; r->n_listings < r->n_questions; r->n_listings++) {
            int rc = rr_listing_init(&r->listings[r->n_listings], r->listing_n, err);
            if (rc)
                return rc;
        }
    }
    if (rr_grow(&r->decoded, &r->cap_decoded, lists * r->n_elements, sizeof *r->decoded) &&
        rr_grow(&r->logits, &r->cap_logits, lists * n, sizeof *r->logits) &&
        rr_grow(&r->feeds, &r->cap_feeds, lists + 1, sizeof *r->feeds) &&
        rr_grow(&r->wants, &r->cap_wants, lists, sizeof *r->wants))
        return RR_OK;
    return rr_fail_memory(err, "lists", lists * r->n_elements * sizeof *r->decoded);
}

/* Lists decoded side by side: list first + i has its node and what is to be fed to it next. */
struct group {
    int first, n;
    struct rr_feed next[RR_MAX_LISTS];
    bool done[RR_MAX_LISTS];
};

/* Opens nodes for lists from g->first on until the session is full; each will hold its prompt
 * behind the trunk and its answer. */
static int open_group(struct rr_ranker *r, const struct rr_trunk *trunk, struct group *g,
                      struct rr_error *err)
{
    for (g->n = 0; g->first + g->n < r->n_questions; g->n++) {
        const struct rr_prompt_ids *p = &r->prompts[g->first + g->n];
        struct rr_feed *f = &g->next[g->n];
        const int own = p->n - trunk->n_tokens;
        int rc = rr_tree_open_leaf(trunk, r->session, own + (int)r->n_elements, &f->node,
                                   g->n ? NULL : err);
        if (rc)
            return g->n ? RR_OK : rc;
        f->tokens = p->ids + trunk->n_tokens;
        f->n_tokens = own;
        g->done[g->n] = false;
    }
    return RR_OK;
}

/* Feeds every list of the group that is not done, lets the logits choose at its branch and runs on
 * to the next one. Returns how many are still not done, or a status. */
static int step(struct rr_ranker *r, struct group *g, const struct rr_feed *trunk,
                struct rr_error *err)
{
    const size_t n = (size_t)r->listings[g->first].n;
    int n_feeds = 0, n_wants = 0, left = 0, which[RR_MAX_LISTS];
    if (trunk)
        r->feeds[n_feeds++] = *trunk;
    for (int i = 0; i < g->n; i++) {
        const struct rr_listing *l = &r->listings[g->first + i];
        if (g->done[i])
            continue;
        r->wants[n_wants] = (struct rr_want){.feed = n_feeds,
                                             .offset = g->next[i].n_tokens - 1,
                                             .ids = l->allowed,
                                             .n_ids = l->n_allowed,
                                             .logits = r->logits + (size_t)n_wants * n};
        which[n_wants++] = i;
        r->feeds[n_feeds++] = g->next[i];
    }
    int rc = rr_session_eval(r->session, r->feeds, n_feeds, r->wants, n_wants, err);
    if (rc)
        return rc;
    for (int w = 0; w < n_wants; w++) {
        const int i = which[w];
        struct rr_listing *l = &r->listings[g->first + i];
        int *out = r->decoded + (size_t)(g->first + i) * r->n_elements;
        rr_listing_choose(l, r->wants[w].logits);
        g->done[i] = !rr_listing_run(l, out, &g->next[i].n_tokens);
        g->next[i].tokens = out;
        left += !g->done[i];
    }
    return left;
}

int rr_ranker_lists_decode(struct rr_ranker *r, struct rr_reply *reply, struct rr_error *err)
{
    struct rr_trunk trunk;
    struct group g = {0};
    int rc = rr_tree_open_prompts(&trunk, r->session, &r->known, r->prompts, r->n_questions, err);
    for (; g.first < r->n_questions && !rc; g.first += g.n) {
        rc = open_group(r, &trunk, &g, err);
        if (rc)
            break;
        int left = step(r, &g, trunk.fed && !g.first ? &trunk.feed : NULL, err);
        while (left > 0) {
            for (int i = 0; i < g.n; i++)
                reply->tokens_asked += g.done[i] ? 0 : g.next[i].n_tokens;
            left = step(r, &g, NULL, err);
        }
        rc = left;
        rr_session_rewind(r->session, g.next[0].node);
    }
    rr_tree_close_trunk(&trunk, r->session, &r->known, !rc);
    return rc;
}

static bool is_permutation(const int *order, int n, bool *seen)
{
    memset(seen, 0, (size_t)n * sizeof *seen);
    for (int i = 0; i < n; i++) {
        if (order[i] < 0 || order[i] >= n || seen[order[i]])
            return false;
        seen[order[i]] = true;
    }
    return true;
}

int rr_ranker_lists_prepare(struct rr_ranker *r, const struct rr_request *q, const int **end,
                            int *n_end, int *room, struct rr_error *err)
{
    bool more = false;
    int rc = encode_elements(r, q, RR_LISTWISE, err);
    if (!rc)
        rc = make_room(r, q->n_candidates, err);
    if (rc)
        return rc;
    /* What every answer begins with is fed with the prompt; it is the same for all lists. */
    for (int l = 0; l < r->n_questions; l++) {
        rr_listing_start(&r->listings[l], q->n_candidates, r->elements, r->element_starts);
        more = rr_listing_run(&r->listings[l], r->decoded, n_end);
    }
    *end = r->decoded;
    *room = (int)r->n_elements;
    if (!more)
        *n_end = -1;
    return RR_OK;
}

void rr_ranker_lists_read(struct rr_ranker *r, struct rr_reply *reply)
{
    const size_t n = (size_t)reply->n;
    for (int l = 0; l < reply->n_lists; l++) {
        struct rr_listing *x = &r->listings[l];
        memcpy(reply->listed + (size_t)l * n, x->order, n * sizeof *x->order);
        reply->n_invalid_lists += !is_permutation(x->order, reply->n, x->used);
    }
}

int rr_ranker_titles_prepare(struct rr_ranker *r, const struct rr_request *q, struct rr_error *err)
{
    int rc = encode_elements(r, q, RR_PAIRWISE, err);
    if (!rc && !rr_grow(&r->ways, &r->cap_ways, (size_t)r->n_questions, sizeof *r->ways))
        rc = rr_fail_memory(err, "pairs", (size_t)r->n_questions * sizeof *r->ways);
    return rc;
}

int rr_ranker_titles_append(struct rr_ranker *r, int i, struct rr_error *err)
{
    const int *starts = r->element_starts, a = r->questions[i].a, b = r->questions[i].b;
    const int *x = r->elements + starts[a], *y = r->elements + starts[b];
    const int most = rr_min_int(starts[a + 1] - starts[a], starts[b + 1] - starts[b]) - 1;
    int same = 0;
    while (same < most && x[same] == y[same])
        same++;
    if (!rr_grow(&r->ids, &r->cap_ids, r->n_ids + (size_t)same, sizeof *r->ids))
        return rr_fail_memory(err, "prompts", r->n_ids * sizeof *r->ids);
    rr_copy(r->ids + r->n_ids, x, (size_t)same * sizeof *r->ids);
    r->n_ids += (size_t)same;
    r->ways[i][0] = x[same];
    r->ways[i][1] = y[same];
    return RR_OK;
}
