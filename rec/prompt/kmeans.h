/* k-means for user embeddings (spec/method.md section 3.2): Lloyd's iterations from a k-means++
 * start (Arthur and Vassilvitskii, SODA 2007), the best of several starts. */
#ifndef RR_KMEANS_H
#define RR_KMEANS_H

#include "engine/base/fail.h"
#include "engine/base/rng.h"

#define RR_KMEANS_STARTS 10
#define RR_KMEANS_ROUNDS 300

struct rr_kmeans_result {
    int *cluster; /* [n] the caller's: cluster of each row, 0..n_clusters-1 */
    int n_clusters;
    double inertia; /* sum of squared Euclidean distances to the centres */
};

/* Clusters the rows of x[n, dim] into k, or as many as there are distinct rows when those are
 * fewer. Distances are summed in double, ties go to the lower cluster. */
int rr_kmeans(struct rr_kmeans_result *out, const float *x, int n, int dim, int k,
              struct rr_rng *rng, struct rr_error *err);

#endif
