/* Generate-and-parse, the original's way (spec/method.md section 5): every question's answer is
 * sampled at temperature 0.1, top-k 40, top-p 0.1, and read. A rating that cannot be read counts as
 * the middle of the scale (rounded down), a pair as half for both, a title that is not listed as
 * last. All answers of a task grow side by side over one trunk; each has a random stream of its
 * own, so none depends on the others. */
#include <math.h>
#include "engine/base/check.h"
#include "rec/rank/parse.h"
#include "rec/rank/ranker.h"

#define SHORT_ANSWER 8      /* tokens of a rating, or of Yes or No */
#define TOKENS_PER_TITLE 32 /* and of each title of a list */

/* The answers being written. */
struct writing {
    struct rr_ranker *r;
    int most;             /* tokens of an answer */
    int first, n;         /* questions side by side */
    struct rr_feed *next; /* [n] */
    int *n_written;       /* [n] */
    bool *done;           /* [n] */
    struct rr_rng *rng;
    size_t n_vocab;
};

int rr_ranker_answer_tokens(enum rr_task task, int n_candidates)
{
    return task == RR_LISTWISE ? TOKENS_PER_TITLE * rr_min_int(RR_LIST_TOP, n_candidates)
                               : SHORT_ANSWER;
}

static int *written(const struct writing *w, int i)
{
    return w->r->decoded + (size_t)(w->first + i) * (size_t)w->most;
}

static int open_group(struct writing *w, const struct rr_trunk *trunk, struct rr_error *err)
{
    struct rr_ranker *r = w->r;
    for (w->n = 0; w->first + w->n < r->n_questions && w->n < RR_MAX_LISTS; w->n++) {
        const struct rr_prompt_ids *p = &r->prompts[w->first + w->n];
        struct rr_feed *f = &w->next[w->n];
        const int own = p->n - trunk->n_tokens;
        int rc = rr_tree_open_leaf(trunk, r->session, own + w->most, &f->node, w->n ? NULL : err);
        if (rc)
            return w->n ? RR_OK : rc;
        f->tokens = p->ids + trunk->n_tokens;
        f->n_tokens = own;
        w->done[w->n] = false;
        w->n_written[w->first + w->n] = 0;
    }
    return RR_OK;
}

/* One token more for every answer that is not done; returns how many are left, or a status. */
static int step(struct writing *w, const struct rr_feed *trunk, struct rr_error *err)
{
    struct rr_ranker *r = w->r;
    const int end = r->frame.end;
    int n_feeds = 0, n_wants = 0, left = 0, which[RR_MAX_LISTS];
    if (trunk)
        r->feeds[n_feeds++] = *trunk;
    for (int i = 0; i < w->n; i++) {
        if (w->done[i])
            continue;
        r->wants[n_wants] = (struct rr_want){.feed = n_feeds,
                                             .offset = w->next[i].n_tokens - 1,
                                             .logits = r->logits + (size_t)n_wants * w->n_vocab};
        which[n_wants++] = i;
        r->feeds[n_feeds++] = w->next[i];
    }
    int rc = rr_session_eval(r->session, r->feeds, n_feeds, r->wants, n_wants, err);
    if (rc)
        return rc;
    for (int k = 0; k < n_wants; k++) {
        const int i = which[k];
        int *out = written(w, i), *n = &w->n_written[w->first + i];
        struct rr_sampler s = {0.1, 40, 0.1, w->rng[w->first + i]};
        out[*n] = rr_sample(&s, r->wants[k].logits, (int)w->n_vocab, r->sample);
        w->rng[w->first + i] = s.rng;
        w->next[i].tokens = &out[*n];
        w->next[i].n_tokens = 1;
        w->done[i] = out[*n] == end || rr_tokenizer_ends(r->tokenizer, out[*n]);
        *n += !w->done[i];
        w->done[i] = w->done[i] || *n == w->most;
        left += !w->done[i];
    }
    return left;
}

static int write_all(struct writing *w, struct rr_reply *reply, struct rr_error *err)
{
    struct rr_ranker *r = w->r;
    struct rr_trunk trunk;
    int rc = rr_tree_open_prompts(&trunk, r->session, &r->known, r->prompts, r->n_questions, err);
    for (w->first = 0; w->first < r->n_questions && !rc; w->first += w->n) {
        rc = open_group(w, &trunk, err);
        if (rc)
            break;
        int left = step(w, trunk.fed && !w->first ? &trunk.feed : NULL, err);
        while (left > 0) {
            reply->tokens_asked += left;
            left = step(w, NULL, err);
        }
        rc = left;
        rr_session_rewind(r->session, w->next[0].node);
    }
    rr_tree_close_trunk(&trunk, r->session, &r->known, !rc);
    return rc;
}

