/* An evaluation as a table for people, as JSON for programs, and as lines per user. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "engine/base/json.h"
#include "rec/eval/evaluate.h"

#define MAIN_CUT 2 /* index of 5 in rr_cuts */

static int name_width(const struct rr_evaluation *e)
{
    size_t width = 10;
    for (int i = 0; i < e->n_rows; i++)
        width = strlen(e->rows[i].name) > width ? strlen(e->rows[i].name) : width;
    return (int)width;
}

static void text_table(struct rr_buf *out, const struct rr_evaluation *e, int width)
{
    rr_buf_printf(out, "%-*s", width, "");
    for (int c = 0; c < RR_N_CUTS; c++) {
        if (rr_cuts[c] == 1) {
            rr_buf_puts(out, "     HR@1");
            continue;
        }
        rr_buf_printf(out, "  %5s@%-2d%7s@%-2d", "HR", rr_cuts[c], "NDCG", rr_cuts[c]);
    }
    rr_buf_puts(out, "  MRR@10\n");
    for (int i = 0; i < e->n_rows; i++) {
        const struct rr_metrics *m = &e->rows[i].metrics;
        rr_buf_printf(out, "%-*s", width, e->rows[i].name);
        for (int c = 0; c < RR_N_CUTS; c++) {
            rr_buf_printf(out, "   %.4f", m->at[RR_HR][c]);
            if (rr_cuts[c] > 1)
                rr_buf_printf(out, "   %.4f", m->at[RR_NDCG][c]);
        }
        rr_buf_printf(out, "  %.4f\n", m->at[RR_MRR][RR_N_CUTS - 1]);
    }
}

static const struct rr_evaluation_test *find_test(const struct rr_evaluation *e, int row,
                                                  enum rr_measure m, int cut)
{
    for (int i = 0; i < e->n_tests; i++)
        if (e->tests[i].row == row && e->tests[i].measure == m && e->tests[i].cut == cut)
            return &e->tests[i];
    return NULL;
}

static void text_gains(struct rr_buf *out, const struct rr_evaluation *e, int width)
{
    rr_buf_printf(out,
                  "\nagainst the backbone, with 95 %% bootstrap intervals over users; p corrected "
                  "by Holm over %d tests\n%-*s  %28s  %13s  %16s  %13s\n",
                  e->n_tests, width, "", "gain in NDCG@5", "p (sign flip)", "HR@5: won - lost",
                  "p (McNemar)");
    for (int i = 1; i < e->n_rows; i++) {
        const struct rr_evaluation_row *r = &e->rows[i];
        if (!r->ranks)
            continue;
        const struct rr_evaluation_test *n = find_test(e, i, RR_NDCG, 5),
                                        *h = find_test(e, i, RR_HR, 5);
        rr_buf_printf(
            out, "%-*s  %+.4f [%+.4f, %+.4f]   %13.4f  %10d - %-5d  %11.4f\n", width, r->name,
            r->metrics.at[RR_NDCG][MAIN_CUT] - e->rows[0].metrics.at[RR_NDCG][MAIN_CUT],
            r->interval.gain_low.at[RR_NDCG][MAIN_CUT], r->interval.gain_high.at[RR_NDCG][MAIN_CUT],
            n ? n->p_holm : 1, h ? h->better : 0, h ? h->worse : 0, h ? h->p_holm : 1);
    }
}

