/* recrank pretrain: a small LLaMA that knows a catalogue, from nothing. */
#include <math.h>
#include "engine/base/file.h"
#include "tools/school.h"

struct settings {
    struct data_options data;
    struct model_options engine; /* threads and cpu */
    const char *output;
    struct school_options school;
    struct training_options training;
};

static int pretrain(const struct settings *s, struct opened_data *d)
{
    struct school school;
    struct rr_train_report r = {0};
    struct rr_buf identity = {0}, checkpoint = {0};
    struct rr_error err = {0};
    int rc =
        school_open(&school, &s->school, d, &s->engine, s->training.dropout, s->data.seed, &err);
    if (!rc) {
        school_describe(&identity, &school, &s->training);
        if (!rr_path_is_special(s->output))
            rr_buf_printf(&checkpoint, "%s.checkpoint", s->output);
        rc = identity.failed || checkpoint.failed
                 ? rr_fail_memory(&err, "options", identity.n)
                 : school_pretrain(&school, &s->training, checkpoint.data, identity.data, &r, &err);
    }
    if (!rc)
        rc = training_write(s->output, &school.lm, &school.vocab, NULL, 0, &err);
    if (!rc && checkpoint.data)
        remove(checkpoint.data);
    if (!rc && !s->training.json && isnan(r.best_loss))
        printf("%s: the last pass, %lld steps, %lld tokens\n", s->output, r.steps, r.tokens);
    else if (!rc && !s->training.json)
        printf("%s: pass %d, %.4f per validation title, %lld steps, %lld tokens\n", s->output,
               r.best_pass, r.best_loss, r.steps, r.tokens);
    rr_buf_free(&identity);
    rr_buf_free(&checkpoint);
    school_close(&school);
    return rc ? tool_fail(&err) : tool_finish();
}

static int run(const struct command *c, int argc, char **argv)
{
    struct settings s = {
        .data = DATA_OPTIONS_INIT,
        .school = SCHOOL_OPTIONS_INIT,
        .training = {
            .passes = 30, .rows = 4096, .warmup = 100, .rate = 2e-3, .decay = 0.1, .dropout = 0.1}};
    struct option opts[] = {
        {"output", 'o', OPT_TEXT, &s.output, "FILE", "where to write the GGUF model", 0, 0, false},
        SCHOOL_OPTION_ROWS(s.school),
        TRAINING_OPTION_ROWS(s.training, "passes over what is learned", "peak learning rate"),
        DATA_OPTION_ROWS(s.data),
        ENGINE_OPTION_ROWS(s.engine),
    };
    struct args a;
    struct opened_data d;
    int rc = args_parse(&a, c, opts, COUNT(opts), argc, argv);
    if (rc >= 0)
        return rc;
    if (!s.output)
        return args_misuse(c, "--output is needed");
    if ((rc = school_check(c, &s.school)) >= 0)
        return rc;
    tool_catch_interrupt();
    struct rr_error err = {0};
    if (rr_out_check(s.output, &err) != 0) /* before the work, not after it */
        return tool_fail(&err);
    if ((rc = data_open(&d, c, &s.data)) >= 0)
        return rc;
    rc = data_verdict(&d.dataset);
    if (!rc)
        rc = pretrain(&s, &d);
    data_close(&d);
    return rc;
}

const struct command cmd_pretrain = {
    .name = "pretrain",
    .synopsis = "--data PATH -o model.gguf [--shape dim=128,layers=4,...] [--passes 30]",
    .summary = "train a small LLaMA on a catalogue and what is liked after what",
    .examples = "  recrank pretrain --data ml-100k -o base.gguf\n"
                "  recrank pretrain --data ml-100k --shape dim=64,layers=2,ff=192 --passes 20 -o "
                "small.gguf\n",
    .notes = "It learns its vocabulary, then the users' liked titles in order, from training likes "
             "alone; the pass with the least loss on\nvalidation titles is written. A run that is "
             "stopped or killed goes on from its last pass (FILE.checkpoint) and ends in the\nsame "
             "bytes.\n",
    .min_args = 0,
    .max_args = 0,
    .run = run,
};
