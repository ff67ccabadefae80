/* Products of F16 and BF16 in integers of sixteen bits, bit for bit what plain C gives, at every
 * CPU level that has them. */
#include "tests/test.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>
#include "engine/kernel/kernel.h"
#include "tests/make_inputs.h"
#include "tests/make_model.h"

#define HALF (RR_QK16 / 2)

/* The root of the sum of squares of half a block. */
static double norm_of(const int16_t *q)
{
    double sum = 0;
    for (int i = 0; i < HALF; i++)
        sum += (double)q[i] * q[i];
    return sqrt(sum);
}

static void check_quantise16(const struct rr_kernels *k, const float *x, int len, const char *what)
{
    static int16_t q[512], expected_q[512];
    static float d[512 / RR_QK16], expected_d[512 / RR_QK16];
    const struct rr_kernels c = table(RR_CPU_C);
    const size_t n_blocks = rr_int16_blocks(len);
    memset(q, 0xFF, sizeof q);
    c.quantise16(expected_q, expected_d, x, len);
    k->quantise16(q, d, x, len);
    for (size_t b = 0; b < n_blocks; b++) {
        const int16_t *of = q + b * RR_QK16;
        CHECK(memcmp(of, expected_q + b * RR_QK16, RR_QK16 * sizeof *of) == 0 &&
                  (same_bits(d + b, expected_d + b, 1) || (isnan(d[b]) && isnan(expected_d[b]))),
              "%s quantise16 %s block %zu of %d: d %a, first %d; C has %a, %d", level_of(k), what,
              b, len, (double)d[b], of[0], (double)expected_d[b], expected_q[b * RR_QK16]);
        CHECK(norm_of(of) < 46302 && norm_of(of + HALF) < 46302,
              "%s quantise16 %s: halves of %.1f and %.1f", level_of(k), what, norm_of(of),
              norm_of(of + HALF));
        for (size_t i = 0; i < RR_QK16; i++) {
            const size_t at = b * RR_QK16 + i;
            const double error =
                at < (size_t)len ? fabs((double)x[at] - (double)d[b] * of[i]) : abs(of[i]);
            CHECK(!isfinite(d[b]) || error <= (double)d[b] * 0.505 + 1e-30,
                  "%s quantise16 %s: number %zu is off by %g with steps of %g", level_of(k), what,
                  at, error, (double)d[b]);
        }
    }
}

Test(kernel, rows_in_sixteen_bits_are_what_c_gives)
{
    static float x[512];
    struct rr_rng r;
    rr_rng_seed(&r, 91);
    EACH_LEVEL(k)
    for (int kind = 0; kind < N_KINDS; kind++)
        for (int round = 0; round < 60; round++) {
            const int len = 1 + (round * 37) % 500;
            fill(x, (size_t)len, (enum kind)kind, &r);
            check_quantise16(&k, x, len, kind_names[kind]);
            static const float odd[] = {NAN, -NAN, INFINITY, -INFINITY, 1e-42f, 3e38f, -0.0f};
            x[(round * 7) % len] = odd[round % 7];
            check_quantise16(&k, x, len, "a number that is not usual");
        }
}

/* q of a block of W, as gemm_int16.h says; returns its scale. */
static float block_of(int16_t *q, const float *v)
{
    float most = 0, squares[2] = {0, 0};
    for (int i = 0; i < RR_QK16; i++) {
        if (!isfinite(v[i]))
            return NAN;
        most = fmaxf(most, fabsf(v[i]));
    }
    int bits = 14 - (most < 0x1p-100f ? -100 : ilogbf(most));
    for (int half = 0; half < 2; half++) {
        float sums[2] = {0, 0};
        for (int i = 0; i < HALF; i++) {
            const float u = ldexpf(v[half * HALF + i], bits);
            sums[i % 2] = fmaf(u, u, sums[i % 2]);
        }
        squares[half] = sums[0] + sums[1];
    }
    bits -= fmaxf(squares[0], squares[1]) > 46300.0f * 46300.0f;
    for (int i = 0; i < RR_QK16; i++)
        q[i] = (int16_t)lrintf(ldexpf(v[i], bits));
    return ldexpf(1, -bits);
}

/* One output: row i of x and a row of W, unpacked. */
static float output_of(const struct rr_gemm *g, int i, const float *row)
{
    const int16_t *x = g->xq.q16 + (size_t)i * rr_int16_apart(g->k);
    const float *d = g->xq.d16 + (size_t)i * rr_int16_blocks(g->k);
    float y = 0;
    for (int k = 0; k < g->k; k += RR_QK16, x += RR_QK16, d++) {
        float v[RR_QK16] = {0};
        int16_t q[RR_QK16] = {0};
        int64_t sums[2] = {0, 0};
        for (int e = 0; e < RR_QK16 && k + e < g->k; e++)
            v[e] = row[k + e];
        const float scale = block_of(q, v);
        for (int e = 0; e < RR_QK16; e++)
            sums[e / HALF] += (int64_t)q[e] * x[e];
        CHECK(imaxabs(sums[0]) <= INT32_MAX && imaxabs(sums[1]) <= INT32_MAX,
              "sums of %" PRId64 " and %" PRId64, sums[0], sums[1]);
        y = fmaf((float)sums[0] + (float)sums[1], scale * *d, y);
    }
    return y;
}

