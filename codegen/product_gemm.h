/* A register-blocked matrix product as LLVM IR, for sizes and strides that may be known or not:
 *
 *     C[m, n] (+)= sum over k of A[m, k] * B[k, n]        element (i, j) of X lies at  x + i * x_1 + j * x_2
 *
 * Blocking, outermost first (MC, NC, KC: product_gemm.c):
 *
 *     columns by NC ── k by KC ── [B block packed into panels] ── rows by MC ── panel of nv vectors ── tile of mr rows
 *                                                                               \_ "strip": one function per nv _/
 *     tile (product_micro.c): mr * nv accumulators in registers, one pass over the KC values of k
 *
 * Every element of C is one chain of fused multiply-adds over ascending k: a block of k stores C and the next loads
 * it again, which changes no bit. So the bits of an element depend on its row of A and its column of B alone, not on
 * the sizes, the position, the blocking, the vector width or the number of threads.
 *
 * Ranges. A condition between row and k (j <= i in an attention's output) gives every row its own interval of k: a
 * tile runs the interval common to its rows at full speed, and each row's rest alone. A condition between row and
 * column (j <= i in its scores) gives every row its interval of columns: tiles outside are skipped, of tiles across the
 * edge the vectors that some row needs are computed, into a buffer. Cells outside are not written. */
#ifndef HEDDLE_PRODUCT_GEMM_H
#define HEDDLE_PRODUCT_GEMM_H

#include <llvm-c/Core.h>
#include <stdbool.h>

typedef struct GemmTarget {
    LLVMContextRef llvm;
    LLVMModuleRef module;
    bool is_double;
    int lanes;     /* elements of a vector register */
    int registers; /* vector registers: 32 (AVX-512) or 16 */
    bool has_fma;  /* else a * b + c is rounded twice, the same way everywhere on that machine */
    bool shares;   /* strips and packing are external functions, which product_parts.c defines */
    void (*attributes)(void *ctx, LLVMValueRef fn); /* sets target-cpu and the like on a new function */
    void *ctx;
} GemmTarget;

/* [out[0], out[1]) of row `row` (i64, 0 .. m-1), emitted at the builder's position; need not lie inside the matrix. */
typedef void (*GemmRange)(void *ctx, LLVMBuilderRef b, LLVMValueRef row, LLVMValueRef out[2]);

typedef struct {
    LLVMValueRef m, n, k;                               /* i64; constants are used as such */
    LLVMValueRef a, a_m, a_k, b, b_k, b_n, c, c_m, c_n; /* pointers and i64 strides in elements */
    LLVMValueRef a_list,
        c_list;      /* or NULL: i64 arrays of m entries, the rows' distances from a and c instead of a_m, c_m */
    bool accumulate; /* C += instead of C = */
    GemmRange k_range, n_range; /* or NULL; not both, and not with lists */
    bool loose;                 /* columns of C outside n_range may hold anything afterwards */
    void *range_ctx;
    /* Or NULL: a larger B that gemm_keep has packed, of whose kept_k rows and columns these are some, from row kept_k0
     * and column kept_n0 (a multiple of kept_width) on; then b, b_k and b_n do not count. c_n is 1. */
    LLVMValueRef kept, kept_k, kept_k0, kept_n0;
    int kept_width;
    bool turned; /* for gemm_turned, which says what it means: product_turned.h */
} Gemm;

/* Bytes behind the last elements of A and B that the product may read (it does not use them). */
enum { GEMM_SLACK = 320 };

/* Emits the product at the builder's position and leaves the builder behind it. Scratch lies on the stack. */
void gemm_emit(const GemmTarget *t, LLVMBuilderRef b, const Gemm *op);

/* Several products may share a B that is packed once. Columns of a panel (n: 0 if it is not known now); elements that a
 * packed B takes (a multiple of a vector's); packs op's b, k rows of n columns, to `kept` in panels of kept_width. */
int gemm_panel_width(const GemmTarget *t, long long n);
LLVMValueRef gemm_kept_size(const GemmTarget *t, LLVMBuilderRef b, LLVMValueRef k, LLVMValueRef n, int width);
void gemm_keep(const GemmTarget *t, LLVMBuilderRef b, const Gemm *op);
/* Whether a product packs its B; b_k and n: 0 if not known now. */
bool gemm_packs(const GemmTarget *t, bool columns_lie_side_by_side, long long b_k, long long n);

/* Vectors and registers of a CPU by its LLVM feature string ("+avx512f,+fma,..."). */
void gemm_target_features(GemmTarget *t, const char *features, bool is_double);

#endif
