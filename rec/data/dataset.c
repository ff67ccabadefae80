/* Recognises a data set's format by its files and owns what was read. */
#include "rec/data/dataset.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include "engine/base/file.h"
#include "engine/base/number.h"
#include "engine/base/sha256.h"
#include "rec/data/reader.h"

void rr_data_defaults(struct rr_data_options *o)
{
    *o = (struct rr_data_options){
        .core = -1, .min_rating = NAN, .like = NAN, .dislike = NAN, .scale = {NAN, NAN, NAN}};
}

static const struct format {
    const char *name;
    int (*read)(struct rr_reader *);
    bool needs_items;
} formats[RR_FORMAT_COUNT] = {
    [RR_FORMAT_ML100K] = {"ml-100k", rr_read_ml100k, true},
    [RR_FORMAT_ML1M] = {"ml-1m", rr_read_ml1m, true},
    [RR_FORMAT_BOOKCROSSING] = {"bookcrossing", rr_read_bookcrossing, true},
    [RR_FORMAT_RECBOLE] = {"recbole", rr_read_recbole, false},
    [RR_FORMAT_CSV] = {"csv", rr_read_csv, false},
};

/* Everything that decides what is kept, in one line. */
static void describe(struct rr_dataset *d, const struct rr_data_options *o)
{
    char f[5][32]; /* part of identities: the same in every locale */
    const float v[5] = {d->rating_min, d->rating_max, d->rating_step, d->like, d->dislike};
    for (int i = 0; i < 5; i++)
        rr_format_short(f[i], (double)v[i]);
    int n = snprintf(d->settings, sizeof d->settings, "scale %s:%s:%s%s like>=%s dislike<=%s", f[0],
                     f[1], f[2], d->scale_found ? " (as found)" : "", f[3], f[4]);
    if (d->core > 1)
        n += snprintf(d->settings + n, sizeof d->settings - (size_t)n, " %d-core", d->core);
    if (!isnan(o->min_rating))
        n += snprintf(d->settings + n, sizeof d->settings - (size_t)n, " rating>=%s",
                      rr_format_short(f[0], o->min_rating));
    /* Lenient or not makes no difference where nothing was bad. */
    snprintf(d->settings + n, sizeof d->settings - (size_t)n, "%s", d->n_bad ? " lenient" : "");
}

static int check_options(const struct rr_data_options *o, const char *file, struct rr_error *err)
{
    const double *s = o->scale;
    const double steps = s[2] > 0 ? (s[1] - s[0]) / s[2] : 0;
    if (!isnan(s[0]) && !(s[0] < s[1] && s[2] >= 0 && s[0] >= -1e6 && s[1] <= 1e6 &&
                          fabs(steps - floor(steps + 0.5)) < 1e-6))
        return rr_fail(
            err, RR_ERR_USAGE, "SCALE", RR_AT_FILE(file),
            "a scale from %g to %g in steps of %g; expected MIN:MAX:STEP with MIN < MAX, both "
            "within a million, and STEP >= 0 that leads from one to the other (0: any "
            "number)",
            s[0], s[1], s[2]);
    if (o->dislike >= o->like)
        return rr_fail(err, RR_ERR_USAGE, "THRESHOLDS", RR_AT_FILE(file),
                       "disliked up to %g, liked from %g: both at once", o->dislike, o->like);
    return RR_OK;
}

int rr_dataset_parse(struct rr_dataset *d, enum rr_format format, const struct rr_files *files,
                     const struct rr_data_options *options, struct rr_error *err)
{
    struct rr_data_options o;
    rr_data_defaults(&o);
    if (options)
        o = *options;
    struct rr_reader r = {.d = d, .o = &o, .err = err, .files = files};
    d->name = formats[format].name;
    d->core = o.core > 0 ? o.core : 0;
    r.users.arena = r.items.arena = r.known_users.arena = &d->arena;
    int rc = check_options(&o, files->ratings.file, err);
    if (!rc)
        rc = formats[format].read(&r);
    describe(d, &o);
    if (!rc && d->dislike >= d->like)
        rc = rr_fail(err, RR_ERR_USAGE, "THRESHOLDS", RR_AT_FILE(files->ratings.file),
                     "disliked up to %g, liked from %g: both at once", (double)d->dislike,
                     (double)d->like);
    if (!rc)
        rc = rr_reader_finish(&r);
    if (!rc)
        describe(d, &o);
    rr_reader_release(&r);
    return rc;
}

