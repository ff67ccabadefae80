/* AMX: attention in tiles of pairs of bfloat16 (attn_tiles.h): both of its products are a tile of
 * sixteen queries, or of their weights, times up to four tiles of keys or values, which were
 * brought into their order once for all queries of a task. The order in which a sum adds is that of
 * kernel_amx.c, per 32 of its depth the products large x large, large x small, small x large: the
 * same for a query in whatever company. */
#include "engine/kernel/kernel.h"

#if RR_X86
#include <immintrin.h>
#include <string.h>

RR_TARGET_BEGIN("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,amx-tile,amx-bf16")

#include "engine/kernel/load_avx512.h"

#include "engine/kernel/amx_tile.h"

#define ROWS RR_TILE_ROWS
#define DEPTH RR_TILE_DEPTH
#define TILE RR_TILE_SIZE

/* ---- into pairs ---- */

static void queries(uint16_t *out, const float *q, int n, int head_dim, float scale)
{
    const size_t plane = rr_tiled_query(head_dim) / 2;
    const __m512 s = _mm512_set1_ps(scale);
    for (int i = 0; i < n; i++, q += head_dim, out += 2 * plane) {
        for (int d = 0; d < head_dim; d += DEPTH) {
            const int left = head_dim - d;
            const __mmask16 high = left > 16 ? tail_mask(left - 16) : 0;
            const __m512 a = _mm512_mul_ps(_mm512_maskz_loadu_ps(tail_mask(left), q + d), s),
                         b = _mm512_mul_ps(_mm512_maskz_loadu_ps(high, q + d + 16), s);
            const __m512i large = bfloats(a, b);
            _mm512_storeu_si512(out + d, large);
            _mm512_storeu_si512(out + plane + d, rests(a, b, large));
        }
    }
}

/* Sixteen numbers of each of two rows, one beside the other: a row of a tile, and behind that tile
 * the same of the one with their small parts. Returns a bit for each that is not finite. */
RR_INLINE __mmask32 put_two(uint16_t *out, __m512 a, __m512 b)
{
    const __m512i one_by_one =
        _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                         21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    const __m512i large = bfloats(a, b), greatest = _mm512_set1_epi16(0x7F80);
    _mm512_storeu_si512(out, _mm512_permutexvar_epi16(one_by_one, large));
    _mm512_storeu_si512(out + TILE, _mm512_permutexvar_epi16(one_by_one, rests(a, b, large)));
    return _mm512_cmpeq_epi16_mask(_mm512_and_si512(large, greatest), greatest);
}

static void keys(uint16_t *out, const float *k, int n_panels, int head_dim)
{
    const int depth = (int)rr_tile_up(head_dim, DEPTH);
    for (int p = 0; p < n_panels; p++, k += (size_t)head_dim * RR_PANEL) {
        for (int d = 0; d < depth; d += 2, out += DEPTH) {
            const __m512 a = d < head_dim ? _mm512_loadu_ps(k + d * RR_PANEL) : _mm512_setzero_ps(),
                         b = d + 1 < head_dim ? _mm512_loadu_ps(k + (d + 1) * RR_PANEL)
                                              : _mm512_setzero_ps();
            put_two(out, a, b);
            if ((d + 2) % DEPTH == 0)
                out += TILE; /* over the small parts */
        }
    }
}

static bool values(uint16_t *out, const float *v, int n, int head_dim)
{
    __mmask32 not_finite = 0;
    for (int r = 0; r < DEPTH; r += 2) {
        const float *row = v + (r < n ? (size_t)r * (size_t)head_dim : 0),
                    *next = r + 1 < n ? row + head_dim : row;
        uint16_t *to = out + (size_t)r * ROWS;
        for (int d = 0; d < head_dim; d += 16, to += 2 * TILE) {
            const __mmask16 mask = tail_mask(head_dim - d);
            const __m512 a = _mm512_maskz_loadu_ps(r < n ? mask : 0, row + d),
                         b = _mm512_maskz_loadu_ps(r + 1 < n ? mask : 0, next + d);
            not_finite |= put_two(to, a, b);
        }
    }
    return not_finite == 0;
}

