/* NEON of aarch64. Products are gemm_panel.h's and gemm_int.h's; lane l of other sums adds the
 * numbers l mod 4 in ascending order, and the lanes are added in pairs. */
#include "engine/kernel/kernel.h"

#if RR_ARM
#include <arm_neon.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

/* ---- products of floats ---- */

#define LANES 4
#define TILE_M 4
#define vec float32x4_t
#define v_load vld1q_f32
#define v_set1 vdupq_n_f32
#define v_add vaddq_f32

RR_INLINE float32x4_t v_zero(void)
{
    return vdupq_n_f32(0);
}

RR_INLINE float32x4_t v_fma(float32x4_t a, float32x4_t b, float32x4_t c)
{
    return vfmaq_f32(c, a, b);
}

RR_INLINE float32x4_t v_load_n(const float *p, int n)
{
    if (n >= LANES)
        return vld1q_f32(p);
    float part[LANES] = {0};
    memcpy(part, p, (size_t)n * sizeof *p);
    return vld1q_f32(part);
}

RR_INLINE void v_store_n(float *p, float32x4_t v, int n)
{
    if (n >= LANES) {
        vst1q_f32(p, v);
        return;
    }
    float part[LANES];
    vst1q_f32(part, v);
    memcpy(p, part, (size_t)n * sizeof *p);
}

RR_INLINE float32x4_t halves(uint16x4_t v, enum rr_type type)
{
    return type == RR_TYPE_F16 ? vcvt_f32_f16(vreinterpret_f16_u16(v))
                               : vreinterpretq_f32_u32(vshll_n_u16(v, 16));
}

RR_INLINE float32x4_t load_lanes(const unsigned char *row, int k, int n, enum rr_type type)
{
    const size_t size = type == RR_TYPE_F32 ? 4 : 2;
    unsigned char part[16] = {0};
    memcpy(part, row + (size_t)k * size, (size_t)n * size);
    return type == RR_TYPE_F32 ? vreinterpretq_f32_u8(vld1q_u8(part))
                               : halves(vreinterpret_u16_u8(vld1_u8(part)), type);
}

RR_INLINE void transpose(float32x4_t *t)
{
    const float64x2_t a = vreinterpretq_f64_f32(vtrn1q_f32(t[0], t[1])),
                      b = vreinterpretq_f64_f32(vtrn2q_f32(t[0], t[1])),
                      c = vreinterpretq_f64_f32(vtrn1q_f32(t[2], t[3])),
                      d = vreinterpretq_f64_f32(vtrn2q_f32(t[2], t[3]));
    t[0] = vreinterpretq_f32_f64(vtrn1q_f64(a, c));
    t[1] = vreinterpretq_f32_f64(vtrn1q_f64(b, d));
    t[2] = vreinterpretq_f32_f64(vtrn2q_f64(a, c));
    t[3] = vreinterpretq_f32_f64(vtrn2q_f64(b, d));
}

RR_INLINE float32x4_t low_half(float32x4_t v, enum rr_type type)
{
    return halves(vmovn_u32(vreinterpretq_u32_f32(v)), type);
}

RR_INLINE float32x4_t high_half(float32x4_t v, enum rr_type type)
{
    return halves(vshrn_n_u32(vreinterpretq_u32_f32(v), 16), type);
}

#define v_sum vaddvq_f32
#include "engine/kernel/dot_floats.h"
#include "engine/kernel/gemm_panel.h"

static void row_f32_f16(float *y, const void *w, int k)
{
    for (int i = 0; i < k; i += LANES) {
        const int n = k - i < LANES ? k - i : LANES;
        v_store_n(y + i, load_lanes(w, i, n, RR_TYPE_F16), n);
    }
}

static void row_f32_bf16(float *y, const void *w, int k)
{
    for (int i = 0; i < k; i += LANES) {
        const int n = k - i < LANES ? k - i : LANES;
        v_store_n(y + i, load_lanes(w, i, n, RR_TYPE_BF16), n);
    }
}

/* ---- products in integers ---- */

#define INT_PREFIX(name) gemm_##name

/* |w| is at most 128 and |x| at most 127: a product fits into 16 bits, and two of them into 32. */
RR_INLINE int32x4_t i_dot(int32x4_t acc, int32x4_t w, int32x4_t x)
{
    const int8x16_t a = vreinterpretq_s8_s32(w), b = vreinterpretq_s8_s32(x);
    const int32x4_t low = vpaddlq_s16(vmull_s8(vget_low_s8(a), vget_low_s8(b))),
                    high = vpaddlq_s16(vmull_s8(vget_high_s8(a), vget_high_s8(b)));
    return vaddq_s32(acc, vpaddq_s32(low, high));
}

