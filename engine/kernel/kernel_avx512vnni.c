/* AVX-512 VNNI: products of quantised weights in integers. Sixteen rows of W at a time are turned
 * into a panel in which one vector holds four numbers of each row, so that a vector of sums is
 * sixteen outputs and no sum crosses lanes: what rr_gemm_q_reference says, bit for bit. */
#include "engine/kernel/kernel.h"

#if RR_X86
#include <float.h>
#include <immintrin.h>
#include <stdbool.h>
#include <string.h>

RR_TARGET_BEGIN("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")

#define OUTS 16           /* rows of W in a panel */
#define WORDS (RR_QK / 4) /* vectors of a block */
#define CHUNK_BLOCKS                                                                               \
    32 /* of a row in a panel: two panels of them stay in the first-level cache                    \
        */
#define DIRECT_BLOCKS 8
#define TILE_M 4
#define DIRECT_M 3 /* up to so many rows of x use a block where it was unpacked: in registers */

struct panel {
    __m512i words[CHUNK_BLOCKS][WORDS]; /* unsigned bytes: a weight plus the offset of its type */
    __m512 scales[CHUNK_BLOCKS];
    int first, n; /* blocks of the rows that it holds */
};
_Static_assert(2 * sizeof(struct panel) + 64 <= RR_QPANEL_BYTES, "two panels and their alignment");

RR_INLINE int offset_of(enum rr_type type)
{
    return type == RR_TYPE_Q8_0 ? 128 : 8;
}

RR_INLINE size_t block_bytes(enum rr_type type)
{
    return type == RR_TYPE_Q8_0 ? sizeof(struct rr_block_q8_0) : sizeof(struct rr_block_q4_0);
}

/* 32 unsigned bytes of row a in the low half and of row b in the high one. */
RR_INLINE __m512i two_rows(const unsigned char *a, const unsigned char *b, enum rr_type type)
{
    if (type == RR_TYPE_Q8_0) {
        __m512i v = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)(const void *)a));
        v = _mm512_inserti64x4(v, _mm256_loadu_si256((const __m256i *)(const void *)b), 1);
        return _mm512_xor_si512(v, _mm512_set1_epi8((char)0x80));
    }
    const __m512i shift = _mm512_set_epi64(4, 4, 0, 0, 4, 4, 0, 0);
    __m512i v = _mm512_castsi256_si512(
        _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)a)));
    v = _mm512_inserti64x4(
        v, _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)b)), 1);
    return _mm512_and_si512(_mm512_srlv_epi64(v, shift), _mm512_set1_epi8(15));
}

/* words[g], lane r = bytes 4 g .. 4 g + 3 of the block at rows[r] + at. */
RR_INLINE void unpack(__m512i *words, const unsigned char *const *rows, size_t at,
                      enum rr_type type)
{
    const __m512i low = _mm512_set_epi64(13, 12, 5, 4, 9, 8, 1, 0),
                  high = _mm512_set_epi64(15, 14, 7, 6, 11, 10, 3, 2);
    __m512i part[2][4];
    for (int h = 0; h < 2; h++) { /* rows 4 h .. 4 h + 3 with those eight behind */
        __m512i r[4];
        for (int i = 0; i < 4; i++)
            r[i] = two_rows(rows[4 * h + i] + at + 2, rows[4 * h + i + 8] + at + 2, type);
        const __m512i a = _mm512_unpacklo_epi32(r[0], r[1]), b = _mm512_unpackhi_epi32(r[0], r[1]),
                      c = _mm512_unpacklo_epi32(r[2], r[3]), d = _mm512_unpackhi_epi32(r[2], r[3]);
        part[h][0] = _mm512_unpacklo_epi64(a, c);
        part[h][1] = _mm512_unpackhi_epi64(a, c);
        part[h][2] = _mm512_unpacklo_epi64(b, d);
        part[h][3] = _mm512_unpackhi_epi64(b, d);
    }
    /* In 64-bit pairs: a part holds words g and g + 4 of four rows, then of the four rows eight
     * behind them. */
    for (int g = 0; g < 4; g++) {
        words[g] = _mm512_permutex2var_epi64(part[0][g], low, part[1][g]);
        words[g + 4] = _mm512_permutex2var_epi64(part[0][g], high, part[1][g]);
    }
}

/* Scales of n blocks from block b0 on. */
RR_INLINE void unpack_scales(__m512 *scales, const unsigned char *const *rows, int b0, int n,
                             enum rr_type type)
{
    uint16_t d[CHUNK_BLOCKS][OUTS];
    for (int r = 0; r < OUTS; r++) {
        const unsigned char *p = rows[r] + (size_t)b0 * block_bytes(type);
        for (int b = 0; b < n; b++, p += block_bytes(type))
            memcpy(&d[b][r], p, sizeof d[b][r]);
    }
    for (int b = 0; b < n; b++)
        scales[b] = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)d[b]));
}

