/* AMX: y = x W^T in tiles of bfloat16 with sums in float32, W of any stored type.
 *
 * 32 rows of W become float32, then bfloat16, in a panel of scratch that all rows of x are
 * multiplied with; x comes as pairs (rr_prepare_row). Per 32 rows of W and 32 of x, four tiles of
 * sums stay in their registers over all of K. A tile's sum adds, for each 32 of K in order, the
 * even products and the odd ones apart, each in order, then both (Intel SDM, TDPBF16PS, denormals
 * being zero): so a row of x has the same bits in whatever company.
 *
 * Quantised weights are rounded to eight bits of precision, and so is x. F16 and BF16 want more: a
 * number is the sum of two bfloat16 there (x always, F16 exactly), and all products but that of the
 * two small parts are added. F32 stays with AVX-512.
 *
 * Machines without AMX can run this with -DRR_AMX_EMULATED (make amx), for tests. */
#include "engine/kernel/kernel.h"
#include "engine/kernel/peak.h"

#if RR_X86
#include <immintrin.h>
#include <string.h>

RR_TARGET_BEGIN("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,amx-tile,amx-bf16")

#if defined(RR_AMX_EMULATED)
#include "engine/kernel/amx_emulated.h"
#endif

#define ROWS RR_TILE_ROWS
#define DEPTH 32         /* of K in a tile */
#define BOTH (2 * ROWS)  /* rows of W in a panel, and of x used at once */
#define CHUNK 512        /* of K turned at once */
#define TILE (ROWS * 16) /* words */

/* What compilers believe about the memory that tile instructions touch differs: they shall believe
 * that it is all of it. */
#define barrier() __asm__ __volatile__("" ::: "memory")

/* 32 numbers as bfloat16, the nearest, half to even. */
RR_INLINE __m512i bfloats(__m512 low, __m512 high)
{
    return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

RR_INLINE __m512 floats(__m256i v)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(v), 16));
}

/* 32 numbers, and what is left of them. */
RR_INLINE void split(__m512i *large, __m512i *small, const float *x)
{
    const __m512 low = _mm512_loadu_ps(x), high = _mm512_loadu_ps(x + 16);
    *large = bfloats(low, high);
    *small = bfloats(_mm512_sub_ps(low, floats(_mm512_castsi512_si256(*large))),
                     _mm512_sub_ps(high, floats(_mm512_extracti64x4_epi64(*large, 1))));
}

static void pairs(uint32_t *out, int i, const float *x, int k)
{
    const size_t cols = rr_tile_cols(k);
    out += (size_t)(i / ROWS) * cols * ROWS + (size_t)(i % ROWS);
    for (size_t d = 0; d < cols; d += DEPTH, out += 2 * TILE) {
        float part[DEPTH] = {0};
        uint32_t words[2][DEPTH / 2];
        __m512i large, small;
        const size_t n = (size_t)k - d < DEPTH ? (size_t)k - d : DEPTH;
        memcpy(part, x + d, n * sizeof *x);
        split(&large, &small, part);
        _mm512_storeu_si512(words[0], large);
        _mm512_storeu_si512(words[1], small);
        for (int w = 0; w < DEPTH / 2; w++) {
            out[w * ROWS] = words[0][w];
            out[TILE + w * ROWS] = words[1][w];
        }
    }
}

/* Products of one tile of W and one of x: of the large parts; with x's small one; with W's. */
static int products_of(enum rr_type type)
{
    return type == RR_TYPE_F16 ? 3 : type == RR_TYPE_BF16 ? 2 : 1;
}

/* Tiles of W for DEPTH columns. */
static size_t tiles_of(enum rr_type type)
{
    return type == RR_TYPE_F16 ? 4 : 2;
}

/* Columns k0 .. of BOTH rows of W from j on, by tiles: panel[cols / DEPTH][BOTH][DEPTH], for F16
 * the small parts behind each. */
