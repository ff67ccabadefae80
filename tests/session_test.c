/* Scoring over trees: what a token gets depends on its path and on nothing else, bit for bit, at
 * every CPU level. */
#include "tests/session_bed.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- against the textbook ---- */

/* How far off a type may be: where rows of x are quantised to eight bits these narrow layers show
 * it, sixteen are nearly floats. */
static double by_bits(const struct rr_kernels *k, enum rr_type type, double eight, double sixteen,
                      double floats)
{
    return !k->prepared[type] ? floats : k->prepared[type] == RR_READS_16 ? sixteen : eight;
}

Test(session, logits_are_those_of_the_textbook)
{
    enum { N = 21 };
    for (int i = 0; i < N_SHAPES; i++) {
        static double expected[256];
        static float got[256];
        const int n_vocab = shapes[i].n_vocab;
        struct rr_model *m = make_model(&shapes[i], 17);
        double spread = 0;
        int tokens[N];
        for (int t = 0; t < N; t++)
            tokens[t] = (t * 13 + 5) % n_vocab;
        reference_logits(expected, m, tokens, N);
        for (int v = 0; v < n_vocab; v++)
            spread = fmax(spread, fabs(expected[v]));
        cr_assert(spread > 0.01, "%s: the largest logit is %g: too small to tell anything",
                  shapes[i].name, spread);
        EACH_LEVEL(level)
        {
            struct rr_engine e;
            engine_open(&e, level, 1);
            struct rr_session *s = session_open(&e, m, (struct rr_session_options){0});
            struct rr_feed f = {branch(s, -1, N), tokens, N};
            struct rr_want w = {.offset = N - 1, .logits = got};
            eval(s, &f, 1, &w, 1);
            const double limit = by_bits(&e.kernels, shapes[i].type, 0.15, 1e-3, 5e-5);
            for (int v = 0; v < n_vocab; v++)
                CHECK(fabs((double)got[v] - expected[v]) <= limit * spread,
                      "%s, %s: logit %d is %.9g; expected %.9g", level_name(level), shapes[i].name,
                      v, (double)got[v], expected[v]);
            rr_session_close(s);
            rr_engine_release(&e);
        }
        free_model(m);
    }
}

/* A layer whose matrices are of different types: what each of them reads of x is prepared. */
Test(session, types_side_by_side_are_each_prepared)
{
    enum { N = 40 };
    static double expected[256];
    static float got[256];
    struct model_shape f16_shape = shapes[1], bf16_shape = shapes[1]; /* Q8_0 */
    f16_shape.type = RR_TYPE_F16;
    bf16_shape.type = RR_TYPE_BF16;
    struct rr_model *m = make_model(&shapes[1], 17), *f16 = make_model(&f16_shape, 18),
                    *bf16 = make_model(&bf16_shape, 19);
    const int n_vocab = shapes[1].n_vocab;
    double spread = 0;
    int tokens[N];
    for (int t = 0; t < N; t++)
        tokens[t] = (t * 13 + 5) % n_vocab;
    m->layers[0].wk = f16->layers[0].wk;
    m->layers[0].up = bf16->layers[0].up;
    m->layers[1].wq = bf16->layers[1].wq;
    m->layers[1].wv = f16->layers[1].wv;
    m->layers[1].down = f16->layers[1].down;
    m->head = f16->head;
    reference_logits(expected, m, tokens, N);
    for (int v = 0; v < n_vocab; v++)
        spread = fmax(spread, fabs(expected[v]));
    EACH_LEVEL(level)
    for (int decoding = 0; decoding < 2; decoding++) {
        struct rr_engine e;
        engine_open(&e, level, 1);
        struct rr_session *s = session_open(&e, m, (struct rr_session_options){0});
        rr_session_decoding(s, decoding);
        struct rr_feed f = {branch(s, -1, N), tokens, N};
        struct rr_want w = {.offset = N - 1, .logits = got};
        eval(s, &f, 1, &w, 1);
        for (int v = 0; v < n_vocab; v++)
            CHECK(fabs((double)got[v] - expected[v]) <= 0.15 * spread,
                  "%s: logit %d is %.9g; expected %.9g", level_name(level), v, (double)got[v],
                  expected[v]);
        rr_session_close(s);
        rr_engine_release(&e);
    }
    free_model(m);
    free_model(f16);
    free_model(bf16);
}

