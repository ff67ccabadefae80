/* Tables with a header line: RecBole's atomic files (tabs, "name:type") and CSV. Columns are found
 * by name, in any order; names are compared without case, '-', '_' and blanks. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include "rec/data/csv.h"
#include "rec/data/reader.h"

#define MAX_COLUMNS 128
enum role { USER, ITEM, RATING, TIME, TITLE, N_ROLES };
static const char *const role_names[N_ROLES] = {"user", "item", "rating", "time", "title"};

/* The names that a role has in the wild, the most usual first. */
static const char *const usual[N_ROLES][10] = {
    {"userid", "user", "uid", "reviewerid"},
    {"itemid", "movieid", "item", "iid", "isbn", "asin", "bookid", "businessid"},
    {"rating", "bookrating", "score", "stars", "overall"},
    {"timestamp", "time", "unixreviewtime"},
    {"title", "movietitle", "itemtitle", "booktitle", "name"},
};

struct table {
    struct rr_reader *r;
    struct rr_csv csv;
    struct rr_field f[MAX_COLUMNS];
    size_t n_columns;
    int column[N_ROLES]; /* -1: not there */
};

static struct rr_where here(const struct table *t, const char *object)
{
    return (struct rr_where){
        .file = t->csv.file, .object = object, .offset = -1, .line = t->csv.line};
}

/* The next record with the header's number of fields: 1, 0 at the end, or a status. */
static int next_record(struct table *t)
{
    struct rr_error why = {0};
    const bool lenient = t->r->o->lenient;
    for (;;) {
        size_t n;
        int rc = rr_csv_next(&t->csv, t->f, MAX_COLUMNS, &n, lenient ? &why : t->r->err);
        if (rc < 0 && lenient && t->r->err)
            *t->r->err = why;
        if (rc <= 0)
            return rc;
        t->r->d->n_lines++;
        if (rc == RR_CSV_BAD && !lenient)
            return RR_ERR_DATA;
        const struct rr_where where = here(t, NULL);
        if (rc == RR_CSV_BAD)
            rr_reader_bad(t->r, why.code, &where, "%s", why.text);
        else if (n == t->n_columns)
            return 1;
        else if ((rc = rr_reader_bad(t->r, "COLUMNS", &where,
                                     "%zu fields; the header has %zu columns", n, t->n_columns)) <
                 0)
            return rc;
    }
}

/* Letters and digits of a column's name, lower case, without RecBole's ":type". */
static void normal(char out[64], const struct rr_field *f)
{
    size_t n = 0;
    for (size_t i = 0; i < f->n && f->s[i] != ':' && n < 63; i++)
        if (f->s[i] != '-' && f->s[i] != '_' && f->s[i] != ' ')
            out[n++] = (char)tolower((unsigned char)f->s[i]);
    out[n] = 0;
}

/* The name that --columns gives a role: *n bytes at the result, or NULL. */
static const char *chosen(const char *columns, enum role role, size_t *n)
{
    const size_t len = strlen(role_names[role]);
    for (const char *p = columns; p && *p;) {
        const char *comma = strchr(p, ',');
        const size_t part = comma ? (size_t)(comma - p) : strlen(p);
        if (part > len && memcmp(p, role_names[role], len) == 0 && p[len] == '=') {
            *n = part - len - 1;
            return p + len + 1;
        }
        p = comma ? comma + 1 : NULL;
    }
    return NULL;
}

/* In the file of items a name that it does not have may be that of the ratings' column. */
static int find_column(const struct table *t, enum role role, bool ratings)
{
    char name[64];
    size_t n;
    const char *wanted = chosen(t->r->o->columns, role, &n);
    for (size_t c = 0; wanted && c < t->n_columns; c++)
        if (t->f[c].n == n && memcmp(t->f[c].s, wanted, n) == 0)
            return (int)c;
    if (wanted && (ratings || role != ITEM))
        return -1;
    for (int u = 0; usual[role][u]; u++)
        for (size_t c = 0; c < t->n_columns; c++) {
            normal(name, &t->f[c]);
            if (strcmp(name, usual[role][u]) == 0)
                return (int)c;
        }
    return -1;
}

