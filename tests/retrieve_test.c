/* The likelihood of titles as a retriever, and the measure that is taken while training: against
 * likelihoods asked one by one, and against sums done by hand. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "rec/eval/measure.h"
#include "rec/rank/retrieve.h"
#include "tests/make_data.h"
#include "tests/make_files.h"
#include "tests/test.h"
#include "weights/weights.h"

struct fixture {
    struct rr_engine engine;
    struct rr_weights weights;
    struct rr_ranker ranker;
    struct rr_dataset d;
    struct rr_split s;
};

static void open_model(struct fixture *f, unsigned tasks, int n_threads)
{
    struct rr_error err = {0};
    struct rr_buf bytes = {0};
    const struct rr_ranker_options o = {.n_context = 1024, .tasks = tasks, .n_titles = 2};
    tiny_default_gguf(&bytes);
    const char *path = path_in(temporary_dir(), "tiny.gguf");
    write_file(path, bytes.data, bytes.n);
    rr_buf_free(&bytes);
    memset(f, 0, sizeof *f);
    cr_assert(rr_engine_init(&f->engine, n_threads, rr_cpu_best(), &err) == 0, "%s", err.text);
    cr_assert(rr_weights_open(&f->weights, path, NULL, &err) == 0, "%s", err.text);
    cr_assert(rr_ranker_init(&f->ranker, &f->engine, &f->weights.model, f->weights.tokenizer, &o,
                             &err) == 0,
              "%s", err.text);
}

static void open_data(struct fixture *f, const char *path)
{
    struct rr_error err = {0};
    cr_assert(rr_dataset_open(&f->d, path, NULL, &err) == 0, "%s", err.text);
    cr_assert(rr_split_make(&f->s, &f->d, RR_SPLIT_BY_TIME, &err) == 0, "%s", err.text);
}

static void close_fixture(struct fixture *f)
{
    rr_split_free(&f->s);
    rr_dataset_close(&f->d);
    rr_ranker_release(&f->ranker);
    rr_weights_close(&f->weights);
    rr_engine_release(&f->engine);
}

static void retrieve(struct fixture *f, struct rr_lists *l, int k, int user, bool with_valid)
{
    struct rr_error err = {0};
    const struct rr_retrieve_options o = {.k = k, .user = user, .with_valid = with_valid};
    cr_assert(rr_retrieve(l, &f->ranker, &f->s, &o, &err) == 0, "%s: %s", err.code, err.text);
}

/* The likelihood of one title behind the user's likes, a request of its own. */
static float ask_alone(struct fixture *f, int user, int item, bool with_valid)
{
    static struct rr_rated history[64];
    struct rr_reply reply = {0};
    struct rr_error err = {0};
    const struct rr_asked asked = {f->d.titles[item], RR_NO_HINT};
    struct rr_request q = {.history = history, .candidates = &asked, .n_candidates = 1};
    for (size_t i = f->s.rated_start[user]; i < f->s.rated_start[user + 1]; i++)
        history[q.n_history++] =
            (struct rr_rated){f->d.titles[f->s.rated[i].item], f->s.rated[i].value};
    if (with_valid && f->s.valid[user].item >= 0)
        history[q.n_history++] =
            (struct rr_rated){f->d.titles[f->s.valid[user].item], f->s.valid[user].value};
    cr_assert(rr_ranker_ask(&f->ranker, &q, &reply, &err) == 0, "%s", err.text);
    const float p = (float)reply.likelihood[0];
    rr_reply_free(&reply);
    return p;
}

static const float *sort_scores;
static int by_score(const void *a, const void *b)
{
    const int x = *(const int *)a, y = *(const int *)b;
    return sort_scores[x] != sort_scores[y] ? (sort_scores[x] < sort_scores[y] ? 1 : -1) : x - y;
}

/* A user's list is the k best of the titles asked one by one, equal ones by item. */
static void check_list(struct fixture *f, const struct rr_lists *l, int k, int user,
                       bool with_valid)
{
    static float scores[64];
    int all[64], n = 0;
    const size_t from = l->start[user], to = l->start[user + 1];
    for (int i = 0; i < f->d.n_items; i++) {
        if (!f->s.train_count[i] || rr_split_is_train(&f->s, user, i) ||
            (with_valid && f->s.valid[user].item == i))
            continue;
        scores[i] = ask_alone(f, user, i, with_valid);
        all[n++] = i;
    }
    sort_scores = scores;
    qsort(all, (size_t)n, sizeof *all, by_score);
    n = n < k ? n : k;
    cr_assert(to - from == (size_t)n, "user %d: %zu candidates, expected %d", user, to - from, n);
    for (int i = 0; i < n; i++)
        cr_assert(l->list[from + (size_t)i].item == all[i] &&
                      l->list[from + (size_t)i].score == scores[all[i]],
                  "user %d, place %d: item %d (%.9g), expected %d (%.9g)", user, i,
                  l->list[from + (size_t)i].item, (double)l->list[from + (size_t)i].score, all[i],
                  (double)scores[all[i]]);
}

