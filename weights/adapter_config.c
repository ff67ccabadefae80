/* See adapter_config.h. What is known to change the result and is not applied is refused by name:
 * an adapter that is applied in part ranks wrongly without a word. */
#include "weights/adapter_config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include "engine/base/limits.h"
#include "weights/pattern.h"

static const struct rr_json *get(const struct rr_adapter_config *c, const char *field)
{
    return rr_json_get(c->root, field);
}

/* Where v begins; v NULL: the object that lacks it. */
static size_t place(const struct rr_adapter_config *c, const struct rr_json *v)
{
    return v ? v->offset : c->root->offset;
}

int rr_adapter_config_refuse(const struct rr_adapter_config *c, int status, const char *code,
                             const char *field, const char *what)
{
    return rr_fail(c->err, status, code,
                   RR_AT_BYTE(c->files->config_name, field, place(c, get(c, field))), "%s", what);
}

/* v: the value, or the part of it, that is wrong. */
static int bad_at(const struct rr_adapter_config *c, const char *code, const char *field,
                  const struct rr_json *v, const char *what)
{
    return rr_fail(c->err, RR_ERR_DATA, code, RR_AT_BYTE(c->files->config_name, field, place(c, v)),
                   "%s", what);
}

static int bad(const struct rr_adapter_config *c, const char *code, const char *field,
               const char *what)
{
    return rr_adapter_config_refuse(c, RR_ERR_DATA, code, field, what);
}

static bool is_set(const struct rr_json *v)
{
    return v && v->type != RR_JSON_NULL && !(v->type == RR_JSON_BOOL && !v->truth) &&
           !((v->type == RR_JSON_ARRAY || v->type == RR_JSON_OBJECT) && !v->n_children) &&
           !(v->type == RR_JSON_STRING && !v->n_text);
}

static int refuse_the_rest(const struct rr_adapter_config *c)
{
    static const char *const not_yet[] = {"use_qalora",        "use_bdlora",
                                          "lora_bias",         "layer_replication",
                                          "target_parameters", "trainable_token_indices",
                                          "arrow_config",      "alora_invocation_tokens"};
    const struct rr_json *bias = get(c, "bias"), *task = get(c, "task_type"),
                         *init = get(c, "init_lora_weights");
    if (!rr_json_is_string(get(c, "peft_type"), "LORA"))
        return bad(c, "UNSUPPORTED", "peft_type", "expected \"LORA\"");
    if (is_set(task) && !rr_json_is_string(task, "CAUSAL_LM"))
        return bad(c, "UNSUPPORTED", "task_type",
                   "expected \"CAUSAL_LM\": heads of other tasks are not supported");
    for (size_t i = 0; i < sizeof not_yet / sizeof not_yet[0]; i++)
        if (is_set(get(c, not_yet[i])))
            return bad(c, "UNSUPPORTED", not_yet[i], "adapters with this are not supported");
    if (is_set(bias) && !rr_json_is_string(bias, "none"))
        return bad(c, "UNSUPPORTED", "bias", "expected \"none\"");
    /* These start from changed weights, which the adapter is relative to. */
    if (init && init->type == RR_JSON_STRING && !rr_json_is_string(init, "gaussian") &&
        !rr_json_is_string(init, "eva"))
        return bad(c, "UNSUPPORTED", "init_lora_weights",
                   "the adapter belongs to a base that its own initialisation changed");
    return RR_OK;
}

/* ---- names of modules ---- */

struct name {
    char s[128];
    size_t n;
};

/* As PEFT knows a module. */
static struct name name_of(int layer, enum rr_lm_matrix m)
{
    struct name n;
    const int len = snprintf(n.s, sizeof n.s, "model.layers.%d.%s", layer, rr_adapter_module(m));
    n.n = len > 0 ? (size_t)len : 0;
    return n;
}

/* Whether a module is called `end`, or ends so behind a dot. */
static bool is_called(const char *name, size_t n, const char *end, size_t n_end)
{
    return n_end && n_end <= n && memcmp(name + n - n_end, end, n_end) == 0 &&
           (n_end == n || name[n - n_end - 1] == '.');
}

