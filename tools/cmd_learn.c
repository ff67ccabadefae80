/* recrank learn: from a user's data alone to a model that ranks. */
#include <math.h>
#include <string.h>
#include "engine/base/check.h"
#include "engine/base/file.h"
#include "engine/base/sha256.h"
#include "rec/learn/learn.h"
#include "rec/learn/tune.h"
#include "rec/learn/wording.h"
#include "rec/rank/recipe.h"
#include "tools/school.h"

struct settings {
    struct data_options data;
    struct source_options source;
    struct model_options engine;
    const char *output, *hints;
    struct school_options school;
    struct training_options training; /* of pretraining */
    long long draws, tune_passes, users;
    double tune_rate;
    int type, kind;
    bool in_sample, uniform, no_hint, no_shift, no_pretraining;
};

/* What a run of learn works on. */
struct learning {
    const struct settings *s;
    struct training_options training; /* of pretraining, passes filled in */
    struct opened_data *d;
    struct school school;
    struct rr_template templates[RR_N_TASKS];
    struct rr_instructions in;
    struct rr_ranker_options ranker;
    struct rr_buf identity;
    struct rr_buf base, base_checkpoint, checkpoint; /* paths: the pretrained network, and the
                                                        checkpoints of both halves */
    struct rr_error err;
};

static int on_fold(void *arg, long long done, long long total)
{
    progress_step(arg, done, total);
    return tool_interrupted();
}

/* ---- the two halves -----------------------------------------------------------------------------
 */

/* Whether the file of a base is one of this very run, which was stopped after pretraining; then it
 * is the network. */
static int load_base(struct learning *l, bool *loaded)
{
    struct rr_weights w;
    const struct rr_lm_options lo = {.dropout = l->s->training.dropout};
    *loaded = false;
    if (!rr_path_exists(l->base.data))
        return RR_OK;
    int rc = rr_weights_open(&w, l->base.data, NULL, &l->err);
    if (rc)
        return rc;
    const char *run = rr_weights_note(&w, "run");
    if (!run || strcmp(run, l->identity.data) != 0) {
        rc = rr_fail(&l->err, RR_ERR_DATA, "CHECKPOINT", RR_AT_FILE(l->base.data),
                     "it is of a training with other options or data; remove it to begin anew");
    } else {
        rr_lm_free(&l->school.lm);
        rc = rr_lm_from_model(&l->school.lm, &l->school.engine.kernels, &w.model, &lo,
                              (uint64_t)l->s->data.seed, &l->err);
        *loaded = !rc;
        remove(l->base_checkpoint.data); /* it has served */
    }
    rr_weights_close(&w);
    return rc;
}

/* The pretrained network, from its file in any case: a resumed run sees the same bits. */
static int learn_base(struct learning *l)
{
    const struct settings *s = l->s;
    struct rr_train_report r = {0};
    bool loaded;
    int rc = load_base(l, &loaded);
    if (rc || loaded)
        return rc;
    if (!s->no_pretraining)
        rc = school_pretrain(&l->school, &l->training, l->base_checkpoint.data, l->identity.data,
                             &r, &l->err);
    const struct rr_note run = {"run", l->identity.data};
    if (!rc)
        rc = training_write(l->base.data, &l->school.lm, &l->school.vocab, &run, 1, &l->err);
    if (!rc)
        rc = load_base(l, &loaded);
    return rc;
}

static int make_instructions(struct learning *l)
{
    const struct settings *s = l->s;
    struct rr_instruct_report report = {0};
    struct progress p;
    struct rr_backbone mf = {0};
    const struct rr_fit_options fo = {.seed = (uint64_t)s->data.seed, .last_epoch = true};
    struct rr_learn_options o = {.n_draws = (int)s->draws,
                                 .hints =
                                     (enum rr_backbone_kind)rr_backbone_kind_from_name(s->hints),
                                 .paper = s->kind == 1,
                                 .in_sample = s->in_sample,
                                 .uniform = s->uniform,
                                 .no_hints = s->no_hint,
                                 .no_shift = s->no_shift,
                                 .n_context = l->school.lm.h.n_context,
                                 .seed = (uint64_t)s->data.seed,
                                 .progress = on_fold,
                                 .progress_arg = &p};
    int rc = s->uniform ? RR_OK : rr_backbone_fit(&mf, RR_BACKBONE_MF, &l->d->split, &fo, &l->err);
    o.embeddings = mf.users;
    o.dim = mf.dim;
    progress_start(&p, "training the folds' models");
    if (!rc)
        rc = rr_learn_instructions(&l->in, &report, &l->d->split, l->school.tokenizer, l->templates,
                                   &o, &l->err);
    progress_end(&p);
    rr_backbone_free(&mf);
    if (!rc && !l->in.n) {
        rc = rr_fail(&l->err, RR_ERR_DATA, "NO_INSTRUCTIONS", RR_AT_FILE(s->data.dir),
                     "none of the %d users drawn (%d different ones) has enough likes to make an "
                     "instruction of",
                     report.sampling.n, report.sampling.n_distinct);
        remove(l->base.data); /* whatever is tried next, it is another run */
    }
    rr_sampling_free(&report.sampling);
    return rc;
}

