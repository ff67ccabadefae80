/* From a template to the text of a question, and from a split to an instruction set: every error
 * has its place, titles stay data, positions are shifted, and what is held out changes no byte. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/json.h"
#include "rec/prompt/instruct.h"
#include "tests/make_data.h"
#include "tests/test.h"

/* ---- templates ---- */

static void parse(struct rr_template *t, enum rr_task task, const char *text)
{
    struct rr_error err = {0};
    cr_assert(rr_template_parse(t, task, text, strlen(text), "a.txt", &err) == 0,
              "%s: line %lld: %s", text, err.line, err.text);
}

/* Names what it is asked for, but has nothing to say about the slots in the mask. */
static bool name_slot(void *arg, enum rr_slot slot, struct rr_buf *out)
{
    if (*(unsigned *)arg >> slot & 1)
        return false;
    rr_buf_printf(out, "<%d>", (int)slot);
    return true;
}

static const char *render(const struct rr_template *t, enum rr_section section, unsigned silent)
{
    static struct rr_buf out;
    rr_buf_clear(&out);
    rr_template_render(&out, t, section, name_slot, &silent);
    return out.data ? out.data : "";
}

static void expect(const char *text, const char *expected)
{
    cr_assert(strcmp(text, expected) == 0, "\"%s\", expected \"%s\"", text, expected);
}

static void expect_section(const struct rr_template *t, enum rr_section section, unsigned silent,
                           const char *expected)
{
    expect(render(t, section, silent), expected);
}

/* Refused with a line and a column; a ^ in the text, which is taken out, marks the place. */
static void refuse(enum rr_task task, const char *marked)
{
    struct rr_template t;
    struct rr_error err = {0};
    char text[96];
    const char *mark = strchr(marked, '^');
    const int before = mark ? (int)(mark - marked) : 0, n = (int)strlen(marked);
    snprintf(text, sizeof text, "%.*s%s", before, marked, mark ? mark + 1 : marked);
    int rc = rr_template_parse(&t, task, text, (size_t)n - !!mark, "a.txt", &err), line = 1, at = 1;
    cr_assert(rc == RR_ERR_DATA && strcmp(err.code, "TEMPLATE") == 0 && !strcmp(err.file, "a.txt"),
              "%s: %d %s %s", marked, rc, err.code, err.file);
    for (int i = 0; i < before; i++) {
        line += text[i] == '\n';
        at = text[i] == '\n' ? 1 : at + 1;
    }
    cr_assert(!mark || mark[1] != '}' || strstr(err.text, "brace"), "%s: %s", marked, err.text);
    cr_assert(mark ? err.line == line && err.column == at : err.line > 0 && err.column > 0,
              "%s: line %lld, column %lld: %s", marked, err.line, err.column, err.text);
    rr_template_free(&t);
}

Test(template, every_error_has_its_place)
{
    static const char *const bad[RR_N_TASKS][16] = {
        {"ab ^{titel}", "{title} ^{}", "^{ title}", "s ^{Noun}", "{title} ^{first}", "-^{top}",
         "{title} ^{oops", "{title} {{^{", "s ^}x", "{title} }}^}", "{title} ^}\r"},
        {"{first}{second} ^{rated}", " ^{top}", "^{title}", "{noun} ^{n}"},
        {"{candidates}^{title}", "^{rated}", "{n} ^{second}"}};
    static const char *const whole[] = {"s\n---\n{title}\n",
                                        "{title}",
                                        "s\n--- \n{title}\n---\nA:\n",
                                        "s\n---\n{noun}\n---\nA:\n",
                                        "s\n---\n{{title}}\n---\nA:\n",
                                        "s\n---\n{title}\n---\nA {noun}:\n",
                                        "s\n---\n{title}\n---\n{hint}\n",
                                        "s\n---\n{title}\n---\n",
                                        "s\n---\n{title}\n---\n\n\n",
                                        "s\n---\n{title}\n---\nA:\nB:\n",
                                        "s\n---\n{title}\n---\nA:\n^---\nB:\n",
                                        "s\n---\n{title}\n---\nA:\n^---"};
    char text[96];
    for (int task = 0; task < RR_N_TASKS; task++)
        for (int i = 0; bad[task][i]; i++) {
            snprintf(text, sizeof text, "s\n---\n%s\n---\nA:\n", bad[task][i]);
            refuse((enum rr_task)task, text);
            snprintf(text, sizeof text, "%s\n---\n{noun}\n---\nA:\n", bad[task][i]);
            refuse((enum rr_task)task, text);
        }
    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++)
        refuse(RR_POINTWISE, whole[i]);
    refuse(RR_PAIRWISE, "s\n---\n{first}\n---\nA:\n");
    refuse(RR_PAIRWISE, "s\n---\n{second}\n---\nA:\n");
    refuse(RR_LISTWISE, "s\n---\n{hint}\n---\nA:\n");
}

Test(template, braces_lines_and_sections)
{
    struct rr_template t;
    parse(&t, RR_POINTWISE,
          "\xEF\xBB\xBF{{noun}} {noun}}}{{\r\n{{\n\n}}}}\n\n\n---\n\n{title}{title} "
          "x\n---\nAnswer:\n\n");
    expect_section(&t, RR_SECTION_SYSTEM, 0, "{noun} <0>}{\n{\n\n}}");
    expect_section(&t, RR_SECTION_USER, 0, "\n<6><6> x");
    expect_section(&t, RR_SECTION_ANSWER, 0, "Answer:");
    rr_template_free(&t);
    parse(&t, RR_POINTWISE, "---\n{title}\n---\nA:");
    expect_section(&t, RR_SECTION_SYSTEM, 0, "");
    rr_template_free(&t);
}

