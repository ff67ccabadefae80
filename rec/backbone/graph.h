/* The graph of users and items that LightGCN spreads embeddings over (He et al., arXiv 2002.02126).
 */
#ifndef RR_GRAPH_H
#define RR_GRAPH_H

#include "engine/base/fail.h"
#include "rec/data/split.h"

/* Likes in training as a symmetric matrix A = D^-1/2 adjacency D^-1/2 over users, then items, by
 * rows. */
struct rr_graph {
    int n_nodes, dim;
    size_t *start; /* [n_nodes + 1] */
    int *to;       /* neighbours, ascending */
    float *weight;
    float *layer[2]; /* scratch [n_nodes, dim] */
};

int rr_graph_make(struct rr_graph *g, const struct rr_split *split, int dim, struct rr_error *err);
void rr_graph_free(struct rr_graph *g);

/* out = (in + A in + A^2 in) / 3, both [n_nodes, dim]: two layers and their mean. A is symmetric,
 * so the same function carries gradients back. Not thread-safe (scratch). */
void rr_graph_spread(float *out, const float *in, struct rr_graph *g);

#endif
