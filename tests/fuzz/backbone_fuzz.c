/* Files of trained recommenders, for a small fixed data set: as they are, and with the data set's
 * identity and the right checksum put in, so that what lies behind these is read too. What loads
 * has the data's sizes and proposes items that are there and not liked yet. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "engine/base/sha256.h"
#include "rec/backbone/backbone.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Of store.c's layout. */
#define IDENTITY 36
#define IDENTITY_BYTES 64
#define HEAD_BYTES 196
#define SUM_BYTES 64

static struct rr_dataset dataset;
static struct rr_split split;
static char identity[IDENTITY_BYTES];

static void check(bool holds)
{
    if (!holds)
        abort();
}

/* The identity is taken from a file that is saved once. */
static void load_once(void)
{
    static const char ratings[] =
        "user,item,rating,time\n1,1,5,1\n1,2,5,2\n1,3,5,3\n1,4,5,4\n2,5,4,"
        "1\n2,6,1,2\n3,1,5,1\n3,5,5,2\n";
    const struct rr_files files = {{ratings, sizeof ratings - 1, "ratings"}, {0}, {0}};
    struct rr_backbone b;
    char path[] = "/tmp/recrank-fuzz-XXXXXX";
    if (identity[0])
        return;
    check(rr_dataset_parse(&dataset, RR_FORMAT_CSV, &files, NULL, NULL) == 0);
    check(rr_split_make(&split, &dataset, RR_SPLIT_BY_TIME, NULL) == 0);
    const int fd = mkstemp(path);
    check(fd >= 0 && close(fd) == 0);
    check(rr_backbone_fit(&b, RR_BACKBONE_POP, &split, &(struct rr_fit_options){0}, NULL) == 0);
    check(rr_backbone_save(&b, &split, path, NULL) == 0);
    FILE *f = fopen(path, "rb");
    check(f && fseek(f, IDENTITY, SEEK_SET) == 0 &&
          fread(identity, 1, IDENTITY_BYTES, f) == IDENTITY_BYTES && fclose(f) == 0);
    unlink(path);
    rr_backbone_free(&b);
}

static void check_numbers(const float *v, size_t n)
{
    for (size_t i = 0; v && i < n; i++)
        check(isfinite(v[i]));
}

static void check_backbone(const struct rr_backbone *b)
{
    struct rr_candidate out[4];
    float scores[16];
    const size_t users = (size_t)b->n_users, items = (size_t)b->n_items, dim = (size_t)b->dim;
    check(b->kind >= 0 && b->kind < RR_BACKBONE_COUNT && b->n_users == dataset.n_users &&
          b->n_items == dataset.n_items && b->n_items <= 16);
    check(memchr(b->settings, 0, sizeof b->settings) != NULL);
    check_numbers(b->users, users * dim);
    check_numbers(b->items, items * dim);
    check_numbers(b->popularity, items);
    check_numbers(b->weights, items * items);
    for (int u = 0; u < b->n_users; u++) {
        const int n = rr_backbone_candidates(out, 4, b, &split, u, scores);
        check(n >= 0 && n <= 4);
        for (int i = 0; i < n; i++) {
            check(out[i].item >= 0 && out[i].item < b->n_items);
            check(!rr_split_is_train(&split, u, out[i].item) && split.train_count[out[i].item] > 0);
            for (int k = 0; k < i; k++)
                check(out[k].item != out[i].item);
        }
    }
}

static void load(const uint8_t *data, size_t size)
{
    struct rr_backbone b;
    struct rr_error err = {0};
    if (rr_backbone_parse(&b, &split, data, size, "fuzz", &err) == 0)
        check_backbone(&b);
    else
        check(err.code[0] && err.text[0] && !b.users && !b.items && !b.weights && !b.popularity);
    rr_backbone_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    load_once();
    load(data, size);
    if (size < HEAD_BYTES + SUM_BYTES)
        return 0;
    uint8_t *copy = malloc(size);
    struct rr_sha256 sum;
    char hex[65];
    check(copy != NULL);
    memcpy(copy, data, size);
    memcpy(copy + IDENTITY, identity, IDENTITY_BYTES);
    rr_sha256_init(&sum);
    rr_sha256_add(&sum, copy, size - SUM_BYTES);
    rr_sha256_hex(&sum, hex);
    memcpy(copy + size - SUM_BYTES, hex, SUM_BYTES);
    load(copy, size);
    free(copy);
    return 0;
}
