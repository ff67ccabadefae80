/* Hugging Face's tokenizer.json. Everything in it that could change a token is either understood or
 * refused by its path. */
#include <stdio.h>
#include <string.h>
#include "engine/base/json.h"
#include "engine/base/limits.h"
#include "tokenizer/internal.h"

struct reader {
    struct rr_vocab v;
    bool bytes;    /* byte-level */
    bool sentence; /* blanks become U+2581 */
    struct rr_arena arena;
    struct rr_texts texts; /* of pieces as the file spells them */
    int (*merges)[2];
    struct rr_pair_table pairs; /* of merges seen */
    struct rr_buf both;         /* the text that a merge makes */
    const struct rr_json *root;
    size_t n_gaps; /* ids that nothing has */
    size_t mark;   /* bytes of the file before the JSON text */
    const char *file;
    struct rr_error *err;
};

static int bad(const struct reader *r, const struct rr_json *v, const char *path, const char *code,
               const char *what)
{
    return rr_fail(r->err, RR_ERR_DATA, code,
                   RR_AT_BYTE(r->file, path, r->mark + (v ? v->offset : 0)), "%s", what);
}

static int unsupported(const struct reader *r, const struct rr_json *v, const char *path)
{
    struct rr_buf what = {0};
    rr_buf_puts(&what, "is not supported");
    if (v && v->type == RR_JSON_STRING)
        rr_buf_printf(&what, ": '%s'", rr_show(v->text, v->n_text).s);
    int rc = bad(r, v, path, "UNSUPPORTED", what.data ? what.data : "is not supported");
    rr_buf_free(&what);
    return rc;
}

static bool is_null(const struct rr_json *v)
{
    return !v || v->type == RR_JSON_NULL;
}

static bool is_false(const struct rr_json *v)
{
    return is_null(v) || (v->type == RR_JSON_BOOL && !v->truth);
}

static bool is_true(const struct rr_json *v)
{
    return v && v->type == RR_JSON_BOOL && v->truth;
}

/* ---- pieces and merges ---- */

static int add_piece(struct reader *r, const struct rr_json *id, const char *text, size_t n,
                     enum rr_piece_type type, const char *path)
{
    int64_t at;
    if (!rr_json_int(&at, id, 0, RR_MAX_VOCAB - 1))
        return bad(r, id, path, "TOKEN_ID", "an id is no whole number from 0 to 2^24 - 1");
    if (n > RR_MAX_PIECE)
        return bad(r, id, path, "VOCAB", "a piece is longer than 65536 bytes");
    struct rr_piece *p = &r->v.pieces[at];
    if (p->type == RR_PIECE_NORMAL && (p->n != n || memcmp(p->text, text, n) != 0)) {
        struct rr_buf what = {0};
        rr_buf_printf(&what, "'%s' has the id %lld, as '%s' has", rr_show(text, n).s, (long long)at,
                      rr_show(p->text, p->n).s);
        int rc = bad(r, id, path, "VOCAB", what.data ? what.data : "two pieces with one id");
        rr_buf_free(&what);
        return rc;
    }
    *p = (struct rr_piece){.text = text, .n = (uint32_t)n, .type = type};
    return RR_OK;
}

static int64_t largest(int64_t most, const struct rr_json *id)
{
    int64_t v;
    return rr_json_int(&v, id, 0, RR_MAX_VOCAB - 1) && v > most ? v : most;
}

