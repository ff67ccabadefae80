/* Attention for training, forward and backward, over blocks of queries: the probabilities are
 * computed again on the way back instead of being kept (arXiv 2205.14135). A task is one sequence
 * and one key-value head with all its query heads, so the gradients of keys and values are added in
 * one order. */
#include <math.h>
#include <string.h>
#include "engine/base/check.h"
#include "engine/train/parts.h"

struct job {
    const struct rr_part *p;
    const struct rr_attention_shape *s;
    rr_real *out;
    const rr_real *q, *k, *v;
    const struct rr_attention_grads *g;
};

/* One block of queries of one head. */
struct block {
    size_t q_at;  /* of its first row and head, in q and out */
    size_t kv_at; /* of the sequence's first row and head, in k and v */
    size_t q_dim, kv_dim;
    int first, n_q; /* rows of the sequence */
    int n_keys;
};

/* p[n_q, n_keys] = softmax(scale q k^T), a row's keys behind its own place zero when causal. */
static void probabilities(const struct job *j, const struct block *b, rr_real *prob,
                          rr_real *scratch)
{
    const struct rr_attention_shape *s = j->s;
    const rr_real scale = (rr_real)(1 / sqrt((double)s->head_dim));
    const struct rr_product f = {.c = prob,
                                 .ldc = (size_t)b->n_keys,
                                 .a = j->q + b->q_at,
                                 .a_row = b->q_dim,
                                 .a_col = 1,
                                 .b = j->k + b->kv_at,
                                 .b_row = 1,
                                 .b_col = b->kv_dim,
                                 .m = b->n_q,
                                 .n = b->n_keys,
                                 .k = s->head_dim};
    rr_product_serial(&j->p->engine->kernels, &f, scratch);
    for (int i = 0; i < b->n_q; i++) {
        rr_real *row = prob + (size_t)i * (size_t)b->n_keys;
        const int n = s->causal ? b->first + i + 1 : b->n_keys;
        for (int c = 0; c < n; c++)
            row[c] *= scale;
        const rr_real inverse = 1 / rr_softmax_row(j->p, row, n);
        for (int c = 0; c < n; c++)
            row[c] *= inverse;
        for (int c = n; c < b->n_keys; c++)
            row[c] = 0;
    }
}

static void forward_block(const struct job *j, const struct block *b, rr_real *prob,
                          rr_real *scratch)
{
    probabilities(j, b, prob, scratch);
    const struct rr_product f = {.c = j->out + b->q_at,
                                 .ldc = b->q_dim,
                                 .a = prob,
                                 .a_row = (size_t)b->n_keys,
                                 .a_col = 1,
                                 .b = j->v + b->kv_at,
                                 .b_row = b->kv_dim,
                                 .b_col = 1,
                                 .m = b->n_q,
                                 .n = j->s->head_dim,
                                 .k = b->n_keys};
    rr_product_serial(&j->p->engine->kernels, &f, scratch);
}

/* d_prob becomes the gradient of the scores: prob (d_prob - sum_j prob d_prob) scale. */
static void softmax_back(const struct job *j, const struct block *b, const rr_real *prob,
                         rr_real *d_prob)
{
    const rr_real scale = (rr_real)(1 / sqrt((double)j->s->head_dim));
    for (int i = 0; i < b->n_q; i++) {
        const rr_real *row = prob + (size_t)i * (size_t)b->n_keys;
        rr_real *d = d_prob + (size_t)i * (size_t)b->n_keys;
        const size_t at = b->q_at + (size_t)i * b->q_dim;
        rr_real sum = 0; /* sum_j prob d_prob = d_out . out */
        for (int c = 0; c < j->s->head_dim; c++)
            sum += j->g->d_out[at + (size_t)c] * j->g->out[at + (size_t)c];
        for (int c = 0; c < b->n_keys; c++)
            d[c] = row[c] * (d[c] - sum) * scale;
    }
}

