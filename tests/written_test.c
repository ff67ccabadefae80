/* What training leaves in a file beside the plain weights: blocks of Q8_0, and notes of how the
 * model was taught. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "engine/session.h"
#include "engine/train/lm.h"
#include "rec/rank/recipe.h"
#include "tests/make_files.h"
#include "tests/test.h"
#include "tokenizer/train.h"
#include "weights/write.h"

/* ---- a small network and its vocabulary ---- */

struct small {
    struct rr_arena arena;
    struct rr_vocab v;
    struct rr_lm lm;
    struct rr_layer layers[2];
    struct rr_model m;
};

static void make_small(struct small *s, int n_embd, bool tied)
{
    static const struct rr_bpe_text texts[] = {{"Item (1990)", 11, 2}, {"Other item", 10, 1}};
    struct rr_error err = {0};
    *s = (struct small){0};
    cr_assert(
        rr_bpe_train(&s->v, &s->arena, texts, 2, &(struct rr_bpe_options){.size = 280}, &err) == 0,
        "%s", err.text);
    const struct rr_hparams h = {.n_layers = 2,
                                 .n_embd = n_embd,
                                 .n_heads = 4,
                                 .n_kv_heads = 2,
                                 .head_dim = 16,
                                 .n_ff = 96,
                                 .n_vocab = (int)s->v.n,
                                 .n_context = 64,
                                 .rms_eps = 9.99999974737875163555e-06, /* a float */
                                 .rope = {.theta = 10000, .interleaved = true}};
    cr_assert(rr_lm_make(&s->lm, &h, tied, &(struct rr_lm_options){0}, 3, &err) == 0, "%s",
              err.text);
    for (size_t i = 0; i < s->lm.n_values; i++)
        s->lm.values[i] *= 3;
    rr_lm_as_model(&s->m, s->layers, &s->lm);
}

static void free_small(struct small *s)
{
    rr_lm_free(&s->lm);
    rr_arena_free(&s->arena);
}

static void logits_of(float *out, const struct rr_model *m)
{
    static const int ids[] = {1, 70, 260, 9, 99, 261};
    const struct rr_session_options so = {.n_context = 64, .n_cells = 64};
    struct rr_session *s;
    struct rr_engine e;
    struct rr_error err = {0};
    int node;
    cr_assert(rr_engine_init(&e, 1, rr_cpu_best(), &err) == 0, "%s", err.text);
    cr_assert(rr_session_open(&s, &e, m, &so, &err) == 0, "%s", err.text);
    cr_assert(rr_session_branch(s, -1, 6, &node, &err) == 0, "%s", err.text);
    const struct rr_feed feed = {node, ids, 6};
    const struct rr_want want = {.offset = 5, .logits = out};
    cr_assert(rr_session_eval(s, &feed, 1, &want, 1, &err) == 0, "%s", err.text);
    rr_session_close(s);
    rr_engine_release(&e);
}

/* ---- Q8_0 ---- */

static double half_value(const unsigned char *p)
{
    const unsigned bits = p[0] | (unsigned)p[1] << 8, exponent = bits >> 10 & 31, m = bits & 1023;
    const double v = exponent ? ldexp(1024 + m, (int)exponent - 25) : ldexp(m, -24);
    return bits >> 15 ? -v : v;
}

/* A block against its definition: a scale next to max |x| / 127 and every byte the nearest. */
static void check_block(const unsigned char *block, const float *x)
{
    double most = 0;
    for (int i = 0; i < 32; i++)
        most = fmax(most, fabs((double)x[i]));
    const double scale = most / 127, kept = half_value(block);
    cr_assert(fabs(kept - scale) <= fmax(scale * (1.0 / 2048) * 1.0001, ldexp(1, -25)),
              "scale %g; expected %g", kept, scale);
    for (int i = 0; i < 32; i++) {
        const int q = (signed char)block[2 + i];
        const double expected = kept > 0 ? (double)x[i] / scale : 0;
        cr_assert(fabs(q - expected) <= 0.5 + 1e-4 && abs(q) <= 127, "%g of scale %g is %d",
                  (double)x[i], scale, q);
    }
}

