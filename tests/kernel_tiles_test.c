/* Attention in tiles (engine/kernel/attn_tiles.h) against double arithmetic, and every query
 * against itself alone: at the levels that have tiles, which few machines do (`make amx` emulates
 * them). */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "tests/make_inputs.h"
#include "tests/test.h"

enum { MAX_QUERIES = 35, MAX_DIM = 130, MAX_CELLS = RR_TILE_SUMS * RR_TILE_DEPTH };

/* A number is off by 2^-17 of it as a pair; a product lacks 2^-18 of it, and what is smaller than
 * any normal number of float32. */
static bool close_to(double got, double expected, double size)
{
    return fabs(got - expected) <= size * 0x1p-15 + 1e-30;
}

static const struct rr_attn_tiles *best_tiles(void)
{
    static struct rr_kernels k;
    rr_kernels_init(&k, rr_cpu_best());
    return k.attn_tiles;
}

#define NEED_TILES(t)                                                                              \
    const struct rr_attn_tiles *t = best_tiles();                                                  \
    if (!(t))                                                                                      \
    SKIP("this machine has no tiles: make amx")

/* Pairs of n queries, and as many behind them as are read, all of them NaN. */
static uint16_t *pairs_of(const struct rr_attn_tiles *t, const float *q, int n, int hd, float scale)
{
    static uint16_t out[(MAX_QUERIES + RR_TILE_ROWS) * 2 * (MAX_DIM + RR_TILE_DEPTH)];
    memset(out, POISON, sizeof out);
    t->queries(out, q, n, hd, scale);
    return out;
}

static void check_scores(const struct rr_attn_tiles *t, int n_q, int n_panels, int hd,
                         enum kind kind, struct rr_rng *r)
{
    static struct fence fs, fq, fk;
    static float alone[RR_TILE_SUMS * RR_PANEL];
    static uint16_t tiles[RR_TILE_SUMS * 2 * (MAX_DIM + RR_TILE_DEPTH) * RR_PANEL];
    const size_t wide = (size_t)n_panels * RR_PANEL, lds = wide + 7;
    float *s = fenced_floats(&fs, lds * (size_t)(n_q - 1) + wide);
    float *q = fenced_floats(&fq, (size_t)hd * (size_t)n_q);
    float *keys = fenced_floats(&fk, wide * (size_t)hd);
    fill(q, (size_t)hd * (size_t)n_q, kind, r);
    fill(keys, wide * (size_t)hd, PLAIN, r);
    keys[hd / 2 * RR_PANEL + 3] = NAN; /* of key 3 alone */
    t->keys(tiles, keys, n_panels, hd);
    struct rr_tiled_scores a = {.s = s,
                                .lds = lds,
                                .q = pairs_of(t, q, n_q, hd, 0.3f),
                                .k = tiles,
                                .n_q = n_q,
                                .n_panels = n_panels,
                                .head_dim = hd};
    t->scores(&a);
    CHECK(guard_is_whole(s), "scores of %d, dim %d: wrote before them", n_q, hd);
    for (int i = 0; i < n_q; i++) {
        const float *row = s + (size_t)i * lds;
        struct rr_tiled_scores one = a;
        one.s = alone;
        one.q = pairs_of(t, q + i * hd, 1, hd, 0.3f);
        one.n_q = 1;
        t->scores(&one);
        CHECK(i + 1 == n_q || is_poison(row + wide, lds - wide),
              "dim %d: wrote behind row %d of %d", hd, i, n_q);
        for (size_t j = 0; j < wide; j++) {
            double sum = 0, size = 0;
            for (int d = 0; d < hd; d++) {
                const size_t at = (j / RR_PANEL * (size_t)hd + (size_t)d) * RR_PANEL + j % RR_PANEL;
                const double p = (double)q[i * hd + d] * (double)keys[at] * (double)0.3f;
                sum += p;
                size += fabs(p);
            }
            CHECK(j == 3 ? isnan(row[j]) : close_to((double)row[j], sum, size),
                  "dim %d, %s: row %d of %d, key %zu is %.9g; double has %.9g", hd,
                  kind_names[kind], i, n_q, j, (double)row[j], sum);
            CHECK(j == 3 || memcmp(&row[j], &alone[j], sizeof *row) == 0,
                  "dim %d: row %d of %d, key %zu differs from the row alone", hd, i, n_q, j);
        }
    }
}

Test(kernel_tiles, scores)
{
    struct rr_rng r;
    NEED_TILES(t);
    rr_rng_seed(&r, 31);
    for (int hd = 1; hd <= MAX_DIM; hd += hd < 70 ? 1 : 29)
        for (int n_q = 1 + hd % 4; n_q <= MAX_QUERIES; n_q += 5)
            check_scores(t, n_q, 1 + (hd + n_q) % RR_TILE_SUMS, hd,
                         (enum kind)((hd * 4 + n_q) % N_KINDS), &r);
}

