/* recrank bench core: what ranking costs without a model. */
#include <string.h>
#include "rec/eval/metrics.h"
#include "rec/prompt/kmeans.h"
#include "rec/prompt/prompt.h"
#include "rec/prompt/sampling.h"
#include "rec/rank/reply.h"
#include "tools/bench.h"
#include "tools/demo.h"

enum { DIM = 64, DRAWS = 5000, USERS = 10000, CANDIDATES = 10, TOKENS = 500 };

struct core {
    struct opened_data *d;
    float *embeddings; /* [n_users, DIM] random */
    int *clusters;     /* [n_users] */
    struct rr_user_request request;
    struct rr_prompter prompter;
    struct rr_prompt prompt;
    struct rr_tokenizer *tokenizer;
    struct rr_encoding encoding;
    struct rr_buf text;          /* of about TOKENS tokens */
    struct rr_reply replies[16]; /* users are these in turn */
    int user;
    double checked; /* what the loops computed, so that it is computed */
    int rc;
    struct rr_error err;
};

/* ---- what is timed ------------------------------------------------------------------------------
 */

static void sample(void *arg)
{
    struct core *c = arg;
    struct rr_sampling s = {0};
    const struct rr_sampling_options o = {.n = DRAWS, .no_clustering = true, .seed = 1};
    c->rc = rr_sampling_draw(&s, &c->d->split, NULL, 0, &o, &c->err);
    c->checked += s.n_distinct;
    rr_sampling_free(&s);
}

static void cluster(void *arg)
{
    struct core *c = arg;
    struct rr_kmeans_result r = {.cluster = c->clusters};
    struct rr_rng rng;
    rr_rng_seed(&rng, 1);
    c->rc = rr_kmeans(&r, c->embeddings, c->d->dataset.n_users, DIM, 10, &rng, &c->err);
    c->checked += r.inertia;
}

static void request(void *arg)
{
    struct core *c = arg;
    rr_user_request_make(&c->request, &c->d->source, c->user);
    c->checked += c->request.request.n_history;
}

static void prompt(void *arg)
{
    struct core *c = arg;
    const struct rr_question q = {.task = RR_POINTWISE, .a = 0};
    c->rc = rr_prompt_make(&c->prompt, &c->prompter, &c->request.request, &q, &c->err);
    c->checked += (double)c->prompt.text.n;
}

static void tokenize(void *arg)
{
    struct core *c = arg;
    c->rc = rr_tokenizer_encode(c->tokenizer, &c->encoding, c->text.data, c->text.n, &c->err);
    c->checked += (double)c->encoding.n;
}

static void rank_users(void *arg)
{
    struct core *c = arg;
    struct rr_metrics sums = {0};
    for (int u = 0; u < USERS; u++) {
        const struct rr_reply *r = &c->replies[u % (int)COUNT(c->replies)];
        double scores[CANDIDATES];
        struct rr_ranked order[CANDIDATES];
        int place = 0;
        rr_hybrid(scores, r, &r->weights);
        rr_order_by_score(order, scores, r->n);
        while (order[place].candidate != u % CANDIDATES)
            place++;
        rr_metrics_add(&sums, place + 1, 1);
    }
    c->checked += rr_metrics_mean(&sums).at[RR_NDCG][2];
}

/* ---- what it is timed on ------------------------------------------------------------------------
 */

/* A user in the middle: half of all have a shorter history. */
static int middle_user(const struct rr_split *s)
{
    const double mean = (double)s->rated_start[s->data->n_users] / s->data->n_users;
    int best = 0;
    double off = 1e9;
    for (int u = 0; u < s->data->n_users; u++) {
        const double n = (double)(s->rated_start[u + 1] - s->rated_start[u]) - mean;
        if ((n < 0 ? -n : n) < off) {
            off = n < 0 ? -n : n;
            best = u;
        }
    }
    return best;
}

static int make_replies(struct core *c, struct rr_rng *rng)
{
    int rc = RR_OK, pi[CANDIDATES];
    for (size_t i = 0; i < COUNT(c->replies) && !rc; i++) {
        struct rr_reply *r = &c->replies[i];
        int pairs[CANDIDATES / 2][2];
        rc = rr_reply_resize(r, CANDIDATES, CANDIDATES / 2, 1, &c->err);
        if (rc)
            break;
        r->asked = 15; /* all four */
        rr_prompt_pairs(pairs, pi, CANDIDATES, 1, i, 0);
        for (int p = 0; p < CANDIDATES / 2; p++)
            r->pairs[p] = (struct rr_pair_reply){pairs[p][0], pairs[p][1], rr_rng_unit(rng) - 0.5,
                                                 rr_rng_unit(rng) - 0.5};
        for (int k = 0; k < CANDIDATES; k++) {
            r->rating[k] = 1 + 4 * rr_rng_unit(rng);
            r->likelihood[k] = -20 * rr_rng_unit(rng);
            r->shown[k] = r->listed[k] = (k * 3 + (int)i) % CANDIDATES;
        }
    }
    return rc;
}