/* The answer's text up to its first line break behind something. */
static int decode(const struct writing *w, int question, struct rr_buf *text, struct rr_error *err)
{
    const struct rr_ranker *r = w->r;
    rr_buf_clear(text);
    int rc =
        rr_tokenizer_decode(r->tokenizer, text, r->decoded + (size_t)question * (size_t)w->most,
                            (size_t)w->n_written[question], err);
    if (!rc && text->failed)
        rc = rr_fail_memory(err, "answer", text->n);
    size_t i = 0;
    while (i < text->n && (text->data[i] == ' ' || text->data[i] == '\n'))
        i++;
    while (i < text->n && text->data[i] != '\n')
        i++;
    text->n = i;
    return rc;
}

static void read_answer(struct rr_ranker *r, const struct rr_request *q, int question,
                        const struct rr_buf *text, struct rr_reply *reply)
{
    const struct rr_question *qn = &r->questions[question];
    const int levels = r->o.style.levels, step = r->prompter.style.no_shift ? 1 : 2;
    const char *s = text->data ? text->data : "";
    if (qn->task == RR_POINTWISE) {
        const int v = rr_parse_rating(s, text->n, levels);
        reply->n_malformed += !v;
        reply->rating[qn->a] = v ? v : (levels + 1) / 2;
    } else if (qn->task == RR_PAIRWISE) {
        const int v = rr_parse_yes_no(s, text->n);
        struct rr_pair_reply *p = &reply->pairs[question / step];
        reply->n_malformed += !v;
        *(question % step ? &p->backward : &p->forward) = v;
    } else {
        const int bad = rr_parse_list(reply->listed + (size_t)question * (size_t)q->n_candidates, q,
                                      s, text->n, r->used, &r->prompt.text);
        const bool short_list = reply->listed[question * q->n_candidates +
                                              rr_min_int(RR_LIST_TOP, q->n_candidates) - 1] < 0;
        reply->n_malformed += bad || short_list;
        reply->n_invalid_lists += reply->listed[(question + 1) * q->n_candidates - 1] < 0 || bad;
    }
}

static int make_room(struct writing *w, int n_candidates, struct rr_error *err)
{
    struct rr_ranker *r = w->r;
    const size_t n = (size_t)r->n_questions;
    const size_t side = n < RR_MAX_LISTS ? n : RR_MAX_LISTS;
    w->next = rr_zalloc(side, sizeof *w->next);
    w->done = rr_alloc(side, sizeof *w->done);
    w->n_written = rr_zalloc(n, sizeof *w->n_written);
    w->rng = rr_alloc(n, sizeof *w->rng);
    if (w->next && w->done && w->n_written && w->rng &&
        rr_grow(&r->used, &r->cap_used, (size_t)n_candidates, sizeof *r->used) &&
        rr_grow(&r->decoded, &r->cap_decoded, n * (size_t)w->most, sizeof *r->decoded) &&
        rr_grow(&r->logits, &r->cap_logits, side * w->n_vocab, sizeof *r->logits) &&
        rr_grow(&r->feeds, &r->cap_feeds, side + 1, sizeof *r->feeds) &&
        rr_grow(&r->wants, &r->cap_wants, side, sizeof *r->wants) &&
        rr_grow(&r->sample, &r->cap_sample, w->n_vocab, sizeof *r->sample))
        return RR_OK;
    return rr_fail_memory(err, "answers", side * w->n_vocab * sizeof *r->logits);
}

int rr_ranker_generate(struct rr_ranker *r, const struct rr_request *q, enum rr_task task,
                       struct rr_reply *reply, struct rr_error *err)
{
    struct writing w = {.r = r, .most = rr_ranker_answer_tokens(task, q->n_candidates)};
    struct rr_buf text = {0};
    w.n_vocab = (size_t)r->n_vocab;
    int rc = make_room(&w, q->n_candidates, err);
    for (int i = 0; i < r->n_questions && !rc; i++) {
        struct rr_rng mix;
        rr_rng_stream(&mix, r->o.style.seed, q->id);
        rr_rng_stream(&w.rng[i], rr_rng_u64(&mix), (uint64_t)task << 32 | (uint32_t)i);
    }
    if (!rc)
        rc = write_all(&w, reply, err);
    for (int i = 0; i < r->n_questions && !rc; i++) {
        rc = decode(&w, i, &text, err);
        if (!rc)
            read_answer(r, q, i, &text, reply);
    }
    rr_buf_free(&text);
    rr_free(w.next);
    rr_free(w.done);
    rr_free(w.n_written);
    rr_free(w.rng);
    return rc;
}
