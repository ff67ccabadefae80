/* The table's construction, storage types, and the product of a part of a matrix. Portable C. */
#include "engine/kernel/kernel.h"

#include "engine/base/check.h"

static const struct rr_type_info types[RR_TYPE_COUNT] = {
    [RR_TYPE_F32] = {"F32", 1, sizeof(float), {{0}}},
    [RR_TYPE_F16] = {"F16", 1, sizeof(uint16_t), {{0}}},
    [RR_TYPE_BF16] = {"BF16", 1, sizeof(uint16_t), {{0}}},
#define BLOCK(name, n, block) name, n, sizeof(struct block)
    [RR_TYPE_Q8_0] = {BLOCK("Q8_0", RR_QK, rr_block_q8_0), {{0, 127}}},
    [RR_TYPE_Q4_0] = {BLOCK("Q4_0", RR_QK, rr_block_q4_0), {{0, 8}}},
    [RR_TYPE_Q6_K] = {BLOCK("Q6_K", RR_QK_K, rr_block_q6_k), {{208, 127 * 32}}},
    [RR_TYPE_Q4_K] = {BLOCK("Q4_K", RR_QK_K, rr_block_q4_k), {{0, 63 * 15}, {2, 63}}},
    [RR_TYPE_Q4_1] = {BLOCK("Q4_1", RR_QK, rr_block_q4_1), {{0, 15}, {2, 1}}},
    [RR_TYPE_Q5_0] = {BLOCK("Q5_0", RR_QK, rr_block_q5_0), {{0, 16}}},
    [RR_TYPE_Q5_1] = {BLOCK("Q5_1", RR_QK, rr_block_q5_1), {{0, 31}, {2, 1}}},
    [RR_TYPE_Q2_K] = {BLOCK("Q2_K", RR_QK_K, rr_block_q2_k), {{80, 15 * 3}, {82, 15}}},
    [RR_TYPE_Q3_K] = {BLOCK("Q3_K", RR_QK_K, rr_block_q3_k), {{108, 32 * 4}}},
    [RR_TYPE_Q5_K] = {BLOCK("Q5_K", RR_QK_K, rr_block_q5_k), {{0, 63 * 31}, {2, 63}}},
    [RR_TYPE_IQ4_NL] = {BLOCK("IQ4_NL", RR_QK, rr_block_iq4_nl), {{0, 127}}},
};

const struct rr_type_info *rr_type_info(enum rr_type type)
{
    return &types[type];
}

void rr_kernels_init(struct rr_kernels *k, enum rr_cpu_level level)
{
    rr_kernels_init_c(k);
    rr_kernels_init_blocks(k);
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
    k->side_by_side = rr_cpu_is_amd();
}

size_t rr_gemm_scratch(const struct rr_kernels *k, int cols)
{
    const size_t tiles = k->tiles ? RR_TILE_SCRATCH : 0, unpacked = rr_unpacked_scratch(cols);
    return ((tiles > unpacked ? tiles : unpacked) + 63) / 64 * 64;
}

void rr_kernels_init_decoding(struct rr_kernels *k, enum rr_cpu_level level)
{
    rr_kernels_init(k, level == RR_CPU_AMX ? RR_CPU_AVX512VNNI : level);
    for (int t = 0; t < RR_TYPE_COUNT; t++)
        if (k->decode[t]) {
            k->gemm[t] = k->decode[t];
            k->prepared[t] &= RR_READS_8; /* of floats: x itself */
        }
}

void rr_prepare_rows(const struct rr_kernels *k, const struct rr_quantised *xq,
                     const struct rr_rows *x, int i, int n, int prepared)
{
    if (k->tiles) {
        k->pairs(xq->pairs, x, i, n, prepared & RR_READS_16 ? 2 : 1);
        return;
    }
    for (int end = i + n; i < end; i++) {
        const float *from = x->x + (size_t)i * x->ld;
        const size_t at = (size_t)i * (size_t)(x->n_cols / RR_QK);
        if (prepared & RR_READS_8)
            k->quantise(&(struct rr_quantised){.q = xq->q + at * RR_QK,
                                               .d = xq->d + at,
                                               .sum = xq->sum + 2 * at},
                        from, x->n_cols);
        if (prepared & RR_READS_16)
            k->quantise16(xq->q16 + (size_t)i * rr_int16_apart(x->n_cols),
                          xq->d16 + (size_t)i * rr_int16_blocks(x->n_cols), from, x->n_cols);
    }
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
                        .table = k,
                        .row_bytes = row_bytes,
                        .m = mm->m,
                        .n = r1 - r0,
                        .k = w->n_cols,
                        .side_by_side = k->side_by_side};
    if (k->prepared[w->type])
        g.xq = *mm->xq;
    k->gemm[w->type](&g, scratch);
}