Test(template, a_line_with_nothing_to_say_is_left_out)
{
    const unsigned hint = 1u << RR_SLOT_HINT, title = 1u << RR_SLOT_TITLE;
    struct rr_template t;
    parse(&t, RR_POINTWISE,
          "{hint}\n---\nsays {hint}\na {title}\n\n{noun} and {hint}: {noun}\nend\n{hint}\n---\nA:");
    expect_section(&t, RR_SECTION_USER, 0, "says <12>\na <6>\n\n<0> and <12>: <0>\nend\n<12>");
    expect_section(&t, RR_SECTION_USER, hint, "a <6>\n\nend");
    expect_section(&t, RR_SECTION_USER, hint | title, "\nend");
    expect_section(&t, RR_SECTION_SYSTEM, hint, "");
    rr_template_free(&t);
}

Test(template, compiled_ones_parse_also_from_a_file)
{
    const char *path = path_in(temporary_dir(), "template.txt");
    struct rr_template t;
    struct rr_error err = {0};
    for (int task = 0; task < RR_N_TASKS; task++) {
        const char *text = rr_template_text((enum rr_task)task);
        char user[4096];
        parse(&t, (enum rr_task)task, text);
        snprintf(user, sizeof user, "%s", render(&t, RR_SECTION_USER, 0));
        rr_template_free(&t);
        write_file(path, text, strlen(text));
        cr_assert(rr_template_load(&t, (enum rr_task)task, path, &err) == 0, "%s", err.text);
        expect_section(&t, RR_SECTION_USER, 0, user);
        expect_section(&t, RR_SECTION_ANSWER, 0, "Answer:");
        rr_template_free(&t);
    }
}

/* ---- prompts ---- */

/* Short templates: a whole prompt can be compared. */
struct asking {
    struct rr_template templates[RR_N_TASKS];
    struct rr_prompter p;
    struct rr_prompt prompt;
};

static void open_asking(struct asking *x, struct rr_prompt_style style)
{
    static const char *const texts[RR_N_TASKS] = {
        "{noun}, {nouns}, {levels}\n---\n{rated}\nT {title}\nH {hint}\n---\nA:",
        "P\n---\nL {liked}\nD {disliked}\n{first}>{second}\nH {hint}\n---\nA:",
        "{top} of {n}\n---\nL {liked}\nC {candidates}\nH {hint}\n---\nA:"};
    struct rr_error err = {0};
    *x = (struct asking){0};
    for (int t = 0; t < RR_N_TASKS; t++) {
        parse(&x->templates[t], (enum rr_task)t, texts[t]);
        style.templates[t] = &x->templates[t];
    }
    cr_assert(rr_prompter_init(&x->p, &style, &err) == 0, "%s", err.text);
}

static void close_asking(struct asking *x)
{
    rr_prompter_release(&x->p);
    rr_prompt_free(&x->prompt);
    for (int t = 0; t < RR_N_TASKS; t++)
        rr_template_free(&x->templates[t]);
}

static const char *make(struct asking *x, const struct rr_request *q, struct rr_question question)
{
    struct rr_error err = {0};
    cr_assert(rr_prompt_make(&x->prompt, &x->p, q, &question, &err) == 0, "%s", err.text);
    const struct rr_prompt *p = &x->prompt;
    const char *text = p->text.data;
    cr_assert(strlen(text) == p->text.n && strncmp(text + p->system_end, "\n\n", 2) == 0 &&
                  p->user_begin == p->system_end + 2 && strcmp(text + p->user_end, "\nA:") == 0,
              "the parts of %s", text);
    return text;
}

static void ask_rating(struct asking *x, const struct rr_request *q, int a, const char *expected)
{
    expect(make(x, q, (struct rr_question){.task = RR_POINTWISE, .a = a}), expected);
}

static void ask_pair(struct asking *x, const struct rr_request *q, int a, int b,
                     const char *expected)
{
    expect(make(x, q, (struct rr_question){.task = RR_PAIRWISE, .a = a, .b = b}), expected);
}

static void ask_list(struct asking *x, const struct rr_request *q, const int *shown,
                     const char *expected)
{
    expect(make(x, q, (struct rr_question){.task = RR_LISTWISE, .shown = shown}), expected);
}

static const struct rr_rated past[] = {{"Old Lamp", 4}, {"Cold Soup", 1}, {"Wet Paint", 3.5f},
                                       {"Red Door", 5}, {"Thin Ice", 2},  {"Long Road", 1.5f}};
static const struct rr_asked offers[] = {{"One", 3.46f},       {"Two", RR_NO_HINT}, {"Three", 1},
                                         {"Four", 4.96f},      {"Five", 2},         {"Six", 3},
                                         {"Seven", RR_NO_HINT}};

#define RATED                                                                                      \
    "\"Old Lamp\": 4\n\"Cold Soup\": 1\n\"Wet Paint\": 3.5\n\"Red Door\": 5\n\"Thin Ice\": 2\n"    \
    "\"Long Road\": 1.5\n"
#define LIKED "L \"Old Lamp\", \"Red Door\"\n"
#define DISLIKED "D \"Cold Soup\", \"Thin Ice\", \"Long Road\"\n"

