/* What the commands over a data set share: reading it, splitting it, training its backbone. */
#ifndef TOOLS_DATA_H
#define TOOLS_DATA_H

#include "rec/rank/user.h"
#include "tools/common.h"

struct data_options {
    const char *dir;
    int backbone; /* enum rr_backbone_kind */
    long long seed, candidates, history;
    bool no_hint;
};
#define DATA_OPTIONS_INIT                                                                          \
    {                                                                                              \
        .backbone = RR_BACKBONE_MF, .seed = 1, .candidates = 10, .history = 50                     \
    }
#define DATA_OPTION_ROWS(o)                                                                        \
    {"data", 0, OPT_TEXT, &(o).dir, "DIR", "folder of MovieLens-100K or -1M", 0, 0, false},        \
        {"backbone",                                                                               \
         0,                                                                                        \
         OPT_CHOICE,                                                                               \
         &(o).backbone,                                                                            \
         "pop|mf|itemknn|ease|lightgcn",                                                           \
         "where the candidates come from: pop, mf, itemknn, ease, lightgcn [mf]",                  \
         0,                                                                                        \
         0,                                                                                        \
         false},                                                                                   \
        {"candidates", 'k', OPT_INT, &(o).candidates, "K", "candidates per user", 1, 1000, false}, \
        {"history", 0,      OPT_INT, &(o).history, "N", "newest rated titles shown to the model",  \
         1,         100000, false},                                                                \
        {"no-hint", 0,                                                                             \
         OPT_FLAG,  &(o).no_hint,                                                                  \
         NULL,      "leave the recommender's predicted rating out of the question",                \
         0,         0,                                                                             \
         false},                                                                                   \
    {                                                                                              \
        "seed", 0, OPT_INT, &(o).seed, "S", "seed of everything random", 0, 9007199254740992.0,    \
            false                                                                                  \
    }

struct opened_data {
    struct rr_dataset dataset;
    struct rr_split split;
    struct rr_backbone backbone;
    struct rr_rating_model hints;
    struct rr_source source;
};

/* Opens, splits and trains, with progress. hints: also fits the rating model. Returns -1, or the
 * exit code after a message. */
int data_open(struct opened_data *d, const struct data_options *o, bool hints);
void data_close(struct opened_data *d);

#endif
