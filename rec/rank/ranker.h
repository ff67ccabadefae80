/* The ranker: a model's session and tokenizer, and the questions asked with them. Behind
 * rr_recrank, the rank command and the evaluation. */
#ifndef RR_RANKER_H
#define RR_RANKER_H

#include "engine/sample.h"
#include "engine/session.h"
#include "rec/prompt/prompt.h"
#include "rec/rank/choices.h"
#include "rec/rank/listing.h"
#include "rec/rank/reply.h"
#include "rec/rank/tree.h"
#include "tokenizer/chat.h"

#define RR_MAX_LEVELS RR_MAX_CHOICES

#define RR_ASK(task) (1u << (task))
#define RR_ASK_QUESTIONS (RR_ASK(RR_POINTWISE) | RR_ASK(RR_PAIRWISE) | RR_ASK(RR_LISTWISE))
#define RR_ASK_ALL (RR_ASK_QUESTIONS | RR_ASK(RR_LIKELIHOOD))

struct rr_ranker_options {
    int n_context;     /* tokens of the longest prompt with its answer */
    unsigned tasks;    /* RR_ASK bits; 0: all */
    int pair_rounds;   /* random pairings asked; 0: 1 */
    int list_shuffles; /* lists asked, each shuffled anew; 0: 1 */
    bool generate;     /* let the model write and read what it wrote, as the original does, instead
                          of reading probabilities */
    int n_titles;      /* likelihood: newest liked titles that it is asked behind; 0: 20 */
    bool per_token;    /* likelihood: the mean over a title's tokens instead of their sum */
    enum rr_chat chat; /* the chat template that questions are put in: the template's first section
                          is the system message, the second the user's, and the assistant's begins
                          with the third. Not for likelihood, which asks nothing. */
    enum rr_cache_type cache;         /* of keys and values */
    struct rr_weights_hybrid weights; /* of the hybrid; all 0: rr_weights_four */
    struct rr_prompt_style style;
};

struct rr_ranker {
    struct rr_session *session;
    const struct rr_tokenizer *tokenizer;
    int n_vocab; /* of the model */
    struct rr_ranker_options o;
    struct rr_prompter prompter;
    struct rr_chat_frame frame;
    struct rr_choices ratings, yes_no;
    struct rr_known known; /* in the session */
    struct rr_encoding encoding;
    struct rr_prompt prompt;
    struct rr_listing *listings; /* [n_listings] of up to listing_n elements */
    int n_listings, listing_n;
    bool *used; /* [n_candidates] scratch */
    /* Prompts of a task: ids[starts[i]] .. ids[starts[i + 1]]. */
    int *ids;
    size_t n_ids, cap_ids;
    size_t *starts;
    struct rr_prompt_ids *prompts;
    struct rr_question *questions;
    int n_questions;
    int (*pairs)[2];
    int (*ways)[2]; /* pairs answered by titles: where the titles part, of each question */
    int *scratch;   /* [n_candidates] */
    int *elements;  /* tokens of the listwise elements, as rr_listing wants them */
    int *element_starts;
    int *decoded; /* tokens of a run of each listing, or generated ones of each question */
    size_t n_elements;
    int n_element_starts; /* elements so far */
    int *begin;           /* tokens of what elements stand behind */
    size_t n_begin, cap_begin;
    struct rr_buf element; /* text of that, and scratch */
    size_t n_element_begin;
    double *norms;
    float *logits;
    struct rr_feed *feeds;
    struct rr_want *wants;
    struct rr_sample_scratch *sample;
    size_t cap_starts, cap_prompts, cap_questions, cap_pairs, cap_scratch, cap_elements,
        cap_element_starts, cap_decoded, cap_logits, cap_feeds, cap_wants, cap_sample, cap_used,
        cap_norms, cap_ways;
};

/* Shortest context that a ranking session is opened with: a model trained on less is run beyond
 * its training length. */
#define RR_MIN_RANK_CONTEXT 1024

/* n_context 0 becomes the larger of the model's and RR_MIN_RANK_CONTEXT. Engine, model, tokenizer
 * and templates must outlive the ranker. RR_ERR_DATA "ANSWER_TOKENS": the tokenizer does not keep
 * the answers apart; "CHAT_TEMPLATE": it lacks the chat template's tokens. */
