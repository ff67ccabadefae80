/* AVX-512 (F, BW, DQ, VL). Products are gemm_panel.h's; lane l of other sums adds the numbers l mod
 * 16 in ascending order, and sum16 folds the lanes in one fixed order. */
#include "engine/kernel/kernel.h"

#if RR_X86
#include <float.h>
#include <immintrin.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

RR_TARGET_BEGIN("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")

#include "engine/kernel/load_avx512.h"

/* Lane order of every sum: (l, l+8), (l, l+4), (l, l+2), (l, l+1). */
RR_INLINE __m128 fold4(__m512 a)
{
    __m256 h = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    return _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
}

RR_INLINE float sum16(__m512 a)
{
    __m128 b = fold4(a);
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}

RR_INLINE void row_any(float *y, const void *w, int k, enum rr_type type)
{
    int i = 0;
    for (; i + 32 <= k; i += 32) {
        __m512 v[2];
        load32(v, w, i, type);
        _mm512_storeu_ps(y + i, v[0]);
        _mm512_storeu_ps(y + i + 16, v[1]);
    }
    for (; i < k; i += 16) {
        __mmask16 mask = tail_mask(k - i);
        _mm512_mask_storeu_ps(y + i, mask, load_tail(w, i, mask, type));
    }
}

static void row_f32_f16(float *y, const void *w, int k)
{
    row_any(y, w, k, RR_TYPE_F16);
}

static void row_f32_bf16(float *y, const void *w, int k)
{
    row_any(y, w, k, RR_TYPE_BF16);
}

static void row_f32_q8_0(float *y, const void *w, int k)
{
    row_any(y, w, k, RR_TYPE_Q8_0);
}

static void row_f32_q4_0(float *y, const void *w, int k)
{
    row_any(y, w, k, RR_TYPE_Q4_0);
}

static void row_f32_q6_k(float *y, const void *w, int k)
{
    row_any(y, w, k, RR_TYPE_Q6_K);
}

static void row_f32_q4_k(float *y, const void *w, int k)
{
    row_any(y, w, k, RR_TYPE_Q4_K);
}

/* ---- products ---- */

#define LANES 16
#define TILE_M 6
#define vec __m512
#define v_zero _mm512_setzero_ps
#define v_load _mm512_loadu_ps
#define v_set1 _mm512_set1_ps
#define v_fma _mm512_fmadd_ps
#define v_add _mm512_add_ps

RR_INLINE __m512 v_load_n(const float *p, int n)
{
    return _mm512_maskz_loadu_ps(tail_mask(n), p);
}

RR_INLINE void v_store_n(float *p, __m512 v, int n)
{
    _mm512_mask_storeu_ps(p, tail_mask(n), v);
}

RR_INLINE __m512 load_lanes(const unsigned char *row, int k, int n, enum rr_type type)
{
    if (n < 16)
        return load_tail(row, k, tail_mask(n), type);
    if (type == RR_TYPE_F32)
        return _mm512_loadu_ps(row + 4 * (size_t)k);
    const __m256i v = load256(row + 2 * (size_t)k);
    return type == RR_TYPE_F16 ? _mm512_cvtph_ps(v) : bf16_16(v);
}

#define v_sum sum16
#include "engine/kernel/dot_floats.h"
#include "engine/kernel/gemm_panel.h"

/* ---- attention ---- */

/* Panels p .. p + np - 1: with two, twice as many sums are under way, as the adders want it. */
RR_INLINE void scores_panels(const struct rr_attn_scores *a, int p, int np, int nq)
{
    const size_t panel = (size_t)a->head_dim * RR_PANEL;
    const float *k = a->k + (size_t)p * panel;
    const __m512 scale = _mm512_set1_ps(a->scale);
    __m512 acc[RR_ATTN_ROWS][2];
    for (int i = 0; i < nq; i++)
        acc[i][0] = acc[i][1] = _mm512_setzero_ps();
    for (int d = 0; d < a->head_dim; d++) {
        __m512 kv[2];
        for (int c = 0; c < np; c++)
            kv[c] = _mm512_loadu_ps(k + (size_t)c * panel + d * RR_PANEL);
        for (int i = 0; i < nq; i++) {
            const __m512 q = _mm512_set1_ps(a->q[(size_t)i * a->ldq + (size_t)d]);
            for (int c = 0; c < np; c++)
                acc[i][c] = _mm512_fmadd_ps(q, kv[c], acc[i][c]);
        }
    }
    for (int i = 0; i < nq; i++)
        for (int c = 0; c < np; c++)
            _mm512_storeu_ps(a->s + (size_t)i * a->lds + (size_t)(p + c) * RR_PANEL,
                             _mm512_mul_ps(acc[i][c], scale));
}

