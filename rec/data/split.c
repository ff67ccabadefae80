/* See split.h. */
#include "rec/data/split.h"

#include <stdlib.h>
#include "engine/base/number.h"

/* qsort is not stable: the place in the file decides among equals. */
struct ordered {
    struct rr_rating r;
    int64_t key; /* time, or 0 everywhere */
    size_t at;
};

static int by_user_and_key(const void *a, const void *b)
{
    const struct ordered *x = a, *y = b;
    if (x->r.user != y->r.user)
        return x->r.user > y->r.user ? 1 : -1;
    if (x->key != y->key)
        return x->key > y->key ? 1 : -1;
    return (x->at > y->at) - (x->at < y->at);
}

static int64_t last_like_time(const struct ordered *r, size_t n, float like)
{
    while (n > 0 && r[n - 1].r.value < like)
        n--;
    return n ? r[n - 1].r.time : 0;
}

/* One user's ratings, in order: the last two likes are held out when there are three. */
static void split_user(struct rr_split *s, int user, const struct ordered *r, size_t n,
                       size_t *n_train, size_t *n_rated)
{
    const float like = s->data->like;
    size_t likes = 0, seen = 0;
    for (size_t i = 0; i < n; i++) {
        likes += r[i].r.value >= like;
        s->n_dislikes += r[i].r.value <= s->data->dislike;
    }
    s->n_likes += (int)likes;
    s->n_users_with_likes += likes > 0;
    s->n_too_few += likes > 0 && likes < 3;
    for (size_t i = 0; i < n; i++) {
        const bool liked = r[i].r.value >= like;
        seen += liked;
        if (liked && likes >= 3 && seen == likes) {
            s->test[user] = r[i].r;
        } else if (liked && likes >= 3 && seen == likes - 1) {
            s->valid[user] = r[i].r;
            s->n_ties += s->order == RR_SPLIT_BY_TIME && last_like_time(r, n, like) == r[i].r.time;
        } else {
            s->rated[(*n_rated)++] = r[i].r;
            if (liked) {
                s->train[(*n_train)++] = r[i].r;
                s->train_count[r[i].r.item]++;
            }
        }
    }
}

enum rr_split_order rr_split_default_order(const struct rr_dataset *d)
{
    return d->has_times ? RR_SPLIT_BY_TIME : RR_SPLIT_BY_FILE;
}

static int allocate(struct rr_split *s, const struct rr_dataset *d, struct rr_error *err)
{
    const size_t n = d->n_ratings, users = (size_t)d->n_users;
    *s = (struct rr_split){.data = d};
    s->train = rr_alloc(n, sizeof *s->train);
    s->rated = rr_alloc(n, sizeof *s->rated);
    s->train_start = rr_zalloc(users + 1, sizeof *s->train_start);
    s->rated_start = rr_zalloc(users + 1, sizeof *s->rated_start);
    s->valid = rr_zalloc(users, sizeof *s->valid);
    s->test = rr_zalloc(users, sizeof *s->test);
    s->train_count = rr_zalloc((size_t)d->n_items, sizeof *s->train_count);
    if (!s->train || !s->rated || !s->train_start || !s->rated_start || !s->valid || !s->test ||
        !s->train_count) {
        rr_split_free(s);
        return rr_fail_memory(err, "split", 2 * n * sizeof *s->train);
    }
    for (size_t u = 0; u < users; u++)
        s->valid[u].item = s->test[u].item = -1;
    return RR_OK;
}

static void count_train_items(struct rr_split *s)
{
    for (int i = 0; i < s->data->n_items; i++)
        s->n_train_items += s->train_count[i] > 0;
}

int rr_split_make(struct rr_split *s, const struct rr_dataset *d, enum rr_split_order order,
                  struct rr_error *err)
{
    const size_t n = d->n_ratings, users = (size_t)d->n_users;
    *s = (struct rr_split){0};
    if (order == RR_SPLIT_BY_TIME && !d->has_times)
        return rr_fail(err, RR_ERR_USAGE, "ORDER", RR_AT_FILE(d->path),
                       "a split by time, and the data has no times; split by file order");
    int rc = allocate(s, d, err);
    struct ordered *sorted = rc ? NULL : rr_alloc(n, sizeof *sorted);
    if (!rc && !sorted) {
        rr_split_free(s);
        rc = rr_fail_memory(err, "split", n * sizeof *sorted);
    }
    if (rc)
        return rc;
    s->order = order;
    for (size_t i = 0; i < n; i++)
        sorted[i] =
            (struct ordered){d->ratings[i], order == RR_SPLIT_BY_TIME ? d->ratings[i].time : 0, i};
    qsort(sorted, n, sizeof *sorted, by_user_and_key);
    size_t at = 0, n_train = 0, n_rated = 0;
    for (int u = 0; u < d->n_users; u++) {
        size_t from = at;
        while (at < n && sorted[at].r.user == u)
            at++;
        s->train_start[u] = n_train;
        s->rated_start[u] = n_rated;
        split_user(s, u, sorted + from, at - from, &n_train, &n_rated);
    }
    s->train_start[users] = n_train;
    s->rated_start[users] = n_rated;
    count_train_items(s);
    rr_free(sorted);
    return RR_OK;
}

