/* recrank data: what a data set holds, and what was dropped of it and why. */
#include <math.h>
#include <string.h>
#include "engine/base/json.h"
#include "tools/data.h"

#define MOST_LEVELS 100 /* of a scale whose ratings are counted one by one */

static void print_levels(const struct rr_dataset *d)
{
    const double min = (double)d->rating_min, step = (double)d->rating_step;
    const double levels = step > 0 ? floor(((double)d->rating_max - min) / step + 0.5) + 1 : 0;
    size_t n[MOST_LEVELS] = {0};
    if (!(levels >= 1 && levels <= MOST_LEVELS))
        return;
    for (size_t i = 0; i < d->n_ratings; i++)
        n[(int)(((double)d->ratings[i].value - min) / step + 0.5)]++;
    for (int i = 0; i < (int)levels; i++)
        printf("  %4g    %9zu  %5.1f %%\n", (double)(float)(min + i * step), n[i],
               100.0 * (double)n[i] / (double)d->n_ratings);
}

static int print_text(const struct opened_data *o, struct rr_error *err)
{
    const struct rr_dataset *d = &o->dataset;
    const struct rr_split *s = &o->split;
    int n_test = 0, n_valid = 0, n_counted = 0, rated = 0;
    int *count = rr_zalloc((size_t)d->n_items, sizeof *count);
    if (!count)
        return rr_fail_memory(err, "counts", (size_t)d->n_items * sizeof *count);
    for (int u = 0; u < d->n_users; u++) {
        n_test += s->test[u].item >= 0;
        n_valid += s->valid[u].item >= 0;
        n_counted += rr_split_counts(s, u);
    }
    for (size_t i = 0; i < d->n_ratings; i++)
        rated += count[d->ratings[i].item]++ == 0;
    rr_free(count);
    printf("data      %s (%s), sha256 %s\n", d->path, d->name, d->fingerprint);
    printf("reading   %s%s%s\n", d->settings, d->has_times ? "" : ", no times",
           d->has_ratings ? "" : ", no ratings: every line is a like");
    printf(
        "\nusers     %d\nitems     %d, %d of them rated%s\nratings   %zu, %.4f %% of all pairs\n",
        d->n_users, d->n_items, rated, d->has_titles ? "" : ", no titles: ids stand for them",
        d->n_ratings, 100.0 * (double)d->n_ratings / d->n_users / d->n_items);
    if (d->n_latin1)
        printf("titles    %d read as ISO-8859-1, the rest as UTF-8\n", d->n_latin1);
    print_levels(d);
    printf("likes     %d by %d users; dislikes %d\n", s->n_likes, s->n_users_with_likes,
           s->n_dislikes);
    printf(
        "split     leave-one-out by %s: %zu train, %d validation, %d test; %d items in training\n",
        s->order == RR_SPLIT_BY_TIME ? "time" : "file order", s->train_start[d->n_users], n_valid,
        n_test, s->n_train_items);
    printf("          %d users count in the metrics; %d have fewer than 3 likes, which all train\n",
           n_counted, s->n_too_few);
    if (s->n_ties)
        printf("          %lld users' last two likes have one time: file order decides\n",
               s->n_ties);
    if (d->n_dropped) {
        printf("\nleft out of %lld lines\n", d->n_lines);
        data_print_dropped(stdout, d);
    }
    return RR_OK;
}

