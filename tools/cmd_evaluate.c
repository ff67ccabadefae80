/* recrank evaluate: what a model's order is worth against the backbone's, on the test items. */
#include <math.h>
#include <string.h>
#include "engine/base/file.h"
#include "rec/eval/evaluate.h"
#include "tools/asking.h"

enum task { TASK_ALL, TASK_NONE };

struct settings {
    struct model_options model;
    struct data_options data;
    struct source_options source;
    struct asking asking;
    int task; /* 0: all, 1: none, 2..: a task */
    int protocol, count;
    long long users;
    const char *output, *journal, *per_user;
    char *journal_path; /* rr_free; NULL: none */
    bool json, ablate, fit_weights, no_ease, latency;
};

/* Everything an evaluation needs, opened. */
struct job {
    const struct settings *s;
    const char *model_path;
    struct loaded *l; /* NULL: no model is asked */
    struct opened_data *d;
    struct rr_backbone ease;
    bool has_ease;
    struct rr_rating_model official_hints;
    struct rr_variant variants[RR_MAX_VARIANTS];
    int n_variants;
    struct rr_ranker ranker;
    struct rr_buf options, identity; /* how questions are put; what the journal is of */
    char model_fingerprint[65];
};

static int on_progress(void *arg, long long done, long long total)
{
    progress_step(arg, done, total);
    return tool_interrupted();
}

/* ---- variants -----------------------------------------------------------------------------------
 */

static struct rr_variant *add_variant(struct job *j, const char *name, bool all_methods)
{
    struct rr_variant *v = &j->variants[j->n_variants++];
    const unsigned tasks = j->s->task >= 2 ? RR_ASK(j->s->task - 2) : RR_ASK_ALL;
    *v = (struct rr_variant){
        .name = name,
        .ranker = asking_ranker(&j->s->asking, &j->d->dataset, j->s->data.seed, tasks),
        .source = j->d->source,
        .all_methods = all_methods};
    return v;
}

/* The original's way (spec/method.md sections 4 and 5): see differences below. */
static int make_official(struct job *j, struct rr_variant *v)
{
    const struct rr_dataset *d = &j->d->dataset;
    struct rr_error err = {0};
    v->ranker.generate = true;
    v->ranker.tasks &= RR_ASK_QUESTIONS; /* the original has no likelihood */
    v->ranker.weights = rr_weights_paper;
    v->ranker.style.shuffle_history = true;
    v->ranker.style.plain_lists = true;
    if (j->s->asking.no_hint)
        return -1;
    if (rr_rating_fit(&j->official_hints, d, d->ratings, d->n_ratings, (uint64_t)j->s->data.seed,
                      &err))
        return tool_fail(&err);
    v->source.hints = &j->official_hints;
    v->source.observed_hints = true;
    return -1;
}

static const char differences[] =
    "\ndifferences of the protocols\n"
    "  part                clean                               official\n"
    "  pointwise hint      fitted on training ratings          fitted on all ratings; a rating "
    "that "
    "is known is shown, a test rating too\n"
    "  answers             read from the logits                written at temperature 0.1 and "
    "parsed; unreadable: middle of the scale, half, last\n"
    "  list candidates     shuffled                            in retrieval order\n"
    "  history             as --history-order says             shuffled\n"
    "  lists               a whole permutation                 five titles, the rest last\n"
    "Rows named clean:... are the clean protocol on the same users and candidates.\n";

static int make_variants(struct job *j)
{
    const bool shuffled = j->s->asking.history_order == 1;
    struct rr_variant *first = add_variant(j, "", true);
    int rc = -1;
    if (!j->l)
        return rc;
    if (j->s->protocol == 1) {
        rc = make_official(j, first);
        add_variant(j, "clean", true);
    }
    if (j->s->ablate) {
        if (!j->s->asking.no_hint)
            add_variant(j, "no-hint", false)->ranker.style.no_hints = true;
        if (!j->s->asking.no_shift)
            add_variant(j, "no-shift", false)->ranker.style.no_shift = true;
        add_variant(j, shuffled ? "history-chronological" : "history-shuffled", false)
            ->ranker.style.shuffle_history = !shuffled;
    }
    if (j->s->fit_weights && first->source.with_valid) {
        struct rr_variant *fit = add_variant(j, "fit", false);
        fit->ranker = first->ranker;
        fit->source = first->source;
        fit->source.with_valid = false;
        fit->fit_only = true;
    }
    return rc;
}

