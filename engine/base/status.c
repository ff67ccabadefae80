/* Error texts. Holds no state; everything is written into the caller's struct. */
#include "engine/base/fail.h"

#include <stdio.h>
#include <string.h>

const char *rr_status_text(int status)
{
    switch (status) {
    case RR_OK:
        return "ok";
    case RR_ERR_USAGE:
        return "misused";
    case RR_ERR_DATA:
        return "bad data";
    case RR_ERR_OPEN:
        return "cannot open";
    case RR_ERR_MEMORY:
        return "out of memory";
    case RR_ERR_IO:
        return "input/output error";
    case RR_ERR_BUSY:
        return "busy";
    case RR_ERR_INTERRUPTED:
        return "interrupted";
    default:
        return "failed";
    }
}

struct rr_shown rr_show(const char *bytes, size_t n)
{
    static const char hex[] = "0123456789ABCDEF";
    struct rr_shown out;
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)bytes[i];
        size_t width = (c >= 0x20 && c < 0x7f) ? 1 : 4;
        if (at + width > 64) {
            memcpy(out.s + at, "...", 3);
            at += 3;
            break;
        }
        if (width == 1) {
            out.s[at++] = (char)c;
        } else {
            out.s[at++] = '\\';
            out.s[at++] = 'x';
            out.s[at++] = hex[c >> 4];
            out.s[at++] = hex[c & 15];
        }
    }
    out.s[at] = 0;
    return out;
}

/* Copies at most size-1 bytes, turning control characters into spaces: one error is always one
 * line. */
static void copy_line(char *out, size_t size, const char *in)
{
    size_t i = 0;
    for (; in && in[i] && i + 1 < size; i++)
        out[i] = ((unsigned char)in[i] < 0x20 || in[i] == 0x7f) ? ' ' : in[i];
    out[i] = 0;
}

int rr_vfail(struct rr_error *err, int status, const char *code, const struct rr_where *where,
             const char *fmt, va_list ap)
{
    if (!err)
        return status;
    char text[sizeof err->text];
    vsnprintf(text, sizeof text, fmt, ap);
    memset(err, 0, sizeof *err);
    err->status = status;
    copy_line(err->code, sizeof err->code, code);
    copy_line(err->file, sizeof err->file, where->file);
    if (where->object) {
        struct rr_shown shown = rr_show(where->object, strlen(where->object));
        copy_line(err->object, sizeof err->object, shown.s);
    }
    err->offset = where->offset;
    err->line = where->line;
    err->column = where->column;
    copy_line(err->text, sizeof err->text, text);
    return status;
}

int rr_fail_(struct rr_error *err, int status, const char *code, const struct rr_where *where,
             const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    rr_vfail(err, status, code, where, fmt, ap);
    va_end(ap);
    return status;
}

void rr_error_add_object(struct rr_error *err, const char *what, const char *name)
{
    char object[sizeof err->object];
    if (!err)
        return;
    snprintf(object, sizeof object, "%s %s%s%.60s", what, rr_show(name, strlen(name)).s,
             err->object[0] ? ", " : "", err->object);
    copy_line(err->object, sizeof err->object, object);
}

void rr_fail_memory_(struct rr_error *err, const char *what, size_t n_bytes)
{
    rr_fail_(err, RR_ERR_MEMORY, "OUT_OF_MEMORY", RR_AT_OBJECT(NULL, what),
             "%zu bytes could not be had", n_bytes);
}

size_t rr_error_format(char *out, size_t size, const struct rr_error *err)
{
    char place[480] = "", line[64] = "", at[48] = "";
    if (err->line > 0 && err->column > 0)
        snprintf(line, sizeof line, ":%lld:%lld", err->line, err->column);
    else if (err->line > 0)
        snprintf(line, sizeof line, ":%lld", err->line);
    if (err->offset >= 0)
        snprintf(at, sizeof at, "%sbyte %lld", err->object[0] ? " at " : "at ", err->offset);
    if (err->file[0] || line[0])
        snprintf(place, sizeof place, " %s%s:", err->file, line);
    const char *sep = (err->object[0] || at[0]) ? ": " : "";
    int n = snprintf(out, size, "error[%s]%s%s%s%s%s%s",
                     err->code[0] ? err->code : rr_status_text(err->status), place,
                     sep[0] ? " " : "", err->object, at, sep[0] ? ": " : " ", err->text);
    return n < 0 ? 0 : (size_t)n;
}
