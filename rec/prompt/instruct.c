/* See instruct.h. */
#include "rec/prompt/instruct.h"

#include <math.h>
#include <stdlib.h>
#include "engine/base/mem.h"
#include "rec/prompt/maker.h"

static int find_rated(const struct rr_split *s, int user, int item)
{
    for (size_t i = s->rated_start[user]; i < s->rated_start[user + 1]; i++)
        if (s->rated[i].item == item)
            return (int)i;
    return -1;
}

static bool held_out(const struct rr_split *s, int user, int item)
{
    return s->valid[user].item == item || s->test[user].item == item;
}

/* A training item that the user has not liked (or, with `unrated`, not rated), and that is not
 * among taken[n]; -1: none found. */
static int draw_other(struct rr_maker *m, bool unrated, const int *taken, int n)
{
    const struct rr_split *s = m->split;
    for (int tries = 0; tries < 10000; tries++) {
        const int item = m->pool[rr_rng_below(&m->rng, (uint64_t)m->n_pool)];
        const int at = find_rated(s, m->user, item);
        bool good = at < 0 || (!unrated && s->rated[at].value < s->data->like);
        for (int i = 0; i < n; i++)
            good = good && taken[i] != item;
        if (good && !(m->o->official && held_out(s, m->user, item)))
            return item;
    }
    return -1;
}

/* The user's training ratings as history, without the items of the instruction: the second of a
 * pair may be one that is disliked, and would tell the answer as well. */
static void make_history(struct rr_maker *m, struct rr_request *q, const struct rr_instruction *in)
{
    const struct rr_split *s = m->split;
    q->history = m->history;
    q->n_history = 0;
    for (size_t i = s->rated_start[m->user]; i < s->rated_start[m->user + 1]; i++) {
        bool shown = true;
        for (int a = 0; a < in->n_items && !m->o->official; a++)
            shown = shown && s->rated[i].item != in->items[a];
        if (shown)
            m->history[q->n_history++] =
                (struct rr_rated){s->data->titles[s->rated[i].item], s->rated[i].value};
    }
}

int rr_maker_finish(struct rr_maker *m, struct rr_instruction *in, const struct rr_request *q,
                    const struct rr_question *question)
{
    int rc = rr_prompt_make(&m->prompt, &m->prompter, q, question, m->err);
    if (!rc && m->answer.failed)
        rc = rr_fail_memory(m->err, "answer", m->answer.n);
    in->task = question->task;
    in->user = m->user;
    in->prompt = &m->prompt;
    in->answer = m->answer.data;
    in->request = q;
    return rc ? rc : m->emit(m->arg, in, m->err);
}

void rr_maker_begin_answer(struct rr_maker *m, enum rr_task task)
{
    rr_buf_clear(&m->answer);
    rr_template_render(&m->answer, m->prompter.style.templates[task], RR_SECTION_ANSWER, NULL,
                       NULL);
    rr_buf_puts(&m->answer, " ");
}

void rr_maker_answer_pair(struct rr_maker *m, const char *preferred, bool first)
{
    if (m->prompter.style.templates[RR_PAIRWISE]->title_answer)
        rr_prompt_add_title(&m->answer, preferred);
    else
        rr_buf_puts(&m->answer, first ? "Yes." : "No.");
}

/* The model that has not seen a rating; NULL: no hints are shown. */
static const struct rr_fold_model *model_of(const struct rr_maker *m, size_t rated)
{
    if (m->o->style.no_hints)
        return NULL;
    return &m->folds->models[m->folds->n > 1 ? m->folds->of[rated] : 0];
}

/* The recommender's order of items[n], best first, in order[n]. Ties are shuffled first, or the
 * order in which the items stand here would show the answer. */
static void conventional_order(struct rr_maker *m, const struct rr_fold_model *model, int *order,
                               const int *items, int n)
{
    if (model)
        rr_backbone_scores(&model->backbone, &model->split, m->user, m->scores);
    for (int i = 0; i < n; i++)
        order[i] = i;
    if (!m->o->official)
        rr_rng_shuffle(&m->rng, order, (size_t)n);
    for (int i = 1; i < n; i++) {
        const int x = order[i];
        int at = i;
        for (; at > 0 && model && !m->o->tied_scores &&
               m->scores[items[x]] > m->scores[items[order[at - 1]]];
             at--)
            order[at] = order[at - 1];
        order[at] = x;
    }
}

