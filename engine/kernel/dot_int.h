/* Products of quantised weights while decoding: one row of x, or a few, and W is all that is waited
 * for. As dot_floats.h has floats: four rows of W are read at once, as far apart as can be (the
 * last few side by side), each in the order of memory, and none is turned. Included, inside a
 * target region with AVX2, FMA and F16C, by a file that defines vectors of PARTS pieces of 32
 * bytes, or 8 words:
 *
 *     dvec, fvec                of bytes or words, of floats
 *     d_load(p)                 bytes at p
 *     d_two(p, q)               32 bytes at p, and of two pieces the second those at q
 *     d_sixteens(p, step, n)    sixteen bytes each at p, p + step and so on; behind n those at p
 *     d_low(v), d_high(v)       the low and the high nibbles of bytes
 *     d_bits(p, a, b, mask)     32 bytes at p, their bits moved up by a (down by -a), of a second
 *                               piece by b, and of that what the mask has
 *     d_zero(), d_set1(byte), d_or, d_sub of words
 *     d_dot(v, w, x)            v + sums of four products of unsigned bytes w with signed ones x
 *     d_dot_signed(less, w, x)  the same of signed bytes; less + d_dot(w + 128, x) is that, too
 *     d_dot_two(v, w0, x0, w1, x1)    v + those of nibbles w0 + those of nibbles w1
 *     f_zero(), f_of(words), f_mul, f_fma, f_sum
 *     f_two(a, b)               the float a in the first piece, b in the second
 *     f_halves(p, q)            the IEEE half at p in the first piece, that at q in the second
 *     f_halves_in_four(p, n)    those of n blocks of Q4_0 at p, four times each
 *     f_in_four(d)              2 PARTS floats at d, four times each
 *     f_spread(s, i, j)         number i of eight in the first piece, j in the second
 *     f_quarters(s, i)          numbers i, i + 1 (and i + 2, i + 3), four times each
 *     group_scales(scales, acc, rows, at, of_x, sums)
 *                               of Q4_K's or Q5_K's block at byte `at` of four rows: the scales of
 *                               groups times those of x; least values times those of x times sums
 *                               are taken off acc
 *
 * Words are exact sums, as gemm_int.h's; each is scaled and added, lane by lane, to the lane's sum
 * over all blocks, and the lanes come last: the same whatever the batch. `less` takes off what
 * numbers of W add that are stored 8, 32 or 128 too high. Q4_K and Q5_K have a least value instead.
 */

#include "engine/kernel/dot_load.h"
#include "engine/kernel/few_rows.h"

/* Rows read at once, as group_scales has them. Loops over them are unrolled: or all is in memory.
 */
#define STREAMS 4

/* ---- blocks of 32: Q8_0 and Q4_0 ---- */

/* n blocks of each row, 1 to PARTS, at byte `at`, and of x. */
RR_INLINE void add_q8_0(fvec *acc, const unsigned char *const *rows, size_t at, const int8_t *q,
                        const float *d, int n)
{
    /* A second piece that is not there is the first again, times zero. */
    const size_t next = n == PARTS ? PARTS - 1 : 0;
    const dvec x = d_two(q, q + next * RR_QK),
               less = d_sub(d_zero(), d_dot(d_zero(), d_set1(-128), x));
    const fvec of_x = f_two(d[0], n == PARTS ? d[PARTS - 1] : 0);
#pragma GCC unroll 4
    for (int r = 0; r < STREAMS; r++) {
        const unsigned char *w = rows[r] + at, *w1 = w + next * sizeof(struct rr_block_q8_0);
        const dvec v = d_two(w + 2, w1 + 2);
        acc[r] = f_fma(f_of(d_dot_signed(less, v, x)), f_mul(f_halves(w, w1), of_x), acc[r]);
    }
}

