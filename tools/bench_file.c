/* recrank bench file: the model of a shape with random weights as GGUF, for timing other engines on
 * the same one, and for what only a file shows: opening, mapping, memory. */
#include <stdio.h>
#include <string.h>
#include "tools/bench.h"
#include "tools/random_model.h"
#include "weights/write.h"

enum { N_SPECIAL = 3, N_BYTES = 256, TEXT = 16 };

/* A vocabulary that any reader takes: the special tokens, all bytes, and words of letters. */
static void make_vocab(struct rr_vocab *v, char (*texts)[TEXT])
{
    static const char *const special[N_SPECIAL] = {"<unk>", "<s>", "</s>"};
    for (size_t i = 0; i < v->n; i++) {
        struct rr_piece *p = &v->pieces[i];
        *p = (struct rr_piece){.type = RR_PIECE_NORMAL, .text = texts[i]};
        if (i < N_SPECIAL) {
            p->type = i ? RR_PIECE_CONTROL : RR_PIECE_UNKNOWN;
            p->n = (uint32_t)snprintf(texts[i], TEXT, "%s", special[i]);
        } else if (i < N_SPECIAL + N_BYTES) {
            p->type = RR_PIECE_BYTE;
            p->n = (uint32_t)snprintf(texts[i], TEXT, "<0x%02X>", (unsigned)(i - N_SPECIAL));
        } else {
            char *to = texts[i];
            for (size_t left = i; left; left /= 26)
                *to++ = (char)('a' + left % 26);
            p->n = (uint32_t)(to - texts[i]);
            p->score = -(float)i;
        }
    }
    v->unk = 0;
    v->bos = 1;
    v->eos = 2;
    v->add_dummy_prefix = v->byte_fallback = true;
}

static int write_file(const struct bench *b, const struct rr_hparams *shape, enum rr_type type,
                      struct rr_error *err)
{
    struct random_model m = {0};
    struct rr_vocab v = {.n = (size_t)shape->n_vocab};
    char(*texts)[TEXT] = rr_zalloc(v.n, sizeof *texts);
    v.pieces = rr_alloc(v.n, sizeof *v.pieces);
    int rc = texts && v.pieces ? random_model_make(&m, shape, type, err)
                               : rr_fail_memory(err, "vocabulary", v.n * sizeof *v.pieces);
    if (rc == RR_OK) {
        make_vocab(&v, texts);
        m.model.h.rope.interleaved =
            true; /* GGUF's order of rows; no number of them means anything */
        rc = rr_gguf_write_model(b->output, &m.model, &v,
                                 &(struct rr_write_options){.name = b->shape, .type = -1}, err);
    }
    random_model_free(&m);
    rr_free(v.pieces);
    rr_free(texts);
    return rc;
}

int bench_file(struct bench *b)
{
    const struct rr_hparams *shape;
    enum rr_type type;
    struct rr_error err = {0};
    int rc = random_model_named(b->shape, b->type, &shape, &type, &err);
    if (rc == RR_OK)
        rc = write_file(b, shape, type, &err);
    return rc ? tool_fail(&err) : 0;
}