static void text_differences(struct rr_buf *out, const struct rr_evaluation *e, int width)
{
    rr_buf_printf(out,
                  "\nofficial minus clean, on the same users and candidates, with 95 %% bootstrap "
                  "intervals\n%-*s  %26s  %26s  %26s\n",
                  width, "", "HR@5", "NDCG@5", "NDCG@10");
    for (int i = 0; i < e->n_differences; i++) {
        const struct rr_evaluation_difference *d = &e->differences[i];
        static const struct {
            enum rr_measure m;
            int cut;
        } shown[] = {{RR_HR, MAIN_CUT}, {RR_NDCG, MAIN_CUT}, {RR_NDCG, RR_N_CUTS - 1}};
        rr_buf_printf(out, "%-*s", width, e->rows[d->row].name);
        for (size_t k = 0; k < sizeof shown / sizeof shown[0]; k++) {
            const int m = shown[k].m, c = shown[k].cut;
            rr_buf_printf(out, "  %+.4f [%+.4f, %+.4f]",
                          e->rows[d->row].metrics.at[m][c] - e->rows[d->base].metrics.at[m][c],
                          d->low.at[m][c], d->high.at[m][c]);
        }
        rr_buf_puts(out, "\n");
    }
}

static void text_bias(struct rr_buf *out, const struct rr_position_bias *b)
{
    const int shown = b->k < 10 ? b->k : 10;
    if (b->n_lists) {
        rr_buf_printf(out,
                      "\nposition bias: a candidate's mean place in the answer, by where it was "
                      "shown%s\n  shown at   ",
                      shown < b->k ? " (the first ten places; --json has all)" : "");
        for (int i = 0; i < shown; i++)
            rr_buf_printf(out, "%6d", i + 1);
        rr_buf_puts(out, "\n  mean place ");
        for (int i = 0; i < shown; i++)
            rr_buf_printf(out, "%6.2f", b->mean_place[i]);
        rr_buf_puts(out, "\n  came first ");
        for (int i = 0; i < shown; i++)
            rr_buf_printf(out, "%6.3f", b->first_share[i]);
        rr_buf_puts(out, "\n");
    }
    if (b->n_pairs)
        rr_buf_printf(
            out,
            "pairs: %.1f %% of %lld answers prefer the first; the two orders contradict each other "
            "in %.1f %% of %lld pairs\n",
            100.0 * (double)b->n_yes / (double)b->n_questions, b->n_questions,
            100.0 * (double)b->n_disagree / (double)b->n_pairs, b->n_pairs);
}

static void text_notes(struct rr_buf *out, const struct rr_evaluation *e, const struct rr_run *run)
{
    rr_buf_printf(out, "tokens: %lld asked, %lld computed (%.2f times fewer by sharing)\n",
                  e->tokens_asked, e->tokens_computed,
                  e->tokens_computed ? (double)e->tokens_asked / (double)e->tokens_computed : 0);
    if (e->fitted_used)
        rr_buf_printf(out,
                      "fitted weights (log place, rating, log-odds, log list place, "
                      "log-likelihood): %.4f %.4f %.4f %.4f "
                      "%.4f, from %d validation items; NDCG@5 there %.4f crosswise, %.4f in "
                      "retrieval order\n",
                      e->fitted.weights[0], e->fitted.weights[1], e->fitted.weights[2],
                      e->fitted.weights[3], e->fitted.weights[4], e->fitted.n, e->fitted.ndcg_cross,
                      e->fitted.ndcg_retrieval);
    if (e->n_malformed)
        rr_buf_printf(out, "note: %lld generated answers could not be read.\n", e->n_malformed);
    if (run->n_context > run->model_context)
        rr_buf_printf(out,
                      "note: the prompts need more than this model's context of %d tokens; it ran "
                      "with %d, beyond its training.\n",
                      run->model_context, run->n_context);
    if (e->n_cut)
        rr_buf_printf(
            out, "note: the history of %lld users was cut, oldest first, to fit the context.\n",
            e->n_cut);
    if (e->like_random)
        rr_buf_puts(
            out, "note: no order of the model lies more than two standard errors from the "
                 "random floor: it was not tuned for ranking, or too little, or there are too few "
                 "users to tell.\n");
}

