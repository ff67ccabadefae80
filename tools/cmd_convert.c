/* recrank convert, merge and quantize: a model written anew as one GGUF file, in other types, with
 * an adapter merged. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "engine/base/folder.h"
#include "tools/common.h"
#include "tools/manifest.h"
#include "weights/write.h"

enum format { GGUF, SAFETENSORS };

struct job {
    const char *output, *type, *chat_from; /* where the chat template is looked for */
    int kind; /* of the matrices: an enum rr_type, or -1: as they are */
    bool mixed;
    int format; /* enum format */
    bool verify;
    struct rr_buf sums, chat;
    struct progress bar;
};

static bool step(void *arg, long long done, long long all)
{
    struct job *j = arg;
    progress_step(&j->bar, done, all);
    return tool_interrupted();
}

#define TYPES "f32|f16|bf16|q8_0|q6_k|q5_k|q5_k_m|q4_k|q4_k_m|q4_0"

/* -1: none is called so, or it cannot be written. The mixtures have an "_M" behind the type. */
static int type_from_name(const char *name, bool *mixed)
{
    char upper[16];
    size_t n = 0;
    for (; name[n] && n + 1 < sizeof upper; n++)
        upper[n] = (char)toupper((unsigned char)name[n]);
    upper[n] = 0;
    *mixed = strcmp(upper, "Q4_K_M") == 0 || strcmp(upper, "Q5_K_M") == 0;
    if (*mixed)
        upper[strlen("Q4_K")] = 0;
    for (int t = 0; t < RR_TYPE_COUNT; t++)
        if (rr_can_store((enum rr_type)t) &&
            strcmp(upper, rr_type_info((enum rr_type)t)->name) == 0)
            return t;
    return -1;
}

/* With an adapter matrices are float32 in memory, and go back to what they were, once. */
static int keep_types(struct rr_model *like, struct rr_weights *w, struct rr_error *err)
{
    const size_t n = (size_t)w->model.h.n_layers;
    *like = w->model;
    like->layers = rr_arena_alloc(&w->arena, n, sizeof *like->layers);
    if (!like->layers)
        return rr_fail_memory(err, "layers", n * sizeof *like->layers);
    memcpy(like->layers, w->model.layers, n * sizeof *like->layers);
    return RR_OK;
}

static int refuse_quantised(const struct rr_weights *w, const struct rr_tensor *was,
                            const struct rr_tensor *t, struct rr_error *err)
{
    if (was->data == t->data || was->type <= RR_TYPE_BF16)
        return RR_OK;
    return rr_fail(
        err, RR_ERR_USAGE, "QUANTISED", RR_AT_FILE(w->path),
        "an adapter merged into %s is rounded again, which loses some of it: say as what "
        "(--type), or merge into the model before it was quantised",
        rr_type_info(was->type)->name);
}

