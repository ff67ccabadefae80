/* Attention where the machine has tiles: attention.c's scores with queries and keys in pairs of
 * bfloat16 (engine/kernel/attn_tiles.h), and weighted sums of values that are in pairs, too.
 *
 * Weighted sums of values take positions in groups of RR_TILE_DEPTH, cut by position like blocks,
 * whatever nodes they cross. All rows of a task share the groups that lie above their own nodes, or
 * that all of them see. Of the others, rows take those that they see any position of: what they do
 * not see has weight zero, which adds nothing as long as it is finite, and rows are taken one by
 * one where it is not. So a row has the same bits in whatever company. */
#include "engine/attention_internal.h"

#include <string.h>

static const struct rr_attn_tiles *tiles_of(const struct task *k)
{
    return k->s->products->attn_tiles;
}

static int head_dim(const struct task *k)
{
    return k->s->model->h.head_dim;
}

static size_t queries_of(const struct rr_hparams *h)
{
    return (size_t)rr_span_rows(h) * (size_t)(h->n_heads / h->n_kv_heads);
}

/* The sizes of struct tiled's arrays, in its order, in bytes: all of them whole cache lines. */
static void sizes(const struct rr_hparams *h, size_t of[5])
{
    const size_t queries = queries_of(h), room = queries + RR_TILE_ROWS - 1;
    of[0] = queries * rr_tile_up(h->head_dim, 16) * sizeof(float);
    of[1] = room * rr_tiled_query(h->head_dim) * sizeof(uint16_t);
    of[2] = RR_STRETCH / RR_PANEL * rr_tiled_panel(h->head_dim) * sizeof(uint16_t);
    of[3] = RR_TILE_SUMS * rr_tiled_group(h->head_dim) * sizeof(uint16_t);
    of[4] = RR_TILE_DEPTH * (size_t)h->head_dim * sizeof(float);
}

size_t rr_tiled_bytes(const struct rr_hparams *h)
{
    size_t of[5], sum = 0;
    sizes(h, of);
    for (int i = 0; i < 5; i++)
        sum += of[i];
    return sum;
}

struct tiled rr_tiled_in(unsigned char *memory, const struct rr_hparams *h)
{
    size_t of[5];
    unsigned char *at[5];
    sizes(h, of);
    for (int i = 0; i < 5; memory += of[i++])
        at[i] = memory;
    return (struct tiled){.o = (void *)at[0],
                          .q = (void *)at[1],
                          .k = (void *)at[2],
                          .v = (void *)at[3],
                          .cells = (void *)at[4]};
}

float *rr_tiled_sums(const struct task *k, int row, int head)
{
    return k->tiled->o + in_group(k, row, head) * rr_tile_up(head_dim(k), 16);
}

void rr_tiled_begin(const struct task *k, int n_rows)
{
    const size_t group = (size_t)k->group;
    for (int row = k->row0; row < k->row0 + n_rows; row++)
        tiles_of(k)->queries(k->tiled->q + in_group(k, row, 0) * rr_tiled_query(head_dim(k)),
                             k->s->q + query_at(k, row, 0), k->group, head_dim(k), k->scale);
    memset(k->tiled->o, 0, (size_t)n_rows * group * rr_tile_up(head_dim(k), 16) * sizeof(float));
}

void rr_tiled_scores(const struct task *k, int row, int n, const struct stretch *st)
{
    const struct rr_tiled_scores a = {.s = scores_at(k, row, 0) + (st->position - k->from),
                                      .lds = RR_SCORES,
                                      .q = k->tiled->q +
                                           in_group(k, row, 0) * rr_tiled_query(head_dim(k)),
                                      .k = k->tiled->k,
                                      .n_q = n * k->group,
                                      .n_panels = st->n_panels,
                                      .head_dim = head_dim(k)};
    tiles_of(k)->keys(k->tiled->k, st->keys, st->n_panels, head_dim(k));
    tiles_of(k)->scores(&a);
}

/* ---- values ---- */

/* The nodes of a row's path: those above its own, and it. */
struct path {
    const int *nodes;
    int above, own;
};

