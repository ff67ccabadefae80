/* Rows of the hostile-input specification, section 2.5, beside those of adapter_test.c: the file,
 * the field or tensor and the numbers that a refusal names, and what an adapter that is applied
 * says of itself. */
#include "tests/test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "engine/session.h"
#include "tests/make_files.h"
#include "weights/adapter.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])
#define LAYER0 "base_model.model.model.layers.0.self_attn."
#define SHOWN 64 /* bytes of a name that an error holds, before "..." */

static const char good_config[] =
    "{\"peft_type\":\"LORA\",\"task_type\":\"CAUSAL_LM\",\"r\":2,\"lora_alpha\":4,"
    "\"target_modules\":[\"q_proj\",\"v_proj\"],\"use_rslora\":false,\"use_dora\":false}";

struct bench {
    struct rr_engine e;
    const char *base;           /* a GGUF file */
    struct rr_buf header, data; /* of adapter_model.safetensors, with its last brace */
};

/* A and B of q and v of both layers of the tiny model, r 2: q is [32, 32], v [16, 32]. */
static void open_bench(struct bench *x)
{
    struct rr_error err = {0};
    struct rr_buf *h = &x->header, *d = &x->data;
    *x = (struct bench){0};
    cr_assert(rr_engine_init(&x->e, 1, rr_cpu_best(), &err) == 0, "%s", err.text);
    struct rr_buf b = {0};
    tiny_default_gguf(&b);
    x->base = path_in(temporary_dir(), "base.gguf");
    write_file(x->base, b.data, b.n);
    rr_buf_free(&b);
    for (int i = 0; i < 8; i++) {
        const int layer = i / 4, v = i / 2 % 2, is_b = i % 2;
        const int rows = !is_b ? 2 : v ? 16 : 32, cols = is_b ? 2 : 32;
        rr_buf_printf(h,
                      "%s\"base_model.model.model.layers.%d.self_attn.%c_proj.lora_%c.weight\":"
                      "{\"dtype\":\"F32\",\"shape\":[%d,%d],\"data_offsets\":[%zu,%zu]}",
                      i ? "," : "{", layer, v ? 'v' : 'q', is_b ? 'B' : 'A', rows, cols, d->n,
                      d->n + (size_t)rows * (size_t)cols * 4);
        for (int k = 0; k < rows * cols; k++)
            put_f32(d, 0.01f * (float)((k * 7 + i) % 13 - 6));
    }
    rr_buf_puts(h, "}");
}

static void close_bench(struct bench *x)
{
    rr_buf_free(&x->header);
    rr_buf_free(&x->data);
    rr_engine_release(&x->e);
}

/* text with `find` replaced by `by`; find "": as it is. */
static void edited(struct rr_buf *out, const char *text, const char *find, const char *by)
{
    const char *at = strstr(text, find);
    cr_assert(at != NULL, "'%s' is not in %s", find, text);
    rr_buf_clear(out);
    rr_buf_add(out, text, (size_t)(at - text));
    rr_buf_puts(out, by);
    rr_buf_puts(out, at + strlen(find));
}

/* w is left open when it succeeds. */
static int apply(struct bench *x, struct rr_weights *w, const struct rr_buf *config,
                 const struct rr_buf *tensors, struct rr_adapter_report *r, struct rr_error *err)
{
    const struct rr_adapter_files files = {"config",  config->data,  config->n,
                                           "tensors", tensors->data, tensors->n};
    *err = (struct rr_error){0};
    cr_assert(rr_weights_open(w, x->base, NULL, err) == 0, "%s", err->text);
    const int rc = rr_adapter_apply_memory(w, &x->e.kernels, &files, 1, r, err);
    if (rc)
        rr_weights_close(w);
    return rc;
}

/* object: the whole of it, as errors show it. */
static void check(const char *id, int rc, const struct rr_error *err, const char *file,
                  const char *code, const char *object, const char *text)
{
    cr_assert(rc == RR_ERR_DATA && err->status == rc, "%s: status %d (%s)", id, rc, err->text);
    cr_assert(strcmp(err->code, code) == 0, "%s: code %s, expected %s (%s: %s)", id, err->code,
              code, err->object, err->text);
    cr_assert(strcmp(err->file, file) == 0, "%s: file '%s'", id, err->file);
    const size_t n = strlen(object) < SHOWN ? strlen(object) + 1 : SHOWN;
    cr_assert(strncmp(err->object, object, n) == 0, "%s: object '%s', expected '%s'", id,
              err->object, object);
    cr_assert(strstr(err->text, text) != NULL, "%s: text '%s', expected '%s' in it", id, err->text,
              text);
}

