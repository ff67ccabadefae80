/* See user.h. */
#include "rec/rank/user.h"

#include "engine/base/mem.h"

int rr_user_request_init(struct rr_user_request *u, const struct rr_source *s, struct rr_error *err)
{
    const struct rr_dataset *d = s->split->data;
    const size_t items = (size_t)d->n_items, k = (size_t)s->n_candidates + 1;
    size_t longest = 0;
    for (int user = 0; user < d->n_users; user++) {
        const size_t n = s->split->rated_start[user + 1] - s->split->rated_start[user];
        longest = n > longest ? n : longest;
    }
    *u = (struct rr_user_request){0};
    u->candidates = rr_alloc(k, sizeof *u->candidates);
    u->asked = rr_alloc(k, sizeof *u->asked);
    u->history = rr_alloc(longest + 1, sizeof *u->history);
    u->scores = rr_alloc(items, sizeof *u->scores);
    if (u->candidates && u->asked && u->history && u->scores)
        return RR_OK;
    rr_user_request_release(u);
    return rr_fail_memory(err, "request", items * sizeof *u->scores);
}

void rr_user_request_release(struct rr_user_request *u)
{
    rr_free(u->candidates);
    rr_free(u->asked);
    rr_free(u->history);
    rr_free(u->scores);
    *u = (struct rr_user_request){0};
}

/* The user's rating of an item anywhere in the data, or NaN. */
static float observed(const struct rr_split *s, int user, int item)
{
    for (size_t i = s->rated_start[user]; i < s->rated_start[user + 1]; i++)
        if (s->rated[i].item == item)
            return s->rated[i].value;
    if (s->valid[user].item == item)
        return s->valid[user].value;
    return s->test[user].item == item ? s->test[user].value : RR_NO_HINT;
}

float rr_source_hint(const struct rr_source *s, int user, int item, float score)
{
    if (s->observed_hints) {
        const float seen = observed(s->split, user, item);
        if (!isnan(seen))
            return seen;
    }
    if (s->lists && s->scores_are_ratings)
        return score;
    return s->hints ? rr_rating_predict(s->hints, user, item) : RR_NO_HINT;
}

/* Takes the validation item out of a list of up to n_candidates + 1. */
static int drop_valid(struct rr_candidate *list, int n, const struct rr_source *s, int user)
{
    int kept = 0;
    for (int i = 0; i < n; i++)
        if (list[i].item != s->split->valid[user].item)
            list[kept++] = list[i];
    return kept < s->n_candidates ? kept : s->n_candidates;
}

static int find_candidates(struct rr_user_request *u, const struct rr_source *s, int user)
{
    const int k = s->n_candidates + s->with_valid;
    if (!s->lists)
        return rr_backbone_candidates(u->candidates, k, s->backbone, s->split, user, u->scores);
    const size_t from = s->lists->start[user];
    int n = (int)(s->lists->start[user + 1] - from);
    n = n < k ? n : k;
    rr_copy(u->candidates, s->lists->list + from, (size_t)n * sizeof *u->candidates);
    return n;
}

void rr_user_request_make(struct rr_user_request *u, const struct rr_source *s, int user)
{
    const struct rr_dataset *d = s->split->data;
    const size_t begin = s->split->rated_start[user], end = s->split->rated_start[user + 1];
    for (size_t i = begin; i < end; i++)
        u->history[i - begin] =
            (struct rr_rated){d->titles[s->split->rated[i].item], s->split->rated[i].value};
    size_t n_history = end - begin;
    const struct rr_rating *valid = &s->split->valid[user];
    if (s->with_valid && valid->item >= 0)
        u->history[n_history++] = (struct rr_rated){d->titles[valid->item], valid->value};
    int n = find_candidates(u, s, user);
    if (s->with_valid)
        n = drop_valid(u->candidates, n, s, user);
    for (int i = 0; i < n; i++) {
        const struct rr_candidate *c = &u->candidates[i];
        u->asked[i] =
            (struct rr_asked){d->titles[c->item], rr_source_hint(s, user, c->item, c->score)};
    }
    u->request = (struct rr_request){.history = u->history,
                                     .n_history = (int)n_history,
                                     .candidates = u->asked,
                                     .n_candidates = n,
                                     .order_is_hint = 1,
                                     .id = (uint64_t)user};
}
