/* Writing models: GGUF v3 with the tokenizer inside, so that one file is all a ranker needs; or a
 * Hugging Face folder. */
#ifndef RR_WEIGHTS_WRITE_H
#define RR_WEIGHTS_WRITE_H

#include "engine/engine.h"
#include "engine/model.h"
#include "tokenizer/tokenizer.h"
#include "weights/stored.h"

struct rr_write_options {
    const char *name; /* general.name */
    const struct rr_note *notes;
    size_t n_notes;
    const char *chat;            /* the chat template, or NULL */
    const struct rr_model *like; /* NULL, or whose tensors' types are kept, with type -1: m was this
                                    before something was merged into it */
    int type; /* of the matrices: an enum rr_type that rr_can_store, or -1: what each has. With Q4_0
                 the head is Q8_0, with the K types Q6_K. Rows that hold no whole blocks become Q8_0
                 (K types) or F16 */
    bool mixed; /* with Q4_K, Q5_K: Q6_K for attn_v and ffn_down of about half the layers, as the
                   mixtures that llama.cpp calls Q4_K_M and Q5_K_M have them */
    struct rr_engine *engine; /* converts the rows, with a type; its pool is used */
    struct rr_buf *sums;      /* NULL, or receives a line for every tensor as it is written:
                                 sha256, type, shape (as in "F32 [48,32]"), name */
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

/* The same as a Hugging Face folder: config.json, the tokenizer as tokenizer.model or
 * tokenizer.json, model.safetensors. It is made under another name and then renamed: dir must be
 * missing or empty (RR_ERR_OPEN "NOT_EMPTY"), so that nothing else is read with the model. Rows of
 * q and k are put in Hugging Face's order, rope_freqs.weight becomes rope_scaling. Notes are not
 * written. RR_ERR_USAGE "UNSUPPORTED": matrices of another type than F32, F16, BF16, or such
 * factors that no setting gives. */
int rr_hf_write_model(const char *dir, const struct rr_model *m, const struct rr_vocab *v,
                      const struct rr_write_options *o, struct rr_error *err);

bool rr_can_store(enum rr_type type);
/* x[n] as a row of a type that can be stored; n is whole blocks. Rounded to nearest: halves to even
 * for F16 and BF16; Q8_0 and Q4_0 as ggml's reference does; Q6_K, Q5_K and Q4_K with scales that
 * were searched for (quantise_k.c). False: a number that is not finite, or
 * too large. */
bool rr_store_row(void *out, enum rr_type type, const float *x, int n);

/* Rounds the matrices of a float32 model to Q8_0, into the arena: m's tensors then point there; the
 * norms stay. RR_ERR_USAGE "UNSUPPORTED": another type, weights that are not F32, or rows that are
 * no whole blocks; RR_ERR_DATA "OVERFLOW": a weight that is not finite or too large. m is then
 * changed in part. */
int rr_quantise_model(struct rr_model *m, enum rr_type type, struct rr_arena *arena,
                      struct rr_error *err);

#endif
