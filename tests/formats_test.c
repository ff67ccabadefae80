/* The same tiny model in every format gives the same logits and the same tokens, and files that are
 * odd but legal load and give them too. */
#include "tests/test.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/session.h"
#include "tests/make_files.h"
#include "weights/gguf.h"
#include "weights/weights.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])
#define N_TOKENS 12

static const int tokens[N_TOKENS] = {1, 260, 299, 17, 3, 258, 42, 42, 100, 0, 7, 286};

static const char *describe(const struct rr_error *err)
{
    static char line[2400];
    rr_error_format(line, sizeof line, err);
    return line;
}

/* Logits of all positions, [N_TOKENS, n_vocab]; malloc'd. */
static float *logits_of(const struct rr_model *m)
{
    struct rr_engine e;
    struct rr_error err = {0};
    struct rr_session *s = NULL;
    struct rr_want wants[N_TOKENS];
    const size_t n_vocab = (size_t)m->h.n_vocab;
    float *logits = calloc(N_TOKENS * n_vocab, sizeof *logits);
    int node, rc = rr_engine_init(&e, 1, RR_CPU_C, &err);
    cr_assert(!rc && logits, "engine: %s", describe(&err));
    rc = rr_session_open(&s, &e, m, &(struct rr_session_options){.n_context = N_TOKENS}, &err);
    cr_assert(!rc, "session: %s", describe(&err));
    for (int i = 0; i < N_TOKENS; i++)
        wants[i] = (struct rr_want){.offset = i, .logits = logits + (size_t)i * n_vocab};
    rc = rr_session_branch(s, -1, N_TOKENS, &node, &err);
    cr_assert(!rc, "branch: %s", describe(&err));
    rc = rr_session_eval(s, &(struct rr_feed){node, tokens, N_TOKENS}, 1, wants, N_TOKENS, &err);
    cr_assert(!rc, "eval: %s", describe(&err));
    rr_session_close(s);
    rr_engine_release(&e);
    return logits;
}

static double largest_difference(const float *a, const float *b, size_t n)
{
    double worst = 0;
    for (size_t i = 0; i < n; i++)
        worst = fmax(worst, fabs((double)a[i] - (double)b[i]));
    return worst;
}

static float *open_logits(const char *id, const char *path, const char *format)
{
    struct rr_weights w;
    struct rr_error err = {0};
    int rc = rr_weights_open(&w, path, NULL, &err);
    cr_assert(rc == RR_OK, "%s was refused: %s", id, describe(&err));
    cr_assert(strcmp(w.format, format) == 0, "%s was read as %s", id, w.format);
    float *logits = logits_of(&w.model);
    rr_weights_close(&w);
    return logits;
}

static void write_buf(const char *path, const struct rr_buf *b)
{
    write_file(path, b->data, b->n);
}

static void write_gguf(const char *path, const struct gguf_file *g)
{
    struct rr_buf b = {0};
    gguf_write(&b, g);
    write_buf(path, &b);
    rr_buf_free(&b);
}

static void write_folder(const char *dir, const struct tiny *t)
{
    struct rr_buf b = {0};
    config_from_tiny(&b, t);
    write_buf(path_in(dir, "config.json"), &b);
    safetensors_from_tiny(&b, t, 0, t->n_tensors);
    write_buf(path_in(dir, "model.safetensors"), &b);
    sentencepiece_from_tiny(&b, t);
    write_buf(path_in(dir, "tokenizer.model"), &b);
    rr_buf_free(&b);
}

