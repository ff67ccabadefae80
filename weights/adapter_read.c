/* See adapter.h. What is known to change the result and is not applied is refused by name: an
 * adapter that is applied in part ranks wrongly without a word. */
#include <math.h>
#include <stdio.h>
#include "engine/base/file.h"
#include "engine/base/json.h"
#include "engine/base/limits.h"
#include "engine/base/sha256.h"
#include "weights/adapter.h"
#include "weights/safetensors.h"

#define PREFIX "base_model.model."

struct reader {
    struct rr_weights *w;
    const struct rr_kernels *kern;
    struct rr_arena arena; /* of what is read, not of what is made */
    const struct rr_adapter_files *files;
    const struct rr_json *config;
    struct rr_stored *tensors;
    size_t n, cap;
    bool *used; /* [n] */
    int rank;
    double alpha;
    bool stabilised, dora;
    struct rr_adapter_report *report;
    struct rr_error *err;
};

static int bad(struct reader *r, const char *code, const char *field, const char *what)
{
    return rr_fail(r->err, RR_ERR_DATA, code, RR_AT_OBJECT(r->files->config_name, field), "%s",
                   what);
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
    static const char *const not_yet[] = {"use_qalora",
                                          "use_bdlora",
                                          "modules_to_save",
                                          "fan_in_fan_out",
                                          "lora_bias",
                                          "layer_replication",
                                          "target_parameters",
                                          "trainable_token_indices",
                                          "alora_invocation_tokens",
                                          "arrow_config"};
    const struct rr_json *bias = rr_json_get(r->config, "bias"),
                         *task = rr_json_get(r->config, "task_type"),
                         *init = rr_json_get(r->config, "init_lora_weights");
    if (!rr_json_is_string(rr_json_get(r->config, "peft_type"), "LORA"))
        return bad(r, "UNSUPPORTED", "peft_type", "expected \"LORA\"");
    if (is_set(task) && !rr_json_is_string(task, "CAUSAL_LM"))
        return bad(r, "UNSUPPORTED", "task_type",
                   "expected \"CAUSAL_LM\": heads of other tasks are not supported");
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

/* Whether a module of the model is called `end`, or ends so behind a dot, as PEFT matches names. */
static bool is_called(const char *end, size_t n_end, int layer, enum rr_lm_matrix m)
{
    char name[128];
    snprintf(name, sizeof name, "model.layers.%d.%s", layer, rr_adapter_module(m));
    const size_t n = strlen(name);
    return n_end && n_end <= n && memcmp(name + n - n_end, end, n_end) == 0 &&
           (n_end == n || name[n - n_end - 1] == '.');
}

static bool is_any_called(const struct reader *r, const char *end, size_t n_end)
{
    for (int i = 0; i < r->w->model.h.n_layers; i++)
        for (int m = 0; m < RR_LM_N; m++)
            if (is_called(end, n_end, i, (enum rr_lm_matrix)m))
                return true;
    return false;
}

/* rank_pattern and alpha_pattern: values of modules whose name ends so. Real regular expressions
 * are refused, not guessed at. */
static int check_patterns(struct reader *r, const char *field, bool whole, double most)
{
    const struct rr_json *map = rr_json_get(r->config, field);
    int64_t v;
    if (!is_set(map))
        return RR_OK;
    if (map->type != RR_JSON_OBJECT)
        return bad(r, "ADAPTER", field, "expected an object");
    for (const struct rr_json *p = map->child; p; p = p->next) {
        for (size_t i = 0; i < p->n_key; i++)
            if (!p->key[i] || !strchr("abcdefghijklmnopqrstuvwxyz0123456789_.", p->key[i]))
                return bad(r, "UNSUPPORTED", field, "patterns other than the ends of module names");
        if (whole ? !rr_json_int(&v, p, 1, (int64_t)most)
                  : p->type != RR_JSON_NUMBER || !(p->number > 0) || p->number > most)
            return bad(r, "ADAPTER", field,
                       whole ? "expected whole numbers from 1 to 4096"
                             : "expected positive numbers");
        if (!is_any_called(r, p->key, p->n_key))
            return rr_fail(r->err, RR_ERR_DATA, "ADAPTER",
                           RR_AT_OBJECT(r->files->config_name, field),
                           "'%s' is no module of this model: its value would go unused",
                           rr_show(p->key, p->n_key).s);
    }
    return RR_OK;
}

/* The value of a module: by pattern, else `otherwise`. */
static double pattern_value(const struct reader *r, const char *field, int layer,
                            enum rr_lm_matrix m, double otherwise)
{
    const struct rr_json *map = rr_json_get(r->config, field);
    for (const struct rr_json *p = map ? map->child : NULL; p; p = p->next)
        if (is_called(p->key, p->n_key, layer, m))
            return p->number;
    return otherwise;
}

static bool is_pattern(const struct rr_json *v)
{
    return is_set(v) && v->type == RR_JSON_STRING && !rr_json_is_string(v, "all-linear");
}

/* layers_to_transform: numbers of layers; exclude_modules: ends of names. */
static int check_exceptions(struct reader *r)
{
    const struct rr_json *layers = rr_json_get(r->config, "layers_to_transform"),
                         *excluded = rr_json_get(r->config, "exclude_modules");
    const int most = r->w->model.h.n_layers - 1;
    int64_t v;
    if (layers && layers->type != RR_JSON_NULL && layers->type != RR_JSON_ARRAY &&
        !rr_json_int(&v, layers, 0, most))
        return bad(r, "ADAPTER", "layers_to_transform", "is no number of a layer of this model");
    for (const struct rr_json *p = layers && layers->type == RR_JSON_ARRAY ? layers->child : NULL;
         p; p = p->next)
        if (!rr_json_int(&v, p, 0, most))
            return bad(r, "ADAPTER", "layers_to_transform",
                       "holds what is no number of a layer of this model");
    if (is_set(excluded) && excluded->type != RR_JSON_ARRAY && excluded->type != RR_JSON_STRING)
        return bad(r, "ADAPTER", "exclude_modules", "expected a list of module names");
    for (const struct rr_json *p = is_set(excluded) ? excluded->child : NULL; p; p = p->next)
        if (p->type != RR_JSON_STRING)
            return bad(r, "ADAPTER", "exclude_modules", "expected a list of module names");
    return RR_OK;
}

/* target_modules: a list of such ends, "all-linear", or a regular expression. Which modules that
 * one meant, the tensors say: PEFT writes them for exactly those. */
static int check_targets(struct reader *r)
{
    const struct rr_json *list = rr_json_get(r->config, "target_modules");
    if (rr_json_is_string(list, "all-linear") || is_pattern(list))
        return RR_OK;
    if (!list || list->type != RR_JSON_ARRAY || !list->child)
        return bad(r, "ADAPTER", "target_modules", "expected a list of module names");
    for (const struct rr_json *p = list->child; p; p = p->next)
        if (p->type != RR_JSON_STRING || !is_any_called(r, p->text, p->n_text))
            return rr_fail(r->err, RR_ERR_DATA, "ADAPTER",
                           RR_AT_OBJECT(r->files->config_name, "target_modules"),
                           "'%s' is no module of this model that an adapter can be merged into",
                           p->type == RR_JSON_STRING ? rr_show(p->text, p->n_text).s
                                                     : rr_json_type_name(p->type));
    return RR_OK;
}

static bool is_left_out(const struct reader *r, int layer, enum rr_lm_matrix m)
{
    const struct rr_json *layers = rr_json_get(r->config, "layers_to_transform"),
                         *excluded = rr_json_get(r->config, "exclude_modules");
    bool any = !layers || layers->type == RR_JSON_NULL ||
               (layers->type == RR_JSON_ARRAY && !layers->n_children) ||
               (layers->type == RR_JSON_NUMBER && layers->number == layer);
    for (const struct rr_json *p = layers ? layers->child : NULL; p; p = p->next)
        any = any || p->number == layer;
    for (const struct rr_json *p = is_set(excluded) ? excluded->child : NULL; p; p = p->next)
        any = any && !is_called(p->text, p->n_text, layer, m);
    return !any;
}

/* tensors: it has some. */
static bool is_target(const struct reader *r, int layer, enum rr_lm_matrix m, bool tensors)
{
    const struct rr_json *list = rr_json_get(r->config, "target_modules");
    if (is_pattern(list) || is_pattern(rr_json_get(r->config, "exclude_modules")))
        return tensors;
    if (is_left_out(r, layer, m))
        return false;
    if (list->type != RR_JSON_ARRAY)
        return true;
    for (const struct rr_json *p = list->child; p; p = p->next)
        if (is_called(p->text, p->n_text, layer, m))
            return true;
    return false;
}

static int read_config(struct reader *r)
{
    const struct rr_json *rank = rr_json_get(r->config, "r"),
                         *alpha = rr_json_get(r->config, "lora_alpha"),
                         *rs = rr_json_get(r->config, "use_rslora"),
                         *dora = rr_json_get(r->config, "use_dora");
    int64_t n;
    int rc = refuse_the_rest(r);
    if (rc)
        return rc;
    if (!rr_json_int(&n, rank, 1, 4096))
        return bad(r, "ADAPTER", "r", "expected a whole number from 1 to 4096");
    if (!alpha || alpha->type != RR_JSON_NUMBER || !isfinite(alpha->number) || alpha->number == 0)
        return bad(r, "ADAPTER", "lora_alpha", "expected a number that is not 0");
    if (rs && rs->type != RR_JSON_BOOL && rs->type != RR_JSON_NULL)
        return bad(r, "ADAPTER", "use_rslora", "expected true or false");
    if (dora && dora->type != RR_JSON_BOOL && dora->type != RR_JSON_NULL)
        return bad(r, "ADAPTER", "use_dora", "expected true or false");
    r->dora = dora && dora->type == RR_JSON_BOOL && dora->truth;
    r->rank = (int)n;
    r->alpha = alpha->number;
    r->stabilised = rs && rs->type == RR_JSON_BOOL && rs->truth;
    rc = check_targets(r);
    if (!rc)
        rc = check_exceptions(r);
    if (!rc)
        rc = check_patterns(r, "rank_pattern", true, 4096);
    return rc ? rc : check_patterns(r, "alpha_pattern", false, 1e9);
}

static int open_config(struct reader *r)
{
    const struct rr_adapter_files *f = r->files;
    struct rr_json *root;
    if (f->n_config > RR_MAX_CONFIG_FILE)
        return rr_fail(r->err, RR_ERR_DATA, "TOO_LARGE", RR_AT_FILE(f->config_name),
                       "%zu bytes; at most %u are read", f->n_config, RR_MAX_CONFIG_FILE);
    int rc = rr_json_parse(&root, &r->arena, f->config, f->n_config, f->config_name, 0, r->err);
    r->config = rc ? NULL : root;
    return rc ? rc : read_config(r);
}

/* ---- adapter_model.safetensors ------------------------------------------------------------------
 */

static int open_tensors(struct reader *r)
{
    const struct rr_adapter_files *f = r->files;
    int rc = rr_safetensors_parse(&r->tensors, &r->n, &r->cap, &r->arena, f->tensors, f->n_tensors,
                                  f->tensors_name, r->err);
    r->used = rc ? NULL : rr_arena_zalloc(&r->arena, r->n + 1, sizeof *r->used);
    if (!rc && !r->used)
        rc = rr_fail_memory(r->err, "adapter", r->n);
    return rc;
}

/* A tensor by module and part ("lora_A"), as PEFT spells it now and has spelled it; NULL: none. */
static const struct rr_stored *find(struct reader *r, int layer, enum rr_lm_matrix m,
                                    const char *part)
{
    static const char *const ends[] = {".weight", ".default.weight", "", ".default"};
    char name[160];
    for (size_t e = 0; e < sizeof ends / sizeof ends[0]; e++) {
        snprintf(name, sizeof name, PREFIX "model.layers.%d.%s.%s%s", layer, rr_adapter_module(m),
                 part, ends[e]);
        for (size_t i = 0; i < r->n; i++)
            if (strcmp(r->tensors[i].name, name) == 0) {
                r->used[i] = true;
                return &r->tensors[i];
            }
    }
    return NULL;
}

static int check_tensor(struct reader *r, const struct rr_stored *t, int rows, int cols,
                        const char *why)
{
    if (t->type < 0 || t->n_dims != 2)
        return rr_fail(r->err, RR_ERR_DATA, "ADAPTER",
                       RR_AT_OBJECT(r->files->tensors_name, t->name),
                       "%s with %d dimensions; expected a matrix of F32, F16 or BF16", t->type_name,
                       t->n_dims);
    if (t->shape[0] != (uint64_t)rows || t->shape[1] != (uint64_t)cols)
        return rr_fail(r->err, RR_ERR_DATA, "ADAPTER",
                       RR_AT_OBJECT(r->files->tensors_name, t->name),
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
            return rr_fail(r->err, RR_ERR_DATA, "ADAPTER",
                           RR_AT_OBJECT(r->files->tensors_name, t->name),
                           "holds a number that is not finite");
    return RR_OK;
}

struct factors {
    const float *a, *b;
    const float *magnitude; /* DoRA: of each row of the sum; or NULL */
    int rank;
    double scale;
};

/* What a row is multiplied with, so that it has its magnitude (DoRA, arXiv 2402.09353, equation 5).
 */
static double to_magnitude(const float *row, const double *sum, double scale, size_t n,
                           double magnitude)
{
    double squares = 0;
    for (size_t j = 0; j < n; j++) {
        const double v = (double)row[j] + scale * sum[j];
        squares += v * v;
    }
    return magnitude / sqrt(squares);
}

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
        const size_t row_at = (size_t)rr_adapter_row(&r->w->model.h, m, (int)i);
        const float *row_b = f->b + row_at * (size_t)rank;
        r->kern->row_f32[t->type](
            w + i * cols, (const char *)t->data + i * rr_row_bytes(t->type, cols), t->n_cols);
        for (size_t j = 0; j < cols; j++)
            sum[j] = 0;
        for (int k = 0; k < rank; k++)
            for (size_t j = 0; j < cols; j++)
                sum[j] += (double)row_b[k] * (double)f->a[(size_t)k * cols + j];
        const double by = f->magnitude ? to_magnitude(w + i * cols, sum, f->scale, cols,
                                                      (double)f->magnitude[row_at])
                                       : 1;
        for (size_t j = 0; j < cols; j++) {
            const double was = (double)w[i * cols + j], is = by * (was + f->scale * sum[j]);
            r->report->modules[m].size += was * was;
            r->report->modules[m].change += (is - was) * (is - was);
            w[i * cols + j] = (float)is;
        }
        for (size_t j = 0; j < cols; j++)
            if (!isfinite(w[i * cols + j]))
                return RR_ERR_DATA; /* the caller knows the name */
    }
    *t = (struct rr_tensor){
        .type = RR_TYPE_F32, .n_rows = t->n_rows, .n_cols = t->n_cols, .data = w};
    r->report->n_merged++;
    r->report->modules[m].n++;
    return RR_OK;
}

