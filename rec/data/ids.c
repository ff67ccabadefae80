/* See ids.h. */
#include "rec/data/ids.h"

#include <stdint.h>

static uint64_t hash(const char *s, size_t len)
{
    uint64_t h = 0x9E3779B97F4A7C15u ^ len;
    for (size_t i = 0; i < len; i++) {
        h = (h ^ (unsigned char)s[i]) * 0xBF58476D1CE4E5B9u;
        h ^= h >> 29;
    }
    return h ^ h >> 32;
}

static bool same(const char *text, const char *s, size_t len)
{
    return strlen(text) == len && memcmp(text, s, len) == 0;
}

int rr_ids_find(const struct rr_ids *ids, const char *s, size_t len)
{
    if (!ids->table)
        return -1;
    for (size_t at = (size_t)hash(s, len) & ids->mask;; at = (at + 1) & ids->mask) {
        const int i = ids->table[at];
        if (i < 0 || same(ids->text[i], s, len))
            return i;
    }
}

static void place(const struct rr_ids *ids, int i)
{
    const char *s = ids->text[i];
    size_t at = (size_t)hash(s, strlen(s)) & ids->mask;
    while (ids->table[at] >= 0)
        at = (at + 1) & ids->mask;
    ids->table[at] = i;
}

/* At least twice as many places as ids. */
static bool widen(struct rr_ids *ids)
{
    const size_t size = ids->table ? 2 * (ids->mask + 1) : 1024;
    int *table = rr_alloc(size, sizeof *table);
    if (!table)
        return false;
    rr_free(ids->table);
    ids->table = table;
    ids->mask = size - 1;
    memset(table, 0xff, size * sizeof *table);
    for (size_t i = 0; i < ids->n; i++)
        place(ids, (int)i);
    return true;
}

int rr_ids_add(struct rr_ids *ids, const char *s, size_t len)
{
    const int found = rr_ids_find(ids, s, len);
    if (found >= 0)
        return found;
    if ((!ids->table || 2 * (ids->n + 1) > ids->mask + 1) && !widen(ids))
        return -1;
    const char *text = rr_arena_copy(ids->arena, s, len);
    if (!text || !rr_grow(&ids->text, &ids->cap, ids->n + 1, sizeof *ids->text))
        return -1;
    ids->text[ids->n] = text;
    place(ids, (int)ids->n);
    return (int)ids->n++;
}

void rr_ids_free(struct rr_ids *ids)
{
    rr_free(ids->text);
    rr_free(ids->table);
    *ids = (struct rr_ids){0};
}
