/* Storage types of weights: how many bytes hold how many numbers. The block layouts are GGUF's. */
#ifndef RR_TYPE_H
#define RR_TYPE_H

#include <stddef.h>
#include <stdint.h>

enum rr_type {
    RR_TYPE_F32,
    RR_TYPE_F16,
    RR_TYPE_BF16,
    RR_TYPE_Q8_0,
    RR_TYPE_Q4_0,
    RR_TYPE_Q6_K,
    RR_TYPE_Q4_K,
    RR_TYPE_COUNT
};

#define RR_QK 32    /* numbers in a Q8_0 or Q4_0 block */
#define RR_QK_K 256 /* numbers in a block of the K types */

/* value[i] = d * q[i] */
struct rr_block_q8_0 {
    uint16_t d; /* IEEE half */
    int8_t q[RR_QK];
};
_Static_assert(sizeof(struct rr_block_q8_0) == 34, "Q8_0 block is 34 bytes");

/* value[i] = d * (low nibble of q[i] - 8), value[i + 16] = d * (high nibble of q[i] - 8) */
struct rr_block_q4_0 {
    uint16_t d;
    uint8_t q[RR_QK / 2];
};
_Static_assert(sizeof(struct rr_block_q4_0) == 18, "Q4_0 block is 18 bytes");

/* Sixteen groups of 16, each with its scale: value = d * scales[group] * (q - 32), q of 6 bits:
 * four low ones in ql, two high ones in qh. In each half of 128, number 32 j + l (j < 4, l < 32)
 * has its low bits in nibble j / 2 of ql[32 (j mod 2) + l] and its high bits at bit 2 j of
 * qh[l]. */
struct rr_block_q6_k {
    uint8_t ql[RR_QK_K / 2];
    uint8_t qh[RR_QK_K / 4];
    int8_t scales[RR_QK_K / 16];
    uint16_t d;
};
_Static_assert(sizeof(struct rr_block_q6_k) == 210, "Q6_K block is 210 bytes");

/* Eight groups of 32, each with a scale s and a least value m of six bits: value = d s q - d_min m,
 * q of four bits. Group 2 j has the low nibbles of q[32 j ..], group 2 j + 1 the high ones. s and m
 * of the first four groups are the low six bits of scales[0..3] and [4..7]; s of group 4 + j is the
 * low nibble of scales[8 + j] with the two high bits of scales[j] above it, m its high nibble with
 * those of scales[4 + j]. */
struct rr_block_q4_k {
    uint16_t d, d_min;
    uint8_t scales[12];
    uint8_t q[RR_QK_K / 2];
};
_Static_assert(sizeof(struct rr_block_q4_k) == 144, "Q4_K block is 144 bytes");

struct rr_type_info {
    const char *name;
    int block;          /* numbers per block */
    size_t block_bytes; /* sizeof one block */
};

/* type in [0, RR_TYPE_COUNT). */
const struct rr_type_info *rr_type_info(enum rr_type type);

/* Bytes of a row of k numbers; k is a multiple of the type's block. */
static inline size_t rr_row_bytes(enum rr_type type, size_t k)
{
    const struct rr_type_info *t = rr_type_info(type);
    return k / (size_t)t->block * t->block_bytes;
}

float rr_f16_to_f32(uint16_t h);
/* Round to nearest even; overflow to infinity; NaN stays NaN. */
uint16_t rr_f32_to_f16(float f);

#endif
