/* From a catalogue to a model: the vocabulary learned, the files written and read back, pretraining
 * that learns, stops, resumes to the same bytes and says so when it diverges. */
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "engine/session.h"
#include "rec/learn/checkpoint.h"
#include "rec/learn/pretrain.h"
#include "tokenizer/internal.h"
#include "tests/make_data.h"
#include "tests/test.h"
#include "weights/weights.h"
#include "weights/write.h"

/* ---- vocabularies ---- */

static const struct rr_bpe_text texts[] = {{"low", 3, 5},
                                           {"lower", 5, 2},
                                           {"newest", 6, 6},
                                           {"widest", 6, 3},
                                           {"caf\xC3\xA9 \xE2\x82\xAC", 9, 1}};
#define N_TEXTS (sizeof texts / sizeof texts[0])

static struct rr_tokenizer *learn(struct rr_vocab *v, struct rr_arena *arena, int size, bool whole)
{
    struct rr_tokenizer *t;
    struct rr_error err = {0};
    static const struct rr_bpe_text user[] = {
        {"low widest", 10, 0}, {"low", 3, 0}, {"low widest caf\xC3\xA9", 16, 0}};
    const struct rr_bpe_options o = {size, user, whole ? 3 : 0};
    *v = (struct rr_vocab){0};
    cr_assert(rr_bpe_train(v, arena, texts, N_TEXTS, &o, &err) == 0, "%s", err.text);
    cr_assert(rr_tokenizer_open(&t, v, "learned", &err) == 0, "%s", err.text);
    return t;
}

/* The paper's example (Sennrich et al., section 3.2): e-s, then es-t, are the first merges. */
Test(vocab, the_most_frequent_pair_comes_first)
{
    struct rr_arena arena = {0};
    struct rr_vocab v;
    struct rr_tokenizer *t = learn(&v, &arena, 400, false);
    cr_assert(v.n > 259 && v.n <= 400 && v.unk == 0 && v.bos == 1 && v.eos == 2, "%zu pieces", v.n);
    cr_assert(v.pieces[259].n == 2 && memcmp(v.pieces[259].text, "es", 2) == 0, "first: %.*s",
              (int)v.pieces[259].n, v.pieces[259].text);
    cr_assert(v.pieces[260].n == 3 && memcmp(v.pieces[260].text, "est", 3) == 0, "second: %.*s",
              (int)v.pieces[260].n, v.pieces[260].text);
    rr_tokenizer_close(t);
    rr_arena_free(&arena);
}

static void check_comes_back(const struct rr_tokenizer *t, const char *text)
{
    struct rr_encoding e = {0};
    struct rr_buf out = {0};
    struct rr_error err = {0};
    cr_assert(rr_tokenizer_encode(t, &e, text, strlen(text), &err) == 0, "%s", err.text);
    cr_assert(rr_tokenizer_decode(t, &out, e.ids, e.n, &err) == 0, "%s", err.text);
    const char *got = out.data ? out.data : "";
    cr_assert(strcmp(*got == ' ' && *text != ' ' ? got + 1 : got, text) == 0, "'%s' becomes '%s'",
              text, got);
    rr_buf_free(&out);
    rr_encoding_free(&e);
}

