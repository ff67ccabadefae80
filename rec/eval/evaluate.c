/* See evaluate.h. Replies are collected first, user by user and through the journal; everything
 * reported is then computed from them, so a resumed run reports the same. */
#include "rec/eval/evaluate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "engine/base/check.h"

static int by_number(const void *a, const void *b)
{
    return (*(const int *)a > *(const int *)b) - (*(const int *)a < *(const int *)b);
}

/* The users to evaluate, ascending. */
static int choose_users(struct rr_evaluation *e, const struct rr_split *split,
                        const struct rr_evaluate_options *o, struct rr_error *err)
{
    e->users = rr_alloc((size_t)split->data->n_users, sizeof *e->users);
    if (!e->users)
        return rr_fail_memory(err, "users", (size_t)split->data->n_users * sizeof *e->users);
    for (int u = 0; u < split->data->n_users; u++)
        if (rr_split_counts(split, u))
            e->users[e->n++] = u;
    if (!e->n)
        return rr_fail(
            err, RR_ERR_DATA, "NO_USERS", RR_AT_FILE(split->data->path),
            "no user has a test item that occurs in training: each needs three likes, and its "
            "last liked item another user's training like (see: recrank data)");
    if (o->n_users > 0 && o->n_users < e->n) {
        struct rr_rng rng;
        rr_rng_seed(&rng, o->seed);
        rr_rng_shuffle(&rng, e->users, (size_t)e->n);
        e->n = o->n_users;
        qsort(e->users, (size_t)e->n, sizeof *e->users, by_number);
    }
    e->seconds = rr_zalloc((size_t)e->n, sizeof *e->seconds);
    e->user_tokens = rr_zalloc((size_t)e->n, sizeof *e->user_tokens);
    return e->seconds && e->user_tokens
               ? RR_OK
               : rr_fail_memory(err, "users", (size_t)e->n * sizeof *e->seconds);
}

/* 0-based place of an item among the candidates, -1: not there. */
static int place_of(const struct rr_user_request *u, int item)
{
    for (int i = 0; i < u->request.n_candidates; i++)
        if (u->candidates[i].item == item)
            return i;
    return -1;
}

/* One user's state between asking and reporting. */
struct asked_user {
    int n;     /* candidates */
    int test;  /* its place, -1: not there */
    int valid; /* its place in the variant that weights are fitted on, -1: not there */
    struct rr_reply replies[RR_MAX_VARIANTS];
};

struct work {
    struct rr_evaluation *e;
    const struct rr_evaluate_options *o;
    struct rr_ranker *ranker;
    struct asked_user *asked; /* [n] */
    struct rr_error *err;
};

static int add_row(struct work *w, const char *variant, const char *method,
                   struct rr_evaluation_row **out)
{
    struct rr_evaluation *e = w->e;
    if (e->n_rows == RR_MAX_ROWS)
        return rr_fail(w->err, RR_ERR_USAGE, "ROWS", RR_NOWHERE, "more than %d rows", RR_MAX_ROWS);
    struct rr_evaluation_row *row = &e->rows[e->n_rows];
    *row = (struct rr_evaluation_row){.ranks = rr_zalloc((size_t)e->n, sizeof *row->ranks)};
    if (!row->ranks)
        return rr_fail_memory(w->err, "ranks", (size_t)e->n * sizeof *row->ranks);
    snprintf(row->name, sizeof row->name, "%s%s%s", variant, *variant ? ":" : "", method);
    e->n_rows++;
    *out = row;
    return RR_OK;
}

static void finish_row(const struct rr_evaluation *e, struct rr_evaluation_row *row)
{
    struct rr_metrics sums = {0};
    for (int i = 0; i < e->n; i++)
        rr_metrics_add(&sums, row->ranks[i], 1);
    row->metrics = rr_metrics_mean(&sums);
}

/* ---- asking -------------------------------------------------------------------------------------
 */

static struct rr_journal_shape shape_of(const struct rr_ranker_options *o, int n)
{
    return (struct rr_journal_shape){
        .n = n,
        .asked = o->tasks,
        .n_pairs = o->tasks & RR_ASK(RR_PAIRWISE) ? n / 2 * o->pair_rounds : 0,
        .n_lists = o->tasks & RR_ASK(RR_LISTWISE) ? o->list_shuffles : 0,
        .generated = o->generate};
}

