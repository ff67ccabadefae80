/* Status codes and error detail: how every module of recrank reports a failure.
 *
 * A function that can fail returns 0 or one of the negative codes below and, when the caller
 * passed a struct rr_error, fills it. The library never prints, exits or aborts. This file is
 * also the head of the installed recrank.h, so it includes nothing but C's own headers. */
#ifndef RR_STATUS_H
#define RR_STATUS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Stable numbers: minus the exit code that the command line tool leaves with. */
enum rr_status {
    RR_OK = 0,
    RR_ERR_FAILED = -1,       /* anything that has no code of its own */
    RR_ERR_USAGE = -2,        /* the caller's arguments make no sense */
    RR_ERR_DATA = -65,        /* a file or text does not hold what it should */
    RR_ERR_OPEN = -66,        /* a file is missing or cannot be opened */
    RR_ERR_MEMORY = -71,      /* out of memory, or over a stated budget */
    RR_ERR_IO = -74,          /* reading or writing failed half-way */
    RR_ERR_BUSY = -75,        /* another process holds it; later it may work */
    RR_ERR_INTERRUPTED = -130 /* a callback or signal asked to stop */
};

/* What went wrong, where, and what to do. Plain data, owned by the caller; strings are always
 * terminated and hold printable ASCII or valid UTF-8 only, whatever the input was.
 * Zero-initialise it before the first use. */
struct rr_error {
    int status;       /* enum rr_status, 0 while nothing failed */
    char code[40];    /* stable and greppable, e.g. "GGUF_TENSOR_RANGE" */
    char file[256];   /* the file, or "" */
    char object[160]; /* the tensor, key, field or user concerned, or "" */
    long long offset; /* byte offset in the file, or -1 */
    long long line;   /* 1-based line, or 0 */
    long long column; /* 1-based column (bytes), or 0 */
    char text[8192];  /* found, expected, what to do */
};

/* A short fixed text for a status, e.g. "bad data". Never NULL. Thread-safe. */
const char *rr_status_text(int status);

/* Writes "error[CODE] file: object at byte N: text" into out[size], always terminated.
 * Returns the length the full message has (as snprintf does). Thread-safe. */
size_t rr_error_format(char *out, size_t size, const struct rr_error *err);

#ifdef __cplusplus
}
#endif
#endif
