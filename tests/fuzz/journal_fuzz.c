/* A journal that something else wrote: refused and left as it is, or opened, and every reply found
 * in it holds what a reply of that shape can hold and comes back the same when it is added again.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "rec/eval/journal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char path[64];

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void remove_file(void)
{
    unlink(path);
}

static void put_file(const uint8_t *data, size_t size)
{
    if (!path[0]) {
        strcpy(path, "/tmp/recrank-fuzz-XXXXXX");
        const int fd = mkstemp(path);
        check(fd >= 0 && close(fd) == 0 && atexit(remove_file) == 0);
    }
    FILE *f = fopen(path, "wb");
    check(f && fwrite(data, 1, size, f) == size && fclose(f) == 0);
}

/* A file that is no journal, or another run's, was left as it was; one with a damaged line further
 * down may have lost what a kill left of the last. */
static void check_left(const uint8_t *data, size_t size, long long line)
{
    FILE *f = fopen(path, "rb");
    unsigned char *now = malloc(size + 1);
    check(f && now);
    const size_t n = fread(now, 1, size + 1, f);
    while (line > 1 && size && data[size - 1] != '\n' && size > n)
        size--;
    check(n == size && memcmp(now, data, size) == 0);
    free(now);
    fclose(f);
}

static const struct rr_journal_shape shapes[] = {
    {3, 15, 1, 1, true}, {3, 7, 1, 1, false}, {2, 1, 0, 0, false}, {4, 6, 4, 2, true}};
#define N_SHAPES 4

/* Each candidate once; with `some`, not all of them and -1 behind. */
static void check_places(const int *v, int n, bool some)
{
    unsigned seen = 0;
    bool ended = false;
    for (int i = 0; i < n; i++) {
        check(v[i] < n && v[i] >= (some ? -1 : 0));
        ended = ended || v[i] < 0;
        check(ended == (v[i] < 0) && (v[i] < 0 || !(seen >> v[i] & 1)));
        seen |= v[i] < 0 ? 0 : 1u << v[i];
    }
}

static void check_reply(const struct rr_reply *r, const struct rr_journal_shape *shape,
                        double seconds)
{
    static const double weights[RR_N_FEATURES] = {1, 1, 1, 1};
    double scores[8];
    check(r->n == shape->n && r->asked == shape->asked && r->n_pairs == shape->n_pairs &&
          r->n_lists == shape->n_lists && seconds >= 0);
    for (int i = 0; i < r->n; i++)
        check((!(r->asked >> RR_POINTWISE & 1) || isfinite(r->rating[i])) &&
              (!(r->asked >> RR_LIKELIHOOD & 1) || isfinite(r->likelihood[i])));
    for (int p = 0; p < r->n_pairs; p++) {
        const struct rr_pair_reply *x = &r->pairs[p];
        check(x->a >= 0 && x->a < r->n && x->b >= 0 && x->b < r->n && isfinite(x->forward) &&
              !isinf(x->backward));
    }
    for (int l = 0; l < r->n_lists; l++) {
        check_places(r->shown + l * r->n, r->n, false);
        check_places(r->listed + l * r->n, r->n, shape->generated);
    }
    const unsigned needs[RR_N_METHODS] = {
        [RR_BY_POINTWISE] = 1u << RR_POINTWISE, [RR_BY_LIKELIHOOD] = 1u << RR_LIKELIHOOD};
    for (int m = 0; m < RR_N_METHODS; m++)
        if ((r->asked & needs[m]) == needs[m])
            rr_reply_scores(scores, r, (enum rr_method)m, weights);
}

static bool same_bits(double a, double b)
{
    return (isnan(a) && isnan(b)) || memcmp(&a, &b, sizeof a) == 0;
}

static void check_same(const struct rr_reply *a, const struct rr_reply *b)
{
    check(a->n == b->n && a->n_pairs == b->n_pairs && a->n_lists == b->n_lists &&
          a->asked == b->asked && a->tokens_asked == b->tokens_asked &&
          a->tokens_computed == b->tokens_computed && a->n_cut == b->n_cut &&
          a->n_malformed == b->n_malformed && a->n_invalid_lists == b->n_invalid_lists);
    for (int i = 0; i < a->n; i++)
        check((!(a->asked >> RR_POINTWISE & 1) || same_bits(a->rating[i], b->rating[i])) &&
              (!(a->asked >> RR_LIKELIHOOD & 1) || same_bits(a->likelihood[i], b->likelihood[i])));
    for (int p = 0; p < a->n_pairs; p++)
        check(same_bits(a->pairs[p].forward, b->pairs[p].forward) &&
              same_bits(a->pairs[p].backward, b->pairs[p].backward));
    for (int i = 0; i < a->n * a->n_lists; i++)
        check(a->shown[i] == b->shown[i] && a->listed[i] == b->listed[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rr_journal j;
    struct rr_error err = {0};
    struct rr_reply r = {0}, again = {0};
    const struct rr_journal_shape *found = NULL;
    double seconds = 0, back = 0;
    put_file(data, size);
    if (rr_journal_open(&j, path, "fuzz", &err) != 0) {
        check(err.code[0] && err.text[0] && j.fd == -1);
        check_left(data, size, err.line);
        return 0;
    }
    for (int k = 0; k < 2 * 3 * N_SHAPES && !found; k++) {
        const struct rr_journal_shape *shape = &shapes[k % N_SHAPES];
        const int rc =
            rr_journal_find(&j, k / N_SHAPES % 2, k / N_SHAPES / 2, shape, &r, &seconds, &err);
        check(rc == 0 || rc == 1 || (rc < 0 && err.code[0] && err.text[0]));
        if (rc == 1) {
            check_reply(&r, shape, seconds);
            found = shape;
        }
    }
    /* Unless there is a line of that name already, which may be any. */
    if (found && rr_journal_find(&j, 7, 70, found, &again, &back, &err) != 0)
        found = NULL;
    if (found)
        check(rr_journal_add(&j, 7, 70, &r, seconds, &err) == 0);
    rr_journal_close(&j);
    if (found) {
        check(rr_journal_open(&j, path, "fuzz", &err) == 0);
        check(rr_journal_find(&j, 7, 70, found, &again, &back, &err) == 1);
        check(same_bits(seconds, back));
        check_same(&r, &again);
        rr_journal_close(&j);
    }
    rr_reply_free(&r);
    rr_reply_free(&again);
    return 0;
}
