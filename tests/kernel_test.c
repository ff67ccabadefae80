/* Every kernel of every CPU level against the C table and against plain double arithmetic: all
 * tails, odd addresses, extreme values. Buffers end at a page that may not be touched, so that a
 * read or write too far stops the test, and begin behind guard bytes. */
#include "tests/test.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "engine/kernel/kernel.h"
#include "tests/make_inputs.h"
#include "tests/make_model.h"

/* ---- the table ---- */

Test(kernel, table_is_complete)
{
    EACH_LEVEL(k)
    {
        cr_assert((int)k.level == level_, "%s: the table says level %d", level_of(&k),
                  (int)k.level);
        cr_assert(k.quantise && k.attn_scores && k.attn_values && k.softmax_exp && k.rmsnorm &&
                      k.silu_mul && k.add,
                  "%s: an empty entry", level_of(&k));
        for (int t = 0; t < RR_TYPE_COUNT; t++)
            cr_assert(k.row_f32[t] && k.gemm[t], "%s: nothing for %s", level_of(&k), type_of(t));
        cr_assert(rr_cpu_level_from_name(level_of(&k)) == level_, "%s is not found by its name",
                  level_of(&k));
    }
    cr_assert(rr_cpu_level_from_name("sse9") == -1 && rr_cpu_level_from_name("") == -1,
              "a name that no level has is found");
}

/* ---- rows of stored weights ---- */

/* Element i by the words of type.h, one number at a time. */
static double stored_value(const unsigned char *row, int type, int i)
{
    const struct rr_type_info *t = rr_type_info((enum rr_type)type);
    const unsigned char *p = row + (size_t)(i / t->block) * t->block_bytes;
    const int at = i % t->block;
    uint16_t d;
    uint16_t second;
    memcpy(&d, p + t->halves[0].at, 2);
    memcpy(&second, p + t->halves[1].at, 2);
    const double scale = (double)rr_f16_to_f32(d), least = (double)rr_f16_to_f32(second);
    switch (type) {
    case RR_TYPE_F32: {
        float f;
        memcpy(&f, p, 4);
        return (double)f;
    }
    case RR_TYPE_F16:
        return (double)rr_f16_to_f32(d);
    case RR_TYPE_BF16: {
        const double m = 128 + (d & 127), e = d >> 7 & 255;
        double v = e > 0 ? ldexp(m, (int)e - 134) : ldexp(m - 128, -133);
        return d & 0x8000 ? -v : v;
    }
    case RR_TYPE_Q8_0:
        return scale * (p[2 + at] < 128 ? p[2 + at] : p[2 + at] - 256);
    case RR_TYPE_Q4_0:
        return scale * ((at < 16 ? p[2 + at] & 15 : p[2 + at - 16] >> 4) - 8);
    case RR_TYPE_Q4_K: {
        const int j = at / 32;
        const int s = j < 4 ? p[4 + j] & 63 : (p[8 + j] & 15) + 16 * (p[j] >> 6);
        const int o = j < 4 ? p[8 + j] & 63 : (p[8 + j] >> 4) + 16 * (p[4 + j] >> 6);
        const int q = p[16 + 32 * (j / 2) + at % 32] >> 4 * (j % 2) & 15;
        return (double)((float)scale * (float)s * (float)q - (float)least * (float)o);
    }
    case RR_TYPE_Q4_1:
        return (double)((float)scale * (float)(at < 16 ? p[4 + at] & 15 : p[4 + at - 16] >> 4) +
                        (float)least);
    case RR_TYPE_Q5_0:
        return scale * ((at < 16 ? p[6 + at] & 15 : p[6 + at - 16] >> 4) +
                        16 * (p[2 + at / 8] >> at % 8 & 1) - 16);
    case RR_TYPE_Q5_1:
        return (double)((float)scale * (float)((at < 16 ? p[8 + at] & 15 : p[8 + at - 16] >> 4) +
                                               16 * (p[4 + at / 8] >> at % 8 & 1)) +
                        (float)least);
    case RR_TYPE_IQ4_NL: {
        static const int values[] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                     1,    13,   25,  38,  53,  69,  89,  113};
        return scale * values[at < 16 ? p[2 + at] & 15 : p[2 + at - 16] >> 4];
    }
    case RR_TYPE_Q2_K: {
        const int q = p[16 + 32 * (at / 128) + at % 32] >> 2 * (at % 128 / 32) & 3, s = p[at / 16];
        return (double)((float)scale * (float)(s & 15) * (float)q - (float)least * (float)(s >> 4));
    }
    case RR_TYPE_Q3_K: {
        const unsigned char *s = p + 96;
        const int g = at / 16, q = p[32 + 32 * (at / 128) + at % 32] >> 2 * (at % 128 / 32) & 3;
        const int low = g < 8 ? s[g] & 15 : s[g - 8] >> 4, high = s[8 + g % 4] >> 2 * (g / 4) & 3;
        return scale * (low + 16 * high - 32) * (q + 4 * (p[at % 32] >> at / 32 & 1) - 4);
    }
    case RR_TYPE_Q5_K: {
        const int j = at / 32;
        const int s = j < 4 ? p[4 + j] & 63 : (p[8 + j] & 15) + 16 * (p[j] >> 6);
        const int o = j < 4 ? p[8 + j] & 63 : (p[8 + j] >> 4) + 16 * (p[4 + j] >> 6);
        const int q =
            (p[48 + 32 * (j / 2) + at % 32] >> 4 * (j % 2) & 15) + 16 * (p[16 + at % 32] >> j & 1);
        return (double)((float)scale * (float)s * (float)q - (float)least * (float)o);
    }
    default: {
        const int half = at / 128, j = at % 128 / 32, l = at % 32;
        const int low = p[64 * half + 32 * (j % 2) + l] >> (j < 2 ? 0 : 4) & 15;
        const int high = p[128 + 32 * half + l] >> 2 * j & 3;
        const int s = p[192 + at / 16] < 128 ? p[192 + at / 16] : p[192 + at / 16] - 256;
        return scale * s * (low + 16 * high - 32);
    }
    }
}

