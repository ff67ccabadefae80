/* Out of memory at every point: a plain program, linked with --wrap for every allocating function,
 * that lets the 1st, 2nd, 3rd, ... allocation fail (then also all from there on) while a model is
 * opened and used. Each time the answer must be RR_ERR_MEMORY and everything must have been given
 * back. Exit 0 when so.
 *
 * Models: the tiny ones of make_files.h in all formats, and stories260K where ../shared has it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "engine/base/file.h"
#include "engine/base/json.h"
#include "engine/session.h"
#include "tests/alloc/failing.h"
#include "tests/make_files.h"
#include "weights/adapter.h"
#include "weights/weights.h"
#include "weights/write.h"

/* ---- what is tried ---- */

static int score(struct rr_session *s, const struct rr_encoding *e, const struct rr_weights *w,
                 struct rr_error *err)
{
    static float logits[1 << 16];
    int node, n = (int)e->n < 16 ? (int)e->n : 16;
    int rc = rr_session_branch(s, -1, n, &node, err);
    if (rc)
        return rc;
    struct rr_want want = {.offset = n - 1, .logits = logits};
    if (w->model.h.n_vocab > (int)(sizeof logits / sizeof logits[0]))
        want.logits = NULL;
    return rr_session_eval(s, &(struct rr_feed){node, e->ids, n}, 1, &want, 1, err);
}

static char dir[] = "/tmp/recrank-oom-XXXXXX";
static const char *written; /* a file in there */

/* A model from its file to logits and text, all memory given back whatever happens. */
static int use_model(const struct scenario *sc, struct rr_error *err)
{
    static const char text[] =
        "Once upon a time, \xF0\x9F\x8E\xAC there was  a <s> little girl named Lily.";
    struct rr_weights w;
    struct rr_engine e = {0};
    struct rr_session *s = NULL;
    struct rr_encoding enc = {0};
    struct rr_buf out = {0};
    int rc = rr_weights_open(&w, sc->model, sc->tokenizer, err);
    if (rc)
        return rc;
    rc = rr_engine_init(&e, 2, rr_cpu_best(), err);
    if (!rc)
        rc = rr_session_open(&s, &e, &w.model, &(struct rr_session_options){.n_batch = 8}, err);
    if (!rc)
        rc = rr_tokenizer_encode(w.tokenizer, &enc, text, sizeof text - 1, err);
    if (!rc)
        rc = score(s, &enc, &w, err);
    if (!rc)
        rc = rr_tokenizer_decode(w.tokenizer, &out, enc.ids, enc.n, err);
    if (!rc && (out.n != sizeof text - 1 || memcmp(out.data, text, out.n) != 0))
        rc =
            rr_fail(err, RR_ERR_FAILED, "TEXT", RR_NOWHERE, "the text came back as '%s'", out.data);
    rr_buf_free(&out);
    rr_encoding_free(&enc);
    rr_session_close(s);
    rr_engine_release(&e);
    rr_weights_close(&w);
    return rc;
}

/* A tokenizer on its own, from whatever file. Encodes again after a failure: its scratch must still
 * be good. */
static int use_tokenizer(const struct scenario *sc, struct rr_error *err)
{
    static const char text[] = "a time, \xE2\x82\xAC 100";
    struct rr_tokenizer *t;
    struct rr_encoding enc = {0}, again = {0};
    int rc = rr_weights_tokenizer(&t, sc->tokenizer, err);
    if (rc)
        return rc;
    rc = rr_tokenizer_encode(t, &enc, text, sizeof text - 1, err);
    if (rc && !fail_on) {
        if (rr_tokenizer_encode(t, &enc, text, sizeof text - 1, NULL) != 0 ||
            rr_tokenizer_encode(t, &again, text, sizeof text - 1, NULL) != 0 || enc.n != again.n ||
            memcmp(enc.ids, again.ids, enc.n * sizeof *enc.ids) != 0)
            rc = rr_fail(err, RR_ERR_FAILED, "AGAIN", RR_NOWHERE,
                         "encoding differs after a failure");
    }
    rr_encoding_free(&enc);
    rr_encoding_free(&again);
    rr_tokenizer_close(t);
    return rc;
}

