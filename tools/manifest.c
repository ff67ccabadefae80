/* See manifest.h. */
#include "tools/manifest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/sha256.h"

struct job {
    const struct rr_weights *w;
    char (*sums)[65]; /* [n_tensors] */
};

static void sum_of(void *arg, int task, int worker)
{
    struct job *j = arg;
    struct rr_sha256 s;
    (void)worker;
    rr_sha256_init(&s);
    rr_sha256_add(&s, j->w->tensors[task].data, (size_t)j->w->tensors[task].n_bytes);
    rr_sha256_hex(&s, j->sums[task]);
}

/* A line of the list. */
struct line {
    const char *sum, *kind, *name; /* kind: type and shape */
    size_t n_kind, n_name;
};

static int by_name(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    const int c = memcmp(x->name, y->name, x->n_name < y->n_name ? x->n_name : y->n_name);
    return c ? c : (x->n_name > y->n_name) - (x->n_name < y->n_name);
}

/* "sha256 TYPE [shape] name" */
static bool split(struct line *l, const char *s, size_t n)
{
    const char *end = n > 65 ? memchr(s + 65, ']', n - 65) : NULL;
    if (!end || s[64] != ' ' || (size_t)(end - s) + 2 >= n || end[1] != ' ')
        return false;
    *l = (struct line){s, s + 65, end + 2, (size_t)(end + 1 - s) - 65, n - (size_t)(end + 2 - s)};
    return true;
}

static int read_lines(struct line **lines, size_t *n_lines, const char *text, size_t n,
                      const char *file, struct rr_error *err)
{
    size_t cap = 0, number = 1;
    for (const char *s = text; s < text + n; number++) {
        const char *end = memchr(s, '\n', (size_t)(text + n - s));
        const size_t len = (size_t)((end ? end : text + n) - s);
        if (!rr_grow(lines, &cap, *n_lines + 1, sizeof **lines))
            return rr_fail_memory(err, "checksums", *n_lines);
        if (!split(&(*lines)[*n_lines], s, len))
            return rr_fail(err, RR_ERR_DATA, "CHECKSUM", RR_AT_BYTE(file, "line", s - text),
                           "line %zu is no \"sha256 TYPE [shape] name\"", number);
        ++*n_lines;
        s += len + 1;
    }
    if (*n_lines)
        qsort(*lines, *n_lines, sizeof **lines, by_name);
    return RR_OK;
}

static int check_tensor(const struct rr_stored *t, const char *sum, const struct line *lines,
                        size_t n, const char *file, struct rr_error *err)
{
    char kind[256];
    int at = snprintf(kind, sizeof kind, "%s [", t->type_name);
    for (int d = 0; d < t->n_dims; d++)
        at += snprintf(kind + at, sizeof kind - (size_t)at, "%s%llu", d ? "," : "",
                       (unsigned long long)t->shape[d]);
    snprintf(kind + at, sizeof kind - (size_t)at, "]");
    const struct line key = {.name = t->name, .n_name = strlen(t->name)};
    const struct line *l = n ? bsearch(&key, lines, n, sizeof *lines, by_name) : NULL;
    if (!l)
        return rr_fail(err, RR_ERR_DATA, "CHECKSUM", RR_AT_OBJECT(t->file, t->name),
                       "is not in %s: another model, or another list", file);
    if (l->n_kind != strlen(kind) || memcmp(l->kind, kind, l->n_kind) != 0)
        return rr_fail(err, RR_ERR_DATA, "CHECKSUM", RR_AT_OBJECT(t->file, t->name),
                       "is %s, but %s in %s", kind, rr_show(l->kind, l->n_kind).s, file);
    if (memcmp(l->sum, sum, 64) != 0)
        return rr_fail(err, RR_ERR_DATA, "CHECKSUM",
                       RR_AT_BYTE(t->file, t->name, (long long)t->offset),
                       "sha256 %.16s..., but %.16s... in %s: the file is damaged", sum,
                       rr_show(l->sum, 64).s, file);
    return RR_OK;
}

/* A name of the list that no tensor has, when their numbers differ. */
static int check_all_there(const struct rr_weights *w, const struct line *lines, size_t n,
                           const char *file, struct rr_error *err)
{
    for (size_t i = 0; i < n; i++) {
        bool there = false;
        for (size_t k = 0; k < w->n_tensors && !there; k++)
            there = strlen(w->tensors[k].name) == lines[i].n_name &&
                    memcmp(w->tensors[k].name, lines[i].name, lines[i].n_name) == 0;
        if (!there)
            return rr_fail(err, RR_ERR_DATA, "CHECKSUM", RR_AT_FILE(w->path),
                           "has no tensor '%s', which %s lists",
                           rr_show(lines[i].name, lines[i].n_name).s, file);
    }
    return n == w->n_tensors
               ? RR_OK
               : rr_fail(err, RR_ERR_DATA, "CHECKSUM", RR_AT_FILE(file), "lists a tensor twice");
}

int manifest_check(struct rr_engine *e, const struct rr_weights *w, const char *text, size_t n,
                   const char *file, struct rr_error *err)
{
    struct job j = {w, rr_alloc(w->n_tensors, sizeof *j.sums)};
    struct line *lines = NULL;
    size_t n_lines = 0;
    int rc = j.sums ? read_lines(&lines, &n_lines, text, n, file, err)
                    : rr_fail_memory(err, "checksums", w->n_tensors * sizeof *j.sums);
    if (!rc)
        rr_pool_run(e->pool, sum_of, &j, (int)w->n_tensors);
    for (size_t i = 0; i < w->n_tensors && !rc; i++)
        rc = check_tensor(&w->tensors[i], j.sums[i], lines, n_lines, file, err);
    if (!rc && n_lines != w->n_tensors)
        rc = check_all_there(w, lines, n_lines, file, err);
    rr_free(j.sums);
    rr_free(lines);
    return rc;
}

int manifest_check_file(struct rr_engine *e, const struct rr_weights *w, const char *file,
                        struct rr_error *err)
{
    struct rr_map map;
    int rc = rr_map_open(&map, file, err);
    if (rc)
        return rc;
    rc = manifest_check(e, w, (const char *)map.data, map.size, file, err);
    rr_map_close(&map);
    return rc;
}

int manifest_write(const char *path, const struct rr_buf *sums, struct rr_error *err)
{
    struct rr_out out = {0};
    if (sums->failed)
        return rr_fail_memory(err, "checksums", sums->n);
    int rc = rr_out_open(&out, path, err);
    if (rc)
        return rc;
    fwrite(sums->data, 1, sums->n, out.f);
    return rr_out_commit(&out, err);
}
