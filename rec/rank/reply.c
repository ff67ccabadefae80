/* See reply.h. */
#include "rec/rank/reply.h"

#include <math.h>

#define RRF_K 60 /* Cormack, Clarke, Buettcher, SIGIR 2009 */

const char *rr_method_name(enum rr_method m)
{
    static const char *const names[RR_N_METHODS] = {
        "pointwise", "pairwise", "listwise", "likelihood", "hybrid", "rrf", "fitted"};
    return names[m];
}

const struct rr_weights_hybrid rr_weights_paper = {{1.0 / 3, 1.0 / 3, 1.0 / 3, 0}};
const struct rr_weights_hybrid rr_weights_four = {{0.25, 0.25, 0.25, 0.25}};

int rr_reply_resize(struct rr_reply *r, int n, int n_pairs, int n_lists, struct rr_error *err)
{
    const size_t k = (size_t)n, lists = k * (size_t)n_lists;
    if (!rr_grow(&r->rating, &r->cap_rating, k, sizeof *r->rating) ||
        !rr_grow(&r->likelihood, &r->cap_likelihood, k, sizeof *r->likelihood) ||
        !rr_grow(&r->pairs, &r->cap_pairs, (size_t)n_pairs, sizeof *r->pairs) ||
        !rr_grow(&r->shown, &r->cap_shown, lists, sizeof *r->shown) ||
        !rr_grow(&r->listed, &r->cap_listed, lists, sizeof *r->listed))
        return rr_fail_memory(err, "answers", lists * sizeof *r->listed);
    r->n = n;
    r->n_pairs = n_pairs;
    r->n_lists = n_lists;
    r->asked = 0;
    r->weights = rr_weights_four;
    r->tokens_asked = r->tokens_computed = 0;
    r->n_cut = r->n_malformed = r->n_invalid_lists = 0;
    return RR_OK;
}

void rr_reply_free(struct rr_reply *r)
{
    rr_free(r->rating);
    rr_free(r->likelihood);
    rr_free(r->pairs);
    rr_free(r->shown);
    rr_free(r->listed);
    *r = (struct rr_reply){0};
}

/* Both utilities are sums of whole numbers, divided once: equal ones stay equal to the bit. */
static void pair_utility(double *out, const struct rr_reply *r)
{
    /* Every round asks each candidate once at most. */
    const int per_round = r->n / 2, rounds = per_round ? r->n_pairs / per_round : 0;
    int halves[RR_MAX_CANDIDATES] = {0};
    for (int p = 0; p < r->n_pairs; p++) {
        const struct rr_pair_reply *x = &r->pairs[p];
        const int first = (x->forward > 0) - (x->forward < 0);
        const int second = isnan(x->backward) ? first : (x->backward < 0) - (x->backward > 0);
        const int half = first == second ? 1 + first : 1; /* halves of C2 that a gets */
        halves[x->a] += half;
        halves[x->b] += 2 - half;
    }
    for (int i = 0; i < r->n; i++)
        out[i] = rounds ? RR_C2 * halves[i] / (2.0 * rounds) : 0;
}

/* Mean 1-based place of each candidate over the lists, unlisted as `unlisted`; 0 without lists. */
static void mean_places(double *place, const struct rr_reply *r, int unlisted)
{
    long long sum[RR_MAX_CANDIDATES];
    for (int i = 0; i < r->n; i++)
        sum[i] = (long long)unlisted * r->n_lists;
    for (int l = 0; l < r->n_lists; l++)
        for (int at = 0; at < r->n; at++) {
            const int c = r->listed[l * r->n + at];
            if (c >= 0)
                sum[c] += at + 1 - unlisted;
        }
    for (int i = 0; i < r->n; i++)
        place[i] = r->n_lists ? (double)sum[i] / r->n_lists : 0;
}

void rr_utility(double *out, const struct rr_reply *r, enum rr_task task)
{
    for (int i = 0; i < r->n; i++)
        out[i] = 0;
    if (!(r->asked >> task & 1))
        return;
    if (task == RR_POINTWISE) {
        for (int i = 0; i < r->n; i++)
            out[i] = r->rating[i] - RR_C1 * i;
    } else if (task == RR_PAIRWISE) {
        pair_utility(out, r);
    } else if (task == RR_LIKELIHOOD) {
        memcpy(out, r->likelihood, (size_t)r->n * sizeof *out);
    } else {
        mean_places(out, r, RR_UNLISTED);
        for (int i = 0; i < r->n; i++)
            out[i] *= -RR_C3;
    }
}

