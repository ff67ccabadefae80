/* What GGUF files must be refused for, and how: each row damages a good file in one place and names
 * the error code, the object and the byte offset it must be refused with. Row numbers are those of
 * the hostile-input specification, section 2.1. */
#include "tests/test.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "engine/base/status.h"
#include "tests/make_files.h"
#include "weights/gguf.h"
#include "weights/weights.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* The place a row patches and the place an error must point at: delta bytes from the start or the
 * end of the first occurrence of the anchor text, which is a key or a tensor's name. After a key:
 * type +0, value +4 (arrays: element type +4, count +8). After a matrix's name: dimensions' count
 * +0, dimensions +4 and +12, type +20, offset +24. */
enum side { FILE_START, TEXT_START, TEXT_END, NO_OFFSET };

struct patch_row {
    const char *id, *anchor;
    enum side side;
    int delta, width;
    uint64_t value;
    const char *code, *object;
    enum side error_side;
    int error_delta;
    const char *text; /* part of the message, or NULL */
};

#define KEY "general.name"
#define ARRAY "tokenizer.ggml.scores"
#define FLAG "tokenizer.ggml.add_space_prefix"
#define ALIGN "general.alignment"
#define MATRIX "blk.0.attn_q.weight"
#define HUGE_NUMBER 18446744073709551615u

