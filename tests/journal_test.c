/* The journal of answered questions: found again to the bit, killed, damaged and shared. */
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "engine/base/mem.h"
#include "engine/base/rng.h"
#include "rec/eval/journal.h"
#include "rec/rank/ranker.h"
#include "tests/test.h"

static void open_journal(struct rr_journal *j, const char *path, const char *settings)
{
    struct rr_error err = {0};
    cr_assert(rr_journal_open(j, path, settings, &err) == 0, "%s: %s", err.code, err.text);
}

/* Any finite double, of any size. */
static double any_double(struct rr_rng *rng)
{
    static const double odd[] = {
        0.0, -0.0, 0.1, 4.9e-324, -2.2250738585072011e-308, 1.7976931348623157e308, 1.0 / 3};
    for (;;) {
        const uint64_t bits = rr_rng_u64(rng);
        double v;
        memcpy(&v, &bits, sizeof v);
        if (bits % 8 == 0)
            return odd[bits / 8 % 7];
        if (isfinite(v))
            return v;
    }
}

static void random_reply(struct rr_reply *r, int n, struct rr_rng *rng)
{
    struct rr_error err = {0};
    const int lists = (int)rr_rng_below(rng, 4), rounds = (int)rr_rng_below(rng, 3);
    cr_assert(rr_reply_resize(r, n, n / 2 * rounds, lists, &err) == 0, "%s", err.text);
    r->asked = (unsigned)rr_rng_below(rng, RR_ASK_ALL + 1);
    for (int i = 0; i < n; i++) {
        r->rating[i] = any_double(rng);
        r->likelihood[i] = any_double(rng);
    }
    for (int p = 0; p < r->n_pairs; p++) {
        const double backward = rr_rng_below(rng, 3) ? any_double(rng) : NAN;
        r->pairs[p] = (struct rr_pair_reply){2 * p % n, (2 * p + 1) % n, any_double(rng), backward};
    }
    for (int l = 0; l < lists; l++) {
        for (int i = 0; i < n; i++)
            r->shown[l * n + i] = r->listed[l * n + i] = n - 1 - i;
        rr_rng_shuffle(rng, r->listed + l * n, (size_t)n);
        for (int i = n - (int)rr_rng_below(rng, (uint64_t)n); i < n; i++)
            r->listed[l * n + i] = -1;
    }
    r->tokens_asked = (long long)(rr_rng_u64(rng) >> 24);
    r->tokens_computed = (long long)rr_rng_below(rng, 100);
    r->n_cut = (int)rr_rng_below(rng, 60);
    r->n_malformed = (int)rr_rng_below(rng, 30);
    r->n_invalid_lists = (int)rr_rng_below(rng, 5);
}

/* Looks for a reply shaped like another. */
static int find_like(struct rr_journal *j, int variant, int user, const struct rr_reply *like,
                     struct rr_reply *found, double *seconds)
{
    const struct rr_journal_shape shape = {like->n, like->asked, like->n_pairs, like->n_lists,
                                           true};
    struct rr_error err = {0};
    return rr_journal_find(j, variant, user, &shape, found, seconds, &err);
}

static bool same_double(double a, double b)
{
    return (isnan(a) && isnan(b)) || memcmp(&a, &b, sizeof a) == 0;
}

static void check_same(const struct rr_reply *a, const struct rr_reply *b)
{
    cr_assert(a->n == b->n && a->asked == b->asked && a->n_pairs == b->n_pairs &&
                  a->n_lists == b->n_lists && a->tokens_asked == b->tokens_asked &&
                  a->tokens_computed == b->tokens_computed && a->n_cut == b->n_cut &&
                  a->n_malformed == b->n_malformed && a->n_invalid_lists == b->n_invalid_lists,
              "counts");
    for (int i = 0; i < a->n && a->asked >> RR_POINTWISE & 1; i++)
        cr_assert(same_double(a->rating[i], b->rating[i]), "rating %.17g", a->rating[i]);
    for (int i = 0; i < a->n && a->asked >> RR_LIKELIHOOD & 1; i++)
        cr_assert(same_double(a->likelihood[i], b->likelihood[i]), "%.17g", a->likelihood[i]);
    for (int p = 0; p < a->n_pairs; p++) {
        const struct rr_pair_reply *x = &a->pairs[p], *y = &b->pairs[p];
        cr_assert(x->a == y->a && x->b == y->b && same_double(x->forward, y->forward) &&
                      same_double(x->backward, y->backward),
                  "pair %d", p);
    }
    for (int i = 0; i < a->n * a->n_lists; i++)
        cr_assert(a->shown[i] == b->shown[i] && a->listed[i] == b->listed[i], "place %d", i);
}