static void check_tensor(const struct rr_tensor *got, const float *w, int rows, int cols)
{
    cr_assert(got->type == RR_TYPE_Q8_0 && got->n_rows == rows && got->n_cols == cols,
              "[%d, %d] of type %d", got->n_rows, got->n_cols, (int)got->type);
    for (size_t i = 0; i < (size_t)rows * (size_t)cols / 32; i++)
        check_block((const unsigned char *)got->data + i * 34, w + i * 32);
}

Test(written, blocks_of_q8_0_are_the_nearest)
{
    for (int tied = 0; tied < 2; tied++) {
        struct small s;
        struct rr_arena arena = {0};
        struct rr_error err = {0};
        make_small(&s, 32, tied);
        /* Whole numbers of 127ths, only zeros, and less than a half can hold. */
        for (int i = 0; i < 32; i++) {
            s.lm.embed[i] = (float)(i * 8 - 127);
            s.lm.embed[32 + i] = 0;
            s.lm.embed[64 + i] = FLT_MIN / (float)(i + 1);
            s.lm.embed[96 + i] = 1e-7f * (float)i;
        }
        cr_assert(rr_quantise_model(&s.m, RR_TYPE_Q8_0, &arena, &err) == 0, "%s", err.text);
        check_tensor(&s.m.embed, s.lm.embed, s.lm.h.n_vocab, 32);
        check_tensor(&s.m.head, s.lm.head.w, s.lm.h.n_vocab, 32);
        cr_assert((s.m.head.data == s.m.embed.data) == (tied == 1), "a tied head is the embedding");
        for (int i = 0; i < 2; i++) {
            const struct rr_layer *l = &s.m.layers[i];
            const struct rr_tensor *const all[RR_LM_N] = {&l->wq,   &l->wk, &l->wv,  &l->wo,
                                                          &l->gate, &l->up, &l->down};
            for (int m = 0; m < RR_LM_N; m++) {
                const struct rr_linear *from = &s.lm.layers[i].m[m];
                check_tensor(all[m], from->w, from->n_out, from->n_in);
            }
            cr_assert(l->attn_norm == s.lm.layers[i].attn_norm, "norms stay");
        }
        const unsigned char *first = s.m.embed.data;
        for (int i = 0; i < 32; i++)
            cr_assert((signed char)first[2 + i] == i * 8 - 127, "%d of the first block", i);
        rr_arena_free(&arena);
        free_small(&s);
    }
}

Test(written, a_quantised_model_is_read_back_to_the_bit)
{
    for (int tied = 0; tied < 2; tied++) {
        struct small s;
        struct rr_arena arena = {0};
        struct rr_error err = {0};
        struct rr_weights w;
        float plain[280], a[280], b[280];
        const char *path = path_in(temporary_dir(), "q8.gguf");
        double most = 0, off = 0;
        make_small(&s, 64, tied);
        logits_of(plain, &s.m);
        cr_assert(rr_quantise_model(&s.m, RR_TYPE_Q8_0, &arena, &err) == 0, "%s", err.text);
        cr_assert(rr_gguf_write_model(path, &s.m, &s.v,
                                      &(struct rr_write_options){.name = "small", .type = -1},
                                      &err) == 0,
                  "%s", err.text);
        cr_assert(rr_weights_open(&w, path, NULL, &err) == 0, "%s", err.text);
        cr_assert(w.model.embed.type == RR_TYPE_Q8_0 && w.model.tied == s.m.tied &&
                      w.model.h.rms_eps == s.m.h.rms_eps,
                  "another model");
        logits_of(a, &s.m);
        logits_of(b, &w.model);
        cr_assert(memcmp(a, b, s.v.n * sizeof *a) == 0, "the file gives other logits");
        for (size_t i = 0; i < s.v.n; i++) {
            most = fmax(most, fabs((double)plain[i]));
            off = fmax(off, fabs((double)plain[i] - (double)a[i]));
        }
        /* The weights' own error, and where the machine multiplies in integers that of x. */
        cr_assert(off > 0 && off < 0.12 * most, "off by %g of %g", off, most);
        rr_weights_close(&w);
        rr_arena_free(&arena);
        free_small(&s);
    }
}

