/* A LLaMA of a well-known shape with random weights, in memory: as fast or slow as the real one,
 * and no file is needed. */
#ifndef TOOLS_RANDOM_MODEL_H
#define TOOLS_RANDOM_MODEL_H

#include "engine/base/fail.h"
#include "engine/model.h"

struct random_model {
    struct rr_model model;
    void *block; /* layers and weights */
    size_t bytes;
};

/* The shape "15m" or "110m" (llama2.c's stories), "1.1b" (TinyLlama) or "7b" (LLaMA-2), and the
 * type of such a name in either case. RR_ERR_USAGE "SHAPE" or "TYPE". */
int random_model_named(const char *shape, const char *type, const struct rr_hparams **h,
                       enum rr_type *t, struct rr_error *err);

/* Every matrix of the type, if its rows hold whole blocks, else F32; one embedding for both ends in
 * the two small shapes, as they have it. RR_ERR_MEMORY when it takes more than the machine has. */
int random_model_make(struct random_model *m, const struct rr_hparams *shape, enum rr_type type,
                      struct rr_error *err);
void random_model_free(struct random_model *m);

#endif
