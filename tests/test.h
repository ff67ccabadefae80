/* The few macros the unit tests use: Criterion's, or with RR_MINI a shim with the same names, so
 * that the same files run where Criterion does not (thread sanitizer, static and cross builds).
 * Test names are unique within a suite. */
#ifndef TESTS_TEST_H
#define TESTS_TEST_H

#include <stdbool.h>
#include <stdio.h>

#ifndef RR_MINI
#include <criterion/criterion.h>
#else
#include <stdlib.h>

struct mini_test {
    const char *suite, *name;
    void (*run)(void);
    struct mini_test *next;
};
void mini_register(struct mini_test *t);
void mini_fail(const char *file, int line, const char *text);
void mini_skip(void);

#define Test(suite_, name_)                                                                        \
    static void test_##suite_##_##name_(void);                                                     \
    static struct mini_test mini_##suite_##_##name_ = {#suite_, #name_, test_##suite_##_##name_,   \
                                                       NULL};                                      \
    __attribute__((constructor)) static void register_##suite_##_##name_(void)                     \
    {                                                                                              \
        mini_register(&mini_##suite_##_##name_);                                                   \
    }                                                                                              \
    static void test_##suite_##_##name_(void)
#define cr_assert(cond, ...)                                                                       \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            mini_fail(__FILE__, __LINE__, #cond);                                                  \
            fprintf(stderr, "  " __VA_ARGS__);                                                     \
            fputc('\n', stderr);                                                                   \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)
#define cr_skip_test(...)                                                                          \
    do {                                                                                           \
        mini_skip();                                                                               \
        return;                                                                                    \
    } while (0)
#endif

/* The data beside the project, or NULL (the test then skips by name): "../shared/" + name when it
 * exists. */
const char *shared_path(const char *name);
/* A fresh folder for this test under the system's temporary directory; removed when the process
 * ends. */
const char *temporary_dir(void);
/* dir + "/" + name in a static ring of buffers. */
const char *path_in(const char *dir, const char *name);
/* Writes a whole file; aborts the test when it cannot. */
void write_file(const char *path, const void *bytes, size_t n);
/* Reads a whole file into malloc'd memory. */
unsigned char *read_file(const char *path, size_t *n);

/* Leaves the test, and says so whatever the runner shows. */
#define SKIP(...)                                                                                  \
    do {                                                                                           \
        fprintf(stderr, "skip: " __VA_ARGS__);                                                     \
        fputc('\n', stderr);                                                                       \
        cr_skip_test(__VA_ARGS__);                                                                 \
    } while (0)

#define SKIP_WITHOUT(path, name)                                                                   \
    const char *path = shared_path(name);                                                          \
    if (!path)                                                                                     \
    SKIP("%s is not beside the project", name)

/* For what takes a sanitizer's build minutes and goes through no code that the other tests leave
 * out. */
#define SKIP_SANITIZED()                                                                           \
    if (sanitized())                                                                               \
    SKIP("too long for a sanitizer's build, and no code of its own")

/* Whether this is a sanitizer's build, ten times slower than others: long tests do a part then, the
 * same kinds of it. */
bool sanitized(void);

/* Whether whole models are tried at a CPU level here: at all of the machine's, but under a
 * sanitizer, which is slow, only at the first and the last (the one for threads: at the last);
 * kernels are tried at every one. */
bool whole_model_level(int level);

#endif
