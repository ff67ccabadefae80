/* What tells two models apart that share their tensors, or two tokenizers that share their pieces.
 */
#include <string.h>
#include "tests/test.h"
#include "tokenizer/tokenizer.h"
#include "weights/weights.h"

static void expect_other(const struct rr_weights *a, const struct rr_weights *b, const char *what)
{
    char x[65], y[65];
    rr_weights_fingerprint(a, x);
    rr_weights_fingerprint(b, y);
    cr_assert(strcmp(x, y) != 0, "%s does not tell models apart", what);
}

Test(fingerprint, hyperparameters_tell_models_apart)
{
    static const float factors[4] = {1, 2, 3, 4};
    struct rr_weights a = {0}, b;
    char x[65], y[65];
    a.model.h = (struct rr_hparams){.n_layers = 1,
                                    .n_embd = 8,
                                    .n_heads = 1,
                                    .n_kv_heads = 1,
                                    .head_dim = 8,
                                    .n_ff = 8,
                                    .n_vocab = 8,
                                    .n_context = 64,
                                    .rms_eps = 1e-5,
                                    .rope = {.theta = 10000}};
    b = a;
    rr_weights_fingerprint(&a, x);
    rr_weights_fingerprint(&b, y);
    cr_assert(strcmp(x, y) == 0, "the same model");
    b.model.h.rope.theta = 500000;
    expect_other(&a, &b, "the rotary base");
    b = a;
    b.model.h.rms_eps = 1e-6;
    expect_other(&a, &b, "epsilon");
    b = a;
    b.model.h.rope.freq_factors = factors;
    expect_other(&a, &b, "frequency factors");
    b = a;
    b.model.h.rope.interleaved = true;
    expect_other(&a, &b, "the order of rotation");
}

Test(fingerprint, settings_tell_tokenizers_apart)
{
    struct rr_piece pieces[] = {{"<unk>", 5, 0, RR_PIECE_UNKNOWN},
                                {"<s>", 3, 0, RR_PIECE_CONTROL},
                                {"</s>", 4, 0, RR_PIECE_CONTROL},
                                {"a", 1, -1, RR_PIECE_NORMAL}};
    struct rr_vocab v = {.pieces = pieces, .n = 4, .unk = 0, .bos = 1, .eos = 2};
    struct rr_error err = {0};
    char sums[5][65];
    for (int i = 0; i < 5; i++) {
        struct rr_tokenizer *t;
        v.add_dummy_prefix = i == 1;
        v.bos = i == 2 ? -1 : 1;
        pieces[3].score = i == 3 ? -2 : -1;
        cr_assert(rr_tokenizer_open(&t, &v, "test", &err) == 0, "%s", err.text);
        rr_tokenizer_fingerprint(t, sums[i]);
        rr_tokenizer_close(t);
    }
    for (int i = 1; i < 4; i++)
        cr_assert(strcmp(sums[0], sums[i]) != 0, "case %d", i);
    cr_assert(strcmp(sums[0], sums[4]) == 0, "the same tokenizer");
}