static void check_place(const char *id, const struct rr_error *err, long long offset)
{
    cr_assert(err->offset == offset, "%s: offset %lld, expected %lld", id, err->offset, offset);
}

static long long place_of(const struct rr_buf *b, const char *text)
{
    return (long long)find_bytes(b, text, strlen(text));
}

/* The byte at which the value begins, or the part of it that is wrong; of one that is missing, 0:
 * the object. */
Test(hostile_adapter, configs)
{
    static const struct {
        const char *id, *find, *by, *code, *object, *text, *at;
    } rows[] = {
        {"A02 prefix tuning", "\"LORA\"", "\"PREFIX_TUNING\"", "UNSUPPORTED", "peft_type",
         "expected \"LORA\"", "\"PREFIX_TUNING\""},
        {"A02 AdaLoRA", "\"LORA\"", "\"ADALORA\"", "UNSUPPORTED", "peft_type", "expected \"LORA\"",
         "\"ADALORA\""},
        {"A02 lower case", "\"LORA\"", "\"lora\"", "UNSUPPORTED", "peft_type", "expected \"LORA\"",
         "\"lora\""},
        {"A02 missing", "\"peft_type\":\"LORA\",", "", "UNSUPPORTED", "peft_type",
         "expected \"LORA\"", NULL},
        {"A03 classifier", "CAUSAL_LM", "SEQ_CLS", "UNSUPPORTED", "task_type",
         "heads of other tasks are not supported", "\"SEQ_CLS\""},
        {"A03 tokens", "CAUSAL_LM", "TOKEN_CLS", "UNSUPPORTED", "task_type",
         "heads of other tasks are not supported", "\"TOKEN_CLS\""},
        {"A04 0", "\"r\":2", "\"r\":0", "ADAPTER", "r", "whole number from 1 to 4096",
         "0,\"lora_alpha\""},
        {"A04 4097", "\"r\":2", "\"r\":4097", "ADAPTER", "r", "whole number from 1 to 4096",
         "4097"},
        {"A04 1e300", "\"r\":2", "\"r\":1e300", "ADAPTER", "r", "whole number from 1 to 4096",
         "1e300"},
        {"A04 true", "\"r\":2", "\"r\":true", "ADAPTER", "r", "whole number from 1 to 4096",
         "true"},
        {"A05 missing", "\"lora_alpha\":4,", "", "ADAPTER", "lora_alpha", "a number that is not 0",
         NULL},
        {"A05 text", "\"lora_alpha\":4", "\"lora_alpha\":\"4\"", "ADAPTER", "lora_alpha",
         "a number that is not 0", "\"4\""},
        {"A08", "\"use_dora\"", "\"bias\":\"all\",\"use_dora\"", "UNSUPPORTED", "bias",
         "expected \"none\"", "\"all\""},
        {"A11 empty text", "[\"q_proj\",\"v_proj\"]", "\"\"", "ADAPTER", "target_modules",
         "a list of module names", "\"\","},
        {"A12 no module", "\"use_dora\"", "\"rank_pattern\":{\"c_attn\":4},\"use_dora\"", "ADAPTER",
         "rank_pattern", "'c_attn' is no module of this model", "4},"},
        {"A12 no module's alpha", "\"use_dora\"", "\"alpha_pattern\":{\"c_attn\":4},\"use_dora\"",
         "ADAPTER", "alpha_pattern", "'c_attn' is no module of this model", "4},"},
        {"A13 no layer", "\"use_dora\"", "\"layers_to_transform\":[0,2],\"use_dora\"", "ADAPTER",
         "layers_to_transform", "no number of a layer", "2],\"use"},
        {"A20 no module", "[\"q_proj\",\"v_proj\"]", "[\"q_proj\",\"c_attn\"]", "ADAPTER",
         "target_modules", "'c_attn' is no module of this model", "\"c_attn\""},
    };
    struct bench x;
    struct rr_buf config = {0}, tensors = {0};
    struct rr_weights w;
    struct rr_adapter_report r;
    struct rr_error err;
    open_bench(&x);
    safetensors_write(&tensors, x.header.data, x.header.n, x.data.data, x.data.n);
    for (size_t i = 0; i < COUNT(rows); i++) {
        edited(&config, good_config, rows[i].find, rows[i].by);
        const int rc = apply(&x, &w, &config, &tensors, &r, &err);
        check(rows[i].id, rc, &err, "config", rows[i].code, rows[i].object, rows[i].text);
        check_place(rows[i].id, &err, rows[i].at ? place_of(&config, rows[i].at) : 0);
    }
    rr_buf_free(&config);
    rr_buf_free(&tensors);
    close_bench(&x);
}

