/* clang-format off */
/* Products of quantised weights in integers: the part that all instruction sets share. Included,
 * inside its target region, by a file that defines
 *
 *     OUTS, ivec, fvec              outputs of a vector; OUTS words of 32 bits, OUTS floats
 *     INT_PREFIX(name)              its own names
 *     OFFSET                        1: weights are unsigned, their type's offset added; 0: signed
 *     i_set1(v) i_dot(acc, w, x)    acc + the sum of four products of bytes in each word
 *     i_add(a, b) i_sub(a, b) i_and(a, b) i_or(a, b) i_float(v) i_load(p)
 *     i_shl(v, n) i_shr(v, n)       words shifted left; right, and i_sar(v, n) with the sign
 *     f_zero() f_set1(f) f_mul(a, b) f_fma(a, b, c) f_load_n(p, n) f_store_n(p, v, n)
 *     f_halves(p)                   OUTS halves as floats
 *     unpack(words, rows, b, type)  words[w], lane r = bytes 4 w .. 4 w + 3 of block b of rows[r]
 *     load_rows(numbers, rows, b, type)  block b of OUTS rows in NUMBERS vectors, in any order that
 *     dot_rows(half, numbers, q, b, type)  knows (blocks come in order: an odd one's may be there
 *                                   from the even one): half[h], lane r = sum of the products of
 *                                   half h of block q and that of rows[r]; but for Q6_K only both
 *                                   halves' sum need be right
 *     INT_TILE_M                    rows of x in registers at once
 *     ONLY_Q8_0                     perhaps: it wants this type alone
 *     FOUR_SCALES(type)             perhaps: it has four_scales(scales, rows, b, type), of blocks
 *                                   b to b + 3 of this type
 *     OWN_TILE_DOTS                 perhaps: it has tile_dots itself, and words in its own order
 *
 * A vector of sums is OUTS outputs: sums of floats never cross lanes, those of integers may, being
 * exact. So it is what plain C gives, bit for bit. */
/* clang-format on */

#include "engine/kernel/few_rows.h"

#define WORDS (RR_QK / 4) /* vectors of a block */
#define CHUNK_BLOCKS 24   /* of a row in a panel: two panels stay in the first-level cache */
#define DIRECT_BLOCKS 8   /* whose scales are read ahead, where weights are used at once */
#define MAX_DIRECT_M 3    /* up to so many rows of x use a block where it was unpacked */

struct int_panel {
    ivec words[CHUNK_BLOCKS][WORDS];
    fvec scales[CHUNK_BLOCKS];
    fvec more[CHUNK_BLOCKS]; /* Q6_K: scales of second halves; with a least value: that */
    int first, n;            /* blocks of the rows that it holds */
};
_Static_assert(2 * sizeof(struct int_panel) + 64 <= RR_GEMM_SCRATCH, "two panels and alignment");

/* What is added to the numbers of a block, in `more`. */
RR_INLINE bool has_least(enum rr_type type)
{
    return type == RR_TYPE_Q4_K || type == RR_TYPE_Q5_K || type == RR_TYPE_Q4_1 ||
           type == RR_TYPE_Q5_1;
}

RR_INLINE int offset_of(enum rr_type type)
{
    return !OFFSET || has_least(type)                       ? 0
           : type == RR_TYPE_Q8_0 || type == RR_TYPE_IQ4_NL ? 128
           : type == RR_TYPE_Q4_0                           ? 8
           : type == RR_TYPE_Q5_0                           ? 16
                                                            : 32;
}

/* Bytes of the numbers that one scale of 16 bits belongs to, and how many blocks of RR_QK they
 * are. */
RR_INLINE size_t stored_bytes(enum rr_type type)
{
    return type == RR_TYPE_Q8_0     ? sizeof(struct rr_block_q8_0)
           : type == RR_TYPE_Q4_0   ? sizeof(struct rr_block_q4_0)
           : type == RR_TYPE_Q6_K   ? sizeof(struct rr_block_q6_k)
           : type == RR_TYPE_Q5_K   ? sizeof(struct rr_block_q5_k)
           : type == RR_TYPE_Q4_1   ? sizeof(struct rr_block_q4_1)
           : type == RR_TYPE_Q5_0   ? sizeof(struct rr_block_q5_0)
           : type == RR_TYPE_Q5_1   ? sizeof(struct rr_block_q5_1)
           : type == RR_TYPE_IQ4_NL ? sizeof(struct rr_block_iq4_nl)
                                    : sizeof(struct rr_block_q4_k);
}

