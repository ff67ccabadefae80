/* Checked arithmetic for sizes that come from files. Each returns false on overflow and leaves
 * *out alone. */
#ifndef RR_CHECK_H
#define RR_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool rr_add_u64(uint64_t *out, uint64_t a, uint64_t b)
{
    if (a > UINT64_MAX - b)
        return false;
    *out = a + b;
    return true;
}

static inline bool rr_mul_u64(uint64_t *out, uint64_t a, uint64_t b)
{
    if (b && a > UINT64_MAX / b)
        return false;
    *out = a * b;
    return true;
}

static inline bool rr_mul_size(size_t *out, size_t a, size_t b)
{
    if (b && a > SIZE_MAX / b)
        return false;
    *out = a * b;
    return true;
}

static inline size_t rr_round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

/* Index of the nearest-rank quantile p in n > 0 sorted values: ceil(p n) - 1, at least 0. */
static inline int rr_nearest_rank(double p, int n)
{
    return (int)(p * n - 1e-9);
}

static inline int rr_min_int(int a, int b)
{
    return a < b ? a : b;
}

static inline int rr_max_int(int a, int b)
{
    return a > b ? a : b;
}

#endif
