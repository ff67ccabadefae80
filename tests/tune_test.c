/* Instruction tuning: it learns, the same with any threads and after a stop, in full and as LoRA,
 * with a corpus to rehearse; and validation answers are looked at but never learned. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "engine/engine.h"
#include "rec/learn/tune.h"
#include "tests/make_data.h"
#include "tests/test.h"

/* ---- a small school ---- */

struct school {
    struct rr_dataset d;
    struct rr_split s;
    struct rr_arena arena;
    struct rr_vocab v;
    struct rr_tokenizer *t;
    struct rr_corpus c;
    struct rr_instructions in;
};

#define SECRET "zyx" /* only validation answers hold it */

/* 60 questions whose answer is told by a word of theirs; every sixth validates. */
static void ask(struct school *x, bool secret)
{
    static const char *const words[] = {"liked", "loved", "hated", "missed"};
    static const char *const answers[] = {"Yes.", "Yes!", "No.", "Never."};
    struct rr_error err = {0};
    for (int i = 0; i < 60; i++) {
        char user[80], answer[40];
        const bool valid = i % 6 == 5;
        snprintf(user, sizeof user, "The user %s item %d. Again?", words[i % 4], i);
        snprintf(answer, sizeof answer, "%s%s", answers[i % 4], valid && secret ? " " SECRET : "");
        const struct rr_instruction_text text = {.system = "Answer.",
                                                 .n_system = 7,
                                                 .user = user,
                                                 .n_user = strlen(user),
                                                 .answer = answer,
                                                 .n_answer = strlen(answer)};
        cr_assert(rr_instructions_add(&x->in, x->t, &text, 256, valid, RR_NOWHERE, &err) == 0, "%s",
                  err.text);
    }
}

static void open_school(struct school *x, bool secret)
{
    struct rr_error err = {0};
    *x = (struct school){0};
    cr_assert(rr_dataset_open(&x->d, make_data_dir(24, 16, 5), NULL, &err) == 0, "%s", err.text);
    cr_assert(rr_split_make(&x->s, &x->d, RR_SPLIT_BY_TIME, &err) == 0, "%s", err.text);
    cr_assert(rr_corpus_vocabulary(&x->v, &x->arena, &x->s, 340, false, &err) == 0, "%s", err.text);
    cr_assert(rr_tokenizer_open(&x->t, &x->v, "school", &err) == 0, "%s", err.text);
    cr_assert(rr_corpus_make(&x->c, &x->s, x->t, 4, &err) == 0, "%s", err.text);
    ask(x, secret);
}

static void close_school(struct school *x)
{
    rr_instructions_free(&x->in);
    rr_corpus_free(&x->c);
    rr_tokenizer_close(x->t);
    rr_arena_free(&x->arena);
    rr_split_free(&x->s);
    rr_dataset_close(&x->d);
}

enum { FULL, LORA, REHEARSING, N_KINDS };

static void make_pupil(struct rr_lm *lm, const struct school *x, int kind)
{
    const struct rr_hparams h = {.n_layers = 1,
                                 .n_embd = 16,
                                 .n_heads = 2,
                                 .n_kv_heads = 1,
                                 .head_dim = 8,
                                 .n_ff = 32,
                                 .n_vocab = (int)x->v.n,
                                 .n_context = 256,
                                 .rms_eps = 1e-5,
                                 .rope = {.theta = 10000, .interleaved = true}};
    const struct rr_lm_options lora = {.dropout = 0.05,
                                       .rank = 4,
                                       .alpha = 16,
                                       .lora_dropout = 0.05,
                                       .modules = (1u << RR_LM_N) - 1};
    struct rr_error err = {0};
    cr_assert(rr_lm_make(lm, &h, true, &(struct rr_lm_options){.dropout = 0.1}, 3, &err) == 0, "%s",
              err.text);
    if (kind != LORA)
        return;
    for (size_t i = 0; i < lm->n_values; i++) /* adapters move little on weights near nothing */
        lm->values[i] *= 8;
    cr_assert(rr_lm_adapt(lm, &lora, 4, &err) == 0, "%s", err.text);
}

static struct rr_train_options lessons(int kind)
{
    return (struct rr_train_options){.passes = 6,
                                     .rows = 512,
                                     .rate = kind == LORA ? 2e-2 : 1e-2,
                                     .warmup = 3,
                                     .seed = 9,
                                     .judge_start = true,
                                     .identity = "school"};
}

static int tune(struct rr_train_report *r, struct rr_lm *lm, const struct school *x, int kind,
                int threads, const struct rr_train_options *o, struct rr_error *err)
{
    struct rr_engine e;
    cr_assert(rr_engine_init(&e, threads, rr_cpu_best(), err) == 0, "%s", err->text);
    const int rc = rr_tune(r, lm, &e, &x->in, kind == REHEARSING ? &x->c : NULL, o, err);
    rr_engine_release(&e);
    return rc;
}

