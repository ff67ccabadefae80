/* What a processor could do at most: loops that (but at level c) never leave the registers, and one
 * that only reads.
 * For benchmarks; nothing here takes time by itself. */
#ifndef RR_PEAK_H
#define RR_PEAK_H

#include <stdint.h>
#include "engine/kernel/cpu.h"

enum rr_unit {
    RR_UNIT_F32,  /* fused multiply-adds of float32 */
    RR_UNIT_INT8, /* dot products of bytes into 32 bits */
    RR_UNIT_BF16, /* products of tiles of bfloat16 */
    RR_N_UNITS
};

const char *rr_unit_name(enum rr_unit unit); /* "f32", "int8", "bf16" */

/* Runs `rounds` rounds of independent operations of a unit on this thread and returns how many they
 * were (a multiply-add is two), or 0 where the level has no such unit. */
double rr_peak_run(enum rr_cpu_level level, enum rr_unit unit, long rounds);

/* kernel_amx.c's part of it. */
double rr_peak_amx(long rounds);

/* Reads bytes[n] once, in order, from four places at a time, as wide as the level can (aarch64: as
 * the compiler makes it); the result
 * is of no use but that it depends on all of them. n is a multiple of 1024. */
uint64_t rr_peak_read(enum rr_cpu_level level, const void *bytes, size_t n);

#endif
