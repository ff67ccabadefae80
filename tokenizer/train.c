/* See train.h. Words are sequences of symbols; a table counts neighbours over all words. A merge
 * walks over the words once and corrects the counts where it changes something. */
#include "tokenizer/train.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/limits.h"
#include "engine/base/utf8.h"
#include "tokenizer/internal.h"

#define FIRST_MERGE 259

struct symbol {
    const char *text;
    uint32_t n;
    long long count; /* of a character, while words are read */
};

struct word {
    size_t at; /* its symbols: t->symbols[at .. at + n) */
    int n;
    long long count;
};

/* Open addressing by the pair of symbols; count 0 stays where it is. */
struct pairs {
    uint64_t *keys; /* left << 32 | right, plus one; 0: empty */
    long long *counts;
    size_t n, mask;
};

struct trainer {
    struct rr_arena *arena;
    struct symbol *known; /* characters, then merges */
    size_t n_known, cap_known;
    struct word *words;
    size_t n_words, cap_words;
    int *symbols;
    size_t n_symbols, cap_symbols;
    struct pairs pairs;
    int *chars; /* open addressing: symbol of a character by its code point, -1: empty */
    size_t char_mask;
};

static size_t spread(uint64_t x)
{
    x *= 0x9E3779B97F4A7C15u;
    return (size_t)(x ^ x >> 29);
}

/* ---- characters and words -----------------------------------------------------------------------
 */

static bool same_text(const struct symbol *s, const char *text, size_t n)
{
    return s->n == n && memcmp(s->text, text, n) == 0;
}

/* The symbol of a character; -1: memory is out. The table is made for every code point that can be.
 */
static int char_symbol(struct trainer *t, const char *text, size_t n)
{
    uint32_t cp;
    rr_utf8_decode(text, n, &cp);
    size_t at = spread(cp) & t->char_mask;
    while (t->chars[at] >= 0 && !same_text(&t->known[t->chars[at]], text, n))
        at = (at + 1) & t->char_mask;
    if (t->chars[at] >= 0)
        return t->chars[at];
    const char *copy = rr_arena_copy(t->arena, text, n);
    if (!copy || 2 * (t->n_known + 1) > t->char_mask ||
        !rr_grow(&t->known, &t->cap_known, t->n_known + 1, sizeof *t->known))
        return -1;
    t->known[t->n_known] = (struct symbol){copy, (uint32_t)n, 0};
    t->chars[at] = (int)t->n_known;
    return (int)t->n_known++;
}

static bool add_symbol(struct trainer *t, const char *text, size_t n, long long count)
{
    const int s = char_symbol(t, text, n);
    if (s < 0 || !rr_grow(&t->symbols, &t->cap_symbols, t->n_symbols + 1, sizeof *t->symbols))
        return false;
    t->known[s].count += count;
    t->symbols[t->n_symbols++] = s;
    return true;
}

/* One word of a text: a blank and what stands before the next one. */
static bool add_word(struct trainer *t, const char *s, size_t n, long long count)
{
    struct word w = {.at = t->n_symbols, .count = count};
    bool good = add_symbol(t, RR_BLANK, RR_BLANK_BYTES, count);
    for (size_t i = 0; i < n && good;) {
        const size_t len = rr_utf8_decode(s + i, n - i, NULL);
        good = s[i] == ' ' ? add_symbol(t, RR_BLANK, RR_BLANK_BYTES, count)
                           : add_symbol(t, s + i, len, count);
        i += len;
    }
    w.n = (int)(t->n_symbols - w.at);
    if (!good || !rr_grow(&t->words, &t->cap_words, t->n_words + 1, sizeof w))
        return false;
    t->words[t->n_words++] = w;
    return true;
}

