/* Reads llama2.c's tokenizer .bin: int32 longest piece, then per piece float32 score, int32
 * length, bytes. It carries neither types nor special ids; both follow from how llama2.c writes
 * it: <unk> 0, BOS 1, EOS 2, then <0x00> to <0xFF>. */
#include "tokenizer/tokenizer.h"

#include <string.h>
#include "engine/base/cursor.h"
#include "engine/base/file.h"
#include "engine/base/limits.h"
#include "tokenizer/internal.h"

static enum rr_piece_type type_of(size_t id, const struct rr_piece *p)
{
    if (id == 0)
        return RR_PIECE_UNKNOWN;
    if (id <= 2)
        return RR_PIECE_CONTROL;
    return id <= 258 && rr_piece_byte(p) >= 0 ? RR_PIECE_BYTE : RR_PIECE_NORMAL;
}

/* llama2.c stores blanks plainly; pieces here spell them U+2581. */
static const char *with_blanks(struct rr_arena *a, const char *s, size_t n, uint32_t *n_out)
{
    size_t blanks = 0, at = 0;
    for (size_t i = 0; i < n; i++)
        blanks += s[i] == ' ';
    char *out = rr_arena_alloc(a, n + blanks * (RR_BLANK_BYTES - 1) + 1, 1);
    for (size_t i = 0; out && i < n; i++) {
        if (s[i] == ' ') {
            memcpy(out + at, RR_BLANK, RR_BLANK_BYTES);
            at += RR_BLANK_BYTES;
        } else {
            out[at++] = s[i];
        }
    }
    *n_out = (uint32_t)at;
    return out;
}

static int read_pieces(struct rr_vocab *v, struct rr_arena *arena, const void *bytes, size_t n,
                       const char *file, struct rr_error *err)
{
    struct rr_cursor c = rr_cursor_make(bytes, n);
    size_t cap = 0;
    uint32_t longest = rr_cursor_u32(&c);
    while (!c.overrun && rr_cursor_left(&c)) {
        const size_t at = c.at;
        struct rr_piece p = {.score = rr_cursor_f32(&c)};
        uint32_t len = rr_cursor_u32(&c);
        if (!c.overrun && (len > longest || len > RR_MAX_PIECE))
            return rr_fail(err, RR_ERR_DATA, "VOCAB", RR_AT_BYTE(file, "piece length", at + 4),
                           "piece %zu has %u bytes; the file says at most %u", v->n, len, longest);
        const char *text = (const char *)rr_cursor_take(&c, len);
        if (c.overrun)
            break;
        if (v->n >= RR_MAX_VOCAB || !rr_grow(&v->pieces, &cap, v->n + 1, sizeof *v->pieces))
            return rr_fail_memory(err, "pieces", v->n * sizeof p);
        p.text = with_blanks(arena, text, len, &p.n);
        if (!p.text)
            return rr_fail_memory(err, "pieces", len);
        p.type = type_of(v->n, &p);
        v->pieces[v->n++] = p;
    }
    if (c.overrun)
        return rr_fail(
            err, RR_ERR_DATA, "TRUNCATED", RR_AT_BYTE(file, "piece", c.at),
            "the file ends inside piece %zu; it is damaged, truncated, or no llama2.c tokenizer",
            v->n);
    return RR_OK;
}

int rr_tokenizer_from_llama2c(struct rr_tokenizer **t, const void *bytes, size_t n,
                              const char *file, struct rr_error *err)
{
    struct rr_vocab v = {
        .unk = 0, .bos = 1, .eos = 2, .add_dummy_prefix = true, .byte_fallback = true};
    struct rr_arena arena = {0};
    *t = NULL;
    int rc = read_pieces(&v, &arena, bytes, n, file, err);
    if (!rc)
        rc = rr_tokenizer_open(t, &v, file, err);
    rr_free(v.pieces);
    rr_arena_free(&arena);
    return rc;
}
