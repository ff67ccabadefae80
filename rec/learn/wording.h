/* The wordings that recrank's own models are taught: the paper's three questions put in the words
 * of the corpus, so that what pretraining knows of what is liked after what answers them. Pairs are
 * answered by a title, which a small model learns and Yes or No it does not (bench/README.md). */
#ifndef RR_WORDING_H
#define RR_WORDING_H

#include "rec/prompt/template.h"

#define RR_LEARN_TITLES 20 /* newest liked titles shown */

/* A template's text. Static. */
const char *rr_learn_wording(enum rr_task task);

#endif
