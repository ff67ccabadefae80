/* Merges of a tokenizer with blanks as U+2581 as a score for each piece: what SentencePiece and
 * GGUF have. The inverse of what Hugging Face's converter does, which lists every way to put a
 * piece together at the place of its score. */
#include <string.h>
#include "tokenizer/internal.h"

struct scorer {
    const struct rr_vocab *v;
    struct rr_texts texts;
    int *rank, *ways; /* [n] of a piece among those that are merged, or -1; merges that make it */
    int n_ranked;
    struct rr_buf both;
};

static int find(const struct scorer *s, const char *text, size_t n)
{
    return rr_texts_find(&s->texts, text, n, rr_texts_hash(text, n), NULL);
}

/* In how many ways two pieces put this one together. */
static int count_ways(struct scorer *s, const struct rr_piece *p)
{
    int n = 0;
    rr_texts_prefixes(&s->texts, p);
    for (size_t at = 1; at < p->n; at++) {
        if (((unsigned char)p->text[at] & 0xC0) == 0x80)
            continue; /* inside a character */
        const int left =
                      rr_texts_find(&s->texts, p->text, at, rr_texts_part(&s->texts, 0, at), NULL),
                  right = rr_texts_find(&s->texts, p->text + at, p->n - at,
                                        rr_texts_part(&s->texts, at, p->n), NULL);
        n += left >= 0 && right >= 0 && s->v->pieces[left].type == RR_PIECE_NORMAL &&
             s->v->pieces[right].type == RR_PIECE_NORMAL;
    }
    return n;
}

/* False: merges of one piece stand apart, so that one number does not say where. */
static bool rank_pieces(struct scorer *s)
{
    int last = -1;
    for (size_t i = 0; i < s->v->n_merges; i++) {
        const struct rr_piece *a = &s->v->pieces[s->v->merges[i][0]],
                              *b = &s->v->pieces[s->v->merges[i][1]];
        rr_buf_clear(&s->both);
        rr_buf_add(&s->both, a->text, a->n);
        rr_buf_add(&s->both, b->text, b->n);
        const int id = s->both.failed ? -1 : find(s, s->both.data, s->both.n);
        if (id < 0 || (s->rank[id] >= 0 && id != last))
            return false;
        if (id != last)
            s->rank[id] = s->n_ranked++;
        s->ways[id]++;
        last = id;
    }
    return true;
}

/* SentencePiece merges any two pieces that make one: each way must be listed, or none be there. */
static bool all_ways(struct scorer *s)
{
    for (size_t i = 0; i < s->v->n; i++)
        if (s->v->pieces[i].type == RR_PIECE_NORMAL &&
            count_ways(s, &s->v->pieces[i]) != s->ways[i])
            return false;
    return true;
}

int rr_vocab_score_merges(struct rr_vocab *v, struct rr_arena *arena, const char *file,
                          struct rr_error *err)
{
    struct scorer s = {.v = v};
    struct rr_piece *pieces = rr_arena_alloc(arena, v->n, sizeof *pieces);
    s.rank = rr_arena_alloc(arena, v->n, sizeof *s.rank);
    s.ways = rr_arena_zalloc(arena, v->n, sizeof *s.ways);
    if (!pieces || !s.rank || !s.ways)
        return rr_fail_memory(err, "vocabulary", v->n * sizeof *pieces);
    int rc = rr_texts_of(&s.texts, v->pieces, v->n, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < v->n; i++)
        s.rank[i] = -1;
    const bool same = rank_pieces(&s) && all_ways(&s);
    if (s.both.failed)
        rc = rr_fail_memory(err, "merges", s.both.n);
    else if (!same)
        rc = rr_fail(err, RR_ERR_USAGE, "UNSUPPORTED", RR_AT_OBJECT(file, "model.merges"),
                     "say more than a score for each piece, which is all that GGUF keeps for "
                     "blanks as U+2581: give the tokenizer.model (--tokenizer)");
    rr_texts_free(&s.texts);
    rr_buf_free(&s.both);
    if (rc)
        return rc;
    int others = s.n_ranked; /* characters: behind all that are merged */
    for (size_t i = 0; i < v->n; i++) {
        pieces[i] = v->pieces[i];
        pieces[i].score = s.rank[i] >= 0                      ? (float)-s.rank[i]
                          : pieces[i].type == RR_PIECE_NORMAL ? (float)-others++
                                                              : 0.0f;
    }
    v->pieces = pieces;
    v->merges = NULL;
    v->n_merges = 0;
    return RR_OK;
}