Test(kernel, row_f32_is_what_the_format_says)
{
    static struct fence fw, fy;
    struct rr_rng r;
    rr_rng_seed(&r, 1);
    EACH_LEVEL(k)
    for (int type = 0; type < RR_TYPE_COUNT; type++) {
        const int len = type <= RR_TYPE_BF16 ? 70 : 2 * RR_QK_K;
        unsigned char *w = fenced(&fw, rr_row_bytes((enum rr_type)type, (size_t)len), 0);
        float *y = fenced_floats(&fy, (size_t)len);
        random_row(w, (enum rr_type)type, len, 1.0f, &r);
        k.row_f32[type](y, w, len);
        for (int i = 0; i < len; i++)
            CHECK((double)y[i] == (double)(float)stored_value(w, type, i),
                  "%s row_f32 %s element %d is %a; expected %a", level_of(&k), type_of(type), i,
                  (double)y[i], stored_value(w, type, i));
    }
}

Test(kernel, row_f32_same_as_c)
{
    static struct fence fw, fy;
    static float expected[2048];
    const struct rr_kernels c = table(RR_CPU_C);
    struct rr_rng r;
    rr_rng_seed(&r, 2);
    EACH_LEVEL(k)
    for (int type = 0; type < RR_TYPE_COUNT; type++) {
        int len[MAX_LENGTHS], n_len = lengths(len, type);
        for (int i = 0; i < n_len; i++) {
            for (int round = 0; round < 8; round++) {
                const size_t bytes = rr_row_bytes((enum rr_type)type, (size_t)len[i]);
                unsigned char *w = fenced(&fw, bytes, (size_t)round % 2);
                float *y = fenced_floats(&fy, (size_t)len[i]);
                any_row(w, type, len[i], &r);
                c.row_f32[type](expected, w, len[i]);
                k.row_f32[type](y, w, len[i]);
                for (int j = 0; j < len[i]; j++)
                    CHECK(same_bits(y + j, expected + j, 1) ||
                              (type == RR_TYPE_F16 && isnan(y[j]) && isnan(expected[j])),
                          "%s row_f32 %s k=%d element %d is %a; C has %a", level_of(&k),
                          type_of(type), len[i], j, (double)y[j], (double)expected[j]);
                CHECK(guard_is_whole(y), "%s row_f32 %s k=%d wrote before its output", level_of(&k),
                      type_of(type), len[i]);
            }
        }
    }
}

Test(kernel, row_f32_every_16_bit_value)
{
    static uint16_t all[65536];
    static float y[65536];
    for (int i = 0; i < 65536; i++)
        all[i] = (uint16_t)i;
    EACH_LEVEL(k)
    {
        k.row_f32[RR_TYPE_F16](y, all, 65536);
        for (int i = 0; i < 65536; i++) {
            const float f = rr_f16_to_f32((uint16_t)i);
            CHECK(same_bits(&y[i], &f, 1) || (isnan(y[i]) && isnan(f)),
                  "%s: F16 %04x is %a; C has %a", level_of(&k), (unsigned)i, (double)y[i],
                  (double)f);
        }
        k.row_f32[RR_TYPE_BF16](y, all, 65536);
        for (int i = 0; i < 65536; i++) {
            uint32_t bits;
            memcpy(&bits, &y[i], sizeof bits);
            CHECK(bits == (uint32_t)i << 16, "%s: BF16 %04x is %08x", level_of(&k), (unsigned)i,
                  (unsigned)bits);
        }
    }
}

/* ---- products ---- */

/* The tolerance that kernel.h states. size: the sum of the absolute terms. */
static bool close_enough(double got, double expected, double size)
{
    return fabs(got - expected) <= 1e-5 * size + 1e-6;
}

/* y[m, n] = x[m, len] w^T with rows as the type has them, whichever way the level takes. */
static void product(const struct rr_kernels *k, int type, float *y, const float *x, const void *w,
                    int m, int n, int len)
{
    static struct fence fs;
    void *scratch = fenced(&fs, rr_gemm_scratch(k, len), (size_t)(n % 3) * 4);
    const struct rr_gemm g = {.y = y,
                              .ldy = (size_t)n,
                              .x = x,
                              .ldx = (size_t)len,
                              .xq = *quantised(k, x, m, len),
                              .w = w,
                              .type = (enum rr_type)type,
                              .table = k,
                              .row_bytes = rr_row_bytes((enum rr_type)type, (size_t)len),
                              .m = m,
                              .n = n,
                              .k = len,
                              .side_by_side = n / 2 % 2};
    k->gemm[type](&g, scratch);
    CHECK(guard_is_whole(scratch), "%s gemm %s m=%d n=%d k=%d wrote before its scratch",
          level_of(k), type_of(type), m, n, len);
}

/* How far a product may be off because x was quantised: half a step of each block; in sixteen bits
 * W is as well. */
