/* AVX-512 VNNI: gemm_int16.h's products with sixteen outputs. */
#include "engine/kernel/kernel.h"

#if RR_X86
#include <immintrin.h>
#include <string.h>

RR_TARGET_BEGIN("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")

#include "engine/kernel/load_avx512.h"

#define OUTS 16
#define ivec __m512i
#define fvec __m512
#define INT16_TILE_M 4
#define i_zero _mm512_setzero_si512
#define i_set1 _mm512_set1_epi32
#define i_dot16 _mm512_dpwssd_epi32
#define i_sub _mm512_sub_epi32
#define i_and _mm512_and_si512
#define i_max _mm512_max_epi32
#define i_left _mm512_slli_epi32
#define i_right _mm512_srli_epi32
#define i_join(low, high) _mm512_mask_blend_epi16(0xAAAAAAAA, low, i_left(high, 16))
#define i_float _mm512_cvtepi32_ps
#define i_round _mm512_cvtps_epi32
#define as_float _mm512_castsi512_ps
#define as_words _mm512_castps_si512
#define f_zero _mm512_setzero_ps
#define f_set1 _mm512_set1_ps
#define f_add _mm512_add_ps
#define f_mul _mm512_mul_ps
#define f_fma _mm512_fmadd_ps
#define f_load(p) _mm512_loadu_ps(p)
#define f_load_n(p, n) _mm512_maskz_loadu_ps(tail_mask(n), p)
#define f_store_n(p, v, n) _mm512_mask_storeu_ps(p, tail_mask(n), v)
#define f_greater(a, b, x, y) _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_GT_OQ), y, x)

#include "engine/kernel/gemm_int16.h"

void rr_kernels_init_avx512vnni_int16(struct rr_kernels *k)
{
    init_int16(k);
}

RR_TARGET_END
#endif
