/* recrank generate: text after a prompt, to see that a model is alive. */
#include <stdio.h>
#include <string.h>
#include "engine/base/check.h"
#include "engine/sample.h"
#include "tools/common.h"

#define PART 512 /* tokens of a prompt at once */

struct settings {
    struct model_options model;
    const char *prompt;
    long long n, top_k, seed;
    double temperature, top_p;
    int chat_option;
    enum rr_chat chat;
};

struct generator {
    struct rr_session *session;
    const struct rr_tokenizer *tokenizer;
    struct rr_sampler sampler;
    float *logits;
    struct rr_sample_scratch *scratch;
    struct rr_buf text;
    size_t shown; /* bytes of text already printed */
    int *ids;     /* the prompt's and what follows */
    int n_prompt, n_ids, n_vocab;
    struct rr_chat_frame frame;
};

/* Prints what the newest token adds; decoding the whole keeps the rules about blanks in one
 * place. */
static int show(struct generator *g, struct rr_error *err)
{
    rr_buf_clear(&g->text);
    int rc = rr_tokenizer_decode(g->tokenizer, &g->text, g->ids, (size_t)g->n_ids, err);
    if (!rc && g->text.n > g->shown) {
        fwrite(g->text.data + g->shown, 1, g->text.n - g->shown, stdout);
        g->shown = g->text.n;
    }
    return rc;
}

/* Of a chat only the answer is printed. */
static int skip_prompt(struct generator *g, struct rr_error *err)
{
    rr_buf_clear(&g->text);
    int rc = rr_tokenizer_decode(g->tokenizer, &g->text, g->ids, (size_t)g->n_ids, err);
    g->shown = g->text.n;
    return rc;
}

static int generate(struct generator *g, int n, struct rr_error *err)
{
    const int bos = rr_tokenizer_bos(g->tokenizer);
    int node, rc = rr_session_branch(g->session, -1, g->n_prompt + n, &node, err), fed = 0;
    if (!rc)
        rc = g->frame.chat ? skip_prompt(g, err) : show(g, err);
    /* A long prompt in parts: it can be interrupted, and gives the same. */
    for (; !rc && g->n_ids - fed > PART && !tool_interrupted(); fed += PART)
        rc = rr_session_eval(g->session, &(struct rr_feed){node, g->ids + fed, PART}, 1, NULL, 0,
                             err);
    for (int i = 0; i < n && !rc && tool_wrote() && !tool_interrupted(); i++) {
        const struct rr_feed feed = {node, g->ids + fed, g->n_ids - fed};
        const struct rr_want want = {.offset = feed.n_tokens - 1, .logits = g->logits};
        fed = g->n_ids;
        rr_session_decoding(g->session, i > 0);
        rc = rr_session_eval(g->session, &feed, 1, &want, 1, err);
        if (rc)
            break;
        const int id = rr_sample(&g->sampler, g->logits, g->n_vocab, g->scratch);
        if (id == bos || id == g->frame.end || rr_tokenizer_ends(g->tokenizer, id))
            break;
        /* A padded head may have rows that no piece stands for. */
        if (id >= rr_tokenizer_size(g->tokenizer))
            return rr_fail(err, RR_ERR_DATA, "TOKEN_ID", RR_NOWHERE,
                           "the model chose id %d; the tokenizer has %d pieces", id,
                           rr_tokenizer_size(g->tokenizer));
        g->ids[g->n_ids++] = id;
        rc = show(g, err);
        fflush(stdout);
    }
    putchar('\n');
    return rc;
}