static double quantising(const struct rr_kernels *k, const float *x, const unsigned char *row,
                         int type, int len)
{
    const int block = k->prepared[type] == RR_READS_8 ? RR_QK : RR_QK16;
    double off = 0;
    for (int b = 0; b < len; b += block) {
        double most = 0, size = 0, weights = 0, heaviest = 0, squares[2] = {0};
        for (int i = b; i < b + block && i < len; i++) {
            const double v = fabs((double)x[i]), w = fabs(stored_value(row, type, i));
            most = fmax(most, v);
            size += v;
            weights += w;
            heaviest = fmax(heaviest, w);
            squares[(i - b) / (block / 2)] += v * v;
        }
        const double step = block == RR_QK
                                ? most / 127
                                : fmax(most / 32766, sqrt(fmax(squares[0], squares[1])) / 46300);
        off += step * 0.501 * weights + (block == RR_QK ? 0 : heaviest * 0x1p-14 * 1.001 * size);
    }
    return off;
}

/* The nearest bfloat16, half to even. */
static double bfloat(double v)
{
    const float f = (float)v;
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    bits = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000u;
    float out;
    memcpy(&out, &bits, sizeof out);
    return (double)out;
}

static void check_row(const struct rr_kernels *k, int type, int len, int n, enum kind kind,
                      size_t shift, struct rr_rng *r)
{
    static struct fence fw, fx, fy, fc;
    const struct rr_kernels c = table(RR_CPU_C);
    const size_t row_bytes = rr_row_bytes((enum rr_type)type, (size_t)len);
    unsigned char *w = fenced(&fw, row_bytes * (size_t)n, shift);
    float *x = fenced_floats(&fx, (size_t)len);
    float *y = fenced_floats(&fy, (size_t)n), *expected = fenced_floats(&fc, (size_t)n);
    for (int j = 0; j < n; j++)
        random_row(w + (size_t)j * row_bytes, (enum rr_type)type, len, 1.0f, r);
    fill(x, (size_t)len, kind, r);
    product(&c, type, expected, x, w, 1, n, len);
    product(k, type, y, x, w, 1, n, len);
    const bool tiles = k->tiles && k->prepared[type], rounds = tiles && type > RR_TYPE_BF16;
    for (int j = 0; j < n; j++) {
        const unsigned char *row = w + (size_t)j * row_bytes;
        double sum = 0, size = 0;
        for (int i = 0; i < len; i++) {
            const double v = stored_value(row, type, i),
                         t = rounds ? bfloat((double)x[i]) * bfloat(v) : (double)x[i] * v;
            sum += t;
            size += fabs(t);
        }
        const double also = k->prepared[type] && !tiles ? quantising(k, x, row, type, len) : 0;
        CHECK(fabs((double)y[j] - sum) <=
                      (tiles && !rounds ? 0x1p-15 : 1e-5) * size + 1e-6 + also &&
                  (tiles || k->prepared[type] == RR_READS_16 ||
                   close_enough((double)y[j], expected[j], size)),
              "%s gemm %s k=%d n=%d %s row %d is %.9g; C has %.9g, double %.9g", level_of(k),
              type_of(type), len, n, kind_names[kind], j, (double)y[j], (double)expected[j], sum);
    }
}

Test(kernel, products_are_close_to_c)
{
    struct rr_rng r;
    rr_rng_seed(&r, 3);
    EACH_PRODUCT(k, type)
    {
        int len[MAX_LENGTHS], n_len = lengths(len, type);
        for (int i = 0; i < n_len; i++)
            for (int round = 0; round < 4; round++)
                check_row(&k, type, len[i], 1 + (i * 4 + round) % 19,
                          round ? (enum kind)((i + round) % N_KINDS) : PLAIN, (size_t)round % 2,
                          &r);
        for (int n = 1; n <= 70; n++)
            check_row(&k, type, len[n % n_len], n, PLAIN, 0, &r);
    }
}

Test(kernel, products_pass_nan_on)
{
    static float x[5 * 70], w[9 * 70], y[5 * 9];
    struct rr_rng r;
    rr_rng_seed(&r, 4);
    EACH_PRODUCT(k, type)
    for (int len = 1; type == RR_TYPE_F32 && len <= 70; len++)
        for (int m = 1; m <= 5; m++) {
            const int at = (int)rr_rng_below(&r, (uint64_t)len);
            fill(x, (size_t)(m * len), PLAIN, &r);
            fill(w, 9 * 70, PLAIN, &r);
            w[5 * len + at] = NAN;
            memset(y, POISON, sizeof y); /* product looks in front of it: not here */
            const struct rr_gemm g = {.y = y,
                                      .ldy = 9,
                                      .x = x,
                                      .ldx = (size_t)len,
                                      .w = w,
                                      .row_bytes = (size_t)len * sizeof *w,
                                      .m = m,
                                      .n = 9,
                                      .k = len};
            static unsigned char scratch[RR_GEMM_SCRATCH];
            k.gemm[RR_TYPE_F32](&g, scratch);
            for (int i = 0; i < m; i++)
                for (int j = 0; j < 9; j++)
                    CHECK(isnan(y[i * 9 + j]) == (j == 5),
                          "%s gemm F32 m=%d k=%d: NaN in row 5 at %d, output %d is %g",
                          level_of(&k), m, len, at, j, (double)y[i * 9 + j]);
        }
}

/* The promise behind batch independence: a row of x alone and in a batch has the same bits, and so
 * has an output whichever rows of W are asked for. */