/* By the formulas of ggml's reference, worked out by hand. */
Test(written, blocks_are_rounded_as_the_reference_does)
{
    float x[RR_QK] = {0};
    struct rr_block_q8_0 q8;
    struct rr_block_q4_0 q4;
    x[0] = -127;
    x[1] = 0.5f;
    x[2] = -2.5f;
    x[3] = 2.4f;
    cr_assert(rr_store_row(&q8, RR_TYPE_Q8_0, x, RR_QK) && q8.d == rr_f32_to_f16(1), "scale %04x",
              q8.d);
    cr_assert(q8.q[0] == -127 && q8.q[1] == 1 && q8.q[2] == -3 && q8.q[3] == 2 && q8.q[4] == 0,
              "%d %d %d %d", q8.q[0], q8.q[1], q8.q[2], q8.q[3]);
    x[0] = -8; /* scale 1: -8 becomes 0, 8 is one too many */
    x[1] = 7.4f;
    x[2] = 8;
    x[16] = -0.6f;
    cr_assert(rr_store_row(&q4, RR_TYPE_Q4_0, x, RR_QK) && q4.d == rr_f32_to_f16(1), "scale %04x",
              q4.d);
    cr_assert(q4.q[0] == (0 | 7 << 4) && q4.q[1] == (15 | 8 << 4) && q4.q[2] == (15 | 8 << 4),
              "%02x %02x %02x", q4.q[0], q4.q[1], q4.q[2]);
    x[0] = 8; /* the first of two with the largest magnitude: scale -1 */
    cr_assert(rr_store_row(&q4, RR_TYPE_Q4_0, x, RR_QK) && q4.d == rr_f32_to_f16(-1), "scale %04x",
              q4.d);
    cr_assert((q4.q[0] & 15) == 0 && (q4.q[1] & 15) == 1, "%02x %02x", q4.q[0], q4.q[1]);
    const float zeros[RR_QK] = {0}, odd[4] = {1.00390625f, -1.01171875f, 1e-40f, 3e38f};
    cr_assert(rr_store_row(&q4, RR_TYPE_Q4_0, zeros, RR_QK) && q4.q[3] == 0x88 && !(q4.d & 0x7FFF),
              "zeros: %02x, scale %04x", q4.q[3], q4.d);
    uint16_t half[4];
    cr_assert(rr_store_row(half, RR_TYPE_BF16, odd, 4) && half[0] == 0x3F80 && half[1] == 0xBF82 &&
                  half[3] == 0x7F62,
              "bfloat16 %04x %04x %04x", half[0], half[1], half[3]);
    static const enum rr_type types[] = {RR_TYPE_F32, RR_TYPE_F16, RR_TYPE_BF16, RR_TYPE_Q8_0,
                                         RR_TYPE_Q4_0};
    float bad[RR_QK] = {0}, out[RR_QK];
    for (size_t t = 0; t < sizeof types / sizeof types[0]; t++)
        for (int i = 0; i < 3; i++) {
            bad[5] = i == 0 ? NAN : i == 1 ? -INFINITY : 3.4e38f;
            cr_assert(rr_store_row(out, types[t], bad, RR_QK) ==
                          (i == 2 && types[t] == RR_TYPE_F32),
                      "%s takes %g", rr_type_info(types[t])->name, (double)bad[5]);
        }
}

