/* See adapter.h. What is not understood is refused by name: an adapter that is applied in part
 * ranks wrongly without a word. */
#include <math.h>
#include <stdio.h>
#include "engine/base/file.h"
#include "engine/base/json.h"
#include "engine/base/limits.h"
#include "weights/adapter.h"
#include "weights/safetensors.h"

#define PREFIX "base_model.model."

struct reader {
    struct rr_weights *w;
    const struct rr_kernels *kern;
    struct rr_arena arena; /* of what is read, not of what is made */
    const char *config_file, *tensors_file;
    const struct rr_json *config;
    struct rr_map map;
    struct rr_stored *tensors;
    size_t n, cap;
    bool *used; /* [n] */
    int rank;
    double alpha;
    bool stabilised;
    struct rr_adapter_report *report;
    struct rr_error *err;
};

static int bad(struct reader *r, const char *code, const char *field, const char *what)
{
    return rr_fail(r->err, RR_ERR_DATA, code, RR_AT_OBJECT(r->config_file, field), "%s", what);
}

/* ---- adapter_config.json ------------------------------------------------------------------------
 */

static bool is_set(const struct rr_json *v)
{
    return v && v->type != RR_JSON_NULL && !(v->type == RR_JSON_BOOL && !v->truth) &&
           !((v->type == RR_JSON_ARRAY || v->type == RR_JSON_OBJECT) && !v->n_children) &&
           !(v->type == RR_JSON_STRING && !v->n_text);
}

static int refuse_the_rest(struct reader *r)
{
    static const char *const not_yet[] = {"use_dora",  "modules_to_save",   "fan_in_fan_out",
                                          "lora_bias", "layer_replication", "target_parameters"};
    const struct rr_json *bias = rr_json_get(r->config, "bias"),
                         *init = rr_json_get(r->config, "init_lora_weights");
    if (!rr_json_is_string(rr_json_get(r->config, "peft_type"), "LORA"))
        return bad(r, "UNSUPPORTED", "peft_type", "expected \"LORA\"");
    for (size_t i = 0; i < sizeof not_yet / sizeof not_yet[0]; i++)
        if (is_set(rr_json_get(r->config, not_yet[i])))
            return bad(r, "UNSUPPORTED", not_yet[i], "adapters with this are not supported");
    if (is_set(bias) && !rr_json_is_string(bias, "none"))
        return bad(r, "UNSUPPORTED", "bias", "expected \"none\"");
    /* These start from changed weights, which the adapter is relative to. */
    if (init && init->type == RR_JSON_STRING && !rr_json_is_string(init, "gaussian") &&
        !rr_json_is_string(init, "eva"))
        return bad(r, "UNSUPPORTED", "init_lora_weights",
                   "the adapter belongs to a base that its own initialisation changed");
    return RR_OK;
}

/* rank_pattern and alpha_pattern: values of modules whose name ends so. Real regular expressions
 * are refused, not guessed at. */
static int check_patterns(struct reader *r, const char *field, double most)
{
    const struct rr_json *map = rr_json_get(r->config, field);
    if (!is_set(map))
        return RR_OK;
    if (map->type != RR_JSON_OBJECT)
        return bad(r, "ADAPTER", field, "expected an object");
    for (const struct rr_json *p = map->child; p; p = p->next) {
        for (size_t i = 0; i < p->n_key; i++)
            if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789_.", p->key[i]))
                return bad(r, "UNSUPPORTED", field, "patterns other than the ends of module names");
        if (p->type != RR_JSON_NUMBER || !(p->number > 0) || p->number > most)
            return bad(r, "ADAPTER", field, "expected positive numbers");
    }
    return RR_OK;
}

/* The value of a module: by pattern, else `otherwise`. */
static double pattern_value(const struct reader *r, const char *field, int layer,
                            enum rr_lm_matrix m, double otherwise)
{
    const struct rr_json *map = rr_json_get(r->config, field);
    char name[128];
    snprintf(name, sizeof name, "model.layers.%d.%s", layer, rr_adapter_module(m));
    const size_t n = strlen(name);
    for (const struct rr_json *p = map ? map->child : NULL; p; p = p->next)
        if (p->n_key <= n && memcmp(name + n - p->n_key, p->key, p->n_key) == 0 &&
            (p->n_key == n || name[n - p->n_key - 1] == '.'))
            return p->number;
    return otherwise;
}

static int read_config(struct reader *r)
{
    const struct rr_json *rank = rr_json_get(r->config, "r"),
                         *alpha = rr_json_get(r->config, "lora_alpha"),
                         *rs = rr_json_get(r->config, "use_rslora");
    int64_t n;
    int rc = refuse_the_rest(r);
    if (rc)
        return rc;
    if (!rr_json_int(&n, rank, 1, 4096))
        return bad(r, "ADAPTER", "r", "expected a whole number from 1 to 4096");
    if (!alpha || alpha->type != RR_JSON_NUMBER || !isfinite(alpha->number) || alpha->number == 0)
        return bad(r, "ADAPTER", "lora_alpha", "expected a number that is not 0");
    r->rank = (int)n;
    r->alpha = alpha->number;
    r->stabilised = rs && rs->type == RR_JSON_BOOL && rs->truth;
    rc = check_patterns(r, "rank_pattern", 4096);
    return rc ? rc : check_patterns(r, "alpha_pattern", 1e9);
}

