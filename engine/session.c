/* Nodes, batches and wants: see session.h. The layers themselves are in forward.c, attention.c and
 * cache.c.
 *
 * Holds always: nodes are ordered by opening, a parent before its children; a node's cells are
 * contiguous, start on a panel and lie behind those of all earlier nodes, so rewinding is
 * resetting two counters. */
#include "engine/session_internal.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "engine/base/check.h"
#include "engine/base/limits.h"
#include "engine/base/mem.h"

#define DEFAULT_BATCH 256
#define DEFAULT_NODES 1024
#define MAX_BATCH 1024

/* Hands out pieces of one block; with base NULL it only counts them. */
struct carver {
    char *base;
    size_t used;
    bool overflow;
};

static void *carve(struct carver *c, size_t n, size_t size)
{
    size_t bytes;
    if (!rr_mul_size(&bytes, n, size) || bytes > SIZE_MAX / 2 - c->used) {
        c->overflow = true;
        return NULL;
    }
    void *p = c->base ? c->base + c->used : NULL;
    c->used += rr_round_up(bytes, 64);
    return p;
}

/* What the model's products read of x: bits of RR_READS_*. */
static int prepared_of(const struct rr_kernels *k, const struct rr_model *m)
{
    int all = k->prepared[m->head.type];
    for (int i = 0; i < m->h.n_layers; i++) {
        const struct rr_layer *l = &m->layers[i];
        const struct rr_tensor *each[] = {&l->wq,   &l->wk, &l->wv,  &l->wo,
                                          &l->gate, &l->up, &l->down};
        for (size_t t = 0; t < sizeof each / sizeof each[0]; t++)
            all |= k->prepared[each[t]->type];
    }
    return all;
}

static void lay_out(struct rr_session *s, struct carver *c)
{
    const struct rr_hparams *h = &s->model->h;
    const struct rr_kernels *kern = &s->engine->kernels;
    const size_t rows = (size_t)s->o.n_batch, hd = (size_t)h->head_dim,
                 cells = (size_t)s->o.n_cells;
    const size_t threads = (size_t)rr_pool_size(s->engine->pool), half = hd / 2;
    const size_t cache = (size_t)h->n_layers * (size_t)h->n_kv_heads * cells;
    const size_t q_dim = (size_t)h->n_heads * hd, kv_dim = (size_t)h->n_kv_heads * hd,
                 embd = (size_t)h->n_embd;
    const size_t queries = threads * (size_t)rr_span_rows(h) * (size_t)(h->n_heads / h->n_kv_heads);
    size_t widest = q_dim > embd ? q_dim : embd;
    widest = (size_t)h->n_ff > widest ? (size_t)h->n_ff : widest;
    s->nodes = carve(c, (size_t)s->o.n_nodes, sizeof *s->nodes);
    s->cell_bytes = rr_cache_cell_bytes(s->o.cache, h->head_dim);
    s->keys = carve(c, cache, s->cell_bytes);
    s->values = carve(c, cache, s->cell_bytes);
    s->rope_cos = carve(c, (size_t)s->o.n_context, half * sizeof(float));
    s->rope_sin = carve(c, (size_t)s->o.n_context, half * sizeof(float));
    s->rows = carve(c, rows, sizeof *s->rows);
    s->spans = carve(c, rows, sizeof *s->spans);
    s->x = carve(c, rows, embd * sizeof(float));
    s->h = carve(c, rows, rr_apart(h->n_embd) * sizeof(float));
    /* Attention is over when the feed-forward part begins: both use the same memory. */
    const size_t before = c->used;
    s->q = carve(c, rows, rr_apart((int)q_dim) * sizeof(float));
    s->att = carve(c, rows, rr_apart((int)q_dim) * sizeof(float));
    s->k = carve(c, rows, rr_apart((int)kv_dim) * sizeof(float));
    s->v = carve(c, rows, rr_apart((int)kv_dim) * sizeof(float));
    const size_t behind = c->used;
    c->used = before;
    s->gate = carve(c, rows, rr_apart(h->n_ff) * sizeof(float));
    s->up = carve(c, rows, rr_apart(h->n_ff) * sizeof(float));
    c->used = c->used > behind ? c->used : behind;
    const size_t prepared = c->used;
    s->xq.q = carve(c, rows, widest);
    s->xq.d = carve(c, rows, widest / RR_QK * sizeof(float));
    s->xq.sum = carve(c, rows, 2 * (widest / RR_QK) * sizeof(int16_t));
    if (!kern->tiles && prepared_of(kern, s->model) & RR_READS_16) {
        s->xq.q16 = carve(c, rows, rr_int16_apart((int)widest) * sizeof(int16_t));
        s->xq.d16 = carve(c, rows, rr_int16_blocks((int)widest) * sizeof(float));
    }
    if (kern->tiles) { /* instead, in the same memory */
        const size_t end = c->used;
        c->used = prepared;
        s->xq.pairs = carve(c, (rows + RR_TILE_ROWS - 1) / RR_TILE_ROWS,
                            rr_tile_stride((int)widest) * sizeof(uint32_t));
        c->used = c->used > end ? c->used : end;
    }
    s->panels = carve(c, threads, rr_gemm_scratch(kern, (int)widest));
    s->scores = carve(c, queries, RR_SCORES * sizeof(float));
    s->running = carve(c, queries, sizeof *s->running);
    s->stretch = carve(c, threads, RR_STRETCH * hd * sizeof(float));
    if (kern->attn_tiles)
        s->tiled = carve(c, threads, rr_tiled_bytes(h));
    s->logits = carve(c, RR_HEAD_ROWS, (size_t)h->n_vocab * sizeof(float));
}

