/* Pairs answered by titles: where {title} may stand in a template, and log-odds that equal those
 * computed from each prompt alone. And what the hybrid makes of likelihood. */
#include <math.h>
#include <string.h>
#include "rec/rank/ranker.h"
#include "tests/make_files.h"
#include "tests/test.h"
#include "weights/weights.h"

/* ---- the template ---- */

/* A ^ marks where the error is; none: the template is good. */
static const struct {
    enum rr_task task;
    const char *text, *says;
} templates[] = {
    {RR_PAIRWISE, "s\n---\n{first} {second}\n---\nNext: {title}\n", NULL},
    {RR_PAIRWISE, "s\n---\n{first} {second}\n---\nNext: {title}", NULL},
    {RR_PAIRWISE, "s\n---\n{first} {second}\n---\nNext:{title}\r\n\n\n", NULL},
    {RR_PAIRWISE, "---\n{first} {second}\n---\nA {{x}}   {title}\n", NULL},
    {RR_PAIRWISE, "s ^{title}\n---\n{first} {second}\n---\nNext: {title}\n", "may only end"},
    {RR_PAIRWISE, "s\n---\n{first} {second}\n^{title}\n---\nNext: {title}\n", "may only end"},
    {RR_PAIRWISE, "s\n---\n{first} {second}\n---\nNext: ^{title}.\n", "may only end"},
    {RR_PAIRWISE, "s\n---\n{first} {second}\n---\nNext: ^{title} \n", "may only end"},
    {RR_PAIRWISE, "s\n---\n{first} {second}\n---\n^{title} {title}\n", "may only end"},
    {RR_PAIRWISE, "s\n---\n{first} {second}\n---\n^{title}\n", "one line of text"},
    {RR_PAIRWISE, "s\n---\n{first} {second}\n---\n^  {title}\n", "one line of text"},
    {RR_PAIRWISE, "s\n---\n{first} {second}\n---\nNext: {title}\n^x\n", "one line of text"},
    {RR_PAIRWISE, "s\n---\n{first} {second}\n---\nA\n^Next: {title}\n", "one line of text"},
    {RR_PAIRWISE, "s\n---\n{first} {second}\n---\n^{first} {title}\n", "one line of text"},
    {RR_PAIRWISE, "s\n---\n{first} {hint}\n---\n^Next: {title}\n", "must hold {second}"},
    {RR_POINTWISE, "s\n---\n{title}\n---\n^Next: {title}\n", "one line of text"},
    {RR_LISTWISE, "s\n---\n{candidates}\n---\nNext: ^{title}\n", "another task"},
};

Test(titles, may_end_the_answer_of_a_pair_and_nothing_else)
{
    for (size_t i = 0; i < sizeof templates / sizeof *templates; i++) {
        struct rr_template t;
        struct rr_error err = {0};
        struct rr_buf out = {0};
        char text[120];
        const char *marked = templates[i].text, *mark = strchr(marked, '^');
        const int before = mark ? (int)(mark - marked) : 0;
        int line = 1, column = 1;
        snprintf(text, sizeof text, "%.*s%s", before, marked, mark ? mark + 1 : marked);
        for (int k = 0; k < before; k++) {
            line += text[k] == '\n';
            column = text[k] == '\n' ? 1 : column + 1;
        }
        const int rc = rr_template_parse(&t, templates[i].task, text, strlen(text), "a.txt", &err);
        cr_assert(rc == (mark ? RR_ERR_DATA : RR_OK), "%s: %d %s", marked, rc, err.text);
        cr_assert(!mark ||
                      (err.line == line && err.column == column &&
                       strcmp(err.code, "TEMPLATE") == 0 && strstr(err.text, templates[i].says)),
                  "%s: line %lld, column %lld: %s", marked, err.line, err.column, err.text);
        if (!mark) { /* the answer begins as without the mark */
            rr_template_render(&out, &t, RR_SECTION_ANSWER, NULL, NULL);
            cr_assert(t.title_answer &&
                          (strcmp(out.data, "Next:") == 0 || !strcmp(out.data, "A {x}")),
                      "%s: the answer begins with '%s'", marked, out.data);
        }
        rr_buf_free(&out);
        rr_template_free(&t);
    }
}

/* ---- the ranker ---- */

struct fixture {
    struct rr_engine engine;
    struct rr_weights weights;
    struct rr_template pair;
    struct rr_ranker_options o;
    struct rr_ranker ranker;
    struct rr_reply reply;
};

