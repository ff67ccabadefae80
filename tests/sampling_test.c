/* k-means against every assignment there is; adaptive user sampling against the closed forms of
 * spec/method.md section 3: each stage alone, all off, what a seed decides, and the report. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/json.h"
#include "rec/prompt/kmeans.h"
#include "rec/prompt/sampling.h"
#include "tests/make_data.h"
#include "tests/test.h"

/* ---- k-means ---- */

/* Sum of squared distances of the rows to the means of their clusters. */
static double inertia_of(const int *cluster, const float *x, int n, int dim, int k)
{
    double sum = 0;
    for (int c = 0; c < k; c++)
        for (int d = 0; d < dim; d++) {
            double mean = 0;
            int size = 0;
            for (int i = 0; i < n; i++)
                if (cluster[i] == c) {
                    mean += (double)x[i * dim + d];
                    size++;
                }
            mean /= size ? size : 1;
            for (int i = 0; i < n; i++)
                if (cluster[i] == c)
                    sum += ((double)x[i * dim + d] - mean) * ((double)x[i * dim + d] - mean);
        }
    return sum;
}

/* The least inertia of all k^n assignments. */
static double least_inertia(const float *x, int n, int dim, int k)
{
    int cluster[8] = {0}, total = 1;
    double best = INFINITY;
    for (int i = 0; i < n; i++)
        total *= k;
    for (int a = 0; a < total; a++) {
        for (int i = 0, rest = a; i < n; i++, rest /= k)
            cluster[i] = rest % k;
        best = fmin(best, inertia_of(cluster, x, n, dim, k));
    }
    return best;
}

static int distinct_rows(const float *x, int n, int dim)
{
    int distinct = 0;
    for (int i = 0; i < n; i++) {
        int seen = 0;
        for (int j = 0; j < i && !seen; j++)
            seen = memcmp(x + i * dim, x + j * dim, (size_t)dim * sizeof *x) == 0;
        distinct += !seen;
    }
    return distinct;
}

/* No row lies nearer to another cluster's mean than to its own. */
static void check_nearest(const int *cluster, const float *x, int n, int dim, int k)
{
    double mean[8][4] = {{0}};
    int size[8] = {0};
    for (int i = 0; i < n; i++) {
        cr_assert(cluster[i] >= 0 && cluster[i] < k, "row %d in cluster %d of %d", i, cluster[i],
                  k);
        size[cluster[i]]++;
        for (int d = 0; d < dim; d++)
            mean[cluster[i]][d] += (double)x[i * dim + d];
    }
    for (int c = 0; c < k; c++) {
        cr_assert(size[c] > 0, "cluster %d of %d is empty", c, k);
        for (int d = 0; d < dim; d++)
            mean[c][d] /= size[c];
    }
    for (int i = 0; i < n; i++) {
        double to[8] = {0};
        for (int c = 0; c < k; c++)
            for (int d = 0; d < dim; d++)
                to[c] += pow((double)x[i * dim + d] - mean[c][d], 2);
        for (int c = 0; c < k; c++)
            cr_assert(to[cluster[i]] <= to[c] + 1e-9, "row %d is nearer to cluster %d than to %d",
                      i, c, cluster[i]);
    }
}

/* Small random cases, on a coarse grid so that rows repeat and distances tie: never below the
 * optimum, nearly always at it, and at it for some seed in every case. */
