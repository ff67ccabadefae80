/* The floor everything stands on: numbers in text, UTF-8, SHA-256, the random generator, memory,
 * cursors, errors, and files that are written whole or not at all. */
#include "tests/test.h"

#include <dirent.h>
#include <errno.h>
#include <float.h>
#include <math.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include "engine/base/check.h"
#include "engine/base/cursor.h"
#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/base/number.h"
#include "engine/base/rng.h"
#include "engine/base/sha256.h"
#include "engine/base/utf8.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* ---- numbers ---- */

Test(base, parse_u64)
{
    static const struct {
        const char *s;
        uint64_t max, value;
        bool ok;
    } rows[] = {
        {"0", 9, 0, true},
        {"9", 9, 9, true},
        {"10", 9, 0, false},
        {"007", 9, 7, true},
        {"", 9, 0, false},
        {"-1", 9, 0, false},
        {"+1", 9, 0, false},
        {" 1", 9, 0, false},
        {"1 ", 9, 0, false},
        {"1.0", 9, 0, false},
        {"0x1", 99, 0, false},
        {"18446744073709551615", UINT64_MAX, UINT64_MAX, true},
        {"18446744073709551616", UINT64_MAX, 0, false},
        {"99999999999999999999999", UINT64_MAX, 0, false},
        {"00000000000000000000000000000001", 1, 1, true},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint64_t v = 77;
        bool ok = rr_parse_u64(&v, rows[i].s, strlen(rows[i].s), rows[i].max);
        cr_assert(ok == rows[i].ok, "'%s' up to %llu: %d", rows[i].s,
                  (unsigned long long)rows[i].max, ok);
        cr_assert(v == (ok ? rows[i].value : 77), "'%s' gave %llu", rows[i].s,
                  (unsigned long long)v);
    }
    uint64_t v = 0;
    cr_assert(!rr_parse_u64(&v, "1\0", 2, 99), "a NUL was read over");
    cr_assert(rr_parse_u64(&v, "123", 2, 99) && v == 12, "a digit behind the end was read");
}

Test(base, parse_i64)
{
    static const struct {
        const char *s;
        int64_t min, max, value;
        bool ok;
    } rows[] = {
        {"-1", -1, 1, -1, true},
        {"-2", -1, 1, 0, false},
        {"2", -1, 1, 0, false},
        {"-0", -1, 1, 0, true},
        {"-", -1, 1, 0, false},
        {"--1", -9, 9, 0, false},
        {"+1", -9, 9, 0, false},
        {"", -9, 9, 0, false},
        {"9223372036854775807", INT64_MIN, INT64_MAX, INT64_MAX, true},
        {"-9223372036854775807", INT64_MIN, INT64_MAX, -INT64_MAX, true},
        {"-9223372036854775808", INT64_MIN, INT64_MAX, INT64_MIN, true},
        {"9223372036854775808", INT64_MIN, INT64_MAX, 0, false},
        {"-9223372036854775809", INT64_MIN, INT64_MAX, 0, false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        int64_t v = 77;
        bool ok = rr_parse_i64(&v, rows[i].s, strlen(rows[i].s), rows[i].min, rows[i].max);
        cr_assert(ok == rows[i].ok, "'%s': %d", rows[i].s, ok);
        cr_assert(v == (ok ? rows[i].value : 77), "'%s' gave %lld", rows[i].s, (long long)v);
    }
}

Test(base, parse_double)
{
    static const struct {
        const char *s;
        bool ok;
        double value;
    } rows[] = {
        {"0", true, 0},
        {"-0", true, 0},
        {"1", true, 1},
        {"-1.5", true, -1.5},
        {"0.1", true, 0.1},
        {"3.7", true, 3.7},
        {"1e3", true, 1000},
        {"1E+3", true, 1000},
        {"1e-3", true, 0.001},
        {"12.5e1", true, 125},
        {"1e22", true, 1e22},
        {"123456789012345", true, 123456789012345.0},
        {"0.000001", true, 0.000001},
        {"007", true, 7},
        {"1e-400", true, 0},
        {"0e500", true, 0},
        {"1000000000000000000000", true, 1e21},
        {"", false, 0},
        {"-", false, 0},
        {".", false, 0},
        {".5", false, 0},
        {"5.", false, 0},
        {"5.e1", false, 0},
        {"1e", false, 0},
        {"1e+", false, 0},
        {"1e1.5", false, 0},
        {"1,5", false, 0},
        {"1 ", false, 0},
        {" 1", false, 0},
        {"+1", false, 0},
        {"nan", false, 0},
        {"inf", false, 0},
        {"0x10", false, 0},
        {"1e309", false, 0},
        {"-1e400", false, 0},
        {"1e99999999999999999999", false, 0},
        {"5 stars", false, 0},
        {"1.2.3", false, 0},
        {"--1", false, 0},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        double v = 77;
        bool ok = rr_parse_double(&v, rows[i].s, strlen(rows[i].s));
        cr_assert(ok == rows[i].ok, "'%s': %d", rows[i].s, ok);
        cr_assert(v == (ok ? rows[i].value : 77), "'%s' gave %.17g", rows[i].s, v);
    }
}

/* The promise of number.h: within one unit in the last place of the right value, which strtod knows
 * in the "C" locale. */
Test(base, parse_double_is_close)
{
    struct rr_rng r;
    rr_rng_seed(&r, 1);
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = rr_rng_u64(&r);
        double x, v = 0;
        char text[40];
        memcpy(&x, &bits, sizeof x);
        if (!isfinite(x) || fabs(x) > 1e308 || fabs(x) < 1e-300)
            continue;
        snprintf(text, sizeof text, "%.*g", 1 + (int)rr_rng_below(&r, 20), x);
        double right = strtod(text, NULL);
        cr_assert(rr_parse_double(&v, text, strlen(text)), "%s was refused", text);
        cr_assert(v == right || v == nextafter(right, v), "%s was read as %.17g, expected %.17g",
                  text, v, right);
    }
}

