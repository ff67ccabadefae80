/* See listing.h. */
#include "rec/rank/listing.h"

#include "engine/base/mem.h"

int rr_listing_init(struct rr_listing *l, int n, struct rr_error *err)
{
    *l = (struct rr_listing){0};
    l->order = rr_alloc((size_t)n, sizeof *l->order);
    l->used = rr_alloc((size_t)n, sizeof *l->used);
    l->alive = rr_alloc((size_t)n, sizeof *l->alive);
    l->allowed = rr_alloc((size_t)n, sizeof *l->allowed);
    if (l->order && l->used && l->alive && l->allowed)
        return RR_OK;
    rr_listing_release(l);
    return rr_fail_memory(err, "list", (size_t)n * 4 * sizeof(int));
}

void rr_listing_release(struct rr_listing *l)
{
    rr_free(l->order);
    rr_free(l->used);
    rr_free(l->alive);
    rr_free(l->allowed);
    *l = (struct rr_listing){0};
}

static int length(const struct rr_listing *l, int e)
{
    return l->start[e + 1] - l->start[e];
}

static int token(const struct rr_listing *l, int e, int depth)
{
    return l->tokens[l->start[e] + depth];
}

static void next_element(struct rr_listing *l)
{
    l->depth = l->n_alive = 0;
    for (int e = 0; e < l->n; e++)
        if (!l->used[e])
            l->alive[l->n_alive++] = e;
}

void rr_listing_start(struct rr_listing *l, int n, const int *tokens, const int *start)
{
    l->n = n;
    l->tokens = tokens;
    l->start = start;
    l->n_done = 0;
    memset(l->used, 0, (size_t)n * sizeof *l->used);
    next_element(l);
}

/* An alive element that is complete, or -1. */
static int complete(const struct rr_listing *l)
{
    for (int i = 0; i < l->n_alive; i++)
        if (length(l, l->alive[i]) == l->depth)
            return l->alive[i];
    return -1;
}

static void finish(struct rr_listing *l, int e)
{
    l->used[e] = true;
    l->order[l->n_done++] = e;
    next_element(l);
}

static void find_ways(struct rr_listing *l)
{
    l->n_allowed = 0;
    for (int i = 0; i < l->n_alive; i++) {
        const int t = token(l, l->alive[i], l->depth);
        int w = 0;
        while (w < l->n_allowed && l->allowed[w] != t)
            w++;
        if (w == l->n_allowed)
            l->allowed[l->n_allowed++] = t;
    }
}

static void take(struct rr_listing *l, int way)
{
    int n = 0;
    for (int i = 0; i < l->n_alive; i++)
        if (token(l, l->alive[i], l->depth) == way)
            l->alive[n++] = l->alive[i];
    l->n_alive = n;
    l->depth++;
}

bool rr_listing_run(struct rr_listing *l, int *out, int *n_out)
{
    *n_out = 0;
    if (l->depth) /* the token that was chosen */
        out[(*n_out)++] = token(l, l->alive[0], l->depth - 1);
    for (;;) {
        const int done = complete(l);
        if (done >= 0) {
            finish(l, done);
            continue;
        }
        if (l->n_done + 1 >= l->n) {
            if (l->n_done < l->n)
                finish(l, l->alive[0]);
            return false;
        }
        find_ways(l);
        if (l->n_allowed > 1)
            return true;
        out[(*n_out)++] = l->allowed[0];
        take(l, l->allowed[0]);
    }
}

void rr_listing_choose(struct rr_listing *l, const float *logits)
{
    int best = 0;
    for (int w = 1; w < l->n_allowed; w++)
        if (logits[w] > logits[best])
            best = w;
    take(l, l->allowed[best]);
}
