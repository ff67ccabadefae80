/* What pretrain, tune and learn share: their options of a training, what they show while it runs,
 * and the model they write. */
#ifndef TOOLS_TRAINING_H
#define TOOLS_TRAINING_H

#include "rec/eval/measure.h"
#include "rec/learn/trainer.h"
#include "tools/data.h"
#include "weights/write.h"

struct training_options {
    long long passes, rows, warmup;
    double rate, decay, dropout;
    bool json;
};
/* clang-format off */
#define TRAINING_OPTION_ROWS(o, passes_are, rate_is)                                                                    \
    {"passes", 0, OPT_INT, &(o).passes, "N", passes_are, 1, 100000, false},     \
    {"rows", 0, OPT_INT, &(o).rows, "N", "tokens of a step", 64, 1 << 20, false},                  \
    {"rate", 0, OPT_REAL, &(o).rate, "R", rate_is, 1e-9, 10, false},                  \
    {"warmup", 0, OPT_INT, &(o).warmup, "N", "steps until the peak", 1, 1e6, false},               \
    {"decay", 0, OPT_REAL, &(o).decay, "R", "weight decay, 0: none", 0, 10, false},                \
    {"dropout", 0, OPT_REAL, &(o).dropout, "R", "dropout", 0, 0.9, false},                         \
    {"json", 0, OPT_FLAG, &(o).json, NULL, "a line of JSON per pass on stdout", 0, 0, false}
/* clang-format on */

/* A training as the user sees it: a bar, a line per pass, and with `measure` how the network as it
 * is then ranks validation items. */
struct training {
    struct progress progress;
    bool json;
    const char *of; /* what a validation loss is the mean over */
    struct rr_engine *engine;
    struct rr_lm *lm;
    const struct rr_tokenizer *tokenizer;
    const struct rr_source *source; /* NULL: nothing is measured */
    const struct rr_ranker_options *ranker;
    int n_users;
    struct rr_error failure; /* of measuring */
};
void training_fill(struct rr_train_options *o, struct training *t,
                   const struct training_options *from, long long seed);
/* Appends the options to a run's identity. */
void training_describe(struct rr_buf *out, const struct training_options *o);

/* "r=8,alpha=16,..." or "dim=64,...": sets the values named, each a whole number from its
 * least to its most; false: something else stands there. text NULL: nothing. */
struct training_part {
    const char *name; /* with its "=" */
    int *value, least, most;
};
bool training_parse_parts(const char *text, const struct training_part *parts, size_t n);

/* Writes lm's weights, adapters not merged, as GGUF; its matrices as F32 or (training_write_as)
 * rounded to Q8_0. */
int training_write_as(const char *path, enum rr_type type, const struct rr_lm *lm,
                      const struct rr_vocab *v, const struct rr_note *notes, size_t n_notes,
                      struct rr_error *err);
int training_write(const char *path, const struct rr_lm *lm, const struct rr_vocab *v,
                   const struct rr_note *notes, size_t n_notes, struct rr_error *err);

#endif
