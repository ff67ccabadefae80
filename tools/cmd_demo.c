/* recrank demo: the newcomer's first minute, on what is linked into the program. */
#include <stdio.h>
#include <string.h>
#include "rec/rank/recipe.h"
#include "tools/asking.h"
#include "tools/demo.h"

struct settings {
    long long users;
    const char *user;
    struct model_options model;
    bool json;
};

/* A user at whom one looks: the first whose held-out title the model moves to the top from behind
 * the fourth place (without one, the last user), or the one asked for. */
struct example {
    struct rr_user_request request;
    struct rr_reply reply;
    struct rr_ranked order[RR_MAX_CANDIDATES];
    int user, was, now; /* 1-based places of the held-out title; 0: it is no candidate */
};

static int look_at(struct example *x, struct rr_ranker *r, const struct opened_data *d, int user,
                   struct rr_error *err)
{
    double scores[RR_MAX_CANDIDATES];
    x->user = user;
    x->was = x->now = 0;
    rr_user_request_make(&x->request, &d->source, user);
    const int n = x->request.request.n_candidates;
    if (!n)
        return RR_OK;
    int rc = rr_ranker_ask(r, &x->request.request, &x->reply, err);
    if (rc)
        return rc;
    rr_reply_scores(scores, &x->reply, RR_BY_HYBRID, NULL);
    rr_order_by_score(x->order, scores, n);
    for (int i = 0; i < n; i++) {
        const int item = d->split.test[user].item;
        x->was = x->request.candidates[i].item == item ? i + 1 : x->was;
        x->now = x->request.candidates[x->order[i].candidate].item == item ? i + 1 : x->now;
    }
    return RR_OK;
}

static void show(const struct example *x, const struct opened_data *d)
{
    const int shown = 8, n = x->request.request.n_history, from = n > shown ? n - shown : 0;
    printf("\nuser %s's latest ratings\n", d->dataset.user_ids[x->user]);
    for (int i = from; i < n; i++)
        printf("  %g  %s\n", (double)x->request.history[i].rating, x->request.history[i].title);
    printf("\n%d candidates\n  now  before\n", x->request.request.n_candidates);
    for (int i = 0; i < x->request.request.n_candidates; i++) {
        const int c = x->order[i].candidate;
        printf("%5d %7d  %s%s\n", i + 1, c + 1, x->request.asked[c].title,
               i + 1 == x->now ? "   <- liked next; the model has not seen it" : "");
    }
}

static int find_example(struct example *x, struct rr_ranker *r, const struct opened_data *d,
                        const char *wanted, struct rr_error *err)
{
    int rc = RR_OK;
    if (wanted) /* looked for before */
        return look_at(x, r, d, rr_dataset_user(&d->dataset, wanted), err);
    for (int u = 0; u < d->dataset.n_users && !rc; u++)
        if (d->split.test[u].item >= 0) {
            rc = look_at(x, r, d, u, err);
            if (x->now == 1 && x->was > 4)
                break;
        }
    return rc;
}

/* One user's list before and after. */
static int show_example(const struct settings *s, const struct command *c)
{
    struct data_options data = DATA_OPTIONS_INIT;
    const struct source_options source = SOURCE_OPTIONS_INIT;
    struct asking asking = ASKING_INIT;
    struct opened_data d;
    struct loaded l;
    struct rr_ranker r = {0};
    struct example *x = rr_zalloc(1, sizeof *x);
    struct rr_error err = {0};
    data.dir = DEMO_NAME;
    int rc = asking_open(&asking);
    if (rc >= 0 || (rc = tool_load(&l, DEMO_NAME, &s->model, true)) >= 0) {
        asking_close(&asking);
        rr_free(x);
        return rc;
    }
    rc = asking_recipe(&asking, &l.weights);
    if (rc < 0 && (rc = data_open(&d, c, &data)) < 0) {
        rc = data_source(&d, &source, &data, true);
        if (rc < 0) {
            const struct rr_ranker_options ro =
                asking_ranker(&asking, &d.dataset, data.seed, RR_ASK_ALL);
            rc = x ? rr_ranker_init(&r, &l.engine, &l.weights.model, l.weights.tokenizer, &ro, &err)
                   : rr_fail_memory(&err, "example", sizeof *x);
            if (!rc)
                rc = rr_user_request_init(&x->request, &d.source, &err);
            if (!rc)
                rc = find_example(x, &r, &d, s->user, &err);
            if (!rc)
                show(x, &d);
            rc = rc ? tool_fail(&err) : -1;
        }
        if (x) {
            rr_user_request_release(&x->request);
            rr_reply_free(&x->reply);
        }
        rr_ranker_release(&r);
        data_close(&d);
    }
    rr_free(x);
    tool_unload(&l);
    asking_close(&asking);
    return rc;
}