/* ---- identity -----------------------------------------------------------------------------------
 */

/* Everything a reply depends on, in one line. Threads are not among it. */
static int describe(struct job *j, struct rr_error *err)
{
    const struct opened_data *d = j->d;
    const struct rr_variant *v = &j->variants[0];
    char tokens[65];
    struct rr_buf *id = &j->identity;
    if (!j->l)
        return RR_OK;
    asking_describe(&j->options, &v->ranker);
    rr_weights_fingerprint(&j->l->weights, j->model_fingerprint);
    rr_tokenizer_fingerprint(j->l->weights.tokenizer, tokens);
    rr_buf_printf(id,
                  "recrank %s, model %.16s, tokenizer %.16s, cpu %s, context %d; data %.16s, %s, "
                  "split by %s, counted %s",
                  rr_version(), j->model_fingerprint, tokens,
                  rr_cpu_level_name(j->l->engine.kernels.level), j->ranker.o.n_context,
                  d->dataset.fingerprint, d->dataset.settings,
                  d->split.order == RR_SPLIT_BY_TIME ? "time" : "file",
                  d->split.count == RR_COUNT_SEQUENTIAL ? "sequential" : "direct");
    rr_buf_printf(
        id, "; candidates %lld of %s%s%s seed %llu; protocol %s%s%s%s%s; seed %lld; users %lld; ",
        j->s->source.k, d->name, d->backbone.settings[0] ? " " : "", d->backbone.settings,
        (unsigned long long)d->backbone.seed, j->s->protocol ? "official" : "clean",
        j->s->ablate ? ", ablated" : "", j->s->source.hint_scores ? ", scores as hints" : "",
        j->s->source.history ? ", validation items shown" : "",
        j->s->source.history && j->s->fit_weights ? ", fitted without them" : "", j->s->data.seed,
        j->s->users);
    rr_buf_add(id, j->options.data ? j->options.data : "", j->options.n);
    return id->failed || j->options.failed ? rr_fail_memory(err, "settings", id->n) : RR_OK;
}

/* ---- output -------------------------------------------------------------------------------------
 */

static int put(const char *path, const struct rr_buf *text, struct rr_error *err)
{
    struct rr_out out = {0};
    if (text->failed)
        return rr_fail_memory(err, "report", text->n);
    if (!path) {
        fwrite(text->data, 1, text->n, stdout);
        return RR_OK;
    }
    int rc = rr_out_open(&out, path, err);
    if (rc)
        return rc;
    fwrite(text->data, 1, text->n, out.f);
    return rr_out_commit(&out, err);
}

static int report(struct job *j, const struct rr_evaluation *e, double seconds,
                  struct rr_error *err)
{
    static const char *const tasks[] = {"all",      "none",     "pointwise",
                                        "pairwise", "listwise", "likelihood"};
    const struct settings *s = j->s;
    struct rr_buf text = {0};
    const struct rr_run run = {.split = &j->d->split,
                               .data = s->data.dir,
                               .model = j->l ? j->model_path : NULL,
                               .model_fingerprint = j->l ? j->model_fingerprint : NULL,
                               .task = tasks[s->task],
                               .protocol = s->protocol ? "official" : "clean",
                               .candidates = j->d->name,
                               .options = j->l ? j->options.data : NULL,
                               .with_valid = s->source.history == 1,
                               .seed = (uint64_t)s->data.seed,
                               .seconds = seconds,
                               .n_context = j->l ? j->ranker.o.n_context : 0,
                               .model_context = j->l ? j->l->weights.model.h.n_context : 0,
                               .latency = s->latency,
                               .clock = !s->journal_path};
    if (s->json)
        rr_evaluation_json(&text, e, &run);
    else
        rr_evaluation_text(&text, e, &run);
    if (s->protocol && !s->json)
        rr_buf_puts(&text, differences);
    int rc = put(s->output, &text, err);
    rr_buf_clear(&text);
    if (!rc && s->per_user) {
        rr_evaluation_tsv(&text, e, &run);
        rc = put(s->per_user, &text, err);
    }
    rr_buf_clear(&text);
    if (!rc && j->l) { /* not in the report: it must not depend on the clock */
        rr_evaluation_clock(&text, e, seconds);
        fputs(text.data ? text.data : "", stderr);
    }
    rr_buf_free(&text);
    return rc;
}

