/* The likelihood of titles as a retriever: the whole catalogue is ranked behind each user's likes,
 * one trunk, every title a leaf. */
#ifndef RR_RETRIEVE_H
#define RR_RETRIEVE_H

#include "rec/backbone/lists.h"
#include "rec/rank/ranker.h"

struct rr_retrieve_options {
    int k;                    /* candidates per user */
    int user;                 /* this one alone; -1: all with training likes */
    bool with_valid;          /* the validation item is history, too, and no candidate */
    rr_progress_fn *progress; /* users; nonzero stops with RR_ERR_INTERRUPTED */
    void *progress_arg;
};

/* Fills l with every user's k best training items that are not liked in training, equal scores by
 * item. r must ask for likelihood. Release with rr_lists_free, also after a failure. */
int rr_retrieve(struct rr_lists *l, struct rr_ranker *r, const struct rr_split *split,
                const struct rr_retrieve_options *o, struct rr_error *err);

#endif
