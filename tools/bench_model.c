/* recrank bench model, recrank bench rank: prefill, decode and the ranking job of a whole model. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/check.h"
#include "tools/bench.h"
#include "tools/demo.h"
#include "tools/random_model.h"

struct bed {
    struct bench *b;
    struct random_model random;
    struct loaded loaded;
    const struct rr_model *model;
    struct rr_session *session;
    struct rr_profile profile;
    int *tokens;
    float *logits;
    int n_prefix; /* of decode */
    bool failed;
    struct rr_error err;
};

/* ---- opening ------------------------------------------------------------------------------------
 */

static int open_model(struct bed *bed)
{
    struct bench *b = bed->b;
    if (b->model) {
        int rc = demo_weights(&bed->loaded.weights, b->model, NULL, &bed->err);
        bed->model = &bed->loaded.weights.model;
        return rc;
    }
    const struct rr_hparams *shape;
    enum rr_type type;
    const int rc = random_model_named(b->shape, b->type, &shape, &type, &bed->err);
    bed->model = &bed->random.model;
    return rc ? rc : random_model_make(&bed->random, shape, type, &bed->err);
}

/* n_batch 0: as the ranker has it. */
static int open_bed(struct bed *bed, int n_cells, int longest, int n_batch)
{
    int rc = open_model(bed);
    if (!rc && longest > bed->model->h.n_context)
        rc = rr_fail(&bed->err, RR_ERR_USAGE, "CONTEXT", RR_NOWHERE,
                     "%d tokens one behind the other; this model's context holds %d", longest,
                     bed->model->h.n_context);
    const struct rr_session_options o = {.n_context = longest,
                                         .n_cells = n_cells,
                                         .n_batch = n_batch,
                                         .cache = (enum rr_cache_type)bed->b->cache,
                                         .profile = bed->b->profile ? &bed->profile : NULL};
    bed->profile.clock = tool_seconds;
    if (!rc)
        rc = rr_session_open(&bed->session, &bed->b->engine, bed->model, &o, &bed->err);
    if (!rc) {
        bed->tokens = rr_alloc((size_t)n_cells, sizeof *bed->tokens);
        bed->logits = rr_alloc((size_t)bed->model->h.n_vocab, sizeof *bed->logits);
        if (!bed->tokens || !bed->logits)
            rc = rr_fail_memory(&bed->err, "tokens", 0);
    }
    for (int i = 0; i < n_cells && !rc; i++)
        bed->tokens[i] = (int)((unsigned)i * 7919u % (unsigned)bed->model->h.n_vocab);
    return rc;
}

static void close_bed(struct bed *bed)
{
    rr_session_close(bed->session);
    rr_weights_close(&bed->loaded.weights);
    random_model_free(&bed->random);
    rr_free(bed->tokens);
    rr_free(bed->logits);
}

/* ---- what it costs at least ---------------------------------------------------------------------
 */

static double weights_of(const struct rr_tensor *t)
{
    return (double)t->n_rows * t->n_cols;
}

static double bytes_of(const struct rr_tensor *t)
{
    return (double)t->n_rows * (double)rr_row_bytes(t->type, (size_t)t->n_cols);
}

/* Sums over the matrices of all layers. */
static double sum_layers(const struct rr_model *m, double (*of)(const struct rr_tensor *))
{
    double sum = 0;
    for (int i = 0; i < m->h.n_layers; i++) {
        const struct rr_layer *l = &m->layers[i];
        const struct rr_tensor *all[] = {&l->wq,   &l->wk, &l->wv,  &l->wo,
                                         &l->gate, &l->up, &l->down};
        for (size_t t = 0; t < COUNT(all); t++)
            sum += of(all[t]);
    }
    return sum;
}

/* Operations of tokens at positions from .. from + n - 1: linear layers, and attention to what lies
 * before. */
static double ops_of(const struct rr_model *m, double from, double n)
{
    const double seen = n * from + n * (n + 1) / 2;
    return 2 * n * sum_layers(m, weights_of) +
           4 * seen * m->h.n_layers * m->h.n_heads * m->h.head_dim;
}

