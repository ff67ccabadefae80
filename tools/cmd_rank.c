/* recrank rank: candidates reordered, for users of a data set or for requests on standard input. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/file.h"
#include "engine/base/json.h"
#include "engine/base/number.h"
#include "engine/base/sha256.h"
#include "rec/rank/request_json.h"
#include "tools/asking.h"
#include "tools/lines.h"

enum format { FORMAT_AUTO, FORMAT_TEXT, FORMAT_JSONL, FORMAT_TREC };

struct settings {
    struct model_options model;
    struct data_options data;
    struct source_options source;
    struct asking asking;
    const char *user, *users, *shard;
    bool all, json, keep_going;
    int task, format;
    long long shard_at, shard_n;
};

/* What ranks, and what it last said. */
struct ranking {
    const struct settings *s;
    const char *model;
    struct rr_ranker ranker;
    struct rr_reply reply;
    double score[RR_N_METHODS][RR_MAX_CANDIDATES]; /* of each task asked, and of the order */
    enum rr_method by;
    struct rr_ranked order[RR_MAX_CANDIDATES];
    struct rr_buf out;
    int model_context;
    int n_without; /* users without candidates */
    struct progress progress;
};

/* Whether a method's scores are shown. */
static bool shows(const struct ranking *r, int m)
{
    return m == (int)r->by || (m < RR_N_SIGNALS && r->reply.asked >> m & 1);
}

static int rank_request(struct ranking *r, const struct rr_request *q, struct rr_error *err)
{
    int rc = rr_ranker_ask(&r->ranker, q, &r->reply, err);
    if (rc)
        return rc;
    for (int m = 0; m <= RR_BY_HYBRID; m++)
        if (shows(r, m))
            rr_reply_scores(r->score[m], &r->reply, (enum rr_method)m, NULL);
    rr_order_by_score(r->order, r->score[r->by], q->n_candidates);
    return RR_OK;
}

/* "scores":{...} of candidate c. */
static void add_scores(struct ranking *r, const struct rr_request *q, int c, double conventional)
{
    rr_buf_puts(&r->out, ",\"scores\":{\"backbone\":");
    rr_json_add_double(&r->out, conventional);
    for (int m = 0; m <= RR_BY_HYBRID; m++) {
        if (!shows(r, m))
            continue;
        rr_buf_printf(&r->out, ",\"%s\":", rr_method_name((enum rr_method)m));
        rr_json_add_double(&r->out, r->score[m][c]);
    }
    rr_buf_puts(&r->out, ",\"hint\":");
    rr_json_add_double(&r->out, (double)q->candidates[c].hint);
    rr_buf_puts(&r->out, "}}");
}

static void add_string(struct rr_buf *out, const char *before, const char *s)
{
    rr_buf_puts(out, before);
    rr_json_add_string(out, s, strlen(s));
}

static void add_candidate(struct ranking *r, const struct rr_request *q, int place)
{
    rr_buf_printf(&r->out, "%s{\"rank\":%d,\"retrieval_rank\":%d", place ? "," : "", place + 1,
                  r->order[place].candidate + 1);
    add_string(&r->out, ",\"title\":", q->candidates[r->order[place].candidate].title);
}

static int flush_out(struct ranking *r, struct rr_error *err)
{
    if (r->out.failed)
        return rr_fail_memory(err, "output", r->out.n);
    fwrite(r->out.data ? r->out.data : "", 1, r->out.n, stdout);
    fflush(stdout); /* whoever reads a pipe gets each answer when it is there */
    return RR_OK;
}

/* ---- users of a data set ------------------------------------------------------------------------
 */

/* What the columns are, and what went otherwise than one might think. */
static void text_notes(struct ranking *r)
{
    static const char *const meaning[] = {"expected rating", "mean log-odds of being preferred",
                                          "minus the mean place in the lists",
                                          "log-likelihood of the title as the next liked one",
                                          "sum of the utilities, a quarter each"};
    struct rr_buf *out = &r->out;
    rr_buf_puts(out, "\nwas: place before; hint: rating that the recommender predicts\n");
    for (int m = 0; m <= RR_BY_HYBRID; m++)
        if (shows(r, m))
            rr_buf_printf(out, "%s: %s%s\n", rr_method_name((enum rr_method)m), meaning[m],
                          m == (int)r->by ? " (decides)" : "");
    if (r->reply.n_cut)
        rr_buf_printf(out,
                      "note: the %d oldest rated titles are not shown: at most %d are "
                      "(--max-history), and what the context of %d tokens holds (--context).\n",
                      r->reply.n_cut, r->ranker.o.style.max_rated, r->ranker.o.n_context);
    if (r->ranker.o.n_context > r->model_context)
        rr_buf_printf(out,
                      "note: the model was made for %d tokens of context; it ran with up to %d.\n",
                      r->model_context, r->ranker.o.n_context);
    if (r->reply.n_malformed)
        rr_buf_printf(out, "note: %d generated answers could not be read.\n", r->reply.n_malformed);
}

