/* See words.h. The alternatives of a pattern are tried in its order; each takes as much as it can.
 */
#include "tokenizer/words.h"

#include <stdbool.h>
#include <stdint.h>
#include "engine/base/utf8.h"
#include "tokenizer/unicode_data.h"

enum class { END, LETTER, NUMBER, LINE_END, SPACE, OTHER };

/* A text; numbers_end: its numbers are as its end. */
struct text {
    const char *s;
    size_t n;
    bool numbers_end;
};

/* A character, its class and its bytes; END behind the text. */
struct character {
    enum class class;
    uint32_t cp;
    size_t n;
};

static bool in_ranges(const uint32_t (*r)[2], size_t n, uint32_t cp)
{
    size_t low = 0, high = n;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (r[middle][1] < cp)
            low = middle + 1;
        else
            high = middle;
    }
    return low < n && r[low][0] <= cp;
}

/* White_Space, but for the line ends \r and \n. */
static bool is_space(uint32_t cp)
{
    return cp == ' ' || (cp >= 9 && cp <= 13) || cp == 0x85 || cp == 0xA0 || cp == 0x1680 ||
           (cp >= 0x2000 && cp <= 0x200A) || cp == 0x2028 || cp == 0x2029 || cp == 0x202F ||
           cp == 0x205F || cp == 0x3000;
}

static enum class class_of(uint32_t cp) {
    if (cp < 128){const uint32_t lower = cp | 0x20; return lower >= 'a' && lower <= 'z' ? LETTER
                                                           : cp >= '0' && cp <= '9'     ? NUMBER
                                                           : cp == '\r' || cp == '\n'   ? LINE_END
                                                           : is_space(cp)               ? SPACE
                                                                                        : OTHER;}
return in_ranges(letters, sizeof letters / sizeof letters[0], cp)   ? LETTER
       : in_ranges(numbers, sizeof numbers / sizeof numbers[0], cp) ? NUMBER
       : is_space(cp)                                               ? SPACE
                                                                    : OTHER;
}

static struct character at(const struct text *t, size_t i)
{
    struct character c = {END, 0, 0};
    if (i < t->n) {
        c.n = rr_utf8_decode(t->s + i, t->n - i, &c.cp);
        c.n = c.n ? c.n : 1;
        c.class = class_of(c.cp);
        if (t->numbers_end && c.class == NUMBER && i)
            c.class = END;
    }
    return c;
}

/* End of the run of one class from i on, of at most `most` characters. */
static size_t run(const struct text *t, size_t i, enum class class, int most)
{
    for (struct character c; most-- && (c = at(t, i)).class == class;)
        i += c.n;
    return i;
}

/* 's, 't, 're, 've, 'm, 'll, 'd: bytes, or 0. */
static size_t contraction(const char *s, size_t n, bool any_case)
{
    char c[2] = {0, 0};
    if (n < 2 || s[0] != '\'')
        return 0;
    for (size_t i = 0; i < 2 && i + 1 < n; i++)
        c[i] = any_case && s[i + 1] >= 'A' && s[i + 1] <= 'Z' ? (char)(s[i + 1] + 32) : s[i + 1];
    if (c[0] == 's' || c[0] == 't' || c[0] == 'm' || c[0] == 'd')
        return 2;
    return (c[0] == 'r' && c[1] == 'e') || (c[0] == 'v' && c[1] == 'e') ||
                   (c[0] == 'l' && c[1] == 'l')
               ? 3
               : 0;
}

/* \s*[\r\n]+ (if line_ends), else \s+(?!\S), else \s+. */
static size_t blanks(const struct text *t, bool line_ends)
{
    size_t i = 0, last = 0, behind_line = 0;
    struct character c;
    while ((c = at(t, i)).class == SPACE || c.class == LINE_END) {
        last = i;
        i += c.n;
        if (c.class == LINE_END)
            behind_line = i;
    }
    if (line_ends && behind_line)
        return behind_line;
    return c.class == END || !last ? i : last;
}

const char *rr_words_pattern(enum rr_words rule)
{
    if (rule == RR_WORDS_GPT2)
        return "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
    if (rule == RR_WORDS_LLAMA3)
        return "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| "
               "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
    return NULL;
}

size_t rr_words_next(enum rr_words rule, const char *s, size_t n)
{
    const struct text t = {s, n, rule == RR_WORDS_DIGITS};
    const bool llama = rule == RR_WORDS_LLAMA3;
    const size_t short_word = contraction(s, n, llama);
    if (short_word)
        return short_word;
    const struct character c = at(&t, 0), next = at(&t, c.n);
    const bool blank = c.cp == ' ';
    /* Letters, with what may stand before them. */
    const bool before = llama ? c.class == SPACE || c.class == OTHER : blank;
    if (c.class == LETTER || (before && next.class == LETTER))
        return run(&t, c.class == LETTER ? 0 : c.n, LETTER, -1);
    if (c.class == NUMBER || (!llama && blank && next.class == NUMBER))
        return run(&t, blank ? c.n : 0, NUMBER, llama ? 3 : t.numbers_end ? 1 : -1);
    if (c.class == OTHER || (blank && next.class == OTHER)) {
        const size_t end = run(&t, blank ? c.n : 0, OTHER, -1);
        return llama ? run(&t, end, LINE_END, -1) : end;
    }
    return blanks(&t, llama);
}
