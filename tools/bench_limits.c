/* recrank bench limits: what the machine can do at most, at the level that was asked for. */
#include "tools/bench.h"

/* These are measured as the best of many tries, not as cases. */
static void add(struct bench_case *c, const char *name, const char *unit, double per_second)
{
    *c = (struct bench_case){.unit = unit, .value = per_second / 1e9, .seconds = 1};
    snprintf(c->name, sizeof c->name, "%s", name);
}

int bench_limits(struct bench *b)
{
    static const struct {
        const char *name;
        size_t bytes; /* of one thread */
    } reads[] = {{"read-16KiB", (size_t)16 << 10},
                 {"read-256KiB", (size_t)256 << 10},
                 {"read-4MiB", (size_t)4 << 20},
                 {"read-256MiB", (size_t)256 << 20}};
    struct bench_case rows[COUNT(reads) + RR_N_UNITS];
    const size_t threads = (size_t)rr_pool_size(b->engine.pool);
    int n = 0;
    for (size_t i = 0; i < COUNT(reads); i++)
        add(&rows[n++], reads[i].name, "GB/s", bench_bandwidth(b, reads[i].bytes * threads));
    for (int u = 0; u < RR_N_UNITS; u++) {
        const double ops = bench_peak(b, (enum rr_unit)u);
        if (ops > 0)
            add(&rows[n++], rr_unit_name((enum rr_unit)u), "Gop/s", ops);
    }
    return bench_print(b, rows, n, "");
}
