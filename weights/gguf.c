/* See gguf.h. The format: github.com/ggml-org/ggml, docs/gguf.md. */
#include "weights/gguf.h"

#include <stdlib.h>
#include <string.h>
#include "engine/base/check.h"
#include "engine/base/cursor.h"
#include "engine/base/limits.h"

static const struct {
    const char *name;
    uint32_t bytes; /* of one element; 0: variable */
} value_types[RR_GGUF_TYPE_COUNT] = {
    {"u8", 1},   {"i8", 1},     {"u16", 2},   {"i16", 2}, {"u32", 4}, {"i32", 4}, {"f32", 4},
    {"bool", 1}, {"string", 0}, {"array", 0}, {"u64", 8}, {"i64", 8}, {"f64", 8}};

/* Every tensor type id of GGUF with its block, so that files with types we cannot compute with
 * are still read and listed. A block of 0: an id that was removed. */
static const struct {
    const char *name;
    uint32_t block, bytes;
    int type;
} tensor_types[] = {
    [0] = {"F32", 1, 4, RR_TYPE_F32},
    [1] = {"F16", 1, 2, RR_TYPE_F16},
    [2] = {"Q4_0", 32, 18, RR_TYPE_Q4_0},
    [3] = {"Q4_1", 32, 20, RR_TYPE_Q4_1},
    [4] = {"Q4_2 (removed)", 0, 0, -1},
    [5] = {"Q4_3 (removed)", 0, 0, -1},
    [6] = {"Q5_0", 32, 22, RR_TYPE_Q5_0},
    [7] = {"Q5_1", 32, 24, RR_TYPE_Q5_1},
    [8] = {"Q8_0", 32, 34, RR_TYPE_Q8_0},
    [9] = {"Q8_1", 32, 36, -1},
    [10] = {"Q2_K", 256, 84, RR_TYPE_Q2_K},
    [11] = {"Q3_K", 256, 110, RR_TYPE_Q3_K},
    [12] = {"Q4_K", 256, 144, RR_TYPE_Q4_K},
    [13] = {"Q5_K", 256, 176, RR_TYPE_Q5_K},
    [14] = {"Q6_K", 256, 210, RR_TYPE_Q6_K},
    [15] = {"Q8_K", 256, 292, -1},
    [16] = {"IQ2_XXS", 256, 66, -1},
    [17] = {"IQ2_XS", 256, 74, -1},
    [18] = {"IQ3_XXS", 256, 98, -1},
    [19] = {"IQ1_S", 256, 50, -1},
    [20] = {"IQ4_NL", 32, 18, RR_TYPE_IQ4_NL},
    [21] = {"IQ3_S", 256, 110, -1},
    [22] = {"IQ2_S", 256, 82, -1},
    [23] = {"IQ4_XS", 256, 136, -1},
    [24] = {"I8", 1, 1, -1},
    [25] = {"I16", 1, 2, -1},
    [26] = {"I32", 1, 4, -1},
    [27] = {"I64", 1, 8, -1},
    [28] = {"F64", 1, 8, -1},
    [29] = {"IQ1_M", 256, 56, -1},
    [30] = {"BF16", 1, 2, RR_TYPE_BF16},
    [31] = {"Q4_0_4_4 (removed)", 0, 0, -1},
    [32] = {"Q4_0_4_8 (removed)", 0, 0, -1},
    [33] = {"Q4_0_8_8 (removed)", 0, 0, -1},
    [34] = {"TQ1_0", 256, 54, -1},
    [35] = {"TQ2_0", 256, 66, -1},
    [36] = {"IQ4_NL_4_4 (removed)", 0, 0, -1},
    [37] = {"IQ4_NL_4_8 (removed)", 0, 0, -1},
    [38] = {"IQ4_NL_8_8 (removed)", 0, 0, -1},
    [39] = {"MXFP4", 32, 17, -1},
};
#define N_TENSOR_TYPES (sizeof tensor_types / sizeof tensor_types[0])

struct reader {
    struct rr_gguf *g;
    struct rr_cursor c;
    struct rr_error *err;
    size_t *entries; /* [n_tensors] where in the file each tensor is described */
};