static int set_options(struct rr_session *s, struct rr_engine *e, const struct rr_model *m,
                       const struct rr_session_options *o, struct rr_error *err)
{
    *s = (struct rr_session){.engine = e, .model = m, .o = *o, .products = &e->kernels};
    if (s->o.n_context == 0)
        s->o.n_context = m->h.n_context;
    if (s->o.n_cells == 0)
        s->o.n_cells = s->o.n_context;
    if (s->o.n_batch == 0)
        s->o.n_batch = DEFAULT_BATCH;
    if (s->o.n_nodes == 0)
        s->o.n_nodes = DEFAULT_NODES;
    if (s->o.n_context < 1 || s->o.n_context > RR_MAX_CONTEXT)
        return rr_fail(err, RR_ERR_USAGE, "CONTEXT", RR_NOWHERE,
                       "a context of %d tokens; expected 1 to %d", s->o.n_context, RR_MAX_CONTEXT);
    if (s->o.n_batch < 1 || s->o.n_batch > MAX_BATCH || s->o.n_nodes < 1 ||
        s->o.n_nodes > (1 << 24) || s->o.n_cells < 1 || s->o.n_cells > (1 << 28))
        return rr_fail(err, RR_ERR_USAGE, "SESSION", RR_NOWHERE,
                       "batch %d (1 to %d), nodes %d (1 to 2^24), cells %d (1 to 2^28)",
                       s->o.n_batch, MAX_BATCH, s->o.n_nodes, s->o.n_cells);
    if ((unsigned)s->o.cache > RR_CACHE_Q8_0)
        return rr_fail(err, RR_ERR_USAGE, "CACHE", RR_NOWHERE, "no cache has number %d",
                       (int)s->o.cache);
    if (s->o.cache == RR_CACHE_Q8_0 && m->h.head_dim % RR_QK != 0)
        return rr_fail(err, RR_ERR_USAGE, "CACHE", RR_NOWHERE,
                       "a cache in Q8_0 has blocks of %d numbers; this model's heads have %d: take "
                       "F16",
                       RR_QK, m->h.head_dim);
    s->o.n_cells = (int)rr_round_up((size_t)s->o.n_cells, RR_PANEL);
    return RR_OK;
}

size_t rr_session_bytes(const struct rr_engine *e, const struct rr_model *m,
                        const struct rr_session_options *o)
{
    struct rr_session s;
    struct carver c = {0};
    /* The engine is only asked for its threads and its kernels' wants here. */
    struct rr_engine copy = *e;
    if (set_options(&s, &copy, m, o, NULL))
        return 0;
    lay_out(&s, &c);
    return c.overflow ? 0 : c.used + sizeof s;
}