static void print_json(struct rr_buf *out, const struct opened_data *o)
{
    const struct rr_dataset *d = &o->dataset;
    const struct rr_split *s = &o->split;
    int n_test = 0, n_valid = 0, n_counted = 0;
    for (int u = 0; u < d->n_users; u++) {
        n_test += s->test[u].item >= 0;
        n_valid += s->valid[u].item >= 0;
        n_counted += rr_split_counts(s, u);
    }
    rr_buf_puts(out, "{\"data\":");
    rr_json_add_string(out, d->path, strlen(d->path));
    rr_buf_printf(out, ",\"format\":\"%s\",\"sha256\":\"%s\",\"settings\":", d->name,
                  d->fingerprint);
    rr_json_add_string(out, d->settings, strlen(d->settings));
    rr_buf_printf(out,
                  ",\"users\":%d,\"items\":%d,\"ratings\":%zu,\"has_times\":%s,\"has_titles\":%s,"
                  "\"has_ratings\":%s,\"core\":%d,\"scale\":[",
                  d->n_users, d->n_items, d->n_ratings, d->has_times ? "true" : "false",
                  d->has_titles ? "true" : "false", d->has_ratings ? "true" : "false", d->core);
    rr_json_add_double(out, (double)d->rating_min);
    rr_buf_puts(out, ",");
    rr_json_add_double(out, (double)d->rating_max);
    rr_buf_puts(out, "],\"like\":");
    rr_json_add_double(out, (double)d->like);
    rr_buf_puts(out, ",\"dislike\":");
    rr_json_add_double(out, (double)d->dislike);
    rr_buf_printf(out,
                  ",\"likes\":%d,\"dislikes\":%d,\"users_with_likes\":%d,\"split\":\"%s\","
                  "\"train\":%zu,\"valid\":%d,\"test\":%d,\"train_items\":%d,\"counted\":%d,"
                  "\"too_few\":%d,\"ties\":%lld,\"lines\":%lld,\"bad_lines\":%lld,\"dropped\":[",
                  s->n_likes, s->n_dislikes, s->n_users_with_likes,
                  s->order == RR_SPLIT_BY_TIME ? "time" : "file", s->train_start[d->n_users],
                  n_valid, n_test, s->n_train_items, n_counted, s->n_too_few, s->n_ties, d->n_lines,
                  d->n_bad);
    for (int i = 0; i < d->n_dropped; i++) {
        const struct rr_dropped *x = &d->dropped[i];
        rr_buf_printf(out, "%s{\"reason\":", i ? "," : "");
        rr_json_add_string(out, x->reason, strlen(x->reason));
        rr_buf_printf(out, ",\"bad\":%s,\"n\":%lld,\"file\":", x->bad ? "true" : "false", x->n);
        rr_json_add_string(out, x->file, strlen(x->file));
        rr_buf_printf(out, ",\"line\":%lld}", x->line);
    }
    rr_buf_puts(out, "]}\n");
}

static int run(const struct command *c, int argc, char **argv)
{
    struct data_options o = DATA_OPTIONS_INIT;
    bool json = false;
    struct option opts[] = {
        DATA_OPTION_ROWS(o),
        {"json", 0, OPT_FLAG, &json, NULL, "one JSON object instead of a table", 0, 0, false},
    };
    struct args a;
    struct opened_data d;
    struct rr_buf out = {0};
    int rc = args_parse(&a, c, opts, COUNT(opts), argc, argv);
    if (rc >= 0)
        return rc;
    if ((rc = data_open(&d, c, &o)) >= 0)
        return rc;
    struct rr_error err = {0};
    rc = RR_OK;
    if (json)
        print_json(&out, &d);
    else
        rc = print_text(&d, &err);
    if (out.failed)
        rc = rr_fail_memory(&err, "output", out.n);
    else if (json)
        fwrite(out.data, 1, out.n, stdout);
    rr_buf_free(&out);
    rc = rc ? tool_fail(&err) : tool_finish();
    if (!rc)
        rc = data_verdict(&d.dataset);
    data_close(&d);
    return rc;
}

const struct command cmd_data = {
    .name = "data",
    .synopsis = "--data PATH [--lenient] [--core K] [--json]",
    .summary = "what a data set holds, and what was dropped and why",
    .examples = "  recrank data --data ml-100k\n"
                "  recrank data --data ratings.csv --columns user=uid,item=film,rating=stars\n",
    .notes =
        "Formats are told apart by the files there: MovieLens-100K (u.data, u.item), MovieLens-1M "
        "(ratings.dat, movies.dat),\n"
        "BookCrossing (BX-Book-Ratings.csv, BX-Books.csv; 0 is dropped, 10-core), ratings.csv with "
        "movies.csv or items.csv, one\n"
        "RecBole .inter file (with .item and .user beside it), or a single CSV file with a header "
        "line. Exit code 65 when more than\n"
        "0.1 % of the lines were bad.\n",
    .min_args = 0,
    .max_args = 0,
    .run = run,
};
