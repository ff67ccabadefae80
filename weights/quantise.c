/* Rounding a model's matrices to blocks (ggml's Q8_0: 32 numbers, a half-precision scale, and bytes
 * round(x / scale), halves to even, scale = max |x| / 127). */
#include <math.h>
#include "engine/kernel/type.h"
#include "weights/write.h"

enum { BLOCK = 32, BLOCK_BYTES = 2 + BLOCK };

/* False: the block's scale is no finite half. */
static bool quantise_block(unsigned char *out, const float *x)
{
    float most = 0;
    bool finite = true;
    for (int i = 0; i < BLOCK; i++) {
        finite = finite && isfinite(x[i]);
        most = fmaxf(most, fabsf(x[i]));
    }
    const float scale = most / 127;
    const uint16_t half = rr_f32_to_f16(scale);
    /* What a scale of zero stands for is zero, whatever the bytes. */
    const float by = half ? 1 / scale : 0;
    if (!finite || (half & 0x7c00) == 0x7c00)
        return false;
    out[0] = (unsigned char)half;
    out[1] = (unsigned char)(half >> 8);
    for (int i = 0; i < BLOCK; i++)
        out[2 + i] = (unsigned char)(signed char)lrintf(x[i] * by);
    return true;
}

static int quantise(struct rr_tensor *t, struct rr_arena *arena, struct rr_error *err)
{
    const size_t cols = (size_t)t->n_cols, blocks = (size_t)t->n_rows * cols / BLOCK;
    if (t->type != RR_TYPE_F32)
        return rr_fail(err, RR_ERR_USAGE, "UNSUPPORTED", RR_NOWHERE,
                       "weights that are not F32 any more are not rounded again");
    if (cols % BLOCK)
        return rr_fail(err, RR_ERR_USAGE, "UNSUPPORTED", RR_NOWHERE,
                       "rows of %d numbers; Q8_0 takes multiples of %d", t->n_cols, BLOCK);
    unsigned char *out = rr_arena_alloc(arena, blocks, BLOCK_BYTES);
    if (!out)
        return rr_fail_memory(err, "quantised weights", blocks * BLOCK_BYTES);
    for (size_t i = 0; i < blocks; i++)
        if (!quantise_block(out + i * BLOCK_BYTES, (const float *)t->data + i * BLOCK))
            return rr_fail(err, RR_ERR_DATA, "OVERFLOW", RR_NOWHERE,
                           "a weight in row %zu is not finite, or too large for Q8_0",
                           i * BLOCK / cols);
    t->type = RR_TYPE_Q8_0;
    t->data = out;
    return RR_OK;
}

int rr_quantise_model(struct rr_model *m, enum rr_type type, struct rr_arena *arena,
                      struct rr_error *err)
{
    if (type != RR_TYPE_Q8_0)
        return rr_fail(err, RR_ERR_USAGE, "UNSUPPORTED", RR_NOWHERE,
                       "weights can be written as F32 or Q8_0");
    int rc = quantise(&m->embed, arena, err);
    if (m->tied)
        m->head = m->embed;
    else if (!rc)
        rc = quantise(&m->head, arena, err);
    for (int i = 0; i < m->h.n_layers && !rc; i++) {
        struct rr_layer *l = &m->layers[i];
        struct rr_tensor *const all[] = {&l->wq,   &l->wk, &l->wv,  &l->wo,
                                         &l->gate, &l->up, &l->down};
        for (size_t k = 0; k < sizeof all / sizeof all[0] && !rc; k++)
            rc = quantise(all[k], arena, err);
    }
    return rc;
}
