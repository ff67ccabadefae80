/* See audit.h. The change is made in the data set itself, before the split, so that no part of the
 * way from there to a prompt is taken on trust. */
#include "rec/eval/audit.h"

#include <math.h>
#include <stdio.h>
#include "engine/base/sha256.h"
#include "rec/rank/user.h"

enum held { TEST, VALID };
enum change { NOTHING, ITEM = 1, LABEL = 2, ITEM_AND_LABEL };

struct auditor {
    struct rr_audit *a;
    const struct rr_dataset *d;
    const struct rr_audit_options *o;
    struct rr_error *err;
    int n_steps, n_all;
};

static void add_check(struct auditor *w, const char *name, bool passed, const char *fmt, ...)
    RR_PRINTF(4, 5);
static void add_check(struct auditor *w, const char *name, bool passed, const char *fmt, ...)
{
    struct rr_audit_check *c = &w->a->checks[w->a->n++];
    va_list ap;
    *c = (struct rr_audit_check){.name = name, .passed = passed};
    va_start(ap, fmt);
    vsnprintf(c->detail, sizeof c->detail, fmt, ap);
    va_end(ap);
    w->a->n_failed += !passed;
}

static int step(struct auditor *w)
{
    w->n_steps++;
    if (w->o->progress && w->o->progress(w->o->progress_arg, w->n_steps, w->n_all))
        return rr_fail(w->err, RR_ERR_INTERRUPTED, "INTERRUPTED", RR_NOWHERE, "audit stopped");
    return RR_OK;
}

/* ---- changed data -------------------------------------------------------------------------------
 */

/* An item that the user has not rated, or -1. */
static int other_item(const struct rr_split *s, int user, struct rr_rng *rng)
{
    for (int tries = 0; tries < 1000; tries++) {
        const int item = (int)rr_rng_below(rng, (uint64_t)s->data->n_items);
        bool rated = s->valid[user].item == item || s->test[user].item == item;
        for (size_t i = s->rated_start[user]; i < s->rated_start[user + 1] && !rated; i++)
            rated = s->rated[i].item == item;
        if (!rated)
            return item;
    }
    return -1;
}

/* Another liked value than v; v when there is none. */
static float other_label(const struct rr_dataset *d, float v)
{
    const float step = d->rating_step > 0 ? d->rating_step : (d->rating_max - d->like) / 2;
    if (v < d->rating_max)
        return d->rating_max;
    return v - step >= d->like ? v - step : v;
}

/* Changes the held-out rating of every user in ratings[]; how many were changed. */
static int change_held(struct rr_rating *ratings, const struct rr_split *s, enum held held,
                       enum change change, uint64_t seed)
{
    const struct rr_dataset *d = s->data;
    struct rr_rng rng;
    int n = 0;
    rr_rng_seed(&rng, seed + 77);
    for (size_t i = 0; i < d->n_ratings; i++) {
        struct rr_rating *r = &ratings[i];
        if ((held == TEST ? s->test : s->valid)[r->user].item != d->ratings[i].item)
            continue;
        const int item = change & ITEM ? other_item(s, r->user, &rng) : -1;
        const float label = change & LABEL ? other_label(d, r->value) : r->value;
        n += item >= 0 || label != r->value;
        r->item = item >= 0 ? item : r->item;
        r->value = label;
    }
    return n;
}

/* A split of the data with changes; its data set is *changed, whose ratings the caller frees. */
static int changed_split(struct auditor *w, struct rr_dataset *changed, struct rr_split *out,
                         unsigned held, enum change change, int *n_changed)
{
    struct rr_split s;
    *changed = *w->d;
    changed->ratings = rr_alloc(w->d->n_ratings, sizeof *changed->ratings);
    *n_changed = 0;
    if (!changed->ratings)
        return rr_fail_memory(w->err, "audit", w->d->n_ratings * sizeof *changed->ratings);
    rr_copy(changed->ratings, w->d->ratings, w->d->n_ratings * sizeof *changed->ratings);
    int rc = rr_split_make(&s, w->d, w->o->order, w->err);
    for (int h = TEST; h <= VALID && !rc && change != NOTHING; h++)
        if (held >> h & 1)
            *n_changed += change_held(changed->ratings, &s, (enum held)h, change, w->o->seed);
    if (!rc) {
        rr_split_free(&s);
        rc = rr_split_make(out, changed, w->o->order, w->err);
    }
    if (rc)
        rr_free(changed->ratings);
    return rc;
}

