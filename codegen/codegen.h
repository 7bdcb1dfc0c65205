/* Code generation: a Schedule of equations becomes native kernels and a Plan. The only directory that sees LLVM. */
#ifndef HEDDLE_CODEGEN_H
#define HEDDLE_CODEGEN_H

#include "../passes/passes.h"
#include "../runtime/plan.h"

typedef struct {
    DType real;            /* DT_F32 or DT_F64 */
    Products products;     /* other than f32: of an f32 run on a CPU with AMX */
    const char *cpu;       /* NULL or "native", "x86-64-v4", "x86-64-v3" (AVX2), "x86-64" (baseline) */
    const char *cache_dir; /* NULL: no cache on disk */
    int threads;           /* compile jobs side by side */
    bool quick;            /* little optimisation: many programs that run once, in tests */
    void (*dump)(void *ctx, const char *kernel, const char *ir); /* or NULL */
    void *ctx;
} CodegenOptions;

typedef struct {
    int kernels, unique, cached; /* calls in the plan, distinct functions, those found in the cache */
    double seconds;
} CodegenStats;

/* The CPU that is meant: this one if it is named; else what the environment variable HEDDLE_CPU names; else "native".
 */
const char *codegen_cpu(const char *cpu);

/* NULL after an error, with the text in *why (a message for the user, without LLVM's vocabulary). */
Plan *codegen_compile(const Schedule *s, const CodegenOptions *o, CodegenStats *stats, Text *why);

#endif
