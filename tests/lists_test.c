/* Candidate lists (spec/hostile-input.md, D34), the k-core and the splits of data without times or
 * with equal ones: against brute force on small data, and the published figures on real data. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/rng.h"
#include "engine/base/sha256.h"
#include "rec/backbone/lists.h"
#include "rec/eval/topn.h"
#include "tests/make_data.h"
#include "tests/test.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static void open_data(struct rr_dataset *d, struct rr_split *s, const char *path)
{
    struct rr_error err = {0};
    cr_assert(rr_dataset_open(d, path, NULL, &err) == 0, "%s", err.text);
    cr_assert(rr_split_make(s, d, rr_split_default_order(d), &err) == 0, "%s", err.text);
}

static void close_data(struct rr_dataset *d, struct rr_split *s)
{
    rr_split_free(s);
    rr_dataset_close(d);
}

/* Users u1 and u2, items a..f of which b and c are called the same. u1 trains on a, b, c and tests
 * e (d validates); u2 has no likes but a, too few to hold one out. */
static void open_small(struct rr_dataset *d, struct rr_split *s)
{
    static const char ratings[] = "user,item,rating,time\nu1,a,5,1\nu1,b,5,2\nu1,c,5,3\nu1,d,5,4\n"
                                  "u1,e,5,5\nu2,a,5,1\nu2,f,1,2\n",
                      items[] = "item,title\na,Alpha\nb,Twin\nc,Twin\nd,Delta\ne,Echo\nf,Foxtrot\n";
    const char *dir = temporary_dir();
    write_file(path_in(dir, "ratings.csv"), ratings, strlen(ratings));
    write_file(path_in(dir, "items.csv"), items, strlen(items));
    open_data(d, s, dir);
}

/* ---- reading lists ------------------------------------------------------------------------------
 */

static const struct {
    const char *name, *text, *code;
    long long line, column;
    const char *says;
} bad_lists[] = {
    {"D01 empty", "", "EMPTY", 0, 0, "empty"},
    {"D01 blank lines", "\n\r\n\n", "EMPTY", 0, 0, "no candidates"},
    {"D01 lists of nothing", "{\"user\":\"u1\",\"candidates\":[]}\n", "EMPTY", 0, 0,
     "no candidates"},
    {"D03 one column", "u1\td\nu1\n", "COLUMNS", 2, 1, "1 columns"},
    {"D03 four columns", "u1\td\t1\t2\n", "COLUMNS", 1, 1, "4 columns; expected user, item"},
    {"D03 scores now and then", "u1\td\t1\nu1\te\n", "COLUMNS", 2, 1, "as many as in the first"},
    {"D03 TREC behind TSV", "u1\td\t1\nu1 Q0 e 1 1 me\n", "COLUMNS", 2, 1, "6 columns"},
    {"D04 commas", "u1,d\n", "COLUMNS", 1, 1, "tabs"},
    {"D06 nan", "u1\td\tnan\n", "SCORE", 1, 0, "'nan'"},
    {"D06 none", "u1\td\t1\nu1\te\t\n", "SCORE", 2, 0, "''"},
    {"D06 1e309", "u1\td\t1e309\n", "SCORE", 1, 0, "'1e309'"},
    {"D06 beyond float", "u1\td\t1e39\n", "SCORE", 1, 0, "'1e39'"},
    {"D32 decimal comma", "u1\td\t3,5\n", "SCORE", 1, 0, "'3,5'"},
    {"D15 UTF-16", "\xFF\xFEu", "ENCODING", 0, 0, "UTF-16"},
    {"D30 gzip", "\x1F\x8B\x08", "ENCODING", 0, 0, "unpack"},
    {"D33 cut TREC", "u1 Q0 d 1 2 me\nu1 Q0 e 2\n", "COLUMNS", 2, 1, "4 columns"},
    {"D33 cut JSON", "{\"user\":\"u1\",\"candidates\":[\"d\"", "JSON", 1, 31, "ends here"},
    {"D34 unknown user", "u1\td\nu3\td\n", "USER", 2, 0, "'u3' is not in the data set"},
    {"D34 unknown item", "u1\td\n\nu1\tx\n", "ITEM", 3, 0, "'x' is not in the data set"},
    {"D34 a title for an item", "u1\tTwin\n", "ITEM", 1, 0, "'Twin'"},
    {"D34 twice", "u1\td\nu2\td\nu1\te\nu1\td\n", "DUPLICATE", 4, 0,
     "item d is a candidate of user u1 already, on line 1"},
    {"D34 twice with other scores", "u1\td\t1\nu1\td\t2\n", "DUPLICATE", 2, 0, "line 1"},
    {"D34 twice in a line", "{\"user\":\"u1\",\"candidates\":[\"d\",\"e\",\"d\"]}", "DUPLICATE", 1,
     0, "line 1"},
    {"D06 JSON beyond float",
     "{\"user\":\"u1\",\"candidates\":[{\"item\":\"d\",\"score\":1e39}]}\n", "SCORE", 1, 28,
     "range"},
    {"D03 scores now and then in JSON",
     "{\"user\":\"u1\",\"candidates\":[\"d\",{\"item\":\"e\",\"score\":1}]}\n", "SCORE", 1, 32,
     "score"},
    {"D03 TSV behind JSON", "{\"user\":\"u1\",\"candidates\":[\"d\"]}\nu1\te\n", "JSON", 2, 1, ""},
    {"D03 JSON behind TSV", "u1\td\n{\"user\":\"u1\",\"candidates\":[\"e\"]}\n", "COLUMNS", 2, 1,
     "1 col"},
    {"JSON user missing", "{\"candidates\":[\"d\"]}\n", "JSON", 1, 1, "expected"},
    {"JSON no list", "{\"user\":\"u1\",\"candidates\":\"d\"}\n", "JSON", 1, 1, "expected"},
    {"JSON null", "{\"user\":\"u1\",\"candidates\":[\"d\",null]}\n", "JSON", 1, 32, "expected"},
    {"JSON text score", "{\"user\":\"u1\",\"candidates\":[{\"item\":\"d\",\"score\":\"1\"}]}\n",
     "JSON", 1, 28, "NUMBER"},
    {"JSON syntax on line 2", "{\"user\":\"u1\",\"candidates\":[\"d\"]}\n{user:1}\n", "JSON", 2, 2,
     ""},
};

