/* What session.c (nodes and wants), forward.c (the layers), attention*.c and cache.c share. Not for
 * other folders. */
#ifndef RR_SESSION_INTERNAL_H
#define RR_SESSION_INTERNAL_H

#include "engine/session.h"

struct node {
    int parent; /* -1: none */
    int behind; /* so many tokens of the parent */
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

/* The softmax of one query so far: the greatest score, and the sum of exp(score - max). */
struct running {
    float max, sum;
};

/* A run of consecutive rows of one node or of children of one node: what one attention task works
 * on. */
struct span {
    int row0, n_rows;
};

struct rr_session {
    struct rr_engine *engine;
    const struct rr_kernels *products; /* the engine's for prompts, or for decoding */
    const struct rr_model *model;
    struct rr_session_options o;
    void *block; /* the one allocation behind every pointer below */
    size_t block_bytes;
    struct node *nodes;
    int n_nodes, n_cells_used;
    long long n_tokens;

    unsigned char *keys, *values; /* the cache: see cache.c */
    size_t cell_bytes;            /* of one layer and key-value head, in either */
    float *rope_cos, *rope_sin;   /* [n_context][head_dim/2] */

    /* Scratch of one batch; R = n_batch rows. */
    struct row *rows;
    struct span *spans;
    int n_rows, n_spans;
    float *x; /* [R, n_embd] residual stream */
    /* Inputs and outputs of products: rows of n numbers are rr_apart(n) apart. */
    float *h;                /* [R, n_embd] */
    float *q, *att;          /* [R, n_heads head_dim] */
    float *k, *v;            /* [R, n_kv_heads head_dim] */
    float *gate, *up;        /* [R, n_ff] */
    struct rr_quantised xq;  /* [R, the widest] the input of a product, where kernels want it so */
    unsigned char *panels;   /* [threads][rr_gemm_scratch of the widest] */
    float *scores;           /* [threads][rr_span_rows][heads of a group][RR_SCORES] */
    struct running *running; /* [threads][rr_span_rows][heads of a group] */
    float *stretch;          /* [threads][RR_STRETCH cells][head_dim] */
    unsigned char *tiled;    /* [threads][rr_tiled_bytes], where there are tiles */
    float *logits;           /* [RR_HEAD_ROWS, n_vocab] */
};

/* Rows whose distance is a power of two share the sets of a cache, and a column of them does not
 * stay there. */
static inline size_t rr_apart(int n)
{
    return ((size_t)n + 15) / 16 * 16 + 16;
}

#define RR_HEAD_ROWS 16 /* rows of the head computed at once */

#define RR_STRETCH 64 /* cells that stay in the first-level cache, a multiple of RR_PANEL */
#define RR_BLOCK 512  /* positions whose scores are kept at once, a multiple of RR_STRETCH */
#define RR_SCORES (RR_BLOCK + 2 * RR_PANEL) /* of one query: a block, and room on either side */

/* Rows of one attention task, at most. What it reads and brings into tiles serves all of their
 * queries: more rows where each has one query alone. */
static inline int rr_span_rows(const struct rr_hparams *h)
{
    return h->n_heads == h->n_kv_heads ? 32 : 16;
}

/* What was done since the last call was this step. */
void rr_session_step(struct rr_session *s, enum rr_step step);
/* Runs the layers over s->rows; leaves the residual stream in s->x. */
void rr_forward_rows(struct rr_session *s);
/* Bytes of the keys, or the values, of one head in one cell. */
size_t rr_cache_cell_bytes(enum rr_cache_type type, int head_dim);
/* Writes s->k and s->v of a row into the cache of a layer. */
void rr_cache_write(struct rr_session *s, int layer, int row);
/* Up to RR_STRETCH cells from a panel's first on: keys as float32 in panels
 * [P][head_dim][RR_PANEL], values [n][head_dim]; in the cache itself or in scratch. */
const float *rr_cache_keys(const struct rr_session *s, int layer, int head, int cell, int n_panels,
                           float *scratch);
const float *rr_cache_values(const struct rr_session *s, int layer, int head, int cell, int n,
                             float *scratch);
/* Scratch of one thread's attention where there are tiles. */
size_t rr_tiled_bytes(const struct rr_hparams *h);
/* s->att = attention of s->q over the cached paths. */
void rr_attention(struct rr_session *s, int layer);

#endif