static void same_in_every_format(const struct tiny_shape *shape)
{
    struct tiny t;
    struct gguf_file g;
    struct rr_buf b = {0};
    tiny_make(&t, shape);
    const char *dir = temporary_dir(), *hf = temporary_dir();
    const size_t n = N_TOKENS * (size_t)t.s.vocab;
    gguf_from_tiny(&g, &t);
    write_gguf(path_in(dir, "t.gguf"), &g);
    write_folder(hf, &t);
    llama2c_from_tiny(&b, &t);
    write_buf(path_in(dir, "t.bin"), &b);
    float *gguf = open_logits("GGUF", path_in(dir, "t.gguf"), "GGUF v3");
    float *safetensors = open_logits("safetensors", hf, "safetensors");
    float *llama2c = open_logits("llama2.c", path_in(dir, "t.bin"), "llama2.c");
    double spread = 0;
    for (size_t i = 0; i < n; i++)
        spread = fmax(spread, fabs((double)gguf[i]));
    cr_assert(spread > 0.5 && spread < 100, "the largest logit is %g: no model to compare by",
              spread);
    double st = largest_difference(gguf, safetensors, n),
           l2c = largest_difference(gguf, llama2c, n);
    cr_assert(st <= 1e-4, "safetensors differs from GGUF by %g", st);
    cr_assert(l2c <= 1e-4, "llama2.c differs from GGUF by %g", l2c);
    free(gguf);
    free(safetensors);
    free(llama2c);
    rr_buf_free(&b);
    gguf_file_free(&g);
    tiny_free(&t);
}

Test(formats, same_logits)
{
    same_in_every_format(&tiny_default);
}

Test(formats, same_logits_tied)
{
    struct tiny_shape s = tiny_default;
    s.tied = true;
    same_in_every_format(&s);
}

Test(formats, same_logits_one_kv_head)
{
    struct tiny_shape s = tiny_default;
    s.kv_heads = 1;
    s.layers = 3;
    same_in_every_format(&s);
}

/* Rotation matters: with q's rows in the wrong order the logits are others, so the comparisons
 * above can fail. */
Test(formats, wrong_row_order_shows)
{
    struct tiny t;
    const char *hf = temporary_dir();
    tiny_make(&t, &tiny_default);
    write_folder(hf, &t);
    float *right = open_logits("right", hf, "safetensors");
    for (int i = 0; i < t.n_tensors; i++)
        t.tensors[i].rotates = 0;
    write_folder(hf, &t);
    float *wrong = open_logits("wrong", hf, "safetensors");
    double d = largest_difference(right, wrong, N_TOKENS * (size_t)t.s.vocab);
    cr_assert(d > 1e-2, "the order of rows changes the logits by %g only", d);
    free(right);
    free(wrong);
    tiny_free(&t);
}

/* Shards in another order than the tensors' give the same model. */
Test(formats, shards_give_the_same)
{
    struct tiny t;
    struct rr_buf b = {0};
    const char *whole = temporary_dir(), *sharded = temporary_dir();
    tiny_make(&t, &tiny_default);
    write_folder(whole, &t);
    config_from_tiny(&b, &t);
    write_buf(path_in(sharded, "config.json"), &b);
    safetensors_from_tiny(&b, &t, 0, 7);
    write_buf(path_in(sharded, "b.safetensors"), &b);
    safetensors_from_tiny(&b, &t, 7, t.n_tensors - 7);
    write_buf(path_in(sharded, "a.safetensors"), &b);
    static const char index[] = "{\"weight_map\":{\"lm_head.weight\":\"a.safetensors\",\"model."
                                "embed_tokens.weight\":\"b.safetensors\"}}";
    write_file(path_in(sharded, "model.safetensors.index.json"), index, sizeof index - 1);
    float *x = open_logits("whole", whole, "safetensors"),
          *y = open_logits("sharded", sharded, "safetensors");
    cr_assert(memcmp(x, y, N_TOKENS * (size_t)t.s.vocab * sizeof *x) == 0,
              "shards give other logits");
    free(x);
    free(y);
    rr_buf_free(&b);
    tiny_free(&t);
}

/* ---- tokenizers ---- */

static const char *const texts[] = {
    "",
    "a",
    " ",
    "  ",
    "the cat and the hat",
    " leading",
    "trailing ",
    "in  the   inn",
    "caf\xC3\xA9",
    "\xC3\xA9t\xC3\xA9",
    "Capitals, 123!",
    "\n\ttabs\r\n",
    "<s></s><unk><0x41>",
    "\xF0\x9F\x98\x80 smile",
    "\xE4\xBD\xA0\xE5\xA5\xBD",
    "singing and ringing and thinking",
    "\x01\x7F",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
};