Test(prompt, hints_are_said_when_there_are_any)
{
    static const int shown[7] = {6, 0, 5, 1, 4, 2, 3};
    struct asking x;
    struct rr_request q = {past, 6, offers, 7, 1, 3};
    open_asking(&x, (struct rr_prompt_style){0});
    ask_rating(&x, &q, 0, "movie, movies, 5\n\n" RATED "T \"One\"\nH 3.5\nA:");
    ask_rating(&x, &q, 3, "movie, movies, 5\n\n" RATED "T \"Four\"\nH 5.0\nA:");
    ask_rating(&x, &q, 1, "movie, movies, 5\n\n" RATED "T \"Two\"\nA:");
    /* The hint of a pair is turned along with it: the earlier candidate is the preferred one. */
    ask_pair(&x, &q, 1, 4, "P\n\n" LIKED DISLIKED "\"Two\">\"Five\"\nH Yes.\nA:");
    ask_pair(&x, &q, 4, 1, "P\n\n" LIKED DISLIKED "\"Five\">\"Two\"\nH No.\nA:");
    /* Candidates as shown, the hint's in retrieval order. */
    ask_list(&x, &q, shown,
             "5 of 7\n\n" LIKED
             "C \"Seven\", \"One\", \"Six\", \"Two\", \"Five\", \"Three\", \"Four\"\n"
             "H \"One\", \"Two\", \"Three\", \"Four\", \"Five\"\nA:");
    q.order_is_hint = 0;
    ask_pair(&x, &q, 1, 4, "P\n\n" LIKED DISLIKED "\"Two\">\"Five\"\nA:");
    ask_rating(&x, &q, 2, "movie, movies, 5\n\n" RATED "T \"Three\"\nH 1.0\nA:");
    close_asking(&x);
    q.order_is_hint = 1;
    open_asking(&x, (struct rr_prompt_style){.no_hints = true, .noun = "book", .levels = 10});
    ask_rating(&x, &q, 0, "book, items, 10\n\n" RATED "T \"One\"\nA:");
    ask_pair(&x, &q, 4, 1, "P\n\n" LIKED DISLIKED "\"Five\">\"Two\"\nA:");
    ask_list(&x, &q, shown,
             "5 of 7\n\n" LIKED
             "C \"Seven\", \"One\", \"Six\", \"Two\", \"Five\", \"Three\", \"Four\"\nA:");
    close_asking(&x);
}

Test(prompt, an_empty_history_is_none)
{
    struct asking x;
    struct rr_request q = {past, 6, offers, 7, 1, 3};
    open_asking(&x, (struct rr_prompt_style){.no_hints = true});
    q.n_history = 5; /* two disliked ones are too few to show */
    ask_pair(&x, &q, 0, 1, "P\n\n" LIKED "D None.\n\"One\">\"Two\"\nA:");
    q.n_history = 0;
    ask_pair(&x, &q, 0, 1, "P\n\nL None.\nD None.\n\"One\">\"Two\"\nA:");
    ask_rating(&x, &q, 0, "movie, movies, 5\n\nNone.\nT \"One\"\nA:");
    /* As little is left when the history is cut. */
    q.n_history = 6;
    expect(make(&x, &q, (struct rr_question){.task = RR_PAIRWISE, .a = 0, .b = 1, .from = 2}),
           "P\n\nL \"Red Door\"\nD None.\n\"One\">\"Two\"\nA:");
    expect(make(&x, &q, (struct rr_question){.task = RR_POINTWISE, .from = 6}),
           "movie, movies, 5\n\nNone.\nT \"One\"\nA:");
    close_asking(&x);
    /* Other thresholds: from 3.5 on liked, up to 3.5 disliked. */
    open_asking(&x, (struct rr_prompt_style){
                        .no_hints = true, .has_thresholds = true, .like = 3.5f, .dislike = 3.5f});
    ask_pair(&x, &q, 0, 1,
             "P\n\nL \"Old Lamp\", \"Wet Paint\", \"Red Door\"\nD \"Cold Soup\", \"Wet Paint\", "
             "\"Thin Ice\", \"Long Road\"\n\"One\">\"Two\"\nA:");
    close_asking(&x);
    /* Zero is a threshold like others: nothing is disliked, all is liked. */
    open_asking(&x, (struct rr_prompt_style){.no_hints = true, .has_thresholds = true});
    expect(make(&x, &q, (struct rr_question){.task = RR_PAIRWISE, .a = 0, .b = 1, .from = 4}),
           "P\n\nL \"Thin Ice\", \"Long Road\"\nD None.\n\"One\">\"Two\"\nA:");
    close_asking(&x);
}

/* 200 rated titles "n": every fourth disliked, the others liked. */
static struct rr_rated many[200];
static char numbers[200][12];

static void make_many(void)
{
    for (int i = 0; i < 200; i++) {
        snprintf(numbers[i], sizeof numbers[i], "%d", i);
        many[i] = (struct rr_rated){numbers[i], i % 4 ? 5 : 1};
    }
}

/* The numbers that stand in quotes between two texts, in their order; how many. */
static int quoted_numbers(int *out, const char *text, const char *from, const char *to)
{
    const char *p = strstr(text, from), *end = p ? strstr(p, to) : NULL;
    int n = 0;
    cr_assert(p && end, "no %s ... %s in %s", from, to, text);
    for (; (p = strchr(p, '"')) != NULL && p < end; p = strchr(p + 1, '"') + 1)
        out[n++] = atoi(p + 1);
    return n;
}

/* Those of the rated titles shown. */
static int rated_numbers(int *out, struct asking *x, const struct rr_request *q, int from)
{
    const struct rr_question question = {.task = RR_POINTWISE, .from = from};
    return quoted_numbers(out, make(x, q, question), "movies", "\nT ");
}

