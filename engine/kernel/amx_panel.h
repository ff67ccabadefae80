/* Rows of W as bfloat16, for kernel_amx.c: what every stored type becomes, rounded to nearest even
 * from its float32. Included inside its target region,
 * behind load_avx512.h and amx_tile.h. */

#define DEPTH RR_TILE_DEPTH /* of K in a tile */
#define CHUNK 512           /* of K in a panel */

RR_INLINE void put32(unsigned char *out, __m512 low, __m512 high)
{
    _mm512_storeu_si512(out, bfloats(low, high));
}

/* The 16-bit scale that a block begins with. */
RR_INLINE __m512 scale_at(const unsigned char *p)
{
    uint16_t half;
    memcpy(&half, p, sizeof half);
    return _mm512_cvtph_ps(_mm256_set1_epi16((short)half));
}

/* ---- one block, or DEPTH numbers, of a row: tiles are `step` bytes apart ---- */

RR_INLINE void q8_0_unit(unsigned char *out, const unsigned char *p)
{
    const __m512 d = scale_at(p);
    put32(out, int8_16(load128(p + 2), d), int8_16(load128(p + 18), d));
}

/* The numbers of four bits: a block's sixteen values, and in every word of `at` the number of one
 * of them (higher bits do not count). */
RR_INLINE __m256i look_up16(__m512 values, __m256i at)
{
    return _mm256_permutexvar_epi16(at, (__m256i)_mm512_cvtneps_pbh(values));
}

RR_INLINE __m512i look_up32(__m512 values, __m512i at)
{
    const __m512i once = _mm512_castsi256_si512((__m256i)_mm512_cvtneps_pbh(values));
    return _mm512_permutexvar_epi16(at, _mm512_inserti64x4(once, _mm512_castsi512_si256(once), 1));
}

RR_INLINE __m512 sixteen(int first)
{
    return _mm512_cvtepi32_ps(
        _mm512_add_epi32(_mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
                         _mm512_set1_epi32(first)));
}

/* Eight small numbers, times what a block has for all of them. */
RR_INLINE void scale_eight(float *out, const unsigned char *of_all, const int8_t *numbers)
{
    const __m256i eight = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *)numbers));
    _mm256_storeu_ps(
        out, _mm256_mul_ps(_mm512_castps512_ps256(block_scale(of_all)), _mm256_cvtepi32_ps(eight)));
}

/* Of the eight groups of a Q4_K or Q5_K block. */
RR_INLINE void k4_scales(float *scale, float *least, const unsigned char *p)
{
    int8_t packed[2][8];
    rr_k4_scales(packed[0], packed[1], p + 4);
    scale_eight(scale, p, packed[0]);
    scale_eight(least, p + 2, packed[1]);
}

RR_INLINE void q4_k_unit(unsigned char *out, size_t step, const unsigned char *p)
{
    float scale[8], least[8];
    k4_scales(scale, least, p);
    for (int j = 0; j < 8; j += 2, out += 2 * step) {
        const __m512i q = _mm512_cvtepu8_epi16(load256(p + 16 + 16 * j));
        for (int h = 0; h < 2; h++) {
            const __m512 values =
                _mm512_sub_ps(_mm512_mul_ps(sixteen(0), _mm512_set1_ps(scale[j + h])),
                              _mm512_set1_ps(least[j + h]));
            _mm512_storeu_si512(out + (size_t)h * step,
                                look_up32(values, h ? _mm512_srli_epi16(q, 4) : q));
        }
    }
}

/* A table of 32 values, as five bits choose. */
RR_INLINE __m512i look_up_five(__m512 low, __m512 high, __m512i at)
{
    return _mm512_permutexvar_epi16(at, bfloats(low, high));
}

RR_INLINE void q5_k_unit(unsigned char *out, size_t step, const unsigned char *p)
{
    float scale[8], least[8];
    k4_scales(scale, least, p);
    const __m512i fifth = _mm512_slli_epi16(_mm512_cvtepu8_epi16(load256(p + 16)), 4);
    for (int j = 0; j < 8; j++, out += step) {
        const __m512i q = _mm512_cvtepu8_epi16(load256(p + 16 + RR_QK_K / 8 + 32 * (j / 2))),
                      four = _mm512_and_si512(j % 2 ? _mm512_srli_epi16(q, 4) : q,
                                              _mm512_set1_epi16(15)),
                      one = _mm512_and_si512(_mm512_srl_epi16(fifth, _mm_cvtsi32_si128(j)),
                                             _mm512_set1_epi16(16));
        const __m512 d = _mm512_set1_ps(scale[j]), m = _mm512_set1_ps(least[j]);
        _mm512_storeu_si512(out, look_up_five(_mm512_sub_ps(_mm512_mul_ps(sixteen(0), d), m),
                                              _mm512_sub_ps(_mm512_mul_ps(sixteen(16), d), m),
                                              _mm512_or_si512(four, one)));
    }
}

