/* Numbers in text, strictly and whatever the locale: the whole of s[0..n) is one number or it is
 * refused. */
#ifndef RR_NUMBER_H
#define RR_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decimal digits only: no sign, no blank. False when empty, not digits, or above max. */
bool rr_parse_u64(uint64_t *out, const char *s, size_t n, uint64_t max);
/* An optional '-' and digits, within [min, max]. */
bool rr_parse_i64(int64_t *out, const char *s, size_t n, int64_t min, int64_t max);
/* JSON's number grammar, except that leading zeros may stand. Finite results only. The value is
 * within one unit in the last place (exact for up to 15 digits and |exponent| <= 22). */
bool rr_parse_double(double *out, const char *s, size_t n);

/* Writes v so that reading gives the same double, in the fewest of 15-17 digits, with '.' in
 * every locale; NaN and infinities become "null" (JSON has no name for them). out needs 32
 * bytes; returns the length. */
size_t rr_format_double(char out[32], double v);
/* The same in six digits, as printf's %g has it in the C locale, infinities and NaN included:
 * for texts that people or a hash read. Returns out. */
char *rr_format_short(char out[32], double v);
/* With one digit behind the point: "3.5". |v| below 1e20. Returns out. */
char *rr_format_tenths(char out[32], double v);

#endif
