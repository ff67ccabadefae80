/* See peak.h. Twelve chains: more than latency times units of any core, so none waits for another;
 * few enough to stay in sixteen registers. */
#include "engine/kernel/peak.h"

#include <stdbool.h>
#include <string.h>

#define CHAINS 12
#define STREAMS 4

const char *rr_unit_name(enum rr_unit unit)
{
    static const char *const names[RR_N_UNITS] = {"f32", "int8", "bf16"};
    return names[unit];
}

/* Keeps the compiler from leaving out what nobody reads. */
static void use(const void *p)
{
    __asm__ __volatile__("" : : "r"(p) : "memory");
}

static double f32_c(long rounds)
{
    float x[CHAINS * 4];
    for (int i = 0; i < CHAINS * 4; i++)
        x[i] = 1 + 0.01f * (float)i;
    for (long t = 0; t < rounds; t++) {
        for (int i = 0; i < CHAINS * 4; i++)
            x[i] = x[i] * 0.999f + 0.001f;
        use(x);
    }
    return 2.0 * CHAINS * 4 * (double)rounds;
}

static uint64_t read_c(const unsigned char *p, size_t n)
{
    uint64_t sum[STREAMS] = {0};
    const size_t each = n / STREAMS;
    for (size_t i = 0; i < each; i += 8)
        for (int s = 0; s < STREAMS; s++) {
            uint64_t v;
            memcpy(&v, p + (size_t)s * each + i, 8);
            sum[s] ^= v;
        }
    return sum[0] ^ sum[1] ^ sum[2] ^ sum[3];
}

#if RR_X86
#include <immintrin.h>

RR_TARGET_BEGIN("avx2,fma")
static double f32_avx2(long rounds)
{
    const __m256 m = _mm256_set1_ps(0.999f), a = _mm256_set1_ps(0.001f);
    __m256 x[CHAINS];
    for (int i = 0; i < CHAINS; i++)
        x[i] = _mm256_set1_ps(1 + 0.01f * (float)i);
    for (long t = 0; t < rounds; t++)
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++)
            x[i] = _mm256_fmadd_ps(x[i], m, a);
    use(x);
    return 2.0 * CHAINS * 8 * (double)rounds;
}

/* As kernel_avx2.c multiplies signed bytes. */
static double int8_avx2(long rounds)
{
    const __m256i a = _mm256_set1_epi8(3), ones = _mm256_set1_epi16(1);
    __m256i x[CHAINS], b = _mm256_set1_epi8(5);
#pragma GCC unroll 12
    for (int i = 0; i < CHAINS; i++)
        x[i] = _mm256_set1_epi32(i);
    for (long t = 0; t < rounds; t++)
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++) {
            __asm__("" : "+x"(b)); /* it may have changed: nothing is computed once for all */
            const __m256i pairs = _mm256_maddubs_epi16(a, _mm256_sign_epi8(b, a));
            x[i] = _mm256_add_epi32(x[i], _mm256_madd_epi16(pairs, ones));
        }
    __m256i all = x[0]; /* not the array itself: it would live in memory */
#pragma GCC unroll 12
    for (int i = 1; i < CHAINS; i++)
        all = _mm256_xor_si256(all, x[i]);
    use(&all);
    return 2.0 * CHAINS * 32 * (double)rounds;
}

static uint64_t read_avx2(const unsigned char *p, size_t n)
{
    __m256i sum[STREAMS];
    const size_t each = n / STREAMS;
    for (int s = 0; s < STREAMS; s++)
        sum[s] = _mm256_setzero_si256();
    for (size_t i = 0; i < each; i += 32)
        for (int s = 0; s < STREAMS; s++)
            sum[s] = _mm256_xor_si256(
                sum[s],
                _mm256_loadu_si256((const __m256i *)(const void *)(p + (size_t)s * each + i)));
    const __m256i all =
        _mm256_xor_si256(_mm256_xor_si256(sum[0], sum[1]), _mm256_xor_si256(sum[2], sum[3]));
    uint64_t out[4];
    memcpy(out, &all, sizeof out);
    return out[0] ^ out[1] ^ out[2] ^ out[3];
}
RR_TARGET_END

RR_TARGET_BEGIN("avx2,avxvnni")
static double int8_avxvnni(long rounds)
{
    const __m256i a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(5);
    __m256i x[CHAINS];
#pragma GCC unroll 12
    for (int i = 0; i < CHAINS; i++)
        x[i] = _mm256_set1_epi32(i);
    for (long t = 0; t < rounds; t++)
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++)
            x[i] = _mm256_dpbusd_avx_epi32(x[i], a, b);
    __m256i all = x[0]; /* not the array itself: it would live in memory */
#pragma GCC unroll 12
    for (int i = 1; i < CHAINS; i++)
        all = _mm256_xor_si256(all, x[i]);
    use(&all);
    return 2.0 * CHAINS * 32 * (double)rounds;
}
RR_TARGET_END

