/* See write.h. Layout: GGUF specification, version 3. */
#include "weights/write.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include "engine/base/check.h"
#include "engine/base/file.h"
#include "weights/items.h"
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
    const struct rr_model *m;
    const struct rr_write_options *o;
    const char *path;
    struct rr_error *err;
    struct rr_buf head;
    uint64_t n_kv, n_tensors, data_bytes;
    const float *factors; /* [head_dim / 2] of the rotation, or NULL; */
    float *made;          /* those that were made here */
    struct rr_item_writer rows;
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

/* The characters that GPT-2 has for bytes. */
static void put_spelled(struct rr_buf *b, const struct rr_piece *p)
{
    struct rr_buf text = {0};
    if (p->type == RR_PIECE_NORMAL)
        rr_bytelevel_spell(&text, p->text, p->n);
    else
        rr_buf_add(&text, p->text, p->n);
    put_string(b, text.data ? text.data : "", text.n);
    b->failed = b->failed || text.failed;
    rr_buf_free(&text);
}

/* "a b" for every merge. */
static void put_merges(struct writer *w, const struct rr_vocab *v)
{
    begin_array(w, "tokenizer.ggml.merges", STRING, v->n_merges);
    for (size_t i = 0; i < v->n_merges; i++) {
        const struct rr_piece *a = &v->pieces[v->merges[i][0]], *b = &v->pieces[v->merges[i][1]];
        struct rr_buf text = {0};
        rr_bytelevel_spell(&text, a->text, a->n);
        rr_buf_puts(&text, " ");
        rr_bytelevel_spell(&text, b->text, b->n);
        put_string(&w->head, text.data ? text.data : "", text.n);
        w->head.failed = w->head.failed || text.failed;
        rr_buf_free(&text);
    }
}

