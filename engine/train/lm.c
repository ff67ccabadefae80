/* See lm.h. The network's memory and its names; the passes are in lm_run.c. */
#include "engine/train/lm.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include "engine/base/check.h"
#include "engine/base/mem.h"

const char *rr_lm_matrix_name(enum rr_lm_matrix m)
{
    static const char *const names[RR_LM_N] = {"q", "k", "v", "o", "gate", "up", "down"};
    return names[m];
}

static void matrix_shape(const struct rr_hparams *h, enum rr_lm_matrix m, int *rows, int *cols)
{
    const int q = h->n_heads * h->head_dim, kv = h->n_kv_heads * h->head_dim;
    const int shapes[RR_LM_N][2] = {{q, h->n_embd},      {kv, h->n_embd},      {kv, h->n_embd},
                                    {h->n_embd, q},      {h->n_ff, h->n_embd}, {h->n_ff, h->n_embd},
                                    {h->n_embd, h->n_ff}};
    *rows = shapes[m][0];
    *cols = shapes[m][1];
}

/* Hands out stretches of the trained or the frozen array; with NULL arrays it only counts. */
struct carver {
    struct rr_lm *lm;
    size_t trained, frozen;
    int n_tensors;
};

static void carve(struct carver *c, rr_real **w, rr_real **g, bool trained, int rows, int cols,
                  const char *name)
{
    struct rr_lm *lm = c->lm;
    const size_t n = (size_t)rows * (size_t)(cols ? cols : 1);
    size_t *at = trained ? &c->trained : &c->frozen;
    rr_real *base = trained ? lm->values : lm->frozen;
    *w = base ? base + *at : NULL;
    *g = trained && lm->grads ? lm->grads + *at : NULL;
    if (trained && lm->tensors) {
        struct rr_lm_tensor *t = &lm->tensors[c->n_tensors];
        *t = (struct rr_lm_tensor){.at = *at, .rows = rows, .cols = cols, .decays = cols > 0};
        snprintf(t->name, sizeof t->name, "%s", name);
    }
    c->n_tensors += trained;
    *at += n;
}

static void carve_matrix(struct carver *c, struct rr_linear *l, int layer, enum rr_lm_matrix m)
{
    const struct rr_lm_options *o = &c->lm->o;
    char name[48];
    matrix_shape(&c->lm->h, m, &l->n_out, &l->n_in);
    snprintf(name, sizeof name, "layers.%d.%s", layer, rr_lm_matrix_name(m));
    carve(c, &l->w, &l->gw, !o->rank, l->n_out, l->n_in, name);
    if (!o->rank || !(o->modules >> m & 1))
        return;
    l->rank = o->rank;
    l->scale = (rr_real)(o->alpha / (o->rank_stabilised ? sqrt(o->rank) : o->rank));
    l->dropout = o->lora_dropout;
    l->site = 1000 + (uint64_t)layer * RR_LM_N + (uint64_t)m;
    snprintf(name, sizeof name, "layers.%d.%s.lora_a", layer, rr_lm_matrix_name(m));
    carve(c, &l->a, &l->ga, true, o->rank, l->n_in, name);
    snprintf(name, sizeof name, "layers.%d.%s.lora_b", layer, rr_lm_matrix_name(m));
    carve(c, &l->b, &l->gb, true, l->n_out, o->rank, name);
}

