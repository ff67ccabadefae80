/* What the model said about one request, and the orders that follow from it (spec/method.md
 * sections 5 and 6). Everything an evaluation reports about a user can be computed again from a
 * reply. */
#ifndef RR_REPLY_H
#define RR_REPLY_H

#include "engine/base/fail.h"
#include "rec/prompt/template.h"
#include "rec/recrank.h"

#define RR_MAX_PAIR_ROUNDS 64
#define RR_MAX_LISTS 64

/* A pair asked in one or both orders: log-odds of Yes over No to "a over b" and to "b over a".
 * NaN: not asked. When the answer was generated, +1 stands for Yes, -1 for No, 0 for neither. */
struct rr_pair_reply {
    int a, b;
    double forward, backward;
};

/* Weights of the utilities below: U = sum alpha_t U_t. */
struct rr_weights_hybrid {
    double alpha[RR_N_SIGNALS];
};
/* The paper's: a third for each of its three. And with likelihood, a quarter for each of four. */
extern const struct rr_weights_hybrid rr_weights_paper, rr_weights_four;

struct rr_reply {
    int n;              /* candidates */
    unsigned asked;     /* bit per enum rr_task */
    double *rating;     /* [n] expected rating */
    double *likelihood; /* [n] log-likelihood of the title */
    struct rr_pair_reply *pairs;
    int n_pairs;
    int n_lists;
    int *shown;  /* [n_lists, n] the candidate shown at each place */
    int *listed; /* [n_lists, n] the candidate at each place of the answer; -1: no more */
    long long tokens_asked,
        tokens_computed; /* what the questions would cost one by one; and cost */
    int n_cut;       /* oldest history entries left out to fit the context, the most of any task */
    int n_malformed; /* generated answers that could not be read */
    int n_invalid_lists;              /* lists that are no permutation of the candidates */
    struct rr_weights_hybrid weights; /* of the hybrid: a quarter each, unless the asker says */
    size_t cap_rating, cap_likelihood, cap_pairs, cap_shown, cap_listed;
};

/* Makes room for n candidates, pairs and lists; the contents are undefined. */
int rr_reply_resize(struct rr_reply *r, int n, int n_pairs, int n_lists, struct rr_error *err);
void rr_reply_free(struct rr_reply *r);

/* The ways to order candidates. The first four are one signal's own. */
enum rr_method {
    RR_BY_POINTWISE,  /* expected rating */
    RR_BY_PAIRWISE,   /* mean log-odds of winning over all pairs and orders asked */
    RR_BY_LISTWISE,   /* minus the mean place in the lists */
    RR_BY_LIKELIHOOD, /* log-likelihood of the title */
    RR_BY_HYBRID,     /* the utilities: the paper's three, and likelihood */
    RR_BY_RRF,        /* reciprocal-rank fusion of retrieval and the tasks */
    RR_BY_FITTED,     /* weights fitted on validation */
    RR_N_METHODS
};
const char *rr_method_name(enum rr_method m); /* "pointwise", ..., "hybrid", "rrf", "fitted" */

/* Constants of section 6. */
#define RR_C1 0.05
#define RR_C2 0.5
#define RR_C3 0.025
#define RR_UNLISTED 6 /* place of a title that a list leaves out */

/* out[n] = utility of a task: rating - C1 m (m the 0-based retrieval place); C2 for the winner of
 * both orders of a pair, C2/2 for both when the orders disagree, summed over rounds and divided by
 * how many rounds; -C3 m' (m' the 1-based place in a list, RR_UNLISTED when left out), averaged
 * over lists; of likelihood, the log-likelihood itself. */
void rr_utility(double *out, const struct rr_reply *r, enum rr_task task);
void rr_hybrid(double *out, const struct rr_reply *r, const struct rr_weights_hybrid *w);

/* Features of a candidate for fitted weights: log of the 1-based retrieval place, expected rating,
 * mean log-odds, log of the mean list place, log-likelihood; 0 where a task was not asked. */
#define RR_N_FEATURES 5
void rr_reply_features(double (*out)[RR_N_FEATURES], const struct rr_reply *r);

/* out[n] = score of each candidate under a method, larger is better; equal scores keep retrieval
 * order (rr_order_by_score). fitted: weights of the features for RR_BY_FITTED, else unused. */
void rr_reply_scores(double *out, const struct rr_reply *r, enum rr_method method,
                     const double *fitted);

/* out = candidates by descending score, equal ones in the order given. NaN cannot occur. */
void rr_order_by_score(struct rr_ranked *out, const double *scores, int n);

#endif
