/* Encoding and decoding for SentencePiece BPE, and the merging that byte-level BPE (bytelevel.c)
 * shares.
 *
 * The text is normalised (blanks become U+2581), cut into symbols (characters and user-defined
 * pieces), and the best pair of neighbours is merged until none is left: highest score first,
 * leftmost among equals. Candidates wait in a heap; one is stale when its symbols are no longer
 * what they were.
 *
 * Where the vocabulary lets nothing merge across the beginning of a word, that is done word by
 * word: most are short, and a scan finds their best pair sooner than a heap does, and most have
 * been there before (memo.h). */
#include "tokenizer/internal.h"

#include <math.h>
#include <string.h>
#include "engine/base/utf8.h"

void rr_encoding_free(struct rr_encoding *e)
{
    if (e->scratch) {
        rr_buf_free(&e->scratch->text);
        rr_free(e->scratch->symbols);
        rr_free(e->scratch->heap);
        rr_free(e->scratch->unused);
        rr_free(e->scratch->stack);
        rr_free(e->scratch->memo);
    }
    rr_free(e->scratch);
    rr_free(e->ids);
    *e = (struct rr_encoding){0};
}

/* SentencePiece's normaliser with the "identity" rule: blanks only. */
static void normalise(const struct rr_tokenizer *t, struct rr_buf *out, const char *s, size_t n)
{
    rr_buf_clear(out);
    if (t->remove_extra_space) {
        while (n && s[0] == ' ')
            s++, n--;
        while (n && s[n - 1] == ' ')
            n--;
    }
    if (n && t->add_dummy_prefix)
        rr_buf_add(out, RR_BLANK, RR_BLANK_BYTES);
    for (size_t i = 0, from = 0; i <= n; i++) {
        /* Runs without a blank or a bad byte are copied whole. */
        size_t len = i == n                       ? 0
                     : (unsigned char)s[i] < 0x80 ? 1
                                                  : rr_utf8_decode(s + i, n - i, NULL);
        if (i < n && len && s[i] != ' ') {
            i += len - 1;
            continue;
        }
        rr_buf_add(out, s + from, i - from);
        from = i + 1;
        if (i == n)
            break;
        if (s[i] != ' ')
            rr_buf_add(out, "\xEF\xBF\xBD", 3);
        else if (!t->remove_extra_space || s[i - 1] != ' ')
            rr_buf_add(out, RR_BLANK, RR_BLANK_BYTES);
    }
}

/* Below 0: piece text before s[0..n), cut to the piece's length; 0: s begins with it. */
static int compare_piece(const struct rr_piece *p, const char *s, size_t n)
{
    const int c = memcmp(p->text, s, p->n < n ? p->n : n);
    return c ? c : p->n > n;
}

/* The longest user-defined piece that the text continues with, or -1: the last piece that does not
 * come behind the text, or one that this one begins with. */