static void lay_out(struct carver *c)
{
    struct rr_lm *lm = c->lm;
    const struct rr_hparams *h = &lm->h;
    const bool full = !lm->o.rank;
    char name[48];
    carve(c, &lm->embed, &lm->g_embed, full, h->n_vocab, h->n_embd, "embed");
    for (int i = 0; i < h->n_layers; i++) {
        struct rr_lm_layer *l = &lm->layers[i];
        snprintf(name, sizeof name, "layers.%d.attn_norm", i);
        carve(c, &l->attn_norm, &l->g_attn_norm, full, h->n_embd, 0, name);
        snprintf(name, sizeof name, "layers.%d.ffn_norm", i);
        carve(c, &l->ffn_norm, &l->g_ffn_norm, full, h->n_embd, 0, name);
        for (int m = 0; m < RR_LM_N; m++)
            carve_matrix(c, &l->m[m], i, (enum rr_lm_matrix)m);
    }
    carve(c, &lm->out_norm, &lm->g_out_norm, full, h->n_embd, 0, "out_norm");
    lm->head = (struct rr_linear){
        .n_out = h->n_vocab, .n_in = h->n_embd, .w = lm->embed, .gw = lm->g_embed};
    if (!lm->tied)
        carve(c, &lm->head.w, &lm->head.gw, full, h->n_vocab, h->n_embd, "head");
}

static void fill_rotation(struct rr_lm *lm)
{
    const size_t n = (size_t)lm->h.n_context * (size_t)(lm->h.head_dim / 2);
    lm->rotation.interleaved = lm->h.rope.interleaved;
#ifdef RR_TRAIN_DOUBLE
    /* cppcheck-suppress invalidPointerCast ; the lower half of the array first holds floats */
    float *c = (float *)lm->rotation.cos_table, *s = (float *)lm->rotation.sin_table;
    rr_rope_table(c, s, &lm->h, lm->h.n_context);
    for (size_t i = n; i-- > 0;) { /* widened in place, from the end */
        lm->rotation.cos_table[i] = (double)c[i];
        lm->rotation.sin_table[i] = (double)s[i];
    }
#else
    (void)n;
    rr_rope_table(lm->rotation.cos_table, lm->rotation.sin_table, &lm->h, lm->h.n_context);
#endif
}

static int allocate(struct rr_lm *lm, struct rr_error *err)
{
    const struct rr_hparams *h = &lm->h;
    const size_t tables = (size_t)h->n_context * (size_t)(h->head_dim / 2);
    lm->layers = rr_zalloc((size_t)h->n_layers, sizeof *lm->layers);
    if (!lm->layers)
        return rr_fail_memory(err, "layers", (size_t)h->n_layers * sizeof *lm->layers);
    struct carver count = {.lm = lm};
    lay_out(&count);
    lm->n_values = count.trained;
    lm->n_tensors = count.n_tensors;
    lm->tensors = rr_zalloc((size_t)count.n_tensors, sizeof *lm->tensors);
    lm->values = rr_zalloc(count.trained, sizeof *lm->values);
    lm->grads = rr_zalloc(count.trained, sizeof *lm->grads);
    lm->frozen = count.frozen ? rr_zalloc(count.frozen, sizeof *lm->frozen) : NULL;
    lm->rotation.cos_table = rr_alloc(tables, sizeof(rr_real));
    lm->rotation.sin_table = rr_alloc(tables, sizeof(rr_real));
    if (!lm->tensors || !lm->values || !lm->grads || (count.frozen && !lm->frozen) ||
        !lm->rotation.cos_table || !lm->rotation.sin_table)
        return rr_fail_memory(err, "weights", 2 * count.trained * sizeof(rr_real));
    struct carver c = {.lm = lm};
    lay_out(&c);
    fill_rotation(lm);
    return RR_OK;
}

static int begin(struct rr_lm *lm, const struct rr_hparams *h, bool tied,
                 const struct rr_lm_options *o, struct rr_error *err)
{
    *lm = (struct rr_lm){.h = *h, .o = *o, .tied = tied};
    int rc = rr_hparams_check(h, NULL, err);
    if (!rc && (o->rank < 0 || o->rank > 4096 || (o->rank && !o->modules) || o->dropout < 0 ||
                o->dropout >= 1 || o->lora_dropout < 0 || o->lora_dropout >= 1))
        rc = rr_fail(err, RR_ERR_USAGE, "TRAIN", RR_NOWHERE,
                     "rank %d (0 to 4096, with modules), dropout %g and %g (0 to below 1)", o->rank,
                     o->dropout, o->lora_dropout);
    return rc ? rc : allocate(lm, err);
}

