/* MovieLens-100K: u.data (user, item, rating, time; tabs) and u.item (id | title | date | video
 * date | URL | 19 genre flags). MovieLens-1M: ratings.dat and movies.dat (id, title, genres), "::"
 * between the fields. Titles are ISO-8859-1. Ids are numbers; they become dense in ascending order.
 */
#include "rec/data/dataset.h"

#include <stdlib.h>
#include <string.h>
#include "engine/base/limits.h"
#include "engine/base/number.h"
#include "engine/base/utf8.h"
#include "rec/data/text.h"

#define MAX_ID 2147483647
#define MAX_ITEM_FIELDS 24
#define LATEST 4102444800 /* the year 2100: a time in milliseconds lies far beyond */

struct item {
    int64_t id;
    const char *title;
    long long line;
};

struct raw_rating {
    int64_t user, item;
    float value;
    int64_t time;
    long long line;
};

/* What tells the two apart. */
struct format {
    const char *name, *items_name;
    const char *rating_separator, *rating_separator_name;
    const char *item_separator;
    size_t item_fields;
    const char *item_fields_name;
    size_t first_flag; /* from this field on 0 or 1; item_fields: none */
};

static const struct format ml100k = {
    "ml-100k", "u.item", "\t", "tabs", "|", 24, "id, title, dates, URL and 19 genre flags", 5};
static const struct format ml1m = {
    "ml-1m", "movies.dat", "::", "'::'", "::", 3, "id, title and genres", 3};

struct parser {
    const struct format *format;
    struct rr_dataset *d;
    struct rr_error *err;
    struct item *items;
    size_t n_items, cap_items;
    struct raw_rating *ratings;
    size_t n_ratings, cap_ratings;
};

#define BAD(l, code, object, column, ...)                                                          \
    rr_fail(p->err, RR_ERR_DATA, code, RR_AT_LINE((l)->file, object, (l)->number, column),         \
            __VA_ARGS__)

static int parse_id(struct parser *p, const struct rr_lines *l, int64_t *out,
                    const struct rr_field *f, const char *line, const char *name)
{
    uint64_t v;
    if (!rr_parse_u64(&v, f->s, f->n, MAX_ID) || v == 0)
        return BAD(l, "ID", name, f->s - line + 1, "'%s'; expected a whole number from 1 to 2^31-1",
                   rr_show(f->s, f->n).s);
    *out = (int64_t)v;
    return RR_OK;
}

/* A title as UTF-8 without control characters. Bytes that are already valid UTF-8 beyond ASCII
 * are kept as they are. */
static const char *clean_title(struct parser *p, const struct rr_field *f)
{
    bool latin1 = !rr_utf8_valid(f->s, f->n, NULL);
    char *out = rr_arena_alloc(&p->d->arena, 2 * f->n + 1, 1);
    if (!out)
        return NULL;
    size_t n = f->n;
    if (latin1)
        n = rr_utf8_from_latin1(out, f->s, f->n);
    else
        memcpy(out, f->s, n);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)out[i] < 0x20 || out[i] == 0x7f)
            out[i] = ' ';
    out[n] = 0;
    return out;
}

static int parse_item(struct parser *p, const struct rr_lines *l, const char *line, size_t len)
{
    const struct format *fm = p->format;
    struct rr_field f[MAX_ITEM_FIELDS];
    size_t n = rr_fields_split(f, MAX_ITEM_FIELDS, line, len, fm->item_separator);
    if (n != fm->item_fields)
        return BAD(l, "COLUMNS", NULL, 1, "%zu columns separated by '%s'; expected %zu: %s", n,
                   fm->item_separator, fm->item_fields, fm->item_fields_name);
    struct item it = {.line = l->number};
    int rc = parse_id(p, l, &it.id, &f[0], line, "item id");
    if (rc)
        return rc;
    if (!f[1].n)
        return BAD(l, "TITLE", "title", f[1].s - line + 1, "the title is empty");
    for (size_t i = fm->first_flag; i < fm->item_fields; i++)
        if (f[i].n != 1 || (f[i].s[0] != '0' && f[i].s[0] != '1'))
            return BAD(l, "GENRE", "genre flag", f[i].s - line + 1, "'%s'; expected 0 or 1",
                       rr_show(f[i].s, f[i].n).s);
    it.title = clean_title(p, &f[1]);
    if (!it.title || !rr_grow(&p->items, &p->cap_items, p->n_items + 1, sizeof *p->items))
        return rr_fail_memory(p->err, "items", p->n_items * sizeof *p->items);
    p->items[p->n_items++] = it;
    return RR_OK;
}

/* What a line with the wrong number of columns may be instead. */
static const char *looks_like(const char *line, size_t len)
{
    struct rr_field f[4];
    if (rr_fields_split(f, 4, line, len, "|") > 4)
        return " (this looks like u.item)";
    if (rr_fields_split(f, 4, line, len, "::") == 4)
        return " (this looks like ratings.dat of MovieLens-1M)";
    if (rr_fields_split(f, 4, line, len, "\t") == 4)
        return " (this looks like u.data of MovieLens-100K)";
    return "";
}

