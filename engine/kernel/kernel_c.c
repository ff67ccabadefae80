/* The kernels in portable C: the truth that every other level is checked against, and the fallback.
 * Sums run in eight lanes so that any compiler can vectorise them without reordering anything. */
#include "engine/kernel/kernel.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#define LANES 8
#define CHUNK 256 /* weights converted at a time; a multiple of every block size and of LANES */

float rr_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exp = h >> 10 & 31u, frac = h & 0x3FFu, bits;
    if (exp == 31) {
        bits = sign | 0x7F800000u | frac << 13;
    } else if (exp) {
        bits = sign | (exp + 112) << 23 | frac << 13;
    } else {
        /* Subnormal: frac * 2^-24, exact in float. */
        float f = (float)frac * 0x1p-24f;
        memcpy(&bits, &f, sizeof bits);
        bits |= sign;
    }
    float out;
    memcpy(&out, &bits, sizeof out);
    return out;
}

uint16_t rr_f32_to_f16(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    uint32_t sign = bits >> 16 & 0x8000u, abs = bits & 0x7FFFFFFFu;
    if (abs > 0x7F800000u)
        return (uint16_t)(sign | 0x7E00u);
    if (abs >= 0x47800000u) /* 65536 and above; 65520..65535 round up to infinity below */
        return (uint16_t)(sign | 0x7C00u);
    if (abs < 0x38800000u) { /* below 2^-14: a multiple of 2^-24 */
        float a;
        memcpy(&a, &abs, sizeof a);
        return (uint16_t)(sign | (uint32_t)lrintf(a * 0x1p24f));
    }
    abs += 0xFFFu + (abs >> 13 & 1u);
    return (uint16_t)(sign | ((abs >> 13) - (112u << 10)));
}

static float bf16_to_f32(uint16_t h)
{
    uint32_t bits = (uint32_t)h << 16;
    float out;
    memcpy(&out, &bits, sizeof out);
    return out;
}

/* Weights may lie at any address: read them as bytes. */
static uint16_t load_u16(const unsigned char *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static void row_f32_f32(float *y, const void *w, int k)
{
    memcpy(y, w, (size_t)k * sizeof *y);
}

static void row_f32_f16(float *y, const void *w, int k)
{
    for (int i = 0; i < k; i++)
        y[i] = rr_f16_to_f32(load_u16((const unsigned char *)w + 2 * (size_t)i));
}

static void row_f32_bf16(float *y, const void *w, int k)
{
    for (int i = 0; i < k; i++)
        y[i] = bf16_to_f32(load_u16((const unsigned char *)w + 2 * (size_t)i));
}

static void row_f32_q8_0(float *y, const void *w, int k)
{
    const unsigned char *p = w;
    for (int i = 0; i < k; i += RR_QK, p += sizeof(struct rr_block_q8_0)) {
        struct rr_block_q8_0 b;
        memcpy(&b, p, sizeof b);
        float d = rr_f16_to_f32(b.d);
        for (int j = 0; j < RR_QK; j++)
            y[i + j] = d * (float)b.q[j];
    }
}

static void row_f32_q4_0(float *y, const void *w, int k)
{
    const unsigned char *p = w;
    for (int i = 0; i < k; i += RR_QK, p += sizeof(struct rr_block_q4_0)) {
        struct rr_block_q4_0 b;
        memcpy(&b, p, sizeof b);
        float d = rr_f16_to_f32(b.d);
        for (int j = 0; j < RR_QK / 2; j++) {
            y[i + j] = d * (float)((b.q[j] & 15) - 8);
            y[i + j + RR_QK / 2] = d * (float)((b.q[j] >> 4) - 8);
        }
    }
}

static void row_f32_q6_k(float *y, const void *w, int k)
{
    const unsigned char *p = w;
    for (int i = 0; i < k; i += RR_QK_K, p += sizeof(struct rr_block_q6_k)) {
        struct rr_block_q6_k b;
        memcpy(&b, p, sizeof b);
        float d = rr_f16_to_f32(b.d);
        for (int part = 0; part < 8; part++) {
            const int half = part / 4, j = part % 4;
            const uint8_t *ql = b.ql + 64 * half + 32 * (j % 2), *qh = b.qh + 32 * half;
            for (int l = 0; l < 32; l++) {
                int q = (ql[l] >> 4 * (j / 2) & 15) | (qh[l] >> 2 * j & 3) << 4;
                y[i + 32 * part + l] = d * (float)b.scales[2 * part + l / 16] * (float)(q - 32);
            }
        }
    }
}

/* acc[l] += x[i] w[i] for i = l mod LANES; n may be anything. */
static void dot_add(float acc[LANES], const float *x, const float *w, int n)
{
    int i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++)
            acc[l] += x[i + l] * w[i + l];
    for (int l = 0; i + l < n; l++)
        acc[l] += x[i + l] * w[i + l];
}

