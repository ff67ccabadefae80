/* See recipe.h. */
#include "rec/rank/recipe.h"

#include <stdio.h>
#include "engine/base/number.h"

static const char *const wording_keys[RR_N_TASKS] = {"wording.pointwise", "wording.pairwise",
                                                     "wording.listwise"};

static int read_number(int *out, const struct rr_weights *w, const char *key, struct rr_error *err)
{
    const char *text = rr_weights_note(w, key);
    int64_t v;
    if (!text)
        return RR_OK;
    if (!rr_parse_i64(&v, text, strlen(text), 1, 100000))
        return rr_fail(err, RR_ERR_DATA, "NOTE", RR_AT_OBJECT(w->path, key),
                       "'%s'; expected a whole number from 1 to 100000",
                       rr_show(text, strlen(text)).s);
    *out = (int)v;
    return RR_OK;
}

int rr_recipe_read(struct rr_recipe *r, const struct rr_weights *w, struct rr_error *err)
{
    *r = (struct rr_recipe){0};
    int rc = read_number(&r->history, w, "history", err);
    if (!rc)
        rc = read_number(&r->titles, w, "titles", err);
    for (int t = 0; t < RR_N_TASKS && !rc; t++) {
        const char *text = rr_weights_note(w, wording_keys[t]);
        if (!text)
            continue;
        rc = rr_template_parse(&r->templates[t], (enum rr_task)t, text, strlen(text), w->path, err);
        r->has[t] = true;
        if (rc)
            rr_error_add_object(err, "note", wording_keys[t]);
    }
    return rc;
}

void rr_recipe_free(struct rr_recipe *r)
{
    for (int t = 0; t < RR_N_TASKS; t++)
        rr_template_free(&r->templates[t]);
    *r = (struct rr_recipe){0};
}

void rr_recipe_apply(const struct rr_recipe *r, struct rr_ranker_options *o)
{
    struct rr_prompt_style *s = &o->style;
    for (int t = 0; t < RR_N_TASKS; t++)
        if (r->has[t] && !s->templates[t])
            s->templates[t] = &r->templates[t];
    s->max_rated = s->max_rated ? s->max_rated : r->history;
    s->max_liked = s->max_liked ? s->max_liked : r->history;
    o->n_titles = o->n_titles ? o->n_titles : r->titles;
}

size_t rr_recipe_notes(struct rr_note *notes, struct rr_recipe_text *text,
                       const char *const *wordings, const struct rr_ranker_options *o)
{
    size_t n = 0;
    for (int t = 0; t < RR_N_TASKS; t++)
        if (wordings[t])
            notes[n++] = (struct rr_note){wording_keys[t], wordings[t]};
    snprintf(text->history, sizeof text->history, "%d", o->style.max_liked);
    snprintf(text->titles, sizeof text->titles, "%d", o->n_titles);
    if (o->style.max_liked)
        notes[n++] = (struct rr_note){"history", text->history};
    if (o->n_titles)
        notes[n++] = (struct rr_note){"titles", text->titles};
    return n;
}
