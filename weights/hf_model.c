/* A Hugging Face folder: config.json, model.safetensors or its shards, tokenizer.model. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/json.h"
#include "engine/base/limits.h"
#include "weights/safetensors.h"
#include "weights/weights.h"

struct config {
    const char *file;
    const struct rr_json *root;
    struct rr_error *err;
};

#define BAD(c, code, key, json, ...)                                                               \
    rr_fail((c)->err, RR_ERR_DATA, code,                                                           \
            &(struct rr_where){.file = (c)->file,                                                  \
                               .object = (key),                                                    \
                               .offset = (json) ? (long long)(json)->offset : -1},                 \
            __VA_ARGS__)

static bool is_null(const struct rr_json *v)
{
    return !v || v->type == RR_JSON_NULL;
}

/* fallback 0: the key must be there. */
static int get_int(const struct config *c, int *out, const char *key, int fallback)
{
    const struct rr_json *v = rr_json_get(c->root, key);
    int64_t x = fallback;
    if (is_null(v) && !fallback)
        return BAD(c, "HPARAM", key, v, "this key is missing");
    if (!is_null(v) && !rr_json_int(&x, v, 1, INT32_MAX))
        return BAD(c, "HPARAM", key, v, "is %s; expected a whole number from 1 to 2^31-1",
                   v->type == RR_JSON_NUMBER ? v->text : rr_json_type_name(v->type));
    *out = (int)x;
    return RR_OK;
}

static int get_double(const struct config *c, double *out, const struct rr_json *in,
                      const char *key, double fallback)
{
    const struct rr_json *v = rr_json_get(in, key);
    if (!is_null(v) && v->type != RR_JSON_NUMBER)
        return BAD(c, "HPARAM", key, v, "is %s; expected a number", rr_json_type_name(v->type));
    *out = is_null(v) ? fallback : v->number;
    return RR_OK;
}

static int read_rope(const struct config *c, struct rr_hparams *h)
{
    /* Newer files keep the base inside rope_parameters, older ones beside rope_scaling. */
    const struct rr_json *s = rr_json_get(c->root, "rope_scaling");
    double turning = 1;
    int rc;
    if (is_null(s))
        s = rr_json_get(c->root, "rope_parameters");
    if ((rc = get_double(c, &h->rope.theta, c->root, "rope_theta", 10000)) != 0 ||
        (rc = get_double(c, &turning, c->root, "partial_rotary_factor", 1)) != 0)
        return rc;
    if (turning != 1)
        return BAD(c, "UNSUPPORTED", "partial_rotary_factor",
                   rr_json_get(c->root, "partial_rotary_factor"), "only 1 is supported");
    if (is_null(s))
        return RR_OK;
    if (s->type != RR_JSON_OBJECT)
        return BAD(c, "HPARAM", "rope_scaling", s, "is %s; expected an object",
                   rr_json_type_name(s->type));
    if ((rc = get_double(c, &h->rope.theta, s, "rope_theta", h->rope.theta)) != 0)
        return rc;
    const struct rr_json *type = rr_json_get(s, "rope_type");
    type = type ? type : rr_json_get(s, "type");
    if (rr_json_is_string(type, "default"))
        return RR_OK;
    if (rr_json_is_string(type, "linear")) {
        h->rope.scaling = RR_ROPE_LINEAR;
    } else if (rr_json_is_string(type, "llama3")) {
        double old = 0;
        h->rope.scaling = RR_ROPE_LLAMA3;
        if ((rc = get_double(c, &h->rope.low_freq_factor, s, "low_freq_factor", 0)) != 0 ||
            (rc = get_double(c, &h->rope.high_freq_factor, s, "high_freq_factor", 0)) != 0 ||
            (rc = get_double(c, &old, s, "original_max_position_embeddings", 0)) != 0)
            return rc;
        h->rope.original_context = old >= 1 && old <= RR_MAX_CONTEXT ? (int)old : 0;
    } else {
        return BAD(
            c, "UNSUPPORTED", "rope_scaling", s, "type '%s'; supported are default, linear, llama3",
            type && type->type == RR_JSON_STRING ? rr_show(type->text, type->n_text).s : "(none)");
    }
    return get_double(c, &h->rope.factor, s, "factor", 0);
}