RR_INLINE int stored_blocks(enum rr_type type)
{
    return type == RR_TYPE_Q4_K || type == RR_TYPE_Q5_K || type == RR_TYPE_Q6_K ? RR_QK_K / RR_QK
                                                                                : 1;
}

/* words[w], lane r = bytes 4 w .. 4 w + 3 of those at p[r]. */
RR_INLINE void row_words(ivec *words, const unsigned char *const *p, int n)
{
    uint32_t w[4][OUTS];
    for (int r = 0; r < OUTS; r++)
        for (int i = 0; i < n; i++)
            memcpy(&w[i][r], p[r] + 4 * i, sizeof w[i][r]);
    for (int i = 0; i < n; i++)
        words[i] = i_load(w[i]);
}

/* Byte n of every word, which is signed. */
RR_INLINE ivec word_byte(ivec words, int n)
{
    return i_sar(i_shl(words, 24 - 8 * n), 24);
}

/* k_scales.h's rr_k4_scales for every lane: four scales in each of the first two words, least
 * values in the others. */
RR_INLINE void k4_words(ivec *out, const ivec *p)
{
    const ivec low6 = i_set1(0x3F3F3F3F), low4 = i_set1(0x0F0F0F0F), low2 = i_set1(0x03030303);
    out[0] = i_and(p[0], low6);
    out[1] = i_or(i_and(p[2], low4), i_shl(i_and(i_shr(p[0], 6), low2), 4));
    out[2] = i_and(p[1], low6);
    out[3] = i_or(i_and(i_shr(p[2], 4), low4), i_shl(i_and(i_shr(p[1], 6), low2), 4));
}

/* Of eight blocks at p[r], for output r. Q5_K has its scales where Q4_K has them. */
RR_INLINE void k_scales(fvec *scales, fvec *more, const unsigned char *const *p, enum rr_type type)
{
    const size_t d_at = type == RR_TYPE_Q6_K ? sizeof(struct rr_block_q6_k) - 2 : 0,
                 at = type == RR_TYPE_Q6_K ? RR_QK_K / 2 + RR_QK_K / 4 : 4;
    uint16_t d[2][OUTS];
    const unsigned char *from[OUTS];
    ivec words[4], out[4];
    for (int r = 0; r < OUTS; r++) {
        memcpy(&d[0][r], p[r] + d_at, 2);
        if (has_least(type))
            memcpy(&d[1][r], p[r] + 2, 2);
        from[r] = p[r] + at;
    }
    const fvec d0 = f_halves(d[0]), d1 = has_least(type) ? f_halves(d[1]) : d0;
    row_words(words, from, type == RR_TYPE_Q6_K ? 4 : 3);
    if (has_least(type))
        k4_words(out, words);
    for (int j = 0; j < 8; j++) {
        const ivec a = type == RR_TYPE_Q6_K ? word_byte(words[j / 2], j % 2 * 2)
                                            : word_byte(out[j / 4], j % 4),
                   b = type == RR_TYPE_Q6_K ? word_byte(words[j / 2], j % 2 * 2 + 1)
                                            : i_sub(i_set1(0), word_byte(out[2 + j / 4], j % 4));
        scales[j] = f_mul(d0, i_float(a));
        more[j] = f_mul(d1, i_float(b));
    }
}

/* Scales of n blocks from block b0 on. */
RR_INLINE void unpack_scales(fvec *scales, fvec *more, const unsigned char *const *rows, int b0,
                             int n, enum rr_type type)
{
    const int step = stored_blocks(type);
    if (step == 1) {
        uint16_t d[CHUNK_BLOCKS][OUTS], least[CHUNK_BLOCKS][OUTS];
        int first = 0;
#ifdef FOUR_SCALES
        for (; FOUR_SCALES(type) && first + 4 <= n; first += 4)
            four_scales(scales + first, rows, b0 + first, type);
#endif
        for (int r = 0; r < OUTS; r++) {
            const unsigned char *p = rows[r] + (size_t)(b0 + first) * stored_bytes(type);
            for (int b = first; b < n; b++, p += stored_bytes(type)) {
                memcpy(&d[b][r], p, sizeof d[b][r]);
                if (has_least(type))
                    memcpy(&least[b][r], p + 2, sizeof least[b][r]);
            }
        }
        for (int b = first; b < n; b++) {
            scales[b] = f_halves(d[b]);
            if (has_least(type))
                more[b] = f_halves(least[b]);
        }
        return;
    }
    for (int b = 0; b < n; b += step) {
        const unsigned char *p[OUTS];
        for (int r = 0; r < OUTS; r++)
            p[r] = rows[r] + (size_t)((b0 + b) / step) * stored_bytes(type);
        k_scales(scales + b, more + b, p, type);
    }
}

