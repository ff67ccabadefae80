/* See beside.h. */
#include "tokenizer/beside.h"

#include <stdlib.h>
#include <string.h>
#include "engine/base/file.h"
#include "engine/base/json.h"
#include "engine/base/limits.h"
#include "engine/base/number.h"

/* path's folder with another file's name, in the arena. */
static const char *neighbour(struct rr_arena *arena, const char *path, const char *name)
{
    const char *slash = strrchr(path, '/');
    struct rr_buf b = {0};
    rr_buf_add(&b, path, slash ? (size_t)(slash + 1 - path) : 0);
    rr_buf_puts(&b, name);
    const char *copy = b.failed ? NULL : rr_arena_copy(arena, b.data, b.n);
    rr_buf_free(&b);
    return copy;
}

/* A string, or an object with its content. */
static const struct rr_json *text_of(const struct rr_json *v)
{
    const struct rr_json *inner = rr_json_get(v, "content");
    v = inner ? inner : v;
    return v && v->type == RR_JSON_STRING && v->n_text ? v : NULL;
}

static int add(struct rr_beside *b, int64_t id, const struct rr_json *text, const char *s, size_t n,
               enum rr_piece_type type, const char *file, struct rr_error *err)
{
    if (n > RR_MAX_PIECE)
        return rr_fail(err, RR_ERR_DATA, "VOCAB", RR_AT_BYTE(file, "added token", text->offset),
                       "a piece is longer than 65536 bytes");
    for (size_t i = 0; i < b->n_added; i++)
        if (b->ids[i] == id)
            return RR_OK; /* tokenizer_config.json's, which says more, came first */
    b->ids[b->n_added] = (int)id;
    b->added[b->n_added++] = (struct rr_piece){.text = s, .n = (uint32_t)n, .type = type};
    return RR_OK;
}

static int bad_id(const char *file, const struct rr_json *v, struct rr_error *err)
{
    return rr_fail(err, RR_ERR_DATA, "TOKEN_ID", RR_AT_BYTE(file, "added token", v->offset),
                   "an id is no whole number from 0 to 2^24 - 1");
}

/* {"32000": {"content": "<|im_end|>", "special": true, ...}} */
static int add_decoder(struct rr_beside *b, const struct rr_json *decoder, const char *file,
                       struct rr_error *err)
{
    int rc = RR_OK;
    for (const struct rr_json *v = decoder ? decoder->child : NULL; v && !rc; v = v->next) {
        const struct rr_json *text = text_of(v), *special = rr_json_get(v, "special");
        uint64_t id;
        if (!v->key || !rr_parse_u64(&id, v->key, v->n_key, RR_MAX_VOCAB - 1))
            return bad_id(file, v, err);
        if (!text)
            return rr_fail(err, RR_ERR_DATA, "VOCAB", RR_AT_BYTE(file, v->key, v->offset),
                           "its content is missing, empty or no string");
        const bool control = special && special->type == RR_JSON_BOOL && special->truth;
        rc = add(b, (int64_t)id, text, text->text, text->n_text,
                 control ? RR_PIECE_CONTROL : RR_PIECE_USER, file, err);
    }
    return rc;
}

/* {"<|im_end|>": 32000}: whether it is special is not said. Markers are, as texts of users are not
 * to become them. */
static int add_list(struct rr_beside *b, const struct rr_json *list, const char *file,
                    struct rr_error *err)
{
    int rc = RR_OK;
    for (const struct rr_json *v = list ? list->child : NULL; v && !rc; v = v->next) {
        int64_t id;
        if (!rr_json_int(&id, v, 0, RR_MAX_VOCAB - 1))
            return bad_id(file, v, err);
        if (!v->key || !v->n_key)
            return rr_fail(err, RR_ERR_DATA, "VOCAB", RR_AT_BYTE(file, "added token", v->offset),
                           "an empty text");
        const char first = v->key[0], last = v->key[v->n_key - 1];
        const bool marker = (first == '<' && last == '>') || (first == '[' && last == ']');
        rc = add(b, id, v, v->key, v->n_key, marker ? RR_PIECE_CONTROL : RR_PIECE_USER, file, err);
    }
    return rc;
}

static int read_config(struct rr_beside *b, const struct rr_json *root, struct rr_error *err)
{
    const struct rr_json *eos = rr_json_get(root, "eos_token"), *text = text_of(eos),
                         *bos = rr_json_get(root, "add_bos_token");
    if (eos && eos->type != RR_JSON_NULL && !text && !rr_json_is_string(eos, ""))
        return rr_fail(err, RR_ERR_DATA, "TOKEN_ID", RR_AT_BYTE(b->file, "eos_token", eos->offset),
                       "is %s; expected the text of a token", rr_json_type_name(eos->type));
    if (bos && bos->type != RR_JSON_NULL && bos->type != RR_JSON_BOOL)
        return rr_fail(err, RR_ERR_DATA, "VOCAB", RR_AT_BYTE(b->file, "add_bos_token", bos->offset),
                       "is %s; expected true or false", rr_json_type_name(bos->type));
    b->eos = text ? text->text : NULL;
    b->n_eos = text ? text->n_text : 0;
    b->eos_at = text ? (long long)text->offset : -1;
    b->bos_unsaid = !bos || bos->type != RR_JSON_BOOL;
    b->bos = !b->bos_unsaid && bos->truth;
    return RR_OK;
}

