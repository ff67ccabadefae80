/* safetensors bytes: the header is refused with a code, or every tensor lies within the file and
 * all together cover its data. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "weights/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rr_stored *list = NULL;
    size_t n = 0, cap = 0;
    struct rr_arena arena = {0};
    struct rr_error err = {0};
    int rc = rr_safetensors_parse(&list, &n, &cap, &arena, data, size, "fuzz.safetensors", &err);
    if (rc && (!err.code[0] || !err.text[0] || err.status != RR_ERR_DATA))
        abort();
    uint64_t covered = 8;
    for (size_t i = 0; i < 8 && i < size && !rc; i++)
        covered += (uint64_t)data[i] << (8 * i);
    for (size_t i = 0; i < n && !rc; i++) {
        const struct rr_stored *t = &list[i];
        if (t->data < data || t->n_bytes > size || t->data + t->n_bytes > data + size ||
            !t->name[0] || t->n_dims > RR_STORED_DIMS || t->data != data + t->offset)
            abort();
        covered += t->n_bytes;
    }
    if (!rc && covered != size)
        abort();
    free(list);
    rr_arena_free(&arena);
    return 0;
}
