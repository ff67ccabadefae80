/* What kernel_amx.c and kernel_amx_attn.c share: tiles made ready, numbers as bfloat16 and what
 * that leaves of them. Included inside their target regions, behind
 * load_avx512.h. */
#if defined(RR_AMX_EMULATED)
#include "engine/kernel/amx_emulated.h"
#endif

/* What compilers believe about the memory that tile instructions touch differs: they shall believe
 * that it is all of it. */
#define barrier() __asm__ __volatile__("" ::: "memory")

/* Eight tiles of 16 rows of 64 bytes. */
static void configure(void)
{
    struct {
        uint8_t palette, start, reserved[14];
        uint16_t colsb[16];
        uint8_t rows[16];
    } config = {.palette = 1};
    for (int t = 0; t < 8; t++) {
        config.colsb[t] = 64;
        config.rows[t] = RR_TILE_ROWS;
    }
    barrier();
    _tile_loadconfig(&config);
}

/* 32 numbers as bfloat16. */
RR_INLINE __m512i bfloats(__m512 low, __m512 high)
{
    return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

/* What bfloat16 leaves of 32 numbers. */
RR_INLINE __m512i rests(__m512 low, __m512 high, __m512i large)
{
    return bfloats(_mm512_sub_ps(low, bf16_16(_mm512_castsi512_si256(large))),
                   _mm512_sub_ps(high, bf16_16(_mm512_extracti64x4_epi64(large, 1))));
}
