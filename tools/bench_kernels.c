/* recrank bench kernels: the entries of the kernel table, timed, and but for prepare (whose
 * results are no floats; tests/kernel_int_test.c has it) checked against plain C first. */
#include <math.h>
#include <string.h>
#include "engine/base/rng.h"
#include "tools/bench.h"

/* Shapes: a matrix of a small model's layer, which stays in the second-level cache. */
enum { ROWS = 128, COLS = 512, M = 64, HEAD = 64, KEYS = 512 };

struct ground {
    unsigned char *w; /* [ROWS, COLS] of the type */
    float *x;         /* [M, COLS] */
    float *y, *z;     /* [M, COLS or ROWS] results, and C's */
    void *scratch;
    struct rr_quantised xq;
    struct rr_kernels k, c;
    enum rr_type type;
    int m;
};

/* ---- what is timed ------------------------------------------------------------------------------
 */

static void run_row_f32(void *arg)
{
    struct ground *g = arg;
    const size_t bytes = rr_row_bytes(g->type, COLS);
    for (int j = 0; j < ROWS; j++)
        g->k.row_f32[g->type](g->y, g->w + (size_t)j * bytes, COLS);
}

static void run_product(void *arg)
{
    struct ground *g = arg;
    const struct rr_tensor w = {g->type, ROWS, COLS, g->w};
    const struct rr_matmul mm = {
        .y = g->y, .ldy = ROWS, .x = g->x, .ldx = COLS, .xq = &g->xq, .m = g->m, .w = &w};
    rr_matmul_rows(&g->k, &mm, 0, ROWS, g->scratch);
}

static void run_prepare(void *arg)
{
    struct ground *g = arg;
    rr_prepare_rows(&g->k, &g->xq, &(struct rr_rows){g->x, COLS, COLS}, 0, M,
                    RR_READS_8 | RR_READS_16);
}

static void run_scores(void *arg)
{
    struct ground *g = arg;
    const struct rr_attn_scores a = {.s = g->y,
                                     .lds = KEYS,
                                     .q = g->x,
                                     .ldq = HEAD,
                                     .k = g->x,
                                     .n_q = RR_ATTN_ROWS,
                                     .n_panels = KEYS / RR_PANEL,
                                     .head_dim = HEAD,
                                     .scale = 0.125f};
    g->k.attn_scores(&a);
}

static void run_values(void *arg)
{
    struct ground *g = arg;
    const struct rr_attn_values a = {.o = g->y,
                                     .ldo = HEAD,
                                     .p = g->x,
                                     .ldp = KEYS,
                                     .v = g->x,
                                     .ldv = HEAD,
                                     .n_q = RR_ATTN_ROWS,
                                     .n = KEYS,
                                     .head_dim = HEAD};
    memset(g->y, 0, RR_ATTN_ROWS * HEAD * sizeof *g->y);
    g->k.attn_values(&a);
}

static void run_softmax(void *arg)
{
    struct ground *g = arg;
    memcpy(g->y, g->x, KEYS * sizeof *g->y);
    g->y[KEYS] = g->k.softmax_exp(g->y, KEYS, &(float){-INFINITY});
}

static void run_rmsnorm(void *arg)
{
    struct ground *g = arg;
    g->k.rmsnorm(g->y, g->x, g->x + COLS, COLS, 1e-5f);
}

static void run_silu(void *arg)
{
    struct ground *g = arg;
    memcpy(g->y, g->x, COLS * sizeof *g->y);
    g->k.silu_mul(g->y, g->x + COLS, COLS);
}

static void run_add(void *arg)
{
    struct ground *g = arg;
    memcpy(g->y, g->x, COLS * sizeof *g->y);
    g->k.add(g->y, g->x + COLS, COLS);
}

static void run_tile(void *arg)
{
    struct ground *g = arg;
    memset(g->y, 0, RR_TILE_M * RR_TILE_N * sizeof *g->y);
    g->k.tile_f32(g->y, RR_TILE_N, g->x, g->x + (size_t)RR_TILE_M * KEYS, KEYS);
}

/* ---- against C ----------------------------------------------------------------------------------
 */

/* Largest difference of n results of run, as a share of the largest number; C's way is the same
 * ground with C's table. */
static double difference(struct ground *g, void (*run)(void *), size_t n)
{
    struct ground c = *g;
    double most = 1e-30, off = 0;
    c.k = g->c;
    c.y = g->z;
    run_prepare(&c);
    memset(g->y, 0, n * sizeof *g->y);
    memset(g->z, 0, n * sizeof *g->z);
    run(&c);
    run_prepare(g);
    run(g);
    for (size_t i = 0; i < n; i++) {
        most = fmax(most, fabs((double)g->z[i]));
        const double by = fabs((double)g->z[i] - (double)g->y[i]);
        if (!(by <= off)) /* a NaN, too */
            off = by;
    }
    return off / most;
}