/* The prompt's text, again and again, until it has so many tokens. */
static int make_text(struct core *c)
{
    int rc = RR_OK;
    do {
        rr_buf_add(&c->text, c->prompt.text.data, c->prompt.text.n);
        rc = c->text.failed ? rr_fail_memory(&c->err, "text", c->text.n)
                            : rr_tokenizer_encode(c->tokenizer, &c->encoding, c->text.data,
                                                  c->text.n, &c->err);
    } while (!rc && c->encoding.n < TOKENS);
    if (!rc)
        c->text.n = c->text.n * TOKENS / c->encoding.n;
    return rc ? rc
              : rr_tokenizer_encode(c->tokenizer, &c->encoding, c->text.data, c->text.n, &c->err);
}

static int open_core(struct core *c)
{
    const struct rr_dataset *d = &c->d->dataset;
    const struct rr_prompt_style style = rr_prompt_style_for(d, 1);
    struct rr_rng rng;
    const size_t users = (size_t)d->n_users;
    rr_rng_seed(&rng, 1);
    c->embeddings = rr_alloc(users * DIM, sizeof *c->embeddings);
    c->clusters = rr_alloc(users, sizeof *c->clusters);
    if (!c->embeddings || !c->clusters)
        return rr_fail_memory(&c->err, "embeddings", users * DIM * sizeof *c->embeddings);
    for (size_t i = 0; i < users * DIM; i++)
        c->embeddings[i] = (float)rr_rng_unit(&rng);
    int rc = make_replies(c, &rng);
    if (!rc)
        rc = rr_user_request_init(&c->request, &c->d->source, &c->err);
    if (!rc)
        rc = rr_prompter_init(&c->prompter, &style, &c->err);
    if (!rc)
        rc = demo_tokenizer(&c->tokenizer, ":demo", &c->err);
    if (rc)
        return rc;
    c->user = middle_user(&c->d->split);
    request(c);
    if (!c->request.request.n_candidates)
        return rr_fail(&c->err, RR_ERR_DATA, "NO_CANDIDATES",
                       RR_AT_OBJECT(d->path, d->user_ids[c->user]),
                       "this user has no candidates: the data set is too small to measure on");
    prompt(c);
    return c->rc ? c->rc : make_text(c);
}

static void close_core(struct core *c)
{
    rr_free(c->embeddings);
    rr_free(c->clusters);
    rr_user_request_release(&c->request);
    rr_prompter_release(&c->prompter);
    rr_prompt_free(&c->prompt);
    rr_tokenizer_close(c->tokenizer);
    rr_encoding_free(&c->encoding);
    rr_buf_free(&c->text);
    for (size_t i = 0; i < COUNT(c->replies); i++)
        rr_reply_free(&c->replies[i]);
}

static int measure(struct bench *b, struct opened_data *d)
{
    struct core c = {.d = d};
    int rc = open_core(&c), code = 0;
    if (!rc) {
        struct bench_case cases[] = {
            {.name = "sampling-draw", .run = sample, .work = DRAWS},
            {.name = "kmeans-user", .run = cluster, .work = d->dataset.n_users},
            {.name = "request", .run = request, .work = 1},
            {.name = "prompt", .run = prompt, .work = 1},
            {.name = "tokenize-token", .run = tokenize, .work = (double)c.encoding.n},
            {.name = "hybrid+metrics-user", .run = rank_users, .work = USERS}};
        for (size_t i = 0; i < COUNT(cases); i++) {
            cases[i].arg = &c;
            cases[i].unit = "ns";
        }
        bench_run(b, cases, COUNT(cases));
        rc = c.rc;
        if (!rc)
            code = bench_print(b, cases, COUNT(cases), "");
    }
    close_core(&c);
    return rc ? tool_fail(&c.err) : code;
}

int bench_core(struct bench *b, const struct command *command)
{
    struct opened_data d;
    const struct source_options pop = {.backbone = "pop", .k = CANDIDATES};
    b->data.dir = b->data.dir ? b->data.dir : ":demo";
    int rc = data_open(&d, command, &b->data);
    if (rc < 0) {
        rc = data_verdict(&d.dataset);
        if (!rc)
            rc = data_source(&d, &pop, &b->data, true);
        if (rc < 0)
            rc = measure(b, &d);
        data_close(&d);
    }
    return rc;
}
