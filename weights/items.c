/* See items.h. */
#include "weights/items.h"

#include <stdio.h>
#include <string.h>
#include "engine/base/check.h"
#include "engine/base/fail.h"
#include "engine/base/limits.h"
#include "weights/adapter.h"
#include "weights/stored.h"

#define CHUNK ((size_t)1 << 20) /* bytes of rows that threads convert at once, at least a row */

/* Whether llama.cpp's mixtures keep more bits in this layer's most sensitive matrices: the first
 * and last eighth of the layers, and every third between. */
static bool keeps_more(int layer, int n_layers)
{
    const int eighth = n_layers / 8;
    return layer < eighth || layer >= 7 * n_layers / 8 || (layer - eighth) % 3 == 2;
}

static bool is_k_type(int type)
{
    return rr_type_info((enum rr_type)type)->block == RR_QK_K;
}

/* Rows that hold no whole blocks of a type: the next that they do. */
static enum rr_type fitting(enum rr_type as, int n_cols)
{
    if (n_cols % rr_type_info(as)->block == 0)
        return as;
    return is_k_type((int)as) && n_cols % RR_QK == 0 ? RR_TYPE_Q8_0 : RR_TYPE_F16;
}

enum place { ANYWHERE, HEAD, SENSITIVE };

static enum rr_type type_as(const struct rr_write_options *o, const struct rr_tensor *t,
                            const struct rr_tensor *was, enum place place)
{
    int type = o->type;
    if (type < 0)
        return was->type;
    /* What every token is chosen by deserves more than four or five bits. */
    if (place == HEAD && type == RR_TYPE_Q4_0)
        type = RR_TYPE_Q8_0;
    if ((place == HEAD || (place == SENSITIVE && o->mixed)) && is_k_type(type))
        type = RR_TYPE_Q6_K;
    return fitting((enum rr_type)type, t->n_cols);
}

struct walk {
    const struct rr_write_options *o;
    rr_item_fn *fn;
    void *arg;
    int rc;
};

/* was: what it was before anything was merged. */
static void matrix(struct walk *w, const char *name, const struct rr_tensor *t,
                   const struct rr_tensor *was, int which, enum place place)
{
    const struct rr_item i = {
        .name = name, .t = *t, .matrix = which, .as = type_as(w->o, t, was, place)};
    if (!w->rc)
        w->rc = w->fn(w->arg, &i);
}

static void vector(struct walk *w, const char *name, const float *v, int n)
{
    const struct rr_tensor t = {.type = RR_TYPE_F32, .n_rows = 1, .n_cols = n, .data = v};
    const struct rr_item i = {
        .name = name, .t = t, .vector = true, .matrix = -1, .as = RR_TYPE_F32};
    if (!w->rc)
        w->rc = w->fn(w->arg, &i);
}

static const struct rr_model *like(const struct rr_write_options *o, const struct rr_model *m)
{
    return o->like ? o->like : m;
}

static void layer(struct walk *w, const struct rr_model *m, const struct rr_names *n, int at)
{
    const struct rr_layer *l = &m->layers[at], *k = &like(w->o, m)->layers[at];
    const enum place more = keeps_more(at, m->h.n_layers) ? SENSITIVE : ANYWHERE;
    char name[80];
    const struct {
        const char *name;
        const struct rr_tensor *t, *was;
        const float *v;
        int matrix;
        enum place place;
    } all[] = {{n->attn_norm, NULL, NULL, l->attn_norm, -1, ANYWHERE},
               {n->wq, &l->wq, &k->wq, NULL, RR_LM_Q, ANYWHERE},
               {n->wk, &l->wk, &k->wk, NULL, RR_LM_K, ANYWHERE},
               {n->wv, &l->wv, &k->wv, NULL, -1, more},
               {n->wo, &l->wo, &k->wo, NULL, -1, ANYWHERE},
               {n->ffn_norm, NULL, NULL, l->ffn_norm, -1, ANYWHERE},
               {n->gate, &l->gate, &k->gate, NULL, -1, ANYWHERE},
               {n->up, &l->up, &k->up, NULL, -1, ANYWHERE},
               {n->down, &l->down, &k->down, NULL, -1, more}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        snprintf(name, sizeof name, all[i].name, at);
        if (all[i].t)
            matrix(w, name, all[i].t, all[i].was, all[i].matrix, all[i].place);
        else
            vector(w, name, all[i].v, m->h.n_embd);
    }
}

int rr_each_item(const struct rr_model *m, const struct rr_names *names,
                 const struct rr_write_options *o, const float *factors, rr_item_fn *fn, void *arg)
{
    struct walk w = {o, fn, arg, RR_OK};
    if (factors)
        vector(&w, names->rope_freqs, factors, m->h.head_dim / 2);
    matrix(&w, names->embed, &m->embed, &like(o, m)->embed, -1, m->tied ? HEAD : ANYWHERE);
    for (int i = 0; i < m->h.n_layers; i++)
        layer(&w, m, names, i);
    vector(&w, names->out_norm, m->out_norm, m->h.n_embd);
    if (!m->tied)
        matrix(&w, names->head, &m->head, &like(o, m)->head, -1, HEAD);
    return w.rc;
}

int rr_main_type(const struct rr_model *m, const struct rr_write_options *o)
{
    return o->type < 0 ? (int)like(o, m)->layers[0].wq.type : o->type;
}

uint64_t rr_item_bytes(const struct rr_item *i)
{
    return (uint64_t)i->t.n_rows * rr_row_bytes(i->as, (size_t)i->t.n_cols);
}

