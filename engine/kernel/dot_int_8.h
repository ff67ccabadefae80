/* What dot_int.h wants of vectors of one piece: AVX2 and, with another dot product, AVX-VNNI. The
 * including file has d_dot, d_dot_two and d_dot_signed. */
#include "engine/kernel/dot_load.h"

#define PARTS 1
#define dvec __m256i
#define fvec __m256
#define d_load(p) _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define d_two(p, q) d_load(p)
#define d_low(v) _mm256_and_si256(v, _mm256_set1_epi8(15))
#define d_high(v) d_low(_mm256_srli_epi16(v, 4))
#define d_zero _mm256_setzero_si256
#define d_set1(n) _mm256_set1_epi8(n)
#define d_or _mm256_or_si256
#define d_sub _mm256_sub_epi32
#define f_zero _mm256_setzero_ps
#define f_of _mm256_cvtepi32_ps
#define f_fma _mm256_fmadd_ps
#define f_spread(s, i, j) _mm256_permutevar8x32_ps(s, _mm256_set1_epi32(i))
#define f_quarters(s, i)                                                                           \
    _mm256_permutevar8x32_ps(s, _mm256_setr_epi32(i, i, i, i, i + 1, i + 1, i + 1, i + 1))
#define d_bits(p, a, b, mask)                                                                      \
    _mm256_and_si256((a) < 0 ? _mm256_srli_epi16(d_load(p), -(a))                                  \
                             : _mm256_slli_epi16(d_load(p), a),                                    \
                     d_set1(mask))

#define f_two(a, b) ((void)(b), _mm256_set1_ps(a))
#define f_mul _mm256_mul_ps
#define f_halves(p, q) ((void)(q), f_half(p))

RR_INLINE __m256i d_sixteens(const void *p, size_t step, int n)
{
    const char *next = (const char *)p + (n > 1 ? step : 0);
    return _mm256_inserti128_si256(_mm256_castsi128_si256(load128(p)), load128(next), 1);
}

RR_INLINE __m256 f_halves_in_four(const unsigned char *p, int n)
{
    const unsigned char *next = p + (n > 1 ? sizeof(struct rr_block_q4_0) : 0);
    return _mm256_cvtph_ps(_mm_unpacklo_epi64(half_at(p), half_at(next)));
}

RR_INLINE __m256 f_in_four(const float *d)
{
    return _mm256_setr_m128(_mm_set1_ps(d[0]), _mm_set1_ps(d[1]));
}

RR_INLINE void group_scales(__m256 *scales, __m256 *acc, const unsigned char *const *rows,
                            size_t at, __m256 of_x, __m256 sums)
{
#pragma GCC unroll 4
    for (int r = 0; r < 4; r++) {
        const unsigned char *w = rows[r] + at;
        int8_t scale[8], least[8];
        rr_k4_scales(scale, least, w + 4);
        const __m256 low = _mm256_mul_ps(_mm256_mul_ps(f_bytes(least), f_half(w + 2)), of_x);
        acc[r] = _mm256_fnmadd_ps(low, sums, acc[r]);
        scales[r] = _mm256_mul_ps(_mm256_mul_ps(f_bytes(scale), f_half(w)), of_x);
    }
}

RR_INLINE float f_sum(__m256 v)
{
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}
