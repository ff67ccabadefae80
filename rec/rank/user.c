/* See user.h. */
#include "rec/rank/user.h"

#include "engine/base/mem.h"

int rr_user_request_init(struct rr_user_request *u, const struct rr_source *s, struct rr_error *err)
{
    const size_t items = (size_t)s->split->data->n_items, k = (size_t)s->n_candidates;
    *u = (struct rr_user_request){0};
    u->candidates = rr_alloc(k, sizeof *u->candidates);
    u->asked = rr_alloc(k, sizeof *u->asked);
    u->history = rr_alloc((size_t)s->max_history, sizeof *u->history);
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

void rr_user_request_make(struct rr_user_request *u, const struct rr_source *s, int user)
{
    const struct rr_dataset *d = s->split->data;
    const size_t end = s->split->rated_start[user + 1];
    size_t begin = s->split->rated_start[user];
    if (end - begin > (size_t)s->max_history)
        begin = end - (size_t)s->max_history;
    for (size_t i = begin; i < end; i++)
        u->history[i - begin] =
            (struct rr_rated){d->titles[s->split->rated[i].item], s->split->rated[i].value};
    const int n = rr_backbone_candidates(u->candidates, s->n_candidates, s->backbone, s->split,
                                         user, u->scores);
    for (int i = 0; i < n; i++) {
        const int item = u->candidates[i].item;
        u->asked[i] = (struct rr_asked){
            d->titles[item], s->hints ? rr_rating_predict(s->hints, user, item) : RR_NO_HINT};
    }
    u->request = (struct rr_request){u->history, (int)(end - begin), u->asked, n};
}
