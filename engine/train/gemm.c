/* See gemm.h. Tiles of RR_TILE_M x RR_TILE_N outputs are computed by the kernel table from packed
 * panels: a as [k][RR_TILE_M], b as [k][RR_TILE_N], padded with zeros. */
#include "engine/train/gemm.h"

#include <string.h>
#include "engine/base/check.h"

#define BLOCK_M 256 /* rows of a in one task: a multiple of RR_TILE_M */
#define BLOCK_N 512 /* columns of b in one task: a multiple of RR_TILE_N */
#define BLOCK_K 128 /* products added before the output is touched */

size_t rr_product_scratch(void)
{
    return (size_t)(BLOCK_M + BLOCK_N) * BLOCK_K + RR_TILE_M * RR_TILE_N;
}

#define TURN 16 /* k of a piece that is turned while it stays in the first-level cache */

/* to[k][width] = from(i, k) for i in [0, n), zeros up to width. */
static void pack_panel(rr_real *to, const rr_real *from, size_t step, size_t k_step, int n,
                       int width, int k)
{
    for (int x0 = 0; x0 < k; x0 += TURN) {
        const int x1 = rr_min_int(x0 + TURN, k);
        for (int i = 0; i < n; i++) {
            const rr_real *f = from + (size_t)i * step + (size_t)x0 * k_step;
            rr_real *t = to + (size_t)x0 * (size_t)width + (size_t)i;
            for (int x = x0; x < x1; x++, f += k_step, t += width)
                *t = *f;
        }
        for (int x = x0; x < x1; x++)
            for (int i = n; i < width; i++)
                to[(size_t)x * (size_t)width + (size_t)i] = 0;
    }
}

/* The same where elements next to each other in the panel are neighbours in memory. */
static void pack_panel_near(rr_real *to, const rr_real *from, size_t k_step, int n, int width,
                            int k)
{
    for (int x = 0; x < k; x++, to += width, from += k_step) {
        memcpy(to, from, (size_t)n * sizeof *to);
        for (int i = n; i < width; i++)
            to[i] = 0;
    }
}

static void pack(rr_real *to, const rr_real *from, size_t step, size_t k_step, int n, int width,
                 int k)
{
    for (int i = 0; i < n; i += width, to += (size_t)width * (size_t)k) {
        const rr_real *f = from + (size_t)i * step;
        if (step == 1)
            pack_panel_near(to, f, k_step, rr_min_int(width, n - i), width, k);
        else
            pack_panel(to, f, step, k_step, rr_min_int(width, n - i), width, k);
    }
}

/* c[RR_TILE_M, RR_TILE_N] += a panel times b panel. */
static void tile(const struct rr_kernels *kern, rr_real *c, size_t ldc, const rr_real *a,
                 const rr_real *b, int k)
{
#ifdef RR_TRAIN_DOUBLE
    (void)kern;
    for (int x = 0; x < k; x++)
        for (int i = 0; i < RR_TILE_M; i++)
            for (int j = 0; j < RR_TILE_N; j++)
                c[(size_t)i * ldc + (size_t)j] += a[x * RR_TILE_M + i] * b[x * RR_TILE_N + j];
#else
    kern->tile_f32(c, ldc, a, b, k);
#endif
}

/* What of a tile is wanted, and how deep it is. */
struct extent {
    int m, n, k;
};

/* A tile at the edge is computed whole, aside. */
static void edge_tile(const struct rr_kernels *kern, rr_real *c, size_t ldc, const rr_real *a,
                      const rr_real *b, struct extent x, rr_real *aside)
{
    for (int i = 0; i < x.m; i++)
        memcpy(aside + (size_t)i * RR_TILE_N, c + (size_t)i * ldc, (size_t)x.n * sizeof *c);
    tile(kern, aside, RR_TILE_N, a, b, x.k);
    for (int i = 0; i < x.m; i++)
        memcpy(c + (size_t)i * ldc, aside + (size_t)i * RR_TILE_N, (size_t)x.n * sizeof *c);
}

