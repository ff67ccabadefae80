/* Products of float weights while decoding: one row of x, or a few, and W is all that is waited
 * for. A row of W is read as it lies, in order, and multiplied without being turned, which
 * gemm_panel.h's order of sums would ask for. Included beside gemm_panel.h, whose names it uses, by
 * a file that defines
 *
 *     v_sum(v)     the sum of a vector's lanes
 *
 * Per output, products of k mod 2 LANES are added in the order of k in sums of their own, then the
 * two halves, then the lanes: the same whatever the batch. */

#include "engine/kernel/few_rows.h"

#define DOT_STREAMS 4 /* rows read at once, as far apart as can be: so many long streams */

/* Outputs j, j + apart and so on of one row of x. */
RR_INLINE void dot_outs(const struct rr_gemm *g, int j, int apart, const float *x, float *y,
                        enum rr_type type)
{
    const unsigned char *rows[DOT_STREAMS];
    vec sums[DOT_STREAMS][2];
    int k = 0;
    for (int r = 0; r < DOT_STREAMS; r++) {
        rows[r] = rr_gemm_row(g, j + r * apart);
        sums[r][0] = sums[r][1] = v_zero();
    }
    for (; k + 2 * LANES <= g->k; k += 2 * LANES) {
        const size_t bytes = type == RR_TYPE_F32 ? 4 : 2;
        if (!g->side_by_side)
            rr_ask_streams(rows, DOT_STREAMS, (size_t)k * bytes, 2 * LANES * bytes);
        for (int h = 0; h < 2; h++) {
            const vec v = v_load(x + k + h * LANES);
            for (int r = 0; r < DOT_STREAMS; r++)
                sums[r][h] = v_fma(load_lanes(rows[r], k + h * LANES, LANES, type), v, sums[r][h]);
        }
    }
    for (int h = 0; k < g->k; k += LANES, h = 1) {
        const int left = g->k - k < LANES ? g->k - k : LANES;
        for (int r = 0; r < DOT_STREAMS; r++)
            sums[r][h] =
                v_fma(load_lanes(rows[r], k, left, type), v_load_n(x + k, left), sums[r][h]);
    }
    for (int r = 0; r < DOT_STREAMS && j + r * apart < g->n; r++)
        y[j + r * apart] = v_sum(v_add(sums[r][0], sums[r][1]));
}

RR_INLINE void dot_floats(const struct rr_gemm *g, enum rr_type type)
{
    const int apart = g->n / DOT_STREAMS, rest = apart * DOT_STREAMS;
    for (int j = 0; j < apart; j++)
        for (int i = 0; i < g->m; i++)
            dot_outs(g, j, apart, g->x + (size_t)i * g->ldx, g->y + (size_t)i * g->ldy, type);
    for (int i = 0; rest < g->n && i < g->m; i++)
        dot_outs(g, rest, 1, g->x + (size_t)i * g->ldx, g->y + (size_t)i * g->ldy, type);
}

static void dot_f32(const struct rr_gemm *g, void *scratch)
{
    (void)scratch;
    dot_floats(g, RR_TYPE_F32);
}

static void dot_f16(const struct rr_gemm *g, void *scratch)
{
    (void)scratch;
    dot_floats(g, RR_TYPE_F16);
}

static void dot_bf16(const struct rr_gemm *g, void *scratch)
{
    (void)scratch;
    dot_floats(g, RR_TYPE_BF16);
}

static void init_dot(struct rr_kernels *k)
{
    k->decode[RR_TYPE_F32] = dot_f32;
    k->decode[RR_TYPE_F16] = dot_f16;
    k->decode[RR_TYPE_BF16] = dot_bf16;
}
