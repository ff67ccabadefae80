/* Chat templates: how a model that was tuned to talk wants to see whose turn it is.
 *
 * Four are known, by what their Jinja text holds; Jinja itself is not interpreted. Messages are
 * data: they are always encoded as plain text, and the template's control tokens are put between
 * them by their ids, so no message can end its own turn by spelling one. What a template marks with
 * plain text ([INST]; <|user|> in the vocabularies of TinyLlama and Zephyr) a message can spell, as
 * it can everywhere.
 *
 * Not applied is what some templates add of their own: a default system message, today's date. */
#ifndef RR_CHAT_H
#define RR_CHAT_H

#include "tokenizer/tokenizer.h"

enum rr_chat {
    RR_CHAT_NONE,
    RR_CHAT_LLAMA2, /* [INST] <<SYS>> */
    RR_CHAT_LLAMA3, /* <|start_header_id|>user<|end_header_id|> */
    RR_CHAT_CHATML, /* <|im_start|>user */
    RR_CHAT_ZEPHYR, /* <|user|> ... EOS; TinyLlama-Chat as well */
    RR_N_CHATS
};
#define RR_CHAT_NAMES "llama2|llama3|chatml|zephyr"
const char *rr_chat_name(enum rr_chat c); /* "none", "llama2", ... */
int rr_chat_from_name(const char *name);  /* -1: none is called so */

/* Which of the four a Jinja text is. RR_ERR_DATA "CHAT_TEMPLATE", at `where`: none of them, or
 * marks of several. */
int rr_chat_recognise(enum rr_chat *c, const char *text, size_t n, const struct rr_where *where,
                      struct rr_error *err);

/* One exchange: what the model is told to do (n_system 0: nothing), what it is asked, and what its
 * answer begins with (n_answer 0: it begins by itself). user NULL: only what all exchanges with
 * this system message begin with; its last token may merge with what would stand behind. */
struct rr_chat_turns {
    const char *system, *user, *answer;
    size_t n_system, n_user, n_answer;
};

#define RR_CHAT_STEPS 18

/* A template, with a vocabulary's tokens for its marks. */
struct rr_chat_frame {
    enum rr_chat chat;
    const struct rr_tokenizer *tokenizer;
    int bos;                /* stands before everything; -1: nothing does */
    int end;                /* ends the answer's turn; -1: nothing does */
    int ids[RR_CHAT_STEPS]; /* of marks; -1: plain text */
    char lead[32];          /* text that is tokenized together with the answer's beginning */
    struct rr_buf text;     /* scratch */
    struct rr_encoding part;
};

/* RR_CHAT_NONE: system message, an empty line, question, answer, all of it one text. RR_ERR_DATA
 * "CHAT_TEMPLATE": the vocabulary lacks a token that the template needs, named. Close also after a
 * failure; a zeroed frame is closed. */
int rr_chat_open(struct rr_chat_frame *f, enum rr_chat chat, const struct rr_tokenizer *t,
                 struct rr_error *err);
void rr_chat_close(struct rr_chat_frame *f);

/* Replaces e->ids by the exchange's tokens, up to where the answer goes on; without BOS. e is not
 * f->part. RR_ERR_MEMORY only. */
int rr_chat_encode(struct rr_encoding *e, struct rr_chat_frame *f, const struct rr_chat_turns *x,
                   struct rr_error *err);
/* Appends the same as text: marks as they are spelled, and BOS where there is a template. */
void rr_chat_spell(struct rr_buf *out, const struct rr_chat_frame *f,
                   const struct rr_chat_turns *x);

#endif
