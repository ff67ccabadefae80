/* The thread pool: one object per engine, no globals.
 *
 * A job is n_tasks independent tasks; threads (the caller is one of them) take them one after
 * another. Which thread runs which task is not fixed, so a task must write only what belongs to
 * it: then results cannot depend on the number of threads. Workers spin for some microseconds
 * after a job, then sleep. */
#ifndef RR_POOL_H
#define RR_POOL_H

#include "engine/base/fail.h"

struct rr_pool;

/* task in [0, n_tasks); worker in [0, rr_pool_size) names the scratch a task may use. */
typedef void rr_task_fn(void *arg, int task, int worker);

/* n_threads 0 asks for rr_pool_default_threads(). */
int rr_pool_open(struct rr_pool **pool, int n_threads, struct rr_error *err);
void rr_pool_close(struct rr_pool *pool); /* NULL is allowed */
int rr_pool_size(const struct rr_pool *pool);

/* Runs all tasks and returns when they are done. Only one thread may call this at a time; no
 * nesting. */
void rr_pool_run(struct rr_pool *pool, rr_task_fn *fn, void *arg, int n_tasks);

/* For profiles: with a clock, the pool adds up how long the caller of rr_pool_run waited for other
 * threads; waited gives that in seconds and begins anew. NULL: no clock is read. */
void rr_pool_set_clock(struct rr_pool *pool, double (*clock)(void));
double rr_pool_waited(struct rr_pool *pool);

/* The smallest of online cores, this process's affinity and its cgroup CPU quota; at least 1. */
int rr_pool_default_threads(void);

#endif