static int get_flag(const struct config *c, bool *out, const char *key)
{
    const struct rr_json *v = rr_json_get(c->root, key);
    if (!is_null(v) && v->type != RR_JSON_BOOL)
        return BAD(c, "HPARAM", key, v, "is %s; expected true or false",
                   rr_json_type_name(v->type));
    *out = !is_null(v) && v->truth;
    return RR_OK;
}

static int refuse_true(const struct config *c, const char *key)
{
    bool set;
    int rc = get_flag(c, &set, key);
    if (!rc && set)
        rc = BAD(c, "UNSUPPORTED", key, rr_json_get(c->root, key),
                 "is true; only models without biases are supported");
    return rc;
}

static int read_config(const struct config *c, struct rr_hparams *h, bool *tied)
{
    const struct rr_json *type = rr_json_get(c->root, "model_type"), *v;
    int rc, default_dim;
    if (!rr_json_is_string(type, "llama"))
        return BAD(c, "ARCH", "model_type", type, "%s; expected \"llama\"",
                   type && type->type == RR_JSON_STRING ? rr_show(type->text, type->n_text).s
                                                        : "is missing");
    if (!is_null(v = rr_json_get(c->root, "quantization_config")))
        return BAD(c, "UNSUPPORTED_QUANT", "quantization_config", v,
                   "weights quantised by another library; give the original ones or a GGUF file");
    v = rr_json_get(c->root, "hidden_act");
    if (!is_null(v) && !rr_json_is_string(v, "silu"))
        return BAD(c, "UNSUPPORTED", "hidden_act", v, "only \"silu\" is supported");
    if ((rc = refuse_true(c, "attention_bias")) != 0 || (rc = refuse_true(c, "mlp_bias")) != 0 ||
        (rc = get_int(c, &h->n_embd, "hidden_size", 0)) != 0 ||
        (rc = get_int(c, &h->n_ff, "intermediate_size", 0)) != 0 ||
        (rc = get_int(c, &h->n_layers, "num_hidden_layers", 0)) != 0 ||
        (rc = get_int(c, &h->n_heads, "num_attention_heads", 0)) != 0 ||
        (rc = get_int(c, &h->n_kv_heads, "num_key_value_heads", h->n_heads)) != 0 ||
        (rc = get_int(c, &h->n_vocab, "vocab_size", 0)) != 0 ||
        (rc = get_int(c, &h->n_context, "max_position_embeddings", 2048)) != 0 ||
        (rc = get_double(c, &h->rms_eps, c->root, "rms_norm_eps", 1e-6)) != 0)
        return rc;
    default_dim = h->n_embd / h->n_heads;
    if (is_null(rr_json_get(c->root, "head_dim")) && (default_dim == 0 || h->n_embd % h->n_heads))
        return BAD(c, "HPARAM", "num_attention_heads", rr_json_get(c->root, "num_attention_heads"),
                   "%d heads do not divide the hidden size %d", h->n_heads, h->n_embd);
    if ((rc = get_int(c, &h->head_dim, "head_dim", default_dim ? default_dim : 1)) != 0)
        return rc;
    if ((rc = get_flag(c, tied, "tie_word_embeddings")) != 0)
        return rc;
    return read_rope(c, h);
}

/* rr_hparams_check knows no files: where the value that it refuses stands. */
static void point_at_key(const struct config *c)
{
    static const char *const keys[][2] = {{"n_layers", "num_hidden_layers"},
                                          {"n_embd", "hidden_size"},
                                          {"n_heads", "num_attention_heads"},
                                          {"n_kv_heads", "num_key_value_heads"},
                                          {"head_dim", "head_dim"},
                                          {"n_ff", "intermediate_size"},
                                          {"n_vocab", "vocab_size"},
                                          {"n_context", "max_position_embeddings"},
                                          {"rms_eps", "rms_norm_eps"},
                                          {"rope theta", "rope_theta"},
                                          {"rope scaling factor", "rope_scaling"},
                                          {"rope frequency factors", "rope_scaling"},
                                          {"rope original context", "rope_scaling"}};
    for (size_t i = 0; c->err && i < sizeof keys / sizeof keys[0]; i++) {
        const struct rr_json *v = rr_json_get(c->root, keys[i][1]);
        if (v && strcmp(c->err->object, keys[i][0]) == 0)
            c->err->offset = (long long)v->offset;
    }
}