struct list {
    struct bench *b;
    struct ground *ground; /* its next */
    struct bench_case *cases;
    int n;
    const struct ground *first;
    unsigned char *const *rows; /* [RR_TYPE_COUNT] matrices */
    double f32, fast, cache;    /* limits */
    const char *fast_name;      /* of the unit that prepared rows are for */
};

/* A case, and how many numbers of its result are compared with C's (0: none). */
struct entry {
    const char *name;
    void (*run)(void *);
    const char *unit;
    double work, limit;
    const char *of;
    size_t n_results;
    enum rr_type type;
    int m;
    bool decoding; /* with that table, whose order of sums is not C's */
};

/* Appends a case; a kernel that does not give what C gives is named on stderr. */
static void add(struct list *l, const struct entry *x)
{
    struct ground *g = l->ground++;
    *g = *l->first;
    g->type = x->type;
    g->w = l->rows[x->type];
    g->m = x->m;
    if (x->decoding)
        rr_kernels_init_decoding(&g->k, g->k.level);
    struct bench_case *c = &l->cases[l->n++];
    *c = (struct bench_case){
        .run = x->run, .arg = g, .unit = x->unit, .work = x->work, .limit = x->limit, .of = x->of};
    snprintf(c->name, sizeof c->name, "%s", x->name);
    const double off = x->n_results ? difference(g, x->run, x->n_results) : 0;
    const int prepared = x->run == run_product && !x->decoding ? g->k.prepared[g->type] : 0;
    const double bound = !prepared                 ? 1e-4
                         : g->k.tiles              ? 0x1p-6
                         : prepared == RR_READS_16 ? 0x1p-12
                                                   : 0;
    if (!(off <= bound)) {
        fprintf(stderr, "recrank bench: %s is off by %g of what plain C gives\n", x->name, off);
        l->b->failed = true;
    }
}

static void add_types(struct list *l)
{
    for (int t = 0; t < RR_TYPE_COUNT; t++) {
        char unpack[48], one[48], decode[48], many[48];
        const enum rr_type type = (enum rr_type)t;
        const char *name = rr_type_info(type)->name;
        const int prepared = l->first->k.prepared[t];
        /* Of sixteen bits an instruction has half the products that it has of eight. */
        const bool int16 = prepared == RR_READS_16 && !l->first->k.tiles;
        const double bytes = ROWS * (double)rr_row_bytes(type, COLS), cache = l->cache / 1e9,
                     fast = (int16 ? l->fast / 2 : l->fast) / 1e9,
                     peak = prepared ? fast : l->f32 / 1e9, ops = 2.0 * M * ROWS * COLS;
        const char *unit = int16 ? "int16" : prepared ? l->fast_name : "f32";
        snprintf(unpack, sizeof unpack, "row_f32-%s", name);
        snprintf(one, sizeof one, "product-%s-1", name);
        snprintf(decode, sizeof decode, "decode-%s-1", name);
        snprintf(many, sizeof many, "product-%s-%d", name, M);
        add(l, &(struct entry){unpack, run_row_f32, "GB/s", bytes, cache, "L2 read", COLS, type, 1,
                               false});
        add(l, &(struct entry){one, run_product, "GB/s", bytes, cache, "L2 read", ROWS, type, 1,
                               false});
        if (l->first->k.decode[t])
            add(l, &(struct entry){decode, run_product, "GB/s", bytes, cache, "L2 read", ROWS, type,
                                   1, true});
        add(l, &(struct entry){many, run_product, "Gop/s", ops, peak, unit, (size_t)M * ROWS, type,
                               M, false});
    }
}

static void add_others(struct list *l)
{
    const double f32 = l->f32 / 1e9, attention = 2.0 * RR_ATTN_ROWS * KEYS * HEAD;
    const struct entry all[] = {
        {.name = "attn_scores",
         .run = run_scores,
         .unit = "Gop/s",
         .work = attention,
         .limit = f32,
         .of = "f32",
         .n_results = (size_t)RR_ATTN_ROWS * KEYS},
        {.name = "attn_values",
         .run = run_values,
         .unit = "Gop/s",
         .work = attention,
         .limit = f32,
         .of = "f32",
         .n_results = (size_t)RR_ATTN_ROWS * HEAD},
        {.name = "tile_f32",
         .run = run_tile,
         .unit = "Gop/s",
         .work = 2.0 * RR_TILE_M * RR_TILE_N * KEYS,
         .limit = f32,
         .of = "f32",
         .n_results = (size_t)RR_TILE_M * RR_TILE_N},
        {.name = "softmax_exp",
         .run = run_softmax,
         .unit = "ns",
         .work = KEYS,
         .n_results = KEYS + 1},
        {.name = "rmsnorm", .run = run_rmsnorm, .unit = "ns", .work = COLS, .n_results = COLS},
        {.name = "silu_mul", .run = run_silu, .unit = "ns", .work = COLS, .n_results = COLS},
        {.name = "add", .run = run_add, .unit = "ns", .work = COLS, .n_results = COLS}};
    for (size_t i = 0; i < COUNT(all); i++)
        add(l, &all[i]);
    add(l, &(struct entry){
               .name = "prepare", .run = run_prepare, .unit = "ns", .work = (double)M * COLS});
}

