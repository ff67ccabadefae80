/* Models and tokenizers as Hugging Face folders: what is written reads back as the same, to the
 * bit, whatever the order of rows, the type, the scaling of the rotation or the kind of tokenizer.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "engine/base/folder.h"
#include "tests/make_files.h"
#include "tests/make_model.h"
#include "tests/test.h"
#include "weights/weights.h"
#include "weights/write.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static void place(char out[512], const char *name)
{
    static const char *dir; /* one for all of a test, which is a process */
    dir = dir ? dir : temporary_dir();
    snprintf(out, 512, "%s", path_in(dir, name));
}

static int write_gguf(const char *path, const struct rr_model *m, struct rr_error *err)
{
    return rr_gguf_write_model(path, m, NULL, &(struct rr_write_options){.name = "x", .type = -1},
                               err);
}

static char last_folder[512];

/* The model as GGUF, and by way of a folder: the same bytes. */
static void check_round_trip(const struct rr_model *m, const char *what)
{
    static int n_folders;
    char plain[512], back[512], *dir = last_folder, name[32];
    const struct rr_write_options o = {.name = "x", .type = -1};
    struct rr_error err = {0};
    struct rr_weights w;
    size_t n[2];
    place(plain, "plain.gguf");
    place(back, "back.gguf");
    snprintf(name, sizeof name, "folder%d", n_folders++);
    place(dir, name);
    cr_assert(write_gguf(plain, m, &err) == 0, "%s: %s", what, err.text);
    cr_assert(rr_hf_write_model(dir, m, NULL, &o, &err) == 0, "%s: %s", what, err.text);
    cr_assert(rr_weights_open(&w, dir, NULL, &err) == 0, "%s: %s %s", what, err.object, err.text);
    cr_assert(strcmp(w.format, "safetensors") == 0 && !w.model.h.rope.interleaved, "%s: %s", what,
              w.format);
    cr_assert(write_gguf(back, &w.model, &err) == 0, "%s: %s", what, err.text);
    rr_weights_close(&w);
    unsigned char *a = read_file(plain, &n[0]), *b = read_file(back, &n[1]);
    cr_assert(n[0] == n[1] && memcmp(a, b, n[0]) == 0, "%s: by way of a folder other bytes", what);
    free(a);
    free(b);
}

Test(folder, models_come_back_to_the_bit)
{
    static const struct model_shape shapes[] = {
        {"F32 tied", 2, 48, 6, 2, 8, 80, 97, 64, RR_TYPE_F32, true, true},
        {"F16 in Hugging Face's order", 2, 48, 4, 4, 12, 70, 61, 64, RR_TYPE_F16, false, false},
        {"BF16", 1, 96, 2, 1, 64, 300, 77, 256, RR_TYPE_BF16, false, true},
        {"F16, rows of odd lengths", 1, 7, 1, 1, 2, 5, 11, 64, RR_TYPE_F16, false, true}};
    for (size_t i = 0; i < COUNT(shapes); i++) {
        struct rr_model *m = make_model(&shapes[i], 8);
        m->h.rms_eps = (double)1e-5f; /* floats, as GGUF has them */
        check_round_trip(m, shapes[i].name);
        m->h.rope.scaling = RR_ROPE_LINEAR;
        m->h.rope.factor = 2.5;
        check_round_trip(m, "linear");
        free_model(m);
    }
}

/* GGUF has divisors where config.json has settings. */
Test(folder, scaling_of_llama_3)
{
    static const struct model_shape shape = {"F32", 1,  96,  2,           1,    64,
                                             64,    77, 256, RR_TYPE_F32, true, true};
    static const struct {
        double factor;
        int context;
    } published[] = {{8, 8192}, {32, 8192}, {8, 64}};
    struct rr_model *m = make_model(&shape, 8);
    const struct rr_write_options o = {.name = "x", .type = -1};
    char plain[512], dir[512];
    struct rr_error err = {0};
    struct rr_weights w;
    place(plain, "plain.gguf");
    place(dir, "no settings");
    m->h.rms_eps = (double)1e-5f;
    m->h.rope.theta = 500000;
    for (size_t i = 0; i < COUNT(published); i++) {
        m->h.rope.scaling = RR_ROPE_LLAMA3;
        m->h.rope.factor = published[i].factor;
        m->h.rope.low_freq_factor = 1;
        m->h.rope.high_freq_factor = 4;
        m->h.rope.original_context = published[i].context;
        check_round_trip(m, "llama3");
        cr_assert(write_gguf(plain, m, &err) == 0 && rr_weights_open(&w, plain, NULL, &err) == 0,
                  "%s", err.text);
        cr_assert(w.model.h.rope.freq_factors != NULL, "no divisors");
        check_round_trip(&w.model, "divisors");
        rr_weights_close(&w);
        cr_assert(rr_weights_open(&w, last_folder, NULL, &err) == 0, "%s", err.text);
        cr_assert(w.model.h.rope.scaling == RR_ROPE_LLAMA3 &&
                      w.model.h.rope.original_context == published[i].context &&
                      w.model.h.rope.factor == published[i].factor,
                  "found %g of %d", w.model.h.rope.factor, w.model.h.rope.original_context);
        rr_weights_close(&w);
    }
    float others[32];
    for (int i = 0; i < 32; i++)
        others[i] = 1 + (float)i * (float)i;
    m->h.rope.scaling = RR_ROPE_NONE;
    m->h.rope.freq_factors = others;
    cr_assert(rr_hf_write_model(dir, m, NULL, &o, &err) == RR_ERR_USAGE &&
                  strcmp(err.code, "UNSUPPORTED") == 0 && strstr(err.text, "rope_freqs"),
              "other divisors: %d %s", err.status, err.text);
    free_model(m);
}

