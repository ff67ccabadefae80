/* See asking.h. */
#include "tools/asking.h"

#include <string.h>
#include "engine/base/file.h"
#include "engine/base/sha256.h"

int asking_open(struct asking *a)
{
    for (int t = 0; t < RR_N_TASKS; t++) {
        struct rr_error err = {0};
        if (a->files[t] &&
            rr_template_load(&a->templates[t], (enum rr_task)t, a->files[t], &err) != 0) {
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
                {"hint-scores", RR_ASK(RR_POINTWISE)}};
    for (size_t i = 0; i < COUNT(only); i++)
        if (!(tasks & only[i].tasks) && args_given(opts, n_opts, only[i].option))
            return args_misuse(c, "--%s has no effect on what is asked", only[i].option);
    if (a->no_shift && a->lists > 1)
        return args_misuse(c, "--lists has no effect with --no-shift: all would be the same");
    if (a->no_hint && args_given(opts, n_opts, "hint-scores"))
        return args_misuse(c, "--hint-scores has no effect with --no-hint");
    return -1;
}

struct rr_prompt_style asking_style(const struct asking *a, const struct rr_dataset *d,
                                    long long seed)
{
    struct rr_prompt_style s = {.noun = d ? d->noun : NULL,
                                .nouns = d ? d->nouns : NULL,
                                .levels = d ? (int)d->rating_max : 0,
                                .like = d ? d->like : 0,
                                .dislike = d ? d->dislike : 0,
                                .max_rated = (int)a->history,
                                .max_liked = (int)a->history,
                                .max_disliked = (int)a->disliked,
                                .no_hints = a->no_hint,
                                .no_shift = a->no_shift,
                                .shuffle_history = a->history_order == 1,
                                .seed = (uint64_t)seed};
    for (int t = 0; t < RR_N_TASKS; t++)
        s.templates[t] = a->files[t] ? &a->templates[t] : NULL;
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
                                      .style = asking_style(a, d, seed)};
}

/* The first digits of a wording's sum: two wordings are two runs. */
static void describe_wording(struct rr_buf *out, enum rr_task task, const char *path)
{
    const char *text = rr_template_text(task);
    struct rr_map map = {0};
    struct rr_sha256 sum;
    char hex[65];
    rr_sha256_init(&sum);
    if (!path)
        rr_sha256_add(&sum, text, strlen(text));
    else if (rr_map_open(&map, path, NULL) == 0)
        rr_sha256_add(&sum, map.data, map.size);
    rr_sha256_hex(&sum, hex);
    rr_map_close(&map);
    rr_buf_printf(out, ", %s wording %.8s", rr_task_name(task), hex);
}

void asking_describe(struct rr_buf *out, const struct rr_ranker_options *o, const struct asking *a)
{
    const struct rr_prompt_style *s = &o->style;
    for (int t = 0, n = 0; t < RR_N_TASKS; t++)
        if (o->tasks >> t & 1)
            rr_buf_printf(out, "%s%s", n++ ? "+" : "", rr_task_name((enum rr_task)t));
    rr_buf_printf(out,
                  "; answers %s, hints %s, position shifting %s, history %s, at most %d titles and "
                  "%d disliked, %d round%s of pairs, %d list%s",
                  o->generate ? "generated" : "from logits", s->no_hints ? "off" : "on",
                  s->no_shift ? "off" : "on", s->shuffle_history ? "shuffled" : "chronological",
                  s->max_rated, s->max_disliked, o->pair_rounds, o->pair_rounds == 1 ? "" : "s",
                  o->list_shuffles, o->list_shuffles == 1 ? "" : "s");
    for (int t = 0; t < RR_N_TASKS; t++)
        if (o->tasks >> t & 1)
            describe_wording(out, (enum rr_task)t, a->files[t]);
}
