/* The kernel table: every inner loop of the engine, one pointer each, always valid.
 *
 * rr_kernels_init fills the table with the C versions, which define the truth, and then lets each
 * instruction-set level up to `level` overwrite what it does better. Inside one level a number
 * depends on its own inputs only, never on how many rows were asked for at once: gemm adds the
 * products of one output in the same order, so a row alone, in a batch, or on another thread has
 * the same bits.
 *
 * Quantised weights are multiplied in integers: by rows of x that are quantised to eight bits,
 * block by block. At AMX they are rounded to bfloat16, as x is: coarser weights, but a finer x; and
 * F16 and BF16 are multiplied as sums of bfloat16. Below AMX these two are multiplied in integers
 * of sixteen bits where that is faster than floats (gemm_int16.h).
 *
 * Tolerance against C, checked by tests/kernel*_test.c: products of floats within 1e-5 * sum |x w|
 * + 1e-6 (F16 and BF16 at AMX: 2^-15 * sum |x w|; in integers: of each block half a step of x for
 * every |w| and 2^-14 of the greatest |w|, or 2^-115, for every |x|); exp within 4e-6 relative;
 * row_f32, to_f16, those of the cache, quantise and integer products exactly, but those for
 * decoding within 1e-5 * sum |x w| + 1e-6, of types with a least value sum |x| (|d s q| + |d_min
 * m|); quantised weights at AMX within the rounding of both sides, 2^-8 * sum |x w|; attention in
 * tiles within 2^-15 of the sum of what it adds, without signs. All functions touch nothing but
 * their arguments; pointers need no alignment. */
#ifndef RR_KERNEL_H
#define RR_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include "engine/kernel/attn_tiles.h"
#include "engine/kernel/cpu.h"
#include "engine/kernel/type.h"

#define RR_PANEL 16 /* keys interleaved in one panel of the cache */

/* Rows of x for integer products, in blocks of RR_QK: x[M,K] ~ d q, q in -127 .. 127. A block with
 * a number that is not finite has q = 0 and such a d, so that what it meets becomes NaN. */
struct rr_quantised {
    int8_t *q;    /* [M, K] */
    float *d;     /* [M, K / RR_QK] greatest |x| of the block / 127 */
    int16_t *sum; /* [M, 2 K / RR_QK] of q in each half of a block */
    /* At AMX instead of these three: x as the sum of two bfloat16, two numbers of a row to a word,
     * the first of them low, zeros behind K and M: [2 parts][rr_tile_cols(K) / 2][RR_TILE_ROWS] for
     * every RR_TILE_ROWS rows, rr_tile_stride(K) words apart. */
    uint32_t *pairs;
    /* x in sixteen bits, apart from the others: blocks of RR_QK16 with zeros behind K. Not finite:
     * as above. */
    int16_t *q16; /* [M] rows, rr_int16_apart(K) from each to the next */
    float *d16;   /* [M, rr_int16_blocks(K)] */
};
#define RR_QK16 16
#define RR_NORM_16 46300.0f /* root of the sum of q^2 in half a block, before they are rounded */
#define RR_MOST_16 32766.0f
static inline size_t rr_int16_blocks(int k)
{
    return ((size_t)k + RR_QK16 - 1) / RR_QK16;
}
/* An odd number of cache lines: rows that are used together lie in different sets. */
static inline size_t rr_int16_apart(int k)
{
    return ((rr_int16_blocks(k) + 1) / 2 | 1) * 2 * RR_QK16;
}
#define RR_TILE_ROWS 16
#define RR_TILE_SCRATCH ((592u << 10) + 64) /* bytes, for any product there */
/* K as tiles have it. */
static inline size_t rr_tile_cols(int k)
{
    return rr_tile_up(k, RR_TILE_DEPTH);
}
/* From rows to the next ones: an odd multiple of 16 KiB, so that what is used at once lies in
 * different sets of the second-level cache. */
static inline size_t rr_tile_stride(int k)
{
    const size_t step = (16u << 10) / sizeof(uint32_t), words = rr_tile_cols(k) * RR_TILE_ROWS;
    return ((words + step - 1) / step | 1) * step;
}
#define RR_Q_LEAST 1e-30f /* a block of smaller numbers is zeros */

/* Rows x[.., n_cols], ld apart. */
struct rr_rows {
    const float *x;
    size_t ld;
    int n_cols;
};

struct rr_kernels;

