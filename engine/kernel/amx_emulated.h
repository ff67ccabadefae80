/* The tile instructions of kernel_amx.c and kernel_amx_attn.c as functions, for tests on machines
 * without them
 * (-DRR_AMX_EMULATED): what Intel's manual says they do, with tiles of 16 rows of 64 bytes only.
 * Included inside a target region with AVX-512. */
static _Thread_local struct {
    _Alignas(64) unsigned char rows[8][16][64];
} rr_tiles;

#undef _tile_loadconfig
#undef _tile_release
#undef _tile_zero
#undef _tile_loadd
#undef _tile_stream_loadd
#undef _tile_stored
#undef _tile_dpbf16ps
#define _tile_loadconfig(config) ((void)(config), memset(&rr_tiles, 0, sizeof rr_tiles))
#define _tile_release() ((void)0)
#define _tile_zero(t) memset(rr_tiles.rows[t], 0, sizeof rr_tiles.rows[t])
#define _tile_loadd(t, base, stride) tile_load(t, base, stride)
#define _tile_stream_loadd(t, base, stride) tile_load(t, base, stride)
#define _tile_stored(t, base, stride) tile_store(t, base, stride)
#define _tile_dpbf16ps(c, a, b) tile_products(c, a, b)

static inline void tile_load(int t, const void *base, size_t stride)
{
    for (size_t r = 0; r < 16; r++)
        memcpy(rr_tiles.rows[t][r], (const unsigned char *)base + r * stride, 64);
}

static inline void tile_store(int t, void *base, size_t stride)
{
    for (size_t r = 0; r < 16; r++)
        memcpy((unsigned char *)base + r * stride, rr_tiles.rows[t][r], 64);
}

/* TDPBF16PS: even and odd products of a row are summed apart, by fused multiply-adds, in the order
 * of k; then they are added, and their sum to c. Denormals are zero, in and out. */
static inline void tile_products(int c, int a, int b)
{
    const unsigned csr = _mm_getcsr();
    _mm_setcsr(csr | 0x8040);
    for (int m = 0; m < 16; m++) {
        __m512 even = _mm512_setzero_ps(), odd = even;
        for (int k = 0; k < 16; k++) {
            uint32_t pair;
            memcpy(&pair, rr_tiles.rows[a][m] + 4 * k, sizeof pair);
            const __m512i w = _mm512_loadu_si512(rr_tiles.rows[b][k]),
                          x = _mm512_set1_epi32((int)pair),
                          high = _mm512_set1_epi32((int)0xFFFF0000u);
            even = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_slli_epi32(x, 16)),
                                   _mm512_castsi512_ps(_mm512_slli_epi32(w, 16)), even);
            odd = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_and_si512(x, high)),
                                  _mm512_castsi512_ps(_mm512_and_si512(w, high)), odd);
        }
        const __m512 sum = _mm512_add_ps(even, odd);
        _mm512_storeu_ps(rr_tiles.rows[c][m],
                         _mm512_add_ps(_mm512_loadu_ps(rr_tiles.rows[c][m]), sum));
    }
    _mm_setcsr(csr);
}
