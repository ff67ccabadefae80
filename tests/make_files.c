/* See make_files.h. */
#include "tests/make_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/rng.h"

static void must(bool ok)
{
    if (!ok) {
        fputs("make_files: out of memory, or misused\n", stderr);
        abort();
    }
}

static void add(struct rr_buf *b, const void *bytes, size_t n)
{
    rr_buf_add(b, bytes, n);
    must(!b->failed);
}

/* ---- bytes ---- */

static void put(struct rr_buf *b, int n_bytes, uint64_t v)
{
    for (int i = 0; i < n_bytes; i++) {
        char c = (char)(unsigned char)(v >> (8 * i));
        add(b, &c, 1);
    }
}

void put_u8(struct rr_buf *b, unsigned v)
{
    put(b, 1, v);
}

void put_u32(struct rr_buf *b, uint32_t v)
{
    put(b, 4, v);
}

void put_u64(struct rr_buf *b, uint64_t v)
{
    put(b, 8, v);
}

void put_f32(struct rr_buf *b, float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    put(b, 4, bits);
}

void put_string(struct rr_buf *b, const char *s, size_t n)
{
    put_u64(b, n);
    add(b, s, n);
}

void patch(struct rr_buf *b, size_t at, int n_bytes, uint64_t v)
{
    must(at + (size_t)n_bytes <= b->n);
    for (int i = 0; i < n_bytes; i++)
        b->data[at + (size_t)i] = (char)(unsigned char)(v >> (8 * i));
}

size_t find_bytes(const struct rr_buf *b, const char *s, size_t n)
{
    for (size_t i = 0; i + n <= b->n; i++)
        if (memcmp(b->data + i, s, n) == 0)
            return i;
    must(false);
    return 0;
}

/* ---- the model ---- */

const struct tiny_shape tiny_default = {32, 2, 4, 2, 64, 300, 64, false, false};
const struct tiny_shape tiny_seed = {8, 1, 2, 1, 8, 36, 16, false, true};

static void add_random(struct tiny *t, struct rr_rng *r, const char *gguf_name, const char *hf_name,
                       int layer, int rows, int cols, int rotates)
{
    must(t->n_tensors < 40);
    struct tiny_tensor *x = &t->tensors[t->n_tensors++];
    const size_t n = (size_t)(rows ? rows : 1) * (size_t)cols;
    snprintf(x->gguf_name, sizeof x->gguf_name, "%s%d.%s.weight", layer < 0 ? "" : "blk.", layer,
             gguf_name);
    snprintf(x->hf_name, sizeof x->hf_name, "model.layers.%d.%s.weight", layer, hf_name);
    if (layer < 0) {
        snprintf(x->gguf_name, sizeof x->gguf_name, "%s.weight", gguf_name);
        snprintf(x->hf_name, sizeof x->hf_name, "%s.weight", hf_name);
    }
    x->rows = rows;
    x->cols = cols;
    x->rotates = rotates;
    x->v = malloc(n * sizeof *x->v);
    must(x->v != NULL);
    /* Norms near 1, matrices small enough that activations stay of order 1. */
    for (size_t i = 0; i < n; i++) {
        double u = rr_rng_unit(r) - 0.5;
        x->v[i] = (float)(rows ? u * 0.7 : 1 + u * 0.4);
    }
}

static void add_weights(struct tiny *t)
{
    struct rr_rng r;
    const struct tiny_shape *s = &t->s;
    const int head_dim = s->dim / s->heads, kv = head_dim * s->kv_heads;
    rr_rng_seed(&r, 20260101);
    add_random(t, &r, "token_embd", "model.embed_tokens", -1, s->vocab, s->dim, 0);
    for (int l = 0; l < s->layers; l++) {
        add_random(t, &r, "attn_norm", "input_layernorm", l, 0, s->dim, 0);
        add_random(t, &r, "attn_q", "self_attn.q_proj", l, s->dim, s->dim, s->heads);
        add_random(t, &r, "attn_k", "self_attn.k_proj", l, kv, s->dim, s->kv_heads);
        add_random(t, &r, "attn_v", "self_attn.v_proj", l, kv, s->dim, 0);
        add_random(t, &r, "attn_output", "self_attn.o_proj", l, s->dim, s->dim, 0);
        add_random(t, &r, "ffn_norm", "post_attention_layernorm", l, 0, s->dim, 0);
        add_random(t, &r, "ffn_gate", "mlp.gate_proj", l, s->ff, s->dim, 0);
        add_random(t, &r, "ffn_down", "mlp.down_proj", l, s->dim, s->ff, 0);
        add_random(t, &r, "ffn_up", "mlp.up_proj", l, s->ff, s->dim, 0);
    }
    add_random(t, &r, "output_norm", "model.norm", -1, 0, s->dim, 0);
    if (!s->tied)
        add_random(t, &r, "output", "lm_head", -1, s->vocab, s->dim, 0);
}

