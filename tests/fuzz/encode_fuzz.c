/* Arbitrary text through a small fixed tokenizer: never a control token, and valid UTF-8 without
 * U+2581 comes back as it was. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/utf8.h"
#include "tokenizer/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BLANK "\xE2\x96\x81"

static const struct {
    const char *text;
    enum rr_piece_type type;
    float score;
} words[] = {
    {BLANK, RR_PIECE_NORMAL, -50},
    {"a", RR_PIECE_NORMAL, -51},
    {"b", RR_PIECE_NORMAL, -52},
    {"e", RR_PIECE_NORMAL, -53},
    {"h", RR_PIECE_NORMAL, -54},
    {"t", RR_PIECE_NORMAL, -55},
    {"ab", RR_PIECE_NORMAL, -1},
    {"abab", RR_PIECE_NORMAL, -2},
    {"ba", RR_PIECE_NORMAL, -1},
    {"th", RR_PIECE_NORMAL, -3},
    {"the", RR_PIECE_NORMAL, -4},
    {BLANK "the", RR_PIECE_NORMAL, -5},
    {BLANK BLANK, RR_PIECE_NORMAL, -6},
    {"\xC3\xA9", RR_PIECE_NORMAL, -60},
    {"\xC3\xA9t\xC3\xA9", RR_PIECE_NORMAL, -7},
    {"xyz", RR_PIECE_NORMAL, -8},
    {"\xF0\x9F\x98\x80", RR_PIECE_NORMAL, -61},
    {"aba", RR_PIECE_UNUSED, 2},
    {"hh", RR_PIECE_UNUSED, 3},
    {"[INST]", RR_PIECE_USER, 0},
    {"[INST][INST]", RR_PIECE_USER, 0},
    {"<0x41>", RR_PIECE_CONTROL, 0},
    {"</s>", RR_PIECE_CONTROL, 0},
    {BLANK "[", RR_PIECE_USER, 0},
};
#define N_WORDS (sizeof words / sizeof words[0])

static struct rr_tokenizer *make(int prefix, int remove_extra)
{
    static struct rr_piece pieces[3 + 256 + N_WORDS];
    static char names[256][8];
    struct rr_vocab v = {.pieces = pieces,
                         .unk = 0,
                         .bos = 1,
                         .eos = 2,
                         .add_dummy_prefix = prefix,
                         .remove_extra_space = remove_extra,
                         .byte_fallback = true};
    struct rr_tokenizer *t;
    struct rr_error err = {0};
    pieces[v.n++] = (struct rr_piece){"<unk>", 5, 0, RR_PIECE_UNKNOWN};
    pieces[v.n++] = (struct rr_piece){"<s>", 3, 0, RR_PIECE_CONTROL};
    pieces[v.n++] = (struct rr_piece){"</s>", 4, 0, RR_PIECE_CONTROL};
    for (int i = 0; i < 256; i++) {
        snprintf(names[i], sizeof names[i], "<0x%02X>", (unsigned)i);
        pieces[v.n++] = (struct rr_piece){names[i], 6, 0, RR_PIECE_BYTE};
    }
    for (size_t i = 0; i < N_WORDS; i++)
        pieces[v.n++] = (struct rr_piece){words[i].text, (uint32_t)strlen(words[i].text),
                                          words[i].score, words[i].type};
    if (rr_tokenizer_open(&t, &v, "fixed", &err) != 0) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
    return t;
}

static int has_blank(const char *s, size_t n)
{
    for (size_t i = 0; i + 3 <= n; i++)
        if (memcmp(s + i, BLANK, 3) == 0)
            return 1;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct rr_tokenizer *tokenizers[4];
    static struct rr_encoding e; /* kept: its scratch must not carry anything over */
    static struct rr_buf out;
    struct rr_error err = {0};
    const char *text = (const char *)data;
    const int intact = rr_utf8_valid(text, size, NULL) && !has_blank(text, size);
    for (int k = 0; k < 4; k++) {
        if (!tokenizers[k])
            tokenizers[k] = make(k & 1, k & 2);
        if (rr_tokenizer_encode(tokenizers[k], &e, text, size, &err) != 0)
            abort();
        for (size_t i = 0; i < e.n; i++) {
            if (e.ids[i] < 0 || e.ids[i] >= rr_tokenizer_size(tokenizers[k]))
                abort();
            const enum rr_piece_type type = rr_tokenizer_piece(tokenizers[k], e.ids[i])->type;
            if (type == RR_PIECE_CONTROL || type == RR_PIECE_UNKNOWN || type == RR_PIECE_UNUSED)
                abort();
        }
        rr_buf_clear(&out);
        if (rr_tokenizer_decode(tokenizers[k], &out, e.ids, e.n, &err) != 0)
            abort();
        if (intact && k < 2 && (out.n != size || (size && memcmp(out.data, text, size) != 0)))
            abort();
    }
    return 0;
}
