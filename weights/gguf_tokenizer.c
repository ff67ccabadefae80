/* The tokenizer.ggml.* keys of a GGUF file. */
#include <string.h>
#include "engine/base/cursor.h"
#include "engine/base/limits.h"
#include "weights/gguf.h"
#include "weights/weights.h"

static int bad(const struct rr_gguf *g, const struct rr_gguf_kv *kv, const char *key,
               const char *text, struct rr_error *err)
{
    if (!kv)
        return rr_fail(err, RR_ERR_DATA, "VOCAB", RR_AT_OBJECT(g->file, key), "%s", text);
    return rr_fail(err, RR_ERR_DATA, "VOCAB", RR_AT_BYTE(g->file, key, kv->offset), "%s", text);
}

static int read_pieces(struct rr_vocab *v, const struct rr_gguf *g, struct rr_error *err)
{
    const struct rr_gguf_kv *tokens = rr_gguf_find(g, "tokenizer.ggml.tokens");
    const struct rr_gguf_kv *scores = rr_gguf_find(g, "tokenizer.ggml.scores");
    const struct rr_gguf_kv *types = rr_gguf_find(g, "tokenizer.ggml.token_type");
    if (!tokens || tokens->type != RR_GGUF_ARRAY || tokens->elem != RR_GGUF_STRING || !tokens->n ||
        tokens->n > RR_MAX_VOCAB)
        return bad(g, tokens, "tokenizer.ggml.tokens",
                   "is missing or not an array of 1 to 2^24 strings", err);
    if (!scores || scores->type != RR_GGUF_ARRAY || scores->elem != RR_GGUF_F32 ||
        scores->n != tokens->n)
        return bad(g, scores, "tokenizer.ggml.scores", "is missing or not one f32 per token", err);
    if (!types || types->type != RR_GGUF_ARRAY ||
        (types->elem != RR_GGUF_I32 && types->elem != RR_GGUF_U32) || types->n != tokens->n)
        return bad(g, types, "tokenizer.ggml.token_type", "is missing or not one i32 per token",
                   err);
    v->n = (size_t)tokens->n;
    v->pieces = rr_zalloc(v->n, sizeof *v->pieces);
    if (!v->pieces)
        return rr_fail_memory(err, "vocabulary", v->n * sizeof *v->pieces);
    struct rr_cursor c = rr_cursor_make(tokens->data, tokens->n_bytes);
    for (size_t i = 0; i < v->n; i++) {
        struct rr_piece *p = &v->pieces[i];
        const uint64_t n = rr_cursor_u64(&c);
        p->text = (const char *)rr_cursor_take(&c, n);
        p->n = n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
        p->score = rr_float_from_bits(rr_load_u32(scores->data + 4 * i));
        const uint32_t type = rr_load_u32(types->data + 4 * i);
        p->type = type > RR_PIECE_BYTE ? (enum rr_piece_type)0
                                       : (enum rr_piece_type)type; /* 0 is refused by name */
    }
    return RR_OK;
}

static int special_id(int *out, const struct rr_gguf *g, const char *key, size_t n,
                      struct rr_error *err)
{
    int64_t v = *out;
    int rc = rr_gguf_get_int(&v, g, key, err);
    if (rc)
        return rc;
    /* 2^32-1 is how writers spell "none" in a u32. A default beyond a tiny vocabulary is none as
     * well. */
    if (v == UINT32_MAX || v == -1 || (!rr_gguf_find(g, key) && (uint64_t)v >= n))
        v = -1;
    if (v < -1 || v >= (int64_t)n)
        return rr_fail(err, RR_ERR_DATA, "TOKEN_ID",
                       RR_AT_BYTE(g->file, key, rr_gguf_find(g, key)->offset),
                       "%lld; the vocabulary has 0 to %zu", (long long)v, n - 1);
    *out = (int)v;
    return RR_OK;
}

int rr_tokenizer_from_gguf(struct rr_tokenizer **t, struct rr_gguf *g, struct rr_error *err)
{
    const char *model = NULL;
    struct rr_vocab v = {.unk = 0, .bos = 1, .eos = 2, .add_dummy_prefix = true};
    *t = NULL;
    int rc = rr_gguf_get_string(&model, g, "tokenizer.ggml.model", err);
    if (rc || !model)
        return rc;
    if (strcmp(model, "llama") != 0)
        return rr_fail(err, RR_ERR_DATA, "UNSUPPORTED",
                       RR_AT_OBJECT(g->file, "tokenizer.ggml.model"),
                       "'%s'; only \"llama\" (SentencePiece BPE) is supported",
                       rr_show(model, strlen(model)).s);
    rc = read_pieces(&v, g, err);
    for (size_t i = 0; i < v.n && !v.byte_fallback && !rc; i++)
        v.byte_fallback = v.pieces[i].type == RR_PIECE_BYTE;
    if (!rc)
        rc = rr_gguf_get_bool(&v.add_dummy_prefix, g, "tokenizer.ggml.add_space_prefix", err);
    if (!rc)
        rc = rr_gguf_get_bool(&v.remove_extra_space, g, "tokenizer.ggml.remove_extra_whitespaces",
                              err);
    if (!rc)
        rc = special_id(&v.unk, g, "tokenizer.ggml.unknown_token_id", v.n, err);
    if (!rc)
        rc = special_id(&v.bos, g, "tokenizer.ggml.bos_token_id", v.n, err);
    if (!rc)
        rc = special_id(&v.eos, g, "tokenizer.ggml.eos_token_id", v.n, err);
    if (!rc)
        rc = rr_tokenizer_open(t, &v, g->file, err);
    rr_free(v.pieces);
    return rc;
}
