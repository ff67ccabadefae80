/* See args.h. */
#include "tools/args.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "engine/base/number.h"
#include "tools/common.h"

void args_print_line(const char *text)
{
    for (const char *p = text; *p; p++) {
        const unsigned char c = (unsigned char)*p;
        if (c < 0x20 || c >= 0x7f)
            fprintf(stderr, "\\x%02X", c);
        else
            fputc(c, stderr);
    }
    fputc('\n', stderr);
}

int args_misuse(const struct command *c, const char *fmt, ...)
{
    char said[600], line[800];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(said, sizeof said, fmt, ap);
    va_end(ap);
    snprintf(line, sizeof line, "recrank %s: %s (see: recrank %s --help)", c->name, said, c->name);
    args_print_line(line);
    return 2;
}

/* Levenshtein distance of words up to 31 letters; longer ones are not near anything. */
static int distance(const char *a, const char *b)
{
    const size_t n = strlen(a), m = strlen(b);
    int row[33];
    if (n > 31 || m > 31)
        return 99;
    for (size_t j = 0; j <= m; j++)
        row[j] = (int)j;
    for (size_t i = 1; i <= n; i++) {
        int diagonal = row[0];
        row[0] = (int)i;
        for (size_t j = 1; j <= m; j++) {
            int best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            best = row[j] + 1 < best ? row[j] + 1 : best;
            row[j] = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
        }
    }
    return row[m];
}

const char *args_nearest(const char *word, const char *const *names, size_t n)
{
    const char *best = NULL;
    int best_distance = 4;
    for (size_t i = 0; i < n; i++) {
        int d = distance(word, names[i]);
        if (d < best_distance && d <= ((int)strlen(word) + 1) / 3) {
            best_distance = d;
            best = names[i];
        }
    }
    return best;
}

static void print_default(const struct option *o)
{
    if (o->kind == OPT_TEXT && *(const char **)o->value)
        printf(" [%s]", *(const char **)o->value);
    else if (o->kind == OPT_INT)
        printf(" [%lld]", *(long long *)o->value);
    else if (o->kind == OPT_REAL && !isnan(*(double *)o->value))
        printf(" [%g]", *(double *)o->value);
}

static void print_help(const struct command *c, const struct option *opts, size_t n)
{
    printf("recrank %s - %s\n\nusage: recrank %s %s\n", c->name, c->summary, c->name, c->synopsis);
    if (c->examples)
        printf("\nexamples:\n%s", c->examples);
    printf("\noptions:\n");
    for (size_t i = 0; i < n; i++) {
        char left[64];
        int len = opts[i].letter
                      ? snprintf(left, sizeof left, "  -%c, --%s", opts[i].letter, opts[i].name)
                      : snprintf(left, sizeof left, "  --%s", opts[i].name);
        if (opts[i].kind != OPT_FLAG && len > 0 && (size_t)len < sizeof left)
            snprintf(left + len, sizeof left - (size_t)len,
                     opts[i].kind == OPT_MAYBE ? "[=%s]" : " %s", opts[i].meta);
        printf("%-28s %s", left, opts[i].help);
        print_default(&opts[i]);
        putchar('\n');
    }
    printf("%-28s %s\n", "  -h, --help", "show this");
    if (c->notes)
        printf("\n%s", c->notes);
}

static struct option *find_long(struct option *opts, size_t n, const char *name, size_t len)
{
    for (size_t i = 0; i < n; i++)
        if (strlen(opts[i].name) == len && memcmp(opts[i].name, name, len) == 0)
            return &opts[i];
    return NULL;
}

static int unknown(const struct command *c, const struct option *opts, size_t n, const char *word)
{
    const char *names[64];
    size_t m = n < 64 ? n : 64;
    for (size_t i = 0; i < m; i++)
        names[i] = opts[i].name;
    const char *near = args_nearest(word, names, m);
    if (near)
        return args_misuse(c, "unknown option --%s; did you mean --%s?", word, near);
    return args_misuse(c, "unknown option --%s", word);
}

