/* See sampling.h. */
#include "rec/prompt/sampling.h"

#include <math.h>
#include <stdlib.h>
#include "engine/base/check.h"
#include "engine/base/json.h"
#include "rec/prompt/kmeans.h"

static void normalise(double *p, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += p[i];
    for (int i = 0; i < n && sum > 0; i++)
        p[i] /= sum;
}

void rr_sampling_importance(double *p, const int *q, int n)
{
    for (int i = 0; i < n; i++)
        p[i] = q[i] > 1 ? log(q[i]) : 0;
    normalise(p, n);
}

void rr_sampling_penalty(double *p, const int *r, int n, double c)
{
    /* In logarithms: C^(r-1) is no number any more for a user drawn ten thousand times. */
    double most = -INFINITY;
    for (int i = 0; i < n; i++) {
        p[i] = r[i] > 0 ? log(r[i]) + (r[i] - 1) * log(c) : -INFINITY;
        most = fmax(most, p[i]);
    }
    for (int i = 0; i < n; i++)
        p[i] = r[i] > 0 ? exp(p[i] - most) : 0;
    normalise(p, n);
}

void rr_sampling_quotas(int *draws, const int *size, int k, int n)
{
    int sum = 0;
    for (int i = 0; i < k; i++)
        sum += size[i];
    for (int i = 0; i < k; i++)
        draws[i] = sum ? (int)nearbyint((double)size[i] * n / sum) : 0; /* halves to even */
}

struct sampler {
    const struct rr_split *split;
    struct rr_sampling *s;
    struct rr_sampling_options o;
    struct rr_rng rng;
    struct rr_error *err;
    int *pool;  /* users with training likes, ascending */
    int *q;     /* [n_pool] */
    int *times; /* [n_pool] in S */
    double *p;  /* [n_pool] */
    int *cluster;
};

/* An index with probability p; what is lost in rounding goes to the last one that has any. */
static int draw(struct rr_rng *rng, const double *p, int n)
{
    double at = rr_rng_unit(rng);
    int last = -1;
    for (int i = 0; i < n; i++) {
        if (!(p[i] > 0))
            continue;
        last = i;
        at -= p[i];
        if (at < 0)
            break;
    }
    return last;
}

static void add_importance(struct sampler *sm, int n)
{
    rr_sampling_importance(sm->p, sm->q, sm->s->n_pool);
    for (int i = 0; i < n; i++) {
        const int u = draw(&sm->rng, sm->p, sm->s->n_pool);
        if (u < 0)
            return; /* nobody has two likes */
        sm->times[u]++;
        sm->s->n_importance++;
    }
}

static int add_clusters(struct sampler *sm, const float *embeddings, int dim, int n)
{
    struct rr_sampling *s = sm->s;
    const size_t pool = (size_t)s->n_pool;
    float *rows = rr_alloc(pool * (size_t)dim, sizeof *rows);
    int *quota = rr_alloc((size_t)sm->o.n_clusters, sizeof *quota);
    int *members = rr_alloc(pool, sizeof *members);
    struct rr_kmeans_result km = {.cluster = sm->cluster};
    int rc =
        rows && quota && members ? RR_OK : rr_fail_memory(sm->err, "clusters", pool * sizeof *rows);
    for (size_t i = 0; i < pool && !rc; i++)
        memcpy(rows + i * (size_t)dim, embeddings + (size_t)sm->pool[i] * (size_t)dim,
               (size_t)dim * sizeof *rows);
    if (!rc)
        rc = rr_kmeans(&km, rows, s->n_pool, dim, sm->o.n_clusters, &sm->rng, sm->err);
    s->n_clusters = km.n_clusters;
    for (size_t i = 0; i < pool && !rc; i++)
        s->cluster_size[sm->cluster[i]]++;
    if (!rc)
        rr_sampling_quotas(quota, s->cluster_size, s->n_clusters, n);
    for (int c = 0; c < s->n_clusters && !rc; c++) {
        int n_members = 0;
        for (int i = 0; i < s->n_pool; i++)
            if (sm->cluster[i] == c)
                members[n_members++] = i;
        for (int d = 0; d < quota[c] && n_members; d++, s->n_clustering++)
            sm->times[members[rr_rng_below(&sm->rng, (uint64_t)n_members)]]++;
    }
    rr_free(rows);
    rr_free(quota);
    rr_free(members);
    return rc;
}