Test(written, what_cannot_be_rounded_is_refused)
{
    struct small s;
    struct rr_arena arena = {0};
    struct rr_error err = {0};
    make_small(&s, 48, true);
    cr_assert(rr_quantise_model(&s.m, RR_TYPE_Q8_0, &arena, &err) == RR_ERR_USAGE &&
                  strcmp(err.code, "UNSUPPORTED") == 0 && strstr(err.text, "rows of 48"),
              "%d [%s] %s", err.status, err.code, err.text);
    free_small(&s);
    make_small(&s, 64, true);
    cr_assert(rr_quantise_model(&s.m, RR_TYPE_Q4_0, &arena, &err) == RR_ERR_USAGE, "%d",
              err.status);
    cr_assert(rr_quantise_model(&s.m, RR_TYPE_Q8_0, &arena, &err) == 0, "%s", err.text);
    cr_assert(rr_quantise_model(&s.m, RR_TYPE_Q8_0, &arena, &err) == RR_ERR_USAGE &&
                  strcmp(err.code, "UNSUPPORTED") == 0,
              "rounded twice: %d", err.status);
    static const float bad[] = {NAN, INFINITY, 9e6f};
    for (int i = 0; i < 3; i++) {
        rr_lm_as_model(&s.m, s.layers, &s.lm);
        s.lm.layers[1].m[RR_LM_DOWN].w[100] = bad[i];
        cr_assert(rr_quantise_model(&s.m, RR_TYPE_Q8_0, &arena, &err) == RR_ERR_DATA &&
                      strcmp(err.code, "OVERFLOW") == 0,
                  "%g: %d [%s]", (double)bad[i], err.status, err.code);
    }
    rr_arena_free(&arena);
    free_small(&s);
}

/* ---- notes ---- */

static void write_notes(const char *path, const struct rr_note *notes, size_t n)
{
    struct small s;
    struct rr_error err = {0};
    make_small(&s, 32, true);
    cr_assert(rr_gguf_write_model(path, &s.m, &s.v,
                                  &(struct rr_write_options){
                                      .name = "small", .notes = notes, .n_notes = n, .type = -1},
                                  &err) == 0,
              "%s", err.text);
    free_small(&s);
}

Test(written, notes_are_read_back)
{
    static const struct rr_note notes[] = {
        {"history", "12"}, {"anything", "a \"text\"\nof l\xC3\xADnes"}, {"empty", ""}};
    struct rr_weights w;
    struct rr_error err = {0};
    const char *path = path_in(temporary_dir(), "noted.gguf");
    write_notes(path, notes, 3);
    cr_assert(rr_weights_open(&w, path, NULL, &err) == 0, "%s", err.text);
    cr_assert(w.n_notes == 3, "%zu notes", w.n_notes);
    for (int i = 0; i < 3; i++) {
        const char *v = rr_weights_note(&w, notes[i].key);
        cr_assert(v && strcmp(v, notes[i].value) == 0, "%s is '%s'", notes[i].key, v ? v : "none");
    }
    cr_assert(!rr_weights_note(&w, "none") && !rr_weights_note(&w, "recrank.history") &&
                  !rr_weights_note(&w, ""),
              "a note that was not written");
    rr_weights_close(&w);
}

/* Readers have their own idea of what a file says that says nothing. */
Test(written, no_end_of_text_stays_none)
{
    struct rr_weights w;
    struct rr_error err = {0};
    struct small s;
    const char *path = path_in(temporary_dir(), "endless.gguf");
    make_small(&s, 32, true);
    const char *end = s.v.pieces[2].text;
    s.v.eos = -1;
    s.v.pieces[2].type = RR_PIECE_NORMAL;
    cr_assert(rr_gguf_write_model(path, &s.m, &s.v,
                                  &(struct rr_write_options){.name = "small", .type = -1},
                                  &err) == 0,
              "%s", err.text);
    cr_assert(rr_weights_open(&w, path, NULL, &err) == 0 && w.tokenizer, "%s", err.text);
    cr_assert(rr_tokenizer_eos(w.tokenizer) == -1, "EOS is %d, '%s'", rr_tokenizer_eos(w.tokenizer),
              end);
    rr_weights_close(&w);
    free_small(&s);
}