static void keep(void *arg, const struct rr_train_log *l)
{
    struct rr_train_log *logs = arg;
    logs[l->pass] = *l;
}

static int stop_at(void *arg, long long done, long long total)
{
    (void)total;
    return done >= *(const long long *)arg;
}

/* ---- the same whatever happens ---- */

/* Stopped at a step, then gone on with by another process from the same start, until the end. */
static void check_stop(const struct school *x, int kind, long long when, const struct rr_lm *whole)
{
    struct rr_lm lm;
    struct rr_train_report r;
    struct rr_error err = {0};
    struct rr_train_options o = lessons(kind);
    o.checkpoint = path_in(temporary_dir(), "checkpoint");
    o.progress = stop_at;
    o.progress_arg = &when;
    make_pupil(&lm, x, kind);
    cr_assert(tune(&r, &lm, x, kind, 2, &o, &err) == RR_ERR_INTERRUPTED && r.steps == when,
              "kind %d: %d after %lld steps", kind, err.status, r.steps);
    cr_assert(strstr(err.text, "goes on"), "%s", err.text);
    rr_lm_free(&lm);
    make_pupil(&lm, x, kind);
    o.progress = NULL;
    cr_assert(tune(&r, &lm, x, kind, 1, &o, &err) == 0, "kind %d: %s", kind, err.text);
    cr_assert(memcmp(whole->values, lm.values, lm.n_values * sizeof *lm.values) == 0,
              "kind %d: stopped at step %lld, it ends in other weights", kind, when);
    cr_assert(access(o.checkpoint, F_OK) == 0, "the checkpoint is the caller's to remove");
    rr_lm_free(&lm);
}

static void check_kind(int kind)
{
    struct school x;
    struct rr_lm one, three;
    struct rr_train_report r, r3;
    struct rr_train_log logs[7] = {{0}};
    struct rr_error err = {0};
    struct rr_train_options o = lessons(kind);
    open_school(&x, false);
    make_pupil(&one, &x, kind);
    make_pupil(&three, &x, kind);
    o.log = keep;
    o.log_arg = logs;
    cr_assert(tune(&r, &one, &x, kind, 1, &o, &err) == 0, "kind %d: %s", kind, err.text);
    cr_assert(logs[6].loss < 0.7 * logs[1].loss && r.best_loss < logs[0].valid_loss &&
                  r.best_pass > 0 && r.best_loss == logs[r.best_pass].valid_loss,
              "kind %d: loss %g, then %g; validation %g, then %g in pass %d", kind, logs[1].loss,
              logs[6].loss, logs[0].valid_loss, r.best_loss, r.best_pass);
    o = lessons(kind);
    cr_assert(tune(&r3, &three, &x, kind, 3, &o, &err) == 0, "kind %d: %s", kind, err.text);
    cr_assert(r3.best_pass == r.best_pass && r3.tokens == r.tokens &&
                  memcmp(one.values, three.values, one.n_values * sizeof *one.values) == 0,
              "kind %d: three threads trained other weights than one", kind);
    check_stop(&x, kind, logs[1].step + 1, &one); /* in the middle of a pass */
    check_stop(&x, kind, logs[2].step, &one);     /* at its end */
    check_stop(&x, kind, 1, &one);
    rr_lm_free(&one);
    rr_lm_free(&three);
    close_school(&x);
}

Test(tune, in_full)
{
    check_kind(FULL);
}

Test(tune, lora)
{
    check_kind(LORA);
}

Test(tune, with_a_corpus_to_rehearse)
{
    check_kind(REHEARSING);
}

/* LoRA leaves the base alone. */
Test(tune, lora_leaves_the_base)
{
    struct school x;
    struct rr_lm lm, fresh;
    struct rr_train_report r;
    struct rr_error err = {0};
    struct rr_train_options o = lessons(LORA);
    open_school(&x, false);
    make_pupil(&lm, &x, LORA);
    make_pupil(&fresh, &x, LORA);
    o.passes = 2;
    cr_assert(tune(&r, &lm, &x, LORA, 2, &o, &err) == 0, "%s", err.text);
    const size_t n = (size_t)lm.h.n_vocab * (size_t)lm.h.n_embd;
    cr_assert(memcmp(lm.embed, fresh.embed, n * sizeof *lm.embed) == 0, "the embeddings moved");
    const struct rr_linear *q = &lm.layers[0].m[RR_LM_Q];
    cr_assert(memcmp(q->w, fresh.layers[0].m[RR_LM_Q].w,
                     (size_t)q->n_in * (size_t)q->n_out * sizeof *q->w) == 0,
              "q moved");
    rr_lm_free(&lm);
    rr_lm_free(&fresh);
    close_school(&x);
}