static int no_column(struct table *t, enum role role)
{
    struct rr_buf names = {0};
    size_t n = 0;
    const char *wanted = chosen(t->r->o->columns, role, &n);
    for (size_t c = 0; c < t->n_columns; c++)
        rr_buf_printf(&names, "%s'%s'", c ? ", " : "", rr_show(t->f[c].s, t->f[c].n).s);
    struct rr_where where = here(t, role_names[role]);
    where.column = 1;
    rr_fail_(t->r->err, RR_ERR_DATA, "HEADER", &where,
             "no column %s%s%s; the first line has %.2000s%s%s%s", wanted ? "'" : "for it",
             wanted ? rr_show(wanted, n).s : "", wanted ? "'" : "",
             names.data ? names.data : "nothing", t->csv.no_quotes ? "" : "; say --columns ",
             t->csv.no_quotes ? "" : role_names[role], t->csv.no_quotes ? "" : "=NAME");
    rr_buf_free(&names);
    return RR_ERR_DATA;
}

/* The separator that stands most often in the first line. */
static char guess_separator(const struct rr_bytes *b)
{
    static const char candidates[] = {',', ';', '\t'};
    size_t best_n = 0;
    char best = ',';
    for (size_t s = 0; s < sizeof candidates; s++) {
        size_t n = 0, i = 0;
        while (i < b->n && (b->p[i] == '\n' || b->p[i] == '\r'))
            i++; /* the header may stand behind blank lines */
        for (; i < b->n && b->p[i] != '\n' && b->p[i] != '\r'; i++)
            n += b->p[i] == candidates[s];
        if (n > best_n) {
            best_n = n;
            best = candidates[s];
        }
    }
    return best;
}

/* Opens a file and reads its header; the roles in `needed` (a bit each) must be there. */
static int open_table(struct table *t, struct rr_reader *r, const struct rr_bytes *b, bool recbole,
                      unsigned needed)
{
    *t = (struct table){.r = r};
    int rc = rr_csv_open(&t->csv, b->p, b->n, b->file, recbole ? '\t' : guess_separator(b), false,
                         r->err);
    t->csv.no_quotes = recbole;
    if (rc)
        return rc;
    rc = rr_csv_next(&t->csv, t->f, MAX_COLUMNS, &t->n_columns, r->err);
    if (rc != RR_CSV_RECORD)
        return rc < 0             ? rc
               : rc == RR_CSV_BAD ? RR_ERR_DATA
                                  : rr_fail(r->err, RR_ERR_DATA, "HEADER",
                                            RR_AT_LINE(b->file, NULL, 1, 1), "no header line");
    if (t->n_columns > MAX_COLUMNS)
        return rr_fail(r->err, RR_ERR_DATA, "HEADER", RR_AT_LINE(b->file, NULL, t->csv.line, 1),
                       "%zu columns; at most %d are read", t->n_columns, MAX_COLUMNS);
    for (int role = 0; role < N_ROLES; role++) {
        t->column[role] = find_column(t, (enum role)role, b == &r->files->ratings);
        size_t n;
        const bool named = chosen(r->o->columns, (enum role)role, &n) != NULL;
        /* A title may be named that only the file of items has. */
        const bool here_too = b == &r->files->ratings && (role != TITLE || !r->files->items.p);
        if (t->column[role] < 0 && (needed >> role & 1 || (named && here_too)))
            return no_column(t, (enum role)role);
    }
    return RR_OK;
}

static const struct rr_field *field(const struct table *t, enum role role)
{
    return t->column[role] < 0 ? NULL : &t->f[t->column[role]];
}

static int read_items(struct rr_reader *r, bool recbole)
{
    struct table t;
    int rc = open_table(&t, r, &r->files->items, recbole, 1u << ITEM | 1u << TITLE);
    while (rc >= 0 && (rc = next_record(&t)) > 0) {
        const struct rr_where where = here(&t, "item");
        rc = field(&t, ITEM)->n ? rr_reader_item(r, field(&t, ITEM), field(&t, TITLE), &where)
                                : rr_reader_bad(r, "ID", &where, "the id is empty");
    }
    rr_csv_close(&t.csv);
    return rc < 0 ? rc : RR_OK;
}

static int read_users(struct rr_reader *r)
{
    struct table t;
    int rc = open_table(&t, r, &r->files->users, true, 1u << USER);
    while (rc >= 0 && (rc = next_record(&t)) > 0)
        if (rr_ids_add(&r->known_users, field(&t, USER)->s, field(&t, USER)->n) < 0)
            rc = rr_fail_memory(r->err, "users", r->known_users.n);
    rr_csv_close(&t.csv);
    return rc < 0 ? rc : RR_OK;
}

