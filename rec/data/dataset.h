/* A data set: users, items with titles, ratings in file order; from a folder or file in one of the
 * known formats.
 *
 * Users and items are dense numbers here, in ascending order of their ids as the files spell
 * them (numerically when all are numbers, else by bytes); ids and titles are kept as text. Two
 * items may have the same title: only the number tells them apart. Titles are valid UTF-8 without
 * control characters. */
#ifndef RR_DATASET_H
#define RR_DATASET_H

#include <stdint.h>
#include "engine/base/fail.h"
#include "engine/base/mem.h"

struct rr_rating {
    int user, item;
    float value;
    int64_t time; /* seconds; 0 everywhere when the files have none */
};

/* How files are read and what is kept of them. Zero-initialised is not valid: start from
 * rr_data_defaults. */
struct rr_data_options {
    bool lenient;         /* skip bad lines and count them, instead of stopping at the first */
    int core;             /* k of the iterated k-core over users and items; 0: none;
                             -1: the format's own (BookCrossing 10, others none) */
    double min_rating;    /* lower ratings are dropped; NaN: none are */
    double like, dislike; /* >= like is liked, <= dislike disliked; NaN: the format's own */
    double scale[3];      /* lowest, highest rating and step; NaN: the format's own */
    const char *columns;  /* CSV: "user=NAME,item=NAME,rating=NAME,time=NAME,title=NAME", any
                             part of it; NULL: the usual names */
};
void rr_data_defaults(struct rr_data_options *o);

/* What was left out and why: bad lines (lenient), filters, what the format itself says to drop. */
struct rr_dropped {
    char reason[48]; /* an error code, or words */
    bool bad;        /* a line that the strict policy refuses */
    long long n;     /* lines or ratings */
    char file[64];   /* name of the file of the first, without its folder; "" for a filter */
    long long line;  /* of the first; 0 for a filter */
};
#define RR_MAX_DROPPED 24

enum rr_format {
    RR_FORMAT_ML100K,
    RR_FORMAT_ML1M,
    RR_FORMAT_BOOKCROSSING,
    RR_FORMAT_RECBOLE,
    RR_FORMAT_CSV,
    RR_FORMAT_COUNT
};

struct rr_dataset {
    const char *name; /* the format: "ml-100k", "ml-1m", "bookcrossing", "recbole", "csv" */
    const char *path;
    const char *noun, *nouns; /* what an item is, one and many: "movie", "movies" */
    int n_users, n_items;
    const char **user_ids, **item_ids; /* [n_users], [n_items] */
    const char **titles;               /* [n_items] */
    struct rr_rating *ratings;         /* in file order */
    size_t n_ratings;
    float rating_min, rating_max, rating_step; /* the scale; step 0: any number between */
    bool scale_found;           /* nothing names the scale: it is that of the ratings found */
    float like, dislike;        /* >= like is liked, <= dislike disliked */
    bool has_times, has_titles; /* without titles, ids stand in for them */
    bool has_ratings;           /* without, every line is a like of the highest rating */
    int core;                   /* of the k-core that was kept, 0: all */
    char fingerprint[65];       /* sha256 of the files read */
    char settings[160];         /* the options in force, as text: part of every identity */
    long long n_lines;          /* data lines read, bad ones included */
    long long n_bad;            /* bad lines skipped */
    int n_latin1;               /* titles that were not UTF-8 and were read as ISO-8859-1 */
    struct rr_dropped dropped[RR_MAX_DROPPED];
    int n_dropped;
    struct rr_arena arena;
};

/* Opens a folder or a file; o may be NULL (strict, the format's own choices). RR_ERR_OPEN: no known
 * data set there, or a file missing; RR_ERR_DATA with file, line and column otherwise. */
int rr_dataset_open(struct rr_dataset *d, const char *path, const struct rr_data_options *o,
                    struct rr_error *err);
void rr_dataset_close(struct rr_dataset *d);
/* The number of the user or item whose id is the text, or -1. */
int rr_dataset_user(const struct rr_dataset *d, const char *id);
int rr_dataset_item(const struct rr_dataset *d, const char *id);

/* Share of bad lines that a lenient reading forgives. */
#define RR_LENIENT_SHARE 0.001
static inline bool rr_dataset_too_bad(const struct rr_dataset *d)
{
    return (double)d->n_bad > RR_LENIENT_SHARE * (double)d->n_lines;
}

/* The files of a data set in memory (also what the fuzz targets call). users and items may have
 * p NULL where the format does without. d must be zero-initialised; on failure the caller closes
 * it. */
struct rr_bytes {
    const char *p;
    size_t n;
    const char *file;
};
struct rr_files {
    struct rr_bytes ratings, items, users;
};
int rr_dataset_parse(struct rr_dataset *d, enum rr_format format, const struct rr_files *files,
                     const struct rr_data_options *o, struct rr_error *err);
/* rr_dataset_open for files in memory, which may go afterwards; path names them. */
int rr_dataset_open_memory(struct rr_dataset *d, const char *path, enum rr_format format,
                           const struct rr_files *files, const struct rr_data_options *o,
                           struct rr_error *err);

#endif
