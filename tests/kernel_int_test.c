/* Integer products of quantised weights, bit for bit what plain C gives, at every CPU level that
 * has them; and those for decoding, which are close to it. */
#include "tests/test.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>
#include "engine/kernel/kernel.h"
#include "tests/make_inputs.h"
#include "tests/make_model.h"

static void check_quantise(const struct rr_kernels *k, const float *x, int len, const char *what)
{
    static int8_t q[512], expected_q[512];
    static float d[512 / RR_QK], expected_d[512 / RR_QK];
    static int16_t sum[2 * 512 / RR_QK], expected_sum[2 * 512 / RR_QK];
    const struct rr_kernels c = table(RR_CPU_C);
    const struct rr_quantised expected = {.q = expected_q, .d = expected_d, .sum = expected_sum},
                              out = {.q = q, .d = d, .sum = sum};
    c.quantise(&expected, x, len);
    k->quantise(&out, x, len);
    for (int b = 0; b < len / RR_QK; b++) {
        CHECK(memcmp(q + b * RR_QK, expected_q + b * RR_QK, RR_QK) == 0 &&
                  sum[2 * b] == expected_sum[2 * b] && sum[2 * b + 1] == expected_sum[2 * b + 1] &&
                  (same_bits(d + b, expected_d + b, 1) || (isnan(d[b]) && isnan(expected_d[b]))),
              "%s quantise %s block %d: d %a, sum %d; C has %a, %d", level_of(k), what, b,
              (double)d[b], sum[2 * b], (double)expected_d[b], expected_sum[2 * b]);
        for (int i = 0; i < RR_QK; i++) {
            const double error = fabs((double)x[b * RR_QK + i] - (double)d[b] * q[b * RR_QK + i]);
            CHECK(!isfinite(d[b]) || error <= (double)d[b] * 0.5001 + 1e-30,
                  "%s quantise %s: %a is off by %g with steps of %g", level_of(k), what,
                  (double)x[b * RR_QK + i], error, (double)d[b]);
        }
    }
}

Test(kernel, rows_are_quantised_as_c_does)
{
    static float x[512];
    struct rr_rng r;
    rr_rng_seed(&r, 81);
    EACH_LEVEL(k)
    for (int kind = 0; kind < N_KINDS; kind++)
        for (int round = 0; round < 40; round++) {
            const int len = RR_QK * (1 + round % 16);
            fill(x, (size_t)len, (enum kind)kind, &r);
            check_quantise(&k, x, len, kind_names[kind]);
            static const float odd[] = {NAN, -NAN, INFINITY, -INFINITY, 1e-42f, 3e38f, -0.0f};
            x[(round * 7) % len] = odd[round % 7];
            check_quantise(&k, x, len, "a number that is not usual");
        }
}

/* Everything that is not finite in x or in W's scale reaches every output it should, no other. */
Test(kernel, integer_products_hand_nan_on)
{
    static float x[64], y[3 * 20];
    static unsigned char w[20 * 2 * sizeof(struct rr_block_q8_0)];
    const uint16_t nan16 = 0x7E00;
    struct rr_rng r;
    rr_rng_seed(&r, 82);
    EACH_LEVEL(k)
    for (int bad = 0; bad < 3; bad++)
        for (int m = 1; m <= 3; m++) {
            static unsigned char scratch[RR_GEMM_SCRATCH + (64 << 10)];
            const size_t row = 2 * sizeof(struct rr_block_q8_0);
            static float rows[3 * 64];
            for (int j = 0; j < 20; j++)
                random_row(w + (size_t)j * row, RR_TYPE_Q8_0, 64, 1, &r);
            fill(x, 64, PLAIN, &r);
            for (int i = 0; i < m; i++)
                memcpy(rows + i * 64, x, sizeof x);
            if (bad < 2)
                rows[40] = bad ? INFINITY : NAN;
            else
                memcpy(w + 3 * row, &nan16, 2);
            const struct rr_gemm g = {.y = y,
                                      .ldy = 20,
                                      .xq = *quantised(&k, rows, m, 64),
                                      .w = w,
                                      .type = RR_TYPE_Q8_0,
                                      .table = &k,
                                      .row_bytes = row,
                                      .m = m,
                                      .n = 20,
                                      .k = 64};
            k.gemm[RR_TYPE_Q8_0](&g, scratch);
            for (int i = 0; i < m; i++)
                for (int j = 0; j < 20; j++)
                    CHECK(isfinite(y[i * 20 + j]) == (bad < 2 ? i != 0 : j != 3),
                          "%s: %a at row %d, output %d", level_of(&k), (double)y[i * 20 + j], i, j);
        }
}

