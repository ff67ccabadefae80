/* Tokenizing by recrank; see encode.h. Needs librecrank.a; bench/encode.sh compiles it. */
#include "bench/encode.h"
#include "engine/base/file.h"
#include "tokenizer/tokenizer.h"

int main(int argc, char **argv)
{
    const struct text text = read_text(argc, argv);
    FILE *ids = argc > 4 ? fopen(argv[4], "wb") : NULL;
    struct rr_tokenizer *t;
    struct rr_encoding e = {0};
    struct rr_error err = {0};
    const int end = -1;
    size_t tokens = 0;
    if (rr_tokenizer_from_file(&t, argv[1], &err) != 0)
        die(err.text);
    const double begin = now();
    for (size_t at = 0, n; at < text.n; at += n + 1) {
        n = message(&text, at);
        if (rr_tokenizer_encode(t, &e, text.data + at, n, &err) != 0)
            die(err.text);
        tokens += e.n;
        if (ids) {
            fwrite(e.ids, sizeof *e.ids, e.n, ids);
            fwrite(&end, sizeof end, 1, ids);
        }
    }
    printf("%zu %.6f %zu\n", text.n, now() - begin, tokens);
    rr_encoding_free(&e);
    rr_tokenizer_close(t);
    free(text.data);
    return ids && fclose(ids) != 0;
}
