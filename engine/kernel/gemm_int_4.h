/* What gemm_int.h wants, for vectors of four words: aarch64. The including file says INT_PREFIX,
 * has i_dot, and includes gemm_int.h behind this; with PAIRS the words of two rows lie side by
 * side, as smmla takes them, and the file has tile_dots too. */
#define OUTS 4
#define OFFSET 0
#define NUMBERS 8
#define ivec int32x4_t
#define fvec float32x4_t
#define INT_TILE_M 4
#define i_set1 vdupq_n_s32
#define i_add vaddq_s32
#define i_sub vsubq_s32
#define i_and vandq_s32
#define i_or vorrq_s32
#define i_load(p) vreinterpretq_s32_u32(vld1q_u32(p))
#define i_shl(v, n) vshlq_s32(v, vdupq_n_s32(n))
#define i_shr(v, n) vreinterpretq_s32_u32(vshlq_u32(vreinterpretq_u32_s32(v), vdupq_n_s32(-(n))))
#define i_sar(v, n) vshlq_s32(v, vdupq_n_s32(-(n)))
#define i_float vcvtq_f32_s32
#define f_set1 vdupq_n_f32
#define f_mul vmulq_f32

RR_INLINE float32x4_t f_zero(void)
{
    return vdupq_n_f32(0);
}

RR_INLINE float32x4_t f_fma(float32x4_t a, float32x4_t b, float32x4_t c)
{
    return vfmaq_f32(c, a, b);
}

RR_INLINE float32x4_t f_load_n(const float *p, int n)
{
    if (n >= OUTS)
        return vld1q_f32(p);
    float part[OUTS] = {0};
    memcpy(part, p, (size_t)n * sizeof *p);
    return vld1q_f32(part);
}

RR_INLINE void f_store_n(float *p, float32x4_t v, int n)
{
    if (n >= OUTS) {
        vst1q_f32(p, v);
        return;
    }
    float part[OUTS];
    vst1q_f32(part, v);
    memcpy(p, part, (size_t)n * sizeof *p);
}

RR_INLINE float32x4_t f_halves(const uint16_t *p)
{
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
}

/* Sixteen bytes' low nibbles and their high ones, and 16 where a bit of the 32 at `fifth` is set.
 */
RR_INLINE void nibbles(uint8x16_t *v, const unsigned char *p, const unsigned char *fifth)
{
    static const uint8_t bits[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    const uint8x16_t q = vld1q_u8(p);
    v[0] = vandq_u8(q, vdupq_n_u8(15));
    v[1] = vshrq_n_u8(q, 4);
    for (int i = 0; i < 2 && fifth; i++) {
        const uint8x16_t own = vcombine_u8(vdup_n_u8(fifth[2 * i]), vdup_n_u8(fifth[2 * i + 1]));
        v[i] = vorrq_u8(v[i], vandq_u8(vtstq_u8(own, vld1q_u8(bits)), vdupq_n_u8(16)));
    }
}

/* Types that are nibbles, with a fifth bit or without. */
RR_INLINE void nibble_numbers(int8x16_t *v, const unsigned char *row, int b, enum rr_type type)
{
    static const int8_t values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                      1,    13,   25,  38,  53,  69,  89,  113};
    const unsigned char *p = row + (size_t)b * rr_type_info(type)->block_bytes;
    const size_t high = type == RR_TYPE_Q5_0   ? 2
                        : type == RR_TYPE_Q5_1 ? 4
                                               : 0,
                 low = high                   ? high + 4
                       : type == RR_TYPE_Q4_1 ? 4
                                              : 2;
    const int less = type == RR_TYPE_Q4_0 ? 8 : type == RR_TYPE_Q5_0 ? 16 : 0;
    uint8x16_t u[2];
    nibbles(u, p + low, high ? p + high : NULL);
    for (int i = 0; i < 2; i++)
        v[i] = type == RR_TYPE_IQ4_NL
                   ? vqtbl1q_s8(vld1q_s8(values), u[i])
                   : vsubq_s8(vreinterpretq_s8_u8(u[i]), vdupq_n_s8((int8_t)less));
}

