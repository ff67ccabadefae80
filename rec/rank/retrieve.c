/* See retrieve.h. */
#include "rec/rank/retrieve.h"

#include "engine/base/check.h"

struct retriever {
    struct rr_ranker *r;
    const struct rr_split *s;
    const struct rr_retrieve_options *o;
    struct rr_rated *history;
    struct rr_asked *asked;
    int *items; /* [n_items] what asked[] are */
    bool *barred;
    struct rr_reply reply;
};

/* The user's history and everything that could be liked next. */
static void make_request(struct retriever *t, struct rr_request *q, int user)
{
    const struct rr_split *s = t->s;
    const struct rr_dataset *d = s->data;
    const struct rr_rating *valid = &s->valid[user];
    const bool with_valid = t->o->with_valid && valid->item >= 0;
    *q = (struct rr_request){.history = t->history, .candidates = t->asked, .id = (uint64_t)user};
    for (size_t i = s->rated_start[user]; i < s->rated_start[user + 1]; i++)
        t->history[q->n_history++] =
            (struct rr_rated){d->titles[s->rated[i].item], s->rated[i].value};
    if (with_valid)
        t->history[q->n_history++] = (struct rr_rated){d->titles[valid->item], valid->value};
    memset(t->barred, 0, (size_t)d->n_items * sizeof *t->barred);
    for (size_t i = s->train_start[user]; i < s->train_start[user + 1]; i++)
        t->barred[s->train[i].item] = true;
    if (with_valid)
        t->barred[valid->item] = true;
    for (int i = 0; i < d->n_items; i++)
        if (s->train_count[i] && !t->barred[i]) {
            t->items[q->n_candidates] = i;
            t->asked[q->n_candidates++] = (struct rr_asked){d->titles[i], RR_NO_HINT};
        }
}

/* The k best go to list; how many. */
static int choose(struct rr_candidate *list, int k, const struct retriever *t, int n)
{
    int kept = 0;
    for (int i = 0; i < n; i++) {
        const float score = (float)t->reply.likelihood[i];
        int at = rr_min_int(kept, k - 1);
        if (kept == k && !(score > list[at].score))
            continue;
        for (; at > 0 && score > list[at - 1].score; at--)
            list[at] = list[at - 1];
        list[at] = (struct rr_candidate){t->items[i], score};
        kept += kept < k;
    }
    return kept;
}

static int retrieve_user(struct retriever *t, struct rr_lists *l, int user, struct rr_error *err)
{
    struct rr_request q;
    size_t n = l->start[user];
    make_request(t, &q, user);
    if (q.n_candidates) {
        int rc = rr_reply_resize(&t->reply, q.n_candidates, 0, 0, err);
        if (!rc)
            rc = rr_ranker_likelihood(t->r, &q, &t->reply, err);
        if (rc)
            return rc;
        n += (size_t)choose(l->list + n, t->o->k, t, q.n_candidates);
    }
    l->n_users_listed += n > l->start[user];
    l->start[user + 1] = n;
    return RR_OK;
}

static int make_room(struct retriever *t, struct rr_lists *l, struct rr_error *err)
{
    const struct rr_dataset *d = t->s->data;
    const size_t users = (size_t)d->n_users, items = (size_t)d->n_items + 1;
    size_t longest = 0;
    for (size_t u = 0; u < users; u++) {
        const size_t n = t->s->rated_start[u + 1] - t->s->rated_start[u];
        longest = n > longest ? n : longest;
    }
    t->history = rr_alloc(longest + 1, sizeof *t->history);
    t->asked = rr_alloc(items, sizeof *t->asked);
    t->items = rr_alloc(items, sizeof *t->items);
    t->barred = rr_alloc(items, sizeof *t->barred);
    l->start = rr_zalloc(users + 1, sizeof *l->start);
    l->list = rr_alloc(users * (size_t)t->o->k, sizeof *l->list);
    l->scored = true;
    return t->history && t->asked && t->items && t->barred && l->start && l->list
               ? RR_OK
               : rr_fail_memory(err, "candidates", users * (size_t)t->o->k * sizeof *l->list);
}

int rr_retrieve(struct rr_lists *l, struct rr_ranker *r, const struct rr_split *split,
                const struct rr_retrieve_options *o, struct rr_error *err)
{
    struct retriever t = {.r = r, .s = split, .o = o};
    *l = (struct rr_lists){0};
    int rc = make_room(&t, l, err);
    for (int u = 0; u < split->data->n_users && !rc; u++) {
        l->start[u + 1] = l->start[u];
        if (split->train_start[u + 1] == split->train_start[u] || (o->user >= 0 && o->user != u))
            continue;
        rc = retrieve_user(&t, l, u, err);
        if (!rc && o->progress && o->progress(o->progress_arg, u + 1, split->data->n_users))
            rc = rr_fail(err, RR_ERR_INTERRUPTED, "INTERRUPTED", RR_NOWHERE,
                         "stopped after %d of %d users", u + 1, split->data->n_users);
    }
    rr_reply_free(&t.reply);
    rr_free(t.history);
    rr_free(t.asked);
    rr_free(t.items);
    rr_free(t.barred);
    return rc;
}
