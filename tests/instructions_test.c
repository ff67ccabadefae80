/* Instructions read as tokens: three dialects that say the same, what is learned of them, every bad
 * line by its code and number, and users that validate whole. */
#include <stdlib.h>
#include <string.h>
#include "rec/learn/instructions.h"
#include "tests/test.h"
#include "tokenizer/train.h"

#define N_CONTEXT 64

/* ---- helpers ---- */

static struct rr_tokenizer *learned(void)
{
    static const struct rr_bpe_text texts[] = {{"rank the movies below", 21, 5},
                                               {"answer with Yes. or No.", 23, 4},
                                               {"User's liked movies", 19, 3}};
    struct rr_arena arena = {0};
    struct rr_vocab v = {0};
    struct rr_tokenizer *t;
    struct rr_error err = {0};
    cr_assert(rr_bpe_train(&v, &arena, texts, 3, &(struct rr_bpe_options){.size = 320}, &err) == 0,
              "%s", err.text);
    cr_assert(rr_tokenizer_open(&t, &v, "learned", &err) == 0, "%s", err.text);
    rr_arena_free(&arena);
    return t;
}

static int read_text(struct rr_instructions *in, const struct rr_tokenizer *t, const char *text,
                     size_t n, uint64_t seed, struct rr_error *err)
{
    const char *path = path_in(temporary_dir(), "in.jsonl");
    *in = (struct rr_instructions){0};
    write_file(path, text, n);
    return rr_instructions_read(in, path, t, N_CONTEXT, seed, err);
}

static void must_read(struct rr_instructions *in, const struct rr_tokenizer *t, const char *text)
{
    struct rr_error err = {0};
    cr_assert(read_text(in, t, text, strlen(text), 1, &err) == 0, "%s: [%s] %s", text, err.code,
              err.text);
}

static void check_decoded(const struct rr_tokenizer *t, const int *ids, int n, const char *text)
{
    struct rr_buf out = {0};
    struct rr_error err = {0};
    cr_assert(rr_tokenizer_decode(t, &out, ids, (size_t)n, &err) == 0, "%s", err.text);
    cr_assert(out.n == strlen(text) && (!out.n || memcmp(out.data, text, out.n) == 0),
              "'%s'; expected '%s'", out.data ? out.data : "", text);
    rr_buf_free(&out);
}

/* ---- what is read ---- */

static const char messages[] = "{\"messages\":[{\"role\":\"system\",\"content\":\"Answer.\"},"
                               "{\"role\":\"user\",\"content\":\"Liked?\\nSay so.\"},"
                               "{\"role\":\"assistant\",\"content\":\"Yes.\"}],\"user\":\"7\"}";
static const char alpaca[] = "{\"instruction\":\"Answer.\",\"input\":\"Liked?\\nSay so.\","
                             "\"output\":\"Yes.\",\"user\":\"7\"}";
static const char sharegpt[] = "{\"conversations\":[{\"from\":\"human\",\"value\":\"Liked?\\nSay "
                               "so.\"},{\"from\":\"gpt\",\"value\":\"Yes.\"}],"
                               "\"system\":\"Answer.\",\"user\":\"7\"}";

Test(instructions, three_dialects_give_the_same_tokens)
{
    static const char *const lines[] = {messages, alpaca, sharegpt};
    struct rr_tokenizer *t = learned();
    struct rr_instructions in[3];
    for (int d = 0; d < 3; d++) {
        must_read(&in[d], t, lines[d]);
        cr_assert(in[d].n == 1 && in[d].n_ids == in[0].n_ids &&
                      memcmp(in[d].ids, in[0].ids, in[0].n_ids * sizeof *in[0].ids) == 0 &&
                      in[d].all[0].n == in[0].all[0].n &&
                      in[d].all[0].n_question == in[0].all[0].n_question &&
                      in[d].all[0].valid == in[0].all[0].valid,
                  "dialect %d reads other tokens", d);
    }
    for (int d = 0; d < 3; d++)
        rr_instructions_free(&in[d]);
    /* All three in one file, with CRLF, an empty line, a byte order mark and no last newline. */
    char file[1000];
    snprintf(file, sizeof file, "\xEF\xBB\xBF%s\r\n%s\r\n\r\n%s", messages, alpaca, sharegpt);
    must_read(&in[0], t, file);
    cr_assert(in[0].n == 3 && in[0].all[0].n == in[0].all[2].n &&
                  memcmp(in[0].ids + in[0].all[0].from, in[0].ids + in[0].all[2].from,
                         (size_t)in[0].all[0].n * sizeof(int)) == 0,
              "%zu instructions", in[0].n);
    rr_instructions_free(&in[0]);
    rr_tokenizer_close(t);
}