static const struct patch_row patch_rows[] = {
    {"G04 version 0", NULL, FILE_START, 4, 4, 0, "VERSION", "version", FILE_START, 4, "version 0"},
    {"G04 version 1", NULL, FILE_START, 4, 4, 1, "VERSION", "version", FILE_START, 4, "version 1"},
    {"G04 version 2^31", NULL, FILE_START, 4, 4, (uint64_t)1 << 31, "VERSION", "version",
     FILE_START, 4, "version 2147483648"},
    {"G04 version 4", NULL, FILE_START, 4, 4, 4, "VERSION", "version", FILE_START, 4, "version 4"},
    {"G05 big-endian", NULL, FILE_START, 4, 4, 0x03000000, "BYTE_ORDER", "version", FILE_START, 4,
     "big-endian"},
    {"G06 tensors 2^64-1", NULL, FILE_START, 8, 8, HUGE_NUMBER, "COUNT", "n_tensors", FILE_START, 8,
     "bytes each"},
    {"G07 tensors wrap malloc", NULL, FILE_START, 8, 8, HUGE_NUMBER / sizeof(struct rr_stored) + 1,
     "COUNT", "n_tensors", FILE_START, 8, "bytes each"},
    {"G08 keys 2^64-1", NULL, FILE_START, 16, 8, HUGE_NUMBER, "COUNT", "n_kv", FILE_START, 16,
     "bytes each"},
    {"G08 keys 2^60", NULL, FILE_START, 16, 8, (uint64_t)1 << 60, "COUNT", "n_kv", FILE_START, 16,
     "bytes each"},
    {"G10 key length 2^64-1", KEY, TEXT_START, -8, 8, HUGE_NUMBER, "STRING_RANGE", "key",
     TEXT_START, -8, NULL},
    {"G11 key length 2^40", KEY, TEXT_START, -8, 8, (uint64_t)1 << 40, "STRING_RANGE", "key",
     TEXT_START, -8, NULL},
    {"G12 key with BEL", KEY, TEXT_START, 2, 1, 7, "KEY", "key", TEXT_START, -8, "ge\\x07eral"},
    {"G12 key with NUL", KEY, TEXT_START, 2, 1, 0, "KEY", "key", TEXT_START, -8, "ge\\x00eral"},
    {"G14 value type 13", KEY, TEXT_END, 0, 4, 13, "VALUE_TYPE", KEY, TEXT_END, 0, "13"},
    {"G14 value type 255", KEY, TEXT_END, 0, 4, 255, "VALUE_TYPE", KEY, TEXT_END, 0, "255"},
    {"G15 string 2^64-1", KEY, TEXT_END, 4, 8, HUGE_NUMBER, "STRING_RANGE", KEY, TEXT_END, 4,
     "18446744073709551615"},
    {"G15 string 2^62", KEY, TEXT_END, 4, 8, (uint64_t)1 << 62, "STRING_RANGE", KEY, TEXT_END, 4,
     NULL},
    {"G16 bool 2", FLAG, TEXT_END, 4, 1, 2, "BOOL", FLAG, TEXT_END, 4, "byte 2"},
    {"G17 array 2^64-1", ARRAY, TEXT_END, 8, 8, HUGE_NUMBER, "ARRAY_RANGE", ARRAY, TEXT_END, 8,
     "18446744073709551615"},
    {"G18 array wraps", ARRAY, TEXT_END, 8, 8, ((uint64_t)1 << 62) + 1, "ARRAY_RANGE", ARRAY,
     TEXT_END, 8, NULL},
    {"G19 nested array", ARRAY, TEXT_END, 4, 4, 9, "NESTED_ARRAY", ARRAY, TEXT_END, 4, NULL},
    {"G20 element type 99", ARRAY, TEXT_END, 4, 4, 99, "VALUE_TYPE", ARRAY, TEXT_END, 4, "99"},
    {"G21 alignment 0", ALIGN, TEXT_END, 4, 4, 0, "ALIGNMENT", ALIGN, TEXT_END, 4, "power of two"},
    {"G21 alignment 13", ALIGN, TEXT_END, 4, 4, 13, "ALIGNMENT", ALIGN, TEXT_END, 4, "13"},
    {"G21 alignment 2^31", ALIGN, TEXT_END, 4, 4, 0x80000000, "ALIGNMENT", ALIGN, TEXT_END, 4,
     NULL},
    {"G21 alignment 2^20", ALIGN, TEXT_END, 4, 4, 1 << 20, "ALIGNMENT", ALIGN, TEXT_END, 4, NULL},
    {"G21 alignment as i32", ALIGN, TEXT_END, 0, 4, 5, "ALIGNMENT", ALIGN, TEXT_END, 4, "i32"},
    {"G22 0 dimensions", MATRIX, TEXT_END, 0, 4, 0, "N_DIMS", MATRIX, TEXT_END, 0, NULL},
    {"G22 5 dimensions", MATRIX, TEXT_END, 0, 4, 5, "N_DIMS", MATRIX, TEXT_END, 0, NULL},
    {"G22 2^32-1 dimensions", MATRIX, TEXT_END, 0, 4, UINT32_MAX, "N_DIMS", MATRIX, TEXT_END, 0,
     NULL},
    {"G23 dimension 0", MATRIX, TEXT_END, 4, 8, 0, "DIM", MATRIX, TEXT_END, 4, NULL},
    {"G23 second dimension 0", MATRIX, TEXT_END, 12, 8, 0, "DIM", MATRIX, TEXT_END, 12, NULL},
    {"G23 negative dimension", MATRIX, TEXT_END, 4, 8, (uint64_t)1 << 63, "DIM", MATRIX, TEXT_END,
     4, NULL},
    {"G26 rounding up wraps", MATRIX, TEXT_END, 4, 8, SIZE_MAX / 4, "DIM_OVERFLOW", MATRIX,
     TEXT_END, 4, NULL},
    {"G27 type 4", MATRIX, TEXT_END, 20, 4, 4, "TENSOR_TYPE", MATRIX, TEXT_END, 20, "Q4_2"},
    {"G27 type 5", MATRIX, TEXT_END, 20, 4, 5, "TENSOR_TYPE", MATRIX, TEXT_END, 20, "Q4_3"},
    {"G27 type 31", MATRIX, TEXT_END, 20, 4, 31, "TENSOR_TYPE", MATRIX, TEXT_END, 20, "Q4_0_4_4"},
    {"G27 type 32", MATRIX, TEXT_END, 20, 4, 32, "TENSOR_TYPE", MATRIX, TEXT_END, 20, "Q4_0_4_8"},
    {"G27 type 33", MATRIX, TEXT_END, 20, 4, 33, "TENSOR_TYPE", MATRIX, TEXT_END, 20, "Q4_0_8_8"},
    {"G27 type 36", MATRIX, TEXT_END, 20, 4, 36, "TENSOR_TYPE", MATRIX, TEXT_END, 20, "IQ4_NL_4_4"},
    {"G27 type 37", MATRIX, TEXT_END, 20, 4, 37, "TENSOR_TYPE", MATRIX, TEXT_END, 20, "IQ4_NL_4_8"},
    {"G27 type 38", MATRIX, TEXT_END, 20, 4, 38, "TENSOR_TYPE", MATRIX, TEXT_END, 20, "IQ4_NL_8_8"},
    {"G27 type 255", MATRIX, TEXT_END, 20, 4, 255, "TENSOR_TYPE", MATRIX, TEXT_END, 20, "255"},
    {"G27 type -1", MATRIX, TEXT_END, 20, 4, UINT32_MAX, "TENSOR_TYPE", MATRIX, TEXT_END, 20,
     "4294967295"},
    {"G28 row of 32 as Q6_K", MATRIX, TEXT_END, 20, 4, 14, "BLOCK", MATRIX, TEXT_END, 20, "256"},
    {"G29 unaligned offset", MATRIX, TEXT_END, 24, 8, 1, "OFFSET_ALIGN", MATRIX, TEXT_END, 24,
     "alignment 32"},
    {"G30 offset 2^40", MATRIX, TEXT_END, 24, 8, (uint64_t)1 << 40, "TENSOR_RANGE", MATRIX,
     TEXT_START, -8, "1099511627776"},
    {"G30 offset 2^64-32", MATRIX, TEXT_END, 24, 8, HUGE_NUMBER - 31, "TENSOR_RANGE", MATRIX,
     TEXT_START, -8, "4096"},
    {"G33 name with NUL", MATRIX, TEXT_START, 4, 1, 0, "NAME", "tensor name", TEXT_START, -8,
     "blk.\\x00.attn"},
    {"G33 name with newline", MATRIX, TEXT_START, 4, 1, '\n', "NAME", "tensor name", TEXT_START, -8,
     "blk.\\x0A.attn"},
    {"G33 name length 2^63", MATRIX, TEXT_START, -8, 8, (uint64_t)1 << 63, "STRING_RANGE",
     "tensor name", TEXT_START, -8, NULL},
};

static size_t place(const struct rr_buf *b, const char *anchor, enum side side, int delta)
{
    size_t at = side == FILE_START ? 0 : find_bytes(b, anchor, strlen(anchor));
    at += side == TEXT_END ? strlen(anchor) : 0;
    return (size_t)((long long)at + delta);
}

