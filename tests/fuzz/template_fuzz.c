/* Prompt templates of each task: refused at a line and a column, or every section renders, the
 * answer's beginning is one line without placeholders, and the question holds what it must. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "rec/prompt/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct told {
    unsigned asked, silent;
};

static bool slot_value(void *arg, enum rr_slot slot, struct rr_buf *out)
{
    struct told *t = arg;
    if (slot < 0 || slot >= RR_N_SLOTS)
        abort();
    t->asked |= 1u << slot;
    if (t->silent >> slot & 1)
        return false;
    rr_buf_puts(out, "x");
    return true;
}

/* Appends a section; which slots were asked for. */
static unsigned render(struct rr_buf *out, const struct rr_template *t, enum rr_section section,
                       unsigned silent)
{
    struct told told = {0, silent};
    rr_buf_clear(out);
    rr_template_render(out, t, section, slot_value, &told);
    if (out->failed || (out->data && out->data[out->n]))
        abort();
    return told.asked;
}

static void check_parsed(const struct rr_template *t)
{
    static const unsigned needed[RR_N_TASKS] = {
        1u << RR_SLOT_TITLE, 1u << RR_SLOT_FIRST | 1u << RR_SLOT_SECOND, 1u << RR_SLOT_CANDIDATES};
    struct rr_buf once = {0}, again = {0};
    unsigned asked = 0;
    for (int s = 0; s < RR_N_SECTIONS; s++) {
        const unsigned here = render(&once, t, (enum rr_section)s, 0);
        if (render(&again, t, (enum rr_section)s, 0) != here || again.n != once.n ||
            (once.n && memcmp(once.data, again.data, once.n) != 0))
            abort();
        if (s == RR_SECTION_ANSWER && (here || !once.n || memchr(once.data, '\n', once.n)))
            abort();
        /* Silence leaves lines out and adds nothing. */
        render(&again, t, (enum rr_section)s, ~0u);
        if (again.n > once.n)
            abort();
        asked |= here;
    }
    if ((asked & needed[t->task]) != needed[t->task])
        abort();
    rr_buf_free(&once);
    rr_buf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int task = 0; task < RR_N_TASKS; task++) {
        struct rr_template t;
        struct rr_error err = {0};
        if (rr_template_parse(&t, (enum rr_task)task, (const char *)data, size, "fuzz", &err) == 0)
            check_parsed(&t);
        else if (!err.code[0] || !err.text[0] ||
                 (strcmp(err.code, "TEMPLATE") == 0 && (err.line < 1 || err.column < 1)))
            abort();
        rr_template_free(&t);
    }
    return 0;
}