/* Row pointers of 16 outputs from j on; behind the last row it is repeated. */
RR_INLINE void row_pointers(const unsigned char **rows, const struct rr_gemm_q *g, int j)
{
    for (int r = 0; r < OUTS; r++) {
        const int at = j + r < g->n ? j + r : g->n - 1;
        rows[r] = (const unsigned char *)g->w + (size_t)(g->rows ? g->rows[at] : at) * g->row_bytes;
    }
}

RR_INLINE __mmask16 outputs(int n)
{
    return n >= OUTS ? (__mmask16)0xFFFF : (__mmask16)((1u << n) - 1u);
}

RR_INLINE __m512i word(const int8_t *q)
{
    int v;
    memcpy(&v, q, sizeof v);
    return _mm512_set1_epi32(v);
}

/* acc + sum of one block: what a row of x adds to sixteen outputs. */
RR_INLINE __m512 add_block(__m512 acc, __m512i sum, __m512 scale, float d)
{
    return _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), _mm512_mul_ps(scale, _mm512_set1_ps(d)), acc);
}

/* ---- few rows of x ---- */

/* Sixteen rows lie in one stretch of memory, but are read in sixteen places: too many short streams
 * for the processor to see. What the next sixteen need is asked for in the order of memory while
 * these are used. */
RR_INLINE void prefetch_next(const unsigned char *first, size_t row_bytes, int block,
                             enum rr_type type)
{
    const size_t part = OUTS * block_bytes(type);
    const unsigned char *p = first + OUTS * row_bytes + (size_t)block * part;
    for (size_t i = 0; i < part; i += 64)
        _mm_prefetch((const char *)p + i, _MM_HINT_T0);
}

RR_INLINE void direct_outs(const struct rr_gemm_q *g, int j, int m, enum rr_type type)
{
    const int n_blocks = g->k / RR_QK;
    const unsigned char *rows[OUTS];
    __m512 acc[DIRECT_M], scales[DIRECT_BLOCKS];
    row_pointers(rows, g, j);
    for (int i = 0; i < m; i++)
        acc[i] = _mm512_setzero_ps();
    for (int b0 = 0; b0 < n_blocks; b0 += DIRECT_BLOCKS) {
        const int n = n_blocks - b0 < DIRECT_BLOCKS ? n_blocks - b0 : DIRECT_BLOCKS;
        unpack_scales(scales, rows, b0, n, type);
        for (int b = 0; b < n; b++) {
            __m512i words[WORDS];
            unpack(words, rows, (size_t)(b0 + b) * block_bytes(type), type);
            prefetch_next(rows[0], g->row_bytes, b0 + b, type);
            for (int i = 0; i < m; i++) {
                const size_t block = (size_t)i * (size_t)n_blocks + (size_t)(b0 + b);
                const int8_t *q = g->x.q + block * RR_QK;
                __m512i even = _mm512_set1_epi32(-offset_of(type) * g->x.sum[block]),
                        odd = _mm512_setzero_si512();
                for (int w = 0; w < WORDS; w += 2) {
                    even = _mm512_dpbusd_epi32(even, words[w], word(q + 4 * w));
                    odd = _mm512_dpbusd_epi32(odd, words[w + 1], word(q + 4 * w + 4));
                }
                acc[i] = add_block(acc[i], _mm512_add_epi32(even, odd), scales[b], g->x.d[block]);
            }
        }
    }
    for (int i = 0; i < m; i++)
        _mm512_mask_storeu_ps(g->y + (size_t)i * g->ldy + j, outputs(g->n - j), acc[i]);
}

RR_INLINE void direct(const struct rr_gemm_q *g, int m, enum rr_type type)
{
    for (int j = 0; j < g->n; j += OUTS)
        direct_outs(g, j, m, type);
}

/* ---- many rows of x ---- */

/* Rows i0 .. i0 + mr - 1 of x against one or two panels; the sums so far come from y, and go there.
 */
RR_INLINE void tile(const struct rr_gemm_q *g, const struct panel *p, int np, int j, int i0, int mr,
                    int offset)
{
    const int b0 = p->first, n = p->n;
    const size_t n_blocks = (size_t)(g->k / RR_QK), first = (size_t)i0 * n_blocks + (size_t)b0;
    const int8_t *q = g->x.q + first * RR_QK;
    const float *d = g->x.d + first;
    const int32_t *sum = g->x.sum + first;
    float *y = g->y + (size_t)i0 * g->ldy + j;
    __m512 acc[TILE_M][2];
    for (int i = 0; i < mr; i++)
        for (int c = 0; c < np; c++)
            acc[i][c] = b0 ? _mm512_maskz_loadu_ps(outputs(g->n - j - OUTS * c),
                                                   y + (size_t)i * g->ldy + OUTS * c)
                           : _mm512_setzero_ps();
    for (int b = 0; b < n; b++) {
        __m512i s[TILE_M][2];
        for (int i = 0; i < mr; i++)
            s[i][0] = s[i][1] = _mm512_set1_epi32(-offset * sum[(size_t)i * n_blocks + (size_t)b]);
#pragma GCC unroll 8
        for (int w = 0; w < WORDS; w++) {
            __m512i weights[2];
            for (int c = 0; c < np; c++)
                weights[c] = p[c].words[b][w];
            for (int i = 0; i < mr; i++) {
                const __m512i x =
                    word(q + ((size_t)i * n_blocks + (size_t)b) * RR_QK + (size_t)(4 * w));
                for (int c = 0; c < np; c++)
                    s[i][c] = _mm512_dpbusd_epi32(s[i][c], weights[c], x);
            }
        }
        for (int i = 0; i < mr; i++)
            for (int c = 0; c < np; c++)
                acc[i][c] = add_block(acc[i][c], s[i][c], p[c].scales[b],
                                      d[(size_t)i * n_blocks + (size_t)b]);
    }
    for (int i = 0; i < mr; i++)
        for (int c = 0; c < np; c++)
            _mm512_mask_storeu_ps(y + (size_t)i * g->ldy + OUTS * c, outputs(g->n - j - OUTS * c),
                                  acc[i][c]);
}