static int match_user(const struct rr_tokenizer *t, const char *s, size_t n)
{
    const unsigned char c = (unsigned char)s[0];
    int low = t->user_first[c], high = t->user_first[c + 1];
    const int first = low;
    while (low < high) {
        const int middle = low + (high - low) / 2;
        if (compare_piece(&t->pieces[t->user_ids[middle]], s, n) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (int i = low - 1; i >= first; i = t->user_parents[i])
        if (compare_piece(&t->pieces[t->user_ids[i]], s, n) == 0)
            return t->user_ids[i];
    return -1;
}

/* Symbols of b->text from byte `from` to `to`. */
static bool cut_symbols(const struct rr_tokenizer *t, struct rr_bpe_scratch *b, size_t from,
                        size_t to)
{
    const char *s = b->text.data;
    b->n_symbols = 0;
    for (size_t at = from; at < to;) {
        if (!rr_grow(&b->symbols, &b->cap_symbols, b->n_symbols + 1, sizeof *b->symbols))
            return false;
        int i = (int)b->n_symbols++;
        struct rr_symbol *sym = &b->symbols[i];
        *sym = (struct rr_symbol){.prev = i - 1, .next = i + 1, .at = (uint32_t)at};
        int user = match_user(t, s + at, to - at);
        if (user >= 0) {
            sym->id = user;
            sym->n = t->pieces[user].n;
        } else if ((unsigned char)s[at] < 0x80) {
            sym->id = t->ascii[(unsigned char)s[at]];
            sym->n = 1;
        } else {
            uint32_t cp;
            sym->n = (uint32_t)rr_utf8_decode(s + at, to - at, &cp);
            /* Behind a user piece that ends inside a character: one byte on its own. */
            sym->id = sym->n ? rr_pair_find(&t->pairs, rr_char_key(cp)) : -1;
            sym->n = sym->n ? sym->n : 1;
        }
        at += sym->n;
    }
    if (b->n_symbols)
        b->symbols[b->n_symbols - 1].next = -1;
    return true;
}

static bool before(const struct rr_merge *a, const struct rr_merge *b)
{
    return a->score > b->score || (a->score == b->score && a->left < b->left);
}

static void heap_push(struct rr_bpe_scratch *b, struct rr_merge m)
{
    if (!rr_grow(&b->heap, &b->cap_heap, b->n_heap + 1, sizeof *b->heap)) {
        b->failed = true;
        return;
    }
    size_t i = b->n_heap++;
    for (; i && before(&m, &b->heap[(i - 1) / 2]); i = (i - 1) / 2)
        b->heap[i] = b->heap[(i - 1) / 2];
    b->heap[i] = m;
}

static struct rr_merge heap_pop(struct rr_bpe_scratch *b)
{
    struct rr_merge top = b->heap[0], last = b->heap[--b->n_heap];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < b->n_heap; i = child) {
        if (child + 1 < b->n_heap && before(&b->heap[child + 1], &b->heap[child]))
            child++;
        if (!before(&b->heap[child], &last))
            break;
        b->heap[i] = b->heap[child];
    }
    b->heap[i] = last;
    return top;
}

static const struct rr_pair *find_merge(const struct rr_tokenizer *t, int left, int right)
{
    return left < 0 || right < 0 ? NULL : rr_pair_at(&t->pairs, rr_pair_key(left, right));
}

static void propose(const struct rr_tokenizer *t, struct rr_bpe_scratch *b, int left, int right)
{
    if (left < 0 || right < 0)
        return;
    const struct rr_symbol *l = &b->symbols[left], *r = &b->symbols[right];
    const struct rr_pair *p = find_merge(t, l->id, r->id);
    if (!p)
        return;
    if (t->has_unused && t->pieces[p->id].type == RR_PIECE_UNUSED) {
        b->unused[p->id][0] = l->id;
        b->unused[p->id][1] = r->id;
    }
    heap_push(b, (struct rr_merge){p->score, left, right, l->id, r->id, p->id});
}

static void merge_many(const struct rr_tokenizer *t, struct rr_bpe_scratch *b)
{
    b->n_heap = 0;
    for (size_t i = 0; i + 1 < b->n_symbols; i++)
        propose(t, b, (int)i, (int)i + 1);
    while (b->n_heap && !b->failed) {
        struct rr_merge m = heap_pop(b);
        struct rr_symbol *l = &b->symbols[m.left], *r = &b->symbols[m.right];
        if (l->n == 0 || r->n == 0 || l->next != m.right || l->id != m.left_id ||
            r->id != m.right_id)
            continue;
        l->id = m.id;
        l->n += r->n;
        l->next = r->next;
        r->n = 0;
        if (l->next >= 0)
            b->symbols[l->next].prev = m.left;
        propose(t, b, l->prev, m.left);
        propose(t, b, m.left, l->next);
    }
}

/* As many symbols as a scan for the best pair is faster for than a heap. */
enum { FEW = 64 };

/* The neighbours of a word's symbols that merge, in their order. */
struct few {
    float score[FEW]; /* of symbol i and the next; minus infinity: they do not merge */
    int made[FEW];
};

static void look_up(const struct rr_tokenizer *t, struct few *f, const struct rr_symbol *s,
                    size_t i)
{
    const struct rr_pair *p = find_merge(t, s[i].id, s[i + 1].id);
    f->score[i] = p ? p->score : -INFINITY;
    f->made[i] = p ? p->id : -1;
}

/* The same as merge_many, without a heap: what is merged moves together, so that the leftmost of
 * the best is the first. */
static void merge_few(const struct rr_tokenizer *t, struct rr_bpe_scratch *b)
{
    struct rr_symbol *s = b->symbols;
    struct few f;
    size_t n = b->n_symbols;
    for (size_t i = 0; i + 1 < n; i++)
        look_up(t, &f, s, i);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            best = f.score[i] > f.score[best] ? i : best;
        if (f.score[best] == -INFINITY)
            break;
        s[best].id = f.made[best];
        s[best].n += s[best + 1].n;
        n--;
        for (size_t i = best + 1; i < n; i++)
            s[i] = s[i + 1];
        for (size_t i = best + 1; i + 1 < n; i++) {
            f.score[i] = f.score[i + 1];
            f.made[i] = f.made[i + 1];
        }
        if (best)
            look_up(t, &f, s, best - 1);
        if (best + 1 < n)
            look_up(t, &f, s, best);
    }
    b->n_symbols = n;
    for (size_t i = 0; i < n; i++)
        s[i].next = i + 1 < n ? (int)i + 1 : -1;
}