static void add_piece(struct tiny *t, int *n, const char *text, int type, float score)
{
    if (*n == t->s.vocab)
        return;
    struct tiny_piece *p = &t->pieces[(*n)++];
    p->n = snprintf(p->text, sizeof p->text, "%s", text);
    p->type = type;
    p->score = score;
}

#define BLANK "\xE2\x96\x81"

/* Three special pieces, the bytes, characters, then merges, as far as the size allows; the rest is
 * filled up with words. */
static void add_pieces(struct tiny *t)
{
    static const char *const merges[] = {BLANK "t",   "he", BLANK "the", "in",         BLANK "a",
                                         "er",        "on", "an",        "and",        "ing",
                                         BLANK "and", "th", "\xC3\xA9",  "caf\xC3\xA9"};
    int n = 0;
    t->pieces = calloc((size_t)t->s.vocab, sizeof *t->pieces);
    must(t->pieces != NULL);
    add_piece(t, &n, "<unk>", 2, 0);
    add_piece(t, &n, "<s>", 3, 0);
    add_piece(t, &n, "</s>", 3, 0);
    for (int i = 0; i < 256 && !t->s.no_bytes; i++) {
        char text[16];
        snprintf(text, sizeof text, "<0x%02X>", (unsigned)i);
        add_piece(t, &n, text, 6, 0);
    }
    add_piece(t, &n, BLANK, 1, -100);
    for (char c = 'a'; c <= 'z'; c++)
        add_piece(t, &n, (char[]){c, 0}, 1, -100 - (float)(c - 'a'));
    for (size_t i = 0; i < sizeof merges / sizeof merges[0]; i++)
        add_piece(t, &n, merges[i], 1, -(float)i - 1);
    for (int i = 0; n < t->s.vocab; i++) {
        char text[24];
        snprintf(text, sizeof text, "word%d", i);
        add_piece(t, &n, text, 1, -1000 - (float)i);
    }
}

void tiny_make(struct tiny *t, const struct tiny_shape *shape)
{
    memset(t, 0, sizeof *t);
    t->s = *shape;
    add_weights(t);
    add_pieces(t);
}

void tiny_free(struct tiny *t)
{
    for (int i = 0; i < t->n_tensors; i++)
        free(t->tensors[i].v);
    free(t->pieces);
    memset(t, 0, sizeof *t);
}

const struct tiny_tensor *tiny_find(const struct tiny *t, const char *gguf_name)
{
    for (int i = 0; i < t->n_tensors; i++)
        if (strcmp(t->tensors[i].gguf_name, gguf_name) == 0)
            return &t->tensors[i];
    must(false);
    return NULL;
}

/* ---- GGUF ---- */

static char *copy_name(const char *s, size_t n)
{
    char *out = malloc(n + 1);
    must(out != NULL);
    memcpy(out, s, n);
    out[n] = 0;
    return out;
}

void gguf_set(struct gguf_file *g, const char *key, uint32_t type, const void *bytes, size_t n)
{
    struct gguf_kv *kv = NULL;
    for (size_t i = 0; i < g->n_kvs; i++)
        if (strcmp(g->kvs[i].key, key) == 0)
            kv = &g->kvs[i];
    if (!kv) {
        must(rr_grow(&g->kvs, &g->cap_kvs, g->n_kvs + 1, sizeof *g->kvs));
        kv = &g->kvs[g->n_kvs++];
        *kv = (struct gguf_kv){.key = copy_name(key, strlen(key)), .n_key = strlen(key)};
    }
    kv->type = type;
    rr_buf_clear(&kv->value);
    add(&kv->value, bytes, n);
}