/* ---- the command --------------------------------------------------------------------------------
 */

static int evaluate(struct job *j)
{
    const struct settings *s = j->s;
    struct rr_error err = {0};
    struct rr_evaluation e = {0};
    struct progress p;
    int rc = make_variants(j);
    if (rc >= 0)
        return rc;
    rc = j->l ? rr_ranker_init(&j->ranker, &j->l->engine, &j->l->weights.model,
                               j->l->weights.tokenizer, &j->variants[0].ranker, &err)
              : RR_OK;
    if (!rc)
        rc = describe(j, &err);
    progress_start(&p, "ranking users");
    const struct rr_evaluate_options o = {.n_users = (int)s->users,
                                          .seed = (uint64_t)s->data.seed,
                                          .variants = j->variants,
                                          .n_variants = j->n_variants,
                                          .ease = j->has_ease ? &j->ease : NULL,
                                          .fit_weights = s->fit_weights,
                                          .ablate = s->ablate && s->task == TASK_ALL,
                                          .journal = s->journal_path,
                                          .settings = j->identity.data ? j->identity.data : "",
                                          .clock = tool_seconds,
                                          .progress = on_progress,
                                          .progress_arg = &p};
    const double start = tool_seconds();
    if (!rc)
        rc = rr_evaluate(&e, j->l ? &j->ranker : NULL, &o, &err);
    progress_end(&p);
    if (!rc)
        rc = report(j, &e, tool_seconds() - start, &err);
    /* A journal nobody asked for by name has done its work. */
    if (!rc && s->journal_path && !s->journal)
        remove(s->journal_path);
    rr_evaluation_free(&e);
    rr_ranker_release(&j->ranker);
    return rc ? tool_fail(&err) : tool_finish();
}

/* Beyond this many items EASE's matrices take more than most machines have. */
#define MOST_EASE_ITEMS 20000

static int fit_ease(struct job *j)
{
    const struct rr_fit_options fo = {.seed = (uint64_t)j->s->data.seed};
    const int n = j->d->dataset.n_items;
    if (j->s->no_ease)
        return -1;
    if (n > MOST_EASE_ITEMS) {
        fprintf(stderr,
                "no row for EASE: its matrices for %d items take %.0f GB (--no-ease says "
                "so, --core makes fewer)\n",
                n, 20e-9 * n * n);
        return -1;
    }
    j->has_ease = true;
    return data_fit(&j->ease, RR_BACKBONE_EASE, &j->d->split, &fo);
}

