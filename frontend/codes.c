/* The table of codes: what each message is about and what to do, for messages without a remedy of their own, for
 * `heddle help E0104`, and for the test that every code has a case. */
#include "frontend.h"

#include <string.h>

static const struct {
    const char *code, *meaning, *remedy;
} codes[] = {
#define CODE(code, meaning, remedy) {#code, meaning, remedy},
#include "codes.def"
#undef CODE
};

const char *code_meaning(const char *code)
{
    for (size_t k = 0; k < sizeof codes / sizeof *codes; k++) {
        if (strcmp(codes[k].code, code) == 0) {
            return codes[k].meaning;
        }
    }
    return NULL;
}

const char *code_remedy(const char *code)
{
    for (size_t k = 0; k < sizeof codes / sizeof *codes; k++) {
        if (strcmp(codes[k].code, code) == 0) {
            return codes[k].remedy;
        }
    }
    return NULL;
}

const char *code_at(int k)
{
    return k >= 0 && (size_t)k < sizeof codes / sizeof *codes ? codes[k].code : NULL;
}