static int read_vocab(struct reader *r, const struct rr_json *vocab, const struct rr_json *added)
{
    int64_t most = -1;
    if (!vocab || vocab->type != RR_JSON_OBJECT)
        return bad(r, vocab, "model.vocab", "VOCAB", "is missing or no object of pieces and ids");
    for (const struct rr_json *p = vocab->child; p; p = p->next)
        most = largest(most, p);
    for (const struct rr_json *a = added ? added->child : NULL; a; a = a->next)
        most = largest(most, rr_json_get(a, "id"));
    r->v.n = (size_t)(most + 1);
    const size_t named = vocab->n_children + (added ? added->n_children : 0);
    if (!r->v.n)
        return bad(r, vocab, "model.vocab", "VOCAB", "has no pieces");
    if (r->v.n > 2 * named + 1024) /* or a few bytes would ask for a gigabyte */
        return bad(r, vocab, "model.vocab", "VOCAB", "leaves out more ids than it names");
    r->v.pieces = rr_arena_zalloc(&r->arena, r->v.n, sizeof *r->v.pieces);
    if (!r->v.pieces)
        return rr_fail_memory(r->err, "vocabulary", r->v.n * sizeof *r->v.pieces);
    for (const struct rr_json *p = vocab->child; p; p = p->next) {
        int rc = add_piece(r, p, p->key, p->n_key, RR_PIECE_NORMAL, "model.vocab");
        if (rc)
            return rc;
    }
    return RR_OK;
}

/* Tokens that stand beside the model's: those that are special never come from a text. */
static int read_added(struct reader *r, const struct rr_json *added)
{
    int i = 0;
    if (is_null(added))
        return RR_OK;
    if (added->type != RR_JSON_ARRAY)
        return bad(r, added, "added_tokens", "VOCAB", "is no array");
    for (const struct rr_json *a = added->child; a; a = a->next, i++) {
        char path[64];
        const struct rr_json *content = rr_json_get(a, "content"),
                             *special = rr_json_get(a, "special");
        snprintf(path, sizeof path, "added_tokens[%d]", i);
        if (!content || content->type != RR_JSON_STRING || !content->n_text)
            return bad(r, a, path, "VOCAB", "its content is missing, empty or no string");
        if (!special || special->type != RR_JSON_BOOL)
            return bad(r, a, path, "VOCAB", "does not say whether it is special");
        static const char *const flags[] = {"single_word", "lstrip", "rstrip"};
        for (size_t f = 0; f < 3 && !special->truth; f++)
            if (!is_false(rr_json_get(a, flags[f])))
                return unsupported(r, a, path);
        if (!special->truth && r->bytes)
            return unsupported(r, a, path);
        int rc = add_piece(r, rr_json_get(a, "id"), content->text, content->n_text,
                           special->truth ? RR_PIECE_CONTROL : RR_PIECE_USER, path);
        if (rc)
            return rc;
    }
    return RR_OK;
}

static int id_of(const struct reader *r, const char *s, size_t n)
{
    return rr_texts_find(&r->texts, s, n, rr_texts_hash(s, n), NULL);
}

/* A token beside the model's may be one of them as well, but under the same id. */
static int check_added(const struct reader *r, const struct rr_json *added)
{
    int i = 0;
    for (const struct rr_json *a = is_null(added) ? NULL : added->child; a; a = a->next, i++) {
        char path[64];
        const struct rr_json *content = rr_json_get(a, "content"), *id = rr_json_get(a, "id");
        const int first = id_of(r, content->text, content->n_text);
        snprintf(path, sizeof path, "added_tokens[%d]", i);
        if (first != (int)id->number)
            return rr_fail(
                r->err, RR_ERR_DATA, "VOCAB", RR_AT_BYTE(r->file, path, r->mark + id->offset),
                "'%s' has the id %d already", rr_show(content->text, content->n_text).s, first);
    }
    return RR_OK;
}

/* What a merge makes is a piece, and no other merge is of the same two. */
static int check_merge(struct reader *r, const struct rr_json *m, size_t i, const char *path)
{
    const struct rr_piece *a = &r->v.pieces[r->merges[i][0]], *b = &r->v.pieces[r->merges[i][1]];
    const uint64_t key = rr_pair_key(r->merges[i][0], r->merges[i][1]);
    rr_buf_clear(&r->both);
    rr_buf_add(&r->both, a->text, a->n);
    rr_buf_add(&r->both, b->text, b->n);
    if (r->both.failed)
        return rr_fail_memory(r->err, "merges", r->both.n);
    if (id_of(r, r->both.data, r->both.n) < 0)
        return rr_fail(r->err, RR_ERR_DATA, "VOCAB", RR_AT_BYTE(r->file, path, r->mark + m->offset),
                       "makes '%s', which is no piece of model.vocab",
                       rr_show(r->both.data, r->both.n).s);
    const int first = rr_pair_find(&r->pairs, key);
    if (first >= 0)
        return rr_fail(r->err, RR_ERR_DATA, "VOCAB", RR_AT_BYTE(r->file, path, r->mark + m->offset),
                       "merges the same two pieces as model.merges[%d]", first);
    rr_pair_add(&r->pairs, key, (int)i, 0);
    return RR_OK;
}

