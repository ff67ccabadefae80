/* What adapters can be beside q and v of PEFT's: whole weights (modules_to_save), fan_in_fan_out,
 * expressions for names, several with weights, GGUF files; against sums worked out here. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "engine/engine.h"
#include "tests/make_files.h"
#include "tests/test.h"
#include "weights/adapter.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* ---- what is applied to what ---- */

struct bed {
    struct tiny t;
    struct rr_engine e;
    char bases[2][512]; /* a GGUF file, a folder: the same numbers, rows of q and k otherwise */
};

static void open_bed(struct bed *b, bool tied)
{
    struct tiny_shape shape = tiny_default;
    struct rr_error err = {0};
    struct rr_buf f = {0};
    struct gguf_file g;
    shape.tied = tied;
    tiny_make(&b->t, &shape);
    cr_assert(rr_engine_init(&b->e, 1, rr_cpu_best(), &err) == 0, "%s", err.text);
    gguf_from_tiny(&g, &b->t);
    gguf_write(&f, &g);
    gguf_file_free(&g);
    snprintf(b->bases[0], sizeof b->bases[0], "%s", path_in(temporary_dir(), "tiny.gguf"));
    write_file(b->bases[0], f.data, f.n);
    snprintf(b->bases[1], sizeof b->bases[1], "%s", path_in(temporary_dir(), "hf"));
    cr_assert(mkdir(b->bases[1], 0777) == 0, "mkdir");
    rr_buf_clear(&f);
    safetensors_from_tiny(&f, &b->t, 0, b->t.n_tensors);
    write_file(path_in(b->bases[1], "model.safetensors"), f.data, f.n);
    rr_buf_clear(&f);
    config_from_tiny(&f, &b->t);
    write_file(path_in(b->bases[1], "config.json"), f.data, f.n);
    rr_buf_free(&f);
}

static void close_bed(struct bed *b)
{
    tiny_free(&b->t);
    rr_engine_release(&b->e);
}

/* A safetensors file in the making. */
struct maker {
    struct rr_buf header, data;
};

static float number(int seed, int i)
{
    return 0.01f * (float)((i * 7 + seed * 5) % 23 - 11);
}

/* rows 0: a vector. turn: numbers of the transpose. */
static void add(struct maker *m, const char *name, int rows, int cols, int seed, bool turn)
{
    const int n = (rows ? rows : 1) * cols;
    char shape[32];
    snprintf(shape, sizeof shape, rows ? "%d,%d" : "%.0d%d", rows, cols);
    rr_buf_printf(&m->header,
                  "%s\"base_model.model.%s\":{\"dtype\":\"F32\",\"shape\":[%s],"
                  "\"data_offsets\":[%zu,%zu]}",
                  m->header.n ? "," : "{", name, shape, m->data.n, m->data.n + 4 * (size_t)n);
    for (int i = 0; i < n; i++)
        put_f32(&m->data, number(seed, turn ? i % cols * rows + i / cols : i));
}

static void finish(struct maker *m, struct rr_buf *out)
{
    rr_buf_puts(&m->header, "}");
    rr_buf_clear(out);
    safetensors_write(out, m->header.data, m->header.n, m->data.data, m->data.n);
    rr_buf_free(&m->header);
    rr_buf_free(&m->data);
}

static void config(struct rr_buf *out, const char *targets, const char *more)
{
    rr_buf_clear(out);
    rr_buf_printf(out,
                  "{\"peft_type\":\"LORA\",\"task_type\":\"CAUSAL_LM\",\"r\":2,\"lora_alpha\":4,"
                  "\"target_modules\":%s%s}",
                  targets, more);
}

static int apply(const struct bed *b, int base, struct rr_weights *w, const struct rr_buf *settings,
                 const struct rr_buf *tensors, double weight, struct rr_adapter_report *r,
                 struct rr_error *err)
{
    const struct rr_adapter_files files = {"config",
                                           settings ? settings->data : NULL,
                                           settings ? settings->n : 0,
                                           "tensors",
                                           tensors->data,
                                           tensors->n};
    *err = (struct rr_error){0};
    cr_assert(rr_weights_open(w, b->bases[base], NULL, err) == 0, "%s", err->text);
    const int rc = rr_adapter_apply_memory(w, &b->e.kernels, &files, weight, r, err);
    if (rc)
        rr_weights_close(w);
    return rc;
}

