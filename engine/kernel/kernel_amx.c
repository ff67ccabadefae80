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
#include "engine/kernel/k_scales.h"

RR_TARGET_BEGIN("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,amx-tile,amx-bf16")

#if defined(RR_AMX_EMULATED)
#include "engine/kernel/amx_emulated.h"
#endif

#include "engine/kernel/load_avx512.h"

#include "engine/kernel/amx_panel.h"

#define ROWS RR_TILE_ROWS
#define BOTH (2 * ROWS)    /* rows of W in a panel, and of x used at once */
#define STRIP 512          /* rows of x whose sums are kept, */
#define BLOCK 256          /* and of W */
#define SMALL (1 << 18)    /* numbers of x that the second-level cache holds beside them */
#define TILE (ROWS * 16)   /* words */
#define PANEL (CHUNK / DEPTH * 2 * TILE)
_Static_assert((PANEL + 4 * TILE + STRIP * BLOCK) * sizeof(float) + 64 <= RR_TILE_SCRATCH,
               "a panel, sums and alignment");

/* What compilers believe about the memory that tile instructions touch differs: they shall believe
 * that it is all of it. */
#define barrier() __asm__ __volatile__("" ::: "memory")

/* ---- rows of x ---- */

/* Sixteen words of every one of sixteen rows: as columns. */
RR_INLINE void put_turned(uint32_t *out, __m512i *words)
{
    __m512 t[ROWS];
    for (int r = 0; r < ROWS; r++)
        t[r] = _mm512_castsi512_ps(words[r]);
    transpose(t);
    for (int r = 0; r < ROWS; r++)
        _mm512_storeu_ps(out + r * ROWS, t[r]);
}

/* Rows i .. i + n - 1, i a multiple of ROWS; those behind them in the last group become zeros. */
static void pairs(uint32_t *out, const struct rr_rows *x, int i, int n, int parts)
{
    const size_t plane = rr_tile_cols(x->n_cols) / 2 * ROWS, stride = rr_tile_stride(x->n_cols);
    for (int end = i + n; i < end; i += ROWS) {
        uint32_t *to = out + (size_t)(i / ROWS) * stride;
        for (int k = 0; k < x->n_cols; k += DEPTH, to += TILE) {
            const int left = x->n_cols - k;
            const __mmask16 low = tail_mask(left), high = left > 16 ? tail_mask(left - 16) : 0;
            __m512i large[ROWS], small[ROWS];
            for (int r = 0; r < ROWS; r++) {
                const float *from = x->x + (size_t)(i + r) * x->ld + k;
                const bool some = i + r < end;
                const __m512 a = _mm512_maskz_loadu_ps(some ? low : 0, some ? from : x->x),
                             b = _mm512_maskz_loadu_ps(some ? high : 0, some ? from + 16 : x->x);
                large[r] = bfloats(a, b);
                if (parts > 1)
                    small[r] = rests(a, b, large[r]);
            }
            put_turned(to, large);
            if (parts > 1)
                put_turned(to + plane, small);
        }
    }
}

/* ---- rows of W ---- */

/* Products of one tile of W and one of x: of the large parts; with x's small one; with W's. */
static int products_of(enum rr_type type)
{
    return type == RR_TYPE_F16 ? 3 : type == RR_TYPE_BF16 ? 2 : 1;
}

/* n columns of BOTH rows of W from column k0 of row j on, by tiles: panel[DEPTH of them][BOTH]
 * [DEPTH], the small parts of F16 behind each. */
static void fill_panel(uint32_t *panel, const struct rr_gemm *g, int j, int k0, int n)
{
    const size_t at = rr_row_bytes(g->type, (size_t)k0), tiles = 2 * TILE * sizeof *panel,
                 step = g->type == RR_TYPE_F16 ? 2 * tiles : tiles;
    for (int r = 0; r < BOTH; r++) {
        const unsigned char *row = rr_gemm_row(g, j + r) + at;
        unsigned char *out = (unsigned char *)(panel + r * (DEPTH / 2));
        switch (g->type) {
        case RR_TYPE_Q8_0:
            q8_0_row(out, step, row, n);
            break;
        case RR_TYPE_Q4_0:
            q4_0_row(out, step, row, n);
            break;
        case RR_TYPE_Q4_K:
            q4_k_row(out, step, row, n);
            break;
        case RR_TYPE_Q6_K:
            q6_k_row(out, step, row, n);
            break;
        case RR_TYPE_F16:
            half_row(out, step, tiles, row, n, RR_TYPE_F16);
            break;
        case RR_TYPE_BF16:
            half_row(out, step, 0, row, n, RR_TYPE_BF16);
            break;
        default:
            any_row(out, step, row, n, g->table, g->type);
            break;
        }
    }
}

/* ---- tiles ---- */

RR_INLINE void zero_sums(void)
{
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
}

