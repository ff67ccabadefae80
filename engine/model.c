/* See model.h. */
#include "engine/model.h"

#include <math.h>
#include "engine/base/limits.h"

static int out_of_range(struct rr_error *err, const char *file, const char *name, double found,
                        double min, double max)
{
    return rr_fail(err, RR_ERR_DATA, "HPARAM", RR_AT_OBJECT(file, name),
                   "%s is %.9g; expected %.9g to %.9g", name, found, min, max);
}

int rr_hparams_check(const struct rr_hparams *h, const char *file, struct rr_error *err)
{
    const struct {
        const char *name;
        int value, max;
    } counts[] = {
        {"n_layers", h->n_layers, RR_MAX_LAYERS},   {"n_embd", h->n_embd, RR_MAX_EMBD},
        {"n_heads", h->n_heads, RR_MAX_HEADS},      {"n_kv_heads", h->n_kv_heads, RR_MAX_HEADS},
        {"head_dim", h->head_dim, RR_MAX_EMBD},     {"n_ff", h->n_ff, RR_MAX_EMBD},
        {"n_vocab", h->n_vocab, (int)RR_MAX_VOCAB}, {"n_context", h->n_context, RR_MAX_CONTEXT},
    };
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        if (counts[i].value < 1 || counts[i].value > counts[i].max)
            return out_of_range(err, file, counts[i].name, counts[i].value, 1, counts[i].max);
    if (h->n_heads % h->n_kv_heads)
        return rr_fail(err, RR_ERR_DATA, "HPARAM", RR_AT_OBJECT(file, "n_kv_heads"),
                       "n_heads %d is not a multiple of n_kv_heads %d", h->n_heads, h->n_kv_heads);
    if (h->head_dim % 2)
        return rr_fail(err, RR_ERR_DATA, "HPARAM", RR_AT_OBJECT(file, "head_dim"),
                       "head_dim is %d; expected an even number (rotary embedding turns pairs)",
                       h->head_dim);
    if ((long long)h->n_heads * h->head_dim > RR_MAX_EMBD)
        return out_of_range(err, file, "n_heads * head_dim", (double)h->n_heads * h->head_dim, 1,
                            RR_MAX_EMBD);
    if (!(h->rms_eps > 0 && h->rms_eps <= 1))
        return out_of_range(err, file, "rms_eps", h->rms_eps, 1e-30, 1);
    if (!(h->rope.theta > 0 && h->rope.theta <= 1e12))
        return out_of_range(err, file, "rope theta", h->rope.theta, 1e-9, 1e12);
    if (h->rope.scaling != RR_ROPE_NONE && !(h->rope.factor > 0 && h->rope.factor <= 1e6))
        return out_of_range(err, file, "rope scaling factor", h->rope.factor, 1e-6, 1e6);
    if (h->rope.scaling == RR_ROPE_LLAMA3) {
        if (!(h->rope.low_freq_factor > 0) ||
            !(h->rope.high_freq_factor > h->rope.low_freq_factor) ||
            !(h->rope.high_freq_factor <= 1e6))
            return rr_fail(err, RR_ERR_DATA, "HPARAM", RR_AT_OBJECT(file, "rope frequency factors"),
                           "low %.9g, high %.9g; expected 0 < low < high <= 1e6",
                           h->rope.low_freq_factor, h->rope.high_freq_factor);
        if (h->rope.original_context < 1 || h->rope.original_context > RR_MAX_CONTEXT)
            return out_of_range(err, file, "rope original context", h->rope.original_context, 1,
                                RR_MAX_CONTEXT);
    }
    return RR_OK;
}

/* "The Llama 3 Herd of Models" (arXiv 2407.21783) and Meta's code: long wavelengths are
 * stretched by `factor`, short ones kept, those between mixed. */
static double scaled_frequency(const struct rr_rope *r, double freq)
{
    const double pi = 3.14159265358979323846;
    if (r->scaling == RR_ROPE_LINEAR)
        return freq / r->factor;
    if (r->scaling == RR_ROPE_LLAMA3) {
        double turns = r->original_context * freq / (2 * pi);
        double smooth = (turns - r->low_freq_factor) / (r->high_freq_factor - r->low_freq_factor);
        smooth = smooth < 0 ? 0 : smooth > 1 ? 1 : smooth;
        return (1 - smooth) * freq / r->factor + smooth * freq;
    }
    return freq;
}

double rr_rope_divisor(const struct rr_rope *r, double freq)
{
    return freq / scaled_frequency(r, freq);
}

void rr_rope_table(float *cos_out, float *sin_out, const struct rr_hparams *h, int n_positions)
{
    const int half = h->head_dim / 2;
    for (int i = 0; i < half; i++) {
        double freq = scaled_frequency(&h->rope, pow(h->rope.theta, -2.0 * i / h->head_dim));
        if (h->rope.freq_factors)
            freq /= (double)h->rope.freq_factors[i];
        for (int p = 0; p < n_positions; p++) {
            cos_out[(size_t)p * (size_t)half + (size_t)i] = (float)cos(p * freq);
            sin_out[(size_t)p * (size_t)half + (size_t)i] = (float)sin(p * freq);
        }
    }
}
