/* The K types' part of rr_store_row (write.h): x[RR_QK_K] as one block. False: a number is not
 * finite, or the scales are too large for halves. */
#ifndef RR_QUANTISE_H
#define RR_QUANTISE_H

#include <stdbool.h>
#include "engine/kernel/type.h"

bool rr_store_q6_k(unsigned char *out, const float *x);
bool rr_store_q5_k(unsigned char *out, const float *x);
bool rr_store_q4_k(unsigned char *out, const float *x);

#endif
