/* The cache of keys and values: written row by row, read a stretch of cells at a time as float32.
 *
 * Per layer and key-value head, cells one behind the other. Keys lie in panels of RR_PANEL cells,
 * dimension by dimension; values cell by cell. Q8_0 has blocks of RR_QK numbers of one cell, each
 * with a float32 scale: those of a panel behind its numbers, those of a cell behind its. */
#include "engine/session_internal.h"

#include <string.h>

static const char *const names[] = {"f32", "f16", "q8_0"};

const char *rr_cache_name(enum rr_cache_type type)
{
    return names[type];
}

int rr_cache_from_name(const char *name)
{
    for (int i = 0; i <= RR_CACHE_Q8_0; i++)
        if (strcmp(name, names[i]) == 0)
            return i;
    return -1;
}

size_t rr_cache_cell_bytes(enum rr_cache_type type, int head_dim)
{
    const size_t hd = (size_t)head_dim;
    return type == RR_CACHE_F32   ? hd * sizeof(float)
           : type == RR_CACHE_F16 ? hd * sizeof(uint16_t)
                                  : hd + hd / RR_QK * sizeof(float);
}

/* Offset of a cell of (layer, kv head) in keys (of a panel's first) or values. */
static size_t cell_at(const struct rr_session *s, int layer, int head, int cell)
{
    const size_t heads = (size_t)layer * (size_t)s->model->h.n_kv_heads + (size_t)head;
    return (heads * (size_t)s->o.n_cells + (size_t)cell) * s->cell_bytes;
}

static void write_f32(unsigned char *panel, int lane, unsigned char *values, const float *k,
                      const float *v, int hd)
{
    float *to = (float *)(void *)panel + lane;
    for (int d = 0; d < hd; d++)
        to[d * RR_PANEL] = k[d];
    memcpy(values, v, (size_t)hd * sizeof *v);
}

static void write_f16(const struct rr_kernels *kern, unsigned char *panel, int lane,
                      unsigned char *values, const float *k, const float *v, int hd)
{
    uint16_t part[RR_QK], *to = (uint16_t *)(void *)panel + lane;
    for (int d0 = 0; d0 < hd; d0 += RR_QK) {
        const int n = hd - d0 < RR_QK ? hd - d0 : RR_QK;
        kern->to_f16(part, k + d0, n);
        for (int d = 0; d < n; d++)
            to[(d0 + d) * RR_PANEL] = part[d];
    }
    kern->to_f16((uint16_t *)(void *)values, v, hd);
}

static void write_q8_0(const struct rr_kernels *kern, unsigned char *panel, int lane,
                       unsigned char *values, const float *k, const float *v, int hd)
{
    int8_t q[RR_QK] = {0}, *to = (int8_t *)panel + lane;
    int16_t sum[2] = {0};
    float *scales = (float *)(void *)(panel + (size_t)hd * RR_PANEL) + lane;
    for (int b = 0; b < hd / RR_QK; b++) {
        const struct rr_quantised block = {.q = q, .d = &scales[b * RR_PANEL], .sum = sum};
        kern->quantise(&block, k + b * RR_QK, RR_QK);
        for (int d = 0; d < RR_QK; d++)
            to[(b * RR_QK + d) * RR_PANEL] = q[d];
        const struct rr_quantised value = {
            .q = (int8_t *)values + b * RR_QK, .d = (float *)(void *)(values + hd) + b, .sum = sum};
        kern->quantise(&value, v + b * RR_QK, RR_QK);
    }
}

void rr_cache_write(struct rr_session *s, int layer, int row)
{
    const struct rr_hparams *h = &s->model->h;
    const struct rr_kernels *kern = &s->engine->kernels;
    const int hd = h->head_dim, cell = s->rows[row].cell, lane = cell % RR_PANEL;
    for (int head = 0; head < h->n_kv_heads; head++) {
        const size_t from = (size_t)row * rr_apart(h->n_kv_heads * hd) + (size_t)head * (size_t)hd;
        unsigned char *panel = s->keys + cell_at(s, layer, head, cell - lane),
                      *values = s->values + cell_at(s, layer, head, cell);
        if (s->o.cache == RR_CACHE_F32)
            write_f32(panel, lane, values, s->k + from, s->v + from, hd);
        else if (s->o.cache == RR_CACHE_F16)
            write_f16(kern, panel, lane, values, s->k + from, s->v + from, hd);
        else
            write_q8_0(kern, panel, lane, values, s->k + from, s->v + from, hd);
    }
}

const float *rr_cache_keys(const struct rr_session *s, int layer, int head, int cell, int n_panels,
                           float *scratch)
{
    const struct rr_kernels *kern = &s->engine->kernels;
    const int hd = s->model->h.head_dim;
    const unsigned char *keys = s->keys + cell_at(s, layer, head, cell);
    if (s->o.cache == RR_CACHE_F32)
        return (const float *)(const void *)keys;
    if (s->o.cache == RR_CACHE_F16)
        kern->row_f32[RR_TYPE_F16](scratch, keys, n_panels * RR_PANEL * hd);
    for (int p = 0; p < n_panels && s->o.cache == RR_CACHE_Q8_0; p++) {
        const unsigned char *panel = keys + (size_t)p * RR_PANEL * s->cell_bytes;
        kern->keys_q8_0(scratch + (size_t)p * RR_PANEL * (size_t)hd, (const int8_t *)panel,
                        (const float *)(const void *)(panel + (size_t)hd * RR_PANEL), hd);
    }
    return scratch;
}

const float *rr_cache_values(const struct rr_session *s, int layer, int head, int cell, int n,
                             float *scratch)
{
    const struct rr_kernels *kern = &s->engine->kernels;
    const int hd = s->model->h.head_dim;
    const unsigned char *values = s->values + cell_at(s, layer, head, cell);
    if (s->o.cache == RR_CACHE_F32)
        return (const float *)(const void *)values;
    if (s->o.cache == RR_CACHE_F16)
        kern->row_f32[RR_TYPE_F16](scratch, values, n * hd);
    for (int i = 0; i < n && s->o.cache == RR_CACHE_Q8_0; i++, values += s->cell_bytes)
        kern->values_q8_0(scratch + (size_t)i * (size_t)hd, (const int8_t *)values,
                          (const float *)(const void *)(values + hd), hd);
    return scratch;
}
