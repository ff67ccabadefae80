/* recrank score: log-probabilities of given continuations, by tree scoring. */
#include <stdio.h>
#include <string.h>
#include "engine/base/check.h"
#include "engine/base/json.h"
#include "tools/common.h"
#include "tools/lines.h"

#define MAX_CHOICES 4096

struct scorer {
    struct rr_session *session;
    const struct rr_tokenizer *tokenizer;
    struct rr_encoding encoding;
    struct rr_buf text, out;
    /* One line's choices: their tokens behind the shared prompt, and what was wanted at each. */
    int *ids;
    size_t n_ids, cap_ids;
    size_t *starts;
    struct rr_feed *feeds;
    struct rr_want *wants;
    float *logits;
    double *norms;
    size_t cap_starts, cap_feeds, cap_wants, cap_logits, cap_norms;
};

/* The tokens of prompt + choice, BOS in front, appended to s->ids. */
static int encode(struct scorer *s, const struct rr_json *prompt, const struct rr_json *choice,
                  struct rr_error *err)
{
    const int bos = rr_tokenizer_bos(s->tokenizer);
    rr_buf_clear(&s->text);
    rr_buf_add(&s->text, prompt->text, prompt->n_text);
    if (choice)
        rr_buf_add(&s->text, choice->text, choice->n_text);
    int rc = s->text.failed ? rr_fail_memory(err, "text", s->text.n)
                            : rr_tokenizer_encode(s->tokenizer, &s->encoding,
                                                  s->text.data ? s->text.data : "", s->text.n, err);
    if (rc)
        return rc;
    if (!rr_grow(&s->ids, &s->cap_ids, s->n_ids + s->encoding.n + 1, sizeof *s->ids))
        return rr_fail_memory(err, "tokens", s->n_ids * sizeof *s->ids);
    if (bos >= 0)
        s->ids[s->n_ids++] = bos;
    rr_copy(s->ids + s->n_ids, s->encoding.ids, s->encoding.n * sizeof *s->ids);
    s->n_ids += s->encoding.n;
    return RR_OK;
}

/* Tokens that all of the line's texts begin with. The last token of the prompt alone is never
 * shared further: each choice is scored from the first token in which it differs from the
 * prompt. */
static size_t shared(const struct scorer *s, size_t n_texts)
{
    size_t len = s->starts[1] - s->starts[0];
    for (size_t i = 1; i < n_texts; i++) {
        size_t same = 0, n = s->starts[i + 1] - s->starts[i];
        while (same < len && same < n && s->ids[s->starts[i] + same] == s->ids[s->starts[0] + same])
            same++;
        len = same;
    }
    return len;
}

/* Scores texts 1..n (text 0 is the prompt): out["logprobs"][i] = sum log p of the tokens behind
 * the shared ones. */
static int score_texts(struct scorer *s, size_t n, struct rr_error *err)
{
    const size_t trunk_len = shared(s, n + 1), total = s->n_ids;
    if (!rr_grow(&s->feeds, &s->cap_feeds, n + 1, sizeof *s->feeds) ||
        !rr_grow(&s->wants, &s->cap_wants, total, sizeof *s->wants) ||
        !rr_grow(&s->logits, &s->cap_logits, total, sizeof *s->logits) ||
        !rr_grow(&s->norms, &s->cap_norms, total, sizeof *s->norms))
        return rr_fail_memory(err, "choices", total * sizeof *s->wants);
    if (!trunk_len)
        return rr_fail(err, RR_ERR_DATA, "PROMPT", RR_NOWHERE,
                       "the choices change the prompt's first token; begin it with more text");
    int trunk, rc = rr_session_branch(s->session, -1, (int)trunk_len, &trunk, err);
    s->feeds[0] = (struct rr_feed){trunk, s->ids + s->starts[0], (int)trunk_len};
    size_t n_wants = 0;
    /* Wants go by feed: first all choices' first tokens, read at the trunk's end, then the
     * tokens inside each leaf. */
    for (size_t i = 1; i <= n && !rc; i++) {
        const size_t len = s->starts[i + 1] - s->starts[i] - trunk_len;
        rc = rr_session_branch(s->session, trunk, (int)len, &s->feeds[i].node, err);
        s->feeds[i].tokens = s->ids + s->starts[i] + trunk_len;
        s->feeds[i].n_tokens = (int)len;
        if (len) {
            s->wants[n_wants] = (struct rr_want){.feed = 0,
                                                 .offset = (int)trunk_len - 1,
                                                 .ids = s->feeds[i].tokens,
                                                 .n_ids = 1,
                                                 .logits = &s->logits[n_wants],
                                                 .log_norm = &s->norms[n_wants]};
            n_wants++;
        }
    }
    for (size_t i = 1; i <= n && !rc; i++)
        for (int t = 0; t + 1 < s->feeds[i].n_tokens; t++, n_wants++)
            s->wants[n_wants] = (struct rr_want){.feed = (int)i,
                                                 .offset = t,
                                                 .ids = s->feeds[i].tokens + t + 1,
                                                 .n_ids = 1,
                                                 .logits = &s->logits[n_wants],
                                                 .log_norm = &s->norms[n_wants]};
    if (!rc)
        rc = rr_session_eval(s->session, s->feeds, (int)n + 1, s->wants, (int)n_wants, err);
    rr_session_rewind(s->session, 0);
    if (rc)
        return rc;
    size_t first = 0, inner = 0;
    for (size_t i = 1; i <= n; i++)
        inner += s->feeds[i].n_tokens > 0;
    rr_buf_clear(&s->out);
    rr_buf_puts(&s->out, "{\"logprobs\":[");
    for (size_t i = 1; i <= n; i++) {
        double sum = 0;
        if (s->feeds[i].n_tokens) {
            sum = (double)s->logits[first] - s->norms[first];
            first++;
        }
        for (int t = 0; t + 1 < s->feeds[i].n_tokens; t++, inner++)
            sum += (double)s->logits[inner] - s->norms[inner];
        rr_buf_puts(&s->out, i > 1 ? "," : "");
        rr_json_add_double(&s->out, sum);
    }
    rr_buf_puts(&s->out, "],\"tokens\":[");
    for (size_t i = 1; i <= n; i++)
        rr_buf_printf(&s->out, "%s%d", i > 1 ? "," : "", s->feeds[i].n_tokens);
    rr_buf_puts(&s->out, "]}\n");
    return s->out.failed ? rr_fail_memory(err, "output", s->out.n) : RR_OK;
}