/* ---- rows ---- */

static int measure(void *arg, const struct rr_item *i)
{
    struct rr_item_writer *w = arg;
    const size_t row = rr_row_bytes(i->as, (size_t)i->t.n_cols);
    w->widest = rr_max_int(w->widest, i->t.n_cols);
    w->chunk_bytes = row > w->chunk_bytes ? row : w->chunk_bytes;
    w->all += (long long)rr_item_bytes(i);
    return RR_OK;
}

int rr_item_writer_open(struct rr_item_writer *w, const struct rr_model *m,
                        const struct rr_write_options *o, const char *path, struct rr_error *err)
{
    const size_t threads = o->engine ? (size_t)rr_pool_size(o->engine->pool) : 1;
    *w = (struct rr_item_writer){.m = m, .o = o, .path = path, .chunk_bytes = CHUNK};
    rr_each_item(m, &rr_names_gguf, o, NULL, measure, w);
    w->floats = rr_alloc(threads * (size_t)w->widest, sizeof *w->floats);
    w->chunk = rr_alloc(w->chunk_bytes, 1);
    return w->floats && w->chunk ? RR_OK : rr_fail_memory(err, "rows to write", w->chunk_bytes);
}

void rr_item_writer_close(struct rr_item_writer *w)
{
    rr_free(w->floats);
    rr_free(w->chunk);
}

/* Row `row` of the file's order: where ours has it. */
static const unsigned char *row_of(const struct rr_item_writer *w, const struct rr_item *i, int row)
{
    struct rr_hparams h = w->m->h;
    if (i->matrix >= 0 && w->interleaved && !h.rope.interleaved) {
        h.rope.interleaved = true;
        row = rr_adapter_row(&h, (enum rr_lm_matrix)i->matrix, row);
    } else if (i->matrix >= 0 && !w->interleaved && h.rope.interleaved) {
        row = rr_row_of_pairs(h.head_dim, row);
    }
    return (const unsigned char *)i->t.data +
           (size_t)row * rr_row_bytes(i->t.type, (size_t)i->t.n_cols);
}

struct conversion {
    struct rr_item_writer *w;
    const struct rr_item *i;
    int from;
    int bad[RR_MAX_THREADS]; /* by thread: the first row that its type cannot hold, or n_rows */
};

static void convert_row(void *arg, int task, int worker)
{
    struct conversion *c = arg;
    const struct rr_item *i = c->i;
    const size_t bytes = rr_row_bytes(i->as, (size_t)i->t.n_cols);
    const unsigned char *from = row_of(c->w, i, c->from + task);
    unsigned char *to = c->w->chunk + (size_t)task * bytes;
    if (i->as == i->t.type) {
        memcpy(to, from, bytes);
        return;
    }
    float *x = c->w->floats + (size_t)worker * (size_t)c->w->widest;
    c->w->o->engine->kernels.row_f32[i->t.type](x, from, i->t.n_cols);
    if (!rr_store_row(to, i->as, x, i->t.n_cols))
        c->bad[worker] = rr_min_int(c->bad[worker], c->from + task);
}

static void add_sum(struct rr_buf *out, const struct rr_item *i, struct rr_sha256 *sum)
{
    char hex[65];
    rr_sha256_hex(sum, hex);
    rr_buf_printf(out, "%s %s [", hex, rr_type_info(i->as)->name);
    if (!i->vector)
        rr_buf_printf(out, "%d,", i->t.n_rows);
    rr_buf_printf(out, "%d] %s\n", i->t.n_cols, i->name);
}

int rr_item_write(struct rr_item_writer *w, const struct rr_item *i, struct rr_error *err)
{
    const size_t bytes = rr_row_bytes(i->as, (size_t)i->t.n_cols);
    const int at_once = rr_max_int((int)(w->chunk_bytes / bytes), 1);
    struct conversion c = {.w = w, .i = i};
    struct rr_sha256 sum;
    rr_sha256_init(&sum);
    for (int k = 0; k < RR_MAX_THREADS; k++)
        c.bad[k] = i->t.n_rows;
    for (int n; c.from < i->t.n_rows; c.from += n) {
        int bad = i->t.n_rows;
        n = rr_min_int(i->t.n_rows - c.from, at_once);
        if (w->o->engine && i->as != i->t.type)
            rr_pool_run(w->o->engine->pool, convert_row, &c, n);
        else
            for (int k = 0; k < n; k++)
                convert_row(&c, k, 0);
        for (int k = 0; k < RR_MAX_THREADS; k++)
            bad = rr_min_int(bad, c.bad[k]);
        if (bad < i->t.n_rows)
            return rr_fail(err, RR_ERR_DATA, "OVERFLOW", RR_AT_OBJECT(w->path, i->name),
                           "a weight in row %d is not finite, or too large for %s", bad,
                           rr_type_info(i->as)->name);
        fwrite(w->chunk, 1, (size_t)n * bytes, w->out);
        if (w->o->sums)
            rr_sha256_add(&sum, w->chunk, (size_t)n * bytes);
        w->written += (long long)((size_t)n * bytes);
        if (w->o->progress && w->o->progress(w->o->progress_arg, w->written, w->all))
            return rr_fail(err, RR_ERR_INTERRUPTED, "INTERRUPTED", RR_AT_FILE(w->path),
                           "stopped; nothing was written");
    }
    if (w->o->sums)
        add_sum(w->o->sums, i, &sum);
    return RR_OK;
}