/* ---- tiles ---- */

/* Sixteen rows, their small parts `rest` numbers behind, and up to four tiles `apart` from one to
 * the next, each with its small parts behind it. */
struct factors {
    const uint16_t *a, *b;
    size_t lda_bytes, rest, apart;
};

#define LOAD(c, tile, part) _tile_loadd(tile, f->b + (c)*f->apart + (part)*TILE, 64)

/* Every sum waits for three others before it is wanted again. */
RR_INLINE void add_products(const struct factors *f, int n)
{
#define ALL(a, part)                                                                               \
    LOAD(0, 6, part);                                                                              \
    _tile_dpbf16ps(0, a, 6);                                                                       \
    if (n > 1) {                                                                                   \
        LOAD(1, 7, part);                                                                          \
        _tile_dpbf16ps(1, a, 7);                                                                   \
    }                                                                                              \
    if (n > 2) {                                                                                   \
        LOAD(2, 6, part);                                                                          \
        _tile_dpbf16ps(2, a, 6);                                                                   \
    }                                                                                              \
    if (n > 3) {                                                                                   \
        LOAD(3, 7, part);                                                                          \
        _tile_dpbf16ps(3, a, 7);                                                                   \
    }
    _tile_loadd(4, f->a, f->lda_bytes);
    _tile_loadd(5, f->a + f->rest, f->lda_bytes);
    ALL(4, 0)
    ALL(4, 1)
    ALL(5, 0)
#undef ALL
}

RR_INLINE void load_sums(const float *o, size_t ld_bytes, int n)
{
    barrier();
    _tile_loadd(0, o, ld_bytes);
    if (n > 1)
        _tile_loadd(1, o + 16, ld_bytes);
    if (n > 2)
        _tile_loadd(2, o + 32, ld_bytes);
    if (n > 3)
        _tile_loadd(3, o + 48, ld_bytes);
}

RR_INLINE void store_sums(float *o, size_t ld_bytes, int n)
{
    _tile_stored(0, o, ld_bytes);
    if (n > 1)
        _tile_stored(1, o + 16, ld_bytes);
    if (n > 2)
        _tile_stored(2, o + 32, ld_bytes);
    if (n > 3)
        _tile_stored(3, o + 48, ld_bytes);
    barrier();
}

/* Of fewer queries than a tile has, sums come from and go to a place of their own: what lies behind
 * them is not theirs. */
struct few {
    float sums[ROWS * RR_TILE_SUMS * 16];
};

static void copy_rows(float *to, size_t ld_to, const float *from, size_t ld_from, int rows, int n)
{
    for (int i = 0; i < rows; i++)
        memcpy(to + (size_t)i * ld_to, from + (size_t)i * ld_from, (size_t)n * 16 * sizeof *to);
}

RR_INLINE void scores_tile(const struct rr_tiled_scores *a, int i, int n)
{
    const size_t query = rr_tiled_query(a->head_dim);
    struct factors f = {.a = a->q + (size_t)i * query,
                        .b = a->k,
                        .lda_bytes = query * sizeof *a->q,
                        .rest = query / 2,
                        .apart = rr_tiled_panel(a->head_dim)};
    float *s = a->s + (size_t)i * a->lds;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    barrier();
    for (int d = 0; d < a->head_dim; d += DEPTH, f.a += DEPTH, f.b += 2 * TILE)
        add_products(&f, n);
    if (a->n_q - i >= ROWS) {
        store_sums(s, a->lds * sizeof *s, n);
        return;
    }
    struct few few;
    store_sums(few.sums, sizeof few.sums / ROWS, n);
    copy_rows(s, a->lds, few.sums, RR_TILE_SUMS * 16, a->n_q - i, n);
}