Test(kmeans, small_cases_reach_the_least_inertia)
{
    struct rr_rng data;
    struct rr_error err = {0};
    int n_runs = 0, n_best = 0, n_repeated = 0;
    rr_rng_seed(&data, 11);
    for (int trial = 0; trial < 72; trial++) {
        float x[8 * 3];
        const int n = 1 + (int)rr_rng_below(&data, 8), dim = 1 + trial % 3, k = 1 + trial / 3 % 3;
        const int grid = 2 + (int)rr_rng_below(&data, 40);
        for (int i = 0; i < n * dim; i++)
            x[i] = (float)rr_rng_below(&data, (uint64_t)grid) - 3.5f;
        const int distinct = distinct_rows(x, n, dim), expected = k < distinct ? k : distinct;
        const double optimum = least_inertia(x, n, dim, expected);
        bool reached = false;
        n_repeated += distinct < n;
        for (uint64_t seed = 0; seed < 12; seed++, n_runs++) {
            int cluster[8];
            struct rr_kmeans_result r = {.cluster = cluster};
            struct rr_rng rng;
            rr_rng_seed(&rng, seed);
            cr_assert(rr_kmeans(&r, x, n, dim, k, &rng, &err) == 0, "%s", err.text);
            cr_assert(r.n_clusters == expected, "trial %d: %d clusters of %d distinct rows, k %d",
                      trial, r.n_clusters, distinct, k);
            check_nearest(cluster, x, n, dim, r.n_clusters);
            cr_assert(fabs(r.inertia - inertia_of(cluster, x, n, dim, r.n_clusters)) < 1e-9,
                      "trial %d: inertia %g is not that of the clusters", trial, r.inertia);
            cr_assert(r.inertia > optimum - 1e-9, "trial %d: %g is below the optimum %g", trial,
                      r.inertia, optimum);
            n_best += r.inertia < optimum + 1e-9;
            reached = reached || r.inertia < optimum + 1e-9;
        }
        cr_assert(reached, "trial %d: no seed reached %g (n %d, dim %d, k %d)", trial, optimum, n,
                  dim, k);
    }
    cr_assert(n_repeated >= 10, "only %d cases had repeated rows", n_repeated);
    cr_assert(n_best >= n_runs * 97 / 100, "%d of %d runs reached the optimum", n_best, n_runs);
}

Test(kmeans, no_more_clusters_than_distinct_rows)
{
    static const float x[] = {1, 2, 3, 4, 1, 2, 5, 6, 3, 4, 1, 2}; /* rows a b a c b a */
    static const float same[] = {7, 7, 7, 7};
    int c[6];
    struct rr_kmeans_result r = {.cluster = c};
    struct rr_error err = {0};
    struct rr_rng rng;
    for (int k = 3; k <= 9; k++) {
        rr_rng_seed(&rng, (uint64_t)k);
        cr_assert(rr_kmeans(&r, x, 6, 2, k, &rng, &err) == 0, "%s", err.text);
        cr_assert(r.n_clusters == 3 && r.inertia == 0, "k %d: %d clusters, inertia %g", k,
                  r.n_clusters, r.inertia);
        cr_assert(c[0] == c[2] && c[2] == c[5] && c[1] == c[4] && c[0] != c[1] && c[0] != c[3] &&
                      c[1] != c[3],
                  "k %d: equal rows part or different ones meet", k);
    }
    memset(c, 9, sizeof c);
    cr_assert(rr_kmeans(&r, same, 4, 1, 4, &rng, &err) == 0, "%s", err.text);
    cr_assert(r.n_clusters == 1 && !c[0] && !c[1] && !c[2] && !c[3],
              "%d clusters of four equal rows", r.n_clusters);
}

/* On a line optimal clusters are intervals, so dynamic programming finds the optimum of more rows.
 */
Test(kmeans, one_dimension_finds_the_optimal_intervals)
{
    enum { N = 40, K = 4 };
    float x[N]; /* ascending */
    double cost[K + 1][N + 1], best = INFINITY;
    struct rr_rng rng;
    struct rr_error err = {0};
    rr_rng_seed(&rng, 5);
    for (int i = 0; i < N; i++)
        x[i] = (float)(i / 10 * 7) + 0.05f * (float)i + (float)rr_rng_unit(&rng) * 0.04f;
    for (int k = 0; k <= K; k++)
        for (int n = 0; n <= N; n++) {
            cost[k][n] = n ? INFINITY : 0;
            for (int from = 0; k && from < n; from++) {
                double mean = 0, sum = 0;
                for (int i = from; i < n; i++)
                    mean += (double)x[i] / (n - from);
                for (int i = from; i < n; i++)
                    sum += ((double)x[i] - mean) * ((double)x[i] - mean);
                cost[k][n] = fmin(cost[k][n], cost[k - 1][from] + sum);
            }
        }
    for (uint64_t seed = 0; seed < 5; seed++) {
        int cluster[N], n_changes = 0;
        struct rr_kmeans_result r = {.cluster = cluster};
        rr_rng_seed(&rng, seed);
        cr_assert(rr_kmeans(&r, x, N, 1, K, &rng, &err) == 0, "%s", err.text);
        for (int i = 1; i < N; i++)
            n_changes += cluster[i] != cluster[i - 1];
        cr_assert(r.n_clusters == K && n_changes == K - 1, "%d clusters, %d borders", r.n_clusters,
                  n_changes);
        cr_assert(r.inertia > cost[K][N] - 1e-6, "%g is below the optimum %g", r.inertia,
                  cost[K][N]);
        best = fmin(best, r.inertia);
    }
    cr_assert(fabs(best - cost[K][N]) < 1e-6, "%g, the optimum is %g", best, cost[K][N]);
}