/* The same of 1 to 2 PARTS blocks. */
RR_INLINE void add_q4_0(fvec *acc, const unsigned char *const *rows, size_t at, const int8_t *q,
                        const float *d, int n)
{
    float scales[2 * PARTS] = {0};
    for (int b = 0; b < n; b++)
        scales[b] = d[b];
    const dvec x0 = d_sixteens(q, RR_QK, n), x1 = d_sixteens(q + RR_QK / 2, RR_QK, n),
               less = d_sub(d_zero(), d_dot_two(d_zero(), d_set1(8), x0, d_set1(8), x1));
    const fvec of_x = f_in_four(n == 2 * PARTS ? d : scales);
#pragma GCC unroll 4
    for (int r = 0; r < STREAMS; r++) {
        const unsigned char *w = rows[r] + at;
        const dvec v = d_sixteens(w + 2, sizeof(struct rr_block_q4_0), n);
        acc[r] = f_fma(f_of(d_dot_two(less, d_low(v), x0, d_high(v), x1)),
                       f_mul(f_halves_in_four(w, n), of_x), acc[r]);
    }
}

/* ---- blocks of 256: Q4_K, Q5_K and Q6_K ---- */

/* A block of Q4_K or Q5_K of each row, at byte `at`, and of x. */
RR_INLINE void add_q4_k(fvec *acc, const unsigned char *const *rows, size_t at, const int8_t *q,
                        const float *d, const int16_t *sum, enum rr_type type)
{
    const bool q5 = type == RR_TYPE_Q5_K;
    const __m256 of_x = _mm256_loadu_ps(d),
                 sums = _mm256_cvtepi32_ps(_mm256_madd_epi16(
                     _mm256_loadu_si256((const __m256i *)(const void *)sum), _mm256_set1_epi16(1)));
    __m256 scales[STREAMS];
    group_scales(scales, acc, rows, at, of_x, sums);
#pragma GCC unroll 4
    for (int p = 0; p < 4; p += PARTS) { /* 64 numbers a piece of W */
        const int8_t *x = q + 2 * RR_QK * p;
        const dvec x0 = d_two(x, x + 2 * RR_QK), x1 = d_two(x + RR_QK, x + 3 * RR_QK);
#pragma GCC unroll 4
        for (int r = 0; r < STREAMS; r++) {
            const unsigned char *high = rows[r] + at + 16, *w = high + (q5 ? RR_QK_K / 8 : 0);
            const dvec v = d_load(w + 32 * p);
            dvec low = d_low(v), up = d_high(v);
            if (q5) {
                low = d_or(low, d_bits(high, 4 - 2 * p, 2 - 2 * p, 16));
                up = d_or(up, d_bits(high, 3 - 2 * p, 1 - 2 * p, 16));
            }
            acc[r] = f_fma(f_of(d_dot(d_zero(), low, x0)), f_spread(scales[r], 2 * p, 2 * p + 2),
                           acc[r]);
            acc[r] = f_fma(f_of(d_dot(d_zero(), up, x1)), f_spread(scales[r], 2 * p + 1, 2 * p + 3),
                           acc[r]);
        }
    }
}

RR_INLINE void add_q6_k(fvec *acc, const unsigned char *const *rows, size_t at, const int8_t *q,
                        const float *d)
{
    const dvec unsign = d_set1(32);
#pragma GCC unroll 4
    for (int half = 0; half < 2; half++) {
        const __m256 of_x =
            _mm256_permutevar8x32_ps(_mm256_castps128_ps256(_mm_loadu_ps(d + 4 * half)),
                                     _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3));
        __m256 scales[STREAMS];
#pragma GCC unroll 4
        for (int r = 0; r < STREAMS; r++) {
            const unsigned char *w = rows[r] + at + 3 * RR_QK_K / 4;
            scales[r] =
                _mm256_mul_ps(_mm256_mul_ps(f_bytes(w + 8 * half), f_half(w + RR_QK_K / 16)), of_x);
        }
#pragma GCC unroll 4
        for (int j = 0; j < 4; j += PARTS) {
            const dvec x = d_load(q + 128 * half + 32 * j),
                       less = d_sub(d_zero(), d_dot(d_zero(), unsign, x));
#pragma GCC unroll 4
            for (int r = 0; r < STREAMS; r++) {
                const unsigned char *w = rows[r] + at;
                const dvec low = d_load(w + 64 * half + 32 * (j % 2)),
                           v = d_or(j < 2 ? d_low(low) : d_high(low),
                                    d_bits(w + RR_QK_K / 2 + 32 * half, 4 - 2 * j, 2 - 2 * j, 48));
                acc[r] = f_fma(f_of(d_dot(less, v, x)), f_quarters(scales[r], 2 * j), acc[r]);
            }
        }
    }
}

