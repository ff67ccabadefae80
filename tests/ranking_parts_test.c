/* The parts of ranking that need no model: answers as token sequences and their probabilities,
 * lists that are permutations whatever the logits say, reading generated text, the orders that
 * follow from a reply, and requests as JSON. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/rng.h"
#include "rec/rank/choices.h"
#include "rec/rank/listing.h"
#include "rec/rank/parse.h"
#include "rec/rank/reply.h"
#include "rec/rank/request_json.h"
#include "tests/make_files.h"
#include "tests/test.h"

/* ---- choices ---- */

static const char *const one_to_ten[] = {"1", "2", "3", "4", "5", "6", "7", "8", "9", "10"};
static const char *const yes_no[] = {"Yes.", "No."};

/* A logit that depends on what came before and what comes next, and on nothing else. */
static float logit_of(uint64_t seed, const int *path, int n, int next)
{
    for (int i = 0; i < n; i++)
        seed = (seed + (uint64_t)path[i] + 1) * 0x9E3779B97F4A7C15u;
    seed = (seed + (uint64_t)next + 1) * 0xBF58476D1CE4E5B9u;
    return (float)(seed >> 40) / (float)(1 << 20) - 8;
}

/* Answers as the tokenizer spells them behind the prompt's end, ended when one begins another. */
struct spelt {
    int ids[RR_MAX_CHOICES][24], n[RR_MAX_CHOICES], n_common;
    bool ended;
};

static bool begins(const struct spelt *s, int a, int b) /* a begins b */
{
    return s->n[a] <= s->n[b] &&
           memcmp(s->ids[a], s->ids[b], (size_t)s->n[a] * sizeof s->ids[0][0]) == 0;
}

static void spell(struct spelt *s, const struct rr_tokenizer *t, const char *const *answers, int n)
{
    struct rr_encoding e = {0};
    struct rr_error err = {0};
    char text[64];
    *s = (struct spelt){.ended = false};
    cr_assert(rr_tokenizer_encode(t, &e, "\nAnswer:", 8, &err) == 0, "%s", err.text);
    const size_t n_prompt = e.n;
    for (int i = 0; i < n; i++) {
        const int len = snprintf(text, sizeof text, "\nAnswer: %s", answers[i]);
        cr_assert(rr_tokenizer_encode(t, &e, text, (size_t)len, &err) == 0, "%s", err.text);
        s->n[i] = (int)(e.n - n_prompt);
        cr_assert(s->n[i] > 0 && s->n[i] < 23, "%d tokens of \"%s\"", s->n[i], answers[i]);
        memcpy(s->ids[i], e.ids + n_prompt, (size_t)s->n[i] * sizeof *e.ids);
    }
    for (int a = 0; a < n; a++)
        for (int b = 0; b < n; b++)
            s->ended = s->ended || (a != b && begins(s, a, b));
    for (int a = 0; a < n && s->ended; a++)
        s->ids[a][s->n[a]++] = rr_tokenizer_eos(t);
    for (bool same = true; same; s->n_common += same)
        for (int a = 0; a < n && same; a++)
            same = s->n_common < s->n[a] && s->ids[a][s->n_common] == s->ids[0][s->n_common];
    rr_encoding_free(&e);
}

/* log p of answer a: at every token, its logit against those of all tokens with which an answer
 * goes on that is the same up to there. */
static double log_p_of(const struct spelt *s, int n, int a, uint64_t seed)
{
    double sum = 0;
    for (int depth = s->n_common; depth < s->n[a]; depth++) {
        const int *path = s->ids[a] + s->n_common, *seen[RR_MAX_CHOICES];
        double all = 0, own = 0;
        int n_seen = 0;
        for (int b = 0; b < n; b++) {
            const int *next = &s->ids[b][depth];
            bool goes_on =
                s->n[b] > depth && memcmp(s->ids[a], s->ids[b], (size_t)depth * sizeof *next) == 0;
            for (int k = 0; k < n_seen; k++)
                goes_on = goes_on && *seen[k] != *next;
            if (!goes_on)
                continue;
            seen[n_seen++] = next;
            const double e = exp((double)logit_of(seed, path, depth - s->n_common, *next));
            all += e;
            own = *next == s->ids[a][depth] ? e : own;
        }
        sum += log(own / all);
    }
    return sum;
}

static void check_choices(const struct rr_tokenizer *t, const char *const *answers, int n)
{
    struct rr_choices c;
    struct rr_encoding e = {0};
    struct rr_error err = {0};
    struct spelt s;
    cr_assert(rr_choices_make(&c, t, &e, "\nAnswer:", answers, n, rr_tokenizer_eos(t), &err) == 0,
              "%s", err.text);
    spell(&s, t, answers, n);
    cr_assert(c.n == n && c.n_common == s.n_common &&
                  memcmp(c.common, s.ids[0], (size_t)c.n_common * sizeof *c.common) == 0,
              "%d common tokens, expected %d", c.n_common, s.n_common);
    cr_assert(c.n_branches >= 1 && c.branches[0].n_path == 0, "the first branch is at the root");
    for (uint64_t seed = 1; seed < 40; seed++) {
        float logits[RR_MAX_CHOICES * RR_MAX_CHOICES];
        double log_p[RR_MAX_CHOICES], total = 0;
        int n_logits = 0;
        for (int k = 0; k < c.n_branches; k++) {
            const struct rr_branch *b = &c.branches[k];
            cr_assert(b->n_ids >= 2, "branch %d has %d ways", k, b->n_ids);
            for (int w = 0; w < b->n_ids; w++)
                logits[n_logits++] = logit_of(seed, b->path, b->n_path, b->ids[w]);
        }
        cr_assert(n_logits == c.n_logits, "%d logits, %d ways", c.n_logits, n_logits);
        rr_choices_log_p(log_p, &c, logits);
        for (int i = 0; i < n; i++) {
            const double expected = log_p_of(&s, n, i, seed);
            cr_assert(fabs(log_p[i] - expected) < 1e-9, "\"%s\": %.12g, expected %.12g", answers[i],
                      log_p[i], expected);
            total += exp(log_p[i]);
        }
        cr_assert(fabs(total - 1) < 1e-12, "%d answers: the sum is %.15g", n, total);
    }
    rr_encoding_free(&e);
}