Test(formats, same_tokens)
{
    enum { GGUF, FOLDER, MODEL, LLAMA2C, N };
    struct tiny t;
    struct gguf_file g;
    struct rr_buf b = {0}, out = {0};
    struct rr_tokenizer *tok[N];
    struct rr_encoding e[N] = {{0}};
    struct rr_error err = {0};
    const char *dir = temporary_dir(), *paths[N];
    tiny_make(&t, &tiny_default);
    gguf_from_tiny(&g, &t);
    write_gguf(path_in(dir, "t.gguf"), &g);
    write_folder(dir, &t);
    llama2c_tokenizer_from_tiny(&b, &t);
    write_buf(path_in(dir, "tokenizer.bin"), &b);
    paths[GGUF] = path_in(dir, "t.gguf");
    paths[FOLDER] = dir;
    paths[MODEL] = path_in(dir, "tokenizer.model");
    paths[LLAMA2C] = path_in(dir, "tokenizer.bin");
    for (int k = 0; k < N; k++) {
        int rc = rr_weights_tokenizer(&tok[k], paths[k], &err);
        cr_assert(rc == RR_OK, "%s: %s", paths[k], describe(&err));
        cr_assert(rr_tokenizer_size(tok[k]) == t.s.vocab, "%s: %d pieces", paths[k],
                  rr_tokenizer_size(tok[k]));
        cr_assert(rr_tokenizer_bos(tok[k]) == 1 && rr_tokenizer_eos(tok[k]) == 2, "%s: special ids",
                  paths[k]);
    }
    for (size_t i = 0; i < COUNT(texts); i++) {
        const size_t n = strlen(texts[i]);
        for (int k = 0; k < N; k++) {
            int rc = rr_tokenizer_encode(tok[k], &e[k], texts[i], n, &err);
            cr_assert(rc == RR_OK, "'%s': %s", texts[i], describe(&err));
            cr_assert(e[k].n == e[0].n &&
                          (!e[0].n || memcmp(e[k].ids, e[0].ids, e[0].n * sizeof(int)) == 0),
                      "'%s' has %zu tokens by %s, and others by %s", texts[i], e[k].n, paths[k],
                      paths[0]);
            rr_buf_clear(&out);
            rc = rr_tokenizer_decode(tok[k], &out, e[k].ids, e[k].n, &err);
            cr_assert(rc == RR_OK && out.n == n && (!n || memcmp(out.data, texts[i], n) == 0),
                      "'%s' came back as '%s'", texts[i], out.data ? out.data : "");
            for (size_t j = 0; j < e[k].n; j++)
                cr_assert(e[k].ids[j] > 2, "'%s' has the special token %d", texts[i], e[k].ids[j]);
        }
    }
    for (int k = 0; k < N; k++) {
        rr_encoding_free(&e[k]);
        rr_tokenizer_close(tok[k]);
    }
    rr_buf_free(&b);
    rr_buf_free(&out);
    gguf_file_free(&g);
    tiny_free(&t);
}

/* The tokenizer of a model may be given apart; one that does not fit is refused. */
Test(formats, tokenizer_given_apart)
{
    struct tiny t, larger;
    struct rr_buf b = {0};
    struct rr_weights w;
    struct rr_error err = {0};
    const char *dir = temporary_dir(), *bin = path_in(dir, "t.bin"),
               *tok = path_in(dir, "tokenizer.bin");
    struct tiny_shape s = tiny_default;
    tiny_make(&t, &s);
    s.vocab = 301;
    tiny_make(&larger, &s);
    llama2c_from_tiny(&b, &t);
    write_buf(bin, &b);
    llama2c_tokenizer_from_tiny(&b, &t);
    write_buf(tok, &b);
    int rc = rr_weights_open(&w, bin, NULL, &err);
    cr_assert(rc == RR_OK && w.tokenizer == NULL, "without: %s", describe(&err));
    rr_weights_close(&w);
    rc = rr_weights_open(&w, bin, tok, &err);
    cr_assert(rc == RR_OK && rr_tokenizer_size(w.tokenizer) == 300, "with: %s", describe(&err));
    rr_weights_close(&w);
    llama2c_tokenizer_from_tiny(&b, &larger);
    write_buf(tok, &b);
    rc = rr_weights_open(&w, bin, tok, &err);
    cr_assert(rc == RR_ERR_DATA && strcmp(err.code, "VOCAB") == 0 && strcmp(err.file, tok) == 0,
              "too large: %d %s", rc, describe(&err));
    rc = rr_weights_tokenizer(&w.tokenizer, bin, &err);
    cr_assert(rc == RR_ERR_DATA && strcmp(err.code, "NO_TOKENIZER") == 0, "from a model: %d %s", rc,
              describe(&err));
    rr_buf_free(&b);
    tiny_free(&t);
    tiny_free(&larger);
}

