/* recrank fit: trains a conventional recommender and writes it to a file. */
#include <string.h>
#include "engine/base/number.h"
#include "rec/eval/topn.h"
#include "tools/data.h"

/* "8:1:1" */
static bool parse_ratio(double share[3], const char *text)
{
    for (int i = 0; i < 3; i++) {
        const char *colon = strchr(text, ':');
        if ((colon == NULL) != (i == 2) ||
            !rr_parse_double(&share[i], text, colon ? (size_t)(colon - text) : strlen(text)) ||
            share[i] < 0)
            return false;
        text = colon ? colon + 1 : text;
    }
    return share[0] > 0 && share[2] > 0;
}

/* Trains on a random split by ratio instead, and prints what published tables print. */
static int check_ratio(const struct opened_data *d, enum rr_backbone_kind kind, const char *ratio,
                       const double share[3], const struct rr_fit_options *fo)
{
    struct rr_split s;
    struct rr_held_out valid, test;
    struct rr_backbone b = {0};
    struct rr_topn t = {0};
    struct rr_error err = {0};
    int rc = rr_split_ratio(&s, &valid, &test, &d->dataset, share, fo->seed, &err);
    if (rc)
        return tool_fail(&err);
    rc = data_fit(&b, kind, &s, fo);
    if (rc < 0) {
        rc = rr_topn_evaluate(&t, &b, &s, &valid, &test, &err);
        rc = rc ? tool_fail(&err) : -1;
    }
    if (rc < 0) {
        printf("data      %s (%s), %s\nsplit     %s at random per user, seed %llu: %zu train, %zu "
               "validation, %zu test; %d users\nbackbone  %s, %s; all items ranked, training and "
               "validation items masked, ties by item id\n\n"
               "Recall@10  MRR@10  NDCG@10  Hit@10  Precision@10\n"
               "%9.4f  %6.4f  %7.4f  %6.4f  %12.4f\n",
               d->dataset.path, d->dataset.name, d->dataset.settings, ratio,
               (unsigned long long)fo->seed, t.n_train, t.n_valid, t.n_test, t.n_users,
               rr_backbone_name(kind), b.settings[0] ? b.settings : "no settings", t.recall, t.mrr,
               t.ndcg, t.hit, t.precision);
        rc = tool_finish();
    }
    rr_backbone_free(&b);
    rr_split_free(&s);
    rr_held_out_free(&valid);
    rr_held_out_free(&test);
    return rc;
}

struct settings {
    struct data_options data;
    enum rr_backbone_kind kind;
    const char *output, *ratio;
    double share[3];
    long long dim, epochs, batch, neighbours;
    double rate, regularise, shrink, lambda;
};

/* Which backbones an option is for; the options not named here are for all. */
#define FACTORS (1u << RR_BACKBONE_MF | 1u << RR_BACKBONE_LIGHTGCN)
static const struct {
    const char *option;
    unsigned kinds;
} only[] = {{"dim", FACTORS},
            {"epochs", FACTORS},
            {"batch", FACTORS},
            {"rate", FACTORS},
            {"reg", FACTORS},
            {"neighbours", 1u << RR_BACKBONE_ITEMKNN},
            {"shrink", 1u << RR_BACKBONE_ITEMKNN},
            {"lambda", 1u << RR_BACKBONE_EASE}};

static int check(const struct command *c, struct settings *s, const char *name,
                 const struct option *opts, size_t n)
{
    const int kind = rr_backbone_kind_from_name(name);
    if (kind < 0)
        return args_misuse(c, "unknown backbone '%s'; expected pop, mf, itemknn, ease or lightgcn",
                           name);
    s->kind = (enum rr_backbone_kind)kind;
    for (size_t i = 0; i < COUNT(only); i++)
        if (args_given(opts, n, only[i].option) && !(only[i].kinds >> kind & 1))
            return args_misuse(c, "--%s has no effect on %s", only[i].option, name);
    if (!s->output == !s->ratio)
        return args_misuse(c, s->output ? "--output and --ratio exclude each other"
                                        : "one of --output and --ratio is needed");
    if (s->ratio && !parse_ratio(s->share, s->ratio))
        return args_misuse(c, "--ratio is '%s'; expected TRAIN:VALID:TEST, like 8:1:1", s->ratio);
    if (s->ratio && args_given(opts, n, "split-by"))
        return args_misuse(c, "--split-by has no effect with --ratio");
    return -1;
}