/* The place: that of the text `at` in the changed header, or with "@N" byte N of the data, where
 * the tensor begins. */
Test(hostile_adapter, tensors)
{
    static const struct {
        const char *id, *find, *by, *code, *object, *text, *at;
    } rows[] = {
        {"A15 a hole", "\"data_offsets\":[0,256]", "\"data_offsets\":[4,256]", "DATA_OFFSETS",
         LAYER0 "q_proj.lora_A.weight", "bytes 4 to 256; shape and type need 256", "[4,256]"},
        {"A15 overlap", "\"data_offsets\":[256,512]", "\"data_offsets\":[0,256]", "OVERLAP",
         LAYER0 "q_proj.lora_B.weight", "begins at data byte 0", "@0"},
        {"A15 cut off", "\"data_offsets\":[1408,1664]", "\"data_offsets\":[9280,9536]", "TRUNCATED",
         "base_model.model.model.layers.1.self_attn.v_proj.lora_A.weight", "ends at data byte 9536",
         "[9280"},
        {"A15 type", "\"F32\"", "\"F33\"", "DTYPE", LAYER0 "q_proj.lora_A.weight", "F33",
         "\"F33\""},
        {"A15 no JSON", "\"F32\"", "'F32'", "JSON", "JSON", "a JSON value", "'F32"},
        {"A15 a name twice", "0.self_attn.q_proj.lora_B", "0.self_attn.q_proj.lora_A",
         "JSON_DUPLICATE_KEY", LAYER0 "q_proj.lora_A.weight", "twice",
         "{\"dtype\":\"F32\",\"shape\":[32,2]"},
        {"A16 no B", "0.self_attn.q_proj.lora_B", "0.self_attn.q_proj.lora_C", "ADAPTER",
         LAYER0 "q_proj.lora_A.weight", "its lora_B is missing", "@0"},
        {"A16 no A", "0.self_attn.v_proj.lora_A", "0.self_attn.v_proj.lora_C", "ADAPTER",
         LAYER0 "v_proj.lora_B.weight", "its lora_A is missing", "@768"},
        {"A17 r of A", "[2,32]", "[1,64]", "ADAPTER", LAYER0 "q_proj.lora_A.weight",
         "[1, 64]; expected [2, 32]", "@0"},
        {"A17 r of B", "[32,2]", "[16,4]", "ADAPTER", LAYER0 "q_proj.lora_B.weight",
         "[16, 4]; expected [32, 2]", "@256"},
        {"A18 inputs", "[2,32]", "[4,16]", "ADAPTER", LAYER0 "q_proj.lora_A.weight",
         "[4, 16]; expected [2, 32] (r and this base's inputs)", "@0"},
        {"A18 outputs", "[16,2]", "[32,1]", "ADAPTER", LAYER0 "v_proj.lora_B.weight",
         "[32, 1]; expected [16, 2] (this base's outputs and r)", "@768"},
        {"A19 layer 2 of 2", "layers.1.self_attn.v_proj.lora_A", "layers.2.self_attn.v_proj.lora_A",
         "ADAPTER", "base_model.model.model.layers.1.self_attn.v_proj.lora_B.weight",
         "its lora_A is missing", "@1664"},
        {"A20 another's prefix", LAYER0 "q_proj.lora_A", "model.layers.0.self_attn.q_proj.lora_A",
         "ADAPTER", LAYER0 "q_proj.lora_B.weight", "its lora_A is missing", "@256"},
        {"A24 bool", "{\"dtype\":\"F32\",\"shape\":[2,32]", "{\"dtype\":\"BOOL\",\"shape\":[8,32]",
         "ADAPTER", LAYER0 "q_proj.lora_A.weight", "BOOL with 2 dimensions", "@0"},
        {"A24 bytes", "{\"dtype\":\"F32\",\"shape\":[2,32]", "{\"dtype\":\"U8\",\"shape\":[8,32]",
         "ADAPTER", LAYER0 "q_proj.lora_A.weight", "U8 with 2 dimensions", "@0"},
        {"A24 doubles", "{\"dtype\":\"F32\",\"shape\":[2,32]",
         "{\"dtype\":\"F64\",\"shape\":[1,32]", "ADAPTER", LAYER0 "q_proj.lora_A.weight",
         "F64 with 2 dimensions", "@0"},
    };
    struct bench x;
    struct rr_buf config = {0}, header = {0}, tensors = {0};
    struct rr_weights w;
    struct rr_adapter_report r;
    struct rr_error err;
    open_bench(&x);
    rr_buf_puts(&config, good_config);
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *at = rows[i].at;
        edited(&header, x.header.data, rows[i].find, rows[i].by);
        safetensors_write(&tensors, header.data, header.n, x.data.data, x.data.n);
        const int rc = apply(&x, &w, &config, &tensors, &r, &err);
        check(rows[i].id, rc, &err, "tensors", rows[i].code, rows[i].object, rows[i].text);
        check_place(rows[i].id, &err,
                    at[0] == '@' ? 8 + (long long)header.n + atoi(at + 1) : place_of(&tensors, at));
    }
    rr_buf_free(&config);
    rr_buf_free(&header);
    rr_buf_free(&tensors);
    close_bench(&x);
}

