/* See lists.h. */
#include "rec/backbone/lists.h"

#include <math.h>
#include <stdlib.h>
#include "engine/base/check.h"
#include "engine/base/file.h"
#include "engine/base/json.h"
#include "engine/base/number.h"
#include "engine/base/sha256.h"
#include "rec/data/ids.h"
#include "rec/data/text.h"

int rr_lists_make(struct rr_lists *l, const struct rr_backbone *b, const struct rr_split *split,
                  int k, struct rr_error *err)
{
    const size_t users = (size_t)b->n_users;
    float *scores = rr_alloc((size_t)b->n_items, sizeof *scores);
    *l = (struct rr_lists){.scored = true};
    l->start = rr_zalloc(users + 1, sizeof *l->start);
    l->list = rr_alloc(users * (size_t)k, sizeof *l->list);
    if (!scores || !l->start || !l->list) {
        rr_free(scores);
        rr_lists_free(l);
        return rr_fail_memory(err, "candidates", users * (size_t)k * sizeof *l->list);
    }
    size_t n = 0;
    for (int u = 0; u < b->n_users; u++) {
        const int found = rr_backbone_candidates(l->list + n, k, b, split, u, scores);
        l->n_users_listed += found > 0;
        n += (size_t)found;
        l->start[u + 1] = n;
    }
    rr_free(scores);
    return RR_OK;
}

void rr_lists_free(struct rr_lists *l)
{
    rr_free(l->start);
    rr_free(l->list);
    *l = (struct rr_lists){0};
}

/* ---- reading ------------------------------------------------------------------------------------
 */

struct entry {
    int user, item;
    float score;
    long long line;
    size_t at; /* place in the file */
};

struct importer {
    const struct rr_split *split;
    const char *file;
    struct rr_error *err;
    struct rr_ids users, items;
    struct rr_arena arena;
    struct entry *entries;
    size_t n, cap;
    bool scored;
};

static int index_ids(struct importer *im)
{
    const struct rr_dataset *d = im->split->data;
    im->users.arena = im->items.arena = &im->arena;
    bool good = true;
    for (int u = 0; good && u < d->n_users; u++)
        good = rr_ids_add(&im->users, d->user_ids[u], strlen(d->user_ids[u])) == u;
    for (int i = 0; good && i < d->n_items; i++)
        good = rr_ids_add(&im->items, d->item_ids[i], strlen(d->item_ids[i])) == i;
    return good ? RR_OK : rr_fail_memory(im->err, "ids", 0);
}

static int add(struct importer *im, const struct rr_field *user, const struct rr_field *item,
               float score, long long line)
{
    const struct entry e = {.user = rr_ids_find(&im->users, user->s, user->n),
                            .item = rr_ids_find(&im->items, item->s, item->n),
                            .score = score,
                            .line = line,
                            .at = im->n};
    if (e.user < 0 || e.item < 0) {
        const struct rr_field *f = e.user < 0 ? user : item;
        return rr_fail(im->err, RR_ERR_DATA, e.user < 0 ? "USER" : "ITEM",
                       RR_AT_LINE(im->file, e.user < 0 ? "user" : "item", line, 0),
                       "'%s' is not in the data set %s", rr_show(f->s, f->n).s,
                       im->split->data->path ? im->split->data->path : im->split->data->name);
    }
    if (!rr_grow(&im->entries, &im->cap, im->n + 1, sizeof e))
        return rr_fail_memory(im->err, "candidates", im->n * sizeof e);
    im->entries[im->n++] = e;
    return RR_OK;
}

static int parse_score(struct importer *im, float *out, const struct rr_field *f, long long line)
{
    double v;
    if (!rr_parse_double(&v, f->s, f->n) || !isfinite((float)v))
        return rr_fail(im->err, RR_ERR_DATA, "SCORE", RR_AT_LINE(im->file, "score", line, 0),
                       "'%s'; expected a number", rr_show(f->s, f->n).s);
    *out = (float)v;
    return RR_OK;
}

/* Fields between runs of blanks or tabs. */
static size_t blank_split(struct rr_field *f, size_t cap, const char *s, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n;) {
        while (i < n && (s[i] == ' ' || s[i] == '\t'))
            i++;
        const size_t from = i;
        while (i < n && s[i] != ' ' && s[i] != '\t')
            i++;
        if (i > from) {
            if (count < cap)
                f[count] = (struct rr_field){s + from, i - from};
            count++;
        }
    }
    return count;
}

#define JSON_LINES 1 /* a form beside the numbers of columns */

static int parse_columns(struct importer *im, const char *s, size_t n, long long line, size_t *form)
{
    struct rr_field f[6];
    float score = 0;
    size_t columns = rr_fields_split(f, 6, s, n, "\t");
    if (columns != 2 && columns != 3)
        columns = blank_split(f, 6, s, n);
    if ((columns != 2 && columns != 3 && columns != 6) || (*form && columns != *form))
        return rr_fail(im->err, RR_ERR_DATA, "COLUMNS", RR_AT_LINE(im->file, NULL, line, 1),
                       "%zu columns; expected %s", columns,
                       *form ? "as many as in the first line"
                             : "user, item [, score] with tabs, or a TREC run of 6");
    *form = columns;
    const struct rr_field *at = columns == 3 ? &f[2] : columns == 6 ? &f[4] : NULL;
    im->scored = at != NULL;
    int rc = at ? parse_score(im, &score, at, line) : RR_OK;
    return rc ? rc : add(im, &f[0], columns == 6 ? &f[2] : &f[1], score, line);
}

