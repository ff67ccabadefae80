/* The indexed vocabulary that vocab.c builds and bpe.c reads. Not for other folders. */
#ifndef RR_TOKENIZER_INTERNAL_H
#define RR_TOKENIZER_INTERNAL_H

#include "tokenizer/texts.h"

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
    /* Byte-level: symbols are bytes, and what they merge into. */
    enum rr_words rule;
    bool whole_words;
    const int (*merges)[2]; /* [n_merges] ids, by rank; NULL: scores decide */
    size_t n_merges;
    int *merged;              /* [n_merges] ids; then the values of pairs are ranks */
    struct rr_texts words;    /* of pieces that may stand for a whole word */
    struct rr_error *warning; /* NULL: nothing odd */
};

/* Scratch of encoding: symbols of a text, and the merges that wait. */
struct rr_symbol {
    int id;         /* piece, made-up character, or -1: a character of no piece */
    int prev, next; /* neighbours still alive, -1 at the ends */
    uint32_t at, n; /* bytes of the normalised text */
};

struct rr_merge {
    float score;
    int left, right;       /* indices of symbols */
    int left_id, right_id; /* what they were */
    int id;                /* what they become */
};

struct rr_bpe_scratch {
    struct rr_buf text;
    struct rr_symbol *symbols;
    size_t n_symbols, cap_symbols;
    struct rr_merge *heap;
    size_t n_heap, cap_heap;
    int (*unused)[2]; /* [n pieces] how an UNUSED piece was put together; made on demand */
    size_t cap_unused;
    int *stack;
    size_t cap_stack;
    bool failed;
};

/* Whether the first line is base64, a blank and a number. */
bool rr_looks_like_tiktoken(const char *s, size_t n);
/* Merges b->symbols until no two neighbours make a piece; b->failed: out of memory. */
void rr_bpe_merge(const struct rr_tokenizer *t, struct rr_bpe_scratch *b);
bool rr_bpe_emit(struct rr_encoding *e, int id);
/* merges.c: v's merges into t->merges, t->merged and t->pairs. */
int rr_merges_index(struct rr_tokenizer *t, const struct rr_vocab *v, const struct rr_texts *texts,
                    const char *file, struct rr_error *err);
/* bytelevel.c: fills the index of t, whose pieces are there; e->ids = the tokens of a text. */
int rr_bytelevel_index(struct rr_tokenizer *t, const struct rr_vocab *v, const char *file,
                       struct rr_error *err);
bool rr_bytelevel_encode(const struct rr_tokenizer *t, struct rr_encoding *e, const char *text,
                         size_t n);

static inline uint64_t rr_mix(uint64_t x)
{
    x ^= x >> 32;
    x *= 0xD6E8FEB86659FD93u;
    x ^= x >> 32;
    return x;
}

/* Room for so many keys. */
int rr_pairs_init(struct rr_pair_table *t, size_t entries, struct rr_error *err);
void rr_pair_add(struct rr_pair_table *t, uint64_t key, int value);
/* Where to tell of something odd that is no reason to refuse a file: NULL when there is one
 * already, or no memory for it. */
struct rr_error *rr_tokenizer_warn(struct rr_tokenizer *t);
int rr_vocab_bad_piece(struct rr_error *err, const char *file, int id, const struct rr_piece *p,
                       const char *what);

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
