/* See measure.h. */
#include "rec/eval/measure.h"

#include "engine/base/check.h"
#include "rec/eval/metrics.h"

/* 1-based place of a user's validation item in an order; 0: not there. */
static int place_of(const struct rr_user_request *u, const double *scores, int item)
{
    struct rr_ranked order[RR_MAX_CANDIDATES];
    const int n = u->request.n_candidates;
    rr_order_by_score(order, scores, n);
    for (int i = 0; i < n; i++)
        if (u->candidates[order[i].candidate].item == item)
            return i + 1;
    return 0;
}

static void count(double *hr, double *ndcg, int place)
{
    *hr += rr_metrics_value(RR_HR, 5, place);
    *ndcg += rr_metrics_value(RR_NDCG, 5, place);
}

static int measure_user(struct rr_measured *out, struct rr_ranker *r, struct rr_user_request *u,
                        struct rr_reply *reply, int item, struct rr_error *err)
{
    double scores[RR_MAX_CANDIDATES] = {0};
    for (int i = 0; i < u->request.n_candidates; i++)
        scores[i] = -i;
    const int place = u->request.n_candidates ? place_of(u, scores, item) : 0;
    out->n++;
    if (!place) /* no order of these candidates finds it */
        return RR_OK;
    count(&out->hr5, &out->ndcg5, place);
    int rc = rr_ranker_ask(r, &u->request, reply, err);
    for (int t = 0; t < RR_N_SIGNALS && !rc; t++)
        if (reply->asked >> t & 1) {
            rr_reply_scores(scores, reply, (enum rr_method)t, NULL);
            count(&out->hr5_of[t], &out->ndcg5_of[t], place_of(u, scores, item));
        }
    return rc;
}

int rr_measure(struct rr_measured *out, struct rr_ranker *r, const struct rr_source *s, int n_users,
               struct rr_error *err)
{
    const struct rr_split *split = s->split;
    struct rr_user_request u;
    struct rr_reply reply = {0};
    int able = 0, seen = 0;
    *out = (struct rr_measured){.tasks = r->o.tasks};
    for (int i = 0; i < split->data->n_users; i++)
        able += split->valid[i].item >= 0;
    const int n = n_users && n_users < able ? n_users : able;
    int rc = rr_user_request_init(&u, s, err);
    for (int i = 0; i < split->data->n_users && !rc; i++) {
        if (split->valid[i].item < 0)
            continue;
        /* The k-th of `able` is taken where k n / able takes a step. */
        if ((long long)(seen + 1) * n / able > (long long)seen * n / able) {
            rr_user_request_make(&u, s, i);
            rc = measure_user(out, r, &u, &reply, split->valid[i].item, err);
        }
        seen++;
    }
    rr_user_request_release(&u);
    rr_reply_free(&reply);
    double *const sums[] = {&out->hr5, &out->ndcg5};
    for (int i = 0; i < 2; i++)
        *sums[i] /= rr_max_int(out->n, 1);
    for (int t = 0; t < RR_N_SIGNALS; t++) {
        out->hr5_of[t] /= rr_max_int(out->n, 1);
        out->ndcg5_of[t] /= rr_max_int(out->n, 1);
    }
    return rc;
}