void rr_hybrid(double *out, const struct rr_reply *r, const struct rr_weights_hybrid *w)
{
    double one[RR_MAX_CANDIDATES];
    for (int i = 0; i < r->n; i++)
        out[i] = 0;
    for (int t = 0; t < RR_N_SIGNALS; t++) {
        rr_utility(one, r, (enum rr_task)t);
        for (int i = 0; i < r->n; i++)
            out[i] += w->alpha[t] * one[i];
    }
}

/* Mean log-odds of winning; a question "b over a" counts for b. */
static void pair_scores(double *out, const struct rr_reply *r)
{
    int n[RR_MAX_CANDIDATES] = {0};
    for (int i = 0; i < r->n; i++)
        out[i] = 0;
    for (int p = 0; p < r->n_pairs; p++) {
        const struct rr_pair_reply *x = &r->pairs[p];
        const bool both = !isnan(x->backward);
        const double odds = both ? (x->forward - x->backward) / 2 : x->forward;
        out[x->a] += odds;
        out[x->b] -= odds;
        n[x->a]++;
        n[x->b]++;
    }
    for (int i = 0; i < r->n; i++)
        out[i] = n[i] ? out[i] / n[i] : 0;
}

static void list_scores(double *out, const struct rr_reply *r)
{
    /* Unlisted ones come last, all at one place. */
    mean_places(out, r, r->n + 1);
    for (int i = 0; i < r->n; i++)
        out[i] = -out[i];
}

/* out += 1 / (60 + rank) for the order of scores. */
static void add_reciprocal(double *out, const double *scores, int n)
{
    struct rr_ranked order[RR_MAX_CANDIDATES];
    rr_order_by_score(order, scores, n);
    for (int i = 0; i < n; i++)
        out[order[i].candidate] += 1.0 / (RRF_K + i + 1);
}

static void fuse(double *out, const struct rr_reply *r)
{
    double one[RR_MAX_CANDIDATES];
    for (int i = 0; i < r->n; i++)
        out[i] = 1.0 / (RRF_K + i + 1); /* the retrieval order */
    for (int t = 0; t < RR_N_SIGNALS; t++) {
        if (!(r->asked >> t & 1))
            continue;
        rr_reply_scores(one, r, (enum rr_method)t, NULL);
        add_reciprocal(out, one, r->n);
    }
}

void rr_reply_features(double (*out)[RR_N_FEATURES], const struct rr_reply *r)
{
    double pairs[RR_MAX_CANDIDATES], places[RR_MAX_CANDIDATES];
    pair_scores(pairs, r);
    mean_places(places, r, r->n + 1);
    for (int i = 0; i < r->n; i++) {
        out[i][0] = log(i + 1.0);
        out[i][1] = r->asked >> RR_POINTWISE & 1 ? r->rating[i] : 0;
        out[i][2] = r->asked >> RR_PAIRWISE & 1 ? pairs[i] : 0;
        out[i][3] = r->asked >> RR_LISTWISE & 1 ? log(places[i]) : 0;
        out[i][4] = r->asked >> RR_LIKELIHOOD & 1 ? r->likelihood[i] : 0;
    }
}

static void fitted_scores(double *out, const struct rr_reply *r, const double *fitted)
{
    double features[RR_MAX_CANDIDATES][RR_N_FEATURES];
    rr_reply_features(features, r);
    for (int i = 0; i < r->n; i++) {
        out[i] = 0;
        for (int f = 0; f < RR_N_FEATURES; f++)
            out[i] += fitted[f] * features[i][f];
    }
}

void rr_reply_scores(double *out, const struct rr_reply *r, enum rr_method method,
                     const double *fitted)
{
    switch (method) {
    case RR_BY_POINTWISE:
        memcpy(out, r->rating, (size_t)r->n * sizeof *out);
        break;
    case RR_BY_PAIRWISE:
        pair_scores(out, r);
        break;
    case RR_BY_LISTWISE:
        list_scores(out, r);
        break;
    case RR_BY_LIKELIHOOD:
        memcpy(out, r->likelihood, (size_t)r->n * sizeof *out);
        break;
    case RR_BY_HYBRID:
        rr_hybrid(out, r, &r->weights);
        break;
    case RR_BY_RRF:
        fuse(out, r);
        break;
    default:
        fitted_scores(out, r, fitted);
    }
}

void rr_order_by_score(struct rr_ranked *out, const double *scores, int n)
{
    for (int i = 0; i < n; i++) {
        int at = i;
        for (; at > 0 && scores[i] > out[at - 1].score; at--)
            out[at] = out[at - 1];
        out[at] = (struct rr_ranked){i, scores[i]};
    }
}
