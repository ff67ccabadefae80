/* The indexed vocabulary that vocab.c builds and bpe.c reads. Not for other folders. */
#ifndef RR_TOKENIZER_INTERNAL_H
#define RR_TOKENIZER_INTERNAL_H

#include "tokenizer/tokenizer.h"

#define RR_BLANK "\xE2\x96\x81" /* U+2581, how pieces spell a blank */
#define RR_BLANK_BYTES 3
#define RR_BLANK_CP 0x2581u

/* A hash table from 64-bit keys to ids: (left, right) of a merge, or (CHAR_KEY, code point) of a
 * symbol. */
struct rr_pair_table {
    uint64_t *keys; /* 0: empty */
    int *values;
    size_t mask;
};

struct rr_tokenizer {
    struct rr_arena arena;
    struct rr_piece *pieces;
    int n;
    int unk, bos, eos;
    bool add_dummy_prefix, remove_extra_space, byte_fallback, has_unused;
    int byte_ids[256];
    /* Symbols are piece ids, and numbers from n on for characters that stand in pieces but are
     * none themselves. */
    struct rr_pair_table pairs;
    int ascii[128]; /* symbol of an ASCII character, -1: in no piece */
    /* User-defined pieces in the order of their bytes, and by their first byte as ranges; parents:
     * the longest other one that a piece begins with, its index, or -1. */
    int *user_ids, *user_parents;
    int user_first[257];
};

/* Value of a key, or -1. left and right are symbols. */
int rr_pair_find(const struct rr_pair_table *t, uint64_t key);

/* The value of a piece "<0xHH>", or -1. */
int rr_piece_byte(const struct rr_piece *p);

static inline uint64_t rr_pair_key(int left, int right)
{
    return ((uint64_t)(uint32_t)left + 1) << 32 | (uint32_t)right;
}

/* No symbol has this number, so characters and merges share one table. */
static inline uint64_t rr_char_key(uint32_t cp)
{
    return (uint64_t)UINT32_MAX << 32 | cp;
}

#endif
