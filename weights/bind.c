/* Binds stored tensors to the slots of a model; see stored.h. Everything that is wrong with the
 * set is told at once. */
#include "weights/stored.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/limits.h"

const struct rr_names rr_names_gguf = {
    .embed = "token_embd.weight",
    .out_norm = "output_norm.weight",
    .head = "output.weight",
    .attn_norm = "blk.%d.attn_norm.weight",
    .wq = "blk.%d.attn_q.weight",
    .wk = "blk.%d.attn_k.weight",
    .wv = "blk.%d.attn_v.weight",
    .wo = "blk.%d.attn_output.weight",
    .ffn_norm = "blk.%d.ffn_norm.weight",
    .gate = "blk.%d.ffn_gate.weight",
    .up = "blk.%d.ffn_up.weight",
    .down = "blk.%d.ffn_down.weight",
    .rope_freqs = "rope_freqs.weight",
};

const struct rr_names rr_names_hf = {
    .embed = "model.embed_tokens.weight",
    .out_norm = "model.norm.weight",
    .head = "lm_head.weight",
    .attn_norm = "model.layers.%d.input_layernorm.weight",
    .wq = "model.layers.%d.self_attn.q_proj.weight",
    .wk = "model.layers.%d.self_attn.k_proj.weight",
    .wv = "model.layers.%d.self_attn.v_proj.weight",
    .wo = "model.layers.%d.self_attn.o_proj.weight",
    .ffn_norm = "model.layers.%d.post_attention_layernorm.weight",
    .gate = "model.layers.%d.mlp.gate_proj.weight",
    .up = "model.layers.%d.mlp.up_proj.weight",
    .down = "model.layers.%d.mlp.down_proj.weight",
    .ignored = ".rotary_emb.inv_freq",
};

struct binder {
    struct rr_arena *arena;
    struct rr_stored *stored;
    bool *used;
    size_t n;
    struct rr_buf problems;
    struct rr_where at; /* of the first of them */
    const char *file;
    char first_name[RR_MAX_TENSOR_NAME];
    int n_problems, n_left_out;
    bool unsupported;
    bool out_of_memory;
};

/* One more entry of the report: spelled out as long as the error's text has room, counted always.
 * The error as a whole points at the first: t is the tensor, NULL where the files have none. */
static void problem(struct binder *b, const char *kind, const char *name, const struct rr_stored *t,
                    const char *detail)
{
    if (!b->n_problems++) {
        snprintf(b->first_name, sizeof b->first_name, "%s", name);
        b->at = (struct rr_where){.file = t ? t->file : b->file,
                                  .object = b->first_name,
                                  .offset = t ? (long long)t->offset : -1};
    }
    if (b->problems.n + strlen(name) + strlen(detail) + 160 > sizeof((struct rr_error *)NULL)->text)
        b->n_left_out++;
    else
        rr_buf_printf(&b->problems, "%s%s %s%s", b->n_problems > 1 ? "; " : "", kind,
                      rr_show(name, strlen(name)).s, detail);
}

static void shape_text(char *out, size_t size, const uint64_t *shape, int n)
{
    size_t at = 0;
    out[0] = 0;
    for (int i = 0; i < n && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, "%s%llu", i ? ", " : "",
                               (unsigned long long)shape[i]);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct rr_stored *)a)->name, ((const struct rr_stored *)b)->name);
}

static const struct rr_stored *find(struct binder *b, const char *name)
{
    const struct rr_stored key = {.name = name};
    const struct rr_stored *t = b->n ? bsearch(&key, b->stored, b->n, sizeof key, by_name) : NULL;
    if (t)
        b->used[t - b->stored] = true;
    return t;
}

/* Finds a tensor of the given shape (rows 0: a vector of cols) and a type we compute with; NULL
 * after noting why not. */