static float lanes_sum(const float acc[LANES])
{
    return ((acc[0] + acc[4]) + (acc[2] + acc[6])) + ((acc[1] + acc[5]) + (acc[3] + acc[7]));
}

#define BLOCK_M 64 /* rows of x that one unpacked stretch of weights serves */

static void gemm_any(const struct rr_gemm *g, enum rr_type type,
                     void (*row_f32)(float *, const void *, int))
{
    const size_t chunk_bytes = rr_row_bytes(type, CHUNK);
    for (int j = 0; j < g->n; j++)
        for (int i0 = 0; i0 < g->m; i0 += BLOCK_M) {
            const unsigned char *row = rr_gemm_row(g, j);
            const int m = g->m - i0 < BLOCK_M ? g->m - i0 : BLOCK_M;
            float part[CHUNK], acc[BLOCK_M][LANES] = {{0}};
            for (int k = 0; k < g->k; k += CHUNK, row += chunk_bytes) {
                const int n = g->k - k < CHUNK ? g->k - k : CHUNK;
                row_f32(part, row, n);
                for (int i = 0; i < m; i++)
                    dot_add(acc[i], g->x + (size_t)(i0 + i) * g->ldx + k, part, n);
            }
            for (int i = 0; i < m; i++)
                g->y[(size_t)(i0 + i) * g->ldy + (size_t)j] = lanes_sum(acc[i]);
        }
}

static void gemm_f32(const struct rr_gemm *g, void *scratch)
{
    (void)scratch;
    gemm_any(g, RR_TYPE_F32, row_f32_f32);
}

static void gemm_f16(const struct rr_gemm *g, void *scratch)
{
    (void)scratch;
    gemm_any(g, RR_TYPE_F16, row_f32_f16);
}

static void gemm_bf16(const struct rr_gemm *g, void *scratch)
{
    (void)scratch;
    gemm_any(g, RR_TYPE_BF16, row_f32_bf16);
}

/* ---- in integers ---- */

static void quantise(const struct rr_quantised *out, const float *x, int k)
{
    for (int b = 0; b < k / RR_QK; b++, x += RR_QK) {
        int sum[2] = {0};
        float most = 0;
        for (int i = 0; i < RR_QK; i++)
            most = fabsf(x[i]) <= most || isnan(most) ? most : fabsf(x[i]); /* a NaN stays */
        const float inverse = most >= RR_Q_LEAST && most <= FLT_MAX ? 127.0f / most : 0;
        out->d[b] = most < RR_Q_LEAST ? 0 : most / 127.0f;
        for (int i = 0; i < RR_QK; i++) {
            const int q = inverse > 0 ? (int)rintf(x[i] * inverse) : 0;
            out->q[b * RR_QK + i] = (int8_t)q;
            sum[i / 16] += q;
        }
        out->sum[2 * b] = (int16_t)sum[0];
        out->sum[2 * b + 1] = (int16_t)sum[1];
    }
}

