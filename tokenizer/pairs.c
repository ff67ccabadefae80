/* The table of merges and characters: open addressing, linear probing. */
#include "tokenizer/internal.h"

/* The smallest table in which not more than two thirds are taken. */
static size_t room_for(size_t entries)
{
    size_t cap = 1024;
    while (cap < entries + entries / 2)
        cap *= 2;
    return cap;
}

int rr_pairs_init(struct rr_pair_table *t, size_t entries, struct rr_error *err)
{
    const size_t cap = room_for(entries);
    *t = (struct rr_pair_table){.mask = cap - 1};
    t->slots = rr_zalloc(cap, sizeof *t->slots);
    return t->slots ? RR_OK : rr_fail_memory(err, "vocabulary index", cap * sizeof *t->slots);
}

void rr_pair_add(struct rr_pair_table *t, uint64_t key, int id, float score)
{
    size_t i = (size_t)rr_mix(key) & t->mask;
    while (t->slots[i].key && t->slots[i].key != key)
        i = (i + 1) & t->mask;
    t->n += !t->slots[i].key;
    t->slots[i] = (struct rr_pair){key, id, score};
}

int rr_pairs_shrink(struct rr_pair_table *t, struct rr_error *err)
{
    struct rr_pair_table small;
    if (room_for(t->n) > t->mask)
        return RR_OK;
    const int rc = rr_pairs_init(&small, t->n, err);
    for (size_t i = 0; i <= t->mask && !rc; i++)
        if (t->slots[i].key)
            rr_pair_add(&small, t->slots[i].key, t->slots[i].id, t->slots[i].score);
    if (rc)
        return rc;
    rr_pairs_free(t);
    *t = small;
    return RR_OK;
}

void rr_pairs_free(struct rr_pair_table *t)
{
    rr_free(t->slots);
    *t = (struct rr_pair_table){0};
}
