/* Attention over paths of the tree.
 *
 * A task is a span: some rows whose paths are the same but for each one's own node, and one
 * key-value head. Positions are taken in blocks of RR_BLOCK with a running maximum and sum, the
 * online softmax of Milakov and Gimelshein (arXiv 1805.02867): the scores of a block stay in the
 * cache, however long the path. Inside a block, what lies above the rows' own nodes is read once
 * for all rows and all heads of the group, a stretch of cells at a time; then each node's own
 * cells.
 *
 * Blocks are cut by position, whatever nodes a path crosses, and the weighted sum of values adds
 * positions in ascending order: so the result depends neither on where the path is cut into nodes
 * nor on which rows share a task.
 *
 * Where the machine has tiles, attention_tiles.c multiplies, and goes through the values its own
 * way. */
#include "engine/attention_internal.h"

#include <math.h>
#include <string.h>

struct attention_job {
    struct rr_session *s;
    int layer;
};

/* Up to RR_ATTN_ROWS queries that kernels take at once: rows of one head, or heads of one row. */
struct tile {
    int row, head, n;
    size_t ldq, lds; /* from one query to the next, in s->q (or s->att) and in scores */
};

/* Goes through the queries of n rows in tiles; begins with *t all zero. */
static bool next_tile(const struct task *k, int n, struct tile *t)
{
    const struct rr_hparams *h = &k->s->model->h;
    if (k->group % RR_ATTN_ROWS == 0) { /* of one row: full, however few the rows */
        t->head += t->n;
        t->row += t->head / k->group;
        t->head %= k->group;
        t->n = RR_ATTN_ROWS;
        t->ldq = (size_t)h->head_dim;
        t->lds = RR_SCORES;
        return t->row < n;
    }
    t->row += t->n;
    if (t->row == n) {
        t->row = 0;
        t->head++;
    }
    t->n = rr_min_int(n - t->row, RR_ATTN_ROWS);
    t->ldq = rr_apart(h->n_heads * h->head_dim);
    t->lds = (size_t)k->group * RR_SCORES;
    return t->head < k->group;
}

/* Scores of rows row .. row + n - 1 with the first n_cells cells of a node, as far as they are of
 * this block. Panels are whole: a few scores too many before the block and behind it have room,
 * and those behind the node's last are overwritten by the next node's. */
static void node_scores(const struct task *k, int row, int n, const struct node *nd, int n_cells)
{
    const struct rr_kernels *kern = &k->s->engine->kernels;
    const int hd = k->s->model->h.head_dim, to = rr_min_int(n_cells, k->to - nd->start);
    const int from = rr_max_int(k->from - nd->start, 0) / RR_PANEL * RR_PANEL;
    for (int c = from; c < to; c += RR_STRETCH) {
        const int panels = (rr_min_int(to - c, RR_STRETCH) + RR_PANEL - 1) / RR_PANEL;
        const struct stretch st = {
            rr_cache_keys(k->s, k->layer, k->kv_head, nd->cell + c, panels, k->stretch), panels,
            nd->start + c};
        struct rr_attn_scores a = {
            .k = st.keys, .n_panels = panels, .head_dim = hd, .scale = k->scale};
        if (k->tiled) {
            rr_tiled_scores(k, row, n, &st);
            continue;
        }
        for (struct tile t = {0}; next_tile(k, n, &t);) {
            a.q = k->s->q + query_at(k, row + t.row, t.head);
            a.s = scores_at(k, row + t.row, t.head) + (st.position - k->from);
            a.ldq = t.ldq;
            a.lds = t.lds;
            a.n_q = t.n;
            kern->attn_scores(&a);
        }
    }
}

/* Adds the values of cells from .. to - 1 of a node, as far as they are of this block, to the
 * outputs of some rows. */
static void node_values(const struct task *k, int row, int n, const struct node *nd, int from,
                        int to)
{
    const struct rr_kernels *kern = &k->s->engine->kernels;
    const int hd = k->s->model->h.head_dim;
    to = rr_min_int(to, k->to - nd->start);
    for (int c = rr_max_int(from, k->from - nd->start); c < to; c += RR_STRETCH) {
        struct rr_attn_values b = {
            .n = rr_min_int(to - c, RR_STRETCH), .head_dim = hd, .ldv = (size_t)hd};
        b.v = rr_cache_values(k->s, k->layer, k->kv_head, nd->cell + c, b.n, k->stretch);
        for (struct tile t = {0}; next_tile(k, n, &t);) {
            b.o = k->s->att + query_at(k, row + t.row, t.head);
            b.p = scores_at(k, row + t.row, t.head) + (nd->start + c - k->from);
            b.ldo = t.ldq;
            b.ldp = t.lds;
            b.n_q = t.n;
            kern->attn_values(&b);
        }
    }
}

/* In their own node all rows see what the first one sees; then each its own few more, alone: a
 * damaged value must not reach those before it, not even times zero. */
static void own_values(const struct task *k, int row, int n)
{
    const struct node *nd = &k->s->nodes[k->s->rows[row].node];
    const int common = k->s->rows[row].position - nd->start + 1;
    node_values(k, row, n, nd, 0, common);
    for (int i = 1; i < n; i++)
        node_values(k, row + i, 1, nd, common, common + i);
}

static float *sums_at(const struct task *k, int row, int head)
{
    return k->tiled ? rr_tiled_sums(k, row, head) : k->s->att + query_at(k, row, head);
}

/* From scores to weights against the greatest so far; what was summed up till now is brought to
 * the same measure. */