/* "a b", or ["a", "b"]. */
static int read_merge(struct reader *r, const struct rr_json *m, size_t i)
{
    const char *a = NULL, *b = NULL;
    size_t n_a = 0, n_b = 0;
    char path[64];
    snprintf(path, sizeof path, "model.merges[%zu]", i);
    if (m->type == RR_JSON_STRING) {
        const char *blank = memchr(m->text, ' ', m->n_text);
        if (blank && !memchr(blank + 1, ' ', m->n_text - (size_t)(blank + 1 - m->text))) {
            a = m->text;
            n_a = (size_t)(blank - m->text);
            b = blank + 1;
            n_b = m->n_text - n_a - 1;
        }
    } else if (m->type == RR_JSON_ARRAY && m->n_children == 2 && m->child->type == RR_JSON_STRING &&
               m->child->next->type == RR_JSON_STRING) {
        a = m->child->text;
        n_a = m->child->n_text;
        b = m->child->next->text;
        n_b = m->child->next->n_text;
    }
    if (!n_a || !n_b)
        return bad(r, m, path, "VOCAB",
                   "is neither two pieces with a blank between, nor two strings");
    r->merges[i][0] = id_of(r, a, n_a);
    r->merges[i][1] = id_of(r, b, n_b);
    if (r->merges[i][0] < 0 || r->merges[i][1] < 0)
        return bad(r, m, path, "VOCAB", "names what is no piece of model.vocab");
    return check_merge(r, m, i, path);
}

static int read_merges(struct reader *r, const struct rr_json *merges)
{
    size_t i = 0;
    if (!merges || merges->type != RR_JSON_ARRAY)
        return bad(r, merges, "model.merges", "VOCAB", "is missing or no array");
    r->merges = rr_arena_alloc(&r->arena, merges->n_children + 1, sizeof *r->merges);
    if (!r->merges)
        return rr_fail_memory(r->err, "merges", merges->n_children * sizeof *r->merges);
    int rc = rr_pairs_init(&r->pairs, merges->n_children, r->err);
    for (const struct rr_json *m = merges->child; m && !rc; m = m->next, i++)
        rc = read_merge(r, m, i);
    r->v.merges = (const int(*)[2])r->merges;
    r->v.n_merges = i;
    return rc;
}

/* ---- what comes before and behind ---- */

static bool is_blank_sign(const struct rr_json *v)
{
    return rr_json_is_string(v, RR_BLANK);
}

/* A step, or each one of a Sequence; `list` names the sequence's array. */
static int each(struct reader *r, const struct rr_json *v, const char *path, const char *list,
                int (*one)(struct reader *, const struct rr_json *, const char *))
{
    char inner[128];
    int i = 0, rc = RR_OK;
    if (is_null(v))
        return RR_OK;
    if (!rr_json_is_string(rr_json_get(v, "type"), "Sequence"))
        return one(r, v, path);
    const struct rr_json *steps = rr_json_get(v, list);
    if (!steps || steps->type != RR_JSON_ARRAY)
        return bad(r, v, path, "VOCAB", "a Sequence without its steps");
    for (const struct rr_json *s = steps->child; s && !rc; s = s->next, i++) {
        snprintf(inner, sizeof inner, "%s.%s[%d]", path, list, i);
        rc = one(r, s, inner);
    }
    return rc;
}

