/* recrank tune: a model learns to answer instructions, in full or as a LoRA adapter. */
#include <math.h>
#include <string.h>
#include "engine/base/check.h"
#include "engine/base/file.h"
#include "engine/base/sha256.h"
#include "rec/learn/tune.h"
#include "rec/rank/recipe.h"
#include "tools/asking.h"
#include "tools/training.h"
#include "weights/adapter.h"

struct settings {
    struct data_options data;
    struct source_options source;
    struct asking asking;
    struct model_options model;
    struct training_options training;
    const char *output, *instructions, *lora;
    long long users;
    bool rehearse;
    int rank, alpha, dropout_percent, rslora;
    unsigned modules;
    bool adapter; /* the output is a folder with an adapter */
};

/* What a tuning works on. */
struct tuning {
    const struct settings *s;
    const char *base;
    struct loaded l;
    struct opened_data d; /* with --data */
    struct rr_instructions in;
    struct rr_corpus corpus; /* with --rehearse */
    struct rr_lm lm;
    struct rr_ranker_options ranker;
    struct rr_vocab vocab; /* as it is written, for a model */
    struct rr_error err;
};

/* "modules=q,v" stands last in --lora, since it has commas itself. */
static bool parse_lora(struct settings *s)
{
    const struct training_part parts[] = {{"r=", &s->rank, 1, 4096},
                                          {"alpha=", &s->alpha, 1, 1 << 20},
                                          {"dropout=", &s->dropout_percent, 0, 90},
                                          {"rslora=", &s->rslora, 0, 1}};
    const char *names = strstr(s->lora, "modules=");
    char head[200];
    size_t n = names ? (size_t)(names - s->lora) : strlen(s->lora);
    if (names && n && s->lora[n - 1] == ',')
        n--;
    if (n >= sizeof head)
        return false;
    memcpy(head, s->lora, n);
    head[n] = 0;
    for (const char *p = names ? names + strlen("modules=") : NULL; p && *p;) {
        const char *comma = strchr(p, ',');
        const size_t len = comma ? (size_t)(comma - p) : strlen(p);
        int m = 0;
        while (m < RR_LM_N && (strlen(rr_lm_matrix_name((enum rr_lm_matrix)m)) != len ||
                               memcmp(rr_lm_matrix_name((enum rr_lm_matrix)m), p, len) != 0))
            m++;
        if (m == RR_LM_N)
            return false;
        if (s->modules >> m & 1)
            return false;
        s->modules |= 1u << m;
        p = comma ? comma + 1 : NULL;
    }
    if (!s->modules)
        s->modules = 1u << RR_LM_Q | 1u << RR_LM_V;
    return (!names || strlen(names) > strlen("modules=")) &&
           (names && !n ? true : training_parse_parts(head, parts, COUNT(parts)));
}

static struct rr_lm_options lm_options(const struct settings *s)
{
    if (!s->lora)
        return (struct rr_lm_options){.dropout = s->training.dropout};
    return (struct rr_lm_options){.dropout = s->training.dropout,
                                  .rank = s->rank,
                                  .alpha = s->alpha,
                                  .lora_dropout = s->dropout_percent / 100.0,
                                  .rank_stabilised = s->rslora == 1,
                                  .modules = s->modules};
}

static int hash_file(char hex[65], const char *path, struct rr_error *err)
{
    struct rr_map map;
    struct rr_sha256 sum;
    int rc = rr_map_open(&map, path, err);
    if (rc)
        return rc;
    rr_sha256_init(&sum);
    rr_sha256_add(&sum, map.data, map.size);
    rr_sha256_hex(&sum, hex);
    rr_map_close(&map);
    return RR_OK;
}