int rr_session_open(struct rr_session **session, struct rr_engine *e, const struct rr_model *m,
                    const struct rr_session_options *o, struct rr_error *err)
{
    *session = NULL;
    struct rr_session *s = rr_zalloc(1, sizeof *s);
    if (!s)
        return rr_fail_memory(err, "session", sizeof *s);
    int rc = set_options(s, e, m, o, err);
    struct carver c = {0};
    if (rc == RR_OK) {
        lay_out(s, &c);
        s->block_bytes = c.used;
        s->block = c.overflow ? NULL : rr_alloc_aligned(c.used);
        if (!s->block)
            rc = rr_fail_memory(err, "session: cache and scratch", c.used);
    }
    if (rc) {
        rr_session_close(s);
        return rc;
    }
    c = (struct carver){.base = s->block};
    lay_out(s, &c);
    rr_rope_table(s->rope_cos, s->rope_sin, &m->h, s->o.n_context);
    *session = s;
    return RR_OK;
}

void rr_session_close(struct rr_session *s)
{
    if (!s)
        return;
    rr_free_aligned(s->block);
    rr_free(s);
}

int rr_session_branch(struct rr_session *s, int parent, int n_tokens, int *node,
                      struct rr_error *err)
{
    const int length = parent >= 0 && parent < s->n_nodes ? s->nodes[parent].length : 0;
    return rr_session_branch_at(s, parent, length, n_tokens, node, err);
}

int rr_session_branch_at(struct rr_session *s, int parent, int behind, int n_tokens, int *node,
                         struct rr_error *err)
{
    if (parent < -1 || parent >= s->n_nodes || n_tokens < 0 || behind < 0 ||
        behind > (parent < 0 ? 0 : s->nodes[parent].length))
        return rr_fail(err, RR_ERR_USAGE, "NODE", RR_NOWHERE,
                       "parent %d of %d nodes, %d tokens behind %d of its own", parent, s->n_nodes,
                       n_tokens, behind);
    struct node nd = {.parent = parent, .behind = behind, .cell = s->n_cells_used};
    if (parent >= 0) {
        nd.start = s->nodes[parent].start + behind;
        nd.depth = s->nodes[parent].depth + 1;
    }
    if (nd.depth >= RR_MAX_DEPTH)
        return rr_fail(err, RR_ERR_USAGE, "DEPTH", RR_NOWHERE, "more than %d nodes on a path",
                       RR_MAX_DEPTH);
    if (n_tokens > s->o.n_context - nd.start)
        return rr_fail(err, RR_ERR_USAGE, "CONTEXT", RR_NOWHERE,
                       "%d tokens after %d do not fit into a context of %d; shorten the text",
                       n_tokens, nd.start, s->o.n_context);
    const int cells = (int)rr_round_up((size_t)n_tokens, RR_PANEL);
    nd.length = n_tokens;
    if (s->n_nodes >= s->o.n_nodes || cells > s->o.n_cells - s->n_cells_used)
        return rr_fail(
            err, RR_ERR_MEMORY, "CACHE_FULL", RR_NOWHERE,
            "%d tokens do not fit beside %d of %d cells and %d of %d nodes; open a larger session",
            n_tokens, s->n_cells_used, s->o.n_cells, s->n_nodes, s->o.n_nodes);
    s->n_cells_used += cells;
    s->nodes[s->n_nodes] = nd;
    *node = s->n_nodes++;
    return RR_OK;
}

void rr_session_decoding(struct rr_session *s, bool one_by_one)
{
    s->products = one_by_one ? &s->engine->decoding : &s->engine->kernels;
}

void rr_session_rewind(struct rr_session *s, int node)
{
    if (node < 0 || node >= s->n_nodes)
        return;
    s->n_cells_used = s->nodes[node].cell;
    s->n_nodes = node;
}

const char *rr_step_name(enum rr_step step)
{
    static const char *const names[RR_N_STEPS] = {"norm",      "product",    "rope",
                                                  "attention", "activation", "head"};
    return names[step];
}

void rr_session_step(struct rr_session *s, enum rr_step step)
{
    struct rr_profile *p = s->o.profile;
    if (!p)
        return;
    const double now = p->clock();
    p->seconds[step] += now - p->mark;
    p->waiting += rr_pool_waited(s->engine->pool);
    p->mark = now;
}

int rr_session_length(const struct rr_session *s, int node)
{
    return node >= 0 && node < s->n_nodes ? s->nodes[node].n : 0;
}

int rr_session_path(const struct rr_session *s, int node)
{
    return node >= 0 && node < s->n_nodes ? s->nodes[node].start + s->nodes[node].n : 0;
}

