/* A llama2.c tokenizer file: refused with a code, or it encodes a text, never to a control piece,
 * and gives it back. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "tokenizer/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char text[] = " the  ab abba \xC3\xA9<s></s><0x41>\n\xF0\x9F\x98\x80";
    struct rr_tokenizer *t;
    struct rr_encoding e = {0};
    struct rr_buf out = {0};
    struct rr_error err = {0};
    if (rr_tokenizer_from_llama2c(&t, data, size, "fuzz.bin", &err) != 0) {
        if (!err.code[0] || !err.text[0] || t)
            abort();
        return 0;
    }
    if (rr_tokenizer_encode(t, &e, text, sizeof text - 1, &err) != 0)
        abort();
    for (size_t i = 0; i < e.n; i++)
        if (e.ids[i] <= 2 || e.ids[i] >= rr_tokenizer_size(t))
            abort();
    if (rr_tokenizer_decode(t, &out, e.ids, e.n, &err) != 0)
        abort();
    rr_buf_free(&out);
    rr_encoding_free(&e);
    rr_tokenizer_close(t);
    return 0;
}