/* Numbers of at most 15 digits come back as they were written, in the fewest of 15 to 17 digits. */
Test(base, format_double_short)
{
    struct rr_rng r;
    rr_rng_seed(&r, 2);
    for (int i = 0; i < 20000; i++) {
        double v = (double)(int64_t)rr_rng_below(&r, 1000000000000000u), back = 0;
        const double scale[] = {1, 10, 1e3, 1e7, 1e15, 1e22};
        v = (rr_rng_below(&r, 2) ? -v : v) / scale[rr_rng_below(&r, COUNT(scale))];
        char text[32], expected[40];
        size_t n = rr_format_double(text, v);
        snprintf(expected, sizeof expected, "%.15g", v);
        cr_assert(n == strlen(text) && strcmp(text, expected) == 0,
                  "%.17g was written %s, expected %s", v, text, expected);
        cr_assert(rr_parse_double(&back, text, n) && back == v, "%s reads back as %.17g", text,
                  back);
    }
}

/* The promise of number.h: whatever the number, reading what was written gives the same double. */
Test(base, format_double_round_trip)
{
    static const double corners[] = {
        0.1 + 0.2, 1.0 / 3, DBL_MAX, DBL_MIN, DBL_EPSILON, 5e-324, 0.19504524584647154, 1e23};
    struct rr_rng r;
    rr_rng_seed(&r, 3);
    for (int i = 0; i < 40000; i++) {
        double v = rr_rng_unit(&r), back = 77;
        uint64_t bits = rr_rng_u64(&r);
        char text[32];
        if (i < (int)COUNT(corners))
            v = corners[i];
        else if (i % 2)
            memcpy(&v, &bits, sizeof v);
        if (!isfinite(v))
            continue;
        size_t n = rr_format_double(text, v);
        cr_assert(rr_parse_double(&back, text, n), "%s was refused", text);
        cr_assert(back == v, "%.17g was written as %s and read as %.17g", v, text, back);
    }
}

/* ---- text ---- */

Test(base, utf8_round_trip)
{
    for (uint32_t cp = 0; cp <= 0x10FFFF; cp++) {
        char s[4];
        uint32_t back = 0;
        if (cp >= 0xD800 && cp <= 0xDFFF)
            continue;
        size_t n = rr_utf8_encode(s, cp);
        size_t expected = cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
        cr_assert(n == expected && rr_utf8_decode(s, n, &back) == n && back == cp,
                  "U+%04X: %zu bytes, back U+%04X", (unsigned)cp, n, (unsigned)back);
        cr_assert(rr_utf8_decode(s, n - 1, &back) == 0, "U+%04X was decoded without its last byte",
                  (unsigned)cp);
    }
}

