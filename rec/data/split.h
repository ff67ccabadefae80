/* The leave-one-out split of spec/method.md, section 2: likes in order, the last one tests, the
 * one before validates. */
#ifndef RR_SPLIT_H
#define RR_SPLIT_H

#include "engine/base/rng.h"
#include "rec/data/dataset.h"

enum rr_split_order {
    RR_SPLIT_BY_TIME, /* time, and file order among equal times */
    RR_SPLIT_BY_FILE  /* file order alone: for data without times */
};

/* Who counts in the metrics (spec/method.md, section 2): with direct recommenders, users who have
 * training likes and whose test item has some; with sequential ones, users with at least two
 * training likes. */
enum rr_count_rule { RR_COUNT_DIRECT, RR_COUNT_SEQUENTIAL };

/* Per user, in the split's order. Arrays are indexed start[u] .. start[u + 1]. */
struct rr_split {
    const struct rr_dataset *data;
    enum rr_split_order order;
    enum rr_count_rule count; /* direct, unless the caller changes it */
    /* Likes for training. */
    size_t *train_start; /* [n_users + 1] */
    struct rr_rating *train;
    /* Everything rated but the validation and test items: what a prompt or a rating model may
     * know. */
    size_t *rated_start; /* [n_users + 1] */
    struct rr_rating *rated;
    struct rr_rating *valid, *test; /* [n_users], item -1: none */
    int *train_count;               /* [n_items] likes in training */
    int n_likes, n_dislikes, n_train_items, n_users_with_likes,
        n_too_few;    /* the last: fewer than 3 likes, all of them train */
    long long n_ties; /* users whose last two likes have the same time: file order decides */
};

/* The order that suits the data: by time where it has times. */
enum rr_split_order rr_split_default_order(const struct rr_dataset *d);
/* The dataset must outlive the split. RR_ERR_USAGE "ORDER": by time, and the data has none. */
int rr_split_make(struct rr_split *s, const struct rr_dataset *d, enum rr_split_order order,
                  struct rr_error *err);
void rr_split_free(struct rr_split *s);

/* A split like s whose training part lacks the entries of s->rated that `hidden` marks
 * [rated_start[n_users]]: what a model may know that must not have seen them. valid and test are
 * as in s. Release with rr_split_free; s->data must outlive it. */
int rr_split_without(struct rr_split *out, const struct rr_split *s, const unsigned char *hidden,
                     struct rr_error *err);

/* A random split by ratio for comparison with published tables (RecBole's "RO, RS"): of each
 * user's likes, shuffled, a share trains and the rest is held out. Fills the training part of s
 * (valid and test stay empty) and the two held-out parts, per user. */
struct rr_held_out {
    size_t *start; /* [n_users + 1] */
    int *items;
};
int rr_split_ratio(struct rr_split *s, struct rr_held_out *valid, struct rr_held_out *test,
                   const struct rr_dataset *d, const double share[3], uint64_t seed,
                   struct rr_error *err);
void rr_held_out_free(struct rr_held_out *h);

enum rr_split_part { RR_SPLIT_TRAIN, RR_SPLIT_VALID, RR_SPLIT_TEST };
/* Appends the lines "user item rating time\n" of a part, ordered by user, then time. */
void rr_split_write(struct rr_buf *out, const struct rr_split *s, enum rr_split_part part);

/* Whether training has item among user's likes. */
int rr_split_is_train(const struct rr_split *s, int user, int item);
/* Whether the user counts in the metrics: by the split's rule, which the caller may change. */
int rr_split_counts(const struct rr_split *s, int user);

#endif
