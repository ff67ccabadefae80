/* LoRA adapters: golden ones of PEFT's arithmetic, what is written read back for both orders of
 * rows, and everything that an adapter may ask for and would not get, refused by name. */
#include "tests/test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "engine/base/json.h"
#include "engine/session.h"
#include "tests/make_files.h"
#include "weights/adapter.h"
#include "weights/write.h"

#define MAX_TOKENS 64

static void open_engine(struct rr_engine *e)
{
    struct rr_error err = {0};
    cr_assert(rr_engine_init(e, 2, rr_cpu_best(), &err) == 0, "%s", err.text);
}

/* out[n, n_vocab], malloc'd. */
static float *logits_of(struct rr_engine *e, const struct rr_model *m, const int *ids, int n)
{
    struct rr_error err = {0};
    struct rr_session *s = NULL;
    struct rr_want wants[MAX_TOKENS];
    const size_t n_vocab = (size_t)m->h.n_vocab;
    float *out = malloc((size_t)n * n_vocab * sizeof *out);
    int node = -1;
    for (int i = 0; i < n; i++)
        wants[i] = (struct rr_want){.offset = i, .logits = out + (size_t)i * n_vocab};
    int rc = rr_session_open(&s, e, m, &(struct rr_session_options){0}, &err);
    if (!rc)
        rc = rr_session_branch(s, -1, n, &node, &err);
    if (!rc)
        rc = rr_session_eval(s, &(struct rr_feed){node, ids, n}, 1, wants, n, &err);
    cr_assert(rc == 0, "[%s] %s", err.code, err.text);
    rr_session_close(s);
    return out;
}

static double farthest(const float *a, const float *b, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = fabs((double)a[i] - (double)b[i]);
        most = !(d <= most) ? d : most; /* NaN counts */
    }
    return most;
}

/* A model with an adapter applied, written in the base's own type: every weight of the file is what
 * was applied, rounded once. */
static void check_merged(const struct rr_weights *w, const char *dir, struct rr_engine *e)
{
    struct rr_weights base, merged;
    struct rr_error err = {0};
    const char *path = path_in(temporary_dir(), "merged.gguf");
    cr_assert(rr_weights_open(&base, dir, NULL, &err) == 0, "%s", err.text);
    const enum rr_type type = base.model.layers[0].wo.type;
    const struct rr_write_options o = {.name = "merged", .type = (int)type, .engine = e};
    cr_assert(rr_gguf_write_model(path, &w->model, NULL, &o, &err) == 0 &&
                  rr_weights_open(&merged, path, NULL, &err) == 0,
              "%s", err.text);
    const struct rr_tensor *a = &w->model.layers[1].wv, *b = &merged.model.layers[1].wv;
    cr_assert(a->type == RR_TYPE_F32 && b->type == type, "types %d, %d", (int)a->type,
              (int)b->type);
    for (int i = 0; i < a->n_rows; i++) {
        float row[2048];
        const size_t bytes = rr_row_bytes(type, (size_t)a->n_cols);
        cr_assert(rr_store_row(row, type, (const float *)a->data + (size_t)i * (size_t)a->n_cols,
                               a->n_cols) &&
                      memcmp(row, (const char *)b->data + (size_t)i * bytes, bytes) == 0,
                  "%s: row %d of v is not what was applied, rounded", dir, i);
    }
    rr_weights_close(&merged);
    rr_weights_close(&base);
}

/* The folder of a golden model, its adapters applied to it. */
static void check_golden(const char *dir)
{
    static const struct {
        const char *name;
        int merged; /* matrices of a layer */
    } all[] = {{"lora-qv-r8", 2}, {"lora-all-rslora", 7}};
    struct rr_engine e;
    struct rr_arena arena = {0};
    struct rr_json *root;
    struct rr_error err = {0};
    int ids[MAX_TOKENS], n_ids = 0;
    size_t n;
    unsigned char *text = read_file(path_in(dir, "expected.json"), &n);
    cr_assert(rr_json_parse(&root, &arena, (const char *)text, n, "expected", 0, &err) == 0, "%s",
              err.text);
    for (const struct rr_json *v = rr_json_get(root, "tokens")->child; v; v = v->next)
        ids[n_ids++] = (int)v->number;
    open_engine(&e);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        char name[64];
        struct rr_weights w;
        struct rr_adapter_report r;
        cr_assert(rr_weights_open(&w, dir, NULL, &err) == 0, "%s", err.text);
        /* What the adapter leaves alone may be multiplied in integers of sixteen bits. */
        const double limit =
            e.kernels.prepared[w.model.layers[0].wo.type] == RR_READS_16 ? 1e-2 : 2e-3;
        cr_assert(rr_adapter_apply(&w, &e.kernels, path_in(dir, all[i].name), 1, &r, &err) == 0,
                  "%s: [%s] %s", all[i].name, err.code, err.text);
        cr_assert(r.n_merged == w.model.h.n_layers * all[i].merged, "%s: %d matrices", all[i].name,
                  r.n_merged);
        snprintf(name, sizeof name, "logits.%s.f32", all[i].name);
        float *got = logits_of(&e, &w.model, ids, n_ids);
        unsigned char *expected = read_file(path_in(dir, name), &n);
        cr_assert(n == (size_t)n_ids * (size_t)w.model.h.n_vocab * sizeof(float), "%zu bytes", n);
        const double off = farthest(got, (const float *)(void *)expected, n / sizeof(float));
        cr_assert(off <= limit, "%s, %s: off by %g", dir, all[i].name, off);
        free(got);
        free(expected);
        check_merged(&w, dir, &e);
        rr_weights_close(&w);
    }
    free(text);
    rr_arena_free(&arena);
    rr_engine_release(&e);
}