#define BAD(r, code, object, at, ...)                                                              \
    rr_fail((r)->err, RR_ERR_DATA, code, RR_AT_BYTE((r)->g->file, object, at), __VA_ARGS__)

static int truncated(struct reader *r, const char *object)
{
    return BAD(r, "TRUNCATED", object, r->c.at,
               "the file ends here, at %zu bytes; it is damaged or truncated", r->c.n);
}

static int read_magic(struct reader *r)
{
    const unsigned char *p = r->c.p;
    if (r->c.n < 4)
        return BAD(r, "TRUNCATED", "magic", r->c.n, "the file has %zu bytes; expected \"GGUF\"",
                   r->c.n);
    if (memcmp(p, "GGUF", 4) != 0) {
        const char *looks = "expected \"GGUF\"";
        if (memcmp(p, "vers", 4) == 0)
            looks = "this is a Git LFS pointer: run git lfs pull";
        else if (memcmp(p, "lmgg", 4) == 0 || memcmp(p, "tjgg", 4) == 0 ||
                 memcmp(p, "GGML", 4) == 0 || memcmp(p, "GGJT", 4) == 0)
            looks = "this is an old GGML file: convert it to GGUF";
        else if (memcmp(p, "PK\3\4", 4) == 0)
            looks = "this is a zip archive (a PyTorch file?): convert it to GGUF or safetensors";
        else if (memcmp(p, "<!DO", 4) == 0 || memcmp(p, "<htm", 4) == 0)
            looks = "this is a web page: the download failed";
        return BAD(r, "NOT_GGUF", "magic", 0, "found '%s'; %s", rr_show((const char *)p, 4).s,
                   looks);
    }
    r->c.at = 4;
    if (rr_cursor_left(&r->c) < 20)
        return BAD(r, "TRUNCATED", "header", r->c.n < 5 ? 4 : r->c.at,
                   "the file ends inside its header of 24 bytes");
    r->g->version = rr_cursor_u32(&r->c);
    if (r->g->version != 2 && r->g->version != 3)
        return (r->g->version & 0xFFFFFF) == 0 && r->g->version >> 24 >= 1 &&
                       r->g->version >> 24 <= 3
                   ? BAD(r, "BYTE_ORDER", "version", 4,
                         "the version reads 0x%08x: a big-endian file", r->g->version)
                   : BAD(r, "VERSION", "version", 4, "version %u; expected 2 or 3", r->g->version);
    return RR_OK;
}

/* A length-prefixed string in place. */
static int read_string(struct reader *r, const char *object, const char **s, size_t *n)
{
    const size_t at = r->c.at;
    uint64_t len = rr_cursor_u64(&r->c);
    if (r->c.overrun)
        return truncated(r, object);
    if (len > RR_MAX_STRING || len > rr_cursor_left(&r->c))
        return BAD(r, "STRING_RANGE", object, at,
                   "a string of %llu bytes; %zu are left in the file, at most %u allowed",
                   (unsigned long long)len, rr_cursor_left(&r->c), RR_MAX_STRING);
    *s = (const char *)rr_cursor_take(&r->c, len);
    *n = (size_t)len;
    return RR_OK;
}

