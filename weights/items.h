/* What writers of model files share: a model's tensors one after another, each as it goes into the
 * file, and their rows put into it. */
#ifndef RR_ITEMS_H
#define RR_ITEMS_H

#include <stdio.h>
#include "engine/base/sha256.h"
#include "weights/write.h"

/* A tensor of the file: what it is in the model, which of q and k (their rows may be in another
 * order), and the type that it is written as. */
struct rr_item {
    const char *name;
    struct rr_tensor t;
    bool vector;
    int matrix; /* enum rr_lm_matrix of q and k, or -1 */
    enum rr_type as;
};

/* Anything but RR_OK ends the walk. */
typedef int rr_item_fn(void *arg, const struct rr_item *item);
/* In the order of the layers; factors (NULL: none) are those of the rotation. */
int rr_each_item(const struct rr_model *m, const struct rr_names *names,
                 const struct rr_write_options *o, const float *factors, rr_item_fn *fn, void *arg);
/* What most matrices are written as. */
int rr_main_type(const struct rr_model *m, const struct rr_write_options *o);
/* As it is written. */
uint64_t rr_item_bytes(const struct rr_item *i);

struct rr_item_writer {
    FILE *out;
    bool interleaved; /* the order of q's and k's rows in the file */
    const struct rr_model *m;
    const struct rr_write_options *o;
    const char *path;
    long long written, all; /* bytes */
    float *floats;          /* [threads][the widest] rows read, */
    int widest;
    unsigned char *chunk; /* and some of them as they are written */
    size_t chunk_bytes;
};

/* Holds the memory that is needed; errors name path. Close it in any case. */
int rr_item_writer_open(struct rr_item_writer *w, const struct rr_model *m,
                        const struct rr_write_options *o, const char *path, struct rr_error *err);
void rr_item_writer_close(struct rr_item_writer *w);
/* Appends one to out; what the disk refuses is found when the file is committed. RR_ERR_DATA
 * "OVERFLOW"; RR_ERR_INTERRUPTED. */
int rr_item_write(struct rr_item_writer *w, const struct rr_item *i, struct rr_error *err);

#endif
