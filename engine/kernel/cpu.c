/* CPUID and XCR0, without the compiler's help: __builtin_cpu_supports knows fewer names in one
 * compiler than in the other. */
#include "engine/kernel/cpu.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

static const char *const level_names[RR_CPU_COUNT] = {
    "c", "avx2", "avxvnni", "avx512", "avx512vnni", "amx", "neon", "dotprod", "i8mm"};

const char *rr_cpu_level_name(enum rr_cpu_level level)
{
    return level_names[level];
}

int rr_cpu_level_from_name(const char *name)
{
    for (int i = 0; i < RR_CPU_COUNT; i++)
        if (strcmp(name, level_names[i]) == 0)
            return i;
    return -1;
}

#if RR_X86
static void cpuid(uint32_t leaf, uint32_t sub, uint32_t r[4])
{
    __asm__ __volatile__("cpuid"
                         : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3])
                         : "a"(leaf), "c"(sub));
}

static uint64_t xcr0(void)
{
    uint32_t lo, hi;
    __asm__ __volatile__("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

/* Of the processor; that the system saves its registers is what AVX2 asks. */
bool rr_cpu_has_avxvnni(void)
{
    uint32_t max[4], seven[4];
    cpuid(0, 0, max);
    if (max[0] < 7)
        return false;
    cpuid(7, 0, seven);
    if (seven[0] < 1)
        return false;
    cpuid(7, 1, seven);
    return seven[0] >> 4 & 1;
}

bool rr_cpu_is_amd(void)
{
    uint32_t r[4];
    cpuid(0, 0, r);
    return memcmp(&r[1], "Auth", 4) == 0; /* AuthenticAMD */
}

/* Beyond AVX-512 VNNI. The state of tiles is large: a process must ask the kernel for it. */
static bool has_amx(const uint32_t seven[4])
{
    uint32_t more[4];
    if (seven[0] < 1)
        return false;
    cpuid(7, 1, more);
    if (!(more[0] >> 5 & 1)) /* AVX512_BF16 */
        return false;
#if defined(RR_AMX_EMULATED)
    return rr_amx_works();
#elif defined(__linux__)
    const uint32_t need = 1u << 22 /* AMX-BF16 */ | 1u << 24 /* AMX-TILE */;
    if ((seven[3] & need) != need || (xcr0() & 0x60000) != 0x60000)
        return false;
    long rc = 158;                                             /* arch_prctl */
    register long request __asm__("rdi") = 0x1023;             /* ARCH_REQ_XCOMP_PERM */
    register long feature __asm__("rsi") = 18 /* XTILEDATA */; /* its bit in XCR0 */
    __asm__ __volatile__("syscall"
                         : "+a"(rc)
                         : "r"(request), "r"(feature)
                         : "rcx", "r11", "memory");
    return rc == 0 && rr_amx_works();
#else
    return false;
#endif
}

enum rr_cpu_level rr_cpu_best(void)
{
    enum { OSXSAVE = 1u << 27, FMA = 1u << 12, F16C = 1u << 29, AVX = 1u << 28 };
    enum {
        AVX2 = 1u << 5,
        AVX512F = 1u << 16,
        AVX512DQ = 1u << 17,
        AVX512BW = 1u << 30,
        AVX512VNNI = 1u << 11
    };
    const uint32_t avx512vl = 1u << 31;
    uint32_t max[4], one[4], seven[4];
    cpuid(0, 0, max);
    if (max[0] < 7)
        return RR_CPU_C;
    cpuid(1, 0, one);
    cpuid(7, 0, seven);
    const uint32_t need1 = OSXSAVE | FMA | F16C | AVX;
    if ((one[2] & need1) != need1 || !(seven[1] & AVX2) || (xcr0() & 0x6) != 0x6)
        return RR_CPU_C;
    const uint32_t need7 = (uint32_t)AVX512F | AVX512DQ | AVX512BW | avx512vl;
    if ((seven[1] & need7) != need7 || (xcr0() & 0xE6) != 0xE6)
        return rr_cpu_has_avxvnni() ? RR_CPU_AVXVNNI : RR_CPU_AVX2;
    if (!(seven[2] & AVX512VNNI))
        return RR_CPU_AVX512;
    return has_amx(seven) ? RR_CPU_AMX : RR_CPU_AVX512VNNI;
}

void rr_cpu_brand(char *out, size_t size)
{
    char brand[49] = "unknown";
    uint32_t r[4];
    cpuid(0x80000000u, 0, r);
    if (r[0] >= 0x80000004u) {
        for (uint32_t i = 0; i < 3; i++) {
            cpuid(0x80000002u + i, 0, r);
            memcpy(brand + 16 * i, r, 16);
        }
        brand[48] = 0;
    }
    snprintf(out, size, "%s", brand);
}
#else
bool rr_cpu_has_avxvnni(void)
{
    return false;
}

bool rr_cpu_is_amd(void)
{
    return false;
}

#if RR_ARM && defined(__linux__)
#include <sys/auxv.h>

enum rr_cpu_level rr_cpu_best(void)
{
    const unsigned long dotprod = 1ul << 20 /* HWCAP_ASIMDDP */, i8mm = 1ul << 13; /* HWCAP2_I8MM */
    if (!(getauxval(AT_HWCAP) & dotprod))
        return RR_CPU_NEON;
    return getauxval(AT_HWCAP2) & i8mm ? RR_CPU_I8MM : RR_CPU_DOTPROD;
}
#else
enum rr_cpu_level rr_cpu_best(void)
{
    return RR_ARM ? RR_CPU_NEON : RR_CPU_C;
}
#endif

void rr_cpu_brand(char *out, size_t size)
{
    snprintf(out, size, RR_ARM ? "aarch64" : "unknown");
}
#endif

bool rr_cpu_has(enum rr_cpu_level level)
{
    if (level > rr_cpu_best() || (level == RR_CPU_AVXVNNI && !rr_cpu_has_avxvnni()))
        return false;
    return level == RR_CPU_C || (level >= RR_CPU_NEON) == (RR_ARM != 0);
}