/* ---- trees ---- */

enum { MAX_NODES = 24, MAX_TOKENS = 320 };

struct tree {
    int n_nodes, n_tokens;
    struct {
        int parent, first, n; /* tokens[first .. first + n) */
    } nodes[MAX_NODES];
    int tokens[MAX_TOKENS];
};

static int tree_add(struct tree *t, int parent, int n, int n_vocab, struct rr_rng *r)
{
    t->nodes[t->n_nodes].parent = parent;
    t->nodes[t->n_nodes].first = t->n_tokens;
    t->nodes[t->n_nodes].n = n;
    for (int i = 0; i < n; i++)
        t->tokens[t->n_tokens++] = (int)rr_rng_below(r, (uint64_t)n_vocab);
    return t->n_nodes++;
}

/* A trunk of 37 tokens, branches that end before, on and behind a panel's edge (one is empty),
 * leaves of 1 to 20 tokens, a leaf of a leaf, and a second root. */
static void tree_make(struct tree *t, int n_vocab, uint64_t seed)
{
    static const int branches[] = {1, 16, 17, 0, 5}, leaves[] = {3, 1, 20};
    struct rr_rng r;
    rr_rng_seed(&r, seed);
    *t = (struct tree){0};
    int trunk = tree_add(t, -1, 37, n_vocab, &r), last = trunk;
    for (size_t b = 0; b < sizeof branches / sizeof branches[0]; b++) {
        int at = tree_add(t, trunk, branches[b], n_vocab, &r);
        for (size_t l = 0; l < sizeof leaves / sizeof leaves[0]; l++)
            last = tree_add(t, at, leaves[l], n_vocab, &r);
    }
    tree_add(t, last, 2, n_vocab, &r);
    tree_add(t, -1, 9, n_vocab, &r);
}

/* Logits of every token of a tree: [n_tokens][n_vocab]. */
static float *logits_new(const struct tree *t, int n_vocab)
{
    float *p = malloc((size_t)t->n_tokens * (size_t)n_vocab * sizeof *p);
    cr_assert(p != NULL, "no memory for %d rows of logits", t->n_tokens);
    memset(p, 0xFF, (size_t)t->n_tokens * (size_t)n_vocab * sizeof *p);
    return p;
}

/* Tokens of the path down to the end of a node, with their places in the tree. */
static int tree_path(const struct tree *t, int node, int *places)
{
    int n = t->nodes[node].parent >= 0 ? tree_path(t, t->nodes[node].parent, places) : 0;
    for (int i = 0; i < t->nodes[node].n; i++)
        places[n++] = t->nodes[node].first + i;
    return n;
}

/* The truth: each path in a session of its own, one token per call. */
static void tree_alone(float *out, const struct tree *t, struct rr_engine *e,
                       const struct rr_model *m, enum rr_cache_type cache)
{
    struct rr_session *s =
        session_open(e, m, (struct rr_session_options){.n_batch = 1, .cache = cache});
    const int n_vocab = m->h.n_vocab;
    for (int node = 0; node < t->n_nodes; node++) {
        int places[MAX_TOKENS], n = tree_path(t, node, places);
        int at = branch(s, -1, n);
        for (int i = 0; i < n; i++) {
            struct rr_want w = {.logits = out + (size_t)places[i] * (size_t)n_vocab};
            struct rr_feed f = {at, &t->tokens[places[i]], 1};
            const int own = n - t->nodes[node].n; /* before: the ancestors', done already */
            eval(s, &f, 1, &w, i >= own);
        }
        rr_session_rewind(s, 0);
    }
    rr_session_close(s);
}

enum way { AT_ONCE, NODE_BY_NODE, TOKEN_BY_TOKEN, IN_SEVENS };
static const char *const way_names[] = {"at once", "node by node", "token by token", "in sevens"};

