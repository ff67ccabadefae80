/* What safetensors files and Hugging Face folders must be refused for, and how. Row numbers are
 * those of the hostile-input specification, section 2.2. */
#include "tests/test.h"

#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "engine/base/status.h"
#include "tests/make_files.h"
#include "weights/safetensors.h"
#include "weights/weights.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static void check(const char *id, int rc, int expected, const struct rr_error *err,
                  const char *code, const char *object, const char *text)
{
    cr_assert(rc == expected, "%s: returned %d, expected %d (%s)", id, rc, expected, err->text);
    cr_assert(err->status == rc, "%s: the error says status %d, the call %d", id, err->status, rc);
    cr_assert(strcmp(err->code, code) == 0, "%s: code %s, expected %s (%s: %s)", id, err->code,
              code, err->object, err->text);
    cr_assert(strstr(err->object, object) != NULL, "%s: object '%s', expected '%s'", id,
              err->object, object);
    cr_assert(err->file[0] != 0, "%s: no file named", id);
    cr_assert(!text || strstr(err->text, text), "%s: text '%s', expected '%s' in it", id, err->text,
              text ? text : "");
}

/* Parses bytes in a block of their exact size. */
static int parse(const void *bytes, size_t n, size_t *n_tensors, struct rr_error *err)
{
    struct rr_stored *list = NULL;
    size_t cap = 0;
    struct rr_arena arena = {0};
    char *exact = rr_alloc(n, 1);
    *n_tensors = 0;
    if (n)
        memcpy(exact, bytes, n);
    int rc = rr_safetensors_parse(&list, n_tensors, &cap, &arena, exact, n, "t.safetensors", err);
    rr_free(exact);
    rr_free(list);
    rr_arena_free(&arena);
    return rc;
}

/* S01 to S05: the length of the header. */
Test(safetensors, header_length)
{
    static const struct {
        const char *id;
        uint64_t length;
        size_t n; /* of the file */
        const char *code;
        long long offset;
    } rows[] = {
        {"S01 empty", 0, 0, "TRUNCATED", 0},
        {"S01 7 bytes", 2, 7, "TRUNCATED", 7},
        {"S02 length 0", 0, 64, "HEADER_LENGTH", 0},
        {"S02 length 1", 1, 64, "HEADER_LENGTH", 0},
        {"S03 above the cap", 100000001, 64, "HEADER_LENGTH", 0},
        {"S04 2^63", (uint64_t)1 << 63, 64, "HEADER_LENGTH", 0},
        {"S04 2^64-8", UINT64_MAX - 7, 64, "HEADER_LENGTH", 0},
        {"S05 one more than there is", 57, 64, "HEADER_LENGTH", 0},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct rr_buf b = {0};
        struct rr_error err = {0};
        size_t n_tensors;
        put_u64(&b, rows[i].length);
        while (b.n < 64)
            put_u8(&b, ' ');
        int rc = parse(b.data, rows[i].n, &n_tensors, &err);
        check(rows[i].id, rc, RR_ERR_DATA, &err, rows[i].code, "header length", NULL);
        cr_assert(err.offset == rows[i].offset, "%s: offset %lld", rows[i].id, err.offset);
        rr_buf_free(&b);
    }
}

#define TENSOR(fields) "{\"a\":{" fields "}}"
#define GOOD "\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]"
#define OF(dtype, shape, offsets)                                                                  \
    "\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets
#define DEEP8 "[[[[[[[["

