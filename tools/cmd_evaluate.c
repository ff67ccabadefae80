/* recrank evaluate: HR and NDCG of a model's order against the backbone's, on the test items. */
#include <stdio.h>
#include "rec/eval/evaluate.h"
#include "tools/data.h"

enum task { TASK_NONE, TASK_POINTWISE };

static int on_progress(void *arg, long long done, long long total)
{
    progress_step(arg, done, total);
    return tool_interrupted();
}

struct settings {
    struct model_options model;
    struct data_options data;
    int task;
    long long users, context;
    bool json;
};

static int evaluate(const struct settings *s, const char *model_path, struct loaded *l,
                    struct opened_data *d)
{
    struct rr_error err = {0};
    struct rr_ranker ranker = {0};
    struct rr_evaluation e;
    struct rr_buf out = {0};
    struct progress p;
    const bool asked = s->task != TASK_NONE;
    int rc = RR_OK;
    if (asked) {
        const struct rr_ranker_options ro = {
            .n_context = (int)s->context,
            .max_history = (int)s->data.history,
            .style = {.noun = d->dataset.noun, .levels = (int)d->dataset.rating_max}};
        rc =
            rr_ranker_init(&ranker, &l->engine, &l->weights.model, l->weights.tokenizer, &ro, &err);
    }
    progress_start(&p, "ranking users");
    const struct rr_evaluate_options o = {(int)s->users, (uint64_t)s->data.seed, on_progress, &p};
    const double start = tool_seconds();
    if (!rc)
        rc = rr_evaluate(&e, &d->source, asked ? &ranker : NULL, &o, &err);
    progress_end(&p);
    if (!rc) {
        const struct rr_run run = {.data = s->data.dir,
                                   .data_name = d->dataset.name,
                                   .fingerprint = d->dataset.fingerprint,
                                   .model = asked ? model_path : NULL,
                                   .backbone = rr_backbone_name(d->backbone.kind),
                                   .task = asked ? "pointwise" : "none",
                                   .seed = (uint64_t)s->data.seed,
                                   .seconds = tool_seconds() - start,
                                   .n_context = asked ? ranker.o.n_context : 0,
                                   .model_context = asked ? l->weights.model.h.n_context : 0};
        if (s->json)
            rr_evaluation_json(&out, &e, &run);
        else
            rr_evaluation_text(&out, &e, &run);
        if (out.failed)
            rc = rr_fail_memory(&err, "report", out.n);
        else
            fwrite(out.data, 1, out.n, stdout);
    }
    rr_buf_free(&out);
    rr_ranker_release(&ranker);
    return rc ? tool_fail(&err) : tool_finish();
}

static int run(const struct command *c, int argc, char **argv)
{
    struct settings s = {.data = DATA_OPTIONS_INIT, .task = TASK_POINTWISE};
    struct option opts[] = {
        DATA_OPTION_ROWS(s.data),
        {"task", 0, OPT_CHOICE, &s.task, "none|pointwise",
         "what the model is asked: none (backbone alone) or pointwise [pointwise]", 0, 0, false},
        {"users", 0, OPT_INT, &s.users, "N", "evaluate N users drawn by the seed, 0: all", 0, 1e9,
         false},
        {"context", 0, OPT_INT, &s.context, "N",
         "longest prompt in tokens, 0: the model's own, at least 1024", 0, 1 << 22, false},
        {"json", 0, OPT_FLAG, &s.json, NULL, "one JSON object instead of a table", 0, 0, false},
        MODEL_OPTION_ROWS(s.model),
    };
    struct args a;
    struct loaded l = {0};
    struct opened_data d;
    int rc = args_parse(&a, c, opts, COUNT(opts), argc, argv);
    if (rc >= 0)
        return rc;
    if (!s.data.dir)
        return args_misuse(c, "--data is needed");
    static const char *const asking[] = {"context", "tokenizer", "no-hint", "history"};
    for (size_t i = 0; i < COUNT(asking) && s.task == TASK_NONE; i++)
        if (args_given(opts, COUNT(opts), asking[i]))
            return args_misuse(c, "--%s has no effect with --task none", asking[i]);
    if (s.task != TASK_NONE && !a.n)
        return args_misuse(c, "--task pointwise needs a MODEL");
    tool_catch_interrupt();
    /* The model first: it is the quicker one to be refused. */
    if (s.task != TASK_NONE && (rc = tool_load(&l, a.positional[0], &s.model, true)) >= 0)
        return rc;
    rc = data_open(&d, &s.data, s.task != TASK_NONE && !s.data.no_hint);
    if (rc < 0) {
        rc = evaluate(&s, a.positional[0], &l, &d);
        data_close(&d);
    }
    if (s.task != TASK_NONE)
        tool_unload(&l);
    return rc;
}

const struct command cmd_evaluate = {
    .name = "evaluate",
    .synopsis = "MODEL --data DIR [--backbone mf|pop] [--task pointwise|none] [--json]",
    .summary = "measure a model's order against the backbone's (HR, NDCG)",
    .examples = "  recrank evaluate model.gguf --data ml-100k --backbone mf --task pointwise\n"
                "  recrank evaluate --data ml-100k --backbone pop --task none --json\n",
    .notes = "Each test user's candidates come from a recommender trained here on the training "
             "part. The table sets the model's\n"
             "order beside the backbone's, the exact mean over random orders, and the ceiling of "
             "any reordering.\n",
    .min_args = 0,
    .max_args = 1,
    .run = run,
};
