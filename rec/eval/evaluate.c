/* See evaluate.h. Every user that counts is reranked, also those whose test item was not
 * retrieved. */
#include "rec/eval/evaluate.h"

#include <math.h>
#include <stdlib.h>

static int by_number(const void *a, const void *b)
{
    return (*(const int *)a > *(const int *)b) - (*(const int *)a < *(const int *)b);
}

/* The users to evaluate, ascending, in *users (rr_free). */
static int choose_users(int **users, int *n, const struct rr_split *split,
                        const struct rr_evaluate_options *o, struct rr_error *err)
{
    *n = 0;
    *users = rr_alloc((size_t)split->data->n_users, sizeof **users);
    if (!*users)
        return rr_fail_memory(err, "users", (size_t)split->data->n_users * sizeof **users);
    for (int u = 0; u < split->data->n_users; u++)
        if (rr_split_counts(split, u))
            (*users)[(*n)++] = u;
    if (o->n_users > 0 && o->n_users < *n) {
        struct rr_rng rng;
        rr_rng_seed(&rng, o->seed);
        rr_rng_shuffle(&rng, *users, (size_t)*n);
        *n = o->n_users;
        qsort(*users, (size_t)*n, sizeof **users, by_number);
    }
    return RR_OK;
}

/* 1-based place of the test item in retrieval order, 0: not retrieved. */
static int retrieval_rank(const struct rr_user_request *u, int item)
{
    for (int i = 0; i < u->request.n_candidates; i++)
        if (u->candidates[i].item == item)
            return i + 1;
    return 0;
}

struct sums {
    struct rr_metrics backbone, model, floor;
    int n_found;
};

/* What a random order of this user's list gives: its exact mean. */
static void add_floor(struct rr_metrics *floor, bool found, int length)
{
    const struct rr_metrics one = rr_metrics_random(1, found, length);
    floor->n++;
    for (int c = 0; c < RR_N_CUTS; c++) {
        floor->hr[c] += one.hr[c];
        floor->ndcg[c] += one.ndcg[c];
    }
}

static int evaluate_user(struct sums *s, const struct rr_source *source, struct rr_ranker *ranker,
                         struct rr_user_request *u, int user, struct rr_error *err)
{
    double scores[RR_MAX_CANDIDATES];
    struct rr_ranked order[RR_MAX_CANDIDATES];
    rr_user_request_make(u, source, user);
    const int retrieved = retrieval_rank(u, source->split->test[user].item);
    rr_metrics_add(&s->backbone, retrieved);
    s->n_found += retrieved > 0;
    add_floor(&s->floor, retrieved > 0, u->request.n_candidates);
    if (!ranker)
        return RR_OK;
    if (!u->request.n_candidates) {
        rr_metrics_add(&s->model, 0);
        return RR_OK;
    }
    int rc = rr_ranker_pointwise(ranker, &u->request, scores, err), place = 0;
    if (rc)
        return rc;
    rr_order_by_score(order, scores, u->request.n_candidates);
    for (int i = 0; i < u->request.n_candidates && retrieved; i++)
        if (order[i].candidate == retrieved - 1)
            place = i + 1;
    rr_metrics_add(&s->model, place);
    return RR_OK;
}

static void add_row(struct rr_evaluation *e, const char *name, struct rr_metrics m)
{
    e->rows[e->n_rows++] = (struct rr_evaluation_row){name, m};
}

static void fill_rows(struct rr_evaluation *e, const struct sums *s, bool with_model)
{
    const struct rr_metrics floor = rr_metrics_mean(&s->floor);
    e->n_found = s->n_found;
    add_row(e, "backbone", rr_metrics_mean(&s->backbone));
    if (with_model) {
        const struct rr_metrics m = rr_metrics_mean(&s->model);
        /* The standard error under "the order is random": it does not vanish when nobody is hit. */
        const double p = floor.hr[1], error = sqrt(p * (1 - p) / e->n);
        add_row(e, "pointwise", m);
        e->like_random = fabs(m.hr[1] - p) <= 2 * error;
    }
    add_row(e, "random", floor);
    add_row(e, "ceiling", rr_metrics_ceiling(e->n, s->n_found));
}

int rr_evaluate(struct rr_evaluation *e, const struct rr_source *source, struct rr_ranker *ranker,
                const struct rr_evaluate_options *o, struct rr_error *err)
{
    struct rr_user_request u = {0};
    struct sums s = {0};
    int *users = NULL, rc;
    *e = (struct rr_evaluation){.k = source->n_candidates};
    if (source->n_candidates < 1 || source->n_candidates > RR_MAX_CANDIDATES)
        return rr_fail(err, RR_ERR_USAGE, "REQUEST", RR_NOWHERE, "%d candidates; expected 1 to %d",
                       source->n_candidates, RR_MAX_CANDIDATES);
    rc = choose_users(&users, &e->n, source->split, o, err);
    if (!rc)
        rc = rr_user_request_init(&u, source, err);
    if (!rc && !e->n)
        rc = rr_fail(err, RR_ERR_DATA, "NO_USERS", RR_AT_FILE(source->split->data->path),
                     "no user has a test item that occurs in training");
    const long long computed = ranker ? rr_session_tokens(ranker->session) : 0,
                    asked = ranker ? ranker->tokens_asked : 0, cut = ranker ? ranker->n_cut : 0;
    for (int i = 0; i < e->n && !rc; i++) {
        rc = evaluate_user(&s, source, ranker, &u, users[i], err);
        if (!rc && o->progress && o->progress(o->progress_arg, i + 1, e->n))
            rc = rr_fail(err, RR_ERR_INTERRUPTED, "INTERRUPTED", RR_NOWHERE,
                         "stopped after %d of %d users", i + 1, e->n);
    }
    if (!rc) {
        fill_rows(e, &s, ranker != NULL);
        e->tokens_computed = ranker ? rr_session_tokens(ranker->session) - computed : 0;
        e->tokens_asked = ranker ? ranker->tokens_asked - asked : 0;
        e->n_cut = ranker ? ranker->n_cut - cut : 0;
    }
    rr_user_request_release(&u);
    rr_free(users);
    return rc;
}