static void draw_final(struct sampler *sm)
{
    struct rr_sampling *s = sm->s;
    rr_sampling_penalty(sm->p, sm->times, s->n_pool, sm->o.no_penalty ? 1 : sm->o.penalty);
    for (int i = 0; i < sm->o.n; i++)
        s->users[s->n++] = draw(&sm->rng, sm->p, s->n_pool); /* index into the pool for now */
}

static int by_value(const void *a, const void *b)
{
    return (*(const int *)a > *(const int *)b) - (*(const int *)a < *(const int *)b);
}

/* Nearest-rank quartiles; sorts v. */
static void quartiles(double out[5], int *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, by_value);
    for (int i = 0; i < 5; i++)
        out[i] = n ? v[rr_nearest_rank(i / 4.0, n)] : 0;
}

/* The report; turns pool indices into user numbers. */
static int report(struct sampler *sm)
{
    struct rr_sampling *s = sm->s;
    int *of_draws = rr_alloc((size_t)s->n, sizeof *of_draws);
    if (!of_draws)
        return rr_fail_memory(sm->err, "sampling", (size_t)s->n * sizeof *of_draws);
    memset(sm->times, 0, (size_t)s->n_pool * sizeof *sm->times);
    for (int i = 0; i < s->n; i++) {
        const int u = s->users[i];
        sm->times[u]++;
        of_draws[i] = sm->q[u];
        if (s->n_clusters)
            s->cluster_drawn[sm->cluster[u]]++;
        s->users[i] = sm->pool[u];
    }
    for (int u = 0; u < s->n_pool; u++) {
        const int t = sm->times[u];
        s->n_distinct += t > 0;
        s->most_repeats = t > s->most_repeats ? t : s->most_repeats;
        if (t)
            s->repeats[t < 5 ? t - 1 : t < 10 ? 4 : 5]++;
    }
    quartiles(s->q_quartiles, of_draws, s->n);
    quartiles(s->pool_quartiles, sm->q, s->n_pool);
    rr_free(of_draws);
    return RR_OK;
}

static int prepare(struct sampler *sm, const struct rr_sampling_options *o)
{
    const struct rr_split *split = sm->split;
    const size_t users = (size_t)split->data->n_users;
    struct rr_sampling *s = sm->s;
    sm->o = *o;
    sm->o.n = o->n ? o->n : 5000;
    sm->o.n_clusters = o->n_clusters ? o->n_clusters : 10;
    sm->o.penalty = o->penalty != 0 ? o->penalty : 0.92;
    if (sm->o.n < 1 || sm->o.n_clusters < 1 || !(sm->o.penalty > 0 && sm->o.penalty <= 1))
        return rr_fail(
            sm->err, RR_ERR_USAGE, "SAMPLING", RR_NOWHERE,
            "%d users, %d clusters, penalty %g; expected at least 1, 1, and above 0 up to 1",
            sm->o.n, sm->o.n_clusters, sm->o.penalty);
    rr_rng_seed(&sm->rng, o->seed);
    sm->pool = rr_alloc(users, sizeof *sm->pool);
    sm->q = rr_alloc(users, sizeof *sm->q);
    sm->times = rr_zalloc(users, sizeof *sm->times);
    sm->p = rr_alloc(users, sizeof *sm->p);
    sm->cluster = rr_alloc(users, sizeof *sm->cluster);
    s->users = rr_alloc((size_t)sm->o.n, sizeof *s->users);
    s->cluster_size = rr_zalloc((size_t)sm->o.n_clusters, sizeof *s->cluster_size);
    s->cluster_drawn = rr_zalloc((size_t)sm->o.n_clusters, sizeof *s->cluster_drawn);
    if (!sm->pool || !sm->q || !sm->times || !sm->p || !sm->cluster || !s->users ||
        !s->cluster_size || !s->cluster_drawn)
        return rr_fail_memory(sm->err, "sampling", users * sizeof *sm->p);
    for (int u = 0; u < split->data->n_users; u++) {
        const int likes = (int)(split->train_start[u + 1] - split->train_start[u]);
        if (!likes)
            continue;
        sm->q[s->n_pool] = likes;
        sm->pool[s->n_pool++] = u;
    }
    return s->n_pool ? RR_OK
                     : rr_fail(sm->err, RR_ERR_DATA, "NO_TRAINING", RR_AT_FILE(split->data->path),
                               "no user has likes to train on");
}

