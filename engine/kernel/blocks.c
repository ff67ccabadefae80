/* The rarer storage types: their rows as float32, which defines the types, and products by those of
 * them that are not multiplied in integers, at any level. Numbers are grouped in blocks as type.h
 * says. */
#include "engine/kernel/kernel.h"

#include <string.h>

#define ROWS 16 /* of W, unpacked at once */

static float half_at(const unsigned char *p)
{
    uint16_t h;
    memcpy(&h, p, sizeof h);
    return rr_f16_to_f32(h);
}

static void row_q4_1(float *y, const void *w, int k)
{
    const unsigned char *p = w;
    for (int i = 0; i < k; i += RR_QK, p += sizeof(struct rr_block_q4_1), y += RR_QK) {
        const float d = half_at(p), m = half_at(p + 2);
        for (int j = 0; j < RR_QK / 2; j++) {
            y[j] = d * (float)(p[4 + j] & 15) + m;
            y[j + RR_QK / 2] = d * (float)(p[4 + j] >> 4) + m;
        }
    }
}

/* Q5_0 and Q5_1: the fifth bits of all 32 numbers in a word of their own. */
static void row_q5(float *y, const void *w, int k, bool with_least)
{
    const unsigned char *p = w;
    const size_t n = with_least ? sizeof(struct rr_block_q5_1) : sizeof(struct rr_block_q5_0);
    for (int i = 0; i < k; i += RR_QK, p += n, y += RR_QK) {
        const float d = half_at(p), m = with_least ? half_at(p + 2) : 0;
        const unsigned char *high = p + (with_least ? 4 : 2), *low = high + 4;
        const int less = with_least ? 0 : 16;
        uint32_t bits;
        memcpy(&bits, high, sizeof bits);
        for (int j = 0; j < RR_QK / 2; j++) {
            const int a = (low[j] & 15) | (int)(bits >> j & 1) << 4,
                      b = low[j] >> 4 | (int)(bits >> (j + 16) & 1) << 4;
            y[j] = d * (float)(a - less) + m;
            y[j + RR_QK / 2] = d * (float)(b - less) + m;
        }
    }
}

static void row_q5_0(float *y, const void *w, int k)
{
    row_q5(y, w, k, false);
}

static void row_q5_1(float *y, const void *w, int k)
{
    row_q5(y, w, k, true);
}

static void row_iq4_nl(float *y, const void *w, int k)
{
    static const int8_t values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                      1,    13,   25,  38,  53,  69,  89,  113};
    const unsigned char *p = w;
    for (int i = 0; i < k; i += RR_QK, p += sizeof(struct rr_block_iq4_nl), y += RR_QK) {
        const float d = half_at(p);
        for (int j = 0; j < RR_QK / 2; j++) {
            y[j] = d * (float)values[p[2 + j] & 15];
            y[j + RR_QK / 2] = d * (float)values[p[2 + j] >> 4];
        }
    }
}

static void row_q2_k(float *y, const void *w, int k)
{
    const unsigned char *p = w;
    for (int i = 0; i < k; i += RR_QK_K, p += sizeof(struct rr_block_q2_k)) {
        const unsigned char *q = p + RR_QK_K / 16;
        const float d = half_at(q + RR_QK_K / 4), d_min = half_at(q + RR_QK_K / 4 + 2);
        for (int g = 0; g < RR_QK_K / 16; g++, y += 16) {
            const unsigned char *from = q + 32 * (g / 8) + 16 * (g % 2);
            const float scale = d * (float)(p[g] & 15), least = d_min * (float)(p[g] >> 4);
            for (int l = 0; l < 16; l++)
                y[l] = scale * (float)(from[l] >> 2 * (g % 8 / 2) & 3) - least;
        }
    }
}

static void row_q3_k(float *y, const void *w, int k)
{
    const unsigned char *p = w;
    for (int i = 0; i < k; i += RR_QK_K, p += sizeof(struct rr_block_q3_k)) {
        const unsigned char *q = p + RR_QK_K / 8, *s = q + RR_QK_K / 4;
        const float d = half_at(s + 12);
        for (int g = 0; g < RR_QK_K / 16; g++, y += 16) {
            const int at = 16 * (g % 2), bit = g / 2;
            const int low = g < 8 ? s[g] & 15 : s[g - 8] >> 4,
                      high = s[8 + g % 4] >> 2 * (g / 4) & 3;
            const float scale = d * (float)((low | high << 4) - 32);
            for (int l = 0; l < 16; l++) {
                const int two = q[32 * (g / 8) + at + l] >> 2 * (g % 8 / 2) & 3;
                y[l] = scale * (float)(two - (p[at + l] >> bit & 1 ? 0 : 4));
            }
        }
    }
}

static void row_q5_k(float *y, const void *w, int k)
{
    const unsigned char *p = w;
    for (int i = 0; i < k; i += RR_QK_K, p += sizeof(struct rr_block_q5_k)) {
        const unsigned char *s = p + 4, *high = p + 16, *low = high + RR_QK_K / 8;
        const float d = half_at(p), d_min = half_at(p + 2);
        for (int g = 0; g < 8; g++, y += RR_QK) {
            const int scale = g < 4 ? s[g] & 63 : (s[g + 4] & 15) | s[g - 4] >> 6 << 4,
                      least = g < 4 ? s[g + 4] & 63 : s[g + 4] >> 4 | s[g] >> 6 << 4;
            const float a = d * (float)scale, b = d_min * (float)least;
            for (int l = 0; l < RR_QK; l++)
                y[l] = a * (float)((low[32 * (g / 2) + l] >> 4 * (g % 2) & 15) | (high[l] >> g & 1)
                                                                                     << 4) -
                       b;
        }
    }
}

/* Unpacked once, by whatever row_f32 the level has, for all rows of x. */
static void gemm_unpacked(const struct rr_gemm *g, void *scratch)
{
    float *rows = (float *)(void *)(((uintptr_t)scratch + 63) & ~(uintptr_t)63);
    const size_t k = (size_t)g->k;
    struct rr_gemm part = *g;
    part.w = rows;
    part.rows = NULL;
    part.type = RR_TYPE_F32;
    part.row_bytes = k * sizeof *rows;
    for (int j = 0; j < g->n; j += ROWS) {
        part.n = g->n - j < ROWS ? g->n - j : ROWS;
        part.y = g->y + j;
        for (int r = 0; r < part.n; r++)
            g->table->row_f32[g->type](rows + (size_t)r * k, rr_gemm_row(g, j + r), g->k);
        g->table->gemm[RR_TYPE_F32](&part, rows + ROWS * k);
    }
}

size_t rr_unpacked_scratch(int cols)
{
    return ROWS * (size_t)cols * sizeof(float) + 64 + RR_GEMM_SCRATCH;
}

void rr_kernels_init_blocks(struct rr_kernels *k)
{
    static void (*const rows[RR_TYPE_COUNT])(float *, const void *, int) = {
        [RR_TYPE_Q4_1] = row_q4_1,    [RR_TYPE_Q5_0] = row_q5_0, [RR_TYPE_Q5_1] = row_q5_1,
        [RR_TYPE_Q2_K] = row_q2_k,    [RR_TYPE_Q3_K] = row_q3_k, [RR_TYPE_Q5_K] = row_q5_k,
        [RR_TYPE_IQ4_NL] = row_iq4_nl};
    for (int t = 0; t < RR_TYPE_COUNT; t++)
        if (rows[t]) {
            k->row_f32[t] = rows[t];
            if (!k->prepared[t])
                k->gemm[t] = gemm_unpacked;
        }
}
