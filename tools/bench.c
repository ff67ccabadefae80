/* See bench.h. */
#include "tools/bench.h"

#include <stdlib.h>
#include <string.h>
#include "engine/base/check.h"
#include "engine/base/json.h"
#include "engine/base/limits.h"
#include "rec/recrank.h"

#ifndef RR_COMMIT
#define RR_COMMIT "unknown"
#endif

#define MAX_ROUNDS 101
#define LEAST_SECONDS 0.02 /* of one measurement: much more than a clock's step */

/* ---- timing -------------------------------------------------------------------------------------
 */

static double time_of(const struct bench_case *c, long times)
{
    const double start = tool_seconds();
    for (long i = 0; i < times; i++)
        c->run(c->arg);
    return (tool_seconds() - start) / (double)times;
}

static int ascending(const void *a, const void *b)
{
    return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

static void conclude(struct bench_case *c, double *seconds, int n)
{
    qsort(seconds, (size_t)n, sizeof *seconds, ascending);
    c->seconds = seconds[n / 2];
    c->spread = (seconds[3 * n / 4] - seconds[n / 4]) / 2 / c->seconds;
    const bool cost = strcmp(c->unit, "ns") == 0 || strcmp(c->unit, "s") == 0;
    const double scale = strcmp(c->unit, "ns") == 0 || c->unit[0] == 'G' ? 1e9 : 1;
    c->value = cost ? c->seconds / c->work * scale : c->work / c->seconds / scale;
}

void bench_run(const struct bench *b, struct bench_case *cases, int n)
{
    const int rounds = (int)b->rounds;
    double *all = rr_alloc((size_t)n * MAX_ROUNDS, sizeof *all);
    long *times = rr_alloc((size_t)n, sizeof *times);
    struct progress p;
    if (!all || !times) {
        struct rr_error err = {0};
        (void)rr_fail_memory(&err, "measurements", (size_t)n * MAX_ROUNDS * sizeof *all);
        tool_fail(&err);
        exit(71);
    }
    progress_start(&p, "measuring");
    for (int i = 0; i < n; i++) {
        const double once = time_of(&cases[i], 1);
        times[i] = once < LEAST_SECONDS ? (long)(LEAST_SECONDS / (once + 1e-9)) + 1 : 1;
    }
    for (int r = 0; r < rounds; r++)
        for (int i = 0; i < n; i++) {
            all[i * MAX_ROUNDS + r] = time_of(&cases[i], times[i]);
            progress_step(&p, (long long)r * n + i + 1, (long long)rounds * n);
        }
    progress_end(&p);
    for (int i = 0; i < n; i++)
        conclude(&cases[i], all + i * MAX_ROUNDS, rounds);
    rr_free(all);
    rr_free(times);
}

/* ---- limits -------------------------------------------------------------------------------------
 */

struct peak_job {
    enum rr_cpu_level level;
    enum rr_unit unit;
    long rounds;
    double ops[RR_MAX_THREADS];
    const unsigned char *bytes;
    size_t each;
    long times;
    uint64_t seen[RR_MAX_THREADS];
};

static void peak_task(void *arg, int task, int worker)
{
    struct peak_job *job = arg;
    (void)worker;
    job->ops[task] = rr_peak_run(job->level, job->unit, job->rounds);
}

static void read_task(void *arg, int task, int worker)
{
    struct peak_job *job = arg;
    (void)worker;
    for (long i = 0; i < job->times; i++)
        job->seen[task] ^=
            rr_peak_read(job->level, job->bytes + (size_t)task * job->each, job->each);
}

/* The best of several tries: a limit is what can be had when nothing else runs. */
double bench_peak(struct bench *b, enum rr_unit unit)
{
    const int threads = rr_pool_size(b->engine.pool);
    struct peak_job job = {.level = b->engine.kernels.level, .unit = unit, .rounds = 1000000};
    double best = 0;
    for (int t = 0; t < 12; t++) {
        const double start = tool_seconds();
        double ops = 0;
        rr_pool_run(b->engine.pool, peak_task, &job, threads);
        const double seconds = tool_seconds() - start;
        for (int i = 0; i < threads; i++)
            ops += job.ops[i];
        best = ops / seconds > best ? ops / seconds : best;
    }
    return best;
}

enum rr_unit bench_fastest(const struct bench *b)
{
    for (int u = RR_N_UNITS - 1; u > 0; u--) /* in ascending order of speed */
        if (rr_peak_run(b->engine.kernels.level, (enum rr_unit)u, 1) > 0)
            return (enum rr_unit)u;
    return RR_UNIT_F32;
}

double bench_bandwidth(struct bench *b, size_t n)
{
    const size_t most = (size_t)512 << 20, threads = (size_t)rr_pool_size(b->engine.pool);
    struct peak_job job = {.level = b->engine.kernels.level};
    job.each = (n < most ? n : most) / threads / 4096 * 4096;
    job.each = job.each ? job.each : 4096;
    unsigned char *bytes = rr_alloc_aligned(job.each * threads);
    double best = 0;
    if (!bytes)
        return 0;
    memset(bytes, 1, job.each * threads);
    job.bytes = bytes;
    job.times = (long)(((size_t)64 << 20) / (job.each * threads)) + 1;
    for (int t = 0; t < 8; t++) {
        const double start = tool_seconds();
        rr_pool_run(b->engine.pool, read_task, &job, (int)threads);
        const double rate =
            (double)job.times * (double)(job.each * threads) / (tool_seconds() - start);
        best = rate > best ? rate : best;
    }
    rr_free_aligned(bytes);
    return best;
}

/* ---- output -------------------------------------------------------------------------------------
 */

static const char *key_of(const char *unit)
{
    static const char *const names[][2] = {{"tokens/s", "tokens_per_s"},
                                           {"GB/s", "gbytes_per_s"},
                                           {"Gop/s", "gops"},
                                           {"ns", "ns"},
                                           {"s", "seconds_each"}};
    for (size_t i = 0; i < COUNT(names); i++)
        if (strcmp(unit, names[i][0]) == 0)
            return names[i][1];
    return unit;
}

static double share_of(const struct bench_case *c)
{
    return c->limit > 0 ? c->value / c->limit : 0;
}

static void print_json(const struct bench *b, const struct bench_case *cases, int n,
                       const char *extra, const char *brand)
{
    struct rr_buf out = {0};
    rr_buf_printf(&out, "{\"bench\":\"%s\",\"cpu\":", b->what);
    rr_json_add_string(&out, brand, strlen(brand));
    rr_buf_printf(&out, ",\"level\":\"%s\",\"threads\":%d,\"version\":\"%s\",\"commit\":\"%s\"",
                  rr_cpu_level_name(b->engine.kernels.level), rr_pool_size(b->engine.pool),
                  rr_version(), RR_COMMIT);
    if (b->model) {
        rr_buf_puts(&out, ",\"model\":");
        rr_json_add_string(&out, b->model, strlen(b->model));
    } else if (b->shape) {
        rr_buf_printf(&out, ",\"shape\":\"%s\",\"type\":\"%s\"", b->shape, b->type);
    }
    if (b->model || b->shape)
        rr_buf_printf(&out, ",\"cache\":\"%s\"", rr_cache_name((enum rr_cache_type)b->cache));
    rr_buf_puts(&out, ",\"rows\":[");
    for (int i = 0; i < n; i++) {
        const struct bench_case *c = &cases[i];
        rr_buf_printf(&out, "%s{\"case\":\"%s\",\"%s\":%.6g", i ? "," : "", c->name,
                      key_of(c->unit), c->value);
        if (c->limit > 0)
            rr_buf_printf(&out, ",\"share_of_limit\":%.4f,\"limit\":%.6g,\"limit_of\":\"%s\"",
                          share_of(c), c->limit, c->of);
        rr_buf_printf(&out, ",\"seconds\":%.6g,\"spread\":%.4f}", c->seconds, c->spread);
    }
    rr_buf_printf(&out, "]%s}\n", extra);
    fputs(out.data && !out.failed ? out.data : "", stdout);
    rr_buf_free(&out);
}

int bench_print(const struct bench *b, const struct bench_case *cases, int n, const char *extra)
{
    char brand[64];
    rr_cpu_brand(brand, sizeof brand);
    if (b->json) {
        print_json(b, cases, n, extra, brand);
        return tool_finish();
    }
    const bool best = strcmp(b->what, "limits") == 0;
    printf("# %s; %s, %d thread%s; recrank %s, commit %s; ", brand,
           rr_cpu_level_name(b->engine.kernels.level), rr_pool_size(b->engine.pool),
           rr_pool_size(b->engine.pool) > 1 ? "s" : "", rr_version(), RR_COMMIT);
    if (b->cache)
        printf("cache %s; ", rr_cache_name((enum rr_cache_type)b->cache));
    printf(best ? "the best of many tries\n" : "medians of %lld\n", b->rounds);
    printf("suite\tcase\tvalue\tunit\tspread\tshare\tlimit\tof\n");
    for (int i = 0; i < n; i++) {
        const struct bench_case *c = &cases[i];
        if (b->model)
            printf("%s-file", b->what);
        else if (b->shape)
            printf("%s-%s-%s", b->what, b->shape, b->type);
        else
            printf("%s", b->what);
        printf("\t%s\t%.6g\t%s\t", c->name, c->value, c->unit);
        if (!best)
            printf("%.1f%%", 100 * c->spread);
        if (c->limit > 0)
            printf("\t%.1f%%\t%.6g\t%s\n", 100 * share_of(c), c->limit, c->of);
        else
            printf("\t\t\t\n");
    }
    return tool_finish();
}
