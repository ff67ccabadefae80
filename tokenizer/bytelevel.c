/* Byte-level BPE: a text is cut into words (words.c), and within each word bytes are merged. */
#include <string.h>
#include "engine/base/utf8.h"
#include "tokenizer/internal.h"

static bool is_text(const struct rr_piece *p)
{
    return p->type == RR_PIECE_NORMAL;
}

static int find_bytes(struct rr_tokenizer *t, const char *file, struct rr_error *err)
{
    for (int b = 0; b < 256; b++) {
        const char c = (char)b;
        t->byte_ids[b] = rr_texts_find(&t->words, &c, 1, rr_texts_hash(&c, 1), NULL);
        if (t->byte_ids[b] < 0)
            return rr_fail(err, RR_ERR_DATA, "VOCAB", RR_AT_FILE(file),
                           "no piece is the byte 0x%02X alone; some texts could not be encoded",
                           (unsigned)b);
    }
    return RR_OK;
}

static int fill_words(struct rr_tokenizer *t, const char *file, struct rr_error *err)
{
    for (int id = 0; id < t->n; id++) {
        const struct rr_piece *p = &t->pieces[id];
        size_t slot;
        if (!is_text(p))
            continue;
        if (rr_texts_find(&t->words, p->text, p->n, rr_texts_hash(p->text, p->n), &slot) >= 0)
            return rr_vocab_bad_piece(err, file, id, p, "occurs twice");
        t->words.slots[slot] = p;
        t->words.values[slot] = id;
    }
    return RR_OK;
}

/* Every cut of a piece into two pieces. */
static void add_cuts(struct rr_tokenizer *t, int id)
{
    const struct rr_piece *p = &t->pieces[id];
    rr_texts_prefixes(&t->words, p);
    for (size_t at = 1; at < p->n; at++) {
        const int left =
            rr_texts_find(&t->words, p->text, at, rr_texts_part(&t->words, 0, at), NULL);
        if (left < 0)
            continue;
        const int right = rr_texts_find(&t->words, p->text + at, p->n - at,
                                        rr_texts_part(&t->words, at, p->n), NULL);
        if (right >= 0)
            rr_pair_add(&t->pairs, rr_pair_key(left, right), id, p->score);
    }
}

int rr_bytelevel_index(struct rr_tokenizer *t, const struct rr_vocab *v, const char *file,
                       struct rr_error *err)
{
    size_t longest = 0, entries = v->n_merges;
    for (int id = 0; id < t->n; id++) {
        const struct rr_piece *p = &t->pieces[id];
        longest = p->n > longest ? p->n : longest;
        entries += is_text(p) && !v->merges ? (size_t)p->n : 0;
    }
    int rc = rr_texts_init(&t->words, (size_t)t->n, longest, err);
    if (!rc)
        rc = rr_pairs_init(&t->pairs, entries, err);
    if (!rc)
        rc = fill_words(t, file, err);
    if (!rc)
        rc = find_bytes(t, file, err);
    if (!rc && v->merges)
        rc = rr_merges_index(t, v, &t->words, file, err);
    for (int id = 0; id < t->n && !rc && !v->merges; id++)
        if (is_text(&t->pieces[id]))
            add_cuts(t, id);
    return rc ? rc : rr_pairs_shrink(&t->pairs, err);
}

/* The two parts that piece `id` is made of at last: its bytes are merged as its text would be, but
 * by better ranks than its own alone. False: it does not come about so. */
static bool last_merge(const struct rr_tokenizer *t, int id, int *parts, int merge[2])
{
    const struct rr_piece *p = &t->pieces[id];
    size_t n = p->n;
    for (size_t i = 0; i < n; i++)
        parts[i] = t->byte_ids[(unsigned char)p->text[i]];
    while (n > 2) {
        int best = -1;
        size_t at = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            const int made = rr_pair_find(&t->pairs, rr_pair_key(parts[i], parts[i + 1]));
            if (made >= 0 && t->pieces[made].score > p->score &&
                (best < 0 || t->pieces[made].score > t->pieces[best].score)) {
                best = made;
                at = i;
            }
        }
        if (best < 0)
            return false;
        parts[at] = best;
        n--;
        memmove(parts + at + 1, parts + at + 2, (n - at - 1) * sizeof *parts);
    }
    merge[0] = parts[0];
    merge[1] = parts[1];
    return n == 2;
}

