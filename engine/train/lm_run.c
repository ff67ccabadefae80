/* The forward and backward pass of lm.h, layer by layer:
 *
 *     x2 = x  + drop(o attention(rope(q n), rope(k n), v n)),  n  = norm(x)
 *     x3 = x2 + drop(down (silu(gate n2) * up n2)),            n2 = norm(x2)
 *
 * What the way back needs is kept per layer; attention's probabilities are computed again. */
#include <math.h>
#include <string.h>
#include "engine/base/check.h"
#include "engine/base/mem.h"
#include "engine/train/lm.h"

#define HEAD_ROWS 256 /* rows whose logits exist at once */

/* What one layer keeps, R rows each. */
struct kept {
    rr_real *x, *r1, *n1, *q, *k, *v, *att, *x2, *r2, *n2, *gate, *up, *act;
    rr_real *low[RR_LM_N], *dropped[RR_LM_N];
};

struct rr_lm_state {
    struct rr_part part;
    int n_rows, n_context;
    struct kept *layers;
    rr_real *x, *r, *h;               /* the stream, the last norm's scale, the normed rows */
    rr_real *dx, *dh, *branch, *wide; /* gradients; a branch's output; [R, widest] */
    rr_real *dq, *dk, *dv, *d_gate, *d_up;
    rr_real *d_low, *d_dropped;
    rr_real *picked, *d_picked, *logits, *weights; /* [R, D] rows with targets; [HEAD_ROWS, V] */
    double *loss;                                  /* [R] */
    int *positions, *rows, *targets;               /* [R] */
    rr_real *block;
    size_t block_n;
    int *numbers;
};

/* Hands out pieces of one block of reals; with base NULL it only counts. */
struct carver {
    rr_real *base;
    size_t used;
};

static rr_real *carve(struct carver *c, size_t rows, int cols)
{
    rr_real *p = c->base ? c->base + c->used : NULL;
    c->used += rr_round_up(rows * (size_t)cols, 16);
    return p;
}

static void carve_layer(struct carver *c, struct kept *k, const struct rr_lm *lm, int layer,
                        size_t rows)
{
    const struct rr_hparams *h = &lm->h;
    const int q = h->n_heads * h->head_dim, kv = h->n_kv_heads * h->head_dim;
    k->x = carve(c, rows, h->n_embd);
    k->r1 = carve(c, rows, 1);
    k->n1 = carve(c, rows, h->n_embd);
    k->q = carve(c, rows, q);
    k->k = carve(c, rows, kv);
    k->v = carve(c, rows, kv);
    k->att = carve(c, rows, q);
    k->x2 = carve(c, rows, h->n_embd);
    k->r2 = carve(c, rows, 1);
    k->n2 = carve(c, rows, h->n_embd);
    k->gate = carve(c, rows, h->n_ff);
    k->up = carve(c, rows, h->n_ff);
    k->act = carve(c, rows, h->n_ff);
    for (int m = 0; m < RR_LM_N; m++) {
        const struct rr_linear *l = &lm->layers[layer].m[m];
        if (l->rank)
            k->low[m] = carve(c, rows, l->rank);
        if (l->rank && l->dropout > 0)
            k->dropped[m] = carve(c, rows, l->n_in);
    }
}

static int widest(const struct rr_hparams *h)
{
    return rr_max_int(rr_max_int(h->n_embd, h->n_ff), h->n_heads * h->head_dim);
}

static void lay_out(struct rr_lm_state *s, const struct rr_lm *lm, struct carver *c)
{
    const struct rr_hparams *h = &lm->h;
    const size_t rows = (size_t)s->n_rows, threads = (size_t)rr_pool_size(s->part.engine->pool);
    const int q = h->n_heads * h->head_dim, kv = h->n_kv_heads * h->head_dim;
    for (int l = 0; l < h->n_layers; l++)
        carve_layer(c, &s->layers[l], lm, l, rows);
    s->x = carve(c, rows, h->n_embd);
    s->r = carve(c, rows, 1);
    s->h = carve(c, rows, h->n_embd);
    s->dx = carve(c, rows, h->n_embd);
    s->dh = carve(c, rows, widest(h));
    s->branch = carve(c, rows, h->n_embd);
    s->wide = carve(c, rows, widest(h));
    s->dq = carve(c, rows, q);
    s->dk = carve(c, rows, kv);
    s->dv = carve(c, rows, kv);
    s->d_gate = carve(c, rows, h->n_ff);
    s->d_up = carve(c, rows, h->n_ff);
    s->d_low = carve(c, rows, rr_max_int(lm->o.rank, 1));
    s->d_dropped = carve(c, lm->o.lora_dropout > 0 ? rows : 0, widest(h));
    s->picked = carve(c, rows, h->n_embd);
    s->d_picked = carve(c, rows, h->n_embd);
    s->logits = carve(c, HEAD_ROWS, h->n_vocab);
    s->weights = carve(c, rows, 1);
    s->part.scratch_each = rr_round_up(rr_part_scratch(widest(h), s->n_context, h->head_dim), 16);
    s->part.scratch = carve(c, threads, (int)s->part.scratch_each);
    s->part.product_scratch = carve(c, threads, (int)rr_product_scratch());
}