/* Variant v's reply about user i, from the journal or from the model. */
static int ask(struct work *w, struct rr_journal *j, int v, int i, const struct rr_request *q)
{
    struct rr_evaluation *e = w->e;
    struct rr_reply *reply = &w->asked[i].replies[v];
    double seconds = 0;
    const struct rr_journal_shape shape = shape_of(&w->ranker->o, q->n_candidates);
    int rc = rr_journal_find(j, v, e->users[i], &shape, reply, &seconds, w->err);
    if (rc == 0) {
        const double start = w->o->clock();
        rc = rr_ranker_ask(w->ranker, q, reply, w->err);
        if (rc)
            rr_error_add_object(w->err, "user",
                                w->o->variants[v].source.split->data->user_ids[e->users[i]]);
        seconds = w->o->clock() - start;
        e->seconds_asking += seconds;
        if (!rc)
            rc = rr_journal_add(j, v, e->users[i], reply, seconds, w->err);
    } else if (rc > 0) {
        reply->weights = w->ranker->o.weights;
        e->n_resumed++;
        rc = RR_OK;
    }
    if (!v)
        e->seconds[i] = seconds;
    return rc;
}

/* The variant that weights are fitted on: the one that is there for that, else the first. */
static int fit_variant(const struct rr_evaluate_options *o)
{
    for (int v = 1; v < o->n_variants; v++)
        if (o->variants[v].fit_only)
            return v;
    return 0;
}

/* Weights need enough users whose validation item is a candidate: better told before all are asked.
 */
static int check_fit(struct work *w)
{
    const struct rr_source *source = &w->o->variants[fit_variant(w->o)].source;
    struct rr_user_request u = {0};
    int n = 0, rc = rr_user_request_init(&u, source, w->err);
    for (int i = 0; i < w->e->n && !rc && n < RR_FIT_FEWEST; i++) {
        rr_user_request_make(&u, source, w->e->users[i]);
        n += place_of(&u, source->split->valid[w->e->users[i]].item) >= 0;
    }
    rr_user_request_release(&u);
    return rc || n >= RR_FIT_FEWEST ? rc : rr_fit_too_few(n, w->err);
}

/* All users of one variant. */
static int ask_variant(struct work *w, struct rr_journal *j, int v)
{
    const struct rr_variant *variant = &w->o->variants[v];
    const struct rr_source *source = &variant->source;
    struct rr_user_request u = {0};
    struct rr_evaluation *e = w->e;
    const bool fits = v == fit_variant(w->o);
    int rc = rr_user_request_init(&u, source, w->err);
    if (!rc && w->ranker)
        rc = rr_ranker_set(w->ranker, &variant->ranker, w->err);
    for (int i = 0; i < e->n && !rc; i++) {
        struct asked_user *a = &w->asked[i];
        rr_user_request_make(&u, source, e->users[i]);
        if (!v) {
            a->n = u.request.n_candidates;
            a->test = place_of(&u, source->split->test[e->users[i]].item);
        }
        if (fits)
            a->valid = place_of(&u, source->split->valid[e->users[i]].item);
        if (w->ranker && u.request.n_candidates && (!variant->fit_only || a->valid >= 0))
            rc = ask(w, j, v, i, &u.request);
        const long long done = (long long)v * e->n + i + 1,
                        all = (long long)w->o->n_variants * e->n;
        if (!rc && w->o->progress && w->o->progress(w->o->progress_arg, done, all) && done < all)
            rc = rr_fail(w->err, RR_ERR_INTERRUPTED, "INTERRUPTED", RR_NOWHERE,
                         "stopped after %lld of %lld requests%s", done, all,
                         w->o->journal ? "; the same command goes on from there" : "");
    }
    rr_user_request_release(&u);
    return rc;
}

static void count_replies(struct work *w)
{
    struct rr_evaluation *e = w->e;
    for (int i = 0; i < e->n; i++) {
        const struct rr_reply *r = &w->asked[i].replies[0];
        e->tokens_asked += r->tokens_asked;
        e->tokens_computed += r->tokens_computed;
        e->user_tokens[i] = r->tokens_computed;
        e->n_cut += r->n_cut > 0;
        for (int v = 0; v < w->o->n_variants; v++) {
            e->n_malformed += w->asked[i].replies[v].n_malformed;
            e->n_invalid_lists +=
                w->o->variants[v].ranker.generate ? 0 : w->asked[i].replies[v].n_invalid_lists;
        }
    }
}