/* ---- llama2.c models: what is refused ---- */

Test(formats, llama2c_damaged)
{
    static const struct {
        const char *id;
        size_t at; /* 0..24 a header field set to value; 1000: bytes cut; 1001: bytes added */
        int64_t value;
        const char *code, *object;
    } rows[] = {
        {"dim 0", 0, 0, "NOT_A_MODEL", "file"},
        {"layers 2^31-1", 8, INT32_MAX, "NOT_A_MODEL", "file"},
        {"heads 0", 12, 0, "NOT_A_MODEL", "file"},
        {"heads -1", 12, -1, "NOT_A_MODEL", "file"},
        {"kv heads > heads", 16, 5, "NOT_A_MODEL", "file"},
        {"vocabulary 0", 20, 0, "NOT_A_MODEL", "file"},
        {"vocabulary -2^31", 20, INT32_MIN, "NOT_A_MODEL", "file"},
        {"heads 5", 12, 5, "HPARAM", "n_heads"},
        {"kv heads 3", 16, 3, "HPARAM", "n_kv_heads"},
        {"odd heads", 12, 32, "HPARAM", "head_dim"},
        {"another vocabulary", 20, -301, "TRUNCATED", "tensors"},
        {"tied after all", 20, 300, "TRAILING", "tensors"},
        {"more layers", 8, 3, "TRUNCATED", "tensors"},
        {"fewer layers", 8, 1, "TRAILING", "tensors"},
        {"largest plausible shape", 4, 1 << 18, "TRUNCATED", "tensors"},
        {"a byte short", 1000, 1, "TRUNCATED", "tensors"},
        {"header only", 1000, -28, "TRUNCATED", "tensors"},
        {"27 bytes", 1000, -27, "NOT_A_MODEL", "file"},
        {"a byte more", 1001, 1, "TRAILING", "tensors"},
    };
    struct tiny t;
    struct rr_buf good = {0};
    const char *dir = temporary_dir(), *path = path_in(dir, "t.bin");
    tiny_make(&t, &tiny_default);
    llama2c_from_tiny(&good, &t);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct rr_weights w;
        struct rr_error err = {0};
        struct rr_buf b = {0};
        rr_buf_add(&b, good.data, good.n);
        if (rows[i].at == 1000)
            b.n = rows[i].value < 0 ? (size_t)-rows[i].value : b.n - (size_t)rows[i].value;
        else if (rows[i].at == 1001)
            rr_buf_puts(&b, "x");
        else
            patch(&b, rows[i].at, 4, (uint64_t)rows[i].value);
        write_buf(path, &b);
        int rc = rr_weights_open(&w, path, NULL, &err);
        cr_assert(rc == RR_ERR_DATA, "%s: returned %d: %s", rows[i].id, rc, describe(&err));
        cr_assert(strcmp(err.code, rows[i].code) == 0, "%s: %s", rows[i].id, describe(&err));
        cr_assert(strcmp(err.object, rows[i].object) == 0, "%s: object '%s'", rows[i].id,
                  err.object);
        cr_assert(strcmp(err.file, path) == 0, "%s: file '%s'", rows[i].id, err.file);
        rr_buf_free(&b);
    }
    rr_buf_free(&good);
    tiny_free(&t);
}

/* ---- GGUF: odd but legal ---- */

static void nothing(struct gguf_file *g)
{
    (void)g;
}

static void version_2(struct gguf_file *g)
{
    g->version = 2;
}

static void no_alignment_key(struct gguf_file *g)
{
    gguf_drop(g, "general.alignment");
}

static void alignment_1(struct gguf_file *g)
{
    gguf_set_u32(g, "general.alignment", 1);
    g->alignment = 1;
    gguf_set_string(g, "general.name", "odd number of bytes");
}

static void alignment_65536(struct gguf_file *g)
{
    gguf_set_u32(g, "general.alignment", 65536);
    g->alignment = 65536;
}