Test(vocab, any_text_comes_back_from_a_learned_one_and_from_its_file)
{
    static const char *const any[] = {"lowest newer", "caf\xC3\xA9",
                                      "unseen: \xE6\x97\xA5\xE6\x9C\xAC", "  two  blanks ",
                                      "\"Quoted\", 1999"};
    for (int whole = 0; whole < 2; whole++) {
        struct rr_arena arena = {0}, other = {0};
        struct rr_vocab v, again;
        struct rr_buf file = {0}, same = {0};
        struct rr_error err = {0};
        struct rr_tokenizer *t = learn(&v, &arena, 300, whole), *read,
                            *twin = learn(&again, &other, 300, whole);
        rr_tokenizer_write(&file, &v);
        rr_tokenizer_write(&same, &again);
        cr_assert(file.n == same.n && memcmp(file.data, same.data, file.n) == 0,
                  "the same texts gave other bytes");
        cr_assert(rr_tokenizer_from_sentencepiece(&read, file.data, file.n, "written", &err) == 0,
                  "%s", err.text);
        char a[65], b[65];
        rr_tokenizer_fingerprint(t, a);
        rr_tokenizer_fingerprint(read, b);
        cr_assert(strcmp(a, b) == 0, "the file is another tokenizer");
        for (size_t i = 0; i < sizeof any / sizeof any[0]; i++) {
            check_comes_back(t, any[i]);
            check_comes_back(read, any[i]);
        }
        rr_tokenizer_close(t);
        rr_tokenizer_close(read);
        rr_tokenizer_close(twin);
        rr_buf_free(&file);
        rr_buf_free(&same);
        rr_arena_free(&arena);
        rr_arena_free(&other);
    }
    struct rr_vocab v = {0};
    struct rr_arena arena = {0};
    struct rr_error err = {0};
    cr_assert(rr_bpe_train(&v, &arena, texts, N_TEXTS, &(struct rr_bpe_options){.size = 258},
                           &err) == RR_ERR_USAGE &&
                  strcmp(err.code, "VOCAB_SIZE") == 0,
              "258 pieces: %s", err.code);
    rr_arena_free(&arena);
}

/* Where texts of their own begin each other, the longest that the text goes on with is taken. */
Test(vocab, user_pieces_are_matched_longest_first)
{
    static const struct {
        const char *text, *piece;
    } cases[] = {
        {"low widest caf\xC3\xA9!", RR_BLANK "low" RR_BLANK "widest" RR_BLANK "caf\xC3\xA9"},
        {"low widest cafe", RR_BLANK "low" RR_BLANK "widest"},
        {"low widow", RR_BLANK "low"},
        {"lowest", RR_BLANK "low"}};
    struct rr_arena arena = {0};
    struct rr_vocab v;
    struct rr_encoding e = {0};
    struct rr_error err = {0};
    struct rr_tokenizer *t = learn(&v, &arena, 300, true);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *text = cases[i].text, *piece = cases[i].piece;
        cr_assert(rr_tokenizer_encode(t, &e, text, strlen(text), &err) == 0, "%s", err.text);
        const struct rr_piece *p = rr_tokenizer_piece(t, e.ids[0]);
        cr_assert(p->n == strlen(piece) && memcmp(p->text, piece, p->n) == 0,
                  "'%s' begins with %.*s", text, (int)p->n, p->text);
    }
    rr_encoding_free(&e);
    rr_tokenizer_close(t);
    rr_arena_free(&arena);
}

/* ---- a small catalogue ---- */

struct school {
    struct rr_dataset d;
    struct rr_split s;
    struct rr_arena arena;
    struct rr_vocab v;
    struct rr_tokenizer *t;
    struct rr_corpus c;
};

static void open_school(struct school *x)
{
    struct rr_error err = {0};
    *x = (struct school){0};
    cr_assert(rr_dataset_open(&x->d, make_data_dir(40, 24, 5), NULL, &err) == 0, "%s", err.text);
    cr_assert(rr_split_make(&x->s, &x->d, RR_SPLIT_BY_TIME, &err) == 0, "%s", err.text);
    cr_assert(rr_corpus_vocabulary(&x->v, &x->arena, &x->s, 400, false, &err) == 0, "%s", err.text);
    cr_assert(rr_tokenizer_open(&x->t, &x->v, "school", &err) == 0, "%s", err.text);
    cr_assert(rr_corpus_make(&x->c, &x->s, x->t, 6, &err) == 0, "%s", err.text);
}

static void close_school(struct school *x)
{
    rr_corpus_free(&x->c);
    rr_tokenizer_close(x->t);
    rr_arena_free(&x->arena);
    rr_split_free(&x->s);
    rr_dataset_close(&x->d);
}

static void make_pupil(struct rr_lm *lm, const struct school *x)
{
    const struct rr_hparams h = {.n_layers = 1,
                                 .n_embd = 16,
                                 .n_heads = 2,
                                 .n_kv_heads = 1,
                                 .head_dim = 8,
                                 .n_ff = 32,
                                 .n_vocab = (int)x->v.n,
                                 .n_context = 512,
                                 .rms_eps = 1e-5,
                                 .rope = {.theta = 10000, .interleaved = true}};
    struct rr_error err = {0};
    cr_assert(rr_lm_make(lm, &h, true, &(struct rr_lm_options){.dropout = 0.1}, 3, &err) == 0, "%s",
              err.text);
}

