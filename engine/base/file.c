/* See file.h. The only file of the library that knows about POSIX files. */
#include "engine/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "engine/base/mem.h"
#include "engine/base/number.h"

static int fail_errno(struct rr_error *err, int status, const char *code, const char *path,
                      const char *doing)
{
    return rr_fail(err, status, code, RR_AT_FILE(path), "%s: %s", doing, strerror(errno));
}

int rr_map_open(struct rr_map *map, const char *path, struct rr_error *err)
{
    struct stat st;
    *map = (struct rr_map){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return fail_errno(err, RR_ERR_OPEN, "CANNOT_OPEN", path, "cannot open for reading");
    int rc = RR_OK;
    if (fstat(fd, &st) != 0) {
        rc = fail_errno(err, RR_ERR_OPEN, "CANNOT_OPEN", path, "cannot read its size");
    } else if (!S_ISREG(st.st_mode)) {
        rc = rr_fail(err, RR_ERR_OPEN, "NOT_A_FILE", RR_AT_FILE(path),
                     "is %s; expected a regular file",
                     S_ISDIR(st.st_mode) ? "a directory" : "not a regular file");
    } else if (st.st_size == 0) {
        map->data = (const unsigned char *)"";
    } else {
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED) {
            rc = fail_errno(err, RR_ERR_OPEN, "CANNOT_MAP", path, "cannot map into memory");
        } else {
            map->data = p;
            map->size = (size_t)st.st_size;
        }
    }
    close(fd);
    return rc;
}

void rr_map_close(struct rr_map *map)
{
    if (map->size)
        munmap((void *)(uintptr_t)map->data, map->size);
    *map = (struct rr_map){0};
}

int rr_map_small(struct rr_map *map, const char *path, unsigned most, struct rr_error *err)
{
    *map = (struct rr_map){0};
    if (!rr_path_exists(path))
        return RR_OK;
    int rc = rr_map_open(map, path, err);
    if (!rc && map->size > most) {
        rc = rr_fail(err, RR_ERR_DATA, "TOO_LARGE", RR_AT_FILE(path),
                     "%zu bytes; at most %u are read", map->size, most);
        rr_map_close(map);
        *map = (struct rr_map){0};
    }
    return rc;
}

bool rr_path_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool rr_path_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

