/* Statistics against direct summation, brute force and the normal approximation; weights that
 * maximise what they say they maximise; and the audit, which must find the original's leaks. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/mem.h"
#include "rec/eval/audit.h"
#include "rec/eval/fit.h"
#include "rec/eval/stats.h"
#include "tests/make_data.h"
#include "tests/test.h"

/* ---- paired tests ---- */

/* Two-sided binomial p by adding the coefficients up. */
static double binomial_p(int b, int c)
{
    const int n = b + c, few = b < c ? b : c;
    double choose = 1, sum = 0;
    for (int k = 0; k <= few; k++) {
        sum += choose;
        choose = choose * (n - k) / (k + 1);
    }
    return fmin(1, 2 * sum / ldexp(1, n));
}

Test(stats, mcnemar_is_the_exact_binomial)
{
    for (int b = 0; b <= 12; b++)
        for (int c = 0; c <= 12; c++) {
            const double p = rr_mcnemar(b, c), expected = binomial_p(b, c);
            cr_assert(fabs(p - expected) < 1e-12, "b %d, c %d: %.15g, expected %.15g", b, c, p,
                      expected);
            cr_assert(p > 0 && p <= 1 && p == rr_mcnemar(c, b), "b %d, c %d: p %g", b, c, p);
        }
    cr_assert(fabs(rr_mcnemar(1, 9) - 0.021484375) < 1e-13, "1, 9: %.12g", rr_mcnemar(1, 9));
    cr_assert(fabs(rr_mcnemar(0, 5) - 0.0625) < 1e-13, "0, 5: %.12g", rr_mcnemar(0, 5));
    cr_assert(fabs(rr_mcnemar(2, 8) - 0.109375) < 1e-13, "2, 8: %.12g", rr_mcnemar(2, 8));
    for (int b = 0; b <= 3000; b += 100)
        cr_assert(rr_mcnemar(b, b) == 1, "%d of each: %g", b, rr_mcnemar(b, b));
    /* Many users: near the normal approximation with its continuity correction. */
    const double z = (520.0 - 430 - 1) / sqrt(950);
    cr_assert(fabs(rr_mcnemar(430, 520) - erfc(z / sqrt(2))) < 2e-4, "430, 520: %g",
              rr_mcnemar(430, 520));
    cr_assert(rr_mcnemar(0, 2000) < 1e-300, "0, 2000: %g", rr_mcnemar(0, 2000));
}

/* Share of the 2^n sign patterns that sum at least as far from zero. In units of 1/64 all sums are
 * exact, so equals are equals. */
static double all_patterns(const double *d, int n)
{
    long far = 0;
    double observed = 0;
    for (int i = 0; i < n; i++)
        observed += d[i];
    for (long bits = 0; bits < 1L << n; bits++) {
        double sum = 0;
        for (int i = 0; i < n; i++)
            sum += bits >> i & 1 ? -d[i] : d[i];
        far += fabs(sum) >= fabs(observed);
    }
    return (double)far / (double)(1L << n);
}

Test(stats, few_differences_are_counted_exactly)
{
    struct rr_rng rng, unused;
    rr_rng_seed(&rng, 4);
    rr_rng_seed(&unused, 1);
    for (int trial = 0; trial < 300; trial++) {
        double d[200] = {0}, few[10], before[200];
        const int m = (int)rr_rng_below(&rng, 11), n = m + (int)rr_rng_below(&rng, 190);
        for (int i = 0; i < m; i++) {
            few[i] = ((double)rr_rng_below(&rng, 200) - (trial % 2 ? 60 : 100)) / 64;
            d[i * (n / m)] = few[i];
        }
        memcpy(before, d, sizeof d);
        const double p = rr_sign_flip(d, n, &unused), expected = all_patterns(few, m);
        cr_assert(fabs(p - expected) < 1e-15, "%d differences among %d: %.12g, expected %.12g", m,
                  n, p, expected);
        cr_assert(memcmp(before, d, sizeof d) == 0, "the differences were changed");
    }
    static const double known[] = {1, 1, 1, 0, 1, 1}, zeros[4] = {0}, even[] = {1, 0, -1};
    cr_assert(rr_sign_flip(known, 6, &unused) == 0.0625, "five of one sign");
    cr_assert(rr_sign_flip(zeros, 4, &unused) == 1 && rr_sign_flip(zeros, 0, &unused) == 1 &&
                  rr_sign_flip(even, 3, &unused) == 1,
              "no difference is significant");
}

