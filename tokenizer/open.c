/* A tokenizer's file, of whichever kind it is. */
#include <string.h>
#include "engine/base/file.h"
#include "tokenizer/beside.h"
#include "tokenizer/internal.h"

static bool looks_like_json(const char *s, size_t n)
{
    const size_t mark = n >= 3 && memcmp(s, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    return n > mark && s[mark] == '{';
}

/* A tokenizer whose file does not say all: what lies beside it does. */
static int read_with_neighbours(struct rr_tokenizer **t, const struct rr_map *map, const char *path,
                                size_t limit, bool json, struct rr_error *err)
{
    struct rr_beside b;
    int rc = rr_beside_read(&b, path, err);
    if (!rc && json)
        rc = rr_tokenizer_from_json(t, map->data, map->size, path, b.eos, err);
    else if (!rc)
        rc = rr_sentencepiece_beside(t, map, path, &b, limit, err);
    rr_beside_free(&b);
    return rc;
}

int rr_tokenizer_for_model(struct rr_tokenizer **t, const char *path, size_t n_vocab,
                           struct rr_error *err)
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
        rc = read_with_neighbours(t, &map, path, n_vocab, true, err);
    else if (llama2c)
        rc = rr_tokenizer_from_llama2c(t, map.data, map.size, path, err);
    else if (rr_looks_like_tiktoken(head, map.size))
        rc = rr_tokenizer_from_tiktoken(t, map.data, map.size, path, err);
    else
        rc = read_with_neighbours(t, &map, path, n_vocab, false, err);
    rr_map_close(&map);
    return rc;
}

int rr_tokenizer_from_file(struct rr_tokenizer **t, const char *path, struct rr_error *err)
{
    return rr_tokenizer_for_model(t, path, SIZE_MAX, err);
}
