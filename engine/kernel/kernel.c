/* The table's construction, storage types, and the product that chooses between its two ways.
 * Portable C. */
#include "engine/kernel/kernel.h"

#include "engine/base/check.h"

static const struct rr_type_info types[RR_TYPE_COUNT] = {
    [RR_TYPE_F32] = {"F32", 1, sizeof(float)},
    [RR_TYPE_F16] = {"F16", 1, sizeof(uint16_t)},
    [RR_TYPE_BF16] = {"BF16", 1, sizeof(uint16_t)},
    [RR_TYPE_Q8_0] = {"Q8_0", RR_QK, sizeof(struct rr_block_q8_0)},
    [RR_TYPE_Q4_0] = {"Q4_0", RR_QK, sizeof(struct rr_block_q4_0)},
    [RR_TYPE_Q6_K] = {"Q6_K", RR_QK_K, sizeof(struct rr_block_q6_k)},
};

const struct rr_type_info *rr_type_info(enum rr_type type)
{
    return &types[type];
}

void rr_kernels_init(struct rr_kernels *k, enum rr_cpu_level level)
{
    rr_kernels_init_c(k);
#if RR_X86
    if (level >= RR_CPU_AVX2)
        rr_kernels_init_avx2(k);
    if (level >= RR_CPU_AVX512)
        rr_kernels_init_avx512(k);
    if (level >= RR_CPU_AVX512VNNI)
        rr_kernels_init_avx512vnni(k);
#endif
    k->level = level;
}

/* From this many rows on, unpacking a row of weights once costs less than unpacking it for each
 * row of x. */
#define MIN_PANEL_ROWS 4
/* The unpacked panel shares the second-level cache with a block of x. */
#define PANEL_BYTES (192u << 10)

static int panel_rows(int n_cols)
{
    size_t rows = PANEL_BYTES / ((size_t)n_cols * sizeof(float)) / 4 * 4;
    return rows < 4 ? 4 : rows > 64 ? 64 : (int)rows;
}

size_t rr_matmul_scratch(int n_cols)
{
    const size_t floats = (size_t)panel_rows(n_cols) * (size_t)n_cols,
                 least = RR_QPANEL_BYTES / sizeof(float);
    return floats > least ? floats : least;
}

void rr_matmul_rows(const struct rr_kernels *k, const struct rr_matmul *mm, int r0, int r1,
                    float *scratch)
{
    const struct rr_tensor *w = mm->w;
    const size_t row_bytes = rr_row_bytes(w->type, (size_t)w->n_cols);
    const unsigned char *rows = (const unsigned char *)w->data + (size_t)r0 * row_bytes;
    if (k->gemm_q[w->type]) {
        const struct rr_gemm_q q = {.y = mm->y + r0,
                                    .ldy = mm->ldy,
                                    .x = *mm->xq,
                                    .w = rows,
                                    .row_bytes = row_bytes,
                                    .m = mm->m,
                                    .n = r1 - r0,
                                    .k = w->n_cols};
        k->gemm_q[w->type](&q, scratch);
        return;
    }
    if (mm->m < MIN_PANEL_ROWS) {
        for (int i = 0; i < mm->m; i++)
            k->gemv[w->type](mm->y + (size_t)i * mm->ldy + r0, mm->x + (size_t)i * mm->ldx, rows,
                             row_bytes, r1 - r0, w->n_cols);
        return;
    }
    struct rr_gemm g = {.ldy = mm->ldy,
                        .x = mm->x,
                        .ldx = mm->ldx,
                        .ldw = (size_t)w->n_cols,
                        .m = mm->m,
                        .k = w->n_cols};
    const int step = panel_rows(w->n_cols);
    for (int r = r0; r < r1; r += step, rows += (size_t)step * row_bytes) {
        g.y = mm->y + r;
        g.n = rr_min_int(step, r1 - r);
        g.w = scratch;
        if (w->type == RR_TYPE_F32)
            g.w = (const float *)(const void *)rows;
        else
            for (int j = 0; j < g.n; j++)
                k->row_f32[w->type](scratch + (size_t)j * g.ldw, rows + (size_t)j * row_bytes,
                                    w->n_cols);
        k->gemm_f32(&g);
    }
}
