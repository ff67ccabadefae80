/* See random_model.h. One stretch of random rows is made and copied everywhere from different
 * places on: what the numbers are does not change how long a product takes. */
#include "tools/random_model.h"

#include <math.h>
#include <string.h>
#include <unistd.h>
#include "engine/base/check.h"
#include "engine/base/mem.h"
#include "engine/base/rng.h"

#define PATTERN 65536 /* numbers; whole blocks of every type */

static const struct {
    const char *name;
    struct rr_hparams h;
} shapes[] = {
    {"15m",
     {.n_layers = 6,
      .n_embd = 288,
      .n_heads = 6,
      .n_kv_heads = 6,
      .head_dim = 48,
      .n_ff = 768,
      .n_vocab = 32000,
      .n_context = 1024,
      .rms_eps = 1e-5,
      .rope = {.theta = 10000}}},
    {"110m",
     {.n_layers = 12,
      .n_embd = 768,
      .n_heads = 12,
      .n_kv_heads = 12,
      .head_dim = 64,
      .n_ff = 2048,
      .n_vocab = 32000,
      .n_context = 1024,
      .rms_eps = 1e-5,
      .rope = {.theta = 10000}}},
    {"1.1b",
     {.n_layers = 22,
      .n_embd = 2048,
      .n_heads = 32,
      .n_kv_heads = 4,
      .head_dim = 64,
      .n_ff = 5632,
      .n_vocab = 32000,
      .n_context = 2048,
      .rms_eps = 1e-5,
      .rope = {.theta = 10000}}},
    {"7b",
     {.n_layers = 32,
      .n_embd = 4096,
      .n_heads = 32,
      .n_kv_heads = 32,
      .head_dim = 128,
      .n_ff = 11008,
      .n_vocab = 32000,
      .n_context = 4096,
      .rms_eps = 1e-5,
      .rope = {.theta = 10000}}},
};

static bool same_letters(const char *a, const char *b)
{
    size_t i = 0;
    while (a[i] && b[i] && (a[i] | 32) == (b[i] | 32))
        i++;
    return !a[i] && !b[i];
}

int random_model_named(const char *shape, const char *type, const struct rr_hparams **h,
                       enum rr_type *t, struct rr_error *err)
{
    *h = NULL;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        if (strcmp(shape, shapes[i].name) == 0)
            *h = &shapes[i].h;
    if (!*h)
        return rr_fail(err, RR_ERR_USAGE, "SHAPE", RR_NOWHERE,
                       "--shape is '%s'; expected 15m, 110m, 1.1b or 7b", shape);
    for (int i = 0; i < RR_TYPE_COUNT; i++)
        if (same_letters(type, rr_type_info((enum rr_type)i)->name)) {
            *t = (enum rr_type)i;
            return RR_OK;
        }
    return rr_fail(err, RR_ERR_USAGE, "TYPE", RR_NOWHERE,
                   "--type is '%s'; expected f32, f16, bf16, q8_0, q4_0, q6_k or q4_k", type);
}

/* Hands out pieces of one block; with base NULL it only counts. */
struct builder {
    unsigned char *base;
    size_t used;
    enum rr_type type;
    const unsigned char *pattern, *plain; /* PATTERN numbers of the type, and as F32 */
    struct rr_rng rng;
};

static void *take(struct builder *b, size_t bytes)
{
    void *p = b->base ? b->base + b->used : NULL;
    b->used += rr_round_up(bytes, 64);
    return p;
}

static void fill(struct builder *b, unsigned char *to, size_t bytes, const unsigned char *pattern,
                 enum rr_type type)
{
    const struct rr_type_info *t = rr_type_info(type);
    const size_t all = PATTERN / (size_t)t->block;
    while (bytes) {
        const size_t from = (size_t)rr_rng_below(&b->rng, all),
                     left = (all - from) * t->block_bytes, n = bytes < left ? bytes : left;
        memcpy(to, pattern + from * t->block_bytes, n);
        to += n;
        bytes -= n;
    }
}

static struct rr_tensor matrix(struct builder *b, int rows, int cols)
{
    const enum rr_type type = cols % rr_type_info(b->type)->block == 0 ? b->type : RR_TYPE_F32;
    const size_t bytes = (size_t)rows * rr_row_bytes(type, (size_t)cols);
    unsigned char *p = take(b, bytes);
    if (p)
        fill(b, p, bytes, type == b->type ? b->pattern : b->plain, type);
    return (struct rr_tensor){type, rows, cols, p};
}