/* All nodes are opened first, under numbers of their own, then fed. */
static void tree_eval(float *out, const struct tree *t, struct rr_session *s, int n_vocab,
                      enum way way)
{
    static struct rr_want wants[MAX_TOKENS];
    struct rr_feed feeds[MAX_NODES];
    int at[MAX_NODES], n_wants = 0;
    const int step = way == TOKEN_BY_TOKEN ? 1 : way == IN_SEVENS ? 7 : MAX_TOKENS;
    for (int i = 0; i < t->n_nodes; i++) {
        const int parent = t->nodes[i].parent;
        at[i] = branch(s, parent < 0 ? -1 : at[parent], t->nodes[i].n);
    }
    for (int i = 0; i < t->n_nodes; i++) {
        const int first = t->nodes[i].first, n = t->nodes[i].n;
        if (way == AT_ONCE) {
            feeds[i] = (struct rr_feed){at[i], t->tokens + first, n};
            for (int j = 0; j < n; j++)
                wants[n_wants++] = (struct rr_want){
                    .feed = i, .offset = j, .logits = out + (size_t)(first + j) * (size_t)n_vocab};
            continue;
        }
        for (int j = 0; j < n; j += step) {
            const int len = n - j < step ? n - j : step;
            feeds[0] = (struct rr_feed){at[i], t->tokens + first + j, len};
            for (int l = 0; l < len; l++)
                wants[l] = (struct rr_want){
                    .offset = l, .logits = out + (size_t)(first + j + l) * (size_t)n_vocab};
            eval(s, feeds, 1, wants, len);
        }
    }
    if (way == AT_ONCE)
        eval(s, feeds, t->n_nodes, wants, n_wants);
    for (int i = 0; i < t->n_nodes; i++) {
        int places[MAX_TOKENS], n = tree_path(t, i, places);
        CHECK(rr_session_length(s, at[i]) == t->nodes[i].n, "node %d holds %d tokens; expected %d",
              i, rr_session_length(s, at[i]), t->nodes[i].n);
        CHECK(rr_session_path(s, at[i]) == n, "the path to node %d has %d tokens; expected %d", i,
              rr_session_path(s, at[i]), n);
    }
}

/* First token whose logits differ, or -1. */
static int first_difference(const float *a, const float *b, const struct tree *t, int n_vocab)
{
    for (int i = 0; i < t->n_tokens; i++)
        if (memcmp(a + (size_t)i * (size_t)n_vocab, b + (size_t)i * (size_t)n_vocab,
                   (size_t)n_vocab * sizeof *a) != 0)
            return i;
    return -1;
}

static int node_of(const struct tree *t, int token)
{
    for (int i = 0; i < t->n_nodes; i++)
        if (token >= t->nodes[i].first && token < t->nodes[i].first + t->nodes[i].n)
            return i;
    return -1;
}

static void check_tree(int level, const struct model_shape *shape, enum rr_cache_type cache)
{
    static const struct {
        enum way way;
        int n_batch, n_threads;
    } tries[] = {
        {AT_ONCE, 0, 1},     {AT_ONCE, 1, 2},   {AT_ONCE, 3, 3},         {AT_ONCE, 17, 4},
        {AT_ONCE, 256, 8},   {AT_ONCE, 16, 2},  {NODE_BY_NODE, 256, 2},  {NODE_BY_NODE, 5, 1},
        {IN_SEVENS, 256, 3}, {IN_SEVENS, 4, 8}, {TOKEN_BY_TOKEN, 17, 4},
    };
    struct rr_model *m = make_model(shape, 99);
    const int n_vocab = shape->n_vocab;
    struct tree t;
    struct rr_engine e;
    tree_make(&t, n_vocab, 5);
    float *expected = logits_new(&t, n_vocab), *got = logits_new(&t, n_vocab);
    engine_open(&e, level, 1);
    tree_alone(expected, &t, &e, m, cache);
    rr_engine_release(&e);
    for (int i = 0; i < t.n_tokens * n_vocab; i++)
        CHECK(isfinite(expected[i]), "%s, %s: logit %d is %g", level_name(level), shape->name, i,
              (double)expected[i]);
    for (size_t i = 0; i < sizeof tries / sizeof tries[0]; i += sanitized() ? 5 : 1) {
        engine_open(&e, level, tries[i].n_threads);
        struct rr_session_options o = {
            .n_cells = 1024, .n_batch = tries[i].n_batch, .n_nodes = 64, .cache = cache};
        struct rr_session *s = session_open(&e, m, o);
        for (int again = 0; again < 2; again++) { /* once in fresh memory, once over old cells */
            memset(got, 0xFF, (size_t)t.n_tokens * (size_t)n_vocab * sizeof *got);
            tree_eval(got, &t, s, n_vocab, tries[i].way);
            const int at = first_difference(got, expected, &t, n_vocab);
            CHECK(at < 0,
                  "%s, %s: %s, batch %d, %d threads%s: token %d of node %d differs from its path "
                  "alone",
                  level_name(level), shape->name, way_names[tries[i].way], tries[i].n_batch,
                  tries[i].n_threads, again ? ", again" : "", at, node_of(&t, at));
            rr_session_rewind(s, 0);
        }
        cr_assert(rr_session_tokens(s) == 2LL * t.n_tokens, "%lld tokens counted; expected %d",
                  rr_session_tokens(s), 2 * t.n_tokens);
        rr_session_close(s);
        rr_engine_release(&e);
    }
    free(expected);
    free(got);
    free_model(m);
}

