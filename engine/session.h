/* A session: the key-value cache, the scratch of the forward pass, and scoring over a tree of token
 * segments.
 *
 * A node is a segment of tokens that continues its parent; its tokens see their ancestors' tokens
 * and the earlier ones of their own node, nothing else. A ranking request is a trunk node with one
 * leaf node per question; generation is one node that grows. A node may also continue the first
 * tokens of another alone, as two trunks with a beginning in common do. Nodes live on a stack:
 * rewinding to a node gives back it and everything opened after it, so a trunk stays while leaves
 * come and go.
 *
 * What is computed for a token depends only on the tokens on its path: not on the batch it was in,
 * the other nodes, the number of threads, or how often it was split over calls. Bit for bit.
 *
 * All memory is taken when the session is opened; evaluating allocates nothing. A session serves
 * one thread. */
#ifndef RR_SESSION_H
#define RR_SESSION_H

#include "engine/engine.h"
#include "engine/model.h"

#define RR_MAX_DEPTH 32 /* nodes on a path */

/* Where a session's time goes. */
enum rr_step {
    RR_STEP_NORM,    /* with the sum before it, and the quantising behind it */
    RR_STEP_PRODUCT, /* the linear layers */
    RR_STEP_ROPE,    /* and what goes into the cache */
    RR_STEP_ATTENTION,
    RR_STEP_ACTIVATION,
    RR_STEP_HEAD, /* norm, product and what is wanted of it */
    RR_N_STEPS
};
const char *rr_step_name(enum rr_step step); /* "norm", "product", ... */

struct rr_profile {
    double (*clock)(void); /* seconds, monotonic */
    double seconds[RR_N_STEPS];
    double waiting; /* of these, for other threads to end */
    double mark;    /* when the step began; the session's own */
};

/* What the keys and values of the cache are stored as. */
enum rr_cache_type {
    RR_CACHE_F32,
    RR_CACHE_F16, /* up to 65504: beyond it, logits are not finite */
    RR_CACHE_Q8_0 /* in blocks of 32, which head_dim must be a multiple of */
};
#define RR_CACHE_NAMES "f32|f16|q8_0" /* in this order */
const char *rr_cache_name(enum rr_cache_type type);
/* -1: no such name. */
int rr_cache_from_name(const char *name);

struct rr_session_options {
    int n_cells;   /* tokens the cache holds; 0: the model's context. Each node rounds its own up
                      to 16. */
    int n_context; /* longest path; 0: the model's. Beyond what it was trained for, quality is the
                      caller's risk */
    int n_batch;   /* rows computed at once, 0: 256 */
    int n_nodes;   /* nodes open at once, 0: 1024 */
    enum rr_cache_type cache; /* F32 is exact, F16 half and Q8_0 three tenths of its size */
    /* Is shown x[n_rows, n_embd], the residual stream of a batch, before layer 0, 1, ... and behind
     * the last; or NULL. */
    void (*watch)(void *arg, int layer, const float *x, int n_rows);
    void *watch_arg;
    struct rr_profile *profile; /* is added to while the session computes; NULL: no clock is read */
};

struct rr_session;

/* Bytes that rr_session_open will take for these options; 0 when the sum overflows or an option is
 * out of range. */
size_t rr_session_bytes(const struct rr_engine *e, const struct rr_model *m,
                        const struct rr_session_options *o);
/* The engine and the model must outlive the session. */
int rr_session_open(struct rr_session **session, struct rr_engine *e, const struct rr_model *m,
                    const struct rr_session_options *o, struct rr_error *err);
void rr_session_close(struct rr_session *s);

/* Opens a node under parent (-1: at the beginning of text) for n_tokens; *node receives its
 * number. Its children's positions begin behind all n_tokens, so they can be opened before it is
 * fed, but fed only once it is full. RR_ERR_MEMORY "CACHE_FULL" when cells or nodes run out,
 * RR_ERR_USAGE "CONTEXT" when the path would be longer than the context. */
int rr_session_branch(struct rr_session *s, int parent, int n_tokens, int *node,
                      struct rr_error *err);
/* The same, continuing the parent's first `behind` tokens alone; it may be fed once the parent has
 * those. */
int rr_session_branch_at(struct rr_session *s, int parent, int behind, int n_tokens, int *node,
                         struct rr_error *err);
/* Whether tokens come one by one from now on, as when a text is written: then their products only
 * wait for the weights, and are made for that (rr_engine's `decoding`). Some of those round
 * otherwise than a prompt's do (struct rr_kernels' decode; at AMX all); what a token's bits are
 * depends on this, never on what is fed beside it. */
void rr_session_decoding(struct rr_session *s, bool one_by_one);
/* Forgets node and all nodes opened after it; 0 empties the session. */
void rr_session_rewind(struct rr_session *s, int node);
/* Tokens in a node so far, and on the whole path down to its end. */
int rr_session_length(const struct rr_session *s, int node);
int rr_session_path(const struct rr_session *s, int node);

/* Tokens to append to a node, up to the number it was opened for. The feeds of one call stand in
 * the order in which their nodes were opened. */
struct rr_feed {
    int node;
    const int *tokens;
    int n_tokens;
};

/* What is wanted at one fed token: the logits of what may come next. */
struct rr_want {
    int feed;       /* index into feeds */
    int offset;     /* token within the feed */
    const int *ids; /* [n_ids] tokens whose logits are wanted, or NULL for the whole vocabulary */
    int n_ids;
    float *logits;    /* [n_ids] or [n_vocab]; may be NULL when only log_norm is wanted */
    double *log_norm; /* log sum exp over the whole vocabulary, or NULL: it costs the whole head */
};

/* Computes all feeds and fills all wants, which are ordered by feed, then offset. On an error
 * nothing is promised about the nodes fed; rewind them. RR_ERR_USAGE "TOKEN_ID" names an id
 * outside the vocabulary, RR_ERR_DATA "NONFINITE_LOGITS" the first want whose logits are not
 * finite. */
int rr_session_eval(struct rr_session *s, const struct rr_feed *feeds, int n_feeds,
                    const struct rr_want *wants, int n_wants, struct rr_error *err);

/* Tokens computed since the session was opened. */
long long rr_session_tokens(const struct rr_session *s);

#endif
