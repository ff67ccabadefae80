/* What tokenizer files must be refused for, and how: SentencePiece models (rows P01 to P29 of the
 * hostile-input specification, section 2.3) and llama2.c's tokenizer files; and the odd but legal
 * ones that must load. */
#include "tests/test.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "engine/base/status.h"
#include "tests/make_files.h"
#include "tokenizer/tokenizer.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static void check(const char *id, int rc, const struct rr_error *err, const char *code,
                  const char *object, long long offset, const char *text)
{
    cr_assert(rc == RR_ERR_DATA, "%s: returned %d, expected %d (%s)", id, rc, RR_ERR_DATA,
              err->text);
    cr_assert(err->status == rc, "%s: the error says status %d, the call %d", id, err->status, rc);
    cr_assert(strcmp(err->code, code) == 0, "%s: code %s, expected %s (%s: %s)", id, err->code,
              code, err->object, err->text);
    cr_assert(strstr(err->object, object) != NULL, "%s: object '%s', expected '%s'", id,
              err->object, object);
    cr_assert(strcmp(err->file, "t.model") == 0, "%s: file '%s'", id, err->file);
    cr_assert(offset < 0 || err->offset == offset, "%s: offset %lld, expected %lld", id,
              err->offset, offset);
    cr_assert(!text || strstr(err->text, text), "%s: text '%s', expected '%s' in it", id, err->text,
              text ? text : "");
}

/* Reads from a block of the exact size, so that a sanitizer sees one byte too many. */
static int load(struct rr_tokenizer **t, const void *bytes, size_t n, struct rr_error *err)
{
    char *exact = rr_alloc(n, 1);
    if (n)
        memcpy(exact, bytes, n);
    int rc = rr_tokenizer_from_sentencepiece(t, exact, n, "t.model", err);
    rr_free(exact);
    return rc;
}

/* A small good vocabulary without byte fallback: <unk>, <s>, </s>, U+2581, a, b, ab. */
static void small_pieces(struct rr_buf *b)
{
    static const struct {
        const char *text;
        int type;
    } pieces[] = {{"<unk>", 2}, {"<s>", 3}, {"</s>", 3}, {"\xE2\x96\x81", 1},
                  {"a", 1},     {"b", 1},   {"ab", 1}};
    for (size_t i = 0; i < COUNT(pieces); i++)
        proto_piece(b, pieces[i].text, strlen(pieces[i].text), -(float)i, pieces[i].type);
    proto_bytes(b, 2, "\x18\x02", 2); /* trainer_spec { model_type: BPE } */
}

/* ---- the wire: bytes after the good pieces, with the offset in them ---- */

