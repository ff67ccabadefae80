/* u.data and u.item: the input is both files, cut at its first byte 0x1E (record separator);
 * without one it is u.data beside a fixed u.item, and u.item beside fixed ratings. What loads is
 * split, too. */
#include <string.h>
#include "rec/data/split.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void load(const char *ratings, size_t n_ratings, const char *items, size_t n_items)
{
    struct rr_dataset d = {0};
    struct rr_split s;
    struct rr_error err = {0};
    if (rr_dataset_parse_ml100k(&d, &(struct rr_bytes){ratings, n_ratings, "u.data"},
                                &(struct rr_bytes){items, n_items, "u.item"}, &err) == 0 &&
        rr_split_make(&s, &d, &err) == 0) {
        struct rr_buf out = {0};
        rr_split_write(&out, &s, RR_SPLIT_TRAIN);
        rr_buf_free(&out);
        rr_split_free(&s);
    }
    rr_dataset_close(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char ratings[] = "1\t1\t5\t100\n1\t2\t4\t90\n1\t3\t5\t95\n";
    static const char items[] = "1|A|||"
                                "0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0\n"
                                "2|B|||"
                                "0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0\n"
                                "3|C|||"
                                "0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0\n";
    const char *text = (const char *)data, *cut = size ? memchr(text, 0x1E, size) : NULL;
    if (cut) {
        load(text, (size_t)(cut - text), cut + 1, size - (size_t)(cut - text) - 1);
    } else {
        load(text, size, items, sizeof items - 1);
        load(ratings, sizeof ratings - 1, text, size);
    }
    return 0;
}
