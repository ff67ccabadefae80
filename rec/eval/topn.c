/* See topn.h. */
#include "rec/eval/topn.h"

#include <math.h>
#include "engine/base/mem.h"

/* The ten best unmasked items, ties by item number; how many. */
static int best_items(int *out, const float *scores, const bool *masked, int n_items)
{
    int n = 0;
    for (int i = 0; i < n_items; i++) {
        if (masked[i] || (n == RR_TOPN && !(scores[i] > scores[out[n - 1]])))
            continue;
        int at = n < RR_TOPN ? n++ : RR_TOPN - 1;
        for (; at > 0 && scores[i] > scores[out[at - 1]]; at--)
            out[at] = out[at - 1];
        out[at] = i;
    }
    return n;
}

static void add_user(struct rr_topn *t, const int *best, int n, const int *relevant,
                     size_t n_relevant)
{
    double gain = 0, ideal = 0, first = 0;
    int hits = 0;
    for (int i = 0; i < n; i++)
        for (size_t r = 0; r < n_relevant; r++)
            if (relevant[r] == best[i]) {
                hits++;
                gain += 1 / log2(i + 2);
                first = first > 0 ? first : 1.0 / (i + 1);
            }
    for (size_t i = 0; i < n_relevant && i < RR_TOPN; i++)
        ideal += 1 / log2((double)i + 2);
    t->recall += (double)hits / (double)n_relevant;
    t->precision += (double)hits / RR_TOPN;
    t->hit += hits > 0;
    t->mrr += first;
    t->ndcg += gain / ideal;
    t->n_users++;
}

int rr_topn_evaluate(struct rr_topn *out, const struct rr_backbone *b, const struct rr_split *split,
                     const struct rr_held_out *valid, const struct rr_held_out *test,
                     struct rr_error *err)
{
    const size_t items = (size_t)b->n_items, users = (size_t)b->n_users;
    float *scores = rr_alloc(items, sizeof *scores);
    bool *masked = rr_alloc(items, sizeof *masked);
    *out = (struct rr_topn){.n_train = split->train_start[users],
                            .n_valid = valid->start[users],
                            .n_test = test->start[users]};
    const bool room = scores && masked;
    for (size_t u = 0; room && u < users; u++) {
        const size_t n_relevant = test->start[u + 1] - test->start[u];
        int best[RR_TOPN];
        if (!n_relevant)
            continue;
        memset(masked, 0, items * sizeof *masked);
        for (size_t i = split->train_start[u]; i < split->train_start[u + 1]; i++)
            masked[split->train[i].item] = true;
        for (size_t i = valid->start[u]; i < valid->start[u + 1]; i++)
            masked[valid->items[i]] = true;
        rr_backbone_scores(b, split, (int)u, scores);
        const int n = best_items(best, scores, masked, b->n_items);
        add_user(out, best, n, test->items + test->start[u], n_relevant);
    }
    rr_free(scores);
    rr_free(masked);
    if (!room)
        return rr_fail_memory(err, "scores", items * sizeof *scores);
    if (!out->n_users)
        return rr_fail(err, RR_ERR_DATA, "NO_USERS", RR_NOWHERE,
                       "no user has a test item: the ratio leaves less than one of their likes");
    const double n = out->n_users;
    out->recall /= n;
    out->mrr /= n;
    out->ndcg /= n;
    out->hit /= n;
    out->precision /= n;
    return RR_OK;
}
