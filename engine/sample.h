/* Choosing the next token from logits: greedy, or at a temperature after top-k and top-p. */
#ifndef RR_SAMPLE_H
#define RR_SAMPLE_H

#include "engine/base/rng.h"

struct rr_sampler {
    double temperature; /* 0: the largest logit, the lowest id among equals */
    int top_k;          /* keep this many, 0: all */
    double top_p;       /* keep the smallest set of this probability, 1: all (Holtzman et al., arXiv
                           1904.09751) */
    struct rr_rng rng;
};

struct rr_sample_scratch {
    float logit;
    int id;
};

/* Returns a token id. scratch holds n entries; it is not touched when temperature is 0. n >= 1,
 * logits finite. */
int rr_sample(struct rr_sampler *s, const float *logits, int n, struct rr_sample_scratch *scratch);

#endif