static int take_magnitude(struct reader *r, float **out, int layer, enum rr_lm_matrix m, int rows,
                          const char *module)
{
    const struct rr_stored *t = find(r, layer, m, "lora_magnitude_vector");
    if (!t)
        return rr_fail(r->err, RR_ERR_DATA, "ADAPTER", RR_AT_OBJECT(r->files->tensors_name, module),
                       "its lora_magnitude_vector is missing, and use_dora is set");
    struct rr_stored row = *t;
    if (row.n_dims == 1) {
        row.n_dims = 2;
        row.shape[1] = row.shape[0];
        row.shape[0] = 1;
    }
    int rc = check_tensor(r, &row, 1, rows, "(one number for each output)");
    return rc ? rc : take(r, out, &row);
}

static int apply_matrix(struct reader *r, int layer, enum rr_lm_matrix m, struct rr_tensor *t)
{
    const struct rr_stored *a = find(r, layer, m, "lora_A"), *b = find(r, layer, m, "lora_B");
    float *x, *y, *magnitude = NULL;
    const int rank = (int)pattern_value(r, "rank_pattern", layer, m, r->rank);
    const double alpha = pattern_value(r, "alpha_pattern", layer, m, r->alpha);
    const bool target = is_target(r, layer, m, a || b);
    char name[128];
    snprintf(name, sizeof name, "model.layers.%d.%s", layer, rr_adapter_module(m));
    if (!a && !b && !target)
        return RR_OK;
    /* One that holds nothing at all is another model's: apply_all says so. */
    if (!a && !b)
        return r->n ? rr_fail(r->err, RR_ERR_DATA, "ADAPTER",
                              RR_AT_OBJECT(r->files->tensors_name, name),
                              "is one of target_modules, but its tensors are missing")
                    : RR_OK;
    if (!a || !b)
        return rr_fail(r->err, RR_ERR_DATA, "ADAPTER",
                       RR_AT_OBJECT(r->files->tensors_name, (a ? a : b)->name),
                       "its lora_%s is missing", a ? "B" : "A");
    if (!target)
        return rr_fail(r->err, RR_ERR_DATA, "ADAPTER",
                       RR_AT_OBJECT(r->files->tensors_name, a->name),
                       "is none of adapter_config.json's target_modules");
    int rc = check_tensor(r, a, rank, t->n_cols, "(r and this base's inputs)");
    if (!rc)
        rc = check_tensor(r, b, t->n_rows, rank, "(this base's outputs and r)");
    if (!rc)
        rc = take(r, &x, a);
    if (!rc)
        rc = take(r, &y, b);
    if (!rc && r->dora)
        rc = take_magnitude(r, &magnitude, layer, m, t->n_rows, name);
    if (rc)
        return rc;
    const struct factors f = {x, y, magnitude, rank, alpha / (r->stabilised ? sqrt(rank) : rank)};
    r->report->rank = rank;
    r->report->scale = f.scale;
    rc = merge(r, t, m, &f);
    return rc == RR_ERR_DATA ? rr_fail(r->err, RR_ERR_DATA, "ADAPTER",
                                       RR_AT_OBJECT(r->files->tensors_name, a->name),
                                       "merged, the weights are not finite")
                             : rc;
}

