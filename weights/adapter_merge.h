/* What adapters of all formats end in: matrices read, checked, added. For adapter_*.c alone. */
#ifndef RR_ADAPTER_MERGE_H
#define RR_ADAPTER_MERGE_H

#include "weights/adapter.h"

/* One adapter being applied. */
struct rr_merger {
    struct rr_weights *w;
    const struct rr_kernels *kern;
    struct rr_arena arena; /* of what is read, not of what is made */
    const char *file;      /* of the tensors */
    struct rr_stored *tensors;
    size_t n, cap;
    bool *used; /* [n] */
    double weight;
    struct rr_adapter_report *report;
    struct rr_error *err;
};

struct rr_lora {
    const char *name;       /* of the module, for errors */
    const float *a, *b;     /* [rank, in], [out, rank] */
    const float *magnitude; /* DoRA: [out] of each row of the sum; or NULL */
    int rank;
    double scale;
    bool transposed; /* the product is that of W's transpose: a [rank, out], b [in, rank] */
    bool pairs;      /* rows of q and k are in GGUF's order, else in Hugging Face's */
};

/* r->used for n tensors. */
int rr_merger_begin(struct rr_merger *r);
/* A tensor by its name, which is used then; NULL: none. */
const struct rr_stored *rr_merger_find(struct rr_merger *r, const char *name);
/* RR_ERR_DATA "ADAPTER" for one that is no matrix of these sizes (rows 0: no vector of cols) or of
 * a type without kernels; why says what the sizes are. */
int rr_merger_check(struct rr_merger *r, const struct rr_stored *t, int rows, int cols,
                    const char *why);
/* A stored tensor as float32 in an arena; "ADAPTER" for a number that is not finite, at its
 * byte (its block's, where numbers stand in blocks). */
int rr_merger_take(struct rr_merger *r, float **out, const struct rr_stored *t,
                   struct rr_arena *arena);
/* t becomes float32 in the model's arena, with weight x scale x b a added, summed in double and
 * rounded once. */
int rr_merger_add(struct rr_merger *r, struct rr_tensor *t, enum rr_lm_matrix m,
                  const struct rr_lora *f);
/* Before and after weights are changed. RR_ERR_DATA "ADAPTER_COLLISION": something is to be
 * replaced whole (by module, for the error) that was changed already, or to be added to what was
 * replaced: that would depend on the order of adapters. */
int rr_merger_may_change(const struct rr_merger *r, const void *was, bool whole,
                         const char *module);
int rr_merger_changed(struct rr_merger *r, const void *now, bool whole);
/* Fails with "ADAPTER_NO_MATCH": nothing in the file is for this model. */
int rr_merger_no_match(const struct rr_merger *r);
/* "ADAPTER" for the first tensor that nothing was done with. */
int rr_merger_end(struct rr_merger *r);

/* An adapter that is a GGUF file, in bytes[0..n). */
int rr_adapter_apply_gguf(struct rr_merger *r, const void *bytes, size_t n);

#endif