Test(session, tree_is_its_paths)
{
    EACH_LEVEL(level)
    for (int i = 0; i < N_SHAPES; i++)
        check_tree(level, &shapes[i], RR_CACHE_F32);
}

/* Products for decoding, too, give a token its bits whatever is beside it; and they are not so far
 * from a prompt's. */
Test(session, tokens_that_come_one_by_one_are_their_paths)
{
    const int level = (int)rr_cpu_best();
    for (int i = 0; i < N_SHAPES; i++) {
        struct rr_model *m = make_model(&shapes[i], 99);
        struct rr_engine e;
        struct tree t;
        double off = 0, size = 0;
        tree_make(&t, shapes[i].n_vocab, 5);
        float *prompt = logits_new(&t, shapes[i].n_vocab), *got = logits_new(&t, shapes[i].n_vocab);
        engine_open(&e, level, 2);
        one_by_one = false;
        tree_alone(prompt, &t, &e, m, RR_CACHE_F32);
        one_by_one = true;
        tree_alone(got, &t, &e, m, RR_CACHE_F32);
        for (int j = 0; j < t.n_tokens * shapes[i].n_vocab; j++) {
            off += pow((double)got[j] - (double)prompt[j], 2);
            size += pow((double)prompt[j], 2);
        }
        /* Sums in another order are off by little, until a number of x rounds to its other side. */
        const bool same = e.kernels.gemm[shapes[i].type] == e.decoding.gemm[shapes[i].type];
        const double most = by_bits(&e.kernels, shapes[i].type, 0.1, 1e-3, 1e-5);
        CHECK(same ? off == 0 : sqrt(off / size) < most,
              "%s, %s: decoding is off by %g of a prompt's logits", level_name(level),
              shapes[i].name, sqrt(off / size));
        rr_engine_release(&e);
        free(prompt);
        free(got);
        free_model(m);
        check_tree(level, &shapes[i], RR_CACHE_F32);
    }
}

/* As many bits as the names promise: logits near those of the exact cache, and not they. Products
 * in integers round to one side or the other for less. */
static void check_small_cache(int level, const struct model_shape *shape, enum rr_cache_type cache)
{
    struct rr_model *m = make_model(shape, 7);
    struct tree t;
    struct rr_engine e;
    double off = 0, size = 0;
    tree_make(&t, shape->n_vocab, 5);
    float *exact = logits_new(&t, shape->n_vocab), *got = logits_new(&t, shape->n_vocab);
    engine_open(&e, level, 1);
    tree_alone(exact, &t, &e, m, RR_CACHE_F32);
    tree_alone(got, &t, &e, m, cache);
    for (int j = 0; j < t.n_tokens * shape->n_vocab; j++) {
        off += pow((double)got[j] - (double)exact[j], 2);
        size += pow((double)exact[j], 2);
    }
    const double share = sqrt(off / size),
                 most = cache == RR_CACHE_F16 ? by_bits(&e.kernels, shape->type, 5e-2, 2e-3, 1e-3)
                                              : by_bits(&e.kernels, shape->type, 5e-2, 2e-2, 2e-2);
    CHECK(share > 0 && share < most, "%s, %s: a cache in %s is off by %g of the logits",
          level_name(level), shape->name, rr_cache_name(cache), share);
    rr_engine_release(&e);
    free(exact);
    free(got);
    free_model(m);
}