Test(kernel, integer_products_are_what_c_gives)
{
    static const int widths[] = {1, 2, 15, 16, 17, 31, 32, 33, 47, 70};
    static struct fence fw, fy, fs;
    static float x[9 * 16384 * 2], expected[20 * 70];
    const struct rr_kernels c = table(RR_CPU_C);
    struct rr_rng r;
    rr_rng_seed(&r, 83);
    EACH_LEVEL(k)
    for (int type = 0; type < RR_TYPE_COUNT; type++)
        /* Of the types that came later the numbers are read in their own way, nothing else. */
        for (int round = 0;
             round < (type <= RR_TYPE_Q4_K ? 9 : 3) && k.prepared[type] == RR_READS_8 && !k.tiles;
             round++)
            for (size_t n = 0; n < sizeof widths / sizeof widths[0]; n += sanitized() ? 3 : 1)
                for (int m = 1; m <= 20; m += m < 8 ? 1 : 4) {
                    static const int blocks[] = {1, 2, 3, 4, 15, 26, 37, 48, 59};
                    const int block = rr_type_info((enum rr_type)type)->block,
                              len = blocks[block == RR_QK ? round : round % 5] * block,
                              width = widths[n];
                    const size_t bytes = rr_row_bytes((enum rr_type)type, (size_t)len);
                    unsigned char *w = fenced(&fw, bytes * (size_t)width, 0);
                    float *y = fenced_floats(&fy, (size_t)(m * width));
                    void *scratch = fenced(&fs, RR_GEMM_SCRATCH, (size_t)(m % 3) * 4);
                    int ids[70];
                    for (int j = 0; j < width; j++) {
                        any_row(w + (size_t)j * bytes, type, len, &r);
                        ids[j] = (int)rr_rng_below(&r, (uint64_t)width);
                    }
                    fill(x, (size_t)(m * len), (enum kind)(m % N_KINDS), &r);
                    struct rr_gemm g = {.y = expected,
                                        .ldy = (size_t)width,
                                        .xq = *quantised(&k, x, m, len),
                                        .w = w,
                                        .type = (enum rr_type)type,
                                        .table = &k,
                                        .rows = (m + round) % 2 ? ids : NULL,
                                        .row_bytes = bytes,
                                        .m = m,
                                        .n = width,
                                        .k = len};
                    c.gemm[type](&g, scratch);
                    g.y = y;
                    for (int side = 0; side < (m <= 3 ? 2 : 1); side++) {
                        g.side_by_side = side;
                        memset(y, 0xFF, sizeof *y * (size_t)(m * width));
                        k.gemm[type](&g, scratch);
                        CHECK(same_bits(y, expected, (size_t)(m * width)) && guard_is_whole(y) &&
                                  guard_is_whole(scratch),
                              "%s gemm_q %s m=%d n=%d k=%d side_by_side=%d is not what C gives",
                              level_of(&k), type_of(type), m, width, len, side);
                    }
                }
}

/* Weights of 1 and 0 below a great number of x in every block: what an implementation adds to
 * bytes to have them without a sign must be gone before it rounds. */
Test(kernel, small_weights_are_not_lost_beside_great_activations)
{
    enum { K = 2048, N = 9 };
    static unsigned char w[N * (K / RR_QK) * sizeof(struct rr_block_q8_0)];
    static float x[K], y[N];
    static unsigned char scratch[1 << 20];
    for (int i = 0; i < K; i++) /* 127 quanta, or one: to be multiplied with 0, or with 1 */
        x[i] = i % RR_QK == 9 ? 127 * 0.3f : i % RR_QK == 20 ? 0.3f : 0;
    for (size_t b = 0; b < sizeof w / sizeof(struct rr_block_q8_0); b++) {
        struct rr_block_q8_0 block = {.d = 0x3555}; /* about a third */
        block.q[20] = 1;
        memcpy(w + b * sizeof block, &block, sizeof block);
    }
    EACH_PRODUCT(k, type)
    if (type == RR_TYPE_Q8_0 && !k.tiles) {
        const struct rr_tensor tensor = {RR_TYPE_Q8_0, N, K, w};
        const struct rr_matmul mm = {
            .y = y, .ldy = N, .x = x, .ldx = K, .xq = quantised(&k, x, 1, K), .m = 1, .w = &tensor};
        rr_matmul_rows(&k, &mm, 0, N, scratch);
        const double expected = K / RR_QK * 0.333251953125 * (double)0.3f;
        for (int j = 0; j < N; j++)
            CHECK(fabs((double)y[j] - expected) <= 1e-6 * expected,
                  "%s Q8_0: output %d is %.9g, not %.9g", level_of(&k), j, (double)y[j], expected);
    }
}