/* Where "1" and "10" part, if 10 is spelt as 1 and more: at the end of the text. */
static bool one_and_ten_part_at_the_end(const struct rr_tokenizer *t)
{
    struct rr_choices c;
    struct rr_encoding e = {0};
    struct rr_error err = {0};
    bool found = false;
    cr_assert(rr_choices_make(&c, t, &e, "\nAnswer:", one_to_ten, 10, rr_tokenizer_eos(t), &err) ==
                  0,
              "%s", err.text);
    for (int k = 0; k < c.n_branches; k++) {
        const struct rr_branch *b = &c.branches[k];
        int pass = 0;
        for (int i = 0; i < 10; i++)
            pass += b->way[i] >= 0;
        if (pass == 2 && b->way[0] >= 0 && b->way[9] >= 0)
            found = found || (b->ids[b->way[0]] == rr_tokenizer_eos(t) &&
                              b->ids[b->way[9]] != rr_tokenizer_eos(t));
    }
    rr_encoding_free(&e);
    return found;
}

static void check_tokenizer(const struct rr_tokenizer *t)
{
    static const char *const odd[] = {"a", "ab", "abc", "b", "bc", "Yes.", "1"};
    check_choices(t, one_to_ten, 5);
    check_choices(t, one_to_ten, 10);
    check_choices(t, yes_no, 2);
    check_choices(t, odd, 7);
    struct spelt s;
    spell(&s, t, one_to_ten, 10);
    cr_assert(one_and_ten_part_at_the_end(t) == s.ended, "1 and 10 part elsewhere");
    static const char *const twins[] = {"Yes.", "No.", "Yes."};
    struct rr_choices c;
    struct rr_encoding e = {0};
    struct rr_error err = {0};
    cr_assert(rr_choices_make(&c, t, &e, "\nAnswer:", twins, 3, rr_tokenizer_eos(t), &err) ==
                      RR_ERR_DATA &&
                  strcmp(err.code, "ANSWER_TOKENS") == 0,
              "two equal answers: %d %s", err.status, err.code);
    rr_encoding_free(&e);
}

Test(choices, probabilities_of_a_tiny_tokenizer)
{
    struct tiny tiny;
    struct rr_buf bytes = {0};
    struct rr_tokenizer *t;
    struct rr_error err = {0};
    tiny_make(&tiny, &tiny_default);
    sentencepiece_from_tiny(&bytes, &tiny);
    cr_assert(rr_tokenizer_from_sentencepiece(&t, bytes.data, bytes.n, "tiny", &err) == 0, "%s",
              err.text);
    check_tokenizer(t);
    rr_tokenizer_close(t);
    rr_buf_free(&bytes);
    tiny_free(&tiny);
}

Test(choices, probabilities_of_llama2_s_tokenizer)
{
    SKIP_WITHOUT(path, "golden/tokenizer/llama2/tokenizer.model");
    struct rr_tokenizer *t;
    struct rr_error err = {0};
    cr_assert(rr_tokenizer_from_file(&t, path, &err) == 0, "%s", err.text);
    check_tokenizer(t);
    cr_assert(one_and_ten_part_at_the_end(t), "1 and 10 are not told apart by the end");
    rr_tokenizer_close(t);
}

/* a = 5 7, b = 5 8, c = 6; at the root 3 to 1 for 5, behind it 1 to 3 for 7. */
Test(choices, branches_multiply)
{
    const struct rr_choices c = {
        .n = 3,
        .branches = {{.ids = {5, 6}, .n_ids = 2, .way = {0, 0, 1}},
                     {.path = {5}, .n_path = 1, .ids = {7, 8}, .n_ids = 2, .way = {0, 1, -1}}},
        .n_branches = 2,
        .n_logits = 4};
    static const double expected[] = {0.75 * 0.25, 0.75 * 0.75, 0.25};
    for (int shift = -20000; shift <= 20000; shift += 10000) {
        const float base = (float)shift, three = (float)log(3);
        const float logits[] = {base + three, base, -base, -base + three};
        double p[3];
        rr_choices_log_p(p, &c, logits);
        for (int i = 0; i < 3; i++)
            cr_assert(fabs(exp(p[i]) - expected[i]) < 2e-3, "shift %d: answer %d has %g, not %g",
                      shift, i, exp(p[i]), expected[i]);
        cr_assert(fabs(exp(p[0]) + exp(p[1]) + exp(p[2]) - 1) < 1e-12, "shift %d: the sum", shift);
    }
    /* Out of reach, and still a number. */
    const float far[] = {0, -3e4f, 3e4f, 0};
    double p[3];
    rr_choices_log_p(p, &c, far);
    cr_assert(p[0] == 0 && p[1] == -3e4 && p[2] == -3e4, "%g, %g, %g", p[0], p[1], p[2]);
}

/* ---- lists ---- */

#define MAX_ELEMENTS 30

struct elements {
    int n, tokens[MAX_ELEMENTS * 8], start[MAX_ELEMENTS + 1];
};