/* ---- what is never learned ---- */

/* Nothing of a validation answer reaches the weights: with other validation answers they are the
 * same, while the validation loss is another. */
Test(tune, validation_answers_are_never_trained_on)
{
    struct rr_lm lm[2];
    double loss[2];
    for (int secret = 0; secret < 2; secret++) {
        struct school x;
        struct rr_train_report r;
        struct rr_error err = {0};
        struct rr_train_options o = lessons(FULL);
        struct rr_train_log logs[7] = {{0}};
        o.passes = 1; /* the only one, and better than the start: it is kept */
        o.log = keep;
        o.log_arg = logs;
        open_school(&x, secret);
        make_pupil(&lm[secret], &x, FULL);
        cr_assert(tune(&r, &lm[secret], &x, FULL, 1, &o, &err) == 0 && r.best_pass == 1,
                  "%s, pass %d", err.text, r.best_pass);
        loss[secret] = logs[1].valid_loss;
        close_school(&x);
    }
    cr_assert(memcmp(lm[0].values, lm[1].values, lm[0].n_values * sizeof *lm[0].values) == 0,
              "other validation answers, other weights");
    cr_assert(loss[1] > loss[0], "the secret costs nothing: %g, %g", loss[0], loss[1]);
    rr_lm_free(&lm[0]);
    rr_lm_free(&lm[1]);
}

Test(tune, nothing_to_learn_when_all_validate)
{
    struct school x;
    struct rr_lm lm;
    struct rr_train_report r;
    struct rr_error err = {0};
    struct rr_train_options o = lessons(FULL);
    open_school(&x, false);
    for (size_t i = 0; i < x.in.n; i++)
        x.in.all[i].valid = true;
    make_pupil(&lm, &x, FULL);
    cr_assert(tune(&r, &lm, &x, FULL, 1, &o, &err) == RR_ERR_DATA &&
                  strcmp(err.code, "NOTHING_TO_LEARN") == 0,
              "%d [%s]", err.status, err.code);
    rr_lm_free(&lm);
    close_school(&x);
}

/* Without a validation instruction the last pass is kept, pass 0 is not judged. */
Test(tune, without_validation_the_last_pass_counts)
{
    struct school x;
    struct rr_lm lm;
    struct rr_train_report r;
    struct rr_error err = {0};
    struct rr_train_options o = lessons(FULL);
    open_school(&x, false);
    for (size_t i = 0; i < x.in.n; i++)
        x.in.all[i].valid = false;
    make_pupil(&lm, &x, FULL);
    o.passes = 2;
    cr_assert(tune(&r, &lm, &x, FULL, 1, &o, &err) == 0 && r.best_pass == 2 && isnan(r.best_loss),
              "%s, pass %d, loss %g", err.text, r.best_pass, r.best_loss);
    rr_lm_free(&lm);
    close_school(&x);
}

Test(tune, a_context_shorter_than_an_instruction)
{
    struct school x;
    struct rr_lm lm;
    struct rr_train_report r;
    struct rr_error err = {0};
    const struct rr_train_options o = lessons(FULL);
    open_school(&x, false);
    make_pupil(&lm, &x, FULL);
    lm.h.n_context = x.in.longest - 1;
    cr_assert(tune(&r, &lm, &x, FULL, 1, &o, &err) == RR_ERR_USAGE &&
                  strcmp(err.code, "CONTEXT") == 0,
              "%d [%s]", err.status, err.code);
    rr_lm_free(&lm);
    close_school(&x);
}

/* Until the output is written the checkpoint stays: gone on with, it is the finished training.
 */
Test(tune, a_finished_checkpoint_that_is_kept_needs_no_step)
{
    struct school x;
    struct rr_lm lm, again;
    struct rr_train_report r, r2;
    struct rr_error err = {0};
    struct rr_train_options o = lessons(LORA);
    long long never = 0;
    open_school(&x, false);
    make_pupil(&lm, &x, LORA);
    make_pupil(&again, &x, LORA);
    o.checkpoint = path_in(temporary_dir(), "kept");
    cr_assert(tune(&r, &lm, &x, LORA, 1, &o, &err) == 0, "%s", err.text);
    o.progress = stop_at;
    o.progress_arg = &never;
    cr_assert(tune(&r2, &again, &x, LORA, 1, &o, &err) == 0, "%s", err.text);
    cr_assert(r2.steps == r.steps && r2.best_pass == r.best_pass && r2.best_loss == r.best_loss &&
                  memcmp(lm.values, again.values, lm.n_values * sizeof *lm.values) == 0,
              "another training");
    cr_assert(access(o.checkpoint, F_OK) == 0, "the checkpoint is the caller's to remove");
    rr_lm_free(&lm);
    rr_lm_free(&again);
    close_school(&x);
}
