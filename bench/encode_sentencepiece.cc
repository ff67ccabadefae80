// Tokenizing by Google's sentencepiece; see encode.h. bench/encode.sh compiles it.
#include <sentencepiece_processor.h>
#include <vector>
#include "bench/encode.h"

int main(int argc, char **argv)
{
    const struct text text = read_text(argc, argv);
    FILE *ids = argc > 4 ? fopen(argv[4], "wb") : nullptr;
    sentencepiece::SentencePieceProcessor t;
    std::vector<int> e; // kept between messages, as recrank's is
    const int end = -1;
    size_t tokens = 0;
    if (!t.Load(argv[1]).ok())
        die("no tokenizer");
    const double begin = now();
    for (size_t at = 0, n; at < text.n; at += n + 1) {
        n = message(&text, at);
        if (!t.Encode({text.data + at, n}, &e).ok())
            die("not encoded");
        tokens += e.size();
        if (ids) {
            fwrite(e.data(), sizeof(int), e.size(), ids);
            fwrite(&end, sizeof end, 1, ids);
        }
    }
    printf("%zu %.6f %zu\n", text.n, now() - begin, tokens);
    free(text.data);
    return ids && fclose(ids) != 0;
}
