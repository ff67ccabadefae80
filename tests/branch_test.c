/* Nodes that continue the first tokens of another alone (rr_session_branch_at): the same bits as a
 * text in one node, wherever it is cut, and what is refused. */
#include <string.h>
#include "engine/session.h"
#include "tests/make_model.h"
#include "tests/test.h"

enum { TRUNK = 40, LEAF = 7, VOCAB = 77 };

static const struct model_shape shape = {"F32 gqa2 dim64", 2,    96,   4, 2, 32, 128, VOCAB, 256,
                                         RR_TYPE_F32,      true, false};

struct bed {
    struct rr_model *model;
    struct rr_engine engine;
    struct rr_session *session;
    int trunk[TRUNK], leaves[2][LEAF];
};

static void open_bed(struct bed *b, int level, enum rr_cache_type cache)
{
    struct rr_error err = {0};
    b->model = make_model(&shape, 3);
    cr_assert(rr_engine_init(&b->engine, 2, (enum rr_cpu_level)level, &err) == 0, "%s", err.text);
    cr_assert(rr_session_open(&b->session, &b->engine, b->model,
                              &(struct rr_session_options){.n_cells = 512, .cache = cache},
                              &err) == 0,
              "%s", err.text);
    for (int i = 0; i < TRUNK; i++)
        b->trunk[i] = (i * 31 + 7) % VOCAB;
    for (int i = 0; i < 2 * LEAF; i++)
        b->leaves[i / LEAF][i % LEAF] = (i * 17 + 3) % VOCAB;
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

static void eval(struct bed *b, const struct rr_feed *feeds, int n, const struct rr_want *wants,
                 int n_wants)
{
    struct rr_error err = {0};
    int rc = rr_session_eval(b->session, feeds, n, wants, n_wants, &err);
    cr_assert(rc == 0, "[%s] %s", err.code, err.text);
}

/* logits[VOCAB] after the trunk's first `behind` tokens and a leaf, as one node. */
static void alone(struct bed *b, int behind, int leaf, float *logits)
{
    int text[TRUNK + LEAF];
    memcpy(text, b->trunk, (size_t)behind * sizeof *text);
    memcpy(text + behind, b->leaves[leaf], sizeof b->leaves[leaf]);
    rr_session_rewind(b->session, 0);
    const struct rr_feed feed = {node_at(b, -1, 0, behind + LEAF), text, behind + LEAF};
    const struct rr_want want = {.offset = behind + LEAF - 1, .logits = logits};
    eval(b, &feed, 1, &want, 1);
    rr_session_rewind(b->session, 0);
}

/* Two leaves behind different tokens of one trunk, all in one call or the trunk first; and one more
 * below the first leaf's own first tokens. */
static void check_cuts(struct bed *b, int first, int second, bool at_once, const char *what)
{
    static float expected[3][VOCAB], got[3][VOCAB];
    enum { DEEP = 3 };
    int text[TRUNK + DEEP + LEAF];
    alone(b, first, 0, expected[0]);
    alone(b, second, 1, expected[1]);
    memcpy(text, b->trunk, (size_t)first * sizeof *text);
    memcpy(text + first, b->leaves[0], DEEP * sizeof *text);
    memcpy(text + first + DEEP, b->leaves[1], sizeof b->leaves[1]);
    const struct rr_feed whole = {node_at(b, -1, 0, first + DEEP + LEAF), text,
                                  first + DEEP + LEAF};
    eval(b, &whole, 1, &(struct rr_want){.offset = first + DEEP + LEAF - 1, .logits = expected[2]},
         1);
    rr_session_rewind(b->session, 0);
    const int trunk = node_at(b, -1, 0, TRUNK), x = node_at(b, trunk, first, LEAF),
              y = node_at(b, trunk, second, LEAF), z = node_at(b, x, DEEP, LEAF);
    const struct rr_feed feeds[] = {{trunk, b->trunk, TRUNK},
                                    {x, b->leaves[0], LEAF},
                                    {y, b->leaves[1], LEAF},
                                    {z, b->leaves[1], LEAF}};
    struct rr_want wants[3];
    const int skip = at_once ? 0 : 1;
    for (int i = 0; i < 3; i++)
        wants[i] = (struct rr_want){.feed = i + 1 - skip, .offset = LEAF - 1, .logits = got[i]};
    if (skip)
        eval(b, feeds, 1, NULL, 0);
    eval(b, feeds + skip, 4 - skip, wants, 3);
    for (int i = 0; i < 3; i++)
        cr_assert(memcmp(got[i], expected[i], sizeof got[i]) == 0,
                  "%s: cut at %d and %d: leaf %d is not what it is in one node", what, first,
                  second, i);
}

Test(branch, a_node_continues_the_first_tokens_of_another)
{
    static const int cuts[][2] = {{0, TRUNK}, {1, 16}, {15, 17}, {31, 31}, {32, 5}, {39, 38}};
    for (int level = 0; level <= (int)rr_cpu_best(); level++)
        for (int cache = RR_CACHE_F32; cache <= RR_CACHE_Q8_0; cache++) {
            struct bed b;
            if (!rr_cpu_has((enum rr_cpu_level)level))
                continue;
            open_bed(&b, level, (enum rr_cache_type)cache);
            for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++)
                for (int once = 0; once < 2; once++)
                    check_cuts(&b, cuts[i][0], cuts[i][1], once,
                               rr_cpu_level_name((enum rr_cpu_level)level));
            close_bed(&b);
        }
}

Test(branch, what_is_behind_no_token_is_refused)
{
    struct bed b;
    struct rr_error err = {0};
    int node;
    open_bed(&b, (int)rr_cpu_best(), RR_CACHE_F32);
    const int trunk = node_at(&b, -1, 0, TRUNK);
    static const int bad[][2] = {{-1, 1}, {0, -1}, {0, TRUNK + 1}, {1, 0}, {-2, 0}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const int rc = rr_session_branch_at(b.session, bad[i][0], bad[i][1], 1, &node, &err);
        cr_assert(rc == RR_ERR_USAGE && strcmp(err.code, "NODE") == 0,
                  "behind %d of node %d: status %d, code %s", bad[i][1], bad[i][0], rc, err.code);
    }
    /* Before the parent has the tokens that it stands behind; then while it has no more. */
    const struct rr_feed leaf = {node_at(&b, trunk, 8, LEAF), b.leaves[0], LEAF};
    eval(&b, &(struct rr_feed){trunk, b.trunk, 7}, 1, NULL, 0);
    const int rc = rr_session_eval(b.session, &leaf, 1, NULL, 0, &err);
    cr_assert(rc == RR_ERR_USAGE && strstr(err.text, "7 of its 8 tokens"), "status %d: %s", rc,
              err.text);
    eval(&b, &(struct rr_feed){trunk, b.trunk + 7, 1}, 1, NULL, 0);
    eval(&b, &leaf, 1, NULL, 0);
    close_bed(&b);
}