static int make_pointwise(struct rr_maker *m, int *made)
{
    const struct rr_split *s = m->split;
    const size_t from = s->rated_start[m->user], n = s->rated_start[m->user + 1] - from;
    if (!n)
        return RR_OK;
    const size_t at = from + (size_t)rr_rng_below(&m->rng, n);
    const struct rr_rating *r = &s->rated[at];
    const struct rr_fold_model *model = model_of(m, at);
    struct rr_instruction in = {.items = {r->item},
                                .n_items = 1,
                                .n_answers = 1,
                                .hint_split = model ? &model->split : NULL};
    struct rr_request q = {.candidates = m->asked, .n_candidates = 1, .id = m->draw};
    m->asked[0] =
        (struct rr_asked){s->data->titles[r->item],
                          !model           ? RR_NO_HINT
                          : m->o->official ? r->value
                                           : rr_rating_predict(&model->ratings, m->user, r->item)};
    make_history(m, &q, &in);
    rr_maker_begin_answer(m, RR_POINTWISE);
    rr_buf_printf(&m->answer, "%d", (int)fmax(1, floor((double)r->value + 0.5)));
    ++*made;
    return rr_maker_finish(m, &in, &q, &(struct rr_question){.task = RR_POINTWISE});
}

static int make_pairwise(struct rr_maker *m, int *made)
{
    const struct rr_split *s = m->split;
    const size_t from = s->train_start[m->user], n = s->train_start[m->user + 1] - from;
    if (!n)
        return RR_OK;
    const int liked = s->train[from + (size_t)rr_rng_below(&m->rng, n)].item;
    const int other = draw_other(m, false, &liked, 1);
    if (other < 0)
        return RR_OK;
    const struct rr_fold_model *model = model_of(m, (size_t)find_rated(s, m->user, liked));
    struct rr_instruction in = {.items = {liked, other},
                                .n_items = 2,
                                .n_answers = 1,
                                .hint_split = model ? &model->split : NULL};
    struct rr_request q = {
        .candidates = m->asked, .n_candidates = 2, .order_is_hint = 1, .id = m->draw};
    int order[2];
    conventional_order(m, model, order, in.items, 2);
    for (int i = 0; i < 2; i++)
        m->asked[i] = (struct rr_asked){s->data->titles[in.items[order[i]]], RR_NO_HINT};
    make_history(m, &q, &in);
    /* A fair coin, unless position shifting is off: then the liked one is asked for first. */
    const int at = order[0] == 0 ? 0 : 1;
    const bool turned = !m->prompter.style.no_shift && rr_rng_below(&m->rng, 2);
    rr_maker_begin_answer(m, RR_PAIRWISE);
    rr_maker_answer_pair(m, s->data->titles[liked], !turned);
    ++*made;
    return rr_maker_finish(m, &in, &q,
                           &(struct rr_question){.task = RR_PAIRWISE,
                                                 .a = turned ? 1 - at : at,
                                                 .b = turned ? at : 1 - at});
}

static int make_listwise(struct rr_maker *m, int *made)
{
    const struct rr_split *s = m->split;
    const int n_sets = m->folds->n_sets[m->user];
    if (!n_sets)
        return RR_OK;
    const int *set = m->folds->sets + s->rated_start[m->user] +
                     (size_t)rr_rng_below(&m->rng, (uint64_t)n_sets) * RR_SET_SIZE;
    const struct rr_fold_model *model = model_of(m, (size_t)set[0]);
    struct rr_instruction in = {.n_items = RR_LIST_SIZE,
                                .n_answers = RR_SET_SIZE,
                                .hint_split = model ? &model->split : NULL};
    for (int i = 0; i < RR_SET_SIZE; i++)
        in.items[i] = s->rated[set[i]].item;
    for (int i = RR_SET_SIZE; i < RR_LIST_SIZE; i++)
        if ((in.items[i] = draw_other(m, true, in.items, i)) < 0)
            return RR_OK;
    struct rr_request q = {
        .candidates = m->asked, .n_candidates = RR_LIST_SIZE, .order_is_hint = 1, .id = m->draw};
    int order[RR_LIST_SIZE], shown[RR_LIST_SIZE];
    conventional_order(m, model, order, in.items, RR_LIST_SIZE);
    for (int i = 0; i < RR_LIST_SIZE; i++)
        m->asked[i] = (struct rr_asked){s->data->titles[in.items[order[i]]], RR_NO_HINT};
    make_history(m, &q, &in);
    rr_prompt_list_order(shown, RR_LIST_SIZE, &m->prompter.style, q.id, 0);
    rr_maker_begin_answer(m, RR_LISTWISE);
    for (int i = 0; i < RR_SET_SIZE; i++) {
        rr_buf_puts(&m->answer, i ? ", " : "");
        rr_prompt_add_title(&m->answer, s->data->titles[in.items[i]]);
    }
    ++*made;
    return rr_maker_finish(m, &in, &q, &(struct rr_question){.task = RR_LISTWISE, .shown = shown});
}