Test(lists, are_refused_by_code_line_and_column)
{
    struct rr_dataset d;
    struct rr_split s;
    struct rr_lists l;
    open_small(&d, &s);
    for (size_t i = 0; i < COUNT(bad_lists); i++) {
        struct rr_error err = {0};
        char text[9000];
        int rc = rr_lists_parse(&l, &s, 3, bad_lists[i].text, strlen(bad_lists[i].text), "run.txt",
                                &err);
        cr_assert(rc == RR_ERR_DATA && strcmp(err.code, bad_lists[i].code) == 0,
                  "%s: status %d, code %s: %s", bad_lists[i].name, rc, err.code, err.text);
        cr_assert(err.line == bad_lists[i].line && err.column == bad_lists[i].column &&
                      strcmp(err.file, "run.txt") == 0,
                  "%s: at %s:%lld:%lld", bad_lists[i].name, err.file, err.line, err.column);
        rr_error_format(text, sizeof text, &err);
        cr_assert(strstr(text, bad_lists[i].says), "%s: '%s'", bad_lists[i].name, text);
        cr_assert(!l.start && !l.list, "%s: something is left", bad_lists[i].name);
    }
    close_data(&d, &s);
}

Test(lists, zero_bytes_long_lines_and_missing_files_are_refused)
{
    static const char zero[] = "u1\td\nu1\t\0e\n";
    const size_t n = (1u << 20) + 64;
    char *line = malloc(n);
    struct rr_dataset d;
    struct rr_split s;
    struct rr_lists l;
    struct rr_error err = {0};
    open_small(&d, &s);
    memset(line, 'u', n);
    cr_assert(rr_lists_parse(&l, &s, 3, zero, sizeof zero - 1, "r", &err) == RR_ERR_DATA &&
                  strcmp(err.code, "LINE") == 0 && err.line == 2 && err.column == 4,
              "%s at %lld:%lld", err.code, err.line, err.column);
    cr_assert(rr_lists_parse(&l, &s, 3, line, n, "r", &err) == RR_ERR_DATA &&
                  strcmp(err.code, "LINE") == 0 && err.line == 1,
              "%s at %lld", err.code, err.line);
    cr_assert(rr_lists_load(&l, &s, 3, path_in(temporary_dir(), "none"), &err) == RR_ERR_OPEN &&
                  strstr(err.file, "none"),
              "%s: %s", err.file, err.text);
    free(line);
    close_data(&d, &s);
}