static int read_array(struct reader *r, struct rr_gguf_kv *kv)
{
    const size_t at = r->c.at;
    uint32_t elem = rr_cursor_u32(&r->c);
    uint64_t n = rr_cursor_u64(&r->c), bytes;
    if (r->c.overrun)
        return truncated(r, kv->key);
    if (elem == RR_GGUF_ARRAY)
        return BAD(r, "NESTED_ARRAY", kv->key, at, "an array of arrays, which no GGUF key uses");
    if (elem >= RR_GGUF_TYPE_COUNT)
        return BAD(r, "VALUE_TYPE", kv->key, at, "element type %u; expected 0 to %d", elem,
                   RR_GGUF_TYPE_COUNT - 1);
    kv->elem = (enum rr_gguf_type)elem;
    kv->n = n;
    const uint32_t each =
        elem == RR_GGUF_STRING ? 8 : value_types[elem].bytes; /* a string is at least its length */
    if (!rr_mul_u64(&bytes, n, each) || bytes > RR_MAX_ARRAY || bytes > rr_cursor_left(&r->c))
        return BAD(r, "ARRAY_RANGE", kv->key, at + 4,
                   "%llu elements of %s; %zu bytes are left in the file", (unsigned long long)n,
                   value_types[elem].name, rr_cursor_left(&r->c));
    kv->data = r->c.p + r->c.at;
    if (elem != RR_GGUF_STRING) {
        rr_cursor_take(&r->c, bytes);
    } else {
        for (uint64_t i = 0; i < n; i++) {
            const char *s;
            size_t len;
            int rc = read_string(r, kv->key, &s, &len);
            if (rc)
                return rc;
        }
    }
    kv->n_bytes = (size_t)(r->c.p + r->c.at - kv->data);
    for (uint64_t i = 0; elem == RR_GGUF_BOOL && i < n; i++)
        if (kv->data[i] > 1)
            return BAD(r, "BOOL", kv->key, (size_t)(kv->data - r->c.p) + i,
                       "byte %u; expected 0 or 1", kv->data[i]);
    return RR_OK;
}

static int read_value(struct reader *r, struct rr_gguf_kv *kv)
{
    kv->offset = r->c.at;
    kv->n = 1;
    if (kv->type == RR_GGUF_ARRAY)
        return read_array(r, kv);
    if (kv->type == RR_GGUF_STRING) {
        const char *s;
        size_t n;
        int rc = read_string(r, kv->key, &s, &n);
        if (rc)
            return rc;
        kv->data = (const unsigned char *)s;
        kv->n = kv->n_bytes = n;
        return RR_OK;
    }
    kv->n_bytes = value_types[kv->type].bytes;
    kv->data = rr_cursor_take(&r->c, kv->n_bytes);
    if (!kv->data)
        return truncated(r, kv->key);
    if (kv->type == RR_GGUF_BOOL && kv->data[0] > 1)
        return BAD(r, "BOOL", kv->key, kv->offset, "byte %u; expected 0 or 1", kv->data[0]);
    return RR_OK;
}

static int read_key(struct reader *r, struct rr_gguf_kv *kv)
{
    const size_t at = r->c.at;
    const char *s;
    size_t n;
    int rc = read_string(r, "key", &s, &n);
    if (rc)
        return rc;
    bool printable = n > 0 && n <= RR_MAX_KEY;
    for (size_t i = 0; printable && i < n; i++)
        printable = s[i] > 0x20 && s[i] < 0x7f;
    if (!printable)
        return BAD(r, "KEY", "key", at, "'%s' (%zu bytes); expected 1 to %u printable characters",
                   rr_show(s, n).s, n, RR_MAX_KEY);
    kv->key = rr_arena_copy(&r->g->arena, s, n);
    if (!kv->key)
        return rr_fail_memory(r->err, "key", n);
    uint32_t type = rr_cursor_u32(&r->c);
    if (r->c.overrun)
        return truncated(r, kv->key);
    if (type >= RR_GGUF_TYPE_COUNT)
        return BAD(r, "VALUE_TYPE", kv->key, r->c.at - 4, "value type %u; expected 0 to %d", type,
                   RR_GGUF_TYPE_COUNT - 1);
    kv->type = (enum rr_gguf_type)type;
    return RR_OK;
}

static int by_key(const void *a, const void *b)
{
    const struct rr_gguf_kv *const *x = a, *const *y = b;
    int order = strcmp((*x)->key, (*y)->key);
    return order ? order : ((*x)->offset > (*y)->offset) - ((*x)->offset < (*y)->offset);
}

static int by_name(const void *a, const void *b)
{
    const struct rr_stored *const *x = a, *const *y = b;
    int order = strcmp((*x)->name, (*y)->name);
    return order ? order : (*x > *y) - (*x < *y);
}

static int by_offset(const void *a, const void *b)
{
    const struct rr_stored *const *x = a, *const *y = b;
    return (*x)->offset != (*y)->offset ? ((*x)->offset > (*y)->offset ? 1 : -1)
                                        : (*x > *y) - (*x < *y);
}

