/* Model files: whatever the user has becomes an engine model, and a tokenizer where the files carry
 * one.
 *
 * A struct rr_weights owns the mappings that the model's tensors point into; it must outlive
 * every session of that model. */
#ifndef RR_WEIGHTS_H
#define RR_WEIGHTS_H

#include "engine/base/file.h"
#include "engine/model.h"
#include "tokenizer/chat.h"
#include "weights/stored.h"

/* What an adapter has changed: added to, or replaced whole. */
struct rr_changed {
    const void *data; /* as it is now */
    bool whole;
    struct rr_changed *next;
};

struct rr_weights {
    struct rr_model model;
    struct rr_tokenizer *tokenizer; /* NULL: none given, and none (usable) in the files */
    struct rr_error
        tokenizer_error;     /* why the one in the files is not usable; status 0: nothing wrong */
    struct rr_error warning; /* what is odd in the files but loads: the first; status 0: nothing */
    int n_warnings;
    bool other_tokenizer;      /* one was given: that in the files is not looked at */
    struct rr_special special; /* what the files say beside their tokenizer */
    const char *format;        /* "GGUF v3", "safetensors", "llama2.c" */
    const char *path;
    const struct rr_stored *tensors; /* all tensors, for reports */
    size_t n_tensors;
    const struct rr_note *notes;
    size_t n_notes;
    char adapter[65]; /* sha256 of what was merged into it (rr_adapter_apply); "": nothing */
    struct rr_changed *changed; /* by adapters; in the arena */
    struct rr_map memory;       /* of a model in memory: what stands for its file */
    struct rr_map *maps;
    size_t n_maps;
    struct rr_arena arena;
};

/* Opens a GGUF file, a Hugging Face folder (config.json and safetensors) or a llama2.c .bin,
 * told apart by content. tokenizer_path (NULL: what the files carry) names a tokenizer.model or
 * a llama2.c tokenizer. The tokenizer may not be larger than the vocabulary ("VOCAB"). On
 * failure nothing is held. */
int rr_weights_open(struct rr_weights *w, const char *path, const char *tokenizer_path,
                    struct rr_error *err);
/* A GGUF file in memory, which must outlive w and begin at a multiple of 32 bytes; name stands for
 * its path. */
int rr_weights_open_memory(struct rr_weights *w, const char *name, const void *bytes, size_t n,
                           struct rr_error *err);
void rr_weights_close(struct rr_weights *w);
/* The value of a note, or NULL. */
const char *rr_weights_note(const struct rr_weights *w, const char *key);
/* RR_OK when w has a tokenizer; else a failure that says why it has none. */
int rr_weights_need_tokenizer(const struct rr_weights *w, struct rr_error *err);

/* Only the tokenizer of a model or tokenizer file; the weights are not looked at. */
int rr_weights_tokenizer(struct rr_tokenizer **t, const char *path, struct rr_error *err);

/* The chat template of the model or tokenizer at path (a GGUF file, a folder, a file in one), or of
 * w where that is a model in memory (w may be NULL). RR_ERR_DATA: "NO_CHAT_TEMPLATE", with where it
 * was looked for; "CHAT_TEMPLATE": one that is not known (rr_chat_recognise). */
int rr_weights_chat(enum rr_chat *c, const struct rr_weights *w, const char *path,
                    struct rr_error *err);
/* Appends its text instead, whatever it is. */
int rr_weights_chat_text(struct rr_buf *out, const struct rr_weights *w, const char *path,
                         struct rr_error *err);

/* Whether all numbers of w->tensors[at] are finite; reads all of it. RR_ERR_DATA
 * "NONFINITE_WEIGHT", at the byte of the block or number that is not. Thread-safe. */
int rr_weights_check(const struct rr_weights *w, size_t at, const struct rr_kernels *k,
                     struct rr_error *err);

/* Parameters in all tensors of the model (a tied head counts once). */
double rr_weights_parameters(const struct rr_weights *w);
double rr_weights_bytes(const struct rr_weights *w);

/* sha256 over the hyperparameters, the names, types and shapes of all tensors and a sample of each
 * one's bytes (its first and last 4 KiB and 62 more spread between), and what was merged into it:
 * tells models apart without reading gigabytes. */
void rr_weights_fingerprint(const struct rr_weights *w, char hex[65]);

/* The formats' own parts. Each fills *w from one path; rr_weights_open cleans up after a
 * failure. */
int rr_weights_read_gguf(struct rr_weights *w, struct rr_error *err);
int rr_weights_read_hf(struct rr_weights *w, struct rr_error *err);
/* The tokenizer in a folder: tokenizer.model, or where that is missing tokenizer.json; rr_free it.
 * NULL: out of memory. */
char *rr_tokenizer_inside(const char *dir);
int rr_weights_read_llama2c(struct rr_weights *w, struct rr_error *err);
/* Where to tell of something odd that is no reason to refuse a file: NULL when there is one
 * already.
 */
struct rr_error *rr_weights_warn(struct rr_weights *w);
/* Adds a mapping of path to w->maps; *map stays valid until the next call. */
int rr_weights_map(struct rr_weights *w, const char *path, const struct rr_map **map,
                   struct rr_error *err);

struct rr_gguf;
/* The tokenizer in a GGUF file's metadata; *t is NULL when it has none. */
int rr_tokenizer_from_gguf(struct rr_tokenizer **t, struct rr_gguf *g, struct rr_error *err);
/* The ids that the file names, of n tokens: RR_ERR_DATA "TOKEN_ID" for another. */
int rr_special_from_gguf(struct rr_special *s, struct rr_gguf *g, size_t n, struct rr_error *err);

#endif
