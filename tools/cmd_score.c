/* recrank score: log-probabilities of given continuations, by tree scoring. */
#include <stdio.h>
#include "engine/base/json.h"
#include "tools/common.h"
#include "tools/lines.h"

#define MAX_CHOICES 4096

struct scorer {
    struct rr_session *session;
    struct rr_chat_frame frame; /* of a prompt and what may answer it, or none */
    struct rr_encoding encoding;
    struct rr_buf text, out;
    /* One line's choices: their tokens behind the shared prompt, and what was wanted at each. */
    int n_context;
    int *ids;
    size_t n_ids, cap_ids;
    size_t *starts;
    struct rr_feed *feeds;
    struct rr_want *wants;
    float *logits;
    double *norms;
    int *first, *first_ids; /* see make_wants */
    size_t cap_starts, cap_feeds, cap_wants, cap_logits, cap_norms, cap_first, cap_first_ids;
};

/* The tokens of prompt + choice, BOS in front, appended to s->ids. */
static int encode(struct scorer *s, const struct rr_json *prompt, const struct rr_json *choice,
                  struct rr_error *err)
{
    const struct rr_chat_turns turns = {.user = prompt->text,
                                        .n_user = prompt->n_text,
                                        .answer = choice ? choice->text : "",
                                        .n_answer = choice ? choice->n_text : 0};
    const int bos = s->frame.bos;
    int rc;
    if (s->frame.chat) {
        rc = rr_chat_encode(&s->encoding, &s->frame, &turns, err);
    } else {
        rr_buf_clear(&s->text);
        rr_buf_add(&s->text, prompt->text, prompt->n_text);
        if (choice)
            rr_buf_add(&s->text, choice->text, choice->n_text);
        rc = s->text.failed ? rr_fail_memory(err, "text", s->text.n)
                            : rr_tokenizer_encode(s->frame.tokenizer, &s->encoding,
                                                  s->text.data ? s->text.data : "", s->text.n, err);
    }
    if (rc)
        return rc;
    /* Here, before the tokens of thousands of choices are there. */
    const size_t n = s->encoding.n + (bos >= 0);
    if (n > (size_t)s->n_context)
        return rr_fail(err, RR_ERR_DATA, "CONTEXT", RR_NOWHERE,
                       "%zu tokens with a choice; the context is %d", n, s->n_context);
    if (!rr_grow(&s->ids, &s->cap_ids, s->n_ids + s->encoding.n + 1, sizeof *s->ids))
        return rr_fail_memory(err, "tokens", s->n_ids * sizeof *s->ids);
    if (bos >= 0)
        s->ids[s->n_ids++] = bos;
    rr_copy(s->ids + s->n_ids, s->encoding.ids, s->encoding.n * sizeof *s->ids);
    s->n_ids += s->encoding.n;
    return RR_OK;
}

/* Tokens that texts a and b have in common at their beginning. */
static size_t common(const struct scorer *s, size_t a, size_t b)
{
    const size_t n_a = s->starts[a + 1] - s->starts[a], n_b = s->starts[b + 1] - s->starts[b];
    size_t same = 0;
    while (same < n_a && same < n_b && s->ids[s->starts[a] + same] == s->ids[s->starts[b] + same])
        same++;
    return same;
}

/* Opens the trunk (what all texts share) and a leaf per choice; *trunk_len receives its length. */
static int open_tree(struct scorer *s, size_t n, size_t *trunk_len, struct rr_error *err)
{
    size_t len = s->starts[1] - s->starts[0];
    for (size_t i = 1; i <= n; i++) {
        const size_t same = common(s, 0, i);
        len = same < len ? same : len;
    }
    if (!len)
        return rr_fail(err, RR_ERR_DATA, "PROMPT", RR_NOWHERE,
                       "the choices change the prompt's first token; begin it with more text");
    int trunk, rc = rr_session_branch(s->session, -1, (int)len, &trunk, err);
    if (!rc)
        s->feeds[0] = (struct rr_feed){trunk, s->ids + s->starts[0], (int)len};
    for (size_t i = 1; i <= n && !rc; i++) {
        struct rr_feed *f = &s->feeds[i];
        f->tokens = s->ids + s->starts[i] + len;
        f->n_tokens = (int)(s->starts[i + 1] - s->starts[i] - len);
        rc = rr_session_branch(s->session, trunk, f->n_tokens, &f->node, err);
    }
    *trunk_len = len;
    return rc;
}

/* Choice i counts from the first token in which it leaves the prompt's tokens, whatever the other
 * choices are. Want 0 reads, at the trunk's end, the first tokens of all choices that leave there;
 * the others read inside the leaves. Returns the number of wants; s->first[i] is the choice's place
 * in want 0 or -1. */
static size_t make_wants(struct scorer *s, size_t n, size_t trunk_len)
{
    size_t n_wants = 1, n_first = 0;
    for (size_t i = 1; i <= n; i++) {
        const size_t leaves_at = common(s, 0, i), len = (size_t)s->feeds[i].n_tokens;
        s->first[i] = -1;
        if (leaves_at == trunk_len && len) {
            s->first[i] = (int)n_first;
            s->first_ids[n_first++] = s->feeds[i].tokens[0];
        }
        for (size_t t = leaves_at > trunk_len ? leaves_at - trunk_len : 1; t < len; t++, n_wants++)
            s->wants[n_wants] = (struct rr_want){.feed = (int)i,
                                                 .offset = (int)t - 1,
                                                 .ids = s->feeds[i].tokens + t,
                                                 .n_ids = 1,
                                                 .logits = &s->logits[n + n_wants],
                                                 .log_norm = &s->norms[n_wants]};
    }
    s->wants[0] = (struct rr_want){.feed = 0,
                                   .offset = (int)trunk_len - 1,
                                   .ids = s->first_ids,
                                   .n_ids = (int)n_first,
                                   .logits = s->logits,
                                   .log_norm = &s->norms[0]};
    return n_wants;
}