Test(kmeans, a_seed_decides_and_nonsense_is_refused)
{
    float x[400];
    int a[200], b[200];
    struct rr_kmeans_result of_a = {.cluster = a}, of_b = {.cluster = b};
    struct rr_rng rng, again;
    struct rr_error err = {0};
    rr_rng_seed(&rng, 3);
    for (int i = 0; i < 400; i++)
        x[i] = (float)rr_rng_unit(&rng);
    again = rng;
    cr_assert(rr_kmeans(&of_a, x, 200, 2, 5, &rng, &err) == 0, "%s", err.text);
    cr_assert(rr_kmeans(&of_b, x, 200, 2, 5, &again, &err) == 0, "%s", err.text);
    cr_assert(of_a.n_clusters == 5 && of_b.n_clusters == 5 && of_a.inertia == of_b.inertia &&
                  memcmp(a, b, sizeof a) == 0 && memcmp(&rng, &again, sizeof rng) == 0,
              "the same generator made other clusters");
    check_nearest(a, x, 200, 2, 5);
    x[7] = NAN;
    cr_assert(rr_kmeans(&of_a, x, 200, 2, 5, &rng, &err) == RR_ERR_DATA &&
                  strstr(err.text, "row 3 "),
              "%s", err.text);
    static const int bad[3][3] = {{0, 2, 3}, {5, 0, 3}, {5, 2, 0}};
    for (int i = 0; i < 3; i++) {
        err = (struct rr_error){0};
        cr_assert(rr_kmeans(&of_a, x, bad[i][0], bad[i][1], bad[i][2], &rng, &err) == RR_ERR_USAGE,
                  "%d rows of %d, k %d: status %d", bad[i][0], bad[i][1], bad[i][2], err.status);
        cr_assert(strcmp(err.code, "KMEANS") == 0, "code %s", err.code);
    }
}

/* ---- the closed forms ---- */

Test(sampling, importance_is_the_logarithm_of_likes)
{
    static const int q[] = {1, 2, 0, 8, 1, 3}, ones[] = {1, 0, 1};
    double p[6], sum = 0;
    const double total = log(2) + log(8) + log(3);
    rr_sampling_importance(p, q, 6);
    for (int i = 0; i < 6; i++) {
        const double expected = q[i] > 1 ? log(q[i]) / total : 0;
        cr_assert(fabs(p[i] - expected) < 1e-15, "q %d: %g, expected %g", q[i], p[i], expected);
        sum += p[i];
    }
    cr_assert(fabs(sum - 1) < 1e-12 && p[0] == 0 && p[2] == 0, "sum %g, q = 1: %g", sum, p[0]);
    cr_assert(fabs(p[3] - 3 * p[1]) < 1e-15, "ln 8 is not 3 ln 2");
    rr_sampling_importance(p, ones, 3);
    cr_assert(p[0] == 0 && p[1] == 0 && p[2] == 0, "nobody has two likes: not all zero");
}

Test(sampling, penalty_weighs_repetition)
{
    static const int r[] = {0, 1, 2, 5, 10, 40};
    static const double c[] = {0.92, 0.95, 0.5, 1};
    for (int k = 0; k < 4; k++) {
        double p[6], total = 0;
        for (int i = 0; i < 6; i++)
            total += r[i] * pow(c[k], r[i] - 1);
        rr_sampling_penalty(p, r, 6, c[k]);
        for (int i = 0; i < 6; i++)
            cr_assert(fabs(p[i] - r[i] * pow(c[k], r[i] - 1) / total) < 1e-12,
                      "C %g, r %d: %g, expected %g", c[k], r[i], p[i],
                      r[i] * pow(c[k], r[i] - 1) / total);
        cr_assert(p[0] == 0, "a user who was not drawn has probability %g", p[0]);
    }
    /* C = 0.5: twice is as likely as once, r C^(r-1) = 1, 1, .75, .5. */
    static const int small[] = {1, 2, 3, 4};
    double p[4];
    rr_sampling_penalty(p, small, 4, 0.5);
    for (int i = 0; i < 4; i++)
        cr_assert(fabs(p[i] - (i < 2 ? 4 : 5 - i) / 13.0) < 1e-12, "%d times: %g", small[i], p[i]);
}