/* Everything the weights depend on, in one line. */
static int describe(struct rr_buf *out, struct tuning *t)
{
    const struct settings *s = t->s;
    char model[65], tokens[65], file[65];
    int rc = hash_file(file, s->instructions, &t->err);
    if (rc)
        return rc;
    rr_weights_fingerprint(&t->l.weights, model);
    rr_tokenizer_fingerprint(t->l.weights.tokenizer, tokens);
    rr_buf_printf(out, "tune %s, tokenizer %s, on %s; lora %s; ", model, tokens, file,
                  s->lora ? s->lora : "none");
    training_describe(out, &s->training);
    rr_buf_printf(out, "; seed %lld; cpu %s", s->data.seed,
                  rr_cpu_level_name(t->l.engine.kernels.level));
    if (s->rehearse)
        rr_buf_printf(out, "; corpus %s, %s, split %d", t->d.dataset.fingerprint,
                      t->d.dataset.settings, (int)t->d.split.order);
    return out->failed ? rr_fail_memory(&t->err, "options", out->n) : RR_OK;
}

/* The output: an adapter, or the model with it merged, with the wordings it was taught. */
static int write_output(struct tuning *t)
{
    const struct settings *s = t->s;
    if (s->adapter)
        return rr_adapter_write(s->output, &t->lm, t->base, &t->err);
    struct rr_lm merged;
    struct rr_note notes[RR_RECIPE_NOTES];
    struct rr_recipe_text numbers;
    const char *texts[RR_N_TASKS];
    for (int k = 0; k < RR_N_TASKS; k++)
        texts[k] = s->asking.templates[k].text;
    const size_t n = rr_recipe_notes(notes, &numbers, texts, &t->ranker);
    int rc = rr_lm_merged(&merged, &t->lm, &t->err);
    if (rc)
        return rc;
    rc = rr_lm_interleave(&merged, &t->err);
    if (!rc)
        rc = training_write(s->output, &merged, &t->vocab, notes, n, &t->err);
    rr_lm_free(&merged);
    return rc;
}

static int run_training(struct tuning *t)
{
    const struct settings *s = t->s;
    struct training shown = {.of = "validation answer"};
    struct rr_train_options o;
    struct rr_train_report r = {0};
    struct rr_buf identity = {0}, checkpoint = {0};
    int rc = describe(&identity, t);
    training_fill(&o, &shown, &s->training, s->data.seed);
    shown.engine = &t->l.engine;
    shown.lm = &t->lm;
    shown.tokenizer = t->l.weights.tokenizer;
    shown.source = s->data.dir ? &t->d.source : NULL;
    shown.ranker = &t->ranker;
    shown.n_users = (int)s->users;
    rr_buf_printf(&checkpoint, "%s.checkpoint", s->output);
    o.checkpoint = rr_path_is_special(s->output) ? NULL : checkpoint.data;
    o.identity = identity.data;
    o.judge_start = true;
    if (!s->training.json)
        fprintf(stderr, "%zu instructions, %zu of them to validate on; %zu numbers to train\n",
                t->in.n, t->in.n_valid, t->lm.n_values);
    progress_start(&shown.progress, "tuning");
    if (!rc)
        rc = checkpoint.failed ? rr_fail_memory(&t->err, "file name", checkpoint.n)
                               : rr_tune(&r, &t->lm, &t->l.engine, &t->in,
                                         s->rehearse ? &t->corpus : NULL, &o, &t->err);
    progress_end(&shown.progress);
    if (shown.failure.status) {
        t->err = shown.failure;
        rc = shown.failure.status;
    }
    if (!rc)
        rc = write_output(t);
    if (!rc && o.checkpoint)
        remove(o.checkpoint);
    if (!rc && !s->training.json && isnan(r.best_loss))
        printf("%s: the last pass, %lld steps, %lld tokens\n", s->output, r.steps, r.tokens);
    else if (!rc && !s->training.json)
        printf("%s: pass %d, %.4f per validation answer, %lld steps, %lld tokens\n", s->output,
               r.best_pass, r.best_loss, r.steps, r.tokens);
    rr_buf_free(&identity);
    rr_buf_free(&checkpoint);
    return rc;
}