RR_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
static double f32_avx512(long rounds)
{
    const __m512 m = _mm512_set1_ps(0.999f), a = _mm512_set1_ps(0.001f);
    __m512 x[CHAINS];
    for (int i = 0; i < CHAINS; i++)
        x[i] = _mm512_set1_ps(1 + 0.01f * (float)i);
    for (long t = 0; t < rounds; t++)
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++)
            x[i] = _mm512_fmadd_ps(x[i], m, a);
    use(x);
    return 2.0 * CHAINS * 16 * (double)rounds;
}

static double int8_avx512vnni(long rounds)
{
    const __m512i a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(5);
    __m512i x[CHAINS];
    for (int i = 0; i < CHAINS; i++)
        x[i] = _mm512_set1_epi32(i);
    for (long t = 0; t < rounds; t++)
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++)
            x[i] = _mm512_dpbusd_epi32(x[i], a, b);
    use(x);
    return 2.0 * CHAINS * 64 * (double)rounds;
}

static uint64_t read_avx512(const unsigned char *p, size_t n)
{
    __m512i sum[STREAMS];
    const size_t each = n / STREAMS;
    for (int s = 0; s < STREAMS; s++)
        sum[s] = _mm512_setzero_si512();
    for (size_t i = 0; i < each; i += 64)
        for (int s = 0; s < STREAMS; s++)
            sum[s] = _mm512_xor_si512(sum[s], _mm512_loadu_si512(p + (size_t)s * each + i));
    uint64_t out[8], all = 0;
    for (int s = 0; s < STREAMS; s++) {
        memcpy(out, &sum[s], sizeof out);
        for (int i = 0; i < 8; i++)
            all ^= out[i];
    }
    return all;
}
RR_TARGET_END
#elif RR_ARM
#include <arm_neon.h>

static double f32_neon(long rounds)
{
    const float32x4_t m = vdupq_n_f32(0.999f), a = vdupq_n_f32(0.001f);
    float32x4_t x[CHAINS];
    for (int i = 0; i < CHAINS; i++)
        x[i] = vdupq_n_f32(1 + 0.01f * (float)i);
    for (long t = 0; t < rounds; t++)
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++)
            x[i] = vfmaq_f32(a, x[i], m);
    use(x);
    return 2.0 * CHAINS * 4 * (double)rounds;
}

RR_TARGET_BEGIN(RR_I8MM)
/* As kernel_dotprod.c and kernel_i8mm.c multiply. */
static double int8_arm(long rounds, bool squares)
{
    const int8x16_t a = vdupq_n_s8(3), b = vdupq_n_s8(5);
    int32x4_t x[CHAINS];
    for (int i = 0; i < CHAINS; i++)
        x[i] = vdupq_n_s32(i);
    for (long t = 0; t < rounds; t++)
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++) {
            if (squares)
                __asm__("smmla %0.4s, %1.16b, %2.16b" : "+w"(x[i]) : "w"(a), "w"(b));
            else
                __asm__("sdot %0.4s, %1.16b, %2.16b" : "+w"(x[i]) : "w"(a), "w"(b));
        }
    use(x);
    return 2.0 * CHAINS * (squares ? 32 : 16) * (double)rounds;
}
RR_TARGET_END
#endif

double rr_peak_run(enum rr_cpu_level level, enum rr_unit unit, long rounds)
{
#if RR_X86
    if (unit == RR_UNIT_BF16)
        return level >= RR_CPU_AMX ? rr_peak_amx(rounds) : 0;
    if (unit == RR_UNIT_INT8)
        return level >= RR_CPU_AVX512VNNI                        ? int8_avx512vnni(rounds)
               : level >= RR_CPU_AVXVNNI && rr_cpu_has_avxvnni() ? int8_avxvnni(rounds)
               : level >= RR_CPU_AVX2                            ? int8_avx2(rounds)
                                                                 : 0;
    if (level >= RR_CPU_AVX512)
        return f32_avx512(rounds);
    if (level >= RR_CPU_AVX2)
        return f32_avx2(rounds);
#elif RR_ARM
    if (unit == RR_UNIT_BF16)
        return 0;
    if (unit == RR_UNIT_INT8)
        return level >= RR_CPU_DOTPROD ? int8_arm(rounds, level >= RR_CPU_I8MM) : 0;
    if (level >= RR_CPU_NEON)
        return f32_neon(rounds);
#endif
    (void)level;
    return unit == RR_UNIT_F32 ? f32_c(rounds) : 0;
}

uint64_t rr_peak_read(enum rr_cpu_level level, const void *bytes, size_t n)
{
#if RR_X86
    if (level >= RR_CPU_AVX512)
        return read_avx512(bytes, n);
    if (level >= RR_CPU_AVX2)
        return read_avx2(bytes, n);
#endif
    (void)level;
    return read_c(bytes, n);
}
