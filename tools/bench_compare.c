/* recrank bench compare: two results of the same cases, side by side. */
#include <stdlib.h>
#include <string.h>
#include "engine/base/file.h"
#include "engine/base/number.h"
#include "tools/bench.h"

#define WORSE 0.03 /* from here on a row is marked, if both spreads together are less */

struct line {
    char name[100]; /* suite and case */
    char unit[16];
    double value;
    double spread; /* of it, as a share; 0: none is given */
};

struct result {
    struct line *lines;
    size_t n, cap;
};

/* The next field of a line ends at a tab or at its end. */
static size_t field(const char **p, const char *end, const char **text)
{
    const char *begin = *p;
    while (*p < end && **p != '\t')
        ++*p;
    const size_t n = (size_t)(*p - begin);
    *text = begin;
    *p += *p < end;
    return n;
}

/* Names go to a terminal. */
static bool printable(const char *begin, const char *end)
{
    for (const char *p = begin; p < end; p++)
        if ((unsigned char)*p < ' ' && *p != '\t')
            return false;
    return true;
}

static int add_line(struct result *r, const char *begin, const char *end, const char *path,
                    size_t offset, struct rr_error *err)
{
    const char *suite, *name, *value, *unit, *spread, *p = begin;
    const size_t n_suite = field(&p, end, &suite), n_name = field(&p, end, &name),
                 n_value = field(&p, end, &value), n_unit = field(&p, end, &unit),
                 n_spread = field(&p, end, &spread);
    struct line l = {.spread = 0};
    if (!n_suite || !n_name || n_suite + n_name + 2 > sizeof l.name || !n_unit ||
        n_unit >= sizeof l.unit || !rr_parse_double(&l.value, value, n_value) || l.value <= 0 ||
        !printable(begin, end))
        return rr_fail(err, RR_ERR_DATA, "BENCH", RR_AT_BYTE(path, NULL, offset),
                       "no line of a benchmark's TSV: suite, case, value above 0, unit");
    if (n_spread > 1 &&
        rr_parse_double(&l.spread, spread, n_spread - 1)) /* less its percent sign */
        l.spread /= 100;
    snprintf(l.name, sizeof l.name, "%.*s %.*s", (int)n_suite, suite, (int)n_name, name);
    snprintf(l.unit, sizeof l.unit, "%.*s", (int)n_unit, unit);
    if (!rr_grow(&r->lines, &r->cap, r->n + 1, sizeof *r->lines))
        return rr_fail_memory(err, "lines", r->n * sizeof *r->lines);
    r->lines[r->n++] = l;
    return RR_OK;
}

static int read_result(struct result *r, const char *path, struct rr_error *err)
{
    struct rr_map map;
    int rc = rr_map_open(&map, path, err);
    if (rc)
        return rc;
    const char *begin = (const char *)map.data, *const end = begin + map.size;
    for (const char *p = begin; p < end && !rc;) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        stop = stop ? stop : end;
        if (*p != '#' && stop > p && (stop - p < 6 || memcmp(p, "suite\t", 6) != 0))
            rc = add_line(r, p, stop, path, (size_t)(p - begin), err);
        p = stop < end ? stop + 1 : end;
    }
    rr_map_close(&map);
    if (!rc && !r->n)
        rc = rr_fail(err, RR_ERR_DATA, "BENCH", RR_AT_FILE(path), "no case in it");
    return rc;
}

static int print(const struct result *before, const struct result *after)
{
    int worse = 0;
    printf("case\tbefore\tafter\tunit\tchange\n");
    for (size_t i = 0; i < before->n; i++) {
        const struct line *a = &before->lines[i], *b = NULL;
        for (size_t k = 0; k < after->n && !b; k++)
            if (strcmp(after->lines[k].name, a->name) == 0 &&
                strcmp(after->lines[k].unit, a->unit) == 0)
                b = &after->lines[k];
        if (!b) {
            printf("%s\t%.6g\t\t%s\tmissing\n", a->name, a->value, a->unit);
            worse++;
            continue;
        }
        const bool cost = strcmp(a->unit, "ns") == 0 || strcmp(a->unit, "s") == 0;
        const double change = b->value / a->value - 1;
        const double noise = a->spread + b->spread, least = noise > WORSE ? noise : WORSE;
        const bool bad = cost ? change > least : change < -least;
        worse += bad;
        printf("%s\t%.6g\t%.6g\t%s\t%+.1f%%%s\n", a->name, a->value, b->value, a->unit,
               100 * change, bad ? " WORSE" : "");
    }
    const int rc = tool_finish();
    return rc ? rc : worse ? 1 : 0;
}

int bench_compare(const char *before, const char *after)
{
    struct result a = {0}, b = {0};
    struct rr_error err = {0};
    int rc = read_result(&a, before, &err);
    if (!rc)
        rc = read_result(&b, after, &err);
    const int code = rc ? tool_fail(&err) : print(&a, &b);
    rr_free(a.lines);
    rr_free(b.lines);
    return code;
}
