/* Lines and fields of a text file in memory, for the data readers. */
#ifndef RR_DATA_TEXT_H
#define RR_DATA_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include "engine/base/fail.h"

/* Walks over the lines of text[0..n): '\n' or '\r\n' ends one, or a lone '\r' where the text has
 * no '\n' at all; the last may lack it. */
struct rr_lines {
    const char *text, *file;
    size_t n, at;
    long long number; /* of the current line, from 1 */
    char end;
};
/* Refuses what is no plain text (rr_text_check) and starts behind a byte order mark. */
int rr_lines_open(struct rr_lines *l, const char *text, size_t n, const char *file,
                  struct rr_error *err);

/* 1: *line[0..*len) is the next line, without its end; 0: no more; negative: a status ("LINE"
 * with the place: a zero byte or a line longer than RR_MAX_LINE; the next call goes on behind
 * it). */
int rr_lines_next(struct rr_lines *l, const char **line, size_t *len, struct rr_error *err);

/* Cuts line[0..len) at every occurrence of the separator into at most cap fields; returns how many
 * there are (may exceed cap). */
struct rr_field {
    const char *s;
    size_t n;
};
size_t rr_fields_split(struct rr_field *fields, size_t cap, const char *line, size_t len,
                       const char *separator);

/* Refuses what is no plain text for us before any line is read: nothing at all, UTF-16, gzip,
 * zip. */
int rr_text_check(const char *text, size_t n, const char *file, struct rr_error *err);

#endif