/* What is read: u1's list as text, and the counts of D34. */
static const struct {
    const char *name, *text, *list;
    int k, scored, listed, too_short, without;
    long long left_out;
} good_lists[] = {
    {"in file order without scores", "u1\tf\nu1\te\nu1\td\n", "f e d ", 3, 0, 1, 0, 0, 0},
    {"by score, ties in file order", "u1\tf\t1\nu1\te\t2.5\nu1\td\t1\n", "e f d ", 3, 1, 1, 0, 0,
     0},
    {"TREC: the rank says nothing", "u1 Q0 f 1 -3 me\nu1 Q0 e 2 7e1 me\n", "e f ", 2, 1, 1, 0, 0,
     0},
    {"TREC with tabs", "u1\tQ0\tf\t1\t2\tme\nu1  Q0  e  1  3  me\n", "e f ", 2, 1, 1, 0, 0, 0},
    {"JSON with scores",
     "{\"user\":\"u1\",\"candidates\":[{\"item\":\"f\",\"score\":1},{\"score\":2,\"item\":\"e\"}]}"
     "\n",
     "e f ", 2, 1, 1, 0, 0, 0},
    {"JSON without", "{\"candidates\":[\"f\",{\"item\":\"e\"}],\"user\":\"u1\"}", "f e ", 2, 0, 1,
     0, 0, 0},
    {"JSON in two lines",
     "{\"user\":\"u1\",\"candidates\":[\"f\"]}\n{\"user\":\"u1\",\"candidates\":[\"e\"]}", "f e ",
     2, 0, 1, 0, 0, 0},
    {"users need not be adjacent", "u1\te\nu2\tb\nu1\tf\nu2\tc\n", "e f ", 2, 0, 2, 0, 1, 0},
    {"fewer than k", "u1\te\n", "e ", 3, 0, 1, 1, 0, 0},
    {"target missing", "u1\tf\nu1\td\n", "f d ", 2, 0, 1, 0, 1, 0},
    {"target behind the k-th", "u1\tf\t3\nu1\te\t1\nu1\td\t2\n", "f d ", 2, 1, 1, 0, 1, 1},
    {"training likes are left out", "u1\ta\nu1\te\nu1\tb\nu1\tf\n", "e f ", 2, 0, 1, 0, 0, 2},
    {"nothing but training likes", "u1\ta\nu1\tb\nu2\td\n", "", 1, 0, 1, 0, 1, 2},
    {"D17 CRLF, blank lines, no end", "\r\nu1\tf\t1\r\n\r\nu1\te\t2", "e f ", 2, 1, 1, 0, 0, 0},
    {"D17 CR", "u1\tf\ru1\te\r", "f e ", 2, 0, 1, 0, 0, 0},
    {"D16 mark", "\xEF\xBB\xBFu1\tf\nu1\te\n", "f e ", 2, 0, 1, 0, 0, 0},
};

Test(lists, are_ordered_cut_and_counted)
{
    struct rr_dataset d;
    struct rr_split s;
    open_small(&d, &s);
    for (size_t i = 0; i < COUNT(good_lists); i++) {
        struct rr_lists l;
        struct rr_error err = {0};
        struct rr_sha256 sum;
        char hex[65], found[64] = "";
        const size_t n = strlen(good_lists[i].text);
        int rc = rr_lists_parse(&l, &s, good_lists[i].k, good_lists[i].text, n, "run.txt", &err);
        cr_assert(rc == 0, "%s: line %lld: %s", good_lists[i].name, err.line, err.text);
        for (size_t c = l.start[0]; c < l.start[1]; c++)
            snprintf(found + strlen(found), sizeof found - strlen(found), "%s ",
                     d.item_ids[l.list[c].item]);
        cr_assert(strcmp(found, good_lists[i].list) == 0, "%s: '%s'", good_lists[i].name, found);
        cr_assert(l.scored == (good_lists[i].scored != 0) &&
                      l.n_users_listed == good_lists[i].listed,
                  "%s: scored %d, %d users", good_lists[i].name, l.scored, l.n_users_listed);
        cr_assert(l.n_short == good_lists[i].too_short &&
                      l.n_without_test == good_lists[i].without &&
                      l.n_dropped == good_lists[i].left_out,
                  "%s: %d short, %d without their test item, %lld left out", good_lists[i].name,
                  l.n_short, l.n_without_test, l.n_dropped);
        rr_sha256_init(&sum);
        rr_sha256_add(&sum, good_lists[i].text, n);
        rr_sha256_hex(&sum, hex);
        cr_assert(strcmp(l.fingerprint, hex) == 0, "%s: fingerprint", good_lists[i].name);
        rr_lists_free(&l);
    }
    close_data(&d, &s);
}

/* D34: two films of one title are two items, and ids that JSON writes as numbers are those of the
 * files. */
Test(lists, map_by_id_not_by_title)
{
    static const char ratings[] = "user,item,rating,title\n1,10,5,Twin\n1,9,5,Twin\n1,8,1,Other\n",
                      run[] = "{\"user\":1,\"candidates\":[8]}\n",
                      twins[] = "{\"user\":\"2\",\"candidates\":[10,{\"item\":9}]}\n";
    const char *path = path_in(temporary_dir(), "r.csv");
    struct rr_dataset d;
    struct rr_split s;
    struct rr_lists l;
    struct rr_error err = {0};
    struct rr_buf both = {0};
    rr_buf_puts(&both, ratings);
    rr_buf_puts(&both, "2,8,5,Other\n");
    write_file(path, both.data, both.n);
    open_data(&d, &s, path);
    cr_assert(strcmp(d.titles[1], "Twin") == 0 && strcmp(d.titles[2], "Twin") == 0, "titles");
    rr_buf_clear(&both);
    rr_buf_puts(&both, run);
    rr_buf_puts(&both, twins);
    cr_assert(rr_lists_parse(&l, &s, 5, both.data, both.n, "run", &err) == 0, "%s", err.text);
    cr_assert(l.start[1] == 1 && l.start[2] == 3 && l.list[0].item == 0 && l.list[1].item == 2 &&
                  l.list[2].item == 1,
              "items %d, %d, %d", l.list[0].item, l.list[1].item, l.list[2].item);
    rr_lists_free(&l);
    rr_buf_free(&both);
    close_data(&d, &s);
}