Test(instructions, a_question_without_a_system_is_the_user_alone)
{
    static const char *const lines[] = {
        "{\"messages\":[{\"role\":\"user\",\"content\":\"Liked?\"},"
        "{\"role\":\"assistant\",\"content\":\"No.\"}]}",
        "{\"instruction\":\"Liked?\",\"input\":\"\",\"output\":\"No.\"}",
        "{\"instruction\":\"Liked?\",\"output\":\"No.\"}",
        "{\"conversations\":[{\"from\":\"human\",\"value\":\"Liked?\"},{\"from\":\"gpt\","
        "\"value\":\"No.\"}]}",
        "{\"conversations\":[{\"from\":\"human\",\"value\":\"Liked?\"},{\"from\":\"gpt\","
        "\"value\":\"No.\"}],\"system\":\"\"}"};
    struct rr_tokenizer *t = learned();
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct rr_instructions in;
        must_read(&in, t, lines[i]);
        const struct rr_instruction_tokens *x = &in.all[0];
        cr_assert(x->from == 0 && x->n == (int)in.n_ids && in.longest == x->n, "line %zu", i);
        check_decoded(t, in.ids, x->n, "Liked?\nNo.");
        rr_instructions_free(&in);
    }
    rr_tokenizer_close(t);
}

Test(instructions, what_is_learned_is_the_answer_and_the_end)
{
    struct rr_tokenizer *t = learned();
    struct rr_instructions in;
    struct rr_error err = {0};
    struct rr_batch b;
    must_read(&in, t, messages);
    const struct rr_instruction_tokens *x = &in.all[0];
    const int *ids = in.ids + x->from;
    cr_assert(ids[0] == rr_tokenizer_bos(t) && ids[x->n - 1] == rr_tokenizer_eos(t),
              "from %d to %d", ids[0], ids[x->n - 1]);
    check_decoded(t, ids, x->n_question, "Answer.\n\nLiked?\nSay so.\n");
    check_decoded(t, ids, x->n, "Answer.\n\nLiked?\nSay so.\nYes.");
    /* As a batch: the targets are the answer's tokens and the end, each behind the one before it.
     */
    cr_assert(rr_batch_open(&b, 2 * N_CONTEXT, &err) == 0, "%s", err.text);
    rr_batch_clear(&b);
    rr_batch_append(&b, ids, x->n_question, false);
    rr_batch_append(&b, ids + x->n_question, x->n - x->n_question, true);
    rr_batch_end(&b);
    int learnt[N_CONTEXT], n = 0;
    for (int i = 0; i < b.n_rows; i++)
        if (b.targets[i] >= 0) {
            cr_assert(b.targets[i] == ids[i + 1], "row %d", i);
            learnt[n++] = b.targets[i];
        }
    cr_assert(n == b.n_targets && n >= 2 && learnt[n - 1] == rr_tokenizer_eos(t), "%d targets", n);
    struct rr_buf out = {0};
    cr_assert(rr_tokenizer_decode(t, &out, learnt, (size_t)n, &err) == 0, "%s", err.text);
    cr_assert(out.n >= 4 && strcmp(out.data, "Yes.") == 0, "learns '%s'", out.data);
    rr_buf_free(&out);
    rr_batch_close(&b);
    rr_instructions_free(&in);
    rr_tokenizer_close(t);
}

/* A token over the end of the question belongs to the answer; and a vocabulary without a beginning
 * of text may leave nothing of the question at all. */