Test(session, a_small_cache_is_nearly_exact_and_the_tree_its_paths)
{
    EACH_LEVEL(level)
    for (int i = 0; i < N_SHAPES; i++)
        for (int cache = RR_CACHE_F16; cache <= RR_CACHE_Q8_0; cache++)
            if (cache == RR_CACHE_F16 ? i == 0 || i == 3 : i == 2 || i == 4) {
                check_tree(level, &shapes[i], (enum rr_cache_type)cache);
                check_small_cache(level, &shapes[i], (enum rr_cache_type)cache);
            }
}

/* The trunk matters: else the tests above could pass on leaves that see nothing. */
Test(session, leaves_see_their_trunk_and_not_each_other)
{
    EACH_LEVEL(level)
    {
        struct rr_model *m = make_model(&shapes[0], 3);
        const int n_vocab = shapes[0].n_vocab;
        struct tree t, u;
        struct rr_engine e;
        tree_make(&t, n_vocab, 5);
        float *a = logits_new(&t, n_vocab), *b = logits_new(&t, n_vocab);
        engine_open(&e, level, 1);
        struct rr_session *s = session_open(&e, m, (struct rr_session_options){.n_cells = 1024});
        tree_eval(a, &t, s, n_vocab, AT_ONCE);
        for (int changed = 0; changed < t.n_nodes; changed++) {
            if (!t.nodes[changed].n)
                continue;
            u = t;
            u.tokens[t.nodes[changed].first] = (t.tokens[t.nodes[changed].first] + 1) % n_vocab;
            rr_session_rewind(s, 0);
            tree_eval(b, &u, s, n_vocab, AT_ONCE);
            for (int i = 0; i < t.n_nodes; i++) {
                int places[MAX_TOKENS], n = tree_path(&t, i, places);
                bool below = false;
                for (int j = 0; j < n; j++)
                    below = below || places[j] == t.nodes[changed].first;
                const size_t last = (size_t)(t.nodes[i].first + t.nodes[i].n - 1) * (size_t)n_vocab;
                const bool same =
                    !t.nodes[i].n || memcmp(a + last, b + last, (size_t)n_vocab * sizeof *a) == 0;
                CHECK(!t.nodes[i].n || same == !below, "%s: node %d %s when node %d does",
                      level_name(level), i, same ? "stays" : "changes", changed);
            }
        }
        rr_session_close(s);
        rr_engine_release(&e);
        free(a);
        free(b);
        free_model(m);
    }
}

/* ---- wants ---- */

static void check_wants(int level, const struct model_shape *shape, int n_batch)
{
    enum { N = 40 };
    static float whole[N][256], few[N][4], mixed[N][4];
    static double norm[N], norm_only[N];
    struct rr_model *m = make_model(shape, 7);
    struct rr_want wants[4 * N];
    struct rr_engine e;
    struct rr_rng r;
    int tokens[N], ids[N][4], n_wants = 0;
    rr_rng_seed(&r, 8);
    engine_open(&e, level, 2);
    struct rr_session *s = session_open(&e, m, (struct rr_session_options){.n_batch = n_batch});
    for (int i = 0; i < N; i++) {
        tokens[i] = (int)rr_rng_below(&r, (uint64_t)shape->n_vocab);
        for (int j = 0; j < 4; j++)
            ids[i][j] = (int)rr_rng_below(&r, (uint64_t)shape->n_vocab);
        ids[i][1] = i % 2 ? 0 : shape->n_vocab - 1;
        /* Every kind of want, several at one token, more than the head takes at once. */
        wants[n_wants++] =
            (struct rr_want){.offset = i, .ids = ids[i], .n_ids = 4, .logits = few[i]};
        wants[n_wants++] = (struct rr_want){.offset = i, .logits = whole[i], .log_norm = &norm[i]};
        wants[n_wants++] = (struct rr_want){.offset = i, .log_norm = &norm_only[i]};
        if (i % 3)
            wants[n_wants++] = (struct rr_want){.offset = i,
                                                .ids = ids[i],
                                                .n_ids = 4,
                                                .logits = mixed[i],
                                                .log_norm = &norm_only[i]};
    }
    struct rr_feed f = {branch(s, -1, N), tokens, N};
    eval(s, &f, 1, wants, n_wants);
    for (int i = 0; i < N; i++) {
        double sum = 0;
        for (int j = 0; j < 4; j++) {
            CHECK(memcmp(&few[i][j], &whole[i][ids[i][j]], sizeof(float)) == 0,
                  "%s, %s, batch %d, token %d: id %d alone is %a, in the whole head %a",
                  level_name(level), shape->name, n_batch, i, ids[i][j], (double)few[i][j],
                  (double)whole[i][ids[i][j]]);
            CHECK(i % 3 == 0 || memcmp(&mixed[i][j], &few[i][j], sizeof(float)) == 0,
                  "%s, %s, batch %d, token %d: id %d beside log_norm is %a; expected %a",
                  level_name(level), shape->name, n_batch, i, ids[i][j], (double)mixed[i][j],
                  (double)few[i][j]);
        }
        for (int j = 0; j < shape->n_vocab; j++)
            sum += exp((double)whole[i][j]);
        CHECK(fabs(norm[i] - log(sum)) < 1e-10 * (1 + fabs(norm[i])),
              "%s, %s: log_norm of token %d is %.15g; expected %.15g", level_name(level),
              shape->name, i, norm[i], log(sum));
        CHECK(memcmp(&norm[i], &norm_only[i], sizeof(double)) == 0,
              "%s, %s: log_norm of token %d is %a, without logits %a", level_name(level),
              shape->name, i, norm[i], norm_only[i]);
    }
    rr_session_close(s);
    rr_engine_release(&e);
    free_model(m);
}