static void check(const char *id, int rc, const struct rr_error *err, const char *code,
                  const char *object, const char *text)
{
    cr_assert(rc == RR_ERR_DATA, "%s: returned %d, expected %d (%s)", id, rc, RR_ERR_DATA,
              err->text);
    cr_assert(err->status == rc, "%s: the error says status %d, the call %d", id, err->status, rc);
    cr_assert(strcmp(err->code, code) == 0, "%s: code %s, expected %s (%s: %s)", id, err->code,
              code, err->object, err->text);
    cr_assert(strstr(err->object, object) != NULL, "%s: object '%s', expected '%s'", id,
              err->object, object);
    cr_assert(strstr(err->file, "t.gguf") != NULL, "%s: file '%s'", id, err->file);
    cr_assert(!text || strstr(err->text, text), "%s: text '%s', expected '%s' in it", id, err->text,
              text ? text : "");
}

static void check_bytes(const char *id, const struct rr_buf *b, const char *code,
                        const char *object, long long offset, const char *text)
{
    struct rr_gguf g;
    struct rr_error err = {0};
    int rc = rr_gguf_parse(&g, b->data, b->n, "t.gguf", &err);
    check(id, rc, &err, code, object, text);
    cr_assert(offset < 0 || err.offset == offset, "%s: offset %lld, expected %lld", id, err.offset,
              offset);
}

static void tiny_gguf(struct gguf_file *g)
{
    struct tiny t;
    tiny_make(&t, &tiny_default);
    gguf_from_tiny(g, &t);
    tiny_free(&t);
}

Test(gguf, damaged_fields)
{
    struct gguf_file g;
    struct rr_buf good = {0}, b = {0};
    tiny_gguf(&g);
    gguf_write(&good, &g);
    for (size_t i = 0; i < COUNT(patch_rows); i++) {
        const struct patch_row *row = &patch_rows[i];
        rr_buf_clear(&b);
        rr_buf_add(&b, good.data, good.n);
        patch(&b, place(&good, row->anchor, row->side, row->delta), row->width, row->value);
        long long offset = -1;
        if (row->error_side != NO_OFFSET)
            offset = (long long)place(&good, row->anchor, row->error_side, row->error_delta);
        check_bytes(row->id, &b, row->code, row->object, offset, row->text);
    }
    rr_buf_free(&good);
    rr_buf_free(&b);
    gguf_file_free(&g);
}

