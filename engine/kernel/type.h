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
    RR_TYPE_Q4_1,
    RR_TYPE_Q5_0,
    RR_TYPE_Q5_1,
    RR_TYPE_Q2_K,
    RR_TYPE_Q3_K,
    RR_TYPE_Q5_K,
    RR_TYPE_IQ4_NL,
    RR_TYPE_COUNT
};

#define RR_QK 32    /* numbers in a block of the other types */
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

/* value[i] = d * (low nibble of q[i]) + m, value[i + 16] with the high one */
struct rr_block_q4_1 {
    uint16_t d, m;
    uint8_t q[RR_QK / 2];
};
_Static_assert(sizeof(struct rr_block_q4_1) == 20, "Q4_1 block is 20 bytes");

/* value = d * (q - 16), q of five bits: the low four as in Q4_0, the fifth of number i at bit i of
 * high (little-endian). */
struct rr_block_q5_0 {
    uint16_t d;
    uint8_t high[4], q[RR_QK / 2];
};
_Static_assert(sizeof(struct rr_block_q5_0) == 22, "Q5_0 block is 22 bytes");

/* value = d * q + m, q as in Q5_0 */
struct rr_block_q5_1 {
    uint16_t d, m;
    uint8_t high[4], q[RR_QK / 2];
};
_Static_assert(sizeof(struct rr_block_q5_1) == 24, "Q5_1 block is 24 bytes");

/* Sixteen groups of 16: value = d * (low nibble of scales[group]) * q - d_min * (its high nibble),
 * q of two bits: in each half of 128, number 32 j + l (j < 4, l < 32) at bit 2 j of q[32 half + l].
 */
struct rr_block_q2_k {
    uint8_t scales[RR_QK_K / 16];
    uint8_t q[RR_QK_K / 4];
    uint16_t d, d_min;
};
_Static_assert(sizeof(struct rr_block_q2_k) == 84, "Q2_K block is 84 bytes");

/* Sixteen groups of 16: value = d * (scale - 32) * (q - 4), q of three bits: the low two as in
 * Q2_K, the third of number 32 j + l (j < 8, l < 32) at bit j of high[l]. A scale has six bits: the
 * low four of groups 0 .. 7 in the low nibbles of scales[0 .. 7], those of 8 .. 15 in the high
 * ones; the high two of group g at bit 2 (g / 4) of scales[8 + g mod 4]. */
struct rr_block_q3_k {
    uint8_t high[RR_QK_K / 8];
    uint8_t q[RR_QK_K / 4];
    uint8_t scales[12];
    uint16_t d;
};
_Static_assert(sizeof(struct rr_block_q3_k) == 110, "Q3_K block is 110 bytes");

/* As Q4_K, with a fifth bit: of group g's number l at bit g of high[l]. */
struct rr_block_q5_k {
    uint16_t d, d_min;
    uint8_t scales[12];
    uint8_t high[RR_QK_K / 8];
    uint8_t q[RR_QK_K / 2];
};
_Static_assert(sizeof(struct rr_block_q5_k) == 176, "Q5_K block is 176 bytes");

/* As Q4_0, but a nibble is an index into sixteen values (blocks.c). */
struct rr_block_iq4_nl {
    uint16_t d;
    uint8_t q[RR_QK / 2];
};
_Static_assert(sizeof(struct rr_block_iq4_nl) == 18, "IQ4_NL block is 18 bytes");

struct rr_type_info {
    const char *name;
    int block;          /* numbers per block */
    size_t block_bytes; /* sizeof one block */
    /* Of blocks: where the IEEE halves stand that its numbers are multiples of, and of how much of
     * them the largest number is. A second one of 0: there is none. */
    struct {
        size_t at;
        int most;
    } halves[2];
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