Test(journal, what_was_added_is_found_again_to_the_bit)
{
    enum { N = 300 };
    static struct rr_reply written[N];
    const char *path = path_in(temporary_dir(), "journal");
    struct rr_journal j;
    struct rr_reply found = {0};
    struct rr_error err = {0};
    struct rr_rng rng;
    double seconds[N], got;
    rr_rng_seed(&rng, 14);
    /* Entry i: variant i % 3, user 1000 - i, written in two runs. */
    for (int run = 0; run < 2; run++) {
        open_journal(&j, path, "seed 1; \"quoted\" \\ \xC3\xA9");
        for (int i = run * N / 2; i < (run + 1) * N / 2; i++) {
            random_reply(&written[i], 1 + i % 12, &rng);
            seconds[i] = 1e8 * pow(rr_rng_unit(&rng), 20);
            cr_assert(rr_journal_add(&j, i % 3, 1000 - i, &written[i], seconds[i], &err) == 0, "%s",
                      err.text);
        }
        rr_journal_close(&j);
    }
    open_journal(&j, path, "seed 1; \"quoted\" \\ \xC3\xA9");
    for (int i = N - 1; i >= 0; i--) {
        cr_assert(find_like(&j, i % 3, 1000 - i, &written[i], &found, &got) == 1, "entry %d", i);
        check_same(&written[i], &found);
        cr_assert(same_double(got, seconds[i]), "%.17g seconds, not %.17g", got, seconds[i]);
        cr_assert(find_like(&j, (i + 1) % 3, 1000 - i, &written[i], &found, &got) == 0, "%d", i);
    }
    cr_assert(find_like(&j, 0, 1001, &written[0], &found, &got) == 0, "a user who is not there");
    rr_journal_close(&j);
    rr_reply_free(&found);
}

static const char settings[] = "data invented; seed 1; model tiny";
static const struct rr_journal_shape three = {3, 15, 1, 1, true};

/* A journal of users 0 to n-1 of variant 0, three candidates each; rating of user u: u / 7. */
static const char *make_journal(int n)
{
    const char *path = path_in(temporary_dir(), "journal");
    struct rr_journal j;
    struct rr_reply r = {0};
    struct rr_error err = {0};
    open_journal(&j, path, settings);
    for (int u = 0; u < n; u++) {
        cr_assert(rr_reply_resize(&r, 3, 1, 1, &err) == 0, "%s", err.text);
        r.asked = RR_ASK_ALL;
        for (int i = 0; i < 3; i++) {
            r.rating[i] = u / 7.0 + i;
            r.shown[i] = r.listed[i] = i;
        }
        r.pairs[0] = (struct rr_pair_reply){0, 2, 0.25, -0.5};
        cr_assert(rr_journal_add(&j, 0, u, &r, 1.5, &err) == 0, "%s", err.text);
    }
    rr_journal_close(&j);
    rr_reply_free(&r);
    return path;
}

static int find_user(struct rr_journal *j, int user, struct rr_error *err)
{
    struct rr_reply r = {0};
    double seconds = -1;
    const int rc = rr_journal_find(j, 0, user, &three, &r, &seconds, err);
    cr_assert(rc != 1 || (r.rating[1] == user / 7.0 + 1 && seconds == 1.5 && r.n_pairs == 1 &&
                          r.pairs[0].backward == -0.5),
              "user %d has another's reply", user);
    rr_reply_free(&r);
    return rc;
}

