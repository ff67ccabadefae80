/* Stored numbers as vectors of sixteen floats, and squares of them turned: what kernel_avx512.c,
 * kernel_avx512vnni_int16.c and kernel_amx*.c share. Included inside a target region with AVX-512
 * F, BW, DQ, VL. */

RR_INLINE __mmask16 tail_mask(int n)
{
    return n >= 16 ? (__mmask16)0xFFFF : (__mmask16)((1u << n) - 1u);
}

RR_INLINE __m512 bf16_16(__m256i v)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(v), 16));
}

RR_INLINE __m512 int8_16(__m128i q, __m512 d)
{
    return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(q)), d);
}

RR_INLINE __m512 block_scale(const unsigned char *p)
{
    uint16_t d;
    memcpy(&d, p, sizeof d);
    return _mm512_broadcastss_ps(_mm_cvtph_ps(_mm_cvtsi32_si128(d)));
}

RR_INLINE __m128i load128(const unsigned char *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

RR_INLINE __m256i load256(const unsigned char *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

/* The part of 32 numbers from element k of a Q6_K row, as signed bytes; *scales points at its
 * two group scales. */
RR_INLINE __m256i q6_k_part(const unsigned char *block, int k, const int8_t **scales)
{
    const int part = k % RR_QK_K / 32, half = part / 4, j = part % 4;
    const unsigned char *ql = block + 64 * half + 32 * (j % 2),
                        *qh = block + RR_QK_K / 2 + 32 * half;
    __m256i low = _mm256_srl_epi16(_mm256_loadu_si256((const __m256i *)(const void *)ql),
                                   _mm_cvtsi32_si128(4 * (j / 2)));
    __m256i high = _mm256_srl_epi16(_mm256_loadu_si256((const __m256i *)(const void *)qh),
                                    _mm_cvtsi32_si128(2 * j));
    low = _mm256_and_si256(low, _mm256_set1_epi8(15));
    high = _mm256_slli_epi16(_mm256_and_si256(high, _mm256_set1_epi8(3)), 4);
    *scales = (const int8_t *)block + RR_QK_K / 2 + RR_QK_K / 4 + 2 * part;
    return _mm256_sub_epi8(_mm256_or_si256(low, high), _mm256_set1_epi8(32));
}

/* The six-bit scale and least value of part j of a Q4_K block. */
RR_INLINE void q4_k_group(int *scale, int *least, const unsigned char *p, int j)
{
    *scale = j < 4 ? p[j] & 63 : (p[j + 4] & 15) | (p[j - 4] >> 6) << 4;
    *least = j < 4 ? p[j + 4] & 63 : p[j + 4] >> 4 | (p[j] >> 6) << 4;
}

/* 32 stored numbers from element k (a multiple of 32) as two vectors. */
RR_INLINE void load32(__m512 v[2], const unsigned char *row, int k, enum rr_type type)
{
    const unsigned char *p;
    switch (type) {
    case RR_TYPE_F32:
        p = row + 4 * (size_t)k;
        v[0] = _mm512_loadu_ps(p);
        v[1] = _mm512_loadu_ps(p + 64);
        break;
    case RR_TYPE_F16:
        p = row + 2 * (size_t)k;
        v[0] = _mm512_cvtph_ps(load256(p));
        v[1] = _mm512_cvtph_ps(load256(p + 32));
        break;
    case RR_TYPE_BF16:
        p = row + 2 * (size_t)k;
        v[0] = bf16_16(load256(p));
        v[1] = bf16_16(load256(p + 32));
        break;
    case RR_TYPE_Q8_0: {
        p = row + (size_t)(k / RR_QK) * sizeof(struct rr_block_q8_0);
        __m512 d = block_scale(p);
        v[0] = int8_16(load128(p + 2), d);
        v[1] = int8_16(load128(p + 18), d);
        break;
    }
    case RR_TYPE_Q6_K: {
        const int8_t *scales;
        p = row + (size_t)(k / RR_QK_K) * sizeof(struct rr_block_q6_k);
        __m256i q = q6_k_part(p, k, &scales);
        __m512 d = block_scale(p + sizeof(struct rr_block_q6_k) - 2);
        v[0] =
            int8_16(_mm256_castsi256_si128(q), _mm512_mul_ps(d, _mm512_set1_ps((float)scales[0])));
        v[1] = int8_16(_mm256_extracti128_si256(q, 1),
                       _mm512_mul_ps(d, _mm512_set1_ps((float)scales[1])));
        break;
    }
    case RR_TYPE_Q4_K: {
        const int part = k % RR_QK_K / RR_QK;
        int scale, least;
        p = row + (size_t)(k / RR_QK_K) * sizeof(struct rr_block_q4_k);
        q4_k_group(&scale, &least, p + 4, part);
        const __m512 d = _mm512_mul_ps(block_scale(p), _mm512_set1_ps((float)scale)),
                     off = _mm512_mul_ps(block_scale(p + 2), _mm512_set1_ps((float)-least));
        const __m256i q = _mm256_and_si256(
            _mm256_srl_epi16(load256(p + 16 + 32 * (part / 2)), _mm_cvtsi32_si128(4 * (part % 2))),
            _mm256_set1_epi8(15));
        v[0] = _mm512_add_ps(int8_16(_mm256_castsi256_si128(q), d), off);
        v[1] = _mm512_add_ps(int8_16(_mm256_extracti128_si256(q, 1), d), off);
        break;
    }
    default: {
        p = row + (size_t)(k / RR_QK) * sizeof(struct rr_block_q4_0);
        __m512 d = block_scale(p);
        __m128i q = load128(p + 2), nibble = _mm_set1_epi8(15), eight = _mm_set1_epi8(8);
        v[0] = int8_16(_mm_sub_epi8(_mm_and_si128(q, nibble), eight), d);
        v[1] = int8_16(_mm_sub_epi8(_mm_and_si128(_mm_srli_epi16(q, 4), nibble), eight), d);
        break;
    }
    }
}

/* Up to 16 numbers from element k, zeros behind them; F32, F16 and BF16 only (quantised rows
 * have no tail). */
RR_INLINE __m512 load_tail(const unsigned char *row, int k, __mmask16 mask, enum rr_type type)
{
    if (type == RR_TYPE_F32)
        return _mm512_maskz_loadu_ps(mask, row + 4 * (size_t)k);
    __m256i v = _mm256_maskz_loadu_epi16(mask, row + 2 * (size_t)k);
    return type == RR_TYPE_F16 ? _mm512_cvtph_ps(v) : bf16_16(v);
}

/* The first and the second 16-bit number of every word. */
RR_INLINE __m512 low_half(__m512 v, enum rr_type type)
{
    const __m512i words = _mm512_castps_si512(v);
    return type == RR_TYPE_BF16 ? _mm512_castsi512_ps(_mm512_slli_epi32(words, 16))
                                : _mm512_cvtph_ps(_mm512_cvtepi32_epi16(words));
}

RR_INLINE __m512 high_half(__m512 v, enum rr_type type)
{
    const __m512i words = _mm512_castps_si512(v);
    return type == RR_TYPE_BF16
               ? _mm512_castsi512_ps(_mm512_andnot_si512(_mm512_set1_epi32(0xFFFF), words))
               : _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(words, 16)));
}

