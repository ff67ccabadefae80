/* Regular expressions, as far as adapters' settings use them: Python's characters, classes, groups,
 * alternatives, repetitions, ^ and $; no look-around, no back-references. In time proportional to
 * pattern x text, whatever either says. */
#ifndef RR_PATTERN_H
#define RR_PATTERN_H

#include <stddef.h>

enum rr_pattern_result {
    RR_PATTERN_NO,
    RR_PATTERN_YES,
    RR_PATTERN_UNSUPPORTED, /* or no regular expression, or one of more than 4096 steps */
    RR_PATTERN_MEMORY
};

/* Whether the pattern matches all of text[0..n_text), as re.fullmatch. */
enum rr_pattern_result rr_pattern_match(const char *pattern, size_t n, const char *text,
                                        size_t n_text);

#endif
