/* recrank perplexity: how well a model predicts a text. */
#include <math.h>
#include <stdio.h>
#include "engine/base/check.h"
#include "engine/base/file.h"
#include "engine/base/json.h"
#include "tools/common.h"

#define LONGEST_WINDOW 2048 /* unless --context says more */

int tool_tokens_of_file(struct rr_encoding *e, const struct rr_tokenizer *t, const char *path,
                        struct rr_error *err)
{
    struct rr_map map;
    int rc = rr_map_open(&map, path, err);
    if (rc)
        return rc;
    rc = rr_tokenizer_encode(t, e, (const char *)map.data, map.size, err);
    rr_map_close(&map);
    if (!rc && e->n < 2)
        rc = rr_fail(err, RR_ERR_DATA, "TEXT", RR_AT_FILE(path),
                     "%zu tokens; at least 2 are needed to predict one", e->n);
    return rc;
}

/* A stretch of the text, as it is evaluated: BOS, where there is one, and the tokens. */
struct windows {
    struct rr_session *session;
    int bos, room;         /* room: tokens of the text in a window */
    int *ids;              /* [room + 1] */
    struct rr_want *wants; /* [room] */
    float *logits;
    double *norms;
};

static int open_windows(struct windows *w, struct loaded *l, int context, struct rr_error *err)
{
    const struct rr_session_options so = {.n_context = context, .n_cells = context};
    w->bos = rr_tokenizer_bos(l->weights.tokenizer);
    w->room = context - (w->bos >= 0);
    const size_t n = (size_t)w->room;
    w->ids = rr_alloc(n + 1, sizeof *w->ids);
    w->wants = rr_alloc(n, sizeof *w->wants);
    w->logits = rr_alloc(n, sizeof *w->logits);
    w->norms = rr_alloc(n, sizeof *w->norms);
    if (!w->ids || !w->wants || !w->logits || !w->norms)
        return rr_fail_memory(err, "window", n * sizeof *w->wants);
    return rr_session_open(&w->session, &l->engine, &l->weights.model, &so, err);
}

static void close_windows(struct windows *w)
{
    rr_session_close(w->session);
    rr_free(w->ids);
    rr_free(w->wants);
    rr_free(w->logits);
    rr_free(w->norms);
}

/* Adds the log-probabilities of tokens[n], of which the first is not predicted where there is no
 * BOS; *count: how many were. */
static int add_window(struct windows *w, const int *tokens, int n, double *sum, long long *count,
                      struct rr_error *err)
{
    const int before = w->bos >= 0, n_wants = before ? n : n - 1;
    int node;
    if (before)
        w->ids[0] = w->bos;
    rr_copy(w->ids + before, tokens, (size_t)n * sizeof *tokens);
    for (int i = 0; i < n_wants; i++)
        w->wants[i] = (struct rr_want){.offset = i,
                                       .ids = &w->ids[i + 1],
                                       .n_ids = 1,
                                       .logits = &w->logits[i],
                                       .log_norm = &w->norms[i]};
    int rc = rr_session_branch(w->session, -1, n + before, &node, err);
    if (!rc)
        rc = rr_session_eval(w->session, &(struct rr_feed){node, w->ids, n + before}, 1, w->wants,
                             n_wants, err);
    rr_session_rewind(w->session, 0);
    for (int i = 0; i < n_wants && !rc; i++)
        *sum += (double)w->logits[i] - w->norms[i];
    *count += rc ? 0 : n_wants;
    return rc;
}

static int measure(struct loaded *l, const char *path, int context, double *nats, long long *count,
                   struct rr_error *err)
{
    struct rr_encoding e = {0};
    struct windows w = {0};
    struct progress bar;
    double sum = 0;
    int rc = tool_tokens_of_file(&e, l->weights.tokenizer, path, err);
    if (!rc)
        rc = open_windows(&w, l, context, err);
    progress_start(&bar, "reading");
    for (size_t at = 0; at < e.n && !rc; at += (size_t)w.room) {
        const size_t left = e.n - at;
        rc = add_window(&w, e.ids + at, left < (size_t)w.room ? (int)left : w.room, &sum, count,
                        err);
        progress_step(&bar, (long long)at, (long long)e.n);
    }
    progress_end(&bar);
    *nats = *count ? -sum / (double)*count : 0;
    close_windows(&w);
    rr_encoding_free(&e);
    return rc;
}

static int run(const struct command *c, int argc, char **argv)
{
    struct model_options mo = MODEL_OPTIONS_INIT;
    long long context = 0, count = 0;
    bool json = false;
    double nats = 0;
    struct option opts[] = {
        {"context", 0, OPT_INT, &context, "N",
         "tokens of a window, 0: the model's context, at most 2048", 0, 1 << 20, false},
        {"json", 0, OPT_FLAG, &json, NULL, "one JSON object instead of the line", 0, 0, false},
        MODEL_OPTION_ROWS(mo),
    };
    struct args a;
    struct loaded l;
    struct rr_error err = {0};
    int rc = args_parse(&a, c, opts, COUNT(opts), argc, argv);
    if (rc >= 0)
        return rc;
    if (context == 1)
        return args_misuse(c, "--context is 1; a window needs 2 tokens");
    if ((rc = tool_load(&l, a.positional[0], &mo, true)) >= 0)
        return rc;
    const int window =
        context ? (int)context : rr_min_int(l.weights.model.h.n_context, LONGEST_WINDOW);
    rc = measure(&l, a.positional[1], window, &nats, &count, &err);
    tool_unload(&l);
    if (rc)
        return tool_fail(&err);
    if (json)
        printf("{\"tokens\":%lld,\"nats_per_token\":%.6f,\"perplexity\":%.6f}\n", count, nats,
               exp(nats));
    else
        printf("%lld tokens, %.4f nats per token, perplexity %.4f\n", count, nats, exp(nats));
    return tool_finish();
}

const struct command cmd_perplexity = {
    .name = "perplexity",
    .synopsis = "MODEL FILE",
    .summary = "how well a model predicts a text",
    .examples = "  recrank perplexity model.gguf book.txt\n",
    .notes =
        "The text is cut into windows of --context tokens, each behind a beginning of text; every "
        "token is predicted from those\nbefore it in its window. Compare models of one tokenizer "
        "only.\n",
    .min_args = 2,
    .max_args = 2,
    .run = run,
};