Test(adapter, golden_logits)
{
    static const char *const models[] = {"golden/llama2-f32", "golden/llama2-f16",
                                         "golden/llama3-bf16"};
    SKIP_WITHOUT(first, "golden/llama2-f32");
    (void)first;
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        char dir[512];
        const char *path = shared_path(models[i]);
        cr_assert(path != NULL, "%s is missing", models[i]);
        snprintf(dir, sizeof dir, "%s", path);
        check_golden(dir);
    }
}

/* ---- written and read back ---- */

static const char *folder(const char *name)
{
    const char *dir = path_in(temporary_dir(), name);
    cr_assert(mkdir(dir, 0777) == 0, "cannot make %s", dir);
    return dir;
}

static const char *hf_folder(const struct tiny *t)
{
    struct rr_buf b = {0};
    const char *dir = folder("hf");
    safetensors_from_tiny(&b, t, 0, t->n_tensors);
    write_file(path_in(dir, "model.safetensors"), b.data, b.n);
    rr_buf_clear(&b);
    config_from_tiny(&b, t);
    write_file(path_in(dir, "config.json"), b.data, b.n);
    rr_buf_free(&b);
    return dir;
}

static const char *gguf_file(const struct tiny *t)
{
    struct gguf_file g;
    struct rr_buf b = {0};
    const char *path = path_in(temporary_dir(), "tiny.gguf");
    gguf_from_tiny(&g, t);
    gguf_write(&b, &g);
    write_file(path, b.data, b.n);
    gguf_file_free(&g);
    rr_buf_free(&b);
    return path;
}

static void open_base(struct rr_weights *w, const char *path)
{
    struct rr_error err = {0};
    cr_assert(rr_weights_open(w, path, NULL, &err) == 0, "%s: [%s] %s", path, err.code, err.text);
}

/* An adapter of a base with every number of it at random, as if it had been trained. */
static void make_adapter(struct rr_lm *lm, const struct rr_weights *w, const struct rr_engine *e,
                         const struct rr_lm_options *o)
{
    struct rr_error err = {0};
    struct rr_rng rng;
    cr_assert(rr_lm_from_model(lm, &e->kernels, &w->model, o, 5, &err) == 0, "%s", err.text);
    rr_rng_seed(&rng, 17);
    for (size_t i = 0; i < lm->n_values; i++)
        lm->values[i] = (float)(0.4 * rr_rng_unit(&rng) - 0.2);
}

static const int some_ids[] = {1, 40, 41, 260, 77, 8, 8, 299, 130, 4};
#define N_IDS 10

static float *merged_logits(struct rr_engine *e, const struct rr_lm *lm)
{
    struct rr_lm merged;
    struct rr_model m;
    struct rr_layer layers[8];
    struct rr_error err = {0};
    cr_assert(rr_lm_merged(&merged, lm, &err) == 0, "%s", err.text);
    rr_lm_as_model(&m, layers, &merged);
    float *out = logits_of(e, &m, some_ids, N_IDS);
    rr_lm_free(&merged);
    return out;
}

static float *applied_logits(struct rr_engine *e, const char *base, const char *adapter,
                             struct rr_adapter_report *r)
{
    struct rr_weights w;
    struct rr_error err = {0};
    open_base(&w, base);
    cr_assert(rr_adapter_apply(&w, &e->kernels, adapter, 1, r, &err) == 0, "[%s] %s: %s", err.code,
              err.object, err.text);
    float *out = logits_of(e, &w.model, some_ids, N_IDS);
    rr_weights_close(&w);
    return out;
}

