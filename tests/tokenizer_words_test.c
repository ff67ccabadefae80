/* Encoding word by word, with short words scanned and a memo of words, gives what merging the whole
 * text gives. The truth here is the plainest BPE: all pairs of neighbours looked at again for every
 * merge, pieces found by their texts. */
#include "tests/test.h"

#include <stdint.h>
#include <string.h>
#include "engine/base/rng.h"
#include "engine/base/utf8.h"
#include "tokenizer/tokenizer.h"

#define B "\xE2\x96\x81"
enum { MOST_PIECES = 128, MOST_TEXT = 4096 };

struct vocabulary {
    struct rr_vocab v;
    struct rr_piece pieces[MOST_PIECES];
    char texts[MOST_PIECES][32];
};

static void add(struct vocabulary *w, const char *text, float score, enum rr_piece_type type)
{
    const size_t n = strlen(text);
    for (size_t i = 0; i < w->v.n; i++)
        if (w->pieces[i].n == n && memcmp(w->pieces[i].text, text, n) == 0)
            return;
    memcpy(w->texts[w->v.n], text, n);
    w->pieces[w->v.n] = (struct rr_piece){w->texts[w->v.n], (uint32_t)n, score, type};
    w->v.n++;
}

static void begin(struct vocabulary *w)
{
    *w = (struct vocabulary){.v = {.unk = 0, .bos = -1, .eos = -1, .add_dummy_prefix = true}};
    w->v.pieces = w->pieces;
    add(w, "<unk>", 0, RR_PIECE_UNKNOWN);
}

/* ---- the truth ---- */

struct span {
    size_t at, n;
    int id;
};

static int piece_of(const struct vocabulary *w, const char *s, size_t n)
{
    for (size_t i = 1; i < w->v.n; i++)
        if (w->pieces[i].n == n && memcmp(w->pieces[i].text, s, n) == 0)
            return (int)i;
    return -1;
}

static int longest_user(const struct vocabulary *w, const char *s, size_t n)
{
    int best = -1;
    for (size_t i = 1; i < w->v.n; i++)
        if (w->pieces[i].type == RR_PIECE_USER && w->pieces[i].n <= n &&
            memcmp(w->pieces[i].text, s, w->pieces[i].n) == 0 &&
            (best < 0 || w->pieces[i].n > w->pieces[best].n))
            best = (int)i;
    return best;
}

static bool is_user(const struct vocabulary *w, int id)
{
    return id >= 0 && w->pieces[id].type == RR_PIECE_USER;
}

static int made_of_unused[MOST_PIECES][2];

/* What two neighbours make, or -1. SentencePiece remembers what an UNUSED piece was last seen as.
 */
static int made(const struct vocabulary *w, const char *s, const struct span *l)
{
    if (is_user(w, l[0].id) || is_user(w, l[1].id))
        return -1;
    const int id = piece_of(w, s + l[0].at, l[0].n + l[1].n);
    if (id >= 0 && w->pieces[id].type == RR_PIECE_UNUSED) {
        made_of_unused[id][0] = l[0].id;
        made_of_unused[id][1] = l[1].id;
    }
    return id;
}

static size_t put(const struct vocabulary *w, int *ids, int id)
{
    if (id >= 0 && w->pieces[id].type == RR_PIECE_UNUSED && made_of_unused[id][0] >= 0) {
        const size_t n = put(w, ids, made_of_unused[id][0]);
        return n + put(w, ids + n, made_of_unused[id][1]);
    }
    ids[0] = id < 0 ? 0 : id;
    return 1;
}