static int use_json(const struct scenario *sc, struct rr_error *err)
{
    struct rr_arena arena = {0};
    struct rr_json *root;
    struct rr_buf out = {0};
    int rc = rr_json_parse(&root, &arena, sc->model, strlen(sc->model), "text", 0, err);
    if (!rc) {
        rr_json_add_string(&out, sc->model, strlen(sc->model));
        rr_json_add_double(&out, 0.1);
        if (out.failed)
            rc = rr_fail_memory(err, "text", 1);
    }
    rr_buf_free(&out);
    rr_arena_free(&arena);
    return rc;
}

/* A chat template found, and an exchange put into it. */
static int use_chat(const struct scenario *sc, struct rr_error *err)
{
    struct rr_tokenizer *t;
    struct rr_chat_frame f = {.chat = RR_CHAT_NONE};
    struct rr_encoding e = {0};
    struct rr_buf out = {0};
    enum rr_chat c;
    const struct rr_chat_turns x = {.system = "Do.",
                                    .user = "What?",
                                    .answer = "This:",
                                    .n_system = 3,
                                    .n_user = 5,
                                    .n_answer = 5};
    int rc = rr_weights_tokenizer(&t, sc->tokenizer, err);
    if (rc)
        return rc;
    rc = rr_weights_chat(&c, NULL, sc->tokenizer, err);
    if (!rc)
        rc = rr_chat_open(&f, c, t, err);
    if (!rc)
        rc = rr_chat_encode(&e, &f, &x, err);
    if (!rc) {
        rr_chat_spell(&out, &f, &x);
        rc = out.failed ? rr_fail_memory(err, "text", 1) : RR_OK;
    }
    rr_buf_free(&out);
    rr_encoding_free(&e);
    rr_chat_close(&f);
    rr_tokenizer_close(t);
    return rc;
}

/* Folders are written only where nothing is. */
static const char *no_folder(void)
{
    static const char *const files[] = {"config.json",       "tokenizer.json",
                                        "tokenizer.model",   "tokenizer_config.json",
                                        "model.safetensors", ""};
    static char made[96];
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(made, sizeof made, "%s/made/%s", dir, files[i]);
        remove(made);
    }
    snprintf(made, sizeof made, "%s/made", dir);
    remove(made);
    return made;
}

/* A model written as each format, with an adapter of each kind merged into it. */
static int use_writers(const struct scenario *sc, struct rr_error *err)
{
    static const struct rr_write_options ways[] = {{.name = "x", .type = -1},
                                                   {.name = "x", .type = RR_TYPE_BF16}};
    struct rr_weights w;
    struct rr_engine e = {0};
    struct rr_buf sums = {0};
    struct rr_adapter_report r;
    int rc = rr_weights_open(&w, sc->model, NULL, err);
    if (rc)
        return rc;
    rc = rr_engine_init(&e, 2, rr_cpu_best(), err);
    if (!rc)
        rc = rr_adapter_apply(&w, &e.kernels, sc->tokenizer, 1, &r, err);
    for (int i = 0; i < 4 && !rc; i++) {
        struct rr_vocab v;
        struct rr_write_options o = ways[i % 2];
        o.engine = &e;
        o.sums = &sums;
        rr_tokenizer_vocab(&v, w.tokenizer);
        rc = i < 2 ? rr_gguf_write_model(written, &w.model, &v, &o, err)
                   : rr_hf_write_model(no_folder(), &w.model, &v, &o, err);
    }
    if (!rc && sums.failed)
        rc = rr_fail_memory(err, "sums", sums.n);
    rr_buf_free(&sums);
    rr_engine_release(&e);
    rr_weights_close(&w);
    return rc;
}

static int use_out(const struct scenario *sc, struct rr_error *err)
{
    struct rr_out out;
    int rc = rr_out_open(&out, sc->model, err);
    if (rc)
        return rc;
    fputs("some text\n", out.f);
    return rr_out_commit(&out, err);
}