/* Reads dir/name whole as JSON; *root is NULL when the file does not exist and may be missing. */
static int read_json(struct rr_weights *w, const char *name, bool optional, const char **file,
                     struct rr_json **root, struct rr_error *err)
{
    struct rr_map map;
    *root = NULL;
    char *path = rr_path_join(w->path, name);
    *file = path ? rr_arena_copy(&w->arena, path, strlen(path)) : NULL;
    rr_free(path);
    if (!*file)
        return rr_fail_memory(err, name, 0);
    if (optional && !rr_path_exists(*file))
        return RR_OK;
    int rc = rr_map_open(&map, *file, err);
    if (rc)
        return rc;
    if (map.size > RR_MAX_CONFIG_FILE)
        rc = rr_fail(err, RR_ERR_DATA, "TOO_LARGE", RR_AT_FILE(*file),
                     "%zu bytes; at most %u are read", map.size, RR_MAX_CONFIG_FILE);
    else
        rc = rr_json_parse(root, &w->arena, (const char *)map.data, map.size, *file, 0, err);
    rr_map_close(&map);
    return rc;
}

struct tensor_list {
    struct rr_stored *v;
    size_t n, cap;
};

static int add_file(struct rr_weights *w, struct tensor_list *list, const char *name,
                    struct rr_error *err)
{
    const struct rr_map *map;
    char *path = rr_path_join(w->path, name);
    if (!path)
        return rr_fail_memory(err, name, 0);
    int rc = rr_weights_map(w, path, &map, err);
    if (!rc)
        rc = rr_safetensors_parse(&list->v, &list->n, &list->cap, &w->arena, map->data, map->size,
                                  path, err);
    rr_free(path);
    return rc;
}

static bool plain_file_name(const char *s, size_t n)
{
    return n > 0 && n < 256 && !memchr(s, '/', n) && !memchr(s, 0, n) && !memchr(s, '\\', n) &&
           s[0] != '.';
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct rr_stored *)a)->name, ((const struct rr_stored *)b)->name);
}

static bool is_in(const struct rr_stored *t, const char *name)
{
    const char *slash = strrchr(t->file, '/');
    return strcmp(slash ? slash + 1 : t->file, name) == 0;
}

/* Every tensor that the index names is in the file that it names. One in two files is found when
 * the tensors are bound. */
static int check_index(struct rr_weights *w, struct tensor_list *list, const struct rr_json *index,
                       const char *file, struct rr_error *err)
{
    uint64_t bytes = 0;
    int64_t said;
    if (list->n)
        qsort(list->v, list->n, sizeof *list->v, by_name);
    for (size_t i = 0; i < list->n; i++)
        bytes += list->v[i].n_bytes;
    for (const struct rr_json *m = rr_json_get(index, "weight_map")->child; m; m = m->next) {
        const struct rr_stored key = {.name = m->key}, *t = NULL;
        if (list->n)
            t = bsearch(&key, list->v, list->n, sizeof key, by_name);
        while (t && t > list->v && strcmp(t[-1].name, m->key) == 0)
            t--;
        while (t && !is_in(t, m->text))
            t = t + 1 < list->v + list->n && strcmp(t[1].name, m->key) == 0 ? t + 1 : NULL;
        if (!t)
            return rr_fail(err, RR_ERR_DATA, "INDEX", RR_AT_BYTE(file, m->key, m->offset),
                           "%s does not hold this tensor: the index belongs to other files",
                           rr_show(m->text, m->n_text).s);
    }
    const struct rr_json *total = rr_json_get(rr_json_get(index, "metadata"), "total_size");
    if (!is_null(total) && (!rr_json_int(&said, total, 0, INT64_MAX) || (uint64_t)said != bytes))
        (void)rr_fail(rr_weights_warn(w), RR_ERR_DATA, "INDEX",
                      RR_AT_BYTE(file, "total_size", total->offset),
                      "the files' tensors have %llu bytes", (unsigned long long)bytes);
    return RR_OK;
}

