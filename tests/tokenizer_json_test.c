/* Byte-level tokenizers: how texts are cut into words, LLaMA-3's tokenizer.model, Hugging Face's
 * tokenizer.json of both kinds (rows T01 to T17 of the hostile-input specification, section 2.4),
 * and GGUF's gpt2 vocabularies. */
#include <stdio.h>
#include <string.h>
#include "engine/base/json.h"
#include "engine/base/utf8.h"
#include "tests/make_files.h"
#include "tests/make_model.h"
#include "tests/test.h"
#include "tokenizer/tokenizer.h"
#include "weights/weights.h"
#include "weights/write.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* ---- words ---- */

/* words: what it is cut into, with | between. */
static void check_words(enum rr_words rule, const char *words)
{
    char text[256];
    size_t cuts[64], n = 0, n_cuts = 0;
    for (const char *p = words; *p; p++)
        if (*p == '|')
            cuts[n_cuts++] = n;
        else
            text[n++] = *p;
    cuts[n_cuts++] = n;
    size_t at = 0;
    for (size_t i = 0; i < n_cuts; i++) {
        at += rr_words_next(rule, text + at, n - at);
        cr_assert(at == cuts[i], "rule %d, '%s': word %zu ends at %zu; expected %zu", (int)rule,
                  words, i, at, cuts[i]);
    }
}

Test(tokenizer_json, words_are_cut_as_the_patterns_say)
{
    static const char *const gpt2[] = {"Hello| world",
                                       " a| | b",
                                       "it|'s|'|S",
                                       "1234|abc",
                                       " 1234| ...",
                                       "a|\n\n",
                                       "a| \n| b",
                                       "\xC3\xA9t\xC3\xA9|\xE2\x80\x94|\xC2\xBD",
                                       "don|'t| we|'ll|'d|'re|'ve|'m|'|x"};
    static const char *const llama3[] = {"Hello| world",
                                         " a| | b",
                                         "it|'s|'S",
                                         "123|4|abc",
                                         " |123|4| ...",
                                         "a|\n\n",
                                         "a| \n| b",
                                         "(title| (|199|5|)\n",
                                         "_a|__|b",
                                         "\tx| \t|\ty|!\r\n\r\n|z",
                                         "don|'T| we|'LL|'d|'x",
                                         "\xE2\x80\x94\xC3\xA9|\xC2\xBD",
                                         "a|\xE3\x80\x80\xC3\xA9"};
    static const char *const digits[] = {"a| |1|2|b| c", "1|2|  |3| ...", " |4|5", "a|  | b|\n|6"};
    /* What the words above spell must not hold the sign itself; a cut at the same place twice is
     * none. */
    for (size_t i = 0; i < COUNT(gpt2); i++)
        check_words(RR_WORDS_GPT2, gpt2[i]);
    for (size_t i = 0; i < COUNT(llama3); i++)
        check_words(RR_WORDS_LLAMA3, llama3[i]);
    for (size_t i = 0; i < COUNT(digits); i++)
        check_words(RR_WORDS_DIGITS, digits[i]);
}

/* ---- files ---- */

/* The character that GPT-2 writes for a byte. */
static size_t spelling(char out[4], int byte)
{
    for (uint32_t cp = 33; cp < 400; cp++) {
        struct rr_buf b = {0};
        const size_t n = rr_utf8_encode(out, cp);
        const bool same = rr_bytelevel_text(&b, out, n) && (unsigned char)b.data[0] == byte;
        rr_buf_free(&b);
        if (same)
            return n;
    }
    cr_assert(false, "no character stands for byte %d", byte);
    return 0;
}

/* A vocabulary of the 256 bytes, then "he", " w", "hew"? no: "he", "\u0120w", and control tokens.
 */
static void byte_vocab(struct rr_buf *b)
{
    char c[4];
    for (int i = 0; i < 256; i++) {
        const size_t n = spelling(c, i);
        rr_json_add_string(b, c, n);
        rr_buf_printf(b, ":%d,", i);
    }
    rr_buf_puts(b, "\"he\":256,\"\\u0120w\":257,\"lo\":258,\"llo\":259");
}

#define ADDED                                                                                      \
    "{\"id\":260,\"content\":\"<|begin|>\",\"special\":true},"                                     \
    "{\"id\":261,\"content\":\"<|endoftext|>\",\"special\":true}"