Test(base, utf8_refused)
{
    static const char *const bad[] = {"\x80",
                                      "\xBF",
                                      "\xC0\x80",
                                      "\xC1\xBF",
                                      "\xE0\x80\x80",
                                      "\xE0\x9F\xBF",
                                      "\xED\xA0\x80",
                                      "\xED\xBF\xBF",
                                      "\xF0\x80\x80\x80",
                                      "\xF0\x8F\xBF\xBF",
                                      "\xF4\x90\x80\x80",
                                      "\xF5\x80\x80\x80",
                                      "\xFF",
                                      "\xFE",
                                      "\xC3(",
                                      "\xE2\x82(",
                                      "\xF0\x9F\x98(",
                                      "\xE2(\x82",
                                      "\xC3",
                                      "\xE2\x82"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        size_t at = 99;
        char text[16];
        cr_assert(rr_utf8_decode(bad[i], strlen(bad[i]), NULL) == 0, "sequence %zu was decoded", i);
        snprintf(text, sizeof text, "ab%s", bad[i]);
        cr_assert(!rr_utf8_valid(text, strlen(text), &at) && at == 2,
                  "sequence %zu: bad byte at %zu, expected 2", i, at);
    }
    cr_assert(rr_utf8_valid("", 0, NULL), "no bytes are not valid UTF-8");
    cr_assert(rr_utf8_valid("a\0\xC3\xA9\xF0\x9F\x98\x80", 8, NULL), "good text was refused");
    cr_assert(rr_utf8_decode("", 0, NULL) == 0, "nothing was decoded to something");
}

Test(base, latin1)
{
    char all[256], out[512];
    for (int i = 0; i < 256; i++)
        all[i] = (char)(unsigned char)i;
    size_t n = rr_utf8_from_latin1(out, all, 256), at = 0;
    cr_assert(n == 128 + 2 * 128, "%zu bytes", n);
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t cp = 0;
        at += rr_utf8_decode(out + at, n - at, &cp);
        cr_assert(cp == i, "byte %u became U+%04X", (unsigned)i, (unsigned)cp);
    }
}

/* ---- SHA-256: vectors of FIPS 180-4 and NIST's examples ---- */

Test(base, sha256)
{
    static const struct {
        const char *text, *hex;
        int times;
    } rows[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", 1},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", 1},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1", 1},
        {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrl"
         "mnopqrsmnopqrstnopqrstu",
         "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1", 1},
        {"aaaaaaaaaa", "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0", 100000},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct rr_sha256 s;
        char hex[65];
        rr_sha256_init(&s);
        for (int k = 0; k < rows[i].times; k++)
            rr_sha256_add(&s, rows[i].text, strlen(rows[i].text));
        rr_sha256_hex(&s, hex);
        cr_assert(strcmp(hex, rows[i].hex) == 0, "row %zu: %s, expected %s", i, hex, rows[i].hex);
    }
}

Test(base, sha256_in_parts)
{
    char text[300];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)('a' + i % 26);
    for (size_t n = 0; n <= sizeof text; n++) {
        struct rr_sha256 whole, parts;
        char hex[65], hex_parts[65];
        rr_sha256_init(&whole);
        rr_sha256_add(&whole, text, n);
        rr_sha256_hex(&whole, hex);
        rr_sha256_init(&parts);
        for (size_t at = 0, step = 1; at < n; at += step, step = step % 71 + 1)
            rr_sha256_add(&parts, text + at, step < n - at ? step : n - at);
        rr_sha256_hex(&parts, hex_parts);
        cr_assert(strcmp(hex, hex_parts) == 0, "%zu bytes: in parts %s, whole %s", n, hex_parts,
                  hex);
    }
}

/* ---- random numbers ---- */

/* xoshiro256** from the state 1, 2, 3, 4, as its authors' reference program prints it. */
Test(base, rng_reference)
{
    static const uint64_t expected[] = {
        11520u, 0u, 1509978240u, 1215971899390074240u, 1216172134540287360u, 607988272756665600u};
    struct rr_rng r = {{1, 2, 3, 4}};
    for (size_t i = 0; i < COUNT(expected); i++) {
        uint64_t v = rr_rng_u64(&r);
        cr_assert(v == expected[i], "number %zu is %llu, expected %llu", i, (unsigned long long)v,
                  (unsigned long long)expected[i]);
    }
}

Test(base, rng_deterministic)
{
    struct rr_rng a, b, c, s0, s1, s0_again;
    int differ = 0, streams_differ = 0;
    rr_rng_seed(&a, 42);
    rr_rng_seed(&b, 42);
    rr_rng_seed(&c, 43);
    rr_rng_stream(&s0, 42, 0);
    rr_rng_stream(&s1, 42, 1);
    rr_rng_stream(&s0_again, 42, 0);
    for (int i = 0; i < 100; i++) {
        uint64_t x = rr_rng_u64(&a), y = rr_rng_u64(&s0);
        cr_assert(x == rr_rng_u64(&b), "number %d of one seed differs", i);
        cr_assert(y == rr_rng_u64(&s0_again), "number %d of one stream differs", i);
        differ += x != rr_rng_u64(&c);
        streams_differ += y != rr_rng_u64(&s1);
    }
    cr_assert(differ == 100 && streams_differ == 100,
              "other seeds or streams give the same numbers");
}

