/* The end of every reader: duplicates, filters, the k-core, and dense numbers in the order of ids.
 * Rows are marked dropped by user -1 and squeezed out. */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "engine/base/limits.h"
#include "rec/data/reader.h"

static void squeeze(struct rr_reader *r)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_rows; i++)
        if (r->rows[i].user >= 0)
            r->rows[n++] = r->rows[i];
    r->n_rows = n;
}

static int by_pair_and_line(const void *a, const void *b)
{
    const struct rr_row *const *x = a, *const *y = b;
    if ((*x)->user != (*y)->user)
        return (*x)->user > (*y)->user ? 1 : -1;
    if ((*x)->item != (*y)->item)
        return (*x)->item > (*y)->item ? 1 : -1;
    return *x < *y ? -1 : *x > *y; /* rows stand in file order */
}

/* A user rates an item once: strict refuses the second line, lenient keeps the first. */
static int check_duplicates(struct rr_reader *r)
{
    struct rr_row **sorted = rr_alloc(r->n_rows, sizeof *sorted);
    int rc = RR_OK;
    if (!sorted)
        return rr_fail_memory(r->err, "ratings", r->n_rows * sizeof *sorted);
    for (size_t i = 0; i < r->n_rows; i++)
        sorted[i] = &r->rows[i];
    qsort(sorted, r->n_rows, sizeof *sorted, by_pair_and_line);
    /* A time below zero marks a second line: minus the number of the first. The file's order is
     * that of the reports. */
    const struct rr_row *first = r->n_rows ? sorted[0] : NULL;
    for (size_t i = 1; i < r->n_rows; i++) {
        struct rr_row *x = sorted[i];
        if (x->user != first->user || x->item != first->item)
            first = x;
        else
            x->time = -first->line;
    }
    for (size_t i = 0; i < r->n_rows && rc >= 0; i++) {
        struct rr_row *x = &r->rows[i];
        if (x->time >= 0)
            continue;
        rc = rr_reader_bad(r, "DUPLICATE", RR_AT_LINE(r->files->ratings.file, "rating", x->line, 0),
                           "user %s has rated item %s on line %lld already",
                           rr_show(r->users.text[x->user], strlen(r->users.text[x->user])).s,
                           rr_show(r->items.text[x->item], strlen(r->items.text[x->item])).s,
                           (long long)-x->time);
        x->user = -1;
    }
    rr_free(sorted);
    squeeze(r);
    return rc < 0 ? rc : RR_OK;
}

static void drop_low(struct rr_reader *r)
{
    const size_t before = r->n_rows;
    char reason[48];
    if (isnan(r->o->min_rating))
        return;
    for (size_t i = 0; i < r->n_rows; i++)
        if ((double)r->rows[i].value < r->o->min_rating)
            r->rows[i].user = -1;
    squeeze(r);
    snprintf(reason, sizeof reason, "rating below %g", r->o->min_rating);
    rr_reader_drop(r, reason, RR_NOWHERE, (long long)(before - r->n_rows));
}

/* Drops ratings of users and items with fewer than k of them until none is left to drop. */
static int keep_core(struct rr_reader *r, int k)
{
    const size_t before = r->n_rows;
    int *of_user = rr_alloc(r->users.n, sizeof *of_user),
        *of_item = rr_alloc(r->items.n, sizeof *of_item);
    bool changed = of_user && of_item;
    while (changed) {
        memset(of_user, 0, r->users.n * sizeof *of_user);
        memset(of_item, 0, r->items.n * sizeof *of_item);
        for (size_t i = 0; i < r->n_rows; i++) {
            of_user[r->rows[i].user]++;
            of_item[r->rows[i].item]++;
        }
        changed = false;
        for (size_t i = 0; i < r->n_rows; i++)
            if (of_user[r->rows[i].user] < k || of_item[r->rows[i].item] < k) {
                r->rows[i].user = -1;
                changed = true;
            }
        squeeze(r);
    }
    const bool done = of_user && of_item;
    rr_free(of_user);
    rr_free(of_item);
    if (!done)
        return rr_fail_memory(r->err, "k-core", (r->users.n + r->items.n) * sizeof(int));
    char reason[48];
    snprintf(reason, sizeof reason, "outside the %d-core", k);
    rr_reader_drop(r, reason, RR_NOWHERE, (long long)(before - r->n_rows));
    return RR_OK;
}

struct named {
    const char *text;
    int old;
};

static int by_bytes(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    return strcmp(x->text, y->text);
}

/* Digits without leading zeros: the longer number is the larger one. */
static int by_number(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    const size_t n = strlen(x->text), m = strlen(y->text);
    return n != m ? (n > m ? 1 : -1) : strcmp(x->text, y->text);
}

