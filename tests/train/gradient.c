/* Every gradient of engine/train against central differences: a plain program that compiles those
 * files with double numbers. Full training and LoRA, tied and separate heads, both kinds of rotary
 * pairs, dropout (the same mask for every evaluation of a step), sequences of unequal length. Exit
 * 0 when the relative error stays below 1e-4. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "engine/train/lm.h"

#define STEP 1e-5
#define TOLERANCE 1e-4

static const int starts[] = {0, 5, 12, 13};
static const int tokens[] = {1, 4, 2, 7, 3, 0, 5, 5, 9, 12, 11, 6, 8};
static const int targets[] = {4, -1, 7, 3, -1, 5, 5, 9, -1, 11, 6, 2, 10};
static const double weights[] = {1, 1, .5, 1, 1, 2, 1, 1, 1, .25, 1, 1, 1};

struct setup {
    const char *name;
    bool tied, interleaved;
    struct rr_lm_options o;
};

static double loss_of(struct rr_lm *lm, struct rr_lm_state *s, bool learn)
{
    int n;
    const struct rr_lm_batch b = {tokens, targets, weights, starts, 13, 3};
    return rr_lm_run(lm, s, &b, learn, 0.125, 77, &n);
}

/* The loss with the step's own dropout, without its gradients mattering. */
static double loss_at(struct rr_lm *lm, struct rr_lm_state *s, size_t i, double v)
{
    const double before = lm->values[i];
    lm->values[i] = v;
    const double loss = loss_of(lm, s, true);
    lm->values[i] = before;
    return loss;
}

static int check(struct rr_engine *e, const struct setup *setup)
{
    const struct rr_hparams h = {.n_layers = 2,
                                 .n_embd = 16,
                                 .n_heads = 4,
                                 .n_kv_heads = 2,
                                 .head_dim = 4,
                                 .n_ff = 12,
                                 .n_vocab = 13,
                                 .n_context = 16,
                                 .rms_eps = 1e-5,
                                 .rope = {.theta = 10000, .interleaved = setup->interleaved}};
    struct rr_lm lm;
    struct rr_lm_state *s;
    struct rr_error err = {0};
    double worst = 0;
    int bad = 0;
    struct rr_lm_options base = setup->o;
    base.rank = 0;
    if (rr_lm_make(&lm, &h, setup->tied, setup->o.rank ? &base : &setup->o, 5, &err) ||
        (setup->o.rank && rr_lm_adapt(&lm, &setup->o, 6, &err)) ||
        rr_lm_state_open(&s, e, &lm, 13, 16, &err)) {
        fprintf(stderr, "gradient: %s: %s\n", setup->name, err.text);
        return 1;
    }
    /* Away from the start, where many gradients are tiny (and LoRA's b is zero). */
    struct rr_rng rng;
    rr_rng_seed(&rng, 9);
    for (size_t i = 0; i < lm.n_values; i++)
        lm.values[i] += 0.3 * (rr_rng_unit(&rng) - 0.5);
    double *grads = malloc(lm.n_values * sizeof *grads);
    loss_of(&lm, s, true);
    double largest = 0;
    for (size_t i = 0; i < lm.n_values; i++) {
        grads[i] = lm.grads[i] / 0.125;
        largest = fmax(largest, fabs(grads[i]));
    }
    for (int t = 0; t < lm.n_tensors; t++) {
        const struct rr_lm_tensor *x = &lm.tensors[t];
        const size_t n = (size_t)x->rows * (size_t)(x->cols ? x->cols : 1);
        for (size_t i = x->at; i < x->at + n; i++) {
            const double v = lm.values[i];
            const double numeric =
                (loss_at(&lm, s, i, v + STEP) - loss_at(&lm, s, i, v - STEP)) / (2 * STEP);
            const double error =
                fabs(numeric - grads[i]) / fmax(1e-3 * largest, fabs(numeric) + fabs(grads[i]));
            worst = fmax(worst, error);
            if (error > TOLERANCE && bad++ < 5)
                fprintf(stderr, "gradient: %s: %s[%zu]: %.10g, central difference %.10g\n",
                        setup->name, x->name, i - x->at, grads[i], numeric);
        }
    }
    printf("gradient: %-28s %5zu numbers, largest relative error %.1e\n", setup->name, lm.n_values,
           worst);
    free(grads);
    rr_lm_state_close(s);
    rr_lm_free(&lm);
    return bad > 0;
}

int main(void)
{
    const unsigned qv = 1u << RR_LM_Q | 1u << RR_LM_V, all = (1u << RR_LM_N) - 1;
    const struct setup setups[] = {
        {"full, tied", true, true, {.rank = 0}},
        {"full, separate head, halves", false, false, {.rank = 0}},
        {"full, dropout", true, true, {.dropout = 0.2}},
        {"LoRA q, v", true, true, {.rank = 3, .alpha = 6, .modules = qv}},
        {"LoRA all, rsLoRA, dropout",
         false,
         false,
         {.dropout = 0.1,
          .rank = 2,
          .alpha = 4,
          .lora_dropout = 0.2,
          .rank_stabilised = true,
          .modules = all}},
    };
    struct rr_engine e;
    struct rr_error err = {0};
    int bad = 0;
    if (rr_engine_init(&e, 2, RR_CPU_C, &err))
        return 1;
    for (size_t i = 0; i < sizeof setups / sizeof setups[0]; i++)
        bad += check(&e, &setups[i]);
    rr_engine_release(&e);
    return bad != 0;
}