/* Killed after any byte: complete lines count, the rest is gone, and writing goes on. */
Test(journal, a_line_cut_off_by_a_kill_is_dropped)
{
    size_t n, left;
    const char *path = make_journal(3);
    unsigned char *bytes = read_file(path, &n), *now;
    struct rr_journal j;
    struct rr_error err = {0};
    struct rr_reply r = {.n = 3}, found = {0};
    double seconds;
    for (size_t cut = 0; cut <= n; cut++) {
        size_t end = 0;
        int lines = 0;
        for (size_t i = 0; i < cut; i++)
            if (bytes[i] == '\n') {
                end = i + 1;
                lines++;
            }
        write_file(path, bytes, cut);
        open_journal(&j, path, settings);
        for (int u = 0; u < 3; u++)
            cr_assert(find_user(&j, u, &err) == (u < lines - 1), "cut at %zu: user %d", cut, u);
        cr_assert(rr_journal_add(&j, 1, 9, &r, 2, &err) == 0, "%s", err.text);
        rr_journal_close(&j);
        now = read_file(path, &left);
        cr_assert(left > end && memcmp(now, bytes, end) == 0 && now[end] == '{',
                  "cut at %zu: the complete lines changed", cut);
        open_journal(&j, path, settings);
        cr_assert(find_like(&j, 1, 9, &r, &found, &seconds) == 1 && seconds == 2,
                  "cut at %zu: what was added afterwards is not there", cut);
        rr_journal_close(&j);
        free(now);
    }
    rr_reply_free(&found);
    free(bytes);
}

static void check_untouched(const char *path, const void *bytes, size_t n)
{
    size_t now;
    unsigned char *p = read_file(path, &now);
    cr_assert(now == n && memcmp(p, bytes, n) == 0, "the file was changed");
    free(p);
}

Test(journal, another_run_s_journal_is_refused)
{
    size_t n;
    const char *path = make_journal(3);
    unsigned char *bytes = read_file(path, &n);
    struct rr_journal j;
    struct rr_error err = {0};
    write_file(path, bytes, n -= 3); /* not even what a kill cut off is dropped */
    cr_assert(rr_journal_open(&j, path, "data invented; seed 2; model tiny", &err) == RR_ERR_DATA &&
                  strcmp(err.code, "JOURNAL") == 0,
              "%d %s", err.status, err.code);
    cr_assert(strstr(err.text, "seed 1") && strstr(err.text, "seed 2"), "%s", err.text);
    check_untouched(path, bytes, n);
    open_journal(&j, path, settings);
    cr_assert(find_user(&j, 1, &err) == 1, "and its own run does not find it");
    rr_journal_close(&j);
    free(bytes);
}

Test(journal, what_is_no_journal_is_refused_and_kept)
{
    static const char *const other[] = {"Dear diary,\ntoday I ranked.\n",
                                        "{\"settings\":\"x\"}\n",
                                        "[1,2]\n",
                                        "\n",
                                        "{}\n{}\n",
                                        "no line",
                                        "{\"recrank_journal\":1,\"settings\":\"y",
                                        "{\"recrank_journal\":1,\"settings\":7}\n",
                                        "{\"recrank_journal\":2,\"settings\":\"x\"}\n",
                                        "{\"recrank_journal\":1,\"settings\":\"x\"\n"};
    const char *path = path_in(temporary_dir(), "other");
    for (size_t i = 0; i < sizeof other / sizeof other[0]; i++) {
        struct rr_journal j;
        struct rr_error err = {0};
        write_file(path, other[i], strlen(other[i]));
        cr_assert(rr_journal_open(&j, path, "x", &err) == RR_ERR_DATA &&
                      strcmp(err.code, "JOURNAL") == 0 && err.line == 1,
                  "%s: %d %s, line %lld", other[i], err.status, err.code, err.line);
        check_untouched(path, other[i], strlen(other[i]));
    }
}

/* Writes a journal of three lines whose third (line 4 of the file) is `line`. */
static void write_damaged(const char *path, const unsigned char *good, size_t n, const char *line)
{
    struct rr_buf b = {0};
    rr_buf_add(&b, (const char *)good, n);
    rr_buf_puts(&b, line);
    rr_buf_puts(&b, "\n");
    write_file(path, b.data, b.n);
    rr_buf_free(&b);
}

Test(journal, a_refused_one_keeps_even_what_a_kill_cut_off)
{
    size_t n, damaged;
    const char *path = make_journal(2);
    unsigned char *good = read_file(path, &n);
    struct rr_journal j;
    struct rr_error err = {0};
    write_damaged(path, good, n, "not a line\n{\"v\":0,\"u\":7,\"n");
    unsigned char *bytes = read_file(path, &damaged);
    bytes[damaged - 1] = 'x'; /* no line end: the last line was being written */
    write_file(path, bytes, damaged);
    cr_assert(rr_journal_open(&j, path, settings, &err) == RR_ERR_DATA && err.line == 4,
              "%d %s, line %lld", err.status, err.code, err.line);
    check_untouched(path, bytes, damaged);
    free(bytes);
    free(good);
}