RR_INLINE void scores_rows(const struct rr_attn_scores *a, int nq)
{
    int p = 0;
    for (; p + 2 <= a->n_panels; p += 2)
        scores_panels(a, p, 2, nq);
    if (p < a->n_panels)
        scores_panels(a, p, 1, nq);
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

/* Sixteen numbers of the head in each of ns strips from d on; mask is of the last one. */
RR_INLINE void values_strips(const struct rr_attn_values *a, int d, int ns, int nq, __mmask16 mask)
{
    /* Every loop over these is unrolled: one that is not keeps them all in memory. */
    __m512 acc[RR_ATTN_ROWS * MAX_STRIPS], v[MAX_STRIPS];
    float *o = a->o + d;
#pragma GCC unroll 16
    for (int i = 0; i < nq * ns; i++)
        acc[i] = _mm512_maskz_loadu_ps(i % ns + 1 < ns ? (__mmask16)0xFFFF : mask,
                                       o + (size_t)(i / ns) * a->ldo + 16 * (i % ns));
    for (int j = 0; j < a->n; j++) {
        const float *from = a->v + (size_t)j * a->ldv + d, *p = a->p + j;
#pragma GCC unroll 4
        for (int t = 0; t < ns; t++)
            v[t] = _mm512_maskz_loadu_ps(t + 1 < ns ? (__mmask16)0xFFFF : mask, from + 16 * t);
#pragma GCC unroll 16
        for (int i = 0; i < nq * ns; i++)
            acc[i] =
                _mm512_fmadd_ps(_mm512_set1_ps(p[(size_t)(i / ns) * a->ldp]), v[i % ns], acc[i]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < nq * ns; i++)
        _mm512_mask_storeu_ps(o + (size_t)(i / ns) * a->ldo + 16 * (i % ns),
                              i % ns + 1 < ns ? (__mmask16)0xFFFF : mask, acc[i]);
}

RR_INLINE void values_rows(const struct rr_attn_values *a, int nq)
{
    int d = 0;
    for (; d + 64 <= a->head_dim; d += 64)
        values_strips(a, d, 4, nq, 0xFFFF);
    const int left = a->head_dim - d;
    const __mmask16 mask = tail_mask((left + 15) % 16 + 1);
    if (left > 48)
        values_strips(a, d, 4, nq, mask);
    else if (left > 32)
        values_strips(a, d, 3, nq, mask);
    else if (left > 16)
        values_strips(a, d, 2, nq, mask);
    else if (left)
        values_strips(a, d, 1, nq, mask);
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

/* exp_c of kernel_c.c, sixteen at a time. */
RR_INLINE __m512 exp16(__m512 x)
{
    /* x second: min and max hand a NaN on only from there. */
    x = _mm512_max_ps(_mm512_set1_ps(-87.0f), _mm512_min_ps(_mm512_set1_ps(88.0f), x));
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), 0);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), r);
    __m512 p = _mm512_set1_ps(1.0f / 720);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 120));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 24));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 6));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.5f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(p, n);
}

static float softmax_exp(float *s, int n, float *greatest)
{
    __m512 m = _mm512_set1_ps(*greatest), acc = _mm512_setzero_ps();
    const int whole = n / 16 * 16;
    const __mmask16 rest = tail_mask(n - whole);
    for (int i = 0; i < whole; i += 16)
        m = _mm512_max_ps(m, _mm512_loadu_ps(s + i));
    m = _mm512_mask_max_ps(m, rest, m, _mm512_maskz_loadu_ps(rest, s + whole));
    *greatest = _mm512_reduce_max_ps(m);
    const __m512 max = _mm512_set1_ps(*greatest);
    for (int i = 0; i < whole; i += 16) {
        const __m512 e = exp16(_mm512_sub_ps(_mm512_loadu_ps(s + i), max));
        _mm512_storeu_ps(s + i, e);
        acc = _mm512_add_ps(acc, e);
    }
    if (rest) {
        const __m512 e = exp16(_mm512_sub_ps(_mm512_maskz_loadu_ps(rest, s + whole), max));
        _mm512_mask_storeu_ps(s + whole, rest, e);
        acc = _mm512_mask_add_ps(acc, rest, acc, e);
    }
    return sum16(acc);
}

static void rmsnorm(float *y, const float *x, const float *g, int n, float eps)
{
    __m512 acc = _mm512_setzero_ps();
    for (int i = 0; i < n; i += 16) {
        __m512 v = _mm512_maskz_loadu_ps(tail_mask(n - i), x + i);
        acc = _mm512_fmadd_ps(v, v, acc);
    }
    __m512 scale = _mm512_set1_ps(1.0f / sqrtf(sum16(acc) / (float)n + eps));
    for (int i = 0; i < n; i += 16) {
        __mmask16 mask = tail_mask(n - i);
        __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + i), scale);
        _mm512_mask_storeu_ps(y + i, mask, _mm512_mul_ps(v, _mm512_maskz_loadu_ps(mask, g + i)));
    }
}

