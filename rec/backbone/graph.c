/* See graph.h. */
#include "rec/backbone/graph.h"

#include <math.h>
#include "engine/base/mem.h"

/* Degrees become starts. */
static void count_edges(struct rr_graph *g, const struct rr_split *split)
{
    const int users = split->data->n_users;
    const size_t n = split->train_start[users];
    for (size_t i = 0; i < n; i++) {
        g->start[split->train[i].user + 1]++;
        g->start[users + split->train[i].item + 1]++;
    }
    for (int v = 0; v < g->n_nodes; v++)
        g->start[v + 1] += g->start[v];
}

static void add_edge(struct rr_graph *g, size_t *fill, int from, int to)
{
    const double degrees =
        (double)(g->start[from + 1] - g->start[from]) * (double)(g->start[to + 1] - g->start[to]);
    g->to[fill[from]] = to;
    g->weight[fill[from]++] = (float)(1 / sqrt(degrees));
}

int rr_graph_make(struct rr_graph *g, const struct rr_split *split, int dim, struct rr_error *err)
{
    const int users = split->data->n_users;
    const size_t n = split->train_start[users];
    *g = (struct rr_graph){.n_nodes = users + split->data->n_items, .dim = dim};
    const size_t nodes = (size_t)g->n_nodes;
    size_t *fill = rr_alloc(nodes, sizeof *fill);
    g->start = rr_zalloc(nodes + 1, sizeof *g->start);
    g->to = rr_alloc(2 * n, sizeof *g->to);
    g->weight = rr_alloc(2 * n, sizeof *g->weight);
    for (int i = 0; i < 2; i++)
        g->layer[i] = rr_alloc(nodes * (size_t)dim, sizeof(float));
    if (!fill || !g->start || !g->to || !g->weight || !g->layer[0] || !g->layer[1]) {
        rr_free(fill);
        rr_graph_free(g);
        return rr_fail_memory(err, "graph", nodes * (size_t)dim * 2 * sizeof(float));
    }
    count_edges(g, split);
    for (size_t v = 0; v < nodes; v++)
        fill[v] = g->start[v];
    for (size_t i = 0; i < n; i++) {
        add_edge(g, fill, split->train[i].user, users + split->train[i].item);
        add_edge(g, fill, users + split->train[i].item, split->train[i].user);
    }
    rr_free(fill);
    return RR_OK;
}

void rr_graph_free(struct rr_graph *g)
{
    rr_free(g->start);
    rr_free(g->to);
    rr_free(g->weight);
    rr_free(g->layer[0]);
    rr_free(g->layer[1]);
    *g = (struct rr_graph){0};
}

/* out = A in */
static void multiply(float *restrict out, const float *restrict in, const struct rr_graph *g)
{
    const size_t dim = (size_t)g->dim;
    for (int v = 0; v < g->n_nodes; v++) {
        float *row = out + (size_t)v * dim;
        for (size_t d = 0; d < dim; d++)
            row[d] = 0;
        for (size_t e = g->start[v]; e < g->start[v + 1]; e++) {
            const float w = g->weight[e], *from = in + (size_t)g->to[e] * dim;
            for (size_t d = 0; d < dim; d++)
                row[d] += w * from[d];
        }
    }
}

void rr_graph_spread(float *out, const float *in, struct rr_graph *g)
{
    const size_t n = (size_t)g->n_nodes * (size_t)g->dim;
    multiply(g->layer[0], in, g);
    multiply(g->layer[1], g->layer[0], g);
    for (size_t i = 0; i < n; i++)
        out[i] = (in[i] + g->layer[0][i] + g->layer[1][i]) * (1.0f / 3);
}
