/* The seeded generator that every random choice takes as an argument; there is no hidden one.
 * xoshiro256** (Blackman and Vigna, 2018) started by SplitMix64: the same seed gives the same
 * numbers on every machine. Not thread-safe: one generator per task, made with rr_rng_stream. */
#ifndef RR_RNG_H
#define RR_RNG_H

#include <stddef.h>
#include <stdint.h>

struct rr_rng {
    uint64_t s[4];
};

void rr_rng_seed(struct rr_rng *r, uint64_t seed);
uint64_t rr_rng_u64(struct rr_rng *r);
/* An independent generator for item `stream` of a seed, e.g. one per user, whatever the order of
 * work. */
void rr_rng_stream(struct rr_rng *r, uint64_t seed, uint64_t stream);
/* Uniform in [0, n) without bias, n >= 1. */
uint64_t rr_rng_below(struct rr_rng *r, uint64_t n);
/* Uniform in [0, 1) with 53 bits. */
double rr_rng_unit(struct rr_rng *r);
/* Fisher-Yates over n ints. */
void rr_rng_shuffle(struct rr_rng *r, int *a, size_t n);

#endif
