/* See adapter_merge.h. */
#include "weights/adapter_merge.h"

#include <math.h>
#include <string.h>

int rr_merger_begin(struct rr_merger *r)
{
    r->used = rr_arena_zalloc(&r->arena, r->n + 1, sizeof *r->used);
    return r->used ? RR_OK : rr_fail_memory(r->err, "adapter", r->n);
}

const struct rr_stored *rr_merger_find(struct rr_merger *r, const char *name)
{
    for (size_t i = 0; i < r->n; i++)
        if (strcmp(r->tensors[i].name, name) == 0) {
            r->used[i] = true;
            return &r->tensors[i];
        }
    return NULL;
}

int rr_merger_check(struct rr_merger *r, const struct rr_stored *t, int rows, int cols,
                    const char *why)
{
    const int n_dims = rows ? 2 : 1;
    if (t->type < 0 || t->n_dims != n_dims)
        return rr_fail(r->err, RR_ERR_DATA, "ADAPTER", RR_AT_BYTE(r->file, t->name, t->offset),
                       "%s with %d dimensions; expected a %s of a type that weights can have",
                       t->type_name, t->n_dims, rows ? "matrix" : "vector");
    if (!rows && t->shape[0] != (uint64_t)cols)
        return rr_fail(r->err, RR_ERR_DATA, "ADAPTER", RR_AT_BYTE(r->file, t->name, t->offset),
                       "[%llu]; expected [%d] %s", (unsigned long long)t->shape[0], cols, why);
    if (rows && (t->shape[0] != (uint64_t)rows || t->shape[1] != (uint64_t)cols))
        return rr_fail(r->err, RR_ERR_DATA, "ADAPTER", RR_AT_BYTE(r->file, t->name, t->offset),
                       "[%llu, %llu]; expected [%d, %d] %s", (unsigned long long)t->shape[0],
                       (unsigned long long)t->shape[1], rows, cols, why);
    return RR_OK;
}

int rr_merger_take(struct rr_merger *r, float **out, const struct rr_stored *t,
                   struct rr_arena *arena)
{
    const size_t rows = t->n_dims == 1 ? 1 : (size_t)t->shape[0],
                 cols = (size_t)t->shape[t->n_dims - 1];
    *out = rr_arena_alloc(arena, rows * cols, sizeof **out);
    if (!*out)
        return rr_fail_memory(r->err, t->name, rows * cols * sizeof **out);
    for (size_t i = 0; i < rows; i++)
        r->kern->row_f32[t->type](
            *out + i * cols, t->data + i * rr_row_bytes((enum rr_type)t->type, cols), (int)cols);
    const struct rr_type_info *type = rr_type_info((enum rr_type)t->type);
    for (size_t i = 0; i < rows * cols; i++)
        if (!isfinite((*out)[i]))
            return rr_fail(r->err, RR_ERR_DATA, "ADAPTER",
                           RR_AT_BYTE(r->file, t->name,
                                      t->offset + i / (size_t)type->block * type->block_bytes),
                           "holds a number that is not finite");
    return RR_OK;
}

/* What a row is multiplied with, so that it has its magnitude (DoRA, arXiv 2402.09353, equation 5).
 */
static double to_magnitude(const float *row, const double *sum, double scale, size_t n,
                           double magnitude)
{
    double squares = 0;
    for (size_t j = 0; j < n; j++) {
        const double v = (double)row[j] + scale * sum[j];
        squares += v * v;
    }
    return magnitude / sqrt(squares);
}

/* sum[cols] = row `row` of b a, or of its transpose. */
static void product_row(double *sum, const struct rr_lora *f, size_t row, size_t rows, size_t cols)
{
    const size_t rank = (size_t)f->rank;
    for (size_t j = 0; j < cols; j++)
        sum[j] = 0;
    for (size_t k = 0; k < rank && !f->transposed; k++)
        for (size_t j = 0; j < cols; j++)
            sum[j] += (double)f->b[row * rank + k] * (double)f->a[k * cols + j];
    for (size_t k = 0; k < rank && f->transposed; k++)
        for (size_t j = 0; j < cols; j++)
            sum[j] += (double)f->b[j * rank + k] * (double)f->a[k * rows + row];
}

