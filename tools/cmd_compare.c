/* recrank compare: what a merge or a quantisation did to a model, layer by layer and in its logits.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "engine/base/check.h"
#include "tools/common.h"

#define STRETCH 64 /* tokens at once */

/* One of the two models, and what it gave for the stretch. */
struct side {
    struct loaded l;
    struct rr_session *session;
    int node;
    float *x;      /* [layers + 1][STRETCH][n_embd] residual stream */
    float *logits; /* [STRETCH][n_vocab] */
    struct rr_want wants[STRETCH];
};

struct sums {
    double *off, *size; /* [layers + 1] of squares */
    double logit_off, logit_size, most, divergence, nats[2];
    long long n_tokens, n_same;
};

static void watch(void *arg, int layer, const float *x, int n_rows)
{
    struct side *s = arg;
    const size_t n = (size_t)s->l.weights.model.h.n_embd;
    memcpy(s->x + (size_t)layer * STRETCH * n, x, (size_t)n_rows * n * sizeof *x);
}

static int open_side(struct side *s, int n_tokens, struct rr_error *err)
{
    const struct rr_hparams *h = &s->l.weights.model.h;
    const struct rr_session_options so = {.n_context = n_tokens,
                                          .n_cells = n_tokens,
                                          .n_batch = STRETCH,
                                          .watch = watch,
                                          .watch_arg = s};
    const size_t layers = (size_t)h->n_layers + 1, embd = (size_t)h->n_embd;
    s->x = rr_alloc(layers * STRETCH, embd * sizeof *s->x);
    s->logits = rr_alloc(STRETCH, (size_t)h->n_vocab * sizeof *s->logits);
    if (!s->x || !s->logits)
        return rr_fail_memory(err, "comparison", layers * STRETCH * embd * sizeof *s->x);
    for (int i = 0; i < STRETCH; i++)
        s->wants[i] =
            (struct rr_want){.offset = i, .logits = s->logits + (size_t)i * (size_t)h->n_vocab};
    int rc = rr_session_open(&s->session, &s->l.engine, &s->l.weights.model, &so, err);
    return rc ? rc : rr_session_branch(s->session, -1, n_tokens, &s->node, err);
}

static void close_side(struct side *s)
{
    rr_session_close(s->session);
    rr_free(s->x);
    rr_free(s->logits);
    tool_unload(&s->l);
}

static double log_sum(const float *v, int n)
{
    double most = (double)v[0];
    for (int i = 1; i < n; i++)
        most = fmax(most, (double)v[i]);
    double sum = exp((double)v[0] - most);
    for (int i = 1; i < n; i++)
        sum += exp((double)v[i] - most);
    return most + log(sum);
}

/* One token's logits: how far b's are from a's, and KL(a || b). next: the token that follows, or
 * -1. */
static void add_logits(struct sums *t, const float *a, const float *b, int n, int next)
{
    const double norm_a = log_sum(a, n), norm_b = log_sum(b, n);
    int best_a = 0, best_b = 0;
    for (int i = 0; i < n; i++) {
        const double x = (double)a[i], y = (double)b[i], off = fabs(x - y);
        t->logit_off += off * off / n;
        t->logit_size += x * x / n;
        t->most = fmax(t->most, off);
        t->divergence += exp(x - norm_a) * ((x - norm_a) - (y - norm_b));
        best_a = a[i] > a[best_a] ? i : best_a;
        best_b = b[i] > b[best_b] ? i : best_b;
    }
    t->n_tokens++;
    t->n_same += best_a == best_b;
    if (next >= 0) {
        t->nats[0] += norm_a - (double)a[next];
        t->nats[1] += norm_b - (double)b[next];
    }
}

static void add_layers(struct sums *t, const struct side *a, const struct side *b, int n)
{
    const struct rr_hparams *h = &a->l.weights.model.h;
    const size_t embd = (size_t)h->n_embd;
    for (int l = 0; l <= h->n_layers; l++) {
        const float *x = a->x + (size_t)l * STRETCH * embd, *y = b->x + (size_t)l * STRETCH * embd;
        for (size_t i = 0; i < (size_t)n * embd; i++) {
            t->off[l] += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
            t->size[l] += (double)x[i] * (double)x[i];
        }
    }
}

static int compare(struct sums *t, struct side *a, struct side *b, const int *ids, int n,
                   struct rr_error *err)
{
    const int n_vocab = a->l.weights.model.h.n_vocab;
    int rc = RR_OK;
    for (int at = 0; at < n && !rc; at += STRETCH) {
        const int part = rr_min_int(STRETCH, n - at);
        struct side *const both[] = {a, b};
        for (int s = 0; s < 2 && !rc; s++)
            rc = rr_session_eval(both[s]->session, &(struct rr_feed){both[s]->node, ids + at, part},
                                 1, both[s]->wants, part, err);
        if (rc)
            break;
        add_layers(t, a, b, part);
        for (int i = 0; i < part; i++)
            add_logits(t, a->logits + (size_t)i * (size_t)n_vocab,
                       b->logits + (size_t)i * (size_t)n_vocab, n_vocab,
                       at + i + 1 < n ? ids[at + i + 1] : -1);
    }
    return rc;
}

