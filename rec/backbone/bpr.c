/* Recommenders trained with the BPR loss (arXiv 1205.2618), and the settings of spec/method.md
 * section 8: Xavier-uniform start, loss mean of -log(1e-5 + sigmoid(x_ui - x_uj)) over a batch, one
 * negative per like drawn uniformly from the training items outside the user's likes, reg * (||U||
 * + ||I|| + ||J||) / batch over the batch's embedding matrices, Adam over all parameters.
 *
 * MF scores with the parameters themselves, LightGCN (arXiv 2002.02126) with the parameters spread
 * over the graph of likes; the gradient goes back the same way. */
#include "rec/backbone/backbone.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/check.h"
#include "engine/base/mem.h"
#include "rec/backbone/graph.h"
#include "rec/backbone/vector.h"

struct trainer {
    struct rr_backbone *b;
    const struct rr_split *split;
    struct rr_fit_options o;
    struct rr_rng rng;
    int n_pairs;
    int *order;   /* [n_pairs] indices into split->train, shuffled every epoch */
    int *pool;    /* training items in ascending order: negatives are drawn from it */
    int *popular; /* the same, most liked first: validation looks through it */
    int n_pool;
    unsigned char *liked; /* [n_users, n_items] bit set */
    size_t liked_row;
    int (*triples)[3];              /* [batch] user, item, negative */
    float *params, *grad, *m1, *m2; /* users then items, [(n_users + n_items) dim] */
    float *final, *final_grad;      /* what scores are made of; MF: the parameters themselves */
    struct rr_graph graph;          /* LightGCN only */
    float *best;
    size_t n_params;
    int step;
};

static bool is_liked(const struct trainer *t, int user, int item)
{
    return t->liked[(size_t)user * t->liked_row + (size_t)item / 8] >> (item % 8) & 1;
}

static int allocate(struct trainer *t, struct rr_error *err)
{
    const struct rr_backbone *b = t->b;
    t->n_params = ((size_t)b->n_users + (size_t)b->n_items) * (size_t)b->dim;
    t->liked_row = (size_t)b->n_items / 8 + 1;
    t->n_pairs = (int)t->split->train_start[b->n_users];
    t->order = rr_alloc((size_t)t->n_pairs, sizeof *t->order);
    t->pool = rr_alloc((size_t)b->n_items, sizeof *t->pool);
    t->popular = rr_alloc((size_t)b->n_items, sizeof *t->popular);
    t->liked = rr_zalloc((size_t)b->n_users, t->liked_row);
    t->triples = rr_alloc((size_t)t->o.batch, sizeof *t->triples);
    t->params = rr_alloc(t->n_params, sizeof *t->params);
    t->grad = rr_zalloc(t->n_params, sizeof *t->grad);
    t->m1 = rr_zalloc(t->n_params, sizeof *t->m1);
    t->m2 = rr_zalloc(t->n_params, sizeof *t->m2);
    t->best = rr_alloc(t->n_params, sizeof *t->best);
    t->final = t->params;
    t->final_grad = t->grad;
    if (t->b->kind == RR_BACKBONE_LIGHTGCN) {
        t->final = rr_alloc(t->n_params, sizeof *t->final);
        t->final_grad = rr_zalloc(t->n_params, sizeof *t->final_grad);
        int rc = rr_graph_make(&t->graph, t->split, b->dim, err);
        if (rc)
            return rc;
    }
    if (!t->final || !t->final_grad || !t->order || !t->pool || !t->popular || !t->liked ||
        !t->triples || !t->params || !t->grad || !t->m1 || !t->m2 || !t->best)
        return rr_fail_memory(err, "embeddings", t->n_params * 5 * sizeof(float));
    return RR_OK;
}

static void release(struct trainer *t)
{
    rr_free(t->order);
    rr_free(t->pool);
    rr_free(t->popular);
    rr_free(t->liked);
    rr_free(t->triples);
    if (t->final != t->params)
        rr_free(t->final);
    if (t->final_grad != t->grad)
        rr_free(t->final_grad);
    rr_graph_free(&t->graph);
    rr_free(t->params);
    rr_free(t->grad);
    rr_free(t->m1);
    rr_free(t->m2);
    rr_free(t->best);
}

/* Glorot and Bengio 2010: uniform in +-sqrt(6 / (rows + columns)) for each of the two tables. */
static void start(struct trainer *t)
{
    const struct rr_backbone *b = t->b;
    float *p = t->params;
    for (int table = 0; table < 2; table++) {
        const int rows = table ? t->n_pool : b->n_users;
        const double bound = sqrt(6.0 / (rows + b->dim));
        const size_t n = (size_t)(table ? b->n_items : b->n_users) * (size_t)b->dim;
        for (size_t i = 0; i < n; i++)
            *p++ = (float)((2 * rr_rng_unit(&t->rng) - 1) * bound);
    }
}

struct counted {
    int count, item;
};

