/* The forward pass of LLaMA over one batch of rows (arXiv 2302.13971): per layer
 *
 *     x += Wo attention(rope(Wq n), rope(Wk n), Wv n),   n = rmsnorm(x) attn_norm
 *     x += Wdown (silu(Wgate n) * Wup n),                n = rmsnorm(x) ffn_norm
 *
 * Rows may belong to any nodes; only attention knows about the tree. */
#include "engine/session_internal.h"

struct output {
    float *y; /* [R, w.n_rows] */
    const struct rr_tensor *w;
};

/* outs[i].y = in[R, n_cols] outs[i].w^T: products of one input. */
static void products(struct rr_session *s, const float *in, const struct output *outs, int n)
{
    const int n_cols = outs[0].w->n_cols;
    bool quantised = false;
    for (int i = 0; i < n; i++)
        quantised = quantised || s->engine->kernels.gemm_q[outs[i].w->type];
    if (quantised)
        rr_engine_quantise(s->engine, &s->xq, in, s->n_rows, n_cols);
    rr_session_step(s, RR_STEP_QUANTISE);
    for (int i = 0; i < n; i++) {
        const struct rr_matmul mm = {.y = outs[i].y,
                                     .ldy = (size_t)outs[i].w->n_rows,
                                     .x = in,
                                     .ldx = (size_t)n_cols,
                                     .xq = &s->xq,
                                     .m = s->n_rows,
                                     .w = outs[i].w};
        rr_engine_matmul(s->engine, &mm, s->panels);
    }
    rr_session_step(s, RR_STEP_PRODUCT);
}

static void norm_rows(struct rr_session *s, const float *g)
{
    const struct rr_hparams *h = &s->model->h;
    for (int i = 0; i < s->n_rows; i++) {
        const size_t at = (size_t)i * (size_t)h->n_embd;
        s->engine->kernels.rmsnorm(s->h + at, s->x + at, g, h->n_embd, (float)h->rms_eps);
    }
    rr_session_step(s, RR_STEP_NORM);
}

/* Turns the pairs of every head of one row by the angles of its position. */
static void rope_row(float *v, int n_heads, int head_dim, const float *c, const float *s,
                     bool interleaved)
{
    const int half = head_dim / 2, step = interleaved ? 2 : 1, apart = interleaved ? 1 : half;
    for (int head = 0; head < n_heads; head++, v += head_dim) {
        for (int i = 0; i < half; i++) {
            float a = v[i * step], b = v[i * step + apart];
            v[i * step] = a * c[i] - b * s[i];
            v[i * step + apart] = b * c[i] + a * s[i];
        }
    }
}

static void rope_rows(struct rr_session *s)
{
    const struct rr_hparams *h = &s->model->h;
    for (int i = 0; i < s->n_rows; i++) {
        const size_t at = (size_t)s->rows[i].position * (size_t)(h->head_dim / 2);
        const float *c = s->rope_cos + at, *sn = s->rope_sin + at;
        float *q = s->q + (size_t)i * (size_t)h->n_heads * (size_t)h->head_dim;
        float *k = s->k + (size_t)i * (size_t)h->n_kv_heads * (size_t)h->head_dim;
        rope_row(q, h->n_heads, h->head_dim, c, sn, h->rope.interleaved);
        rope_row(k, h->n_kv_heads, h->head_dim, c, sn, h->rope.interleaved);
    }
}

void rr_forward_rows(struct rr_session *s)
{
    const struct rr_model *m = s->model;
    const struct rr_kernels *kern = &s->engine->kernels;
    const int dim = m->h.n_embd, n = s->n_rows;
    const size_t embed_row = rr_row_bytes(m->embed.type, (size_t)dim);
    for (int i = 0; i < n; i++)
        kern->row_f32[m->embed.type](
            s->x + (size_t)i * (size_t)dim,
            (const char *)m->embed.data + (size_t)s->rows[i].token * embed_row, dim);
    rr_session_step(s, RR_STEP_EMBED);
    for (int l = 0; l < m->h.n_layers; l++) {
        const struct rr_layer *w = &m->layers[l];
        norm_rows(s, w->attn_norm);
        products(s, s->h, (struct output[]){{s->q, &w->wq}, {s->k, &w->wk}, {s->v, &w->wv}}, 3);
        rope_rows(s);
        rr_session_step(s, RR_STEP_ROPE);
        rr_cache_write(s, l);
        rr_session_step(s, RR_STEP_CACHE);
        rr_attention(s, l);
        rr_session_step(s, RR_STEP_ATTENTION);
        products(s, s->att, &(struct output){s->h, &w->wo}, 1);
        kern->add(s->x, s->h, n * dim);
        rr_session_step(s, RR_STEP_ADD);
        norm_rows(s, w->ffn_norm);
        products(s, s->h, (struct output[]){{s->gate, &w->gate}, {s->up, &w->up}}, 2);
        kern->silu_mul(s->gate, s->up, n * m->h.n_ff);
        rr_session_step(s, RR_STEP_ACTIVATION);
        products(s, s->gate, &(struct output){s->h, &w->down}, 1);
        kern->add(s->x, s->h, n * dim);
        rr_session_step(s, RR_STEP_ADD);
    }
}