/* Row pointers of OUTS outputs from j on; behind the last row it is repeated. */
RR_INLINE void int_rows(const unsigned char **rows, const struct rr_gemm *g, int j)
{
    for (int r = 0; r < OUTS; r++)
        rows[r] = rr_gemm_row(g, j + r);
}

RR_INLINE ivec word(const int8_t *q)
{
    int v;
    memcpy(&v, q, sizeof v);
    return i_set1(v);
}

/* acc + a sum of products: what a row of x adds to the outputs. */
RR_INLINE fvec add_sum(fvec acc, ivec sum, fvec scale, float d)
{
    return f_fma(i_float(sum), f_mul(scale, f_set1(d)), acc);
}

/* ---- few rows of x ---- */

/* acc plus what block number `block` of a row of x adds, of which numbers are the weights. */
RR_INLINE fvec direct_block(fvec acc, const ivec *numbers, fvec scale, fvec more,
                            const struct rr_quantised *x, size_t block, enum rr_type type)
{
    const int s0 = x->sum[2 * block], s1 = x->sum[2 * block + 1];
    const float d = x->d[block];
    ivec half[2];
    dot_rows(half, numbers, x->q + block * RR_QK, (int)block, type);
    if (type == RR_TYPE_Q6_K) {
        half[0] = i_add(half[0], i_set1(-offset_of(type) * s0));
        half[1] = i_add(half[1], i_set1(-offset_of(type) * s1));
        return add_sum(add_sum(acc, half[0], scale, d), half[1], more, d);
    }
    const ivec sum = i_add(half[0], half[1]);
    acc = add_sum(acc, i_add(sum, i_set1(-offset_of(type) * (s0 + s1))), scale, d);
    return has_least(type) ? f_fma(f_set1((float)(s0 + s1)), f_mul(more, f_set1(d)), acc) : acc;
}

/* Outputs j, j + apart and so on. */
RR_INLINE void direct_outs(const struct rr_gemm *g, int j, int apart, int m, enum rr_type type)
{
    const int n_blocks = g->k / RR_QK;
    const size_t part = stored_bytes(type) / (size_t)stored_blocks(type);
    const unsigned char *rows[OUTS];
    fvec acc[MAX_DIRECT_M], scales[DIRECT_BLOCKS], more[DIRECT_BLOCKS];
    ivec numbers[NUMBERS]; /* of a block, or of two that lie together */
    for (int r = 0; r < OUTS; r++)
        rows[r] = rr_gemm_row(g, j + r * apart);
    for (int i = 0; i < m; i++)
        acc[i] = f_zero();
    for (int b = 0; b < DIRECT_BLOCKS; b++)
        more[b] = f_zero();
    for (int i = 0; i < NUMBERS; i++)
        numbers[i] = i_set1(0);
    for (int b0 = 0; b0 < n_blocks; b0 += DIRECT_BLOCKS) {
        const int n = n_blocks - b0 < DIRECT_BLOCKS ? n_blocks - b0 : DIRECT_BLOCKS;
        unpack_scales(scales, more, rows, b0, n, type);
        for (int b = 0; b < n; b++) {
            load_rows(numbers, rows, b0 + b, type);
            rr_ask_ahead(g, rows, OUTS, apart, (size_t)(b0 + b) * part, part);
            for (int i = 0; i < m; i++)
                acc[i] = direct_block(acc[i], numbers, scales[b], more[b], &g->xq,
                                      (size_t)i * (size_t)n_blocks + (size_t)(b0 + b), type);
        }
    }
    for (int i = 0; i < m; i++) {
        float *y = g->y + (size_t)i * g->ldy + j, outs[OUTS];
        f_store_n(outs, acc[i], OUTS);
        for (int r = 0; r < OUTS && j + r * apart < g->n; r++)
            y[(size_t)(r * apart)] = outs[r];
    }
}