Test(adapter, what_is_written_is_the_trained_network_in_both_orders_of_rows)
{
    static const struct rr_lm_options kinds[] = {
        {.rank = 3, .alpha = 6, .modules = 1u << RR_LM_Q | 1u << RR_LM_V},
        {.rank = 4, .alpha = 5, .rank_stabilised = true, .modules = (1u << RR_LM_N) - 1},
        {.rank = 1, .alpha = 0.5, .modules = 1u << RR_LM_K | 1u << RR_LM_DOWN}};
    struct tiny t;
    struct rr_engine e;
    struct rr_error err = {0};
    tiny_make(&t, &tiny_default);
    open_engine(&e);
    const char *const bases[2] = {hf_folder(&t), gguf_file(&t)};
    const size_t n = N_IDS * (size_t)tiny_default.vocab;
    for (int base = 0; base < 2; base++)
        for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
            struct rr_weights w;
            struct rr_lm lm;
            struct rr_adapter_report r;
            const char *dir = path_in(temporary_dir(), "adapter");
            open_base(&w, bases[base]);
            cr_assert(w.model.h.rope.interleaved == (base == 1), "order of rows");
            make_adapter(&lm, &w, &e, &kinds[k]);
            float *plain = logits_of(&e, &w.model, some_ids, N_IDS);
            float *expected = merged_logits(&e, &lm);
            cr_assert(farthest(plain, expected, n) > 1e-2, "the adapter does nothing");
            cr_assert(rr_adapter_write(dir, &lm, "the base", &err) == 0, "%s", err.text);
            for (int other = 0; other < 2; other++) {
                float *got = applied_logits(&e, bases[other], dir, &r);
                const double off = farthest(got, expected, n);
                cr_assert(off <= 1e-4, "made on %d, applied to %d, kind %zu: off by %g", base,
                          other, k, off);
                free(got);
            }
            cr_assert(r.rank == kinds[k].rank &&
                          fabs(r.scale - (double)lm.layers[0].m[k == 2 ? RR_LM_K : RR_LM_Q].scale) <
                              1e-6,
                      "rank %d, scale %g", r.rank, r.scale);
            free(plain);
            free(expected);
            rr_lm_free(&lm);
            rr_weights_close(&w);
        }
    rr_engine_release(&e);
    tiny_free(&t);
}

/* ---- what is refused ---- */

static const char good_config[] =
    "{\"peft_type\":\"LORA\",\"task_type\":\"CAUSAL_LM\",\"r\":2,\"lora_alpha\":4,"
    "\"bias\":\"none\",\"target_modules\":[\"q_proj\",\"v_proj\"],\"use_rslora\":false,"
    "\"use_dora\":false,\"fan_in_fan_out\":false,\"modules_to_save\":null,"
    "\"rank_pattern\":{},\"alpha_pattern\":{},\"layers_to_transform\":null,"
    "\"exclude_modules\":null,\"layers_pattern\":null,\"init_lora_weights\":true}";

