/* Instructions about the next liked title (rec/prompt/next.c), against fold models trained here
 * once more and candidates found by sorting the whole catalogue. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "rec/learn/wording.h"
#include "rec/prompt/instruct.h"
#include "tests/make_data.h"
#include "tests/test.h"

#define LIST RR_LIST_SIZE

struct work {
    struct rr_dataset d;
    struct rr_split s;
    struct rr_folds folds;
    struct rr_instruct_options o;
    struct rr_instruct_report report;
    struct rr_buf lines, texts; /* texts: prompts one behind the other, each with a 0 */
    float *scores;
    int n, n_by_task[RR_N_TASKS], n_turned, n_liked, n_whole, n_negative_shown;
    int *times; /* [rated] instructions about it */
    bool quiet; /* collect the bytes, check nothing */
};

static void open_data(struct work *w)
{
    struct rr_error err = {0};
    *w = (struct work){0};
    cr_assert(rr_dataset_open(&w->d, make_data_dir(60, 90, 3), NULL, &err) == 0, "%s", err.text);
    cr_assert(rr_split_make(&w->s, &w->d, RR_SPLIT_BY_TIME, &err) == 0, "%s", err.text);
}

static void open_work(struct work *w, enum rr_backbone_kind kind, int n)
{
    struct rr_error err = {0};
    open_data(w);
    w->o = (struct rr_instruct_options){
        .sampling = {.n = n, .no_clustering = true, .seed = 2},
        .folds = {.n = 3, .kind = kind, .fit = {.epochs = 15, .dim = 8}, .seed = 3},
        .style = {.levels = 5, .seed = 4},
        .next = true,
        .seed = 5};
    cr_assert(rr_folds_make(&w->folds, &w->s, &w->o.folds, &err) == 0, "%s", err.text);
    w->scores = malloc((size_t)w->d.n_items * sizeof *w->scores);
    w->times = calloc(w->s.rated_start[w->d.n_users], sizeof *w->times);
    cr_assert(w->scores && w->times, "memory");
}

static void close_work(struct work *w)
{
    free(w->scores);
    free(w->times);
    rr_buf_free(&w->lines);
    rr_buf_free(&w->texts);
    rr_sampling_free(&w->report.sampling);
    rr_folds_free(&w->folds);
    rr_split_free(&w->s);
    rr_dataset_close(&w->d);
}

static int item_of(const struct work *w, const char *title)
{
    for (int i = 0; i < w->d.n_items; i++)
        if (w->d.titles[i] == title)
            return i;
    cr_assert(0, "a title of nobody's");
    return -1;
}

static bool trained_on(const struct rr_split *s, int user, int item)
{
    for (size_t i = s->rated_start[user]; i < s->rated_start[user + 1]; i++)
        if (s->rated[i].item == item)
            return true;
    return rr_split_is_train(s, user, item);
}

static const float *sort_scores;
static int by_score(const void *a, const void *b)
{
    const int x = *(const int *)a, y = *(const int *)b;
    return sort_scores[x] != sort_scores[y] ? (sort_scores[x] < sort_scores[y] ? 1 : -1) : x - y;
}

/* The fold model's best of all training items but the user's other training likes. */
static int best_of(const struct work *w, int *best, const struct rr_fold_model *m, int user,
                   int liked)
{
    int n = 0, all[128];
    rr_backbone_scores(&m->backbone, &m->split, user, w->scores);
    for (int i = 0; i < w->d.n_items; i++)
        if (w->s.train_count[i] && (i == liked || !rr_split_is_train(&w->s, user, i)))
            all[n++] = i;
    sort_scores = w->scores;
    qsort(all, (size_t)n, sizeof *all, by_score);
    n = n < LIST ? n : LIST;
    memcpy(best, all, (size_t)n * sizeof *best);
    return n;
}