static void user_text(struct ranking *r, const struct rr_user_request *u,
                      const struct opened_data *d, const char *user)
{
    struct rr_buf *out = &r->out;
    rr_buf_printf(out, "user %s: %d rated titles, %d candidates from %s\n\n rank  was", user,
                  u->request.n_history, u->request.n_candidates, d->name);
    for (int m = 0; m <= RR_BY_HYBRID; m++)
        if (shows(r, m))
            rr_buf_printf(out, "  %9s", rr_method_name((enum rr_method)m));
    rr_buf_puts(out, "  hint  title\n");
    for (int i = 0; i < u->request.n_candidates; i++) {
        const int c = r->order[i].candidate;
        rr_buf_printf(out, "%5d %4d", i + 1, c + 1);
        for (int m = 0; m <= RR_BY_HYBRID; m++)
            if (shows(r, m))
                rr_buf_printf(out, "  %9.4f", r->score[m][c]);
        if (isnan(u->asked[c].hint))
            rr_buf_printf(out, "     -  %s\n", u->asked[c].title);
        else
            rr_buf_printf(out, "  %4.1f  %s\n", (double)u->asked[c].hint, u->asked[c].title);
    }
    text_notes(r);
}

static void user_json(struct ranking *r, const struct rr_user_request *u,
                      const struct opened_data *d, const char *user)
{
    struct rr_buf *out = &r->out;
    add_string(out, "{\"user\":", user);
    add_string(out, ",\"model\":", r->model);
    add_string(out, ",\"backbone\":", d->name);
    add_string(out, ",\"data\":", d->dataset.settings);
    rr_buf_printf(out, ",\"split\":\"%s\"", d->split.order == RR_SPLIT_BY_TIME ? "time" : "file");
    rr_buf_printf(out,
                  ",\"seed\":%lld,\"order\":\"%s\",\"context\":%d,\"history_cut\":%d,"
                  "\"unreadable\":%d,\"candidates\":[",
                  r->s->data.seed, rr_method_name(r->by), r->ranker.o.n_context, r->reply.n_cut,
                  r->reply.n_malformed);
    for (int i = 0; i < u->request.n_candidates; i++) {
        const int c = r->order[i].candidate;
        add_candidate(r, &u->request, i);
        add_string(out, ",\"item\":", d->dataset.item_ids[u->candidates[c].item]);
        add_scores(r, &u->request, c, (double)u->candidates[c].score);
    }
    rr_buf_puts(out, "]}\n");
}

static void user_trec(struct ranking *r, const struct rr_user_request *u,
                      const struct opened_data *d, int user)
{
    struct rr_candidate list[RR_MAX_CANDIDATES];
    for (int i = 0; i < u->request.n_candidates; i++)
        list[i] = (struct rr_candidate){u->candidates[r->order[i].candidate].item,
                                        (float)r->order[i].score};
    rr_lists_write(&r->out, RR_LISTS_TREC, &d->dataset, user, list, u->request.n_candidates, true,
                   "recrank");
}

static int rank_user(struct ranking *r, struct rr_user_request *u, const struct opened_data *d,
                     int user, struct rr_error *err)
{
    const char *id = d->dataset.user_ids[user];
    rr_user_request_make(u, &d->source, user);
    r->n_without += !u->request.n_candidates;
    if (!u->request.n_candidates)
        return r->s->user
                   ? rr_fail(err, RR_ERR_DATA, "NO_CANDIDATES", RR_AT_OBJECT(r->s->data.dir, id),
                             "this user has no candidates: every item of the training part "
                             "is liked there, or the list imported has none")
                   : RR_OK;
    int rc = rank_request(r, &u->request, err);
    if (rc) {
        rr_error_add_object(err, "user", id);
        return rc;
    }
    rr_buf_clear(&r->out);
    if (r->s->format == FORMAT_TEXT)
        user_text(r, u, d, id);
    else if (r->s->format == FORMAT_TREC)
        user_trec(r, u, d, user);
    else
        user_json(r, u, d, id);
    return flush_out(r, err);
}

