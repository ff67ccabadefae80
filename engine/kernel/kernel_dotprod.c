/* aarch64 with dot products of bytes: gemm_int.h's products. The instruction is written out, so
 * that no compiler has to be told about it. */
#include "engine/kernel/kernel.h"

#if RR_ARM
#include <arm_neon.h>
#include <string.h>

RR_TARGET_BEGIN(RR_DOTPROD)

#define INT_PREFIX(name) gemm_##name

RR_INLINE int32x4_t i_dot(int32x4_t acc, int32x4_t w, int32x4_t x)
{
    __asm__("sdot %0.4s, %1.16b, %2.16b" : "+w"(acc) : "w"(w), "w"(x));
    return acc;
}

#include "engine/kernel/gemm_int_4.h"
#include "engine/kernel/gemm_int.h"

void rr_kernels_init_dotprod(struct rr_kernels *k)
{
    gemm_init(k);
}

RR_TARGET_END
#endif
