/* Checks a vocabulary and indexes it: which two symbols merge into which piece, and which symbol a
 * character is.
 *
 * SentencePiece merges two neighbours when the text of both together is a piece. Every symbol is
 * a character or a piece, so all merges can be listed beforehand: for each piece, its cuts into
 * two symbols. Encoding then compares numbers only. */
#include "tokenizer/internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/limits.h"
#include "engine/base/sha256.h"
#include "engine/base/utf8.h"

static bool is_symbol(const struct rr_piece *p)
{
    return p->type == RR_PIECE_NORMAL || p->type == RR_PIECE_USER || p->type == RR_PIECE_UNUSED;
}

int rr_vocab_bad_piece(struct rr_error *err, const char *file, int id, const struct rr_piece *p,
                       const char *what)
{
    struct rr_buf name = {0};
    rr_buf_printf(&name, "piece %d", id);
    int rc = rr_fail(err, RR_ERR_DATA, "VOCAB", RR_AT_OBJECT(file, name.data ? name.data : "piece"),
                     "'%s' %s", rr_show(p->text, p->n).s, what);
    rr_buf_free(&name);
    return rc;
}

int rr_piece_byte(const struct rr_piece *p)
{
    int v = 0;
    if (p->n != 6 || memcmp(p->text, "<0x", 3) != 0 || p->text[5] != '>')
        return -1;
    for (int i = 3; i < 5; i++) {
        char c = p->text[i];
        if (c >= '0' && c <= '9')
            v = v * 16 + (c - '0');
        else if (c >= 'A' && c <= 'F')
            v = v * 16 + (c - 'A' + 10);
        else
            return -1;
    }
    return v;
}

static int check_bytes(struct rr_tokenizer *t, const char *file, struct rr_error *err)
{
    for (int i = 0; i < 256; i++)
        t->byte_ids[i] = -1;
    for (int id = 0; id < t->n; id++) {
        const struct rr_piece *p = &t->pieces[id];
        if (p->type != RR_PIECE_BYTE)
            continue;
        int b = rr_piece_byte(p);
        if (b < 0)
            return rr_vocab_bad_piece(err, file, id, p,
                                      "is of type BYTE; expected <0x00> to <0xFF>");
        if (t->byte_ids[b] >= 0)
            return rr_vocab_bad_piece(err, file, id, p, "occurs twice among the BYTE pieces");
        t->byte_ids[b] = id;
    }
    for (int i = 0; i < 256 && t->byte_fallback; i++)
        if (t->byte_ids[i] < 0)
            return rr_fail(err, RR_ERR_DATA, "VOCAB", RR_AT_FILE(file),
                           "byte fallback is on, but the piece <0x%02X> is missing", (unsigned)i);
    return RR_OK;
}

static int check_ids(const struct rr_tokenizer *t, const char *file, struct rr_error *err)
{
    const struct {
        const char *name;
        int id;
    } ids[] = {{"unk", t->unk}, {"bos", t->bos}, {"eos", t->eos}};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++)
        if (ids[i].id < -1 || ids[i].id >= t->n)
            return rr_fail(err, RR_ERR_DATA, "TOKEN_ID", RR_AT_OBJECT(file, ids[i].name),
                           "the %s id is %d; the vocabulary has 0 to %d", ids[i].name, ids[i].id,
                           t->n - 1);
    if (t->rule)
        return RR_OK; /* every byte is a piece */
    if (t->unk >= 0 && !t->byte_fallback && t->pieces[t->unk].type != RR_PIECE_UNKNOWN)
        return rr_vocab_bad_piece(err, file, t->unk, &t->pieces[t->unk],
                                  "is the unknown piece by its id, but not by its type");
    if (t->unk < 0 && !t->byte_fallback)
        return rr_fail(
            err, RR_ERR_DATA, "VOCAB", RR_AT_FILE(file),
            "neither an unknown piece nor byte fallback: most texts could not be encoded");
    return RR_OK;
}