static int check_types(const struct rr_weights *w, const struct rr_model *like,
                       struct rr_error *err)
{
    int rc = refuse_quantised(w, &like->embed, &w->model.embed, err);
    if (!rc)
        rc = refuse_quantised(w, &like->head, &w->model.head, err);
    for (int i = 0; i < w->model.h.n_layers && !rc; i++) {
        const struct rr_layer *a = &like->layers[i], *b = &w->model.layers[i];
        const struct rr_tensor *const was[] = {&a->wq,   &a->wk, &a->wv,  &a->wo,
                                               &a->gate, &a->up, &a->down},
                                      *const is[] = {&b->wq,   &b->wk, &b->wv,  &b->wo,
                                                     &b->gate, &b->up, &b->down};
        for (size_t m = 0; m < COUNT(was) && !rc; m++)
            rc = refuse_quantised(w, was[m], is[m], err);
    }
    return rc;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

static int check_sums(struct job *j, const struct rr_weights *w, struct rr_error *err)
{
    struct rr_engine e;
    int rc = rr_engine_init(&e, 0, rr_cpu_best(), err);
    if (!rc && j->sums.failed)
        rc = rr_fail_memory(err, "checksums", j->sums.n);
    if (!rc)
        rc = manifest_check(&e, w, j->sums.data, j->sums.n, "what was written", err);
    rr_engine_release(&e);
    return rc;
}

/* The list of checksums is beside the file of weights. */
static int keep_sums(struct job *j, struct rr_error *err)
{
    struct rr_buf path = {0};
    rr_buf_printf(&path, "%s%s.sha256", j->output, j->format == GGUF ? "" : "/model.safetensors");
    int rc = path.failed ? rr_fail_memory(err, "file name", strlen(j->output))
                         : manifest_write(path.data, &j->sums, err);
    if (!rc)
        printf("%s: the file holds what was written; later: recrank inspect %s --verify %s\n",
               path.data, j->output, path.data);
    rr_buf_free(&path);
    return rc;
}

/* Reads it back, as anybody would, and says what it holds. */
static int report(struct job *j, struct rr_error *err)
{
    const char *path = j->output;
    struct rr_weights w;
    size_t counts[RR_TYPE_COUNT] = {0};
    int rc = rr_weights_open(&w, path, NULL, err);
    if (rc)
        return rc;
    if (w.tokenizer_error.status)
        rc = rr_weights_need_tokenizer(&w, err);
    if (!rc && j->verify)
        rc = check_sums(j, &w, err);
    if (rc) {
        rr_weights_close(&w);
        return rc;
    }
    for (size_t i = 0; i < w.n_tensors; i++)
        if (w.tensors[i].type >= 0)
            counts[w.tensors[i].type]++;
    printf("%s:", path);
    for (int t = 0, n = 0; t < RR_TYPE_COUNT; t++)
        if (counts[t])
            printf("%s %zu %s", n++ ? "," : "", counts[t], rr_type_info((enum rr_type)t)->name);
    printf("\n");
    rr_weights_close(&w);
    return j->verify ? keep_sums(j, err) : RR_OK;
}

/* The model's chat template goes with its tokenizer, known here or not. */
static int find_chat(struct job *j, const struct loaded *l, struct rr_error *err)
{
    struct rr_error why = {0};
    const struct rr_weights *w = &l->weights;
    int rc = w->tokenizer ? rr_weights_chat_text(&j->chat, w, j->chat_from, &why) : RR_OK;
    if (rc && strcmp(why.code, "NO_CHAT_TEMPLATE") == 0 && strcmp(j->chat_from, w->path) != 0)
        rc = rr_weights_chat_text(&j->chat, w, w->path, &why); /* a tokenizer without its own */
    if (rc == RR_ERR_MEMORY) {
        *err = why;
        return rc;
    }
    if (rc && strcmp(why.code, "NO_CHAT_TEMPLATE") != 0)
        fprintf(stderr, "recrank: note: no chat template is written: %s: %s\n", why.file, why.text);
    return RR_OK;
}

/* GGUF has keys for EOS and two more. */
static void note_ends(const struct rr_vocab *v)
{
    const struct rr_special s = rr_vocab_special(v);
    int others = s.n_ends;
    for (int i = 0; i < s.n_ends; i++)
        others -= s.ends[i] == v->eos;
    if (others > 2)
        fprintf(stderr, "recrank: note: of %d tokens that end a text GGUF keeps %d\n", s.n_ends,
                s.n_ends - others + 2);
}

static int write_model(struct job *j, struct loaded *l, const char *adapter, struct rr_error *err)
{
    struct rr_vocab v;
    struct rr_model like;
    int rc = keep_types(&like, &l->weights, err);
    if (!rc && adapter)
        rc = tool_merge_adapters(l, adapter, true, err);
    if (!rc && j->kind < 0)
        rc = check_types(&l->weights, &like, err);
    if (rc)
        return rc;
    if (l->weights.tokenizer) {
        rc = j->format == GGUF ? tool_gguf_vocab(&v, l, j->chat_from, err)
                               : rr_tokenizer_list_merges(l->weights.tokenizer, err);
        if (rc)
            return rc;
        if (j->format == GGUF)
            note_ends(&v);
        else
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
                                       .like = &like,
                                       .type = j->kind,
                                       .mixed = j->mixed,
                                       .engine = &l->engine,
                                       .sums = j->verify ? &j->sums : NULL,
                                       .progress = step,
                                       .progress_arg = j};
    tool_catch_interrupt();
    progress_start(&j->bar, "writing");
    rc = j->format == GGUF ? rr_gguf_write_model(j->output, &l->weights.model,
                                                 l->weights.tokenizer ? &v : NULL, &o, err)
                           : rr_hf_write_model(j->output, &l->weights.model,
                                               l->weights.tokenizer ? &v : NULL, &o, err);
    progress_end(&j->bar);
    tool_release_interrupt();
    return rc;
}

static int run(const struct command *c, int argc, char **argv)
{
    struct model_options mo = MODEL_OPTIONS_INIT;
    struct job j = {0};
    struct option opts[] = {
        {"output", 'o', OPT_TEXT, &j.output, "OUT", "the GGUF file, or the folder, to write", 0, 0,
         false},
        {"format", 0, OPT_CHOICE, &j.format, "gguf|safetensors",
         "one file, or a Hugging Face folder [gguf]", 0, 0, false},
        {"verify", 0, OPT_FLAG, &j.verify, NULL,
         "read every tensor back; checksums go to OUT.sha256, or OUT/model.safetensors.sha256", 0,
         0, false},
        {"type", 0, OPT_TEXT, &j.type, TYPES,
         "of the matrices (the head: q8_0 with q4_0, q6_k with the K types) [as they are]", 0, 0,
         false},
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
    j.kind = j.type ? type_from_name(j.type, &j.mixed) : -1;
    if (j.type && j.kind < 0)
        return args_misuse(c, "--type is '%s'; expected one of " TYPES, j.type);
    if (strcmp(j.output, "-") == 0)
        return args_misuse(c, "--output is '-', but what is written is read back: name a file");
    if (rr_path_is_special(j.output))
        return args_misuse(c, "--output is a pipe or a device, but what is written is read back: "
                              "name a file");
    rc = j.format == GGUF ? rr_out_check(j.output, &err) : rr_folder_check(j.output, &err);
    if (rc)
        return tool_fail(&err);
    if (j.format == GGUF)
        rr_out_forget_dead(j.output);
    const char *adapter = mo.adapter;
    j.chat_from = mo.tokenizer ? mo.tokenizer : a.positional[0];
    mo.adapter = NULL; /* merged here, once the types are known */
    rc = tool_load(&l, a.positional[0], &mo, false);
    if (rc >= 0)
        return rc;
    rc = write_model(&j, &l, adapter, &err);
    tool_unload(&l);
    rr_buf_free(&j.chat);
    if (!rc)
        rc = report(&j, &err);
    rr_buf_free(&j.sums);
    return rc ? tool_fail(&err) : tool_finish();
}

#define NOTES                                                                                      \
    "The file or folder is written under another name and then renamed: a GGUF file may be MODEL " \
    "itself, a folder must be new or empty. It is read back before the command ends well. Rows "   \
    "that hold no whole blocks of a type "                                                         \
    "become q8_0 (K types) or f16. Rows of q and k are put in the format's order. The tokenizer "  \
    "and the chat template go with it. A folder holds f32, f16 and bf16 alone, and nothing of "    \
    "what recrank's own training noted.\n"

const struct command cmd_convert = {
    .name = "convert",
    .synopsis = "MODEL -o OUT",
    .summary = "write a model as one GGUF file, or as a Hugging Face folder",
    .examples = "  recrank convert TinyLlama-1.1B -o tinyllama.gguf\n"
                "  recrank convert model.gguf --type bf16 -o model.bf16.gguf\n"
                "  recrank convert model.q8_0.gguf --format safetensors --type bf16 -o folder\n",
    .notes = NOTES,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};

const struct command cmd_merge = {
    .name = "merge",
    .synopsis = "MODEL --adapter PATH -o OUT",
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
    .synopsis = "MODEL --type TYPE -o OUT",
    .summary = "write a model in a smaller type",
    .examples = "  recrank quantize model.gguf --type q4_k_m -o model.q4_k_m.gguf\n",
    .notes = "q4_k_m and q5_k_m are llama.cpp's mixtures: q6_k for half of the layers' attn_v and "
             "ffn_down. The scales of q8_0 and q4_0 are those of ggml's reference, those of the K "
             "types are searched for. " NOTES,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
