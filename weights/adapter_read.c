/* See adapter.h: PEFT's folders, and what is the same for every kind of adapter. */
#include <math.h>
#include <stdio.h>
#include "engine/base/file.h"
#include "engine/base/sha256.h"
#include "weights/adapter_config.h"
#include "weights/adapter_merge.h"
#include "weights/safetensors.h"

#define PREFIX "base_model.model."

struct reader {
    struct rr_merger r;
    struct rr_adapter_config c;
};

/* ---- matrices with a and b ---- */

/* A tensor by module and part ("lora_A"), as PEFT spells it now and has spelled it; NULL: none. */
static const struct rr_stored *find(struct rr_merger *r, const char *module, const char *part)
{
    static const char *const ends[] = {".weight", ".default.weight", "", ".default"};
    const struct rr_stored *t = NULL;
    for (size_t e = 0; e < sizeof ends / sizeof ends[0] && !t; e++) {
        char name[192];
        snprintf(name, sizeof name, PREFIX "%s.%s%s", module, part, ends[e]);
        t = rr_merger_find(r, name);
    }
    return t;
}

static int take_magnitude(struct rr_merger *r, float **out, int rows, const char *module)
{
    const struct rr_stored *t = find(r, module, "lora_magnitude_vector");
    if (!t)
        return rr_fail(r->err, RR_ERR_DATA, "ADAPTER", RR_AT_OBJECT(r->file, module),
                       "its lora_magnitude_vector is missing, and use_dora is set");
    struct rr_stored row = *t;
    if (row.n_dims == 2 && row.shape[0] == 1) { /* as some versions keep it */
        row.n_dims = 1;
        row.shape[0] = row.shape[1];
    }
    int rc = rr_merger_check(r, &row, 0, rows, "(one number for each output)");
    return rc ? rc : rr_merger_take(r, out, &row, &r->arena);
}

struct module {
    char s[128];
};

static struct module module_of(int layer, enum rr_lm_matrix m)
{
    struct module name;
    snprintf(name.s, sizeof name.s, "model.layers.%d.%s", layer, rr_adapter_module(m));
    return name;
}

enum { MAX_MISSING = 100 }; /* names that are told: what a text of an error holds */

/* What to say where `first` is a target without tensors: all the others of which that is true, too.
 */
static int missing_modules(struct reader *x, const char *first)
{
    struct rr_buf others = {0};
    size_t n = 0;
    for (int i = 0; i < x->r.w->model.h.n_layers; i++)
        for (int m = 0; m < RR_LM_N; m++) {
            const struct module name = module_of(i, (enum rr_lm_matrix)m);
            if (!find(&x->r, name.s, "lora_A") && !find(&x->r, name.s, "lora_B") &&
                rr_adapter_targets(&x->c, i, (enum rr_lm_matrix)m, false) &&
                strcmp(name.s, first) != 0 && n++ < MAX_MISSING)
                rr_buf_printf(&others, "%s%s", n > 1 ? ", " : "", name.s);
        }
    int rc = others.failed || x->c.out_of_memory
                 ? rr_fail_memory(x->r.err, "names of modules", n * sizeof(struct module))
                 : rr_fail(x->r.err, RR_ERR_DATA, "ADAPTER", RR_AT_OBJECT(x->r.file, first),
                           "is one of target_modules, but its tensors are missing%s%s%s",
                           n ? "; so are those of " : "", n ? others.data : "",
                           n > MAX_MISSING ? " and more" : "");
    rr_buf_free(&others);
    return rc;
}

