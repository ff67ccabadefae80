/* Generation-counted fork and join.
 *
 * A job is published by writing fn, arg and the counters and then raising `generation`; a worker
 * that sees a new generation takes task numbers from `next` until they run out. `busy` counts
 * workers that have not yet left the job; the caller returns when it is 0, so nobody reads a
 * job's fields after the next one is written. */
#if defined(__linux__)
#define _GNU_SOURCE /* sched_getaffinity, CPU_COUNT */
#endif
#include "engine/base/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>
#include "engine/base/limits.h"
#include "engine/base/mem.h"
#include "engine/kernel/cpu.h"

#define STACK_BYTES (1u << 20) /* explicit: musl's default is too small */
#define SPINS 1000             /* 10-40 microseconds of looking before sleeping */

struct rr_pool {
    int n_threads;
    int n_started;
    rr_task_fn *fn;
    void *arg;
    int n_tasks;
    double (*clock)(void); /* NULL: none */
    double waited;
    atomic_int next;
    atomic_int busy;
    atomic_uint generation;
    atomic_bool stop;
    pthread_mutex_t lock;
    pthread_cond_t wake, done;
    struct worker {
        struct rr_pool *pool;
        pthread_t thread;
        int id;
    } workers[RR_MAX_THREADS];
};

static void take_tasks(struct rr_pool *p, int id)
{
    for (;;) {
        int task = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed);
        if (task >= p->n_tasks)
            return;
        p->fn(p->arg, task, id);
    }
}

/* Waits until the generation differs from `seen`; returns the new one. */
static unsigned await_job(struct rr_pool *p, unsigned seen)
{
    unsigned now;
    for (int i = 0; i < SPINS; i++) {
        now = atomic_load_explicit(&p->generation, memory_order_acquire);
        if (now != seen)
            return now;
        rr_cpu_pause();
    }
    pthread_mutex_lock(&p->lock);
    while ((now = atomic_load_explicit(&p->generation, memory_order_acquire)) == seen)
        pthread_cond_wait(&p->wake, &p->lock);
    pthread_mutex_unlock(&p->lock);
    return now;
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct rr_pool *p = w->pool;
    unsigned seen = 0;
    for (;;) {
        seen = await_job(p, seen);
        if (atomic_load_explicit(&p->stop, memory_order_relaxed))
            return NULL;
        take_tasks(p, w->id);
        if (atomic_fetch_sub_explicit(&p->busy, 1, memory_order_acq_rel) == 1) {
            pthread_mutex_lock(&p->lock);
            pthread_cond_signal(&p->done);
            pthread_mutex_unlock(&p->lock);
        }
    }
}

static void publish(struct rr_pool *p)
{
    /* Raised under the lock, so that a worker between its last look and its wait cannot miss it. */
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add_explicit(&p->generation, 1, memory_order_release);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
}

static void await_workers(struct rr_pool *p)
{
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(&p->busy, memory_order_acquire) == 0)
            return;
        rr_cpu_pause();
    }
    pthread_mutex_lock(&p->lock);
    while (atomic_load_explicit(&p->busy, memory_order_acquire) != 0)
        pthread_cond_wait(&p->done, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

void rr_pool_set_clock(struct rr_pool *p, double (*clock)(void))
{
    p->clock = clock;
    p->waited = 0;
}

double rr_pool_waited(struct rr_pool *p)
{
    const double waited = p->waited;
    p->waited = 0;
    return waited;
}

void rr_pool_run(struct rr_pool *p, rr_task_fn *fn, void *arg, int n_tasks)
{
    if (p->n_started == 0 || n_tasks <= 1) {
        for (int t = 0; t < n_tasks; t++)
            fn(arg, t, 0);
        return;
    }
    p->fn = fn;
    p->arg = arg;
    p->n_tasks = n_tasks;
    atomic_store_explicit(&p->next, 0, memory_order_relaxed);
    atomic_store_explicit(&p->busy, p->n_started, memory_order_relaxed);
    publish(p);
    take_tasks(p, 0);
    const double began = p->clock ? p->clock() : 0;
    await_workers(p);
    if (p->clock)
        p->waited += p->clock() - began;
}

int rr_pool_open(struct rr_pool **pool, int n_threads, struct rr_error *err)
{
    *pool = NULL;
    if (n_threads == 0)
        n_threads = rr_pool_default_threads();
    if (n_threads < 1 || n_threads > RR_MAX_THREADS)
        return rr_fail(err, RR_ERR_USAGE, "THREADS", RR_NOWHERE, "%d threads; expected 1 to %d",
                       n_threads, RR_MAX_THREADS);
    struct rr_pool *p = rr_zalloc(1, sizeof *p);
    if (!p)
        return rr_fail_memory(err, "thread pool", sizeof *p);
    p->n_threads = n_threads;
    atomic_init(&p->next, 0);
    atomic_init(&p->busy, 0);
    atomic_init(&p->generation, 0);
    atomic_init(&p->stop, false);
    pthread_attr_t attr;
    bool have_attr =
        pthread_attr_init(&attr) == 0 && pthread_attr_setstacksize(&attr, STACK_BYTES) == 0;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    pthread_cond_init(&p->done, NULL);
    for (int i = 1; i < n_threads; i++) {
        struct worker *w = &p->workers[i];
        w->pool = p;
        w->id = i;
        if (pthread_create(&w->thread, have_attr ? &attr : NULL, worker_main, w) != 0) {
            if (have_attr)
                pthread_attr_destroy(&attr);
            rr_pool_close(p);
            return rr_fail(err, RR_ERR_MEMORY, "THREADS", RR_NOWHERE,
                           "thread %d of %d could not be started", i + 1, n_threads);
        }
        p->n_started++;
    }
    if (have_attr)
        pthread_attr_destroy(&attr);
    *pool = p;
    return RR_OK;
}

void rr_pool_close(struct rr_pool *p)
{
    if (!p)
        return;
    atomic_store_explicit(&p->stop, true, memory_order_relaxed);
    publish(p);
    for (int i = 1; i <= p->n_started; i++)
        pthread_join(p->workers[i].thread, NULL);
    pthread_cond_destroy(&p->done);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    rr_free(p);
}

int rr_pool_size(const struct rr_pool *p)
{
    return p->n_threads;
}

/* The CPU quota of this cgroup (version 2, then 1) in whole cores, rounded up; 0 when there is
 * none. */
static int cgroup_cores(void)
{
    long long quota = -1, period = 0;
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "r");
    if (f) {
        if (fscanf(f, "%lld %lld", &quota, &period) != 2)
            quota = -1; /* "max": no quota */
        fclose(f);
    } else if ((f = fopen("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "r")) != NULL) {
        if (fscanf(f, "%lld", &quota) != 1)
            quota = -1;
        fclose(f);
        f = fopen("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "r");
        if (f) {
            if (fscanf(f, "%lld", &period) != 1)
                period = 0;
            fclose(f);
        }
    }
    if (quota <= 0 || period <= 0)
        return 0;
    long long cores = (quota + period - 1) / period;
    return cores > RR_MAX_THREADS ? RR_MAX_THREADS : (int)cores;
}

int rr_pool_default_threads(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) < n)
        n = CPU_COUNT(&set);
#endif
    int quota = cgroup_cores();
    if (quota && quota < n)
        n = quota;
    if (n > RR_MAX_THREADS)
        n = RR_MAX_THREADS;
    return n < 1 ? 1 : (int)n;
}