/* It is written beside its place; what has come there since is not touched. */
Test(folder, something_put_there_meanwhile)
{
    const char *dir = temporary_dir();
    char path[512], made[600];
    struct rr_folder f;
    struct rr_error err = {0};
    snprintf(path, sizeof path, "%s", path_in(dir, "late"));
    for (int put = 0; put < 2; put++) {
        cr_assert(rr_folder_begin(&f, path, &err) == 0, "%s", err.text);
        snprintf(made, sizeof made, "%s", f.made);
        write_file(path_in(made, "new"), "new", 3);
        cr_assert(!rr_path_exists(path_in(path, "new")), "it is there before it is whole");
        if (put) {
            unlink(path_in(path, "new"));
            write_file(path_in(path, "theirs"), "theirs", 6);
        }
        const int rc = rr_folder_commit(&f, &err);
        cr_assert(put ? rc == RR_ERR_OPEN && strcmp(err.code, "NOT_EMPTY") == 0 : rc == 0,
                  "%d: %d %s", put, rc, err.text);
        cr_assert(!rr_path_exists(made), "%s is left", made);
        cr_assert(rr_path_exists(path_in(path, put ? "theirs" : "new")) &&
                      (!put || !rr_path_exists(path_in(path, "new"))),
                  "%d: another folder than expected", put);
        if (!put)
            unlink(path_in(path, "new")); /* the empty folder is taken the second time */
    }
}

Test(folder, quantised_weights_need_a_type)
{
    static const struct model_shape shape = {"Q8_0", 1,   64,           2,    1,   32, 64,
                                             77,     256, RR_TYPE_Q8_0, true, true};
    struct rr_model *m = make_model(&shape, 8);
    const char *dir = path_in(temporary_dir(), "quantised");
    struct rr_engine e;
    struct rr_weights w;
    struct rr_error err = {0};
    cr_assert(rr_engine_init(&e, 1, rr_cpu_best(), &err) == 0, "%s", err.text);
    struct rr_write_options o = {.name = "x", .type = -1, .engine = &e};
    cr_assert(rr_hf_write_model(dir, m, NULL, &o, &err) == RR_ERR_USAGE &&
                  strcmp(err.code, "UNSUPPORTED") == 0 && strstr(err.text, "Q8_0"),
              "%d %s", err.status, err.text);
    cr_assert(!rr_path_exists(path_in(dir, "config.json")), "something was written all the same");
    o.type = RR_TYPE_F32;
    cr_assert(rr_hf_write_model(dir, m, NULL, &o, &err) == 0 &&
                  rr_weights_open(&w, dir, NULL, &err) == 0,
              "%s", err.text);
    float x[64], y[64];
    e.kernels.row_f32[RR_TYPE_Q8_0](x, m->embed.data, 64);
    memcpy(y, w.model.embed.data, sizeof y);
    cr_assert(memcmp(x, y, sizeof x) == 0, "other numbers");
    rr_weights_close(&w);
    rr_engine_release(&e);
    free_model(m);
}

/* ---- tokenizers ---- */

static void check_texts(const struct rr_tokenizer *a, const struct rr_tokenizer *b,
                        const char *what)
{
    static const char *const texts[] = {"a",
                                        " aa  a",
                                        "The Silent Harbour (1961)",
                                        "it's 12345!\n\n x",
                                        "\xC3\xA9\xE2\x96\x81\xF0\x9F\x8E\xAC [X]",
                                        "</s><|eot_id|>"};
    struct rr_encoding x = {0}, y = {0};
    struct rr_error err = {0};
    for (size_t i = 0; i < COUNT(texts); i++) {
        cr_assert(rr_tokenizer_encode(a, &x, texts[i], strlen(texts[i]), &err) == 0 &&
                      rr_tokenizer_encode(b, &y, texts[i], strlen(texts[i]), &err) == 0,
                  "%s", err.text);
        cr_assert(x.n == y.n && memcmp(x.ids, y.ids, x.n * sizeof *x.ids) == 0,
                  "%s: '%s' has other tokens", what, texts[i]);
    }
    rr_encoding_free(&x);
    rr_encoding_free(&y);
}

/* Written and read by its own reader: the same fingerprint (but that of ranks, which come back as
 * merges), tokens, BOS and EOS; and written again the same bytes. */