static int normalizer(struct reader *r, const struct rr_json *v, const char *path)
{
    const struct rr_json *type = rr_json_get(v, "type");
    if (rr_json_is_string(type, "Prepend") && is_blank_sign(rr_json_get(v, "prepend"))) {
        r->v.add_dummy_prefix = true;
        return RR_OK;
    }
    if (rr_json_is_string(type, "Replace") && is_blank_sign(rr_json_get(v, "content")) &&
        rr_json_is_string(rr_json_get(rr_json_get(v, "pattern"), "String"), " ")) {
        r->sentence = true;
        return RR_OK;
    }
    return unsupported(r, type ? type : v, path);
}

static int pre_tokenizer(struct reader *r, const struct rr_json *v, const char *path)
{
    const struct rr_json *type = rr_json_get(v, "type"), *scheme = rr_json_get(v, "prepend_scheme");
    if (rr_json_is_string(type, "Metaspace")) {
        const bool never = rr_json_is_string(scheme, "never");
        if (!is_blank_sign(rr_json_get(v, "replacement")) || !rr_json_get(v, "split") ||
            !is_false(rr_json_get(v, "split")))
            return unsupported(r, type, path);
        /* "first" and "always" differ behind a special token inside a text alone. */
        if (scheme && !never && !rr_json_is_string(scheme, "first") &&
            !rr_json_is_string(scheme, "always"))
            return unsupported(r, scheme, path);
        r->sentence = true;
        r->v.add_dummy_prefix = scheme ? !never : !is_false(rr_json_get(v, "add_prefix_space"));
        return RR_OK;
    }
    if (rr_json_is_string(type, "Digits") && is_true(rr_json_get(v, "individual_digits")) &&
        !r->v.rule) {
        r->v.rule = RR_WORDS_DIGITS;
        return RR_OK;
    }
    if (rr_json_is_string(type, "Split")) {
        const struct rr_json *regex = rr_json_get(rr_json_get(v, "pattern"), "Regex");
        if (!rr_json_is_string(rr_json_get(v, "behavior"), "Isolated") ||
            !is_false(rr_json_get(v, "invert")) || r->v.rule)
            return unsupported(r, type, path);
        r->v.rule = rr_json_is_string(regex, rr_words_pattern(RR_WORDS_LLAMA3)) ? RR_WORDS_LLAMA3
                    : rr_json_is_string(regex, rr_words_pattern(RR_WORDS_GPT2)) ? RR_WORDS_GPT2
                                                                                : RR_WORDS_NONE;
        return r->v.rule ? RR_OK : unsupported(r, regex ? regex : v, path);
    }
    if (rr_json_is_string(type, "ByteLevel")) {
        const bool regex = !rr_json_get(v, "use_regex") || is_true(rr_json_get(v, "use_regex"));
        if (!is_false(rr_json_get(v, "add_prefix_space")) || r->bytes ||
            (regex ? r->v.rule != RR_WORDS_NONE && r->v.rule != RR_WORDS_DIGITS : !r->v.rule))
            return unsupported(r, type, path);
        r->bytes = true;
        r->v.rule = r->v.rule ? r->v.rule : RR_WORDS_GPT2;
        return RR_OK;
    }
    return unsupported(r, type ? type : v, path);
}

static int decoder(struct reader *r, const struct rr_json *v, const char *path)
{
    static const char *const known[] = {"ByteLevel", "Replace", "ByteFallback",
                                        "Fuse",      "Strip",   "Metaspace"};
    const struct rr_json *type = rr_json_get(v, "type");
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (rr_json_is_string(type, known[i]))
            return RR_OK;
    return unsupported(r, type ? type : v, path);
}