Test(session, wants_of_all_kinds_agree)
{
    EACH_LEVEL(level)
    for (int i = 0; i < N_SHAPES; i++) {
        check_wants(level, &shapes[i], 256);
        check_wants(level, &shapes[i], 5);
    }
}

/* Log norms of logits so large that a plain sum of exponentials would overflow. */
Test(session, log_norm_of_large_logits)
{
    struct rr_model *m = make_model(&shapes[6], 7);
    struct rr_engine e;
    static float *gain;
    float whole[16];
    double norm = 0, sum = 0;
    int token = 3;
    gain = malloc((size_t)m->h.n_embd * sizeof *gain);
    cr_assert(gain != NULL, "no memory");
    for (int i = 0; i < m->h.n_embd; i++)
        gain[i] = 1e5f;
    m->out_norm = gain;
    engine_open(&e, 0, 1);
    struct rr_session *s = session_open(&e, m, (struct rr_session_options){0});
    struct rr_want w = {.logits = whole, .log_norm = &norm};
    struct rr_feed f = {branch(s, -1, 1), &token, 1};
    eval(s, &f, 1, &w, 1);
    double max = (double)whole[0];
    for (int i = 0; i < m->h.n_vocab; i++)
        max = fmax(max, (double)whole[i]);
    for (int i = 0; i < m->h.n_vocab; i++)
        sum += exp((double)whole[i] - max);
    cr_assert(max > 1000, "the largest logit is %g; the test wants a large one", max);
    cr_assert(fabs(norm - max - log(sum)) < 1e-9 * norm, "log_norm is %.15g; expected %.15g", norm,
              max + log(sum));
    rr_session_close(s);
    rr_engine_release(&e);
    free(gain);
    free_model(m);
}

/* ---- rewinding ---- */