static const float *gains(struct builder *b, int n)
{
    float *p = take(b, (size_t)n * sizeof *p);
    for (int i = 0; p && i < n; i++)
        p[i] = 1;
    return p;
}

static void build(struct builder *b, struct rr_model *m, const struct rr_hparams *h)
{
    struct rr_layer *layers = take(b, (size_t)h->n_layers * sizeof *layers);
    const int q_dim = h->n_heads * h->head_dim, kv_dim = h->n_kv_heads * h->head_dim;
    *m = (struct rr_model){.h = *h, .layers = layers, .tied = h->n_embd < 1024};
    m->embed = matrix(b, h->n_vocab, h->n_embd);
    for (int i = 0; i < h->n_layers; i++) {
        const struct rr_layer l = {.attn_norm = gains(b, h->n_embd),
                                   .ffn_norm = gains(b, h->n_embd),
                                   .wq = matrix(b, q_dim, h->n_embd),
                                   .wk = matrix(b, kv_dim, h->n_embd),
                                   .wv = matrix(b, kv_dim, h->n_embd),
                                   .wo = matrix(b, h->n_embd, q_dim),
                                   .gate = matrix(b, h->n_ff, h->n_embd),
                                   .up = matrix(b, h->n_ff, h->n_embd),
                                   .down = matrix(b, h->n_embd, h->n_ff)};
        if (layers)
            layers[i] = l;
    }
    m->out_norm = gains(b, h->n_embd);
    m->head = m->tied ? m->embed : matrix(b, h->n_vocab, h->n_embd);
}

/* Random numbers of about 0.02, as trained matrices have them. */
static void make_pattern(unsigned char *out, enum rr_type type, struct rr_rng *rng)
{
    const struct rr_type_info *t = rr_type_info(type);
    for (int i = 0; i < PATTERN; i += t->block, out += t->block_bytes) {
        const float v = 0.04f * (float)(rr_rng_unit(rng) - 0.5);
        uint16_t half = rr_f32_to_f16(v);
        uint32_t bits;
        memcpy(&bits, &v, sizeof bits);
        for (size_t k = 0; k < t->block_bytes; k++)
            out[k] = (unsigned char)rr_rng_below(rng, 256);
        if (type == RR_TYPE_F32) {
            memcpy(out, &v, sizeof v);
        } else if (type == RR_TYPE_BF16) {
            half = (uint16_t)(bits >> 16);
            memcpy(out, &half, sizeof half);
        } else if (type == RR_TYPE_F16) {
            memcpy(out, &half, sizeof half);
        } else {
            /* The scales: so that the greatest number is about as large. */
            for (int h = 0; h < 2 && t->halves[h].most; h++) {
                half = rr_f32_to_f16(0.02f / (float)t->halves[h].most);
                memcpy(out + t->halves[h].at, &half, sizeof half);
            }
        }
    }
}

int random_model_make(struct random_model *m, const struct rr_hparams *shape, enum rr_type type,
                      struct rr_error *err)
{
    struct builder b = {.type = type};
    const double has = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    *m = (struct random_model){0};
    build(&b, &m->model, shape);
    m->bytes = b.used;
    if ((double)m->bytes > 0.9 * has)
        return rr_fail(err, RR_ERR_MEMORY, "MEMORY", RR_NOWHERE,
                       "this shape in %s takes %.1f GB; the machine has %.1f GB: take a smaller "
                       "--type or --shape",
                       rr_type_info(type)->name, 1e-9 * (double)m->bytes, 1e-9 * has);
    unsigned char *pattern = rr_alloc(PATTERN, rr_type_info(type)->block_bytes),
                  *plain = rr_alloc(PATTERN, sizeof(float));
    m->block = rr_alloc_aligned(m->bytes);
    if (!pattern || !plain || !m->block) {
        rr_free(pattern);
        rr_free(plain);
        random_model_free(m);
        return rr_fail_memory(err, "random weights", b.used);
    }
    rr_rng_seed(&b.rng, 1);
    make_pattern(pattern, type, &b.rng);
    make_pattern(plain, RR_TYPE_F32, &b.rng);
    b = (struct builder){
        .base = m->block, .type = type, .pattern = pattern, .plain = plain, .rng = b.rng};
    build(&b, &m->model, shape);
    rr_free(pattern);
    rr_free(plain);
    return RR_OK;
}

void random_model_free(struct random_model *m)
{
    rr_free_aligned(m->block);
    *m = (struct random_model){0};
}