static int check_duplicate_keys(struct reader *r)
{
    struct rr_gguf *g = r->g;
    const struct rr_gguf_kv **sorted = rr_alloc(g->n_kvs, sizeof *sorted);
    if (!sorted)
        return rr_fail_memory(r->err, "keys", g->n_kvs * sizeof *sorted);
    int rc = RR_OK;
    for (size_t i = 0; i < g->n_kvs; i++)
        sorted[i] = &g->kvs[i];
    qsort(sorted, g->n_kvs, sizeof *sorted, by_key);
    for (size_t i = 1; i < g->n_kvs && !rc; i++)
        if (strcmp(sorted[i]->key, sorted[i - 1]->key) == 0)
            rc = BAD(r, "KEY_DUP", sorted[i]->key, sorted[i]->offset,
                     "this key stands at byte %zu already", sorted[i - 1]->offset);
    rr_free(sorted);
    return rc;
}

static int read_kvs(struct reader *r, uint64_t n)
{
    struct rr_gguf *g = r->g;
    /* The smallest entry is a key of one byte and a value of one: 8 + 1 + 4 + 1. */
    if (n > RR_MAX_GGUF_KV || n > rr_cursor_left(&r->c) / 14)
        return BAD(r, "COUNT", "n_kv", 16,
                   "%llu keys need at least 14 bytes each; %zu are left, at most %u keys allowed",
                   (unsigned long long)n, rr_cursor_left(&r->c), RR_MAX_GGUF_KV);
    g->kvs = rr_arena_zalloc(&g->arena, (size_t)n, sizeof *g->kvs);
    if (!g->kvs)
        return rr_fail_memory(r->err, "keys", (size_t)n * sizeof *g->kvs);
    for (; g->n_kvs < n; g->n_kvs++) {
        struct rr_gguf_kv *kv = &g->kvs[g->n_kvs];
        int rc = read_key(r, kv);
        if (!rc)
            rc = read_value(r, kv);
        if (rc)
            return rc;
        if (r->c.at > RR_MAX_GGUF_METADATA)
            return BAD(r, "COUNT", kv->key, r->c.at, "more than %u bytes of metadata",
                       RR_MAX_GGUF_METADATA);
    }
    return check_duplicate_keys(r);
}

static int read_alignment(struct reader *r)
{
    const struct rr_gguf_kv *kv = rr_gguf_find(r->g, "general.alignment");
    r->g->alignment = 32;
    if (!kv)
        return RR_OK;
    uint32_t a = kv->type == RR_GGUF_U32 ? rr_load_u32(kv->data) : 0;
    if (kv->type != RR_GGUF_U32 || a == 0 || a > RR_MAX_ALIGNMENT || (a & (a - 1)))
        return BAD(r, "ALIGNMENT", kv->key, kv->offset,
                   "%u of type %s; expected a u32 power of two, at most %u", a,
                   value_types[kv->type].name, RR_MAX_ALIGNMENT);
    r->g->alignment = a;
    return RR_OK;
}

static int read_shape(struct reader *r, struct rr_stored *t, uint64_t *n_elements)
{
    const size_t at = r->c.at;
    uint32_t n_dims = rr_cursor_u32(&r->c);
    if (!r->c.overrun && (n_dims < 1 || n_dims > 4))
        return BAD(r, "N_DIMS", t->name, at, "%u dimensions; expected 1 to 4", n_dims);
    *n_elements = 1;
    t->n_dims = (int)n_dims;
    for (uint32_t i = 0; i < n_dims && !r->c.overrun; i++) {
        uint64_t dim = rr_cursor_u64(&r->c);
        if (r->c.overrun)
            break;
        if (dim == 0 || dim > INT64_MAX)
            return BAD(r, "DIM", t->name, r->c.at - 8, "dimension %u is %llu; expected 1 to 2^63-1",
                       i, (unsigned long long)dim);
        /* 2^60 elements: whatever the type, byte counts and roundings then stay below 2^64. */
        if (!rr_mul_u64(n_elements, *n_elements, dim) || *n_elements > (uint64_t)1 << 60)
            return BAD(r, "DIM_OVERFLOW", t->name, r->c.at - 8,
                       "the dimensions multiply to more than 2^60");
        t->shape[n_dims - 1 - i] = dim;
    }
    return r->c.overrun ? truncated(r, t->name) : RR_OK;
}