bool rr_path_is_special(const char *path)
{
    static const char *const descriptors[] = {"/dev/std", "/dev/fd/", "/proc/"};
    struct stat st;
    for (size_t i = 0; i < sizeof descriptors / sizeof *descriptors; i++)
        if (strncmp(path, descriptors[i], strlen(descriptors[i])) == 0)
            return true;
    return stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

char *rr_path_join(const char *dir, const char *name)
{
    size_t n_dir = strlen(dir), n_name = strlen(name);
    char *out = rr_alloc(n_dir + n_name + 2, 1);
    if (!out)
        return NULL;
    memcpy(out, dir, n_dir);
    if (n_dir && dir[n_dir - 1] != '/')
        out[n_dir++] = '/';
    memcpy(out + n_dir, name, n_name + 1);
    return out;
}

/* A new file beside `path` that no other process has: mkstemp would force mode 0600, and asking
 * for the umask is a race in a threaded program. */
static int open_temporary(struct rr_out *out, size_t n_path)
{
    for (int attempt = 0; attempt < 1000; attempt++) {
        snprintf(out->temporary + n_path, 32, ".tmp-%ld-%d", (long)getpid(), attempt);
        int fd = open(out->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
    return -1;
}

/* The open descriptor that a name stands for, or -1: what is behind it may be anything, and must
 * not be replaced or written from its beginning. */
static int named_descriptor(const char *path)
{
    static const char *const folders[] = {"/dev/fd/", "/proc/self/fd/"};
    if (strcmp(path, "/dev/stdout") == 0)
        return STDOUT_FILENO;
    if (strcmp(path, "/dev/stderr") == 0)
        return STDERR_FILENO;
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        const size_t n = strlen(folders[i]);
        uint64_t fd;
        if (strncmp(path, folders[i], n) == 0 &&
            rr_parse_u64(&fd, path + n, strlen(path + n), INT_MAX))
            return (int)fd;
    }
    return -1;
}

/* Where a symbolic link ends, link after link, or at the name of a descriptor; false: path is none,
 * or leads too far. */
static bool follow_links(char target[PATH_MAX], const char *path)
{
    char next[PATH_MAX];
    struct stat st;
    size_t n = strlen(path);
    if (n >= PATH_MAX)
        return false;
    memcpy(target, path, n + 1);
    for (int hops = 0; hops < 16; hops++) {
        if (lstat(target, &st) != 0 || !S_ISLNK(st.st_mode))
            return hops > 0;
        const ssize_t got = readlink(target, next, sizeof next - 1);
        const char *slash = strrchr(target, '/');
        const size_t dir = slash && got > 0 && next[0] != '/' ? (size_t)(slash - target) + 1 : 0;
        if (got <= 0 || dir + (size_t)got >= PATH_MAX)
            return false;
        memcpy(target + dir, next, (size_t)got);
        target[dir + (size_t)got] = 0;
        if (named_descriptor(target) >= 0)
            return true;
    }
    return false;
}

/* The descriptor that a name or a link stands for, or -1: what is behind it may be anything, and
 * must not be replaced or written from its beginning. */
static int descriptor_of(const char *path)
{
    char target[PATH_MAX];
    const int named = named_descriptor(path);
    return named < 0 && follow_links(target, path) ? named_descriptor(target) : named;
}

static int not_open(const char *path, struct rr_error *err)
{
    return rr_fail(err, RR_ERR_OPEN, "CANNOT_WRITE", RR_AT_FILE(path),
                   "this descriptor is not open for writing");
}

int rr_out_check(const char *path, struct rr_error *err)
{
    struct rr_out out;
    struct stat st;
    const int descriptor = descriptor_of(path);
    if (descriptor >= 0) {
        const int flags = fcntl(descriptor, F_GETFL);
        return flags >= 0 && (flags & O_ACCMODE) != O_RDONLY ? RR_OK : not_open(path, err);
    }
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
        return RR_OK; /* opening a pipe would wait for its reader */
    int rc = rr_out_open(&out, path, err);
    if (!rc)
        rr_out_close(&out);
    return rc;
}

int rr_out_open(struct rr_out *out, const char *path, struct rr_error *err)
{
    struct stat st;
    char target[PATH_MAX];
    *out = (struct rr_out){0};
    if (!path[0])
        return rr_fail(err, RR_ERR_OPEN, "NOT_A_FILE", RR_NOWHERE, "an empty name for an output");
    const int descriptor = descriptor_of(path);
    if (descriptor < 0 && follow_links(target, path))
        path = target;
    bool exists = descriptor < 0 && stat(path, &st) == 0;
    if (exists && S_ISDIR(st.st_mode))
        return rr_fail(err, RR_ERR_OPEN, "NOT_A_FILE", RR_AT_FILE(path),
                       "is a directory; name a file to write");
    size_t n = strlen(path);
    out->path = rr_alloc(n + 1, 1);
    out->temporary = rr_alloc(n + 32, 1);
    if (!out->path || !out->temporary) {
        rr_free(out->temporary);
        out->temporary = NULL;
        rr_out_close(out);
        return rr_fail_memory(err, "file name", n);
    }
    memcpy(out->path, path, n + 1);
    memcpy(out->temporary, path, n);
    int fd;
    const bool through = descriptor >= 0 || (exists && !S_ISREG(st.st_mode));
    if (descriptor >= 0) {
        fd = dup(descriptor);
    } else if (through) {
        /* A pipe or a device has no old content to protect: write through. */
        fd = open(path, O_WRONLY | O_CLOEXEC);
    } else {
        fd = open_temporary(out, n);
    }
    if (fd < 0 || through) {
        rr_free(out->temporary);
        out->temporary = NULL;
    }
    if (fd < 0) {
        int rc = descriptor >= 0 ? not_open(path, err)
                                 : fail_errno(err, RR_ERR_OPEN, "CANNOT_WRITE", path,
                                              "cannot create a file there");
        rr_out_close(out);
        return rc;
    }
    out->f = fdopen(fd, "wb");
    if (!out->f) {
        close(fd);
        rr_out_close(out);
        return rr_fail_memory(err, "file buffer", 0);
    }
    return RR_OK;
}

int rr_out_commit(struct rr_out *out, struct rr_error *err)
{
    int rc = RR_OK;
    bool bad = ferror(out->f) != 0;
    bad = fflush(out->f) != 0 || bad;
    bad = (out->temporary && fsync(fileno(out->f)) != 0) || bad;
    int saved = errno;
    bad = fclose(out->f) != 0 || bad;
    out->f = NULL;
    if (bad) {
        errno = saved;
        rc = fail_errno(err, RR_ERR_IO, "WRITE_FAILED", out->path,
                        out->temporary ? "writing failed, nothing was changed" : "writing failed");
    } else if (out->temporary && rename(out->temporary, out->path) != 0) {
        rc = fail_errno(err, RR_ERR_IO, "WRITE_FAILED", out->path,
                        "cannot rename the finished file into place");
    } else if (out->temporary) {
        rr_free(out->temporary);
        out->temporary = NULL;
    }
    rr_out_close(out);
    return rc;
}

void rr_out_close(struct rr_out *out)
{
    if (out->f)
        fclose(out->f);
    if (out->temporary)
        unlink(out->temporary);
    rr_free(out->temporary);
    rr_free(out->path);
    *out = (struct rr_out){0};
}
