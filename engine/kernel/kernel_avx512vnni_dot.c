/* AVX-512 VNNI: dot_int.h's products with vectors of two pieces. */
#include "engine/kernel/kernel.h"

#if RR_X86
#include <immintrin.h>
#include <string.h>

RR_TARGET_BEGIN("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")

#include "engine/kernel/dot_load.h"

#define PARTS 2
#define dvec __m512i
#define fvec __m512
#define d_load(p) _mm512_loadu_si512(p)
#define d_low(v) _mm512_and_si512(v, _mm512_set1_epi8(15))
#define d_high(v) d_low(_mm512_srli_epi16(v, 4))
#define d_zero _mm512_setzero_si512
#define d_set1(n) _mm512_set1_epi8(n)
#define d_or _mm512_or_si512
#define d_sub _mm512_sub_epi32
#define d_dot _mm512_dpbusd_epi32
#define d_dot_two(v, w0, x0, w1, x1) d_dot(d_dot(v, w0, x0), w1, x1)
#define d_dot_signed(less, w, x) d_dot(less, _mm512_xor_si512(w, d_set1(-128)), x)
#define f_zero _mm512_setzero_ps
#define f_of _mm512_cvtepi32_ps
#define f_mul _mm512_mul_ps
#define f_fma _mm512_fmadd_ps

#define FOUR(i) i, i, i, i
#define EIGHT(i) FOUR(i), FOUR(i)

RR_INLINE __m512 f_spread(__m256 s, int i, int j)
{
    return _mm512_permutexvar_ps(_mm512_set_epi32(EIGHT(j), EIGHT(i)), _mm512_castps256_ps512(s));
}

RR_INLINE __m512 f_quarters(__m256 s, int i)
{
    return _mm512_permutexvar_ps(_mm512_set_epi32(FOUR(i + 3), FOUR(i + 2), FOUR(i + 1), FOUR(i)),
                                 _mm512_castps256_ps512(s));
}

RR_INLINE __m256i load256(const void *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

RR_INLINE __m512i d_two(const void *p, const void *q)
{
    return _mm512_inserti64x4(_mm512_castsi256_si512(load256(p)), load256(q), 1);
}

RR_INLINE __m512i d_sixteens(const void *p, size_t step, int n)
{
    const char *c = p;
    const __m512i v =
        _mm512_inserti32x4(_mm512_castsi128_si512(load128(c)), load128(c + (n > 1 ? step : 0)), 1);
    return _mm512_inserti32x4(_mm512_inserti32x4(v, load128(c + (n > 2 ? 2 * step : 0)), 2),
                              load128(c + (n > 3 ? 3 * step : 0)), 3);
}

RR_INLINE __m512 f_two(float a, float b)
{
    return _mm512_insertf32x8(_mm512_set1_ps(a), _mm256_set1_ps(b), 1);
}

RR_INLINE __m512 f_halves(const unsigned char *p, const unsigned char *q)
{
    return _mm512_cvtph_ps(_mm256_set_m128i(half_at(q), half_at(p)));
}

RR_INLINE __m512 f_halves_in_four(const unsigned char *p, int n)
{
    const size_t bytes = sizeof(struct rr_block_q4_0);
    if (n == 4) { /* words 0, 9, 18 and 27 */
        const __m512i which =
            _mm512_castsi256_si512(_mm256_set_epi16(FOUR(27), FOUR(18), FOUR(9), FOUR(0)));
        return _mm512_cvtph_ps(
            _mm512_castsi512_si256(_mm512_permutexvar_epi16(which, _mm512_loadu_si512(p))));
    }
    return _mm512_cvtph_ps(
        _mm256_set_m128i(half_at(p + (n > 2 ? 2 * bytes : 0)),
                         _mm_unpacklo_epi64(half_at(p), half_at(p + (n > 1 ? bytes : 0)))));
}

RR_INLINE __m512 f_in_four(const float *d)
{
    return _mm512_permutexvar_ps(_mm512_set_epi32(FOUR(3), FOUR(2), FOUR(1), FOUR(0)),
                                 _mm512_castps128_ps512(_mm_loadu_ps(d)));
}

RR_INLINE void group_scales(__m256 *scales, __m512 *acc, const unsigned char *const *rows,
                            size_t at, __m256 of_x, __m256 sums)
{
    /* Four rows a vector: a quarter becomes its eight scales, then its eight least values. */
    __m512i v =
        _mm512_inserti32x4(_mm512_castsi128_si512(load128(rows[0] + at)), load128(rows[1] + at), 1);
    v = _mm512_inserti32x4(_mm512_inserti32x4(v, load128(rows[2] + at), 2), load128(rows[3] + at),
                           3);
    const __m512i first = _mm512_shuffle_epi32(v, 0x99),
                  last = _mm512_srlv_epi32(_mm512_shuffle_epi32(v, 0xFF),
                                           _mm512_set4_epi32(4, 0, 4, 0));
    const __m512i high = _mm512_or_si512(
        _mm512_and_si512(_mm512_srli_epi16(first, 2), _mm512_set1_epi8(0x30)), d_low(last));
    v = _mm512_unpacklo_epi32(_mm512_and_si512(first, _mm512_set1_epi8(63)), high);
    const __m512 x = _mm512_insertf32x8(_mm512_castps256_ps512(of_x), of_x, 1),
                 behind = _mm512_insertf32x8(_mm512_setzero_ps(), sums, 1);
    const __m128i bytes[4] = {_mm512_castsi512_si128(v), _mm512_extracti32x4_epi32(v, 1),
                              _mm512_extracti32x4_epi32(v, 2), _mm512_extracti32x4_epi32(v, 3)};
#pragma GCC unroll 4
    for (int r = 0; r < 4; r++) {
        const __m512 d = _mm512_permutexvar_ps(_mm512_set_epi32(EIGHT(1), EIGHT(0)),
                                               _mm512_castps128_ps512(_mm_cvtph_ps(_mm_loadl_epi64((
                                                   const __m128i *)(const void *)(rows[r] + at))))),
                     both = _mm512_mul_ps(
                         _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes[r])), d), x);
        scales[r] = _mm512_castps512_ps256(both);
        acc[r] = _mm512_mask3_fnmadd_ps(both, behind, acc[r], 0xFF00);
    }
}

RR_INLINE float f_sum(__m512 v)
{
    const __m256 x = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 y = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_add_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_add_ss(y, _mm_movehdup_ps(y)));
}

/* Rotated: what leaves a byte is not in the mask. */
RR_INLINE __m512i d_bits(const unsigned char *p, int a, int b, int mask)
{
    return _mm512_and_si512(
        _mm512_rolv_epi64(_mm512_broadcast_i64x4(load256(p)), _mm512_set_epi64(FOUR(b), FOUR(a))),
        _mm512_set1_epi8((char)mask));
}

#include "engine/kernel/dot_int.h"

void rr_kernels_init_avx512vnni_dot(struct rr_kernels *k)
{
    init_dot(k);
}

RR_TARGET_END
#endif
