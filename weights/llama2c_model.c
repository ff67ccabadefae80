/* llama2.c's float32 .bin ("version 0"): seven int32, then the tensors in a fixed order, nothing
 * else. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "engine/base/cursor.h"
#include "engine/base/limits.h"
#include "weights/weights.h"

#define HEADER_BYTES 28

struct taker {
    struct rr_weights *w;
    struct rr_stored *list;
    size_t n;
    const unsigned char *data;
    uint64_t at; /* bytes taken so far */
};

/* The next tensor of the file. rows 0: a vector. */
static void take(struct taker *t, const char *name, int layer, uint64_t rows, uint64_t cols)
{
    char text[RR_MAX_TENSOR_NAME];
    snprintf(text, sizeof text, name, layer);
    struct rr_stored *s = &t->list[t->n++];
    const int n_dims = rows ? 2 : 1;
    *s = (struct rr_stored){.name = rr_arena_copy(&t->w->arena, text, strlen(text)),
                            .file = t->w->path,
                            .type = RR_TYPE_F32,
                            .type_name = "F32",
                            .n_dims = n_dims,
                            .n_bytes = (rows ? rows : 1) * cols * sizeof(float),
                            .data = t->data + t->at,
                            .offset = HEADER_BYTES + t->at};
    s->shape[0] = rows ? rows : cols;
    s->shape[1] = cols;
    t->at += s->n_bytes;
}

static void take_layers(struct taker *t, const char *name, int n_layers, uint64_t rows,
                        uint64_t cols)
{
    for (int l = 0; l < n_layers; l++)
        take(t, name, l, rows, cols);
}

/* Names are GGUF's, whose order of rotation is llama2.c's too. */
static void take_all(struct taker *t, const struct rr_hparams *h, bool tied)
{
    const uint64_t d = (uint64_t)h->n_embd, ff = (uint64_t)h->n_ff, v = (uint64_t)h->n_vocab;
    const uint64_t kv = (uint64_t)h->n_kv_heads * (uint64_t)h->head_dim;
    const struct rr_names *n = &rr_names_gguf;
    take(t, n->embed, 0, v, d);
    take_layers(t, n->attn_norm, h->n_layers, 0, d);
    take_layers(t, n->wq, h->n_layers, d, d);
    take_layers(t, n->wk, h->n_layers, kv, d);
    take_layers(t, n->wv, h->n_layers, kv, d);
    take_layers(t, n->wo, h->n_layers, d, d);
    take_layers(t, n->ffn_norm, h->n_layers, 0, d);
    take_layers(t, n->gate, h->n_layers, ff, d);
    take_layers(t, n->down, h->n_layers, d, ff);
    take_layers(t, n->up, h->n_layers, ff, d);
    take(t, n->out_norm, 0, 0, d);
    t->at += (uint64_t)h->n_context * (uint64_t)h->head_dim *
             sizeof(float); /* cos and sin tables, which we make ourselves */
    if (!tied)
        take(t, n->head, 0, v, d);
}

/* Bytes of all tensors, in double: the numbers are checked, but their product may be large. */
static double file_bytes(const struct rr_hparams *h, bool tied)
{
    const double d = h->n_embd, kv = (double)h->n_kv_heads * h->head_dim;
    const double layer = 2 * d + 2 * d * d + 2 * kv * d + 3 * (double)h->n_ff * d;
    return HEADER_BYTES + 4 * (h->n_vocab * d * (tied ? 1 : 2) + h->n_layers * layer + d +
                               (double)h->n_context * h->head_dim);
}

int rr_weights_read_llama2c(struct rr_weights *w, struct rr_error *err)
{
    const struct rr_map *map;
    struct rr_hparams *h = &w->model.h;
    int rc = rr_weights_map(w, w->path, &map, err);
    if (rc)
        return rc;
    if (map->size < HEADER_BYTES)
        return rr_fail(err, RR_ERR_DATA, "TRUNCATED", RR_AT_BYTE(w->path, "header", map->size),
                       "the file has %zu bytes; a llama2.c header has %d", map->size, HEADER_BYTES);
    int32_t v[7];
    for (int i = 0; i < 7; i++)
        v[i] = (int32_t)rr_load_u32(map->data + 4 * i);
    const bool tied = v[5] > 0; /* llama2.c signals a separate head by a negative size */
    *h = (struct rr_hparams){.n_embd = v[0],
                             .n_ff = v[1],
                             .n_layers = v[2],
                             .n_heads = v[3],
                             .n_kv_heads = v[4],
                             .n_vocab = v[5] == INT32_MIN ? 0
                                        : v[5] < 0        ? -v[5]
                                                          : v[5],
                             .n_context = v[6],
                             .rms_eps = 1e-5};
    h->rope.theta = 10000;
    h->rope.interleaved = true;
    if (h->n_heads < 1 || h->n_embd % h->n_heads)
        return rr_fail(err, RR_ERR_DATA, "HPARAM", RR_AT_BYTE(w->path, "n_heads", 12),
                       "%d heads do not divide the embedding length %d", h->n_heads, h->n_embd);
    h->head_dim = h->n_embd / h->n_heads;
    if ((rc = rr_hparams_check(h, w->path, err)) != 0)
        return rc;
    const double bytes = file_bytes(h, tied);
    if ((double)map->size != bytes)
        return rr_fail(
            err, RR_ERR_DATA, (double)map->size < bytes ? "TRUNCATED" : "TRAILING",
            RR_AT_BYTE(w->path, "tensors", HEADER_BYTES),
            "the file has %zu bytes; its header (dim %d, %d layers, vocabulary %d) needs %.0f",
            map->size, h->n_embd, h->n_layers, h->n_vocab, bytes);
    const size_t n = 3 + 9 * (size_t)h->n_layers;
    struct taker t = {.w = w,
                      .data = map->data + HEADER_BYTES,
                      .list = rr_arena_alloc(&w->arena, n, sizeof *t.list)};
    if (!t.list)
        return rr_fail_memory(err, "tensors", n * sizeof *t.list);
    take_all(&t, h, tied);
    for (size_t i = 0; i < t.n; i++)
        if (!t.list[i].name)
            return rr_fail_memory(err, "tensor names", n);
    w->format = "llama2.c";
    w->tensors = t.list;
    w->n_tensors = t.n;
    return rr_bind_tensors(&w->model, &w->arena, t.list, t.n, &rr_names_gguf, w->path, err);
}