static int learn_answers(struct learning *l)
{
    const struct settings *s = l->s;
    struct training shown = {.of = "validation sequence",
                             .engine = &l->school.engine,
                             .lm = &l->school.lm,
                             .tokenizer = l->school.tokenizer,
                             .source = &l->d->source,
                             .ranker = &l->ranker,
                             .n_users = (int)s->users};
    struct training_options to = l->training;
    struct rr_train_options o;
    struct rr_train_report r = {0};
    to.passes = s->tune_passes;
    to.rate = s->tune_rate;
    training_fill(&o, &shown, &to, s->data.seed);
    o.checkpoint = l->checkpoint.data;
    o.identity = l->identity.data;
    if (!s->training.json)
        fprintf(stderr, "%zu instructions, %zu of them to validate on\n", l->in.n, l->in.n_valid);
    progress_start(&shown.progress, "tuning");
    int rc = rr_tune(&r, &l->school.lm, &l->school.engine, &l->in, &l->school.corpus, &o, &l->err);
    progress_end(&shown.progress);
    if (shown.failure.status) {
        l->err = shown.failure;
        rc = shown.failure.status;
    }
    return rc;
}

/* ---- the whole ----------------------------------------------------------------------------------
 */

static int parse_wordings(struct learning *l)
{
    int rc = RR_OK;
    for (int t = 0; t < RR_N_TASKS && !rc; t++) {
        const char *text = rr_learn_wording((enum rr_task)t);
        rc = rr_template_parse(&l->templates[t], (enum rr_task)t, text, strlen(text),
                               "compiled wording", &l->err);
    }
    l->ranker = (struct rr_ranker_options){
        .tasks = RR_ASK_ALL,
        .n_titles = RR_LEARN_TITLES,
        .style = rr_learn_style(&l->d->dataset, l->templates, (uint64_t)l->s->data.seed)};
    l->ranker.style.no_hints = l->s->no_hint;
    l->ranker.style.no_shift = l->s->no_shift;
    return rc;
}

static int describe(struct learning *l)
{
    const struct settings *s = l->s;
    struct rr_buf text = {0};
    struct rr_sha256 sum;
    char hex[65];
    rr_buf_puts(&text, "learn; ");
    school_describe(&text, &l->school, &l->training);
    rr_buf_printf(&text,
                  "; %lld draws, %lld passes, rate %g, hints %s, kind %d, options %d%d%d%d%d",
                  s->draws, s->tune_passes, s->tune_rate, s->hints, s->kind, s->in_sample,
                  s->uniform, s->no_hint, s->no_shift, s->no_pretraining);
    rr_sha256_init(&sum);
    rr_sha256_add(&sum, text.data, text.n);
    rr_sha256_hex(&sum, hex);
    rr_buf_puts(&l->identity, hex);
    rr_buf_printf(&l->checkpoint, "%s.checkpoint", s->output);
    rr_buf_printf(&l->base, "%s.base", s->output);
    rr_buf_printf(&l->base_checkpoint, "%s.base.checkpoint", s->output);
    const bool failed = text.failed || l->identity.failed || l->checkpoint.failed ||
                        l->base.failed || l->base_checkpoint.failed;
    rr_buf_free(&text);
    return failed ? rr_fail_memory(&l->err, "options", 0) : RR_OK;
}

