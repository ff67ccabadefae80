/* LLaMA-3's tokenizer.model: the ranks of tiktoken, one line each, and the control tokens behind
 * them that Meta's code names. */
#include <stdio.h>
#include <string.h>
#include "engine/base/limits.h"
#include "tokenizer/internal.h"

#define N_CONTROL 256
#define LONGEST_LINE (4 * (RR_MAX_PIECE / 3 + 1) + 16)

static int digit_of(char c)
{
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+'             ? 62
           : c == '/'             ? 63
                                  : -1;
}

/* RFC 4648 section 4, with its padding. Appends the bytes of s[0..n); false: it is no base64. */
static bool decode_base64(struct rr_buf *out, const char *s, size_t n)
{
    if (!n || n % 4)
        return false;
    for (size_t i = 0; i < n; i += 4) {
        const int pad = i + 4 < n ? 0 : s[i + 2] == '=' ? 2 : s[i + 3] == '=';
        uint32_t bits = 0;
        for (int k = 0; k < 4; k++) {
            const int d =
                k >= 4 - pad ? (s[i + (size_t)k] == '=' ? 0 : -1) : digit_of(s[i + (size_t)k]);
            if (d < 0)
                return false;
            bits = bits << 6 | (uint32_t)d;
        }
        if (bits & ((1u << 8 * pad) - 1u))
            return false;
        const char bytes[3] = {(char)(bits >> 16), (char)(bits >> 8), (char)bits};
        rr_buf_add(out, bytes, (size_t)(3 - pad));
    }
    return true;
}

static size_t line_length(const char *s, size_t n)
{
    const char *end = memchr(s, '\n', n < LONGEST_LINE ? n : LONGEST_LINE);
    return end ? (size_t)(end - s) : n < LONGEST_LINE ? n : LONGEST_LINE;
}

bool rr_looks_like_tiktoken(const char *s, size_t n)
{
    const size_t len = line_length(s, n < 256 ? n : 256);
    size_t i = 0, digits = 0;
    while (i < len && (digit_of(s[i]) >= 0 || s[i] == '='))
        i++;
    if (!i || i == len || s[i] != ' ')
        return false;
    for (i++; i < len && s[i] >= '0' && s[i] <= '9'; i++)
        digits++;
    return digits && (i == len || s[i] == '\r');
}

struct reader {
    struct rr_vocab v;
    size_t cap;
    struct rr_buf texts;
    size_t *starts; /* [v.n] in texts */
    size_t cap_starts;
    const char *file;
    struct rr_error *err;
};

static int bad(struct reader *r, long long line, const char *what)
{
    return rr_fail(r->err, RR_ERR_DATA, "VOCAB", RR_AT_LINE(r->file, NULL, line, 1), "%s", what);
}

/* One line: the next rank. */
static int read_line(struct reader *r, const char *s, size_t n, long long line)
{
    size_t i = 0, rank = 0;
    n -= n && s[n - 1] == '\r';
    while (i < n && s[i] != ' ')
        i++;
    const size_t base64 = i;
    if (i == n || i + 1 == n)
        return bad(r, line, "expected base64, a blank and the rank");
    for (i++; i < n; i++) {
        if (s[i] < '0' || s[i] > '9' || rank > RR_MAX_VOCAB)
            return bad(r, line, "the rank is no number");
        rank = 10 * rank + (size_t)(s[i] - '0');
    }
    if (rank != r->v.n)
        return rr_fail(r->err, RR_ERR_DATA, "VOCAB", RR_AT_LINE(r->file, NULL, line, 1),
                       "rank %zu; the lines are in order, so %zu was expected", rank, r->v.n);
    if (!rr_grow(&r->v.pieces, &r->cap, r->v.n + 1, sizeof *r->v.pieces) ||
        !rr_grow(&r->starts, &r->cap_starts, r->v.n + 1, sizeof *r->starts))
        return rr_fail_memory(r->err, "vocabulary", r->v.n * sizeof *r->v.pieces);
    r->starts[r->v.n] = r->texts.n;
    if (!decode_base64(&r->texts, s, base64))
        return bad(r, line, "the piece is not in base64");
    if (r->texts.failed)
        return rr_fail_memory(r->err, "vocabulary", r->texts.n);
    r->v.pieces[r->v.n] = (struct rr_piece){.n = (uint32_t)(r->texts.n - r->starts[r->v.n]),
                                            .score = -(float)rank,
                                            .type = RR_PIECE_NORMAL};
    r->v.n++;
    return RR_OK;
}

/* The names of Meta's llama3/tokenizer.py. */
static void control_name(char out[40], int i)
{
    static const char *const named[] = {
        "<|begin_of_text|>",   "<|end_of_text|>",   NULL, NULL,        NULL, NULL,
        "<|start_header_id|>", "<|end_header_id|>", NULL, "<|eot_id|>"};
    const int n_named = (int)(sizeof named / sizeof named[0]);
    if (i < n_named && named[i])
        snprintf(out, 40, "%s", named[i]);
    else
        snprintf(out, 40, "<|reserved_special_token_%d|>",
                 i < 6    ? i - 2
                 : i == 8 ? 4
                          : i - n_named + 5);
}

static int add_controls(struct reader *r)
{
    const size_t first = r->v.n;
    char name[40];
    for (int i = 0; i < N_CONTROL; i++) {
        if (!rr_grow(&r->v.pieces, &r->cap, r->v.n + 1, sizeof *r->v.pieces) ||
            !rr_grow(&r->starts, &r->cap_starts, r->v.n + 1, sizeof *r->starts))
            return rr_fail_memory(r->err, "vocabulary", r->v.n * sizeof *r->v.pieces);
        control_name(name, i);
        r->starts[r->v.n] = r->texts.n;
        rr_buf_puts(&r->texts, name);
        r->v.pieces[r->v.n++] =
            (struct rr_piece){.n = (uint32_t)strlen(name), .type = RR_PIECE_CONTROL};
    }
    if (r->texts.failed)
        return rr_fail_memory(r->err, "vocabulary", r->texts.n);
    r->v.bos = (int)first;
    r->v.eos = (int)first + 1;
    for (size_t i = 0; i < r->v.n; i++)
        r->v.pieces[i].text = r->texts.data + r->starts[i];
    return RR_OK;
}

int rr_tokenizer_from_tiktoken(struct rr_tokenizer **t, const void *bytes, size_t n,
                               const char *file, struct rr_error *err)
{
    struct reader r = {
        .v = {.unk = -1, .rule = RR_WORDS_LLAMA3, .whole_words = true}, .file = file, .err = err};
    const char *s = bytes;
    long long line = 1;
    int rc = RR_OK;
    *t = NULL;
    for (size_t at = 0, len; at < n && !rc; at += len + 1, line++) {
        len = line_length(s + at, n - at);
        if (len == LONGEST_LINE)
            rc = bad(&r, line, "the line is too long for a piece");
        else if (r.v.n >= RR_MAX_VOCAB - N_CONTROL)
            rc = bad(&r, line, "more than 2^24 pieces");
        else
            rc = read_line(&r, s + at, len, line);
    }
    if (!rc && !r.v.n)
        rc = bad(&r, 1, "no pieces");
    if (!rc)
        rc = add_controls(&r);
    if (!rc)
        rc = rr_tokenizer_open(t, &r.v, file, err);
    rr_free(r.v.pieces);
    rr_free(r.starts);
    rr_buf_free(&r.texts);
    return rc;
}
