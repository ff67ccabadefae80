/* How questions are put: the options that rank, evaluate, prompt and instruct share. */
#ifndef TOOLS_ASKING_H
#define TOOLS_ASKING_H

#include "rec/rank/ranker.h"
#include "tools/data.h"

struct asking {
    bool no_hint, no_shift;
    int history_order; /* 0: chronological, 1: shuffled */
    long long history, disliked;
    const char *files[RR_N_TASKS];
    struct rr_template templates[RR_N_TASKS];
    /* Not for instruct. */
    int answers; /* 0: from logits, 1: generated */
    int cache;   /* enum rr_cache_type */
    long long context, pair_rounds, lists, titles;
    bool per_token;
    int chat_option; /* --chat */
    enum rr_chat chat;
};
#define ASKING_INIT                                                                                \
    {                                                                                              \
        .disliked = 10, .pair_rounds = 1, .lists = 1                                               \
    }
/* clang-format off */
#define WORDING_OPTION_ROWS(o)                                                                     \
    {"no-hint", 0, OPT_FLAG, &(o).no_hint, NULL,                                                   \
     "leave the recommender's opinion out of the questions", 0, 0, false},                         \
    {"no-shift", 0, OPT_FLAG, &(o).no_shift, NULL,                                                 \
     "no position shifting: pairs in one order, lists in retrieval order", 0, 0, false},           \
    {"history-order", 0, OPT_CHOICE, &(o).history_order, "chronological|shuffled",                 \
     "order of the history shown [chronological]", 0, 0, false},                                   \
    {"max-history", 0, OPT_INT, &(o).history, "N",                                                     \
     "newest rated (pointwise) or liked titles shown, 0: as the model was tuned, else 50", 0,     \
     100000, false},                                                                               \
    {"disliked", 0, OPT_INT, &(o).disliked, "N", "newest disliked titles shown", 1, 100000, false},\
    {"template-pointwise", 0, OPT_TEXT, &(o).files[RR_POINTWISE], "FILE",                          \
     "wording of the pointwise question (see: recrank prompt --help)", 0, 0, false},               \
    {"template-pairwise", 0, OPT_TEXT, &(o).files[RR_PAIRWISE], "FILE",                            \
     "wording of the pairwise question", 0, 0, false},                                             \
    {"template-listwise", 0, OPT_TEXT, &(o).files[RR_LISTWISE], "FILE",                            \
     "wording of the listwise question", 0, 0, false}
#define ASKING_OPTION_ROWS(o)                                                                      \
    WORDING_OPTION_ROWS(o),                                                                        \
    {"context", 0, OPT_INT, &(o).context, "N",                                                     \
     "longest prompt with answer in tokens, 0: the model's own, at least 1024; the oldest history "\
     "is cut", 0, 1 << 22, false},                                                                 \
    {"pair-rounds", 0, OPT_INT, &(o).pair_rounds, "R", "random pairings asked", 1,                 \
     RR_MAX_PAIR_ROUNDS, false},                                                                   \
    {"lists", 0, OPT_INT, &(o).lists, "S", "lists asked, each shuffled anew, averaged", 1,         \
     RR_MAX_LISTS, false},                                                                         \
    {"titles", 0, OPT_INT, &(o).titles, "N",                                                       \
     "newest liked titles that likelihood is asked behind, 0: as the model was trained, else 20", \
     0, 100000, false},                                                                            \
    {"per-token", 0, OPT_FLAG, &(o).per_token, NULL,                                               \
     "likelihood: the mean over a title's tokens, not their sum", 0, 0, false},                    \
    {"answers", 0, OPT_CHOICE, &(o).answers, "logits|generate",                                    \
     "read probabilities, or let the model write and read that, as the original does [logits]",    \
     0, 0, false}
/* Where the model is asked, not only the prompts are made. */
#define CACHE_OPTION_ROW(o)                                                                        \
    {"cache", 0, OPT_CHOICE, &(o).cache, RR_CACHE_NAMES,                                           \
     "what keys and values are stored as: f16 half, q8_0 three tenths of the memory [f32]",        \
     0, 0, false}
/* clang-format on */

/* Loads the template files, or the compiled wordings. Returns -1, or an exit code after a message.
 */
int asking_open(struct asking *a);
void asking_close(struct asking *a);
/* Finds the chat template that --chat means (tool_chat). -1, or an exit code after a message. */
int asking_chat(struct asking *a, const struct rr_weights *w, const char *path,
                const char *tokenizer);
/* Takes what a model was taught to be asked with, where no option says otherwise. -1, or an exit
 * code after a message. */
int asking_recipe(struct asking *a, const struct rr_weights *w);

/* data_source, and `--backbone likelihood`: candidates that the model itself retrieves, for one
 * user (user >= 0) or all. -1, or an exit code after a message. */
int asking_source(const struct asking *a, struct opened_data *d, const struct source_options *o,
                  const struct data_options *data, struct loaded *l, int user);

/* Refuses options that have no effect on the tasks asked (RR_ASK bits). -1, or the exit code. */
int asking_check(const struct command *c, const struct asking *a, unsigned tasks,
                 const struct option *opts, size_t n_opts);

/* The style for a data set (NULL: movies rated 1 to 5). */
struct rr_prompt_style asking_style(const struct asking *a, const struct rr_dataset *d,
                                    long long seed);
struct rr_ranker_options asking_ranker(const struct asking *a, const struct rr_dataset *d,
                                       long long seed, unsigned tasks);
/* Everything above as text, for identities and reports. */
void asking_describe(struct rr_buf *out, const struct rr_ranker_options *o);

#endif