Test(base, rng_below)
{
    struct rr_rng r;
    static const uint64_t sizes[] = {
        1, 2, 3, 7, 10, 1000, (uint64_t)1 << 32, ((uint64_t)1 << 63) + 1, UINT64_MAX};
    rr_rng_seed(&r, 5);
    for (size_t s = 0; s < COUNT(sizes); s++)
        for (int i = 0; i < 1000; i++) {
            uint64_t v = rr_rng_below(&r, sizes[s]);
            cr_assert(v < sizes[s], "%llu is not below %llu", (unsigned long long)v,
                      (unsigned long long)sizes[s]);
        }
    /* 70000 draws of 7: each about 10000 times; six standard deviations are 560. */
    int count[7] = {0};
    for (int i = 0; i < 70000; i++)
        count[rr_rng_below(&r, 7)]++;
    for (int i = 0; i < 7; i++)
        cr_assert(count[i] > 9440 && count[i] < 10560, "%d was drawn %d times of 70000", i,
                  count[i]);
    /* Without rejection, numbers under 2^63 - 1 would come up twice as often as the others: 2/3,
     * not 1/2. */
    int low = 0;
    for (int i = 0; i < 10000; i++)
        low += rr_rng_below(&r, (uint64_t)3 << 62) < (uint64_t)3 << 61;
    cr_assert(low > 4700 && low < 5300, "the lower half was drawn %d times of 10000", low);
}

Test(base, rng_unit_and_shuffle)
{
    struct rr_rng r;
    double sum = 0;
    rr_rng_seed(&r, 6);
    for (int i = 0; i < 10000; i++) {
        double u = rr_rng_unit(&r);
        cr_assert(u >= 0 && u < 1, "%g is not in [0, 1)", u);
        sum += u;
    }
    cr_assert(fabs(sum / 10000 - 0.5) < 0.02, "the mean is %g", sum / 10000);
    int first[5] = {0};
    for (int k = 0; k < 5000; k++) {
        int a[5] = {0, 1, 2, 3, 4}, seen = 0;
        rr_rng_shuffle(&r, a, 5);
        for (int i = 0; i < 5; i++)
            seen |= 1 << a[i];
        cr_assert(seen == 31, "a shuffle lost an element");
        first[a[0]]++;
    }
    for (int i = 0; i < 5; i++)
        cr_assert(first[i] > 800 && first[i] < 1200, "%d came first %d times of 5000", i, first[i]);
    int one[1] = {9};
    rr_rng_shuffle(&r, one, 1);
    rr_rng_shuffle(&r, one, 0);
    cr_assert(one[0] == 9, "a shuffle of one element changed it");
}

/* ---- memory ---- */

Test(base, allocation_overflow)
{
    struct rr_arena arena = {0};
    struct rr_buf b = {0};
    int *grown = NULL;
    size_t cap = 0, product = 77;
    uint64_t sum = 77;
    cr_assert(rr_alloc(SIZE_MAX / 4 + 1, 8) == NULL, "an overflowing product was allocated");
    cr_assert(rr_arena_alloc(&arena, SIZE_MAX / 4 + 1, 8) == NULL,
              "an overflowing product was allocated");
    cr_assert(rr_arena_alloc(&arena, SIZE_MAX - 3, 1) == NULL, "all of memory was allocated");
    cr_assert(rr_arena_copy(&arena, "", SIZE_MAX) == NULL, "all of memory was copied");
    cr_assert(rr_alloc_aligned(SIZE_MAX - 1) == NULL, "all of memory was allocated");
    cr_assert(!rr_grow(&grown, &cap, SIZE_MAX / 2, sizeof *grown) && grown == NULL && cap == 0,
              "a failed growth changed something");
    rr_buf_add(&b, "x", SIZE_MAX);
    cr_assert(b.failed && b.n == 0, "an overflowing append did not fail");
    rr_buf_add(&b, "x", 1);
    cr_assert(b.failed && b.n == 0, "a failed buffer took more");
    rr_buf_clear(&b);
    rr_buf_add(&b, "x", 1);
    cr_assert(!b.failed && b.n == 1, "a cleared buffer does not work again");
    cr_assert(!rr_mul_size(&product, SIZE_MAX / 2 + 1, 2) && product == 77, "a product overflowed");
    cr_assert(!rr_add_u64(&sum, UINT64_MAX, 1) && sum == 77, "a sum overflowed");
    cr_assert(rr_add_u64(&sum, UINT64_MAX - 1, 1) && sum == UINT64_MAX,
              "the largest sum was refused");
    cr_assert(rr_mul_u64(&sum, UINT64_MAX, 1) && sum == UINT64_MAX,
              "the largest product was refused");
    rr_buf_free(&b);
    rr_arena_free(&arena);
}

