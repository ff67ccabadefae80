/* See parse.h. */
#include "rec/rank/parse.h"

#include <string.h>
#include "rec/prompt/prompt.h"

int rr_parse_rating(const char *text, size_t n, int levels)
{
    size_t i = 0;
    int v = 0;
    while (i < n && (text[i] < '0' || text[i] > '9'))
        i++;
    for (; i < n && text[i] >= '0' && text[i] <= '9' && v <= levels; i++)
        v = 10 * v + (text[i] - '0');
    return v >= 1 && v <= levels ? v : 0;
}

static bool begins(const char *text, size_t n, const char *word)
{
    for (size_t i = 0; word[i]; i++)
        if (i >= n || (text[i] | 0x20) != word[i])
            return false;
    return true;
}

int rr_parse_yes_no(const char *text, size_t n)
{
    while (n && (*text == ' ' || *text == '"' || *text == '\n' || *text == '\'')) {
        text++;
        n--;
    }
    return begins(text, n, "yes") ? 1 : begins(text, n, "no") ? -1 : 0;
}

/* Whether a quoted text is a title as prompts spell it. */
static bool same_title(const char *quoted, size_t n, const char *title, struct rr_buf *spelled)
{
    rr_buf_clear(spelled);
    rr_prompt_add_title(spelled, title);
    return !spelled->failed && spelled->n == n + 2 && memcmp(spelled->data + 1, quoted, n) == 0;
}

int rr_parse_list(int *listed, const struct rr_request *q, const char *text, size_t n, bool *used,
                  struct rr_buf *spelled)
{
    int n_listed = 0, n_bad = 0;
    memset(used, 0, (size_t)q->n_candidates * sizeof *used);
    for (const char *end = text + n, *p = text; p < end;) {
        const char *open = memchr(p, '"', (size_t)(end - p));
        const char *close = open ? memchr(open + 1, '"', (size_t)(end - open - 1)) : NULL;
        if (!close)
            break;
        int c = 0;
        while (c < q->n_candidates && (used[c] || !same_title(open + 1, (size_t)(close - open - 1),
                                                              q->candidates[c].title, spelled)))
            c++;
        if (c < q->n_candidates) {
            used[c] = true;
            listed[n_listed++] = c;
        } else {
            n_bad++;
        }
        p = close + 1;
    }
    for (int i = n_listed; i < q->n_candidates; i++)
        listed[i] = -1;
    return n_bad;
}