/* Box and Muller 1958. */
static rr_real normal(struct rr_rng *rng)
{
    const double u = 1 - rr_rng_unit(rng), v = rr_rng_unit(rng);
    return (rr_real)(sqrt(-2 * log(u)) * cos(2 * 3.14159265358979323846 * v));
}

static void fill_normal(rr_real *w, size_t n, double deviation, struct rr_rng *rng)
{
    for (size_t i = 0; i < n; i++)
        w[i] = normal(rng) * (rr_real)deviation;
}

static void fill_ones(rr_real *w, int n)
{
    for (int i = 0; i < n; i++)
        w[i] = 1;
}

int rr_lm_make(struct rr_lm *lm, const struct rr_hparams *h, bool tied,
               const struct rr_lm_options *o, uint64_t seed, struct rr_error *err)
{
    struct rr_rng rng;
    const double deviation = 0.02, out = 0.02 / sqrt(2.0 * h->n_layers);
    int rc = begin(lm, h, tied, o, err);
    if (!rc && o->rank)
        rc = rr_fail(err, RR_ERR_USAGE, "TRAIN", RR_NOWHERE,
                     "an adapter needs a base that was trained");
    if (rc) {
        rr_lm_free(lm);
        return rc;
    }
    rr_rng_seed(&rng, seed);
    fill_normal(lm->embed, (size_t)h->n_vocab * (size_t)h->n_embd, deviation, &rng);
    for (int i = 0; i < h->n_layers; i++) {
        struct rr_lm_layer *l = &lm->layers[i];
        fill_ones(l->attn_norm, h->n_embd);
        fill_ones(l->ffn_norm, h->n_embd);
        for (int m = 0; m < RR_LM_N; m++)
            fill_normal(l->m[m].w, (size_t)l->m[m].n_out * (size_t)l->m[m].n_in,
                        m == RR_LM_O || m == RR_LM_DOWN ? out : deviation, &rng);
    }
    fill_ones(lm->out_norm, h->n_embd);
    if (!tied)
        fill_normal(lm->head.w, (size_t)h->n_vocab * (size_t)h->n_embd, deviation, &rng);
    return RR_OK;
}

/* Rows of any stored type, as numbers of training. */
static int copy_rows(rr_real *to, const struct rr_kernels *kern, const struct rr_tensor *t,
                     struct rr_error *err)
{
    const size_t row_bytes = rr_row_bytes(t->type, (size_t)t->n_cols), cols = (size_t)t->n_cols;
    float *row = rr_alloc(cols, sizeof *row);
    if (!row)
        return rr_fail_memory(err, "weights", cols * sizeof *row);
    for (size_t r = 0; r < (size_t)t->n_rows; r++) {
        kern->row_f32[t->type](row, (const char *)t->data + r * row_bytes, t->n_cols);
        for (size_t c = 0; c < cols; c++)
            to[r * cols + c] = (rr_real)row[c];
    }
    rr_free(row);
    return RR_OK;
}

static void copy_vector(rr_real *to, const float *from, int n)
{
    for (int i = 0; i < n; i++)
        to[i] = (rr_real)from[i];
}

static void start_adapter(struct rr_linear *l, struct rr_rng *rng)
{
    const double bound = sqrt(1.0 / l->n_in);
    for (size_t i = 0; i < (size_t)l->rank * (size_t)l->n_in; i++)
        l->a[i] = (rr_real)((2 * rr_rng_unit(rng) - 1) * bound);
}