/* G01, G02, G03 */
Test(gguf, not_a_gguf_file)
{
    static const struct {
        const char *id, *bytes;
        size_t n;
        const char *code, *object;
        long long offset;
        const char *text;
    } rows[] = {
        {"G01 empty", "", 0, "TRUNCATED", "magic", 0, "0 bytes"},
        {"G02 magic only", "GGUF", 4, "TRUNCATED", "header", 4, "24 bytes"},
        {"G02 half a header", "GGUF\3\0\0\0\1\0\0\0", 12, "TRUNCATED", "header", 4, "24 bytes"},
        {"G03 GGML", "lmgg\1\0\0\0", 8, "NOT_GGUF", "magic", 0, "old GGML file"},
        {"G03 GGJT", "tjgg\1\0\0\0", 8, "NOT_GGUF", "magic", 0, "old GGML file"},
        {"G03 zip", "PK\3\4\0\0\0\0", 8, "NOT_GGUF", "magic", 0, "zip archive"},
        {"G03 web page", "<!DOCTYPE html>", 15, "NOT_GGUF", "magic", 0, "web page"},
        {"G03 LFS", "version https://git-lfs.github.com/spec/v1\n", 43, "NOT_GGUF", "magic", 0,
         "git lfs pull"},
        {"G03 other", "\xFF\xFE\0\0zzzz", 8, "NOT_GGUF", "magic", 0, "\\xFF\\xFE\\x00\\x00"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct rr_buf b = {0};
        rr_buf_add(&b, rows[i].bytes, rows[i].n);
        check_bytes(rows[i].id, &b, rows[i].code, rows[i].object, rows[i].offset, rows[i].text);
        rr_buf_free(&b);
    }
}

/* Whatever is cut off, the file is refused with an offset inside it (G02, G34). */
Test(gguf, cut_at_every_byte)
{
    struct tiny t;
    struct gguf_file g;
    struct rr_buf b = {0};
    tiny_make(&t, &tiny_seed);
    gguf_from_tiny(&g, &t);
    gguf_write(&b, &g);
    for (size_t n = 0; n < b.n; n++) {
        struct rr_gguf parsed;
        struct rr_error err = {0};
        char *exact = rr_alloc(n, 1); /* of this size, so that a sanitizer sees one byte too many */
        memcpy(exact, b.data, n);
        int rc = rr_gguf_parse(&parsed, exact, n, "t.gguf", &err);
        rr_free(exact);
        cr_assert(rc == RR_ERR_DATA, "cut at %zu of %zu: returned %d", n, b.n, rc);
        cr_assert(err.code[0] && err.object[0] && err.text[0],
                  "cut at %zu: an error without code, object or text", n);
        cr_assert(err.offset >= 0 && err.offset <= (long long)b.n, "cut at %zu: offset %lld", n,
                  err.offset);
    }
    rr_buf_free(&b);
    gguf_file_free(&g);
    tiny_free(&t);
}

/* The last tensor is a matrix; what comes behind its entry is padded to the alignment. */
static size_t data_begin(const struct rr_buf *b)
{
    const char *last = "\x0d\0\0\0\0\0\0\0output.weight";
    return (find_bytes(b, last, 21) + 21 + 4 + 16 + 4 + 8 + 31) / 32 * 32;
}

/* Where the entry of a tensor begins: with the length of its name. */
static long long entry_of(const struct rr_buf *b, const char *name)
{
    return (long long)find_bytes(b, name, strlen(name)) - 8;
}

/* G34: the tensor that lost bytes is named, with how many there should be. */
Test(gguf, truncated_data)
{
    struct gguf_file g;
    struct rr_buf b = {0};
    tiny_gguf(&g);
    gguf_write(&b, &g);
    const size_t whole = b.n, info_end = find_bytes(&b, "output_norm.weight", 18) + 18 + 77;
    b.n = whole - 1;
    check_bytes("G34 one byte short", &b, "TRUNCATED", "output.weight",
                (long long)find_bytes(&b, "\x0d\0\0\0\0\0\0\0output.weight", 21), "+ 38400 bytes");
    b.n = whole / 2;
    check_bytes("G34 half", &b, "TRUNCATED", "blk.0.ffn_up.weight",
                entry_of(&b, "blk.0.ffn_up.weight"), "+ 8192 bytes > data size");
    b.n = info_end;
    check_bytes("G34 no data section", &b, "TRUNCATED", "token_embd.weight",
                entry_of(&b, "token_embd.weight"), "+ 38400 bytes > data size 0");
    rr_buf_free(&b);
    gguf_file_free(&g);
}

/* ---- changes that need another layout: made on the builder, then parsed ---- */

static void rename_key(struct gguf_file *g, const char *name, size_t n)
{
    struct gguf_kv *kv = &g->kvs[1];
    rr_free(kv->key);
    kv->key = rr_zalloc(n + 1, 1);
    kv->n_key = n;
    for (size_t i = 0; i < n; i++)
        kv->key[i] = name ? name[i] : 'x';
}

static void rename_tensor(struct gguf_tensor *t, const char *name, size_t n)
{
    rr_free(t->name);
    t->name = rr_zalloc(n + 1, 1);
    t->n_name = n;
    for (size_t i = 0; i < n; i++)
        t->name[i] = name ? name[i] : 'x';
}

static void empty_key(struct gguf_file *g)
{
    rename_key(g, "", 0);
}

static void long_key(struct gguf_file *g)
{
    rename_key(g, NULL, 65536);
}

static void deep_array(struct gguf_file *g)
{
    struct rr_buf b = {0};
    for (int i = 0; i < 100000; i++) {
        put_u32(&b, 9);
        put_u64(&b, 1);
    }
    gguf_set(g, "deep", 9, b.data, b.n);
    rr_buf_free(&b);
}

static void wrapping_dims(struct gguf_file *g)
{
    struct gguf_tensor *t = gguf_tensor(g, MATRIX);
    t->dims[0] = t->dims[1] = (uint64_t)1 << 32;
}

static void almost_wrapping_dims(struct gguf_file *g)
{
    struct gguf_tensor *t = gguf_tensor(g, MATRIX);
    t->type = 24;
    t->dims[0] = INT64_MAX;
    t->dims[1] = 2;
}

static void odd_row(struct gguf_file *g)
{
    struct gguf_tensor *t = gguf_tensor(g, MATRIX);
    t->type = 8;
    t->dims[0] = 33;
}

static void long_name(struct gguf_file *g)
{
    rename_tensor(gguf_tensor(g, MATRIX), NULL, 64);
}

static void longer_name(struct gguf_file *g)
{
    rename_tensor(gguf_tensor(g, MATRIX), NULL, 1 << 20);
}

static void empty_name(struct gguf_file *g)
{
    rename_tensor(gguf_tensor(g, MATRIX), "", 0);
}

static void same_name(struct gguf_file *g)
{
    rename_tensor(gguf_tensor(g, MATRIX), "blk.0.attn_k.weight", 19);
}

Test(gguf, damaged_layouts)
{
    static const struct {
        const char *id;
        void (*change)(struct gguf_file *g);
        const char *code, *object, *anchor;
        enum side side;
        int delta;
        const char *text;
    } rows[] = {
        {"G12 empty key", empty_key, "KEY", "key", "general.architecture", TEXT_END, 4 + 8 + 5,
         "0 bytes"},
        {"G12 key of 65536", long_key, "KEY", "key", "general.architecture", TEXT_END, 4 + 8 + 5,
         "65536 bytes"},
        {"G19 depth 100000", deep_array, "NESTED_ARRAY", "deep", "deep", TEXT_END, 4, NULL},
        {"G24 dimensions wrap", wrapping_dims, "DIM_OVERFLOW", MATRIX, MATRIX, TEXT_END, 12, NULL},
        {"G25 2^63-1 x 2", almost_wrapping_dims, "DIM_OVERFLOW", MATRIX, MATRIX, TEXT_END, 4, NULL},
        {"G28 row of 33", odd_row, "BLOCK", MATRIX, MATRIX, TEXT_END, 20, "rows of 33"},
        {"G33 name of 64", long_name, "NAME", "tensor name", "blk.0.attn_k.weight", TEXT_START,
         -8 - 32 - 64 - 8, "64 bytes"},
        {"G33 name of 1 MiB", longer_name, "NAME", "tensor name", "blk.0.attn_k.weight", TEXT_START,
         -8 - 32 - (1 << 20) - 8, "1048576 bytes"},
        {"G33 empty name", empty_name, "NAME", "tensor name", "blk.0.attn_k.weight", TEXT_START,
         -8 - 32 - 8, "0 bytes"},
        {"G33 same name twice", same_name, "NAME", "blk.0.attn_k.weight", "blk.0.attn_k.weight",
         TEXT_END, 4 + 16 + 4 + 8, "two tensors"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct gguf_file g;
        struct rr_buf b = {0};
        tiny_gguf(&g);
        rows[i].change(&g);
        gguf_write(&b, &g);
        long long offset = -1;
        if (rows[i].side != NO_OFFSET)
            offset = (long long)place(&b, rows[i].anchor, rows[i].side, rows[i].delta);
        check_bytes(rows[i].id, &b, rows[i].code, rows[i].object, offset, rows[i].text);
        rr_buf_free(&b);
        gguf_file_free(&g);
    }
}

/* G13: both places are told. */
Test(gguf, duplicate_key)
{
    struct gguf_file g;
    struct rr_buf b = {0};
    char both[64];
    tiny_gguf(&g);
    gguf_set_string(&g, "general.name2", "other");
    g.kvs[g.n_kvs - 1].n_key = 12; /* now "general.name" as well */
    gguf_write(&b, &g);
    const size_t first = find_bytes(&b, "general.name", 12) + 12 + 4;
    const size_t second = find_bytes(&b, "\5\0\0\0\0\0\0\0other", 13);
    snprintf(both, sizeof both, "byte %zu already", first);
    check_bytes("G13", &b, "KEY_DUP", "general.name", (long long)second, both);
    rr_buf_free(&b);
    gguf_file_free(&g);
}

/* G09: one tensor more than there are; what follows is padding, no name. */
Test(gguf, one_tensor_too_many)
{
    struct gguf_file g;
    struct rr_buf b = {0};
    tiny_gguf(&g);
    gguf_write(&b, &g);
    patch(&b, 8, 8, g.n_tensors + 1);
    const size_t info_end = find_bytes(&b, "output_norm.weight", 18) + 18 + 77;
    check_bytes("G09", &b, "NAME", "tensor name", (long long)info_end, "0 bytes");
    rr_buf_free(&b);
    gguf_file_free(&g);
}

/* G31 */
Test(gguf, overlap)
{
    struct gguf_file g;
    struct rr_buf b = {0};
    tiny_gguf(&g);
    gguf_write(&b, &g);
    const size_t q = find_bytes(&b, MATRIX, strlen(MATRIX)) + strlen(MATRIX) + 24;
    const size_t k = find_bytes(&b, "blk.0.attn_k.weight", 19) + 19 + 24;
    const size_t data = data_begin(&b);
    uint64_t q_offset = 0;
    for (int i = 7; i >= 0; i--)
        q_offset = q_offset << 8 | (unsigned char)b.data[q + (size_t)i];
    patch(&b, k, 8, q_offset + 32);
    check_bytes("G31 inside another", &b, "OVERLAP", "blk.0.attn_k.weight",
                (long long)(data + q_offset + 32), "inside tensor 'blk.0.attn_q.weight'");
    patch(&b, k, 8, q_offset);
    check_bytes("G31 at the same place", &b, "OVERLAP", "blk.0.attn_k.weight",
                (long long)(data + q_offset), "inside tensor 'blk.0.attn_q.weight'");
    rr_buf_free(&b);
    gguf_file_free(&g);
}

/* ---- what the keys mean: through rr_weights_open ---- */

static void check_model(const char *id, const struct gguf_file *g, const char *dir,
                        const char *code, const char *object, const char *text,
                        const char *offset_of)
{
    struct rr_buf b = {0};
    struct rr_weights w;
    struct rr_error err = {0};
    const char *path = path_in(dir, "t.gguf");
    gguf_write(&b, g);
    write_file(path, b.data, b.n);
    int rc = rr_weights_open(&w, path, NULL, &err);
    if (rc == 0) {
        /* A damaged tokenizer does not keep logits and inspect from working: it is told when it is
         * needed. */
        rc = rr_weights_need_tokenizer(&w, &err);
        rr_weights_close(&w);
    }
    check(id, rc, &err, code, object, text);
    if (offset_of) {
        long long offset = (long long)place(&b, offset_of, TEXT_END, 4);
        cr_assert(err.offset == offset, "%s: offset %lld, expected %lld", id, err.offset, offset);
    }
    rr_buf_free(&b);
}

enum op { DROP, U32, I32, F32, TEXT };

#define A "llama.attention."
#define T "tokenizer.ggml."

static const struct {
    const char *id, *key;
    enum op op;
    double number;
    const char *string, *code, *object, *text;
    bool offset; /* the error must point at the key's value */
} model_rows[] = {
    {"G36 missing", "general.architecture", DROP, 0, NULL, "ARCH", "general.architecture",
     "missing", false},
    {"G36 mamba", "general.architecture", TEXT, 0, "mamba", "ARCH", "general.architecture", "mamba",
     true},
    {"G36 no string", "general.architecture", U32, 1, NULL, "ARCH", "general.architecture",
     "string", true},
    {"G37 no layers key", "llama.block_count", DROP, 0, NULL, "HPARAM", "llama.block_count",
     "missing", false},
    {"G37 no heads key", A "head_count", DROP, 0, NULL, "HPARAM", "head_count", "missing", false},
    {"G37 no epsilon", A "layer_norm_rms_epsilon", DROP, 0, NULL, "HPARAM", "rms_eps", NULL, false},
    {"G37 heads 0", A "head_count", U32, 0, NULL, "HPARAM", "head_count", "expected 1", true},
    {"G37 kv heads 0", A "head_count_kv", U32, 0, NULL, "HPARAM", "head_count_kv", "expected 1",
     true},
    {"G37 kv heads > heads", A "head_count_kv", U32, 8, NULL, "HPARAM", "n_kv_heads", "8", true},
    {"G37 kv heads no divisor", A "head_count_kv", U32, 3, NULL, "HPARAM", "n_kv_heads", "3", true},
    {"G37 heads no divisor", A "head_count", U32, 5, NULL, "HPARAM", "head_count", "5 heads", true},
    {"G37 layers 0", "llama.block_count", U32, 0, NULL, "HPARAM", "block_count", "expected 1",
     true},
    {"G37 layers 2^31-1", "llama.block_count", U32, 2147483647, NULL, "HPARAM", "n_layers", "1024",
     true},
    {"G37 layers -5", "llama.block_count", I32, -5, NULL, "HPARAM", "block_count", "-5", true},
    {"G37 context 0", "llama.context_length", U32, 0, NULL, "HPARAM", "context_length",
     "expected 1", true},
    {"G37 context 2^31-1", "llama.context_length", U32, 2147483647, NULL, "HPARAM", "n_context",
     "4194304", true},
    {"G37 ffn 0", "llama.feed_forward_length", U32, 0, NULL, "HPARAM", "feed_forward_length",
     "expected 1", true},
    {"G37 embd 2^31-1", "llama.embedding_length", U32, 2147483647, NULL, "HPARAM", "head_count",
     "2147483647", false},
    {"G37 embd 2^31-4", "llama.embedding_length", U32, 2147483644, NULL, "HPARAM", "n_embd",
     "1048576", true},
    {"G37 embd 2^32-1", "llama.embedding_length", U32, 4294967295, NULL, "HPARAM",
     "embedding_length", "4294967295", true},
    {"G37 odd head", A "key_length", U32, 7, NULL, "HPARAM", "head_dim", "even", true},
    {"G38 layers as text", "llama.block_count", TEXT, 0, "32", "HPARAM_TYPE", "llama.block_count",
     "string", true},
    {"G38 layers as float", "llama.block_count", F32, 2, NULL, "HPARAM_TYPE", "llama.block_count",
     "f32", true},
    {"G38 epsilon as int", A "layer_norm_rms_epsilon", U32, 1, NULL, "HPARAM_TYPE", "rms_epsilon",
     "u32", true},
    {"G38 prefix as int", T "add_space_prefix", U32, 1, NULL, "HPARAM_TYPE", "add_space_prefix",
     "u32", true},
    {"G39 epsilon NaN", A "layer_norm_rms_epsilon", F32, NAN, NULL, "HPARAM", "rms_eps", "nan",
     true},
    {"G39 epsilon 0", A "layer_norm_rms_epsilon", F32, 0, NULL, "HPARAM", "rms_eps", NULL, true},
    {"G39 epsilon -1", A "layer_norm_rms_epsilon", F32, -1, NULL, "HPARAM", "rms_eps", "-1", true},
    {"G39 epsilon 2", A "layer_norm_rms_epsilon", F32, 2, NULL, "HPARAM", "rms_eps", "2", true},
    {"G39 theta 0", "llama.rope.freq_base", F32, 0, NULL, "HPARAM", "rope theta", NULL, true},
    {"G39 theta -1", "llama.rope.freq_base", F32, -1, NULL, "HPARAM", "rope theta", "-1", true},
    {"G39 theta inf", "llama.rope.freq_base", F32, INFINITY, NULL, "HPARAM", "rope theta", "inf",
     true},
    {"G39 theta NaN", "llama.rope.freq_base", F32, NAN, NULL, "HPARAM", "rope theta", "nan", true},
    {"G39 scale 0", "llama.rope.scaling.type", TEXT, 0, "linear", "HPARAM", "rope scaling factor",
     NULL, false},
    {"G39 scale NaN", "llama.rope.scaling.factor", F32, NAN, NULL, "HPARAM", "rope scaling factor",
     "nan", true},
    {"rope type unknown", "llama.rope.scaling.type", TEXT, 0, "yarn", "UNSUPPORTED",
     "rope.scaling.type", "yarn", true},
    {"half the head rotates", "llama.rope.dimension_count", U32, 4, NULL, "UNSUPPORTED",
     "dimension_count", "4 of 8", true},
    {"value length differs", A "value_length", U32, 4, NULL, "UNSUPPORTED", "value_length", "4",
     true},
    {"G40 a layer more than tensors", "llama.block_count", U32, 3, NULL, "TENSORS",
     "blk.2.attn_q.weight", "missing blk.2.attn_q.weight", false},
    {"G40 a layer fewer", "llama.block_count", U32, 1, NULL, "TENSORS", "blk.1.attn_",
     "unexpected blk.1.attn_q.weight", false},
    {"G40 shapes", "llama.feed_forward_length", U32, 96, NULL, "TENSORS", "blk.0.ffn_gate.weight",
     "misshapen blk.0.ffn_gate.weight has shape [64, 32], expected [96, 32]", false},
    {"G41 tokens missing", T "tokens", DROP, 0, NULL, "VOCAB", T "tokens", "missing", false},
    {"G41 tokens a number", T "tokens", U32, 1, NULL, "VOCAB", T "tokens", "strings", true},
    {"G41 scores missing", T "scores", DROP, 0, NULL, "VOCAB", T "scores", "missing", false},
    {"G41 types missing", T "token_type", DROP, 0, NULL, "VOCAB", T "token_type", "missing", false},
    {"G42 bos = vocabulary", T "bos_token_id", U32, 300, NULL, "TOKEN_ID", "bos_token_id",
     "0 to 299", true},
    {"G42 eos 2^31", T "eos_token_id", U32, 2147483648.0, NULL, "TOKEN_ID", "eos_token_id",
     "2147483648", true},
    {"G42 unk = vocabulary", T "unknown_token_id", U32, 300, NULL, "TOKEN_ID", "unknown_token_id",
     "300", true},
    {"G42 bos -2", T "bos_token_id", I32, -2, NULL, "TOKEN_ID", "bos_token_id", "-2", true},
    {"G42 bos as float", T "bos_token_id", F32, 1, NULL, "HPARAM_TYPE", "bos_token_id", "f32",
     true},
    {"G42 whether bos as a number", T "add_bos_token", U32, 1, NULL, "HPARAM_TYPE", "add_bos_token",
     "u32", true},
};

Test(gguf, damaged_settings)
{
    const char *dir = temporary_dir();
    for (size_t i = 0; i < COUNT(model_rows); i++) {
        struct gguf_file g;
        const char *key = model_rows[i].key;
        const double v = model_rows[i].number;
        tiny_gguf(&g);
        switch (model_rows[i].op) {
        case DROP:
            gguf_drop(&g, key);
            break;
        case U32:
            gguf_set_u32(&g, key, (uint32_t)v);
            break;
        case I32:
            gguf_set_i32(&g, key, (int32_t)v);
            break;
        case F32:
            gguf_set_f32(&g, key, (float)v);
            break;
        case TEXT:
            gguf_set_string(&g, key, model_rows[i].string);
            break;
        }
        check_model(model_rows[i].id, &g, dir, model_rows[i].code, model_rows[i].object,
                    model_rows[i].text, model_rows[i].offset ? key : NULL);
        gguf_file_free(&g);
    }
}

/* ---- G40: tensors ---- */

static void no_embedding(struct gguf_file *g)
{
    gguf_drop_tensor(g, "token_embd.weight");
}

static void two_missing(struct gguf_file *g)
{
    gguf_drop_tensor(g, "blk.0.attn_q.weight");
    gguf_drop_tensor(g, "blk.1.ffn_norm.weight");
}

static void transposed(struct gguf_file *g)
{
    struct gguf_tensor *t = gguf_tensor(g, "blk.0.ffn_up.weight");
    t->dims[0] = 64;
    t->dims[1] = 32;
}

static void far_layer(struct gguf_file *g)
{
    const uint64_t dims[1] = {32};
    const float zeros[32] = {0};
    gguf_add_tensor(g, "blk.99999999999.attn_norm.weight", 0, 1, dims, zeros, sizeof zeros);
}

static void unsupported_type(struct gguf_file *g)
{
    gguf_tensor(g, "blk.0.attn_q.weight")->type = 26;
}

static void bad_factors(struct gguf_file *g)
{
    const uint64_t dims[1] = {4};
    const float factors[4] = {1, 1, 0, 1};
    gguf_add_tensor(g, "rope_freqs.weight", 0, 1, dims, factors, sizeof factors);
}

/* ---- G41, G42: vocabularies ---- */

static const char zeros[4096];

static void tokens_of_numbers(struct gguf_file *g)
{
    gguf_set_array(g, T "tokens", 4, 300, zeros, 1200);
}

static void no_tokens(struct gguf_file *g)
{
    gguf_set_array(g, T "tokens", 8, 0, zeros, 0);
}

static void fewer_scores(struct gguf_file *g)
{
    gguf_set_array(g, T "scores", 6, 299, zeros, 1196);
}

static void scores_of_strings(struct gguf_file *g)
{
    gguf_set_array(g, T "scores", 8, 300, zeros, 2400);
}

static void fewer_types(struct gguf_file *g)
{
    gguf_set_array(g, T "token_type", 5, 299, zeros, 1196);
}

static void zero_types(struct gguf_file *g)
{
    gguf_set_array(g, T "token_type", 5, 300, zeros, 1200);
}

static void more_tokens_than_rows(struct gguf_file *g)
{
    struct tiny t;
    struct tiny_shape s = tiny_default;
    s.vocab++;
    tiny_make(&t, &s);
    struct gguf_file larger;
    gguf_from_tiny(&larger, &t);
    static const char *const keys[] = {T "tokens", T "scores", T "token_type"};
    for (size_t k = 0; k < COUNT(keys); k++)
        for (size_t i = 0; i < larger.n_kvs; i++)
            if (strcmp(larger.kvs[i].key, keys[k]) == 0)
                gguf_set(g, keys[k], 9, larger.kvs[i].value.data, larger.kvs[i].value.n);
    gguf_file_free(&larger);
    tiny_free(&t);
}

Test(gguf, damaged_sets)
{
    static const struct {
        const char *id;
        void (*change)(struct gguf_file *g);
        const char *code, *object, *text, *text2;
    } rows[] = {
        {"G40 no embedding", no_embedding, "TENSORS", "token_embd.weight", "missing", NULL},
        {"G40 two missing", two_missing, "TENSORS", "blk.0.attn_q.weight",
         "missing blk.0.attn_q.weight", "missing blk.1.ffn_norm.weight"},
        {"G40 transposed", transposed, "TENSORS", "blk.0.ffn_up.weight",
         "blk.0.ffn_up.weight has shape [32, 64], expected [64, 32]", "1 tensor is"},
        {"G40 far layer", far_layer, "TENSORS", "blk.99999999999.attn_norm.weight",
         "unexpected blk.99999999999.attn_norm.weight", NULL},
        {"I32 weights", unsupported_type, "TENSORS", "blk.0.attn_q.weight",
         "unsupported blk.0.attn_q.weight is of type I32", NULL},
        {"factor 0", bad_factors, "TENSORS", "rope_freqs.weight", "damaged rope_freqs.weight",
         NULL},
        {"G41 tokens of u32", tokens_of_numbers, "VOCAB", T "tokens", "strings", NULL},
        {"G41 no tokens", no_tokens, "VOCAB", T "tokens", "strings", NULL},
        {"G41 fewer scores", fewer_scores, "VOCAB", T "scores", "one f32 per token", NULL},
        {"G41 scores of strings", scores_of_strings, "VOCAB", T "scores", "one f32 per token",
         NULL},
        {"G41 fewer types", fewer_types, "VOCAB", T "token_type", "one i32 per token", NULL},
        {"G41 types 0", zero_types, "VOCAB", "piece 0", "type outside 1 to 6", NULL},
        {"G42 more tokens than rows", more_tokens_than_rows, "VOCAB", "tokenizer",
         "301 pieces, the model 300", NULL},
    };
    const char *dir = temporary_dir();
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct gguf_file g;
        tiny_gguf(&g);
        rows[i].change(&g);
        const bool key = strncmp(rows[i].object, T, strlen(T)) == 0;
        check_model(rows[i].id, &g, dir, rows[i].code, rows[i].object, rows[i].text,
                    key ? rows[i].object : NULL);
        if (rows[i].text2)
            check_model(rows[i].id, &g, dir, rows[i].code, rows[i].object, rows[i].text2, NULL);
        gguf_file_free(&g);
    }
}

/* Files that cannot be opened say so, with their own status. */
Test(gguf, cannot_open)
{
    struct rr_weights w;
    struct rr_error err = {0};
    const char *dir = temporary_dir();
    int rc = rr_weights_open(&w, path_in(dir, "absent.gguf"), NULL, &err);
    cr_assert(rc == RR_ERR_OPEN && strcmp(err.code, "CANNOT_OPEN") == 0, "absent: %d %s", rc,
              err.code);
    cr_assert(strstr(err.file, "absent.gguf") != NULL, "absent: file '%s'", err.file);
    write_file(path_in(dir, "t.gguf"), "", 0);
    rc = rr_weights_open(&w, path_in(dir, "t.gguf"), NULL, &err);
    check("G01 on disk", rc, &err, "TRUNCATED", "magic", NULL);
    write_file(path_in(dir, "t.gguf"), "GGUF", 4);
    rc = rr_weights_open(&w, path_in(dir, "t.gguf"), NULL, &err);
    check("G02 on disk", rc, &err, "TRUNCATED", "header", NULL);
}

/* A tokenizer of a kind not supported keeps nobody from the logits; another one may be given. */
Test(gguf, an_unsupported_tokenizer_is_told_when_needed)
{
    struct gguf_file g;
    struct rr_buf b = {0};
    struct rr_weights w;
    struct rr_error err = {0};
    const char *dir = temporary_dir();
    struct tiny t;
    tiny_gguf(&g);
    gguf_set_string(&g, "tokenizer.ggml.model", "bert");
    gguf_write(&b, &g);
    write_file(path_in(dir, "t.gguf"), b.data, b.n);
    cr_assert(rr_weights_open(&w, path_in(dir, "t.gguf"), NULL, &err) == 0, "%s", err.text);
    cr_assert(!w.tokenizer && rr_weights_need_tokenizer(&w, &err) == RR_ERR_DATA,
              "no tokenizer, no word");
    cr_assert(strcmp(err.code, "UNSUPPORTED") == 0 && strstr(err.text, "bert"), "%s: %s", err.code,
              err.text);
    rr_weights_close(&w);
    tiny_make(&t, &tiny_default);
    rr_buf_clear(&b);
    sentencepiece_from_tiny(&b, &t);
    write_file(path_in(dir, "t.model"), b.data, b.n);
    cr_assert(rr_weights_open(&w, path_in(dir, "t.gguf"), path_in(dir, "t.model"), &err) == 0, "%s",
              err.text);
    cr_assert(w.tokenizer && rr_weights_need_tokenizer(&w, &err) == 0, "the one given is not used");
    rr_weights_close(&w);
    tiny_free(&t);
    rr_buf_free(&b);
    gguf_file_free(&g);
}