Test(instructions, a_token_over_the_end_of_the_question)
{
    static const struct {
        const char *text;
        enum rr_piece_type type;
    } texts[] = {{"<unk>", RR_PIECE_UNKNOWN}, {"</s>", RR_PIECE_CONTROL}, {"a", RR_PIECE_NORMAL},
                 {"\n", RR_PIECE_NORMAL},     {"b", RR_PIECE_NORMAL},     {"\nb", RR_PIECE_NORMAL},
                 {"a\nb", RR_PIECE_NORMAL},   {"<s>", RR_PIECE_CONTROL}};
    struct rr_piece pieces[8];
    struct rr_error err = {0};
    for (int i = 0; i < 8; i++)
        pieces[i] = (struct rr_piece){texts[i].text, (uint32_t)strlen(texts[i].text), -(float)i,
                                      texts[i].type};
    for (int bos = -1; bos < 8; bos += 8) {
        const struct rr_vocab v = {.pieces = pieces, .n = 8, .unk = 0, .bos = bos, .eos = 1};
        struct rr_tokenizer *t;
        struct rr_instructions in = {0};
        cr_assert(rr_tokenizer_open(&t, &v, "pieces", &err) == 0, "%s", err.text);
        const struct rr_instruction_text
            x = {.user = "a", .answer = "b", .n_user = 1, .n_answer = 1},
            y = {.user = "aa", .answer = "b", .n_user = 2, .n_answer = 1};
        const int rc = rr_instructions_add(&in, t, &x, 9, false, RR_NOWHERE, &err);
        if (bos < 0)
            cr_assert(rc == RR_ERR_DATA && strcmp(err.code, "QUESTION") == 0 && in.n_ids == 0,
                      "nothing left of the question: %d [%s]", rc, err.code);
        else
            cr_assert(rc == 0 && in.all[0].n == 3 && in.all[0].n_question == 1 && in.ids[1] == 6,
                      "%d tokens, %d of the question", in.all[0].n, in.all[0].n_question);
        cr_assert(rr_instructions_add(&in, t, &y, 9, false, RR_NOWHERE, &err) == 0, "%s", err.text);
        const struct rr_instruction_tokens *last = &in.all[in.n - 1];
        cr_assert(last->n_question == 1 + (bos >= 0) && last->n == last->n_question + 2 &&
                      in.ids[last->from + (size_t)last->n_question] == 6,
                  "%d tokens, %d of the question", last->n, last->n_question);
        rr_instructions_free(&in);
        rr_tokenizer_close(t);
    }
}

/* ---- what is refused ---- */

#define GOOD "{\"instruction\":\"q\",\"output\":\"a\"}\n"
#define USER "{\"role\":\"user\",\"content\":\"q\"}"
#define ASSISTANT "{\"role\":\"assistant\",\"content\":\"a\"}"
#define TEN "0123456789"

