/* See pointwise.h. One wording serves training and inference. */
#include "rec/prompt/pointwise.h"

#include <math.h>

/* A title in double quotes. Line breaks and other control characters would let a title pretend
 * to be the prompt's own text. */
static void add_title(struct rr_buf *out, const char *title)
{
    rr_buf_add(out, "\"", 1);
    for (const char *p = title; *p; p++) {
        const char c = (unsigned char)*p < 0x20 || *p == 0x7f ? ' ' : *p;
        rr_buf_add(out, &c, 1);
    }
    rr_buf_add(out, "\"", 1);
}

void rr_prompt_pointwise(struct rr_buf *out, const struct rr_prompt_style *style,
                         const struct rr_rated *history, int n_history,
                         const struct rr_asked *candidate)
{
    rr_buf_clear(out);
    rr_buf_printf(out,
                  "You predict how a user rates a %s. The user's ratings so far are listed, from 1 "
                  "(worst) to %d (best). Answer with one"
                  " whole number from 1 to %d and nothing else.\n\nRatings:\n",
                  style->noun, style->levels, style->levels);
    for (int i = 0; i < n_history; i++) {
        add_title(out, history[i].title);
        rr_buf_printf(out, ": %g\n", (double)history[i].rating);
    }
    rr_buf_printf(out, "\nQuestion: How does the user rate the %s ", style->noun);
    add_title(out, candidate->title);
    rr_buf_puts(out, "?\n");
    if (!isnan(candidate->hint))
        rr_buf_printf(out, "Hint: another recommender predicts %.1f.\n", (double)candidate->hint);
    rr_buf_puts(out, "Answer: ");
}
