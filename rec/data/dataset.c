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

static bool has(const char *dir, const char *name)
{
    char *path = rr_path_join(dir, name);
    bool yes = path && rr_path_exists(path);
    rr_free(path);
    return yes;
}

static int open_ml100k(struct rr_dataset *d, const char *dir, struct rr_error *err)
{
    struct rr_map data = {0}, items = {0};
    char *data_path = NULL, *item_path = NULL;
    int rc = map_in(&data, &data_path, dir, "u.data", err);
    if (!rc)
        rc = map_in(&items, &item_path, dir, "u.item", err);
    if (!rc)
        rc = rr_dataset_parse_ml100k(
            d, &(struct rr_bytes){(const char *)data.data, data.size, data_path},
            &(struct rr_bytes){(const char *)items.data, items.size, item_path}, err);
    if (!rc) {
        struct rr_sha256 sum;
        rr_sha256_init(&sum);
        rr_sha256_add(&sum, data.data, data.size);
        rr_sha256_add(&sum, items.data, items.size);
        rr_sha256_hex(&sum, d->fingerprint);
    }
    rr_map_close(&data);
    rr_map_close(&items);
    rr_free(data_path);
    rr_free(item_path);
    return rc;
}

int rr_dataset_open(struct rr_dataset *d, const char *dir, struct rr_error *err)
{
    *d = (struct rr_dataset){0};
    if (!rr_path_is_dir(dir))
        return rr_fail(err, RR_ERR_OPEN, "NO_DATA", RR_AT_FILE(dir),
                       "%s; expected the folder of a data set",
                       rr_path_exists(dir) ? "is not a folder" : "does not exist");
    if (!has(dir, "u.data") && !has(dir, "u.item"))
        return rr_fail(err, RR_ERR_OPEN, "NO_DATA", RR_AT_FILE(dir),
                       "holds no data set known here; expected MovieLens-100K's u.data and u.item");
    d->path = rr_arena_copy(&d->arena, dir, strlen(dir));
    int rc = d->path ? open_ml100k(d, dir, err) : rr_fail_memory(err, "file name", strlen(dir));
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