int rr_lm_state_open(struct rr_lm_state **state, struct rr_engine *e, const struct rr_lm *lm,
                     int n_rows, int n_context, struct rr_error *err)
{
    struct carver c = {0};
    struct rr_lm_state *s = rr_zalloc(1, sizeof *s);
    *state = NULL;
    if (!s)
        return rr_fail_memory(err, "training", sizeof *s);
    s->part.engine = e;
    s->n_rows = n_rows;
    s->n_context = rr_min_int(n_context, lm->h.n_context);
    s->layers = rr_zalloc((size_t)lm->h.n_layers, sizeof *s->layers);
    if (s->layers) {
        lay_out(s, lm, &c);
        s->block = rr_alloc_aligned(c.used * sizeof(rr_real));
    }
    s->loss = rr_alloc((size_t)n_rows, sizeof *s->loss);
    s->numbers = rr_alloc(3 * (size_t)n_rows, sizeof *s->numbers);
    if (!s->layers || !s->block || !s->loss || !s->numbers) {
        rr_lm_state_close(s);
        return rr_fail_memory(err, "training: activations", c.used * sizeof(rr_real));
    }
    c = (struct carver){.base = s->block};
    lay_out(s, lm, &c);
    s->positions = s->numbers;
    s->rows = s->numbers + n_rows;
    s->targets = s->rows + n_rows;
    *state = s;
    return RR_OK;
}

void rr_lm_state_close(struct rr_lm_state *s)
{
    if (!s)
        return;
    rr_free_aligned(s->block);
    rr_free(s->layers);
    rr_free(s->loss);
    rr_free(s->numbers);
    rr_free(s);
}

/* ---- forward ------------------------------------------------------------------------------------
 */

struct pass {
    struct rr_lm *lm;
    struct rr_lm_state *s;
    const struct rr_lm_batch *b;
    struct rr_attention_shape shape;
    bool learn;
    double dropout; /* 0 when nothing is learned */
};

/* Names of dropout's places. */
static uint64_t site(int layer, int branch)
{
    return 1 + (uint64_t)layer * 2 + (uint64_t)branch;
}

/* Without learning nothing is dropped, in adapters neither. */
static void linear(const struct pass *p, rr_real *y, const rr_real *x, int layer,
                   enum rr_lm_matrix m)
{
    struct rr_linear l = p->lm->layers[layer].m[m];
    struct kept *k = &p->s->layers[layer];
    l.dropout = p->learn ? l.dropout : 0;
    const struct rr_lora_rows lora = {.low = k->low[m], .dropped = k->dropped[m]};
    rr_linear_forward(&p->s->part, y, x, &l, p->b->n_rows, &lora);
}

static void layer_forward(const struct pass *p, int layer)
{
    struct rr_lm *lm = p->lm;
    struct rr_lm_state *s = p->s;
    const struct rr_hparams *h = &lm->h;
    const struct rr_lm_layer *w = &lm->layers[layer];
    struct kept *k = &s->layers[layer];
    const int rows = p->b->n_rows, d = h->n_embd;
    const size_t n = (size_t)rows * (size_t)d;
    memcpy(k->x, s->x, n * sizeof *s->x);
    rr_norm_forward(&s->part, k->n1, k->r1, k->x, w->attn_norm, rows, d, h->rms_eps);
    linear(p, k->q, k->n1, layer, RR_LM_Q);
    linear(p, k->k, k->n1, layer, RR_LM_K);
    linear(p, k->v, k->n1, layer, RR_LM_V);
    rr_rotate(&s->part, k->q, s->positions, rows, h->n_heads, h->head_dim, &lm->rotation, false);
    rr_rotate(&s->part, k->k, s->positions, rows, h->n_kv_heads, h->head_dim, &lm->rotation, false);
    rr_attend_forward(&s->part, k->att, k->q, k->k, k->v, &p->shape);
    linear(p, s->branch, k->att, layer, RR_LM_O);
    rr_dropout(&s->part, s->branch, n, p->dropout, site(layer, 0));
    rr_rows_add(&s->part, s->x, s->branch, n);
    memcpy(k->x2, s->x, n * sizeof *s->x);
    rr_norm_forward(&s->part, k->n2, k->r2, k->x2, w->ffn_norm, rows, d, h->rms_eps);
    linear(p, k->gate, k->n2, layer, RR_LM_GATE);
    linear(p, k->up, k->n2, layer, RR_LM_UP);
    rr_swiglu_forward(&s->part, k->act, k->gate, k->up, rows, h->n_ff);
    linear(p, s->branch, k->act, layer, RR_LM_DOWN);
    rr_dropout(&s->part, s->branch, n, p->dropout, site(layer, 1));
    rr_rows_add(&s->part, s->x, s->branch, n);
}