static int grow_scratch(struct scorer *s, size_t n, struct rr_error *err)
{
    const size_t most = n + s->n_ids + 2;
    if (rr_grow(&s->feeds, &s->cap_feeds, n + 1, sizeof *s->feeds) &&
        rr_grow(&s->first, &s->cap_first, n + 1, sizeof *s->first) &&
        rr_grow(&s->first_ids, &s->cap_first_ids, n + 1, sizeof *s->first_ids) &&
        rr_grow(&s->wants, &s->cap_wants, most, sizeof *s->wants) &&
        rr_grow(&s->logits, &s->cap_logits, n + most, sizeof *s->logits) &&
        rr_grow(&s->norms, &s->cap_norms, most, sizeof *s->norms))
        return RR_OK;
    return rr_fail_memory(err, "choices", most * sizeof *s->wants);
}

/* Scores texts 1..n (text 0 is the prompt) into s->out. */
static int score_texts(struct scorer *s, size_t n, struct rr_error *err)
{
    size_t trunk_len = 0, n_wants = 0;
    int rc = grow_scratch(s, n, err);
    if (!rc)
        rc = open_tree(s, n, &trunk_len, err);
    if (!rc) {
        n_wants = make_wants(s, n, trunk_len);
        rc = rr_session_eval(s->session, s->feeds, (int)n + 1, s->wants, (int)n_wants, err);
    }
    rr_session_rewind(s->session, 0);
    if (rc)
        return rc;
    struct rr_buf counts = {0};
    size_t w = 1;
    rr_buf_clear(&s->out);
    rr_buf_puts(&s->out, "{\"logprobs\":[");
    for (size_t i = 1; i <= n; i++) {
        double sum = s->first[i] < 0 ? 0 : (double)s->logits[s->first[i]] - s->norms[0];
        int count = s->first[i] >= 0;
        for (; w < n_wants && s->wants[w].feed == (int)i; w++, count++)
            sum += (double)s->logits[n + w] - s->norms[w];
        rr_buf_puts(&s->out, i > 1 ? "," : "");
        rr_json_add_double(&s->out, sum);
        rr_buf_printf(&counts, "%s%d", i > 1 ? "," : "", count);
    }
    rr_buf_printf(&s->out, "],\"tokens\":[%s]}\n", counts.data ? counts.data : "");
    rc = s->out.failed || counts.failed ? rr_fail_memory(err, "output", s->out.n) : RR_OK;
    rr_buf_free(&counts);
    return rc;
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
    int chat_option = 0;
    enum rr_chat chat;
    struct option opts[] = {
        {"context", 0, OPT_INT, &context, "N",
         "longest prompt with choice in tokens, 0: the model's own", 0, 1 << 22, false},
        {"cells", 0, OPT_INT, &cells, "N",
         "tokens of a prompt and all its choices together, 0: two contexts", 0, 1 << 28, false},
        CHAT_OPTION_ROW(chat_option),
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
    if ((rc = tool_chat(&chat, chat_option, &l.weights, a.positional[0], mo.tokenizer)) >= 0) {
        tool_unload(&l);
        return rc;
    }
    const int ctx = context ? (int)context : l.weights.model.h.n_context;
    const long long all = cells ? cells : 2LL * ctx;
    const struct rr_session_options so = {.n_context = ctx,
                                          .n_cells = (int)(all < 1 << 28 ? all : 1 << 28),
                                          .n_nodes = MAX_CHOICES + 1};
    s.n_context = ctx;
    rc = rr_chat_open(&s.frame, chat, l.weights.tokenizer, &err);
    if (!rc)
        rc = rr_session_open(&s.session, &l.engine, &l.weights.model, &so, &err);
    lines_open(&in, stdin, "standard input");
    while (!rc && tool_wrote() && (more = lines_next(&in, &ln, &err)) != 0) {
        struct rr_arena arena = {0};
        struct rr_json *root;
        rc = more < 0 ? more : rr_json_parse(&root, &arena, ln.text, ln.n, NULL, 0, &err);
        if (!rc)
            rc = score_request(&s, root, &err);
        if (!rc)
            fwrite(s.out.data, 1, s.out.n, stdout);
        else if (more > 0) {
            /* The line asks for too much: its fault, not the command line's. */
            rc = err.status = rc == RR_ERR_USAGE ? RR_ERR_DATA : rc;
            lines_locate(&err, &ln);
        }
        rr_arena_free(&arena);
    }
    lines_close(&in);
    rr_session_close(s.session);
    rr_chat_close(&s.frame);
    rr_buf_free(&s.text);
    rr_encoding_free(&s.encoding);
    rr_buf_free(&s.out);
    rr_free(s.ids);
    rr_free(s.starts);
    rr_free(s.feeds);
    rr_free(s.wants);
    rr_free(s.logits);
    rr_free(s.norms);
    rr_free(s.first);
    rr_free(s.first_ids);
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
             "prompt's.\n"
             "With --chat the prompt is a user's message, and a choice is what the answer begins "
             "with.\n",
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