/* A key of rank_pattern and alpha_pattern, as PEFT matches it: (.*\.)?(key)$. Plain ends of names
 * are most of them, and need no expression. */
static enum rr_pattern_result fits_key(const struct rr_json *p, struct name name)
{
    if (is_called(name.s, name.n, p->key, p->n_key))
        return RR_PATTERN_YES;
    struct rr_buf b = {0};
    rr_buf_puts(&b, "(.*\\.)?(");
    rr_buf_add(&b, p->key, p->n_key);
    rr_buf_puts(&b, ")");
    const enum rr_pattern_result r =
        b.failed ? RR_PATTERN_MEMORY : rr_pattern_match(b.data, b.n, name.s, name.n);
    rr_buf_free(&b);
    return r;
}

/* Whether any module of the model fits, by `fits`. */
static enum rr_pattern_result any_module(const struct rr_adapter_config *c, const struct rr_json *p,
                                         enum rr_pattern_result (*fits)(const struct rr_json *,
                                                                        struct name))
{
    for (int i = 0; i < c->h->n_layers; i++)
        for (int m = 0; m < RR_LM_N; m++) {
            const enum rr_pattern_result r = fits(p, name_of(i, (enum rr_lm_matrix)m));
            if (r != RR_PATTERN_NO)
                return r;
        }
    return RR_PATTERN_NO;
}

static enum rr_pattern_result fits_end(const struct rr_json *p, struct name name)
{
    return is_called(name.s, name.n, p->text, p->n_text) ? RR_PATTERN_YES : RR_PATTERN_NO;
}

static enum rr_pattern_result fits_expression(const struct rr_json *p, struct name name)
{
    return rr_pattern_match(p->text, p->n_text, name.s, name.n);
}

/* ---- checks ---- */

static int check_patterns(const struct rr_adapter_config *c, const char *field, bool whole,
                          double most)
{
    const struct rr_json *map = get(c, field);
    int64_t v;
    if (!is_set(map))
        return RR_OK;
    if (map->type != RR_JSON_OBJECT)
        return bad(c, "ADAPTER", field, "expected an object");
    for (const struct rr_json *p = map->child; p; p = p->next) {
        if (whole ? !rr_json_int(&v, p, 1, (int64_t)most)
                  : p->type != RR_JSON_NUMBER || !(p->number > 0) || p->number > most)
            return bad_at(c, "ADAPTER", field, p,
                          whole ? "expected whole numbers from 1 to 4096"
                                : "expected positive numbers");
        const enum rr_pattern_result r = any_module(c, p, fits_key);
        if (r == RR_PATTERN_MEMORY)
            return rr_fail_memory(c->err, field, p->n_key);
        if (r != RR_PATTERN_YES)
            return rr_fail(c->err, RR_ERR_DATA, r == RR_PATTERN_NO ? "ADAPTER" : "UNSUPPORTED",
                           RR_AT_BYTE(c->files->config_name, field, p->offset),
                           r == RR_PATTERN_NO
                               ? "'%s' is no module of this model: its value would go unused"
                               : "'%s' is a pattern of a kind that is not supported",
                           rr_show(p->key, p->n_key).s);
    }
    return RR_OK;
}

/* layers_to_transform: numbers of layers; exclude_modules: ends of names, or an expression. */
static int check_exceptions(const struct rr_adapter_config *c)
{
    const struct rr_json *layers = get(c, "layers_to_transform"),
                         *excluded = get(c, "exclude_modules");
    const int most = c->h->n_layers - 1;
    int64_t v;
    if (layers && layers->type != RR_JSON_NULL && layers->type != RR_JSON_ARRAY &&
        !rr_json_int(&v, layers, 0, most))
        return bad(c, "ADAPTER", "layers_to_transform", "is no number of a layer of this model");
    for (const struct rr_json *p = layers && layers->type == RR_JSON_ARRAY ? layers->child : NULL;
         p; p = p->next)
        if (!rr_json_int(&v, p, 0, most))
            return bad_at(c, "ADAPTER", "layers_to_transform", p,
                          "holds what is no number of a layer of this model");
    if (is_set(excluded) && excluded->type != RR_JSON_ARRAY && excluded->type != RR_JSON_STRING)
        return bad(c, "ADAPTER", "exclude_modules", "expected a list of module names");
    for (const struct rr_json *p = is_set(excluded) ? excluded->child : NULL; p; p = p->next)
        if (p->type != RR_JSON_STRING)
            return bad_at(c, "ADAPTER", "exclude_modules", p, "expected a list of module names");
    return RR_OK;
}

