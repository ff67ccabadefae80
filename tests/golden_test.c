/* Against numbers that others computed: float64 references, llama2.c's text, SentencePiece's ids.
 * All of it is beside the project (see ../shared/README.md); without it these tests skip by name.
 */
#include "tests/test.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/json.h"
#include "engine/base/utf8.h"
#include "engine/sample.h"
#include "engine/session.h"
#include "weights/weights.h"
#include "weights/write.h"

#define EACH_LEVEL(level)                                                                          \
    for (int level = 0; level <= (int)rr_cpu_best(); level++)                                      \
        if (whole_model_level(level))

static const char *level_name(int level)
{
    return rr_cpu_level_name((enum rr_cpu_level)level);
}

/* ---- helpers ---- */

struct tokens {
    int ids[256];
    int n;
};

static const struct rr_json *read_json(struct rr_arena *arena, const char *path,
                                       unsigned char **text)
{
    size_t n;
    struct rr_json *root;
    struct rr_error err = {0};
    *text = read_file(path, &n);
    int rc = rr_json_parse(&root, arena, (const char *)*text, n, path, 0, &err);
    cr_assert(rc == 0, "%s: %s", path, err.text);
    return root;
}

static void read_tokens(struct tokens *t, const char *path)
{
    struct rr_arena arena = {0};
    unsigned char *text;
    const struct rr_json *list = rr_json_get(read_json(&arena, path, &text), "tokens");
    t->n = 0;
    for (const struct rr_json *v = list ? list->child : NULL; v; v = v->next) {
        int64_t id;
        bool ok = rr_json_int(&id, v, 0, 1 << 24) && t->n < 256;
        cr_assert(ok, "%s: token %d", path, t->n);
        t->ids[t->n++] = (int)id;
    }
    cr_assert(t->n > 0, "%s has no tokens", path);
    rr_arena_free(&arena);
    free(text);
}

static void open_model(struct rr_weights *w, const char *path, const char *tokenizer)
{
    struct rr_error err = {0};
    int rc = rr_weights_open(w, path, tokenizer, &err);
    cr_assert(rc == 0, "%s: [%s] %s", path, err.code, err.text);
}

/* Logits of all tokens, malloc'd: [n, n_vocab]. */
static float *all_logits(const struct rr_weights *w, const struct tokens *t, int level)
{
    struct rr_error err = {0};
    struct rr_engine e;
    struct rr_session *s = NULL;
    struct rr_want wants[256];
    const size_t n_vocab = (size_t)w->model.h.n_vocab;
    float *logits = malloc((size_t)t->n * n_vocab * sizeof *logits);
    cr_assert(logits != NULL, "no memory for %d rows of logits", t->n);
    for (int i = 0; i < t->n; i++)
        wants[i] = (struct rr_want){.offset = i, .logits = logits + (size_t)i * n_vocab};
    int node = -1, rc = rr_engine_init(&e, 2, (enum rr_cpu_level)level, &err);
    if (!rc)
        rc = rr_session_open(&s, &e, &w->model, &(struct rr_session_options){0}, &err);
    if (!rc)
        rc = rr_session_branch(s, -1, t->n, &node, &err);
    if (!rc)
        rc = rr_session_eval(s, &(struct rr_feed){node, t->ids, t->n}, 1, wants, t->n, &err);
    cr_assert(rc == 0, "%s at %s: [%s] %s", w->path, level_name(level), err.code, err.text);
    rr_session_close(s);
    rr_engine_release(&e);
    return logits;
}

struct errors {
    double max, rms;
};

/* Logits of the model at this level against a file of float32. */
static struct errors compare(const struct rr_weights *w, const struct tokens *t, int level,
                             const char *path)
{
    size_t n_bytes;
    unsigned char *bytes = read_file(path, &n_bytes);
    const size_t n = (size_t)t->n * (size_t)w->model.h.n_vocab;
    cr_assert(n_bytes == n * sizeof(float), "%s has %zu bytes; expected %zu", path, n_bytes,
              n * sizeof(float));
    float *got = all_logits(w, t, level);
    struct errors e = {0, 0};
    for (size_t i = 0; i < n; i++) {
        float v;
        memcpy(&v, bytes + i * sizeof v, sizeof v);
        const double d = fabs((double)got[i] - (double)v);
        e.max = !(d <= e.max) ? d : e.max; /* NaN counts */
        e.rms += d * d / (double)n;
    }
    e.rms = sqrt(e.rms);
    free(got);
    free(bytes);
    return e;
}

