/* recrank inspect: what a model file holds, and what it needs. */
#include <stdio.h>
#include <string.h>
#include "engine/base/json.h"
#include "tools/common.h"
#include "tools/inspect.h"
#include "tools/manifest.h"

struct type_count {
    const char *name;
    size_t n;
};

static size_t count_types(struct type_count *types, size_t cap, const struct rr_weights *w)
{
    size_t n = 0;
    for (size_t i = 0; i < w->n_tensors; i++) {
        size_t k = 0;
        while (k < n && strcmp(types[k].name, w->tensors[i].type_name) != 0)
            k++;
        if (k == n && n < cap)
            types[n++] = (struct type_count){w->tensors[i].type_name, 0};
        if (k < n)
            types[k].n++;
    }
    return n;
}

static const char *rope_name(const struct rr_rope *r)
{
    if (r->freq_factors)
        return "factors per frequency";
    return r->scaling == RR_ROPE_LINEAR   ? "linear"
           : r->scaling == RR_ROPE_LLAMA3 ? "llama3"
                                          : "none";
}

struct report {
    const struct rr_weights *w;
    struct type_count types[16];
    size_t n_types;
    double parameters, weight_bytes, session_bytes;
    bool verified; /* all tensors, against a list of checksums */
};

static void print_text(const struct report *r)
{
    const struct rr_hparams *h = &r->w->model.h;
    printf("file          %s\nformat        %s\narchitecture  llama\nparameters    %.0f\n",
           r->w->path, r->w->format, r->parameters);
    printf("layers        %d\nembedding     %d\nfeed forward  %d\nheads         %d (%d for keys "
           "and values, %d wide)\n",
           h->n_layers, h->n_embd, h->n_ff, h->n_heads, h->n_kv_heads, h->head_dim);
    printf("vocabulary    %d%s\ncontext       %d\nrope          theta %g, scaling %s\nrms eps      "
           " %g\n",
           h->n_vocab, r->w->model.tied ? ", head tied to the embedding" : "", h->n_context,
           h->rope.theta, rope_name(&h->rope), h->rms_eps);
    if (r->w->tokenizer)
        printf("tokenizer     %d pieces, bos %d, eos %d\n", rr_tokenizer_size(r->w->tokenizer),
               rr_tokenizer_bos(r->w->tokenizer), rr_tokenizer_eos(r->w->tokenizer));
    else
        printf("tokenizer     none in the file\n");
    printf("tensors       %zu:", r->w->n_tensors);
    for (size_t i = 0; i < r->n_types; i++)
        printf("%s %zu %s", i ? "," : "", r->types[i].n, r->types[i].name);
    if (r->verified)
        printf("\nverified      %zu tensors are what the list says", r->w->n_tensors);
    printf("\nbytes needed  %.0f weights (mapped) + %.0f cache and scratch at full context\n",
           r->weight_bytes, r->session_bytes);
}

static void json_int(struct rr_buf *b, const char *name, double v)
{
    rr_buf_printf(b, ",\"%s\":%.0f", name, v);
}

static void print_json(const struct report *r)
{
    const struct rr_hparams *h = &r->w->model.h;
    struct rr_buf b = {0};
    rr_buf_puts(&b, "{\"file\":");
    rr_json_add_string(&b, r->w->path, strlen(r->w->path));
    rr_buf_printf(&b, ",\"format\":\"%s\",\"architecture\":\"llama\"", r->w->format);
    json_int(&b, "parameters", r->parameters);
    json_int(&b, "n_layers", h->n_layers);
    json_int(&b, "n_embd", h->n_embd);
    json_int(&b, "n_ff", h->n_ff);
    json_int(&b, "n_heads", h->n_heads);
    json_int(&b, "n_kv_heads", h->n_kv_heads);
    json_int(&b, "head_dim", h->head_dim);
    json_int(&b, "n_vocab", h->n_vocab);
    json_int(&b, "n_context", h->n_context);
    rr_buf_puts(&b, ",\"rope_theta\":");
    rr_json_add_double(&b, h->rope.theta);
    rr_buf_printf(&b, ",\"rope_scaling\":\"%s\",\"rms_eps\":", rope_name(&h->rope));
    rr_json_add_double(&b, h->rms_eps);
    rr_buf_printf(&b, ",\"tied\":%s", r->w->model.tied ? "true" : "false");
    if (r->w->tokenizer)
        rr_buf_printf(&b, ",\"tokenizer\":{\"n\":%d,\"bos\":%d,\"eos\":%d}",
                      rr_tokenizer_size(r->w->tokenizer), rr_tokenizer_bos(r->w->tokenizer),
                      rr_tokenizer_eos(r->w->tokenizer));
    else
        rr_buf_puts(&b, ",\"tokenizer\":null");
    rr_buf_printf(&b, ",\"n_tensors\":%zu,\"types\":{", r->w->n_tensors);
    for (size_t i = 0; i < r->n_types; i++)
        rr_buf_printf(&b, "%s\"%s\":%zu", i ? "," : "", r->types[i].name, r->types[i].n);
    rr_buf_puts(&b, "}");
    json_int(&b, "weight_bytes", r->weight_bytes);
    json_int(&b, "session_bytes", r->session_bytes);
    rr_buf_puts(&b, r->verified ? ",\"verified\":true}\n" : "}\n");
    if (b.data)
        fputs(b.data, stdout);
    rr_buf_free(&b);
}

static int run(const struct command *c, int argc, char **argv)
{
    struct model_options mo = MODEL_OPTIONS_INIT;
    bool json = false;
    const char *sums = NULL;
    struct rr_error err = {0};
    struct option opts[] = {{"json", 0, OPT_FLAG, &json, NULL, "one JSON object", 0, 0, false},
                            {"verify", 0, OPT_TEXT, &sums, "FILE",
                             "check every tensor against the list that convert --verify wrote", 0,
                             0, false},
                            MODEL_OPTION_ROWS(mo)};
    struct args a;
    struct loaded l;
    int rc = args_parse(&a, c, opts, COUNT(opts), argc, argv);
    if (rc < 0 && inspect_is_adapter(a.positional[0])) {
        if (json || sums || mo.adapter || mo.check_weights || mo.tokenizer || mo.threads || mo.cpu)
            return args_misuse(c, "an adapter is shown as text, without any option");
        return inspect_adapter(a.positional[0]);
    }
    if (rc < 0)
        rc = tool_load(&l, a.positional[0], &mo, false);
    if (rc >= 0)
        return rc;
    if (sums && manifest_check_file(&l.engine, &l.weights, sums, &err)) {
        tool_unload(&l);
        return tool_fail(&err);
    }
    const struct rr_session_options o = {0};
    struct report r = {.w = &l.weights,
                       .verified = sums != NULL,
                       .parameters = rr_weights_parameters(&l.weights),
                       .weight_bytes = rr_weights_bytes(&l.weights),
                       .session_bytes = (double)rr_session_bytes(&l.engine, &l.weights.model, &o)};
    r.n_types = count_types(r.types, COUNT(r.types), &l.weights);
    if (json)
        print_json(&r);
    else
        print_text(&r);
    tool_unload(&l);
    return tool_finish();
}

const struct command cmd_inspect = {
    .name = "inspect",
    .synopsis = "MODEL [--json] [--verify FILE]",
    .summary = "show what a model file, or a LoRA adapter, holds and needs",
    .examples = "  recrank inspect model.gguf\n  recrank inspect llama-folder/ --json\n"
                "  recrank inspect my-lora/\n",
    .notes = "An adapter is shown as text, without any option. --verify compares tensors: not "
             "the settings or the tokenizer.\n",
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
