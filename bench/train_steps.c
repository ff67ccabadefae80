/* Steps of `recrank pretrain`, for another trainer to do the same and for timing one by one. Needs
 * librecrank.a; bench/pytorch_train.sh compiles it.
 *
 *     train_steps DIR > BATCHES
 *     train_steps BATCHES STEPS THREADS DROPOUT DIM LAYERS HEADS KV FF
 *
 * The first writes the first pass of the default options and seed over DIR, as native 32-bit
 * integers: the pieces of the vocabulary, then per batch its rows and its sequences,
 * starts[sequences + 1], tokens[rows], targets[rows] (-1: nothing is learned). The second trains on
 * batches 5 to 4 + STEPS, after four to warm up, and prints a line per step: rows, seconds of the
 * clock, seconds of the processor, the loss per target. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "engine/base/file.h"
#include "engine/train/optim.h"
#include "rec/learn/corpus.h"

/* Of tools/cmd_pretrain.c. */
enum { VOCAB = 4096, WINDOW = 30, ROWS = 4096, CONTEXT = 1024, SEED = 1, WARM = 4 };
static const double rate = 2e-3;

static void put(const int *x, int n)
{
    for (int i = 0; i < n; i++) {
        const int32_t v = (int32_t)x[i];
        fwrite(&v, sizeof v, 1, stdout);
    }
}

static int write_pass(const struct rr_corpus *c, struct rr_error *err)
{
    struct rr_corpus_pass pass;
    struct rr_corpus_batch b;
    int rc = rr_corpus_batch_open(&b, ROWS, err);
    if (rc)
        return rc;
    rc = rr_corpus_pass_open(&pass, c, SEED, 0, err);
    while (!rc && rr_corpus_pass_next(&pass, &b)) {
        const int sizes[] = {b.n_rows, b.n_seqs};
        put(sizes, 2);
        put(b.starts, b.n_seqs + 1);
        put(b.tokens, b.n_rows);
        put(b.targets, b.n_rows);
    }
    rr_corpus_pass_close(&pass);
    rr_corpus_batch_close(&b);
    return rc;
}

static int write_batches(const char *dir, struct rr_error *err)
{
    struct rr_data_options o;
    struct rr_dataset d = {0};
    struct rr_split split = {0};
    struct rr_arena arena = {0};
    struct rr_vocab v = {0};
    struct rr_tokenizer *t = NULL;
    struct rr_corpus c = {0};
    rr_data_defaults(&o);
    int rc = rr_dataset_open(&d, dir, &o, err);
    if (!rc)
        rc = rr_split_make(&split, &d, rr_split_default_order(&d), err);
    if (!rc)
        rc = rr_corpus_vocabulary(&v, &arena, &split, VOCAB, false, err);
    if (!rc)
        rc = rr_tokenizer_open(&t, &v, dir, err);
    if (!rc)
        rc = rr_corpus_make(&c, &split, t, WINDOW, err);
    if (!rc) {
        const int pieces = (int)v.n;
        put(&pieces, 1);
        rc = write_pass(&c, err);
    }
    rr_corpus_free(&c);
    rr_tokenizer_close(t);
    rr_arena_free(&arena);
    rr_split_free(&split);
    rr_dataset_close(&d);
    return rc;
}

static double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Our own file, of this machine: trusted. */
static void time_steps(struct rr_lm *lm, struct rr_lm_state *s, struct rr_engine *e,
                       struct rr_adamw *a, const int32_t *x, const int32_t *end, int n)
{
    for (int step = 1; step <= WARM + n && x < end; step++) {
        const int n_rows = x[0], n_seqs = x[1];
        const struct rr_lm_batch b = {.starts = x + 2,
                                      .tokens = x + 2 + n_seqs + 1,
                                      .targets = x + 2 + n_seqs + 1 + n_rows,
                                      .n_rows = n_rows,
                                      .n_seqs = n_seqs};
        int n_targets = 0, counted;
        x = b.targets + n_rows;
        for (int i = 0; i < n_rows; i++)
            n_targets += b.targets[i] >= 0;
        const double wall = seconds(CLOCK_MONOTONIC), own = seconds(CLOCK_PROCESS_CPUTIME_ID);
        const double loss = rr_lm_run(lm, s, &b, true, 1.0 / n_targets, (uint64_t)step, &counted);
        rr_adamw_step(a, e, lm, rate);
        if (step > WARM)
            printf("%d %.6f %.6f %.4f\n", n_rows, seconds(CLOCK_MONOTONIC) - wall,
                   seconds(CLOCK_PROCESS_CPUTIME_ID) - own, loss / n_targets);
    }
}

static int train(char **arg, struct rr_error *err)
{
    struct rr_map map;
    struct rr_engine e = {0};
    struct rr_lm lm = {0};
    struct rr_lm_state *s = NULL;
    struct rr_adamw a = {0};
    int rc = rr_map_open(&map, arg[1], err);
    if (rc)
        return rc;
    const int32_t *x = (const int32_t *)(const void *)map.data;
    const struct rr_hparams h = {.n_layers = atoi(arg[6]),
                                 .n_embd = atoi(arg[5]),
                                 .n_heads = atoi(arg[7]),
                                 .n_kv_heads = atoi(arg[8]),
                                 .head_dim = atoi(arg[5]) / atoi(arg[7]),
                                 .n_ff = atoi(arg[9]),
                                 .n_vocab = x[0],
                                 .n_context = CONTEXT,
                                 .rms_eps = 1e-5,
                                 .rope = {.theta = 10000, .interleaved = true}};
    rc = rr_engine_init(&e, atoi(arg[3]), rr_cpu_best(), err);
    if (!rc)
        rc = rr_lm_make(&lm, &h, true, &(struct rr_lm_options){.dropout = atof(arg[4])}, SEED, err);
    if (!rc)
        rc = rr_lm_state_open(&s, &e, &lm, ROWS, CONTEXT, err);
    if (!rc)
        rc = rr_adamw_open(&a, lm.n_values, err);
    if (!rc)
        time_steps(&lm, s, &e, &a, x + 1, x + map.size / sizeof *x, atoi(arg[2]));
    rr_adamw_close(&a);
    rr_lm_state_close(s);
    rr_lm_free(&lm);
    rr_engine_release(&e);
    rr_map_close(&map);
    return rc;
}

int main(int argc, char **argv)
{
    struct rr_error err = {0};
    if (argc != 2 && argc != 10) {
        fprintf(stderr, "usage: train_steps DIR, or BATCHES STEPS THREADS DROPOUT DIM LAYERS HEADS "
                        "KV FF\n");
        return 2;
    }
    int rc = argc == 2 ? write_batches(argv[1], &err) : train(argv, &err);
    if (rc)
        fprintf(stderr, "train_steps: %s\n", err.text);
    return rc || fflush(stdout) || ferror(stdout);
}