Test(kernel, a_row_alone_has_the_bits_of_the_batch)
{
    enum { N = 21, M = 7 };
    static unsigned char w[N * 2048 * 4];
    static float x[M * 2048];
    static struct fence fm, fo;
    struct rr_rng r;
    rr_rng_seed(&r, 5);
    EACH_PRODUCT(k, type)
    {
        int len[MAX_LENGTHS], n_len = lengths(len, type);
        for (int i = 0; i < n_len; i++) {
            const size_t row_bytes = rr_row_bytes((enum rr_type)type, (size_t)len[i]);
            float *many = fenced_floats(&fm, M * N), *one = fenced_floats(&fo, 2 * N);
            for (int j = 0; j < N; j++)
                random_row(w + (size_t)j * row_bytes, (enum rr_type)type, len[i], 1.0f, &r);
            fill(x, (size_t)(M * len[i]), PLAIN, &r);
            product(&k, type, many, x, w, M, N, len[i]);
            for (int m = 0; m < M; m++) {
                const int rows = m % 2 ? 1 : m + 1 < M ? 2 : 1, n = N - m % 5;
                product(&k, type, one, x + (size_t)m * (size_t)len[i], w, rows, n, len[i]);
                for (int j = 0; j < rows * n; j++)
                    CHECK(same_bits(&one[j], &many[(m + j / n) * N + j % n], 1),
                          "%s %s k=%d: row %d, output %d is %a alone, %a of %d", level_of(&k),
                          type_of(type), len[i], m + j / n, j % n, (double)one[j],
                          (double)many[(m + j / n) * N + j % n], M);
            }
        }
    }
}

enum { SIDE = 70 };

/* One product of m rows and n columns from the corner (m0, n0) against the elements computed one by
 * one. */
static void check_gemm_part(const struct rr_kernels *k, const float *all, int m0, int m, int n0,
                            int n, int len, const struct rr_gemm *whole)
{
    static struct fence fy, fx, fw;
    static unsigned char scratch[RR_GEMM_SCRATCH];
    const size_t ldy = (size_t)n + 3, ldx = (size_t)len + 5, ldw = (size_t)len + 1;
    float *y = fenced_floats(&fy, ldy * (size_t)(m - 1) + (size_t)n);
    float *x = fenced_floats(&fx, ldx * (size_t)(m - 1) + (size_t)len);
    float *w = fenced_floats(&fw, ldw * (size_t)(n - 1) + (size_t)len);
    for (int i = 0; i < m; i++)
        memcpy(x + (size_t)i * ldx, whole->x + (size_t)(m0 + i) * whole->ldx,
               (size_t)len * sizeof *x);
    for (int j = 0; j < n; j++)
        memcpy(w + (size_t)j * ldw, (const char *)whole->w + (size_t)(n0 + j) * whole->row_bytes,
               (size_t)len * sizeof *w);
    struct rr_gemm g = {.y = y,
                        .ldy = ldy,
                        .x = x,
                        .ldx = ldx,
                        .w = w,
                        .row_bytes = ldw * sizeof *w,
                        .m = m,
                        .n = n,
                        .k = len};
    k->gemm[RR_TYPE_F32](&g, scratch);
    CHECK(guard_is_whole(y), "%s gemm m=%d n=%d k=%d wrote before its output", level_of(k), m, n,
          len);
    for (int i = 0; i < m; i++) {
        const float *row = all + (size_t)(m0 + i) * SIDE + n0;
        for (int j = 0; j < n; j++)
            CHECK(same_bits(y + (size_t)i * ldy + j, row + j, 1),
                  "%s gemm m=%d n=%d k=%d (%d, %d) is %a; alone it is %a", level_of(k), m, n, len,
                  i, j, (double)y[(size_t)i * ldy + (size_t)j], (double)row[j]);
        CHECK(i + 1 == m || is_poison(y + (size_t)i * ldy + n, ldy - (size_t)n),
              "%s gemm m=%d n=%d k=%d wrote behind row %d", level_of(k), m, n, len, i);
    }
}

Test(kernel, gemm_does_not_depend_on_its_extent)
{
    static const int lens[] = {1, 5, 7, 8, 9, 15, 16, 17, 24, 31, 33, 64, 70};
    static const int widths[] = {1, 2, 3, 4, 5, 7, 8, 11, 70};
    static float x[SIDE * SIDE], w[SIDE * SIDE], all[SIDE * SIDE];
    static unsigned char scratch[RR_GEMM_SCRATCH];
    struct rr_rng r;
    rr_rng_seed(&r, 6);
    EACH_PRODUCT(k, type)
    for (size_t l = 0; type == RR_TYPE_F32 && l < sizeof lens / sizeof lens[0]; l++) {
        const int len = lens[l];
        fill(x, SIDE * SIDE, PLAIN, &r);
        fill(w, SIDE * SIDE, PLAIN, &r);
        struct rr_gemm one = {
            .ldy = 1, .ldx = SIDE, .row_bytes = sizeof w[0] * SIDE, .m = 1, .n = 1, .k = len};
        struct rr_gemm whole = {.x = x, .ldx = SIDE, .w = w, .row_bytes = sizeof w[0] * SIDE};
        for (int i = 0; i < SIDE; i++) {
            for (int j = 0; j < SIDE; j++) {
                one.y = all + i * SIDE + j;
                one.x = x + i * SIDE;
                one.w = w + j * SIDE;
                k.gemm[RR_TYPE_F32](&one, scratch);
            }
        }
        for (int m = 1; m <= SIDE; m++)
            for (size_t n = 0; n < sizeof widths / sizeof widths[0]; n++)
                if (m <= 13 || m % 6 == (int)l % 6 || m >= 47)
                    check_gemm_part(&k, all, (SIDE - m) / 2, m, (SIDE - widths[n]) / 3, widths[n],
                                    len, &whole);
    }
}