#define BYTE_LEVEL "{\"type\":\"ByteLevel\",\"add_prefix_space\":false}"
#define TEMPLATE                                                                                   \
    "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<|begin|>\"}}]}"

struct json {
    const char *added, *normalizer, *pre_tokenizer, *post, *decoder, *model, *more, *merges;
};

/* A good byte-level file, but for the parts that are given. */
static void make_json(struct rr_buf *b, const struct json *j)
{
    rr_buf_clear(b);
    rr_buf_printf(b, "{\"version\":\"1.0\",\"added_tokens\":[%s],\"normalizer\":%s,",
                  j->added ? j->added : ADDED, j->normalizer ? j->normalizer : "null");
    rr_buf_printf(b, "\"pre_tokenizer\":%s,\"post_processor\":%s,\"decoder\":%s,\"model\":",
                  j->pre_tokenizer ? j->pre_tokenizer : BYTE_LEVEL, j->post ? j->post : TEMPLATE,
                  j->decoder ? j->decoder : "{\"type\":\"ByteLevel\"}");
    if (j->model) {
        rr_buf_printf(b, "%s}", j->model);
        return;
    }
    rr_buf_puts(b, "{\"type\":\"BPE\",\"vocab\":{");
    byte_vocab(b);
    rr_buf_printf(b, "}%s,\"merges\":%s}}", j->more ? j->more : "",
                  j->merges ? j->merges : "[\"l o\",[\"h\",\"e\"],\"\\u0120 w\",[\"l\",\"lo\"]]");
}

static int load(struct rr_tokenizer **t, const struct rr_buf *b, struct rr_error *err)
{
    char *exact = rr_alloc(b->n, 1);
    memcpy(exact, b->data, b->n);
    int rc = rr_tokenizer_from_json(t, exact, b->n, "t.json", NULL, err);
    rr_free(exact);
    return rc;
}

static void check_ids(struct rr_tokenizer *t, const char *text, const int *ids, size_t n)
{
    struct rr_encoding e = {0};
    struct rr_buf out = {0};
    struct rr_error err = {0};
    cr_assert(rr_tokenizer_encode(t, &e, text, strlen(text), &err) == 0, "%s", err.text);
    for (size_t i = 0; i < n; i++)
        cr_assert(i < e.n && e.ids[i] == ids[i], "'%s': token %zu is %d; expected %d", text, i,
                  i < e.n ? e.ids[i] : -1, ids[i]);
    cr_assert(e.n == n, "'%s': %zu tokens; expected %zu", text, e.n, n);
    cr_assert(rr_tokenizer_decode(t, &out, e.ids, e.n, &err) == 0 && out.n == strlen(text) &&
                  memcmp(out.data, text, out.n) == 0,
              "'%s' is decoded as '%s'", text, rr_show(out.data, out.n).s);
    rr_encoding_free(&e);
    rr_buf_free(&out);
}

Test(tokenizer_json, byte_level_merges_by_rank_within_words)
{
    struct rr_buf b = {0};
    struct rr_error err = {0};
    struct rr_tokenizer *t;
    make_json(&b, &(struct json){0});
    cr_assert(load(&t, &b, &err) == 0, "%s: %s", err.object, err.text);
    cr_assert(rr_tokenizer_size(t) == 262 && rr_tokenizer_bos(t) == 260 &&
                  rr_tokenizer_eos(t) == 261,
              "%d pieces, BOS %d, EOS %d", rr_tokenizer_size(t), rr_tokenizer_bos(t),
              rr_tokenizer_eos(t));
    check_ids(t, "hello w", (int[]){256, 259, 257}, 3);
    check_ids(t, "h e", (int[]){'h', ' ', 'e'}, 3);
    check_ids(t, "\xC3\xA9<|endoftext|>",
              (int[]){0xC3, 0xA9, '<', '|', 'e', 'n', 'd', 'o', 'f', 't', 'e', 'x', 't', '|', '>'},
              15);
    rr_tokenizer_close(t);
    /* Ranks: "lo" before "ll" would be; without it "llo" is never reached. */
    make_json(&b, &(struct json){.merges = "[\"l lo\",\"l o\"]"});
    cr_assert(load(&t, &b, &err) == 0, "%s: %s", err.object, err.text);
    check_ids(t, "llo", (int[]){259}, 1);
    rr_tokenizer_close(t);
    make_json(&b, &(struct json){.merges = "[\"l lo\"]"});
    cr_assert(load(&t, &b, &err) == 0, "%s: %s", err.object, err.text);
    check_ids(t, "llo", (int[]){'l', 'l', 'o'}, 3);
    rr_tokenizer_close(t);
    /* A word that is a piece, with ignore_merges. */
    make_json(&b, &(struct json){.merges = "[\"l lo\"]", .more = ",\"ignore_merges\":true"});
    cr_assert(load(&t, &b, &err) == 0, "%s: %s", err.object, err.text);
    check_ids(t, "llo", (int[]){259}, 1);
    check_ids(t, "llox", (int[]){'l', 'l', 'o', 'x'}, 4);
    rr_tokenizer_close(t);
    rr_buf_free(&b);
}