static int check(const struct command *c, struct settings *s, const struct option *opts, size_t n,
                 bool has_model)
{
    static const char *const asking[] = {"context",
                                         "tokenizer",
                                         "no-hint",
                                         "no-shift",
                                         "max-history",
                                         "history-order",
                                         "disliked",
                                         "answers",
                                         "chat",
                                         "cache",
                                         "pair-rounds",
                                         "lists",
                                         "protocol",
                                         "ablate",
                                         "fit-weights",
                                         "journal",
                                         "hint-scores",
                                         "template-pointwise",
                                         "template-pairwise",
                                         "template-listwise",
                                         "latency"};
    if (!s->data.dir)
        return args_misuse(c, "--data is needed");
    for (size_t i = 0; i < COUNT(asking) && s->task == TASK_NONE; i++)
        if (args_given(opts, n, asking[i]))
            return args_misuse(c, "--%s has no effect with --task none", asking[i]);
    if (s->task == TASK_NONE && has_model)
        return args_misuse(c, "a MODEL has no effect with --task none");
    if (s->task != TASK_NONE && !has_model)
        return args_misuse(c, "a task needs a MODEL; --task none evaluates the backbone alone");
    if (s->latency && (!s->json || s->journal || s->output))
        return args_misuse(c, "--latency needs --json, and neither --journal nor -o: a resumed "
                              "report must not depend on the clock");
    if (s->protocol && (args_given(opts, n, "history-order") || args_given(opts, n, "answers") ||
                        s->asking.no_shift))
        return args_misuse(c, "--protocol official decides --history-order, --answers and "
                              "--no-shift itself");
    if (s->protocol && s->task >= 2 && s->task - 2 == RR_LIKELIHOOD)
        return args_misuse(c, "--protocol official knows no likelihood");
    if (s->protocol && (s->ablate || s->source.hint_scores))
        return args_misuse(c, "--protocol official goes with neither --ablate nor --hint-scores");
    if (s->fit_weights && s->source.history && source_retrieves(&s->source))
        return args_misuse(c, "--fit-weights with --history train+valid needs validation items "
                              "among the candidates: another --backbone than likelihood");
    if (s->fit_weights && s->task != TASK_ALL)
        return args_misuse(c, "--fit-weights needs --task all");
    const int rc =
        asking_check(c, &s->asking, s->task >= 2 ? RR_ASK(s->task - 2) : RR_ASK_ALL, opts, n);
    return rc >= 0 ? rc : source_check(c, &s->source);
}

/* --journal, or beside the output where that is a file. */
static int choose_journal(struct settings *s)
{
    static const char end[] = ".journal";
    const bool beside = !s->journal && s->output && !rr_path_is_special(s->output);
    const char *from = s->journal ? s->journal : beside ? s->output : NULL;
    if (!from || s->task == TASK_NONE)
        return -1;
    const size_t n = strlen(from);
    s->journal_path = rr_alloc(n + sizeof end, 1);
    if (!s->journal_path) {
        struct rr_error err = {0};
        rr_fail_memory_(&err, "file name", n);
        return tool_fail(&err);
    }
    memcpy(s->journal_path, from, n + 1);
    if (beside)
        memcpy(s->journal_path + n, end, sizeof end);
    return -1;
}

