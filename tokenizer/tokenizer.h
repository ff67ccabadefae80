/* Tokenizers: text to token ids and back.
 *
 * Two kinds: SentencePiece BPE with byte fallback (arXiv 1808.06226; LLaMA, LLaMA-2, TinyLlama,
 * llama2.c), and byte-level BPE (GPT-2, LLaMA-3). The vocabulary may come from a tokenizer.model of
 * either kind, from GGUF metadata or from a llama2.c file; the readers fill a struct rr_vocab, and
 * rr_tokenizer_open checks and indexes it.
 *
 * Holds always: encode never yields a control token, whatever the text says; only its caller
 * adds those. A tokenizer is immutable once open and may be used by many threads, each with its
 * own struct rr_encoding. */
#ifndef RR_TOKENIZER_H
#define RR_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "engine/base/fail.h"
#include "engine/base/mem.h"
#include "tokenizer/words.h"

/* SentencePiece's numbers, which GGUF uses too. */
enum rr_piece_type {
    RR_PIECE_NORMAL = 1,
    RR_PIECE_UNKNOWN = 2,
    RR_PIECE_CONTROL = 3,
    RR_PIECE_USER = 4,
    RR_PIECE_UNUSED = 5,
    RR_PIECE_BYTE = 6
};

struct rr_piece {
    const char *text; /* n bytes, not terminated, may hold zeros; a blank is U+2581 */
    uint32_t n;
    float score;
    enum rr_piece_type type;
};

/* What models name beside what decides tokens; -1: none. */
#define RR_MAX_ENDS 16
struct rr_special {
    int bos; /* also where texts do not begin with it */
    int pad;
    int n_ends, ends[RR_MAX_ENDS]; /* any of them ends a text */
};

/* What a reader found. Texts are copied by rr_tokenizer_open. */
struct rr_vocab {
    struct rr_piece *pieces;
    size_t n;
    int unk, bos, eos;       /* -1: none */
    bool add_dummy_prefix;   /* a blank before the text */
    bool remove_extra_space; /* none at the ends, one between words */
    bool byte_fallback;      /* unknown characters as <0xHH> pieces */
    const int (*merges)[2];  /* [n_merges] ids of the two pieces, best first; NULL: any two whose
                                text together is a piece, highest score first */
    size_t n_merges;
    /* Byte-level BPE instead (GPT-2, LLaMA-3): texts of pieces are plain bytes, every byte is one,
     * and a text is cut into words first. */
    enum rr_words rule;
    bool whole_words;                 /* a word that is a piece is taken whole */
    const struct rr_special *special; /* the tokenizer's own; NULL: bos and eos alone */
};

/* Appends the bytes that a byte-level piece spells as characters (GPT-2's alphabet). False: one
 * that is not of it. */
bool rr_bytelevel_text(struct rr_buf *out, const char *s, size_t n);
/* The other way. */
void rr_bytelevel_spell(struct rr_buf *out, const char *bytes, size_t n);

struct rr_tokenizer;

/* Checks ids, types, byte pieces and duplicates (RR_ERR_DATA "VOCAB", "TOKEN_ID"), then indexes.
 * file is for errors. */
int rr_tokenizer_open(struct rr_tokenizer **t, const struct rr_vocab *v, const char *file,
                      struct rr_error *err);
void rr_tokenizer_close(struct rr_tokenizer *t);

/* A SentencePiece tokenizer.model in memory (read by our own bounded protobuf reader). */
int rr_tokenizer_from_sentencepiece(struct rr_tokenizer **t, const void *bytes, size_t n,
                                    const char *file, struct rr_error *err);
/* A llama2.c tokenizer .bin in memory. */
int rr_tokenizer_from_llama2c(struct rr_tokenizer **t, const void *bytes, size_t n,
                              const char *file, struct rr_error *err);
/* LLaMA-3's tokenizer.model: a line of base64, a blank and the rank for each piece; behind them 256
 * control tokens of fixed names, the first of them BOS, the second EOS. */
int rr_tokenizer_from_tiktoken(struct rr_tokenizer **t, const void *bytes, size_t n,
                               const char *file, struct rr_error *err);
/* Hugging Face's tokenizer.json: BPE as LLaMA models have it, of either kind. What would change
 * tokens and is not supported is named with its path: RR_ERR_DATA "UNSUPPORTED". BOS is what its
 * post-processor puts first; EOS the piece that is called eos (may be NULL), or a known name. */