/* ---- the cases ----------------------------------------------------------------------------------
 */

static void eval(struct bed *bed, const struct rr_feed *feeds, int n_feeds,
                 const struct rr_want *wants, int n_wants)
{
    if (!bed->failed &&
        rr_session_eval(bed->session, feeds, n_feeds, wants, n_wants, &bed->err) != RR_OK)
        bed->failed = true;
}

static void prefill(struct bed *bed, int n)
{
    int node = 0;
    rr_session_rewind(bed->session, 0);
    if (rr_session_branch(bed->session, -1, n, &node, &bed->err))
        bed->failed = true;
    const struct rr_want want = {.offset = n - 1, .logits = bed->logits};
    eval(bed, &(struct rr_feed){node, bed->tokens, n}, 1, &want, 1);
}

static void prefill_128(void *arg)
{
    prefill(arg, 128);
}

static void prefill_512(void *arg)
{
    prefill(arg, 512);
}

enum { PREFIX = 128, DECODED = 16 };

static void decode(void *arg)
{
    struct bed *bed = arg;
    int node = 0;
    rr_session_rewind(bed->session, 1);
    if (rr_session_branch(bed->session, 0, DECODED, &node, &bed->err))
        bed->failed = true;
    const struct rr_want want = {.logits = bed->logits};
    rr_session_decoding(bed->session, true);
    for (int i = 0; i < DECODED; i++)
        eval(bed, &(struct rr_feed){node, bed->tokens + i, 1}, 1, &want, 1);
    rr_session_decoding(bed->session, false);
}

static void print_profile(const struct bed *bed, const char *name)
{
    const struct rr_profile *p = &bed->profile;
    double sum = 0;
    for (int i = 0; i < RR_N_STEPS; i++)
        sum += p->seconds[i];
    fprintf(stderr, "%-12s", name);
    for (int i = 0; i < RR_N_STEPS && sum > 0; i++)
        fprintf(stderr, " %s %.1f%%", rr_step_name((enum rr_step)i), 100 * p->seconds[i] / sum);
    fprintf(stderr, "; waiting for threads %.1f%%\n", sum > 0 ? 100 * p->waiting / sum : 0);
}

/* Where the time of a case goes, by itself: not while it is measured beside others. */
static void profile(struct bed *bed, const struct bench_case *cases, int n)
{
    for (int i = 0; i < n && bed->b->profile && !bed->failed; i++) {
        bed->profile = (struct rr_profile){.clock = tool_seconds};
        cases[i].run(cases[i].arg);
        print_profile(bed, cases[i].name);
    }
}

int bench_model(struct bench *b)
{
    struct bed bed = {.b = b};
    int rc = open_bed(&bed, 512 + 64, 512, 512);
    if (rc == RR_OK) {
        const double peak = bench_peak(b, bench_fastest(b));
        const double bytes = sum_layers(bed.model, bytes_of) + bytes_of(&bed.model->head);
        const double head = 2 * weights_of(&bed.model->head);
        const char *unit = rr_unit_name(bench_fastest(b));
        struct bench_case cases[] = {{.name = "prefill128", .run = prefill_128, .work = 128},
                                     {.name = "prefill512", .run = prefill_512, .work = 512},
                                     {.name = "decode", .run = decode, .work = DECODED}};
        for (size_t i = 0; i < COUNT(cases); i++) {
            cases[i].arg = &bed;
            cases[i].unit = "tokens/s";
            cases[i].of = i < 2 ? unit : "read bandwidth";
            cases[i].limit =
                i < 2 ? cases[i].work / ((ops_of(bed.model, 0, cases[i].work) + head) / peak)
                      : bench_bandwidth(b, (size_t)bytes) / bytes;
        }
        bench_run(b, cases, 2);
        prefill(&bed, PREFIX);
        bench_run(b, cases + 2, 1);
        profile(&bed, cases, 2);
        prefill(&bed, PREFIX);
        profile(&bed, cases + 2, 1);
        if (bed.failed)
            rc = bed.err.status;
        else
            b->failed = bench_print(b, cases, COUNT(cases), "") != 0;
    }
    close_bed(&bed);
    return rc ? tool_fail(&bed.err) : b->failed ? 74 : 0;
}

