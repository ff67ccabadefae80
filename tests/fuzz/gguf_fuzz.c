/* GGUF bytes: the container, the tokenizer in it, and, when its numbers make a model, the binding
 * and two tokens of it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "engine/session.h"
#include "weights/gguf.h"
#include "weights/weights.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile unsigned sink;

/* Every byte the parser vouches for can be read. */
static void touch(const unsigned char *p, uint64_t n)
{
    unsigned sum = 0;
    for (uint64_t i = 0; i < n; i++)
        sum += p[i];
    sink = sum;
}

static void tokenize(struct rr_gguf *g)
{
    static const char text[] = "the cat \xC3\xA9 <s> \xFF";
    struct rr_tokenizer *t;
    struct rr_encoding e = {0};
    struct rr_error err = {0};
    if (rr_tokenizer_from_gguf(&t, g, &err) != 0 || !t)
        return;
    if (rr_tokenizer_encode(t, &e, text, sizeof text - 1, &err) == 0) {
        struct rr_buf out = {0};
        if (rr_tokenizer_decode(t, &out, e.ids, e.n, &err) != 0)
            abort();
        rr_buf_free(&out);
    }
    rr_encoding_free(&e);
    rr_tokenizer_close(t);
}

static int number(const struct rr_gguf *g, const char *key, int fallback)
{
    int64_t v = fallback;
    struct rr_error err = {0};
    return rr_gguf_get_int(&v, g, key, &err) == 0 && v > 0 && v < 1 << 24 ? (int)v : 0;
}

/* What gguf_model.c reads, without a file. */
static void read_hparams(struct rr_hparams *h, const struct rr_gguf *g)
{
    *h = (struct rr_hparams){.n_layers = number(g, "llama.block_count", 0),
                             .n_embd = number(g, "llama.embedding_length", 0),
                             .n_heads = number(g, "llama.attention.head_count", 0),
                             .n_ff = number(g, "llama.feed_forward_length", 0),
                             .n_context = number(g, "llama.context_length", 0),
                             .rms_eps = 1e-5};
    h->n_kv_heads = number(g, "llama.attention.head_count_kv", h->n_heads);
    h->head_dim = h->n_heads ? h->n_embd / h->n_heads : 0;
    h->rope.theta = 10000;
    h->rope.interleaved = true;
    for (size_t i = 0; i < g->n_tensors; i++)
        if (strcmp(g->tensors[i].name, rr_names_gguf.embed) == 0 &&
            g->tensors[i].shape[0] < 1 << 24)
            h->n_vocab = (int)g->tensors[i].shape[0];
}

static void compute(const struct rr_model *m)
{
    static struct rr_engine e;
    static int ready;
    struct rr_error err = {0};
    struct rr_session *s;
    const int ids[2] = {0, m->h.n_vocab - 1};
    int node;
    float logit;
    if (m->h.n_embd > 64 || m->h.n_ff > 256 || m->h.n_layers > 4 || m->h.n_vocab > 4096)
        return;
    if (!ready && rr_engine_init(&e, 1, RR_CPU_C, &err) != 0)
        abort();
    ready = 1;
    const struct rr_session_options o = {
        .n_cells = 16, .n_context = 2, .n_batch = 16, .n_nodes = 2};
    if (rr_session_open(&s, &e, m, &o, &err) != 0)
        return;
    const struct rr_want want = {.offset = 1, .ids = ids, .n_ids = 1, .logits = &logit};
    if (rr_session_branch(s, -1, 2, &node, &err) == 0)
        (void)rr_session_eval(s, &(struct rr_feed){node, ids, 2}, 1, &want, 1,
                              &err); /* may tell of NaN */
    rr_session_close(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rr_gguf g;
    struct rr_error err = {0};
    if (rr_gguf_parse(&g, data, size, "fuzz.gguf", &err) != 0) {
        if (!err.code[0] || !err.text[0] || err.status != RR_ERR_DATA)
            abort();
        return 0;
    }
    for (size_t i = 0; i < g.n_kvs; i++)
        touch(g.kvs[i].data, g.kvs[i].n_bytes);
    for (size_t i = 0; i < g.n_tensors; i++)
        touch(g.tensors[i].data, g.tensors[i].n_bytes);
    tokenize(&g);
    struct rr_model m = {0};
    struct rr_arena arena = {0};
    read_hparams(&m.h, &g);
    if (rr_hparams_check(&m.h, "fuzz.gguf", &err) == 0 &&
        rr_bind_tensors(&m, &arena, g.tensors, g.n_tensors, &rr_names_gguf, "fuzz.gguf", &err) == 0)
        compute(&m);
    rr_arena_free(&arena);
    rr_gguf_free(&g);
    return 0;
}