/* y[M,N] = x[M,K] W[N,K]^T, W as it is stored with rows row_bytes apart; leading dimensions in
 * elements. In integers, but for decoding, for every output, block of RR_QK by block in order: y =
 * fma(float(sum of q_w q_x), d_w * d_x, y), the sum exact. Of Q6_K, which has a scale for 16, half
 * a block at a time; where a block has a least value, y = fma(float(sum of q_x), least * d_x, y)
 * behind it. In sixteen bits by blocks of RR_QK16: y = fma(float(sum of the first half) + float(sum
 * of the second), d_w * d_x, y), d_w as gemm_int16.h says. */
struct rr_gemm {
    float *y;
    size_t ldy;
    const float *x; /* where W is multiplied as floats */
    size_t ldx;
    struct rr_quantised xq; /* where it is prepared: from its row 0 on */
    const void *w;
    enum rr_type type;              /* of W; */
    const struct rr_kernels *table; /* both for types that are unpacked first */
    const int *rows;                /* [n] rows of W to multiply with; NULL: 0 .. n - 1 */
    size_t row_bytes;
    int m, n, k;
    bool side_by_side; /* few_rows.h */
};
/* The row of W that output j is of; behind the last output, the last one's again. */
static inline const unsigned char *rr_gemm_row(const struct rr_gemm *g, int j)
{
    const int at = j < g->n ? j : g->n - 1;
    return (const unsigned char *)g->w + (size_t)(g->rows ? g->rows[at] : at) * g->row_bytes;
}
#define RR_GEMM_SCRATCH (40u << 10) /* bytes, where nothing is unpacked; see rr_gemm_scratch */

/* s[Q,16 P] = scale * q[Q,D] K^T with keys in panels: k[P][D][16]. n_q in 1..RR_ATTN_ROWS. */
struct rr_attn_scores {
    float *s;
    size_t lds;
    const float *q;
    size_t ldq;
    const float *k;
    int n_q, n_panels, head_dim;
    float scale;
};

/* o[Q,D] += p[Q,N] v[N,D]: every output adds its N terms in order. n_q in 1..RR_ATTN_ROWS. */
struct rr_attn_values {
    float *o;
    size_t ldo;
    const float *p;
    size_t ldp;
    const float *v;
    size_t ldv;
    int n_q, n, head_dim;
};

#define RR_ATTN_ROWS 4

/* Outputs of one tile of a training product. */
#define RR_TILE_M 8
#define RR_TILE_N 32

enum { RR_READS_8 = 1, RR_READS_16 = 2 }; /* bits */

struct rr_kernels {
    enum rr_cpu_level level;
    /* y[K] = one row of stored weights as float32: exact, but that of Q4_K the last sum rounds. */
    void (*row_f32[RR_TYPE_COUNT])(float *y, const void *w, int k);
    void (*gemm[RR_TYPE_COUNT])(const struct rr_gemm *g, void *scratch);
    /* The same product for decoding, whose order of sums is its own, in integers too: off by
     * rounding alone, F16 and BF16 as floats always; NULL: gemm. Types that are unpacked first are
     * multiplied by F32's. */
    void (*decode[RR_TYPE_COUNT])(const struct rr_gemm *g, void *scratch);
    /* What its gemm reads: 0: x itself, or of xq RR_READS_8: q, d, sum, or RR_READS_16: q16 and
     * d16. Of tiles both mean pairs, RR_READS_16 with the small parts. */
    unsigned char prepared[RR_TYPE_COUNT];
    bool side_by_side; /* how W is read for few rows of x, as this machine likes it: few_rows.h */
    bool tiles;        /* which has pairs of bfloat16, not integers */
    /* Rows i .. i + n - 1 of x as pairs, i a multiple of RR_TILE_ROWS, with so many parts; NULL
     * where there are no tiles. */
    void (*pairs)(uint32_t *pairs, const struct rr_rows *x, int i, int n, int parts);
    /* One row of x in integers, k a multiple of RR_QK. */
    void (*quantise)(const struct rr_quantised *out, const float *x, int k);
    /* The same in sixteen bits, any k, q[rr_int16_blocks(k) RR_QK16], d = the greatest |x| / min(
     * RR_MOST_16, RR_NORM_16 / the root of the sum of (x / the greatest |x|)^2 in the half of a
     * block where that is greater), q = x / d. */
    void (*quantise16)(int16_t *q, float *d, const float *x, int k);
    void (*attn_scores)(const struct rr_attn_scores *a);
    void (*attn_values)(const struct rr_attn_values *a);
    const struct rr_attn_tiles *attn_tiles; /* instead of these two; NULL where there are none */
    /* y[n] = x as half floats, as rr_f32_to_f16 rounds; which NaN a NaN becomes is not said. */
    void (*to_f16)(uint16_t *y, const float *x, int n);
    /* What a cache in Q8_0 holds, D a multiple of RR_QK: a panel of keys y[D][RR_PANEL] = q[D]
     * [RR_PANEL] d[D / RR_QK][RR_PANEL], a value y[D] = q[D] d[D / RR_QK]. */
    void (*keys_q8_0)(float *y, const int8_t *q, const float *d, int head_dim);
    void (*values_q8_0)(float *y, const int8_t *q, const float *d, int head_dim);
    /* *greatest = max(*greatest, max s); s[i] = exp(s[i] - *greatest); returns the sum of them.
     * n >= 1. */
    float (*softmax_exp)(float *s, int n, float *greatest);
    /* y[n] = x / sqrt(mean(x^2) + eps) * g */
    void (*rmsnorm)(float *y, const float *x, const float *g, int n, float eps);
    /* g[n] = g / (1 + exp(-g)) * u; exp stops at exp(88), so below -88 it is g / 1.7e38, not 0 */
    void (*silu_mul)(float *g, const float *u, int n);
    /* y[n] += x[n] */
    void (*add)(float *y, const float *x, int n);
    /* c[RR_TILE_M, RR_TILE_N] += a^T b from panels a[k][RR_TILE_M], b[k][RR_TILE_N]: every output
     * adds its k products in order, first to each other, then to c. For training (engine/train). */
    void (*tile_f32)(float *c, size_t ldc, const float *a, const float *b, int k);
};

