/* What gemm_int16.h wants beyond gemm_int_8.h, which is included before, as load_avx2.h is:
 * AVX-VNNI. The including file has i_dot16. */
#define INT16_TILE_M 2
#define i_zero _mm256_setzero_si256
#define i_max _mm256_max_epi32
#define i_left _mm256_slli_epi32
#define i_right _mm256_srli_epi32
#define i_join(low, high) _mm256_blend_epi16(low, i_left(high, 16), 0xAA)
#define i_round _mm256_cvtps_epi32
#define as_float _mm256_castsi256_ps
#define as_words _mm256_castps_si256
#define f_add _mm256_add_ps
#define f_load(p) _mm256_loadu_ps((const float *)(const void *)(p))
#define f_greater(a, b, x, y) _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_GT_OQ))
