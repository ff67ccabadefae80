/* What models name beside their tokenizer's own file: the tokens that end a text, BOS that texts do
 * not begin with, padding; pieces that were added; merges told as scores. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/make_model.h"
#include "tests/test.h"
#include "tokenizer/beside.h"
#include "weights/weights.h"
#include "weights/write.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])
#define N_PIECES 263
#define N_VOCAB 266
#define BLANK "\xE2\x96\x81"

/* <unk> <s> </s>, the bytes, and four pieces that merge. */
static struct rr_vocab small_vocab(void)
{
    static struct rr_piece pieces[N_PIECES] = {{"<unk>", 5, 0, RR_PIECE_UNKNOWN},
                                               {"<s>", 3, 0, RR_PIECE_CONTROL},
                                               {"</s>", 4, 0, RR_PIECE_CONTROL}};
    static const char *const words[] = {"a", "b", "ab", BLANK};
    static char bytes[256][8];
    for (int i = 0; i < 256; i++) {
        snprintf(bytes[i], sizeof bytes[i], "<0x%02X>", (unsigned)i);
        pieces[3 + i] = (struct rr_piece){bytes[i], 6, 0, RR_PIECE_BYTE};
    }
    for (int i = 0; i < 4; i++)
        pieces[259 + i] =
            (struct rr_piece){words[i], (uint32_t)strlen(words[i]), (float)-i, RR_PIECE_NORMAL};
    return (struct rr_vocab){.pieces = pieces,
                             .n = N_PIECES,
                             .unk = 0,
                             .bos = 1,
                             .eos = 2,
                             .add_dummy_prefix = true,
                             .byte_fallback = true};
}

static struct rr_model *small_model(void)
{
    static const struct model_shape shape = {"F32", 1,       32, 2,           1,    16,
                                             32,    N_VOCAB, 64, RR_TYPE_F32, true, true};
    struct rr_model *m = make_model(&shape, 3);
    m->h.rms_eps = (double)1e-5f;
    return m;
}

static void put(const char *dir, const char *name, const char *text)
{
    write_file(path_in(dir, name), text, strlen(text));
}

/* The file's first `from` becomes `to`. */
static void replace(const char *path, const char *from, const char *to)
{
    size_t n;
    char *was = (char *)read_file(path, &n);
    struct rr_buf b = {0};
    rr_buf_add(&b, was, n);
    rr_buf_add(&b, "", 1);
    const char *at = strstr(b.data, from);
    cr_assert(at != NULL, "%s has no '%s'", path, from);
    const size_t before = (size_t)(at - b.data);
    struct rr_buf out = {0};
    rr_buf_add(&out, b.data, before);
    rr_buf_puts(&out, to);
    rr_buf_add(&out, b.data + before + strlen(from), n - before - strlen(from));
    write_file(path, out.data, out.n);
    free(was);
    rr_buf_free(&b);
    rr_buf_free(&out);
}

/* A folder as they are published: a tokenizer.model with pieces added beside it. */
static void make_folder(char out[512])
{
    struct rr_error err = {0};
    struct rr_model *m = small_model();
    const struct rr_vocab v = small_vocab();
    const struct rr_write_options o = {.name = "x", .type = -1};
    snprintf(out, 512, "%s", path_in(temporary_dir(), "model"));
    cr_assert(rr_hf_write_model(out, m, &v, &o, &err) == 0, "%s", err.text);
    replace(path_in(out, "config.json"), "\"eos_token_id\": 2", "\"eos_token_id\": [2, 264]");
    put(out, "generation_config.json", "{\"eos_token_id\": [2, 263], \"pad_token_id\": 0}");
    put(out, "tokenizer_config.json",
        "{\"add_bos_token\": false, \"eos_token\": {\"content\": \"<|im_end|>\"},"
        "\"added_tokens_decoder\": {\"1\": {\"content\": \"<s>\", \"special\": true},"
        "\"263\": {\"content\": \"<|im_start|>\", \"special\": true}}}");
    put(out, "added_tokens.json",
        "{\"<|im_start|>\": 263, \"<|im_end|>\": 264, \"word\": 265, \"<pad>\": 266}");
    free_model(m);
}