static bool same(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

/* What is to be written is tried before the work, not after it. */
static int check_outputs(const struct command *c, const struct settings *s)
{
    struct rr_error err = {0};
    if (same(s->output, s->per_user) || same(s->output, s->journal_path) ||
        same(s->per_user, s->journal_path))
        return args_misuse(c, "two outputs have one name: report '%s', per user '%s', journal '%s'",
                           s->output ? s->output : "-", s->per_user ? s->per_user : "-",
                           s->journal_path ? s->journal_path : "-");
    if ((s->output && rr_out_check(s->output, &err)) ||
        (s->per_user && rr_out_check(s->per_user, &err)))
        return tool_fail(&err);
    return -1;
}

static int open_and_evaluate(const struct command *c, struct settings *s, const char *model)
{
    struct loaded l = {0};
    struct opened_data d;
    const bool asked = s->task != TASK_NONE;
    struct job j = {.s = s, .model_path = model, .l = asked ? &l : NULL, .d = &d};
    int rc = -1;
    /* The model first: it is the quicker one to be refused. */
    if (asked && (rc = tool_load(&l, model, &s->model, true)) >= 0)
        return rc;
    if (asked && ((rc = asking_recipe(&s->asking, &l.weights)) >= 0 ||
                  (rc = asking_chat(&s->asking, &l.weights, model, s->model.tokenizer)) >= 0)) {
        tool_unload(&l);
        return rc;
    }
    rc = data_open(&d, c, &s->data);
    if (rc < 0) {
        d.split.count = (enum rr_count_rule)s->count;
        rc = data_verdict(&d.dataset);
        if (!rc)
            rc = asked ? asking_source(&s->asking, &d, &s->source, &s->data, &l, -1)
                       : data_source(&d, &s->source, &s->data, false);
        if (rc < 0)
            rc = fit_ease(&j);
        if (rc < 0)
            rc = evaluate(&j);
        rr_backbone_free(&j.ease);
        rr_rating_free(&j.official_hints);
        data_close(&d);
    }
    rr_buf_free(&j.options);
    rr_buf_free(&j.identity);
    if (asked)
        tool_unload(&l);
    return rc;
}

static int run(const struct command *c, int argc, char **argv)
{
    struct settings s = {
        .data = DATA_OPTIONS_INIT, .source = SOURCE_OPTIONS_INIT, .asking = ASKING_INIT};
    struct option opts[] = {
        {"task", 0, OPT_CHOICE, &s.task, "all|none|pointwise|pairwise|listwise|likelihood",
         "what the model is asked; none: the backbone alone [all]", 0, 0, false},
        {"users", 0, OPT_INT, &s.users, "N", "evaluate N users drawn by the seed, 0: all", 0, 1e9,
         false},
        {"output", 'o', OPT_TEXT, &s.output, "FILE",
         "write the report here, with a journal beside it until it is done", 0, 0, false},
        {"journal", 0, OPT_TEXT, &s.journal, "FILE",
         "keep finished users here; the same command goes on after a kill", 0, 0, false},
        {"per-user", 0, OPT_TEXT, &s.per_user, "FILE", "a line of TSV per user", 0, 0, false},
        {"json", 0, OPT_FLAG, &s.json, NULL, "one JSON object instead of tables", 0, 0, false},
        {"latency", 0, OPT_FLAG, &s.latency, NULL,
         "with --json: seconds per user at the median and at 95 %, too", 0, 0, false},
        {"ablate", 0, OPT_FLAG, &s.ablate, NULL, "turn each part off in turn", 0, 0, false},
        {"fit-weights", 0, OPT_FLAG, &s.fit_weights, NULL,
         "a row with weights fitted on the validation items", 0, 0, false},
        {"protocol", 0, OPT_CHOICE, &s.protocol, "clean|official",
         "ours, or the original's with ours beside it [clean]", 0, 0, false},
        {"count", 0, OPT_CHOICE, &s.count, "direct|sequential",
         "who counts: users and test items with training likes, or (lists of sequential "
         "recommenders) users with two training likes [direct]",
         0, 0, false},
        {"no-ease", 0, OPT_FLAG, &s.no_ease, NULL, "no row for EASE", 0, 0, false},
        DATA_OPTION_ROWS(s.data),
        SOURCE_OPTION_ROWS(s.source),
        ASKING_OPTION_ROWS(s.asking),
        CACHE_OPTION_ROW(s.asking),
        CHAT_OPTION_ROW(s.asking.chat_option),
        MODEL_OPTION_ROWS(s.model),
    };
    struct args a;
    int rc = args_parse(&a, c, opts, COUNT(opts), argc, argv);
    if (rc >= 0 || (rc = check(c, &s, opts, COUNT(opts), a.n > 0)) >= 0 ||
        (rc = asking_open(&s.asking)) >= 0)
        return rc;
    tool_catch_interrupt();
    rc = choose_journal(&s);
    if (rc < 0)
        rc = check_outputs(c, &s);
    if (rc < 0)
        rc = open_and_evaluate(c, &s, a.positional[0]);
    rr_free(s.journal_path);
    asking_close(&s.asking);
    return rc;
}

const struct command cmd_evaluate = {
    .name = "evaluate",
    .synopsis = "MODEL --data PATH [--backbone mf] [--task all|none|pointwise|...] [--json]",
    .summary = "measure a model's order against the backbone's (HR, NDCG, MRR)",
    .examples =
        "  recrank evaluate model.gguf --data ml-100k --backbone mf -o report.txt\n"
        "  recrank evaluate model.gguf --data ml-100k --ablate --journal run.journal --json\n"
        "  recrank evaluate --data ml-100k --backbone pop --task none --json\n",
    .notes =
        "Each test user's candidates come from a recommender trained on the training part. The "
        "table sets the model's orders beside the\nbackbone's, EASE's own list, the exact mean "
        "over "
        "random orders and the ceiling of any reordering. A run with a journal (or -o)\nthat is "
        "killed goes on where it stopped, and its report is then the same to the byte: clock "
        "readings go to stderr.\nEqual scores keep retrieval order. With --chat questions are put "
        "as a chat, see recrank "
        "prompt --help; likelihood asks nothing\nand is as without.\n",
    .min_args = 0,
    .max_args = 1,
    .run = run,
};
