/* recrank convert, merge and quantize: a model written anew as one GGUF file, in other types, with
 * an adapter merged. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "tools/common.h"
#include "weights/write.h"

struct job {
    const char *output, *type, *chat_from; /* where the chat template is looked for */
    struct rr_buf chat;
    struct progress bar;
};

static bool step(void *arg, long long done, long long all)
{
    struct job *j = arg;
    progress_step(&j->bar, done, all);
    return tool_interrupted();
}

/* -1: none is called so, or it cannot be written. */
static int type_from_name(const char *name)
{
    char upper[16];
    size_t n = 0;
    for (; name[n] && n + 1 < sizeof upper; n++)
        upper[n] = (char)toupper((unsigned char)name[n]);
    upper[n] = 0;
    for (int t = 0; t < RR_TYPE_COUNT; t++)
        if (rr_can_store((enum rr_type)t) &&
            strcmp(upper, rr_type_info((enum rr_type)t)->name) == 0)
            return t;
    return -1;
}

/* What the matrices are when nothing is said: with an adapter they are float32 in memory, and go
 * back to what they were, once. */
static int default_type(const struct rr_weights *w, const char *adapter, int *type,
                        struct rr_error *err)
{
    *type = -1;
    if (!adapter)
        return RR_OK;
    *type = (int)w->model.layers[0].wq.type;
    if (*type <= RR_TYPE_BF16)
        return RR_OK;
    return rr_fail(
        err, RR_ERR_USAGE, "QUANTISED", RR_AT_FILE(w->path),
        "an adapter merged into %s is rounded again, which loses some of it: say as what "
        "(--type), or merge into the model before it was quantised",
        rr_type_info((enum rr_type) * type)->name);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

/* Reads it back, as anybody would, and says what it holds. */
static int report(const char *path, struct rr_error *err)
{
    struct rr_weights w;
    size_t counts[RR_TYPE_COUNT] = {0};
    int rc = rr_weights_open(&w, path, NULL, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < w.n_tensors; i++)
        if (w.tensors[i].type >= 0)
            counts[w.tensors[i].type]++;
    printf("%s:", path);
    for (int t = 0, n = 0; t < RR_TYPE_COUNT; t++)
        if (counts[t])
            printf("%s %zu %s", n++ ? "," : "", counts[t], rr_type_info((enum rr_type)t)->name);
    printf("\n");
    rr_weights_close(&w);
    return RR_OK;
}

/* The model's chat template goes with its tokenizer, known here or not. */
static int find_chat(struct job *j, const struct loaded *l, struct rr_error *err)
{
    struct rr_error why = {0};
    int rc = l->weights.tokenizer ? rr_weights_chat_text(&j->chat, &l->weights, j->chat_from, &why)
                                  : RR_OK;
    if (rc == RR_ERR_MEMORY) {
        *err = why;
        return rc;
    }
    if (rc && strcmp(why.code, "NO_CHAT_TEMPLATE") != 0)
        fprintf(stderr, "recrank: note: no chat template is written: %s: %s\n", why.file, why.text);
    return RR_OK;
}

static int write_model(struct job *j, struct loaded *l, const char *adapter, int type,
                       struct rr_error *err)
{
    struct rr_vocab v;
    struct rr_adapter_report r = {0};
    int rc = RR_OK, kept = type;
    if (type < 0)
        rc = default_type(&l->weights, adapter, &kept, err);
    if (!rc && adapter)
        rc = tool_merge_adapter(l, adapter, &r, err);
    for (int m = 0; m < RR_LM_N && !rc; m++)
        if (r.modules[m].n)
            printf("%s: %d matrices, changed by %.3g of their size\n",
                   rr_adapter_module((enum rr_lm_matrix)m), r.modules[m].n,
                   r.modules[m].size > 0 ? sqrt(r.modules[m].change / r.modules[m].size)
                                         : INFINITY);
    if (rc)
        return rc;
    if (l->weights.tokenizer) {
        rc = rr_tokenizer_list_merges(l->weights.tokenizer, err);
        if (rc)
            return rc;
        rr_tokenizer_vocab(&v, l->weights.tokenizer);
    } else if (l->weights.tokenizer_error.status)
        return rr_weights_need_tokenizer(&l->weights, err);
    rc = find_chat(j, l, err);
    if (rc)
        return rc;
    const struct rr_write_options o = {.name = base_name(l->weights.path),
                                       .notes = l->weights.notes,
                                       .n_notes = l->weights.n_notes,
                                       .chat = j->chat.data,
                                       .type = kept,
                                       .kernels = &l->engine.kernels,
                                       .progress = step,
                                       .progress_arg = j};
    tool_catch_interrupt();
    progress_start(&j->bar, "writing");
    rc = rr_gguf_write_model(j->output, &l->weights.model, l->weights.tokenizer ? &v : NULL, &o,
                             err);
    progress_end(&j->bar);
    tool_release_interrupt();
    return rc;
}

static int run(const struct command *c, int argc, char **argv)
{
    struct model_options mo = MODEL_OPTIONS_INIT;
    struct job j = {0};
    struct option opts[] = {
        {"output", 'o', OPT_TEXT, &j.output, "FILE", "the GGUF file to write", 0, 0, false},
        {"type", 0, OPT_TEXT, &j.type, "f32|f16|bf16|q8_0|q4_0",
         "of the matrices (q4_0: the head is q8_0) [as they are]", 0, 0, false},
        MODEL_OPTION_ROWS(mo),
    };
    struct args a;
    struct loaded l;
    struct rr_error err = {0};
    int rc = args_parse(&a, c, opts, COUNT(opts), argc, argv);
    if (rc >= 0)
        return rc;
    if (!j.output)
        return args_misuse(c, "--output is needed");
    if (c == &cmd_merge && !mo.adapter)
        return args_misuse(c, "--adapter is needed");
    if (c == &cmd_quantize && !j.type)
        return args_misuse(c, "--type is needed");
    const int type = j.type ? type_from_name(j.type) : -1;
    if (j.type && type < 0)
        return args_misuse(c, "--type is '%s'; expected f32, f16, bf16, q8_0 or q4_0", j.type);
    rc = rr_out_check(j.output, &err);
    if (rc)
        return tool_fail(&err);
    const char *adapter = mo.adapter;
    j.chat_from = mo.tokenizer ? mo.tokenizer : a.positional[0];
    mo.adapter = NULL; /* merged here, once the types are known */
    rc = tool_load(&l, a.positional[0], &mo, false);
    if (rc >= 0)
        return rc;
    rc = write_model(&j, &l, adapter, type, &err);
    tool_unload(&l);
    rr_buf_free(&j.chat);
    if (!rc)
        rc = report(j.output, &err);
    return rc ? tool_fail(&err) : tool_finish();
}

#define NOTES                                                                                      \
    "The file is written under another name and then renamed, so MODEL itself may be the output. " \
    "It is read back before the command ends well. Rows that hold no whole blocks of a type "      \
    "become "                                                                                      \
    "f16. Hugging Face's order of rows becomes GGUF's. The tokenizer and the chat template go "    \
    "with it.\n"

const struct command cmd_convert = {
    .name = "convert",
    .synopsis = "MODEL -o FILE",
    .summary = "write a model as one GGUF file",
    .examples = "  recrank convert TinyLlama-1.1B -o tinyllama.gguf\n"
                "  recrank convert model.gguf --type bf16 -o model.bf16.gguf\n",
    .notes = NOTES,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};

const struct command cmd_merge = {
    .name = "merge",
    .synopsis = "MODEL --adapter DIR -o FILE",
    .summary = "write a model with an adapter merged into it",
    .examples = "  recrank merge TinyLlama-1.1B --adapter my-lora -o merged.gguf\n",
    .notes = "The sum is made in double and rounded once, to the types that the model has; into a "
             "quantised model only with --type. " NOTES,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};

const struct command cmd_quantize = {
    .name = "quantize",
    .synopsis = "MODEL --type q8_0|q4_0 -o FILE",
    .summary = "write a model in a smaller type",
    .examples = "  recrank quantize model.gguf --type q8_0 -o model.q8_0.gguf\n",
    .notes = NOTES,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