static int prepare(struct generator *g, struct loaded *l, const struct settings *s,
                   struct rr_error *err)
{
    struct rr_encoding e = {0};
    g->tokenizer = l->weights.tokenizer;
    g->n_vocab = l->weights.model.h.n_vocab;
    g->sampler = (struct rr_sampler){
        .temperature = s->temperature, .top_k = (int)s->top_k, .top_p = s->top_p};
    rr_rng_seed(&g->sampler.rng, (uint64_t)s->seed);
    int rc = rr_chat_open(&g->frame, s->chat, g->tokenizer, err);
    const int bos = g->frame.bos;
    const struct rr_chat_turns turns = {.user = s->prompt, .n_user = strlen(s->prompt)};
    if (!rc)
        rc = s->chat ? rr_chat_encode(&e, &g->frame, &turns, err)
                     : rr_tokenizer_encode(g->tokenizer, &e, s->prompt, strlen(s->prompt), err);
    if (!rc) {
        g->ids = rr_alloc(e.n + 1 + (size_t)s->n, sizeof *g->ids);
        g->logits = rr_alloc((size_t)g->n_vocab, sizeof *g->logits);
        g->scratch = rr_alloc((size_t)g->n_vocab, sizeof *g->scratch);
        if (!g->ids || !g->logits || !g->scratch)
            rc = rr_fail_memory(err, "logits", (size_t)g->n_vocab * sizeof *g->scratch);
    }
    if (!rc) {
        if (bos >= 0)
            g->ids[g->n_ids++] = bos;
        rr_copy(g->ids + g->n_ids, e.ids, e.n * sizeof *e.ids);
        g->n_ids += (int)e.n;
        g->n_prompt = g->n_ids;
        if (!g->n_ids)
            rc = rr_fail(err, RR_ERR_USAGE, "PROMPT", RR_NOWHERE,
                         "an empty prompt, and the tokenizer has no BOS to start from");
    }
    const int trained = l->weights.model.h.n_context, need = g->n_prompt + (int)s->n;
    if (!rc && need > trained)
        fprintf(stderr, "recrank: note: %d tokens go beyond the model's context of %d\n", need,
                trained);
    const struct rr_session_options so = {.n_context = rr_max_int(need, 1)};
    if (!rc)
        rc = rr_session_open(&g->session, &l->engine, &l->weights.model, &so, err);
    rr_encoding_free(&e);
    return rc;
}

static int run(const struct command *c, int argc, char **argv)
{
    struct settings s = {.prompt = NULL, .n = 128, .temperature = 0.8, .top_p = 1, .seed = 1};
    struct option opts[] = {
        {"prompt", 'p', OPT_TEXT, &s.prompt, "TEXT", "text to continue; \"\" starts from BOS alone",
         0, 0, false},
        {"tokens", 'n', OPT_INT, &s.n, "N", "tokens to generate at most", 0, 1 << 22, false},
        {"temperature", 0, OPT_REAL, &s.temperature, "T", "0: always the likeliest token", 0, 100,
         false},
        {"top-k", 0, OPT_INT, &s.top_k, "K", "draw from the K likeliest, 0: all", 0, 1 << 24,
         false},
        {"top-p", 0, OPT_REAL, &s.top_p, "P", "draw from the likeliest that sum to P", 0, 1, false},
        {"seed", 0, OPT_INT, &s.seed, "S", "seed of the draws", 0, 9007199254740992.0, false},
        CHAT_OPTION_ROW(s.chat_option),
        MODEL_OPTION_ROWS(s.model),
    };
    static const char *const sampling[] = {"top-k", "top-p", "seed"};
    struct args a;
    struct loaded l;
    struct generator g = {0};
    struct rr_error err = {0};
    int rc = args_parse(&a, c, opts, COUNT(opts), argc, argv);
    if (rc >= 0)
        return rc;
    if (!s.prompt)
        return args_misuse(c, "--prompt is needed");
    for (size_t i = 0; i < COUNT(sampling) && s.temperature == 0; i++)
        if (args_given(opts, COUNT(opts), sampling[i]))
            return args_misuse(c, "--%s has no effect at --temperature 0", sampling[i]);
    tool_catch_interrupt();
    if ((rc = tool_load(&l, a.positional[0], &s.model, true)) >= 0)
        return rc;
    if ((rc = tool_chat(&s.chat, s.chat_option, &l.weights, a.positional[0], s.model.tokenizer)) >=
        0) {
        tool_unload(&l);
        return rc;
    }
    rc = prepare(&g, &l, &s, &err);
    if (!rc)
        rc = generate(&g, (int)s.n, &err);
    if (!rc && tool_interrupted())
        rc = rr_fail(&err, RR_ERR_INTERRUPTED, "INTERRUPTED", RR_NOWHERE, "stopped after %d tokens",
                     g.n_ids - g.n_prompt);
    rr_session_close(g.session);
    rr_chat_close(&g.frame);
    rr_buf_free(&g.text);
    rr_free(g.ids);
    rr_free(g.logits);
    rr_free(g.scratch);
    tool_unload(&l);
    return rc ? tool_fail(&err) : tool_finish();
}

const struct command cmd_generate = {
    .name = "generate",
    .synopsis = "MODEL -p TEXT [-n N] [--temperature T]",
    .summary = "continue a text",
    .examples = "  recrank generate model.gguf -p 'Once upon a time' -n 100 --temperature 0\n",
    .notes =
        "With --chat the text is a user's message, and the answer is printed, up to the end of its "
        "turn; what the template adds of its own\n(a default system message, a date) is left "
        "out.\n",
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
