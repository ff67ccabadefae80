/* The reader is recursive over values, with its depth capped by RR_MAX_JSON_DEPTH; everything
 * else is loops. */
#include "engine/base/json.h"

#include <string.h>
#include "engine/base/limits.h"
#include "engine/base/number.h"
#include "engine/base/utf8.h"

struct parser {
    const char *s;
    size_t n, at;
    const char *file;
    size_t base;
    struct rr_arena *arena;
    struct rr_error *err;
};

static int bad(struct parser *p, size_t at, const char *expected)
{
    if (at >= p->n)
        return rr_fail(p->err, RR_ERR_DATA, "JSON", RR_AT_BYTE(p->file, "JSON", p->base + p->n),
                       "the text ends here; expected %s", expected);
    return rr_fail(p->err, RR_ERR_DATA, "JSON", RR_AT_BYTE(p->file, "JSON", p->base + at),
                   "found '%s'; expected %s", rr_show(p->s + at, 1).s, expected);
}

static void skip_blanks(struct parser *p)
{
    while (p->at < p->n && (p->s[p->at] == ' ' || p->s[p->at] == '\t' || p->s[p->at] == '\n' ||
                            p->s[p->at] == '\r'))
        p->at++;
}

static bool hex4(const struct parser *p, size_t at, uint32_t *out)
{
    uint32_t v = 0;
    if (p->n - at < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        char c = p->s[at + (size_t)i];
        uint32_t d;
        if (c >= '0' && c <= '9')
            d = (uint32_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            d = (uint32_t)(c - 'a' + 10);
        else if (c >= 'A' && c <= 'F')
            d = (uint32_t)(c - 'A' + 10);
        else
            return false;
        v = v << 4 | d;
    }
    *out = v;
    return true;
}

/* One escape sequence at p->at (after the backslash) into out; returns the bytes written, 0 on
 * error. */
static size_t unescape(struct parser *p, char *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = p->at < p->n ? p->s[p->at] : 0;
    const char *hit = c ? strchr(from, c) : NULL;
    if (hit) {
        p->at++;
        out[0] = to[hit - from];
        return 1;
    }
    uint32_t cp, low;
    if (c != 'u' || !hex4(p, p->at + 1, &cp) || (cp >= 0xDC00 && cp <= 0xDFFF))
        return 0;
    p->at += 5;
    if (cp >= 0xD800 && cp <= 0xDBFF) {
        if (p->n - p->at < 6 || p->s[p->at] != '\\' || p->s[p->at + 1] != 'u' ||
            !hex4(p, p->at + 2, &low) || low < 0xDC00 || low > 0xDFFF)
            return 0;
        p->at += 6;
        cp = 0x10000 + ((cp - 0xD800) << 10) + (low - 0xDC00);
    }
    return rr_utf8_encode(out, cp);
}

static int parse_string(struct parser *p, const char **out, size_t *n_out)
{
    size_t start = ++p->at, end = start;
    /* The decoded text is never longer than the raw one: find the end, then decode into one
     * block. */
    while (end < p->n && p->s[end] != '"')
        end += p->s[end] == '\\' && end + 1 < p->n ? 2 : 1;
    if (end >= p->n)
        return bad(p, p->n, "the closing '\"' of a string");
    char *text = rr_arena_alloc(p->arena, end - start + 1, 1);
    if (!text)
        return rr_fail_memory(p->err, "JSON string", end - start);
    size_t n = 0;
    while (p->at < end) {
        unsigned char c = (unsigned char)p->s[p->at];
        if (c == '\\') {
            size_t at = p->at++, len = unescape(p, text + n);
            if (!len)
                return bad(p, at, "an escape that JSON knows, surrogates in pairs");
            n += len;
            continue;
        }
        size_t len = c < 0x20 ? 0 : c < 0x80 ? 1 : rr_utf8_decode(p->s + p->at, end - p->at, NULL);
        if (!len)
            return bad(p, p->at, c < 0x20 ? "control characters to be escaped" : "valid UTF-8");
        memcpy(text + n, p->s + p->at, len);
        n += len;
        p->at += len;
    }
    p->at++;
    text[n] = 0;
    *out = text;
    *n_out = n;
    return RR_OK;
}

static int parse_number(struct parser *p, struct rr_json *v)
{
    size_t start = p->at, i = p->at + (p->s[p->at] == '-');
    while (p->at < p->n &&
           (strchr("+-.eE", p->s[p->at]) || (p->s[p->at] >= '0' && p->s[p->at] <= '9')) &&
           p->s[p->at])
        p->at++;
    bool leading_zero = i + 1 < p->at && p->s[i] == '0' && p->s[i + 1] >= '0' && p->s[i + 1] <= '9';
    if (leading_zero || !rr_parse_double(&v->number, p->s + start, p->at - start))
        return bad(p, start, "a finite JSON number");
    v->type = RR_JSON_NUMBER;
    v->n_text = p->at - start;
    v->text = rr_arena_copy(p->arena, p->s + start, v->n_text);
    return v->text ? RR_OK : rr_fail_memory(p->err, "JSON number", v->n_text);
}

static bool literal(struct parser *p, const char *word)
{
    size_t n = strlen(word);
    if (p->n - p->at < n || memcmp(p->s + p->at, word, n) != 0)
        return false;
    p->at += n;
    return true;
}

static uint64_t hash_bytes(const char *s, size_t n)
{
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)s[i]) * 1099511628211u;
    return h ^ h >> 29;
}

