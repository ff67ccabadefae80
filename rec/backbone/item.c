/* Recommenders that are one item-to-item matrix: a user's scores are the sum of the rows of the
 * items liked.
 *
 * ItemKNN (Sarwar et al., WWW 2001; cosine with shrinkage as in Dacrema et al., RecSys 2019): of
 * each item the k most similar others count. EASE (Steck, "Embarrassingly Shallow Autoencoders for
 * Sparse Data", arXiv 1905.03375): the linear model with zero diagonal that reconstructs the likes
 * best, in closed form. */
#include "rec/backbone/backbone.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "engine/base/check.h"
#include "engine/base/mem.h"
#include "rec/backbone/vector.h"

/* g[n, n] += the number of users who like both items; the diagonal counts likes. */
static void count_pairs(double *g, size_t n, const struct rr_split *split)
{
    for (int u = 0; u < split->data->n_users; u++)
        for (size_t a = split->train_start[u]; a < split->train_start[u + 1]; a++)
            for (size_t b = split->train_start[u]; b < split->train_start[u + 1]; b++)
                g[(size_t)split->train[a].item * n + (size_t)split->train[b].item] += 1;
}

/* Rows done of a job that takes `phases` passes over n rows; false: stop. */
static bool goes_on(const struct rr_fit_options *o, size_t phase, size_t phases, size_t row,
                    size_t n)
{
    return row % 16 || !o->progress ||
           !o->progress(o->progress_arg, (long long)(phase * n + row), (long long)(phases * n));
}

static int stopped(struct rr_error *err)
{
    return rr_fail(err, RR_ERR_INTERRUPTED, "INTERRUPTED", RR_NOWHERE, "training stopped");
}

struct neighbour {
    double similarity;
    int item;
};

/* More similar first; the lower item among equals, so that the k kept do not depend on the sort. */
static int by_similarity(const void *a, const void *b)
{
    const struct neighbour *x = a, *y = b;
    if (x->similarity != y->similarity)
        return x->similarity < y->similarity ? 1 : -1;
    return (x->item > y->item) - (x->item < y->item);
}

static int fit_itemknn(struct rr_backbone *b, const double *g, const struct rr_fit_options *o,
                       struct rr_error *err)
{
    const size_t n = (size_t)b->n_items;
    const int k = rr_min_int(o->neighbours ? o->neighbours : 100, b->n_items);
    struct neighbour *list = rr_alloc(n, sizeof *list);
    if (!list)
        return rr_fail_memory(err, "neighbours", n * sizeof *list);
    for (int i = 0; i < b->n_items; i++) {
        int found = 0;
        if (!goes_on(o, 0, 1, (size_t)i, n)) {
            rr_free(list);
            return stopped(err);
        }
        const double *row = g + (size_t)i * n;
        for (int j = 0; j < b->n_items; j++) {
            if (j == i || row[j] <= 0)
                continue;
            const double norm = sqrt(row[i]) * sqrt(g[(size_t)j * n + (size_t)j]) + o->shrink;
            list[found++] = (struct neighbour){row[j] / norm, j};
        }
        qsort(list, (size_t)found, sizeof *list, by_similarity);
        for (int j = 0; j < found && j < k; j++)
            b->weights[(size_t)list[j].item * n + (size_t)i] = (float)list[j].similarity;
    }
    rr_free(list);
    return RR_OK;
}

/* The lower triangle of a becomes L with L L^T = a (Cholesky); a is positive definite. */
static bool factorise(double *a, size_t n, const struct rr_fit_options *o)
{
    for (size_t i = 0; i < n; i++) {
        if (!goes_on(o, 0, 3, i, n))
            return false;
        for (size_t j = 0; j <= i; j++) {
            const double s = a[i * n + j] - rr_dot_f64(a + i * n, a + j * n, j);
            a[i * n + j] = i == j ? sqrt(s) : s / a[j * n + j];
        }
    }
    return true;
}

/* Row i of m becomes column i of L^-1: m[i][k] for k >= i. */
static bool invert_triangle(double *m, const double *l, size_t n, const struct rr_fit_options *o)
{
    for (size_t i = 0; i < n; i++) {
        if (!goes_on(o, 1, 3, i, n))
            return false;
        m[i * n + i] = 1 / l[i * n + i];
        for (size_t k = i + 1; k < n; k++)
            m[i * n + k] = -rr_dot_f64(l + k * n + i, m + i * n + i, k - i) / l[k * n + k];
    }
    return true;
}

/* P = (X^T X + lambda I)^-1, weight of j for i: -P[j][i] / P[i][i]. */
static int fit_ease(struct rr_backbone *b, double *g, const struct rr_fit_options *o,
                    struct rr_error *err)
{
    const size_t n = (size_t)b->n_items;
    double *m = rr_zalloc(n * n, sizeof *m), *diagonal = rr_alloc(n, sizeof *diagonal);
    if (!m || !diagonal) {
        rr_free(m);
        rr_free(diagonal);
        return rr_fail_memory(err, "EASE", n * n * sizeof *m);
    }
    for (size_t i = 0; i < n; i++)
        g[i * n + i] += o->lambda > 0 ? o->lambda : 100;
    bool more = factorise(g, n, o) && invert_triangle(m, g, n, o);
    for (size_t i = 0; i < n && more; i++)
        diagonal[i] = rr_dot_f64(m + i * n + i, m + i * n + i, n - i);
    for (size_t j = 0; j < n && more; j++) {
        more = goes_on(o, 2, 3, j, n);
        for (size_t i = 0; i < j; i++) {
            const double p = rr_dot_f64(m + i * n + j, m + j * n + j, n - j);
            b->weights[j * n + i] = (float)(-p / diagonal[i]);
            b->weights[i * n + j] = (float)(-p / diagonal[j]);
        }
    }
    rr_free(m);
    rr_free(diagonal);
    return more ? RR_OK : stopped(err);
}

int rr_backbone_fit_items(struct rr_backbone *b, const struct rr_split *split,
                          const struct rr_fit_options *o, struct rr_error *err)
{
    const size_t n = (size_t)b->n_items;
    double *g = rr_zalloc(n * n, sizeof *g);
    b->weights = rr_zalloc(n * n, sizeof *b->weights);
    int rc = RR_OK;
    if (!g || !b->weights) {
        rc = rr_fail_memory(err, "item matrix", n * n * sizeof *g);
    } else {
        if (b->kind == RR_BACKBONE_EASE)
            snprintf(b->settings, sizeof b->settings, "lambda %g", o->lambda > 0 ? o->lambda : 100);
        else
            snprintf(b->settings, sizeof b->settings, "neighbours %d shrink %g",
                     o->neighbours ? o->neighbours : 100, o->shrink);
        count_pairs(g, n, split);
        rc = b->kind == RR_BACKBONE_EASE ? fit_ease(b, g, o, err) : fit_itemknn(b, g, o, err);
    }
    rr_free(g);
    if (rc)
        rr_backbone_free(b);
    return rc;
}
