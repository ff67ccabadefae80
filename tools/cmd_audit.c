/* recrank audit: shows by experiment that nothing held out leaks. */
#include "rec/eval/audit.h"
#include "tools/data.h"

static int on_progress(void *arg, long long done, long long total)
{
    progress_step(arg, done, total);
    return tool_interrupted();
}

static int run(const struct command *c, int argc, char **argv)
{
    struct data_options o = DATA_OPTIONS_INIT;
    const char *backbone = "mf";
    long long k = 10, size = 1000;
    int protocol = 0;
    struct option opts[] = {
        {"backbone", 0, OPT_TEXT, &backbone, "NAME", "pop|mf|itemknn|ease|lightgcn", 0, 0, false},
        {"k", 'k', OPT_INT, &k, "K", "candidates per user", 2, 1000, false},
        {"size", 0, OPT_INT, &size, "N", "users drawn for instructions", 1, 1e7, false},
        {"protocol", 0, OPT_CHOICE, &protocol, "clean|official",
         "ours, or the original's, which must fail [clean]", 0, 0, false},
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
    if (!rc)
        printf("data  %s, %s, split by %s, seed %lld\n", o.dir, d.dataset.settings,
               d.split.order == RR_SPLIT_BY_TIME ? "time" : "file", o.seed);
    for (int i = 0; i < audit.n && !rc; i++)
        printf("%-4s  %s: %s\n", audit.checks[i].passed ? "pass" : "FAIL", audit.checks[i].name,
               audit.checks[i].detail);
    data_close(&d);
    if (rc)
        return tool_fail(&err);
    printf("%d checks, %d failed\n", audit.n, audit.n_failed);
    rc = tool_finish();
    return rc ? rc : audit.n_failed > 0;
}

const struct command cmd_audit = {
    .name = "audit",
    .synopsis = "--data PATH [--backbone mf] [--protocol clean|official]",
    .summary = "prove that nothing held out leaks into prompts, hints or instructions",
    .examples = "  recrank audit --data ml-100k\n"
                "  recrank audit --data ml-100k --protocol official    # fails, as it must\n",
    .notes = "Every user's test (or validation) item and rating is changed in the data, everything "
             "is made anew, and the bytes of all\nprompts, hints, candidates and instructions are "
             "compared. Validation items may choose a backbone's epoch, so the prompts are\n"
             "compared for validation ratings, not items. Exit code 0: no leak; 1: at least one "
             "check failed.\n",
    .min_args = 0,
    .max_args = 0,
    .run = run,
};