Test(prompt, the_newest_of_a_long_history_are_kept)
{
    static const int caps[3][3] = {{0, 0, 0}, {7, 9, 5}, {500, 500, 500}};
    static const int kept[3][3] = {{50, 50, 10}, {7, 9, 5}, {200, 150, 50}};
    struct rr_request q = {past, 6, offers, 7, 1, 3};
    make_many();
    q.history = many;
    q.n_history = 200;
    for (int c = 0; c < 3; c++) {
        struct asking x;
        int got[200];
        open_asking(&x, (struct rr_prompt_style){.max_rated = caps[c][0],
                                                 .max_liked = caps[c][1],
                                                 .max_disliked = caps[c][2]});
        int n = rated_numbers(got, &x, &q, 0);
        cr_assert(n == kept[c][0], "%d rated titles, expected %d", n, kept[c][0]);
        for (int i = 0; i < n; i++)
            cr_assert(got[i] == 200 - n + i, "rated title %d is number %d", i, got[i]);
        const char *pair = make(&x, &q, (struct rr_question){.task = RR_PAIRWISE, .b = 1});
        n = quoted_numbers(got, pair, "\nL ", "\nD ");
        cr_assert(n == kept[c][1], "%d liked titles, expected %d", n, kept[c][1]);
        for (int i = n - 1, at = 199; i >= 0; i--, at -= at % 4 == 1 ? 2 : 1)
            cr_assert(got[i] == at, "liked title %d is number %d, expected %d", i, got[i], at);
        n = quoted_numbers(got, pair, "\nD ", "\n\"One");
        cr_assert(n == kept[c][2], "%d disliked titles, expected %d", n, kept[c][2]);
        for (int i = 0; i < n; i++)
            cr_assert(got[i] == 200 - 4 * (n - i), "disliked title %d is number %d", i, got[i]);
        close_asking(&x);
    }
}

/* A shuffled history is the same titles; when old ones are cut the rest stays as it was. */
Test(prompt, a_shuffled_history_is_stable_when_it_is_cut)
{
    struct asking x;
    struct rr_request q = {past, 6, offers, 7, 1, 3};
    int whole[200], other[200], cut[200];
    make_many();
    q.history = many;
    q.n_history = 200;
    open_asking(&x, (struct rr_prompt_style){.max_rated = 200, .shuffle_history = true, .seed = 5});
    int n = rated_numbers(whole, &x, &q, 0);
    bool seen[200] = {false};
    for (int i = 0; i < 200; i++) {
        cr_assert(n == 200 && !seen[whole[i]], "%d titles, %d stands twice", n, whole[i]);
        seen[whole[i]] = true;
    }
    for (int from = 1; from < 200; from += 13) {
        int at = 0;
        n = rated_numbers(cut, &x, &q, from);
        for (int i = 0; i < 200; i++)
            if (whole[i] >= from)
                cr_assert(at < n && cut[at++] == whole[i], "from %d: place %d", from, at);
        cr_assert(at == n && n == 200 - from, "from %d: %d titles", from, n);
    }
    q.id = 4;
    n = rated_numbers(other, &x, &q, 0);
    cr_assert(n == 200 && memcmp(whole, other, sizeof whole) != 0, "another request, same order");
    close_asking(&x);
}

Test(prompt, titles_stay_data)
{
    static const struct rr_rated bad[] = {
        {"a\nQuestion: \"x\"?\r\n\tb\x7f", 5}, {"{title}", 5}, {"\xC3\xA9t\xC3\xA9", 5}};
    static const struct rr_asked evil[] = {{"\"\"\n", 1}, {"---\n{noun}", 2}};
    static const int shown[2] = {1, 0};
    struct asking x;
    struct rr_buf out = {0};
    struct rr_request q = {bad, 3, evil, 2, 1, 0};
    open_asking(&x, (struct rr_prompt_style){0});
#define CLEANED "\"a Question: 'x'?   b \""
    ask_rating(&x, &q, 0,
               "movie, movies, 5\n\n" CLEANED ": 5\n\"{title}\": 5\n\"\xC3\xA9t\xC3\xA9\": 5\n"
               "T \"'' \"\nH 1.0\nA:");
    ask_list(&x, &q, shown,
             "2 of 2\n\nL " CLEANED
             ", \"{title}\", \"\xC3\xA9t\xC3\xA9\"\nC \"--- {noun}\", \"'' \"\n"
             "H \"'' \", \"--- {noun}\"\nA:");
    for (int c = 1; c < 128; c++) {
        const char shows = (char)(c < 32 || c == 127 ? ' ' : c == '"' ? '\'' : c);
        const char title[] = {'a', (char)c, 'b', 0}, expected[] = {'"', 'a', shows, 'b', '"', 0};
        rr_buf_clear(&out);
        rr_prompt_add_title(&out, title);
        expect(out.data, expected);
    }
    /* Too long: cut between characters. */
    for (int n = RR_TITLE_BYTES - 1; n <= RR_TITLE_BYTES; n++) {
        char title[RR_TITLE_BYTES + 4] = "", expected[RR_TITLE_BYTES + 16];
        memset(title, 'a', (size_t)n);
        rr_buf_clear(&out);
        rr_prompt_add_title(&out, title);
        snprintf(expected, sizeof expected, "\"%s\"", title);
        expect(out.data, expected);
        snprintf(expected, sizeof expected, "\"%s...\"", title);
        strcpy(title + n, "\xC3\xA9");
        rr_buf_clear(&out);
        rr_prompt_add_title(&out, title);
        expect(out.data, expected);
    }
    rr_buf_free(&out);
    close_asking(&x);
}

