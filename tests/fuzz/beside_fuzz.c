/* What lies beside a tokenizer.model: tokenizer_config.json up to the first zero byte, then
 * added_tokens.json. Refused with a code, or it makes a vocabulary that opens and holds every piece
 * that was there before. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "tokenizer/beside.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rr_piece pieces[] = {{"<unk>", 5, 0, RR_PIECE_UNKNOWN}, {"<s>", 3, 0, RR_PIECE_CONTROL},
                                {"</s>", 4, 0, RR_PIECE_CONTROL},  {"a", 1, 0, RR_PIECE_NORMAL},
                                {"b", 1, -1, RR_PIECE_NORMAL},     {"ab", 2, -2, RR_PIECE_NORMAL}};
    const size_t n = sizeof pieces / sizeof pieces[0];
    const unsigned char *zero = size ? memchr(data, 0, size) : NULL;
    const size_t n_config = zero ? (size_t)(zero - data) : size;
    const struct rr_map config = {data, n_config},
                        list = {zero ? zero + 1 : NULL, zero ? size - n_config - 1 : 0};
    struct rr_beside b = RR_BESIDE_NOTHING;
    struct rr_vocab v = {.pieces = pieces, .n = n, .unk = 0, .bos = 1, .eos = 2};
    struct rr_error err = {0};
    struct rr_tokenizer *t = NULL;
    size_t left_out = 0;
    int rc = rr_beside_parse(&b, "config", &config, "list", &list, &err);
    if (!rc)
        rc = rr_beside_add(&v, &b, 40, &left_out, "model", &err);
    if (!rc) {
        check(v.n >= n && v.n <= 40 && left_out <= b.n_added);
        check(memcmp(v.pieces, pieces, sizeof pieces) == 0);
        check(v.eos >= 0 && v.eos < (int)v.n && (v.bos == 1 || v.bos == -1));
        rc = rr_tokenizer_open(&t, &v, "model", &err);
    }
    check(!rc || (err.code[0] && err.text[0]));
    rr_tokenizer_close(t);
    rr_beside_free(&b);
    return 0;
}
