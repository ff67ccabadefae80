/* See template.h. */
#include "rec/prompt/template.h"

#include "engine/base/file.h"
#include "engine/base/sha256.h"
#include "rec/data/text.h"

const char *rr_task_name(enum rr_task task)
{
    static const char *const names[RR_N_SIGNALS] = {"pointwise", "pairwise", "listwise",
                                                    "likelihood"};
    return names[task];
}

static const char pointwise[] =
    "You predict how a user rates one {noun}. The user's ratings so far are listed, from 1 (worst) "
    "to "
    "{levels} (best). Answer with one whole number from 1 to {levels} and nothing else.\n"
    "---\n"
    "Ratings:\n"
    "{rated}\n"
    "\n"
    "Question: How does the user rate the {noun} {title}?\n"
    "Hint: another recommender predicts {hint}.\n"
    "---\n"
    "Answer:\n";

static const char pairwise[] =
    "You decide which of two {nouns} a user prefers. The {nouns} that the user liked and disliked "
    "are listed. Answer with \"Yes.\" or \"No.\" and nothing else.\n"
    "---\n"
    "Liked: {liked}\n"
    "Disliked: {disliked}\n"
    "\n"
    "Question: Does the user prefer the {noun} {first} over {second}?\n"
    "Hint: another recommender says {hint}\n"
    "---\n"
    "Answer:\n";

static const char listwise[] =
    "You rank {nouns} for a user. The {nouns} that the user liked and disliked are listed. Answer "
    "with the {top} candidates that the user likes best, the best first, as titles in double "
    "quotes "
    "with commas between them, and nothing else.\n"
    "---\n"
    "Liked: {liked}\n"
    "Disliked: {disliked}\n"
    "\n"
    "Question: Which of these {n} candidates does the user like best: {candidates}?\n"
    "Hint: another recommender's best are {hint}.\n"
    "---\n"
    "Answer:\n";

const char *rr_template_text(enum rr_task task)
{
    static const char *const texts[RR_N_TASKS] = {pointwise, pairwise, listwise};
    return texts[task];
}

#define BIT(slot) (1u << RR_SLOT_##slot)
#define EVERYWHERE (BIT(NOUN) | BIT(NOUNS) | BIT(LEVELS) | BIT(HINT))
#define LIKES (BIT(LIKED) | BIT(DISLIKED))

static const char *const slot_names[RR_N_SLOTS] = {
    "noun",  "nouns",  "levels",     "rated", "liked", "disliked", "title",
    "first", "second", "candidates", "n",     "top",   "hint"};
static const unsigned allowed[RR_N_TASKS] = {
    EVERYWHERE | LIKES | BIT(RATED) | BIT(TITLE),
    EVERYWHERE | LIKES | BIT(FIRST) | BIT(SECOND) | BIT(TITLE),
    EVERYWHERE | LIKES | BIT(CANDIDATES) | BIT(N) | BIT(TOP)};
static const unsigned needed[RR_N_TASKS] = {BIT(TITLE), BIT(FIRST) | BIT(SECOND), BIT(CANDIDATES)};

struct parser {
    struct rr_template *t;
    const char *file;
    struct rr_error *err;
    size_t n, cap; /* parts */
    unsigned seen;
    int section;
    struct rr_lines lines;
};

static int bad(struct parser *p, long long column, const char *what, const char *name, size_t n)
{
    const long long line = p->lines.number ? p->lines.number : 1; /* no line was read: 1 */
    return rr_fail(p->err, RR_ERR_DATA, "TEMPLATE", RR_AT_LINE(p->file, NULL, line, column),
                   "%s%s%s%s", what, name ? " {" : "", name ? rr_show(name, n).s : "",
                   name ? "}" : "");
}

static int add_part(struct parser *p, const char *text, size_t n, int slot)
{
    struct rr_template_part part = {.n = n};
    if (slot >= 0) {
        part.slot = (enum rr_slot)slot;
        p->seen |= 1u << slot;
    } else {
        part.text = rr_arena_copy(&p->t->arena, text, n);
    }
    if ((slot < 0 && !part.text) || !rr_grow(&p->t->parts, &p->cap, p->n + 1, sizeof part))
        return rr_fail_memory(p->err, "template", p->n * sizeof part);
    p->t->parts[p->n++] = part;
    return RR_OK;
}

static int find_slot(const char *name, size_t n)
{
    for (int s = 0; s < RR_N_SLOTS; s++)
        if (strlen(slot_names[s]) == n && memcmp(slot_names[s], name, n) == 0)
            return s;
    return -1;
}

static int parse_slot(struct parser *p, const char *line, size_t len, size_t *at)
{
    const char *close = memchr(line + *at, '}', len - *at);
    if (!close)
        return bad(p, (long long)*at + 1, "a brace that is not closed; {{ stands for one", NULL, 0);
    const char *name = line + *at + 1;
    const size_t n = (size_t)(close - name);
    const int slot = find_slot(name, n);
    if (slot < 0)
        return bad(p, (long long)*at + 1, "unknown placeholder", name, n);
    if (!(allowed[p->t->task] >> slot & 1))
        return bad(p, (long long)*at + 1, "a placeholder of another task:", name, n);
    if (p->t->task == RR_PAIRWISE && slot == RR_SLOT_TITLE &&
        (p->section != RR_SECTION_ANSWER || *at + n + 2 != len))
        return bad(p, (long long)*at + 1, "a pairwise template may only end its answer with", name,
                   n);
    *at += n + 2;
    return add_part(p, NULL, 0, slot);
}