/* ---- backward -----------------------------------------------------------------------------------
 */

static void linear_back(const struct pass *p, rr_real *dx, const rr_real *dy, const rr_real *x,
                        int layer, enum rr_lm_matrix m)
{
    struct kept *k = &p->s->layers[layer];
    const struct rr_lora_rows lora = {k->low[m], k->dropped[m], p->s->d_low, p->s->d_dropped};
    rr_linear_backward(&p->s->part, dx, dy, x, &p->lm->layers[layer].m[m], p->b->n_rows, &lora);
}

static void ffn_back(const struct pass *p, int layer)
{
    struct rr_lm_state *s = p->s;
    const struct rr_hparams *h = &p->lm->h;
    struct rr_lm_layer *w = &p->lm->layers[layer];
    struct kept *k = &s->layers[layer];
    const int rows = p->b->n_rows, d = h->n_embd;
    const size_t n = (size_t)rows * (size_t)d;
    memcpy(s->branch, s->dx, n * sizeof *s->dx);
    rr_dropout(&s->part, s->branch, n, p->dropout, site(layer, 1));
    memset(s->wide, 0, (size_t)rows * (size_t)h->n_ff * sizeof *s->wide);
    linear_back(p, s->wide, s->branch, k->act, layer, RR_LM_DOWN);
    rr_swiglu_backward(&s->part, s->d_gate, s->d_up, s->wide, k->gate, k->up, rows, h->n_ff);
    memset(s->dh, 0, n * sizeof *s->dh);
    linear_back(p, s->dh, s->d_gate, k->n2, layer, RR_LM_GATE);
    linear_back(p, s->dh, s->d_up, k->n2, layer, RR_LM_UP);
    const struct rr_norm_grads g = {s->dx, w->g_ffn_norm, s->dh, k->x2, k->r2, w->ffn_norm};
    rr_norm_backward(&s->part, &g, rows, d);
}

static void attention_back(const struct pass *p, int layer)
{
    struct rr_lm_state *s = p->s;
    const struct rr_hparams *h = &p->lm->h;
    struct rr_lm_layer *w = &p->lm->layers[layer];
    struct kept *k = &s->layers[layer];
    const int rows = p->b->n_rows, d = h->n_embd;
    const size_t n = (size_t)rows * (size_t)d,
                 n_q = (size_t)rows * (size_t)h->n_heads * (size_t)h->head_dim;
    memcpy(s->branch, s->dx, n * sizeof *s->dx);
    rr_dropout(&s->part, s->branch, n, p->dropout, site(layer, 0));
    memset(s->wide, 0, n_q * sizeof *s->wide);
    linear_back(p, s->wide, s->branch, k->att, layer, RR_LM_O);
    const struct rr_attention_grads g = {.dq = s->dq,
                                         .dk = s->dk,
                                         .dv = s->dv,
                                         .d_out = s->wide,
                                         .out = k->att,
                                         .q = k->q,
                                         .k = k->k,
                                         .v = k->v};
    rr_attend_backward(&s->part, &g, &p->shape);
    rr_rotate(&s->part, s->dq, s->positions, rows, h->n_heads, h->head_dim, &p->lm->rotation, true);
    rr_rotate(&s->part, s->dk, s->positions, rows, h->n_kv_heads, h->head_dim, &p->lm->rotation,
              true);
    memset(s->dh, 0, n * sizeof *s->dh);
    linear_back(p, s->dh, s->dq, k->n1, layer, RR_LM_Q);
    linear_back(p, s->dh, s->dk, k->n1, layer, RR_LM_K);
    linear_back(p, s->dh, s->dv, k->n1, layer, RR_LM_V);
    const struct rr_norm_grads norm = {s->dx, w->g_attn_norm, s->dh, k->x, k->r1, w->attn_norm};
    rr_norm_backward(&s->part, &norm, rows, d);
}

/* ---- the head -----------------------------------------------------------------------------------
 */