/* ---- what is compared
 * ---------------------------------------------------------------------------- */

/* All prompts of all users with a test item, and what they are made of. */
static int sum_prompts(struct auditor *w, const struct rr_source *source, char hex[65], int *n)
{
    const struct rr_prompt_style style = rr_prompt_style_for(w->d, w->o->seed);
    struct rr_user_request u = {0};
    struct rr_prompter p = {0};
    struct rr_prompt prompt = {0};
    struct rr_sha256 sum;
    int pi[RR_MAX_CANDIDATES], pairs[RR_MAX_CANDIDATES][2];
    rr_sha256_init(&sum);
    *n = 0;
    int rc = rr_prompter_init(&p, &style, w->err);
    if (!rc)
        rc = rr_user_request_init(&u, source, w->err);
    for (int user = 0; user < w->d->n_users && !rc; user++) {
        rr_user_request_make(&u, source, user);
        const int k = u.request.n_candidates;
        rr_sha256_add(&sum, u.candidates, (size_t)k * sizeof *u.candidates);
        const int n_pairs = rr_prompt_pairs(pairs, pi, k, style.seed, u.request.id, 0);
        for (int i = 0; i < k + 2 * n_pairs + (k > 0) && !rc; i++) {
            struct rr_question q = {.task = RR_POINTWISE, .a = i};
            if (i >= k + 2 * n_pairs) {
                q = (struct rr_question){.task = RR_LISTWISE, .shown = pi};
                rr_prompt_list_order(pi, k, &style, u.request.id, 0);
            } else if (i >= k) {
                const int *pair = pairs[(i - k) / 2], turned = (i - k) % 2;
                q = (struct rr_question){
                    .task = RR_PAIRWISE, .a = pair[turned], .b = pair[1 - turned]};
            }
            rc = rr_prompt_make(&prompt, &p, &u.request, &q, w->err);
            if (!rc)
                rr_sha256_add(&sum, prompt.text.data, prompt.text.n);
            ++*n;
        }
    }
    rr_sha256_hex(&sum, hex);
    rr_user_request_release(&u);
    rr_prompter_release(&p);
    rr_prompt_free(&prompt);
    return rc;
}

/* The digest of every evaluation prompt on a split. */
static int evaluation_digest(struct auditor *w, const struct rr_split *s, char hex[65], int *n)
{
    const struct rr_fit_options fo = {.seed = w->o->seed};
    const struct rr_dataset *d = s->data;
    struct rr_backbone b = {0};
    struct rr_rating_model hints = {0};
    int rc = rr_backbone_fit(&b, w->o->backbone, s, &fo, w->err);
    /* The original's matrix of predicted ratings is fitted on everything and holds what it was
     * fitted on. */
    if (!rc)
        rc = w->o->official ? rr_rating_fit(&hints, d, d->ratings, d->n_ratings, w->o->seed, w->err)
                            : rr_rating_fit(&hints, d, s->rated, s->rated_start[d->n_users],
                                            w->o->seed, w->err);
    const struct rr_source source = {.split = s,
                                     .backbone = &b,
                                     .hints = &hints,
                                     .observed_hints = w->o->official,
                                     .n_candidates = w->o->n_candidates};
    if (!rc)
        rc = sum_prompts(w, &source, hex, n);
    rr_rating_free(&hints);
    rr_backbone_free(&b);
    return rc ? rc : step(w);
}

/* What is looked for in the instructions. */
struct inspection {
    struct rr_sha256 sum;
    const struct rr_split *s;
    struct rr_buf line;
    int n, n_lists;
    int n_in_history; /* instructions that show one of their items in the history; of the next liked
                         title: it, or anything rated behind it */
    int n_seen;       /* whose hint comes from a model fitted on an answer's rating */
    int n_first;      /* lists whose hint begins with the answer's first title */
};

static bool in_history(const struct rr_request *q, const char *title)
{
    for (int i = 0; i < q->n_history; i++)
        if (q->history[i].title == title) /* the same item: titles are not copied */
            return true;
    return false;
}