static int copy_pieces(struct rr_tokenizer *t, const struct rr_vocab *v, const char *file,
                       struct rr_error *err)
{
    if (v->n < 1 || v->n > RR_MAX_VOCAB)
        return rr_fail(err, RR_ERR_DATA, "VOCAB", RR_AT_FILE(file), "%zu pieces; expected 1 to %u",
                       v->n, RR_MAX_VOCAB);
    t->pieces = rr_arena_alloc(&t->arena, v->n, sizeof *t->pieces);
    if (!t->pieces)
        return rr_fail_memory(err, "vocabulary", v->n * sizeof *t->pieces);
    t->n = (int)v->n;
    for (int id = 0; id < t->n; id++) {
        struct rr_piece p = v->pieces[id];
        if (p.n > RR_MAX_PIECE)
            return rr_vocab_bad_piece(err, file, id, &p, "is longer than 65536 bytes");
        if (!p.n && is_symbol(&p))
            return rr_vocab_bad_piece(err, file, id, &p, "is empty");
        if (!isfinite(p.score))
            return rr_vocab_bad_piece(err, file, id, &p, "has a score that is not finite");
        if (p.type < RR_PIECE_NORMAL || p.type > RR_PIECE_BYTE)
            return rr_vocab_bad_piece(err, file, id, &p, "has a type outside 1 to 6");
        /* Whatever the file calls them: plain text must not make these two. */
        if (id == v->bos || id == v->eos)
            p.type = RR_PIECE_CONTROL;
        t->has_unused = t->has_unused || p.type == RR_PIECE_UNUSED;
        p.text = rr_arena_copy(&t->arena, p.text, p.n);
        if (!p.text)
            return rr_fail_memory(err, "vocabulary", p.n);
        t->pieces[id] = p;
    }
    return RR_OK;
}

/* Enters all symbol pieces; a text twice is an error, for its id would be a matter of chance. */
static int fill_texts(struct rr_texts *tt, const struct rr_tokenizer *t, const char *file,
                      struct rr_error *err)
{
    for (int id = 0; id < t->n; id++) {
        const struct rr_piece *p = &t->pieces[id];
        size_t slot;
        if (!is_symbol(p))
            continue;
        if (rr_texts_find(tt, p->text, p->n, rr_texts_hash(p->text, p->n), &slot) >= 0)
            return rr_vocab_bad_piece(err, file, id, p, "occurs twice");
        tt->slots[slot] = p;
        tt->values[slot] = id;
    }
    return RR_OK;
}

/* Symbol of one character, made up when the vocabulary has pieces with it but not itself. */
static int char_symbol(struct rr_tokenizer *t, const struct rr_texts *tt, const char *s, size_t n,
                       uint32_t cp, int *n_symbols)
{
    int id = rr_pair_find(&t->pairs, rr_char_key(cp));
    if (id >= 0)
        return id;
    id = rr_texts_find(tt, s, n, rr_texts_hash(s, n), NULL);
    if (id < 0)
        id = (*n_symbols)++;
    rr_pair_add(&t->pairs, rr_char_key(cp), id, 0);
    if (cp < 128)
        t->ascii[cp] = id;
    return id;
}

/* User-defined pieces are whole words of their own: they merge with nothing. */
static bool is_user(const struct rr_tokenizer *t, int symbol)
{
    return symbol < t->n && t->pieces[symbol].type == RR_PIECE_USER;
}

