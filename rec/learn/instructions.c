/* See instructions.h. */
#include "rec/learn/instructions.h"

#include "engine/base/file.h"
#include "engine/base/json.h"
#include "engine/base/rng.h"
#include "rec/data/text.h"

#define VALID_ONE_OF 20

void rr_instructions_free(struct rr_instructions *s)
{
    rr_free(s->ids);
    rr_free(s->all);
    rr_buf_free(&s->text);
    rr_encoding_free(&s->encoding);
    *s = (struct rr_instructions){0};
}

/* s->encoding = the tokens of s->text. */
static int encode(struct rr_instructions *s, const struct rr_tokenizer *t, struct rr_error *err)
{
    if (s->text.failed)
        return rr_fail_memory(err, "instruction", s->text.n);
    return rr_tokenizer_encode(t, &s->encoding, s->text.data, s->text.n, err);
}

static void spell_question(struct rr_buf *out, const struct rr_instruction_text *x)
{
    rr_buf_clear(out);
    rr_buf_add(out, x->system, x->n_system);
    if (x->n_system)
        rr_buf_puts(out, "\n\n");
    rr_buf_add(out, x->user, x->n_user);
    rr_buf_puts(out, "\n");
}

static bool put(struct rr_instructions *s, const int *ids, size_t n)
{
    if (!rr_grow(&s->ids, &s->cap_ids, s->n_ids + n, sizeof *s->ids))
        return false;
    rr_copy(s->ids + s->n_ids, ids, n * sizeof *s->ids);
    s->n_ids += n;
    return true;
}

int rr_instructions_add(struct rr_instructions *s, const struct rr_tokenizer *t,
                        const struct rr_instruction_text *x, int n_context, bool valid,
                        const struct rr_where *where, struct rr_error *err)
{
    const int bos = rr_tokenizer_bos(t), eos = rr_tokenizer_eos(t);
    const size_t from = s->n_ids;
    if (!x->n_answer)
        return rr_fail(err, RR_ERR_DATA, "ANSWER", where, "the answer is empty");
    spell_question(&s->text, x);
    int rc = encode(s, t, err);
    bool room = rc || ((bos < 0 || put(s, &bos, 1)) && put(s, s->encoding.ids, s->encoding.n));
    const size_t alone = s->n_ids - from;
    rr_buf_add(&s->text, x->answer, x->n_answer);
    if (!rc && room)
        rc = encode(s, t, err);
    if (rc || !room)
        return rc ? rc : rr_fail_memory(err, "instructions", s->n_ids * sizeof *s->ids);
    /* A token may reach over the end of the question: then it belongs to the answer. */
    const size_t first = bos >= 0;
    size_t same = 0;
    while (first + same < alone && same < s->encoding.n &&
           s->ids[from + first + same] == s->encoding.ids[same])
        same++;
    s->n_ids = from;
    if (!(first + same))
        return rr_fail(err, RR_ERR_DATA, "QUESTION", where,
                       "nothing of the question stands before the answer: this vocabulary has "
                       "no beginning of text, and one token spells both");
    s->n_ids = from + first + same;
    room = put(s, s->encoding.ids + same, s->encoding.n - same) && (eos < 0 || put(s, &eos, 1)) &&
           rr_grow(&s->all, &s->cap, s->n + 1, sizeof *s->all);
    if (!room)
        return rr_fail_memory(err, "instructions", s->n_ids * sizeof *s->ids);
    const size_t n = s->n_ids - from;
    if (n > (size_t)n_context) {
        s->n_ids = from;
        return rr_fail(
            err, RR_ERR_DATA, "TOO_LONG", where,
            "question and answer take %zu tokens; the context holds %d: make the instructions "
            "with less history (recrank instruct --max-history), or raise it "
            "(--context)",
            n, n_context);
    }
    s->all[s->n++] = (struct rr_instruction_tokens){from, (int)n, (int)(first + same), valid};
    s->n_valid += valid;
    s->longest = (int)n > s->longest ? (int)n : s->longest;
    return RR_OK;
}

/* ---- dialects -----------------------------------------------------------------------------------
 */