void rr_evaluation_clock(struct rr_buf *out, const struct rr_evaluation *e, double seconds)
{
    rr_buf_printf(out, "clock: %.1f s; per user %.3f s at the median, %.3f s at 95 %%", seconds,
                  rr_evaluation_latency(e, 0.5), rr_evaluation_latency(e, 0.95));
    if (e->n_resumed)
        rr_buf_printf(out, "; %d answers came from the journal", e->n_resumed);
    rr_buf_puts(out, "\n");
}

void rr_evaluation_text(struct rr_buf *out, const struct rr_evaluation *e, const struct rr_run *run)
{
    const struct rr_dataset *d = run->split->data;
    const int width = name_width(e);
    rr_buf_printf(out, "data      %s (%s), %d test users%s, up to %d candidates each from %s\n",
                  run->data, d->name, e->n,
                  run->split->count == RR_COUNT_SEQUENTIAL ? " (counted for sequential backbones)"
                                                           : "",
                  e->k, run->candidates);
    rr_buf_printf(out,
                  "protocol  %s; leave-one-out by %s%s; %s; full ranking of %d training items, "
                  "training likes%s masked, ties by item id\n",
                  run->protocol, run->split->order == RR_SPLIT_BY_TIME ? "time" : "file order",
                  run->with_valid ? ", validation items in the history" : "", d->settings,
                  run->split->n_train_items, run->with_valid ? " and validation items" : "");
    if (run->model)
        rr_buf_printf(out, "model     %s, context %d\nasked     %s\n", run->model, run->n_context,
                      run->options);
    rr_buf_printf(out, "seed      %llu\n\n", (unsigned long long)run->seed);
    text_table(out, e, width);
    rr_buf_printf(out,
                  "\n%d of %d test items are among the candidates: the ceiling of any reordering. "
                  "random is the exact mean over all orders.\n",
                  e->n_found, e->n);
    if (e->n_tests)
        text_gains(out, e, width);
    if (e->n_differences)
        text_differences(out, e, width);
    if (!run->model)
        return;
    text_bias(out, &e->bias);
    text_notes(out, e, run);
}

/* ---- JSON ---------------------------------------------------------------------------------------
 */

static void add_text(struct rr_buf *out, const char *key, const char *value)
{
    rr_buf_printf(out, ",\"%s\":", key);
    if (value)
        rr_json_add_string(out, value, strlen(value));
    else
        rr_buf_puts(out, "null");
}

static void add_double(struct rr_buf *out, const char *key, double v)
{
    rr_buf_printf(out, ",\"%s\":", key);
    rr_json_add_double(out, v);
}

static void json_rows(struct rr_buf *out, const struct rr_evaluation *e)
{
    rr_buf_puts(out, "\"rows\":[");
    for (int i = 0; i < e->n_rows; i++) {
        rr_buf_printf(out, "%s{\"name\":\"%s\"", i ? "," : "", e->rows[i].name);
        for (int c = 0; c < RR_N_CUTS; c++)
            for (int m = 0; m < RR_N_MEASURES; m++) {
                char key[16];
                snprintf(key, sizeof key, "%s@%d", rr_measure_name((enum rr_measure)m), rr_cuts[c]);
                add_double(out, key, e->rows[i].metrics.at[m][c]);
            }
        rr_buf_puts(out, "}");
    }
    rr_buf_puts(out, "]");
}

static void add_range(struct rr_buf *out, const char *key, double low, double high)
{
    rr_buf_printf(out, "\"%s\":[", key);
    rr_json_add_double(out, low);
    rr_buf_puts(out, ",");
    rr_json_add_double(out, high);
    rr_buf_puts(out, "]");
}