/* ---- rows ---------------------------------------------------------------------------------------
 */

static int rank_by(const double *scores, const struct asked_user *a)
{
    struct rr_ranked order[RR_MAX_CANDIDATES];
    if (a->test < 0)
        return 0;
    rr_order_by_score(order, scores, a->n);
    for (int i = 0; i < a->n; i++)
        if (order[i].candidate == a->test)
            return i + 1;
    return 0;
}

/* The hybrid of a variant's replies, or of the first one's without a task (skip >= 0). */
static int add_method(struct work *w, int v, enum rr_method method, int skip, const char *variant,
                      const char *name)
{
    struct rr_evaluation_row *row;
    double scores[RR_MAX_CANDIDATES];
    int rc = add_row(w, variant, name, &row);
    if (rc)
        return rc;
    for (int i = 0; i < w->e->n; i++) {
        const struct asked_user *a = &w->asked[i];
        if (!a->n)
            continue;
        struct rr_weights_hybrid weights = a->replies[v].weights;
        if (skip >= 0)
            weights.alpha[skip] = 0;
        if (method == RR_BY_HYBRID)
            rr_hybrid(scores, &a->replies[v], &weights);
        else
            rr_reply_scores(scores, &a->replies[v], method, w->e->fitted.weights);
        row->ranks[i] = rank_by(scores, a);
    }
    finish_row(w->e, row);
    return RR_OK;
}

static int n_tasks(unsigned tasks)
{
    int n = 0;
    for (int t = 0; t < RR_N_SIGNALS; t++)
        n += (int)(tasks >> t & 1);
    return n;
}

static int add_variant(struct work *w, int v)
{
    const struct rr_variant *variant = &w->o->variants[v];
    const unsigned tasks = variant->ranker.tasks ? variant->ranker.tasks : RR_ASK_ALL;
    int rc = RR_OK;
    for (int t = 0; t < RR_N_SIGNALS && !rc; t++)
        if (tasks >> t & 1 && (variant->all_methods || n_tasks(tasks) == 1))
            rc = add_method(w, v, (enum rr_method)t, -1, variant->name,
                            rr_task_name((enum rr_task)t));
    if (!rc && n_tasks(tasks) > 1)
        rc = add_method(w, v, RR_BY_HYBRID, -1, variant->name, "hybrid");
    if (!rc && n_tasks(tasks) > 1 && variant->all_methods)
        rc = add_method(w, v, RR_BY_RRF, -1, variant->name, "rrf");
    return rc;
}

/* With --ablate: the hybrid of the first variant's replies without each task in turn. */
static int add_without_task(struct work *w)
{
    static const char *const names[RR_N_SIGNALS] = {"no-pointwise", "no-pairwise", "no-listwise",
                                                    "no-likelihood"};
    int rc = RR_OK;
    for (int t = 0; t < RR_N_SIGNALS && !rc; t++)
        rc = add_method(w, 0, RR_BY_HYBRID, t, names[t], "hybrid");
    return rc;
}

static int add_fitted(struct work *w)
{
    struct rr_evaluation *e = w->e;
    struct rr_choice_set *sets = rr_alloc((size_t)e->n, sizeof *sets);
    const int v = fit_variant(w->o);
    int n = 0;
    if (!sets)
        return rr_fail_memory(w->err, "weights", (size_t)e->n * sizeof *sets);
    for (int i = 0; i < e->n; i++)
        if (w->asked[i].valid >= 0)
            sets[n++] = (struct rr_choice_set){&w->asked[i].replies[v], w->asked[i].valid};
    int rc = rr_fit_weights(&e->fitted, sets, n, w->err);
    rr_free(sets);
    e->fitted_used = !rc;
    return rc ? rc : add_method(w, 0, RR_BY_FITTED, -1, "", "fitted");
}

