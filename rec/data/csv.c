/* See csv.h. */
#include "rec/data/csv.h"

#include <string.h>
#include "engine/base/limits.h"
#include "engine/base/mem.h"

int rr_csv_open(struct rr_csv *c, const char *text, size_t n, const char *file, char separator,
                bool backslash, struct rr_error *err)
{
    struct rr_lines l; /* knows the byte order mark */
    *c = (struct rr_csv){.text = text,
                         .file = file,
                         .n = n,
                         .separator = separator,
                         .backslash = backslash,
                         .next_line = 1};
    int rc = rr_lines_open(&l, text, n, file, err);
    c->at = rc ? n : l.at;
    return rc;
}

void rr_csv_close(struct rr_csv *c)
{
    rr_free(c->decoded);
    *c = (struct rr_csv){0};
}

/* A record on its way through the text. */
struct scan {
    size_t at;       /* next byte to read */
    size_t n_out;    /* bytes decoded */
    long long lines; /* line breaks inside quotes so far */
};

static int bad(const struct rr_csv *c, const char *code, size_t at, long long line_add,
               const char *what, struct rr_error *err)
{
    size_t start = at;
    while (start > 0 && c->text[start - 1] != '\n' && c->text[start - 1] != '\r')
        start--;
    rr_fail_(err, RR_ERR_DATA, code,
             RR_AT_LINE(c->file, NULL, c->line + line_add, (long long)(at - start) + 1), "%s",
             what);
    return RR_CSV_BAD;
}

static bool at_line_end(const struct rr_csv *c, size_t at)
{
    return at >= c->n || c->text[at] == '\n' || c->text[at] == '\r';
}

/* A quoted field; s->at is behind its opening quote. */
static int quoted(struct rr_csv *c, struct scan *s, size_t limit, struct rr_error *err)
{
    const size_t open = s->at - 1;
    const long long open_lines = s->lines;
    for (;; s->at++) {
        if (s->at >= limit)
            return bad(c, "QUOTE", open, open_lines,
                       s->at < c->n ? "this quote is not closed within 1 MiB"
                                    : "this quote is never closed",
                       err);
        char ch = c->text[s->at];
        const char next = s->at + 1 < limit ? c->text[s->at + 1] : 0;
        if (ch == '"' && next != '"')
            break;
        if (ch == '"' || (c->backslash && ch == '\\' && (next == '"' || next == '\\'))) {
            ch = next;
            s->at++;
        }
        s->lines += ch == '\n' || (ch == '\r' && next != '\n');
        c->decoded[s->n_out++] = ch;
    }
    s->at++;
    if (!at_line_end(c, s->at) && c->text[s->at] != c->separator)
        return bad(c, "QUOTE", s->at, s->lines,
                   "text behind a closing quote; a quote inside a quoted field is written twice",
                   err);
    return RR_CSV_RECORD;
}

static void plain(struct rr_csv *c, struct scan *s, size_t limit)
{
    for (; s->at < limit && !at_line_end(c, s->at) && c->text[s->at] != c->separator; s->at++)
        c->decoded[s->n_out++] = c->text[s->at];
}

/* Moves behind the line break at `at`. */
static size_t behind_break(const struct rr_csv *c, size_t at)
{
    if (at < c->n && c->text[at] == '\r')
        at++;
    else
        return at < c->n ? at + 1 : at;
    return at < c->n && c->text[at] == '\n' ? at + 1 : at;
}

static int record(struct rr_csv *c, struct scan *s, struct rr_field *fields, size_t cap, size_t *n,
                  struct rr_error *err)
{
    const size_t limit = c->n - c->at > RR_MAX_LINE ? c->at + RR_MAX_LINE : c->n;
    for (*n = 0;;) {
        const size_t from = s->n_out;
        int rc = RR_CSV_RECORD;
        if (s->at < limit && c->text[s->at] == '"' && !c->no_quotes) {
            s->at++;
            rc = quoted(c, s, limit, err);
        } else {
            plain(c, s, limit);
        }
        if (rc != RR_CSV_RECORD)
            return rc;
        if (s->at >= limit && limit < c->n)
            return bad(c, "LINE", c->at, 0, "longer than 1 MiB; is this a text file?", err);
        if (*n < cap)
            fields[*n] = (struct rr_field){c->decoded + from, s->n_out - from};
        ++*n;
        if (at_line_end(c, s->at))
            break;
        s->at++; /* the separator */
    }
    const char *zero = memchr(c->text + c->at, 0, s->at - c->at);
    return zero ? bad(c, "LINE", (size_t)(zero - c->text), 0, "a zero byte; is this a text file?",
                      err)
                : RR_CSV_RECORD;
}

int rr_csv_next(struct rr_csv *c, struct rr_field *fields, size_t cap, size_t *n,
                struct rr_error *err)
{
    c->line = c->next_line;
    while (c->at < c->n && at_line_end(c, c->at)) {
        c->at = behind_break(c, c->at);
        c->line++;
    }
    c->next_line = c->line;
    if (c->at >= c->n)
        return RR_CSV_END;
    const size_t left = c->n - c->at;
    if (!rr_grow(&c->decoded, &c->cap_decoded,
                 left < RR_MAX_LINE + 1u ? left + 1 : RR_MAX_LINE + 2u, 1))
        return rr_fail_memory(err, "line", left);
    struct scan s = {.at = c->at};
    int rc = record(c, &s, fields, cap, n, err);
    if (rc == RR_CSV_BAD) { /* go on behind its first line: a quote must not swallow the file */
        s = (struct scan){.at = c->at};
        while (!at_line_end(c, s.at))
            s.at++;
    }
    c->at = behind_break(c, s.at);
    c->next_line = c->line + s.lines + 1;
    return rc;
}
