/* See parts.h. Attention is in attend.c. */
#include "engine/train/parts.h"

#include <math.h>
#include <string.h>
#include "engine/base/check.h"

#define ROWS_EACH 32    /* rows of one task */
#define COLUMNS_EACH 16 /* columns of one task, where rows must be added in order */

size_t rr_part_scratch(int widest, int n_context, int head_dim)
{
    /* Attention: two blocks of scores, and a product's panels; rows: two of the widest. */
    const size_t scores = 2 * (size_t)RR_ATTEND_ROWS * (size_t)n_context;
    return rr_product_scratch() + scores + 2 * (size_t)widest + (size_t)head_dim;
}

/* ---- linear -------------------------------------------------------------------------------------
 */

static void product(const struct rr_part *p, const struct rr_product *x)
{
    rr_product_run(p->engine, x, p->product_scratch);
}

/* y[R,N] (+)= x[R,K] w[N,K]^T */
static void times_transposed(const struct rr_part *p, rr_real *y, const rr_real *x,
                             const rr_real *w, int rows, int n, int k, bool add)
{
    const struct rr_product f = {.c = y,
                                 .ldc = (size_t)n,
                                 .a = x,
                                 .a_row = (size_t)k,
                                 .a_col = 1,
                                 .b = w,
                                 .b_row = 1,
                                 .b_col = (size_t)k,
                                 .m = rows,
                                 .n = n,
                                 .k = k,
                                 .add = add};
    product(p, &f);
}

/* dx[R,K] += dy[R,N] w[N,K] */
static void times(const struct rr_part *p, rr_real *dx, const rr_real *dy, const rr_real *w,
                  int rows, int n, int k, bool add)
{
    const struct rr_product f = {.c = dx,
                                 .ldc = (size_t)k,
                                 .a = dy,
                                 .a_row = (size_t)n,
                                 .a_col = 1,
                                 .b = w,
                                 .b_row = (size_t)k,
                                 .b_col = 1,
                                 .m = rows,
                                 .n = k,
                                 .k = n,
                                 .add = add};
    product(p, &f);
}

/* gw[N,K] += dy[R,N]^T x[R,K] */
static void outer(const struct rr_part *p, rr_real *gw, const rr_real *dy, const rr_real *x,
                  int rows, int n, int k)
{
    const struct rr_product f = {.c = gw,
                                 .ldc = (size_t)k,
                                 .a = dy,
                                 .a_row = 1,
                                 .a_col = (size_t)n,
                                 .b = x,
                                 .b_row = (size_t)k,
                                 .b_col = 1,
                                 .m = n,
                                 .n = k,
                                 .k = rows,
                                 .add = true};
    product(p, &f);
}

static void scale_all(rr_real *x, size_t n, rr_real by)
{
    for (size_t i = 0; i < n; i++)
        x[i] *= by;
}

void rr_linear_forward(const struct rr_part *p, rr_real *y, const rr_real *x,
                       const struct rr_linear *l, int rows, const struct rr_lora_rows *lora)
{
    times_transposed(p, y, x, l->w, rows, l->n_out, l->n_in, false);
    if (!l->rank)
        return;
    const rr_real *in = x;
    if (l->dropout > 0) {
        memcpy(lora->dropped, x, (size_t)rows * (size_t)l->n_in * sizeof *x);
        rr_dropout(p, lora->dropped, (size_t)rows * (size_t)l->n_in, l->dropout, l->site);
        in = lora->dropped;
    }
    times_transposed(p, lora->low, in, l->a, rows, l->rank, l->n_in, false);
    scale_all(lora->low, (size_t)rows * (size_t)l->rank, l->scale);
    times_transposed(p, y, lora->low, l->b, rows, l->n_out, l->rank, true);
}

void rr_linear_backward(const struct rr_part *p, rr_real *dx, const rr_real *dy, const rr_real *x,
                        const struct rr_linear *l, int rows, const struct rr_lora_rows *lora)
{
    if (dx)
        times(p, dx, dy, l->w, rows, l->n_out, l->n_in, true);
    if (l->gw)
        outer(p, l->gw, dy, x, rows, l->n_out, l->n_in);
    if (!l->rank)
        return;
    rr_real *d_low = lora->d_low, *d_dropped = lora->d_dropped;
    outer(p, l->gb, dy, lora->low, rows, l->n_out, l->rank); /* low holds the scale already */
    times(p, d_low, dy, l->b, rows, l->n_out, l->rank, false);
    scale_all(d_low, (size_t)rows * (size_t)l->rank, l->scale);
    outer(p, l->ga, d_low, l->dropout > 0 ? lora->dropped : x, rows, l->rank, l->n_in);
    if (!dx)
        return;
    if (l->dropout > 0) {
        times(p, d_dropped, d_low, l->a, rows, l->rank, l->n_in, false);
        rr_dropout(p, d_dropped, (size_t)rows * (size_t)l->n_in, l->dropout, l->site);
        rr_rows_add(p, dx, d_dropped, (size_t)rows * (size_t)l->n_in);
    } else {
        times(p, dx, d_low, l->a, rows, l->rank, l->n_in, true);
    }
}

