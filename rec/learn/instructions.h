/* Instructions as tokens: a question, and the answer that is to be learned. Read from the files
 * that rr_instruction_write and other tools make (spec/conventions.md 4.8), or added one by one.
 *
 * A question and its answer are spelled as the ranker spells them, "system\n\nuser\nanswer", and
 * tokenized as one text; what is learned are the tokens of the answer and the end of text. */
#ifndef RR_INSTRUCTIONS_H
#define RR_INSTRUCTIONS_H

#include "engine/base/fail.h"
#include "engine/base/mem.h"
#include "rec/learn/batch.h"
#include "tokenizer/tokenizer.h"

struct rr_instruction_tokens {
    size_t from;       /* in ids */
    int n, n_question; /* tokens; of these, before the answer */
    bool valid;        /* kept out of training, to validate on */
};

struct rr_instructions {
    int *ids;
    size_t n_ids, cap_ids;
    struct rr_instruction_tokens *all;
    size_t n, cap;
    int longest;
    size_t n_valid;
    /* Scratch. */
    struct rr_buf text;
    struct rr_encoding encoding;
};
void rr_instructions_free(struct rr_instructions *s);

/* One question with its answer, both as bytes. RR_ERR_DATA "TOO_LONG": more than n_context tokens;
 * "ANSWER": an empty one; "QUESTION": no token is the question's alone. where is for errors. */
struct rr_instruction_text {
    const char *system, *user, *answer;
    size_t n_system, n_user, n_answer;
};
int rr_instructions_add(struct rr_instructions *s, const struct rr_tokenizer *t,
                        const struct rr_instruction_text *x, int n_context, bool valid,
                        const struct rr_where *where, struct rr_error *err);

/* Whether a user's instructions validate: one user of twenty, dealt by seed. */
bool rr_instructions_validates(const char *user, size_t n, uint64_t seed);

/* Reads JSON lines in any of the dialects, told apart line by line: OpenAI "messages" (an optional
 * system message, one of the user, one of the assistant), alpaca's "instruction", "input",
 * "output", ShareGPT's "conversations" with "system". One user of twenty ("user", a string or whole
 * number, else the line's number, dealt by seed) is kept for validation. RR_ERR_DATA at file and
 * line: "JSON", "DIALECT", "ROLE", "USER", "ANSWER", "TOO_LONG"; "NO_INSTRUCTIONS". */
int rr_instructions_read(struct rr_instructions *s, const char *path, const struct rr_tokenizer *t,
                         int n_context, uint64_t seed, struct rr_error *err);
/* The same from a text in memory; path is for errors. */
int rr_instructions_parse(struct rr_instructions *s, const char *bytes, size_t n_bytes,
                          const char *path, const struct rr_tokenizer *t, int n_context,
                          uint64_t seed, struct rr_error *err);

#endif