RR_INLINE void direct(const struct rr_gemm *g, int m, enum rr_type type)
{
    for (int i = 0; i < rr_groups(g, OUTS); i++) {
        const struct rr_group group = rr_group(g, OUTS, i);
        direct_outs(g, group.first, group.apart, m, type);
    }
}

/* ---- many rows of x ---- */

#ifndef OWN_TILE_DOTS
/* Words w0 .. w0 + n_w - 1 of block b against mr rows of x whose blocks begin at q. */
RR_INLINE void tile_dots(ivec (*s)[2], const struct int_panel *p, int np, int b, int w0, int n_w,
                         const int8_t *q, int mr, size_t row)
{
#pragma GCC unroll 8
    for (int w = w0; w < w0 + n_w; w++)
        for (int i = 0; i < mr; i++) {
            const ivec x = word(q + (size_t)i * row + 4 * w);
            for (int c = 0; c < np; c++)
                s[i][c] = i_dot(s[i][c], p[c].words[b][w], x);
        }
}
#endif

/* Unpacked, blocks of some types differ in their offset alone. */
enum int_kind { PLAIN, LEAST, HALVES };

struct int_tiles {
    const struct rr_gemm *g;
    const struct int_panel *p;
    int j;      /* first output */
    int offset; /* of a PLAIN type */
};

/* Rows i0 .. i0 + mr - 1 of x against np panels; the sums so far come from y, and go there. */
RR_INLINE void int_tile(const struct int_tiles *t, int np, int i0, int mr, enum int_kind kind)
{
    const struct rr_gemm *g = t->g;
    const struct int_panel *p = t->p;
    const size_t n_blocks = (size_t)(g->k / RR_QK),
                 first = (size_t)i0 * n_blocks + (size_t)p->first;
    const int halves = kind == HALVES ? 2 : 1, part = WORDS / halves, j = t->j;
    const int offset = kind == HALVES             ? offset_of(RR_TYPE_Q6_K)
                       : !OFFSET || kind == LEAST ? 0
                                                  : t->offset;
    float *y = g->y + (size_t)i0 * g->ldy + j;
    fvec acc[INT_TILE_M][2];
    for (int i = 0; i < mr; i++)
        for (int c = 0; c < np; c++)
            acc[i][c] = p->first ? f_load_n(y + (size_t)i * g->ldy + OUTS * c, g->n - j - OUTS * c)
                                 : f_zero();
    for (int b = 0; b < p->n; b++) {
        const int8_t *q = g->xq.q + (first + (size_t)b) * RR_QK;
        const float *d = g->xq.d + first + b;
        const int16_t *sum = g->xq.sum + 2 * (first + (size_t)b);
        for (int h = 0; h < halves; h++) {
            ivec s[INT_TILE_M][2];
            for (int i = 0; i < mr; i++) {
                const int16_t *x = sum + 2 * (size_t)i * n_blocks;
                s[i][0] = s[i][1] = i_set1(-offset * (halves == 2 ? x[h] : x[0] + x[1]));
            }
            tile_dots(s, p, np, b, h * part, part, q, mr, n_blocks * RR_QK);
            for (int i = 0; i < mr; i++)
                for (int c = 0; c < np; c++)
                    acc[i][c] = add_sum(acc[i][c], s[i][c], h ? p[c].more[b] : p[c].scales[b],
                                        d[(size_t)i * n_blocks]);
        }
        for (int i = 0; i < mr && kind == LEAST; i++) {
            const int16_t *x = sum + 2 * (size_t)i * n_blocks;
            for (int c = 0; c < np; c++)
                acc[i][c] = f_fma(f_set1((float)(x[0] + x[1])),
                                  f_mul(p[c].more[b], f_set1(d[(size_t)i * n_blocks])), acc[i][c]);
        }
    }
    for (int i = 0; i < mr; i++)
        for (int c = 0; c < np; c++)
            f_store_n(y + (size_t)i * g->ldy + OUTS * c, acc[i][c], g->n - j - OUTS * c);
}

