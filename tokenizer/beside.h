/* What Hugging Face folders keep beside a tokenizer's file: tokenizer_config.json and
 * added_tokens.json. Not for other folders. */
#ifndef RR_TOKENIZER_BESIDE_H
#define RR_TOKENIZER_BESIDE_H

#include "engine/base/file.h"
#include "tokenizer/tokenizer.h"

/* Lives as long as its arena. */
struct rr_beside {
    struct rr_arena arena;
    const char *file;      /* tokenizer_config.json, whether it is there or not; */
    const char *list_file; /* added_tokens.json too */
    const char *eos;       /* the text of EOS, or NULL */
    size_t n_eos;
    long long eos_at;       /* byte in the file */
    bool bos_unsaid, bos;   /* whether texts begin with BOS */
    struct rr_piece *added; /* [n_added], by id; texts in the arena */
    int *ids;               /* [n_added] */
    size_t n_added, n_said; /* the first of them by tokenizer_config.json */
};

#define RR_BESIDE_NOTHING ((struct rr_beside){.eos_at = -1, .bos_unsaid = true})

/* Reads what lies beside the file at path; what is not there is nothing. RR_ERR_DATA: "TOKEN_ID",
 * "VOCAB", "COUNT" (more than RR_MAX_ADDED), and what rr_json_parse says. */
int rr_beside_read(struct rr_beside *b, const char *path, struct rr_error *err);
/* The same from memory (data NULL: it is not there) into a b of RR_BESIDE_NOTHING; the names are
 * for errors, and must live as long as b. */
int rr_beside_parse(struct rr_beside *b, const char *file, const struct rr_map *config_map,
                    const char *list_file, const struct rr_map *list_map, struct rr_error *err);
void rr_beside_free(struct rr_beside *b);
/* What a SentencePiece vocabulary lacks of it: pieces behind its own (but none from id `limit` on),
 * EOS, and whether texts begin with BOS. The new array of pieces is in b's arena. *left_out: how
 * many pieces there was no room for. */
int rr_beside_add(struct rr_vocab *v, struct rr_beside *b, size_t limit, size_t *left_out,
                  const char *file, struct rr_error *err);

/* rr_tokenizer_from_sentencepiece, with that (NULL: nothing) added. */
int rr_sentencepiece_beside(struct rr_tokenizer **t, const struct rr_map *model, const char *file,
                            struct rr_beside *b, size_t limit, struct rr_error *err);

#endif
