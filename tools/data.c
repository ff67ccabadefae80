/* See data.h. */
#include "tools/data.h"

#include <string.h>
#include "engine/base/file.h"
#include "engine/base/number.h"
#include "tools/demo.h"

static int on_progress(void *arg, long long done, long long total)
{
    progress_step(arg, done, total);
    return tool_interrupted();
}

/* "MIN:MAX:STEP" into scale[3]; STEP may be left out (0). */
static bool parse_scale(double scale[3], const char *text)
{
    scale[2] = 0;
    for (int i = 0; i < 3; i++) {
        const char *colon = strchr(text, ':');
        const size_t n = colon ? (size_t)(colon - text) : strlen(text);
        if (!rr_parse_double(&scale[i], text, n))
            return false;
        if (!colon)
            return i >= 1;
        text = colon + 1;
    }
    return false;
}

static bool known_roles(const char *columns)
{
    static const char *const roles[] = {"user=", "item=", "rating=", "time=", "title="};
    for (const char *p = columns; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) {
        bool known = false;
        for (size_t i = 0; i < COUNT(roles); i++)
            known = known || (strncmp(p, roles[i], strlen(roles[i])) == 0 && p[strlen(roles[i])]);
        if (!known)
            return false;
    }
    return true;
}

void data_print_dropped(FILE *f, const struct rr_dataset *d)
{
    for (int i = 0; i < d->n_dropped; i++) {
        const struct rr_dropped *x = &d->dropped[i];
        fprintf(f, "%-8s %9lld  %s", x->bad ? "skipped" : "dropped", x->n, x->reason);
        if (x->line)
            fprintf(f, " (first: %s:%lld)", x->file, x->line);
        fputc('\n', f);
    }
}

int data_verdict(const struct rr_dataset *d)
{
    if (!rr_dataset_too_bad(d))
        return 0;
    struct rr_error err = {0};
    rr_fail_(&err, RR_ERR_DATA, "TOO_MANY_BAD", RR_AT_FILE(d->path),
             "%lld of %lld lines are bad; --lenient forgives %g %%", d->n_bad, d->n_lines,
             100 * RR_LENIENT_SHARE);
    return tool_fail(&err);
}

int data_open(struct opened_data *d, const struct command *c, const struct data_options *o)
{
    struct rr_data_options ro;
    struct rr_error err = {0};
    memset(d, 0, sizeof *d);
    if (!o->dir)
        return args_misuse(c, "--data is needed");
    if (o->lenient && o->strict)
        return args_misuse(c, "--strict and --lenient exclude each other");
    rr_data_defaults(&ro);
    ro.lenient = o->lenient;
    ro.core = (int)o->core;
    ro.min_rating = o->min_rating;
    ro.like = o->like;
    ro.dislike = o->dislike;
    ro.columns = o->columns;
    if (o->scale && !parse_scale(ro.scale, o->scale))
        return args_misuse(c, "--scale is '%s'; expected MIN:MAX:STEP, like 0.5:5:0.5", o->scale);
    if (o->columns && !known_roles(o->columns))
        return args_misuse(c,
                           "--columns is '%s'; expected user=NAME,item=NAME,rating=NAME,"
                           "time=NAME,title=NAME or a part of it",
                           o->columns);
    int rc = demo_is(o->dir) ? demo_data(&d->dataset, &ro, &err)
                             : rr_dataset_open(&d->dataset, o->dir, &ro, &err);
    if (!rc && d->dataset.n_bad)
        fprintf(stderr,
                "%s: %lld bad lines of %lld are skipped; 'recrank data --lenient' says why\n",
                o->dir, d->dataset.n_bad, d->dataset.n_lines);
    if (!rc) {
        const enum rr_split_order order = o->split == 1   ? RR_SPLIT_BY_TIME
                                          : o->split == 2 ? RR_SPLIT_BY_FILE
                                                          : rr_split_default_order(&d->dataset);
        rc = rr_split_make(&d->split, &d->dataset, order, &err);
    }
    if (rc) {
        data_close(d);
        return tool_fail(&err);
    }
    return -1;
}

int data_fit(struct rr_backbone *b, enum rr_backbone_kind kind, const struct rr_split *split,
             const struct rr_fit_options *o)
{
    struct rr_fit_options with_progress = *o;
    struct rr_error err = {0};
    struct progress p;
    progress_start(&p, "training the backbone");
    with_progress.progress = on_progress;
    with_progress.progress_arg = &p;
    int rc = rr_backbone_fit(b, kind, split, &with_progress, &err);
    progress_end(&p);
    return rc ? tool_fail(&err) : -1;
}