static const struct {
    const char *id, *header;
    size_t n_data;
    const char *code, *object, *text;
    const char *anchor; /* the offset expected is that of this text's first occurrence in the
                           header; "@N": N bytes behind the header's end */
} rows[] = {
    {"S06 0xFF", "{\"\xFF\":1}", 0, "JSON", "JSON", "UTF-8", "\xFF"},
    {"S06 overlong", "{\"\xC0\x80\":1}", 0, "JSON", "JSON", "UTF-8", "\xC0"},
    {"S06 surrogate", "{\"\xED\xA0\x80\":1}", 0, "JSON", "JSON", "UTF-8", "\xED"},
    {"S06 outside a string", "{} \xC3\xA9", 0, "JSON", "JSON", "nothing after", "\xC3"},
    {"S07 open", "{ ", 0, "JSON", "JSON", "member name", "@0"},
    {"S07 trailing comma", TENSOR(GOOD ","), 8, "JSON", "JSON", "member name", "}}"},
    {"S07 comment", "{/* */}", 0, "JSON", "JSON", "member name", "/"},
    {"S07 single quotes", "{'a':1}", 0, "JSON", "JSON", "double quotes", "'"},
    {"S07 NaN", "{\"a\":NaN}", 0, "JSON", "JSON", "JSON value", "N"},
    {"S07 no colon", "{\"a\" 1}", 0, "JSON", "JSON", "':'", "1"},
    {"S09 bytes behind", TENSOR(GOOD) "x", 8, "JSON", "JSON", "nothing after", "x"},
    {"S09 a backslash behind", TENSOR(GOOD) "\\", 8, "JSON", "JSON", "nothing after", "\\"},
    {"S10 array", "[]", 0, "HEADER", "header", "an array", "["},
    {"S10 number", "12", 0, "HEADER", "header", "a number", "1"},
    {"S11 depth 65", "{\"a\":" DEEP8 DEEP8 DEEP8 DEEP8 DEEP8 DEEP8 DEEP8 DEEP8 "[x", 0,
     "JSON_DEPTH", "JSON", "64", "[x"},
    {"S12 twice", "{\"a\":{" GOOD "},\"a\":{" OF("\"F16\"", "[2]", "[0,4]") "}}", 8,
     "JSON_DUPLICATE_KEY", "a", "twice", "{\"dtype\":\"F16\""},
    {"S12 twice by escape", "{\"a\":{" GOOD "},\"\\u0061\":{" OF("\"F16\"", "[2]", "[0,4]") "}}", 8,
     "JSON_DUPLICATE_KEY", "a", "twice", "{\"dtype\":\"F16\""},
    {"S12 field twice", TENSOR(GOOD ",\"dtype\":\"F16\""), 8, "JSON_DUPLICATE_KEY", "dtype",
     "twice", "\"F16"},
    {"S13 metadata a list", "{\"__metadata__\":[]}", 0, "HEADER", "__metadata__",
     "object of strings", "["},
    {"S13 metadata a number", "{\"__metadata__\":{\"x\":1}}", 0, "HEADER", "__metadata__",
     "object of strings", "{\"x"},
    {"entry no object", "{\"a\":7}", 0, "HEADER", "a", "a number", "7"},
    {"S14 missing", TENSOR("\"shape\":[2],\"data_offsets\":[0,8]"), 8, "DTYPE", "a", "missing",
     "{\"shape"},
    {"S14 unknown", TENSOR(OF("\"F128\"", "[2]", "[0,8]")), 8, "DTYPE", "a", "F128", "\"F128\""},
    {"S14 lower case", TENSOR(OF("\"f32\"", "[2]", "[0,8]")), 8, "DTYPE", "a", "f32", "\"f32\""},
    {"S14 number", TENSOR(OF("32", "[2]", "[0,8]")), 8, "DTYPE", "a", "no string", "32,"},
    {"S15 missing", TENSOR("\"dtype\":\"F32\",\"data_offsets\":[0,8]"), 8, "SHAPE", "a", "missing",
     "{\"dtype"},
    {"S15 negative", TENSOR(OF("\"F32\"", "[-2]", "[0,8]")), 8, "SHAPE", "a", "whole number", "-2"},
    {"S15 fraction", TENSOR(OF("\"F32\"", "[1.5]", "[0,8]")), 8, "SHAPE", "a", "whole number",
     "1.5"},
    {"S15 exponent", TENSOR(OF("\"F32\"", "[1e3]", "[0,8]")), 8, "SHAPE", "a", "whole number",
     "1e3"},
    {"S15 2^64", TENSOR(OF("\"F32\"", "[18446744073709551616]", "[0,8]")), 8, "SHAPE", "a",
     "whole number", "184"},
    {"S15 string", TENSOR(OF("\"F32\"", "[\"2\"]", "[0,8]")), 8, "SHAPE", "a", "a string", "\"2\""},
    {"S15 no array", TENSOR(OF("\"F32\"", "2", "[0,8]")), 8, "SHAPE", "a", "not an array",
     "2,\"data"},
    {"S15 rank 9", TENSOR(OF("\"F32\"", "[1,1,1,1,1,1,1,1,2]", "[0,8]")), 8, "SHAPE", "a",
     "at most 8", "[1,1"},
    {"S16 product wraps", TENSOR(OF("\"F32\"", "[4294967296,4294967297]", "[0,8]")), 8,
     "DIM_OVERFLOW", "a", NULL, "4294967297"},
    {"S16 wraps to 0", TENSOR(OF("\"F32\"", "[9223372036854775807,2,0]", "[0,0]")), 0,
     "DIM_OVERFLOW", "a", NULL, "922"},
    {"S17 bytes wrap", TENSOR(OF("\"F64\"", "[1152921504606846976]", "[0,0]")), 0, "DATA_OFFSETS",
     "a", NULL, "[0,0]"},
    {"S18 missing", TENSOR("\"dtype\":\"F32\",\"shape\":[2]"), 8, "DATA_OFFSETS", "a", "missing",
     "{\"dtype"},
    {"S18 one", TENSOR(OF("\"F32\"", "[2]", "[0]")), 8, "DATA_OFFSETS", "a", "two whole numbers",
     "[0]"},
    {"S18 three", TENSOR(OF("\"F32\"", "[2]", "[0,8,8]")), 8, "DATA_OFFSETS", "a",
     "two whole numbers", "[0,8,8]"},
    {"S18 float", TENSOR(OF("\"F32\"", "[2]", "[0.0,8]")), 8, "DATA_OFFSETS", "a",
     "two whole numbers", "[0.0"},
    {"S18 exponent", TENSOR(OF("\"F32\"", "[2]", "[0,8e0]")), 8, "DATA_OFFSETS", "a",
     "two whole numbers", "[0,8e0"},
    {"S18 negative", TENSOR(OF("\"F32\"", "[2]", "[-8,0]")), 8, "DATA_OFFSETS", "a",
     "two whole numbers", "[-8"},
    {"S18 fraction", TENSOR(OF("\"F32\"", "[2]", "[0,8.5]")), 8, "DATA_OFFSETS", "a",
     "two whole numbers", "[0,8.5"},
    {"S18 strings", TENSOR(OF("\"F32\"", "[2]", "[\"0\",\"8\"]")), 8, "DATA_OFFSETS", "a",
     "two whole numbers", "[\"0"},
    {"S19 end before begin", TENSOR(OF("\"F32\"", "[2]", "[8,0]")), 8, "DATA_OFFSETS", "a",
     "8 to 0", "[8,0]"},
    {"S20 too few", TENSOR(OF("\"F32\"", "[3]", "[0,8]")), 8, "DATA_OFFSETS", "a", "need 12",
     "[0,8]"},
    {"S20 too many", TENSOR(OF("\"F16\"", "[2]", "[0,8]")), 8, "DATA_OFFSETS", "a", "need 4",
     "[0,8]"},
    {"S21 hole at the start", TENSOR(OF("\"F32\"", "[1]", "[4,8]")), 8, "HOLE", "a",
     "begins at data byte 4", "@4"},
    {"S22 gap",
     "{\"a\":{" OF("\"F32\"", "[1]", "[0,4]") "},\"b\":{" OF("\"F32\"", "[1]", "[8,12]") "}}", 12,
     "HOLE", "b", "begins at data byte 8", "@8"},
    {"S23 overlap", "{\"a\":{" GOOD "},\"b\":{" OF("\"F32\"", "[1]", "[4,8]") "}}", 8, "OVERLAP",
     "b", "end at 8", "@4"},
    {"S23 all on the same", "{\"a\":{" GOOD "},\"b\":{" GOOD "}}", 8, "OVERLAP", "b", "end at 8",
     "@0"},
    {"S24 a byte short", TENSOR(GOOD), 7, "TRUNCATED", "a", "data byte 8; the file has 7", "[0,8]"},
    {"S24 a byte more", TENSOR(GOOD), 9, "TRAILING", "data", "1 bytes", "@8"},
    {"S24 no tensor, data", "{}", 8, "TRAILING", "data", "8 bytes", "@0"},
    {"S26 half bytes", TENSOR(OF("\"F4\"", "[3]", "[0,2]")), 2, "DTYPE", "a", "F4", "\"F4\""},
    {"S27 no name", "{\"\":{" GOOD "}}", 8, "NAME", "tensor name", "0 bytes", "{\"dtype"},
    {"S27 control", "{\"a\\u0000b\":{" GOOD "}}", 8, "NAME", "tensor name", "a\\x00b", "{\"dtype"},
    {"S27 blank", "{\"a b\":{" GOOD "}}", 8, "NAME", "tensor name", "a b", "{\"dtype"},
};

