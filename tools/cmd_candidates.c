/* recrank candidates: every user's candidates and scores, for other programs. */
#include "engine/base/file.h"
#include "tools/data.h"

static int write_lists(struct opened_data *d, enum rr_lists_format format, FILE *f,
                       struct rr_error *err)
{
    struct rr_user_request u = {0};
    struct rr_buf out = {0};
    int rc = rr_lists_check_ids(format, &d->dataset, err);
    if (!rc)
        rc = rr_user_request_init(&u, &d->source, err);
    for (int user = 0; user < d->dataset.n_users && !rc; user++) {
        rr_user_request_make(&u, &d->source, user);
        if (!u.request.n_candidates)
            continue;
        rr_buf_clear(&out);
        rr_lists_write(&out, format, &d->dataset, user, u.candidates, u.request.n_candidates,
                       !d->source.lists || d->lists.scored,
                       d->source.lists ? "imported" : rr_backbone_name(d->backbone.kind));
        if (out.failed)
            rc = rr_fail_memory(err, "output", out.n);
        else if (fwrite(out.data, 1, out.n, f) != out.n && f == stdout)
            break;
    }
    rr_buf_free(&out);
    rr_user_request_release(&u);
    return rc;
}

static int run(const struct command *c, int argc, char **argv)
{
    struct data_options o = DATA_OPTIONS_INIT;
    struct source_options so = SOURCE_OPTIONS_INIT;
    const char *output = NULL;
    int format = RR_LISTS_TSV;
    struct option opts[] = {
        {"output", 'o', OPT_TEXT, &output, "FILE", "where to write [standard output]", 0, 0, false},
        {"format", 0, OPT_CHOICE, &format, "tsv|trec|jsonl",
         "user item score; a TREC run; or an object per user [tsv]", 0, 0, false},
        SOURCE_OPTION_ROWS(so),
        DATA_OPTION_ROWS(o),
    };
    struct args a;
    struct opened_data d;
    struct rr_error err = {0};
    struct rr_out out = {0};
    int rc = args_parse(&a, c, opts, COUNT(opts), argc, argv);
    if (rc >= 0)
        return rc;
    if ((rc = source_check(c, &so)) >= 0)
        return rc;
    tool_catch_interrupt();
    if ((rc = data_open(&d, c, &o)) >= 0)
        return rc;
    rc = data_verdict(&d.dataset);
    if (!rc)
        rc = data_source(&d, &so, &o, false);
    if (rc < 0) {
        rc = output ? rr_out_open(&out, output, &err) : RR_OK;
        if (!rc)
            rc = write_lists(&d, (enum rr_lists_format)format, output ? out.f : stdout, &err);
        if (!rc && output)
            rc = tool_commit(&out, &err);
        else if (out.f)
            rr_out_close(&out);
        rc = rc ? tool_fail(&err) : tool_finish();
    }
    data_close(&d);
    return rc;
}

const struct command cmd_candidates = {
    .name = "candidates",
    .synopsis = "--data PATH [--backbone NAME|FILE] [-k 10] [--format tsv|trec|jsonl] [-o FILE]",
    .summary = "write every user's candidates and their scores",
    .examples = "  recrank candidates --data ml-100k --backbone ease -k 20 -o ease.tsv\n"
                "  recrank evaluate model.gguf --data ml-100k --candidates ease.tsv -k 20\n",
    .notes = "Candidates are training items that the user does not like in training, best first, "
             "equal scores by item. With\n--candidates FILE it converts one format into another.\n",
    .min_args = 0,
    .max_args = 0,
    .run = run,
};
