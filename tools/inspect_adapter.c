/* recrank inspect of a LoRA adapter's folder: what it was made for, and its modules. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/file.h"
#include "engine/base/json.h"
#include "engine/base/limits.h"
#include "tools/inspect.h"
#include "weights/safetensors.h"

/* Tensors whose names differ in the number of the layer alone. */
struct kind {
    char name[128]; /* with "*" in the number's place */
    int n;
    const struct rr_stored *first;
    bool one_shape;
};

struct adapter {
    struct rr_arena arena;
    struct rr_map config, tensors;
    struct rr_json *root;
    struct rr_stored *list;
    size_t n, cap;
    struct kind *kinds;
    size_t n_kinds, cap_kinds;
};

/* "base_model.model.model.layers.12.self_attn.q_proj.lora_A.weight" ->
 * "model.layers.*.self_attn.q_proj.lora_A" */
static void kind_name(char out[128], const char *tensor)
{
    static const char prefix[] = "base_model.model.", layers[] = "layers.", weight[] = ".weight";
    const char *s = strncmp(tensor, prefix, strlen(prefix)) == 0 ? tensor + strlen(prefix) : tensor;
    const char *at = strstr(s, layers), *number = at ? at + strlen(layers) : NULL;
    const size_t digits = number ? strspn(number, "0123456789") : 0;
    if (digits)
        snprintf(out, 128, "%.*s*%s", (int)(number - s), s, number + digits);
    else
        snprintf(out, 128, "%s", s);
    const size_t n = strlen(out);
    if (n > strlen(weight) && strcmp(out + n - strlen(weight), weight) == 0)
        out[n - strlen(weight)] = 0;
}

static bool same_shape(const struct rr_stored *a, const struct rr_stored *b)
{
    return a->type == b->type && a->n_dims == b->n_dims &&
           memcmp(a->shape, b->shape, (size_t)a->n_dims * sizeof a->shape[0]) == 0;
}

static int count_kinds(struct adapter *a, struct rr_error *err)
{
    for (size_t i = 0; i < a->n; i++) {
        char name[128];
        size_t k = 0;
        kind_name(name, a->list[i].name);
        while (k < a->n_kinds && strcmp(a->kinds[k].name, name) != 0)
            k++;
        if (k == a->n_kinds) {
            if (!rr_grow(&a->kinds, &a->cap_kinds, k + 1, sizeof *a->kinds))
                return rr_fail_memory(err, "adapter", k);
            a->kinds[a->n_kinds++] = (struct kind){.first = &a->list[i], .one_shape = true};
            memcpy(a->kinds[k].name, name, sizeof name);
        }
        a->kinds[k].n++;
        a->kinds[k].one_shape = a->kinds[k].one_shape && same_shape(a->kinds[k].first, &a->list[i]);
    }
    return RR_OK;
}

static int map_in(struct rr_map *map, struct adapter *a, const char *dir, const char *name,
                  const char **path, struct rr_error *err)
{
    char *joined = rr_path_join(dir, name);
    *path = joined ? rr_arena_copy(&a->arena, joined, strlen(joined)) : NULL;
    rr_free(joined);
    return *path ? rr_map_open(map, *path, err) : rr_fail_memory(err, name, 0);
}

static int read_adapter(struct adapter *a, const char *dir, struct rr_error *err)
{
    const char *path;
    int rc = map_in(&a->config, a, dir, "adapter_config.json", &path, err);
    if (!rc && a->config.size > RR_MAX_CONFIG_FILE)
        rc = rr_fail(err, RR_ERR_DATA, "TOO_LARGE", RR_AT_FILE(path),
                     "%zu bytes; at most %u are read", a->config.size, RR_MAX_CONFIG_FILE);
    if (!rc)
        rc = rr_json_parse(&a->root, &a->arena, (const char *)a->config.data, a->config.size, path,
                           0, err);
    if (!rc)
        rc = map_in(&a->tensors, a, dir, "adapter_model.safetensors", &path, err);
    if (!rc)
        rc = rr_safetensors_parse(&a->list, &a->n, &a->cap, &a->arena, a->tensors.data,
                                  a->tensors.size, path, err);
    return rc ? rc : count_kinds(a, err);
}

/* A setting as the file has it: text, number, truth, or a list of texts. */
static void print_setting(const struct adapter *a, const char *label, const char *key)
{
    const struct rr_json *v = rr_json_get(a->root, key);
    printf("%-14s", label);
    if (v && v->type == RR_JSON_ARRAY)
        for (const struct rr_json *p = v->child; p; p = p->next)
            printf("%s%s", p == v->child ? "" : ", ",
                   p->type == RR_JSON_STRING ? rr_show(p->text, p->n_text).s
                                             : rr_json_type_name(p->type));
    else if (v && (v->type == RR_JSON_STRING || v->type == RR_JSON_NUMBER))
        printf("%s", rr_show(v->text, strlen(v->text)).s);
    else if (v && v->type == RR_JSON_BOOL)
        printf("%s", v->truth ? "yes" : "no");
    else
        printf("-");
    printf("\n");
}

static void print_kinds(const struct adapter *a)
{
    printf("tensors       %zu\n", a->n);
    for (size_t k = 0; k < a->n_kinds; k++) {
        const struct kind *x = &a->kinds[k];
        printf("  %-40s %4d of %s [", rr_show(x->name, strlen(x->name)).s, x->n,
               x->first->type_name);
        for (int d = 0; d < x->first->n_dims; d++)
            printf("%s%llu", d ? ", " : "", (unsigned long long)x->first->shape[d]);
        printf("]%s\n", x->one_shape ? "" : " and other shapes");
    }
}

bool inspect_is_adapter(const char *path)
{
    char *config = rr_path_join(path, "adapter_config.json");
    const bool is = config && rr_path_exists(config);
    rr_free(config);
    return is;
}

int inspect_adapter(const char *dir)
{
    struct adapter a = {0};
    struct rr_error err = {0};
    int rc = read_adapter(&a, dir, &err);
    if (!rc) {
        printf("adapter       %s\n", dir);
        print_setting(&a, "kind", "peft_type");
        print_setting(&a, "made for", "base_model_name_or_path");
        print_setting(&a, "r", "r");
        print_setting(&a, "alpha", "lora_alpha");
        print_setting(&a, "rslora", "use_rslora");
        print_setting(&a, "dora", "use_dora");
        print_setting(&a, "targets", "target_modules");
        print_setting(&a, "saved whole", "modules_to_save");
        print_kinds(&a);
    }
    if (a.config.data)
        rr_map_close(&a.config);
    if (a.tensors.data)
        rr_map_close(&a.tensors);
    rr_free(a.list);
    rr_free(a.kinds);
    rr_arena_free(&a.arena);
    return rc ? tool_fail(&err) : tool_finish();
}