/* All merges that make piece `id`. */
static void add_merges(struct rr_tokenizer *t, struct rr_texts *tt, int id, int *n_symbols)
{
    const struct rr_piece *p = &t->pieces[id];
    size_t first = 0, last = 0;
    rr_texts_prefixes(tt, p);
    for (size_t at = 0, len; at < p->n; at += len) {
        uint32_t cp;
        len = rr_utf8_decode(p->text + at, p->n - at, &cp);
        char_symbol(t, tt, p->text + at, len, cp, n_symbols);
        first = at ? first : len;
        last = at;
    }
    for (size_t at = first, len; at < p->n; at += len) {
        len = rr_utf8_decode(p->text + at, p->n - at, NULL);
        uint32_t cp;
        int left, right;
        if (at == first && rr_utf8_decode(p->text, p->n, &cp))
            left = rr_pair_find(&t->pairs, rr_char_key(cp));
        else
            left = rr_texts_find(tt, p->text, at, tt->prefix[at], NULL);
        if (left < 0 || is_user(t, left))
            continue;
        if (at == last && rr_utf8_decode(p->text + at, p->n - at, &cp))
            right = rr_pair_find(&t->pairs, rr_char_key(cp));
        else
            right = rr_texts_find(tt, p->text + at, p->n - at, rr_texts_part(tt, at, p->n), NULL);
        if (right >= 0 && !is_user(t, right))
            rr_pair_add(&t->pairs, rr_pair_key(left, right), id, p->score);
    }
}

/* With merges that are listed, only characters that are pieces are symbols. */
static int add_listed(struct rr_tokenizer *t, const struct rr_vocab *v, struct rr_texts *tt,
                      const char *file, struct rr_error *err)
{
    int n_symbols = t->n;
    for (int id = 0; id < t->n; id++) {
        const struct rr_piece *p = &t->pieces[id];
        uint32_t cp;
        if (is_symbol(p) && rr_utf8_decode(p->text, p->n, &cp) == p->n)
            char_symbol(t, tt, p->text, p->n, cp, &n_symbols);
    }
    return rr_merges_index(t, v, tt, file, err);
}

static int index_merges(struct rr_tokenizer *t, const struct rr_vocab *v, const char *file,
                        struct rr_error *err)
{
    struct rr_texts tt = {0};
    size_t longest = 0, entries = v->n_merges;
    int n_symbols = t->n;
    for (int id = 0; id < t->n; id++) {
        const struct rr_piece *p = &t->pieces[id];
        longest = p->n > longest ? p->n : longest;
        entries += is_symbol(p) ? 2 * (size_t)p->n : 0; /* at most its characters and its cuts */
    }
    int rc = rr_texts_init(&tt, (size_t)t->n, longest, err);
    if (!rc)
        rc = rr_pairs_init(&t->pairs, entries, err);
    if (!rc)
        rc = fill_texts(&tt, t, file, err);
    for (int i = 0; i < 128; i++)
        t->ascii[i] = -1;
    if (!rc && v->merges)
        rc = add_listed(t, v, &tt, file, err);
    for (int id = 0; id < t->n && !rc && !v->merges; id++) {
        if (!is_symbol(&t->pieces[id]))
            continue;
        if (rr_utf8_valid(t->pieces[id].text, t->pieces[id].n, NULL))
            add_merges(t, &tt, id, &n_symbols);
        else
            (void)rr_vocab_bad_piece(rr_tokenizer_warn(t), file, id, &t->pieces[id],
                                     "is not valid UTF-8: only the same bytes match it");
    }
    rr_texts_free(&tt);
    if (!rc)
        rc = rr_pairs_shrink(&t->pairs, err);
    return rc;
}

/* Whether a blank begins here. */
static bool has_blank(const struct rr_piece *p, size_t at)
{
    return p->n - at >= RR_BLANK_BYTES && memcmp(p->text + at, RR_BLANK, RR_BLANK_BYTES) == 0;
}

/* A symbol's text is a piece or a character, so what no piece holds is never within a symbol.
 * Behind a user-defined piece that is not UTF-8, what looks like a blank may be half of something
 * else. An UNUSED piece is taken apart in the way it was put together last, wherever that was:
 * vocabularies with such pieces are rare, and stay with the whole text. */
static void find_words_apart(struct rr_tokenizer *t)
{
    t->words_apart = t->lines_apart = !t->has_unused;
    for (int id = 0; id < t->n && t->words_apart; id++) {
        const struct rr_piece *p = &t->pieces[id];
        size_t at = 0;
        if (!is_symbol(p))
            continue;
        while (has_blank(p, at))
            at += RR_BLANK_BYTES;
        for (; at < p->n && !has_blank(p, at); at++)
            if (p->text[at] == '\n')
                t->lines_apart = false;
        t->words_apart =
            at == p->n && (p->type != RR_PIECE_USER || rr_utf8_valid(p->text, p->n, NULL));
    }
}

