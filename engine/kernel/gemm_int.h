/* Products of quantised weights in integers: the part that all instruction sets share. Included,
 * inside its target region, by a file that defines
 *
 *     OUTS, ivec, fvec              outputs of a vector; OUTS words of 32 bits, OUTS floats
 *     INT_PREFIX(name)              its own names
 *     OFFSET                        1: weights are unsigned, their type's offset added; 0: signed
 *     i_set1(v) i_dot(acc, w, x)    acc + the sum of four products of bytes in each word
 *     i_add(a, b) i_float(v)
 *     f_zero() f_set1(f) f_mul(a, b) f_fma(a, b, c) f_load_n(p, n) f_store_n(p, v, n)
 *     f_halves(p)                   OUTS halves as floats
 *     unpack(words, rows, at, type) words[w], lane r = bytes 4 w .. 4 w + 3 of a block's numbers,
 *                                   the block at byte `at` of rows[r]
 *     INT_TILE_M                    rows of x in registers at once
 *
 * A vector of sums is OUTS outputs, so no sum crosses lanes: what rr_gemm_reference says, bit for
 * bit. */

#define WORDS (RR_QK / 4) /* vectors of a block */
#define CHUNK_BLOCKS                                                                               \
    32                  /* of a row in a panel: two panels of them stay in the first-level cache   \
                         */
#define DIRECT_BLOCKS 8 /* whose scales are read ahead, where weights are used at once */
#define MAX_DIRECT_M 3  /* up to so many rows of x use a block where it was unpacked */

struct int_panel {
    ivec words[CHUNK_BLOCKS][WORDS];
    fvec scales[CHUNK_BLOCKS];
    int first, n; /* blocks of the rows that it holds */
};
_Static_assert(2 * sizeof(struct int_panel) + 64 <= RR_GEMM_SCRATCH, "two panels and alignment");

RR_INLINE int offset_of(enum rr_type type)
{
    return !OFFSET ? 0 : type == RR_TYPE_Q8_0 ? 128 : 8;
}

RR_INLINE size_t block_bytes(enum rr_type type)
{
    return type == RR_TYPE_Q8_0 ? sizeof(struct rr_block_q8_0) : sizeof(struct rr_block_q4_0);
}

/* Scales of n blocks from block b0 on. */
RR_INLINE void unpack_scales(fvec *scales, const unsigned char *const *rows, int b0, int n,
                             enum rr_type type)
{
    uint16_t d[CHUNK_BLOCKS][OUTS];
    for (int r = 0; r < OUTS; r++) {
        const unsigned char *p = rows[r] + (size_t)b0 * block_bytes(type);
        for (int b = 0; b < n; b++, p += block_bytes(type))
            memcpy(&d[b][r], p, sizeof d[b][r]);
    }
    for (int b = 0; b < n; b++)
        scales[b] = f_halves(d[b]);
}

/* Row pointers of OUTS outputs from j on; behind the last row it is repeated. */
RR_INLINE void int_rows(const unsigned char **rows, const struct rr_gemm *g, int j)
{
    for (int r = 0; r < OUTS; r++) {
        const int at = j + r < g->n ? j + r : g->n - 1;
        rows[r] = (const unsigned char *)g->w + (size_t)(g->rows ? g->rows[at] : at) * g->row_bytes;
    }
}

RR_INLINE ivec word(const int8_t *q)
{
    int v;
    memcpy(&v, q, sizeof v);
    return i_set1(v);
}

/* acc + sum of one block: what a row of x adds to the outputs. */
RR_INLINE fvec add_block(fvec acc, ivec sum, fvec scale, float d)
{
    return f_fma(i_float(sum), f_mul(scale, f_set1(d)), acc);
}

/* ---- few rows of x ---- */

/* The rows lie in one stretch of memory, but are read side by side: too many short streams for the
 * processor to foresee. What the next ones need is asked for in the order of memory while these are
 * used. */
RR_INLINE void prefetch_next(const unsigned char *first, size_t row_bytes, int block,
                             enum rr_type type)
{
    const size_t part = OUTS * block_bytes(type);
    const unsigned char *p = first + OUTS * row_bytes + (size_t)block * part;
    for (size_t i = 0; i < part; i += 64)
        _mm_prefetch((const char *)p + i, _MM_HINT_T0);
}

RR_INLINE void direct_outs(const struct rr_gemm *g, int j, int m, enum rr_type type)
{
    const int n_blocks = g->k / RR_QK;
    const unsigned char *rows[OUTS];
    fvec acc[MAX_DIRECT_M], scales[DIRECT_BLOCKS];
    int_rows(rows, g, j);
    for (int i = 0; i < m; i++)
        acc[i] = f_zero();
    for (int b0 = 0; b0 < n_blocks; b0 += DIRECT_BLOCKS) {
        const int n = n_blocks - b0 < DIRECT_BLOCKS ? n_blocks - b0 : DIRECT_BLOCKS;
        unpack_scales(scales, rows, b0, n, type);
        for (int b = 0; b < n; b++) {
            ivec words[WORDS];
            unpack(words, rows, (size_t)(b0 + b) * block_bytes(type), type);
            prefetch_next(rows[0], g->row_bytes, b0 + b, type);
            for (int i = 0; i < m; i++) {
                const size_t block = (size_t)i * (size_t)n_blocks + (size_t)(b0 + b);
                const int8_t *q = g->xq.q + block * RR_QK;
                ivec even = i_set1(-offset_of(type) * g->xq.sum[block]), odd = i_set1(0);
                for (int w = 0; w < WORDS; w += 2) {
                    even = i_dot(even, words[w], word(q + 4 * w));
                    odd = i_dot(odd, words[w + 1], word(q + 4 * w + 4));
                }
                acc[i] = add_block(acc[i], i_add(even, odd), scales[b], g->xq.d[block]);
            }
        }
    }
    for (int i = 0; i < m; i++)
        f_store_n(g->y + (size_t)i * g->ldy + j, acc[i], g->n - j);
}

