/* Lines of a stream, of any length up to a cap, with their numbers for errors. */
#ifndef TOOLS_LINES_H
#define TOOLS_LINES_H

#include <stdio.h>
#include "engine/base/fail.h"
#include "engine/base/mem.h"

struct lines {
    FILE *f;
    const char *name;
    char *buffer;
    size_t cap;
    long long number;
};

struct line {
    const char *text; /* without the line break; valid until the next call */
    size_t n;
    const char *file;
    long long number;
};

void lines_open(struct lines *l, FILE *f, const char *name);
/* 1: *ln is the next line; 0: the end; negative: a status, with err filled. */
int lines_next(struct lines *l, struct line *ln, struct rr_error *err);
void lines_close(struct lines *l);
/* Puts the line's place into an error that another module made of its text. */
void lines_locate(struct rr_error *err, const struct line *ln);

#endif
