/* A vocabulary as the files that Hugging Face folders hold: SentencePiece's tokenizer.model, or
 * tokenizer.json where merges are listed. The readers beside this one read the same back. */
#include <string.h>
#include "engine/base/json.h"
#include "tokenizer/internal.h"

/* ---- tokenizer.model: protobuf ---- */

static void put_varint(struct rr_buf *b, uint64_t v)
{
    for (; v > 127; v >>= 7)
        rr_buf_add(b, &(char){(char)(v | 128)}, 1);
    rr_buf_add(b, &(char){(char)v}, 1);
}

/* A number under a field's number; -1 is all ones, as protobuf wants it. */
static void put_number(struct rr_buf *b, uint32_t field, int v)
{
    put_varint(b, (uint64_t)field << 3);
    put_varint(b, (uint64_t)(int64_t)v);
}

static void put_bytes(struct rr_buf *b, uint32_t field, const char *s, size_t n)
{
    put_varint(b, (uint64_t)field << 3 | 2);
    put_varint(b, n);
    rr_buf_add(b, s, n);
}

/* A message under a field's number; it is empty again then. */
static void put_message(struct rr_buf *b, uint32_t field, struct rr_buf *message)
{
    put_bytes(b, field, message->data ? message->data : "", message->n);
    b->failed = b->failed || message->failed;
    rr_buf_clear(message);
}

static void put_score(struct rr_buf *b, float score)
{
    uint32_t bits;
    memcpy(&bits, &score, sizeof bits);
    const char c[5] = {2 << 3 | 5, (char)bits, (char)(bits >> 8), (char)(bits >> 16),
                       (char)(bits >> 24)};
    rr_buf_add(b, c, sizeof c);
}

static void write_sentencepiece(struct rr_buf *out, const struct rr_vocab *v)
{
    enum { BPE = 2 };
    struct rr_buf m = {0};
    for (size_t i = 0; i < v->n; i++) {
        put_bytes(&m, 1, v->pieces[i].text, v->pieces[i].n);
        put_score(&m, v->pieces[i].score);
        put_number(&m, 3, (int)v->pieces[i].type);
        put_message(out, 1, &m);
    }
    put_number(&m, 3, BPE);
    put_number(&m, 4, (int)v->n);
    put_number(&m, 35, v->byte_fallback);
    put_number(&m, 40, v->unk);
    put_number(&m, 41, v->bos);
    put_number(&m, 42, v->eos);
    put_number(&m, 43, -1); /* no padding */
    put_message(out, 2, &m);
    put_bytes(&m, 1, "identity", strlen("identity"));
    put_number(&m, 3, v->add_dummy_prefix);
    put_number(&m, 4, v->remove_extra_space);
    put_number(&m, 5, 1); /* blanks are U+2581 */
    put_message(out, 3, &m);
    rr_buf_free(&m);
}

/* ---- tokenizer.json ---- */

/* A piece's text as the file spells it, into `text`. */
static void spell(struct rr_buf *text, const struct rr_vocab *v, int id)
{
    const struct rr_piece *p = &v->pieces[id];
    rr_buf_clear(text);
    if (v->rule && p->type == RR_PIECE_NORMAL)
        rr_bytelevel_spell(text, p->text, p->n);
    else
        rr_buf_add(text, p->text, p->n);
}

static void put_piece(struct rr_buf *out, struct rr_buf *text, const struct rr_vocab *v, int id)
{
    spell(text, v, id);
    rr_json_add_string(out, text->data ? text->data : "", text->n);
    out->failed = out->failed || text->failed;
}

static void put_added(struct rr_buf *out, struct rr_buf *text, const struct rr_vocab *v)
{
    const char *comma = "";
    rr_buf_puts(out, "\"added_tokens\":[");
    for (size_t i = 0; i < v->n; i++) {
        const enum rr_piece_type type = v->pieces[i].type;
        /* An id that nothing has is written as none. */
        if ((type != RR_PIECE_CONTROL && type != RR_PIECE_USER && type != RR_PIECE_UNKNOWN) ||
            !v->pieces[i].n)
            continue;
        rr_buf_printf(out, "%s\n{\"id\":%zu,\"content\":", comma, i);
        put_piece(out, text, v, (int)i);
        rr_buf_printf(out,
                      ",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
                      "\"normalized\":false,\"special\":%s}",
                      type == RR_PIECE_USER ? "false" : "true");
        comma = ",";
    }
    rr_buf_puts(out, "],\n");
}