/* The order of additions must not decide: tenths have no exact sums, whole numbers have. */
Test(stats, equal_sums_count_as_equal_whatever_the_rounding)
{
    struct rr_rng rng;
    rr_rng_seed(&rng, 2);
    for (int trial = 0; trial < 300; trial++) {
        double tenths[10], whole[10];
        const int n = 2 + (int)rr_rng_below(&rng, 9);
        for (int i = 0; i < n; i++) {
            whole[i] = (double)rr_rng_below(&rng, 12) - 4;
            tenths[i] = whole[i] * 0.1;
        }
        const double p = rr_sign_flip(tenths, n, &rng), expected = all_patterns(whole, n);
        cr_assert(fabs(p - expected) < 1e-15, "%d tenths: %g, not %g", n, p, expected);
    }
}

Test(stats, many_differences_are_estimated_and_never_impossible)
{
    enum { N = 20 };
    struct rr_rng rng, seeded, again;
    rr_rng_seed(&rng, 6);
    for (int trial = 0; trial < 5; trial++) {
        double d[N];
        for (int i = 0; i < N; i++)
            d[i] = ((double)rr_rng_below(&rng, 200) + 1 - (trial ? 100 - 25.0 * trial : 101)) / 64;
        for (int i = 0; i < N; i++)
            d[i] = d[i] == 0 ? 1.0 / 64 : d[i];
        rr_rng_seed(&seeded, (uint64_t)trial);
        again = seeded;
        const double exact = all_patterns(d, N), p = rr_sign_flip(d, N, &seeded);
        const double bound = 5 * sqrt(exact * (1 - exact) / RR_SIGN_FLIPS) + 1.0 / RR_SIGN_FLIPS;
        cr_assert(fabs(p - exact) <= bound, "trial %d: %g, exactly %g +- %g", trial, p, exact,
                  bound);
        cr_assert(p == rr_sign_flip(d, N, &again), "the same generator, another p");
    }
    double all[40];
    for (int i = 0; i < 40; i++)
        all[i] = 1;
    const double p = rr_sign_flip(all, 40, &rng);
    cr_assert(p > 0 && p <= 3.0 / RR_SIGN_FLIPS, "forty of one sign: %g", p);
    for (int i = 0; i < 40; i += 2)
        all[i] = -1;
    cr_assert(rr_sign_flip(all, 40, &rng) == 1, "a sum of zero");
}

/* A p-value is at least the largest of all smaller ones' corrected values. */
static double naive_holm(const double *p, int m, int i)
{
    double most = 0;
    for (int j = 0; j < m; j++) {
        int below = 0;
        if (p[j] > p[i])
            continue;
        for (int k = 0; k < m; k++)
            below += p[k] < p[j];
        most = fmax(most, fmin(1, (m - below) * p[j]));
    }
    return most;
}

