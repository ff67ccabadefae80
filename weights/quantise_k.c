/* Rows of float32 as blocks of the K types. The formats fix what a block means (type.h), not how
 * its scales are chosen: here each group tries some scales and takes the one with the least
 * weighted squares, solved for exactly once the integers are rounded. A number's weight is the
 * block's root mean square plus its own size. */
#include <math.h>
#include <string.h>
#include "weights/quantise.h"

#define GUESSES 20

/* The nearest whole number, halves to even; |x| < 2^22. A function call would not vectorise. */
static inline float nearest(float x)
{
    return (x + 12582912.0f) - 12582912.0f;
}

static inline float limit(float x, float low, float high)
{
    x = x < low ? low : x;
    return x > high ? high : x;
}

static float largest(const float *x, int n)
{
    float most = 0;
    for (int i = 0; i < n; i++)
        most = fabsf(x[i]) > fabsf(most) ? x[i] : most;
    return most;
}

/* w[RR_QK_K] of a block; false: a number is not finite, or larger than any K type holds. */
static bool weigh(float *w, const float *x)
{
    float squares = 0;
    for (int i = 0; i < RR_QK_K; i++)
        squares += x[i] * x[i];
    const float mean = sqrtf(squares / RR_QK_K);
    for (int i = 0; i < RR_QK_K; i++)
        w[i] = mean + fabsf(x[i]);
    return isfinite(squares) && fabsf(largest(x, RR_QK_K)) < 65504.0f * 128 * 32;
}

/* The half nearest to x, and what it is worth; where halves are coarse the one above it, or the
 * multiples of it would not reach. False: too large. */
static bool to_half(uint16_t *half, float *worth, float x)
{
    *half = rr_f32_to_f16(x);
    *worth = rr_f16_to_f32(*half);
    if (!(*half & 0x7C00) && fabsf(*worth) < fabsf(x))
        *worth = rr_f16_to_f32(++*half);
    return isfinite(*worth);
}

static inline float over(float x, float by)
{
    return by != 0 ? x / by : 0;
}

/* s with little w (x - s q)^2 for q = x / s rounded into -n .. n - 1. */
static float best_scale(const float *x, const float *w, int len, float n)
{
    const float most = largest(x, len);
    float best = 0, gain = 0;
    for (int k = -GUESSES / 2; k <= GUESSES / 2 && most != 0; k++) {
        const float by = -(n + 0.1f * (float)k) / most;
        float xq = 0, qq = 0;
        for (int i = 0; i < len; i++) {
            const float q = limit(nearest(by * x[i]), -n, n - 1);
            xq += w[i] * x[i] * q;
            qq += w[i] * q * q;
        }
        if (qq > 0 && xq * xq > gain * qq) {
            gain = xq * xq / qq;
            best = xq / qq;
        }
    }
    return best;
}

bool rr_store_q6_k(unsigned char *out, const float *x)
{
    enum { GROUPS = RR_QK_K / 16 };
    struct rr_block_q6_k b;
    float w[RR_QK_K], scales[GROUPS], d;
    memset(&b, 0, sizeof b);
    if (!weigh(w, x))
        return false;
    for (int g = 0; g < GROUPS; g++)
        scales[g] = best_scale(x + 16 * g, w + 16 * g, 16, 32);
    if (!to_half(&b.d, &d, largest(scales, GROUPS) / -128))
        return false;
    for (int g = 0; g < GROUPS; g++) {
        b.scales[g] = (int8_t)nearest(limit(over(scales[g], d), -128, 127));
        scales[g] = over(1, d * b.scales[g]);
    }
    for (int i = 0; i < RR_QK_K; i++) {
        const int half = i / 128, j = i % 128 / 32, l = i % 32;
        const unsigned q = (unsigned)(nearest(limit(x[i] * scales[i / 16], -32, 31)) + 32);
        b.ql[64 * half + 32 * (j % 2) + l] |= (uint8_t)((q & 15) << (4 * (j / 2)));
        b.qh[32 * half + l] |= (uint8_t)((q >> 4) << (2 * j));
    }
    memcpy(out, &b, sizeof b);
    return true;
}

struct line {
    float scale, least; /* x ~ scale q - least; neither below 0 */
};

/* The line through what q is for x by least squares of 32 numbers. */
static struct line fit(const float *x, const float *w, const float *q)
{
    float sum = 0, sum_q = 0, sum_qq = 0, sum_x = 0, sum_xq = 0;
    for (int i = 0; i < 32; i++) {
        sum += w[i];
        sum_q += w[i] * q[i];
        sum_qq += w[i] * q[i] * q[i];
        sum_x += w[i] * x[i];
        sum_xq += w[i] * x[i] * q[i];
    }
    const float det = sum * sum_qq - sum_q * sum_q;
    struct line l = {0, 0};
    if (det > 0) {
        l.scale = (sum * sum_xq - sum_q * sum_x) / det;
        l.least = (sum_q * sum_xq - sum_qq * sum_x) / det;
    }
    if (l.least < 0 || det <= 0) { /* no number above 0 can be the least */
        l.least = 0;
        l.scale = over(sum_xq, sum_qq);
    }
    return l;
}