int rr_tokenizer_from_json(struct rr_tokenizer **t, const void *bytes, size_t n, const char *file,
                           const char *eos, struct rr_error *err);
/* Maps the file and reads it as whichever of the four it is; beside a tokenizer.json,
 * tokenizer_config.json says which token is EOS, beside a SentencePiece tokenizer.model also
 * whether texts begin with BOS, and it and added_tokens.json have more pieces. */
int rr_tokenizer_from_file(struct rr_tokenizer **t, const char *path, struct rr_error *err);
/* The same for a model of so many tokens: what lies beside a SentencePiece tokenizer.model and the
 * model does not have is left out, with a warning. */
int rr_tokenizer_for_model(struct rr_tokenizer **t, const char *path, size_t n_vocab,
                           struct rr_error *err);

int rr_tokenizer_size(const struct rr_tokenizer *t);
/* What is odd in its file and no reason to refuse it, the first of it; NULL: nothing. */
const struct rr_error *rr_tokenizer_warning(const struct rr_tokenizer *t);
int rr_tokenizer_bos(const struct rr_tokenizer *t); /* -1: none */
int rr_tokenizer_eos(const struct rr_tokenizer *t);
/* What a model says of its tokenizer: ids that it does not have are not taken; its ends stand
 * before those that were known, of RR_MAX_ENDS in all. Before t is shared by threads. */
void rr_tokenizer_name(struct rr_tokenizer *t, const struct rr_special *s);
/* What v->special says, or bos and eos where it is NULL; by value. Thread-safe. */
struct rr_special rr_vocab_special(const struct rr_vocab *v);
/* Whether id ends a text: EOS, or another that the model names. */
bool rr_tokenizer_ends(const struct rr_tokenizer *t, int id);
/* The stored text of a piece (not terminated). id in [0, size). */
const struct rr_piece *rr_tokenizer_piece(const struct rr_tokenizer *t, int id);

/* The vocabulary that the tokenizer was opened with, for writing it: pieces are t's own. */
void rr_tokenizer_vocab(struct rr_vocab *v, const struct rr_tokenizer *t);

/* For byte-level tokenizers whose pieces' ranks decide: the list of merges that says the same, as
 * other formats want it; rr_tokenizer_vocab has it from then on. Others are left as they are. Not
 * thread-safe. RR_ERR_MEMORY. */
int rr_tokenizer_list_merges(struct rr_tokenizer *t, struct rr_error *err);

/* For blanks as U+2581 and listed merges: scores that say the same, as GGUF wants them. v then has
 * pieces of its own, in the arena, and no merges. RR_ERR_USAGE "UNSUPPORTED": they say more than
 * scores can; file is for errors. Thread-safe. */
int rr_vocab_score_merges(struct rr_vocab *v, struct rr_arena *arena, const char *file,
                          struct rr_error *err);

/* Appends the vocabulary as a file of a Hugging Face folder and returns that file's name:
 * tokenizer.json where merges are listed, else SentencePiece's tokenizer.model. NULL: ranks decide
 * (rr_tokenizer_list_merges first). out->failed: out of memory. Thread-safe. */
const char *rr_tokenizer_write(struct rr_buf *out, const struct rr_vocab *v);

/* sha256 over all that decides what encode gives. */
void rr_tokenizer_fingerprint(const struct rr_tokenizer *t, char hex[65]);

/* Result and scratch of encode, kept between calls so that they are rarely allocated.
 * Zero-initialised is valid. */
struct rr_encoding {
    int *ids;
    size_t n, cap;
    struct rr_bpe_scratch *scratch;
};
void rr_encoding_free(struct rr_encoding *e);

/* Replaces e->ids by the tokens of text[0..n), without BOS or EOS. Bytes that are not UTF-8
 * count as U+FFFD. Time is n log n. RR_ERR_MEMORY only. */
int rr_tokenizer_encode(const struct rr_tokenizer *t, struct rr_encoding *e, const char *text,
                        size_t n, struct rr_error *err);

/* Appends the text of ids[0..n) to out. Control tokens are silent; the blank that encode put
 * before the text is removed; so decode(encode(x)) = x for valid UTF-8 without U+2581, when the
 * tokenizer keeps extra blanks. Byte pieces may make sequences that are not UTF-8. Ids outside
 * the vocabulary: RR_ERR_USAGE "TOKEN_ID". */
int rr_tokenizer_decode(const struct rr_tokenizer *t, struct rr_buf *out, const int *ids, size_t n,
                        struct rr_error *err);

#endif
