/* Instruction tuning: a network learns to answer, and may go on reading the corpus it was
 * pretrained on, so that it does not forget what is liked after what. */
#ifndef RR_TUNE_H
#define RR_TUNE_H

#include "rec/learn/corpus.h"
#include "rec/learn/instructions.h"
#include "rec/learn/trainer.h"

/* Trains lm in place as rr_train does: every pass shows each instruction that is not kept for
 * validation once, in random order, and with a corpus (else NULL) its windows of a pass among them.
 * The validation loss is minus the log-likelihood of a validation answer (with a corpus: or of a
 * validation title), on average. RR_ERR_DATA "NOTHING_TO_LEARN". */
int rr_tune(struct rr_train_report *r, struct rr_lm *lm, struct rr_engine *e,
            const struct rr_instructions *in, const struct rr_corpus *rehearse,
            const struct rr_train_options *o, struct rr_error *err);

#endif