Test(retrieve, lists_are_the_best_of_titles_asked_alone)
{
    const char *dir = make_data_dir(9, 24, 5);
    struct rr_lists lists[2];
    for (int threads = 1; threads <= 3; threads += 2) {
        struct fixture f;
        struct rr_lists with, one, all;
        int users = 0;
        open_model(&f, RR_ASK(RR_LIKELIHOOD), threads);
        open_data(&f, dir);
        struct rr_lists *l = &lists[threads / 2];
        retrieve(&f, l, 5, -1, false);
        retrieve(&f, &with, 5, -1, true);
        retrieve(&f, &all, 40, 2, false);
        retrieve(&f, &one, 5, 2, false);
        for (int u = 0; u < f.d.n_users; u++) {
            users += f.s.train_start[u + 1] > f.s.train_start[u];
            if (threads == 1 && u % 3 == 2)
                check_list(&f, l, 5, u, false);
            if (threads == 1 && u % 3 == 1)
                check_list(&f, &with, 5, u, true);
            cr_assert(u == 2 || one.start[u + 1] == one.start[u], "user %d is listed", u);
        }
        if (threads == 1)
            check_list(&f, &all, 40, 2, false); /* k is more than there is */
        cr_assert(l->n_users_listed == users && l->scored && one.n_users_listed == 1,
                  "%d of %d users are listed", l->n_users_listed, users);
        cr_assert(one.start[3] == 5 &&
                      memcmp(one.list, l->list + l->start[2], 5 * sizeof *one.list) == 0,
                  "one user alone has another list");
        rr_lists_free(&with);
        rr_lists_free(&one);
        rr_lists_free(&all);
        if (threads == 3)
            cr_assert(memcmp(lists[0].start, lists[1].start,
                             ((size_t)f.d.n_users + 1) * sizeof(size_t)) == 0 &&
                          memcmp(lists[0].list, lists[1].list,
                                 lists[0].start[f.d.n_users] * sizeof *l->list) == 0,
                      "three threads, other lists");
        close_fixture(&f);
    }
    rr_lists_free(&lists[0]);
    rr_lists_free(&lists[1]);
}

static int stop(void *arg, long long done, long long total)
{
    *(long long *)arg = total;
    return done >= 2;
}

/* Users u1 to u5 like what is written here, the last two validate and test; b, d and f are called
 * the same. u5 has no likes, u6 one alone; nobody likes i. */
static const char *small_data(void)
{
    static const char items[] = "item,title\na,Alpha\nb,Twin\nc,Charlie\nd,Twin\ne,Echo\nf,Twin\ng,"
                                "Golf\nh,Hotel\ni,India\n";
    static const char *const likes[] = {"abcdef", "ghabc", "defga", "hbdfg", "", "h"};
    const char *dir = temporary_dir();
    struct rr_buf out = {0};
    rr_buf_puts(&out, "user,item,rating,time\n");
    for (int u = 0; u < 6; u++)
        for (int i = 0; likes[u][i]; i++)
            rr_buf_printf(&out, "u%d,%c,5,%d\n", u + 1, likes[u][i], i);
    rr_buf_puts(&out, "u5,a,1,1\nu5,i,1,2\nu1,g,2,9\n");
    write_file(path_in(dir, "ratings.csv"), out.data, out.n);
    write_file(path_in(dir, "items.csv"), items, strlen(items));
    rr_buf_free(&out);
    return dir;
}

Test(retrieve, equal_titles_stand_by_item)
{
    struct fixture f;
    struct rr_lists l, with;
    open_model(&f, RR_ASK(RR_LIKELIHOOD), 2);
    open_data(&f, small_data());
    retrieve(&f, &l, 8, -1, false);
    retrieve(&f, &with, 8, -1, true);
    for (int u = 0; u < f.d.n_users; u++) {
        if (u == 4)
            continue;
        check_list(&f, &l, 8, u, false);
        check_list(&f, &with, 8, u, true);
    }
    /* u2 trains on g, h and a: all three twins can be its, and stand together. */
    int at = (int)l.start[1], twins = 0;
    for (size_t i = l.start[1]; i < l.start[2]; i++)
        if (strcmp(f.d.titles[l.list[i].item], "Twin") == 0)
            at = twins++ ? at : (int)i;
    cr_assert(twins >= 2, "%d twins", twins);
    for (int i = 1; i < twins; i++)
        cr_assert(l.list[at + i].score == l.list[at].score &&
                      l.list[at + i].item > l.list[at + i - 1].item,
                  "twin %d", i);
    cr_assert(l.start[5] == l.start[4] && l.n_users_listed == 5, "a user without likes is listed");
    struct rr_error err = {0};
    long long total = 0;
    rr_lists_free(&l);
    const struct rr_retrieve_options o = {
        .k = 3, .user = -1, .progress = stop, .progress_arg = &total};
    cr_assert(rr_retrieve(&l, &f.ranker, &f.s, &o, &err) == RR_ERR_INTERRUPTED && total == 6,
              "status %d, %lld users", err.status, total);
    rr_lists_free(&l);
    rr_lists_free(&with);
    close_fixture(&f);
}