/* A line for q in 0 .. n with little w (x - scale q + least)^2. */
static struct line best_line(const float *x, const float *w, float n)
{
    float low = 0, high = x[0], error = INFINITY;
    for (int i = 0; i < 32; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    struct line best = {0, -low};
    for (int k = 0; k <= GUESSES && high > low; k++) {
        const float by = (n - 1 + 0.1f * (float)k) / (high - low);
        float q[32], off = 0;
        for (int i = 0; i < 32; i++)
            q[i] = limit(nearest(limit(by * (x[i] - low), 0, n + 1)), 0, n);
        const struct line l = fit(x, w, q);
        for (int i = 0; i < 32; i++) {
            const float e = x[i] - l.scale * q[i] + l.least;
            off += w[i] * e * e;
        }
        if (off < error && l.scale >= 0) {
            error = off;
            best = l;
        }
    }
    return best;
}

/* Group g's six-bit scale and least value where Q4_K and Q5_K keep them. */
static void put_six_bits(uint8_t *scales, int g, unsigned s, unsigned m)
{
    if (g < 4) {
        scales[g] |= (uint8_t)s;
        scales[4 + g] |= (uint8_t)m;
        return;
    }
    scales[4 + g] = (uint8_t)((s & 15) | (m & 15) << 4);
    scales[g - 4] |= (uint8_t)(s >> 4 << 6);
    scales[g] |= (uint8_t)(m >> 4 << 6);
}

/* What Q4_K and Q5_K share: two halves, twelve bytes of scales, and q[RR_QK_K] in 0 .. n. */
static bool store_lines(uint16_t halves[2], uint8_t *scales, uint8_t *q, const float *x, float n)
{
    enum { GROUPS = RR_QK_K / 32 };
    struct line lines[GROUPS];
    float w[RR_QK_K], most[2] = {0, 0}, d, d_min;
    if (!weigh(w, x))
        return false;
    for (int g = 0; g < GROUPS; g++) {
        lines[g] = best_line(x + 32 * g, w + 32 * g, n);
        most[0] = lines[g].scale > most[0] ? lines[g].scale : most[0];
        most[1] = lines[g].least > most[1] ? lines[g].least : most[1];
    }
    if (!to_half(&halves[0], &d, most[0] / 63) || !to_half(&halves[1], &d_min, most[1] / 63))
        return false;
    for (int g = 0; g < GROUPS; g++) {
        const float s = nearest(limit(over(lines[g].scale, d), 0, 63)),
                    m = nearest(limit(over(lines[g].least, d_min), 0, 63));
        const float by = over(1, d * s);
        put_six_bits(scales, g, (unsigned)s, (unsigned)m);
        for (int i = 32 * g; i < 32 * g + 32; i++)
            q[i] = (uint8_t)nearest(limit((x[i] + d_min * m) * by, 0, n));
    }
    return true;
}

/* Number l of group g: a nibble of q, the low ones of even groups. */
static void put_nibbles(uint8_t *out, const uint8_t *q)
{
    for (int i = 0; i < RR_QK_K; i++) {
        const int g = i / 32, l = i % 32;
        out[32 * (g / 2) + l] |= (uint8_t)((q[i] & 15) << (4 * (g % 2)));
    }
}

bool rr_store_q4_k(unsigned char *out, const float *x)
{
    struct rr_block_q4_k b;
    uint16_t halves[2];
    uint8_t q[RR_QK_K];
    memset(&b, 0, sizeof b);
    if (!store_lines(halves, b.scales, q, x, 15))
        return false;
    b.d = halves[0];
    b.d_min = halves[1];
    put_nibbles(b.q, q);
    memcpy(out, &b, sizeof b);
    return true;
}

bool rr_store_q5_k(unsigned char *out, const float *x)
{
    struct rr_block_q5_k b;
    uint16_t halves[2];
    uint8_t q[RR_QK_K];
    memset(&b, 0, sizeof b);
    if (!store_lines(halves, b.scales, q, x, 31))
        return false;
    b.d = halves[0];
    b.d_min = halves[1];
    put_nibbles(b.q, q);
    for (int i = 0; i < RR_QK_K; i++)
        b.high[i % 32] |= (uint8_t)((q[i] >> 4) << (i / 32));
    memcpy(out, &b, sizeof b);
    return true;
}