static void check_candidates(const struct work *w, const struct rr_instruction *in, size_t at)
{
    const struct rr_request *q = in->request;
    const struct rr_fold_model *m = &w->folds.models[w->folds.of[at]];
    int best[LIST], n = best_of(w, best, m, in->user, in->next->item), n_liked = 0;
    cr_assert(q->n_candidates == n && q->order_is_hint, "%d candidates, expected %d",
              q->n_candidates, n);
    for (int i = 0; i < n; i++) {
        const int item = item_of(w, q->candidates[i].title);
        const float hint = q->candidates[i].hint;
        cr_assert(item == best[i], "candidate %d is item %d, expected %d", i, item, best[i]);
        n_liked += rr_split_is_train(&w->s, in->user, item);
        cr_assert(w->o.style.no_hints ? isnan(hint)
                                      : hint == rr_rating_predict(&m->ratings, in->user, item),
                  "candidate %d: a hint of %g", i, (double)hint);
    }
    cr_assert(n_liked == 1, "%d training likes among the candidates", n_liked);
    /* That model has not seen it, and says so. */
    cr_assert(!trained_on(&m->split, in->user, in->next->item), "the fold's model has seen it");
    if (w->o.style.no_hints) {
        cr_assert(!in->hint_split, "a hint of somebody's");
        return;
    }
    cr_assert(!trained_on(in->hint_split, in->user, in->next->item),
              "the hint's model has seen it");
    const size_t u = (size_t)w->d.n_users;
    cr_assert(in->hint_split->rated_start[u] == m->split.rated_start[u] &&
                  in->hint_split->rated_start[u] < w->s.rated_start[u],
              "the hint is of another fold's model");
}

/* The ratings right before the case, with three likes at least; nothing rated later is shown. */
static void check_history(struct work *w, const struct rr_instruction *in, size_t at)
{
    const struct rr_request *q = in->request;
    const size_t begin = w->s.rated_start[in->user], end = w->s.rated_start[in->user + 1];
    const char *text = in->prompt->text.data, *question = strstr(text, "Question:");
    const size_t n = (size_t)q->n_history;
    int likes = 0;
    cr_assert(begin <= at && at < end && n <= at - begin && question, "%zu titles", n);
    for (size_t i = 0; i < n; i++) {
        const struct rr_rating *r = &w->s.rated[at - n + i];
        likes += r->value >= w->d.like;
        cr_assert(q->history[i].title == w->d.titles[r->item] && q->history[i].rating == r->value,
                  "title %zu of %zu", i, n);
    }
    cr_assert(likes >= 3, "%d likes are shown", likes);
    w->n_whole += n == at - begin;
    for (size_t i = at; i < end; i++) {
        char quoted[80];
        snprintf(quoted, sizeof quoted, "\"%s\"", w->d.titles[w->s.rated[i].item]);
        const char *there = strstr(text, quoted);
        cr_assert(!there || there > question, "%s is shown: %s", quoted, text);
    }
    for (int a = 0; a < in->n_items; a++)
        for (size_t i = 0; i < n; i++)
            w->n_negative_shown += q->history[i].title == w->d.titles[in->items[a]];
}

static void check_answer(struct work *w, const struct rr_instruction *in)
{
    const char *text = in->prompt->text.data, *question = strstr(text, "Question:");
    const bool liked = in->items[0] == in->next->item;
    char words[200];
    bool known = false;
    for (int i = 0; i < in->request->n_candidates; i++)
        known = known || item_of(w, in->request->candidates[i].title) == in->items[0];
    cr_assert(known && in->n_answers == 1, "%d answers", in->n_answers);
    if (in->task == RR_POINTWISE) {
        snprintf(words, sizeof words, "movie \"%s\"?", w->d.titles[in->items[0]]);
        cr_assert(in->n_items == 1 && strcmp(in->answer, liked ? "Answer: 5" : "Answer: 1") == 0 &&
                      strstr(question, words),
                  "%s to %s", in->answer, text);
        w->n_liked += liked;
    } else if (in->task == RR_PAIRWISE) {
        const bool yes = strcmp(in->answer, "Answer: Yes.") == 0;
        snprintf(words, sizeof words, "movie \"%s\" over \"%s\"?", w->d.titles[in->items[!yes]],
                 w->d.titles[in->items[yes]]);
        cr_assert(liked && in->n_items == 2 && in->items[1] != in->items[0] &&
                      (yes || strcmp(in->answer, "Answer: No.") == 0) && strstr(question, words),
                  "%s to %s", in->answer, text);
        w->n_turned += !yes;
    } else {
        snprintf(words, sizeof words, "Answer: \"%s\",", w->d.titles[in->items[0]]);
        cr_assert(liked && in->n_items == in->request->n_candidates &&
                      strcmp(in->answer, words) == 0,
                  "%s, expected %s", in->answer, words);
        for (int i = 0; i < in->n_items; i++) {
            snprintf(words, sizeof words, "\"%s\"", w->d.titles[in->items[i]]);
            cr_assert(strstr(question, words), "%s is not shown: %s", words, text);
            for (int k = 0; k < i; k++)
                cr_assert(in->items[k] != in->items[i], "item %d stands twice", i);
        }
    }
}

