/* See learn.h. */
#include "rec/learn/learn.h"

#include <string.h>
#include "rec/learn/wording.h"

struct collector {
    struct rr_instructions *in;
    const struct rr_dataset *d;
    const struct rr_tokenizer *t;
    const struct rr_learn_options *o;
};

static int collect(void *arg, const struct rr_instruction *x, struct rr_error *err)
{
    const struct collector *c = arg;
    const struct rr_prompt *p = x->prompt;
    const char *text = p->text.data, *user = c->d->user_ids[x->user];
    const struct rr_instruction_text parts = {.system = text,
                                              .n_system = p->system_end,
                                              .user = text + p->user_begin,
                                              .n_user = p->user_end - p->user_begin,
                                              .answer = x->answer,
                                              .n_answer = strlen(x->answer)};
    return rr_instructions_add(c->in, c->t, &parts, c->o->n_context,
                               rr_instructions_validates(user, strlen(user), c->o->seed),
                               RR_AT_OBJECT("instructions", user), err);
}

int rr_learn_draws(const struct rr_dataset *d)
{
    const int most = 20000, each = 32;
    return d->n_users > most / each ? most : d->n_users * each;
}

struct rr_prompt_style rr_learn_style(const struct rr_dataset *d,
                                      const struct rr_template *templates, uint64_t seed)
{
    struct rr_prompt_style s = rr_prompt_style_for(d, seed);
    for (int t = 0; t < RR_N_TASKS; t++)
        s.templates[t] = &templates[t];
    s.max_rated = s.max_liked = RR_LEARN_TITLES;
    return s;
}

int rr_learn_instructions(struct rr_instructions *in, struct rr_instruct_report *report,
                          const struct rr_split *split, const struct rr_tokenizer *t,
                          const struct rr_template *templates, const struct rr_learn_options *o,
                          struct rr_error *err)
{
    struct collector c = {in, split->data, t, o};
    struct rr_instruct_options io = {
        .sampling = {.n = o->n_draws ? o->n_draws : rr_learn_draws(split->data),
                     .no_clustering = !o->embeddings || o->uniform,
                     .no_importance = o->uniform,
                     .no_penalty = o->uniform,
                     .seed = o->seed},
        .folds = {.n = o->in_sample ? 1 : 5,
                  .kind = o->hints,
                  .fit = {.progress = o->progress, .progress_arg = o->progress_arg},
                  .seed = o->seed},
        .style = rr_learn_style(split->data, templates, o->seed),
        .in_sample = o->in_sample,
        .next = !o->paper,
        .seed = o->seed};
    io.style.no_hints = o->no_hints;
    io.style.no_shift = o->no_shift;
    return rr_instruct(report, split, o->embeddings, o->dim, &io, collect, &c, err);
}