/* ---- logits ---- */

/* What we reach with room to spare, of products of floats and of integers of sixteen bits. */
static double our_limit(const struct rr_model *m, int level)
{
    struct rr_kernels k;
    rr_kernels_init(&k, (enum rr_cpu_level)level);
    return k.tiles ? 2e-3 : k.prepared[m->layers[0].wq.type] == RR_READS_16 ? 1e-2 : 1e-3;
}

Test(golden, logits_of_hugging_face_models)
{
    static const struct {
        const char *name;
        double limit; /* the specification's */
    } models[] = {{"llama2-f32", 2e-3}, {"llama2-f16", 2e-2}, {"llama3-bf16", 2e-2}};
    SKIP_WITHOUT(golden, "golden/llama2-f32/model.safetensors");
    (void)golden;
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        char dir[64];
        struct rr_weights w;
        struct tokens t;
        snprintf(dir, sizeof dir, "golden/%s", models[i].name);
        const char *path = shared_path(dir);
        cr_assert(path != NULL, "%s is missing beside the other golden models", dir);
        open_model(&w, path, NULL);
        read_tokens(&t, path_in(path, "expected.json"));
        EACH_LEVEL(level)
        {
            struct errors e = compare(&w, &t, level, path_in(path, "logits.base.f32"));
            cr_assert(e.max <= models[i].limit, "%s at %s: off by %g; the specification allows %g",
                      models[i].name, level_name(level), e.max, models[i].limit);
            cr_assert(e.max <= our_limit(&w.model, level), "%s at %s: off by %g; ours is below %g",
                      models[i].name, level_name(level), e.max, our_limit(&w.model, level));
        }
        rr_weights_close(&w);
    }
}

/* Hugging Face's folders as GGUF: rows of q and k in another order, LLaMA-3's scaling as a tensor.
 */
Test(golden, logits_of_converted_models)
{
    static const char *const models[] = {"llama2-f32", "llama2-f16", "llama3-bf16"};
    SKIP_WITHOUT(golden, "golden/llama2-f32/model.safetensors");
    (void)golden;
    const char *out = path_in(temporary_dir(), "converted.gguf");
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        char dir[64];
        struct rr_weights w, g;
        struct tokens t;
        struct rr_error err = {0};
        snprintf(dir, sizeof dir, "golden/%s", models[i]);
        const char *path = shared_path(dir);
        cr_assert(path != NULL, "%s is missing beside the other golden models", dir);
        open_model(&w, path, NULL);
        const struct rr_write_options o = {.name = models[i], .type = -1};
        cr_assert(rr_gguf_write_model(out, &w.model, NULL, &o, &err) == 0, "%s", err.text);
        open_model(&g, out, NULL);
        cr_assert(g.model.layers[0].wq.type == w.model.layers[0].wq.type &&
                      g.model.h.rope.interleaved &&
                      (i < 2) == (g.model.h.rope.freq_factors == NULL),
                  "%s: another type, order or scaling", models[i]);
        read_tokens(&t, path_in(path, "expected.json"));
        const struct errors e =
            compare(&g, &t, (int)rr_cpu_best(), path_in(path, "logits.base.f32"));
        cr_assert(e.max <= our_limit(&g.model, (int)rr_cpu_best()), "%s: off by %g", models[i],
                  e.max);
        rr_weights_close(&g);
        rr_weights_close(&w);
    }
}

/* Whether a matrix is multiplied by rows of eight bits, or by tiles. */
static bool rounds_rows(const struct rr_kernels *k, const struct rr_model *m)
{
    int any = k->prepared[m->head.type];
    for (int i = 0; i < m->h.n_layers; i++) {
        const struct rr_layer *l = &m->layers[i];
        const struct rr_tensor *all[] = {&l->wq,   &l->wk, &l->wv,  &l->wo,
                                         &l->gate, &l->up, &l->down};
        for (size_t t = 0; t < sizeof all / sizeof all[0]; t++)
            any |= k->prepared[all[t]->type];
    }
    return k->tiles ? any : any & RR_READS_8;
}