/* An id in JSON may be a string or a number. */
static bool json_id(struct rr_field *f, const struct rr_json *v)
{
    if (!v || (v->type != RR_JSON_STRING && v->type != RR_JSON_NUMBER))
        return false;
    *f = (struct rr_field){v->text, v->n_text};
    return true;
}

static int parse_json(struct importer *im, const char *s, size_t n, long long line)
{
    struct rr_arena arena = {0};
    struct rr_json *root;
    struct rr_field user, item;
    int rc = rr_json_parse(&root, &arena, s, n, im->file, 0, im->err);
    if (rc && im->err) {
        im->err->line = line;
        im->err->column = im->err->offset + 1;
        im->err->offset = -1;
    }
    const struct rr_json *list = rc ? NULL : rr_json_get(root, "candidates");
    if (!rc && (!json_id(&user, rr_json_get(root, "user")) || !list || list->type != RR_JSON_ARRAY))
        rc = rr_fail(im->err, RR_ERR_DATA, "JSON", RR_AT_LINE(im->file, NULL, line, 1),
                     "expected {\"user\":ID,\"candidates\":[{\"item\":ID,\"score\":NUMBER},...]}");
    for (const struct rr_json *c = rc ? NULL : list->child; c && !rc; c = c->next) {
        const struct rr_json *score = rr_json_get(c, "score");
        const bool good = json_id(&item, c->type == RR_JSON_OBJECT ? rr_json_get(c, "item") : c) &&
                          (!score || score->type == RR_JSON_NUMBER);
        const bool odd = good && ((score && !isfinite((float)score->number)) ||
                                  (im->n > 0 && im->scored != (score != NULL)));
        if (odd)
            rc = rr_fail(im->err, RR_ERR_DATA, "SCORE",
                         RR_AT_LINE(im->file, "candidates", line, (long long)c->offset + 1),
                         score ? "a score beyond the range of float, or the first one of the file"
                               : "no score, where others have one");
        if (odd)
            break;
        im->scored = score != NULL;
        rc = good ? add(im, &user, &item, score ? (float)score->number : 0, line)
                  : rr_fail(im->err, RR_ERR_DATA, "JSON",
                            RR_AT_LINE(im->file, "candidates", line, (long long)c->offset + 1),
                            "expected {\"item\":ID,\"score\":NUMBER} or an ID");
    }
    rr_arena_free(&arena);
    return rc;
}

static int by_user_and_score(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->user != y->user)
        return x->user > y->user ? 1 : -1;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    return (x->at > y->at) - (x->at < y->at);
}

static int by_user_and_item(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->user != y->user)
        return x->user > y->user ? 1 : -1;
    if (x->item != y->item)
        return x->item > y->item ? 1 : -1;
    return (x->at > y->at) - (x->at < y->at);
}

static int check_twice(struct importer *im)
{
    qsort(im->entries, im->n, sizeof *im->entries, by_user_and_item);
    for (size_t i = 1; i < im->n; i++) {
        const struct entry *x = &im->entries[i], *before = x - 1;
        if (x->user == before->user && x->item == before->item)
            return rr_fail(im->err, RR_ERR_DATA, "DUPLICATE",
                           RR_AT_LINE(im->file, "item", x->line, 0),
                           "item %s is a candidate of user %s already, on line %lld",
                           im->items.text[x->item], im->users.text[x->user], before->line);
    }
    return RR_OK;
}

/* The k best of each user, training likes left out. */
static int keep_best(struct importer *im, struct rr_lists *l, int k)
{
    const struct rr_split *s = im->split;
    qsort(im->entries, im->n, sizeof *im->entries, by_user_and_score);
    l->start = rr_zalloc((size_t)s->data->n_users + 1, sizeof *l->start);
    l->list = rr_alloc(im->n, sizeof *l->list);
    if (!l->start || !l->list)
        return rr_fail_memory(im->err, "candidates", im->n * sizeof *l->list);
    size_t n = 0, at = 0;
    for (int u = 0; u < s->data->n_users; u++) {
        const size_t from = n;
        bool has_test = false;
        for (; at < im->n && im->entries[at].user == u; at++) {
            const struct entry *e = &im->entries[at];
            if (n - from == (size_t)k || rr_split_is_train(s, u, e->item)) {
                l->n_dropped++;
                continue;
            }
            l->list[n++] = (struct rr_candidate){e->item, e->score};
            has_test = has_test || e->item == s->test[u].item;
        }
        l->start[u + 1] = n;
        l->n_users_listed += n > from;
        l->n_short += n > from && n - from < (size_t)k;
        l->n_without_test += n > from && !has_test;
    }
    return RR_OK;
}