/* q and v of both layers of the tiny model with r 2: q is [32, 32], v [16, 32]. */
static void good_tensors(struct rr_buf *header, struct rr_buf *data)
{
    rr_buf_puts(header, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (int layer = 0; layer < 2; layer++)
        for (int part = 0; part < 4; part++) {
            const int q = part < 2, a = part % 2 == 0,
                      rows = a   ? 2
                             : q ? 32
                                 : 16,
                      cols = a ? 32 : 2;
            rr_buf_printf(header,
                          ",\"base_model.model.model.layers.%d.self_attn.%s_proj.lora_%s.weight\":"
                          "{\"dtype\":\"F32\",\"shape\":[%d,%d],\"data_offsets\":[%zu,%zu]}",
                          layer, q ? "q" : "v", a ? "A" : "B", rows, cols, data->n,
                          data->n + (size_t)rows * (size_t)cols * 4);
            for (int i = 0; i < rows * cols; i++)
                put_f32(data, 0.01f * (float)((i * 7 + part) % 13 - 6));
        }
    rr_buf_puts(header, "}");
}

/* text with the first `find` replaced; NULL: as it is. */
static void put_edited(struct rr_buf *out, const char *text, const char *find, const char *by)
{
    const char *at = find ? strstr(text, find) : NULL;
    cr_assert(!find || at, "'%s' is not in %s", find, text);
    rr_buf_clear(out);
    rr_buf_add(out, text, at ? (size_t)(at - text) : strlen(text));
    if (at) {
        rr_buf_puts(out, by);
        rr_buf_puts(out, at + strlen(find));
    }
}

struct bench {
    struct tiny t;
    const char *base;
    struct rr_engine e;
    struct rr_buf header, data;
};

static void open_bench(struct bench *x)
{
    *x = (struct bench){0};
    tiny_make(&x->t, &tiny_default);
    x->base = gguf_file(&x->t);
    open_engine(&x->e);
    good_tensors(&x->header, &x->data);
}

static void close_bench(struct bench *x)
{
    rr_buf_free(&x->header);
    rr_buf_free(&x->data);
    rr_engine_release(&x->e);
    tiny_free(&x->t);
}

static int apply(const struct bench *x, const struct rr_buf *config, const struct rr_buf *tensors,
                 struct rr_adapter_report *r, struct rr_error *err)
{
    struct rr_weights w;
    const struct rr_adapter_files files = {"config",  config->data,  config->n,
                                           "tensors", tensors->data, tensors->n};
    open_base(&w, x->base);
    const int rc = rr_adapter_apply_memory(&w, &x->e.kernels, &files, 1, r, err);
    cr_assert(rc || w.adapter[0], "applied without an identity");
    rr_weights_close(&w);
    return rc;
}

struct edit {
    const char *row; /* of spec/hostile-input.md 2.5 */
    const char *find, *by;
    const char *code; /* "": applied */
    const char *object;
};

static void check_edit(const struct edit *c, int rc, const struct rr_error *err)
{
    if (!c->code[0]) {
        cr_assert(rc == 0, "%s %s: [%s] %s", c->row, c->by, err->code, err->text);
        return;
    }
    cr_assert(rc == RR_ERR_DATA && err->status == RR_ERR_DATA && strcmp(err->code, c->code) == 0,
              "%s %s: %d [%s] %s: %s", c->row, c->by, rc, err->code, err->object, err->text);
    cr_assert(strstr(err->object, c->object) && err->text[0], "%s %s: names '%s', not '%s'", c->row,
              c->by, err->object, c->object);
}

#define Q "self_attn.q_proj"
static const struct edit configs[] = {
    {"good", NULL, "", "", ""},
    {"A01", "{\"peft", "[{\"peft", "JSON", ""},
    {"A01", "}", "", "JSON", ""},
    {"A01", "\"r\":2", "\"r\":2,\"r\":2", "JSON_DUPLICATE_KEY", "r"},
    {"A02", "\"LORA\"", "\"IA3\"", "UNSUPPORTED", "peft_type"},
    {"A02", "\"LORA\"", "null", "UNSUPPORTED", "peft_type"},
    {"A03", "CAUSAL_LM", "SEQ_CLS", "UNSUPPORTED", "task_type"},
    {"A03", "\"CAUSAL_LM\"", "null", "", ""},
    {"A04", "\"r\":2", "\"s\":2", "ADAPTER", "r"},
    {"A04", "\"r\":2", "\"r\":0", "ADAPTER", "r"},
    {"A04", "\"r\":2", "\"r\":-8", "ADAPTER", "r"},
    {"A04", "\"r\":2", "\"r\":1.5", "ADAPTER", "r"},
    {"A04", "\"r\":2", "\"r\":4097", "ADAPTER", "r"},
    {"A04", "\"r\":2", "\"r\":\"2\"", "ADAPTER", "r"},
    {"A05", "\"lora_alpha\":4,", "", "ADAPTER", "lora_alpha"},
    {"A05", "\"lora_alpha\":4", "\"lora_alpha\":0", "ADAPTER", "lora_alpha"},
    {"A05", "\"lora_alpha\":4", "\"lora_alpha\":NaN", "JSON", ""},
    {"A05", "\"lora_alpha\":4", "\"lora_alpha\":-4", "", ""},
    {"A05", "\"lora_alpha\":4", "\"lora_alpha\":null", "ADAPTER", "lora_alpha"},
    {"A06", "\"use_rslora\":false", "\"use_rslora\":true", "", ""},
    {"A06", "\"use_rslora\":false", "\"use_rslora\":1", "ADAPTER", "use_rslora"},
    {"A06", "\"use_rslora\":false", "\"use_rslora\":\"true\"", "ADAPTER", "use_rslora"},
    {"A07", "\"use_dora\":false", "\"use_dora\":true", "ADAPTER", "layers.0." Q},
    {"A07", "\"use_dora\":false", "\"use_dora\":1", "ADAPTER", "use_dora"},
    {"A08", "\"none\"", "\"all\"", "UNSUPPORTED", "bias"},
    {"A08", "\"none\"", "\"lora_only\"", "UNSUPPORTED", "bias"},
    {"A09", "\"modules_to_save\":null", "\"modules_to_save\":[\"lm_head\"]", "ADAPTER", "lm_head"},
    {"A09", "\"modules_to_save\":null", "\"modules_to_save\":[1]", "ADAPTER", "modules_to_save"},
    {"A09", "\"modules_to_save\":null", "\"modules_to_save\":\"lm_head\"", "ADAPTER",
     "modules_to_save"},
    {"A09", "\"modules_to_save\":null", "\"modules_to_save\":[\"classifier\"]", "ADAPTER",
     "modules_to_save"},
    {"A10", "out\":false", "out\":true", "ADAPTER", "v_proj.lora_A"},
    {"A10", "\"use_dora\":false,\"fan_in_fan_out\":false",
     "\"use_dora\":true,\"fan_in_fan_out\":true", "UNSUPPORTED", "fan_in_fan_out"},
    {"A11", "[\"q_proj\",\"v_proj\"]", "[]", "ADAPTER", "target_modules"},
    {"A11", "[\"q_proj\",\"v_proj\"]", "null", "ADAPTER", "target_modules"},
    {"A11", "[\"q_proj\",\"v_proj\"]", "\".*\\\\.[qv]_proj\"", "", ""},
    {"A11", "[\"q_proj\",\"v_proj\"]", "[\"q_proj\",7]", "ADAPTER", "target_modules"},
    {"A11", "[\"q_proj\",\"v_proj\"]", "[\"q_proj\",\"\"]", "ADAPTER", "target_modules"},
    {"A11", "[\"q_proj\",\"v_proj\"]", "[\"self_attn.v_proj\",\"q_proj\"]", "", ""},
    {"A12", "\"rank_pattern\":{}", "\"rank_pattern\":{\"c_attn\":2}", "ADAPTER", "rank_pattern"},
    {"A12", "\"rank_pattern\":{}", "\"rank_pattern\":{\"layers.2." Q "\":2}", "ADAPTER",
     "rank_pattern"},
    {"A12", "\"rank_pattern\":{}", "\"rank_pattern\":{\"proj\":2}", "ADAPTER", "rank_pattern"},
    {"A12", "\"rank_pattern\":{}", "\"rank_pattern\":{\"\":2}", "ADAPTER", "rank_pattern"},
    {"A12", "\"rank_pattern\":{}", "\"rank_pattern\":{\".*q_proj\":2}", "", ""},
    {"A12", "\"rank_pattern\":{}", "\"rank_pattern\":{\"^model.layers.[01].*[qv]_proj\":2}", "",
     ""},
    {"A12", "\"rank_pattern\":{}", "\"rank_pattern\":{\"(?!q)_proj\":2}", "UNSUPPORTED",
     "rank_pattern"},
    {"A12", "\"rank_pattern\":{}", "\"rank_pattern\":{\"q_proj\\u0000\":2}", "ADAPTER",
     "rank_pattern"},
    {"A12", "\"rank_pattern\":{}", "\"rank_pattern\":{\"q_proj\":2.5}", "ADAPTER", "rank_pattern"},
    {"A12", "\"rank_pattern\":{}", "\"rank_pattern\":[2]", "ADAPTER", "rank_pattern"},
    {"A12", "\"rank_pattern\":{}", "\"rank_pattern\":{\"layers.1." Q "\":2}", "", ""},
    {"A12", "\"alpha_pattern\":{}", "\"alpha_pattern\":{\"nothing\":2}", "ADAPTER",
     "alpha_pattern"},
    {"A12", "\"alpha_pattern\":{}", "\"alpha_pattern\":{\"q_proj\":0}", "ADAPTER", "alpha_pattern"},
    {"A12", "\"alpha_pattern\":{}", "\"alpha_pattern\":{\"q_proj\":2.5}", "", ""},
    {"A13", "\"layers_to_transform\":null", "\"layers_to_transform\":[0]", "ADAPTER",
     "layers.1." Q ".lora_A"},
    {"A13", "\"layers_to_transform\":null", "\"layers_to_transform\":0", "ADAPTER",
     "layers.1." Q ".lora_A"},
    {"A13", "\"layers_to_transform\":null", "\"layers_to_transform\":[1,0]", "", ""},
    {"A13", "\"layers_to_transform\":null", "\"layers_to_transform\":[0,2]", "ADAPTER",
     "layers_to_transform"},
    {"A13", "\"layers_to_transform\":null", "\"layers_to_transform\":\"0\"", "ADAPTER",
     "layers_to_transform"},
    {"A13", "\"exclude_modules\":null", "\"exclude_modules\":[\"v_proj\"]", "ADAPTER",
     "layers.0.self_attn.v_proj.lora_A"},
    {"A13", "\"exclude_modules\":null", "\"exclude_modules\":[\"o_proj\"]", "", ""},
    {"A13", "\"exclude_modules\":null", "\"exclude_modules\":[7]", "ADAPTER", "exclude_modules"},
    {"A13", "\"exclude_modules\":null", "\"exclude_modules\":7", "ADAPTER", "exclude_modules"},
    {"A17", "\"r\":2", "\"r\":4", "ADAPTER", "layers.0." Q ".lora_A"},
    {"A17", "\"rank_pattern\":{}", "\"rank_pattern\":{\"layers.1." Q "\":3}", "ADAPTER",
     "layers.1." Q ".lora_A"},
    {"A20", "[\"q_proj\",\"v_proj\"]", "[\"q_proj\",\"v_proj\",\"c_attn\"]", "ADAPTER",
     "target_modules"},
    {"A20", "[\"q_proj\",\"v_proj\"]", "[\"q_proj\",\"v_proj\",\"lm_head\"]", "ADAPTER",
     "target_modules"},
    {"A22", "[\"q_proj\",\"v_proj\"]", "[\"q_proj\",\"v_proj\",\"o_proj\"]", "ADAPTER",
     "layers.0.self_attn.o_proj"},
    {"A22", "[\"q_proj\",\"v_proj\"]", "\"all-linear\"", "ADAPTER", "layers.0.self_attn.k_proj"},
    {"A23", "[\"q_proj\",\"v_proj\"]", "[\"q_proj\"]", "ADAPTER", "layers.0.self_attn.v_proj"},
    {"PiSSA", "weights\":true", "weights\":\"pissa\"", "UNSUPPORTED", "init_lora_weights"},
    {"aLoRA", "\"bias\"", "\"alora_invocation_tokens\":[5],\"bias\"", "UNSUPPORTED",
     "alora_invocation_tokens"},
    {"bias", "\"bias\"", "\"lora_bias\":true,\"bias\"", "UNSUPPORTED", "lora_bias"},
};

Test(adapter, configs_that_would_not_be_followed_are_refused_by_field)
{
    struct bench x;
    struct rr_buf config = {0}, tensors = {0};
    open_bench(&x);
    safetensors_write(&tensors, x.header.data, x.header.n, x.data.data, x.data.n);
    for (size_t i = 0; i < sizeof configs / sizeof configs[0]; i++) {
        struct rr_error err = {0};
        struct rr_adapter_report r;
        put_edited(&config, good_config, configs[i].find, configs[i].by);
        check_edit(&configs[i], apply(&x, &config, &tensors, &r, &err), &err);
        cr_assert(configs[i].code[0] || (r.n_merged == 4 && r.rank == 2), "%s: %d matrices",
                  configs[i].by, r.n_merged);
    }
    for (size_t cut = 0; cut < sizeof good_config - 1; cut++) {
        struct rr_error err = {0};
        struct rr_adapter_report r;
        rr_buf_clear(&config);
        rr_buf_add(&config, good_config, cut);
        cr_assert(apply(&x, &config, &tensors, &r, &err) == RR_ERR_DATA &&
                      strcmp(err.code, "JSON") == 0,
                  "cut at %zu: [%s] %s", cut, err.code, err.text);
    }
    rr_buf_free(&config);
    rr_buf_free(&tensors);
    close_bench(&x);
}

#define BASE "base_model.model.model.layers."
static const struct edit headers[] = {
    {"good", NULL, "", "", ""},
    {"names", Q ".lora_A.weight", Q ".lora_A.default.weight", "", ""},
    {"A07", "0.self_attn.v_proj.lora_B.weight", "0.self_attn.v_proj.lora_magnitude_vector",
     "ADAPTER", "v_proj.lora_A"},
    {"A15", "\"data_offsets\":[0,256]", "\"data_offsets\":[4,256]", "", "layers.0"},
    {"A15", "\"F32\"", "\"F33\"", "DTYPE", "layers.0." Q},
    {"A16", "0." Q ".lora_B", "0." Q ".lora_C", "ADAPTER", "0." Q ".lora_A"},
    {"A16", "1." Q ".lora_A", "1." Q ".lora_C", "ADAPTER", "1." Q ".lora_B"},
    {"A17", "[2,32]", "[1,64]", "ADAPTER", "0." Q ".lora_A"},
    {"A17", "[2,32]", "[32,2]", "ADAPTER", "0." Q ".lora_A"},
    {"A17", "[2,32]", "[64]", "ADAPTER", "0." Q ".lora_A"},
    {"A17", "[2,32]", "[2,32,1]", "ADAPTER", "0." Q ".lora_A"},
    {"A18", "[2,32]", "[4,16]", "ADAPTER", "0." Q ".lora_A"},
    {"A18", "[32,2]", "[64,1]", "ADAPTER", "0." Q ".lora_B"},
    {"A18", "[16,2]", "[8,4]", "ADAPTER", "0.self_attn.v_proj.lora_B"},
    {"A19", BASE "1.self_attn.v", BASE "7.self_attn.v", "ADAPTER", "1.self_attn.v_proj"},
    {"A20", BASE "0." Q ".lora_A", "transformer.h.0.attn.q.lora_A", "ADAPTER", "0." Q ".lora_B"},
    {"A20", BASE "0." Q ".lora_A", "model.layers.0." Q ".lora_A", "ADAPTER", "0." Q ".lora_B"},
    {"A24", "\"F32\"", "\"I32\"", "ADAPTER", "0." Q ".lora_A"},
    {"A24", "\"F32\"", "\"U32\"", "ADAPTER", "0." Q ".lora_A"},
};

Test(adapter, tensors_that_would_not_be_applied_are_refused_by_name)
{
    struct bench x;
    struct rr_buf config = {0}, header = {0}, tensors = {0};
    open_bench(&x);
    put_edited(&config, good_config, NULL, "");
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        struct rr_error err = {0};
        struct rr_adapter_report r;
        struct edit c = headers[i];
        put_edited(&header, x.header.data, c.find, c.by);
        safetensors_write(&tensors, header.data, header.n, x.data.data, x.data.n);
        const int rc = apply(&x, &config, &tensors, &r, &err);
        if (strcmp(c.row, "A15") == 0 && !c.code[0]) /* whichever the safetensors reader says */
            c.code = err.code;
        check_edit(&c, rc, &err);
    }
    rr_buf_free(&config);
    rr_buf_free(&header);
    rr_buf_free(&tensors);
    close_bench(&x);
}