static void check_specials(const struct rr_weights *w, const char *what, const int *ends, int n)
{
    const struct rr_tokenizer *t = w->tokenizer;
    struct rr_vocab v;
    cr_assert(t != NULL, "%s: %s", what, w->tokenizer_error.text);
    rr_tokenizer_vocab(&v, t);
    cr_assert(v.n == N_VOCAB && v.eos == 264 && v.bos == -1, "%s: %zu pieces, eos %d, bos %d", what,
              v.n, v.eos, v.bos);
    cr_assert(v.special->bos == 1 && v.special->pad == 0 && v.special->n_ends == n,
              "%s: bos %d, pad %d, %d ends", what, v.special->bos, v.special->pad,
              v.special->n_ends);
    for (int i = 0; i < n; i++)
        cr_assert(v.special->ends[i] == ends[i] && rr_tokenizer_ends(t, ends[i]),
                  "%s: end %d is %d; expected %d", what, i, v.special->ends[i], ends[i]);
    cr_assert(!rr_tokenizer_ends(t, 1) && !rr_tokenizer_ends(t, -1) && !rr_tokenizer_ends(t, 265),
              "%s: any token ends a text", what);
    cr_assert(v.pieces[263].type == RR_PIECE_CONTROL && v.pieces[264].type == RR_PIECE_CONTROL &&
                  v.pieces[265].type == RR_PIECE_USER,
              "%s: types of added pieces", what);
}

Test(special, beside_a_tokenizer_model)
{
    char dir[512], back[600], gguf[600];
    struct rr_error err = {0};
    struct rr_weights w;
    struct rr_vocab v;
    const struct rr_write_options o = {.name = "x", .type = -1};
    make_folder(dir);
    snprintf(back, sizeof back, "%s.back", dir);
    snprintf(gguf, sizeof gguf, "%s.gguf", dir);
    cr_assert(rr_weights_open(&w, dir, NULL, &err) == 0, "%s: %s", err.object, err.text);
    static const int ends[] = {2, 264, 263}, by_key[] = {264, 2, 263};
    check_specials(&w, "folder", ends, 3);
    cr_assert(w.n_warnings && strstr(w.warning.text, "1 of them have ids that the model does not"),
              "%s", w.warning.text);
    struct rr_encoding e = {0};
    cr_assert(rr_tokenizer_encode(w.tokenizer, &e, "word<|im_end|>", 14, &err) == 0, "%s",
              err.text);
    for (size_t i = 0; i < e.n; i++)
        cr_assert(e.ids[i] != 264, "a text has become a marker");
    cr_assert(e.n > 1 && (e.ids[0] == 265 || e.ids[1] == 265), "an added word is not taken whole");
    rr_encoding_free(&e);
    rr_tokenizer_vocab(&v, w.tokenizer);
    cr_assert(rr_hf_write_model(back, &w.model, &v, &o, &err) == 0, "%s", err.text);
    cr_assert(rr_gguf_write_model(gguf, &w.model, &v, &o, &err) == 0, "%s", err.text);
    rr_weights_close(&w);
    cr_assert(rr_weights_open(&w, back, NULL, &err) == 0, "%s: %s", err.object, err.text);
    check_specials(&w, "written as a folder", ends, 3);
    rr_weights_close(&w);
    cr_assert(rr_weights_open(&w, gguf, NULL, &err) == 0, "%s: %s", err.object, err.text);
    check_specials(&w, "written as GGUF", by_key, 3);
    rr_weights_close(&w);
    /* Another tokenizer's file for the same model: what the model says holds. */
    char other[512];
    snprintf(other, sizeof other, "%s", path_in(back, "tokenizer.model"));
    cr_assert(rr_weights_open(&w, dir, other, &err) == 0, "%s: %s", err.object, err.text);
    cr_assert(rr_tokenizer_ends(w.tokenizer, 263), "a given tokenizer's model has no ends");
    rr_weights_close(&w);
    cr_assert(rr_weights_open(&w, gguf, other, &err) == 0, "%s: %s", err.object, err.text);
    cr_assert(rr_tokenizer_ends(w.tokenizer, 263), "of a GGUF model neither");
    rr_weights_close(&w);
    /* Given apart, a tokenizer has its neighbours too: those that the model has. */
    snprintf(other, sizeof other, "%s", path_in(dir, "tokenizer.model"));
    cr_assert(rr_weights_open(&w, gguf, other, &err) == 0, "%s: %s", err.object, err.text);
    cr_assert(rr_tokenizer_size(w.tokenizer) == N_VOCAB, "%d pieces",
              rr_tokenizer_size(w.tokenizer));
    rr_weights_close(&w);
    /* A BOS that config.json names is not put in the place of the one that texts begin with. */
    const struct rr_special said = {.bos = 0, .pad = 3};
    v = (struct rr_vocab){.bos = 1, .eos = 2, .special = &said};
    cr_assert(rr_vocab_special(&v).bos == 1 && rr_vocab_special(&v).pad == 3, "BOS is another");
    v.bos = -1;
    cr_assert(rr_vocab_special(&v).bos == 0, "BOS is lost");
}