static int read_texts(struct trainer *t, const struct rr_bpe_text *texts, size_t n,
                      struct rr_error *err)
{
    bool good = true;
    for (size_t i = 0; i < n; i++) {
        const char *s = texts[i].s;
        if (!rr_utf8_valid(s, texts[i].n, NULL))
            return rr_fail(err, RR_ERR_USAGE, "UTF8", RR_NOWHERE, "text %zu is not UTF-8", i);
        for (size_t from = 0; from < texts[i].n && good;) {
            size_t to = from;
            while (to < texts[i].n && s[to] != ' ')
                to++;
            if (to > from)
                good = add_word(t, s + from, to - from, texts[i].count);
            from = to + 1;
        }
    }
    return good ? RR_OK : rr_fail_memory(err, "texts", t->n_symbols * sizeof *t->symbols);
}

/* ---- pairs --------------------------------------------------------------------------------------
 */

static size_t place(const struct pairs *p, uint64_t key)
{
    size_t at = spread(key) & p->mask;
    while (p->keys[at] && p->keys[at] != key)
        at = (at + 1) & p->mask;
    return at;
}

static bool widen(struct pairs *p)
{
    struct pairs wider = {.n = p->n, .mask = p->keys ? 2 * p->mask + 1 : 4095};
    wider.keys = rr_zalloc(wider.mask + 1, sizeof *wider.keys);
    wider.counts = rr_zalloc(wider.mask + 1, sizeof *wider.counts);
    if (!wider.keys || !wider.counts) {
        rr_free(wider.keys);
        rr_free(wider.counts);
        return false;
    }
    for (size_t i = 0; p->keys && i <= p->mask; i++)
        if (p->keys[i]) {
            const size_t at = place(&wider, p->keys[i]);
            wider.keys[at] = p->keys[i];
            wider.counts[at] = p->counts[i];
        }
    rr_free(p->keys);
    rr_free(p->counts);
    *p = wider;
    return true;
}

static bool count_pair(struct trainer *t, int left, int right, long long by)
{
    struct pairs *p = &t->pairs;
    const uint64_t key = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) + 1;
    if ((!p->keys || 2 * (p->n + 1) > p->mask) && !widen(p))
        return false;
    const size_t at = place(p, key);
    p->n += !p->keys[at];
    p->keys[at] = key;
    p->counts[at] += by;
    return true;
}

static bool count_word(struct trainer *t, const struct word *w, long long by)
{
    const int *s = t->symbols + w->at;
    bool good = true;
    for (int i = 0; i + 1 < w->n && good; i++)
        good = count_pair(t, s[i], s[i + 1], by);
    return good;
}

/* The most frequent pair, the one seen first among equals (lower symbols); false: none twice. */
static bool best_pair(const struct pairs *p, int *left, int *right)
{
    long long most = 1;
    uint64_t best = 0;
    for (size_t i = 0; p->keys && i <= p->mask; i++)
        if (p->counts[i] > most || (best && p->counts[i] == most && p->keys[i] < best)) {
            most = p->counts[i];
            best = p->keys[i];
        }
    *left = (int)((best - 1) >> 32);
    *right = (int)((best - 1) & 0xffffffffu);
    return best != 0;
}

/* Replaces left right by merged in one word, and corrects the counts. */
static bool merge_word(struct trainer *t, struct word *w, int left, int right, int merged)
{
    int *s = t->symbols + w->at, n = 0;
    int i = 0;
    while (i + 1 < w->n && (s[i] != left || s[i + 1] != right))
        i++;
    if (i + 1 >= w->n)
        return true;
    if (!count_word(t, w, -w->count))
        return false;
    for (i = 0; i < w->n; n++) {
        const bool here = i + 1 < w->n && s[i] == left && s[i + 1] == right;
        s[n] = here ? merged : s[i];
        i += here ? 2 : 1;
    }
    w->n = n;
    return count_word(t, w, w->count);
}

