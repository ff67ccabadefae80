/* See asking.h. */
#include "tools/asking.h"

#include <string.h>
#include "rec/rank/recipe.h"
#include "rec/rank/retrieve.h"

int asking_open(struct asking *a)
{
    for (int t = 0; t < RR_N_TASKS; t++) {
        struct rr_error err = {0};
        const char *text = rr_template_text((enum rr_task)t);
        int rc = a->files[t]
                     ? rr_template_load(&a->templates[t], (enum rr_task)t, a->files[t], &err)
                     : rr_template_parse(&a->templates[t], (enum rr_task)t, text, strlen(text),
                                         "compiled template", &err);
        if (rc) {
            asking_close(a);
            return tool_fail(&err);
        }
    }
    return -1;
}

void asking_close(struct asking *a)
{
    for (int t = 0; t < RR_N_TASKS; t++)
        rr_template_free(&a->templates[t]);
}

int asking_chat(struct asking *a, const struct rr_weights *w, const char *path,
                const char *tokenizer)
{
    return tool_chat(&a->chat, a->chat_option, w, path, tokenizer);
}

int asking_recipe(struct asking *a, const struct rr_weights *w)
{
    struct rr_recipe r;
    struct rr_error err = {0};
    int rc = rr_recipe_read(&r, w, &err);
    for (int t = 0; t < RR_N_TASKS && !rc; t++)
        if (r.has[t] && !a->files[t]) {
            rr_template_free(&a->templates[t]);
            a->templates[t] = r.templates[t];
            r.templates[t] = (struct rr_template){0};
        }
    a->history = a->history ? a->history : r.history;
    a->titles = a->titles ? a->titles : r.titles;
    rr_recipe_free(&r);
    return rc ? tool_fail(&err) : -1;
}

int asking_check(const struct command *c, const struct asking *a, unsigned tasks,
                 const struct option *opts, size_t n_opts)
{
    /* The tasks that an option is about. */
    static const struct {
        const char *option;
        unsigned tasks;
    } only[] = {{"pair-rounds", RR_ASK(RR_PAIRWISE)},
                {"lists", RR_ASK(RR_LISTWISE)},
                {"no-shift", RR_ASK(RR_PAIRWISE) | RR_ASK(RR_LISTWISE)},
                {"disliked", RR_ASK(RR_PAIRWISE) | RR_ASK(RR_LISTWISE)},
                {"template-pointwise", RR_ASK(RR_POINTWISE)},
                {"template-pairwise", RR_ASK(RR_PAIRWISE)},
                {"template-listwise", RR_ASK(RR_LISTWISE)},
                {"hint-scores", RR_ASK(RR_POINTWISE)},
                {"titles", RR_ASK(RR_LIKELIHOOD)},
                {"per-token", RR_ASK(RR_LIKELIHOOD)},
                {"no-hint", RR_ASK_QUESTIONS},
                {"max-history", RR_ASK_QUESTIONS},
                {"history-order", RR_ASK_QUESTIONS},
                {"answers", RR_ASK_QUESTIONS},
                {"chat", RR_ASK_QUESTIONS}};
    for (size_t i = 0; i < COUNT(only); i++)
        if (!(tasks & only[i].tasks) && args_given(opts, n_opts, only[i].option))
            return args_misuse(c, "--%s has no effect on what is asked", only[i].option);
    if (a->no_shift && a->lists > 1)
        return args_misuse(c, "--lists has no effect with --no-shift: all would be the same");
    if (a->no_hint && args_given(opts, n_opts, "hint-scores"))
        return args_misuse(c, "--hint-scores has no effect with --no-hint");
    return -1;
}

static int on_user(void *arg, long long done, long long total)
{
    progress_step(arg, done, total);
    return tool_interrupted();
}