struct line {
    const char *path;
    long long number;
    struct rr_error *err;
};
#define LINE(l) RR_AT_LINE((l)->path, NULL, (l)->number, 0)

static int take_string(const struct line *l, const struct rr_json *v, const char *name,
                       const char **s, size_t *n)
{
    if (!v || v->type != RR_JSON_STRING)
        return rr_fail(l->err, RR_ERR_DATA, "DIALECT", LINE(l), "\"%s\" is %s; expected a string",
                       name, v ? rr_json_type_name(v->type) : "missing");
    *s = v->text;
    *n = v->n_text;
    return RR_OK;
}

/* Which part of an instruction a role stands for; -1: none. */
static int part_of(const struct rr_json *role)
{
    static const char *const names[][2] = {
        {"system", "system"}, {"user", "human"}, {"assistant", "gpt"}};
    for (int i = 0; i < 3; i++)
        if (rr_json_is_string(role, names[i][0]) || rr_json_is_string(role, names[i][1]))
            return i;
    return -1;
}

/* A list of messages: role and text under the names that the dialect gives them. */
static int take_messages(const struct line *l, const struct rr_json *list, const char *role,
                         const char *text, struct rr_instruction_text *x)
{
    const char **strings[] = {&x->system, &x->user, &x->answer};
    size_t *sizes[] = {&x->n_system, &x->n_user, &x->n_answer};
    int last = -1;
    if (list->type != RR_JSON_ARRAY)
        return rr_fail(l->err, RR_ERR_DATA, "DIALECT", LINE(l), "the messages are no array");
    for (const struct rr_json *m = list->child; m; m = m->next) {
        const struct rr_json *who = rr_json_get(m, role);
        const int part = part_of(who);
        if (part < 0)
            return rr_fail(l->err, RR_ERR_DATA, "ROLE", LINE(l),
                           "a message of '%s'; expected system, user (human) or assistant (gpt)",
                           who && who->type == RR_JSON_STRING ? rr_show(who->text, who->n_text).s
                                                              : "nobody");
        if (part <= last)
            return rr_fail(l->err, RR_ERR_DATA, "ROLE", LINE(l),
                           "expected at most one system message, then one of the user and one of "
                           "the assistant; conversations of several turns are not read");
        int rc = take_string(l, rr_json_get(m, text), text, strings[part], sizes[part]);
        if (rc)
            return rc;
        last = part;
    }
    if (last != 2 || !x->user)
        return rr_fail(l->err, RR_ERR_DATA, "ROLE", LINE(l),
                       "a question of the user and an answer of the assistant are needed");
    return RR_OK;
}

/* Fills x from one object, in whichever dialect it is. */
static int take_instruction(const struct line *l, const struct rr_json *root,
                            struct rr_instruction_text *x)
{
    static const char *const not_read[] = {"history", "system"};
    const struct rr_json *messages = rr_json_get(root, "messages"),
                         *turns = rr_json_get(root, "conversations"),
                         *system = rr_json_get(root, "system"), *input;
    int rc = RR_OK;
    if (messages)
        return take_messages(l, messages, "role", "content", x);
    if (turns) {
        rc = take_messages(l, turns, "from", "value", x);
        if (!rc && system && x->system)
            return rr_fail(l->err, RR_ERR_DATA, "ROLE", LINE(l),
                           "a system message and a \"system\"; expected one of them");
        return rc || !system ? rc : take_string(l, system, "system", &x->system, &x->n_system);
    }
    if (!rr_json_get(root, "instruction"))
        return rr_fail(l->err, RR_ERR_DATA, "DIALECT", LINE(l),
                       "expected an object with \"messages\", \"conversations\" or "
                       "\"instruction\"");
    for (size_t i = 0; i < sizeof not_read / sizeof not_read[0]; i++) {
        const struct rr_json *v = rr_json_get(root, not_read[i]);
        if (v && v->type != RR_JSON_NULL && v->n_text + v->n_children)
            return rr_fail(l->err, RR_ERR_DATA, "DIALECT", LINE(l),
                           "\"%s\" beside \"instruction\" is not read: write it as messages",
                           not_read[i]);
    }
    /* alpaca: the task, and what it is about where it is about something. */
    rc = take_string(l, rr_json_get(root, "instruction"), "instruction", &x->user, &x->n_user);
    if (!rc)
        rc = take_string(l, rr_json_get(root, "output"), "output", &x->answer, &x->n_answer);
    input = rr_json_get(root, "input");
    if (!rc && input) {
        x->system = x->user;
        x->n_system = x->n_user;
        rc = take_string(l, input, "input", &x->user, &x->n_user);
        if (!x->n_user) {
            x->user = x->system;
            x->n_user = x->n_system;
            x->n_system = 0;
        }
    }
    return rc;
}

