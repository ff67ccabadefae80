/* Reads a SentencePiece tokenizer.model: the protobuf messages ModelProto, TrainerSpec and
 * NormalizerSpec of sentencepiece_model.proto, as far as a BPE tokenizer needs them. Unknown
 * fields are skipped, as protobuf asks. */
#include <stdio.h>
#include "engine/base/cursor.h"
#include "engine/base/limits.h"
#include "tokenizer/beside.h"
#include "tokenizer/internal.h"

struct said {
    bool given;
    int64_t value;
    size_t at;
};

/* What the trainer's settings say beside what a struct rr_vocab holds. */
struct settings {
    bool is_bpe;        /* the format's default is another algorithm */
    struct said size;   /* how many pieces there should be */
    struct said ids[4]; /* unk, bos, eos, pad */
};

struct reader {
    struct settings *said;
    const char *file;
    struct rr_error *err;
};

/* One field of a message. Length-delimited fields are given as a cursor over their bytes. */
struct field {
    uint32_t number, wire;
    uint64_t value; /* varint, or the bits of a fixed field */
    struct rr_cursor bytes;
    size_t at; /* offset in the file */
};

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

static int bad(const struct reader *r, const char *object, size_t at, const char *text)
{
    return rr_fail(r->err, RR_ERR_DATA, "PROTOBUF", RR_AT_BYTE(r->file, object, at), "%s", text);
}

/* base is the offset of c's first byte in the file. */
static int read_varint(const struct reader *r, struct rr_cursor *c, size_t base, uint64_t *out)
{
    uint64_t v = 0;
    const size_t start = c->at;
    for (int shift = 0;; shift += 7) {
        if (!rr_cursor_left(c))
            return bad(r, "varint", base + start, "the file ends inside a number; it is truncated");
        uint8_t b = rr_cursor_u8(c);
        if (shift == 63 && b > 1)
            return bad(r, "varint", base + start, "a number of more than 64 bits");
        v |= (uint64_t)(b & 127) << shift;
        if (!(b & 128))
            break;
    }
    *out = v;
    return RR_OK;
}

static int read_field(const struct reader *r, struct rr_cursor *c, size_t base, struct field *f)
{
    uint64_t tag, n = 0;
    *f = (struct field){.at = base + c->at};
    int rc = read_varint(r, c, base, &tag);
    if (rc)
        return rc;
    if (tag >> 3 == 0 || tag >> 3 > 0x1FFFFFFF)
        return bad(r, "field", f->at,
                   "a field number outside 1 to 2^29-1; not a SentencePiece model");
    f->number = (uint32_t)(tag >> 3);
    f->wire = (uint32_t)(tag & 7);
    const unsigned char *p;
    switch (f->wire) {
    case WIRE_VARINT:
        return read_varint(r, c, base, &f->value);
    case WIRE_FIXED64:
        f->value = rr_cursor_u64(c);
        break;
    case WIRE_FIXED32:
        f->value = rr_cursor_u32(c);
        break;
    case WIRE_BYTES:
        if ((rc = read_varint(r, c, base, &n)) != 0)
            return rc;
        p = rr_cursor_take(c, n);
        f->bytes = rr_cursor_make(p, p ? (size_t)n : 0);
        break;
    default:
        return bad(r, "field", f->at,
                   "a wire type other than 0, 1, 2, 5; not a SentencePiece model");
    }
    if (c->overrun)
        return rr_fail(r->err, RR_ERR_DATA, "TRUNCATED", RR_AT_BYTE(r->file, "field", f->at),
                       "field %u reaches beyond the end; the file is damaged or truncated",
                       f->number);
    return RR_OK;
}

/* A known field must come in its own wire type: never misread it. */
static int expect_wire(const struct reader *r, const struct field *f, uint32_t wire,
                       const char *name)
{
    if (f->wire == wire)
        return RR_OK;
    return rr_fail(r->err, RR_ERR_DATA, "PROTOBUF", RR_AT_BYTE(r->file, name, f->at),
                   "wire type %u; expected %u", f->wire, wire);
}

static size_t offset_in(const struct rr_cursor *outer, size_t base, const struct rr_cursor *inner)
{
    return base + (size_t)(inner->p - outer->p);
}