/* A row of the model's matrix `m` of layer 0. */
static const float *row_of(const struct rr_weights *w, enum rr_lm_matrix m, int row)
{
    const struct rr_layer *l = &w->model.layers[0];
    const struct rr_tensor *t = m == RR_LM_Q ? &l->wq : &l->wv;
    cr_assert(t->type == RR_TYPE_F32, "not merged");
    return (const float *)t->data + (size_t)row * (size_t)t->n_cols;
}

/* DoRA: every row has the length that the file says, and LoRA's direction. */
Test(adapter, magnitudes_are_those_of_the_rows)
{
    struct bench x;
    struct rr_buf config = {0}, tensors = {0}, header = {0};
    struct rr_weights plain, dora;
    struct rr_adapter_report r;
    struct rr_error err = {0};
    open_bench(&x);
    safetensors_write(&tensors, x.header.data, x.header.n, x.data.data, x.data.n);
    rr_buf_puts(&config, good_config);
    struct rr_adapter_files files = {"config",  config.data,  config.n,
                                     "tensors", tensors.data, tensors.n};
    open_base(&plain, x.base);
    cr_assert(rr_adapter_apply_memory(&plain, &x.e.kernels, &files, 1, &r, &err) == 0, "%s",
              err.text);
    rr_buf_add(&header, x.header.data, x.header.n - 1);
    for (int layer = 0; layer < 2; layer++)
        for (int v = 0; v < 2; v++) {
            const int rows = v ? 16 : 32;
            rr_buf_printf(&header,
                          ",\"base_model.model.model.layers.%d.self_attn.%s_proj.lora_magnitude_"
                          "vector\":{\"dtype\":\"F32\",\"shape\":[%d],\"data_offsets\":[%zu,%zu]}",
                          layer, v ? "v" : "q", rows, x.data.n, x.data.n + (size_t)rows * 4);
            for (int i = 0; i < rows; i++)
                put_f32(&x.data, 0.5f + 0.25f * (float)i);
        }
    rr_buf_puts(&header, "}");
    rr_buf_clear(&tensors);
    safetensors_write(&tensors, header.data, header.n, x.data.data, x.data.n);
    put_edited(&config, good_config, "\"use_dora\":false", "\"use_dora\":true");
    files = (struct rr_adapter_files){"config",  config.data,  config.n,
                                      "tensors", tensors.data, tensors.n};
    open_base(&dora, x.base);
    cr_assert(rr_adapter_apply_memory(&dora, &x.e.kernels, &files, 1, &r, &err) == 0, "%s: %s",
              err.object, err.text);
    for (int m = 0; m < 2; m++)
        for (int row = 0; row < (m ? 16 : 32); row++) {
            const enum rr_lm_matrix which = m ? RR_LM_V : RR_LM_Q;
            const float *a = row_of(&plain, which, row), *b = row_of(&dora, which, row);
            const double length =
                0.5 + 0.25 * rr_adapter_row(&plain.model.h, which, row); /* the file's row */
            double dot = 0, aa = 0, bb = 0;
            for (int i = 0; i < 32; i++) {
                dot += (double)a[i] * (double)b[i];
                aa += (double)a[i] * (double)a[i];
                bb += (double)b[i] * (double)b[i];
            }
            cr_assert(fabs(sqrt(bb) - length) < 1e-5 * length && dot > 0.99999 * sqrt(aa * bb),
                      "row %d: length %g, not %g; cosine %g", row, sqrt(bb), length,
                      dot / sqrt(aa * bb));
        }
    rr_weights_close(&plain);
    rr_weights_close(&dora);
    rr_buf_free(&config);
    rr_buf_free(&tensors);
    rr_buf_free(&header);
    close_bench(&x);
}

