/* What session.c (nodes and wants), forward.c (the layers) and attention.c share. Not for other
 * folders. */
#ifndef RR_SESSION_INTERNAL_H
#define RR_SESSION_INTERNAL_H

#include "engine/session.h"

struct node {
    int parent; /* -1: none */
    int n;      /* tokens computed so far */
    int due;    /* n, plus what the running call is going to feed */
    int length; /* tokens it was opened for: children begin behind them */
    int cell;   /* first cell, a multiple of RR_PANEL */
    int start;  /* position of its first token */
    int depth;  /* nodes above it */
};

/* One token of the batch being computed. */
struct row {
    int token, node, cell, position;
};

/* A run of consecutive rows of one node: what one attention task works on. */
struct span {
    int row0, n_rows;
};

struct rr_session {
    struct rr_engine *engine;
    const struct rr_model *model;
    struct rr_session_options o;
    void *block; /* the one allocation behind every pointer below */
    size_t block_bytes;
    struct node *nodes;
    int n_nodes, n_cells_used;
    long long n_tokens;

    /* The cache, per layer and key-value head: keys in panels of RR_PANEL cells
     * [P][head_dim][RR_PANEL], values [cells][head_dim]. */
    float *keys, *values;
    float *rope_cos, *rope_sin; /* [n_context][head_dim/2] */

    /* Scratch of one batch; R = n_batch rows. */
    struct row *rows;
    struct span *spans;
    int n_rows, n_spans;
    float *x, *h;     /* [R, n_embd] residual stream; normed input of a product or its output */
    float *q, *att;   /* [R, n_heads head_dim] */
    float *k, *v;     /* [R, n_kv_heads head_dim] */
    float *gate, *up; /* [R, n_ff] */
    struct rr_quantised xq; /* [R, the widest] the input of a product, where kernels want it so */
    unsigned char *panels;  /* [threads][RR_GEMM_SCRATCH] */
    float *scores;          /* [threads][RR_ATTN_ROWS][score_stride] */
    size_t score_stride;
    float *logits; /* [RR_HEAD_ROWS, n_vocab] */
};

#define RR_HEAD_ROWS 16 /* rows of the head computed at once */

/* Offset of (layer, kv head) in keys or values, in floats. */
static inline size_t cache_offset(const struct rr_session *s, int layer, int head)
{
    const struct rr_hparams *h = &s->model->h;
    return ((size_t)layer * (size_t)h->n_kv_heads + (size_t)head) * (size_t)s->o.n_cells *
           (size_t)h->head_dim;
}

/* What was done since the last call was this step. */
void rr_session_step(struct rr_session *s, enum rr_step step);
/* Runs the layers over s->rows; leaves the residual stream in s->x. */
void rr_forward_rows(struct rr_session *s);
/* Writes s->k and s->v of a row into the cache of a layer. */
void rr_cache_write(struct rr_session *s, int layer, int row);
/* s->att = attention of s->q over the cached paths. */
void rr_attention(struct rr_session *s, int layer);

#endif
