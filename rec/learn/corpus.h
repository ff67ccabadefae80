/* A data set as text to learn from: every user's liked titles in order, as the likelihood question
 * spells them ("User's liked movies:" and quoted titles with commas), in windows of a few dozen
 * titles at random offsets. Only training likes are read; validation items are looked at by
 * rr_corpus_validation alone. */
#ifndef RR_CORPUS_H
#define RR_CORPUS_H

#include "engine/base/rng.h"
#include "rec/data/split.h"
#include "rec/learn/batch.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/train.h"

/* Learns a vocabulary of `size` pieces from all titles as they are spelled here (a title counts
 * once, and once more for every training like) and the words around them. whole_titles: a piece
 * for every title that is liked in training, the most liked first, while a quarter of the pieces,
 * and 384, stay for words; a title that has none is spelled. */
int rr_corpus_vocabulary(struct rr_vocab *v, struct rr_arena *arena, const struct rr_split *split,
                         int size, bool whole_titles, struct rr_error *err);

struct rr_corpus {
    const struct rr_split *split;
    int *ids; /* tokens of item i: ids[start[i]] .. ids[start[i + 1]] */
    int *start;
    int *head; /* what every window begins with, the beginning token included */
    int n_head;
    int longest; /* tokens of the longest title */
    int window;  /* titles of a window */
    double skip; /* share of a window's titles that is left out, others each time */
    double stir; /* share of windows whose titles are shuffled */
};

/* The tokenizer is not kept. window: 2 to 1000 titles. */
int rr_corpus_make(struct rr_corpus *c, const struct rr_split *split, const struct rr_tokenizer *t,
                   int window, struct rr_error *err);
void rr_corpus_free(struct rr_corpus *c);

/* Rows of the longest window. */
int rr_corpus_longest(const struct rr_corpus *c);

/* One pass over all users: a window for every `window` likes, in random order. Begin with a pass
 * and its seed; each call of next fills a batch and says whether there was anything left. The same
 * seed and pass give the same batches. */
struct rr_corpus_pass {
    const struct rr_corpus *c;
    struct rr_corpus_window *windows;
    int n, at;
};
int rr_corpus_pass_open(struct rr_corpus_pass *p, const struct rr_corpus *c, uint64_t seed,
                        int pass, struct rr_error *err);
bool rr_corpus_pass_next(struct rr_corpus_pass *p, struct rr_batch *b);
/* Rows of window i of an open pass, and appending it as a sequence, for passes mixed with others.
 */
int rr_corpus_window_rows(const struct rr_corpus_pass *p, int i);
void rr_corpus_window_append(const struct rr_corpus_pass *p, int i, struct rr_batch *b);
void rr_corpus_pass_close(struct rr_corpus_pass *p);
/* Batches of a pass, for plans: the passes differ a little. */
int rr_corpus_batches(const struct rr_corpus *c, int cap_rows);

/* Fills a batch with users from *user on: the last likes of a window and the validation item, whose
 * tokens are the targets. False: no user was left. *user moves on. */
bool rr_corpus_validation(const struct rr_corpus *c, int *user, struct rr_batch *b);

#endif
