/* The public object: engine, model and ranker in one. See recrank.h. */
#include "rec/recrank.h"

#include "rec/rank/recipe.h"

struct rr_recrank {
    struct rr_engine engine;
    struct rr_weights weights;
    struct rr_recipe recipe;
    struct rr_ranker ranker;
    enum rr_order order;
    struct rr_reply reply;
    double *scores;
    size_t cap_scores;
};

const char *rr_version(void)
{
    return "0.1.0";
}

static int find_chat(enum rr_chat *chat, const struct rr_recrank *r, const char *name,
                     const char *path, struct rr_error *err)
{
    if (strcmp(name, "auto") == 0)
        return rr_weights_chat(chat, &r->weights, path, err);
    const int c = rr_chat_from_name(name);
    if (c < 0)
        return rr_fail(err, RR_ERR_USAGE, "CHAT_TEMPLATE", RR_NOWHERE,
                       "'%s'; expected auto, or one of " RR_CHAT_NAMES,
                       rr_show(name, strlen(name)).s);
    *chat = (enum rr_chat)c;
    return RR_OK;
}

static int open_parts(struct rr_recrank *r, const char *model, const char *tokenizer,
                      const struct rr_recrank_options *o, struct rr_error *err)
{
    const int level = o->cpu ? rr_cpu_level_from_name(o->cpu) : (int)rr_cpu_best();
    if (level < 0)
        return rr_fail(err, RR_ERR_USAGE, "CPU_LEVEL", RR_NOWHERE,
                       "'%s'; expected " RR_CPU_LEVEL_NAMES, o->cpu);
    int rc = rr_engine_init(&r->engine, o->n_threads, (enum rr_cpu_level)level, err);
    if (!rc)
        rc = rr_weights_open(&r->weights, model, tokenizer, err);
    if (!rc)
        rc = rr_weights_need_tokenizer(&r->weights, err);
    static const unsigned tasks[] = {RR_ASK_ALL, RR_ASK(RR_POINTWISE), RR_ASK(RR_PAIRWISE),
                                     RR_ASK(RR_LISTWISE), RR_ASK(RR_LIKELIHOOD)};
    if (!rc && ((unsigned)o->order >= sizeof tasks / sizeof tasks[0]))
        rc = rr_fail(err, RR_ERR_USAGE, "ORDER", RR_NOWHERE, "no order has number %d", o->order);
    const int cache = o->cache ? rr_cache_from_name(o->cache) : RR_CACHE_F32;
    if (!rc && cache < 0)
        rc = rr_fail(err, RR_ERR_USAGE, "CACHE", RR_NOWHERE, "'%s'; expected f32, f16 or q8_0",
                     o->cache);
    enum rr_chat chat = RR_CHAT_NONE;
    if (!rc && o->chat)
        rc = find_chat(&chat, r, o->chat, tokenizer ? tokenizer : model, err);
    if (rc)
        return rc;
    r->order = o->order;
    struct rr_ranker_options ro = {.n_context = o->n_context,
                                   .tasks = tasks[o->order],
                                   .cache = (enum rr_cache_type)cache,
                                   .chat = chat,
                                   .style = {.noun = o->noun,
                                             .nouns = o->nouns,
                                             .levels = o->rating_levels,
                                             .has_thresholds = o->like != 0 || o->dislike != 0,
                                             .like = o->like,
                                             .dislike = o->dislike,
                                             .max_rated = o->max_history,
                                             .max_liked = o->max_history,
                                             .seed = o->seed}};
    rc = rr_recipe_read(&r->recipe, &r->weights, err);
    rr_recipe_apply(&r->recipe, &ro);
    return rc ? rc
              : rr_ranker_init(&r->ranker, &r->engine, &r->weights.model, r->weights.tokenizer, &ro,
                               err);
}

int rr_recrank_open(struct rr_recrank **recrank, const char *model, const char *tokenizer,
                    const struct rr_recrank_options *options, struct rr_error *err)
{
    const struct rr_recrank_options none = {0};
    *recrank = NULL;
    struct rr_recrank *r = rr_zalloc(1, sizeof *r);
    if (!r)
        return rr_fail_memory(err, "recrank", sizeof *r);
    int rc = open_parts(r, model, tokenizer, options ? options : &none, err);
    if (rc) {
        rr_recrank_close(r);
        return rc;
    }
    *recrank = r;
    return RR_OK;
}

void rr_recrank_close(struct rr_recrank *r)
{
    if (!r)
        return;
    rr_ranker_release(&r->ranker);
    rr_recipe_free(&r->recipe);
    rr_weights_close(&r->weights);
    rr_engine_release(&r->engine);
    rr_reply_free(&r->reply);
    rr_free(r->scores);
    rr_free(r);
}

int rr_recrank_rank(struct rr_recrank *r, const struct rr_request *request, struct rr_ranked *out,
                    struct rr_error *err)
{
    if (request->n_candidates > 0 &&
        !rr_grow(&r->scores, &r->cap_scores, (size_t)request->n_candidates, sizeof *r->scores))
        return rr_fail_memory(err, "scores", (size_t)request->n_candidates * sizeof *r->scores);
    static const enum rr_method methods[] = {RR_BY_HYBRID, RR_BY_POINTWISE, RR_BY_PAIRWISE,
                                             RR_BY_LISTWISE, RR_BY_LIKELIHOOD};
    int rc = rr_ranker_ask(&r->ranker, request, &r->reply, err);
    if (rc)
        return rc;
    rr_reply_scores(r->scores, &r->reply, methods[r->order], NULL);
    rr_order_by_score(out, r->scores, request->n_candidates);
    return RR_OK;
}
