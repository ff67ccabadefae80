/* JSON (RFC 8259): a strict reader into an arena, and helpers to write it.
 *
 * The reader refuses what the standard refuses (comments, trailing commas, NaN, lone surrogates,
 * bad UTF-8) and also duplicate keys and nesting deeper than RR_MAX_JSON_DEPTH. Every value
 * knows its byte offset. */
#ifndef RR_JSON_H
#define RR_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "engine/base/fail.h"
#include "engine/base/mem.h"

enum rr_json_type {
    RR_JSON_NULL,
    RR_JSON_BOOL,
    RR_JSON_NUMBER,
    RR_JSON_STRING,
    RR_JSON_ARRAY,
    RR_JSON_OBJECT
};

struct rr_json {
    enum rr_json_type type;
    bool truth;       /* BOOL */
    const char *text; /* STRING: decoded, terminated, may hold zeros; NUMBER: as written */
    size_t n_text;    /* bytes of text */
    double number;    /* NUMBER */
    const char *key;  /* decoded name of an object's member, else NULL */
    size_t n_key;
    size_t offset;         /* of the first byte of the value in the text */
    struct rr_json *child; /* first element or member */
    struct rr_json *next;  /* the one after this */
    size_t n_children;
};

/* Parses text[0..n) (leading and trailing blanks allowed) into *root, which lives in the arena.
 * `file` names the source in errors, and base is added to offsets there. Error code "JSON";
 * thread-safe. */
int rr_json_parse(struct rr_json **root, struct rr_arena *arena, const char *text, size_t n,
                  const char *file, size_t base, struct rr_error *err);

/* Member of an object by name, or NULL (also when v is NULL or no object). Linear in the
 * members. */
const struct rr_json *rr_json_get(const struct rr_json *v, const char *key);
bool rr_json_is_string(const struct rr_json *v, const char *s);
/* The value as a whole number in [min, max]; false when it is not a NUMBER, has a fraction, or
 * lies outside. */
bool rr_json_int(int64_t *out, const struct rr_json *v, int64_t min, int64_t max);
const char *rr_json_type_name(enum rr_json_type type);

/* Appends s[0..n) as a JSON string with quotes; bytes that are not UTF-8 become U+FFFD. */
void rr_json_add_string(struct rr_buf *b, const char *s, size_t n);
void rr_json_add_double(struct rr_buf *b, double v);

#endif
