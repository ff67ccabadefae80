/* recrank bench: what this machine can do, and how much of it the engine gets. */
#include <string.h>
#include "tools/bench.h"

static int bench(struct bench *b, const struct command *c)
{
    if (strcmp(b->what, "limits") == 0)
        return bench_limits(b);
    if (strcmp(b->what, "model") == 0)
        return bench_model(b);
    if (strcmp(b->what, "rank") == 0)
        return bench_rank(b);
    if (strcmp(b->what, "kernels") == 0)
        return bench_kernels(b);
    if (strcmp(b->what, "file") == 0)
        return bench_file(b);
    return bench_core(b, c);
}

static bool known(const char *what)
{
    static const char *const names[] = {"limits", "kernels", "model", "rank", "core", "file"};
    for (size_t i = 0; i < COUNT(names); i++)
        if (strcmp(what, names[i]) == 0)
            return true;
    return false;
}

static int check(const struct command *c, struct bench *b, const struct args *a,
                 const struct option *opts, size_t n)
{
    static const char *const of_models[] = {"shape", "type", "profile", "cache"},
                             *const of_rank[] = {"trunk", "leaves", "leaf-tokens"};
    static const char *const not_of_file[] = {"profile", "cache",   "rounds",
                                              "json",    "threads", "cpu"};
    const bool file = strcmp(b->what, "file") == 0;
    const bool models = file || strcmp(b->what, "model") == 0 || strcmp(b->what, "rank") == 0;
    if (!known(b->what))
        return args_misuse(c,
                           "there is no benchmark '%s'; expected limits, kernels, model, rank, "
                           "core, file or compare",
                           b->what);
    b->model = a->n > 1 ? a->positional[1] : NULL;
    if (a->n > 2 || (b->model && (!models || file)))
        return args_misuse(c, "'%s' has no effect", a->positional[a->n - 1]);
    for (size_t i = 0; i < COUNT(of_models) && !models; i++)
        if (args_given(opts, n, of_models[i]))
            return args_misuse(c, "--%s has no effect on %s", of_models[i], b->what);
    for (size_t i = 0; i < COUNT(of_rank) && strcmp(b->what, "rank") != 0; i++)
        if (args_given(opts, n, of_rank[i]))
            return args_misuse(c, "--%s has no effect on %s", of_rank[i], b->what);
    for (size_t i = 0; i < COUNT(not_of_file) && file; i++)
        if (args_given(opts, n, not_of_file[i]))
            return args_misuse(c, "--%s has no effect on file", not_of_file[i]);
    if (file != (b->output != NULL))
        return file ? args_misuse(c, "file needs -o FILE")
                    : args_misuse(c, "--output has no effect on %s", b->what);
    if (b->model && (args_given(opts, n, "shape") || args_given(opts, n, "type")))
        return args_misuse(c, "a MODEL has its own shape and type");
    if (args_given(opts, n, "data") && strcmp(b->what, "core") != 0)
        return args_misuse(c, "--data has no effect on %s", b->what);
    if (strcmp(b->what, "limits") == 0 && args_given(opts, n, "rounds"))
        return args_misuse(c, "--rounds has no effect on limits: the best of many tries is given");
    if (strcmp(b->what, "core") == 0 &&
        (args_given(opts, n, "threads") || args_given(opts, n, "cpu")))
        return args_misuse(c, "--threads and --cpu have no effect on core");
    if (strcmp(b->what, "core") == 0)
        b->engine_options.threads = 1;
    if (strcmp(b->what, "kernels") == 0) {
        if (args_given(opts, n, "threads"))
            return args_misuse(c, "--threads has no effect on kernels: each runs on one");
        b->engine_options.threads = 1;
    }
    if (!models)
        b->shape = NULL;
    return -1;
}

