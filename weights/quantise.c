/* Rows of float32 as the types that files hold. Blocks as ggml's reference makes them: Q8_0, scale
 * = max |x| / 127, bytes round(x / scale), halves away from zero; Q4_0, scale = the number of
 * largest magnitude / -8, nibbles trunc(x / scale + 8.5), at most 15. */
#include <math.h>
#include <string.h>
#include "weights/quantise.h"
#include "weights/write.h"

/* Which of x[RR_QK] has the largest magnitude (the first of equals); false: one is not finite. */
static bool largest(float *out, const float *x)
{
    float most = 0;
    bool finite = true;
    *out = 0;
    for (int i = 0; i < RR_QK; i++) {
        finite = finite && isfinite(x[i]);
        if (fabsf(x[i]) > most) {
            most = fabsf(x[i]);
            *out = x[i];
        }
    }
    return finite;
}

static bool is_finite_half(uint16_t h)
{
    return (h & 0x7C00) != 0x7C00;
}

static bool store_q8_0(unsigned char *out, const float *x)
{
    float most;
    const bool finite = largest(&most, x);
    const float scale = fabsf(most) / 127;
    struct rr_block_q8_0 b = {.d = rr_f32_to_f16(scale)};
    /* What a scale of zero stands for is zero, whatever the bytes. */
    const float by = b.d ? 1 / scale : 0;
    if (!finite || !is_finite_half(b.d))
        return false;
    for (int i = 0; i < RR_QK; i++)
        b.q[i] = (int8_t)roundf(x[i] * by);
    memcpy(out, &b, sizeof b);
    return true;
}

static bool store_q4_0(unsigned char *out, const float *x)
{
    float most;
    const bool finite = largest(&most, x);
    const float scale = most / -8;
    struct rr_block_q4_0 b = {.d = rr_f32_to_f16(scale)};
    const float by = b.d & 0x7FFF ? 1 / scale : 0;
    if (!finite || !is_finite_half(b.d))
        return false;
    for (int i = 0; i < RR_QK / 2; i++) {
        const int low = (int)(x[i] * by + 8.5f), high = (int)(x[i + RR_QK / 2] * by + 8.5f);
        b.q[i] = (uint8_t)((low > 15 ? 15 : low) | (high > 15 ? 15 : high) << 4);
    }
    memcpy(out, &b, sizeof b);
    return true;
}

/* The nearest bfloat16, half to even. */
static uint16_t to_bf16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

bool rr_can_store(enum rr_type type)
{
    return type == RR_TYPE_F32 || type == RR_TYPE_F16 || type == RR_TYPE_BF16 ||
           type == RR_TYPE_Q8_0 || type == RR_TYPE_Q4_0 || type == RR_TYPE_Q6_K ||
           type == RR_TYPE_Q5_K || type == RR_TYPE_Q4_K;
}

bool rr_store_row(void *out, enum rr_type type, const float *x, int n)
{
    const struct rr_type_info *t = rr_type_info(type);
    unsigned char *p = out;
    for (int i = 0; i < n; i += t->block, p += t->block_bytes) {
        uint16_t half = 0;
        bool fits = true;
        switch (type) {
        case RR_TYPE_F32:
            memcpy(p, &x[i], sizeof x[i]);
            fits = isfinite(x[i]);
            break;
        case RR_TYPE_F16:
            half = rr_f32_to_f16(x[i]);
            fits = is_finite_half(half);
            memcpy(p, &half, sizeof half);
            break;
        case RR_TYPE_BF16:
            half = to_bf16(x[i]);
            fits = (half & 0x7F80) != 0x7F80;
            memcpy(p, &half, sizeof half);
            break;
        case RR_TYPE_Q8_0:
            fits = store_q8_0(p, x + i);
            break;
        case RR_TYPE_Q6_K:
            fits = rr_store_q6_k(p, x + i);
            break;
        case RR_TYPE_Q5_K:
            fits = rr_store_q5_k(p, x + i);
            break;
        case RR_TYPE_Q4_K:
            fits = rr_store_q4_k(p, x + i);
            break;
        default:
            fits = store_q4_0(p, x + i);
        }
        if (!fits)
            return false;
    }
    return true;
}

static int quantise(struct rr_tensor *t, enum rr_type type, struct rr_arena *arena,
                    struct rr_error *err)
{
    const size_t cols = (size_t)t->n_cols, rows = (size_t)t->n_rows;
    const size_t row_bytes = rr_row_bytes(type, cols);
    if (t->type != RR_TYPE_F32)
        return rr_fail(err, RR_ERR_USAGE, "UNSUPPORTED", RR_NOWHERE,
                       "weights that are not F32 any more are not rounded again");
    if (cols % (size_t)rr_type_info(type)->block)
        return rr_fail(err, RR_ERR_USAGE, "UNSUPPORTED", RR_NOWHERE,
                       "rows of %d numbers; %s takes multiples of %d", t->n_cols,
                       rr_type_info(type)->name, rr_type_info(type)->block);
    unsigned char *out = rr_arena_alloc(arena, rows, row_bytes);
    if (!out)
        return rr_fail_memory(err, "quantised weights", rows * row_bytes);
    for (size_t i = 0; i < rows; i++)
        if (!rr_store_row(out + i * row_bytes, type, (const float *)t->data + i * cols, t->n_cols))
            return rr_fail(err, RR_ERR_DATA, "OVERFLOW", RR_NOWHERE,
                           "a weight in row %zu is not finite, or too large for %s", i,
                           rr_type_info(type)->name);
    t->type = type;
    t->data = out;
    return RR_OK;
}

int rr_quantise_model(struct rr_model *m, enum rr_type type, struct rr_arena *arena,
                      struct rr_error *err)
{
    if (type != RR_TYPE_Q8_0)
        return rr_fail(err, RR_ERR_USAGE, "UNSUPPORTED", RR_NOWHERE,
                       "weights can be written as F32 or Q8_0");
    int rc = quantise(&m->embed, type, arena, err);
    if (m->tied)
        m->head = m->embed;
    else if (!rc)
        rc = quantise(&m->head, type, arena, err);
    for (int i = 0; i < m->h.n_layers && !rc; i++) {
        struct rr_layer *l = &m->layers[i];
        struct rr_tensor *const all[] = {&l->wq,   &l->wk, &l->wv,  &l->wo,
                                         &l->gate, &l->up, &l->down};
        for (size_t k = 0; k < sizeof all / sizeof all[0] && !rc; k++)
            rc = quantise(all[k], type, arena, err);
    }
    return rc;
}