Test(safetensors, damaged_headers)
{
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct rr_buf b = {0};
        struct rr_error err = {0};
        char data[16] = {0};
        size_t n_tensors;
        const char *header = rows[i].header, *anchor = rows[i].anchor;
        safetensors_write(&b, header, strlen(header), data, rows[i].n_data);
        int rc = parse(b.data, b.n, &n_tensors, &err);
        check(rows[i].id, rc, RR_ERR_DATA, &err, rows[i].code, rows[i].object, rows[i].text);
        const long long offset = anchor[0] == '@'
                                     ? 8 + (long long)strlen(header) + (anchor[1] - '0')
                                     : (long long)find_bytes(&b, anchor, strlen(anchor));
        cr_assert(err.offset == offset, "%s: offset %lld, expected %lld", rows[i].id, err.offset,
                  offset);
        rr_buf_free(&b);
    }
}

/* S27: 64 KiB of name; S25: a million tensors. */
Test(safetensors, too_much)
{
    struct rr_buf header = {0}, b = {0};
    struct rr_error err = {0};
    size_t n_tensors;
    rr_buf_puts(&header, "{\"");
    for (int i = 0; i < 65536; i++)
        rr_buf_puts(&header, "n");
    rr_buf_puts(&header, "\":{" GOOD "}}");
    safetensors_write(&b, header.data, header.n, "12345678", 8);
    int rc = parse(b.data, b.n, &n_tensors, &err);
    check("S27 64 KiB", rc, RR_ERR_DATA, &err, "NAME", "tensor name", "65536 bytes");
    cr_assert(err.offset == 8 + 65536 + 4, "S27 64 KiB: offset %lld", err.offset);

    rr_buf_clear(&header);
    for (int i = 0; i < 1000000; i++)
        rr_buf_printf(&header, "%c\"%d\":0", i ? ',' : '{', i);
    rr_buf_puts(&header, "}");
    safetensors_write(&b, header.data, header.n, "", 0);
    rc = parse(b.data, b.n, &n_tensors, &err);
    check("S25 a million", rc, RR_ERR_DATA, &err, "COUNT", "header",
          "1000000 tensors; at most 65536");
    cr_assert(err.offset == 8, "S25: offset %lld", err.offset);
    rr_buf_free(&header);
    rr_buf_free(&b);
}

