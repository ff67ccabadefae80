/* A model as a Hugging Face folder: config.json, the tokenizer, model.safetensors. See write.h. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "engine/base/check.h"
#include "engine/base/file.h"
#include "engine/base/folder.h"
#include "engine/base/json.h"
#include "engine/base/number.h"
#include "weights/items.h"
#include "weights/stored.h"

#define TENSORS "model.safetensors"

struct writer {
    const char *dir;
    struct rr_folder folder; /* which becomes that */
    const struct rr_model *m;
    const struct rr_write_options *o;
    struct rr_rope rope; /* as config.json says it */
    struct rr_error *err;
    struct rr_buf head;
    uint64_t offset;
    struct rr_item_writer rows;
};

static const char *dtype(enum rr_type type)
{
    return type == RR_TYPE_F32    ? "F32"
           : type == RR_TYPE_F16  ? "F16"
           : type == RR_TYPE_BF16 ? "BF16"
                                  : NULL;
}

/* ---- config.json ---- */

/* GGUF keeps LLaMA-3's scaling as divisors of the frequencies. The settings that give the same, of
 * the kind that models are published with; false: none. */
static bool find_scaling(struct rr_rope *rope, const struct rr_hparams *h)
{
    const float *divisors = h->rope.freq_factors;
    const int half = h->head_dim / 2;
    *rope = (struct rr_rope){.theta = h->rope.theta,
                             .scaling = RR_ROPE_LLAMA3,
                             .low_freq_factor = 1,
                             .high_freq_factor = 4};
    for (int i = 0; i < half; i++)
        rope->factor = fmax(rope->factor, (double)divisors[i]);
    for (int context = 16; context <= 1 << 20; context *= 2) {
        bool same = true;
        rope->original_context = context;
        for (int i = 0; i < half && same; i++) {
            const double d = rr_rope_divisor(rope, pow(rope->theta, -2.0 * i / h->head_dim));
            same = fabs(d - (double)divisors[i]) <= 1e-5 * d;
        }
        if (same)
            return true;
    }
    return false;
}

static void set_int(struct rr_buf *b, const char *key, int v)
{
    rr_buf_printf(b, "  \"%s\": %d,\n", key, v);
}

/* What came as a float32 is written as the shortest number that it is. */
static void add_double(struct rr_buf *b, double v)
{
    char s[32];
    double d = v;
    if (isfinite(v) && (double)(float)v == v)
        for (int digits = 1; digits <= 9; digits++) {
            snprintf(s, sizeof s, "%.*g", digits, v);
            if (rr_parse_double(&d, s, strlen(s)) && (float)d == (float)v)
                break;
            d = v;
        }
    rr_json_add_double(b, d);
}

static void set_double(struct rr_buf *b, const char *key, double v)
{
    rr_buf_printf(b, "  \"%s\": ", key);
    add_double(b, v);
    rr_buf_puts(b, ",\n");
}

static void set_rope(struct rr_buf *b, const struct rr_rope *rope)
{
    set_double(b, "rope_theta", rope->theta);
    if (rope->scaling == RR_ROPE_NONE) {
        rr_buf_puts(b, "  \"rope_scaling\": null,\n");
        return;
    }
    const bool llama3 = rope->scaling == RR_ROPE_LLAMA3;
    rr_buf_printf(b, "  \"rope_scaling\": {\n    \"rope_type\": \"%s\",\n    \"factor\": ",
                  llama3 ? "llama3" : "linear");
    add_double(b, rope->factor);
    if (llama3) {
        rr_buf_puts(b, ",\n    \"low_freq_factor\": ");
        add_double(b, rope->low_freq_factor);
        rr_buf_puts(b, ",\n    \"high_freq_factor\": ");
        add_double(b, rope->high_freq_factor);
        rr_buf_printf(b, ",\n    \"original_max_position_embeddings\": %d", rope->original_context);
    }
    rr_buf_puts(b, "\n  },\n");
}

static void set_special(struct rr_buf *b, struct rr_special s)
{
    if (s.bos >= 0)
        set_int(b, "bos_token_id", s.bos);
    if (s.pad >= 0)
        set_int(b, "pad_token_id", s.pad);
    if (s.n_ends == 1)
        set_int(b, "eos_token_id", s.ends[0]);
    for (int i = 0; i < s.n_ends && s.n_ends > 1; i++)
        rr_buf_printf(b, "%s%d%s", i ? ", " : "  \"eos_token_id\": [", s.ends[i],
                      i + 1 == s.n_ends ? "],\n" : "");
}

