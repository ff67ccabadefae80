/* See sample.h. */
#include "engine/sample.h"

#include <math.h>
#include <stdlib.h>

static int greedy(const float *logits, int n)
{
    int best = 0;
    for (int i = 1; i < n; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}

/* Larger logit first; equal ones by id, so that the order is total and the draw repeatable. */
static int by_logit(const void *a, const void *b)
{
    const struct rr_sample_scratch *x = a, *y = b;
    if (x->logit != y->logit)
        return x->logit > y->logit ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

int rr_sample(struct rr_sampler *s, const float *logits, int n, struct rr_sample_scratch *scratch)
{
    if (s->temperature <= 0)
        return greedy(logits, n);
    for (int i = 0; i < n; i++)
        scratch[i] = (struct rr_sample_scratch){logits[i], i};
    qsort(scratch, (size_t)n, sizeof *scratch, by_logit);
    int keep = s->top_k > 0 && s->top_k < n ? s->top_k : n;
    double sum = 0, max = scratch[0].logit;
    for (int i = 0; i < keep; i++)
        sum += exp((scratch[i].logit - max) / s->temperature);
    if (s->top_p < 1) {
        double part = 0, need = s->top_p * sum;
        int m = 0;
        while (m < keep && (m == 0 || part < need))
            part += exp((scratch[m++].logit - max) / s->temperature);
        keep = m;
        sum = part;
    }
    double draw = rr_rng_unit(&s->rng) * sum, part = 0;
    for (int i = 0; i < keep; i++) {
        part += exp((scratch[i].logit - max) / s->temperature);
        if (draw < part)
            return scratch[i].id;
    }
    return scratch[keep - 1].id;
}