Test(stats, holm_corrects_as_by_hand)
{
    static const double p[] = {0.01, 0.04, 0.03, 0.005}, expected[] = {0.03, 0.06, 0.06, 0.02};
    double adjusted[24], many[24];
    int order[24];
    struct rr_rng rng;
    rr_holm(adjusted, p, 4, order);
    for (int i = 0; i < 4; i++)
        cr_assert(fabs(adjusted[i] - expected[i]) < 1e-15, "p %g: %g, expected %g", p[i],
                  adjusted[i], expected[i]);
    rr_rng_seed(&rng, 9);
    for (int trial = 0; trial < 500; trial++) {
        const int m = 1 + (int)rr_rng_below(&rng, 24);
        for (int i = 0; i < m; i++)
            many[i] = trial % 3 ? pow(rr_rng_unit(&rng), 4) : (double)rr_rng_below(&rng, 5) / 40;
        rr_holm(adjusted, many, m, order);
        for (int i = 0; i < m; i++) {
            const double e = naive_holm(many, m, i);
            cr_assert(fabs(adjusted[i] - e) < 1e-15 && adjusted[i] >= many[i] && adjusted[i] <= 1,
                      "%d tests, p %g: %g, expected %g", m, many[i], adjusted[i], e);
        }
    }
}

/* ---- bootstrap ---- */

enum { USERS = 1000, ROWS = 3 };

/* Ranks 1 to 12 and none, better in later rows, alike within a user. */
static void make_ranks(int (*ranks)[USERS], uint64_t seed)
{
    struct rr_rng rng;
    rr_rng_seed(&rng, seed);
    for (int u = 0; u < USERS; u++) {
        const double luck = rr_rng_unit(&rng);
        for (int r = 0; r < ROWS; r++) {
            const double x = luck * 30 + rr_rng_unit(&rng) * 12 - 3 * r;
            ranks[r][u] = x < 1 ? 1 : x < 13 ? (int)x : 0;
        }
    }
}

/* Mean and standard deviation over users of a metric of one row, minus that of another. */
static void moments(double *mean, double *deviation, const int *row, const int *minus,
                    enum rr_measure k, int cut)
{
    double sum = 0, squares = 0;
    for (int u = 0; u < USERS; u++) {
        const double v =
            rr_metrics_value(k, cut, row[u]) - (minus ? rr_metrics_value(k, cut, minus[u]) : 0);
        sum += v;
        squares += v * v;
    }
    *mean = sum / USERS;
    *deviation = sqrt(squares / USERS - *mean * *mean);
}

/* Around the mean, and as wide as the normal approximation says (for HR the deviation is that of a
 * binomial, sqrt(p (1 - p))). */
static void check_interval(double low, double high, double mean, double deviation, const char *what,
                           int cut)
{
    const double width = 2 * 1.96 * deviation / sqrt(USERS);
    cr_assert(low <= mean && mean <= high, "%s@%d: %g is not in [%g, %g]", what, cut, mean, low,
              high);
    cr_assert(fabs((high - low) / width - 1) < 0.15, "%s@%d: %g wide, expected %g", what, cut,
              high - low, width);
    /* The middle is the mean, up to a tenth of the width. */
    cr_assert(fabs((low + high) / 2 - mean) < 0.1 * width, "%s@%d: [%g, %g] around %g", what, cut,
              low, high, mean);
}

static void check_nothing(const struct rr_metrics *gain)
{
    static const double nothing[RR_N_MEASURES][RR_N_CUTS];
    cr_assert(memcmp(gain->at, nothing, sizeof nothing) == 0, "a row gains over itself");
}

Test(stats, bootstrap_intervals_are_as_wide_as_theory_says)
{
    static int ranks[ROWS][USERS];
    const int *const rows[ROWS] = {ranks[0], ranks[1], ranks[2]};
    struct rr_interval out[ROWS];
    struct rr_error err = {0};
    make_ranks(ranks, 3);
    cr_assert(rr_bootstrap(out, rows, ROWS, 0, USERS, 7, &err) == 0, "%s", err.text);
    for (int r = 0; r < ROWS; r++) {
        cr_assert(out[r].low.n == USERS, "of %d users", out[r].low.n);
        for (int k = 0; k < RR_N_MEASURES; k++)
            for (int c = 0; c < RR_N_CUTS; c++) {
                const char *name = rr_measure_name((enum rr_measure)k);
                double mean, deviation;
                moments(&mean, &deviation, rows[r], NULL, (enum rr_measure)k, rr_cuts[c]);
                check_interval(out[r].low.at[k][c], out[r].high.at[k][c], mean, deviation, name,
                               rr_cuts[c]);
                moments(&mean, &deviation, rows[r], rows[0], (enum rr_measure)k, rr_cuts[c]);
                if (r)
                    check_interval(out[r].gain_low.at[k][c], out[r].gain_high.at[k][c], mean,
                                   deviation, name, rr_cuts[c]);
            }
    }
    check_nothing(&out[0].gain_low);
    check_nothing(&out[0].gain_high);
}