/* Both factors, or neither (both NULL): refused by name where the settings say something else. */
static int find_factors(struct reader *x, int layer, enum rr_lm_matrix m, const char *module,
                        const struct rr_stored *f[2])
{
    struct rr_merger *r = &x->r;
    f[0] = find(r, module, "lora_A");
    f[1] = find(r, module, "lora_B");
    const bool target = rr_adapter_targets(&x->c, layer, m, f[0] || f[1]);
    if (!f[0] && !f[1])
        return target ? missing_modules(x, module) : RR_OK;
    const struct rr_stored *there = f[0] ? f[0] : f[1];
    if (!f[0] || !f[1])
        return rr_fail(r->err, RR_ERR_DATA, "ADAPTER",
                       RR_AT_BYTE(r->file, there->name, there->offset), "its lora_%s is missing",
                       f[0] ? "B" : "A");
    if (!target)
        return rr_fail(r->err, RR_ERR_DATA, "ADAPTER",
                       RR_AT_BYTE(r->file, there->name, there->offset),
                       "is none of adapter_config.json's target_modules");
    return RR_OK;
}

static int apply_matrix(struct reader *x, int layer, enum rr_lm_matrix m, struct rr_tensor *t)
{
    struct rr_merger *r = &x->r;
    const struct rr_stored *f[2];
    float *a, *b, *magnitude = NULL;
    const struct module module = module_of(layer, m);
    int rc = find_factors(x, layer, m, module.s, f);
    if (x->c.out_of_memory)
        return rr_fail_memory(r->err, "patterns", 0);
    if (rc || !f[0])
        return rc;
    const int rank = rr_adapter_rank(&x->c, layer, m);
    const double alpha = rr_adapter_alpha(&x->c, layer, m);
    const bool turned = x->c.transposed;
    if (x->c.out_of_memory)
        return rr_fail_memory(r->err, "patterns", 0);
    rc = rr_merger_check(r, f[0], rank, turned ? t->n_rows : t->n_cols,
                         turned ? "(r and this base's outputs: fan_in_fan_out)"
                                : "(r and this base's inputs)");
    if (!rc)
        rc = rr_merger_check(r, f[1], turned ? t->n_cols : t->n_rows, rank,
                             turned ? "(this base's inputs and r: fan_in_fan_out)"
                                    : "(this base's outputs and r)");
    if (!rc)
        rc = rr_merger_take(r, &a, f[0], &r->arena);
    if (!rc)
        rc = rr_merger_take(r, &b, f[1], &r->arena);
    if (!rc && x->c.dora)
        rc = take_magnitude(r, &magnitude, t->n_rows, module.s);
    if (rc)
        return rc;
    const struct rr_lora l = {.name = f[0]->name,
                              .a = a,
                              .b = b,
                              .magnitude = magnitude,
                              .rank = rank,
                              .scale = alpha / (x->c.stabilised ? sqrt(rank) : rank),
                              .transposed = turned};
    return rr_merger_add(r, t, m, &l);
}

/* ---- modules_to_save: whole weights in the place of the base's ---- */

/* *t is NULL where the adapter saves none. `free` ones need not be named: PEFT saves embeddings of
 * its own accord. */
static int find_saved(struct reader *x, const struct rr_stored **t, const char *module, bool free)
{
    static const char *const ends[] = {".weight", ".modules_to_save.weight",
                                       ".modules_to_save.default.weight"};
    const bool named = rr_adapter_saves(&x->c, module);
    *t = NULL;
    for (size_t e = 0; e < sizeof ends / sizeof ends[0] && !*t; e++) {
        char name[192];
        snprintf(name, sizeof name, PREFIX "%s%s", module, ends[e]);
        *t = rr_merger_find(&x->r, name);
    }
    if (named && !*t)
        return rr_fail(x->r.err, RR_ERR_DATA, "ADAPTER", RR_AT_OBJECT(x->r.file, module),
                       "is one of modules_to_save, but its tensor is missing");
    if (*t && !named && !free)
        return rr_fail(x->r.err, RR_ERR_DATA, "ADAPTER",
                       RR_AT_BYTE(x->r.file, (*t)->name, (*t)->offset),
                       "is none of adapter_config.json's modules_to_save");
    return RR_OK;
}

