/* See write.h. Layout: GGUF specification, version 3. */
#include "weights/write.h"

#include <stdio.h>
#include <string.h>
#include "engine/base/check.h"
#include "engine/base/file.h"
#include "weights/stored.h"

#define ALIGN 32
enum { U32 = 4, I32 = 5, F32 = 6, BOOL = 7, STRING = 8, ARRAY = 9 };

/* Numbers of GGUF's tensor types. */
static const uint32_t type_numbers[RR_TYPE_COUNT] = {
    [RR_TYPE_F32] = 0,   [RR_TYPE_F16] = 1,     [RR_TYPE_BF16] = 30, [RR_TYPE_Q8_0] = 8,
    [RR_TYPE_Q4_0] = 2,  [RR_TYPE_Q6_K] = 14,   [RR_TYPE_Q4_K] = 12, [RR_TYPE_Q4_1] = 3,
    [RR_TYPE_Q5_0] = 6,  [RR_TYPE_Q5_1] = 7,    [RR_TYPE_Q2_K] = 10, [RR_TYPE_Q3_K] = 11,
    [RR_TYPE_Q5_K] = 13, [RR_TYPE_IQ4_NL] = 20,
};

struct writer {
    struct rr_buf head;
    uint64_t n_kv, n_tensors, data_bytes;
    const struct rr_note *notes;
    size_t n_notes;
};

static void put_u32(struct rr_buf *b, uint32_t v)
{
    const char c[4] = {(char)v, (char)(v >> 8), (char)(v >> 16), (char)(v >> 24)};
    rr_buf_add(b, c, 4);
}

static void put_u64(struct rr_buf *b, uint64_t v)
{
    put_u32(b, (uint32_t)v);
    put_u32(b, (uint32_t)(v >> 32));
}

static void put_f32(struct rr_buf *b, float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    put_u32(b, bits);
}

static void put_string(struct rr_buf *b, const char *s, size_t n)
{
    put_u64(b, n);
    rr_buf_add(b, s, n);
}

static void key(struct writer *w, const char *name, uint32_t type)
{
    put_string(&w->head, name, strlen(name));
    put_u32(&w->head, type);
    w->n_kv++;
}

static void set_u32(struct writer *w, const char *name, int v)
{
    key(w, name, U32);
    put_u32(&w->head, (uint32_t)v);
}

static void set_f32(struct writer *w, const char *name, double v)
{
    key(w, name, F32);
    put_f32(&w->head, (float)v);
}

static void set_string(struct writer *w, const char *name, const char *s)
{
    key(w, name, STRING);
    put_string(&w->head, s, strlen(s));
}

static void set_note(struct writer *w, const struct rr_note *n)
{
    const size_t prefix = strlen(RR_NOTE_PREFIX), len = strlen(n->key);
    put_u64(&w->head, prefix + len);
    rr_buf_puts(&w->head, RR_NOTE_PREFIX);
    rr_buf_add(&w->head, n->key, len);
    put_u32(&w->head, STRING);
    w->n_kv++;
    put_string(&w->head, n->value, strlen(n->value));
}

static void set_bool(struct writer *w, const char *name, bool v)
{
    key(w, name, BOOL);
    rr_buf_add(&w->head, v ? "\1" : "\0", 1);
}

static void begin_array(struct writer *w, const char *name, uint32_t type, size_t n)
{
    key(w, name, ARRAY);
    put_u32(&w->head, type);
    put_u64(&w->head, n);
}

static void set_hparams(struct writer *w, const struct rr_hparams *h)
{
    set_u32(w, "llama.block_count", h->n_layers);
    set_u32(w, "llama.context_length", h->n_context);
    set_u32(w, "llama.embedding_length", h->n_embd);
    set_u32(w, "llama.feed_forward_length", h->n_ff);
    set_u32(w, "llama.attention.head_count", h->n_heads);
    set_u32(w, "llama.attention.head_count_kv", h->n_kv_heads);
    set_u32(w, "llama.attention.key_length", h->head_dim);
    set_u32(w, "llama.attention.value_length", h->head_dim);
    set_f32(w, "llama.attention.layer_norm_rms_epsilon", h->rms_eps);
    set_u32(w, "llama.rope.dimension_count", h->head_dim);
    set_f32(w, "llama.rope.freq_base", h->rope.theta);
    if (h->rope.scaling == RR_ROPE_LINEAR) {
        set_string(w, "llama.rope.scaling.type", "linear");
        set_f32(w, "llama.rope.scaling.factor", h->rope.factor);
    }
    set_u32(w, "llama.vocab_size", h->n_vocab);
}

static void set_tokenizer(struct writer *w, const struct rr_vocab *v)
{
    set_string(w, "tokenizer.ggml.model", "llama");
    begin_array(w, "tokenizer.ggml.tokens", STRING, v->n);
    for (size_t i = 0; i < v->n; i++)
        put_string(&w->head, v->pieces[i].text, v->pieces[i].n);
    begin_array(w, "tokenizer.ggml.scores", F32, v->n);
    for (size_t i = 0; i < v->n; i++)
        put_f32(&w->head, v->pieces[i].score);
    begin_array(w, "tokenizer.ggml.token_type", I32, v->n);
    for (size_t i = 0; i < v->n; i++)
        put_u32(&w->head, (uint32_t)v->pieces[i].type);
    if (v->bos >= 0)
        set_u32(w, "tokenizer.ggml.bos_token_id", v->bos);
    if (v->eos >= 0)
        set_u32(w, "tokenizer.ggml.eos_token_id", v->eos);
    if (v->unk >= 0)
        set_u32(w, "tokenizer.ggml.unknown_token_id", v->unk);
    set_bool(w, "tokenizer.ggml.add_bos_token", v->bos >= 0);
    set_bool(w, "tokenizer.ggml.add_space_prefix", v->add_dummy_prefix);
    set_bool(w, "tokenizer.ggml.remove_extra_whitespaces", v->remove_extra_space);
}