static bool same_key(const struct rr_json *a, const struct rr_json *b)
{
    return a->n_key == b->n_key && memcmp(a->key, b->key, a->n_key) == 0;
}

/* Finds a repeated key: by pairs when few, through a hash table when many. *dup is the second
 * one, or NULL. */
static int find_duplicate(struct parser *p, const struct rr_json *object,
                          const struct rr_json **dup)
{
    *dup = NULL;
    if (object->n_children <= 16) {
        for (const struct rr_json *a = object->child; a && !*dup; a = a->next)
            for (const struct rr_json *b = a->next; b && !*dup; b = b->next)
                if (same_key(a, b))
                    *dup = b;
        return RR_OK;
    }
    size_t cap = 64;
    while (cap < object->n_children * 2)
        cap *= 2;
    const struct rr_json **table = rr_zalloc(cap, sizeof *table);
    if (!table)
        return rr_fail_memory(p->err, "JSON keys", cap * sizeof *table);
    for (const struct rr_json *m = object->child; m && !*dup; m = m->next) {
        size_t i = (size_t)hash_bytes(m->key, m->n_key) & (cap - 1);
        while (table[i] && !same_key(table[i], m))
            i = (i + 1) & (cap - 1);
        if (table[i])
            *dup = m;
        table[i] = m;
    }
    rr_free(table);
    return RR_OK;
}

static int parse_value(struct parser *p, struct rr_json *v, int depth);

static int parse_members(struct parser *p, struct rr_json *v, char close, int depth)
{
    bool object = close == '}';
    struct rr_json **tail = &v->child;
    v->type = object ? RR_JSON_OBJECT : RR_JSON_ARRAY;
    p->at++;
    skip_blanks(p);
    if (p->at < p->n && p->s[p->at] == close) {
        p->at++;
        return RR_OK;
    }
    for (;;) {
        struct rr_json *m = rr_arena_zalloc(p->arena, 1, sizeof *m);
        if (!m)
            return rr_fail_memory(p->err, "JSON", sizeof *m);
        int rc;
        if (object) {
            if (p->at >= p->n || p->s[p->at] != '"')
                return bad(p, p->at, "a member name in double quotes");
            if ((rc = parse_string(p, &m->key, &m->n_key)) != 0)
                return rc;
            skip_blanks(p);
            if (p->at >= p->n || p->s[p->at] != ':')
                return bad(p, p->at, "':'");
            p->at++;
        }
        skip_blanks(p);
        if ((rc = parse_value(p, m, depth + 1)) != 0)
            return rc;
        *tail = m;
        tail = &m->next;
        v->n_children++;
        skip_blanks(p);
        if (p->at < p->n && p->s[p->at] == close) {
            p->at++;
            break;
        }
        if (p->at >= p->n || p->s[p->at] != ',')
            return bad(p, p->at, object ? "',' or '}'" : "',' or ']'");
        p->at++;
        skip_blanks(p);
    }
    const struct rr_json *dup = NULL;
    int rc = object ? find_duplicate(p, v, &dup) : RR_OK;
    if (dup)
        return rr_fail(p->err, RR_ERR_DATA, "JSON_DUPLICATE_KEY",
                       RR_AT_BYTE(p->file, rr_show(dup->key, dup->n_key).s, p->base + dup->offset),
                       "this key occurs twice in one object");
    return rc;
}

