/* See common.h. */
#include "tools/common.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "engine/base/file.h"
#include "engine/base/number.h"
#include "tools/demo.h"
#include "weights/adapter.h"

int tool_fail(const struct rr_error *err)
{
    char text[9000];
    rr_error_format(text, sizeof text, err);
    fflush(stdout);
    fprintf(stderr, "recrank: %s\n", text);
    return err->status ? -err->status : 1;
}

bool tool_wrote(void)
{
    return !ferror(stdout);
}

int tool_finish(void)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "recrank: error[WRITE_FAILED] standard output: %s\n", strerror(errno));
        return 74;
    }
    return 0;
}

/* The last part of a path, in small letters, without ".gguf". */
static void short_name(char out[64], const char *path)
{
    size_t n = strlen(path), from, k = 0;
    while (n && path[n - 1] == '/')
        n--;
    for (from = n; from && path[from - 1] != '/'; from--)
        ;
    for (; from < n && k < 63; from++)
        out[k++] = (char)tolower((unsigned char)path[from]);
    out[k] = 0;
    if (k > 5 && strcmp(out + k - 5, ".gguf") == 0)
        out[k - 5] = 0;
}

static void warn_of_adapter(const struct loaded *l, const char *path, double weight,
                            const struct rr_adapter_report *r)
{
    char base[64], model[64];
    double change = 0;
    for (int m = 0; m < RR_LM_N; m++)
        change += r->modules[m].change;
    if (!(change > 0) && !r->n_saved)
        fprintf(stderr, "adapter %s: warning: it changes nothing (%s)\n", path,
                weight == 0 ? "its weight is 0" : "is its lora_B all zeros?");
    if (r->scale < 0)
        fprintf(stderr, "adapter %s: warning: its scale is negative\n", path);
    short_name(base, r->base);
    short_name(model, l->weights.path);
    if (base[0] && !strstr(model, base))
        fprintf(stderr, "adapter %s: warning: it says it was made for %s, this is %s\n", path,
                rr_show(r->base, strlen(r->base)).s, l->weights.path);
}

static int merge_adapter(struct loaded *l, const char *path, double weight, bool by_module,
                         struct rr_error *err)
{
    struct rr_adapter_report r;
    int rc = rr_adapter_apply(&l->weights, &l->engine.kernels, path, weight, &r, err);
    if (rc)
        return rc;
    fprintf(stderr, "adapter %s: %d matrices, r=%d, scale=%g", path, r.n_merged, r.rank, r.scale);
    if (weight != 1)
        fprintf(stderr, ", weight %g", weight);
    if (r.n_saved)
        fprintf(stderr, ", %d replaced", r.n_saved);
    fprintf(stderr, ", all keys used\n");
    warn_of_adapter(l, path, weight, &r);
    for (int m = 0; m < RR_LM_N && by_module; m++)
        if (r.modules[m].n)
            printf("%s: %d matrices, changed by %.3g of their size\n",
                   rr_adapter_module((enum rr_lm_matrix)m), r.modules[m].n,
                   r.modules[m].size > 0 ? sqrt(r.modules[m].change / r.modules[m].size)
                                         : INFINITY);
    if (by_module && r.n_merged)
        printf("the greatest change of one weight: %.3g\n", r.most);
    return RR_OK;
}

static bool same_file(const char *a, const char *b)
{
    struct stat x, y;
    return strcmp(a, b) == 0 ||
           (stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino);
}

/* Cuts ":WEIGHT" off. */
static int take_weight(char *path, double *weight, struct rr_error *err)
{
    char *colon = strrchr(path, ':');
    *weight = 1;
    if (!colon || rr_path_exists(path))
        return RR_OK;
    if (!rr_parse_double(weight, colon + 1, strlen(colon + 1)) || !isfinite(*weight))
        return rr_fail(err, RR_ERR_USAGE, "ADAPTER", RR_AT_FILE(path),
                       "there is no such adapter, and behind its last ':' is no weight");
    memset(colon, 0, strlen(colon));
    return RR_OK;
}

int tool_merge_adapters(struct loaded *l, const char *list, bool by_module, struct rr_error *err)
{
    struct rr_arena arena = {0};
    char *paths = rr_arena_copy(&arena, list, strlen(list));
    int rc = paths ? RR_OK : rr_fail_memory(err, "adapters", strlen(list));
    const bool one = rr_path_exists(list); /* its name may have a comma */
    for (char *path = paths, *next; path && !rc; path = next) {
        double weight;
        next = one ? NULL : strchr(path, ',');
        if (next)
            *next++ = 0;
        rc = path[0] ? take_weight(path, &weight, err)
                     : rr_fail(err, RR_ERR_OPEN, "NOT_A_FILE", RR_NOWHERE,
                               "an empty name for --adapter");
        for (const char *earlier = paths; earlier < path && !rc; earlier += strlen(earlier) + 1)
            if (same_file(earlier, path))
                rc = rr_fail(err, RR_ERR_USAGE, "ADAPTER_TWICE", RR_AT_FILE(path),
                             "is given twice: give it a weight instead");
        if (!rc)
            rc = merge_adapter(l, path, weight, by_module, err);
    }
    rr_arena_free(&arena);
    return rc;
}