/* Users of a data set, by number. */
struct user_list {
    int *users; /* rr_free */
    size_t n, cap;
};

static int add_user(struct user_list *l, int user, struct rr_error *err)
{
    if (!rr_grow(&l->users, &l->cap, l->n + 1, sizeof *l->users))
        return rr_fail_memory(err, "users", l->n * sizeof *l->users);
    l->users[l->n++] = user;
    return RR_OK;
}

static int find_user(int *user, const struct opened_data *d, const char *id, const char *where,
                     long long line, struct rr_error *err)
{
    *user = rr_dataset_user(&d->dataset, id);
    return *user >= 0
               ? RR_OK
               : rr_fail(err, RR_ERR_DATA, "USER", RR_AT_LINE(where, id, line, 0),
                         "no such user among the %d of %s", d->dataset.n_users, d->dataset.path);
}

/* Ids in a file or on standard input, one per line. */
static int read_users(struct user_list *l, const struct opened_data *d, const char *path,
                      struct rr_error *err)
{
    const bool standard = strcmp(path, "-") == 0;
    FILE *f = standard ? stdin : rr_path_is_dir(path) ? NULL : fopen(path, "r");
    struct lines in;
    struct line ln;
    int more = 1, user, rc = RR_OK;
    if (!f)
        return rr_fail(err, RR_ERR_OPEN, "CANNOT_OPEN", RR_AT_FILE(path),
                       "cannot be read; --users takes a file of ids, one per line");
    lines_open(&in, f, standard ? "standard input" : path);
    while (!rc && (more = lines_next(&in, &ln, err)) > 0) {
        struct rr_buf id = {0};
        const bool mark = ln.number == 1 && ln.n >= 3 && memcmp(ln.text, "\xEF\xBB\xBF", 3) == 0;
        rr_buf_add(&id, ln.text + (mark ? 3 : 0), ln.n - (mark ? 3 : 0));
        if (id.failed)
            rc = rr_fail_memory(err, "users", ln.n);
        else if (id.n && memchr(id.data, 0, id.n))
            rc = rr_fail(err, RR_ERR_DATA, "USER", RR_AT_LINE(ln.file, NULL, ln.number, 0),
                         "a zero byte in an id");
        else if (id.n && !(rc = find_user(&user, d, id.data, ln.file, ln.number, err)))
            rc = add_user(l, user, err);
        rr_buf_free(&id);
    }
    if (!rc && more < 0)
        rc = tool_interrupted() ? rr_fail(err, RR_ERR_INTERRUPTED, "INTERRUPTED", RR_NOWHERE,
                                          "stopped while reading the users")
                                : more;
    lines_close(&in);
    if (!standard)
        fclose(f);
    return rc;
}

static int choose_users(struct user_list *l, const struct settings *s, const struct opened_data *d,
                        struct rr_error *err)
{
    int user, rc = RR_OK;
    if (s->users)
        return read_users(l, d, s->users, err);
    if (s->user)
        return (rc = find_user(&user, d, s->user, s->data.dir, 0, err)) ? rc
                                                                        : add_user(l, user, err);
    for (user = 0; user < d->dataset.n_users && !rc; user++)
        rc = add_user(l, user, err);
    return rc;
}

static int rank_users(struct ranking *r, const struct opened_data *d, struct rr_error *err)
{
    struct rr_user_request u = {0};
    struct user_list l = {0};
    int rc = choose_users(&l, r->s, d, err);
    const int n = (int)l.n;
    if (!rc)
        rc = rr_user_request_init(&u, &d->source, err);
    progress_start(&r->progress, "ranking users");
    for (int i = 0; i < n && !rc && tool_wrote(); i++) {
        if (i % r->s->shard_n != r->s->shard_at - 1)
            continue;
        rc = rank_user(r, &u, d, l.users[i], err);
        progress_step(&r->progress, i + 1, n);
        if (!rc && tool_interrupted() && i + 1 < n)
            rc = rr_fail(err, RR_ERR_INTERRUPTED, "INTERRUPTED", RR_NOWHERE,
                         "stopped after %d of %d users", i + 1, n);
    }
    progress_end(&r->progress);
    rr_user_request_release(&u);
    rr_free(l.users);
    if (!rc && r->n_without)
        fprintf(stderr, "%d %s no candidates and %s left out\n", r->n_without,
                r->n_without == 1 ? "user has" : "users have", r->n_without == 1 ? "is" : "are");
    return rc;
}