/* A saved matrix in the place of m's; m's rows may be in another order (matrix -1: not). */
static int replace_matrix(struct reader *x, const char *module, struct rr_tensor *m, int matrix,
                          bool *done)
{
    const struct rr_stored *t;
    struct rr_merger *r = &x->r;
    float *v;
    int rc = find_saved(x, &t, module, matrix < 0);
    *done = false;
    if (rc || !t)
        return rc;
    rc = rr_merger_may_change(r, m->data, true, t->name);
    if (!rc)
        rc = rr_merger_check(r, t, m->n_rows, m->n_cols, "(as this base has it)");
    if (!rc)
        rc = rr_merger_take(r, &v, t, matrix < 0 ? &r->w->arena : &r->arena);
    if (!rc && matrix >= 0) {
        const size_t cols = (size_t)m->n_cols;
        float *rows = rr_arena_alloc(&r->w->arena, (size_t)m->n_rows * cols, sizeof *rows);
        if (!rows)
            return rr_fail_memory(r->err, module, (size_t)m->n_rows * cols * sizeof *rows);
        for (int i = 0; i < m->n_rows; i++)
            memcpy(rows + (size_t)i * cols,
                   v + (size_t)rr_adapter_row(&r->w->model.h, (enum rr_lm_matrix)matrix, i) * cols,
                   cols * sizeof *v);
        v = rows;
    }
    if (rc)
        return rc;
    *m = (struct rr_tensor){RR_TYPE_F32, m->n_rows, m->n_cols, v};
    *done = true;
    r->report->n_saved++;
    return rr_merger_changed(r, v, true);
}

static int replace_vector(struct reader *x, const char *module, const float **v, int n)
{
    const struct rr_stored *t;
    float *out;
    int rc = find_saved(x, &t, module, false);
    if (rc || !t)
        return rc;
    rc = rr_merger_may_change(&x->r, *v, true, t->name);
    if (!rc)
        rc = rr_merger_check(&x->r, t, 0, n, "(as this base has it)");
    if (!rc)
        rc = rr_merger_take(&x->r, &out, t, &x->r.w->arena);
    if (rc)
        return rc;
    *v = out;
    x->r.report->n_saved++;
    return rr_merger_changed(&x->r, out, true);
}

/* The embedding, the head and the last norm. */
static int replace_ends(struct reader *x)
{
    struct rr_model *m = &x->r.w->model;
    struct rr_tensor embed = m->embed, head = m->head;
    bool new_embed, new_head;
    int rc = replace_matrix(x, "model.embed_tokens", &embed, -1, &new_embed);
    if (!rc)
        rc = replace_matrix(x, "lm_head", &head, -1, &new_head);
    if (!rc)
        rc = replace_vector(x, "model.norm", &m->out_norm, m->h.n_embd);
    if (rc)
        return rc;
    /* Whether the other one follows depends on who trained it: not to be guessed. */
    if (m->tied && new_embed != new_head)
        return rr_adapter_config_refuse(
            &x->c, RR_ERR_DATA, "UNSUPPORTED", "modules_to_save",
            "this base's head is its embedding: the adapter must hold both or neither");
    m->embed = embed;
    m->head = head;
    m->tied = m->tied && !new_head;
    return RR_OK;
}

static int replace_layer(struct reader *x, int at)
{
    struct rr_model *model = &x->r.w->model;
    struct rr_layer *l = &model->layers[at];
    struct rr_tensor *const all[RR_LM_N] = {&l->wq,   &l->wk, &l->wv,  &l->wo,
                                            &l->gate, &l->up, &l->down};
    char name[128];
    bool done;
    int rc = RR_OK;
    for (int m = 0; m < RR_LM_N && !rc; m++) {
        snprintf(name, sizeof name, "model.layers.%d.%s", at,
                 rr_adapter_module((enum rr_lm_matrix)m));
        rc = replace_matrix(x, name, all[m], m, &done);
    }
    if (!rc) {
        snprintf(name, sizeof name, "model.layers.%d.input_layernorm", at);
        rc = replace_vector(x, name, &l->attn_norm, model->h.n_embd);
    }
    if (!rc) {
        snprintf(name, sizeof name, "model.layers.%d.post_attention_layernorm", at);
        rc = replace_vector(x, name, &l->ffn_norm, model->h.n_embd);
    }
    return rc;
}

