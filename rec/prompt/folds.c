/* See folds.h. */
#include "rec/prompt/folds.h"

#include "engine/base/mem.h"

/* Places of one user's ratings of a value, shuffled; how many. */
static int places_of(int *out, const struct rr_split *s, int user, float value, struct rr_rng *rng)
{
    int n = 0;
    for (size_t i = s->rated_start[user]; i < s->rated_start[user + 1]; i++)
        if (s->rated[i].value == value)
            out[n++] = (int)i;
    rr_rng_shuffle(rng, out, (size_t)n);
    return n;
}

/* The highest value below the top of the scale: by its step, or the highest the data has. */
static float next_value(const struct rr_split *s)
{
    const struct rr_dataset *d = s->data;
    float best = d->rating_min;
    if (d->rating_step > 0)
        return d->rating_max - d->rating_step;
    for (size_t i = 0; i < s->rated_start[d->n_users]; i++)
        if (s->rated[i].value < d->rating_max && s->rated[i].value > best)
            best = s->rated[i].value;
    return best;
}

/* Deals one user's ratings: whole sets first, then the rest one by one. */
static void deal(struct rr_folds *f, int user, float next, int *top, int *second, uint64_t seed)
{
    const struct rr_split *s = f->split;
    struct rr_rng rng;
    rr_rng_stream(&rng, seed, (uint64_t)user);
    const int n_top = places_of(top, s, user, s->data->rating_max, &rng);
    const int n_next = places_of(second, s, user, next, &rng);
    int n = n_top / RR_SET_TOP < n_next / RR_SET_NEXT ? n_top / RR_SET_TOP : n_next / RR_SET_NEXT;
    int *set = f->sets + s->rated_start[user], at = (int)rr_rng_below(&rng, (uint64_t)f->n);
    for (size_t i = s->rated_start[user]; i < s->rated_start[user + 1]; i++)
        f->of[i] = 255;
    f->n_sets[user] = n;
    for (int k = 0; k < n; k++, set += RR_SET_SIZE) {
        for (int i = 0; i < RR_SET_TOP; i++)
            set[i] = top[k * RR_SET_TOP + i];
        for (int i = 0; i < RR_SET_NEXT; i++)
            set[RR_SET_TOP + i] = second[k * RR_SET_NEXT + i];
        for (int i = 0; i < RR_SET_SIZE; i++)
            f->of[set[i]] = (unsigned char)((at + k) % f->n);
    }
    at += n;
    for (size_t i = s->rated_start[user]; i < s->rated_start[user + 1]; i++)
        if (f->of[i] == 255)
            f->of[i] = (unsigned char)(at++ % f->n);
}

static int deal_all(struct rr_folds *f, uint64_t seed, struct rr_error *err)
{
    const struct rr_split *s = f->split;
    const size_t n = s->rated_start[s->data->n_users];
    const float next = next_value(s);
    int *top = rr_alloc(n, sizeof *top), *second = rr_alloc(n, sizeof *second);
    f->of = rr_alloc(n, sizeof *f->of);
    f->sets = rr_alloc(n, sizeof *f->sets);
    f->n_sets = rr_zalloc((size_t)s->data->n_users, sizeof *f->n_sets);
    const bool room = top && second && f->of && f->sets && f->n_sets;
    for (int u = 0; room && u < s->data->n_users; u++)
        deal(f, u, next, top, second, seed);
    rr_free(top);
    rr_free(second);
    return room ? RR_OK : rr_fail_memory(err, "folds", n * sizeof *top);
}

static int fit_fold(struct rr_folds *f, int fold, const struct rr_folds_options *o,
                    unsigned char *hidden, struct rr_error *err)
{
    const struct rr_split *s = f->split;
    const size_t n = s->rated_start[s->data->n_users];
    struct rr_fold_model *m = &f->models[fold];
    struct rr_fit_options fit = o->fit;
    fit.seed = o->seed;
    fit.last_epoch = true;
    fit.progress = NULL;
    for (size_t i = 0; i < n; i++)
        hidden[i] = f->n > 1 && f->of[i] == fold;
    int rc = rr_split_without(&m->split, s, hidden, err);
    if (!rc)
        rc = rr_backbone_fit(&m->backbone, o->kind, &m->split, &fit, err);
    if (!rc)
        rc = rr_rating_fit(&m->ratings, s->data, m->split.rated,
                           m->split.rated_start[s->data->n_users], o->seed, err);
    if (!rc && o->fit.progress && o->fit.progress(o->fit.progress_arg, fold + 1, f->n))
        rc = rr_fail(err, RR_ERR_INTERRUPTED, "INTERRUPTED", RR_NOWHERE,
                     "stopped after %d of %d folds", fold + 1, f->n);
    return rc;
}

int rr_folds_make(struct rr_folds *f, const struct rr_split *split,
                  const struct rr_folds_options *o, struct rr_error *err)
{
    *f = (struct rr_folds){.split = split, .n = o->n};
    if (o->n < 1 || o->n > 64)
        return rr_fail(err, RR_ERR_USAGE, "FOLDS", RR_NOWHERE, "%d folds; expected 2 to 64", o->n);
    int rc = deal_all(f, o->seed, err);
    unsigned char *hidden =
        rc ? NULL : rr_alloc(split->rated_start[split->data->n_users], sizeof *hidden);
    f->models = rc ? NULL : rr_zalloc((size_t)f->n, sizeof *f->models);
    if (!rc && (!hidden || !f->models))
        rc = rr_fail_memory(err, "folds", (size_t)f->n * sizeof *f->models);
    for (int fold = 0; fold < f->n && !rc && !o->deal_only; fold++)
        rc = fit_fold(f, fold, o, hidden, err);
    rr_free(hidden);
    if (rc)
        rr_folds_free(f);
    return rc;
}

void rr_folds_free(struct rr_folds *f)
{
    for (int i = 0; f->models && i < f->n; i++) {
        rr_rating_free(&f->models[i].ratings);
        rr_backbone_free(&f->models[i].backbone);
        rr_split_free(&f->models[i].split);
    }
    rr_free(f->models);
    rr_free(f->of);
    rr_free(f->sets);
    rr_free(f->n_sets);
    *f = (struct rr_folds){0};
}
