/* The tokenizer.ggml.* keys of a GGUF file. */
#include <string.h>
#include "engine/base/cursor.h"
#include "engine/base/limits.h"
#include "tokenizer/texts.h"
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
    if ((scores || !v->rule) && (!scores || scores->type != RR_GGUF_ARRAY ||
                                 scores->elem != RR_GGUF_F32 || scores->n != tokens->n))
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
        p->score = scores ? rr_float_from_bits(rr_load_u32(scores->data + 4 * i)) : 0;
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

/* Where a file does not say whether texts begin with it, they do with the kinds of the LLaMAs'
 * tokenizers, and do not with the others: so llama.cpp reads such files. */
static int read_bos(struct rr_vocab *v, const struct rr_gguf *g, struct rr_error *err)
{
    bool begins = v->rule == RR_WORDS_NONE || v->rule == RR_WORDS_LLAMA3;
    int rc = special_id(&v->bos, g, "tokenizer.ggml.bos_token_id", v->n, err);
    if (!rc)
        rc = rr_gguf_get_bool(&begins, g, "tokenizer.ggml.add_bos_token", err);
    if (!begins)
        v->bos = -1;
    return rc;
}

/* A model of fewer tokens than its tokenizer has is damaged. */
static int check_size(const struct rr_gguf *g, size_t n, struct rr_error *err)
{
    const char *key = "llama.vocab_size";
    int64_t said = (int64_t)n;
    int rc = rr_gguf_get_int(&said, g, key, err);
    if (!rc && said < (int64_t)n)
        rc = rr_fail(err, RR_ERR_DATA, "TOKEN_ID",
                     RR_AT_BYTE(g->file, key, rr_gguf_find(g, key)->offset),
                     "%lld; tokenizer.ggml.tokens has %zu", (long long)said, n);
    return rc;
}

int rr_special_from_gguf(struct rr_special *s, struct rr_gguf *g, size_t n, struct rr_error *err)
{
    static const char *const keys[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    int rc = RR_OK;
    *s = (struct rr_special){.bos = -1, .pad = -1};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0] && !rc; i++) {
        int id = -1;
        rc = special_id(&id, g, keys[i], n, err);
        if (id >= 0)
            s->ends[s->n_ends++] = id;
    }
    if (!rc)
        rc = special_id(&s->bos, g, "tokenizer.ggml.bos_token_id", n, err);
    return rc ? rc : special_id(&s->pad, g, "tokenizer.ggml.padding_token_id", n, err);
}

/* What else the file names. Beside the ids under its keys, llama.cpp ends a text with control
 * tokens of these names. */
static int name_tokens(struct rr_tokenizer *t, struct rr_gguf *g, struct rr_error *err)
{
    static const char *const names[] = {"<|eot_id|>", "<|eom_id|>",    "<|end_of_text|>",
                                        "<|im_end|>", "<|endoftext|>", "<|end|>",
                                        "<EOT>",      "<end_of_turn>"};
    const int n = rr_tokenizer_size(t);
    struct rr_special s;
    int rc = rr_special_from_gguf(&s, g, (size_t)n, err);
    for (int id = 0; id < n && !rc; id++) {
        const struct rr_piece *p = rr_tokenizer_piece(t, id);
        for (size_t k = 0; p->type == RR_PIECE_CONTROL && k < sizeof names / sizeof names[0]; k++)
            if (p->n == strlen(names[k]) && memcmp(p->text, names[k], p->n) == 0 &&
                s.n_ends < RR_MAX_ENDS)
                s.ends[s.n_ends++] = id;
    }
    if (!rc)
        rr_tokenizer_name(t, &s);
    return rc;
}

static int open_named(struct rr_tokenizer **t, const struct rr_vocab *v, struct rr_gguf *g,
                      struct rr_error *err)
{
    int rc = rr_tokenizer_open(t, v, g->file, err);
    if (!rc)
        rc = name_tokens(*t, g, err);
    if (rc) {
        rr_tokenizer_close(*t);
        *t = NULL;
    }
    return rc;
}

/* ---- byte-level ---- */

/* The names that llama.cpp's converter gives to the ways of cutting words. */
static int read_rule(struct rr_vocab *v, struct rr_gguf *g, struct rr_error *err)
{
    static const struct {
        const char *name;
        enum rr_words rule;
    } rules[] = {{"llama-bpe", RR_WORDS_LLAMA3},
                 {"llama3", RR_WORDS_LLAMA3},
                 {"llama-v3", RR_WORDS_LLAMA3},
                 {"gpt-2", RR_WORDS_GPT2},
                 {"smollm", RR_WORDS_DIGITS}};
    const char *pre = NULL, *key = "tokenizer.ggml.pre";
    const struct rr_gguf_kv *kv = rr_gguf_find(g, key);
    int rc = rr_gguf_get_string(&pre, g, key, err);
    if (rc)
        return rc;
    for (size_t i = 0; pre && i < sizeof rules / sizeof rules[0]; i++)
        if (strcmp(pre, rules[i].name) == 0)
            v->rule = rules[i].rule;
    v->whole_words = v->rule == RR_WORDS_LLAMA3;
    if (v->rule)
        return RR_OK;
    return rr_fail(err, RR_ERR_DATA, "UNSUPPORTED",
                   RR_AT_BYTE(g->file, key, kv ? (long long)kv->offset : -1),
                   "'%s'; supported are llama-bpe, llama3, llama-v3, gpt-2 and smollm",
                   pre ? rr_show(pre, strlen(pre)).s : "(missing)");
}

