/* AVX-512 VNNI with eight outputs: kernel_avx512vnni.c's choice for few rows of x and Q8_0. */
#include "engine/kernel/kernel.h"

#if RR_X86
#include <immintrin.h>
#include <string.h>

RR_TARGET_BEGIN("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")

#define INT_PREFIX(name) gemm_##name
#define OFFSET 1
#define ONLY_Q8_0
#define i_dot _mm256_dpbusd_epi32

#include "engine/kernel/gemm_int_8.h"
#include "engine/kernel/gemm_int.h"

void rr_gemm_q8_0_by_eights(const struct rr_gemm *g, void *scratch)
{
    gemm_q8_0(g, scratch);
}

RR_TARGET_END
#endif