/* A file cut anywhere is refused. */
Test(safetensors, cut_at_every_byte)
{
    struct tiny t;
    struct rr_buf b = {0};
    size_t n_tensors;
    tiny_make(&t, &tiny_seed);
    safetensors_from_tiny(&b, &t, 0, t.n_tensors);
    for (size_t n = 0; n < b.n; n++) {
        struct rr_error err = {0};
        int rc = parse(b.data, n, &n_tensors, &err);
        cr_assert(rc == RR_ERR_DATA && err.code[0] && err.text[0], "cut at %zu of %zu: %d %s", n,
                  b.n, rc, err.code);
        cr_assert(err.offset >= 0 && err.offset <= (long long)b.n, "cut at %zu: offset %lld", n,
                  err.offset);
    }
    rr_buf_free(&b);
    tiny_free(&t);
}

/* Odd but legal: leading and trailing blanks, any order of tensors, empty tensors, scalars, unused
 * fields, unknown dtypes only listed. */
Test(safetensors, odd_but_legal)
{
    static const struct {
        const char *id, *header;
        size_t n_data, n_tensors;
    } legal[] = {
        {"S08 blanks before", " \n\t\r" TENSOR(GOOD), 8, 1},
        {"blanks behind", TENSOR(GOOD) "   \n", 8, 1},
        {"metadata only", "{\"__metadata__\":{\"format\":\"pt\",\"\":\"\\u0000\"}}", 0, 0},
        {"reverse order",
         "{\"b\":{" OF("\"F32\"", "[1]", "[4,8]") "},\"a\":{" OF("\"F32\"", "[1]", "[0,4]") "}}", 8,
         2},
        {"scalar", TENSOR(OF("\"F32\"", "[]", "[0,4]")), 4, 1},
        {"no elements", TENSOR(OF("\"F32\"", "[0,5]", "[0,0]")), 0, 1},
        {"several without elements",
         "{\"a\":{" OF("\"F32\"", "[0]", "[0,0]") "},\"b\":{" OF(
             "\"F32\"", "[1]", "[0,4]") "},\"c\":{" OF("\"U8\"", "[0]",
                                                       "[4,4]") "},\"d\":{" OF("\"U8\"", "[0]",
                                                                               "[4,4]") "}}",
         4, 4},
        {"extra field", TENSOR(GOOD ",\"extra\":[1,{\"x\":null}]"), 8, 1},
        {"escaped names of fields",
         TENSOR("\"dty\\u0070e\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]"), 8, 1},
        {"rank 8", TENSOR(OF("\"F32\"", "[1,1,1,1,1,1,1,2]", "[0,8]")), 8, 1},
        {"integers", TENSOR(OF("\"I64\"", "[1]", "[0,8]")), 8, 1},
        {"eight-bit floats", TENSOR(OF("\"F8_E4M3\"", "[8]", "[0,8]")), 8, 1},
    };
    for (size_t i = 0; i < COUNT(legal); i++) {
        struct rr_buf b = {0};
        struct rr_error err = {0};
        char data[16] = {0};
        size_t n_tensors;
        safetensors_write(&b, legal[i].header, strlen(legal[i].header), data, legal[i].n_data);
        int rc = parse(b.data, b.n, &n_tensors, &err);
        cr_assert(rc == RR_OK, "%s: refused: %s %s: %s", legal[i].id, err.code, err.object,
                  err.text);
        cr_assert(n_tensors == legal[i].n_tensors, "%s: %zu tensors, expected %zu", legal[i].id,
                  n_tensors, legal[i].n_tensors);
        rr_buf_free(&b);
    }
}

/* ---- folders ---- */

static void write_buf(const char *dir, const char *name, const struct rr_buf *b)
{
    write_file(path_in(dir, name), b->data, b->n);
}

/* The text with its first `from` replaced by `to`. */
static void replace(struct rr_buf *b, const char *from, const char *to)
{
    struct rr_buf out = {0};
    const size_t at = find_bytes(b, from, strlen(from));
    rr_buf_add(&out, b->data, at);
    rr_buf_puts(&out, to);
    rr_buf_puts(&out, b->data + at + strlen(from));
    rr_buf_free(b);
    *b = out;
}

static void write_folder(const char *dir, const struct tiny *t)
{
    struct rr_buf b = {0};
    config_from_tiny(&b, t);
    write_buf(dir, "config.json", &b);
    safetensors_from_tiny(&b, t, 0, t->n_tensors);
    write_buf(dir, "model.safetensors", &b);
    sentencepiece_from_tiny(&b, t);
    write_buf(dir, "tokenizer.model", &b);
    rr_buf_free(&b);
}

