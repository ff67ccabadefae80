/* From a request to the text of one question. Reads nothing but the request: what is not in it
 * cannot leak into a prompt. */
#ifndef RR_PROMPT_H
#define RR_PROMPT_H

#include "rec/data/dataset.h"
#include "rec/prompt/template.h"
#include "rec/recrank.h"

/* How questions are put. Zero means the default. */
struct rr_prompt_style {
    const struct rr_template *templates[RR_N_TASKS]; /* NULL: the wording compiled in */
    const char *noun, *nouns;                        /* "movie", "movies" */
    int levels;                                      /* answers are 1..levels; 0: 5 */
    bool has_thresholds;                             /* the next two are meant; else 4 and 2 */
    float like, dislike;                             /* liked from, disliked up to */
    int max_rated, max_liked, max_disliked;          /* newest shown; 0: 50, 50, 10 */
    bool no_hints;                                   /* leave the recommender's opinion out */
    bool no_shift;        /* no position shifting: one order per pair, lists in retrieval order */
    bool plain_lists;     /* lists in retrieval order although pairs are shifted (the original) */
    bool shuffle_history; /* instead of oldest first */
    uint64_t seed;        /* of everything shuffled, together with the request's id */
};

#define RR_LIST_TOP 5        /* titles in a listwise answer, and in its hint */
#define RR_FEWEST_DISLIKED 3 /* fewer disliked titles than this are not shown */

/* Which question about a request. */
struct rr_question {
    enum rr_task task;
    int a, b;         /* candidates: pointwise a; pairwise a over b */
    const int *shown; /* listwise: candidates in the order shown [n_candidates] */
    int from;         /* history before this entry is not shown */
};

/* The wordings and thresholds of a data set, all else at its default. */
struct rr_prompt_style rr_prompt_style_for(const struct rr_dataset *d, uint64_t seed);

struct rr_prompter {
    struct rr_prompt_style style; /* defaults filled in */
    struct rr_template compiled[RR_N_TASKS];
    /* Scratch: entries of the history that one list shows. */
    struct rr_shown_entry *entries;
    size_t cap_entries;
};

/* Fills defaults and parses the compiled templates. The style's own templates must outlive the
 * prompter. Release also after a failure. */
int rr_prompter_init(struct rr_prompter *p, const struct rr_prompt_style *style,
                     struct rr_error *err);
void rr_prompter_release(struct rr_prompter *p);

/* A question as text: "system\n\nuser\nanswer's beginning". */
struct rr_prompt {
    struct rr_buf text;
    size_t system_end;           /* text[0..system_end) */
    size_t user_begin, user_end; /* and the user message */
};
void rr_prompt_free(struct rr_prompt *p);

/* Replaces *out. RR_ERR_MEMORY only. */
int rr_prompt_make(struct rr_prompt *out, struct rr_prompter *p, const struct rr_request *q,
                   const struct rr_question *question, struct rr_error *err);

#define RR_TITLE_BYTES 400 /* of a title that are shown; the rest becomes "..." */

/* Appends a title in double quotes, as prompts and answers spell it: control characters become
 * blanks (a line break would let a title pretend to be the prompt's own text), double quotes single
 * ones, and a title too long for anyone is cut. */
void rr_prompt_add_title(struct rr_buf *out, const char *title);

/* Appends what the likelihood of a title is asked behind: "User's liked movies:", to be followed by
 * liked titles in quotes, each with a blank before it and a comma behind it. */
void rr_prompt_likes_begin(struct rr_buf *out, const char *nouns);

/* shown[n] = the order in which list number `list` of a request shows its candidates: shuffled by
 * seed, request and list, or retrieval order without shifting. */
void rr_prompt_list_order(int *shown, int n, const struct rr_prompt_style *style, uint64_t request,
                          int list);
/* Pairs of round number `round`: a random permutation pi, pair t = (pi[t], pi[t + n/2])
 * (spec/method.md section 6). pairs[n/2][2]; pi is scratch [n]. Returns n/2. */
int rr_prompt_pairs(int (*pairs)[2], int *pi, int n, uint64_t seed, uint64_t request, int round);

#endif
