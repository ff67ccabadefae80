/* Loads for dot_int.h and the files that include it, inside a target region with AVX2 and F16C. */
#ifndef RR_DOT_LOAD_H
#define RR_DOT_LOAD_H

#include "engine/kernel/k_scales.h"

RR_INLINE __m128i load128(const void *p)
{
    return _mm_loadu_si128((const __m128i *)p);
}

/* Sixteen bits eight times. */
RR_INLINE __m128i half_at(const unsigned char *p)
{
    short half;
    memcpy(&half, p, sizeof half);
    return _mm_set1_epi16(half);
}

/* The IEEE half at p eight times. */
RR_INLINE __m256 f_half(const unsigned char *p)
{
    return _mm256_cvtph_ps(half_at(p));
}

/* Eight signed bytes. */
RR_INLINE __m256 f_bytes(const void *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}

#endif