static int check_shapes(const struct side *a, const struct side *b, struct rr_error *err)
{
    const struct rr_hparams *x = &a->l.weights.model.h, *y = &b->l.weights.model.h;
    if (x->n_layers == y->n_layers && x->n_embd == y->n_embd && x->n_vocab == y->n_vocab)
        return RR_OK;
    return rr_fail(
        err, RR_ERR_DATA, "SHAPES", RR_AT_FILE(b->l.weights.path),
        "%d layers of %d, vocabulary %d; the other model has %d layers of %d, vocabulary "
        "%d",
        y->n_layers, y->n_embd, y->n_vocab, x->n_layers, x->n_embd, x->n_vocab);
}

static double share(double off, double size)
{
    return size > 0 ? sqrt(off / size) : off > 0 ? INFINITY : 0;
}

static void print(const struct sums *t, int n_layers, bool json)
{
    const double n = (double)t->n_tokens, predicted = n > 1 ? n - 1 : 1;
    printf(json ? "{\"layers\":[" : "layer  relative difference of the residual stream\n");
    for (int l = 0; l <= n_layers; l++)
        if (json)
            printf("%s%.6g", l ? "," : "", share(t->off[l], t->size[l]));
        else
            printf("%5d  %.3e%s\n", l, share(t->off[l], t->size[l]), l ? "" : "  (embedding)");
    if (json)
        printf("],\"logits_rms\":%.6g,\"logits_max\":%.6g,\"logits_relative\":%.6g,\"kl\":%.6g,"
               "\"same_best\":%.6g,\"nats\":[%.6f,%.6f],\"tokens\":%lld}\n",
               sqrt(t->logit_off / n), t->most, share(t->logit_off, t->logit_size),
               t->divergence / n, (double)t->n_same / n, t->nats[0] / predicted,
               t->nats[1] / predicted, t->n_tokens);
    else
        printf("logits: RMS %.3e (relative %.3e), at most %.3e apart; KL %.3e nats; the same token "
               "is best in %.1f %%\nnats per token: %.4f and %.4f, over %lld tokens\n",
               sqrt(t->logit_off / n), share(t->logit_off, t->logit_size), t->most,
               t->divergence / n, 100 * (double)t->n_same / n, t->nats[0] / predicted,
               t->nats[1] / predicted, t->n_tokens);
}

/* BOS and the text's first tokens. */
static int read_text(struct rr_encoding *e, const struct side *s, const char *path, long long most,
                     struct rr_error *err)
{
    const int bos = rr_tokenizer_bos(s->l.weights.tokenizer);
    int rc = tool_tokens_of_file(e, s->l.weights.tokenizer, path, err);
    if (!rc && bos >= 0) {
        if (!rr_grow(&e->ids, &e->cap, e->n + 1, sizeof *e->ids))
            return rr_fail_memory(err, "tokens", e->n);
        memmove(e->ids + 1, e->ids, e->n * sizeof *e->ids);
        e->ids[0] = bos;
        e->n++;
    }
    e->n = e->n > (size_t)most ? (size_t)most : e->n;
    return rc;
}

static int run(const struct command *c, int argc, char **argv)
{
    struct model_options mo = MODEL_OPTIONS_INIT;
    long long tokens = 512;
    bool json = false;
    struct option opts[] = {
        {"tokens", 'n', OPT_INT, &tokens, "N", "of the text's beginning", 2, 1 << 20, false},
        {"json", 0, OPT_FLAG, &json, NULL, "one JSON object instead of the table", 0, 0, false},
        MODEL_OPTION_ROWS(mo),
    };
    struct args a;
    struct side x = {0}, y = {0};
    struct sums t = {0};
    struct rr_encoding e = {0};
    struct rr_error err = {0};
    int rc = args_parse(&a, c, opts, COUNT(opts), argc, argv);
    if (rc >= 0)
        return rc;
    if ((rc = tool_load(&x.l, a.positional[0], &mo, true)) >= 0)
        return rc;
    mo.adapter = NULL; /* of the first model only */
    if ((rc = tool_load(&y.l, a.positional[1], &mo, false)) >= 0) {
        tool_unload(&x.l);
        return rc;
    }
    const int n_layers = x.l.weights.model.h.n_layers;
    rc = check_shapes(&x, &y, &err);
    if (!rc)
        rc = read_text(&e, &x, a.positional[2], tokens, &err);
    if (!rc && e.n > (size_t)x.l.weights.model.h.n_context)
        fprintf(stderr, "recrank: note: %zu tokens go beyond the model's context of %d\n", e.n,
                x.l.weights.model.h.n_context);
    t.off = rr_zalloc((size_t)n_layers + 1, sizeof *t.off);
    t.size = rr_zalloc((size_t)n_layers + 1, sizeof *t.size);
    if (!rc && (!t.off || !t.size))
        rc = rr_fail_memory(&err, "comparison", (size_t)n_layers * sizeof *t.off);
    if (!rc)
        rc = open_side(&x, (int)e.n, &err);
    if (!rc)
        rc = open_side(&y, (int)e.n, &err);
    if (!rc)
        rc = compare(&t, &x, &y, e.ids, (int)e.n, &err);
    if (!rc)
        print(&t, n_layers, json);
    close_side(&x);
    close_side(&y);
    rr_encoding_free(&e);
    rr_free(t.off);
    rr_free(t.size);
    return rc ? tool_fail(&err) : tool_finish();
}

const struct command cmd_compare = {
    .name = "compare",
    .synopsis = "A B FILE",
    .summary = "what a merge or a quantisation did: two models on a text",
    .examples = "  recrank compare model.gguf model.q4_0.gguf text.txt\n",
    .notes = "Both read the tokens that A's tokenizer makes of the text's beginning. --adapter is "
             "merged "
             "into A alone.\n",
    .min_args = 3,
    .max_args = 3,
    .run = run,
};