long long rr_session_tokens(const struct rr_session *s)
{
    return s->n_tokens;
}

static int check_feed(struct rr_session *s, const struct rr_feed *feeds, int i,
                      struct rr_error *err)
{
    const struct rr_feed *f = &feeds[i];
    if (f->node < 0 || f->node >= s->n_nodes || f->n_tokens < 0 ||
        (i && f->node <= feeds[i - 1].node))
        return rr_fail(err, RR_ERR_USAGE, "FEED", RR_NOWHERE,
                       "feed %d names node %d; feeds go to open nodes in the order of their "
                       "opening, once each",
                       i, f->node);
    struct node *nd = &s->nodes[f->node];
    if (f->n_tokens > nd->length - nd->n)
        return rr_fail(err, RR_ERR_USAGE, "FEED", RR_NOWHERE,
                       "feed %d: %d tokens do not fit behind the node's %d of %d", i, f->n_tokens,
                       nd->n, nd->length);
    /* A parent that it wants no token of may itself be empty: so all of them are asked. */
    for (const struct node *below = nd; below->parent >= 0; below = &s->nodes[below->parent])
        if (s->nodes[below->parent].due < below->behind)
            return rr_fail(err, RR_ERR_USAGE, "FEED", RR_NOWHERE,
                           "feed %d: node %d above it has %d of its %d tokens", i, below->parent,
                           s->nodes[below->parent].due, below->behind);
    for (int t = 0; t < f->n_tokens; t++)
        if (f->tokens[t] < 0 || f->tokens[t] >= s->model->h.n_vocab)
            return rr_fail(err, RR_ERR_USAGE, "TOKEN_ID", RR_NOWHERE,
                           "token id %d; the vocabulary has 0 to %d", f->tokens[t],
                           s->model->h.n_vocab - 1);
    nd->due = nd->n + f->n_tokens;
    return RR_OK;
}

static int check_wants(const struct rr_session *s, const struct rr_feed *feeds, int n_feeds,
                       const struct rr_want *wants, int n_wants, struct rr_error *err)
{
    for (int i = 0; i < n_wants; i++) {
        const struct rr_want *w = &wants[i], *prev = i ? w - 1 : NULL;
        if (w->feed < 0 || w->feed >= n_feeds || w->offset < 0 ||
            w->offset >= feeds[w->feed].n_tokens ||
            (prev && (prev->feed > w->feed || (prev->feed == w->feed && prev->offset > w->offset))))
            return rr_fail(err, RR_ERR_USAGE, "WANT", RR_NOWHERE,
                           "want %d (feed %d, token %d) is outside its feed or out of order", i,
                           w->feed, w->offset);
        if ((!w->logits && !w->log_norm) || w->n_ids < 0)
            return rr_fail(err, RR_ERR_USAGE, "WANT", RR_NOWHERE,
                           "want %d asks for nothing: no logits, no log_norm, or %d ids", i,
                           w->n_ids);
        for (int t = 0; w->ids && t < w->n_ids; t++)
            if (w->ids[t] < 0 || w->ids[t] >= s->model->h.n_vocab)
                return rr_fail(err, RR_ERR_USAGE, "TOKEN_ID", RR_NOWHERE,
                               "wanted id %d; the vocabulary has 0 to %d", w->ids[t],
                               s->model->h.n_vocab - 1);
    }
    return RR_OK;
}

/* Looks through the weights for why. */
static int nonfinite(const struct rr_session *s, const struct rr_want *w, int row,
                     struct rr_error *err)
{
    struct rr_damage d;
    char name[48];
    if (!rr_model_damage(&d, s->model, &s->engine->kernels))
        return rr_fail(
            err, RR_ERR_DATA, "NONFINITE_LOGITS", RR_NOWHERE,
            "the logits after token %d (position %d) are not finite, but all weights are: "
            "they are too large%s",
            w->offset, s->rows[row].position,
            s->o.cache == RR_CACHE_F16 ? ", perhaps only for a cache in F16" : "");
    if (d.layer < 0)
        snprintf(name, sizeof name, "%s", d.name);
    else
        snprintf(name, sizeof name, "blk.%d.%s", d.layer, d.name);
    return rr_fail(
        err, RR_ERR_DATA, "NONFINITE_LOGITS", RR_AT_OBJECT(NULL, name),
        "the logits after token %d (position %d) are not finite: this weight is damaged at "
        "row %d, column %d",
        w->offset, s->rows[row].position, d.row, d.column);
}

