/* Out of memory at every point of the recommender side: data sets in every format, backbones to
 * files and back, candidate lists, sampling, instructions, templates, all three questions asked
 * both ways, an evaluation with its journal, reports. See failing.h. Exit 0 when every failure was
 * reported and nothing leaked. */
#include <string.h>
#include <unistd.h>
#include "rec/eval/audit.h"
#include "rec/eval/evaluate.h"
#include "rec/rank/request_json.h"
#include "tests/alloc/failing.h"
#include "tests/make_files.h"
#include "weights/weights.h"

#define FLAGS "|d||u|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0\n"

static char dir[] = "/tmp/recrank-oom-XXXXXX";
static char paths[3][64]; /* the model, a journal, a backbone */
enum { MODEL, JOURNAL, BACKBONE };

/* Data that all scenarios share; filled before anything fails. */
static char ml100k[8192], ml100k_items[2048], csv[512], inter[512], books[512], book_ratings[512];
static struct rr_dataset data;
static struct rr_split split;

static void make_texts(void)
{
    size_t n = 0, m = 0;
    for (int i = 1; i <= 14; i++)
        m += (size_t)snprintf(ml100k_items + m, sizeof ml100k_items - m, "%d|Film %d" FLAGS, i, i);
    for (int u = 1; u <= 4; u++)
        for (int i = 1; i <= 14; i++)
            if ((u + i) % 5 && (u != 1 || i < 12))
                n += (size_t)snprintf(ml100k + n, sizeof ml100k - n, "%d\t%d\t%d\t%d\n", u, i,
                                      5 - (u * i) % 3, 100 * u + i);
    snprintf(csv, sizeof csv, "user,item,rating,title\na,x,5,\"One, two\"\na,y,3,B\nb,x,4,C\n");
    snprintf(inter, sizeof inter, "user_id:token\titem_id:token\trating:float\n1\t2\t3\n1\t3\t4\n");
    snprintf(books, sizeof books, "\"ISBN\";\"Book-Title\"\n\"1\";\"A \\\"b\\\"\"\n\"2\";\"C\"\n");
    snprintf(book_ratings, sizeof book_ratings,
             "\"User-ID\";\"ISBN\";\"Book-Rating\"\n\"7\";\"1\";\"9\"\n\"7\";\"2\";\"0\"\n"
             "\"8\";\"2\";\"3\"\n");
}

static struct rr_bytes bytes_of(const char *text, const char *name)
{
    return (struct rr_bytes){text, text ? strlen(text) : 0, name};
}

static int read_all_formats(const struct scenario *sc, struct rr_error *err)
{
    static const struct {
        enum rr_format format;
        const char *ratings, *items;
    } all[] = {{RR_FORMAT_ML100K, ml100k, ml100k_items},
               {RR_FORMAT_BOOKCROSSING, book_ratings, books},
               {RR_FORMAT_CSV, csv, NULL},
               {RR_FORMAT_RECBOLE, inter, NULL}};
    struct rr_data_options o;
    int rc = RR_OK;
    (void)sc;
    rr_data_defaults(&o);
    o.core = 1;
    o.lenient = true;
    for (size_t i = 0; i < sizeof all / sizeof all[0] && !rc; i++) {
        struct rr_dataset d = {0};
        struct rr_split s, without;
        struct rr_held_out valid, test;
        const struct rr_files files = {
            bytes_of(all[i].ratings, "r"), bytes_of(all[i].items, "i"), {0}};
        rc = rr_dataset_parse(&d, all[i].format, &files, &o, err);
        if (!rc && (rc = rr_split_make(&s, &d, rr_split_default_order(&d), err)) == 0) {
            unsigned char hidden[64] = {1};
            rc = rr_split_without(&without, &s, hidden, err);
            if (!rc)
                rr_split_free(&without);
            rr_split_free(&s);
        }
        if (!rc && (rc = rr_split_ratio(&s, &valid, &test, &d, (double[]){8, 1, 1}, 1, err)) == 0) {
            rr_split_free(&s);
            rr_held_out_free(&valid);
            rr_held_out_free(&test);
        }
        rr_dataset_close(&d);
    }
    return rc;
}