static void open_fixture(struct fixture *f, int n_context, unsigned tasks, int n_threads)
{
    static const char text[] =
        "Which?\n---\nL {liked}\n{first} or {second}?\n{hint}\n---\nIt is {title}";
    struct rr_error err = {0};
    struct rr_buf bytes = {0};
    tiny_default_gguf(&bytes);
    const char *path = path_in(temporary_dir(), "tiny.gguf");
    write_file(path, bytes.data, bytes.n);
    rr_buf_free(&bytes);
    memset(f, 0, sizeof *f);
    cr_assert(rr_engine_init(&f->engine, n_threads, rr_cpu_best(), &err) == 0, "%s", err.text);
    cr_assert(rr_weights_open(&f->weights, path, NULL, &err) == 0, "%s", err.text);
    cr_assert(rr_template_parse(&f->pair, RR_PAIRWISE, text, strlen(text), "a", &err) == 0, "%s",
              err.text);
    f->o = (struct rr_ranker_options){.n_context = n_context, .tasks = tasks, .style.seed = 3};
    f->o.style.templates[RR_PAIRWISE] = &f->pair;
    cr_assert(rr_ranker_init(&f->ranker, &f->engine, &f->weights.model, f->weights.tokenizer, &f->o,
                             &err) == 0,
              "%s", err.text);
}

static void close_fixture(struct fixture *f)
{
    rr_reply_free(&f->reply);
    rr_ranker_release(&f->ranker);
    rr_template_free(&f->pair);
    rr_weights_close(&f->weights);
    rr_engine_release(&f->engine);
}

static void ask(struct fixture *f, const struct rr_request *q)
{
    struct rr_error err = {0};
    cr_assert(rr_ranker_ask(&f->ranker, q, &f->reply, &err) == 0, "%s: %s", err.code, err.text);
}

/* BOS and the tokens of a prompt with a candidate's title as its answer; how many. */
static int spell(int *ids, struct fixture *f, const struct rr_prompt *prompt, const char *title)
{
    struct rr_buf text = {0};
    struct rr_encoding e = {0};
    struct rr_error err = {0};
    int n = 0;
    rr_buf_add(&text, prompt->text.data, prompt->text.n);
    rr_buf_puts(&text, " ");
    rr_prompt_add_title(&text, title);
    cr_assert(rr_tokenizer_encode(f->weights.tokenizer, &e, text.data, text.n, &err) == 0, "%s",
              err.text);
    const int bos = rr_tokenizer_bos(f->weights.tokenizer);
    if (bos >= 0)
        ids[n++] = bos;
    cr_assert(e.n < 4000, "too long for the test");
    memcpy(ids + n, e.ids, e.n * sizeof *ids);
    n += (int)e.n;
    rr_encoding_free(&e);
    rr_buf_free(&text);
    return n;
}

/* Log-odds of the title of a over that of b, from the one prompt and what the titles share. */
static double alone(struct fixture *f, const struct rr_request *q, int a, int b, int from)
{
    static int x[4096], y[4096];
    struct rr_prompt prompt = {0};
    struct rr_error err = {0};
    const struct rr_question question = {.task = RR_PAIRWISE, .a = a, .b = b, .from = from};
    int node, same = 0;
    cr_assert(rr_prompt_make(&prompt, &f->ranker.prompter, q, &question, &err) == 0, "%s",
              err.text);
    const int n = spell(x, f, &prompt, q->candidates[a].title),
              m = spell(y, f, &prompt, q->candidates[b].title);
    rr_prompt_free(&prompt);
    while (same < n - 1 && same < m - 1 && x[same] == y[same])
        same++;
    const int ways[2] = {x[same], y[same]};
    float logits[2];
    cr_assert(rr_session_branch(f->ranker.session, -1, same, &node, &err) == 0, "%s", err.text);
    const struct rr_feed feed = {node, x, same};
    const struct rr_want want = {.offset = same - 1, .ids = ways, .n_ids = 2, .logits = logits};
    cr_assert(rr_session_eval(f->ranker.session, &feed, 1, &want, 1, &err) == 0, "%s", err.text);
    rr_session_rewind(f->ranker.session, node);
    return (double)logits[0] - (double)logits[1];
}

static const struct rr_rated history[] = {
    {"Silent Harbour (1961)", 5}, {"Paper Engine (1974)", 2}, {"Golden Winter (1988)", 4}};
/* Equal ones, one that begins another, one that begins it with its quote, years alone apart. */
static const struct rr_asked asked[] = {
    {"Fear (1996)", 3},
    {"Fear (1996)", 3},
    {"Fear", 3},
    {"Fear (1996), the play", 3},
    {"Fear (1997)", 3},
    {"Primal Fear", 3},
    {"\"Fear\" (1996)", 3},
    {"", 3},
    {"Fe\xC3\xA9rie", 3},
    {"Feuer", 3},
};
#define N_ASKED (int)(sizeof asked / sizeof asked[0])