static int add_merge(struct trainer *t, int left, int right)
{
    if (!t->known) /* what is merged stands there */
        return -1;
    const struct symbol a = t->known[left], b = t->known[right];
    char *text = rr_arena_alloc(t->arena, (size_t)a.n + b.n + 1, 1);
    if (!text || !rr_grow(&t->known, &t->cap_known, t->n_known + 1, sizeof *t->known))
        return -1;
    memcpy(text, a.text, a.n);
    memcpy(text + a.n, b.text, b.n);
    text[a.n + b.n] = 0;
    t->known[t->n_known] = (struct symbol){text, a.n + b.n, 0};
    return (int)t->n_known++;
}

static int learn(struct trainer *t, size_t n_merges, struct rr_error *err)
{
    bool good = true;
    int left, right;
    for (size_t w = 0; w < t->n_words && good; w++)
        good = count_word(t, &t->words[w], t->words[w].count);
    for (size_t m = 0; m < n_merges && good && best_pair(&t->pairs, &left, &right); m++) {
        const int merged = add_merge(t, left, right);
        good = merged >= 0;
        for (size_t w = 0; w < t->n_words && good; w++)
            good = merge_word(t, &t->words[w], left, right, merged);
    }
    return good ? RR_OK : rr_fail_memory(err, "merges", t->n_known * sizeof *t->known);
}

/* ---- the vocabulary -----------------------------------------------------------------------------
 */

static int by_count(const void *a, const void *b)
{
    const struct symbol *x = a, *y = b;
    if (x->count != y->count)
        return x->count < y->count ? 1 : -1;
    const uint32_t n = x->n < y->n ? x->n : y->n;
    const int order = memcmp(x->text, y->text, n);
    return order ? order : (x->n > y->n) - (x->n < y->n);
}

static bool list_pieces(struct rr_vocab *v, const struct trainer *t, size_t n_chars)
{
    static const char *const special[] = {"<unk>", "<s>", "</s>"};
    static const enum rr_piece_type types[] = {RR_PIECE_UNKNOWN, RR_PIECE_CONTROL,
                                               RR_PIECE_CONTROL};
    const size_t n_merges = t->n_known - n_chars;
    struct symbol *chars = rr_alloc(n_chars, sizeof *chars);
    v->n = FIRST_MERGE + t->n_known;
    v->pieces = rr_arena_zalloc(t->arena, v->n, sizeof *v->pieces);
    if (!chars || !v->pieces) {
        rr_free(chars);
        return false;
    }
    rr_copy(chars, t->known, n_chars * sizeof *chars);
    qsort(chars, n_chars, sizeof *chars, by_count);
    struct rr_piece *p = v->pieces;
    bool good = true;
    for (int i = 0; i < 3; i++)
        *p++ = (struct rr_piece){special[i], (uint32_t)strlen(special[i]), 0, types[i]};
    for (int b = 0; b < 256 && good; b++) {
        char name[8];
        snprintf(name, sizeof name, "<0x%02X>", (unsigned)b);
        const char *text = rr_arena_copy(t->arena, name, 6);
        good = text != NULL;
        *p++ = (struct rr_piece){text, 6, 0, RR_PIECE_BYTE};
    }
    for (size_t m = 0; m < n_merges; m++)
        *p++ = (struct rr_piece){t->known[n_chars + m].text, t->known[n_chars + m].n, -(float)m - 1,
                                 RR_PIECE_NORMAL};
    for (size_t c = 0; c < n_chars; c++)
        *p++ = (struct rr_piece){chars[c].text, chars[c].n, -(float)(n_merges + c) - 1,
                                 RR_PIECE_NORMAL};
    rr_free(chars);
    return good;
}

/* The text as pieces have it: U+2581 before it and for blanks. */
static const char *as_piece(struct rr_arena *arena, const struct rr_bpe_text *x, uint32_t *n)
{
    const size_t blank = strlen(RR_BLANK);
    size_t blanks = 1;
    for (size_t i = 0; i < x->n; i++)
        blanks += x->s[i] == ' ';
    char *out = rr_arena_alloc(arena, x->n + blanks * blank + 1, 1), *p = out;
    if (!out)
        return NULL;
    memcpy(p, RR_BLANK, blank);
    p += blank;
    for (size_t i = 0; i < x->n; i++) {
        if (x->s[i] == ' ') {
            memcpy(p, RR_BLANK, blank);
            p += blank;
        } else {
            *p++ = x->s[i];
        }
    }
    *p = 0;
    *n = (uint32_t)(p - out);
    return out;
}

