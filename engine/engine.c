/* See engine.h. */
#include "engine/engine.h"

#include "engine/base/check.h"

int rr_engine_init(struct rr_engine *e, int n_threads, enum rr_cpu_level level,
                   struct rr_error *err)
{
    *e = (struct rr_engine){0};
    if (!rr_cpu_has(level))
        return rr_fail(err, RR_ERR_USAGE, "CPU_LEVEL", RR_NOWHERE,
                       "this machine has no %s; its best level is %s", rr_cpu_level_name(level),
                       rr_cpu_level_name(rr_cpu_best()));
    rr_kernels_init(&e->kernels, level);
    rr_kernels_init_decoding(&e->decoding, level);
    return rr_pool_open(&e->pool, n_threads, err);
}

void rr_engine_release(struct rr_engine *e)
{
    rr_pool_close(e->pool);
    *e = (struct rr_engine){0};
}

struct matmul_job {
    const struct rr_kernels *kernels;
    const struct rr_matmul *mms;
    int n;
    unsigned char *scratch;
    size_t scratch_each;                                    /* of a worker */
    int rows_each[RR_MAX_PRODUCTS], first[RR_MAX_PRODUCTS]; /* rows of W a task; first task */
};

static void matmul_task(void *arg, int task, int worker)
{
    const struct matmul_job *job = arg;
    int i = job->n - 1;
    while (task < job->first[i])
        i--;
    const int r0 = (task - job->first[i]) * job->rows_each[i],
              r1 = rr_min_int(r0 + job->rows_each[i], job->mms[i].w->n_rows);
    rr_matmul_rows(job->kernels, &job->mms[i], r0, r1,
                   job->scratch + (size_t)worker * job->scratch_each);
}

/* Fewer multiply-adds than this are done before another thread has woken up. */
#define MIN_TASK_WORK 200000

/* Rows of W in a task. */
static int task_rows(const struct rr_matmul *mm, int threads, double all_work)
{
    const int n = mm->w->n_rows;
    const double work = (double)mm->m * n * mm->w->n_cols;
    if (threads == 1 || all_work < 2 * MIN_TASK_WORK)
        return n;
    /* Four tasks a thread even out cores of unequal speed; a multiple of 32 rows keeps tiles
     * whole, and a few of them share what they read of x. */
    const int parts = 4 * threads, few = rr_min_int(n, 128),
              rows = rr_max_int((int)rr_round_up((size_t)((n + parts - 1) / parts), 32),
                                mm->m > 32 ? few : 32);
    const int least = (int)rr_round_up((size_t)((double)n * MIN_TASK_WORK / work + 1), 32);
    return rr_min_int(rr_max_int(rows, least), n);
}

void rr_engine_matmuls(struct rr_engine *e, const struct rr_kernels *k, const struct rr_matmul *mms,
                       int n, void *scratch)
{
    const int threads = rr_pool_size(e->pool);
    struct matmul_job job = {.kernels = k, .mms = mms, .n = n, .scratch = scratch};
    double work = 0;
    int tasks = 0;
    for (int i = 0; i < n; i++) {
        const size_t each = rr_gemm_scratch(k, mms[i].w->n_cols);
        work += (double)mms[i].m * mms[i].w->n_rows * mms[i].w->n_cols;
        job.scratch_each = each > job.scratch_each ? each : job.scratch_each;
    }
    for (int i = 0; i < n; i++) {
        job.rows_each[i] = task_rows(&mms[i], threads, work);
        job.first[i] = tasks;
        tasks += (mms[i].w->n_rows + job.rows_each[i] - 1) / job.rows_each[i];
    }
    rr_pool_run(e->pool, matmul_task, &job, tasks);
}

struct prepare_job {
    const struct rr_kernels *kernels;
    const struct rr_quantised *out;
    const struct rr_rows *x;
    int m, prepared, rows_each;
};

static void prepare_task(void *arg, int task, int worker)
{
    const struct prepare_job *job = arg;
    const int i = task * job->rows_each;
    (void)worker;
    rr_prepare_rows(job->kernels, job->out, job->x, i, rr_min_int(job->rows_each, job->m - i),
                    job->prepared);
}

void rr_engine_prepare(struct rr_engine *e, const struct rr_kernels *k,
                       const struct rr_quantised *out, const struct rr_rows *x, int m, int prepared)
{
    struct prepare_job job = {k, out, x, m, prepared, m};
    if ((double)m * x->n_cols >= 2 * MIN_TASK_WORK)
        job.rows_each = (int)rr_round_up((size_t)(m / (4 * rr_pool_size(e->pool)) + 1),
                                         (size_t)rr_prepared_together(k));
    rr_pool_run(e->pool, prepare_task, &job, (m + job.rows_each - 1) / job.rows_each);
}
