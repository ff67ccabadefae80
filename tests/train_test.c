/* Training against plain double arithmetic: tiles and products, the optimiser by hand, and the
 * trained network against the engine that runs it. Gradients have a program of their own
 * (tests/train/gradient.c). */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "engine/session.h"
#include "engine/train/gemm.h"
#include "engine/train/optim.h"
#include "tests/make_model.h"
#include "tests/test.h"

#define EACH_LEVEL(k)                                                                              \
    for (int level_ = 0; level_ <= (int)rr_cpu_best(); level_++)                                   \
        if (rr_cpu_has((enum rr_cpu_level)level_))                                                 \
            for (struct rr_kernels k = table(level_), *once_ = &k; once_; once_ = NULL)

static struct rr_kernels table(int level)
{
    struct rr_kernels k;
    rr_kernels_init(&k, (enum rr_cpu_level)level);
    return k;
}

static void open_engine(struct rr_engine *e, int threads)
{
    struct rr_error err = {0};
    cr_assert(rr_engine_init(e, threads, rr_cpu_best(), &err) == 0, "%s", err.text);
}

static void fill(float *x, size_t n, struct rr_rng *rng)
{
    for (size_t i = 0; i < n; i++)
        x[i] = random_float(rng);
}

/* Every depth from none; what lies beside the tile stays as it was. */
Test(train, tiles_of_every_level_are_sums_of_products)
{
    enum { DEPTH = 70, LDC = RR_TILE_N + 5 };
    static float a[DEPTH * RR_TILE_M], b[DEPTH * RR_TILE_N], c[RR_TILE_M * LDC],
        old[RR_TILE_M * LDC];
    struct rr_rng rng;
    rr_rng_seed(&rng, 1);
    EACH_LEVEL(k)
    {
        cr_assert(k.tile_f32 != NULL, "level %d has no tile", level_);
        for (int depth = 0; depth <= DEPTH; depth++) {
            fill(a, DEPTH * RR_TILE_M, &rng);
            fill(b, DEPTH * RR_TILE_N, &rng);
            fill(old, RR_TILE_M * LDC, &rng);
            memcpy(c, old, sizeof c);
            k.tile_f32(c, LDC, a, b, depth);
            for (int i = 0; i < RR_TILE_M; i++)
                for (int j = 0; j < LDC; j++) {
                    double sum = 0, size = 0;
                    for (int d = 0; d < depth && j < RR_TILE_N; d++) {
                        const double x =
                            (double)a[d * RR_TILE_M + i] * (double)b[d * RR_TILE_N + j];
                        sum += x;
                        size += fabs(x);
                    }
                    const double expected = (double)old[i * LDC + j] + sum;
                    if (!(fabs((double)c[i * LDC + j] - expected) <= 1e-6 * size + 1e-7) ||
                        (j >= RR_TILE_N && c[i * LDC + j] != old[i * LDC + j]))
                        cr_assert(false, "level %d, depth %d, (%d, %d): %g, expected %g", level_,
                                  depth, i, j, (double)c[i * LDC + j], expected);
                }
        }
    }
}

/* One product with random sizes and strides; all threads give the bits of one. */
static void check_product(struct rr_engine *one, struct rr_engine *three, float *scratch,
                          struct rr_rng *rng)
{
    const int m = 1 + (int)rr_rng_below(rng, 70), n = 1 + (int)rr_rng_below(rng, 90),
              k = 1 + (int)rr_rng_below(rng, 600);
    const bool a_turned = rr_rng_below(rng, 2), b_turned = rr_rng_below(rng, 2);
    const size_t mn = (size_t)m * (size_t)n, mk = (size_t)m * (size_t)k, kn = (size_t)k * (size_t)n;
    float *a = malloc(mk * sizeof *a), *b = malloc(kn * sizeof *b), *old = malloc(mn * sizeof *old),
          *c = malloc(mn * sizeof *c), *d = malloc(mn * sizeof *d);
    fill(a, mk, rng);
    fill(b, kn, rng);
    fill(old, mn, rng);
    memcpy(c, old, mn * sizeof *c);
    memcpy(d, old, mn * sizeof *d);
    struct rr_product p = {.c = c,
                           .ldc = (size_t)n,
                           .a = a,
                           .a_row = a_turned ? 1 : (size_t)k,
                           .a_col = a_turned ? (size_t)m : 1,
                           .b = b,
                           .b_row = b_turned ? 1 : (size_t)n,
                           .b_col = b_turned ? (size_t)k : 1,
                           .m = m,
                           .n = n,
                           .k = k,
                           .add = rr_rng_below(rng, 2)};
    rr_product_run(one, &p, scratch);
    p.c = d;
    rr_product_run(three, &p, scratch);
    cr_assert(memcmp(c, d, mn * sizeof *c) == 0, "%d x %d x %d: threads change the bits", m, n, k);
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            double sum = p.add ? (double)old[i * n + j] : 0, size = 1;
            for (int x = 0; x < k; x++) {
                const double t = (double)a[(size_t)i * p.a_row + (size_t)x * p.a_col] *
                                 (double)b[(size_t)x * p.b_row + (size_t)j * p.b_col];
                sum += t;
                size += fabs(t);
            }
            if (!(fabs((double)c[i * n + j] - sum) <= 2e-6 * size))
                cr_assert(false, "%d x %d x %d at (%d, %d): %g, expected %g", m, n, k, i, j,
                          (double)c[i * n + j], sum);
        }
    free(a);
    free(b);
    free(old);
    free(c);
    free(d);
}