/* Five standard deviations of a binomial. */
static void near(int count, int n, double p, const char *what)
{
    const double bound = 5 * sqrt(n * p * (1 - p));
    cr_assert(fabs(count - n * p) <= bound, "%s: %d of %d, not %g +- %g", what, count, n, n * p,
              bound);
}

Test(prompt, lists_are_shuffled_by_seed_request_and_number)
{
    enum { N = 8, REQUESTS = 8000 };
    struct rr_prompt_style style = {.seed = 7};
    int shown[N], again[N], counts[N][N] = {{0}}, n_same = 0;
    for (uint64_t request_id = 0; request_id < REQUESTS; request_id++) {
        unsigned seen = 0;
        rr_prompt_list_order(shown, N, &style, request_id, 0);
        for (int i = 0; i < N; i++) {
            seen |= 1u << shown[i];
            counts[i][shown[i]]++;
        }
        cr_assert(seen == 255, "no permutation");
        rr_prompt_list_order(again, N, &style, request_id, 1);
        n_same += memcmp(shown, again, sizeof shown) == 0;
    }
    for (int i = 0; i < N; i++)
        for (int c = 0; c < N; c++)
            near(counts[i][c], REQUESTS, 1.0 / N, "a candidate at a place");
    cr_assert(n_same < 8, "the second list is the first in %d requests", n_same);
    for (int off = 0; off < 2; off++) {
        style.no_shift = off;
        style.plain_lists = !off;
        rr_prompt_list_order(shown, N, &style, 5, 3);
        for (int i = 0; i < N; i++)
            cr_assert(shown[i] == i, "retrieval order: place %d shows %d", i, shown[i]);
    }
}

Test(prompt, pairs_are_a_random_perfect_matching)
{
    enum { N = 10, REQUESTS = 9000 };
    static int together[N][N];
    int pairs[N][2], pi[N], first_round[N / 2][2], n_same = 0;
    for (uint64_t id = 0; id < REQUESTS; id++) {
        unsigned seen = 0;
        cr_assert(rr_prompt_pairs(pairs, pi, N, 3, id, 0) == N / 2, "not five pairs");
        for (int t = 0; t < N / 2; t++) {
            seen |= 1u << pairs[t][0] | 1u << pairs[t][1];
            together[pairs[t][0]][pairs[t][1]]++;
        }
        cr_assert(seen == (1u << N) - 1, "not everybody has a partner");
        memcpy(first_round, pairs, sizeof first_round);
        rr_prompt_pairs(pairs, pi, N, 3, id, 1);
        n_same += memcmp(first_round, pairs, sizeof first_round) == 0;
    }
    for (int a = 0; a < N; a++)
        for (int b = 0; b < a; b++) {
            near(together[a][b] + together[b][a], REQUESTS, 1.0 / (N - 1), "a pair");
            near(together[a][b], REQUESTS, 0.5 / (N - 1), "a pair in one order");
        }
    cr_assert(n_same < 3, "a second round is the first in %d requests", n_same);
    for (int n = 1; n < N; n++) {
        int times[N] = {0};
        cr_assert(rr_prompt_pairs(pairs, pi, n, 3, 1, 0) == n / 2, "%d candidates", n);
        for (int i = 0; i < n / 2 * 2; i++)
            cr_assert(pairs[i / 2][i % 2] < n && !times[pairs[i / 2][i % 2]]++, "%d: twice", n);
    }
}

/* ---- instructions ---- */

struct record {
    struct rr_instruction in;
    struct rr_prompt prompt;
    const char *text;
    int n_seen; /* answers that the hint's model was fitted on */
};

struct work {
    struct rr_dataset d;
    struct rr_split s;
    struct rr_arena arena;
    struct record *records;
    size_t n, cap;
    struct rr_buf lines[3]; /* in every dialect */
    struct rr_instruct_report report;
    size_t stop_at; /* 0: never */
};

static int rating_of(const struct rr_split *s, int user, int item)
{
    for (size_t i = s->rated_start[user]; i < s->rated_start[user + 1]; i++)
        if (s->rated[i].item == item)
            return (int)s->rated[i].value;
    return 0;
}

static int keep(void *arg, const struct rr_instruction *in, struct rr_error *err)
{
    struct work *w = arg;
    struct record r = {.in = *in, .prompt = *in->prompt};
    (void)err;
    r.text = rr_arena_copy(&w->arena, in->prompt->text.data, in->prompt->text.n);
    r.in.answer = rr_arena_copy(&w->arena, in->answer, strlen(in->answer));
    for (int a = 0; a < in->n_answers; a++)
        r.n_seen += rating_of(in->hint_split, in->user, in->items[a]) > 0 ||
                    rr_split_is_train(in->hint_split, in->user, in->items[a]);
    cr_assert(rr_grow(&w->records, &w->cap, w->n + 1, sizeof r), "memory");
    w->records[w->n++] = r;
    for (int d = 0; d < 3; d++)
        rr_instruction_write(&w->lines[d], (enum rr_dialect)d, in, &w->d);
    return w->stop_at && w->n == w->stop_at ? RR_ERR_IO : RR_OK;
}

static void open_work(struct work *w)
{
    struct rr_error err = {0};
    *w = (struct work){0};
    cr_assert(rr_dataset_open(&w->d, make_data_dir(60, 45, 3), NULL, &err) == 0, "%s", err.text);
    cr_assert(rr_split_make(&w->s, &w->d, RR_SPLIT_BY_TIME, &err) == 0, "%s", err.text);
}