static void reversed(struct gguf_file *g)
{
    for (size_t i = 0; i < g->n_tensors / 2; i++) {
        struct gguf_tensor t = g->tensors[i];
        g->tensors[i] = g->tensors[g->n_tensors - 1 - i];
        g->tensors[g->n_tensors - 1 - i] = t;
    }
    for (size_t i = 0; i < g->n_kvs / 2; i++) {
        struct gguf_kv kv = g->kvs[i];
        g->kvs[i] = g->kvs[g->n_kvs - 1 - i];
        g->kvs[g->n_kvs - 1 - i] = kv;
    }
}

static void unknown_keys(struct gguf_file *g)
{
    static const char zeros[64];
    gguf_set(g, "x.u8", 0, "\xFF", 1);
    gguf_set(g, "x.i8", 1, "\xFF", 1);
    gguf_set(g, "x.u16", 2, "\xFF\xFF", 2);
    gguf_set(g, "x.i16", 3, "\xFF\xFF", 2);
    gguf_set_f32(g, "x.f32", NAN);
    gguf_set_bool(g, "x.bool", 1);
    gguf_set_string(g, "x.empty", "");
    gguf_set(g, "x.nul", 8, "\3\0\0\0\0\0\0\0a\0b", 11);
    gguf_set_array(g, "x.array", 0, 0, "", 0);
    gguf_set_array(g, "x.strings", 8, 2, zeros, 16);
    gguf_set_array(g, "x.bools", 7, 3, "\0\1\1", 3);
    gguf_set_array(g, "x.doubles", 12, 2, zeros, 16);
    gguf_set(g, "x.u64", 10, zeros, 8);
    gguf_set(g, "x.i64", 11, zeros, 8);
    gguf_set(g, "x.f64", 12, zeros, 8);
    gguf_set_string(g, "~!@#$%^&*()", "any printable key");
}

static void other_integers(struct gguf_file *g)
{
    gguf_set(g, "llama.block_count", 10, "\2\0\0\0\0\0\0\0", 8);
    gguf_set(g, "llama.context_length", 11, "\x40\0\0\0\0\0\0\0", 8);
    gguf_set(g, "llama.embedding_length", 2, "\x20\0", 2);
    gguf_set(g, "llama.feed_forward_length", 0, "\x40", 1);
    gguf_set(g, "llama.attention.head_count", 1, "\4", 1);
    gguf_set(g, "llama.attention.head_count_kv", 3, "\2\0", 2);
    gguf_set(g, "llama.rope.freq_base", 12, "\0\0\0\0\0\x88\xC3\x40", 8); /* 10000 as f64 */
}

static void said_explicitly(struct gguf_file *g)
{
    gguf_set_u32(g, "llama.attention.key_length", 8);
    gguf_set_u32(g, "llama.attention.value_length", 8);
    gguf_set_u32(g, "llama.rope.dimension_count", 8);
    gguf_set_u32(g, "llama.vocab_size", 300);
    gguf_set_string(g, "llama.rope.scaling.type", "none");
    gguf_set_f32(g, "llama.rope.scaling.factor", 1);
}

static void factors_of_1(struct gguf_file *g)
{
    const uint64_t dims[1] = {4};
    const float factors[4] = {1, 1, 1, 1};
    gguf_add_tensor(g, "rope_freqs.weight", 0, 1, dims, factors, sizeof factors);
}

static void linear_of_1(struct gguf_file *g)
{
    gguf_set_string(g, "llama.rope.scaling.type", "linear");
    gguf_set_f32(g, "llama.rope.scaling.factor", 1);
}

static void none_and_a_factor(struct gguf_file *g)
{
    gguf_set_string(g, "llama.rope.scaling.type", "none");
    gguf_set_f32(g, "llama.rope.scaling.factor", 4);
}

static void ids_none(struct gguf_file *g)
{
    gguf_set_u32(g, "tokenizer.ggml.bos_token_id", UINT32_MAX);
    gguf_set_i32(g, "tokenizer.ggml.eos_token_id", -1);
}

static void no_tokenizer(struct gguf_file *g)
{
    static const char *const keys[] = {
        "model",        "tokens",       "scores",           "token_type",
        "bos_token_id", "eos_token_id", "unknown_token_id", "add_space_prefix"};
    for (size_t i = 0; i < COUNT(keys); i++) {
        char key[64];
        snprintf(key, sizeof key, "tokenizer.ggml.%s", keys[i]);
        gguf_drop(g, key);
    }
}