/* Columns r0..r1 of m rows: each must have the bits of a row alone, whatever m and the range. */
static void check_matmul(const struct rr_kernels *k, const struct rr_tensor *w, const float *x,
                         int m, int r0, int r1, const float *expected)
{
    static struct fence fy, fs;
    const size_t ldy = (size_t)w->n_rows;
    void *scratch = fenced(&fs, rr_gemm_scratch(k, w->n_cols), 0);
    float *y = fenced_floats(&fy, (size_t)m * ldy);
    const struct rr_matmul mm = {.y = y,
                                 .ldy = ldy,
                                 .x = x,
                                 .ldx = (size_t)w->n_cols,
                                 .xq = quantised(k, x, m, w->n_cols),
                                 .m = m,
                                 .w = w};
    rr_matmul_rows(k, &mm, r0, r1, scratch);
    CHECK(guard_is_whole(y) && guard_is_whole(scratch),
          "%s matmul %s k=%d wrote before its output or scratch", level_of(k),
          type_of((int)w->type), w->n_cols);
    for (int i = 0; i < m; i++) {
        const float *row = y + (size_t)i * ldy;
        CHECK(is_poison(row, (size_t)r0) && is_poison(row + r1, ldy - (size_t)r1),
              "%s matmul %s k=%d m=%d wrote outside columns %d to %d", level_of(k),
              type_of((int)w->type), w->n_cols, m, r0, r1);
        CHECK(same_bits(row + r0, expected + (size_t)i * ldy + r0, (size_t)(r1 - r0)),
              "%s matmul %s k=%d m=%d columns %d to %d: row %d is not what it gives alone",
              level_of(k), type_of((int)w->type), w->n_cols, m, r0, r1, i);
    }
}

/* More rows than are used at once, and more columns than are turned at once. */
Test(kernel, many_rows_have_the_bits_of_each_alone)
{
    static const int counts[] = {33, 48, 70}, cols[] = {512, 768, 1024};
    static struct fence fy;
    static unsigned char data[37 * 1024 * 4];
    static float x[70 * 1024], expected[70 * 37];
    struct rr_rng r;
    rr_rng_seed(&r, 9);
    EACH_PRODUCT(k, type)
    for (size_t s = 0; s < sizeof cols / sizeof cols[0]; s++) {
        const struct rr_tensor w = {(enum rr_type)type, 37, cols[s], data};
        const size_t row_bytes = rr_row_bytes(w.type, (size_t)w.n_cols);
        for (int j = 0; j < w.n_rows; j++)
            random_row(data + (size_t)j * row_bytes, w.type, w.n_cols, 1, &r);
        fill(x, 70 * (size_t)w.n_cols, PLAIN, &r);
        for (int i = 0; i < 70; i++) {
            float *row = fenced_floats(&fy, 37);
            product(&k, type, row, x + (size_t)i * (size_t)w.n_cols, data, 1, 37, w.n_cols);
            memcpy(expected + i * 37, row, 37 * sizeof *row);
        }
        check_matmul(&k, &w, x, counts[s], 0, 37, expected);
    }
}

Test(kernel, a_part_of_a_matrix_is_that_part_of_the_product)
{
    static const int cols[] = {32, 7, 256, 1024, 16384}, rows[] = {150, 67, 70, 101, 9};
    static unsigned char data[150 * 256 * 4 + 101 * 1024 * 4 + 9 * 16384 * 4];
    static float x[9 * 16384], expected[9 * 150];
    struct rr_rng r;
    rr_rng_seed(&r, 8);
    EACH_PRODUCT(k, type)
    {
        for (size_t s = 0; s < sizeof cols / sizeof cols[0]; s++) {
            if (cols[s] % rr_type_info((enum rr_type)type)->block)
                continue;
            struct rr_tensor w = {(enum rr_type)type, rows[s], cols[s], data};
            const size_t row_bytes = rr_row_bytes(w.type, (size_t)w.n_cols);
            for (int j = 0; j < w.n_rows; j++)
                random_row(data + (size_t)j * row_bytes, w.type, w.n_cols, 1.0f, &r);
            fill(x, 9 * (size_t)w.n_cols, PLAIN, &r);
            for (int i = 0; i < 9; i++) {
                static struct fence fe;
                float *row = fenced_floats(&fe, (size_t)w.n_rows);
                product(&k, type, row, x + (size_t)i * (size_t)w.n_cols, data, 1, w.n_rows,
                        w.n_cols);
                memcpy(expected + i * w.n_rows, row, (size_t)w.n_rows * sizeof *row);
            }
            for (int m = 1; m <= 9; m++) {
                check_matmul(&k, &w, x, m, 0, w.n_rows, expected);
                check_matmul(&k, &w, x, m, 3, w.n_rows - 1, expected);
                check_matmul(&k, &w, x, m, 5, 6, expected);
            }
        }
    }
}

/* ---- attention ---- */