/* The k best by a plain search over the lines of the file. */
Test(lists, equal_brute_force_on_random_files)
{
    struct rr_dataset d;
    struct rr_split s;
    struct rr_rng rng;
    open_data(&d, &s, make_data_dir(12, 25, 4));
    rr_rng_seed(&rng, 11);
    int *pairs = malloc((size_t)(d.n_users * d.n_items) * sizeof *pairs);
    for (int round = 0; round < 20; round++) {
        const int all = d.n_users * d.n_items, n = 1 + (int)rr_rng_below(&rng, (uint64_t)all);
        const int k = 1 + (int)rr_rng_below(&rng, 12);
        float score[300];
        struct rr_buf text = {0};
        struct rr_lists l;
        struct rr_error err = {0};
        for (int i = 0; i < all; i++)
            pairs[i] = i;
        rr_rng_shuffle(&rng, pairs, (size_t)all);
        for (int i = 0; i < n; i++) {
            score[i] = (float)rr_rng_below(&rng, 8) / 2;
            rr_buf_printf(&text, "%s\t%s\t%g\n", d.user_ids[pairs[i] / d.n_items],
                          d.item_ids[pairs[i] % d.n_items], (double)score[i]);
        }
        cr_assert(rr_lists_parse(&l, &s, k, text.data, text.n, "r", &err) == 0, "%s", err.text);
        long long left_out = n;
        for (int u = 0; u < d.n_users; u++) {
            bool taken[300] = {false};
            size_t at = l.start[u];
            for (int place = 0; place < k; place++) {
                int best = -1;
                for (int i = 0; i < n; i++)
                    if (pairs[i] / d.n_items == u && !taken[i] &&
                        !rr_split_is_train(&s, u, pairs[i] % d.n_items) &&
                        (best < 0 || score[i] > score[best]))
                        best = i;
                if (best < 0)
                    break;
                taken[best] = true;
                cr_assert(at < l.start[u + 1] && l.list[at].item == pairs[best] % d.n_items &&
                              l.list[at].score == score[best],
                          "round %d: user %d, place %d", round, u, place);
                at++;
                left_out--;
            }
            cr_assert(at == l.start[u + 1], "round %d: user %d has more", round, u);
        }
        cr_assert(l.n_dropped == left_out, "round %d: %lld left out", round, l.n_dropped);
        rr_lists_free(&l);
        rr_buf_free(&text);
    }
    free(pairs);
    close_data(&d, &s);
}

/* ---- lists of a backbone, written and read back -------------------------------------------------
 */

Test(lists, of_a_backbone_equal_its_candidates)
{
    static const enum rr_backbone_kind kinds[] = {RR_BACKBONE_POP, RR_BACKBONE_ITEMKNN};
    struct rr_dataset d;
    struct rr_split s;
    float scores[64];
    struct rr_candidate top[64];
    open_data(&d, &s, make_data_dir(40, 30, 7));
    for (size_t i = 0; i < COUNT(kinds); i++)
        for (int k = 1; k <= 40; k += 13) {
            struct rr_backbone b;
            struct rr_lists l;
            struct rr_error err = {0};
            const struct rr_fit_options o = {.neighbours = 5};
            int listed = 0;
            cr_assert(rr_backbone_fit(&b, kinds[i], &s, &o, &err) == 0, "%s", err.text);
            cr_assert(rr_lists_make(&l, &b, &s, k, &err) == 0, "%s", err.text);
            for (int u = 0; u < d.n_users; u++) {
                const int n = rr_backbone_candidates(top, k, &b, &s, u, scores);
                cr_assert(l.start[u + 1] - l.start[u] == (size_t)n &&
                              memcmp(top, l.list + l.start[u], (size_t)n * sizeof *top) == 0,
                          "%s, k %d: user %d", rr_backbone_name(kinds[i]), k, u);
                listed += n > 0;
            }
            cr_assert(l.n_users_listed == listed && l.scored && !l.fingerprint[0], "%d users",
                      l.n_users_listed);
            rr_lists_free(&l);
            rr_backbone_free(&b);
        }
    close_data(&d, &s);
}

/* One user's lines of a TREC run: ranks count from 1, scores fall strictly. */
static void check_trec(const char *text, int n, const char *user)
{
    char *copy = malloc(strlen(text) + 1), *at = copy;
    double before = INFINITY;
    memcpy(copy, text, strlen(text) + 1);
    for (int i = 0; i < n; i++) {
        char *field[6], *end = strchr(at, '\n');
        cr_assert(end, "user %s: line %d is missing", user, i + 1);
        *end = 0;
        for (int f = 0; f < 6; f++) {
            field[f] = at;
            at = strchr(at, ' ');
            cr_assert((at != NULL) == (f < 5), "user %s: field %d of line %d", user, f, i + 1);
            if (at)
                *at++ = 0;
        }
        at = end + 1;
        const double score = strtof(field[4], NULL); /* as trec_eval keeps it */
        cr_assert(strcmp(field[0], user) == 0 && strcmp(field[1], "Q0") == 0 &&
                      atoi(field[3]) == i + 1 && strcmp(field[5], "tag") == 0,
                  "user %s, line %d: %s %s %s %s", user, i + 1, field[0], field[1], field[3],
                  field[5]);
        cr_assert(score < before, "user %s: score %d is not below the one before", user, i + 1);
        before = score;
    }
    cr_assert(!*at, "user %s: more lines than candidates", user);
    free(copy);
}

