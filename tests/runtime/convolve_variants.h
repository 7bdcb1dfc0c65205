/* The variants of convolve and correlate this CPU can run, each under one type of function. */
#ifndef HEDDLE_TESTS_RUNTIME_CONVOLVE_VARIANTS_H
#define HEDDLE_TESTS_RUNTIME_CONVOLVE_VARIANTS_H

#include "convolve.h"
#include <stdbool.h>

typedef struct {
    const char *name;
    void (*convolve)(const ConvolveArgs *c), (*correlate)(const ConvolveArgs *c);
    bool wide; /* f64 */
    char level;
} Variant;

#define VARIANT(name) {#name, convolve_##name, correlate_##name, #name[1] == '6', #name[5]},
static const Variant variants[] = {CONVOLVE_VARIANTS(VARIANT)};
enum { VARIANTS = sizeof variants / sizeof *variants };

static inline bool runs_here(const Variant *v)
{
    switch (v->level) {
    case '4':
        return __builtin_cpu_supports("x86-64-v4");
    case '3':
        return __builtin_cpu_supports("x86-64-v3");
    default:
        return true;
    }
}

#endif
