/* See adapter.h. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include "engine/base/file.h"
#include "engine/base/json.h"
#include "weights/adapter.h"

#define CONFIG "adapter_config.json"

static const char *const modules[RR_LM_N] = {
    "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
    "mlp.gate_proj",    "mlp.up_proj",      "mlp.down_proj"};

const char *rr_adapter_module(enum rr_lm_matrix m)
{
    return modules[m];
}

int rr_adapter_row(const struct rr_hparams *h, enum rr_lm_matrix m, int row)
{
    if (!h->rope.interleaved || (m != RR_LM_Q && m != RR_LM_K))
        return row;
    const int j = row % h->head_dim;
    return row - j + (j % 2 ? h->head_dim / 2 : 0) + j / 2;
}

int rr_row_of_pairs(int head_dim, int row)
{
    const int j = row % head_dim, half = head_dim / 2;
    return row - j + (j < half ? 2 * j : 2 * (j - half) + 1);
}

int rr_adapter_check(const char *dir, struct rr_error *err)
{
    if (mkdir(dir, 0777) == 0 || (errno == EEXIST && rr_path_is_dir(dir))) {
        char *path = rr_path_join(dir, CONFIG);
        int rc = path ? rr_out_check(path, err) : rr_fail_memory(err, CONFIG, 0);
        rr_free(path);
        return rc;
    }
    return rr_fail(err, RR_ERR_OPEN, "CANNOT_WRITE", RR_AT_FILE(dir), "cannot make this folder: %s",
                   strerror(errno));
}

/* One file of the folder, opened for writing. */
static int open_in(struct rr_out *out, const char *dir, const char *name, struct rr_error *err)
{
    char *path = rr_path_join(dir, name);
    int rc = path ? rr_out_open(out, path, err) : rr_fail_memory(err, name, 0);
    rr_free(path);
    return rc;
}

static int write_config(const char *dir, const struct rr_lm *lm, const char *base,
                        struct rr_error *err)
{
    struct rr_buf b = {0};
    struct rr_out out;
    int n = 0;
    rr_buf_puts(&b, "{\n  \"peft_type\": \"LORA\",\n  \"task_type\": \"CAUSAL_LM\",\n"
                    "  \"base_model_name_or_path\": ");
    rr_json_add_string(&b, base, strlen(base));
    rr_buf_printf(&b, ",\n  \"r\": %d,\n  \"lora_alpha\": ", lm->o.rank);
    rr_json_add_double(&b, lm->o.alpha);
    rr_buf_puts(&b, ",\n  \"lora_dropout\": ");
    rr_json_add_double(&b, lm->o.lora_dropout);
    rr_buf_printf(&b,
                  ",\n  \"use_rslora\": %s,\n  \"use_dora\": false,\n  \"bias\": \"none\",\n"
                  "  \"fan_in_fan_out\": false,\n  \"inference_mode\": true,\n"
                  "  \"init_lora_weights\": true,\n  \"modules_to_save\": null,\n"
                  "  \"target_modules\": [",
                  lm->o.rank_stabilised ? "true" : "false");
    for (int m = 0; m < RR_LM_N; m++)
        if (lm->o.modules >> m & 1)
            rr_buf_printf(&b, "%s\"%s\"", n++ ? ", " : "", strchr(modules[m], '.') + 1);
    rr_buf_puts(&b, "]\n}\n");
    int rc = b.failed ? rr_fail_memory(err, "adapter", b.n) : open_in(&out, dir, CONFIG, err);
    if (!rc) {
        fwrite(b.data, 1, b.n, out.f);
        rc = rr_out_commit(&out, err);
    }
    rr_buf_free(&b);
    return rc;
}

/* What is done to a and b of every adapter, in order. */
typedef void matrix_fn(void *arg, const char *name, const rr_real *x, int rows, int cols,
                       const struct rr_hparams *h, int permuted);

static void each_matrix(const struct rr_lm *lm, matrix_fn *fn, void *arg)
{
    char name[128];
    for (int i = 0; i < lm->h.n_layers; i++)
        for (int m = 0; m < RR_LM_N; m++) {
            const struct rr_linear *l = &lm->layers[i].m[m];
            if (!l->rank)
                continue;
            snprintf(name, sizeof name, "base_model.model.model.layers.%d.%s.lora_A.weight", i,
                     modules[m]);
            fn(arg, name, l->a, l->rank, l->n_in, &lm->h, -1);
            snprintf(name, sizeof name, "base_model.model.model.layers.%d.%s.lora_B.weight", i,
                     modules[m]);
            fn(arg, name, l->b, l->n_out, l->rank, &lm->h, m);
        }
}

struct header {
    struct rr_buf text;
    size_t at;
};

static void put_entry(void *arg, const char *name, const rr_real *x, int rows, int cols,
                      const struct rr_hparams *h, int permuted)
{
    struct header *to = arg;
    const size_t n = (size_t)rows * (size_t)cols * sizeof(float);
    (void)x;
    (void)h;
    (void)permuted;
    rr_buf_printf(&to->text,
                  "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[%d,%d],\"data_offsets\":[%zu,%zu]}",
                  to->at ? "," : "", name, rows, cols, to->at, to->at + n);
    to->at += n;
}

static void put_rows(void *arg, const char *name, const rr_real *x, int rows, int cols,
                     const struct rr_hparams *h, int permuted)
{
    FILE *f = arg;
    (void)name;
    for (int row = 0; row < rows; row++) {
        int from = row;
        /* The row that belongs at this place in Hugging Face's order. */
        if (permuted >= 0 && rr_adapter_row(h, (enum rr_lm_matrix)permuted, 1) != 1)
            from = rr_row_of_pairs(h->head_dim, row);
        fwrite(x + (size_t)from * (size_t)cols, sizeof *x, (size_t)cols, f);
    }
}

int rr_adapter_write(const char *dir, const struct rr_lm *lm, const char *base,
                     struct rr_error *err)
{
    struct header h = {0};
    struct rr_out out;
    unsigned char size[8];
    int rc = rr_adapter_check(dir, err);
    if (rc)
        return rc;
    rr_buf_puts(&h.text, "{");
    each_matrix(lm, put_entry, &h);
    rr_buf_puts(&h.text, "}");
    while (h.text.n % 8 && !h.text.failed)
        rr_buf_puts(&h.text, " ");
    for (int i = 0; i < 8; i++)
        size[i] = (unsigned char)((uint64_t)h.text.n >> 8 * i);
    rc = h.text.failed ? rr_fail_memory(err, "adapter", h.text.n)
                       : open_in(&out, dir, "adapter_model.safetensors", err);
    if (!rc) {
        fwrite(size, 1, sizeof size, out.f);
        fwrite(h.text.data, 1, h.text.n, out.f);
        each_matrix(lm, put_rows, out.f);
        rc = rr_out_commit(&out, err);
    }
    rr_buf_free(&h.text);
    return rc ? rc : write_config(dir, lm, base, err);
}