Test(session, trunk_outlives_its_leaves)
{
    enum { TRUNK = 21, LEAF = 18 };
    const struct model_shape *shape = &shapes[1];
    static float first[256], again[256], fresh[256];
    int trunk[TRUNK], other[TRUNK], leaf[LEAF];
    for (int i = 0; i < TRUNK; i++) {
        trunk[i] = (i * 7 + 1) % shape->n_vocab;
        other[i] = (i * 11 + 5) % shape->n_vocab;
    }
    for (int i = 0; i < LEAF; i++)
        leaf[i] = (i * 5 + 2) % shape->n_vocab;
    EACH_LEVEL(level)
    {
        struct rr_model *m = make_model(shape, 21);
        struct rr_engine e;
        engine_open(&e, level, 2);
        /* Cells for the trunk and two leaves, not more: what is rewound must be free again. */
        struct rr_session *s =
            session_open(&e, m, (struct rr_session_options){.n_cells = 96, .n_nodes = 3});
        int root = branch(s, -1, TRUNK);
        eval(s, &(struct rr_feed){root, trunk, TRUNK}, 1, NULL, 0);
        score_leaf(first, s, root, leaf, LEAF);
        for (int round = 0; round < 20; round++) {
            rr_session_rewind(s, root + 1);
            for (int i = 0; i < round % 3; i++)
                score_leaf(again, s, root, other, 1 + round);
            rr_session_rewind(s, root + 1);
            score_leaf(again, s, root, leaf, LEAF);
            CHECK(memcmp(first, again, (size_t)shape->n_vocab * sizeof(float)) == 0,
                  "%s: the leaf differs after rewinding, round %d", level_name(level), round);
        }
        /* Another trunk in the same cells. */
        rr_session_rewind(s, 0);
        root = branch(s, -1, TRUNK);
        eval(s, &(struct rr_feed){root, other, TRUNK}, 1, NULL, 0);
        score_leaf(again, s, root, leaf, LEAF);
        struct rr_session *u = session_open(&e, m, (struct rr_session_options){0});
        root = branch(u, -1, TRUNK);
        eval(u, &(struct rr_feed){root, other, TRUNK}, 1, NULL, 0);
        score_leaf(fresh, u, root, leaf, LEAF);
        cr_assert(memcmp(fresh, again, (size_t)shape->n_vocab * sizeof(float)) == 0,
                  "%s: a reused session differs from a fresh one", level_name(level));
        cr_assert(memcmp(first, again, (size_t)shape->n_vocab * sizeof(float)) != 0,
                  "%s: another trunk makes no difference", level_name(level));
        rr_session_rewind(u, 1000); /* nodes that are not open: nothing happens */
        rr_session_rewind(u, -1);
        cr_assert(rr_session_length(u, root) == TRUNK && rr_session_length(u, 99) == 0 &&
                      rr_session_path(u, -1) == 0,
                  "%s: lengths after rewinding to nodes that are not open", level_name(level));
        rr_session_close(s);
        rr_session_close(u);
        rr_engine_release(&e);
        free_model(m);
    }
}

/* ---- damaged weights ---- */

Test(session, nan_in_the_head)
{
    EACH_LEVEL(level)
    {
        const int bad = 40, ids_with[] = {3, bad}, ids_without[] = {3, 41};
        float out[256];
        double norm;
        struct rr_model *m = make_model(&shapes[1], 41);
        struct rr_error err;
        struct rr_engine e;
        uint16_t nan16 = 0x7E00;
        memcpy(model_row(&m->head, bad), &nan16, sizeof nan16); /* the scale of its first block */
        engine_open(&e, level, 2);
        struct rr_session *s = session_open(&e, m, (struct rr_session_options){0});
        const struct {
            const char *what;
            struct rr_want want;
            int status;
        } cases[] = {
            {"the whole vocabulary", {.offset = 7, .logits = out}, RR_ERR_DATA},
            {"the damaged id",
             {.offset = 7, .ids = ids_with, .n_ids = 2, .logits = out},
             RR_ERR_DATA},
            {"other ids", {.offset = 7, .ids = ids_without, .n_ids = 2, .logits = out}, RR_OK},
            {"log_norm alone", {.offset = 7, .log_norm = &norm}, RR_ERR_DATA},
            {"other ids and log_norm",
             {.offset = 7, .ids = ids_without, .n_ids = 2, .logits = out, .log_norm = &norm},
             RR_ERR_DATA},
        };
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            struct rr_feed f = {branch(s, -1, 20), bench_tokens, 20};
            err = (struct rr_error){0};
            int rc = rr_session_eval(s, &f, 1, &cases[i].want, 1, &err);
            cr_assert(rc == cases[i].status, "%s, %s: status %d; expected %d", level_name(level),
                      cases[i].what, rc, cases[i].status);
            cr_assert(rc == 0 ||
                          (strcmp(err.code, "NONFINITE_LOGITS") == 0 &&
                           strcmp(err.object, "output") == 0 && strstr(err.text, "position 7") &&
                           strstr(err.text, "damaged at row 40, column 0")),
                      "%s, %s: [%s] %s", level_name(level), cases[i].what, err.code, err.text);
            rr_session_rewind(s, 0);
        }
        rr_session_close(s);
        rr_engine_release(&e);
        free_model(m);
    }
}

