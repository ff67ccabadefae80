/* A trained backbone as a file: a head of fixed layout, then its arrays, all little-endian, then
 * the sha256 of everything before.
 *
 *     0  "RRBACK1\n"          8  kind, n_users, n_items, dim, best_epoch: u32 each
 *    28  seed: u64           36  identity of the split: 64 hexadecimal digits
 *   100  settings: 96 bytes, zero-filled          196  arrays of f32, in the order of array_of
 */
#include <math.h>
#include <stdio.h>
#include "engine/base/check.h"
#include "engine/base/cursor.h"
#include "engine/base/file.h"
#include "engine/base/sha256.h"
#include "rec/backbone/backbone.h"

#define MAGIC "RRBACK1\n"
#define HEAD_BYTES 196
#define SUM_BYTES 64
#define N_ARRAYS 4

/* Array i of a backbone: where its pointer is and how many floats it has, 0: none of this kind. */
static float **array_of(struct rr_backbone *b, int i, size_t *n)
{
    const size_t users = (size_t)b->n_users, items = (size_t)b->n_items, dim = (size_t)b->dim;
    const bool factors = b->kind == RR_BACKBONE_MF || b->kind == RR_BACKBONE_LIGHTGCN;
    const bool matrix = b->kind == RR_BACKBONE_ITEMKNN || b->kind == RR_BACKBONE_EASE;
    switch (i) {
    case 0:
        *n = factors ? users * dim : 0;
        return &b->users;
    case 1:
        *n = factors ? items * dim : 0;
        return &b->items;
    case 2:
        *n = b->kind == RR_BACKBONE_POP ? items : 0;
        return &b->popularity;
    default:
        *n = matrix ? items * items : 0;
        return &b->weights;
    }
}

/* What a backbone depends on: the data, how it was read, and which ratings train. */
static void identify(const struct rr_split *s, char hex[65])
{
    struct rr_sha256 sum;
    const struct rr_dataset *d = s->data;
    rr_sha256_init(&sum);
    rr_sha256_add(&sum, d->fingerprint, 64);
    rr_sha256_add(&sum, d->settings, strlen(d->settings));
    rr_sha256_add(&sum, s->order == RR_SPLIT_BY_TIME ? "time" : "file", 4);
    rr_sha256_hex(&sum, hex);
}

static void put_u32(struct rr_buf *out, uint32_t v)
{
    const char b[4] = {(char)v, (char)(v >> 8), (char)(v >> 16), (char)(v >> 24)};
    rr_buf_add(out, b, 4);
}

static void put_head(struct rr_buf *out, const struct rr_backbone *b, const struct rr_split *s)
{
    char hex[65], settings[sizeof b->settings] = {0};
    identify(s, hex);
    snprintf(settings, sizeof settings, "%s", b->settings);
    rr_buf_add(out, MAGIC, 8);
    put_u32(out, (uint32_t)b->kind);
    put_u32(out, (uint32_t)b->n_users);
    put_u32(out, (uint32_t)b->n_items);
    put_u32(out, (uint32_t)b->dim);
    put_u32(out, (uint32_t)b->best_epoch);
    put_u32(out, (uint32_t)b->seed);
    put_u32(out, (uint32_t)(b->seed >> 32));
    rr_buf_add(out, hex, 64);
    rr_buf_add(out, settings, sizeof settings);
}

static void put_floats(struct rr_buf *out, const float *v, size_t n)
{
    for (size_t i = 0; v && i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &v[i], sizeof bits);
        put_u32(out, bits);
    }
}

int rr_backbone_save(const struct rr_backbone *b, const struct rr_split *split, const char *path,
                     struct rr_error *err)
{
    struct rr_backbone copy = *b;
    struct rr_sha256 sum;
    struct rr_buf piece = {0};
    struct rr_out out;
    char hex[65];
    int rc = rr_out_open(&out, path, err);
    if (rc)
        return rc;
    rr_sha256_init(&sum);
    put_head(&piece, b, split);
    for (int i = 0; i < N_ARRAYS && !rc; i++) {
        size_t n;
        const float *v = *array_of(&copy, i, &n);
        for (size_t at = 0; at < n || piece.n;) {
            const size_t some = n - at < 65536 ? n - at : 65536;
            put_floats(&piece, v ? v + at : v, some);
            at += some;
            if (piece.failed) {
                rc = rr_fail_memory(err, "file", piece.n);
                break;
            }
            rr_sha256_add(&sum, piece.data, piece.n);
            fwrite(piece.data, 1, piece.n, out.f);
            rr_buf_clear(&piece);
        }
    }
    rr_sha256_hex(&sum, hex);
    fwrite(hex, 1, SUM_BYTES, out.f);
    rr_buf_free(&piece);
    if (rc)
        rr_out_close(&out);
    else
        rc = rr_out_commit(&out, err);
    return rc;
}

static int check_identity(const struct rr_backbone *b, const struct rr_split *split,
                          const unsigned char *identity, const char *file, struct rr_error *err)
{
    char hex[65];
    identify(split, hex);
    if (memcmp(identity, hex, 64) == 0 && b->n_users == split->data->n_users &&
        b->n_items == split->data->n_items)
        return RR_OK;
    return rr_fail(err, RR_ERR_DATA, "BACKBONE_DATA", RR_AT_FILE(file),
                   "trained on other data or another split (%d users, %d items, %.12s); here are "
                   "%d users, %d items, %.12s of %s: fit it again",
                   b->n_users, b->n_items, rr_show((const char *)identity, 64).s,
                   split->data->n_users, split->data->n_items, hex, split->data->settings);
}

