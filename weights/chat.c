/* Where models keep their chat template: a GGUF key; beside a Hugging Face tokenizer
 * chat_template.jinja, which wins where it is, or chat_template in tokenizer_config.json. */
#include <string.h>
#include "engine/base/json.h"
#include "engine/base/limits.h"
#include "weights/gguf.h"
#include "weights/weights.h"

#define KEY "chat_template"
#define GGUF_KEY "tokenizer.chat_template"
/* What is done with a template that was found. */
struct taker {
    int (*take)(void *arg, const char *text, size_t n, const struct rr_where *where,
                struct rr_error *err);
    void *arg;
};

#define BY_HAND "; --chat=NAME applies one of " RR_CHAT_NAMES " all the same"

static int from_gguf(const struct taker *t, const void *bytes, size_t n, const char *file,
                     struct rr_error *err)
{
    struct rr_gguf g;
    int rc = rr_gguf_parse(&g, bytes, n, file, err);
    if (rc)
        return rc;
    const struct rr_gguf_kv *kv = rr_gguf_find(&g, GGUF_KEY);
    if (!kv)
        rc = rr_fail(err, RR_ERR_DATA, "NO_CHAT_TEMPLATE", RR_AT_OBJECT(file, GGUF_KEY),
                     "the file has no such key, so no chat template" BY_HAND);
    else if (kv->type != RR_GGUF_STRING)
        rc = rr_fail(err, RR_ERR_DATA, "CHAT_TEMPLATE", RR_AT_BYTE(file, GGUF_KEY, kv->offset),
                     "is no string" BY_HAND);
    else
        rc = t->take(t->arg, (const char *)kv->data, (size_t)kv->n,
                     RR_AT_BYTE(file, GGUF_KEY, kv->offset), err);
    rr_gguf_free(&g);
    return rc;
}

/* A string, or an array of {name, template}: then the one that is called default. */
static int from_value(const struct taker *t, const struct rr_json *v, const char *file,
                      struct rr_error *err)
{
    const char *path = KEY;
    const struct rr_json *found = v;
    if (v->type == RR_JSON_ARRAY) {
        found = NULL;
        path = KEY " (default)";
        for (const struct rr_json *x = v->child; x && !found; x = x->next)
            if (rr_json_is_string(rr_json_get(x, "name"), "default"))
                found = rr_json_get(x, "template");
    }
    if (!found || found->type != RR_JSON_STRING)
        return rr_fail(err, RR_ERR_DATA, "CHAT_TEMPLATE", RR_AT_BYTE(file, KEY, v->offset),
                       "expected a string, or an array of {\"name\", \"template\"} with one "
                       "called default" BY_HAND);
    return t->take(t->arg, found->text, found->n_text, RR_AT_BYTE(file, path, found->offset), err);
}

/* tokenizer_config.json; *found: whether it holds one. */
static int from_config(const struct taker *t, bool *found, const char *file, struct rr_error *err)
{
    struct rr_map map;
    struct rr_arena arena = {0};
    struct rr_json *root = NULL;
    int rc = rr_map_small(&map, file, RR_MAX_CONFIG_FILE, err);
    *found = false;
    if (rc || !map.data)
        return rc;
    rc = rr_json_parse(&root, &arena, (const char *)map.data, map.size, file, 0, err);
    const struct rr_json *v = rc ? NULL : rr_json_get(root, KEY);
    if (v && v->type != RR_JSON_NULL) {
        *found = true;
        rc = from_value(t, v, file, err);
    }
    rr_arena_free(&arena);
    rr_map_close(&map);
    return rc;
}

static int from_folder(const struct taker *t, const char *dir, struct rr_error *err)
{
    char *jinja = rr_path_join(dir, "chat_template.jinja"),
         *config = rr_path_join(dir, "tokenizer_config.json");
    struct rr_map map = {NULL, 0};
    bool found = false;
    int rc = jinja && config ? rr_map_small(&map, jinja, RR_MAX_CONFIG_FILE, err)
                             : rr_fail_memory(err, "file name", strlen(dir));
    if (!rc && map.data) {
        rc = t->take(t->arg, (const char *)map.data, map.size, RR_AT_FILE(jinja), err);
        rr_map_close(&map);
    } else if (!rc) {
        rc = from_config(t, &found, config, err);
        if (!rc && !found)
            rc = rr_fail(err, RR_ERR_DATA, "NO_CHAT_TEMPLATE", RR_AT_FILE(dir),
                         "no chat template: neither chat_template.jinja nor " KEY
                         " in tokenizer_config.json is in this folder" BY_HAND);
    }
    rr_free(jinja);
    rr_free(config);
    return rc;
}

/* The template of what is at path, or of a model in memory. */
static int find(const struct taker *t, const struct rr_weights *w, const char *path,
                struct rr_error *err)
{
    struct rr_map map;
    if (w && w->memory.data)
        return from_gguf(t, w->memory.data, w->memory.size, w->path, err);
    if (rr_path_is_dir(path))
        return from_folder(t, path, err);
    int rc = rr_map_open(&map, path, err);
    if (rc)
        return rc;
    const bool gguf = map.size >= 4 && memcmp(map.data, "GGUF", 4) == 0;
    if (gguf)
        rc = from_gguf(t, map.data, map.size, path, err);
    rr_map_close(&map);
    if (rc || gguf)
        return rc;
    /* A tokenizer's file, or a model that has one beside it. */
    const char *slash = strrchr(path, '/');
    struct rr_buf dir = {0};
    if (slash)
        rr_buf_add(&dir, path, slash > path ? (size_t)(slash - path) : 1);
    else
        rr_buf_puts(&dir, ".");
    rc =
        dir.failed ? rr_fail_memory(err, "file name", strlen(path)) : from_folder(t, dir.data, err);
    rr_buf_free(&dir);
    return rc;
}

static int recognise(void *arg, const char *text, size_t n, const struct rr_where *where,
                     struct rr_error *err)
{
    return rr_chat_recognise(arg, text, n, where, err);
}

int rr_weights_chat(enum rr_chat *c, const struct rr_weights *w, const char *path,
                    struct rr_error *err)
{
    *c = RR_CHAT_NONE;
    return find(&(struct taker){recognise, c}, w, path, err);
}

static int append(void *arg, const char *text, size_t n, const struct rr_where *where,
                  struct rr_error *err)
{
    struct rr_buf *out = arg;
    (void)where;
    rr_buf_add(out, text, n);
    return out->failed ? rr_fail_memory(err, "chat template", n) : RR_OK;
}

int rr_weights_chat_text(struct rr_buf *out, const struct rr_weights *w, const char *path,
                         struct rr_error *err)
{
    return find(&(struct taker){append, out}, w, path, err);
}