int asking_source(const struct asking *a, struct opened_data *d, const struct source_options *o,
                  const struct data_options *data, struct loaded *l, int user)
{
    struct rr_error err = {0};
    struct rr_ranker r = {0};
    struct progress p;
    if (!source_retrieves(o))
        return data_source(d, o, data, !a->no_hint);
    const struct rr_ranker_options ro =
        asking_ranker(a, &d->dataset, data->seed, RR_ASK(RR_LIKELIHOOD));
    const struct rr_retrieve_options so = {.k = (int)o->k + (o->history == 1),
                                           .user = user,
                                           .with_valid = o->history == 1,
                                           .progress = on_user,
                                           .progress_arg = &p};
    progress_start(&p, "retrieving");
    int rc = rr_ranker_init(&r, &l->engine, &l->weights.model, l->weights.tokenizer, &ro, &err);
    if (!rc)
        rc = rr_retrieve(&d->lists, &r, &d->split, &so, &err);
    progress_end(&p);
    rr_ranker_release(&r);
    snprintf(d->name, sizeof d->name, "likelihood");
    return rc ? tool_fail(&err) : data_source(d, o, data, !a->no_hint);
}

struct rr_prompt_style asking_style(const struct asking *a, const struct rr_dataset *d,
                                    long long seed)
{
    struct rr_prompt_style s = d ? rr_prompt_style_for(d, (uint64_t)seed)
                                 : (struct rr_prompt_style){.seed = (uint64_t)seed};
    s.max_rated = s.max_liked = a->history ? (int)a->history : 50;
    s.max_disliked = (int)a->disliked;
    s.no_hints = a->no_hint;
    s.no_shift = a->no_shift;
    s.shuffle_history = a->history_order == 1;
    for (int t = 0; t < RR_N_TASKS; t++)
        s.templates[t] = &a->templates[t];
    return s;
}

struct rr_ranker_options asking_ranker(const struct asking *a, const struct rr_dataset *d,
                                       long long seed, unsigned tasks)
{
    return (struct rr_ranker_options){.n_context = (int)a->context,
                                      .tasks = tasks,
                                      .pair_rounds = (int)a->pair_rounds,
                                      .list_shuffles = (int)a->lists,
                                      .generate = a->answers == 1,
                                      .n_titles = a->titles ? (int)a->titles : 20,
                                      .per_token = a->per_token,
                                      .chat = a->chat,
                                      .cache = (enum rr_cache_type)a->cache,
                                      .style = asking_style(a, d, seed)};
}

void asking_describe(struct rr_buf *out, const struct rr_ranker_options *o)
{
    const struct rr_prompt_style *s = &o->style;
    for (int t = 0, n = 0; t < RR_N_SIGNALS; t++)
        if (o->tasks >> t & 1)
            rr_buf_printf(out, "%s%s", n++ ? "+" : "", rr_task_name((enum rr_task)t));
    rr_buf_printf(out,
                  "; answers %s, hints %s, position shifting %s, history %s, at most %d titles and "
                  "%d disliked, %d round%s of pairs, %d list%s",
                  o->generate ? "generated" : "from logits", s->no_hints ? "off" : "on",
                  s->no_shift ? "off" : "on", s->shuffle_history ? "shuffled" : "chronological",
                  s->max_rated, s->max_disliked, o->pair_rounds, o->pair_rounds == 1 ? "" : "s",
                  o->list_shuffles, o->list_shuffles == 1 ? "" : "s");
    if (o->tasks & RR_ASK(RR_LIKELIHOOD))
        rr_buf_printf(out, ", likelihood behind %d titles%s", o->n_titles,
                      o->per_token ? " per token" : "");
    if (o->chat)
        rr_buf_printf(out, ", chat template %s", rr_chat_name(o->chat));
    if (o->cache != RR_CACHE_F32)
        rr_buf_printf(out, ", cache in %s", rr_cache_name(o->cache));
    for (int t = 0; t < RR_N_TASKS; t++)
        if (o->tasks >> t & 1)
            rr_buf_printf(out, ", %s wording %s", rr_task_name((enum rr_task)t),
                          s->templates[t]->digest);
}