#include "engine/kernel/gemm_int_4.h"
#include "engine/kernel/gemm_int.h"

/* ---- attention ---- */

RR_INLINE void scores_rows(const struct rr_attn_scores *a, int nq)
{
    for (int p = 0; p < a->n_panels; p++) {
        const float *k = a->k + (size_t)p * (size_t)a->head_dim * RR_PANEL;
        float32x4_t acc[RR_ATTN_ROWS * 4];
        for (int i = 0; i < nq * 4; i++)
            acc[i] = v_zero();
        for (int d = 0; d < a->head_dim; d++) {
            float32x4_t kv[4];
            for (int c = 0; c < 4; c++)
                kv[c] = vld1q_f32(k + d * RR_PANEL + 4 * c);
            for (int i = 0; i < nq * 4; i++)
                acc[i] = vfmaq_n_f32(acc[i], kv[i % 4], a->q[(size_t)(i / 4) * a->ldq + (size_t)d]);
        }
        for (int i = 0; i < nq * 4; i++)
            vst1q_f32(a->s + (size_t)(i / 4) * a->lds + (size_t)p * RR_PANEL + 4 * (size_t)(i % 4),
                      vmulq_n_f32(acc[i], a->scale));
    }
}

static void attn_scores(const struct rr_attn_scores *a)
{
    if (a->n_q == RR_ATTN_ROWS) {
        scores_rows(a, RR_ATTN_ROWS);
        return;
    }
    struct rr_attn_scores one = *a;
    for (int i = 0; i < a->n_q; i++, one.q += a->ldq, one.s += a->lds)
        scores_rows(&one, 1);
}

#define MAX_STRIPS 4

/* Four numbers of the head in each of ns strips from d on; the last has n of them. */
RR_INLINE void values_strips(const struct rr_attn_values *a, int d, int ns, int nq, int n)
{
    float32x4_t acc[RR_ATTN_ROWS * MAX_STRIPS], v[MAX_STRIPS];
    float *o = a->o + d;
    for (int i = 0; i < nq * ns; i++)
        acc[i] =
            v_load_n(o + (size_t)(i / ns) * a->ldo + 4 * (i % ns), i % ns + 1 < ns ? LANES : n);
    for (int j = 0; j < a->n; j++) {
        const float *from = a->v + (size_t)j * a->ldv + d, *p = a->p + j;
        for (int t = 0; t < ns; t++)
            v[t] = v_load_n(from + 4 * t, t + 1 < ns ? LANES : n);
        for (int i = 0; i < nq * ns; i++)
            acc[i] = vfmaq_n_f32(acc[i], v[i % ns], p[(size_t)(i / ns) * a->ldp]);
    }
    for (int i = 0; i < nq * ns; i++)
        v_store_n(o + (size_t)(i / ns) * a->ldo + 4 * (i % ns), acc[i],
                  i % ns + 1 < ns ? LANES : n);
}

RR_INLINE void values_rows(const struct rr_attn_values *a, int nq)
{
    int d = 0;
    for (; d + 16 <= a->head_dim; d += 16)
        values_strips(a, d, 4, nq, LANES);
    for (; d + LANES <= a->head_dim; d += LANES)
        values_strips(a, d, 1, nq, LANES);
    if (d < a->head_dim)
        values_strips(a, d, 1, nq, a->head_dim - d);
}

static void attn_values(const struct rr_attn_values *a)
{
    if (a->n_q == RR_ATTN_ROWS) {
        values_rows(a, RR_ATTN_ROWS);
        return;
    }
    struct rr_attn_values one = *a;
    for (int i = 0; i < a->n_q; i++, one.o += a->ldo, one.p += a->ldp)
        values_rows(&one, 1);
}

#include "engine/kernel/cache_q8_0.h"

/* Rounds to nearest even, as the mode is; a NaN becomes a quiet one with what fits of its bits. */
static void to_f16(uint16_t *y, const float *x, int n)
{
    int i = 0;
    for (; i + 4 <= n; i += 4)
        vst1_u16(y + i, vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(x + i))));
    for (; i < n; i++)
        y[i] = rr_f32_to_f16(x[i]);
}

/* ---- one row ---- */