/* Blanks as U+2581: merges decide by their rank, not by the pieces' ids. */
Test(tokenizer_json, sentencepiece_kind_merges_by_rank)
{
    struct rr_buf b = {0};
    struct rr_error err = {0};
    struct rr_tokenizer *t;
    static const char *const steps[][2] = {
        {"{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"\\u2581\"},"
         "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"\\u2581\"}]}",
         "null"},
        {"null", "{\"type\":\"Metaspace\",\"replacement\":\"\\u2581\",\"prepend_scheme\":\"first\","
                 "\"split\":false}"}};
    for (size_t s = 0; s < COUNT(steps); s++)
        for (int first = 0; first < 2; first++) {
            rr_buf_clear(&b);
            rr_buf_printf(
                &b,
                "{\"added_tokens\":[{\"id\":0,\"content\":\"<unk>\",\"special\":true},"
                "{\"id\":1,\"content\":\"</s>\",\"special\":true}],\"normalizer\":%s,"
                "\"pre_tokenizer\":%s,\"model\":{\"type\":\"BPE\",\"unk_token\":\"<unk>\","
                "\"byte_fallback\":true,\"vocab\":{\"<unk>\":0,\"</s>\":1,",
                steps[s][0], steps[s][1]);
            for (int i = 0; i < 256; i++)
                rr_buf_printf(&b, "\"<0x%02X>\":%d,", (unsigned)i, i + 2);
            rr_buf_printf(&b,
                          "\"\\u2581\":258,\"a\":259,\"b\":260,\"c\":261,\"ab\":262,\"bc\":263},"
                          "\"merges\":[%s]}}",
                          first ? "\"b c\",\"a b\"" : "\"a b\",\"b c\"");
            cr_assert(load(&t, &b, &err) == 0, "%s: %s", err.object, err.text);
            cr_assert(rr_tokenizer_eos(t) == 1, "EOS is %d", rr_tokenizer_eos(t));
            if (first)
                check_ids(t, "abc", (int[]){258, 259, 263}, 3);
            else
                check_ids(t, "abc", (int[]){258, 262, 261}, 3);
            check_ids(t, "d", (int[]){258, 'd' + 2}, 2);
            rr_tokenizer_close(t);
        }
    rr_buf_free(&b);
}