int tool_gguf_vocab(struct rr_vocab *v, struct loaded *l, const char *path, struct rr_error *err)
{
    int rc = rr_tokenizer_list_merges(l->weights.tokenizer, err);
    rr_tokenizer_vocab(v, l->weights.tokenizer);
    if (!rc && v->merges && !v->rule)
        rc = rr_vocab_score_merges(v, &l->weights.arena, path, err);
    return rc;
}

static int check_weights(const struct loaded *l, struct rr_error *err)
{
    const struct rr_weights *w = &l->weights;
    struct progress p;
    int rc = RR_OK;
    progress_start(&p, "checking");
    for (size_t i = 0; i < w->n_tensors && !rc; i++) {
        rc = rr_weights_check(w, i, &l->engine.kernels, err);
        progress_step(&p, (long long)i + 1, (long long)w->n_tensors);
    }
    progress_end(&p);
    return rc;
}

int tool_load(struct loaded *l, const char *path, const struct model_options *o,
              bool need_tokenizer)
{
    struct rr_error err = {0};
    memset(l, 0, sizeof *l);
    int level = o->cpu ? rr_cpu_level_from_name(o->cpu) : (int)rr_cpu_best();
    if (level < 0) {
        char line[200];
        snprintf(line, sizeof line, "recrank: --cpu is '%.64s'; expected " RR_CPU_LEVEL_NAMES,
                 o->cpu);
        args_print_line(line);
        return 2;
    }
    int rc = rr_engine_init(&l->engine, (int)o->threads, (enum rr_cpu_level)level, &err);
    if (!rc)
        rc = demo_weights(&l->weights, path, o->tokenizer, &err);
    if (!rc && o->check_weights)
        rc = check_weights(l, &err);
    if (!rc && o->adapter)
        rc = tool_merge_adapters(l, o->adapter, false, &err);
    if (!rc && need_tokenizer)
        rc = rr_weights_need_tokenizer(&l->weights, &err);
    if (rc) {
        tool_unload(l);
        return tool_fail(&err);
    }
    if (l->weights.n_warnings) {
        char line[sizeof l->weights.warning];
        rr_error_format(line, sizeof line, &l->weights.warning);
        fprintf(stderr, "recrank: warning%s\n", line + strlen("error"));
    }
    return -1;
}

int tool_chat(enum rr_chat *chat, int option, const struct rr_weights *w, const char *path,
              const char *tokenizer)
{
    struct rr_error err = {0};
    *chat = option > 1 ? (enum rr_chat)(option - 1) : RR_CHAT_NONE;
    if (option != 1)
        return -1;
    int rc = rr_weights_chat(chat, w, tokenizer ? tokenizer : path, &err);
    if (rc && tokenizer && strcmp(err.code, "NO_CHAT_TEMPLATE") == 0)
        rc = rr_weights_chat(chat, w, path, &err); /* it came without its template */
    if (rc)
        return tool_fail(&err);
    fprintf(stderr, "chat template: %s\n", rr_chat_name(*chat));
    return -1;
}

void tool_unload(struct loaded *l)
{
    rr_weights_close(&l->weights);
    rr_engine_release(&l->engine);
}

double tool_seconds(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

void progress_start(struct progress *p, const char *what)
{
    *p = (struct progress){
        .what = what, .started = tool_seconds(), .on = isatty(2) != 0, .last_permille = -1};
}

void progress_step(struct progress *p, long long done, long long total)
{
    enum { WIDTH = 30 };
    if (!p->on || total <= 0)
        return;
    int permille = (int)(done * 1000 / total), filled = (int)(done * WIDTH / total);
    if (permille == p->last_permille)
        return;
    p->last_permille = permille;
    double spent = tool_seconds() - p->started, rate = spent > 0 ? (double)done / spent : 0;
    char bar[WIDTH + 1];
    memset(bar, '.', WIDTH);
    memset(bar, '#', (size_t)filled);
    bar[WIDTH] = 0;
    fprintf(stderr, "\r%s [%s] %lld/%lld  %.1f/s  %.0f s left \033[K", p->what, bar, done, total,
            rate, rate > 0 ? (double)(total - done) / rate : 0);
}

void progress_end(struct progress *p)
{
    if (p->on)
        fprintf(stderr, "\r\033[K");
    p->on = false;
}

static volatile sig_atomic_t interrupted;

static void on_interrupt(int sig)
{
    (void)sig;
    interrupted = 1;
}

void tool_catch_interrupt(void)
{
    struct sigaction sa = {.sa_handler = on_interrupt,
                           .sa_flags = SA_RESETHAND}; /* a second one ends at once */
    sigemptyset(&sa.sa_mask);
    sigaction(SIGINT, &sa, NULL);
}

int tool_commit(struct rr_out *out, struct rr_error *err)
{
    if (!interrupted)
        return rr_out_commit(out, err);
    rr_out_close(out);
    return rr_fail(err, RR_ERR_INTERRUPTED, "INTERRUPTED", RR_NOWHERE,
                   "stopped before the file was written");
}

void tool_release_interrupt(void)
{
    signal(SIGINT, SIG_DFL);
    if (interrupted)
        raise(SIGINT);
}

bool tool_interrupted(void)
{
    return interrupted != 0;
}
