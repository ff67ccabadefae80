/* How a model was taught to be asked: what recrank's own training notes in the file it writes, so
 * that whoever opens the file asks in the same words. Hints and position shifting are the asker's
 * choice.
 *
 *     recrank.wording.pointwise, .pairwise, .listwise   templates
 *     recrank.history    newest titles shown in a question
 *     recrank.titles     newest liked titles that likelihood is asked behind */
#ifndef RR_RECIPE_H
#define RR_RECIPE_H

#include "rec/rank/ranker.h"
#include "weights/weights.h"

struct rr_recipe {
    struct rr_template templates[RR_N_TASKS];
    bool has[RR_N_TASKS];
    int history, titles; /* 0: not said */
};

/* Reads a model's notes. RR_ERR_DATA: a damaged one ("TEMPLATE", "EMPTY", "NOTE"). Release with
 * rr_recipe_free, also after a failure. */
int rr_recipe_read(struct rr_recipe *r, const struct rr_weights *w, struct rr_error *err);
void rr_recipe_free(struct rr_recipe *r);
/* Fills what is at its default in o. r must outlive the ranker. */
void rr_recipe_apply(const struct rr_recipe *r, struct rr_ranker_options *o);

/* The notes that rr_recipe_read reads, from what is said: wordings NULL, numbers 0: not. The texts
 * are kept; numbers go to text. Returns how many. */
#define RR_RECIPE_NOTES (RR_N_TASKS + 2)
struct rr_recipe_text {
    char history[16], titles[16];
};
size_t rr_recipe_notes(struct rr_note *notes, struct rr_recipe_text *text,
                       const char *const *wordings, const struct rr_ranker_options *o);

#endif
