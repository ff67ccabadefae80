/* See choices.h. */
#include "rec/rank/choices.h"

#include <math.h>
#include "engine/base/check.h"

/* The answers' tokens behind the prompt's end. */
struct sequences {
    int ids[RR_MAX_CHOICES][RR_MAX_CHOICE_TOKENS];
    int n[RR_MAX_CHOICES];
};

static int not_apart(const char *answer, struct rr_error *err)
{
    return rr_fail(err, RR_ERR_DATA, "ANSWER_TOKENS", RR_NOWHERE,
                   "the tokenizer does not give the answer \"%s\" tokens of its own behind the "
                   "prompt; scoring needs that",
                   answer);
}

static int encode(const struct rr_tokenizer *t, struct rr_encoding *e, const char *begin,
                  const char *answer, struct rr_error *err)
{
    struct rr_buf text = {0};
    rr_buf_printf(&text, "%s%s%s", begin, answer ? " " : "", answer ? answer : "");
    int rc = text.failed ? rr_fail_memory(err, "answers", text.n)
                         : rr_tokenizer_encode(t, e, text.data, text.n, err);
    rr_buf_free(&text);
    return rc;
}

static int take(struct sequences *s, int i, const struct rr_encoding *e, const int *prompt,
                int n_prompt, const char *answer, struct rr_error *err)
{
    const int n = (int)e->n - n_prompt;
    if (n < 1 || n >= RR_MAX_CHOICE_TOKENS ||
        memcmp(e->ids, prompt, (size_t)n_prompt * sizeof *prompt) != 0)
        return not_apart(answer, err);
    memcpy(s->ids[i], e->ids + n_prompt, (size_t)n * sizeof *prompt);
    s->n[i] = n;
    return RR_OK;
}

static int same_length(const struct sequences *s, int a, int b)
{
    int same = 0;
    while (same < s->n[a] && same < s->n[b] && s->ids[a][same] == s->ids[b][same])
        same++;
    return same;
}

/* Ends every sequence with the token that ends a text when one begins another. */
static int end_sequences(struct sequences *s, int n, int end, const char *const *answers,
                         struct rr_error *err)
{
    bool needed = false;
    for (int a = 0; a < n; a++)
        for (int b = 0; b < n; b++)
            if (a != b && same_length(s, a, b) == s->n[a]) {
                if (s->n[a] == s->n[b] || end < 0)
                    return not_apart(answers[a], err);
                needed = true;
            }
    for (int a = 0; a < n && needed; a++)
        s->ids[a][s->n[a]++] = end;
    return RR_OK;
}

/* The branch after the first `depth` tokens of answer a, unless they all go one way there or it
 * is known. */
static void add_branch(struct rr_choices *c, const struct sequences *s, int a, int depth)
{
    struct rr_branch b = {.n_path = depth - c->n_common};
    for (int i = 0; i < c->n; i++) {
        b.way[i] = -1;
        if (same_length(s, a, i) < depth || s->n[i] <= depth)
            continue;
        if (i < a)
            return; /* found from that one already */
        int way = 0;
        while (way < b.n_ids && b.ids[way] != s->ids[i][depth])
            way++;
        if (way == b.n_ids)
            b.ids[b.n_ids++] = s->ids[i][depth];
        b.way[i] = way;
    }
    if (b.n_ids < 2)
        return;
    memcpy(b.path, s->ids[a] + c->n_common, (size_t)b.n_path * sizeof *b.path);
    c->branches[c->n_branches++] = b;
    c->n_logits += b.n_ids;
}

static void find_branches(struct rr_choices *c, const struct sequences *s)
{
    c->n_common = s->n[0];
    for (int i = 1; i < c->n; i++)
        c->n_common = rr_min_int(c->n_common, same_length(s, 0, i));
    memcpy(c->common, s->ids[0], (size_t)c->n_common * sizeof *c->common);
    add_branch(c, s, 0, c->n_common);
    for (int a = 0; a < c->n; a++)
        for (int depth = c->n_common + 1; depth < s->n[a]; depth++)
            add_branch(c, s, a, depth);
}

int rr_choices_make(struct rr_choices *c, const struct rr_tokenizer *t, struct rr_encoding *e,
                    const char *begin, const char *const *answers, int n, int end,
                    struct rr_error *err)
{
    struct sequences s = {.n = {0}};
    int *prompt = NULL, n_prompt = 0;
    *c = (struct rr_choices){.n = n};
    int rc = encode(t, e, begin, NULL, err);
    if (!rc) {
        n_prompt = (int)e->n;
        prompt = rr_alloc(e->n, sizeof *prompt);
        if (prompt)
            rr_copy(prompt, e->ids, e->n * sizeof *prompt);
        else
            rc = rr_fail_memory(err, "answers", e->n * sizeof *prompt);
    }
    for (int i = 0; i < n && !rc; i++) {
        rc = encode(t, e, begin, answers[i], err);
        if (!rc)
            rc = take(&s, i, e, prompt, n_prompt, answers[i], err);
    }
    if (!rc)
        rc = end_sequences(&s, n, end, answers, err);
    if (!rc)
        find_branches(c, &s);
    rr_free(prompt);
    return rc;
}

void rr_choices_log_p(double *log_p, const struct rr_choices *c, const float *logits)
{
    for (int i = 0; i < c->n; i++)
        log_p[i] = 0;
    for (int k = 0; k < c->n_branches; logits += c->branches[k++].n_ids) {
        const struct rr_branch *b = &c->branches[k];
        double max = (double)logits[0], sum = 0;
        for (int w = 1; w < b->n_ids; w++)
            max = (double)logits[w] > max ? (double)logits[w] : max;
        for (int w = 0; w < b->n_ids; w++)
            sum += exp((double)logits[w] - max);
        for (int i = 0; i < c->n; i++)
            if (b->way[i] >= 0)
                log_p[i] += (double)logits[b->way[i]] - max - log(sum);
    }
}
