/* AVX2, FMA and F16C. Products are gemm_panel.h's; lane l of other sums adds the numbers l mod 8 in
 * ascending order, and sum8 folds the lanes in one fixed order. */
#include "engine/kernel/kernel.h"

#if RR_X86
#include <float.h>
#include <immintrin.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

RR_TARGET_BEGIN("avx2,fma,f16c")

RR_INLINE __m256i tail_mask(int n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

/* Lane order of every sum: (l, l+4), then (l, l+2), then (l, l+1). */
RR_INLINE __m128 fold4(__m256 a)
{
    return _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
}

RR_INLINE float sum8(__m256 a)
{
    __m128 b = fold4(a);
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}

RR_INLINE __m256 bf16_8(const unsigned char *p)
{
    __m256i v = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(v, 16));
}

RR_INLINE __m256 f16_8(const unsigned char *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}

RR_INLINE __m256 int8_8(__m128i q, __m256 d)
{
    return _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(q)), d);
}

RR_INLINE __m256 block_scale(const unsigned char *p)
{
    uint16_t d;
    memcpy(&d, p, sizeof d);
    return _mm256_broadcastss_ps(_mm_cvtph_ps(_mm_cvtsi32_si128(d)));
}

/* The part of 32 numbers from element k of a Q6_K row, as signed bytes; *scales points at its
 * two group scales. */
RR_INLINE __m256i q6_k_part(const unsigned char *block, int k, const int8_t **scales)
{
    const int part = k % RR_QK_K / 32, half = part / 4, j = part % 4;
    const unsigned char *ql = block + 64 * half + 32 * (j % 2),
                        *qh = block + RR_QK_K / 2 + 32 * half;
    __m256i low = _mm256_srl_epi16(_mm256_loadu_si256((const __m256i *)(const void *)ql),
                                   _mm_cvtsi32_si128(4 * (j / 2)));
    __m256i high = _mm256_srl_epi16(_mm256_loadu_si256((const __m256i *)(const void *)qh),
                                    _mm_cvtsi32_si128(2 * j));
    low = _mm256_and_si256(low, _mm256_set1_epi8(15));
    high = _mm256_slli_epi16(_mm256_and_si256(high, _mm256_set1_epi8(3)), 4);
    *scales = (const int8_t *)block + RR_QK_K / 2 + RR_QK_K / 4 + 2 * part;
    return _mm256_sub_epi8(_mm256_or_si256(low, high), _mm256_set1_epi8(32));
}

/* 32 stored numbers from element k (a multiple of 32) as four vectors. */
RR_INLINE void load32(__m256 v[4], const unsigned char *row, int k, enum rr_type type)
{
    const unsigned char *p;
    switch (type) {
    case RR_TYPE_F32:
        p = row + 4 * (size_t)k;
        for (int i = 0; i < 4; i++)
            v[i] = _mm256_loadu_ps((const float *)(const void *)(p + 32 * i));
        break;
    case RR_TYPE_F16:
        p = row + 2 * (size_t)k;
        for (int i = 0; i < 4; i++)
            v[i] = f16_8(p + 16 * i);
        break;
    case RR_TYPE_BF16:
        p = row + 2 * (size_t)k;
        for (int i = 0; i < 4; i++)
            v[i] = bf16_8(p + 16 * i);
        break;
    case RR_TYPE_Q8_0: {
        p = row + (size_t)(k / RR_QK) * sizeof(struct rr_block_q8_0);
        __m256 d = block_scale(p);
        for (int i = 0; i < 4; i++)
            v[i] = int8_8(_mm_loadl_epi64((const __m128i *)(const void *)(p + 2 + 8 * i)), d);
        break;
    }
    case RR_TYPE_Q6_K: {
        const int8_t *scales;
        p = row + (size_t)(k / RR_QK_K) * sizeof(struct rr_block_q6_k);
        __m256i q = q6_k_part(p, k, &scales);
        __m256 d = block_scale(p + sizeof(struct rr_block_q6_k) - 2);
        __m256 d0 = _mm256_mul_ps(d, _mm256_set1_ps((float)scales[0]));
        __m256 d1 = _mm256_mul_ps(d, _mm256_set1_ps((float)scales[1]));
        __m128i low = _mm256_castsi256_si128(q), high = _mm256_extracti128_si256(q, 1);
        v[0] = int8_8(low, d0);
        v[1] = int8_8(_mm_srli_si128(low, 8), d0);
        v[2] = int8_8(high, d1);
        v[3] = int8_8(_mm_srli_si128(high, 8), d1);
        break;
    }
    default: {
        p = row + (size_t)(k / RR_QK) * sizeof(struct rr_block_q4_0);
        __m256 d = block_scale(p);
        __m128i q = _mm_loadu_si128((const __m128i *)(const void *)(p + 2));
        __m128i low = _mm_and_si128(q, _mm_set1_epi8(15));
        __m128i high = _mm_and_si128(_mm_srli_epi16(q, 4), _mm_set1_epi8(15));
        low = _mm_sub_epi8(low, _mm_set1_epi8(8));
        high = _mm_sub_epi8(high, _mm_set1_epi8(8));
        v[0] = int8_8(low, d);
        v[1] = int8_8(_mm_srli_si128(low, 8), d);
        v[2] = int8_8(high, d);
        v[3] = int8_8(_mm_srli_si128(high, 8), d);
        break;
    }
    }
}

