/* recrank logits: float32 logits of every position, for checking the engine against a reference. */
#include <stdio.h>
#include <string.h>
#include "engine/base/number.h"
#include "tools/common.h"

/* "1,5,9" into ids; returns how many, 0 when the text is no list of ids. */
static int parse_ids(const char *s, int **out)
{
    size_t cap = 0;
    int n = 0;
    *out = NULL;
    for (const char *p = s;; p++) {
        const char *comma = strchr(p, ',');
        size_t len = comma ? (size_t)(comma - p) : strlen(p);
        uint64_t id;
        if (!rr_parse_u64(&id, p, len, INT32_MAX) ||
            !rr_grow(out, &cap, (size_t)n + 1, sizeof **out))
            return 0;
        (*out)[n++] = (int)id;
        if (!comma)
            return n;
        p = comma;
    }
}

static int compute(float *logits, struct loaded *l, const int *ids, int n, struct rr_error *err)
{
    const struct rr_session_options o = {.n_context = n};
    const size_t n_vocab = (size_t)l->weights.model.h.n_vocab;
    struct rr_session *s = NULL;
    struct rr_want *wants = rr_zalloc((size_t)n, sizeof *wants);
    int node, rc = wants ? rr_session_open(&s, &l->engine, &l->weights.model, &o, err)
                         : rr_fail_memory(err, "wants", 0);
    for (int i = 0; i < n && !rc; i++)
        wants[i] = (struct rr_want){.offset = i, .logits = logits + (size_t)i * n_vocab};
    if (!rc)
        rc = rr_session_branch(s, -1, n, &node, err);
    if (!rc)
        rc = rr_session_eval(s, &(struct rr_feed){node, ids, n}, 1, wants, n, err);
    rr_session_close(s);
    rr_free(wants);
    return rc;
}

static int write_file(const char *path, const float *v, size_t n, struct rr_error *err)
{
    struct rr_out out;
    tool_catch_interrupt(); /* from here on there is a temporary file to remove */
    int rc = rr_out_open(&out, path, err);
    if (rc)
        return rc;
    fwrite(v, sizeof *v, n, out.f); /* a short write shows in ferror, which the commit tests */
    return tool_commit(&out, err);
}

static int run(const struct command *c, int argc, char **argv)
{
    struct model_options mo = MODEL_OPTIONS_INIT;
    const char *tokens = NULL, *out = NULL;
    struct option opts[] = {
        {"tokens", 0, OPT_TEXT, &tokens, "1,5,9", "token ids, used as given", 0, 0, false},
        {"output", 'o', OPT_TEXT, &out, "FILE", "where to write them", 0, 0, false},
        MODEL_OPTION_ROWS(mo),
    };
    struct args a;
    struct loaded l;
    struct rr_error err = {0};
    int *ids = NULL, rc = args_parse(&a, c, opts, COUNT(opts), argc, argv);
    if (rc >= 0)
        return rc;
    if (!tokens || !out)
        return args_misuse(c, "--tokens and --output are needed");
    int n = parse_ids(tokens, &ids);
    if (!n) {
        rr_free(ids);
        return args_misuse(c, "--tokens is '%s'; expected ids like 1,5,9", tokens);
    }
    rc = tool_load(&l, a.positional[0], &mo, false);
    if (rc < 0) {
        const size_t size = (size_t)n * (size_t)l.weights.model.h.n_vocab;
        float *logits = rr_alloc(size, sizeof *logits);
        rc = logits ? compute(logits, &l, ids, n, &err)
                    : rr_fail_memory(&err, "logits", size * sizeof *logits);
        if (!rc)
            rc = write_file(out, logits, size, &err);
        rc = rc ? tool_fail(&err) : 0;
        rr_free(logits);
        tool_unload(&l);
    }
    rr_free(ids);
    return rc;
}

const struct command cmd_logits = {
    .name = "logits",
    .synopsis = "MODEL --tokens IDS -o FILE",
    .summary = "write the logits of every position as float32",
    .examples = "  recrank logits model.gguf --tokens 1,5,9 -o logits.f32\n",
    .notes = "The file holds [n_tokens, vocabulary] little-endian float32, the token ids taken as "
             "given.\n",
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
