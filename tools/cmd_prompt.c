/* recrank prompt: one question as the model sees it, and where the part it shares ends. */
#include <string.h>
#include "engine/base/check.h"
#include "engine/base/json.h"
#include "tools/asking.h"
#include "tools/demo.h"

struct settings {
    struct data_options data;
    struct source_options source;
    struct asking asking;
    const char *user, *tokenizer;
    int n_context; /* of the model, at least what a ranker takes; the latter for a tokenizer alone
                    */
    int task;
    long long number;
    bool json, print_template;
};

/* The text of a question, cut to the context when there is a tokenizer. */
static int show(const struct settings *s, struct rr_ranker *r, const struct rr_request *q,
                struct rr_error *err)
{
    struct rr_reply reply = {0};
    struct rr_prompt prompt = {0};
    struct rr_buf text = {0};
    int rc = rr_reply_resize(&reply, q->n_candidates, q->n_candidates * RR_MAX_PAIR_ROUNDS,
                             RR_MAX_LISTS, err);
    if (!rc)
        rc = rr_ranker_prepare(r, q, (enum rr_task)s->task, &reply, err);
    if (!rc && s->number > r->n_questions)
        rc = rr_fail(err, RR_ERR_USAGE, "QUESTION", RR_NOWHERE,
                     "question %lld of %d; the %s task asks no more about this user", s->number,
                     r->n_questions, rr_task_name((enum rr_task)s->task));
    if (rc)
        goto out;
    struct rr_question question = r->questions[s->number - 1];
    question.from = reply.n_cut;
    rc = rr_prompt_make(&prompt, &r->prompter, q, &question, err);
    if (rc)
        goto out;
    const struct rr_chat_turns turns = rr_ranker_turns(&prompt);
    rr_chat_spell(&text, &r->frame, &turns);
    if (text.failed) {
        rc = rr_fail_memory(err, "prompt", text.n);
        goto out;
    }
    const int n = r->prompts[s->number - 1].n, trunk = rr_tree_trunk(r->prompts, r->n_questions);
    if (s->json) {
        struct rr_buf out = {0};
        rr_buf_printf(&out, "{\"task\":\"%s\",\"question\":%lld,\"questions\":%d,\"text\":",
                      rr_task_name((enum rr_task)s->task), s->number, r->n_questions);
        rr_json_add_string(&out, text.data, text.n);
        rr_buf_printf(&out, ",\"tokens\":%d,\"trunk_tokens\":%d,\"history_cut\":%d}\n", n, trunk,
                      reply.n_cut);
        if (out.failed)
            rc = rr_fail_memory(err, "output", out.n);
        else
            fwrite(out.data, 1, out.n, stdout);
        rr_buf_free(&out);
        goto out;
    }
    printf("%s\n", text.data);
    fflush(stdout);
    struct rr_buf tail = {0};
    const int from = trunk > 12 ? trunk - 12 : 0;
    rc = rr_tokenizer_decode(r->tokenizer, &tail, r->prompts[0].ids + from, (size_t)(trunk - from),
                             err);
    fprintf(stderr, "%d tokens", n);
    if (r->n_questions > 1)
        fprintf(stderr, "; the %d questions of this task share the first %d", r->n_questions,
                trunk);
    if (!rc && trunk && tail.data) {
        for (size_t i = 0; i < tail.n; i++)
            if (tail.data[i] == '\n')
                tail.data[i] = ' ';
        fprintf(stderr, ", up to \"...%.*s\"", (int)tail.n, tail.data);
    }
    fprintf(
        stderr,
        reply.n_cut
            ? "; the %d oldest ratings are not shown: --max-history, and what the context holds\n"
            : "\n",
        reply.n_cut);
    rr_buf_free(&tail);
out:
    rr_buf_free(&text);
    rr_prompt_free(&prompt);
    rr_reply_free(&reply);
    return rc;
}

/* Of a model also its context; a tokenizer alone will do. */
static int open_tokenizer(struct settings *s, struct rr_weights *w, struct rr_tokenizer **alone,
                          const char *path)
{
    struct rr_error err = {0}, second = {0};
    s->n_context = RR_MIN_RANK_CONTEXT;
    int rc = demo_weights(w, path, s->tokenizer, &err);
    if (rc && !s->tokenizer && rr_weights_tokenizer(alone, path, &second) == 0)
        return asking_chat(&s->asking, NULL, path, NULL);
    if (!rc)
        rc = rr_weights_need_tokenizer(w, &err);
    if (rc)
        return tool_fail(&err);
    s->n_context = rr_max_int(s->n_context, w->model.h.n_context);
    rc = asking_recipe(&s->asking, w);
    return rc >= 0 ? rc : asking_chat(&s->asking, w, path, s->tokenizer);
}