/* More than the model has: its own matrices are all there. */
Test(adapter, tensors_without_a_place_are_refused_by_name)
{
    static const char *const extra[] = {
        BASE "2." Q ".lora_A.weight",         /* A19 */
        BASE "0." Q ".lora_magnitude_vector", /* A07 */
        BASE "0." Q ".lora_A.default.weight", /* the same twice */
        "base_model.model.lm_head.lora_A.weight",
        "base_model.model.model.embed_tokens.lora_embedding_A",
        "base_model.model.score.weight", /* A03 */
        BASE "00." Q ".lora_A.weight",
        BASE "0.self_attn.q_proj.lora_A.bias",
    };
    struct bench x;
    struct rr_buf config = {0}, header = {0}, tensors = {0};
    open_bench(&x);
    put_edited(&config, good_config, NULL, "");
    for (size_t i = 0; i < sizeof extra / sizeof extra[0]; i++) {
        struct rr_error err = {0};
        struct rr_adapter_report r;
        rr_buf_clear(&header);
        rr_buf_add(&header, x.header.data, x.header.n - 1);
        rr_buf_printf(&header,
                      ",\"%s\":{\"dtype\":\"F32\",\"shape\":[1,1],"
                      "\"data_offsets\":[%zu,%zu]}}",
                      extra[i], x.data.n, x.data.n + 4);
        struct rr_buf data = {0};
        rr_buf_add(&data, x.data.data, x.data.n);
        put_f32(&data, 1);
        safetensors_write(&tensors, header.data, header.n, data.data, data.n);
        char shown[50]; /* errors show the beginning of long names */
        snprintf(shown, sizeof shown, "%s", extra[i]);
        const struct edit c = {"A23", "", extra[i], "ADAPTER", shown};
        check_edit(&c, apply(&x, &config, &tensors, &r, &err), &err);
        rr_buf_free(&data);
    }
    rr_buf_free(&config);
    rr_buf_free(&header);
    rr_buf_free(&tensors);
    close_bench(&x);
}

