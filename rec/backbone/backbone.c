/* What all backbones share: names, scores, and the candidate list. Pop is here because it is
 * nothing but a count. */
#include "rec/backbone/backbone.h"

#include <math.h>
#include <string.h>
#include "engine/base/mem.h"
#include "rec/backbone/vector.h"

const char *rr_backbone_name(enum rr_backbone_kind kind)
{
    static const char *const names[RR_BACKBONE_COUNT] = {"pop", "mf", "itemknn", "ease",
                                                         "lightgcn"};
    return names[kind];
}

int rr_backbone_kind_from_name(const char *name)
{
    for (int k = 0; k < RR_BACKBONE_COUNT; k++)
        if (strcmp(rr_backbone_name((enum rr_backbone_kind)k), name) == 0)
            return k;
    return -1;
}

int rr_backbone_fit(struct rr_backbone *b, enum rr_backbone_kind kind, const struct rr_split *split,
                    const struct rr_fit_options *o, struct rr_error *err)
{
    *b = (struct rr_backbone){.kind = kind,
                              .n_users = split->data->n_users,
                              .n_items = split->data->n_items,
                              .seed = o->seed};
    if (kind == RR_BACKBONE_MF || kind == RR_BACKBONE_LIGHTGCN)
        return rr_backbone_fit_bpr(b, split, o, err);
    if (kind == RR_BACKBONE_ITEMKNN || kind == RR_BACKBONE_EASE)
        return rr_backbone_fit_items(b, split, o, err);
    b->popularity = rr_alloc((size_t)b->n_items, sizeof *b->popularity);
    if (!b->popularity)
        return rr_fail_memory(err, "popularity", (size_t)b->n_items * sizeof *b->popularity);
    for (int i = 0; i < b->n_items; i++)
        b->popularity[i] = (float)split->train_count[i];
    return RR_OK;
}

void rr_backbone_free(struct rr_backbone *b)
{
    rr_free(b->users);
    rr_free(b->items);
    rr_free(b->popularity);
    rr_free(b->weights);
    *b = (struct rr_backbone){0};
}

/* The sum of the weights that the user's likes give every item. */
static void item_scores(const struct rr_backbone *b, const struct rr_split *split, int user,
                        float *scores)
{
    memset(scores, 0, (size_t)b->n_items * sizeof *scores);
    for (size_t l = split->train_start[user]; l < split->train_start[user + 1]; l++) {
        const float *row = b->weights + (size_t)split->train[l].item * (size_t)b->n_items;
        for (int i = 0; i < b->n_items; i++)
            scores[i] += row[i];
    }
}

void rr_backbone_scores(const struct rr_backbone *b, const struct rr_split *split, int user,
                        float *scores)
{
    const size_t dim = (size_t)b->dim;
    switch (b->kind) {
    case RR_BACKBONE_POP:
        memcpy(scores, b->popularity, (size_t)b->n_items * sizeof *scores);
        break;
    case RR_BACKBONE_ITEMKNN:
    case RR_BACKBONE_EASE:
        item_scores(b, split, user, scores);
        break;
    default:
        for (int i = 0; i < b->n_items; i++)
            scores[i] = rr_dot_f32(b->users + (size_t)user * dim, b->items + (size_t)i * dim, dim);
    }
}

/* Keeps out[0..n) sorted: larger score first, lower item first among equals (items come in
 * ascending order). */
static int insert(struct rr_candidate *out, int n, int k, struct rr_candidate c)
{
    if (n == k && !(c.score > out[n - 1].score))
        return n;
    int at = n < k ? n : k - 1;
    for (; at > 0 && c.score > out[at - 1].score; at--)
        out[at] = out[at - 1];
    out[at] = c;
    return n < k ? n + 1 : n;
}

int rr_backbone_candidates(struct rr_candidate *out, int k, const struct rr_backbone *b,
                           const struct rr_split *split, int user, float *scores)
{
    int n = 0;
    rr_backbone_scores(b, split, user, scores);
    for (size_t i = split->train_start[user]; i < split->train_start[user + 1]; i++)
        scores[split->train[i].item] = -INFINITY;
    for (int i = 0; i < b->n_items; i++)
        if (split->train_count[i] > 0 && scores[i] > -INFINITY)
            n = insert(out, n, k, (struct rr_candidate){i, scores[i]});
    return n;
}
