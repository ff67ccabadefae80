/* AVX-512 VNNI: Q8_0 while decoding. As dot_floats.h has floats: rows of W are read as they lie,
 * four of them at once as far apart as can be, and no row is turned. Lane l of an output's sum has
 * what words l mod 8 of its blocks add, the even blocks' and the odd ones' apart. */
#include "engine/kernel/few_rows.h"

#if RR_X86
#include <immintrin.h>
#include <string.h>

RR_TARGET_BEGIN("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")

#define STREAMS 4
#define TOGETHER 4 /* blocks whose scales are one vector */

#define BLOCK sizeof(struct rr_block_q8_0)

RR_INLINE int scale_of(const unsigned char *w)
{
    uint16_t d;
    memcpy(&d, w, sizeof d);
    return d;
}

/* Scales of n blocks, of w times x. */
RR_INLINE __m128 scales_of(const unsigned char *w, const float *d, int n)
{
    __m128i halves = _mm_cvtsi32_si128(scale_of(w));
    if (n > 1)
        halves = _mm_insert_epi16(halves, scale_of(w + BLOCK), 1);
    if (n > 2)
        halves = _mm_insert_epi16(halves, scale_of(w + 2 * BLOCK), 2);
    if (n > 3)
        halves = _mm_insert_epi16(halves, scale_of(w + 3 * BLOCK), 3);
    const __mmask8 those = (__mmask8)((1u << n) - 1u);
    return _mm_mul_ps(_mm_cvtph_ps(halves), _mm_maskz_loadu_ps(those, d));
}

RR_INLINE __m256i load256(const void *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

/* n blocks, 1 to TOGETHER, of each row, from byte `at` on, and of x. */
RR_INLINE void add_blocks(__m512 *acc, const unsigned char *const *rows, size_t at, const int8_t *q,
                          const float *d, int n)
{
    const __m512i unsign = _mm512_set1_epi8((char)0x80), zero = _mm512_setzero_si512();
    __m128 scales[STREAMS];
    for (int r = 0; r < STREAMS; r++)
        scales[r] = scales_of(rows[r] + at, d, n);
    for (int b = 0; b < n; b += 2) {
        const bool both = b + 1 < n;
        const int8_t *first = q + (size_t)b * RR_QK;
        const __m512i x = both ? _mm512_loadu_si512(first) : _mm512_zextsi256_si512(load256(first));
        /* What 128 more in every byte of W adds to a word: taken off there, words are exact. */
        const __m512i less = _mm512_sub_epi32(zero, _mm512_dpbusd_epi32(zero, unsign, x));
        const __m512i which = b ? _mm512_set_epi32(3, 3, 3, 3, 3, 3, 3, 3, 2, 2, 2, 2, 2, 2, 2, 2)
                                : _mm512_set_epi32(1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0);
        for (int r = 0; r < STREAMS; r++) {
            const unsigned char *w = rows[r] + at + (size_t)b * BLOCK + 2;
            __m512i v = _mm512_zextsi256_si512(load256(w));
            if (both)
                v = _mm512_inserti64x4(v, load256(w + BLOCK), 1);
            const __m512i dots = _mm512_dpbusd_epi32(less, _mm512_xor_si512(v, unsign), x);
            acc[r] = _mm512_fmadd_ps(
                _mm512_cvtepi32_ps(dots),
                _mm512_permutexvar_ps(which, _mm512_castps128_ps512(scales[r])), acc[r]);
        }
    }
}

/* Outputs j, j + apart and so on of row i of x. */
RR_INLINE void dot_outs(const struct rr_gemm *g, int j, int apart, int i)
{
    const size_t n_blocks = (size_t)(g->k / RR_QK), first = (size_t)i * n_blocks;
    const unsigned char *rows[STREAMS];
    __m512 acc[STREAMS];
    for (int r = 0; r < STREAMS; r++) {
        rows[r] = rr_gemm_row(g, j + r * apart);
        acc[r] = _mm512_setzero_ps();
    }
    for (size_t b = 0; b < n_blocks; b += TOGETHER) {
        const int8_t *q = g->xq.q + (first + b) * RR_QK;
        const float *d = g->xq.d + first + b;
        const size_t left = n_blocks - b, at = b * BLOCK;
        rr_ask_streams(g, rows, STREAMS, at, TOGETHER * BLOCK);
        if (left >= TOGETHER)
            add_blocks(acc, rows, at, q, d, TOGETHER);
        else
            add_blocks(acc, rows, at, q, d, (int)left);
    }
    float *y = g->y + (size_t)i * g->ldy + j;
    for (int r = 0; r < STREAMS && j + r * apart < g->n; r++)
        y[(size_t)(r * apart)] = _mm512_reduce_add_ps(acc[r]);
}

void rr_dot_q8_0(const struct rr_gemm *g, void *scratch)
{
    const int apart = g->n / STREAMS, rest = apart * STREAMS;
    (void)scratch;
    for (int j = 0; j < apart; j++)
        for (int i = 0; i < g->m; i++)
            dot_outs(g, j, apart, i);
    for (int i = 0; rest < g->n && i < g->m; i++)
        dot_outs(g, rest, 1, i);
}

RR_TARGET_END
#endif