Test(tokenizer_json, what_changes_tokens_is_refused_by_its_path)
{
    static const struct {
        const char *id;
        struct json json;
        const char *code, *object, *text;
        const char *at; /* what the place that is told begins with */
    } rows[] = {
        {"T04 WordPiece",
         {.model = "{\"type\":\"WordPiece\",\"vocab\":{}}"},
         "UNSUPPORTED",
         "model.type",
         "WordPiece",
         "\"WordPiece\""},
        {"T05 vocab missing",
         {.model = "{\"type\":\"BPE\",\"merges\":[]}"},
         "VOCAB",
         "model.vocab",
         "missing",
         "{\"version"},
        {"T05 vocab an array",
         {.model = "{\"type\":\"BPE\",\"vocab\":[],\"merges\":[]}"},
         "VOCAB",
         "model.vocab",
         "no object",
         "[],\"merges"},
        {"T05 merges missing",
         {.model = "{\"type\":\"BPE\",\"vocab\":{\"a\":0}}"},
         "VOCAB",
         "model.merges",
         "missing",
         "{\"version"},
        {"T06 id below 0",
         {.model = "{\"type\":\"BPE\",\"vocab\":{\"a\":-1},\"merges\":[]}"},
         "TOKEN_ID",
         "model.vocab",
         "whole number",
         "-1"},
        {"T06 id 1.5",
         {.model = "{\"type\":\"BPE\",\"vocab\":{\"a\":1.5},\"merges\":[]}"},
         "TOKEN_ID",
         "model.vocab",
         "whole number",
         "1.5"},
        {"T06 id a string",
         {.model = "{\"type\":\"BPE\",\"vocab\":{\"a\":\"0\"},\"merges\":[]}"},
         "TOKEN_ID",
         "model.vocab",
         "whole number",
         "\"0\""},
        {"T06 id 2^31",
         {.model = "{\"type\":\"BPE\",\"vocab\":{\"a\":2147483648},\"merges\":[]}"},
         "TOKEN_ID",
         "model.vocab",
         "whole number",
         "2147483648"},
        {"T08 a gap without end",
         {.model = "{\"type\":\"BPE\",\"vocab\":{\"a\":16777215},\"merges\":[]}"},
         "VOCAB",
         "model.vocab",
         "leaves out",
         "{\"a\":1677"},
        {"T07 two pieces, one id",
         {.model = "{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]}"},
         "VOCAB",
         "model.vocab",
         "'b' has the id 0",
         "0},\"merges"},
        {"T09 no blank", {.merges = "[\"lo\"]"}, "VOCAB", "model.merges[0]", "neither", "\"lo\"]"},
        {"T09 two blanks",
         {.merges = "[\"l o\",\"l  o\"]"},
         "VOCAB",
         "model.merges[1]",
         "neither",
         "\"l  o\""},
        {"T09 three parts",
         {.merges = "[[\"l\",\"o\",\"x\"]]"},
         "VOCAB",
         "model.merges[0]",
         "neither",
         "[\"l\""},
        {"T09 a number", {.merges = "[7]"}, "VOCAB", "model.merges[0]", "neither", "7]}}"},
        {"T10 unknown part",
         {.merges = "[\"l zz\"]"},
         "VOCAB",
         "model.merges[0]",
         "no piece",
         "\"l zz\""},
        {"T10 unknown result",
         {.merges = "[\"l l\"]"},
         "VOCAB",
         "model.merges[0]",
         "makes 'll'",
         "\"l l\""},
        {"T12 id taken",
         {.added = "{\"id\":97,\"content\":\"<x>\",\"special\":true}"},
         "VOCAB",
         "added_tokens[0]",
         "as 'a' has",
         "97,\"content"},
        {"T12 special a number",
         {.added = "{\"id\":300,\"content\":\"<x>\",\"special\":1}"},
         "VOCAB",
         "added_tokens[0]",
         "special",
         "{\"id\":300"},
        {"T12 empty",
         {.added = ADDED ",{\"id\":300,\"content\":\"\",\"special\":true}"},
         "VOCAB",
         "added_tokens[2]",
         "empty",
         "{\"id\":300"},
        {"added, not special",
         {.added = "{\"id\":300,\"content\":\"x\",\"special\":false}"},
         "UNSUPPORTED",
         "added_tokens[0]",
         "not supported",
         "{\"id\":300"},
        {"T15 normalizer",
         {.normalizer = "{\"type\":\"NFC\"}"},
         "UNSUPPORTED",
         "normalizer",
         "NFC",
         "\"NFC\""},
        {"T15 inside",
         {.normalizer = "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Lowercase\"}]}"},
         "UNSUPPORTED",
         "normalizer.normalizers[0]",
         "Lowercase",
         "\"Lowercase\""},
        {"T15 pre_tokenizer",
         {.pre_tokenizer = "{\"type\":\"Whitespace\"}"},
         "UNSUPPORTED",
         "pre_tokenizer",
         "Whitespace",
         "\"Whitespace\""},
        {"T15 blank sometimes",
         {.pre_tokenizer = "{\"type\":\"Metaspace\",\"replacement\":\"\\u2581\",\"split\":false,"
                           "\"prepend_scheme\":\"sometimes\"}"},
         "UNSUPPORTED",
         "pre_tokenizer",
         "'sometimes'",
         "\"sometimes\""},
        {"T15 blank first",
         {.pre_tokenizer = "{\"type\":\"ByteLevel\",\"add_prefix_space\":true}"},
         "UNSUPPORTED",
         "pre_tokenizer",
         "ByteLevel",
         "\"ByteLevel\""},
        {"T15 decoder",
         {.decoder = "{\"type\":\"WordPiece\"}"},
         "UNSUPPORTED",
         "decoder",
         "WordPiece",
         "\"WordPiece\""},
        {"T15 post-processor",
         {.post = "{\"type\":\"BertProcessing\"}"},
         "UNSUPPORTED",
         "post_processor",
         "BertProcessing",
         "\"BertProcessing\""},
        {"T16 regex",
         {.pre_tokenizer =
              "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"behavior\":"
              "\"Isolated\",\"pattern\":{\"Regex\":\"\\\\w+\"}}," BYTE_LEVEL "]}"},
         "UNSUPPORTED",
         "pre_tokenizer.pretokenizers[0]",
         "\\w+",
         "\"\\\\w+\""},
        {"neither kind",
         {.pre_tokenizer = "null"},
         "UNSUPPORTED",
         "pre_tokenizer",
         "neither",
         "null,\"post_"},
        {"dropout",
         {.more = ",\"dropout\":0.1"},
         "UNSUPPORTED",
         "model.dropout",
         "not supported",
         "0.1"},
        {"suffix",
         {.more = ",\"end_of_word_suffix\":\"</w>\""},
         "UNSUPPORTED",
         "model.end_of_word_suffix",
         "</w>",
         "\"</w>\""},
        {"BOS unknown",
         {.post = "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<no>\"}"
                  "}]}"},
         "TOKEN_ID",
         "post_processor",
         "none of",
         "\"<no>\""},
        {"T17 a key twice",
         {.more = ",\"type\":\"BPE\""},
         "JSON_DUPLICATE_KEY",
         "type",
         "twice",
         "\"BPE\",\"merges"},
        {"no byte",
         {.model = "{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"<|begin|>\":260},\"merges\":[]}"},
         "VOCAB",
         "model.vocab",
         "0x00",
         "{\"a\":0"},
        {"no character of the alphabet",
         {.model = "{\"type\":\"BPE\",\"vocab\":{\"\\u4e00\":0},\"merges\":[]}"},
         "VOCAB",
         "model.vocab: piece 0",
         "stands for no byte",
         "{\"\\u4e00"},
    };
    struct rr_buf b = {0};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct rr_error err = {0};
        struct rr_tokenizer *t;
        make_json(&b, &rows[i].json);
        const int rc = load(&t, &b, &err);
        cr_assert(rc == RR_ERR_DATA && !t, "%s: status %d", rows[i].id, rc);
        cr_assert(strcmp(err.code, rows[i].code) == 0, "%s: code %s (%s: %s)", rows[i].id, err.code,
                  err.object, err.text);
        cr_assert(strstr(err.object, rows[i].object) && strstr(err.text, rows[i].text),
                  "%s: %s: %s", rows[i].id, err.object, err.text);
        const long long at = (long long)find_bytes(&b, rows[i].at, strlen(rows[i].at));
        cr_assert(err.offset == at && err.line == 1 && err.column == at + 1,
                  "%s: byte %lld, %lld:%lld; expected byte %lld", rows[i].id, err.offset, err.line,
                  err.column, at);
    }
    /* T01, T02: a byte order mark is fine; a cut anywhere is not. */
    struct rr_error err = {0};
    struct rr_tokenizer *t;
    make_json(&b, &(struct json){0});
    struct rr_buf marked = {0};
    rr_buf_puts(&marked, "\xEF\xBB\xBF");
    rr_buf_add(&marked, b.data, b.n);
    cr_assert(load(&t, &marked, &err) == 0, "%s", err.text);
    rr_tokenizer_close(t);
    for (size_t n = 1; n < b.n; n += 37) {
        const struct rr_buf cut = {.data = b.data, .n = n};
        cr_assert(load(&t, &cut, &err) == RR_ERR_DATA && strcmp(err.code, "JSON") == 0,
                  "cut at %zu: code %s", n, err.code);
    }
    rr_buf_free(&marked);
    rr_buf_free(&b);
}