/* A file that does not say whether texts begin with BOS: those of LLaMA-3 do, those of GPT-2's kind
 * do not. */
Test(written, whether_bos_when_nothing_is_said)
{
    static const enum rr_words rules[] = {RR_WORDS_LLAMA3, RR_WORDS_GPT2, RR_WORDS_DIGITS};
    static struct rr_piece pieces[257];
    static char bytes[256];
    static const int no_merges[1][2];
    const char *path = path_in(temporary_dir(), "bos.gguf"), *key = "tokenizer.ggml.add_bos_token";
    struct small s;
    make_small(&s, 32, true);
    for (int i = 0; i < 256; i++) {
        bytes[i] = (char)i;
        pieces[i] = (struct rr_piece){.text = &bytes[i], .n = 1, .type = RR_PIECE_NORMAL};
    }
    pieces[256] = (struct rr_piece){.text = "<|begin|>", .n = 9, .type = RR_PIECE_CONTROL};
    for (size_t i = 0; i < 2 * sizeof rules / sizeof rules[0]; i++) {
        const bool said = i % 2 == 0;
        const struct rr_vocab v = {.pieces = pieces,
                                   .n = 257,
                                   .merges = no_merges,
                                   .whole_words = i < 2,
                                   .unk = -1,
                                   .bos = 256,
                                   .eos = -1,
                                   .rule = rules[i / 2]};
        struct rr_weights w;
        struct rr_error err = {0};
        struct rr_buf b = {0};
        size_t n;
        cr_assert(rr_gguf_write_model(path, &s.m, &v,
                                      &(struct rr_write_options){.name = "x", .type = -1},
                                      &err) == 0,
                  "%s", err.text);
        unsigned char *file = read_file(path, &n);
        rr_buf_add(&b, (const char *)file, n);
        if (!said)
            b.data[find_bytes(&b, key, strlen(key)) + strlen(key) - 1] = 'm'; /* another key */
        write_file(path, b.data, b.n);
        cr_assert(rr_weights_open(&w, path, NULL, &err) == 0 && w.tokenizer, "%s %s", err.text,
                  w.tokenizer_error.text);
        cr_assert(rr_tokenizer_bos(w.tokenizer) == (said || i < 2 ? 256 : -1), "%zu: BOS is %d", i,
                  rr_tokenizer_bos(w.tokenizer));
        rr_weights_close(&w);
        rr_buf_free(&b);
        free(file);
    }
    free_small(&s);
}

Test(written, a_recipe_comes_back)
{
    struct rr_note notes[RR_RECIPE_NOTES];
    struct rr_recipe_text numbers;
    struct rr_recipe recipe;
    struct rr_weights w;
    struct rr_error err = {0};
    const char *texts[RR_N_TASKS] = {[RR_PAIRWISE] = rr_template_text(RR_PAIRWISE)};
    struct rr_ranker_options o = {.style = {.max_liked = 7, .max_rated = 7}, .n_titles = 30};
    const char *path = path_in(temporary_dir(), "recipe.gguf");
    const size_t n = rr_recipe_notes(notes, &numbers, texts, &o);
    cr_assert(n == 3, "%zu notes", n);
    write_notes(path, notes, n);
    cr_assert(rr_weights_open(&w, path, NULL, &err) == 0, "%s", err.text);
    cr_assert(rr_recipe_read(&recipe, &w, &err) == 0, "%s", err.text);
    cr_assert(recipe.history == 7 && recipe.titles == 30 && recipe.has[RR_PAIRWISE] &&
                  !recipe.has[RR_POINTWISE] && !recipe.has[RR_LISTWISE],
              "history %d, titles %d", recipe.history, recipe.titles);
    /* It fills what is not said, and nothing else. */
    struct rr_ranker_options said = {.style = {.max_liked = 3}}, none = {0};
    rr_recipe_apply(&recipe, &said);
    rr_recipe_apply(&recipe, &none);
    cr_assert(said.style.max_liked == 3 && said.style.max_rated == 7 && said.n_titles == 30 &&
                  none.style.max_liked == 7 &&
                  none.style.templates[RR_PAIRWISE] == &recipe.templates[RR_PAIRWISE] &&
                  !none.style.templates[RR_LISTWISE],
              "%d %d %d %d", said.style.max_liked, said.style.max_rated, said.n_titles,
              none.style.max_liked);
    rr_recipe_free(&recipe);
    rr_weights_close(&w);
    o = (struct rr_ranker_options){0};
    texts[RR_PAIRWISE] = NULL;
    cr_assert(rr_recipe_notes(notes, &numbers, texts, &o) == 0, "notes of nothing");
}

