/* The order in which a product with few rows of x reads W, which only waits for it: OUTS outputs a
 * group, whose rows are read together, block by block. Shared by gemm_int.h and gemm_panel.h; and
 * how dot_floats.h and dot_int.h are told what comes.
 *
 * Groups are rows side by side, the next ones being asked for in the order of memory meanwhile: AMD
 * (Zen 5) reads a tenth to three quarters more so. Or they are rows as far apart as can be, so that
 * every output reads one long stream: Intel follows those, told a little ahead, at the speed of
 * memory, where rows side by side are too many short streams (67 and 93 % of it, Sapphire Rapids).
 */
#ifndef RR_FEW_ROWS_H
#define RR_FEW_ROWS_H

#include "engine/kernel/kernel.h"

#define RR_AHEAD 1024 /* bytes in a stream */

struct rr_group {
    int first, apart; /* outputs: the first, and from each to the next */
};

/* How many groups there are; those of fewer than `outs` outputs repeat the last one. */
static inline int rr_groups(const struct rr_gemm *g, int outs)
{
    return (g->n + outs - 1) / outs;
}

static inline struct rr_group rr_group(const struct rr_gemm *g, int outs, int i)
{
    const int streams = g->side_by_side && !g->rows ? 0 : g->n / outs;
    return i < streams ? (struct rr_group){i, streams} : (struct rr_group){i * outs, 1};
}

/* Bytes at .. at + n - 1 of a group's rows are being read. */
static inline void rr_ask_ahead(const struct rr_gemm *g, const unsigned char *const *rows, int outs,
                                int apart, size_t at, size_t n)
{
    if (apart == 1) {
        const unsigned char *next = rows[0] + (size_t)outs * (g->row_bytes + at);
        for (size_t i = 0; i < (size_t)outs * n; i += 64)
            __builtin_prefetch(next + i);
    } else if (at / 64 != (at + n) / 64) /* once for each line */
        for (int r = 0; r < outs; r++)
            __builtin_prefetch(rows[r] + at + RR_AHEAD, 0, 2);
}

/* The same of rows that are long streams wherever they are read, as decoding has them. AMD
 * follows four of those by itself: of floats, being told costs it a tenth; integers take longer to
 * multiply, and it gains a twentieth. */
static inline void rr_ask_streams(const unsigned char *const *rows, int n_rows, size_t at, size_t n)
{
    for (size_t i = 0; i < n; i += 64)
        for (int r = 0; r < n_rows; r++)
            __builtin_prefetch(rows[r] + at + i + RR_AHEAD, 0, 2);
}

#endif