/* exp_c of kernel_c.c, four at a time; min and max hand a NaN on. */
RR_INLINE float32x4_t exp4(float32x4_t x)
{
    x = vmaxq_f32(vdupq_n_f32(-87.0f), vminq_f32(vdupq_n_f32(88.0f), x));
    const float32x4_t n = vrndnq_f32(vmulq_n_f32(x, 1.44269504f));
    float32x4_t r = vfmsq_f32(x, n, vdupq_n_f32(0.693359375f));
    r = vfmsq_f32(r, n, vdupq_n_f32(-2.12194440e-4f));
    float32x4_t p = vdupq_n_f32(1.0f / 720);
    p = vfmaq_f32(vdupq_n_f32(1.0f / 120), p, r);
    p = vfmaq_f32(vdupq_n_f32(1.0f / 24), p, r);
    p = vfmaq_f32(vdupq_n_f32(1.0f / 6), p, r);
    p = vfmaq_f32(vdupq_n_f32(0.5f), p, r);
    p = vfmaq_f32(vdupq_n_f32(1.0f), p, r);
    p = vfmaq_f32(vdupq_n_f32(1.0f), p, r);
    const int32x4_t e = vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127)), 23);
    return vmulq_f32(p, vreinterpretq_f32_s32(e));
}

static float softmax_exp(float *s, int n, float *greatest)
{
    float max = *greatest;
    float32x4_t acc = v_zero(), m = vdupq_n_f32(max);
    int i = 0;
    for (; i + LANES <= n; i += LANES)
        m = vmaxnmq_f32(m, vld1q_f32(s + i));
    max = vmaxnmvq_f32(m);
    for (; i < n; i++)
        max = s[i] > max ? s[i] : max;
    *greatest = max;
    for (i = 0; i < n; i += LANES) {
        const int left = n - i < LANES ? n - i : LANES;
        float32x4_t e = exp4(vsubq_f32(v_load_n(s + i, left), vdupq_n_f32(max)));
        v_store_n(s + i, e, left);
        acc = vaddq_f32(acc, v_load_n(s + i, left));
    }
    return vaddvq_f32(acc);
}

static void rmsnorm(float *y, const float *x, const float *g, int n, float eps)
{
    float32x4_t acc = v_zero();
    for (int i = 0; i < n; i += LANES) {
        const float32x4_t v = v_load_n(x + i, n - i);
        acc = vfmaq_f32(acc, v, v);
    }
    const float scale = 1.0f / sqrtf(vaddvq_f32(acc) / (float)n + eps);
    for (int i = 0; i < n; i += LANES)
        v_store_n(y + i,
                  vmulq_f32(vmulq_n_f32(v_load_n(x + i, n - i), scale), v_load_n(g + i, n - i)),
                  n - i);
}

static void silu_mul(float *g, const float *u, int n)
{
    const float32x4_t one = vdupq_n_f32(1);
    for (int i = 0; i < n; i += LANES) {
        const float32x4_t v = v_load_n(g + i, n - i), down = vaddq_f32(one, exp4(vnegq_f32(v)));
        v_store_n(g + i, vmulq_f32(vdivq_f32(v, down), v_load_n(u + i, n - i)), n - i);
    }
}

static void tile_f32(float *c, size_t ldc, const float *a, const float *b, int k)
{
    for (int j = 0; j < RR_TILE_N; j += 8) {
        float32x4_t acc[RR_TILE_M * 2];
        for (int i = 0; i < RR_TILE_M * 2; i++)
            acc[i] = v_zero();
        for (int t = 0; t < k; t++) {
            const float32x4_t b0 = vld1q_f32(b + t * RR_TILE_N + j),
                              b1 = vld1q_f32(b + t * RR_TILE_N + j + 4);
            for (int i = 0; i < RR_TILE_M; i++) {
                acc[2 * i] = vfmaq_n_f32(acc[2 * i], b0, a[t * RR_TILE_M + i]);
                acc[2 * i + 1] = vfmaq_n_f32(acc[2 * i + 1], b1, a[t * RR_TILE_M + i]);
            }
        }
        for (int i = 0; i < RR_TILE_M * 2; i++) {
            float *to = c + (size_t)(i / 2) * ldc + j + 4 * (i % 2);
            vst1q_f32(to, vaddq_f32(vld1q_f32(to), acc[i]));
        }
    }
}

void rr_kernels_init_neon(struct rr_kernels *k)
{
    init_gemm(k);
    init_dot(k);
    gemm_init(k);
    k->row_f32[RR_TYPE_F16] = row_f32_f16;
    k->row_f32[RR_TYPE_BF16] = row_f32_bf16;
    k->attn_scores = attn_scores;
    k->attn_values = attn_values;
    k->to_f16 = to_f16;
    k->keys_q8_0 = keys_q8_0;
    k->values_q8_0 = values_q8_0;
    k->softmax_exp = softmax_exp;
    k->rmsnorm = rmsnorm;
    k->silu_mul = silu_mul;
    k->tile_f32 = tile_f32;
}
#endif