/* Few different tokens, copies, prefixes and extensions of earlier ones. */
static void random_elements(struct elements *x, struct rr_rng *rng)
{
    const int n_different = 1 + (int)rr_rng_below(rng, 4);
    x->n = 1 + (int)rr_rng_below(rng, MAX_ELEMENTS);
    x->start[0] = 0;
    for (int e = 0; e < x->n; e++) {
        const int kind = (int)rr_rng_below(rng, 5), at = x->start[e];
        int n = 1 + (int)rr_rng_below(rng, 8), copied = 0;
        if (e && kind < 3) {
            const int other = (int)rr_rng_below(rng, (uint64_t)e);
            const int len = x->start[other + 1] - x->start[other];
            copied = kind == 0 ? len : 1 + (int)rr_rng_below(rng, (uint64_t)len);
            memcpy(x->tokens + at, x->tokens + x->start[other], (size_t)copied * sizeof(int));
            n = kind == 2 && copied < 8 ? copied + 1 : copied;
        }
        for (int i = copied; i < n; i++)
            x->tokens[at + i] = (int)rr_rng_below(rng, (uint64_t)n_different);
        x->start[e + 1] = at + n;
    }
}

/* The same by the words of listing.h: element by element, token by token. */
static void naive_list(int *order, const struct elements *x, uint64_t seed, bool constant)
{
    bool used[MAX_ELEMENTS] = {false};
    for (int place = 0; place < x->n; place++) {
        bool alive[MAX_ELEMENTS];
        int chosen = -1, path[8];
        for (int e = 0; e < x->n; e++)
            alive[e] = !used[e];
        for (int depth = 0; chosen < 0; depth++) {
            int best = -1;
            float most = 0;
            for (int e = x->n - 1; e >= 0; e--)
                if (alive[e] && x->start[e + 1] - x->start[e] == depth)
                    chosen = e;
            for (int e = 0; e < x->n && chosen < 0; e++) {
                const int token = alive[e] ? x->tokens[x->start[e] + depth] : -1;
                const float l = constant ? 1 : logit_of(seed + (uint64_t)place, path, depth, token);
                if (alive[e] && (best < 0 || l > most)) {
                    best = token;
                    most = l;
                }
            }
            for (int e = 0; e < x->n && chosen < 0; e++)
                alive[e] = alive[e] && x->tokens[x->start[e] + depth] == best;
            path[depth < 8 ? depth : 0] = best;
        }
        used[chosen] = true;
        order[place] = chosen;
    }
}

/* Decodes with logits of what was decoded of the current element; returns the branches asked. */
static int decode(struct rr_listing *l, const struct elements *x, uint64_t seed, bool constant,
                  int *decoded, int *n_decoded)
{
    int n, n_branches = 0;
    *n_decoded = 0;
    rr_listing_start(l, x->n, x->tokens, x->start);
    while (rr_listing_run(l, decoded + *n_decoded, &n)) {
        float logits[MAX_ELEMENTS];
        *n_decoded += n;
        cr_assert(*n_decoded < x->start[x->n], "%d tokens decoded", *n_decoded);
        cr_assert(l->n_allowed >= 2, "a branch with %d ways", l->n_allowed);
        for (int w = 0; w < l->n_allowed; w++) {
            const int *path = decoded + *n_decoded - l->depth;
            for (int v = 0; v < w; v++)
                cr_assert(l->allowed[v] != l->allowed[w], "one way twice");
            logits[w] =
                constant ? 1 : logit_of(seed + (uint64_t)l->n_done, path, l->depth, l->allowed[w]);
        }
        rr_listing_choose(l, logits);
        cr_assert(++n_branches <= x->start[x->n], "it does not end");
    }
    *n_decoded += n;
    return n_branches;
}

Test(listing, whatever_the_logits_say_it_is_a_permutation)
{
    struct rr_listing l;
    struct rr_error err = {0};
    struct rr_rng rng;
    long n_branches = 0;
    rr_rng_seed(&rng, 21);
    cr_assert(rr_listing_init(&l, MAX_ELEMENTS, &err) == 0, "%s", err.text);
    for (int trial = 0; trial < 12000; trial++) {
        struct elements x;
        int decoded[MAX_ELEMENTS * 8 + 1], n_decoded, order[MAX_ELEMENTS];
        bool seen[MAX_ELEMENTS] = {false};
        const bool constant = trial % 4 == 0;
        random_elements(&x, &rng);
        n_branches += decode(&l, &x, (uint64_t)trial * 1000, constant, decoded, &n_decoded);
        cr_assert(l.n_done == x.n, "%d of %d elements", l.n_done, x.n);
        for (int i = 0; i < x.n; i++) {
            cr_assert(l.order[i] >= 0 && l.order[i] < x.n && !seen[l.order[i]], "no permutation");
            seen[l.order[i]] = true;
        }
        naive_list(order, &x, (uint64_t)trial * 1000, constant);
        cr_assert(memcmp(order, l.order, (size_t)x.n * sizeof *order) == 0,
                  "trial %d: not the order of the logits", trial);
        /* What was decoded is the elements' tokens in that order, but for the last one's. */
        int at = 0;
        for (int i = 0; i + 1 < x.n; i++) {
            const int e = l.order[i], n = x.start[e + 1] - x.start[e];
            cr_assert(at + n <= n_decoded &&
                          memcmp(decoded + at, x.tokens + x.start[e], (size_t)n * sizeof(int)) == 0,
                      "trial %d: place %d was decoded otherwise", trial, i);
            at += n;
        }
        cr_assert(at == n_decoded, "trial %d: %d tokens decoded, expected %d", trial, n_decoded,
                  at);
    }
    cr_assert(n_branches > 50000, "only %ld branches", n_branches);
    rr_listing_release(&l);
}