/* What is done to every tensor of a model, in the order of the file. */
typedef void tensor_fn(void *arg, const char *name, const struct rr_tensor *t, bool vector);

static void each_tensor(const struct rr_model *m, tensor_fn *fn, void *arg)
{
    const struct rr_names *n = &rr_names_gguf;
    char name[64];
    const struct rr_tensor norm = {.type = RR_TYPE_F32, .n_rows = 1, .n_cols = m->h.n_embd};
    struct rr_tensor vector = norm;
    fn(arg, n->embed, &m->embed, false);
    for (int i = 0; i < m->h.n_layers; i++) {
        const struct rr_layer *l = &m->layers[i];
        const struct {
            const char *name;
            const struct rr_tensor *t;
            const float *v;
        } all[] = {{n->attn_norm, NULL, l->attn_norm},
                   {n->wq, &l->wq, NULL},
                   {n->wk, &l->wk, NULL},
                   {n->wv, &l->wv, NULL},
                   {n->wo, &l->wo, NULL},
                   {n->ffn_norm, NULL, l->ffn_norm},
                   {n->gate, &l->gate, NULL},
                   {n->up, &l->up, NULL},
                   {n->down, &l->down, NULL}};
        for (size_t k = 0; k < sizeof all / sizeof all[0]; k++) {
            snprintf(name, sizeof name, all[k].name, i);
            vector.data = all[k].v;
            fn(arg, name, all[k].t ? all[k].t : &vector, all[k].v != NULL);
        }
    }
    vector.data = m->out_norm;
    fn(arg, n->out_norm, &vector, true);
    if (!m->tied)
        fn(arg, n->head, &m->head, false);
}

static uint64_t tensor_bytes(const struct rr_tensor *t)
{
    return (uint64_t)t->n_rows * rr_row_bytes(t->type, (size_t)t->n_cols);
}

static void put_info(void *arg, const char *name, const struct rr_tensor *t, bool vector)
{
    struct writer *w = arg;
    put_string(&w->head, name, strlen(name));
    put_u32(&w->head, vector ? 1 : 2);
    put_u64(&w->head, (uint64_t)t->n_cols);
    if (!vector)
        put_u64(&w->head, (uint64_t)t->n_rows);
    put_u32(&w->head, type_numbers[t->type]);
    put_u64(&w->head, w->data_bytes);
    w->data_bytes = rr_round_up(w->data_bytes + tensor_bytes(t), ALIGN);
}

static void count_tensor(void *arg, const char *name, const struct rr_tensor *t, bool vector)
{
    (void)name;
    (void)t;
    (void)vector;
    ++*(uint64_t *)arg;
}

static void put_data(void *arg, const char *name, const struct rr_tensor *t, bool vector)
{
    static const char zeros[ALIGN] = {0};
    FILE *f = arg;
    const uint64_t n = tensor_bytes(t);
    (void)name;
    (void)vector;
    fwrite(t->data, 1, (size_t)n, f);
    fwrite(zeros, 1, (size_t)(rr_round_up(n, ALIGN) - n), f);
}

static void make_head(struct writer *w, struct rr_buf *out, const struct rr_model *m,
                      const struct rr_vocab *v, const char *name)
{
    set_string(w, "general.architecture", "llama");
    set_string(w, "general.name", name);
    set_u32(w, "general.alignment", ALIGN);
    set_hparams(w, &m->h);
    for (size_t i = 0; i < w->n_notes; i++)
        set_note(w, &w->notes[i]);
    if (v)
        set_tokenizer(w, v);
    each_tensor(m, count_tensor, &w->n_tensors);
    each_tensor(m, put_info, w);
    rr_buf_puts(out, "GGUF");
    put_u32(out, 3);
    put_u64(out, w->n_tensors);
    put_u64(out, w->n_kv);
    rr_buf_add(out, w->head.data ? w->head.data : "", w->head.n);
    while (out->n % ALIGN && !out->failed)
        rr_buf_add(out, "\0", 1);
    out->failed = out->failed || w->head.failed;
}

int rr_gguf_write_model(const char *path, const struct rr_model *m, const struct rr_vocab *v,
                        const char *name, const struct rr_note *notes, size_t n_notes,
                        struct rr_error *err)
{
    struct writer w = {.notes = notes, .n_notes = n_notes};
    struct rr_buf head = {0};
    struct rr_out out;
    if (!m->h.rope.interleaved || m->h.rope.scaling == RR_ROPE_LLAMA3)
        return rr_fail(err, RR_ERR_USAGE, "UNSUPPORTED", RR_AT_FILE(path),
                       "only models with GGUF's rotary order and plain or linear scaling can be "
                       "written");
    make_head(&w, &head, m, v, name);
    int rc = head.failed ? rr_fail_memory(err, "GGUF head", head.n) : rr_out_open(&out, path, err);
    if (!rc) {
        fwrite(head.data, 1, head.n, out.f);
        each_tensor(m, put_data, out.f);
        rc = rr_out_commit(&out, err);
    }
    rr_buf_free(&w.head);
    rr_buf_free(&head);
    return rc;
}