static void silu_mul(float *g, const float *u, int n)
{
    const __m512 one = _mm512_set1_ps(1.0f), zero = _mm512_setzero_ps();
    for (int i = 0; i < n; i += 16) {
        __mmask16 mask = tail_mask(n - i);
        __m512 v = _mm512_maskz_loadu_ps(mask, g + i);
        __m512 e = exp16(_mm512_sub_ps(zero, v));
        v = _mm512_mul_ps(_mm512_div_ps(v, _mm512_add_ps(one, e)),
                          _mm512_maskz_loadu_ps(mask, u + i));
        _mm512_mask_storeu_ps(g + i, mask, v);
    }
}

static void tile_f32(float *c, size_t ldc, const float *a, const float *b, int k)
{
    __m512 acc[RR_TILE_M][2];
    for (int i = 0; i < RR_TILE_M; i++)
        acc[i][0] = acc[i][1] = _mm512_setzero_ps();
    for (int x = 0; x < k; x++, a += RR_TILE_M, b += RR_TILE_N) {
        const __m512 b0 = _mm512_loadu_ps(b), b1 = _mm512_loadu_ps(b + 16);
        for (int i = 0; i < RR_TILE_M; i++) {
            const __m512 v = _mm512_set1_ps(a[i]);
            acc[i][0] = _mm512_fmadd_ps(v, b0, acc[i][0]);
            acc[i][1] = _mm512_fmadd_ps(v, b1, acc[i][1]);
        }
    }
    for (int i = 0; i < RR_TILE_M; i++)
        for (int h = 0; h < 2; h++) {
            float *out = c + (size_t)i * ldc + 16 * h;
            _mm512_storeu_ps(out, _mm512_add_ps(_mm512_loadu_ps(out), acc[i][h]));
        }
}

/* ---- rows of x ---- */

static void quantise(const struct rr_quantised *out, const float *x, int k)
{
    const __m512i magnitude = _mm512_set1_epi32(0x7FFFFFFF);
    for (int b = 0; b < k / RR_QK; b++, x += RR_QK) {
        const __m512 v0 = _mm512_loadu_ps(x), v1 = _mm512_loadu_ps(x + 16);
        /* As integers, so that a NaN is the greatest. */
        const int bits = _mm512_reduce_max_epi32(
            _mm512_max_epi32(_mm512_and_si512(_mm512_castps_si512(v0), magnitude),
                             _mm512_and_si512(_mm512_castps_si512(v1), magnitude)));
        float most;
        memcpy(&most, &bits, sizeof most);
        const bool some = most >= RR_Q_LEAST && most <= FLT_MAX;
        const __mmask16 mask = some ? (__mmask16)0xFFFF : 0;
        const __m512 inverse = _mm512_set1_ps(some ? 127.0f / most : 0.0f);
        const __m512i q0 = _mm512_cvtps_epi32(_mm512_maskz_mul_ps(mask, v0, inverse)),
                      q1 = _mm512_cvtps_epi32(_mm512_maskz_mul_ps(mask, v1, inverse));
        _mm_storeu_si128((__m128i *)(void *)(out->q + (size_t)b * RR_QK),
                         _mm512_cvtsepi32_epi8(q0));
        _mm_storeu_si128((__m128i *)(void *)(out->q + (size_t)b * RR_QK + 16),
                         _mm512_cvtsepi32_epi8(q1));
        out->d[b] = most < RR_Q_LEAST ? 0.0f : most / 127.0f;
        out->sum[2 * b] = (int16_t)_mm512_reduce_add_epi32(q0);
        out->sum[2 * b + 1] = (int16_t)_mm512_reduce_add_epi32(q1);
    }
}

void rr_kernels_init_avx512(struct rr_kernels *k)
{
    k->quantise = quantise;
    k->row_f32[RR_TYPE_F16] = row_f32_f16;
    k->row_f32[RR_TYPE_BF16] = row_f32_bf16;
    k->row_f32[RR_TYPE_Q8_0] = row_f32_q8_0;
    k->row_f32[RR_TYPE_Q4_0] = row_f32_q4_0;
    k->row_f32[RR_TYPE_Q6_K] = row_f32_q6_k;
    k->row_f32[RR_TYPE_Q4_K] = row_f32_q4_k;
    init_gemm(k);
    init_dot(k);
    k->attn_scores = attn_scores;
    k->attn_values = attn_values;
    k->keys_q8_0 = keys_q8_0;
    k->values_q8_0 = values_q8_0;
    k->softmax_exp = softmax_exp;
    k->rmsnorm = rmsnorm;
    k->silu_mul = silu_mul;
    k->tile_f32 = tile_f32;
}

RR_TARGET_END
#endif