static void types_unsigned(struct gguf_file *g)
{
    for (size_t i = 0; i < g->n_kvs; i++)
        if (strcmp(g->kvs[i].key, "tokenizer.ggml.token_type") == 0)
            patch(&g->kvs[i].value, 0, 4, 4);
}

static void long_names(struct gguf_file *g)
{
    char key[1000];
    memset(key, 'k', sizeof key - 1);
    key[sizeof key - 1] = 0;
    gguf_set_string(g, key, "value");
}

Test(formats, odd_but_legal_gguf)
{
    static const struct {
        const char *id;
        void (*change)(struct gguf_file *g);
        const char *format;
    } rows[] = {
        {"plain", nothing, "GGUF v3"},
        {"version 2", version_2, "GGUF v2"},
        {"no alignment key", no_alignment_key, "GGUF v3"},
        {"alignment 1: float32 at odd addresses", alignment_1, "GGUF v3"},
        {"alignment 65536", alignment_65536, "GGUF v3"},
        {"everything in reverse order", reversed, "GGUF v3"},
        {"unknown keys of all types", unknown_keys, "GGUF v3"},
        {"integers of all widths", other_integers, "GGUF v3"},
        {"defaults said explicitly", said_explicitly, "GGUF v3"},
        {"rotation factors of 1", factors_of_1, "GGUF v3"},
        {"linear scaling by 1", linear_of_1, "GGUF v3"},
        {"no scaling, said beside a factor", none_and_a_factor, "GGUF v3"},
        {"no BOS, no EOS", ids_none, "GGUF v3"},
        {"no tokenizer", no_tokenizer, "GGUF v3"},
        {"token types as u32", types_unsigned, "GGUF v3"},
        {"a key of 999 bytes", long_names, "GGUF v3"},
    };
    const char *dir = temporary_dir(), *path = path_in(dir, "odd.gguf");
    struct tiny t;
    float *base = NULL;
    tiny_make(&t, &tiny_default);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct gguf_file g;
        gguf_from_tiny(&g, &t);
        rows[i].change(&g);
        write_gguf(path, &g);
        float *logits = open_logits(rows[i].id, path, rows[i].format);
        if (base)
            cr_assert(memcmp(base, logits, N_TOKENS * (size_t)t.s.vocab * sizeof *base) == 0,
                      "%s: other logits", rows[i].id);
        else
            base = logits;
        if (base != logits)
            free(logits);
        gguf_file_free(&g);
    }
    free(base);
    tiny_free(&t);
}

Test(formats, gguf_says_whether_texts_begin_with_bos)
{
    const char *dir = temporary_dir(), *path = path_in(dir, "bos.gguf");
    struct tiny t;
    tiny_make(&t, &tiny_default);
    for (int said = -1; said <= 1; said++) {
        struct gguf_file g;
        struct rr_weights w;
        struct rr_error err = {0};
        gguf_from_tiny(&g, &t);
        if (said >= 0)
            gguf_set_bool(&g, "tokenizer.ggml.add_bos_token", (unsigned)said);
        write_gguf(path, &g);
        int rc = rr_weights_open(&w, path, NULL, &err);
        cr_assert(rc == RR_OK, "refused: %s", describe(&err));
        cr_assert(rr_tokenizer_bos(w.tokenizer) == (said ? 1 : -1), "said %d: bos %d", said,
                  rr_tokenizer_bos(w.tokenizer));
        rr_weights_close(&w);
        gguf_file_free(&g);
    }
    tiny_free(&t);
}

