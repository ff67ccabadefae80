/* LoRA adapters as PEFT keeps them, a folder with adapter_config.json and
 * adapter_model.safetensors (spec/conventions.md 4.9), or as llama.cpp does, a GGUF file. */
#ifndef RR_ADAPTER_H
#define RR_ADAPTER_H

#include "engine/train/lm.h"
#include "weights/weights.h"

struct rr_adapter_report {
    int rank, n_merged; /* matrices */
    int n_saved;        /* weights that were replaced whole (modules_to_save) */
    double scale;       /* without the adapter's weight */
    double most;        /* the greatest change of one number */
    char base[128];     /* what the adapter says it was made for; "": nothing */
    struct {
        int n;
        double change, size; /* sums of squares of what was added, and of what was there */
    } modules[RR_LM_N];
};
/* Adds an adapter to a model: every matrix it is about becomes float32 in w's arena, w + weight
 * scale b a, the sum in double, rounded once; what it saves whole takes the base's place. May be
 * called again for another adapter. RR_ERR_OPEN, or RR_ERR_DATA "ADAPTER", "ADAPTER_NO_MATCH",
 * "UNSUPPORTED": something in it that would not be applied; w may then be changed in part. */
int rr_adapter_apply(struct rr_weights *w, const struct rr_kernels *kern, const char *path,
                     double weight, struct rr_adapter_report *report, struct rr_error *err);
/* The same from files in memory; the names are for errors. config NULL: tensors is a GGUF file. */
struct rr_adapter_files {
    const char *config_name, *config;
    size_t n_config;
    const char *tensors_name;
    const void *tensors;
    size_t n_tensors;
};
int rr_adapter_apply_memory(struct rr_weights *w, const struct rr_kernels *kern,
                            const struct rr_adapter_files *files, double weight,
                            struct rr_adapter_report *report, struct rr_error *err);

/* Writes lm's adapter into a folder, which is made if it is missing; base names the model it
 * belongs to. The rows of q and k are put in Hugging Face's order, whatever lm's is. */
int rr_adapter_write(const char *dir, const struct rr_lm *lm, const char *base,
                     struct rr_error *err);
/* Whether rr_adapter_write could write there: makes the folder. */
int rr_adapter_check(const char *dir, struct rr_error *err);

/* "self_attn.q_proj", ..., "mlp.down_proj". */
const char *rr_adapter_module(enum rr_lm_matrix m);
/* Where Hugging Face's files have row `row` of a matrix of ours: another place only for q and k of
 * models whose neighbours rotate (GGUF's order). */
int rr_adapter_row(const struct rr_hparams *h, enum rr_lm_matrix m, int row);
/* Where GGUF's files have row `row` of Hugging Face's q or k. */
int rr_row_of_pairs(int head_dim, int row);

#endif
