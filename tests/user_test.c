/* A user of a data set as a request: what is shown of the history, and what is a candidate. */
#include <string.h>
#include "rec/rank/user.h"
#include "tests/make_data.h"
#include "tests/test.h"

static bool has(const struct rr_user_request *u, int item)
{
    for (int i = 0; i < u->request.n_candidates; i++)
        if (u->candidates[i].item == item)
            return true;
    return false;
}

/* With the validation item it ends the history and is no candidate; the others move up. */
Test(user, validation_items_are_history_or_candidates)
{
    struct rr_dataset d;
    struct rr_split s;
    struct rr_backbone b;
    struct rr_user_request train = {0}, both = {0};
    struct rr_error err = {0};
    int moved = 0, users = 0;
    cr_assert(rr_dataset_open(&d, make_data_dir(50, 30, 4), NULL, &err) == 0, "%s", err.text);
    cr_assert(rr_split_make(&s, &d, RR_SPLIT_BY_TIME, &err) == 0, "%s", err.text);
    cr_assert(
        rr_backbone_fit(&b, RR_BACKBONE_EASE, &s, &(struct rr_fit_options){.seed = 1}, &err) == 0,
        "%s", err.text);
    struct rr_source plain = {.split = &s, .backbone = &b, .n_candidates = 6}, with = plain;
    with.with_valid = true;
    cr_assert(rr_user_request_init(&train, &plain, &err) == 0, "%s", err.text);
    cr_assert(rr_user_request_init(&both, &with, &err) == 0, "%s", err.text);
    for (int u = 0; u < d.n_users; u++) {
        const int valid = s.valid[u].item;
        rr_user_request_make(&train, &plain, u);
        rr_user_request_make(&both, &with, u);
        const struct rr_request *p = &train.request, *q = &both.request;
        cr_assert(q->n_history == p->n_history + (valid >= 0), "user %d: %d titles, then %d", u,
                  p->n_history, q->n_history);
        for (int i = 0; i < p->n_history; i++)
            cr_assert(q->history[i].title == p->history[i].title &&
                          q->history[i].rating == p->history[i].rating,
                      "user %d: title %d is another", u, i);
        if (valid >= 0) {
            cr_assert(q->history[p->n_history].title == d.titles[valid] &&
                          q->history[p->n_history].rating == s.valid[u].value,
                      "user %d: it is not the last", u);
            users++;
        }
        cr_assert(!has(&both, valid), "user %d: it is a candidate as well", u);
        cr_assert(p->n_candidates == 6 && q->n_candidates == 6, "user %d: %d and %d candidates", u,
                  p->n_candidates, q->n_candidates);
        int at = 0;
        for (int i = 0; i < 6; i++)
            if (train.candidates[i].item != valid)
                cr_assert(both.candidates[at++].item == train.candidates[i].item, "user %d", u);
        moved += has(&train, valid);
        cr_assert(at == 6 - has(&train, valid), "user %d", u);
    }
    cr_assert(users > 20 && moved > 3, "%d users, %d of whose lists had the item", users, moved);
    rr_user_request_release(&train);
    rr_user_request_release(&both);
    rr_backbone_free(&b);
    rr_split_free(&s);
    rr_dataset_close(&d);
}