Test(golden, logits_of_gguf_types)
{
    static const struct {
        const char *name;
        double limit;
    } types[] = {{"F16", 1e-4},    {"BF16", 0.008},   {"Q8_0", 0.026},   {"Q4_0", 0.035},
                 {"Q6_K", 0.035},  {"Q4_K_M", 0.035}, {"Q4_1", 0.035},   {"Q5_0", 0.035},
                 {"Q5_1", 0.035},  {"Q2_K", 0.035},   {"Q3_K_M", 0.035}, {"Q5_K_M", 0.035},
                 {"IQ4_NL", 0.035}};
    SKIP_WITHOUT(dir, "golden/gguf");
    struct tokens t;
    read_tokens(&t, path_in(dir, "expected.json"));
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        char name[64];
        struct rr_weights w;
        snprintf(name, sizeof name, "tiny-%s.gguf", types[i].name);
        open_model(&w, path_in(dir, name), NULL);
        snprintf(name, sizeof name, "tiny-%s.logits.f32", types[i].name);
        EACH_LEVEL(level)
        {
            struct errors e = compare(&w, &t, level, path_in(dir, name));
            cr_assert(e.rms <= types[i].limit,
                      "%s at %s: RMS error %g; the specification allows %g", types[i].name,
                      level_name(level), e.rms, types[i].limit);
            struct rr_kernels k;
            rr_kernels_init(&k, (enum rr_cpu_level)level);
            cr_assert(rounds_rows(&k, &w.model) || e.rms <= 1e-4,
                      "%s at %s: RMS error %g; without products of bytes ours is below 1e-4",
                      types[i].name, level_name(level), e.rms);
        }
        rr_weights_close(&w);
    }
}

Test(golden, stories_from_bin_and_gguf_agree)
{
    SKIP_WITHOUT(dir, "models/stories260K");
    struct rr_weights bin, gguf, half;
    struct tokens t = {.n = 64};
    for (int i = 0; i < t.n; i++)
        t.ids[i] = i ? (i * 37 + 11) % 512 : 1;
    open_model(&bin, path_in(dir, "stories260K.bin"), NULL);
    open_model(&gguf, path_in(dir, "stories260K.gguf"), NULL);
    open_model(&half, path_in(dir, "stories260K.F16.gguf"), NULL);
    EACH_LEVEL(level)
    {
        float *a = all_logits(&bin, &t, level), *b = all_logits(&gguf, &t, level);
        float *c = all_logits(&half, &t, level);
        double close = 0, rough = 0;
        for (int i = 0; i < t.n * bin.model.h.n_vocab; i++) {
            close = fmax(close, fabs((double)a[i] - (double)b[i]));
            rough = fmax(rough, fabs((double)a[i] - (double)c[i]));
        }
        cr_assert(close <= 1e-5, "%s: .bin and .gguf differ by %g", level_name(level), close);
        cr_assert(rough <= 0.1 && rough > 0, "%s: .bin and .F16.gguf differ by %g",
                  level_name(level), rough);
        free(a);
        free(b);
        free(c);
    }
    rr_weights_close(&bin);
    rr_weights_close(&gguf);
    rr_weights_close(&half);
}

/* The text of 200 greedy tokens after BOS, appended to out. */
static void tell_story(struct rr_buf *out, const struct rr_weights *w, int level)
{
    enum { N = 200 };
    struct rr_error err = {0};
    struct rr_engine e;
    struct rr_session *s = NULL;
    struct rr_sampler greedy = {0};
    float *logits = malloc((size_t)w->model.h.n_vocab * sizeof *logits);
    int ids[N + 1] = {rr_tokenizer_bos(w->tokenizer)}, node = -1;
    cr_assert(logits != NULL, "no memory for logits");
    int rc = rr_engine_init(&e, 1, (enum rr_cpu_level)level, &err);
    if (!rc)
        rc = rr_session_open(&s, &e, &w->model, &(struct rr_session_options){.n_context = N}, &err);
    if (!rc)
        rc = rr_session_branch(s, -1, N, &node, &err);
    for (int i = 0; i < N && !rc; i++) {
        struct rr_want want = {.logits = logits};
        rc = rr_session_eval(s, &(struct rr_feed){node, &ids[i], 1}, 1, &want, 1, &err);
        ids[i + 1] = rr_sample(&greedy, logits, w->model.h.n_vocab, NULL);
    }
    if (!rc)
        rc = rr_tokenizer_decode(w->tokenizer, out, ids, N + 1, &err);
    cr_assert(rc == 0, "%s at %s: [%s] %s", w->path, level_name(level), err.code, err.text);
    rr_session_close(s);
    rr_engine_release(&e);
    free(logits);
}

