/* The JSON reader and writer: what is valid, what is refused at which byte, and that reading what
 * was written gives the same. */
#include "tests/test.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "engine/base/json.h"
#include "engine/base/limits.h"
#include "engine/base/status.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static struct rr_json *parse_ok(struct rr_arena *arena, const char *text, size_t n)
{
    struct rr_json *root;
    struct rr_error err = {0};
    int rc = rr_json_parse(&root, arena, text, n, "t.json", 0, &err);
    cr_assert(rc == RR_OK, "'%s' was refused: byte %lld, %s", text, err.offset, err.text);
    return root;
}

Test(json, accepts)
{
    static const struct {
        const char *text;
        enum rr_json_type type;
        size_t n_children;
    } rows[] = {
        {"null", RR_JSON_NULL, 0},
        {" true ", RR_JSON_BOOL, 0},
        {"\t\r\nfalse", RR_JSON_BOOL, 0},
        {"0", RR_JSON_NUMBER, 0},
        {"-0", RR_JSON_NUMBER, 0},
        {"1e5", RR_JSON_NUMBER, 0},
        {"1E+5", RR_JSON_NUMBER, 0},
        {"-1.25e-3", RR_JSON_NUMBER, 0},
        {"\"\"", RR_JSON_STRING, 0},
        {"\"\xF0\x9F\x98\x80\x7F\"", RR_JSON_STRING, 0},
        {"[]", RR_JSON_ARRAY, 0},
        {"[ ]", RR_JSON_ARRAY, 0},
        {"[1,\"2\",[3],{}]", RR_JSON_ARRAY, 4},
        {"{}", RR_JSON_OBJECT, 0},
        {"{\"\":1,\" \":2}", RR_JSON_OBJECT, 2},
        {"{\"a\" : { \"a\" : 1 } , \"b\":[{\"a\":1},{\"a\":2}]}", RR_JSON_OBJECT, 2},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct rr_arena arena = {0};
        const struct rr_json *v = parse_ok(&arena, rows[i].text, strlen(rows[i].text));
        cr_assert(v->type == rows[i].type, "'%s' is %s", rows[i].text, rr_json_type_name(v->type));
        cr_assert(v->n_children == rows[i].n_children, "'%s' has %zu children", rows[i].text,
                  v->n_children);
        rr_arena_free(&arena);
    }
}

