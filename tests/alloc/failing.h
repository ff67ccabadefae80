/* Failing allocations: every allocating function (the linker puts these in their place), and the
 * sweep that lets the 1st, 2nd, 3rd, ... allocation of a scenario fail, then also all from there
 * on. Each time the answer must be RR_ERR_MEMORY and everything must have been given back. Included
 * once per program. */
#ifndef TESTS_FAILING_H
#define TESTS_FAILING_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include "engine/base/fail.h"
#include "tests/alloc/wrap.h"

static long n_calls; /* allocations asked for since the last reset */
static long fail_at; /* this one fails; 0: none */
static bool fail_on; /* and all behind it */
static long n_live;  /* blocks not yet freed */

static bool fails(void)
{
    n_calls++;
    return fail_at && (n_calls == fail_at || (fail_on && n_calls > fail_at));
}

static void *counted(void *p)
{
    n_live += p != NULL;
    return p;
}

void *__wrap_malloc(size_t n)
{
    return fails() ? NULL : counted(__real_malloc(n));
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : counted(__real_calloc(n, size));
}

void *__wrap_realloc(void *p, size_t n)
{
    if (fails())
        return NULL;
    void *grown = __real_realloc(p, n);
    return p ? grown : counted(grown);
}

void *__wrap_aligned_alloc(size_t align, size_t n)
{
    return fails() ? NULL : counted(__real_aligned_alloc(align, n));
}

void __wrap_free(void *p)
{
    n_live -= p != NULL;
    __real_free(p);
}

/* What one scenario is about. */
struct scenario {
    const char *name, *model, *tokenizer;
};

static long n_failed; /* allocations that were made to fail, over all scenarios */

typedef int use_fn(const struct scenario *sc, struct rr_error *err);

/* From one allocation that fails to the next: the sanitizers, ten times as slow, leave two of three
 * to the build without them. */
#if defined(__SANITIZE_ADDRESS__)
#define SWEEP_STEP 3
#else
#define SWEEP_STEP 1
#endif

static bool sweep_one(const struct scenario *sc, use_fn *use, bool on)
{
    for (fail_at = 1; fail_at < 1000000; fail_at += SWEEP_STEP) {
        struct rr_error err = {0};
        const long live = n_live;
        n_calls = 0;
        fail_on = on;
        int rc = use(sc, &err);
        if (n_live != live) {
            fprintf(stderr, "oom: %s, allocation %ld%s: %ld blocks were not freed (status %d)\n",
                    sc->name, fail_at, on ? " and later" : "", n_live - live, rc);
            return false;
        }
        if (rc == RR_OK && n_calls < fail_at) {
            fail_at = 0;
            return n_calls > 0;
        }
        if (rc != RR_ERR_MEMORY || err.status != RR_ERR_MEMORY) {
            fprintf(stderr,
                    "oom: %s, allocation %ld of %ld%s failed: status %d [%s] %s; expected %d\n",
                    sc->name, fail_at, n_calls, on ? " and later" : "", rc, err.code, err.text,
                    RR_ERR_MEMORY);
            return false;
        }
        n_failed++;
    }
    return false;
}

/* Goes on after a failure of one scenario, so that one run shows all of them. */
static int sweep(const struct scenario *sc, use_fn *use)
{
    bool once = sweep_one(sc, use, false), on = sweep_one(sc, use, true);
    fail_at = 0;
    return !(once && on);
}

#endif
