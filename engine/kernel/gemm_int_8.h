/* What gemm_int.h wants, for vectors of eight words: AVX2 and, with another dot product, AVX-VNNI.
 * The including file says INT_PREFIX and OFFSET, has i_dot, and includes gemm_int.h behind this. */
#include "engine/kernel/int_block.h"

#define OUTS 8
#define ivec __m256i
#define fvec __m256
#define INT_TILE_M 3
#define NUMBERS 8
#define i_set1 _mm256_set1_epi32
#define i_add _mm256_add_epi32
#define i_sub _mm256_sub_epi32
#define i_and _mm256_and_si256
#define i_or _mm256_or_si256
#define i_load(p) load_bytes((const unsigned char *)(p))
#define i_shl(v, n) _mm256_sll_epi32(v, _mm_cvtsi32_si128(n))
#define i_shr(v, n) _mm256_srl_epi32(v, _mm_cvtsi32_si128(n))
#define i_sar(v, n) _mm256_sra_epi32(v, _mm_cvtsi32_si128(n))
#define i_float _mm256_cvtepi32_ps
#define f_zero _mm256_setzero_ps
#define f_set1 _mm256_set1_ps
#define f_mul _mm256_mul_ps
#define f_fma _mm256_fmadd_ps

RR_INLINE __m256i lanes_below(int n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

RR_INLINE __m256 f_load_n(const float *p, int n)
{
    return n >= OUTS ? _mm256_loadu_ps(p) : _mm256_maskload_ps(p, lanes_below(n));
}

RR_INLINE void f_store_n(float *p, __m256 v, int n)
{
    if (n >= OUTS)
        _mm256_storeu_ps(p, v);
    else
        _mm256_maskstore_ps(p, lanes_below(n), v);
}

RR_INLINE __m256 f_halves(const uint16_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}

RR_INLINE void unpack(ivec *words, const unsigned char *const *rows, int block, enum rr_type type)
{
    __m256i part[2][4];
    for (int h = 0; h < 2; h++) { /* rows 4 h .. 4 h + 3 */
        __m256i r[4];
        for (int i = 0; i < 4; i++)
            r[i] = block_numbers(rows[4 * h + i], block, type);
        const __m256i a = _mm256_unpacklo_epi32(r[0], r[1]), b = _mm256_unpackhi_epi32(r[0], r[1]),
                      c = _mm256_unpacklo_epi32(r[2], r[3]), d = _mm256_unpackhi_epi32(r[2], r[3]);
        part[h][0] = _mm256_unpacklo_epi64(a, c);
        part[h][1] = _mm256_unpackhi_epi64(a, c);
        part[h][2] = _mm256_unpacklo_epi64(b, d);
        part[h][3] = _mm256_unpackhi_epi64(b, d);
    }
    for (int g = 0; g < 4; g++) {
        words[g] = _mm256_permute2x128_si256(part[0][g], part[1][g], 0x20);
        words[g + 4] = _mm256_permute2x128_si256(part[0][g], part[1][g], 0x31);
    }
}

RR_INLINE void load_rows(ivec *numbers, const unsigned char *const *rows, int block,
                         enum rr_type type)
{
    for (int r = 0; r < OUTS; r++)
        numbers[r] = block_numbers(rows[r], block, type);
}

/* Of four vectors, what the four words in each half of each of them add up to. */
RR_INLINE __m256i fold_four(const __m256i *v)
{
    const __m256i a = _mm256_add_epi32(_mm256_unpacklo_epi32(v[0], v[1]),
                                       _mm256_unpackhi_epi32(v[0], v[1])),
                  b = _mm256_add_epi32(_mm256_unpacklo_epi32(v[2], v[3]),
                                       _mm256_unpackhi_epi32(v[2], v[3]));
    return _mm256_add_epi32(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
}

RR_INLINE void dot_rows(ivec *half, const ivec *numbers, const int8_t *q, int block,
                        enum rr_type type)
{
    (void)block;
    (void)type;
    const __m256i x = load_bytes((const unsigned char *)q);
    __m256i dots[OUTS];
    for (int r = 0; r < OUTS; r++)
        dots[r] = i_dot(_mm256_setzero_si256(), numbers[r], x);
    const __m256i a = fold_four(dots), b = fold_four(dots + 4);
    half[0] = _mm256_permute2x128_si256(a, b, 0x20);
    half[1] = _mm256_permute2x128_si256(a, b, 0x31);
}