Test(stats, bootstrap_follows_its_seed_and_counts_alone)
{
    static int ranks[ROWS][USERS], turned[ROWS][USERS];
    const int *const rows[ROWS] = {ranks[0], ranks[1], ranks[1]};
    const int *const beyond[ROWS] = {turned[0], turned[1], turned[1]};
    struct rr_interval a[ROWS], b[ROWS], other[ROWS];
    struct rr_error err = {0};
    make_ranks(ranks, 5);
    cr_assert(rr_bootstrap(a, rows, ROWS, 1, USERS, 7, &err) == 0, "%s", err.text);
    cr_assert(rr_bootstrap(b, rows, ROWS, 1, USERS, 7, &err) == 0, "%s", err.text);
    cr_assert(rr_bootstrap(other, rows, ROWS, 1, USERS, 8, &err) == 0, "%s", err.text);
    cr_assert(memcmp(a, b, sizeof a) == 0, "the same seed, other intervals");
    cr_assert(memcmp(a, other, sizeof a) != 0, "another seed, the same intervals");
    /* A row that is the base in all but name gains nothing on the same resamples. */
    check_nothing(&a[2].gain_low);
    check_nothing(&a[2].gain_high);
    /* Behind the last cut all ranks are alike, and none is like them. */
    for (int r = 0; r < ROWS; r++)
        for (int u = 0; u < USERS; u++)
            turned[r][u] = ranks[r][u] > 10 || ranks[r][u] == 0 ? 900 : ranks[r][u];
    cr_assert(rr_bootstrap(b, beyond, ROWS, 1, USERS, 7, &err) == 0, "%s", err.text);
    cr_assert(memcmp(a, b, sizeof a) == 0, "ranks behind the cuts changed an interval");
}

/* Nobody hits, or everybody does: no width. */
Test(stats, bootstrap_of_constants_is_a_point)
{
    static const int none[3] = {0}, first[3] = {1, 1, 1};
    const int *const rows[2] = {none, first};
    struct rr_interval out[2];
    struct rr_error err = {0};
    cr_assert(rr_bootstrap(out, rows, 2, 0, 3, 1, &err) == 0, "%s", err.text);
    for (int i = 0; i < RR_N_MEASURES * RR_N_CUTS; i++) {
        const int k = i / RR_N_CUTS, c = i % RR_N_CUTS;
        cr_assert(out[0].low.at[k][c] == 0 && out[0].high.at[k][c] == 0, "a hit of nobody");
        cr_assert(out[1].low.at[k][c] == 1 && out[1].high.at[k][c] == 1 &&
                      out[1].gain_low.at[k][c] == 1 && out[1].gain_high.at[k][c] == 1,
                  "everybody hits: from %g", out[1].low.at[k][c]);
    }
}

/* ---- fitted weights ---- */

enum { SETS = 400, CANDIDATES = 10, EVERYTHING = (1 << RR_N_SIGNALS) - 1 };

struct choices {
    struct rr_reply replies[SETS];
    struct rr_choice_set sets[SETS];
};

/* u[i] = what the weights make of candidate i. */
static void utilities(double *u, const struct rr_reply *r, const double *w)
{
    double f[CANDIDATES][RR_N_FEATURES];
    rr_reply_features(f, r);
    for (int i = 0; i < CANDIDATES; i++) {
        u[i] = 0;
        for (int k = 0; k < RR_N_FEATURES; k++)
            u[i] += w[k] * f[i][k];
    }
}