static const struct rr_train_options lessons = {
    .passes = 12, .rows = 512, .rate = 2e-2, .warmup = 5, .seed = 9, .identity = "school"};

static void open_engine(struct rr_engine *e, int threads)
{
    struct rr_error err = {0};
    cr_assert(rr_engine_init(e, threads, rr_cpu_best(), &err) == 0, "%s", err.text);
}

/* Windows hold likes of training in order, and nothing that is held out. */
Test(learn, the_corpus_is_training_likes_in_order)
{
    struct school x;
    struct rr_error err = {0};
    struct rr_corpus_pass p;
    struct rr_batch b;
    open_school(&x);
    cr_assert(rr_batch_open(&b, 512, &err) == 0, "%s", err.text);
    cr_assert(rr_corpus_pass_open(&p, &x.c, 1, 1, &err) == 0, "%s", err.text);
    int windows = 0;
    while (rr_corpus_pass_next(&p, &b))
        for (int q = 0; q < b.n_seqs; q++, windows++) {
            const int *ids = b.tokens + b.starts[q], n = b.starts[q + 1] - b.starts[q];
            bool found = false;
            cr_assert(n > x.c.n_head &&
                          memcmp(ids, x.c.head, (size_t)x.c.n_head * sizeof *ids) == 0,
                      "a window begins otherwise");
            /* Some user's training likes hold the window's titles one behind the other. */
            for (int u = 0; u < x.d.n_users && !found; u++)
                for (size_t from = x.s.train_start[u]; from < x.s.train_start[u + 1] && !found;
                     from++) {
                    int at = x.c.n_head;
                    for (size_t i = from; i < x.s.train_start[u + 1] && at < n; i++) {
                        const int *title = x.c.ids + x.c.start[x.s.train[i].item],
                                  len = x.c.start[x.s.train[i].item + 1] -
                                        x.c.start[x.s.train[i].item];
                        const int m = len < n - at ? len : n - at;
                        if (memcmp(ids + at, title, (size_t)m * sizeof *ids) != 0)
                            break;
                        at += m;
                    }
                    found = at >= n;
                }
            cr_assert(found, "window %d is nobody's", windows);
        }
    cr_assert(windows > 20, "%d windows", windows);
    rr_corpus_pass_close(&p);
    rr_batch_close(&b);
    close_school(&x);
}

static void keep_last(void *arg, const struct rr_train_log *l)
{
    struct rr_train_log *logs = arg;
    logs[l->pass - 1] = *l;
}

static int stop_at(void *arg, long long done, long long total)
{
    (void)total;
    return done >= *(const long long *)arg;
}

Test(learn, it_learns_the_same_with_any_threads_and_after_a_stop)
{
    struct school x;
    struct rr_engine one, two;
    struct rr_lm a, b, c;
    struct rr_train_report r;
    struct rr_train_log logs[12];
    struct rr_error err = {0};
    struct rr_train_options o = lessons;
    open_school(&x);
    open_engine(&one, 1);
    open_engine(&two, 3);
    make_pupil(&a, &x);
    make_pupil(&b, &x);
    make_pupil(&c, &x);
    o.log = keep_last;
    o.log_arg = logs;
    cr_assert(rr_pretrain(&r, &a, &one, &x.c, &o, &err) == 0, "%s", err.text);
    cr_assert(logs[11].loss < 0.8 * logs[0].loss && r.best_loss < logs[0].valid_loss &&
                  r.best_pass > 1,
              "loss %g, then %g; validation %g, then %g", logs[0].loss, logs[11].loss,
              logs[0].valid_loss, r.best_loss);
    o = lessons;
    cr_assert(rr_pretrain(&r, &b, &two, &x.c, &o, &err) == 0, "%s", err.text);
    cr_assert(memcmp(a.values, b.values, a.n_values * sizeof *a.values) == 0,
              "three threads trained other weights than one");
    /* Stopped in the middle of a pass; another process begins anew from the same start. */
    const char *checkpoint = path_in(temporary_dir(), "checkpoint");
    long long when = logs[1].step + 1;
    o.checkpoint = checkpoint;
    o.progress = stop_at;
    o.progress_arg = &when;
    cr_assert(rr_pretrain(&r, &c, &two, &x.c, &o, &err) == RR_ERR_INTERRUPTED, "%d", err.status);
    rr_lm_free(&c);
    make_pupil(&c, &x);
    o.progress = NULL;
    cr_assert(rr_pretrain(&r, &c, &one, &x.c, &o, &err) == 0, "%s", err.text);
    cr_assert(memcmp(a.values, c.values, a.n_values * sizeof *a.values) == 0,
              "resumed, it trained other weights");
    cr_assert(access(checkpoint, F_OK) == 0, "the checkpoint is the caller's to remove");
    rr_lm_free(&a);
    rr_lm_free(&b);
    rr_lm_free(&c);
    rr_engine_release(&one);
    rr_engine_release(&two);
    close_school(&x);
}