static int parse_line(struct parser *p, const char *line, size_t len)
{
    size_t from = 0, at = 0;
    int rc = RR_OK;
    while (at < len && !rc) {
        const char c = line[at];
        if (c != '{' && c != '}') {
            at++;
            continue;
        }
        const bool twice = at + 1 < len && line[at + 1] == c;
        if (c == '}' && !twice)
            return bad(p, (long long)at + 1, "a lone closing brace; }} stands for one", NULL, 0);
        if (at > from || twice)
            rc = add_part(p, line + from, at - from + twice, -1);
        if (twice)
            at += 2;
        else if (!rc)
            rc = parse_slot(p, line, len, &at);
        from = at;
    }
    if (!rc)
        rc = add_part(p, line + from, len - from, -1);
    if (!rc)
        p->t->parts[p->n - 1].ends_line = true;
    return rc;
}

/* Blank lines at the end of a section are nobody's intention. */
static void trim_section(struct parser *p, size_t first)
{
    while (p->n > first && p->t->parts[p->n - 1].text && !p->t->parts[p->n - 1].n &&
           (p->n - 1 == first || p->t->parts[p->n - 2].ends_line))
        p->n--;
}

/* A pairwise answer that ends in {title}: the mark is taken off again, and the blank before it. */
static void take_title_answer(struct parser *p)
{
    struct rr_template *t = p->t;
    const size_t first = t->first[RR_SECTION_ANSWER];
    if (t->task != RR_PAIRWISE || p->n < first + 3 || !t->parts[p->n - 1].text ||
        t->parts[p->n - 1].n || t->parts[p->n - 2].text ||
        t->parts[p->n - 2].slot != RR_SLOT_TITLE || !t->parts[p->n - 3].text)
        return;
    struct rr_template_part *before = &t->parts[p->n - 3];
    while (before->n && before->text[before->n - 1] == ' ')
        before->n--;
    before->ends_line = true;
    p->n -= 2;
    t->first[RR_N_SECTIONS] = p->n;
    t->title_answer = true;
}

static int check_whole(struct parser *p)
{
    const unsigned missing = needed[p->t->task] & ~p->seen;
    if (p->section != RR_SECTION_ANSWER)
        return bad(p, 1,
                   "expected three sections (task, question, beginning of the answer) with "
                   "lines --- between them",
                   NULL, 0);
    for (int s = 0; s < RR_N_SLOTS; s++)
        if (missing >> s & 1)
            return bad(p, 1, "the question must hold", slot_names[s], strlen(slot_names[s]));
    bool good = false; /* braces make several parts of a line */
    for (size_t i = p->t->first[RR_SECTION_ANSWER]; i < p->n; i++) {
        const struct rr_template_part *part = &p->t->parts[i];
        if (!part->text || part->ends_line != (i + 1 == p->n)) {
            good = false;
            break;
        }
        for (size_t k = 0; k < part->n; k++)
            good = good || (part->text[k] != ' ' && part->text[k] != '\t');
    }
    return good ? RR_OK
                : bad(p, 1, "the answer section must be one line of text without placeholders",
                      NULL, 0);
}

int rr_template_parse(struct rr_template *t, enum rr_task task, const char *text, size_t n,
                      const char *file, struct rr_error *err)
{
    struct parser p = {.t = t, .file = file, .err = err};
    const char *line;
    size_t len;
    int more;
    struct rr_sha256 sum;
    char hex[65];
    *t = (struct rr_template){.task = task};
    rr_sha256_init(&sum);
    rr_sha256_add(&sum, text, n);
    rr_sha256_hex(&sum, hex);
    memcpy(t->digest, hex, sizeof t->digest - 1);
    t->text = rr_arena_copy(&t->arena, text, n);
    int rc =
        t->text ? rr_lines_open(&p.lines, text, n, file, err) : rr_fail_memory(err, "template", n);
    while (!rc && (more = rr_lines_next(&p.lines, &line, &len, err)) != 0) {
        if (more < 0)
            return more;
        if (len != 3 || memcmp(line, "---", 3) != 0) {
            rc = parse_line(&p, line, len);
            continue;
        }
        trim_section(&p, t->first[p.section]);
        if (++p.section == RR_N_SECTIONS)
            return bad(&p, 1, "a fourth section; there are three", NULL, 0);
        t->first[p.section] = p.n;
    }
    trim_section(&p, t->first[p.section]);
    t->first[RR_N_SECTIONS] = p.n;
    if (!rc && p.section == RR_SECTION_ANSWER)
        take_title_answer(&p);
    if (!rc)
        rc = check_whole(&p);
    return rc;
}

int rr_template_load(struct rr_template *t, enum rr_task task, const char *path,
                     struct rr_error *err)
{
    struct rr_map map;
    *t = (struct rr_template){0};
    int rc = rr_map_open(&map, path, err);
    if (rc)
        return rc;
    rc = rr_template_parse(t, task, (const char *)map.data, map.size, path, err);
    rr_map_close(&map);
    return rc;
}

void rr_template_free(struct rr_template *t)
{
    rr_free(t->parts);
    rr_arena_free(&t->arena);
    *t = (struct rr_template){0};
}

void rr_template_render(struct rr_buf *out, const struct rr_template *t, enum rr_section section,
                        rr_slot_fn *value, void *arg)
{
    const size_t start = out->n;
    size_t line = out->n; /* where the current line begins */
    bool silent = false;
    for (size_t i = t->first[section]; i < t->first[section + 1]; i++) {
        const struct rr_template_part *p = &t->parts[i];
        if (p->text)
            rr_buf_add(out, p->text, p->n);
        else if (!value(arg, p->slot, out))
            silent = true;
        if (!p->ends_line)
            continue;
        if (silent && !out->failed)
            out->n = line;
        else
            rr_buf_add(out, "\n", 1);
        line = out->n;
        silent = false;
    }
    if (out->n > start && !out->failed)
        out->n--; /* the last line's end */
    if (out->data)
        out->data[out->n] = 0;
}