/* {"row":{"HR@3":[low,high],...,"gain":{"HR@3":[low,high],...}},...} */
static void json_intervals(struct rr_buf *out, const struct rr_evaluation *e)
{
    rr_buf_puts(out, ",\"intervals\":{");
    for (int i = 0; i < e->n_rows; i++) {
        const struct rr_interval *v = &e->rows[i].interval;
        if (!e->rows[i].ranks)
            continue;
        rr_buf_printf(out, "%s\"%s\":{", i ? "," : "", e->rows[i].name);
        for (int gain = 0; gain < 2; gain++) {
            rr_buf_puts(out, gain ? ",\"gain\":{" : "");
            for (int c = 0; c < RR_N_CUTS; c++)
                for (int m = 0; m < RR_N_MEASURES; m++) {
                    char key[16];
                    snprintf(key, sizeof key, "%s@%d", rr_measure_name((enum rr_measure)m),
                             rr_cuts[c]);
                    rr_buf_puts(out, c + m ? "," : "");
                    add_range(out, key, gain ? v->gain_low.at[m][c] : v->low.at[m][c],
                              gain ? v->gain_high.at[m][c] : v->high.at[m][c]);
                }
        }
        rr_buf_puts(out, "}}");
    }
    rr_buf_puts(out, "}");
}

/* [{"row":"hybrid","base":"clean:hybrid","HR@3":[difference,low,high],...},...] */
static void json_differences(struct rr_buf *out, const struct rr_evaluation *e)
{
    rr_buf_puts(out, ",\"differences\":[");
    for (int i = 0; i < e->n_differences; i++) {
        const struct rr_evaluation_difference *d = &e->differences[i];
        const struct rr_evaluation_row *row = &e->rows[d->row], *base = &e->rows[d->base];
        rr_buf_printf(out, "%s{\"row\":\"%s\",\"base\":\"%s\"", i ? "," : "", row->name,
                      base->name);
        for (int c = 0; c < RR_N_CUTS; c++)
            for (int m = 0; m < RR_N_MEASURES; m++) {
                rr_buf_printf(out, ",\"%s@%d\":[", rr_measure_name((enum rr_measure)m), rr_cuts[c]);
                rr_json_add_double(out, row->metrics.at[m][c] - base->metrics.at[m][c]);
                rr_buf_puts(out, ",");
                rr_json_add_double(out, d->low.at[m][c]);
                rr_buf_puts(out, ",");
                rr_json_add_double(out, d->high.at[m][c]);
                rr_buf_puts(out, "]");
            }
        rr_buf_puts(out, "}");
    }
    rr_buf_puts(out, "]");
}

static void json_tests(struct rr_buf *out, const struct rr_evaluation *e)
{
    rr_buf_puts(out, ",\"tests\":[");
    for (int i = 0; i < e->n_tests; i++) {
        const struct rr_evaluation_test *t = &e->tests[i];
        rr_buf_printf(out,
                      "%s{\"row\":\"%s\",\"metric\":\"%s@%d\",\"test\":\"%s\",\"better\":%d,"
                      "\"worse\":%d",
                      i ? "," : "", e->rows[t->row].name, rr_measure_name(t->measure), t->cut,
                      t->measure == RR_HR ? "mcnemar" : "sign_flip", t->better, t->worse);
        add_double(out, "p", t->p);
        add_double(out, "p_holm", t->p_holm);
        rr_buf_puts(out, "}");
    }
    rr_buf_puts(out, "]");
}

static void json_bias(struct rr_buf *out, const struct rr_position_bias *b)
{
    rr_buf_puts(out, ",\"position_bias\":{\"mean_place\":[");
    for (int i = 0; i < b->k && b->n_lists; i++) {
        rr_buf_puts(out, i ? "," : "");
        rr_json_add_double(out, b->mean_place[i]);
    }
    rr_buf_puts(out, "],\"first_share\":[");
    for (int i = 0; i < b->k && b->n_lists; i++) {
        rr_buf_puts(out, i ? "," : "");
        rr_json_add_double(out, b->first_share[i]);
    }
    rr_buf_printf(out,
                  "],\"pairs\":%lld,\"pair_questions\":%lld,\"yes\":%lld,\"contradictory\":%lld}",
                  b->n_pairs, b->n_questions, b->n_yes, b->n_disagree);
}

