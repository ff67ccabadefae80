/* A folder of files that is written whole or not at all. */
#ifndef RR_FOLDER_H
#define RR_FOLDER_H

#include "engine/base/fail.h"

/* A folder made beside its place, as made = path.tmp-PID-N, and renamed into it by
 * rr_folder_commit. Its place must be missing or empty: what lies there would be read with the new
 * files, or instead of them. What dead processes left beside it is removed. */
struct rr_folder {
    char *path; /* its place, where links end */
    char *made;
};

/* RR_ERR_OPEN: "NOT_EMPTY", "CANNOT_WRITE", "NOT_A_FILE". Thread-safe, as the others. */
int rr_folder_begin(struct rr_folder *f, const char *path, struct rr_error *err);
/* RR_ERR_OPEN "NOT_EMPTY": somebody has put something there meanwhile; then, and after any other
 * failure, nothing is left. Ends f in any case. */
int rr_folder_commit(struct rr_folder *f, struct rr_error *err);
/* Removes what was made; of an f that was ended, or never begun ({0}): nothing. */
void rr_folder_abandon(struct rr_folder *f);
/* Removes a folder, no link to one, and the files in it: name is relative to the folder that is
 * open as `at`. Allocates nothing of ours. */
void rr_folder_remove(int at, const char *name);
/* Whether rr_folder_begin would do; leaves nothing behind. */
int rr_folder_check(const char *path, struct rr_error *err);

#endif
