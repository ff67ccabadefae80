/* Lists of what a model file's tensors are: a line "sha256 TYPE [shape] name" for each, as
 * rr_write_options.sums has them, to find damage by. */
#ifndef TOOLS_MANIFEST_H
#define TOOLS_MANIFEST_H

#include "tools/common.h"

/* Whether the tensors of an opened model are those of the list text[0..n), on all threads; file
 * names the list. RR_ERR_DATA "CHECKSUM": one is not, is missing or is not in the list. */
int manifest_check(struct rr_engine *e, const struct rr_weights *w, const char *text, size_t n,
                   const char *file, struct rr_error *err);
/* The same with a list in a file. */
int manifest_check_file(struct rr_engine *e, const struct rr_weights *w, const char *file,
                        struct rr_error *err);
int manifest_write(const char *path, const struct rr_buf *sums, struct rr_error *err);

#endif
