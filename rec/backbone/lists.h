/* Candidate lists of all users: from a backbone, or imported from a file of anyone's, and written
 * for others to use. */
#ifndef RR_LISTS_H
#define RR_LISTS_H

#include "rec/backbone/backbone.h"

struct rr_lists {
    size_t *start;               /* [n_users + 1] */
    struct rr_candidate *list;   /* best first */
    char fingerprint[65];        /* of an imported file: its sha256; "": not imported */
    bool scored;                 /* an imported file had scores */
    int n_users_listed;          /* users with at least one candidate */
    int n_short, n_without_test; /* imported: lists shorter than k; without the user's test item */
    long long n_dropped;         /* imported: behind the k-th, or a training like of the user's */
};

/* The k best candidates of every user (rr_backbone_candidates). */
int rr_lists_make(struct rr_lists *l, const struct rr_backbone *b, const struct rr_split *split,
                  int k, struct rr_error *err);
void rr_lists_free(struct rr_lists *l);

/* Reads lists in one of these forms, told apart by the first line:
 *   TSV     user item [score]                        tabs; equal users need not be adjacent
 *   TREC    user Q0 item rank score tag              blanks; the rank column is ignored
 *   JSONL   {"user":U,"candidates":[{"item":I,"score":S} or I, ...]}
 * Ids are those of the data set. Lists are ordered by score, file order among equals, and by file
 * order where there are no scores; the k best are kept. Training likes of the user are left out and
 * counted. RR_ERR_DATA with line: "USER", "ITEM" (unknown), "DUPLICATE" (an item twice in a list),
 * "SCORE", "COLUMNS", "JSON". */
int rr_lists_parse(struct rr_lists *l, const struct rr_split *split, int k, const char *text,
                   size_t n, const char *file, struct rr_error *err);
int rr_lists_load(struct rr_lists *l, const struct rr_split *split, int k, const char *path,
                  struct rr_error *err);

enum rr_lists_format { RR_LISTS_TSV, RR_LISTS_TREC, RR_LISTS_JSONL };
/* Whether the ids can stand in a format: no tab or line break in TSV, no blank in a TREC run.
 * RR_ERR_DATA "ID" names the first that cannot. */
int rr_lists_check_ids(enum rr_lists_format format, const struct rr_dataset *d,
                       struct rr_error *err);
/* Appends one user's list. Without scores TSV has two columns, JSON none, and TREC minus the rank.
 * TREC scores are made strictly decreasing where they are not, since trec_eval breaks ties by
 * document id. tag names the run. */
void rr_lists_write(struct rr_buf *out, enum rr_lists_format format, const struct rr_dataset *d,
                    int user, const struct rr_candidate *list, int n, bool scored, const char *tag);

#endif
