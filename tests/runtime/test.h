/* Checks for the runtime's tests: a failed one prints where and what, the program goes on and fails at the end. */
#ifndef HEDDLE_TESTS_RUNTIME_TEST_H
#define HEDDLE_TESTS_RUNTIME_TEST_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            printf("%s:%d: %s\n", __FILE__, __LINE__, #condition);                                                     \
            failures++;                                                                                                \
        }                                                                                                              \
    } while (0)

#define CHECK_NEAR(a, b, tolerance)                                                                                    \
    do {                                                                                                               \
        double a_ = (a), b_ = (b);                                                                                     \
        if (!(a_ - b_ <= (tolerance) && b_ - a_ <= (tolerance))) {                                                     \
            printf("%s:%d: %s is %.17g, expected %.17g\n", __FILE__, __LINE__, #a, a_, b_);                            \
            failures++;                                                                                                \
        }                                                                                                              \
    } while (0)

/* The call must fail with the code and a text that contains the words. */
#define CHECK_ERROR(call, e, wanted, words)                                                                            \
    do {                                                                                                               \
        (e).code = 0;                                                                                                  \
        (e).text[0] = '\0';                                                                                            \
        if (call) {                                                                                                    \
            printf("%s:%d: %s should fail with '%s'\n", __FILE__, __LINE__, #call, words);                             \
            failures++;                                                                                                \
        } else if ((e).code != (wanted) || !strstr((e).text, words)) {                                                 \
            printf("%s:%d: %s: code %d, '%s'; expected code %d and '%s'\n", __FILE__, __LINE__, #call, (e).code,       \
                   (e).text, wanted, words);                                                                           \
            failures++;                                                                                                \
        }                                                                                                              \
    } while (0)

static inline int report(const char *name)
{
    printf("%s: %s\n", name, failures ? "FAILED" : "passed");
    return failures ? 1 : 0;
}

#endif
