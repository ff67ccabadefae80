/* See asking.h. */
#include "tools/asking.h"

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

/* The first digits of a template file's sum: two wordings are two runs. */
static void describe_template(struct rr_buf *out, enum rr_task task, const char *path)
{
    struct rr_map map;
    struct rr_sha256 sum;
    char hex[65];
    if (rr_map_open(&map, path, NULL) != 0)
        return;
    rr_sha256_init(&sum);
    rr_sha256_add(&sum, map.data, map.size);
    rr_sha256_hex(&sum, hex);
    rr_map_close(&map);
    rr_buf_printf(out, ", %s template %.12s", rr_task_name(task), hex);
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
        if (a->files[t])
            describe_template(out, (enum rr_task)t, a->files[t]);
}
