/* See make_inputs.h. */
#include "tests/make_inputs.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "tests/make_model.h"
#include "tests/test.h"

struct rr_kernels table(int level)
{
    struct rr_kernels k;
    rr_kernels_init(&k, (enum rr_cpu_level)level);
    return k;
}

struct rr_kernels table_for_decoding(int level)
{
    struct rr_kernels k;
    rr_kernels_init_decoding(&k, (enum rr_cpu_level)level);
    return k;
}

const char *level_of(const struct rr_kernels *k)
{
    return rr_cpu_level_name(k->level);
}

const char *type_of(int type)
{
    return rr_type_info((enum rr_type)type)->name;
}

/* ---- fenced memory ---- */

#define GUARD 256

static void fence_open(struct fence *f)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), n = (FENCE_BYTES + page - 1) / page * page;
    int fd = open("/dev/zero", O_RDWR);
    void *p =
        fd < 0 ? MAP_FAILED : mmap(NULL, n + page, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    cr_assert(p != MAP_FAILED, "no memory for a fence of %zu bytes", n);
    f->end = (unsigned char *)p + n;
    int rc = mprotect(f->end, page, PROT_NONE);
    cr_assert(rc == 0, "the page behind a fence could not be protected");
    close(fd);
}

/* n poisoned bytes that end at the fence, less `shift`. */
void *fenced(struct fence *f, size_t n, size_t shift)
{
    if (!f->end)
        fence_open(f);
    CHECK(n + shift + GUARD <= FENCE_BYTES, "the test asks for %zu bytes of a fence", n);
    memset(f->end - n - shift - GUARD, POISON, n + shift + GUARD);
    return f->end - n - shift;
}

float *fenced_floats(struct fence *f, size_t n)
{
    return fenced(f, n * sizeof(float), 0);
}

bool guard_is_whole(const void *p)
{
    const unsigned char *b = p;
    for (int i = 1; i <= GUARD; i++)
        if (b[-i] != POISON)
            return false;
    return true;
}

bool is_poison(const float *p, size_t n)
{
    const unsigned char *b = (const unsigned char *)p;
    for (size_t i = 0; i < n * sizeof *p; i++)
        if (b[i] != POISON)
            return false;
    return true;
}

bool same_bits(const float *a, const float *b, size_t n)
{
    return memcmp(a, b, n * sizeof *a) == 0;
}

/* ---- inputs ---- */

const char *const kind_names[N_KINDS] = {"plain", "large", "tiny", "zeros", "cancelling"};

void fill(float *x, size_t n, enum kind kind, struct rr_rng *r)
{
    static const float scale[N_KINDS] = {1, 1e15f, 1e-20f, 0, 1e6f};
    for (size_t i = 0; i < n; i++) {
        x[i] = scale[kind] * random_float(r);
        if (kind == CANCELLING && i % 2)
            x[i] = -x[i - 1] + random_float(r);
    }
}

/* Row lengths worth trying for a type. */
int lengths(int *out, int type)
{
    static const int beyond[] = {127, 128, 255, 256, 257, 300, 511, 512, 513, 700};
    const int block = rr_type_info((enum rr_type)type)->block;
    int n = 0;
    for (int k = block; k <= (block == 1       ? 70
                              : block == RR_QK ? 12 * RR_QK
                                               : 4 * RR_QK_K);
         k += block)
        out[n++] = k;
    for (size_t i = 0; block == 1 && i < sizeof beyond / sizeof beyond[0]; i++)
        out[n++] = beyond[i];
    if (block != 1)
        out[n++] = 2 * RR_QK_K * 3;
    return n;
}

/* Random bytes whose scales are finite: every pattern a valid file may hold. */
void any_row(unsigned char *p, int type, int k, struct rr_rng *r)
{
    const struct rr_type_info *t = rr_type_info((enum rr_type)type);
    for (int i = 0; i < k; i += t->block, p += t->block_bytes) {
        for (size_t b = 0; b < t->block_bytes; b++)
            p[b] = (unsigned char)(rr_rng_u64(r) >> 56);
        for (int h = 0; h < 2 && t->halves[h].most; h++) {
            unsigned char *high = p + t->halves[h].at + 1;
            if ((*high & 0x7C) == 0x7C)
                *high &= 0xBF;
        }
    }
}

/* Rows of x[m, k] as the level's products want them, in memory of the test. */
const struct rr_quantised *quantised(const struct rr_kernels *k, const float *x, int m, int len)
{
    static int8_t q[9 * 16384];
    static float d[9 * 16384 / RR_QK];
    static int16_t sum[2 * 9 * 16384 / RR_QK];
    static uint32_t pairs[2 * RR_TILE_ROWS * 2 * 16384];
    static int16_t q16[9 * (16384 + 64)];
    static float d16[9 * 16384 / RR_QK16 + 9];
    static const struct rr_quantised all = {q, d, sum, pairs, q16, d16};
    rr_prepare_rows(k, &all, &(struct rr_rows){x, (size_t)len, len}, 0, m,
                    k->tiles || len % RR_QK == 0 ? RR_READS_8 | RR_READS_16 : RR_READS_16);
    return &all;
}
