/* What this processor can do, asked of the processor itself, and the levels that `--cpu` names.
 *
 * Compiler extensions (inline assembly, target regions) are allowed in engine/kernel only; this
 * header holds those that other folders need. */
#ifndef RR_CPU_H
#define RR_CPU_H

#include <stdbool.h>
#include <stddef.h>

/* Levels in ascending order per architecture; a level implies those below it, but for AVX-VNNI. */
enum rr_cpu_level {
    RR_CPU_C,
    RR_CPU_AVX2,       /* AVX2, FMA, F16C */
    RR_CPU_AVXVNNI,    /* AVX2 with integer dot products: beside AVX-512, not below it */
    RR_CPU_AVX512,     /* AVX-512 F, BW, DQ, VL */
    RR_CPU_AVX512VNNI, /* with integer dot products */
    RR_CPU_AMX,        /* with tiles of bfloat16, and AVX-512 BF16 to make them */
    RR_CPU_NEON,       /* of aarch64, which all of them have */
    RR_CPU_DOTPROD,    /* with integer dot products */
    RR_CPU_I8MM,       /* with products of 2 x 8 by 8 x 2 bytes */
    RR_CPU_COUNT
};

/* The highest level of this machine: CPUID bits, and XCR0 for what the system saves; on aarch64
 * what the kernel says in the auxiliary vector. Where there is AMX it asks the kernel for this
 * process's leave to use it, which holds for all its threads. Thread-safe. */
enum rr_cpu_level rr_cpu_best(void);
bool rr_cpu_has_avxvnni(void);
/* Of any level. */
bool rr_cpu_is_amd(void);
/* Whether this machine has all that a level means. */
bool rr_cpu_has(enum rr_cpu_level level);

/* "c", "avx2", "avxvnni", ... */
const char *rr_cpu_level_name(enum rr_cpu_level level);
/* Those of this architecture for a message: "c, avx2, avxvnni, avx512, avx512vnni or amx". */
#if defined(__aarch64__)
#define RR_CPU_LEVEL_NAMES "c, neon, dotprod or i8mm"
#else
#define RR_CPU_LEVEL_NAMES "c, avx2, avxvnni, avx512, avx512vnni or amx"
#endif
/* -1 when the name is unknown. */
int rr_cpu_level_from_name(const char *name);

/* The processor's brand string ("unknown" where there is none), for reports. out[size] is always
 * terminated. */
void rr_cpu_brand(char *out, size_t size);

static inline void rr_cpu_pause(void)
{
#if defined(__x86_64__)
    __asm__ __volatile__("pause");
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

/* kernel_amx.c: whether a product of tiles is right on this machine. Only where the processor and
 * the system say that there are tiles. */
bool rr_amx_works(void);

#if defined(__x86_64__)
#define RR_X86 1
#else
#define RR_X86 0
#endif
/* Little-endian only, as all of ours. */
#if defined(__aarch64__) && defined(__AARCH64EL__)
#define RR_ARM 1
#else
#define RR_ARM 0
#endif

/* Code between these two may use the instructions named; code outside may not be given any of
 * them. */
#if defined(__clang__)
#define RR_PRAGMA(x) _Pragma(#x)
#define RR_TARGET_BEGIN(isa)                                                                       \
    RR_PRAGMA(clang attribute push(__attribute__((target(isa))), apply_to = function))
#define RR_TARGET_END RR_PRAGMA(clang attribute pop)
#else
#define RR_PRAGMA(x) _Pragma(#x)
#define RR_TARGET_BEGIN(isa) RR_PRAGMA(GCC push_options) RR_PRAGMA(GCC target(isa))
#define RR_TARGET_END RR_PRAGMA(GCC pop_options)
#endif

/* Names of what aarch64 may have, for these two. */
#if defined(__clang__)
#define RR_DOTPROD "dotprod"
#define RR_I8MM "dotprod,i8mm"
#elif defined(__ARM_FEATURE_DOTPROD)
#define RR_DOTPROD "+dotprod"
#define RR_I8MM "+dotprod+i8mm"
#else /* assemblers know these from ARMv8.2 on */
#define RR_DOTPROD "arch=armv8.2-a+dotprod"
#define RR_I8MM "arch=armv8.2-a+dotprod+i8mm"
#endif

#define RR_INLINE static inline __attribute__((always_inline))
#define RR_APART static __attribute__((noinline))

#endif
