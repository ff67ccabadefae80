/* See make_model.h. */
#include "tests/make_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

float random_float(struct rr_rng *r)
{
    return (float)(2 * rr_rng_unit(r) - 1);
}

uint16_t random_scale(struct rr_rng *r, float size)
{
    float sign = rr_rng_below(r, 2) ? 1.0f : -1.0f;
    return rr_f32_to_f16(sign * size * (0.5f + (float)rr_rng_unit(r)));
}

static void put_u16(unsigned char *p, uint16_t v)
{
    memcpy(p, &v, sizeof v);
}

static void random_bytes(unsigned char *p, size_t n, struct rr_rng *r)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (unsigned char)(rr_rng_u64(r) >> 56);
}

static void random_plain(unsigned char *p, enum rr_type type, float size, struct rr_rng *r)
{
    float v = size * random_float(r);
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    if (type == RR_TYPE_F32)
        memcpy(p, &v, sizeof v);
    else
        put_u16(p, type == RR_TYPE_F16 ? rr_f32_to_f16(v) : (uint16_t)(bits >> 16));
}

void random_row(void *out, enum rr_type type, int k, float size, struct rr_rng *r)
{
    const struct rr_type_info *t = rr_type_info(type);
    unsigned char *p = out;
    for (int i = 0; i < k; i += t->block, p += t->block_bytes) {
        if (t->block == 1)
            random_plain(p, type, size, r);
        else
            random_bytes(p, t->block_bytes, r);
        for (int h = 0; h < 2 && t->halves[h].most; h++)
            put_u16(p + t->halves[h].at, random_scale(r, size / (float)t->halves[h].most));
    }
}

/* Model, layers and weights in one block; with base NULL the bytes are only counted. */
struct builder {
    unsigned char *base;
    size_t used;
    const struct model_shape *shape;
    struct rr_rng rng;
};

static void *take(struct builder *b, size_t n_bytes)
{
    void *p = b->base ? b->base + b->used : NULL;
    b->used += (n_bytes + 63) / 64 * 64;
    return p;
}

static struct rr_tensor matrix(struct builder *b, int rows, int cols)
{
    const enum rr_type wanted = b->shape->type;
    enum rr_type type = cols % rr_type_info(wanted)->block == 0 ? wanted : RR_TYPE_F32;
    const size_t row_bytes = rr_row_bytes(type, (size_t)cols);
    unsigned char *p = take(b, (size_t)rows * row_bytes);
    for (int i = 0; p && i < rows; i++)
        random_row(p + (size_t)i * row_bytes, type, cols, 2.0f / sqrtf((float)cols), &b->rng);
    return (struct rr_tensor){type, rows, cols, p};
}

/* Weights of a norm: around 1. */
static const float *gains(struct builder *b, int n)
{
    float *p = take(b, (size_t)n * sizeof *p);
    for (int i = 0; p && i < n; i++)
        p[i] = 1 + 0.3f * random_float(&b->rng);
    return p;
}

static struct rr_model *build(struct builder *b, uint64_t seed)
{
    const struct model_shape *s = b->shape;
    const int q_dim = s->n_heads * s->head_dim, kv_dim = s->n_kv_heads * s->head_dim;
    struct rr_model *m = take(b, sizeof *m);
    struct rr_layer *layers = take(b, (size_t)s->n_layers * sizeof *layers);
    rr_rng_seed(&b->rng, seed);
    struct rr_tensor embed = matrix(b, s->n_vocab, s->n_embd);
    for (int i = 0; i < s->n_layers; i++) {
        struct rr_layer l;
        l.attn_norm = gains(b, s->n_embd);
        l.ffn_norm = gains(b, s->n_embd);
        l.wq = matrix(b, q_dim, s->n_embd);
        l.wk = matrix(b, kv_dim, s->n_embd);
        l.wv = matrix(b, kv_dim, s->n_embd);
        l.wo = matrix(b, s->n_embd, q_dim);
        l.gate = matrix(b, s->n_ff, s->n_embd);
        l.up = matrix(b, s->n_ff, s->n_embd);
        l.down = matrix(b, s->n_embd, s->n_ff);
        if (layers)
            layers[i] = l;
    }
    const float *out_norm = gains(b, s->n_embd);
    struct rr_tensor head = s->tied ? embed : matrix(b, s->n_vocab, s->n_embd);
    if (!m)
        return NULL;
    *m = (struct rr_model){
        .embed = embed, .out_norm = out_norm, .head = head, .tied = s->tied, .layers = layers};
    m->h = (struct rr_hparams){.n_layers = s->n_layers,
                               .n_embd = s->n_embd,
                               .n_heads = s->n_heads,
                               .n_kv_heads = s->n_kv_heads,
                               .head_dim = s->head_dim,
                               .n_ff = s->n_ff,
                               .n_vocab = s->n_vocab,
                               .n_context = s->n_context,
                               .rms_eps = 1e-5};
    m->h.rope.theta = 10000;
    m->h.rope.interleaved = s->interleaved;
    return m;
}

struct rr_model *make_model(const struct model_shape *shape, uint64_t seed)
{
    struct builder b = {.shape = shape};
    build(&b, seed);
    b.base = malloc(b.used);
    b.used = 0;
    struct rr_model *m = b.base ? build(&b, seed) : NULL;
    struct rr_error err;
    if (!m || rr_hparams_check(&m->h, NULL, &err)) {
        fprintf(stderr, "make_model: %s\n", m ? err.text : "out of memory");
        abort();
    }
    return m;
}

/* The model is the first thing in its block. */
void free_model(struct rr_model *m)
{
    free(m);
}

