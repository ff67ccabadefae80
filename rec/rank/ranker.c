/* See ranker.h. Prompts are tokenized whole and cut at their longest common prefix, so that
 * sharing cannot change a token. */
#include "rec/rank/ranker.h"

#include <math.h>
#include <stdio.h>
#include "engine/base/check.h"
#include "engine/base/limits.h"

static int check_options(const struct rr_ranker_options *o, struct rr_error *err)
{
    if (o->tasks & RR_ASK(RR_POINTWISE) && (o->style.levels < 2 || o->style.levels > RR_MAX_LEVELS))
        return rr_fail(
            err, RR_ERR_USAGE, "RANKER", RR_NOWHERE,
            "a rating scale up to %d; the pointwise question takes 2 to %d: ask the other "
            "tasks alone, or rescale the ratings",
            o->style.levels, RR_MAX_LEVELS);
    if (o->n_context < 1 || o->n_context > RR_MAX_CONTEXT)
        return rr_fail(err, RR_ERR_USAGE, "RANKER", RR_NOWHERE, "a context of %d; expected 1 to %d",
                       o->n_context, RR_MAX_CONTEXT);
    if (o->pair_rounds < 1 || o->pair_rounds > RR_MAX_PAIR_ROUNDS || o->list_shuffles < 1 ||
        o->list_shuffles > RR_MAX_LISTS)
        return rr_fail(err, RR_ERR_USAGE, "RANKER", RR_NOWHERE,
                       "%d rounds of pairs (1 to %d), %d lists (1 to %d)", o->pair_rounds,
                       RR_MAX_PAIR_ROUNDS, o->list_shuffles, RR_MAX_LISTS);
    if (o->generate && o->tasks & RR_ASK(RR_PAIRWISE) &&
        o->style.templates[RR_PAIRWISE]->title_answer)
        return rr_fail(
            err, RR_ERR_USAGE, "RANKER", RR_NOWHERE,
            "this model's pairs are answered by titles, which are scored, not generated: leave "
            "pairwise out, or give it a wording that is answered by Yes or No "
            "(--template-pairwise)");
    return RR_OK;
}

int rr_ranker_answer_begin(const struct rr_ranker *r, enum rr_task task, struct rr_buf *out,
                           struct rr_error *err)
{
    rr_buf_clear(out);
    rr_buf_puts(out, r->frame.lead);
    rr_template_render(out, r->prompter.style.templates[task], RR_SECTION_ANSWER, NULL, NULL);
    return out->failed ? rr_fail_memory(err, "answers", out->n) : RR_OK;
}

static int find_answers(struct rr_ranker *r, struct rr_error *err)
{
    static const char *const levels[RR_MAX_LEVELS] = {"1", "2", "3", "4", "5",
                                                      "6", "7", "8", "9", "10"};
    static const char *const yes_no[] = {"Yes.", "No."};
    struct rr_buf begin = {0};
    int rc = RR_OK;
    if (r->o.tasks & RR_ASK(RR_POINTWISE)) {
        rc = rr_ranker_answer_begin(r, RR_POINTWISE, &begin, err);
        if (!rc)
            rc = rr_choices_make(&r->ratings, r->tokenizer, &r->encoding, begin.data, levels,
                                 r->o.style.levels, r->frame.end, err);
    }
    if (!rc && r->o.tasks & RR_ASK(RR_PAIRWISE) &&
        !r->prompter.style.templates[RR_PAIRWISE]->title_answer) {
        rc = rr_ranker_answer_begin(r, RR_PAIRWISE, &begin, err);
        if (!rc)
            rc = rr_choices_make(&r->yes_no, r->tokenizer, &r->encoding, begin.data, yes_no, 2,
                                 r->frame.end, err);
    }
    rr_buf_free(&begin);
    return rc;
}

int rr_ranker_set(struct rr_ranker *r, const struct rr_ranker_options *o, struct rr_error *err)
{
    const int n_context = r->o.n_context;
    r->o = *o;
    r->o.n_context = n_context;
    r->o.tasks = o->tasks ? o->tasks : RR_ASK_ALL;
    r->o.pair_rounds = o->pair_rounds ? o->pair_rounds : 1;
    r->o.list_shuffles = o->list_shuffles ? o->list_shuffles : 1;
    r->o.n_titles = o->n_titles ? o->n_titles : 20;
    bool weighs = false;
    for (int t = 0; t < RR_N_SIGNALS; t++)
        weighs = weighs || o->weights.alpha[t] != 0;
    if (!weighs)
        r->o.weights = rr_weights_four;
    rr_prompter_release(&r->prompter);
    rr_chat_close(&r->frame);
    int rc = rr_prompter_init(&r->prompter, &o->style, err);
    if (rc)
        return rc;
    r->o.style = r->prompter.style;
    rc = check_options(&r->o, err);
    if (!rc)
        rc = rr_chat_open(&r->frame, o->chat, r->tokenizer, err);
    if (!rc)
        rc = find_answers(r, err);
    return rc || !r->session ? rc : rr_ranker_heads_make(r, err);
}