/* Products for decoding in integers: x and W end at memory that may not be touched; W is any bytes,
 * or the largest numbers there are beside the largest of x, whose sums must not be cut off; and an
 * output has the same bits among all rows and among those asked for. */
static void check_decoding(const struct rr_kernels *k, int type, int len, int n, bool greatest,
                           struct rr_rng *r)
{
    static struct fence fw, fq, fd, fs, fy, fc;
    static float x[16 * RR_QK_K], weights[16 * RR_QK_K];
    float expected[9], *y = fenced_floats(&fy, (size_t)n), *chosen = fenced_floats(&fc, (size_t)n);
    int ids[9];
    const struct rr_kernels c = table(RR_CPU_C);
    const size_t bytes = rr_row_bytes((enum rr_type)type, (size_t)len),
                 blocks = (size_t)len / RR_QK;
    const struct rr_type_info *t = rr_type_info((enum rr_type)type);
    unsigned char *w = fenced(&fw, bytes * (size_t)n, 0);
    const struct rr_quantised xq = {.q = fenced(&fq, (size_t)len, 0),
                                    .d = fenced_floats(&fd, blocks),
                                    .sum = fenced(&fs, 4 * blocks, 0)};
    fill(x, (size_t)len, PLAIN, r);
    for (int i = 0; greatest && i < len; i++)
        x[i] = i / RR_QK % 2 ? 1 : -1;
    c.quantise(&xq, x, len);
    for (int j = 0; j < n; j++) {
        unsigned char *row = w + (size_t)j * bytes;
        any_row(row, type, len, r);
        for (size_t b = 0; greatest && b < bytes; b++)
            if (b % t->block_bytes != t->halves[0].at + 1 &&
                (!t->halves[1].most || b % t->block_bytes != t->halves[1].at + 1))
                row[b] = type == RR_TYPE_Q8_0 ? (j % 2 ? 0x80 : 0x7F) : j % 2 ? 0xFF : 0;
        ids[j] = (int)rr_rng_below(r, (uint64_t)n);
    }
    struct rr_gemm g = {.y = expected,
                        .ldy = (size_t)n,
                        .xq = xq,
                        .w = w,
                        .type = (enum rr_type)type,
                        .table = k,
                        .row_bytes = bytes,
                        .m = 1,
                        .n = n,
                        .k = len};
    static unsigned char scratch[RR_GEMM_SCRATCH];
    c.gemm[type](&g, scratch);
    g.y = y;
    k->decode[type](&g, scratch);
    g.y = chosen;
    g.rows = ids;
    k->decode[type](&g, scratch);
    CHECK(guard_is_whole(y) && guard_is_whole(chosen), "%s decode %s k=%d n=%d wrote before y",
          level_of(k), type_of(type), len, n);
    for (int j = 0; j < n; j++) {
        double size = 0;
        c.row_f32[type](weights, w + (size_t)j * bytes, len);
        for (int i = 0; i < len; i++)
            size += fabs((double)weights[i]) * fabs((double)xq.d[i / RR_QK] * xq.q[i]);
        CHECK(fabs((double)y[j] - (double)expected[j]) <= 1e-5 * size + 1e-6,
              "%s decode %s k=%d n=%d: output %d is %g, C has %g", level_of(k), type_of(type), len,
              n, j, (double)y[j], (double)expected[j]);
        CHECK(same_bits(&chosen[j], &y[ids[j]], 1),
              "%s decode %s k=%d n=%d: row %d is %a where it is asked for, else %a", level_of(k),
              type_of(type), len, n, ids[j], (double)chosen[j], (double)y[ids[j]]);
    }
}