static const struct {
    const char *text;
    size_t n; /* 0: up to the zero */
    const char *code;
    long long line;
} bad_files[] = {
    {"{\"instruction\":\"q\",\"output\":\"a\"\n", 0, "JSON", 1},
    {GOOD GOOD "{\"instruction\":\"q\",}\n", 0, "JSON", 3},
    {GOOD "{\"instruction\":\"q\",\"instruction\":\"p\",\"output\":\"a\"}\n", 0,
     "JSON_DUPLICATE_KEY", 2},
    {GOOD "null and void\n", 0, "JSON", 2},
    {GOOD GOOD "{\"instruction\":\"\xFF\",\"output\":\"a\"}\n", 0, "JSON", 3},
    {GOOD "{\"instruction\":\"q\xC3\",\"output\":\"a\"}\n", 0, "JSON", 2},
    {GOOD "{\"instruction\":\"q\0\",\"output\":\"a\"}\n", sizeof GOOD + 33, "LINE", 2},
    {GOOD "{\"instruction\":\"q\",\"output\":\"\"}\n", 0, "ANSWER", 2},
    {"{\"messages\":[" USER ",{\"role\":\"assistant\",\"content\":\"\"}]}", 0, "ANSWER", 1},
    {GOOD "\n\n{\"instruction\":\"q\",\"output\":\"" TEN TEN TEN TEN TEN TEN TEN "\"}\n", 0,
     "TOO_LONG", 4},
    {GOOD "{\"instruction\":\"" TEN TEN TEN TEN TEN TEN TEN "\",\"output\":\"a\"}\n", 0, "TOO_LONG",
     2},
    {"{\"messages\":[{\"role\":\"tool\",\"content\":\"q\"}," ASSISTANT "]}", 0, "ROLE", 1},
    {"{\"messages\":[{\"role\":7,\"content\":\"q\"}," ASSISTANT "]}", 0, "ROLE", 1},
    {"{\"messages\":[{\"content\":\"q\"}," ASSISTANT "]}", 0, "ROLE", 1},
    {"{\"messages\":[" USER "," USER "," ASSISTANT "]}", 0, "ROLE", 1},
    {"{\"messages\":[" USER "," ASSISTANT "," USER "," ASSISTANT "]}", 0, "ROLE", 1},
    {"{\"messages\":[" ASSISTANT "," USER "]}", 0, "ROLE", 1},
    {"{\"messages\":[" USER "]}", 0, "ROLE", 1},
    {"{\"messages\":[" ASSISTANT "]}", 0, "ROLE", 1},
    {"{\"messages\":[]}", 0, "ROLE", 1},
    {"{\"messages\":[7]}", 0, "ROLE", 1},
    {"{\"messages\":{}}", 0, "DIALECT", 1},
    {"{\"messages\":null}", 0, "DIALECT", 1},
    {"{\"messages\":[{\"role\":\"user\",\"content\":7}," ASSISTANT "]}", 0, "DIALECT", 1},
    {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"q\"}]}"
     "," ASSISTANT "]}",
     0, "DIALECT", 1},
    {"{\"messages\":[{\"role\":\"user\"}," ASSISTANT "]}", 0, "DIALECT", 1},
    {"{\"conversations\":[{\"from\":\"human\",\"value\":\"q\"},{\"from\":\"gpt\",\"value\":null}]}",
     0, "DIALECT", 1},
    {"{\"conversations\":[{\"from\":\"human\",\"value\":\"q\"},{\"from\":\"gpt\",\"value\":\"a\"}],"
     "\"system\":7}",
     0, "DIALECT", 1},
    {"{\"conversations\":[{\"from\":\"system\",\"value\":\"s\"},{\"from\":\"human\",\"value\":"
     "\"q\"},{\"from\":\"gpt\",\"value\":\"a\"}],\"system\":\"t\"}",
     0, "ROLE", 1},
    {"{\"instruction\":7,\"output\":\"a\"}", 0, "DIALECT", 1},
    {"{\"instruction\":\"q\",\"output\":7}", 0, "DIALECT", 1},
    {"{\"instruction\":\"q\",\"input\":7,\"output\":\"a\"}", 0, "DIALECT", 1},
    {"{\"instruction\":\"q\"}", 0, "DIALECT", 1},
    {"{\"output\":\"a\"}", 0, "DIALECT", 1},
    {"{\"instruction\":\"q\",\"output\":\"a\",\"history\":[[\"q\",\"a\"]]}", 0, "DIALECT", 1},
    {"{\"instruction\":\"q\",\"output\":\"a\",\"system\":\"s\"}", 0, "DIALECT", 1},
    {GOOD "{\"instruction\":\"q\",\"output\":\"a\",\"user\":7.5}", 0, "USER", 2},
    {GOOD "{\"instruction\":\"q\",\"output\":\"a\",\"user\":[\"7\"]}", 0, "USER", 2},
    {"{}", 0, "DIALECT", 1},
    {"[]", 0, "DIALECT", 1},
    {"\"text\"", 0, "DIALECT", 1},
    {"42", 0, "DIALECT", 1},
    {"\n\r\n\n", 0, "NO_INSTRUCTIONS", 0},
};

Test(instructions, bad_lines_by_code_and_number)
{
    struct rr_tokenizer *t = learned();
    for (size_t i = 0; i < sizeof bad_files / sizeof bad_files[0]; i++) {
        const char *text = bad_files[i].text;
        struct rr_instructions in;
        struct rr_error err = {0};
        const int rc =
            read_text(&in, t, text, bad_files[i].n ? bad_files[i].n : strlen(text), 1, &err);
        cr_assert(rc == RR_ERR_DATA && strcmp(err.code, bad_files[i].code) == 0 &&
                      err.line == bad_files[i].line && strstr(err.file, "in.jsonl") && err.text[0],
                  "case %zu, %s: %d [%s] line %lld of %s: %s", i, text, rc, err.code, err.line,
                  err.file, err.text);
        rr_instructions_free(&in);
    }
    /* Nothing, what is no text, and no file. */
    static const struct {
        const char *bytes;
        size_t n;
    } files[] = {{"", 0}, {"\xFF\xFE{\0", 4}, {"\x1F\x8B\x08\0", 4}, {"PK\3\4", 4}};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct rr_instructions in;
        struct rr_error err = {0};
        const int rc = read_text(&in, t, files[i].bytes, files[i].n, 1, &err);
        cr_assert(rc == RR_ERR_DATA && err.code[0] && strstr(err.file, "in.jsonl"), "%zu: %d [%s]",
                  i, rc, err.code);
        rr_instructions_free(&in);
    }
    struct rr_instructions in = {0};
    struct rr_error err = {0};
    cr_assert(rr_instructions_read(&in, path_in(temporary_dir(), "none"), t, N_CONTEXT, 1, &err) ==
                  RR_ERR_OPEN,
              "%d", err.status);
    rr_instructions_free(&in);
    rr_tokenizer_close(t);
}