Test(lists, written_in_each_form_read_back_the_same)
{
    struct rr_dataset d;
    struct rr_split s;
    struct rr_backbone b;
    struct rr_lists made, back;
    struct rr_error err = {0};
    open_data(&d, &s, make_data_dir(40, 30, 7));
    for (int kind = RR_BACKBONE_POP; kind <= RR_BACKBONE_ITEMKNN; kind += 2) {
        cr_assert(rr_backbone_fit(&b, (enum rr_backbone_kind)kind, &s, &(struct rr_fit_options){0},
                                  &err) == 0,
                  "%s", err.text);
        cr_assert(rr_lists_make(&made, &b, &s, 10, &err) == 0, "%s", err.text);
        for (int form = RR_LISTS_TSV; form <= RR_LISTS_JSONL; form++) {
            struct rr_buf text = {0};
            const char *path = path_in(temporary_dir(), "run");
            for (int u = 0; u < d.n_users; u++) {
                const size_t before = text.n;
                const int n = (int)(made.start[u + 1] - made.start[u]);
                rr_lists_write(&text, (enum rr_lists_format)form, &d, u, made.list + made.start[u],
                               n, true, "tag");
                if (form == RR_LISTS_TREC)
                    check_trec(text.data + before, n, d.user_ids[u]);
            }
            write_file(path, text.data, text.n);
            cr_assert(rr_lists_load(&back, &s, 10, path, &err) == 0, "form %d: line %lld: %s", form,
                      err.line, err.text);
            cr_assert(back.scored && back.n_dropped == 0 &&
                          back.n_users_listed == made.n_users_listed &&
                          memcmp(back.start, made.start,
                                 ((size_t)d.n_users + 1) * sizeof *back.start) == 0,
                      "form %d: lengths", form);
            /* TREC's scores are lowered where they tie. */
            for (size_t i = 0; i < made.start[d.n_users]; i++) {
                const float was = made.list[i].score, is = back.list[i].score;
                cr_assert(back.list[i].item == made.list[i].item &&
                              (is == was ||
                               (form == RR_LISTS_TREC && fabsf(is - was) <= 1e-4f * was + 1e-30f)),
                          "form %d: candidate %zu is %d (%g), was %d (%g)", form, i,
                          back.list[i].item, (double)is, made.list[i].item, (double)was);
            }
            rr_lists_free(&back);
            rr_buf_free(&text);
        }
        rr_lists_free(&made);
        rr_backbone_free(&b);
    }
    close_data(&d, &s);
}

/* Without scores the order alone is kept, and TREC's scores say it. */
Test(lists, without_scores_are_written_without)
{
    static const char *const forms[] = {
        "u1\tf\nu1\td\n", "u1 Q0 f 1 -1 me\nu1 Q0 d 2 -2 me\n",
        "{\"user\":\"u1\",\"candidates\":[{\"item\":\"f\"},{\"item\":\"d\"}]}\n"};
    struct rr_dataset d;
    struct rr_split s;
    open_small(&d, &s);
    const struct rr_candidate list[] = {{5, 0}, {3, 0}};
    for (int form = RR_LISTS_TSV; form <= RR_LISTS_JSONL; form++) {
        struct rr_buf text = {0};
        struct rr_lists l;
        struct rr_error err = {0};
        rr_lists_write(&text, (enum rr_lists_format)form, &d, 0, list, 2, false, "me");
        cr_assert(strcmp(text.data, forms[form]) == 0, "form %d: '%s'", form, text.data);
        cr_assert(rr_lists_parse(&l, &s, 2, text.data, text.n, "run", &err) == 0, "form %d: %s",
                  form, err.text);
        cr_assert(l.start[1] == 2 && l.list[0].item == 5 && l.list[1].item == 3 &&
                      l.scored == (form == RR_LISTS_TREC),
                  "form %d", form);
        rr_lists_free(&l);
        rr_buf_free(&text);
    }
    close_data(&d, &s);
}

