/* A matrix product in bf16 with f32 sums, on the tile registers of AMX, as LLVM IR: what product_gemm.h has in f32.
 *
 *     A  16 rows x 32 values of k          one tile: 1 KiB, row r at r * 64
 *     B  16 pairs of k x 16 columns        one tile: pair p (k = 2p, 2p + 1) at p * 64, a pair side by side
 *     C  16 rows x 16 columns of f32       four of them at a time: 2 x 2
 *
 * Operands stay f32 in memory and are rounded (to nearest, ties to even) while they are packed into tiles; what lies
 * outside the matrix or outside a row's interval of k becomes 0. One pass multiplies the rounded values. Three passes
 * split each value into a rounded one and the rounded rest, and sum high * high + low * high + high * low.
 *
 * Error of an element, beside the rounding of the f32 sums (k * 2^-24):
 *     1 pass    1.01 * 2^-7 * sum of |a| |b|      each operand is rounded to 8 bits
 *     3 passes  3.1 * 2^-16 * sum of |a| |b|      each to 16 bits, and the product of the rests is left out
 *
 * Blocks of 32 values of k begin at multiples of 32 of the axis itself (k_first says where on it the product begins),
 * each adds one sum to the element, blocks in ascending order. So the bits of an element depend on its row of A and its
 * column of B alone, as those of f32 do; a block of zeros changes none. One thing differs: a value of B that is no
 * finite number reaches all rows of its tile, also those whose interval leaves it out. */
#ifndef HEDDLE_PRODUCT_AMX_H
#define HEDDLE_PRODUCT_AMX_H

#include "product_micro.h"

enum { AMX_ROWS = 16, AMX_K = 32, AMX_TILE = 1024, AMX_KB = 16, AMX_NT = 32 };
/* AMX_KB blocks of k and AMX_NT tiles of columns of B are packed at a time. */

/* The product `op` needs c_n = 1, or c_m = 1 without ranges and lists; of A and of B one stride is 1 (a list of rows:
 * of A the one of k). The work is one call of a function that product_parts.c defines. */
void amx_emit(const GemmTarget *t, LLVMBuilderRef b, const Gemm *op, int passes, LLVMValueRef k_first);

/* As gemm_keep: a B packed once for several products (op's kept, kept_k, kept_k0, kept_n0; columns begin at multiples
 * of AMX_ROWS). Elements of f32 that it takes; packs it. Its first k is number 0 of the axis. */
LLVMValueRef amx_kept_size(const GemmTarget *t, LLVMBuilderRef b, LLVMValueRef k, LLVMValueRef n, int passes);
void amx_keep(const GemmTarget *t, LLVMBuilderRef b, const Gemm *op, int passes);

/* That function. `kind`: AMX_KIND, + 1: k lies side by side in A, + 2: in B, + 4: packs B alone. */
#define AMX_KIND 'A'
bool amx_is_kind(char kind);
char amx_kind(const Gemm *op); /* the one that op calls */
void amx_define(const GemmTarget *t, int passes, char kind);

/* ---- packing (product_amx_pack.c) ---- */

typedef struct {
    GemmBuild *g;
    int passes, bytes;                       /* bytes: of a tile with its low halves */
    LLVMTypeRef i8, i16, mask, words, pairs; /* 16 x i1, 32 x i16, 16 x i32 */
} Amx;

LLVMValueRef amx_call(const Amx *x, LLVMBuilderRef b, const char *name, LLVMValueRef *args, unsigned n);
LLVMValueRef amx_byte(const Amx *x, LLVMBuilderRef b, LLVMValueRef base, LLVMValueRef at);
/* Lanes [lo, hi) of 32, clamped, as i32. */
LLVMValueRef amx_lanes(const Amx *x, LLVMBuilderRef b, LLVMValueRef lo, LLVMValueRef hi);
LLVMValueRef amx_mask(const Amx *x, LLVMBuilderRef b, LLVMValueRef lanes, int half); /* 16 of 32 lanes, as a mask */
/* Bound `which` of row r in an array of intervals. */
LLVMValueRef amx_bound(const Amx *x, LLVMBuilderRef b, LLVMValueRef ranges, LLVMValueRef r, int which);
LLVMValueRef amx_is_null(const Amx *x, LLVMBuilderRef b, LLVMValueRef p);

/* Blocks first .. end - 1 of k; block i holds the values from base + 32 i on. Tile (t, i) goes to
 * dst + (t * step + i) * bytes. */
typedef struct {
    LLVMValueRef first, end, base, step;
} AmxBlocks;

/* rows <= 32 rows of A into two tiles of rows (one, if rows <= 16). ranges, list: of the first row, or null. */
void amx_pack_a(const Amx *x, LLVMBuilderRef b, bool k_beside, LLVMValueRef a, LLVMValueRef stride, LLVMValueRef rows,
                LLVMValueRef k, LLVMValueRef ranges, LLVMValueRef list, const AmxBlocks *blocks, LLVMValueRef dst);
/* n columns of B, of k only [lo, hi). */
void amx_pack_b(const Amx *x, LLVMBuilderRef b, bool k_beside, LLVMValueRef from, LLVMValueRef stride, LLVMValueRef n,
                LLVMValueRef lo, LLVMValueRef hi, const AmxBlocks *blocks, LLVMValueRef dst);

#endif
