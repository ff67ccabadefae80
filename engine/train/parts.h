/* The parts a network is trained with, each forward and backward, on rows of activations. Sums over
 * rows run in ascending order whatever the number of threads: a gradient's columns are shared out,
 * never its rows.
 *
 * Backward functions add to the gradients of weights and overwrite or add to those of inputs as
 * each says. Shapes: R rows, D numbers in a row. */
#ifndef RR_TRAIN_PARTS_H
#define RR_TRAIN_PARTS_H

#include <stdint.h>
#include "engine/train/gemm.h"

/* What all parts work with. */
struct rr_part {
    struct rr_engine *engine;
    rr_real *scratch;         /* [threads, scratch_each] */
    size_t scratch_each;      /* reals of one thread: rr_part_scratch */
    rr_real *product_scratch; /* [threads, rr_product_scratch] */
    uint64_t seed;            /* of this step's dropout */
};
/* Reals of scratch one thread needs for rows up to `widest` and attention over up to n_context. */
size_t rr_part_scratch(int widest, int n_context, int head_dim);

/* y[R,N] = x[R,K] w[N,K]^T, and with rank > 0 plus scale (dropout(x) a^T) b^T (LoRA, arXiv
 * 2106.09685). */
struct rr_linear {
    int n_out, n_in;
    rr_real *w, *gw; /* [n_out, n_in]; gw NULL: frozen */
    int rank;
    rr_real scale;
    double dropout;           /* of LoRA's input */
    uint64_t site;            /* names this matrix's dropout */
    rr_real *a, *b, *ga, *gb; /* a [rank, n_in], b [n_out, rank] */
};

/* What LoRA keeps for the way back, low[R, rank] and (with dropout) dropped[R, n_in], and scratch
 * of the same shapes for that way. */
struct rr_lora_rows {
    rr_real *low, *dropped, *d_low, *d_dropped;
};
/* lora NULL: l has no adapter. */
void rr_linear_forward(const struct rr_part *p, rr_real *y, const rr_real *x,
                       const struct rr_linear *l, int rows, const struct rr_lora_rows *lora);
/* dx[R,K] += dy w (and through LoRA), gradients of w, a, b added. dx NULL: not needed. */
void rr_linear_backward(const struct rr_part *p, rr_real *dx, const rr_real *dy, const rr_real *x,
                        const struct rr_linear *l, int rows, const struct rr_lora_rows *lora);

/* y = x r g, r[R] = 1 / sqrt(mean x^2 + eps) (arXiv 1910.07467). */
void rr_norm_forward(const struct rr_part *p, rr_real *y, rr_real *r, const rr_real *x,
                     const rr_real *g, int rows, int dim, double eps);
/* dx += ...; gg[D] += ... unless NULL. */
struct rr_norm_grads {
    rr_real *dx, *gg;
    const rr_real *dy, *x, *r, *g;
};
void rr_norm_backward(const struct rr_part *p, const struct rr_norm_grads *n, int rows, int dim);

/* Rotation tables, [n_context, head_dim / 2] each. */
struct rr_rotation {
    rr_real *cos_table, *sin_table;
    bool interleaved; /* pairs (2i, 2i+1), else (i, i + head_dim / 2) */
};
/* Rotates the pairs of every head of v[R, n_heads head_dim] by the angles of positions[R]; back
 * turns them back, which is also the gradient's way. */
void rr_rotate(const struct rr_part *p, rr_real *v, const int *positions, int rows, int n_heads,
               int head_dim, const struct rr_rotation *t, bool back);

/* act = silu(gate) up; backward: d_gate and d_up from d_act. */
void rr_swiglu_forward(const struct rr_part *p, rr_real *act, const rr_real *gate,
                       const rr_real *up, int rows, int dim);
void rr_swiglu_backward(const struct rr_part *p, rr_real *d_gate, rr_real *d_up,
                        const rr_real *d_act, const rr_real *gate, const rr_real *up, int rows,
                        int dim);

/* x *= mask / (1 - rate), the mask drawn from (step's seed, site, element): the same forward and
 * backward, and on any number of threads. rate 0: nothing. */
void rr_dropout(const struct rr_part *p, rr_real *x, size_t n, double rate, uint64_t site);

void rr_rows_add(const struct rr_part *p, rr_real *y, const rr_real *x, size_t n); /* y += x */

/* x[R,D] = table[tokens[R]]; backward adds dx to the table's gradient. */
void rr_embed_forward(const struct rr_part *p, rr_real *x, const rr_real *table, const int *tokens,
                      int rows, int dim);
void rr_embed_backward(const struct rr_part *p, rr_real *g_table, const rr_real *dx,
                       const int *tokens, int rows, int dim);

#define RR_ATTEND_ROWS 64 /* queries of one block */

/* Attention inside each of n_seqs sequences: rows starts[s] .. starts[s + 1]. causal: a row sees
 * itself and what is before; else all of its sequence. Grouped queries (arXiv 2305.13245): head h
 * reads key-value head h / (n_heads / n_kv_heads). */
struct rr_attention_shape {
    int n_heads, n_kv_heads, head_dim;
    bool causal;
    const int *starts;
    int n_seqs;
};
void rr_attend_forward(const struct rr_part *p, rr_real *out, const rr_real *q, const rr_real *k,
                       const rr_real *v, const struct rr_attention_shape *s);
/* dq, dk, dv are overwritten. */
struct rr_attention_grads {
    rr_real *dq, *dk, *dv;
    const rr_real *d_out, *out, *q, *k, *v;
};
void rr_attend_backward(const struct rr_part *p, const struct rr_attention_grads *g,
                        const struct rr_attention_shape *s);

/* s[n] = exp(s - max s); returns their sum. */
rr_real rr_softmax_row(const struct rr_part *p, rr_real *s, int n);

/* Cross-entropy of targets[R] under softmax(logits[R,V]), times weights[R]; logits become the
 * gradient. loss[R] = weight times -log p, in double. */
void rr_cross_entropy(const struct rr_part *p, double *loss, rr_real *logits, const int *targets,
                      const rr_real *weights, int rows, int n_vocab);

#endif
