/* Pretraining: a small LLaMA learns a catalogue and what is liked after what, from the corpus
 * alone. */
#ifndef RR_PRETRAIN_H
#define RR_PRETRAIN_H

#include "rec/learn/corpus.h"
#include "rec/learn/trainer.h"

/* Trains lm in place as rr_train does, on the corpus; the validation loss is minus the
 * log-likelihood of a validation title after the user's likes. RR_ERR_DATA "NOTHING_TO_LEARN":
 * nobody has two likes. */
int rr_pretrain(struct rr_train_report *r, struct rr_lm *lm, struct rr_engine *e,
                const struct rr_corpus *c, const struct rr_train_options *o, struct rr_error *err);

#endif
