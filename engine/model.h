/* A LLaMA-family transformer as the engine sees it: numbers and pointers to tensors, from wherever.
 *
 * The model owns nothing: whoever filled it (weights/, a test, a device with weights in flash)
 * keeps the memory alive and unchanged while sessions use it. It has never heard of a file
 * format. */
#ifndef RR_MODEL_H
#define RR_MODEL_H

#include <stdbool.h>
#include "engine/kernel/kernel.h"
#include "engine/base/fail.h"

enum rr_rope_scaling { RR_ROPE_NONE, RR_ROPE_LINEAR, RR_ROPE_LLAMA3 };

struct rr_rope {
    double theta;                 /* base of the frequencies */
    enum rr_rope_scaling scaling; /* LLAMA3: "Llama 3.1" wavelength-dependent scaling */
    double factor;                /* LINEAR and LLAMA3: how many times longer the context */
    double low_freq_factor, high_freq_factor;
    int original_context;
    bool interleaved; /* pairs (2i, 2i+1) rotate (GGUF, llama2.c), else halves (i, i + d/2) (Hugging
                         Face) */
    const float *freq_factors; /* [head_dim/2] divisors of the frequencies, or NULL (GGUF
                                  rope_freqs.weight) */
};

struct rr_hparams {
    int n_layers, n_embd, n_heads, n_kv_heads, head_dim, n_ff, n_vocab, n_context;
    double rms_eps;
    struct rr_rope rope;
};

struct rr_layer {
    const float *attn_norm, *ffn_norm; /* [n_embd] */
    struct rr_tensor wq;               /* [n_heads head_dim, n_embd] */
    struct rr_tensor wk, wv;           /* [n_kv_heads head_dim, n_embd] */
    struct rr_tensor wo;               /* [n_embd, n_heads head_dim] */
    struct rr_tensor gate, up;         /* [n_ff, n_embd] */
    struct rr_tensor down;             /* [n_embd, n_ff] */
};

struct rr_model {
    struct rr_hparams h;
    struct rr_tensor embed; /* [n_vocab, n_embd] */
    const float *out_norm;  /* [n_embd] */
    struct rr_tensor head;  /* [n_vocab, n_embd]; the embedding itself when tied */
    bool tied;
    struct rr_layer *layers; /* [n_layers] */
};

/* Checks every number against its range and against the others (heads divide, head_dim even,
 * ...), before anything is allocated from them. RR_ERR_DATA "HPARAM" names the value, what was
 * found, and the range; file goes into the error. */
int rr_hparams_check(const struct rr_hparams *h, const char *file, struct rr_error *err);

/* How many times slower than `freq` that frequency turns with the scaling. */
double rr_rope_divisor(const struct rr_rope *r, double freq);

/* Rotation table: cos and sin of position * frequency, [n_positions][head_dim/2] each, computed
 * in double. */
void rr_rope_table(float *cos_out, float *sin_out, const struct rr_hparams *h, int n_positions);

/* Where a number of the model is not finite: a damaged scale of a block, or NaN as such. */
struct rr_damage {
    int layer;        /* -1: none of a layer */
    const char *name; /* what GGUF calls it: "ffn_down", "output" */
    int row, column;
};

/* Number of the first of t's that is not finite, row by row, or -1. Reads all of t. Thread-safe. */
long long rr_tensor_nonfinite(const struct rr_tensor *t, const struct rr_kernels *k);
/* The first of the whole model in the order in which it is computed; false: all are finite.
 * Thread-safe. */
bool rr_model_damage(struct rr_damage *d, const struct rr_model *m, const struct rr_kernels *k);

#endif