/* Returns the byte that the refusal names. */
static long long refused(const struct bed *b, const struct rr_buf *settings,
                         const struct rr_buf *tensors, double weight, int status, const char *code,
                         const char *object, const char *text)
{
    struct rr_weights w;
    struct rr_adapter_report r;
    struct rr_error err;
    const int rc = apply(b, 0, &w, settings, tensors, weight, &r, &err);
    cr_assert(rc == status && strcmp(err.code, code) == 0, "%s: %d [%s] %s: %s", object, rc,
              err.code, err.object, err.text);
    cr_assert(strcmp(err.object, object) == 0 && strstr(err.text, text), "%s, not %s: %s",
              err.object, object, err.text);
    return err.offset;
}

/* Where a file of Hugging Face's has row i of q or k. */
static int row_at(const struct rr_model *m, int i)
{
    const int hd = m->h.head_dim, j = i % hd;
    return m->h.rope.interleaved ? i - j + j % 2 * (hd / 2) + j / 2 : i;
}

static const float *row_of(const struct rr_tensor *t, int i)
{
    cr_assert(t->type == RR_TYPE_F32, "not float32");
    return (const float *)t->data + (size_t)i * (size_t)t->n_cols;
}

/* ---- modules_to_save ---- */

Test(adapter_kinds, whole_weights_take_the_place_of_the_base_s)
{
    struct bed b;
    struct rr_buf settings = {0}, tensors = {0};
    struct maker m = {0};
    open_bed(&b, false);
    add(&m, "model.embed_tokens.weight", 300, 32, 1, false);
    add(&m, "lm_head.modules_to_save.default.weight", 300, 32, 2, false);
    add(&m, "model.norm.weight", 0, 32, 3, false);
    add(&m, "model.layers.1.input_layernorm.weight", 0, 32, 4, false);
    add(&m, "model.layers.1.self_attn.k_proj.weight", 16, 32, 5, false);
    add(&m, "model.layers.0.self_attn.v_proj.lora_A.weight", 2, 32, 6, false);
    add(&m, "model.layers.0.self_attn.v_proj.lora_B.weight", 16, 2, 7, false);
    finish(&m, &tensors);
    config(&settings, "\"model.layers.0.self_attn.v_proj\"",
           ",\"modules_to_save\":[\"embed_tokens\",\"lm_head\",\"norm\","
           "\"layers.1.input_layernorm\",\"layers.1.self_attn.k_proj\"]");
    for (int base = 0; base < 2; base++) {
        struct rr_weights w;
        struct rr_adapter_report r;
        struct rr_error err;
        cr_assert(apply(&b, base, &w, &settings, &tensors, 1, &r, &err) == 0, "%s: %s", err.object,
                  err.text);
        cr_assert(r.n_saved == 5 && r.n_merged == 1, "%d saved, %d merged", r.n_saved, r.n_merged);
        for (int i = 0; i < 32; i++) {
            cr_assert(row_of(&w.model.embed, 299)[i] == number(1, 299 * 32 + i), "embedding");
            cr_assert(row_of(&w.model.head, 3)[i] == number(2, 3 * 32 + i), "head");
            cr_assert(w.model.out_norm[i] == number(3, i), "norm");
            cr_assert(w.model.layers[1].attn_norm[i] == number(4, i), "norm of layer 1");
            cr_assert(row_of(&w.model.layers[1].wk, 3)[i] ==
                          number(5, row_at(&w.model, 3) * 32 + i),
                      "k, base %d", base);
        }
        rr_weights_close(&w);
    }
    refused(&b, &settings, &tensors, 0.5, RR_ERR_USAGE, "UNSUPPORTED", "modules_to_save",
            "only be 1");
    config(&settings, "\"model.layers.0.self_attn.v_proj\"",
           ",\"modules_to_save\":[\"embed_tokens\",\"lm_head\"]");
    refused(&b, &settings, &tensors, 1, RR_ERR_DATA, "ADAPTER",
            "base_model.model.model.norm.weight", "none of adapter_config.json's modules_to_save");
    config(&settings, "\"model.layers.0.self_attn.v_proj\"",
           ",\"modules_to_save\":[\"layers.0.input_layernorm\",\"norm\"]");
    refused(&b, &settings, &tensors, 1, RR_ERR_DATA, "ADAPTER", "model.layers.0.input_layernorm",
            "its tensor is missing");
    config(&settings, "\"model.layers.0.self_attn.v_proj\"",
           ",\"modules_to_save\":[\"layers.1.input_layernorm\",\"norm\"]");
    refused(&b, &settings, &tensors, 1, RR_ERR_DATA, "ADAPTER",
            "base_model.model.model.layers.1.self_attn.k_proj.weight", "none of");
    rr_buf_free(&settings);
    rr_buf_free(&tensors);
    close_bed(&b);
}