static int add_backbone(struct work *w)
{
    struct rr_evaluation_row *row;
    int rc = add_row(w, "", "backbone", &row);
    for (int i = 0; i < w->e->n && !rc; i++)
        row->ranks[i] = w->asked[i].test + 1;
    if (!rc)
        finish_row(w->e, row);
    return rc;
}

/* EASE's own list of k: a strong plain recommender to compare with. */
static int add_ease(struct work *w)
{
    const struct rr_source *first = &w->o->variants[0].source;
    struct rr_source s = {.split = first->split,
                          .backbone = w->o->ease,
                          .with_valid = first->with_valid,
                          .n_candidates = first->n_candidates};
    struct rr_user_request u = {0};
    struct rr_evaluation_row *row;
    int rc = rr_user_request_init(&u, &s, w->err);
    if (!rc)
        rc = add_row(w, "", "ease", &row);
    for (int i = 0; i < w->e->n && !rc; i++) {
        rr_user_request_make(&u, &s, w->e->users[i]);
        row->ranks[i] = place_of(&u, s.split->test[w->e->users[i]].item) + 1;
    }
    if (!rc)
        finish_row(w->e, row);
    rr_user_request_release(&u);
    return rc;
}

/* Rows that the model alone makes: its signals and their hybrid, without fusion or fitting. */
static bool by_model(const char *row)
{
    for (int m = RR_BY_POINTWISE; m <= RR_BY_HYBRID; m++)
        if (strcmp(row, rr_method_name((enum rr_method)m)) == 0)
            return true;
    return false;
}

static void add_bounds(struct work *w)
{
    struct rr_evaluation *e = w->e;
    struct rr_metrics floor = {0};
    for (int i = 0; i < e->n; i++) {
        const struct rr_metrics one = rr_metrics_random(w->asked[i].test >= 0, w->asked[i].n);
        e->n_found += w->asked[i].test >= 0;
        floor.n++;
        for (int k = 0; k < RR_N_MEASURES; k++)
            for (int c = 0; c < RR_N_CUTS; c++)
                floor.at[k][c] += one.at[k][c];
    }
    struct rr_evaluation_row random = {.name = "random", .metrics = rr_metrics_mean(&floor)},
                             ceiling = {.name = "ceiling",
                                        .metrics = rr_metrics_ceiling(e->n, e->n_found)};
    /* The standard error under "the order is random": it does not vanish when nobody is hit. */
    const double p = random.metrics.at[RR_HR][2], error = sqrt(p * (1 - p) / e->n);
    e->like_random = w->ranker && e->n_rows > 1;
    for (int r = 1; r < e->n_rows && r <= RR_N_METHODS; r++) /* the first variant's own orders */
        if (by_model(e->rows[r].name) && fabs(e->rows[r].metrics.at[RR_HR][2] - p) > 2 * error)
            e->like_random = false;
    e->rows[e->n_rows++] = random;
    e->rows[e->n_rows++] = ceiling;
}

static int add_rows(struct work *w, bool ablate)
{
    int rc = add_backbone(w);
    if (!rc && w->ranker)
        rc = add_variant(w, 0);
    if (!rc && w->ranker && w->o->fit_weights)
        rc = add_fitted(w);
    for (int v = 1; v < w->o->n_variants && !rc; v++)
        rc = w->o->variants[v].fit_only ? RR_OK : add_variant(w, v);
    if (!rc && ablate)
        rc = add_without_task(w);
    if (!rc && w->o->ease)
        rc = add_ease(w);
    if (!rc && w->e->n_rows + 2 > RR_MAX_ROWS)
        rc = rr_fail(w->err, RR_ERR_USAGE, "ROWS", RR_NOWHERE, "more than %d rows", RR_MAX_ROWS);
    if (!rc)
        add_bounds(w);
    return rc;
}

/* ---- statistics ---------------------------------------------------------------------------------
 */

static int add_intervals(struct work *w)
{
    struct rr_evaluation *e = w->e;
    const int *ranks[RR_MAX_ROWS];
    struct rr_interval *found = rr_alloc(RR_MAX_ROWS, sizeof *found);
    int n = 0;
    if (!found)
        return rr_fail_memory(w->err, "intervals", RR_MAX_ROWS * sizeof *found);
    for (int r = 0; r < e->n_rows; r++)
        if (e->rows[r].ranks)
            ranks[n++] = e->rows[r].ranks; /* the backbone is the first of them */
    int rc = rr_bootstrap(found, ranks, n, 0, e->n, w->o->seed, w->err);
    for (int r = 0, at = 0; r < e->n_rows && !rc; r++)
        if (e->rows[r].ranks)
            e->rows[r].interval = found[at++];
    rr_free(found);
    return rc;
}