int rr_lists_parse(struct rr_lists *l, const struct rr_split *split, int k, const char *text,
                   size_t n, const char *file, struct rr_error *err)
{
    struct importer im = {.split = split, .file = file, .err = err};
    struct rr_lines lines;
    struct rr_sha256 sum;
    const char *line;
    size_t len, form = 0;
    int more = 1;
    *l = (struct rr_lists){0};
    int rc = rr_lines_open(&lines, text, n, file, err);
    if (!rc)
        rc = index_ids(&im);
    while (!rc && (more = rr_lines_next(&lines, &line, &len, err)) > 0) {
        if (!len)
            continue;
        if (!form && line[0] == '{')
            form = JSON_LINES;
        rc = form == JSON_LINES ? parse_json(&im, line, len, lines.number)
                                : parse_columns(&im, line, len, lines.number, &form);
    }
    if (!rc && more < 0)
        rc = more;
    if (!rc && !im.n)
        rc = rr_fail(err, RR_ERR_DATA, "EMPTY", RR_AT_FILE(file), "no candidates");
    if (!rc)
        rc = check_twice(&im);
    if (!rc)
        rc = keep_best(&im, l, k);
    l->scored = im.scored;
    rr_sha256_init(&sum);
    rr_sha256_add(&sum, text, n);
    rr_sha256_hex(&sum, l->fingerprint);
    rr_ids_free(&im.users);
    rr_ids_free(&im.items);
    rr_arena_free(&im.arena);
    rr_free(im.entries);
    if (rc)
        rr_lists_free(l);
    return rc;
}

int rr_lists_load(struct rr_lists *l, const struct rr_split *split, int k, const char *path,
                  struct rr_error *err)
{
    struct rr_map map;
    *l = (struct rr_lists){0};
    int rc = rr_map_open(&map, path, err);
    if (rc)
        return rc;
    rc = rr_lists_parse(l, split, k, (const char *)map.data, map.size, path, err);
    rr_map_close(&map);
    return rc;
}

/* ---- writing ------------------------------------------------------------------------------------
 */

static void add_number(struct rr_buf *out, double v)
{
    char text[32];
    rr_buf_add(out, text, rr_format_double(text, v));
}

static const char *unfit_id(const char *const *ids, int n, const char *unfit)
{
    for (int i = 0; i < n; i++)
        if (!ids[i][0] || strpbrk(ids[i], unfit))
            return ids[i];
    return NULL;
}

int rr_lists_check_ids(enum rr_lists_format format, const struct rr_dataset *d,
                       struct rr_error *err)
{
    const char *unfit = format == RR_LISTS_TSV ? "\t\n\r" : " \t\n\r\v\f";
    const char *user = unfit_id(d->user_ids, d->n_users, unfit),
               *id = user ? user : unfit_id(d->item_ids, d->n_items, unfit);
    if (format == RR_LISTS_JSONL || !id)
        return RR_OK;
    return rr_fail(err, RR_ERR_DATA, "ID", RR_AT_OBJECT(d->path, id),
                   "this %s cannot stand in a %s; write JSON lines instead", user ? "user" : "item",
                   format == RR_LISTS_TSV ? "column"
                                          : "TREC run, which has blanks between columns");
}

static void write_tsv(struct rr_buf *out, const char *user, const char *item, double score,
                      bool scored)
{
    rr_buf_printf(out, "%s\t%s", user, item);
    if (scored) {
        rr_buf_puts(out, "\t");
        add_number(out, score);
    }
    rr_buf_puts(out, "\n");
}

static void write_json(struct rr_buf *out, const char *item, double score, bool scored, bool first)
{
    rr_buf_puts(out, first ? "{\"item\":" : ",{\"item\":");
    rr_json_add_string(out, item, strlen(item));
    if (scored) {
        rr_buf_puts(out, ",\"score\":");
        add_number(out, score);
    }
    rr_buf_puts(out, "}");
}

void rr_lists_write(struct rr_buf *out, enum rr_lists_format format, const struct rr_dataset *d,
                    int user, const struct rr_candidate *list, int n, bool scored, const char *tag)
{
    const char *id = d->user_ids[user];
    double before = INFINITY;
    if (format == RR_LISTS_JSONL) {
        rr_buf_puts(out, "{\"user\":");
        rr_json_add_string(out, id, strlen(id));
        rr_buf_puts(out, ",\"candidates\":[");
    }
    for (int i = 0; i < n; i++) {
        const char *item = d->item_ids[list[i].item];
        double score = scored ? (double)list[i].score : -(double)(i + 1);
        if (format == RR_LISTS_TSV) {
            write_tsv(out, id, item, score, scored);
        } else if (format == RR_LISTS_TREC) {
            score = score < before ? score : (double)nextafterf((float)before, -INFINITY);
            rr_buf_printf(out, "%s Q0 %s %d ", id, item, i + 1);
            add_number(out, score);
            rr_buf_printf(out, " %s\n", tag);
            before = score;
        } else {
            write_json(out, item, score, scored, !i);
        }
    }
    if (format == RR_LISTS_JSONL)
        rr_buf_puts(out, "]}\n");
}