static bool is_number(const char *s)
{
    if (*s == '0')
        return s[1] == 0;
    const char *p = s;
    while (*p >= '0' && *p <= '9')
        p++;
    return p > s && !*p;
}

/* Numbers those of ids that are kept, in order: *new_of[old] (rr_free) is the new number or -1,
 * texts the ids by new number, in the data set's arena. */
static int number(struct rr_reader *r, const struct rr_ids *ids, const bool *kept, int **new_of,
                  const char ***texts, int *n_out)
{
    struct named *list = rr_alloc(ids->n, sizeof *list);
    size_t n = 0;
    bool numbers = true;
    *new_of = rr_alloc(ids->n, sizeof **new_of);
    for (size_t i = 0; list && *new_of && i < ids->n; i++) {
        (*new_of)[i] = -1;
        if (!kept[i])
            continue;
        list[n++] = (struct named){ids->text[i], (int)i};
        numbers = numbers && is_number(ids->text[i]);
    }
    *texts = rr_arena_alloc(&r->d->arena, n, sizeof **texts);
    const bool done = list && *new_of && *texts;
    if (done) {
        qsort(list, n, sizeof *list, numbers ? by_number : by_bytes);
        for (size_t i = 0; i < n; i++) {
            (*new_of)[list[i].old] = (int)i;
            (*texts)[i] = list[i].text;
        }
    }
    *n_out = (int)n;
    rr_free(list);
    return done ? RR_OK : rr_fail_memory(r->err, "ids", ids->n * sizeof *list);
}

static int number_all(struct rr_reader *r, const bool *user_kept, const bool *item_kept)
{
    struct rr_dataset *d = r->d;
    int *user_of = NULL, *item_of = NULL;
    int rc = number(r, &r->users, user_kept, &user_of, &d->user_ids, &d->n_users);
    if (!rc)
        rc = number(r, &r->items, item_kept, &item_of, &d->item_ids, &d->n_items);
    if (!rc) {
        d->titles = rr_arena_alloc(&d->arena, (size_t)d->n_items, sizeof *d->titles);
        d->ratings = rr_alloc(r->n_rows, sizeof *d->ratings);
        if (!d->titles || !d->ratings)
            rc = rr_fail_memory(r->err, "ratings", r->n_rows * sizeof *d->ratings);
    }
    for (size_t i = 0; !rc && i < r->items.n; i++)
        if (item_of[i] >= 0) {
            d->titles[item_of[i]] = r->titles[i] ? r->titles[i] : r->items.text[i];
            d->has_titles = d->has_titles || r->titles[i];
        }
    for (size_t i = 0; !rc && i < r->n_rows; i++)
        d->ratings[i] = (struct rr_rating){user_of[r->rows[i].user], item_of[r->rows[i].item],
                                           r->rows[i].value, r->rows[i].time};
    d->n_ratings = r->n_rows;
    rr_free(user_of);
    rr_free(item_of);
    return rc;
}

int rr_reader_finish(struct rr_reader *r)
{
    const char *file = r->files->ratings.file;
    if (!r->n_rows)
        return rr_fail(r->err, RR_ERR_DATA, "EMPTY", RR_AT_FILE(file), "no ratings");
    int rc = check_duplicates(r);
    if (rc)
        return rc;
    drop_low(r);
    if (r->d->core > 1 && (rc = keep_core(r, r->d->core)) != 0)
        return rc;
    if (!r->n_rows)
        return rr_fail(r->err, RR_ERR_DATA, "EMPTY", RR_AT_FILE(file),
                       "no ratings are left by the filters (%s)", r->d->settings);
    if (r->users.n > RR_MAX_USERS || r->items.n > RR_MAX_ITEMS)
        return rr_fail(r->err, RR_ERR_DATA, "LIMIT", RR_AT_FILE(file), "%zu users and %zu items",
                       r->users.n, r->items.n);
    bool *user_kept = rr_zalloc(r->users.n, sizeof *user_kept),
         *item_kept = rr_zalloc(r->items.n, sizeof *item_kept);
    if (user_kept && item_kept) {
        /* The whole catalogue stays, unless a core was asked for. */
        memset(item_kept, r->d->core > 1 ? 0 : 1, r->items.n * sizeof *item_kept);
        for (size_t i = 0; i < r->n_rows; i++)
            user_kept[r->rows[i].user] = item_kept[r->rows[i].item] = true;
        rc = number_all(r, user_kept, item_kept);
    } else {
        rc = rr_fail_memory(r->err, "ids", r->users.n + r->items.n);
    }
    rr_free(user_kept);
    rr_free(item_kept);
    return rc;
}