RR_INLINE void panel_rows(const struct rr_gemm_q *g, const struct panel *p, int np, int j,
                          enum rr_type type)
{
    int i = 0;
    for (; i + TILE_M <= g->m; i += TILE_M)
        tile(g, p, np, j, i, TILE_M, offset_of(type));
    for (; i + 2 <= g->m; i += 2)
        tile(g, p, np, j, i, 2, offset_of(type));
    if (i < g->m)
        tile(g, p, np, j, i, 1, offset_of(type));
}

RR_INLINE void gemm_any(const struct rr_gemm_q *g, void *scratch, enum rr_type type)
{
    struct panel *p = (struct panel *)(void *)(((uintptr_t)scratch + 63) & ~(uintptr_t)63);
    const int n_blocks = g->k / RR_QK;
    switch (g->m) {
    case 1:
        direct(g, 1, type);
        return;
    case 2:
        direct(g, 2, type);
        return;
    case DIRECT_M:
        direct(g, DIRECT_M, type);
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
                row_pointers(rows, g, j + OUTS * c);
                unpack_scales(p[c].scales, rows, b0, n, type);
                for (int b = 0; b < n; b++)
                    unpack(p[c].words[b], rows, (size_t)(b0 + b) * block_bytes(type), type);
            }
            if (np == 2)
                panel_rows(g, p, 2, j, type);
            else
                panel_rows(g, p, 1, j, type);
        }
    }
}

static void gemm_q8_0(const struct rr_gemm_q *g, void *scratch)
{
    gemm_any(g, scratch, RR_TYPE_Q8_0);
}

static void gemm_q4_0(const struct rr_gemm_q *g, void *scratch)
{
    gemm_any(g, scratch, RR_TYPE_Q4_0);
}

/* ---- rows of x ---- */

static void quantise(const struct rr_quantised *out, const float *x, int k)
{
    const __m512i magnitude = _mm512_set1_epi32(0x7FFFFFFF);
    for (int b = 0; b < k / RR_QK; b++, x += RR_QK) {
        const __m512 v0 = _mm512_loadu_ps(x), v1 = _mm512_loadu_ps(x + 16);
        /* As integers, so that a NaN is the greatest. */
        const int bits = _mm512_reduce_max_epi32(
            _mm512_max_epi32(_mm512_and_si512(_mm512_castps_si512(v0), magnitude),
                             _mm512_and_si512(_mm512_castps_si512(v1), magnitude)));
        float most;
        memcpy(&most, &bits, sizeof most);
        const bool some = most >= RR_Q_LEAST && most <= FLT_MAX;
        const __mmask16 mask = some ? (__mmask16)0xFFFF : 0;
        const __m512 inverse = _mm512_set1_ps(some ? 127.0f / most : 0.0f);
        const __m512i q0 = _mm512_cvtps_epi32(_mm512_maskz_mul_ps(mask, v0, inverse)),
                      q1 = _mm512_cvtps_epi32(_mm512_maskz_mul_ps(mask, v1, inverse));
        _mm_storeu_si128((__m128i *)(void *)(out->q + (size_t)b * RR_QK),
                         _mm512_cvtsepi32_epi8(q0));
        _mm_storeu_si128((__m128i *)(void *)(out->q + (size_t)b * RR_QK + 16),
                         _mm512_cvtsepi32_epi8(q1));
        out->d[b] = most < RR_Q_LEAST ? 0.0f : most / 127.0f;
        out->sum[b] = _mm512_reduce_add_epi32(_mm512_add_epi32(q0, q1));
    }
}

void rr_kernels_init_avx512vnni(struct rr_kernels *k)
{
    k->quantise = quantise;
    k->gemm_q[RR_TYPE_Q8_0] = gemm_q8_0;
    k->gemm_q[RR_TYPE_Q4_0] = gemm_q4_0;
}

RR_TARGET_END
#endif
