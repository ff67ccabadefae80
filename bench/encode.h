/* What bench/encode.c and bench/encode_sentencepiece.cc have in common: the text and the report.
 * Both are run as
 *
 *     PROGRAM TOKENIZER.MODEL TEXT lines|documents [IDS]
 *
 * encode TEXT once, message by message, and print the bytes and the seconds that encoding took;
 * with IDS they write all ids there as native 32-bit integers, -1 behind each message, and the time
 * is not worth anything. C and C++. */
#ifndef BENCH_ENCODE_H
#define BENCH_ENCODE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct text {
    char *data;
    size_t n;
    size_t document; /* bytes of a message; 0: a line */
};

static inline void die(const char *what)
{
    fprintf(stderr, "encode: %s\n", what);
    exit(1);
}

static inline struct text read_text(int argc, char **argv)
{
    struct text t = {NULL, 0, 0};
    if (argc < 4 || argc > 5)
        die("usage: PROGRAM TOKENIZER.MODEL TEXT lines|documents [IDS]");
    FILE *f = fopen(argv[2], "rb");
    if (!f || fseek(f, 0, SEEK_END) != 0)
        die("no text");
    t.n = (size_t)ftell(f);
    rewind(f);
    t.data = (char *)malloc(t.n + 1);
    if (!t.data || fread(t.data, 1, t.n, f) != t.n)
        die("the text cannot be read");
    fclose(f);
    t.document = strcmp(argv[3], "documents") == 0 ? 65536 : 0;
    return t;
}

/* Bytes of the message at `at`: a line without its end, or whole lines of a document's size. */
static inline size_t message(const struct text *t, size_t at)
{
    const size_t from = at + t->document < t->n ? at + t->document : t->n;
    const char *end = (const char *)memchr(t->data + from, '\n', t->n - from);
    return end ? (size_t)(end - t->data) - at : t->n - at;
}

static inline double now(void)
{
    struct timespec s;
    clock_gettime(CLOCK_MONOTONIC, &s);
    return (double)s.tv_sec + 1e-9 * (double)s.tv_nsec;
}

#endif