static int make_draw(struct rr_maker *m, struct rr_instruct_report *report)
{
    static int (*const makers[RR_N_TASKS])(struct rr_maker *,
                                           int *) = {make_pointwise, make_pairwise, make_listwise};
    int made[RR_N_TASKS] = {0};
    int rc = m->next ? rr_next_draw(m, made) : RR_OK;
    for (int t = 0; t < RR_N_TASKS && !rc; t++) {
        if (m->o->tasks && !(m->o->tasks >> t & 1))
            continue;
        rr_rng_stream(&m->rng, m->o->seed + 1, m->draw * RR_N_TASKS + (uint64_t)t);
        if (!m->next)
            rc = makers[t](m, &made[t]);
        report->n[t] += made[t];
        report->n_without[t] += !made[t];
    }
    return rc;
}

static int prepare(struct rr_maker *m, const struct rr_split *split, struct rr_error *err)
{
    const struct rr_dataset *d = split->data;
    size_t longest = 0;
    for (int u = 0; u < d->n_users; u++) {
        const size_t n = split->rated_start[u + 1] - split->rated_start[u];
        longest = n > longest ? n : longest;
    }
    m->history = rr_alloc(longest, sizeof *m->history);
    m->scores = rr_alloc((size_t)d->n_items, sizeof *m->scores);
    m->pool = rr_alloc((size_t)d->n_items, sizeof *m->pool);
    if (!m->history || !m->scores || !m->pool)
        return rr_fail_memory(err, "instructions", longest * sizeof *m->history);
    for (int i = 0; i < d->n_items; i++)
        if (split->train_count[i])
            m->pool[m->n_pool++] = i;
    return rr_prompter_init(&m->prompter, &m->o->style, err);
}

int rr_instruct(struct rr_instruct_report *report, const struct rr_split *split,
                const float *embeddings, int dim, const struct rr_instruct_options *o,
                rr_instruction_fn *emit, void *arg, struct rr_error *err)
{
    struct rr_maker m = {.split = split, .o = o, .emit = emit, .arg = arg, .err = err};
    struct rr_folds_options fo = o->folds;
    struct rr_folds folds = {0};
    *report = (struct rr_instruct_report){0};
    fo.n = o->official || o->in_sample ? 1 : fo.n;
    fo.deal_only = o->style.no_hints && !o->next;
    if (!o->official && !o->in_sample && fo.n < 2)
        return rr_fail(err, RR_ERR_USAGE, "FOLDS", RR_NOWHERE, "%d folds; expected 2 to 64", fo.n);
    int rc = rr_sampling_draw(&report->sampling, split, embeddings, dim, &o->sampling, err);
    if (!rc)
        rc = prepare(&m, split, err);
    if (!rc)
        rc = rr_folds_make(&folds, split, &fo, err);
    m.folds = &folds;
    if (!rc && o->next)
        rc = rr_next_open(&m, err);
    for (int i = 0; i < report->sampling.n && !rc; i++) {
        m.user = report->sampling.users[i];
        m.draw = (uint64_t)i;
        rc = make_draw(&m, report);
    }
    rr_next_close(&m);
    rr_folds_free(&folds);
    rr_prompter_release(&m.prompter);
    rr_prompt_free(&m.prompt);
    rr_buf_free(&m.answer);
    rr_free(m.history);
    rr_free(m.scores);
    rr_free(m.pool);
    return rc;
}