static void clear_work(struct work *w)
{
    rr_arena_free(&w->arena);
    w->n = 0;
    for (int d = 0; d < 3; d++)
        rr_buf_clear(&w->lines[d]);
    rr_sampling_free(&w->report.sampling);
}

static void close_work(struct work *w)
{
    clear_work(w);
    rr_free(w->records);
    for (int d = 0; d < 3; d++)
        rr_buf_free(&w->lines[d]);
    rr_split_free(&w->s);
    rr_dataset_close(&w->d);
}

static struct rr_instruct_options options(int n)
{
    return (struct rr_instruct_options){.sampling = {.n = n, .no_clustering = true, .seed = 2},
                                        .folds = {.n = 3, .kind = RR_BACKBONE_POP, .seed = 3},
                                        .style = {.levels = 5, .seed = 4},
                                        .seed = 5};
}

static void run(struct work *w, const struct rr_instruct_options *o)
{
    struct rr_error err = {0};
    clear_work(w);
    cr_assert(rr_instruct(&w->report, &w->s, NULL, 0, o, keep, w, &err) == 0, "%s", err.text);
}

static const char *quoted(const struct work *w, int item)
{
    static char ring[16][80];
    static int at;
    char *p = ring[at++ % 16];
    snprintf(p, 80, "\"%s\"", w->d.titles[item]);
    return p;
}

/* Whether an item's title stands in the history, that is before the question. */
static bool in_history(const struct work *w, const struct record *r, int item)
{
    const char *at = strstr(r->text + r->prompt.user_begin, quoted(w, item));
    return at && at < strstr(r->text, "Question:");
}

/* All other training ratings that the task shows are there, and nothing held out. */
static void check_history(const struct work *w, const struct record *r)
{
    for (int item = 0; item < w->d.n_items; item++) {
        const int rating = rating_of(&w->s, r->in.user, item);
        bool skip = rating > 0 && rating < 4 && r->in.task != RR_POINTWISE; /* few are not shown */
        for (int a = 0; a < r->in.n_items; a++)
            skip = skip || r->in.items[a] == item;
        cr_assert(skip || in_history(w, r, item) == (rating > 0), "item %d, rated %d: %s", item,
                  rating, r->text);
    }
}

/* Whether the hint of a pointwise instruction is the rating it asks for. */
static bool hint_tells(const struct record *r)
{
    const char *hint = strstr(r->text, "predicts ");
    cr_assert(hint && strlen(hint) > 12 && hint[12] == '.', "no hint in %s", r->text);
    return hint[9] == r->in.answer[8] && hint[11] == '0';
}

Test(instruct, answers_stand_in_their_own_history_only_when_official)
{
    struct work w;
    open_work(&w);
    for (int official = 0; official < 2; official++) {
        struct rr_instruct_options o = options(200);
        int n_told = 0;
        o.official = official;
        run(&w, &o);
        for (size_t i = 0; i < w.n; i++) {
            const struct record *r = &w.records[i];
            for (int a = 0; a < (official ? r->in.n_answers : r->in.n_items); a++)
                cr_assert(in_history(&w, r, r->in.items[a]) == (bool)official,
                          "instruction %zu, answer %d, official %d: %s", i, a, official, r->text);
            cr_assert(official ? r->n_seen == r->in.n_answers : r->n_seen == 0,
                      "the hint's model has seen %d of %d answers", r->n_seen, r->in.n_answers);
            check_history(&w, r);
            n_told += r->in.task == RR_POINTWISE && hint_tells(r);
        }
        cr_assert(official ? n_told == 200 : n_told < 40, "%d hints of 200 tell the answer",
                  n_told);
    }
    close_work(&w);
}

static void check_pointwise(const struct work *w, const struct record *r)
{
    char answer[32], question[160];
    const int rating = rating_of(&w->s, r->in.user, r->in.items[0]);
    snprintf(answer, sizeof answer, "Answer: %d", rating);
    snprintf(question, sizeof question, "rate the movie %s?", quoted(w, r->in.items[0]));
    cr_assert(r->in.n_items == 1 && r->in.n_answers == 1 && rating >= 1, "%d items", r->in.n_items);
    expect(r->in.answer, answer);
    cr_assert(strstr(r->text, question), "no %s in %s", question, r->text);
}

static void check_pairwise(const struct work *w, const struct record *r)
{
    char question[256];
    const bool yes = strcmp(r->in.answer, "Answer: Yes.") == 0;
    const int liked = r->in.items[0], other = r->in.items[1];
    cr_assert(r->in.n_items == 2 && r->in.n_answers == 1, "%d items", r->in.n_items);
    cr_assert(yes || strcmp(r->in.answer, "Answer: No.") == 0, "\"%s\"", r->in.answer);
    cr_assert(rating_of(&w->s, r->in.user, liked) >= 4, "an answer that is not liked");
    cr_assert(rating_of(&w->s, r->in.user, other) < 4 && w->s.train_count[other] > 0,
              "the other item is liked, or nobody's");
    snprintf(question, sizeof question, "prefer the movie %s over %s?",
             quoted(w, yes ? liked : other), quoted(w, yes ? other : liked));
    cr_assert(strstr(r->text, question), "no %s in %s", question, r->text);
}