/* ---- files ---- */

static char paths[24][64];
static int n_paths;

/* The path of a file in the folder, which will be removed. */
static const char *place(const char *name)
{
    char *p = paths[n_paths++];
    snprintf(p, sizeof paths[0], "%s/%s", dir, name);
    return p;
}

static const char *file(const char *name, struct rr_buf *b)
{
    const char *path = place(name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(b->data, 1, b->n, f) != b->n || fclose(f) != 0) {
        perror(path);
        exit(1);
    }
    rr_buf_free(b);
    return path;
}

/* k of layer 1, by expressions for names, and a head of its own. */
static const char *peft_adapter(const struct tiny *t)
{
    static char folder[96];
    static const char config[] =
        "{\"peft_type\":\"LORA\",\"r\":2,\"lora_alpha\":1,"
        "\"target_modules\":\".*[1-9].*k_proj\",\"alpha_pattern\":{\"(layers.1.*|x)\":3},"
        "\"modules_to_save\":[\"lm_head\"],\"exclude_modules\":\".*up_proj\"}";
    const size_t k = 2 * 32 * 4, rows = 16 * 2 * 4, head = (size_t)t->s.vocab * 32 * 4;
    struct rr_buf b = {0}, header = {0}, data = {0};
    snprintf(folder, sizeof folder, "%s/lora", dir);
    mkdir(folder, 0777);
    rr_buf_puts(&b, config);
    file("lora/adapter_config.json", &b);
    rr_buf_printf(&header,
                  "{\"base_model.model.model.layers.1.self_attn.k_proj.lora_A.weight\":{\"dtype\":"
                  "\"F32\",\"shape\":[2,32],\"data_offsets\":[0,%zu]},"
                  "\"base_model.model.model.layers.1.self_attn.k_proj.lora_B.weight\":{\"dtype\":"
                  "\"F32\",\"shape\":[16,2],\"data_offsets\":[%zu,%zu]},"
                  "\"base_model.model.lm_head.weight\":{\"dtype\":\"F32\",\"shape\":[%d,32],"
                  "\"data_offsets\":[%zu,%zu]}}",
                  k, k, k + rows, t->s.vocab, k + rows, k + rows + head);
    for (size_t i = 0; i < (k + rows + head) / 4; i++)
        put_f32(&data, 0.125f);
    safetensors_write(&b, header.data, header.n, data.data, data.n);
    file("lora/adapter_model.safetensors", &b);
    rr_buf_free(&header);
    rr_buf_free(&data);
    return folder;
}

static const char *gguf_adapter(void)
{
    static const float ones[64] = {1};
    static const uint64_t a[2] = {32, 2}, b_dims[2] = {2, 16};
    struct gguf_file g = {.version = 3, .alignment = 32};
    struct rr_buf b = {0};
    gguf_set_string(&g, "general.type", "adapter");
    gguf_set_string(&g, "general.architecture", "llama");
    gguf_set_string(&g, "adapter.type", "lora");
    gguf_set_f32(&g, "adapter.lora.alpha", 4);
    gguf_add_tensor(&g, "blk.1.attn_k.weight.lora_a", 0, 2, a, ones, sizeof ones);
    gguf_add_tensor(&g, "blk.1.attn_k.weight.lora_b", 0, 2, b_dims, ones, 32 * sizeof *ones);
    gguf_write(&b, &g);
    gguf_file_free(&g);
    return file("lora.gguf", &b);
}