/* What is done to a text before it is merged, and behind. */
static void put_steps(struct rr_buf *out, const struct rr_vocab *v)
{
    static const char byte_level[] =
        "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":";
    if (!v->rule) {
        rr_buf_printf(
            out,
            "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[%s"
            "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},"
            "\"content\":\"" RR_BLANK "\"}]},\n\"pre_tokenizer\":null,\n"
            "\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\","
            "\"pattern\":{\"String\":\"" RR_BLANK "\"},\"content\":\" \"},"
            "{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"}%s]},\n",
            v->add_dummy_prefix ? "{\"type\":\"Prepend\",\"prepend\":\"" RR_BLANK "\"}," : "",
            v->add_dummy_prefix ? ",{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}"
                                : "");
        return;
    }
    rr_buf_puts(out, "\"normalizer\":null,\n\"pre_tokenizer\":");
    if (v->rule == RR_WORDS_GPT2) {
        rr_buf_printf(out, "%strue}", byte_level);
    } else if (v->rule == RR_WORDS_DIGITS) {
        rr_buf_printf(out,
                      "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\","
                      "\"individual_digits\":true},%strue}]}",
                      byte_level);
    } else {
        const char *pattern = rr_words_pattern(v->rule);
        rr_buf_puts(out, "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\","
                         "\"pattern\":{\"Regex\":");
        rr_json_add_string(out, pattern, strlen(pattern));
        rr_buf_printf(out, "},\"behavior\":\"Isolated\",\"invert\":false},%sfalse}]}", byte_level);
    }
    rr_buf_printf(out, ",\n\"decoder\":%strue},\n", byte_level);
}

/* BOS before every text. */
static void put_template(struct rr_buf *out, struct rr_buf *text, const struct rr_vocab *v)
{
    if (v->bos < 0) {
        rr_buf_puts(out, "\"post_processor\":null,\n");
        return;
    }
    rr_buf_puts(out, "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":["
                     "{\"SpecialToken\":{\"id\":");
    put_piece(out, text, v, v->bos);
    rr_buf_puts(out, ",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"pair\":[],"
                     "\"special_tokens\":{");
    put_piece(out, text, v, v->bos);
    rr_buf_puts(out, ":{\"id\":");
    put_piece(out, text, v, v->bos);
    rr_buf_printf(out, ",\"ids\":[%d],\"tokens\":[", v->bos);
    put_piece(out, text, v, v->bos);
    rr_buf_puts(out, "]}}},\n");
}

static void put_model(struct rr_buf *out, struct rr_buf *text, const struct rr_vocab *v)
{
    const char *comma = "";
    rr_buf_puts(out, "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":");
    if (v->unk >= 0 && !v->rule)
        put_piece(out, text, v, v->unk);
    else
        rr_buf_puts(out, "null");
    rr_buf_printf(out, ",\"fuse_unk\":%s,\"byte_fallback\":%s,\"ignore_merges\":%s,\n\"vocab\":{",
                  v->rule ? "false" : "true", v->byte_fallback ? "true" : "false",
                  v->whole_words ? "true" : "false");
    /* The added ones too: Hugging Face's library numbers those that are not here anew, whatever id
     * is said beside them. */
    for (size_t i = 0; i < v->n; i++) {
        if (!v->pieces[i].n)
            continue; /* an id that nothing has */
        rr_buf_printf(out, "%s\n", comma);
        put_piece(out, text, v, (int)i);
        rr_buf_printf(out, ":%zu", i);
        comma = ",";
    }
    rr_buf_puts(out, "},\n\"merges\":[");
    for (size_t i = 0; i < v->n_merges; i++) {
        rr_buf_puts(out, i ? ",\n[" : "\n[");
        put_piece(out, text, v, v->merges[i][0]);
        rr_buf_puts(out, ",");
        put_piece(out, text, v, v->merges[i][1]);
        rr_buf_puts(out, "]");
    }
    rr_buf_puts(out, "]}}\n");
}

static void write_json(struct rr_buf *out, const struct rr_vocab *v)
{
    struct rr_buf text = {0};
    rr_buf_puts(out, "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\n");
    put_added(out, &text, v);
    put_steps(out, v);
    put_template(out, &text, v);
    put_model(out, &text, v);
    rr_buf_free(&text);
}

const char *rr_tokenizer_write(struct rr_buf *out, const struct rr_vocab *v)
{
    if (v->merges) {
        write_json(out, v);
        return "tokenizer.json";
    }
    if (v->rule)
        return NULL;
    write_sentencepiece(out, v);
    return "tokenizer.model";
}