/* n <= 8 numbers from element k, zeros behind them; F32, F16 and BF16 only (quantised rows have
 * no tail). */
RR_INLINE __m256 load_tail(const unsigned char *row, int k, int n, enum rr_type type)
{
    if (type == RR_TYPE_F32)
        return _mm256_maskload_ps((const float *)(const void *)row + k, tail_mask(n));
    unsigned char part[16] = {0};
    memcpy(part, row + 2 * (size_t)k, 2 * (size_t)n);
    return type == RR_TYPE_F16 ? f16_8(part) : bf16_8(part);
}

RR_INLINE void row_any(float *y, const void *w, int k, enum rr_type type)
{
    int i = 0;
    for (; i + 32 <= k; i += 32) {
        __m256 v[4];
        load32(v, w, i, type);
        for (int j = 0; j < 4; j++)
            _mm256_storeu_ps(y + i + 8 * j, v[j]);
    }
    for (; i < k; i += 8) {
        int n = k - i < 8 ? k - i : 8;
        _mm256_maskstore_ps(y + i, tail_mask(n), load_tail(w, i, n, type));
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

/* ---- products ---- */

#include "engine/kernel/load_avx2.h"

#define LANES 8
#define TILE_M 3
#define vec __m256
#define v_zero _mm256_setzero_ps
#define v_load _mm256_loadu_ps
#define v_store _mm256_storeu_ps
#define v_set1 _mm256_set1_ps
#define v_fma _mm256_fmadd_ps
#define v_add _mm256_add_ps

RR_INLINE __m256 v_load_n(const float *p, int n)
{
    return n >= LANES ? v_load(p) : _mm256_maskload_ps(p, tail_mask(n));
}

RR_INLINE void v_store_n(float *p, __m256 v, int n)
{
    if (n >= LANES)
        v_store(p, v);
    else
        _mm256_maskstore_ps(p, tail_mask(n), v);
}

RR_INLINE __m256 load_lanes(const unsigned char *row, int k, int n, enum rr_type type)
{
    if (n < 8)
        return load_tail(row, k, n, type);
    if (type == RR_TYPE_F32)
        return _mm256_loadu_ps((const float *)(const void *)row + k);
    return type == RR_TYPE_F16 ? f16_8(row + 2 * (size_t)k) : bf16_8(row + 2 * (size_t)k);
}

#define v_sum sum8
#include "engine/kernel/dot_floats.h"
#include "engine/kernel/gemm_panel.h"

/* ---- attention ---- */

RR_INLINE void scores_rows(const struct rr_attn_scores *a, int nq)
{
    for (int p = 0; p < a->n_panels; p++) {
        const float *k = a->k + (size_t)p * (size_t)a->head_dim * RR_PANEL;
        __m256 acc[RR_ATTN_ROWS][2];
        for (int i = 0; i < nq; i++)
            acc[i][0] = acc[i][1] = _mm256_setzero_ps();
        for (int d = 0; d < a->head_dim; d++) {
            __m256 k0 = _mm256_loadu_ps(k + d * RR_PANEL),
                   k1 = _mm256_loadu_ps(k + d * RR_PANEL + 8);
            for (int i = 0; i < nq; i++) {
                __m256 q = _mm256_broadcast_ss(a->q + (size_t)i * a->ldq + d);
                acc[i][0] = _mm256_fmadd_ps(q, k0, acc[i][0]);
                acc[i][1] = _mm256_fmadd_ps(q, k1, acc[i][1]);
            }
        }
        __m256 scale = _mm256_set1_ps(a->scale);
        for (int i = 0; i < nq; i++) {
            float *s = a->s + (size_t)i * a->lds + (size_t)p * RR_PANEL;
            _mm256_storeu_ps(s, _mm256_mul_ps(acc[i][0], scale));
            _mm256_storeu_ps(s + 8, _mm256_mul_ps(acc[i][1], scale));
        }
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

#define MAX_STRIPS 2

/* Eight numbers of the head in each of ns strips from d on; the last has n of them. */
RR_INLINE void values_strips(const struct rr_attn_values *a, int d, int ns, int nq, int n)
{
    /* Every loop over these is unrolled: one that is not keeps them all in memory. */
    __m256 acc[RR_ATTN_ROWS * MAX_STRIPS], v[MAX_STRIPS];
    float *o = a->o + d;
#pragma GCC unroll 8
    for (int i = 0; i < nq * ns; i++)
        acc[i] =
            v_load_n(o + (size_t)(i / ns) * a->ldo + 8 * (i % ns), i % ns + 1 < ns ? LANES : n);
    for (int j = 0; j < a->n; j++) {
        const float *from = a->v + (size_t)j * a->ldv + d, *p = a->p + j;
#pragma GCC unroll 2
        for (int t = 0; t < ns; t++)
            v[t] = v_load_n(from + 8 * t, t + 1 < ns ? LANES : n);
#pragma GCC unroll 8
        for (int i = 0; i < nq * ns; i++)
            acc[i] = _mm256_fmadd_ps(_mm256_broadcast_ss(p + (size_t)(i / ns) * a->ldp), v[i % ns],
                                     acc[i]);
    }
#pragma GCC unroll 8
    for (int i = 0; i < nq * ns; i++)
        v_store_n(o + (size_t)(i / ns) * a->ldo + 8 * (i % ns), acc[i],
                  i % ns + 1 < ns ? LANES : n);
}

RR_INLINE void values_rows(const struct rr_attn_values *a, int nq)
{
    int d = 0;
    for (; d + 16 <= a->head_dim; d += 16)
        values_strips(a, d, 2, nq, LANES);
    if (d + 8 <= a->head_dim) {
        values_strips(a, d, 1, nq, LANES);
        d += 8;
    }
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

/* Rounds to nearest even, as the mode is; a NaN becomes a quiet one with what fits of its bits. */
static void to_f16(uint16_t *y, const float *x, int n)
{
    int i = 0;
    for (; i + 8 <= n; i += 8)
        _mm_storeu_si128((__m128i *)(void *)(y + i),
                         _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT));
    for (; i < n; i++)
        y[i] = rr_f32_to_f16(x[i]);
}

#include "engine/kernel/cache_q8_0.h"

/* exp_c of kernel_c.c, eight at a time. */
RR_INLINE __m256 exp8(__m256 x)
{
    /* x second: min and max hand a NaN on only from there. */
    x = _mm256_max_ps(_mm256_set1_ps(-87.0f), _mm256_min_ps(_mm256_set1_ps(88.0f), x));
    __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(1.44269504f)),
                               _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693359375f), x);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(-2.12194440e-4f), r);
    __m256 p = _mm256_set1_ps(1.0f / 720);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 120));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 24));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 6));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0.5f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f));
    __m256i e =
        _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
    return _mm256_mul_ps(p, _mm256_castsi256_ps(e));
}

