/* adapter_config.json: what PEFT's settings say of each module of a model. For adapter_*.c alone.
 */
#ifndef RR_ADAPTER_CONFIG_H
#define RR_ADAPTER_CONFIG_H

#include "engine/base/json.h"
#include "weights/adapter.h"

struct rr_adapter_config {
    const struct rr_adapter_files *files;
    const struct rr_hparams *h;
    const struct rr_json *root;
    int rank;
    double alpha;
    bool stabilised, dora, transposed;
    bool out_of_memory; /* an answer below is none */
    struct rr_error *err;
};

/* Reads and checks files->config for a model of h; the tree is in the arena. RR_ERR_DATA "ADAPTER",
 * "UNSUPPORTED": a setting that changes the result and would not be applied. */
int rr_adapter_config_read(struct rr_adapter_config *c, struct rr_arena *arena);

/* Fails with what is wrong with a field, at the byte where its value begins; of one that is
 * missing, that of the object that lacks it. Returns status. */
int rr_adapter_config_refuse(const struct rr_adapter_config *c, int status, const char *code,
                             const char *field, const char *what);

/* r and alpha of a module, by pattern or for all. */
int rr_adapter_rank(struct rr_adapter_config *c, int layer, enum rr_lm_matrix m);
double rr_adapter_alpha(struct rr_adapter_config *c, int layer, enum rr_lm_matrix m);
/* Whether the adapter is for this module; tensors: the file has some for it, which decides where
 * target_modules is an expression that is not understood. */
bool rr_adapter_targets(struct rr_adapter_config *c, int layer, enum rr_lm_matrix m, bool tensors);
/* Whether modules_to_save names this module ("lm_head", "model.layers.3.mlp.up_proj"). */
bool rr_adapter_saves(const struct rr_adapter_config *c, const char *module);

#endif
