/* Builders of small model files for tests and fuzz seeds: a tiny random LLaMA with its tokenizer,
 * as GGUF, as a Hugging Face folder's files, as llama2.c files and as a SentencePiece model. All
 * four hold the same numbers.
 *
 * Everything is made in memory; running out of it aborts, for this is test code. */
#ifndef TESTS_MAKE_FILES_H
#define TESTS_MAKE_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "engine/base/mem.h"

/* ---- bytes ---- */

void put_u8(struct rr_buf *b, unsigned v);
void put_u32(struct rr_buf *b, uint32_t v);
void put_u64(struct rr_buf *b, uint64_t v);
void put_f32(struct rr_buf *b, float v);
/* A GGUF string: u64 length, bytes. */
void put_string(struct rr_buf *b, const char *s, size_t n);
/* Overwrites n_bytes (at most 8) at `at` with v, little-endian. */
void patch(struct rr_buf *b, size_t at, int n_bytes, uint64_t v);
/* Offset of the first occurrence of s[0..n); aborts when there is none. */
size_t find_bytes(const struct rr_buf *b, const char *s, size_t n);

/* ---- the model ---- */

struct tiny_shape {
    int dim, layers, heads, kv_heads, ff, vocab, context;
    bool tied;     /* no head of its own */
    bool no_bytes; /* a vocabulary without the 256 byte pieces (not for llama2.c, which demands
                      them) */
};

extern const struct tiny_shape tiny_default; /* 32, 2, 4, 2, 64, 300, 64 */
extern const struct tiny_shape tiny_seed;    /* small enough for fuzz seeds; no byte pieces */

struct tiny_tensor {
    char gguf_name[64], hf_name[80];
    int rows, cols; /* rows 0: a vector */
    int rotates; /* heads of a q or k projection, whose rows Hugging Face orders otherwise; else 0
                  */
    float *v;    /* in GGUF's order */
};

struct tiny_piece {
    char text[24];
    int n, type; /* SentencePiece's numbers */
    float score;
};

struct tiny {
    struct tiny_shape s;
    struct tiny_tensor tensors[40];
    int n_tensors;
    struct tiny_piece *pieces; /* [s.vocab] */
};

void tiny_make(struct tiny *t, const struct tiny_shape *shape);
void tiny_free(struct tiny *t);
const struct tiny_tensor *tiny_find(const struct tiny *t, const char *gguf_name);

/* ---- GGUF ---- */

struct gguf_kv {
    char *key;
    size_t n_key;
    uint32_t type;
    struct rr_buf value; /* as stored */
};

struct gguf_tensor {
    char *name;
    size_t n_name;
    uint32_t type, n_dims;
    uint64_t dims[4]; /* GGUF's order: contiguous first */
    struct rr_buf data;
};

struct gguf_file {
    uint32_t version, alignment;
    struct gguf_kv *kvs;
    size_t n_kvs, cap_kvs;
    struct gguf_tensor *tensors;
    size_t n_tensors, cap_tensors;
};

/* Each sets the key, in its place when it is there already, else at the end. */
void gguf_set(struct gguf_file *g, const char *key, uint32_t type, const void *bytes, size_t n);
void gguf_set_u32(struct gguf_file *g, const char *key, uint32_t v);
void gguf_set_i32(struct gguf_file *g, const char *key, int32_t v);
void gguf_set_f32(struct gguf_file *g, const char *key, float v);
void gguf_set_bool(struct gguf_file *g, const char *key, unsigned byte);
void gguf_set_string(struct gguf_file *g, const char *key, const char *s);
/* An array of n elements of `elem`, stored in bytes[0..n_bytes). */
void gguf_set_array(struct gguf_file *g, const char *key, uint32_t elem, uint64_t n,
                    const void *bytes, size_t n_bytes);
void gguf_drop(struct gguf_file *g, const char *key);

struct gguf_tensor *gguf_add_tensor(struct gguf_file *g, const char *name, uint32_t type,
                                    uint32_t n_dims, const uint64_t *dims, const void *data,
                                    size_t n_bytes);
struct gguf_tensor *gguf_tensor(struct gguf_file *g, const char *name);
void gguf_drop_tensor(struct gguf_file *g, const char *name);
void gguf_write(struct rr_buf *out, const struct gguf_file *g);
void gguf_file_free(struct gguf_file *g);

/* The tiny model as GGUF v3, F32. Has general.alignment and tokenizer.ggml.add_space_prefix, so
 * that tests can patch them. */
void gguf_from_tiny(struct gguf_file *g, const struct tiny *t);

/* ---- the other formats ---- */

/* Writes the length of a header, the header and the data. */
void safetensors_write(struct rr_buf *out, const char *header, size_t n_header, const void *data,
                       size_t n_data);
/* Tensors first <= i < first + n of the tiny model, rows of q and k in Hugging Face's order. */
void safetensors_from_tiny(struct rr_buf *out, const struct tiny *t, int first, int n);
void config_from_tiny(struct rr_buf *out, const struct tiny *t);

/* Appends tiny_default (tests/make_model.h) as a GGUF file. */
void tiny_default_gguf(struct rr_buf *out);

void llama2c_from_tiny(struct rr_buf *out, const struct tiny *t);
void llama2c_tokenizer_from_tiny(struct rr_buf *out, const struct tiny *t);

void proto_varint(struct rr_buf *b, uint64_t v);
void proto_int(struct rr_buf *b, unsigned field, uint64_t v);
void proto_bytes(struct rr_buf *b, unsigned field, const void *bytes, size_t n);
void proto_f32(struct rr_buf *b, unsigned field, float v);
/* A SentencePiece message of ModelProto: text, score, type. */
void proto_piece(struct rr_buf *b, const char *text, size_t n, float score, int type);
/* TrainerSpec and NormalizerSpec as LLaMA's tokenizer.model has them. */
void proto_specs(struct rr_buf *b, bool byte_fallback);
void sentencepiece_from_tiny(struct rr_buf *out, const struct tiny *t);

#endif