/* ---- files --------------------------------------------------------------------------------------
 */

/* Where files are looked for; out of memory is not "not there". */
struct search {
    const char *dir;
    bool no_memory;
};

static char *find(struct search *s, const char *name)
{
    char *path = rr_path_join(s->dir, name);
    s->no_memory = s->no_memory || !path;
    if (path && !rr_path_exists(path)) {
        rr_free(path);
        path = NULL;
    }
    return path;
}

/* The formats by the names of their files. */
static const struct known {
    enum rr_format format;
    const char *ratings, *items, *users;
} known[] = {
    {RR_FORMAT_ML100K, "u.data", "u.item", "u.user"},
    {RR_FORMAT_ML1M, "ratings.dat", "movies.dat", "users.dat"},
    {RR_FORMAT_BOOKCROSSING, "BX-Book-Ratings.csv", "BX-Books.csv", NULL},
    {RR_FORMAT_CSV, "ratings.csv", "movies.csv", NULL},
    {RR_FORMAT_CSV, "ratings.csv", "items.csv", NULL},
};

struct paths {
    enum rr_format format;
    char *ratings, *items, *users; /* rr_free; NULL: not there */
};

static int no_data(const char *path, const char *why, struct rr_error *err)
{
    return rr_fail(err, RR_ERR_OPEN, "NO_DATA", RR_AT_FILE(path),
                   "%s; expected a folder with MovieLens-100K's u.data and u.item, MovieLens-1M's "
                   "ratings.dat and movies.dat, BookCrossing's BX-Book-Ratings.csv and "
                   "BX-Books.csv, ratings.csv and movies.csv, or one RecBole .inter file; or the "
                   "path of a .inter or CSV file",
                   why);
}

static char *copy(const char *s)
{
    char *c = rr_alloc(strlen(s) + 1, 1);
    if (c)
        memcpy(c, s, strlen(s) + 1);
    return c;
}

static bool ends_with(const char *s, const char *end)
{
    const size_t n = strlen(s), m = strlen(end);
    return n > m && strcmp(s + n - m, end) == 0;
}

/* path with ".inter" replaced, if there is such a file. */
static char *sibling(struct search *search, const char *path, const char *end)
{
    const size_t n = strlen(path) - strlen(".inter");
    char *s = rr_alloc(n + 8, 1);
    search->no_memory = search->no_memory || !s;
    if (!s)
        return NULL;
    memcpy(s, path, n);
    snprintf(s + n, 8, "%s", end);
    if (rr_path_exists(s))
        return s;
    rr_free(s);
    return NULL;
}

static int take_file(struct paths *p, char *path, struct rr_error *err)
{
    if (!path)
        return rr_fail_memory(err, "file name", 0);
    p->ratings = path;
    p->format = ends_with(path, ".inter") ? RR_FORMAT_RECBOLE : RR_FORMAT_CSV;
    struct search s = {0};
    if (p->format == RR_FORMAT_RECBOLE) {
        p->items = sibling(&s, path, ".item");
        p->users = sibling(&s, path, ".user");
    }
    return s.no_memory ? rr_fail_memory(err, "file name", strlen(path)) : RR_OK;
}

/* The one .inter file of a folder. */
static int find_inter(struct paths *p, const char *dir, struct rr_error *err)
{
    char only[256] = "";
    int n = 0;
    DIR *listing = opendir(dir);
    for (const struct dirent *e; listing && (e = readdir(listing)) != NULL;)
        if (ends_with(e->d_name, ".inter") && n++ == 0)
            snprintf(only, sizeof only, "%s", e->d_name);
    if (listing)
        closedir(listing);
    if (n > 1)
        return no_data(dir, "holds several .inter files; give one of them", err);
    if (!n)
        return no_data(dir, "holds no data set known here", err);
    return take_file(p, rr_path_join(dir, only), err);
}