int rr_tokenizer_list_merges(struct rr_tokenizer *t, struct rr_error *err)
{
    size_t longest = 1, n = 0;
    if (!t->rule || t->merges)
        return RR_OK;
    for (int id = 0; id < t->n; id++)
        longest = t->pieces[id].n > longest ? t->pieces[id].n : longest;
    int(*merges)[2] = rr_arena_alloc(&t->arena, (size_t)t->n, sizeof *merges);
    int *parts = rr_alloc(longest, sizeof *parts);
    if (!merges || !parts) {
        rr_free(parts);
        return rr_fail_memory(err, "merges", (size_t)t->n * sizeof *merges);
    }
    for (int id = 0; id < t->n; id++) /* ids are ranks */
        if (is_text(&t->pieces[id]) && t->pieces[id].n > 1 && last_merge(t, id, parts, merges[n]))
            n++;
    rr_free(parts);
    t->merges = (const int(*)[2])merges;
    t->n_merges = n;
    return RR_OK;
}

/* How GPT-2 writes bytes as characters: those that show stand for themselves, the others follow
 * from U+0100 on in their order. The byte of a character, or -1. */
static int byte_of(uint32_t cp)
{
    if ((cp > ' ' && cp < 127) || (cp >= 0xA1 && cp <= 0xFF && cp != 0xAD))
        return (int)cp;
    int n = (int)cp - 0x100;
    if (n < 0 || n > 33 + 34)
        return -1;
    return n <= 32 ? n : n <= 32 + 34 ? n - 33 + 127 : 0xAD;
}

bool rr_bytelevel_text(struct rr_buf *out, const char *s, size_t n)
{
    for (size_t i = 0, len; i < n; i += len) {
        uint32_t cp;
        len = rr_utf8_decode(s + i, n - i, &cp);
        const int b = len ? byte_of(cp) : -1;
        if (b < 0)
            return false;
        rr_buf_add(out, &(char){(char)b}, 1);
    }
    return true;
}

void rr_bytelevel_spell(struct rr_buf *out, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const int b = (unsigned char)bytes[i];
        const uint32_t cp = byte_of((uint32_t)b) == b ? (uint32_t)b
                            : b <= 32                 ? 0x100 + (uint32_t)b
                            : b < 0xAD                ? 0x100 + 33 + (uint32_t)b - 127
                                                      : 0x100 + 33 + 34;
        char c[4];
        rr_buf_add(out, c, rr_utf8_encode(c, cp));
    }
}

/* The tokens of one word. */
static bool encode_word(const struct rr_tokenizer *t, struct rr_encoding *e, const char *s,
                        size_t n)
{
    struct rr_bpe_scratch *b = e->scratch;
    if (n == 1 || t->whole_words) {
        const int id = n == 1 ? t->byte_ids[(unsigned char)*s]
                              : rr_texts_find(&t->words, s, n, rr_texts_hash(s, n), NULL);
        if (id >= 0)
            return rr_bpe_emit(e, id);
    }
    if (!rr_grow(&b->symbols, &b->cap_symbols, n, sizeof *b->symbols))
        return false;
    b->n_symbols = n;
    for (size_t i = 0; i < n; i++)
        b->symbols[i] = (struct rr_symbol){.id = t->byte_ids[(unsigned char)s[i]],
                                           .prev = (int)i - 1,
                                           .next = i + 1 < n ? (int)i + 1 : -1,
                                           .at = (uint32_t)i,
                                           .n = 1};
    rr_bpe_merge(t, b);
    for (int i = 0; i >= 0 && !b->failed; i = b->symbols[i].next)
        if (!rr_bpe_emit(e, b->symbols[i].id))
            return false;
    return !b->failed;
}

bool rr_bytelevel_encode(const struct rr_tokenizer *t, struct rr_encoding *e, const char *text,
                         size_t n)
{
    struct rr_buf *b = &e->scratch->text;
    if (!rr_utf8_valid(text, n, NULL)) { /* bytes that are no character: U+FFFD */
        rr_buf_clear(b);
        for (size_t i = 0; i < n;) {
            const size_t len = rr_utf8_decode(text + i, n - i, NULL);
            rr_buf_add(b, len ? text + i : "\xEF\xBF\xBD", len ? len : 3);
            i += len ? len : 1;
        }
        if (b->failed)
            return false;
        text = b->data;
        n = b->n;
    }
    for (size_t i = 0, len; i < n; i += len) {
        const size_t from = e->n;
        struct rr_bpe_word w;
        len = rr_words_next(t->rule, text + i, n - i);
        if (rr_bpe_recall(t, e, text + i, len, n - i, &w))
            continue;
        if (!encode_word(t, e, text + i, len))
            return false;
        rr_bpe_keep(&w, e, from);
    }
    return true;
}
