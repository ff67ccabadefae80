/* AMX: y = x W^T in tiles of bfloat16 with sums in float32, W of any stored type.
 *
 * A part of 32 rows of W becomes bfloat16 in a panel that all rows of x are multiplied with, while
 * the next panel is filled in passing: tiles and vectors are different units. x comes as pairs
 * (rr_prepare_rows). Per 32 rows of W and 32 of x there are four tiles of sums; they leave their
 * registers between parts of K, for panels and x to stay in the caches. A tile's sum adds, for each
 * 32 of K in order, the even products and the odd ones apart, each in order, then both (Intel SDM,
 * TDPBF16PS, denormals being zero): so a row of x has the same bits in whatever company.
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
#include <limits.h>
#include <string.h>
#include "engine/kernel/k_scales.h"

RR_TARGET_BEGIN("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,amx-tile,amx-bf16")

#include "engine/kernel/load_avx512.h"

#include "engine/kernel/amx_tile.h"

#include "engine/kernel/amx_panel.h"

#define ROWS RR_TILE_ROWS
#define STRIP 512       /* rows of x whose sums are kept, */
#define BLOCK 256       /* and of W */
#define SMALL (1 << 18) /* numbers of x that the second-level cache holds beside them */
#define PANEL (CHUNK / DEPTH * 2 * TILE)
_Static_assert((2 * PANEL + 4 * TILE + STRIP * BLOCK) * sizeof(float) + 64 <= RR_TILE_SCRATCH,
               "panels, sums and alignment");

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

/* ---- tiles ---- */

/* Products of one tile of W and one of x: of the large parts; with x's small one; with W's. */
static int products_of(enum rr_type type)
{
    return type == RR_TYPE_F16 ? 3 : type == RR_TYPE_BF16 ? 2 : 1;
}

/* Tiles of sums: 0 and 1 are the first ROWS rows of W with x's first and second ROWS rows, 2 and 3
 * the others. */
RR_INLINE void zero_sums(void)
{
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
}

/* second: from the first rows of x to the second; 0: there are none. x comes from the second-level
 * cache and is not to push W's panel out of the first. */
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

/* A part of W's columns with two tiles of x's rows; in passing, a share of the next panel. */
struct part {
    const uint32_t *panel, *x;
    size_t second, plane; /* from x's rows to the next; from its large parts to the small ones */
    int depths, units;    /* of the next panel, at every depth */
    struct fill *next;
};

