/* Matrix products for training, in all three forms that a layer and its gradients need: operands
 * are read with any strides and packed, so a transpose costs nothing.
 *
 * An output adds its K products in ascending order, in blocks of fixed size, whatever the number of
 * threads: work is split by output. */
#ifndef RR_TRAIN_GEMM_H
#define RR_TRAIN_GEMM_H

#include <stdbool.h>
#include <stddef.h>
#include "engine/engine.h"
#include "engine/train/real.h"

/* c[M,N] = a[M,K] b[K,N], or += with `add`; element (i, k) of a is a[i a_row + k a_col]. */
struct rr_product {
    rr_real *c;
    size_t ldc;
    const rr_real *a;
    size_t a_row, a_col;
    const rr_real *b;
    size_t b_row, b_col;
    int m, n, k;
    bool add;
};

/* Reals of scratch that one product on one thread needs. */
size_t rr_product_scratch(void);
/* On the calling thread. */
void rr_product_serial(const struct rr_kernels *kern, const struct rr_product *p, rr_real *scratch);
/* On all threads; scratch holds rr_pool_size(pool) * rr_product_scratch() reals. */
void rr_product_run(struct rr_engine *e, const struct rr_product *p, rr_real *scratch);

#endif
