/* See pattern.h. A pattern becomes a program of steps, and all ways through it are followed at once
 * (Thompson, "Regular Expression Search Algorithm", 1968), so that no pattern takes long. */
#include "weights/pattern.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include "engine/base/mem.h"

enum { MAX_STEPS = 4096, MAX_DEPTH = 64 };
enum op { SET, SPLIT, JUMP, BEGIN, END, MATCH };

/* Jumps are relative, so that finished parts can be moved and copied. */
struct step {
    enum op op;
    int x, y;        /* SPLIT: both ways on; JUMP: x */
    uint8_t set[32]; /* SET: a bit for each byte that it takes */
};

struct program {
    const char *s;
    size_t n, at;
    struct step *steps; /* [MAX_STEPS] */
    int n_steps;
    bool bad;
    struct step nowhere; /* what goes into a bad one */
};

static bool more(const struct program *p)
{
    return !p->bad && p->at < p->n;
}

static bool take(struct program *p, char c)
{
    if (!more(p) || p->s[p->at] != c)
        return false;
    p->at++;
    return true;
}

/* Makes room for a step at `at`, before what is there. */
static struct step *insert(struct program *p, int at, enum op op, int x, int y)
{
    if (p->bad || p->n_steps == MAX_STEPS) {
        p->bad = true;
        return &p->nowhere;
    }
    memmove(&p->steps[at + 1], &p->steps[at], (size_t)(p->n_steps - at) * sizeof *p->steps);
    p->n_steps++;
    p->steps[at] = (struct step){.op = op, .x = x, .y = y};
    return &p->steps[at];
}

static struct step *add(struct program *p, enum op op, int x, int y)
{
    return insert(p, p->n_steps, op, x, y);
}

static void set_range(uint8_t *set, int from, int to)
{
    for (int c = from; c <= to; c++)
        set[c / 8] |= (uint8_t)(1 << c % 8);
}

/* \d, \w, \s and their opposites; false: another letter. */
static bool set_class(uint8_t *set, char c)
{
    uint8_t part[32] = {0};
    const bool other = c == 'D' || c == 'W' || c == 'S';
    if (c == 'd' || c == 'D')
        set_range(part, '0', '9');
    else if (c == 'w' || c == 'W') {
        set_range(part, '0', '9');
        set_range(part, 'a', 'z');
        set_range(part, 'A', 'Z');
        set_range(part, '_', '_');
    } else if (c == 's' || c == 'S') {
        set_range(part, '\t', '\r');
        set_range(part, ' ', ' ');
    } else {
        return false;
    }
    for (int i = 0; i < 32; i++)
        set[i] |= other ? (uint8_t)~part[i] : part[i];
    return true;
}

/* Behind a backslash: a class into set (-1), or the character it stands for. */
static int escape(struct program *p, uint8_t *set)
{
    if (!more(p)) {
        p->bad = true;
        return -1;
    }
    const char c = p->s[p->at++];
    if (set_class(set, c))
        return -1;
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    p->bad = p->bad || letter; /* \b, \1 and the like */
    return (unsigned char)c;
}

/* Behind '['. */
static void bracket(struct program *p)
{
    uint8_t set[32] = {0};
    const bool other = take(p, '^');
    bool first = true;
    for (; more(p) && (first || p->s[p->at] != ']'); first = false) {
        int from = (unsigned char)p->s[p->at++], to;
        if (from == '\\' && (from = escape(p, set)) < 0)
            continue;
        to = from;
        if (p->at + 1 < p->n && p->s[p->at] == '-' && p->s[p->at + 1] != ']') {
            p->at++;
            to = (unsigned char)p->s[p->at++];
            if (to == '\\')
                to = escape(p, set);
        }
        p->bad = p->bad || to < from;
        set_range(set, from, to);
    }
    p->bad = p->bad || !take(p, ']');
    for (int i = 0; i < 32; i++)
        set[i] = other ? (uint8_t)~set[i] : set[i];
    memcpy(add(p, SET, 0, 0)->set, set, sizeof set);
}

static void alternatives(struct program *p, int depth);

static void atom(struct program *p, int depth)
{
    const char c = p->s[p->at++];
    uint8_t set[32] = {0};
    int one = -1;
    if (c == '(') {
        if (take(p, '?') && !take(p, ':'))
            p->bad = true; /* look-around, names, flags */
        alternatives(p, depth + 1);
        p->bad = p->bad || !take(p, ')');
        return;
    }
    if (c == '[') {
        bracket(p);
        return;
    }
    if (c == '^' || c == '$') {
        add(p, c == '^' ? BEGIN : END, 0, 0);
        return;
    }
    if (c == '.')
        memset(set, 255, sizeof set); /* but for a new line, which no name has */
    else if (c == '\\')
        one = escape(p, set);
    else if (strchr("*+?{)|", c) && c)
        p->bad = true;
    else
        one = (unsigned char)c;
    if (one >= 0)
        set_range(set, one, one);
    memcpy(add(p, SET, 0, 0)->set, set, sizeof set);
}

static int number(struct program *p)
{
    int v = -1;
    while (more(p) && p->s[p->at] >= '0' && p->s[p->at] <= '9' && v <= MAX_STEPS)
        v = (v < 0 ? 0 : v * 10) + (p->s[p->at++] - '0');
    return v;
}

static void repeat_any(struct program *p, int from)
{
    const int n = p->n_steps - from;
    insert(p, from, SPLIT, 1, n + 2);
    add(p, JUMP, -(n + 1), 0);
}