static int read_tensor_type(struct reader *r, struct rr_stored *t, uint64_t n_elements)
{
    const size_t at = r->c.at;
    uint32_t id = rr_cursor_u32(&r->c);
    if (r->c.overrun)
        return truncated(r, t->name);
    if (id >= N_TENSOR_TYPES || !tensor_types[id].block)
        return BAD(r, "TENSOR_TYPE", t->name, at, "type %u%s%s is not a GGUF tensor type", id,
                   id < N_TENSOR_TYPES ? ", " : "",
                   id < N_TENSOR_TYPES ? tensor_types[id].name : "");
    t->type = tensor_types[id].type;
    t->type_name = tensor_types[id].name;
    const uint64_t row = t->shape[t->n_dims - 1];
    if (row % tensor_types[id].block)
        return BAD(r, "BLOCK", t->name, at, "rows of %llu numbers; %s needs a multiple of %u",
                   (unsigned long long)row, tensor_types[id].name, tensor_types[id].block);
    if (!rr_mul_u64(&t->n_bytes, n_elements / tensor_types[id].block, tensor_types[id].bytes))
        return BAD(r, "DIM_OVERFLOW", t->name, at, "the tensor has more than 2^64 bytes");
    return RR_OK;
}

static int read_tensor(struct reader *r, struct rr_stored *t)
{
    const size_t at = r->c.at;
    const char *s;
    size_t n;
    uint64_t n_elements = 0;
    int rc = read_string(r, "tensor name", &s, &n);
    if (rc)
        return rc;
    bool printable = n > 0 && n <= RR_MAX_GGUF_TENSOR_NAME;
    for (size_t i = 0; printable && i < n; i++)
        printable = s[i] > 0x20 && s[i] < 0x7f;
    if (!printable)
        return BAD(r, "NAME", "tensor name", at,
                   "'%s' (%zu bytes); expected 1 to %u printable characters", rr_show(s, n).s, n,
                   RR_MAX_GGUF_TENSOR_NAME);
    t->name = rr_arena_copy(&r->g->arena, s, n);
    t->file = r->g->file;
    if (!t->name)
        return rr_fail_memory(r->err, "tensor name", n);
    rc = read_shape(r, t, &n_elements);
    if (!rc)
        rc = read_tensor_type(r, t, n_elements);
    if (rc)
        return rc;
    t->offset = rr_cursor_u64(&r->c);
    if (r->c.overrun)
        return truncated(r, t->name);
    if (t->offset % r->g->alignment)
        return BAD(r, "OFFSET_ALIGN", t->name, r->c.at - 8,
                   "offset %llu is not a multiple of the alignment %llu",
                   (unsigned long long)t->offset, (unsigned long long)r->g->alignment);
    return RR_OK;
}

/* Bytes that no tensor has, beyond what the alignment asks for: they change nothing, but such a
 * file was not written so. sorted: by offset; left: bytes from data to the end of the file. */
static void note_gaps(struct reader *r, const struct rr_stored *const *sorted, uint64_t data,
                      uint64_t left)
{
    struct rr_gguf *g = r->g;
    uint64_t end = 0; /* of what is accounted for, padding included */
    for (size_t i = 0; i < g->n_tensors; i++) {
        if (sorted[i]->offset > end) {
            (void)rr_fail(&g->warning, RR_ERR_DATA, "HOLE",
                          RR_AT_BYTE(g->file, sorted[i]->name, data + end),
                          "%llu bytes before this tensor belong to nothing",
                          (unsigned long long)(sorted[i]->offset - end));
            return;
        }
        end = rr_round_up(sorted[i]->offset + sorted[i]->n_bytes, (size_t)g->alignment);
    }
    if (left > end && (g->n_tensors || left >= g->alignment))
        (void)rr_fail(&g->warning, RR_ERR_DATA, "TRAILING", RR_AT_BYTE(g->file, "data", data + end),
                      "%llu bytes behind the last tensor belong to nothing",
                      (unsigned long long)(left - end));
}