/* ---- requests on standard input -----------------------------------------------------------------
 */

/* An id as it was given: only strings and numbers are ids. */
static void add_id(struct rr_buf *out, const struct rr_json *id)
{
    if (id && id->type == RR_JSON_STRING)
        rr_json_add_string(out, id->text, id->n_text);
    else if (id && id->type == RR_JSON_NUMBER)
        rr_buf_add(out, id->text, id->n_text);
    else
        rr_buf_puts(out, "null");
}

static const struct rr_json *score_of(const struct rr_json *root, int index)
{
    const struct rr_json *v = rr_json_get(root, "candidates")->child;
    while (index-- > 0)
        v = v->next;
    return v->type == RR_JSON_OBJECT ? rr_json_get(v, "score") : NULL;
}

static void request_json(struct ranking *r, const struct rr_json_request *j,
                         const struct rr_json *root)
{
    const struct rr_request *q = &j->request;
    rr_buf_puts(&r->out, "{\"id\":");
    add_id(&r->out, j->id);
    rr_buf_printf(&r->out, ",\"order\":\"%s\",\"tokens\":%lld,\"candidates\":[",
                  rr_method_name(r->by), r->reply.tokens_computed);
    for (int i = 0; i < q->n_candidates; i++) {
        const int c = r->order[i].candidate;
        const struct rr_json *score = score_of(root, j->index[c]);
        add_candidate(r, q, i);
        rr_buf_printf(&r->out, ",\"index\":%d,\"id\":", j->index[c]);
        add_id(&r->out, j->candidate_id[c]);
        add_scores(r, q, c, score && score->type == RR_JSON_NUMBER ? score->number : NAN);
    }
    rr_buf_puts(&r->out, "]}\n");
}

/* Of the line's bytes: a request is shuffled alike wherever it stands. */
static uint64_t line_id(const struct line *ln)
{
    struct rr_sha256 sum;
    char hex[65];
    rr_sha256_init(&sum);
    rr_sha256_add(&sum, ln->text, ln->n);
    rr_sha256_hex(&sum, hex);
    hex[16] = 0;
    return strtoull(hex, NULL, 16);
}

static int rank_line(struct ranking *r, const struct line *ln, struct rr_error *err)
{
    struct rr_arena arena = {0};
    struct rr_json *root;
    struct rr_json_request j;
    int rc = rr_json_parse(&root, &arena, ln->text, ln->n, NULL, 0, err);
    if (!rc)
        rc = rr_request_from_json(&j, &arena, root, r->ranker.o.style.levels, err);
    if (!rc) {
        j.request.id = line_id(ln);
        rc = rank_request(r, &j.request, err);
    }
    if (!rc) {
        rr_buf_clear(&r->out);
        request_json(r, &j, root);
        rc = flush_out(r, err);
    }
    rr_arena_free(&arena);
    return rc;
}

/* With --keep-going a bad line gets an answer that says so. False: out of memory. */
static bool answer_error(const struct rr_error *err, long long line)
{
    struct rr_buf out = {0};
    rr_buf_printf(&out, "{\"line\":%lld,\"error\":{\"code\":", line);
    rr_json_add_string(&out, err->code, strlen(err->code));
    rr_buf_printf(&out, ",\"column\":%lld,\"object\":", err->column);
    rr_json_add_string(&out, err->object, strlen(err->object));
    rr_buf_puts(&out, ",\"message\":");
    rr_json_add_string(&out, err->text, strlen(err->text));
    rr_buf_puts(&out, "}}\n");
    const bool whole = !out.failed;
    if (whole)
        fwrite(out.data, 1, out.n, stdout);
    fflush(stdout);
    rr_buf_free(&out);
    return whole;
}

