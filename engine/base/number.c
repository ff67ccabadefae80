/* See number.h. strtod is not used: it obeys the host program's locale. */
#include "engine/base/number.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

bool rr_parse_u64(uint64_t *out, const char *s, size_t n, uint64_t max)
{
    uint64_t v = 0;
    if (!n)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9')
            return false;
        unsigned d = (unsigned)(s[i] - '0');
        if (v > (UINT64_MAX - d) / 10)
            return false;
        v = v * 10 + d;
    }
    if (v > max)
        return false;
    *out = v;
    return true;
}

bool rr_parse_i64(int64_t *out, const char *s, size_t n, int64_t min, int64_t max)
{
    bool minus = n && s[0] == '-';
    uint64_t v;
    if (!rr_parse_u64(&v, s + minus, n - minus, (uint64_t)INT64_MAX + minus))
        return false;
    int64_t x = v > INT64_MAX ? INT64_MIN : minus ? -(int64_t)v : (int64_t)v;
    if (x < min || x > max)
        return false;
    *out = x;
    return true;
}

/* Whole numbers of up to 2048 bits, little-endian limbs: enough for (mantissa 10^e) against (f
 * 2^q), |e| <= 400. */
struct big {
    uint32_t limb[64];
    int n;
};

static void big_mul(struct big *b, uint32_t by)
{
    uint64_t carry = 0;
    for (int i = 0; i < b->n; i++) {
        carry += (uint64_t)b->limb[i] * by;
        b->limb[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry)
        b->limb[b->n++] = (uint32_t)carry;
}

static void big_make(struct big *b, uint64_t v, int tens, int twos)
{
    *b = (struct big){.limb = {(uint32_t)v, (uint32_t)(v >> 32)}, .n = v >> 32 ? 2 : v ? 1 : 0};
    for (; tens >= 9; tens -= 9)
        big_mul(b, 1000000000u);
    for (; tens > 0; tens--)
        big_mul(b, 10);
    for (; twos >= 31; twos -= 31)
        big_mul(b, 1u << 31);
    if (twos > 0)
        big_mul(b, 1u << twos);
}

/* The sign of m 10^e - f 2^q. */
static int compare(uint64_t m, int e, uint64_t f, int q)
{
    struct big a, b;
    big_make(&a, m, e > 0 ? e : 0, q < 0 ? -q : 0);
    big_make(&b, f, e < 0 ? -e : 0, q > 0 ? q : 0);
    if (a.n != b.n)
        return a.n > b.n ? 1 : -1;
    for (int i = a.n - 1; i >= 0; i--)
        if (a.limb[i] != b.limb[i])
            return a.limb[i] > b.limb[i] ? 1 : -1;
    return 0;
}

/* v = f 2^q, f of 53 bits (fewer below the normal numbers). */
static uint64_t split(double v, int *q)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    const int field = (int)(bits >> 52 & 2047);
    *q = (field ? field : 1) - 1075;
    return (bits & (((uint64_t)1 << 52) - 1)) | (uint64_t)(field != 0) << 52;
}

/* m 10^e, rounded to nearest, ties to even. A product of exact numbers where it is one (Clinger
 * 1990), else a first guess that is moved until the number lies between the halfway points to its
 * neighbours. */
static double scale10(uint64_t m, int e)
{
    static const double small[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                   1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                   1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    if (m <= (uint64_t)1 << 53 && e >= -22 && e <= 22)
        return e < 0 ? (double)m / small[-e] : (double)m * small[e];
    if (!m)
        return 0;
    double v = (double)m;
    for (int left = e < 0 ? -e : e; left; left -= left < 22 ? left : 22)
        v = e < 0 ? v / small[left < 22 ? left : 22] : v * small[left < 22 ? left : 22];
    v = v > DBL_MAX ? DBL_MAX : v;
    for (;;) {
        int q;
        const uint64_t f = split(v, &q);
        const int above = compare(m, e, 2 * f + 1, q - 1);
        if (above > 0 || (above == 0 && f & 1)) {
            v = nextafter(v, INFINITY);
            if (v > DBL_MAX)
                return v;
            continue;
        }
        /* Below a power of two the neighbour is half as far. */
        const bool power = f == (uint64_t)1 << 52 && q > -1074;
        const int below =
            f ? power ? compare(m, e, 4 * f - 1, q - 2) : compare(m, e, 2 * f - 1, q - 1) : 1;
        if (below > 0 || (below == 0 && !(f & 1)))
            return v;
        v = nextafter(v, 0);
    }
}

bool rr_parse_double(double *out, const char *s, size_t n)
{
    size_t i = 0, digits = 0;
    bool minus = n && s[0] == '-';
    uint64_t mantissa = 0;
    int exponent = 0;
    i = minus;
    for (int after_point = 0; i < n; i++) {
        if (s[i] == '.' && !after_point) {
            if (!digits || i + 1 >= n || s[i + 1] < '0' || s[i + 1] > '9')
                return false;
            after_point = 1;
            continue;
        }
        if (s[i] < '0' || s[i] > '9')
            break;
        digits++;
        if (mantissa < 900000000000000000u) {
            mantissa = mantissa * 10 + (unsigned)(s[i] - '0');
            exponent -= after_point;
        } else if (!after_point && exponent < 100000) {
            exponent++;
        }
    }
    if (!digits)
        return false;
    if (i < n && (s[i] == 'e' || s[i] == 'E')) {
        bool e_minus = ++i < n && s[i] == '-';
        if (i < n && (s[i] == '-' || s[i] == '+'))
            i++;
        uint64_t e;
        if (!rr_parse_u64(&e, s + i, n - i, 100000))
            return false;
        exponent += e_minus ? -(int)e : (int)e;
        i = n;
    }
    if (i != n)
        return false;
    if (exponent > 400)
        exponent = mantissa ? 400 : 0;
    if (exponent < -400)
        exponent = -400;
    double v = scale10(mantissa, exponent);
    if (!isfinite(v))
        return false;
    *out = minus ? -v : v;
    return true;
}

size_t rr_format_double(char out[32], double v)
{
    if (!isfinite(v)) {
        memcpy(out, "null", 5);
        return 4;
    }
    int n = 0;
    for (int digits = 15; digits <= 17; digits++) {
        double back;
        n = snprintf(out, 32, "%.*g", digits, v);
        for (int i = 0; i < n; i++)
            if (out[i] == ',')
                out[i] = '.';
        if (rr_parse_double(&back, out, (size_t)n) && back == v)
            break;
    }
    return (size_t)n;
}

/* The locale's decimal comma. */
static char *with_points(char out[32], int n)
{
    for (int i = 0; i < n && i < 31; i++)
        if (out[i] == ',')
            out[i] = '.';
    return out;
}

char *rr_format_short(char out[32], double v)
{
    return with_points(out, snprintf(out, 32, "%g", v));
}

char *rr_format_tenths(char out[32], double v)
{
    return with_points(out, snprintf(out, 32, "%.1f", v));
}