static bool is_expression(const struct rr_json *v)
{
    return is_set(v) && v->type == RR_JSON_STRING && !rr_json_is_string(v, "all-linear");
}

/* target_modules: a list of ends of names, "all-linear", or a regular expression. */
static int check_targets(const struct rr_adapter_config *c)
{
    const struct rr_json *list = get(c, "target_modules");
    if (rr_json_is_string(list, "all-linear"))
        return RR_OK;
    if (is_expression(list)) {
        const enum rr_pattern_result r = any_module(c, list, fits_expression);
        if (r == RR_PATTERN_MEMORY)
            return rr_fail_memory(c->err, "target_modules", list->n_text);
        /* PEFT refuses one that fits nothing. */
        return r == RR_PATTERN_NO
                   ? rr_fail(c->err, RR_ERR_DATA, "ADAPTER",
                             RR_AT_BYTE(c->files->config_name, "target_modules", list->offset),
                             "'%s' fits no module of this model that an adapter can be merged into",
                             rr_show(list->text, list->n_text).s)
                   : RR_OK;
    }
    if (!list || list->type != RR_JSON_ARRAY || !list->child)
        return bad(c, "ADAPTER", "target_modules", "expected a list of module names");
    for (const struct rr_json *p = list->child; p; p = p->next)
        if (p->type != RR_JSON_STRING || any_module(c, p, fits_end) != RR_PATTERN_YES)
            return rr_fail(c->err, RR_ERR_DATA, "ADAPTER",
                           RR_AT_BYTE(c->files->config_name, "target_modules", p->offset),
                           "'%s' is no module of this model that an adapter can be merged into",
                           p->type == RR_JSON_STRING ? rr_show(p->text, p->n_text).s
                                                     : rr_json_type_name(p->type));
    return RR_OK;
}

static int check_saved(const struct rr_adapter_config *c)
{
    const struct rr_json *list = get(c, "modules_to_save");
    if (is_set(list) && list->type != RR_JSON_ARRAY)
        return bad(c, "ADAPTER", "modules_to_save", "expected a list of module names");
    for (const struct rr_json *p = is_set(list) ? list->child : NULL; p; p = p->next)
        if (p->type != RR_JSON_STRING || !p->n_text)
            return bad_at(c, "ADAPTER", "modules_to_save", p, "expected a list of module names");
    return RR_OK;
}

static int get_flag(const struct rr_adapter_config *c, bool *out, const char *field)
{
    const struct rr_json *v = get(c, field);
    if (v && v->type != RR_JSON_BOOL && v->type != RR_JSON_NULL)
        return bad(c, "ADAPTER", field, "expected true or false");
    *out = v && v->type == RR_JSON_BOOL && v->truth;
    return RR_OK;
}

static int check(struct rr_adapter_config *c)
{
    const struct rr_json *alpha = get(c, "lora_alpha");
    int64_t n;
    int rc = refuse_the_rest(c);
    if (rc)
        return rc;
    if (!rr_json_int(&n, get(c, "r"), 1, 4096))
        return bad(c, "ADAPTER", "r", "expected a whole number from 1 to 4096");
    if (!alpha || alpha->type != RR_JSON_NUMBER || !isfinite(alpha->number) || alpha->number == 0)
        return bad(c, "ADAPTER", "lora_alpha", "expected a number that is not 0");
    c->rank = (int)n;
    c->alpha = alpha->number;
    if ((rc = get_flag(c, &c->stabilised, "use_rslora")) != 0 ||
        (rc = get_flag(c, &c->dora, "use_dora")) != 0 ||
        (rc = get_flag(c, &c->transposed, "fan_in_fan_out")) != 0)
        return rc;
    if (c->dora && c->transposed)
        return bad(c, "UNSUPPORTED", "fan_in_fan_out", "together with use_dora");
    if ((rc = check_targets(c)) != 0 || (rc = check_exceptions(c)) != 0 ||
        (rc = check_saved(c)) != 0 || (rc = check_patterns(c, "rank_pattern", true, 4096)) != 0)
        return rc;
    return check_patterns(c, "alpha_pattern", false, 1e9);
}