int rr_ranker_init(struct rr_ranker *r, struct rr_engine *e, const struct rr_model *m,
                   const struct rr_tokenizer *t, const struct rr_ranker_options *o,
                   struct rr_error *err)
{
    struct rr_ranker_options with_context = *o;
    if (!o->n_context)
        with_context.n_context = rr_max_int(m->h.n_context, RR_MIN_RANK_CONTEXT);
    int rc = rr_ranker_init_prompts(r, t, &with_context, err);
    r->n_vocab = m->h.n_vocab;
    /* Room for a full trunk and its leaves; when they are longer, they go in groups. */
    const struct rr_session_options so = {.n_context = r->o.n_context,
                                          .n_cells = 2 * r->o.n_context + 1024 + RR_HEAD_CELLS,
                                          .cache = o->cache};
    if (!rc)
        rc = rr_session_open(&r->session, e, m, &so, err);
    if (!rc)
        rc = rr_ranker_heads_make(r, err);
    if (rc)
        rr_ranker_release(r);
    return rc;
}

int rr_ranker_init_prompts(struct rr_ranker *r, const struct rr_tokenizer *t,
                           const struct rr_ranker_options *o, struct rr_error *err)
{
    *r = (struct rr_ranker){
        .tokenizer = t,
        .known = {.heads = {{.node = -1}, {.node = -1}, {.node = -1}}, .kept = {.node = -1}}};
    r->o.n_context = o->n_context;
    int rc = rr_ranker_set(r, o, err);
    if (rc)
        rr_ranker_release(r);
    return rc;
}

void rr_ranker_release(struct rr_ranker *r)
{
    rr_session_close(r->session);
    rr_prompter_release(&r->prompter);
    rr_chat_close(&r->frame);
    rr_encoding_free(&r->encoding);
    rr_prompt_free(&r->prompt);
    for (int i = 0; i < r->n_listings; i++)
        rr_listing_release(&r->listings[i]);
    rr_free(r->listings);
    rr_ranker_heads_release(r);
    rr_free(r->ids);
    rr_free(r->starts);
    rr_free(r->prompts);
    rr_free(r->questions);
    rr_free(r->pairs);
    rr_free(r->ways);
    rr_free(r->scratch);
    rr_free(r->elements);
    rr_free(r->element_starts);
    rr_free(r->decoded);
    rr_free(r->logits);
    rr_free(r->feeds);
    rr_free(r->wants);
    rr_free(r->sample);
    rr_free(r->used);
    rr_free(r->begin);
    rr_free(r->norms);
    rr_buf_free(&r->element);
    *r = (struct rr_ranker){0};
}

/* ---- encoding -----------------------------------------------------------------------------------
 */

static int add_question(struct rr_ranker *r, const struct rr_question *question,
                        struct rr_error *err)
{
    const size_t n = (size_t)r->n_questions + 1;
    if (!rr_grow(&r->questions, &r->cap_questions, n, sizeof *r->questions) ||
        !rr_grow(&r->starts, &r->cap_starts, n + 1, sizeof *r->starts) ||
        !rr_grow(&r->prompts, &r->cap_prompts, n, sizeof *r->prompts))
        return rr_fail_memory(err, "questions", n * sizeof *r->questions);
    r->questions[r->n_questions++] = *question;
    return RR_OK;
}

struct rr_chat_turns rr_ranker_turns(const struct rr_prompt *p)
{
    const char *text = p->text.data;
    const size_t answer = p->user_end + 1; /* behind a line break */
    return (struct rr_chat_turns){.system = text,
                                  .n_system = p->system_end,
                                  .user = text + p->user_begin,
                                  .n_user = p->user_end - p->user_begin,
                                  .answer = text + answer,
                                  .n_answer = p->text.n - answer};
}

