/* See training.h. */
#include "tools/training.h"

#include <math.h>
#include <string.h>
#include "engine/base/number.h"

static int on_progress(void *arg, long long done, long long total)
{
    struct training *t = arg;
    progress_step(&t->progress, done < total ? done : total, total);
    return tool_interrupted() || t->failure.status;
}

/* The network as it is, asked about validation users. */
static void measure(struct training *t, struct rr_measured *m)
{
    struct rr_lm merged = {0};
    struct rr_model model;
    struct rr_ranker r = {0};
    struct rr_layer *layers = rr_alloc((size_t)t->lm->h.n_layers, sizeof *layers);
    int rc = layers ? rr_lm_merged(&merged, t->lm, &t->failure)
                    : rr_fail_memory(&t->failure, "layers", 0);
    if (!rc) {
        rr_lm_as_model(&model, layers, &merged);
        rc = rr_ranker_init(&r, t->engine, &model, t->tokenizer, t->ranker, &t->failure);
    }
    if (!rc)
        rr_measure(m, &r, t->source, t->n_users, &t->failure);
    rr_ranker_release(&r);
    rr_lm_free(&merged);
    rr_free(layers);
}

static void log_json(const struct rr_train_log *l, const struct rr_measured *m)
{
    char valid[32] = "null", loss[32] = "null";
    if (isfinite(l->valid_loss))
        snprintf(valid, sizeof valid, "%.6f", l->valid_loss);
    if (isfinite(l->loss))
        snprintf(loss, sizeof loss, "%.6f", l->loss);
    printf("{\"pass\":%d,\"passes\":%d,\"step\":%lld,\"loss\":%s,\"valid_loss\":%s,"
           "\"rate\":%.3g,\"tokens_per_s\":%.0f,\"best\":%s",
           l->pass, l->passes, l->step, loss, valid, l->rate, l->tokens_per_second,
           l->best ? "true" : "false");
    if (m->n) {
        printf(",\"users\":%d,\"hr5\":{\"backbone\":%.6f", m->n, m->hr5);
        for (int t = 0; t < RR_N_SIGNALS; t++)
            if (m->tasks >> t & 1)
                printf(",\"%s\":%.6f", rr_task_name((enum rr_task)t), m->hr5_of[t]);
        printf("},\"ndcg5\":{\"backbone\":%.6f", m->ndcg5);
        for (int t = 0; t < RR_N_SIGNALS; t++)
            if (m->tasks >> t & 1)
                printf(",\"%s\":%.6f", rr_task_name((enum rr_task)t), m->ndcg5_of[t]);
        printf("}");
    }
    printf("}\n");
    fflush(stdout);
}

static void log_text(const struct training *t, const struct rr_train_log *l,
                     const struct rr_measured *m)
{
    fprintf(stderr, "pass %2d of %d:", l->pass, l->passes);
    if (isfinite(l->loss))
        fprintf(stderr, " loss %.4f per token,", l->loss);
    if (isnan(l->valid_loss))
        fprintf(stderr, " no %ss", t->of);
    else
        fprintf(stderr, " %.4f per %s%s", l->valid_loss, t->of, l->best ? " (best)" : "");
    if (l->tokens_per_second > 0)
        fprintf(stderr, "; %.0f tokens/s", l->tokens_per_second);
    if (m->n)
        fprintf(stderr, "\n    HR@5 and NDCG@5 of %d validation users: candidates %.4f %.4f", m->n,
                m->hr5, m->ndcg5);
    for (int k = 0; k < RR_N_SIGNALS && m->n; k++)
        if (m->tasks >> k & 1)
            fprintf(stderr, ", %s %.4f %.4f", rr_task_name((enum rr_task)k), m->hr5_of[k],
                    m->ndcg5_of[k]);
    fprintf(stderr, "\n");
}

static void on_pass(void *arg, const struct rr_train_log *l)
{
    struct training *t = arg;
    struct rr_measured m = {0};
    if (t->source)
        measure(t, &m);
    if (t->progress.on)
        fprintf(stderr, "\r\033[K");
    t->progress.last_permille = -1;
    if (t->failure.status)
        return;
    if (t->json)
        log_json(l, &m);
    else
        log_text(t, l, &m);
}

void training_fill(struct rr_train_options *o, struct training *t,
                   const struct training_options *from, long long seed)
{
    *o = (struct rr_train_options){.passes = (int)from->passes,
                                   .rows = (int)from->rows,
                                   .rate = from->rate,
                                   .warmup = (int)from->warmup,
                                   .decay = from->decay,
                                   .seed = (uint64_t)seed,
                                   .clock = tool_seconds,
                                   .progress = on_progress,
                                   .progress_arg = t,
                                   .log = on_pass,
                                   .log_arg = t};
    t->json = from->json;
}

void training_describe(struct rr_buf *out, const struct training_options *o)
{
    rr_buf_printf(out, "passes %lld rows %lld rate %g warmup %lld decay %g dropout %g", o->passes,
                  o->rows, o->rate, o->warmup, o->decay, o->dropout);
}

bool training_parse_parts(const char *text, const struct training_part *parts, size_t n_parts)
{
    unsigned seen = 0;
    if (text && !*text)
        return false;
    for (const char *p = text; p && *p;) {
        const char *comma = strchr(p, ',');
        const size_t n = comma ? (size_t)(comma - p) : strlen(p);
        bool known = false;
        for (size_t i = 0; i < n_parts && !known; i++) {
            const size_t len = strlen(parts[i].name);
            int64_t v;
            if (n <= len || memcmp(p, parts[i].name, len) != 0)
                continue;
            if (seen >> i & 1 || (comma && !comma[1])) /* twice, or nothing behind the comma */
                return false;
            seen |= 1u << i;
            if (!rr_parse_i64(&v, p + len, n - len, parts[i].least, parts[i].most))
                return false;
            *parts[i].value = (int)v;
            known = true;
        }
        if (!known)
            return false;
        p = comma ? comma + 1 : NULL;
    }
    return true;
}

int training_write_as(const char *path, enum rr_type type, const struct rr_lm *lm,
                      const struct rr_vocab *v, const struct rr_note *notes, size_t n_notes,
                      struct rr_error *err)
{
    struct rr_model m;
    struct rr_arena arena = {0};
    struct rr_layer *layers = rr_alloc((size_t)lm->h.n_layers, sizeof *layers);
    if (!layers)
        return rr_fail_memory(err, "layers", (size_t)lm->h.n_layers * sizeof *layers);
    rr_lm_as_model(&m, layers, lm);
    int rc = type == RR_TYPE_F32 ? RR_OK : rr_quantise_model(&m, type, &arena, err);
    if (!rc)
        rc = rr_gguf_write_model(
            path, &m, v,
            &(struct rr_write_options){
                .name = "recrank", .notes = notes, .n_notes = n_notes, .type = -1},
            err);
    rr_arena_free(&arena);
    rr_free(layers);
    return rc;
}

int training_write(const char *path, const struct rr_lm *lm, const struct rr_vocab *v,
                   const struct rr_note *notes, size_t n_notes, struct rr_error *err)
{
    return training_write_as(path, RR_TYPE_F32, lm, v, notes, n_notes, err);
}