/* Random replies to what is asked; the target by a softmax of the features. */
static void make_choices(struct choices *x, int n, const double *weights, unsigned asked,
                         uint64_t seed)
{
    struct rr_rng rng;
    struct rr_error err = {0};
    rr_rng_seed(&rng, seed);
    for (int s = 0; s < n; s++) {
        struct rr_reply *r = &x->replies[s];
        double p[CANDIDATES], sum = 0;
        cr_assert(rr_reply_resize(r, CANDIDATES, CANDIDATES / 2, 1, &err) == 0, "%s", err.text);
        r->asked = asked;
        for (int i = 0; i < CANDIDATES; i++) {
            r->rating[i] = 1 + 4 * rr_rng_unit(&rng);
            r->likelihood[i] = -9 * rr_rng_unit(&rng);
            r->shown[i] = r->listed[i] = i;
        }
        rr_rng_shuffle(&rng, r->listed, CANDIDATES);
        for (int t = 0; t < CANDIDATES / 2; t++)
            r->pairs[t] = (struct rr_pair_reply){2 * t, 2 * t + 1, 4 * rr_rng_unit(&rng) - 2,
                                                 4 * rr_rng_unit(&rng) - 2};
        utilities(p, r, weights);
        for (int i = 0; i < CANDIDATES; i++)
            sum += p[i] = exp(p[i]);
        double at = rr_rng_unit(&rng) * sum;
        int target = 0;
        while (target < CANDIDATES - 1 && (at -= p[target]) >= 0)
            target++;
        x->sets[s] = (struct rr_choice_set){r, target};
    }
}

/* Standard deviation of each feature over all candidates of all sets. */
static void deviations(double *out, const struct choices *x, int n)
{
    for (int k = 0; k < RR_N_FEATURES; k++) {
        double sum = 0, squares = 0;
        for (int s = 0; s < n; s++) {
            double f[CANDIDATES][RR_N_FEATURES];
            rr_reply_features(f, x->sets[s].reply);
            for (int i = 0; i < CANDIDATES; i++) {
                sum += f[i][k];
                squares += f[i][k] * f[i][k];
            }
        }
        const double mean = sum / (n * CANDIDATES);
        out[k] = sqrt(fmax(0, squares / (n * CANDIDATES) - mean * mean));
    }
}

/* Log-likelihood of the choices minus half the ridge times the squared standardised weights. */
static double penalised(const struct choices *x, int n, const double *w, const double *deviation)
{
    double value = 0;
    for (int s = 0; s < n; s++) {
        double u[CANDIDATES], sum = 0;
        utilities(u, x->sets[s].reply, w);
        for (int i = 0; i < CANDIDATES; i++)
            sum += exp(u[i]);
        value += u[x->sets[s].target] - log(sum);
    }
    for (int k = 0; k < RR_N_FEATURES; k++)
        value -= RR_FIT_RIDGE / 2 * pow(w[k] * deviation[k], 2);
    return value;
}

/* At the solution the gradient is none and every step away is down. */
static void check_maximum(const struct choices *x, int n, const double *w, const double *deviation)
{
    struct rr_rng rng;
    const double best = penalised(x, n, w, deviation), h = 1e-4;
    rr_rng_seed(&rng, 12);
    for (int k = 0; k < RR_N_FEATURES; k++) {
        double up[RR_N_FEATURES], down[RR_N_FEATURES];
        if (deviation[k] < 1e-6)
            continue;
        memcpy(up, w, sizeof up);
        memcpy(down, w, sizeof down);
        up[k] += h / deviation[k];
        down[k] -= h / deviation[k];
        const double slope =
            (penalised(x, n, up, deviation) - penalised(x, n, down, deviation)) / (2 * h);
        cr_assert(fabs(slope) < 1e-4, "slope along feature %d: %g", k, slope);
    }
    for (int trial = 0; trial < 60; trial++) {
        double moved[RR_N_FEATURES];
        const double step = trial % 3 == 0 ? 1 : trial % 3 == 1 ? 0.1 : 0.01;
        for (int k = 0; k < RR_N_FEATURES; k++)
            moved[k] =
                w[k] +
                (deviation[k] < 1e-6 ? 0 : step * (2 * rr_rng_unit(&rng) - 1) / deviation[k]);
        cr_assert(penalised(x, n, moved, deviation) <= best + 1e-9, "a step of %g goes up", step);
    }
}