static size_t truth(const struct vocabulary *w, int *ids, const char *text, size_t n_text)
{
    static char s[3 * MOST_TEXT + 3];
    static struct span spans[3 * MOST_TEXT];
    size_t n = 0, n_spans = 0, n_ids = 0;
    memset(made_of_unused, -1, sizeof made_of_unused);
    if (n_text && w->v.add_dummy_prefix) {
        memcpy(s, B, 3);
        n = 3;
    }
    for (size_t i = 0; i < n_text; i++) {
        if (text[i] == ' ') {
            memcpy(s + n, B, 3);
            n += 3;
        } else {
            s[n++] = text[i];
        }
    }
    for (size_t at = 0; at < n; at += spans[n_spans++].n) {
        const int user = longest_user(w, s + at, n - at);
        const size_t len = user >= 0 ? w->pieces[user].n : rr_utf8_decode(s + at, n - at, NULL);
        spans[n_spans] = (struct span){at, len, piece_of(w, s + at, len)};
    }
    for (size_t i = 0; i + 1 < n_spans; i++)
        (void)made(w, s, spans + i);
    for (;;) {
        int best = -1;
        size_t where = 0;
        for (size_t i = 0; i + 1 < n_spans; i++) {
            const bool users = is_user(w, spans[i].id) || is_user(w, spans[i + 1].id);
            const int id = users ? -1 : piece_of(w, s + spans[i].at, spans[i].n + spans[i + 1].n);
            if (id >= 0 && (best < 0 || w->pieces[id].score > w->pieces[best].score)) {
                best = id;
                where = i;
            }
        }
        if (best < 0)
            break;
        spans[where].id = best;
        spans[where].n += spans[where + 1].n;
        n_spans--;
        memmove(spans + where + 1, spans + where + 2, (n_spans - where - 1) * sizeof *spans);
        if (where)
            (void)made(w, s, spans + where - 1);
        if (where + 1 < n_spans)
            (void)made(w, s, spans + where);
    }
    for (size_t i = 0; i < n_spans; i++) {
        n_ids += put(w, ids + n_ids, spans[i].id);
        if (n_ids > 1 && ids[n_ids - 1] == 0 && ids[n_ids - 2] == 0)
            n_ids--; /* a run of unknown characters is one unknown piece */
    }
    return n_ids;
}

/* ---- random vocabularies and texts ---- */

enum kind {
    APART,    /* blanks only in front */
    CROSSING, /* pieces with a blank in the middle or at the end */
    USERS,    /* user pieces: blanks in front, runs */
    USERS_CROSSING,
    UNUSED, /* with pieces of that type */
    LINES,  /* pieces with line feeds */
    EQUAL,  /* every score the same: the leftmost decides */
    KINDS
};

static const char *const letters[] = {"a", "b", "c", "\xC3\xA9"};

static void random_piece(char *out, struct rr_rng *rng, enum kind kind)
{
    const size_t blanks = rr_rng_below(rng, 3) ? 0 : 1 + rr_rng_below(rng, 3);
    const size_t n = 1 + rr_rng_below(rng, 4);
    out[0] = 0;
    for (size_t i = 0; i < blanks; i++)
        strcat(out, B);
    for (size_t i = 0; i < n && !(blanks > 1 && rr_rng_below(rng, 2)); i++) {
        strcat(out, letters[rr_rng_below(rng, 4)]);
        if ((kind == CROSSING || kind == USERS_CROSSING) && !rr_rng_below(rng, 6))
            strcat(out, B);
        if (kind == LINES && !rr_rng_below(rng, 6))
            strcat(out, "\n");
    }
}

static void random_vocabulary(struct vocabulary *w, struct rr_rng *rng, enum kind kind)
{
    begin(w);
    add(w, B, -100, RR_PIECE_NORMAL);
    add(w, "a", -100, RR_PIECE_NORMAL);
    add(w, "b", -100, RR_PIECE_NORMAL);
    for (int i = 0; i < 90; i++) {
        char text[64];
        random_piece(text, rng, kind);
        const bool odd = !rr_rng_below(rng, 12);
        add(w, text, kind == EQUAL ? -1 : -(float)rr_rng_below(rng, 20),
            odd && (kind == USERS || kind == USERS_CROSSING) ? RR_PIECE_USER
            : odd && kind == UNUSED                          ? RR_PIECE_UNUSED
                                                             : RR_PIECE_NORMAL);
    }
    w->v.add_dummy_prefix = rr_rng_below(rng, 2);
}

static size_t random_text(char *s, struct rr_rng *rng)
{
    static const char *const more[] = {" ",  " ",    " ", "  ", "   ",
                                       "\n", "\n\n", "?", B,    "\xF0\x9F\x98\x80"};
    const size_t parts = rr_rng_below(rng, 120);
    /* Some texts are all one word. */
    const size_t blanks = rr_rng_below(rng, 8) ? 3 : 1000;
    size_t n = 0;
    for (size_t i = 0; i < parts; i++) {
        const char *p = rr_rng_below(rng, (uint32_t)blanks) ? letters[rr_rng_below(rng, 4)]
                                                            : more[rr_rng_below(rng, 10)];
        memcpy(s + n, p, strlen(p));
        n += strlen(p);
    }
    return n;
}

