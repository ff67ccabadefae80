/* See folder.h. */
#define _XOPEN_SOURCE 700 /* realpath */
#include "engine/base/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "engine/base/file.h"
#include "engine/base/mem.h"

static int cannot(const char *path, const char *what, struct rr_error *err)
{
    const int why = errno;
    return rr_fail(err, RR_ERR_OPEN, "CANNOT_WRITE", RR_AT_FILE(path), "%s: %s", what,
                   strerror(why));
}

/* The next name in a folder but its own and that of the one above; NULL: no more. */
static const char *next_name(DIR *d)
{
    const struct dirent *e = readdir(d);
    while (e && (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0))
        e = readdir(d);
    return e ? e->d_name : NULL;
}

static int check_empty(const char *path, struct rr_error *err)
{
    struct stat st;
    DIR *d = opendir(path);
    if (!d && errno == ENOENT && lstat(path, &st) != 0)
        return RR_OK;
    if (!d)
        return cannot(path, "cannot make this folder", err);
    const char *name = next_name(d);
    struct stat here, above, current;
    /* It is replaced by name: that of a mount cannot be, and that of the current one should not. */
    const bool known = fstat(dirfd(d), &here) == 0 && fstatat(dirfd(d), "..", &above, 0) == 0 &&
                       stat(".", &current) == 0;
    const bool mount = known && here.st_dev != above.st_dev;
    if (mount || (known && here.st_dev == current.st_dev && here.st_ino == current.st_ino)) {
        closedir(d);
        return rr_fail(err, RR_ERR_OPEN, "CANNOT_WRITE", RR_AT_FILE(path),
                       "is %s: name a new folder inside it",
                       mount ? "where another file system is mounted" : "the current folder");
    }
    int rc = name ? rr_fail(err, RR_ERR_OPEN, "NOT_EMPTY", RR_AT_FILE(path),
                            "holds '%s', and what is there would be mixed with what is written: "
                            "name a new folder, or an empty one",
                            rr_show(name, strlen(name)).s)
                  : RR_OK;
    closedir(d);
    return rc;
}

/* Where links end, without slashes behind it; it need not be there. NULL: out of memory. */
static char *real_name(const char *path)
{
    char *found = realpath(path, NULL);
    const char *name = found ? found : path;
    size_t n = strlen(name);
    while (n > 1 && name[n - 1] == '/')
        n--;
    char *copy = rr_alloc(n + 1, 1);
    if (copy) {
        memcpy(copy, name, n);
        copy[n] = 0;
    }
    free(found);
    return copy;
}

int rr_folder_begin(struct rr_folder *f, const char *path, struct rr_error *err)
{
    *f = (struct rr_folder){0};
    if (!path[0])
        return rr_fail(err, RR_ERR_OPEN, "NOT_A_FILE", RR_NOWHERE, "an empty name for an output");
    int rc = check_empty(path, err), made = -1;
    if (rc)
        return rc;
    f->path = real_name(path);
    if (f->path)
        rr_out_forget_dead(f->path);
    const size_t n = f->path ? strlen(f->path) + 32 : 0;
    f->made = f->path ? rr_alloc(n, 1) : NULL;
    for (int attempt = 0; f->made && attempt < 1000 && made; attempt++) {
        snprintf(f->made, n, "%s.tmp-%ld-%d", f->path, (long)getpid(), attempt);
        made = mkdir(f->made, 0777);
        if (made && errno != EEXIST)
            break;
    }
    if (!made)
        return RR_OK;
    rc = f->made ? cannot(path, "cannot make a folder there", err)
                 : rr_fail_memory(err, "file name", strlen(path));
    rr_free(f->made);
    rr_free(f->path);
    *f = (struct rr_folder){0};
    return rc;
}

int rr_folder_commit(struct rr_folder *f, struct rr_error *err)
{
    int rc = RR_OK;
    if (rename(f->made, f->path) == 0) {
        rr_free(f->made);
        f->made = NULL;
    } else if (errno == ENOTEMPTY || errno == EEXIST) {
        rc = rr_fail(err, RR_ERR_OPEN, "NOT_EMPTY", RR_AT_FILE(f->path),
                     "something was put there meanwhile; nothing was written");
    } else {
        rc = cannot(f->path, "cannot rename the finished folder into place", err);
    }
    rr_folder_abandon(f);
    return rc;
}

void rr_folder_remove(int at, const char *name)
{
    const int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    for (const char *file; d && (file = next_name(d)) != NULL;)
        unlinkat(fd, file, 0);
    if (d) {
        unlinkat(at, name, AT_REMOVEDIR);
        closedir(d);
    } else if (fd >= 0) {
        close(fd);
    }
}

void rr_folder_abandon(struct rr_folder *f)
{
    if (f->made)
        rr_folder_remove(AT_FDCWD, f->made);
    rr_free(f->made);
    rr_free(f->path);
    *f = (struct rr_folder){0};
}

int rr_folder_check(const char *path, struct rr_error *err)
{
    struct rr_folder f;
    int rc = rr_folder_begin(&f, path, err);
    rr_folder_abandon(&f);
    return rc;
}