/* log sum exp in double over float logits; NaN or infinite when one of them is. */
static double log_sum_exp(const float *logits, int n)
{
    double max = logits[0];
    for (int i = 1; i < n; i++)
        max = logits[i] > max ? logits[i] : max;
    double sum = exp(logits[0] - max);
    for (int i = 1; i < n; i++)
        sum += exp(logits[i] - max);
    return max + log(sum);
}

/* Logits of a few ids: the same dot products that the whole head would do, for those rows only. */
static void head_ids(struct rr_session *s, const struct rr_want *w, const float *h)
{
    const struct rr_tensor *head = &s->model->head;
    const struct rr_kernels *kern = s->products;
    const struct rr_gemm g = {.y = w->logits,
                              .x = h,
                              .xq = s->xq,
                              .w = head->data,
                              .type = head->type,
                              .table = kern,
                              .rows = w->ids,
                              .row_bytes = rr_row_bytes(head->type, (size_t)head->n_cols),
                              .m = 1,
                              .n = w->n_ids,
                              .k = head->n_cols};
    if (kern->prepared[head->type])
        rr_prepare_rows(kern, &s->xq, &(struct rr_rows){h, (size_t)head->n_cols, head->n_cols}, 0,
                        1, kern->prepared[head->type]);
    kern->gemm[head->type](&g, s->panels);
}

static bool needs_whole_head(const struct rr_want *w)
{
    return !w->ids || w->log_norm;
}

/* Hands out the results of one want from its row of the whole head. */
static void scatter_logits(const struct rr_want *w, const float *logits, int n_vocab)
{
    if (w->logits && !w->ids)
        memcpy(w->logits, logits, (size_t)n_vocab * sizeof(float));
    for (int i = 0; w->logits && w->ids && i < w->n_ids; i++)
        w->logits[i] = logits[w->ids[i]];
    if (w->log_norm)
        *w->log_norm = log_sum_exp(logits, n_vocab);
}

static bool want_is_finite(const struct rr_want *w, int n_vocab)
{
    const int n = w->ids ? w->n_ids : n_vocab;
    for (int i = 0; w->logits && i < n; i++)
        if (!isfinite(w->logits[i]))
            return false;
    return !w->log_norm || isfinite(*w->log_norm);
}

/* wants[0..n) all lie in the current batch at rows[]: norm, head, results. */
static int head_wants(struct rr_session *s, const struct rr_want *wants, const int *rows, int n,
                      struct rr_error *err)
{
    const struct rr_model *m = s->model;
    const size_t dim = (size_t)m->h.n_embd;
    const struct rr_want *whole[RR_HEAD_ROWS];
    int n_whole = 0;
    for (int i = 0; i < n; i++) {
        /* A row of s->h per whole-head want, then one more for the restricted ones. */
        float *h = s->h + (size_t)n_whole * rr_apart(m->h.n_embd);
        s->engine->kernels.rmsnorm(h, s->x + (size_t)rows[i] * dim, m->out_norm, m->h.n_embd,
                                   (float)m->h.rms_eps);
        if (needs_whole_head(&wants[i]))
            whole[n_whole++] = &wants[i];
        else
            head_ids(s, &wants[i], h);
    }
    if (n_whole) {
        struct rr_matmul mm = {.y = s->logits,
                               .ldy = (size_t)m->h.n_vocab,
                               .x = s->h,
                               .ldx = rr_apart(m->h.n_embd),
                               .xq = &s->xq,
                               .m = n_whole,
                               .w = &m->head};
        const int prepared = s->products->prepared[m->head.type];
        if (prepared)
            rr_engine_prepare(s->engine, s->products, &s->xq,
                              &(struct rr_rows){s->h, mm.ldx, m->h.n_embd}, n_whole, prepared);
        rr_engine_matmuls(s->engine, s->products, &mm, 1, s->panels);
        for (int i = 0; i < n_whole; i++)
            scatter_logits(whole[i], s->logits + (size_t)i * (size_t)m->h.n_vocab, m->h.n_vocab);
    }
    for (int i = 0; i < n; i++)
        if (!want_is_finite(&wants[i], m->h.n_vocab))
            return nonfinite(s, &wants[i], rows[i], err);
    return RR_OK;
}