/* Texts as plain bytes; in the arena. */
static int decode_pieces(struct rr_vocab *v, const struct rr_gguf *g, struct rr_arena *arena,
                         struct rr_error *err)
{
    struct rr_buf text = {0};
    int rc = RR_OK;
    for (size_t i = 0; i < v->n && !rc; i++) {
        struct rr_piece *p = &v->pieces[i];
        if (p->type != RR_PIECE_NORMAL)
            continue;
        rr_buf_clear(&text);
        if (!rr_bytelevel_text(&text, p->text, p->n)) {
            rc = rr_fail(err, RR_ERR_DATA, "VOCAB", RR_AT_OBJECT(g->file, "tokenizer.ggml.tokens"),
                         "token %zu, '%s', has a character that stands for no byte", i,
                         rr_show(p->text, p->n).s);
            break;
        }
        p->text = rr_arena_copy(arena, text.data ? text.data : "", text.n);
        p->n = (uint32_t)text.n;
        if (text.failed || !p->text)
            rc = rr_fail_memory(err, "vocabulary", text.n);
    }
    rr_buf_free(&text);
    return rc;
}

/* "a b" per merge, by the names of tokens. */
static int read_merges(struct rr_vocab *v, const struct rr_gguf *g, struct rr_arena *arena,
                       struct rr_error *err)
{
    const char *key = "tokenizer.ggml.merges";
    const struct rr_gguf_kv *kv = rr_gguf_find(g, key);
    struct rr_texts texts;
    if (!kv || kv->type != RR_GGUF_ARRAY || kv->elem != RR_GGUF_STRING || kv->n > RR_MAX_VOCAB)
        return bad(g, kv, key, "is missing or not an array of up to 2^24 strings", err);
    int(*merges)[2] = rr_arena_alloc(arena, (size_t)kv->n + 1, sizeof *merges);
    if (!merges)
        return rr_fail_memory(err, "merges", (size_t)kv->n * sizeof *merges);
    int rc = rr_texts_of(&texts, v->pieces, v->n, err);
    if (rc)
        return rc;
    struct rr_cursor c = rr_cursor_make(kv->data, kv->n_bytes);
    for (size_t i = 0; i < kv->n && !rc; i++) {
        const size_t n = (size_t)rr_cursor_u64(&c);
        const char *s = (const char *)rr_cursor_take(&c, n),
                   *blank = s && n ? memchr(s, ' ', n) : NULL;
        const size_t left = blank ? (size_t)(blank - s) : 0;
        merges[i][0] = left ? rr_texts_find(&texts, s, left, rr_texts_hash(s, left), NULL) : -1;
        merges[i][1] = left && n > left + 1
                           ? rr_texts_find(&texts, blank + 1, n - left - 1,
                                           rr_texts_hash(blank + 1, n - left - 1), NULL)
                           : -1;
        if (merges[i][0] < 0 || merges[i][1] < 0)
            rc = rr_fail(err, RR_ERR_DATA, "VOCAB", RR_AT_BYTE(g->file, key, kv->offset),
                         "merge %zu, '%s', is not two tokens with a blank between", i,
                         s ? rr_show(s, n).s : "");
    }
    rr_texts_free(&texts);
    v->merges = (const int(*)[2])merges;
    v->n_merges = (size_t)kv->n;
    return rc;
}

static int from_gpt2(struct rr_tokenizer **t, struct rr_gguf *g, struct rr_error *err)
{
    struct rr_vocab v = {.unk = -1, .bos = -1, .eos = -1};
    struct rr_arena arena = {0};
    int rc = read_rule(&v, g, err);
    if (!rc)
        rc = read_pieces(&v, g, err);
    if (!rc)
        rc = read_merges(&v, g, &arena, err);
    if (!rc)
        rc = decode_pieces(&v, g, &arena, err);
    if (!rc)
        rc = read_bos(&v, g, err);
    if (!rc)
        rc = special_id(&v.eos, g, "tokenizer.ggml.eos_token_id", v.n, err);
    if (!rc)
        rc = check_size(g, v.n, err);
    if (!rc)
        rc = open_named(t, &v, g, err);
    rr_free(v.pieces);
    rr_arena_free(&arena);
    return rc;
}

int rr_tokenizer_from_gguf(struct rr_tokenizer **t, struct rr_gguf *g, struct rr_error *err)
{
    const char *model = NULL;
    struct rr_vocab v = {.unk = 0, .bos = 1, .eos = 2, .add_dummy_prefix = true};
    *t = NULL;
    int rc = rr_gguf_get_string(&model, g, "tokenizer.ggml.model", err);
    if (rc || !model)
        return rc;
    if (strcmp(model, "gpt2") == 0)
        return from_gpt2(t, g, err);
    if (strcmp(model, "llama") != 0)
        return rr_fail(err, RR_ERR_DATA, "UNSUPPORTED",
                       RR_AT_BYTE(g->file, "tokenizer.ggml.model",
                                  rr_gguf_find(g, "tokenizer.ggml.model")->offset),
                       "'%s'; supported are \"llama\" (SentencePiece BPE) and \"gpt2\" (byte-level "
                       "BPE)",
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
        rc = read_bos(&v, g, err);
    if (!rc)
        rc = special_id(&v.eos, g, "tokenizer.ggml.eos_token_id", v.n, err);
    if (!rc)
        rc = check_size(g, v.n, err);
    if (!rc)
        rc = open_named(t, &v, g, err);
    rr_free(v.pieces);
    return rc;
}
