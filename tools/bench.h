/* What the benchmarks share: cases that are timed in turn, the limits they are set beside, and rows
 * of TSV or JSON that say on what machine they were measured. */
#ifndef TOOLS_BENCH_H
#define TOOLS_BENCH_H

#include <stdio.h>
#include "engine/kernel/peak.h"
#include "tools/common.h"
#include "tools/data.h"

struct bench_case {
    char name[48];
    void (*run)(void *arg);
    void *arg;
    const char *unit; /* "tokens/s", "GB/s", "Gop/s", "ns" (of one item: less is better), "s" */
    double work;      /* what one run does, in the unit's numerator; of ns: items */
    double limit;     /* in the unit; 0: none */
    const char *of;   /* what the limit is of */
    /* Measured. */
    double seconds; /* median of one run */
    double spread;  /* half the distance of the quartiles over the median */
    double value;   /* in the unit */
};

struct bench {
    const char *what; /* "limits", "kernels", ... */
    struct model_options engine_options;
    struct data_options data;
    struct rr_engine engine;
    const char *shape, *type, *model; /* a shape with a type, or a file; NULL: none */
    const char *output;               /* of file */
    int cache;                        /* enum rr_cache_type */
    bool json, profile;
    long long rounds, trunk, leaves, leaf_tokens;
    bool failed; /* a check did */
};

/* Runs every case once for nothing and then `rounds` times in turn (b->rounds), each as often in a
 * row as fills 20 milliseconds; fills seconds, spread and value. */
void bench_run(const struct bench *b, struct bench_case *cases, int n);
/* A table with a line of TSV per case, or a JSON object {..., "rows": [...] extra}. extra: members
 * that stand in the object itself, beginning with a comma, or "". */
int bench_print(const struct bench *b, const struct bench_case *cases, int n, const char *extra);

/* Operations per second of the fastest unit that this level has, all threads together. */
double bench_peak(struct bench *b, enum rr_unit unit);
/* The fastest unit of the level. */
enum rr_unit bench_fastest(const struct bench *b);
/* Bytes per second that all threads together read from a buffer of n bytes (at most 512 MiB of
 * it are tried); 0: no memory. */
double bench_bandwidth(struct bench *b, size_t n);

/* The benchmarks; each returns an exit code. */
int bench_limits(struct bench *b);
int bench_kernels(struct bench *b);
int bench_model(struct bench *b);
int bench_rank(struct bench *b);
int bench_core(struct bench *b, const struct command *c);
int bench_file(struct bench *b);
/* Rows of two TSV results side by side; exit code 1 when one is more than 3 % worse. */
int bench_compare(const char *before, const char *after);

#endif
