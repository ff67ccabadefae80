/* See request_json.h. */
#include "rec/rank/request_json.h"

#include <math.h>
#include <stdlib.h>

#define MAX_HISTORY 1000000

static int bad(const struct rr_json *at, const char *what, const char *expected,
               struct rr_error *err)
{
    return rr_fail(err, RR_ERR_DATA, "REQUEST", RR_AT_BYTE(NULL, what, at ? at->offset : 0),
                   "%s%s; expected %s", at ? "found " : "missing",
                   at ? rr_json_type_name(at->type) : "", expected);
}

/* A title must be a C string for prompts: a zero in it cannot be kept. */
static const char *title_of(const struct rr_json *v)
{
    const struct rr_json *t = v && v->type == RR_JSON_OBJECT ? rr_json_get(v, "title") : v;
    return t && t->type == RR_JSON_STRING && t->n_text && !memchr(t->text, 0, t->n_text) ? t->text
                                                                                         : NULL;
}

static int bad_title(const struct rr_json *v, const char *key, struct rr_error *err)
{
    const struct rr_json *t = v->type == RR_JSON_OBJECT ? rr_json_get(v, "title") : v;
    if (t && t->type == RR_JSON_STRING)
        return rr_fail(err, RR_ERR_DATA, "REQUEST", RR_AT_BYTE(NULL, key, t->offset),
                       t->n_text ? "a title with a zero in it" : "an empty title");
    return bad(t ? t : v, key, "a title, or an object with \"title\"", err);
}

#define MOST_NUMBER 1e6 /* of a rating, score or hint */

/* An optional number of an object: NaN when it is not there. */
static int optional(double *out, const struct rr_json *v, const char *key, struct rr_error *err)
{
    const struct rr_json *n = v->type == RR_JSON_OBJECT ? rr_json_get(v, key) : NULL;
    *out = NAN;
    if (!n || n->type == RR_JSON_NULL)
        return RR_OK;
    if (n->type != RR_JSON_NUMBER)
        return bad(n, key, "a number", err);
    *out = n->number;
    return fabs(n->number) <= MOST_NUMBER
               ? RR_OK
               : rr_fail(err, RR_ERR_DATA, "REQUEST", RR_AT_BYTE(NULL, key, n->offset),
                         "%g; expected a number within a million of zero", n->number);
}

static const struct rr_json *array_of(const struct rr_json *root, const char *key, int *rc,
                                      struct rr_error *err)
{
    const struct rr_json *v = rr_json_get(root, key);
    if (v && v->type != RR_JSON_ARRAY && v->type != RR_JSON_NULL)
        *rc = bad(v, key, "an array", err);
    return v && v->type == RR_JSON_ARRAY ? v : NULL;
}

/* Appends titles with ratings; titles alone get `rating`. */
static int add_history(struct rr_rated *history, int *n, const struct rr_json *array,
                       const char *key, double rating, struct rr_error *err)
{
    for (const struct rr_json *v = array ? array->child : NULL; v; v = v->next) {
        double given;
        const char *title = title_of(v);
        if (!title)
            return bad_title(v, key, err);
        int rc = optional(&given, v, "rating", err);
        if (rc)
            return rc;
        history[(*n)++] = (struct rr_rated){title, (float)(isnan(given) ? rating : given)};
    }
    return RR_OK;
}

struct scored {
    const struct rr_json *v;
    double score;
    int index;
};

static int by_score(const void *a, const void *b)
{
    const struct scored *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    return (x->index > y->index) - (x->index < y->index);
}

static int read_candidates(struct rr_json_request *out, struct rr_arena *arena,
                           const struct rr_json *array, struct rr_error *err)
{
    const size_t n = array->n_children;
    struct rr_asked *asked = rr_arena_alloc(arena, n, sizeof *asked);
    struct scored *list = rr_arena_alloc(arena, n, sizeof *list);
    bool all_scored = true;
    int i = 0;
    out->candidate_id = rr_arena_alloc(arena, n, sizeof *out->candidate_id);
    out->index = rr_arena_alloc(arena, n, sizeof *out->index);
    if (!asked || !list || !out->candidate_id || !out->index)
        return rr_fail_memory(err, "request", n * sizeof *asked);
    for (const struct rr_json *v = array->child; v; v = v->next, i++) {
        list[i] = (struct scored){.v = v, .index = i};
        if (!title_of(v))
            return bad_title(v, "candidates", err);
        int rc = optional(&list[i].score, v, "score", err);
        if (rc)
            return rc;
        all_scored = all_scored && !isnan(list[i].score);
    }
    if (all_scored)
        qsort(list, n, sizeof *list, by_score);
    for (size_t c = 0; c < n; c++) {
        double hint;
        int rc = optional(&hint, list[c].v, "hint", err);
        if (rc)
            return rc;
        asked[c] = (struct rr_asked){title_of(list[c].v), (float)hint};
        out->index[c] = list[c].index;
        out->candidate_id[c] =
            list[c].v->type == RR_JSON_OBJECT ? rr_json_get(list[c].v, "id") : NULL;
    }
    out->request.candidates = asked;
    out->request.n_candidates = (int)n;
    out->request.order_is_hint = all_scored;
    return RR_OK;
}

int rr_request_from_json(struct rr_json_request *out, struct rr_arena *arena,
                         const struct rr_json *root, int levels, struct rr_error *err)
{
    int rc = RR_OK, n = 0;
    *out = (struct rr_json_request){0};
    if (root->type != RR_JSON_OBJECT)
        return bad(root, "request", "an object with \"candidates\"", err);
    const struct rr_json *disliked = array_of(root, "disliked", &rc, err),
                         *liked = array_of(root, "liked", &rc, err),
                         *history = array_of(root, "history", &rc, err),
                         *candidates = array_of(root, "candidates", &rc, err);
    if (!rc &&
        (!candidates || !candidates->n_children || candidates->n_children > RR_MAX_CANDIDATES))
        rc = bad(candidates, "candidates", "an array of 1 to 1000 candidates", err);
    if (rc)
        return rc;
    const size_t most = (disliked ? disliked->n_children : 0) + (liked ? liked->n_children : 0) +
                        (history ? history->n_children : 0);
    if (most > MAX_HISTORY)
        return bad(root, "history", "at most a million titles", err);
    struct rr_rated *rated = rr_arena_alloc(arena, most, sizeof *rated);
    if (!rated)
        return rr_fail_memory(err, "request", most * sizeof *rated);
    rc = add_history(rated, &n, disliked, "disliked", 1, err);
    if (!rc)
        rc = add_history(rated, &n, liked, "liked", levels, err);
    if (!rc)
        rc = add_history(rated, &n, history, "history", levels, err);
    if (!rc)
        rc = read_candidates(out, arena, candidates, err);
    out->id = rr_json_get(root, "id");
    out->request.history = rated;
    out->request.n_history = n;
    return rc;
}
