/* The forward pass of LLaMA over one batch of rows (arXiv 2302.13971): per layer
 *
 *     x += Wo attention(rope(Wq n), rope(Wk n), Wv n),   n = rmsnorm(x) attn_norm
 *     x += Wdown (silu(Wgate n) * Wup n),                n = rmsnorm(x) ffn_norm
 *
 * Rows may belong to any nodes; only attention knows about the tree. Between two products a row
 * goes through everything that is its own (sum, norm, rotation, quantising) while it is in the
 * cache. */
#include "engine/base/check.h"
#include "engine/session_internal.h"

/* ---- row by row --------------------------------------------------------------------------------
 */

struct stage {
    struct rr_session *s;
    void (*row)(const struct stage *stage, int i);
    int layer;
    const float *gains; /* of a norm */
    /* What the rows end as is the input of products that want it prepared like this. */
    struct rr_rows in;
    int prepare, rows_each;
};

static void stage_task(void *arg, int task, int worker)
{
    const struct stage *stage = arg;
    const struct rr_session *s = stage->s;
    const struct rr_kernels *kern = s->products;
    const int end = rr_min_int((task + 1) * stage->rows_each, s->n_rows);
    (void)worker;
    for (int i = task * stage->rows_each, n; i < end; i += n) {
        n = rr_min_int(rr_prepared_together(kern), end - i);
        for (int r = i; r < i + n && stage->row; r++)
            stage->row(stage, r);
        if (stage->prepare)
            rr_prepare_rows(kern, &s->xq, &stage->in, i, n, stage->prepare);
    }
}

/* Fewer numbers than this are done before another thread has woken up. */
#define MIN_STAGE_NUMBERS 16384

static void run_stage(struct stage *stage, int width)
{
    const int n = stage->s->n_rows, threads = rr_pool_size(stage->s->engine->pool);
    stage->rows_each = n;
    /* Tasks write different cells; only at their borders two may share a panel of the cache. */
    if (threads > 1 && (long long)n * width >= 2 * MIN_STAGE_NUMBERS)
        stage->rows_each = (int)rr_round_up((size_t)(n / (2 * threads) + 1), RR_PANEL);
    rr_pool_run(stage->s->engine->pool, stage_task, stage,
                (n + stage->rows_each - 1) / stage->rows_each);
}

/* h = norm of x. */
static void norm_row(const struct stage *stage, int i)
{
    const struct rr_session *s = stage->s;
    const int dim = s->model->h.n_embd;
    s->engine->kernels.rmsnorm(s->h + (size_t)i * rr_apart(dim), s->x + (size_t)i * (size_t)dim,
                               stage->gains, dim, (float)s->model->h.rms_eps);
}

/* x += h, which a product made; then the norm of it, unless this was the last. */
static void add_row(const struct stage *stage, int i)
{
    const struct rr_session *s = stage->s;
    const int dim = s->model->h.n_embd;
    s->engine->kernels.add(s->x + (size_t)i * (size_t)dim, s->h + (size_t)i * rr_apart(dim), dim);
    if (stage->gains)
        norm_row(stage, i);
}

static void embed_row(const struct stage *stage, int i)
{
    const struct rr_session *s = stage->s;
    const struct rr_tensor *e = &s->model->embed;
    const size_t bytes = rr_row_bytes(e->type, (size_t)e->n_cols);
    s->engine->kernels.row_f32[e->type](s->x + (size_t)i * (size_t)e->n_cols,
                                        (const char *)e->data + (size_t)s->rows[i].token * bytes,
                                        e->n_cols);
    norm_row(stage, i);
}

