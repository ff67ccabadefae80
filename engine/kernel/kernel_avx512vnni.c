/* AVX-512 VNNI: gemm_int.h's products with sixteen outputs and the dot product of bytes. */
#include "engine/kernel/kernel.h"

#if RR_X86
#include <immintrin.h>
#include <string.h>

RR_TARGET_BEGIN("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")

#define OUTS 16
#define ivec __m512i
#define fvec __m512
#define INT_PREFIX(name) gemm_##name
#define OFFSET 1
#define INT_TILE_M 4
#define NUMBERS 8
#define i_set1 _mm512_set1_epi32
#define i_dot _mm512_dpbusd_epi32
#define i_add _mm512_add_epi32
#define i_sub _mm512_sub_epi32
#define i_and _mm512_and_si512
#define i_or _mm512_or_si512
#define i_load(p) _mm512_loadu_si512(p)
#define i_shl(v, n) _mm512_sll_epi32(v, _mm_cvtsi32_si128(n))
#define i_shr(v, n) _mm512_srl_epi32(v, _mm_cvtsi32_si128(n))
#define i_sar(v, n) _mm512_sra_epi32(v, _mm_cvtsi32_si128(n))
#define i_float _mm512_cvtepi32_ps
#define f_zero _mm512_setzero_ps
#define f_set1 _mm512_set1_ps
#define f_mul _mm512_mul_ps
#define f_fma _mm512_fmadd_ps

#include "engine/kernel/int_block.h"

RR_INLINE __mmask16 outputs(int n)
{
    return n >= OUTS ? (__mmask16)0xFFFF : (__mmask16)((1u << n) - 1u);
}

RR_INLINE __m512 f_load_n(const float *p, int n)
{
    return _mm512_maskz_loadu_ps(outputs(n), p);
}

RR_INLINE void f_store_n(float *p, __m512 v, int n)
{
    _mm512_mask_storeu_ps(p, outputs(n), v);
}

RR_INLINE __m512 f_halves(const uint16_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}

/* Bytes of row a in the low half and of row b in the high one, each moved down by so many bits. */
RR_INLINE __m512i two_shifted(const unsigned char *a, const unsigned char *b, size_t at, int shift)
{
    const __m512i both =
        _mm512_inserti64x4(_mm512_castsi256_si512(load_bytes(a + at)), load_bytes(b + at), 1);
    return _mm512_srl_epi16(both, _mm_cvtsi32_si128(shift));
}

/* A block of row a in the low half and of row b in the high one: as int_block.h has it, at once. */
RR_INLINE __m512i two_rows(const unsigned char *a, const unsigned char *b, int block,
                           enum rr_type type)
{
    const int part = block % 8, j = part % 4;
    const size_t super = (size_t)(block / 8);
    if (type == RR_TYPE_Q4_K)
        return _mm512_and_si512(
            two_shifted(a, b, super * sizeof(struct rr_block_q4_k) + 16 + 32 * (size_t)(part / 2),
                        4 * (part % 2)),
            _mm512_set1_epi8(15));
    if (type == RR_TYPE_Q5_K) {
        const size_t at = super * sizeof(struct rr_block_q5_k) + 16;
        const __m512i low = two_shifted(a, b, at + RR_QK_K / 8 + 32 * (size_t)(part / 2),
                                        4 * (part % 2)),
                      high = two_shifted(a, b, at, part);
        return _mm512_or_si512(_mm512_and_si512(low, _mm512_set1_epi8(15)),
                               _mm512_slli_epi16(_mm512_and_si512(high, _mm512_set1_epi8(1)), 4));
    }
    if (type == RR_TYPE_Q6_K) {
        const size_t at = super * sizeof(struct rr_block_q6_k), half = (size_t)(part / 4);
        const __m512i low = two_shifted(a, b, at + 64 * half + 32 * (size_t)(j % 2), 4 * (j / 2)),
                      high = two_shifted(a, b, at + RR_QK_K / 2 + 32 * half, 2 * j);
        return _mm512_or_si512(_mm512_and_si512(low, _mm512_set1_epi8(15)),
                               _mm512_slli_epi16(_mm512_and_si512(high, _mm512_set1_epi8(3)), 4));
    }
    if (type != RR_TYPE_Q4_0)
        return _mm512_inserti64x4(_mm512_castsi256_si512(block_numbers(a, block, type)),
                                  block_numbers(b, block, type), 1);
    const size_t at = (size_t)block * sizeof(struct rr_block_q4_0) + 2;
    const __m512i shift = _mm512_set_epi64(4, 4, 0, 0, 4, 4, 0, 0);
    const __m512i v = _mm512_inserti64x4(
        _mm512_castsi256_si512(
            _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)(a + at)))),
        _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)(b + at))), 1);
    return _mm512_and_si512(_mm512_srlv_epi64(v, shift), _mm512_set1_epi8(15));
}