Test(learn, other_and_damaged_checkpoints_are_refused)
{
    struct school x;
    struct rr_engine e;
    struct rr_lm lm;
    struct rr_train_report r;
    struct rr_error err = {0};
    struct rr_train_options o = lessons;
    const char *checkpoint = path_in(temporary_dir(), "checkpoint");
    long long when;
    size_t n;
    open_school(&x);
    open_engine(&e, 2);
    make_pupil(&lm, &x);
    when = 1 + rr_corpus_batches(&x.c, 512);
    o.checkpoint = checkpoint;
    o.progress = stop_at;
    o.progress_arg = &when;
    cr_assert(rr_pretrain(&r, &lm, &e, &x.c, &o, &err) == RR_ERR_INTERRUPTED, "%d", err.status);
    unsigned char *good = read_file(checkpoint, &n);
    for (int i = 0; i < 4; i++) {
        unsigned char *bad = malloc(n);
        memcpy(bad, good, n);
        if (i < 2)
            bad[i ? n / 2 : 3] ^= 1;
        write_file(checkpoint, bad, i == 2 ? n - 1 : n);
        o.identity = i == 3 ? "another school" : "school";
        cr_assert(rr_pretrain(&r, &lm, &e, &x.c, &o, &err) == RR_ERR_DATA &&
                      strcmp(err.code, "CHECKPOINT") == 0,
                  "case %d: %d %s", i, err.status, err.code);
        free(bad);
    }
    free(good);
    rr_lm_free(&lm);
    rr_engine_release(&e);
    close_school(&x);
}

Test(learn, divergence_is_an_error_with_its_step)
{
    struct school x;
    struct rr_engine e;
    struct rr_lm lm;
    struct rr_train_report r;
    struct rr_error err = {0};
    struct rr_train_options o = lessons;
    open_school(&x);
    open_engine(&e, 1);
    make_pupil(&lm, &x);
    lm.values[7] = INFINITY;
    cr_assert(rr_pretrain(&r, &lm, &e, &x.c, &o, &err) == RR_ERR_DATA &&
                  strcmp(err.code, "DIVERGED") == 0 && strstr(err.text, "step 1"),
              "%d %s: %s", err.status, err.code, err.text);
    rr_lm_free(&lm);
    rr_engine_release(&e);
    close_school(&x);
}

/* ---- the written model ---- */

static void logits_of(float *out, struct rr_engine *e, const struct rr_model *m)
{
    static const int ids[] = {1, 4, 260, 9, 300, 261};
    const struct rr_session_options so = {.n_context = 64, .n_cells = 64};
    struct rr_session *s;
    struct rr_error err = {0};
    int node;
    cr_assert(rr_session_open(&s, e, m, &so, &err) == 0, "%s", err.text);
    cr_assert(rr_session_branch(s, -1, 6, &node, &err) == 0, "%s", err.text);
    const struct rr_feed feed = {node, ids, 6};
    const struct rr_want want = {.offset = 5, .logits = out};
    cr_assert(rr_session_eval(s, &feed, 1, &want, 1, &err) == 0, "%s", err.text);
    rr_session_close(s);
}