/* C^(r-1) is zero as a double from r of about 9000 on; the user must still be drawn. */
Test(sampling, penalty_of_a_hundred_thousand_draws_is_a_probability)
{
    static const int r[] = {60000, 60001, 60010};
    double p[3];
    rr_sampling_penalty(p, r, 3, 0.92);
    cr_assert(fabs(p[0] + p[1] + p[2] - 1) < 1e-12 && p[0] > p[1] && p[1] > p[2], "%g %g %g", p[0],
              p[1], p[2]);
    cr_assert(fabs(p[1] / p[0] - 0.92 * 60001 / 60000) < 1e-9, "ratio %g", p[1] / p[0]);
}

Test(sampling, quotas_round_halves_to_even)
{
    static const struct {
        int size[4], k, n, draws[4];
    } known[] = {{{1, 3}, 2, 2, {0, 2}},       /* 0.5, 1.5 */
                 {{5, 3}, 2, 4, {2, 2}},       /* 2.5, 1.5 */
                 {{3, 1}, 2, 6, {4, 2}},       /* 4.5, 1.5 */
                 {{1, 1, 1, 1}, 4, 2, {0}},    /* four halves: nothing is left */
                 {{7, 1}, 2, 4, {4, 0}},       /* 3.5, 0.5 */
                 {{1, 2, 3}, 3, 7, {1, 2, 4}}, /* 1.17, 2.33, 3.5 */
                 {{4, 0}, 2, 3, {3, 0}}};
    struct rr_rng rng;
    int draws[8], size[8];
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        rr_sampling_quotas(draws, known[i].size, known[i].k, known[i].n);
        for (int c = 0; c < known[i].k; c++)
            cr_assert(draws[c] == known[i].draws[c], "case %zu, cluster %d: %d, expected %d", i, c,
                      draws[c], known[i].draws[c]);
    }
    rr_rng_seed(&rng, 2);
    for (int trial = 0; trial < 500; trial++) {
        const int k = 1 + (int)rr_rng_below(&rng, 8), n = (int)rr_rng_below(&rng, 3000);
        long sum = 0;
        for (int c = 0; c < k; c++)
            sum += size[c] = 1 + (int)rr_rng_below(&rng, 9);
        rr_sampling_quotas(draws, size, k, n);
        for (int c = 0; c < k; c++) {
            const long twice = 2L * size[c] * n, floor = (long)size[c] * n / sum;
            const long half = twice - 2 * floor * sum; /* the rest, against sum */
            const long expected = half < sum ? floor : half > sum ? floor + 1 : floor + floor % 2;
            cr_assert(draws[c] == expected, "%d of %ld users, n %d: %d, expected %ld", size[c], sum,
                      n, draws[c], expected);
        }
    }
}

/* ---- draws ---- */

struct data {
    struct rr_dataset d;
    struct rr_split s;
};

/* User u has likes[u] likes and as many dislikes; with three or more likes two are held out, so
 * likes[u] - 2 train. */
static void open_likes(struct data *x, const int *likes, int n_users)
{
    struct rr_buf ratings = {0}, items = {0};
    struct rr_error err = {0};
    const char *dir = temporary_dir();
    for (int u = 0; u < n_users; u++)
        for (int i = 0; i < 2 * likes[u] + 1; i++)
            rr_buf_printf(&ratings, "%d\t%d\t%d\t%d\n", u + 1, i + 1, i < likes[u] ? 5 : 1,
                          1000 + i);
    for (int i = 1; i <= 100; i++)
        rr_buf_printf(&items,
                      "%d|Silent Kettle %d|01-Jan-1990|||0|1|0|0|0|0|0|0|0|0|0|0|0|0|0|0"
                      "|0|0|0\n",
                      i, i);
    write_file(path_in(dir, "u.data"), ratings.data, ratings.n);
    write_file(path_in(dir, "u.item"), items.data, items.n);
    rr_buf_free(&ratings);
    rr_buf_free(&items);
    cr_assert(rr_dataset_open(&x->d, dir, NULL, &err) == 0, "%s", err.text);
    cr_assert(rr_split_make(&x->s, &x->d, RR_SPLIT_BY_TIME, &err) == 0, "%s", err.text);
}

static void close_likes(struct data *x)
{
    rr_split_free(&x->s);
    rr_dataset_close(&x->d);
}

