/* Paths of several attention blocks (RR_BLOCK positions, engine/attention.c): right by the
 * textbook, and the same bits however a path is cut into nodes, calls and batches near the blocks'
 * edges. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "engine/session.h"
#include "engine/session_internal.h"
#include "tests/make_model.h"
#include "tests/test.h"

enum { LONG = 2 * RR_BLOCK + 20, VOCAB = 77 };

static const struct model_shape shapes[] = {
    {"F32 gqa3 dim8", 2, 48, 6, 2, 8, 80, VOCAB, 2048, RR_TYPE_F32, true, true},
    {"F32 mha dim80", 1, 160, 2, 2, 80, 96, VOCAB, 2048, RR_TYPE_F32, true, false},
    {"F32 gqa4 dim16", 1, 64, 4, 1, 16, 96, VOCAB, 2048, RR_TYPE_F32, false, false},
};

struct bed {
    struct rr_model *model;
    struct rr_engine engine;
    struct rr_session *session;
    int text[LONG];
};

static void open_bed(struct bed *b, const struct model_shape *shape, int level,
                     enum rr_cache_type cache, int n_batch)
{
    struct rr_error err = {0};
    const struct rr_session_options o = {.n_cells = 4096, .cache = cache, .n_batch = n_batch};
    b->model = make_model(shape, 23);
    cr_assert(rr_engine_init(&b->engine, 2, (enum rr_cpu_level)level, &err) == 0, "%s", err.text);
    cr_assert(rr_session_open(&b->session, &b->engine, b->model, &o, &err) == 0, "%s", err.text);
    for (int i = 0; i < LONG; i++)
        b->text[i] = (i * i + 7 * i + 3) % VOCAB;
}

static void close_bed(struct bed *b)
{
    rr_session_close(b->session);
    rr_engine_release(&b->engine);
    free_model(b->model);
}

static int node_at(struct bed *b, int parent, int behind, int n)
{
    struct rr_error err = {0};
    int node = -1, rc = rr_session_branch_at(b->session, parent, behind, n, &node, &err);
    cr_assert(rc == 0, "%d tokens behind %d of node %d: [%s] %s", n, behind, parent, err.code,
              err.text);
    return node;
}

/* Feeds tokens from .. to - 1 of the text to a node; the last one's logits, if wanted. */
static void feed(struct bed *b, int node, int from, int to, float *logits)
{
    struct rr_error err = {0};
    const struct rr_feed f = {node, b->text + from, to - from};
    const struct rr_want want = {.offset = to - from - 1, .logits = logits};
    const int rc = rr_session_eval(b->session, &f, 1, &want, logits ? 1 : 0, &err);
    cr_assert(rc == 0, "[%s] %s", err.code, err.text);
}

static void whole(struct bed *b, int n, float *logits)
{
    rr_session_rewind(b->session, 0);
    feed(b, node_at(b, -1, 0, n), 0, n, logits);
}

Test(long_paths, logits_are_those_of_the_textbook)
{
    static const int lengths[] = {RR_BLOCK, RR_BLOCK + 1, LONG};
    enum { N = sizeof lengths / sizeof lengths[0] };
    static double expected[N][VOCAB];
    static float got[VOCAB];
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        struct bed b;
        open_bed(&b, &shapes[i], RR_CPU_C, RR_CACHE_F32, 0);
        for (int k = 0; k < N; k++)
            reference_logits(expected[k], b.model, b.text, lengths[k]);
        close_bed(&b);
        for (int level = 0; level <= (int)rr_cpu_best(); level++) {
            if (!whole_model_level(level))
                continue;
            open_bed(&b, &shapes[i], level, RR_CACHE_F32, 0);
            for (int k = 0; k < N; k++) {
                double spread = 0;
                whole(&b, lengths[k], got);
                for (int v = 0; v < VOCAB; v++)
                    spread = fmax(spread, fabs(expected[k][v]));
                for (int v = 0; v < VOCAB; v++)
                    cr_assert(fabs((double)got[v] - expected[k][v]) <= 5e-5 * spread,
                              "%s, %s: behind %d tokens logit %d is %.9g; expected %.9g",
                              rr_cpu_level_name((enum rr_cpu_level)level), shapes[i].name,
                              lengths[k], v, (double)got[v], expected[k][v]);
            }
            close_bed(&b);
        }
    }
}

/* The text's first n tokens in calls of `step`, or as a trunk of `cut` with two equal leaves that
 * are computed at once; the trunk goes on behind the cut. */
static void check_ways(struct bed *b, int n, const char *what)
{
    static const int cuts[] = {RR_BLOCK - 17, RR_BLOCK - 1, RR_BLOCK, RR_BLOCK + 1, RR_BLOCK + 21};
    static float expected[VOCAB], got[2][VOCAB];
    whole(b, n, expected);
    for (int step = n < LONG ? 1 : 67; step <= 100; step += sanitized() ? 99 : 33) {
        rr_session_rewind(b->session, 0);
        const int node = node_at(b, -1, 0, n);
        for (int at = 0; at < n; at += step)
            feed(b, node, at, at + step < n ? at + step : n, at + step < n ? NULL : got[0]);
        cr_assert(memcmp(got[0], expected, sizeof expected) == 0,
                  "%s: %d tokens in calls of %d are not what they are in one", what, n, step);
    }
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i += sanitized() ? 2 : 1) {
        const int cut = cuts[i];
        struct rr_error err = {0};
        if (n <= cut)
            continue;
        rr_session_rewind(b->session, 0);
        const int trunk = node_at(b, -1, 0, cut + 40);
        feed(b, trunk, 0, cut + 40, NULL);
        const int x = node_at(b, trunk, cut, n - cut), y = node_at(b, trunk, cut, n - cut);
        const struct rr_feed feeds[] = {{x, b->text + cut, n - cut}, {y, b->text + cut, n - cut}};
        const struct rr_want wants[] = {{0, .offset = n - cut - 1, .logits = got[0]},
                                        {1, .offset = n - cut - 1, .logits = got[1]}};
        cr_assert(rr_session_eval(b->session, feeds, 2, wants, 2, &err) == 0, "%s", err.text);
        for (int leaf = 0; leaf < 2; leaf++)
            cr_assert(memcmp(got[leaf], expected, sizeof expected) == 0,
                      "%s: leaf %d of %d tokens behind %d of the trunk is not what it is in one",
                      what, leaf, n - cut, cut);
    }
}

Test(long_paths, cuts_at_the_edges_of_blocks_change_nothing)
{
    static const int lengths[] = {RR_BLOCK + 30, LONG};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        for (int level = 0; level <= (int)rr_cpu_best(); level++) {
            struct bed b;
            const bool slow = sanitized() && level == 0;
            if (!whole_model_level(level))
                continue;
            for (int cache = RR_CACHE_F32; cache <= RR_CACHE_F16; cache++) {
                open_bed(&b, &shapes[i], level, (enum rr_cache_type)cache, cache ? 37 : 0);
                for (size_t k = 0; k < (slow ? 1 : sizeof lengths / sizeof lengths[0]); k++)
                    check_ways(&b, lengths[k], rr_cpu_level_name((enum rr_cpu_level)level));
                close_bed(&b);
            }
        }
    }
}