/* A21: tensors of another kind of adapter, or none; A22: a target without its tensors; A23: tensors
 * without a target. */
Test(hostile_adapter, nothing_too_few_too_many)
{
    static const char other[] =
        "{\"base_model.encoder.block.0.k.lora_A.weight\":{\"dtype\":\"F32\","
        "\"shape\":[0],\"data_offsets\":[0,0]}}";
    struct bench x;
    struct rr_buf config = {0}, header = {0}, tensors = {0};
    struct rr_weights w;
    struct rr_adapter_report r;
    struct rr_error err;
    open_bench(&x);
    rr_buf_puts(&config, good_config);
    safetensors_write(&tensors, other, strlen(other), "", 0);
    check("A21 another model's", apply(&x, &w, &config, &tensors, &r, &err), &err, "tensors",
          "ADAPTER_NO_MATCH", "base_model.encoder.block.0.k.lora_A.weight",
          "nothing for this model");
    check_place("A21", &err, (long long)tensors.n);
    safetensors_write(&tensors, "{}", 2, "", 0);
    check("A21 empty", apply(&x, &w, &config, &tensors, &r, &err), &err, "tensors",
          "ADAPTER_NO_MATCH", "", "nothing for this model");
    check_place("A21", &err, -1);
    safetensors_write(&tensors, x.header.data, x.header.n, x.data.data, x.data.n);
    edited(&config, good_config, "[\"q_proj\",\"v_proj\"]", "[\"q_proj\",\"v_proj\",\"up_proj\"]");
    check("A22", apply(&x, &w, &config, &tensors, &r, &err), &err, "tensors", "ADAPTER",
          "model.layers.0.mlp.up_proj",
          "its tensors are missing; so are those of model.layers.1.mlp.up_proj");
    check_place("A22", &err, -1); /* what is not there is nowhere */
    edited(&config, good_config, "", "");
    edited(&header, x.header.data, "1.self_attn.v_proj.lora_A", "9.self_attn.v_proj.lora_A");
    edited(&tensors, header.data, "1.self_attn.v_proj.lora_B", "9.self_attn.v_proj.lora_B");
    rr_buf_clear(&header);
    rr_buf_add(&header, tensors.data, tensors.n);
    rr_buf_clear(&tensors);
    safetensors_write(&tensors, header.data, header.n, x.data.data, x.data.n);
    check("A22 one", apply(&x, &w, &config, &tensors, &r, &err), &err, "tensors", "ADAPTER",
          "model.layers.1.self_attn.v_proj", "its tensors are missing");
    cr_assert(strstr(err.text, "so are") == NULL, "%s", err.text);
    safetensors_write(&tensors, x.header.data, x.header.n, x.data.data, x.data.n);
    edited(&config, good_config, "[\"q_proj\",\"v_proj\"]", "[\"v_proj\"]");
    check("A23", apply(&x, &w, &config, &tensors, &r, &err), &err, "tensors", "ADAPTER",
          LAYER0 "q_proj.lora_A.weight", "none of adapter_config.json's target_modules");
    check_place("A23", &err, 8 + (long long)x.header.n);
    rr_buf_free(&config);
    rr_buf_free(&header);
    rr_buf_free(&tensors);
    close_bench(&x);
}

