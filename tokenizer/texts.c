/* See texts.h. */
#include "tokenizer/texts.h"

#include <string.h>
#include "tokenizer/internal.h"

uint64_t rr_texts_hash(const char *s, size_t n)
{
    uint64_t h = 0;
    for (size_t i = 0; i < n; i++)
        h = h * RR_HASH_BASE + (unsigned char)s[i] + 1;
    return h;
}

int rr_texts_find(const struct rr_texts *t, const char *s, size_t n, uint64_t hash, size_t *slot)
{
    size_t i = (size_t)rr_mix(hash) & t->mask;
    while (t->slots[i] && (t->slots[i]->n != n || memcmp(t->slots[i]->text, s, n) != 0))
        i = (i + 1) & t->mask;
    if (slot)
        *slot = i;
    return t->slots[i] ? t->values[i] : -1;
}

void rr_texts_prefixes(struct rr_texts *t, const struct rr_piece *p)
{
    for (size_t i = 0; i < p->n; i++)
        t->prefix[i + 1] = t->prefix[i] * RR_HASH_BASE + (unsigned char)p->text[i] + 1;
}

int rr_texts_init(struct rr_texts *t, size_t n, size_t longest, struct rr_error *err)
{
    size_t cap = 1024;
    while (cap < n * 2)
        cap *= 2;
    *t = (struct rr_texts){.mask = cap - 1};
    t->slots = rr_zalloc(cap, sizeof *t->slots);
    t->values = rr_alloc(cap, sizeof *t->values);
    t->power = rr_alloc(longest + 1, sizeof *t->power);
    t->prefix = rr_alloc(longest + 1, sizeof *t->prefix);
    if (!t->slots || !t->values || !t->power || !t->prefix) {
        rr_texts_free(t);
        return rr_fail_memory(err, "vocabulary index", cap * sizeof *t->slots);
    }
    t->power[0] = 1;
    t->prefix[0] = 0;
    for (size_t i = 0; i < longest; i++)
        t->power[i + 1] = t->power[i] * RR_HASH_BASE;
    return RR_OK;
}

int rr_texts_of(struct rr_texts *t, const struct rr_piece *pieces, size_t n, struct rr_error *err)
{
    size_t longest = 1;
    for (size_t id = 0; id < n; id++)
        longest = pieces[id].n > longest ? pieces[id].n : longest;
    int rc = rr_texts_init(t, n, longest, err);
    for (size_t id = 0; id < n && !rc; id++) {
        const struct rr_piece *p = &pieces[id];
        size_t slot;
        if (p->n && rr_texts_find(t, p->text, p->n, rr_texts_hash(p->text, p->n), &slot) < 0) {
            t->slots[slot] = p;
            t->values[slot] = (int)id;
        }
    }
    return rc;
}

void rr_texts_free(struct rr_texts *t)
{
    rr_free(t->slots);
    rr_free(t->values);
    rr_free(t->power);
    rr_free(t->prefix);
    *t = (struct rr_texts){0};
}
