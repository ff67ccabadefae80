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

/* The adapter target's base: 2 layers of 8 numbers, 2 heads of 4 and 1 of keys, 12 between. The
 * bits of `modules` are enum rr_lm_matrix's. */
static void adapter_seed(const char *name, const char *config, unsigned modules, int rank,
                         const char *dtype, int bytes)
{
    static const struct {
        const char *name;
        int rows, cols;
    } all[] = {{"self_attn.q_proj", 8, 8}, {"self_attn.k_proj", 4, 8}, {"self_attn.v_proj", 4, 8},
               {"self_attn.o_proj", 8, 8}, {"mlp.gate_proj", 12, 8},   {"mlp.up_proj", 12, 8},
               {"mlp.down_proj", 8, 12}};
    struct rr_buf header = {0}, data = {0}, tensors = {0}, both = {0};
    rr_buf_puts(&header, "{");
    for (int i = 0; i < 2 * 7 * 2; i++) {
        const int layer = i / 14, m = i / 2 % 7, a = i % 2 == 0;
        const int rows = a ? rank : all[m].rows, cols = a ? all[m].cols : rank;
        if (!(modules >> m & 1))
            continue;
        rr_buf_printf(&header,
                      "%s\"base_model.model.model.layers.%d.%s.lora_%c.weight\":{\"dtype\":\"%s\","
                      "\"shape\":[%d,%d],\"data_offsets\":[%zu,%zu]}",
                      header.n > 1 ? "," : "", layer, all[m].name, a ? 'A' : 'B', dtype, rows, cols,
                      data.n, data.n + (size_t)(rows * cols * bytes));
        for (int k = 0; k < rows * cols; k++)
            if (bytes == 4)
                put_f32(&data, 0.125f * (float)(k % 5 - 2));
            else
                rr_buf_add(&data, "\0\x3C", 2);
    }
    rr_buf_puts(&header, "}");
    safetensors_write(&tensors, header.data, header.n, data.data, data.n);
    rr_buf_add(&both, config, strlen(config) + 1);
    rr_buf_add(&both, tensors.data, tensors.n);
    save_buf("adapter", name, &both);
    rr_buf_free(&header);
    rr_buf_free(&data);
    rr_buf_free(&tensors);
    rr_buf_free(&both);
}

static void adapter_seeds(void)
{
    adapter_seed("plain",
                 "{\"peft_type\":\"LORA\",\"task_type\":\"CAUSAL_LM\",\"r\":2,\"lora_alpha\":4,"
                 "\"target_modules\":[\"q_proj\",\"v_proj\"],\"bias\":\"none\"}",
                 5, 2, "F32", 4);
    adapter_seed("all",
                 "{\"peft_type\":\"LORA\",\"r\":2,\"lora_alpha\":-0.5,\"use_rslora\":true,"
                 "\"target_modules\":\"all-linear\",\"rank_pattern\":{\"layers.1.mlp.up_proj\":1},"
                 "\"alpha_pattern\":{\"k_proj\":16},\"modules_to_save\":null}",
                 127, 2, "F32", 4);
    adapter_seed("halves",
                 "{\"peft_type\":\"LORA\",\"r\":8,\"lora_alpha\":1e3,\"rank_pattern\":"
                 "{\"mlp.down_proj\":1},\"target_modules\":[\"layers.0.mlp.down_proj\","
                 "\"layers.1.mlp.down_proj\"]}",
                 64, 1, "F16", 2);
}

static void instruction_seeds(void)
{
    save_text("instructions", "messages.jsonl",
              "{\"messages\":[{\"role\":\"system\",\"content\":\"Rank.\"},{\"role\":\"user\","
              "\"content\":\"a or b?\"},{\"role\":\"assistant\",\"content\":\"a\"}],\"user\":"
              "\"7\"}\n{\"messages\":[{\"role\":\"user\",\"content\":\"ab\"},{\"role\":"
              "\"assistant\",\"content\":\"Yes.\"}],\"user\":8}\n");
    save_text(
        "instructions", "alpaca.jsonl",
        "\xEF\xBB\xBF{\"instruction\":\"Rank.\",\"input\":\"a\\nb\",\"output\":\"ba\"}\r\n\r\n"
        "{\"instruction\":\"b\",\"output\":\"a\",\"history\":[],\"system\":\"\"}");
    save_text("instructions", "sharegpt.jsonl",
              "{\"conversations\":[{\"from\":\"human\",\"value\":\"\\u00e9\\u0000\"},{\"from\":"
              "\"gpt\",\"value\":\"\xF0\x9F\x98\x80\"}],\"system\":\"s\",\"user\":\"u\"}\n");
    save_text("instructions", "no_question.jsonl", "{\"instruction\":\"b\",\"output\":\"a\"}");
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
    adapter_seeds();
    instruction_seeds();
    tiny_free(&t);
    return 0;
}