/* Outputs [m0, m0 + m) x [n0, n0 + n), m <= BLOCK_M, n <= BLOCK_N. */
static void block(const struct rr_kernels *kern, const struct rr_product *p, int m0, int m, int n0,
                  int n, rr_real *scratch)
{
    rr_real *pa = scratch, *pb = pa + BLOCK_M * BLOCK_K, *aside = pb + BLOCK_N * BLOCK_K;
    rr_real *c = p->c + (size_t)m0 * p->ldc + (size_t)n0;
    for (int i = 0; i < m && !p->add; i++)
        memset(c + (size_t)i * p->ldc, 0, (size_t)n * sizeof *c);
    for (int k0 = 0; k0 < p->k; k0 += BLOCK_K) {
        const int k = rr_min_int(BLOCK_K, p->k - k0);
        pack(pa, p->a + (size_t)m0 * p->a_row + (size_t)k0 * p->a_col, p->a_row, p->a_col, m,
             RR_TILE_M, k);
        pack(pb, p->b + (size_t)k0 * p->b_row + (size_t)n0 * p->b_col, p->b_col, p->b_row, n,
             RR_TILE_N, k);
        for (int j = 0; j < n; j += RR_TILE_N)
            for (int i = 0; i < m; i += RR_TILE_M) {
                const rr_real *a = pa + (size_t)i * (size_t)k, *b = pb + (size_t)j * (size_t)k;
                rr_real *out = c + (size_t)i * p->ldc + (size_t)j;
                const struct extent x = {rr_min_int(RR_TILE_M, m - i), rr_min_int(RR_TILE_N, n - j),
                                         k};
                if (x.m == RR_TILE_M && x.n == RR_TILE_N)
                    tile(kern, out, p->ldc, a, b, k);
                else
                    edge_tile(kern, out, p->ldc, a, b, x, aside);
            }
    }
}

void rr_product_serial(const struct rr_kernels *kern, const struct rr_product *p, rr_real *scratch)
{
    for (int m = 0; m < p->m; m += BLOCK_M)
        for (int n = 0; n < p->n; n += BLOCK_N)
            block(kern, p, m, rr_min_int(BLOCK_M, p->m - m), n, rr_min_int(BLOCK_N, p->n - n),
                  scratch);
}

struct job {
    const struct rr_kernels *kern;
    const struct rr_product *p;
    rr_real *scratch;
    int rows, columns, across; /* of a task's block; blocks in a row */
};

static void task(void *arg, int index, int worker)
{
    const struct job *j = arg;
    const int m = index / j->across * j->rows, n = index % j->across * j->columns;
    block(j->kern, j->p, m, rr_min_int(j->rows, j->p->m - m), n,
          rr_min_int(j->columns, j->p->n - n), j->scratch + (size_t)worker * rr_product_scratch());
}

void rr_product_run(struct rr_engine *e, const struct rr_product *p, rr_real *scratch)
{
    struct job j = {&e->kernels, p, scratch, BLOCK_M, BLOCK_N, 0};
    if (p->m <= 0 || p->n <= 0)
        return;
    /* A small output with a long sum (a weight's gradient) is cut finer, so that all threads work.
     */
    while ((long long)((p->m + j.rows - 1) / j.rows) * ((p->n + j.columns - 1) / j.columns) <
               2LL * rr_pool_size(e->pool) &&
           (j.rows > 4 * RR_TILE_M || j.columns > 2 * RR_TILE_N)) {
        if (j.columns > 2 * RR_TILE_N)
            j.columns /= 2;
        else
            j.rows /= 2;
    }
    j.across = (p->n + j.columns - 1) / j.columns;
    rr_pool_run(e->pool, task, &j, (p->m + j.rows - 1) / j.rows * j.across);
}
