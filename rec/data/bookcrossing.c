/* BookCrossing in the dialect of its distribution: BX-Book-Ratings.csv (user, ISBN, rating) and
 * BX-Books.csv (ISBN, title, author, ...); ';' between fields, all in double quotes, \" and
 * \\ inside them, ISO-8859-1, a header line. Ratings are 1 to 10; 0 means "read, not rated" and is
 * dropped, and so is a rating of a book that is not listed: the raw distribution has tens of
 * thousands. There are no times: the order of the file stands for them. */
#include "rec/data/csv.h"
#include "rec/data/reader.h"

#define MAX_FIELDS 8

/* The next good record of at least `least` fields, or 0 at the end. */
static int next_record(struct rr_reader *r, struct rr_csv *c, struct rr_field *f, size_t least)
{
    struct rr_error why = {0};
    for (;;) {
        size_t n;
        int rc = rr_csv_next(c, f, MAX_FIELDS, &n, r->o->lenient ? &why : r->err);
        if (rc < 0 && r->o->lenient && r->err)
            *r->err = why;
        if (rc <= 0)
            return rc;
        r->d->n_lines++;
        if (rc == RR_CSV_BAD && !r->o->lenient)
            return RR_ERR_DATA;
        const struct rr_where where = {.file = c->file, .offset = -1, .line = c->line, .column = 1};
        if (rc == RR_CSV_BAD)
            rr_reader_bad(r, why.code, &where, "%s", why.text);
        else if (n >= least)
            return 1;
        else if ((rc = rr_reader_bad(r, "COLUMNS", &where,
                                     "%zu fields separated by ';'; expected at least %zu", n,
                                     least)) < 0)
            return rc;
    }
}

static bool begins(const struct rr_field *f, const char *word)
{
    return f->n == strlen(word) && memcmp(f->s, word, f->n) == 0;
}

static int read_header(struct rr_reader *r, struct rr_csv *c, const char *const *names, size_t n)
{
    struct rr_field f[MAX_FIELDS];
    int rc = next_record(r, c, f, n);
    if (rc <= 0)
        return rc ? rc
                  : rr_fail(r->err, RR_ERR_DATA, "HEADER", RR_AT_LINE(c->file, NULL, 1, 1),
                            "no header line");
    r->d->n_lines--;
    for (size_t i = 0; i < n; i++)
        if (!begins(&f[i], names[i]))
            return rr_fail(r->err, RR_ERR_DATA, "HEADER", RR_AT_LINE(c->file, NULL, c->line, 1),
                           "column %zu is called '%s'; expected '%s', the header of BookCrossing "
                           "(for other CSV give the file itself to --data, with --columns)",
                           i + 1, rr_show(f[i].s, f[i].n).s, names[i]);
    return RR_OK;
}

static int read_books(struct rr_reader *r)
{
    static const char *const names[] = {"ISBN", "Book-Title"};
    const struct rr_bytes *b = &r->files->items;
    struct rr_csv c;
    struct rr_field f[MAX_FIELDS];
    int rc = rr_csv_open(&c, b->p, b->n, b->file, ';', true, r->err);
    if (!rc)
        rc = read_header(r, &c, names, 2);
    while (rc >= 0 && (rc = next_record(r, &c, f, 2)) > 0) {
        struct rr_where where = {.file = c.file, .offset = -1, .line = c.line, .column = 1};
        where.object = f[0].n ? "title" : "ISBN";
        rc = f[0].n ? rr_reader_item(r, &f[0], &f[1], &where)
                    : rr_reader_bad(r, "ID", &where, "the ISBN is empty");
    }
    rr_csv_close(&c);
    return rc < 0 ? rc : RR_OK;
}

static int read_rating(struct rr_reader *r, const struct rr_csv *c, const struct rr_field *f)
{
    struct rr_where where = {.file = c->file, .offset = -1, .line = c->line};
    float value;
    for (int i = 0; i < 2; i++)
        if (!f[i].n) {
            where.object = i ? "ISBN" : "user id";
            return rr_reader_bad(r, "ID", &where, "the field is empty");
        }
    if (f[2].n == 1 && f[2].s[0] == '0') {
        rr_reader_drop(r, "rating 0: read, not rated", &where, 1);
        return RR_SKIP;
    }
    where.object = "rating";
    int rc = rr_reader_value(r, &value, &f[2], &where);
    if (rc)
        return rc;
    if (rr_ids_find(&r->items, f[1].s, f[1].n) < 0) {
        rr_reader_drop(r, "the book is not in BX-Books.csv", &where, 1);
        return RR_SKIP;
    }
    return rr_reader_rating(r, &f[0], &f[1], value, 0, &where);
}

int rr_read_bookcrossing(struct rr_reader *r)
{
    static const char *const names[] = {"User-ID", "ISBN", "Book-Rating"};
    const struct rr_bytes *b = &r->files->ratings;
    struct rr_csv c;
    struct rr_field f[MAX_FIELDS];
    r->d->noun = "book";
    r->d->nouns = "books";
    r->d->has_ratings = true;
    if (r->o->core < 0)
        r->d->core = 10;
    rr_reader_scale(r, 1, 10, 1);
    rr_reader_thresholds(r, 8, 4);
    int rc = read_books(r);
    if (rc)
        return rc;
    rc = rr_csv_open(&c, b->p, b->n, b->file, ';', true, r->err);
    if (!rc)
        rc = read_header(r, &c, names, 3);
    while (rc >= 0 && (rc = next_record(r, &c, f, 3)) > 0)
        rc = read_rating(r, &c, f);
    rr_csv_close(&c);
    return rc < 0 ? rc : RR_OK;
}
