/* A small invented data set in MovieLens-100K's format, for tests: nothing in it comes from
 * MovieLens. */
#ifndef TESTS_MAKE_DATA_H
#define TESTS_MAKE_DATA_H

#include "engine/base/mem.h"

/* Texts of u.data and u.item for n_users users and n_items items: each user rates about two thirds
 * of a taste group's items and a few others; the same seed gives the same bytes. The caller frees
 * both buffers. */
void make_data(struct rr_buf *u_data, struct rr_buf *u_item, int n_users, int n_items,
               unsigned seed);
/* The same as files in a new temporary folder, whose path is returned. */
const char *make_data_dir(int n_users, int n_items, unsigned seed);

#endif
