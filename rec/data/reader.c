/* See reader.h. Fields, the strict and the lenient policy; filters and numbering are in number.c.
 */
#include "rec/data/reader.h"

#include <math.h>
#include <stdio.h>
#include "engine/base/limits.h"
#include "engine/base/number.h"
#include "engine/base/utf8.h"

#define LATEST 4102444800 /* the year 2100: a time in milliseconds lies far beyond */

static const char *base_name(const char *path)
{
    const char *slash = path ? strrchr(path, '/') : NULL;
    return slash ? slash + 1 : path ? path : "";
}

static void count(struct rr_dataset *d, const char *reason, bool bad, const struct rr_where *where,
                  long long n)
{
    struct rr_dropped *x = d->dropped;
    const char *name = base_name(where->file);
    char shown[sizeof x->file];
    snprintf(shown, sizeof shown, "%.63s", rr_show(name, strnlen(name, 60)).s);
    while (x < d->dropped + d->n_dropped &&
           (strcmp(x->reason, reason) != 0 || strcmp(x->file, shown) != 0))
        x++;
    if (x == d->dropped + RR_MAX_DROPPED)
        x--; /* more kinds than anyone has: the last counts for all */
    if (x == d->dropped + d->n_dropped) {
        *x = (struct rr_dropped){.bad = bad, .line = where->line};
        snprintf(x->reason, sizeof x->reason, "%s", reason);
        memcpy(x->file, shown, sizeof shown);
        d->n_dropped++;
    }
    x->n += n;
}

int rr_reader_bad(struct rr_reader *r, const char *code, const struct rr_where *where,
                  const char *fmt, ...)
{
    if (r->o->lenient) {
        r->d->n_bad++;
        count(r->d, code, true, where, 1);
        return RR_SKIP;
    }
    va_list ap;
    va_start(ap, fmt);
    rr_vfail(r->err, RR_ERR_DATA, code, where, fmt, ap);
    va_end(ap);
    return RR_ERR_DATA;
}

void rr_reader_drop(struct rr_reader *r, const char *reason, const struct rr_where *where,
                    long long n)
{
    if (n > 0)
        count(r->d, reason, false, where, n);
}

const char *rr_reader_title(struct rr_reader *r, const struct rr_field *f)
{
    const bool latin1 = !rr_utf8_valid(f->s, f->n, NULL);
    char *out = rr_arena_alloc(&r->d->arena, 2 * f->n + 1, 1);
    if (!out)
        return NULL;
    size_t n = f->n;
    if (latin1)
        n = rr_utf8_from_latin1(out, f->s, f->n);
    else
        rr_copy(out, f->s, n);
    r->d->n_latin1 += latin1;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)out[i] < 0x20 || out[i] == 0x7f)
            out[i] = ' ';
    /* U+0080..U+009F are control characters too: two bytes, C2 and theirs. */
    for (size_t i = 0; i + 1 < n; i++)
        if ((unsigned char)out[i] == 0xC2 && (unsigned char)out[i + 1] < 0xA0)
            out[i] = out[i + 1] = ' ';
    out[n] = 0;
    return out;
}

int rr_reader_item(struct rr_reader *r, const struct rr_field *id, const struct rr_field *title,
                   const struct rr_where *where)
{
    if (title && !title->n)
        return rr_reader_bad(r, "TITLE", where, "the title is empty");
    const size_t before = r->items.n;
    const int at = rr_ids_add(&r->items, id->s, id->n);
    if (at >= 0 && (size_t)at < before)
        return rr_reader_bad(r, "DUPLICATE", where, "item %s is listed already",
                             rr_show(id->s, id->n).s);
    const char *text = title && at >= 0 ? rr_reader_title(r, title) : NULL;
    if (at < 0 || (title && !text) ||
        !rr_grow(&r->titles, &r->cap_titles, r->items.n, sizeof *r->titles))
        return rr_fail_memory(r->err, "items", r->items.n * sizeof *r->titles);
    r->titles[at] = text;
    return RR_OK;
}

/* An item that only ratings name. */
static int new_item(struct rr_reader *r, int *out, const struct rr_field *item)
{
    const size_t before = r->items.n;
    *out = rr_ids_add(&r->items, item->s, item->n);
    if (*out < 0 || !rr_grow(&r->titles, &r->cap_titles, r->items.n, sizeof *r->titles))
        return rr_fail_memory(r->err, "items", r->items.n * sizeof *r->titles);
    if (r->items.n > before)
        r->titles[*out] = NULL;
    return RR_OK;
}

