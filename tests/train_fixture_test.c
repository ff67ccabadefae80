/* Two steps of training against tests/train/fixtures.h: the same network, loss, gradients, clipping
 * and AdamW computed in float64 by a program that shares nothing with this one
 * (tests/train/make_fixtures.py). In full and as LoRA, at every kernel level, on one thread and on
 * two. */
#include <math.h>
#include "engine/train/optim.h"
#include "tests/test.h"
#include "tests/train/fixtures.h"

#define TOLERANCE                                                                                  \
    1e-5 /* of a weight; a step moves it by about FIXTURE_RATE, a thousand times that */

/* What the reference has of one kind of training. */
struct reference {
    const double *losses, *norms, *grads, *values[FIXTURE_STEPS];
    size_t n;
    bool lora;
};
static const struct reference full = {.losses = fixture_full_losses,
                                      .norms = fixture_full_norms,
                                      .grads = fixture_full_grads_1,
                                      .values = {fixture_full_values_1, fixture_full_values_2},
                                      .n = sizeof fixture_full_grads_1 / sizeof(double)};
static const struct reference lora = {.losses = fixture_lora_losses,
                                      .norms = fixture_lora_norms,
                                      .grads = fixture_lora_grads_1,
                                      .values = {fixture_lora_values_1, fixture_lora_values_2},
                                      .n = sizeof fixture_lora_grads_1 / sizeof(double),
                                      .lora = true};

/* weight() of make_fixtures.py: exact in double until it is rounded. */
static float weight(long long i, bool norm)
{
    const double u = (double)((i * i * 17 + i * 7919) % FIXTURE_MODULUS - FIXTURE_MODULUS / 2) /
                     (FIXTURE_MODULUS / 2);
    return (float)(norm ? 1 + 0.25 * u : FIXTURE_SCALE * u);
}

static void fill(struct rr_lm *lm, long long shift)
{
    for (int t = 0; t < lm->n_tensors; t++) {
        const struct rr_lm_tensor *x = &lm->tensors[t];
        const size_t n = (size_t)x->rows * (size_t)(x->cols ? x->cols : 1);
        for (size_t i = x->at; i < x->at + n; i++)
            lm->values[i] = weight((long long)i + shift, !x->cols);
    }
}

static void make(struct rr_lm *lm, const struct reference *r)
{
    static const struct rr_hparams h = {.n_layers = FIXTURE_LAYERS,
                                        .n_embd = FIXTURE_DIM,
                                        .n_heads = FIXTURE_HEADS,
                                        .n_kv_heads = FIXTURE_KV_HEADS,
                                        .head_dim = FIXTURE_HEAD_DIM,
                                        .n_ff = FIXTURE_FF,
                                        .n_vocab = FIXTURE_VOCAB,
                                        .n_context = 16,
                                        .rms_eps = FIXTURE_EPS,
                                        .rope = {.theta = FIXTURE_THETA, .interleaved = true}};
    static const struct rr_lm_options plain = {0},
                                      adapters = {.rank = FIXTURE_RANK,
                                                  .alpha = FIXTURE_ALPHA,
                                                  .modules = 1u << RR_LM_Q | 1u << RR_LM_V};
    struct rr_error err = {0};
    cr_assert(rr_lm_make(lm, &h, true, &plain, 1, &err) == 0, "%s", err.text);
    fill(lm, 0);
    if (r->lora) {
        cr_assert(rr_lm_adapt(lm, &adapters, 1, &err) == 0, "%s", err.text);
        fill(lm, FIXTURE_LORA_SHIFT);
    }
    cr_assert(lm->n_values == r->n, "%zu trained numbers, %zu in the reference", lm->n_values,
              r->n);
}

/* Forward and backward over the reference's batch, as step t wants it. */
static double gradients(struct rr_lm *lm, struct rr_engine *e, int t)
{
    enum { N_SEQS = sizeof fixture_starts / sizeof fixture_starts[0] - 1 };
    const struct rr_lm_batch b = {.tokens = fixture_tokens,
                                  .targets = fixture_targets,
                                  .weights = fixture_weights,
                                  .starts = fixture_starts,
                                  .n_rows = fixture_starts[N_SEQS],
                                  .n_seqs = N_SEQS};
    struct rr_lm_state *s;
    struct rr_error err = {0};
    int n;
    cr_assert(rr_lm_state_open(&s, e, lm, b.n_rows, 16, &err) == 0, "%s", err.text);
    const double loss = rr_lm_run(lm, s, &b, true, fixture_shares[t] / FIXTURE_TARGETS, 0, &n);
    rr_lm_state_close(s);
    cr_assert(n == FIXTURE_TARGETS, "%d targets, expected %d", n, FIXTURE_TARGETS);
    return loss;
}

static double largest_difference(const float *x, const double *expected, size_t n)
{
    double largest = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = fabs((double)x[i] - expected[i]);
        if (!(d <= largest)) /* NaN counts */
            largest = isnan(d) ? INFINITY : d;
    }
    return largest;
}

static void open_engine(struct rr_engine *e, int threads, int level)
{
    struct rr_error err = {0};
    cr_assert(rr_engine_init(e, threads, (enum rr_cpu_level)level, &err) == 0, "%s", err.text);
}