struct user_piece {
    const struct rr_piece *piece;
    int id;
};

/* By bytes; what a piece begins with comes before it. */
static int user_order(const void *a, const void *b)
{
    const struct user_piece *x = a, *y = b;
    const uint32_t n = x->piece->n < y->piece->n ? x->piece->n : y->piece->n;
    const int c = memcmp(x->piece->text, y->piece->text, n);
    if (c)
        return c;
    return (x->piece->n > y->piece->n) - (x->piece->n < y->piece->n);
}

static bool begins_with(const struct rr_piece *p, const struct rr_piece *with)
{
    return with->n <= p->n && memcmp(p->text, with->text, with->n) == 0;
}

static int index_user_pieces(struct rr_tokenizer *t, struct rr_error *err)
{
    size_t n = 0;
    struct user_piece *sorted = rr_alloc((size_t)t->n, sizeof *sorted);
    for (int id = 0; sorted && id < t->n; id++)
        if (t->pieces[id].type == RR_PIECE_USER)
            sorted[n++] = (struct user_piece){&t->pieces[id], id};
    t->user_ids = rr_arena_alloc(&t->arena, n, sizeof *t->user_ids);
    t->user_parents = rr_arena_alloc(&t->arena, n, sizeof *t->user_parents);
    if (!sorted || !t->user_ids || !t->user_parents) {
        rr_free(sorted);
        return rr_fail_memory(err, "vocabulary", (size_t)t->n * sizeof *sorted);
    }
    qsort(sorted, n, sizeof *sorted, user_order);
    for (size_t i = 0; i < n; i++) {
        int parent = (int)i - 1; /* what it begins with comes before it, and begins that one */
        while (parent >= 0 && !begins_with(sorted[i].piece, sorted[parent].piece))
            parent = t->user_parents[parent];
        t->user_ids[i] = sorted[i].id;
        t->user_parents[i] = parent;
        t->user_first[(unsigned char)sorted[i].piece->text[0] + 1]++;
    }
    for (int b = 0; b < 256; b++)
        t->user_first[b + 1] += t->user_first[b];
    rr_free(sorted);
    return RR_OK;
}

int rr_tokenizer_open(struct rr_tokenizer **out, const struct rr_vocab *v, const char *file,
                      struct rr_error *err)
{
    *out = NULL;
    struct rr_tokenizer *t = rr_zalloc(1, sizeof *t);
    if (!t)
        return rr_fail_memory(err, "tokenizer", sizeof *t);
    t->unk = v->unk;
    t->bos = v->bos;
    t->eos = v->eos;
    t->add_dummy_prefix = v->add_dummy_prefix;
    t->remove_extra_space = v->remove_extra_space;
    t->byte_fallback = v->byte_fallback;
    t->rule = v->rule;
    t->whole_words = v->whole_words;
    t->serial = rr_memo_serial();
    t->special = (struct rr_special){.bos = t->bos, .pad = -1};
    int rc = copy_pieces(t, v, file, err);
    if (!rc)
        rc = check_ids(t, file, err);
    if (!rc && t->rule) {
        rc = rr_bytelevel_index(t, v, file, err);
    } else if (!rc) {
        rc = check_bytes(t, file, err);
        if (!rc)
            rc = index_merges(t, v, file, err);
        if (!rc)
            rc = index_user_pieces(t, err);
        if (!rc)
            find_words_apart(t);
    }
    if (rc) {
        rr_tokenizer_close(t);
        return rc;
    }
    rr_tokenizer_name(t, &(struct rr_special){-1, -1, 1, {t->eos}});
    *out = t;
    return RR_OK;
}

