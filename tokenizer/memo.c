/* See memo.h. */
#include "tokenizer/memo.h"

#include <stdatomic.h>
#include "engine/base/mem.h"

struct rr_memo_word *rr_memo_open(void)
{
    return rr_zalloc(RR_MEMO_WORDS, sizeof(struct rr_memo_word));
}

/* The address of a tokenizer would not do: once it is closed, the next may have the same. */
uint64_t rr_memo_serial(void)
{
    static atomic_size_t last;
    return (uint64_t)atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
}