RR_INLINE void add_products(const struct part *p, enum rr_type type)
{
    const uint32_t *panel = p->panel, *x = p->x;
    const int products = products_of(type);
    barrier();
    for (int d = 0; d < p->depths; d++, x += TILE) {
        load_rows(x, p->second);
        add_product(panel, p->second);
        if (products > 2)
            add_product(panel + 2 * TILE, p->second);
        if (products > 1) {
            load_rows(x + p->plane, p->second);
            add_product(panel, p->second);
        }
        fill_units(p->next, p->units, type);
        panel += (products > 2 ? 4 : 2) * TILE;
    }
    barrier(); /* nor may what is put there next overtake the loads */
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

/* The order of panels: for STRIP rows of x and BLOCK ones of W, a part of x's columns is used by
 * all these rows of W while it is in the second-level cache, and the panel, of BOTH of them, by all
 * these rows of x while it is in the first; so the sums come and go. */
struct walk {
    const struct rr_gemm *g;
    int rows, chunk; /* of W: BLOCK or fewer; columns of a panel */
    int i0, j0, k0, j;
};

static bool walk_on(struct walk *w)
{
    const struct rr_gemm *g = w->g;
    w->j += BOTH;
    if (w->j < g->n && w->j < w->j0 + w->rows)
        return true;
    w->j = w->j0;
    w->k0 += w->chunk;
    if (w->k0 < g->k)
        return true;
    w->k0 = 0;
    w->j = w->j0 += w->rows;
    if (w->j0 < g->n)
        return true;
    w->j = w->j0 = 0;
    w->i0 += STRIP;
    return w->i0 < g->m;
}

static struct fill fill_of(const struct walk *w, uint32_t *panel)
{
    const int unit = unit_of(w->g->type);
    struct fill f = {.g = w->g,
                     .panel = panel,
                     .j = w->j,
                     .k0 = w->k0,
                     .unit = unit,
                     .unit_bytes = rr_row_bytes(w->g->type, (size_t)unit)};
    struct walk behind = *w;
    f.n = w->g->k - w->k0 < w->chunk ? w->g->k - w->k0 : w->chunk;
    fill_row(&f, 0);
    if (walk_on(&behind) && !w->g->rows)
        f.ahead =
            rr_gemm_row(w->g, behind.j) + rr_row_bytes(w->g->type, (size_t)behind.k0) - f.from;
    return f;
}

/* A panel with all rows of x that are its, while the next one is filled. */
RR_INLINE void use_panel(const struct walk *w, const uint32_t *panel, float *scratch,
                         struct fill *next, enum rr_type type)
{
    const struct rr_gemm *g = w->g;
    const int n = g->k - w->k0 < w->chunk ? g->k - w->k0 : w->chunk,
              end = g->m - w->i0 < STRIP ? g->m : w->i0 + STRIP,
              groups = (end - w->i0 + BOTH - 1) / BOTH, depths = (n + DEPTH - 1) / DEPTH,
              units = BOTH * ((next->n + next->unit - 1) / next->unit);
    const size_t stride = rr_tile_stride(g->k);
    const bool stay = groups == 1 && w->rows == BOTH; /* the sums, in their registers */
    float *sums = scratch + 4 * TILE + (size_t)(w->j - w->j0) / BOTH * (size_t)groups * 4 * TILE;
    struct part p = {.panel = panel,
                     .plane = rr_tile_cols(g->k) / 2 * ROWS,
                     .depths = depths,
                     .units = (units + groups * depths - 1) / (groups * depths),
                     .next = next};
    for (int i = w->i0; i < end; i += BOTH, sums += 4 * TILE) {
        p.x = g->xq.pairs + (size_t)(i / ROWS) * stride + (size_t)w->k0 / 2 * ROWS;
        p.second = g->m - i > ROWS ? stride : 0;
        if (w->k0 == 0)
            zero_sums();
        else if (!stay)
            load_sums(sums);
        add_products(&p, type);
        if (w->k0 + n == g->k)
            put_all(g, scratch, w->j, i);
        else if (!stay)
            store_sums(sums);
    }
}

RR_INLINE void gemm_tiles(const struct rr_gemm *g, void *scratch, enum rr_type type)
{
    if (g->m <= 0 || g->n <= 0)
        return;
    uint32_t *panels = (uint32_t *)(void *)(((uintptr_t)scratch + 63) & ~(uintptr_t)63);
    struct walk w = {.g = g,
                     /* Where all of x stays in the cache, W is read row by row. */
                     .rows = (size_t)g->m * (size_t)g->k <= SMALL ? BOTH : BLOCK,
                     .chunk = type == RR_TYPE_F16 ? CHUNK / 2 : CHUNK};
    struct fill next = fill_of(&w, panels);
    bool more = true;
    configure();
    fill_units(&next, INT_MAX, type);
    for (int t = 0; more; t++) {
        const struct walk now = w;
        more = walk_on(&w);
        if (more)
            next = fill_of(&w, panels + (t + 1) % 2 * PANEL);
        use_panel(&now, panels + t % 2 * PANEL, (float *)(void *)(panels + 2 * PANEL), &next, type);
        if (more)
            fill_units(&next, INT_MAX, type);
    }
    _tile_release();
}

#define GEMM(name, type)                                                                           \
    static void name(const struct rr_gemm *g, void *scratch)                                       \
    {                                                                                              \
        gemm_tiles(g, scratch, type);                                                              \
    }
GEMM(gemm_f16, RR_TYPE_F16)
GEMM(gemm_bf16, RR_TYPE_BF16)
GEMM(gemm_q8_0, RR_TYPE_Q8_0)
GEMM(gemm_q4_0, RR_TYPE_Q4_0)
GEMM(gemm_q6_k, RR_TYPE_Q6_K)
GEMM(gemm_q4_k, RR_TYPE_Q4_K)
GEMM(gemm_q5_k, RR_TYPE_Q5_K)
GEMM(gemm_q4_1, RR_TYPE_Q4_1)
GEMM(gemm_q5_0, RR_TYPE_Q5_0)
GEMM(gemm_q5_1, RR_TYPE_Q5_1)
GEMM(gemm_iq4_nl, RR_TYPE_IQ4_NL)
GEMM(gemm_any, g->type)

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
    uint32_t scratch[2 * PANEL + 4 * TILE + 16] = {0}, x_pairs[2 * TILE];
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
    gemm_any(&g, scratch);
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
    rr_kernels_init_amx_attn(k);
    k->pairs = pairs;
    for (int t = RR_TYPE_F32 + 1; t < RR_TYPE_COUNT; t++) {
        k->prepared[t] = products_of((enum rr_type)t) > 1 ? RR_READS_16 : RR_READS_8;
        k->gemm[t] = gemm_any;
    }
    k->gemm[RR_TYPE_F16] = gemm_f16;
    k->gemm[RR_TYPE_BF16] = gemm_bf16;
    k->gemm[RR_TYPE_Q8_0] = gemm_q8_0;
    k->gemm[RR_TYPE_Q4_0] = gemm_q4_0;
    k->gemm[RR_TYPE_Q6_K] = gemm_q6_k;
    k->gemm[RR_TYPE_Q4_K] = gemm_q4_k;
    k->gemm[RR_TYPE_Q5_K] = gemm_q5_k;
    k->gemm[RR_TYPE_Q4_1] = gemm_q4_1;
    k->gemm[RR_TYPE_Q5_0] = gemm_q5_0;
    k->gemm[RR_TYPE_Q5_1] = gemm_q5_1;
    k->gemm[RR_TYPE_IQ4_NL] = gemm_iq4_nl;
}

RR_TARGET_END
#endif