Test(json, refuses)
{
    static const struct {
        const char *text;
        long long offset;
        const char *code;
    } rows[] = {
        {"", 0, "JSON"},
        {"  ", 2, "JSON"},
        {"nul", 0, "JSON"},
        {"True", 0, "JSON"},
        {"nullx", 4, "JSON"},
        {"1 2", 2, "JSON"},
        {"01", 0, "JSON"},
        {"-01", 0, "JSON"},
        {"+1", 0, "JSON"},
        {".5", 0, "JSON"},
        {"1.", 0, "JSON"},
        {"1.e5", 0, "JSON"},
        {"1e", 0, "JSON"},
        {"1e+", 0, "JSON"},
        {"-", 0, "JSON"},
        {"--1", 0, "JSON"},
        {"1.2.3", 0, "JSON"},
        {"0x10", 1, "JSON"},
        {"1e999", 0, "JSON"},
        {"-1e999", 0, "JSON"},
        {"NaN", 0, "JSON"},
        {"Infinity", 0, "JSON"},
        {"-Infinity", 0, "JSON"},
        {"1_000", 1, "JSON"},
        {"[1", 2, "JSON"},
        {"[1,", 3, "JSON"},
        {"[1,]", 3, "JSON"},
        {"[,1]", 1, "JSON"},
        {"[1 2]", 3, "JSON"},
        {"[1}", 2, "JSON"},
        {"]", 0, "JSON"},
        {"{", 1, "JSON"},
        {"{\"a\"", 4, "JSON"},
        {"{\"a\":", 5, "JSON"},
        {"{\"a\":1", 6, "JSON"},
        {"{\"a\":1,", 7, "JSON"},
        {"{\"a\":1,}", 7, "JSON"},
        {"{a:1}", 1, "JSON"},
        {"{1:1}", 1, "JSON"},
        {"{'a':1}", 1, "JSON"},
        {"{\"a\"=1}", 4, "JSON"},
        {"{\"a\":1]", 6, "JSON"},
        {"// x\n1", 0, "JSON"},
        {"/* x */1", 0, "JSON"},
        {"[1]#", 3, "JSON"},
        {"\xEF\xBB\xBF{}", 0, "JSON"},
        {"\"abc", 4, "JSON"},
        {"\"abc\\\"", 6, "JSON"},
        {"\"a\nb\"", 2, "JSON"},
        {"\"a\tb\"", 2, "JSON"},
        {"\"\\x41\"", 1, "JSON"},
        {"\"\\'\"", 1, "JSON"},
        {"\"\\u12\"", 1, "JSON"},
        {"\"\\u12G4\"", 1, "JSON"},
        {"\"ab\\ud800\"", 3, "JSON"},
        {"\"\\udc00\"", 1, "JSON"},
        {"\"\\ud800\\u0041\"", 1, "JSON"},
        {"\"\\ud800\\ud800\"", 1, "JSON"},
        {"\"\\ud800x\"", 1, "JSON"},
        {"\"\x80\"", 1, "JSON"},
        {"\"a\xC0\xAF\"", 2, "JSON"},
        {"\"\xED\xA0\x80\"", 1, "JSON"},
        {"\"\xF4\x90\x80\x80\"", 1, "JSON"},
        {"\"\xE2\x82\"", 1, "JSON"},
        {"{\"a\":1,\"a\":2}", 11, "JSON_DUPLICATE_KEY"},
        {"{\"a\":1,\"\\u0061\":2}", 16, "JSON_DUPLICATE_KEY"},
        {"[{\"\":1,\"\":1}]", 10, "JSON_DUPLICATE_KEY"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct rr_arena arena = {0};
        struct rr_json *root;
        struct rr_error err = {0};
        const size_t n = strlen(rows[i].text);
        char *exact = rr_alloc(n, 1); /* not terminated: a sanitizer sees one byte too many */
        memcpy(exact, rows[i].text, n);
        int rc = rr_json_parse(&root, &arena, exact, n, "t.json", 100, &err);
        rr_free(exact);
        cr_assert(rc == RR_ERR_DATA && root == NULL, "'%s' gave %d", rows[i].text, rc);
        cr_assert(strcmp(err.code, rows[i].code) == 0, "'%s': code %s", rows[i].text, err.code);
        cr_assert(err.offset == 100 + rows[i].offset, "'%s': offset %lld, expected %lld",
                  rows[i].text, err.offset, 100 + rows[i].offset);
        cr_assert(strcmp(err.file, "t.json") == 0, "'%s': file '%s'", rows[i].text, err.file);
        rr_arena_free(&arena);
    }
}

Test(json, zero_bytes)
{
    static const struct {
        const char *id, *text;
        size_t n;
        long long offset;
    } rows[] = {{"behind the value", "1\0", 2, 1},
                {"in a string", "\"a\0b\"", 5, 2},
                {"before",
                 "\0"
                 "1",
                 2, 0},
                {"in a number", "[1\0]", 4, 2},
                {"in a word", "nu\0l", 4, 0},
                {"escape", "\"\\\0\"", 4, 1}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct rr_arena arena = {0};
        struct rr_json *root;
        struct rr_error err = {0};
        int rc = rr_json_parse(&root, &arena, rows[i].text, rows[i].n, "t.json", 0, &err);
        cr_assert(rc == RR_ERR_DATA, "NUL %s gave %d", rows[i].id, rc);
        cr_assert(err.offset == rows[i].offset, "NUL %s: offset %lld", rows[i].id, err.offset);
        rr_arena_free(&arena);
    }
}

static void nest(struct rr_buf *b, int depth, bool objects)
{
    rr_buf_clear(b);
    for (int i = 0; i < depth; i++)
        rr_buf_puts(b, objects ? "{\"k\":" : "[");
    rr_buf_puts(b, "1");
    for (int i = 0; i < depth; i++)
        rr_buf_puts(b, objects ? "}" : "]");
}

Test(json, depth)
{
    struct rr_buf b = {0};
    for (int objects = 0; objects < 2; objects++) {
        struct rr_arena arena = {0};
        struct rr_json *root;
        struct rr_error err = {0};
        nest(&b, RR_MAX_JSON_DEPTH, objects);
        parse_ok(&arena, b.data, b.n);
        nest(&b, RR_MAX_JSON_DEPTH + 1, objects);
        int rc = rr_json_parse(&root, &arena, b.data, b.n, "t.json", 0, &err);
        cr_assert(rc == RR_ERR_DATA && strcmp(err.code, "JSON_DEPTH") == 0,
                  "one level too deep: %d %s", rc, err.code);
        cr_assert(err.offset == (RR_MAX_JSON_DEPTH + 1) * (objects ? 5 : 1), "offset %lld",
                  err.offset);
        nest(&b, 200000, objects);
        rc = rr_json_parse(&root, &arena, b.data, b.n, "t.json", 0, &err);
        cr_assert(rc == RR_ERR_DATA && strcmp(err.code, "JSON_DEPTH") == 0, "200000 levels: %d %s",
                  rc, err.code);
        rr_arena_free(&arena);
    }
    rr_buf_free(&b);
}

/* Few keys are compared by pairs, many through a table: the repeated one is found wherever it
 * stands. */
Test(json, duplicate_keys)
{
    static const int sizes[] = {2, 16, 17, 18, 100, 5000};
    for (size_t s = 0; s < COUNT(sizes); s++) {
        const int n = sizes[s];
        for (int repeat = -1; repeat<n; repeat += n> 100 ? n / 3 : 1) {
            struct rr_buf b = {0};
            struct rr_arena arena = {0};
            struct rr_json *root;
            struct rr_error err = {0};
            for (int i = 0; i < n; i++)
                rr_buf_printf(&b, "%s\"key%d\":%d", i ? "," : "{", i, i);
            if (repeat >= 0)
                rr_buf_printf(&b, ",\"key%d\":0", repeat);
            rr_buf_puts(&b, "}");
            int rc = rr_json_parse(&root, &arena, b.data, b.n, "t.json", 0, &err);
            if (repeat < 0) {
                cr_assert(rc == RR_OK && root->n_children == (size_t)n, "%d keys: %d, %s", n, rc,
                          err.text);
            } else {
                char name[32];
                snprintf(name, sizeof name, "key%d", repeat);
                cr_assert(rc == RR_ERR_DATA && strcmp(err.code, "JSON_DUPLICATE_KEY") == 0,
                          "%d keys: %d %s", n, rc, err.code);
                cr_assert(strcmp(err.object, name) == 0, "%d keys: '%s', expected '%s'", n,
                          err.object, name);
                cr_assert(err.offset == (long long)b.n - 2,
                          "%d keys: offset %lld, expected that of the second", n, err.offset);
            }
            rr_arena_free(&arena);
            rr_buf_free(&b);
        }
    }
}

Test(json, strings)
{
    static const struct {
        const char *text, *value;
        size_t n;
    } rows[] = {
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8},
        {"\"\\u0041\\u00e9\\u20AC\"", "A\xC3\xA9\xE2\x82\xAC", 6},
        {"\"\\ud83d\\ude00\"", "\xF0\x9F\x98\x80", 4},
        {"\"\\uDBFF\\uDFFF\"", "\xF4\x8F\xBF\xBF", 4},
        {"\"\\uD800\\uDC00\"", "\xF0\x90\x80\x80", 4},
        {"\"a\\u0000b\"", "a\0b", 3},
        {"\"\\uffff\\uE000\"", "\xEF\xBF\xBF\xEE\x80\x80", 6},
        {"\"\\\\u0041\"", "\\u0041", 6},
        {"\"\xC3\xA9 \x7F\"", "\xC3\xA9 \x7F", 4},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct rr_arena arena = {0};
        const struct rr_json *v = parse_ok(&arena, rows[i].text, strlen(rows[i].text));
        cr_assert(v->n_text == rows[i].n, "%s has %zu bytes, expected %zu", rows[i].text, v->n_text,
                  rows[i].n);
        cr_assert(memcmp(v->text, rows[i].value, rows[i].n) == 0, "%s was decoded to '%s'",
                  rows[i].text, v->text);
        cr_assert(v->text[v->n_text] == 0, "%s is not terminated", rows[i].text);
        rr_arena_free(&arena);
    }
}

