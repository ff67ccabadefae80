/* Products of F16 and BF16 in integers of sixteen bits: the part that all instruction sets share.
 * Included, inside its target region, by a file that defines
 *
 *     OUTS, ivec, fvec              outputs of a vector; OUTS words of 32 bits, OUTS floats
 *     i_zero() i_set1(v)
 *     i_dot16(acc, w, x)            acc + the sum of two products of halves in each word
 *     i_sub(a, b) i_and(a, b) i_max(a, b)
 *     i_left(v, n) i_right(v, n)    shifted by a constant, zeros coming in
 *     i_join(low, high)             the low halves of both as one word
 *     i_float(v) i_round(f)         as floats; floats as the nearest integers, half to even
 *     as_float(v) as_words(f)       the same bits
 *     f_zero() f_set1(f) f_add(a, b) f_mul(a, b) f_fma(a, b, c) f_load_n(p, n) f_store_n(p, v, n)
 *     f_greater(a, b, x, y)         x where a > b, else y
 *     f_load(p) transpose(t)        t[OUTS] vectors as rows of a square, turned
 *     low_half(v, type), high_half(v, type)  the first and the second 16-bit number of every word
 *     INT16_TILE_M                  rows of x in registers at once
 *
 * A block is RR_QK16 numbers, w ~ q 2^e and x ~ q d; its halves' products are summed as integers.
 * That neither sum leaves 32 bits is Cauchy-Schwarz: the root of the sum of q^2 in half a block is
 * below 46321 of W and below 46302 of x, and 46321 * 46302 < 2^31. So numbers have 13 to 15 bits
 * and a sign. Where they are spread normally a product is off by 2e-5 of its size; logits are off
 * by a ninth of what rounding x to F16 costs (bench/README.md). */

#include "engine/kernel/kernel.h"

#define PAIRS (RR_QK16 / 2)         /* words of a block */
#define INT16_CHUNK (64 * 8 / OUTS) /* blocks of a row in a panel: 32 KiB of words */

struct int16_panel {
    ivec words[INT16_CHUNK][2][PAIRS]; /* of two vectors of outputs */
    fvec scales[INT16_CHUNK][2];
    int first, n; /* blocks of the rows that it holds */
};
_Static_assert(sizeof(struct int16_panel) + 64 <= RR_GEMM_SCRATCH, "a panel and its alignment");

/* Sum of squares of half a block times unit, in two chains. */
RR_INLINE fvec sum_of_squares(const fvec *v, fvec unit)
{
    fvec even = f_zero(), odd = f_zero();
    for (int i = 0; i < PAIRS; i += 2) {
        const fvec a = f_mul(v[i], unit), b = f_mul(v[i + 1], unit);
        even = f_fma(a, a, even);
        odd = f_fma(b, b, odd);
    }
    return f_add(even, odd);
}

/* out[i] = the q of v[2 i] and v[2 i + 1]; returns 2^e of every lane, NaN where a number is not
 * finite. */
RR_INLINE fvec int16_block(ivec *out, const fvec *v)
{
    const ivec size = i_set1(0x7FFFFFFF);
    ivec mosts[4] = {i_zero(), i_zero(), i_zero(), i_zero()};
    for (int i = 0; i < RR_QK16; i++)
        mosts[i % 4] = i_max(mosts[i % 4], i_and(as_words(v[i]), size));
    const ivec most = i_max(i_max(mosts[0], mosts[1]), i_max(mosts[2], mosts[3]));
    /* 27: 2^-100, about RR_Q_LEAST. The greatest number becomes 2^14 to 2^15, or half of that. */
    const ivec exponent = i_max(i_right(most, 23), i_set1(27));
    fvec inverse = as_float(i_left(i_sub(i_set1(2 * 127 + 14), exponent), 23)),
         scale = as_float(i_left(i_sub(exponent, i_set1(14)), 23));
    const fvec first = sum_of_squares(v, inverse), second = sum_of_squares(v + PAIRS, inverse),
               square = f_greater(second, first, second, first),
               most_square = f_set1(RR_NORM_16 * RR_NORM_16);
    inverse = f_mul(inverse, f_greater(square, most_square, f_set1(0.5f), f_set1(1)));
    scale = f_mul(scale, f_greater(square, most_square, f_set1(2), f_set1(1)));
    for (int i = 0; i < PAIRS; i++)
        out[i] = i_join(i_round(f_mul(v[2 * i], inverse)), i_round(f_mul(v[2 * i + 1], inverse)));
    return f_add(scale, f_mul(as_float(most), f_zero()));
}

/* Two blocks of OUTS rows: t[i], lane r = the numbers 2 i and 2 i + 1 of rows[r]. */
RR_INLINE void turned_words(fvec *t, const unsigned char *const *rows, size_t at)
{
    for (int i = 0; i < 2 * PAIRS; i += OUTS) {
        for (int r = 0; r < OUTS; r++)
            t[i + r] = f_load(rows[r] + at + 4 * i);
        transpose(t + i);
    }
}

/* The same where rows end before that: zeros behind them. */
RR_INLINE void turned_tail(fvec *t, const unsigned char *const *rows, size_t at, size_t n_bytes)
{
    unsigned char whole[OUTS][4 * RR_QK16] = {{0}};
    const unsigned char *copies[OUTS];
    for (int r = 0; r < OUTS; r++) {
        memcpy(whole[r], rows[r] + at, n_bytes);
        copies[r] = whole[r];
    }
    turned_words(t, copies, 0);
}