/* G32, G35: holes between tensors and bytes behind the last one. */
Test(formats, holes_and_tails)
{
    const char *dir = temporary_dir(), *path = path_in(dir, "odd.gguf");
    struct tiny t;
    struct gguf_file g;
    struct rr_buf b = {0};
    tiny_make(&t, &tiny_default);
    gguf_from_tiny(&g, &t);
    write_gguf(path, &g);
    float *base = open_logits("plain", path, "GGUF v3");
    gguf_write(&b, &g);
    rr_buf_add(&b, "tail", 4);
    write_buf(path, &b);
    float *tail = open_logits("tail", path, "GGUF v3");
    const uint64_t dims[1] = {64};
    const float filler[64] = {0};
    struct gguf_file with_hole;
    gguf_from_tiny(&with_hole, &t);
    gguf_add_tensor(&with_hole, "filler", 0, 1, dims, filler, sizeof filler);
    struct gguf_tensor last = with_hole.tensors[with_hole.n_tensors - 1];
    memmove(with_hole.tensors + 6, with_hole.tensors + 5, (with_hole.n_tensors - 6) * sizeof last);
    with_hole.tensors[5] = last;
    gguf_write(&b, &with_hole);
    /* Take the filler's entry out of the list, and leave its bytes: the list is followed by as much
     * more padding. */
    const size_t entry = find_bytes(&b, "filler", 6) - 8, n_entry = 8 + 6 + 4 + 8 + 4 + 8;
    const size_t end = find_bytes(&b, "output_norm.weight", 18) + 18 + 77;
    const size_t data = (end + 31) / 32 * 32, new_data = (end - n_entry + 31) / 32 * 32;
    memmove(b.data + entry, b.data + entry + n_entry, end - entry - n_entry);
    memmove(b.data + new_data, b.data + data, b.n - data);
    b.n -= data - new_data;
    patch(&b, 8, 8, with_hole.n_tensors - 1);
    write_buf(path, &b);
    float *hole = open_logits("hole", path, "GGUF v3");
    const size_t bytes = N_TOKENS * (size_t)t.s.vocab * sizeof *base;
    cr_assert(memcmp(base, tail, bytes) == 0, "a tail changes the logits");
    cr_assert(memcmp(base, hole, bytes) == 0, "a hole changes the logits");
    free(base);
    free(tail);
    free(hole);
    rr_buf_free(&b);
    gguf_file_free(&g);
    gguf_file_free(&with_hole);
    tiny_free(&t);
}

/* ---- config.json: odd but legal ---- */

Test(formats, odd_but_legal_config)
{
    static const struct {
        const char *id, *from, *to;
    } rows[] = {
        {"plain", "\"architectures\"", "\"architectures\""},
        {"whole numbers as floats", "\"hidden_size\": 32", "\"hidden_size\": 3.2e1"},
        {"nulls", "\"rope_scaling\": null",
         "\"rope_scaling\": null,\"head_dim\":null,\"quantization_config\":null"},
        {"unknown fields", "\"rope_scaling\": null",
         "\"x\":[{\"y\":{}}],\"torch_dtype\":\"float32\""},
        {"default scaling", "\"rope_scaling\": null",
         "\"rope_scaling\": {\"rope_type\":\"default\"}"},
        {"head_dim said", "\"rope_scaling\": null", "\"head_dim\": 8"},
        {"biases false", "\"rope_scaling\": null", "\"mlp_bias\": false"},
        {"no epsilon, no theta, no activation", "\"rms_norm_eps\": 1e-05",
         "\"rms_norm_eps\": 0.00001"},
        {"escaped key", "\"hidden_size\"", "\"hidden\\u005fsize\""},
    };
    const char *dir = temporary_dir();
    struct tiny t;
    struct rr_buf b = {0}, changed = {0};
    float *base = NULL;
    tiny_make(&t, &tiny_default);
    write_folder(dir, &t);
    config_from_tiny(&b, &t);
    for (size_t i = 0; i < COUNT(rows); i++) {
        const size_t at = find_bytes(&b, rows[i].from, strlen(rows[i].from));
        rr_buf_clear(&changed);
        rr_buf_add(&changed, b.data, at);
        rr_buf_puts(&changed, rows[i].to);
        rr_buf_puts(&changed, b.data + at + strlen(rows[i].from));
        write_buf(path_in(dir, "config.json"), &changed);
        float *logits = open_logits(rows[i].id, dir, "safetensors");
        if (base)
            cr_assert(memcmp(base, logits, N_TOKENS * (size_t)t.s.vocab * sizeof *base) == 0,
                      "%s: other logits", rows[i].id);
        else
            base = logits;
        if (base != logits)
            free(logits);
    }
    free(base);
    rr_buf_free(&b);
    rr_buf_free(&changed);
    tiny_free(&t);
}
