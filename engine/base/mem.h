/* Memory: checked array allocation, growing buffers, and the arena that models and requests live
 * in.
 *
 * All allocation of the library goes through here, with malloc and free underneath, so that a
 * test can make every single one fail (linking with --wrap=malloc). Nothing here aborts: NULL or
 * false means out of memory. */
#ifndef RR_MEM_H
#define RR_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* n * size bytes, not initialised / zeroed; NULL when the product overflows or memory is out. n
 * * size 0 is 1 byte. */
void *rr_alloc(size_t n, size_t size);
void *rr_zalloc(size_t n, size_t size);
void rr_free(void *p);

/* Makes room for at least need elements in an array, growing by half. p is the address of the
 * array's pointer (of any type); *cap counts elements. False: memory is out, and both are as
 * before. */
bool rr_grow(void *p, size_t *cap, size_t need, size_t elem_size);

/* memcpy that takes nothing from nowhere: an empty array may be a null pointer. */
static inline void rr_copy(void *to, const void *from, size_t n)
{
    if (n)
        memcpy(to, from, n);
}

/* n_bytes aligned to 64; release with rr_free_aligned. */
void *rr_alloc_aligned(size_t n_bytes);
void rr_free_aligned(void *p);

/* Bump allocator: many small lifetimes that end together. Zero-initialised is a valid empty
 * arena. Not thread-safe. */
struct rr_arena {
    struct rr_arena_block *head;
    size_t n_bytes; /* asked for so far, for budgets and reports */
};

/* n * size bytes aligned to 16, not initialised; NULL as rr_alloc. Lives until rr_arena_free. */
void *rr_arena_alloc(struct rr_arena *a, size_t n, size_t size);
void *rr_arena_zalloc(struct rr_arena *a, size_t n, size_t size);
/* A terminated copy of n bytes (which may hold zeros). */
char *rr_arena_copy(struct rr_arena *a, const char *bytes, size_t n);
/* Moves all of from's memory into a; from is empty afterwards. */
void rr_arena_join(struct rr_arena *a, struct rr_arena *from);
void rr_arena_free(struct rr_arena *a);

/* A growing byte string. Zero-initialised is valid and empty; data is terminated whenever not
 * NULL. A failed append sets `failed` and drops the bytes, so a caller may append freely and
 * test once at the end. */
struct rr_buf {
    char *data;
    size_t n, cap;
    bool failed;
};

void rr_buf_add(struct rr_buf *b, const char *bytes, size_t n);
void rr_buf_puts(struct rr_buf *b, const char *s);
void rr_buf_printf(struct rr_buf *b, const char *fmt, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;
void rr_buf_clear(struct rr_buf *b); /* keeps the memory */
void rr_buf_free(struct rr_buf *b);

#endif