static const struct rr_stored *want(struct binder *b, const char *name, uint64_t rows,
                                    uint64_t cols)
{
    const struct rr_stored *t = find(b, name);
    char detail[320], found[200];
    if (!t) {
        problem(b, "missing", name, NULL, "");
        return NULL;
    }
    const uint64_t expected[2] = {rows, cols};
    const int n_dims = rows ? 2 : 1;
    if (t->n_dims != n_dims ||
        memcmp(t->shape, expected + 2 - n_dims, (size_t)n_dims * sizeof *expected) != 0) {
        char wanted[64];
        shape_text(found, sizeof found, t->shape, t->n_dims);
        shape_text(wanted, sizeof wanted, expected + 2 - n_dims, n_dims);
        snprintf(detail, sizeof detail, " has shape [%s], expected [%s]", found, wanted);
        problem(b, "misshapen", name, t, detail);
        return NULL;
    }
    if (t->type < 0) {
        snprintf(detail, sizeof detail, " is of type %s", t->type_name);
        b->unsupported = true;
        problem(b, "unsupported", name, t, detail);
        return NULL;
    }
    return t;
}

static void *copy(struct binder *b, size_t n_bytes)
{
    void *p = rr_arena_alloc(b->arena, n_bytes, 1);
    b->out_of_memory = b->out_of_memory || !p;
    return p;
}

/* Float32 is read in place by vector loads of floats, which need their natural alignment; the
 * other types are read as bytes. */
static void bind_matrix(struct binder *b, struct rr_tensor *out, const char *name, uint64_t rows,
                        uint64_t cols)
{
    const struct rr_stored *t = want(b, name, rows, cols);
    if (!t)
        return;
    *out = (struct rr_tensor){(enum rr_type)t->type, (int)rows, (int)cols, t->data};
    if (out->type == RR_TYPE_F32 && (uintptr_t)t->data % _Alignof(float)) {
        void *p = copy(b, (size_t)t->n_bytes);
        if (p)
            out->data = memcpy(p, t->data, (size_t)t->n_bytes);
    }
}

/* Norms are small and always used as float32. */
static const float *bind_vector(struct binder *b, const char *name, uint64_t n)
{
    const struct rr_stored *t = want(b, name, 0, n);
    if (!t)
        return NULL;
    if (t->type == RR_TYPE_F32 && (uintptr_t)t->data % _Alignof(float) == 0)
        return (const float *)(const void *)t->data;
    struct rr_kernels k;
    rr_kernels_init(&k, RR_CPU_C);
    float *y = copy(b, (size_t)n * sizeof *y);
    if (y)
        k.row_f32[t->type](y, t->data, (int)n);
    return y;
}

static void bind_layer(struct binder *b, struct rr_layer *l, const struct rr_hparams *h,
                       const struct rr_names *names, int i)
{
    const uint64_t d = (uint64_t)h->n_embd, ff = (uint64_t)h->n_ff;
    const uint64_t q = (uint64_t)h->n_heads * (uint64_t)h->head_dim,
                   kv = (uint64_t)h->n_kv_heads * (uint64_t)h->head_dim;
    const struct {
        struct rr_tensor *slot;
        const char *name;
        uint64_t rows, cols;
    } matrices[] = {{&l->wq, names->wq, q, d},      {&l->wk, names->wk, kv, d},
                    {&l->wv, names->wv, kv, d},     {&l->wo, names->wo, d, q},
                    {&l->gate, names->gate, ff, d}, {&l->up, names->up, ff, d},
                    {&l->down, names->down, d, ff}};
    char name[RR_MAX_TENSOR_NAME];
    for (size_t m = 0; m < sizeof matrices / sizeof matrices[0]; m++) {
        snprintf(name, sizeof name, matrices[m].name, i);
        bind_matrix(b, matrices[m].slot, name, matrices[m].rows, matrices[m].cols);
    }
    snprintf(name, sizeof name, names->attn_norm, i);
    l->attn_norm = bind_vector(b, name, d);
    snprintf(name, sizeof name, names->ffn_norm, i);
    l->ffn_norm = bind_vector(b, name, d);
}

