/* Squares of eight words turned, and words of two 16-bit numbers: what kernel_avx2.c and
 * gemm_int16_8.h share. Included inside a target region with AVX2 and F16C. */

RR_INLINE void transpose(__m256 *t)
{
    __m256 b[8];
    for (int i = 0; i < 8; i += 4) {
        const __m256 lo01 = _mm256_unpacklo_ps(t[i], t[i + 1]),
                     hi01 = _mm256_unpackhi_ps(t[i], t[i + 1]),
                     lo23 = _mm256_unpacklo_ps(t[i + 2], t[i + 3]),
                     hi23 = _mm256_unpackhi_ps(t[i + 2], t[i + 3]);
        b[i] = _mm256_shuffle_ps(lo01, lo23, _MM_SHUFFLE(1, 0, 1, 0));
        b[i + 1] = _mm256_shuffle_ps(lo01, lo23, _MM_SHUFFLE(3, 2, 3, 2));
        b[i + 2] = _mm256_shuffle_ps(hi01, hi23, _MM_SHUFFLE(1, 0, 1, 0));
        b[i + 3] = _mm256_shuffle_ps(hi01, hi23, _MM_SHUFFLE(3, 2, 3, 2));
    }
    for (int j = 0; j < 4; j++) {
        t[j] = _mm256_permute2f128_ps(b[j], b[4 + j], 0x20);
        t[4 + j] = _mm256_permute2f128_ps(b[j], b[4 + j], 0x31);
    }
}

RR_INLINE __m256 half_words(__m256i words, enum rr_type type)
{
    if (type == RR_TYPE_BF16)
        return _mm256_castsi256_ps(_mm256_slli_epi32(words, 16));
    /* Of words below 2^16, packed and then brought together. */
    const __m256i packed = _mm256_packus_epi32(words, words);
    return _mm256_cvtph_ps(_mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08)));
}

RR_INLINE __m256 low_half(__m256 v, enum rr_type type)
{
    const __m256i words = _mm256_castps_si256(v);
    return half_words(
        type == RR_TYPE_BF16 ? words : _mm256_and_si256(words, _mm256_set1_epi32(0xFFFF)), type);
}

RR_INLINE __m256 high_half(__m256 v, enum rr_type type)
{
    const __m256i words = _mm256_castps_si256(v);
    if (type == RR_TYPE_BF16)
        return _mm256_castsi256_ps(_mm256_andnot_si256(_mm256_set1_epi32(0xFFFF), words));
    return half_words(_mm256_srli_epi32(words, 16), type);
}
