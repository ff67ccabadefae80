/* Making a tokenizer: byte-pair encoding learned from texts (Sennrich, Haddow, Birch, arXiv
 * 1508.07909) in SentencePiece's sense: blanks are U+2581, unknown characters become bytes, and a
 * piece's score is minus its rank. */
#ifndef RR_TOKENIZER_TRAIN_H
#define RR_TOKENIZER_TRAIN_H

#include "tokenizer/tokenizer.h"

/* A text (valid UTF-8) and how often it counts, at least 1. */
struct rr_bpe_text {
    const char *s;
    size_t n;
    long long count;
};

struct rr_bpe_options {
    int size; /* pieces in all, without the user-defined ones: at least 259 (three special ones and
                 the bytes) */
    const struct rr_bpe_text *user; /* [n_user] texts that get a user-defined piece each, which
                                       merges with nothing; distinct */
    size_t n_user;
};

/* A vocabulary that encodes as the merges were learned; fewer pieces than asked when the texts are
 * used up. Ids: unknown, beginning, end; 256 bytes; merges by rank; characters by count. Equal
 * counts are decided by the order of first appearance: the same texts give the same pieces. The
 * pieces' texts live in the arena. RR_ERR_USAGE "VOCAB_SIZE": out of range. */
int rr_bpe_train(struct rr_vocab *v, struct rr_arena *arena, const struct rr_bpe_text *texts,
                 size_t n, const struct rr_bpe_options *o, struct rr_error *err);

#endif
