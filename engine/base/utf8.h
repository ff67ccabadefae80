/* UTF-8: decoding one code point, validation, and conversion from ISO-8859-1. Stateless,
 * thread-safe. */
#ifndef RR_UTF8_H
#define RR_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Length in bytes (1-4) of the valid sequence at s[0..n), and its code point in *cp if cp is not
 * NULL; 0 when the bytes are not valid UTF-8 (overlong, surrogate, above U+10FFFF, cut off) or n
 * is 0. */
size_t rr_utf8_decode(const char *s, size_t n, uint32_t *cp);

/* Writes cp (<= U+10FFFF, no surrogate) into out[4]; returns its length. */
size_t rr_utf8_encode(char out[4], uint32_t cp);

/* True when all of s[0..n) is valid; *bad (may be NULL) receives the offset of the first bad
 * byte. */
bool rr_utf8_valid(const char *s, size_t n, size_t *bad);

/* ISO-8859-1 to UTF-8: every byte is the code point of its value. out needs 2 * n bytes; returns
 * the length. */
size_t rr_utf8_from_latin1(char *out, const char *s, size_t n);

#endif