Test(golden, stories_greedy_text)
{
    static const char *const models[][2] = {{"stories260K.bin", "tok512.bin"},
                                            {"stories260K.bin", "tok512.model"},
                                            {"stories260K.gguf", NULL}};
    SKIP_WITHOUT(dir, "models/stories260K");
    SKIP_WITHOUT(golden, "golden/stories260K-greedy-200.txt");
    size_t n;
    unsigned char *expected = read_file(golden, &n);
    cr_assert(n > 100 && expected[n - 1] == '\n', "%s ends without a newline", golden);
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        struct rr_weights w;
        open_model(&w, path_in(dir, models[i][0]),
                   models[i][1] ? path_in(dir, models[i][1]) : NULL);
        cr_assert(w.tokenizer != NULL, "%s has no tokenizer", models[i][0]);
        EACH_LEVEL(level)
        {
            struct rr_buf text = {0};
            tell_story(&text, &w, level);
            rr_buf_add(&text, "\n", 1);
            cr_assert(!text.failed && text.n == n && memcmp(text.data, expected, n) == 0,
                      "%s with %s at %s tells:\n%s", models[i][0],
                      models[i][1] ? models[i][1] : "its own", level_name(level), text.data);
            rr_buf_free(&text);
        }
        rr_weights_close(&w);
    }
    free(expected);
}

/* ---- tokenizer ---- */

static struct rr_tokenizer *open_tokenizer(const char *path)
{
    struct rr_error err = {0};
    struct rr_tokenizer *t = NULL;
    int rc = rr_weights_tokenizer(&t, path, &err);
    cr_assert(rc == 0 && t, "%s: [%s] %s", path, err.code, err.text);
    return t;
}

static void encode(const struct rr_tokenizer *t, struct rr_encoding *e, const char *text, size_t n)
{
    struct rr_error err = {0};
    int rc = rr_tokenizer_encode(t, e, text, n, &err);
    if (rc)
        cr_assert(rc == 0, "encoding %zu bytes: %s", n, err.text);
}

static bool decodes_to(const struct rr_tokenizer *t, const struct rr_encoding *e, const char *text,
                       size_t n)
{
    struct rr_buf out = {0};
    struct rr_error err = {0};
    bool same = rr_tokenizer_decode(t, &out, e->ids, e->n, &err) == 0 && out.n == n &&
                (!n || memcmp(out.data, text, n) == 0);
    rr_buf_free(&out);
    return same;
}

static bool has_bytes(const char *text, size_t n, const char *part, size_t n_part)
{
    for (size_t i = 0; i + n_part <= n; i++)
        if (memcmp(text + i, part, n_part) == 0)
            return true;
    return false;
}

/* One line of cases.jsonl. */
static void check_case(const struct rr_tokenizer *t, struct rr_encoding *e, const char *line,
                       size_t n, int number, const char *name)
{
    struct rr_arena arena = {0};
    struct rr_json *root = NULL;
    struct rr_error err = {0};
    int rc = rr_json_parse(&root, &arena, line, n, "cases.jsonl", 0, &err);
    cr_assert(rc == 0, "case %d: %s", number, err.text);
    const struct rr_json *text = rr_json_get(root, "text"), *ids = rr_json_get(root, "ids");
    cr_assert(text && ids && text->type == RR_JSON_STRING, "case %d has no text or ids", number);
    encode(t, e, text->text, text->n_text);
    size_t i = 0;
    for (const struct rr_json *v = ids->child; v; v = v->next, i++) {
        int64_t id = -1;
        bool same = rr_json_int(&id, v, 0, INT32_MAX) && i < e->n && e->ids[i] == id;
        if (!same)
            cr_assert(same, "%s, case %d '%s': token %zu is %d; expected %lld", name, number,
                      rr_show(text->text, text->n_text).s, i, i < e->n ? e->ids[i] : -1,
                      (long long)id);
    }
    if (i != e->n)
        cr_assert(i == e->n, "%s, case %d '%s': %zu tokens; expected %zu", name, number,
                  rr_show(text->text, text->n_text).s, e->n, i);
    if (!has_bytes(text->text, text->n_text, "\xE2\x96\x81", 3) &&
        !decodes_to(t, e, text->text, text->n_text))
        cr_assert(false, "%s, case %d '%s': decoding gives another text", name, number,
                  rr_show(text->text, text->n_text).s);
    rr_arena_free(&arena);
}

