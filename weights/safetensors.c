/* See safetensors.h. */
#include "weights/safetensors.h"

#include <stdlib.h>
#include <string.h>
#include "engine/base/check.h"
#include "engine/base/cursor.h"
#include "engine/base/json.h"
#include "engine/base/limits.h"

static const struct {
    const char *name;
    uint32_t bits;
    int type;
} dtypes[] = {{"F32", 32, RR_TYPE_F32},
              {"F16", 16, RR_TYPE_F16},
              {"BF16", 16, RR_TYPE_BF16},
              {"F64", 64, -1},
              {"I64", 64, -1},
              {"I32", 32, -1},
              {"I16", 16, -1},
              {"I8", 8, -1},
              {"U64", 64, -1},
              {"U32", 32, -1},
              {"U16", 16, -1},
              {"U8", 8, -1},
              {"BOOL", 8, -1},
              {"F8_E4M3", 8, -1},
              {"F8_E5M2", 8, -1}};

_Static_assert(RR_MAX_SAFETENSORS_DIMS <= RR_STORED_DIMS, "shapes fit");

struct reader {
    struct rr_arena *arena;
    const char *file;
    size_t base;     /* offset of the JSON text */
    uint64_t n_data; /* bytes behind it */
    const unsigned char *data;
    struct rr_error *err;
};

#define BAD(r, code, object, json, ...)                                                            \
    rr_fail((r)->err, RR_ERR_DATA, code,                                                           \
            RR_AT_BYTE((r)->file, object, (r)->base + (json)->offset), __VA_ARGS__)

/* Digits only: 8.0 and 8e0 are numbers of JSON, but no sizes of this format. */
static bool whole_number(int64_t *out, const struct rr_json *v)
{
    return rr_json_int(out, v, 0, INT64_MAX) && !strpbrk(v->text, ".eE");
}

static int read_shape(struct reader *r, struct rr_stored *t, const struct rr_json *entry,
                      uint64_t *n_elements)
{
    const struct rr_json *shape = rr_json_get(entry, "shape");
    if (!shape || shape->type != RR_JSON_ARRAY || shape->n_children > RR_MAX_SAFETENSORS_DIMS)
        return BAD(r, "SHAPE", t->name, shape ? shape : entry,
                   "\"shape\" is missing or not an array of at most %d numbers",
                   RR_MAX_SAFETENSORS_DIMS);
    *n_elements = 1;
    for (const struct rr_json *d = shape->child; d; d = d->next) {
        int64_t v;
        if (!whole_number(&v, d))
            return BAD(r, "SHAPE", t->name, d, "a dimension is %s; expected a whole number from 0",
                       rr_json_type_name(d->type));
        if (!rr_mul_u64(n_elements, *n_elements, (uint64_t)v) || *n_elements > (uint64_t)1 << 60)
            return BAD(r, "DIM_OVERFLOW", t->name, d, "the dimensions multiply to more than 2^60");
        t->shape[t->n_dims++] = (uint64_t)v;
    }
    return RR_OK;
}

static int read_dtype(struct reader *r, struct rr_stored *t, const struct rr_json *entry,
                      uint32_t *bits)
{
    const struct rr_json *dtype = rr_json_get(entry, "dtype");
    for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++) {
        if (rr_json_is_string(dtype, dtypes[i].name)) {
            t->type = dtypes[i].type;
            t->type_name = dtypes[i].name;
            *bits = dtypes[i].bits;
            return RR_OK;
        }
    }
    bool text = dtype && dtype->type == RR_JSON_STRING;
    return BAD(r, "DTYPE", t->name, dtype ? dtype : entry, "\"dtype\" is %s%s",
               text ? rr_show(dtype->text, dtype->n_text).s : "missing or no string",
               text ? ", which is not a safetensors type" : "");
}

static int read_tensor(struct reader *r, struct rr_stored *t, const struct rr_json *entry)
{
    bool printable = entry->n_key > 0 && entry->n_key < RR_MAX_TENSOR_NAME;
    for (size_t i = 0; printable && i < entry->n_key; i++)
        printable = entry->key[i] > 0x20 && entry->key[i] < 0x7f;
    if (!printable)
        return BAD(r, "NAME", "tensor name", entry,
                   "'%s' (%zu bytes); expected 1 to %u printable characters",
                   rr_show(entry->key, entry->n_key).s, entry->n_key, RR_MAX_TENSOR_NAME - 1);
    *t = (struct rr_stored){.file = r->file,
                            .name = rr_arena_copy(r->arena, entry->key, entry->n_key)};
    if (!t->name)
        return rr_fail_memory(r->err, "tensor name", entry->n_key);
    if (entry->type != RR_JSON_OBJECT)
        return BAD(r, "HEADER", t->name, entry, "is %s; expected an object",
                   rr_json_type_name(entry->type));
    uint32_t bits = 0;
    uint64_t n_elements = 0, n_bits = 0;
    int rc = read_dtype(r, t, entry, &bits);
    if (!rc)
        rc = read_shape(r, t, entry, &n_elements);
    if (rc)
        return rc;
    const struct rr_json *at = rr_json_get(entry, "data_offsets");
    int64_t begin, end;
    if (!at || at->type != RR_JSON_ARRAY || at->n_children != 2 ||
        !whole_number(&begin, at->child) || !whole_number(&end, at->child->next))
        return BAD(r, "DATA_OFFSETS", t->name, at ? at : entry,
                   "\"data_offsets\" is missing or not two whole numbers");
    if (!rr_mul_u64(&n_bits, n_elements, bits) || end < begin ||
        (uint64_t)(end - begin) != n_bits / 8)
        return BAD(r, "DATA_OFFSETS", t->name, at, "bytes %lld to %lld; shape and type need %llu",
                   (long long)begin, (long long)end, (unsigned long long)(n_bits / 8));
    if ((uint64_t)end > r->n_data)
        return BAD(r, "TRUNCATED", t->name, at,
                   "ends at data byte %lld; the file has %llu: it is damaged or truncated",
                   (long long)end, (unsigned long long)r->n_data);
    t->data = r->data + begin;
    t->n_bytes = (uint64_t)(end - begin);
    t->offset = (uint64_t)begin; /* of the data, until cover_exactly adds the header */
    return RR_OK;
}