Test(safetensors, damaged_configs)
{
    static const struct {
        const char *id, *from, *to;
        const char *code, *object, *text;
    } edits[] = {
        {"config no JSON", "}\n", "", "JSON", "JSON", "ends here"},
        {"S34 mistral", "\"llama\"", "\"mistral\"", "ARCH", "model_type", "mistral"},
        {"S34 missing", "\"model_type\"", "\"model_typo\"", "ARCH", "model_type", "missing"},
        {"S35 heads 0", "\"num_attention_heads\": 4", "\"num_attention_heads\": 0", "HPARAM",
         "num_attention_heads", "0"},
        {"S35 heads 5", "\"num_attention_heads\": 4", "\"num_attention_heads\": 5", "HPARAM",
         "num_attention_heads", "32"},
        {"S35 heads 64", "\"num_attention_heads\": 4", "\"num_attention_heads\": 64", "HPARAM",
         "num_attention_heads", "32"},
        {"S35 kv 0", "\"num_key_value_heads\": 2", "\"num_key_value_heads\": 0", "HPARAM",
         "num_key_value_heads", "0"},
        {"S35 kv 8", "\"num_key_value_heads\": 2", "\"num_key_value_heads\": 8", "HPARAM",
         "n_kv_heads", "8"},
        {"S35 kv 3", "\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3", "HPARAM",
         "n_kv_heads", "3"},
        {"S35 layers 0", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 0", "HPARAM",
         "num_hidden_layers", "0"},
        {"S35 layers -1", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": -1", "HPARAM",
         "num_hidden_layers", "-1"},
        {"S35 layers 2^31-1", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 2147483647",
         "HPARAM", "n_layers", "1024"},
        {"S35 layers 1.5", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1.5", "HPARAM",
         "num_hidden_layers", "1.5"},
        {"S35 layers text", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": \"2\"", "HPARAM",
         "num_hidden_layers", "a string"},
        {"S35 layers missing", "\"num_hidden_layers\"", "\"layers\"", "HPARAM", "num_hidden_layers",
         "missing"},
        {"S35 hidden 2^31-4", "\"hidden_size\": 32", "\"hidden_size\": 2147483644", "HPARAM",
         "n_embd", "1048576"},
        {"S35 ffn 0", "\"intermediate_size\": 64", "\"intermediate_size\": 0", "HPARAM",
         "intermediate_size", "0"},
        {"S35 context 0", "\"max_position_embeddings\": 64", "\"max_position_embeddings\": 0",
         "HPARAM", "max_position", "0"},
        {"S35 epsilon 0", "1e-05", "0", "HPARAM", "rms_eps", NULL},
        {"S35 epsilon text", "1e-05", "\"1e-05\"", "HPARAM", "rms_norm_eps", "a string"},
        {"S35 theta -1", "10000.0", "-1", "HPARAM", "rope theta", "-1"},
        {"S36 yarn", "\"rope_scaling\": null", "\"rope_scaling\": {\"rope_type\":\"yarn\"}",
         "UNSUPPORTED", "rope_scaling", "yarn"},
        {"S36 no type", "\"rope_scaling\": null", "\"rope_scaling\": {\"factor\":2}", "UNSUPPORTED",
         "rope_scaling", "(none)"},
        {"S36 no object", "\"rope_scaling\": null", "\"rope_scaling\": 7", "HPARAM", "rope_scaling",
         "expected an object"},
        {"rope_parameters with another type", "\"rope_scaling\": null",
         "\"rope_parameters\": {\"rope_type\":\"yarn\",\"rope_theta\":5}", "UNSUPPORTED",
         "rope_scaling", "yarn"},
        {"partial rotation", "\"rope_scaling\": null", "\"partial_rotary_factor\": 0.5",
         "UNSUPPORTED", "partial_rotary_factor", "only 1"},
        {"S36 linear 0", "\"rope_scaling\": null",
         "\"rope_scaling\": {\"type\":\"linear\",\"factor\":0}", "HPARAM", "rope scaling factor",
         NULL},
        {"S36 llama3 without factors", "\"rope_scaling\": null",
         "\"rope_scaling\": {\"rope_type\":\"llama3\",\"factor\":8}", "HPARAM",
         "rope frequency factors", NULL},
        {"S37 bitsandbytes", "\"rope_scaling\": null",
         "\"quantization_config\": {\"load_in_4bit\":true}", "UNSUPPORTED_QUANT",
         "quantization_config", "GGUF"},
        {"biases", "\"attention_bias\": false", "\"attention_bias\": true", "UNSUPPORTED",
         "attention_bias", "biases"},
        {"biases, by a number", "\"attention_bias\": false", "\"attention_bias\": 1", "HPARAM",
         "attention_bias", "is a number; expected true or false"},
        {"tied, by a string",
         "\"tie_word_embeddings\": ", "\"tie_word_embeddings\": \"true\", \"x\": ", "HPARAM",
         "tie_word_embeddings", "is a string; expected true or false"},
        {"gelu", "\"silu\"", "\"gelu\"", "UNSUPPORTED", "hidden_act", "silu"},
        {"key twice", "\"rope_scaling\": null", "\"hidden_size\": 32", "JSON_DUPLICATE_KEY",
         "hidden_size", "twice"},
        {"vocabulary differs", "\"vocab_size\": 300", "\"vocab_size\": 301", "TENSORS",
         "model.embed_tokens.weight", "expected [301, 32]"},
        {"a layer more", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", "TENSORS",
         "model.layers.2.self_attn.q_proj.weight",
         "missing model.layers.2.self_attn.q_proj.weight"},
    };
    const char *dir = temporary_dir();
    struct tiny t;
    struct rr_buf b = {0};
    tiny_make(&t, &tiny_default);
    write_folder(dir, &t);
    for (size_t i = 0; i < COUNT(edits); i++) {
        struct rr_weights w;
        struct rr_error err = {0};
        config_from_tiny(&b, &t);
        const char *colon = strstr(edits[i].to, ": "); /* the value follows; else it is all of it */
        long long at = (long long)find_bytes(&b, edits[i].from, strlen(edits[i].from)) +
                       (colon ? colon + 2 - edits[i].to : 0);
        if (edits[i].text && strcmp(edits[i].text, "missing") == 0)
            at = -1;
        replace(&b, edits[i].from, edits[i].to);
        write_buf(dir, "config.json", &b);
        int rc = rr_weights_open(&w, dir, NULL, &err);
        check(edits[i].id, rc, RR_ERR_DATA, &err, edits[i].code, edits[i].object, edits[i].text);
        cr_assert(strcmp(edits[i].code, "TENSORS") == 0 ||
                      (err.offset == at && strstr(err.file, "/config.json")),
                  "%s: offset %lld of %s, expected %lld", edits[i].id, err.offset, err.file, at);
    }
    rr_buf_free(&b);
    tiny_free(&t);
}