static int use_backbones(const struct scenario *sc, struct rr_error *err)
{
    const struct rr_fit_options fo = {.dim = 4, .epochs = 1, .batch = 8};
    int rc = RR_OK;
    (void)sc;
    for (int kind = 0; kind < RR_BACKBONE_COUNT && !rc; kind++) {
        struct rr_backbone b = {0}, again = {0};
        struct rr_lists l = {0}, back = {0};
        struct rr_buf out = {0};
        rc = rr_backbone_fit(&b, (enum rr_backbone_kind)kind, &split, &fo, err);
        if (!rc)
            rc = rr_backbone_save(&b, &split, paths[BACKBONE], err);
        if (!rc)
            rc = rr_backbone_load(&again, &split, paths[BACKBONE], err);
        if (!rc)
            rc = rr_lists_make(&l, &again, &split, 5, err);
        for (int u = 0; u < data.n_users && !rc; u++)
            rr_lists_write(&out, kind % 2 ? RR_LISTS_TSV : RR_LISTS_JSONL, &data, u,
                           l.list + l.start[u], (int)(l.start[u + 1] - l.start[u]), true, "t");
        if (!rc && out.failed)
            rc = rr_fail_memory(err, "lists", out.n);
        if (!rc)
            rc = rr_lists_parse(&back, &split, 5, out.data, out.n, "lists", err);
        rr_lists_free(&back);
        rr_lists_free(&l);
        rr_buf_free(&out);
        rr_backbone_free(&again);
        rr_backbone_free(&b);
    }
    return rc;
}

static int count_instruction(void *arg, const struct rr_instruction *in, struct rr_error *err)
{
    struct rr_buf out = {0};
    ++*(int *)arg;
    for (int d = 0; d < 3; d++)
        rr_instruction_write(&out, (enum rr_dialect)d, in, &data);
    const bool failed = out.failed;
    rr_buf_free(&out);
    return failed ? rr_fail_memory(err, "line", 1) : RR_OK;
}

static int use_instructions(const struct scenario *sc, struct rr_error *err)
{
    const struct rr_fit_options fo = {.dim = 4, .epochs = 1, .batch = 8};
    struct rr_backbone b = {0};
    struct rr_instruct_report report = {0};
    struct rr_buf out = {0};
    int n = 0, rc = rr_backbone_fit(&b, RR_BACKBONE_MF, &split, &fo, err);
    (void)sc;
    const struct rr_instruct_options o = {.sampling = {.n = 4, .n_clusters = 2},
                                          .folds = {.n = 2, .kind = RR_BACKBONE_POP, .fit = fo}};
    if (!rc)
        rc = rr_instruct(&report, &split, b.users, b.dim, &o, count_instruction, &n, err);
    if (!rc) {
        rr_sampling_json(&out, &report.sampling);
        rr_sampling_text(&out, &report.sampling);
        rc = out.failed ? rr_fail_memory(err, "report", 1) : RR_OK;
    }
    rr_buf_free(&out);
    rr_sampling_free(&report.sampling);
    rr_backbone_free(&b);
    return rc;
}

static int use_request(const struct scenario *sc, struct rr_error *err)
{
    struct rr_arena arena = {0};
    struct rr_json *root;
    struct rr_json_request j;
    int rc = rr_json_parse(&root, &arena, sc->model, strlen(sc->model), NULL, 0, err);
    if (!rc)
        rc = rr_request_from_json(&j, &arena, root, 5, err);
    rr_arena_free(&arena);
    return rc;
}

static double no_clock(void)
{
    return 0;
}