/* A24: numbers that are none, in A and in B. */
Test(hostile_adapter, numbers_that_are_not_finite)
{
    static const uint32_t bits[] = {0x7fc00000, 0x7f800000, 0xff800000};
    struct bench x;
    struct rr_buf config = {0}, tensors = {0};
    struct rr_weights w;
    struct rr_adapter_report r;
    struct rr_error err;
    open_bench(&x);
    rr_buf_puts(&config, good_config);
    for (int b = 0; b < 2; b++)
        for (size_t i = 0; i < COUNT(bits); i++) {
            safetensors_write(&tensors, x.header.data, x.header.n, x.data.data, x.data.n);
            const size_t last = 8 + x.header.n + (b ? 512 : 256) - 4; /* the last number */
            patch(&tensors, last, 4, bits[i]);
            check("A24", apply(&x, &w, &config, &tensors, &r, &err), &err, "tensors", "ADAPTER",
                  b ? LAYER0 "q_proj.lora_B.weight" : LAYER0 "q_proj.lora_A.weight", "not finite");
            check_place("A24", &err, (long long)last);
        }
    rr_buf_free(&config);
    rr_buf_free(&tensors);
    close_bench(&x);
}

/* A05, A06, A12: the scale that is used; A25: an adapter that changes nothing says so by what it
 * reports. */
Test(hostile_adapter, what_is_applied_is_reported)
{
    static const struct {
        const char *id, *find, *by;
        double scale, rank;
    } rows[] = {
        {"plain", "", "", 2, 2},
        {"A05 below 0", "\"lora_alpha\":4", "\"lora_alpha\":-4", -2, 2},
        {"A06", "\"use_rslora\":false", "\"use_rslora\":true", 4 / 1.4142135623730951, 2},
        {"A06 null", "\"use_rslora\":false", "\"use_rslora\":null", 2, 2},
        {"A12 alpha of all", "\"use_dora\"",
         "\"alpha_pattern\":{\"q_proj\":9,\"v_proj\":9},\"use_dora\"", 4.5, 2},
    };
    struct bench x;
    struct rr_buf config = {0}, tensors = {0};
    struct rr_weights w;
    struct rr_adapter_report r;
    struct rr_error err;
    open_bench(&x);
    for (size_t i = 0; i <= COUNT(rows); i++) {
        const bool zeros = i == COUNT(rows);
        if (zeros) /* all of lora_B */
            for (size_t k = 0, at = 0; k < 8; at += k % 2 == 0 || k % 4 == 1 ? 256 : 128, k++)
                for (size_t j = 0; k % 2 && j < (k % 4 == 1 ? 256 : 128); j += 4)
                    patch(&x.data, at + j, 4, 0);
        safetensors_write(&tensors, x.header.data, x.header.n, x.data.data, x.data.n);
        edited(&config, good_config, zeros ? "" : rows[i].find, zeros ? "" : rows[i].by);
        const char *id = zeros ? "A25" : rows[i].id;
        cr_assert(apply(&x, &w, &config, &tensors, &r, &err) == RR_OK, "%s: [%s] %s: %s", id,
                  err.code, err.object, err.text);
        const double change = r.modules[RR_LM_Q].change + r.modules[RR_LM_V].change,
                     scale = zeros ? 2 : rows[i].scale;
        cr_assert(r.n_merged == 4 && r.rank == 2 && fabs(r.scale - scale) < 1e-12,
                  "%s: %d matrices, r %d, scale %g", id, r.n_merged, r.rank, r.scale);
        cr_assert((change == 0) == zeros, "%s: changed by %g", id, change);
        rr_weights_close(&w);
    }
    rr_buf_free(&config);
    rr_buf_free(&tensors);
    close_bench(&x);
}