/* Counts of the users drawn over several seeds. */
static void count_draws(long *counts, const struct data *x, const float *embeddings, int dim,
                        struct rr_sampling_options o, int n_seeds)
{
    struct rr_error err = {0};
    memset(counts, 0, (size_t)x->d.n_users * sizeof *counts);
    for (int seed = 0; seed < n_seeds; seed++) {
        struct rr_sampling s;
        o.seed = (uint64_t)seed;
        cr_assert(rr_sampling_draw(&s, &x->s, embeddings, dim, &o, &err) == 0, "%s", err.text);
        cr_assert(s.n == o.n, "%d draws of %d", s.n, o.n);
        for (int i = 0; i < s.n; i++) {
            cr_assert(s.users[i] >= 0 && s.users[i] < x->d.n_users, "user %d", s.users[i]);
            counts[s.users[i]]++;
        }
        rr_sampling_free(&s);
    }
}

/* Five standard deviations around n p, for a variance. */
static void near(long count, double n, double p, double variance, int user)
{
    cr_assert(fabs((double)count - n * p) <= 5 * sqrt(variance),
              "user %d: %ld draws, expected %.1f +- %.1f", user, count, n * p, 5 * sqrt(variance));
}

/* Drawn n1 times with probability p into S, then n times from S. */
static double two_stage_variance(double n, double n1, double p)
{
    return n * p * (1 - p) * (1 - 1 / n1) + n * n * p * (1 - p) / n1;
}

static const int twelve[12] = {3, 4, 5, 6, 7, 9, 11, 14, 18, 26, 30, 34}; /* q = 1, 2, 3, ..., 32 */

Test(sampling, importance_alone_draws_by_the_closed_form)
{
    enum { N = 100000 };
    struct data x;
    int q[12];
    double p[12];
    long counts[12];
    open_likes(&x, twelve, 12);
    for (int u = 0; u < 12; u++)
        q[u] = twelve[u] - 2;
    rr_sampling_importance(p, q, 12);
    count_draws(counts, &x, NULL, 0,
                (struct rr_sampling_options){.n = N, .no_clustering = true, .no_penalty = true}, 1);
    cr_assert(counts[0] == 0, "the user with one like was drawn %ld times", counts[0]);
    for (int u = 1; u < 12; u++)
        near(counts[u], N, p[u], two_stage_variance(N, 0.6 * N, p[u]), u);
    close_likes(&x);
}

/* Clusters of 1, 3 and 8 users, far apart: each gets its share, whatever its users' likes, and
 * they are alike inside. */
Test(sampling, clustering_alone_gives_each_cluster_its_share)
{
    enum { N = 100000, N2 = 60000 };
    static const int of[12] = {2, 1, 2, 2, 0, 2, 1, 2, 2, 1, 2, 2}, size[3] = {1, 3, 8};
    struct data x;
    float embeddings[24];
    long counts[12], of_cluster[3] = {0};
    int quota[3];
    open_likes(&x, twelve, 12);
    for (int u = 0; u < 12; u++) {
        embeddings[2 * u] = (float)(10 * of[u]);
        embeddings[2 * u + 1] = 0.01f * (float)u;
    }
    rr_sampling_quotas(quota, size, 3, N2);
    count_draws(counts, &x, embeddings, 2,
                (struct rr_sampling_options){
                    .n = N, .n_clusters = 3, .no_importance = true, .no_penalty = true},
                1);
    for (int u = 0; u < 12; u++) {
        const double m = size[of[u]], inside = quota[of[u]] / m * (1 - 1 / m);
        const double p = quota[of[u]] / m / N2;
        of_cluster[of[u]] += counts[u];
        near(counts[u], N, p, N * p * (1 - p) + (double)N * N * inside / N2 / N2, u);
    }
    for (int c = 0; c < 3; c++) {
        const double p = (double)quota[c] / N2;
        near(of_cluster[c], N, p, N * p * (1 - p), 100 + c);
    }
    close_likes(&x);
}

Test(sampling, all_off_is_uniform_over_who_has_likes)
{
    enum { N = 60000 };
    struct data x;
    int likes[12];
    long counts[12];
    memcpy(likes, twelve, sizeof likes);
    likes[5] = 0; /* has rated, and liked nothing */
    open_likes(&x, likes, 12);
    count_draws(counts, &x, NULL, 0,
                (struct rr_sampling_options){
                    .n = N, .no_importance = true, .no_clustering = true, .no_penalty = true},
                1);
    for (int u = 0; u < 12; u++) {
        if (likes[u])
            near(counts[u], N, 1.0 / 11, two_stage_variance(N, N, 1.0 / 11), u);
        else
            cr_assert(counts[u] == 0, "a user without likes was drawn %ld times", counts[u]);
    }
    close_likes(&x);
}