static int open_config(struct reader *r, const char *dir)
{
    struct rr_map map;
    struct rr_json *root;
    char *path = rr_path_join(dir, "adapter_config.json");
    r->config_file = path ? rr_arena_copy(&r->arena, path, strlen(path)) : NULL;
    rr_free(path);
    if (!r->config_file)
        return rr_fail_memory(r->err, "adapter", 0);
    int rc = rr_map_open(&map, r->config_file, r->err);
    if (rc)
        return rc;
    if (map.size > RR_MAX_CONFIG_FILE)
        rc = rr_fail(r->err, RR_ERR_DATA, "TOO_LARGE", RR_AT_FILE(r->config_file),
                     "%zu bytes; at most %u are read", map.size, RR_MAX_CONFIG_FILE);
    else
        rc = rr_json_parse(&root, &r->arena, (const char *)map.data, map.size, r->config_file, 0,
                           r->err);
    rr_map_close(&map);
    r->config = rc ? NULL : root;
    return rc ? rc : read_config(r);
}

/* ---- adapter_model.safetensors ------------------------------------------------------------------
 */

static int open_tensors(struct reader *r, const char *dir)
{
    char *path = rr_path_join(dir, "adapter_model.safetensors");
    r->tensors_file = path ? rr_arena_copy(&r->arena, path, strlen(path)) : NULL;
    rr_free(path);
    if (!r->tensors_file)
        return rr_fail_memory(r->err, "adapter", 0);
    int rc = rr_map_open(&r->map, r->tensors_file, r->err);
    if (!rc)
        rc = rr_safetensors_parse(&r->tensors, &r->n, &r->cap, &r->arena, r->map.data, r->map.size,
                                  r->tensors_file, r->err);
    r->used = rc ? NULL : rr_arena_alloc(&r->arena, r->n + 1, sizeof *r->used);
    if (!rc && !r->used)
        rc = rr_fail_memory(r->err, "adapter", r->n);
    for (size_t i = 0; i < r->n && !rc; i++)
        r->used[i] = false;
    return rc;
}

/* A tensor by module and part ("lora_A"), also with PEFT's older ".default"; NULL: none. */
static const struct rr_stored *find(struct reader *r, int layer, enum rr_lm_matrix m,
                                    const char *part)
{
    char name[2][160];
    for (int i = 0; i < 2; i++)
        snprintf(name[i], sizeof name[i], PREFIX "model.layers.%d.%s.%s%s.weight", layer,
                 rr_adapter_module(m), part, i ? ".default" : "");
    for (size_t i = 0; i < r->n; i++)
        if (strcmp(r->tensors[i].name, name[0]) == 0 || strcmp(r->tensors[i].name, name[1]) == 0) {
            r->used[i] = true;
            return &r->tensors[i];
        }
    return NULL;
}

static int check_tensor(struct reader *r, const struct rr_stored *t, int rows, int cols,
                        const char *why)
{
    if (t->type < 0 || t->n_dims != 2)
        return rr_fail(r->err, RR_ERR_DATA, "ADAPTER", RR_AT_OBJECT(r->tensors_file, t->name),
                       "%s with %d dimensions; expected a matrix of F32, F16 or BF16", t->type_name,
                       t->n_dims);
    if (t->shape[0] != (uint64_t)rows || t->shape[1] != (uint64_t)cols)
        return rr_fail(r->err, RR_ERR_DATA, "ADAPTER", RR_AT_OBJECT(r->tensors_file, t->name),
                       "[%llu, %llu]; expected [%d, %d] %s", (unsigned long long)t->shape[0],
                       (unsigned long long)t->shape[1], rows, cols, why);
    return RR_OK;
}

/* A stored matrix as float32 in the reader's arena. */
static int take(struct reader *r, float **out, const struct rr_stored *t)
{
    const size_t rows = (size_t)t->shape[0], cols = (size_t)t->shape[1];
    *out = rr_arena_alloc(&r->arena, rows * cols, sizeof **out);
    if (!*out)
        return rr_fail_memory(r->err, t->name, rows * cols * sizeof **out);
    for (size_t i = 0; i < rows; i++)
        r->kern->row_f32[t->type](
            *out + i * cols, t->data + i * rr_row_bytes((enum rr_type)t->type, cols), (int)cols);
    for (size_t i = 0; i < rows * cols; i++)
        if (!isfinite((*out)[i]))
            return rr_fail(r->err, RR_ERR_DATA, "ADAPTER", RR_AT_OBJECT(r->tensors_file, t->name),
                           "holds a number that is not finite");
    return RR_OK;
}