static int post_processor(struct reader *r, const struct rr_json *v, const char *path)
{
    const struct rr_json *type = rr_json_get(v, "type");
    if (rr_json_is_string(type, "ByteLevel"))
        return RR_OK;
    if (!rr_json_is_string(type, "TemplateProcessing"))
        return unsupported(r, type ? type : v, path);
    const struct rr_json *single = rr_json_get(v, "single"), *first = single ? single->child : NULL,
                         *id = rr_json_get(rr_json_get(first, "SpecialToken"), "id");
    if (id && id->type == RR_JSON_STRING) {
        r->v.bos = id_of(r, id->text, id->n_text);
        if (r->v.bos < 0)
            return bad(r, id, path, "TOKEN_ID", "names a token that there is none of");
    }
    return RR_OK;
}

/* ---- all of it ---- */

static int check_model(struct reader *r, const struct rr_json *m)
{
    static const char *const none[] = {"dropout", "continuing_subword_prefix",
                                       "end_of_word_suffix"};
    const struct rr_json *type = rr_json_get(m, "type");
    if (!m || m->type != RR_JSON_OBJECT)
        return bad(r, m, "model", "VOCAB", "is missing or no object");
    if (type ? !rr_json_is_string(type, "BPE") : !rr_json_get(m, "merges"))
        return unsupported(r, type ? type : m, "model.type");
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        const struct rr_json *v = rr_json_get(m, none[i]);
        char path[64];
        snprintf(path, sizeof path, "model.%s", none[i]);
        if (!is_null(v) && !rr_json_is_string(v, ""))
            return unsupported(r, v, path);
    }
    r->v.byte_fallback = is_true(rr_json_get(m, "byte_fallback"));
    r->v.whole_words = is_true(rr_json_get(m, "ignore_merges"));
    return RR_OK;
}

/* Byte-level: plain bytes; else the bytes of byte fallback, and the unknown piece. */
static int finish_pieces(struct reader *r, const struct rr_json *model)
{
    const struct rr_json *unk = rr_json_get(model, "unk_token");
    struct rr_buf text = {0};
    int rc = RR_OK, n_bytes = 0;
    for (size_t id = 0; id < r->v.n && !rc; id++) {
        struct rr_piece *p = &r->v.pieces[id];
        if (!p->type) { /* an id that nothing has */
            p->type = RR_PIECE_CONTROL;
            r->n_gaps++;
        }
        if (p->type != RR_PIECE_NORMAL)
            continue;
        if (!r->bytes) {
            if (r->v.byte_fallback && rr_piece_byte(p) >= 0) {
                p->type = RR_PIECE_BYTE;
                n_bytes++; /* no two have the same text */
            }
            continue;
        }
        rr_buf_clear(&text);
        if (!rr_bytelevel_text(&text, p->text, p->n))
            rc = rr_vocab_bad_piece(r->err, r->file, (int)id, p,
                                    "has a character that stands for no byte");
        p->text = rr_arena_copy(&r->arena, text.data ? text.data : "", text.n);
        p->n = (uint32_t)text.n;
        if (!rc && (text.failed || !p->text))
            rc = rr_fail_memory(r->err, "vocabulary", text.n);
    }
    rr_buf_free(&text);
    if (!rc && !r->bytes && r->v.byte_fallback && n_bytes < 256)
        return bad(r, rr_json_get(model, "byte_fallback"), "model.byte_fallback", "VOCAB",
                   "is on, but model.vocab has not all of <0x00> to <0xFF>");
    if (!rc && !is_null(unk) && !r->bytes) {
        r->v.unk = unk->type == RR_JSON_STRING ? id_of(r, unk->text, unk->n_text) : -1;
        if (r->v.unk < 0)
            return bad(r, unk, "model.unk_token", "TOKEN_ID", "is no piece");
        r->v.pieces[r->v.unk].type = RR_PIECE_UNKNOWN;
    }
    return rc;
}

static void find_eos(struct reader *r, const char *eos)
{
    static const char *const names[] = {"</s>", "<|end_of_text|>", "<|endoftext|>", "<|eot_id|>",
                                        "<|im_end|>"};
    r->v.eos = eos ? id_of(r, eos, strlen(eos)) : -1;
    for (size_t i = 0; i < sizeof names / sizeof names[0] && r->v.eos < 0; i++)
        r->v.eos = id_of(r, names[i], strlen(names[i]));
}

