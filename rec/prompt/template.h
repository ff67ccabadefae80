/* Prompt templates: the wording of the three questions, compiled in or from a file.
 *
 * A template is plain text of three sections with a line "---" between them: what the model is told
 * to do (the system message of a chat), the question about one user (the user message), and what
 * the answer begins with. {name} is replaced; {{ and }} stand for braces. A line with a placeholder
 * that has nothing to say (a hint when there are no hints) is left out whole.
 *
 *     {noun} {nouns}       what an item is called, one and many
 *     {levels}             the highest rating of the scale
 *     {rated}              pointwise: lines "title": rating, or None.
 *     {liked} {disliked}   quoted titles with commas, or None.
 *     {title}              pointwise: the candidate; at the end of a pairwise answer: the answer is
 *                          the preferred one's title, not Yes. or No.
 *     {first} {second}     pairwise: the two candidates
 *     {candidates} {n}     listwise: the candidates as they are shown, and how many
 *     {top}                listwise: how many titles the answer has
 *     {hint}               what the conventional recommender says: a rating with one decimal, Yes.
 * or No., or its best titles
 *
 * Titles are data: they stand in double quotes, and a double quote inside becomes a single one. */
#ifndef RR_TEMPLATE_H
#define RR_TEMPLATE_H

#include "engine/base/fail.h"
#include "engine/base/mem.h"

/* The three questions, which have templates, and the likelihood of titles, which asks nothing. */
enum rr_task {
    RR_POINTWISE,
    RR_PAIRWISE,
    RR_LISTWISE,
    RR_N_TASKS,
    RR_LIKELIHOOD = RR_N_TASKS,
    RR_N_SIGNALS
};
const char *rr_task_name(enum rr_task task); /* "pointwise", ..., "likelihood" */

enum rr_slot {
    RR_SLOT_NOUN,
    RR_SLOT_NOUNS,
    RR_SLOT_LEVELS,
    RR_SLOT_RATED,
    RR_SLOT_LIKED,
    RR_SLOT_DISLIKED,
    RR_SLOT_TITLE,
    RR_SLOT_FIRST,
    RR_SLOT_SECOND,
    RR_SLOT_CANDIDATES,
    RR_SLOT_N,
    RR_SLOT_TOP,
    RR_SLOT_HINT,
    RR_N_SLOTS
};

/* A stretch of text, or a slot (text NULL). */
struct rr_template_part {
    const char *text;
    size_t n;
    enum rr_slot slot;
    bool ends_line; /* the last of its line */
};

enum rr_section { RR_SECTION_SYSTEM, RR_SECTION_USER, RR_SECTION_ANSWER, RR_N_SECTIONS };

struct rr_template {
    enum rr_task task;
    bool title_answer; /* pairwise: answered by a title */
    struct rr_template_part *parts;
    size_t first[RR_N_SECTIONS + 1]; /* section s: parts first[s] .. first[s + 1] */
    const char *text;                /* as it was parsed, terminated */
    char digest[9]; /* first digits of the text's sha256: two wordings are two runs */
    struct rr_arena arena;
};

/* The wording of a task that is compiled in. Static. */
const char *rr_template_text(enum rr_task task);

/* Parses text[0..n) for a task. RR_ERR_DATA "TEMPLATE" with line and column: an unknown placeholder
 * or one of another task, a lone brace, not three sections, an empty answer section, a required
 * placeholder ({title}; {first} and {second}; {candidates}) missing. Release with
 * rr_template_free, also after a failure. */
int rr_template_parse(struct rr_template *t, enum rr_task task, const char *text, size_t n,
                      const char *file, struct rr_error *err);
int rr_template_load(struct rr_template *t, enum rr_task task, const char *path,
                     struct rr_error *err);
void rr_template_free(struct rr_template *t);

/* Appends a slot's value to out and returns true, or returns false: nothing to say. */
typedef bool rr_slot_fn(void *arg, enum rr_slot slot, struct rr_buf *out);
/* Appends a section, its lines joined by '\n', without one at the end. */
void rr_template_render(struct rr_buf *out, const struct rr_template *t, enum rr_section section,
                        rr_slot_fn *value, void *arg);

#endif