int rr_beside_parse(struct rr_beside *b, const char *file, const struct rr_map *config_map,
                    const char *list_file, const struct rr_map *list_map, struct rr_error *err)
{
    struct rr_json *config = NULL, *list = NULL;
    int rc = RR_OK;
    b->file = file;
    b->list_file = list_file;
    if (config_map->data)
        rc = rr_json_parse(&config, &b->arena, (const char *)config_map->data, config_map->size,
                           file, 0, err);
    if (!rc && list_map->data)
        rc = rr_json_parse(&list, &b->arena, (const char *)list_map->data, list_map->size,
                           list_file, 0, err);
    if (rc)
        return rc;
    const struct rr_json *decoder = rr_json_get(config, "added_tokens_decoder");
    decoder = decoder && decoder->type == RR_JSON_OBJECT ? decoder : NULL;
    const size_t n = (decoder ? decoder->n_children : 0) + (list ? list->n_children : 0);
    if (n > RR_MAX_ADDED)
        return rr_fail(err, RR_ERR_DATA, "COUNT", RR_AT_OBJECT(file, "added tokens"),
                       "%zu; at most %u are read", n, RR_MAX_ADDED);
    b->added = rr_arena_alloc(&b->arena, n + 1, sizeof *b->added);
    b->ids = rr_arena_alloc(&b->arena, n + 1, sizeof *b->ids);
    if (!b->added || !b->ids)
        return rr_fail_memory(err, "added tokens", n * sizeof *b->added);
    if (config)
        rc = read_config(b, config, err);
    if (!rc)
        rc = add_decoder(b, decoder, file, err);
    b->n_said = b->n_added;
    return rc ? rc : add_list(b, list, list_file, err);
}

int rr_beside_read(struct rr_beside *b, const char *path, struct rr_error *err)
{
    *b = RR_BESIDE_NOTHING;
    struct rr_map config = {0}, list = {0};
    const char *file = neighbour(&b->arena, path, "tokenizer_config.json"),
               *list_file = neighbour(&b->arena, path, "added_tokens.json");
    int rc = file && list_file ? rr_map_small(&config, file, RR_MAX_CONFIG_FILE, err)
                               : rr_fail_memory(err, "file name", strlen(path));
    if (!rc)
        rc = rr_map_small(&list, list_file, RR_MAX_CONFIG_FILE, err);
    if (!rc)
        rc = rr_beside_parse(b, file, &config, list_file, &list, err);
    if (config.data)
        rr_map_close(&config);
    if (list.data)
        rr_map_close(&list);
    return rc;
}

void rr_beside_free(struct rr_beside *b)
{
    rr_arena_free(&b->arena);
}

static int find(const struct rr_vocab *v, const char *s, size_t n)
{
    for (size_t i = 0; i < v->n; i++)
        if (v->pieces[i].n == n && memcmp(v->pieces[i].text, s, n) == 0)
            return (int)i;
    return -1;
}

int rr_beside_add(struct rr_vocab *v, struct rr_beside *b, size_t limit, size_t *left_out,
                  const char *file, struct rr_error *err)
{
    size_t n = v->n;
    *left_out = 0;
    for (size_t i = 0; i < b->n_added; i++) {
        const struct rr_piece *p = &b->added[i];
        const size_t id = (size_t)b->ids[i];
        if (id >= v->n && id >= limit) {
            ++*left_out;
        } else if (id >= v->n + 2 * b->n_added + 1024) { /* or a few bytes would ask for much */
            return rr_fail(err, RR_ERR_DATA, "TOKEN_ID",
                           RR_AT_OBJECT(i < b->n_said ? b->file : b->list_file, "added tokens"),
                           "id %zu; %s has 0 to %zu", id, file, v->n - 1);
        } else if (id >= v->n) {
            n = id + 1 > n ? id + 1 : n;
        } else if (v->pieces[id].n != p->n || memcmp(v->pieces[id].text, p->text, p->n) != 0) {
            return rr_fail(err, RR_ERR_DATA, "VOCAB",
                           RR_AT_OBJECT(i < b->n_said ? b->file : b->list_file, "added tokens"),
                           "'%s' has the id %zu, as '%s' has in %s", rr_show(p->text, p->n).s, id,
                           rr_show(v->pieces[id].text, v->pieces[id].n).s, file);
        }
    }
    if (n > v->n) {
        struct rr_piece *all = rr_arena_alloc(&b->arena, n, sizeof *all);
        if (!all)
            return rr_fail_memory(err, "vocabulary", n * sizeof *all);
        rr_copy(all, v->pieces, v->n * sizeof *all);
        for (size_t i = v->n; i < n; i++) /* ids that nothing has */
            all[i] = (struct rr_piece){.text = "", .type = RR_PIECE_CONTROL};
        for (size_t i = 0; i < b->n_added; i++)
            if ((size_t)b->ids[i] >= v->n && (size_t)b->ids[i] < n)
                all[b->ids[i]] = b->added[i];
        v->pieces = all;
        v->n = n;
    }
    if (b->eos) {
        v->eos = find(v, b->eos, b->n_eos);
        if (v->eos < 0)
            return rr_fail(err, RR_ERR_DATA, "TOKEN_ID",
                           RR_AT_BYTE(b->file, "eos_token", b->eos_at), "'%s' is no piece of %s",
                           rr_show(b->eos, b->n_eos).s, file);
    }
    if (!b->bos_unsaid && !b->bos)
        v->bos = -1;
    return RR_OK;
}