/* One user with two likes and three with one, each a cluster of its own: N = 20 draws 12 times the
 * first by importance and 3 times everybody by cluster, so S is known, and the penalty's closed
 * form with it. */
Test(sampling, penalty_thins_repeated_users_by_the_closed_form)
{
    enum { N = 20, SEEDS = 2500 };
    static const int likes[4] = {1, 2, 1, 1}, r[4] = {3, 15, 3, 3};
    static const float embeddings[4] = {0, 10, 20, 30};
    static const double c[4] = {0.92, 0.95, 0.7, 1};
    struct data x;
    long counts[4];
    double p[4];
    open_likes(&x, likes, 4);
    for (int k = 0; k < 4; k++) {
        const bool off = c[k] == 1;
        rr_sampling_penalty(p, r, 4, c[k]);
        count_draws(
            counts, &x, embeddings, 1,
            (struct rr_sampling_options){
                .n = N, .n_clusters = 4, .penalty = off || k == 0 ? 0 : c[k], .no_penalty = off},
            SEEDS);
        for (int u = 0; u < 4; u++)
            near(counts[u], N * SEEDS, p[u], N * SEEDS * p[u] * (1 - p[u]), u);
    }
    close_likes(&x);
}

/* Importance without anybody who has two likes leaves the others' stage, or uniform draws. */
Test(sampling, everybody_with_one_like)
{
    static const int likes[3] = {1, 1, 1};
    struct rr_sampling s;
    struct rr_error err = {0};
    struct data x;
    open_likes(&x, likes, 3);
    const struct rr_sampling_options o = {.n = 300, .no_clustering = true, .seed = 1};
    cr_assert(rr_sampling_draw(&s, &x.s, NULL, 0, &o, &err) == 0, "%s", err.text);
    cr_assert(s.n == 300 && s.n_importance == 0 && s.n_distinct == 3, "%d draws of %d users", s.n,
              s.n_distinct);
    rr_sampling_free(&s);
    close_likes(&x);
}

static void open_made(struct data *x)
{
    struct rr_error err = {0};
    cr_assert(rr_dataset_open(&x->d, make_data_dir(60, 45, 3), NULL, &err) == 0, "%s", err.text);
    cr_assert(rr_split_make(&x->s, &x->d, RR_SPLIT_BY_TIME, &err) == 0, "%s", err.text);
}

static void random_embeddings(float *out, int n)
{
    struct rr_rng rng;
    rr_rng_seed(&rng, 8);
    for (int i = 0; i < n; i++)
        out[i] = (float)rr_rng_unit(&rng);
}

Test(sampling, a_seed_decides_everything)
{
    struct data x;
    struct rr_sampling a, b, c;
    struct rr_error err = {0};
    float embeddings[60 * 4];
    struct rr_sampling_options o = {.n = 200, .seed = 5};
    open_made(&x);
    random_embeddings(embeddings, 60 * 4);
    cr_assert(rr_sampling_draw(&a, &x.s, embeddings, 4, &o, &err) == 0, "%s", err.text);
    cr_assert(rr_sampling_draw(&b, &x.s, embeddings, 4, &o, &err) == 0, "%s", err.text);
    o.seed = 6;
    cr_assert(rr_sampling_draw(&c, &x.s, embeddings, 4, &o, &err) == 0, "%s", err.text);
    cr_assert(memcmp(a.users, b.users, 200 * sizeof *a.users) == 0, "the same seed, other users");
    cr_assert(memcmp(a.users, c.users, 200 * sizeof *a.users) != 0, "another seed, the same users");
    rr_sampling_free(&a);
    rr_sampling_free(&b);
    rr_sampling_free(&c);
    close_likes(&x);
}