/* ---- rows ---------------------------------------------------------------------------------------
 */

/* Everything a row or column task may need; each kind of task uses a part. */
struct job {
    const struct rr_part *p;
    rr_real *out, *out2;
    const rr_real *in, *in2, *in3, *in4;
    const int *numbers;
    double *loss;
    int rows, dim, heads, head_dim;
    double eps, rate;
    uint64_t site;
    size_t n;
    bool interleaved, back;
};

static void run_rows(const struct job *j, rr_task_fn *fn)
{
    rr_pool_run(j->p->engine->pool, fn, (void *)(uintptr_t)j,
                (j->rows + ROWS_EACH - 1) / ROWS_EACH);
}

static void run_columns(const struct job *j, rr_task_fn *fn)
{
    rr_pool_run(j->p->engine->pool, fn, (void *)(uintptr_t)j,
                (j->dim + COLUMNS_EACH - 1) / COLUMNS_EACH);
}

/* The rows of a task: [r0, r1). */
#define TASK_ROWS(j, task)                                                                         \
    const int r0 = (task)*ROWS_EACH, r1 = rr_min_int(r0 + ROWS_EACH, (j)->rows)
#define TASK_COLUMNS(j, task)                                                                      \
    const int c0 = (task)*COLUMNS_EACH, c1 = rr_min_int(c0 + COLUMNS_EACH, (j)->dim)

static void norm_rows(void *arg, int task, int worker)
{
    const struct job *j = arg;
    TASK_ROWS(j, task);
    (void)worker;
    for (int i = r0; i < r1; i++) {
        const rr_real *x = j->in + (size_t)i * (size_t)j->dim;
        rr_real *y = j->out + (size_t)i * (size_t)j->dim;
        double sum = 0;
        for (int d = 0; d < j->dim; d++)
            sum += (double)x[d] * (double)x[d];
        const rr_real r = (rr_real)(1 / sqrt(sum / j->dim + j->eps));
        j->out2[i] = r;
        for (int d = 0; d < j->dim; d++)
            y[d] = x[d] * r * j->in2[d];
    }
}

void rr_norm_forward(const struct rr_part *p, rr_real *y, rr_real *r, const rr_real *x,
                     const rr_real *g, int rows, int dim, double eps)
{
    const struct job j = {
        .p = p, .out = y, .out2 = r, .in = x, .in2 = g, .rows = rows, .dim = dim, .eps = eps};
    run_rows(&j, norm_rows);
}

/* dx += r (dy g - x r^2 / D sum dy g x) */
static void norm_rows_back(void *arg, int task, int worker)
{
    const struct job *j = arg;
    TASK_ROWS(j, task);
    (void)worker;
    for (int i = r0; i < r1; i++) {
        const size_t at = (size_t)i * (size_t)j->dim;
        const rr_real *dy = j->in + at, *x = j->in2 + at, *g = j->in4, r = j->in3[i];
        double sum = 0;
        for (int d = 0; d < j->dim; d++)
            sum += (double)dy[d] * (double)g[d] * (double)x[d];
        const rr_real pull = (rr_real)(sum / j->dim) * r * r;
        for (int d = 0; d < j->dim; d++)
            j->out[at + (size_t)d] += r * (dy[d] * g[d] - x[d] * pull);
    }
}

static void norm_columns_back(void *arg, int task, int worker)
{
    const struct job *j = arg;
    TASK_COLUMNS(j, task);
    (void)worker;
    for (int i = 0; i < j->rows; i++) {
        const size_t at = (size_t)i * (size_t)j->dim;
        for (int d = c0; d < c1; d++)
            j->out2[d] += j->in[at + (size_t)d] * j->in2[at + (size_t)d] * j->in3[i];
    }
}

void rr_norm_backward(const struct rr_part *p, const struct rr_norm_grads *n, int rows, int dim)
{
    const struct job j = {.p = p,
                          .out = n->dx,
                          .out2 = n->gg,
                          .in = n->dy,
                          .in2 = n->x,
                          .in3 = n->r,
                          .in4 = n->g,
                          .rows = rows,
                          .dim = dim};
    run_rows(&j, norm_rows_back);
    if (n->gg)
        run_columns(&j, norm_columns_back);
}