static void check_tokenizer(struct rr_tokenizer *t, bool ranks, const char *what)
{
    struct rr_buf b = {0}, again = {0};
    struct rr_error err = {0};
    struct rr_tokenizer *back;
    struct rr_vocab v, w;
    char before[65], after[65];
    cr_assert(rr_tokenizer_list_merges(t, &err) == 0, "%s: %s", what, err.text);
    rr_tokenizer_vocab(&v, t);
    const char *name = rr_tokenizer_write(&b, &v);
    cr_assert(name && !b.failed, "%s: not written", what);
    const struct rr_piece *eos = v.eos >= 0 ? &v.pieces[v.eos] : NULL;
    char end[64];
    snprintf(end, sizeof end, "%.*s", eos ? (int)eos->n : 0, eos ? eos->text : "");
    const int rc = strcmp(name, "tokenizer.json") == 0
                       ? rr_tokenizer_from_json(&back, b.data, b.n, name, end, &err)
                       : rr_tokenizer_from_sentencepiece(&back, b.data, b.n, name, &err);
    cr_assert(rc == 0, "%s: %s: %s %s at %lld", what, name, err.object, err.text,
              (long long)err.offset);
    rr_tokenizer_fingerprint(t, before);
    rr_tokenizer_fingerprint(back, after);
    cr_assert(ranks || strcmp(before, after) == 0, "%s: %s holds another tokenizer", what, name);
    check_texts(t, back, what);
    rr_tokenizer_vocab(&w, back);
    rr_tokenizer_write(&again, &w);
    cr_assert(again.n == b.n && memcmp(again.data, b.data, b.n) == 0, "%s: again, other bytes",
              what);
    cr_assert(rr_tokenizer_bos(back) == v.bos && rr_tokenizer_eos(back) == v.eos,
              "%s: BOS %d, EOS %d; expected %d and %d", what, rr_tokenizer_bos(back),
              rr_tokenizer_eos(back), v.bos, v.eos);
    rr_tokenizer_close(back);
    rr_buf_free(&again);
    rr_buf_free(&b);
}

/* Pieces that need escapes, of every type and both kinds of settings. */
Test(folder, a_small_tokenizer)
{
    for (int kind = 0; kind < 4; kind++) {
        struct rr_piece pieces[3 + 256 + 4] = {{"<unk>", 5, 0, RR_PIECE_UNKNOWN},
                                               {"<s>", 3, 0, RR_PIECE_CONTROL},
                                               {"</s>", 4, 0, RR_PIECE_CONTROL}};
        char bytes[256][8];
        struct rr_error err = {0};
        struct rr_tokenizer *t;
        for (int i = 0; i < 256; i++) {
            snprintf(bytes[i], sizeof bytes[i], "<0x%02X>", i);
            pieces[3 + i] = (struct rr_piece){bytes[i], 6, 0, RR_PIECE_BYTE};
        }
        pieces[259] = (struct rr_piece){"a", 1, -1, RR_PIECE_NORMAL};
        pieces[260] = (struct rr_piece){"\"\\\n", 3, -2.5f, RR_PIECE_NORMAL};
        pieces[261] = (struct rr_piece){"\xE2\x96\x81"
                                        "a",
                                        4, -1e-3f, RR_PIECE_NORMAL};
        pieces[262] = (struct rr_piece){"[X]", 3, 0, RR_PIECE_USER};
        const struct rr_vocab v = {.pieces = pieces,
                                   .n = COUNT(pieces),
                                   .unk = 0,
                                   .bos = 1,
                                   .eos = kind & 1 ? 2 : -1,
                                   .add_dummy_prefix = kind & 1,
                                   .remove_extra_space = kind & 2,
                                   .byte_fallback = true};
        cr_assert(rr_tokenizer_open(&t, &v, "small", &err) == 0, "%s", err.text);
        check_tokenizer(t, false, "small");
        rr_tokenizer_close(t);
    }
}

Test(folder, real_tokenizers)
{
    static const char *const files[] = {"golden/tokenizer/llama2/tokenizer.model",
                                        "golden/tokenizer/llama3/tokenizer.model",
                                        "golden/tokenizer/tinyllama/tokenizer.json",
                                        "golden/tokenizer/gguf/ggml-vocab-gpt-2.gguf",
                                        "golden/tokenizer/gguf/ggml-vocab-llama-spm.gguf",
                                        "models/stories260K/tok512.model"};
    SKIP_WITHOUT(first, "golden/tokenizer/llama2/tokenizer.model");
    (void)first;
    for (size_t i = 0; i < COUNT(files); i++) {
        struct rr_tokenizer *t;
        struct rr_error err = {0};
        const char *path = shared_path(files[i]);
        cr_assert(path != NULL, "%s is missing", files[i]);
        cr_assert(rr_weights_tokenizer(&t, path, &err) == 0, "%s", err.text);
        check_tokenizer(t, i == 1, files[i]);
        rr_tokenizer_close(t);
    }
}
