/* The engine: the chosen kernels and the thread pool that every model and session of a program
 * shares. */
#ifndef RR_ENGINE_H
#define RR_ENGINE_H

#include "engine/base/pool.h"
#include "engine/kernel/kernel.h"

struct rr_engine {
    struct rr_kernels kernels;
    /* Of products with a token or two, which only wait for the weights: rr_kernels_init_decoding.
     */
    struct rr_kernels decoding;
    struct rr_pool *pool;
};

/* n_threads 0: as many as this process may use. level caps the instruction set; above the
 * machine's it is refused with RR_ERR_USAGE. Release with rr_engine_release (also after a
 * failure). One engine serves one caller at a time. */
int rr_engine_init(struct rr_engine *e, int n_threads, enum rr_cpu_level level,
                   struct rr_error *err);
void rr_engine_release(struct rr_engine *e);

/* y[M,N] = x[M,K] W[N,K]^T on all threads by k, one of the engine's two tables: n <=
 * RR_MAX_PRODUCTS of them, with as many columns each, at once; scratch holds rr_pool_size *
 * rr_gemm_scratch bytes. Rows of W are shared out; the bits of y do not depend on how. */
#define RR_MAX_PRODUCTS 3
void rr_engine_matmuls(struct rr_engine *e, const struct rr_kernels *k, const struct rr_matmul *mms,
                       int n, void *scratch);

/* rr_prepare_rows for the first m rows of x, on all threads. */
void rr_engine_prepare(struct rr_engine *e, const struct rr_kernels *k,
                       const struct rr_quantised *out, const struct rr_rows *x, int m,
                       int prepared);

#endif
