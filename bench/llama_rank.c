/* The ranking job of `recrank bench rank` (a trunk of 400 tokens, ten leaves of 30, the logits
 * behind each) with llama.cpp, its cache shared as llama.cpp does it: the trunk is evaluated once,
 * copied to ten sequences, and their tokens go into one batch. Prints the seconds of each round.
 * Built and run by llama.sh; not part of recrank. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "llama.h"

enum { TRUNK = 400, LEAVES = 10, LEAF = 30 };

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void quiet(enum ggml_log_level level, const char *text, void *arg)
{
    (void)level, (void)text, (void)arg;
}

static void add(struct llama_batch *b, int token, int at, int sequence, bool wanted)
{
    const int i = b->n_tokens++;
    b->token[i] = token;
    b->pos[i] = at;
    b->n_seq_id[i] = 1;
    b->seq_id[i][0] = sequence;
    b->logits[i] = wanted;
}

static int token_at(int i, int n_vocab)
{
    return (int)((unsigned)i * 7919u % (unsigned)n_vocab);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: llama_rank MODEL THREADS ROUNDS\n");
        return 2;
    }
    llama_log_set(quiet, NULL);
    llama_backend_init();
    struct llama_context_params p = llama_context_default_params();
    p.n_ctx = 1024;
    p.n_batch = p.n_ubatch = 512;
    p.n_seq_max = LEAVES + 1;
    p.n_threads = p.n_threads_batch = atoi(argv[2]);
    struct llama_model *m = llama_model_load_from_file(argv[1], llama_model_default_params());
    struct llama_context *c = m ? llama_init_from_model(m, p) : NULL;
    if (!c) {
        fprintf(stderr, "llama_rank: %s does not open\n", argv[1]);
        return 1;
    }
    const int n_vocab = llama_vocab_n_tokens(llama_model_get_vocab(m));
    struct llama_batch b = llama_batch_init(512, 0, LEAVES + 1);
    for (int round = -1; round < atoi(argv[3]); round++) { /* the first warms up */
        const double before = seconds();
        llama_kv_cache_clear(c);
        b.n_tokens = 0;
        for (int i = 0; i < TRUNK; i++)
            add(&b, token_at(i, n_vocab), i, 0, false);
        int rc = llama_decode(c, b);
        for (int leaf = 1; leaf <= LEAVES; leaf++)
            llama_kv_cache_seq_cp(c, 0, leaf, -1, -1);
        b.n_tokens = 0;
        for (int leaf = 1; leaf <= LEAVES; leaf++)
            for (int i = 0; i < LEAF; i++)
                add(&b, token_at((leaf * 5 + i) % TRUNK, n_vocab), TRUNK + i, leaf, i == LEAF - 1);
        if (rc || llama_decode(c, b)) {
            fprintf(stderr, "llama_rank: evaluating failed\n");
            return 1;
        }
        if (round >= 0)
            printf("%.6f\n", seconds() - before);
    }
    return 0;
}
