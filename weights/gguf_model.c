/* What the keys of a LLaMA GGUF mean: hyper-parameters. The tensors' names are in bind.c, the
 * tokenizer in gguf_tokenizer.c. */
#include "weights/gguf.h"

#include <string.h>
#include "weights/weights.h"

/* Where the value of a key stands; -1: the file has none. */
static long long key_offset(const struct rr_gguf *g, const char *key)
{
    const struct rr_gguf_kv *kv = rr_gguf_find(g, key);
    return kv ? (long long)kv->offset : -1;
}

#define BAD(g, code, key, ...)                                                                     \
    rr_fail(err, RR_ERR_DATA, code, RR_AT_BYTE((g)->file, key, key_offset(g, key)), __VA_ARGS__)

static int need_int(int *out, const struct rr_gguf *g, const char *key, int64_t fallback,
                    struct rr_error *err)
{
    int64_t v = fallback;
    int rc = rr_gguf_get_int(&v, g, key, err);
    if (rc)
        return rc;
    if (v == fallback && fallback < 0)
        return BAD(g, "HPARAM", key, "this key is missing");
    if (v < 1 || v > INT32_MAX)
        return BAD(g, "HPARAM", key, "%lld; expected 1 to 2^31-1", (long long)v);
    *out = (int)v;
    return RR_OK;
}

static int read_rope(struct rr_hparams *h, struct rr_gguf *g, struct rr_error *err)
{
    const char *scaling = NULL;
    double factor = 0;
    int rc, n_rot = 0;
    h->rope.theta = 10000;
    h->rope.interleaved = true;
    if ((rc = rr_gguf_get_float(&h->rope.theta, g, "llama.rope.freq_base", err)) != 0 ||
        (rc = rr_gguf_get_string(&scaling, g, "llama.rope.scaling.type", err)) != 0 ||
        (rc = rr_gguf_get_float(&factor, g, "llama.rope.scaling.factor", err)) != 0 ||
        (rc = need_int(&n_rot, g, "llama.rope.dimension_count", h->head_dim, err)) != 0)
        return rc;
    if (!factor && (rc = rr_gguf_get_float(&factor, g, "llama.rope.scale_linear", err)) != 0)
        return rc;
    if (n_rot != h->head_dim)
        return BAD(g, "UNSUPPORTED", "llama.rope.dimension_count",
                   "%d of %d dimensions rotate; only all of them are supported", n_rot,
                   h->head_dim);
    /* As llama.cpp: a factor alone is a linear one, and "none" means none, whatever the factor. */
    if (scaling ? strcmp(scaling, "linear") == 0 : factor && factor != 1) {
        h->rope.scaling = RR_ROPE_LINEAR;
        h->rope.factor = factor;
    } else if (scaling && strcmp(scaling, "none") != 0) {
        return BAD(g, "UNSUPPORTED", "llama.rope.scaling.type",
                   "'%s'; supported are none, linear, and llama3 as the tensor rope_freqs.weight",
                   rr_show(scaling, strlen(scaling)).s);
    }
    return RR_OK;
}

static int read_hparams(struct rr_hparams *h, struct rr_gguf *g, struct rr_error *err)
{
    const char *arch = NULL;
    int rc = rr_gguf_get_string(&arch, g, "general.architecture", err);
    if (rc == RR_ERR_MEMORY)
        return rc;
    if (rc)
        return BAD(g, "ARCH", "general.architecture", "is not a string; expected \"llama\"");
    if (!arch || strcmp(arch, "llama") != 0)
        return BAD(g, "ARCH", "general.architecture", "%s%s; expected llama",
                   arch ? "" : "is missing", arch ? rr_show(arch, strlen(arch)).s : "");
    if ((rc = need_int(&h->n_layers, g, "llama.block_count", -1, err)) != 0 ||
        (rc = need_int(&h->n_embd, g, "llama.embedding_length", -1, err)) != 0 ||
        (rc = need_int(&h->n_ff, g, "llama.feed_forward_length", -1, err)) != 0 ||
        (rc = need_int(&h->n_heads, g, "llama.attention.head_count", -1, err)) != 0 ||
        (rc = need_int(&h->n_kv_heads, g, "llama.attention.head_count_kv", h->n_heads, err)) != 0 ||
        (rc = need_int(&h->n_context, g, "llama.context_length", -1, err)) != 0)
        return rc;
    if (h->n_embd % h->n_heads && !rr_gguf_find(g, "llama.attention.key_length"))
        return BAD(g, "HPARAM", "llama.attention.head_count",
                   "%d heads do not divide the embedding length %d", h->n_heads, h->n_embd);
    int value_length = 0;
    if ((rc = need_int(&h->head_dim, g, "llama.attention.key_length", h->n_embd / h->n_heads,
                       err)) != 0 ||
        (rc = need_int(&value_length, g, "llama.attention.value_length", h->head_dim, err)) != 0)
        return rc;
    if (value_length != h->head_dim)
        return BAD(g, "UNSUPPORTED", "llama.attention.value_length",
                   "%d differs from the key length %d", value_length, h->head_dim);
    h->rms_eps = 0;
    if ((rc = rr_gguf_get_float(&h->rms_eps, g, "llama.attention.layer_norm_rms_epsilon", err)) !=
        0)
        return rc;
    return read_rope(h, g, err);
}

