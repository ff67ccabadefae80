/* Owns no memory of its own: see mem.h. */
#if defined(__linux__)
#define _DEFAULT_SOURCE /* madvise */
#endif
#include "engine/base/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "engine/base/check.h"

/* Blocks that pages of 2 MiB are asked for: caches and weights, whose every byte is walked through
 * again and again. */
#define HUGE_PAGE ((size_t)2 << 20)
#define HUGE_FROM (2 * HUGE_PAGE)

void *rr_alloc(size_t n, size_t size)
{
    size_t bytes;
    if (!rr_mul_size(&bytes, n, size))
        return NULL;
    return malloc(bytes ? bytes : 1);
}

void *rr_zalloc(size_t n, size_t size)
{
    return calloc(n ? n : 1, size ? size : 1);
}

void rr_free(void *p)
{
    free(p);
}

bool rr_grow(void *p, size_t *cap, size_t need, size_t elem_size)
{
    if (need <= *cap)
        return true;
    size_t want = *cap + *cap / 2 + 16, bytes;
    if (want < need)
        want = need;
    if (!rr_mul_size(&bytes, want, elem_size))
        return false;
    void *old, *grown;
    memcpy(&old, p, sizeof old);
    grown = realloc(old, bytes);
    if (!grown)
        return false;
    memcpy(p, &grown, sizeof grown);
    *cap = want;
    /* cppcheck-suppress memleak ; it lives on in *p */
    return true;
}

void *rr_alloc_aligned(size_t n_bytes)
{
    if (n_bytes > SIZE_MAX / 2)
        return NULL;
#if defined(MADV_HUGEPAGE)
    if (n_bytes >= HUGE_FROM) {
        void *p = aligned_alloc(HUGE_PAGE, rr_round_up(n_bytes, HUGE_PAGE));
        if (p)
            (void)madvise(p, rr_round_up(n_bytes, HUGE_PAGE),
                          MADV_HUGEPAGE); /* as the system likes */
        return p;
    }
#endif
    return aligned_alloc(64, rr_round_up(n_bytes ? n_bytes : 1, 64));
}

void rr_free_aligned(void *p)
{
    free(p);
}

/* Blocks double up to 1 MiB, so that a small config costs little and a large vocabulary few
 * mallocs. */
struct rr_arena_block {
    struct rr_arena_block *next;
    size_t n, cap;
};

#define ARENA_HEADER rr_round_up(sizeof(struct rr_arena_block), 16)

void *rr_arena_alloc(struct rr_arena *a, size_t n, size_t size)
{
    size_t bytes;
    if (!rr_mul_size(&bytes, n, size) || bytes > SIZE_MAX / 2)
        return NULL;
    bytes = rr_round_up(bytes ? bytes : 1, 16);
    struct rr_arena_block *b = a->head;
    if (!b || bytes > b->cap - b->n) {
        size_t cap = b ? b->cap * 2 : 4096;
        if (cap > (1u << 20))
            cap = 1u << 20;
        if (cap < bytes)
            cap = bytes;
        b = malloc(ARENA_HEADER + cap);
        if (!b)
            return NULL;
        b->next = a->head;
        b->n = 0;
        b->cap = cap;
        a->head = b;
    }
    char *p = (char *)b + ARENA_HEADER + b->n;
    b->n += bytes;
    a->n_bytes += bytes;
    return p;
}

void *rr_arena_zalloc(struct rr_arena *a, size_t n, size_t size)
{
    void *p = rr_arena_alloc(a, n, size);
    if (p)
        memset(p, 0, n * size);
    return p;
}

char *rr_arena_copy(struct rr_arena *a, const char *bytes, size_t n)
{
    if (n == SIZE_MAX)
        return NULL;
    char *p = rr_arena_alloc(a, n + 1, 1);
    if (!p)
        return NULL;
    rr_copy(p, bytes, n);
    p[n] = 0;
    return p;
}

void rr_arena_join(struct rr_arena *a, struct rr_arena *from)
{
    struct rr_arena_block **tail = &a->head;
    while (*tail)
        tail = &(*tail)->next;
    *tail = from->head;
    a->n_bytes += from->n_bytes;
    *from = (struct rr_arena){0};
}

void rr_arena_free(struct rr_arena *a)
{
    struct rr_arena_block *b = a->head;
    while (b) {
        struct rr_arena_block *next = b->next;
        free(b);
        b = next;
    }
    *a = (struct rr_arena){0};
}

void rr_buf_add(struct rr_buf *b, const char *bytes, size_t n)
{
    if (b->failed || n >= SIZE_MAX - b->n || !rr_grow(&b->data, &b->cap, b->n + n + 1, 1)) {
        b->failed = true;
        return;
    }
    rr_copy(b->data + b->n, bytes, n);
    b->n += n;
    b->data[b->n] = 0;
}

void rr_buf_puts(struct rr_buf *b, const char *s)
{
    rr_buf_add(b, s, strlen(s));
}

void rr_buf_printf(struct rr_buf *b, const char *fmt, ...)
{
    char small[512];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(small, sizeof small, fmt, ap);
    va_end(ap);
    if (n < 0 || b->failed) {
        b->failed = true;
        return;
    }
    if ((size_t)n < sizeof small) {
        rr_buf_add(b, small, (size_t)n);
        return;
    }
    if (!rr_grow(&b->data, &b->cap, b->n + (size_t)n + 1, 1)) {
        b->failed = true;
        return;
    }
    va_start(ap, fmt);
    vsnprintf(b->data + b->n, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->n += (size_t)n;
}

void rr_buf_clear(struct rr_buf *b)
{
    b->n = 0;
    b->failed = false;
    if (b->data)
        b->data[0] = 0;
}

void rr_buf_free(struct rr_buf *b)
{
    free(b->data);
    *b = (struct rr_buf){0};
}