Test(sampling, what_cannot_be_drawn_is_refused)
{
    static const int none[2] = {0, 0};
    struct data x, empty;
    struct rr_sampling s;
    float embeddings[60] = {0};
    open_made(&x);
    open_likes(&empty, none, 2);
    static const struct rr_sampling_options bad[] = {{.n = -1}, {.n_clusters = -2}, {.penalty = 2}};
    for (int i = 0; i < 3; i++) {
        struct rr_error err = {0};
        cr_assert(rr_sampling_draw(&s, &x.s, embeddings, 1, &bad[i], &err) == RR_ERR_USAGE &&
                      strcmp(err.code, "SAMPLING") == 0,
                  "options %d: %d %s", i, err.status, err.code);
        cr_assert(!s.users && !s.n, "something is left to release");
    }
    struct rr_error err = {0};
    cr_assert(rr_sampling_draw(&s, &x.s, NULL, 0, &(struct rr_sampling_options){.n = 9}, &err) ==
                      RR_ERR_USAGE &&
                  strcmp(err.code, "EMBEDDINGS") == 0,
              "no embeddings: %d %s", err.status, err.code);
    cr_assert(rr_sampling_draw(&s, &empty.s, embeddings, 1, &(struct rr_sampling_options){0},
                               &err) == RR_ERR_DATA &&
                  strcmp(err.code, "NO_TRAINING") == 0,
              "no likes: %d %s", err.status, err.code);
    close_likes(&x);
    close_likes(&empty);
}

/* ---- the report ---- */

static int ascending(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* A quartile: a quarter per step lies at or below it, and no more strictly below. */
static void check_quartiles(const double *q, int *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, ascending);
    cr_assert(q[0] == v[0] && q[4] == v[n - 1], "from %g to %g, not %d to %d", q[0], q[4], v[0],
              v[n - 1]);
    for (int i = 1; i < 4; i++) {
        int below = 0, upto = 0;
        for (int k = 0; k < n; k++) {
            below += v[k] < q[i];
            upto += v[k] <= q[i];
        }
        cr_assert(below <= n * i / 4.0 && upto >= n * i / 4.0 - 1 && below < upto,
                  "quartile %d is %g: %d of %d below it, %d up to it", i, q[i], below, n, upto);
    }
}

static void check_report(const struct data *x, const struct rr_sampling *s, int n, int n_clusters)
{
    int times[60] = {0}, pool[60], drawn[1000], n_pool = 0, distinct = 0, most = 0, sum = 0;
    int repeats[6] = {0}, quota[16];
    for (int i = 0; i < s->n; i++) {
        const int u = s->users[i];
        times[u]++;
        drawn[i] = (int)(x->s.train_start[u + 1] - x->s.train_start[u]);
        cr_assert(drawn[i] > 0, "user %d has no training likes", u);
    }
    for (int u = 0; u < 60; u++) {
        const int likes = (int)(x->s.train_start[u + 1] - x->s.train_start[u]), t = times[u];
        if (likes)
            pool[n_pool++] = likes;
        distinct += t > 0;
        most = t > most ? t : most;
        if (t)
            repeats[t >= 10 ? 5 : t >= 5 ? 4 : t - 1]++;
    }
    cr_assert(s->n == n && s->n_pool == n_pool && s->n_distinct == distinct &&
                  s->most_repeats == most,
              "%d draws, pool %d, %d distinct, at most %d times", s->n, s->n_pool, s->n_distinct,
              s->most_repeats);
    cr_assert(memcmp(repeats, s->repeats, sizeof repeats) == 0, "repeats");
    check_quartiles(s->q_quartiles, drawn, s->n);
    check_quartiles(s->pool_quartiles, pool, n_pool);
    cr_assert(s->n_clusters == n_clusters, "%d clusters", s->n_clusters);
    rr_sampling_quotas(quota, s->cluster_size, n_clusters, (int)(0.6 * n));
    int size = 0, of_clusters = 0;
    for (int c = 0; c < n_clusters; c++) {
        size += s->cluster_size[c];
        of_clusters += s->cluster_drawn[c];
        sum += quota[c];
    }
    cr_assert(!n_clusters || (size == n_pool && of_clusters == n), "clusters of %d users, %d draws",
              size, of_clusters);
    cr_assert(s->n_clustering == sum, "%d draws by cluster, the quotas say %d", s->n_clustering,
              sum);
}

static double number(const struct rr_json *root, const char *key)
{
    const struct rr_json *v = rr_json_get(root, key);
    cr_assert(v && v->type == RR_JSON_NUMBER, "no number \"%s\"", key);
    return v->number;
}

