/* See batch.h. */
#include "rec/learn/batch.h"

#include "engine/base/mem.h"

int rr_batch_open(struct rr_batch *b, int cap_rows, struct rr_error *err)
{
    const size_t n = (size_t)cap_rows;
    *b = (struct rr_batch){.cap_rows = cap_rows};
    b->tokens = rr_alloc(n, sizeof *b->tokens);
    b->targets = rr_alloc(n, sizeof *b->targets);
    b->starts = rr_alloc(n + 1, sizeof *b->starts);
    if (b->tokens && b->targets && b->starts)
        return RR_OK;
    rr_batch_close(b);
    return rr_fail_memory(err, "batch", 3 * n * sizeof(int));
}

void rr_batch_close(struct rr_batch *b)
{
    rr_free(b->tokens);
    rr_free(b->targets);
    rr_free(b->starts);
    *b = (struct rr_batch){0};
}

void rr_batch_clear(struct rr_batch *b)
{
    b->n_rows = b->n_seqs = b->n_targets = 0;
    b->starts[0] = 0;
}

void rr_batch_append(struct rr_batch *b, const int *ids, int n, bool learn)
{
    for (int i = 0; i < n; i++) {
        b->tokens[b->n_rows] = ids[i];
        b->targets[b->n_rows] = -1;
        if (learn) {
            b->targets[b->n_rows - 1] = ids[i];
            b->n_targets++;
        }
        b->n_rows++;
    }
}

void rr_batch_end(struct rr_batch *b)
{
    b->n_rows--; /* nothing follows the last token: it need not be computed */
    b->starts[++b->n_seqs] = b->n_rows;
}

struct rr_lm_batch rr_batch_view(const struct rr_batch *b)
{
    return (struct rr_lm_batch){.tokens = b->tokens,
                                .targets = b->targets,
                                .starts = b->starts,
                                .n_rows = b->n_rows,
                                .n_seqs = b->n_seqs};
}