Test(special, what_is_beside_may_be_wrong)
{
    static const struct {
        const char *name, *text, *code, *object, *what;
    } rows[] = {
        {"added_tokens.json", "{\"<x>\": -1}", "TOKEN_ID", "added token", "no whole number"},
        {"added_tokens.json", "{\"<x>\": \"7\"}", "TOKEN_ID", "added token", "no whole number"},
        {"added_tokens.json", "{\"\": 263}", "VOCAB", "added token", "empty"},
        {"added_tokens.json", "{\"<x>\": 2}", "VOCAB", "added tokens",
         "'<x>' has the id 2, as '</s>' has"},
        {"added_tokens.json", "{\"<x>\": 263", "JSON", NULL, ""},
        {"tokenizer_config.json", "{\"eos_token\": \"zzz\"}", "TOKEN_ID", "eos_token",
         "'zzz' is no piece of"},
        {"tokenizer_config.json", "{\"eos_token\": 5}", "TOKEN_ID", "eos_token", "is a number"},
        {"tokenizer_config.json", "{\"add_bos_token\": 0}", "VOCAB", "add_bos_token",
         "expected true or false"},
        {"tokenizer_config.json", "{\"added_tokens_decoder\": {\"x\": {\"content\": \"<x>\"}}}",
         "TOKEN_ID", "added token", "no whole number"},
        {"tokenizer_config.json", "{\"added_tokens_decoder\": {\"263\": {\"special\": true}}}",
         "VOCAB", "263", "content is missing"},
        {"tokenizer_config.json", "x", "JSON", NULL, ""},
    };
    char dir[512];
    make_folder(dir);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct rr_error err = {0};
        struct rr_tokenizer *t;
        put(dir, "added_tokens.json", "{}");
        put(dir, "tokenizer_config.json", "{}");
        put(dir, rows[i].name, rows[i].text);
        int rc = rr_weights_tokenizer(&t, dir, &err);
        cr_assert(rc == RR_ERR_DATA && !t && strcmp(err.code, rows[i].code) == 0, "%s: %d %s %s",
                  rows[i].text, rc, err.code, err.text);
        cr_assert(strstr(err.file, rows[i].name) && strstr(err.text, rows[i].what) &&
                      (!rows[i].object || strcmp(err.object, rows[i].object) == 0),
                  "%s: %s: %s: %s", rows[i].text, err.file, err.object, err.text);
    }
    struct rr_error err = {0};
    struct rr_tokenizer *t;
    put(dir, "tokenizer_config.json", "{\"eos_token\": null, \"add_bos_token\": null}");
    struct rr_buf many = {0};
    for (int i = 0; i <= 1 << 14; i++)
        rr_buf_printf(&many, "%s\"<%d>\":%d", i ? "," : "{", i, N_PIECES + i);
    rr_buf_puts(&many, "}");
    write_file(path_in(dir, "added_tokens.json"), many.data, many.n);
    rr_buf_free(&many);
    cr_assert(rr_weights_tokenizer(&t, dir, &err) == RR_ERR_DATA && strcmp(err.code, "COUNT") == 0,
              "too many: %s", err.text);
    put(dir, "added_tokens.json", "{\"<far>\": 16777215}");
    cr_assert(rr_weights_tokenizer(&t, dir, &err) == RR_ERR_DATA &&
                  strcmp(err.code, "TOKEN_ID") == 0,
              "ids far away: %s", err.text);
    put(dir, "added_tokens.json", "{}");
    put(dir, "tokenizer_config.json", "{\"eos_token\": \"\", \"add_bos_token\": null}");
    cr_assert(rr_weights_tokenizer(&t, dir, &err) == 0, "an empty text is none: %s", err.text);
    rr_tokenizer_close(t);
    put(dir, "tokenizer_config.json", "{\"eos_token\": null, \"add_bos_token\": null}");
    cr_assert(rr_weights_tokenizer(&t, dir, &err) == 0, "%s", err.text);
    cr_assert(rr_tokenizer_eos(t) == 2 && rr_tokenizer_bos(t) == 1, "nulls are not nothing");
    rr_tokenizer_close(t);
}