/* S33, and the same for the weights. */
Test(safetensors, missing_files)
{
    const char *dir = temporary_dir();
    struct rr_weights w;
    struct rr_error err = {0};
    struct tiny t;
    struct rr_buf b = {0};
    tiny_make(&t, &tiny_default);
    int rc = rr_weights_open(&w, dir, NULL, &err);
    check("S33", rc, RR_ERR_OPEN, &err, "CANNOT_OPEN", "", NULL);
    cr_assert(strstr(err.file, "/config.json") != NULL, "S33: file '%s'", err.file);
    config_from_tiny(&b, &t);
    write_buf(dir, "config.json", &b);
    rc = rr_weights_open(&w, dir, NULL, &err);
    check("no weights", rc, RR_ERR_OPEN, &err, "CANNOT_OPEN", "", NULL);
    cr_assert(strstr(err.file, "/model.safetensors") != NULL, "no weights: file '%s'", err.file);
    write_file(path_in(dir, "pytorch_model.bin"), "PK", 2);
    rc = rr_weights_open(&w, dir, NULL, &err);
    check("S40 folder", rc, RR_ERR_DATA, &err, "UNSUPPORTED", "", "pickle");
    unlink(path_in(dir, "pytorch_model.bin"));
    cr_assert(mkdir(path_in(dir, "model.safetensors"), 0777) == 0, "mkdir failed");
    rc = rr_weights_open(&w, dir, NULL, &err);
    check("weights are a directory", rc, RR_ERR_OPEN, &err, "NOT_A_FILE", "", "directory");
    rr_buf_free(&b);
    tiny_free(&t);
}

/* Files given as models that are something else (S40 for a file). */
Test(safetensors, not_a_model)
{
    static const struct {
        const char *id, *bytes;
        size_t n;
        const char *code, *text;
    } files[] = {
        {"S40 zip pickle", "PK\3\4abcdefgh", 12, "NOT_A_MODEL",
         "PyTorch pickle files are not supported"},
        {"S40 bare pickle", "\x80\x02}q\0.aaaaaa", 12, "NOT_A_MODEL",
         "PyTorch pickle files are not supported"},
        {"a shard alone", "\x20\0\0\0\0\0\0\0{\"a\":1}", 15, "NOT_A_MODEL", "config.json"},
        {"LFS", "version https://git-lfs.github.com/spec/v1\n", 43, "NOT_A_MODEL", "git lfs pull"},
        {"text", "hello, world", 12, "NOT_A_MODEL", "hello, w"},
        {"empty", "", 0, "TRUNCATED", "empty"},
    };
    const char *dir = temporary_dir();
    for (size_t i = 0; i < COUNT(files); i++) {
        struct rr_weights w;
        struct rr_error err = {0};
        const char *path = path_in(dir, "model.bin");
        write_file(path, files[i].bytes, files[i].n);
        int rc = rr_weights_open(&w, path, NULL, &err);
        check(files[i].id, rc, RR_ERR_DATA, &err, files[i].code, "file", files[i].text);
        cr_assert(err.offset == 0, "%s: offset %lld", files[i].id, err.offset);
    }
}

