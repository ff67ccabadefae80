/* What attention.c and attention_tiles.c share: one task of attention, and where its things lie. */
#ifndef RR_ATTENTION_INTERNAL_H
#define RR_ATTENTION_INTERNAL_H

#include "engine/base/check.h"
#include "engine/session_internal.h"

/* What the kernels for tiles take at once, and whole groups in a block. */
_Static_assert(RR_STRETCH / RR_PANEL <= RR_TILE_SUMS, "panels of a stretch");
_Static_assert(RR_TILE_DEPTH <= RR_STRETCH, "a group is unpacked like a stretch");
_Static_assert(RR_BLOCK % RR_TILE_DEPTH == 0, "groups of a block");

/* Scratch of one task with tiles, of all of its queries: see attn_tiles.h. */
struct tiled {
    float *o;        /* [row][head of the group][D16] */
    uint16_t *q;     /* [row][head of the group], and room behind them */
    uint16_t *k, *v; /* RR_STRETCH keys; RR_TILE_SUMS groups of values */
    float *cells;    /* [RR_TILE_DEPTH][D]: values of more than one node */
};

/* Cells of a node whose keys are at hand as float32. */
struct stretch {
    const float *keys;
    int n_panels, position; /* of the first */
};

/* Queries of one task: rows row0 .. row0 + n - 1, and the group of heads of kv_head. */
struct task {
    struct rr_session *s;
    int layer, kv_head, group;
    int row0;
    float scale;             /* of scores */
    int from, to;            /* positions of this block */
    float *scores;           /* [row][head of the group][RR_SCORES] */
    struct running *running; /* [row][head of the group] */
    float *stretch;          /* cells as float32, where the cache holds them otherwise */
    struct tiled *tiled;     /* NULL: there are no tiles */
};

static inline size_t query_at(const struct task *k, int row, int head)
{
    const struct rr_hparams *h = &k->s->model->h;
    return (size_t)row * rr_apart(h->n_heads * h->head_dim) +
           (size_t)(k->kv_head * k->group + head) * (size_t)h->head_dim;
}

static inline size_t in_group(const struct task *k, int row, int head)
{
    return (size_t)(row - k->row0) * (size_t)k->group + (size_t)head;
}

/* The score of position k->from. */
static inline float *scores_at(const struct task *k, int row, int head)
{
    return k->scores + in_group(k, row, head) * RR_SCORES + RR_PANEL;
}

/* Of rows that belong to one node, in ascending positions: how many `position` is too late for. */
static inline int finished_before(const struct task *k, int position, int row, int n)
{
    return rr_min_int(rr_max_int(position - k->s->rows[row].position, 0), n);
}

/* How many rows from `row` on, before `end`, belong to its node. */
static inline int rows_of_node(const struct rr_session *s, int row, int end)
{
    int n = 1;
    while (row + n < end && s->rows[row + n].node == s->rows[row].node)
        n++;
    return n;
}

/* attention_tiles.c: scratch for one thread in rr_tiled_bytes; queries and sums before the first
 * block; scores of n rows; weighted values of a block. */
struct tiled rr_tiled_in(unsigned char *memory, const struct rr_hparams *h);
void rr_tiled_begin(const struct task *k, int n_rows);
void rr_tiled_scores(const struct task *k, int row, int n, const struct stretch *st);
void rr_tiled_values(const struct task *k, int n_rows, const int *nodes, int above);
float *rr_tiled_sums(const struct task *k, int row, int head);

#endif
