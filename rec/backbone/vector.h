/* Dot products in portable C with eight lanes and one order of additions: the same bits from every
 * compiler and on every machine, and fast enough wherever a compiler vectorises. */
#ifndef RR_VECTOR_H
#define RR_VECTOR_H

#include <stddef.h>

#define RR_DEFINE_DOT(name, type)                                                                  \
    static inline type name(const type *a, const type *b, size_t n)                                \
    {                                                                                              \
        type acc[8] = {0};                                                                         \
        size_t i = 0;                                                                              \
        for (; i + 8 <= n; i += 8)                                                                 \
            for (size_t l = 0; l < 8; l++)                                                         \
                acc[l] += a[i + l] * b[i + l];                                                     \
        for (; i < n; i++)                                                                         \
            acc[0] += a[i] * b[i];                                                                 \
        return ((acc[0] + acc[4]) + (acc[2] + acc[6])) + ((acc[1] + acc[5]) + (acc[3] + acc[7]));  \
    }

/* sum a[i] b[i], i in [0, n) */
RR_DEFINE_DOT(rr_dot_f32, float)
RR_DEFINE_DOT(rr_dot_f64, double)

#endif