RR_INLINE void transpose(__m512 *t)
{
    __m512 b[16];
    for (int i = 0; i < 16; i += 4) {
        const __m512 lo01 = _mm512_unpacklo_ps(t[i], t[i + 1]),
                     hi01 = _mm512_unpackhi_ps(t[i], t[i + 1]),
                     lo23 = _mm512_unpacklo_ps(t[i + 2], t[i + 3]),
                     hi23 = _mm512_unpackhi_ps(t[i + 2], t[i + 3]);
        const __m512d a = _mm512_castps_pd(lo01), c = _mm512_castps_pd(lo23),
                      d = _mm512_castps_pd(hi01), e = _mm512_castps_pd(hi23);
        b[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
        b[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
        b[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(d, e));
        b[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(d, e));
    }
    /* b[i + j] has columns j, 4 + j, 8 + j and 12 + j of rows i .. i + 3. */
    for (int j = 0; j < 4; j++) {
        const __m512 even0 = _mm512_shuffle_f32x4(b[j], b[4 + j], 0x88),
                     odd0 = _mm512_shuffle_f32x4(b[j], b[4 + j], 0xDD),
                     even8 = _mm512_shuffle_f32x4(b[8 + j], b[12 + j], 0x88),
                     odd8 = _mm512_shuffle_f32x4(b[8 + j], b[12 + j], 0xDD);
        t[j] = _mm512_shuffle_f32x4(even0, even8, 0x88);
        t[4 + j] = _mm512_shuffle_f32x4(odd0, odd8, 0x88);
        t[8 + j] = _mm512_shuffle_f32x4(even0, even8, 0xDD);
        t[12 + j] = _mm512_shuffle_f32x4(odd0, odd8, 0xDD);
    }
}
