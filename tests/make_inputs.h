/* What the tests of kernels share: memory that ends at a page which may not be touched, inputs that
 * are hard on sums, rows of any bytes, the table of a level. Linked once, so that each test file
 * stays short. */
#ifndef TESTS_MAKE_INPUTS_H
#define TESTS_MAKE_INPUTS_H

#include <stdbool.h>
#include "engine/base/rng.h"
#include "engine/kernel/kernel.h"

/* cr_assert reports every success too, which costs too much in inner loops. */
#define CHECK(cond, ...)                                                                           \
    do {                                                                                           \
        if (!(cond))                                                                               \
            cr_assert((cond), __VA_ARGS__);                                                        \
    } while (0)

#define EACH_LEVEL(k)                                                                              \
    for (int level_ = 0; level_ <= (int)rr_cpu_best(); level_++)                                   \
        if (rr_cpu_has((enum rr_cpu_level)level_))                                                 \
            for (struct rr_kernels k = table(level_), *once_ = &k; once_; once_ = NULL)

/* Every product of every level, those for decoding too. */
#define EACH_PRODUCT(k, type)                                                                      \
    for (int i_ = 0; i_ < 2 * ((int)rr_cpu_best() + 1); i_++)                                      \
        if (rr_cpu_has((enum rr_cpu_level)(i_ / 2)))                                               \
            for (struct rr_kernels k = i_ % 2 ? table_for_decoding(i_ / 2) : table(i_ / 2),        \
                                   *once_ = &k;                                                    \
                 once_; once_ = NULL)                                                              \
                for (int type = 0; type < RR_TYPE_COUNT; type++)                                   \
                    if (i_ % 2 == 0 || k.decode[type] || !k.prepared[type])

struct rr_kernels table(int level);
struct rr_kernels table_for_decoding(int level);
const char *level_of(const struct rr_kernels *k);
const char *type_of(int type);

#define FENCE_BYTES (1u << 22)
#define POISON 0xFF

struct fence {
    unsigned char *end; /* nothing behind it may be touched */
};

/* n poisoned bytes that end at the fence, less `shift`. A float of the poison is NaN: what was not
 * written, or read from outside, shows. */
void *fenced(struct fence *f, size_t n, size_t shift);
float *fenced_floats(struct fence *f, size_t n);
/* Nothing was written before p. */
bool guard_is_whole(const void *p);
bool is_poison(const float *p, size_t n);
bool same_bits(const float *a, const float *b, size_t n);

enum kind { PLAIN, LARGE, TINY, ZEROS, CANCELLING, N_KINDS };
extern const char *const kind_names[N_KINDS];
void fill(float *x, size_t n, enum kind kind, struct rr_rng *r);

#define MAX_LENGTHS 96
/* Row lengths worth trying for a type; returns how many. */
int lengths(int *out, int type);
/* Random bytes whose scales are finite: every pattern a valid file may hold. */
void any_row(unsigned char *p, int type, int k, struct rr_rng *r);
/* Rows of x[m, k] quantised as the level does it, into static memory (9 * 16384 numbers). */
const struct rr_quantised *quantised(const struct rr_kernels *k, const float *x, int m, int len);

#endif