/* n numbers, zeros behind them. */
static void block16(int16_t *q, float *d, const float *x, int n)
{
    float sums[2][RR_QK16 / 2] = {{0}}, most = 0;
    for (int i = 0; i < n; i++)
        most = fabsf(x[i]) <= most || isnan(most) ? most : fabsf(x[i]);
    const bool some = most >= RR_Q_LEAST && most <= FLT_MAX;
    const float unit = some ? 1.0f / most : 0;
    for (int i = 0; i < n && some; i++)
        sums[i / 8][i % 8] = x[i] * unit * (x[i] * unit);
    for (int half = 0; half < 2; half++)
        for (int step = 4; step; step /= 2)
            for (int i = 0; i < step; i++)
                sums[half][i] += sums[half][i + step];
    const float steps = fminf(RR_MOST_16, RR_NORM_16 / sqrtf(fmaxf(sums[0][0], sums[1][0])));
    for (int i = 0; i < RR_QK16; i++)
        q[i] = (int16_t)(some && i < n ? rintf(x[i] * unit * steps) : 0);
    *d = some ? most / steps : most < RR_Q_LEAST ? 0 : most;
}

static void quantise16(int16_t *q, float *d, const float *x, int k)
{
    for (int i = 0; i < k; i += RR_QK16, q += RR_QK16, d++)
        block16(q, d, x + i, k - i < RR_QK16 ? k - i : RR_QK16);
}

/* Scale and least value of group j of a Q4_K or Q5_K block. */
static void group_of(int *scale, int *least, const uint8_t *s, int j)
{
    *scale = j < 4 ? s[j] & 63 : (s[j + 4] & 15) | s[j - 4] >> 6 << 4;
    *least = j < 4 ? s[j + 4] & 63 : s[j + 4] >> 4 | s[j] >> 6 << 4;
}

/* Block b of a stored row as integers: number i is scale[i / 16] * q[i] + offset. */
struct int_block {
    int q[RR_QK];
    float scale[2], offset;
};

/* Blocks of RR_QK with a scale of their own: bytes, or nibbles with a fifth bit or without. */
static void read_plain(struct int_block *out, const unsigned char *row, size_t b, enum rr_type type)
{
    static const int8_t values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                      1,    13,   25,  38,  53,  69,  89,  113};
    const unsigned char *p = row + b * rr_type_info(type)->block_bytes, *low;
    const bool least = type == RR_TYPE_Q4_1 || type == RR_TYPE_Q5_1,
               five = type == RR_TYPE_Q5_0 || type == RR_TYPE_Q5_1;
    const int less = type == RR_TYPE_Q4_0 ? 8 : type == RR_TYPE_Q5_0 ? 16 : 0;
    out->scale[0] = out->scale[1] = rr_f16_to_f32(load_u16(p));
    p += 2;
    out->offset = least ? rr_f16_to_f32(load_u16(p)) : 0;
    p += least ? 2 : 0;
    low = p + (five ? 4 : 0);
    for (int i = 0; i < RR_QK; i++) {
        const int nibble = i < RR_QK / 2 ? low[i] & 15 : low[i - RR_QK / 2] >> 4;
        out->q[i] = type == RR_TYPE_Q8_0 ? (int8_t)p[i]
                    : type == RR_TYPE_IQ4_NL
                        ? values[nibble]
                        : nibble + (five ? (p[i / 8] >> i % 8 & 1) << 4 : 0) - less;
    }
}

static void read_q6_k(struct int_block *out, const unsigned char *row, size_t b)
{
    struct rr_block_q6_k k;
    const int part = (int)(b % 8), half = part / 4, j = part % 4;
    memcpy(&k, row + b / 8 * sizeof k, sizeof k);
    out->offset = 0;
    for (int i = 0; i < 2; i++)
        out->scale[i] = rr_f16_to_f32(k.d) * (float)k.scales[2 * part + i];
    for (int l = 0; l < RR_QK; l++)
        out->q[l] = ((k.ql[64 * half + 32 * (j % 2) + l] >> 4 * (j / 2) & 15) |
                     (k.qh[32 * half + l] >> 2 * j & 3) << 4) -
                    32;
}

static void read_q4_k(struct int_block *out, const unsigned char *row, size_t b, enum rr_type type)
{
    const struct rr_type_info *t = rr_type_info(type);
    const unsigned char *p = row + b / 8 * t->block_bytes, *high = p + 16,
                        *low = type == RR_TYPE_Q5_K ? high + RR_QK_K / 8 : high;
    const int j = (int)(b % 8);
    int scale, least;
    group_of(&scale, &least, p + 4, j);
    out->scale[0] = out->scale[1] = rr_f16_to_f32(load_u16(p)) * (float)scale;
    out->offset = rr_f16_to_f32(load_u16(p + 2)) * (float)-least;
    for (int l = 0; l < RR_QK; l++)
        out->q[l] = (low[32 * (j / 2) + l] >> 4 * (j % 2) & 15) +
                    (type == RR_TYPE_Q5_K ? (high[l] >> j & 1) << 4 : 0);
}