static float softmax_exp(float *s, int n, float *greatest)
{
    float max = *greatest;
    __m256 acc = _mm256_setzero_ps();
    int i = 0;
    if (n >= 8) {
        __m256 m = _mm256_loadu_ps(s);
        for (i = 8; i + 8 <= n; i += 8)
            m = _mm256_max_ps(m, _mm256_loadu_ps(s + i));
        float lanes[8];
        _mm256_storeu_ps(lanes, m);
        for (int l = 0; l < 8; l++)
            max = lanes[l] > max ? lanes[l] : max;
    }
    for (; i < n; i++)
        max = s[i] > max ? s[i] : max;
    *greatest = max;
    __m256 vmax = _mm256_set1_ps(max);
    for (i = 0; i < n; i += 8) {
        __m256i mask = tail_mask(n - i);
        __m256 e = exp8(_mm256_sub_ps(_mm256_maskload_ps(s + i, mask), vmax));
        _mm256_maskstore_ps(s + i, mask, e);
        acc = _mm256_add_ps(acc, _mm256_and_ps(e, _mm256_castsi256_ps(mask)));
    }
    return sum8(acc);
}

static void rmsnorm(float *y, const float *x, const float *g, int n, float eps)
{
    __m256 acc = _mm256_setzero_ps();
    for (int i = 0; i < n; i += 8) {
        __m256 v = _mm256_maskload_ps(x + i, tail_mask(n - i));
        acc = _mm256_fmadd_ps(v, v, acc);
    }
    __m256 scale = _mm256_set1_ps(1.0f / sqrtf(sum8(acc) / (float)n + eps));
    for (int i = 0; i < n; i += 8) {
        __m256i mask = tail_mask(n - i);
        __m256 v = _mm256_mul_ps(_mm256_maskload_ps(x + i, mask), scale);
        _mm256_maskstore_ps(y + i, mask, _mm256_mul_ps(v, _mm256_maskload_ps(g + i, mask)));
    }
}