/* rr_hparams_check knows no files: where the value that it refuses stands. */
static void point_at_key(struct rr_error *err, const struct rr_gguf *g)
{
    static const char *const keys[][2] = {{"n_layers", "llama.block_count"},
                                          {"n_embd", "llama.embedding_length"},
                                          {"n_heads", "llama.attention.head_count"},
                                          {"n_kv_heads", "llama.attention.head_count_kv"},
                                          {"head_dim", "llama.attention.key_length"},
                                          {"n_ff", "llama.feed_forward_length"},
                                          {"n_context", "llama.context_length"},
                                          {"rms_eps", "llama.attention.layer_norm_rms_epsilon"},
                                          {"rope theta", "llama.rope.freq_base"},
                                          {"rope scaling factor", "llama.rope.scaling.factor"}};
    for (size_t i = 0; err && i < sizeof keys / sizeof keys[0]; i++)
        if (strcmp(err->object, keys[i][0]) == 0)
            err->offset = key_offset(g, keys[i][1]);
}

/* The vocabulary's size is that of the embedding table, whatever a key may say. */
static int vocab_size(struct rr_hparams *h, const struct rr_gguf *g, struct rr_error *err)
{
    for (size_t i = 0; i < g->n_tensors; i++) {
        const struct rr_stored *t = &g->tensors[i];
        if (strcmp(t->name, rr_names_gguf.embed) == 0 && t->n_dims == 2 &&
            t->shape[0] <= INT32_MAX) {
            h->n_vocab = (int)t->shape[0];
            return RR_OK;
        }
    }
    return rr_fail(err, RR_ERR_DATA, "TENSORS", RR_AT_OBJECT(g->file, rr_names_gguf.embed),
                   "this tensor is missing or no matrix; the file has %zu tensors%s", g->n_tensors,
                   g->n_tensors ? "" : " (a vocabulary only)");
}

/* Strings under RR_NOTE_PREFIX. */
static int read_notes(struct rr_weights *w, struct rr_gguf *g, struct rr_error *err)
{
    const size_t prefix = strlen(RR_NOTE_PREFIX);
    struct rr_note *notes = rr_arena_alloc(&w->arena, g->n_kvs + 1, sizeof *notes);
    if (!notes)
        return rr_fail_memory(err, "notes", g->n_kvs * sizeof *notes);
    w->notes = notes;
    for (size_t i = 0; i < g->n_kvs; i++) {
        const char *key = g->kvs[i].key, *value = NULL;
        if (strncmp(key, RR_NOTE_PREFIX, prefix) != 0)
            continue;
        int rc = rr_gguf_get_string(&value, g, key, err);
        if (rc < 0)
            return rc;
        if (value && strlen(value) != g->kvs[i].n_bytes)
            return rr_fail(err, RR_ERR_DATA, "NOTE", RR_AT_OBJECT(w->path, key),
                           "a zero byte in a text");
        if (!rc && value)
            notes[w->n_notes++] = (struct rr_note){key + prefix, value};
    }
    return RR_OK;
}

int rr_weights_read_gguf(struct rr_weights *w, struct rr_error *err)
{
    const struct rr_map *map;
    struct rr_gguf g;
    int rc = rr_weights_map(w, w->path, &map, err);
    if (!rc)
        rc = rr_gguf_parse(&g, map->data, map->size, w->path, err);
    if (rc)
        return rc;
    rc = read_hparams(&w->model.h, &g, err);
    if (!rc)
        rc = vocab_size(&w->model.h, &g, err);
    if (!rc)
        rc = rr_hparams_check(&w->model.h, w->path, err);
    if (rc == RR_ERR_DATA)
        point_at_key(err, &g);
    if (!rc)
        rc = rr_bind_tensors(&w->model, &w->arena, g.tensors, g.n_tensors, &rr_names_gguf, w->path,
                             err);
    /* A tokenizer that cannot be used is remembered, not fatal: logits and inspect do without. */
    if (!rc && !w->other_tokenizer)
        rr_tokenizer_from_gguf(&w->tokenizer, &g, &w->tokenizer_error);
    else if (!rc)
        rc = rr_special_from_gguf(&w->special, &g, (size_t)w->model.h.n_vocab, err);
    if (!rc)
        rc = read_notes(w, &g, err);
    if (rc) {
        rr_gguf_free(&g);
        return rc;
    }
    if (g.warning.status) {
        struct rr_error *warning = rr_weights_warn(w);
        if (warning)
            *warning = g.warning;
    }
    w->format = g.version == 3 ? "GGUF v3" : "GGUF v2";
    w->tensors = g.tensors;
    w->n_tensors = g.n_tensors;
    /* The names and the tensor list live on in the parser's arena: chain it behind ours. */
    rr_arena_join(&w->arena, &g.arena);
    return RR_OK;
}