static void check_scores(const struct rr_kernels *k, int n_q, int n_panels, int hd, enum kind kind,
                         struct rr_rng *r)
{
    static struct fence fs, fq, fk;
    static float alone[4 * RR_PANEL], expected[RR_ATTN_ROWS * 4 * RR_PANEL];
    const struct rr_kernels c = table(RR_CPU_C);
    const size_t wide = (size_t)n_panels * RR_PANEL, lds = wide + 7, ldq = (size_t)hd + 3;
    float *s = fenced_floats(&fs, lds * (size_t)(n_q - 1) + wide);
    float *q = fenced_floats(&fq, ldq * (size_t)(n_q - 1) + (size_t)hd);
    float *keys = fenced_floats(&fk, wide * (size_t)hd);
    for (int i = 0; i < n_q; i++)
        fill(q + (size_t)i * ldq, (size_t)hd, kind, r);
    fill(keys, wide * (size_t)hd, PLAIN, r);
    struct rr_attn_scores a = {.s = s,
                               .lds = lds,
                               .q = q,
                               .ldq = ldq,
                               .k = keys,
                               .n_q = n_q,
                               .n_panels = n_panels,
                               .head_dim = hd,
                               .scale = 0.3f};
    k->attn_scores(&a);
    CHECK(guard_is_whole(s), "%s attn_scores rows=%d dim=%d wrote before its output", level_of(k),
          n_q, hd);
    a.s = expected;
    a.lds = wide;
    c.attn_scores(&a);
    for (int i = 0; i < n_q; i++) {
        struct rr_attn_scores one = a;
        one.s = alone;
        one.q = q + (size_t)i * ldq;
        one.n_q = 1;
        k->attn_scores(&one);
        CHECK(same_bits(s + (size_t)i * lds, alone, wide),
              "%s attn_scores dim=%d: row %d of %d differs from the row alone", level_of(k), hd, i,
              n_q);
        CHECK(i + 1 == n_q || is_poison(s + (size_t)i * lds + wide, lds - wide),
              "%s attn_scores rows=%d dim=%d wrote behind row %d", level_of(k), n_q, hd, i);
        for (size_t j = 0; j < wide; j++) {
            double sum = 0, size = 0;
            for (int d = 0; d < hd; d++) {
                const size_t at =
                    j / RR_PANEL * RR_PANEL * (size_t)hd + (size_t)d * RR_PANEL + j % RR_PANEL;
                const double t = (double)one.q[d] * (double)keys[at] * (double)a.scale;
                sum += t;
                size += fabs(t);
            }
            CHECK(close_enough((double)alone[j], sum, size) &&
                      close_enough((double)alone[j], (double)expected[(size_t)i * wide + j], size),
                  "%s attn_scores dim=%d %s row %d key %zu is %.9g; C has %.9g, double %.9g",
                  level_of(k), hd, kind_names[kind], i, j, (double)alone[j],
                  (double)expected[(size_t)i * wide + j], sum);
        }
    }
}

Test(kernel, attn_scores)
{
    struct rr_rng r;
    rr_rng_seed(&r, 9);
    EACH_LEVEL(k)
    for (int hd = 1; hd <= 70; hd++)
        for (int n_q = 1; n_q <= RR_ATTN_ROWS; n_q++)
            check_scores(&k, n_q, 1 + (hd + n_q) % 4, hd, (enum kind)((hd * 4 + n_q) % N_KINDS),
                         &r);
}

static void check_values(const struct rr_kernels *k, int n_q, int n, int hd, enum kind kind,
                         struct rr_rng *r)
{
    static struct fence fo, fp, fv;
    static float start[RR_ATTN_ROWS * 80], alone[80], expected[80];
    const struct rr_kernels c = table(RR_CPU_C);
    const size_t ldo = (size_t)hd + 5, ldp = (size_t)n + 2, ldv = (size_t)hd + 1;
    float *o = fenced_floats(&fo, ldo * (size_t)(n_q - 1) + (size_t)hd);
    float *p = fenced_floats(&fp, ldp * (size_t)(n_q - 1) + (size_t)n);
    float *v = fenced_floats(&fv, n ? ldv * (size_t)(n - 1) + (size_t)hd : 0);
    for (int i = 0; i < n_q; i++) {
        fill(o + (size_t)i * ldo, (size_t)hd, PLAIN, r);
        memcpy(start + i * hd, o + (size_t)i * ldo, (size_t)hd * sizeof *o);
        fill(p + (size_t)i * ldp, (size_t)n, PLAIN, r);
    }
    for (int j = 0; j < n; j++)
        fill(v + (size_t)j * ldv, (size_t)hd, kind, r);
    struct rr_attn_values a = {.o = o,
                               .ldo = ldo,
                               .p = p,
                               .ldp = ldp,
                               .v = v,
                               .ldv = ldv,
                               .n_q = n_q,
                               .n = n,
                               .head_dim = hd};
    k->attn_values(&a);
    CHECK(guard_is_whole(o), "%s attn_values rows=%d n=%d dim=%d wrote before its output",
          level_of(k), n_q, n, hd);
    for (int i = 0; i < n_q; i++) {
        /* The row alone, and cut where a path passes from one node to the next. */
        struct rr_attn_values one = a;
        memcpy(alone, start + i * hd, (size_t)hd * sizeof *alone);
        memcpy(expected, alone, sizeof expected);
        one.o = alone;
        one.p = p + (size_t)i * ldp;
        one.n_q = 1;
        one.n = n / 3;
        k->attn_values(&one);
        one.p += n / 3;
        one.v += (size_t)(n / 3) * ldv;
        one.n = n - n / 3;
        k->attn_values(&one);
        CHECK(same_bits(o + (size_t)i * ldo, alone, (size_t)hd),
              "%s attn_values n=%d dim=%d: row %d of %d differs from the row alone, in two calls",
              level_of(k), n, hd, i, n_q);
        CHECK(i + 1 == n_q || is_poison(o + (size_t)i * ldo + hd, ldo - (size_t)hd),
              "%s attn_values rows=%d n=%d dim=%d wrote behind row %d", level_of(k), n_q, n, hd, i);
        one = a;
        one.o = expected;
        one.p = p + (size_t)i * ldp;
        one.n_q = 1;
        c.attn_values(&one);
        for (int d = 0; d < hd; d++) {
            double sum = (double)start[i * hd + d], size = fabs(sum);
            for (int j = 0; j < n; j++) {
                const double t = (double)one.p[j] * (double)v[(size_t)j * ldv + (size_t)d];
                sum += t;
                size += fabs(t);
            }
            CHECK(close_enough((double)alone[d], sum, size) &&
                      close_enough((double)alone[d], (double)expected[d], size),
                  "%s attn_values n=%d dim=%d %s (%d, %d) is %.9g; C has %.9g, double %.9g",
                  level_of(k), n, hd, kind_names[kind], i, d, (double)alone[d], (double)expected[d],
                  sum);
        }
    }
}