static void set_number(struct gguf_file *g, const char *key, uint32_t type, int n_bytes, uint64_t v)
{
    struct rr_buf b = {0};
    put(&b, n_bytes, v);
    gguf_set(g, key, type, b.data, b.n);
    rr_buf_free(&b);
}

void gguf_set_u32(struct gguf_file *g, const char *key, uint32_t v)
{
    set_number(g, key, 4, 4, v);
}

void gguf_set_i32(struct gguf_file *g, const char *key, int32_t v)
{
    set_number(g, key, 5, 4, (uint32_t)v);
}

void gguf_set_f32(struct gguf_file *g, const char *key, float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    set_number(g, key, 6, 4, bits);
}

void gguf_set_bool(struct gguf_file *g, const char *key, unsigned byte)
{
    set_number(g, key, 7, 1, byte);
}

void gguf_set_string(struct gguf_file *g, const char *key, const char *s)
{
    struct rr_buf b = {0};
    put_string(&b, s, strlen(s));
    gguf_set(g, key, 8, b.data, b.n);
    rr_buf_free(&b);
}

void gguf_set_array(struct gguf_file *g, const char *key, uint32_t elem, uint64_t n,
                    const void *bytes, size_t n_bytes)
{
    struct rr_buf b = {0};
    put_u32(&b, elem);
    put_u64(&b, n);
    add(&b, bytes, n_bytes);
    gguf_set(g, key, 9, b.data, b.n);
    rr_buf_free(&b);
}

void gguf_drop(struct gguf_file *g, const char *key)
{
    size_t i = 0;
    while (i < g->n_kvs && strcmp(g->kvs[i].key, key) != 0)
        i++;
    must(i < g->n_kvs);
    free(g->kvs[i].key);
    rr_buf_free(&g->kvs[i].value);
    memmove(g->kvs + i, g->kvs + i + 1, (--g->n_kvs - i) * sizeof *g->kvs);
}

struct gguf_tensor *gguf_add_tensor(struct gguf_file *g, const char *name, uint32_t type,
                                    uint32_t n_dims, const uint64_t *dims, const void *data,
                                    size_t n_bytes)
{
    must(rr_grow(&g->tensors, &g->cap_tensors, g->n_tensors + 1, sizeof *g->tensors));
    struct gguf_tensor *t = &g->tensors[g->n_tensors++];
    *t = (struct gguf_tensor){.name = copy_name(name, strlen(name)),
                              .n_name = strlen(name),
                              .type = type,
                              .n_dims = n_dims};
    for (uint32_t i = 0; i < n_dims && i < 4; i++)
        t->dims[i] = dims[i];
    add(&t->data, data, n_bytes);
    return t;
}

struct gguf_tensor *gguf_tensor(struct gguf_file *g, const char *name)
{
    for (size_t i = 0; i < g->n_tensors; i++)
        if (strcmp(g->tensors[i].name, name) == 0)
            return &g->tensors[i];
    must(false);
    return NULL;
}

void gguf_drop_tensor(struct gguf_file *g, const char *name)
{
    struct gguf_tensor *t = gguf_tensor(g, name);
    free(t->name);
    rr_buf_free(&t->data);
    memmove(t, t + 1, (size_t)(g->tensors + --g->n_tensors - t) * sizeof *t);
}

static void pad(struct rr_buf *out, uint32_t alignment)
{
    while (out->n % alignment)
        put_u8(out, 0);
}