static int read_arrays(struct rr_backbone *b, struct rr_cursor *c, const char *file,
                       struct rr_error *err)
{
    for (int i = 0; i < N_ARRAYS; i++) {
        size_t n;
        float **v = array_of(b, i, &n);
        if (!n)
            continue;
        if (n > rr_cursor_left(c) / 4)
            return rr_fail(err, RR_ERR_DATA, "BACKBONE", RR_AT_BYTE(file, NULL, c->at),
                           "%zu numbers expected, %zu bytes left; the file is truncated", n,
                           rr_cursor_left(c));
        *v = rr_alloc(n, sizeof **v);
        if (!*v)
            return rr_fail_memory(err, "backbone", n * sizeof **v);
        for (size_t k = 0; k < n; k++) {
            (*v)[k] = rr_cursor_f32(c);
            if (!isfinite((*v)[k]))
                return rr_fail(err, RR_ERR_DATA, "BACKBONE", RR_AT_BYTE(file, NULL, c->at - 4),
                               "a number that is not finite");
        }
    }
    if (rr_cursor_left(c))
        return rr_fail(err, RR_ERR_DATA, "BACKBONE", RR_AT_BYTE(file, NULL, c->at),
                       "%zu bytes too many", rr_cursor_left(c));
    return RR_OK;
}

static int read_head(struct rr_backbone *b, const struct rr_split *split, struct rr_cursor *c,
                     const char *file, struct rr_error *err)
{
    const unsigned char *magic = rr_cursor_take(c, 8);
    if (!magic || memcmp(magic, MAGIC, 8) != 0)
        return rr_fail(err, RR_ERR_DATA, "BACKBONE", RR_AT_BYTE(file, NULL, 0),
                       "no file of 'recrank fit': it begins otherwise");
    uint32_t v[5];
    for (int i = 0; i < 5; i++)
        v[i] = rr_cursor_u32(c);
    const uint64_t seed = rr_cursor_u64(c);
    const unsigned char *identity = rr_cursor_take(c, 64);
    const unsigned char *settings = rr_cursor_take(c, sizeof b->settings);
    if (!settings)
        return rr_fail(err, RR_ERR_DATA, "BACKBONE", RR_AT_BYTE(file, NULL, c->at),
                       "the file ends inside its head");
    for (int i = 0; i < 5; i++)
        if (v[i] > (i == 0 ? RR_BACKBONE_COUNT - 1u : i == 3 ? 65536u : 0x7fffffffu))
            return rr_fail(err, RR_ERR_DATA, "BACKBONE", RR_AT_BYTE(file, NULL, 8 + 4 * i),
                           "%u is out of range", v[i]);
    *b = (struct rr_backbone){.kind = (enum rr_backbone_kind)v[0],
                              .n_users = (int)v[1],
                              .n_items = (int)v[2],
                              .dim = (int)v[3],
                              .best_epoch = (int)v[4],
                              .seed = seed};
    snprintf(
        b->settings, sizeof b->settings, "%.71s",
        rr_show((const char *)settings, strnlen((const char *)settings, sizeof b->settings - 1)).s);
    if ((b->kind == RR_BACKBONE_MF || b->kind == RR_BACKBONE_LIGHTGCN) && !b->dim)
        return rr_fail(err, RR_ERR_DATA, "BACKBONE", RR_AT_BYTE(file, NULL, 20),
                       "factors of no dimension");
    return check_identity(b, split, identity, file, err);
}

int rr_backbone_parse(struct rr_backbone *b, const struct rr_split *split, const void *bytes,
                      size_t n, const char *file, struct rr_error *err)
{
    struct rr_sha256 sum;
    char hex[65];
    *b = (struct rr_backbone){0};
    if (n < HEAD_BYTES + SUM_BYTES)
        return rr_fail(err, RR_ERR_DATA, "BACKBONE", RR_AT_BYTE(file, NULL, n),
                       "%zu bytes; a file of 'recrank fit' has at least %d", n,
                       HEAD_BYTES + SUM_BYTES);
    struct rr_cursor c = rr_cursor_make(bytes, n - SUM_BYTES);
    int rc = read_head(b, split, &c, file, err);
    if (!rc)
        rc = read_arrays(b, &c, file, err);
    if (!rc) {
        rr_sha256_init(&sum);
        rr_sha256_add(&sum, bytes, n - SUM_BYTES);
        rr_sha256_hex(&sum, hex);
        if (memcmp(hex, (const char *)bytes + n - SUM_BYTES, SUM_BYTES) != 0)
            rc = rr_fail(err, RR_ERR_DATA, "BACKBONE", RR_AT_BYTE(file, NULL, n - SUM_BYTES),
                         "the checksum differs: the file is damaged");
    }
    if (rc)
        rr_backbone_free(b);
    return rc;
}

int rr_backbone_load(struct rr_backbone *b, const struct rr_split *split, const char *path,
                     struct rr_error *err)
{
    struct rr_map map;
    *b = (struct rr_backbone){0};
    int rc = rr_map_open(&map, path, err);
    if (rc)
        return rc;
    rc = rr_backbone_parse(b, split, map.data, map.size, path, err);
    rr_map_close(&map);
    return rc;
}
