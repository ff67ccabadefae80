/* See user.h. */
#include "rec/rank/user.h"

#include "engine/base/mem.h"

int rr_user_request_init(struct rr_user_request *u, const struct rr_source *s, struct rr_error *err)
{
    const struct rr_dataset *d = s->split->data;
    const size_t items = (size_t)d->n_items, k = (size_t)s->n_candidates;
    size_t longest = 0;
    for (int user = 0; user < d->n_users; user++) {
        const size_t n = s->split->rated_start[user + 1] - s->split->rated_start[user];
        longest = n > longest ? n : longest;
    }
    *u = (struct rr_user_request){0};
    u->candidates = rr_alloc(k, sizeof *u->candidates);
    u->asked = rr_alloc(k, sizeof *u->asked);
    u->history = rr_alloc(longest, sizeof *u->history);
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

static int find_candidates(struct rr_user_request *u, const struct rr_source *s, int user)
{
    if (!s->lists)
        return rr_backbone_candidates(u->candidates, s->n_candidates, s->backbone, s->split, user,
                                      u->scores);
    const size_t from = s->lists->start[user];
    int n = (int)(s->lists->start[user + 1] - from);
    n = n < s->n_candidates ? n : s->n_candidates;
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
    const int n = find_candidates(u, s, user);
    for (int i = 0; i < n; i++) {
        const struct rr_candidate *c = &u->candidates[i];
        u->asked[i] =
            (struct rr_asked){d->titles[c->item], rr_source_hint(s, user, c->item, c->score)};
    }
    u->request = (struct rr_request){.history = u->history,
                                     .n_history = (int)(end - begin),
                                     .candidates = u->asked,
                                     .n_candidates = n,
                                     .order_is_hint = 1,
                                     .id = (uint64_t)user};
}
