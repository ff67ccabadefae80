/* CSV, RecBole's atomic files and BookCrossing, strict and lenient: the input is ratings, items and
 * (RecBole) users, cut at its first bytes 0x1E (record separator); without one it is ratings beside
 * fixed items, and items beside fixed ratings. The two policies must agree where no line is bad;
 * what loads is whole, and is split, too. */
#include <stdlib.h>
#include <string.h>
#include "engine/base/utf8.h"
#include "rec/data/split.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void check_title(const char *s)
{
    const size_t n = strlen(s);
    check(rr_utf8_valid(s, n, NULL));
    for (size_t i = 0; i < n; i++)
        check((unsigned char)s[i] >= 0x20 && s[i] != 0x7f);
}

static void check_whole(const struct rr_dataset *d)
{
    long long n_bad = 0;
    check(d->n_users > 0 && d->n_items > 0 && d->n_ratings > 0 && d->n_bad <= d->n_lines);
    for (size_t i = 0; i < d->n_ratings; i++) {
        const struct rr_rating *r = &d->ratings[i];
        check(r->user >= 0 && r->user < d->n_users && r->item >= 0 && r->item < d->n_items);
        check(r->value >= d->rating_min && r->value <= d->rating_max && r->time >= 0);
    }
    for (int i = 0; d->has_titles && i < d->n_items; i++)
        if (d->titles[i] != d->item_ids[i])
            check_title(d->titles[i]);
    for (int i = 0; i < d->n_dropped; i++) {
        check(d->dropped[i].n > 0);
        n_bad += d->dropped[i].bad ? d->dropped[i].n : 0;
    }
    check(n_bad == d->n_bad);
}

static void split(const struct rr_dataset *d)
{
    struct rr_split s;
    struct rr_buf out = {0};
    if (rr_split_make(&s, d, rr_split_default_order(d), NULL) != 0)
        return;
    check(s.train_start[d->n_users] <= s.rated_start[d->n_users] &&
          s.rated_start[d->n_users] <= d->n_ratings);
    for (int part = RR_SPLIT_TRAIN; part <= RR_SPLIT_TEST; part++)
        rr_split_write(&out, &s, (enum rr_split_part)part);
    rr_buf_free(&out);
    rr_split_free(&s);
}

/* Ratings kept, or -1. */
static long long load(enum rr_format format, const struct rr_files *files, bool lenient, int core,
                      long long *n_bad)
{
    struct rr_data_options o;
    struct rr_dataset d = {0};
    struct rr_error err = {0};
    rr_data_defaults(&o);
    o.lenient = lenient;
    o.core = core;
    int rc = rr_dataset_parse(&d, format, files, &o, &err);
    check(rc == err.status);
    if (rc == 0) {
        check_whole(&d);
        split(&d);
    }
    const long long kept = rc ? -1 : (long long)d.n_ratings;
    *n_bad = d.n_bad;
    rr_dataset_close(&d);
    return kept;
}

static void load_all(enum rr_format format, const struct rr_files *files)
{
    long long none, skipped, in_core;
    const long long strict = load(format, files, false, 0, &none),
                    lenient = load(format, files, true, 0, &skipped);
    check(none == 0);
    check(strict < 0 ? lenient < 0 || skipped > 0 : lenient == strict && skipped == 0);
    check(load(format, files, true, 2, &in_core) <= lenient && in_core == skipped);
}

static struct rr_bytes upto_mark(const char **at, const char *end, const char *file)
{
    const size_t n = (size_t)(end - *at);
    const char *cut = n ? memchr(*at, 0x1E, n) : NULL;
    const struct rr_bytes b = {*at, cut ? (size_t)(cut - *at) : n, file};
    *at = cut ? cut + 1 : NULL;
    return b;
}

static const struct {
    enum rr_format format;
    const char *ratings, *items;
} fixed[] = {
    {RR_FORMAT_CSV, "user,item,rating,time\n1,1,5,7\n1,2,4,8\n1,3,3,9\n2,1,1,7\n",
     "item,title\n1,A\n2,B\n3,C\n"},
    {RR_FORMAT_RECBOLE, "user_id:token\titem_id:token\trating:float\n1\t1\t5\n1\t2\t4\n1\t3\t1\n",
     "item_id:token\ttitle:token_seq\n1\tA\n2\tB\n3\tC\n"},
    {RR_FORMAT_BOOKCROSSING, "\"User-ID\";\"ISBN\";\"Book-Rating\"\n1;1;9\n1;2;8\n1;3;1\n",
     "\"ISBN\";\"Book-Title\"\n\"1\";\"A\"\n2;B\n3;C\n"},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = size ? (const char *)data : "", *end = text + size, *at = text;
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++) {
        const bool books = fixed[i].format == RR_FORMAT_BOOKCROSSING;
        const struct rr_bytes items = {fixed[i].items, strlen(fixed[i].items), "items"},
                              ratings = {fixed[i].ratings, strlen(fixed[i].ratings), "ratings"};
        struct rr_files files = {.ratings = upto_mark(&at, end, "ratings")};
        if (at) {
            files.items = upto_mark(&at, end, "items");
            if (at && fixed[i].format == RR_FORMAT_RECBOLE)
                files.users = upto_mark(&at, end, "users");
            load_all(fixed[i].format, &files);
        } else {
            if (!books) /* alone: only BookCrossing needs a list of items */
                load_all(fixed[i].format, &files);
            files.items = items;
            load_all(fixed[i].format, &files);
            files.items = (struct rr_bytes){text, size, "items"};
            files.ratings = ratings;
            load_all(fixed[i].format, &files);
        }
        at = text;
    }
    return 0;
}
