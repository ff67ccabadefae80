/* Predicts ratings for the pointwise hint: r = mean + b_u + b_i + p_u . q_i (Koren, Bell,
 * Volinsky 2009), fitted by stochastic gradient descent on the training ratings alone. */
#include "rec/backbone/backbone.h"

#include "engine/base/mem.h"

#define DIM 16
#define EPOCHS 20
#define RATE 0.01f
#define REGULARISE 0.05f

static float predict_raw(const struct rr_rating_model *m, int user, int item)
{
    const float *p = m->users + (size_t)user * DIM, *q = m->items + (size_t)item * DIM;
    float sum = m->mean + m->user_bias[user] + m->item_bias[item];
    for (int d = 0; d < DIM; d++)
        sum += p[d] * q[d];
    return sum;
}

static void step(struct rr_rating_model *m, const struct rr_rating *r)
{
    float *p = m->users + (size_t)r->user * DIM, *q = m->items + (size_t)r->item * DIM;
    const float e = r->value - predict_raw(m, r->user, r->item);
    m->user_bias[r->user] += RATE * (e - REGULARISE * m->user_bias[r->user]);
    m->item_bias[r->item] += RATE * (e - REGULARISE * m->item_bias[r->item]);
    for (int d = 0; d < DIM; d++) {
        const float pd = p[d];
        p[d] += RATE * (e * q[d] - REGULARISE * pd);
        q[d] += RATE * (e * pd - REGULARISE * q[d]);
    }
}

static void small_random(float *v, size_t n, struct rr_rng *rng)
{
    for (size_t i = 0; i < n; i++)
        v[i] = (float)(0.2 * (rr_rng_unit(rng) - 0.5));
}

int rr_rating_fit(struct rr_rating_model *m, const struct rr_dataset *d,
                  const struct rr_rating *ratings, size_t n, uint64_t seed, struct rr_error *err)
{
    const size_t users = (size_t)d->n_users, items = (size_t)d->n_items;
    struct rr_rng rng;
    *m = (struct rr_rating_model){.n_users = d->n_users,
                                  .n_items = d->n_items,
                                  .dim = DIM,
                                  .min = d->rating_min,
                                  .max = d->rating_max};
    int *order = rr_alloc(n, sizeof *order);
    m->user_bias = rr_zalloc(users, sizeof(float));
    m->item_bias = rr_zalloc(items, sizeof(float));
    m->users = rr_alloc(users * DIM, sizeof(float));
    m->items = rr_alloc(items * DIM, sizeof(float));
    if (!order || !m->user_bias || !m->item_bias || !m->users || !m->items) {
        rr_free(order);
        rr_rating_free(m);
        return rr_fail_memory(err, "rating model", (users + items) * DIM * sizeof(float));
    }
    rr_rng_seed(&rng, seed);
    small_random(m->users, users * DIM, &rng);
    small_random(m->items, items * DIM, &rng);
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        order[i] = (int)i;
        sum += (double)ratings[i].value;
    }
    m->mean = n ? (float)(sum / (double)n) : (d->rating_min + d->rating_max) / 2;
    for (int epoch = 0; epoch < EPOCHS; epoch++) {
        rr_rng_shuffle(&rng, order, n);
        for (size_t i = 0; i < n; i++)
            step(m, &ratings[order[i]]);
    }
    rr_free(order);
    return RR_OK;
}

void rr_rating_free(struct rr_rating_model *m)
{
    rr_free(m->user_bias);
    rr_free(m->item_bias);
    rr_free(m->users);
    rr_free(m->items);
    *m = (struct rr_rating_model){0};
}

float rr_rating_predict(const struct rr_rating_model *m, int user, int item)
{
    const float r = predict_raw(m, user, item);
    return r < m->min ? m->min : r > m->max ? m->max : r;
}
