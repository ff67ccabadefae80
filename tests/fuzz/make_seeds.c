/* Writes the seeds of the fuzz targets from the builders of tests/make_files.c. The seeds are kept
 * with the sources; this makes them again after a change of the builders. usage: make_seeds FOLDER
 * (which has a folder per target)
 *
 *     cc -std=c11 -D_POSIX_C_SOURCE=200809L -I. -o build/make_seeds tests/fuzz/make_seeds.c
 * tests/make_files.c \ build/librecrank.a -lm -lpthread && build/make_seeds tests/fuzz/seeds */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "tests/make_files.h"

static const char *root;

static void save(const char *target, const char *name, const void *bytes, size_t n)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", root, target);
    if (mkdir(path, 0777) != 0 && errno != EEXIST)
        perror(path), exit(1);
    snprintf(path, sizeof path, "%s/%s/%s", root, target, name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(bytes, 1, n, f) != n || fclose(f) != 0)
        perror(path), exit(1);
}

static void save_buf(const char *target, const char *name, const struct rr_buf *b)
{
    save(target, name, b->data, b->n);
}

static void save_text(const char *target, const char *name, const char *text)
{
    save(target, name, text, strlen(text));
}

static void gguf_seeds(const struct tiny *t)
{
    struct gguf_file g;
    struct rr_buf b = {0};
    gguf_from_tiny(&g, t);
    gguf_write(&b, &g);
    save_buf("gguf", "tiny.gguf", &b);
    while (g.n_tensors)
        gguf_drop_tensor(&g, g.tensors[0].name);
    gguf_write(&b, &g);
    save_buf("gguf", "vocabulary.gguf", &b);
    gguf_file_free(&g);
    g = (struct gguf_file){.version = 3, .alignment = 32};
    gguf_set(&g, "u8", 0, "\1", 1);
    gguf_set(&g, "i16", 3, "\1\2", 2);
    gguf_set(&g, "u64", 10, "\1\2\3\4\5\6\7\0", 8);
    gguf_set(&g, "f64", 12, "\0\0\0\0\0\0\xF0\x3F", 8);
    gguf_set_bool(&g, "bool", 1);
    gguf_set_string(&g, "string", "text");
    gguf_set_array(&g, "bools", 7, 3, "\0\1\1", 3);
    gguf_set_array(&g, "strings", 8, 2, "\1\0\0\0\0\0\0\0a\0\0\0\0\0\0\0\0", 17);
    const uint64_t dims[4] = {32, 2, 1, 1};
    char blocks[68] = {0};
    gguf_add_tensor(&g, "q8_0", 8, 4, dims, blocks, 68);
    gguf_add_tensor(&g, "q4_0", 2, 2, dims, blocks, 36);
    gguf_write(&b, &g);
    save_buf("gguf", "types.gguf", &b);
    gguf_file_free(&g);
    rr_buf_free(&b);
}

static void safetensors_seeds(const struct tiny *t)
{
    static const char two[] = "{\"__metadata__\":{\"format\":\"pt\"},\"b\":{\"dtype\":\"BF16\","
                              "\"shape\":[2,1],\"data_offsets\":[4,8]},"
                              "\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}  ";
    struct rr_buf b = {0};
    safetensors_from_tiny(&b, t, 1, 3);
    save_buf("safetensors", "tiny.safetensors", &b);
    safetensors_write(&b, two, sizeof two - 1, "\0\0\x80?\x80?\x80?", 8);
    save_buf("safetensors", "two.safetensors", &b);
    safetensors_write(&b, "{\"__metadata__\":{}}", 19, "", 0);
    save_buf("safetensors", "empty.safetensors", &b);
    rr_buf_free(&b);
}

static void tokenizer_seeds(const struct tiny *t)
{
    struct rr_buf b = {0};
    struct tiny with_bytes;
    struct tiny_shape s = tiny_seed;
    sentencepiece_from_tiny(&b, t);
    save_buf("sentencepiece", "tiny.model", &b);
    rr_buf_clear(&b);
    proto_piece(&b, "<unk>", 5, 0, 2);
    proto_piece(&b, "<s>", 3, 0, 3);
    proto_piece(&b, "</s>", 4, 0, 3);
    proto_piece(&b, "a", 1, -1, 1);
    proto_piece(&b, "b", 1, -2, 1);
    proto_piece(&b, "ab", 2, -3, 5);
    proto_piece(&b, "abba", 4, -4, 4);
    proto_piece(&b, "\xC3\xA9", 2, -5, 1);
    proto_specs(&b, false);
    proto_int(&b, 1000, 5);
    save_buf("sentencepiece", "types.model", &b);
    s.no_bytes = false;
    s.vocab = 290;
    tiny_make(&with_bytes, &s);
    sentencepiece_from_tiny(&b, &with_bytes);
    save_buf("sentencepiece", "bytes.model", &b);
    llama2c_tokenizer_from_tiny(&b, &with_bytes);
    save_buf("llama2c_tokenizer", "tiny.bin", &b);
    tiny_free(&with_bytes);
    rr_buf_free(&b);
}

static void text_seeds(const struct tiny *t)
{
    struct rr_buf b = {0};
    config_from_tiny(&b, t);
    save_buf("json", "config.json", &b);
    rr_buf_free(&b);
    save_text("json", "values.json",
              "[null,true,false,0,-1.5e-3,1E+2,\"\",{\"a\":[],\"b\":{}},[[[[]]]]]");
    save_text("json", "strings.json",
              "{\"\\\"\\\\\\/\\b\\f\\n\\r\\t\":\"\\u00e9\\ud83d\\ude00\xC3\xA9\xF0\x9F\x98\x80\"}");
    save_text("json", "numbers.json",
              "[0.1,1e22,9007199254740993,1e-7,123456789012345678901234567890,1e308,-0]");
    save_text("encode", "plain.txt", "the bath abab xyz");
    save_text("encode", "blanks.txt", "  a  b   the ");
    save_text("encode", "special.txt",
              "<s></s><unk><0x41>[INST][INST] [INST][INST][INST]\n\thh aba ababa");
    save_text("encode", "unicode.txt",
              "\xC3\xA9t\xC3\xA9 \xF0\x9F\x98\x80 \xE4\xBD\xA0\xE5\xA5\xBD \xE2\x96\x81");
    save_text("encode", "not_utf8.txt", "a\xFF\xC3(\xE2\x82 b\xED\xA0\x80");
}

int main(int argc, char **argv)
{
    struct tiny t;
    if (argc != 2) {
        fprintf(stderr, "usage: make_seeds FOLDER\n");
        return 2;
    }
    root = argv[1];
    tiny_make(&t, &tiny_seed);
    gguf_seeds(&t);
    safetensors_seeds(&t);
    tokenizer_seeds(&t);
    text_seeds(&t);
    tiny_free(&t);
    return 0;
}