/* Tiles of sums: 0 and 1 are the first ROWS rows of W with x's first and second ROWS rows, 2 and 3
 * the others. second: from the first rows of x to the second; 0: there are none. */
/* x comes from the second-level cache and is not to push W's panel out of the first. */
RR_INLINE void load_rows(const uint32_t *x, size_t second)
{
    _tile_stream_loadd(6, x, 64);
    if (second)
        _tile_stream_loadd(7, x + second, 64);
}

RR_INLINE void add_product(const uint32_t *panel, size_t second)
{
    _tile_loadd(4, panel, 64);
    _tile_dpbf16ps(0, 4, 6);
    if (second)
        _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, panel + TILE, 64);
    _tile_dpbf16ps(2, 5, 6);
    if (second)
        _tile_dpbf16ps(3, 5, 7);
}

/* Memory that is wanted soon, a few lines of the cache at each step, or they would hold up what is
 * wanted now: `bytes` from each of rows that lie ld apart. */
struct ahead {
    const char *row;
    size_t ld, bytes, at;
    int n, each; /* lines left; lines a step */
};

static struct ahead look_ahead(const void *row, size_t ld, size_t bytes, int n_rows)
{
    struct ahead a = {.row = row, .ld = ld, .bytes = bytes};
    a.n = n_rows > 0 ? n_rows * (int)((bytes + 63) / 64) : 0;
    a.each = (a.n + CHUNK / DEPTH - 1) / (CHUNK / DEPTH);
    return a;
}

RR_INLINE void ask(struct ahead *a)
{
    for (int i = 0; i < a->each && a->n > 0; i++, a->n--) {
        _mm_prefetch(a->row + a->at, _MM_HINT_T1);
        a->at += 64;
        if (a->at >= a->bytes) {
            a->at = 0;
            a->row += a->ld;
        }
    }
}

/* A part of W's columns with a pair of tiles of x's rows. */
struct part {
    const uint32_t *panel, *x;
    size_t second, plane; /* from x's rows to the next; from its large parts to the small ones */
    int depths;
    struct ahead weights, outputs;
};

RR_INLINE void add_products(struct part *p, int products)
{
    const uint32_t *panel = p->panel, *x = p->x;
    barrier();
    for (int d = 0; d < p->depths; d++, x += TILE) {
        load_rows(x, p->second);
        add_product(panel, p->second);
        ask(&p->weights);
        if (products > 2)
            add_product(panel + 2 * TILE, p->second);
        if (products > 1) {
            load_rows(x + p->plane, p->second);
            add_product(panel, p->second);
        }
        ask(&p->outputs);
        panel += (products > 2 ? 4 : 2) * TILE;
    }
    barrier(); /* nor may what is put there next overtake the loads */
}

static void add_rows(struct part *p, enum rr_type type)
{
    switch (products_of(type)) {
    case 1:
        add_products(p, 1);
        return;
    case 2:
        add_products(p, 2);
        return;
    default:
        add_products(p, 3);
        return;
    }
}

RR_INLINE void load_sums(const float *sums)
{
    barrier();
    _tile_stream_loadd(0, sums, 64);
    _tile_stream_loadd(1, sums + TILE, 64);
    _tile_stream_loadd(2, sums + 2 * TILE, 64);
    _tile_stream_loadd(3, sums + 3 * TILE, 64);
}

RR_INLINE void store_sums(float *sums)
{
    _tile_stored(0, sums, 64);
    _tile_stored(1, sums + TILE, 64);
    _tile_stored(2, sums + 2 * TILE, 64);
    _tile_stored(3, sums + 3 * TILE, 64);
    barrier();
}

/* Sums[ROWS of W][ROWS of x] to the outputs from j on of n rows of x. */
static void put_sums(const struct rr_gemm *g, const float *sums, int j, int i, int n)
{
    const int left = g->n - j;
    if (left <= 0 || n <= 0)
        return;
    const __mmask16 mask = tail_mask(left);
    __m512 t[ROWS];
    for (int r = 0; r < ROWS; r++)
        t[r] = _mm512_loadu_ps(sums + r * ROWS);
    transpose(t);
    for (int r = 0; r < n && r < ROWS; r++)
        _mm512_mask_storeu_ps(g->y + (size_t)(i + r) * g->ldy + j, mask, t[r]);
}