Test(kernel, attn_values)
{
    struct rr_rng r;
    rr_rng_seed(&r, 10);
    EACH_LEVEL(k)
    {
        for (int hd = 1; hd <= 70; hd++)
            for (int n_q = 1; n_q <= RR_ATTN_ROWS; n_q++)
                check_values(&k, n_q, (hd * 7 + n_q) % 41, hd,
                             (enum kind)((hd * 4 + n_q) % N_KINDS), &r);
        for (int n = 0; n <= 70; n++)
            check_values(&k, 1 + n % RR_ATTN_ROWS, n, 24, PLAIN, &r);
    }
}

/* ---- element by element ---- */

/* softmax_exp of s[0..n), behind others whose greatest was `before`, against exp in double. */
static void check_softmax(const struct rr_kernels *k, const float *in, int n, float before)
{
    static struct fence fs;
    float *s = fenced_floats(&fs, (size_t)n);
    double total = 0;
    float max = before, greatest = before;
    memcpy(s, in, (size_t)n * sizeof *s);
    const float sum = k->softmax_exp(s, n, &greatest);
    CHECK(guard_is_whole(s), "%s softmax_exp n=%d wrote before its output", level_of(k), n);
    for (int i = 0; i < n; i++)
        max = in[i] > max ? in[i] : max;
    CHECK(greatest == max, "%s softmax_exp n=%d: the greatest is %g; expected %g", level_of(k), n,
          (double)greatest, (double)max);
    for (int i = 0; i < n; i++) {
        const double x = (double)(in[i] - max), e = exp(x);
        /* Below -87 anything between nothing and the smallest normal number will do. */
        CHECK(x < -87 ? s[i] >= 0 && s[i] < 2e-38f : fabs((double)s[i] - e) <= 4e-6 * e,
              "%s softmax_exp n=%d element %d: exp(%.9g) is %.9g; expected %.9g", level_of(k), n, i,
              x, (double)s[i], e);
        CHECK(x != 0 || s[i] == 1.0f, "%s softmax_exp n=%d: exp(0) is %a", level_of(k), n,
              (double)s[i]);
        total += (double)s[i];
    }
    CHECK(fabs((double)sum - total) <= 1e-5 * total,
          "%s softmax_exp n=%d: the sum is %.9g; expected %.9g", level_of(k), n, (double)sum,
          total);
}

Test(kernel, softmax_exp)
{
    static float s[4096];
    struct rr_rng r;
    rr_rng_seed(&r, 11);
    EACH_LEVEL(k)
    {
        for (int n = 1; n <= 70; n++) {
            for (int kind = 0; kind < N_KINDS; kind++) {
                fill(s, (size_t)n, (enum kind)kind, &r);
                check_softmax(&k, s, n, -INFINITY);
                check_softmax(&k, s, n, s[0]);
                check_softmax(&k, s, n, 5);
            }
            for (int at = 0; at < n; at++) { /* the largest anywhere */
                fill(s, (size_t)n, PLAIN, &r);
                s[at] = 30;
                check_softmax(&k, s, n, 29);
            }
        }
        for (int round = 0; round < 24; round++) { /* the whole range of exp, finely */
            for (int i = 0; i < 4096; i++)
                s[i] = i ? -4.0f * (float)round - 4.0f * (float)rr_rng_unit(&r) : 0;
            check_softmax(&k, s, 4096, -INFINITY);
        }
    }
}

Test(kernel, softmax_exp_passes_nan_on)
{
    static float s[70];
    EACH_LEVEL(k)
    for (int n = 1; n <= 70; n++) {
        for (int at = 0; at < n; at++) {
            for (int i = 0; i < n; i++)
                s[i] = (float)i / 10;
            s[at] = NAN;
            const float sum = k.softmax_exp(s, n, &(float){-INFINITY});
            CHECK(isnan(sum) && isnan(s[at]),
                  "%s softmax_exp n=%d: NaN at %d becomes %g, the sum %g", level_of(&k), n, at,
                  (double)s[at], (double)sum);
        }
    }
}

Test(kernel, rmsnorm)
{
    static struct fence fy, fx, fg;
    struct rr_rng r;
    rr_rng_seed(&r, 12);
    EACH_LEVEL(k)
    for (int n = 1; n <= 300; n += n < 70 ? 1 : 23) {
        for (int kind = 0; kind < N_KINDS; kind++) {
            float *y = fenced_floats(&fy, (size_t)n), *x = fenced_floats(&fx, (size_t)n);
            float *g = fenced_floats(&fg, (size_t)n);
            double sum = 0;
            fill(x, (size_t)n, (enum kind)kind, &r);
            fill(g, (size_t)n, PLAIN, &r);
            for (int i = 0; i < n; i++)
                sum += (double)x[i] * (double)x[i];
            k.rmsnorm(y, x, g, n, 1e-5f);
            CHECK(guard_is_whole(y), "%s rmsnorm n=%d wrote before its output", level_of(&k), n);
            for (int i = 0; i < n; i++) {
                const double e = (double)x[i] / sqrt(sum / n + (double)1e-5f) * (double)g[i];
                CHECK(fabs((double)y[i] - e) <= 1e-5 * fabs(e) + 1e-30,
                      "%s rmsnorm n=%d %s element %d is %.9g; expected %.9g", level_of(&k), n,
                      kind_names[kind], i, (double)y[i], e);
            }
            x[n / 2] = NAN;
            k.rmsnorm(y, x, g, n, 1e-5f);
            for (int i = 0; i < n; i++)
                CHECK(isnan(y[i]), "%s rmsnorm n=%d: NaN at %d leaves element %d %g", level_of(&k),
                      n, n / 2, i, (double)y[i]);
        }
    }
}