static int score_request(struct scorer *s, const struct rr_json *root, struct rr_error *err)
{
    const struct rr_json *prompt = rr_json_get(root, "prompt"),
                         *choices = rr_json_get(root, "choices");
    if (!prompt || prompt->type != RR_JSON_STRING || !choices || choices->type != RR_JSON_ARRAY ||
        !choices->n_children || choices->n_children > MAX_CHOICES)
        return rr_fail(err, RR_ERR_DATA, "JSON", RR_NOWHERE,
                       "expected {\"prompt\": string, \"choices\": [1 to %d strings]}",
                       MAX_CHOICES);
    if (!rr_grow(&s->starts, &s->cap_starts, choices->n_children + 2, sizeof *s->starts))
        return rr_fail_memory(err, "choices", choices->n_children);
    size_t n = 0;
    s->n_ids = 0;
    s->starts[0] = 0;
    int rc = encode(s, prompt, NULL, err);
    for (const struct rr_json *c = choices->child; c && !rc; c = c->next) {
        s->starts[++n] = s->n_ids;
        rc = c->type == RR_JSON_STRING
                 ? encode(s, prompt, c, err)
                 : rr_fail(err, RR_ERR_DATA, "JSON", RR_AT_BYTE(NULL, "choices", c->offset),
                           "a choice is %s; expected a string", rr_json_type_name(c->type));
    }
    s->starts[n + 1] = s->n_ids;
    return rc ? rc : score_texts(s, n, err);
}

static int run(const struct command *c, int argc, char **argv)
{
    struct model_options mo = MODEL_OPTIONS_INIT;
    long long context = 0, cells = 0;
    struct option opts[] = {
        {"context", 0, OPT_INT, &context, "N",
         "longest prompt with choice in tokens, 0: the model's own", 0, 1 << 22, false},
        {"cells", 0, OPT_INT, &cells, "N",
         "tokens of a prompt and all its choices together, 0: four contexts", 0, 1 << 28, false},
        MODEL_OPTION_ROWS(mo),
    };
    struct args a;
    struct loaded l;
    struct scorer s = {0};
    struct rr_error err = {0};
    struct lines in;
    struct line ln;
    int more, rc = args_parse(&a, c, opts, COUNT(opts), argc, argv);
    if (rc >= 0)
        return rc;
    if ((rc = tool_load(&l, a.positional[0], &mo, true)) >= 0)
        return rc;
    const int ctx = context ? (int)context : l.weights.model.h.n_context;
    const long long all = cells ? cells : 4LL * ctx + 16LL * MAX_CHOICES;
    const struct rr_session_options so = {.n_context = ctx,
                                          .n_cells = (int)(all < 1 << 28 ? all : 1 << 28),
                                          .n_nodes = MAX_CHOICES + 1};
    s.tokenizer = l.weights.tokenizer;
    rc = rr_session_open(&s.session, &l.engine, &l.weights.model, &so, &err);
    lines_open(&in, stdin, "standard input");
    while (!rc && (more = lines_next(&in, &ln, &err)) != 0) {
        struct rr_arena arena = {0};
        struct rr_json *root;
        rc = more < 0 ? more : rr_json_parse(&root, &arena, ln.text, ln.n, NULL, 0, &err);
        if (!rc)
            rc = score_request(&s, root, &err);
        if (!rc)
            fwrite(s.out.data, 1, s.out.n, stdout);
        else if (more > 0)
            lines_locate(&err, &ln);
        rr_arena_free(&arena);
    }
    lines_close(&in);
    rr_session_close(s.session);
    rr_encoding_free(&s.encoding);
    rr_buf_free(&s.text);
    rr_buf_free(&s.out);
    rr_free(s.ids);
    rr_free(s.starts);
    rr_free(s.feeds);
    rr_free(s.wants);
    rr_free(s.logits);
    rr_free(s.norms);
    tool_unload(&l);
    return rc ? tool_fail(&err) : tool_finish();
}

const struct command cmd_score = {
    .name = "score",
    .synopsis = "MODEL < REQUESTS.jsonl",
    .summary = "log-probabilities of given continuations",
    .examples = "  echo '{\"prompt\":\"Once upon a\",\"choices\":[\" time\",\" dog\"]}' | recrank "
                "score model.gguf\n",
    .notes = "Each line asks for the log-probability of every choice after the prompt; the prompt "
             "is computed once. The answer is\n"
             "{\"logprobs\":[...],\"tokens\":[...]}, the natural logarithm summed over the "
             "choice's tokens, and how many those are.\n"
             "Prompt and choice are tokenized together; a choice begins where its tokens leave the "
             "prompt's.\n",
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