static int find_paths(struct paths *p, const char *path, struct rr_error *err)
{
    struct search s = {.dir = path};
    *p = (struct paths){0};
    if (!rr_path_exists(path))
        return no_data(path, "does not exist", err);
    if (!rr_path_is_dir(path))
        return take_file(p, copy(path), err);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        const struct known *k = &known[i];
        char *ratings = find(&s, k->ratings), *items = find(&s, k->items);
        const bool there = formats[k->format].needs_items ? ratings || items : ratings && items;
        if (there) {
            p->format = k->format;
            /* One that is missing is named by the attempt to open it. */
            p->ratings = ratings ? ratings : rr_path_join(path, k->ratings);
            p->items = items ? items : rr_path_join(path, k->items);
            p->users = k->users ? find(&s, k->users) : NULL;
            return p->ratings && p->items && !s.no_memory
                       ? RR_OK
                       : rr_fail_memory(err, "file name", strlen(path));
        }
        rr_free(ratings);
        rr_free(items);
    }
    char *alone = find(&s, "ratings.csv");
    if (s.no_memory) {
        rr_free(alone);
        return rr_fail_memory(err, "file name", strlen(path));
    }
    return alone ? take_file(p, alone, err) : find_inter(p, path, err);
}

/* The mapped files of a data set. */
struct maps {
    struct rr_map ratings, items, users;
};

static int map_one(struct rr_map *map, struct rr_bytes *b, const char *path, struct rr_error *err)
{
    if (!path)
        return RR_OK;
    int rc = rr_map_open(map, path, err);
    if (rc)
        return rc;
    *b = (struct rr_bytes){(const char *)map->data, map->size, path};
    return RR_OK;
}

/* rr_dataset_parse, and the fingerprint of the files. */
static int parse_files(struct rr_dataset *d, enum rr_format format, const struct rr_files *files,
                       const struct rr_data_options *o, struct rr_error *err)
{
    const struct rr_bytes *const all[] = {&files->ratings, &files->items, &files->users};
    struct rr_sha256 sum;
    if (o && o->columns && format != RR_FORMAT_CSV)
        return rr_fail(err, RR_ERR_USAGE, "COLUMNS", RR_AT_FILE(d->path),
                       "columns can be named for CSV only; this is %s", formats[format].name);
    int rc = rr_dataset_parse(d, format, files, o, err);
    rr_sha256_init(&sum);
    for (int i = 0; i < 3; i++)
        if (all[i]->p)
            rr_sha256_add(&sum, all[i]->p, all[i]->n);
    rr_sha256_hex(&sum, d->fingerprint);
    return rc;
}

static int open_files(struct rr_dataset *d, const struct paths *p, const struct rr_data_options *o,
                      struct rr_error *err)
{
    struct maps m = {0};
    struct rr_files files = {0};
    int rc = map_one(&m.ratings, &files.ratings, p->ratings, err);
    if (!rc)
        rc = map_one(&m.items, &files.items, p->items, err);
    if (!rc)
        rc = map_one(&m.users, &files.users, p->users, err);
    if (!rc)
        rc = parse_files(d, p->format, &files, o, err);
    rr_map_close(&m.ratings);
    rr_map_close(&m.items);
    rr_map_close(&m.users);
    return rc;
}

int rr_dataset_open(struct rr_dataset *d, const char *path, const struct rr_data_options *o,
                    struct rr_error *err)
{
    struct paths p;
    *d = (struct rr_dataset){0};
    int rc = find_paths(&p, path, err);
    if (!rc) {
        d->path = rr_arena_copy(&d->arena, path, strlen(path));
        rc = d->path ? open_files(d, &p, o, err) : rr_fail_memory(err, "file name", strlen(path));
    }
    rr_free(p.ratings);
    rr_free(p.items);
    rr_free(p.users);
    if (rc)
        rr_dataset_close(d);
    return rc;
}

int rr_dataset_open_memory(struct rr_dataset *d, const char *path, enum rr_format format,
                           const struct rr_files *files, const struct rr_data_options *o,
                           struct rr_error *err)
{
    *d = (struct rr_dataset){0};
    d->path = rr_arena_copy(&d->arena, path, strlen(path));
    int rc = d->path ? parse_files(d, format, files, o, err)
                     : rr_fail_memory(err, "file name", strlen(path));
    if (rc)
        rr_dataset_close(d);
    return rc;
}

void rr_dataset_close(struct rr_dataset *d)
{
    rr_free(d->ratings);
    rr_arena_free(&d->arena);
    *d = (struct rr_dataset){0};
}

static int find_id(const char *const *ids, int n, const char *id)
{
    for (int i = 0; i < n; i++)
        if (strcmp(ids[i], id) == 0)
            return i;
    return -1;
}

int rr_dataset_user(const struct rr_dataset *d, const char *id)
{
    return find_id(d->user_ids, d->n_users, id);
}

int rr_dataset_item(const struct rr_dataset *d, const char *id)
{
    return find_id(d->item_ids, d->n_items, id);
}
