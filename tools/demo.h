/* What is linked into the program: an invented catalogue and a small model made from it
 * (`make demo-catalogue`, `make demo-model`). Wherever a command takes a data set or a model, the
 * name ":demo" is these.
 */
#ifndef TOOLS_DEMO_H
#define TOOLS_DEMO_H

#include "rec/data/dataset.h"
#include "weights/weights.h"

#define DEMO_NAME ":demo"

bool demo_is(const char *path);
int demo_data(struct rr_dataset *d, const struct rr_data_options *o, struct rr_error *err);
/* rr_weights_open and rr_weights_tokenizer, for which the name is a model as well. */
int demo_weights(struct rr_weights *w, const char *path, const char *tokenizer,
                 struct rr_error *err);
int demo_tokenizer(struct rr_tokenizer **t, const char *path, struct rr_error *err);

#endif