static void weigh(const struct task *k, int row, int head)
{
    const struct rr_session *s = k->s;
    const struct rr_kernels *kern = &s->engine->kernels;
    const int n = rr_min_int(s->rows[row].position + 1, k->to) - k->from;
    struct running *r = &k->running[in_group(k, row, head)];
    if (n <= 0)
        return;
    float before = r->max;
    const float sum = kern->softmax_exp(scores_at(k, row, head), n, &r->max);
    if (k->from > 0 && before != r->max) {
        float *o = sums_at(k, row, head);
        const float less = kern->softmax_exp(&before, 1, &r->max);
        for (int d = 0; d < s->model->h.head_dim; d++)
            o[d] *= less;
        r->sum *= less;
    }
    r->sum += sum;
    if (k->tiled) /* which take whole groups of weights */
        memset(scores_at(k, row, head) + n, 0,
               (rr_tile_up(n, RR_TILE_DEPTH) - (size_t)n) * sizeof(float));
}

/* Nodes from the root down to `node`; returns how many. */
static int path_of(const struct rr_session *s, int node, int path[RR_MAX_DEPTH])
{
    int n = s->nodes[node].depth + 1;
    for (int i = n - 1; i >= 0; i--, node = s->nodes[node].parent)
        path[i] = node;
    return n;
}

/* The block k->from .. k->to - 1 of rows whose path has `above` nodes above their own. */
static void attend_block(const struct task *k, int n_rows, const int *path, int above)
{
    const struct rr_session *s = k->s;
    const int end = k->row0 + n_rows;
    for (int i = 0; i < above; i++)
        node_scores(k, k->row0, n_rows, &s->nodes[path[i]], s->nodes[path[i + 1]].behind);
    for (int row = k->row0, n; row < end; row += n) {
        const struct node *nd = &s->nodes[s->rows[row].node];
        n = rows_of_node(s, row, end);
        const int gone = finished_before(k, k->from, row, n);
        if (gone < n)
            node_scores(k, row + gone, n - gone, nd, s->rows[row + n - 1].position - nd->start + 1);
    }
    for (int row = k->row0; row < end; row++)
        for (int head = 0; head < k->group; head++)
            weigh(k, row, head);
    if (k->tiled) {
        rr_tiled_values(k, n_rows, path, above);
        return;
    }
    for (int i = 0; i < above; i++)
        node_values(k, k->row0, n_rows, &s->nodes[path[i]], 0, s->nodes[path[i + 1]].behind);
    for (int row = k->row0, n; row < end; row += n) {
        n = rows_of_node(s, row, end);
        const int gone = finished_before(k, k->from, row, n);
        if (gone < n)
            own_values(k, row + gone, n - gone);
    }
}

static void attend(struct task *k, int n_rows)
{
    struct rr_session *s = k->s;
    const int hd = s->model->h.head_dim;
    int path[RR_MAX_DEPTH], above = path_of(s, s->rows[k->row0].node, path) - 1, n = 0;
    for (int row = k->row0; row < k->row0 + n_rows; row++) {
        n = rr_max_int(n, s->rows[row].position + 1);
        if (!k->tiled)
            memset(s->att + query_at(k, row, 0), 0, (size_t)k->group * (size_t)hd * sizeof(float));
    }
    if (k->tiled)
        rr_tiled_begin(k, n_rows);
    for (size_t i = 0; i < (size_t)n_rows * (size_t)k->group; i++)
        k->running[i] = (struct running){.max = -INFINITY};
    for (k->from = 0; k->from < n; k->from = k->to) {
        k->to = rr_min_int(k->from + RR_BLOCK, n);
        attend_block(k, n_rows, path, above);
    }
    for (int row = k->row0; row < k->row0 + n_rows; row++) {
        for (int head = 0; head < k->group; head++) {
            const float *sums = sums_at(k, row, head);
            const float norm = 1.0f / k->running[in_group(k, row, head)].sum;
            float *o = s->att + query_at(k, row, head);
            for (int d = 0; d < hd; d++) /* no zero keeps its sign, which company could give it */
                o[d] = sums[d] * norm + 0.0f;
        }
    }
}

static void attention_task(void *arg, int task, int worker)
{
    const struct attention_job *job = arg;
    struct rr_session *s = job->s;
    const int n_kv = s->model->h.n_kv_heads, group = s->model->h.n_heads / n_kv;
    const struct span *sp = &s->spans[task / n_kv];
    const size_t queries = (size_t)rr_span_rows(&s->model->h) * (size_t)group;
    struct task k = {.s = s,
                     .layer = job->layer,
                     .kv_head = task % n_kv,
                     .group = group,
                     .row0 = sp->row0,
                     .scale = 1.0f / sqrtf((float)s->model->h.head_dim),
                     .scores = s->scores + (size_t)worker * queries * RR_SCORES,
                     .running = s->running + (size_t)worker * queries,
                     .stretch =
                         s->stretch + (size_t)worker * RR_STRETCH * (size_t)s->model->h.head_dim};
    struct tiled tiled;
    if (s->products->attn_tiles) {
        tiled = rr_tiled_in(s->tiled + (size_t)worker * rr_tiled_bytes(&s->model->h), &s->model->h);
        k.tiled = &tiled;
    }
    attend(&k, sp->n_rows);
}

void rr_attention(struct rr_session *s, int layer)
{
    struct attention_job job = {s, layer};
    rr_pool_run(s->engine->pool, attention_task, &job, s->n_spans * s->model->h.n_kv_heads);
}
