/* Texts in place of a data set's files, for the tests of its readers. */
#ifndef TESTS_MAKE_TEXTS_H
#define TESTS_MAKE_TEXTS_H

#include <string.h>
#include "rec/data/dataset.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* Texts of one data set; NULL: no such file. n_ratings 0: strlen. */
struct texts {
    const char *ratings, *items, *users;
    size_t n_ratings;
};

static const char *const file_names[RR_FORMAT_COUNT][3] = {
    [RR_FORMAT_ML100K] = {"u.data", "u.item", "u.user"},
    [RR_FORMAT_ML1M] = {"ratings.dat", "movies.dat", "users.dat"},
    [RR_FORMAT_BOOKCROSSING] = {"BX-Book-Ratings.csv", "BX-Books.csv", ""},
    [RR_FORMAT_RECBOLE] = {"r.inter", "r.item", "r.user"},
    [RR_FORMAT_CSV] = {"ratings.csv", "movies.csv", ""},
};

static inline struct rr_data_options options(bool lenient)
{
    struct rr_data_options o;
    rr_data_defaults(&o);
    o.lenient = lenient;
    o.core = 0; /* BookCrossing's ten would empty these small files */
    return o;
}

static inline struct rr_bytes bytes(const char *p, size_t n, const char *file)
{
    return (struct rr_bytes){p, !p ? 0 : n ? n : strlen(p), p ? file : NULL};
}

static inline int parse(struct rr_dataset *d, enum rr_format format, const struct texts *t,
                        const struct rr_data_options *o, struct rr_error *err)
{
    const char *const *names = file_names[format];
    const struct rr_files files = {bytes(t->ratings, t->n_ratings, names[0]),
                                   bytes(t->items, 0, names[1]), bytes(t->users, 0, names[2])};
    *d = (struct rr_dataset){0};
    *err = (struct rr_error){0};
    return rr_dataset_parse(d, format, &files, o, err);
}

#endif
