/* See stats.h. */
#include "rec/eval/stats.h"

#include <math.h>
#include <stdlib.h>
#include "engine/base/mem.h"

#define MAX_RANK 11 /* behind the last cut all ranks are alike */

/* ---- bootstrap ----------------------------------------------------------------------------------
 */

/* Values of one metric over all resamples, for every row: [n_rows][draws]. */
struct samples {
    double *value, *gain;
};

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The 2.5 and 97.5 % points of v[n], which is sorted. */
static void ends(double *low, double *high, double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, by_value);
    const int cut = (int)(0.025 * n);
    *low = v[cut];
    *high = v[n - 1 - cut];
}

/* counts[draw][row][rank] = resampled users of each rank. */
static void resample(int *counts, const int *const *ranks, int n_rows, int n, uint64_t seed)
{
    struct rr_rng rng;
    rr_rng_seed(&rng, seed);
    for (int draw = 0; draw < RR_BOOTSTRAP_DRAWS; draw++, counts += n_rows * (MAX_RANK + 1))
        for (int i = 0; i < n; i++) {
            const size_t u = (size_t)rr_rng_below(&rng, (uint64_t)n);
            for (int r = 0; r < n_rows; r++) {
                const int rank = ranks[r][u];
                counts[r * (MAX_RANK + 1) + (rank < MAX_RANK ? rank : MAX_RANK)]++;
            }
        }
}

static double metric(const int *counts, enum rr_measure m, int cut, int n)
{
    double sum = 0;
    for (int rank = 1; rank <= cut; rank++)
        sum += counts[rank] * rr_metrics_value(m, cut, rank);
    return sum / n;
}

int rr_bootstrap(struct rr_interval *out, const int *const *ranks, int n_rows, int base, int n,
                 uint64_t seed, struct rr_error *err)
{
    const size_t per_draw = (size_t)n_rows * (MAX_RANK + 1);
    int *counts = rr_zalloc(RR_BOOTSTRAP_DRAWS * per_draw, sizeof *counts);
    double *value = rr_alloc(RR_BOOTSTRAP_DRAWS, sizeof *value),
           *gain = rr_alloc(RR_BOOTSTRAP_DRAWS, sizeof *gain);
    const bool room = counts && value && gain;
    if (room)
        resample(counts, ranks, n_rows, n, seed);
    for (int r = 0; room && r < n_rows; r++) {
        out[r] = (struct rr_interval){.low = {.n = n}};
        for (int k = 0; k < RR_N_MEASURES; k++)
            for (int c = 0; c < RR_N_CUTS; c++) {
                for (int draw = 0; draw < RR_BOOTSTRAP_DRAWS; draw++) {
                    const int *at = counts + (size_t)draw * per_draw;
                    value[draw] =
                        metric(at + r * (MAX_RANK + 1), (enum rr_measure)k, rr_cuts[c], n);
                    gain[draw] = value[draw] - metric(at + base * (MAX_RANK + 1),
                                                      (enum rr_measure)k, rr_cuts[c], n);
                }
                ends(&out[r].low.at[k][c], &out[r].high.at[k][c], value, RR_BOOTSTRAP_DRAWS);
                ends(&out[r].gain_low.at[k][c], &out[r].gain_high.at[k][c], gain,
                     RR_BOOTSTRAP_DRAWS);
            }
    }
    rr_free(counts);
    rr_free(value);
    rr_free(gain);
    return room ? RR_OK
                : rr_fail_memory(err, "bootstrap", RR_BOOTSTRAP_DRAWS * per_draw * sizeof *counts);
}

/* ---- tests --------------------------------------------------------------------------------------
 */

double rr_mcnemar(int b, int c)
{
    const int n = b + c, few = b < c ? b : c;
    double sum = 0;
    if (!n)
        return 1;
    for (int k = 0; k <= few; k++)
        sum += exp(lgamma(n + 1.0) - lgamma(k + 1.0) - lgamma(n - k + 1.0) - n * log(2));
    return fmin(1, 2 * sum);
}

/* Share of all 2^m sign patterns whose sum is at least as far from zero as the observed one. */
static double exact_flips(const double *d, int m, double observed)
{
    const unsigned patterns = 1u << m;
    unsigned far = 0;
    for (unsigned bits = 0; bits < patterns; bits++) {
        double sum = 0;
        for (int i = 0; i < m; i++)
            sum += bits >> i & 1 ? -d[i] : d[i];
        far += fabs(sum) >= observed;
    }
    return (double)far / patterns;
}

static double random_flips(const double *d, int n, double observed, struct rr_rng *rng)
{
    int far = 0;
    for (int f = 0; f < RR_SIGN_FLIPS; f++) {
        double sum = 0;
        uint64_t bits = 0;
        int left = 0;
        for (int i = 0; i < n; i++) {
            if (d[i] == 0)
                continue;
            if (!left) {
                bits = rr_rng_u64(rng);
                left = 64;
            }
            sum += bits & 1 ? -d[i] : d[i];
            bits >>= 1;
            left--;
        }
        far += fabs(sum) >= observed;
    }
    return (far + 1.0) / (RR_SIGN_FLIPS + 1.0);
}

double rr_sign_flip(const double *d, int n, struct rr_rng *rng)
{
    double few[RR_SIGN_EXACT], observed = 0, size = 0;
    int m = 0;
    for (int i = 0; i < n; i++) {
        observed += d[i];
        size += fabs(d[i]);
        if (d[i] != 0 && m++ < RR_SIGN_EXACT)
            few[m - 1] = d[i];
    }
    if (!m)
        return 1;
    observed = fabs(observed) - 1e-12 * size; /* the order of additions must not decide */
    return m <= RR_SIGN_EXACT ? exact_flips(few, m, observed) : random_flips(d, n, observed, rng);
}

void rr_holm(double *adjusted, const double *p, int m, int *order)
{
    for (int i = 0; i < m; i++) {
        int at = i;
        for (; at > 0 && p[i] < p[order[at - 1]]; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
    double most = 0;
    for (int i = 0; i < m; i++) {
        most = fmax(most, fmin(1, (m - i) * p[order[i]]));
        adjusted[order[i]] = most;
    }
}
