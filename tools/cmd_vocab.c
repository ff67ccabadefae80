/* recrank vocab: a tokenizer learned from a data set's titles. */
#include <string.h>
#include "engine/base/file.h"
#include "rec/learn/corpus.h"
#include "tools/data.h"

static int write_vocab(const struct rr_vocab *v, const char *path, struct rr_error *err)
{
    struct rr_buf text = {0};
    struct rr_out out;
    rr_tokenizer_write(&text, v);
    int rc = text.failed ? rr_fail_memory(err, "tokenizer", text.n) : rr_out_open(&out, path, err);
    if (!rc) {
        fwrite(text.data, 1, text.n, out.f);
        rc = rr_out_commit(&out, err);
    }
    rr_buf_free(&text);
    return rc;
}

static int run(const struct command *c, int argc, char **argv)
{
    struct data_options o = DATA_OPTIONS_INIT;
    const char *output = NULL;
    long long size = 4096;
    bool whole = false;
    struct option opts[] = {
        {"output", 'o', OPT_TEXT, &output, "FILE", "where to write the tokenizer.model", 0, 0,
         false},
        {"size", 0, OPT_INT, &size, "N", "pieces in all", 259, 1 << 20, false},
        {"whole-titles", 0, OPT_FLAG, &whole, NULL,
         "a piece for every liked title, the most liked first", 0, 0, false},
        DATA_OPTION_ROWS(o),
    };
    struct args a;
    struct opened_data d;
    struct rr_vocab v = {0};
    struct rr_arena arena = {0};
    struct rr_error err = {0};
    int rc = args_parse(&a, c, opts, COUNT(opts), argc, argv);
    if (rc >= 0)
        return rc;
    if (!output)
        return args_misuse(c, "--output is needed");
    if ((rc = data_open(&d, c, &o)) >= 0)
        return rc;
    rc = data_verdict(&d.dataset);
    if (!rc) {
        rc = rr_corpus_vocabulary(&v, &arena, &d.split, (int)size, whole, &err);
        if (!rc)
            rc = write_vocab(&v, output, &err);
        if (!rc)
            printf("%s: %zu pieces\n", output, v.n);
        rc = rc ? tool_fail(&err) : tool_finish();
    }
    rr_arena_free(&arena);
    data_close(&d);
    return rc;
}

const struct command cmd_vocab = {
    .name = "vocab",
    .synopsis = "--data PATH --size 4096 -o tokenizer.model",
    .summary = "learn a tokenizer from a data set's titles",
    .examples = "  recrank vocab --data ml-100k --size 4096 -o tokenizer.model\n",
    .notes = "Byte-pair encoding with byte fallback, in SentencePiece's format.\n",
    .min_args = 0,
    .max_args = 0,
    .run = run,
};