static void read_block(struct int_block *out, const unsigned char *row, size_t b, enum rr_type type)
{
    if (type == RR_TYPE_Q6_K)
        read_q6_k(out, row, b);
    else if (type == RR_TYPE_Q4_K || type == RR_TYPE_Q5_K)
        read_q4_k(out, row, b, type);
    else
        read_plain(out, row, b, type);
}

/* y plus what a block adds to it; half: a scale for each, else the first is that of all. */
static float add_block(float y, const struct int_block *w, const int8_t *q, float d, bool half)
{
    int sum[2] = {0};
    for (int e = 0; e < RR_QK; e++)
        sum[e / 16] += w->q[e] * q[e];
    if (!half)
        return fmaf((float)(sum[0] + sum[1]), w->scale[0] * d, y);
    y = fmaf((float)sum[0], w->scale[0] * d, y);
    return fmaf((float)sum[1], w->scale[1] * d, y);
}

static bool has_least(enum rr_type type)
{
    return type == RR_TYPE_Q4_K || type == RR_TYPE_Q5_K || type == RR_TYPE_Q4_1 ||
           type == RR_TYPE_Q5_1;
}

static void gemm_ints(const struct rr_gemm *g, void *scratch)
{
    const size_t n_blocks = (size_t)(g->k / RR_QK);
    (void)scratch;
    for (int j = 0; j < g->n; j++) {
        const unsigned char *row = rr_gemm_row(g, j);
        for (int i = 0; i < g->m; i++)
            g->y[(size_t)i * g->ldy + (size_t)j] = 0;
        for (size_t b = 0; b < n_blocks; b++) {
            struct int_block w;
            read_block(&w, row, b, g->type);
            for (int i = 0; i < g->m; i++) {
                const size_t at = (size_t)i * n_blocks + b;
                float *y = &g->y[(size_t)i * g->ldy + (size_t)j];
                *y = add_block(*y, &w, g->xq.q + at * RR_QK, g->xq.d[at], g->type == RR_TYPE_Q6_K);
                if (has_least(g->type))
                    *y = fmaf((float)(g->xq.sum[2 * at] + g->xq.sum[2 * at + 1]),
                              w.offset * g->xq.d[at], *y);
            }
        }
    }
}

/* By the same reading: what is rounded is the last sum. */
static void row_f32_q4_k(float *y, const void *w, int k)
{
    for (int b = 0; b < k / RR_QK; b++) {
        struct int_block block;
        read_q4_k(&block, w, (size_t)b, RR_TYPE_Q4_K);
        for (int i = 0; i < RR_QK; i++)
            y[b * RR_QK + i] = block.scale[0] * (float)block.q[i] + block.offset;
    }
}

static void attn_scores(const struct rr_attn_scores *a)
{
    for (int i = 0; i < a->n_q; i++) {
        const float *q = a->q + (size_t)i * a->ldq;
        for (int p = 0; p < a->n_panels; p++) {
            const float *k = a->k + (size_t)p * (size_t)a->head_dim * RR_PANEL;
            float acc[RR_PANEL] = {0};
            for (int d = 0; d < a->head_dim; d++)
                for (int l = 0; l < RR_PANEL; l++)
                    acc[l] += q[d] * k[d * RR_PANEL + l];
            for (int l = 0; l < RR_PANEL; l++)
                a->s[(size_t)i * a->lds + (size_t)(p * RR_PANEL + l)] = acc[l] * a->scale;
        }
    }
}

static void attn_values(const struct rr_attn_values *a)
{
    for (int i = 0; i < a->n_q; i++) {
        float *o = a->o + (size_t)i * a->ldo;
        for (int j = 0; j < a->n; j++) {
            const float p = a->p[(size_t)i * a->ldp + (size_t)j], *v = a->v + (size_t)j * a->ldv;
            for (int d = 0; d < a->head_dim; d++)
                o[d] += p * v[d];
        }
    }
}

