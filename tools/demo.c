/* See demo.h. The bytes come from tools/demo/embedded.S. */
#include "tools/demo.h"

#include <stdint.h>

extern const char rr_demo_movies[], rr_demo_movies_end[], rr_demo_ratings[], rr_demo_ratings_end[],
    rr_demo_model[], rr_demo_model_end[];

/* From one symbol to the other that marks its end: numbers, for to C they are two objects. */
#define BYTES(name) ((size_t)((uintptr_t)name##_end - (uintptr_t)(name)))

bool demo_is(const char *path)
{
    return path && strcmp(path, DEMO_NAME) == 0;
}

int demo_data(struct rr_dataset *d, const struct rr_data_options *o, struct rr_error *err)
{
    const struct rr_files files = {
        .ratings = {rr_demo_ratings, BYTES(rr_demo_ratings), DEMO_NAME "/ratings.dat"},
        .items = {rr_demo_movies, BYTES(rr_demo_movies), DEMO_NAME "/movies.dat"}};
    return rr_dataset_open_memory(d, DEMO_NAME, RR_FORMAT_ML1M, &files, o, err);
}

int demo_weights(struct rr_weights *w, const char *path, const char *tokenizer,
                 struct rr_error *err)
{
    if (!demo_is(path))
        return rr_weights_open(w, path, tokenizer, err);
    if (tokenizer) {
        *w = (struct rr_weights){0};
        return rr_fail(err, RR_ERR_USAGE, "TOKENIZER", RR_AT_FILE(path),
                       "it has a tokenizer of its own; --tokenizer has no effect with it");
    }
    return rr_weights_open_memory(w, DEMO_NAME, rr_demo_model, BYTES(rr_demo_model), err);
}

int demo_tokenizer(struct rr_tokenizer **t, const char *path, struct rr_error *err)
{
    struct rr_weights w;
    if (!demo_is(path))
        return rr_weights_tokenizer(t, path, err);
    int rc = demo_weights(&w, path, NULL, err);
    *t = rc ? NULL : w.tokenizer;
    w.tokenizer = NULL;
    rr_weights_close(&w);
    return rc;
}