static const struct node *node_of(const struct task *k, const struct path *p, int i)
{
    return &k->s->nodes[i < p->above ? p->nodes[i] : p->own];
}

/* The values at positions from .. to - 1 of a path, no more than a group: in the cache, or put
 * together. */
static const float *values_at(const struct task *k, const struct path *p, int from, int to)
{
    const size_t hd = (size_t)head_dim(k);
    for (int i = 0; i <= p->above; i++) {
        const struct node *nd = node_of(k, p, i);
        const int first = rr_max_int(from, nd->start),
                  end = i < p->above ? rr_min_int(to, node_of(k, p, i + 1)->start) : to;
        if (first >= end)
            continue;
        const float *v = rr_cache_values(k->s, k->layer, k->kv_head, nd->cell + first - nd->start,
                                         end - first, k->stretch);
        if (first == from && end == to)
            return v;
        memcpy(k->tiled->cells + (size_t)(first - from) * hd, v,
               (size_t)(end - first) * hd * sizeof *v);
    }
    return k->tiled->cells;
}

/* The values at positions from .. to - 1 become group `at` of the tiles; whether all are finite. */
static bool put_values(const struct task *k, const struct path *p, int at, int from, int to)
{
    return tiles_of(k)->values(k->tiled->v + (size_t)at * rr_tiled_group(head_dim(k)),
                               values_at(k, p, from, to), to - from, head_dim(k));
}

/* Adds the groups that begin at `from` to the sums of n rows. */
static void add_groups(const struct task *k, int row, int n, int from, int n_groups)
{
    const struct rr_tiled_values a = {.o = rr_tiled_sums(k, row, 0),
                                      .p = scores_at(k, row, 0) + (from - k->from),
                                      .ldp = RR_SCORES,
                                      .v = k->tiled->v,
                                      .n_q = n * k->group,
                                      .n_groups = n_groups,
                                      .head_dim = head_dim(k)};
    tiles_of(k)->add_values(&a);
}

/* Whole groups from .. to - 1, which n rows see. */
static void whole_groups(const struct task *k, int row, int n, const struct path *p, int to)
{
    for (int from = k->from, g; from < to; from += g * RR_TILE_DEPTH) {
        g = rr_min_int((to - from) / RR_TILE_DEPTH, RR_TILE_SUMS);
        for (int i = 0; i < g; i++)
            put_values(k, p, i, from + i * RR_TILE_DEPTH, from + (i + 1) * RR_TILE_DEPTH);
        add_groups(k, row, n, from, g);
    }
}

/* A group of which some of n rows of a node, in ascending positions, see a part or nothing. */
static void last_group(const struct task *k, int row, int n, const struct path *p, int from)
{
    const int gone = finished_before(k, from, row, n), end = row + n;
    const int to = rr_min_int(from + RR_TILE_DEPTH, k->s->rows[end - 1].position + 1);
    row += gone;
    if (put_values(k, p, 0, from, to) || to <= k->s->rows[row].position + 1) {
        add_groups(k, row, end - row, from, 1);
        return;
    }
    for (; row < end; row++) {
        put_values(k, p, 0, from, rr_min_int(to, k->s->rows[row].position + 1));
        add_groups(k, row, 1, from, 1);
    }
}

void rr_tiled_values(const struct task *k, int n_rows, const int *nodes, int above)
{
    const struct rr_session *s = k->s;
    const int end = k->row0 + n_rows;
    struct path p = {nodes, above, s->rows[k->row0].node};
    const bool alone = rows_of_node(s, k->row0, end) == n_rows;
    const int common = alone ? s->rows[k->row0].position + 1 : s->nodes[p.own].start,
              whole = rr_max_int(rr_min_int(common, k->to) - k->from, 0) / RR_TILE_DEPTH,
              behind = k->from + whole * RR_TILE_DEPTH;
    whole_groups(k, k->row0, n_rows, &p, behind);
    for (int row = k->row0, n; row < end; row += n) {
        n = rows_of_node(s, row, end);
        p.own = s->rows[row].node;
        for (int from = behind; from < rr_min_int(k->to, s->rows[row + n - 1].position + 1);
             from += RR_TILE_DEPTH)
            last_group(k, row, n, &p, from);
    }
}
