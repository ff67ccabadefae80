/* See ranker.h. Prompts are tokenized whole and cut at their longest common prefix, so that
 * sharing cannot change a token. */
#include "rec/rank/ranker.h"

#include <math.h>
#include <string.h>
#include "engine/base/check.h"
#include "engine/base/limits.h"

#define DEFAULT_HISTORY 50

void rr_ranker_defaults(struct rr_ranker_options *o, const struct rr_model *model)
{
    if (!o->n_context)
        o->n_context = rr_max_int(model->h.n_context, RR_MIN_RANK_CONTEXT);
    if (!o->max_history)
        o->max_history = DEFAULT_HISTORY;
    if (!o->style.noun)
        o->style.noun = "movie";
    if (!o->style.levels)
        o->style.levels = 5;
}

/* The token of each answer: encode "Answer: 1", "Answer: 2", ...; all but the last token must be
 * the same. */
static int find_answers(struct rr_ranker *r, struct rr_error *err)
{
    int common[64], n_common = 0;
    for (int level = 1; level <= r->o.style.levels; level++) {
        char text[32] = "\nAnswer: ";
        text[9] = (char)('0' + level);
        int rc = rr_tokenizer_encode(r->tokenizer, &r->encoding, text, 10, err);
        if (rc)
            return rc;
        const int n = (int)r->encoding.n;
        bool fits = n > 1 && n <= 64;
        if (level == 1) {
            n_common = n;
            for (int i = 0; fits && i < n; i++)
                common[i] = r->encoding.ids[i];
        }
        fits = fits && n == n_common &&
               memcmp(common, r->encoding.ids, (size_t)(n - 1) * sizeof *common) == 0;
        r->answers[level - 1] = fits ? r->encoding.ids[n - 1] : -1;
        for (int other = 0; fits && other < level - 1; other++)
            fits = r->answers[other] != r->answers[level - 1];
        if (!fits)
            return rr_fail(err, RR_ERR_DATA, "ANSWER_TOKENS", RR_NOWHERE,
                           "the tokenizer does not give the answer \"%d\" one token of its own; "
                           "pointwise scoring needs that",
                           level);
    }
    return RR_OK;
}

int rr_ranker_init(struct rr_ranker *r, struct rr_engine *e, const struct rr_model *m,
                   const struct rr_tokenizer *t, const struct rr_ranker_options *o,
                   struct rr_error *err)
{
    *r = (struct rr_ranker){.tokenizer = t, .o = *o};
    rr_ranker_defaults(&r->o, m);
    if (r->o.style.levels < 2 || r->o.style.levels > RR_MAX_LEVELS)
        return rr_fail(err, RR_ERR_USAGE, "RANKER", RR_NOWHERE,
                       "%d rating levels; expected 2 to %d", r->o.style.levels, RR_MAX_LEVELS);
    if (r->o.n_context < 1 || r->o.n_context > RR_MAX_CONTEXT || r->o.max_history < 0)
        return rr_fail(err, RR_ERR_USAGE, "RANKER", RR_NOWHERE,
                       "a context of %d (1 to %d), a history of %d", r->o.n_context, RR_MAX_CONTEXT,
                       r->o.max_history);
    /* Room for a full trunk and its leaves; when they are longer, they go in groups. */
    const struct rr_session_options so = {.n_context = r->o.n_context,
                                          .n_cells = 2 * r->o.n_context + 1024};
    int rc = find_answers(r, err);
    if (!rc)
        rc = rr_session_open(&r->session, e, m, &so, err);
    if (rc)
        rr_ranker_release(r);
    return rc;
}

void rr_ranker_release(struct rr_ranker *r)
{
    rr_session_close(r->session);
    rr_encoding_free(&r->encoding);
    rr_buf_free(&r->text);
    rr_free(r->ids);
    rr_free(r->prompts);
    rr_free(r->starts);
    rr_free(r->logits);
    rr_free(r->feeds);
    rr_free(r->wants);
    *r = (struct rr_ranker){0};
}

/* Tokenizes one prompt with the newest history from `from` on into r->encoding, without the
 * answer itself. */
static int encode_prompt(struct rr_ranker *r, const struct rr_request *q, int from, int candidate,
                         struct rr_error *err)
{
    rr_prompt_pointwise(&r->text, &r->o.style, q->history + from, q->n_history - from,
                        &q->candidates[candidate]);
    /* With an answer behind it, the text ends in the tokens that the trained answer had before
     * its own. */
    rr_buf_add(&r->text, "1", 1);
    if (r->text.failed)
        return rr_fail_memory(err, "prompt", r->text.n);
    int rc = rr_tokenizer_encode(r->tokenizer, &r->encoding, r->text.data, r->text.n, err);
    if (rc)
        return rc;
    if (!r->encoding.n || r->encoding.ids[r->encoding.n - 1] != r->answers[0])
        return rr_fail(err, RR_ERR_DATA, "ANSWER_TOKENS", RR_NOWHERE,
                       "the answer merges with the prompt before it; pointwise scoring needs a "
                       "token of its own");
    r->encoding.n--;
    return RR_OK;
}

/* Appends BOS and the encoding to r->ids as prompt `candidate`. */
static int keep_prompt(struct rr_ranker *r, int candidate, struct rr_error *err)
{
    const int bos = rr_tokenizer_bos(r->tokenizer);
    const size_t n = r->encoding.n;
    if (!rr_grow(&r->ids, &r->cap_ids, r->n_ids + n + 1, sizeof *r->ids))
        return rr_fail_memory(err, "prompts", r->n_ids * sizeof *r->ids);
    r->starts[candidate] = r->n_ids;
    if (bos >= 0)
        r->ids[r->n_ids++] = bos;
    rr_copy(r->ids + r->n_ids, r->encoding.ids, n * sizeof *r->ids);
    r->n_ids += n;
    return RR_OK;
}

