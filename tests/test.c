/* See test.h. */
#include "tests/test.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "engine/kernel/cpu.h"

bool sanitized(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return true;
#else
    return false;
#endif
}

bool whole_model_level(int level)
{
#ifdef __SANITIZE_THREAD__ /* threads are the same at each */
    const bool plain = false;
#else
    const bool plain = true;
#endif
    return rr_cpu_has((enum rr_cpu_level)level) &&
           (!sanitized() || (plain && level == 0) || level == (int)rr_cpu_best());
}

const char *shared_path(const char *name)
{
    static char ring[8][512];
    static int at;
    char *p = ring[at++ % 8];
    struct stat st;
    snprintf(p, 512, "../shared/%s", name);
    return stat(p, &st) == 0 ? p : NULL;
}

static char made[64][256];
static int n_made;
static pid_t owner;

static void remove_tree(const char *path)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        return;
    if (S_ISDIR(st.st_mode)) {
        DIR *d = opendir(path);
        for (struct dirent *e; d && (e = readdir(d)) != NULL;) {
            if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
                continue;
            char inside[1024];
            snprintf(inside, sizeof inside, "%s/%s", path, e->d_name);
            remove_tree(inside);
        }
        if (d)
            closedir(d);
        rmdir(path);
    } else {
        unlink(path);
    }
}

static void remove_made(void)
{
    for (int i = 0; getpid() == owner && i < n_made; i++)
        remove_tree(made[i]);
}

const char *temporary_dir(void)
{
    if (owner != getpid()) {
        n_made = 0;
        owner = getpid();
        atexit(remove_made);
    }
    if (n_made == 64)
        abort();
    const char *base = getenv("TMPDIR");
    snprintf(made[n_made], sizeof made[0], "%s/recrank-test-XXXXXX",
             base && base[0] ? base : "/tmp");
    if (!mkdtemp(made[n_made]))
        abort();
    return made[n_made++];
}

const char *path_in(const char *dir, const char *name)
{
    static char ring[16][512];
    static int at;
    char *p = ring[at++ % 16];
    snprintf(p, 512, "%s/%s", dir, name);
    return p;
}

void write_file(const char *path, const void *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(bytes, 1, n, f) != n || fclose(f) != 0) {
        fprintf(stderr, "cannot write %s\n", path);
        abort();
    }
}

unsigned char *read_file(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    size_t cap = 1 << 16, got;
    unsigned char *p = malloc(cap);
    *n = 0;
    while (f && p && (got = fread(p + *n, 1, cap - *n, f)) > 0) {
        *n += got;
        if (*n == cap)
            p = realloc(p, cap *= 2);
    }
    if (!f || !p) {
        fprintf(stderr, "cannot read %s\n", path);
        abort();
    }
    fclose(f);
    return p;
}

#ifdef RR_MINI
#include <sys/wait.h>
#include <time.h>

static struct mini_test *first, **last = &first;
static int *skipped; /* in the child: tells the parent through its exit code */

void mini_register(struct mini_test *t)
{
    *last = t;
    last = &t->next;
}

void mini_fail(const char *file, int line, const char *text)
{
    fprintf(stderr, "%s:%d: failed: %s\n", file, line, text);
}

void mini_skip(void)
{
    static int yes = 1;
    skipped = &yes;
}

/* A test that runs: its process, and since when. */
struct running {
    pid_t pid;
    struct mini_test *test;
    double since;
};

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Waits for one of the n that run, counts it under what it exited with and makes room for another.
 */
static void mini_reap(struct running *running, int *n, int counts[3])
{
    int status = 0, i = 0;
    pid_t pid = wait(&status);
    while (running[i].pid != pid)
        i++;
    struct running ended = running[i];
    running[i] = running[--*n];
    int rc = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
    counts[rc == 0 ? 0 : rc == 77 ? 2 : 1]++;
    if (rc != 0 && rc != 77)
        fprintf(stderr, "FAIL %s/%s (status %d)\n", ended.test->suite, ended.test->name, rc);
    if (seconds() - ended.since > 10) /* who makes a long run long */
        printf("%s/%s: %.0f s\n", ended.test->suite, ended.test->name, seconds() - ended.since);
}

/* Each test in a process of its own, as Criterion does, as many at once as there are processors;
 * with an argument only the suites whose names begin with it. */
int main(int argc, char **argv)
{
    int n = 0, counts[3] = {0};
    struct running running[16];
    long most = sysconf(_SC_NPROCESSORS_ONLN);
    most = most < 1 ? 1 : most > 16 ? 16 : most;
    for (struct mini_test *t = first; t; t = t->next) {
        if (argc > 1 && strncmp(t->suite, argv[1], strlen(argv[1])) != 0)
            continue;
        if (n == most)
            mini_reap(running, &n, counts);
        fflush(NULL);
        running[n] = (struct running){.test = t, .since = seconds(), .pid = fork()};
        if (running[n].pid == 0) {
            t->run();
            exit(skipped ? 77 : 0);
        }
        n++;
    }
    while (n > 0)
        mini_reap(running, &n, counts);
    printf("%d passed, %d failed, %d skipped\n", counts[0], counts[1], counts[2]);
    return counts[1] != 0 || counts[0] + counts[2] == 0; /* nothing run: a name is wrong */
}
#endif