Test(base, arena)
{
    struct rr_arena a = {0}, other = {0};
    unsigned char *blocks[200];
    for (size_t i = 0; i < 200; i++) {
        const size_t n = i * i % 5000;
        blocks[i] = rr_arena_zalloc(&a, n, 1);
        cr_assert(blocks[i] != NULL && (uintptr_t)blocks[i] % 16 == 0,
                  "block %zu is missing or not aligned", i);
        for (size_t k = 0; k < n; k++)
            cr_assert(blocks[i][k] == 0, "block %zu is not zero", i);
        if (n)
            memset(blocks[i], (int)i, n);
    }
    char *copy = rr_arena_copy(&other, "a\0b", 3);
    cr_assert(memcmp(copy, "a\0b", 4) == 0, "the copy differs or is not terminated");
    const size_t sum = a.n_bytes + other.n_bytes;
    rr_arena_join(&a, &other);
    cr_assert(other.head == NULL && other.n_bytes == 0 && a.n_bytes == sum,
              "after a join: %zu bytes", a.n_bytes);
    cr_assert(memcmp(copy, "a\0b", 4) == 0, "the copy changed when its arena was joined");
    for (size_t i = 0; i < 200; i++)
        for (size_t k = 0; k < i * i % 5000; k++)
            cr_assert(blocks[i][k] == (unsigned char)i, "block %zu was overwritten", i);
    rr_arena_free(&a);
    cr_assert(a.head == NULL && a.n_bytes == 0, "a freed arena is not empty");
}

Test(base, buffer)
{
    struct rr_buf b = {0};
    char expected[3000] = "";
    for (int i = 0; i < 200; i++) {
        rr_buf_printf(&b, "%d,", i);
        snprintf(expected + strlen(expected), 16, "%d,", i);
    }
    cr_assert(!b.failed && b.n == strlen(expected) && strcmp(b.data, expected) == 0,
              "the text is '%s'", b.data);
    rr_buf_printf(&b, "%2000d", 5); /* longer than the inner buffer */
    cr_assert(b.n == strlen(expected) + 2000 && b.data[b.n] == 0 && b.data[b.n - 1] == '5',
              "a long line came to %zu bytes", b.n);
    rr_buf_clear(&b);
    cr_assert(b.n == 0 && b.data[0] == 0, "a cleared buffer holds text");
    rr_buf_add(&b, "a\0b", 3);
    cr_assert(b.n == 3 && memcmp(b.data, "a\0b", 4) == 0, "a zero byte was lost");
    rr_buf_free(&b);
    cr_assert(b.data == NULL && b.n == 0, "a freed buffer holds memory");
}

Test(base, cursor)
{
    static const unsigned char bytes[] = {1, 0x34, 0x12, 0, 0, 8, 7,    6,    5,
                                          4, 3,    2,    1, 0, 0, 0x80, 0x3F, 9};
    struct rr_cursor c = rr_cursor_make(bytes, sizeof bytes);
    cr_assert(rr_cursor_u8(&c) == 1 && rr_cursor_u32(&c) == 0x1234,
              "little-endian numbers are read otherwise");
    cr_assert(rr_cursor_u64(&c) == 0x0102030405060708, "a 64-bit number is read otherwise");
    cr_assert(rr_cursor_f32(&c) == 1.0F && rr_cursor_left(&c) == 1, "a float is read otherwise");
    cr_assert(rr_cursor_u32(&c) == 0 && c.overrun && c.at == 17, "a read past the end: at %zu",
              c.at);
    cr_assert(rr_cursor_u8(&c) == 0 && c.at == 17, "reading goes on after an overrun");
    c = rr_cursor_make(bytes, sizeof bytes);
    cr_assert(rr_cursor_take(&c, UINT64_MAX) == NULL && c.overrun, "2^64-1 bytes were taken");
    c = rr_cursor_make(bytes, sizeof bytes);
    cr_assert(rr_cursor_take(&c, sizeof bytes) == bytes && !c.overrun && rr_cursor_left(&c) == 0,
              "all bytes could not be taken");
    cr_assert(rr_cursor_take(&c, 0) == bytes + sizeof bytes && !c.overrun,
              "no bytes could not be taken at the end");
}

