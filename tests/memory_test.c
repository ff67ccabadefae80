/* Data sets and models in memory are those of the same files. */
#include <stdlib.h>
#include <string.h>
#include "rec/data/split.h"
#include "tests/make_data.h"
#include "tests/make_files.h"
#include "tests/make_texts.h"
#include "tests/test.h"
#include "weights/weights.h"

/* ---- data sets ---- */

static void same_data(const struct rr_dataset *a, const struct rr_dataset *b)
{
    cr_assert(strcmp(a->fingerprint, b->fingerprint) == 0 &&
                  strcmp(a->settings, b->settings) == 0 && strcmp(a->name, b->name) == 0 &&
                  strcmp(a->nouns, b->nouns) == 0,
              "%s (%s), %s (%s)", a->fingerprint, a->settings, b->fingerprint, b->settings);
    cr_assert(a->n_users == b->n_users && a->n_items == b->n_items &&
                  a->n_ratings == b->n_ratings && a->n_lines == b->n_lines &&
                  a->n_bad == b->n_bad && a->n_dropped == b->n_dropped,
              "%d users, %d items, %zu ratings", b->n_users, b->n_items, b->n_ratings);
    for (int u = 0; u < a->n_users; u++)
        cr_assert(strcmp(a->user_ids[u], b->user_ids[u]) == 0, "user %s", b->user_ids[u]);
    for (int i = 0; i < a->n_items; i++)
        cr_assert(strcmp(a->item_ids[i], b->item_ids[i]) == 0 &&
                      strcmp(a->titles[i], b->titles[i]) == 0,
                  "item %s", b->item_ids[i]);
    for (size_t i = 0; i < a->n_ratings; i++)
        cr_assert(a->ratings[i].user == b->ratings[i].user &&
                      a->ratings[i].item == b->ratings[i].item &&
                      a->ratings[i].value == b->ratings[i].value &&
                      a->ratings[i].time == b->ratings[i].time,
                  "rating %zu", i);
}

/* The files of a folder, read into memory that is gone before the data set is used. */
static void compare(const char *dir, enum rr_format format, const struct rr_data_options *o)
{
    struct rr_dataset a, b;
    struct rr_error err = {0};
    struct rr_files files = {0};
    struct rr_bytes *const parts[] = {&files.ratings, &files.items, &files.users};
    unsigned char *held[3] = {NULL};
    cr_assert(rr_dataset_open(&a, dir, o, &err) == 0, "%s", err.text);
    for (int i = 0; i < 3; i++) {
        const char *path = path_in(dir, file_names[format][i]);
        FILE *there = *file_names[format][i] ? fopen(path, "rb") : NULL;
        if (!there)
            continue;
        fclose(there);
        held[i] = read_file(path, &parts[i]->n);
        parts[i]->p = (const char *)held[i];
        parts[i]->file = file_names[format][i];
    }
    cr_assert(rr_dataset_open_memory(&b, "a name", format, &files, o, &err) == 0, "%s", err.text);
    for (int i = 0; i < 3; i++) {
        memset(held[i] ? held[i] : (unsigned char *)"", '#', held[i] ? parts[i]->n : 0);
        free(held[i]);
    }
    same_data(&a, &b);
    cr_assert(strcmp(b.path, "a name") == 0, "path %s", b.path);
    rr_dataset_close(&a);
    rr_dataset_close(&b);
}

Test(memory, a_data_set_is_that_of_its_files)
{
    static const char items[] = "1::One (1990)::Drama\n2::Two (1991)::Drama\n3::Three::Drama\n",
                      ratings[] = "1::1::5::10\n1::2::4::11\nbad line\n2::3::1::12\n2::1::4::13\n",
                      csv[] = "user,item,rating,time\nx,a,5,1\ny,b,1,2\nx,b,3,3\n",
                      titles[] = "item,title\na,Alpha\nb,Beta\n";
    struct rr_data_options o;
    rr_data_defaults(&o);
    compare(make_data_dir(12, 20, 3), RR_FORMAT_ML100K, NULL);
    o.core = 2;
    o.like = 3;
    compare(make_data_dir(12, 20, 4), RR_FORMAT_ML100K, &o);
    rr_data_defaults(&o);
    o.lenient = true;
    const char *dir = temporary_dir();
    write_file(path_in(dir, "ratings.dat"), ratings, strlen(ratings));
    write_file(path_in(dir, "movies.dat"), items, strlen(items));
    compare(dir, RR_FORMAT_ML1M, &o);
    rr_data_defaults(&o);
    o.columns = "user=user";
    dir = temporary_dir();
    write_file(path_in(dir, "ratings.csv"), csv, strlen(csv));
    write_file(path_in(dir, "movies.csv"), titles, strlen(titles));
    compare(dir, RR_FORMAT_CSV, &o);
}