static int tune(struct tuning *t)
{
    const struct settings *s = t->s;
    const struct rr_weights *w = &t->l.weights;
    const struct rr_lm_options lo = lm_options(s);
    t->ranker =
        asking_ranker(&s->asking, s->data.dir ? &t->d.dataset : NULL, s->data.seed, RR_ASK_ALL);
    struct rr_model model = w->model;
    if (s->asking.context)
        model.h.n_context = (int)s->asking.context;
    int rc = rr_instructions_read(&t->in, s->instructions, w->tokenizer, model.h.n_context,
                                  (uint64_t)s->data.seed, &t->err);
    if (!rc && !s->adapter && model.h.rope.scaling == RR_ROPE_LLAMA3)
        rc = rr_fail(
            &t->err, RR_ERR_USAGE, "UNSUPPORTED", RR_AT_FILE(t->base),
            "its rotary scaling (llama3) cannot be written as GGUF: train an adapter (--lora, "
            "and a folder as output)");
    if (!rc && !s->adapter)
        rc = tool_gguf_vocab(&t->vocab, &t->l, t->base, &t->err);
    if (!rc && s->rehearse)
        rc = rr_corpus_make(&t->corpus, &t->d.split, w->tokenizer, 30, &t->err);
    if (!rc)
        rc = rr_lm_from_model(&t->lm, &t->l.engine.kernels, &model, &lo, (uint64_t)s->data.seed,
                              &t->err);
    if (!rc)
        rc = run_training(t);
    rr_lm_free(&t->lm);
    rr_corpus_free(&t->corpus);
    rr_instructions_free(&t->in);
    return rc ? tool_fail(&t->err) : tool_finish();
}

static int open_and_tune(struct settings *s, const struct command *c, const char *base)
{
    struct tuning t = {.s = s, .base = base};
    int rc = tool_load(&t.l, base, &s->model, true);
    if (rc >= 0)
        return rc;
    rc = asking_recipe(&s->asking, &t.l.weights);
    if (rc < 0 && !s->data.dir) {
        rc = tune(&t);
    } else if (rc < 0 && (rc = data_open(&t.d, c, &s->data)) < 0) {
        rc = data_verdict(&t.d.dataset);
        if (!rc)
            rc = data_source(&t.d, &s->source, &s->data, !s->asking.no_hint);
        if (rc < 0)
            rc = tune(&t);
        data_close(&t.d);
    }
    tool_unload(&t.l);
    return rc;
}

static int check(const struct command *c, struct settings *s, const struct option *opts, size_t n)
{
    static const char *const about_data[] = {"rehearse", "users"};
    static const char *const measured[] = {"answers", "pair-rounds", "lists",    "per-token",
                                           "no-hint", "no-shift",    "disliked", "history-order"};
    int rc;
    if (!s->output || !s->instructions)
        return args_misuse(c, "--instructions and --output are needed");
    if (s->lora && !parse_lora(s))
        return args_misuse(c,
                           "--lora is '%s'; expected r=8,alpha=16,dropout=5,rslora=1,"
                           "modules=q,k,v,o,gate,up,down or a part of it (dropout in percent)",
                           s->lora);
    for (size_t i = 0; i < COUNT(about_data) && !s->data.dir; i++)
        if (args_given(opts, n, about_data[i]))
            return args_misuse(c, "--%s has no effect without --data", about_data[i]);
    for (size_t i = 0; i < COUNT(measured) && !s->data.dir; i++)
        if (args_given(opts, n, measured[i]))
            return args_misuse(c, "--%s has no effect without --data", measured[i]);
    if ((!s->data.dir && (rc = data_unused(c, opts, n)) >= 0) ||
        (rc = asking_check(c, &s->asking, RR_ASK_ALL, opts, n)) >= 0)
        return rc;
    if (s->source.history)
        return args_misuse(c, "--history has no effect: what is measured are the validation items");
    const size_t len = strlen(s->output);
    s->adapter = s->lora && !(len > 5 && strcmp(s->output + len - 5, ".gguf") == 0);
    if (s->adapter && s->model.adapter)
        return args_misuse(c,
                           "an adapter of a model with --adapter would belong to neither: write a "
                           "FILE.gguf, or merge that one first");
    return source_check(c, &s->source);
}