/* Each row of the first variant against its namesake of a second whole one. */
static int add_differences(struct work *w)
{
    struct rr_evaluation *e = w->e;
    char name[sizeof e->rows[0].name + 16];
    int rc = RR_OK;
    for (int r = 1; r < e->n_rows && !rc; r++) {
        int base = -1;
        snprintf(name, sizeof name, "%s:%s", w->o->variants[1].name, e->rows[r].name);
        for (int b = r + 1; b < e->n_rows && base < 0; b++)
            base = e->rows[b].ranks && strcmp(e->rows[b].name, name) == 0 ? b : -1;
        if (base < 0 || e->n_differences == RR_N_METHODS)
            continue;
        const int *const ranks[2] = {e->rows[r].ranks, e->rows[base].ranks};
        struct rr_interval found[2];
        rc = rr_bootstrap(found, ranks, 2, 1, e->n, w->o->seed, w->err);
        e->differences[e->n_differences++] =
            (struct rr_evaluation_difference){r, base, found[0].gain_low, found[0].gain_high};
    }
    return rc;
}

/* The family of tests: every row with ranks but the backbone's, HR and NDCG at 3 and 5. */
static int add_tests(struct work *w)
{
    static const int cuts[] = {3, 5};
    struct rr_evaluation *e = w->e;
    double p[sizeof e->tests / sizeof e->tests[0]], adjusted[sizeof p / sizeof p[0]];
    int order[sizeof p / sizeof p[0]];
    double *d = rr_alloc((size_t)e->n, sizeof *d);
    if (!d)
        return rr_fail_memory(w->err, "tests", (size_t)e->n * sizeof *d);
    for (int r = 1; r < e->n_rows; r++)
        for (int c = 0; c < 2 && e->rows[r].ranks; c++)
            for (int measure = RR_HR; measure <= RR_NDCG; measure++) {
                struct rr_evaluation_test t = {r, (enum rr_measure)measure, cuts[c], 0, 0, 0, 0};
                struct rr_rng rng;
                rr_rng_stream(&rng, w->o->seed, (uint64_t)e->n_tests);
                for (int i = 0; i < e->n; i++) {
                    d[i] = rr_metrics_value(t.measure, t.cut, e->rows[r].ranks[i]) -
                           rr_metrics_value(t.measure, t.cut, e->rows[0].ranks[i]);
                    t.better += d[i] > 0;
                    t.worse += d[i] < 0;
                }
                t.p =
                    measure == RR_HR ? rr_mcnemar(t.better, t.worse) : rr_sign_flip(d, e->n, &rng);
                p[e->n_tests] = t.p;
                e->tests[e->n_tests++] = t;
            }
    rr_holm(adjusted, p, e->n_tests, order);
    for (int i = 0; i < e->n_tests; i++)
        e->tests[i].p_holm = adjusted[i];
    rr_free(d);
    return RR_OK;
}

static void count_list(struct rr_position_bias *b, const struct rr_reply *r, int list, int *place)
{
    const int *shown = r->shown + list * r->n, *listed = r->listed + list * r->n;
    for (int i = 0; i < r->n; i++)
        place[i] = r->n + 1;
    for (int i = 0; i < r->n; i++)
        if (listed[i] >= 0)
            place[listed[i]] = i + 1;
    for (int at = 0; at < r->n; at++) {
        b->mean_place[at] += place[shown[at]];
        b->first_share[at] += place[shown[at]] == 1;
    }
    b->n_lists++;
}

