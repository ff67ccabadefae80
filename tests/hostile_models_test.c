/* Rows of the hostile-input specification, sections 2.1 and 2.2, beside those of gguf_test.c and
 * safetensors_test.c: files that load with a warning, token ids that are only checked, and weights
 * of types that hold no weights. */
#include "tests/test.h"

#include <stdint.h>
#include <string.h>
#include "engine/base/status.h"
#include "tests/make_files.h"
#include "weights/weights.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])
#define T "tokenizer.ggml."

static void check(const char *id, const struct rr_error *err, const char *code, const char *object,
                  long long offset, const char *text)
{
    cr_assert(err->status == RR_ERR_DATA && strcmp(err->code, code) == 0,
              "%s: status %d, code %s, expected %s (%s: %s)", id, err->status, err->code, code,
              err->object, err->text);
    cr_assert(strcmp(err->object, object) == 0, "%s: object '%s', expected '%s'", id, err->object,
              object);
    cr_assert(err->offset == offset, "%s: offset %lld, expected %lld", id, err->offset, offset);
    cr_assert(strstr(err->text, text) != NULL, "%s: text '%s', expected '%s' in it", id, err->text,
              text);
}

/* ---- GGUF ---- */

static void tiny_gguf(struct gguf_file *g)
{
    struct tiny t;
    tiny_make(&t, &tiny_default);
    gguf_from_tiny(g, &t);
    tiny_free(&t);
}

static const char *save(const struct rr_buf *b)
{
    const char *path = path_in(temporary_dir(), "t.gguf");
    write_file(path, b->data, b->n);
    return path;
}

/* The file loads; what it is warned of, or nothing (code NULL). */
static void check_warning(const char *id, const char *path, const char *code, const char *object,
                          long long offset, const char *text)
{
    struct rr_weights w;
    struct rr_error err = {0};
    cr_assert(rr_weights_open(&w, path, NULL, &err) == RR_OK, "%s: refused: [%s] %s: %s", id,
              err.code, err.object, err.text);
    cr_assert(w.n_warnings == (code != NULL), "%s: %d warnings, the first [%s] %s", id,
              w.n_warnings, w.warning.code, w.warning.text);
    if (code)
        check(id, &w.warning, code, object, offset, text);
    rr_weights_close(&w);
}

/* Where the tensors' data begins: the first tensor's is first. */
static size_t data_begin(const struct rr_buf *b, const struct gguf_file *g)
{
    const struct rr_buf *first = &g->tensors[0].data;
    return find_bytes(b, first->data, first->n);
}

/* G32: a hole at the start, and one inside: all tensors from the second on lie 32 bytes further. */
Test(hostile_models, holes_are_warned_of)
{
    struct gguf_file g;
    struct rr_buf b = {0}, moved = {0};
    static const char hole[32] = {0};
    tiny_gguf(&g);
    gguf_write(&b, &g);
    const size_t begin = data_begin(&b, &g), first_n = g.tensors[0].data.n;
    check_warning("without a hole", save(&b), NULL, NULL, 0, NULL);
    for (size_t from = 0; from < 2; from++) {
        const size_t at = begin + from * first_n;
        rr_buf_clear(&moved);
        rr_buf_add(&moved, b.data, at);
        rr_buf_add(&moved, hole, sizeof hole);
        rr_buf_add(&moved, b.data + at, b.n - at);
        size_t offset = 0;
        for (size_t i = 0; i < g.n_tensors; i++) {
            const struct gguf_tensor *x = &g.tensors[i];
            struct rr_buf name = {0}; /* with its length: names end in other names */
            put_string(&name, x->name, x->n_name);
            const size_t entry = find_bytes(&b, name.data, name.n) + name.n;
            rr_buf_free(&name);
            if (i >= from)
                patch(&moved, entry + 4 + 8 * (size_t)x->n_dims + 4, 8, offset + sizeof hole);
            offset += (x->data.n + 31) / 32 * 32;
        }
        check_warning(from ? "G32 inside" : "G32 at the start", save(&moved), "HOLE",
                      g.tensors[from].name, (long long)at, "32 bytes before this tensor");
    }
    rr_buf_free(&moved);
    rr_buf_free(&b);
    gguf_file_free(&g);
}