/* SentencePiece { piece = 1 string, score = 2 float, type = 3 enum } */
static int read_piece(const struct reader *r, struct rr_cursor c, size_t base, struct rr_piece *out)
{
    struct rr_piece p = {.type = RR_PIECE_NORMAL};
    bool has_text = false;
    while (rr_cursor_left(&c)) {
        struct field f;
        int rc = read_field(r, &c, base, &f);
        if (!rc && f.number == 1 && !(rc = expect_wire(r, &f, WIRE_BYTES, "piece"))) {
            p.text = (const char *)f.bytes.p;
            p.n = f.bytes.n > UINT32_MAX ? UINT32_MAX : (uint32_t)f.bytes.n;
            has_text = true;
        } else if (!rc && f.number == 2 && !(rc = expect_wire(r, &f, WIRE_FIXED32, "score"))) {
            p.score = rr_float_from_bits((uint32_t)f.value);
        } else if (!rc && f.number == 3 && !(rc = expect_wire(r, &f, WIRE_VARINT, "type"))) {
            if (f.value < 1 || f.value > 6)
                return rr_fail(r->err, RR_ERR_DATA, "VOCAB", RR_AT_BYTE(r->file, "type", f.at),
                               "piece type %llu; expected 1 to 6", (unsigned long long)f.value);
            p.type = (enum rr_piece_type)f.value;
        }
        if (rc)
            return rc;
    }
    if (!has_text)
        return bad(r, "piece", base, "a piece without its text");
    *out = p;
    return RR_OK;
}

static int id_from(const struct field *f)
{
    int64_t v = (int64_t)f->value;
    return v < -1 || v > INT32_MAX ? INT32_MAX : (int)v; /* refused by check_ids */
}

static int read_trainer(const struct reader *r, struct rr_cursor c, size_t base, struct rr_vocab *v)
{
    while (rr_cursor_left(&c)) {
        struct field f;
        int rc = read_field(r, &c, base, &f);
        bool known =
            f.number == 3 || f.number == 4 || f.number == 35 || (f.number >= 40 && f.number <= 43);
        if (!rc && known)
            rc = expect_wire(r, &f, WIRE_VARINT, "trainer setting");
        if (rc)
            return rc;
        if (f.number == 3 && f.value != 2)
            return rr_fail(r->err, RR_ERR_DATA, "UNSUPPORTED",
                           RR_AT_BYTE(r->file, "model_type", f.at),
                           "model type %llu (1 unigram, 3 word, 4 char); only 2 (BPE) is supported",
                           (unsigned long long)f.value);
        if (f.number == 3)
            r->said->is_bpe = true;
        if (f.number == 4)
            r->said->size = (struct said){true, (int64_t)f.value, f.at};
        if (f.number >= 40 && f.number <= 43)
            r->said->ids[f.number - 40] = (struct said){true, (int64_t)f.value, f.at};
        if (f.number == 35)
            v->byte_fallback = f.value != 0;
        if (f.number == 40)
            v->unk = id_from(&f);
        if (f.number == 41)
            v->bos = id_from(&f);
        if (f.number == 42)
            v->eos = id_from(&f);
    }
    return RR_OK;
}

static int read_normalizer(const struct reader *r, struct rr_cursor c, size_t base,
                           struct rr_vocab *v)
{
    while (rr_cursor_left(&c)) {
        struct field f;
        int rc = read_field(r, &c, base, &f);
        if (!rc && f.number >= 3 && f.number <= 5)
            rc = expect_wire(r, &f, WIRE_VARINT, "normalizer setting");
        if (rc)
            return rc;
        if (f.number == 2 && f.wire == WIRE_BYTES && f.bytes.n)
            return rr_fail(
                r->err, RR_ERR_DATA, "UNSUPPORTED",
                RR_AT_BYTE(r->file, "precompiled_charsmap", f.at),
                "a character map of %zu bytes; only the identity normaliser (LLaMA's) is supported",
                f.bytes.n);
        if (f.number == 3)
            v->add_dummy_prefix = f.value != 0;
        if (f.number == 4)
            v->remove_extra_space = f.value != 0;
        if (f.number == 5 && !f.value)
            return rr_fail(r->err, RR_ERR_DATA, "UNSUPPORTED",
                           RR_AT_BYTE(r->file, "escape_whitespaces", f.at),
                           "is off; only models that write blanks as U+2581 are supported");
    }
    return RR_OK;
}

/* How many there are, before anything is allocated for them; up to where the file is damaged, which
 * is told when that place is read. */
static size_t count_pieces(const struct reader *r, struct rr_cursor c)
{
    const struct reader silent = {.file = r->file};
    struct field f;
    size_t n = 0;
    while (n <= RR_MAX_VOCAB && rr_cursor_left(&c) && read_field(&silent, &c, 0, &f) == RR_OK)
        n += f.number == 1;
    return n;
}

static int check_ids(const struct reader *r, size_t n)
{
    static const char *const names[4] = {"unk", "bos", "eos", "pad"};
    for (int i = 0; i < 4; i++) {
        const int64_t id = r->said->ids[i].value;
        if (r->said->ids[i].given && (id < -1 || id >= (int64_t)n))
            return rr_fail(
                r->err, RR_ERR_DATA, "TOKEN_ID", RR_AT_BYTE(r->file, names[i], r->said->ids[i].at),
                "the %s id is %lld; the vocabulary has 0 to %zu", names[i], (long long)id, n - 1);
    }
    return RR_OK;
}