static int write_model(struct learning *l)
{
    struct rr_note notes[RR_RECIPE_NOTES];
    struct rr_recipe_text text = {0};
    const char *wordings[RR_N_TASKS];
    for (int t = 0; t < RR_N_TASKS; t++)
        wordings[t] = rr_learn_wording((enum rr_task)t);
    const size_t n = rr_recipe_notes(notes, &text, wordings, &l->ranker);
    int rc = training_write_as(l->s->output, l->s->type ? RR_TYPE_Q8_0 : RR_TYPE_F32, &l->school.lm,
                               &l->school.vocab, notes, n, &l->err);
    if (!rc) {
        rr_out_forget(l->s->output);
        rr_out_forget(l->base.data);
        remove(l->checkpoint.data);
        remove(l->base.data);
    }
    return rc;
}

/* Small data are read often, large ones need not be: about as many tokens for all. */
static long long choose_passes(const struct learning *l)
{
    enum { TOKENS = 20000000, FEWEST = 8, MOST = 60 };
    const long long rows =
        rr_max_int((int)l->s->training.rows, rr_corpus_longest(&l->school.corpus));
    const long long pass = rows * rr_corpus_batches(&l->school.corpus, (int)rows);
    const long long passes = TOKENS / pass;
    return passes < FEWEST ? FEWEST : passes > MOST ? MOST : passes;
}

/* Wherever a run was stopped, what to do is the same. */
static void say_how_to_go_on(struct rr_error *err)
{
    static const char words[] = "; the same command goes on from there";
    const size_t n = strlen(err->text);
    if (err->status == RR_ERR_INTERRUPTED && !strstr(err->text, words))
        snprintf(err->text + n, sizeof err->text - n, "%s", words);
}

static int learn(const struct settings *s, struct opened_data *d)
{
    struct learning l = {.s = s, .d = d, .training = s->training};
    const double start = tool_seconds();
    int rc = school_open(&l.school, &s->school, d, &s->engine, s->training.dropout, s->data.seed,
                         &l.err);
    if (!rc && !s->training.passes)
        l.training.passes = choose_passes(&l);
    if (!rc)
        rc = parse_wordings(&l);
    if (!rc)
        rc = describe(&l);
    if (!rc)
        rc = learn_base(&l);
    if (!rc)
        rc = make_instructions(&l);
    if (!rc)
        rc = learn_answers(&l);
    if (!rc)
        rc = write_model(&l);
    if (!rc && !s->training.json) {
        fprintf(stderr, "%.0f s; next: %s evaluate %s --data %s\n", tool_seconds() - start,
                tool_program, s->output, s->data.dir);
        printf("%s\n", s->output);
    }
    for (int t = 0; t < RR_N_TASKS; t++)
        rr_template_free(&l.templates[t]);
    rr_instructions_free(&l.in);
    rr_buf_free(&l.identity);
    rr_buf_free(&l.checkpoint);
    rr_buf_free(&l.base);
    rr_buf_free(&l.base_checkpoint);
    school_close(&l.school);
    say_how_to_go_on(&l.err);
    return rc ? tool_fail(&l.err) : tool_finish();
}

