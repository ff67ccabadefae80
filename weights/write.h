/* Writing models: GGUF v3 with the tokenizer inside, so that one file is all a ranker needs. */
#ifndef RR_WEIGHTS_WRITE_H
#define RR_WEIGHTS_WRITE_H

#include "engine/model.h"
#include "tokenizer/tokenizer.h"
#include "weights/stored.h"

/* Writes a LLaMA model to path, atomically: tensors in the order of the layers, each at a multiple
 * of 32 bytes, of the types they have in m. rope.interleaved must be true (GGUF's order of rows)
 * and scaling none or linear: RR_ERR_USAGE "UNSUPPORTED" otherwise. name goes into general.name,
 * notes[n_notes] beside it. */
int rr_gguf_write_model(const char *path, const struct rr_model *m, const struct rr_vocab *v,
                        const char *name, const struct rr_note *notes, size_t n_notes,
                        struct rr_error *err);

/* Rounds the matrices of a float32 model to Q8_0, into the arena: m's tensors then point there; the
 * norms stay. RR_ERR_USAGE "UNSUPPORTED": another type, weights that are not F32, or rows that are
 * no whole blocks; RR_ERR_DATA "OVERFLOW": a weight that is not finite or too large. m is then
 * changed in part. */
int rr_quantise_model(struct rr_model *m, enum rr_type type, struct rr_arena *arena,
                      struct rr_error *err);

#endif