Test(lists, ids_that_a_form_cannot_hold_are_named)
{
    static const struct {
        const char *ratings, *tsv, *trec; /* NULL: can be written; else the id that cannot */
    } cases[] = {
        {"user,item,rating\na,x,5\nb,y,1\n", NULL, NULL},
        {"user,item,rating\na b,x,5\nb,y,1\n", NULL, "a b"},
        {"user,item,rating\na,x y,5\nb,y,1\n", NULL, "x y"},
        {"user;item;rating\na;x\ty;5\nb;y;1\n", "x", "x"},
        {"user,item,rating\n\"a\nb\",x,5\nb,y,1\n", "a", "a"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *path = path_in(temporary_dir(), "r.csv");
        struct rr_dataset d;
        struct rr_split s;
        write_file(path, cases[i].ratings, strlen(cases[i].ratings));
        open_data(&d, &s, path);
        for (int form = RR_LISTS_TSV; form <= RR_LISTS_JSONL; form++) {
            const char *unfit = form == RR_LISTS_TSV    ? cases[i].tsv
                                : form == RR_LISTS_TREC ? cases[i].trec
                                                        : NULL;
            struct rr_error err = {0};
            int rc = rr_lists_check_ids((enum rr_lists_format)form, &d, &err);
            cr_assert(unfit ? rc == RR_ERR_DATA && strcmp(err.code, "ID") == 0 &&
                                  strstr(err.object, unfit)
                            : rc == 0,
                      "%zu, form %d: status %d, %s '%s'", i, form, rc, err.code, err.object);
        }
        close_data(&d, &s);
    }
}

/* Ids with quotes and letters beyond ASCII, a user without candidates, extreme scores. */
Test(lists, of_odd_ids_and_scores_are_written_and_read)
{
    static const char ratings[] =
        "user,item,rating\n\"a\"\"b\\\",1,5\nJ\xC3\xBCrgen,\xE2\x82\xAC,1\nnone,x,3\n";
    static const float scores[3] = {3.40282347e38f, 1e-45f, -0.1f};
    const char *path = path_in(temporary_dir(), "r.csv");
    struct rr_dataset d;
    struct rr_split s;
    struct rr_candidate list[3];
    struct rr_error err = {0};
    write_file(path, ratings, strlen(ratings));
    open_data(&d, &s, path);
    const int none = rr_dataset_user(&d, "none");
    for (int i = 0; i < 3; i++)
        list[i] = (struct rr_candidate){2 - i, scores[i]};
    for (int form = RR_LISTS_TSV; form <= RR_LISTS_JSONL; form++) {
        struct rr_buf text = {0};
        struct rr_lists l;
        for (int u = 0; u < d.n_users; u++)
            rr_lists_write(&text, (enum rr_lists_format)form, &d, u, list, u == none ? 0 : 3, true,
                           "t");
        cr_assert(rr_lists_parse(&l, &s, 3, text.data, text.n, "run", &err) == 0, "form %d: %s",
                  form, err.text);
        for (int u = 0; u < d.n_users; u++) {
            size_t at = l.start[u];
            for (int i = 0; u != none && i < 3; i++) {
                if (rr_split_is_train(&s, u, list[i].item))
                    continue;
                cr_assert(at < l.start[u + 1] && l.list[at].item == list[i].item &&
                              l.list[at].score == list[i].score,
                          "form %d: user %s, candidate %d", form, d.user_ids[u], i);
                at++;
            }
            cr_assert(at == l.start[u + 1], "form %d: user %s has more", form, d.user_ids[u]);
        }
        rr_lists_free(&l);
        rr_buf_free(&text);
    }
    close_data(&d, &s);
}

/* ---- the k-core ---------------------------------------------------------------------------------
 */

#define MOST 400
struct pair {
    int user, item, rating;
};

/* Takes out one rating at a time, of any user or item that has too few, until all have enough. */
static int brute_core(struct pair *p, int n, int k)
{
    for (bool again = true; again;) {
        again = false;
        for (int i = 0; i < n && !again; i++) {
            int of_user = 0, of_item = 0;
            for (int j = 0; j < n; j++) {
                of_user += p[j].user == p[i].user;
                of_item += p[j].item == p[i].item;
            }
            if (of_user < k || of_item < k) {
                memmove(p + i, p + i + 1, (size_t)(n - i - 1) * sizeof *p);
                n--;
                again = true;
            }
        }
    }
    return n;
}

static int random_pairs(struct pair *p, struct rr_buf *text, uint64_t seed)
{
    struct rr_rng rng;
    int n = 0;
    rr_rng_seed(&rng, seed);
    const int users = 3 + (int)rr_rng_below(&rng, 17), items = 3 + (int)rr_rng_below(&rng, 17);
    const uint64_t share = 10 + rr_rng_below(&rng, 60);
    rr_buf_puts(text, "user_id\titem_id\trating\n1000\t1000\t1\n1000\t1001\t5\n");
    p[n++] = (struct pair){1000, 1000, 1};
    p[n++] = (struct pair){1000, 1001, 5};
    for (int i = 0; i < users * items && n < MOST; i++) {
        if (rr_rng_below(&rng, 100) >= share)
            continue;
        p[n] = (struct pair){i * 7 % users, i / users, 1 + (int)rr_rng_below(&rng, 5)};
        bool twice = false;
        for (int j = 0; j < n; j++)
            twice = twice || (p[j].user == p[n].user && p[j].item == p[n].item);
        if (twice)
            continue;
        rr_buf_printf(text, "%d\t%d\t%d\n", p[n].user, p[n].item, p[n].rating);
        n++;
    }
    return n;
}

/* Whatever the order of taking out, the k-core is one; low ratings go before it. */
Test(core, equals_brute_force_on_random_data)
{
    static struct pair all[MOST + 8], kept[MOST + 8];
    int empty = 0, smaller = 0;
    for (int round = 0; round < 400; round++) {
        struct rr_buf text = {0};
        const int k = 1 + round % 6, low = round % 3,
                  n = random_pairs(all, &text, (uint64_t)round / 6);
        int n_kept = 0;
        for (int i = 0; i < n; i++)
            if (all[i].rating >= low)
                kept[n_kept++] = all[i];
        const int above = n_kept;
        n_kept = brute_core(kept, n_kept, k);
        struct rr_data_options o;
        struct rr_dataset d = {0};
        struct rr_error err = {0};
        const struct rr_files files = {{text.data, text.n, "r.inter"}, {0}, {0}};
        rr_data_defaults(&o);
        o.core = k;
        o.min_rating = low ? low : (double)NAN;
        int rc = rr_dataset_parse(&d, RR_FORMAT_RECBOLE, &files, &o, &err);
        if (!n_kept) {
            cr_assert(rc == RR_ERR_DATA && strcmp(err.code, "EMPTY") == 0 &&
                          strstr(err.text, "-core"),
                      "round %d: %d %s", round, rc, err.text);
        } else {
            cr_assert(rc == 0 && d.n_ratings == (size_t)n_kept,
                      "round %d: %zu ratings, expected %d", round, d.n_ratings, n_kept);
            for (int i = 0; i < n_kept; i++)
                cr_assert(atoi(d.user_ids[d.ratings[i].user]) == kept[i].user &&
                              atoi(d.item_ids[d.ratings[i].item]) == kept[i].item &&
                              d.ratings[i].value == (float)kept[i].rating,
                          "round %d: rating %d", round, i);
            long long outside = 0;
            for (int i = 0; i < d.n_dropped; i++)
                outside += strstr(d.dropped[i].reason, "-core") ? d.dropped[i].n : 0;
            cr_assert(outside == above - n_kept, "round %d: %lld outside", round, outside);
        }
        empty += !n_kept;
        smaller += n_kept > 0 && n_kept < above;
        rr_dataset_close(&d);
        rr_buf_free(&text);
    }
    cr_assert(empty > 20 && smaller > 50, "%d empty, %d smaller: the data try too little", empty,
              smaller);
}

/* Ten users and ten books, all pairs, and a user of nine ratings. */
static void crossing(struct rr_buf *ratings, struct rr_buf *books)
{
    rr_buf_puts(ratings, "User-ID;ISBN;Book-Rating\n");
    rr_buf_puts(books, "ISBN;Book-Title\n");
    for (int b = 0; b < 10; b++)
        rr_buf_printf(books, "B%d;Title %d\n", b, b);
    for (int u = 0; u < 11; u++)
        for (int b = 0; b < (u < 10 ? 10 : 9); b++)
            rr_buf_printf(ratings, "%d;B%d;%d\n", u, (b + u) % 10, b % 2 ? 3 : 9);
}

Test(core, of_bookcrossing_is_ten_unless_told_and_its_split_by_file_order)
{
    static const struct {
        int core, n_users, kept;
    } cases[] = {{-1, 10, 10}, {10, 10, 10}, {0, 11, 0}, {3, 11, 3}};
    const char *dir = temporary_dir();
    struct rr_buf ratings = {0}, books = {0};
    crossing(&ratings, &books);
    write_file(path_in(dir, "BX-Book-Ratings.csv"), ratings.data, ratings.n);
    write_file(path_in(dir, "BX-Books.csv"), books.data, books.n);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct rr_data_options o;
        struct rr_dataset d;
        struct rr_split s;
        struct rr_error err = {0};
        rr_data_defaults(&o);
        o.core = cases[i].core;
        cr_assert(rr_dataset_open(&d, dir, &o, &err) == 0, "%s", err.text);
        cr_assert(d.n_users == cases[i].n_users && d.core == cases[i].kept,
                  "core %d: %d users, core %d", cases[i].core, d.n_users, d.core);
        const struct rr_dropped *x = d.n_dropped ? &d.dropped[0] : NULL;
        cr_assert((cases[i].kept == 10) == (x != NULL) &&
                      (!x || (x->n == 9 && strcmp(x->reason, "outside the 10-core") == 0)),
                  "core %d: dropped", cases[i].core);
        cr_assert((strstr(d.settings, "10-core") != NULL) == (cases[i].kept == 10), "'%s'",
                  d.settings);
        cr_assert(rr_split_make(&s, &d, RR_SPLIT_BY_TIME, &err) == RR_ERR_USAGE &&
                      strcmp(err.code, "ORDER") == 0,
                  "a split by times that are not there");
        cr_assert(rr_split_default_order(&d) == RR_SPLIT_BY_FILE, "order");
        cr_assert(rr_split_make(&s, &d, RR_SPLIT_BY_FILE, &err) == 0, "%s", err.text);
        /* User 0 likes B0, B2, ... B8, user 1 likes B1, B3, ... B9, in this order. */
        cr_assert(strcmp(d.item_ids[s.test[0].item], "B8") == 0 &&
                      strcmp(d.item_ids[s.valid[0].item], "B6") == 0 &&
                      strcmp(d.item_ids[s.test[1].item], "B9") == 0 && s.n_ties == 0,
                  "the last like in the file tests");
        rr_split_free(&s);
        rr_dataset_close(&d);
    }
    rr_buf_free(&ratings);
    rr_buf_free(&books);
}