/* Turns offsets into pointers, after checking them against the file's size and against each
 * other. */
static int place_tensors(struct reader *r)
{
    struct rr_gguf *g = r->g;
    const uint64_t data = g->n_tensors ? rr_round_up(r->c.at, (size_t)g->alignment) : r->c.at;
    const uint64_t left = data <= r->c.n ? r->c.n - data : 0;
    const struct rr_stored **sorted = rr_alloc(g->n_tensors, sizeof *sorted);
    if (!sorted)
        return rr_fail_memory(r->err, "tensors", g->n_tensors * sizeof *sorted);
    int rc = RR_OK;
    for (size_t i = 0; i < g->n_tensors && !rc; i++) {
        struct rr_stored *t = &g->tensors[i];
        sorted[i] = t;
        uint64_t end;
        if (!rr_add_u64(&end, t->offset, t->n_bytes) || end > left)
            rc = BAD(r, t->offset <= left ? "TRUNCATED" : "TENSOR_RANGE", t->name, r->entries[i],
                     "offset %llu + %llu bytes > data size %llu; the file is damaged or truncated",
                     (unsigned long long)t->offset, (unsigned long long)t->n_bytes,
                     (unsigned long long)left);
        else
            t->data = r->c.p + data + t->offset;
    }
    if (!rc) {
        qsort(sorted, g->n_tensors, sizeof *sorted, by_name);
        for (size_t i = 1; i < g->n_tensors && !rc; i++)
            if (strcmp(sorted[i]->name, sorted[i - 1]->name) == 0)
                rc = BAD(r, "NAME", sorted[i]->name, r->entries[sorted[i] - g->tensors],
                         "two tensors have this name");
        qsort(sorted, g->n_tensors, sizeof *sorted, by_offset);
        for (size_t i = 1; i < g->n_tensors && !rc; i++)
            if (sorted[i]->offset < sorted[i - 1]->offset + sorted[i - 1]->n_bytes)
                rc = BAD(r, "OVERLAP", sorted[i]->name, data + sorted[i]->offset,
                         "lies inside tensor '%s'", sorted[i - 1]->name);
    }
    if (!rc)
        note_gaps(r, sorted, data, left);
    for (size_t i = 0; i < g->n_tensors; i++)
        g->tensors[i].offset += data;
    rr_free(sorted);
    return rc;
}

static int read_tensors(struct reader *r, uint64_t n)
{
    struct rr_gguf *g = r->g;
    /* Checked again here: the keys before have used up bytes. A tensor's entry is at least 8 + 1
     * + 4 + 8 + 4 + 8. */
    if (n > rr_cursor_left(&r->c) / 33)
        return BAD(r, "COUNT", "n_tensors", 8,
                   "%llu tensors need at least 33 bytes each; %zu are left", (unsigned long long)n,
                   rr_cursor_left(&r->c));
    g->tensors = rr_arena_zalloc(&g->arena, (size_t)n, sizeof *g->tensors);
    r->entries = rr_arena_alloc(&g->arena, (size_t)n, sizeof *r->entries);
    if (!g->tensors || !r->entries)
        return rr_fail_memory(r->err, "tensors", (size_t)n * sizeof *g->tensors);
    for (; g->n_tensors < n; g->n_tensors++) {
        r->entries[g->n_tensors] = r->c.at;
        int rc = read_tensor(r, &g->tensors[g->n_tensors]);
        if (rc)
            return rc;
    }
    return place_tensors(r);
}