static bool knows(const struct rr_split *hints, int user, int item)
{
    for (size_t i = hints->rated_start[user]; i < hints->rated_start[user + 1]; i++)
        if (hints->rated[i].item == item)
            return true;
    return false;
}

/* Whether the history shows the like that an instruction is about, or what was rated later. What it
 * calls not liked may stand there, as it may at test: candidates can be disliked ones. */
static bool shows_later(const struct rr_instruction *in, const struct rr_split *s)
{
    const struct rr_rating *end = s->rated + s->rated_start[in->user + 1];
    for (const struct rr_rating *r = in->next; r < end; r++)
        if (in_history(in->request, s->data->titles[r->item]))
            return true;
    return false;
}

static int inspect(void *arg, const struct rr_instruction *in, struct rr_error *err)
{
    struct inspection *x = arg;
    const struct rr_dataset *d = x->s->data;
    const struct rr_split *h = in->hint_split;
    bool shown = false, seen = false;
    rr_buf_clear(&x->line);
    rr_instruction_write(&x->line, RR_DIALECT_MESSAGES, in, d);
    if (x->line.failed)
        return rr_fail_memory(err, "audit", x->line.n);
    rr_sha256_add(&x->sum, x->line.data, x->line.n);
    for (int a = 0; a < in->n_items && !in->next; a++)
        shown = shown || in_history(in->request, d->titles[in->items[a]]);
    for (int a = 0; a < in->n_answers && !in->next; a++)
        seen = seen || (h && knows(h, in->user, in->items[a]));
    if (in->next) {
        shown = shows_later(in, x->s);
        seen = h && knows(h, in->user, in->next->item);
    }
    x->n++;
    x->n_in_history += shown;
    x->n_seen += seen;
    if (in->task == RR_LISTWISE) {
        x->n_lists++;
        x->n_first += in->request->candidates[0].title == d->titles[in->items[0]];
    }
    return RR_OK;
}

/* Which instructions are made: the paper's, those with a recommender that says the same about
 * everything, or those about the next liked title. */
enum set { PAPER, TIED, NEXT };

static int instruction_digest(struct auditor *w, const struct rr_split *s, enum set set,
                              struct inspection *x, char hex[65])
{
    const struct rr_fit_options fo = {.seed = w->o->seed, .last_epoch = true, .epochs = 20};
    struct rr_backbone mf = {0};
    struct rr_instruct_report report;
    *x = (struct inspection){.s = s};
    rr_sha256_init(&x->sum);
    int rc = rr_backbone_fit(&mf, RR_BACKBONE_MF, s, &fo, w->err);
    const struct rr_instruct_options io = {
        .sampling = {.n = w->o->n_instructions, .seed = w->o->seed},
        .folds = {.n = 2,
                  .kind = set == TIED ? RR_BACKBONE_POP : w->o->backbone,
                  .fit = fo,
                  .seed = w->o->seed},
        .style = rr_prompt_style_for(s->data, w->o->seed),
        .official = w->o->official,
        .next = set == NEXT,
        .tied_scores = set == TIED,
        .seed = w->o->seed};
    if (!rc) {
        rc = rr_instruct(&report, s, mf.users, mf.dim, &io, inspect, x, w->err);
        rr_sampling_free(&report.sampling);
    }
    rr_sha256_hex(&x->sum, hex);
    rr_buf_free(&x->line);
    rr_backbone_free(&mf);
    return rc ? rc : step(w);
}

/* ---- checks -------------------------------------------------------------------------------------
 */

/* Makes everything from changed data and compares it with what the data itself gave; set -1: the
 * evaluation's prompts. */
static int compare(struct auditor *w, const char *name, unsigned held, enum change change, int set,
                   const char *expected)
{
    struct rr_dataset changed;
    struct rr_split s;
    struct inspection x;
    char hex[65];
    int n_changed, n = 0;
    int rc = changed_split(w, &changed, &s, held, change, &n_changed);
    if (rc)
        return rc;
    const bool instructions = set >= 0;
    rc = instructions ? instruction_digest(w, &s, (enum set)set, &x, hex)
                      : evaluation_digest(w, &s, hex, &n);
    if (!rc)
        add_check(w, name, n_changed > 0 && strcmp(hex, expected) == 0,
                  "%d held-out ratings changed, %d %s compared%s", n_changed,
                  instructions ? x.n : n, instructions ? "instructions" : "prompts",
                  n_changed ? "" : "; there is nothing to change");
    rr_split_free(&s);
    rr_free(changed.ratings);
    return rc;
}

