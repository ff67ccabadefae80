/* recrank audit: shows by experiment that nothing held out leaks. */
#include "engine/base/json.h"
#include "rec/eval/audit.h"
#include "tools/data.h"

static int on_progress(void *arg, long long done, long long total)
{
    progress_step(arg, done, total);
    return tool_interrupted();
}

static void print_text(const struct rr_audit *a, const struct opened_data *d, long long seed)
{
    printf("data  %s, %s, split by %s, seed %lld\n", d->dataset.path, d->dataset.settings,
           d->split.order == RR_SPLIT_BY_TIME ? "time" : "file", seed);
    for (int i = 0; i < a->n; i++)
        printf("%-4s  %s: %s\n", a->checks[i].passed ? "pass" : "FAIL", a->checks[i].name,
               a->checks[i].detail);
    printf("%d checks, %d failed\n", a->n, a->n_failed);
}

static void add_text(struct rr_buf *out, const char *key, const char *text)
{
    rr_buf_printf(out, "\"%s\":", key);
    rr_json_add_string(out, text, strlen(text));
}

static bool print_json(const struct rr_audit *a, const struct opened_data *d, long long seed)
{
    struct rr_buf out = {0};
    rr_buf_puts(&out, "{");
    add_text(&out, "data", d->dataset.path);
    rr_buf_puts(&out, ",");
    add_text(&out, "data_settings", d->dataset.settings);
    rr_buf_printf(&out, ",\"seed\":%lld,\"failed\":%d,\"checks\":[", seed, a->n_failed);
    for (int i = 0; i < a->n; i++) {
        rr_buf_puts(&out, i ? ",{" : "{");
        add_text(&out, "name", a->checks[i].name);
        rr_buf_printf(&out, ",\"passed\":%s,", a->checks[i].passed ? "true" : "false");
        add_text(&out, "detail", a->checks[i].detail);
        rr_buf_puts(&out, "}");
    }
    rr_buf_puts(&out, "]}\n");
    const bool whole = !out.failed;
    fwrite(out.data, 1, whole ? out.n : 0, stdout);
    rr_buf_free(&out);
    return whole;
}

static int run(const struct command *c, int argc, char **argv)
{
    struct data_options o = DATA_OPTIONS_INIT;
    const char *backbone = "mf";
    long long k = 10, size = 1000;
    int protocol = 0;
    bool json = false;
    struct option opts[] = {
        {"backbone", 0, OPT_TEXT, &backbone, "NAME", "pop|mf|itemknn|ease|lightgcn", 0, 0, false},
        {"k", 'k', OPT_INT, &k, "K", "candidates per user", 2, 1000, false},
        {"size", 0, OPT_INT, &size, "N", "users drawn for instructions", 1, 1e7, false},
        {"protocol", 0, OPT_CHOICE, &protocol, "clean|official",
         "ours, or the original's, which must fail [clean]", 0, 0, false},
        {"json", 0, OPT_FLAG, &json, NULL, "one object instead of lines", 0, 0, false},
        DATA_OPTION_ROWS(o),
    };
    struct args a;
    struct opened_data d;
    struct rr_audit audit;
    struct rr_error err = {0};
    struct progress p;
    int rc = args_parse(&a, c, opts, COUNT(opts), argc, argv);
    if (rc >= 0)
        return rc;
    if (rr_backbone_kind_from_name(backbone) < 0)
        return args_misuse(c, "--backbone is '%s'; expected pop|mf|itemknn|ease|lightgcn",
                           backbone);
    tool_catch_interrupt();
    if ((rc = data_open(&d, c, &o)) >= 0)
        return rc;
    rc = data_verdict(&d.dataset);
    if (rc) {
        data_close(&d);
        return rc;
    }
    progress_start(&p, "auditing");
    const struct rr_audit_options ao = {
        .backbone = (enum rr_backbone_kind)rr_backbone_kind_from_name(backbone),
        .order = d.split.order,
        .n_candidates = (int)k,
        .n_instructions = (int)size,
        .official = protocol == 1,
        .seed = (uint64_t)o.seed,
        .progress = on_progress,
        .progress_arg = &p};
    rc = rr_audit_run(&audit, &d.dataset, &ao, &err);
    progress_end(&p);
    if (!rc && !json)
        print_text(&audit, &d, o.seed);
    else if (!rc && !print_json(&audit, &d, o.seed))
        rc = rr_fail_memory(&err, "audit", 0);
    data_close(&d);
    if (rc)
        return tool_fail(&err);
    rc = tool_finish();
    return rc ? rc : audit.n_failed > 0;
}

const struct command cmd_audit = {
    .name = "audit",
    .synopsis = "--data PATH [--backbone mf] [--protocol clean|official] [--json]",
    .summary = "prove that nothing held out leaks into prompts, hints or instructions",
    .examples = "  recrank audit --data ml-100k\n"
                "  recrank audit --data ml-100k --protocol official    # fails, as it must\n",
    .notes = "Every user's test (or validation) item and rating is changed in the data, everything "
             "is made anew, and the bytes of all\nprompts, hints, candidates and instructions (the "
             "paper's and those of --kind next) are compared. Validation items may choose a "
             "backbone's epoch, so the prompts are\n"
             "compared for validation ratings, not items. Exit code 0: no leak; 1: at least one "
             "check failed.\n",
    .min_args = 0,
    .max_args = 0,
    .run = run,
};
