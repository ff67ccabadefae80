/* See chat.h. */
#include "tokenizer/chat.h"

#include <stdio.h>
#include <string.h>
#include "tokenizer/internal.h"

static const char *const names[RR_N_CHATS] = {"none", "llama2", "llama3", "chatml", "zephyr"};

const char *rr_chat_name(enum rr_chat c)
{
    return names[c];
}

int rr_chat_from_name(const char *name)
{
    for (int i = 0; i < RR_N_CHATS; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return -1;
}

/* ---- recognising --------------------------------------------------------------------------------
 */

/* Where s stands in text[0..n), or NULL. */
static const char *find(const char *text, size_t n, const char *s)
{
    const size_t len = strlen(s);
    for (const char *end = text + n; (size_t)(end - text) >= len; text++) {
        text = memchr(text, s[0], (size_t)(end - text) - len + 1);
        if (!text)
            return NULL;
        if (memcmp(text, s, len) == 0)
            return text;
    }
    return NULL;
}

static bool holds(const char *text, size_t n, const char *s)
{
    return find(text, n, s) != NULL;
}

/* Whether a user's turn ends in EOS: others (Phi-3, Falcon-3, Tulu) begin turns with the same marks
 * and end them otherwise. */
static bool user_turn_ends_in_eos(const char *text, size_t n)
{
    static const char mark[] = "<|user|>";
    const char *from = find(text, n, mark);
    if (!from)
        return false;
    from += sizeof mark - 1;
    n -= (size_t)(from - text);
    const char *next = find(from, n, "<|"), *block = find(from, n, "%}");
    const size_t to_next = next ? (size_t)(next - from) : n,
                 to_block = block ? (size_t)(block - from) : n;
    n = to_next < to_block ? to_next : to_block;
    return holds(from, n, "eos_token") || holds(from, n, "</s>");
}

int rr_chat_recognise(enum rr_chat *c, const char *text, size_t n, const struct rr_where *where,
                      struct rr_error *err)
{
    const bool is[RR_N_CHATS] = {
        [RR_CHAT_LLAMA2] = holds(text, n, "[INST]") && holds(text, n, "<<SYS>>"),
        [RR_CHAT_LLAMA3] = holds(text, n, "<|start_header_id|>") && holds(text, n, "<|eot_id|>"),
        [RR_CHAT_CHATML] = holds(text, n, "<|im_start|>") && holds(text, n, "<|im_end|>"),
        [RR_CHAT_ZEPHYR] = holds(text, n, "<|assistant|>") && user_turn_ends_in_eos(text, n)};
    static const char supported[] =
        "supported are LLaMA-2's ([INST] with <<SYS>>), LLaMA-3's (<|start_header_id|>, "
        "<|eot_id|>), ChatML (<|im_start|>, <|im_end|>) and Zephyr's (<|user|> ... EOS, "
        "<|assistant|>); --chat=NAME applies one of " RR_CHAT_NAMES " all the same";
    *c = RR_CHAT_NONE;
    for (int i = 1; i < RR_N_CHATS; i++) {
        if (is[i] && *c)
            return rr_fail(err, RR_ERR_DATA, "CHAT_TEMPLATE", where,
                           "the chat template has marks of both %s and %s; %s", names[*c], names[i],
                           supported);
        *c = is[i] ? (enum rr_chat)i : *c;
    }
    return *c ? RR_OK
              : rr_fail(err, RR_ERR_DATA, "CHAT_TEMPLATE", where,
                        "the chat template is not known ('%s'); %s", rr_show(text, n).s, supported);
}

/* ---- the templates ------------------------------------------------------------------------------
 */

enum what {
    DONE,
    TEXT,
    MARK, /* a control token */
    SOFT, /* a control token where the vocabulary has it, else text */
    ENDS, /* EOS */
    SYSTEM,
    USER,
    BLANK, /* between a turn's mark and an answer that has begun */
    ANSWER
};

struct step {
    enum what what;
    const char *text;
    bool system; /* only where there is a system message */
};

static const struct step scripts[RR_N_CHATS][RR_CHAT_STEPS] = {
    [RR_CHAT_NONE] = {{SYSTEM, NULL, true},
                      {TEXT, "\n\n", true},
                      {USER, NULL, false},
                      {TEXT, "\n", false},
                      {ANSWER, NULL, false}},
    [RR_CHAT_LLAMA2] = {{SOFT, "[INST]", false},
                        {TEXT, " ", false},
                        {TEXT, "<<SYS>>\n", true},
                        {SYSTEM, NULL, true},
                        {TEXT, "\n<</SYS>>\n\n", true},
                        {USER, NULL, false},
                        {TEXT, " ", false},
                        {SOFT, "[/INST]", false},
                        {BLANK, " ", false},
                        {ANSWER, NULL, false}},
    [RR_CHAT_LLAMA3] = {{MARK, "<|start_header_id|>", true},
                        {TEXT, "system", true},
                        {MARK, "<|end_header_id|>", true},
                        {TEXT, "\n\n", true},
                        {SYSTEM, NULL, true},
                        {MARK, "<|eot_id|>", true},
                        {MARK, "<|start_header_id|>", false},
                        {TEXT, "user", false},
                        {MARK, "<|end_header_id|>", false},
                        {TEXT, "\n\n", false},
                        {USER, NULL, false},
                        {MARK, "<|eot_id|>", false},
                        {MARK, "<|start_header_id|>", false},
                        {TEXT, "assistant", false},
                        {MARK, "<|end_header_id|>", false},
                        {TEXT, "\n\n", false},
                        {ANSWER, NULL, false}},
    [RR_CHAT_CHATML] = {{MARK, "<|im_start|>", true},
                        {TEXT, "system\n", true},
                        {SYSTEM, NULL, true},
                        {MARK, "<|im_end|>", true},
                        {TEXT, "\n", true},
                        {MARK, "<|im_start|>", false},
                        {TEXT, "user\n", false},
                        {USER, NULL, false},
                        {MARK, "<|im_end|>", false},
                        {TEXT, "\n", false},
                        {MARK, "<|im_start|>", false},
                        {TEXT, "assistant\n", false},
                        {ANSWER, NULL, false}},
    [RR_CHAT_ZEPHYR] = {{SOFT, "<|system|>", true},
                        {TEXT, "\n", true},
                        {SYSTEM, NULL, true},
                        {ENDS, NULL, true},
                        {TEXT, "\n", true},
                        {SOFT, "<|user|>", false},
                        {TEXT, "\n", false},
                        {USER, NULL, false},
                        {ENDS, NULL, false},
                        {TEXT, "\n", false},
                        {SOFT, "<|assistant|>", false},
                        {TEXT, "\n", false},
                        {ANSWER, NULL, false}},
};

/* The token of a mark, or -1. One that is not a control token is as good where plain text cannot
 * spell it: in byte-level vocabularies. */
static int find_mark(const struct rr_tokenizer *t, const char *text)
{
    const size_t n = strlen(text);
    for (int id = 0; id < t->n; id++) {
        const struct rr_piece *p = &t->pieces[id];
        if ((p->type == RR_PIECE_CONTROL || (p->type == RR_PIECE_USER && t->rule)) && p->n == n &&
            memcmp(p->text, text, n) == 0)
            return id;
    }
    return -1;
}

static int lacks(enum rr_chat chat, const char *mark, struct rr_error *err)
{
    return rr_fail(err, RR_ERR_DATA, "CHAT_TEMPLATE", RR_AT_OBJECT(NULL, mark),
                   "the %s chat template needs this as a control token, and the vocabulary has no "
                   "such: the tokenizer is not the tuned model's, or the template is another",
                   names[chat]);
}

/* What the text before the answer is, from the last message or token on. */
static void find_lead(struct rr_chat_frame *f)
{
    size_t n = 0;
    for (int i = 0; i < RR_CHAT_STEPS; i++) {
        const struct step *s = &scripts[f->chat][i];
        if (s->what == SYSTEM || s->what == USER || f->ids[i] >= 0)
            n = 0;
        else if (s->text)
            n += (size_t)snprintf(f->lead + n, sizeof f->lead - n, "%s", s->text);
    }
    f->lead[n] = 0;
}

int rr_chat_open(struct rr_chat_frame *f, enum rr_chat chat, const struct rr_tokenizer *t,
                 struct rr_error *err)
{
    static const char *const first[RR_N_CHATS] = {
        [RR_CHAT_LLAMA2] = "<s>", [RR_CHAT_LLAMA3] = "<|begin_of_text|>"};
    static const char *const last[RR_N_CHATS] = {
        [RR_CHAT_LLAMA3] = "<|eot_id|>", [RR_CHAT_CHATML] = "<|im_end|>"};
    *f = (struct rr_chat_frame){.chat = chat, .tokenizer = t, .bos = t->bos, .end = t->eos};
    for (int i = 0; i < RR_CHAT_STEPS; i++) {
        const struct step *s = &scripts[chat][i];
        f->ids[i] = s->what == MARK || s->what == SOFT ? find_mark(t, s->text)
                    : s->what == ENDS                  ? t->eos
                                                       : -1;
        if (f->ids[i] < 0 && (s->what == MARK || s->what == ENDS))
            return lacks(chat, s->text ? s->text : "EOS", err);
    }
    find_lead(f);
    /* The first two say BOS themselves; the others leave it to the tokenizer, and one whose BOS is
     * their own mark puts none before it. */
    if (first[chat] && f->bos < 0)
        f->bos = find_mark(t, first[chat]);
    if (first[chat] && f->bos < 0)
        return lacks(chat, first[chat], err);
    if (chat == RR_CHAT_CHATML && f->bos == f->ids[0])
        f->bos = -1;
    if (last[chat])
        f->end = find_mark(t, last[chat]);
    return RR_OK;
}

void rr_chat_close(struct rr_chat_frame *f)
{
    rr_buf_free(&f->text);
    rr_encoding_free(&f->part);
    *f = (struct rr_chat_frame){.chat = RR_CHAT_NONE};
}

/* ---- applying -----------------------------------------------------------------------------------
 */

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Whether a step says something about an exchange, and its text, unless that is a token's. */
static bool says(const struct rr_chat_frame *f, const struct rr_chat_turns *x, int i,
                 const char **text, size_t *n)
{
    const struct step *s = &scripts[f->chat][i];
    const bool strips = f->chat == RR_CHAT_LLAMA2 || f->chat == RR_CHAT_LLAMA3;
    if (s->system && !x->n_system)
        return false;
    *text = s->what == SYSTEM ? x->system : s->what == USER ? x->user : s->text;
    *n = s->what == SYSTEM ? x->n_system
         : s->what == USER ? x->n_user
         : s->text         ? strlen(*text)
                           : 0;
    if (s->what == ANSWER) {
        *text = x->answer;
        *n = x->n_answer;
    }
    while (strips && (s->what == SYSTEM || s->what == USER) && *n && is_blank((*text)[*n - 1]))
        --*n;
    while (strips && (s->what == SYSTEM || s->what == USER) && *n && is_blank(**text))
        ++*text, --*n;
    return s->what != DONE && (s->what != BLANK || x->n_answer);
}

/* The tokens of f->text behind those of e. */
static int flush(struct rr_encoding *e, struct rr_chat_frame *f, struct rr_error *err)
{
    const size_t n = f->text.n;
    if (f->text.failed)
        return rr_fail_memory(err, "prompt", n);
    if (!n)
        return RR_OK;
    int rc = rr_tokenizer_encode(f->tokenizer, &f->part, f->text.data, n, err);
    if (rc)
        return rc;
    if (!rr_grow(&e->ids, &e->cap, e->n + f->part.n, sizeof *e->ids))
        return rr_fail_memory(err, "prompt", n);
    rr_copy(e->ids + e->n, f->part.ids, f->part.n * sizeof *e->ids);
    e->n += f->part.n;
    rr_buf_clear(&f->text);
    return RR_OK;
}

int rr_chat_encode(struct rr_encoding *e, struct rr_chat_frame *f, const struct rr_chat_turns *x,
                   struct rr_error *err)
{
    int rc = RR_OK;
    e->n = 0;
    rr_buf_clear(&f->text);
    for (int i = 0; i < RR_CHAT_STEPS && !rc; i++) {
        const char *text;
        size_t n;
        if (!says(f, x, i, &text, &n)) {
            if (!x->user && scripts[f->chat][i].what == SYSTEM)
                break;
            continue;
        }
        if (f->ids[i] < 0) {
            rr_buf_add(&f->text, text, n);
        } else {
            rc = flush(e, f, err);
            if (!rc && !rr_bpe_emit(e, f->ids[i]))
                rc = rr_fail_memory(err, "prompt", e->n * sizeof *e->ids);
        }
        if (!x->user && scripts[f->chat][i].what == SYSTEM)
            break;
    }
    return rc ? rc : flush(e, f, err);
}

static void spell_token(struct rr_buf *out, const struct rr_tokenizer *t, int id)
{
    rr_buf_add(out, t->pieces[id].text, t->pieces[id].n);
}

void rr_chat_spell(struct rr_buf *out, const struct rr_chat_frame *f, const struct rr_chat_turns *x)
{
    if (f->chat && f->bos >= 0)
        spell_token(out, f->tokenizer, f->bos);
    for (int i = 0; i < RR_CHAT_STEPS; i++) {
        const char *text;
        size_t n;
        if (!says(f, x, i, &text, &n))
            continue;
        if (f->ids[i] < 0)
            rr_buf_add(out, text, n);
        else
            spell_token(out, f->tokenizer, f->ids[i]);
    }
}