Test(adapter_kinds, a_tied_head_is_not_guessed_at)
{
    struct bed b;
    struct rr_buf settings = {0}, tensors = {0};
    struct rr_weights w;
    struct rr_adapter_report r;
    struct rr_error err;
    open_bed(&b, true);
    config(&settings, "\"model.layers.0.self_attn.v_proj\"", "");
    for (int both = 0; both < 2; both++) {
        struct maker m = {0};
        add(&m, "model.layers.0.self_attn.v_proj.lora_A.weight", 2, 32, 6, false);
        add(&m, "model.layers.0.self_attn.v_proj.lora_B.weight", 16, 2, 7, false);
        add(&m, "model.embed_tokens.weight", 300, 32, 1, false);
        if (both)
            add(&m, "lm_head.weight", 300, 32, 2, false);
        finish(&m, &tensors);
        if (!both) {
            refused(&b, &settings, &tensors, 1, RR_ERR_DATA, "UNSUPPORTED", "modules_to_save",
                    "both or neither");
            continue;
        }
        cr_assert(apply(&b, 0, &w, &settings, &tensors, 1, &r, &err) == 0, "%s", err.text);
        cr_assert(!w.model.tied && row_of(&w.model.head, 0)[1] == number(2, 1) &&
                      row_of(&w.model.embed, 0)[1] == number(1, 1),
                  "head and embedding");
        rr_weights_close(&w);
    }
    struct maker m = {0};
    add(&m, "model.embed_tokens.weight", 301, 32, 1, false);
    finish(&m, &tensors);
    refused(&b, &settings, &tensors, 1, RR_ERR_DATA, "ADAPTER",
            "base_model.model.model.embed_tokens.weight", "[301, 32]; expected [300, 32]");
    rr_buf_free(&settings);
    rr_buf_free(&tensors);
    close_bed(&b);
}

/* ---- b a, its transpose, its weight ---- */

/* gate: [64, 32]; r 2. */
static void gate_tensors(struct rr_buf *out, bool turned)
{
    struct maker m = {0};
    for (int layer = 0; layer < 2; layer++) {
        char name[96];
        snprintf(name, sizeof name, "model.layers.%d.mlp.gate_proj.lora_%c.weight", layer,
                 turned ? 'B' : 'A');
        add(&m, name, turned ? 32 : 2, turned ? 2 : 32, layer, turned);
        snprintf(name, sizeof name, "model.layers.%d.mlp.gate_proj.lora_%c.weight", layer,
                 turned ? 'A' : 'B');
        add(&m, name, turned ? 2 : 64, turned ? 64 : 2, 9 + layer, turned);
    }
    finish(&m, out);
}

/* Whether layer 1's gate is the base's plus scale b a. */
static void check_gate(const struct bed *b, const struct rr_weights *w, double scale,
                       const char *what)
{
    const struct tiny_tensor *base = tiny_find(&b->t, "blk.1.ffn_gate.weight");
    for (int i = 0; i < 64; i++)
        for (int j = 0; j < 32; j++) {
            double sum = 0;
            for (int k = 0; k < 2; k++)
                sum += (double)number(10, i * 2 + k) * (double)number(1, k * 32 + j);
            const double is = (double)row_of(&w->model.layers[1].gate, i)[j],
                         expected = (double)base->v[i * 32 + j] + scale * sum;
            cr_assert(fabs(is - expected) < 1e-7, "%s: row %d, column %d: %g; expected %g", what, i,
                      j, is, expected);
        }
}

