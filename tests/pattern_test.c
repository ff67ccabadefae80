/* Regular expressions of adapters' settings: what Python's re.fullmatch says of them, what is not
 * supported, and patterns that are slow elsewhere. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/test.h"
#include "weights/pattern.h"

static enum rr_pattern_result match(const char *pattern, const char *text)
{
    return rr_pattern_match(pattern, strlen(pattern), text, strlen(text));
}

Test(pattern, as_python_says)
{
    static const char q0[] = "model.layers.0.self_attn.q_proj",
                      q12[] = "model.layers.12.self_attn.q_proj";
    static const struct {
        const char *pattern, *text;
        int yes;
    } rows[] = {{"", "", 1},
                {"", "a", 0},
                {"abc", "abc", 1},
                {"abc", "abcd", 0},
                {"a.c", "abc", 1},
                {"a\\.c", "abc", 0},
                {"a\\.c", "a.c", 1},
                {"a*", "", 1},
                {"a*", "aaaa", 1},
                {"a+", "", 0},
                {"a+b?", "aab", 1},
                {"ab|cd|", "cd", 1},
                {"ab|cd|", "", 1},
                {"ab|cd", "abd", 0},
                {"a(b|c)*d", "abcbcd", 1},
                {"(?:a|b)c", "bc", 1},
                {"[a-c]+", "abcab", 1},
                {"[^a-c]+", "xyz", 1},
                {"[^a-c]+", "xbz", 0},
                {"[]a-]+", "]-a", 1},
                {"[\\d_]+", "12_3", 1},
                {"\\w+\\s\\D", "ab_1 x", 1},
                {"a{3}", "aaa", 1},
                {"a{3}", "aa", 0},
                {"a{2,}", "aaaaa", 1},
                {"a{2,}", "a", 0},
                {"(ab){1,2}c", "ababc", 1},
                {"(ab){1,2}c", "abababc", 0},
                {"a{,2}b", "b", 1},
                {"a{0}b", "ab", 0},
                {"a+?b", "aab", 1},
                {"^a$", "a", 1},
                {"a^b", "ab", 0},
                {"(a|)+b", "aab", 1},
                {"(.*\\.)?(q_proj)", q0, 1},
                {"(.*\\.)?(proj)", q0, 0},
                {"(.*\\.)?(^model.layers.\\d+.self_attn.(q|k)_proj$)", q12, 1},
                {"(.*\\.)?(^layers.0.self_attn.q_proj)", q0, 0},
                {"model\\.layers\\.([0-9]|1[0-1])\\.self_attn\\.q_proj", q0, 1},
                {"model\\.layers\\.([0-9]|1[0-1])\\.self_attn\\.q_proj", q12, 0},
                {".*\\.(q_proj|v_proj)", q12, 1}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const enum rr_pattern_result r = match(rows[i].pattern, rows[i].text);
        cr_assert((int)r == rows[i].yes, "'%s' and '%s': %d; expected %d", rows[i].pattern,
                  rows[i].text, (int)r, rows[i].yes);
    }
}

Test(pattern, what_is_not_supported)
{
    static const char *const bad[] = {
        "(",     ")",     "a)",       "(a",   "[a",       "[b-a]",       "*a",  "a**", "a++",
        "+",     "a{2",   "a{",       "a{x}", "a{3,2}",   "\\",          "\\b", "\\1", "(?=a)",
        "(?!a)", "(?i)a", "(?P<x>a)", "a|*",  "a{99999}", "(a{60}){80}", "[\\"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert(match(bad[i], "a") == RR_PATTERN_UNSUPPORTED, "'%s' is taken", bad[i]);
    char deep[300];
    memset(deep, '(', sizeof deep);
    deep[150] = 0;
    cr_assert(match(deep, "a") == RR_PATTERN_UNSUPPORTED, "150 open brackets");
    for (int i = 0; i < 40; i++)
        memcpy(deep + i, "(", 1), memcpy(deep + 41 + i, ")", 1);
    deep[40] = 'a';
    deep[81] = 0;
    cr_assert(match(deep, "a") == RR_PATTERN_YES, "40 brackets");
}

/* What takes backtracking engines 2^n steps. */
Test(pattern, none_is_slow)
{
    char *text = malloc(20001);
    memset(text, 'a', 20000);
    text[20000] = 0;
    cr_assert(match("(a*)*b", text) == RR_PATTERN_NO && match("(a|a)*b", text) == RR_PATTERN_NO &&
                  match("(a?){500}a{500}", text + 20000 - 700) == RR_PATTERN_YES,
              "another answer");
    free(text);
}
