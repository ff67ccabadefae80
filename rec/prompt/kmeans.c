/* See kmeans.h. */
#include "rec/prompt/kmeans.h"

#include <math.h>
#include <string.h>
#include "engine/base/mem.h"

struct state {
    const float *x;
    int n, dim, k;
    double *centres;  /* [k, dim] */
    double *distance; /* [n] squared, to the nearest centre */
    int *size;        /* [k] */
    int *cluster;     /* [n] */
};

static double squared(const float *row, const double *centre, int dim)
{
    double sum = 0;
    for (int d = 0; d < dim; d++) {
        const double diff = (double)row[d] - centre[d];
        sum += diff * diff;
    }
    return sum;
}

static const float *row(const struct state *s, int i)
{
    return s->x + (size_t)i * (size_t)s->dim;
}

static double *centre(const struct state *s, int c)
{
    return s->centres + (size_t)c * (size_t)s->dim;
}

static void put_centre(struct state *s, int c, int i)
{
    for (int d = 0; d < s->dim; d++)
        centre(s, c)[d] = (double)row(s, i)[d];
}

/* A row drawn with probability proportional to its squared distance; -1: all lie on a centre. */
static int draw(const struct state *s, struct rr_rng *rng)
{
    double sum = 0;
    int last = -1;
    for (int i = 0; i < s->n; i++)
        sum += s->distance[i];
    if (!(sum > 0))
        return -1;
    double at = rr_rng_unit(rng) * sum;
    for (int i = 0; i < s->n; i++) {
        if (!(s->distance[i] > 0))
            continue;
        last = i;
        at -= s->distance[i];
        if (at < 0)
            break;
    }
    return last;
}

/* k-means++; returns how many centres there are: fewer than k when rows repeat. */
static int start(struct state *s, int k, struct rr_rng *rng)
{
    put_centre(s, 0, (int)rr_rng_below(rng, (uint64_t)s->n));
    for (int i = 0; i < s->n; i++)
        s->distance[i] = INFINITY;
    for (int c = 1;; c++) {
        for (int i = 0; i < s->n; i++)
            s->distance[i] = fmin(s->distance[i], squared(row(s, i), centre(s, c - 1), s->dim));
        const int next = c < k ? draw(s, rng) : -1;
        if (next < 0)
            return c;
        put_centre(s, c, next);
    }
}

/* Every row to its nearest centre; whether any moved. */
static bool assign(struct state *s)
{
    bool moved = false;
    for (int i = 0; i < s->n; i++) {
        int best = 0;
        double least = INFINITY;
        for (int c = 0; c < s->k; c++) {
            const double d = squared(row(s, i), centre(s, c), s->dim);
            if (d < least) {
                least = d;
                best = c;
            }
        }
        moved = moved || s->cluster[i] != best;
        s->cluster[i] = best;
        s->distance[i] = least;
    }
    return moved;
}

/* Centres become the means of their rows; one that lost all of them moves to the row that lies
 * farthest from its own. */
static void move_centres(struct state *s)
{
    memset(s->size, 0, (size_t)s->k * sizeof *s->size);
    memset(s->centres, 0, (size_t)s->k * (size_t)s->dim * sizeof *s->centres);
    for (int i = 0; i < s->n; i++) {
        s->size[s->cluster[i]]++;
        for (int d = 0; d < s->dim; d++)
            centre(s, s->cluster[i])[d] += (double)row(s, i)[d];
    }
    for (int c = 0; c < s->k; c++) {
        if (s->size[c]) {
            for (int d = 0; d < s->dim; d++)
                centre(s, c)[d] /= s->size[c];
            continue;
        }
        int far = 0;
        for (int i = 1; i < s->n; i++)
            far = s->distance[i] > s->distance[far] ? i : far;
        put_centre(s, c, far);
        s->distance[far] = 0;
    }
}

static double run(struct state *s, int k, struct rr_rng *rng)
{
    double inertia = 0;
    s->k = start(s, k, rng);
    for (int i = 0; i < s->n; i++)
        s->cluster[i] = -1;
    for (int round = 0; round < RR_KMEANS_ROUNDS && assign(s); round++)
        move_centres(s);
    for (int i = 0; i < s->n; i++)
        inertia += s->distance[i];
    return inertia;
}

int rr_kmeans(struct rr_kmeans_result *out, const float *x, int n, int dim, int k,
              struct rr_rng *rng, struct rr_error *err)
{
    struct state s = {.x = x, .n = n, .dim = dim};
    out->inertia = INFINITY;
    if (n < 1 || dim < 1 || k < 1)
        return rr_fail(err, RR_ERR_USAGE, "KMEANS", RR_NOWHERE, "%d clusters of %d rows of %d", k,
                       n, dim);
    for (size_t i = 0; i < (size_t)n * (size_t)dim; i++)
        if (!isfinite(x[i]))
            return rr_fail(err, RR_ERR_DATA, "KMEANS", RR_NOWHERE,
                           "row %zu holds a number that is not finite", i / (size_t)dim);
    k = k < n ? k : n;
    s.centres = rr_alloc((size_t)k * (size_t)dim, sizeof *s.centres);
    s.distance = rr_alloc((size_t)n, sizeof *s.distance);
    s.size = rr_alloc((size_t)k, sizeof *s.size);
    s.cluster = rr_alloc((size_t)n, sizeof *s.cluster);
    const bool room = s.centres && s.distance && s.size && s.cluster;
    for (int i = 0; room && i < RR_KMEANS_STARTS; i++) {
        const double now = run(&s, k, rng);
        if (!(now < out->inertia))
            continue;
        out->inertia = now;
        out->n_clusters = s.k;
        memcpy(out->cluster, s.cluster, (size_t)n * sizeof *s.cluster);
    }
    rr_free(s.centres);
    rr_free(s.distance);
    rr_free(s.size);
    rr_free(s.cluster);
    return room ? RR_OK
                : rr_fail_memory(err, "k-means",
                                 (size_t)n * sizeof(double) +
                                     (size_t)k * (size_t)dim * sizeof(double));
}