Test(listing, equal_titles_and_prefixes_come_in_their_order)
{
    /* a, ab, a, b: with a preferred over b, and the end over going on. */
    static const int tokens[] = {1, 1, 2, 1, 2}, start[] = {0, 1, 3, 4, 5};
    static const int expected[] = {0, 2, 1, 3};
    static const float logits[] = {3, 3, 3, 3};
    struct rr_listing l;
    struct rr_error err = {0};
    int out[5], n;
    cr_assert(rr_listing_init(&l, 4, &err) == 0, "%s", err.text);
    rr_listing_start(&l, 4, tokens, start);
    while (rr_listing_run(&l, out, &n))
        rr_listing_choose(&l, logits);
    cr_assert(memcmp(l.order, expected, sizeof expected) == 0, "%d %d %d %d", l.order[0],
              l.order[1], l.order[2], l.order[3]);
    rr_listing_start(&l, 1, tokens, start);
    cr_assert(!rr_listing_run(&l, out, &n) && n == 0 && l.order[0] == 0,
              "one element needs no decoding");
    rr_listing_release(&l);
}

/* ---- generated text ---- */

Test(parse, ratings)
{
    static const struct {
        const char *text;
        int levels, expected;
    } cases[] = {{"4", 5, 4},          {" Answer: 3.", 5, 3},
                 {"5 out of 5", 5, 5}, {"6", 5, 0},
                 {"0", 5, 0},          {"10", 10, 10},
                 {"10", 5, 0},         {"11", 10, 0},
                 {"", 5, 0},           {"four", 5, 0},
                 {"004", 5, 4},        {"-2", 5, 2},
                 {"1234567", 5, 0},    {"99999999999999999999999", 10, 0},
                 {"a1b2", 5, 1},       {"50", 5, 0},
                 {"101", 10, 0},       {"\xFF\x80 2\xC3", 5, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const int v = rr_parse_rating(cases[i].text, strlen(cases[i].text), cases[i].levels);
        cr_assert(v == cases[i].expected, "\"%s\" of %d: %d, expected %d", cases[i].text,
                  cases[i].levels, v, cases[i].expected);
    }
    cr_assert(rr_parse_rating("3", 0, 5) == 0 && rr_parse_rating("12", 1, 5) == 1,
              "more than the text was read");
}

Test(parse, yes_and_no)
{
    static const char *const yes[] = {"Yes.", "yes", " YES", "\"Yes.\"", "\n 'yEs", "Yes\xFF"};
    static const char *const no[] = {"No.", "no", "\n\nNO", "\"'No"};
    static const char *const neither[] = {
        "", "y", "Ye", "n", "I say yes", "\xD9\xC5\xD3", "Y e s", "1", "\"\"\"", "\x19\x05\x13"};
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++)
        cr_assert(rr_parse_yes_no(yes[i], strlen(yes[i])) == 1, "\"%s\" is no yes", yes[i]);
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++)
        cr_assert(rr_parse_yes_no(no[i], strlen(no[i])) == -1, "\"%s\" is no no", no[i]);
    for (size_t i = 0; i < sizeof neither / sizeof neither[0]; i++)
        cr_assert(rr_parse_yes_no(neither[i], strlen(neither[i])) == 0, "\"%s\" is read",
                  neither[i]);
    cr_assert(rr_parse_yes_no("Yes.", 2) == 0 && rr_parse_yes_no("No.", 1) == 0,
              "more than the text was read");
}

static const struct rr_asked shelf[] = {
    {"Red Door", 0}, {"Old \"Lamp\"", 0}, {"Red Door", 0}, {"Cold\nSoup", 0}, {"", 0}, {"Red", 0}};

static void check_list(const char *text, size_t n, int n_bad, const char *expected)
{
    const struct rr_request q = {.candidates = shelf, .n_candidates = 6};
    int listed[6], bad;
    bool used[6];
    char got[32] = "";
    struct rr_buf spelled = {0};
    memset(listed, 77, sizeof listed);
    bad = rr_parse_list(listed, &q, text, n, used, &spelled);
    rr_buf_free(&spelled);
    for (int i = 0, at = 0; i < 6; i++)
        at += snprintf(got + at, sizeof got - (size_t)at, listed[i] < 0 ? "-" : "%d", listed[i]);
    cr_assert(bad == n_bad && strcmp(got, expected) == 0, "%.*s: %s, %d bad; expected %s, %d",
              (int)n, text, got, bad, expected, n_bad);
}

