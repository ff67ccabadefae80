/* Sampling: greedy ties, what top-k and top-p keep, repeatability, and frequencies. */
#include "tests/test.h"

#include <math.h>
#include <string.h>
#include "engine/sample.h"

enum { N_DRAWS = 20000 };

static struct rr_sampler sampler(double temperature, int top_k, double top_p, uint64_t seed)
{
    struct rr_sampler s = {.temperature = temperature, .top_k = top_k, .top_p = top_p};
    rr_rng_seed(&s.rng, seed);
    return s;
}

/* How often each id is drawn. */
static void count(int *counts, struct rr_sampler s, const float *logits, int n)
{
    struct rr_sample_scratch scratch[64];
    memset(counts, 0, (size_t)n * sizeof *counts);
    for (int i = 0; i < N_DRAWS; i++) {
        int id = rr_sample(&s, logits, n, scratch);
        if (id < 0 || id >= n)
            cr_assert(id >= 0 && id < n, "id %d of %d was drawn", id, n);
        counts[id]++;
    }
}

Test(sample, greedy_takes_the_largest_and_the_first_of_equals)
{
    static const float ties[] = {1, 7, 3, 7, 7}, last[] = {-9, -8, -7.5f}, zeros[] = {0, -0.0f, 0};
    struct rr_sampler s = sampler(0, 3, 0.5, 1);
    struct rr_rng before = s.rng;
    cr_assert(rr_sample(&s, ties, 5, NULL) == 1, "among equals not the lowest id");
    cr_assert(rr_sample(&s, last, 3, NULL) == 2, "not the largest of negative logits");
    cr_assert(rr_sample(&s, zeros, 3, NULL) == 0, "0 and -0 are not equals");
    cr_assert(rr_sample(&s, ties, 1, NULL) == 0, "of one token not that token");
    cr_assert(memcmp(&before, &s.rng, sizeof before) == 0, "greedy choice used a random number");
}

/* Probabilities 1/2, 1/4, 1/4 at temperature 1, spread over the ids 1, 3 and 0. */
static const float three[] = {-0.69314718f, 0, -30, -0.69314718f};

Test(sample, frequencies_follow_the_logits)
{
    int counts[4];
    const double expected[] = {0.25, 0.5, 0, 0.25};
    count(counts, sampler(1, 0, 1, 7), three, 4);
    for (int i = 0; i < 4; i++) {
        /* Five standard deviations of a binomial count. */
        const double p = expected[i], bound = 5 * sqrt(N_DRAWS * p * (1 - p)) + 1;
        cr_assert(fabs(counts[i] - N_DRAWS * p) < bound,
                  "id %d: %d of %d draws; expected %.0f +- %.0f", i, counts[i], (int)N_DRAWS,
                  N_DRAWS * p, bound);
    }
    /* At temperature 1/2 the odds are squared: 4 to 1 to 1. */
    count(counts, sampler(0.5, 0, 1, 7), three, 4);
    cr_assert(fabs(counts[1] - N_DRAWS * 2.0 / 3) < 5 * sqrt(N_DRAWS * 2.0 / 9),
              "temperature 0.5: id 1 in %d of %d draws", counts[1], (int)N_DRAWS);
    /* At a high one all are about as likely. */
    count(counts, sampler(1e6, 0, 1, 7), three, 4);
    cr_assert(fabs(counts[2] - N_DRAWS / 4.0) < 5 * sqrt(N_DRAWS * 3.0 / 16),
              "temperature 1e6: id 2 in %d of %d draws", counts[2], (int)N_DRAWS);
}

Test(sample, top_k_keeps_the_k_largest)
{
    static const float logits[] = {0.3f, 0.1f, 0.4f, 0.4f, 0.2f};
    static const int order[] = {2, 3, 0, 4, 1}; /* equal ones by id */
    int counts[5];
    for (int k = 1; k <= 7; k++) {
        count(counts, sampler(1, k, 1, 3), logits, 5);
        for (int i = 0; i < 5; i++)
            cr_assert((counts[order[i]] > 0) == (i < k), "top-k %d: id %d in %d draws", k, order[i],
                      counts[order[i]]);
    }
}

Test(sample, top_p_keeps_the_smallest_set)
{
    int counts[4];
    static const struct {
        double p;
        int kept[4];
    } cases[] = {
        {0.0, {0, 1, 0, 0}},  {0.49, {0, 1, 0, 0}}, {0.51, {1, 1, 0, 0}},
        {0.74, {1, 1, 0, 0}}, {0.76, {1, 1, 0, 1}}, {0.999, {1, 1, 0, 1}},
    };
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        count(counts, sampler(1, 0, cases[c].p, 5), three, 4);
        for (int i = 0; i < 4; i++)
            cr_assert((counts[i] > 0) == cases[c].kept[i], "top-p %g: id %d in %d draws",
                      cases[c].p, i, counts[i]);
    }
    /* Of what top-k left: 2/3 and 1/3, so that 0.6 is reached by the first alone. */
    count(counts, sampler(1, 2, 0.6, 5), three, 4);
    cr_assert(counts[1] == N_DRAWS, "top-k 2, top-p 0.6: id 1 in %d of %d draws", counts[1],
              (int)N_DRAWS);
}

Test(sample, same_seed_same_draws)
{
    static const float flat[50] = {0};
    struct rr_sample_scratch scratch[50];
    int differ = 0;
    struct rr_sampler a = sampler(0.8, 40, 0.95, 12), b = a, c = sampler(0.8, 40, 0.95, 13);
    for (int i = 0; i < 200; i++) {
        int x = rr_sample(&a, flat, 50, scratch), y = rr_sample(&b, flat, 50, scratch);
        cr_assert(x == y, "draw %d is %d and %d with the same seed", i, x, y);
        differ += x != rr_sample(&c, flat, 50, scratch);
    }
    cr_assert(differ > 100, "another seed changes %d of 200 draws", differ);
}

Test(sample, extreme_logits)
{
    static const float logits[] = {-3e38f, 3e38f, 0};
    int counts[3];
    count(counts, sampler(1, 0, 1, 5), logits, 3);
    cr_assert(counts[1] == N_DRAWS, "3e38 against 0: %d of %d draws", counts[1], (int)N_DRAWS);
    count(counts, sampler(1e-9, 0, 0.9, 5), three, 3);
    cr_assert(counts[1] == N_DRAWS, "temperature 1e-9: %d of %d draws", counts[1], (int)N_DRAWS);
}
