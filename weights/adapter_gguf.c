/* Adapters as GGUF files, as llama.cpp's convert_lora_to_gguf writes them: "general.type" =
 * "adapter", "adapter.lora.alpha", and for each matrix NAME the tensors NAME.lora_a [r, in] and
 * NAME.lora_b [out, r]. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "weights/adapter_merge.h"
#include "weights/gguf.h"

/* Where a key's value stands; one that is missing stands nowhere. */
static long long place(const struct rr_gguf *g, const char *key)
{
    const struct rr_gguf_kv *kv = rr_gguf_find(g, key);
    return kv ? (long long)kv->offset : -1;
}

/* A key that must be this text. */
static int expect(struct rr_merger *r, struct rr_gguf *g, const char *key, const char *text,
                  const char *code)
{
    const char *v = NULL;
    int rc = rr_gguf_get_string(&v, g, key, r->err);
    if (rc || (v && strcmp(v, text) == 0))
        return rc;
    return rr_fail(r->err, RR_ERR_DATA, code, RR_AT_BYTE(r->file, key, place(g, key)),
                   "%s; expected \"%s\"", v ? rr_show(v, strlen(v)).s : "is missing", text);
}

static int check_keys(struct rr_merger *r, struct rr_gguf *g, double *alpha)
{
    const char *name = NULL;
    *alpha = 0;
    int rc = expect(r, g, "general.type", "adapter", "ADAPTER");
    if (!rc)
        rc = expect(r, g, "adapter.type", "lora", "UNSUPPORTED");
    if (!rc)
        rc = expect(r, g, "general.architecture", "llama", "ARCH");
    if (!rc)
        rc = rr_gguf_get_float(alpha, g, "adapter.lora.alpha", r->err);
    if (!rc && (!isfinite(*alpha) || *alpha == 0))
        rc = rr_fail(r->err, RR_ERR_DATA, "ADAPTER",
                     RR_AT_BYTE(r->file, "adapter.lora.alpha", place(g, "adapter.lora.alpha")),
                     "is missing, 0 or not finite");
    if (!rc)
        rc = rr_gguf_get_string(&name, g, "general.base_model.0.name", r->err);
    if (name)
        snprintf(r->report->base, sizeof r->report->base, "%s", name);
    return rc;
}

static int apply_matrix(struct rr_merger *r, const char *name, struct rr_tensor *t,
                        enum rr_lm_matrix m, double alpha)
{
    char a_name[96], b_name[96];
    float *x, *y;
    snprintf(a_name, sizeof a_name, "%s.lora_a", name);
    snprintf(b_name, sizeof b_name, "%s.lora_b", name);
    const struct rr_stored *a = rr_merger_find(r, a_name), *b = rr_merger_find(r, b_name);
    if (!a && !b)
        return RR_OK;
    if (!a || !b)
        return rr_fail(r->err, RR_ERR_DATA, "ADAPTER",
                       RR_AT_BYTE(r->file, (a ? a : b)->name, (a ? a : b)->offset),
                       "its lora_%s is missing", a ? "b" : "a");
    const int rank = a->n_dims == 2 && a->shape[0] <= 4096 ? (int)a->shape[0] : 0;
    if (!rank)
        return rr_fail(r->err, RR_ERR_DATA, "ADAPTER", RR_AT_BYTE(r->file, a->name, a->offset),
                       "%llu rows; expected a matrix of 1 to 4096 (is it transposed?)",
                       (unsigned long long)a->shape[0]);
    int rc = rr_merger_check(r, a, rank, t->n_cols, "(r and this base's inputs)");
    if (!rc)
        rc = rr_merger_check(r, b, t->n_rows, rank, "(this base's outputs and r)");
    if (!rc)
        rc = rr_merger_take(r, &x, a, &r->arena);
    if (!rc)
        rc = rr_merger_take(r, &y, b, &r->arena);
    if (rc)
        return rc;
    const struct rr_lora f = {
        .name = name, .a = x, .b = y, .rank = rank, .scale = alpha / rank, .pairs = true};
    return rr_merger_add(r, t, m, &f);
}

static int apply_layer(struct rr_merger *r, int at, double alpha)
{
    struct rr_layer *l = &r->w->model.layers[at];
    const struct rr_names *n = &rr_names_gguf;
    struct rr_tensor *const all[RR_LM_N] = {&l->wq,   &l->wk, &l->wv,  &l->wo,
                                            &l->gate, &l->up, &l->down};
    const char *const names[RR_LM_N] = {n->wq, n->wk, n->wv, n->wo, n->gate, n->up, n->down};
    int rc = RR_OK;
    for (int m = 0; m < RR_LM_N && !rc; m++) {
        char name[80];
        snprintf(name, sizeof name, names[m], at);
        rc = apply_matrix(r, name, all[m], (enum rr_lm_matrix)m, alpha);
    }
    return rc;
}

int rr_adapter_apply_gguf(struct rr_merger *r, const void *bytes, size_t n)
{
    struct rr_gguf g;
    double alpha;
    int rc = rr_gguf_parse(&g, bytes, n, r->file, r->err);
    if (rc)
        return rc;
    r->tensors = g.tensors;
    r->n = g.n_tensors;
    rc = rr_merger_begin(r);
    if (!rc)
        rc = check_keys(r, &g, &alpha);
    for (int i = 0; i < r->w->model.h.n_layers && !rc; i++)
        rc = apply_layer(r, i, alpha);
    if (!rc && !r->report->n_merged)
        rc = rr_merger_no_match(r);
    if (!rc)
        rc = rr_merger_end(r);
    r->tensors = NULL; /* g's */
    r->n = 0;
    rr_gguf_free(&g);
    return rc;
}