/* ---- rows ---- */

/* So many blocks of 32 are multiplied at once. */
RR_INLINE int together(enum rr_type type)
{
    return type == RR_TYPE_Q8_0 ? PARTS : type == RR_TYPE_Q4_0 ? 2 * PARTS : RR_QK_K / RR_QK;
}

/* n blocks of 32 from number `first` of x on, at most so many. */
RR_INLINE void add_blocks(fvec *acc, const unsigned char *const *rows, size_t at,
                          const struct rr_quantised *xq, size_t first, int n, enum rr_type type)
{
    const int8_t *q = xq->q + first * RR_QK;
    const float *d = xq->d + first;
    if (type == RR_TYPE_Q8_0)
        add_q8_0(acc, rows, at, q, d, n);
    else if (type == RR_TYPE_Q4_0)
        add_q4_0(acc, rows, at, q, d, n);
    else if (type == RR_TYPE_Q6_K)
        add_q6_k(acc, rows, at, q, d);
    else
        add_q4_k(acc, rows, at, q, d, xq->sum + 2 * first, type);
}

/* Outputs j, j + apart and so on of row i of x. */
RR_INLINE void dot_outs(const struct rr_gemm *g, int j, int apart, int i, enum rr_type type)
{
    const int n_blocks = g->k / RR_QK, step = together(type);
    const size_t first = (size_t)i * (size_t)n_blocks,
                 bytes = rr_row_bytes(type, (size_t)step * RR_QK);
    const unsigned char *rows[STREAMS];
    fvec acc[STREAMS];
#pragma GCC unroll 4
    for (int r = 0; r < STREAMS; r++) {
        rows[r] = rr_gemm_row(g, j + r * apart);
        acc[r] = f_zero();
    }
    size_t at = 0;
    int b = 0;
    for (; b + step <= n_blocks; b += step, at += bytes) {
        rr_ask_streams(rows, STREAMS, at, bytes);
        add_blocks(acc, rows, at, &g->xq, first + (size_t)b, step, type);
    }
    if (b < n_blocks)
        add_blocks(acc, rows, at, &g->xq, first + (size_t)b, n_blocks - b, type);
    float *y = g->y + (size_t)i * g->ldy + j;
#pragma GCC unroll 4
    for (int r = 0; r < STREAMS; r++)
        if (j + r * apart < g->n)
            y[(size_t)(r * apart)] = f_sum(acc[r]);
}

RR_INLINE void dot_rows(const struct rr_gemm *g, enum rr_type type)
{
    const int apart = g->n / STREAMS, rest = apart * STREAMS;
    for (int j = 0; j < apart; j++)
        for (int i = 0; i < g->m; i++)
            dot_outs(g, j, apart, i, type);
    for (int i = 0; rest < g->n && i < g->m; i++)
        dot_outs(g, rest, 1, i, type);
}

#define DOT(name, type)                                                                            \
    static void dot_##name(const struct rr_gemm *g, void *scratch)                                 \
    {                                                                                              \
        (void)scratch;                                                                             \
        dot_rows(g, type);                                                                         \
    }
DOT(q4_0, RR_TYPE_Q4_0)
DOT(q4_k, RR_TYPE_Q4_K)
DOT(q5_k, RR_TYPE_Q5_K)
DOT(q6_k, RR_TYPE_Q6_K)
DOT(q8_0, RR_TYPE_Q8_0)
#undef DOT

static void init_dot(struct rr_kernels *k)
{
    k->decode[RR_TYPE_Q4_0] = dot_q4_0;
    k->decode[RR_TYPE_Q4_K] = dot_q4_k;
    k->decode[RR_TYPE_Q5_K] = dot_q5_k;
    k->decode[RR_TYPE_Q6_K] = dot_q6_k;
    k->decode[RR_TYPE_Q8_0] = dot_q8_0;
}