static int by_count(const void *a, const void *b)
{
    const struct counted *x = a, *y = b;
    if (x->count != y->count)
        return x->count < y->count ? 1 : -1;
    return (x->item > y->item) - (x->item < y->item);
}

static int list_items(struct trainer *t, struct rr_error *err)
{
    const int *count = t->split->train_count;
    struct counted *sorted = rr_alloc((size_t)t->b->n_items, sizeof *sorted);
    if (!sorted)
        return rr_fail_memory(err, "items", (size_t)t->b->n_items * sizeof *sorted);
    for (int i = 0; i < t->b->n_items; i++) {
        if (!count[i])
            continue;
        sorted[t->n_pool] = (struct counted){count[i], i};
        t->pool[t->n_pool++] = i;
    }
    qsort(sorted, (size_t)t->n_pool, sizeof *sorted, by_count);
    for (int i = 0; i < t->n_pool; i++)
        t->popular[i] = sorted[i].item;
    rr_free(sorted);
    return RR_OK;
}

static void prepare(struct trainer *t)
{
    for (int i = 0; i < t->n_pairs; i++) {
        const struct rr_rating *r = &t->split->train[i];
        t->order[i] = i;
        t->liked[(size_t)r->user * t->liked_row + (size_t)r->item / 8] |=
            (unsigned char)(1u << (r->item % 8));
    }
}

static float *row(const struct trainer *t, float *table, int column, int index)
{
    size_t r = (size_t)index + (column ? (size_t)t->b->n_users : 0);
    return table + r * (size_t)t->b->dim;
}

/* A user who likes every training item has no negative to draw: after so many tries any item
 * will do. */
static int draw_negative(struct trainer *t, int user)
{
    int item = 0;
    for (int i = 0; i < 10000; i++) {
        item = t->pool[rr_rng_below(&t->rng, (uint64_t)t->n_pool)];
        if (!is_liked(t, user, item))
            break;
    }
    return item;
}

/* Adds the gradient of one batch, with respect to the final embeddings, to t->final_grad. */
static void batch_gradient(struct trainer *t, int n)
{
    const int dim = t->b->dim;
    double norm[3] = {0};
    for (int i = 0; i < n; i++)
        for (int c = 0; c < 3; c++) {
            const float *e = row(t, t->final, c, t->triples[i][c]);
            norm[c] += (double)rr_dot_f32(e, e, (size_t)dim);
        }
    float pull[3];
    for (int c = 0; c < 3; c++)
        pull[c] = norm[c] > 0 ? (float)(t->o.regularise / (sqrt(norm[c]) * n)) : 0;
    for (int i = 0; i < n; i++) {
        const int *tr = t->triples[i];
        const float *u = row(t, t->final, 0, tr[0]), *p = row(t, t->final, 1, tr[1]),
                    *q = row(t, t->final, 1, tr[2]);
        float *gu = row(t, t->final_grad, 0, tr[0]), *gp = row(t, t->final_grad, 1, tr[1]),
              *gq = row(t, t->final_grad, 1, tr[2]);
        const double s =
            1 / (1 + exp(-(double)(rr_dot_f32(u, p, (size_t)dim) - rr_dot_f32(u, q, (size_t)dim))));
        const float g = (float)(-s * (1 - s) / (1e-5 + s) / n); /* d loss / d (x_ui - x_uj) */
        for (int d = 0; d < dim; d++) {
            gu[d] += g * (p[d] - q[d]) + pull[0] * u[d];
            gp[d] += g * u[d] + pull[1] * p[d];
            gq[d] += -g * u[d] + pull[2] * q[d];
        }
    }
}

/* Kingma and Ba, arXiv 1412.6980, with beta 0.9 and 0.999, epsilon 1e-8. */
static void adam(struct trainer *t)
{
    t->step++;
    const float c1 = (float)(1 - pow(0.9, t->step)), c2 = (float)(1 - pow(0.999, t->step));
    const float rate = (float)t->o.rate / c1, root = 1 / sqrtf(c2);
    float *restrict p = t->params, *restrict grad = t->grad, *restrict m1 = t->m1,
                    *restrict m2 = t->m2;
    for (size_t i = 0; i < t->n_params; i++) {
        const float g = grad[i];
        m1[i] = 0.9f * m1[i] + 0.1f * g;
        m2[i] = 0.999f * m2[i] + 0.001f * g * g;
        p[i] -= rate * m1[i] / (sqrtf(m2[i]) * root + 1e-8f);
        grad[i] = 0;
    }
}

/* Final embeddings from the parameters; nothing to do for MF. */
static void spread(struct trainer *t)
{
    if (t->final != t->params)
        rr_graph_spread(t->final, t->params, &t->graph);
}

/* The parameters' gradient from that of the final embeddings. */
static void pull_back(struct trainer *t)
{
    if (t->final == t->params)
        return;
    rr_graph_spread(t->grad, t->final_grad, &t->graph);
    memset(t->final_grad, 0, t->n_params * sizeof *t->final_grad);
}