/* Where the adapter has row i of ours. */
static size_t row_of(const struct rr_hparams *h, enum rr_lm_matrix m, bool pairs, int i)
{
    if (!pairs)
        return (size_t)rr_adapter_row(h, m, i);
    return (size_t)(h->rope.interleaved || (m != RR_LM_Q && m != RR_LM_K)
                        ? i
                        : rr_row_of_pairs(h->head_dim, i));
}

int rr_merger_may_change(const struct rr_merger *r, const void *was, bool whole, const char *module)
{
    for (const struct rr_changed *c = r->w->changed; c; c = c->next)
        if (c->data == was && (whole || c->whole))
            return rr_fail(r->err, RR_ERR_DATA, "ADAPTER_COLLISION", RR_AT_OBJECT(r->file, module),
                           "%s what another adapter has %s: give one of them alone",
                           whole ? "replaces" : "adds to", c->whole ? "replaced" : "changed");
    return RR_OK;
}

int rr_merger_changed(struct rr_merger *r, const void *now, bool whole)
{
    struct rr_changed *c = rr_arena_alloc(&r->w->arena, 1, sizeof *c);
    if (!c)
        return rr_fail_memory(r->err, "adapter", sizeof *c);
    *c = (struct rr_changed){now, whole, r->w->changed};
    r->w->changed = c;
    return RR_OK;
}

int rr_merger_add(struct rr_merger *r, struct rr_tensor *t, enum rr_lm_matrix m,
                  const struct rr_lora *f)
{
    const size_t rows = (size_t)t->n_rows, cols = (size_t)t->n_cols;
    const double scale = r->weight * f->scale;
    int rc = rr_merger_may_change(r, t->data, false, f->name);
    if (rc)
        return rc;
    float *w = rr_arena_alloc(&r->w->arena, rows * cols, sizeof *w);
    double *sum = rr_arena_alloc(&r->arena, cols, sizeof *sum);
    if (!w || !sum)
        return rr_fail_memory(r->err, "merged weights", rows * cols * sizeof *w);
    for (size_t i = 0; i < rows; i++) {
        const size_t row_at = row_of(&r->w->model.h, m, f->pairs, (int)i);
        float *row = w + i * cols;
        r->kern->row_f32[t->type](row, (const char *)t->data + i * rr_row_bytes(t->type, cols),
                                  t->n_cols);
        product_row(sum, f, row_at, rows, cols);
        const double by =
            f->magnitude ? to_magnitude(row, sum, scale, cols, (double)f->magnitude[row_at]) : 1;
        for (size_t j = 0; j < cols; j++) {
            const double was = (double)row[j], is = by * (was + scale * sum[j]);
            r->report->modules[m].size += was * was;
            r->report->modules[m].change += (is - was) * (is - was);
            r->report->most = fmax(r->report->most, fabs(is - was));
            row[j] = (float)is;
        }
        for (size_t j = 0; j < cols; j++)
            if (!isfinite(row[j]))
                return rr_fail(r->err, RR_ERR_DATA, "ADAPTER", RR_AT_OBJECT(r->file, f->name),
                               "merged, the weights are not finite");
    }
    *t = (struct rr_tensor){
        .type = RR_TYPE_F32, .n_rows = t->n_rows, .n_cols = t->n_cols, .data = w};
    r->report->n_merged++;
    r->report->modules[m].n++;
    r->report->rank = f->rank;
    r->report->scale = f->scale;
    return rr_merger_changed(r, w, false);
}

int rr_merger_no_match(const struct rr_merger *r)
{
    const struct rr_stored *first = r->n ? &r->tensors[0] : NULL;
    return rr_fail(
        r->err, RR_ERR_DATA, "ADAPTER_NO_MATCH",
        RR_AT_BYTE(r->file, first ? first->name : NULL, first ? (long long)first->offset : -1),
        "the adapter holds nothing for this model");
}

int rr_merger_end(struct rr_merger *r)
{
    for (size_t i = 0; i < r->n; i++)
        if (!r->used[i])
            return rr_fail(r->err, RR_ERR_DATA, "ADAPTER",
                           RR_AT_BYTE(r->file, r->tensors[i].name, r->tensors[i].offset),
                           "belongs to no matrix of this model: another base, or a kind of adapter "
                           "that is not supported");
    return RR_OK;
}