static void put_all(const struct rr_gemm *g, float *sums, int j, int i)
{
    store_sums(sums);
    const int n = g->m - i;
    put_sums(g, sums, j, i, n);
    put_sums(g, sums + TILE, j, i + ROWS, n - ROWS);
    put_sums(g, sums + 2 * TILE, j + ROWS, i, n);
    put_sums(g, sums + 3 * TILE, j + ROWS, i + ROWS, n - ROWS);
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

/* What the panel of n columns from k0 on, of rows j .. of W, is multiplied with: x's rows from i on,
 * of i0 .. end - 1. Those of W that the next panel is made of are shared out among all of these. */
static struct part part_of(const struct rr_gemm *g, const uint32_t *panel, int j, int k0, int n,
                           const int rows[3])
{
    const int i = rows[0], groups = (rows[2] - rows[1] + BOTH - 1) / BOTH,
              each = (BOTH + groups - 1) / groups, first = (i - rows[1]) / BOTH * each;
    const size_t stride = rr_tile_stride(g->k), at = rr_row_bytes(g->type, (size_t)k0);
    struct part p = {.panel = panel,
                     .x = g->xq.pairs + (size_t)(i / ROWS) * stride + (size_t)k0 / 2 * ROWS,
                     .second = g->m - i > ROWS ? stride : 0,
                     .plane = rr_tile_cols(g->k) / 2 * ROWS,
                     .depths = (n + DEPTH - 1) / DEPTH};
    if (!g->rows)
        p.weights = look_ahead((const char *)g->w +
                                   (size_t)(j + BOTH + first) * g->row_bytes + at,
                               g->row_bytes, rr_row_bytes(g->type, (size_t)n),
                               (first + each < BOTH ? first + each : BOTH) - first);
    if (k0 + n == g->k)
        p.outputs = look_ahead(g->y + (size_t)i * g->ldy + j, g->ldy * sizeof *g->y,
                               BOTH * sizeof *g->y, g->m - i < BOTH ? g->m - i : BOTH);
    return p;
}

/* Rows i0 .. end - 1 of x with rows j0 .. j1 - 1 of W: at most STRIP and BLOCK. A part of x's
 * columns is used by all rows of W while it is in the second-level cache, and the panel, of BOTH
 * rows of W, by all rows of x while it is in the first; so the sums come and go. */
static void block(const struct rr_gemm *g, uint32_t *panel, int i0, int end, int j0, int j1)
{
    float *result = (float *)(void *)(panel + PANEL), *sums = result + 4 * TILE;
    const int chunk = g->type == RR_TYPE_F16 ? CHUNK / 2 : CHUNK;
    const size_t row = (size_t)(end - i0 + BOTH - 1) / BOTH * 4 * TILE;
    const bool stay = end - i0 <= BOTH && j1 - j0 <= BOTH; /* in their registers */
    for (int k0 = 0; k0 < g->k; k0 += chunk) {
        const int n = g->k - k0 < chunk ? g->k - k0 : chunk;
        for (int j = j0; j < j1; j += BOTH) {
            float *own = sums + (size_t)(j - j0) / BOTH * row;
            fill_panel(panel, g, j, k0, n);
            for (int i = i0; i < end; i += BOTH, own += 4 * TILE) {
                struct part p = part_of(g, panel, j, k0, n, (const int[]){i, i0, end});
                if (k0 == 0)
                    zero_sums();
                else if (!stay)
                    load_sums(own);
                add_rows(&p, g->type);
                if (k0 + n == g->k)
                    put_all(g, result, j, i);
                else if (!stay)
                    store_sums(own);
            }
        }
    }
}

static void gemm_tiles(const struct rr_gemm *g, void *scratch)
{
    uint32_t *panel = (uint32_t *)(void *)(((uintptr_t)scratch + 63) & ~(uintptr_t)63);
    /* Where all of x stays in the cache, W is read row by row. */
    const int rows = (size_t)g->m * (size_t)g->k <= SMALL ? BOTH : BLOCK;
    configure();
    for (int i = 0; i < g->m; i += STRIP)
        for (int j = 0; j < g->n; j += rows)
            block(g, panel, i, g->m - i < STRIP ? g->m : i + STRIP, j,
                  g->n - j < rows ? g->n : j + rows);
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
    uint32_t scratch[PANEL + 4 * TILE + 16] = {0}, x_pairs[2 * TILE];
    float x[ROWS][DEPTH], w[DEPTH], y[ROWS];
    struct rr_kernels k = {.row_f32 = {row_of_floats}};
    const struct rr_gemm g = {.y = y,
                              .ldy = 1,
                              .xq = {.pairs = x_pairs},
                              .w = w,
                              .table = &k,
                              .m = ROWS,
                              .n = 1,
                              .k = DEPTH};
    for (int i = 0; i < ROWS; i++) {
        for (int d = 0; d < DEPTH; d++)
            x[i][d] = (float)((d * (i + 3)) % 13 - 5);
    }
    for (int d = 0; d < DEPTH; d++)
        w[d] = (float)(d % 7 - 2);
    pairs(x_pairs, &(struct rr_rows){x[0], DEPTH, DEPTH}, 0, ROWS, 1);
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
        k->prepared[t] = products_of((enum rr_type)t) > 1 ? 2 : 1;
        k->gemm[t] = gemm_tiles;
    }
}

RR_TARGET_END
#endif
