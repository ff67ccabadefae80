/* See split.h. */
#include "rec/data/split.h"

#include <stdlib.h>

/* qsort is not stable: the place in the file decides among equals. */
struct ordered {
    struct rr_rating r;
    size_t at;
};

static int by_user_and_time(const void *a, const void *b)
{
    const struct ordered *x = a, *y = b;
    if (x->r.user != y->r.user)
        return x->r.user > y->r.user ? 1 : -1;
    if (x->r.time != y->r.time)
        return x->r.time > y->r.time ? 1 : -1;
    return (x->at > y->at) - (x->at < y->at);
}

/* One user's ratings, in order: the last two likes are held out when there are three. */
static void split_user(struct rr_split *s, int user, const struct ordered *r, size_t n,
                       size_t *n_train, size_t *n_rated)
{
    const float like = s->data->like;
    size_t likes = 0, seen = 0;
    for (size_t i = 0; i < n; i++)
        likes += r[i].r.value >= like;
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
        } else {
            s->rated[(*n_rated)++] = r[i].r;
            if (liked) {
                s->train[(*n_train)++] = r[i].r;
                s->train_count[r[i].r.item]++;
            }
        }
    }
}

int rr_split_make(struct rr_split *s, const struct rr_dataset *d, struct rr_error *err)
{
    const size_t n = d->n_ratings, users = (size_t)d->n_users;
    *s = (struct rr_split){.data = d};
    struct ordered *sorted = rr_alloc(n, sizeof *sorted);
    s->train = rr_alloc(n, sizeof *s->train);
    s->rated = rr_alloc(n, sizeof *s->rated);
    s->train_start = rr_zalloc(users + 1, sizeof *s->train_start);
    s->rated_start = rr_zalloc(users + 1, sizeof *s->rated_start);
    s->valid = rr_zalloc(users, sizeof *s->valid);
    s->test = rr_zalloc(users, sizeof *s->test);
    s->train_count = rr_zalloc((size_t)d->n_items, sizeof *s->train_count);
    if (!sorted || !s->train || !s->rated || !s->train_start || !s->rated_start || !s->valid ||
        !s->test || !s->train_count) {
        rr_free(sorted);
        rr_split_free(s);
        return rr_fail_memory(err, "split", n * sizeof *sorted);
    }
    for (size_t i = 0; i < n; i++)
        sorted[i] = (struct ordered){d->ratings[i], i};
    qsort(sorted, n, sizeof *sorted, by_user_and_time);
    size_t at = 0, n_train = 0, n_rated = 0;
    for (int u = 0; u < d->n_users; u++) {
        size_t from = at;
        while (at < n && sorted[at].r.user == u)
            at++;
        s->valid[u].item = s->test[u].item = -1;
        s->train_start[u] = n_train;
        s->rated_start[u] = n_rated;
        split_user(s, u, sorted + from, at - from, &n_train, &n_rated);
    }
    s->train_start[users] = n_train;
    s->rated_start[users] = n_rated;
    for (int i = 0; i < d->n_items; i++)
        s->n_train_items += s->train_count[i] > 0;
    rr_free(sorted);
    return RR_OK;
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
    rr_buf_printf(out, "%s %s %g %lld\n", d->user_ids[r->user], d->item_ids[r->item],
                  (double)r->value, (long long)r->time);
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
    return s->test[user].item >= 0 && s->train_start[user] < s->train_start[user + 1] &&
           s->train_count[s->test[user].item] > 0;
}