static void check(const struct reference *r, int threads, int level)
{
    const char *name = r->lora ? "LoRA" : "full";
    struct rr_engine e;
    struct rr_lm lm;
    struct rr_adamw a;
    struct rr_error err = {0};
    open_engine(&e, threads, level);
    make(&lm, r);
    cr_assert(rr_adamw_open(&a, lm.n_values, &err) == 0, "%s", err.text);
    for (int t = 0; t < FIXTURE_STEPS; t++) {
        const double loss = gradients(&lm, &e, t);
        cr_assert(fabs(loss - r->losses[t]) <= 1e-5 * r->losses[t],
                  "%s, %d threads, level %d, step %d: loss %.9g, expected %.9g", name, threads,
                  level, t + 1, loss, r->losses[t]);
        const double off = t ? 0 : largest_difference(lm.grads, r->grads, r->n);
        cr_assert(off <= 3e-6 * r->norms[t],
                  "%s, %d threads, level %d: a gradient is off by %g, their norm is %g", name,
                  threads, level, off, r->norms[t]);
        const double norm = rr_adamw_step(&a, &e, &lm, FIXTURE_RATE);
        cr_assert(fabs(norm - r->norms[t]) <= 1e-5 * norm, "%s, step %d: norm %.9g, expected %.9g",
                  name, t + 1, norm, r->norms[t]);
        const double moved = largest_difference(lm.values, r->values[t], r->n);
        cr_assert(moved <= TOLERANCE, "%s, %d threads, level %d, step %d: a weight is off by %g",
                  name, threads, level, t + 1, moved);
    }
    rr_adamw_close(&a);
    rr_lm_free(&lm);
    rr_engine_release(&e);
}

static void check_everywhere(const struct reference *r)
{
    for (int level = 0; level <= (int)rr_cpu_best(); level++)
        for (int threads = 1; threads <= 2 && rr_cpu_has((enum rr_cpu_level)level); threads++)
            check(r, threads, level);
}

Test(train_fixture, full_steps_are_the_reference_s)
{
    check_everywhere(&full);
}

Test(train_fixture, lora_steps_are_the_reference_s)
{
    check_everywhere(&lora);
}

/* How far from the reference the weights end when the optimiser is spoilt. */
static double distance(const struct reference *r, struct rr_engine *e,
                       void (*spoil)(struct rr_adamw *, struct rr_lm *))
{
    struct rr_lm lm;
    struct rr_adamw a;
    struct rr_error err = {0};
    make(&lm, r);
    cr_assert(rr_adamw_open(&a, lm.n_values, &err) == 0, "%s", err.text);
    spoil(&a, &lm);
    for (int t = 0; t < FIXTURE_STEPS; t++) {
        gradients(&lm, e, t);
        rr_adamw_step(&a, e, &lm, FIXTURE_RATE);
    }
    const double d = largest_difference(lm.values, r->values[FIXTURE_STEPS - 1], r->n);
    rr_adamw_close(&a);
    rr_lm_free(&lm);
    return d;
}

static void another_beta1(struct rr_adamw *a, struct rr_lm *lm)
{
    (void)lm;
    a->beta1 = 0.8;
}

static void another_beta2(struct rr_adamw *a, struct rr_lm *lm)
{
    (void)lm;
    a->beta2 = 0.999;
}

static void no_decay(struct rr_adamw *a, struct rr_lm *lm)
{
    (void)lm;
    a->decay = 0;
}

static void no_clipping(struct rr_adamw *a, struct rr_lm *lm)
{
    (void)lm;
    a->clip = 0;
}

static void decay_of_all(struct rr_adamw *a, struct rr_lm *lm)
{
    (void)a;
    for (int t = 0; t < lm->n_tensors; t++)
        lm->tensors[t].decays = true;
}

static void one_weight_changed(struct rr_adamw *a, struct rr_lm *lm)
{
    (void)a;
    lm->values[7] += 1e-3f;
}

/* The usual mistakes are five tolerances away and more: what passes above is no accident. */
Test(train_fixture, a_wrong_step_is_seen)
{
    static const struct {
        const char *name;
        void (*spoil)(struct rr_adamw *, struct rr_lm *);
        bool of_lora; /* adapters have no norms to decay */
    } wrong[] = {{"beta1 0.8", another_beta1, true},
                 {"beta2 0.999", another_beta2, true},
                 {"no decay", no_decay, true},
                 {"no clipping", no_clipping, true},
                 {"decay of norms", decay_of_all, false},
                 {"a weight", one_weight_changed, true}};
    struct rr_engine e;
    open_engine(&e, 1, (int)rr_cpu_best());
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        const double d = distance(&full, &e, wrong[i].spoil);
        cr_assert(d > 5 * TOLERANCE, "full, %s: only %g away", wrong[i].name, d);
        const double l = wrong[i].of_lora ? distance(&lora, &e, wrong[i].spoil) : INFINITY;
        cr_assert(l > 5 * TOLERANCE, "LoRA, %s: only %g away", wrong[i].name, l);
    }
    rr_engine_release(&e);
}