static void check_listwise(const struct work *w, const struct record *r)
{
    static const int ratings[RR_LIST_SIZE] = {5, 5, 5, 4, 4};
    struct rr_buf answer = {0};
    const char *question = strstr(r->text, "Question:"), *end = strstr(question, "?\n");
    cr_assert(r->in.n_items == 10 && r->in.n_answers == 5 && end, "%d items", r->in.n_items);
    rr_buf_puts(&answer, "Answer: ");
    for (int i = 0; i < 10; i++) {
        const int rating = rating_of(&w->s, r->in.user, r->in.items[i]);
        const char *at = strstr(question, quoted(w, r->in.items[i]));
        cr_assert(rating == ratings[i], "item %d of the list is rated %d", i, rating);
        cr_assert(w->s.train_count[r->in.items[i]] > 0, "item %d is nobody's", i);
        cr_assert(at && at < end, "item %d is not shown: %s", i, r->text);
        for (int k = 0; k < i; k++)
            cr_assert(r->in.items[k] != r->in.items[i], "item %d stands twice", i);
        if (i < 5)
            rr_buf_printf(&answer, "%s%s", i ? ", " : "", quoted(w, r->in.items[i]));
    }
    expect(r->in.answer, answer.data);
    rr_buf_free(&answer);
}

Test(instruct, answers_say_what_the_user_rated)
{
    struct work w;
    struct rr_instruct_options o = options(300);
    int n[RR_N_TASKS] = {0}, eligible = 0;
    open_work(&w);
    run(&w, &o);
    for (size_t i = 0; i < w.n; i++) {
        const struct record *r = &w.records[i];
        n[r->in.task]++;
        (r->in.task == RR_POINTWISE  ? check_pointwise
         : r->in.task == RR_PAIRWISE ? check_pairwise
                                     : check_listwise)(&w, r);
    }
    /* Lists are made of those with three ratings of 5 and two of 4, and of nobody else. */
    for (int i = 0; i < w.report.sampling.n; i++) {
        int of[6] = {0};
        for (int item = 0; item < w.d.n_items; item++)
            of[rating_of(&w.s, w.report.sampling.users[i], item)]++;
        eligible += of[5] >= 3 && of[4] >= 2;
    }
    cr_assert(eligible > 20 && eligible < 300 && n[RR_POINTWISE] == 300 && n[RR_PAIRWISE] == 300 &&
                  n[RR_LISTWISE] == eligible,
              "%d, %d, %d instructions; %d eligible", n[0], n[1], n[2], eligible);
    for (int t = 0; t < RR_N_TASKS; t++)
        cr_assert(w.report.n[t] == n[t] && w.report.n_without[t] == 300 - n[t],
                  "%s: %d made and %d not, says the report", rr_task_name((enum rr_task)t),
                  w.report.n[t], w.report.n_without[t]);
    close_work(&w);
}

Test(instruct, positions_are_shifted_fairly)
{
    struct work w;
    struct rr_instruct_options o = options(3000);
    int n_yes = 0, n_hint_right = 0, n_pairs = 0, n_lists = 0, place[RR_LIST_SIZE] = {0};
    open_work(&w);
    run(&w, &o);
    for (size_t i = 0; i < w.n; i++) {
        const struct record *r = &w.records[i];
        const char *question = strstr(r->text, "Question:");
        if (r->in.task == RR_PAIRWISE) {
            const bool yes = strstr(r->in.answer, "Yes.") != NULL;
            n_pairs++;
            n_yes += yes;
            n_hint_right += yes == (strstr(question, "says Yes.") != NULL);
        } else if (r->in.task == RR_LISTWISE) {
            int before = 0;
            for (int k = 1; k < RR_LIST_SIZE; k++)
                before += strstr(question, quoted(&w, r->in.items[k])) <
                          strstr(question, quoted(&w, r->in.items[0]));
            place[before]++;
            n_lists++;
        }
    }
    near(n_yes, n_pairs, 0.5, "Yes");
    cr_assert(n_hint_right > 0.2 * n_pairs && n_hint_right < 0.95 * n_pairs,
              "popularity is right about %d of %d pairs", n_hint_right, n_pairs);
    for (int k = 0; k < RR_LIST_SIZE; k++)
        near(place[k], n_lists, 0.1, "the best at a place");
    o.style.no_shift = true;
    o.tasks = 1u << RR_PAIRWISE;
    run(&w, &o);
    for (size_t i = 0; i < w.n; i++)
        cr_assert(w.records[i].in.task == RR_PAIRWISE && strstr(w.records[i].in.answer, "Yes."),
                  "without shifting the liked one comes first");
    close_work(&w);
}

static const struct rr_json *member(const struct rr_json *v, const char *key)
{
    const struct rr_json *m = rr_json_get(v, key);
    cr_assert(m, "no \"%s\"", key);
    return m;
}

static void check_text(const struct rr_json *v, const char *text, size_t n)
{
    cr_assert(v->type == RR_JSON_STRING && v->n_text == n && memcmp(v->text, text, n) == 0,
              "\"%s\" is not \"%.*s\"", v->text, (int)n, text);
}

/* A turn of a conversation says who and what. */
static const struct rr_json *turn(const struct rr_json *list, size_t n, size_t i, const char *who,
                                  const char *name, const char *what)
{
    const struct rr_json *v = list->child;
    cr_assert(list->n_children == n, "%zu turns", list->n_children);
    while (i-- > 0)
        v = v->next;
    cr_assert(v->n_children == 2 && rr_json_is_string(member(v, who), name), "not of %s", name);
    return member(v, what);
}