int rr_adapter_config_read(struct rr_adapter_config *c, struct rr_arena *arena)
{
    const struct rr_adapter_files *f = c->files;
    struct rr_json *root;
    if (f->n_config > RR_MAX_CONFIG_FILE)
        return rr_fail(c->err, RR_ERR_DATA, "TOO_LARGE", RR_AT_FILE(f->config_name),
                       "%zu bytes; at most %u are read", f->n_config, RR_MAX_CONFIG_FILE);
    int rc = rr_json_parse(&root, arena, f->config, f->n_config, f->config_name, 0, c->err);
    c->root = rc ? NULL : root;
    return rc ? rc : check(c);
}

/* ---- answers ---- */

static enum rr_pattern_result heard(struct rr_adapter_config *c, enum rr_pattern_result r)
{
    c->out_of_memory = c->out_of_memory || r == RR_PATTERN_MEMORY;
    return r;
}

/* The value of a module by pattern, else `otherwise`. The patterns were understood before. */
static double pattern_value(struct rr_adapter_config *c, const char *field, struct name name,
                            double otherwise)
{
    const struct rr_json *map = get(c, field);
    for (const struct rr_json *p = map ? map->child : NULL; p; p = p->next)
        if (heard(c, fits_key(p, name)) == RR_PATTERN_YES)
            return p->number;
    return otherwise;
}

int rr_adapter_rank(struct rr_adapter_config *c, int layer, enum rr_lm_matrix m)
{
    return (int)pattern_value(c, "rank_pattern", name_of(layer, m), c->rank);
}

double rr_adapter_alpha(struct rr_adapter_config *c, int layer, enum rr_lm_matrix m)
{
    return pattern_value(c, "alpha_pattern", name_of(layer, m), c->alpha);
}

static bool is_in(const struct rr_json *list, struct name name)
{
    for (const struct rr_json *p = is_set(list) && list->type == RR_JSON_ARRAY ? list->child : NULL;
         p; p = p->next)
        if (is_called(name.s, name.n, p->text, p->n_text))
            return true;
    return false;
}

static bool is_left_out(const struct rr_adapter_config *c, int layer, struct name name)
{
    const struct rr_json *layers = get(c, "layers_to_transform");
    bool any = !layers || layers->type == RR_JSON_NULL ||
               (layers->type == RR_JSON_ARRAY && !layers->n_children) ||
               (layers->type == RR_JSON_NUMBER && layers->number == layer);
    for (const struct rr_json *p = layers ? layers->child : NULL; p; p = p->next)
        any = any || p->number == layer;
    return !any || is_in(get(c, "exclude_modules"), name);
}

bool rr_adapter_targets(struct rr_adapter_config *c, int layer, enum rr_lm_matrix m, bool tensors)
{
    const struct rr_json *list = get(c, "target_modules"), *excluded = get(c, "exclude_modules");
    const struct name name = name_of(layer, m);
    if (is_left_out(c, layer, name))
        return false;
    if (is_expression(excluded)) {
        const enum rr_pattern_result r = heard(c, fits_expression(excluded, name));
        if (r == RR_PATTERN_YES)
            return false;
        if (r != RR_PATTERN_NO)
            return tensors;
    }
    if (is_expression(list)) {
        const enum rr_pattern_result r = heard(c, fits_expression(list, name));
        return r == RR_PATTERN_YES || (r != RR_PATTERN_NO && tensors);
    }
    return list->type != RR_JSON_ARRAY || is_in(list, name);
}

bool rr_adapter_saves(const struct rr_adapter_config *c, const char *module)
{
    struct name name;
    const int n = snprintf(name.s, sizeof name.s, "%s", module);
    name.n = n > 0 && (size_t)n < sizeof name.s ? (size_t)n : 0;
    return is_in(get(c, "modules_to_save"), name);
}
