/* A LLaMA as it is trained: the same network as forward.c, with its gradients (RMSNorm, rotary
 * grouped-query attention, SwiGLU, tied or separate head, dropout of embeddings and of both
 * branches of every layer), full or as LoRA on frozen weights.
 *
 * All trained numbers lie in one array, their gradients in another of the same shape: an optimiser,
 * a checkpoint and a test see nothing else. */
#ifndef RR_TRAIN_LM_H
#define RR_TRAIN_LM_H

#include "engine/base/fail.h"
#include "engine/base/rng.h"
#include "engine/model.h"
#include "engine/train/parts.h"

/* The matrices of a layer. */
enum rr_lm_matrix { RR_LM_Q, RR_LM_K, RR_LM_V, RR_LM_O, RR_LM_GATE, RR_LM_UP, RR_LM_DOWN, RR_LM_N };
const char *rr_lm_matrix_name(enum rr_lm_matrix m); /* "q", "k", "v", "o", "gate", "up", "down" */

struct rr_lm_options {
    double dropout;
    /* LoRA; rank 0: full training. */
    int rank;
    double alpha, lora_dropout;
    bool rank_stabilised; /* scale alpha / sqrt(rank) (arXiv 2312.03732), else alpha / rank */
    unsigned modules;     /* bit per matrix that gets an adapter */
};

/* A stretch of the trained numbers. */
struct rr_lm_tensor {
    char name[48];  /* "embed", "layers.0.q", "layers.0.q.lora_a", ... */
    size_t at;      /* in values and grads */
    int rows, cols; /* cols 0: a vector */
    bool decays;    /* weight decay applies: matrices, not norms */
};

struct rr_lm_layer {
    rr_real *attn_norm, *ffn_norm, *g_attn_norm, *g_ffn_norm; /* gradients NULL: frozen */
    struct rr_linear m[RR_LM_N];
};

struct rr_lm {
    struct rr_hparams h;
    struct rr_lm_options o;
    bool tied;
    rr_real *embed, *g_embed, *out_norm, *g_out_norm; /* gradients NULL: frozen */
    struct rr_linear head;
    struct rr_lm_layer *layers;
    struct rr_rotation rotation;
    rr_real *values, *grads; /* [n_values] trained */
    size_t n_values;
    struct rr_lm_tensor *tensors;
    int n_tensors;
    rr_real *frozen; /* the base of LoRA; NULL for full training */
};

/* A network with the given shape; weights start as normal numbers of deviation 0.02 (residual
 * outputs 0.02 / sqrt(2 layers)), norms 1. Full training only. */
int rr_lm_make(struct rr_lm *lm, const struct rr_hparams *h, bool tied,
               const struct rr_lm_options *o, uint64_t seed, struct rr_error *err);
/* From a model's weights, of any type: copied as float32, trained in full or frozen under LoRA (a
 * starts uniform in +-sqrt(1 / n_in) as PEFT's does, b zero). */
int rr_lm_from_model(struct rr_lm *lm, const struct rr_kernels *kern, const struct rr_model *m,
                     const struct rr_lm_options *o, uint64_t seed, struct rr_error *err);
/* Freezes a fully trained network and puts adapters on it. */
int rr_lm_adapt(struct rr_lm *lm, const struct rr_lm_options *o, uint64_t seed,
                struct rr_error *err);
/* A full network with lm's weights, every adapter added to its matrix: w + scale b a. */
int rr_lm_merged(struct rr_lm *out, const struct rr_lm *lm, struct rr_error *err);
/* Puts the rows of q and k into the order in which neighbours rotate (GGUF's), if they are in
 * Hugging Face's; the network computes the same. Without adapters only: RR_ERR_MEMORY, else RR_OK.
 */
int rr_lm_interleave(struct rr_lm *lm, struct rr_error *err);
/* The network as an engine model whose tensors point at its float32 weights, without adapters:
 * valid while lm's weights stay. layers[n_layers] is the caller's. Not in the double build. */
void rr_lm_as_model(struct rr_model *m, struct rr_layer *layers, const struct rr_lm *lm);
void rr_lm_free(struct rr_lm *lm);

/* Rows of tokens in sequences, and what is to be learned at each. */
struct rr_lm_batch {
    const int *tokens;      /* [n_rows] */
    const int *targets;     /* [n_rows] the token that follows, or -1: nothing is learned here */
    const rr_real *weights; /* [n_rows] of each target's loss; NULL: 1 */
    const int *starts;      /* [n_seqs + 1] rows of each sequence */
    int n_rows, n_seqs;
};

/* Activations of one step, for up to n_rows rows in sequences of up to n_context. */
struct rr_lm_state;
int rr_lm_state_open(struct rr_lm_state **s, struct rr_engine *e, const struct rr_lm *lm,
                     int n_rows, int n_context, struct rr_error *err);
void rr_lm_state_close(struct rr_lm_state *s);

/* The sum of weighted losses (natural logarithm) over the targets, in double, and their number in
 * *n_targets. With `learn`, gradients times `scale` are added to lm->grads, dropout drawn from
 * seed; without, nothing is dropped and no gradient is touched. */
double rr_lm_run(struct rr_lm *lm, struct rr_lm_state *s, const struct rr_lm_batch *b, bool learn,
                 double scale, uint64_t seed, int *n_targets);

#endif