int rr_gguf_parse(struct rr_gguf *g, const void *bytes, size_t n, const char *file,
                  struct rr_error *err)
{
    *g = (struct rr_gguf){.file = file};
    struct reader r = {.g = g, .c = rr_cursor_make(bytes, n), .err = err};
    int rc = read_magic(&r);
    if (!rc) {
        uint64_t n_tensors = rr_cursor_u64(&r.c), n_kvs = rr_cursor_u64(&r.c);
        if (n_tensors > RR_MAX_TENSORS || n_tensors > rr_cursor_left(&r.c) / 24)
            rc = BAD(&r, "COUNT", "n_tensors", 8,
                     "%llu tensors need at least 24 bytes each; %zu are left, at most %u allowed",
                     (unsigned long long)n_tensors, rr_cursor_left(&r.c), RR_MAX_TENSORS);
        if (!rc)
            rc = read_kvs(&r, n_kvs);
        if (!rc)
            rc = read_alignment(&r);
        if (!rc)
            rc = read_tensors(&r, n_tensors);
    }
    if (rc)
        rr_gguf_free(g);
    return rc;
}

void rr_gguf_free(struct rr_gguf *g)
{
    rr_arena_free(&g->arena);
    *g = (struct rr_gguf){0};
}

const struct rr_gguf_kv *rr_gguf_find(const struct rr_gguf *g, const char *key)
{
    for (size_t i = 0; i < g->n_kvs; i++)
        if (strcmp(g->kvs[i].key, key) == 0)
            return &g->kvs[i];
    return NULL;
}

static int wrong_type(const struct rr_gguf *g, const struct rr_gguf_kv *kv, const char *expected,
                      struct rr_error *err)
{
    return rr_fail(err, RR_ERR_DATA, "HPARAM_TYPE", RR_AT_BYTE(g->file, kv->key, kv->offset),
                   "is of type %s; expected %s", value_types[kv->type].name, expected);
}

int rr_gguf_get_int(int64_t *out, const struct rr_gguf *g, const char *key, struct rr_error *err)
{
    const struct rr_gguf_kv *kv = rr_gguf_find(g, key);
    if (!kv)
        return RR_OK;
    uint64_t v = 0;
    for (size_t i = 0; i < kv->n_bytes && i < 8; i++)
        v |= (uint64_t)kv->data[i] << (8 * i);
    switch (kv->type) {
    case RR_GGUF_U8:
    case RR_GGUF_U16:
    case RR_GGUF_U32:
        *out = (int64_t)v;
        break;
    case RR_GGUF_U64:
        *out = v > INT64_MAX ? INT64_MAX : (int64_t)v;
        break;
    case RR_GGUF_I8:
        *out = (int8_t)v;
        break;
    case RR_GGUF_I16:
        *out = (int16_t)v;
        break;
    case RR_GGUF_I32:
        *out = (int32_t)v;
        break;
    case RR_GGUF_I64:
        *out = (int64_t)v;
        break;
    default:
        return wrong_type(g, kv, "an integer", err);
    }
    return RR_OK;
}

int rr_gguf_get_float(double *out, const struct rr_gguf *g, const char *key, struct rr_error *err)
{
    const struct rr_gguf_kv *kv = rr_gguf_find(g, key);
    if (!kv)
        return RR_OK;
    if (kv->type == RR_GGUF_F32) {
        *out = (double)rr_float_from_bits(rr_load_u32(kv->data));
    } else if (kv->type == RR_GGUF_F64) {
        uint64_t bits = rr_load_u64(kv->data);
        memcpy(out, &bits, sizeof *out);
    } else {
        return wrong_type(g, kv, "a float", err);
    }
    return RR_OK;
}

int rr_gguf_get_bool(bool *out, const struct rr_gguf *g, const char *key, struct rr_error *err)
{
    const struct rr_gguf_kv *kv = rr_gguf_find(g, key);
    if (!kv)
        return RR_OK;
    if (kv->type != RR_GGUF_BOOL)
        return wrong_type(g, kv, "bool", err);
    *out = kv->data[0] != 0;
    return RR_OK;
}

int rr_gguf_get_string(const char **out, struct rr_gguf *g, const char *key, struct rr_error *err)
{
    const struct rr_gguf_kv *kv = rr_gguf_find(g, key);
    if (!kv)
        return RR_OK;
    if (kv->type != RR_GGUF_STRING)
        return wrong_type(g, kv, "string", err);
    *out = rr_arena_copy(&g->arena, (const char *)kv->data, kv->n_bytes);
    return *out ? RR_OK : rr_fail_memory(err, key, kv->n_bytes);
}
