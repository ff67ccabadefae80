/* Products of weights that are multiplied as floats: the part that all instruction sets share.
 * Included, inside its target region, by a file that defines
 *
 *     LANES, vec                    numbers of a vector, and its type
 *     v_zero() v_set1(f) v_fma(a, b, c) v_add(a, b)
 *     v_load(p), v_load_n(p, n), v_store_n(p, v, n)     the first n numbers, n >= LANES: all
 *     load_lanes(row, k, n, type)   up to LANES numbers of a stored row from k on, zeros behind n
 *     transpose(t)                  t[LANES] vectors as rows of a square, turned
 *     low_half(v, type), high_half(v, type)  the first and the second 16-bit number of every word
 *     TILE_M                        rows of x in registers at once
 *
 * A vector of sums is LANES outputs, so nothing is added across lanes. Per output and stretch of
 * CHUNK_K products, those of even k are added in order, those of odd k beside them, then the two,
 * then the stretches: the same whatever the batch. */

#include "engine/kernel/few_rows.h"

#define CHUNK_K 256  /* of two vectors of outputs: stays in the first-level cache */
#define MAX_DIRECT 3 /* up to so many rows of x use weights where they were unpacked */

struct float_panel {
    vec w[CHUNK_K][2];
    int first, n; /* numbers of the rows that it holds */
};
_Static_assert(sizeof(struct float_panel) + 64 <= RR_GEMM_SCRATCH, "a panel and its alignment");

/* Row pointers of LANES outputs from j on; behind the last row it is repeated. */
RR_INLINE void float_rows(const unsigned char **rows, const struct rr_gemm *g, int j)
{
    for (int r = 0; r < LANES; r++)
        rows[r] = rr_gemm_row(g, j + r);
}

/* t[i] = number k + i of all rows. */
RR_INLINE void load_square(vec *t, const unsigned char *const *rows, int k, int n,
                           enum rr_type type)
{
    for (int r = 0; r < LANES; r++)
        t[r] = load_lanes(rows[r], k, n, type);
    transpose(t);
}

/* y = or += the sums of a stretch. */
RR_INLINE void add_stretch(float *y, vec even, vec odd, bool first, int n)
{
    const vec sum = v_add(even, odd);
    v_store_n(y, first ? sum : v_add(v_load_n(y, n), sum), n);
}

/* LANES words of every row from byte `at` on, turned: t[i], lane r = word i of rows[r], that is one
 * number of 32 bits or two of 16. */
RR_INLINE void load_words(vec *t, const unsigned char *const *rows, size_t at)
{
    for (int r = 0; r < LANES; r++)
        t[r] = v_load((const float *)(const void *)(rows[r] + at));
    transpose(t);
}

/* Outputs j, j + apart and so on. */
RR_INLINE void direct_floats(const struct rr_gemm *g, int j, int apart, int m, enum rr_type type)
{
    const int two = type == RR_TYPE_F32 ? 1 : 2, step = LANES * two;
    const unsigned char *rows[LANES];
    vec sums[MAX_DIRECT];
    for (int r = 0; r < LANES; r++)
        rows[r] = rr_gemm_row(g, j + r * apart);
    for (int k0 = 0; k0 < g->k; k0 += CHUNK_K) {
        const int n = g->k - k0 < CHUNK_K ? g->k - k0 : CHUNK_K;
        vec even[MAX_DIRECT], odd[MAX_DIRECT];
        int k = 0;
        for (int i = 0; i < m; i++)
            even[i] = odd[i] = v_zero();
        for (; k + step <= n; k += step) {
            vec t[LANES];
            const size_t at = (size_t)(k0 + k) * (4 / (size_t)two);
            load_words(t, rows, at);
            rr_ask_ahead(g, rows, LANES, apart, at, 4 * LANES);
            for (int e = 0; e < step; e += 2) {
                const vec first = two == 2 ? low_half(t[e / 2], type) : t[e],
                          second = two == 2 ? high_half(t[e / 2], type) : t[e + 1];
                for (int i = 0; i < m; i++) {
                    const float *x = g->x + (size_t)i * g->ldx + k0 + k + e;
                    even[i] = v_fma(first, v_set1(x[0]), even[i]);
                    odd[i] = v_fma(second, v_set1(x[1]), odd[i]);
                }
            }
        }
        for (; k < n; k += LANES) {
            const int left = n - k < LANES ? n - k : LANES;
            vec t[LANES];
            load_square(t, rows, k0 + k, left, type);
            for (int e = 0; e < left; e++)
                for (int i = 0; i < m; i++) {
                    const vec x = v_set1(g->x[(size_t)i * g->ldx + (size_t)(k0 + k + e)]);
                    vec *sum = e % 2 ? &odd[i] : &even[i];
                    *sum = v_fma(t[e], x, *sum);
                }
        }
        for (int i = 0; i < m; i++)
            sums[i] = k0 ? v_add(sums[i], v_add(even[i], odd[i])) : v_add(even[i], odd[i]);
    }
    for (int i = 0; i < m && g->k > 0; i++) {
        float *y = g->y + (size_t)i * g->ldy + j, outs[LANES];
        v_store_n(outs, sums[i], LANES);
        for (int r = 0; r < LANES && j + r * apart < g->n; r++)
            y[(size_t)(r * apart)] = outs[r];
    }
}