static int parse_rating(struct parser *p, const struct rr_lines *l, const char *line, size_t len)
{
    struct rr_field f[4];
    size_t n = rr_fields_split(f, 4, line, len, p->format->rating_separator);
    if (n != 4)
        return BAD(l, "COLUMNS", NULL, 1,
                   "%zu column%s separated by %s; expected 4: user, item, rating, time%s", n,
                   n == 1 ? "" : "s", p->format->rating_separator_name, looks_like(line, len));
    struct raw_rating r = {.line = l->number};
    uint64_t value, time;
    int rc = parse_id(p, l, &r.user, &f[0], line, "user id");
    if (!rc)
        rc = parse_id(p, l, &r.item, &f[1], line, "item id");
    if (rc)
        return rc;
    if (!rr_parse_u64(&value, f[2].s, f[2].n, 5) || value < 1)
        return BAD(l, "RATING", "rating", f[2].s - line + 1,
                   "'%s'; expected a whole number from 1 to 5", rr_show(f[2].s, f[2].n).s);
    if (!rr_parse_u64(&time, f[3].s, f[3].n, LATEST))
        return BAD(l, "TIME", "time", f[3].s - line + 1, "'%s'; expected seconds since 1970",
                   rr_show(f[3].s, f[3].n).s);
    r.value = (float)value;
    r.time = (int64_t)time;
    if (!rr_grow(&p->ratings, &p->cap_ratings, p->n_ratings + 1, sizeof *p->ratings))
        return rr_fail_memory(p->err, "ratings", p->n_ratings * sizeof *p->ratings);
    p->ratings[p->n_ratings++] = r;
    return RR_OK;
}

static int parse_file(struct parser *p, const struct rr_bytes *b,
                      int (*parse)(struct parser *, const struct rr_lines *, const char *, size_t))
{
    struct rr_lines l = {.text = b->p, .n = b->n, .file = b->file};
    const char *line;
    size_t len;
    int more, rc = rr_text_check(b->p, b->n, b->file, p->err);
    if (!rc && b->n >= 3 && memcmp(b->p, "\xEF\xBB\xBF", 3) == 0)
        l.at = 3; /* a UTF-8 byte order mark */
    while (!rc && (more = rr_lines_next(&l, &line, &len, p->err)) != 0) {
        if (more < 0)
            return more;
        if (len)
            rc = parse(p, &l, line, len);
    }
    return rc;
}

