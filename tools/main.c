/* recrank: finds the subcommand and runs it. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include "rec/recrank.h"
#include "tools/common.h"

static const struct command *const commands[] = {
    &cmd_rank,       &cmd_evaluate, &cmd_data,       &cmd_split,   &cmd_fit,
    &cmd_candidates, &cmd_prompt,   &cmd_instruct,   &cmd_audit,   &cmd_vocab,
    &cmd_pretrain,   &cmd_tune,     &cmd_learn,      &cmd_demo,    &cmd_inspect,
    &cmd_tokenize,   &cmd_logits,   &cmd_generate,   &cmd_score,   &cmd_convert,
    &cmd_merge,      &cmd_quantize, &cmd_perplexity, &cmd_compare, &cmd_bench};

static void usage(FILE *f)
{
    fprintf(f, "recrank - ranks a user's candidate items with a LLaMA, the RecRanker way\n\nusage: "
               "recrank COMMAND ...\n\n");
    for (size_t i = 0; i < COUNT(commands); i++)
        fprintf(f, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
    fprintf(f, "\n  recrank COMMAND --help shows a command's options; recrank --version shows the "
               "build.\n");
}

static void print_version(void)
{
    char brand[64];
    rr_cpu_brand(brand, sizeof brand);
    printf("recrank %s\ncompiler: %s\ncpu: %s (best level: %s, %d threads)\n", rr_version(),
#if defined(__clang__)
           "clang " __clang_version__,
#elif defined(__VERSION__)
           "gcc " __VERSION__,
#else
           "unknown",
#endif
           brand, rr_cpu_level_name(rr_cpu_best()), rr_pool_default_threads());
}

const char *tool_program = "recrank";

int main(int argc, char **argv)
{
    /* A closed pipe on stdout is reported by the write, not by a silent death. */
    signal(SIGPIPE, SIG_IGN);
#ifdef SIGXFSZ
    signal(SIGXFSZ, SIG_IGN); /* so is a file that may not grow further */
#endif
    tool_program = argc ? argv[0] : tool_program;
    if (argc < 2) {
        usage(stderr);
        return 2;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        usage(stdout);
        return tool_finish();
    }
    if (strcmp(argv[1], "--version") == 0) {
        print_version();
        return tool_finish();
    }
    const char *names[COUNT(commands)];
    for (size_t i = 0; i < COUNT(commands); i++) {
        names[i] = commands[i]->name;
        if (strcmp(argv[1], commands[i]->name) == 0)
            return commands[i]->run(commands[i], argc - 2, argv + 2);
    }
    char line[300];
    const char *near = args_nearest(argv[1], names, COUNT(names));
    if (near)
        snprintf(line, sizeof line, "recrank: unknown command '%.64s'; did you mean '%s'?", argv[1],
                 near);
    else
        snprintf(line, sizeof line, "recrank: unknown command '%.64s' (see: recrank --help)",
                 argv[1]);
    args_print_line(line);
    return 2;
}