Test(adapter_kinds, transposes_and_weights)
{
    struct bed b;
    struct rr_buf settings = {0}, plain = {0}, turned = {0};
    struct rr_weights w;
    struct rr_adapter_report r;
    struct rr_error err;
    open_bed(&b, false);
    gate_tensors(&plain, false);
    gate_tensors(&turned, true);
    config(&settings, "[\"gate_proj\"]", "");
    cr_assert(apply(&b, 0, &w, &settings, &plain, 1, &r, &err) == 0, "%s", err.text);
    check_gate(&b, &w, 2, "plain");
    rr_weights_close(&w);
    cr_assert(apply(&b, 0, &w, &settings, &plain, -0.25, &r, &err) == 0, "%s", err.text);
    check_gate(&b, &w, -0.5, "a weight");
    cr_assert(r.scale == 2 && r.most > 0, "scale %g", r.scale);
    char once[65];
    snprintf(once, sizeof once, "%s", w.adapter);
    /* Another one on top. */
    const struct rr_adapter_files files = {"config",  settings.data, settings.n,
                                           "tensors", plain.data,    plain.n};
    cr_assert(rr_adapter_apply_memory(&w, &b.e.kernels, &files, 0.5, &r, &err) == 0, "%s",
              err.text);
    check_gate(&b, &w, 0.5, "two");
    cr_assert(strcmp(once, w.adapter) != 0, "the same fingerprint with one and with two");
    rr_weights_close(&w);
    refused(&b, &settings, &plain, NAN, RR_ERR_USAGE, "ADAPTER", "", "not finite");
    refused(&b, &settings, &turned, 1, RR_ERR_DATA, "ADAPTER",
            "base_model.model.model.layers.0.mlp.gate_proj.lora_A.weight",
            "[2, 64]; expected [2, 32]");
    config(&settings, "[\"gate_proj\"]", ",\"fan_in_fan_out\":true");
    cr_assert(apply(&b, 0, &w, &settings, &turned, 1, &r, &err) == 0, "%s: %s", err.object,
              err.text);
    check_gate(&b, &w, 2, "fan_in_fan_out");
    rr_weights_close(&w);
    rr_buf_free(&settings);
    rr_buf_free(&plain);
    rr_buf_free(&turned);
    close_bed(&b);
}

static void check_collision(const struct bed *b, struct rr_weights *w,
                            const struct rr_buf *settings, const struct rr_buf *tensors,
                            const char *what)
{
    const struct rr_adapter_files files = {"config",  settings->data, settings->n,
                                           "tensors", tensors->data,  tensors->n};
    struct rr_adapter_report r;
    struct rr_error err = {0};
    int rc = rr_adapter_apply_memory(w, &b->e.kernels, &files, 1, &r, &err);
    cr_assert(rc == RR_ERR_DATA && strcmp(err.code, "ADAPTER_COLLISION") == 0 &&
                  strstr(err.text, what) && strstr(err.object, "gate_proj"),
              "%s: %d %s: %s", what, rc, err.object, err.text);
    rr_weights_close(w);
}

/* One replaces what another has changed: it would depend on their order. */
Test(adapter_kinds, two_of_them_that_collide)
{
    struct bed b;
    struct rr_buf lora = {0}, lora_tensors = {0}, whole = {0}, whole_tensors = {0};
    struct maker m = {0};
    struct rr_weights w;
    struct rr_adapter_report r;
    struct rr_error err;
    open_bed(&b, false);
    gate_tensors(&lora_tensors, false);
    config(&lora, "[\"gate_proj\"]", "");
    add(&m, "model.layers.1.mlp.gate_proj.weight", 64, 32, 5, false);
    add(&m, "model.layers.0.self_attn.v_proj.lora_A.weight", 2, 32, 6, false);
    add(&m, "model.layers.0.self_attn.v_proj.lora_B.weight", 16, 2, 7, false);
    finish(&m, &whole_tensors);
    config(&whole, "\"model.layers.0.self_attn.v_proj\"",
           ",\"modules_to_save\":[\"layers.1.mlp.gate_proj\"]");
    cr_assert(apply(&b, 0, &w, &lora, &lora_tensors, 1, &r, &err) == 0, "%s", err.text);
    check_collision(&b, &w, &whole, &whole_tensors, "replaces what another adapter has changed");
    cr_assert(apply(&b, 0, &w, &whole, &whole_tensors, 1, &r, &err) == 0, "%s: %s", err.object,
              err.text);
    check_collision(&b, &w, &lora, &lora_tensors, "adds to what another adapter has replaced");
    cr_assert(apply(&b, 0, &w, &whole, &whole_tensors, 1, &r, &err) == 0, "%s", err.text);
    check_collision(&b, &w, &whole, &whole_tensors, "replaces what another adapter has replaced");
    rr_buf_free(&lora);
    rr_buf_free(&lora_tensors);
    rr_buf_free(&whole);
    rr_buf_free(&whole_tensors);
    close_bed(&b);
}