/* ---- merges as scores ---- */

#define META                                                                                       \
    "{\"version\":\"1.0\",\"added_tokens\":[{\"id\":0,\"content\":\"<unk>\",\"special\":true}],"   \
    "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":"    \
    "\"" BLANK "\"},{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"" BLANK     \
    "\"}]},\"pre_tokenizer\":null,\"post_processor\":null,\"decoder\":null,"

static struct rr_tokenizer *with_merges(const char *merges)
{
    static const char *const words[] = {"a", "b", "c", BLANK, "ab", "bc", "abc", BLANK "a"};
    struct rr_buf b = {0};
    struct rr_error err = {0};
    struct rr_tokenizer *t;
    rr_buf_puts(&b,
                META "\"model\":{\"type\":\"BPE\",\"unk_token\":\"<unk>\",\"byte_fallback\":true,"
                     "\"vocab\":{\"<unk>\":0");
    for (int i = 0; i < 256; i++)
        rr_buf_printf(&b, ",\"<0x%02X>\":%d", (unsigned)i, 1 + i);
    for (int i = 0; i < (int)COUNT(words); i++)
        rr_buf_printf(&b, ",\"%s\":%d", words[i], 257 + i);
    rr_buf_printf(&b, "},\"merges\":[%s]}}", merges);
    cr_assert(rr_tokenizer_from_json(&t, b.data, b.n, "t.json", NULL, &err) == 0, "%s: %s",
              err.object, err.text);
    rr_buf_free(&b);
    return t;
}

/* The same tokens by scores, for all of some texts. */
static void check_same(const struct rr_tokenizer *t, const char *const *texts, size_t n)
{
    struct rr_arena arena = {0};
    struct rr_error err = {0};
    struct rr_encoding x = {0}, y = {0};
    struct rr_vocab v;
    struct rr_tokenizer *scored;
    rr_tokenizer_vocab(&v, t);
    cr_assert(rr_vocab_score_merges(&v, &arena, "t.json", &err) == 0, "%s", err.text);
    cr_assert(!v.merges && rr_tokenizer_open(&scored, &v, "t.json", &err) == 0, "%s", err.text);
    for (size_t i = 0; i < n; i++) {
        const size_t len = strlen(texts[i]);
        cr_assert(rr_tokenizer_encode(t, &x, texts[i], len, &err) == 0 &&
                      rr_tokenizer_encode(scored, &y, texts[i], len, &err) == 0,
                  "%s", err.text);
        cr_assert(x.n == y.n && memcmp(x.ids, y.ids, x.n * sizeof *x.ids) == 0,
                  "'%s' has other tokens by scores", texts[i]);
    }
    rr_encoding_free(&x);
    rr_encoding_free(&y);
    rr_tokenizer_close(scored);
    rr_arena_free(&arena);
}