Test(json, numbers)
{
    static const struct {
        const char *text;
        double value;
        bool whole;
        int64_t i;
    } rows[] = {
        {"0", 0, true, 0},
        {"-0", 0, true, 0},
        {"1e3", 1000, true, 1000},
        {"4096.0", 4096, true, 4096},
        {"1.5", 1.5, false, 0},
        {"-7", -7, true, -7},
        {"9007199254740992", 9007199254740992.0, true, 9007199254740992},
        {"9007199254740993", 9007199254740992.0, true, 9007199254740993},
        {"9223372036854775807", 9223372036854775808.0, true, INT64_MAX},
        {"9223372036854775808", 9223372036854775808.0, false, 0},
        {"1e300", 1e300, false, 0},
        {"0.1", 0.1, false, 0},
        {"1e22", 1e22, false, 0},
        {"1e-7", 1e-7, false, 0},
        {"123456.789e-3", 123.456789, false, 0},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct rr_arena arena = {0};
        int64_t x = 77;
        const struct rr_json *v = parse_ok(&arena, rows[i].text, strlen(rows[i].text));
        cr_assert(v->number == rows[i].value, "%s is read as %.17g", rows[i].text, v->number);
        bool whole = rr_json_int(&x, v, INT64_MIN, INT64_MAX);
        cr_assert(whole == rows[i].whole, "%s: whole is %d", rows[i].text, whole);
        cr_assert(x == (whole ? rows[i].i : 77), "%s: as integer %lld", rows[i].text, (long long)x);
        rr_arena_free(&arena);
    }
}