/* All prompts with the history from `from` on; *longest receives the length of the longest,
 * *which its candidate. */
static int encode_all(struct rr_ranker *r, const struct rr_request *q, int from, int *longest,
                      int *which, struct rr_error *err)
{
    r->n_ids = 0;
    *longest = 0;
    for (int i = 0; i < q->n_candidates; i++) {
        int rc = encode_prompt(r, q, from, i, err);
        if (!rc)
            rc = keep_prompt(r, i, err);
        if (rc)
            return rc;
        const int n = (int)(r->n_ids - r->starts[i]);
        if (n > *longest) {
            *longest = n;
            *which = i;
        }
    }
    r->starts[q->n_candidates] = r->n_ids;
    return RR_OK;
}

/* The least number of oldest history entries to drop so that the longest prompt fits, by
 * bisection: lengths grow with history. */
static int cut_history(struct rr_ranker *r, const struct rr_request *q, int *from, int which,
                       struct rr_error *err)
{
    const int most = r->o.n_context - (rr_tokenizer_bos(r->tokenizer) >= 0);
    int low = *from + 1, high = q->n_history;
    while (low < high) {
        const int middle = low + (high - low) / 2;
        int rc = encode_prompt(r, q, middle, which, err);
        if (rc)
            return rc;
        if ((int)r->encoding.n <= most)
            high = middle;
        else
            low = middle + 1;
    }
    *from = high;
    return RR_OK;
}

static int encode_fitting(struct rr_ranker *r, const struct rr_request *q, struct rr_error *err)
{
    int from = rr_max_int(0, q->n_history - r->o.max_history), longest = 0, which = 0, first = from;
    int rc = encode_all(r, q, from, &longest, &which, err);
    while (!rc && longest > r->o.n_context) {
        if (from >= q->n_history)
            return rr_fail(err, RR_ERR_DATA, "PROMPT_TOO_LONG", RR_NOWHERE,
                           "%d tokens without any history; the context holds %d: shorten the "
                           "titles or raise the context",
                           longest, r->o.n_context);
        rc = cut_history(r, q, &from, which, err);
        if (!rc)
            rc = encode_all(r, q, from, &longest, &which, err);
    }
    r->n_cut += from > first;
    return rc;
}

static int make_room(struct rr_ranker *r, int n, struct rr_error *err)
{
    const size_t k = (size_t)n;
    if (rr_grow(&r->prompts, &r->cap_prompts, k, sizeof *r->prompts) &&
        rr_grow(&r->starts, &r->cap_starts, k + 1, sizeof *r->starts) &&
        rr_grow(&r->logits, &r->cap_logits, k * RR_MAX_LEVELS, sizeof *r->logits) &&
        rr_grow(&r->feeds, &r->cap_feeds, k + 1, sizeof *r->feeds) &&
        rr_grow(&r->wants, &r->cap_wants, k, sizeof *r->wants))
        return RR_OK;
    return rr_fail_memory(err, "candidates", k * sizeof *r->wants);
}

/* sum_r r p(r), p = softmax over the allowed answers (spec/method.md section 5), in double. */
static double expected_rating(const float *logits, int levels)
{
    double max = logits[0], weight = 0, sum = 0;
    for (int i = 1; i < levels; i++)
        max = logits[i] > max ? logits[i] : max;
    for (int i = 0; i < levels; i++) {
        const double p = exp(logits[i] - max);
        weight += p;
        sum += p * (i + 1);
    }
    return sum / weight;
}

int rr_ranker_pointwise(struct rr_ranker *r, const struct rr_request *q, double *scores,
                        struct rr_error *err)
{
    const int n = q->n_candidates, levels = r->o.style.levels;
    if (n < 1 || n > RR_MAX_CANDIDATES || q->n_history < 0)
        return rr_fail(err, RR_ERR_USAGE, "REQUEST", RR_NOWHERE,
                       "%d candidates (1 to %d), %d rated titles", n, RR_MAX_CANDIDATES,
                       q->n_history);
    int rc = make_room(r, n, err);
    if (!rc)
        rc = encode_fitting(r, q, err);
    if (rc)
        return rc;
    for (int i = 0; i < n; i++)
        r->prompts[i] =
            (struct rr_prompt_ids){r->ids + r->starts[i], (int)(r->starts[i + 1] - r->starts[i])};
    const struct rr_tree_job job = {.prompts = r->prompts,
                                    .n_prompts = n,
                                    .answers = r->answers,
                                    .n_answers = levels,
                                    .logits = r->logits,
                                    .feeds = r->feeds,
                                    .wants = r->wants};
    rc = rr_tree_answers(r->session, &job, err);
    if (rc)
        return rc;
    r->tokens_asked += (long long)r->n_ids;
    for (int i = 0; i < n; i++)
        scores[i] = expected_rating(r->logits + (size_t)i * (size_t)levels, levels);
    return RR_OK;
}

void rr_order_by_score(struct rr_ranked *out, const double *scores, int n)
{
    for (int i = 0; i < n; i++) {
        int at = i;
        for (; at > 0 && scores[i] > out[at - 1].score; at--)
            out[at] = out[at - 1];
        out[at] = (struct rr_ranked){i, scores[i]};
    }
}