/* Tokenizes question i with the history from `from` on into r->encoding. */
static int encode_question(struct rr_ranker *r, const struct rr_request *q, int i, int from,
                           struct rr_error *err)
{
    struct rr_question question = r->questions[i];
    question.from = from;
    int rc = rr_prompt_make(&r->prompt, &r->prompter, q, &question, err);
    const struct rr_chat_turns turns = rr_ranker_turns(&r->prompt);
    return rc ? rc : rr_chat_encode(&r->encoding, &r->frame, &turns, err);
}

/* Whether question i is a pair answered by a title. */
static bool by_title(const struct rr_ranker *r, int i)
{
    return r->questions[i].task == RR_PAIRWISE && r->o.style.templates[RR_PAIRWISE]->title_answer &&
           !r->o.generate;
}

/* Appends BOS, the encoding and the end to r->ids as prompt i. */
static int keep_prompt(struct rr_ranker *r, int i, const int *end, int n_end, struct rr_error *err)
{
    const int bos = r->frame.bos;
    const size_t n = r->encoding.n;
    if (!rr_grow(&r->ids, &r->cap_ids, r->n_ids + n + 1 + (size_t)n_end, sizeof *r->ids))
        return rr_fail_memory(err, "prompts", r->n_ids * sizeof *r->ids);
    r->starts[i] = r->n_ids;
    if (bos >= 0)
        r->ids[r->n_ids++] = bos;
    rr_copy(r->ids + r->n_ids, r->encoding.ids, n * sizeof *r->ids);
    r->n_ids += n;
    rr_copy(r->ids + r->n_ids, end, (size_t)n_end * sizeof *r->ids);
    r->n_ids += (size_t)n_end;
    return by_title(r, i) ? rr_ranker_titles_append(r, i, err) : RR_OK;
}

/* The longest of the prompts: its number, its tokens, and how many of them are not its text's. */
struct longest {
    int which, n, n_more;
};

/* All prompts with the history from `from` on. */
static int encode_all(struct rr_ranker *r, const struct rr_request *q, int from, const int *end,
                      int n_end, struct longest *l, struct rr_error *err)
{
    r->n_ids = 0;
    l->n = 0;
    for (int i = 0; i < r->n_questions; i++) {
        int rc = encode_question(r, q, i, from, err);
        if (!rc)
            rc = keep_prompt(r, i, end, n_end, err);
        if (rc)
            return rc;
        const int n = (int)(r->n_ids - r->starts[i]);
        if (n > l->n)
            *l = (struct longest){i, n, n - (int)r->encoding.n};
    }
    r->starts[r->n_questions] = r->n_ids;
    return RR_OK;
}

/* The least number of oldest history entries to drop so that question `which` has at most `most`
 * tokens, by bisection: lengths grow with history. */
