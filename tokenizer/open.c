/* A tokenizer's file, of whichever kind it is. */
#include <string.h>
#include "engine/base/file.h"
#include "engine/base/json.h"
#include "tokenizer/internal.h"

static bool looks_like_json(const char *s, size_t n)
{
    const size_t mark = n >= 3 && memcmp(s, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    return n > mark && s[mark] == '{';
}

/* The name of EOS from a tokenizer_config.json, which need not be there: a string, or an object
 * with its content. */
static int read_eos(const char **eos, struct rr_arena *arena, const char *path,
                    struct rr_error *err)
{
    struct rr_map map;
    struct rr_json *root;
    if (!rr_path_exists(path))
        return RR_OK;
    int rc = rr_map_open(&map, path, err);
    if (rc)
        return rc;
    rc = rr_json_parse(&root, arena, (const char *)map.data, map.size, path, 0, err);
    if (!rc) {
        const struct rr_json *v = rr_json_get(root, "eos_token"),
                             *inner = rr_json_get(v, "content");
        v = inner ? inner : v;
        *eos = v && v->type == RR_JSON_STRING ? v->text : NULL;
    }
    rr_map_close(&map);
    return rc;
}

static int read_json(struct rr_tokenizer **t, const struct rr_map *map, const char *path,
                     struct rr_error *err)
{
    struct rr_arena arena = {0};
    const char *eos = NULL, *slash = strrchr(path, '/');
    const size_t n_dir = slash ? (size_t)(slash + 1 - path) : 0;
    struct rr_buf beside = {0};
    rr_buf_add(&beside, path, n_dir);
    rr_buf_puts(&beside, "tokenizer_config.json");
    int rc = beside.failed ? rr_fail_memory(err, "file name", n_dir)
                           : read_eos(&eos, &arena, beside.data, err);
    if (!rc)
        rc = rr_tokenizer_from_json(t, map->data, map->size, path, eos, err);
    rr_buf_free(&beside);
    rr_arena_free(&arena);
    return rc;
}

int rr_tokenizer_from_file(struct rr_tokenizer **t, const char *path, struct rr_error *err)
{
    struct rr_map map;
    *t = NULL;
    int rc = rr_map_open(&map, path, err);
    if (rc)
        return rc;
    /* A llama2.c file begins with a small int32, so with two zero high bytes; a protobuf model
     * with a piece, whose third and fourth bytes are the tag and length of its text. */
    bool llama2c = map.size >= 4 && map.data[2] == 0 && map.data[3] == 0;
    const char *head = (const char *)map.data;
    if (map.size >= 9 && (memcmp(head, "version h", 9) == 0 || memcmp(head, "<!DOCTYPE", 9) == 0))
        rc = rr_fail(err, RR_ERR_DATA, "NOT_A_TOKENIZER", RR_AT_BYTE(path, "file", 0), "%s",
                     head[0] == 'v' ? "this is a Git LFS pointer; run git lfs pull"
                                    : "this is a web page, not the file");
    else if (looks_like_json(head, map.size))
        rc = read_json(t, &map, path, err);
    else if (llama2c)
        rc = rr_tokenizer_from_llama2c(t, map.data, map.size, path, err);
    else if (rr_looks_like_tiktoken(head, map.size))
        rc = rr_tokenizer_from_tiktoken(t, map.data, map.size, path, err);
    else
        rc = rr_tokenizer_from_sentencepiece(t, map.data, map.size, path, err);
    rr_map_close(&map);
    return rc;
}
