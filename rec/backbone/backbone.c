/* What all backbones share: names, scores, and the candidate list. Pop is here because it is
 * nothing but a count. */
#include "rec/backbone/backbone.h"

#include <math.h>
#include "engine/base/mem.h"

const char *rr_backbone_name(enum rr_backbone_kind kind)
{
    static const char *const names[RR_BACKBONE_COUNT] = {"pop", "mf"};
    return names[kind];
}

int rr_backbone_fit(struct rr_backbone *b, enum rr_backbone_kind kind, const struct rr_split *split,
                    const struct rr_fit_options *o, struct rr_error *err)
{
    *b = (struct rr_backbone){
        .kind = kind, .n_users = split->data->n_users, .n_items = split->data->n_items};
    if (kind == RR_BACKBONE_MF)
        return rr_backbone_fit_mf(b, split, o, err);
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
    *b = (struct rr_backbone){0};
}

void rr_backbone_scores(const struct rr_backbone *b, int user, float *scores)
{
    if (b->kind == RR_BACKBONE_POP) {
        for (int i = 0; i < b->n_items; i++)
            scores[i] = b->popularity[i];
        return;
    }
    const float *u = b->users + (size_t)user * (size_t)b->dim;
    for (int i = 0; i < b->n_items; i++) {
        const float *v = b->items + (size_t)i * (size_t)b->dim;
        float acc[8] = {0};
        int d = 0;
        for (; d + 8 <= b->dim; d += 8)
            for (int l = 0; l < 8; l++)
                acc[l] += u[d + l] * v[d + l];
        for (; d < b->dim; d++)
            acc[0] += u[d] * v[d];
        scores[i] =
            ((acc[0] + acc[4]) + (acc[2] + acc[6])) + ((acc[1] + acc[5]) + (acc[3] + acc[7]));
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
    rr_backbone_scores(b, user, scores);
    for (size_t i = split->train_start[user]; i < split->train_start[user + 1]; i++)
        scores[split->train[i].item] = -INFINITY;
    for (int i = 0; i < b->n_items; i++)
        if (split->train_count[i] > 0 && scores[i] > -INFINITY)
            n = insert(out, n, k, (struct rr_candidate){i, scores[i]});
    return n;
}
