/* See wording.h. A hint stands on a line of its own, so that the question is whole without it. */
#include "rec/learn/wording.h"

#define LIKES "---\nUser's liked {nouns}: {liked},\n"

const char *rr_learn_wording(enum rr_task task)
{
    static const char *const texts[RR_N_TASKS] = {
        LIKES "Next, from 1 to {levels}: {title}?\nHint: {hint}.\n---\nAnswer:\n",
        LIKES "One of {first}, {second} is next.\nHint: {hint}.\n---\nNext: {title}\n",
        LIKES "One of {candidates} is next.\nHint: {hint}.\n---\nNext:\n"};
    return texts[task];
}