/* Rows that have a target, their targets and weights, next to each other; how many. */
static int pick_rows(const struct pass *p, double scale)
{
    struct rr_lm_state *s = p->s;
    const size_t d = (size_t)p->lm->h.n_embd;
    int n = 0;
    for (int i = 0; i < p->b->n_rows; i++) {
        if (p->b->targets[i] < 0)
            continue;
        s->rows[n] = i;
        s->targets[n] = p->b->targets[i];
        s->weights[n] = (p->b->weights ? p->b->weights[i] : 1) * (rr_real)scale;
        memcpy(s->picked + (size_t)n * d, s->h + (size_t)i * d, d * sizeof *s->h);
        n++;
    }
    return n;
}

/* The loss over n picked rows, times the scale their weights carry; with learn the gradient of the
 * picked rows and of the head. */
static double head(const struct pass *p, int n, bool learn)
{
    struct rr_lm_state *s = p->s;
    const struct rr_linear *l = &p->lm->head;
    const size_t d = (size_t)l->n_in;
    double sum = 0;
    for (int at = 0; at < n; at += HEAD_ROWS) {
        const int rows = rr_min_int(HEAD_ROWS, n - at);
        const rr_real *x = s->picked + (size_t)at * d;
        rr_linear_forward(&s->part, s->logits, x, l, rows, NULL);
        rr_cross_entropy(&s->part, s->loss + at, s->logits, s->targets + at, s->weights + at, rows,
                         l->n_out);
        if (!learn)
            continue;
        rr_real *dx = s->d_picked + (size_t)at * d;
        memset(dx, 0, (size_t)rows * d * sizeof *dx);
        rr_linear_backward(&s->part, dx, s->logits, x, l, rows, NULL);
    }
    for (int i = 0; i < n; i++)
        sum += s->loss[i];
    return sum;
}

static void backward(const struct pass *p, int n_picked)
{
    struct rr_lm *lm = p->lm;
    struct rr_lm_state *s = p->s;
    const int rows = p->b->n_rows, dim = lm->h.n_embd;
    const size_t d = (size_t)dim, n = (size_t)rows * d;
    memset(s->dh, 0, n * sizeof *s->dh);
    for (int i = 0; i < n_picked; i++)
        memcpy(s->dh + (size_t)s->rows[i] * d, s->d_picked + (size_t)i * d, d * sizeof *s->dh);
    memset(s->dx, 0, n * sizeof *s->dx);
    const struct rr_norm_grads g = {s->dx, lm->g_out_norm, s->dh, s->x, s->r, lm->out_norm};
    rr_norm_backward(&s->part, &g, rows, dim);
    for (int layer = lm->h.n_layers - 1; layer >= 0; layer--) {
        ffn_back(p, layer);
        attention_back(p, layer);
    }
    if (!lm->g_embed)
        return;
    rr_dropout(&s->part, s->dx, n, p->dropout, 0);
    rr_embed_backward(&s->part, lm->g_embed, s->dx, p->b->tokens, rows, dim);
}

double rr_lm_run(struct rr_lm *lm, struct rr_lm_state *s, const struct rr_lm_batch *b, bool learn,
                 double scale, uint64_t seed, int *n_targets)
{
    const struct rr_hparams *h = &lm->h;
    const struct pass p = {.lm = lm,
                           .s = s,
                           .b = b,
                           .shape = {.n_heads = h->n_heads,
                                     .n_kv_heads = h->n_kv_heads,
                                     .head_dim = h->head_dim,
                                     .causal = true,
                                     .starts = b->starts,
                                     .n_seqs = b->n_seqs},
                           .learn = learn,
                           .dropout = learn ? lm->o.dropout : 0};
    s->part.seed = seed;
    for (int q = 0; q < b->n_seqs; q++)
        for (int i = b->starts[q]; i < b->starts[q + 1]; i++)
            s->positions[i] = i - b->starts[q];
    rr_embed_forward(&s->part, s->x, lm->embed, b->tokens, b->n_rows, h->n_embd);
    rr_dropout(&s->part, s->x, (size_t)b->n_rows * (size_t)h->n_embd, p.dropout, 0);
    for (int layer = 0; layer < h->n_layers; layer++)
        layer_forward(&p, layer);
    rr_norm_forward(&s->part, s->h, s->r, s->x, lm->out_norm, b->n_rows, h->n_embd, h->rms_eps);
    const int n = pick_rows(&p, learn ? scale : 1);
    const double loss = head(&p, n, learn);
    if (learn)
        backward(&p, n);
    *n_targets = n;
    return learn && scale != 0 ? loss / scale : loss;
}
