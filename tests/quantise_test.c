/* What rr_store_row makes of float32 in the K types: read back by the kernels' own definition of
 * the blocks, near enough, whatever the numbers; and as good as llama.cpp's on a real file. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "engine/kernel/kernel.h"
#include "tests/make_model.h"
#include "tests/test.h"
#include "weights/weights.h"
#include "weights/write.h"

enum { K_TYPES = 3, N = 4 * RR_QK_K };
static const struct {
    enum rr_type type;
    double error; /* RMS over the numbers' own, of numbers spread evenly around 0 */
} k_types[K_TYPES] = {{RR_TYPE_Q6_K, 0.015}, {RR_TYPE_Q5_K, 0.03}, {RR_TYPE_Q4_K, 0.06}};

static void store_and_read(float *y, enum rr_type type, const float *x, int n, const char *what)
{
    static unsigned char row[4 * sizeof(float) * N];
    struct rr_kernels k;
    rr_kernels_init(&k, RR_CPU_C);
    cr_assert(rr_store_row(row, type, x, n), "%s does not take %s", rr_type_info(type)->name, what);
    k.row_f32[type](y, row, n);
}

/* RMS of y - x over that of x. */
static double error_of(const float *y, const float *x, size_t n)
{
    double off = 0, all = 0;
    for (size_t i = 0; i < n; i++) {
        off += pow((double)y[i] - (double)x[i], 2);
        all += pow((double)x[i], 2);
    }
    return all > 0 ? sqrt(off / all) : off;
}

Test(quantise, k_types_are_near_what_they_are_made_of)
{
    static float x[N], y[N];
    static const float sizes[] = {1e-4f, 1e-2f, 1, 300};
    struct rr_rng r;
    rr_rng_seed(&r, 4);
    for (int t = 0; t < K_TYPES; t++)
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
            for (int kind = 0; kind < 4; kind++) {
                char what[64];
                for (int i = 0; i < N; i++) {
                    const float u = random_float(&r);
                    x[i] = sizes[s] * (kind == 0   ? u
                                       : kind == 1 ? fabsf(u)
                                       : kind == 2 ? -fabsf(u)
                                                   : u * (float)(1 + i % RR_QK_K / 32));
                }
                snprintf(what, sizeof what, "kind %d of size %g", kind, (double)sizes[s]);
                store_and_read(y, k_types[t].type, x, N, what);
                const double e = error_of(y, x, N);
                cr_assert(e > 0 && e < k_types[t].error, "%s, %s: off by %.4f",
                          rr_type_info(k_types[t].type)->name, what, e);
            }
}

Test(quantise, odd_blocks)
{
    static float x[RR_QK_K], y[RR_QK_K];
    for (int t = 0; t < K_TYPES; t++) {
        const enum rr_type type = k_types[t].type;
        const char *name = rr_type_info(type)->name;
        memset(x, 0, sizeof x);
        store_and_read(y, type, x, RR_QK_K, "zeros");
        for (int i = 0; i < RR_QK_K; i++)
            cr_assert(y[i] == 0, "%s: zeros: number %d is %g", name, i, (double)y[i]);
        x[77] = -3; /* alone: its group is a line from there to 0 */
        store_and_read(y, type, x, RR_QK_K, "one number");
        for (int i = 0; i < RR_QK_K; i++)
            cr_assert(fabsf(y[i] - x[i]) < (i == 77 ? 0.02f : 1e-3f), "%s: number %d is %g", name,
                      i, (double)y[i]);
        for (int i = 0; i < RR_QK_K; i++)
            x[i] = 1e-12f * (float)(i % 7); /* below every scale of halves */
        store_and_read(y, type, x, RR_QK_K, "tiny numbers");
        for (int i = 0; i < RR_QK_K; i++)
            cr_assert(fabsf(y[i] - x[i]) <= 1e-7f, "%s: tiny number %d is %g", name, i,
                      (double)y[i]);
        for (int i = 0; i < RR_QK_K; i++)
            x[i] = 2.5f; /* all alike */
        store_and_read(y, type, x, RR_QK_K, "a constant");
        for (int i = 0; i < RR_QK_K; i++)
            cr_assert(fabsf(y[i] - 2.5f) < 0.03f, "%s: constant %d is %g", name, i, (double)y[i]);
        static const float bad[] = {NAN, INFINITY, -INFINITY, 3e38f, 1e12f};
        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
            unsigned char row[512];
            x[200] = bad[i];
            cr_assert(!rr_store_row(row, type, x, RR_QK_K), "%s takes %g", name, (double)bad[i]);
        }
    }
}

/* ---- files ---- */

static void convert(const char *from, const char *to, int type, bool mixed)
{
    struct rr_engine e;
    struct rr_weights w;
    struct rr_error err = {0};
    cr_assert(rr_engine_init(&e, 2, rr_cpu_best(), &err) == 0 &&
                  rr_weights_open(&w, from, NULL, &err) == 0,
              "%s", err.text);
    const struct rr_write_options o = {.name = "x", .type = type, .mixed = mixed, .engine = &e};
    cr_assert(rr_gguf_write_model(to, &w.model, NULL, &o, &err) == 0, "%s", err.text);
    rr_weights_close(&w);
    rr_engine_release(&e);
}