static void check_product(const struct rr_kernels *k, struct rr_gemm *g, const char *what)
{
    static struct fence fy, fs;
    const size_t n = (size_t)(g->m * g->n);
    float *y = fenced_floats(&fy, n);
    void *scratch = fenced(&fs, RR_GEMM_SCRATCH, (size_t)(g->m % 3) * 4);
    g->y = y;
    g->ldy = (size_t)g->n;
    memset(y, 0xFF, sizeof *y * n);
    k->gemm[g->type](g, scratch);
    for (int j = 0; j < g->n; j++) {
        static float row[2049];
        k->row_f32[g->type](row, rr_gemm_row(g, j), g->k);
        for (int i = 0; i < g->m; i++) {
            const float got = y[i * g->n + j], expected = output_of(g, i, row);
            CHECK(same_bits(&got, &expected, 1) || (isnan(got) && isnan(expected)),
                  "%s %s %s m=%d n=%d k=%d: output %d, %d is %a; C gives %a", level_of(k),
                  type_of(g->type), what, g->m, g->n, g->k, i, j, (double)got, (double)expected);
        }
    }
    CHECK(guard_is_whole(y) && guard_is_whole(scratch), "%s %s %s wrote before its memory",
          level_of(k), type_of(g->type), what);
}

static bool in_int16(const struct rr_kernels *k, int type)
{
    return k->prepared[type] == RR_READS_16 && !k->tiles;
}

/* Numbers of any bits that are finite; small: all of them far below what x is. */
static void finite_row(unsigned char *p, int type, int len, bool small, struct rr_rng *r)
{
    const uint16_t exponent = type == RR_TYPE_F16 ? 0x7C00 : 0x7F80;
    for (int i = 0; i < len; i++, p += 2) {
        uint16_t v = (uint16_t)(rr_rng_u64(r) >> 48);
        if ((v & exponent) == exponent)
            v &= 0xBFFF;
        if (small) /* F16: below 2^-11, a quarter of them subnormal; BF16: below 2^-95 */
            v &= 0x8FFF;
        memcpy(p, &v, sizeof v);
    }
}

static void put_not_finite(unsigned char *row, int type, int at, bool nan)
{
    const uint16_t inf = type == RR_TYPE_F16 ? 0x7C00 : 0x7F80, v = inf | (nan ? 1 : 0);
    memcpy(row + 2 * (size_t)at, &v, sizeof v);
}

/* Every pattern of bits that W may have, those that are not finite among them. */
Test(kernel, products_in_sixteen_bits_are_what_c_gives)
{
    static const int widths[] = {1, 2, 15, 16, 17, 31, 33, 70},
                     lengths[] = {1, 8, 16, 31, 32, 33, 172, 511, 513, 1040, 2049};
    static struct fence fw;
    static float x[20 * 2049];
    struct rr_rng r;
    rr_rng_seed(&r, 92);
    EACH_LEVEL(k)
    for (int type = RR_TYPE_F16; type <= RR_TYPE_BF16; type++)
        for (int n = 0; n < 8 && in_int16(&k, type); n++)
            for (int at = sanitized() ? n % 3 : 0; at < 11; at += sanitized() ? 3 : 1)
                for (int m = 1; m <= 20; m += m < 6 ? 1 : 7) {
                    const int width = widths[n], len = lengths[at];
                    const size_t bytes = rr_row_bytes((enum rr_type)type, (size_t)len);
                    unsigned char *w = fenced(&fw, bytes * (size_t)width, 0);
                    int ids[70];
                    for (int j = 0; j < width; j++) {
                        unsigned char *row = w + (size_t)j * bytes;
                        if (j % 4)
                            finite_row(row, type, len, j % 4 == 2, &r);
                        else
                            random_row(row, (enum rr_type)type, len, 1, &r);
                        if (j % 5 == 3)
                            put_not_finite(row, type, (int)rr_rng_below(&r, (uint64_t)len), j % 2);
                        ids[j] = (int)rr_rng_below(&r, (uint64_t)width);
                    }
                    fill(x, (size_t)(m * len), (enum kind)((m + n) % N_KINDS), &r);
                    if (m == 5) /* of one row alone */
                        x[2 * len + len / 2] = n % 2 ? NAN : INFINITY;
                    struct rr_gemm g = {.xq = *quantised(&k, x, m, len),
                                        .w = w,
                                        .type = (enum rr_type)type,
                                        .table = &k,
                                        .rows = (m + n) % 2 ? ids : NULL,
                                        .row_bytes = bytes,
                                        .m = m,
                                        .n = width,
                                        .k = len};
                    check_product(&k, &g, "any weights");
                }
}

/* The greatest sums there can be: q of W and of x as long as they get, and parallel. */
Test(kernel, sums_in_sixteen_bits_do_not_overflow)
{
    enum { K = 64, N = 3 };
    static uint16_t w[N * K];
    static float x[K];
    EACH_LEVEL(k)
    for (int type = RR_TYPE_F16; type <= RR_TYPE_BF16; type++)
        for (int sign = 0; sign < 2 && in_int16(&k, type); sign++)
            for (int n = 1; n <= HALF; n++) { /* numbers of each half that are not zero */
                memset(w, 0, sizeof w);
                memset(x, 0, sizeof x);
                for (int i = 0; i < N * K; i++)
                    if (i % HALF < n) /* all ones behind the point */
                        w[i] = (uint16_t)(0x3FFF | sign << 15);
                for (int i = 0; i < K; i++)
                    if (i % HALF < n)
                        x[i] = 1.9f;
                struct rr_gemm g = {.xq = *quantised(&k, x, 1, K),
                                    .w = w,
                                    .type = (enum rr_type)type,
                                    .table = &k,
                                    .row_bytes = K * sizeof *w,
                                    .m = 1,
                                    .n = N,
                                    .k = K};
                check_product(&k, &g, "the greatest sums");
            }
}
