/* recrank instruct: the instruction set for tuning, as files. */
#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include "engine/base/file.h"
#include "engine/base/json.h"
#include "engine/base/sha256.h"
#include "rec/prompt/instruct.h"
#include "rec/recrank.h"
#include "tools/asking.h"

struct settings {
    struct data_options data;
    struct asking asking;
    const char *output, *hints, *embeddings;
    int dialect, protocol, task, kind;
    long long size, clusters, folds;
    double penalty;
    bool no_importance, no_clustering, no_penalty, json;
};

/* The file being written. */
struct writer {
    enum rr_dialect dialect;
    const struct rr_dataset *d;
    struct rr_out out;
    struct rr_buf line;
    struct rr_sha256 sum;
    long long n;
};

static int write_instruction(void *arg, const struct rr_instruction *in, struct rr_error *err)
{
    struct writer *w = arg;
    rr_buf_clear(&w->line);
    rr_instruction_write(&w->line, w->dialect, in, w->d);
    if (w->line.failed)
        return rr_fail_memory(err, "instruction", w->line.n);
    rr_sha256_add(&w->sum, w->line.data, w->line.n);
    fwrite(w->line.data, 1, w->line.n, w->out.f);
    w->n++;
    return tool_interrupted() ? rr_fail(err, RR_ERR_INTERRUPTED, "INTERRUPTED", RR_NOWHERE,
                                        "stopped after %lld instructions", w->n)
                              : RR_OK;
}

static int write_file(const char *dir, const char *name, const struct rr_buf *text,
                      struct rr_error *err)
{
    struct rr_out out = {0};
    char *path = rr_path_join(dir, name);
    int rc =
        path && !text->failed ? rr_out_open(&out, path, err) : rr_fail_memory(err, name, text->n);
    if (!rc) {
        fwrite(text->data, 1, text->n, out.f);
        rc = tool_commit(&out, err);
    }
    rr_free(path);
    return rc;
}

static void manifest(struct rr_buf *out, const struct settings *s, const struct opened_data *d,
                     const struct rr_instruct_report *r, const char *file, const char *hex)
{
    rr_buf_printf(out, "{\"recrank\":\"%s\",\"file\":\"%s\",\"sha256\":\"%s\",\"dialect\":\"%s\"",
                  rr_version(), file, hex, rr_dialect_name((enum rr_dialect)s->dialect));
    rr_buf_printf(
        out, ",\"kind\":\"%s\",\"protocol\":\"%s\",\"seed\":%lld,\"folds\":%lld,\"hints\":\"%s\"",
        s->kind ? "next" : "paper", s->protocol ? "official" : "clean", s->data.seed,
        s->protocol ? 1 : s->folds, s->hints);
    rr_buf_printf(out, ",\"data_sha256\":\"%s\",\"data_settings\":", d->dataset.fingerprint);
    rr_json_add_string(out, d->dataset.settings, strlen(d->dataset.settings));
    rr_buf_printf(out, ",\"split\":\"%s\",\"instructions\":{",
                  d->split.order == RR_SPLIT_BY_TIME ? "time" : "file");
    for (int t = 0; t < RR_N_TASKS; t++)
        rr_buf_printf(out, "%s\"%s\":%d", t ? "," : "", rr_task_name((enum rr_task)t), r->n[t]);
    rr_buf_puts(out, "},\"without\":{");
    for (int t = 0; t < RR_N_TASKS; t++)
        rr_buf_printf(out, "%s\"%s\":%d", t ? "," : "", rr_task_name((enum rr_task)t),
                      r->n_without[t]);
    rr_buf_printf(out, "},\"options\":{\"size\":%lld,\"penalty\":", s->size);
    rr_json_add_double(out, s->no_penalty ? NAN : s->penalty);
    rr_buf_printf(out, ",\"clusters\":%lld,\"embeddings\":", s->no_clustering ? 0 : s->clusters);
    rr_json_add_string(out, s->embeddings, strlen(s->embeddings));
    rr_buf_printf(out,
                  ",\"importance\":%s,\"hints\":%s,\"shift\":%s,\"history\":%lld,"
                  "\"disliked\":%lld,\"history_order\":\"%s\"},\"wordings\":{",
                  s->no_importance ? "false" : "true", s->asking.no_hint ? "false" : "true",
                  s->asking.no_shift ? "false" : "true", s->asking.history ? s->asking.history : 50,
                  s->asking.disliked, s->asking.history_order ? "shuffled" : "chronological");
    for (int t = 0; t < RR_N_TASKS; t++)
        rr_buf_printf(out, "%s\"%s\":\"%s\"", t ? "," : "", rr_task_name((enum rr_task)t),
                      s->asking.templates[t].digest);
    rr_buf_puts(out, "},\"sampling\":");
    rr_sampling_json(out, &r->sampling);
    rr_buf_puts(out, "}\n");
}

