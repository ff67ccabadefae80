/* The bounded cursor: the only way recrank reads bytes it did not write.
 *
 * Holds always: at <= n. A read past the end sets `overrun`, returns zero and moves nothing, so
 * a parser may read several fields and test once; `at` then still points at the first byte that
 * was missing. */
#ifndef RR_CURSOR_H
#define RR_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct rr_cursor {
    const unsigned char *p;
    size_t n;
    size_t at;
    bool overrun;
};

static inline struct rr_cursor rr_cursor_make(const void *p, size_t n)
{
    return (struct rr_cursor){.p = p, .n = n};
}

static inline size_t rr_cursor_left(const struct rr_cursor *c)
{
    return c->n - c->at;
}

/* The next n bytes in place, or NULL. n may be anything up to 2^64-1. */
static inline const unsigned char *rr_cursor_take(struct rr_cursor *c, uint64_t n)
{
    if (c->overrun || n > c->n - c->at) {
        c->overrun = true;
        return NULL;
    }
    const unsigned char *p = c->p + c->at;
    c->at += (size_t)n;
    return p;
}

static inline uint8_t rr_cursor_u8(struct rr_cursor *c)
{
    const unsigned char *p = rr_cursor_take(c, 1);
    return p ? p[0] : 0;
}

static inline uint32_t rr_load_u16(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static inline uint32_t rr_load_u32(const unsigned char *p)
{
    return rr_load_u16(p) | rr_load_u16(p + 2) << 16;
}

static inline uint64_t rr_load_u64(const unsigned char *p)
{
    return (uint64_t)rr_load_u32(p) | (uint64_t)rr_load_u32(p + 4) << 32;
}

static inline uint32_t rr_cursor_u32(struct rr_cursor *c)
{
    const unsigned char *p = rr_cursor_take(c, 4);
    return p ? rr_load_u32(p) : 0;
}

static inline uint64_t rr_cursor_u64(struct rr_cursor *c)
{
    const unsigned char *p = rr_cursor_take(c, 8);
    return p ? rr_load_u64(p) : 0;
}

static inline float rr_float_from_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline float rr_cursor_f32(struct rr_cursor *c)
{
    return rr_float_from_bits(rr_cursor_u32(c));
}

#endif