static void make_config(struct writer *w, struct rr_buf *b, const struct rr_vocab *v)
{
    const struct rr_hparams *h = &w->m->h;
    const int type = rr_main_type(w->m, w->o);
    rr_buf_puts(b, "{\n  \"architectures\": [\"LlamaForCausalLM\"],\n  \"model_type\": \"llama\",\n"
                   "  \"hidden_act\": \"silu\",\n  \"attention_bias\": false,\n"
                   "  \"mlp_bias\": false,\n");
    set_int(b, "hidden_size", h->n_embd);
    set_int(b, "intermediate_size", h->n_ff);
    set_int(b, "num_hidden_layers", h->n_layers);
    set_int(b, "num_attention_heads", h->n_heads);
    set_int(b, "num_key_value_heads", h->n_kv_heads);
    set_int(b, "head_dim", h->head_dim);
    set_int(b, "vocab_size", h->n_vocab);
    set_int(b, "max_position_embeddings", h->n_context);
    set_double(b, "rms_norm_eps", h->rms_eps);
    set_rope(b, &w->rope);
    if (v)
        set_special(b, rr_vocab_special(v));
    rr_buf_printf(b, "  \"tie_word_embeddings\": %s,\n  \"torch_dtype\": \"%s\"\n}\n",
                  w->m->tied ? "true" : "false",
                  type == RR_TYPE_F32   ? "float32"
                  : type == RR_TYPE_F16 ? "float16"
                                        : "bfloat16");
}

/* ---- the tokenizer ---- */

static void add_token(struct rr_buf *b, const char *key, const struct rr_vocab *v, int id)
{
    if (id < 0)
        return;
    rr_buf_printf(b, "  \"%s\": ", key);
    rr_json_add_string(b, v->pieces[id].text, v->pieces[id].n);
    rr_buf_puts(b, ",\n");
}

static void make_tokenizer_config(struct rr_buf *b, const struct rr_vocab *v, const char *chat)
{
    rr_buf_puts(b, "{\n");
    const struct rr_special s = rr_vocab_special(v);
    add_token(b, "bos_token", v, s.bos);
    add_token(b, "pad_token", v, s.pad);
    add_token(b, "eos_token", v, v->eos);
    add_token(b, "unk_token", v, v->unk);
    if (chat) {
        rr_buf_puts(b, "  \"chat_template\": ");
        rr_json_add_string(b, chat, strlen(chat));
        rr_buf_puts(b, ",\n");
    }
    rr_buf_printf(b,
                  "  \"add_bos_token\": %s,\n  \"add_eos_token\": false,\n"
                  "  \"clean_up_tokenization_spaces\": false,\n  \"tokenizer_class\": \"%s\"\n}\n",
                  v->bos >= 0 ? "true" : "false",
                  v->merges ? "PreTrainedTokenizerFast" : "LlamaTokenizer");
}

/* ---- files ---- */

/* dir/name = b, which is freed. */
static int put_file(struct writer *w, const char *name, struct rr_buf *b)
{
    struct rr_out out = {0};
    char *path = rr_path_join(w->folder.made, name);
    int rc = path && !b->failed ? RR_OK : rr_fail_memory(w->err, name, b->n);
    if (!rc)
        rc = rr_out_open(&out, path, w->err);
    if (!rc) {
        fwrite(b->data, 1, b->n, out.f);
        rc = rr_out_commit(&out, w->err);
    }
    rr_free(path);
    rr_buf_free(b);
    return rc;
}

static int put_small_files(struct writer *w, const struct rr_vocab *v)
{
    struct rr_buf b = {0};
    make_config(w, &b, v);
    int rc = put_file(w, "config.json", &b);
    if (rc || !v)
        return rc;
    const char *name = rr_tokenizer_write(&b, v);
    rc = put_file(w, name, &b);
    if (rc)
        return rc;
    make_tokenizer_config(&b, v, w->o->chat);
    return put_file(w, "tokenizer_config.json", &b);
}

