/* The table's construction, storage types, and the product of a part of a matrix. Portable C. */
#include "engine/kernel/kernel.h"

#include "engine/base/check.h"

static const struct rr_type_info types[RR_TYPE_COUNT] = {
    [RR_TYPE_F32] = {"F32", 1, sizeof(float)},
    [RR_TYPE_F16] = {"F16", 1, sizeof(uint16_t)},
    [RR_TYPE_BF16] = {"BF16", 1, sizeof(uint16_t)},
    [RR_TYPE_Q8_0] = {"Q8_0", RR_QK, sizeof(struct rr_block_q8_0)},
    [RR_TYPE_Q4_0] = {"Q4_0", RR_QK, sizeof(struct rr_block_q4_0)},
    [RR_TYPE_Q6_K] = {"Q6_K", RR_QK_K, sizeof(struct rr_block_q6_k)},
    [RR_TYPE_Q4_K] = {"Q4_K", RR_QK_K, sizeof(struct rr_block_q4_k)},
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
    if (level >= RR_CPU_AVXVNNI && rr_cpu_has_avxvnni())
        rr_kernels_init_avxvnni(k);
    if (level >= RR_CPU_AVX512)
        rr_kernels_init_avx512(k);
    if (level >= RR_CPU_AVX512VNNI)
        rr_kernels_init_avx512vnni(k);
    if (level >= RR_CPU_AMX)
        rr_kernels_init_amx(k);
#elif RR_ARM
    if (level >= RR_CPU_NEON)
        rr_kernels_init_neon(k);
    if (level >= RR_CPU_DOTPROD)
        rr_kernels_init_dotprod(k);
    if (level >= RR_CPU_I8MM)
        rr_kernels_init_i8mm(k);
#endif
    k->level = level;
}

size_t rr_gemm_scratch(const struct rr_kernels *k, int cols)
{
    /* kernel_amx.c's: 32 rows of bfloat16, twice for F16, and the tiles' sums. */
    const size_t tiles = 128 * rr_tile_cols(cols) + (4u << 10) + 64;
    return k->tiles && tiles > RR_GEMM_SCRATCH ? (tiles + 63) / 64 * 64 : RR_GEMM_SCRATCH;
}

void rr_prepare_row(const struct rr_kernels *k, const struct rr_quantised *xq, int i,
                    const float *x, int n_cols)
{
    const size_t at = (size_t)i * (size_t)(n_cols / RR_QK);
    const struct rr_quantised row = {xq->q + at * RR_QK, xq->d + at, xq->sum + 2 * at, NULL};
    if (k->tiles)
        k->pairs(xq->pairs, i, x, n_cols);
    else
        k->quantise(&row, x, n_cols);
}

void rr_matmul_rows(const struct rr_kernels *k, const struct rr_matmul *mm, int r0, int r1,
                    void *scratch)
{
    const struct rr_tensor *w = mm->w;
    const size_t row_bytes = rr_row_bytes(w->type, (size_t)w->n_cols);
    struct rr_gemm g = {.y = mm->y + r0,
                        .ldy = mm->ldy,
                        .x = mm->x,
                        .ldx = mm->ldx,
                        .w = (const unsigned char *)w->data + (size_t)r0 * row_bytes,
                        .type = w->type,
                        .row_f32 = k->row_f32[w->type],
                        .row_bytes = row_bytes,
                        .m = mm->m,
                        .n = r1 - r0,
                        .k = w->n_cols};
    if (k->prepared[w->type])
        g.xq = *mm->xq;
    k->gemm[w->type](&g, scratch);
}