Test(fit, weights_maximise_the_penalised_likelihood)
{
    static struct choices x;
    static const double truth[2][RR_N_FEATURES] = {{-0.4, 1.5, 0.8, -0.1, 0.3},
                                                   {0.1, 0, -0.9, -1.5, 0}};
    struct rr_error err = {0};
    for (int t = 0; t < 2; t++) {
        struct rr_fitted f, turned;
        double deviation[RR_N_FEATURES];
        make_choices(&x, SETS, truth[t], EVERYTHING, (uint64_t)(20 + t));
        cr_assert(rr_fit_weights(&f, x.sets, SETS, &err) == 0 && f.n == SETS, "%s", err.text);
        deviations(deviation, &x, SETS);
        check_maximum(&x, SETS, f.weights, deviation);
        /* Which effect is larger, and in which direction. */
        for (int a = 0; a < RR_N_FEATURES; a++) {
            const double fitted = f.weights[a] * deviation[a], true_a = truth[t][a] * deviation[a];
            cr_assert(fabs(fitted - true_a) < 0.3, "feature %d: %g, made with %g", a, fitted,
                      true_a);
            for (int b = 0; b < RR_N_FEATURES; b++)
                if (true_a > truth[t][b] * deviation[b] + 0.3)
                    cr_assert(fitted > f.weights[b] * deviation[b], "features %d and %d", a, b);
        }
        cr_assert(f.ndcg_cross > f.ndcg_retrieval + 0.05 && f.ndcg_cross < 1,
                  "NDCG@5 %g, of retrieval %g", f.ndcg_cross, f.ndcg_retrieval);
        for (int s = 0; s < SETS / 2; s++) {
            const struct rr_choice_set set = x.sets[s];
            x.sets[s] = x.sets[SETS - 1 - s];
            x.sets[SETS - 1 - s] = set;
        }
        cr_assert(rr_fit_weights(&turned, x.sets, SETS, &err) == 0, "%s", err.text);
        for (int k = 0; k < RR_N_FEATURES; k++)
            cr_assert(fabs(turned.weights[k] - f.weights[k]) < 1e-7, "the order of users matters");
    }
}

/* What was not asked gets no weight; what is retrieval's own is counted by hand. */
Test(fit, constant_features_get_no_weight)
{
    static struct choices x;
    static const double truth[RR_N_FEATURES] = {-1, 0, 0, 0};
    struct rr_error err = {0};
    struct rr_fitted f;
    double ndcg = 0, deviation[RR_N_FEATURES];
    make_choices(&x, 200, truth, 1u << RR_POINTWISE, 31);
    cr_assert(rr_fit_weights(&f, x.sets, 200, &err) == 0, "%s", err.text);
    deviations(deviation, &x, 200);
    check_maximum(&x, 200, f.weights, deviation);
    cr_assert(f.weights[0] < -0.5 && fabs(f.weights[1]) < 0.3, "weights %g, %g", f.weights[0],
              f.weights[1]);
    for (int k = 2; k < RR_N_FEATURES; k++)
        cr_assert(f.weights[k] == 0, "weight %g of feature %d, which is nothing", f.weights[k], k);
    for (int s = 0; s < 200; s++)
        ndcg += x.sets[s].target < 5 ? 1 / log2(x.sets[s].target + 2) / 200 : 0;
    cr_assert(fabs(f.ndcg_retrieval - ndcg) < 1e-12, "%g, by hand %g", f.ndcg_retrieval, ndcg);
    cr_assert(fabs(f.ndcg_cross - ndcg) < 0.05, "%g with the retrieval order alone, %g by it",
              f.ndcg_cross, ndcg);
}