static void rotate_rows(void *arg, int task, int worker)
{
    const struct job *j = arg;
    const int half = j->head_dim / 2, step = j->interleaved ? 2 : 1,
              apart = j->interleaved ? 1 : half;
    TASK_ROWS(j, task);
    (void)worker;
    for (int i = r0; i < r1; i++) {
        const rr_real *c = j->in + (size_t)j->numbers[i] * (size_t)half,
                      *s = j->in2 + (size_t)j->numbers[i] * (size_t)half;
        rr_real *v = j->out + (size_t)i * (size_t)j->dim;
        for (int h = 0; h < j->heads; h++, v += j->head_dim)
            for (int k = 0; k < half; k++) {
                const rr_real a = v[k * step], b = v[k * step + apart],
                              sin_k = j->back ? -s[k] : s[k];
                v[k * step] = a * c[k] - b * sin_k;
                v[k * step + apart] = b * c[k] + a * sin_k;
            }
    }
}

void rr_rotate(const struct rr_part *p, rr_real *v, const int *positions, int rows, int n_heads,
               int head_dim, const struct rr_rotation *t, bool back)
{
    const struct job j = {.p = p,
                          .out = v,
                          .in = t->cos_table,
                          .in2 = t->sin_table,
                          .numbers = positions,
                          .rows = rows,
                          .dim = n_heads * head_dim,
                          .heads = n_heads,
                          .head_dim = head_dim,
                          .interleaved = t->interleaved,
                          .back = back};
    run_rows(&j, rotate_rows);
}

/* out[n] = silu(g[n]) times u[n]; u NULL: times 1. */
static void silu_times(const struct rr_part *p, rr_real *out, const rr_real *g, const rr_real *u,
                       int n)
{
#ifdef RR_TRAIN_DOUBLE
    (void)p;
    for (int i = 0; i < n; i++)
        out[i] = g[i] / (1 + exp(-g[i])) * (u ? u[i] : 1);
#else
    float one[64];
    for (int i = 0; i < 64; i++)
        one[i] = 1;
    memcpy(out, g, (size_t)n * sizeof *out);
    for (int i = 0; i < n; i += 64)
        p->engine->kernels.silu_mul(out + i, u ? u + i : one, rr_min_int(64, n - i));
#endif
}

static void swiglu_rows(void *arg, int task, int worker)
{
    const struct job *j = arg;
    TASK_ROWS(j, task);
    (void)worker;
    for (int i = r0; i < r1; i++) {
        const size_t at = (size_t)i * (size_t)j->dim;
        silu_times(j->p, j->out + at, j->in + at, j->in2 + at, j->dim);
    }
}

void rr_swiglu_forward(const struct rr_part *p, rr_real *act, const rr_real *gate,
                       const rr_real *up, int rows, int dim)
{
    const struct job j = {.p = p, .out = act, .in = gate, .in2 = up, .rows = rows, .dim = dim};
    run_rows(&j, swiglu_rows);
}

/* With s = sigmoid(g): d silu(g) / dg = s (1 + g (1 - s)). */
static void swiglu_rows_back(void *arg, int task, int worker)
{
    const struct job *j = arg;
    rr_real *silu = j->p->scratch + (size_t)worker * j->p->scratch_each;
    TASK_ROWS(j, task);
    for (int i = r0; i < r1; i++) {
        const size_t at = (size_t)i * (size_t)j->dim;
        const rr_real *d = j->in + at, *g = j->in2 + at, *u = j->in3 + at;
        silu_times(j->p, silu, g, NULL, j->dim);
        for (int k = 0; k < j->dim; k++) {
            const rr_real s = g[k] != 0 ? silu[k] / g[k] : (rr_real)0.5;
            j->out[at + (size_t)k] = d[k] * u[k] * s * (1 + g[k] * (1 - s));
            j->out2[at + (size_t)k] = d[k] * silu[k];
        }
    }
}

void rr_swiglu_backward(const struct rr_part *p, rr_real *d_gate, rr_real *d_up,
                        const rr_real *d_act, const rr_real *gate, const rr_real *up, int rows,
                        int dim)
{
    const struct job j = {.p = p,
                          .out = d_gate,
                          .out2 = d_up,
                          .in = d_act,
                          .in2 = gate,
                          .in3 = up,
                          .rows = rows,
                          .dim = dim};
    run_rows(&j, swiglu_rows_back);
}

