/* What killed processes leave beside the files and folders that they were writing. See file.h. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>
#include "engine/base/file.h"
#include "engine/base/folder.h"
#include "engine/base/number.h"

/* The process of ".tmp-PID-ATTEMPT", as rr_out_open and rr_folder_begin write it; 0: no such name.
 */
static int writer_of(const char *rest)
{
    static const char digits[] = "0123456789";
    uint64_t pid;
    if (strncmp(rest, ".tmp-", 5) != 0)
        return 0;
    const size_t n_pid = strspn(rest + 5, digits);
    const char *attempt = rest + 5 + n_pid;
    const size_t n = *attempt == '-' ? strspn(attempt + 1, digits) : 0;
    return n && !attempt[1 + n] && rr_parse_u64(&pid, rest + 5, n_pid, INT_MAX) ? (int)pid : 0;
}

static bool lives(int pid)
{
    return kill((pid_t)pid, 0) == 0 || errno != ESRCH;
}

/* Best effort, so without memory that could be missing: of a name that is too long, nothing. */
static void forget(const char *path, bool of_the_dead)
{
    char folder[PATH_MAX];
    size_t n_path = strlen(path);
    while (n_path > 1 && path[n_path - 1] == '/')
        n_path--;
    size_t n_dir = n_path;
    while (n_dir && path[n_dir - 1] != '/')
        n_dir--;
    if (n_dir + 2 > sizeof folder)
        return;
    const char *name = path + n_dir;
    const size_t n_name = n_path - n_dir;
    memcpy(folder, n_dir ? path : ".", n_dir ? n_dir : 1);
    folder[n_dir ? n_dir : 1] = 0;
    DIR *dir = opendir(folder);
    for (struct dirent *e; dir && (e = readdir(dir)) != NULL;) {
        const int pid = strncmp(e->d_name, name, n_name) == 0 ? writer_of(e->d_name + n_name) : 0;
        if (!pid || (of_the_dead && lives(pid)))
            continue;
        if (unlinkat(dirfd(dir), e->d_name, 0) != 0) /* a link goes, not what it leads to */
            rr_folder_remove(dirfd(dir), e->d_name);
    }
    if (dir)
        closedir(dir);
}

void rr_out_forget(const char *path)
{
    forget(path, false);
}

void rr_out_forget_dead(const char *path)
{
    forget(path, true);
}
