/* recrank rank: one user's candidates, reordered. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "engine/base/json.h"
#include "rec/rank/ranker.h"
#include "tools/data.h"

struct settings {
    struct model_options model;
    struct data_options data;
    const char *user;
    long long context;
    bool json;
};

static void print_text(struct rr_buf *out, const struct rr_user_request *u,
                       const struct rr_ranked *order, const struct opened_data *d, const char *user)
{
    rr_buf_printf(out,
                  "user %s: %d rated titles, %d candidates from %s\n\n rank  was  pointwise  hint  "
                  "%-8s  title\n",
                  user, u->request.n_history, u->request.n_candidates,
                  rr_backbone_name(d->backbone.kind), rr_backbone_name(d->backbone.kind));
    for (int i = 0; i < u->request.n_candidates; i++) {
        const int c = order[i].candidate;
        char hint[16] = "-";
        if (!isnan(u->asked[c].hint))
            snprintf(hint, sizeof hint, "%.1f", (double)u->asked[c].hint);
        rr_buf_printf(out, "%5d %4d  %9.4f  %4s  %8.4f  %s\n", i + 1, c + 1, order[i].score, hint,
                      (double)u->candidates[c].score, u->asked[c].title);
    }
}

static void print_json(struct rr_buf *out, const struct rr_user_request *u,
                       const struct rr_ranked *order, const struct opened_data *d,
                       const struct settings *s, const char *model)
{
    rr_buf_puts(out, "{\"user\":");
    rr_json_add_string(out, s->user, strlen(s->user));
    rr_buf_puts(out, ",\"model\":");
    rr_json_add_string(out, model, strlen(model));
    rr_buf_printf(out, ",\"backbone\":\"%s\",\"seed\":%lld,\"candidates\":[",
                  rr_backbone_name(d->backbone.kind), s->data.seed);
    for (int i = 0; i < u->request.n_candidates; i++) {
        const int c = order[i].candidate, item = u->candidates[c].item;
        rr_buf_printf(out, "%s{\"rank\":%d,\"retrieval_rank\":%d,\"item\":", i ? "," : "", i + 1,
                      c + 1);
        rr_json_add_string(out, d->dataset.item_ids[item], strlen(d->dataset.item_ids[item]));
        rr_buf_puts(out, ",\"title\":");
        rr_json_add_string(out, u->asked[c].title, strlen(u->asked[c].title));
        rr_buf_puts(out, ",\"scores\":{\"backbone\":");
        rr_json_add_double(out, (double)u->candidates[c].score);
        rr_buf_puts(out, ",\"pointwise\":");
        rr_json_add_double(out, order[i].score);
        rr_buf_puts(out, ",\"hint\":");
        rr_json_add_double(out, (double)u->asked[c].hint);
        rr_buf_puts(out, "}}");
    }
    rr_buf_puts(out, "]}\n");
}

static int rank_user(const struct settings *s, const char *model, struct loaded *l,
                     struct opened_data *d)
{
    struct rr_error err = {0};
    struct rr_user_request u = {0};
    struct rr_ranker ranker = {0};
    struct rr_buf out = {0};
    double scores[RR_MAX_CANDIDATES];
    struct rr_ranked order[RR_MAX_CANDIDATES];
    const struct rr_ranker_options ro = {
        .n_context = (int)s->context,
        .max_history = (int)s->data.history,
        .style = {.noun = d->dataset.noun, .levels = (int)d->dataset.rating_max}};
    const int user = rr_dataset_user(&d->dataset, s->user);
    int rc = RR_OK;
    if (user < 0)
        rc = rr_fail(&err, RR_ERR_DATA, "USER", RR_AT_OBJECT(s->data.dir, s->user),
                     "no such user among the %d there", d->dataset.n_users);
    if (!rc)
        rc =
            rr_ranker_init(&ranker, &l->engine, &l->weights.model, l->weights.tokenizer, &ro, &err);
    if (!rc)
        rc = rr_user_request_init(&u, &d->source, &err);
    if (!rc) {
        rr_user_request_make(&u, &d->source, user);
        if (!u.request.n_candidates)
            rc = rr_fail(&err, RR_ERR_DATA, "NO_CANDIDATES", RR_AT_OBJECT(s->data.dir, s->user),
                         "every item of the training part is among this user's likes there");
    }
    if (!rc) {
        rc = rr_ranker_pointwise(&ranker, &u.request, scores, &err);
    }
    if (!rc) {
        rr_order_by_score(order, scores, u.request.n_candidates);
        if (s->json)
            print_json(&out, &u, order, d, s, model);
        else
            print_text(&out, &u, order, d, s->user);
        if (out.failed)
            rc = rr_fail_memory(&err, "output", out.n);
        else
            fwrite(out.data, 1, out.n, stdout);
    }
    rr_buf_free(&out);
    rr_user_request_release(&u);
    rr_ranker_release(&ranker);
    return rc ? tool_fail(&err) : tool_finish();
}

static int run(const struct command *c, int argc, char **argv)
{
    struct settings s = {.data = DATA_OPTIONS_INIT};
    struct option opts[] = {
        {"user", 0, OPT_TEXT, &s.user, "U", "the user's id in the data set", 0, 0, false},
        DATA_OPTION_ROWS(s.data),
        {"context", 0, OPT_INT, &s.context, "N",
         "longest prompt in tokens, 0: the model's own, at least 1024", 0, 1 << 22, false},
        {"json", 0, OPT_FLAG, &s.json, NULL, "one JSON object instead of a table", 0, 0, false},
        MODEL_OPTION_ROWS(s.model),
    };
    struct args a;
    struct loaded l;
    struct opened_data d;
    int rc = args_parse(&a, c, opts, COUNT(opts), argc, argv);
    if (rc >= 0)
        return rc;
    if (!s.data.dir || !s.user)
        return args_misuse(c, "--data and --user are needed");
    tool_catch_interrupt();
    if ((rc = tool_load(&l, a.positional[0], &s.model, true)) >= 0)
        return rc;
    rc = data_open(&d, &s.data, !s.data.no_hint);
    tool_release_interrupt(); /* what is left takes no time worth a clean stop */
    if (rc < 0) {
        rc = rank_user(&s, a.positional[0], &l, &d);
        data_close(&d);
    }
    tool_unload(&l);
    return rc;
}

const struct command cmd_rank = {
    .name = "rank",
    .synopsis = "MODEL --data DIR --user U [--backbone mf|pop] [-k 10] [--json]",
    .summary = "reorder one user's candidates",
    .examples = "  recrank rank model.gguf --data ml-100k --user 42\n",
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