/* What is refused of files is refused of memory, and nothing is held. */
Test(memory, bad_data_is_refused)
{
    static const char items[] = "1::One::Drama\n", ratings[] = "1::1::5::10\nbad\n";
    const struct rr_files files = {bytes(ratings, 0, "r"), bytes(items, 0, "i"), {0}};
    struct rr_data_options o;
    struct rr_dataset d;
    struct rr_error err = {0};
    cr_assert(rr_dataset_open_memory(&d, "x", RR_FORMAT_ML1M, &files, NULL, &err) == RR_ERR_DATA &&
                  err.line == 2 && strcmp(err.file, "r") == 0 && !d.ratings,
              "%d, line %lld of %s", err.status, err.line, err.file);
    rr_data_defaults(&o);
    o.columns = "user=x";
    o.lenient = true;
    err = (struct rr_error){0};
    cr_assert(rr_dataset_open_memory(&d, "x", RR_FORMAT_ML1M, &files, &o, &err) == RR_ERR_USAGE &&
                  strcmp(err.code, "COLUMNS") == 0 && !d.ratings,
              "columns of no CSV: %d %s", err.status, err.code);
}

/* ---- models ---- */

static void same_model(const struct rr_weights *a, const struct rr_weights *b)
{
    char x[65], y[65];
    rr_weights_fingerprint(a, x);
    rr_weights_fingerprint(b, y);
    cr_assert(strcmp(x, y) == 0 && a->n_tensors == b->n_tensors && a->n_notes == b->n_notes &&
                  strcmp(a->format, b->format) == 0,
              "%s and %s", x, y);
    for (size_t i = 0; i < a->n_notes; i++)
        cr_assert(strcmp(rr_weights_note(b, a->notes[i].key), a->notes[i].value) == 0, "note %s",
                  a->notes[i].key);
    cr_assert(rr_tokenizer_size(a->tokenizer) == rr_tokenizer_size(b->tokenizer), "tokenizers");
    for (int i = 0; i < rr_tokenizer_size(a->tokenizer); i++) {
        const struct rr_piece *p = rr_tokenizer_piece(a->tokenizer, i),
                              *q = rr_tokenizer_piece(b->tokenizer, i);
        cr_assert(p->n == q->n && memcmp(p->text, q->text, (size_t)p->n) == 0 && p->type == q->type,
                  "piece %d", i);
    }
    const struct rr_tensor *e = &a->model.embed, *g = &b->model.embed;
    cr_assert(e->type == g->type && e->n_rows == g->n_rows, "embeddings");
}

Test(memory, a_model_is_that_of_its_file)
{
    struct tiny t;
    struct gguf_file g = {0};
    struct rr_buf text = {0};
    struct rr_weights a, b;
    struct rr_error err = {0};
    const char *path = path_in(temporary_dir(), "tiny.gguf");
    tiny_make(&t, &tiny_default);
    gguf_from_tiny(&g, &t);
    gguf_write(&text, &g);
    gguf_file_free(&g);
    tiny_free(&t);
    write_file(path, text.data, text.n);
    void *aligned = aligned_alloc(32, (text.n + 31) / 32 * 32);
    cr_assert(aligned, "memory");
    memcpy(aligned, text.data, text.n);
    cr_assert(rr_weights_open(&a, path, NULL, &err) == 0, "%s", err.text);
    cr_assert(rr_weights_open_memory(&b, "a name", aligned, text.n, &err) == 0, "%s", err.text);
    same_model(&a, &b);
    cr_assert(strcmp(b.path, "a name") == 0, "path %s", b.path);
    rr_weights_close(&a);
    rr_weights_close(&b);
    /* Cut anywhere, or something else, it is refused by the name given. */
    for (size_t n = 0; n < text.n; n += 1 + text.n / 97) {
        err = (struct rr_error){0};
        cr_assert(rr_weights_open_memory(&b, "a name", aligned, n, &err) != 0 &&
                      strcmp(err.file, "a name") == 0,
                  "%zu of %zu bytes: '%s'", n, text.n, err.file);
    }
    memcpy(aligned, "RIFF", 4);
    cr_assert(rr_weights_open_memory(&b, "a name", aligned, text.n, &err) == RR_ERR_DATA, "%s",
              err.text);
    free(aligned);
    rr_buf_free(&text);
}