static int fit(const struct settings *s, struct opened_data *d)
{
    const struct rr_fit_options o = {.seed = (uint64_t)s->data.seed,
                                     .dim = (int)s->dim,
                                     .epochs = (int)s->epochs,
                                     .batch = (int)s->batch,
                                     .rate = s->rate,
                                     .regularise = s->regularise,
                                     .neighbours = (int)s->neighbours,
                                     .shrink = s->shrink,
                                     .lambda = s->lambda};
    struct rr_error err = {0};
    if (s->ratio)
        return check_ratio(d, s->kind, s->ratio, s->share, &o);
    int rc = data_fit(&d->backbone, s->kind, &d->split, &o);
    if (rc >= 0)
        return rc;
    const struct rr_backbone *b = &d->backbone;
    if (rr_backbone_save(b, &d->split, s->output, &err) != 0)
        return tool_fail(&err);
    printf("%s: %s, %s, seed %llu, %d users, %d items", s->output, rr_backbone_name(b->kind),
           b->settings[0] ? b->settings : "no settings", (unsigned long long)b->seed, b->n_users,
           b->n_items);
    if (b->best_epoch)
        printf("; epoch %d was best on validation", b->best_epoch);
    putchar('\n');
    return tool_finish();
}

static int run(const struct command *c, int argc, char **argv)
{
    struct settings s = {.data = DATA_OPTIONS_INIT};
    struct option opts[] = {
        {"output", 'o', OPT_TEXT, &s.output, "FILE", "where to write it", 0, 0, false},
        {"ratio", 0, OPT_TEXT, &s.ratio, "8:1:1",
         "instead of writing: split likes by ratio at random and print Recall, MRR, ... @10", 0, 0,
         false},
        DATA_OPTION_ROWS(s.data),
        {"dim", 0, OPT_INT, &s.dim, "D", "mf, lightgcn: numbers per embedding, 0: 64", 0, 4096,
         false},
        {"epochs", 0, OPT_INT, &s.epochs, "N", "mf, lightgcn: 0: 100 (lightgcn 300)", 0, 1e6,
         false},
        {"batch", 0, OPT_INT, &s.batch, "N", "mf, lightgcn: pairs per step, 0: 2048", 0, 1e7,
         false},
        {"rate", 0, OPT_REAL, &s.rate, "R", "mf, lightgcn: Adam's learning rate, 0: 0.001", 0, 10,
         false},
        {"reg", 0, OPT_REAL, &s.regularise, "R", "mf, lightgcn: regularisation, 0: 0.0001", 0, 10,
         false},
        {"neighbours", 0, OPT_INT, &s.neighbours, "K", "itemknn: 0: 100", 0, 1e6, false},
        {"shrink", 0, OPT_REAL, &s.shrink, "S", "itemknn: added to the product of the norms", 0,
         1e9, false},
        {"lambda", 0, OPT_REAL, &s.lambda, "L", "ease: regularisation, 0: 100", 0, 1e9, false},
    };
    struct args a;
    struct opened_data d;
    int rc = args_parse(&a, c, opts, COUNT(opts), argc, argv);
    if (rc >= 0 || (rc = check(c, &s, a.positional[0], opts, COUNT(opts))) >= 0)
        return rc;
    tool_catch_interrupt();
    if ((rc = data_open(&d, c, &s.data)) >= 0)
        return rc;
    rc = data_verdict(&d.dataset);
    if (!rc)
        rc = fit(&s, &d);
    data_close(&d);
    return rc;
}

const struct command cmd_fit = {
    .name = "fit",
    .synopsis = "pop|mf|itemknn|ease|lightgcn --data PATH -o FILE | --ratio 8:1:1",
    .summary = "train a conventional recommender",
    .examples = "  recrank fit lightgcn --data ml-100k -o lightgcn.rr\n"
                "  recrank evaluate model.gguf --data ml-100k --backbone lightgcn.rr\n",
    .notes = "The file knows the data and the split it was trained on, and is refused with others. "
             "The same seed writes the same bytes.\n",
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