static int look(void *arg, const struct rr_instruction *in, struct rr_error *err)
{
    struct work *w = arg;
    (void)err;
    rr_instruction_write(&w->lines, RR_DIALECT_MESSAGES, in, &w->d);
    rr_buf_add(&w->texts, in->prompt->text.data, in->prompt->text.n + 1);
    if (w->quiet)
        return RR_OK;
    const size_t at = (size_t)(in->next - w->s.rated);
    cr_assert(in->next->value >= w->d.like && in->next->user == in->user &&
                  rr_split_is_train(&w->s, in->user, in->next->item),
              "it is no training like");
    check_candidates(w, in, at);
    check_history(w, in, at);
    check_answer(w, in);
    w->times[at]++;
    w->n_by_task[in->task]++;
    w->n++;
    return RR_OK;
}

static void run(struct work *w)
{
    struct rr_error err = {0};
    rr_buf_clear(&w->lines);
    rr_buf_clear(&w->texts);
    rr_sampling_free(&w->report.sampling);
    cr_assert(rr_instruct(&w->report, &w->s, NULL, 0, &w->o, look, w, &err) == 0, "%s", err.text);
}

static void near_half(int count, int n, const char *what)
{
    cr_assert(fabs(count - n / 2.0) <= 2.5 * sqrt(n), "%s: %d of %d", what, count, n);
}

Test(next, cases_are_what_a_model_that_has_not_seen_them_proposes)
{
    static const enum rr_backbone_kind kinds[] = {RR_BACKBONE_POP, RR_BACKBONE_MF,
                                                  RR_BACKBONE_EASE};
    for (int k = 0; k < 3; k++) {
        struct work w;
        open_work(&w, kinds[k], 300);
        run(&w);
        const int n = w.n_by_task[RR_POINTWISE];
        cr_assert(n > 150 && n == w.n_by_task[RR_PAIRWISE] && n == w.n_by_task[RR_LISTWISE],
                  "%d instructions", w.n);
        for (int t = 0; t < RR_N_TASKS; t++)
            cr_assert(w.report.n[t] == n && w.report.n_without[t] == 300 - n,
                      "%d made and %d not, says the report", w.report.n[t], w.report.n_without[t]);
        near_half(w.n_turned, n, "pairs turned");
        near_half(w.n_liked, n, "liked ones rated");
        cr_assert(w.n_whole > n && w.n_whole < 3 * n, "%d of %d histories are whole", w.n_whole,
                  3 * n);
        close_work(&w);
    }
}

/* A user's cases are taken in turn: none a second time before all were taken once. */
Test(next, cases_are_taken_in_turn)
{
    struct work w;
    open_work(&w, RR_BACKBONE_POP, 1000);
    run(&w);
    int several = 0;
    for (int u = 0; u < w.d.n_users; u++) {
        int least = 1 << 30, most = 0, cases = 0;
        for (size_t i = w.s.rated_start[u]; i < w.s.rated_start[u + 1]; i++)
            if (w.times[i]) {
                least = w.times[i] < least ? w.times[i] : least;
                most = w.times[i] > most ? w.times[i] : most;
                cases++;
            }
        several += cases > 1;
        cr_assert(!cases || most - least <= RR_N_TASKS, "user %d: %d to %d times", u, least, most);
    }
    cr_assert(several > 10, "%d users have several cases", several);
    close_work(&w);
}