static int replace_all(struct reader *x)
{
    struct rr_merger *r = &x->r;
    const struct rr_json *list = rr_json_get(x->c.root, "modules_to_save");
    int rc = replace_ends(x);
    for (int i = 0; i < r->w->model.h.n_layers && !rc; i++)
        rc = replace_layer(x, i);
    if (!rc && list && list->child && !r->report->n_saved)
        rc = rr_adapter_config_refuse(&x->c, RR_ERR_DATA, "ADAPTER", "modules_to_save",
                                      "names no module of this model");
    if (!rc && r->report->n_saved && r->weight != 1)
        rc =
            rr_adapter_config_refuse(&x->c, RR_ERR_USAGE, "UNSUPPORTED", "modules_to_save",
                                     "this adapter replaces weights: its own weight can only be 1");
    return rc;
}

static int apply_all(struct reader *x)
{
    struct rr_merger *r = &x->r;
    const struct rr_model *model = &r->w->model;
    bool any = false;
    for (size_t i = 0; i < r->n; i++)
        any = any || strncmp(r->tensors[i].name, PREFIX, sizeof PREFIX - 1) == 0;
    if (!any)
        return rr_merger_no_match(r);
    if (x->c.dora && r->weight != 1)
        return rr_adapter_config_refuse(&x->c, RR_ERR_USAGE, "UNSUPPORTED", "use_dora",
                                        "the weight of such an adapter can only be 1");
    int rc = replace_all(x);
    for (int i = 0; i < model->h.n_layers && !rc; i++) {
        struct rr_layer *l = &model->layers[i];
        struct rr_tensor *const all[RR_LM_N] = {&l->wq,   &l->wk, &l->wv,  &l->wo,
                                                &l->gate, &l->up, &l->down};
        for (int m = 0; m < RR_LM_N && !rc; m++)
            rc = apply_matrix(x, i, (enum rr_lm_matrix)m, all[m]);
    }
    return rc ? rc : rr_merger_end(r);
}

/* ---- all kinds ---- */

/* So that the model's fingerprint is another one's with the adapter than without. */
static void note_identity(struct rr_weights *w, const struct rr_adapter_files *f, double weight)
{
    struct rr_sha256 sum;
    char text[32];
    rr_sha256_init(&sum);
    rr_sha256_add(&sum, w->adapter, strlen(w->adapter) + 1);
    rr_sha256_add(&sum, f->config, f->n_config);
    rr_sha256_add(&sum, f->tensors, f->n_tensors);
    if (weight != 1)
        rr_sha256_add(&sum, text, (size_t)snprintf(text, sizeof text, "%.17g", weight));
    rr_sha256_hex(&sum, w->adapter);
}

static void note_base(struct reader *x)
{
    const struct rr_json *base = rr_json_get(x->c.root, "base_model_name_or_path");
    if (base && base->type == RR_JSON_STRING)
        snprintf(x->r.report->base, sizeof x->r.report->base, "%s", base->text);
}

