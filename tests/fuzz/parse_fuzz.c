/* What a model may write: read to something in range, whatever it is. The input is titles, a line
 * each, up to its first byte 0x1E, and the text behind it; without one it is the text, about fixed
 * titles. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "rec/rank/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MOST 8

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void read_text(const struct rr_asked *asked, int n, const char *text, size_t size)
{
    const struct rr_request q = {.candidates = asked, .n_candidates = n};
    struct rr_buf spelled = {0};
    int listed[MOST], n_listed = 0;
    size_t n_quotes = 0;
    bool used[MOST], seen[MOST] = {false};
    for (int levels = 1; levels <= 10; levels++) {
        const int rating = rr_parse_rating(text, size, levels);
        check(rating >= 0 && rating <= levels);
    }
    const int yes = rr_parse_yes_no(text, size);
    check(yes >= -1 && yes <= 1);
    const int bad = rr_parse_list(listed, &q, text, size, used, &spelled);
    for (int i = 0; i < n; i++) {
        check(listed[i] >= -1 && listed[i] < n);
        if (listed[i] < 0)
            continue;
        check(n_listed++ == i && !seen[listed[i]]);
        seen[listed[i]] = true;
    }
    for (size_t i = 0; i < size; i++)
        n_quotes += text[i] == '"';
    check(bad >= 0 && (size_t)(bad + n_listed) == n_quotes / 2);
    rr_buf_free(&spelled);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct rr_asked fixed[] = {
        {"Red Door", 0}, {"Red", 0}, {"Red Door", 0}, {"a \"b\"\n", 0}, {"", 0}};
    const uint8_t *cut = size ? memchr(data, 0x1E, size) : NULL;
    struct rr_asked asked[MOST];
    int n = 0;
    if (!cut) {
        read_text(fixed, 5, (const char *)data, size);
        return 0;
    }
    char *titles = malloc((size_t)(cut - data) + 1);
    check(titles != NULL);
    memcpy(titles, data, (size_t)(cut - data));
    titles[cut - data] = 0;
    for (char *p = titles; p && n < MOST; n++) {
        char *end = strchr(p, '\n');
        asked[n] = (struct rr_asked){p, 0};
        if (end)
            *end++ = 0;
        p = end;
    }
    read_text(asked, n, (const char *)cut + 1, size - (size_t)(cut - data) - 1);
    free(titles);
    return 0;
}