RR_INLINE void int_tiles(const struct int_tiles *t, int np, enum int_kind kind)
{
    int i = 0;
    for (; i + INT_TILE_M <= t->g->m; i += INT_TILE_M)
        int_tile(t, np, i, INT_TILE_M, kind);
    for (; i < t->g->m; i++)
        int_tile(t, np, i, 1, kind);
}

/* Functions of their own: one for all types of a kind. */
#define INT_TILES(name, kind)                                                                      \
    RR_APART void name(const struct int_tiles *t, int np)                                          \
    {                                                                                              \
        np == 2 ? int_tiles(t, 2, kind) : int_tiles(t, 1, kind);                                   \
    }
INT_TILES(tiles_plain, PLAIN)
INT_TILES(tiles_least, LEAST)
INT_TILES(tiles_halves, HALVES)

RR_INLINE void gemm_ints(const struct rr_gemm *g, void *scratch, enum rr_type type)
{
    struct int_panel *p = (struct int_panel *)(void *)(((uintptr_t)scratch + 63) & ~(uintptr_t)63);
    const int n_blocks = g->k / RR_QK;
    switch (g->m) {
    case 1:
        direct(g, 1, type);
        return;
    case 2:
        direct(g, 2, type);
        return;
    case MAX_DIRECT_M:
        direct(g, MAX_DIRECT_M, type);
        return;
    default:
        break;
    }
    for (int j = 0; j < g->n; j += 2 * OUTS) {
        const int np = g->n - j > OUTS ? 2 : 1;
        for (int b0 = 0; b0 < n_blocks; b0 += CHUNK_BLOCKS) {
            const int n = n_blocks - b0 < CHUNK_BLOCKS ? n_blocks - b0 : CHUNK_BLOCKS;
            for (int c = 0; c < np; c++) {
                const unsigned char *rows[OUTS];
                p[c].first = b0;
                p[c].n = n;
                int_rows(rows, g, j + OUTS * c);
                unpack_scales(p[c].scales, p[c].more, rows, b0, n, type);
                for (int b = 0; b < n; b++)
                    unpack(p[c].words[b], rows, b0 + b, type);
            }
            const struct int_tiles t = {g, p, j, offset_of(type)};
            if (type == RR_TYPE_Q6_K)
                tiles_halves(&t, np);
            else if (has_least(type))
                tiles_least(&t, np);
            else
                tiles_plain(&t, np);
        }
    }
}

#define INT_GEMM(name, type)                                                                       \
    static void INT_PREFIX(name)(const struct rr_gemm *g, void *scratch)                           \
    {                                                                                              \
        gemm_ints(g, scratch, type);                                                               \
    }
INT_GEMM(q8_0, RR_TYPE_Q8_0)
#ifndef ONLY_Q8_0
INT_GEMM(q4_0, RR_TYPE_Q4_0)
INT_GEMM(q6_k, RR_TYPE_Q6_K)
INT_GEMM(q4_k, RR_TYPE_Q4_K)
INT_GEMM(q5_k, RR_TYPE_Q5_K)
INT_GEMM(q4_1, RR_TYPE_Q4_1)
INT_GEMM(q5_0, RR_TYPE_Q5_0)
INT_GEMM(q5_1, RR_TYPE_Q5_1)
INT_GEMM(iq4_nl, RR_TYPE_IQ4_NL)

static void INT_PREFIX(init)(struct rr_kernels *k)
{
    k->gemm[RR_TYPE_Q8_0] = INT_PREFIX(q8_0);
    k->gemm[RR_TYPE_Q4_0] = INT_PREFIX(q4_0);
    k->gemm[RR_TYPE_Q6_K] = INT_PREFIX(q6_k);
    k->gemm[RR_TYPE_Q4_K] = INT_PREFIX(q4_k);
    k->gemm[RR_TYPE_Q5_K] = INT_PREFIX(q5_k);
    k->gemm[RR_TYPE_Q4_1] = INT_PREFIX(q4_1);
    k->gemm[RR_TYPE_Q5_0] = INT_PREFIX(q5_0);
    k->gemm[RR_TYPE_Q5_1] = INT_PREFIX(q5_1);
    k->gemm[RR_TYPE_IQ4_NL] = INT_PREFIX(iq4_nl);
}
#endif
