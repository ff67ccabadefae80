/* Command lines: one table of options per command gives parsing, strict numbers, --help, and
 * "did you mean". */
#ifndef TOOLS_ARGS_H
#define TOOLS_ARGS_H

#include <stdbool.h>
#include <stddef.h>

enum option_kind {
    OPT_FLAG,
    OPT_TEXT,
    OPT_INT,
    OPT_REAL,
    OPT_CHOICE,
    OPT_MAYBE /* --name, or --name=CHOICE */
};

struct option {
    const char *name; /* long, without "--" */
    char letter;      /* short, or 0 */
    enum option_kind kind;
    void *value; /* bool, const char *, long long, double, or int (index of the choice; OPT_MAYBE: 1
                    and its index, the first one's without a value, 0: not given); holds the
                    default */
    const char *meta; /* what the value is called in the help; OPT_CHOICE and OPT_MAYBE: "a|b|c" */
    const char *help;
    double min, max; /* OPT_INT and OPT_REAL */
    bool given;      /* set by args_parse */
};

struct command {
    const char *name, *synopsis, *summary;
    const char *examples; /* shown first in the help, or NULL */
    const char *notes;    /* shown last, or NULL */
    int min_args, max_args;
    int (*run)(const struct command *c, int argc, char **argv);
};

#define MAX_POSITIONAL 4

struct args {
    const char *positional[MAX_POSITIONAL];
    int n;
};

/* Parses argv[0..argc) (behind the command's name). Returns -1 to go on, else the exit code to
 * leave with: 0 after --help, 2 after a message about what is wrong. */
int args_parse(struct args *a, const struct command *c, struct option *opts, size_t n_opts,
               int argc, char **argv);

/* Whether the option of this name was on the command line. */
bool args_given(const struct option *opts, size_t n_opts, const char *name);

/* "recrank COMMAND: message (see recrank COMMAND --help)" on stderr; returns 2. */
int args_misuse(const struct command *c, const char *fmt, ...);

/* One line on stderr with everything unprintable escaped: it may quote the command line. */
void args_print_line(const char *text);

/* The entry of names[] nearest to word, or NULL when none is near. */
const char *args_nearest(const char *word, const char *const *names, size_t n);

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

#endif
