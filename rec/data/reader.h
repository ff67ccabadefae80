/* What the readers of all formats share: where they put what they found, what becomes of a bad
 * line, and the numbering at the end. Not for other folders. */
#ifndef RR_READER_H
#define RR_READER_H

#include "rec/data/dataset.h"
#include "rec/data/ids.h"
#include "rec/data/text.h"

struct rr_row {
    int user, item; /* numbers in the reader's sets */
    float value;
    int64_t time;
    long long line;
};

struct rr_reader {
    struct rr_dataset *d;
    const struct rr_data_options *o;
    double scale[3]; /* as given: a step of 0.1 is no float */
    struct rr_error *err;
    const struct rr_files *files;
    struct rr_ids users, items;
    struct rr_ids known_users; /* of a file of users; n 0: there is none */
    const char **titles;       /* [items.n], NULL: none */
    size_t cap_titles;
    struct rr_row *rows;
    size_t n_rows, cap_rows;
};

/* A line was bad and is left out (lenient): go on with the next. */
#define RR_SKIP 1

/* A bad line at a place: strict fails with RR_ERR_DATA, lenient counts it under its code and
 * returns RR_SKIP. */
int rr_reader_bad(struct rr_reader *r, const char *code, const struct rr_where *where,
                  const char *fmt, ...) RR_PRINTF(4, 5);
/* Something legal that is left out: n more of it. */
void rr_reader_drop(struct rr_reader *r, const char *reason, const struct rr_where *where,
                    long long n);

/* An item of the catalogue. title may be NULL. Twice the same id is bad ("DUPLICATE"), an empty
 * title too ("TITLE"). */
int rr_reader_item(struct rr_reader *r, const struct rr_field *id, const struct rr_field *title,
                   const struct rr_where *where);
/* A rating; adds users, and items unless there is a file of items. column is that of the user,
 * for errors. */
int rr_reader_rating(struct rr_reader *r, const struct rr_field *user, const struct rr_field *item,
                     float value, int64_t time, const struct rr_where *where);

/* Parsers of fields: RR_OK, RR_SKIP or a status. where gives the place. */
int rr_reader_value(struct rr_reader *r, float *out, const struct rr_field *f,
                    const struct rr_where *where);
int rr_reader_time(struct rr_reader *r, int64_t *out, const struct rr_field *f,
                   const struct rr_where *where);

/* The scale is [min, max] in steps; step 0: any number between. An option overrides it. */
void rr_reader_scale(struct rr_reader *r, float min, float max, float step);
/* Thresholds, unless options say otherwise. */
void rr_reader_thresholds(struct rr_reader *r, float like, float dislike);

/* A field as a title of the data set: UTF-8, no control characters; NULL: memory is out. */
const char *rr_reader_title(struct rr_reader *r, const struct rr_field *f);

/* Duplicates, filters, k-core, numbers. */
int rr_reader_finish(struct rr_reader *r);
void rr_reader_release(struct rr_reader *r);

/* The formats. Each fills r; rr_dataset_parse does the rest. */
int rr_read_ml100k(struct rr_reader *r);
int rr_read_ml1m(struct rr_reader *r);
int rr_read_bookcrossing(struct rr_reader *r);
int rr_read_recbole(struct rr_reader *r);
int rr_read_csv(struct rr_reader *r);

#endif