Test(tokenizer_file, damaged_wire)
{
    static const struct {
        const char *id, *bytes;
        size_t n;
        const char *code, *object;
        long long offset; /* after the pieces */
        const char *text;
    } rows[] = {
        {"P04 varint of 11 bytes", "\x20\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", 12,
         "PROTOBUF", "varint", 1, "64 bits"},
        {"P05 tenth byte 2", "\x20\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x02", 11, "PROTOBUF",
         "varint", 1, "64 bits"},
        {"P04 tag of 11 bytes", "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", 11, "PROTOBUF",
         "varint", 0, "64 bits"},
        {"P03 varint cut off", "\x20\xFF\xFF", 3, "PROTOBUF", "varint", 1, "truncated"},
        {"P06 field 0", "\x02\x00", 2, "PROTOBUF", "field", 0, "field number"},
        {"P06 field 2^29", "\x80\x80\x80\x80\x10\x00", 6, "PROTOBUF", "field", 0, "field number"},
        {"P07 wire type 3", "\x23", 1, "PROTOBUF", "field", 0, "wire type"},
        {"P07 wire type 4", "\x24", 1, "PROTOBUF", "field", 0, "wire type"},
        {"P07 wire type 6", "\x26", 1, "PROTOBUF", "field", 0, "wire type"},
        {"P07 wire type 7", "\x27", 1, "PROTOBUF", "field", 0, "wire type"},
        {"P08 length past the end",
         "\x22\x05"
         "abcd",
         6, "TRUNCATED", "field", 0, "field 4"},
        {"P08 fixed32 past the end", "\x25\1\2\3", 4, "TRUNCATED", "field", 0, "field 4"},
        {"P08 fixed64 past the end", "\x21\1\2\3\4\5\6\7", 8, "TRUNCATED", "field", 0, "field 4"},
        {"P09 length 2^63", "\x22\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 11, "TRUNCATED",
         "field", 0, "field 4"},
        {"P09 length 2^64-1", "\x22\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", 11, "TRUNCATED",
         "field", 0, "field 4"},
        {"P10 piece past its parent",
         "\x0A\x03\x0A\x05"
         "abcdef",
         10, "TRUNCATED", "field", 2, "field 1"},
        {"P10 in the trainer",
         "\x12\x02\x0A\x7F"
         "abcdef",
         10, "TRUNCATED", "field", 2, "field 1"},
        {"P11 pieces as a number", "\x08\x01", 2, "PROTOBUF", "message", 0,
         "wire type 0; expected 2"},
        {"P11 trainer as fixed32", "\x15\1\2\3\4", 5, "PROTOBUF", "message", 0,
         "wire type 5; expected 2"},
        {"P11 text as a number", "\x0A\x02\x08\x01", 4, "PROTOBUF", "piece", 2,
         "wire type 0; expected 2"},
        {"P11 score as a number", "\x0A\x05\x0A\x01x\x10\x01", 7, "PROTOBUF", "score", 5,
         "wire type 0; expected 5"},
        {"P11 type as text", "\x0A\x05\x0A\x01x\x1A\x00", 7, "PROTOBUF", "type", 5,
         "wire type 2; expected 0"},
        {"P11 model_type as text", "\x12\x02\x1A\x00", 4, "PROTOBUF", "trainer", 2,
         "wire type 2; expected 0"},
        {"P11 add_dummy_prefix as text", "\x1A\x02\x1A\x00", 4, "PROTOBUF", "normalizer", 2,
         "wire type 2; expected 0"},
        {"P14 piece without text", "\x0A\x05\x15\0\0\0\0", 7, "PROTOBUF", "piece", 2,
         "without its text"},
        {"P14 piece without anything", "\x0A\x00", 2, "PROTOBUF", "piece", 2, "without its text"},
        {"P19 type 0", "\x0A\x05\x0A\x01x\x18\x00", 7, "VOCAB", "type", 5, "piece type 0"},
        {"P19 type 7", "\x0A\x05\x0A\x01x\x18\x07", 7, "VOCAB", "type", 5, "piece type 7"},
        {"P19 type -1", "\x0A\x0E\x0A\x01x\x18\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", 16,
         "VOCAB", "type", 5, "18446744073709551615"},
        {"P22 unigram", "\x12\x02\x18\x01", 4, "UNSUPPORTED", "model_type", 2, "model type 1"},
        {"P22 word", "\x12\x02\x18\x03", 4, "UNSUPPORTED", "model_type", 2, "model type 3"},
        {"P22 char", "\x12\x02\x18\x04", 4, "UNSUPPORTED", "model_type", 2, "model type 4"},
        {"P25 charsmap of 3 bytes", "\x1A\x05\x12\x03\1\2\3", 7, "UNSUPPORTED",
         "precompiled_charsmap", 2, "3 bytes"},
        {"P26 charsmap with a trie", "\x1A\x0A\x12\x08\xFF\xFF\xFF\xFF\0\0\0\0", 12, "UNSUPPORTED",
         "precompiled_charsmap", 2, "8 bytes"},
        {"blanks not escaped", "\x1A\x02\x28\x00", 4, "UNSUPPORTED", "escape_whitespaces", 2,
         "U+2581"},
        {"P29 zeros behind", "\0\0\0\0", 4, "PROTOBUF", "field", 0, "field number"},
        {"P29 text behind", "trailing text", 13, "PROTOBUF", "field", 0, "wire type"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct rr_buf b = {0};
        struct rr_error err = {0};
        struct rr_tokenizer *t;
        small_pieces(&b);
        const long long base = (long long)b.n;
        rr_buf_add(&b, rows[i].bytes, rows[i].n);
        int rc = load(&t, b.data, b.n, &err);
        check(rows[i].id, rc, &err, rows[i].code, rows[i].object, base + rows[i].offset,
              rows[i].text);
        cr_assert(t == NULL, "%s: a tokenizer all the same", rows[i].id);
        rr_buf_free(&b);
    }
}

/* ---- what the fields say ---- */

static void trainer_int(struct rr_buf *b, unsigned field, uint64_t v)
{
    struct rr_buf trainer = {0};
    proto_int(&trainer, 3, 2);
    proto_int(&trainer, field, v);
    proto_bytes(b, 2, trainer.data, trainer.n);
    rr_buf_free(&trainer);
}

static void duplicate(struct rr_buf *b)
{
    proto_piece(b, "ab", 2, 0, 1);
}

static void duplicate_of_other_type(struct rr_buf *b)
{
    proto_piece(b, "ab", 2, 0, 4);
}

static void empty_piece(struct rr_buf *b)
{
    proto_piece(b, "", 0, 0, 1);
}

static void empty_user_piece(struct rr_buf *b)
{
    proto_piece(b, "", 0, 0, 4);
}

static void long_piece(struct rr_buf *b)
{
    struct rr_buf text = {0};
    for (int i = 0; i < 65537; i++)
        put_u8(&text, 'x');
    proto_piece(b, text.data, text.n, 0, 1);
    rr_buf_free(&text);
}

static void nan_score(struct rr_buf *b)
{
    proto_piece(b, "x", 1, NAN, 1);
}

static void infinite_score(struct rr_buf *b)
{
    proto_piece(b, "x", 1, INFINITY, 1);
}

static void byte_negative(struct rr_buf *b)
{
    proto_piece(b, "<0x-1>", 6, 0, 6);
}

static void byte_no_hex(struct rr_buf *b)
{
    proto_piece(b, "<0xZZ>", 6, 0, 6);
}

static void byte_long(struct rr_buf *b)
{
    proto_piece(b, "<0x041>", 7, 0, 6);
}

static void byte_short(struct rr_buf *b)
{
    proto_piece(b, "<0x4>", 5, 0, 6);
}

static void byte_twice(struct rr_buf *b)
{
    proto_piece(b, "<0x41>", 6, 0, 6);
    proto_piece(b, "<0x41>", 6, 0, 6);
}

static void bytes_but_one(struct rr_buf *b)
{
    for (int i = 0; i < 255; i++) {
        char text[16];
        snprintf(text, sizeof text, "<0x%02X>", (unsigned)i);
        proto_piece(b, text, 6, 0, 6);
    }
    trainer_int(b, 35, 1);
}

static void unk_beyond(struct rr_buf *b)
{
    trainer_int(b, 40, 7);
}

static void bos_beyond(struct rr_buf *b)
{
    trainer_int(b, 41, 7);
}

static void eos_huge(struct rr_buf *b)
{
    trainer_int(b, 42, (uint64_t)1 << 32);
}

static void bos_very_negative(struct rr_buf *b)
{
    trainer_int(b, 41, (uint64_t)-2);
}

static void unk_is_control(struct rr_buf *b)
{
    trainer_int(b, 40, 1);
}

static void no_unk(struct rr_buf *b)
{
    trainer_int(b, 40, UINT64_MAX);
}

Test(tokenizer_file, damaged_vocabularies)
{
    static const struct {
        const char *id;
        void (*add)(struct rr_buf *b);
        const char *code, *object, *text;
    } rows[] = {
        {"P14 empty piece", empty_piece, "VOCAB", "piece 7", "empty"},
        {"P14 empty user piece", empty_user_piece, "VOCAB", "piece 7", "empty"},
        {"P15 piece of 65537 bytes", long_piece, "VOCAB", "piece 7", "longer than 65536"},
        {"P16 piece twice", duplicate, "VOCAB", "piece 7", "'ab' occurs twice"},
        {"P16 piece twice, other type", duplicate_of_other_type, "VOCAB", "piece 7",
         "'ab' occurs twice"},
        {"P18 NaN", nan_score, "VOCAB", "piece 7", "not finite"},
        {"P18 infinite", infinite_score, "VOCAB", "piece 7", "not finite"},
        {"P20 no unknown piece", no_unk, "VOCAB", "", "neither an unknown piece"},
        {"P20 unknown is a control piece", unk_is_control, "VOCAB", "piece 1", "not by its type"},
        {"P21 <0x-1>", byte_negative, "VOCAB", "piece 7", "'<0x-1>' is of type BYTE"},
        {"P21 <0xZZ>", byte_no_hex, "VOCAB", "piece 7", "'<0xZZ>' is of type BYTE"},
        {"P21 <0x041>", byte_long, "VOCAB", "piece 7", "is of type BYTE"},
        {"P21 <0x4>", byte_short, "VOCAB", "piece 7", "is of type BYTE"},
        {"P21 byte twice", byte_twice, "VOCAB", "piece 8", "occurs twice"},
        {"P21 a byte missing", bytes_but_one, "VOCAB", "", "<0xFF> is missing"},
        {"P24 unk", unk_beyond, "TOKEN_ID", "unk", "the unk id is 7; the vocabulary has 0 to 6"},
        {"P24 bos", bos_beyond, "TOKEN_ID", "bos", "the bos id is 7"},
        {"P24 eos 2^32", eos_huge, "TOKEN_ID", "eos", "the eos id is"},
        {"P24 bos -2", bos_very_negative, "TOKEN_ID", "bos", "the bos id is"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct rr_buf b = {0};
        struct rr_error err = {0};
        struct rr_tokenizer *t;
        small_pieces(&b);
        rows[i].add(&b);
        int rc = load(&t, b.data, b.n, &err);
        check(rows[i].id, rc, &err, rows[i].code, rows[i].object, -1, rows[i].text);
        cr_assert(t == NULL, "%s: a tokenizer all the same", rows[i].id);
        rr_buf_free(&b);
    }
}

/* P01, P12 */
Test(tokenizer_file, nothing_in_it)
{
    struct rr_error err = {0};
    struct rr_tokenizer *t;
    struct rr_buf b = {0};
    int rc = load(&t, "", 0, &err);
    check("P01", rc, &err, "TRUNCATED", "file", 0, "empty");
    proto_specs(&b, false);
    rc = load(&t, b.data, b.n, &err);
    check("P12", rc, &err, "PROTOBUF", "pieces", 0, "no pieces");
    rr_buf_free(&b);
}

/* P03: a model cut anywhere is refused, or, between two fields, loads with fewer pieces; it never
 * crashes. */
Test(tokenizer_file, cut_at_every_byte)
{
    struct tiny t;
    struct rr_buf b = {0};
    int loaded = 0, refused = 0;
    tiny_make(&t, &tiny_seed);
    sentencepiece_from_tiny(&b, &t);
    for (size_t n = 0; n < b.n; n++) {
        struct rr_error err = {0};
        struct rr_tokenizer *tok;
        int rc = load(&tok, b.data, n, &err);
        cr_assert((rc == RR_OK) == (tok != NULL), "cut at %zu: %d with%s a tokenizer", n, rc,
                  tok ? "" : "out");
        if (!rc) {
            cr_assert(rr_tokenizer_size(tok) <= t.s.vocab, "cut at %zu: %d pieces", n,
                      rr_tokenizer_size(tok));
            loaded++;
        } else {
            cr_assert(rc == RR_ERR_DATA && err.code[0] && err.text[0], "cut at %zu: %d %s", n, rc,
                      err.code);
            cr_assert(err.offset <= (long long)n, "cut at %zu: offset %lld", n, err.offset);
            refused++;
        }
        rr_tokenizer_close(tok);
    }
    cr_assert(loaded <= t.s.vocab + 1, "%d cuts loaded; there are only %d ends of fields", loaded,
              t.s.vocab + 1);
    cr_assert(refused > (int)b.n / 2, "only %d of %zu cuts were refused", refused, b.n);
    rr_buf_free(&b);
    tiny_free(&t);
}

/* ---- odd but legal ---- */

static void encode(struct rr_buf *out, const struct rr_tokenizer *t, const char *text, size_t n)
{
    struct rr_encoding e = {0};
    struct rr_error err = {0};
    int rc = rr_tokenizer_encode(t, &e, text, n, &err);
    cr_assert(rc == RR_OK, "encode: %s", err.text);
    rr_buf_clear(out);
    for (size_t i = 0; i < e.n; i++)
        rr_buf_printf(out, "%s%d", i ? " " : "", e.ids[i]);
    rr_encoding_free(&e);
}

static void nothing(struct rr_buf *b)
{
    (void)b;
}

static void unknown_fields(struct rr_buf *b)
{
    proto_int(b, 1000, 5);
    proto_bytes(b, 1001, "later", 5);
    proto_f32(b, 1002, 1);
    proto_varint(b, 1003 << 3 | 1);
    put_u64(b, 1);
    proto_bytes(b, 5, "denormalizer", 12);
}

static void nul_piece(struct rr_buf *b)
{
    proto_piece(b, "a\0b", 3, -0.5F, 1);
    proto_piece(b, "\0", 1, -0.5F, 1);
}

static void bad_utf8_piece(struct rr_buf *b)
{
    proto_piece(b, "\xC3(", 2, 0, 1);
    proto_piece(b, "\xE2\x96", 2, 0, 1);
}

static void bad_utf8_user_piece(struct rr_buf *b)
{
    proto_piece(b, "\xC3", 1, 0, 4);
}

static void longest_piece(struct rr_buf *b)
{
    struct rr_buf text = {0};
    for (int i = 0; i < 65536; i++)
        put_u8(&text, 'x');
    proto_piece(b, text.data, text.n, 0, 1);
    rr_buf_free(&text);
}

static void bytes_of_control_type(struct rr_buf *b)
{
    proto_piece(b, "<0x41>", 6, 0, 3); /* same text as a byte piece, but a control piece */
    proto_piece(b, "<s>", 3, 0, 3);    /* a control piece twice: never looked up */
}

static void no_prefix(struct rr_buf *b)
{
    struct rr_buf n = {0};
    proto_int(&n, 3, 0);
    proto_bytes(b, 3, n.data, n.n);
    rr_buf_free(&n);
}

static void no_special_ids(struct rr_buf *b)
{
    trainer_int(b, 41, UINT64_MAX);
    trainer_int(b, 42, UINT64_MAX);
}

Test(tokenizer_file, odd_but_legal)
{
    static const struct {
        const char *id;
        void (*add)(struct rr_buf *b);
        int n_pieces;
        const char *text;
        size_t n_text;
        const char *ids;
    } rows[] = {
        {"plain", nothing, 7, "ab ba", 5, "3 6 3 5 4"},
        {"unknown characters", nothing, 7, "a?\xC3\xA9", 4, "3 4 0"},
        {"unknown characters here and there", nothing, 7, "a??b ??", 7, "3 4 0 5 3 0"},
        {"unknown fields are skipped", unknown_fields, 7, "ab", 2, "3 6"},
        {"P17 piece with NUL", nul_piece, 9, "a\0b", 3, "3 4 8 5"},
        {"P17 piece that is no UTF-8", bad_utf8_piece, 9, "ab", 2, "3 6"},
        {"P17 user piece that ends inside a character", bad_utf8_user_piece, 8, "a\xC3\xA9", 3,
         "3 4 7 0"},
        {"P15 piece of 65536 bytes", longest_piece, 8, "x", 1, "3 0"},
        {"control pieces twice", bytes_of_control_type, 9, "ab", 2, "3 6"},
        {"text of a control piece", nothing, 7, "<s>", 3, "3 0"},
        {"no dummy prefix", no_prefix, 7, "ab a", 4, "6 3 4"},
        {"no BOS, no EOS", no_special_ids, 7, "a", 1, "3 4"},
        {"blanks collapse by default", nothing, 7, "  a   b ", 8, "3 4 3 5"},
        {"empty text", nothing, 7, "", 0, ""},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct rr_buf b = {0}, ids = {0};
        struct rr_error err = {0};
        struct rr_tokenizer *t;
        small_pieces(&b);
        rows[i].add(&b);
        int rc = load(&t, b.data, b.n, &err);
        cr_assert(rc == RR_OK, "%s: refused: %s %s: %s", rows[i].id, err.code, err.object,
                  err.text);
        cr_assert(rr_tokenizer_size(t) == rows[i].n_pieces, "%s: %d pieces", rows[i].id,
                  rr_tokenizer_size(t));
        encode(&ids, t, rows[i].text, rows[i].n_text);
        rr_buf_puts(&ids, "");
        cr_assert(strcmp(ids.data, rows[i].ids) == 0, "%s: ids '%s', expected '%s'", rows[i].id,
                  ids.data, rows[i].ids);
        rr_tokenizer_close(t);
        rr_buf_free(&b);
        rr_buf_free(&ids);
    }
}

/* User-defined pieces are cut out first, longest first; UNUSED pieces are taken apart again. */
Test(tokenizer_file, user_and_unused_pieces)
{
    struct rr_buf b = {0}, ids = {0};
    struct rr_error err = {0};
    struct rr_tokenizer *t;
    small_pieces(&b);
    proto_piece(&b, "[X]", 3, 0, 4);    /* 7 */
    proto_piece(&b, "[X][X]", 6, 0, 4); /* 8 */
    proto_piece(&b, "aba", 3, 5, 5);    /* 9: unused */
    proto_piece(&b,
                "\xE2\x96\x81"
                "a",
                4, -50, 1); /* 10 */
    int rc = load(&t, b.data, b.n, &err);
    cr_assert(rc == RR_OK, "refused: %s", err.text);
    static const struct {
        const char *text, *ids;
    } cases[] = {
        {"a[X]b", "10 7 5"}, {"[X][X][X]", "3 8 7"}, {"baba", "3 5 6 4"}, {"bab", "3 5 6"}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        encode(&ids, t, cases[i].text, strlen(cases[i].text));
        cr_assert(strcmp(ids.data, cases[i].ids) == 0, "%s: ids '%s', expected '%s'", cases[i].text,
                  ids.data, cases[i].ids);
        cr_assert(!strstr(ids.data, "9"), "%s: the unused piece was emitted: %s", cases[i].text,
                  ids.data);
    }
    rr_tokenizer_close(t);
    rr_buf_free(&b);
    rr_buf_free(&ids);
}

Test(tokenizer_file, decode_refuses_bad_ids)
{
    struct rr_buf b = {0}, out = {0};
    struct rr_error err = {0};
    struct rr_tokenizer *t;
    small_pieces(&b);
    int rc = load(&t, b.data, b.n, &err);
    cr_assert(rc == RR_OK, "refused: %s", err.text);
    static const int bad[] = {-1, 7, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < COUNT(bad); i++) {
        rc = rr_tokenizer_decode(t, &out, &bad[i], 1, &err);
        cr_assert(rc == RR_ERR_USAGE && strcmp(err.code, "TOKEN_ID") == 0, "id %d: %d %s", bad[i],
                  rc, err.code);
    }
    rr_buf_clear(&out);
    static const int good[] = {1, 3, 6, 3, 5, 2};
    rc = rr_tokenizer_decode(t, &out, good, COUNT(good), &err);
    cr_assert(rc == RR_OK && strcmp(out.data, "ab b") == 0, "decoded '%s'", out.data);
    rr_tokenizer_close(t);
    rr_buf_free(&b);
    rr_buf_free(&out);
}

/* ---- llama2.c ---- */

static void entry(struct rr_buf *b, const char *text, size_t n, float score)
{
    put_f32(b, score);
    put_u32(b, (uint32_t)n);
    rr_buf_add(b, text, n);
}

/* The three special pieces, then all bytes but the last `missing`. */
static void llama2c_head(struct rr_buf *b, uint32_t longest, int missing)
{
    put_u32(b, longest);
    entry(b, "<unk>", 5, 0);
    entry(b, "\n<s>\n", 5, 0);
    entry(b, "\n</s>\n", 6, 0);
    for (int i = 0; i < 256 - missing; i++) {
        char text[16];
        snprintf(text, sizeof text, "<0x%02X>", (unsigned)i);
        entry(b, text, 6, 0);
    }
}

Test(tokenizer_file, llama2c_damaged)
{
    static const struct {
        const char *id;
        uint32_t longest;
        int missing;
        const char *tail;
        size_t n_tail;
        const char *code, *object;
        long long offset; /* from the tail's first byte; NO: not tested */
        const char *text;
    } rows[] = {
        {"cut in a score", 16, 0, "\0\0", 2, "TRUNCATED", "piece", -1, "piece 259"},
        {"cut in a length", 16, 0, "\0\0\0\0\1\0", 6, "TRUNCATED", "piece", -1, "piece 259"},
        {"cut in a text", 16, 0, "\0\0\0\0\2\0\0\0a", 9, "TRUNCATED", "piece", -1, "piece 259"},
        {"longer than said", 6, 0, "\0\0\0\0\7\0\0\0aaaaaaa", 15, "VOCAB", "piece length", 4,
         "7 bytes; the file says at most 6"},
        {"length 2^32-1", UINT32_MAX, 0,
         "\0\0\0\0\xFF\xFF\xFF\xFF"
         "a",
         9, "VOCAB", "piece length", 4, "4294967295"},
        {"empty piece", 16, 0, "\0\0\0\0\0\0\0\0", 8, "VOCAB", "piece 259", -1, "empty"},
        {"NaN", 16, 0, "\0\0\xC0\x7F\1\0\0\0a", 9, "VOCAB", "piece 259", -1, "not finite"},
        {"twice", 16, 0, "\0\0\0\0\1\0\0\0a\0\0\0\0\1\0\0\0a", 18, "VOCAB", "piece 260", -1,
         "occurs twice"},
        {"a byte missing", 16, 1, "", 0, "VOCAB", "", -1, "<0xFF> is missing"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct rr_buf b = {0};
        struct rr_error err = {0};
        struct rr_tokenizer *t;
        llama2c_head(&b, rows[i].longest, rows[i].missing);
        const long long base = (long long)b.n;
        rr_buf_add(&b, rows[i].tail, rows[i].n_tail);
        int rc = rr_tokenizer_from_llama2c(&t, b.data, b.n, "t.model", &err);
        check(rows[i].id, rc, &err, rows[i].code, rows[i].object,
              rows[i].offset < 0 ? -1 : base + rows[i].offset, rows[i].text);
        cr_assert(t == NULL, "%s: a tokenizer all the same", rows[i].id);
        rr_buf_free(&b);
    }
}

Test(tokenizer_file, llama2c_cut_at_every_byte)
{
    struct rr_buf b = {0};
    llama2c_head(&b, 16, 0);
    for (size_t n = 0; n < b.n; n++) {
        struct rr_error err = {0};
        struct rr_tokenizer *t;
        char *exact = rr_alloc(n, 1);
        memcpy(exact, b.data, n);
        int rc = rr_tokenizer_from_llama2c(&t, exact, n, "t.model", &err);
        rr_free(exact);
        cr_assert(rc == RR_ERR_DATA && t == NULL, "cut at %zu: %d", n, rc);
        cr_assert(!strcmp(err.code, "TRUNCATED") || !strcmp(err.code, "VOCAB") ||
                      !strcmp(err.code, "TOKEN_ID"),
                  "cut at %zu: code %s", n, err.code);
    }
    rr_buf_free(&b);
}

/* P02 and the like: what a file is told apart by. */
Test(tokenizer_file, told_apart)
{
    static const struct {
        const char *id, *bytes;
        size_t n;
        const char *code, *object;
        long long offset, line;
        const char *text;
    } files[] = {
        {"P02 LFS", "version https://git-lfs.github.com/spec/v1\n", 43, "NOT_A_TOKENIZER", "file",
         0, 0, "git lfs pull"},
        {"P02 web page", "<!DOCTYPE html><html></html>", 28, "NOT_A_TOKENIZER", "file", 0, 0,
         "web page"},
        {"JSON", "{\"version\":\"1.0\"}", 17, "VOCAB", "model", 0, 1, "no object"},
        {"JSON with a mark", "\xEF\xBB\xBF{\"version\":\"1.0\"}", 20, "VOCAB", "model", 3, 1,
         "no object"},
        {"tiktoken", "IQ== 0\nIg== 2\n", 14, "VOCAB", "", -1, 2, "1 was expected"},
        {"P01 empty", "", 0, "TRUNCATED", "file", 0, 0, "empty"},
        {"one byte", "\x0A", 1, "PROTOBUF", "varint", 1, 0, "truncated"},
    };
    const char *dir = temporary_dir(), *path = path_in(dir, "t.model");
    struct rr_error err = {0};
    struct rr_tokenizer *t;
    struct rr_buf b = {0};
    for (size_t i = 0; i < COUNT(files); i++) {
        write_file(path, files[i].bytes, files[i].n);
        int rc = rr_tokenizer_from_file(&t, path, &err);
        cr_assert(rc == RR_ERR_DATA && t == NULL, "%s: returned %d", files[i].id, rc);
        cr_assert(strcmp(err.code, files[i].code) == 0, "%s: code %s (%s)", files[i].id, err.code,
                  err.text);
        cr_assert(strstr(err.text, files[i].text) != NULL, "%s: text '%s'", files[i].id, err.text);
        cr_assert(strcmp(err.file, path) == 0, "%s: file '%s'", files[i].id, err.file);
        cr_assert(strcmp(err.object, files[i].object) == 0 && err.offset == files[i].offset &&
                      err.line == files[i].line,
                  "%s: '%s' at byte %lld, line %lld", files[i].id, err.object, err.offset,
                  err.line);
    }
    int rc = rr_tokenizer_from_file(&t, path_in(dir, "absent"), &err);
    cr_assert(rc == RR_ERR_OPEN && strcmp(err.code, "CANNOT_OPEN") == 0, "absent: %d %s", rc,
              err.code);
    rc = rr_tokenizer_from_file(&t, dir, &err);
    cr_assert(rc == RR_ERR_OPEN && strcmp(err.code, "NOT_A_FILE") == 0, "a folder: %d %s", rc,
              err.code);
    llama2c_head(&b, 16, 0);
    write_file(path, b.data, b.n);
    rc = rr_tokenizer_from_file(&t, path, &err);
    cr_assert(rc == RR_OK && rr_tokenizer_size(t) == 259, "llama2.c: %d %s", rc, err.text);
    rr_tokenizer_close(t);
    rr_buf_clear(&b);
    small_pieces(&b);
    write_file(path, b.data, b.n);
    rc = rr_tokenizer_from_file(&t, path, &err);
    cr_assert(rc == RR_OK && rr_tokenizer_size(t) == 7, "SentencePiece: %d %s", rc, err.text);
    rr_tokenizer_close(t);
    rr_buf_free(&b);
}
