/* k-means for user embeddings (spec/method.md section 3.2): Lloyd's iterations from a k-means++
 * start (Arthur and Vassilvitskii, SODA 2007), the best of several starts. */
#ifndef RR_KMEANS_H
#define RR_KMEANS_H

#include "engine/base/fail.h"
#include "engine/base/rng.h"

#define RR_KMEANS_STARTS 10
#define RR_KMEANS_ROUNDS 300

/* cluster[n] = cluster of each row of x[n, dim], 0..k-1; *inertia (may be NULL) = sum of squared
 * Euclidean distances to the centres. k is reduced to the number of distinct rows; *n_clusters
 * receives what it was. Distances are summed in double, ties go to the lower cluster. */
int rr_kmeans(int *cluster, int *n_clusters, double *inertia, const float *x, int n, int dim, int k,
              struct rr_rng *rng, struct rr_error *err);

#endif