static bool ends_with(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && strcmp(s + n - m, suffix) == 0;
}

bool rr_stored_is_ignored(const struct rr_stored *t)
{
    return ends_with(t->name, rr_names_hf.ignored);
}

static void bind_rope_factors(struct binder *b, struct rr_model *m, const char *name)
{
    const float *factors = bind_vector(b, name, (uint64_t)m->h.head_dim / 2);
    m->h.rope.freq_factors = factors;
    for (int i = 0; factors && i < m->h.head_dim / 2; i++) {
        if (factors[i] > 0)
            continue;
        problem(b, "damaged", name, find(b, name), " holds a factor that is not above 0");
        break;
    }
}

static void add_supported(struct rr_buf *out)
{
    for (int t = 0; t < RR_TYPE_COUNT; t++)
        rr_buf_printf(out, "%s%s", t ? ", " : ". Supported are ",
                      rr_type_info((enum rr_type)t)->name);
}

static void bind_all(struct binder *b, struct rr_model *m, const struct rr_names *names)
{
    const struct rr_hparams *h = &m->h;
    bind_matrix(b, &m->embed, names->embed, (uint64_t)h->n_vocab, (uint64_t)h->n_embd);
    m->out_norm = bind_vector(b, names->out_norm, (uint64_t)h->n_embd);
    m->tied = !find(b, names->head);
    if (m->tied)
        m->head = m->embed;
    else
        bind_matrix(b, &m->head, names->head, (uint64_t)h->n_vocab, (uint64_t)h->n_embd);
    if (names->rope_freqs && find(b, names->rope_freqs))
        bind_rope_factors(b, m, names->rope_freqs);
    for (int i = 0; i < h->n_layers; i++)
        bind_layer(b, &m->layers[i], h, names, i);
    for (size_t i = 0; i < b->n; i++)
        if (!b->used[i] && !(names->ignored && rr_stored_is_ignored(&b->stored[i])))
            problem(b, "unexpected", b->stored[i].name, &b->stored[i], "");
}

int rr_bind_tensors(struct rr_model *m, struct rr_arena *arena, struct rr_stored *stored, size_t n,
                    const struct rr_names *names, const char *file, struct rr_error *err)
{
    struct binder b = {.arena = arena, .stored = stored, .n = n, .file = file};
    int rc = RR_OK;
    if (n)
        qsort(stored, n, sizeof *stored, by_name);
    for (size_t i = 1; i < n; i++)
        if (strcmp(stored[i].name, stored[i - 1].name) == 0)
            return rr_fail(err, RR_ERR_DATA, "TENSOR_NAME",
                           RR_AT_OBJECT(stored[i].file, stored[i].name),
                           "this tensor is also in %s", stored[i - 1].file);
    b.used = rr_zalloc(n, sizeof *b.used);
    m->layers = rr_arena_zalloc(arena, (size_t)m->h.n_layers, sizeof *m->layers);
    if (!b.used || !m->layers) {
        rc = rr_fail_memory(err, "layers", (size_t)m->h.n_layers * sizeof *m->layers);
    } else {
        bind_all(&b, m, names);
        if (b.n_left_out)
            rr_buf_printf(&b.problems, "; and %d more", b.n_left_out);
        if (b.unsupported)
            add_supported(&b.problems);
        if (b.out_of_memory || b.problems.failed)
            rc = rr_fail_memory(err, "tensors", 0);
        else if (b.n_problems)
            rc = rr_fail(err, RR_ERR_DATA, "TENSORS", &b.at, "%d tensor%s wrong: %s", b.n_problems,
                         b.n_problems > 1 ? "s are" : " is", b.problems.data);
    }
    rr_free(b.used);
    rr_buf_free(&b.problems);
    return rc;
}