/* ---- errors ---- */

Test(base, error_format)
{
    static const struct {
        struct rr_error e;
        const char *line;
    } rows[] = {
        {{.status = -65, .code = "C", .file = "f", .object = "o", .offset = 7, .text = "t"},
         "error[C] f: o at byte 7: t"},
        {{.status = -65, .code = "C", .file = "f", .object = "o", .offset = -1, .text = "t"},
         "error[C] f: o: t"},
        {{.status = -65, .code = "C", .file = "f", .offset = -1, .text = "t"}, "error[C] f: t"},
        {{.status = -65, .code = "C", .file = "f", .offset = 0, .text = "t"},
         "error[C] f: at byte 0: t"},
        {{.status = -65,
          .code = "C",
          .file = "f",
          .offset = -1,
          .line = 3,
          .column = 4,
          .text = "t"},
         "error[C] f:3:4: t"},
        {{.status = -65,
          .code = "C",
          .file = "f",
          .object = "o",
          .offset = -1,
          .line = 3,
          .text = "t"},
         "error[C] f:3: o: t"},
        {{.status = -65, .code = "C", .offset = -1, .text = "t"}, "error[C] t"},
        {{.status = -65, .code = "C", .object = "o", .offset = -1, .text = "t"}, "error[C] o: t"},
        {{.status = -71, .offset = -1, .text = "t"}, "error[out of memory] t"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char out[200], small[8];
        size_t n = rr_error_format(out, sizeof out, &rows[i].e);
        cr_assert(strcmp(out, rows[i].line) == 0 && n == strlen(out),
                  "row %zu: '%s', expected '%s'", i, out, rows[i].line);
        n = rr_error_format(small, sizeof small, &rows[i].e);
        cr_assert(n == strlen(out) && strncmp(small, out, 7) == 0 && small[7] == 0,
                  "row %zu: cut to '%s', %zu", i, small, n);
    }
}

/* Untrusted bytes never reach a message raw, and one error is one line. */
Test(base, errors_are_printable)
{
    struct rr_error err = {0};
    char bytes[300];
    cr_assert(strcmp(rr_show("a\n\xFF~", 4).s, "a\\x0A\\xFF~") == 0, "shown as '%s'",
              rr_show("a\n\xFF~", 4).s);
    for (size_t n = 0; n <= 256; n++) {
        for (size_t i = 0; i < n; i++)
            bytes[i] = (char)(n % 2 ? 'x' : (int)(i % 2 ? 'y' : 200));
        size_t len = strlen(rr_show(bytes, n).s);
        cr_assert(len <= 67, "%zu bytes are shown in %zu characters", n, len);
    }
    int rc =
        rr_fail(&err, RR_ERR_DATA, "CODE", RR_AT_BYTE("a\nb", "c\nd", 5), "e\nf\x1B%s", "g\th");
    cr_assert(rc == RR_ERR_DATA && err.status == rc && err.offset == 5, "%d %d %lld", rc,
              err.status, err.offset);
    cr_assert(strcmp(err.file, "a b") == 0, "file '%s'", err.file);
    cr_assert(strcmp(err.object, "c\\x0Ad") == 0, "object '%s'", err.object);
    cr_assert(strcmp(err.text, "e f g h") == 0, "text '%s'", err.text);
    cr_assert(rr_fail_(NULL, RR_ERR_IO, "CODE", RR_NOWHERE, "x") == RR_ERR_IO,
              "without an error to fill, the status is lost");
    memset(bytes, 'z', sizeof bytes - 1);
    bytes[sizeof bytes - 1] = 0;
    rc = rr_fail(&err, RR_ERR_DATA, bytes, RR_AT_OBJECT(bytes, bytes), "%s%9000d", bytes, 7);
    cr_assert(rc == RR_ERR_DATA && strlen(err.code) == sizeof err.code - 1 &&
                  strlen(err.file) == sizeof err.file - 1 && strlen(err.object) == 67 &&
                  strlen(err.text) == sizeof err.text - 1,
              "long parts: %zu %zu %zu %zu", strlen(err.code), strlen(err.file), strlen(err.object),
              strlen(err.text));
    for (int s = -200; s <= 1; s++)
        cr_assert(rr_status_text(s) != NULL && rr_status_text(s)[0], "status %d has no text", s);
}

/* ---- files ---- */

static int entries(const char *dir)
{
    DIR *d = opendir(dir);
    int n = 0;
    for (const struct dirent *e; d && (e = readdir(d)) != NULL;)
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    if (d)
        closedir(d);
    return n;
}

static void assert_holds(const char *path, const char *text)
{
    size_t n;
    unsigned char *bytes = read_file(path, &n);
    cr_assert(n == strlen(text) && memcmp(bytes, text, n) == 0, "%s holds %zu bytes, expected '%s'",
              path, n, text);
    free(bytes);
}

Test(base, file_commit)
{
    const char *dir = temporary_dir(), *path = path_in(dir, "f");
    struct rr_out out;
    struct rr_error err = {0};
    for (int round = 0; round < 2; round++) {
        char text[32];
        snprintf(text, sizeof text, "round %d", round);
        int rc = rr_out_open(&out, path, &err);
        cr_assert(rc == RR_OK, "open: %s", err.text);
        fputs(text, out.f);
        fflush(out.f);
        if (round)
            assert_holds(path, "round 0"); /* until the commit, the old file */
        else
            cr_assert(!rr_path_exists(path), "the file is there before it is whole");
        rc = rr_out_commit(&out, &err);
        cr_assert(rc == RR_OK, "commit: %s", err.text);
        assert_holds(path, text);
        cr_assert(entries(dir) == 1, "%d files, expected 1", entries(dir));
    }
}

Test(base, file_close_without_commit)
{
    const char *dir = temporary_dir(), *path = path_in(dir, "f");
    struct rr_out out;
    struct rr_error err = {0};
    write_file(path, "old", 3);
    cr_assert(rr_out_open(&out, path, &err) == RR_OK, "open: %s", err.text);
    fputs("new", out.f);
    fflush(out.f);
    cr_assert(entries(dir) == 2, "%d files while writing, expected 2", entries(dir));
    rr_out_close(&out);
    assert_holds(path, "old");
    cr_assert(entries(dir) == 1, "%d files, expected 1", entries(dir));
    rr_out_close(&out); /* again: nothing */
}

/* Two writers of one file do not disturb each other; the last commit wins, whole. */
Test(base, file_two_writers)
{
    const char *dir = temporary_dir(), *path = path_in(dir, "f");
    struct rr_out a, b;
    struct rr_error err = {0};
    cr_assert(rr_out_open(&a, path, &err) == RR_OK && rr_out_open(&b, path, &err) == RR_OK,
              "open: %s", err.text);
    fputs("first", a.f);
    fputs("second", b.f);
    cr_assert(rr_out_commit(&b, &err) == RR_OK, "commit: %s", err.text);
    assert_holds(path, "second");
    cr_assert(rr_out_commit(&a, &err) == RR_OK, "commit: %s", err.text);
    assert_holds(path, "first");
    cr_assert(entries(dir) == 1, "%d files, expected 1", entries(dir));
}

/* A write that fails half-way (here: a limit on the size of files, elsewhere a full disk). */
Test(base, file_failed_write)
{
    const char *dir = temporary_dir(), *path = path_in(dir, "f");
    struct rr_out out;
    struct rr_error err = {0};
    struct rlimit old, small;
    write_file(path, "old", 3);
    signal(SIGXFSZ, SIG_IGN);
    cr_assert(getrlimit(RLIMIT_FSIZE, &old) == 0, "getrlimit failed");
    small = old;
    small.rlim_cur = 4096;
    for (int long_write = 0; long_write < 2; long_write++) {
        cr_assert(rr_out_open(&out, path, &err) == RR_OK, "open: %s", err.text);
        cr_assert(setrlimit(RLIMIT_FSIZE, &small) == 0, "setrlimit failed");
        for (int i = 0; i < (long_write ? 100000 : 5000);
             i++) /* the short one fails only in the last flush */
            fputc('x', out.f);
        int rc = rr_out_commit(&out, &err);
        setrlimit(RLIMIT_FSIZE, &old);
        cr_assert(rc == RR_ERR_IO && strcmp(err.code, "WRITE_FAILED") == 0, "commit: %d %s", rc,
                  err.code);
        cr_assert(strcmp(err.file, path) == 0, "the error names '%s'", err.file);
        assert_holds(path, "old");
        cr_assert(entries(dir) == 1, "%d files, expected 1: no temporary may stay", entries(dir));
    }
}

Test(base, file_cannot_write)
{
    const char *dir = temporary_dir();
    struct rr_out out;
    struct rr_error err = {0};
    int rc = rr_out_open(&out, dir, &err);
    cr_assert(rc == RR_ERR_OPEN && strcmp(err.code, "NOT_A_FILE") == 0, "a directory: %d %s", rc,
              err.code);
    cr_assert(strstr(err.text, "directory") != NULL && strcmp(err.file, dir) == 0,
              "a directory: '%s' '%s'", err.file, err.text);
    rc = rr_out_open(&out, path_in(dir, "absent/f"), &err);
    cr_assert(rc == RR_ERR_OPEN && strcmp(err.code, "CANNOT_WRITE") == 0, "no such folder: %d %s",
              rc, err.code);
    cr_assert(out.f == NULL && out.path == NULL && out.temporary == NULL,
              "a failed open holds something");
    rr_out_close(&out);
    cr_assert(entries(dir) == 0, "%d files were left", entries(dir));
}

/* When the place turns into a directory while writing, the rename fails: an error, and no
 * temporary. */
Test(base, file_cannot_rename)
{
    const char *dir = temporary_dir(), *path = path_in(dir, "f");
    struct rr_out out;
    struct rr_error err = {0};
    cr_assert(rr_out_open(&out, path, &err) == RR_OK, "open: %s", err.text);
    fputs("new", out.f);
    cr_assert(mkdir(path, 0777) == 0, "mkdir failed");
    int rc = rr_out_commit(&out, &err);
    cr_assert(rc == RR_ERR_IO && strcmp(err.code, "WRITE_FAILED") == 0, "commit: %d %s", rc,
              err.code);
    cr_assert(entries(dir) == 1, "%d entries, expected 1", entries(dir));
}

Test(base, file_through_a_device)
{
    struct rr_out out;
    struct rr_error err = {0};
    cr_assert(rr_out_open(&out, "/dev/null", &err) == RR_OK, "open: %s", err.text);
    fputs("text", out.f);
    cr_assert(rr_out_commit(&out, &err) == RR_OK, "commit: %s", err.text);
    struct stat st;
    cr_assert(stat("/dev/null", &st) == 0 && S_ISCHR(st.st_mode),
              "/dev/null was replaced by a file");
}

Test(base, file_map)
{
    const char *dir = temporary_dir();
    struct rr_map map;
    struct rr_error err = {0};
    write_file(path_in(dir, "f"), "abc", 3);
    write_file(path_in(dir, "empty"), "", 0);
    cr_assert(rr_map_open(&map, path_in(dir, "f"), &err) == RR_OK, "open: %s", err.text);
    cr_assert(map.size == 3 && memcmp(map.data, "abc", 3) == 0, "%zu bytes", map.size);
    rr_map_close(&map);
    cr_assert(map.size == 0 && map.data == NULL, "a closed map holds %zu bytes", map.size);
    cr_assert(rr_map_open(&map, path_in(dir, "empty"), &err) == RR_OK && map.size == 0 && map.data,
              "an empty file: %s", err.text);
    rr_map_close(&map);
    int rc = rr_map_open(&map, dir, &err);
    cr_assert(rc == RR_ERR_OPEN && strcmp(err.code, "NOT_A_FILE") == 0, "a directory: %d %s", rc,
              err.code);
    rc = rr_map_open(&map, path_in(dir, "absent"), &err);
    cr_assert(rc == RR_ERR_OPEN && strcmp(err.code, "CANNOT_OPEN") == 0, "absent: %d %s", rc,
              err.code);
    cr_assert(mkfifo(path_in(dir, "fifo"), 0666) == 0, "mkfifo failed: %s", strerror(errno));
    rc = rr_map_open(&map, path_in(dir, "fifo"), &err); /* must not wait for a writer */
    cr_assert(rc == RR_ERR_OPEN && strcmp(err.code, "NOT_A_FILE") == 0, "a pipe: %d %s", rc,
              err.code);
    cr_assert(rr_path_is_dir(dir) && !rr_path_is_dir(path_in(dir, "f")) &&
                  !rr_path_exists(path_in(dir, "absent")),
              "paths");
    char *joined = rr_path_join("a", "b"), *slash = rr_path_join("a/", "b"),
         *empty = rr_path_join("", "b");
    cr_assert(!strcmp(joined, "a/b") && !strcmp(slash, "a/b") && !strcmp(empty, "b"),
              "'%s' '%s' '%s'", joined, slash, empty);
    rr_free(joined);
    rr_free(slash);
    rr_free(empty);
}
