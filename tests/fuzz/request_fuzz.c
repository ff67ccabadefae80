/* Requests as JSON: refused at a byte, or in every bound that ranking counts on; and no title in
 * them adds a line to a prompt. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "rec/prompt/prompt.h"
#include "rec/rank/request_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static size_t lines_of(struct rr_prompt *prompt, struct rr_prompter *p, const struct rr_request *q,
                       const struct rr_question *question)
{
    size_t n = 0;
    check(rr_prompt_make(prompt, p, q, question, NULL) == 0);
    check(prompt->text.data && strlen(prompt->text.data) == prompt->text.n);
    for (const char *s = prompt->text.data; (s = strchr(s, '\n')) != NULL; s++)
        n++;
    return n;
}

/* The questions with hints have as many lines as those about a harmless request. */
static void check_prompts(const struct rr_request *q)
{
    static const struct rr_rated rated[] = {{"a", 1}};
    static const struct rr_asked asked[] = {{"a", 1}, {"b", 2}};
    static int shown[RR_MAX_CANDIDATES];
    static struct rr_prompter p;
    static struct rr_prompt prompt;
    static bool ready;
    struct rr_request harmless = {rated, 1, asked, 2, q->order_is_hint, 0};
    if (!ready)
        check(rr_prompter_init(&p, &(struct rr_prompt_style){.max_rated = 1}, NULL) == 0);
    ready = true;
    rr_prompt_list_order(shown, q->n_candidates, &p.style, 1, 0);
    const struct rr_question pair = {.task = RR_PAIRWISE, .a = 0, .b = q->n_candidates - 1};
    const struct rr_question list = {.task = RR_LISTWISE, .shown = shown};
    const struct rr_question rating = {.task = RR_POINTWISE, .a = 0};
    const size_t of_pair = lines_of(&prompt, &p, q, &pair),
                 of_list = lines_of(&prompt, &p, q, &list),
                 of_rating = lines_of(&prompt, &p, q, &rating);
    static const int two[] = {1, 0};
    const struct rr_question pair_two = {.task = RR_PAIRWISE, .a = 0, .b = 1};
    const struct rr_question list_two = {.task = RR_LISTWISE, .shown = two};
    check(of_pair == lines_of(&prompt, &p, &harmless, &pair_two));
    check(of_list == lines_of(&prompt, &p, &harmless, &list_two));
    check(of_rating + isnan(q->candidates[0].hint) == lines_of(&prompt, &p, &harmless, &rating));
}

static void check_request(const struct rr_json_request *r)
{
    const struct rr_request *q = &r->request;
    static bool seen[RR_MAX_CANDIDATES];
    check(q->n_candidates >= 1 && q->n_candidates <= RR_MAX_CANDIDATES && q->n_history >= 0);
    memset(seen, 0, sizeof seen);
    for (int i = 0; i < q->n_history; i++)
        check(q->history[i].title[0] && isfinite(q->history[i].rating));
    for (int i = 0; i < q->n_candidates; i++) {
        check(q->candidates[i].title[0] && !isinf(q->candidates[i].hint));
        check(r->index[i] >= 0 && r->index[i] < q->n_candidates && !seen[r->index[i]]);
        check(q->order_is_hint || r->index[i] == i);
        seen[r->index[i]] = true;
    }
    check_prompts(q);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rr_arena arena = {0};
    struct rr_json *root;
    struct rr_json_request r;
    struct rr_error err = {0};
    if (rr_json_parse(&root, &arena, (const char *)data, size, "fuzz", 0, &err) == 0) {
        if (rr_request_from_json(&r, &arena, root, 5, &err) == 0)
            check_request(&r);
        else
            check(strcmp(err.code, "REQUEST") == 0 && err.text[0] && err.offset >= 0 &&
                  (size_t)err.offset < size);
    }
    rr_arena_free(&arena);
    return 0;
}
