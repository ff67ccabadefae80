/* A table from texts of pieces to ids. The hash of any part of a text comes from prefix hashes in
 * constant time, so a long piece costs its length, not its square. Not for other folders. */
#ifndef RR_TEXTS_H
#define RR_TEXTS_H

#include "tokenizer/tokenizer.h"

struct rr_texts {
    const struct rr_piece **slots;
    int *values;
    size_t mask;
    uint64_t *power, *prefix; /* [longest piece + 1], while merges are found */
};

#define RR_HASH_BASE 0x9E3779B97F4A7C15u

/* For n pieces of up to `longest` bytes; RR_ERR_MEMORY. */
int rr_texts_init(struct rr_texts *t, size_t n, size_t longest, struct rr_error *err);
/* The texts of pieces[n] that have one; of two alike, the first. RR_ERR_MEMORY. */
int rr_texts_of(struct rr_texts *t, const struct rr_piece *pieces, size_t n, struct rr_error *err);
void rr_texts_free(struct rr_texts *t);
uint64_t rr_texts_hash(const char *s, size_t n);
/* The id of a text, or -1. slot: where it is, or would be. */
int rr_texts_find(const struct rr_texts *t, const char *s, size_t n, uint64_t hash, size_t *slot);
/* Prefix hashes of a piece's text; then the hash of its bytes from .. to - 1. */
void rr_texts_prefixes(struct rr_texts *t, const struct rr_piece *p);
static inline uint64_t rr_texts_part(const struct rr_texts *t, size_t from, size_t to)
{
    return t->prefix[to] - t->prefix[from] * t->power[to - from];
}

#endif
