/* The packed scales of Q4_K and Q5_K blocks, see type.h. */
#ifndef RR_K_SCALES_H
#define RR_K_SCALES_H

#include <stdint.h>
#include <string.h>

/* Six-bit scales and least values of a block's eight groups, four in a word at once (little-endian,
 * as every machine that has the kernels which call this). */
static inline void rr_k4_scales(int8_t scale[8], int8_t least[8], const uint8_t *packed)
{
    uint32_t p[3], out[4];
    memcpy(p, packed, sizeof p);
    out[0] = p[0] & 0x3F3F3F3Fu;
    out[1] = (p[2] & 0x0F0F0F0Fu) | (p[0] >> 6 & 0x03030303u) << 4;
    out[2] = p[1] & 0x3F3F3F3Fu;
    out[3] = (p[2] >> 4 & 0x0F0F0F0Fu) | (p[1] >> 6 & 0x03030303u) << 4;
    memcpy(scale, out, 8);
    memcpy(least, out + 2, 8);
}

#endif
