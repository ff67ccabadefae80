/* Records of a text with quoted fields (RFC 4180), for the readers of CSV and BookCrossing. */
#ifndef RR_CSV_H
#define RR_CSV_H

#include "rec/data/text.h"

/* A field in double quotes may hold separators and line breaks; "" in it stands for one quote, and
 * with `backslash` so does \" (and \\ for one backslash). */
struct rr_csv {
    const char *text, *file;
    size_t n, at;
    char separator;
    bool backslash;
    bool no_quotes;      /* quotes are letters like any other */
    long long line;      /* number of the current record's first line */
    long long next_line; /* and of the line behind it */
    char *decoded;       /* fields of the current record */
    size_t cap_decoded;
};

/* Refuses what is no plain text (rr_text_check) and starts behind a byte order mark. */
int rr_csv_open(struct rr_csv *c, const char *text, size_t n, const char *file, char separator,
                bool backslash, struct rr_error *err);
void rr_csv_close(struct rr_csv *c);

/* What became of a record. */
enum rr_csv_result { RR_CSV_END, RR_CSV_RECORD, RR_CSV_BAD };

/* Reads the next record into at most cap fields, *n of them in all; blank lines are passed over.
 * Fields are valid until the next call. RR_CSV_BAD: a quote that is never closed ("QUOTE", at the
 * line and column where it opens), text behind a closing quote ("QUOTE"), a zero byte or too long
 * a record ("LINE"); *err says which, and the next call goes on behind the record's first line.
 * Negative: a status. */
int rr_csv_next(struct rr_csv *c, struct rr_field *fields, size_t cap, size_t *n,
                struct rr_error *err);

#endif