static bool decodes_in_integers(const struct rr_kernels *k, int type)
{
    return k->decode[type] && k->prepared[type] == RR_READS_8;
}

Test(kernel, decoding_in_integers_is_close_to_c)
{
    struct rr_rng r;
    rr_rng_seed(&r, 84);
    EACH_LEVEL(k)
    for (int type = 0; type < RR_TYPE_COUNT; type++) {
        int len[MAX_LENGTHS], n_len = lengths(len, type);
        for (int i = 0; i < n_len && decodes_in_integers(&k, type); i++)
            for (int n = 1; n <= 9; n++)
                check_decoding(&k, type, len[i], n, n % 3 == 2, &r);
    }
}

/* The last block holds what is not finite: of x all outputs see it, of a row of W its own. Where x
 * is as great as floats get, what a least value of zero takes off is not their infinite sum. */
static void check_decoding_of_odd_numbers(const struct rr_kernels *k, int type, struct rr_rng *r)
{
    enum { N = 6, MOST_K = 2 * RR_QK_K };
    static float x[MOST_K], y[N];
    static unsigned char w[N * 2048], scratch[RR_GEMM_SCRATCH];
    const struct rr_type_info *t = rr_type_info((enum rr_type)type);
    const int len = t->block == RR_QK ? 11 * RR_QK : MOST_K;
    const size_t bytes = rr_row_bytes((enum rr_type)type, (size_t)len);
    const uint16_t nan16 = 0x7E00;
    const struct rr_kernels c = table(RR_CPU_C); /* tiles would have x in pairs */
    for (int bad = 0; bad < 4; bad++) {
        for (int j = 0; j < N; j++)
            random_row(w + (size_t)j * bytes, (enum rr_type)type, len, 1, r);
        fill(x, (size_t)len, PLAIN, r);
        if (bad < 2)
            x[len - 1] = bad ? INFINITY : NAN;
        else if (bad == 2)
            memcpy(w + 4 * bytes - t->block_bytes + t->halves[0].at, &nan16, 2);
        for (int i = 0; bad == 3 && i < len; i++)
            x[i] = 2e37f;
        for (size_t b = 0; bad == 3 && b < N * bytes; b += t->block_bytes)
            for (int h = 0; h < 2 && t->halves[h].most; h++) /* 6e-8, and no least value */
                memcpy(w + b + t->halves[h].at, &(uint16_t){h == 0}, 2);
        const struct rr_gemm g = {.y = y,
                                  .ldy = N,
                                  .xq = *quantised(&c, x, 1, len),
                                  .w = w,
                                  .type = (enum rr_type)type,
                                  .table = k,
                                  .row_bytes = bytes,
                                  .m = 1,
                                  .n = N,
                                  .k = len};
        k->decode[type](&g, scratch);
        for (int j = 0; j < N; j++)
            CHECK(isfinite(y[j]) == (bad == 3 || (bad == 2 && j != 3)),
                  "%s decode %s: case %d, output %d is %a", level_of(k), type_of(type), bad, j,
                  (double)y[j]);
    }
}

Test(kernel, decoding_in_integers_hands_on_what_is_not_finite)
{
    struct rr_rng r;
    rr_rng_seed(&r, 85);
    EACH_LEVEL(k)
    for (int type = 0; type < RR_TYPE_COUNT; type++)
        if (decodes_in_integers(&k, type))
            check_decoding_of_odd_numbers(&k, type, &r);
}

#if RR_X86
/* A level that forgets its own would decode with what is below it, and no number would tell. */
Test(kernel, levels_have_products_for_decoding)
{
    static const int types[] = {RR_TYPE_Q8_0, RR_TYPE_Q4_0, RR_TYPE_Q4_K, RR_TYPE_Q5_K,
                                RR_TYPE_Q6_K};
    const struct rr_kernels avx2 = table(RR_CPU_AVX2);
    EACH_LEVEL(k)
    for (size_t i = 0; k.level >= RR_CPU_AVX2 && i < sizeof types / sizeof types[0]; i++) {
        const bool own = k.level == RR_CPU_AVXVNNI || k.level >= RR_CPU_AVX512VNNI;
        CHECK(k.decode[types[i]] && (!own || k.decode[types[i]] != avx2.decode[types[i]]),
              "%s has no product of its own to decode %s", level_of(&k), type_of(types[i]));
    }
}
#endif