static int run(const struct command *c, int argc, char **argv)
{
    struct settings s = {
        .data = DATA_OPTIONS_INIT,
        .source = SOURCE_OPTIONS_INIT,
        .school = SCHOOL_OPTIONS_INIT,
        .hints = "mf",
        .tune_passes = 1,
        .tune_rate = 5e-4,
        .users = 200,
        .training = {.rows = 4096, .warmup = 100, .rate = 2e-3, .decay = 0.1, .dropout = 0.1}};
    /* A small shape: larger ones knew MovieLens-100K's users by heart (bench/README.md). */
    s.school.dim = 64;
    s.school.layers = 2;
    s.school.ff = 192;
    struct option opts[] = {
        {"output", 'o', OPT_TEXT, &s.output, "FILE", "where to write the GGUF model", 0, 0, false},
        {"type", 0, OPT_CHOICE, &s.type, "f32|q8_0", "of the weights in that file [f32]", 0, 0,
         false},
        {"draws", 0, OPT_INT, &s.draws, "N",
         "users drawn, each for an instruction per task, 0: 32 for each there is, at most 20000", 0,
         1e8, false},
        {"tune-passes", 0, OPT_INT, &s.tune_passes, "N", "passes over the instructions", 1, 1000,
         false},
        {"tune-rate", 0, OPT_REAL, &s.tune_rate, "R", "peak learning rate there", 1e-9, 10, false},
        {"hints", 0, OPT_TEXT, &s.hints, "NAME",
         "whose candidates and hints the instructions show: pop|mf|itemknn|ease|lightgcn", 0, 0,
         false},
        {"instructions", 0, OPT_CHOICE, &s.kind, "next|paper",
         "about the next liked title, or the paper's [next]", 0, 0, false},
        {"in-sample", 0, OPT_FLAG, &s.in_sample, NULL,
         "hints have seen the answers, as the original's: a leak, to measure it", 0, 0, false},
        {"uniform", 0, OPT_FLAG, &s.uniform, NULL, "no adaptive sampling of users", 0, 0, false},
        {"no-hint", 0, OPT_FLAG, &s.no_hint, NULL, "no hints in the instructions", 0, 0, false},
        {"no-shift", 0, OPT_FLAG, &s.no_shift, NULL, "no position shifting in them", 0, 0, false},
        {"no-pretraining", 0, OPT_FLAG, &s.no_pretraining, NULL,
         "tune a network that knows nothing", 0, 0, false},
        {"users", 0, OPT_INT, &s.users, "N",
         "rank validation items of N users after every pass, 0: of all", 0, 1e9, false},
        SCHOOL_OPTION_ROWS(s.school),
        TRAINING_OPTION_ROWS(s.training,
                             "of pretraining, 0: as many as make 20 million tokens, 8 to 60",
                             "peak learning rate of pretraining"),
        DATA_OPTION_ROWS(s.data),
        SOURCE_OPTION_ROWS(s.source),
        ENGINE_OPTION_ROWS(s.engine),
    };
    struct args a;
    struct opened_data d;
    struct rr_error err = {0};
    int rc = args_parse(&a, c, opts, COUNT(opts), argc, argv);
    if (rc >= 0)
        return rc;
    if (!s.output)
        return args_misuse(c, "--output is needed");
    if (rr_path_is_special(s.output))
        return args_misuse(c, "--output must be a file: the run keeps checkpoints beside it");
    if (rr_backbone_kind_from_name(s.hints) < 0)
        return args_misuse(c, "--hints is '%s'; expected pop|mf|itemknn|ease|lightgcn", s.hints);
    if ((rc = school_check(c, &s.school)) >= 0 || (rc = source_check(c, &s.source)) >= 0)
        return rc;
    if (s.type && (s.school.dim % 32 || s.school.ff % 32))
        return args_misuse(c,
                           "--type q8_0 rounds blocks of 32: dim and ff must be multiples of it");
    if (s.source.history)
        return args_misuse(c, "--history has no effect: what is measured are the validation items");
    if (s.no_pretraining &&
        (args_given(opts, COUNT(opts), "rate") || args_given(opts, COUNT(opts), "passes")))
        return args_misuse(c, "--rate and --passes are of pretraining: --tune-rate, --tune-passes");
    tool_catch_interrupt();
    if (rr_out_check(s.output, &err) != 0) /* before the work, not after it */
        return tool_fail(&err);
    if ((rc = data_open(&d, c, &s.data)) >= 0)
        return rc;
    rc = data_verdict(&d.dataset);
    if (!rc)
        rc = data_source(&d, &s.source, &s.data, !s.no_hint);
    if (rc < 0)
        rc = learn(&s, &d);
    data_close(&d);
    return rc;
}

const struct command cmd_learn = {
    .name = "learn",
    .synopsis = "--data PATH -o model.gguf [--seed S] [--shape dim=64,layers=2,...]",
    .summary = "make a model that ranks, from a data set alone",
    .examples =
        "  recrank learn --data ml-100k -o model.gguf --seed 1\n"
        "  recrank evaluate model.gguf --data ml-100k\n"
        "  recrank learn --data ml-100k -o quick.gguf --passes 3 --draws 1000   # a quick try: "
        "ranks worse\n",
    .notes = "A "
             "vocabulary is learned from the titles, a small LLaMA pretrained on what is liked "
             "after what, and tuned on instructions whose\nhints come from models that have not "
             "seen the answers, while it goes on reading. The wordings go into the file. A run "
             "that is\nstopped or killed goes on where it was (FILE.checkpoint, FILE.base) and "
             "ends in the same bytes.\n",
    .min_args = 0,
    .max_args = 0,
    .run = run,
};