/* Every line of a file of cases, encoded by each of the tokenizers. */
static void check_cases(const char *cases, const char *const *files, int n_files)
{
    size_t n;
    unsigned char *lines = read_file(cases, &n);
    for (int f = 0; f < n_files; f++) {
        const char *path = shared_path(files[f]);
        cr_assert(path != NULL, "%s is missing beside the cases", files[f]);
        struct rr_tokenizer *t = open_tokenizer(path);
        struct rr_encoding e = {0};
        int number = 0;
        for (size_t from = 0, to; from < n; from = to + 1) {
            for (to = from; to < n && lines[to] != '\n'; to++)
                ;
            check_case(t, &e, (const char *)lines + from, to - from, ++number, files[f]);
        }
        cr_assert(number == 1889, "%d cases; expected 1889", number);
        rr_encoding_free(&e);
        rr_tokenizer_close(t);
    }
    free(lines);
}

Test(golden, tokenizer_cases_of_llama2)
{
    static const char *const files[] = {"golden/tokenizer/llama2/tokenizer.model",
                                        "golden/tokenizer/gguf/ggml-vocab-llama-spm.gguf",
                                        "golden/tokenizer/tinyllama/tokenizer.json"};
    SKIP_WITHOUT(cases, "golden/tokenizer/llama2/cases.jsonl");
    check_cases(cases, files, 3);
}

Test(golden, tokenizer_cases_of_llama3)
{
    static const char *const files[] = {"golden/tokenizer/llama3/tokenizer.model"};
    SKIP_WITHOUT(cases, "golden/tokenizer/llama3/cases.jsonl");
    check_cases(cases, files, 1);
}

Test(golden, tokenizer_never_yields_control_tokens)
{
    static const char *const texts[] = {
        "<s>",
        "</s>",
        "<unk>",
        " <s> </s> <unk> ",
        "<s>[INST] hello [/INST]</s>",
        "<s></s><s>",
        "\xE2\x96\x81<s>",
        "<0x0A>",
        "<pad>",
        "<|begin_of_text|>",
        "a\0<s>\0</s>",
        "\xFF<s>\xFE",
    };
    static const char *const files[] = {"golden/tokenizer/llama2/tokenizer.model",
                                        "golden/tokenizer/gguf/ggml-vocab-llama-spm.gguf",
                                        "models/stories260K/tok512.bin",
                                        "models/stories260K/tok512.model"};
    SKIP_WITHOUT(first, "golden/tokenizer/llama2/tokenizer.model");
    (void)first;
    for (size_t f = 0; f < sizeof files / sizeof files[0]; f++) {
        const char *path = shared_path(files[f]);
        cr_assert(path != NULL, "%s is missing", files[f]);
        struct rr_tokenizer *t = open_tokenizer(path);
        struct rr_encoding e = {0};
        for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
            const size_t n = i == 10 ? 10 : strlen(texts[i]);
            encode(t, &e, texts[i], n);
            cr_assert(e.n > 1, "%s: '%s' becomes %zu tokens", files[f], rr_show(texts[i], n).s,
                      e.n);
            for (size_t j = 0; j < e.n; j++) {
                const enum rr_piece_type type = rr_tokenizer_piece(t, e.ids[j])->type;
                cr_assert(type != RR_PIECE_CONTROL && type != RR_PIECE_UNKNOWN,
                          "%s: '%s' yields the special token %d", files[f], rr_show(texts[i], n).s,
                          e.ids[j]);
            }
        }
        rr_encoding_free(&e);
        rr_tokenizer_close(t);
    }
}

