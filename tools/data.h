/* What the commands over a data set share: reading it, splitting it, training its backbone. */
#ifndef TOOLS_DATA_H
#define TOOLS_DATA_H

#include <math.h>
#include <stdio.h>
#include "rec/rank/user.h"
#include "tools/common.h"

/* How the data is read. */
struct data_options {
    const char *dir, *columns, *scale;
    bool lenient, strict;
    long long core;
    double min_rating, like, dislike;
    int split; /* 0: the data's own, 1: time, 2: file */
    long long seed;
};
#define DATA_OPTIONS_INIT                                                                          \
    {                                                                                              \
        .core = -1, .min_rating = NAN, .like = NAN, .dislike = NAN, .seed = 1                      \
    }
/* clang-format off */
#define DATA_OPTION_ROWS(o)                                                                        \
    {"data", 0, OPT_TEXT, &(o).dir, "PATH",                                                        \
     "folder of MovieLens, BookCrossing or RecBole files, a CSV or .inter file, or :demo", 0, 0,   \
     false},                                                                                       \
    {"lenient", 0, OPT_FLAG, &(o).lenient, NULL,                                                   \
     "skip and count bad lines (at most 0.1 %), instead of stopping at the first", 0, 0, false},   \
    {"strict", 0, OPT_FLAG, &(o).strict, NULL, "stop at the first bad line (the default)",         \
     0, 0, false},                                                                                 \
    {"core", 0, OPT_INT, &(o).core, "K",                                                           \
     "keep the iterated K-core, 0: everything, -1: the format's own (BookCrossing 10)", -1, 1e6,   \
     false},                                                                                       \
    {"min-rating", 0, OPT_REAL, &(o).min_rating, "R", "drop lower ratings", -1e9, 1e9, false},     \
    {"like", 0, OPT_REAL, &(o).like, "R", "likes from R on [MovieLens 4, BookCrossing 8, else 3/4 of the scale]", -1e9, 1e9, false},        \
    {"dislike", 0, OPT_REAL, &(o).dislike, "R", "dislikes up to R [MovieLens 2, BookCrossing 4, else 1/4]", -1e9, 1e9, false}, \
    {"scale", 0, OPT_TEXT, &(o).scale, "MIN:MAX:STEP", "the ratings' scale [MovieLens 1:5:1, BookCrossing 1:10:1, CSV and RecBole: as found]", 0, 0, false},         \
    {"columns", 0, OPT_TEXT, &(o).columns, "user=A,item=B,...",                                    \
     "CSV: names of the columns user, item, rating, time, title", 0, 0, false},                    \
    {"split-by", 0, OPT_CHOICE, &(o).split, "auto|time|file",                                      \
     "leave-one-out by time or by file order [auto: time where there is one]", 0, 0, false},       \
    {"seed", 0, OPT_INT, &(o).seed, "S", "seed of everything random", 0, 9007199254740992.0, false}

/* Where candidates and hints come from. */
struct source_options {
    const char *backbone, *lists;
    long long k;
    bool hint_scores;
    int history; /* 1: the validation item, too */
};
#define SOURCE_OPTIONS_INIT                                                                        \
    {                                                                                              \
        .k = 10                                                                                    \
    }
#define SOURCE_OPTION_ROWS(o)                                                                      \
    {"backbone", 0, OPT_TEXT, &(o).backbone, "NAME|FILE",                                          \
     "what proposes candidates: pop|mf|itemknn|ease|lightgcn, or a file of 'recrank fit'; to rank "  \
     "and evaluate also likelihood: the model itself [mf]",                                                          \
     0, 0, false},                                                                                 \
    {"candidates", 0, OPT_TEXT, &(o).lists, "FILE",                                                \
     "import candidates and scores (TSV, TREC run, JSONL) instead of a backbone's", 0, 0, false},  \
    {"k", 'k', OPT_INT, &(o).k, "K", "candidates per user", 1, RR_MAX_CANDIDATES, false},          \
    {"hint-scores", 0, OPT_FLAG, &(o).hint_scores, NULL,                                           \
     "with --candidates: the scores are predicted ratings, show them as hints", 0, 0, false},      \
    {"history", 0, OPT_CHOICE, &(o).history, "train|train+valid",                                  \
     "what is shown of a user: with the validation item, it is no candidate [train]", 0, 0, false}
/* clang-format on */

/* For a command that also works without --data, when there is none: refuses the options that are
 * about data. -1: none was given. */
int data_unused(const struct command *c, const struct option *opts, size_t n_opts);

/* --backbone likelihood. */
bool source_retrieves(const struct source_options *o);

struct opened_data {
    struct rr_dataset dataset;
    struct rr_split split;
    struct rr_backbone backbone;
    struct rr_lists lists;
    struct rr_rating_model hints;
    struct rr_source source;
    char name[160]; /* of where candidates come from, with its settings */
};

/* Reads and splits; in lenient mode the number of bad lines goes to stderr. Returns -1, or the
 * exit code after a message. */
int data_open(struct opened_data *d, const struct command *c, const struct data_options *o);
/* What can be refused before any file is read: -1, or an exit code after a message. */
int source_check(const struct command *c, const struct source_options *o);
/* Then: the backbone (trained with a progress bar, or loaded) or the imported lists, and with hints
 * the rating model. */
int data_source(struct opened_data *d, const struct source_options *o,
                const struct data_options *data, bool hints);
void data_close(struct opened_data *d);

/* Trains one of the named backbones with progress. */
int data_fit(struct rr_backbone *b, enum rr_backbone_kind kind, const struct rr_split *split,
             const struct rr_fit_options *o);
/* A table of what was left out of the data and why, for people. */
void data_print_dropped(FILE *f, const struct rr_dataset *d);
/* The exit code that follows from too many bad lines: 65 after a message, else 0. */
int data_verdict(const struct rr_dataset *d);

#endif
