/* What sessions refuse is refused by name, and leaves them as they were. */
#include "tests/session_bed.h"

#include <string.h>

struct bench {
    struct rr_model *model;
    struct rr_engine engine;
    struct rr_session *session;
    float good[256];
};

static void bench_score(struct bench *b, float *out)
{
    rr_session_rewind(b->session, 0);
    score_leaf(out, b->session, -1, bench_tokens, 20);
    rr_session_rewind(b->session, 0);
}

static void bench_open(struct bench *b, struct rr_session_options o)
{
    b->model = make_model(&shapes[0], 31);
    engine_open(&b->engine, (int)rr_cpu_best(), 2);
    b->session = session_open(&b->engine, b->model, o);
    bench_score(b, b->good);
}

static void bench_close(struct bench *b)
{
    rr_session_close(b->session);
    rr_engine_release(&b->engine);
    free_model(b->model);
}

/* The call must have failed like this, and the session must still score as it did. */
static void check_refused(struct bench *b, const char *what, int rc, int status, const char *code,
                          const struct rr_error *err)
{
    float now[256];
    cr_assert(rc == status, "%s: status %d; expected %d", what, rc, status);
    cr_assert(err->status == status && strcmp(err->code, code) == 0,
              "%s: error %d [%s]; expected %d [%s]", what, err->status, err->code, status, code);
    cr_assert(err->text[0] != 0, "%s: no text", what);
    bench_score(b, now);
    cr_assert(memcmp(now, b->good, (size_t)b->model->h.n_vocab * sizeof(float)) == 0,
              "%s: the session scores differently afterwards", what);
}

static void refuse_branch(struct bench *b, const char *what, int parent, int n, int status,
                          const char *code)
{
    struct rr_error err = {0};
    int node = -77, rc = rr_session_branch(b->session, parent, n, &node, NULL);
    cr_assert(rc == status, "%s, without a place for the error: status %d", what, rc);
    rc = rr_session_branch(b->session, parent, n, &node, &err);
    cr_assert(node == -77, "%s: a node number %d was given", what, node);
    check_refused(b, what, rc, status, code, &err);
}

Test(session, branch_refusals)
{
    struct bench b;
    bench_open(&b, (struct rr_session_options){.n_cells = 64, .n_context = 40, .n_nodes = 40});
    refuse_branch(&b, "parent that is not open", 0, 1, RR_ERR_USAGE, "NODE");
    refuse_branch(&b, "parent -2", -2, 1, RR_ERR_USAGE, "NODE");
    refuse_branch(&b, "a negative length", -1, -1, RR_ERR_USAGE, "NODE");
    refuse_branch(&b, "41 tokens in a context of 40", -1, 41, RR_ERR_USAGE, "CONTEXT");
    refuse_branch(&b, "2^31-1 tokens", -1, INT32_MAX, RR_ERR_USAGE, "CONTEXT");
    int trunk = branch(b.session, -1, 30);
    refuse_branch(&b, "11 tokens behind 30", trunk, 11, RR_ERR_USAGE, "CONTEXT");
    trunk = branch(b.session, -1, 30);
    branch(b.session, trunk, 10);
    branch(b.session, trunk, 0);
    branch(b.session, trunk, 10);
    refuse_branch(&b, "80 cells of 64", trunk, 1, RR_ERR_MEMORY, "CACHE_FULL");
    for (int i = 0; i < 40; i++)
        branch(b.session, -1, 0);
    refuse_branch(&b, "node 41 of 40", -1, 0, RR_ERR_MEMORY, "CACHE_FULL");
    int at = -1;
    for (int i = 0; i < RR_MAX_DEPTH; i++)
        at = branch(b.session, at, 0);
    refuse_branch(&b, "a path of too many nodes", at, 0, RR_ERR_USAGE, "DEPTH");
    bench_close(&b);
}

static void refuse_eval(struct bench *b, const char *what, const struct rr_feed *feeds, int n_feeds,
                        const struct rr_want *wants, int n_wants, int status, const char *code)
{
    struct rr_error err = {0};
    const long long before = rr_session_tokens(b->session);
    int rc = rr_session_eval(b->session, feeds, n_feeds, wants, n_wants, &err);
    cr_assert(rr_session_tokens(b->session) == before, "%s: tokens were computed", what);
    check_refused(b, what, rc, status, code, &err);
}