/* Blocks of nibbles with a fifth bit or without, and a least value or without. */
RR_INLINE void nibble_unit(unsigned char *out, const unsigned char *p, enum rr_type type)
{
    const bool least = type == RR_TYPE_Q4_1 || type == RR_TYPE_Q5_1,
               five = type == RR_TYPE_Q5_0 || type == RR_TYPE_Q5_1;
    const __m512 d = scale_at(p), m = least ? scale_at(p + 2) : _mm512_setzero_ps();
    const int first = type == RR_TYPE_Q4_0 ? -8 : type == RR_TYPE_Q5_0 ? -16 : 0;
    __m512 low = _mm512_mul_ps(type == RR_TYPE_IQ4_NL
                                   ? _mm512_setr_ps(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13,
                                                    25, 38, 53, 69, 89, 113)
                                   : sixteen(first),
                               d),
           high = _mm512_mul_ps(sixteen(first + 16), d);
    p += least ? 4 : 2;
    if (least) {
        low = _mm512_add_ps(low, m);
        high = _mm512_add_ps(high, m);
    }
    const __m256i q = _mm256_cvtepu8_epi16(load128(p + (five ? 4 : 0)));
    if (!five) {
        _mm256_storeu_si256((__m256i *)(void *)out, look_up16(low, q));
        _mm256_storeu_si256((__m256i *)(void *)(out + 32), look_up16(low, _mm256_srli_epi16(q, 4)));
        return;
    }
    uint32_t bits;
    memcpy(&bits, p, sizeof bits);
    const __m512i four =
        _mm512_and_si512(_mm512_inserti64x4(_mm512_castsi256_si512(q), _mm256_srli_epi16(q, 4), 1),
                         _mm512_set1_epi16(15));
    _mm512_storeu_si512(
        out,
        look_up_five(low, high, _mm512_mask_add_epi16(four, bits, four, _mm512_set1_epi16(16))));
}

RR_INLINE void q6_k_unit(unsigned char *out, size_t step, const unsigned char *p)
{
    for (int k = 0; k < RR_QK_K; k += DEPTH, out += step) {
        __m512 v[2];
        load32(v, p, k, RR_TYPE_Q6_K);
        put32(out, v[0], v[1]);
    }
}

/* The first n numbers, and zeros: bfloat16 as it is; of F16 `rest` bytes behind what is left of
 * it. */
RR_INLINE void half_unit(unsigned char *out, size_t rest, const unsigned char *p, int n,
                         enum rr_type type)
{
    const __mmask32 mask = n < DEPTH ? (1u << n) - 1u : 0xFFFFFFFFu;
    const __m512i v = _mm512_maskz_loadu_epi16(mask, p);
    if (type == RR_TYPE_BF16) {
        _mm512_storeu_si512(out, v);
        return;
    }
    const __m512 low = _mm512_cvtph_ps(_mm512_castsi512_si256(v)),
                 high = _mm512_cvtph_ps(_mm512_extracti64x4_epi64(v, 1));
    const __m512i large = bfloats(low, high);
    _mm512_storeu_si512(out, large);
    _mm512_storeu_si512(out + rest, rests(low, high, large));
}

/* Of the other types, by way of float32. */
RR_INLINE void any_unit(unsigned char *out, size_t step, const unsigned char *p, int n,
                        const struct rr_gemm *g)
{
    float part[RR_QK_K];
    g->table->row_f32[g->type](part, p, n);
    for (int i = 0; i < n; i += DEPTH, out += step)
        put32(out, _mm512_loadu_ps(part + i), _mm512_loadu_ps(part + i + 16));
}

/* ---- a panel ---- */

#define TILE (RR_TILE_ROWS * 16) /* words */
#define BOTH (2 * RR_TILE_ROWS)  /* rows of W in a panel, and of x used at once */

/* Columns k0 .. k0 + n - 1 of rows j .. of W, becoming panel[DEPTH of them][BOTH][DEPTH], the small
 * parts of F16 behind each: row by row, in units, so that it can be done in passing. */
struct fill {
    const struct rr_gemm *g;
    uint32_t *panel;
    int j, k0, n, unit; /* columns of a unit */
    size_t unit_bytes;
    /* From here on: where it is. */
    int row, column;
    const unsigned char *from;
    unsigned char *to;
    ptrdiff_t ahead; /* from what is read to what the panel after this one is made of */
};

RR_INLINE int unit_of(enum rr_type type)
{
    const int block = rr_type_info(type)->block;
    return block < DEPTH ? DEPTH : block;
}

static void fill_row(struct fill *f, int row)
{
    f->row = row;
    f->column = 0;
    f->from = rr_gemm_row(f->g, f->j + row) + rr_row_bytes(f->g->type, (size_t)f->k0);
    f->to = (unsigned char *)(f->panel + row * (DEPTH / 2));
}

/* The next `units`, as far as there are any. */
RR_INLINE void fill_units(struct fill *f, int units, enum rr_type type)
{
    const size_t tiles = 2 * TILE * sizeof *f->panel,
                 step = type == RR_TYPE_F16 ? 2 * tiles : tiles;
    for (; units > 0 && f->row < BOTH; units--) {
        const unsigned char *p = f->from;
        _mm_prefetch((const char *)p + f->ahead, _MM_HINT_T1);
        if (type == RR_TYPE_Q8_0)
            q8_0_unit(f->to, p);
        else if (type == RR_TYPE_Q4_0 || type == RR_TYPE_Q4_1 || type == RR_TYPE_Q5_0 ||
                 type == RR_TYPE_Q5_1 || type == RR_TYPE_IQ4_NL)
            nibble_unit(f->to, p, type);
        else if (type == RR_TYPE_Q5_K)
            q5_k_unit(f->to, step, p);
        else if (type == RR_TYPE_Q4_K)
            q4_k_unit(f->to, step, p);
        else if (type == RR_TYPE_Q6_K)
            q6_k_unit(f->to, step, p);
        else if (type == RR_TYPE_F16 || type == RR_TYPE_BF16)
            half_unit(f->to, tiles, p, f->n - f->column, type);
        else
            any_unit(f->to, step, p, f->unit, f->g);
        f->column += f->unit;
        f->from += f->unit_bytes;
        f->to += (size_t)f->unit / DEPTH * step;
        if (f->column >= f->n)
            fill_row(f, f->row + 1);
    }
}