/* {n}, {n,}, {n,m} or {,m} behind the part that begins at `from`. */
static void repeat_counted(struct program *p, int from)
{
    const int n = p->n_steps - from;
    int least = number(p), most = least;
    if (take(p, ',')) {
        most = number(p);
        most = most < 0 ? MAX_STEPS : most; /* without end */
        least = least < 0 ? 0 : least;
    }
    p->bad = p->bad || !take(p, '}') || least < 0 || most < least || n == 0 ||
             (most < MAX_STEPS ? most : least) > MAX_STEPS / n;
    struct step *part = p->bad ? NULL : rr_alloc((size_t)n, sizeof *part);
    p->bad = p->bad || !part;
    if (p->bad)
        return;
    memcpy(part, &p->steps[from], (size_t)n * sizeof *part);
    p->n_steps = from;
    for (int i = 0; i < (most < MAX_STEPS ? most : least + 1) && !p->bad; i++) {
        const int begin = p->n_steps;
        if (i >= least && most < MAX_STEPS)
            add(p, SPLIT, 1, n + 1);
        for (int k = 0; k < n; k++)
            *add(p, SET, 0, 0) = part[k];
        if (i >= least && most == MAX_STEPS)
            repeat_any(p, begin);
    }
    rr_free(part);
}

static void repeated(struct program *p, int depth)
{
    const int from = p->n_steps;
    atom(p, depth);
    while (more(p)) {
        const int n = p->n_steps - from;
        if (take(p, '*'))
            repeat_any(p, from);
        else if (take(p, '+'))
            add(p, SPLIT, -n, 1);
        else if (take(p, '?'))
            insert(p, from, SPLIT, 1, n + 1);
        else if (take(p, '{'))
            repeat_counted(p, from);
        else
            return;
        if (take(p, '?')) /* lazily: the same for a match of all */
            continue;
        p->bad = p->bad || (more(p) && strchr("*+{", p->s[p->at]));
        return;
    }
}

/* One or more, with | between. */
static void alternatives(struct program *p, int depth)
{
    p->bad = p->bad || depth > MAX_DEPTH;
    for (;;) {
        const int from = p->n_steps;
        while (more(p) && p->s[p->at] != '|' && p->s[p->at] != ')')
            repeated(p, depth);
        if (!take(p, '|'))
            return;
        insert(p, from, SPLIT, 1, p->n_steps - from + 2);
        const int jump = p->n_steps;
        add(p, JUMP, 0, 0);
        alternatives(p, depth + 1);
        if (!p->bad)
            p->steps[jump].x = p->n_steps - jump;
        return;
    }
}

/* ---- following it ---- */

struct run {
    const struct program *p;
    int *waiting[2], n_waiting[2]; /* steps that take the next byte */
    int *stack;
    bool *seen;
};

/* All steps that are reached without taking a byte. */
static void reach(struct run *r, int list, int first, bool begin, bool end)
{
    int n = 0;
    r->stack[n++] = first;
    while (n) {
        const int at = r->stack[--n];
        const struct step *s = &r->p->steps[at];
        if (r->seen[at])
            continue;
        r->seen[at] = true;
        if (s->op == SPLIT) {
            r->stack[n++] = at + s->x;
            r->stack[n++] = at + s->y;
        } else if (s->op == JUMP) {
            r->stack[n++] = at + s->x;
        } else if (s->op == BEGIN || s->op == END) {
            if (s->op == BEGIN ? begin : end)
                r->stack[n++] = at + 1;
        } else {
            r->waiting[list][r->n_waiting[list]++] = at;
        }
    }
}

static bool follow(struct run *r, const char *text, size_t n)
{
    int now = 0;
    r->n_waiting[0] = 0;
    memset(r->seen, 0, (size_t)r->p->n_steps * sizeof *r->seen);
    reach(r, 0, 0, true, n == 0);
    for (size_t i = 0; i < n; i++, now = !now) {
        const unsigned char c = (unsigned char)text[i];
        r->n_waiting[!now] = 0;
        memset(r->seen, 0, (size_t)r->p->n_steps * sizeof *r->seen);
        for (int k = 0; k < r->n_waiting[now]; k++) {
            const struct step *s = &r->p->steps[r->waiting[now][k]];
            if (s->op == SET && s->set[c / 8] >> c % 8 & 1)
                reach(r, !now, r->waiting[now][k] + 1, false, i + 1 == n);
        }
    }
    for (int k = 0; k < r->n_waiting[now]; k++)
        if (r->p->steps[r->waiting[now][k]].op == MATCH)
            return true;
    return false;
}

enum rr_pattern_result rr_pattern_match(const char *pattern, size_t n, const char *text,
                                        size_t n_text)
{
    struct program p = {.s = pattern, .n = n};
    struct run r = {.p = &p};
    enum rr_pattern_result result = RR_PATTERN_MEMORY;
    p.steps = rr_alloc(MAX_STEPS, sizeof *p.steps);
    /* A step puts at most two more on the stack, once. */
    int *lists = rr_alloc(5 * (size_t)MAX_STEPS, sizeof *lists);
    r.seen = rr_alloc(MAX_STEPS, sizeof *r.seen);
    if (p.steps && lists && r.seen) {
        r.waiting[0] = lists;
        r.waiting[1] = lists + MAX_STEPS;
        r.stack = lists + 2 * (size_t)MAX_STEPS;
        alternatives(&p, 0);
        p.bad = p.bad || p.at < p.n; /* a ')' too many */
        add(&p, MATCH, 0, 0);
        result = p.bad                      ? RR_PATTERN_UNSUPPORTED
                 : follow(&r, text, n_text) ? RR_PATTERN_YES
                                            : RR_PATTERN_NO;
    }
    rr_free(p.steps);
    rr_free(lists);
    rr_free(r.seen);
    return result;
}