/* D28, D29: of equal times the file's order decides, whatever the ids; fewer than three likes all
 * train. */
Test(core, is_split_by_time_with_ties_in_file_order)
{
    static const char *const orders[] = {"u,c,5,7\nu,a,5,7\nu,b,5,7\n",
                                         "u,a,5,7\nu,b,5,7\nu,c,5,7\n",
                                         "u,b,5,9\nu,c,5,7\nu,a,5,7\n"};
    static const char *const expected[] = {"cab", "abc", "cab"}; /* train, valid, test */
    for (size_t i = 0; i < COUNT(orders); i++) {
        struct rr_dataset d = {0};
        struct rr_split s;
        struct rr_error err = {0};
        struct rr_buf text = {0};
        rr_buf_printf(&text, "user,item,rating,time\nv,a,5,1\nv,b,5,2\nw,c,1,1\n%s", orders[i]);
        const struct rr_files files = {{text.data, text.n, "r.csv"}, {0}, {0}};
        cr_assert(rr_dataset_parse(&d, RR_FORMAT_CSV, &files, NULL, &err) == 0, "%s", err.text);
        cr_assert(rr_split_make(&s, &d, RR_SPLIT_BY_TIME, &err) == 0, "%s", err.text);
        const int items[] = {s.train[s.train_start[0]].item, s.valid[0].item, s.test[0].item};
        for (int k = 0; k < 3; k++)
            cr_assert(d.item_ids[items[k]][0] == expected[i][k], "%zu: part %d has %s", i, k,
                      d.item_ids[items[k]]);
        cr_assert(s.n_ties == (i < 2) && s.n_too_few == 1 && s.n_users_with_likes == 2,
                  "%zu: %lld ties, %d too few", i, s.n_ties, s.n_too_few);
        cr_assert(s.test[1].item == -1 && s.valid[1].item == -1 && s.test[2].item == -1 &&
                      s.train_start[2] - s.train_start[1] == 2 &&
                      s.train_start[3] == s.train_start[2],
                  "%zu: two likes train, no likes do not", i);
        rr_split_free(&s);
        rr_dataset_close(&d);
        rr_buf_free(&text);
    }
}