static int read_all(struct reader *r, const char *eos)
{
    const struct rr_json *model = rr_json_get(r->root, "model"),
                         *added = rr_json_get(r->root, "added_tokens");
    int rc = check_model(r, model);
    if (!rc)
        rc = each(r, rr_json_get(r->root, "normalizer"), "normalizer", "normalizers", normalizer);
    if (!rc)
        rc = each(r, rr_json_get(r->root, "pre_tokenizer"), "pre_tokenizer", "pretokenizers",
                  pre_tokenizer);
    if (!rc && r->bytes == r->sentence)
        rc = bad(r, rr_json_get(r->root, "pre_tokenizer"), "pre_tokenizer", "UNSUPPORTED",
                 "neither byte-level nor with blanks as U+2581, or both");
    if (!rc && !r->bytes && (r->v.rule || !r->v.byte_fallback || r->v.whole_words))
        rc = bad(r, model, "model", "UNSUPPORTED",
                 "blanks as U+2581 without byte fallback, or with words or ignore_merges");
    if (!rc)
        rc = read_vocab(r, rr_json_get(model, "vocab"), added);
    if (!rc)
        rc = read_added(r, added);
    if (!rc)
        rc = rr_texts_of(&r->texts, r->v.pieces, r->v.n, r->err);
    if (!rc)
        rc = check_added(r, added);
    if (!rc)
        rc = read_merges(r, rr_json_get(model, "merges"));
    if (!rc)
        rc = each(r, rr_json_get(r->root, "decoder"), "decoder", "decoders", decoder);
    if (!rc)
        rc = each(r, rr_json_get(r->root, "post_processor"), "post_processor", "processors",
                  post_processor);
    if (!rc)
        find_eos(r, eos);
    return rc ? rc : finish_pieces(r, model);
}

/* Everything that is wrong has a line and a column; what is found when the pieces are indexed is
 * about the vocabulary. */
static void point(struct rr_error *err, const struct reader *r, const char *s, size_t n)
{
    const struct rr_json *vocab = rr_json_get(rr_json_get(r->root, "model"), "vocab");
    char object[sizeof err->object];
    size_t start = r->mark;
    if (err->offset < 0) {
        snprintf(object, sizeof object, "model.vocab%s%.100s", err->object[0] ? ": " : "",
                 err->object);
        memcpy(err->object, object, sizeof object);
        err->offset = (long long)(r->mark + (vocab ? vocab->offset : 0));
    }
    err->line = 1;
    for (size_t i = r->mark; i < n && (long long)i < err->offset; i++)
        if (s[i] == '\n') {
            err->line++;
            start = i + 1;
        }
    err->column = err->offset - (long long)start + 1;
}

int rr_tokenizer_from_json(struct rr_tokenizer **t, const void *bytes, size_t n, const char *file,
                           const char *eos, struct rr_error *err)
{
    const size_t mark = n >= 3 && memcmp(bytes, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    struct reader r = {
        .v = {.unk = -1, .bos = -1, .eos = -1}, .file = file, .mark = mark, .err = err};
    struct rr_json *root = NULL;
    *t = NULL;
    int rc = rr_json_parse(&root, &r.arena, (const char *)bytes + mark, n - mark, file, mark, err);
    r.root = root;
    if (!rc)
        rc = read_all(&r, eos);
    if (!rc)
        rc = rr_tokenizer_open(t, &r.v, file, err);
    if (rc == RR_ERR_DATA && err)
        point(err, &r, bytes, n);
    if (!rc && r.n_gaps)
        (void)rr_fail(rr_tokenizer_warn(*t), RR_ERR_DATA, "VOCAB",
                      RR_AT_OBJECT(file, "model.vocab"), "%zu of %zu ids belong to no piece",
                      r.n_gaps, r.v.n);
    rr_pairs_free(&r.pairs);
    rr_buf_free(&r.both);
    rr_texts_free(&r.texts);
    rr_arena_free(&r.arena);
    return rc;
}