/* The multiset S, as sm->times. */
static int collect(struct sampler *sm, const float *embeddings, int dim)
{
    const int part = (int)(0.6 * sm->o.n); /* n1 = n2 */
    int rc = RR_OK;
    if (!sm->o.no_importance)
        add_importance(sm, part);
    if (!sm->o.no_clustering)
        rc = embeddings ? add_clusters(sm, embeddings, dim, part)
                        : rr_fail(sm->err, RR_ERR_USAGE, "EMBEDDINGS", RR_NOWHERE,
                                  "clustering needs user embeddings; this recommender has none: "
                                  "take them from mf or lightgcn, or switch clustering off");
    int n_times = 0;
    for (int u = 0; u < sm->s->n_pool; u++)
        n_times += sm->times[u];
    for (int i = 0; !rc && !n_times && i < sm->o.n; i++) /* neither stage: uniform */
        sm->times[rr_rng_below(&sm->rng, (uint64_t)sm->s->n_pool)]++;
    return rc;
}

int rr_sampling_draw(struct rr_sampling *s, const struct rr_split *split, const float *embeddings,
                     int dim, const struct rr_sampling_options *o, struct rr_error *err)
{
    struct sampler sm = {.split = split, .s = s, .err = err};
    *s = (struct rr_sampling){0};
    int rc = prepare(&sm, o);
    if (!rc)
        rc = collect(&sm, embeddings, dim);
    if (!rc) {
        draw_final(&sm);
        rc = report(&sm);
    }
    rr_free(sm.pool);
    rr_free(sm.q);
    rr_free(sm.times);
    rr_free(sm.p);
    rr_free(sm.cluster);
    if (rc)
        rr_sampling_free(s);
    return rc;
}

void rr_sampling_free(struct rr_sampling *s)
{
    rr_free(s->users);
    rr_free(s->cluster_size);
    rr_free(s->cluster_drawn);
    *s = (struct rr_sampling){0};
}

static const char *const repeat_names[6] = {"1", "2", "3", "4", "5-9", "10+"};

void rr_sampling_text(struct rr_buf *out, const struct rr_sampling *s)
{
    const double *q = s->q_quartiles, *p = s->pool_quartiles;
    rr_buf_printf(out,
                  "sampling  %d draws of %d users out of %d (%d by importance, %d by cluster, then "
                  "the penalty for repetition)\n",
                  s->n, s->n_distinct, s->n_pool, s->n_importance, s->n_clustering);
    rr_buf_printf(out,
                  "likes     of the users drawn: %g, %g, %g, %g, %g (least, quartiles, most); of "
                  "all: %g, %g, %g, %g, %g\n",
                  q[0], q[1], q[2], q[3], q[4], p[0], p[1], p[2], p[3], p[4]);
    rr_buf_puts(out, "repeats  ");
    for (int i = 0; i < 6; i++)
        rr_buf_printf(out, " %s times: %d users%s", repeat_names[i], s->repeats[i],
                      i < 5 ? "," : "\n");
    for (int c = 0; c < s->n_clusters; c++)
        rr_buf_printf(out, "cluster   %2d: %d users, %d draws\n", c + 1, s->cluster_size[c],
                      s->cluster_drawn[c]);
}

static void json_numbers(struct rr_buf *out, const char *key, const double *v, int n)
{
    rr_buf_printf(out, ",\"%s\":[", key);
    for (int i = 0; i < n; i++) {
        rr_buf_puts(out, i ? "," : "");
        rr_json_add_double(out, v[i]);
    }
    rr_buf_puts(out, "]");
}

void rr_sampling_json(struct rr_buf *out, const struct rr_sampling *s)
{
    int covered = 0;
    for (int c = 0; c < s->n_clusters; c++)
        covered += s->cluster_drawn[c] > 0;
    rr_buf_printf(out,
                  "{\"draws\":%d,\"users\":%d,\"pool\":%d,\"importance_draws\":%d,"
                  "\"cluster_draws\":%d,\"clusters_covered\":%d,\"most_repeats\":%d",
                  s->n, s->n_distinct, s->n_pool, s->n_importance, s->n_clustering, covered,
                  s->most_repeats);
    json_numbers(out, "likes_drawn", s->q_quartiles, 5);
    json_numbers(out, "likes_pool", s->pool_quartiles, 5);
    rr_buf_puts(out, ",\"repeats\":{");
    for (int i = 0; i < 6; i++)
        rr_buf_printf(out, "%s\"%s\":%d", i ? "," : "", repeat_names[i], s->repeats[i]);
    rr_buf_puts(out, "},\"clusters\":[");
    for (int c = 0; c < s->n_clusters; c++)
        rr_buf_printf(out, "%s{\"users\":%d,\"draws\":%d}", c ? "," : "", s->cluster_size[c],
                      s->cluster_drawn[c]);
    rr_buf_puts(out, "]}");
}
