/* Rounding a model's matrices to blocks (ggml's Q8_0: 32 numbers, a half-precision scale, and bytes
 * round(x / scale), scale = max |x| / 127). */
#include <math.h>
#include "engine/kernel/type.h"
#include "weights/write.h"

enum { BLOCK = 32, BLOCK_BYTES = 2 + BLOCK };

static void quantise_block(unsigned char *out, const float *x)
{
    float most = 0;
    for (int i = 0; i < BLOCK; i++)
        most = fmaxf(most, fabsf(x[i]));
    const float scale = most / 127, by = scale > 0 ? 1 / scale : 0;
    const uint16_t half = rr_f32_to_f16(scale);
    out[0] = (unsigned char)half;
    out[1] = (unsigned char)(half >> 8);
    for (int i = 0; i < BLOCK; i++)
        out[2 + i] = (unsigned char)(signed char)lrintf(x[i] * by);
}

static int quantise(struct rr_tensor *t, struct rr_arena *arena, struct rr_error *err)
{
    const size_t cols = (size_t)t->n_cols, blocks = (size_t)t->n_rows * cols / BLOCK;
    if (cols % BLOCK)
        return rr_fail(err, RR_ERR_USAGE, "UNSUPPORTED", RR_NOWHERE,
                       "rows of %d numbers; Q8_0 takes multiples of %d", t->n_cols, BLOCK);
    unsigned char *out = rr_arena_alloc(arena, blocks, BLOCK_BYTES);
    if (!out)
        return rr_fail_memory(err, "quantised weights", blocks * BLOCK_BYTES);
    for (size_t i = 0; i < blocks; i++)
        quantise_block(out + i * BLOCK_BYTES, (const float *)t->data + i * BLOCK);
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