/* Whether a row of this node belongs to the last span. */
static bool continues_span(const struct rr_session *s, const struct node *nd)
{
    if (s->n_spans == 0)
        return false;
    const struct span *last = &s->spans[s->n_spans - 1];
    const struct node *first = &s->nodes[s->rows[last->row0].node];
    const bool beside =
        nd->parent >= 0 && first->parent == nd->parent && first->behind == nd->behind;
    return last->n_rows < rr_span_rows(&s->model->h) && (first == nd || beside);
}

/* Appends a row to the batch, and to the last span when it continues it. */
static void add_row(struct rr_session *s, int node, int token)
{
    struct node *nd = &s->nodes[node];
    s->rows[s->n_rows] = (struct row){token, node, nd->cell + nd->n, nd->start + nd->n};
    if (continues_span(s, nd))
        s->spans[s->n_spans - 1].n_rows++;
    else
        s->spans[s->n_spans++] = (struct span){s->n_rows, 1};
    s->n_rows++;
    nd->n++;
}

/* Position in the feeds of the next token to compute. */
struct at {
    int feed, offset;
};

/* Fills the batch from *at; moves *at behind what was taken. */
static void fill_batch(struct rr_session *s, const struct rr_feed *feeds, int n_feeds,
                       struct at *at)
{
    s->n_rows = s->n_spans = 0;
    while (at->feed < n_feeds && s->n_rows < s->o.n_batch) {
        const struct rr_feed *f = &feeds[at->feed];
        if (at->offset == f->n_tokens) {
            *at = (struct at){at->feed + 1, 0};
            continue;
        }
        add_row(s, f->node, f->tokens[at->offset++]);
    }
}

/* Serves the wants that lie between `from` and the end of the batch; *next is the first one not
 * yet served. */
static int serve_batch(struct rr_session *s, const struct rr_feed *feeds,
                       const struct rr_want *wants, int n_wants, struct at from, int *next,
                       struct rr_error *err)
{
    int row = 0, rows[RR_HEAD_ROWS], n = 0, first = *next;
    const int cap = s->o.n_batch < RR_HEAD_ROWS ? s->o.n_batch : RR_HEAD_ROWS;
    for (; *next < n_wants; ++*next) {
        const struct rr_want *w = &wants[*next];
        while (from.feed < w->feed) {
            row += feeds[from.feed].n_tokens - from.offset;
            from = (struct at){from.feed + 1, 0};
        }
        int at_row = row + w->offset - from.offset;
        if (at_row >= s->n_rows)
            break;
        rows[n++] = at_row;
        if (n == cap) {
            int rc = head_wants(s, wants + first, rows, n, err);
            if (rc)
                return rc;
            first = *next + 1;
            n = 0;
        }
    }
    return n ? head_wants(s, wants + first, rows, n, err) : RR_OK;
}

int rr_session_eval(struct rr_session *s, const struct rr_feed *feeds, int n_feeds,
                    const struct rr_want *wants, int n_wants, struct rr_error *err)
{
    int rc = RR_OK, next = 0;
    for (int i = 0; i < n_feeds && !rc; i++)
        rc = check_feed(s, feeds, i, err);
    if (!rc)
        rc = check_wants(s, feeds, n_feeds, wants, n_wants, err);
    struct at at = {0, 0};
    if (s->o.profile) {
        rr_pool_set_clock(s->engine->pool, s->o.profile->clock);
        s->o.profile->mark = s->o.profile->clock();
    }
    while (!rc) {
        struct at from = at;
        fill_batch(s, feeds, n_feeds, &at);
        if (!s->n_rows)
            break;
        rr_forward_rows(s);
        s->n_tokens += s->n_rows;
        rc = serve_batch(s, feeds, wants, n_wants, from, &next, err);
        rr_session_step(s, RR_STEP_HEAD);
    }
    if (s->o.profile)
        rr_pool_set_clock(s->engine->pool, NULL);
    for (int i = 0; i < n_feeds; i++)
        if (feeds[i].node >= 0 && feeds[i].node < s->n_nodes)
            s->nodes[feeds[i].node].due = s->nodes[feeds[i].node].n;
    return rc;
}