/* words[g], lane r = bytes 4 g .. 4 g + 3 of a block of rows[r]. */
RR_INLINE void unpack(ivec *words, const unsigned char *const *rows, int block, enum rr_type type)
{
    const __m512i low = _mm512_set_epi64(13, 12, 5, 4, 9, 8, 1, 0),
                  high = _mm512_set_epi64(15, 14, 7, 6, 11, 10, 3, 2);
    __m512i part[2][4];
    for (int h = 0; h < 2; h++) { /* rows 4 h .. 4 h + 3 with those eight behind */
        __m512i r[4];
        for (int i = 0; i < 4; i++)
            r[i] = two_rows(rows[4 * h + i], rows[4 * h + i + 8], block, type);
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

/* ---- rows of x that are few ---- */

/* Types of nibbles behind their scales: they are multiplied as they lie, four rows a vector. */
RR_INLINE bool is_packed(enum rr_type type)
{
    return type == RR_TYPE_Q4_0 || type == RR_TYPE_Q4_1;
}

RR_INLINE __m128i nibbles_of(const unsigned char *row, int block, enum rr_type type)
{
    const size_t at = type == RR_TYPE_Q4_0 ? (size_t)block * sizeof(struct rr_block_q4_0) + 2
                                           : (size_t)block * sizeof(struct rr_block_q4_1) + 4;
    return _mm_loadu_si128((const __m128i *)(const void *)(row + at));
}

/* numbers[i], quarter k: of row 4 k + i, so that fold_four puts rows in order. */
RR_INLINE void load_packed(ivec *numbers, const unsigned char *const *rows, int block,
                           enum rr_type type)
{
    for (int i = 0; i < 4; i++) {
        __m512i v = _mm512_castsi128_si512(nibbles_of(rows[i], block, type));
        v = _mm512_inserti32x4(v, nibbles_of(rows[4 + i], block, type), 1);
        v = _mm512_inserti32x4(v, nibbles_of(rows[8 + i], block, type), 2);
        numbers[i] = _mm512_inserti32x4(v, nibbles_of(rows[12 + i], block, type), 3);
    }
}

/* A block of Q4_K has the low nibbles, the next one the high ones of the same 32 bytes: numbers[2
 * i] the first sixteen, numbers[2 i + 1] the others of rows as in load_packed. */
RR_INLINE void load_two(ivec *numbers, const unsigned char *const *rows, int block)
{
    const size_t at =
        (size_t)(block / 8) * sizeof(struct rr_block_q4_k) + 16 + 32 * (size_t)(block % 8 / 2);
    for (int i = 0; i < 4; i++) {
        const __m512i a = two_shifted(rows[i], rows[4 + i], at, 0),
                      b = two_shifted(rows[8 + i], rows[12 + i], at, 0);
        numbers[2 * i] = _mm512_shuffle_i64x2(a, b, 0x88);
        numbers[2 * i + 1] = _mm512_shuffle_i64x2(a, b, 0xDD);
    }
}

/* Scales of blocks of 18 bytes are words 0, 9, 18 and 27 of four of them. */
#define FOUR_SCALES(type) ((type) == RR_TYPE_Q4_0 || (type) == RR_TYPE_IQ4_NL)

/* Words n k .. n k + n - 1 of one vector, then of another: those of block k. */
#define WORDS_1(k) 9 * (k), 32 + 9 * (k)
#define WORDS_2(k) 2 * (k), 2 * (k) + 1, 32 + 2 * (k), 33 + 2 * (k)
#define RUN_4(k) (k), (k) + 1, (k) + 2, (k) + 3
#define WORDS_4(k) RUN_4(4 * (k)), RUN_4(32 + 4 * (k))
#define WORDS_8(k) RUN_4(8 * (k)), RUN_4(8 * (k) + 4), RUN_4(32 + 8 * (k)), RUN_4(36 + 8 * (k))

RR_INLINE void four_scales(fvec *scales, const unsigned char *const *rows, int b, enum rr_type type)
{
    static const uint16_t one[32] = {WORDS_1(0), WORDS_1(1), WORDS_1(2), WORDS_1(3)},
                          two[32] = {WORDS_2(0), WORDS_2(1), WORDS_2(2), WORDS_2(3)},
                          four[32] = {WORDS_4(0), WORDS_4(1), WORDS_4(2), WORDS_4(3)},
                          eight[2][32] = {{WORDS_8(0), WORDS_8(1)}, {WORDS_8(2), WORDS_8(3)}};
    const __m512i pairs = _mm512_loadu_si512(one), fours = _mm512_loadu_si512(two),
                  eights = _mm512_loadu_si512(four), first = _mm512_loadu_si512(eight[0]),
                  second = _mm512_loadu_si512(eight[1]);
    const size_t at = (size_t)b * sizeof(struct rr_block_q4_0); /* IQ4_NL's are as long */
    __m512i v[8];
    (void)type;
    for (int i = 0; i < 8; i++)
        v[i] = _mm512_permutex2var_epi16(_mm512_loadu_si512(rows[2 * i] + at), pairs,
                                         _mm512_loadu_si512(rows[2 * i + 1] + at));
    for (int i = 0; i < 4; i++)
        v[i] = _mm512_permutex2var_epi16(v[2 * i], fours, v[2 * i + 1]);
    for (int i = 0; i < 2; i++)
        v[i] = _mm512_permutex2var_epi16(v[2 * i], eights, v[2 * i + 1]);
    const __m512i low = _mm512_permutex2var_epi16(v[0], first, v[1]),
                  high = _mm512_permutex2var_epi16(v[0], second, v[1]);
    scales[0] = _mm512_cvtph_ps(_mm512_castsi512_si256(low));
    scales[1] = _mm512_cvtph_ps(_mm512_extracti64x4_epi64(low, 1));
    scales[2] = _mm512_cvtph_ps(_mm512_castsi512_si256(high));
    scales[3] = _mm512_cvtph_ps(_mm512_extracti64x4_epi64(high, 1));
}

RR_INLINE void load_rows(ivec *numbers, const unsigned char *const *rows, int block,
                         enum rr_type type)
{
    if (is_packed(type))
        load_packed(numbers, rows, block, type);
    else if (type == RR_TYPE_Q4_K && block % 2 == 0)
        load_two(numbers, rows, block);
    if (is_packed(type) || type == RR_TYPE_Q4_K)
        return;
    for (int r = 0; r < NUMBERS; r++)
        numbers[r] = two_rows(rows[r], rows[r + 8], block, type);
}

/* Of four vectors, what the four words in each quarter of each of them add up to. */
RR_INLINE __m512i fold_four(const __m512i *v)
{
    const __m512i a = _mm512_add_epi32(_mm512_unpacklo_epi32(v[0], v[1]),
                                       _mm512_unpackhi_epi32(v[0], v[1])),
                  b = _mm512_add_epi32(_mm512_unpacklo_epi32(v[2], v[3]),
                                       _mm512_unpackhi_epi32(v[2], v[3]));
    return _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
}

/* Sums of rows' products of sixteen bytes with x0 and sixteen with x1, whole at once. */
RR_INLINE __m512i dot_nibbles(const ivec *first, const ivec *second, const int8_t *q)
{
    const __m512i x0 = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)q)),
                  x1 = _mm512_broadcast_i32x4(
                      _mm_loadu_si128((const __m128i *)(const void *)(q + RR_QK / 2)));
    __m512i dots[4];
    for (int i = 0; i < 4; i++)
        dots[i] = _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(_mm512_setzero_si512(), first[i], x0),
                                      second[i], x1);
    return fold_four(dots);
}

