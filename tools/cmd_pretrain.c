/* recrank pretrain: a small LLaMA that knows a catalogue, from nothing. */
#include <math.h>
#include <string.h>
#include "engine/base/check.h"
#include "engine/base/file.h"
#include "rec/learn/pretrain.h"
#include "tools/training.h"

struct settings {
    struct data_options data;
    struct model_options engine; /* threads and cpu */
    const char *output, *shape;
    struct training_options training;
    long long vocab, window;
    bool whole;
    int dim, layers, heads, kv_heads, ff;
};

static bool parse_shape(struct settings *s)
{
    enum { MOST = 65536 };
    const struct training_part parts[] = {{"dim=", &s->dim, MOST},
                                          {"layers=", &s->layers, MOST},
                                          {"heads=", &s->heads, MOST},
                                          {"kv=", &s->kv_heads, MOST},
                                          {"ff=", &s->ff, MOST}};
    return training_parse_parts(s->shape, parts, COUNT(parts));
}

/* Everything the weights depend on, in one line. */
static void describe(struct rr_buf *out, const struct settings *s, const struct opened_data *d,
                     const struct rr_engine *e)
{
    rr_buf_printf(out,
                  "data %s, %s, split %d; vocabulary %lld%s; shape %d %d %d %d %d; window %lld; ",
                  d->dataset.fingerprint, d->dataset.settings, (int)d->split.order, s->vocab,
                  s->whole ? " whole titles" : "", s->dim, s->layers, s->heads, s->kv_heads, s->ff,
                  s->window);
    training_describe(out, &s->training);
    rr_buf_printf(out, "; seed %lld; cpu %s", s->data.seed, rr_cpu_level_name(e->kernels.level));
}

static int train(const struct settings *s, struct opened_data *d, struct rr_engine *e,
                 const struct rr_vocab *v, const struct rr_corpus *c, struct rr_error *err)
{
    const int longest = c->n_head + c->window * c->longest;
    const struct rr_hparams h = {.n_layers = s->layers,
                                 .n_embd = s->dim,
                                 .n_heads = s->heads,
                                 .n_kv_heads = s->kv_heads,
                                 .head_dim = s->dim / s->heads,
                                 .n_ff = s->ff,
                                 .n_vocab = (int)v->n,
                                 .n_context = rr_max_int(1024, longest),
                                 .rms_eps = 1e-5,
                                 .rope = {.theta = 10000, .interleaved = true}};
    struct rr_lm lm;
    struct rr_buf identity = {0}, checkpoint = {0};
    struct rr_train_report r;
    struct training t = {.of = "validation title"};
    struct rr_train_options o;
    int rc = rr_lm_make(&lm, &h, true, &(struct rr_lm_options){.dropout = s->training.dropout},
                        (uint64_t)s->data.seed, err);
    if (rc)
        return rc;
    describe(&identity, s, d, e);
    if (!rr_path_is_special(s->output))
        rr_buf_printf(&checkpoint, "%s.checkpoint", s->output);
    if (!s->training.json)
        fprintf(stderr, "%zu parameters, %zu pieces, %d tokens in the longest title\n", lm.n_values,
                v->n, c->longest);
    if (s->training.rows < longest)
        fprintf(stderr, "steps of %d tokens: a window of %lld titles may take as many\n", longest,
                s->window);
    training_fill(&o, &t, &s->training, s->data.seed);
    o.checkpoint = checkpoint.data;
    o.identity = identity.data;
    progress_start(&t.progress, "pretraining");
    rc = identity.failed || checkpoint.failed ? rr_fail_memory(err, "options", identity.n)
                                              : rr_pretrain(&r, &lm, e, c, &o, err);
    progress_end(&t.progress);
    if (!rc)
        rc = training_write(s->output, &lm, v, NULL, 0, err);
    if (!rc && !s->training.json && isnan(r.best_loss))
        printf("%s: the last pass, %lld steps, %lld tokens\n", s->output, r.steps, r.tokens);
    else if (!rc && !s->training.json)
        printf("%s: pass %d, %.4f per validation title, %lld steps, %lld tokens\n", s->output,
               r.best_pass, r.best_loss, r.steps, r.tokens);
    rr_buf_free(&identity);
    rr_buf_free(&checkpoint);
    rr_lm_free(&lm);
    return rc;
}