/* model.safetensors.index.json: { "weight_map": { tensor: file } }. Each file is read once,
 * whole. */
static int add_shards(struct rr_weights *w, struct tensor_list *list, const struct rr_json *index,
                      const char *file, struct rr_error *err)
{
    const struct rr_json *map = rr_json_get(index, "weight_map");
    int rc = RR_OK;
    if (!map || map->type != RR_JSON_OBJECT || !map->child)
        return rr_fail(err, RR_ERR_DATA, "INDEX", RR_AT_OBJECT(file, "weight_map"),
                       "is missing or not an object of file names");
    if (map->n_children > RR_MAX_TENSORS)
        return rr_fail(err, RR_ERR_DATA, "COUNT", RR_AT_OBJECT(file, "weight_map"),
                       "%zu tensors; at most %u allowed", map->n_children, RR_MAX_TENSORS);
    const struct rr_json *shards[1024];
    int n_shards = 0;
    for (const struct rr_json *m = map->child; m && !rc; m = m->next) {
        int i = 0;
        if (m->type != RR_JSON_STRING || !plain_file_name(m->text, m->n_text))
            return rr_fail(err, RR_ERR_DATA, "PATH_ESCAPE", RR_AT_BYTE(file, m->key, m->offset),
                           "'%s' is not the plain name of a file in this folder",
                           m->type == RR_JSON_STRING ? rr_show(m->text, m->n_text).s
                                                     : rr_json_type_name(m->type));
        while (i < n_shards && strcmp(shards[i]->text, m->text) != 0)
            i++;
        if (i < n_shards)
            continue;
        if (n_shards == 1024)
            return rr_fail(err, RR_ERR_DATA, "COUNT", RR_AT_OBJECT(file, "weight_map"),
                           "more than 1024 files");
        shards[n_shards++] = m;
        rc = add_file(w, list, m->text, err);
    }
    return rc ? rc : check_index(w, list, index, file, err);
}

/* The folder's tensors: the shards that the index names, or the one file. */
static int add_files(struct rr_weights *w, struct tensor_list *list, struct rr_error *err)
{
    struct rr_json *index;
    const char *index_file;
    int rc = read_json(w, "model.safetensors.index.json", true, &index_file, &index, err);
    if (rc)
        return rc;
    if (index)
        return add_shards(w, list, index, index_file, err);
    rc = add_file(w, list, "model.safetensors", err);
    if (rc != RR_ERR_OPEN)
        return rc;
    char *pickle = rr_path_join(w->path, "pytorch_model.bin");
    if (pickle && rr_path_exists(pickle))
        rc = rr_fail(err, RR_ERR_DATA, "UNSUPPORTED", RR_AT_FILE(pickle),
                     "PyTorch pickle files are not supported: convert to safetensors");
    rr_free(pickle);
    return rc;
}

static void warn_of_head(struct rr_weights *w, const struct rr_stored *list, size_t n)
{
    const struct rr_stored *embed = NULL, *head = NULL;
    for (size_t i = 0; i < n; i++) {
        embed = strcmp(list[i].name, rr_names_hf.embed) == 0 ? &list[i] : embed;
        head = strcmp(list[i].name, rr_names_hf.head) == 0 ? &list[i] : head;
    }
    if (embed && head &&
        (head->n_bytes != embed->n_bytes || memcmp(head->data, embed->data, head->n_bytes) != 0))
        (void)rr_fail(rr_weights_warn(w), RR_ERR_DATA, "TIED_HEAD",
                      RR_AT_BYTE(head->file, head->name, head->offset),
                      "differs from the embeddings and is not used: config.json says "
                      "tie_word_embeddings");
}

/* A token's id, or none: null, and what is no token of the model, which some files name. */
static int token_id(const struct rr_weights *w, const struct rr_json *v)
{
    int64_t id;
    return rr_json_int(&id, v, 0, w->model.h.n_vocab - 1) ? (int)id : -1;
}