static int run(const struct command *c, int argc, char **argv)
{
    struct settings s = {.data = DATA_OPTIONS_INIT,
                         .source = SOURCE_OPTIONS_INIT,
                         .asking = ASKING_INIT,
                         .rank = 8,
                         .alpha = 16,
                         .users = 200,
                         .training = {.passes = 3, .rows = 4096, .warmup = 50, .rate = 0}};
    struct option opts[] = {
        {"instructions", 0, OPT_TEXT, &s.instructions, "FILE.jsonl",
         "what to learn: the file of 'recrank instruct', or any in its dialects", 0, 0, false},
        {"output", 'o', OPT_TEXT, &s.output, "FILE.gguf|DIR",
         "the tuned model; with --lora, a name without .gguf is a folder for the adapter", 0, 0,
         false},
        {"lora", 0, OPT_TEXT, &s.lora, "r=8,alpha=16,modules=q,v",
         "train an adapter and leave the weights; any part of it, modules last", 0, 0, false},
        {"rehearse", 0, OPT_FLAG, &s.rehearse, NULL,
         "with --data: go on learning its titles and likes, too", 0, 0, false},
        {"users", 0, OPT_INT, &s.users, "N",
         "with --data: rank validation items of N users after every pass, 0: of all", 0, 1e9,
         false},
        TRAINING_OPTION_ROWS(s.training, "passes over the instructions",
                             "peak learning rate, 0: 0.0005, with --lora 0.001"),
        DATA_OPTION_ROWS(s.data),
        SOURCE_OPTION_ROWS(s.source),
        ASKING_OPTION_ROWS(s.asking),
        MODEL_OPTION_ROWS(s.model),
    };
    struct args a;
    struct rr_error err = {0};
    int rc = args_parse(&a, c, opts, COUNT(opts), argc, argv);
    if (rc >= 0 || (rc = check(c, &s, opts, COUNT(opts))) >= 0 ||
        (rc = asking_open(&s.asking)) >= 0)
        return rc;
    if (s.training.rate <= 0)
        s.training.rate = s.lora ? 1e-3 : 5e-4;
    tool_catch_interrupt();
    const bool made = s.adapter && !rr_path_exists(s.output);
    rc = s.adapter ? rr_adapter_check(s.output, &err) : rr_out_check(s.output, &err);
    rc = rc ? tool_fail(&err) : open_and_tune(&s, c, a.positional[0]);
    if (rc && made)
        remove(s.output); /* unless there is something in it by now */
    asking_close(&s.asking);
    return rc;
}

const struct command cmd_tune = {
    .name = "tune",
    .synopsis = "MODEL --instructions FILE.jsonl -o OUT [--lora r=8,alpha=16,modules=q,v]",
    .summary = "teach a model to answer instructions",
    .examples = "  recrank tune base.gguf --instructions ins/recranker.jsonl -o tuned.gguf\n"
                "  recrank tune llama-folder --lora r=8,alpha=16,modules=q,v --instructions "
                "ins/recranker.jsonl -o adapter/\n",
    .notes = "The loss is that of the answers. One user of twenty validates, and the pass with the "
             "least validation loss is kept (pass 0: the\nmodel as it came). With --lora and a "
             "folder, adapter_config.json and adapter_model.safetensors are written, as PEFT reads "
             "them.\nA run that is stopped or killed goes on where it was (OUT.checkpoint) and "
             "ends in the same bytes.\n",
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