Test(json, int_ranges)
{
    struct rr_arena arena = {0};
    int64_t x = 77;
    const struct rr_json *v = parse_ok(&arena, "[5,5.0,\"5\",null,-1]", 19), *five = v->child,
                         *point = five->next;
    cr_assert(rr_json_int(&x, five, 5, 5) && x == 5, "5 lies in [5, 5]");
    cr_assert(rr_json_int(&x, point, 5, 5) && x == 5, "5.0 lies in [5, 5]");
    x = 77;
    cr_assert(!rr_json_int(&x, five, 6, 9) && x == 77, "5 was taken for a number in [6, 9]");
    cr_assert(!rr_json_int(&x, point, 6, 9) && x == 77, "5.0 was taken for a number in [6, 9]");
    cr_assert(!rr_json_int(&x, point, 0, 4), "5.0 was taken for a number in [0, 4]");
    cr_assert(!rr_json_int(&x, point->next, 0, 9), "a string was taken for a number");
    cr_assert(!rr_json_int(&x, point->next->next, 0, 9), "null was taken for a number");
    cr_assert(!rr_json_int(&x, NULL, 0, 9), "nothing was taken for a number");
    cr_assert(!rr_json_int(&x, point->next->next->next, 0, 9) && x == 77,
              "-1 was taken for a number in [0, 9]");
    rr_arena_free(&arena);
}