static void fill_panel(uint32_t *panel, const struct rr_gemm *g, int j, int k0, int n)
{
    const size_t at = rr_row_bytes(g->type, (size_t)k0), step = tiles_of(g->type) * TILE;
    for (int r = 0; r < BOTH; r++) {
        float part[CHUNK];
        const int cols = (int)rr_tile_cols(n);
        const unsigned char *row = rr_gemm_row(g, j + r) + at;
        uint32_t *out = panel + r * (DEPTH / 2);
        g->table->row_f32[g->type](part, row, n);
        for (int d = n; d < cols; d++)
            part[d] = 0;
        for (int d = 0; d < cols; d += DEPTH, out += step) {
            __m512i large, small;
            split(&large, &small, part + d);
            _mm512_storeu_si512(out, large);
            if (g->type == RR_TYPE_F16)
                _mm512_storeu_si512(out + 2 * TILE, small);
        }
    }
}

RR_INLINE void zero_sums(void)
{
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
}

/* Tiles of sums: 0 and 1 are the first ROWS rows of W with x's first and second ROWS rows, 2 and 3
 * the others. second: from the first rows of x to the second; 0: there are none. */
RR_INLINE void load_weights(const uint32_t *panel)
{
    _tile_loadd(4, panel, 64);
    _tile_loadd(5, panel + TILE, 64);
}

RR_INLINE void add_product(const uint32_t *x, size_t second)
{
    _tile_loadd(6, x, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(2, 5, 6);
    if (second) {
        _tile_loadd(7, x + second, 64);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(3, 5, 7);
    }
}

RR_INLINE void add_products(const uint32_t *panel, const uint32_t *x, size_t second, int depths,
                            int products)
{
    barrier();
    for (int d = 0; d < depths; d++, x += 2 * TILE) {
        load_weights(panel);
        add_product(x, second);
        if (products > 1)
            add_product(x + TILE, second);
        panel += 2 * TILE;
        if (products > 2) {
            load_weights(panel);
            add_product(x, second);
            panel += 2 * TILE;
        }
    }
    barrier(); /* nor may what is put there next overtake the loads */
}

/* Sums[ROWS of W][ROWS of x] to the outputs from j on of n rows of x. */
static void put_sums(const struct rr_gemm *g, const float *sums, int j, int i, int n)
{
    const int left = g->n - j;
    if (left <= 0 || n <= 0)
        return;
    const __mmask16 mask = left >= ROWS ? (__mmask16)0xFFFF : (__mmask16)((1u << left) - 1u);
    const __m512i column =
        _mm512_mullo_epi32(_mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
                           _mm512_set1_epi32(ROWS));
    for (int r = 0; r < n && r < ROWS; r++)
        _mm512_mask_storeu_ps(g->y + (size_t)(i + r) * g->ldy + j, mask,
                              _mm512_i32gather_ps(column, sums + r, sizeof(float)));
}

static void put_all(const struct rr_gemm *g, float *sums, int j, int i)
{
    const int n = g->m - i;
    _tile_stored(0, sums, 64);
    _tile_stored(1, sums + TILE, 64);
    _tile_stored(2, sums + 2 * TILE, 64);
    _tile_stored(3, sums + 3 * TILE, 64);
    barrier();
    put_sums(g, sums, j, i, n);
    put_sums(g, sums + TILE, j, i + ROWS, n - ROWS);
    put_sums(g, sums + 2 * TILE, j + ROWS, i, n);
    put_sums(g, sums + 3 * TILE, j + ROWS, i + ROWS, n - ROWS);
}

/* All of W's columns from k0 on, n of them, that are in the panel, with x's rows from i on. */
static void add_rows(const struct rr_gemm *g, const uint32_t *panel, int i, int k0, int n)
{
    const size_t part = rr_tile_cols(g->k) * ROWS, second = g->m - i > ROWS ? part : 0;
    const uint32_t *x = g->xq.pairs + (size_t)(i / ROWS) * part + (size_t)k0 * ROWS;
    const int depths = (int)(rr_tile_cols(n) / DEPTH);
    switch (products_of(g->type)) {
    case 1:
        add_products(panel, x, second, depths, 1);
        return;
    case 2:
        add_products(panel, x, second, depths, 2);
        return;
    default:
        add_products(panel, x, second, depths, 3);
        return;
    }
}

/* Eight tiles of 16 rows of 64 bytes. */
static void configure(void)
{
    struct {
        uint8_t palette, start, reserved[14];
        uint16_t colsb[16];
        uint8_t rows[16];
    } config = {.palette = 1};
    for (int t = 0; t < 8; t++) {
        config.colsb[t] = 64;
        config.rows[t] = ROWS;
    }
    barrier();
    _tile_loadconfig(&config);
}

static void gemm_tiles(const struct rr_gemm *g, void *scratch)
{
    float *sums = (float *)(void *)(((uintptr_t)scratch + 63) & ~(uintptr_t)63);
    uint32_t *panel = (uint32_t *)(void *)(sums + 4 * TILE);
    configure();
    for (int j = 0; j < g->n; j += BOTH) {
        const bool once = g->m <= BOTH; /* the panel: a part of K is enough */
        zero_sums();
        for (int k0 = 0; k0 < g->k; k0 += CHUNK) {
            const int n = g->k - k0 < CHUNK ? g->k - k0 : CHUNK;
            fill_panel(once ? panel : panel + (size_t)k0 / DEPTH * tiles_of(g->type) * TILE, g, j,
                       k0, n);
            if (once)
                add_rows(g, panel, 0, k0, n);
        }
        for (int i = 0; i < g->m; i += BOTH) {
            if (!once) {
                zero_sums();
                add_rows(g, panel, i, 0, g->k);
            }
            put_all(g, sums, j, i);
        }
    }
    _tile_release();
}

double rr_peak_amx(long rounds)
{
    configure();
    zero_sums();
    _tile_zero(4);
    _tile_zero(6);
    for (long t = 0; t < rounds; t++) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 6);
        _tile_dpbf16ps(2, 4, 6);
        _tile_dpbf16ps(3, 4, 6);
    }
    _tile_release();
    return 2.0 * 4 * ROWS * ROWS * DEPTH * (double)rounds;
}