static int by_text(const void *a, const void *b)
{
    const struct rr_piece *x = a, *y = b;
    const int c = memcmp(x->text, y->text, x->n < y->n ? x->n : y->n);
    return c ? c : (x->n > y->n) - (x->n < y->n);
}

/* Appends the user-defined pieces; one that the merges made already needs none. */
static int add_user(struct rr_vocab *v, struct rr_arena *arena, const struct rr_bpe_options *o,
                    struct rr_error *err)
{
    const size_t n = v->n;
    struct rr_piece *all = rr_arena_alloc(arena, n + o->n_user, sizeof *all);
    struct rr_piece *sorted = rr_alloc(n, sizeof *sorted);
    if (!all || !sorted) {
        rr_free(sorted);
        return rr_fail_memory(err, "vocabulary", (n + o->n_user) * sizeof *all);
    }
    rr_copy(all, v->pieces, n * sizeof *all);
    rr_copy(sorted, v->pieces, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_text);
    v->pieces = all;
    for (size_t i = 0; i < o->n_user; i++) {
        struct rr_piece x = {.type = RR_PIECE_USER};
        x.text = as_piece(arena, &o->user[i], &x.n);
        if (!x.text) {
            rr_free(sorted);
            return rr_fail_memory(err, "vocabulary", o->user[i].n);
        }
        if (!bsearch(&x, sorted, n, sizeof *sorted, by_text))
            all[v->n++] = x;
    }
    rr_free(sorted);
    return RR_OK;
}

int rr_bpe_train(struct rr_vocab *v, struct rr_arena *arena, const struct rr_bpe_text *texts,
                 size_t n, const struct rr_bpe_options *o, struct rr_error *err)
{
    struct trainer t = {.arena = arena, .char_mask = (1u << 16) - 1};
    *v = (struct rr_vocab){
        .unk = 0, .bos = 1, .eos = 2, .add_dummy_prefix = true, .byte_fallback = true};
    if (o->size < FIRST_MERGE || (unsigned)o->size > RR_MAX_VOCAB)
        return rr_fail(err, RR_ERR_USAGE, "VOCAB_SIZE", RR_NOWHERE,
                       "a vocabulary of %d; expected %d to %u", o->size, FIRST_MERGE, RR_MAX_VOCAB);
    t.chars = rr_alloc(t.char_mask + 1, sizeof *t.chars);
    int rc = t.chars ? RR_OK : rr_fail_memory(err, "characters", t.char_mask * sizeof *t.chars);
    if (!rc) {
        memset(t.chars, 0xff, (t.char_mask + 1) * sizeof *t.chars);
        rc = read_texts(&t, texts, n, err);
    }
    const size_t n_chars = t.n_known, room = (size_t)o->size - FIRST_MERGE;
    if (!rc && n_chars > room)
        rc = rr_fail(err, RR_ERR_USAGE, "VOCAB_SIZE", RR_NOWHERE,
                     "the texts have %zu different characters; the vocabulary needs at least %zu "
                     "pieces",
                     n_chars, n_chars + FIRST_MERGE);
    if (!rc)
        rc = learn(&t, room - n_chars, err);
    if (!rc && !list_pieces(v, &t, n_chars))
        rc = rr_fail_memory(err, "vocabulary", v->n * sizeof *v->pieces);
    if (!rc && o->n_user)
        rc = add_user(v, arena, o, err);
    rr_free(t.known);
    rr_free(t.words);
    rr_free(t.symbols);
    rr_free(t.pairs.keys);
    rr_free(t.pairs.counts);
    rr_free(t.chars);
    return rc;
}