/* A vocabulary whose pieces all but spell the control tokens: the last merge must not happen. */
Test(golden, control_pieces_are_not_merged_into)
{
    static const char *const texts[] = {"<unk>", "<s>", "</s>", "<",  "s",   ">",  "/",
                                        "<s",    "s>",  "</",   "/s", "</s", "/s>"};
    enum { N = sizeof texts / sizeof texts[0] };
    struct rr_piece pieces[N];
    for (uint32_t i = 0; i < N; i++)
        pieces[i] = (struct rr_piece){texts[i], (uint32_t)strlen(texts[i]), -(float)i,
                                      i > 2 ? RR_PIECE_NORMAL
                                      : i   ? RR_PIECE_CONTROL
                                            : RR_PIECE_UNKNOWN};
    struct rr_vocab v = {.pieces = pieces, .n = N, .unk = 0, .bos = 1, .eos = 2};
    struct rr_tokenizer *t;
    struct rr_error err = {0};
    struct rr_encoding e = {0};
    int rc = rr_tokenizer_open(&t, &v, "vocabulary", &err);
    cr_assert(rc == 0, "[%s] %s", err.code, err.text);
    encode(t, &e, "<s></s>", 7);
    for (size_t i = 0; i < e.n; i++)
        cr_assert(e.ids[i] > 2, "token %zu of '<s></s>' is %s", i, texts[e.ids[i]]);
    cr_assert(e.n > 2 && decodes_to(t, &e, "<s></s>", 7),
              "'<s></s>' does not come back from %zu tokens", e.n);
    rr_encoding_free(&e);
    rr_tokenizer_close(t);
}

Test(golden, tokenizers_of_stories_agree)
{
    SKIP_WITHOUT(dir, "models/stories260K");
    SKIP_WITHOUT(story, "golden/stories260K-greedy-200.txt");
    struct rr_tokenizer *a = open_tokenizer(path_in(dir, "tok512.bin"));
    struct rr_tokenizer *b = open_tokenizer(path_in(dir, "tok512.model"));
    struct rr_tokenizer *c = open_tokenizer(path_in(dir, "stories260K.gguf"));
    struct rr_encoding x = {0}, y = {0}, z = {0};
    size_t n;
    unsigned char *text = read_file(story, &n);
    for (size_t from = 0; from < n; from += 7) {
        const char *s = (const char *)text + from;
        encode(a, &x, s, n - from);
        encode(b, &y, s, n - from);
        encode(c, &z, s, n - from);
        /* The .model drops extra blanks; the text has none but where a cut leaves one in front. */
        const bool drops = s[0] == ' ';
        cr_assert(drops || (x.n == y.n && memcmp(x.ids, y.ids, x.n * sizeof *x.ids) == 0),
                  "tok512.bin and tok512.model differ on the story from byte %zu", from);
        cr_assert(x.n == z.n && memcmp(x.ids, z.ids, x.n * sizeof *x.ids) == 0,
                  "tok512.bin and the GGUF's own differ on the story from byte %zu", from);
        cr_assert(decodes_to(a, &x, s, n - from), "the story from byte %zu does not come back",
                  from);
    }
    rr_encoding_free(&x);
    rr_encoding_free(&y);
    rr_encoding_free(&z);
    rr_tokenizer_close(a);
    rr_tokenizer_close(b);
    rr_tokenizer_close(c);
    free(text);
}

/* A megabyte of each: an encoder whose time grows with the square of the text would not come back.
 */
Test(golden, tokenizer_takes_long_texts)
{
    static const char *const units[] = {
        "The quick brown fox jumps over the lazy dog. ",
        "a",
        " ",
        "\n",
        "ab",
        "  x",
        "\xF0\x9F\x8E\xAC",
        "1",
        "\xFF",
        "\xE2\x96\x81",
        "=",
        "<s>",
    };
    enum { N = 1000000 };
    SKIP_WITHOUT(path, "golden/tokenizer/llama2/tokenizer.model");
    struct rr_tokenizer *t = open_tokenizer(path);
    struct rr_encoding e = {0};
    char *text = malloc(N);
    cr_assert(text != NULL, "no memory for %d bytes", (int)N);
    for (size_t u = 0; u < sizeof units / sizeof units[0]; u++) {
        const size_t len = strlen(units[u]), n = N / len * len;
        for (size_t i = 0; i < n; i++)
            text[i] = units[u][i % len];
        encode(t, &e, text, n);
        const bool kept =
            rr_utf8_valid(units[u], len, NULL) && strcmp(units[u], "\xE2\x96\x81") != 0;
        cr_assert(e.n > 0 && (!kept || decodes_to(t, &e, text, n)),
                  "%zu bytes of '%s' do not come back from %zu tokens", n, rr_show(units[u], len).s,
                  e.n);
    }
    free(text);
    rr_encoding_free(&e);
    rr_tokenizer_close(t);
}
