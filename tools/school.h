/* A network at school: what pretrain and learn share. Its vocabulary and corpus come from a data
 * set, its shape from options. */
#ifndef TOOLS_SCHOOL_H
#define TOOLS_SCHOOL_H

#include "rec/learn/pretrain.h"
#include "tools/training.h"

struct school_options {
    const char *shape;
    long long vocab, window;
    double skip, stir;
    bool whole;
    int dim, layers, heads, kv_heads, ff; /* of the shape */
};
#define SCHOOL_OPTIONS_INIT                                                                        \
    {                                                                                              \
        .vocab = 4096, .window = 30, .skip = 0.1, .stir = 0.5, .dim = 128, .layers = 4,            \
        .heads = 4, .kv_heads = 2, .ff = 384                                                       \
    }
/* clang-format off */
#define SCHOOL_OPTION_ROWS(o)                                                                      \
    {"shape", 0, OPT_TEXT, &(o).shape, "dim=D,layers=L,heads=H,kv=K,ff=F",                         \
     "the network, any part of it", 0, 0, false},                                                  \
    {"vocab", 0, OPT_INT, &(o).vocab, "N", "pieces of its vocabulary", 259, 1 << 20, false},       \
    {"whole-titles", 0, OPT_FLAG, &(o).whole, NULL,                                                \
     "a piece for every liked title, the most liked first", 0, 0, false},                                    \
    {"window", 0, OPT_INT, &(o).window, "N", "titles of a window", 2, 1000, false},                \
    {"skip", 0, OPT_REAL, &(o).skip, "R", "share of a window's titles left out, others each time", \
     0, 0.9, false},                                                                               \
    {"stir", 0, OPT_REAL, &(o).stir, "R", "share of windows whose titles are shuffled", 0, 1,      \
     false}
/* clang-format on */

/* Reads --shape. -1, or exit code 2 after a message. */
int school_check(const struct command *c, struct school_options *o);

struct school {
    const struct school_options *o;
    const struct opened_data *d;
    long long seed;
    struct rr_engine engine;
    struct rr_arena arena;
    struct rr_vocab vocab;
    struct rr_tokenizer *tokenizer;
    struct rr_corpus corpus;
    struct rr_lm lm;
};
/* Vocabulary, corpus and a network that knows nothing. Close also after a failure. */
int school_open(struct school *s, const struct school_options *o, const struct opened_data *d,
                const struct model_options *engine, double dropout, long long seed,
                struct rr_error *err);
void school_close(struct school *s);
/* Appends what a pretraining depends on, in one line. */
void school_describe(struct rr_buf *out, const struct school *s, const struct training_options *t);
/* Pretrains s->lm. checkpoint may be NULL. */
int school_pretrain(struct school *s, const struct training_options *t, const char *checkpoint,
                    const char *identity, struct rr_train_report *r, struct rr_error *err);

#endif