Test(adapter, values_and_files)
{
    static const char nothing[] = "{\"__metadata__\":{}}";
    struct bench x;
    struct rr_buf config = {0}, tensors = {0}, data = {0};
    struct rr_adapter_report r;
    open_bench(&x);
    put_edited(&config, good_config, NULL, "");
    static const uint32_t bits[] = {0x7fc00000, 0x7f800000, 0xff800000, 0x7f000000};
    for (int i = 0; i < 4; i++) { /* A24: NaN, both infinities; and what overflows when merged */
        struct rr_error err = {0};
        rr_buf_clear(&data);
        rr_buf_add(&data, x.data.data, x.data.n);
        patch(&data, 2 * 32 * 4 + 12, 4, bits[i]);
        if (i == 3)
            patch(&data, 32 * 4, 4, bits[i]); /* A's second row: the same k */
        safetensors_write(&tensors, x.header.data, x.header.n, data.data, data.n);
        const struct edit c = {"A24", "", "value", "ADAPTER", i == 3 ? Q ".lora_A" : Q ".lora_B"};
        check_edit(&c, apply(&x, &config, &tensors, &r, &err), &err);
    }
    struct rr_error none = {0};
    safetensors_write(&tensors, nothing, sizeof nothing - 1, "", 0);
    cr_assert(apply(&x, &config, &tensors, &r, &none) == RR_ERR_DATA &&
                  strcmp(none.code, "ADAPTER_NO_MATCH") == 0,
              "A21: [%s] %s", none.code, none.text);
    /* Everything cut off. */
    safetensors_write(&tensors, x.header.data, x.header.n, x.data.data, x.data.n);
    const size_t whole = tensors.n;
    for (tensors.n = 0; tensors.n < whole; tensors.n += tensors.n < 2000 ? 1 : 97) {
        struct rr_error err = {0};
        cr_assert(apply(&x, &config, &tensors, &r, &err) == RR_ERR_DATA && err.code[0],
                  "cut at %zu: %d [%s]", tensors.n, err.status, err.code);
    }
    rr_buf_free(&config);
    rr_buf_free(&tensors);
    rr_buf_free(&data);
    close_bench(&x);
}

