/* recrank split: the leave-one-out split as files. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "engine/base/file.h"
#include "engine/base/sha256.h"
#include "tools/data.h"

static int write_part(const struct rr_split *s, enum rr_split_part part, const char *dir,
                      const char *name, struct rr_error *err)
{
    struct rr_buf text = {0};
    struct rr_out out = {0};
    struct rr_sha256 sum;
    char hex[65];
    char *path = rr_path_join(dir, name);
    rr_split_write(&text, s, part);
    int rc =
        path && !text.failed ? rr_out_open(&out, path, err) : rr_fail_memory(err, name, text.n);
    if (!rc) {
        fwrite(text.data ? text.data : "", 1, text.n, out.f);
        rc = tool_commit(&out, err);
    }
    if (!rc) {
        size_t lines = 0;
        for (size_t i = 0; text.data && i < text.n; i++)
            lines += text.data[i] == '\n';
        rr_sha256_init(&sum);
        rr_sha256_add(&sum, text.data ? text.data : "", text.n);
        rr_sha256_hex(&sum, hex);
        printf("%s  %s  %zu lines\n", hex, path, lines);
    }
    rr_buf_free(&text);
    rr_free(path);
    return rc;
}

static int run(const struct command *c, int argc, char **argv)
{
    struct data_options o = DATA_OPTIONS_INIT;
    const char *out = NULL;
    struct option opts[] = {
        DATA_OPTION_ROWS(o),
        {"output", 'o', OPT_TEXT, &out, "DIR",
         "folder for train.txt, valid.txt, test.txt; made if missing", 0, 0, false},
    };
    static const char *const names[] = {"train.txt", "valid.txt", "test.txt"};
    struct args a;
    struct rr_error err = {0};
    struct opened_data d;
    int rc = args_parse(&a, c, opts, COUNT(opts), argc, argv);
    if (rc >= 0)
        return rc;
    if (!o.dir || !out)
        return args_misuse(c, "--data and --output are needed");
    tool_catch_interrupt();
    if ((rc = data_open(&d, c, &o)) >= 0)
        return rc;
    if ((rc = data_verdict(&d.dataset)) > 0) {
        data_close(&d);
        return rc;
    }
    const struct rr_split *s = &d.split;
    if (mkdir(out, 0777) != 0 && errno != EEXIST)
        rc = rr_fail(&err, RR_ERR_OPEN, "CANNOT_WRITE", RR_AT_FILE(out),
                     "cannot make this folder: %s", strerror(errno));
    if (!rc)
        rc = rr_lists_check_ids(RR_LISTS_TREC, &d.dataset, &err);
    for (int part = 0; part < 3 && !rc; part++)
        rc = write_part(s, (enum rr_split_part)part, out, names[part], &err);
    if (!rc && fflush(stdout) == 0)
        fprintf(stderr,
                "%d likes of %d users; %d items in training; %d users with fewer than 3 likes kept "
                "for training only\n",
                s->n_likes, s->n_users_with_likes, s->n_train_items, s->n_too_few);
    data_close(&d);
    return rc ? tool_fail(&err) : tool_finish();
}

const struct command cmd_split = {
    .name = "split",
    .synopsis = "--data PATH -o OUT",
    .summary = "write the leave-one-out split of a data set",
    .examples = "  recrank split --data ml-100k -o split/\n",
    .notes = "Likes only (--like). Per user, ordered by time (file order among equal "
             "times), the last like is the test\n"
             "item, the one before it the validation item, the rest train. Lines are \"user item "
             "rating time\"; stdout shows each\n"
             "file's sha256.\n",
    .min_args = 0,
    .max_args = 0,
    .run = run,
};
