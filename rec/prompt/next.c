/* Instructions about the next liked title: what is asked of the model when it ranks, asked of the
 * past. A case is a training like that a model which has not seen it (the fold's) has among its
 * best candidates for the user; shown are the ratings before it, and those candidates. So the
 * wrong answers are what a recommender would propose, and hints are as good as at test. */
#include "engine/base/check.h"
#include "rec/prompt/maker.h"

#define FEWEST_LIKES 3 /* shown before the title asked for */

/* Cases of every user: indices into split->rated, in the order in which draws take them. */
struct rr_next {
    int *cases;
    size_t *start; /* [n_users + 1] */
    int *taken;    /* [n_users] */
    bool *barred;  /* [n_items] of the user at work: training likes */
};

void rr_next_close(struct rr_maker *m)
{
    struct rr_next *x = m->next;
    if (!x)
        return;
    rr_free(x->cases);
    rr_free(x->start);
    rr_free(x->taken);
    rr_free(x->barred);
    rr_free(x);
    m->next = NULL;
}

static const struct rr_fold_model *model_of(const struct rr_maker *m, int rated)
{
    return &m->folds->models[m->folds->n > 1 ? m->folds->of[rated] : 0];
}

static void bar_likes(struct rr_maker *m, int user, bool barred)
{
    const struct rr_split *s = m->split;
    for (size_t i = s->train_start[user]; i < s->train_start[user + 1]; i++)
        m->next->barred[s->train[i].item] = barred;
}

static bool before(const float *scores, int a, int b)
{
    const float x = scores[a], y = scores[b];
    return x > y || (x == y && a < b);
}

/* Whether fewer than RR_LIST_SIZE items that the user could be shown come before this one. */
static bool retrieved(const struct rr_maker *m, int item)
{
    int ahead = 0;
    for (int i = 0; i < m->split->data->n_items && ahead < RR_LIST_SIZE; i++)
        ahead += m->split->train_count[i] && !m->next->barred[i] && before(m->scores, i, item);
    return ahead < RR_LIST_SIZE;
}

/* Appends the user's cases of one fold. */
static void find_cases(struct rr_maker *m, int user, int fold, size_t *n)
{
    const struct rr_split *s = m->split;
    const struct rr_fold_model *model = &m->folds->models[fold];
    int likes = 0;
    rr_backbone_scores(&model->backbone, &model->split, user, m->scores);
    for (size_t i = s->rated_start[user]; i < s->rated_start[user + 1]; i++) {
        const struct rr_rating *r = &s->rated[i];
        if (!(r->value >= s->data->like))
            continue;
        if (likes++ >= FEWEST_LIKES && model_of(m, (int)i) == model && retrieved(m, r->item))
            m->next->cases[(*n)++] = (int)i;
    }
}

int rr_next_open(struct rr_maker *m, struct rr_error *err)
{
    const struct rr_dataset *d = m->split->data;
    const size_t users = (size_t)d->n_users, rated = m->split->rated_start[users];
    struct rr_next *x = m->next = rr_zalloc(1, sizeof *x);
    size_t n = 0;
    if (x) {
        x->cases = rr_alloc(rated, sizeof *x->cases);
        x->start = rr_zalloc(users + 1, sizeof *x->start);
        x->taken = rr_zalloc(users, sizeof *x->taken);
        x->barred = rr_zalloc((size_t)d->n_items, sizeof *x->barred);
    }
    if (!x || !x->cases || !x->start || !x->taken || !x->barred)
        return rr_fail_memory(err, "cases", rated * sizeof *x->cases);
    for (int u = 0; u < d->n_users; u++) {
        struct rr_rng rng;
        bar_likes(m, u, true);
        for (int f = 0; f < m->folds->n; f++)
            find_cases(m, u, f, &n);
        bar_likes(m, u, false);
        x->start[u + 1] = n;
        rr_rng_stream(&rng, m->o->seed + 2, (uint64_t)u);
        rr_rng_shuffle(&rng, x->cases + x->start[u], n - x->start[u]);
    }
    return RR_OK;
}

/* The best RR_LIST_SIZE items, best first, into in->items; the place of `item` among them. */
static int find_candidates(struct rr_maker *m, int item, struct rr_instruction *in)
{
    int at = 0;
    in->n_items = 0;
    for (int i = 0; i < m->split->data->n_items; i++) {
        if (!m->split->train_count[i] || (m->next->barred[i] && i != item))
            continue;
        int k = rr_min_int(in->n_items, RR_LIST_SIZE - 1);
        if (in->n_items == RR_LIST_SIZE && !before(m->scores, i, in->items[k]))
            continue;
        for (; k > 0 && before(m->scores, i, in->items[k - 1]); k--)
            in->items[k] = in->items[k - 1];
        in->items[k] = i;
        in->n_items += in->n_items < RR_LIST_SIZE;
    }
    while (at < in->n_items && in->items[at] != item)
        at++;
    return at;
}

/* The ratings before the case, from a random place on that leaves a few likes: users at test have
 * short histories, too. */
static void show_past(struct rr_maker *m, struct rr_request *q, int rated)
{
    const struct rr_split *s = m->split;
    const int begin = (int)s->rated_start[m->user];
    int last = rated, likes = 0;
    while (last > begin && likes < FEWEST_LIKES)
        likes += s->rated[--last].value >= s->data->like;
    const int from = rr_rng_below(&m->rng, 2)
                         ? begin
                         : begin + (int)rr_rng_below(&m->rng, (uint64_t)(last - begin) + 1);
    q->history = m->history;
    for (int i = from; i < rated; i++)
        m->history[q->n_history++] =
            (struct rr_rated){s->data->titles[s->rated[i].item], s->rated[i].value};
}