static void silu_mul(float *g, const float *u, int n)
{
    const __m256 one = _mm256_set1_ps(1.0f), sign = _mm256_set1_ps(-0.0f);
    for (int i = 0; i < n; i += 8) {
        __m256i mask = tail_mask(n - i);
        __m256 v = _mm256_maskload_ps(g + i, mask);
        __m256 e = exp8(_mm256_xor_ps(v, sign));
        v = _mm256_mul_ps(_mm256_div_ps(v, _mm256_add_ps(one, e)), _mm256_maskload_ps(u + i, mask));
        _mm256_maskstore_ps(g + i, mask, v);
    }
}

static void add(float *y, const float *x, int n)
{
    int i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i, _mm256_add_ps(_mm256_loadu_ps(y + i), _mm256_loadu_ps(x + i)));
    for (; i < n; i++)
        y[i] += x[i];
}

/* Four rows by sixteen columns at a time: eight sums, two of b, one of a in registers. */
RR_INLINE void tile_part(float *c, size_t ldc, const float *a, const float *b, int k)
{
    __m256 acc[4][2];
    for (int i = 0; i < 4; i++)
        acc[i][0] = acc[i][1] = _mm256_setzero_ps();
    for (int x = 0; x < k; x++, a += RR_TILE_M, b += RR_TILE_N) {
        const __m256 b0 = _mm256_loadu_ps(b), b1 = _mm256_loadu_ps(b + 8);
        for (int i = 0; i < 4; i++) {
            const __m256 v = _mm256_broadcast_ss(a + i);
            acc[i][0] = _mm256_fmadd_ps(v, b0, acc[i][0]);
            acc[i][1] = _mm256_fmadd_ps(v, b1, acc[i][1]);
        }
    }
    for (int i = 0; i < 4; i++)
        for (int h = 0; h < 2; h++) {
            float *out = c + (size_t)i * ldc + 8 * h;
            _mm256_storeu_ps(out, _mm256_add_ps(_mm256_loadu_ps(out), acc[i][h]));
        }
}

static void tile_f32(float *c, size_t ldc, const float *a, const float *b, int k)
{
    for (int i = 0; i < RR_TILE_M; i += 4)
        for (int j = 0; j < RR_TILE_N; j += 16)
            tile_part(c + (size_t)i * ldc + j, ldc, a + i, b + j, k);
}

/* ---- rows of x ---- */

RR_INLINE int greatest(__m256i a)
{
    __m128i b = _mm_max_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    b = _mm_max_epi32(b, _mm_shuffle_epi32(b, _MM_SHUFFLE(1, 0, 3, 2)));
    return _mm_cvtsi128_si32(_mm_max_epi32(b, _mm_shuffle_epi32(b, 1)));
}

RR_INLINE int total(__m256i a)
{
    __m128i b = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    b = _mm_add_epi32(b, _mm_shuffle_epi32(b, _MM_SHUFFLE(1, 0, 3, 2)));
    return _mm_cvtsi128_si32(_mm_add_epi32(b, _mm_shuffle_epi32(b, 1)));
}