Test(special, merges_as_scores)
{
    static const char *const texts[] = {"abc", "abcabc bc a", "cab cabbc  aabbcc", "ba c\xC3\xA9",
                                        ""};
    struct rr_tokenizer *t = with_merges("\"b c\",\"a b\",\"" BLANK " a\",\"a bc\",\"ab c\"");
    check_same(t, texts, COUNT(texts));
    rr_tokenizer_close(t);
    /* One way of two; ways of one piece apart; none at all. */
    static const char *const bad[] = {
        "\"b c\",\"a b\",\"" BLANK " a\",\"a bc\"",
        "\"b c\",\"a b\",\"a bc\",\"" BLANK " a\",\"ab c\"",
        "\"b c\",\"a b\",\"a bc\",\"ab c\"",
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct rr_arena arena = {0};
        struct rr_error err = {0};
        struct rr_vocab v;
        t = with_merges(bad[i]);
        rr_tokenizer_vocab(&v, t);
        cr_assert(rr_vocab_score_merges(&v, &arena, "t.json", &err) == RR_ERR_USAGE &&
                      strcmp(err.code, "UNSUPPORTED") == 0 && v.merges,
                  "%s: %s", bad[i], err.text);
        rr_arena_free(&arena);
        rr_tokenizer_close(t);
    }
}

/* TinyLlama's tokenizer.json has the order of LLaMA-2's tokenizer.model. */
Test(special, merges_of_a_real_tokenizer_as_scores)
{
    static const char *const texts[] = {"The quick brown fox", "  internationalisation\n\n1234",
                                        "aaaaaaaaaaaaaaaa bananas \xC3\xA9t\xC3\xA9"};
    SKIP_WITHOUT(json, "golden/tokenizer/tinyllama/tokenizer.json");
    SKIP_WITHOUT(model, "golden/tokenizer/llama2/tokenizer.model");
    char path[512];
    snprintf(path, sizeof path, "%s", json);
    struct rr_error err = {0};
    struct rr_arena arena = {0};
    struct rr_tokenizer *t, *real;
    struct rr_vocab v, w;
    cr_assert(rr_tokenizer_from_file(&t, path, &err) == 0, "%s", err.text);
    cr_assert(rr_tokenizer_from_file(&real, model, &err) == 0, "%s", err.text);
    check_same(t, texts, COUNT(texts));
    rr_tokenizer_vocab(&v, t);
    rr_tokenizer_vocab(&w, real);
    cr_assert(rr_vocab_score_merges(&v, &arena, path, &err) == 0, "%s", err.text);
    cr_assert(v.n == w.n, "%zu and %zu pieces", v.n, w.n);
    for (size_t i = 0, last = 0; i < v.n; i++) {
        if (w.pieces[i].type != RR_PIECE_NORMAL || w.pieces[i].score < -1e6f)
            continue; /* runs of blanks have one score: there the list orders them */
        cr_assert(!last || (w.pieces[i].score < w.pieces[last].score &&
                            v.pieces[i].score < v.pieces[last].score),
                  "pieces %zu and %zu: %g and %g; expected the order of %g and %g", last, i,
                  (double)v.pieces[last].score, (double)v.pieces[i].score,
                  (double)w.pieces[last].score, (double)w.pieces[i].score);
        last = i;
    }
    rr_arena_free(&arena);
    rr_tokenizer_close(t);
    rr_tokenizer_close(real);
}