/* Weights as softmax leaves them: none is negative, and zero behind the n-th. */
static void fill_weights(float *p, int n, int end, struct rr_rng *r)
{
    fill(p, (size_t)n, PLAIN, r);
    for (int i = 0; i < end; i++)
        p[i] = i < n ? fabsf(p[i]) : 0;
}

static void check_values(const struct rr_attn_tiles *t, int n_q, int n, int hd, enum kind kind,
                         struct rr_rng *r)
{
    static struct fence fo, fp, fv;
    static float start[MAX_QUERIES * (MAX_DIM + 16)], alone[MAX_DIM + 16];
    static uint16_t tiles[RR_TILE_SUMS * 2 * (MAX_DIM + 16) * RR_TILE_DEPTH];
    const int groups = (n + RR_TILE_DEPTH - 1) / RR_TILE_DEPTH;
    const size_t ld = rr_tile_up(hd, 16), ldp = (size_t)(groups * RR_TILE_DEPTH) + 2,
                 group = rr_tiled_group(hd);
    float *o = fenced_floats(&fo, ld * (size_t)n_q);
    float *p = fenced_floats(&fp, ldp * (size_t)(n_q - 1) + ldp - 2);
    float *v = fenced_floats(&fv, (size_t)n * (size_t)hd);
    fill(o, ld * (size_t)n_q, PLAIN, r);
    memcpy(start, o, ld * (size_t)n_q * sizeof *o);
    for (int i = 0; i < n_q; i++)
        fill_weights(p + (size_t)i * ldp, n - i % 3 > 0 ? n - i % 3 : 0, groups * RR_TILE_DEPTH, r);
    fill(v, (size_t)n * (size_t)hd, kind, r);
    for (int g = 0; g < groups; g++) {
        const int left = n - g * RR_TILE_DEPTH;
        CHECK(t->values(tiles + (size_t)g * group, v + (size_t)g * RR_TILE_DEPTH * (size_t)hd,
                        left < RR_TILE_DEPTH ? left : RR_TILE_DEPTH, hd),
              "dim %d, %s: finite values are not", hd, kind_names[kind]);
    }
    struct rr_tiled_values a = {
        .o = o, .p = p, .ldp = ldp, .v = tiles, .n_q = n_q, .n_groups = groups, .head_dim = hd};
    t->add_values(&a);
    CHECK(guard_is_whole(o), "values of %d, dim %d: wrote before them", n_q, hd);
    for (int i = 0; i < n_q; i++) {
        struct rr_tiled_values one = a;
        memcpy(alone, start + (size_t)i * ld, ld * sizeof *alone);
        one.o = alone;
        one.n_q = one.n_groups = 1;
        for (int g = 0; g < groups; g++) { /* group by group */
            one.p = p + (size_t)i * ldp + (size_t)g * RR_TILE_DEPTH;
            one.v = tiles + (size_t)g * group;
            t->add_values(&one);
        }
        CHECK(same_bits(o + (size_t)i * ld, alone, (size_t)hd),
              "dim %d, %d values: row %d of %d differs from the row alone", hd, n, i, n_q);
        for (int d = 0; d < hd; d++) {
            double sum = (double)start[(size_t)i * ld + (size_t)d], size = fabs(sum);
            for (int j = 0; j < n; j++) {
                const double w = (double)p[(size_t)i * ldp + (size_t)j] * (double)v[j * hd + d];
                sum += w;
                size += fabs(w);
            }
            CHECK(close_to((double)alone[d], sum, size),
                  "dim %d, %d values, %s: (%d, %d) is %.9g; double has %.9g", hd, n,
                  kind_names[kind], i, d, (double)alone[d], sum);
        }
    }
}

Test(kernel_tiles, values)
{
    struct rr_rng r;
    NEED_TILES(t);
    rr_rng_seed(&r, 32);
    for (int hd = 1; hd <= MAX_DIM; hd += hd < 70 ? 1 : 29)
        for (int n_q = 1 + hd % 4; n_q <= MAX_QUERIES; n_q += 5)
            check_values(t, n_q, 1 + (hd * 7 + n_q) % MAX_CELLS, hd,
                         (enum kind)((hd * 4 + n_q) % N_KINDS), &r);
}

/* What is not finite is found wherever it is, and so is what bfloat16 cannot hold. */
Test(kernel_tiles, values_that_are_not_finite)
{
    enum { HD = 40, N = 29 };
    static float v[N * HD];
    static uint16_t tiles[2 * 48 * RR_TILE_DEPTH];
    const float bad[] = {NAN, INFINITY, -INFINITY, 3.4e38f, 3.38e38f};
    struct rr_rng r;
    NEED_TILES(t);
    rr_rng_seed(&r, 33);
    fill(v, N * HD, PLAIN, &r);
    for (int at = 0; at < N * HD; at += 7) {
        const float before = v[at];
        for (int i = 0; i < 5; i++) {
            v[at] = bad[i];
            CHECK(t->values(tiles, v, N, HD) == (i == 4), "%g at %d", (double)bad[i], at);
        }
        v[at] = before;
    }
}