/* ---- the measure ---- */

/* Sums of a signal over the users given, asked here. */
static void ask_users(struct fixture *f, const struct rr_source *s, const int *users, int n,
                      struct rr_measured *m)
{
    struct rr_user_request u;
    struct rr_reply reply = {0};
    struct rr_error err = {0};
    *m = (struct rr_measured){.n = n};
    cr_assert(rr_user_request_init(&u, s, &err) == 0, "%s", err.text);
    for (int i = 0; i < n; i++) {
        const int valid = f->s.valid[users[i]].item;
        rr_user_request_make(&u, s, users[i]);
        if (!u.request.n_candidates)
            continue;
        cr_assert(rr_ranker_ask(&f->ranker, &u.request, &reply, &err) == 0, "%s", err.text);
        for (int t = 0; t < RR_N_SIGNALS; t++) {
            double scores[16];
            int at = -1, place = 1;
            rr_reply_scores(scores, &reply, (enum rr_method)t, NULL);
            for (int c = 0; c < u.request.n_candidates; c++)
                at = u.candidates[c].item == valid ? c : at;
            for (int c = 0; c < u.request.n_candidates && at >= 0; c++)
                place += scores[c] > scores[at] || (scores[c] == scores[at] && c < at);
            m->hr5_of[t] += at >= 0 && place <= 5 ? 1.0 / n : 0;
            m->ndcg5_of[t] += at >= 0 && place <= 5 ? 1 / log2(place + 1) / n : 0;
        }
    }
    rr_reply_free(&reply);
    rr_user_request_release(&u);
}

static void check_measure(struct fixture *f, const struct rr_source *s, int n_users,
                          const int *users, int n, double hr5, double ndcg5)
{
    struct rr_measured m, expected;
    struct rr_error err = {0};
    cr_assert(rr_measure(&m, &f->ranker, s, n_users, &err) == 0, "%s", err.text);
    cr_assert(m.n == n && m.tasks == f->ranker.o.tasks && fabs(m.hr5 - hr5) < 1e-12 &&
                  fabs(m.ndcg5 - ndcg5) < 1e-12,
              "%d users: HR@5 %.9g, NDCG@5 %.9g; expected %d: %.9g, %.9g", m.n, m.hr5, m.ndcg5, n,
              hr5, ndcg5);
    ask_users(f, s, users, n, &expected);
    for (int t = 0; t < RR_N_SIGNALS; t++)
        cr_assert(fabs(m.hr5_of[t] - expected.hr5_of[t]) < 1e-12 &&
                      fabs(m.ndcg5_of[t] - expected.ndcg5_of[t]) < 1e-12,
                  "%s: HR@5 %.9g, NDCG@5 %.9g; expected %.9g, %.9g", rr_task_name((enum rr_task)t),
                  m.hr5_of[t], m.ndcg5_of[t], expected.hr5_of[t], expected.ndcg5_of[t]);
}

Test(measure, counts_places_as_done_by_hand)
{
    /* Who validates what: u1 e, u2 b, u3 g, u4 f; u5 and u6 have nothing held out. Places: u1's is
     * the second, u2's the sixth, u3's none, u4 has no list. */
    static const char text[] = "u1\tf\nu1\te\nu1\tg\nu2\tc\nu2\td\nu2\te\nu2\tf\nu2\ti\nu2\tb\n"
                               "u3\th\nu3\ta\nu6\ta\nu6\tb\n";
    static const int all[] = {0, 1, 2, 3}, half[] = {1, 3}, one[] = {3};
    struct fixture f;
    struct rr_lists lists;
    struct rr_error err = {0};
    open_model(&f, RR_ASK_ALL, 2);
    open_data(&f, small_data());
    for (int u = 0; u < 6; u++)
        cr_assert(u < 4 ? f.s.valid[u].item == "ebgf"[u] - 'a' : f.s.valid[u].item < 0,
                  "user %d validates item %d", u, f.s.valid[u].item);
    cr_assert(rr_lists_parse(&lists, &f.s, 8, text, strlen(text), "x", &err) == 0, "%s", err.text);
    const struct rr_source s = {.split = &f.s, .lists = &lists, .n_candidates = 8};
    check_measure(&f, &s, 0, all, 4, 1.0 / 4, 1 / log2(3) / 4);
    check_measure(&f, &s, 4, all, 4, 1.0 / 4, 1 / log2(3) / 4);
    check_measure(&f, &s, 100, all, 4, 1.0 / 4, 1 / log2(3) / 4);
    check_measure(&f, &s, 2, half, 2, 0, 0);
    check_measure(&f, &s, 1, one, 1, 0, 0);
    /* What is held out is only looked for: its rating changes nothing. */
    for (int u = 0; u < 4; u++)
        f.s.valid[u].value = f.s.test[u].value = 1;
    check_measure(&f, &s, 0, all, 4, 1.0 / 4, 1 / log2(3) / 4);
    rr_lists_free(&lists);
    close_fixture(&f);
}
