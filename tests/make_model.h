/* A random LLaMA in memory, of any shape and storage type, made with the engine alone: no file.
 *
 * The same shape and seed give the same weights on every machine. Out of memory aborts, for this is
 * test code. */
#ifndef TESTS_MAKE_MODEL_H
#define TESTS_MAKE_MODEL_H

#include <stdbool.h>
#include <stdint.h>
#include "engine/base/rng.h"
#include "engine/model.h"

struct model_shape {
    const char *name; /* for messages */
    int n_layers, n_embd, n_heads, n_kv_heads, head_dim, n_ff, n_vocab, n_context;
    enum rr_type type; /* of every matrix whose rows hold whole blocks of it; the others are F32 */
    bool tied, interleaved;
};

/* Uniform in [-1, 1). */
float random_float(struct rr_rng *r);
/* Bytes of a finite IEEE half of about `size`, of either sign. */
uint16_t random_scale(struct rr_rng *r, float size);
/* Fills a row of k numbers of a storage type with values of about `size`; k is a multiple of the
 * block. out needs no alignment. */
void random_row(void *out, enum rr_type type, int k, float size, struct rr_rng *r);

/* Allocated once; release with free_model. */
struct rr_model *make_model(const struct model_shape *shape, uint64_t seed);
void free_model(struct rr_model *m);

/* out[n_vocab] = logits after tokens[0..n) by the textbook, in double, one token at a time, knowing
 * nothing of caches, batches or kernels (but for the decoding of stored rows). Plain RoPE only. */
void reference_logits(double *out, const struct rr_model *m, const int *tokens, int n);

/* Where a test damages a weight: row i of a tensor that make_model made. */
void *model_row(const struct rr_tensor *t, int i);

#endif