/* Vector c of outputs from j on. */
RR_INLINE void fill_int16(struct int16_panel *p, const struct rr_gemm *g, int c, int j,
                          enum rr_type type)
{
    const unsigned char *rows[OUTS];
    for (int r = 0; r < OUTS; r++)
        rows[r] = rr_gemm_row(g, j + OUTS * c + r);
    for (int b = 0; b < p->n; b += 2) {
        fvec t[2 * PAIRS], v[RR_QK16];
        const size_t k = (size_t)(p->first + b) * RR_QK16, left = (size_t)g->k - k;
        if (left >= 2 * RR_QK16)
            turned_words(t, rows, 2 * k);
        else
            turned_tail(t, rows, 2 * k, 2 * left);
        for (int half = 0; half < 2; half++) {
            for (int i = 0; i < PAIRS; i++) {
                v[2 * i] = low_half(t[half * PAIRS + i], type);
                v[2 * i + 1] = high_half(t[half * PAIRS + i], type);
            }
            p->scales[b + half][c] = int16_block(p->words[b + half][c], v);
        }
    }
}

RR_INLINE ivec pair_of(const int16_t *q)
{
    int32_t pair;
    memcpy(&pair, q, sizeof pair);
    return i_set1(pair);
}

/* Half a block, words `from` on, against those of mr rows of x whose blocks begin at q. */
RR_INLINE void half_block(ivec (*s)[2], const ivec (*words)[PAIRS], int from, int np,
                          const int16_t *q, size_t apart, int mr)
{
    for (int i = 0; i < mr; i++)
        s[i][0] = s[i][1] = i_zero();
#pragma GCC unroll 4
    for (int w = from; w < from + PAIRS / 2; w++)
        for (int i = 0; i < mr; i++) {
            const ivec x = pair_of(q + (size_t)i * apart + 2 * w);
            for (int c = 0; c < np; c++)
                s[i][c] = i_dot16(s[i][c], words[c][w], x);
        }
}

/* Rows i0 .. i0 + mr - 1 of x against np vectors of outputs; the sums so far come from y, and go
 * there. */
RR_INLINE void int16_tile(const struct rr_gemm *g, const struct int16_panel *p, int np, int j,
                          int i0, int mr)
{
    const size_t apart = rr_int16_apart(g->k), n_blocks = rr_int16_blocks(g->k);
    const int16_t *q = g->xq.q16 + (size_t)i0 * apart + (size_t)p->first * RR_QK16;
    const float *d = g->xq.d16 + (size_t)i0 * n_blocks + (size_t)p->first;
    float *y = g->y + (size_t)i0 * g->ldy + j;
    fvec acc[INT16_TILE_M][2];
    for (int i = 0; i < mr; i++)
        for (int c = 0; c < np; c++)
            acc[i][c] = p->first ? f_load_n(y + (size_t)i * g->ldy + OUTS * c, g->n - j - OUTS * c)
                                 : f_zero();
    for (int b = 0; b < p->n; b++, q += RR_QK16, d++) {
        ivec s[INT16_TILE_M][2];
        fvec first[INT16_TILE_M][2];
        half_block(s, p->words[b], 0, np, q, apart, mr);
        for (int i = 0; i < mr; i++)
            for (int c = 0; c < np; c++)
                first[i][c] = i_float(s[i][c]);
        half_block(s, p->words[b], PAIRS / 2, np, q, apart, mr);
        for (int i = 0; i < mr; i++)
            for (int c = 0; c < np; c++)
                acc[i][c] =
                    f_fma(f_add(first[i][c], i_float(s[i][c])),
                          f_mul(p->scales[b][c], f_set1(d[(size_t)i * n_blocks])), acc[i][c]);
    }
    for (int i = 0; i < mr; i++)
        for (int c = 0; c < np; c++)
            f_store_n(y + (size_t)i * g->ldy + OUTS * c, acc[i][c], g->n - j - OUTS * c);
}

RR_INLINE void int16_tiles_of(const struct rr_gemm *g, const struct int16_panel *p, int np, int j)
{
    int i = 0;
    for (; i + INT16_TILE_M <= g->m; i += INT16_TILE_M)
        int16_tile(g, p, np, j, i, INT16_TILE_M);
    for (; i < g->m; i++)
        int16_tile(g, p, np, j, i, 1);
}

/* A function of its own: panels are the same whatever the type. */
RR_APART void int16_tiles(const struct rr_gemm *g, const struct int16_panel *p, int np, int j)
{
    np == 2 ? int16_tiles_of(g, p, 2, j) : int16_tiles_of(g, p, 1, j);
}

RR_INLINE void gemm_int16(const struct rr_gemm *g, void *scratch, enum rr_type type)
{
    struct int16_panel *p =
        (struct int16_panel *)(void *)(((uintptr_t)scratch + 63) & ~(uintptr_t)63);
    const int n_blocks = (int)rr_int16_blocks(g->k);
    for (int j = 0; j < g->n; j += 2 * OUTS) {
        const int np = g->n - j > OUTS ? 2 : 1;
        for (p->first = 0; p->first < n_blocks; p->first += INT16_CHUNK) {
            p->n = n_blocks - p->first < INT16_CHUNK ? n_blocks - p->first : INT16_CHUNK;
            for (int c = 0; c < np; c++)
                fill_int16(p, g, c, j, type);
            int16_tiles(g, p, np, j);
        }
    }
}

static void gemm_int16_f16(const struct rr_gemm *g, void *scratch)
{
    gemm_int16(g, scratch, RR_TYPE_F16);
}

static void gemm_int16_bf16(const struct rr_gemm *g, void *scratch)
{
    gemm_int16(g, scratch, RR_TYPE_BF16);
}

static void init_int16(struct rr_kernels *k)
{
    k->gemm[RR_TYPE_F16] = gemm_int16_f16;
    k->gemm[RR_TYPE_BF16] = gemm_int16_bf16;
    k->prepared[RR_TYPE_F16] = k->prepared[RR_TYPE_BF16] = RR_READS_16;
}
