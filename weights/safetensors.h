/* safetensors: one file's header, checked against the file (github.com/huggingface/safetensors). */
#ifndef RR_SAFETENSORS_H
#define RR_SAFETENSORS_H

#include "engine/base/fail.h"
#include "weights/stored.h"

/* Reads the header of bytes[0..n) and appends its tensors to *list (grown with rr_grow, *n_list
 * and *cap count). Names and the file name are copied into the arena; data points into bytes.
 * Every tensor's range is checked; together they cover the data exactly, as the format demands. */
int rr_safetensors_parse(struct rr_stored **list, size_t *n_list, size_t *cap,
                         struct rr_arena *arena, const void *bytes, size_t n, const char *file,
                         struct rr_error *err);

#endif