Test(written, damaged_notes_are_refused_by_key)
{
    static const struct {
        struct rr_note note;
        const char *code, *names;
    } bad[] = {{{"history", "-1"}, "NOTE", "history"},
               {{"history", "0"}, "NOTE", "history"},
               {{"history", ""}, "NOTE", "history"},
               {{"history", "12 titles"}, "NOTE", "history"},
               {{"history", "1e3"}, "NOTE", "history"},
               {{"history", "100001"}, "NOTE", "history"},
               {{"titles", "99999999999999999999"}, "NOTE", "titles"},
               {{"titles", "\xFF"}, "NOTE", "titles"},
               {{"wording.pointwise", ""}, "EMPTY", "wording.pointwise"},
               {{"wording.pointwise", "no sections"}, "TEMPLATE", "wording.pointwise"},
               {{"wording.pairwise", "{first} {unknown}"}, "TEMPLATE", "wording.pairwise"},
               {{"wording.listwise", "{"}, "TEMPLATE", "wording.listwise"}};
    const char *path = path_in(temporary_dir(), "bad.gguf");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct rr_weights w;
        struct rr_recipe recipe;
        struct rr_error err = {0};
        write_notes(path, &bad[i].note, 1);
        cr_assert(rr_weights_open(&w, path, NULL, &err) == 0, "%s", err.text);
        cr_assert(rr_recipe_read(&recipe, &w, &err) == RR_ERR_DATA &&
                      strcmp(err.code, bad[i].code) == 0 && strstr(err.object, bad[i].names) &&
                      strcmp(err.file, path) == 0,
                  "%s '%s': %d [%s] %s", bad[i].note.key, bad[i].note.value, err.status, err.code,
                  err.object);
        rr_recipe_free(&recipe);
        rr_weights_close(&w);
    }
}

/* Notes of another type, or cut by a zero, are no texts. */
Test(written, notes_that_are_no_texts_are_refused)
{
    struct tiny t;
    tiny_make(&t, &tiny_default);
    for (int i = 0; i < 2; i++) {
        struct gguf_file g;
        struct rr_buf b = {0}, value = {0};
        struct rr_weights w;
        struct rr_error err = {0};
        const char *path = path_in(temporary_dir(), "typed.gguf");
        gguf_from_tiny(&g, &t);
        put_string(&value, "1\0002", 3);
        if (i)
            gguf_set(&g, "recrank.history", 8, value.data, value.n);
        else
            gguf_set_u32(&g, "recrank.history", 12);
        gguf_write(&b, &g);
        write_file(path, b.data, b.n);
        cr_assert(rr_weights_open(&w, path, NULL, &err) == RR_ERR_DATA && err.code[0] &&
                      strcmp(err.object, "recrank.history") == 0,
                  "%d: %d [%s] %s", i, err.status, err.code, err.object);
        gguf_file_free(&g);
        rr_buf_free(&b);
        rr_buf_free(&value);
    }
    tiny_free(&t);
}