static void compare(const struct vocabulary *w, const struct rr_tokenizer *t, struct rr_encoding *e,
                    const char *s, size_t n, const char *what)
{
    static int ids[3 * MOST_TEXT];
    const size_t n_ids = truth(w, ids, s, n);
    cr_assert(rr_tokenizer_encode(t, e, s, n, NULL) == 0, "%s: not encoded", what);
    cr_assert(e->n == n_ids, "%s: %zu tokens, expected %zu: '%.*s'", what, e->n, n_ids, (int)n, s);
    for (size_t i = 0; i < n_ids; i++)
        cr_assert(e->ids[i] == ids[i], "%s: token %zu is %d, expected %d: '%.*s'", what, i,
                  e->ids[i], ids[i], (int)n, s);
}

static struct rr_tokenizer *open_it(const struct vocabulary *w)
{
    struct rr_tokenizer *t;
    struct rr_error err = {0};
    cr_assert(rr_tokenizer_open(&t, &w->v, "words", &err) == 0, "%s", err.text);
    return t;
}

Test(tokenizer_words, as_the_whole_text)
{
    static const char *const names[KINDS] = {"words apart",        "blanks within pieces",
                                             "user pieces",        "blanks within user pieces",
                                             "unused pieces",      "line feeds within pieces",
                                             "all scores the same"};
    static struct vocabulary w;
    struct rr_encoding e = {0}; /* one for all: tokenizers come and go, at addresses used before */
    struct rr_rng rng;
    rr_rng_seed(&rng, 1);
    for (int round = 0; round < 40; round++)
        for (int kind = 0; kind < KINDS; kind++) {
            char s[MOST_TEXT];
            random_vocabulary(&w, &rng, (enum kind)kind);
            struct rr_tokenizer *t = open_it(&w);
            for (int i = 0; i < 30; i++)
                compare(&w, t, &e, s, random_text(s, &rng), names[kind]);
            rr_tokenizer_close(t);
        }
    rr_encoding_free(&e);
}

/* Two tokenizers in turn, whose words are spelt alike and encoded otherwise. */
Test(tokenizer_words, one_encoding_for_two)
{
    static struct vocabulary w[2];
    struct rr_tokenizer *t[2];
    struct rr_encoding e = {0};
    struct rr_rng rng;
    rr_rng_seed(&rng, 2);
    for (int i = 0; i < 2; i++) {
        random_vocabulary(&w[i], &rng, APART);
        t[i] = open_it(&w[i]);
    }
    for (int i = 0; i < 500; i++) {
        char s[MOST_TEXT];
        const size_t n = random_text(s, &rng);
        for (int k = 0; k < 4; k++)
            compare(&w[k % 2], t[k % 2], &e, s, n, "in turn");
    }
    rr_tokenizer_close(t[0]);
    rr_tokenizer_close(t[1]);
    rr_encoding_free(&e);
}

/* Words around the memo's bytes and tokens and around the symbols that a scan takes, twice each. */
Test(tokenizer_words, of_every_length)
{
    static struct vocabulary w;
    struct rr_encoding e = {0};
    begin(&w);
    add(&w, B, -9, RR_PIECE_NORMAL);
    add(&w, "a", -9, RR_PIECE_NORMAL);
    add(&w, "b", -9, RR_PIECE_NORMAL);
    add(&w, "aa", -1, RR_PIECE_NORMAL);
    add(&w, "aaa", -1, RR_PIECE_NORMAL);
    struct rr_tokenizer *t = open_it(&w);
    for (int letter = 0; letter < 3; letter++)
        for (size_t n = 0; n < 140; n++) {
            char s[2 * 140 + 8];
            size_t at = 0;
            for (int twice = 0; twice < 2; twice++) {
                for (size_t i = 0; i < n; i++)
                    s[at++] = letter == 2 ? "aab"[i % 3] : "ab"[letter];
                s[at++] = ' ';
            }
            compare(&w, t, &e, s, at, "by length");
        }
    /* Zeros in a text are bytes like others, and a word is not another one with zeros behind. */
    compare(&w, t, &e, "ab\0 ab ab\0\0 ab", 14, "zeros");
    rr_tokenizer_close(t);
    rr_encoding_free(&e);
}
