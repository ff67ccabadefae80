/* How byte-level tokenizers cut a text into words before they merge: the patterns of GPT-2 and
 * LLaMA-3, by hand. Stateless, thread-safe. */
#ifndef RR_WORDS_H
#define RR_WORDS_H

#include <stddef.h>

enum rr_words {
    RR_WORDS_NONE, /* not byte-level */
    /* 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
    RR_WORDS_GPT2,
    RR_WORDS_DIGITS, /* every \p{N} alone, then GPT-2's between them (SmolLM) */
    /* (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|
     * \s*[\r\n]+|\s+(?!\S)|\s+ */
    RR_WORDS_LLAMA3
};

/* The regular expression that Hugging Face's files have for a rule; NULL: none of its own. */
const char *rr_words_pattern(enum rr_words rule);

/* Bytes of the first word of s[0..n), which is valid UTF-8; n >= 1. */
size_t rr_words_next(enum rr_words rule, const char *s, size_t n);

#endif