static int copy_layer(struct rr_lm *lm, int i, const struct rr_kernels *kern,
                      const struct rr_model *m, struct rr_rng *rng, struct rr_error *err)
{
    const struct rr_layer *from = &m->layers[i];
    struct rr_lm_layer *to = &lm->layers[i];
    const struct rr_tensor *const matrices[RR_LM_N] = {
        &from->wq, &from->wk, &from->wv, &from->wo, &from->gate, &from->up, &from->down};
    int rc = RR_OK;
    copy_vector(to->attn_norm, from->attn_norm, m->h.n_embd);
    copy_vector(to->ffn_norm, from->ffn_norm, m->h.n_embd);
    for (int k = 0; k < RR_LM_N && !rc; k++) {
        rc = copy_rows(to->m[k].w, kern, matrices[k], err);
        if (!rc && to->m[k].rank)
            start_adapter(&to->m[k], rng);
    }
    return rc;
}

int rr_lm_from_model(struct rr_lm *lm, const struct rr_kernels *kern, const struct rr_model *m,
                     const struct rr_lm_options *o, uint64_t seed, struct rr_error *err)
{
    struct rr_rng rng;
    rr_rng_seed(&rng, seed);
    int rc = begin(lm, &m->h, m->tied, o, err);
    if (!rc)
        rc = copy_rows(lm->embed, kern, &m->embed, err);
    if (!rc && !m->tied)
        rc = copy_rows(lm->head.w, kern, &m->head, err);
    for (int i = 0; i < m->h.n_layers && !rc; i++)
        rc = copy_layer(lm, i, kern, m, &rng, err);
    if (!rc)
        copy_vector(lm->out_norm, m->out_norm, m->h.n_embd);
    if (rc)
        rr_lm_free(lm);
    return rc;
}

static void copy_matrix(rr_real *to, const rr_real *from, int rows, int cols)
{
    if (to) /* always: clang-tidy does not see that begin laid it out */
        rr_copy(to, from, (size_t)rows * (size_t)cols * sizeof *to);
}

/* The weights of one network into another of the same shape, adapters left out. */
static void copy_weights(struct rr_lm *to, const struct rr_lm *from)
{
    const struct rr_hparams *h = &from->h;
    copy_matrix(to->embed, from->embed, h->n_vocab, h->n_embd);
    if (!from->tied)
        copy_matrix(to->head.w, from->head.w, h->n_vocab, h->n_embd);
    copy_matrix(to->out_norm, from->out_norm, 1, h->n_embd);
    for (int i = 0; i < h->n_layers; i++) {
        copy_matrix(to->layers[i].attn_norm, from->layers[i].attn_norm, 1, h->n_embd);
        copy_matrix(to->layers[i].ffn_norm, from->layers[i].ffn_norm, 1, h->n_embd);
        for (int m = 0; m < RR_LM_N; m++)
            copy_matrix(to->layers[i].m[m].w, from->layers[i].m[m].w, to->layers[i].m[m].n_out,
                        to->layers[i].m[m].n_in);
    }
}

int rr_lm_adapt(struct rr_lm *lm, const struct rr_lm_options *o, uint64_t seed,
                struct rr_error *err)
{
    struct rr_lm adapted;
    struct rr_rng rng;
    int rc = begin(&adapted, &lm->h, lm->tied, o, err);
    if (rc) {
        rr_lm_free(&adapted);
        return rc;
    }
    copy_weights(&adapted, lm);
    rr_rng_seed(&rng, seed);
    for (int i = 0; i < lm->h.n_layers; i++)
        for (int m = 0; m < RR_LM_N; m++)
            if (adapted.layers[i].m[m].rank)
                start_adapter(&adapted.layers[i].m[m], &rng);
    rr_lm_free(lm);
    *lm = adapted;
    return RR_OK;
}

/* to += scale b a of an adapter. */
static void add_adapter(rr_real *to, const struct rr_linear *l)
{
    for (int i = 0; i < l->n_out; i++)
        for (int j = 0; j < l->n_in; j++) {
            double sum = 0;
            for (int k = 0; k < l->rank; k++)
                sum += (double)l->b[i * l->rank + k] *
                       (double)l->a[(size_t)k * (size_t)l->n_in + (size_t)j];
            rr_real *w = &to[(size_t)i * (size_t)l->n_in + (size_t)j];
            *w = (rr_real)((double)*w + sum * (double)l->scale);
        }
}