void gguf_write(struct rr_buf *out, const struct gguf_file *g)
{
    uint64_t offset = 0;
    rr_buf_clear(out);
    add(out, "GGUF", 4);
    put_u32(out, g->version);
    put_u64(out, g->n_tensors);
    put_u64(out, g->n_kvs);
    for (size_t i = 0; i < g->n_kvs; i++) {
        put_string(out, g->kvs[i].key, g->kvs[i].n_key);
        put_u32(out, g->kvs[i].type);
        add(out, g->kvs[i].value.data, g->kvs[i].value.n);
    }
    for (size_t i = 0; i < g->n_tensors; i++) {
        const struct gguf_tensor *t = &g->tensors[i];
        put_string(out, t->name, t->n_name);
        put_u32(out, t->n_dims);
        for (uint32_t d = 0; d < t->n_dims; d++)
            put_u64(out, t->dims[d]);
        put_u32(out, t->type);
        put_u64(out, offset);
        offset = (offset + t->data.n + g->alignment - 1) / g->alignment * g->alignment;
    }
    for (size_t i = 0; i < g->n_tensors; i++) {
        pad(out, g->alignment);
        add(out, g->tensors[i].data.data, g->tensors[i].data.n);
    }
}

void gguf_file_free(struct gguf_file *g)
{
    while (g->n_kvs)
        gguf_drop(g, g->kvs[0].key);
    while (g->n_tensors)
        gguf_drop_tensor(g, g->tensors[0].name);
    free(g->kvs);
    free(g->tensors);
    *g = (struct gguf_file){0};
}

static void set_tokenizer(struct gguf_file *g, const struct tiny *t)
{
    struct rr_buf tokens = {0}, scores = {0}, types = {0};
    const uint64_t n = (uint64_t)t->s.vocab;
    for (int i = 0; i < t->s.vocab; i++) {
        put_string(&tokens, t->pieces[i].text, (size_t)t->pieces[i].n);
        put_f32(&scores, t->pieces[i].score);
        put_u32(&types, (uint32_t)t->pieces[i].type);
    }
    gguf_set_string(g, "tokenizer.ggml.model", "llama");
    gguf_set_array(g, "tokenizer.ggml.tokens", 8, n, tokens.data, tokens.n);
    gguf_set_array(g, "tokenizer.ggml.scores", 6, n, scores.data, scores.n);
    gguf_set_array(g, "tokenizer.ggml.token_type", 5, n, types.data, types.n);
    gguf_set_u32(g, "tokenizer.ggml.bos_token_id", 1);
    gguf_set_u32(g, "tokenizer.ggml.eos_token_id", 2);
    gguf_set_u32(g, "tokenizer.ggml.unknown_token_id", 0);
    gguf_set_bool(g, "tokenizer.ggml.add_space_prefix", 1);
    rr_buf_free(&tokens);
    rr_buf_free(&scores);
    rr_buf_free(&types);
}

void gguf_from_tiny(struct gguf_file *g, const struct tiny *t)
{
    const struct tiny_shape *s = &t->s;
    *g = (struct gguf_file){.version = 3, .alignment = 32};
    gguf_set_string(g, "general.architecture", "llama");
    gguf_set_string(g, "general.name", "tiny");
    gguf_set_u32(g, "general.alignment", 32);
    gguf_set_u32(g, "llama.block_count", (uint32_t)s->layers);
    gguf_set_u32(g, "llama.context_length", (uint32_t)s->context);
    gguf_set_u32(g, "llama.embedding_length", (uint32_t)s->dim);
    gguf_set_u32(g, "llama.feed_forward_length", (uint32_t)s->ff);
    gguf_set_u32(g, "llama.attention.head_count", (uint32_t)s->heads);
    gguf_set_u32(g, "llama.attention.head_count_kv", (uint32_t)s->kv_heads);
    gguf_set_f32(g, "llama.attention.layer_norm_rms_epsilon", 1e-5F);
    gguf_set_f32(g, "llama.rope.freq_base", 10000);
    set_tokenizer(g, t);
    for (int i = 0; i < t->n_tensors; i++) {
        const struct tiny_tensor *x = &t->tensors[i];
        const uint64_t dims[2] = {(uint64_t)x->cols, (uint64_t)x->rows};
        gguf_add_tensor(g, x->gguf_name, 0, x->rows ? 2 : 1, dims, x->v,
                        (size_t)(x->rows ? x->rows : 1) * (size_t)x->cols * sizeof *x->v);
    }
}

/* ---- safetensors ---- */