static void show_candidates(struct rr_maker *m, const struct rr_instruction *in,
                            const struct rr_fold_model *model)
{
    for (int i = 0; i < in->n_items; i++) {
        const int item = in->items[i];
        const bool hint = !m->o->style.no_hints;
        m->asked[i] = (struct rr_asked){m->split->data->titles[item],
                                        hint ? rr_rating_predict(&model->ratings, m->user, item)
                                             : RR_NO_HINT};
    }
}

/* A case as it is asked. */
struct lesson {
    const struct rr_request *q;
    const struct rr_instruction *list; /* items of all candidates, as q has them */
    int liked;                         /* candidate */
};

static void answer_title(struct rr_maker *m, const struct rr_request *q, int candidate)
{
    rr_prompt_add_title(&m->answer, q->candidates[candidate].title);
}

/* Some candidate that is not the liked one. */
static int draw_other(struct rr_maker *m, const struct lesson *l)
{
    const int i = (int)rr_rng_below(&m->rng, (uint64_t)l->q->n_candidates - 1);
    return i + (i >= l->liked);
}

/* The liked one, which gets the best level, or another, which gets the least. */
static int ask_pointwise(struct rr_maker *m, const struct lesson *l)
{
    const bool liked = rr_rng_below(&m->rng, 2);
    const int candidate = liked ? l->liked : draw_other(m, l);
    struct rr_instruction in = *l->list;
    in.items[0] = l->list->items[candidate];
    in.n_items = in.n_answers = 1;
    rr_buf_printf(&m->answer, "%d", liked ? m->prompter.style.levels : 1);
    return rr_maker_finish(m, &in, l->q,
                           &(struct rr_question){.task = RR_POINTWISE, .a = candidate});
}

static int ask_pairwise(struct rr_maker *m, const struct lesson *l)
{
    const int other = draw_other(m, l);
    const bool turned = rr_rng_below(&m->rng, 2) && !m->prompter.style.no_shift;
    struct rr_instruction in = *l->list;
    in.items[0] = l->list->items[l->liked];
    in.items[1] = l->list->items[other];
    in.n_items = 2;
    in.n_answers = 1;
    rr_maker_answer_pair(m, l->q->candidates[l->liked].title, !turned);
    return rr_maker_finish(m, &in, l->q,
                           &(struct rr_question){.task = RR_PAIRWISE,
                                                 .a = turned ? other : l->liked,
                                                 .b = turned ? l->liked : other});
}

static int ask_listwise(struct rr_maker *m, const struct lesson *l)
{
    struct rr_instruction in = *l->list;
    int shown[RR_LIST_SIZE];
    rr_prompt_list_order(shown, l->q->n_candidates, &m->prompter.style, l->q->id, 0);
    answer_title(m, l->q, l->liked);
    rr_buf_puts(&m->answer, ","); /* as an element of a list ends where one is decoded */
    /* The item that an instruction is about comes first among its items. */
    in.items[l->liked] = l->list->items[0];
    in.items[0] = l->list->items[l->liked];
    in.n_answers = 1;
    return rr_maker_finish(m, &in, l->q,
                           &(struct rr_question){.task = RR_LISTWISE, .shown = shown});
}

int rr_next_draw(struct rr_maker *m, int *made)
{
    const struct rr_split *s = m->split;
    struct rr_next *x = m->next;
    const size_t from = x->start[m->user], n = x->start[m->user + 1] - from;
    int rc = RR_OK;
    if (!n)
        return RR_OK;
    const int rated = x->cases[from + (size_t)x->taken[m->user]++ % n];
    const struct rr_fold_model *model = model_of(m, rated);
    struct rr_instruction in = {.next = &s->rated[rated]};
    in.hint_split = m->o->style.no_hints ? NULL : &model->split;
    rr_backbone_scores(&model->backbone, &model->split, m->user, m->scores);
    bar_likes(m, m->user, true);
    const int liked = find_candidates(m, s->rated[rated].item, &in);
    bar_likes(m, m->user, false);
    if (in.n_items < 2 || liked == in.n_items)
        return RR_OK;
    struct rr_request q = {
        .candidates = m->asked, .n_candidates = in.n_items, .order_is_hint = 1, .id = m->draw};
    static int (*const askers[RR_N_TASKS])(struct rr_maker *, const struct lesson *) = {
        ask_pointwise, ask_pairwise, ask_listwise};
    const struct lesson l = {.q = &q, .list = &in, .liked = liked};
    rr_rng_stream(&m->rng, m->o->seed + 3, m->draw);
    show_candidates(m, &in, model);
    show_past(m, &q, rated);
    for (int t = 0; t < RR_N_TASKS && !rc; t++) {
        if (m->o->tasks && !(m->o->tasks >> t & 1))
            continue;
        rr_rng_stream(&m->rng, m->o->seed + 1, m->draw * RR_N_TASKS + (uint64_t)t);
        rr_maker_begin_answer(m, (enum rr_task)t);
        rc = askers[t](m, &l);
        made[t]++;
    }
    return rc;
}
