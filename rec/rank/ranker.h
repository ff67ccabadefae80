/* The ranker: a model's session and tokenizer, and the questions asked with them. Behind
 * rr_recrank and the evaluation. */
#ifndef RR_RANKER_H
#define RR_RANKER_H

#include "engine/session.h"
#include "rec/prompt/pointwise.h"
#include "rec/rank/tree.h"
#include "rec/recrank.h"
#include "tokenizer/tokenizer.h"

#define RR_MAX_LEVELS 9 /* answers are one digit */
#define RR_MAX_CANDIDATES 1000

struct rr_ranker_options {
    int n_context, max_history;
    struct rr_prompt_style style;
};

struct rr_ranker {
    struct rr_session *session;
    const struct rr_tokenizer *tokenizer;
    struct rr_ranker_options o;
    int answers[RR_MAX_LEVELS]; /* token ids of "1", "2", ... behind "Answer: " */
    long long tokens_asked;     /* what the questions would cost one by one */
    long long n_cut;            /* requests whose history did not fit whole */
    struct rr_encoding encoding;
    struct rr_buf text;
    /* Per candidate of a request. */
    int *ids;
    size_t n_ids, cap_ids;
    struct rr_prompt_ids *prompts;
    size_t *starts;
    float *logits;
    struct rr_feed *feeds;
    struct rr_want *wants;
    size_t cap_prompts, cap_starts, cap_logits, cap_feeds, cap_wants;
};

/* Shortest context that a ranking session is opened with: a model trained on less is run beyond
 * its training length. */
#define RR_MIN_RANK_CONTEXT 1024

/* Fills defaults into *o: n_context 0 becomes the larger of the model's and RR_MIN_RANK_CONTEXT,
 * max_history 0 50, noun NULL "movie", levels 0 5. */
void rr_ranker_defaults(struct rr_ranker_options *o, const struct rr_model *model);

/* Engine, model and tokenizer must outlive the ranker. RR_ERR_DATA "ANSWER_TOKENS": the
 * tokenizer does not give each answer a token of its own. */
int rr_ranker_init(struct rr_ranker *r, struct rr_engine *e, const struct rr_model *m,
                   const struct rr_tokenizer *t, const struct rr_ranker_options *o,
                   struct rr_error *err);
void rr_ranker_release(struct rr_ranker *r);

/* scores[n_candidates] = expected rating of each candidate. */
int rr_ranker_pointwise(struct rr_ranker *r, const struct rr_request *q, double *scores,
                        struct rr_error *err);

/* out = candidates by descending score, equal ones in the order given. NaN cannot occur. */
void rr_order_by_score(struct rr_ranked *out, const double *scores, int n);

#endif