Test(instructions, malformed_json_names_its_column)
{
    struct rr_tokenizer *t = learned();
    struct rr_instructions in;
    struct rr_error err = {0};
    const char *text = GOOD "{\"instruction\":\"q\",\"output\":a}\n";
    cr_assert(read_text(&in, t, text, strlen(text), 1, &err) == RR_ERR_DATA && err.line == 2 &&
                  err.column == 29 && err.offset == -1,
              "line %lld, column %lld, byte %lld", err.line, err.column, err.offset);
    rr_instructions_free(&in);
    rr_tokenizer_close(t);
}

/* ---- validation ---- */

#define USERS 200
#define EACH 3

/* Lines of every user, scattered; as strings or as whole numbers. */
static void write_users(struct rr_buf *b, bool numbers)
{
    rr_buf_clear(b);
    for (int k = 0; k < EACH; k++)
        for (int u = 0; u < USERS; u++)
            rr_buf_printf(b, "{\"instruction\":\"q%d\",\"output\":\"a\",\"user\":%s%d%s}\n", k,
                          numbers ? "" : "\"", (u * 37 + k * 11) % USERS, numbers ? "" : "\"");
}

Test(instructions, users_validate_whole_and_the_same_for_a_seed)
{
    struct rr_tokenizer *t = learned();
    struct rr_buf text = {0};
    bool of[2][USERS];
    int differ = 0;
    for (int run = 0; run < 5; run++) {
        const bool numbers = run == 3;
        const uint64_t seed = run == 2 ? 8 : 7;
        struct rr_instructions in;
        struct rr_error err = {0};
        size_t n_valid = 0;
        write_users(&text, numbers);
        cr_assert(read_text(&in, t, text.data, text.n, seed, &err) == 0, "%s", err.text);
        cr_assert(in.n == USERS * EACH, "%zu", in.n);
        for (int k = 0, i = 0; k < EACH; k++)
            for (int u = 0; u < USERS; u++, i++) {
                const int user = (u * 37 + k * 11) % USERS;
                bool *is = &of[run == 2][user];
                char name[16];
                if (k == 0 && (run == 0 || run == 2))
                    *is = in.all[i].valid;
                cr_assert(in.all[i].valid == *is, "run %d: user %d is cut in two", run, user);
                snprintf(name, sizeof name, "%d", user);
                cr_assert(rr_instructions_validates(name, strlen(name), seed) == *is, "user %d",
                          user);
                n_valid += in.all[i].valid;
            }
        cr_assert(in.n_valid == n_valid && n_valid > 5 && n_valid < USERS * EACH / 5,
                  "%zu validate", n_valid);
        rr_instructions_free(&in);
    }
    for (int u = 0; u < USERS; u++)
        differ += of[0][u] != of[1][u];
    cr_assert(differ > 0, "another seed deals the same");
    rr_buf_free(&text);
    rr_tokenizer_close(t);
}

Test(instructions, without_users_each_line_goes_its_own_way)
{
    struct rr_tokenizer *t = learned();
    struct rr_buf text = {0};
    struct rr_instructions in, again;
    struct rr_error err = {0};
    for (int i = 0; i < 400; i++)
        rr_buf_puts(&text, GOOD);
    cr_assert(read_text(&in, t, text.data, text.n, 3, &err) == 0, "%s", err.text);
    cr_assert(read_text(&again, t, text.data, text.n, 3, &err) == 0, "%s", err.text);
    cr_assert(in.n_valid > 5 && in.n_valid < 60, "%zu of 400 validate", in.n_valid);
    for (size_t i = 0; i < in.n; i++)
        cr_assert(in.all[i].valid == again.all[i].valid, "line %zu", i);
    rr_instructions_free(&in);
    rr_instructions_free(&again);
    rr_buf_free(&text);
    rr_tokenizer_close(t);
}
