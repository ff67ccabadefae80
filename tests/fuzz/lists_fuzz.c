/* Candidate lists of anyone's, in each of their forms, for a small fixed data set. What is read is
 * in order, within the data, and comes back the same when it is written and read again. */
#include <stdlib.h>
#include <string.h>
#include "rec/backbone/lists.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define K 4

static struct rr_dataset dataset;
static struct rr_split split;

static void check(bool holds)
{
    if (!holds)
        abort();
}

/* Users 1, 2 and u, items 1..6, "a" and "\xC3\xA9"; 1 trains on 1 and 2, tests 4. */
static void load_once(void)
{
    static const char ratings[] =
        "user,item,rating,time\n1,1,5,1\n1,2,5,2\n1,3,5,3\n1,4,5,4\n2,5,4,1\n2,6,1,2\n"
        "u,a,5,1\nu,\xC3\xA9,5,2\n";
    const struct rr_files files = {{ratings, sizeof ratings - 1, "ratings"}, {0}, {0}};
    if (dataset.path)
        return;
    check(rr_dataset_parse(&dataset, RR_FORMAT_CSV, &files, NULL, NULL) == 0);
    check(rr_split_make(&split, &dataset, RR_SPLIT_BY_TIME, NULL) == 0);
    dataset.path = "the fixed data";
}

static void check_lists(const struct rr_lists *l)
{
    int listed = 0;
    for (int u = 0; u < dataset.n_users; u++) {
        const size_t from = l->start[u], to = l->start[u + 1];
        check(from <= to && to - from <= K);
        listed += to > from;
        for (size_t i = from; i < to; i++) {
            check(l->list[i].item >= 0 && l->list[i].item < dataset.n_items);
            check(!rr_split_is_train(&split, u, l->list[i].item));
            check(i == from || l->list[i].score <= l->list[i - 1].score);
            for (size_t j = from; j < i; j++)
                check(l->list[j].item != l->list[i].item);
        }
    }
    check(listed == l->n_users_listed && l->n_short <= listed && l->n_without_test <= listed &&
          l->n_dropped >= 0 && strlen(l->fingerprint) == 64);
}

static void check_again(const struct rr_lists *l, enum rr_lists_format form)
{
    struct rr_buf text = {0};
    struct rr_lists back;
    struct rr_error err = {0};
    const size_t n = l->start[dataset.n_users];
    for (int u = 0; u < dataset.n_users; u++)
        rr_lists_write(&text, form, &dataset, u, l->list + l->start[u],
                       (int)(l->start[u + 1] - l->start[u]), l->scored, "tag");
    if (n) {
        check(rr_lists_parse(&back, &split, K, text.data, text.n, "again", &err) == 0);
        check(back.start[dataset.n_users] == n && back.n_dropped == 0);
        for (size_t i = 0; i < n; i++) {
            check(back.list[i].item == l->list[i].item);
            check(!l->scored || form == RR_LISTS_TREC || back.list[i].score == l->list[i].score);
        }
        rr_lists_free(&back);
    }
    rr_buf_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rr_lists l;
    struct rr_error err = {0};
    load_once();
    int rc = rr_lists_parse(&l, &split, K, size ? (const char *)data : "", size, "run", &err);
    check(rc == err.status);
    if (rc == 0) {
        check_lists(&l);
        for (int form = RR_LISTS_TSV; form <= RR_LISTS_JSONL; form++)
            check_again(&l, (enum rr_lists_format)form);
    }
    rr_lists_free(&l);
    return 0;
}