static uint64_t mix(uint64_t z)
{
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

#define DROP_EACH 4096 /* elements of one task: a multiple of 4 */

/* Sixteen bits of a mixed counter decide about each element. */
static void drop_elements(void *arg, int task, int worker)
{
    const struct job *j = arg;
    const size_t begin = (size_t)task * DROP_EACH,
                 end = begin + DROP_EACH < j->n ? begin + DROP_EACH : j->n;
    const uint64_t key = mix(j->p->seed + 0x9E3779B97F4A7C15u * (j->site + 1));
    const unsigned limit = (unsigned)(j->rate * 65536);
    const rr_real keep = (rr_real)(1 / (1 - (double)limit / 65536));
    (void)worker;
    for (size_t i = begin; i < end; i += 4) {
        uint64_t bits = mix(key + i / 4 * 0x9E3779B97F4A7C15u);
        for (size_t k = i; k < i + 4 && k < end; k++, bits >>= 16)
            j->out[k] = (bits & 65535) < limit ? 0 : j->out[k] * keep;
    }
}

void rr_dropout(const struct rr_part *p, rr_real *x, size_t n, double rate, uint64_t site)
{
    const struct job j = {.p = p, .out = x, .n = n, .rate = rate, .site = site};
    if (rate > 0)
        rr_pool_run(p->engine->pool, drop_elements, (void *)(uintptr_t)&j,
                    (int)((n + DROP_EACH - 1) / DROP_EACH));
}

static void add_elements(void *arg, int task, int worker)
{
    const struct job *j = arg;
    const size_t begin = (size_t)task * DROP_EACH,
                 end = begin + DROP_EACH < j->n ? begin + DROP_EACH : j->n;
    (void)worker;
    for (size_t i = begin; i < end; i++)
        j->out[i] += j->in[i];
}

void rr_rows_add(const struct rr_part *p, rr_real *y, const rr_real *x, size_t n)
{
    const struct job j = {.p = p, .out = y, .in = x, .n = n};
    rr_pool_run(p->engine->pool, add_elements, (void *)(uintptr_t)&j,
                (int)((n + DROP_EACH - 1) / DROP_EACH));
}

static void embed_rows(void *arg, int task, int worker)
{
    const struct job *j = arg;
    TASK_ROWS(j, task);
    (void)worker;
    for (int i = r0; i < r1; i++)
        memcpy(j->out + (size_t)i * (size_t)j->dim, j->in + (size_t)j->numbers[i] * (size_t)j->dim,
               (size_t)j->dim * sizeof *j->out);
}

void rr_embed_forward(const struct rr_part *p, rr_real *x, const rr_real *table, const int *tokens,
                      int rows, int dim)
{
    const struct job j = {
        .p = p, .out = x, .in = table, .numbers = tokens, .rows = rows, .dim = dim};
    run_rows(&j, embed_rows);
}

static void embed_columns_back(void *arg, int task, int worker)
{
    const struct job *j = arg;
    TASK_COLUMNS(j, task);
    (void)worker;
    for (int i = 0; i < j->rows; i++) {
        rr_real *to = j->out + (size_t)j->numbers[i] * (size_t)j->dim;
        const rr_real *from = j->in + (size_t)i * (size_t)j->dim;
        for (int d = c0; d < c1; d++)
            to[d] += from[d];
    }
}

void rr_embed_backward(const struct rr_part *p, rr_real *g_table, const rr_real *dx,
                       const int *tokens, int rows, int dim)
{
    const struct job j = {
        .p = p, .out = g_table, .in = dx, .numbers = tokens, .rows = rows, .dim = dim};
    run_columns(&j, embed_columns_back);
}

/* ---- loss ---------------------------------------------------------------------------------------
 */

rr_real rr_softmax_row(const struct rr_part *p, rr_real *s, int n)
{
#ifdef RR_TRAIN_DOUBLE
    double max = s[0], sum = 0;
    (void)p;
    for (int i = 1; i < n; i++)
        max = s[i] > max ? s[i] : max;
    for (int i = 0; i < n; i++)
        sum += s[i] = exp(s[i] - max);
    return sum;
#else
    return p->engine->kernels.softmax_exp(s, n, &(float){-INFINITY});
#endif
}

static void entropy_rows(void *arg, int task, int worker)
{
    const struct job *j = arg;
    TASK_ROWS(j, task);
    (void)worker;
    for (int i = r0; i < r1; i++) {
        rr_real *s = j->out + (size_t)i * (size_t)j->dim;
        const int target = j->numbers[i];
        const rr_real weight = j->in[i], sum = rr_softmax_row(j->p, s, j->dim);
        /* exp may have fallen to zero: the smallest number stands for it, so that the loss is
         * finite where the logits are. */
        const double likelihood = (double)s[target] / (double)sum;
        j->loss[i] = (double)weight * -log(likelihood > 1e-37 ? likelihood : 1e-37);
        if (isnan(likelihood))
            j->loss[i] = likelihood;
        for (int k = 0; k < j->dim; k++)
            s[k] *= weight / sum;
        s[target] -= weight;
    }
}

void rr_cross_entropy(const struct rr_part *p, double *loss, rr_real *logits, const int *targets,
                      const rr_real *weights, int rows, int n_vocab)
{
    const struct job j = {.p = p,
                          .out = logits,
                          .in = weights,
                          .numbers = targets,
                          .loss = loss,
                          .rows = rows,
                          .dim = n_vocab};
    run_rows(&j, entropy_rows);
}
