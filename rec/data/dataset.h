/* A data set: users, items with titles, ratings in file order; from a folder in one of the known
 * formats.
 *
 * Users and items are dense numbers here, in ascending order of their ids as the files spell
 * them; ids and titles are kept as text. Two items may have the same title: only the number
 * tells them apart. Titles are valid UTF-8 without control characters. */
#ifndef RR_DATASET_H
#define RR_DATASET_H

#include <stdint.h>
#include "engine/base/fail.h"
#include "engine/base/mem.h"

struct rr_rating {
    int user, item;
    float value;
    int64_t time; /* seconds */
};

struct rr_dataset {
    const char *name; /* the format: "ml-100k", "ml-1m" */
    const char *path;
    const char *noun; /* what an item is: "movie" */
    int n_users, n_items;
    const char **user_ids, **item_ids; /* [n_users], [n_items] */
    const char **titles;               /* [n_items] */
    struct rr_rating *ratings;         /* in file order */
    size_t n_ratings;
    float rating_min, rating_max; /* the scale */
    float like, dislike;          /* >= like is liked, <= dislike disliked */
    char fingerprint[65];         /* sha256 of the files read */
    struct rr_arena arena;
};

/* Opens dir. RR_ERR_OPEN: no known data set there, or a file missing; RR_ERR_DATA with file and
 * line otherwise. */
int rr_dataset_open(struct rr_dataset *d, const char *dir, struct rr_error *err);
void rr_dataset_close(struct rr_dataset *d);
/* The number of the user whose id is the text, or -1. */
int rr_dataset_user(const struct rr_dataset *d, const char *id);

/* The files of MovieLens-100K and -1M in memory (also what the fuzz targets call). d must be
 * zero-initialised; on failure the caller closes it. */
struct rr_bytes {
    const char *p;
    size_t n;
    const char *file;
};
typedef int rr_dataset_parse_fn(struct rr_dataset *d, const struct rr_bytes *ratings,
                                const struct rr_bytes *items, struct rr_error *err);
rr_dataset_parse_fn rr_dataset_parse_ml100k, rr_dataset_parse_ml1m;

#endif