/* A tokenizer of each way of cutting words, in a GGUF file and back. */
Test(tokenizer_json, gguf_spells_byte_level_tokenizers)
{
    static const struct json files[] = {
        {0},
        {.pre_tokenizer = "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\","
                          "\"individual_digits\":true}," BYTE_LEVEL "]}"},
        {.pre_tokenizer =
             "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"behavior\":"
             "\"Isolated\",\"invert\":false,\"pattern\":{\"Regex\":\"(?i:'s|'t|'re|'ve|'m|'ll|'d)|["
             "^"
             "\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}| "
             "?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|"
             "\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"}},{\"type\":\"ByteLevel\",\"add_prefix_"
             "space\":"
             "false,\"use_regex\":false}]}",
         .more = ",\"ignore_merges\":true"}};
    static const enum rr_words rules[] = {RR_WORDS_GPT2, RR_WORDS_DIGITS, RR_WORDS_LLAMA3};
    static const struct model_shape shape = {"byte-level", 1,   32, 2,           1,    16,
                                             32,           262, 64, RR_TYPE_F32, true, true};
    const char *path = path_in(temporary_dir(), "bytes.gguf");
    struct rr_model *m = make_model(&shape, 4);
    struct rr_buf b = {0};
    for (size_t i = 0; i < COUNT(files); i++) {
        struct rr_error err = {0};
        struct rr_tokenizer *t;
        struct rr_weights w;
        struct rr_vocab v;
        char before[65], after[65];
        make_json(&b, &files[i]);
        cr_assert(load(&t, &b, &err) == 0, "%zu: %s: %s", i, err.object, err.text);
        rr_tokenizer_vocab(&v, t);
        cr_assert(v.rule == rules[i], "%zu: rule %d", i, (int)v.rule);
        const struct rr_write_options o = {.name = "bytes", .type = -1};
        cr_assert(rr_gguf_write_model(path, m, &v, &o, &err) == 0 &&
                      rr_weights_open(&w, path, NULL, &err) == 0 &&
                      rr_weights_need_tokenizer(&w, &err) == 0,
                  "%zu: %s: %s", i, err.object, err.text);
        rr_tokenizer_fingerprint(t, before);
        rr_tokenizer_fingerprint(w.tokenizer, after);
        cr_assert(strcmp(before, after) == 0, "%zu: the file has another tokenizer", i);
        check_ids(w.tokenizer, "hello w", (int[]){256, 259, 257}, 3);
        rr_weights_close(&w);
        rr_tokenizer_close(t);
    }
    free_model(m);
    rr_buf_free(&b);
}