static void backward_block(const struct job *j, const struct block *b, rr_real *prob,
                           rr_real *d_prob, rr_real *scratch)
{
    const struct rr_attention_grads *g = j->g;
    const struct rr_kernels *kern = &j->p->engine->kernels;
    const size_t keys = (size_t)b->n_keys;
    const int hd = j->s->head_dim;
    probabilities(j, b, prob, scratch);
    const struct rr_product dp = {
        d_prob,    keys,   g->d_out + b->q_at, b->q_dim, 1,    j->v + b->kv_at, 1,
        b->kv_dim, b->n_q, b->n_keys,          hd,       false};
    const struct rr_product dv = {
        g->dv + b->kv_at, b->kv_dim, prob,      1,  keys,   g->d_out + b->q_at,
        b->q_dim,         1,         b->n_keys, hd, b->n_q, true};
    const struct rr_product dq = {g->dq + b->q_at, b->q_dim,  d_prob, keys,   1,
                                  j->k + b->kv_at, b->kv_dim, 1,      b->n_q, hd,
                                  b->n_keys,       false};
    const struct rr_product dk = {g->dk + b->kv_at, b->kv_dim, d_prob, 1,         keys,
                                  j->q + b->q_at,   b->q_dim,  1,      b->n_keys, hd,
                                  b->n_q,           true};
    rr_product_serial(kern, &dp, scratch);
    rr_product_serial(kern, &dv, scratch);
    softmax_back(j, b, prob, d_prob);
    rr_product_serial(kern, &dq, scratch);
    rr_product_serial(kern, &dk, scratch);
}

static void attend_task(void *arg, int task, int worker)
{
    const struct job *j = arg;
    const struct rr_attention_shape *s = j->s;
    const int seq = task / s->n_kv_heads, kv_head = task % s->n_kv_heads,
              group = s->n_heads / s->n_kv_heads, start = s->starts[seq],
              length = s->starts[seq + 1] - start;
    rr_real *scratch = j->p->scratch + (size_t)worker * j->p->scratch_each,
            *prob = scratch + rr_product_scratch(),
            *d_prob = prob + RR_ATTEND_ROWS * (size_t)length;
    struct block b = {.q_dim = (size_t)s->n_heads * (size_t)s->head_dim,
                      .kv_dim = (size_t)s->n_kv_heads * (size_t)s->head_dim};
    b.kv_at = (size_t)start * b.kv_dim + (size_t)kv_head * (size_t)s->head_dim;
    for (int i = 0; i < length && j->g; i++) {
        const size_t at = b.kv_at + (size_t)i * b.kv_dim;
        memset(j->g->dk + at, 0, (size_t)s->head_dim * sizeof(rr_real));
        memset(j->g->dv + at, 0, (size_t)s->head_dim * sizeof(rr_real));
    }
    for (int head = kv_head * group; head < (kv_head + 1) * group; head++)
        for (b.first = 0; b.first < length; b.first += RR_ATTEND_ROWS) {
            b.n_q = rr_min_int(RR_ATTEND_ROWS, length - b.first);
            b.n_keys = s->causal ? b.first + b.n_q : length;
            b.q_at = (size_t)(start + b.first) * b.q_dim + (size_t)head * (size_t)s->head_dim;
            if (j->g)
                backward_block(j, &b, prob, d_prob, scratch);
            else
                forward_block(j, &b, prob, scratch);
        }
}

void rr_attend_forward(const struct rr_part *p, rr_real *out, const rr_real *q, const rr_real *k,
                       const rr_real *v, const struct rr_attention_shape *s)
{
    struct job j = {.p = p, .s = s, .out = out, .q = q, .k = k, .v = v};
    rr_pool_run(p->engine->pool, attend_task, &j, s->n_seqs * s->n_kv_heads);
}

void rr_attend_backward(const struct rr_part *p, const struct rr_attention_grads *g,
                        const struct rr_attention_shape *s)
{
    struct job j = {.p = p, .s = s, .q = g->q, .k = g->k, .v = g->v, .g = g};
    rr_pool_run(p->engine->pool, attend_task, &j, s->n_seqs * s->n_kv_heads);
}
