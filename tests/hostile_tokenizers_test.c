/* Rows of the hostile-input specification, sections 2.3 and 2.4, beside those of
 * tokenizer_file_test.c and tokenizer_json_test.c: what is refused at a byte, a line and a column,
 * and what loads with a warning. */
#include "tests/test.h"

#include <stdint.h>
#include <string.h>
#include "engine/base/limits.h"
#include "engine/base/status.h"
#include "tests/make_files.h"
#include "tokenizer/tokenizer.h"
#include "weights/weights.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

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

/* ---- SentencePiece ---- */

static int load_model(struct rr_tokenizer **t, const struct rr_buf *b, struct rr_error *err)
{
    char *exact = rr_alloc(b->n, 1); /* so that a sanitizer sees one byte too many */
    memcpy(exact, b->data, b->n);
    int rc = rr_tokenizer_from_sentencepiece(t, exact, b->n, "t.model", err);
    rr_free(exact);
    return rc;
}

/* <unk>, <s>, </s>, U+2581, a, b, ab. */
static void good_pieces(struct rr_buf *b)
{
    static const char *const texts[] = {"<unk>", "<s>", "</s>", "\xE2\x96\x81", "a", "b", "ab"};
    static const int types[] = {2, 3, 3, 1, 1, 1, 1};
    for (size_t i = 0; i < COUNT(texts); i++)
        proto_piece(b, texts[i], strlen(texts[i]), -(float)i, types[i]);
    proto_bytes(b, 2, "\x18\x02", 2); /* trainer_spec { model_type: BPE } */
}

/* Bytes behind the good pieces. Of a trainer's field the error is 2 bytes on: behind the tag and
 * the length of the message. */