static int add_bias(struct work *w)
{
    struct rr_position_bias *b = &w->e->bias;
    int place[RR_MAX_CANDIDATES];
    b->k = w->e->k;
    b->mean_place = rr_zalloc((size_t)b->k, sizeof *b->mean_place);
    b->first_share = rr_zalloc((size_t)b->k, sizeof *b->first_share);
    if (!b->mean_place || !b->first_share)
        return rr_fail_memory(w->err, "position bias", (size_t)b->k * sizeof *b->mean_place);
    for (int i = 0; i < w->e->n; i++) {
        const struct rr_reply *r = &w->asked[i].replies[0];
        for (int l = 0; l < r->n_lists && r->n == b->k; l++)
            count_list(b, r, l, place);
        for (int p = 0; p < r->n_pairs; p++) {
            const double f = r->pairs[p].forward, back = r->pairs[p].backward;
            b->n_pairs++;
            b->n_questions += 1 + !isnan(back);
            b->n_yes += (f > 0) + (back > 0);
            b->n_disagree += !isnan(back) && (f > 0) == (back > 0);
        }
    }
    for (int at = 0; at < b->k && b->n_lists; at++) {
        b->mean_place[at] /= (double)b->n_lists;
        b->first_share[at] /= (double)b->n_lists;
    }
    return RR_OK;
}

/* ---- all of it ----------------------------------------------------------------------------------
 */

static int evaluate(struct work *w)
{
    const struct rr_evaluate_options *o = w->o;
    struct rr_evaluation *e = w->e;
    struct rr_journal j;
    int rc = choose_users(e, o->variants[0].source.split, o, w->err);
    if (!rc) {
        w->asked = rr_zalloc((size_t)e->n, sizeof *w->asked);
        if (!w->asked)
            rc = rr_fail_memory(w->err, "users", (size_t)e->n * sizeof *w->asked);
    }
    if (rc)
        return rc;
    if (w->ranker && o->fit_weights && (rc = check_fit(w)) != 0)
        return rc;
    rc = rr_journal_open(&j, w->ranker ? o->journal : NULL, o->settings, w->err);
    if (rc)
        return rc;
    for (int v = 0; v < o->n_variants && !rc; v++)
        rc = ask_variant(w, &j, v);
    rr_journal_close(&j);
    if (!rc)
        count_replies(w);
    if (!rc)
        rc = add_rows(w, o->ablate);
    if (!rc)
        rc = add_intervals(w);
    if (!rc && o->n_variants > 1 && o->variants[1].all_methods)
        rc = add_differences(w);
    if (!rc)
        rc = add_tests(w);
    if (!rc && w->ranker)
        rc = add_bias(w);
    return rc;
}

int rr_evaluate(struct rr_evaluation *e, struct rr_ranker *ranker,
                const struct rr_evaluate_options *o, struct rr_error *err)
{
    struct work w = {.e = e, .o = o, .ranker = ranker, .err = err};
    const int k = o->variants[0].source.n_candidates;
    *e = (struct rr_evaluation){.k = k};
    if (k < 1 || k > RR_MAX_CANDIDATES || o->n_variants < 1 || o->n_variants > RR_MAX_VARIANTS)
        return rr_fail(err, RR_ERR_USAGE, "REQUEST", RR_NOWHERE,
                       "%d candidates (1 to %d), %d variants (1 to %d)", k, RR_MAX_CANDIDATES,
                       o->n_variants, RR_MAX_VARIANTS);
    int rc = evaluate(&w);
    for (int i = 0; w.asked && i < e->n; i++)
        for (int v = 0; v < o->n_variants; v++)
            rr_reply_free(&w.asked[i].replies[v]);
    rr_free(w.asked);
    return rc;
}

void rr_evaluation_free(struct rr_evaluation *e)
{
    for (int r = 0; r < e->n_rows; r++)
        rr_free(e->rows[r].ranks);
    rr_free(e->users);
    rr_free(e->seconds);
    rr_free(e->user_tokens);
    rr_free(e->bias.mean_place);
    rr_free(e->bias.first_share);
    *e = (struct rr_evaluation){0};
}

static int by_seconds(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double rr_evaluation_latency(const struct rr_evaluation *e, double p)
{
    double *sorted = rr_alloc((size_t)e->n, sizeof *sorted);
    if (!sorted)
        return NAN;
    rr_copy(sorted, e->seconds, (size_t)e->n * sizeof *sorted);
    qsort(sorted, (size_t)e->n, sizeof *sorted, by_seconds);
    const double v = e->n ? sorted[rr_nearest_rank(p, e->n)] : 0;
    rr_free(sorted);
    return v;
}
