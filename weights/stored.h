/* A tensor as some file stores it, and the binding of such tensors to a model. Both GGUF and
 * safetensors end here. */
#ifndef RR_STORED_H
#define RR_STORED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "engine/base/mem.h"
#include "engine/model.h"

#define RR_STORED_DIMS 8 /* RR_MAX_SAFETENSORS_DIMS; GGUF has at most 4 */

struct rr_stored {
    const char *name; /* terminated */
    const char *file;
    int type;              /* enum rr_type, or -1: a type the engine has no kernels for */
    const char *type_name; /* e.g. "Q4_K" */
    int n_dims;
    uint64_t shape[RR_STORED_DIMS]; /* row-major: last is contiguous */
    const unsigned char *data;
    uint64_t n_bytes;
    uint64_t offset; /* of data in the file */
};

/* What recrank's own training leaves in a model beside its weights, under "recrank.": the wordings
 * it was taught with, and the like. Both are terminated. */
struct rr_note {
    const char *key, *value; /* the key without "recrank." */
};
#define RR_NOTE_PREFIX "recrank."

/* How a format calls the tensors of a LLaMA. %d is the layer. */
struct rr_names {
    const char *embed, *out_norm, *head;
    const char *attn_norm, *wq, *wk, *wv, *wo, *ffn_norm, *gate, *up, *down;
    const char *rope_freqs; /* optional tensor, or NULL */
    const char *ignored;    /* suffix of tensors that carry no weights, or NULL */
};

extern const struct rr_names rr_names_gguf, rr_names_hf;
/* Whether t carries no weights: see `ignored`. */
bool rr_stored_is_ignored(const struct rr_stored *t);

/* Fills m from the stored tensors by name, checking every shape against m->h. Sorts `stored` by
 * name. Memory the model needs (layers, norms as float32, misaligned float32 weights) comes from
 * the arena. RR_ERR_DATA "TENSORS" lists every tensor missing, misshapen, of an unsupported
 * type, or unknown; "TENSOR_NAME" a name twice. */
int rr_bind_tensors(struct rr_model *m, struct rr_arena *arena, struct rr_stored *stored, size_t n,
                    const struct rr_names *names, const char *file, struct rr_error *err);

#endif