Test(hostile_tokenizers, sentencepiece_fields)
{
    static const struct {
        const char *id, *bytes;
        size_t n;
        const char *code, *object;
        long long offset;
        const char *text;
    } rows[] = {
        {"P11 pad id as text", "\x12\x03\xDA\x02\x00", 5, "PROTOBUF", "trainer setting", 2,
         "wire type 2; expected 0"},
        {"P11 vocabulary's size as fixed32", "\x12\x05\x25\7\0\0\0", 7, "PROTOBUF",
         "trainer setting", 2, "wire type 5; expected 0"},
        {"P20 a second unknown piece", "\x0A\x05\x0A\x01x\x18\x02", 7, "VOCAB", "piece 7", 0,
         "'x' is of type UNKNOWN, as piece 0 is"},
        {"P24 unk", "\x12\x03\xC0\x02\x07", 5, "TOKEN_ID", "unk", 2,
         "the unk id is 7; the vocabulary has 0 to 6"},
        {"P24 bos", "\x12\x03\xC8\x02\x07", 5, "TOKEN_ID", "bos", 2, "the bos id is 7"},
        {"P24 eos 2^28", "\x12\x07\xD0\x02\x80\x80\x80\x80\x01", 9, "TOKEN_ID", "eos", 2,
         "the eos id is 268435456"},
        {"P24 pad", "\x12\x03\xD8\x02\x07", 5, "TOKEN_ID", "pad", 2, "the pad id is 7"},
        {"P24 pad -2", "\x12\x0C\xD8\x02\xFE\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", 14, "TOKEN_ID",
         "pad", 2, "the pad id is -2"},
        {"P25 charsmap of 1 byte", "\x1A\x03\x12\x01\1", 5, "UNSUPPORTED", "precompiled_charsmap",
         2, "1 bytes"},
        {"P26 trie of 6 bytes", "\x1A\x0C\x12\x0A\6\0\0\0\0\0\0\0\0\0", 14, "UNSUPPORTED",
         "precompiled_charsmap", 2, "10 bytes"},
        {"P27 root unit outside", "\x1A\x0A\x12\x08\4\0\0\0\0\xFC\xFF\x7F", 12, "UNSUPPORTED",
         "precompiled_charsmap", 2, "8 bytes"},
        {"P28 text without its zero", "\x1A\x0C\x12\x0A\4\0\0\0\0\0\0\0xy", 14, "UNSUPPORTED",
         "precompiled_charsmap", 2, "10 bytes"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct rr_buf b = {0};
        struct rr_error err = {0};
        struct rr_tokenizer *t;
        good_pieces(&b);
        const long long base = (long long)b.n;
        rr_buf_add(&b, rows[i].bytes, rows[i].n);
        cr_assert(load_model(&t, &b, &err) == RR_ERR_DATA && !t, "%s: loads", rows[i].id);
        check(rows[i].id, &err, rows[i].code, rows[i].object, base + rows[i].offset, rows[i].text);
        rr_buf_free(&b);
    }
}

/* P20: bytes stand for every text, but a model has an unknown piece all the same. */
Test(hostile_tokenizers, sentencepiece_without_an_unknown_piece)
{
    struct rr_buf b = {0};
    struct rr_error err = {0};
    struct rr_tokenizer *t;
    for (int i = 0; i < 256; i++) {
        char text[16];
        snprintf(text, sizeof text, "<0x%02X>", (unsigned)i);
        proto_piece(&b, text, 6, 0, 6);
    }
    proto_specs(&b, true);
    cr_assert(load_model(&t, &b, &err) == RR_ERR_DATA, "loads");
    check("P20", &err, "VOCAB", "pieces", 0, "no piece is of type UNKNOWN");
    rr_buf_free(&b);
}

/* P13: one more than there may be, of two bytes each; refused before room is made for them. */
Test(hostile_tokenizers, sentencepiece_of_too_many_pieces)
{
    const size_t n = 2 * ((size_t)RR_MAX_VOCAB + 1);
    char *bytes = rr_zalloc(n, 1);
    struct rr_error err = {0};
    struct rr_tokenizer *t;
    for (size_t i = 0; i < n; i += 2)
        bytes[i] = 0x0A;
    cr_assert(rr_tokenizer_from_sentencepiece(&t, bytes, n, "t.model", &err) == RR_ERR_DATA,
              "loads");
    check("P13", &err, "PROTOBUF", "pieces", 0, "more than 2^24");
    cr_assert(rr_tokenizer_from_sentencepiece(&t, bytes, n - 2, "t.model", &err) == RR_ERR_DATA,
              "loads");
    check("one fewer", &err, "PROTOBUF", "piece", 2, "without its text");
    rr_free(bytes);
}

/* P17, P23 */
Test(hostile_tokenizers, sentencepiece_warnings)
{
    static const struct {
        const char *id, *bytes;
        size_t n;
        const char *object; /* NULL: nothing odd */
        long long offset;   /* -1: none; else behind the good pieces */
        const char *text;
    } rows[] = {
        {"good", "", 0, NULL, 0, NULL},
        {"P17 no UTF-8", "\x0A\x04\x0A\x02\xC3(", 6, "piece 7", -1, "is not valid UTF-8"},
        {"P17 NUL", "\x0A\x05\x0A\x03x\0y", 7, NULL, 0, NULL},
        {"P23 of 8", "\x12\x02\x20\x08", 4, "vocab_size", 2, "made 8 pieces; the file has 7"},
        {"P23 of 7", "\x12\x02\x20\x07", 4, NULL, 0, NULL},
        {"P24 no pad", "\x12\x0C\xD8\x02\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", 14, NULL, 0,
         NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct rr_buf b = {0};
        struct rr_error err = {0};
        struct rr_tokenizer *t;
        good_pieces(&b);
        const long long base = (long long)b.n;
        rr_buf_add(&b, rows[i].bytes, rows[i].n);
        cr_assert(load_model(&t, &b, &err) == RR_OK, "%s: refused: %s", rows[i].id, err.text);
        const struct rr_error *odd = rr_tokenizer_warning(t);
        cr_assert((odd != NULL) == (rows[i].object != NULL), "%s: warned of '%s'", rows[i].id,
                  odd ? odd->text : "nothing");
        if (odd)
            check(rows[i].id, odd, "VOCAB", rows[i].object,
                  rows[i].offset < 0 ? -1 : base + rows[i].offset, rows[i].text);
        rr_tokenizer_close(t);
        rr_buf_free(&b);
    }
}

/* ---- tokenizer.json ---- */

#define WITH_BYTES "@" /* in a vocabulary: the 256 byte pieces, ids 1 to 256 */
#define BUT_ONE "#"    /* all but the last */
#define VOCAB "\"<unk>\":0," WITH_BYTES "\"\\u2581\":257,\"a\":258,\"b\":259,\"ab\":260"
#define META                                                                                       \
    "\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"\\u2581\",\"split\":false},"
#define HEAD "{\"added_tokens\":[{\"id\":0,\"content\":\"<unk>\",\"special\":true}]," META
#define MODEL                                                                                      \
    "\"model\":{\"type\":\"BPE\",\"unk_token\":\"<unk>\",\"byte_fallback\":true,\"vocab\":{"
#define FILE_OF(vocab, merges) HEAD MODEL vocab "},\"merges\":[" merges "]}}"

static void spell(struct rr_buf *out, const char *text)
{
    rr_buf_clear(out);
    for (const char *p = text; *p; p++) {
        const int n = *p == WITH_BYTES[0] ? 256 : *p == BUT_ONE[0] ? 255 : 0;
        if (!n)
            rr_buf_add(out, p, 1);
        for (int i = 0; i < n; i++)
            rr_buf_printf(out, "\"<0x%02X>\":%d,", (unsigned)i, i + 1);
    }
}

static int load_json(struct rr_tokenizer **t, const struct rr_buf *b, struct rr_error *err)
{
    char *exact = rr_alloc(b->n, 1);
    memcpy(exact, b->data, b->n);
    *err = (struct rr_error){0};
    int rc = rr_tokenizer_from_json(t, exact, b->n, "t.json", NULL, err);
    rr_free(exact);
    return rc;
}

/* Line and column of an offset, counted from its text alone. */
static void check_line(const char *id, const struct rr_error *err, const struct rr_buf *b,
                       long long begin)
{
    long long line = 1, column = 1;
    for (long long i = begin; i < err->offset; i++) {
        column = b->data[i] == '\n' ? 1 : column + 1;
        line += b->data[i] == '\n';
    }
    cr_assert(err->line == line && err->column == column, "%s: %lld:%lld, expected %lld:%lld", id,
              err->line, err->column, line, column);
}

Test(hostile_tokenizers, json_at_a_line_and_a_column)
{
    static const struct {
        const char *id, *json, *code, *object, *text, *at;
    } rows[] = {
        {"T01 no UTF-8", "{\n\"a\":\"\xFF\"}", "JSON", "JSON", "UTF-8", "\xFF"},
        {"T01 overlong", "{\n\"a\":\"\xC0\x80\"}", "JSON", "JSON", "UTF-8", "\xC0"},
        {"T01 a mark, then an error", "\xEF\xBB\xBF{\"added_tokens\":[],\n \"model\":7}", "VOCAB",
         "model", "no object", "7}"},
        {"T01 a mark, an error on line 1", "\xEF\xBB\xBF{\"model\":7}", "VOCAB", "model",
         "no object", "7}"},
        {"T03 depth 65",
         "{\"a\":\n[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[x",
         "JSON_DEPTH", "JSON", "deeper than 64", "[x"},
        {"T04 WordLevel", "{\"model\":{\n\"type\":\"WordLevel\",\"vocab\":{\"a\":0}}}",
         "UNSUPPORTED", "model.type", "WordLevel", "\"WordLevel"},
        {"T04, T05 Unigram", "{\"model\":{\"type\":\"Unigram\",\n\"vocab\":[[\"a\",-1.5]]}}",
         "UNSUPPORTED", "model.type", "Unigram", "\"Unigram"},
        {"T05 pairs in a BPE",
         HEAD "\n\"model\":{\"type\":\"BPE\",\"byte_fallback\":true,\"vocab\":[[\"a\",-1.5]],"
              "\"merges\":[]}}",
         "VOCAB", "model.vocab", "no object", "[[\"a\""},
        {"T07 beside the model", HEAD MODEL VOCAB ",\n\"c\":260},\"merges\":[]}}", "VOCAB",
         "model.vocab", "'c' has the id 260, as 'ab' has", "260},"},
        {"T09 a pair of numbers", FILE_OF(VOCAB, "\n[1,2]"), "VOCAB", "model.merges[0]", "neither",
         "[1,2]"},
        {"T09 a blank first", FILE_OF(VOCAB, "\" ab\""), "VOCAB", "model.merges[0]", "neither",
         "\" ab\""},
        {"T10 no such result", FILE_OF(VOCAB, "\"a b\",\n\"b a\""), "VOCAB", "model.merges[1]",
         "makes 'ba', which is no piece", "\"b a\""},
        {"T02 a comma behind", FILE_OF(VOCAB, "\"a b\",\n\"a b\" ,"), "JSON", "JSON", "JSON value",
         "]}}"},
        {"T11 twice", FILE_OF(VOCAB, "\"a b\",\n[\"a\",\"b\"]"), "VOCAB", "model.merges[1]",
         "the same two pieces as model.merges[0]", "[\"a\",\"b\"]"},
        {"T12 known under another id",
         "{\"added_tokens\":[{\"id\":0,\"content\":\"<unk>\",\"special\":true},\n{\"id\":261,"
         "\"content\":\"ab\",\"special\":true}]," META MODEL VOCAB "},\"merges\":[]}}",
         "VOCAB", "added_tokens[1]", "'ab' has the id 260 already", "261"},
        {"T12 two of one content",
         "{\"added_tokens\":[{\"id\":261,\"content\":\"<x>\",\"special\":true},{\"id\":262,"
         "\"content\":\"<x>\",\"special\":true}]," META MODEL VOCAB "},\"merges\":[]}}",
         "VOCAB", "added_tokens[1]", "'<x>' has the id 261 already", "262"},
        {"T13 no such unknown piece",
         HEAD "\"model\":{\"type\":\"BPE\",\n\"unk_token\":\"<none>\",\"byte_fallback\":true,"
              "\"vocab\":{" VOCAB "},\"merges\":[]}}",
         "TOKEN_ID", "model.unk_token", "no piece", "\"<none>\""},
        {"T13 a number for it",
         HEAD "\"model\":{\"type\":\"BPE\",\n\"unk_token\":0,\"byte_fallback\":true,"
              "\"vocab\":{" VOCAB "},\"merges\":[]}}",
         "TOKEN_ID", "model.unk_token", "no piece", "0,\"byte_f"},
        {"T13 no byte pieces", FILE_OF("\"<unk>\":0,\"a\":1", ""), "VOCAB", "model.byte_fallback",
         "not all of <0x00> to <0xFF>", "true,\"vocab"},
        {"T13 a byte piece missing", FILE_OF("\"<unk>\":0," BUT_ONE "\"a\":256", ""), "VOCAB",
         "model.byte_fallback", "not all of <0x00> to <0xFF>", "true,\"vocab"},
        {"T14 half a surrogate pair", FILE_OF(VOCAB ",\n\"\\uD800\":261", ""), "JSON", "JSON",
         "surrogates in pairs", "\\uD800"},
        {"T14 the other half", FILE_OF(VOCAB ",\n\"\\uDC00x\":261", ""), "JSON", "JSON",
         "surrogates in pairs", "\\uDC00"},
        {"T17 a piece twice", FILE_OF(VOCAB ",\n\"a\":261", ""), "JSON_DUPLICATE_KEY", "a", "twice",
         "261"},
        {"T17 by an escape", FILE_OF(VOCAB ",\n\"\\u0061\":261", ""), "JSON_DUPLICATE_KEY", "a",
         "twice", "261"},
        {"an added token of BOS's id, as a number too large",
         "{\"added_tokens\":[\n{\"id\":16777216,\"content\":\"<s>\",\"special\":true}]," META MODEL
             VOCAB "},\"merges\":[]}}",
         "TOKEN_ID", "added_tokens[0]", "whole number", "16777216"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct rr_buf b = {0};
        struct rr_error err;
        struct rr_tokenizer *t;
        spell(&b, rows[i].json);
        cr_assert(load_json(&t, &b, &err) == RR_ERR_DATA && !t, "%s: loads", rows[i].id);
        check(rows[i].id, &err, rows[i].code, rows[i].object,
              (long long)find_bytes(&b, rows[i].at, strlen(rows[i].at)), rows[i].text);
        check_line(rows[i].id, &err, &b, rows[i].json[0] == '\xEF' ? 3 : 0);
        rr_buf_free(&b);
    }
}

/* T02: the place is where the text ends, or where the last thing before it begins. */
Test(hostile_tokenizers, json_cut_at_every_byte)
{
    struct rr_buf b = {0};
    struct rr_error err;
    struct rr_tokenizer *t;
    spell(&b, HEAD "\n" MODEL VOCAB "},\n\"merges\":[\"a b\"]}}\n");
    cr_assert(load_json(&t, &b, &err) == RR_OK, "%s: %s", err.object, err.text);
    rr_tokenizer_close(t);
    for (size_t n = 1; n < b.n - 1; n++) {
        const struct rr_buf cut = {.data = b.data, .n = n};
        cr_assert(load_json(&t, &cut, &err) == RR_ERR_DATA && strcmp(err.code, "JSON") == 0,
                  "cut at %zu: code %s", n, err.code);
        cr_assert(err.offset <= (long long)n && err.offset >= (long long)n - 16,
                  "cut at %zu: offset %lld", n, err.offset);
        check_line("cut", &err, &cut, 0);
    }
    rr_buf_free(&b);
}

/* T19, and one byte more than a piece may have; then as many as it may. */
Test(hostile_tokenizers, json_with_long_pieces)
{
    static const size_t lengths[] = {1000000, 65537, 65536};
    for (size_t i = 0; i < COUNT(lengths); i++) {
        struct rr_buf b = {0};
        struct rr_error err;
        struct rr_tokenizer *t;
        spell(&b, HEAD MODEL VOCAB ",\n\"");
        for (size_t k = 0; k < lengths[i]; k++)
            rr_buf_add(&b, "x", 1);
        const long long at = (long long)b.n + 2;
        rr_buf_puts(&b, "\":261},\"merges\":[]}}");
        const int rc = load_json(&t, &b, &err);
        if (lengths[i] == 65536) {
            cr_assert(rc == RR_OK && rr_tokenizer_size(t) == 262, "65536 bytes: %s", err.text);
            rr_tokenizer_close(t);
        } else {
            cr_assert(rc == RR_ERR_DATA, "T19: loads");
            check("T19", &err, "VOCAB", "model.vocab", at, "longer than 65536 bytes");
            check_line("T19", &err, &b, 0);
        }
        rr_buf_free(&b);
    }
}

/* T08: ids that no piece has; T09: both forms; T12: a token of the model's beside it; T14: NUL. */
Test(hostile_tokenizers, json_odd_but_legal)
{
    static const struct {
        const char *id, *json;
        int n;
        const char *warning;
    } rows[] = {
        {"good", FILE_OF(VOCAB, "\"a b\""), 261, NULL},
        {"T01 a mark", "\xEF\xBB\xBF" FILE_OF(VOCAB, "\"a b\""), 261, NULL},
        {"T08 a gap", FILE_OF(VOCAB ",\"c\":264", "\"a b\""), 265, "3 of 265 ids"},
        {"T09 the other form", FILE_OF(VOCAB, "[\"a\",\"b\"]"), 261, NULL},
        {"T12 under its id",
         "{\"added_tokens\":[{\"id\":0,\"content\":\"<unk>\",\"special\":true},{\"id\":257,"
         "\"content\":\"\\u2581\",\"special\":false}]," META MODEL VOCAB "},\"merges\":[\"a b\"]}}",
         261, NULL},
        {"T14 NUL", FILE_OF(VOCAB ",\"\\u0000\":261", "\"a b\""), 262, NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct rr_buf b = {0};
        struct rr_error err;
        struct rr_tokenizer *t;
        struct rr_encoding e = {0};
        spell(&b, rows[i].json);
        cr_assert(load_json(&t, &b, &err) == RR_OK, "%s: [%s] %s: %s", rows[i].id, err.code,
                  err.object, err.text);
        cr_assert(rr_tokenizer_size(t) == rows[i].n, "%s: %d pieces", rows[i].id,
                  rr_tokenizer_size(t));
        const struct rr_error *odd = rr_tokenizer_warning(t);
        cr_assert((odd != NULL) == (rows[i].warning != NULL), "%s: warned of '%s'", rows[i].id,
                  odd ? odd->text : "nothing");
        if (odd)
            check(rows[i].id, odd, "VOCAB", "model.vocab", -1, rows[i].warning);
        cr_assert(rr_tokenizer_encode(t, &e, "ab", 2, &err) == RR_OK && e.n == 1 && e.ids[0] == 260,
                  "%s: 'ab' is %zu tokens", rows[i].id, e.n);
        rr_encoding_free(&e);
        rr_tokenizer_close(t);
        rr_buf_free(&b);
    }
}

/* ---- in a model's folder ---- */

/* T18: the model has 300 rows. */
Test(hostile_tokenizers, json_of_more_or_fewer_pieces_than_the_model)
{
    const char *dir = temporary_dir(), *path = path_in(dir, "tokenizer.json");
    struct tiny t;
    struct rr_buf b = {0};
    struct rr_weights w;
    struct rr_error err = {0};
    tiny_make(&t, &tiny_default);
    config_from_tiny(&b, &t);
    write_file(path_in(dir, "config.json"), b.data, b.n);
    safetensors_from_tiny(&b, &t, 0, t.n_tensors);
    write_file(path_in(dir, "model.safetensors"), b.data, b.n);
    for (int n = 299; n <= 301; n++) {
        char text[80];
        spell(&b, HEAD MODEL VOCAB);
        for (int i = 261; i < n; i++)
            rr_buf_printf(&b, ",\"x%d\":%d", i, i);
        rr_buf_puts(&b, "},\"merges\":[\"a b\"]}}");
        write_file(path, b.data, b.n);
        const int rc = rr_weights_open(&w, dir, NULL, &err);
        cr_assert(rc == (n > 300 ? RR_ERR_DATA : RR_OK), "%d: status %d [%s] %s", n, rc, err.code,
                  err.text);
        snprintf(text, sizeof text, "the tokenizer has %d pieces, the model 300", n);
        if (rc) {
            check("T18 more", &err, "VOCAB", "tokenizer", -1, text);
            continue;
        }
        cr_assert(w.tokenizer && w.n_warnings == (n < 300), "%d: %d warnings", n, w.n_warnings);
        if (n < 300)
            check("T18 fewer", &w.warning, "VOCAB", "tokenizer", -1, text);
        rr_weights_close(&w);
    }
    rr_buf_free(&b);
    tiny_free(&t);
}