static int parse_value(struct parser *p, struct rr_json *v, int depth)
{
    v->offset = p->at;
    if (p->at >= p->n)
        return bad(p, p->at, "a JSON value");
    if (depth > RR_MAX_JSON_DEPTH)
        return rr_fail(p->err, RR_ERR_DATA, "JSON_DEPTH",
                       RR_AT_BYTE(p->file, "JSON", p->base + p->at), "nested deeper than %d",
                       RR_MAX_JSON_DEPTH);
    char c = p->s[p->at];
    if (c == '{' || c == '[')
        return parse_members(p, v, c == '{' ? '}' : ']', depth);
    if (c == '"') {
        v->type = RR_JSON_STRING;
        return parse_string(p, &v->text, &v->n_text);
    }
    if (c == '-' || (c >= '0' && c <= '9'))
        return parse_number(p, v);
    if (literal(p, "true") || literal(p, "false")) {
        v->type = RR_JSON_BOOL;
        v->truth = c == 't';
        return RR_OK;
    }
    if (literal(p, "null"))
        return RR_OK;
    return bad(p, p->at, "a JSON value");
}

int rr_json_parse(struct rr_json **root, struct rr_arena *arena, const char *text, size_t n,
                  const char *file, size_t base, struct rr_error *err)
{
    struct parser p = {.s = text, .n = n, .file = file, .base = base, .arena = arena, .err = err};
    struct rr_json *v = rr_arena_zalloc(arena, 1, sizeof *v);
    *root = NULL;
    if (!v)
        return rr_fail_memory(err, "JSON", sizeof *v);
    skip_blanks(&p);
    int rc = parse_value(&p, v, 0);
    if (rc)
        return rc;
    skip_blanks(&p);
    if (p.at != n)
        return bad(&p, p.at, "nothing after the value");
    *root = v;
    return RR_OK;
}

const struct rr_json *rr_json_get(const struct rr_json *v, const char *key)
{
    if (!v || v->type != RR_JSON_OBJECT)
        return NULL;
    size_t n = strlen(key);
    for (const struct rr_json *m = v->child; m; m = m->next)
        if (m->n_key == n && memcmp(m->key, key, n) == 0)
            return m;
    return NULL;
}

bool rr_json_is_string(const struct rr_json *v, const char *s)
{
    return v && v->type == RR_JSON_STRING && v->n_text == strlen(s) &&
           memcmp(v->text, s, v->n_text) == 0;
}

bool rr_json_int(int64_t *out, const struct rr_json *v, int64_t min, int64_t max)
{
    if (!v || v->type != RR_JSON_NUMBER)
        return false;
    if (rr_parse_i64(out, v->text, v->n_text, min, max))
        return true;
    /* 1e3 and 4096.0 are whole numbers too. */
    if (!(v->number >= (double)min && v->number <= (double)max) ||
        v->number < -9007199254740992.0 || v->number > 9007199254740992.0)
        return false;
    int64_t whole = (int64_t)v->number;
    if ((double)whole != v->number)
        return false;
    *out = whole;
    return true;
}

const char *rr_json_type_name(enum rr_json_type type)
{
    static const char *const names[] = {"null",     "a boolean", "a number",
                                        "a string", "an array",  "an object"};
    return names[type];
}

void rr_json_add_string(struct rr_buf *b, const char *s, size_t n)
{
    rr_buf_add(b, "\"", 1);
    for (size_t i = 0; i < n;) {
        unsigned char c = (unsigned char)s[i];
        size_t len = rr_utf8_decode(s + i, n - i, NULL);
        if (!len) {
            rr_buf_add(b, "\xEF\xBF\xBD", 3);
            i++;
            continue;
        }
        if (c == '"' || c == '\\')
            rr_buf_printf(b, "\\%c", c);
        else if (c == '\n')
            rr_buf_add(b, "\\n", 2);
        else if (c < 0x20 || c == 0x7f)
            rr_buf_printf(b, "\\u%04x", c);
        else
            rr_buf_add(b, s + i, len);
        i += len;
    }
    rr_buf_add(b, "\"", 1);
}

void rr_json_add_double(struct rr_buf *b, double v)
{
    char text[32];
    rr_buf_add(b, text, rr_format_double(text, v));
}