Test(learn, a_written_model_is_read_back_to_the_bit)
{
    struct school x;
    struct rr_engine e;
    struct rr_error err = {0};
    open_school(&x);
    open_engine(&e, 1);
    for (int tied = 0; tied < 2; tied++) {
        struct rr_hparams h = {.n_layers = 2,
                               .n_embd = 16,
                               .n_heads = 2,
                               .n_kv_heads = 1,
                               .head_dim = 8,
                               .n_ff = 32,
                               .n_vocab = (int)x.v.n,
                               .n_context = 64,
                               .rms_eps = 1e-5,
                               .rope = {.theta = 10000, .interleaved = true}};
        struct rr_lm lm;
        struct rr_model m;
        struct rr_layer layers[2];
        struct rr_weights w;
        const char *path = path_in(temporary_dir(), "model.gguf");
        float a[400], b[400];
        char ta[65], tb[65];
        cr_assert(rr_lm_make(&lm, &h, tied, &(struct rr_lm_options){0}, 3, &err) == 0, "%s",
                  err.text);
        rr_lm_as_model(&m, layers, &lm);
        cr_assert(rr_gguf_write_model(path, &m, &x.v,
                                      &(struct rr_write_options){.name = "test", .type = -1},
                                      &err) == 0,
                  "%s", err.text);
        cr_assert(rr_weights_open(&w, path, NULL, &err) == 0, "%s", err.text);
        cr_assert(w.model.h.n_context == 64 && w.model.h.rms_eps == (double)1e-5f, "%g",
                  w.model.h.rms_eps);
        m.h.rms_eps = w.model.h.rms_eps; /* the file holds a float */
        logits_of(a, &e, &m);
        logits_of(b, &e, &w.model);
        cr_assert(memcmp(a, b, x.v.n * sizeof *a) == 0, "the file gives other logits");
        rr_tokenizer_fingerprint(x.t, ta);
        rr_tokenizer_fingerprint(w.tokenizer, tb);
        cr_assert(strcmp(ta, tb) == 0, "the file has another tokenizer");
        rr_weights_close(&w);
        /* Hugging Face's order of rows becomes GGUF's. */
        m.h.rope.interleaved = false;
        logits_of(a, &e, &m);
        cr_assert(rr_gguf_write_model(path, &m, &x.v,
                                      &(struct rr_write_options){.name = "test", .type = -1},
                                      &err) == 0 &&
                      rr_weights_open(&w, path, NULL, &err) == 0,
                  "%s", err.text);
        cr_assert(w.model.h.rope.interleaved, "the file has another order");
        logits_of(b, &e, &w.model);
        for (size_t i = 0; i < x.v.n; i++)
            cr_assert(fabsf(a[i] - b[i]) < 1e-4f, "logit %zu: %g, and %g from the file", i,
                      (double)a[i], (double)b[i]);
        rr_weights_close(&w);
        rr_lm_free(&lm);
    }
    rr_engine_release(&e);
    close_school(&x);
}

/* ---- locks ---- */

/* Takes the lock again and again; a marker that can be made only once proves that nobody else has
 * it. */
static int take_turns(const char *path, const char *marker)
{
    for (int i = 0; i < 2000; i++) {
        struct rr_checkpoint_lock l;
        struct rr_error err = {0};
        const int rc = rr_checkpoint_lock(&l, path, &err);
        const int fd = rc ? -1 : open(marker, O_CREAT | O_EXCL | O_RDWR, 0600);
        const bool alone = rc ? rc == RR_ERR_BUSY : fd >= 0;
        if (fd >= 0) {
            close(fd);
            unlink(marker);
        }
        rr_checkpoint_unlock(&l);
        if (!alone)
            return 1;
    }
    return 0;
}

/* The file of a lock is removed with it: one who opened it before must not hold a lock of nothing.
 */
Test(learn, two_never_hold_one_lock)
{
    enum { N = 4 };
    const char *path = path_in(temporary_dir(), "locked"),
               *marker = path_in(temporary_dir(), "marker");
    pid_t children[N];
    int failed = 0;
    for (int i = 0; i < N; i++)
        if ((children[i] = fork()) == 0)
            _exit(take_turns(path, marker));
    for (int i = 0; i < N; i++) {
        int status = 1;
        cr_assert(children[i] > 0 && waitpid(children[i], &status, 0) == children[i],
                  "child %d was not started, or not waited for", i);
        failed += status != 0;
    }
    cr_assert(failed == 0, "%d of %d found another at work", failed, N);
}
