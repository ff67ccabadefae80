/* Attention in tiles of bfloat16 (kernel_amx_attn.c), for kernel.h. A number is the sum of two
 * bfloat16 here, its large part and what that leaves, and all products but that of two small parts
 * are added: with D32 and D16 for the next multiples of 32 and 16 of D, zeros behind D. */
#ifndef RR_ATTN_TILES_H
#define RR_ATTN_TILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RR_TILE_DEPTH 32 /* numbers that are added up in one tile */
#define RR_TILE_SIZE 512 /* numbers of a tile */
#define RR_TILE_SUMS 4   /* tiles of sums at once: panels of keys, strips of 16 of D */

static inline size_t rr_tile_up(int n, size_t step)
{
    return ((size_t)n + step - 1) / step * step;
}
/* Numbers of one query, one panel of keys, one group of RR_TILE_DEPTH values. */
static inline size_t rr_tiled_query(int head_dim)
{
    return 2 * rr_tile_up(head_dim, RR_TILE_DEPTH);
}
static inline size_t rr_tiled_panel(int head_dim)
{
    return rr_tile_up(head_dim, RR_TILE_DEPTH) / RR_TILE_DEPTH * 2 * RR_TILE_SIZE;
}
static inline size_t rr_tiled_group(int head_dim)
{
    return rr_tile_up(head_dim, 16) / 16 * 2 * RR_TILE_SIZE;
}

/* s[Q,16 P] = q[Q,D] K^T, P <= RR_TILE_SUMS. Of q, 15 more queries are read. */
struct rr_tiled_scores {
    float *s;
    size_t lds;
    const uint16_t *q, *k;
    int n_q, n_panels, head_dim;
};

/* o[Q,D] += p[Q,32 G] v[32 G,D], rows of o D16 apart: every output adds its groups in order. */
struct rr_tiled_values {
    float *o;
    const float *p;
    size_t ldp;
    const uint16_t *v;
    int n_q, n_groups, head_dim;
};

struct rr_attn_tiles {
    /* out[n][2 parts][D32] = scale * q[n,D] */
    void (*queries)(uint16_t *out, const float *q, int n, int head_dim, float scale);
    /* out[P][D32 / 32][2 parts][16 pairs of D][16 keys][2] of panels k[P][D][16] */
    void (*keys)(uint16_t *out, const float *k, int n_panels, int head_dim);
    /* out[D16 / 16][2 parts][16 pairs of values][16 of D][2] of v[n,D], n <= RR_TILE_DEPTH, zeros
     * behind; whether all of it is finite. */
    bool (*values)(uint16_t *out, const float *v, int n, int head_dim);
    void (*scores)(const struct rr_tiled_scores *a);
    void (*add_values)(const struct rr_tiled_values *a);
};

#endif
