/* The files of MovieLens-100K and -1M: the input is ratings and items, cut at its first byte 0x1E
 * (record separator); without one it is ratings beside fixed items, and items beside fixed ratings.
 * What loads is split, too. */
#include <string.h>
#include "rec/data/split.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void load(enum rr_format format, const char *ratings, size_t n_ratings, const char *items,
                 size_t n_items)
{
    const struct rr_files files = {{ratings, n_ratings, "ratings"}, {items, n_items, "items"}, {0}};
    struct rr_dataset d = {0};
    struct rr_split s;
    struct rr_error err = {0};
    if (rr_dataset_parse(&d, format, &files, NULL, &err) == 0 &&
        rr_split_make(&s, &d, RR_SPLIT_BY_TIME, &err) == 0) {
        struct rr_buf out = {0};
        rr_split_write(&out, &s, RR_SPLIT_TRAIN);
        rr_buf_free(&out);
        rr_split_free(&s);
    }
    rr_dataset_close(&d);
}

static void load_both(enum rr_format format, const char *ratings, const char *items,
                      const char *text, size_t size)
{
    const char *cut = size ? memchr(text, 0x1E, size) : NULL;
    if (cut) {
        load(format, text, (size_t)(cut - text), cut + 1, size - (size_t)(cut - text) - 1);
        return;
    }
    load(format, text, size, items, strlen(items));
    load(format, ratings, strlen(ratings), text, size);
}

#define FLAGS "0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0\n"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    load_both(RR_FORMAT_ML100K, "1\t1\t5\t100\n1\t2\t4\t90\n1\t3\t5\t95\n",
              "1|A|||u|" FLAGS "2|B|||u|" FLAGS "3|C|||u|" FLAGS, (const char *)data, size);
    load_both(RR_FORMAT_ML1M, "1::1::5::100\n1::2::4::90\n1::3::5::95\n",
              "1::A::Drama\n2::B::Drama\n3::C::Drama|War\n", (const char *)data, size);
    return 0;
}