static void quantise(const struct rr_quantised *out, const float *x, int k)
{
    const __m256i magnitude = _mm256_set1_epi32(0x7FFFFFFF);
    for (int b = 0; b < k / RR_QK; b++, x += RR_QK) {
        __m256i most = _mm256_setzero_si256(), q[4];
        float v;
        /* As integers, so that a NaN is the greatest. */
        for (int i = 0; i < 4; i++)
            most = _mm256_max_epi32(
                most, _mm256_and_si256(_mm256_castps_si256(_mm256_loadu_ps(x + 8 * i)), magnitude));
        const int bits = greatest(most);
        memcpy(&v, &bits, sizeof v);
        const bool some = v >= RR_Q_LEAST && v <= FLT_MAX;
        const __m256 inverse = _mm256_set1_ps(some ? 127.0f / v : 0.0f),
                     mask = _mm256_castsi256_ps(_mm256_set1_epi32(some ? -1 : 0));
        for (int i = 0; i < 4; i++)
            q[i] = _mm256_cvtps_epi32(
                _mm256_and_ps(_mm256_mul_ps(_mm256_loadu_ps(x + 8 * i), inverse), mask));
        /* Packing works within halves: 0 1 2 3 of the eights become 0 2 4 6, 1 3 5 7 of the fours.
         */
        const __m256i packed =
            _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
        _mm256_storeu_si256(
            (__m256i *)(void *)(out->q + (size_t)b * RR_QK),
            _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)));
        out->d[b] = v < RR_Q_LEAST ? 0.0f : v / 127.0f;
        out->sum[2 * b] = (int16_t)total(_mm256_add_epi32(q[0], q[1]));
        out->sum[2 * b + 1] = (int16_t)total(_mm256_add_epi32(q[2], q[3]));
    }
}

RR_INLINE void block16(int16_t *q, float *d, const float *x)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    __m256 v[2] = {_mm256_loadu_ps(x), _mm256_loadu_ps(x + 8)};
    float most;
    const int bits = greatest(_mm256_max_epi32(_mm256_castps_si256(_mm256_andnot_ps(sign, v[0])),
                                               _mm256_castps_si256(_mm256_andnot_ps(sign, v[1]))));
    memcpy(&most, &bits, sizeof most);
    if (!(most >= RR_Q_LEAST && most <= FLT_MAX)) {
        memset(q, 0, RR_QK16 * sizeof *q);
        *d = most < RR_Q_LEAST ? 0.0f : most;
        return;
    }
    const __m256 unit = _mm256_set1_ps(1.0f / most);
    for (int i = 0; i < 2; i++)
        v[i] = _mm256_mul_ps(v[i], unit);
    const float first = sum8(_mm256_mul_ps(v[0], v[0])), second = sum8(_mm256_mul_ps(v[1], v[1])),
                norm = RR_NORM_16 / sqrtf(first > second ? first : second),
                steps = norm < RR_MOST_16 ? norm : RR_MOST_16;
    const __m256 by = _mm256_set1_ps(steps);
    const __m256i packed = _mm256_packs_epi32(_mm256_cvtps_epi32(_mm256_mul_ps(v[0], by)),
                                              _mm256_cvtps_epi32(_mm256_mul_ps(v[1], by)));
    _mm256_storeu_si256((__m256i *)(void *)q, _mm256_permute4x64_epi64(packed, 0xD8));
    *d = most / steps;
}

static void quantise16(int16_t *q, float *d, const float *x, int k)
{
    int i = 0;
    for (; i + RR_QK16 <= k; i += RR_QK16)
        block16(q + i, d + i / RR_QK16, x + i);
    if (i < k) {
        float rest[RR_QK16] = {0};
        memcpy(rest, x + i, (size_t)(k - i) * sizeof *rest);
        block16(q + i, d + i / RR_QK16, rest);
    }
}

/* ---- products in integers ---- */

#define INT_PREFIX(name) gemm_int_##name
#define OFFSET 0

/* |w| is at most 128 and |x| at most 127: two products fit into 16 bits. */
RR_INLINE __m256i i_dot(__m256i acc, __m256i w, __m256i x)
{
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
    return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

#include "engine/kernel/gemm_int_8.h"
#include "engine/kernel/gemm_int.h"

void rr_kernels_init_avx2(struct rr_kernels *k)
{
    k->quantise = quantise;
    k->quantise16 = quantise16;
    gemm_int_init(k);
    k->row_f32[RR_TYPE_F16] = row_f32_f16;
    k->row_f32[RR_TYPE_BF16] = row_f32_bf16;
    k->row_f32[RR_TYPE_Q8_0] = row_f32_q8_0;
    k->row_f32[RR_TYPE_Q4_0] = row_f32_q4_0;
    k->row_f32[RR_TYPE_Q6_K] = row_f32_q6_k;
    init_gemm(k);
    init_dot(k);
    rr_kernels_init_avx2_dot(k);
    k->attn_scores = attn_scores;
    k->attn_values = attn_values;
    k->to_f16 = to_f16;
    k->keys_q8_0 = keys_q8_0;
    k->values_q8_0 = values_q8_0;
    k->softmax_exp = softmax_exp;
    k->rmsnorm = rmsnorm;
    k->silu_mul = silu_mul;
    k->add = add;
    k->tile_f32 = tile_f32;
}

RR_TARGET_END
#endif
