/* See checkpoint.h. */
#include "rec/learn/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "engine/base/file.h"
#include "engine/base/sha256.h"

#define MAGIC "RRTRAIN2"

struct head {
    char magic[8];
    char identity[64]; /* sha256 of the run's identity */
    int64_t n;
    struct rr_train_state state;
};

static void identify(const char *identity, char hex[65])
{
    struct rr_sha256 sum;
    rr_sha256_init(&sum);
    rr_sha256_add(&sum, identity, strlen(identity));
    rr_sha256_hex(&sum, hex);
}

static void put(struct rr_out *out, struct rr_sha256 *sum, const void *bytes, size_t n)
{
    rr_sha256_add(sum, bytes, n);
    fwrite(bytes, 1, n, out->f);
}

int rr_checkpoint_save(const struct rr_checkpoint *c, struct rr_error *err)
{
    struct rr_out out;
    struct rr_sha256 sum;
    char hex[65];
    struct head h = {.n = (int64_t)c->n, .state = *c->state};
    memcpy(h.magic, MAGIC, 8);
    identify(c->identity, hex);
    memcpy(h.identity, hex, 64);
    int rc = rr_out_open(&out, c->path, err);
    if (rc)
        return rc;
    rr_sha256_init(&sum);
    put(&out, &sum, &h, sizeof h);
    for (int i = 0; i < RR_CHECKPOINT_ARRAYS; i++)
        put(&out, &sum, c->arrays[i], c->n * sizeof *c->arrays[i]);
    rr_sha256_hex(&sum, hex);
    fwrite(hex, 1, 64, out.f);
    return rr_out_commit(&out, err);
}

static int bad(const struct rr_checkpoint *c, const char *what, struct rr_error *err)
{
    return rr_fail(err, RR_ERR_DATA, "CHECKPOINT", RR_AT_FILE(c->path),
                   "%s; remove it to begin anew", what);
}

static int take(struct rr_checkpoint *c, const struct rr_map *map, struct rr_error *err)
{
    const size_t bytes = c->n * sizeof(float);
    struct head h;
    struct rr_sha256 sum;
    char hex[65];
    if (map->size < sizeof h + 64 || memcmp(map->data, MAGIC, 8) != 0)
        return bad(c, "no checkpoint of this training", err);
    rr_sha256_init(&sum);
    rr_sha256_add(&sum, map->data, map->size - 64);
    rr_sha256_hex(&sum, hex);
    if (memcmp(hex, map->data + map->size - 64, 64) != 0)
        return bad(c, "its checksum differs: the file is damaged", err);
    memcpy(&h, map->data, sizeof h);
    identify(c->identity, hex);
    if (memcmp(h.identity, hex, 64) != 0 || h.n != (int64_t)c->n ||
        map->size != sizeof h + RR_CHECKPOINT_ARRAYS * bytes + 64)
        return bad(c, "it is of a training with other options or data", err);
    *c->state = h.state;
    for (int i = 0; i < RR_CHECKPOINT_ARRAYS; i++)
        memcpy(c->arrays[i], map->data + sizeof h + (size_t)i * bytes, bytes);
    return RR_OK;
}

int rr_checkpoint_load(struct rr_checkpoint *c, struct rr_error *err)
{
    struct rr_map map;
    if (!rr_path_exists(c->path))
        return RR_OK;
    int rc = rr_map_open(&map, c->path, err);
    if (rc)
        return rc;
    rc = take(c, &map, err);
    rr_map_close(&map);
    return rc;
}

int rr_checkpoint_lock(struct rr_checkpoint_lock *l, const char *path, struct rr_error *err)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    *l = (struct rr_checkpoint_lock){.fd = -1};
    if (!path)
        return RR_OK;
    rr_buf_printf(&l->path, "%s.lock", path);
    if (l->path.failed)
        return rr_fail_memory(err, "file name", l->path.n);
    for (int attempt = 0; attempt < 100; attempt++) {
        struct stat held, there;
        l->fd = open(l->path.data, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (l->fd < 0)
            return rr_fail(err, RR_ERR_OPEN, "CANNOT_WRITE", RR_AT_FILE(l->path.data),
                           "cannot create a file there: %s", strerror(errno));
        if (fcntl(l->fd, F_SETLK, &lock) != 0) {
            if (errno == EACCES || errno == EAGAIN)
                break;
            const int why = errno;
            close(l->fd);
            l->fd = -1;
            return rr_fail(err, RR_ERR_OPEN, "CANNOT_LOCK", RR_AT_FILE(l->path.data),
                           "cannot lock this file: %s", strerror(why));
        }
        /* Whoever held it may have removed the file since it was opened here: that lock is nobody's
         * any more. */
        if (fstat(l->fd, &held) == 0 && stat(l->path.data, &there) == 0 &&
            held.st_ino == there.st_ino && held.st_dev == there.st_dev) {
            rr_out_forget(path);
            return RR_OK;
        }
        close(l->fd);
        l->fd = -1;
    }
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
    return rr_fail(err, RR_ERR_BUSY, "CHECKPOINT_BUSY", RR_AT_FILE(path),
                   "another process is training into it");
}

void rr_checkpoint_unlock(struct rr_checkpoint_lock *l)
{
    if (l->fd >= 0) {
        remove(l->path.data);
        close(l->fd);
    }
    rr_buf_free(&l->path);
    l->fd = -1;
}
