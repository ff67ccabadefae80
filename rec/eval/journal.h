/* The journal of a long run: one line of JSON per finished request, behind a first line that says
 * which run it is. A killed run loses at most the line it was writing; another run with the same
 * identity goes on where it stopped, and one with another identity is refused. */
#ifndef RR_JOURNAL_H
#define RR_JOURNAL_H

#include "rec/rank/reply.h"

struct rr_journal {
    int fd; /* -1: no journal; every call then does nothing */
    const char *path;
    char *text; /* what was there when it was opened */
    size_t n;
    struct rr_journal_entry *entries; /* sorted by variant and user */
    size_t n_entries, cap_entries;
    struct rr_buf line;
};

/* Opens path, making it when it is missing, and locks it. settings is one line of text that says
 * everything a reply depends on. RR_ERR_DATA "JOURNAL": no journal of ours, or of another run (what
 * differs first is shown); the file is then left as it was. RR_ERR_BUSY "JOURNAL_BUSY": another
 * process is writing it. A line cut off by a kill is dropped. path NULL: no journal. */
int rr_journal_open(struct rr_journal *j, const char *path, const char *settings,
                    struct rr_error *err);
void rr_journal_close(struct rr_journal *j);

/* What a reply of this run looks like. */
struct rr_journal_shape {
    int n; /* candidates */
    unsigned asked;
    int n_pairs, n_lists;
    bool generated; /* lists may leave candidates out */
};
/* 1: *reply and *seconds are what was written for this variant and user; 0: nothing is there yet;
 * negative: a status ("JOURNAL": the line does not hold a reply of that shape). */
int rr_journal_find(struct rr_journal *j, int variant, int user,
                    const struct rr_journal_shape *shape, struct rr_reply *reply, double *seconds,
                    struct rr_error *err);
/* Appends in one write. */
int rr_journal_add(struct rr_journal *j, int variant, int user, const struct rr_reply *reply,
                   double seconds, struct rr_error *err);

#endif
