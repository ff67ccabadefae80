/* Damaged values in the tensors of a model file. */
#include <limits.h>
#include "weights/weights.h"

int rr_weights_check(const struct rr_weights *w, size_t at, const struct rr_kernels *k,
                     struct rr_error *err)
{
    const struct rr_stored *t = &w->tensors[at];
    if (t->type < 0 || t->n_dims < 1 || rr_stored_is_ignored(t))
        return RR_OK; /* nothing that the engine reads */
    const uint64_t cols = t->shape[t->n_dims - 1];
    uint64_t rows = 1;
    for (int d = 0; d < t->n_dims - 1; d++)
        rows *= t->shape[d];
    if (!cols || rows > INT_MAX || cols > INT_MAX)
        return RR_OK; /* no tensor of a model */
    const struct rr_tensor tensor = {(enum rr_type)t->type, (int)rows, (int)cols, t->data};
    const long long bad = rr_tensor_nonfinite(&tensor, k);
    if (bad < 0)
        return RR_OK;
    const struct rr_type_info *type = rr_type_info(tensor.type);
    const uint64_t block = (uint64_t)bad / (uint64_t)type->block;
    return rr_fail(
        err, RR_ERR_DATA, "NONFINITE_WEIGHT",
        RR_AT_BYTE(t->file, t->name, t->offset + block * type->block_bytes),
        "row %lld, column %lld is not a finite number (%s %llu of the tensor): the file is damaged",
        bad / (long long)cols, bad % (long long)cols, type->block > 1 ? "block" : "number",
        (unsigned long long)block);
}