static struct rr_request request(void)
{
    return (struct rr_request){.history = history,
                               .n_history = 3,
                               .candidates = asked,
                               .n_candidates = N_ASKED,
                               .order_is_hint = 1,
                               .id = 7};
}

static void check_pairs(struct fixture *f, const struct rr_request *q, int from)
{
    for (int i = 0; i < f->reply.n_pairs; i++) {
        const struct rr_pair_reply *p = &f->reply.pairs[i];
        const double there = alone(f, q, p->a, p->b, from), back = alone(f, q, p->b, p->a, from);
        cr_assert(memcmp(&there, &p->forward, sizeof there) == 0 &&
                      (isnan(p->backward) || memcmp(&back, &p->backward, sizeof back) == 0),
                  "'%s' over '%s': %.17g and %.17g, alone %.17g and %.17g",
                  q->candidates[p->a].title, q->candidates[p->b].title, p->forward, p->backward,
                  there, back);
        const bool equal = strcmp(q->candidates[p->a].title, q->candidates[p->b].title) == 0;
        cr_assert(equal == (p->forward == 0 && (isnan(p->backward) || p->backward == 0)),
                  "'%s' and '%s': %g", q->candidates[p->a].title, q->candidates[p->b].title,
                  p->forward);
    }
}

Test(titles, log_odds_are_those_of_each_prompt_alone)
{
    for (int threads = 1; threads <= 3; threads++) {
        struct fixture f;
        struct rr_request q = request();
        open_fixture(&f, 2048, RR_ASK(RR_PAIRWISE), threads);
        ask(&f, &q);
        cr_assert(f.reply.n_pairs == N_ASKED / 2 && f.reply.tokens_asked > f.reply.tokens_computed,
                  "%d pairs, nothing shared", f.reply.n_pairs);
        check_pairs(&f, &q, 0);
        close_fixture(&f);
    }
}

/* Every two of them, each a request of its own; and in one order alone. */
Test(titles, any_two_titles_part_or_are_equal)
{
    struct fixture f;
    struct rr_error err = {0};
    open_fixture(&f, 1024, RR_ASK(RR_PAIRWISE), 1);
    for (int a = 0; a < N_ASKED; a++)
        for (int b = 0; b < N_ASKED; b++) {
            struct rr_request q = request();
            const struct rr_asked two[2] = {asked[a], asked[b]};
            q.candidates = two;
            q.n_candidates = 2;
            if (a % 2 != f.ranker.o.style.no_shift) {
                f.o.style.no_shift = a % 2;
                cr_assert(rr_ranker_set(&f.ranker, &f.o, &err) == 0, "%s", err.text);
            }
            ask(&f, &q);
            cr_assert(f.reply.n_pairs == 1 && isnan(f.reply.pairs[0].backward) == a % 2, "pairs");
            check_pairs(&f, &q, 0);
        }
    close_fixture(&f);
}

/* More pairs than fit side by side into the session. */
Test(titles, pairs_that_do_not_fit_together_go_in_groups)
{
    struct fixture f;
    struct rr_request q = request();
    open_fixture(&f, 320, RR_ASK(RR_PAIRWISE), 2);
    f.o.pair_rounds = 20;
    struct rr_error err = {0};
    cr_assert(rr_ranker_set(&f.ranker, &f.o, &err) == 0, "%s", err.text);
    ask(&f, &q);
    cr_assert(f.reply.n_pairs == 20 * N_ASKED / 2, "%d pairs", f.reply.n_pairs);
    check_pairs(&f, &q, f.reply.n_cut);
    close_fixture(&f);
}

/* As much history stays as fits with what the titles share; the log-odds are those of what stays.
 */
