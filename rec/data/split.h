/* The leave-one-out split of spec/method.md, section 2: likes by time, the last one tests, the
 * one before validates. */
#ifndef RR_SPLIT_H
#define RR_SPLIT_H

#include "rec/data/dataset.h"

/* Per user, in the order of time (file order among equal times). Arrays are indexed start[u] ..
 * start[u + 1]. */
struct rr_split {
    const struct rr_dataset *data;
    /* Likes for training. */
    size_t *train_start; /* [n_users + 1] */
    struct rr_rating *train;
    /* Everything rated but the validation and test items: what a prompt or a rating model may
     * know. */
    size_t *rated_start; /* [n_users + 1] */
    struct rr_rating *rated;
    struct rr_rating *valid, *test; /* [n_users], item -1: none */
    int *train_count;               /* [n_items] likes in training */
    int n_likes, n_train_items, n_users_with_likes,
        n_too_few; /* the last: fewer than 3 likes, all of them train */
};

/* The dataset must outlive the split. */
int rr_split_make(struct rr_split *s, const struct rr_dataset *d, struct rr_error *err);
void rr_split_free(struct rr_split *s);

enum rr_split_part { RR_SPLIT_TRAIN, RR_SPLIT_VALID, RR_SPLIT_TEST };
/* Appends the lines "user item rating time\n" of a part, ordered by user, then time. */
void rr_split_write(struct rr_buf *out, const struct rr_split *s, enum rr_split_part part);

/* Whether training has item among user's likes. */
int rr_split_is_train(const struct rr_split *s, int user, int item);
/* Whether the user counts in the metrics of a direct recommender: user and test item both occur
 * in training. */
int rr_split_counts(const struct rr_split *s, int user);

#endif
