/* AVX2: dot_int.h's products. */
#include "engine/kernel/kernel.h"

#if RR_X86
#include <immintrin.h>
#include <string.h>

RR_TARGET_BEGIN("avx2,fma,f16c")

RR_INLINE __m256i d_dot(__m256i v, __m256i w, __m256i x)
{
    return _mm256_add_epi32(v, _mm256_madd_epi16(_mm256_maddubs_epi16(w, x), _mm256_set1_epi16(1)));
}

RR_INLINE __m256i d_dot_two(__m256i v, __m256i w0, __m256i x0, __m256i w1, __m256i x1)
{
    const __m256i sums =
        _mm256_add_epi16(_mm256_maddubs_epi16(w0, x0), _mm256_maddubs_epi16(w1, x1));
    return _mm256_add_epi32(v, _mm256_madd_epi16(sums, _mm256_set1_epi16(1)));
}

/* The sign of w goes to x: 128 * 127 * 2 is still a sum of sixteen bits. */
RR_INLINE __m256i d_dot_signed(__m256i less, __m256i w, __m256i x)
{
    (void)less;
    return d_dot(_mm256_setzero_si256(), _mm256_sign_epi8(w, w), _mm256_sign_epi8(x, w));
}

#include "engine/kernel/dot_int_8.h"
#include "engine/kernel/dot_int.h"

void rr_kernels_init_avx2_dot(struct rr_kernels *k)
{
    init_dot(k);
}

RR_TARGET_END
#endif