int rr_lm_merged(struct rr_lm *out, const struct rr_lm *lm, struct rr_error *err)
{
    struct rr_lm_options o = lm->o;
    o.rank = 0;
    int rc = begin(out, &lm->h, lm->tied, &o, err);
    if (rc) {
        rr_lm_free(out);
        return rc;
    }
    copy_weights(out, lm);
    for (int i = 0; i < lm->h.n_layers; i++)
        for (int m = 0; m < RR_LM_N; m++)
            if (lm->layers[i].m[m].rank)
                add_adapter(out->layers[i].m[m].w, &lm->layers[i].m[m]);
    return RR_OK;
}

/* Rows of every head: 0, half, 1, half + 1, ... */
static void interleave_rows(struct rr_linear *l, int head_dim, rr_real *scratch)
{
    const size_t cols = (size_t)l->n_in, half = (size_t)head_dim / 2;
    for (size_t head = 0; head < (size_t)(l->n_out / head_dim); head++) {
        rr_real *w = l->w + head * (size_t)head_dim * cols;
        memcpy(scratch, w, (size_t)head_dim * cols * sizeof *w);
        for (size_t j = 0; j < (size_t)head_dim; j++)
            memcpy(w + j * cols, scratch + (j % 2 * half + j / 2) * cols, cols * sizeof *w);
    }
}

int rr_lm_interleave(struct rr_lm *lm, struct rr_error *err)
{
    if (lm->h.rope.interleaved)
        return RR_OK;
    const size_t n = (size_t)lm->h.head_dim * (size_t)lm->h.n_embd;
    rr_real *scratch = rr_alloc(n, sizeof *scratch);
    if (!scratch)
        return rr_fail_memory(err, "weights", n * sizeof *scratch);
    for (int i = 0; i < lm->h.n_layers; i++) {
        interleave_rows(&lm->layers[i].m[RR_LM_Q], lm->h.head_dim, scratch);
        interleave_rows(&lm->layers[i].m[RR_LM_K], lm->h.head_dim, scratch);
    }
    rr_free(scratch);
    lm->h.rope.interleaved = lm->rotation.interleaved = true;
    return RR_OK;
}

#ifndef RR_TRAIN_DOUBLE
static struct rr_tensor as_tensor(const float *w, int rows, int cols)
{
    return (struct rr_tensor){.type = RR_TYPE_F32, .n_rows = rows, .n_cols = cols, .data = w};
}

void rr_lm_as_model(struct rr_model *m, struct rr_layer *layers, const struct rr_lm *lm)
{
    const struct rr_hparams *h = &lm->h;
    *m = (struct rr_model){.h = *h,
                           .embed = as_tensor(lm->embed, h->n_vocab, h->n_embd),
                           .out_norm = lm->out_norm,
                           .head = as_tensor(lm->head.w, h->n_vocab, h->n_embd),
                           .tied = lm->tied,
                           .layers = layers};
    for (int i = 0; i < h->n_layers; i++) {
        struct rr_layer *to = &layers[i];
        const struct rr_lm_layer *from = &lm->layers[i];
        struct rr_tensor *const all[RR_LM_N] = {&to->wq,   &to->wk, &to->wv,  &to->wo,
                                                &to->gate, &to->up, &to->down};
        to->attn_norm = from->attn_norm;
        to->ffn_norm = from->ffn_norm;
        for (int k = 0; k < RR_LM_N; k++)
            *all[k] = as_tensor(from->m[k].w, from->m[k].n_out, from->m[k].n_in);
    }
}
#endif

void rr_lm_free(struct rr_lm *lm)
{
    rr_free(lm->layers);
    rr_free(lm->tensors);
    rr_free(lm->values);
    rr_free(lm->grads);
    rr_free(lm->frozen);
    rr_free(lm->rotation.cos_table);
    rr_free(lm->rotation.sin_table);
    *lm = (struct rr_lm){0};
}