Test(adapter_kinds, names_by_expressions)
{
    struct bed b;
    struct rr_buf settings = {0}, tensors = {0};
    struct rr_weights w;
    struct rr_adapter_report r;
    struct rr_error err;
    open_bed(&b, false);
    gate_tensors(&tensors, false);
    config(&settings, "\".*\\\\.(gate|up)_proj\"", ",\"exclude_modules\":\".*up_proj\"");
    cr_assert(apply(&b, 0, &w, &settings, &tensors, 1, &r, &err) == 0, "%s: %s", err.object,
              err.text);
    cr_assert(r.n_merged == 2, "%d merged", r.n_merged);
    rr_weights_close(&w);
    config(&settings, "\".*\\\\.(gate|up)_proj\"", "");
    refused(&b, &settings, &tensors, 1, RR_ERR_DATA, "ADAPTER", "model.layers.0.mlp.up_proj",
            "its tensors are missing");
    config(&settings, "\"model.layers.1.mlp.gate_proj\"", "");
    refused(&b, &settings, &tensors, 1, RR_ERR_DATA, "ADAPTER",
            "base_model.model.model.layers.0.mlp.gate_proj.lora_A.weight", "none of");
    config(&settings, "\".*gate\"", "");
    refused(&b, &settings, &tensors, 1, RR_ERR_DATA, "ADAPTER", "target_modules", "fits no module");
    config(&settings, "[\"gate_proj\"]",
           ",\"alpha_pattern\":{\"^model.layers.[1-9].*\":3},\"rank_pattern\":{\"mlp.gate_.*\":2}");
    cr_assert(apply(&b, 0, &w, &settings, &tensors, 1, &r, &err) == 0, "%s: %s", err.object,
              err.text);
    check_gate(&b, &w, 1.5, "alpha by an expression");
    rr_weights_close(&w);
    rr_buf_free(&settings);
    rr_buf_free(&tensors);
    close_bed(&b);
}

/* ---- GGUF ---- */

/* Row i of what Hugging Face has as `from`: rows of q and k go in pairs. */
static void gguf_factor(struct gguf_file *g, const char *name, int rows, int cols, int seed,
                        bool pairs)
{
    float v[64 * 32];
    for (int i = 0; i < rows; i++) {
        const int j = i % 8, from = pairs ? i - j + j % 2 * 4 + j / 2 : i; /* heads of 8 */
        for (int k = 0; k < cols; k++)
            v[i * cols + k] = number(seed, from * cols + k);
    }
    const uint64_t dims[2] = {(uint64_t)cols, (uint64_t)rows};
    gguf_add_tensor(g, name, 0, 2, dims, v, (size_t)rows * (size_t)cols * sizeof *v);
}

static void gguf_adapter(struct gguf_file *g)
{
    memset(g, 0, sizeof *g);
    g->version = 3;
    g->alignment = 32;
    gguf_set_string(g, "general.type", "adapter");
    gguf_set_string(g, "general.architecture", "llama");
    gguf_set_string(g, "adapter.type", "lora");
    gguf_set_f32(g, "adapter.lora.alpha", 4);
    gguf_factor(g, "blk.1.attn_q.weight.lora_a", 2, 32, 1, false);
    gguf_factor(g, "blk.1.attn_q.weight.lora_b", 32, 2, 2, true);
    gguf_factor(g, "blk.0.ffn_gate.weight.lora_a", 2, 32, 3, false);
    gguf_factor(g, "blk.0.ffn_gate.weight.lora_b", 64, 2, 4, false);
}