Test(titles, cut_history_leaves_as_much_as_fits)
{
    struct fixture f;
    struct rr_rated longer[53];
    static const struct rr_asked two[] = {{"The same long beginning of two titles: here", 3},
                                          {"The same long beginning of two titles: there", 3}};
    for (int i = 0; i < 50; i++)
        longer[i] = (struct rr_rated){"An old and rather long title in the way (1950)", 5};
    memcpy(longer + 50, history, sizeof history);
    struct rr_request q = request(), same;
    q.history = longer;
    q.n_history = 53;
    q.candidates = two;
    q.n_candidates = 2;
    open_fixture(&f, 512, RR_ASK(RR_PAIRWISE), 2);
    ask(&f, &q);
    const int cut = f.reply.n_cut;
    cr_assert(cut > 0 && cut < 53 && f.ranker.prompts[0].n <= 512,
              "%d of 53 are left out, %d tokens", cut, f.ranker.prompts[0].n);
    check_pairs(&f, &q, cut);
    same = q;
    same.history = longer + cut - 1;
    same.n_history = 53 - cut + 1;
    ask(&f, &same);
    cr_assert(f.reply.n_cut == 1, "one more title would have fitted");
    const int n = f.ranker.prompts[0].n > f.ranker.prompts[1].n ? f.ranker.prompts[0].n
                                                                : f.ranker.prompts[1].n;
    close_fixture(&f);
    /* To the token: a context of just that many holds it, and one less does not. */
    same.history++;
    same.n_history--;
    for (int less = 0; less < 2; less++) {
        open_fixture(&f, n - less, RR_ASK(RR_PAIRWISE), 1);
        ask(&f, &same);
        cr_assert(f.reply.n_cut == less, "%d tokens less: %d titles are left out", less,
                  f.reply.n_cut);
        close_fixture(&f);
    }
}

Test(titles, pairs_answered_by_titles_are_not_generated)
{
    struct fixture f;
    struct rr_error err = {0};
    struct rr_request q = request();
    open_fixture(&f, 2048, RR_ASK_QUESTIONS, 1);
    f.o.generate = true;
    cr_assert(rr_ranker_set(&f.ranker, &f.o, &err) == RR_ERR_USAGE && strstr(err.text, "titles"),
              "status %d: %s", err.status, err.text);
    err = (struct rr_error){0};
    f.o.tasks = RR_ASK(RR_LISTWISE); /* nothing is wrong with the others */
    cr_assert(rr_ranker_set(&f.ranker, &f.o, &err) == 0, "%s", err.text);
    ask(&f, &q);
    close_fixture(&f);
}

/* ---- likelihood in the hybrid ---- */

static void check_hybrid(struct fixture *f, const double *alpha)
{
    double got[N_ASKED], one[RR_N_SIGNALS][N_ASKED];
    rr_reply_scores(got, &f->reply, RR_BY_HYBRID, NULL);
    for (int t = 0; t < RR_N_SIGNALS; t++)
        rr_utility(one[t], &f->reply, (enum rr_task)t);
    for (int i = 0; i < N_ASKED; i++) {
        double sum = 0;
        for (int t = 0; t < RR_N_SIGNALS; t++)
            sum += alpha[t] * one[t][i];
        cr_assert(got[i] == sum && one[RR_LIKELIHOOD][i] == f->reply.likelihood[i],
                  "candidate %d: %.17g, expected %.17g", i, got[i], sum);
    }
}

Test(titles, likelihood_is_the_fourth_utility)
{
    static const double quarter[] = {.25, .25, .25, .25}, mine[] = {.5, 0, 2, .125},
                        third[] = {1.0 / 3, 1.0 / 3, 1.0 / 3, 0};
    struct fixture f;
    struct rr_error err = {0};
    struct rr_request q = request();
    open_fixture(&f, 2048, RR_ASK_ALL, 2);
    ask(&f, &q);
    check_hybrid(&f, quarter);
    memcpy(f.o.weights.alpha, mine, sizeof mine);
    cr_assert(rr_ranker_set(&f.ranker, &f.o, &err) == 0, "%s", err.text);
    ask(&f, &q);
    check_hybrid(&f, mine);
    f.o.weights = rr_weights_paper;
    cr_assert(rr_ranker_set(&f.ranker, &f.o, &err) == 0, "%s", err.text);
    ask(&f, &q);
    check_hybrid(&f, third);
    /* Of what was not asked the utility is nothing, so the likelihood alone decides. */
    f.o.weights = (struct rr_weights_hybrid){0};
    f.o.tasks = RR_ASK(RR_LIKELIHOOD);
    cr_assert(rr_ranker_set(&f.ranker, &f.o, &err) == 0, "%s", err.text);
    ask(&f, &q);
    double got[N_ASKED], likelihood[N_ASKED];
    struct rr_ranked a[N_ASKED], b[N_ASKED];
    rr_reply_scores(got, &f.reply, RR_BY_HYBRID, NULL);
    rr_reply_scores(likelihood, &f.reply, RR_BY_LIKELIHOOD, NULL);
    rr_order_by_score(a, got, N_ASKED);
    rr_order_by_score(b, likelihood, N_ASKED);
    for (int i = 0; i < N_ASKED; i++)
        cr_assert(a[i].candidate == b[i].candidate && got[i] == likelihood[i] / 4, "place %d", i);
    close_fixture(&f);
}