int rr_reader_rating(struct rr_reader *r, const struct rr_field *user, const struct rr_field *item,
                     float value, int64_t time, const struct rr_where *where)
{
    struct rr_row row = {.value = value, .time = time, .line = where->line};
    row.item = rr_ids_find(&r->items, item->s, item->n);
    if (row.item < 0 && r->files->items.p)
        return rr_reader_bad(r, "ITEM", where, "item %s is not in %s", rr_show(item->s, item->n).s,
                             base_name(r->files->items.file));
    if (r->files->users.p && rr_ids_find(&r->known_users, user->s, user->n) < 0)
        return rr_reader_bad(r, "USER", where, "user %s is not in %s", rr_show(user->s, user->n).s,
                             base_name(r->files->users.file));
    if (row.item < 0) {
        int rc = new_item(r, &row.item, item);
        if (rc)
            return rc;
    }
    row.user = rr_ids_add(&r->users, user->s, user->n);
    if (r->n_rows >= RR_MAX_RATINGS)
        return rr_fail(r->err, RR_ERR_MEMORY, "RATINGS", where,
                       "more than %u ratings; each takes %zu bytes while reading", RR_MAX_RATINGS,
                       sizeof row);
    if (row.user < 0 || !rr_grow(&r->rows, &r->cap_rows, r->n_rows + 1, sizeof row))
        return rr_fail_memory(r->err, "ratings", (r->n_rows + 1) * sizeof row);
    r->rows[r->n_rows++] = row;
    return RR_OK;
}

int rr_reader_value(struct rr_reader *r, float *out, const struct rr_field *f,
                    const struct rr_where *where)
{
    const double min = r->scale[0], max = r->scale[1], step = r->scale[2];
    double v;
    bool good = rr_parse_double(&v, f->s, f->n) && isfinite((float)v) && v >= min && v <= max;
    if (good && step > 0) {
        const double steps = (v - min) / step;
        good = fabs(steps - floor(steps + 0.5)) < 1e-6;
    }
    if (!good && isinf(min))
        return rr_reader_bad(r, "RATING", where, "'%s'; expected a number, with a decimal point",
                             rr_show(f->s, f->n).s);
    if (!good && step == 1)
        return rr_reader_bad(r, "RATING", where,
                             "'%s'; expected a whole number from %g to %g (--scale changes that)",
                             rr_show(f->s, f->n).s, min, max);
    if (!good)
        return rr_reader_bad(
            r, "RATING", where, "'%s'; expected a number from %g to %g%s (--scale changes that)",
            rr_show(f->s, f->n).s, min, max,
            step > 0 ? " in even steps, with a decimal point" : ", with a decimal point");
    *out = (float)v;
    return RR_OK;
}

int rr_reader_time(struct rr_reader *r, int64_t *out, const struct rr_field *f,
                   const struct rr_where *where)
{
    double v;
    if (!rr_parse_double(&v, f->s, f->n) || v < 0 || v > LATEST)
        return rr_reader_bad(r, "TIME", where, "'%s'; expected seconds since 1970%s",
                             rr_show(f->s, f->n).s, f->n >= 12 ? ", are these milliseconds?" : "");
    *out = (int64_t)v;
    return RR_OK;
}

void rr_reader_scale(struct rr_reader *r, float min, float max, float step)
{
    const float format[3] = {min, max, step};
    for (int i = 0; i < 3; i++)
        r->scale[i] = isnan(r->o->scale[i]) ? (double)format[i] : r->o->scale[i];
    r->d->rating_min = (float)r->scale[0];
    r->d->rating_max = (float)r->scale[1];
    r->d->rating_step = (float)r->scale[2];
}

void rr_reader_thresholds(struct rr_reader *r, float like, float dislike)
{
    r->d->like = isnan(r->o->like) ? like : (float)r->o->like;
    r->d->dislike = isnan(r->o->dislike) ? dislike : (float)r->o->dislike;
}

void rr_reader_release(struct rr_reader *r)
{
    rr_ids_free(&r->users);
    rr_ids_free(&r->items);
    rr_ids_free(&r->known_users);
    rr_free(r->titles);
    rr_free(r->rows);
}
