/* How library code fills a struct rr_error. Kept apart from status.h, which is public. */
#ifndef RR_FAIL_H
#define RR_FAIL_H

#include <stdarg.h>
#include <stddef.h>
#include "engine/base/status.h"

/* The place an error points at. object may be untrusted bytes: it is escaped and cut when
 * stored. */
struct rr_where {
    const char *file;
    const char *object;
    long long offset; /* -1: none */
    long long line, column;
};

#define RR_NOWHERE (&(struct rr_where){.offset = -1})
#define RR_AT_FILE(f) (&(struct rr_where){.file = (f), .offset = -1})
#define RR_AT_OBJECT(f, o) (&(struct rr_where){.file = (f), .object = (o), .offset = -1})
#define RR_AT_BYTE(f, o, at)                                                                       \
    (&(struct rr_where){.file = (f), .object = (o), .offset = (long long)(at)})
#define RR_AT_LINE(f, o, l, c)                                                                     \
    (&(struct rr_where){.file = (f), .object = (o), .offset = -1, .line = (l), .column = (c)})

#if defined(__GNUC__)
#define RR_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define RR_PRINTF(fmt, args)
#endif

/* Fills *err (if not NULL) and returns status, so that callers write `return rr_fail(...)`. */
int rr_fail_(struct rr_error *err, int status, const char *code, const struct rr_where *where,
             const char *fmt, ...) RR_PRINTF(5, 6);
int rr_vfail(struct rr_error *err, int status, const char *code, const struct rr_where *where,
             const char *fmt, va_list ap);

/* Says whom a failure further down is about, when it does not say so itself: object becomes
 * "what name". */
void rr_error_add_object(struct rr_error *err, const char *what, const char *name);

/* Out of memory while making n_bytes for `what`. */
void rr_fail_memory_(struct rr_error *err, const char *what, size_t n_bytes);

/* Macros only so that compilers and analysers see which value comes back. */
#define rr_fail(err, status, ...) (rr_fail_(err, status, __VA_ARGS__), (status))
#define rr_fail_memory(err, what, n_bytes) (rr_fail_memory_(err, what, n_bytes), (int)RR_ERR_MEMORY)

/* Untrusted bytes made printable: non-ASCII and control bytes as \xHH, at most 64 characters,
 * then "...". Returned by value so that rr_show(p, n).s can stand in an argument list. */
struct rr_shown {
    char s[72];
};
struct rr_shown rr_show(const char *bytes, size_t n);

#endif
