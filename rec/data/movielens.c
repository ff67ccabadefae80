/* MovieLens-100K: u.data (user, item, rating, time; tabs), u.item (id | title | date | video date |
 * URL | 19 genre flags) and, where it is there, u.user (its first column counts). MovieLens-1M:
 * ratings.dat, movies.dat (id, title, genres) and users.dat, "::" between the fields. Titles are
 * ISO-8859-1. Ids are numbers. */
#include "rec/data/reader.h"

#include <stdlib.h>
#include "engine/base/number.h"

#define MAX_ID 2147483647
#define MAX_ITEM_FIELDS 24

/* What tells the two apart. */
struct format {
    const char *rating_separator, *rating_separator_name;
    const char *item_separator;
    size_t item_fields;
    const char *item_fields_name;
    size_t first_flag; /* from this field on 0 or 1; item_fields: none */
};

static const struct format ml100k = {
    "\t", "tabs", "|", 24, "id, title, dates, URL and 19 genre flags", 5};
static const struct format ml1m = {"::", "'::'", "::", 3, "id, title and genres", 3};

/* One line of a file with its number. */
struct line {
    const struct format *format;
    const char *text, *file;
    size_t n;
    long long number;
};

static struct rr_where at(const struct line *l, const char *object, const char *place)
{
    return (struct rr_where){.file = l->file,
                             .object = object,
                             .offset = -1,
                             .line = l->number,
                             .column = place - l->text + 1};
}

/* An id without leading zeros, so that one item has one spelling. */
static int parse_id(struct rr_reader *r, struct rr_field *out, const struct line *l,
                    const struct rr_field *f, const char *name)
{
    uint64_t v;
    if (!rr_parse_u64(&v, f->s, f->n, MAX_ID) || v == 0) {
        const struct rr_where where = at(l, name, f->s);
        return rr_reader_bad(r, "ID", &where, "'%s'; expected a whole number from 1 to 2^31-1",
                             rr_show(f->s, f->n).s);
    }
    *out = *f;
    while (*out->s == '0') {
        out->s++;
        out->n--;
    }
    return RR_OK;
}

static int parse_item(struct rr_reader *r, const struct line *l)
{
    const struct format *fm = l->format;
    struct rr_field f[MAX_ITEM_FIELDS], id = {0};
    const size_t n = rr_fields_split(f, MAX_ITEM_FIELDS, l->text, l->n, fm->item_separator);
    struct rr_where where = at(l, NULL, l->text);
    if (n != fm->item_fields)
        return rr_reader_bad(r, "COLUMNS", &where,
                             "%zu columns separated by '%s'; expected %zu: %s", n,
                             fm->item_separator, fm->item_fields, fm->item_fields_name);
    int rc = parse_id(r, &id, l, &f[0], "item id");
    if (rc)
        return rc;
    for (size_t i = fm->first_flag; i < fm->item_fields; i++)
        if (f[i].n != 1 || (f[i].s[0] != '0' && f[i].s[0] != '1')) {
            where = at(l, "genre flag", f[i].s);
            return rr_reader_bad(r, "GENRE", &where, "'%s'; expected 0 or 1",
                                 rr_show(f[i].s, f[i].n).s);
        }
    where = at(l, f[1].n ? "item id" : "title", f[1].n ? l->text : f[1].s);
    return rr_reader_item(r, &id, &f[1], &where);
}

static int parse_user(struct rr_reader *r, const struct line *l)
{
    struct rr_field f[1], id = {0};
    rr_fields_split(f, 1, l->text, l->n, l->format->item_separator);
    int rc = parse_id(r, &id, l, &f[0], "user id");
    if (!rc && rr_ids_add(&r->known_users, id.s, id.n) < 0)
        rc = rr_fail_memory(r->err, "users", r->known_users.n);
    return rc;
}

/* What a line with the wrong number of columns may be instead. */
static const char *looks_like(const struct line *l)
{
    struct rr_field f[4];
    if (rr_fields_split(f, 4, l->text, l->n, "|") > 4)
        return " (this looks like u.item)";
    if (rr_fields_split(f, 4, l->text, l->n, "::") == 4)
        return " (this looks like ratings.dat of MovieLens-1M)";
    if (rr_fields_split(f, 4, l->text, l->n, "\t") == 4)
        return " (this looks like u.data of MovieLens-100K)";
    if (rr_fields_split(f, 4, l->text, l->n, ",") >= 3)
        return " (this looks like CSV: give the file itself to --data)";
    return "";
}

static int parse_rating(struct rr_reader *r, const struct line *l)
{
    struct rr_field f[4], user = {0}, item = {0};
    const size_t n = rr_fields_split(f, 4, l->text, l->n, l->format->rating_separator);
    struct rr_where where = at(l, NULL, l->text);
    float value;
    int64_t time;
    if (n != 4)
        return rr_reader_bad(r, "COLUMNS", &where,
                             "%zu column%s separated by %s; expected 4: user, item, rating, time%s",
                             n, n == 1 ? "" : "s", l->format->rating_separator_name, looks_like(l));
    int rc = parse_id(r, &user, l, &f[0], "user id");
    if (!rc)
        rc = parse_id(r, &item, l, &f[1], "item id");
    if (rc)
        return rc;
    where = at(l, "rating", f[2].s);
    if ((rc = rr_reader_value(r, &value, &f[2], &where)) != 0)
        return rc;
    where = at(l, "time", f[3].s);
    if ((rc = rr_reader_time(r, &time, &f[3], &where)) != 0)
        return rc;
    where = at(l, "rating", l->text);
    where.column = 0;
    return rr_reader_rating(r, &user, &item, value, time, &where);
}

static int parse_file(struct rr_reader *r, const struct format *format, const struct rr_bytes *b,
                      int (*parse)(struct rr_reader *, const struct line *))
{
    struct rr_lines lines;
    struct line l = {.format = format, .file = b->file};
    int more, rc = rr_lines_open(&lines, b->p, b->n, b->file, r->err);
    while (rc >= 0 &&
           (more = rr_lines_next(&lines, &l.text, &l.n, r->o->lenient ? NULL : r->err)) != 0) {
        if (more < 0 && !r->o->lenient)
            return more;
        l.number = lines.number;
        r->d->n_lines += more < 0 || l.n > 0;
        if (more < 0)
            rc = rr_reader_bad(r, "LINE", RR_AT_LINE(b->file, NULL, l.number, 0), "no text");
        else if (l.n)
            rc = parse(r, &l);
    }
    return rc < 0 ? rc : RR_OK;
}

static int read_movielens(struct rr_reader *r, const struct format *format)
{
    r->d->noun = "movie";
    r->d->nouns = "movies";
    r->d->has_times = r->d->has_ratings = true;
    rr_reader_scale(r, 1, 5, 1);
    rr_reader_thresholds(r, 4, 2);
    int rc = parse_file(r, format, &r->files->items, parse_item);
    if (!rc && r->files->users.p)
        rc = parse_file(r, format, &r->files->users, parse_user);
    if (!rc)
        rc = parse_file(r, format, &r->files->ratings, parse_rating);
    return rc;
}

int rr_read_ml100k(struct rr_reader *r)
{
    return read_movielens(r, &ml100k);
}

int rr_read_ml1m(struct rr_reader *r)
{
    return read_movielens(r, &ml1m);
}