Test(journal, a_late_difference_of_settings_is_shown)
{
    const char *path = path_in(temporary_dir(), "late");
    static const char
        a[] = "model ../a/folder/whose/name/is/long/enough/to/hide/what/differs/in/it/x",
        b[] = "model ../a/folder/whose/name/is/long/enough/to/hide/what/differs/in/it/y";
    struct rr_journal j;
    struct rr_error err = {0};
    open_journal(&j, path, a);
    rr_journal_close(&j);
    cr_assert(rr_journal_open(&j, path, b, &err) == RR_ERR_DATA && strstr(err.text, "it/x'") &&
                  strstr(err.text, "it/y'"),
              "%s", err.text);
}

Test(journal, lines_of_nothing_are_refused_by_number)
{
    static const char *const lines[] = {"",           "{}",
                                        "{\"v\":0}",  "{\"v\":0,\"u\":-1,\"n\":3}",
                                        "not a line", "{\"v\":-1,\"u\":1,\"n\":3}",
                                        "null",       "{\"u\":0,\"v\":1,\"n\":3}"};
    size_t n;
    const char *path = make_journal(2);
    unsigned char *good = read_file(path, &n);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct rr_journal j;
        struct rr_error err = {0};
        write_damaged(path, good, n, lines[i]);
        cr_assert(rr_journal_open(&j, path, settings, &err) == RR_ERR_DATA &&
                      strcmp(err.code, "JOURNAL") == 0 && err.line == 4,
                  "\"%s\": %d %s, line %lld", lines[i], err.status, err.code, err.line);
    }
    free(good);
}

/* The members behind a line's key; one of them left out, or another text in its place. */
static const char *line_with(int without, const char *instead)
{
    static const char *const members[] = {"\"n\":3",
                                          "\"asked\":15",
                                          "\"rating\":[1,2,3]",
                                          "\"likelihood\":[-1,-2,-3]",
                                          "\"pairs\":[[0,1,1,null]]",
                                          "\"lists\":1",
                                          "\"shown\":[0,1,2]",
                                          "\"listed\":[2,0,-1]",
                                          "\"tokens\":[9,9]",
                                          "\"cut\":0",
                                          "\"malformed\":0",
                                          "\"invalid\":0",
                                          "\"seconds\":1"};
    static char line[512];
    int n = snprintf(line, sizeof line, "{\"v\":0,\"u\":5");
    for (int m = 0; m < 13; m++) {
        const size_t key = strcspn(members[m], ":");
        const bool replaced = instead && strncmp(instead, members[m], key + 1) == 0;
        if (m != without)
            n +=
                snprintf(line + n, sizeof line - (size_t)n, ",%s", replaced ? instead : members[m]);
    }
    snprintf(line + n, sizeof line - (size_t)n, "}");
    return line;
}