static void json_fitted(struct rr_buf *out, const struct rr_fitted *f)
{
    rr_buf_printf(out, ",\"fitted\":{\"users\":%d", f->n);
    static const char *const names[RR_N_FEATURES] = {"log_place", "rating", "log_odds",
                                                     "log_list_place", "log_likelihood"};
    for (int i = 0; i < RR_N_FEATURES; i++)
        add_double(out, names[i], f->weights[i]);
    add_double(out, "validation_ndcg5_crosswise", f->ndcg_cross);
    add_double(out, "validation_ndcg5_retrieval", f->ndcg_retrieval);
    rr_buf_puts(out, "}");
}

void rr_evaluation_json(struct rr_buf *out, const struct rr_evaluation *e, const struct rr_run *run)
{
    const struct rr_dataset *d = run->split->data;
    rr_buf_printf(out, "{\"n\":%d,\"k\":%d,\"found\":%d,", e->n, e->k, e->n_found);
    json_rows(out, e);
    json_intervals(out, e);
    json_tests(out, e);
    json_differences(out, e);
    rr_buf_printf(out, ",\"seed\":%llu", (unsigned long long)run->seed);
    add_text(out, "data", run->data);
    add_text(out, "data_format", d->name);
    add_text(out, "data_sha256", d->fingerprint);
    add_text(out, "data_settings", d->settings);
    add_text(out, "split", run->split->order == RR_SPLIT_BY_TIME ? "time" : "file");
    add_text(out, "count", run->split->count == RR_COUNT_SEQUENTIAL ? "sequential" : "direct");
    add_text(out, "history", run->with_valid ? "train+valid" : "train");
    add_text(out, "protocol", run->protocol);
    add_text(out, "model", run->model);
    add_text(out, "model_fingerprint", run->model_fingerprint);
    add_text(out, "backbone", run->candidates);
    add_text(out, "task", run->task);
    add_text(out, "options", run->options);
    rr_buf_printf(out,
                  ",\"context\":%d,\"like_random\":%s,\"history_cut\":%lld,\"malformed\":%lld,"
                  "\"invalid_lists\":%lld",
                  run->n_context, e->like_random ? "true" : "false", e->n_cut, e->n_malformed,
                  e->n_invalid_lists);
    if (run->model)
        json_bias(out, &e->bias);
    if (e->fitted_used)
        json_fitted(out, &e->fitted);
    /* Clock readings would differ between a resumed run and an uninterrupted one. */
    add_double(out, "seconds", run->clock ? run->seconds : NAN);
    if (run->latency) {
        add_double(out, "latency_p50", rr_evaluation_latency(e, 0.5));
        add_double(out, "latency_p95", rr_evaluation_latency(e, 0.95));
    }
    rr_buf_printf(out, ",\"tokens_asked\":%lld,\"tokens_computed\":%lld}\n", e->tokens_asked,
                  e->tokens_computed);
}

void rr_evaluation_tsv(struct rr_buf *out, const struct rr_evaluation *e, const struct rr_run *run)
{
    const struct rr_dataset *d = run->split->data;
    rr_buf_puts(out, "user\ttest_item");
    for (int r = 0; r < e->n_rows; r++)
        if (e->rows[r].ranks)
            rr_buf_printf(out, "\t%s", e->rows[r].name);
    rr_buf_puts(out, "\ttokens\n");
    for (int i = 0; i < e->n; i++) {
        rr_buf_printf(out, "%s\t%s", d->user_ids[e->users[i]],
                      d->item_ids[run->split->test[e->users[i]].item]);
        for (int r = 0; r < e->n_rows; r++)
            if (e->rows[r].ranks)
                rr_buf_printf(out, "\t%d", e->rows[r].ranks[i]);
        rr_buf_printf(out, "\t%lld\n", e->user_tokens[i]);
    }
}