int rr_adapter_apply_memory(struct rr_weights *w, const struct rr_kernels *kern,
                            const struct rr_adapter_files *files, double weight,
                            struct rr_adapter_report *report, struct rr_error *err)
{
    struct reader x = {.r = {.w = w,
                             .kern = kern,
                             .file = files->tensors_name,
                             .weight = weight,
                             .report = report,
                             .err = err},
                       .c = {.files = files, .h = &w->model.h, .err = err}};
    struct rr_stored *tensors = NULL;
    *report = (struct rr_adapter_report){0};
    if (!isfinite(weight))
        return rr_fail(err, RR_ERR_USAGE, "ADAPTER", RR_AT_FILE(files->tensors_name),
                       "a weight that is not finite");
    int rc = RR_OK;
    if (files->config) {
        rc = rr_adapter_config_read(&x.c, &x.r.arena);
        if (!rc)
            note_base(&x);
        if (!rc)
            rc = rr_safetensors_parse(&tensors, &x.r.n, &x.r.cap, &x.r.arena, files->tensors,
                                      files->n_tensors, files->tensors_name, err);
        x.r.tensors = tensors;
        if (!rc)
            rc = rr_merger_begin(&x.r);
        if (!rc)
            rc = apply_all(&x);
    } else {
        rc = rr_adapter_apply_gguf(&x.r, files->tensors, files->n_tensors);
    }
    if (!rc)
        note_identity(w, files, weight);
    rr_free(tensors);
    rr_arena_free(&x.r.arena);
    return rc;
}

/* The older pickle beside a missing adapter_model.safetensors is worth a word. */
static int map_tensors(struct rr_map *map, const char *dir, const char *path, struct rr_error *err)
{
    char *pickle = rr_path_join(dir, "adapter_model.bin");
    int rc = pickle ? RR_OK : rr_fail_memory(err, "file name", strlen(dir));
    if (!rc && !rr_path_exists(path) && rr_path_exists(pickle))
        rc = rr_fail(err, RR_ERR_DATA, "UNSUPPORTED", RR_AT_FILE(pickle),
                     "PyTorch pickle files are not read: save the adapter as safetensors");
    rr_free(pickle);
    return rc ? rc : rr_map_open(map, path, err);
}

static int apply_folder(struct rr_weights *w, const struct rr_kernels *kern, const char *dir,
                        double weight, struct rr_adapter_report *report, struct rr_error *err)
{
    struct rr_map config = {0}, tensors = {0};
    char *config_name = rr_path_join(dir, "adapter_config.json"),
         *tensors_name = rr_path_join(dir, "adapter_model.safetensors");
    int rc = config_name && tensors_name ? RR_OK : rr_fail_memory(err, "adapter", strlen(dir));
    if (!rc)
        rc = rr_map_open(&config, config_name, err);
    if (!rc)
        rc = map_tensors(&tensors, dir, tensors_name, err);
    if (!rc) {
        const struct rr_adapter_files files = {config_name,  (const char *)config.data,
                                               config.size,  tensors_name,
                                               tensors.data, tensors.size};
        rc = rr_adapter_apply_memory(w, kern, &files, weight, report, err);
    }
    if (config.data)
        rr_map_close(&config);
    if (tensors.data)
        rr_map_close(&tensors);
    rr_free(config_name);
    rr_free(tensors_name);
    return rc;
}

int rr_adapter_apply(struct rr_weights *w, const struct rr_kernels *kern, const char *path,
                     double weight, struct rr_adapter_report *report, struct rr_error *err)
{
    struct rr_map map;
    *report = (struct rr_adapter_report){0};
    if (!rr_path_exists(path) || rr_path_is_dir(path))
        return apply_folder(w, kern, path, weight, report, err);
    int rc = rr_map_open(&map, path, err);
    if (rc)
        return rc;
    const struct rr_adapter_files files = {
        .tensors_name = path, .tensors = map.data, .n_tensors = map.size};
    if (map.size > 8 && map.data[8] == '{' && memcmp(map.data, "GGUF", 4) != 0)
        rc = rr_fail(err, RR_ERR_OPEN, "NOT_AN_ADAPTER", RR_AT_FILE(path),
                     "a safetensors file: name the folder, which has adapter_config.json too");
    else
        rc = rr_adapter_apply_memory(w, kern, &files, weight, report, err);
    rr_map_close(&map);
    return rc;
}
