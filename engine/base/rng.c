/* See rng.h. */
#include "engine/base/rng.h"

static uint64_t splitmix(uint64_t *x)
{
    uint64_t z = (*x += 0x9E3779B97F4A7C15u);
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

void rr_rng_seed(struct rr_rng *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        r->s[i] = splitmix(&seed);
}

void rr_rng_stream(struct rr_rng *r, uint64_t seed, uint64_t stream)
{
    uint64_t mixed = splitmix(&seed);
    rr_rng_seed(r, mixed ^ splitmix(&stream));
}

static uint64_t rotl(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

uint64_t rr_rng_u64(struct rr_rng *r)
{
    uint64_t *s = r->s, out = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return out;
}

uint64_t rr_rng_below(struct rr_rng *r, uint64_t n)
{
    /* Numbers under 2^64 mod n would make the first remainders likelier: draw again. */
    uint64_t floor = (0 - n) % n, x;
    do
        x = rr_rng_u64(r);
    while (x < floor);
    return x % n;
}

double rr_rng_unit(struct rr_rng *r)
{
    return (double)(rr_rng_u64(r) >> 11) * 0x1p-53;
}

void rr_rng_shuffle(struct rr_rng *r, int *a, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        size_t j = (size_t)rr_rng_below(r, i);
        int t = a[i - 1];
        a[i - 1] = a[j];
        a[j] = t;
    }
}