Test(journal, damaged_lines_are_refused_by_number)
{
    static const char *const bad[] = {"\"n\":4",
                                      "\"asked\":8",
                                      "\"asked\":-1",
                                      "\"asked\":6",
                                      "\"rating\":[1,2]",
                                      "\"likelihood\":[]",
                                      "\"likelihood\":[-1,-2,null]",
                                      "\"rating\":[1,2,3,4]",
                                      "\"rating\":[1,2,null]",
                                      "\"rating\":[1,2,\"3\"]",
                                      "\"pairs\":[[0,3,1,1]]",
                                      "\"pairs\":[[-1,0,1,1]]",
                                      "\"pairs\":[[0,1.5,1,1]]",
                                      "\"pairs\":[[0,1,1]]",
                                      "\"pairs\":[{}]",
                                      "\"pairs\":{}",
                                      "\"lists\":65",
                                      "\"lists\":2",
                                      "\"shown\":[0,1,-1]",
                                      "\"listed\":[0,1]",
                                      "\"listed\":[0,1,3]",
                                      "\"listed\":[0,1,-2]",
                                      "\"pairs\":[]",
                                      "\"pairs\":[[1,1,1,1]]",
                                      "\"pairs\":[[0,1,null,1]]",
                                      "\"listed\":[0,1,0]",
                                      "\"listed\":[-1,0,1]",
                                      "\"shown\":[0,0,1]",
                                      "\"seconds\":null",
                                      "\"seconds\":-1",
                                      "\"tokens\":[9]",
                                      "\"tokens\":[9,-9]",
                                      "\"cut\":0.5",
                                      "\"seconds\":\"1\""};
    const int n_bad = (int)(sizeof bad / sizeof bad[0]);
    size_t n;
    const char *path = make_journal(2);
    unsigned char *good = read_file(path, &n);
    struct rr_reply r = {0};
    struct rr_journal j;
    double seconds;
    /* Each of these; then every member left out once; the last: nothing is wrong. */
    for (int i = 0; i <= n_bad + 13; i++) {
        struct rr_error err = {0};
        const char *line = line_with(i - n_bad, i < n_bad ? bad[i] : NULL);
        write_damaged(path, good, n, line);
        open_journal(&j, path, settings);
        const int rc = rr_journal_find(&j, 0, 5, &three, &r, &seconds, &err);
        cr_assert(i == n_bad + 13
                      ? rc == 1
                      : rc == RR_ERR_DATA && strcmp(err.code, "JOURNAL") == 0 && err.line == 4,
                  "%s: %d %s, line %lld", line, rc, err.code, err.line);
        cr_assert(find_user(&j, 0, &err) == 1 && find_user(&j, 1, &err) == 1, "the lines before");
        rr_journal_close(&j);
    }
    /* No JSON at all behind a key: refused at a byte of that line. */
    struct rr_error err = {0};
    write_damaged(path, good, n, "{\"v\":0,\"u\":5,\"n\":3,,}");
    open_journal(&j, path, settings);
    cr_assert(rr_journal_find(&j, 0, 5, &three, &r, &seconds, &err) == RR_ERR_DATA &&
                  (err.line == 4 || err.offset >= (long long)n),
              "%d %s, line %lld, byte %lld", err.status, err.code, err.line, err.offset);
    rr_journal_close(&j);
    rr_reply_free(&r);
    free(good);
}

/* A child holds the journal until it is told to go. */
Test(journal, one_process_writes_at_a_time)
{
    int ready[2], go[2], status;
    char c = 0;
    const char *path = make_journal(1);
    struct rr_journal j;
    struct rr_error err = {0};
    cr_assert(pipe(ready) == 0 && pipe(go) == 0, "no pipes");
    const pid_t child = fork();
    if (child == 0) {
        const int rc = rr_journal_open(&j, path, settings, &err);
        const bool told = write(ready[1], &c, 1) == 1 && read(go[0], &c, 1) == 1;
        rr_journal_close(&j);
        _exit(rc || !told);
    }
    cr_assert(child > 0 && read(ready[0], &c, 1) == 1, "no child");
    cr_assert(rr_journal_open(&j, path, settings, &err) == RR_ERR_BUSY &&
                  strcmp(err.code, "JOURNAL_BUSY") == 0 && j.fd == -1,
              "%d %s", err.status, err.code);
    cr_assert(write(go[1], &c, 1) == 1 && waitpid(child, &status, 0) == child && status == 0,
              "the child: %d", status);
    open_journal(&j, path, settings);
    cr_assert(find_user(&j, 0, &err) == 1, "after the other is done");
    rr_journal_close(&j);
}

Test(journal, without_a_path_nothing_happens)
{
    struct rr_journal j;
    struct rr_error err = {0};
    struct rr_reply r = {.n = 0};
    double seconds;
    open_journal(&j, NULL, settings);
    cr_assert(rr_journal_add(&j, 0, 1, &r, 1, &err) == 0, "%s", err.text);
    cr_assert(find_like(&j, 0, 1, &r, &r, &seconds) == 0, "something was found");
    rr_journal_close(&j);
    rr_journal_close(&j);
}

Test(journal, places_where_no_journal_can_be)
{
    const char *dir = temporary_dir(), *paths[3];
    paths[0] = path_in(dir, "missing/journal");
    paths[1] = dir;
    paths[2] = "/dev/null";
    for (int i = 0; i < 3; i++) {
        struct rr_journal j;
        struct rr_error err = {0};
        cr_assert(rr_journal_open(&j, paths[i], settings, &err) == RR_ERR_OPEN &&
                      strcmp(err.code, "JOURNAL") == 0 && strcmp(err.file, paths[i]) == 0,
                  "%s: %d %s", paths[i], err.status, err.code);
    }
}