RR_INLINE void direct(const struct rr_gemm *g, int m, enum rr_type type)
{
    for (int j = 0; j < g->n; j += OUTS)
        direct_outs(g, j, m, type);
}

/* ---- many rows of x ---- */

/* Rows i0 .. i0 + mr - 1 of x against one or two panels; the sums so far come from y, and go
 * there. */
RR_INLINE void int_tile(const struct rr_gemm *g, const struct int_panel *p, int np, int j, int i0,
                        int mr, int offset)
{
    const size_t n_blocks = (size_t)(g->k / RR_QK),
                 first = (size_t)i0 * n_blocks + (size_t)p->first;
    const int8_t *q = g->xq.q + first * RR_QK;
    const float *d = g->xq.d + first;
    const int32_t *sum = g->xq.sum + first;
    float *y = g->y + (size_t)i0 * g->ldy + j;
    fvec acc[INT_TILE_M][2];
    for (int i = 0; i < mr; i++)
        for (int c = 0; c < np; c++)
            acc[i][c] = p->first ? f_load_n(y + (size_t)i * g->ldy + OUTS * c, g->n - j - OUTS * c)
                                 : f_zero();
    for (int b = 0; b < p->n; b++) {
        ivec s[INT_TILE_M][2];
        for (int i = 0; i < mr; i++)
            s[i][0] = s[i][1] = i_set1(-offset * sum[(size_t)i * n_blocks + (size_t)b]);
#pragma GCC unroll 8
        for (int w = 0; w < WORDS; w++)
            for (int i = 0; i < mr; i++) {
                const ivec x =
                    word(q + ((size_t)i * n_blocks + (size_t)b) * RR_QK + (size_t)(4 * w));
                for (int c = 0; c < np; c++)
                    s[i][c] = i_dot(s[i][c], p[c].words[b][w], x);
            }
        for (int i = 0; i < mr; i++)
            for (int c = 0; c < np; c++)
                acc[i][c] = add_block(acc[i][c], s[i][c], p[c].scales[b],
                                      d[(size_t)i * n_blocks + (size_t)b]);
    }
    for (int i = 0; i < mr; i++)
        for (int c = 0; c < np; c++)
            f_store_n(y + (size_t)i * g->ldy + OUTS * c, acc[i][c], g->n - j - OUTS * c);
}

RR_INLINE void int_tiles(const struct rr_gemm *g, const struct int_panel *p, int np, int j,
                         enum rr_type type)
{
    int i = 0;
    for (; i + INT_TILE_M <= g->m; i += INT_TILE_M)
        int_tile(g, p, np, j, i, INT_TILE_M, offset_of(type));
    for (; i < g->m; i++)
        int_tile(g, p, np, j, i, 1, offset_of(type));
}

RR_INLINE void gemm_ints(const struct rr_gemm *g, void *scratch, enum rr_type type)
{
    struct int_panel *p = (struct int_panel *)(void *)(((uintptr_t)scratch + 63) & ~(uintptr_t)63);
    const int n_blocks = g->k / RR_QK;
    switch (g->m) {
    case 1:
        direct(g, 1, type);
        return;
    case 2:
        direct(g, 2, type);
        return;
    case MAX_DIRECT_M:
        direct(g, MAX_DIRECT_M, type);
        return;
    default:
        break;
    }
    for (int j = 0; j < g->n; j += 2 * OUTS) {
        const int np = g->n - j > OUTS ? 2 : 1;
        for (int b0 = 0; b0 < n_blocks; b0 += CHUNK_BLOCKS) {
            const int n = n_blocks - b0 < CHUNK_BLOCKS ? n_blocks - b0 : CHUNK_BLOCKS;
            for (int c = 0; c < np; c++) {
                const unsigned char *rows[OUTS];
                p[c].first = b0;
                p[c].n = n;
                int_rows(rows, g, j + OUTS * c);
                unpack_scales(p[c].scales, rows, b0, n, type);
                for (int b = 0; b < n; b++)
                    unpack(p[c].words[b], rows, (size_t)(b0 + b) * block_bytes(type), type);
            }
            if (np == 2)
                int_tiles(g, p, 2, j, type);
            else
                int_tiles(g, p, 1, j, type);
        }
    }
}

static void INT_PREFIX(q8_0)(const struct rr_gemm *g, void *scratch)
{
    gemm_ints(g, scratch, RR_TYPE_Q8_0);
}

static void INT_PREFIX(q4_0)(const struct rr_gemm *g, void *scratch)
{
    gemm_ints(g, scratch, RR_TYPE_Q4_0);
}

static void INT_PREFIX(init)(struct rr_kernels *k)
{
    k->gemm[RR_TYPE_Q8_0] = INT_PREFIX(q8_0);
    k->gemm[RR_TYPE_Q4_0] = INT_PREFIX(q4_0);
}