void rr_bpe_merge(const struct rr_tokenizer *t, struct rr_bpe_scratch *b)
{
    if (b->n_symbols <= FEW && !t->has_unused)
        merge_few(t, b);
    else
        merge_many(t, b);
}

bool rr_bpe_emit(struct rr_encoding *e, int id)
{
    if (!rr_grow(&e->ids, &e->cap, e->n + 1, sizeof *e->ids))
        return false;
    e->ids[e->n++] = id;
    return true;
}

/* A character that is no piece: its bytes, or the unknown piece. */
static bool emit_unknown(const struct rr_tokenizer *t, struct rr_encoding *e, const char *s,
                         size_t n)
{
    if (!t->byte_fallback)
        return rr_bpe_emit(e, t->unk);
    for (size_t i = 0; i < n; i++)
        if (!rr_bpe_emit(e, t->byte_ids[(unsigned char)s[i]]))
            return false;
    return true;
}

/* A symbol's tokens: itself, or what an UNUSED piece was made of (SentencePiece takes those
 * apart again). s points at its text. */
static bool emit_symbol(const struct rr_tokenizer *t, struct rr_encoding *e,
                        const struct rr_symbol *sym)
{
    struct rr_bpe_scratch *b = e->scratch;
    const char *s = b->text.data + sym->at;
    size_t n_stack = 0;
    int id = sym->id;
    for (;;) {
        if (id >= 0 && id < t->n && t->pieces[id].type == RR_PIECE_UNUSED &&
            b->unused[id][0] >= 0) {
            if (!rr_grow(&b->stack, &b->cap_stack, n_stack + 1, sizeof *b->stack))
                return false;
            b->stack[n_stack++] = b->unused[id][1];
            id = b->unused[id][0];
            continue;
        }
        size_t len = rr_utf8_decode(s, b->text.n - (size_t)(s - b->text.data), NULL);
        len = len ? len : 1;
        if (id >= 0 && id < t->n) {
            len = t->pieces[id].n;
            if (!rr_bpe_emit(e, id))
                return false;
        } else if (!emit_unknown(t, e, s, len)) {
            return false;
        }
        s += len;
        if (!n_stack)
            return true;
        id = b->stack[--n_stack];
    }
}

static bool prepare_unused(const struct rr_tokenizer *t, struct rr_bpe_scratch *b)
{
    if (!t->has_unused)
        return true;
    if (!rr_grow(&b->unused, &b->cap_unused, (size_t)t->n, sizeof *b->unused))
        return false;
    for (int i = 0; i < t->n; i++)
        b->unused[i][0] = b->unused[i][1] = -1;
    return true;
}

bool rr_bpe_recall(const struct rr_tokenizer *t, struct rr_encoding *e, const char *s, size_t n,
                   size_t room, struct rr_bpe_word *w)
{
    w->slot = NULL;
    if (!rr_memo_key(&w->key, t->serial, s, n, room))
        return false;
    w->slot = rr_memo_slot(e->scratch->memo, &w->key);
    if (!rr_memo_holds(w->slot, &w->key))
        return false;
    /* Room for all that it may hold: copying a fixed number is fastest. */
    if (!rr_grow(&e->ids, &e->cap, e->n + RR_MEMO_IDS, sizeof *e->ids)) {
        e->scratch->failed = true; /* who encodes the word reports it */
        return false;
    }
    memcpy(e->ids + e->n, w->slot->ids, sizeof w->slot->ids);
    e->n += w->slot->n_ids;
    return true;
}

/* b->text from byte `from` to `to`, as if nothing else were there. */
static bool encode_part(const struct rr_tokenizer *t, struct rr_encoding *e, size_t from, size_t to)
{
    struct rr_bpe_scratch *b = e->scratch;
    if (!cut_symbols(t, b, from, to))
        return false;
    rr_bpe_merge(t, b);
    bool ok = !b->failed;
    for (int i = 0; ok && b->n_symbols && i >= 0; i = b->symbols[i].next)
        ok = emit_symbol(t, e, &b->symbols[i]);
    return ok;
}

static bool is_blank(const char *s, size_t n)
{
    return n >= RR_BLANK_BYTES && memcmp(s, RR_BLANK, RR_BLANK_BYTES) == 0;
}

