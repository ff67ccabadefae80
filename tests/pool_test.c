/* The thread pool: every task runs once, is finished when the call returns, and gets a worker's
 * number that no other task has at the same time. */
#include "tests/test.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include "engine/base/pool.h"

enum { MAX_TASKS = 1000, MAX_POOL = 9 };

struct job {
    int n_tasks, n_workers;
    unsigned char runs[MAX_TASKS]; /* plain: each task writes its own */
    long long sums[MAX_POOL];      /* plain: each worker writes its own */
    atomic_int inside[MAX_POOL];   /* tasks that a worker is in */
    atomic_bool bad;
};

static void task(void *arg, int task, int worker)
{
    struct job *j = arg;
    if (task < 0 || task >= j->n_tasks || worker < 0 || worker >= j->n_workers ||
        atomic_fetch_add(&j->inside[worker], 1) != 0) {
        atomic_store(&j->bad, true);
        return;
    }
    j->runs[task]++;
    j->sums[worker] += task;
    atomic_fetch_sub(&j->inside[worker], 1);
}

static struct rr_pool *pool_open(int n_threads)
{
    struct rr_pool *p;
    struct rr_error err = {0};
    int rc = rr_pool_open(&p, n_threads, &err);
    cr_assert(rc == 0, "a pool of %d: %s", n_threads, err.text);
    return p;
}

static void run_and_check(struct rr_pool *p, struct job *j, int n_tasks)
{
    const int n_workers = rr_pool_size(p);
    long long sum = 0;
    memset(j->runs, 0, sizeof j->runs);
    memset(j->sums, 0, sizeof j->sums);
    for (int i = 0; i < MAX_POOL; i++)
        atomic_init(&j->inside[i], 0);
    atomic_init(&j->bad, false);
    j->n_tasks = n_tasks;
    j->n_workers = n_workers;
    rr_pool_run(p, task, j, n_tasks);
    for (int i = 0; i < MAX_TASKS; i++)
        if (j->runs[i] != (i < n_tasks))
            cr_assert(j->runs[i] == (i < n_tasks), "%d threads, %d tasks: task %d ran %d times",
                      n_workers, n_tasks, i, j->runs[i]);
    for (int i = 0; i < MAX_POOL; i++)
        sum += j->sums[i];
    if (atomic_load(&j->bad) || sum != (long long)n_tasks * (n_tasks - 1) / 2)
        cr_assert(false, "%d threads, %d tasks: %s", n_workers, n_tasks,
                  atomic_load(&j->bad) ? "a worker's number was used twice at once, or is none"
                                       : "lost work");
}

Test(pool, every_task_runs_once)
{
    static const int n_tasks[] = {0, 1, 2, 7, MAX_TASKS};
    static struct job j;
    for (int threads = 1; threads <= MAX_POOL; threads++) {
        struct rr_pool *p = pool_open(threads);
        cr_assert(rr_pool_size(p) == threads, "a pool of %d says %d", threads, rr_pool_size(p));
        for (size_t i = 0; i < sizeof n_tasks / sizeof n_tasks[0]; i++)
            run_and_check(p, &j, n_tasks[i]);
        rr_pool_close(p);
    }
}

Test(pool, thousands_of_jobs)
{
    static struct job j;
    for (int threads = 2; threads <= 4; threads += 2) {
        struct rr_pool *p = pool_open(threads);
        for (int i = 0; i < 2000; i++)
            run_and_check(p, &j, i % 11);
        rr_pool_close(p);
    }
}

/* Opened and closed at once, after one job, and with workers that have not begun to wait yet. */
Test(pool, opens_and_closes)
{
    static struct job j;
    for (int i = 0; i < 300; i++) {
        struct rr_pool *p = pool_open(1 + i % 4);
        if (i % 3)
            run_and_check(p, &j, i % 3 * 5);
        rr_pool_close(p);
    }
    rr_pool_close(NULL);
}

/* A caller that pauses lets the workers fall asleep; they must wake for the next job. */
static void slow_task(void *arg, int task_, int worker)
{
    struct job *j = arg;
    (void)worker;
    for (volatile int i = 0; i < 100000; i = i + 1)
        ;
    j->runs[task_]++;
}

Test(pool, sleepers_wake)
{
    static struct job j;
    struct rr_pool *p = pool_open(3);
    for (int round = 0; round < 20; round++) {
        memset(j.runs, 0, sizeof j.runs);
        slow_task(&j, MAX_TASKS - 1, 0); /* long enough for all to sleep */
        rr_pool_run(p, slow_task, &j, 5);
        for (int i = 0; i < 5; i++)
            cr_assert(j.runs[i] == 1, "round %d: task %d ran %d times", round, i, j.runs[i]);
    }
    rr_pool_close(p);
}

Test(pool, refuses_silly_numbers)
{
    static const int bad[] = {-1, 65, 1 << 30};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct rr_pool *p = (struct rr_pool *)1;
        struct rr_error err = {0};
        int rc = rr_pool_open(&p, bad[i], &err);
        cr_assert(rc == RR_ERR_USAGE && !p && strcmp(err.code, "THREADS") == 0,
                  "%d threads: status %d [%s]", bad[i], rc, err.code);
    }
    struct rr_pool *p = pool_open(0);
    cr_assert(rr_pool_size(p) == rr_pool_default_threads() && rr_pool_size(p) >= 1,
              "by default %d threads", rr_pool_size(p));
    rr_pool_close(p);
}