static int sweep_made_files(void)
{
    static const char chat[] = "<|user|>{{ m }}{{ eos_token }}<|assistant|>";
    struct tiny t;
    struct gguf_file g = {0};
    struct rr_buf b = {0};
    int bad = 0;
    tiny_make(&t, &tiny_default);
    gguf_from_tiny(&g, &t);
    gguf_set_string(&g, "tokenizer.chat_template", chat);
    gguf_write(&b, &g);
    gguf_file_free(&g);
    const char *gguf = file("tiny.gguf", &b);
    llama2c_from_tiny(&b, &t);
    const char *bin = file("tiny.bin", &b);
    llama2c_tokenizer_from_tiny(&b, &t);
    const char *tok = file("tok.bin", &b);
    config_from_tiny(&b, &t);
    file("config.json", &b);
    safetensors_from_tiny(&b, &t, 0, t.n_tensors);
    file("model.safetensors", &b);
    sentencepiece_from_tiny(&b, &t);
    const char *sp = file("tokenizer.model", &b);
    rr_buf_printf(&b, "{\"chat_template\": [{\"name\": \"default\", \"template\": \"%s\"}]}", chat);
    file("tokenizer_config.json", &b);
    written = place("written.gguf");
    const char *peft = peft_adapter(&t), *lora = gguf_adapter();
    tiny_free(&t);
    bad += sweep(&(struct scenario){"GGUF", gguf, NULL}, use_model);
    bad += sweep(&(struct scenario){"GGUF, other tokenizer", gguf, sp}, use_model);
    bad += sweep(&(struct scenario){"llama2.c", bin, tok}, use_model);
    bad += sweep(&(struct scenario){"Hugging Face folder", dir, NULL}, use_model);
    bad += sweep(&(struct scenario){"tokenizer of a GGUF", NULL, gguf}, use_tokenizer);
    bad += sweep(&(struct scenario){"tokenizer of a folder", NULL, dir}, use_tokenizer);
    bad += sweep(&(struct scenario){"tokenizer.model", NULL, sp}, use_tokenizer);
    bad += sweep(&(struct scenario){"llama2.c tokenizer", NULL, tok}, use_tokenizer);
    bad += sweep(&(struct scenario){"chat template of a GGUF", NULL, gguf}, use_chat);
    bad += sweep(&(struct scenario){"chat template of a folder", NULL, dir}, use_chat);
    bad += sweep(&(struct scenario){"chat template beside a tokenizer", NULL, sp}, use_chat);
    bad += sweep(&(struct scenario){"written anew, PEFT's adapter", gguf, peft}, use_writers);
    bad += sweep(&(struct scenario){"written anew, GGUF's adapter", gguf, lora}, use_writers);
    return bad;
}

static int sweep_shared_files(void)
{
    const struct scenario stories[] = {
        {"stories260K.gguf", "../shared/models/stories260K/stories260K.gguf", NULL},
        {"stories260K.bin", "../shared/models/stories260K/stories260K.bin",
         "../shared/models/stories260K/tok512.bin"},
    };
    int bad = 0;
    struct stat st;
    for (size_t i = 0; i < sizeof stories / sizeof stories[0]; i++) {
        if (stat(stories[i].model, &st) == 0)
            bad += sweep(&stories[i], use_model);
        else
            printf("oom: skipped: %s is not beside the project\n", stories[i].name);
    }
    return bad;
}

int main(void)
{
    if (!mkdtemp(dir)) {
        perror(dir);
        return 1;
    }
    const long live = n_live;
    int bad = sweep_made_files() + sweep_shared_files();
    const char *json =
        "{\"a\": [1, 2.5e3, \"x\\u00e9\\n\", {\"b\": null, \"c\": true}], \"longer key\": \"\"}";
    bad += sweep(&(struct scenario){"JSON", json, NULL}, use_json);
    bad += sweep(&(struct scenario){"output file", place("out.txt"), NULL}, use_out);
    for (int i = 0; i < n_paths; i++)
        remove(paths[i]);
    char folder[96];
    snprintf(folder, sizeof folder, "%s/lora", dir);
    rmdir(folder);
    no_folder();
    if (rmdir(dir) != 0) {
        perror(dir); /* a temporary file was left behind */
        bad++;
    }
    if (n_live != live) {
        fprintf(stderr, "oom: %ld blocks were not freed in all\n", n_live - live);
        bad++;
    }
    printf("oom: %ld allocations failed in turn, each was reported and nothing leaked\n", n_failed);
    return bad != 0;
}