/* ---- real data ----------------------------------------------------------------------------------
 */

Test(core, of_bookcrossing_has_the_known_size)
{
    SKIP_WITHOUT(dir, "data/bookcrossing");
    struct rr_dataset d;
    struct rr_split s;
    open_data(&d, &s, dir);
    cr_assert(d.n_ratings == 39185 && d.n_users == 1723 && d.n_items == 1937 && d.core == 10,
              "%zu ratings, %d users, %d items", d.n_ratings, d.n_users, d.n_items);
    cr_assert(s.order == RR_SPLIT_BY_FILE && d.n_bad == 0, "%lld bad lines", d.n_bad);
    close_data(&d, &s);
}

/* RecBole's table for ItemKNN on MovieLens-1M: ratings from 3, 10-core, split 8:1:1. */
Test(core, and_ratio_split_of_movielens_1m_give_the_published_figures)
{
    SKIP_SANITIZED();
    SKIP_WITHOUT(dir, "data/ml-1m");
    struct rr_data_options o;
    struct rr_dataset d;
    struct rr_split s;
    struct rr_held_out valid, test;
    struct rr_backbone b;
    struct rr_topn t;
    struct rr_error err = {0};
    rr_data_defaults(&o);
    o.min_rating = o.like = 3;
    o.core = 10;
    cr_assert(rr_dataset_open(&d, dir, &o, &err) == 0, "%s", err.text);
    cr_assert(rr_split_ratio(&s, &valid, &test, &d, (const double[]){8, 1, 1}, 1, &err) == 0, "%s",
              err.text);
    cr_assert(s.train_start[d.n_users] == 673059 && valid.start[d.n_users] == 80695 &&
                  test.start[d.n_users] == 80695,
              "%zu, %zu, %zu", s.train_start[d.n_users], valid.start[d.n_users],
              test.start[d.n_users]);
    const struct rr_fit_options fit = {.neighbours = 250, .shrink = 1.2};
    cr_assert(rr_backbone_fit(&b, RR_BACKBONE_ITEMKNN, &s, &fit, &err) == 0, "%s", err.text);
    cr_assert(rr_topn_evaluate(&t, &b, &s, &valid, &test, &err) == 0, "%s", err.text);
    cr_assert(t.n_train == 673059 && t.n_valid == 80695 && t.n_test == 80695, "sizes");
    cr_assert(t.recall >= 0.170 && t.recall <= 0.176, "recall %.4f", t.recall);
    cr_assert(t.ndcg >= 0.234 && t.ndcg <= 0.244, "NDCG %.4f", t.ndcg);
    rr_backbone_free(&b);
    rr_held_out_free(&valid);
    rr_held_out_free(&test);
    rr_split_free(&s);
    rr_dataset_close(&d);
}