Test(kernel, silu_mul)
{
    static struct fence fg, fu;
    struct rr_rng r;
    rr_rng_seed(&r, 13);
    EACH_LEVEL(k)
    for (int n = 1; n <= 1000; n += n < 70 ? 1 : 31) {
        for (int round = 0; round < 5; round++) {
            static const float scale[] = {1, 10, 88, 1e3f, 1e-10f};
            static float in[1024];
            float *g = fenced_floats(&fg, (size_t)n), *u = fenced_floats(&fu, (size_t)n);
            for (int i = 0; i < n; i++)
                in[i] = g[i] = scale[round] * random_float(&r);
            fill(u, (size_t)n, PLAIN, &r);
            const int bad = round ? -1 : n / 3;
            if (bad >= 0)
                g[bad] = NAN;
            k.silu_mul(g, u, n);
            CHECK(guard_is_whole(g), "%s silu_mul n=%d wrote before its output", level_of(&k), n);
            for (int i = 0; i < n; i++) {
                const double x = (double)in[i], e = x / (1 + exp(-x)) * (double)u[i];
                if (i == bad)
                    CHECK(isnan(g[i]), "%s silu_mul n=%d: NaN becomes %g", level_of(&k), n,
                          (double)g[i]);
                else
                    CHECK(fabs((double)g[i] - e) <= 6e-6 * fabs(e) + 1e-30,
                          "%s silu_mul n=%d: silu(%.9g) * %.9g is %.9g; expected %.9g",
                          level_of(&k), n, x, (double)u[i], (double)g[i], e);
            }
        }
    }
}

Test(kernel, add)
{
    static struct fence fy, fx;
    static float before[1024];
    struct rr_rng r;
    rr_rng_seed(&r, 14);
    EACH_LEVEL(k)
    for (int n = 1; n <= 1000; n += n < 70 ? 1 : 31) {
        float *y = fenced_floats(&fy, (size_t)n), *x = fenced_floats(&fx, (size_t)n);
        fill(x, (size_t)n, (enum kind)(n % N_KINDS), &r);
        fill(y, (size_t)n, PLAIN, &r);
        x[n / 2] = n % 2 ? INFINITY : NAN;
        memcpy(before, y, (size_t)n * sizeof *y);
        k.add(y, x, n);
        CHECK(guard_is_whole(y), "%s add n=%d wrote before its output", level_of(&k), n);
        for (int i = 0; i < n; i++) {
            const float e = before[i] + x[i];
            CHECK(same_bits(&y[i], &e, 1) || (isnan(y[i]) && isnan(e)),
                  "%s add n=%d element %d is %a; expected %a", level_of(&k), n, i, (double)y[i],
                  (double)e);
        }
    }
}

/* What a cache in F16 or Q8_0 holds is written and read at every level as C does it. */
Test(kernel, small_caches_are_what_c_makes)
{
    enum { N = 96 };
    static float x[N], y[N * RR_PANEL], expected[N * RR_PANEL], d[N / RR_QK * RR_PANEL];
    static int8_t q[N * RR_PANEL];
    static uint16_t half[N], expected_half[N];
    static const float odd[] = {0.0f, -0.0f, INFINITY, -INFINITY, 65520.0f, 65519.0f, 1e-8f, 6e-8f};
    const struct rr_kernels c = table(RR_CPU_C);
    struct rr_rng r;
    rr_rng_seed(&r, 91);
    EACH_LEVEL(k)
    for (int round = 0; round < 60; round++) {
        const int n = 1 + (int)rr_rng_below(&r, N);
        fill(x, N, (enum kind)(round % N_KINDS), &r);
        x[round % n] = odd[round % 8];
        k.to_f16(half, x, n);
        c.to_f16(expected_half, x, n);
        CHECK(memcmp(half, expected_half, (size_t)n * sizeof *half) == 0, "%s: to_f16 of %d",
              level_of(&k), n);
        x[0] = NAN;
        k.to_f16(half, x, n);
        CHECK(isnan(rr_f16_to_f32(half[0])), "%s: NaN becomes %04x", level_of(&k), half[0]);
        const int hd = RR_QK * (1 + round % 3);
        for (int i = 0; i < hd * RR_PANEL; i++)
            q[i] = (int8_t)((int)rr_rng_below(&r, 255) - 127);
        for (int i = 0; i < hd / RR_QK * RR_PANEL; i++)
            d[i] = (float)rr_rng_unit(&r);
        k.keys_q8_0(y, q, d, hd);
        c.keys_q8_0(expected, q, d, hd);
        CHECK(same_bits(y, expected, (size_t)hd * RR_PANEL), "%s: keys of %d", level_of(&k), hd);
        CHECK((double)y[hd * RR_PANEL - 1] ==
                  (double)(q[hd * RR_PANEL - 1] * d[hd / RR_QK * RR_PANEL - 1]),
              "%s: the last key of %d", level_of(&k), hd);
        k.values_q8_0(y, q, d, hd);
        c.values_q8_0(expected, q, d, hd);
        CHECK(same_bits(y, expected, (size_t)hd) &&
                  (double)y[hd - 1] == (double)(q[hd - 1] * d[hd / RR_QK - 1]),
              "%s: a value of %d", level_of(&k), hd);
    }
}