static bool chooses_epoch(enum rr_backbone_kind kind)
{
    return kind == RR_BACKBONE_MF || kind == RR_BACKBONE_LIGHTGCN;
}

static int audit_evaluation(struct auditor *w, const struct rr_split *s)
{
    char hex[65];
    int n, rc = evaluation_digest(w, s, hex, &n);
    if (!rc)
        rc =
            compare(w, "test items change no prompt, hint or candidate", 1u << TEST, ITEM, -1, hex);
    if (!rc)
        rc = compare(w, "test ratings change no prompt, hint or candidate", 1u << TEST, LABEL, -1,
                     hex);
    /* Epochs are chosen on the validation items; what has none must not look at them at all. */
    if (!rc && !chooses_epoch(w->o->backbone))
        rc = compare(w, "validation items change no prompt, hint or candidate", 1u << VALID, ITEM,
                     -1, hex);
    if (!rc)
        rc = compare(w, "validation ratings change no prompt, hint or candidate", 1u << VALID,
                     LABEL, -1, hex);
    return rc;
}

/* What holds of a set of instructions whatever it is about. */
static void check_set(struct auditor *w, const struct inspection *x, const char *shown,
                      const char *seen)
{
    add_check(w, shown, x->n && !x->n_in_history, "%d of %d instructions show one", x->n_in_history,
              x->n);
    add_check(w, seen, x->n && !x->n_seen, "%d of %d instructions do", x->n_seen, x->n);
}

static int audit_instructions(struct auditor *w, const struct rr_split *s)
{
    const unsigned both = 1u << TEST | 1u << VALID;
    struct inspection x;
    char hex[65], tied[65];
    int rc = instruction_digest(w, s, PAPER, &x, hex);
    if (rc)
        return rc;
    check_set(w, &x, "no item asked about stands in the history",
              "no hint comes from a model that has seen the answer");
    rc = compare(w, "test and validation items change no instruction", both, ITEM, PAPER, hex);
    if (!rc)
        rc = compare(w, "test and validation ratings change no instruction", both, LABEL, PAPER,
                     hex);
    if (!rc)
        rc = instruction_digest(w, s, TIED, &x, tied);
    /* By chance the first of ten; four standard deviations are allowed for. */
    if (!rc)
        add_check(
            w, "tied scores do not print the answer in a listwise hint",
            x.n_lists && x.n_first < 0.1 * x.n_lists + 4 * 0.3 * sqrt(x.n_lists),
            "the hint's first title is the answer's in %d of %d lists%s", x.n_first, x.n_lists,
            x.n_lists ? "" : "; nobody has the ratings for a list, so there is nothing to check");
    return rc;
}

/* Of these candidates stand in the recommender's order, ties by item: no answer decides it. */
static int audit_next(struct auditor *w, const struct rr_split *s)
{
    struct inspection x;
    char hex[65];
    int rc = instruction_digest(w, s, NEXT, &x, hex);
    if (rc)
        return rc;
    check_set(w, &x, "next liked: neither it nor what was rated later stands in the history",
              "next liked: no candidate or hint comes from a model that has seen it");
    return compare(w, "next liked: test and validation items and ratings change no instruction",
                   1u << TEST | 1u << VALID, ITEM_AND_LABEL, NEXT, hex);
}

int rr_audit_run(struct rr_audit *a, const struct rr_dataset *d, const struct rr_audit_options *o,
                 struct rr_error *err)
{
    struct auditor w = {.a = a, .d = d, .o = o, .err = err};
    w.n_all = (chooses_epoch(o->backbone) ? 8 : 9) + (o->official ? 0 : 2);
    struct rr_split s;
    *a = (struct rr_audit){0};
    int rc = rr_split_make(&s, d, o->order, err);
    if (rc)
        return rc;
    rc = audit_evaluation(&w, &s);
    if (!rc)
        rc = audit_instructions(&w, &s);
    if (!rc && !o->official) /* the original has none of them */
        rc = audit_next(&w, &s);
    rr_split_free(&s);
    return rc;
}