static int cut_history(struct rr_ranker *r, const struct rr_request *q, int *from, int which,
                       int most, struct rr_error *err)
{
    int low = *from + 1, high = q->n_history;
    while (low < high) {
        const int middle = low + (high - low) / 2;
        int rc = encode_question(r, q, which, middle, err);
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

/* Encodes all r->questions, each with `end` behind it, the history cut so that the longest and
 * `room` more tokens fit into the context. */
static int encode_questions(struct rr_ranker *r, const struct rr_request *q, const int *end,
                            int n_end, int room, struct rr_reply *reply, struct rr_error *err)
{
    struct longest l = {0};
    int from = 0, rc = encode_all(r, q, from, end, n_end, &l, err);
    while (!rc && l.n + room > r->o.n_context) {
        if (from >= q->n_history)
            return rr_fail(err, RR_ERR_DATA, "PROMPT_TOO_LONG", RR_NOWHERE,
                           "%d tokens and %d for the answer, without any history; the context "
                           "holds %d: raise the context (--context), or ask about fewer candidates",
                           l.n, room, r->o.n_context);
        rc = cut_history(r, q, &from, l.which, r->o.n_context - room - l.n_more, err);
        if (!rc)
            rc = encode_all(r, q, from, end, n_end, &l, err);
    }
    reply->n_cut = rr_max_int(reply->n_cut, from);
    for (int i = 0; !rc && i < r->n_questions; i++)
        r->prompts[i] =
            (struct rr_prompt_ids){r->ids + r->starts[i], (int)(r->starts[i + 1] - r->starts[i])};
    return rc;
}

/* ---- questions ----------------------------------------------------------------------------------
 */

/* Tokens of the longest path to a branch. */
static int deepest_branch(const struct rr_choices *c)
{
    int deepest = 0;
    for (int b = 0; b < c->n_branches; b++)
        deepest = rr_max_int(deepest, c->branches[b].n_path);
    return deepest;
}

/* Answers all prepared questions of a task; r->logits receives them. */
static int ask_choices(struct rr_ranker *r, enum rr_task task, struct rr_reply *reply,
                       struct rr_error *err)
{
    const struct rr_choices *c = task == RR_POINTWISE ? &r->ratings : &r->yes_no;
    const bool titles = by_title(r, 0);
    const int n_branches = titles ? 1 : c->n_branches, n_logits = titles ? 2 : c->n_logits;
    const size_t leaves = (size_t)r->n_questions * (size_t)n_branches;
    if (!rr_grow(&r->logits, &r->cap_logits, (size_t)r->n_questions * (size_t)n_logits,
                 sizeof *r->logits) ||
        !rr_grow(&r->feeds, &r->cap_feeds, leaves + 1, sizeof *r->feeds) ||
        !rr_grow(&r->wants, &r->cap_wants, leaves, sizeof *r->wants))
        return rr_fail_memory(err, "questions", leaves * sizeof *r->wants);
    const struct rr_tree_job job = {.prompts = r->prompts,
                                    .n_prompts = r->n_questions,
                                    .known = &r->known,
                                    .choices = c,
                                    .pairs = titles ? (const int(*)[2])r->ways : NULL,
                                    .logits = r->logits,
                                    .feeds = r->feeds,
                                    .wants = r->wants};
    for (int b = 1; b < n_branches; b++)
        reply->tokens_asked += (long long)c->branches[b].n_path * r->n_questions;
    return rr_tree_answers(r->session, &job, err);
}

/* sum_r r p(r) over the allowed answers, in double. */
static double expected_rating(const struct rr_choices *c, const float *logits)
{
    double log_p[RR_MAX_CHOICES], sum = 0;
    rr_choices_log_p(log_p, c, logits);
    for (int i = 0; i < c->n; i++)
        sum += (i + 1) * exp(log_p[i]);
    return sum;
}

static double log_odds(const struct rr_choices *c, const float *logits)
{
    double log_p[RR_MAX_CHOICES];
    rr_choices_log_p(log_p, c, logits);
    return log_p[0] - log_p[1];
}

static int add_ratings(struct rr_ranker *r, const struct rr_request *q, struct rr_error *err)
{
    int rc = RR_OK;
    r->n_questions = 0;
    for (int i = 0; i < q->n_candidates && !rc; i++)
        rc = add_question(r, &(struct rr_question){.task = RR_POINTWISE, .a = i}, err);
    return rc;
}

/* The pairs of all rounds go into the reply, their questions behind each other: a over b, then,
 * with position shifting, b over a. */
static int add_pairs(struct rr_ranker *r, const struct rr_request *q, struct rr_reply *reply,
                     struct rr_error *err)
{
    const struct rr_prompt_style *s = &r->prompter.style;
    const size_t n = (size_t)q->n_candidates;
    int rc = RR_OK, at = 0;
    if (!rr_grow(&r->pairs, &r->cap_pairs, n, sizeof *r->pairs) ||
        !rr_grow(&r->scratch, &r->cap_scratch, n, sizeof *r->scratch))
        return rr_fail_memory(err, "pairs", n * sizeof *r->pairs);
    r->n_questions = 0;
    for (int round = 0; round < r->o.pair_rounds; round++) {
        const int n_pairs =
            rr_prompt_pairs(r->pairs, r->scratch, q->n_candidates, s->seed, q->id, round);
        for (int t = 0; t < n_pairs && !rc; t++) {
            const int a = r->pairs[t][0], b = r->pairs[t][1];
            reply->pairs[at++] = (struct rr_pair_reply){a, b, NAN, NAN};
            struct rr_question question = {.task = RR_PAIRWISE, .a = a, .b = b};
            rc = add_question(r, &question, err);
            question.a = b;
            question.b = a;
            if (!rc && !s->no_shift)
                rc = add_question(r, &question, err);
        }
    }
    return rc;
}

static int add_lists(struct rr_ranker *r, const struct rr_request *q, struct rr_reply *reply,
                     struct rr_error *err)
{
    int rc = RR_OK;
    r->n_questions = 0;
    for (int l = 0; l < r->o.list_shuffles && !rc; l++) {
        int *shown = reply->shown + (size_t)l * (size_t)q->n_candidates;
        rr_prompt_list_order(shown, q->n_candidates, &r->prompter.style, q->id, l);
        rc = add_question(r, &(struct rr_question){.task = RR_LISTWISE, .shown = shown}, err);
    }
    return rc;
}

int rr_ranker_prepare(struct rr_ranker *r, const struct rr_request *q, enum rr_task task,
                      struct rr_reply *reply, struct rr_error *err)
{
    const struct rr_choices *c = task == RR_POINTWISE ? &r->ratings : &r->yes_no;
    const int *end = c->common;
    int n_end = c->n_common, room = deepest_branch(c);
    int rc = task == RR_POINTWISE  ? add_ratings(r, q, err)
             : task == RR_PAIRWISE ? add_pairs(r, q, reply, err)
                                   : add_lists(r, q, reply, err);
    if (rc || !r->n_questions)
        return rc;
    if (r->o.generate) {
        n_end = 0;
        room = rr_ranker_answer_tokens(task, q->n_candidates);
    } else if (by_title(r, 0)) {
        n_end = room = 0;
        rc = rr_ranker_titles_prepare(r, q, err);
    } else if (task == RR_LISTWISE) {
        rc = rr_ranker_lists_prepare(r, q, &end, &n_end, &room, err);
    }
    if (!rc && n_end < 0)
        r->n_questions = 0; /* one candidate makes a list without asking */
    if (!rc && n_end >= 0)
        rc = encode_questions(r, q, end, n_end, room, reply, err);
    if (rc == RR_ERR_DATA)
        rr_error_add_object(err, rr_task_name(task), "question");
    return rc;
}

static void read_ratings(struct rr_ranker *r, struct rr_reply *reply)
{
    for (int i = 0; i < reply->n; i++)
        reply->rating[i] =
            expected_rating(&r->ratings, r->logits + (size_t)i * (size_t)r->ratings.n_logits);
}

static void read_pairs(struct rr_ranker *r, struct rr_reply *reply)
{
    const int step = r->prompter.style.no_shift ? 1 : 2;
    const bool titles = by_title(r, 0);
    const size_t n = titles ? 2 : (size_t)r->yes_no.n_logits;
    for (int i = 0; i < reply->n_pairs * step; i++) {
        const float *logits = r->logits + (size_t)i * n;
        struct rr_pair_reply *p = &reply->pairs[i / step];
        *(i % step ? &p->backward : &p->forward) =
            titles ? (double)logits[0] - (double)logits[1] : log_odds(&r->yes_no, logits);
    }
}

static int ask_task(struct rr_ranker *r, const struct rr_request *q, enum rr_task task,
                    struct rr_reply *reply, struct rr_error *err)
{
    r->n_ids = 0;
    int rc = rr_ranker_prepare(r, q, task, reply, err);
    reply->tokens_asked += rc ? 0 : (long long)r->n_ids;
    if (!rc && task == RR_LISTWISE && !r->o.generate) {
        rc = r->n_questions ? rr_ranker_lists_decode(r, reply, err) : RR_OK;
        if (!rc)
            rr_ranker_lists_read(r, reply);
        return rc;
    }
    if (rc || !r->n_questions)
        return rc;
    if (r->o.generate)
        return rr_ranker_generate(r, q, task, reply, err);
    rc = ask_choices(r, task, reply, err);
    if (!rc && task == RR_POINTWISE)
        read_ratings(r, reply);
    else if (!rc)
        read_pairs(r, reply);
    return rc;
}

int rr_ranker_ask(struct rr_ranker *r, const struct rr_request *q, struct rr_reply *reply,
                  struct rr_error *err)
{
    const int n = q->n_candidates;
    if (n < 1 || n > RR_MAX_CANDIDATES || q->n_history < 0)
        return rr_fail(err, RR_ERR_USAGE, "REQUEST", RR_NOWHERE,
                       "%d candidates (1 to %d), %d rated titles", n, RR_MAX_CANDIDATES,
                       q->n_history);
    const bool pairs = r->o.tasks & RR_ASK(RR_PAIRWISE), lists = r->o.tasks & RR_ASK(RR_LISTWISE);
    int rc = rr_reply_resize(reply, n, pairs ? n / 2 * r->o.pair_rounds : 0,
                             lists ? r->o.list_shuffles : 0, err);
    const long long before = rr_session_tokens(r->session);
    for (int t = 0; t < RR_N_TASKS && !rc; t++)
        if (r->o.tasks >> t & 1)
            rc = ask_task(r, q, (enum rr_task)t, reply, err);
    if (!rc && r->o.tasks & RR_ASK(RR_LIKELIHOOD))
        rc = rr_ranker_likelihood(r, q, reply, err);
    rr_tree_forget(r->session, &r->known);
    reply->asked = r->o.tasks;
    reply->weights = r->o.weights;
    reply->tokens_computed = rr_session_tokens(r->session) - before;
    return rc;
}
