/* More of the data readers: what was found after formats_data_test.c was written. */
#include "tests/make_texts.h"
#include "tests/test.h"

#define HEAD "user,item,rating,time\n"
#define PAIRS "user,item,rating\n1,1,5\n1,2,1\n"
#define INTER "user_id:token\titem_id:token\trating:float\n1\t1\t5\n1\t2\t3\n"

/* Files with letters beyond ASCII and long names count like others. */
Test(lenient, counts_by_reason_whatever_the_file_is_called)
{
    static const char *const names[] = {
        "/a/B\xC3\xBC"
        "cher.csv",
        "1234567890123456789012345678901234567890123456789012345678901234567890"};
    static const char text[] = HEAD "1,1,5,1\n1,2,1,1\n1,3,x,1\n1,4,x,1\n";
    for (size_t i = 0; i < COUNT(names); i++) {
        const struct rr_data_options o = options(true);
        const struct rr_files files = {{text, sizeof text - 1, names[i]}, {0}, {0}};
        struct rr_dataset d = {0};
        struct rr_error err = {0};
        cr_assert(rr_dataset_parse(&d, RR_FORMAT_CSV, &files, &o, &err) == 0, "%s", err.text);
        cr_assert(d.n_dropped == 1 && d.dropped[0].n == 2, "%d reasons, the first %lld times",
                  d.n_dropped, d.dropped[0].n);
        rr_dataset_close(&d);
    }
}

/* The newer MovieLens: likes from 4, dislikes to 2, as the older ones, with a byte order mark, too.
 */
Test(csv, newer_movielens_has_the_thresholds_of_the_older)
{
    static const char *const heads[] = {"", "\xEF\xBB\xBF"};
    for (size_t i = 0; i < 2; i++) {
        struct rr_buf b = {0};
        rr_buf_printf(&b, "%suserId,movieId,rating,timestamp\n1,1,3.5,1\n1,2,2,1\n", heads[i]);
        const struct texts t = {b.data, "movieId,title\n1,A\n2,B\n", NULL, 0};
        const struct rr_data_options o = options(false);
        struct rr_dataset d;
        struct rr_error err;
        cr_assert(parse(&d, RR_FORMAT_CSV, &t, &o, &err) == 0, "%s", err.text);
        cr_assert(d.like == 4 && d.dislike == 2 && d.rating_min == 0.5f && d.rating_max == 5 &&
                      strcmp(d.noun, "movie") == 0,
                  "like %g, dislike %g, %s", (double)d.like, (double)d.dislike, d.noun);
        rr_dataset_close(&d);
        rr_buf_free(&b);
    }
}

/* A tenth is no binary number: the scale stays in double, or 8.7 stands between its steps. */
Test(csv, a_step_of_a_tenth_takes_every_tenth)
{
    struct rr_buf b = {0};
    rr_buf_puts(&b, "user,item,rating\n");
    for (int i = 10; i <= 100; i++)
        rr_buf_printf(&b, "%d,%d,%d.%d\n", i, i % 7, i / 10, i % 10);
    const struct texts t = {b.data, NULL, NULL, 0};
    struct rr_data_options o = options(false);
    struct rr_dataset d;
    struct rr_error err;
    o.scale[0] = 1;
    o.scale[1] = 10;
    o.scale[2] = 0.1;
    cr_assert(parse(&d, RR_FORMAT_CSV, &t, &o, &err) == 0, "%s, line %lld", err.text, err.line);
    cr_assert(d.n_ratings == 91, "%zu ratings", d.n_ratings);
    rr_dataset_close(&d);
    rr_buf_free(&b);
}

/* A column may be named that only one of the two files has. */
Test(csv, columns_named_for_one_file_leave_the_other_alone)
{
    static const struct {
        const char *ratings, *items, *columns;
    } cases[] = {
        {PAIRS, "item,label\n1,A\n2,B\n", "title=label"},
        {"user,film,rating\n1,1,5\n1,2,1\n", "movieId,title\n1,A\n2,B\n", "item=film"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct rr_data_options o = options(false);
        const struct texts t = {cases[i].ratings, cases[i].items, NULL, 0};
        struct rr_dataset d;
        struct rr_error err;
        o.columns = cases[i].columns;
        cr_assert(parse(&d, RR_FORMAT_CSV, &t, &o, &err) == 0, "%s: %s", cases[i].columns,
                  err.text);
        cr_assert(strcmp(d.titles[0], "A") == 0, "%s: '%s'", cases[i].columns, d.titles[0]);
        rr_dataset_close(&d);
    }
}

/* No advice that RecBole's files cannot follow; a file of users that names none knows none. */
Test(recbole, has_no_named_columns_and_needs_its_users)
{
    const struct texts t = {"uzer:token\titem_id:token\n1\t1\n", NULL, NULL, 0};
    const struct rr_data_options o = options(false);
    struct rr_dataset d;
    struct rr_error err;
    cr_assert(parse(&d, RR_FORMAT_RECBOLE, &t, &o, &err) == RR_ERR_DATA &&
                  !strstr(err.text, "--columns"),
              "%s", err.text);
    rr_dataset_close(&d);
    const struct texts none = {INTER, NULL, "user_id:token\n", 0};
    cr_assert(parse(&d, RR_FORMAT_RECBOLE, &none, &o, &err) == RR_ERR_DATA &&
                  strcmp(err.code, "USER") == 0 && err.line == 2,
              "a file of no users: %s", err.code);
    rr_dataset_close(&d);
}