static int pretrain(const struct settings *s, struct opened_data *d)
{
    struct rr_engine e = {0};
    struct rr_arena arena = {0};
    struct rr_vocab v = {0};
    struct rr_tokenizer *t = NULL;
    struct rr_corpus c = {0};
    struct rr_error err = {0};
    int level = s->engine.cpu ? rr_cpu_level_from_name(s->engine.cpu) : (int)rr_cpu_best();
    int rc = level < 0 ? rr_fail(&err, RR_ERR_USAGE, "CPU_LEVEL", RR_NOWHERE,
                                 "--cpu is '%s'; expected c, avx2 or avx512", s->engine.cpu)
                       : rr_engine_init(&e, (int)s->engine.threads, (enum rr_cpu_level)level, &err);
    if (!rc)
        rc = rr_corpus_vocabulary(&v, &arena, &d->split, (int)s->vocab, s->whole, &err);
    if (!rc)
        rc = rr_tokenizer_open(&t, &v, s->data.dir, &err);
    if (!rc)
        rc = rr_corpus_make(&c, &d->split, t, (int)s->window, &err);
    if (!rc)
        rc = train(s, d, &e, &v, &c, &err);
    rr_corpus_free(&c);
    rr_tokenizer_close(t);
    rr_arena_free(&arena);
    rr_engine_release(&e);
    return rc ? tool_fail(&err) : tool_finish();
}

static int run(const struct command *c, int argc, char **argv)
{
    struct settings s = {.data = DATA_OPTIONS_INIT,
                         .vocab = 4096,
                         .window = 30,
                         .training = {.passes = 30,
                                      .rows = 4096,
                                      .warmup = 100,
                                      .rate = 2e-3,
                                      .decay = 0.1,
                                      .dropout = 0.1},
                         .dim = 128,
                         .layers = 4,
                         .heads = 4,
                         .kv_heads = 2,
                         .ff = 384};
    struct option opts[] = {
        {"output", 'o', OPT_TEXT, &s.output, "FILE", "where to write the GGUF model", 0, 0, false},
        {"shape", 0, OPT_TEXT, &s.shape, "dim=128,layers=4,heads=4,kv=2,ff=384",
         "the network, any part of it", 0, 0, false},
        {"vocab", 0, OPT_INT, &s.vocab, "N", "pieces of its vocabulary", 259, 1 << 20, false},
        {"whole-titles", 0, OPT_FLAG, &s.whole, NULL, "pieces may span words, up to whole titles",
         0, 0, false},
        {"window", 0, OPT_INT, &s.window, "N", "titles of a window", 2, 1000, false},
        TRAINING_OPTION_ROWS(s.training),
        DATA_OPTION_ROWS(s.data),
        ENGINE_OPTION_ROWS(s.engine),
    };
    struct args a;
    struct opened_data d;
    int rc = args_parse(&a, c, opts, COUNT(opts), argc, argv);
    if (rc >= 0)
        return rc;
    if (!s.output)
        return args_misuse(c, "--output is needed");
    if (!parse_shape(&s) || s.dim % s.heads)
        return args_misuse(c,
                           "--shape is '%s'; expected dim=128,layers=4,heads=4,kv=2,ff=384 or a "
                           "part of it, heads dividing dim",
                           s.shape ? s.shape : "");
    tool_catch_interrupt();
    struct rr_error err = {0};
    if (rr_out_check(s.output, &err) != 0) /* before the work, not after it */
        return tool_fail(&err);
    if ((rc = data_open(&d, c, &s.data)) >= 0)
        return rc;
    rc = data_verdict(&d.dataset);
    if (!rc)
        rc = pretrain(&s, &d);
    data_close(&d);
    return rc;
}

const struct command cmd_pretrain = {
    .name = "pretrain",
    .synopsis = "--data PATH -o model.gguf [--shape dim=128,layers=4,...] [--passes 30]",
    .summary = "train a small LLaMA on a catalogue and what is liked after what",
    .examples = "  recrank pretrain --data ml-100k -o base.gguf\n"
                "  recrank pretrain --data ml-100k --shape dim=64,layers=2,ff=192 --passes 20 -o "
                "small.gguf\n",
    .notes = "It learns its vocabulary, then the users' liked titles in order, from training likes "
             "alone; the pass with the least loss on\nvalidation titles is written. A run that is "
             "stopped or killed goes on from its last pass (FILE.checkpoint) and ends in the\nsame "
             "bytes.\n",
    .min_args = 0,
    .max_args = 0,
    .run = run,
};