static int on_fold(void *arg, long long done, long long total)
{
    progress_step(arg, done, total);
    return tool_interrupted();
}

/* The user embeddings that clustering looks at. */
static int fit_embeddings(struct opened_data *d, const struct settings *s)
{
    const struct rr_fit_options fo = {.seed = (uint64_t)s->data.seed, .last_epoch = true};
    if (s->no_clustering)
        return -1;
    return data_fit(&d->backbone, (enum rr_backbone_kind)rr_backbone_kind_from_name(s->embeddings),
                    &d->split, &fo);
}

static int instruct(const struct settings *s, struct opened_data *d)
{
    static const char file[] = "recranker.jsonl";
    struct rr_error err = {0};
    struct rr_instruct_report report = {0};
    struct rr_buf text = {0};
    struct progress p;
    char hex[65];
    char *path = rr_path_join(s->output, file);
    struct writer w = {.dialect = (enum rr_dialect)s->dialect, .d = &d->dataset};
    const int levels = (int)d->dataset.rating_max;
    int rc = path ? RR_OK : rr_fail_memory(&err, "file name", 0);
    if (!rc && s->task <= 1 && (levels < 2 || levels > RR_MAX_LEVELS))
        rc =
            rr_fail(&err, RR_ERR_USAGE, "SCALE", RR_AT_FILE(s->data.dir),
                    "a rating scale up to %d; pointwise instructions take 2 to %d: write the other "
                    "tasks alone, or rescale the ratings",
                    levels, RR_MAX_LEVELS);
    if (!rc && mkdir(s->output, 0777) != 0 && errno != EEXIST)
        rc = rr_fail(&err, RR_ERR_OPEN, "CANNOT_WRITE", RR_AT_FILE(s->output),
                     "cannot make this folder: %s", strerror(errno));
    if (!rc)
        rc = rr_out_open(&w.out, path, &err);
    rr_sha256_init(&w.sum);
    progress_start(&p, "training the folds' models");
    const struct rr_instruct_options o = {
        .tasks = s->task ? RR_ASK(s->task - 1) : 0,
        .sampling = {.n = (int)s->size,
                     .n_clusters = (int)s->clusters,
                     .penalty = s->penalty,
                     .no_importance = s->no_importance,
                     .no_clustering = s->no_clustering,
                     .no_penalty = s->no_penalty,
                     .seed = (uint64_t)s->data.seed},
        .folds = {.n = (int)s->folds,
                  .kind = (enum rr_backbone_kind)rr_backbone_kind_from_name(s->hints),
                  .fit = {.progress = on_fold, .progress_arg = &p},
                  .seed = (uint64_t)s->data.seed},
        .style = asking_style(&s->asking, &d->dataset, s->data.seed),
        .official = s->protocol == 1,
        .next = s->kind == 1,
        .seed = (uint64_t)s->data.seed};
    if (!rc)
        rc = rr_instruct(&report, &d->split, d->backbone.users, d->backbone.dim, &o,
                         write_instruction, &w, &err);
    progress_end(&p);
    if (!rc && !(report.n[0] + report.n[1] + report.n[2]))
        rc = rr_fail(&err, RR_ERR_DATA, "NO_INSTRUCTIONS", RR_AT_FILE(s->data.dir),
                     "none of the %d users drawn (%d different ones) has enough likes to make an "
                     "instruction of",
                     report.sampling.n, report.sampling.n_distinct);
    if (!rc)
        rc = tool_commit(&w.out, &err);
    else if (w.out.f)
        rr_out_close(&w.out);
    rr_sha256_hex(&w.sum, hex);
    rr_dialect_info(&text, w.dialect, file);
    if (!rc)
        rc = write_file(s->output, "dataset_info.json", &text, &err);
    rr_buf_clear(&text);
    manifest(&text, s, d, &report, file, hex);
    if (!rc)
        rc = write_file(s->output, "manifest.json", &text, &err);
    if (!rc && s->json)
        fwrite(text.data, 1, text.n, stdout);
    rr_buf_clear(&text);
    rr_sampling_text(&text, &report.sampling);
    if (!rc && !s->json && !text.failed) {
        fwrite(text.data, 1, text.n, stdout);
        for (int t = 0; t < RR_N_TASKS; t++)
            printf("%-9s %d instructions; %d draws gave none, for want of ratings\n",
                   rr_task_name((enum rr_task)t), report.n[t], report.n_without[t]);
        printf("%s  %s\n", hex, path);
    }
    rr_sampling_free(&report.sampling);
    rr_buf_free(&text);
    rr_buf_free(&w.line);
    rr_free(path);
    return rc ? tool_fail(&err) : tool_finish();
}

