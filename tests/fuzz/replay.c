/* A main for the fuzz targets without libFuzzer: runs every seed file given, whole, cut at every
 * length (of the first 4096), and with bytes changed by a fixed generator. usage: TARGET
 * [--mutations N] FILE... */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t state = 88172645463325252u;

static uint64_t next(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

/* The input in a block of its exact size, so that a sanitizer sees one byte too many. */
static void run(const unsigned char *data, size_t n)
{
    unsigned char *p = malloc(n ? n : 1);
    if (!p)
        exit(71);
    memcpy(p, data, n);
    LLVMFuzzerTestOneInput(p, n);
    free(p);
}

static void mutate(const unsigned char *data, size_t n, int times)
{
    static const unsigned char magic[] = {0, 1, 0x7f, 0x80, 0xff, '"', '{', '\n', '\t', '|'};
    unsigned char *p = malloc(n + 1);
    for (int i = 0; p && n && i < times; i++) {
        memcpy(p, data, n);
        for (uint64_t k = next() % 4 + 1; k; k--) {
            size_t at = (size_t)(next() % (next() % 4 ? (n < 256 ? n : 256) : n));
            p[at] = next() % 2 ? magic[next() % sizeof magic] : (unsigned char)next();
        }
        run(p, n);
    }
    free(p);
}

int main(int argc, char **argv)
{
    int mutations = 300, files = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--mutations") == 0 && i + 1 < argc) {
            mutations = atoi(argv[++i]);
            continue;
        }
        FILE *f = fopen(argv[i], "rb");
        static unsigned char buffer[1 << 22];
        size_t n = f ? fread(buffer, 1, sizeof buffer, f) : 0;
        if (!f) {
            perror(argv[i]);
            return 1;
        }
        fclose(f);
        files++;
        run(buffer, n);
        for (size_t cut = 0; cut < n && cut<4096; cut += n> 1024 ? 7 : 1)
            run(buffer, cut);
        mutate(buffer, n, mutations);
    }
    printf("%s: %d seeds\n", argv[0], files);
    return files ? 0 : 1;
}
