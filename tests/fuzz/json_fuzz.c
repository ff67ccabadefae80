/* JSON: refused at a byte of the text, or what is read can be written and read again to the same.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_value(struct rr_buf *b, const struct rr_json *v)
{
    switch (v->type) {
    case RR_JSON_NULL:
        rr_buf_puts(b, "null");
        break;
    case RR_JSON_BOOL:
        rr_buf_puts(b, v->truth ? "true" : "false");
        break;
    case RR_JSON_NUMBER:
        rr_json_add_double(b, v->number);
        break;
    case RR_JSON_STRING:
        rr_json_add_string(b, v->text, v->n_text);
        break;
    case RR_JSON_ARRAY:
    case RR_JSON_OBJECT:
        rr_buf_puts(b, v->type == RR_JSON_ARRAY ? "[" : "{");
        for (const struct rr_json *m = v->child; m; m = m->next) {
            if (m != v->child)
                rr_buf_puts(b, ",");
            if (v->type == RR_JSON_OBJECT) {
                rr_json_add_string(b, m->key, m->n_key);
                rr_buf_puts(b, ":");
            }
            write_value(b, m);
        }
        rr_buf_puts(b, v->type == RR_JSON_ARRAY ? "]" : "}");
        break;
    }
}

/* Numbers may differ in the last places, which number.h states; all else is the same. */
static int same(const struct rr_json *a, const struct rr_json *b)
{
    if (a->type != b->type || a->n_children != b->n_children || a->truth != b->truth ||
        a->n_key != b->n_key)
        return 0;
    if (a->n_key && memcmp(a->key, b->key, a->n_key) != 0)
        return 0;
    if (a->type == RR_JSON_NUMBER && fabs(a->number - b->number) > fabs(a->number) * 1e-15)
        return 0;
    if (a->type == RR_JSON_STRING &&
        (a->n_text != b->n_text || memcmp(a->text, b->text, a->n_text) != 0))
        return 0;
    const struct rr_json *x = a->child, *y = b->child;
    for (; x && y; x = x->next, y = y->next)
        if (!same(x, y))
            return 0;
    return !x && !y;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rr_arena arena = {0};
    struct rr_json *root, *again;
    struct rr_error err = {0};
    struct rr_buf b = {0};
    if (rr_json_parse(&root, &arena, (const char *)data, size, "fuzz.json", 0, &err) != 0) {
        if (!err.code[0] || !err.text[0] || err.offset < 0 || (size_t)err.offset > size)
            abort();
    } else {
        write_value(&b, root);
        if (b.failed || rr_json_parse(&again, &arena, b.data, b.n, "again.json", 0, &err) != 0 ||
            !same(root, again))
            abort();
    }
    rr_buf_free(&b);
    rr_arena_free(&arena);
    return 0;
}
