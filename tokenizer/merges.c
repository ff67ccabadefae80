/* Merges that a file lists, best first: what each makes, found once. */
#include <string.h>
#include "tokenizer/internal.h"

int rr_merges_index(struct rr_tokenizer *t, const struct rr_vocab *v, const struct rr_texts *texts,
                    const char *file, struct rr_error *err)
{
    struct rr_buf both = {0};
    int rc = RR_OK;
    int(*merges)[2] = rr_arena_alloc(&t->arena, v->n_merges, sizeof *merges);
    t->n_merges = v->n_merges;
    if (!merges)
        return rr_fail_memory(err, "merges", v->n_merges * sizeof *merges);
    if (v->n_merges)
        memcpy(merges, v->merges, v->n_merges * sizeof *merges);
    t->merges = (const int(*)[2])merges;
    for (size_t i = 0; i < v->n_merges && !rc; i++) {
        const struct rr_piece *a = &t->pieces[merges[i][0]], *b = &t->pieces[merges[i][1]];
        const uint64_t key = rr_pair_key(merges[i][0], merges[i][1]);
        rr_buf_clear(&both);
        rr_buf_add(&both, a->text, a->n);
        rr_buf_add(&both, b->text, b->n);
        if (both.failed) {
            rc = rr_fail_memory(err, "merges", both.n);
            break;
        }
        const int id =
            rr_texts_find(texts, both.data, both.n, rr_texts_hash(both.data, both.n), NULL);
        if (id < 0)
            rc =
                rr_fail(err, RR_ERR_DATA, "VOCAB", RR_AT_FILE(file),
                        "merge %zu makes '%s', which is no piece", i, rr_show(both.data, both.n).s);
        else if (a->type != RR_PIECE_USER && b->type != RR_PIECE_USER &&
                 rr_pair_find(&t->pairs, key) < 0) /* the first of two counts */
            rr_pair_add(&t->pairs, key, id, -(float)i);
    }
    rr_buf_free(&both);
    return rc;
}
