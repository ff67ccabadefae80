/* AVX-VNNI: dot_int.h's products. */
#include "engine/kernel/kernel.h"

#if RR_X86
#include <immintrin.h>
#include <string.h>

RR_TARGET_BEGIN("avx2,fma,f16c,avxvnni")

#define d_dot _mm256_dpbusd_avx_epi32
#define d_dot_two(v, w0, x0, w1, x1) d_dot(d_dot(v, w0, x0), w1, x1)
#define d_dot_signed(less, w, x) d_dot(less, _mm256_xor_si256(w, _mm256_set1_epi8(-128)), x)

#include "engine/kernel/dot_int_8.h"
#include "engine/kernel/dot_int.h"

void rr_kernels_init_avxvnni_dot(struct rr_kernels *k)
{
    init_dot(k);
}

RR_TARGET_END
#endif