static int prompt_user(struct settings *s, struct opened_data *d, const struct rr_tokenizer *t)
{
    struct rr_error err = {0};
    struct rr_user_request u = {0};
    struct rr_ranker r = {0};
    struct rr_ranker_options ro =
        asking_ranker(&s->asking, &d->dataset, s->data.seed, RR_ASK(s->task));
    ro.n_context = s->asking.context ? (int)s->asking.context : s->n_context;
    const int user = rr_dataset_user(&d->dataset, s->user);
    int rc = user < 0 ? rr_fail(&err, RR_ERR_DATA, "USER", RR_AT_OBJECT(s->data.dir, s->user),
                                "no such user among the %d there", d->dataset.n_users)
                      : rr_ranker_init_prompts(&r, t, &ro, &err);
    if (!rc)
        rc = rr_user_request_init(&u, &d->source, &err);
    if (!rc) {
        rr_user_request_make(&u, &d->source, user);
        rc = u.request.n_candidates
                 ? show(s, &r, &u.request, &err)
                 : rr_fail(&err, RR_ERR_DATA, "NO_CANDIDATES", RR_AT_OBJECT(s->data.dir, s->user),
                           "this user has no candidates");
    }
    rr_user_request_release(&u);
    rr_ranker_release(&r);
    return rc ? tool_fail(&err) : tool_finish();
}

static int run(const struct command *c, int argc, char **argv)
{
    struct settings s = {.data = DATA_OPTIONS_INIT,
                         .source = SOURCE_OPTIONS_INIT,
                         .asking = ASKING_INIT,
                         .number = 1};
    struct option opts[] = {
        {"user", 0, OPT_TEXT, &s.user, "U", "the user's id in the data set", 0, 0, false},
        {"task", 0, OPT_CHOICE, &s.task, "pointwise|pairwise|listwise",
         "which question [pointwise]", 0, 0, false},
        {"question", 0, OPT_INT, &s.number, "N", "which of the task's questions about the user", 1,
         1e6, false},
        {"json", 0, OPT_FLAG, &s.json, NULL, "one JSON object instead of the text", 0, 0, false},
        {"print-template", 0, OPT_FLAG, &s.print_template, NULL,
         "print the task's compiled template and stop", 0, 0, false},
        {"tokenizer", 0, OPT_TEXT, &s.tokenizer, "FILE", "the tokenizer, for a MODEL without one",
         0, 0, false},
        DATA_OPTION_ROWS(s.data),
        SOURCE_OPTION_ROWS(s.source),
        ASKING_OPTION_ROWS(s.asking),
        CHAT_OPTION_ROW(s.asking.chat_option),
    };
    struct args a;
    struct opened_data d;
    struct rr_weights w = {0};
    struct rr_tokenizer *alone = NULL;
    int rc = args_parse(&a, c, opts, COUNT(opts), argc, argv);
    if (rc >= 0)
        return rc;
    if (s.print_template) {
        fputs(rr_template_text((enum rr_task)s.task), stdout);
        return tool_finish();
    }
    if (!a.n || !s.data.dir || !s.user)
        return args_misuse(c, "a model or tokenizer, --data and --user are needed");
    if ((rc = asking_check(c, &s.asking, RR_ASK(s.task), opts, COUNT(opts))) >= 0 ||
        (rc = source_check(c, &s.source)) >= 0 || (rc = asking_open(&s.asking)) >= 0)
        return rc;
    tool_catch_interrupt();
    rc = open_tokenizer(&s, &w, &alone, a.positional[0]);
    if (rc < 0 && (rc = data_open(&d, c, &s.data)) < 0) {
        rc = data_verdict(&d.dataset);
        if (!rc)
            rc = data_source(&d, &s.source, &s.data, !s.asking.no_hint);
        if (rc < 0)
            rc = prompt_user(&s, &d, alone ? alone : w.tokenizer);
        data_close(&d);
    }
    rr_tokenizer_close(alone);
    rr_weights_close(&w);
    asking_close(&s.asking);
    return rc;
}

const struct command cmd_prompt = {
    .name = "prompt",
    .synopsis = "MODEL|TOKENIZER --data PATH --user U [--task pointwise] [--question N]",
    .summary = "show a question as the model sees it, with its tokens",
    .examples = "  recrank prompt model.gguf --data ml-100k --user 42 --task listwise\n"
                "  recrank prompt --task pairwise --print-template > pairwise.txt\n",
    .notes =
        "The text goes to stdout; how many tokens it has, and how many of them all questions of "
        "the "
        "task share, to stderr.\n\n"
        "A template has three sections with lines --- between them: the task (the system message), "
        "the question (the user message)\nand what the answer begins with. {name} is replaced, {{ "
        "and }} stand for braces; a line whose placeholder has nothing to say\nis left out. {noun} "
        "{nouns} {levels} {hint} everywhere; pointwise: {rated} {title}; pairwise: {liked} "
        "{disliked} {first} {second};\nlistwise: {liked} {disliked} {candidates} {n} {top}.\n\n"
        "With --chat the three sections are the system's and the user's message and the beginning "
        "of the assistant's, as the model's chat\ntemplate marks them: a GGUF file's "
        "tokenizer.chat_template; chat_template.jinja, or chat_template in tokenizer_config.json. "
        "Known\nare LLaMA-2's, LLaMA-3's, ChatML and Zephyr's, by what they hold. Marks that are "
        "control tokens are put as such; in titles they are\ntext. A default system message or "
        "a date that the template would add is left out.\n",
    .min_args = 0,
    .max_args = 1,
    .run = run,
};