/* ---- the ranking job ----------------------------------------------------------------------------
 */

enum { MAX_LEAVES = 1000 };

/* A trunk, and leaves behind it that are asked for two tokens each. */
static void rank(void *arg)
{
    static const int ids[2] = {5, 9};
    struct bed *bed = arg;
    const struct bench *b = bed->b;
    struct rr_feed feeds[MAX_LEAVES + 1];
    struct rr_want wants[MAX_LEAVES];
    rr_session_rewind(bed->session, 0);
    for (int i = 0; i <= b->leaves && !bed->failed; i++) {
        const int n = (int)(i ? b->leaf_tokens : b->trunk);
        if (rr_session_branch(bed->session, i ? 0 : -1, n, &feeds[i].node, &bed->err))
            bed->failed = true;
        feeds[i].tokens = bed->tokens + (i ? (i * 5) % b->trunk : 0);
        feeds[i].n_tokens = n;
        if (i)
            wants[i - 1] = (struct rr_want){.feed = i,
                                            .offset = n - 1,
                                            .ids = ids,
                                            .n_ids = 2,
                                            .logits = bed->logits + 2 * (i - 1)};
    }
    eval(bed, feeds, (int)b->leaves + 1, wants, (int)b->leaves);
}

/* A number of bytes that Linux says of this process; 0: it does not. */
static double process_memory(const char *name)
{
    char line[200];
    double kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, name, strlen(name)) == 0)
            kib = strtod(line + strlen(name), NULL);
    if (f)
        fclose(f);
    return 1024 * kib;
}

static double all_bytes(const struct rr_model *m)
{
    return sum_layers(m, bytes_of) + bytes_of(&m->embed) + (m->tied ? 0 : bytes_of(&m->head));
}

int bench_rank(struct bench *b)
{
    struct bed bed = {.b = b};
    const int each = (int)rr_round_up((size_t)b->leaf_tokens, RR_PANEL);
    int rc = open_bed(&bed, (int)b->trunk + RR_PANEL + each * (int)b->leaves + each,
                      (int)(b->trunk + b->leaf_tokens), 0);
    if (rc == RR_OK && 2 * b->leaves > bed.model->h.n_vocab)
        rc = rr_fail(&bed.err, RR_ERR_USAGE, "LEAVES", RR_NOWHERE,
                     "%lld leaves; this vocabulary allows %d", b->leaves, bed.model->h.n_vocab / 2);
    if (rc == RR_OK) {
        const double tokens = (double)b->trunk + (double)b->leaves * (double)b->leaf_tokens;
        const double ops =
            ops_of(bed.model, 0, (double)b->trunk) +
            (double)b->leaves * ops_of(bed.model, (double)b->trunk, (double)b->leaf_tokens);
        struct bench_case c = {.run = rank,
                               .arg = &bed,
                               .unit = "tokens/s",
                               .work = tokens,
                               .limit = tokens / (ops / bench_peak(b, bench_fastest(b))),
                               .of = rr_unit_name(bench_fastest(b))};
        snprintf(c.name, sizeof c.name, "rank-%lld+%lldx%lld", b->trunk, b->leaves, b->leaf_tokens);
        bench_run(b, &c, 1);
        profile(&bed, &c, 1);
        char extra[400];
        snprintf(extra, sizeof extra,
                 ",\"seconds\":%.6g,\"tokens_computed\":%.0f,\"share_of_limit\":%.4f,"
                 "\"weights_bytes\":%.0f,\"peak_resident_bytes\":%.0f,\"private_bytes\":%.0f",
                 c.seconds, tokens, c.value / c.limit, all_bytes(bed.model),
                 process_memory("VmHWM:"), process_memory("RssAnon:"));
        if (bed.failed)
            rc = bed.err.status;
        else
            b->failed = bench_print(b, &c, 1, extra) != 0;
    }
    close_bed(&bed);
    return rc ? tool_fail(&bed.err) : b->failed ? 74 : 0;
}
