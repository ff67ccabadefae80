/* GGUF versions 2 and 3: the container only. What the keys mean is for gguf_model.c.
 *
 * rr_gguf_parse checks every length, offset and type once, against the file's size and
 * engine/base/limits.h; afterwards values and tensor data can be used in place without further
 * checks. The bytes must outlive it. */
#ifndef RR_GGUF_H
#define RR_GGUF_H

#include <stdbool.h>
#include <stdint.h>
#include "engine/base/fail.h"
#include "engine/base/mem.h"
#include "weights/stored.h"

enum rr_gguf_type {
    RR_GGUF_U8,
    RR_GGUF_I8,
    RR_GGUF_U16,
    RR_GGUF_I16,
    RR_GGUF_U32,
    RR_GGUF_I32,
    RR_GGUF_F32,
    RR_GGUF_BOOL,
    RR_GGUF_STRING,
    RR_GGUF_ARRAY,
    RR_GGUF_U64,
    RR_GGUF_I64,
    RR_GGUF_F64,
    RR_GGUF_TYPE_COUNT
};

struct rr_gguf_kv {
    const char *key; /* terminated copy */
    enum rr_gguf_type type;
    enum rr_gguf_type elem;    /* ARRAY only */
    uint64_t n;                /* ARRAY: elements; STRING: bytes; else 1 */
    const unsigned char *data; /* the value, in place; STRING: its first byte */
    size_t n_bytes;            /* of data */
    size_t offset;             /* of the value in the file */
};

struct rr_gguf {
    const char *file;
    uint32_t version;
    struct rr_gguf_kv *kvs;
    size_t n_kvs;
    struct rr_stored
        *tensors; /* in file order until they are bound; shapes row-major (GGUF's reversed) */
    size_t n_tensors;
    uint64_t alignment;
    struct rr_error warning; /* bytes that belong to nothing ("HOLE", "TRAILING"); status 0: none */
    struct rr_arena arena;
};

/* On failure nothing is held. */
int rr_gguf_parse(struct rr_gguf *g, const void *bytes, size_t n, const char *file,
                  struct rr_error *err);
void rr_gguf_free(struct rr_gguf *g);

const struct rr_gguf_kv *rr_gguf_find(const struct rr_gguf *g, const char *key);

/* Typed reads. A key that is absent leaves *out alone and returns 0; one of the wrong type is
 * RR_ERR_DATA "HPARAM_TYPE". */
int rr_gguf_get_int(int64_t *out, const struct rr_gguf *g, const char *key, struct rr_error *err);
int rr_gguf_get_float(double *out, const struct rr_gguf *g, const char *key, struct rr_error *err);
int rr_gguf_get_bool(bool *out, const struct rr_gguf *g, const char *key, struct rr_error *err);
/* *out is a terminated copy in the arena (bytes after a zero are lost). */
int rr_gguf_get_string(const char **out, struct rr_gguf *g, const char *key, struct rr_error *err);

#endif