static int apply_folder(const struct bench *x, const char *dir, struct rr_error *err)
{
    struct rr_weights w;
    struct rr_adapter_report r;
    *err = (struct rr_error){0};
    open_base(&w, x->base);
    const int rc = rr_adapter_apply(&w, &x->e.kernels, dir, 1, &r, err);
    rr_weights_close(&w);
    return rc;
}

Test(adapter, folders_with_something_missing)
{
    struct bench x;
    struct rr_error err;
    struct rr_buf tensors = {0};
    open_bench(&x);
    const char *dir = folder("adapter"), *config = path_in(dir, "adapter_config.json"),
               *model = path_in(dir, "adapter_model.safetensors");
    safetensors_write(&tensors, x.header.data, x.header.n, x.data.data, x.data.n);
    cr_assert(apply_folder(&x, path_in(dir, "none"), &err) == RR_ERR_OPEN, "%d", err.status);
    cr_assert(apply_folder(&x, dir, &err) == RR_ERR_OPEN && strcmp(err.file, config) == 0,
              "A01 missing: %d %s", err.status, err.file);
    cr_assert(mkdir(config, 0777) == 0, "mkdir");
    cr_assert(apply_folder(&x, dir, &err) == RR_ERR_OPEN && strcmp(err.file, config) == 0,
              "A01 folder: %d %s", err.status, err.file);
    remove(config);
    write_file(config, good_config, sizeof good_config - 1);
    cr_assert(apply_folder(&x, dir, &err) == RR_ERR_OPEN && strcmp(err.file, model) == 0,
              "A14 missing: %d %s", err.status, err.file);
    write_file(path_in(dir, "adapter_model.bin"), "PK", 2);
    cr_assert(apply_folder(&x, dir, &err) == RR_ERR_DATA && strcmp(err.code, "UNSUPPORTED") == 0 &&
                  strstr(err.file, "adapter_model.bin"),
              "A14 pickle: %d [%s] %s", err.status, err.code, err.file);
    write_file(model, "", 0);
    cr_assert(apply_folder(&x, dir, &err) == RR_ERR_DATA, "A15 empty: %d", err.status);
    write_file(model, tensors.data, tensors.n);
    cr_assert(apply_folder(&x, dir, &err) == RR_OK, "[%s] %s", err.code, err.text);
    write_file(config, "", 0);
    cr_assert(apply_folder(&x, dir, &err) == RR_ERR_DATA && strcmp(err.code, "JSON") == 0,
              "A01 empty: %d [%s]", err.status, err.code);
    rr_buf_free(&tensors);
    close_bench(&x);
}

/* An evaluation's journal goes by the fingerprint: a model with an adapter is another one. */
Test(adapter, the_fingerprint_tells_a_merged_model_apart)
{
    struct bench x;
    struct rr_weights w;
    struct rr_adapter_report r;
    struct rr_error err = {0};
    struct rr_buf tensors = {0};
    char prints[3][65];
    open_bench(&x);
    for (int i = 0; i < 3; i++) {
        if (i == 2)
            patch(&x.data, 8, 4, 0);
        safetensors_write(&tensors, x.header.data, x.header.n, x.data.data, x.data.n);
        const struct rr_adapter_files f = {"config",  good_config,  sizeof good_config - 1,
                                           "tensors", tensors.data, tensors.n};
        open_base(&w, x.base);
        if (i)
            cr_assert(rr_adapter_apply_memory(&w, &x.e.kernels, &f, 1, &r, &err) == 0, "%s",
                      err.text);
        rr_weights_fingerprint(&w, prints[i]);
        rr_weights_close(&w);
    }
    cr_assert(strcmp(prints[0], prints[1]) != 0 && strcmp(prints[1], prints[2]) != 0, "%s, %s, %s",
              prints[0], prints[1], prints[2]);
    rr_buf_free(&tensors);
    close_bench(&x);
}