RR_INLINE void direct_all(const struct rr_gemm *g, int m, enum rr_type type)
{
    for (int i = 0; i < rr_groups(g, LANES); i++) {
        const struct rr_group group = rr_group(g, LANES, i);
        if (m == 1 && group.apart == 1) /* a tenth faster without the choice inside */
            direct_floats(g, group.first, 1, m, type);
        else
            direct_floats(g, group.first, group.apart, m, type);
    }
}

/* Rows i0 .. i0 + mr - 1 of x against a panel of np vectors of outputs. */
RR_INLINE void float_tile(const struct rr_gemm *g, const struct float_panel *p, int np, int j,
                          int i0, int mr)
{
    const float *x = g->x + (size_t)i0 * g->ldx + p->first;
    vec even[TILE_M][2], odd[TILE_M][2];
    int k = 0;
    for (int i = 0; i < mr; i++)
        for (int c = 0; c < np; c++)
            even[i][c] = odd[i][c] = v_zero();
    for (; k + 2 <= p->n; k += 2)
        for (int i = 0; i < mr; i++) {
            const vec x0 = v_set1(x[(size_t)i * g->ldx + (size_t)k]),
                      x1 = v_set1(x[(size_t)i * g->ldx + (size_t)k + 1]);
            for (int c = 0; c < np; c++) {
                even[i][c] = v_fma(p->w[k][c], x0, even[i][c]);
                odd[i][c] = v_fma(p->w[k + 1][c], x1, odd[i][c]);
            }
        }
    for (int i = 0; i < mr && k < p->n; i++)
        for (int c = 0; c < np; c++)
            even[i][c] = v_fma(p->w[k][c], v_set1(x[(size_t)i * g->ldx + (size_t)k]), even[i][c]);
    for (int i = 0; i < mr; i++)
        for (int c = 0; c < np; c++)
            add_stretch(g->y + (size_t)(i0 + i) * g->ldy + j + LANES * c, even[i][c], odd[i][c],
                        p->first == 0, g->n - j - LANES * c);
}

RR_INLINE void float_tiles_of(const struct rr_gemm *g, const struct float_panel *p, int np, int j)
{
    int i = 0;
    for (; i + TILE_M <= g->m; i += TILE_M)
        float_tile(g, p, np, j, i, TILE_M);
    for (; i + 2 <= g->m; i += 2)
        float_tile(g, p, np, j, i, 2);
    if (i < g->m)
        float_tile(g, p, np, j, i, 1);
}

/* A function of its own: panels are the same whatever the type. */
RR_APART void float_tiles(const struct rr_gemm *g, const struct float_panel *p, int np, int j)
{
    np == 2 ? float_tiles_of(g, p, 2, j) : float_tiles_of(g, p, 1, j);
}

RR_INLINE void fill_panel(struct float_panel *p, const struct rr_gemm *g, int np, int j,
                          enum rr_type type)
{
    for (int c = 0; c < np; c++) {
        const unsigned char *rows[LANES];
        float_rows(rows, g, j + LANES * c);
        for (int k = 0; k < p->n; k += LANES) {
            vec t[LANES];
            load_square(t, rows, p->first + k, p->n - k < LANES ? p->n - k : LANES, type);
            for (int e = 0; e < LANES; e++)
                p->w[k + e][c] = t[e];
        }
    }
}

RR_INLINE void gemm_floats(const struct rr_gemm *g, void *scratch, enum rr_type type)
{
    struct float_panel *p =
        (struct float_panel *)(void *)(((uintptr_t)scratch + 63) & ~(uintptr_t)63);
    switch (g->m) {
    case 1:
        direct_all(g, 1, type);
        return;
    case 2:
        direct_all(g, 2, type);
        return;
    case MAX_DIRECT:
        direct_all(g, MAX_DIRECT, type);
        return;
    default:
        break;
    }
    for (int j = 0; j < g->n; j += 2 * LANES) {
        const int np = g->n - j > LANES ? 2 : 1;
        for (p->first = 0; p->first < g->k; p->first += CHUNK_K) {
            p->n = g->k - p->first < CHUNK_K ? g->k - p->first : CHUNK_K;
            fill_panel(p, g, np, j, type);
            float_tiles(g, p, np, j);
        }
    }
}

static void gemm_f32(const struct rr_gemm *g, void *scratch)
{
    gemm_floats(g, scratch, RR_TYPE_F32);
}

static void gemm_f16(const struct rr_gemm *g, void *scratch)
{
    gemm_floats(g, scratch, RR_TYPE_F16);
}

static void gemm_bf16(const struct rr_gemm *g, void *scratch)
{
    gemm_floats(g, scratch, RR_TYPE_BF16);
}

static void init_gemm(struct rr_kernels *k)
{
    k->gemm[RR_TYPE_F32] = gemm_f32;
    k->gemm[RR_TYPE_F16] = gemm_f16;
    k->gemm[RR_TYPE_BF16] = gemm_bf16;
    /* A lower level may have had integers. */
    k->prepared[RR_TYPE_F16] = k->prepared[RR_TYPE_BF16] = 0;
}
