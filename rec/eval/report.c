/* An evaluation as a table for people and as JSON for programs. */
#include <string.h>
#include "engine/base/json.h"
#include "rec/eval/evaluate.h"

void rr_evaluation_text(struct rr_buf *out, const struct rr_evaluation *e, const struct rr_run *run)
{
    rr_buf_printf(out, "data      %s (%s), %d test users, %d candidates each from %s\n", run->data,
                  run->data_name, e->n, e->k, run->backbone);
    if (run->model)
        rr_buf_printf(out, "model     %s, context %d\n", run->model, run->n_context);
    rr_buf_printf(out, "seed      %llu\n\n%-10s", (unsigned long long)run->seed, "");
    for (int c = 0; c < RR_N_CUTS; c++)
        rr_buf_printf(out, "  %4s@%-2d %4s@%-2d", "HR", rr_cuts[c], "NDCG", rr_cuts[c]);
    rr_buf_puts(out, "\n");
    for (int i = 0; i < e->n_rows; i++) {
        rr_buf_printf(out, "%-10s", e->rows[i].name);
        for (int c = 0; c < RR_N_CUTS; c++)
            rr_buf_printf(out, "   %.4f  %.4f", e->rows[i].metrics.hr[c],
                          e->rows[i].metrics.ndcg[c]);
        rr_buf_puts(out, "\n");
    }
    rr_buf_printf(out,
                  "\n%d of %d test items are among the candidates: the ceiling of any reordering. "
                  "random is the exact mean over all orders.\n",
                  e->n_found, e->n);
    if (!run->model)
        return;
    rr_buf_printf(out, "tokens: %lld asked, %lld computed (%.2f times fewer by sharing), %.1f s\n",
                  e->tokens_asked, e->tokens_computed,
                  e->tokens_computed ? (double)e->tokens_asked / (double)e->tokens_computed : 0,
                  run->seconds);
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
        rr_buf_puts(out, "note: pointwise lies within two standard errors of the random floor: "
                         "that is what a model gives that was not"
                         " tuned for ranking.\n");
}

static void add_text(struct rr_buf *out, const char *key, const char *value)
{
    rr_buf_printf(out, ",\"%s\":", key);
    if (value)
        rr_json_add_string(out, value, strlen(value));
    else
        rr_buf_puts(out, "null");
}

void rr_evaluation_json(struct rr_buf *out, const struct rr_evaluation *e, const struct rr_run *run)
{
    rr_buf_printf(out, "{\"n\":%d,\"k\":%d,\"found\":%d,\"rows\":[", e->n, e->k, e->n_found);
    for (int i = 0; i < e->n_rows; i++) {
        rr_buf_printf(out, "%s{\"name\":\"%s\"", i ? "," : "", e->rows[i].name);
        for (int c = 0; c < RR_N_CUTS; c++) {
            rr_buf_printf(out, ",\"HR@%d\":", rr_cuts[c]);
            rr_json_add_double(out, e->rows[i].metrics.hr[c]);
            rr_buf_printf(out, ",\"NDCG@%d\":", rr_cuts[c]);
            rr_json_add_double(out, e->rows[i].metrics.ndcg[c]);
        }
        rr_buf_puts(out, "}");
    }
    rr_buf_printf(out, "],\"seed\":%llu", (unsigned long long)run->seed);
    add_text(out, "data", run->data);
    add_text(out, "data_format", run->data_name);
    add_text(out, "data_sha256", run->fingerprint);
    add_text(out, "model", run->model);
    add_text(out, "backbone", run->backbone);
    add_text(out, "task", run->task);
    rr_buf_printf(out, ",\"context\":%d,\"like_random\":%s,\"history_cut\":%lld", run->n_context,
                  e->like_random ? "true" : "false", e->n_cut);
    rr_buf_puts(out, ",\"seconds\":");
    rr_json_add_double(out, run->seconds);
    rr_buf_printf(out, ",\"tokens_asked\":%lld,\"tokens_computed\":%lld}\n", e->tokens_asked,
                  e->tokens_computed);
}