/* Model, engine and ranker are opened inside, so that their failures are swept, too. */
static int use_evaluation(const struct scenario *sc, struct rr_error *err)
{
    struct rr_weights w;
    struct rr_engine e = {0};
    struct rr_ranker r = {0};
    struct rr_backbone pop = {0};
    struct rr_evaluation ev = {0};
    struct rr_buf out = {0};
    const bool generate = strcmp(sc->name, "generated answers") == 0;
    int rc = rr_weights_open(&w, paths[MODEL], NULL, err);
    if (rc)
        return rc;
    rc = rr_engine_init(&e, 1, rr_cpu_best(), err);
    if (!rc)
        rc = rr_backbone_fit(&pop, RR_BACKBONE_POP, &split, &(struct rr_fit_options){0}, err);
    const struct rr_ranker_options ro = {.n_context = 640,
                                         .list_shuffles = 2,
                                         .generate = generate,
                                         .chat = generate ? RR_CHAT_ZEPHYR : RR_CHAT_NONE,
                                         .style = {.max_rated = 2}};
    if (!rc)
        rc = rr_ranker_init(&r, &e, &w.model, w.tokenizer, &ro, err);
    const struct rr_variant v = {.name = "",
                                 .ranker = ro,
                                 .source = {.split = &split, .backbone = &pop, .n_candidates = 3},
                                 .all_methods = true};
    const struct rr_evaluate_options o = {.variants = &v,
                                          .n_variants = 1,
                                          .n_users = 2,
                                          .ease = &pop,
                                          .journal = paths[JOURNAL],
                                          .settings = sc->name,
                                          .clock = no_clock};
    const struct rr_run run = {.split = &split, .data = "d", .model = "m", .candidates = "pop"};
    remove(paths[JOURNAL]);
    if (!rc)
        rc = rr_evaluate(&ev, &r, &o, err);
    if (!rc) { /* once more, from the journal */
        rr_evaluation_free(&ev);
        rc = rr_evaluate(&ev, &r, &o, err);
    }
    if (!rc) {
        rr_evaluation_text(&out, &ev, &run);
        rr_evaluation_json(&out, &ev, &run);
        rr_evaluation_tsv(&out, &ev, &run);
        rc = out.failed ? rr_fail_memory(err, "report", 1) : RR_OK;
    }
    rr_buf_free(&out);
    rr_evaluation_free(&ev);
    rr_ranker_release(&r);
    rr_backbone_free(&pop);
    rr_engine_release(&e);
    rr_weights_close(&w);
    return rc;
}

static int make_model(void)
{
    struct tiny t;
    struct gguf_file g = {0};
    struct rr_buf b = {0};
    tiny_make(&t, &tiny_default);
    gguf_from_tiny(&g, &t);
    gguf_write(&b, &g);
    FILE *f = fopen(paths[MODEL], "wb");
    const bool good = f && fwrite(b.data, 1, b.n, f) == b.n && fclose(f) == 0;
    rr_buf_free(&b);
    gguf_file_free(&g);
    tiny_free(&t);
    return good;
}

int main(void)
{
    static const char *const names[] = {"model.gguf", "journal", "backbone"};
    static const char request[] =
        "{\"id\":1,\"history\":[\"A\",{\"title\":\"B\",\"rating\":2}],\"liked\":[\"C\"],"
        "\"candidates\":[{\"title\":\"D\",\"score\":1},{\"title\":\"E\",\"score\":2}]}";
    struct rr_error err = {0};
    int bad = 0;
    if (!mkdtemp(dir))
        return 1;
    for (int i = 0; i < 3; i++)
        snprintf(paths[i], sizeof paths[i], "%s/%s", dir, names[i]);
    make_texts();
    const long live = n_live;
    const struct rr_files files = {bytes_of(ml100k, "r"), bytes_of(ml100k_items, "i"), {0}};
    if (!make_model() || rr_dataset_parse(&data, RR_FORMAT_ML100K, &files, NULL, &err) ||
        rr_split_make(&split, &data, RR_SPLIT_BY_TIME, &err)) {
        fprintf(stderr, "oom_rank: %s\n", err.text);
        return 1;
    }
    bad += sweep(&(struct scenario){"all data formats", NULL, NULL}, read_all_formats);
    bad += sweep(&(struct scenario){"backbones and lists", NULL, NULL}, use_backbones);
    bad += sweep(&(struct scenario){"instructions", NULL, NULL}, use_instructions);
    bad += sweep(&(struct scenario){"a request", request, NULL}, use_request);
    bad += sweep(&(struct scenario){"an evaluation", NULL, NULL}, use_evaluation);
    bad += sweep(&(struct scenario){"generated answers", NULL, NULL}, use_evaluation);
    rr_split_free(&split);
    rr_dataset_close(&data);
    for (int i = 0; i < 3; i++)
        remove(paths[i]);
    if (rmdir(dir) != 0) {
        perror(dir);
        bad++;
    }
    if (n_live != live) {
        fprintf(stderr, "oom_rank: %ld blocks were not freed in all\n", n_live - live);
        bad++;
    }
    printf("oom_rank: %ld allocations failed in turn, each was reported and nothing leaked\n",
           n_failed);
    return bad != 0;
}