Test(json, members)
{
    static const char text[] = "{\"a\":1,\"b\":{\"c\":\"x\"},\"a\\u0000\":2}";
    struct rr_arena arena = {0};
    const struct rr_json *v = parse_ok(&arena, text, sizeof text - 1),
                         *c = rr_json_get(rr_json_get(v, "b"), "c");
    cr_assert(rr_json_is_string(c, "x") && !rr_json_is_string(c, "xy") && !rr_json_is_string(c, ""),
              "b.c is not just \"x\"");
    cr_assert(!rr_json_is_string(rr_json_get(v, "a"), "1"), "a number was taken for a string");
    cr_assert(rr_json_get(v, "c") == NULL && rr_json_get(NULL, "c") == NULL &&
                  rr_json_get(c, "c") == NULL,
              "a member too many");
    cr_assert(rr_json_get(v, "a")->number == 1, "\"a\" was taken for \"a\\0\"");
    cr_assert(rr_json_get(v, "a")->offset == 5 && c->offset == 16, "offsets %zu and %zu",
              rr_json_get(v, "a")->offset, c->offset);
    rr_arena_free(&arena);
}

Test(json, written_strings_read_back)
{
    static const struct {
        const char *s;
        size_t n;
        const char *written;
    } rows[] = {
        {"", 0, "\"\""},
        {"a\"b\\c", 5, "\"a\\\"b\\\\c\""},
        {"\n\r\t\0\x1F\x7F", 6, "\"\\n\\u000d\\u0009\\u0000\\u001f\\u007f\""},
        {"caf\xC3\xA9 \xF0\x9F\x98\x80", 10, "\"caf\xC3\xA9 \xF0\x9F\x98\x80\""},
        {"a\xFF"
         "b\xE2\x82",
         5,
         "\"a\xEF\xBF\xBD"
         "b\xEF\xBF\xBD\xEF\xBF\xBD\""},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct rr_buf b = {0};
        struct rr_arena arena = {0};
        rr_json_add_string(&b, rows[i].s, rows[i].n);
        cr_assert(strcmp(b.data, rows[i].written) == 0, "row %zu was written as %s", i, b.data);
        const struct rr_json *v = parse_ok(&arena, b.data, b.n);
        if (i < 4)
            cr_assert(v->n_text == rows[i].n && memcmp(v->text, rows[i].s, rows[i].n) == 0,
                      "row %zu reads back otherwise", i);
        rr_arena_free(&arena);
        rr_buf_free(&b);
    }
}

Test(json, written_numbers)
{
    static const struct {
        double v;
        const char *written;
    } rows[] = {{0, "0"},
                {1, "1"},
                {-2.5, "-2.5"},
                {0.1, "0.1"},
                {1e100, "1e+100"},
                {100000, "100000"},
                {NAN, "null"},
                {INFINITY, "null"},
                {-INFINITY, "null"},
                {1.0 / 1024, "0.0009765625"}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct rr_buf b = {0};
        rr_json_add_double(&b, rows[i].v);
        cr_assert(strcmp(b.data, rows[i].written) == 0, "%.17g was written as %s", rows[i].v,
                  b.data);
        rr_buf_free(&b);
    }
}

/* Numbers are written and read with '.' whatever the program's locale says. Skips where no such
 * locale is installed. */
Test(json, any_locale)
{
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "de_DE", "fr_FR.UTF-8",
                                        "fr_FR.utf8"};
    struct rr_arena arena = {0};
    struct rr_buf b = {0};
    bool found = false;
    for (size_t i = 0; i < COUNT(names) && !found; i++)
        found = setlocale(LC_ALL, names[i]) != NULL && localeconv()->decimal_point[0] == ',';
    if (!found)
        SKIP("no locale with a decimal comma is installed");
    rr_json_add_double(&b, 1234.5);
    cr_assert(strcmp(b.data, "1234.5") == 0, "written as %s", b.data);
    cr_assert(parse_ok(&arena, "1234.5", 6)->number == 1234.5, "read otherwise");
    setlocale(LC_ALL, "C");
    rr_arena_free(&arena);
    rr_buf_free(&b);
}