/* Numbers up to one in x and in matrices of plain numbers; of blocks any bytes, and scales up to
 * one. */
static void fill(struct ground *g, unsigned char *const rows[RR_TYPE_COUNT])
{
    struct rr_rng r;
    rr_rng_seed(&r, 3);
    for (size_t i = 0; i < (size_t)M * COLS; i++)
        g->x[i] = (float)(2 * rr_rng_unit(&r) - 1);
    for (int t = 0; t < RR_TYPE_COUNT; t++) {
        const struct rr_type_info *info = rr_type_info((enum rr_type)t);
        const size_t bytes = ROWS * rr_row_bytes((enum rr_type)t, COLS);
        for (size_t i = 0; i < bytes; i += info->block_bytes) {
            const float v = (float)(2 * rr_rng_unit(&r) - 1);
            const uint16_t half = rr_f32_to_f16(v);
            for (size_t k = 0; k < info->block_bytes; k++)
                rows[t][i + k] = (unsigned char)rr_rng_below(&r, 256);
            if (t == RR_TYPE_F32)
                memcpy(rows[t] + i, &v, sizeof v);
            else if (t == RR_TYPE_BF16)
                memcpy(rows[t] + i, (const unsigned char *)&v + 2, 2); /* little-endian: its top */
            else if (t == RR_TYPE_F16)
                memcpy(rows[t] + i, &half, 2);
            for (int h = 0; h < 2 && info->halves[h].most; h++)
                memcpy(rows[t] + i + info->halves[h].at, &half, 2);
        }
    }
}

int bench_kernels(struct bench *b)
{
    enum { MOST = 4 * RR_TYPE_COUNT + 16 };
    static struct ground grounds[MOST];
    static struct bench_case cases[MOST];
    struct rr_arena arena = {0};
    struct ground g = {.k = b->engine.kernels};
    unsigned char *rows[RR_TYPE_COUNT];
    const size_t numbers = (size_t)M * COLS;
    bool room = true;
    rr_kernels_init(&g.c, RR_CPU_C);
    for (int t = 0; t < RR_TYPE_COUNT; t++) {
        rows[t] = rr_arena_alloc(&arena, ROWS, rr_row_bytes((enum rr_type)t, COLS));
        room = room && rows[t];
    }
    g.x = rr_arena_alloc(&arena, numbers, sizeof *g.x);
    g.y = rr_arena_alloc(&arena, numbers, sizeof *g.y);
    g.z = rr_arena_alloc(&arena, numbers, sizeof *g.z);
    g.scratch = rr_arena_alloc(&arena, rr_gemm_scratch(&g.k, COLS), 1);
    g.xq = (struct rr_quantised){
        rr_arena_alloc(&arena, numbers, 1),
        rr_arena_alloc(&arena, numbers / RR_QK, sizeof *g.xq.d),
        rr_arena_alloc(&arena, 2 * numbers / RR_QK, sizeof *g.xq.sum),
        rr_arena_alloc(&arena, M / RR_TILE_ROWS, rr_tile_stride(COLS) * sizeof *g.xq.pairs),
        rr_arena_alloc(&arena, M, rr_int16_apart(COLS) * sizeof *g.xq.q16),
        rr_arena_alloc(&arena, M, rr_int16_blocks(COLS) * sizeof *g.xq.d16)};
    if (!room || !g.x || !g.y || !g.z || !g.scratch || !g.xq.q || !g.xq.d || !g.xq.sum ||
        !g.xq.pairs || !g.xq.q16 || !g.xq.d16) {
        struct rr_error err = {0};
        (void)rr_fail_memory(&err, "kernels", numbers * sizeof *g.x);
        rr_arena_free(&arena);
        return tool_fail(&err);
    }
    fill(&g, rows);
    run_prepare(&g);
    struct list l = {.b = b,
                     .ground = grounds,
                     .cases = cases,
                     .first = &g,
                     .rows = rows,
                     .f32 = bench_peak(b, RR_UNIT_F32),
                     .fast = bench_peak(b, bench_fastest(b)),
                     .fast_name = rr_unit_name(bench_fastest(b)),
                     .cache = bench_bandwidth(b, (size_t)256 << 10)};
    add_types(&l);
    add_others(&l);
    bench_run(b, cases, l.n);
    const int rc = bench_print(b, cases, l.n, "");
    rr_arena_free(&arena);
    return rc ? rc : b->failed ? 1 : 0;
}