static void row_of_floats(float *y, const void *w, int k)
{
    memcpy(y, w, (size_t)k * sizeof *y);
}

/* Small whole numbers, which every step holds exactly. */
bool rr_amx_works(void)
{
    uint32_t scratch[64 * DEPTH + 4 * TILE + 16] = {0}, x_pairs[2 * TILE];
    float x[DEPTH], y[ROWS];
    struct rr_kernels k = {.row_f32 = {row_of_floats}};
    const struct rr_gemm g = {.y = y,
                              .ldy = 1,
                              .xq = {.pairs = x_pairs},
                              .w = x,
                              .table = &k,
                              .m = ROWS,
                              .n = 1,
                              .k = DEPTH};
    for (int i = 0; i < ROWS; i++) {
        for (int d = 0; d < DEPTH; d++)
            x[d] = (float)((d * (i + 3)) % 13 - 5);
        pairs(x_pairs, i, x, DEPTH);
    }
    for (int d = 0; d < DEPTH; d++)
        x[d] = (float)(d % 7 - 2);
    gemm_tiles(&g, scratch);
    for (int i = 0; i < ROWS; i++) {
        float sum = 0;
        for (int d = 0; d < DEPTH; d++)
            sum += (float)((d * (i + 3)) % 13 - 5) * (float)(d % 7 - 2);
        if (!(y[i] == sum))
            return false;
    }
    return true;
}

void rr_kernels_init_amx(struct rr_kernels *k)
{
    k->tiles = true;
    k->pairs = pairs;
    for (int t = RR_TYPE_F32 + 1; t < RR_TYPE_COUNT; t++) {
        k->prepared[t] = true;
        k->gemm[t] = gemm_tiles;
    }
}

RR_TARGET_END
#endif