static int by_offset(const void *a, const void *b)
{
    const struct rr_stored *x = a, *y = b;
    if (x->offset != y->offset)
        return x->offset > y->offset ? 1 : -1;
    if (x->n_bytes != y->n_bytes)
        return x->n_bytes > y->n_bytes ? 1 : -1;
    return strcmp(x->name, y->name);
}

/* No holes, no overlaps, nothing behind the last tensor. */
static int cover_exactly(struct reader *r, struct rr_stored *list, size_t n, uint64_t data_offset)
{
    uint64_t at = 0;
    if (n)
        qsort(list, n, sizeof *list, by_offset);
    for (size_t i = 0; i < n; i++) {
        if (list[i].offset != at)
            return rr_fail(r->err, RR_ERR_DATA, list[i].offset > at ? "HOLE" : "OVERLAP",
                           RR_AT_BYTE(r->file, list[i].name, data_offset + list[i].offset),
                           "begins at data byte %llu; the tensors before it end at %llu",
                           (unsigned long long)list[i].offset, (unsigned long long)at);
        at += list[i].n_bytes;
        list[i].offset += data_offset;
    }
    if (at != r->n_data)
        return rr_fail(r->err, RR_ERR_DATA, "TRAILING",
                       RR_AT_BYTE(r->file, "data", data_offset + at),
                       "%llu bytes belong to no tensor", (unsigned long long)(r->n_data - at));
    return RR_OK;
}

static int check_metadata(struct reader *r, const struct rr_json *meta)
{
    bool ok = meta->type == RR_JSON_OBJECT;
    for (const struct rr_json *m = meta->child; ok && m; m = m->next)
        ok = m->type == RR_JSON_STRING;
    return ok ? RR_OK : BAD(r, "HEADER", "__metadata__", meta, "is not an object of strings");
}

int rr_safetensors_parse(struct rr_stored **list, size_t *n_list, size_t *cap,
                         struct rr_arena *arena, const void *bytes, size_t n, const char *file,
                         struct rr_error *err)
{
    struct rr_cursor c = rr_cursor_make(bytes, n);
    struct rr_arena scratch = {0};
    struct rr_json *root;
    const size_t first = *n_list;
    const char *kept = rr_arena_copy(arena, file, strlen(file));
    uint64_t n_header = rr_cursor_u64(&c);
    if (!kept)
        return rr_fail_memory(err, "file name", strlen(file));
    if (c.overrun)
        return rr_fail(
            err, RR_ERR_DATA, "TRUNCATED", RR_AT_BYTE(file, "header length", n),
            "the file has %zu bytes; a safetensors file begins with 8 for the header's length", n);
    if (n_header < 2 || n_header > RR_MAX_SAFETENSORS_HEADER || n_header > rr_cursor_left(&c))
        return rr_fail(err, RR_ERR_DATA, "HEADER_LENGTH", RR_AT_BYTE(file, "header length", 0),
                       "%llu bytes; %zu are left in the file, at most %u allowed: damaged, "
                       "truncated, or not safetensors",
                       (unsigned long long)n_header, rr_cursor_left(&c), RR_MAX_SAFETENSORS_HEADER);
    const char *text = (const char *)rr_cursor_take(&c, n_header);
    struct reader r = {arena, kept, 8, rr_cursor_left(&c), c.p + c.at, err};
    int rc = rr_json_parse(&root, &scratch, text, (size_t)n_header, kept, 8, err);
    if (!rc && root->type != RR_JSON_OBJECT)
        rc = BAD(&r, "HEADER", "header", root, "is %s; expected an object",
                 rr_json_type_name(root->type));
    if (!rc && root->n_children > RR_MAX_TENSORS)
        rc = BAD(&r, "COUNT", "header", root, "%zu tensors; at most %u allowed", root->n_children,
                 RR_MAX_TENSORS);
    for (const struct rr_json *m = rc ? NULL : root->child; m && !rc; m = m->next) {
        if (m->n_key == 12 && memcmp(m->key, "__metadata__", 12) == 0) {
            rc = check_metadata(&r, m);
        } else if (!rr_grow(list, cap, *n_list + 1, sizeof **list)) {
            rc = rr_fail_memory(err, "tensors", *n_list * sizeof **list);
        } else {
            rc = read_tensor(&r, &(*list)[*n_list], m);
            *n_list += !rc;
        }
    }
    if (!rc)
        rc = cover_exactly(&r, *list ? *list + first : NULL, *n_list - first, 8 + n_header);
    rr_arena_free(&scratch);
    return rc;
}