Test(adapter_kinds, gguf_files_are_the_same_adapter)
{
    struct bed b;
    struct gguf_file g;
    struct maker m = {0};
    struct rr_buf settings = {0}, peft = {0}, gguf = {0};
    open_bed(&b, false);
    gguf_adapter(&g);
    gguf_write(&gguf, &g);
    add(&m, "model.layers.1.self_attn.q_proj.lora_A.weight", 2, 32, 1, false);
    add(&m, "model.layers.1.self_attn.q_proj.lora_B.weight", 32, 2, 2, false);
    add(&m, "model.layers.0.mlp.gate_proj.lora_A.weight", 2, 32, 3, false);
    add(&m, "model.layers.0.mlp.gate_proj.lora_B.weight", 64, 2, 4, false);
    finish(&m, &peft);
    config(&settings, "[\"1.self_attn.q_proj\",\"0.mlp.gate_proj\"]", "");
    for (int base = 0; base < 2; base++) {
        struct rr_weights x, y;
        struct rr_adapter_report r;
        struct rr_error err;
        cr_assert(apply(&b, base, &x, &settings, &peft, 1, &r, &err) == 0, "%s: %s", err.object,
                  err.text);
        cr_assert(apply(&b, base, &y, NULL, &gguf, 1, &r, &err) == 0, "%s: %s", err.object,
                  err.text);
        cr_assert(r.n_merged == 2 && r.rank == 2 && r.scale == 2, "%d, r=%d, %g", r.n_merged,
                  r.rank, r.scale);
        cr_assert(memcmp(x.model.layers[1].wq.data, y.model.layers[1].wq.data,
                         sizeof(float) * 32 * 32) == 0,
                  "base %d: q", base);
        cr_assert(memcmp(x.model.layers[0].gate.data, y.model.layers[0].gate.data,
                         sizeof(float) * 64 * 32) == 0,
                  "base %d: gate", base);
        rr_weights_close(&x);
        rr_weights_close(&y);
    }
    gguf_file_free(&g);
    rr_buf_free(&settings);
    rr_buf_free(&peft);
    rr_buf_free(&gguf);
    close_bed(&b);
}