Test(train, products_of_any_shape_and_stride)
{
    struct rr_engine one, three;
    struct rr_rng rng;
    open_engine(&one, 1);
    open_engine(&three, 3);
    float *scratch = malloc(3 * rr_product_scratch() * sizeof *scratch);
    rr_rng_seed(&rng, 2);
    for (int trial = 0; trial < 60; trial++)
        check_product(&one, &three, scratch, &rng);
    free(scratch);
    rr_engine_release(&one);
    rr_engine_release(&three);
}

/* ---- the network ---- */

static const struct rr_hparams small = {.n_layers = 2,
                                        .n_embd = 16,
                                        .n_heads = 4,
                                        .n_kv_heads = 2,
                                        .head_dim = 4,
                                        .n_ff = 24,
                                        .n_vocab = 37,
                                        .n_context = 64,
                                        .rms_eps = 1e-5,
                                        .rope = {.theta = 10000, .interleaved = true}};

static void make_lm(struct rr_lm *lm, const struct rr_lm_options *o)
{
    struct rr_error err = {0};
    struct rr_rng rng;
    rr_rng_seed(&rng, 8);
    cr_assert(rr_lm_make(lm, &small, true, o, 3, &err) == 0, "%s", err.text);
    for (size_t i = 0; i < lm->n_values; i++)
        lm->values[i] += 0.2f * random_float(&rng);
}

#define N_TOKENS 23

static void some_tokens(int *tokens, int *targets)
{
    struct rr_rng rng;
    rr_rng_seed(&rng, 4);
    for (int i = 0; i < N_TOKENS; i++)
        tokens[i] = (int)rr_rng_below(&rng, (uint64_t)small.n_vocab);
    for (int i = 0; i < N_TOKENS; i++)
        targets[i] = i + 1 < N_TOKENS ? tokens[i + 1] : -1;
}

/* The loss as the trainer computes it. */
static double trained_loss(struct rr_lm *lm, struct rr_engine *e)
{
    static const int starts[] = {0, N_TOKENS};
    int tokens[N_TOKENS], targets[N_TOKENS], n;
    struct rr_lm_state *s;
    struct rr_error err = {0};
    some_tokens(tokens, targets);
    const struct rr_lm_batch b = {tokens, targets, NULL, starts, N_TOKENS, 1};
    cr_assert(rr_lm_state_open(&s, e, lm, N_TOKENS, N_TOKENS, &err) == 0, "%s", err.text);
    const double loss = rr_lm_run(lm, s, &b, false, 1, 0, &n);
    cr_assert(n == N_TOKENS - 1, "%d targets", n);
    rr_lm_state_close(s);
    return loss;
}

/* The same text as the engine scores it. */
static double engine_loss(const struct rr_lm *lm, struct rr_engine *e)
{
    struct rr_model m;
    struct rr_layer layers[2];
    struct rr_session *s;
    struct rr_error err = {0};
    const struct rr_session_options so = {.n_context = 64, .n_cells = 64};
    struct rr_want wants[N_TOKENS];
    float logits[N_TOKENS];
    double norms[N_TOKENS], loss = 0;
    int tokens[N_TOKENS], targets[N_TOKENS], node;
    some_tokens(tokens, targets);
    rr_lm_as_model(&m, layers, lm);
    cr_assert(rr_session_open(&s, e, &m, &so, &err) == 0, "%s", err.text);
    cr_assert(rr_session_branch(s, -1, N_TOKENS, &node, &err) == 0, "%s", err.text);
    for (int i = 0; i + 1 < N_TOKENS; i++)
        wants[i] = (struct rr_want){.offset = i,
                                    .ids = &targets[i],
                                    .n_ids = 1,
                                    .logits = &logits[i],
                                    .log_norm = &norms[i]};
    const struct rr_feed feed = {node, tokens, N_TOKENS};
    cr_assert(rr_session_eval(s, &feed, 1, wants, N_TOKENS - 1, &err) == 0, "%s", err.text);
    for (int i = 0; i + 1 < N_TOKENS; i++)
        loss += norms[i] - (double)logits[i];
    rr_session_close(s);
    return loss;
}