/* The ids that config.json or generation_config.json names: one that ends a text, or several. */
static void name_tokens(struct rr_weights *w, const struct rr_json *root)
{
    struct rr_special *s = &w->special;
    const struct rr_json *eos = rr_json_get(root, "eos_token_id");
    const int bos = token_id(w, rr_json_get(root, "bos_token_id")),
              pad = token_id(w, rr_json_get(root, "pad_token_id"));
    s->bos = bos < 0 ? s->bos : bos;
    s->pad = pad < 0 ? s->pad : pad;
    const bool several = eos && eos->type == RR_JSON_ARRAY;
    for (const struct rr_json *v = several ? eos->child : eos; v; v = several ? v->next : NULL)
        if (token_id(w, v) >= 0 && s->n_ends < RR_MAX_ENDS)
            s->ends[s->n_ends++] = token_id(w, v);
}

/* A tokenizer that cannot be used is remembered, not fatal: logits and inspect do without. */
static int read_tokenizer(struct rr_weights *w, struct rr_error *err)
{
    char *path = rr_tokenizer_inside(w->path);
    if (!path)
        return rr_fail_memory(err, "tokenizer.model", 0);
    if (rr_path_exists(path))
        rr_tokenizer_for_model(&w->tokenizer, path, (size_t)w->model.h.n_vocab,
                               &w->tokenizer_error);
    rr_free(path);
    return RR_OK;
}

static int read_specials(struct rr_weights *w, const struct rr_json *config, struct rr_error *err)
{
    struct rr_json *more;
    const char *file;
    int rc = read_json(w, "generation_config.json", true, &file, &more, err);
    name_tokens(w, config);
    name_tokens(w, more);
    return rc;
}

/* No config.json: a folder of something else. */
static int say_what_is_there(struct rr_weights *w, int rc, struct rr_error *err)
{
    char *path = rr_tokenizer_inside(w->path);
    if (path && rr_path_exists(path))
        rc = rr_fail(err, RR_ERR_OPEN, "NOT_A_MODEL", RR_AT_FILE(w->path),
                     "has a tokenizer and no config.json, so no model: recrank tokenize reads it");
    rr_free(path);
    return rc;
}

int rr_weights_read_hf(struct rr_weights *w, struct rr_error *err)
{
    struct config c = {.err = err};
    struct rr_json *root;
    struct tensor_list list = {0};
    bool tied = false;
    int rc = read_json(w, "config.json", false, &c.file, &root, err);
    c.root = root;
    if (rc == RR_ERR_OPEN && c.file && !rr_path_exists(c.file))
        rc = say_what_is_there(w, rc, err);
    if (!rc)
        rc = read_config(&c, &w->model.h, &tied);
    if (!rc)
        rc = rr_hparams_check(&w->model.h, c.file, err);
    if (rc == RR_ERR_DATA)
        point_at_key(&c);
    if (!rc)
        rc = add_files(w, &list, err);
    if (!rc)
        rc = rr_bind_tensors(&w->model, &w->arena, list.v, list.n, &rr_names_hf, w->path, err);
    if (!rc && tied) {
        /* As Hugging Face does: the flag wins over a head that is stored all the same. */
        warn_of_head(w, list.v, list.n);
        w->model.head = w->model.embed;
        w->model.tied = true;
    }
    if (!rc && w->model.tied && !tied)
        rc = rr_fail(err, RR_ERR_DATA, "TENSORS", RR_AT_OBJECT(w->path, "lm_head.weight"),
                     "is missing, and config.json does not say tie_word_embeddings");
    if (!rc)
        rc = read_specials(w, c.root, err);
    if (!rc && !w->other_tokenizer)
        rc = read_tokenizer(w, err);
    if (!rc) {
        struct rr_stored *kept = rr_arena_alloc(&w->arena, list.n, sizeof *kept);
        if (kept)
            rr_copy(kept, list.v, list.n * sizeof *kept);
        w->tensors = kept;
        w->n_tensors = list.n;
        w->format = "safetensors";
        rc = kept ? RR_OK : rr_fail_memory(err, "tensors", list.n * sizeof *kept);
    }
    rr_free(list.v);
    return rc;
}