int rr_ranker_init(struct rr_ranker *r, struct rr_engine *e, const struct rr_model *m,
                   const struct rr_tokenizer *t, const struct rr_ranker_options *o,
                   struct rr_error *err);
void rr_ranker_release(struct rr_ranker *r);
/* A ranker without a model: it can make and tokenize prompts (rr_ranker_prepare), nothing else.
 * o->n_context must be given. */
int rr_ranker_init_prompts(struct rr_ranker *r, const struct rr_tokenizer *t,
                           const struct rr_ranker_options *o, struct rr_error *err);
/* Other ways to put the questions, with the same session: n_context stays. */
int rr_ranker_set(struct rr_ranker *r, const struct rr_ranker_options *o, struct rr_error *err);

/* Asks everything that the options say about one request. History that does not fit into the
 * context is left out, oldest first, per task. RR_ERR_DATA "PROMPT_TOO_LONG": not even an empty
 * history fits. The bits do not depend on threads or on what else was asked. */
int rr_ranker_ask(struct rr_ranker *r, const struct rr_request *q, struct rr_reply *reply,
                  struct rr_error *err);

/* Makes and tokenizes all prompts of one task about a request, cut to the context, as asking would:
 * r->questions and r->prompts[n_questions]; pairs and lists shown go into the reply. */
int rr_ranker_prepare(struct rr_ranker *r, const struct rr_request *q, enum rr_task task,
                      struct rr_reply *reply, struct rr_error *err);

/* ---- the parts of heads.c, lists.c, likelihood.c and generate.c ---- */

/* A prompt's parts, as a chat's turns. */
struct rr_chat_turns rr_ranker_turns(const struct rr_prompt *p);
/* Replaces *out by what the answer of a task is tokenized behind: the last of its prompt. */
int rr_ranker_answer_begin(const struct rr_ranker *r, enum rr_task task, struct rr_buf *out,
                           struct rr_error *err);
/* The task sentences of the tasks asked, computed; what the session held is dropped. */
#define RR_HEAD_CELLS 768 /* of the session for them */
int rr_ranker_heads_make(struct rr_ranker *r, struct rr_error *err);
void rr_ranker_heads_release(struct rr_ranker *r);
/* Lists by constrained decoding: before r->questions are encoded, what every answer begins with
 * goes to end[n_end] (in r->decoded) and the tokens of the answer behind it to *room; then the
 * decoding. *n_end -1: there is nothing to decode. */
int rr_ranker_lists_prepare(struct rr_ranker *r, const struct rr_request *q, const int **end,
                            int *n_end, int *room, struct rr_error *err);
int rr_ranker_lists_decode(struct rr_ranker *r, struct rr_reply *reply, struct rr_error *err);
void rr_ranker_lists_read(struct rr_ranker *r, struct rr_reply *reply);
/* Elements of lists: titles in quotes with a blank before and `end` behind (a comma, where others
 * follow), tokenized behind a text. begin drops what was there and makes room for n; add appends
 * one to r->elements, and its end to r->element_starts. RR_ERR_DATA "ANSWER_TOKENS": a title merges
 * with what stands before it.
 */
int rr_ranker_elements_begin(struct rr_ranker *r, const struct rr_buf *behind, int n,
                             struct rr_error *err);
int rr_ranker_elements_add(struct rr_ranker *r, const char *title, const char *end,
                           struct rr_error *err);
/* Pairs answered by titles, as constrained decoding would answer them: the titles' tokens are the
 * same up to where they part, and there the logits decide. prepare encodes the candidates; append
 * puts what both titles of question i begin with behind its prompt, and where they part into
 * r->ways[i] (equal titles: one token twice). */
int rr_ranker_titles_prepare(struct rr_ranker *r, const struct rr_request *q, struct rr_error *err);
int rr_ranker_titles_append(struct rr_ranker *r, int i, struct rr_error *err);
/* reply->likelihood[n_candidates]. */
int rr_ranker_likelihood(struct rr_ranker *r, const struct rr_request *q, struct rr_reply *reply,
                         struct rr_error *err);
/* Answers by sampling and reading, after the questions were encoded with room for
 * rr_ranker_answer_tokens. */
int rr_ranker_answer_tokens(enum rr_task task, int n_candidates);
int rr_ranker_generate(struct rr_ranker *r, const struct rr_request *q, enum rr_task task,
                       struct rr_reply *reply, struct rr_error *err);

#endif
