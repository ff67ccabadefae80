/* A SentencePiece tokenizer.model: refused with a code, or it encodes a text and decodes the ids.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "tokenizer/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char text[] =
        " the  ab abba \xC3\xA9\xE2\x96\x81<s></s><0x41>\n\xFF\xF0\x9F\x98\x80";
    struct rr_tokenizer *t;
    struct rr_encoding e = {0};
    struct rr_buf out = {0};
    struct rr_error err = {0};
    if (rr_tokenizer_from_sentencepiece(&t, data, size, "fuzz.model", &err) != 0) {
        if (!err.code[0] || !err.text[0] || t)
            abort();
        return 0;
    }
    for (size_t n = 0; n < sizeof text; n++) {
        if (rr_tokenizer_encode(t, &e, text, n, &err) != 0)
            abort();
        for (size_t i = 0; i < e.n; i++)
            if (e.ids[i] < 0 || e.ids[i] >= rr_tokenizer_size(t))
                abort();
    }
    if (rr_tokenizer_decode(t, &out, e.ids, e.n, &err) != 0)
        abort();
    rr_buf_free(&out);
    rr_encoding_free(&e);
    rr_tokenizer_close(t);
    return 0;
}