void *model_row(const struct rr_tensor *t, int i)
{
    union {
        const void *in;
        void *out;
    } data = {t->data};
    return (unsigned char *)data.out + (size_t)i * rr_row_bytes(t->type, (size_t)t->n_cols);
}

/* ---- the reference ---- */

static double *numbers(size_t n)
{
    double *p = calloc(n ? n : 1, sizeof *p);
    if (!p)
        abort();
    return p;
}

/* y[rows] = W x */
static void times(double *y, const struct rr_tensor *w, const double *x)
{
    struct rr_kernels k;
    float *row = malloc((size_t)w->n_cols * sizeof *row);
    if (!row)
        abort();
    rr_kernels_init(&k, RR_CPU_C);
    for (int i = 0; i < w->n_rows; i++) {
        k.row_f32[w->type](row, model_row(w, i), w->n_cols);
        y[i] = 0;
        for (int j = 0; j < w->n_cols; j++)
            y[i] += (double)row[j] * x[j];
    }
    free(row);
}

static void normed(double *y, const double *x, const float *gain, int n, double eps)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += x[i] * x[i];
    for (int i = 0; i < n; i++)
        y[i] = x[i] / sqrt(sum / n + eps) * (double)gain[i];
}

static void turn(double *head, const struct rr_hparams *h, int position)
{
    const int half = h->head_dim / 2;
    for (int i = 0; i < half; i++) {
        const double angle = position * pow(h->rope.theta, -2.0 * i / h->head_dim);
        double *a = head + (h->rope.interleaved ? 2 * i : i);
        double *b = h->rope.interleaved ? a + 1 : a + half;
        const double x = *a, y = *b;
        *a = x * cos(angle) - y * sin(angle);
        *b = y * cos(angle) + x * sin(angle);
    }
}

/* out[head_dim] = softmax(q k) v over n positions; keys and values have `stride` numbers per
 * position. */
static void attend(double *out, const double *q, const double *k, const double *v, int n,
                   int stride, int hd)
{
    double *score = numbers((size_t)n), sum = 0, max = -1e300;
    for (int p = 0; p < n; p++) {
        for (int d = 0; d < hd; d++)
            score[p] += q[d] * k[p * stride + d] / sqrt(hd);
        max = fmax(max, score[p]);
    }
    memset(out, 0, (size_t)hd * sizeof *out);
    for (int p = 0; p < n; p++)
        sum += score[p] = exp(score[p] - max);
    for (int p = 0; p < n; p++)
        for (int d = 0; d < hd; d++)
            out[d] += score[p] / sum * v[p * stride + d];
    free(score);
}

/* The residual stream x[n][n_embd] through one layer. */
static void layer_forward(double *x, const struct rr_model *m, const struct rr_layer *l, int n)
{
    const struct rr_hparams *h = &m->h;
    const int hd = h->head_dim, kv = h->n_kv_heads * hd, group = h->n_heads / h->n_kv_heads;
    double *norm = numbers((size_t)h->n_embd), *q = numbers((size_t)h->n_heads * (size_t)hd);
    double *k = numbers((size_t)n * (size_t)kv), *v = numbers((size_t)n * (size_t)kv);
    double *att = numbers((size_t)h->n_heads * (size_t)hd), *add = numbers((size_t)h->n_embd);
    double *gate = numbers((size_t)h->n_ff), *up = numbers((size_t)h->n_ff);
    for (int t = 0; t < n; t++, x += h->n_embd) {
        normed(norm, x, l->attn_norm, h->n_embd, h->rms_eps);
        times(q, &l->wq, norm);
        times(k + t * kv, &l->wk, norm);
        times(v + t * kv, &l->wv, norm);
        for (int i = 0; i < h->n_heads; i++)
            turn(q + i * hd, h, t);
        for (int i = 0; i < h->n_kv_heads; i++)
            turn(k + t * kv + i * hd, h, t);
        for (int i = 0; i < h->n_heads; i++)
            attend(att + i * hd, q + i * hd, k + i / group * hd, v + i / group * hd, t + 1, kv, hd);
        times(add, &l->wo, att);
        for (int i = 0; i < h->n_embd; i++)
            x[i] += add[i];
        normed(norm, x, l->ffn_norm, h->n_embd, h->rms_eps);
        times(gate, &l->gate, norm);
        times(up, &l->up, norm);
        for (int i = 0; i < h->n_ff; i++)
            gate[i] = gate[i] / (1 + exp(-gate[i])) * up[i];
        times(add, &l->down, gate);
        for (int i = 0; i < h->n_embd; i++)
            x[i] += add[i];
    }
    double *all[] = {norm, q, k, v, att, add, gate, up};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i]);
}

void reference_logits(double *out, const struct rr_model *m, const int *tokens, int n)
{
    const int dim = m->h.n_embd;
    double *x = numbers((size_t)n * (size_t)dim);
    float *row = malloc((size_t)dim * sizeof *row);
    struct rr_kernels k;
    if (!row)
        abort();
    rr_kernels_init(&k, RR_CPU_C);
    for (int t = 0; t < n; t++) {
        k.row_f32[m->embed.type](row, model_row(&m->embed, tokens[t]), dim);
        for (int i = 0; i < dim; i++)
            x[t * dim + i] = (double)row[i];
    }
    for (int l = 0; l < m->h.n_layers; l++)
        layer_forward(x, m, &m->layers[l], n);
    double *last = x + (size_t)(n - 1) * (size_t)dim;
    normed(last, last, m->out_norm, dim, m->h.rms_eps);
    times(out, &m->head, last);
    free(row);
    free(x);
}
