/* A block of a quantised row as 32 bytes, for the files that multiply in integers. Included, inside
 * a target region with AVX2, behind OFFSET: 1 for unsigned bytes, 0 for signed ones. */

RR_INLINE __m256i load_bytes(const unsigned char *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

RR_INLINE __m256i q8_0_numbers(const unsigned char *row, int b)
{
    const __m256i v = load_bytes(row + (size_t)b * sizeof(struct rr_block_q8_0) + 2);
    return OFFSET ? _mm256_xor_si256(v, _mm256_set1_epi8((char)0x80)) : v;
}

/* Sixteen bytes' low nibbles, then their high ones. */
RR_INLINE __m256i nibbles(const unsigned char *p)
{
    const __m128i q = _mm_loadu_si128((const __m128i *)(const void *)p);
    const __m256i both =
        _mm256_inserti128_si256(_mm256_castsi128_si256(q), _mm_srli_epi16(q, 4), 1);
    return _mm256_and_si256(both, _mm256_set1_epi8(15));
}

RR_INLINE __m256i q4_0_numbers(const unsigned char *row, int b)
{
    return _mm256_sub_epi8(nibbles(row + (size_t)b * sizeof(struct rr_block_q4_0) + 2),
                           _mm256_set1_epi8(OFFSET ? 0 : 8));
}

RR_INLINE __m256i q6_k_numbers(const unsigned char *row, int b)
{
    const int part = b % 8, half = part / 4, j = part % 4;
    const unsigned char *p = row + (size_t)(b / 8) * sizeof(struct rr_block_q6_k);
    __m256i low =
        _mm256_srl_epi16(load_bytes(p + 64 * half + 32 * (j % 2)), _mm_cvtsi32_si128(4 * (j / 2)));
    __m256i high =
        _mm256_srl_epi16(load_bytes(p + RR_QK_K / 2 + 32 * half), _mm_cvtsi32_si128(2 * j));
    low = _mm256_and_si256(low, _mm256_set1_epi8(15));
    high = _mm256_slli_epi16(_mm256_and_si256(high, _mm256_set1_epi8(3)), 4);
    return _mm256_sub_epi8(_mm256_or_si256(low, high), _mm256_set1_epi8(OFFSET ? 0 : 32));
}

/* Unsigned already, and so they stay: a least value is added to them, not an offset. */
RR_INLINE __m256i q4_k_numbers(const unsigned char *row, int b)
{
    const int j = b % 8;
    const unsigned char *p = row + (size_t)(b / 8) * sizeof(struct rr_block_q4_k) + 16;
    return _mm256_and_si256(
        _mm256_srl_epi16(load_bytes(p + 32 * (j / 2)), _mm_cvtsi32_si128(4 * (j % 2))),
        _mm256_set1_epi8(15));
}

RR_INLINE __m256i q5_k_numbers(const unsigned char *row, int b)
{
    const int j = b % 8;
    const unsigned char *p = row + (size_t)(b / 8) * sizeof(struct rr_block_q5_k);
    const __m256i low = _mm256_srl_epi16(load_bytes(p + 16 + RR_QK_K / 8 + 32 * (j / 2)),
                                         _mm_cvtsi32_si128(4 * (j % 2))),
                  high = _mm256_srl_epi16(load_bytes(p + 16), _mm_cvtsi32_si128(j));
    return _mm256_or_si256(_mm256_and_si256(low, _mm256_set1_epi8(15)),
                           _mm256_slli_epi16(_mm256_and_si256(high, _mm256_set1_epi8(1)), 4));
}

/* 16 where a bit of the 32 at p is set. */
RR_INLINE __m256i fifth_bits(const unsigned char *p)
{
    uint32_t bits;
    memcpy(&bits, p, sizeof bits);
    const __m256i which = _mm256_set_epi64x(0x0303030303030303, 0x0202020202020202,
                                            0x0101010101010101, 0),
                  bit = _mm256_set1_epi64x((long long)0x8040201008040201u),
                  own = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32((int)bits), which),
                                         bit);
    return _mm256_and_si256(_mm256_cmpeq_epi8(own, bit), _mm256_set1_epi8(16));
}

RR_INLINE __m256i iq4_nl_numbers(const unsigned char *row, int b)
{
    const __m256i values = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113));
    const __m256i v =
        _mm256_shuffle_epi8(values, nibbles(row + (size_t)b * sizeof(struct rr_block_iq4_nl) + 2));
    return OFFSET ? _mm256_xor_si256(v, _mm256_set1_epi8((char)0x80)) : v;
}

RR_INLINE __m256i block_numbers(const unsigned char *row, int b, enum rr_type type)
{
    const unsigned char *p;
    switch (type) {
    case RR_TYPE_Q8_0:
        return q8_0_numbers(row, b);
    case RR_TYPE_Q4_0:
        return q4_0_numbers(row, b);
    case RR_TYPE_Q6_K:
        return q6_k_numbers(row, b);
    case RR_TYPE_Q5_K:
        return q5_k_numbers(row, b);
    case RR_TYPE_Q4_1:
        return nibbles(row + (size_t)b * sizeof(struct rr_block_q4_1) + 4);
    case RR_TYPE_Q5_0:
        p = row + (size_t)b * sizeof(struct rr_block_q5_0) + 2;
        return _mm256_sub_epi8(_mm256_or_si256(nibbles(p + 4), fifth_bits(p)),
                               _mm256_set1_epi8(OFFSET ? 0 : 16));
    case RR_TYPE_Q5_1:
        p = row + (size_t)b * sizeof(struct rr_block_q5_1) + 4;
        return _mm256_or_si256(nibbles(p + 4), fifth_bits(p));
    case RR_TYPE_IQ4_NL:
        return iq4_nl_numbers(row, b);
    default:
        return q4_k_numbers(row, b);
    }
}
