/* The indexed vocabulary that vocab.c builds and bpe.c reads. Not for other folders. */
#ifndef RR_TOKENIZER_INTERNAL_H
#define RR_TOKENIZER_INTERNAL_H

#include "tokenizer/memo.h"
#include "tokenizer/texts.h"

#define RR_BLANK "\xE2\x96\x81" /* U+2581, how pieces spell a blank */
#define RR_BLANK_BYTES 3
#define RR_BLANK_CP 0x2581u

/* A hash table from 64-bit keys to ids: (left, right) of a merge, or (CHAR_KEY, code point) of a
 * symbol. What a merge needs lies together, in one cache line. */
struct rr_pair {
    uint64_t key; /* 0: empty */
    int id;
    float score; /* of a merge: the highest comes first */
};

struct rr_pair_table {
    struct rr_pair *slots;
    size_t mask, n;
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
    struct rr_pair_table pairs; /* no merges of user-defined pieces */
    uint64_t serial;            /* rr_memo_serial */
    /* No piece holds a blank behind anything else; no piece holds a line feed: nothing merges
     * across a word's beginning, or with a line feed. */
    bool words_apart, lines_apart;
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
    struct rr_texts words;    /* of pieces that may stand for a whole word */
    struct rr_error *warning; /* NULL: nothing odd */
    struct rr_special special;
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
    struct rr_memo_word *memo;
    bool failed;
};

/* Whether the first line is base64, a blank and a number. */
bool rr_looks_like_tiktoken(const char *s, size_t n);
/* Merges b->symbols until no two neighbours make a piece; the first stays the first. b->failed: out
 * of memory. */
void rr_bpe_merge(const struct rr_tokenizer *t, struct rr_bpe_scratch *b);
bool rr_bpe_emit(struct rr_encoding *e, int id);
/* A word that the memo may have; slot NULL: it is too long for that. */
struct rr_bpe_word {
    struct rr_memo_key key;
    struct rr_memo_word *slot;
};
/* True: the memo has the word s[0..n), and its tokens are emitted. False: encode it, then call
 * rr_bpe_keep with e->n as it was before. s[0..room) may be read. */
bool rr_bpe_recall(const struct rr_tokenizer *t, struct rr_encoding *e, const char *s, size_t n,
                   size_t room, struct rr_bpe_word *w);
static inline void rr_bpe_keep(const struct rr_bpe_word *w, const struct rr_encoding *e,
                               size_t from)
{
    if (w->slot)
        rr_memo_keep(w->slot, &w->key, e->ids + from, e->n - from);
}
/* merges.c: v's merges into t->merges and t->pairs. */
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

/* pairs.c. Room for so many keys. */
int rr_pairs_init(struct rr_pair_table *t, size_t entries, struct rr_error *err);
/* A key that is there is overwritten. */
void rr_pair_add(struct rr_pair_table *t, uint64_t key, int id, float score);
/* When all are there: in as little memory as finding them fast allows, for caches. RR_ERR_MEMORY.
 */
int rr_pairs_shrink(struct rr_pair_table *t, struct rr_error *err);
void rr_pairs_free(struct rr_pair_table *t);
/* Where to tell of something odd that is no reason to refuse a file: NULL when there is one
 * already, or no memory for it. */
struct rr_error *rr_tokenizer_warn(struct rr_tokenizer *t);
int rr_vocab_bad_piece(struct rr_error *err, const char *file, int id, const struct rr_piece *p,
                       const char *what);

/* The value of a piece "<0xHH>", or -1. */
int rr_piece_byte(const struct rr_piece *p);

static inline uint64_t rr_pair_key(int left, int right)
{
    return ((uint64_t)(uint32_t)left + 1) << 32 | (uint32_t)right;
}

/* The entry of a key, or NULL. */
static inline const struct rr_pair *rr_pair_at(const struct rr_pair_table *t, uint64_t key)
{
    for (size_t i = (size_t)rr_mix(key) & t->mask;; i = (i + 1) & t->mask) {
        if (t->slots[i].key == key)
            return &t->slots[i];
        if (!t->slots[i].key)
            return NULL;
    }
}

/* The id of a key, or -1. */
static inline int rr_pair_find(const struct rr_pair_table *t, uint64_t key)
{
    const struct rr_pair *p = rr_pair_at(t, key);
    return p ? p->id : -1;
}

/* No symbol has this number, so characters and merges share one table. */
static inline uint64_t rr_char_key(uint32_t cp)
{
    return (uint64_t)UINT32_MAX << 32 | cp;
}

#endif
