/* Files: read-only mappings, whole small files, and writers that either finish or leave no
 * trace. */
#ifndef RR_FILE_H
#define RR_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include "engine/base/fail.h"

/* A read-only mapping of a whole regular file. The size is taken once, at opening. An empty file
 * maps as data "" and size 0. */
struct rr_map {
    const unsigned char *data;
    size_t size;
};

/* RR_ERR_OPEN: missing, unreadable, a directory (each named). The mapping lives until
 * rr_map_close and does not keep a descriptor. */
int rr_map_open(struct rr_map *map, const char *path, struct rr_error *err);
void rr_map_close(struct rr_map *map);
/* The same for a file that may be missing (then data is NULL, and there is nothing to close) and is
 * read whole: RR_ERR_DATA "TOO_LARGE" beyond `most` bytes. */
int rr_map_small(struct rr_map *map, const char *path, unsigned most, struct rr_error *err);

bool rr_path_is_dir(const char *path);
bool rr_path_exists(const char *path);
/* Whether path is there and is neither a regular file nor a folder: a pipe, a device; or names a
 * descriptor, whatever that leads to: nothing can stand beside /dev/stdout. */
bool rr_path_is_special(const char *path);
/* dir + "/" + name, allocated with rr_alloc; NULL when memory is out. */
char *rr_path_join(const char *dir, const char *name);

/* A file written under a temporary name beside its place and renamed into it by rr_out_commit,
 * after fsync: a reader sees the old file or the whole new one. rr_out_close without a commit
 * removes the temporary. */
struct rr_out {
    FILE *f;
    char *path, *temporary;
};

/* Whether rr_out_open could open path, without leaving anything there: long work asks before it
 * begins. Pipes and devices are not tried. */
int rr_out_check(const char *path, struct rr_error *err);
/* A symbolic link stays: what it points at is replaced. */
int rr_out_open(struct rr_out *out, const char *path, struct rr_error *err);
/* RR_ERR_IO when any write failed (a full disk, say); the old file is then untouched. Closes in
 * either case. */
int rr_out_commit(struct rr_out *out, struct rr_error *err);
void rr_out_close(struct rr_out *out);

/* Removes what processes that were killed had begun to write beside path. Only where nobody else
 * writes to that path: under a lock. */
void rr_out_forget(const char *path);
/* The same where others may: of processes that this machine, or this container, does not have any
 * more. Both take folders (folder.h) away too. */
void rr_out_forget_dead(const char *path);

#endif
