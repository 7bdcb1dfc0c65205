/* Makes one matrix product of product_gemm.h callable, for its test and its benchmark. */
#ifndef PRODUCT_JIT_H
#define PRODUCT_JIT_H

#include "../../codegen/product_amx.h"
#include <stdint.h>

/* m, n, k, then the strides: a_m a_k b_k b_n c_m c_n. */
enum { M_, N_, K_, AM_, AK_, BK_, BN_, CM_, CN_, NSIZES };
/* RANGE_NONE; or row i has [lo_mul * i + lo_add, hi_mul * i + hi_add) of k or n, or value i of k has it of n. */
typedef struct {
    enum { RANGE_NONE, RANGE_K, RANGE_N, RANGE_N_OF_K } kind;
    int64_t lo_mul, lo_add, hi_mul, hi_add;
} JitRange;

typedef void (*ProductFn)(const void *a, const void *b, void *c, const int64_t *sizes);

typedef struct {
    ProductFn fn;
    void *jit; /* LLVMOrcLLJITRef */
    double compile_seconds;
} Product;

/* cpu: "native", "x86-64-v4", "x86-64-v3", "x86-64". Sizes whose bit is set in `known` are constants in the code. */
Product product_compile(const char *cpu, bool is_double, const int64_t *sizes, unsigned known, bool accumulate,
                        JitRange range);
/* Summed transposed (product_turned.h), in zeros at product_sums, of PRODUCT_SUMS(m, n) elements, whose sums are then
 * written, or accumulate: added, to C. */
Product product_compile_turned(const char *cpu, bool is_double, const int64_t *sizes, unsigned known, bool accumulate,
                               JitRange range);
extern void *product_sums;
#define PRODUCT_SUMS(m, n) (((n) + 80) * (m) + 16 * 80)
/* In bf16, of one pass or three, on this CPU; k_first: number of the first k on its axis. */
Product product_compile_amx(int passes, const int64_t *sizes, unsigned known, bool accumulate, JitRange range,
                            int64_t k_first);
void product_free(Product *p);

#endif
