/* A tokenizer.json, or (what does not begin as JSON does) LLaMA-3's ranks: refused with a code, or
 * it encodes a text and decodes the ids to what they came from. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "tokenizer/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const struct rr_tokenizer *t, const char *text, size_t n)
{
    struct rr_encoding e = {0};
    struct rr_buf out = {0};
    struct rr_error err = {0};
    if (rr_tokenizer_encode(t, &e, text, n, &err) != 0)
        abort();
    for (size_t i = 0; i < e.n; i++)
        if (e.ids[i] < 0 || e.ids[i] >= rr_tokenizer_size(t))
            abort();
    if (rr_tokenizer_decode(t, &out, e.ids, e.n, &err) != 0)
        abort();
    struct rr_vocab v;
    rr_tokenizer_vocab(&v, t);
    if (v.rule && (out.n != n || (n && memcmp(out.data, text, n) != 0)))
        abort();
    rr_buf_free(&out);
    rr_encoding_free(&e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char text[] =
        " the  ab abba it's 12345 \xC3\xA9\xE2\x96\x81<s></s><0x41>\r\n\n ...\xF0\x9F\x98\x80 ";
    struct rr_tokenizer *t;
    struct rr_error err = {0};
    const int rc = size && data[0] == '{'
                       ? rr_tokenizer_from_json(&t, data, size, "fuzz.json", "</s>", &err)
                       : rr_tokenizer_from_tiktoken(&t, data, size, "fuzz.model", &err);
    if (rc != 0) {
        if (!err.code[0] || !err.text[0] || t)
            abort();
        return 0;
    }
    check_text(t, text, sizeof text - 1);
    check_text(t, text, 5);
    check_text(t, "", 0);
    rr_tokenizer_close(t);
    return 0;
}