static double whole_error(const char *a, const char *b)
{
    struct rr_weights w[2];
    struct rr_kernels k;
    struct rr_error err = {0};
    double sum = 0;
    rr_kernels_init(&k, RR_CPU_C);
    cr_assert(rr_weights_open(&w[0], a, NULL, &err) == 0 &&
                  rr_weights_open(&w[1], b, NULL, &err) == 0,
              "%s", err.text);
    for (int i = 0; i < w[0].model.h.n_layers; i++) {
        const struct rr_layer *l[] = {&w[0].model.layers[i], &w[1].model.layers[i]};
        for (int m = 0; m < 3; m++) {
            static float x[2][4096];
            double e = 0;
            const struct rr_tensor *t[2];
            for (int s = 0; s < 2; s++)
                t[s] = m == 0 ? &l[s]->wq : m == 1 ? &l[s]->wv : &l[s]->down;
            for (int row = 0; row < t[0]->n_rows; row++) {
                for (int s = 0; s < 2; s++)
                    k.row_f32[t[s]->type](x[s],
                                          (const char *)t[s]->data +
                                              (size_t)row *
                                                  rr_row_bytes(t[s]->type, (size_t)t[s]->n_cols),
                                          t[s]->n_cols);
                e += error_of(x[1], x[0], (size_t)t[0]->n_cols);
            }
            sum += e / t[0]->n_rows;
        }
    }
    rr_weights_close(&w[0]);
    rr_weights_close(&w[1]);
    return sum;
}

Test(quantise, as_good_as_llama_cpp)
{
    static const struct {
        const char *theirs;
        enum rr_type type;
        bool mixed;
    } files[] = {{"golden/gguf/tiny-Q6_K.gguf", RR_TYPE_Q6_K, false},
                 {"golden/gguf/tiny-Q5_K_M.gguf", RR_TYPE_Q5_K, true},
                 {"golden/gguf/tiny-Q4_K_M.gguf", RR_TYPE_Q4_K, true},
                 {"golden/gguf/tiny-Q8_0.gguf", RR_TYPE_Q8_0, false},
                 {"golden/gguf/tiny-Q4_0.gguf", RR_TYPE_Q4_0, false}};
    SKIP_WITHOUT(exact, "golden/gguf/tiny-F16.gguf");
    const char *out = path_in(temporary_dir(), "k.gguf");
    char from[512];
    snprintf(from, sizeof from, "%s", exact);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        const char *theirs = shared_path(files[i].theirs);
        cr_assert(theirs != NULL, "%s is missing", files[i].theirs);
        const double them = whole_error(from, theirs);
        convert(from, out, (int)files[i].type, files[i].mixed);
        const double us = whole_error(from, out);
        cr_assert(us <= 1.01 * them, "%s: off by %.5f, llama.cpp's by %.5f", files[i].theirs, us,
                  them);
    }
}

/* The layers' types are those of llama.cpp's mixtures. */
Test(quantise, mixtures)
{
    static const struct model_shape shape = {"wide", 9,  256, 2,           1,     128,
                                             288,    40, 64,  RR_TYPE_F32, false, true};
    static const char more[] = "100100111"; /* of nine layers, 0-based: eighths, thirds between */
    const char *plain = path_in(temporary_dir(), "plain.gguf"),
               *out = path_in(temporary_dir(), "mixed.gguf");
    struct rr_model *m = make_model(&shape, 5);
    struct rr_weights w;
    struct rr_error err = {0};
    cr_assert(rr_gguf_write_model(plain, m, NULL,
                                  &(struct rr_write_options){.name = "x", .type = -1}, &err) == 0,
              "%s", err.text);
    for (int mixed = 0; mixed < 2; mixed++) {
        convert(plain, out, RR_TYPE_Q5_K, mixed);
        cr_assert(rr_weights_open(&w, out, NULL, &err) == 0, "%s", err.text);
        cr_assert(w.model.embed.type == RR_TYPE_Q5_K && w.model.head.type == RR_TYPE_Q6_K,
                  "embedding %d, head %d", (int)w.model.embed.type, (int)w.model.head.type);
        for (int i = 0; i < 9; i++) {
            const struct rr_layer *l = &w.model.layers[i];
            cr_assert(l->wq.type == RR_TYPE_Q5_K && l->gate.type == RR_TYPE_Q5_K &&
                          l->down.type == RR_TYPE_Q8_0, /* rows of 288 */
                      "layer %d: %d %d %d", i, (int)l->wq.type, (int)l->gate.type,
                      (int)l->down.type);
            cr_assert(l->wv.type == (mixed && more[i] == '1' ? RR_TYPE_Q6_K : RR_TYPE_Q5_K),
                      "layer %d, mixed %d: attn_v is %d", i, mixed, (int)l->wv.type);
        }
        rr_weights_close(&w);
    }
    free_model(m);
}
