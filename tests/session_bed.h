/* What the tests of sessions share: models of all kinds of shapes, and calls that must succeed. */
#ifndef TESTS_SESSION_BED_H
#define TESTS_SESSION_BED_H

#include "tests/test.h"

#include <stdbool.h>
#include <string.h>
#include "engine/session.h"
#include "tests/make_model.h"

#define CHECK(cond, ...)                                                                           \
    do {                                                                                           \
        if (!(cond))                                                                               \
            cr_assert((cond), __VA_ARGS__);                                                        \
    } while (0)

static const struct model_shape shapes[] = {
    {"F32 gqa3 dim8 tied", 2, 48, 6, 2, 8, 80, 97, 256, RR_TYPE_F32, true, true},
    {"Q8_0 mha dim16", 2, 64, 4, 4, 16, 96, 130, 256, RR_TYPE_Q8_0, false, false},
    {"Q4_0 mqa dim32 wide", 1, 64, 4, 1, 32, 128, 101, 256, RR_TYPE_Q4_0, false, true},
    {"F16 mha dim10", 2, 50, 5, 5, 10, 70, 61, 256, RR_TYPE_F16, false, false},
    {"BF16 gqa2 dim64 tied", 1, 96, 2, 1, 64, 300, 77, 256, RR_TYPE_BF16, true, false},
    {"Q6_K gqa2 dim64", 1, 256, 4, 2, 64, 256, 90, 256, RR_TYPE_Q6_K, false, true},
    {"F32 one head dim2", 1, 7, 1, 1, 2, 5, 11, 256, RR_TYPE_F32, false, true},
    {"Q4_K gqa2 dim64", 1, 256, 4, 2, 64, 256, 90, 256, RR_TYPE_Q4_K, true, false},
};
enum { N_SHAPES = sizeof shapes / sizeof shapes[0] };

static const int bench_tokens[] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  10,
                                   11, 12, 13, 14, 15, 16, 17, 18, 19, 20};

#define EACH_LEVEL(level)                                                                          \
    for (int level = 0; level <= (int)rr_cpu_best(); level++)                                      \
        if (whole_model_level(level))

static inline const char *level_name(int level)
{
    return rr_cpu_level_name((enum rr_cpu_level)level);
}

static inline void engine_open(struct rr_engine *e, int level, int n_threads)
{
    struct rr_error err = {0};
    int rc = rr_engine_init(e, n_threads, (enum rr_cpu_level)level, &err);
    cr_assert(rc == 0, "%s, %d threads: %s", level_name(level), n_threads, err.text);
}

static bool one_by_one; /* what sessions are told of their tokens */

static inline struct rr_session *session_open(struct rr_engine *e, const struct rr_model *m,
                                              struct rr_session_options o)
{
    struct rr_error err = {0};
    struct rr_session *s;
    int rc = rr_session_open(&s, e, m, &o, &err);
    cr_assert(rc == 0, "the session does not open: %s", err.text);
    rr_session_decoding(s, one_by_one);
    return s;
}

static inline int branch(struct rr_session *s, int parent, int n)
{
    struct rr_error err = {0};
    int node = -1, rc = rr_session_branch(s, parent, n, &node, &err);
    CHECK(rc == 0, "no node of %d tokens under %d: %s", n, parent, err.text);
    return node;
}

static inline void eval(struct rr_session *s, const struct rr_feed *feeds, int n_feeds,
                        const struct rr_want *wants, int n_wants)
{
    struct rr_error err = {0};
    int rc = rr_session_eval(s, feeds, n_feeds, wants, n_wants, &err);
    CHECK(rc == 0, "evaluating %d feeds, %d wants: [%s] %s", n_feeds, n_wants, err.code, err.text);
}

static inline void score_leaf(float *out, struct rr_session *s, int parent, const int *tokens,
                              int n)
{
    struct rr_feed f = {branch(s, parent, n), tokens, n};
    struct rr_want w = {.offset = n - 1, .logits = out};
    eval(s, &f, 1, &w, 1);
}

#endif