static int set_choice(const struct command *c, struct option *o, const char *text)
{
    int index = 0;
    for (const char *p = o->meta; p; index++) {
        const char *bar = strchr(p, '|');
        size_t len = bar ? (size_t)(bar - p) : strlen(p);
        if (strlen(text) == len && memcmp(p, text, len) == 0) {
            *(int *)o->value = index + (o->kind == OPT_MAYBE);
            return -1;
        }
        p = bar ? bar + 1 : NULL;
    }
    return args_misuse(c, "--%s is '%s'; expected %s", o->name, text, o->meta);
}

static int set_value(const struct command *c, struct option *o, const char *text)
{
    int64_t i;
    double d;
    switch (o->kind) {
    case OPT_TEXT:
        *(const char **)o->value = text;
        return -1;
    case OPT_INT:
        if (!rr_parse_i64(&i, text, strlen(text), (int64_t)o->min, (int64_t)o->max))
            return args_misuse(c, "--%s is '%s'; expected a whole number from %.0f to %.0f",
                               o->name, text, o->min, o->max);
        *(long long *)o->value = i;
        return -1;
    case OPT_REAL:
        if (!rr_parse_double(&d, text, strlen(text)) || d < o->min || d > o->max)
            return args_misuse(c, "--%s is '%s'; expected a number from %g to %g", o->name, text,
                               o->min, o->max);
        *(double *)o->value = d;
        return -1;
    default:
        return set_choice(c, o, text);
    }
}

/* One option at argv[*i]; value points behind "=" or at the rest of a short option, or is NULL. */
static int take_option(const struct command *c, struct option *o, const char *value, int *i,
                       int argc, char **argv)
{
    if (o->given)
        return args_misuse(c, "--%s is given twice", o->name);
    o->given = true;
    if (o->kind == OPT_FLAG) {
        if (value)
            return args_misuse(c, "--%s takes no value", o->name);
        *(bool *)o->value = true;
        return -1;
    }
    if (o->kind == OPT_MAYBE && !value) {
        *(int *)o->value = 1;
        return -1;
    }
    if (!value && *i + 1 >= argc)
        return args_misuse(c, "--%s needs a value: %s", o->name, o->meta);
    return set_value(c, o, value ? value : argv[++*i]);
}

int args_parse(struct args *a, const struct command *c, struct option *opts, size_t n_opts,
               int argc, char **argv)
{
    bool only_args = false;
    *a = (struct args){.n = 0};
    for (int i = 0; i < argc; i++) {
        const char *arg = argv[i];
        int rc = -1;
        if (!only_args && strcmp(arg, "--") == 0) {
            only_args = true;
        } else if (only_args || arg[0] != '-' || arg[1] == 0) {
            if (a->n >= c->max_args)
                return args_misuse(c, "unexpected argument '%s'; usage: recrank %s %s", arg,
                                   c->name, c->synopsis);
            a->positional[a->n++] = arg;
        } else if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0) {
            print_help(c, opts, n_opts);
            return tool_finish();
        } else if (arg[1] == '-') {
            const char *eq = strchr(arg, '=');
            size_t len = eq ? (size_t)(eq - arg - 2) : strlen(arg + 2);
            struct option *o = find_long(opts, n_opts, arg + 2, len);
            if (!o) {
                char word[32];
                snprintf(word, sizeof word, "%.*s", len < 31 ? (int)len : 31, arg + 2);
                return unknown(c, opts, n_opts, word);
            }
            rc = take_option(c, o, eq ? eq + 1 : NULL, &i, argc, argv);
        } else {
            struct option *o = NULL;
            for (size_t k = 0; k < n_opts; k++)
                if (opts[k].letter == arg[1])
                    o = &opts[k];
            if (!o)
                return args_misuse(c, "unknown option -%c", arg[1]);
            rc = take_option(c, o, arg[2] ? arg + 2 : NULL, &i, argc, argv);
        }
        if (rc >= 0)
            return rc;
    }
    if (a->n < c->min_args)
        return args_misuse(c, "too few arguments; usage: recrank %s %s", c->name, c->synopsis);
    return -1;
}

bool args_given(const struct option *opts, size_t n_opts, const char *name)
{
    for (size_t i = 0; i < n_opts; i++)
        if (strcmp(opts[i].name, name) == 0)
            return opts[i].given;
    return false;
}
