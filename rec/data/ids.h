/* Ids of users and items as a set of strings with dense numbers, in order of first appearance. */
#ifndef RR_IDS_H
#define RR_IDS_H

#include "engine/base/mem.h"

struct rr_ids {
    const char **text; /* [n], terminated, in the arena */
    size_t n, cap;
    int *table; /* open addressing, -1: empty */
    size_t mask;
    struct rr_arena *arena;
};

/* Number of s[0..len), or -1. */
int rr_ids_find(const struct rr_ids *ids, const char *s, size_t len);
/* The same, adding it when it is new; -1: memory is out. */
int rr_ids_add(struct rr_ids *ids, const char *s, size_t len);
/* The texts stay in the arena. */
void rr_ids_free(struct rr_ids *ids);

#endif
