/* AVX-VNNI: gemm_int.h's products with eight outputs and the dot product of bytes. */
#include "engine/kernel/kernel.h"

#if RR_X86
#include <immintrin.h>
#include <string.h>

RR_TARGET_BEGIN("avx2,fma,f16c,avxvnni")

#define INT_PREFIX(name) gemm_##name
#define OFFSET 1
#define i_dot _mm256_dpbusd_avx_epi32
#define i_dot16 _mm256_dpwssd_avx_epi32

#include "engine/kernel/gemm_int_8.h"
#include "engine/kernel/gemm_int.h"
#include "engine/kernel/load_avx2.h"
#include "engine/kernel/gemm_int16_8.h"
#include "engine/kernel/gemm_int16.h"

void rr_kernels_init_avxvnni(struct rr_kernels *k)
{
    gemm_init(k);
    init_int16(k);
    rr_kernels_init_avxvnni_dot(k);
}

RR_TARGET_END
#endif