/* A28 */
Test(adapter_kinds, gguf_files_that_would_not_be_followed)
{
    static const struct {
        const char *key, *text; /* NULL: dropped */
        const char *code, *says;
    } keys[] = {{"general.type", "model", "ADAPTER", "model; expected \"adapter\""},
                {"general.type", NULL, "ADAPTER", "is missing; expected \"adapter\""},
                {"adapter.type", "control_vector", "UNSUPPORTED", "expected \"lora\""},
                {"general.architecture", "mamba", "ARCH", "mamba; expected \"llama\""},
                {"adapter.lora.alpha", NULL, "ADAPTER", "is missing, 0"},
                {"adapter.lora.alpha", "4", "HPARAM_TYPE", ""}};
    struct bed b;
    struct rr_buf f = {0};
    struct gguf_file g;
    open_bed(&b, false);
    for (size_t i = 0; i < COUNT(keys); i++) {
        gguf_adapter(&g);
        if (keys[i].text)
            gguf_set_string(&g, keys[i].key, keys[i].text);
        else
            gguf_drop(&g, keys[i].key);
        rr_buf_clear(&f);
        gguf_write(&f, &g);
        const long long at =
            refused(&b, NULL, &f, 1, RR_ERR_DATA, keys[i].code, keys[i].key, keys[i].says);
        const size_t n = strlen(keys[i].key);
        if (keys[i].text) /* behind the key and its type */
            cr_assert(at == (long long)(find_bytes(&f, keys[i].key, n) + n + 4), "%s: byte %lld",
                      keys[i].key, at);
        else
            cr_assert(at == -1, "%s: byte %lld", keys[i].key, at);
        gguf_file_free(&g);
    }
    static const struct {
        const char *drop, *add;
        int rows, cols;
        const char *code, *object, *says;
    } tensors[] = {{"blk.1.attn_q.weight.lora_b", NULL, 0, 0, "ADAPTER",
                    "blk.1.attn_q.weight.lora_a", "lora_b is missing"},
                   {"blk.1.attn_q.weight.lora_a", "blk.1.attn_q.weight.lora_a", 32, 2, "ADAPTER",
                    "blk.1.attn_q.weight.lora_a", "[32, 2]; expected [32, 32]"},
                   {"blk.1.attn_q.weight.lora_b", "blk.1.attn_q.weight.lora_b", 2, 32, "ADAPTER",
                    "blk.1.attn_q.weight.lora_b", "[2, 32]; expected [32, 2]"},
                   {NULL, "blk.1.attn_q.weight.lora_c", 2, 32, "ADAPTER",
                    "blk.1.attn_q.weight.lora_c", "belongs to no matrix"},
                   {NULL, "blk.7.attn_q.weight.lora_a", 2, 32, "ADAPTER",
                    "blk.7.attn_q.weight.lora_a", "belongs to no matrix"},
                   {NULL, "token_embd.weight.lora_a", 2, 32, "ADAPTER", "token_embd.weight.lora_a",
                    "belongs to no matrix"}};
    for (size_t i = 0; i < COUNT(tensors); i++) {
        gguf_adapter(&g);
        if (tensors[i].drop)
            gguf_drop_tensor(&g, tensors[i].drop);
        if (tensors[i].add)
            gguf_factor(&g, tensors[i].add, tensors[i].rows, tensors[i].cols, 1, false);
        rr_buf_clear(&f);
        gguf_write(&f, &g);
        const long long at = refused(&b, NULL, &f, 1, RR_ERR_DATA, tensors[i].code,
                                     tensors[i].object, tensors[i].says);
        const struct rr_buf *data = &gguf_tensor(&g, tensors[i].object)->data;
        cr_assert(at > 0 && (size_t)at + data->n <= f.n &&
                      memcmp(f.data + at, data->data, data->n) == 0,
                  "%s: byte %lld", tensors[i].object, at);
        gguf_file_free(&g);
    }
    gguf_adapter(&g);
    gguf_drop_tensor(&g, "blk.1.attn_q.weight.lora_a");
    gguf_drop_tensor(&g, "blk.1.attn_q.weight.lora_b");
    gguf_drop_tensor(&g, "blk.0.ffn_gate.weight.lora_a");
    gguf_drop_tensor(&g, "blk.0.ffn_gate.weight.lora_b");
    gguf_factor(&g, "mm.0.weight.lora_a", 2, 32, 1, false);
    rr_buf_clear(&f);
    gguf_write(&f, &g);
    refused(&b, NULL, &f, 1, RR_ERR_DATA, "ADAPTER_NO_MATCH", "mm.0.weight.lora_a",
            "nothing for this model");
    gguf_file_free(&g);
    rr_buf_free(&f);
    close_bed(&b);
}

/* ---- real ones ---- */

/* Theirs are for other bases: what is wrong is said with both shapes. */
Test(adapter_kinds, real_adapters_are_refused_on_another_base)
{
    static const struct {
        const char *dir, *tensor, *says;
    } real[] = {{"models/adapters/tinyllama-r4",
                 "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
                 "[4, 2048]; expected [4, 64]"},
                {"models/adapters/llama3.2-1b-r8",
                 "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
                 "[8, 2048]; expected [8, 64]"}};
    SKIP_WITHOUT(base, "models/stories260K/stories260K.gguf");
    struct rr_engine e;
    struct rr_error err = {0};
    char model[512];
    snprintf(model, sizeof model, "%s", base);
    cr_assert(rr_engine_init(&e, 1, rr_cpu_best(), &err) == 0, "%s", err.text);
    for (size_t i = 0; i < COUNT(real); i++) {
        struct rr_weights w;
        struct rr_adapter_report r;
        const char *dir = shared_path(real[i].dir);
        cr_assert(dir != NULL, "%s is missing", real[i].dir);
        cr_assert(rr_weights_open(&w, model, NULL, &err) == 0, "%s", err.text);
        const int rc = rr_adapter_apply(&w, &e.kernels, dir, 1, &r, &err);
        cr_assert(rc == RR_ERR_DATA && strcmp(err.code, "ADAPTER") == 0, "%d [%s]", rc, err.code);
        cr_assert(strncmp(err.object, real[i].tensor, 60) == 0 && strstr(err.text, real[i].says),
                  "%s: %s", err.object, err.text);
        cr_assert(r.base[0] && strchr(r.base, '/'), "its base is '%s'", r.base);
        rr_weights_close(&w);
    }
    rr_engine_release(&e);
}