static int rank_stdin(struct ranking *r, struct rr_error *err)
{
    struct lines in;
    struct line ln;
    int more, rc = RR_OK;
    long long n_bad = 0;
    long long last_bad = 0;
    lines_open(&in, stdin, "standard input");
    while (!rc && tool_wrote() && (more = lines_next(&in, &ln, err)) != 0) {
        if (more < 0) {
            rc = more;
            break;
        }
        if (ln.number == 1 && ln.n >= 3 && memcmp(ln.text, "\xEF\xBB\xBF", 3) == 0) {
            ln.text += 3; /* a byte order mark */
            ln.n -= 3;
        }
        if (!ln.n || (ln.number - 1) % r->s->shard_n != r->s->shard_at - 1)
            continue;
        *err = (struct rr_error){0};
        rc = rank_line(r, &ln, err);
        if (!rc)
            continue;
        lines_locate(err, &ln);
        rc = err->status = rc == RR_ERR_USAGE ? RR_ERR_DATA : rc; /* the line's fault */
        if (rc == RR_ERR_DATA && r->s->keep_going) {
            rc = answer_error(err, ln.number) ? RR_OK : rr_fail_memory(err, "output", ln.n);
            last_bad = ln.number;
            n_bad++;
        }
    }
    lines_close(&in);
    if (!rc && n_bad) {
        rc = rr_fail(
            err, RR_ERR_DATA, "REQUESTS", RR_AT_FILE("standard input"),
            "%lld of the requests could not be ranked, the last on line %lld; their answers "
            "say why",
            n_bad, last_bad);
    }
    return rc;
}

/* ---- the command --------------------------------------------------------------------------------
 */

static bool parse_shard(struct settings *s)
{
    const char *slash = s->shard ? strchr(s->shard, '/') : NULL;
    int64_t at, n;
    s->shard_at = s->shard_n = 1;
    if (!s->shard)
        return true;
    if (!slash || !rr_parse_i64(&at, s->shard, (size_t)(slash - s->shard), 1, 1000000) ||
        !rr_parse_i64(&n, slash + 1, strlen(slash + 1), at, 1000000))
        return false;
    s->shard_at = at;
    s->shard_n = n;
    return true;
}

static int check(const struct command *c, struct settings *s, const struct option *opts, size_t n)
{
    static const char *const data_only[] = {"json", "format"};
    int rc;
    const int chosen = (s->user != NULL) + (s->users != NULL) + s->all;
    if (s->data.dir ? chosen != 1 : chosen > 0)
        return args_misuse(c, s->data.dir ? "--data needs one of --user, --users and --all"
                                          : "--data and --user are needed, or neither and requests "
                                            "on standard input");
    for (size_t i = 0; i < COUNT(data_only) && !s->data.dir; i++)
        if (args_given(opts, n, data_only[i]))
            return args_misuse(c, "--%s has no effect without --data", data_only[i]);
    if (!s->data.dir && (rc = data_unused(c, opts, n)) >= 0)
        return rc;
    if (s->data.dir && s->keep_going)
        return args_misuse(c, "--keep-going has no effect with --data");
    if (s->json && s->format)
        return args_misuse(c, "--json and --format exclude each other");
    if (!parse_shard(s))
        return args_misuse(c, "--shard is '%s'; expected I/N with 1 <= I <= N", s->shard);
    rc = asking_check(c, &s->asking, s->task ? RR_ASK(s->task - 1) : RR_ASK_ALL, opts, n);
    if (rc >= 0)
        return rc;
    if (s->json)
        s->format = FORMAT_JSONL;
    if (!s->format)
        s->format = s->user ? FORMAT_TEXT : FORMAT_JSONL;
    return source_check(c, &s->source);
}

static int rank(struct ranking *r, struct loaded *l, struct opened_data *d)
{
    const struct settings *s = r->s;
    const unsigned tasks = s->task ? RR_ASK(s->task - 1) : RR_ASK_ALL;
    const struct rr_ranker_options ro =
        asking_ranker(&s->asking, d ? &d->dataset : NULL, s->data.seed, tasks);
    struct rr_error err = {0};
    r->model_context = l->weights.model.h.n_context;
    r->by = s->task ? (enum rr_method)(s->task - 1) : RR_BY_HYBRID;
    int rc =
        rr_ranker_init(&r->ranker, &l->engine, &l->weights.model, l->weights.tokenizer, &ro, &err);
    if (!rc)
        rc = d ? rank_users(r, d, &err) : rank_stdin(r, &err);
    rr_buf_free(&r->out);
    rr_reply_free(&r->reply);
    rr_ranker_release(&r->ranker);
    return rc ? tool_fail(&err) : tool_finish();
}

/* Candidates, after the user asked for is known to be there. -1, or an exit code after a message.
 */
