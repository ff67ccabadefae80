/* Attention over paths of the tree, read from the cache in place.
 *
 * The scores of one query are laid out by position in one row of scratch, whatever nodes its
 * path crosses, and the weighted sum of values adds positions in ascending order: so the result
 * does not depend on where the path is cut into nodes. */
#include "engine/session_internal.h"

#include <math.h>
#include <string.h>

void rr_cache_write(struct rr_session *s, int layer, int row)
{
    const struct rr_hparams *h = &s->model->h;
    const size_t hd = (size_t)h->head_dim, kv_dim = (size_t)h->n_kv_heads * hd,
                 cell = (size_t)s->rows[row].cell;
    for (int head = 0; head < h->n_kv_heads; head++) {
        float *keys = s->keys + cache_offset(s, layer, head),
              *values = s->values + cache_offset(s, layer, head);
        const size_t from = (size_t)row * kv_dim + (size_t)head * hd;
        float *panel = keys + cell / RR_PANEL * RR_PANEL * hd + cell % RR_PANEL;
        for (size_t d = 0; d < hd; d++)
            panel[d * RR_PANEL] = s->k[from + d];
        memcpy(values + cell * hd, s->v + from, hd * sizeof(float));
    }
}

/* Nodes from the root down to `node`; returns how many. */
static int path_of(const struct rr_session *s, int node, int path[RR_MAX_DEPTH])
{
    int n = s->nodes[node].depth + 1;
    for (int i = n - 1; i >= 0; i--, node = s->nodes[node].parent)
        path[i] = node;
    return n;
}

struct attention_job {
    struct rr_session *s;
    int layer;
};

/* Up to RR_ATTN_ROWS consecutive rows of one node, one head. */
static void attend_tile(const struct attention_job *job, const int *path, int n_path, int row0,
                        int n_q, int head, float *scores)
{
    struct rr_session *s = job->s;
    const struct rr_kernels *kern = &s->engine->kernels;
    const struct rr_hparams *h = &s->model->h;
    const int hd = h->head_dim, kv_head = head / (h->n_heads / h->n_kv_heads);
    const size_t q_dim = (size_t)h->n_heads * (size_t)hd,
                 at = (size_t)row0 * q_dim + (size_t)head * (size_t)hd;
    const float *keys = s->keys + cache_offset(s, job->layer, kv_head);
    const float *values = s->values + cache_offset(s, job->layer, kv_head);
    const int last = s->rows[row0 + n_q - 1].position;
    struct rr_attn_scores a = {.lds = s->score_stride,
                               .q = s->q + at,
                               .ldq = q_dim,
                               .n_q = n_q,
                               .head_dim = hd,
                               .scale = 1.0f / sqrtf((float)hd)};
    /* A node's last panel may write a few scores too many; the next node overwrites them, and
     * the row has room. */
    for (int i = 0; i < n_path; i++) {
        const struct node *nd = &s->nodes[path[i]];
        int n = i + 1 < n_path ? nd->n : last - nd->start + 1;
        a.k = keys + (size_t)nd->cell * (size_t)hd;
        a.n_panels = (n + RR_PANEL - 1) / RR_PANEL;
        a.s = scores + nd->start;
        kern->attn_scores(&a);
    }
    float norm[RR_ATTN_ROWS] = {0};
    for (int i = 0; i < n_q; i++) {
        float *row = scores + (size_t)i * s->score_stride;
        int n = s->rows[row0 + i].position + 1;
        norm[i] = 1.0f / kern->softmax_exp(row, n);
        memset(s->att + at + (size_t)i * q_dim, 0, (size_t)hd * sizeof(float));
    }
    /* In the last node all queries see what the first one sees; then each its own few more, alone:
     * a damaged value must not reach those before it, not even times zero. */
    struct rr_attn_values b = {
        .ldo = q_dim, .ldp = s->score_stride, .ldv = (size_t)hd, .head_dim = hd};
    for (int i = 0; i < n_path; i++) {
        const struct node *nd = &s->nodes[path[i]];
        const bool inner = i + 1 < n_path;
        b.o = s->att + at;
        b.n_q = n_q;
        b.n = inner ? nd->n : s->rows[row0].position - nd->start + 1;
        b.p = scores + nd->start;
        b.v = values + (size_t)nd->cell * (size_t)hd;
        kern->attn_values(&b);
        b.p += b.n;
        b.v += (size_t)b.n * (size_t)hd;
        b.n_q = 1;
        for (b.n = 1; b.n < n_q && !inner; b.n++) {
            b.o += q_dim;
            b.p += s->score_stride;
            kern->attn_values(&b);
        }
    }
    for (int i = 0; i < n_q; i++)
        for (int d = 0; d < hd; d++)
            s->att[at + (size_t)i * q_dim + (size_t)d] *= norm[i];
}

static void attention_task(void *arg, int task, int worker)
{
    const struct attention_job *job = arg;
    struct rr_session *s = job->s;
    const int n_kv = s->model->h.n_kv_heads, group = s->model->h.n_heads / n_kv;
    const struct span *sp = &s->spans[task / n_kv];
    const int kv_head = task % n_kv;
    float *scores = s->scores + (size_t)worker * RR_ATTN_ROWS * s->score_stride;
    int path[RR_MAX_DEPTH], n_path = path_of(s, s->rows[sp->row0].node, path);
    for (int head = kv_head * group; head < (kv_head + 1) * group; head++)
        for (int i = 0; i < sp->n_rows; i += RR_ATTN_ROWS) {
            int n_q = sp->n_rows - i < RR_ATTN_ROWS ? sp->n_rows - i : RR_ATTN_ROWS;
            attend_tile(job, path, n_path, sp->row0 + i, n_q, head, scores);
        }
}

void rr_attention(struct rr_session *s, int layer)
{
    struct attention_job job = {s, layer};
    rr_pool_run(s->engine->pool, attention_task, &job, s->n_spans * s->model->h.n_kv_heads);
}