Test(train, the_engine_runs_what_was_trained)
{
    static const struct rr_lm_options full = {0},
                                      lora = {.rank = 3,
                                              .alpha = 6,
                                              .modules = 1u << RR_LM_Q | 1u << RR_LM_DOWN};
    struct rr_engine e;
    struct rr_lm lm;
    struct rr_error err = {0};
    struct rr_rng rng;
    open_engine(&e, 2);
    make_lm(&lm, &full);
    const double plain = trained_loss(&lm, &e);
    cr_assert(fabs(plain - engine_loss(&lm, &e)) < 1e-4 * plain, "trainer %.9g, engine %.9g", plain,
              engine_loss(&lm, &e));
    /* A fresh adapter changes nothing; a trained one does, and merged it does the same. */
    cr_assert(rr_lm_adapt(&lm, &lora, 6, &err) == 0, "%s", err.text);
    cr_assert(trained_loss(&lm, &e) == plain, "a fresh adapter changes the loss");
    rr_rng_seed(&rng, 5);
    for (size_t i = 0; i < lm.n_values; i++)
        lm.values[i] += 0.2f * random_float(&rng);
    const double adapted = trained_loss(&lm, &e);
    cr_assert(fabs(adapted - plain) > 1e-3, "the adapter has no effect");
    struct rr_lm merged;
    cr_assert(rr_lm_merged(&merged, &lm, &err) == 0, "%s", err.text);
    cr_assert(fabs(adapted - engine_loss(&merged, &e)) < 1e-4 * adapted,
              "merged %.9g, adapted %.9g", engine_loss(&merged, &e), adapted);
    rr_lm_free(&merged);
    rr_lm_free(&lm);
    rr_engine_release(&e);
}

/* ---- the optimiser ---- */

Test(train, adamw_by_hand)
{
    struct rr_engine e;
    struct rr_lm lm;
    struct rr_adamw a;
    struct rr_error err = {0};
    open_engine(&e, 3);
    make_lm(&lm, &(struct rr_lm_options){0});
    cr_assert(rr_adamw_open(&a, lm.n_values, &err) == 0, "%s", err.text);
    const size_t n = lm.n_values;
    double *w = malloc(n * sizeof *w), *m = calloc(n, sizeof *m), *v = calloc(n, sizeof *v);
    bool *decays = calloc(n, sizeof *decays);
    struct rr_rng rng;
    rr_rng_seed(&rng, 6);
    for (int t = 0; t < lm.n_tensors; t++)
        for (int i = 0; i < lm.tensors[t].rows * (lm.tensors[t].cols ? lm.tensors[t].cols : 1); i++)
            decays[lm.tensors[t].at + (size_t)i] = lm.tensors[t].decays;
    for (size_t i = 0; i < n; i++)
        w[i] = (double)lm.values[i];
    for (int step = 1; step <= 5; step++) {
        double square = 0;
        fill(lm.grads, n, &rng);
        for (size_t i = 0; i < n; i++)
            square += (double)lm.grads[i] * (double)lm.grads[i];
        const double clip = sqrt(square) > 1 ? 1 / sqrt(square) : 1, rate = 0.01 * step;
        for (size_t i = 0; i < n; i++) {
            const double g = (double)lm.grads[i] * clip;
            m[i] = 0.9 * m[i] + 0.1 * g;
            v[i] = 0.95 * v[i] + 0.05 * g * g;
            w[i] -=
                rate * ((decays[i] ? 0.1 * w[i] : 0) +
                        m[i] / (1 - pow(0.9, step)) / (sqrt(v[i] / (1 - pow(0.95, step))) + 1e-8));
        }
        const double norm = rr_adamw_step(&a, &e, &lm, rate);
        cr_assert(fabs(norm - sqrt(square)) < 1e-6 * norm, "norm %g, expected %g", norm,
                  sqrt(square));
        for (size_t i = 0; i < n; i++)
            if (!(fabs((double)lm.values[i] - w[i]) < 2e-5) || lm.grads[i] != 0)
                cr_assert(false, "step %d, number %zu: %g, expected %g", step, i,
                          (double)lm.values[i], w[i]);
    }
    /* A gradient that is no number changes nothing. */
    memcpy(w, lm.values, n * sizeof(float));
    lm.grads[n / 2] = NAN;
    cr_assert(!isfinite(rr_adamw_step(&a, &e, &lm, 0.1)), "the norm of NaN");
    cr_assert(memcmp(w, lm.values, n * sizeof(float)) == 0 && lm.grads[n / 2] == 0, "it did");
    free(w);
    free(m);
    free(v);
    free(decays);
    rr_adamw_close(&a);
    rr_lm_free(&lm);
    rr_engine_release(&e);
}

Test(train, rates_rise_and_fall)
{
    cr_assert(fabs(rr_cosine_rate(1, 1000, 100, 2, 0.1) - 0.02) < 1e-12, "the first step");
    cr_assert(fabs(rr_cosine_rate(100, 1000, 100, 2, 0.1) - 2) < 1e-12, "the peak");
    cr_assert(fabs(rr_cosine_rate(550, 1000, 100, 2, 0.1) - 1.1) < 1e-12, "half way down: %g",
              rr_cosine_rate(550, 1000, 100, 2, 0.1));
    cr_assert(fabs(rr_cosine_rate(1000, 1000, 100, 2, 0.1) - 0.2) < 1e-12, "the floor");
    for (int s = 101; s <= 1000; s++)
        cr_assert(rr_cosine_rate(s, 1000, 100, 2, 0.1) < rr_cosine_rate(s - 1, 1000, 100, 2, 0.1),
                  "step %d", s);
}