static int open_source(const struct settings *s, struct loaded *l, struct opened_data *d)
{
    struct rr_error err = {0};
    int user = -1, rc = data_verdict(&d->dataset);
    if (rc)
        return rc;
    if (s->user && find_user(&user, d, s->user, s->data.dir, 0, &err))
        return tool_fail(&err);
    return asking_source(&s->asking, d, &s->source, &s->data, l, user);
}

static int run(const struct command *c, int argc, char **argv)
{
    struct settings s = {
        .data = DATA_OPTIONS_INIT, .source = SOURCE_OPTIONS_INIT, .asking = ASKING_INIT};
    struct option opts[] = {
        {"user", 0, OPT_TEXT, &s.user, "U", "one user's id in the data set", 0, 0, false},
        {"users", 0, OPT_TEXT, &s.users, "FILE", "ids, one per line; - is standard input", 0, 0,
         false},
        {"all", 0, OPT_FLAG, &s.all, NULL, "all users of the data set", 0, 0, false},
        {"task", 0, OPT_CHOICE, &s.task, "all|pointwise|pairwise|listwise|likelihood",
         "what is asked; all: ordered by the hybrid [all]", 0, 0, false},
        {"format", 0, OPT_CHOICE, &s.format, "auto|text|jsonl|trec",
         "auto: text for one user, else an object per line; trec: run lines [auto]", 0, 0, false},
        {"json", 0, OPT_FLAG, &s.json, NULL, "the same as --format jsonl", 0, 0, false},
        {"shard", 0, OPT_TEXT, &s.shard, "I/N", "only every N-th user or line, from the I-th on", 0,
         0, false},
        {"keep-going", 0, OPT_FLAG, &s.keep_going, NULL,
         "answer a bad line with its error and go on; exit code 65 at the end", 0, 0, false},
        DATA_OPTION_ROWS(s.data),
        SOURCE_OPTION_ROWS(s.source),
        ASKING_OPTION_ROWS(s.asking),
        CACHE_OPTION_ROW(s.asking),
        CHAT_OPTION_ROW(s.asking.chat_option),
        MODEL_OPTION_ROWS(s.model),
    };
    static struct ranking r; /* too large for some stacks */
    struct args a;
    struct loaded l;
    struct opened_data d;
    int rc = args_parse(&a, c, opts, COUNT(opts), argc, argv);
    if (rc >= 0 || (rc = check(c, &s, opts, COUNT(opts))) >= 0 ||
        (rc = asking_open(&s.asking)) >= 0)
        return rc;
    r = (struct ranking){.s = &s, .model = a.positional[0]};
    if (s.data.dir)
        tool_catch_interrupt();
    if ((rc = tool_load(&l, a.positional[0], &s.model, true)) < 0) {
        rc = asking_recipe(&s.asking, &l.weights);
        if (rc < 0)
            rc = asking_chat(&s.asking, &l.weights, a.positional[0], s.model.tokenizer);
        if (rc < 0 && !s.data.dir) {
            rc = rank(&r, &l, NULL);
        } else if (rc < 0 && (rc = data_open(&d, c, &s.data)) < 0) {
            rc = open_source(&s, &l, &d);
            if (rc < 0)
                rc = rank(&r, &l, &d);
            data_close(&d);
        }
        tool_unload(&l);
    }
    asking_close(&s.asking);
    return rc;
}

const struct command cmd_rank = {
    .name = "rank",
    .synopsis = "MODEL --data PATH --user U [--backbone mf] [-k 10] [--json], or MODEL < "
                "REQUESTS.jsonl",
    .summary = "reorder candidates for users, or for requests on standard input",
    .examples =
        "  recrank rank model.gguf --data ml-100k --user 42\n"
        "  recrank rank model.gguf --data ml-100k --all --format trec --shard 1/4 > run.1\n"
        "  echo '{\"history\":[\"A film I liked\"],\"candidates\":[\"First\",\"Second\"]}' | "
        "recrank rank model.gguf\n",
    .notes =
        "Without --data each line of standard input is a request: {\"id\":..., \"history\":[title "
        "or {\"title\",\"rating\"}, ...] (oldest first),\n\"liked\":[...], \"disliked\":[...], "
        "\"candidates\":[title or {\"title\",\"id\",\"score\",\"hint\"}, ...]}. When all "
        "candidates "
        "have scores, their order is\nthe retrieval order, and a hint. Each answer is one line, "
        "written at once. Equal scores keep retrieval order.\nWith --chat "
        "questions are put as a chat, see recrank prompt --help; likelihood asks nothing and is "
        "as without.\n",
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