bool rr_instructions_validates(const char *user, size_t n, uint64_t seed)
{
    struct rr_rng rng;
    uint64_t who = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < n; i++)
        who = (who ^ (unsigned char)user[i]) * 1099511628211u;
    rr_rng_stream(&rng, seed, who);
    return rr_rng_below(&rng, VALID_ONE_OF) == 0;
}

/* All lines of a user go one way; without a user, each line goes its own. */
static int deal(bool *valid, const struct line *l, const struct rr_json *root, uint64_t seed)
{
    const struct rr_json *user = rr_json_get(root, "user");
    const long long line = l->number;
    int64_t id;
    if (user && user->type != RR_JSON_NULL && user->type != RR_JSON_STRING &&
        !rr_json_int(&id, user, INT64_MIN, INT64_MAX))
        return rr_fail(l->err, RR_ERR_DATA, "USER", LINE(l),
                       "\"user\" is %s; expected a string or a whole number",
                       user->type == RR_JSON_NUMBER ? user->text : rr_json_type_name(user->type));
    *valid = user && user->n_text
                 ? rr_instructions_validates(user->text, user->n_text, seed)
                 : rr_instructions_validates((const char *)&line, sizeof line, seed);
    return RR_OK;
}

static int read_line(struct rr_instructions *s, const struct line *l, const char *text, size_t n,
                     const struct rr_tokenizer *t, int n_context, uint64_t seed)
{
    struct rr_arena arena = {0};
    struct rr_json *root;
    struct rr_instruction_text x = {0};
    bool valid = false;
    int rc = rr_json_parse(&root, &arena, text, n, l->path, 0, l->err);
    if (rc == RR_ERR_DATA && l->err) { /* offsets are of the line here */
        l->err->line = l->number;
        l->err->column = l->err->offset + 1;
        l->err->offset = -1;
    }
    if (!rc)
        rc = take_instruction(l, root, &x);
    if (!rc)
        rc = deal(&valid, l, root, seed);
    if (!rc)
        rc = rr_instructions_add(s, t, &x, n_context, valid, LINE(l), l->err);
    rr_arena_free(&arena);
    return rc;
}

int rr_instructions_parse(struct rr_instructions *s, const char *bytes, size_t n_bytes,
                          const char *path, const struct rr_tokenizer *t, int n_context,
                          uint64_t seed, struct rr_error *err)
{
    struct rr_lines lines = {0};
    const char *text;
    size_t n;
    int more = 0, rc = rr_lines_open(&lines, bytes, n_bytes, path, err);
    while (!rc && (more = rr_lines_next(&lines, &text, &n, err)) > 0) {
        const struct line l = {path, lines.number, err};
        if (n)
            rc = read_line(s, &l, text, n, t, n_context, seed);
    }
    if (!rc)
        rc = more;
    if (!rc && !s->n)
        rc = rr_fail(err, RR_ERR_DATA, "NO_INSTRUCTIONS", RR_AT_FILE(path),
                     "the file holds no instruction");
    return rc;
}

int rr_instructions_read(struct rr_instructions *s, const char *path, const struct rr_tokenizer *t,
                         int n_context, uint64_t seed, struct rr_error *err)
{
    struct rr_map map;
    int rc = rr_map_open(&map, path, err);
    if (rc)
        return rc;
    rc = rr_instructions_parse(s, (const char *)map.data, map.size, path, t, n_context, seed, err);
    rr_map_close(&map);
    return rc;
}