/* The numbers of a block, sixteen in each of two vectors. */
RR_INLINE void block_numbers(int8x16_t *v, const unsigned char *row, int b, enum rr_type type)
{
    const uint8x16_t low = vdupq_n_u8(15);
    if (type == RR_TYPE_Q8_0) {
        const int8_t *p = (const int8_t *)row + (size_t)b * sizeof(struct rr_block_q8_0) + 2;
        v[0] = vld1q_s8(p);
        v[1] = vld1q_s8(p + 16);
    } else if (type == RR_TYPE_Q6_K) {
        const int part = b % 8, half = part / 4, j = part % 4;
        const unsigned char *p = row + (size_t)(b / 8) * sizeof(struct rr_block_q6_k),
                            *ql = p + 64 * half + 32 * (j % 2), *qh = p + RR_QK_K / 2 + 32 * half;
        const int8x16_t right4 = vdupq_n_s8((int8_t)(-4 * (j / 2))),
                        right2 = vdupq_n_s8((int8_t)(-2 * j));
        for (int i = 0; i < 2; i++) {
            const uint8x16_t a = vandq_u8(vshlq_u8(vld1q_u8(ql + 16 * i), right4), low),
                             h = vandq_u8(vshlq_u8(vld1q_u8(qh + 16 * i), right2), vdupq_n_u8(3));
            v[i] = vsubq_s8(vreinterpretq_s8_u8(vorrq_u8(a, vshlq_n_u8(h, 4))), vdupq_n_s8(32));
        }
    } else if (type == RR_TYPE_Q4_K || type == RR_TYPE_Q5_K) {
        const int j = b % 8;
        const bool five = type == RR_TYPE_Q5_K;
        const unsigned char *high =
            row +
            (size_t)(b / 8) * (five ? sizeof(struct rr_block_q5_k) : sizeof(struct rr_block_q4_k)) +
            16;
        const unsigned char *p = high + (five ? RR_QK_K / 8 : 0) + 32 * (j / 2);
        const int8x16_t right = vdupq_n_s8((int8_t)(-4 * (j % 2))), fifth = vdupq_n_s8((int8_t)-j);
        for (int i = 0; i < 2; i++) {
            uint8x16_t u = vandq_u8(vshlq_u8(vld1q_u8(p + 16 * i), right), low);
            if (five)
                u = vorrq_u8(
                    u, vshlq_n_u8(vandq_u8(vshlq_u8(vld1q_u8(high + 16 * i), fifth), vdupq_n_u8(1)),
                                  4));
            v[i] = vreinterpretq_s8_u8(u);
        }
    } else {
        nibble_numbers(v, row, b, type);
    }
}

/* Four rows of four words each, turned. */
RR_INLINE void turn_words(ivec *out, const int8x16_t *rows)
{
    const int32x4_t a = vreinterpretq_s32_s8(rows[0]), b = vreinterpretq_s32_s8(rows[1]),
                    c = vreinterpretq_s32_s8(rows[2]), d = vreinterpretq_s32_s8(rows[3]);
    const int64x2_t ab_even = vreinterpretq_s64_s32(vtrn1q_s32(a, b)),
                    ab_odd = vreinterpretq_s64_s32(vtrn2q_s32(a, b)),
                    cd_even = vreinterpretq_s64_s32(vtrn1q_s32(c, d)),
                    cd_odd = vreinterpretq_s64_s32(vtrn2q_s32(c, d));
    out[0] = vreinterpretq_s32_s64(vtrn1q_s64(ab_even, cd_even));
    out[1] = vreinterpretq_s32_s64(vtrn1q_s64(ab_odd, cd_odd));
    out[2] = vreinterpretq_s32_s64(vtrn2q_s64(ab_even, cd_even));
    out[3] = vreinterpretq_s32_s64(vtrn2q_s64(ab_odd, cd_odd));
}

/* Eight bytes of two rows side by side: out[2 g + p] has bytes 8 g .. of rows 2 p and 2 p + 1. */
RR_INLINE void pair_words(ivec *out, const int8x16_t *rows)
{
    for (int p = 0; p < 2; p++) {
        const int64x2_t a = vreinterpretq_s64_s8(rows[2 * p]),
                        b = vreinterpretq_s64_s8(rows[2 * p + 1]);
        out[p] = vreinterpretq_s32_s64(vtrn1q_s64(a, b));
        out[2 + p] = vreinterpretq_s32_s64(vtrn2q_s64(a, b));
    }
}

#ifdef PAIRS
#define WORD_ORDER pair_words
#else
#define WORD_ORDER turn_words
#endif

RR_INLINE void unpack(ivec *words, const unsigned char *const *rows, int block, enum rr_type type)
{
    int8x16_t half[2][OUTS];
    for (int r = 0; r < OUTS; r++) {
        int8x16_t v[2];
        block_numbers(v, rows[r], block, type);
        half[0][r] = v[0];
        half[1][r] = v[1];
    }
    WORD_ORDER(words, half[0]);
    WORD_ORDER(words + 4, half[1]);
}

RR_INLINE void load_rows(ivec *numbers, const unsigned char *const *rows, int block,
                         enum rr_type type)
{
    for (int r = 0; r < OUTS; r++) {
        int8x16_t v[2];
        block_numbers(v, rows[r], block, type);
        numbers[2 * r] = vreinterpretq_s32_s8(v[0]);
        numbers[2 * r + 1] = vreinterpretq_s32_s8(v[1]);
    }
}

RR_INLINE void dot_rows(ivec *half, const ivec *numbers, const int8_t *q, int block,
                        enum rr_type type)
{
    (void)block;
    (void)type;
    for (int h = 0; h < 2; h++) {
        const int32x4_t x = vreinterpretq_s32_s8(vld1q_s8(q + 16 * h));
        int32x4_t dots[OUTS];
        for (int r = 0; r < OUTS; r++)
            dots[r] = i_dot(vdupq_n_s32(0), numbers[2 * r + h], x);
        half[h] = vpaddq_s32(vpaddq_s32(dots[0], dots[1]), vpaddq_s32(dots[2], dots[3]));
    }
}