/* With the wordings of recrank learn: a pair's answer is the title, in both orders. */
/* Every pair is answered by one of its titles; the first of them in *first. Returns how many. */
static int check_title_answers(const struct work *w, int *first)
{
    int n = 0;
    *first = 0;
    for (const char *line = w->lines.data; *line; line = strchr(line, '\n') + 1, n++) {
        const char *one = strstr(line, "One of \\\""), *end = strstr(one, " is next."),
                   *answer = strstr(line, "Next: \\\"");
        cr_assert(one && end && answer && answer < strchr(line, '\n'), "%s", line);
        const size_t len = (size_t)(strstr(answer + 8, "\\\"") + 2 - (answer + 6));
        const bool is_first = strncmp(one + 7, answer + 6, len) == 0;
        cr_assert(is_first || (strncmp(end - len, answer + 6, len) == 0), "no such title: %s",
                  line);
        *first += is_first;
    }
    return n;
}

/* The paper's instructions as well as those about the next title. */
Test(next, pairs_are_answered_by_titles_when_the_template_says_so)
{
    struct work w;
    struct rr_template t;
    struct rr_error err = {0};
    const char *text = rr_learn_wording(RR_PAIRWISE);
    open_work(&w, RR_BACKBONE_POP, 200);
    cr_assert(rr_template_parse(&t, RR_PAIRWISE, text, strlen(text), "x", &err) == 0, "%s",
              err.text);
    w.o.style.templates[RR_PAIRWISE] = &t;
    w.o.tasks = 1u << RR_PAIRWISE;
    w.quiet = true;
    for (int next = 0; next < 2; next++) {
        int first;
        w.o.next = next;
        w.o.style.no_shift = false;
        run(&w);
        const int n = check_title_answers(&w, &first);
        cr_assert(n == w.report.n[RR_PAIRWISE] && n > 100, "%d", n);
        near_half(first, n, "the first of two");
        w.o.style.no_shift = true;
        run(&w);
        cr_assert(check_title_answers(&w, &first) == first,
                  "without shifting the liked one comes first");
    }
    rr_template_free(&t);
    close_work(&w);
}

/* Without hints the questions are the same but for the lines of the hints. */
Test(next, without_hints_the_question_is_whole)
{
    struct work with, without;
    open_work(&with, RR_BACKBONE_MF, 120);
    run(&with);
    open_work(&without, RR_BACKBONE_MF, 120);
    without.o.style.no_hints = true;
    run(&without);
    cr_assert(with.n == without.n, "%d and %d instructions", with.n, without.n);
    const char *a = with.texts.data, *b = without.texts.data;
    for (int i = 0; i < with.n; i++, a += strlen(a) + 1, b += strlen(b) + 1) {
        const char *hint = strstr(a, "\nHint: "), *after = hint ? strchr(hint + 1, '\n') : NULL;
        cr_assert(after && !strstr(b, "Hint") && strlen(a) - strlen(b) == (size_t)(after - hint) &&
                      strncmp(a, b, (size_t)(hint - a)) == 0 && strcmp(b + (hint - a), after) == 0,
                  "with a hint %s\nand without %s", a, b);
    }
    close_work(&with);
    close_work(&without);
}

/* Runs again, and whether the same bytes came out. */
static bool same_bytes(struct work *w, const struct rr_buf *before)
{
    run(w);
    return w->lines.n == before->n && memcmp(w->lines.data, before->data, before->n) == 0;
}