/* Turns the pairs of every head of one row by the angles of its position. */
static void rotate(float *v, int n_heads, int head_dim, const float *c, const float *s,
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

static void rope_row(const struct stage *stage, int i)
{
    struct rr_session *s = stage->s;
    const struct rr_hparams *h = &s->model->h;
    const size_t at = (size_t)s->rows[i].position * (size_t)(h->head_dim / 2);
    const float *c = s->rope_cos + at, *sn = s->rope_sin + at;
    float *q = s->q + (size_t)i * rr_apart(h->n_heads * h->head_dim);
    float *k = s->k + (size_t)i * rr_apart(h->n_kv_heads * h->head_dim);
    rotate(q, h->n_heads, h->head_dim, c, sn, h->rope.interleaved);
    rotate(k, h->n_kv_heads, h->head_dim, c, sn, h->rope.interleaved);
    rr_cache_write(s, stage->layer, i);
}

static void activate_row(const struct stage *stage, int i)
{
    const struct rr_session *s = stage->s;
    const int n_ff = s->model->h.n_ff;
    const size_t at = (size_t)i * rr_apart(n_ff);
    s->engine->kernels.silu_mul(s->gate + at, s->up + at, n_ff);
}

/* ---- products -----------------------------------------------------------------------------------
 */

struct output {
    float *y; /* [R, w.n_rows], rr_apart */
    const struct rr_tensor *w;
};

/* outs[i].y = in[R, n_cols] outs[i].w^T: up to three products of one input. */
static void products(struct rr_session *s, const float *in, const struct output *outs, int n)
{
    struct rr_matmul all[RR_MAX_PRODUCTS];
    for (int i = 0; i < n; i++)
        all[i] = (struct rr_matmul){.y = outs[i].y,
                                    .ldy = rr_apart(outs[i].w->n_rows),
                                    .x = in,
                                    .ldx = rr_apart(outs[i].w->n_cols),
                                    .xq = &s->xq,
                                    .m = s->n_rows,
                                    .w = outs[i].w};
    rr_engine_matmuls(s->engine, s->products, all, n, s->panels);
    rr_session_step(s, RR_STEP_PRODUCT);
}

static int prepared(const struct rr_session *s, const struct rr_tensor *w)
{
    return s->products->prepared[w->type];
}

static struct rr_rows rows_of(const float *x, int n_cols)
{
    return (struct rr_rows){x, rr_apart(n_cols), n_cols};
}

/* x += h and the norm that a layer begins with; behind the last one, the sum alone. At the first
 * the embedding instead of a sum. */
static void begin_attention(struct rr_session *s, int layer)
{
    const struct rr_layer *w = layer < s->model->h.n_layers ? &s->model->layers[layer] : NULL;
    struct stage norm = {
        .s = s, .row = layer ? add_row : embed_row, .in = rows_of(s->h, s->model->h.n_embd)};
    if (w) {
        norm.gains = w->attn_norm;
        norm.prepare = prepared(s, &w->wq) | prepared(s, &w->wk) | prepared(s, &w->wv);
    }
    run_stage(&norm, s->model->h.n_embd);
    if (s->o.watch)
        s->o.watch(s->o.watch_arg, layer, s->x, s->n_rows);
    rr_session_step(s, RR_STEP_NORM);
}

static void attention(struct rr_session *s, int layer)
{
    const struct rr_hparams *h = &s->model->h;
    const struct rr_layer *w = &s->model->layers[layer];
    struct stage rope = {.s = s, .row = rope_row, .layer = layer};
    struct stage attended = {
        .s = s, .in = rows_of(s->att, h->n_heads * h->head_dim), .prepare = prepared(s, &w->wo)};
    products(s, s->h, (struct output[]){{s->q, &w->wq}, {s->k, &w->wk}, {s->v, &w->wv}}, 3);
    run_stage(&rope, (h->n_heads + 2 * h->n_kv_heads) * h->head_dim);
    rr_session_step(s, RR_STEP_ROPE);
    rr_attention(s, layer);
    if (attended.prepare)
        run_stage(&attended, h->n_heads * h->head_dim);
    rr_session_step(s, RR_STEP_ATTENTION);
    products(s, s->att, &(struct output){s->h, &w->wo}, 1);
}

static void feed_forward(struct rr_session *s, const struct rr_layer *w)
{
    struct stage norm = {.s = s,
                         .row = add_row,
                         .gains = w->ffn_norm,
                         .in = rows_of(s->h, s->model->h.n_embd),
                         .prepare = prepared(s, &w->gate) | prepared(s, &w->up)};
    struct stage activate = {.s = s,
                             .row = activate_row,
                             .in = rows_of(s->gate, s->model->h.n_ff),
                             .prepare = prepared(s, &w->down)};
    run_stage(&norm, s->model->h.n_embd);
    rr_session_step(s, RR_STEP_NORM);
    products(s, s->h, (struct output[]){{s->gate, &w->gate}, {s->up, &w->up}}, 2);
    run_stage(&activate, s->model->h.n_ff);
    rr_session_step(s, RR_STEP_ACTIVATION);
    products(s, s->gate, &(struct output){s->h, &w->down}, 1);
}

void rr_forward_rows(struct rr_session *s)
{
    const struct rr_model *m = s->model;
    for (int l = 0; l < m->h.n_layers; l++) {
        begin_attention(s, l);
        attention(s, l);
        feed_forward(s, &m->layers[l]);
    }
    begin_attention(s, m->h.n_layers);
}