RR_INLINE void dot_rows(ivec *half, const ivec *numbers, const int8_t *q, int block,
                        enum rr_type type)
{
    if (is_packed(type) || type == RR_TYPE_Q4_K) {
        const __m512i low = _mm512_set1_epi8(15);
        __m512i first[4], second[4];
        for (int i = 0; i < 4; i++)
            if (type == RR_TYPE_Q4_K) {
                const __m512i shift = _mm512_set1_epi16((short)(4 * (block % 2)));
                first[i] = _mm512_and_si512(_mm512_srlv_epi16(numbers[2 * i], shift), low);
                second[i] = _mm512_and_si512(_mm512_srlv_epi16(numbers[2 * i + 1], shift), low);
            } else {
                first[i] = _mm512_and_si512(numbers[i], low);
                second[i] = _mm512_and_si512(_mm512_srli_epi16(numbers[i], 4), low);
            }
        half[0] = dot_nibbles(first, second, q);
        half[1] = _mm512_setzero_si512();
        return;
    }
    const __m512i x = _mm512_broadcast_i64x4(load_bytes((const unsigned char *)q));
    const __m512i first = _mm512_set_epi64(13, 12, 5, 4, 9, 8, 1, 0),
                  second = _mm512_set_epi64(15, 14, 7, 6, 11, 10, 3, 2);
    __m512i dots[NUMBERS];
    for (int r = 0; r < NUMBERS; r++)
        dots[r] = _mm512_dpbusd_epi32(_mm512_setzero_si512(), numbers[r], x);
    /* Quarters: first and second half of rows 0 .. 3, of rows 8 .. 11; b: of those behind. */
    const __m512i a = fold_four(dots), b = fold_four(dots + 4);
    half[0] = _mm512_permutex2var_epi64(a, first, b);
    half[1] = _mm512_permutex2var_epi64(a, second, b);
}

#include "engine/kernel/gemm_int.h"

/* Rows of bytes, used where they were unpacked, are read faster eight at a time. */
static void gemm_q8_0_of_any(const struct rr_gemm *g, void *scratch)
{
    if (g->m <= MAX_DIRECT_M)
        rr_gemm_q8_0_by_eights(g, scratch);
    else
        gemm_q8_0(g, scratch);
}

void rr_kernels_init_avx512vnni(struct rr_kernels *k)
{
    gemm_init(k);
    k->gemm[RR_TYPE_Q8_0] = gemm_q8_0_of_any;
    rr_kernels_init_avx512vnni_int16(k);
    rr_kernels_init_avx512vnni_dot(k);
}

RR_TARGET_END
#endif