int rr_split_without(struct rr_split *out, const struct rr_split *s, const unsigned char *hidden,
                     struct rr_error *err)
{
    const struct rr_dataset *d = s->data;
    int rc = allocate(out, d, err);
    if (rc)
        return rc;
    out->order = s->order;
    size_t n_train = 0, n_rated = 0;
    for (int u = 0; u < d->n_users; u++) {
        out->train_start[u] = n_train;
        out->rated_start[u] = n_rated;
        out->valid[u] = s->valid[u];
        out->test[u] = s->test[u];
        for (size_t i = s->rated_start[u]; i < s->rated_start[u + 1]; i++) {
            if (hidden[i])
                continue;
            out->rated[n_rated++] = s->rated[i];
            if (s->rated[i].value >= d->like) {
                out->train[n_train++] = s->rated[i];
                out->train_count[s->rated[i].item]++;
            }
        }
    }
    out->train_start[d->n_users] = n_train;
    out->rated_start[d->n_users] = n_rated;
    count_train_items(out);
    return RR_OK;
}

static bool held_out_alloc(struct rr_held_out *h, size_t users, size_t n)
{
    *h =
        (struct rr_held_out){rr_zalloc(users + 1, sizeof *h->start), rr_alloc(n, sizeof *h->items)};
    return h->start && h->items;
}

void rr_held_out_free(struct rr_held_out *h)
{
    rr_free(h->start);
    rr_free(h->items);
    *h = (struct rr_held_out){0};
}

/* Of n ratings, how many go to the part behind `share` of them, at least none. */
static size_t part_of(size_t n, double share)
{
    return (size_t)((double)n * share);
}

int rr_split_ratio(struct rr_split *s, struct rr_held_out *valid, struct rr_held_out *test,
                   const struct rr_dataset *d, const double share[3], uint64_t seed,
                   struct rr_error *err)
{
    const size_t users = (size_t)d->n_users;
    const double sum = share[0] + share[1] + share[2];
    struct rr_rng rng;
    *valid = *test = (struct rr_held_out){0};
    int rc = allocate(s, d, err), *mine = rc ? NULL : rr_alloc(d->n_ratings, sizeof *mine);
    size_t *from = rc ? NULL : rr_zalloc(users + 1, sizeof *from);
    if (!rc && (!mine || !from || !held_out_alloc(valid, users, d->n_ratings) ||
                !held_out_alloc(test, users, d->n_ratings))) {
        rr_split_free(s);
        rr_held_out_free(valid);
        rr_held_out_free(test);
        rc = rr_fail_memory(err, "split", d->n_ratings * sizeof *mine);
    }
    for (size_t i = 0; !rc && i < d->n_ratings; i++)
        from[d->ratings[i].user + 1] += d->ratings[i].value >= d->like;
    for (size_t u = 0; !rc && u < users; u++)
        from[u + 1] += from[u];
    /* Counting sort by user: mine[] lists each user's likes as places in d->ratings. */
    for (size_t i = 0; !rc && i < d->n_ratings; i++)
        if (d->ratings[i].value >= d->like)
            mine[from[d->ratings[i].user]++] = (int)i;
    rr_rng_seed(&rng, seed);
    size_t at = 0, n_train = 0, n_valid = 0, n_test = 0;
    for (size_t u = 0; !rc && u < users; u++) {
        const size_t n = from[u] - at; /* the sort moved from[u] to the end of u */
        const size_t v = part_of(n, share[1] / sum), t = part_of(n, share[2] / sum);
        rr_rng_shuffle(&rng, mine + at, n);
        for (size_t i = 0; i < n; i++) {
            const struct rr_rating *r = &d->ratings[mine[at + i]];
            if (i < n - v - t) {
                s->train[n_train] = s->rated[n_train] = *r;
                s->train_count[r->item]++;
                n_train++;
            } else if (i < n - t) {
                valid->items[n_valid++] = r->item;
            } else {
                test->items[n_test++] = r->item;
            }
        }
        at += n;
        s->train_start[u + 1] = s->rated_start[u + 1] = n_train;
        valid->start[u + 1] = n_valid;
        test->start[u + 1] = n_test;
        s->n_likes += (int)n;
        s->n_users_with_likes += n > 0;
    }
    if (!rc)
        count_train_items(s);
    rr_free(mine);
    rr_free(from);
    return rc;
}

void rr_split_free(struct rr_split *s)
{
    rr_free(s->train);
    rr_free(s->rated);
    rr_free(s->train_start);
    rr_free(s->rated_start);
    rr_free(s->valid);
    rr_free(s->test);
    rr_free(s->train_count);
    *s = (struct rr_split){0};
}

static void write_line(struct rr_buf *out, const struct rr_dataset *d, const struct rr_rating *r)
{
    char value[32];
    rr_buf_printf(out, "%s %s %s %lld\n", d->user_ids[r->user], d->item_ids[r->item],
                  rr_format_short(value, (double)r->value), (long long)r->time);
}

void rr_split_write(struct rr_buf *out, const struct rr_split *s, enum rr_split_part part)
{
    for (int u = 0; u < s->data->n_users; u++) {
        if (part == RR_SPLIT_TRAIN)
            for (size_t i = s->train_start[u]; i < s->train_start[u + 1]; i++)
                write_line(out, s->data, &s->train[i]);
        const struct rr_rating *one = part == RR_SPLIT_VALID ? &s->valid[u] : &s->test[u];
        if (part != RR_SPLIT_TRAIN && one->item >= 0)
            write_line(out, s->data, one);
    }
}

int rr_split_is_train(const struct rr_split *s, int user, int item)
{
    for (size_t i = s->train_start[user]; i < s->train_start[user + 1]; i++)
        if (s->train[i].item == item)
            return 1;
    return 0;
}

int rr_split_counts(const struct rr_split *s, int user)
{
    if (s->count == RR_COUNT_SEQUENTIAL)
        return s->test[user].item >= 0 && s->train_start[user + 1] - s->train_start[user] >= 2;
    return s->test[user].item >= 0 && s->train_start[user] < s->train_start[user + 1] &&
           s->train_count[s->test[user].item] > 0;
}