void safetensors_write(struct rr_buf *out, const char *header, size_t n_header, const void *data,
                       size_t n_data)
{
    rr_buf_clear(out);
    put_u64(out, n_header);
    add(out, header, n_header);
    add(out, data, n_data);
}

/* Hugging Face rotates pairs (i, i + d/2) of a head, GGUF and llama2.c pairs (2i, 2i + 1): rows
 * move accordingly. */
static int gguf_row(const struct tiny_tensor *x, int hf_row)
{
    if (!x->rotates)
        return hf_row;
    const int d = x->rows / x->rotates, head = hf_row / d, i = hf_row % d;
    return head * d + (i < d / 2 ? 2 * i : 2 * (i - d / 2) + 1);
}

void safetensors_from_tiny(struct rr_buf *out, const struct tiny *t, int first, int n)
{
    struct rr_buf header = {0}, data = {0};
    rr_buf_puts(&header, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (int i = first; i < first + n; i++) {
        const struct tiny_tensor *x = &t->tensors[i];
        const size_t begin = data.n;
        for (int r = 0; r < (x->rows ? x->rows : 1); r++)
            add(&data, x->v + (size_t)gguf_row(x, r) * (size_t)x->cols,
                (size_t)x->cols * sizeof *x->v);
        rr_buf_printf(&header, ",\"%s\":{\"dtype\":\"F32\",\"shape\":[", x->hf_name);
        if (x->rows)
            rr_buf_printf(&header, "%d,", x->rows);
        rr_buf_printf(&header, "%d],\"data_offsets\":[%zu,%zu]}", x->cols, begin, data.n);
    }
    rr_buf_puts(&header, "}");
    while (header.n % 8)
        rr_buf_puts(&header, " ");
    safetensors_write(out, header.data, header.n, data.data, data.n);
    rr_buf_free(&header);
    rr_buf_free(&data);
}

void config_from_tiny(struct rr_buf *out, const struct tiny *t)
{
    const struct tiny_shape *s = &t->s;
    rr_buf_clear(out);
    rr_buf_printf(
        out,
        "{\n  \"architectures\": [\"LlamaForCausalLM\"],\n  \"model_type\": \"llama\",\n"
        "  \"hidden_act\": \"silu\",\n  \"hidden_size\": %d,\n  \"intermediate_size\": %d,\n"
        "  \"num_hidden_layers\": %d,\n  \"num_attention_heads\": %d,\n  \"num_key_value_heads\": "
        "%d,\n"
        "  \"vocab_size\": %d,\n  \"max_position_embeddings\": %d,\n  \"rms_norm_eps\": 1e-05,\n"
        "  \"rope_theta\": 10000.0,\n  \"rope_scaling\": null,\n  \"attention_bias\": false,\n"
        "  \"tie_word_embeddings\": %s\n}\n",
        s->dim, s->ff, s->layers, s->heads, s->kv_heads, s->vocab, s->context,
        s->tied ? "true" : "false");
    must(!out->failed);
}

/* ---- llama2.c ---- */

static void add_all(struct rr_buf *out, const struct tiny *t, const char *part)
{
    char name[64];
    for (int l = 0; l < t->s.layers; l++) {
        snprintf(name, sizeof name, "blk.%d.%s.weight", l, part);
        const struct tiny_tensor *x = tiny_find(t, name);
        add(out, x->v, (size_t)(x->rows ? x->rows : 1) * (size_t)x->cols * sizeof *x->v);
    }
}

void tiny_default_gguf(struct rr_buf *out)
{
    struct tiny t;
    struct gguf_file g = {0};
    tiny_make(&t, &tiny_default);
    gguf_from_tiny(&g, &t);
    gguf_write(out, &g);
    gguf_file_free(&g);
    tiny_free(&t);
}

void llama2c_from_tiny(struct rr_buf *out, const struct tiny *t)
{
    static const char *const parts[] = {"attn_norm", "attn_q",      "attn_k",
                                        "attn_v",    "attn_output", "ffn_norm",
                                        "ffn_gate",  "ffn_down",    "ffn_up"};
    const struct tiny_shape *s = &t->s;
    const size_t embed_bytes = (size_t)s->vocab * (size_t)s->dim * sizeof(float);
    const int header[7] = {s->dim,    s->ff,       s->layers,
                           s->heads,  s->kv_heads, s->tied ? s->vocab : -s->vocab,
                           s->context};
    rr_buf_clear(out);
    for (int i = 0; i < 7; i++)
        put_u32(out, (uint32_t)header[i]);
    add(out, tiny_find(t, "token_embd.weight")->v, embed_bytes);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        add_all(out, t, parts[i]);
    add(out, tiny_find(t, "output_norm.weight")->v, (size_t)s->dim * sizeof(float));
    for (int i = 0; i < s->context * (s->dim / s->heads); i++)
        put_f32(out, 0); /* the tables of cos and sin, which readers ignore */
    if (!s->tied)
        add(out, tiny_find(t, "output.weight")->v, embed_bytes);
}

void llama2c_tokenizer_from_tiny(struct rr_buf *out, const struct tiny *t)
{
    rr_buf_clear(out);
    put_u32(out, sizeof t->pieces[0].text);
    for (int i = 0; i < t->s.vocab; i++) {
        const struct tiny_piece *p = &t->pieces[i];
        struct rr_buf text = {0};
        for (int k = 0; k < p->n; k++) {
            const bool blank = k + 3 <= p->n && memcmp(p->text + k, BLANK, 3) == 0;
            add(&text, blank ? " " : p->text + k, 1);
            k += blank ? 2 : 0;
        }
        put_f32(out, p->score);
        put_u32(out, (uint32_t)text.n);
        add(out, text.data, text.n);
        rr_buf_free(&text);
    }
}

/* ---- SentencePiece ---- */

void proto_varint(struct rr_buf *b, uint64_t v)
{
    for (; v > 127; v >>= 7)
        put_u8(b, (unsigned)(v & 127) | 128);
    put_u8(b, (unsigned)v);
}

void proto_int(struct rr_buf *b, unsigned field, uint64_t v)
{
    proto_varint(b, field << 3);
    proto_varint(b, v);
}

void proto_bytes(struct rr_buf *b, unsigned field, const void *bytes, size_t n)
{
    proto_varint(b, field << 3 | 2);
    proto_varint(b, n);
    add(b, bytes, n);
}

void proto_f32(struct rr_buf *b, unsigned field, float v)
{
    proto_varint(b, field << 3 | 5);
    put_f32(b, v);
}

void proto_piece(struct rr_buf *b, const char *text, size_t n, float score, int type)
{
    struct rr_buf piece = {0};
    proto_bytes(&piece, 1, text, n);
    proto_f32(&piece, 2, score);
    if (type != 1)
        proto_int(&piece, 3, (uint64_t)type);
    proto_bytes(b, 1, piece.data, piece.n);
    rr_buf_free(&piece);
}

void proto_specs(struct rr_buf *b, bool byte_fallback)
{
    struct rr_buf trainer = {0}, normalizer = {0};
    proto_int(&trainer, 3, 2);
    proto_int(&trainer, 35, byte_fallback);
    proto_int(&trainer, 40, 0);
    proto_int(&trainer, 41, 1);
    proto_int(&trainer, 42, 2);
    proto_int(&trainer, 43, UINT64_MAX); /* no padding: int32 -1 */
    proto_bytes(&normalizer, 1, "identity", 8);
    proto_bytes(&normalizer, 2, "", 0);
    proto_int(&normalizer, 3, 1);
    proto_int(&normalizer, 4, 0);
    proto_int(&normalizer, 5, 1);
    proto_bytes(b, 2, trainer.data, trainer.n);
    proto_bytes(b, 3, normalizer.data, normalizer.n);
    rr_buf_free(&trainer);
    rr_buf_free(&normalizer);
}

void sentencepiece_from_tiny(struct rr_buf *out, const struct tiny *t)
{
    rr_buf_clear(out);
    for (int i = 0; i < t->s.vocab; i++)
        proto_piece(out, t->pieces[i].text, (size_t)t->pieces[i].n, t->pieces[i].score,
                    t->pieces[i].type);
    proto_specs(out, !t->s.no_bytes);
}