/* Weights that are finite, each of them, but not what comes of them: nothing is called damaged. */
Test(session, weights_that_are_too_large)
{
    float out[256];
    struct rr_model *m = make_model(&shapes[6], 41);
    struct rr_error err = {0};
    struct rr_engine e;
    float *row = model_row(&m->head, 3);
    for (int i = 0; i < m->h.n_embd; i++)
        row[i] = 3e38f;
    engine_open(&e, (int)rr_cpu_best(), 1);
    struct rr_session *s = session_open(&e, m, (struct rr_session_options){0});
    struct rr_feed f = {branch(s, -1, 3), bench_tokens, 3};
    const struct rr_want want = {.offset = 2, .logits = out};
    int rc = rr_session_eval(s, &f, 1, &want, 1, &err);
    cr_assert(rc == RR_ERR_DATA && strcmp(err.code, "NONFINITE_LOGITS") == 0 && !err.object[0] &&
                  strstr(err.text, "but all weights are"),
              "%d [%s] %s: %s", rc, err.code, err.object, err.text);
    /* Of a layer, by its number. */
    ((float *)(void *)(uintptr_t)m->layers[0].ffn_norm)[2] = NAN;
    rr_session_rewind(s, 0);
    f.node = branch(s, -1, 3);
    rc = rr_session_eval(s, &f, 1, &want, 1, &err);
    cr_assert(rc == RR_ERR_DATA && strcmp(err.object, "blk.0.ffn_norm") == 0, "%d [%s] %s: %s", rc,
              err.code, err.object, err.text);
    rr_session_close(s);
    rr_engine_release(&e);
    free_model(m);
}

/* A token whose embedding is NaN spoils what comes after it on its path: not what came before, not
 * other leaves, and not what is computed later in the same cells. */
Test(session, nan_stays_on_its_path)
{
    enum { N = 20 };
    static float clean[N][256], out[N][256];
    EACH_LEVEL(level)
    for (int at = 1; at < 10; at++) {
        const int n_vocab = shapes[3].n_vocab;
        int tokens[N];
        struct rr_model *m = make_model(&shapes[3], 51);
        struct rr_error err = {0};
        struct rr_engine e;
        struct rr_want wants[N];
        uint16_t nan16 = 0x7E00;
        memcpy(model_row(&m->embed, 60), &nan16, sizeof nan16);
        for (int i = 0; i < N; i++)
            tokens[i] = i + 1;
        engine_open(&e, level, 1);
        struct rr_session *s = session_open(&e, m, (struct rr_session_options){0});
        struct rr_feed f = {branch(s, -1, N), tokens, N};
        for (int i = 0; i < N; i++)
            wants[i] = (struct rr_want){.offset = i, .logits = clean[i]};
        eval(s, &f, 1, wants, N);
        tokens[at] = 60;
        for (int i = 0; i < N; i++)
            wants[i].logits = out[i];
        rr_session_rewind(s, 0);
        f.node = branch(s, -1, N);
        int rc = rr_session_eval(s, &f, 1, wants, N, &err);
        cr_assert(rc == RR_ERR_DATA && strcmp(err.code, "NONFINITE_LOGITS") == 0,
                  "%s: status %d [%s]", level_name(level), rc, err.code);
        for (int i = 0; i < at; i++)
            cr_assert(memcmp(clean[i], out[i], (size_t)n_vocab * sizeof(float)) == 0,
                      "%s: a damaged token at %d changes the logits of token %d before it",
                      level_name(level), at, i);
        char place[32];
        snprintf(place, sizeof place, "(position %d)", at);
        cr_assert(strstr(err.text, place) != NULL, "%s: '%s' does not name %s", level_name(level),
                  err.text, place);
        rr_session_rewind(s, 0);
        tokens[at] = at + 1;
        f.node = branch(s, -1, N);
        eval(s, &f, 1, wants, N);
        for (int i = 0; i < N; i++)
            cr_assert(memcmp(clean[i], out[i], (size_t)n_vocab * sizeof(float)) == 0,
                      "%s: cells that once held NaN change token %d", level_name(level), i);
        rr_session_close(s);
        rr_engine_release(&e);
        free_model(m);
    }
}
