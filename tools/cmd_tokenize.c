/* recrank tokenize: texts in, token ids out. */
#include <stdio.h>
#include <string.h>
#include "engine/base/json.h"
#include "tools/common.h"
#include "tools/demo.h"
#include "tools/lines.h"

static int print_ids(struct rr_buf *out, const struct rr_tokenizer *t, struct rr_encoding *e,
                     const char *text, size_t n, bool json, struct rr_error *err)
{
    int rc = rr_tokenizer_encode(t, e, text, n, err);
    if (rc)
        return rc;
    rr_buf_clear(out);
    rr_buf_puts(out, json ? "{\"ids\":[" : "");
    for (size_t i = 0; i < e->n; i++)
        rr_buf_printf(out, "%s%d", i ? (json ? "," : " ") : "", e->ids[i]);
    rr_buf_puts(out, json ? "]}\n" : "\n");
    if (out->failed)
        return rr_fail_memory(err, "output", e->n);
    fwrite(out->data, 1, out->n, stdout);
    return RR_OK;
}

/* One {"text": ...} line. */
static int jsonl_line(struct rr_buf *out, const struct rr_tokenizer *t, struct rr_encoding *e,
                      const struct line *ln, struct rr_error *err)
{
    struct rr_arena arena = {0};
    struct rr_json *root;
    int rc = rr_json_parse(&root, &arena, ln->text, ln->n, NULL, 0, err);
    const struct rr_json *text = rc ? NULL : rr_json_get(root, "text");
    if (!rc && (!text || text->type != RR_JSON_STRING))
        rc = rr_fail(err, RR_ERR_DATA, "JSON", RR_NOWHERE,
                     "expected an object with a string \"text\"");
    if (rc)
        lines_locate(err, ln);
    else
        rc = print_ids(out, t, e, text->text, text->n_text, true, err);
    rr_arena_free(&arena);
    return rc;
}

static int run(const struct command *c, int argc, char **argv)
{
    bool jsonl = false;
    const char *tokenizer = NULL;
    struct option opts[] = {
        {"jsonl", 0, OPT_FLAG, &jsonl, NULL,
         "read {\"text\":...} lines, write {\"ids\":[...]} lines", 0, 0, false},
        {"tokenizer", 0, OPT_TEXT, &tokenizer, "FILE", "the tokenizer, for a MODEL without one", 0,
         0, false},
    };
    struct args a;
    struct rr_error err = {0};
    struct rr_tokenizer *t = NULL;
    struct rr_encoding e = {0};
    struct rr_buf out = {0};
    struct lines in;
    struct line ln;
    int more, rc = args_parse(&a, c, opts, COUNT(opts), argc, argv);
    if (rc >= 0)
        return rc;
    rc = demo_tokenizer(&t, tokenizer ? tokenizer : a.positional[0], &err);
    lines_open(&in, stdin, "standard input");
    while (!rc && tool_wrote() && (more = lines_next(&in, &ln, &err)) != 0)
        rc = more < 0 ? more
             : jsonl  ? jsonl_line(&out, t, &e, &ln, &err)
                      : print_ids(&out, t, &e, ln.text, ln.n, false, &err);
    lines_close(&in);
    rr_buf_free(&out);
    rr_encoding_free(&e);
    rr_tokenizer_close(t);
    return rc ? tool_fail(&err) : tool_finish();
}

const struct command cmd_tokenize = {
    .name = "tokenize",
    .synopsis = "MODEL|TOKENIZER [--jsonl] < TEXT",
    .summary = "turn text lines into token ids",
    .examples = "  echo 'Once upon a time' | recrank tokenize model.gguf\n"
                "  recrank tokenize tokenizer.model --jsonl < texts.jsonl > ids.jsonl\n",
    .notes = "Ids come without BOS. Without --jsonl each line of the input is one text.\n",
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
