/* See lines.h. */
#include "tools/lines.h"

#include <string.h>

#define MAX_LINE (64u << 20)

void lines_open(struct lines *l, FILE *f, const char *name)
{
    *l = (struct lines){.f = f, .name = name};
}

int lines_next(struct lines *l, struct line *ln, struct rr_error *err)
{
    size_t n = 0;
    int c;
    l->number++;
    while ((c = getc_unlocked(l->f)) != EOF && c != '\n') {
        if (n >= MAX_LINE)
            return rr_fail(err, RR_ERR_DATA, "LINE_LENGTH", RR_AT_LINE(l->name, NULL, l->number, 0),
                           "longer than %u bytes", MAX_LINE);
        if (!rr_grow(&l->buffer, &l->cap, n + 1, 1))
            return rr_fail_memory(err, "line", n);
        l->buffer[n++] = (char)c;
    }
    if (c == EOF && ferror(l->f))
        return rr_fail(err, RR_ERR_IO, "READ_FAILED", RR_AT_FILE(l->name), "reading failed");
    if (c == EOF && n == 0)
        return 0;
    if (n && l->buffer[n - 1] == '\r')
        n--;
    *ln = (struct line){n ? l->buffer : "", n, l->name, l->number};
    return 1;
}

void lines_close(struct lines *l)
{
    rr_free(l->buffer);
    *l = (struct lines){0};
}

void lines_locate(struct rr_error *err, const struct line *ln)
{
    strncpy(err->file, ln->file, sizeof err->file - 1);
    err->line = ln->number;
    err->column = err->offset >= 0 ? err->offset + 1 : 0;
    err->offset = -1;
}
