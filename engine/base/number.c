/* See number.h. strtod is not used: it obeys the host program's locale. */
#include "engine/base/number.h"

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
    if (!rr_parse_u64(&v, s + minus, n - minus, (uint64_t)INT64_MAX))
        return false;
    int64_t x = minus ? -(int64_t)v : (int64_t)v;
    if (x < min || x > max)
        return false;
    *out = x;
    return true;
}

static double scale10(double v, int e)
{
    static const double small[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                   1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                   1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    if (e >= 0 && e <= 22)
        return v * small[e];
    if (e < 0 && e >= -22)
        return v / small[-e];
    /* Beyond the exact powers: long double where it is wider, still finite-checked by the
     * caller. */
    long double x = v, p = 10;
    unsigned m = (unsigned)(e < 0 ? -e : e);
    for (; m; m >>= 1) {
        if (m & 1)
            x = e < 0 ? x / p : x * p;
        p *= p;
    }
    return (double)x;
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
    double v = scale10((double)mantissa, exponent);
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