static int run(const struct command *c, int argc, char **argv)
{
    struct bench b = {.engine_options = MODEL_OPTIONS_INIT,
                      .data = DATA_OPTIONS_INIT,
                      .shape = "1.1b",
                      .type = "q8_0",
                      .rounds = 5,
                      .trunk = 400,
                      .leaves = 10,
                      .leaf_tokens = 30};
    struct option opts[] = {
        {"shape", 0, OPT_TEXT, &b.shape, "15m|110m|1.1b|7b", "random weights of this shape", 0, 0,
         false},
        {"type", 0, OPT_TEXT, &b.type, "f32|f16|bf16|q8_0|q4_0|q6_k|q4_k", "and of this type", 0, 0,
         false},
        {"trunk", 0, OPT_INT, &b.trunk, "N", "rank: tokens that all questions share", 1, 100000,
         false},
        {"leaves", 0, OPT_INT, &b.leaves, "N", "rank: questions", 1, 1000, false},
        {"leaf-tokens", 0, OPT_INT, &b.leaf_tokens, "N", "rank: tokens of each", 1, 10000, false},
        {"cache", 0, OPT_CHOICE, &b.cache, RR_CACHE_NAMES,
         "what keys and values are stored as [f32]", 0, 0, false},
        {"profile", 0, OPT_FLAG, &b.profile, NULL,
         "where the time goes, on stderr (the clock is read at every step)", 0, 0, false},
        {"rounds", 0, OPT_INT, &b.rounds, "N", "measurements of each case, of which the median", 1,
         101, false},
        {"data", 0, OPT_TEXT, &b.data.dir, "PATH", "core: a data set [:demo]", 0, 0, false},
        {"output", 'o', OPT_TEXT, &b.output, "FILE", "file: where to write it", 0, 0, false},
        {"json", 0, OPT_FLAG, &b.json, NULL, "one JSON object instead of TSV", 0, 0, false},
        ENGINE_OPTION_ROWS(b.engine_options),
    };
    struct args a;
    struct rr_error err = {0};
    int rc = args_parse(&a, c, opts, COUNT(opts), argc, argv);
    if (rc >= 0)
        return rc;
    b.what = a.positional[0];
    for (size_t i = 0; i < COUNT(opts) && strcmp(b.what, "compare") == 0; i++)
        if (opts[i].given)
            return args_misuse(c, "--%s has no effect on compare", opts[i].name);
    if (strcmp(b.what, "compare") == 0)
        return a.n == 3 ? bench_compare(a.positional[1], a.positional[2])
                        : args_misuse(c, "compare needs two files of TSV: before and after");
    if ((rc = check(c, &b, &a, opts, COUNT(opts))) >= 0)
        return rc;
    const struct model_options *o = &b.engine_options;
    const int level = o->cpu ? rr_cpu_level_from_name(o->cpu) : (int)rr_cpu_best();
    if (level < 0)
        return args_misuse(c, "--cpu is '%s'; expected " RR_CPU_LEVEL_NAMES, o->cpu);
    rc = rr_engine_init(&b.engine, (int)o->threads, (enum rr_cpu_level)level, &err);
    if (rc) {
        rr_engine_release(&b.engine);
        return tool_fail(&err);
    }
    rc = bench(&b, c);
    rr_engine_release(&b.engine);
    return rc;
}

const struct command cmd_bench = {
    .name = "bench",
    .synopsis =
        "limits|kernels|model|rank|core [MODEL] [--shape 1.1b --type q8_0], file -o FILE, or "
        "compare BEFORE AFTER",
    .summary = "measure this machine, and the engine beside its limits",
    .examples = "  recrank bench limits\n"
                "  recrank bench model --shape 1.1b --type q8_0 --threads 2 --json\n"
                "  recrank bench rank --shape 15m --trunk 400 --leaves 10 --leaf-tokens 30\n"
                "  recrank bench kernels > before.tsv; ...; recrank bench compare before.tsv "
                "after.tsv\n",
    .notes =
        "limits: bandwidth of memories of each size, and peak of each unit. kernels: the entries "
        "of "
        "the kernel table, checked against\nplain C and timed. model: prefill of 128 and 512 "
        "tokens, decode. rank: a trunk and the questions behind it, two logits of each.\ncore: "
        "what ranking costs without a model. Rows of kernels, model and rank stand beside their "
        "limit (share: value / limit): the peak\nof the level's fastest unit, or the bandwidth of "
        "a memory as large as the weights. file: such a model as GGUF, for timing other engines on "
        "the same. compare: rows of two results; those worse by more\nthan "
        "3 % and by more than both spreads are marked (exit code 1). On a busy machine, more "
        "--rounds.\n",
    .min_args = 1,
    .max_args = 3,
    .run = run,
};