/* The 256 bytes, "ab", "abc" and "bc". */
static void ranks(struct rr_buf *b)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (int i = 0; i < 256; i++)
        rr_buf_printf(b, "%c%c== %d\n", digits[i >> 2], digits[(i & 3) << 4], i);
    rr_buf_puts(b, "YmM= 256\nYWI= 257\nYWJj 258\n");
}

/* LLaMA-3's ranks as a list of merges: the same ids again. */
Test(tokenizer_json, ranks_become_merges)
{
    static const char *const texts[] = {"abc", "abcx", "abx bc", "cab", "bcab\xC3\xA9", "ab abc"};
    static const struct model_shape shape = {"ranks", 1,   32, 2,           1,    16,
                                             32,      515, 64, RR_TYPE_F32, true, true};
    const char *path = path_in(temporary_dir(), "ranks.gguf");
    struct rr_model *m = make_model(&shape, 4);
    struct rr_buf b = {0};
    struct rr_error err = {0};
    struct rr_encoding x = {0}, y = {0};
    struct rr_tokenizer *t;
    struct rr_vocab v;
    struct rr_weights w;
    const struct rr_write_options o = {.name = "ranks", .type = -1};
    ranks(&b);
    cr_assert(rr_tokenizer_from_tiktoken(&t, b.data, b.n, "t.model", &err) == 0, "%s", err.text);
    rr_tokenizer_vocab(&v, t);
    cr_assert(rr_gguf_write_model(path, m, &v, &o, &err) == RR_ERR_USAGE, "written without merges");
    cr_assert(rr_tokenizer_list_merges(t, &err) == 0, "%s", err.text);
    rr_tokenizer_vocab(&v, t);
    cr_assert(v.n_merges == 3 && v.merges[0][0] == 'b' && v.merges[1][0] == 'a' &&
                  v.merges[2][0] == 'a' && v.merges[2][1] == 256,
              "%zu merges", v.n_merges);
    cr_assert(rr_gguf_write_model(path, m, &v, &o, &err) == 0 &&
                  rr_weights_open(&w, path, NULL, &err) == 0 &&
                  rr_weights_need_tokenizer(&w, &err) == 0,
              "%s: %s", err.object, err.text);
    for (size_t i = 0; i < COUNT(texts); i++) {
        cr_assert(rr_tokenizer_encode(t, &x, texts[i], strlen(texts[i]), &err) == 0 &&
                      rr_tokenizer_encode(w.tokenizer, &y, texts[i], strlen(texts[i]), &err) == 0,
                  "%s", err.text);
        cr_assert(x.n == y.n && memcmp(x.ids, y.ids, x.n * sizeof *x.ids) == 0,
                  "'%s' has other tokens", texts[i]);
    }
    cr_assert(rr_tokenizer_bos(w.tokenizer) == 259 && rr_tokenizer_eos(w.tokenizer) == 260, "BOS");
    rr_encoding_free(&x);
    rr_encoding_free(&y);
    rr_weights_close(&w);
    rr_tokenizer_close(t);
    free_model(m);
    rr_buf_free(&b);
}