/* What else ends a text: llama.cpp has two more keys for that. */
static void set_ends(struct writer *w, const struct rr_special *s, int eos)
{
    static const char *const keys[] = {"tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    for (int i = 0, n = 0; i < s->n_ends && n < 2; i++)
        if (s->ends[i] != eos)
            set_u32(w, keys[n++], s->ends[i]);
}

static void set_tokenizer(struct writer *w, const struct rr_vocab *v)
{
    static const char *const rules[] = {
        [RR_WORDS_GPT2] = "gpt-2", [RR_WORDS_DIGITS] = "smollm", [RR_WORDS_LLAMA3] = "llama-bpe"};
    const struct rr_special special = rr_vocab_special(v);
    set_string(w, "tokenizer.ggml.model", v->rule ? "gpt2" : "llama");
    if (v->rule)
        set_string(w, "tokenizer.ggml.pre", rules[v->rule]);
    begin_array(w, "tokenizer.ggml.tokens", STRING, v->n);
    for (size_t i = 0; i < v->n; i++)
        if (v->rule)
            put_spelled(&w->head, &v->pieces[i]);
        else
            put_string(&w->head, v->pieces[i].text, v->pieces[i].n);
    if (!v->rule) {
        begin_array(w, "tokenizer.ggml.scores", F32, v->n);
        for (size_t i = 0; i < v->n; i++)
            put_f32(&w->head, v->pieces[i].score);
    }
    begin_array(w, "tokenizer.ggml.token_type", I32, v->n);
    for (size_t i = 0; i < v->n; i++)
        put_u32(&w->head, (uint32_t)v->pieces[i].type);
    if (v->rule)
        put_merges(w, v);
    if (special.bos >= 0)
        set_u32(w, "tokenizer.ggml.bos_token_id", special.bos);
    if (special.pad >= 0)
        set_u32(w, "tokenizer.ggml.padding_token_id", special.pad);
    set_ends(w, &special, v->eos);
    /* Without these keys a reader takes SentencePiece's usual ones for there: -1 says there is
     * none. */
    if (v->eos >= 0 || !v->rule)
        set_u32(w, "tokenizer.ggml.eos_token_id", v->eos);
    if (v->unk >= 0 || !v->rule)
        set_u32(w, "tokenizer.ggml.unknown_token_id", v->unk);
    set_bool(w, "tokenizer.ggml.add_bos_token", v->bos >= 0);
    if (w->o->chat)
        set_string(w, "tokenizer.chat_template", w->o->chat);
    if (v->rule)
        return;
    set_bool(w, "tokenizer.ggml.add_space_prefix", v->add_dummy_prefix);
    set_bool(w, "tokenizer.ggml.remove_extra_whitespaces", v->remove_extra_space);
}

/* Its entry in the list of tensors. */
static int put_info(void *arg, const struct rr_item *i)
{
    struct writer *w = arg;
    put_string(&w->head, i->name, strlen(i->name));
    put_u32(&w->head, i->vector ? 1 : 2);
    put_u64(&w->head, (uint64_t)i->t.n_cols);
    if (!i->vector)
        put_u64(&w->head, (uint64_t)i->t.n_rows);
    put_u32(&w->head, type_numbers[i->as]);
    put_u64(&w->head, w->data_bytes);
    w->data_bytes = rr_round_up(w->data_bytes + rr_item_bytes(i), ALIGN);
    return RR_OK;
}

static int count_tensor(void *arg, const struct rr_item *i)
{
    struct writer *w = arg;
    (void)i;
    w->n_tensors++;
    return RR_OK;
}

static int put_data(void *arg, const struct rr_item *i)
{
    static const char zeros[ALIGN] = {0};
    struct writer *w = arg;
    const uint64_t n = rr_item_bytes(i);
    int rc = rr_item_write(&w->rows, i, w->err);
    fwrite(zeros, 1, (size_t)(rr_round_up(n, ALIGN) - n), w->rows.out);
    return rc;
}

/* LLaMA-3's stretching of long wavelengths as divisors of the frequencies, as GGUF has it. */
static int make_factors(struct writer *w)
{
    const struct rr_hparams *h = &w->m->h;
    w->factors = h->rope.freq_factors;
    if (h->rope.scaling != RR_ROPE_LLAMA3)
        return RR_OK;
    const int half = h->head_dim / 2;
    w->made = rr_alloc((size_t)half, sizeof *w->made);
    if (!w->made)
        return rr_fail_memory(w->err, "rotary factors", (size_t)half * sizeof *w->made);
    for (int i = 0; i < half; i++)
        w->made[i] = (float)rr_rope_divisor(&h->rope, pow(h->rope.theta, -2.0 * i / h->head_dim));
    w->factors = w->made;
    return RR_OK;
}

static int each(struct writer *w, rr_item_fn *fn)
{
    return rr_each_item(w->m, &rr_names_gguf, w->o, w->factors, fn, w);
}

/* llama.cpp's number for what most of a file's tensors are; -1: it has none. */
static int file_type(const struct writer *w)
{
    switch (rr_main_type(w->m, w->o)) {
    case RR_TYPE_F32:
        return 0;
    case RR_TYPE_F16:
        return 1;
    case RR_TYPE_Q4_0:
        return 2;
    case RR_TYPE_Q8_0:
        return 7;
    case RR_TYPE_Q4_K:
        return w->o->mixed ? 15 : 14;
    case RR_TYPE_Q5_K:
        return w->o->mixed ? 17 : 16;
    case RR_TYPE_Q6_K:
        return 18;
    case RR_TYPE_BF16:
        return 32;
    default:
        return -1;
    }
}

static void make_head(struct writer *w, struct rr_buf *out, const struct rr_vocab *v)
{
    set_string(w, "general.architecture", "llama");
    set_string(w, "general.name", w->o->name);
    set_u32(w, "general.alignment", ALIGN);
    if (file_type(w) >= 0)
        set_u32(w, "general.file_type", file_type(w));
    set_u32(w, "general.quantization_version", 2);
    set_hparams(w, &w->m->h);
    for (size_t i = 0; i < w->o->n_notes; i++)
        set_note(w, &w->o->notes[i]);
    if (v)
        set_tokenizer(w, v);
    each(w, count_tensor);
    each(w, put_info);
    rr_buf_puts(out, "GGUF");
    put_u32(out, 3);
    put_u64(out, w->n_tensors);
    put_u64(out, w->n_kv);
    rr_buf_add(out, w->head.data ? w->head.data : "", w->head.n);
    while (out->n % ALIGN && !out->failed)
        rr_buf_add(out, "\0", 1);
    out->failed = out->failed || w->head.failed;
}

static int check(const struct writer *w, const struct rr_vocab *v)
{
    const char *what = NULL;
    if (v && v->merges && !v->rule)
        what = "GGUF wants this tokenizer's merges as scores (rr_vocab_score_merges)";
    else if (v && v->rule && !v->merges)
        what = "GGUF wants this tokenizer's merges listed (rr_tokenizer_list_merges)";
    else if (v && v->rule && v->whole_words != (v->rule == RR_WORDS_LLAMA3))
        what = "GGUF has no name for this way of cutting words";
    else if (w->m->h.rope.scaling == RR_ROPE_LLAMA3 && w->m->h.rope.freq_factors)
        what = "two scalings of the rotation at once";
    return what ? rr_fail(w->err, RR_ERR_USAGE, "UNSUPPORTED", RR_AT_FILE(w->path), "%s", what)
                : RR_OK;
}

int rr_gguf_write_model(const char *path, const struct rr_model *m, const struct rr_vocab *v,
                        const struct rr_write_options *o, struct rr_error *err)
{
    struct writer w = {.m = m, .o = o, .path = path, .err = err};
    struct rr_buf head = {0};
    struct rr_out out = {0};
    int rc = check(&w, v);
    if (!rc)
        rc = make_factors(&w);
    if (!rc)
        make_head(&w, &head, v);
    if (!rc && head.failed)
        rc = rr_fail_memory(err, "GGUF head", head.n);
    if (!rc)
        rc = rr_item_writer_open(&w.rows, m, o, path, err);
    if (!rc)
        rc = rr_out_open(&out, path, err);
    if (!rc) {
        w.rows.out = out.f;
        w.rows.interleaved = true;
        fwrite(head.data, 1, head.n, out.f);
        rc = each(&w, put_data);
        if (rc)
            rr_out_close(&out);
        else
            rc = rr_out_commit(&out, err);
    }
    rr_item_writer_close(&w.rows);
    rr_free(w.made);
    rr_buf_free(&w.head);
    rr_buf_free(&head);
    return rc;
}