static void scores(const struct rr_tiled_scores *a)
{
    configure();
    for (int i = 0; i < a->n_q; i += ROWS) {
        if (a->n_panels == 4)
            scores_tile(a, i, 4);
        else if (a->n_panels == 3)
            scores_tile(a, i, 3);
        else if (a->n_panels == 2)
            scores_tile(a, i, 2);
        else
            scores_tile(a, i, 1);
    }
    _tile_release();
}

/* Weights of up to sixteen queries: [group][part][16][32]. */
struct weights {
    _Alignas(64) uint16_t of[RR_TILE_SUMS][2][TILE];
};

RR_INLINE void split_weights(struct weights *w, const struct rr_tiled_values *a, int i, int rows)
{
    for (int r = 0; r < rows; r++) {
        const float *p = a->p + (size_t)(i + r) * a->ldp;
        for (int g = 0; g < a->n_groups; g++, p += DEPTH) {
            const __m512 low = _mm512_loadu_ps(p), high = _mm512_loadu_ps(p + 16);
            const __m512i large = bfloats(low, high);
            _mm512_store_si512(w->of[g][0] + r * DEPTH, large);
            _mm512_store_si512(w->of[g][1] + r * DEPTH, rests(low, high, large));
        }
    }
}

/* Adds all groups to n strips of sixteen queries' sums. */
RR_INLINE void add_strips(float *o, size_t ld_bytes, struct factors f, int n_groups, size_t group,
                          int n)
{
    load_sums(o, ld_bytes, n);
    for (int g = 0; g < n_groups; g++, f.a += 2 * TILE, f.b += group)
        add_products(&f, n);
    store_sums(o, ld_bytes, n);
}

/* n strips of the head, from the one `strip` on. */
RR_INLINE void values_tile(const struct rr_tiled_values *a, const struct weights *w, int i,
                           int strip, int n)
{
    const size_t ld = rr_tile_up(a->head_dim, 16), group = rr_tiled_group(a->head_dim);
    float *o = a->o + (size_t)i * ld + (size_t)strip * 16;
    const struct factors f = {.a = w->of[0][0],
                              .b = a->v + (size_t)strip * 2 * TILE,
                              .lda_bytes = 64,
                              .rest = TILE,
                              .apart = 2 * TILE};
    const int rows = a->n_q - i;
    if (rows >= ROWS) {
        add_strips(o, ld * sizeof *o, f, a->n_groups, group, n);
        return;
    }
    struct few few = {{0}};
    copy_rows(few.sums, RR_TILE_SUMS * 16, o, ld, rows, n);
    add_strips(few.sums, sizeof few.sums / ROWS, f, a->n_groups, group, n);
    copy_rows(o, ld, few.sums, RR_TILE_SUMS * 16, rows, n);
}

static void add_values(const struct rr_tiled_values *a)
{
    struct weights w;
    const int strips = (a->head_dim + 15) / 16;
    if (a->n_q % ROWS != 0) /* the last tile's other rows are read */
        memset(&w, 0, sizeof w);
    configure();
    for (int i = 0; i < a->n_q; i += ROWS) {
        split_weights(&w, a, i, a->n_q - i < ROWS ? a->n_q - i : ROWS);
        int t = 0;
        for (; t + 4 <= strips; t += 4)
            values_tile(a, &w, i, t, 4);
        if (strips - t == 3)
            values_tile(a, &w, i, t, 3);
        else if (strips - t == 2)
            values_tile(a, &w, i, t, 2);
        else if (strips - t == 1)
            values_tile(a, &w, i, t, 1);
    }
    _tile_release();
}

void rr_kernels_init_amx_attn(struct rr_kernels *k)
{
    static const struct rr_attn_tiles tiles = {queries, keys, values, scores, add_values};
    k->attn_tiles = &tiles;
}

RR_TARGET_END
#endif