Test(parse, lists)
{
    static const struct {
        const char *text, *expected;
        int n_bad;
    } cases[] = {{"Answer: \"Red\", \"Red Door\"", "50----", 0},
                 {"\"Red Door\", \"Red Door\", \"Red Door\"", "02----", 1},
                 {"\"Old 'Lamp'\"\n\"Cold Soup\"", "13----", 0},
                 {"\"Old \"Lamp\"\"", "4-----", 1}, /* three quoted: Old, nothing */
                 {"\"red door\", \"Red Door \", \"Re\", \"Red\"", "5-----", 3},
                 {"no quotes at all", "------", 0},
                 {"\"Red", "------", 0},
                 {"", "------", 0},
                 {"\"\"\"\"", "4-----", 1},
                 {"\"Red\" \"Cold\nSoup\"", "5-----", 1},
                 {"x\"Red\"y\"Red Door\"z\"", "50----", 0},
                 {"\"\xFF\xFE\", \"Red\"", "5-----", 1},
                 {"\"Red\",\"\",\"Cold Soup\",\"Red Door\",\"Old 'Lamp'\",\"Red Door\",\"Red\"",
                  "543012", 1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_list(cases[i].text, strlen(cases[i].text), cases[i].n_bad, cases[i].expected);
    check_list("\"Red\"", 4, 0, "------");
    check_list("\"Red\0\" \"Red\"", 12, 1, "5-----");
}

/* Random bytes, with many quotes and pieces of titles: each candidate once at most, those left
 * behind them, and as many bad ones as there are quoted texts without a candidate. */
Test(parse, any_bytes)
{
    static const char *const pieces[] = {"\"", "Red",  " Door", "Cold Soup",
                                         "'",  "\xFF", "yes",   "7"};
    const struct rr_request q = {.candidates = shelf, .n_candidates = 6};
    struct rr_rng rng;
    struct rr_buf spelled = {0};
    rr_rng_seed(&rng, 3);
    for (int trial = 0; trial < 20000; trial++) {
        struct rr_buf b = {0};
        int listed[6], n_listed = 0, n_quotes = 0;
        bool used[6], seen[6] = {false};
        for (int k = (int)rr_rng_below(&rng, 24); k > 0; k--) {
            const char byte = (char)rr_rng_below(&rng, 256);
            if (rr_rng_below(&rng, 8))
                rr_buf_puts(&b, pieces[rr_rng_below(&rng, 2) ? 0 : rr_rng_below(&rng, 8)]);
            else
                rr_buf_add(&b, &byte, 1);
        }
        const char *text = b.data ? b.data : "";
        for (size_t i = 0; i < b.n; i++)
            n_quotes += text[i] == '"';
        const int bad = rr_parse_list(listed, &q, text, b.n, used, &spelled);
        for (int i = 0; i < 6; i++) {
            const int c = listed[i];
            cr_assert(c >= -1 && c < 6 && (c < 0 || (!seen[c] && n_listed == i)), "listed %d", c);
            n_listed += c >= 0;
            if (c >= 0)
                seen[c] = true;
        }
        cr_assert(bad + n_listed == n_quotes / 2, "%d quotes, %d listed, %d bad", n_quotes,
                  n_listed, bad);
        const int rating = rr_parse_rating(text, b.n, 5), yes = rr_parse_yes_no(text, b.n);
        cr_assert(rating >= 0 && rating <= 5 && yes >= -1 && yes <= 1, "%d, %d", rating, yes);
        rr_buf_free(&b);
    }
    rr_buf_free(&spelled);
}

/* ---- replies ---- */

static double some_value(struct rr_rng *rng)
{
    return ((double)rr_rng_below(rng, 9) - 4) / 4; /* with zeros and ties */
}

static void random_reply(struct rr_reply *r, struct rr_rng *rng)
{
    struct rr_error err = {0};
    const int n = 1 + (int)rr_rng_below(rng, 12), rounds = 1 + (int)rr_rng_below(rng, 3);
    const int lists = 1 + (int)rr_rng_below(rng, 3);
    int pi[12];
    cr_assert(rr_reply_resize(r, n, rounds * (n / 2), lists, &err) == 0, "%s", err.text);
    r->asked = (unsigned)rr_rng_below(rng, 1u << RR_N_SIGNALS);
    for (int i = 0; i < n; i++) {
        r->rating[i] = 3 + some_value(rng);
        r->likelihood[i] = some_value(rng) - 20;
        pi[i] = i;
    }
    for (int p = 0; p < r->n_pairs; p++) {
        if (p % (n / 2) == 0)
            rr_rng_shuffle(rng, pi, (size_t)n);
        r->pairs[p] =
            (struct rr_pair_reply){pi[p % (n / 2)], pi[p % (n / 2) + n / 2], some_value(rng),
                                   rr_rng_below(rng, 4) ? some_value(rng) : NAN};
    }
    for (int l = 0; l < lists; l++) {
        rr_rng_shuffle(rng, pi, (size_t)n);
        const int named = 1 + (int)rr_rng_below(rng, (uint64_t)n);
        for (int i = 0; i < n; i++) {
            r->shown[l * n + i] = i;
            r->listed[l * n + i] = i < named ? pi[i] : -1;
        }
    }
}

static double mean_place(const struct rr_reply *r, int candidate, int unlisted)
{
    double sum = 0;
    for (int l = 0; l < r->n_lists; l++) {
        int place = unlisted;
        for (int i = 0; i < r->n; i++)
            if (r->listed[l * r->n + i] == candidate)
                place = i + 1;
        sum += place;
    }
    return sum / r->n_lists;
}

/* Who wins a question "a over b": +1 a, -1 b, 0 nobody. */
static int sign(double odds)
{
    return odds > 0 ? 1 : odds < 0 ? -1 : 0;
}

/* What section 6 gives a candidate from its pairs, and its mean log-odds. */
static void pairs_of(const struct rr_reply *r, int candidate, double *utility, double *odds)
{
    const int rounds = r->n >= 2 ? r->n_pairs / (r->n / 2) : 1;
    int n = 0;
    *utility = *odds = 0;
    for (int p = 0; p < r->n_pairs; p++) {
        const struct rr_pair_reply *x = &r->pairs[p];
        const double side = x->a == candidate ? 1 : x->b == candidate ? -1 : 0;
        if (side == 0)
            continue;
        const bool once = isnan(x->backward);
        const int first = sign(x->forward), second = once ? first : -sign(x->backward);
        *utility += first != second || first == 0 ? 0.25 : first == side ? 0.5 : 0;
        *odds += side * (once ? x->forward : (x->forward - x->backward) / 2);
        n++;
    }
    *utility /= rounds;
    *odds /= n ? n : 1;
}

Test(reply, utilities_scores_and_features_by_hand)
{
    struct rr_reply r = {0};
    struct rr_rng rng;
    rr_rng_seed(&rng, 17);
    for (int trial = 0; trial < 3000; trial++) {
        double u[RR_N_SIGNALS][12], hybrid[12], score[12], f[12][RR_N_FEATURES], fitted[12];
        const struct rr_weights_hybrid w = {
            {rr_rng_unit(&rng), -rr_rng_unit(&rng), 2, rr_rng_unit(&rng)}};
        static const double weights[RR_N_FEATURES] = {-1, 0.5, 2, -0.25, 0.125};
        random_reply(&r, &rng);
        for (int t = 0; t < RR_N_SIGNALS; t++)
            rr_utility(u[t], &r, (enum rr_task)t);
        rr_hybrid(hybrid, &r, &w);
        rr_reply_features(f, &r);
        rr_reply_scores(fitted, &r, RR_BY_FITTED, weights);
        for (int i = 0; i < r.n; i++) {
            const int asked[4] = {r.asked & 1, r.asked >> 1 & 1, r.asked >> 2 & 1,
                                  r.asked >> RR_LIKELIHOOD & 1};
            const double place = mean_place(&r, i, r.n + 1);
            double pairs, odds;
            pairs_of(&r, i, &pairs, &odds);
            const double expected[4] = {r.rating[i] - 0.05 * i, pairs,
                                        -0.025 * mean_place(&r, i, 6), r.likelihood[i]};
            const double features[RR_N_FEATURES] = {log(i + 1), r.rating[i], odds, log(place),
                                                    r.likelihood[i]};
            double sum = 0, by_features = 0;
            for (int t = 0; t < RR_N_SIGNALS; t++) {
                cr_assert(fabs(u[t][i] - asked[t] * expected[t]) < 1e-12,
                          "trial %d, %s: utility %g, expected %g", trial,
                          rr_task_name((enum rr_task)t), u[t][i], asked[t] * expected[t]);
                sum += w.alpha[t] * u[t][i];
            }
            cr_assert(hybrid[i] == sum, "hybrid %.17g, the weighted sum %.17g", hybrid[i], sum);
            for (int k = 0; k < RR_N_FEATURES; k++) {
                const double e = k == 0 || asked[k - 1] ? features[k] : 0;
                cr_assert(fabs(f[i][k] - e) < 1e-12, "feature %d: %g, expected %g", k, f[i][k], e);
                by_features += weights[k] * f[i][k];
            }
            cr_assert(fabs(fitted[i] - by_features) < 1e-12, "fitted %g, expected %g", fitted[i],
                      by_features);
            rr_reply_scores(score, &r, RR_BY_PAIRWISE, NULL);
            cr_assert(fabs(score[i] - odds) < 1e-12, "pairwise %g, expected %g", score[i], odds);
            rr_reply_scores(score, &r, RR_BY_LISTWISE, NULL);
            cr_assert(fabs(score[i] + place) < 1e-12, "listwise %g at place %g", score[i], place);
            rr_reply_scores(score, &r, RR_BY_POINTWISE, NULL);
            cr_assert(score[i] == r.rating[i], "pointwise %g, rated %g", score[i], r.rating[i]);
            rr_reply_scores(score, &r, RR_BY_LIKELIHOOD, NULL);
            cr_assert(score[i] == r.likelihood[i], "likelihood %g", score[i]);
        }
    }
    rr_reply_free(&r);
}

/* The figure of the paper: utilities (4,5,3,2), (2,0,2,0), (4,3,1,2), a third each. Ours differ by
 * factors, which the weights take up, and the list's 5 - place by a constant. */
Test(reply, the_paper_s_figure)
{
    static const double expected[] = {10 / 3.0, 8 / 3.0, 2, 4 / 3.0};
    static const int listed[] = {0, 1, 3, 2};
    const struct rr_weights_hybrid w = {{1 / 3.0, 2 / RR_C2 / 3, 1 / RR_C3 / 3}};
    struct rr_reply r = {0};
    struct rr_error err = {0};
    struct rr_ranked order[4];
    double u[4];
    cr_assert(rr_reply_resize(&r, 4, 2, 1, &err) == 0, "%s", err.text);
    r.asked = 7;
    for (int i = 0; i < 4; i++) {
        static const double rating[] = {4, 5, 3, 2};
        r.rating[i] = rating[i] + RR_C1 * i;
        r.listed[i] = listed[i];
    }
    r.pairs[0] = (struct rr_pair_reply){0, 1, 2, -3};
    r.pairs[1] = (struct rr_pair_reply){3, 2, -0.5, 0.25};
    rr_hybrid(u, &r, &w);
    for (int i = 0; i < 4; i++)
        cr_assert(fabs(u[i] + 5 / 3.0 - expected[i]) < 1e-12, "candidate %d: %g, expected %g", i,
                  u[i] + 5 / 3.0, expected[i]);
    rr_order_by_score(order, u, 4);
    for (int i = 0; i < 4; i++)
        cr_assert(order[i].candidate == i && order[i].score == u[i], "place %d", i);
    cr_assert(rr_weights_paper.alpha[0] == 1 / 3.0 && rr_weights_paper.alpha[1] == 1 / 3.0 &&
                  rr_weights_paper.alpha[2] == 1 / 3.0 && rr_weights_paper.alpha[3] == 0,
              "the paper weighs its three the same");
    r.weights = rr_weights_paper;
    rr_reply_scores(u, &r, RR_BY_HYBRID, NULL);
    cr_assert(fabs(u[0] - (4 + 0.5 - 0.025) / 3) < 1e-12 &&
                  fabs(u[3] - (2 + 0 - 0.075) / 3) < 1e-12,
              "%g, %g", u[0], u[3]);
    rr_reply_free(&r);
}

Test(reply, reciprocal_ranks_are_fused_by_hand)
{
    struct rr_reply r = {0};
    struct rr_error err = {0};
    double u[3];
    cr_assert(rr_reply_resize(&r, 3, 1, 1, &err) == 0, "%s", err.text);
    r.rating[0] = r.rating[1] = 2; /* places 2, 3, 1: the tie in retrieval order */
    r.rating[2] = 4;
    r.pairs[0] = (struct rr_pair_reply){0, 2, -1, NAN}; /* 3, 2, 1: nobody asked about the second */
    r.listed[0] = 1;                                    /* 2, 1, 3: the others behind it */
    r.listed[1] = r.listed[2] = -1;
    for (int i = 0; i < 3; i++)
        r.likelihood[i] = i - 9.0; /* 3, 2, 1 */
    static const int place[5][3] = {{1, 2, 3}, {2, 3, 1}, {3, 2, 1}, {2, 1, 3}, {3, 2, 1}};
    for (unsigned asked = 0; asked < 1u << RR_N_SIGNALS; asked++) {
        r.asked = asked;
        rr_reply_scores(u, &r, RR_BY_RRF, NULL);
        for (int i = 0; i < 3; i++) {
            double expected = 1.0 / (60 + place[0][i]);
            for (int t = 0; t < RR_N_SIGNALS; t++)
                expected += asked >> t & 1 ? 1.0 / (60 + place[t + 1][i]) : 0;
            cr_assert(fabs(u[i] - expected) < 1e-15, "asked %u, candidate %d: %g, expected %g",
                      asked, i, u[i], expected);
        }
    }
    rr_reply_free(&r);
}

Test(reply, ties_keep_retrieval_order)
{
    struct rr_rng rng;
    rr_rng_seed(&rng, 23);
    for (int trial = 0; trial < 2000; trial++) {
        double scores[40];
        struct rr_ranked order[40];
        bool seen[40] = {false};
        const int n = 1 + (int)rr_rng_below(&rng, 40);
        for (int i = 0; i < n; i++)
            scores[i] = rr_rng_below(&rng, 20)  ? some_value(&rng)
                        : rr_rng_below(&rng, 2) ? INFINITY
                                                : -INFINITY;
        rr_order_by_score(order, scores, n);
        for (int i = 0; i < n; i++) {
            const int c = order[i].candidate;
            cr_assert(c >= 0 && c < n && !seen[c] && order[i].score == scores[c], "no permutation");
            seen[c] = true;
            cr_assert(i == 0 || order[i - 1].score > order[i].score ||
                          (order[i - 1].score == order[i].score && order[i - 1].candidate < c),
                      "places %d and %d", i, i + 1);
        }
    }
}

/* Three lists, three rounds: means of thirds, whose order of addition must not part equal ones. */
Test(reply, equal_means_are_equal_to_the_bit)
{
    static const int lists[3][4] = {{0, 1, 2, 3}, {1, 2, 0, 3}, {2, 0, 1, 3}};
    struct rr_reply r = {0};
    struct rr_error err = {0};
    struct rr_ranked order[4];
    double score[4], u[4];
    cr_assert(rr_reply_resize(&r, 4, 6, 3, &err) == 0, "%s", err.text);
    r.asked = 1u << RR_PAIRWISE | 1u << RR_LISTWISE;
    for (int l = 0; l < 3; l++)
        for (int i = 0; i < 4; i++)
            r.shown[l * 4 + i] = r.listed[l * 4 + i] = lists[l][i];
    /* Everybody wins once, ties once and loses once, in another order each. */
    static const int pairs[6][3] = {{0, 1, 1}, {2, 3, 0}, {1, 2, 1},
                                    {0, 3, 0}, {2, 0, 1}, {3, 1, 0}};
    for (int p = 0; p < 6; p++)
        r.pairs[p] = (struct rr_pair_reply){pairs[p][0], pairs[p][1], pairs[p][2], -pairs[p][2]};
    rr_reply_scores(score, &r, RR_BY_LISTWISE, NULL);
    rr_utility(u, &r, RR_PAIRWISE);
    cr_assert(score[0] == score[1] && score[1] == score[2] && score[0] == -2, "%.17g %.17g %.17g",
              score[0], score[1], score[2]);
    for (int i = 1; i < 4; i++)
        cr_assert(u[i] == u[0], "%.17g, %.17g", u[i], u[0]);
    rr_order_by_score(order, score, 4);
    for (int i = 0; i < 4; i++)
        cr_assert(order[i].candidate == i, "place %d", i);
    rr_reply_free(&r);
}

/* ---- requests ---- */

static int read_request(struct rr_json_request *q, struct rr_arena *arena, const char *text,
                        size_t n, struct rr_error *err)
{
    struct rr_json *root;
    cr_assert(rr_json_parse(&root, arena, text, n, "request", 0, err) == 0, "%s: %s", err->text,
              text);
    return rr_request_from_json(q, arena, root, 5, err);
}

Test(request, good_ones)
{
    static const char text[] =
        "{\"id\":[7],\"history\":[\"Red Door\",{\"title\":\"Wet Paint\",\"rating\":2.5},"
        "{\"title\":\"Long Road\"},{\"title\":\"Thin Ice\",\"rating\":null}],"
        "\"liked\":[\"Old Lamp\"],\"disliked\":[\"Cold "
        "Soup\",{\"title\":\"Caf\\u00e9\"}],\"other\":0,"
        "\"candidates\":[{\"title\":\"A\",\"score\":1,\"hint\":3.5},{\"title\":\"B\",\"score\":2,"
        "\"id\":\"b\"},{\"title\":\"C\",\"score\":1e0,\"id\":9},{\"title\":\"D\",\"score\":-3}]}";
    static const struct rr_rated history[] = {
        {"Cold Soup", 1},    {"Caf\xC3\xA9", 1}, {"Old Lamp", 5}, {"Red Door", 5},
        {"Wet Paint", 2.5f}, {"Long Road", 5},   {"Thin Ice", 5}};
    struct rr_json_request q;
    struct rr_arena arena = {0};
    struct rr_error err = {0};
    cr_assert(read_request(&q, &arena, text, sizeof text - 1, &err) == 0, "%s", err.text);
    cr_assert(q.request.n_history == 7 && q.id && q.id->type == RR_JSON_ARRAY, "%d titles",
              q.request.n_history);
    for (int i = 0; i < 7; i++)
        cr_assert(strcmp(q.request.history[i].title, history[i].title) == 0 &&
                      q.request.history[i].rating == history[i].rating,
                  "entry %d: %s, %g", i, q.request.history[i].title,
                  (double)q.request.history[i].rating);
    /* By score, equal ones as they came. */
    static const int index[] = {1, 0, 2, 3};
    cr_assert(q.request.n_candidates == 4 && q.request.order_is_hint, "a recommender's order");
    for (int i = 0; i < 4; i++)
        cr_assert(q.index[i] == index[i] && q.request.candidates[i].title[0] == "ABCD"[index[i]] &&
                      !q.request.candidates[i].title[1],
                  "candidate %d: %s", i, q.request.candidates[i].title);
    cr_assert(isnan(q.request.candidates[0].hint) && q.request.candidates[1].hint == 3.5f, "hints");
    cr_assert(rr_json_is_string(q.candidate_id[0], "b") && !q.candidate_id[1] &&
                  q.candidate_id[2]->number == 9 && !q.candidate_id[3],
              "ids");
    /* One without a score, and the order given stands. */
    static const char given[] =
        "{\"history\":null,\"liked\":[],\"candidates\":[{\"title\":\"A\",\"score\":1},\"B\"]}";
    cr_assert(read_request(&q, &arena, given, sizeof given - 1, &err) == 0, "%s", err.text);
    cr_assert(q.request.n_candidates == 2 && !q.request.order_is_hint && q.index[0] == 0 &&
                  q.index[1] == 1 && q.request.n_history == 0 && !q.id,
              "the order given");
    cr_assert(isnan(q.request.candidates[0].hint) && isnan(q.request.candidates[1].hint), "hints");
    rr_arena_free(&arena);
}

/* A ^ stands before what is wrong. */
Test(request, bad_ones_are_refused_at_their_byte)
{
    static const char *const bad[] = {
        "^[]",
        "^7",
        "^{}",
        "^{\"candidate\":[\"A\"]}",
        "^{\"candidates\":null}",
        "{\"candidates\":^{}}",
        "{\"candidates\":^[]}",
        "{\"candidates\":^\"A\"}",
        "{\"candidates\":[^1]}",
        "{\"candidates\":[\"A\",^\"\"]}",
        "{\"candidates\":[\"A\",^[\"B\"]]}",
        "{\"candidates\":[\"A\",^{}]}",
        "{\"candidates\":[{\"title\":^5}]}",
        "{\"candidates\":[{\"title\":^\"\"}]}",
        "{\"candidates\":[^\"a\\u0000b\"]}",
        "{\"candidates\":[\"A\",{\"title\":\"B\",\"score\":^\"1\"}]}",
        "{\"candidates\":[\"A\",{\"title\":\"B\",\"score\":^1e300}]}",
        "{\"candidates\":[\"A\",{\"title\":\"B\",\"hint\":^true}]}",
        "{\"candidates\":[\"A\",{\"title\":\"B\",\"hint\":^[]}]}",
        "{\"candidates\":[\"A\",{\"title\":\"B\",\"hint\":^-1e300}]}",
        "{\"candidates\":[\"A\"],\"history\":^{}}",
        "{\"candidates\":[\"A\"],\"history\":[^3]}",
        "{\"history\":[\"B\",{\"title\":\"C\",\"rating\":^\"4\"}],\"candidates\":[\"A\"]}",
        "{\"history\":[\"B\",{\"title\":\"C\",\"rating\":^1e39}],\"candidates\":[\"A\"]}",
        "{\"history\":[\"B\",^{\"rating\":4}],\"candidates\":[\"A\"]}",
        "{\"candidates\":[\"A\"],\"liked\":^\"B\"}",
        "{\"candidates\":[\"A\"],\"liked\":[^null]}",
        "{\"candidates\":[\"A\"],\"disliked\":^1}",
        "{\"candidates\":[\"A\"],\"disliked\":[^\"\"]}"};
    struct rr_arena arena = {0};
    struct rr_json_request q;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct rr_error err = {0};
        char text[160];
        const char *mark = strchr(bad[i], '^');
        const long long at = mark - bad[i];
        const int n = snprintf(text, sizeof text, "%.*s%s", (int)at, bad[i], mark + 1);
        const int rc = read_request(&q, &arena, text, (size_t)n, &err);
        cr_assert(rc == RR_ERR_DATA && strcmp(err.code, "REQUEST") == 0 && err.text[0], "%s: %d %s",
                  bad[i], rc, err.code);
        cr_assert(err.offset == at, "%s: byte %lld", bad[i], err.offset);
    }
    struct rr_buf many = {0};
    struct rr_error err = {0};
    for (int n = RR_MAX_CANDIDATES; n <= RR_MAX_CANDIDATES + 1; n++) {
        rr_buf_clear(&many);
        rr_buf_puts(&many, "{\"candidates\":[\"A\"");
        for (int i = 1; i < n; i++)
            rr_buf_puts(&many, ",\"A\"");
        rr_buf_puts(&many, "]}");
        cr_assert(read_request(&q, &arena, many.data, many.n, &err) ==
                      (n == RR_MAX_CANDIDATES ? 0 : RR_ERR_DATA),
                  "%d candidates: %s", n, err.text);
    }
    rr_buf_free(&many);
    rr_arena_free(&arena);
}
