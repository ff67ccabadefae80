/* An adapter that something else wrote: its config up to the first zero byte, then its tensors; or
 * a GGUF file. Refused with a code, or merged into finite weights: of matrices it is about, and no
 * others. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "weights/adapter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define N_LAYERS 2

static void check(bool holds)
{
    if (!holds)
        abort();
}

/* The base, of the shapes that make_seeds.c knows. */
static struct rr_lm base;
static struct rr_kernels kernels;

static void open_base(void)
{
    const struct rr_hparams h = {.n_layers = N_LAYERS,
                                 .n_embd = 8,
                                 .n_heads = 2,
                                 .n_kv_heads = 1,
                                 .head_dim = 4,
                                 .n_ff = 12,
                                 .n_vocab = 8,
                                 .n_context = 8,
                                 .rms_eps = 1e-5,
                                 .rope = {.theta = 10000}};
    struct rr_error err = {0};
    if (base.values)
        return;
    check(rr_lm_make(&base, &h, true, &(struct rr_lm_options){0}, 1, &err) == 0);
    rr_kernels_init(&kernels, RR_CPU_C);
}

/* How many tensors are others than the base's; the layers' are finite. */
static int count_changed(const struct rr_model *m, const struct rr_model *was)
{
    int changed = 0;
    for (int i = 0; i < N_LAYERS; i++) {
        const struct rr_layer *a = &m->layers[i], *b = &was->layers[i];
        const struct rr_tensor *const now[] = {&a->wq,   &a->wk, &a->wv,  &a->wo,
                                               &a->gate, &a->up, &a->down},
                                      *const then[] = {&b->wq,   &b->wk, &b->wv,  &b->wo,
                                                       &b->gate, &b->up, &b->down};
        changed += (a->attn_norm != b->attn_norm) + (a->ffn_norm != b->ffn_norm);
        for (int k = 0; k < RR_LM_N; k++) {
            const size_t n = (size_t)now[k]->n_rows * (size_t)now[k]->n_cols;
            const float *x = now[k]->data;
            check(now[k]->n_rows == then[k]->n_rows && now[k]->n_cols == then[k]->n_cols &&
                  now[k]->type == RR_TYPE_F32);
            for (size_t j = 0; j < n; j++)
                check(isfinite(x[j]));
            changed += now[k]->data != then[k]->data;
        }
    }
    return changed + (m->embed.data != was->embed.data) + (m->head.data != was->head.data) +
           (m->out_norm != was->out_norm);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rr_weights w = {0};
    struct rr_model was;
    struct rr_layer now[N_LAYERS], then[N_LAYERS];
    struct rr_adapter_report r;
    struct rr_error err = {0};
    size_t n_config = 0;
    open_base();
    while (n_config < size && data[n_config])
        n_config++;
    const size_t from = n_config < size ? n_config + 1 : size;
    const bool gguf = size >= 4 && memcmp(data, "GGUF", 4) == 0;
    struct rr_adapter_files files = {
        "adapter_config.json",       (const char *)data,        n_config,
        "adapter_model.safetensors", size ? data + from : NULL, size - from};
    if (gguf)
        files = (struct rr_adapter_files){
            .tensors_name = "adapter.gguf", .tensors = data, .n_tensors = size};
    for (int interleaved = 0; interleaved < 2; interleaved++) {
        base.h.rope.interleaved = interleaved;
        rr_lm_as_model(&w.model, now, &base);
        rr_lm_as_model(&was, then, &base);
        const int rc = rr_adapter_apply_memory(&w, &kernels, &files, 1, &r, &err);
        if (rc) {
            check(rc == RR_ERR_DATA && err.code[0] && err.text[0] && !w.adapter[0]);
        } else {
            const int changed = count_changed(&w.model, &was), most = r.n_merged + r.n_saved;
            check(r.n_merged == 0 || (r.rank > 0 && isfinite(r.scale)));
            check(strlen(w.adapter) == 64 && changed > 0);
            /* A matrix may be saved whole and added to. */
            check(r.n_saved ? changed <= most : changed == most);
        }
        rr_arena_free(&w.arena);
        w = (struct rr_weights){0};
    }
    return 0;
}