/* How long a word is: blanks and what follows up to the next blank, for merges that cross no other
 * beginning of a blank; where no piece holds a line feed, a run of these is a word too. */
static size_t word_length(const struct rr_tokenizer *t, const char *s, size_t n)
{
    size_t i = 0;
    if (t->lines_apart && s[0] == '\n') {
        while (i < n && s[i] == '\n')
            i++;
        return i;
    }
    while (is_blank(s + i, n - i))
        i += RR_BLANK_BYTES;
    while (i < n && !(s[i] == RR_BLANK[0] && is_blank(s + i, n - i)) &&
           !(t->lines_apart && s[i] == '\n'))
        i++;
    return i;
}

static bool encode_words(const struct rr_tokenizer *t, struct rr_encoding *e)
{
    const struct rr_buf *text = &e->scratch->text;
    for (size_t at = 0, n; at < text->n; at += n) {
        const size_t from = e->n;
        struct rr_bpe_word w;
        n = word_length(t, text->data + at, text->n - at);
        if (rr_bpe_recall(t, e, text->data + at, n, text->n - at, &w))
            continue;
        if (!encode_part(t, e, at, at + n))
            return false;
        rr_bpe_keep(&w, e, from);
    }
    return true;
}

/* A run of unknown characters is one unknown piece, as in SentencePiece. */
static void join_unknown(struct rr_encoding *e, int unk)
{
    size_t n = 0;
    for (size_t i = 0; i < e->n; i++)
        if (e->ids[i] != unk || !n || e->ids[n - 1] != unk)
            e->ids[n++] = e->ids[i];
    e->n = n;
}

int rr_tokenizer_encode(const struct rr_tokenizer *t, struct rr_encoding *e, const char *text,
                        size_t n, struct rr_error *err)
{
    e->n = 0;
    if (!e->scratch)
        e->scratch = rr_zalloc(1, sizeof *e->scratch);
    struct rr_bpe_scratch *b = e->scratch;
    /* Symbol indices are ints and offsets 32 bits; the normalised text is at most three times as
     * long. */
    if (!b || n > INT32_MAX / 4)
        return rr_fail_memory(err, "text to tokenize", n);
    if (!b->memo)
        b->memo = rr_memo_open();
    b->failed = false;
    bool ok = b->memo != NULL;
    if (ok && t->rule) {
        ok = rr_bytelevel_encode(t, e, text, n);
    } else if (ok) {
        normalise(t, &b->text, text, n);
        ok = !b->text.failed && prepare_unused(t, b) &&
             (t->words_apart ? encode_words(t, e) : encode_part(t, e, 0, b->text.n));
        if (ok && !t->byte_fallback)
            join_unknown(e, t->unk);
    }
    return ok && !b->failed ? RR_OK : rr_fail_memory(err, "text to tokenize", n);
}

/* A piece's text with U+2581 as blanks. */
static void add_text(struct rr_buf *out, const struct rr_piece *p, bool drop_blank)
{
    for (size_t i = 0; i < p->n;) {
        if (p->n - i >= RR_BLANK_BYTES && memcmp(p->text + i, RR_BLANK, RR_BLANK_BYTES) == 0) {
            if (i || !drop_blank)
                rr_buf_add(out, " ", 1);
            i += RR_BLANK_BYTES;
        } else {
            rr_buf_add(out, p->text + i++, 1);
        }
    }
}

int rr_tokenizer_decode(const struct rr_tokenizer *t, struct rr_buf *out, const int *ids, size_t n,
                        struct rr_error *err)
{
    bool first = true;
    for (size_t i = 0; i < n; i++) {
        if (ids[i] < 0 || ids[i] >= t->n)
            return rr_fail(err, RR_ERR_USAGE, "TOKEN_ID", RR_NOWHERE,
                           "token id %d; the vocabulary has 0 to %d", ids[i], t->n - 1);
        const struct rr_piece *p = &t->pieces[ids[i]];
        if (p->type == RR_PIECE_CONTROL)
            continue;
        if (p->type == RR_PIECE_BYTE) {
            char c = (char)rr_piece_byte(p);
            rr_buf_add(out, &c, 1);
        } else if (p->type == RR_PIECE_UNKNOWN) {
            rr_buf_puts(out, " \xE2\x81\x87 "); /* U+2047, as SentencePiece shows it */
        } else if (t->rule) {
            rr_buf_add(out, p->text, p->n);
        } else {
            add_text(out, p, first && t->add_dummy_prefix);
        }
        first = false;
    }
    return out->failed ? rr_fail_memory(err, "text", n) : RR_OK;
}