/* exp(x) = 2^n exp(r), n = round(x / ln 2), |r| <= ln2 / 2, exp(r) by its Taylor series to r^6
 * (the rest is below 1.3e-7 of the value). ln 2 is subtracted in two parts, the first exact in
 * few bits, so that n ln 2 does not round. Inputs are clamped so that the result stays finite
 * and normal. */
static float exp_c(float x)
{
    const float hi = 88.0f, lo = -87.0f;
    if (x != x)
        return x;
    x = x > hi ? hi : x;
    x = x < lo ? lo : x;
    float n = rintf(x * 1.44269504f);
    float r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
    float p = 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * (r * r) + r + 1.0f;
    uint32_t bits = (uint32_t)((int)n + 127) << 23;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return p * scale;
}

static void to_f16(uint16_t *y, const float *x, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = rr_f32_to_f16(x[i]);
}

#include "engine/kernel/cache_q8_0.h"

static float softmax_exp(float *s, int n, float *greatest)
{
    float max = *greatest, acc[LANES] = {0};
    for (int i = 0; i < n; i++)
        max = s[i] > max ? s[i] : max;
    *greatest = max;
    for (int i = 0; i < n; i++) {
        s[i] = exp_c(s[i] - max);
        acc[i % LANES] += s[i];
    }
    return lanes_sum(acc);
}

static void rmsnorm(float *y, const float *x, const float *g, int n, float eps)
{
    float acc[LANES] = {0};
    dot_add(acc, x, x, n);
    float scale = 1.0f / sqrtf(lanes_sum(acc) / (float)n + eps);
    for (int i = 0; i < n; i++)
        y[i] = x[i] * scale * g[i];
}

static void silu_mul(float *g, const float *u, int n)
{
    for (int i = 0; i < n; i++)
        g[i] = g[i] / (1.0f + exp_c(-g[i])) * u[i];
}

static void add(float *y, const float *x, int n)
{
    for (int i = 0; i < n; i++)
        y[i] += x[i];
}

static void tile_f32(float *c, size_t ldc, const float *a, const float *b, int k)
{
    float acc[RR_TILE_M][RR_TILE_N] = {{0}};
    for (int x = 0; x < k; x++, a += RR_TILE_M, b += RR_TILE_N)
        for (int i = 0; i < RR_TILE_M; i++)
            for (int j = 0; j < RR_TILE_N; j++)
                acc[i][j] += a[i] * b[j];
    for (int i = 0; i < RR_TILE_M; i++)
        for (int j = 0; j < RR_TILE_N; j++)
            c[(size_t)i * ldc + (size_t)j] += acc[i][j];
}

void rr_kernels_init_c(struct rr_kernels *k)
{
    *k = (struct rr_kernels){
        .level = RR_CPU_C,
        .row_f32 = {row_f32_f32, row_f32_f16, row_f32_bf16, row_f32_q8_0, row_f32_q4_0,
                    row_f32_q6_k, row_f32_q4_k},
        .gemm = {gemm_f32, gemm_f16, gemm_bf16},
        .quantise = quantise,
        .quantise16 = quantise16,
        .attn_scores = attn_scores,
        .attn_values = attn_values,
        .to_f16 = to_f16,
        .keys_q8_0 = keys_q8_0,
        .values_q8_0 = values_q8_0,
        .softmax_exp = softmax_exp,
        .rmsnorm = rmsnorm,
        .silu_mul = silu_mul,
        .add = add,
        .tile_f32 = tile_f32,
    };
    static const enum rr_type ints[] = {RR_TYPE_Q8_0, RR_TYPE_Q4_0, RR_TYPE_Q6_K,
                                        RR_TYPE_Q4_K, RR_TYPE_Q5_K, RR_TYPE_Q4_1,
                                        RR_TYPE_Q5_0, RR_TYPE_Q5_1, RR_TYPE_IQ4_NL};
    for (size_t i = 0; i < sizeof ints / sizeof ints[0]; i++) {
        k->gemm[ints[i]] = gemm_ints;
        k->prepared[ints[i]] = RR_READS_8;
    }
}