static int check(const struct command *c, const struct settings *s, const struct option *opts,
                 size_t n)
{
    static const char *const clustering[] = {"clusters", "embeddings"};
    const int kind = rr_backbone_kind_from_name(s->embeddings);
    if (!s->data.dir || !s->output)
        return args_misuse(c, "--data and --output are needed");
    if (rr_backbone_kind_from_name(s->hints) < 0)
        return args_misuse(c, "--backbone is '%s'; expected pop|mf|itemknn|ease|lightgcn",
                           s->hints);
    if (kind != RR_BACKBONE_MF && kind != RR_BACKBONE_LIGHTGCN)
        return args_misuse(c, "--embeddings is '%s'; mf and lightgcn have user embeddings",
                           s->embeddings);
    for (size_t i = 0; i < COUNT(clustering) && s->no_clustering; i++)
        if (args_given(opts, n, clustering[i]))
            return args_misuse(c, "--%s has no effect with --no-clustering", clustering[i]);
    if (s->no_penalty && args_given(opts, n, "penalty"))
        return args_misuse(c, "--penalty has no effect with --no-penalty");
    if (s->asking.no_hint && !s->kind &&
        (args_given(opts, n, "folds") || args_given(opts, n, "backbone")))
        return args_misuse(c, "--folds and --backbone have no effect with --no-hint");
    if (s->protocol && s->kind)
        return args_misuse(c, "--kind next is not the original's: leave --protocol official out");
    if (s->protocol && args_given(opts, n, "folds"))
        return args_misuse(c, "--folds has no effect with --protocol official");
    return -1;
}

/* The paper's sizes per data set, and what the original's code does otherwise than its text. */
static void fill_defaults(struct settings *s, const struct rr_dataset *d, bool order_given)
{
    if (!s->size)
        s->size = strcmp(d->name, "ml-1m") == 0 ? 10000 : 5000;
    if (s->penalty <= 0)
        s->penalty = s->protocol ? 0.95 : 0.92;
    if (s->protocol && !order_given)
        s->asking.history_order = 1;
}