Test(tokenizer_json, gpt2_of_a_real_file)
{
    SKIP_WITHOUT(path, "golden/tokenizer/gguf/ggml-vocab-gpt-2.gguf");
    struct rr_tokenizer *t;
    struct rr_error err = {0};
    cr_assert(rr_weights_tokenizer(&t, path, &err) == 0, "%s: %s", err.object, err.text);
    check_ids(t, "Hello world", (int[]){15496, 995}, 2);
    check_ids(t, " the the", (int[]){262, 262}, 2);
    rr_tokenizer_close(t);
}

/* ---- LLaMA-3's ranks ---- */

Test(tokenizer_json, ranks_of_tiktoken)
{
    static const struct {
        const char *id, *line, *text;
    } rows[] = {{"no rank", "YWI=\n", "the rank"},
                {"rank no number", "YWI= x\n", "no number"},
                {"rank left out", "YWI= 260\n", "259 was expected"},
                {"rank twice", "YWI= 258\n", "259 was expected"},
                {"piece twice", "YWI= 259\n", "twice"},
                {"no base64", "Y!I= 259\n", "base64"},
                {"three digits", "YWI 259\n", "base64"},
                {"bits left", "YWJ= 259\n", "base64"},
                {"padding inside", "Y=I= 259\n", "base64"},
                {"an empty line", "\n", "the rank"}};
    struct rr_buf b = {0};
    struct rr_error err = {0};
    struct rr_tokenizer *t;
    ranks(&b);
    const size_t n = b.n;
    cr_assert(rr_tokenizer_from_tiktoken(&t, b.data, b.n, "t.model", &err) == 0, "%s", err.text);
    cr_assert(rr_tokenizer_size(t) == 259 + 256 && rr_tokenizer_bos(t) == 259 &&
                  rr_tokenizer_eos(t) == 260,
              "%d pieces, BOS %d", rr_tokenizer_size(t), rr_tokenizer_bos(t));
    static const struct {
        int id;
        const char *name;
    } names[] = {{259, "<|begin_of_text|>"},
                 {261, "<|reserved_special_token_0|>"},
                 {265, "<|start_header_id|>"},
                 {267, "<|reserved_special_token_4|>"},
                 {268, "<|eot_id|>"},
                 {269, "<|reserved_special_token_5|>"},
                 {514, "<|reserved_special_token_250|>"}};
    for (size_t i = 0; i < COUNT(names); i++) {
        const struct rr_piece *p = rr_tokenizer_piece(t, names[i].id);
        cr_assert(p->n == strlen(names[i].name) && memcmp(p->text, names[i].name, p->n) == 0 &&
                      p->type == RR_PIECE_CONTROL,
                  "token %d is '%s'", names[i].id, rr_show(p->text, p->n).s);
    }
    check_ids(t, "abc", (int[]){258}, 1); /* a whole word */
    check_ids(t, "abx", (int[]){257, 'x'}, 2);
    check_ids(t, "abcx", (int[]){258, 'x'}, 2); /* "bc" first, then "a" with it */
    rr_tokenizer_close(t);
    for (size_t i = 0; i < COUNT(rows); i++) {
        b.n = n;
        rr_buf_puts(&b, rows[i].line);
        const int rc = rr_tokenizer_from_tiktoken(&t, b.data, b.n, "t.model", &err);
        cr_assert(rc == RR_ERR_DATA && !t && strcmp(err.code, "VOCAB") == 0 &&
                      strstr(err.text, rows[i].text),
                  "%s: status %d, %s: %s", rows[i].id, rc, err.code, err.text);
        cr_assert(strstr(rows[i].text, "twice") || err.line == 260, "%s: line %lld", rows[i].id,
                  (long long)err.line);
    }
    rr_buf_free(&b);
}