static int put_info(void *arg, const struct rr_item *i)
{
    struct writer *w = arg;
    const char *type = dtype(i->as);
    const uint64_t end = w->offset + rr_item_bytes(i);
    if (!type)
        return rr_fail(w->err, RR_ERR_USAGE, "UNSUPPORTED", RR_AT_OBJECT(w->dir, i->name),
                       "safetensors files hold no %s: say as what (--type f32, f16 or bf16)",
                       rr_type_info(i->as)->name);
    rr_buf_printf(&w->head, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[", i->name, type);
    if (!i->vector)
        rr_buf_printf(&w->head, "%d,", i->t.n_rows);
    rr_buf_printf(&w->head, "%d],\"data_offsets\":[%llu,%llu]}", i->t.n_cols,
                  (unsigned long long)w->offset, (unsigned long long)end);
    w->offset = end;
    return RR_OK;
}

static int put_data(void *arg, const struct rr_item *i)
{
    struct writer *w = arg;
    return rr_item_write(&w->rows, i, w->err);
}

static int put_tensors(struct writer *w)
{
    struct rr_out out = {0};
    char *path = rr_path_join(w->folder.made, TENSORS);
    unsigned char size[8];
    const uint64_t n = w->head.n;
    int rc = path ? rr_item_writer_open(&w->rows, w->m, w->o, w->dir, w->err)
                  : rr_fail_memory(w->err, TENSORS, 0);
    for (int i = 0; i < 8; i++)
        size[i] = (unsigned char)(n >> 8 * i);
    if (!rc)
        rc = rr_out_open(&out, path, w->err);
    if (!rc) {
        w->rows.out = out.f;
        w->rows.interleaved = false;
        fwrite(size, 1, sizeof size, out.f);
        fwrite(w->head.data, 1, w->head.n, out.f);
        rc = rr_each_item(w->m, &rr_names_hf, w->o, NULL, put_data, w);
        if (rc)
            rr_out_close(&out);
        else
            rc = rr_out_commit(&out, w->err);
    }
    rr_item_writer_close(&w->rows);
    rr_free(path);
    return rc;
}

/* What tokenizer.model cannot be without: one unknown piece, and a text for each. */
static bool fits_sentencepiece(const struct rr_vocab *v)
{
    size_t unknown = 0, empty = 0;
    for (size_t i = 0; i < v->n; i++) {
        unknown += v->pieces[i].type == RR_PIECE_UNKNOWN;
        empty += !v->pieces[i].n;
    }
    return unknown == 1 && !empty;
}

static int check(struct writer *w, const struct rr_vocab *v)
{
    const struct rr_hparams *h = &w->m->h;
    const char *what = NULL;
    w->rope = h->rope;
    if (v && v->rule && !v->merges)
        what = "tokenizer.json wants merges listed (rr_tokenizer_list_merges)";
    else if (v && !v->rule && !v->merges && !fits_sentencepiece(v))
        what = "tokenizer.model wants one piece for unknown text and no empty ones, which this "
               "vocabulary has not";
    else if (h->rope.freq_factors &&
             (h->rope.scaling != RR_ROPE_NONE || !find_scaling(&w->rope, h)))
        what = "config.json has no settings for this model's rope_freqs.weight";
    return what ? rr_fail(w->err, RR_ERR_USAGE, "UNSUPPORTED", RR_AT_FILE(w->dir), "%s", what)
                : RR_OK;
}

int rr_hf_write_model(const char *dir, const struct rr_model *m, const struct rr_vocab *v,
                      const struct rr_write_options *o, struct rr_error *err)
{
    struct writer w = {.dir = dir, .m = m, .o = o, .err = err};
    int rc = check(&w, v);
    rr_buf_puts(&w.head, "{\"__metadata__\":{\"format\":\"pt\"}");
    if (!rc)
        rc = rr_each_item(m, &rr_names_hf, o, NULL, put_info, &w);
    rr_buf_puts(&w.head, "}");
    while (w.head.n % 8 && !w.head.failed)
        rr_buf_puts(&w.head, " ");
    if (!rc && w.head.failed)
        rc = rr_fail_memory(err, "safetensors header", w.head.n);
    if (!rc)
        rc = rr_folder_begin(&w.folder, dir, err);
    if (!rc)
        rc = put_small_files(&w, v);
    if (!rc)
        rc = put_tensors(&w);
    if (!rc)
        rc = rr_folder_commit(&w.folder, err);
    rr_folder_abandon(&w.folder);
    rr_buf_free(&w.head);
    return rc;
}