static int item_order(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

static int id_order(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static const char *id_text(struct parser *p, int64_t id)
{
    struct rr_buf b = {0};
    rr_buf_printf(&b, "%lld", (long long)id);
    const char *s = b.failed ? NULL : rr_arena_copy(&p->d->arena, b.data, b.n);
    rr_buf_free(&b);
    return s;
}

static int number_items(struct parser *p, const char *file)
{
    struct rr_dataset *d = p->d;
    if (!p->n_items || p->n_items > RR_MAX_ITEMS)
        return rr_fail(p->err, RR_ERR_DATA, "EMPTY", RR_AT_FILE(file), "%zu items", p->n_items);
    qsort(p->items, p->n_items, sizeof *p->items, item_order);
    for (size_t i = 1; i < p->n_items; i++)
        if (p->items[i].id == p->items[i - 1].id)
            return rr_fail(p->err, RR_ERR_DATA, "DUPLICATE",
                           RR_AT_LINE(file, "item id", p->items[i].line, 0),
                           "item %lld is on line %lld already", (long long)p->items[i].id,
                           p->items[i - 1].line);
    d->n_items = (int)p->n_items;
    d->item_ids = rr_arena_alloc(&d->arena, p->n_items, sizeof *d->item_ids);
    d->titles = rr_arena_alloc(&d->arena, p->n_items, sizeof *d->titles);
    if (!d->item_ids || !d->titles)
        return rr_fail_memory(p->err, "items", p->n_items * sizeof *d->titles);
    for (size_t i = 0; i < p->n_items; i++) {
        d->titles[i] = p->items[i].title;
        d->item_ids[i] = id_text(p, p->items[i].id);
        if (!d->item_ids[i])
            return rr_fail_memory(p->err, "items", 0);
    }
    return RR_OK;
}

/* The distinct user ids in order, in *ids (rr_free). */
static int number_users(struct parser *p, int64_t **ids, const char *file)
{
    struct rr_dataset *d = p->d;
    size_t n = 0;
    *ids = NULL;
    if (!p->n_ratings)
        return rr_fail(p->err, RR_ERR_DATA, "EMPTY", RR_AT_FILE(file), "no ratings");
    *ids = rr_alloc(p->n_ratings, sizeof **ids);
    if (!*ids)
        return rr_fail_memory(p->err, "users", p->n_ratings * sizeof **ids);
    for (size_t i = 0; i < p->n_ratings; i++)
        (*ids)[i] = p->ratings[i].user;
    qsort(*ids, p->n_ratings, sizeof **ids, id_order);
    for (size_t i = 0; i < p->n_ratings; i++)
        if (!n || (*ids)[n - 1] != (*ids)[i])
            (*ids)[n++] = (*ids)[i];
    if (!n || n > RR_MAX_USERS)
        return rr_fail(p->err, RR_ERR_DATA, "EMPTY", RR_AT_FILE(file), "%zu users", n);
    d->n_users = (int)n;
    d->user_ids = rr_arena_alloc(&d->arena, n, sizeof *d->user_ids);
    if (!d->user_ids)
        return rr_fail_memory(p->err, "users", n * sizeof *d->user_ids);
    for (size_t u = 0; u < n; u++)
        if (!(d->user_ids[u] = id_text(p, (*ids)[u])))
            return rr_fail_memory(p->err, "users", 0);
    return RR_OK;
}

static int pair_order(const void *a, const void *b)
{
    const struct raw_rating *const *x = a, *const *y = b;
    if ((*x)->user != (*y)->user)
        return (*x)->user > (*y)->user ? 1 : -1;
    if ((*x)->item != (*y)->item)
        return (*x)->item > (*y)->item ? 1 : -1;
    return ((*x)->line > (*y)->line) - ((*x)->line < (*y)->line);
}

static int check_duplicates(struct parser *p, const char *file)
{
    const struct raw_rating **sorted = rr_alloc(p->n_ratings, sizeof *sorted);
    int rc = RR_OK;
    if (!sorted)
        return rr_fail_memory(p->err, "ratings", p->n_ratings * sizeof *sorted);
    for (size_t i = 0; i < p->n_ratings; i++)
        sorted[i] = &p->ratings[i];
    qsort(sorted, p->n_ratings, sizeof *sorted, pair_order);
    for (size_t i = 1; i < p->n_ratings && !rc; i++)
        if (sorted[i]->user == sorted[i - 1]->user && sorted[i]->item == sorted[i - 1]->item)
            rc = rr_fail(
                p->err, RR_ERR_DATA, "DUPLICATE", RR_AT_LINE(file, "rating", sorted[i]->line, 0),
                "user %lld has rated item %lld on line %lld already", (long long)sorted[i]->user,
                (long long)sorted[i]->item, sorted[i - 1]->line);
    rr_free(sorted);
    return rc;
}

static int number_ratings(struct parser *p, const char *file)
{
    struct rr_dataset *d = p->d;
    int64_t *ids = NULL;
    int rc = number_users(p, &ids, file);
    d->ratings = rc ? NULL : rr_alloc(p->n_ratings, sizeof *d->ratings);
    if (!rc && !d->ratings)
        rc = rr_fail_memory(p->err, "ratings", p->n_ratings * sizeof *d->ratings);
    for (size_t i = 0; i < p->n_ratings && !rc; i++) {
        const struct raw_rating *r = &p->ratings[i];
        const struct item key = {.id = r->item};
        const struct item *it = bsearch(&key, p->items, p->n_items, sizeof key, item_order);
        const int64_t *u = bsearch(&r->user, ids, (size_t)d->n_users, sizeof *ids, id_order);
        if (!it)
            rc = rr_fail(p->err, RR_ERR_DATA, "ITEM", RR_AT_LINE(file, "item id", r->line, 0),
                         "item %lld is not in %s", (long long)r->item, p->format->items_name);
        else
            d->ratings[d->n_ratings++] =
                (struct rr_rating){(int)(u - ids), (int)(it - p->items), r->value, r->time};
    }
    rr_free(ids);
    return rc;
}

static int parse_movielens(struct rr_dataset *d, const struct format *format,
                           const struct rr_bytes *ratings, const struct rr_bytes *items,
                           struct rr_error *err)
{
    struct parser p = {.format = format, .d = d, .err = err};
    d->name = format->name;
    d->noun = "movie";
    d->rating_min = 1;
    d->rating_max = 5;
    d->like = 4;
    d->dislike = 2;
    int rc = parse_file(&p, items, parse_item);
    if (!rc)
        rc = number_items(&p, items->file);
    if (!rc)
        rc = parse_file(&p, ratings, parse_rating);
    if (!rc)
        rc = check_duplicates(&p, ratings->file);
    if (!rc)
        rc = number_ratings(&p, ratings->file);
    rr_free(p.items);
    rr_free(p.ratings);
    return rc;
}

int rr_dataset_parse_ml100k(struct rr_dataset *d, const struct rr_bytes *ratings,
                            const struct rr_bytes *items, struct rr_error *err)
{
    return parse_movielens(d, &ml100k, ratings, items, err);
}

int rr_dataset_parse_ml1m(struct rr_dataset *d, const struct rr_bytes *ratings,
                          const struct rr_bytes *items, struct rr_error *err)
{
    return parse_movielens(d, &ml1m, ratings, items, err);
}