Test(session, feed_refusals)
{
    struct bench b;
    const int *t = bench_tokens, n_vocab = shapes[0].n_vocab;
    const int low[] = {1, -1}, high[] = {n_vocab}, huge[] = {INT32_MAX, 1};
    bench_open(&b, (struct rr_session_options){0});
    struct rr_session *s = b.session;
    const struct {
        const char *what, *code;
        struct rr_feed feeds[2];
        int n;
    } cases[] = {
        {"token -1", "TOKEN_ID", {{0, low, 2}}, 1},
        {"the first token behind the vocabulary", "TOKEN_ID", {{0, high, 1}}, 1},
        {"token 2^31-1", "TOKEN_ID", {{0, huge, 2}}, 1},
        {"a node that is not open", "FEED", {{3, t, 1}}, 1},
        {"node -1", "FEED", {{-1, t, 1}}, 1},
        {"more than the node was opened for", "FEED", {{0, t, 6}}, 1},
        {"fewer than no tokens", "FEED", {{0, t, -1}}, 1},
        {"a leaf before its trunk is fed", "FEED", {{1, t, 1}}, 1},
        {"a leaf after a part of its trunk", "FEED", {{0, t, 4}, {1, t, 1}}, 2},
        {"a leaf before its trunk", "FEED", {{1, t, 1}, {0, t, 5}}, 2},
        {"leaves out of order", "FEED", {{0, t, 5}, {0, t, 0}}, 2},
        {"a bad token in the second feed", "TOKEN_ID", {{0, t, 5}, {1, high, 1}}, 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int trunk = branch(s, -1, 5);
        branch(s, trunk, 3);
        branch(s, trunk, 3);
        refuse_eval(&b, cases[i].what, cases[i].feeds, cases[i].n, NULL, 0, RR_ERR_USAGE,
                    cases[i].code);
    }
    /* Behind none of a node's tokens, or behind an empty node, and so behind what is above it. */
    for (int n = 0; n <= 4; n += 4) {
        const int top = branch(s, -1, 5), between = branch(s, top, n);
        int below;
        cr_assert(rr_session_branch_at(s, between, 0, 3, &below, NULL) == RR_OK, "no branch");
        refuse_eval(&b, "a leaf behind nothing of a node, before its trunk",
                    &(struct rr_feed){below, t, 3}, 1, NULL, 0, RR_ERR_USAGE, "FEED");
    }
    /* The nodes of a refused call are as they were: the same call put right goes through. */
    float after[256], expected[256];
    int trunk = branch(s, -1, 5), leaf = branch(s, trunk, 3);
    struct rr_feed bad[] = {{trunk, t, 5}, {leaf, high, 1}},
                   right[] = {{trunk, t, 5}, {leaf, t + 5, 3}};
    struct rr_want w = {.feed = 1, .offset = 2, .logits = after};
    int rc = rr_session_eval(s, bad, 2, NULL, 0, NULL);
    cr_assert(rc == RR_ERR_USAGE, "a bad token without a place for the error: status %d", rc);
    rc = rr_session_eval(s, &right[1], 1, NULL, 0, NULL);
    cr_assert(rc == RR_ERR_USAGE, "the leaf of a trunk whose feed was refused: status %d", rc);
    eval(s, right, 2, &w, 1);
    rr_session_rewind(s, 0);
    score_leaf(expected, s, -1, t, 8);
    cr_assert(memcmp(after, expected, (size_t)n_vocab * sizeof(float)) == 0,
              "the call after a refused one scores differently");
    bench_close(&b);
}

Test(session, want_refusals)
{
    struct bench b;
    const int *t = bench_tokens, n_vocab = shapes[0].n_vocab;
    const int bad_ids[] = {3, n_vocab}, low_ids[] = {-1};
    float out[256];
    bench_open(&b, (struct rr_session_options){0});
    const struct {
        const char *what, *code;
        struct rr_want wants[2];
        int n;
    } cases[] = {
        {"feed 2 of 2", "WANT", {{.feed = 2, .logits = out}}, 1},
        {"feed -1", "WANT", {{.feed = -1, .logits = out}}, 1},
        {"token 5 of 5", "WANT", {{.feed = 0, .offset = 5, .logits = out}}, 1},
        {"token -1", "WANT", {{.feed = 0, .offset = -1, .logits = out}}, 1},
        {"tokens out of order",
         "WANT",
         {{.offset = 3, .logits = out}, {.offset = 2, .logits = out}},
         2},
        {"feeds out of order",
         "WANT",
         {{.feed = 1, .logits = out}, {.offset = 2, .logits = out}},
         2},
        {"an id behind the vocabulary",
         "TOKEN_ID",
         {{.ids = bad_ids, .n_ids = 2, .logits = out}},
         1},
        {"nothing wanted", "WANT", {{.ids = bad_ids, .n_ids = 1}}, 1},
        {"minus one ids", "WANT", {{.ids = bad_ids, .n_ids = -1, .logits = out}}, 1},
        {"an id below it", "TOKEN_ID", {{.ids = low_ids, .n_ids = 1, .logits = out}}, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int trunk = branch(b.session, -1, 5);
        struct rr_feed feeds[] = {{trunk, t, 5}, {branch(b.session, trunk, 1), t, 1}};
        refuse_eval(&b, cases[i].what, feeds, 2, cases[i].wants, cases[i].n, RR_ERR_USAGE,
                    cases[i].code);
    }
    struct rr_want lone = {.logits = out};
    refuse_eval(&b, "a want without feeds", NULL, 0, &lone, 1, RR_ERR_USAGE, "WANT");
    eval(b.session, NULL, 0, NULL, 0); /* nothing at all is fine */
    bench_close(&b);
}

Test(session, open_refusals_and_sizes)
{
    struct rr_model *m = make_model(&shapes[0], 31);
    struct rr_engine e;
    engine_open(&e, 0, 1);
    const struct {
        const char *what, *code;
        struct rr_session_options o;
    } cases[] = {
        {"a negative context", "CONTEXT", {.n_context = -1}},
        {"a context of 2^31-1", "CONTEXT", {.n_context = INT32_MAX}},
        {"a negative batch", "SESSION", {.n_batch = -1}},
        {"a batch of 2^20", "SESSION", {.n_batch = 1 << 20}},
        {"negative nodes", "SESSION", {.n_nodes = -5}},
        {"2^30 nodes", "SESSION", {.n_nodes = 1 << 30}},
        {"negative cells", "SESSION", {.n_cells = -1}},
        {"2^31-1 cells", "SESSION", {.n_cells = INT32_MAX}},
        {"a cache of no type", "CACHE", {.cache = (enum rr_cache_type)3}},
        {"blocks of 32 in heads of 8", "CACHE", {.cache = RR_CACHE_Q8_0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rr_error err = {0};
        struct rr_session *s = (struct rr_session *)1;
        int rc = rr_session_open(&s, &e, m, &cases[i].o, &err);
        cr_assert(rc == RR_ERR_USAGE && strcmp(err.code, cases[i].code) == 0 && !s,
                  "%s: status %d [%s]", cases[i].what, rc, err.code);
        cr_assert(rr_session_bytes(&e, m, &cases[i].o) == 0, "%s has a size", cases[i].what);
    }
    struct rr_session_options small = {.n_cells = 16, .n_context = 16, .n_batch = 1, .n_nodes = 1};
    struct rr_session_options more = small;
    more.n_cells += 160;
    const size_t a = rr_session_bytes(&e, m, &small), b = rr_session_bytes(&e, m, &more);
    const size_t cell = 2u * (size_t)shapes[0].n_layers * (size_t)shapes[0].n_kv_heads *
                        (size_t)shapes[0].head_dim * sizeof(float);
    cr_assert(b - a == 160 * cell, "160 more cells cost %zu bytes; expected %zu", b - a,
              160 * cell);
    rr_engine_release(&e);
    struct rr_error err = {0};
    int rc = rr_engine_init(&e, 65, RR_CPU_C, &err);
    cr_assert(rc == RR_ERR_USAGE, "65 threads: status %d", rc);
    rr_engine_release(&e);
    rc = rr_engine_init(&e, -1, RR_CPU_C, &err);
    cr_assert(rc == RR_ERR_USAGE, "-1 threads: status %d", rc);
    rr_engine_release(&e);
    if ((int)rr_cpu_best() + 1 < (int)RR_CPU_COUNT) {
        rc = rr_engine_init(&e, 1, (enum rr_cpu_level)(rr_cpu_best() + 1), &err);
        cr_assert(rc == RR_ERR_USAGE && strcmp(err.code, "CPU_LEVEL") == 0,
                  "a level this machine lacks: status %d", rc);
        rr_engine_release(&e);
    }
    rr_session_close(NULL);
    free_model(m);
}
