/* See common.h. */
#include "tools/common.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
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

int tool_merge_adapter(struct loaded *l, const char *dir, struct rr_adapter_report *r,
                       struct rr_error *err)
{
    double change = 0;
    int rc = rr_adapter_apply(&l->weights, &l->engine.kernels, dir, r, err);
    if (rc)
        return rc;
    fprintf(stderr, "adapter %s: %d matrices, r=%d, scale=%g, all keys used\n", dir, r->n_merged,
            r->rank, r->scale);
    for (int m = 0; m < RR_LM_N; m++)
        change += r->modules[m].change;
    if (!(change > 0))
        fprintf(stderr, "adapter %s: warning: it changes nothing (is its lora_B all zeros?)\n",
                dir);
    return RR_OK;
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
    if (!rc && o->adapter && !o->adapter[0])
        rc = rr_fail(&err, RR_ERR_OPEN, "NOT_A_FILE", RR_NOWHERE, "an empty name for --adapter");
    if (!rc && o->adapter)
        rc = tool_merge_adapter(l, o->adapter, &(struct rr_adapter_report){0}, &err);
    if (!rc && need_tokenizer)
        rc = rr_weights_need_tokenizer(&l->weights, &err);
    if (rc) {
        tool_unload(l);
        return tool_fail(&err);
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
    if (rr_weights_chat(chat, w, tokenizer ? tokenizer : path, &err))
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