/* A user who is not there is no reason to wait for the table. -1, or an exit code after a message.
 */
static int check_user(const char *user)
{
    struct rr_dataset d;
    struct rr_error err = {0};
    int rc = user ? demo_data(&d, NULL, &err) : RR_OK;
    if (!user || rc)
        return rc ? tool_fail(&err) : -1;
    if (rr_dataset_user(&d, user) < 0)
        rc = rr_fail(&err, RR_ERR_DATA, "USER", RR_AT_OBJECT(DEMO_NAME, user),
                     "no such user among the %d there", d.n_users);
    rr_dataset_close(&d);
    return rc ? tool_fail(&err) : -1;
}

static int evaluate(const struct settings *s)
{
    char threads[24], users[24];
    char *argv[12];
    const char *args[12] = {"evaluate", DEMO_NAME, "--data",  DEMO_NAME,
                            "-t",       threads,   "--users", users};
    int n = 8;
    snprintf(threads, sizeof threads, "%lld", s->model.threads);
    snprintf(users, sizeof users, "%lld", s->users);
    if (s->model.cpu) {
        args[n++] = "--cpu";
        args[n++] = s->model.cpu;
    }
    if (s->json)
        args[n++] = "--json";
    for (int i = 0; i < n; i++)
        memcpy(&argv[i], &args[i], sizeof argv[i]); /* nobody writes to them */
    return cmd_evaluate.run(&cmd_evaluate, n - 1, argv + 1);
}

static int run(const struct command *c, int argc, char **argv)
{
    struct settings s = {.model = MODEL_OPTIONS_INIT};
    struct option opts[] = {
        {"user", 0, OPT_TEXT, &s.user, "U", "whose list is shown [one that the model helped]", 0, 0,
         false},
        {"users", 0, OPT_INT, &s.users, "N", "evaluate N users drawn by the seed, 0: all", 0, 1e9,
         false},
        {"json", 0, OPT_FLAG, &s.json, NULL, "the object of 'recrank evaluate --json' alone", 0, 0,
         false},
        ENGINE_OPTION_ROWS(s.model),
    };
    struct args a;
    int rc = args_parse(&a, c, opts, COUNT(opts), argc, argv);
    if (rc >= 0)
        return rc;
    if (s.json && s.user)
        return args_misuse(c, "--user has no effect with --json");
    if (s.json)
        return evaluate(&s);
    if ((rc = check_user(s.user)) >= 0)
        return rc;
    printf("Everything here is synthetic: invented films, invented users whose tastes drift, and a "
           "small LLaMA\ntrained on them. It shows how recrank works, not how well it does on real "
           "data (README has that).\nMatrix factorisation proposes ten films to each user; the "
           "model reorders them; each user's last\nlike was held out.\n\n");
    if (fflush(stdout) != 0)
        return tool_finish();
    if ((rc = evaluate(&s)) != 0)
        return rc;
    if ((rc = show_example(&s, c)) >= 0)
        return rc;
    printf(
        "\nYour own data, in three commands (a folder of MovieLens, BookCrossing or RecBole "
        "files, or a CSV with\nuser,item,rating,timestamp and a title column):\n\n"
        "  %s learn --data DATA -o model.gguf        # minutes on a laptop\n"
        "  %s evaluate model.gguf --data DATA        # does it help?\n"
        "  %s rank model.gguf --data DATA --user U   # use it\n\n"
        "The demonstration itself is \":demo\", as model and as data: %s rank :demo --data :demo "
        "--user 42\n",
        tool_program, tool_program, tool_program, tool_program);
    return tool_finish();
}

const struct command cmd_demo = {
    .name = "demo",
    .synopsis = "[--json] [--users N] [--user U]",
    .summary = "rank the embedded catalogue with the embedded model",
    .examples = "  recrank demo\n  recrank demo --json\n",
    .notes = "The catalogue is invented and the model was trained on it; both are part of the "
             "program. Their name is :demo, for every\ncommand that takes a data set or a model.\n",
    .min_args = 0,
    .max_args = 0,
    .run = run,
};