static int apply_all(struct reader *r)
{
    const struct rr_model *model = &r->w->model;
    int rc = RR_OK;
    bool any = false;
    for (size_t i = 0; i < r->n; i++)
        any = any || strncmp(r->tensors[i].name, PREFIX, sizeof PREFIX - 1) == 0;
    if (!any)
        return rr_fail(r->err, RR_ERR_DATA, "ADAPTER_NO_MATCH",
                       RR_AT_OBJECT(r->files->tensors_name, r->n ? r->tensors[0].name : NULL),
                       "the adapter holds nothing for this model");
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
                         RR_AT_OBJECT(r->files->tensors_name, r->tensors[i].name),
                         "belongs to no matrix of this model: another base, or a kind of adapter "
                         "that is not supported");
    return rc;
}

/* ---- both ---------------------------------------------------------------------------------------
 */

/* So that the model's fingerprint is another one's with the adapter than without. */
static void note_identity(struct rr_weights *w, const struct rr_adapter_files *f)
{
    struct rr_sha256 sum;
    rr_sha256_init(&sum);
    rr_sha256_add(&sum, w->adapter, strlen(w->adapter) + 1);
    rr_sha256_add(&sum, f->config, f->n_config);
    rr_sha256_add(&sum, f->tensors, f->n_tensors);
    rr_sha256_hex(&sum, w->adapter);
}

