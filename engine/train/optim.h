/* AdamW (Loshchilov and Hutter, arXiv 1711.05101) over one array of numbers, the clipping of its
 * gradient, and learning rates over a run. Every sum has a fixed order: the bits do not depend on
 * threads. */
#ifndef RR_TRAIN_OPTIM_H
#define RR_TRAIN_OPTIM_H

#include <stdint.h>
#include "engine/base/fail.h"
#include "engine/train/lm.h"

struct rr_adamw {
    double beta1, beta2, epsilon, decay; /* decay: of tensors that decay */
    double clip;                         /* largest norm of the gradient; 0: none */
    rr_real *m, *v;                      /* [n] first and second moments */
    size_t n;
    long long step;
};

/* beta 0.9 and 0.95, epsilon 1e-8, decay 0.1, clip 1. */
int rr_adamw_open(struct rr_adamw *a, size_t n, struct rr_error *err);
void rr_adamw_close(struct rr_adamw *a);
/* One step at a learning rate; the gradients are zeroed. Returns their norm before clipping (not
 * finite when a gradient is not: then nothing was changed but the gradients zeroed). */
double rr_adamw_step(struct rr_adamw *a, struct rr_engine *e, struct rr_lm *lm, double rate);

/* Linear warm-up over the first `warmup` of `total` steps, then half a cosine down to `floor` times
 * the peak. step from 1. */
double rr_cosine_rate(long long step, long long total, long long warmup, double peak,
                      double floor_share);

#endif