static int run(const struct command *c, int argc, char **argv)
{
    struct settings s = {.data = DATA_OPTIONS_INIT,
                         .asking = ASKING_INIT,
                         .hints = "mf",
                         .embeddings = "mf",
                         .clusters = 10,
                         .folds = 5};
    struct option opts[] = {
        {"output", 'o', OPT_TEXT, &s.output, "DIR", "folder for the files; made if missing", 0, 0,
         false},
        {"dialect", 0, OPT_CHOICE, &s.dialect, "messages|alpaca|sharegpt",
         "OpenAI messages, alpaca or ShareGPT [messages]", 0, 0, false},
        {"task", 0, OPT_CHOICE, &s.task, "all|pointwise|pairwise|listwise",
         "which instructions [all]", 0, 0, false},
        {"kind", 0, OPT_CHOICE, &s.kind, "paper|next",
         "the paper's questions, or which of a recommender's candidates was liked next [paper]", 0,
         0, false},
        {"size", 0, OPT_INT, &s.size, "N",
         "users drawn, each for one instruction per task; 0: 10000 for MovieLens-1M, else 5000", 0,
         1e8, false},
        {"backbone", 0, OPT_TEXT, &s.hints, "NAME",
         "whose opinion the hints are: pop|mf|itemknn|ease|lightgcn", 0, 0, false},
        {"folds", 0, OPT_INT, &s.folds, "K", "models fitted without a K-th of the ratings each", 2,
         64, false},
        {"embeddings", 0, OPT_TEXT, &s.embeddings, "NAME",
         "whose user embeddings are clustered: mf or lightgcn", 0, 0, false},
        {"clusters", 0, OPT_INT, &s.clusters, "K", "clusters of users", 1, 10000, false},
        {"penalty", 0, OPT_REAL, &s.penalty, "C",
         "penalty for repetition; 0: the paper's text 0.92, with --protocol official its code's "
         "0.95",
         0, 1, false},
        {"no-importance", 0, OPT_FLAG, &s.no_importance, NULL, "no importance-aware sampling", 0, 0,
         false},
        {"no-clustering", 0, OPT_FLAG, &s.no_clustering, NULL, "no clustering-based sampling", 0, 0,
         false},
        {"no-penalty", 0, OPT_FLAG, &s.no_penalty, NULL, "no penalty for repetition", 0, 0, false},
        {"protocol", 0, OPT_CHOICE, &s.protocol, "clean|official",
         "ours, or with the original's leaks [clean]", 0, 0, false},
        {"json", 0, OPT_FLAG, &s.json, NULL, "print the manifest instead of a report", 0, 0, false},
        DATA_OPTION_ROWS(s.data),
        WORDING_OPTION_ROWS(s.asking),
    };
    struct args a;
    struct opened_data d;
    int rc = args_parse(&a, c, opts, COUNT(opts), argc, argv);
    if (rc >= 0 || (rc = check(c, &s, opts, COUNT(opts))) >= 0 ||
        (rc = asking_open(&s.asking)) >= 0)
        return rc;
    tool_catch_interrupt();
    if ((rc = data_open(&d, c, &s.data)) < 0) {
        rc = data_verdict(&d.dataset);
        fill_defaults(&s, &d.dataset, args_given(opts, COUNT(opts), "history-order"));
        if (!rc)
            rc = fit_embeddings(&d, &s);
        if (rc < 0)
            rc = instruct(&s, &d);
        data_close(&d);
    }
    asking_close(&s.asking);
    return rc;
}

const struct command cmd_instruct = {
    .name = "instruct",
    .synopsis = "--data PATH -o DIR [--dialect messages|alpaca|sharegpt] [--size N]",
    .summary = "write the instruction set for tuning",
    .examples = "  recrank instruct --data ml-100k -o instructions/\n",
    .notes =
        "Writes recranker.jsonl, dataset_info.json (for LLaMA-Factory) and manifest.json (seed, "
        "sums, counts, what was sampled).\nUsers are drawn by importance, cluster and penalty "
        "for repetition; hints come from models that have not seen the answer;\nanswers do not "
        "stand in the history shown. 'recrank audit' proves it.\n",
    .min_args = 0,
    .max_args = 0,
    .run = run,
};
