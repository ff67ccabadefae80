/* See text.h. */
#include "rec/data/text.h"

#include <string.h>
#include "engine/base/limits.h"

int rr_lines_open(struct rr_lines *l, const char *text, size_t n, const char *file,
                  struct rr_error *err)
{
    *l = (struct rr_lines){.text = text, .n = n, .file = file, .end = '\n'};
    int rc = rr_text_check(text, n, file, err);
    if (rc)
        return rc;
    if (!memchr(text, '\n', n) && memchr(text, '\r', n))
        l->end = '\r'; /* as old Macintoshes wrote */
    if (n >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
        l->at = 3; /* a UTF-8 byte order mark */
    return RR_OK;
}

int rr_lines_next(struct rr_lines *l, const char **line, size_t *len, struct rr_error *err)
{
    if (l->at >= l->n)
        return 0;
    const char *s = l->text + l->at;
    const size_t left = l->n - l->at;
    const char *end = memchr(s, l->end, left <= RR_MAX_LINE ? left : RR_MAX_LINE + 1u);
    size_t n = end ? (size_t)(end - s) : left;
    l->number++;
    if (n > RR_MAX_LINE) {
        end = memchr(s, l->end, left);
        l->at = end ? (size_t)(end - l->text) + 1 : l->n;
        return rr_fail(err, RR_ERR_DATA, "LINE", RR_AT_LINE(l->file, NULL, l->number, 1),
                       "longer than %u bytes; is this a text file?", RR_MAX_LINE);
    }
    l->at += n + (end ? 1 : 0);
    const char *zero = memchr(s, 0, n);
    if (zero)
        return rr_fail(err, RR_ERR_DATA, "LINE", RR_AT_LINE(l->file, NULL, l->number, zero - s + 1),
                       "a zero byte; is this a text file?");
    if (n && s[n - 1] == '\r')
        n--;
    *line = s;
    *len = n;
    return 1;
}

size_t rr_fields_split(struct rr_field *fields, size_t cap, const char *line, size_t len,
                       const char *separator)
{
    const size_t width = strlen(separator);
    size_t n = 0, from = 0;
    for (size_t i = 0; i <= len;) {
        const bool cut = len - i >= width && memcmp(line + i, separator, width) == 0;
        if (!cut && i < len) {
            i++;
            continue;
        }
        if (n < cap)
            fields[n] = (struct rr_field){line + from, i - from};
        n++;
        i += cut ? width : 1;
        from = i;
    }
    return n;
}

int rr_text_check(const char *text, size_t n, const char *file, struct rr_error *err)
{
    const char *what = NULL;
    if (!n)
        return rr_fail(err, RR_ERR_DATA, "EMPTY", RR_AT_BYTE(file, NULL, 0), "the file is empty");
    if (n >= 2 && (memcmp(text, "\xFF\xFE", 2) == 0 || memcmp(text, "\xFE\xFF", 2) == 0))
        what = "UTF-16 text; convert it to UTF-8 first";
    else if (n >= 2 && memcmp(text, "\x1F\x8B", 2) == 0)
        what = "a gzip file; unpack it first";
    else if (n >= 4 && memcmp(text, "PK\3\4", 4) == 0)
        what = "a zip file; unpack it first";
    return what ? rr_fail(err, RR_ERR_DATA, "ENCODING", RR_AT_BYTE(file, NULL, 0), "%s", what)
                : RR_OK;
}
