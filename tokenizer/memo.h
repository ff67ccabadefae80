/* A memo of words and their tokens, in the scratch of encoding: the words of a text come again and
 * again, and looking one up is cheaper than merging it. One slot for each hash, the last word there
 * stays; so memory is fixed, and what is forgotten is merged anew. Results are the same with and
 * without it. Not for other folders. */
#ifndef RR_MEMO_H
#define RR_MEMO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { RR_MEMO_WORDS = 4096, RR_MEMO_BYTES = 16, RR_MEMO_IDS = 9 };

/* What decides a word's tokens: its bytes, and whose vocabulary. One encoding may serve several
 * tokenizers in turn. */
struct rr_memo_key {
    uint64_t text[RR_MEMO_BYTES / 8]; /* zeros behind the word */
    uint64_t tokenizer;               /* its serial; 0: nothing here */
    uint16_t n_text;                  /* a text may hold zeros */
};

struct rr_memo_word {
    struct rr_memo_key key;
    uint16_t n_ids;
    int ids[RR_MEMO_IDS];
};

/* NULL: out of memory. Released with rr_free. */
struct rr_memo_word *rr_memo_open(void);
/* A number that no other tokenizer of this process has. Thread-safe. */
uint64_t rr_memo_serial(void);

/* False: a word too long to keep. s[0..room) may be read, room >= n. */
static inline bool rr_memo_key(struct rr_memo_key *k, uint64_t tokenizer, const char *s, size_t n,
                               size_t room)
{
    static const unsigned char mask[2 * RR_MEMO_BYTES] = {255, 255, 255, 255, 255, 255, 255, 255,
                                                          255, 255, 255, 255, 255, 255, 255, 255};
    if (n > RR_MEMO_BYTES)
        return false;
    if (room >= RR_MEMO_BYTES) { /* no copy of variable length: most words are here */
        uint64_t m[RR_MEMO_BYTES / 8];
        memcpy(k->text, s, sizeof k->text);
        memcpy(m, mask + RR_MEMO_BYTES - n, sizeof m);
        for (size_t i = 0; i < RR_MEMO_BYTES / 8; i++)
            k->text[i] &= m[i];
    } else {
        memset(k->text, 0, sizeof k->text);
        memcpy(k->text, s, n);
    }
    k->tokenizer = tokenizer;
    k->n_text = (uint16_t)n;
    return true;
}

/* Where a word is, if it is anywhere. */
static inline struct rr_memo_word *rr_memo_slot(struct rr_memo_word *words,
                                                const struct rr_memo_key *k)
{
    uint64_t h = (k->text[0] ^ k->tokenizer << 32) * 0x9E3779B97F4A7C15u;
    h ^= (k->text[1] ^ h >> 32) * 0xD6E8FEB86659FD93u;
    return &words[(h ^ h >> 32) % RR_MEMO_WORDS];
}

static inline bool rr_memo_holds(const struct rr_memo_word *w, const struct rr_memo_key *k)
{
    return w->key.text[0] == k->text[0] && w->key.text[1] == k->text[1] &&
           w->key.tokenizer == k->tokenizer && w->key.n_text == k->n_text;
}

/* Keeps a word's tokens, unless they are too many. */
static inline void rr_memo_keep(struct rr_memo_word *w, const struct rr_memo_key *k, const int *ids,
                                size_t n_ids)
{
    if (n_ids > RR_MEMO_IDS)
        return;
    w->key = *k;
    w->n_ids = (uint16_t)n_ids;
    for (size_t i = 0; i < n_ids; i++)
        w->ids[i] = ids[i];
}

#endif