void rr_tokenizer_name(struct rr_tokenizer *t, const struct rr_special *s)
{
    const struct rr_special was = t->special, *of[] = {s, &was};
    struct rr_special *to = &t->special;
    if (s->bos >= 0 && s->bos < t->n)
        to->bos = s->bos;
    if (s->pad >= 0 && s->pad < t->n)
        to->pad = s->pad;
    to->n_ends = 0;
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < of[k]->n_ends; i++) {
            const int id = of[k]->ends[i];
            if (id >= 0 && id < t->n && to->n_ends < RR_MAX_ENDS && !rr_tokenizer_ends(t, id))
                to->ends[to->n_ends++] = id;
        }
}

struct rr_special rr_vocab_special(const struct rr_vocab *v)
{
    struct rr_special s = {v->bos, -1, v->eos >= 0, {v->eos}};
    if (v->special)
        s = *v->special;
    s.bos = v->bos >= 0 ? v->bos : s.bos; /* what texts do begin with, whatever else is said */
    return s;
}

bool rr_tokenizer_ends(const struct rr_tokenizer *t, int id)
{
    bool found = false;
    for (int i = 0; i < t->special.n_ends; i++)
        found = found || t->special.ends[i] == id;
    return found;
}

void rr_tokenizer_close(struct rr_tokenizer *t)
{
    if (!t)
        return;
    rr_pairs_free(&t->pairs);
    rr_texts_free(&t->words);
    rr_arena_free(&t->arena);
    rr_free(t);
}

struct rr_error *rr_tokenizer_warn(struct rr_tokenizer *t)
{
    if (t->warning)
        return NULL;
    return t->warning = rr_arena_zalloc(&t->arena, 1, sizeof *t->warning);
}

const struct rr_error *rr_tokenizer_warning(const struct rr_tokenizer *t)
{
    return t->warning;
}

int rr_tokenizer_size(const struct rr_tokenizer *t)
{
    return t->n;
}

void rr_tokenizer_vocab(struct rr_vocab *v, const struct rr_tokenizer *t)
{
    *v = (struct rr_vocab){.pieces = t->pieces,
                           .n = (size_t)t->n,
                           .unk = t->unk,
                           .bos = t->bos,
                           .eos = t->eos,
                           .add_dummy_prefix = t->add_dummy_prefix,
                           .remove_extra_space = t->remove_extra_space,
                           .byte_fallback = t->byte_fallback,
                           .rule = t->rule,
                           .whole_words = t->whole_words,
                           .merges = t->merges,
                           .n_merges = t->n_merges,
                           .special = &t->special};
}

int rr_tokenizer_bos(const struct rr_tokenizer *t)
{
    return t->bos;
}

int rr_tokenizer_eos(const struct rr_tokenizer *t)
{
    return t->eos;
}

const struct rr_piece *rr_tokenizer_piece(const struct rr_tokenizer *t, int id)
{
    return &t->pieces[id];
}

void rr_tokenizer_fingerprint(const struct rr_tokenizer *t, char hex[65])
{
    struct rr_sha256 sum;
    char text[96];
    rr_sha256_init(&sum);
    int n = snprintf(text, sizeof text, "%d %d %d %d %d %d %d", t->n, t->unk, t->bos, t->eos,
                     t->add_dummy_prefix, t->remove_extra_space, t->byte_fallback);
    rr_sha256_add(&sum, text, (size_t)n + 1);
    if (t->rule || t->merges) {
        n = snprintf(text, sizeof text, "%d %d %zu", (int)t->rule, t->whole_words, t->n_merges);
        rr_sha256_add(&sum, text, (size_t)n + 1);
        rr_sha256_add(&sum, t->merges, t->n_merges * sizeof *t->merges);
    }
    for (int i = 0; i < t->n; i++) {
        const struct rr_piece *p = &t->pieces[i];
        n = snprintf(text, sizeof text, "%u %d %a", (unsigned)p->n, (int)p->type, (double)p->score);
        rr_sha256_add(&sum, text, (size_t)n + 1);
        rr_sha256_add(&sum, p->text, p->n);
    }
    rr_sha256_hex(&sum, hex);
}