static void check_json(const struct rr_sampling *s)
{
    static const char *const times[6] = {"1", "2", "3", "4", "5-9", "10+"};
    struct rr_buf out = {0};
    struct rr_arena arena = {0};
    struct rr_json *root;
    struct rr_error err = {0};
    int covered = 0, n = 0;
    rr_sampling_json(&out, s);
    cr_assert(rr_json_parse(&root, &arena, out.data, out.n, "sampling", 0, &err) == 0, "%s: %s",
              err.text, out.data);
    for (int c = 0; c < s->n_clusters; c++)
        covered += s->cluster_drawn[c] > 0;
    cr_assert(number(root, "draws") == s->n && number(root, "users") == s->n_distinct &&
                  number(root, "pool") == s->n_pool &&
                  number(root, "importance_draws") == s->n_importance &&
                  number(root, "cluster_draws") == s->n_clustering &&
                  number(root, "clusters_covered") == covered &&
                  number(root, "most_repeats") == s->most_repeats,
              "numbers of %s", out.data);
    const struct rr_json *drawn = rr_json_get(root, "likes_drawn"),
                         *pool = rr_json_get(root, "likes_pool"),
                         *repeats = rr_json_get(root, "repeats"),
                         *clusters = rr_json_get(root, "clusters");
    cr_assert(drawn && drawn->n_children == 5 && drawn->child->number == s->q_quartiles[0], "%s",
              out.data);
    cr_assert(pool && pool->n_children == 5 && pool->child->number == s->pool_quartiles[0], "%s",
              out.data);
    for (int i = 0; i < 6; i++)
        cr_assert(number(repeats, times[i]) == s->repeats[i], "repeats %s", times[i]);
    cr_assert(clusters && clusters->n_children == (size_t)s->n_clusters, "%s", out.data);
    for (const struct rr_json *c = clusters->child; c; c = c->next, n++)
        cr_assert(number(c, "users") == s->cluster_size[n] &&
                      number(c, "draws") == s->cluster_drawn[n],
                  "cluster %d", n);
    rr_buf_free(&out);
    rr_arena_free(&arena);
}

Test(sampling, the_report_adds_up)
{
    struct data x;
    float embeddings[60 * 4];
    struct rr_error err = {0};
    open_made(&x);
    random_embeddings(embeddings, 60 * 4);
    for (int stage = 0; stage < 8; stage++) {
        const struct rr_sampling_options o = {.n = 300 + stage,
                                              .n_clusters = 4 + stage,
                                              .no_importance = stage & 1,
                                              .no_clustering = stage >> 1 & 1,
                                              .no_penalty = stage >> 2 & 1,
                                              .seed = (uint64_t)stage};
        struct rr_sampling s;
        struct rr_buf text = {0};
        char head[64];
        cr_assert(rr_sampling_draw(&s, &x.s, embeddings, 4, &o, &err) == 0, "%s", err.text);
        cr_assert(s.n_importance == (o.no_importance ? 0 : (int)(0.6 * o.n)),
                  "%d draws by importance", s.n_importance);
        check_report(&x, &s, o.n, o.no_clustering ? 0 : o.n_clusters);
        check_json(&s);
        rr_sampling_text(&text, &s);
        snprintf(head, sizeof head, "%d draws of %d users out of %d", s.n, s.n_distinct, s.n_pool);
        cr_assert(text.data && strstr(text.data, head), "%s", text.data);
        rr_buf_free(&text);
        rr_sampling_free(&s);
    }
    close_likes(&x);
}

/* 5000 draws, ten clusters and C = 0.92 are what zeros mean. */
Test(sampling, zeros_are_the_defaults)
{
    struct data x;
    struct rr_sampling a, b;
    float embeddings[60 * 4];
    struct rr_error err = {0};
    open_made(&x);
    random_embeddings(embeddings, 60 * 4);
    const struct rr_sampling_options zero = {.seed = 1},
                                     said = {
                                         .n = 5000, .n_clusters = 10, .penalty = 0.92, .seed = 1};
    cr_assert(rr_sampling_draw(&a, &x.s, embeddings, 4, &zero, &err) == 0, "%s", err.text);
    cr_assert(rr_sampling_draw(&b, &x.s, embeddings, 4, &said, &err) == 0, "%s", err.text);
    cr_assert(a.n == 5000 && a.n_clusters == 10 && a.n_importance == 3000, "%d draws, %d clusters",
              a.n, a.n_clusters);
    cr_assert(b.n == 5000 && memcmp(a.users, b.users, 5000 * sizeof *a.users) == 0,
              "said aloud they give other users");
    rr_sampling_free(&a);
    rr_sampling_free(&b);
    close_likes(&x);
}