/* S38: a head beside tie_word_embeddings is not used, as Hugging Face does not use it. */
Test(safetensors, the_tied_flag_wins_over_a_stored_head)
{
    const char *dir = temporary_dir();
    struct tiny t;
    struct rr_buf b = {0};
    struct rr_weights w;
    struct rr_error err = {0};
    tiny_make(&t, &tiny_default);
    safetensors_from_tiny(&b, &t, 0, t.n_tensors);
    write_buf(dir, "model.safetensors", &b);
    config_from_tiny(&b, &t);
    replace(&b, "\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true");
    write_buf(dir, "config.json", &b);
    cr_assert(rr_weights_open(&w, dir, NULL, &err) == 0, "%s", err.text);
    cr_assert(w.model.tied && w.model.head.data == w.model.embed.data, "the stored head is used");
    rr_weights_close(&w);
    rr_buf_free(&b);
    tiny_free(&t);
}

/* ---- shards ---- */

/* Two shards of the model: tensors before `cut`, and n_second from `second` on. */
static void write_shards(const char *dir, const struct tiny *t, int cut, int second, int n_second)
{
    struct rr_buf b = {0};
    safetensors_from_tiny(&b, t, 0, cut);
    write_buf(dir, "model-00001-of-00002.safetensors", &b);
    safetensors_from_tiny(&b, t, second, n_second);
    write_buf(dir, "model-00002-of-00002.safetensors", &b);
    rr_buf_free(&b);
}

/* Returns where the second value stands. */
static long long write_index(const char *dir, const char *first, const char *second)
{
    struct rr_buf b = {0};
    rr_buf_printf(
        &b,
        "{\"metadata\":{\"total_size\":1},\"weight_map\":{\"model.embed_tokens.weight\":%s,\"lm_"
        "head.weight\":%s}}",
        first, second);
    write_buf(dir, "model.safetensors.index.json", &b);
    const long long at = (long long)(b.n - strlen(second) - 2);
    rr_buf_free(&b);
    return at;
}

#define SHARD1 "\"model-00001-of-00002.safetensors\""
#define SHARD2 "\"model-00002-of-00002.safetensors\""

Test(safetensors, shards)
{
    static const struct {
        const char *id, *first, *second;
        int cut, begin, n; /* of the second shard; n < 0: up to the end but -n - 1 */
        int status;
        const char *code, *object, *text;
    } cases[] = {
        {"good", SHARD1, SHARD2, 5, 5, -1, RR_OK, NULL, NULL, NULL},
        {"S28 shard missing", SHARD1, "\"absent.safetensors\"", 5, 5, -1, RR_ERR_OPEN,
         "CANNOT_OPEN", "", NULL},
        {"S29 tensor in both", SHARD1, SHARD2, 5, 4, -1, RR_ERR_DATA, "TENSOR_NAME",
         "model.layers.0.self_attn.v_proj.weight", "-of-00002.safetensors"},
        {"S30 parent folder", SHARD1, "\"../x.safetensors\"", 5, 5, -1, RR_ERR_DATA, "PATH_ESCAPE",
         "lm_head.weight", "../x"},
        {"S30 absolute", SHARD1, "\"/etc/passwd\"", 5, 5, -1, RR_ERR_DATA, "PATH_ESCAPE",
         "lm_head.weight", "/etc/passwd"},
        {"S30 backslash", SHARD1, "\"..\\\\x\"", 5, 5, -1, RR_ERR_DATA, "PATH_ESCAPE",
         "lm_head.weight", "x"},
        {"S30 dots", SHARD1, "\"..\"", 5, 5, -1, RR_ERR_DATA, "PATH_ESCAPE", "lm_head.weight",
         ".."},
        {"S30 NUL", SHARD1, "\"a\\u0000b\"", 5, 5, -1, RR_ERR_DATA, "PATH_ESCAPE", "lm_head.weight",
         "a\\x00b"},
        {"S30 no string", SHARD1, "2", 5, 5, -1, RR_ERR_DATA, "PATH_ESCAPE", "lm_head.weight",
         "a number"},
        {"S31 tensor in neither", SHARD1, SHARD2, 5, 5, -2, RR_ERR_DATA, "INDEX", "lm_head.weight",
         "model-00002-of-00002.safetensors does not hold"},
        {"S31 in the other one", SHARD1, SHARD1, 5, 5, -1, RR_ERR_DATA, "INDEX", "lm_head.weight",
         "model-00001-of-00002.safetensors does not hold"},
    };
    const char *dir = temporary_dir();
    struct tiny t;
    struct rr_buf b = {0};
    tiny_make(&t, &tiny_default);
    config_from_tiny(&b, &t);
    write_buf(dir, "config.json", &b);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct rr_weights w;
        struct rr_error err = {0};
        const int end = t.n_tensors + cases[i].n + 1;
        write_shards(dir, &t, cases[i].cut, cases[i].begin, end - cases[i].begin);
        const long long value = write_index(dir, cases[i].first, cases[i].second);
        int rc = rr_weights_open(&w, dir, NULL, &err);
        if (cases[i].status == RR_OK) {
            cr_assert(rc == RR_OK && w.n_tensors == (size_t)t.n_tensors, "%s: %d %s: %s",
                      cases[i].id, rc, err.code, err.text);
            rr_weights_close(&w);
        } else {
            check(cases[i].id, rc, cases[i].status, &err, cases[i].code, cases[i].object,
                  cases[i].text);
            const bool index =
                strcmp(cases[i].code, "INDEX") == 0 || strcmp(cases[i].code, "PATH_ESCAPE") == 0;
            cr_assert(strstr(err.file, index ? "/model.safetensors.index.json"
                                       : cases[i].status == RR_ERR_OPEN ? "/absent.safetensors"
                                                                        : "-of-00002.safetensors"),
                      "%s: file '%s'", cases[i].id, err.file);
            cr_assert(!index || err.offset == value, "%s: offset %lld, expected %lld", cases[i].id,
                      err.offset, value);
        }
    }
    rr_buf_free(&b);
    tiny_free(&t);
}