void rr_kernels_init(struct rr_kernels *k, enum rr_cpu_level level);
/* The same with what is best when tokens come one by one: gemm is decode where there is one, and
 * there are no tiles. */
void rr_kernels_init_decoding(struct rr_kernels *k, enum rr_cpu_level level);

/* The levels' own parts, called by rr_kernels_init in this order. */
void rr_kernels_init_c(struct rr_kernels *k);
void rr_kernels_init_blocks(struct rr_kernels *k);
void rr_kernels_init_avx2(struct rr_kernels *k);
void rr_kernels_init_avxvnni(struct rr_kernels *k);
void rr_kernels_init_avx512(struct rr_kernels *k);
void rr_kernels_init_avx512vnni(struct rr_kernels *k);
void rr_kernels_init_amx(struct rr_kernels *k);
void rr_kernels_init_neon(struct rr_kernels *k);
void rr_kernels_init_dotprod(struct rr_kernels *k);
void rr_kernels_init_i8mm(struct rr_kernels *k);
/* Levels' parts in files of their own: kernel_LEVEL_dot.c, kernel_avx512vnni_int16.c and _8.c,
 * kernel_amx_attn.c. */
void rr_kernels_init_avx2_dot(struct rr_kernels *k);
void rr_kernels_init_avxvnni_dot(struct rr_kernels *k);
void rr_kernels_init_avx512vnni_dot(struct rr_kernels *k);
void rr_kernels_init_avx512vnni_int16(struct rr_kernels *k);
void rr_kernels_init_amx_attn(struct rr_kernels *k);
void rr_gemm_q8_0_by_eights(const struct rr_gemm *g, void *scratch);

/* Rows i .. i + n - 1 of x into xq as products read it that want `prepared`, one bit or more; i is
 * a multiple of rr_prepared_together, and n_cols of RR_QK for RR_READS_8 without tiles. */
void rr_prepare_rows(const struct rr_kernels *k, const struct rr_quantised *xq,
                     const struct rr_rows *x, int i, int n, int prepared);
/* Rows that lie interleaved in xq: they are prepared by one call. */
static inline int rr_prepared_together(const struct rr_kernels *k)
{
    return k->tiles ? RR_TILE_ROWS : 1;
}
/* blocks.c's part of this: */
size_t rr_unpacked_scratch(int cols);
/* Bytes of scratch that gemm wants for K columns. */
size_t rr_gemm_scratch(const struct rr_kernels *k, int cols);

/* A matrix of weights as it is stored: n_rows rows of n_cols numbers, each row
 * rr_row_bytes(type, n_cols). */
struct rr_tensor {
    enum rr_type type;
    int n_rows, n_cols;
    const void *data;
};

/* y[M, r0..r1) = x[M,K] W[r0..r1, K]^T; y points at column 0 of its rows. scratch:
 * rr_gemm_scratch bytes. */
struct rr_matmul {
    float *y;
    size_t ldy;
    const float *x;
    size_t ldx;
    const struct rr_quantised
        *xq; /* x by rr_prepare_rows; may be NULL where none of the types wants it */
    int m;
    const struct rr_tensor *w;
};
void rr_matmul_rows(const struct rr_kernels *k, const struct rr_matmul *mm, int r0, int r1,
                    void *scratch);

#endif