/* G35 */
Test(hostile_models, trailing_bytes_are_warned_of)
{
    struct gguf_file g;
    struct rr_buf b = {0};
    tiny_gguf(&g);
    gguf_write(&b, &g);
    const size_t n = b.n;
    cr_assert(n % 32 == 0, "the last tensor ends in padding");
    put_u8(&b, 0);
    check_warning("G35 one byte", save(&b), "TRAILING", "data", (long long)n,
                  "1 bytes behind the last tensor");
    rr_buf_add(&b, b.data, 1000);
    check_warning("G35 a thousand", save(&b), "TRAILING", "data", (long long)n,
                  "1001 bytes behind the last tensor");
    rr_buf_free(&b);
    gguf_file_free(&g);
}

enum op { U32, I32, U64, F32, TEXT };

/* G41, G42: ids that decide nothing are checked all the same; -1 and 2^32-1 are how writers say
 * that there is none. */
Test(hostile_models, damaged_token_ids)
{
    static const struct {
        const char *id, *key;
        enum op op;
        double number;
        const char *code, *text; /* code NULL: it loads */
    } rows[] = {
        {"G42 pad = vocabulary", T "padding_token_id", U32, 300, "TOKEN_ID",
         "300; the vocabulary has 0 to 299"},
        {"G42 pad 2^31", T "padding_token_id", U32, 2147483648.0, "TOKEN_ID", "2147483648"},
        {"G42 pad -2", T "padding_token_id", I32, -2, "TOKEN_ID", "-2"},
        {"G42 pad as float", T "padding_token_id", F32, 1, "HPARAM_TYPE", "f32"},
        {"G42 bos -1 as float", T "bos_token_id", F32, -1, "HPARAM_TYPE", "f32"},
        {"G42 bos as text", T "bos_token_id", TEXT, 0, "HPARAM_TYPE", "string"},
        {"G42 eos 2^63", T "eos_token_id", U64, 9223372036854775808.0, "TOKEN_ID",
         "9223372036854775807"},
        {"G42 fewer announced", "llama.vocab_size", U32, 299, "TOKEN_ID",
         "299; tokenizer.ggml.tokens has 300"},
        {"G42 announced as text", "llama.vocab_size", TEXT, 0, "HPARAM_TYPE", "string"},
        {"G41 model unknown", T "model", TEXT, 0, "UNSUPPORTED", "'none'"},
        {"G42 pad none", T "padding_token_id", U32, 4294967295.0, NULL, NULL},
        {"G42 bos none, signed", T "bos_token_id", I32, -1, NULL, NULL},
        {"G42 pad the last", T "padding_token_id", U32, 299, NULL, NULL},
        {"G42 as many announced", "llama.vocab_size", U32, 300, NULL, NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct gguf_file g;
        struct rr_buf b = {0};
        struct rr_weights w;
        struct rr_error err = {0};
        const char *id = rows[i].id, *key = rows[i].key;
        const double v = rows[i].number;
        const uint64_t whole = v < 0 ? 0 : (uint64_t)v;
        unsigned char bytes[8];
        for (int k = 0; k < 8; k++)
            bytes[k] = (unsigned char)(whole >> (8 * k));
        tiny_gguf(&g);
        if (rows[i].op == U32)
            gguf_set_u32(&g, key, (uint32_t)v);
        else if (rows[i].op == I32)
            gguf_set_i32(&g, key, (int32_t)v);
        else if (rows[i].op == U64)
            gguf_set(&g, key, 10, bytes, 8);
        else if (rows[i].op == F32)
            gguf_set_f32(&g, key, (float)v);
        else
            gguf_set_string(&g, key, "none");
        gguf_write(&b, &g);
        cr_assert(rr_weights_open(&w, save(&b), NULL, &err) == RR_OK, "%s: [%s] %s", id, err.code,
                  err.text);
        const int rc = rr_weights_need_tokenizer(&w, &err);
        cr_assert((rc == RR_OK) == !rows[i].code, "%s: status %d [%s] %s", id, rc, err.code,
                  err.text);
        const char *object =
            strcmp(rows[i].code ? rows[i].code : "", "UNSUPPORTED") == 0 ? T "model" : key;
        if (rc)
            check(id, &err, rows[i].code, object,
                  (long long)(find_bytes(&b, key, strlen(key)) + strlen(key)) + 4, rows[i].text);
        rr_weights_close(&w);
        rr_buf_free(&b);
        gguf_file_free(&g);
    }
}

/* G42: a file that names no EOS, and whose vocabulary ends before the default, has none. */
Test(hostile_models, a_default_id_beyond_a_tiny_vocabulary_is_none)
{
    struct gguf_file g;
    struct rr_buf b = {0}, tokens = {0}, scores = {0}, types = {0};
    struct rr_tokenizer *t;
    struct rr_error err = {0};
    tiny_gguf(&g);
    put_string(&tokens, "<unk>", 5);
    put_string(&tokens, "<s>", 3);
    put_u32(&types, 2);
    put_u32(&types, 3);
    put_u64(&scores, 0);
    gguf_set_array(&g, T "tokens", 8, 2, tokens.data, tokens.n);
    gguf_set_array(&g, T "scores", 6, 2, scores.data, scores.n);
    gguf_set_array(&g, T "token_type", 5, 2, types.data, types.n);
    gguf_write(&b, &g);
    cr_assert(rr_weights_tokenizer(&t, save(&b), &err) == RR_ERR_DATA && !t, "EOS 2 of 2 pieces");
    check("EOS named", &err, "TOKEN_ID", T "eos_token_id",
          (long long)find_bytes(&b, T "eos_token_id", 27) + 27 + 4, "2; the vocabulary has 0 to 1");
    gguf_drop(&g, T "eos_token_id");
    gguf_write(&b, &g);
    cr_assert(rr_weights_tokenizer(&t, save(&b), &err) == RR_OK, "%s", err.text);
    cr_assert(rr_tokenizer_eos(t) == -1 && rr_tokenizer_bos(t) == 1, "BOS %d, EOS %d",
              rr_tokenizer_bos(t), rr_tokenizer_eos(t));
    rr_tokenizer_close(t);
    rr_buf_free(&b);
    rr_buf_free(&tokens);
    rr_buf_free(&scores);
    rr_buf_free(&types);
    gguf_file_free(&g);
}

/* ---- Hugging Face folders ---- */

static void save_in(const char *dir, const char *name, const struct rr_buf *b)
{
    write_file(path_in(dir, name), b->data, b->n);
}

static void write_folder(const char *dir, const struct tiny *t)
{
    struct rr_buf b = {0};
    config_from_tiny(&b, t);
    save_in(dir, "config.json", &b);
    safetensors_from_tiny(&b, t, 0, t->n_tensors);
    save_in(dir, "model.safetensors", &b);
    rr_buf_free(&b);
}

/* S32: of two shards, or of one. */
Test(hostile_models, a_total_size_that_lies_is_warned_of)
{
    const char *dir = temporary_dir(), *index = path_in(dir, "model.safetensors.index.json");
    struct tiny t;
    struct rr_buf b = {0};
    char sizes[3][32];
    size_t total = 0;
    tiny_make(&t, &tiny_default);
    write_folder(dir, &t);
    for (int i = 0; i < t.n_tensors; i++)
        total += (size_t)(t.tensors[i].rows ? t.tensors[i].rows : 1) * (size_t)t.tensors[i].cols *
                 sizeof(float);
    snprintf(sizes[0], sizeof sizes[0], "%zu", total);
    snprintf(sizes[1], sizeof sizes[1], "%zu", total - 1);
    snprintf(sizes[2], sizeof sizes[2], "\"%zu\"", total);
    for (int i = 0; i < 3; i++) {
        char text[64];
        rr_buf_clear(&b);
        rr_buf_printf(&b,
                      "{\"metadata\":{\"total_size\":%s},\"weight_map\":{\"lm_head.weight\":"
                      "\"model.safetensors\"}}",
                      sizes[i]);
        write_file(index, b.data, b.n);
        snprintf(text, sizeof text, "the files' tensors have %zu bytes", total);
        check_warning(sizes[i], dir, i ? "INDEX" : NULL, "total_size",
                      (long long)strlen("{\"metadata\":{\"total_size\":"), text);
    }
    rr_buf_free(&b);
    tiny_free(&t);
}

/* S31: both files are there, and two tensors are in the other one. */
Test(hostile_models, an_index_that_exchanges_files)
{
    static const char before[] = "{\"weight_map\":{\"lm_head.weight\":\"b.safetensors\",";
    static const char text[] = "{\"weight_map\":{\"lm_head.weight\":\"b.safetensors\","
                               "\"model.embed_tokens.weight\":\"b.safetensors\","
                               "\"model.norm.weight\":\"a.safetensors\"}}";
    const char *dir = temporary_dir();
    struct tiny t;
    struct rr_buf b = {0};
    struct rr_weights w;
    struct rr_error err = {0};
    tiny_make(&t, &tiny_default);
    write_folder(dir, &t);
    safetensors_from_tiny(&b, &t, 0, 5);
    save_in(dir, "a.safetensors", &b);
    safetensors_from_tiny(&b, &t, 5, t.n_tensors - 5);
    save_in(dir, "b.safetensors", &b);
    write_file(path_in(dir, "model.safetensors.index.json"), text, sizeof text - 1);
    cr_assert(rr_weights_open(&w, dir, NULL, &err) == RR_ERR_DATA, "loads");
    check("S31", &err, "INDEX", "model.embed_tokens.weight",
          (long long)(sizeof before - 1 + strlen("\"model.embed_tokens.weight\":")),
          "b.safetensors does not hold this tensor");
    cr_assert(strstr(err.file, "/model.safetensors.index.json") != NULL, "file '%s'", err.file);
    rr_buf_free(&b);
    tiny_free(&t);
}

/* S38: a head of its own beside tie_word_embeddings, unless it holds the same. */
Test(hostile_models, a_head_that_tying_hides_is_warned_of)
{
    const char *dir = temporary_dir();
    struct tiny t;
    struct rr_buf b = {0};
    tiny_make(&t, &tiny_default);
    write_folder(dir, &t);
    struct tiny_shape tied = tiny_default;
    tied.tied = true;
    struct tiny settings = {.s = tied};
    config_from_tiny(&b, &settings);
    save_in(dir, "config.json", &b);
    safetensors_from_tiny(&b, &t, 0, t.n_tensors);
    const struct tiny_tensor *head = tiny_find(&t, "output.weight"),
                             *embed = tiny_find(&t, "token_embd.weight");
    const size_t n = (size_t)head->rows * (size_t)head->cols * sizeof(float);
    check_warning("S38", dir, "TIED_HEAD", "lm_head.weight",
                  (long long)find_bytes(&b, (const char *)head->v, n), "is not used");
    memcpy(head->v, embed->v, n);
    safetensors_from_tiny(&b, &t, 0, t.n_tensors);
    save_in(dir, "model.safetensors", &b);
    check_warning("S38 the same", dir, NULL, NULL, 0, NULL);
    rr_buf_free(&b);
    tiny_free(&t);
}

/* S39: a tensor of the right shape whose type holds no weights. */
Test(hostile_models, weights_that_are_no_floats)
{
    static const struct {
        const char *type;
        size_t each;
    } types[] = {{"F64", 8}, {"I64", 8}, {"I32", 4}, {"U8", 1}, {"BOOL", 1}};
    const char *dir = temporary_dir();
    struct tiny t;
    tiny_make(&t, &tiny_default);
    write_folder(dir, &t);
    for (size_t i = 0; i < COUNT(types); i++) {
        struct rr_buf header = {0}, b = {0};
        struct rr_weights w;
        struct rr_error err = {0};
        char text[80];
        const size_t n = 300 * 32 * types[i].each;
        char *zeros = rr_zalloc(n, 1);
        rr_buf_printf(&header,
                      "{\"model.embed_tokens.weight\":{\"dtype\":\"%s\",\"shape\":[300,32],"
                      "\"data_offsets\":[0,%zu]}}",
                      types[i].type, n);
        safetensors_write(&b, header.data, header.n, zeros, n);
        save_in(dir, "model.safetensors", &b);
        cr_assert(rr_weights_open(&w, dir, NULL, &err) == RR_ERR_DATA, "%s loads", types[i].type);
        snprintf(text, sizeof text, "unsupported model.embed_tokens.weight is of type %s",
                 types[i].type);
        check(types[i].type, &err, "TENSORS", "model.embed_tokens.weight",
              (long long)(8 + header.n), text);
        rr_free(zeros);
        rr_buf_free(&header);
        rr_buf_free(&b);
    }
    tiny_free(&t);
}

/* S09: what a text in C cannot hold. */
Test(hostile_models, a_zero_behind_the_header)
{
    static const char header[] = "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}";
    const char *dir = temporary_dir();
    struct tiny t;
    struct rr_buf b = {0};
    struct rr_weights w;
    struct rr_error err = {0};
    tiny_make(&t, &tiny_default);
    write_folder(dir, &t);
    safetensors_write(&b, header, sizeof header, "12345678", 8); /* the zero is part of it */
    save_in(dir, "model.safetensors", &b);
    cr_assert(rr_weights_open(&w, dir, NULL, &err) == RR_ERR_DATA, "loads");
    check("S09 NUL", &err, "JSON", "JSON", (long long)(8 + sizeof header - 1), "nothing after");
    rr_buf_free(&b);
    tiny_free(&t);
}

/* Damaged values: a scale of a block, a number of one; which tensor, and where. What is intact
 * passes. */
Test(hostile_models, damaged_values)
{
    enum { Q8_0 = 8, ROWS = 32, COLS = 64, BAD_ROW = 5 };
    static const uint16_t scales[] = {0x7E00, 0x7C00, 0xFC00}; /* NaN, the infinities */
    struct gguf_file g;
    struct rr_buf b = {0};
    struct rr_kernels k;
    struct rr_weights w;
    struct rr_error err = {0};
    rr_kernels_init(&k, RR_CPU_C);
    tiny_gguf(&g);
    struct gguf_tensor *down = gguf_tensor(&g, "blk.1.ffn_down.weight"),
                       *norm = gguf_tensor(&g, "output_norm.weight");
    cr_assert(down && norm && down->dims[0] == COLS && down->dims[1] == ROWS, "%s",
              "the tiny model has other shapes");
    down->type = Q8_0;
    rr_buf_clear(&down->data);
    for (int i = 0; i < ROWS * COLS / 32; i++) { /* blocks of a half 1.0 and zeros */
        static const unsigned char block[34] = {0x00, 0x3C};
        rr_buf_add(&down->data, (const char *)block, sizeof block);
    }
    for (size_t i = 0; i <= COUNT(scales) + 1; i++) {
        const size_t bad = (BAD_ROW * COLS / 32 + 1) * 34;
        const bool in_norm = i == COUNT(scales);
        patch(&down->data, bad, 2, i < COUNT(scales) ? scales[i] : 0x3C00);
        patch(&norm->data, 12, 4, in_norm ? 0x7FC00000u : 0x3F800000u);
        rr_buf_clear(&b);
        gguf_write(&b, &g);
        cr_assert(rr_weights_open(&w, save(&b), NULL, &err) == RR_OK, "%s", err.text);
        int found = 0;
        for (size_t t = 0; t < w.n_tensors; t++) {
            err = (struct rr_error){0};
            const int rc = rr_weights_check(&w, t, &k, &err);
            found += rc != RR_OK;
            if (rc && in_norm)
                check("a number", &err, "NONFINITE_WEIGHT", "output_norm.weight",
                      (long long)w.tensors[t].offset + 12,
                      "row 0, column 3 is not a finite number (number 3");
            else if (rc)
                check("a scale", &err, "NONFINITE_WEIGHT", "blk.1.ffn_down.weight",
                      (long long)(w.tensors[t].offset + bad),
                      "row 5, column 32 is not a finite number (block 11");
        }
        cr_assert(found == (i <= COUNT(scales)), "%zu: %d tensors are damaged", i, found);
        rr_weights_close(&w);
    }
    gguf_file_free(&g);
    rr_buf_free(&b);
}
