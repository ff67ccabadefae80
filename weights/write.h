/* Writing models: GGUF v3 with the tokenizer inside, so that one file is all a ranker needs. */
#ifndef RR_WEIGHTS_WRITE_H
#define RR_WEIGHTS_WRITE_H

#include "engine/model.h"
#include "tokenizer/tokenizer.h"
#include "weights/stored.h"

struct rr_write_options {
    const char *name; /* general.name */
    const struct rr_note *notes;
    size_t n_notes;
    const char *chat; /* the chat template, or NULL */
    int type; /* of the matrices: an enum rr_type that rr_can_store, or -1: what each has. With Q4_0
                 the head is Q8_0; rows that hold no whole blocks become F16 */
    const struct rr_kernels *kernels;                           /* to read rows, with a type */
    bool (*progress)(void *arg, long long done, long long all); /* true: stop; or NULL */
    void *progress_arg;
};

/* Writes a LLaMA model to path, atomically: tensors in the order of the layers, each at a multiple
 * of 32 bytes. Rows of q and k that are in Hugging Face's order are put in GGUF's; LLaMA-3's
 * rotary scaling becomes the tensor rope_freqs.weight. v may be NULL: no tokenizer. RR_ERR_USAGE
 * "UNSUPPORTED": a tokenizer that GGUF cannot spell; RR_ERR_DATA "OVERFLOW": a weight that is not
 * finite or too large for its type. */
int rr_gguf_write_model(const char *path, const struct rr_model *m, const struct rr_vocab *v,
                        const struct rr_write_options *o, struct rr_error *err);

bool rr_can_store(enum rr_type type);
/* x[n] as a row of a type that can be stored; n is whole blocks. Rounded to nearest: halves to even
 * for F16 and BF16; Q8_0 and Q4_0 as ggml's reference does. False: a number that is not finite, or
 * too large. */
bool rr_store_row(void *out, enum rr_type type, const float *x, int n);

/* Rounds the matrices of a float32 model to Q8_0, into the arena: m's tensors then point there; the
 * norms stay. RR_ERR_USAGE "UNSUPPORTED": another type, weights that are not F32, or rows that are
 * no whole blocks; RR_ERR_DATA "OVERFLOW": a weight that is not finite or too large. m is then
 * changed in part. */
int rr_quantise_model(struct rr_model *m, enum rr_type type, struct rr_arena *arena,
                      struct rr_error *err);

#endif
