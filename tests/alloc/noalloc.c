/* Evaluating allocates nothing: a plain program, linked with --wrap for every allocating function,
 * that counts calls while sessions work. Exit 0 when there was none. */
#include <stdio.h>
#include <stdlib.h>
#include "engine/session.h"
#include "tests/alloc/wrap.h"
#include "tests/make_model.h"

static int watching;  /* set while no other thread runs a task */
static int n_watched; /* calls while watching; a race would only miscount a failure */
static int n_unwatched;

static void note(void)
{
    if (watching)
        n_watched++;
    else
        n_unwatched++;
}

void *__wrap_malloc(size_t n)
{
    note();
    return __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    note();
    return __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    note();
    return __real_realloc(p, n);
}

void *__wrap_aligned_alloc(size_t align, size_t n)
{
    note();
    return __real_aligned_alloc(align, n);
}

void __wrap_free(void *p)
{
    note();
    __real_free(p);
}

static const struct model_shape shapes[] = {
    {"F32", 2, 48, 6, 2, 8, 80, 97, 256, RR_TYPE_F32, true, true},
    {"Q8_0", 2, 64, 4, 4, 16, 96, 130, 256, RR_TYPE_Q8_0, false, false},
    {"Q6_K", 1, 256, 4, 2, 64, 512, 90, 256, RR_TYPE_Q6_K, false, true},
};

enum { TRUNK = 50, LEAF = 20, LEAVES = 6 };

/* A trunk, leaves, refused calls, rewinding: all that a session does between opening and closing.
 */
static int work(struct rr_session *s, int n_vocab)
{
    static float logits[LEAVES][256];
    static double norm;
    int tokens[TRUNK], ids[] = {1, 2}, nodes[LEAVES + 1], rc = 0;
    struct rr_feed feeds[LEAVES + 1];
    struct rr_want wants[LEAVES];
    struct rr_error err = {0};
    for (int i = 0; i < TRUNK; i++)
        tokens[i] = i * 7 % n_vocab;
    for (int i = 0; i <= LEAVES && !rc; i++) {
        rc = rr_session_branch(s, i ? nodes[0] : -1, i ? LEAF : TRUNK, &nodes[i], &err);
        feeds[i] = (struct rr_feed){nodes[i], tokens, i ? LEAF : TRUNK};
        if (i)
            wants[i - 1] = (struct rr_want){.feed = i, .offset = LEAF - 1, .logits = logits[i - 1]};
    }
    wants[1].ids = wants[2].ids = ids;
    wants[1].n_ids = wants[2].n_ids = 2;
    wants[2].log_norm = &norm;
    if (!rc)
        rc = rr_session_eval(s, feeds, LEAVES + 1, wants, LEAVES, &err);
    if (rc) {
        fprintf(stderr, "noalloc: [%s] %s\n", err.code, err.text);
        return 1;
    }
    rr_session_rewind(s, nodes[1]);
    tokens[0] = n_vocab;
    if (rr_session_branch(s, nodes[0], 3, &nodes[1], &err) != 0 ||
        rr_session_eval(s, &(struct rr_feed){nodes[1], tokens, 1}, 1, NULL, 0, &err) !=
            RR_ERR_USAGE ||
        rr_session_branch(s, -1, 1 << 20, &nodes[1], &err) != RR_ERR_USAGE) {
        fputs("noalloc: a call that should be refused is not\n", stderr);
        return 1;
    }
    rr_session_rewind(s, 0);
    return 0;
}

int main(void)
{
    int bad = 0, n_runs = 0;
    for (int level = 0; level <= (int)rr_cpu_best(); level++) {
        if (!rr_cpu_has((enum rr_cpu_level)level))
            continue;
        for (size_t i = 0; i < sizeof shapes / sizeof shapes[0] * 3; i++) {
            const struct model_shape *shape = &shapes[i / 3];
            const int threads = (int)(i % 3) + 1, batch = i % 2 ? 256 : 7;
            struct rr_model *m = make_model(shape, 1);
            struct rr_session_options o = {
                .n_batch = batch, .n_cells = 512, .cache = i % 2 ? RR_CACHE_F16 : RR_CACHE_F32};
            struct rr_session *s = NULL;
            struct rr_engine e;
            struct rr_error err;
            if (rr_engine_init(&e, threads, (enum rr_cpu_level)level, &err) != 0 ||
                rr_session_open(&s, &e, m, &o, &err) != 0) {
                fprintf(stderr, "noalloc: %s\n", err.text);
                return 1;
            }
            watching = 1;
            for (int round = 0; round < 3; round++)
                bad |= work(s, shape->n_vocab);
            watching = 0;
            rr_session_close(s);
            rr_engine_release(&e);
            free_model(m);
            n_runs++;
        }
    }
    if (n_watched)
        fprintf(stderr, "noalloc: %d allocations or releases while evaluating\n", n_watched);
    if (!n_unwatched)
        fputs("noalloc: no allocation was seen at all; link with --wrap (see Makefile)\n", stderr);
    if (bad || n_watched || !n_unwatched)
        return 1;
    printf("noalloc: %d sessions, no allocation while evaluating\n", n_runs);
    return 0;
}