static void check_line(const struct work *w, const struct record *r, enum rr_dialect dialect,
                       const struct rr_json *root)
{
    const struct rr_json *system, *user, *answer, *items = member(root, "items"), *list;
    if (dialect == RR_DIALECT_MESSAGES) {
        list = member(root, "messages");
        system = turn(list, 3, 0, "role", "system", "content");
        user = turn(list, 3, 1, "role", "user", "content");
        answer = turn(list, 3, 2, "role", "assistant", "content");
    } else if (dialect == RR_DIALECT_ALPACA) {
        system = member(root, "instruction");
        user = member(root, "input");
        answer = member(root, "output");
    } else {
        list = member(root, "conversations");
        system = member(root, "system");
        user = turn(list, 2, 0, "from", "human", "value");
        answer = turn(list, 2, 1, "from", "gpt", "value");
    }
    check_text(system, r->text, r->prompt.system_end);
    check_text(user, r->text + r->prompt.user_begin, r->prompt.user_end - r->prompt.user_begin);
    check_text(answer, r->in.answer, strlen(r->in.answer));
    cr_assert(rr_json_is_string(member(root, "task"), rr_task_name(r->in.task)) &&
                  rr_json_is_string(member(root, "user"), w->d.user_ids[r->in.user]) &&
                  items->n_children == (size_t)r->in.n_items,
              "task, user or items");
    const struct rr_json *item = items->child;
    for (int i = 0; i < r->in.n_items; i++, item = item->next)
        cr_assert(rr_json_is_string(item, w->d.item_ids[r->in.items[i]]), "item %d", i);
}

static const struct rr_json *parsed(struct rr_arena *arena, const char *text, size_t n)
{
    struct rr_json *root = NULL;
    struct rr_error err = {0};
    cr_assert(rr_json_parse(&root, arena, text, n, "line", 0, &err) == 0, "%s: %.*s", err.text,
              (int)n, text);
    return root;
}

Test(instruct, lines_parse_in_every_dialect)
{
    struct work w;
    struct rr_instruct_options o = options(40);
    struct rr_arena arena = {0};
    open_work(&w);
    run(&w, &o);
    for (int d = 0; d < 3; d++) {
        const char *line = w.lines[d].data;
        size_t n = 0;
        for (const char *end; *line; line = end + 1, n++) {
            end = strchr(line, '\n');
            cr_assert(end && n < w.n, "line %zu has no end", n);
            check_line(&w, &w.records[n], (enum rr_dialect)d,
                       parsed(&arena, line, (size_t)(end - line)));
        }
        cr_assert(n == w.n, "%zu lines of %zu instructions", n, w.n);
        rr_buf_clear(&w.lines[d]);
        rr_dialect_info(&w.lines[d], (enum rr_dialect)d, "a \"b\".jsonl");
        const struct rr_json *info = parsed(&arena, w.lines[d].data, w.lines[d].n);
        const char *kind = d == RR_DIALECT_ALPACA ? "alpaca" : "sharegpt";
        info = member(info, "recranker");
        cr_assert(rr_json_is_string(member(info, "file_name"), "a \"b\".jsonl") &&
                      rr_json_is_string(member(info, "formatting"), kind) &&
                      member(info, "columns")->n_children > 0,
                  "%s", w.lines[d].data);
    }
    rr_arena_free(&arena);
    close_work(&w);
}

/* Runs again, and whether the same bytes came out. */
static bool same_bytes(struct work *w, const struct rr_instruct_options *o,
                       const struct rr_buf *before)
{
    run(w, o);
    return w->lines[0].n == before->n && memcmp(w->lines[0].data, before->data, before->n) == 0;
}

Test(instruct, what_is_held_out_changes_no_byte)
{
    struct work w;
    struct rr_buf before = {0}, official = {0};
    struct rr_instruct_options o = options(150), leaky = o, other = o;
    leaky.official = true;
    open_work(&w);
    run(&w, &o);
    rr_buf_add(&before, w.lines[0].data, w.lines[0].n);
    cr_assert(same_bytes(&w, &o, &before), "the same seed, other bytes");
    other.seed++;
    cr_assert(!same_bytes(&w, &other, &before), "another seed, the same bytes");
    run(&w, &leaky);
    rr_buf_add(&official, w.lines[0].data, w.lines[0].n);
    cr_assert(same_bytes(&w, &leaky, &official), "the same seed, other bytes when official");
    for (int u = 0; u < w.d.n_users; u++) {
        w.s.valid[u].item = (w.s.valid[u].item + 7) % w.d.n_items;
        w.s.test[u].item = (w.s.test[u].item + 13) % w.d.n_items;
        w.s.valid[u].value = w.s.test[u].value = 1;
    }
    cr_assert(same_bytes(&w, &o, &before), "held-out items are in the instructions");
    cr_assert(!same_bytes(&w, &leaky, &official), "a leak that this test does not see");
    rr_buf_free(&before);
    rr_buf_free(&official);
    close_work(&w);
}

Test(instruct, it_stops_when_told_and_refuses_one_fold)
{
    struct work w;
    struct rr_error err = {0};
    struct rr_instruct_options o = options(30);
    open_work(&w);
    w.stop_at = 7;
    cr_assert(rr_instruct(&w.report, &w.s, NULL, 0, &o, keep, &w, &err) == RR_ERR_IO && w.n == 7,
              "stopped with %zu", w.n);
    clear_work(&w);
    o.folds.n = 1;
    cr_assert(rr_instruct(&w.report, &w.s, NULL, 0, &o, keep, &w, &err) == RR_ERR_USAGE &&
                  strcmp(err.code, "FOLDS") == 0 && w.n == 0,
              "one fold: %d %s", err.status, err.code);
    close_work(&w);
}