/* A perfect feature: the likelihood has no maximum without the ridge. */
Test(fit, separable_choices_give_finite_weights)
{
    static struct choices x;
    static const double truth[RR_N_FEATURES] = {0, 60, 0, 0};
    struct rr_error err = {0};
    struct rr_fitted f;
    double deviation[RR_N_FEATURES];
    make_choices(&x, 100, truth, EVERYTHING, 5);
    cr_assert(rr_fit_weights(&f, x.sets, 100, &err) == 0, "%s", err.text);
    deviations(deviation, &x, 100);
    check_maximum(&x, 100, f.weights, deviation);
    for (int k = 0; k < RR_N_FEATURES; k++)
        cr_assert(isfinite(f.weights[k]), "weight %d: %g", k, f.weights[k]);
    cr_assert(f.ndcg_cross > 0.9, "NDCG@5 %g with the answer in hand", f.ndcg_cross);
}

Test(fit, fewer_than_ten_choices_are_refused)
{
    static struct choices x;
    static const double truth[RR_N_FEATURES] = {0, 1, 0, 0};
    struct rr_error err = {0};
    struct rr_fitted f;
    make_choices(&x, 10, truth, EVERYTHING, 1);
    for (int n = 0; n <= 10; n++)
        cr_assert(rr_fit_weights(&f, x.sets, n, &err) == (n < 10 ? RR_ERR_DATA : 0) &&
                      strcmp(err.code, "FIT") == 0,
                  "%d sets: %d %s", n, err.status, err.code);
}

/* ---- the leak audit ---- */

static void audit(struct rr_audit *a, enum rr_backbone_kind backbone, bool official)
{
    struct rr_dataset d;
    struct rr_error err = {0};
    const struct rr_audit_options o = {
        .backbone = backbone, .n_candidates = 10, .n_instructions = 120, .official = official};
    cr_assert(rr_dataset_open(&d, make_data_dir(60, 45, 3), NULL, &err) == 0, "%s", err.text);
    cr_assert(rr_audit_run(a, &d, &o, &err) == 0, "%s", err.text);
    rr_dataset_close(&d);
    int failed = 0;
    for (int i = 0; i < a->n; i++) {
        failed += !a->checks[i].passed;
        cr_assert(official || a->checks[i].passed, "%s: %s: %s", rr_backbone_name(backbone),
                  a->checks[i].name, a->checks[i].detail);
    }
    const int expected = 8 + (backbone != RR_BACKBONE_MF) + (official ? 0 : 3);
    cr_assert(a->n == expected && failed == a->n_failed, "%d checks, %d failed", a->n, failed);
    for (int i = 9; i < a->n && !official; i++)
        cr_assert(i < expected - 3 || strncmp(a->checks[i].name, "next liked: ", 12) == 0,
                  "check %d is '%s'", i, a->checks[i].name);
}

Test(audit, it_passes_and_fails_the_original)
{
    struct rr_audit a;
    bool compared = false;
    audit(&a, RR_BACKBONE_POP, false);
    audit(&a, RR_BACKBONE_MF, false);
    audit(&a, RR_BACKBONE_POP, true);
    cr_assert(a.n_failed >= 3, "the original's protocol fails %d checks", a.n_failed);
    for (int i = 0; i < a.n; i++) /* both what is looked at and what is compared */
        compared = compared || (!a.checks[i].passed && strstr(a.checks[i].name, "change no"));
    cr_assert(compared, "no comparison fails");
}