int rr_adapter_apply_memory(struct rr_weights *w, const struct rr_kernels *kern,
                            const struct rr_adapter_files *files, struct rr_adapter_report *report,
                            struct rr_error *err)
{
    struct reader r = {.w = w, .kern = kern, .files = files, .report = report, .err = err};
    *report = (struct rr_adapter_report){0};
    int rc = open_config(&r);
    if (!rc)
        rc = open_tensors(&r);
    if (!rc)
        rc = apply_all(&r);
    if (!rc)
        note_identity(w, files);
    rr_free(r.tensors);
    rr_arena_free(&r.arena);
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

int rr_adapter_apply(struct rr_weights *w, const struct rr_kernels *kern, const char *dir,
                     struct rr_adapter_report *report, struct rr_error *err)
{
    struct rr_map config = {0}, tensors = {0};
    char *config_name = rr_path_join(dir, "adapter_config.json"),
         *tensors_name = rr_path_join(dir, "adapter_model.safetensors");
    *report = (struct rr_adapter_report){0};
    int rc = config_name && tensors_name ? RR_OK : rr_fail_memory(err, "adapter", strlen(dir));
    if (!rc)
        rc = rr_map_open(&config, config_name, err);
    if (!rc)
        rc = map_tensors(&tensors, dir, tensors_name, err);
    if (!rc) {
        const struct rr_adapter_files files = {config_name,  (const char *)config.data,
                                               config.size,  tensors_name,
                                               tensors.data, tensors.size};
        rc = rr_adapter_apply_memory(w, kern, &files, report, err);
    }
    if (config.data)
        rr_map_close(&config);
    if (tensors.data)
        rr_map_close(&tensors);
    rr_free(config_name);
    rr_free(tensors_name);
    return rc;
}
