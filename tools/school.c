/* See school.h. */
#include "tools/school.h"

#include "engine/base/check.h"

int school_check(const struct command *c, struct school_options *o)
{
    enum { MOST = 65536 };
    const struct training_part parts[] = {{"dim=", &o->dim, 1, MOST},
                                          {"layers=", &o->layers, 1, MOST},
                                          {"heads=", &o->heads, 1, MOST},
                                          {"kv=", &o->kv_heads, 1, MOST},
                                          {"ff=", &o->ff, 1, MOST}};
    if (training_parse_parts(o->shape, parts, COUNT(parts)) && o->dim % o->heads == 0 &&
        o->heads % o->kv_heads == 0 && o->dim / o->heads % 2 == 0 && o->layers <= 1024)
        return -1;
    return args_misuse(c,
                       "--shape is '%s'; expected dim=128,layers=4,heads=4,kv=2,ff=384 or a "
                       "part of it: heads dividing dim into even parts, kv dividing heads",
                       o->shape ? o->shape : "");
}

static int make_network(struct school *s, double dropout, struct rr_error *err)
{
    const struct school_options *o = s->o;
    const struct rr_hparams h = {.n_layers = o->layers,
                                 .n_embd = o->dim,
                                 .n_heads = o->heads,
                                 .n_kv_heads = o->kv_heads,
                                 .head_dim = o->dim / o->heads,
                                 .n_ff = o->ff,
                                 .n_vocab = (int)s->vocab.n,
                                 .n_context = rr_max_int(1024, rr_corpus_longest(&s->corpus)),
                                 .rms_eps = 1e-5,
                                 .rope = {.theta = 10000, .interleaved = true}};
    return rr_lm_make(&s->lm, &h, true, &(struct rr_lm_options){.dropout = dropout},
                      (uint64_t)s->seed, err);
}

int school_open(struct school *s, const struct school_options *o, const struct opened_data *d,
                const struct model_options *engine, double dropout, long long seed,
                struct rr_error *err)
{
    *s = (struct school){.o = o, .d = d, .seed = seed};
    const int level = engine->cpu ? rr_cpu_level_from_name(engine->cpu) : (int)rr_cpu_best();
    if (level < 0)
        return rr_fail(err, RR_ERR_USAGE, "CPU_LEVEL", RR_NOWHERE,
                       "--cpu is '%s'; expected " RR_CPU_LEVEL_NAMES, engine->cpu);
    int rc = rr_engine_init(&s->engine, (int)engine->threads, (enum rr_cpu_level)level, err);
    if (!rc)
        rc = rr_corpus_vocabulary(&s->vocab, &s->arena, &d->split, (int)o->vocab, o->whole, err);
    if (!rc)
        rc = rr_tokenizer_open(&s->tokenizer, &s->vocab, d->dataset.name, err);
    if (!rc)
        rc = rr_corpus_make(&s->corpus, &d->split, s->tokenizer, (int)o->window, err);
    s->corpus.skip = o->skip;
    s->corpus.stir = o->stir;
    return rc ? rc : make_network(s, dropout, err);
}

void school_close(struct school *s)
{
    rr_lm_free(&s->lm);
    rr_corpus_free(&s->corpus);
    rr_tokenizer_close(s->tokenizer);
    rr_arena_free(&s->arena);
    rr_engine_release(&s->engine);
}

void school_describe(struct rr_buf *out, const struct school *s, const struct training_options *t)
{
    const struct school_options *o = s->o;
    rr_buf_printf(out,
                  "data %s, %s, split %d; vocabulary %lld%s; shape %d %d %d %d %d; window %lld "
                  "skip %g stir %g; ",
                  s->d->dataset.fingerprint, s->d->dataset.settings, (int)s->d->split.order,
                  o->vocab, o->whole ? " whole titles" : "", o->dim, o->layers, o->heads,
                  o->kv_heads, o->ff, o->window, o->skip, o->stir);
    training_describe(out, t);
    rr_buf_printf(out, "; seed %lld; cpu %s", s->seed, rr_cpu_level_name(s->engine.kernels.level));
}

int school_pretrain(struct school *s, const struct training_options *t, const char *checkpoint,
                    const char *identity, struct rr_train_report *r, struct rr_error *err)
{
    struct training shown = {.of = "validation title"};
    struct rr_train_options o;
    if (!t->json)
        fprintf(stderr, "%zu parameters, %zu pieces, %d tokens in the longest title\n",
                s->lm.n_values, s->vocab.n, s->corpus.longest);
    if (t->rows < rr_corpus_longest(&s->corpus))
        fprintf(stderr, "steps of %d tokens: a window of %lld titles may take as many\n",
                rr_corpus_longest(&s->corpus), s->o->window);
    training_fill(&o, &shown, t, s->seed);
    o.checkpoint = checkpoint;
    o.identity = identity;
    progress_start(&shown.progress, "pretraining");
    int rc = rr_pretrain(r, &s->lm, &s->engine, &s->corpus, &o, err);
    progress_end(&shown.progress);
    return rc;
}
