/* Instructions in a text that something else wrote: refused with a code and a place, or tokens of
 * which each instruction has its own, a question that is asked and an end that is learned, and
 * which fit into batches. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "rec/learn/instructions.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define N_CONTEXT 200

static void check(bool holds)
{
    if (!holds)
        abort();
}

/* Bytes, a few words, and a piece over the end of a question; with and without a beginning. */
static struct rr_tokenizer *make(bool begins)
{
    static const char *const words[] = {"a", "b", "\n", "Yes", "\na", "b\na", "\xE2\x96\x81"};
    static struct rr_piece pieces[300];
    static char names[256][8];
    struct rr_vocab v = {.pieces = pieces,
                         .unk = 0,
                         .bos = begins ? 1 : -1,
                         .eos = 2,
                         .add_dummy_prefix = begins,
                         .byte_fallback = true};
    struct rr_tokenizer *t;
    struct rr_error err = {0};
    pieces[v.n++] = (struct rr_piece){"<unk>", 5, 0, RR_PIECE_UNKNOWN};
    pieces[v.n++] = (struct rr_piece){"<s>", 3, 0, RR_PIECE_CONTROL};
    pieces[v.n++] = (struct rr_piece){"</s>", 4, 0, RR_PIECE_CONTROL};
    for (int i = 0; i < 256; i++) {
        static const char digits[] = "0123456789ABCDEF";
        memcpy(names[i], "<0x00>", 7);
        names[i][3] = digits[i / 16];
        names[i][4] = digits[i % 16];
        pieces[v.n++] = (struct rr_piece){names[i], 6, 0, RR_PIECE_BYTE};
    }
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        pieces[v.n++] =
            (struct rr_piece){words[i], (uint32_t)strlen(words[i]), -(float)i, RR_PIECE_NORMAL};
    check(rr_tokenizer_open(&t, &v, "fuzz", &err) == 0);
    return t;
}

static void check_one(const struct rr_instructions *in, size_t i, const struct rr_tokenizer *t,
                      struct rr_batch *b)
{
    const struct rr_instruction_tokens *x = &in->all[i];
    const int *ids = in->ids + x->from, bos = rr_tokenizer_bos(t);
    check(x->n <= N_CONTEXT && x->n <= in->longest && x->n_question > 0 && x->n_question < x->n);
    check(x->from + (size_t)x->n == (i + 1 < in->n ? in->all[i + 1].from : in->n_ids));
    check((bos < 0 || ids[0] == bos) && ids[x->n - 1] == rr_tokenizer_eos(t));
    for (int k = bos >= 0; k < x->n - 1; k++)
        check(ids[k] > 2 && ids[k] < rr_tokenizer_size(t));
    rr_batch_clear(b);
    rr_batch_append(b, ids, x->n_question, false);
    rr_batch_append(b, ids + x->n_question, x->n - x->n_question, true);
    rr_batch_end(b);
    check(b->n_targets == x->n - x->n_question && b->n_rows == x->n - 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct rr_tokenizer *tokenizers[2];
    static struct rr_batch batch;
    struct rr_error err = {0};
    if (!tokenizers[0]) {
        tokenizers[0] = make(false);
        tokenizers[1] = make(true);
        check(rr_batch_open(&batch, N_CONTEXT, &err) == 0);
    }
    for (int k = 0; k < 2; k++) {
        struct rr_instructions in = {0};
        size_t n_valid = 0;
        const int rc = rr_instructions_parse(&in, (const char *)data, size, "fuzz.jsonl",
                                             tokenizers[k], N_CONTEXT, 1, &err);
        check(rc == 0 || (rc == RR_ERR_DATA && err.code[0] && err.text[0]));
        check(rc || in.n > 0);
        for (size_t i = 0; i < in.n; i++) {
            if (!rc)
                check_one(&in, i, tokenizers[k], &batch);
            n_valid += in.all[i].valid;
        }
        check(n_valid == in.n_valid);
        rr_instructions_free(&in);
    }
    return 0;
}