static void train_epoch(struct trainer *t)
{
    rr_rng_shuffle(&t->rng, t->order, (size_t)t->n_pairs);
    for (int at = 0; at < t->n_pairs; at += t->o.batch) {
        const int n = rr_min_int(t->o.batch, t->n_pairs - at);
        for (int i = 0; i < n; i++) {
            const struct rr_rating *r = &t->split->train[t->order[at + i]];
            t->triples[i][0] = r->user;
            t->triples[i][1] = r->item;
            t->triples[i][2] = draw_negative(t, r->user);
        }
        batch_gradient(t, n);
        pull_back(t);
        adam(t);
        spread(t);
    }
}

/* Whether ten training items, the user's training likes left out, are ahead of `item`. Popular
 * items are looked at first, so that the answer is usually found early. */
static bool ten_are_ahead(const struct trainer *t, int user, int item)
{
    const int dim = t->b->dim;
    const float *u = row(t, t->final, 0, user),
                score = rr_dot_f32(u, row(t, t->final, 1, item), (size_t)dim);
    int ahead = 0;
    for (int i = 0; i < t->n_pool && ahead < 10; i++) {
        const int other = t->popular[i];
        const float s = rr_dot_f32(u, row(t, t->final, 1, other), (size_t)dim);
        ahead += (s > score || (other < item && s == score)) && !is_liked(t, user, other);
    }
    return ahead == 10;
}

/* HR@10 of the validation items: the ceiling of whatever reorders the ten. */
static double validate(const struct trainer *t)
{
    int n = 0, hits = 0;
    for (int u = 0; u < t->b->n_users; u++) {
        const int item = t->split->valid[u].item;
        if (item < 0 || !t->split->train_count[item])
            continue;
        hits += !ten_are_ahead(t, u, item);
        n++;
    }
    return n ? (double)hits / n : 0;
}

/* Without a validation item that could be found, no epoch is better than another. */
static bool has_validation(const struct rr_split *s)
{
    for (int u = 0; u < s->data->n_users; u++)
        if (s->valid[u].item >= 0 && s->train_count[s->valid[u].item])
            return true;
    return false;
}

static void set_options(struct trainer *t, const struct rr_fit_options *o)
{
    t->o = *o;
    t->o.last_epoch = o->last_epoch || !has_validation(t->split);
    t->o.epochs = o->epochs ? o->epochs : t->b->kind == RR_BACKBONE_LIGHTGCN ? 300 : 100;
    t->o.batch = o->batch ? o->batch : 2048;
    t->o.rate = o->rate > 0 ? o->rate : 1e-3;
    t->o.regularise = o->regularise > 0 ? o->regularise : 1e-4;
    t->b->dim = o->dim ? o->dim : 64;
    snprintf(t->b->settings, sizeof t->b->settings, "dim %d epochs %d batch %d rate %g reg %g%s",
             t->b->dim, t->o.epochs, t->o.batch, t->o.rate, t->o.regularise,
             t->o.last_epoch ? " last epoch" : "");
    rr_rng_seed(&t->rng, o->seed);
}

int rr_backbone_fit_bpr(struct rr_backbone *b, const struct rr_split *split,
                        const struct rr_fit_options *o, struct rr_error *err)
{
    struct trainer t = {.b = b, .split = split};
    double best = -1;
    set_options(&t, o);
    int rc = allocate(&t, err);
    if (!rc && !t.n_pairs)
        rc = rr_fail(err, RR_ERR_DATA, "NO_TRAINING", RR_AT_FILE(split->data->path),
                     "no user has likes to train on");
    if (!rc)
        rc = list_items(&t, err);
    if (!rc) {
        prepare(&t);
        start(&t);
        spread(&t);
    }
    for (int epoch = 1; epoch <= t.o.epochs && !rc; epoch++) {
        train_epoch(&t);
        const double now = t.o.last_epoch ? 0 : validate(&t);
        if (t.o.last_epoch ? epoch == t.o.epochs : now > best) {
            best = now;
            b->best_epoch = t.o.last_epoch ? 0 : epoch;
            memcpy(t.best, t.final, t.n_params * sizeof *t.best);
        }
        if (t.o.progress && t.o.progress(t.o.progress_arg, epoch, t.o.epochs))
            rc = rr_fail(err, RR_ERR_INTERRUPTED, "INTERRUPTED", RR_NOWHERE,
                         "training stopped after epoch %d", epoch);
    }
    if (!rc) {
        const size_t n_users = (size_t)b->n_users * (size_t)b->dim, n_items = t.n_params - n_users;
        b->users = rr_alloc(n_users, sizeof(float));
        b->items = rr_alloc(n_items, sizeof(float));
        if (b->users && b->items) {
            memcpy(b->users, t.best, n_users * sizeof(float));
            memcpy(b->items, t.best + n_users, n_items * sizeof(float));
        } else {
            rc = rr_fail_memory(err, "embeddings", t.n_params * sizeof(float));
        }
    }
    if (rc)
        rr_backbone_free(b);
    release(&t);
    return rc;
}