struct factors {
    const float *a, *b;
    int rank;
    double scale;
};

/* One matrix of the model as float32, with scale b a added: *t points to the new one. */
static int merge(struct reader *r, struct rr_tensor *t, enum rr_lm_matrix m,
                 const struct factors *f)
{
    const size_t rows = (size_t)t->n_rows, cols = (size_t)t->n_cols;
    const int rank = f->rank;
    float *w = rr_arena_alloc(&r->w->arena, rows * cols, sizeof *w);
    double *sum = rr_arena_alloc(&r->arena, cols, sizeof *sum);
    if (!w || !sum)
        return rr_fail_memory(r->err, "merged weights", rows * cols * sizeof *w);
    for (size_t i = 0; i < rows; i++) {
        const float *row_b =
            f->b + (size_t)rr_adapter_row(&r->w->model.h, m, (int)i) * (size_t)rank;
        r->kern->row_f32[t->type](
            w + i * cols, (const char *)t->data + i * rr_row_bytes(t->type, cols), t->n_cols);
        for (size_t j = 0; j < cols; j++)
            sum[j] = 0;
        for (int k = 0; k < rank; k++)
            for (size_t j = 0; j < cols; j++)
                sum[j] += (double)row_b[k] * (double)f->a[(size_t)k * cols + j];
        for (size_t j = 0; j < cols; j++)
            w[i * cols + j] += (float)(f->scale * sum[j]);
    }
    *t = (struct rr_tensor){
        .type = RR_TYPE_F32, .n_rows = t->n_rows, .n_cols = t->n_cols, .data = w};
    r->report->n_merged++;
    return RR_OK;
}

static int apply_matrix(struct reader *r, int layer, enum rr_lm_matrix m, struct rr_tensor *t)
{
    const struct rr_stored *a = find(r, layer, m, "lora_A"), *b = find(r, layer, m, "lora_B");
    float *x, *y;
    const int rank = (int)pattern_value(r, "rank_pattern", layer, m, r->rank);
    const double alpha = pattern_value(r, "alpha_pattern", layer, m, r->alpha);
    if (!a && !b)
        return RR_OK;
    if (!a || !b)
        return rr_fail(r->err, RR_ERR_DATA, "ADAPTER",
                       RR_AT_OBJECT(r->tensors_file, (a ? a : b)->name), "its lora_%s is missing",
                       a ? "B" : "A");
    int rc = check_tensor(r, a, rank, t->n_cols, "(r and this base's inputs)");
    if (!rc)
        rc = check_tensor(r, b, t->n_rows, rank, "(this base's outputs and r)");
    if (!rc)
        rc = take(r, &x, a);
    if (!rc)
        rc = take(r, &y, b);
    if (rc)
        return rc;
    const struct factors f = {x, y, rank, alpha / (r->stabilised ? sqrt(rank) : rank)};
    r->report->rank = rank;
    r->report->scale = f.scale;
    return merge(r, t, m, &f);
}

static int apply_all(struct reader *r)
{
    const struct rr_model *model = &r->w->model;
    int rc = RR_OK;
    for (int i = 0; i < model->h.n_layers && !rc; i++) {
        struct rr_layer *l = &model->layers[i];
        struct rr_tensor *const all[RR_LM_N] = {&l->wq,   &l->wk, &l->wv,  &l->wo,
                                                &l->gate, &l->up, &l->down};
        for (int m = 0; m < RR_LM_N && !rc; m++)
            rc = apply_matrix(r, i, (enum rr_lm_matrix)m, all[m]);
    }
    for (size_t i = 0; i < r->n && !rc; i++)
        if (!r->used[i])
            rc = rr_fail(r->err, RR_ERR_DATA, "ADAPTER",
                         RR_AT_OBJECT(r->tensors_file, r->tensors[i].name),
                         "belongs to no matrix of this model: another base, or a kind of adapter "
                         "that is not supported");
    if (!rc && !r->report->n_merged)
        rc = rr_fail(r->err, RR_ERR_DATA, "ADAPTER_NO_MATCH", RR_AT_FILE(r->tensors_file),
                     "the adapter holds nothing for this model");
    return rc;
}

int rr_adapter_apply(struct rr_weights *w, const struct rr_kernels *kern, const char *dir,
                     struct rr_adapter_report *report, struct rr_error *err)
{
    struct reader r = {.w = w, .kern = kern, .report = report, .err = err};
    *report = (struct rr_adapter_report){0};
    int rc = open_config(&r, dir);
    if (!rc)
        rc = open_tensors(&r, dir);
    if (!rc)
        rc = apply_all(&r);
    if (r.map.data)
        rr_map_close(&r.map);
    rr_free(r.tensors);
    rr_arena_free(&r.arena);
    return rc;
}
