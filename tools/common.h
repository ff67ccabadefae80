/* What the subcommands share: errors to stderr, the engine and model options, and the commands
 * themselves. */
#ifndef TOOLS_COMMON_H
#define TOOLS_COMMON_H

#include "engine/engine.h"
#include "engine/session.h"
#include "tools/args.h"
#include "weights/adapter.h"
#include "weights/weights.h"

/* "recrank: error[...] ..." on stderr; returns the exit code of err->status. */
int tool_fail(const struct rr_error *err);
/* Flushes stdout; exit code 74 with a message when anything written there was lost, else 0. */
int tool_finish(void);
/* Whether everything written to stdout so far went through: loops ask, so that they end with their
 * reader. */
bool tool_wrote(void);

/* What every command that takes a model has. */
struct model_options {
    long long threads;
    const char *cpu;
    const char *tokenizer, *adapter;
    bool check_weights;
};
#define MODEL_OPTIONS_INIT                                                                         \
    {                                                                                              \
        .threads = 0                                                                               \
    }
/* Entries for an option table. */
#define ENGINE_OPTION_ROWS(o)                                                                      \
    {"threads", 't', OPT_INT, &(o).threads, "N", "threads, 0: as many as this process may use",    \
     0,         64,  false},                                                                       \
    {                                                                                              \
        "cpu", 0, OPT_TEXT, &(o).cpu, "LEVEL",                                                     \
            "use no instructions above this level: " RR_CPU_LEVEL_NAMES, 0, 0, false               \
    }
#define MODEL_OPTION_ROWS(o)                                                                       \
    {"tokenizer", 0,                                                                               \
     OPT_TEXT,    &(o).tokenizer,                                                                  \
     "FILE",      "tokenizer.model or llama2.c tokenizer, for models without one",                 \
     0,           0,                                                                               \
     false},                                                                                       \
        {"adapter",                                                                                \
         0,                                                                                        \
         OPT_TEXT,                                                                                 \
         &(o).adapter,                                                                             \
         "PATH[:WEIGHT],...",                                                                      \
         "LoRA adapters (PEFT's folders, GGUF files) to merge into the model",                     \
         0,                                                                                        \
         0,                                                                                        \
         false},                                                                                   \
        {"check-weights",                                                                          \
         0,                                                                                        \
         OPT_FLAG,                                                                                 \
         &(o).check_weights,                                                                       \
         NULL,                                                                                     \
         "read all weights first, and refuse damaged ones by tensor and block",                    \
         0,                                                                                        \
         0,                                                                                        \
         false},                                                                                   \
        ENGINE_OPTION_ROWS(o)

/* --chat: an int, 0: not given. */
#define CHAT_OPTION_ROW(o)                                                                         \
    {                                                                                              \
        "chat", 0, OPT_MAYBE, &(o), "auto|" RR_CHAT_NAMES,                                         \
            "put it as a chat: by the template that comes with the model, or by the one named", 0, \
            0, false                                                                               \
    }
/* The template that the option means for a model (w may be NULL) or a tokenizer at path, and
 * --tokenizer (NULL: none). -1, or an exit code after a message. */
int tool_chat(enum rr_chat *chat, int option, const struct rr_weights *w, const char *path,
              const char *tokenizer);

struct loaded {
    struct rr_engine engine;
    struct rr_weights weights;
};

/* Opens the engine and the model. Returns -1, or the exit code after a message. need_tokenizer:
 * refuse a model without. */
int tool_load(struct loaded *l, const char *path, const struct model_options *o,
              bool need_tokenizer);
void tool_unload(struct loaded *l);
/* Adds adapters, "PATH[:WEIGHT],...", to the loaded model, and says so on stderr; by_module: on
 * stdout how much each kind of module was changed. */
/* The tokenizer's vocabulary as GGUF files have it, for writing: merges listed, or told as scores.
 * RR_ERR_USAGE "UNSUPPORTED"; path is for errors. It lives as long as l. */
int tool_gguf_vocab(struct rr_vocab *v, struct loaded *l, const char *path, struct rr_error *err);
int tool_merge_adapters(struct loaded *l, const char *list, bool by_module, struct rr_error *err);

/* A progress bar on stderr when that is a terminal; nothing otherwise. */
struct progress {
    const char *what;
    double started;
    bool on;
    int last_permille;
};
void progress_start(struct progress *p, const char *what);
void progress_step(struct progress *p, long long done, long long total);
void progress_end(struct progress *p);
double tool_seconds(void); /* monotonic */

/* Set by SIGINT once tool_catch_interrupt was called. */
void tool_catch_interrupt(void);
/* rr_out_commit, unless an interrupt came since tool_catch_interrupt: then the file is dropped. */
int tool_commit(struct rr_out *out, struct rr_error *err);
/* Back to ending at once. */
void tool_release_interrupt(void);
bool tool_interrupted(void);

/* What the program was called as, for commands that are printed to be copied. */
extern const char *tool_program;

extern const struct command cmd_inspect, cmd_tokenize, cmd_logits, cmd_generate, cmd_score,
    cmd_split, cmd_rank, cmd_evaluate, cmd_data, cmd_fit, cmd_candidates, cmd_prompt, cmd_instruct,
    cmd_audit, cmd_vocab, cmd_pretrain, cmd_tune, cmd_learn, cmd_demo, cmd_bench, cmd_convert,
    cmd_merge, cmd_quantize, cmd_perplexity, cmd_compare;

/* A text file's tokens, without BOS. */
int tool_tokens_of_file(struct rr_encoding *e, const struct rr_tokenizer *t, const char *path,
                        struct rr_error *err);

#endif