static int import_lists(struct opened_data *d, const struct source_options *o)
{
    struct rr_error err = {0};
    int rc = rr_lists_load(&d->lists, &d->split, (int)o->k, o->lists, &err);
    if (!rc && o->hint_scores && !d->lists.scored)
        rc = rr_fail(&err, RR_ERR_DATA, "SCORE", RR_AT_FILE(o->lists),
                     "--hint-scores, and the file has no scores");
    if (rc)
        return tool_fail(&err);
    fprintf(stderr,
            "%s: %d of %d users have candidates; %d lists are shorter than %lld, %d lack the test "
            "item, %lld candidates were left out (beyond %lld, or liked in training)\n",
            o->lists, d->lists.n_users_listed, d->dataset.n_users, d->lists.n_short, o->k,
            d->lists.n_without_test, d->lists.n_dropped, o->k);
    snprintf(d->name, sizeof d->name, "%.100s (sha256 %.12s)", o->lists, d->lists.fingerprint);
    return -1;
}

int data_unused(const struct command *c, const struct option *opts, size_t n_opts)
{
    static const char *const about[] = {
        "backbone", "candidates", "k",       "hint-scores", "history",    "lenient", "strict",
        "core",     "like",       "dislike", "scale",       "min-rating", "columns", "split-by"};
    for (size_t i = 0; i < COUNT(about); i++)
        if (args_given(opts, n_opts, about[i]))
            return args_misuse(c, "--%s has no effect without --data", about[i]);
    return -1;
}

bool source_retrieves(const struct source_options *o)
{
    return o->backbone && strcmp(o->backbone, "likelihood") == 0;
}

int source_check(const struct command *c, const struct source_options *o)
{
    if (o->lists && o->backbone)
        return args_misuse(c, "--candidates and --backbone exclude each other");
    if (o->hint_scores && !o->lists)
        return args_misuse(c, "--hint-scores has no effect without --candidates");
    if (o->backbone && !source_retrieves(o) && rr_backbone_kind_from_name(o->backbone) < 0 &&
        !rr_path_exists(o->backbone))
        return args_misuse(c,
                           "--backbone is '%s'; expected pop|mf|itemknn|ease|lightgcn, likelihood, "
                           "or a file of 'recrank fit'",
                           o->backbone);
    return -1;
}

static int open_backbone(struct opened_data *d, const struct source_options *o,
                         const struct data_options *data)
{
    const char *name = o->backbone ? o->backbone : "mf";
    const int kind = rr_backbone_kind_from_name(name);
    struct rr_error err = {0};
    int rc = -1;
    if (kind >= 0) {
        const struct rr_fit_options fo = {.seed = (uint64_t)data->seed};
        rc = data_fit(&d->backbone, (enum rr_backbone_kind)kind, &d->split, &fo);
    } else if (rr_backbone_load(&d->backbone, &d->split, name, &err) != 0) {
        rc = tool_fail(&err);
    }
    snprintf(d->name, sizeof d->name, "%s", rr_backbone_name(d->backbone.kind));
    return rc;
}

int data_source(struct opened_data *d, const struct source_options *o,
                const struct data_options *data, bool hints)
{
    struct rr_error err = {0};
    const bool retrieved = d->lists.start != NULL;
    if (!retrieved && source_retrieves(o)) {
        (void)rr_fail(
            &err, RR_ERR_USAGE, "BACKBONE", RR_NOWHERE,
            "--backbone likelihood is the model itself: rank and evaluate take it, with a model");
        return tool_fail(&err);
    }
    int rc = retrieved ? -1 : o->lists ? import_lists(d, o) : open_backbone(d, o, data);
    hints = hints && !o->hint_scores;
    if (rc < 0 && hints &&
        rr_rating_fit(&d->hints, &d->dataset, d->split.rated,
                      d->split.rated_start[d->dataset.n_users], (uint64_t)data->seed, &err))
        rc = tool_fail(&err);
    d->source = (struct rr_source){.split = &d->split,
                                   .backbone = &d->backbone,
                                   .lists = o->lists || retrieved ? &d->lists : NULL,
                                   .name = d->name,
                                   .hints = hints ? &d->hints : NULL,
                                   .scores_are_ratings = o->hint_scores,
                                   .with_valid = o->history == 1,
                                   .n_candidates = (int)o->k};
    return rc;
}

void data_close(struct opened_data *d)
{
    rr_rating_free(&d->hints);
    rr_lists_free(&d->lists);
    rr_backbone_free(&d->backbone);
    rr_split_free(&d->split);
    rr_dataset_close(&d->dataset);
}
