/* See sample.h. */
#include "engine/sample.h"

#include <math.h>
#include <stdbool.h>

static int greedy(const float *logits, int n)
{
    int best = 0;
    for (int i = 1; i < n; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}

/* Larger logit first; equal ones by id, so that the order is total and the draw repeatable. */
static bool before(const struct rr_sample_scratch *a, const struct rr_sample_scratch *b)
{
    return a->logit > b->logit || (a->logit == b->logit && a->id < b->id);
}

/* Lets h[i] sink in the heap h[0..n), whose top is first. */
static void sink(struct rr_sample_scratch *h, int i, int n)
{
    const struct rr_sample_scratch x = h[i];
    for (int child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && before(&h[child + 1], &h[child]))
            child++;
        if (!before(&h[child], &x))
            break;
        h[i] = h[child];
    }
    h[i] = x;
}

int rr_sample(struct rr_sampler *s, const float *logits, int n, struct rr_sample_scratch *scratch)
{
    if (s->temperature <= 0)
        return greedy(logits, n);
    for (int i = 0; i < n; i++)
        scratch[i] = (struct rr_sample_scratch){logits[i], i};
    for (int i = n / 2 - 1; i >= 0; i--)
        sink(scratch, i, n);
    /* The heap's top goes to the array's end, top_k times: the likeliest is best[0], then best[-1],
     * ... (A library sort might allocate, and would sort all.) */
    const struct rr_sample_scratch *best = scratch + n - 1;
    const double max = scratch[0].logit;
    double sum = 0;
    int keep = s->top_k > 0 && s->top_k < n ? s->top_k : n;
    for (int i = 0; i < keep; i++) {
        const struct rr_sample_scratch top = scratch[0];
        scratch[0] = scratch[n - 1 - i];
        sink(scratch, 0, n - 1 - i);
        scratch[n - 1 - i] = top;
        sum += exp((top.logit - max) / s->temperature);
    }
    if (s->top_p < 1) {
        double part = 0, need = s->top_p * sum;
        int m = 0;
        while (m < keep && (m == 0 || part < need))
            part += exp((best[-m++].logit - max) / s->temperature);
        keep = m;
        sum = part;
    }
    double draw = rr_rng_unit(&s->rng) * sum, part = 0;
    for (int i = 0; i < keep; i++) {
        part += exp((best[-i].logit - max) / s->temperature);
        if (draw < part)
            return best[-i].id;
    }
    return best[1 - keep].id;
}
