/* See model.h: numbers that are none, in weights. */
#include <math.h>
#include "engine/model.h"

enum { STRETCH = 4 * RR_QK_K }; /* numbers looked at at once: whole blocks of every type */

long long rr_tensor_nonfinite(const struct rr_tensor *t, const struct rr_kernels *k)
{
    const struct rr_type_info *type = rr_type_info(t->type);
    float numbers[STRETCH];
    for (int row = 0; row < t->n_rows; row++) {
        const char *data =
            (const char *)t->data + (size_t)row * rr_row_bytes(t->type, (size_t)t->n_cols);
        for (long long at = 0; at < t->n_cols; at += STRETCH) {
            const int n = t->n_cols - at < STRETCH ? (int)(t->n_cols - at) : STRETCH;
            k->row_f32[t->type](numbers, data + (size_t)(at / type->block) * type->block_bytes, n);
            for (int i = 0; i < n; i++)
                if (!isfinite(numbers[i]))
                    return (long long)row * t->n_cols + at + i;
        }
    }
    return -1;
}

/* Says so when t is one of those. */
static bool is_damaged(struct rr_damage *d, const struct rr_tensor *t, const struct rr_kernels *k,
                       int layer, const char *name)
{
    const long long at = rr_tensor_nonfinite(t, k);
    if (at < 0)
        return false;
    *d = (struct rr_damage){.layer = layer,
                            .name = name,
                            .row = (int)(at / t->n_cols),
                            .column = (int)(at % t->n_cols)};
    return true;
}

static struct rr_tensor vector(const float *v, int n)
{
    return (struct rr_tensor){RR_TYPE_F32, 1, n, v};
}

bool rr_model_damage(struct rr_damage *d, const struct rr_model *m, const struct rr_kernels *k)
{
    const struct rr_tensor norm = vector(m->out_norm, m->h.n_embd);
    if (is_damaged(d, &m->embed, k, -1, "token_embd"))
        return true;
    for (int i = 0; i < m->h.n_layers; i++) {
        const struct rr_layer *l = &m->layers[i];
        const struct rr_tensor attn_norm = vector(l->attn_norm, m->h.n_embd),
                               ffn_norm = vector(l->ffn_norm, m->h.n_embd);
        const struct {
            const char *name;
            const struct rr_tensor *t;
        } all[] = {{"attn_norm", &attn_norm}, {"attn_q", &l->wq},      {"attn_k", &l->wk},
                   {"attn_v", &l->wv},        {"attn_output", &l->wo}, {"ffn_norm", &ffn_norm},
                   {"ffn_gate", &l->gate},    {"ffn_up", &l->up},      {"ffn_down", &l->down}};
        for (size_t j = 0; j < sizeof all / sizeof all[0]; j++)
            if (is_damaged(d, all[j].t, k, i, all[j].name))
                return true;
    }
    return is_damaged(d, &norm, k, -1, "output_norm") ||
           (!m->tied && is_damaged(d, &m->head, k, -1, "output"));
}