Test(safetensors, damaged_index)
{
    static const struct {
        const char *id, *text, *code;
    } cases[] = {
        {"no weight_map", "{}", "INDEX"},
        {"weight_map a list", "{\"weight_map\":[]}", "INDEX"},
        {"weight_map empty", "{\"weight_map\":{}}", "INDEX"},
        {"no JSON", "{\"weight_map\":", "JSON"},
        {"empty file", "", "JSON"},
    };
    const char *dir = temporary_dir();
    struct tiny t;
    tiny_make(&t, &tiny_default);
    write_folder(dir, &t);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct rr_weights w;
        struct rr_error err = {0};
        write_file(path_in(dir, "model.safetensors.index.json"), cases[i].text,
                   strlen(cases[i].text));
        int rc = rr_weights_open(&w, dir, NULL, &err);
        check(cases[i].id, rc, RR_ERR_DATA, &err, cases[i].code, "", NULL);
        cr_assert(strstr(err.file, "index.json") != NULL, "%s: file '%s'", cases[i].id, err.file);
    }
    tiny_free(&t);
}

/* S39: the tensors' types; also a vector where a matrix is expected, and a tensor nobody asked for.
 */
Test(safetensors, damaged_tensors)
{
    static const struct {
        const char *id, *from, *to;
        const char *object, *text;
    } edits[] = {
        {"S39 integers", "\"dtype\":\"F32\",\"shape\":[300,32]",
         "\"dtype\":\"I32\",\"shape\":[300,32]", "model.embed_tokens.weight",
         "unsupported model.embed_tokens.weight is of type I32"},
        {"S39 bytes", "\"dtype\":\"F32\",\"shape\":[300,32]",
         "\"dtype\":\"U8\",\"shape\":[1200,32]", "model.embed_tokens.weight",
         "misshapen model.embed_tokens.weight has shape [1200, 32], expected [300, 32]"},
        {"S39 doubles", "\"dtype\":\"F32\",\"shape\":[32],", "\"dtype\":\"F64\",\"shape\":[16],",
         "model.layers.0.input_layernorm.weight",
         "misshapen model.layers.0.input_layernorm.weight has shape [16], expected [32]"},
        {"flat", "\"shape\":[300,32]", "\"shape\":[9600]", "model.embed_tokens.weight",
         "has shape [9600], expected [300, 32]"},
        {"scalar", "\"dtype\":\"F32\",\"shape\":[300,32],\"data_offsets\":[0,38400]}",
         "\"dtype\":\"F32\",\"shape\":[300,32],\"data_offsets\":[0,38400]},\"odd\":{\"dtype\":"
         "\"F32\",\"shape\":[0],"
         "\"data_offsets\":[0,0]}",
         "odd", "unexpected odd"},
    };
    const char *dir = temporary_dir();
    struct tiny t;
    struct rr_buf b = {0}, header = {0};
    tiny_make(&t, &tiny_default);
    write_folder(dir, &t);
    for (size_t i = 0; i < COUNT(edits); i++) {
        struct rr_weights w;
        struct rr_error err = {0};
        safetensors_from_tiny(&b, &t, 0, t.n_tensors);
        size_t n_header = (unsigned char)b.data[0] | (size_t)(unsigned char)b.data[1] << 8;
        rr_buf_clear(&header);
        rr_buf_add(&header, b.data + 8, n_header);
        replace(&header, edits[i].from, edits[i].to);
        struct rr_buf changed = {0};
        safetensors_write(&changed, header.data, header.n, b.data + 8 + n_header,
                          b.n - 8 - n_header);
        write_buf(dir, "model.safetensors", &changed);
        int rc = rr_weights_open(&w, dir, NULL, &err);
        check(edits[i].id, rc, RR_ERR_DATA, &err, "TENSORS", edits[i].object, edits[i].text);
        rr_buf_free(&changed);
    }
    rr_buf_free(&b);
    rr_buf_free(&header);
    tiny_free(&t);
}
