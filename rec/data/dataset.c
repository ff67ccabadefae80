/* Recognises a data set's format by its files and owns what was read. */
#include "rec/data/dataset.h"

#include <string.h>
#include "engine/base/file.h"
#include "engine/base/sha256.h"

static int map_in(struct rr_map *map, char **path, const char *dir, const char *name,
                  struct rr_error *err)
{
    *path = rr_path_join(dir, name);
    *map = (struct rr_map){0};
    if (!*path)
        return rr_fail_memory(err, "file name", strlen(dir));
    return rr_map_open(map, *path, err);
}

/* Whether dir has the file; unanswerable for want of memory counts as yes, and fails when it is
 * opened. */
static bool has(const char *dir, const char *name)
{
    char *path = rr_path_join(dir, name);
    bool yes = !path || rr_path_exists(path);
    rr_free(path);
    return yes;
}

/* The formats by the files that make them. */
static const struct known {
    const char *ratings, *items;
    rr_dataset_parse_fn *parse;
} known[] = {
    {"u.data", "u.item", rr_dataset_parse_ml100k},
    {"ratings.dat", "movies.dat", rr_dataset_parse_ml1m},
};

static int open_known(struct rr_dataset *d, const struct known *k, const char *dir,
                      struct rr_error *err)
{
    struct rr_map ratings = {0}, items = {0};
    char *ratings_path = NULL, *items_path = NULL;
    int rc = map_in(&ratings, &ratings_path, dir, k->ratings, err);
    if (!rc)
        rc = map_in(&items, &items_path, dir, k->items, err);
    if (!rc)
        rc = k->parse(d, &(struct rr_bytes){(const char *)ratings.data, ratings.size, ratings_path},
                      &(struct rr_bytes){(const char *)items.data, items.size, items_path}, err);
    if (!rc) {
        struct rr_sha256 sum;
        rr_sha256_init(&sum);
        rr_sha256_add(&sum, ratings.data, ratings.size);
        rr_sha256_add(&sum, items.data, items.size);
        rr_sha256_hex(&sum, d->fingerprint);
    }
    rr_map_close(&ratings);
    rr_map_close(&items);
    rr_free(ratings_path);
    rr_free(items_path);
    return rc;
}

int rr_dataset_open(struct rr_dataset *d, const char *dir, struct rr_error *err)
{
    const struct known *k = NULL;
    *d = (struct rr_dataset){0};
    if (!rr_path_is_dir(dir))
        return rr_fail(err, RR_ERR_OPEN, "NO_DATA", RR_AT_FILE(dir),
                       "%s; expected the folder of a data set",
                       rr_path_exists(dir) ? "is not a folder" : "does not exist");
    for (size_t i = 0; i < sizeof known / sizeof known[0] && !k; i++)
        if (has(dir, known[i].ratings) || has(dir, known[i].items))
            k = &known[i];
    if (!k)
        return rr_fail(
            err, RR_ERR_OPEN, "NO_DATA", RR_AT_FILE(dir),
            "holds no data set known here; expected MovieLens-100K's u.data and u.item or"
            " MovieLens-1M's ratings.dat and movies.dat");
    d->path = rr_arena_copy(&d->arena, dir, strlen(dir));
    int rc = d->path ? open_known(d, k, dir, err) : rr_fail_memory(err, "file name", strlen(dir));
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

int rr_dataset_user(const struct rr_dataset *d, const char *id)
{
    for (int u = 0; u < d->n_users; u++)
        if (strcmp(d->user_ids[u], id) == 0)
            return u;
    return -1;
}