Test(next, what_is_held_out_changes_no_byte)
{
    struct work w;
    struct rr_buf before = {0};
    struct rr_error err = {0};
    open_work(&w, RR_BACKBONE_MF, 150);
    w.quiet = true;
    run(&w);
    rr_buf_add(&before, w.lines.data, w.lines.n);
    cr_assert(same_bytes(&w, &before), "the same seed, other bytes");
    w.o.seed++;
    cr_assert(!same_bytes(&w, &before), "another seed, the same bytes");
    w.o.seed--;
    /* In the data itself, before it is split: held-out items move to ones the user has not rated.
     */
    for (size_t i = 0; i < w.d.n_ratings; i++) {
        struct rr_rating *r = &w.d.ratings[i];
        const bool held = w.s.valid[r->user].item == r->item || w.s.test[r->user].item == r->item;
        for (int step = 1; held && step < w.d.n_items; step++) {
            const int item = (r->item + step) % w.d.n_items;
            if (!trained_on(&w.s, r->user, item) && w.s.valid[r->user].item != item &&
                w.s.test[r->user].item != item) {
                r->item = item;
                break;
            }
        }
        r->value = held ? 4 : r->value;
    }
    struct rr_split changed;
    cr_assert(rr_split_make(&changed, &w.d, RR_SPLIT_BY_TIME, &err) == 0, "%s", err.text);
    int moved = 0;
    for (int u = 0; u < w.d.n_users; u++)
        moved += changed.test[u].item != w.s.test[u].item;
    cr_assert(moved > w.d.n_users / 2, "%d test items moved", moved);
    rr_split_free(&w.s);
    w.s = changed;
    cr_assert(same_bytes(&w, &before), "held-out items or ratings are in the instructions");
    rr_buf_free(&before);
    close_work(&w);
}

/* A training rating changes them, so that the test before sees something. */
Test(next, a_training_rating_changes_bytes)
{
    struct work w;
    struct rr_buf before = {0};
    open_work(&w, RR_BACKBONE_POP, 100);
    w.quiet = true;
    run(&w);
    rr_buf_add(&before, w.lines.data, w.lines.n);
    for (int u = 0; u < w.d.n_users; u++)
        w.s.rated[w.s.rated_start[u]].value = w.s.rated[w.s.rated_start[u]].value > 2 ? 1 : 5;
    cr_assert(!same_bytes(&w, &before), "the same bytes");
    rr_buf_free(&before);
    close_work(&w);
}

/* A catalogue of which hardly anything is left to propose, and users with few likes: fewer
 * instructions, no failure. */
Test(next, tiny_data_gives_few_instructions_or_none)
{
    static const char *const texts[] = {
        "user,item,rating,time\na,x,5,1\na,y,5,2\nb,x,5,1\nb,y,5,2\n",
        "user,item,rating,time\na,p,5,1\na,q,5,2\na,r,5,3\na,s,5,4\na,t,5,5\na,u,5,6\nb,p,5,1\nb,q,"
        "4,"
        "2\nb,r,5,3\nb,s,5,4\nb,t,4,5\nb,u,5,6\nb,v,5,7\nb,w,5,8\n"};
    for (int i = 0; i < 2; i++) {
        struct rr_dataset d;
        struct rr_split s;
        struct rr_error err = {0};
        struct work w = {0};
        const char *path = path_in(temporary_dir(), "ratings.csv");
        struct rr_data_options o;
        rr_data_defaults(&o);
        o.scale[0] = o.scale[2] = 1;
        o.scale[1] = 5;
        write_file(path, texts[i], strlen(texts[i]));
        cr_assert(rr_dataset_open(&d, path, &o, &err) == 0, "%s", err.text);
        cr_assert(rr_split_make(&s, &d, RR_SPLIT_BY_TIME, &err) == 0, "%s", err.text);
        w.quiet = true;
        w.s = s;
        w.d = d;
        w.o = (struct rr_instruct_options){
            .sampling = {.n = 40, .no_clustering = true, .no_importance = true},
            .folds = {.n = 2, .kind = RR_BACKBONE_POP},
            .next = true};
        run(&w);
        for (int t = 0; t < RR_N_TASKS; t++)
            cr_assert(w.report.n[t] + w.report.n_without[t] == 40 && (i || !w.report.n[t]),
                      "%d and %d", w.report.n[t], w.report.n_without[t]);
        close_work(&w);
    }
}