static int read_row(struct table *t)
{
    struct rr_reader *r = t->r;
    const struct rr_field *user = field(t, USER), *item = field(t, ITEM), *title = field(t, TITLE);
    struct rr_where where = here(t, NULL);
    float value = r->d->rating_max;
    int64_t time = 0;
    int rc = RR_OK;
    for (int role = USER; role <= ITEM; role++)
        if (!field(t, (enum role)role)->n) {
            where.object = role_names[role];
            return rr_reader_bad(r, "ID", &where, "the id is empty");
        }
    where.object = "rating";
    if (t->column[RATING] >= 0)
        rc = rr_reader_value(r, &value, field(t, RATING), &where);
    where.object = "time";
    if (!rc && t->column[TIME] >= 0)
        rc = rr_reader_time(r, &time, field(t, TIME), &where);
    where.object = "title";
    if (!rc && title && !r->files->items.p && rr_ids_find(&r->items, item->s, item->n) < 0)
        rc = rr_reader_item(r, item, title, &where);
    where.object = "rating";
    return rc ? rc : rr_reader_rating(r, user, item, value, time, &where);
}

/* A scale that nothing names is that of the ratings found. */
static int observed_scale(struct rr_reader *r)
{
    struct rr_dataset *d = r->d;
    float low = INFINITY, high = -INFINITY;
    for (size_t i = 0; i < r->n_rows; i++) {
        low = fminf(low, r->rows[i].value);
        high = fmaxf(high, r->rows[i].value);
    }
    if (isnan(r->o->scale[0]))
        d->rating_min = low;
    if (isnan(r->o->scale[1]))
        d->rating_max = high;
    d->scale_found = true;
    return !(low < high) && r->n_rows
               ? rr_fail(
                     r->err, RR_ERR_DATA, "SCALE", RR_AT_FILE(r->files->ratings.file),
                     "all ratings are %g: what is high cannot be told; say --scale MIN:MAX:STEP",
                     (double)low)
               : RR_OK;
}

static int read_ratings(struct rr_reader *r, bool recbole)
{
    struct rr_dataset *d = r->d;
    struct table t;
    int rc = open_table(&t, r, &r->files->ratings, recbole, 1u << USER | 1u << ITEM);
    d->has_ratings = t.column[RATING] >= 0;
    d->has_times = t.column[TIME] >= 0;
    if (!rc && !d->has_ratings)
        rr_reader_scale(r, 1, 5, 1); /* every line counts as a like of the highest rating */
    while (rc >= 0 && (rc = next_record(&t)) > 0)
        rc = read_row(&t);
    rr_csv_close(&t.csv);
    return rc < 0 ? rc : RR_OK;
}

/* ratings.csv of the newer MovieLens releases has these columns and half stars. */
static bool is_movielens(const struct rr_bytes *b)
{
    static const char head[] = "userId,movieId,rating,timestamp";
    const size_t mark = b->n >= 3 && memcmp(b->p, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    return b->n - mark >= sizeof head - 1 && memcmp(b->p + mark, head, sizeof head - 1) == 0;
}

static int read_tables(struct rr_reader *r, bool recbole)
{
    struct rr_dataset *d = r->d;
    const bool movielens = !recbole && is_movielens(&r->files->ratings);
    d->noun = movielens ? "movie" : "item";
    d->nouns = movielens ? "movies" : "items";
    rr_reader_scale(r, movielens ? 0.5f : -INFINITY, movielens ? 5 : INFINITY,
                    movielens ? 0.5f : 0);
    int rc = r->files->items.p ? read_items(r, recbole) : RR_OK;
    if (!rc && r->files->users.p)
        rc = read_users(r);
    if (!rc)
        rc = read_ratings(r, recbole);
    if (!rc && (!isfinite(d->rating_min) || !isfinite(d->rating_max)))
        rc = observed_scale(r);
    /* The upper and the lower quarter of the scale: 4 and 2 of 1..5. */
    const double min = (double)d->rating_min, range = (double)d->rating_max - min;
    rr_reader_thresholds(r, movielens ? 4 : (float)(min + 0.75 * range),
                         movielens ? 2 : (float)(min + 0.25 * range));
    return rc;
}

int rr_read_recbole(struct rr_reader *r)
{
    return read_tables(r, true);
}

int rr_read_csv(struct rr_reader *r)
{
    return read_tables(r, false);
}
