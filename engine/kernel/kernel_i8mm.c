/* aarch64 with products of 2 x 8 by 8 x 2 bytes: gemm_int.h's products, two rows of x at once. */
#include "engine/kernel/kernel.h"

#if RR_ARM
#include <arm_neon.h>
#include <string.h>

RR_TARGET_BEGIN(RR_I8MM)

#define INT_PREFIX(name) gemm_##name
#define PAIRS

RR_INLINE int32x4_t i_dot(int32x4_t acc, int32x4_t w, int32x4_t x)
{
    __asm__("sdot %0.4s, %1.16b, %2.16b" : "+w"(acc) : "w"(w), "w"(x));
    return acc;
}

/* acc, lanes 2 i + j, plus row i of x times row j of w, eight bytes each. */
RR_INLINE int32x4_t i_square(int32x4_t acc, int8x16_t x, int32x4_t w)
{
    __asm__("smmla %0.4s, %1.16b, %2.16b" : "+w"(acc) : "w"(x), "w"(w));
    return acc;
}

#include "engine/kernel/gemm_int_4.h"

struct int_panel;
RR_INLINE const int32x4_t *panel_words(const struct int_panel *p, int c, int b);

/* Words w0 .. w0 + n_w - 1 of block b against mr rows of x whose blocks begin at q: two rows of x
 * and two pairs of outputs make four squares. */
RR_INLINE void tile_dots(int32x4_t (*s)[2], const struct int_panel *p, int np, int b, int w0,
                         int n_w, const int8_t *q, int mr, size_t row)
{
    for (int i = 0; i < mr; i += 2) {
        const int second = i + 1 < mr ? i + 1 : i;
        int32x4_t sums[2][2];
        for (int c = 0; c < np; c++)
            sums[c][0] = sums[c][1] = vdupq_n_s32(0);
        for (int w = w0; w < w0 + n_w; w += 2) {
            const int8_t *from = q + 4 * (size_t)w;
            const int8x16_t x =
                vcombine_s8(vld1_s8(from + (size_t)i * row), vld1_s8(from + (size_t)second * row));
            for (int c = 0; c < np; c++)
                for (int pair = 0; pair < 2; pair++)
                    sums[c][pair] = i_square(sums[c][pair], x, panel_words(p, c, b)[w + pair]);
        }
        for (int c = 0; c < np; c++) {
            const int64x2_t a = vreinterpretq_s64_s32(sums[c][0]),
                            d = vreinterpretq_s64_s32(sums[c][1]);
            s[i][c] = vaddq_s32(s[i][c], vreinterpretq_s32_s64(vtrn1q_s64(a, d)));
            if (i + 1 < mr)
                s[i + 1][c] = vaddq_s32(s[i + 1][c], vreinterpretq_s32_s64(vtrn2q_s64(a, d)));
        }
    }
}

#define OWN_TILE_DOTS
#include "engine/kernel/gemm_int.h"

RR_INLINE const int32x4_t *panel_words(const struct int_panel *p, int c, int b)
{
    return p[c].words[b];
}

void rr_kernels_init_i8mm(struct rr_kernels *k)
{
    gemm_init(k);
}

RR_TARGET_END
#endif
