/* Reading what a model wrote, as the original does (spec/method.md section 5): forgiving, and every
 * answer that cannot be read is counted. Text may be any bytes. */
#ifndef RR_PARSE_H
#define RR_PARSE_H

#include <stdbool.h>
#include "engine/base/mem.h"
#include "rec/recrank.h"

/* The first whole number in text, if it is in [1, levels]; else 0. */
int rr_parse_rating(const char *text, size_t n, int levels);
/* +1: begins with Yes, -1: with No (after blanks, quotes; case ignored), 0: neither. */
int rr_parse_yes_no(const char *text, size_t n);
/* listed[n_candidates] = the candidates whose titles stand in double quotes in text, in that order,
 * each once; -1 behind them. A title is looked up as prompts spell it; two candidates with one
 * title are taken in order. Returns how many quoted texts were no candidate's title or came again.
 */
int rr_parse_list(int *listed, const struct rr_request *q, const char *text, size_t n,
                  bool *used /* scratch [n_candidates] */, struct rr_buf *spelled /* scratch */);

#endif