/* What stands for text that no piece matches must be one piece. */
static int check_unknown(const struct reader *r, const struct rr_vocab *v, size_t at, size_t *first)
{
    char name[32];
    const size_t id = v->n - 1;
    if (v->pieces[id].type != RR_PIECE_UNKNOWN)
        return RR_OK;
    snprintf(name, sizeof name, "piece %zu", id);
    if (*first != SIZE_MAX)
        return rr_fail(r->err, RR_ERR_DATA, "VOCAB", RR_AT_BYTE(r->file, name, at),
                       "'%s' is of type UNKNOWN, as piece %zu is; expected one",
                       rr_show(v->pieces[id].text, v->pieces[id].n).s, *first);
    *first = id;
    return RR_OK;
}

/* ModelProto { pieces = 1, trainer_spec = 2, normalizer_spec = 3 } */
static int read_model(const struct reader *r, struct rr_cursor *c, struct rr_vocab *v)
{
    const size_t n_pieces = count_pieces(r, *c);
    size_t unknown = SIZE_MAX;
    if (n_pieces > RR_MAX_VOCAB)
        return bad(r, "pieces", 0, "more than 2^24 pieces");
    v->pieces = rr_alloc(n_pieces, sizeof *v->pieces);
    if (!v->pieces)
        return rr_fail_memory(r->err, "pieces", n_pieces * sizeof *v->pieces);
    while (rr_cursor_left(c)) {
        struct field f;
        int rc = read_field(r, c, 0, &f);
        if (!rc && f.number >= 1 && f.number <= 3)
            rc = expect_wire(r, &f, WIRE_BYTES, "message");
        if (rc)
            return rc;
        const size_t base = f.wire == WIRE_BYTES ? offset_in(c, 0, &f.bytes) : 0;
        if (f.number == 1) {
            rc = read_piece(r, f.bytes, base, &v->pieces[v->n++]);
            if (!rc)
                rc = check_unknown(r, v, f.at, &unknown);
        } else if (f.number == 2) {
            rc = read_trainer(r, f.bytes, base, v);
        } else if (f.number == 3) {
            rc = read_normalizer(r, f.bytes, base, v);
        }
        if (rc)
            return rc;
    }
    if (v->n && unknown == SIZE_MAX)
        return rr_fail(r->err, RR_ERR_DATA, "VOCAB", RR_AT_BYTE(r->file, "pieces", 0),
                       "no piece is of type UNKNOWN; expected one");
    return v->n ? check_ids(r, v->n) : RR_OK;
}

int rr_sentencepiece_beside(struct rr_tokenizer **t, const struct rr_map *model, const char *file,
                            struct rr_beside *beside, size_t limit, struct rr_error *err)
{
    struct settings said = {0};
    struct reader r = {&said, file, err};
    struct rr_cursor c = rr_cursor_make(model->data, model->size);
    /* The defaults of sentencepiece_model.proto. */
    struct rr_vocab v = {
        .unk = 0, .bos = 1, .eos = 2, .add_dummy_prefix = true, .remove_extra_space = true};
    size_t left_out = 0;
    *t = NULL;
    int rc = model->size ? read_model(&r, &c, &v)
                         : rr_fail(err, RR_ERR_DATA, "TRUNCATED", RR_AT_BYTE(file, "file", 0),
                                   "the file is empty");
    if (!rc && !v.n)
        rc = bad(&r, "pieces", 0, "no pieces; not a SentencePiece model");
    if (!rc && !said.is_bpe)
        rc = rr_fail(err, RR_ERR_DATA, "UNSUPPORTED", RR_AT_OBJECT(file, "model_type"),
                     "is not given, which means unigram; only 2 (BPE) is supported");
    struct rr_piece *pieces = v.pieces;
    const size_t n_pieces = v.n;
    const int bos = v.bos;
    if (!rc && beside)
        rc = rr_beside_add(&v, beside, limit, &left_out, file, err);
    if (!rc)
        rc = rr_tokenizer_open(t, &v, file, err);
    if (!rc)
        rr_tokenizer_name(*t, &(struct rr_special){.bos = bos, .pad = -1});
    if (!rc && said.size.given && said.size.value != (int64_t)n_pieces)
        (void)rr_fail(rr_tokenizer_warn(*t), RR_ERR_DATA, "VOCAB",
                      RR_AT_BYTE(file, "vocab_size", said.size.at),
                      "the trainer made %lld pieces; the file has %zu", (long long)said.size.value,
                      n_pieces);
    if (!rc && left_out)
        (void)rr_fail(rr_tokenizer_warn(*t), RR_ERR_DATA, "VOCAB",
                      RR_AT_OBJECT(beside->file, "added tokens"),
                      "%zu of them have ids that the model does not: they are left out", left_out);
    rr_free(pieces);
    return rc;
}

int rr_tokenizer_from_sentencepiece(struct rr_tokenizer **t, const void *bytes, size_t n,
                                    const char *file, struct rr_error *err)
{
    return rr_sentencepiece_beside(t, &(struct rr_map){bytes, n}, file, NULL, SIZE_MAX, err);
}
