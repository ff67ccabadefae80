/* The packed scales of Q4_K and Q5_K blocks, see type.h. */
#ifndef RR_K_SCALES_H
#define RR_K_SCALES_H

#include <stdint.h>
#include <string.h>

/* Six-bit scales and least values of a block's eight groups, four in a word at once (little-endian,
 * as every machine that has the kernels which call this). */
static inline void rr_k4_scales(int8_t scale[8], int8_t least[8], const uint8_t *packed)
{
    uint32_t p[3];
    uint64_t out[2]; /* whole words: what is stored in halves is waited for when it is read */
    for (int i = 0; i < 3; i++)
        memcpy(&p[i], packed + 4 * i, 4);
    for (int i = 0; i < 2; i++) {
        const uint32_t last = (p[2] >> 4 * i & 0x0F0F0F0Fu) | (p[i] >> 2 & 0x30303030u);
        out[i] = (p[i] & 0x3F3F3F3Fu) | (uint64_t)last << 32;
    }
    memcpy(scale, &out[0], 8);
    memcpy(least, &out[1], 8);
}

#endif
