/* The innermost parts of a matrix product: tiles and the packing of B. See product_gemm.h for the whole. */
#ifndef HEDDLE_PRODUCT_MICRO_H
#define HEDDLE_PRODUCT_MICRO_H

#include "product_gemm.h"

enum { GEMM_MAX_VECTORS = 5, GEMM_MAX_ROWS = 12 };

/* Intervals of a block's rows, or of its values of k where those have intervals of columns, lie as i32: all lower
 * bounds, GEMM_RANGES apart all upper ones. A block has no more of them than GEMM_BLOCK. */
enum { GEMM_BLOCK = 192, GEMM_RANGES = GEMM_BLOCK + 16 };

/* One product while it is emitted: types, the strides that are known, the functions made so far. */
typedef struct {
    const GemmTarget *target;
    LLVMTypeRef i1, i32, i64, ptr, real, vector, none;
    const Gemm *op;
    bool packed;      /* B is read from packed panels: whole vectors, padded with zeros */
    LLVMValueRef b_k; /* distance of two rows of B as the tile sees it */
    LLVMValueRef tiles[GEMM_MAX_ROWS + 1][GEMM_MAX_VECTORS + 1][2][2], pack, copy, rows;
    LLVMTypeRef tile_type, pack_type, copy_type, rows_type;
} GemmBuild;

/* A tile:
 *   void tile(ptr a, ptr b, ptr c, i64 k, i64 a_m, i64 a_k, i64 b_k, i64 c_m, i64 c_n, i1 load, i64 ncols,
 *             ptr a_list, ptr c_list, ptr bounds, i64 first, i64 middle, i64 last)
 * load: C is added to; ncols: valid columns of the panel, if masked; else all are. The lists count only if op has
 * them: distances of the mr rows, i64. ragged: behind the k values come `middle` ones in which all take part, then
 * `last` ones that are again like the first. In those, value i of the tile, row r takes part only where
 * bounds[2 r] <= first + i < bounds[2 r] + bounds[2 r + 1], i32. Of a turned product all rows take part in the columns
 * that value i has: bounds[i] <= first + column < bounds[i + GEMM_RANGES]; C is added to whatever `load` says. */
LLVMValueRef gemm_tile(GemmBuild *g, int mr, int nv, bool masked, bool ragged);

/* Copies columns [lo[r], hi[r]) of row r < rows from one matrix to another, `bounds` is i64 [rows][2]:
 *   void copy(ptr from, i64 from_m, i64 from_n, ptr to, i64 to_m, i64 to_n, i64 rows, ptr bounds) */
LLVMValueRef gemm_copy(GemmBuild *g);

/* Parts that many kernels have in common are functions of objects of their own (product_parts.c), compiled once: they
 * know no stride but c_n = 1 (pack: the one that is 1) and mask every column. `kind`: s a strip, k, n and l strips with
 * ranges of k, columns or (loose) columns, d a turned one (product_turned.h), c and t packing of columns and
 * transposed, r copying of runs. Defines one in the target's module. */
#define GEMM_SHARED_PREFIX "hd_gemm_"
void gemm_shared_name(bool is_double, int nv, char kind, char name[64]);
void gemm_define_shared(const GemmTarget *t, int nv, char kind);
LLVMValueRef gemm_strip(GemmBuild *g, int nv, bool masked, LLVMTypeRef *type);
/* A function that another object defines. */
LLVMValueRef gemm_declare_shared(GemmBuild *g, int nv, char kind, LLVMTypeRef type);
extern const double gemm_panel_cost[GEMM_MAX_VECTORS + 1];
int gemm_tile_rows(const GemmTarget *t, int nv); /* rows of a tile of nv vectors */
int gemm_rest_rows(int rows);                    /* rows of the next smaller tile, for what is left; 1 is the last */
bool gemm_has_masks(const GemmTarget *t);        /* loads under a mask are instructions; else B is always packed */
GemmBuild gemm_build(const GemmTarget *t, const Gemm *op);

/* Packs k rows of n columns of B into panels of `width` columns, panel p at dst + p * width * k, zeros behind n:
 *   void pack(ptr src, ptr dst, i64 k, i64 n, i64 b_k, i64 b_n) */
LLVMValueRef gemm_pack(GemmBuild *g, int width);

/* As many vectors as a vector has lanes: row i becomes column i. */
void gemm_transpose(const GemmBuild *g, LLVMBuilderRef b, LLVMValueRef *x);

/* Copies k runs of m elements each, run i from src + i * src_k to dst + i * dst_k:
 *   void rows(ptr src, ptr dst, i64 k, i64 m, i64 src_k, i64 dst_k) */
LLVMValueRef gemm_rows(GemmBuild *g);

/* ---- small helpers of the emitters ---- */

LLVMValueRef gemm_int(const GemmBuild *g, long long v);
bool gemm_is(LLVMValueRef v, long long value); /* a constant equal to value */
LLVMValueRef gemm_at(const GemmBuild *g, LLVMBuilderRef b, LLVMValueRef base, LLVMValueRef index); /* &base[index] */
LLVMValueRef gemm_splat(const GemmBuild *g, LLVMBuilderRef b, LLVMTypeRef vector, LLVMValueRef x);
LLVMValueRef gemm_min(LLVMBuilderRef b, LLVMValueRef x, LLVMValueRef y);
LLVMValueRef gemm_max(LLVMBuilderRef b, LLVMValueRef x, LLVMValueRef y);
/* A new private function of the module; `pointers` leading arguments of it do not alias. */
LLVMValueRef gemm_function(const GemmBuild *g, const char *name, LLVMTypeRef type, unsigned pointers);
LLVMValueRef gemm_alloca(LLVMBuilderRef b, LLVMTypeRef type, long long count, unsigned align);
/* Lanes of a vector that starts at column `first` and lie in [lo, hi): a vector of i1. lo may be NULL: 0. */
LLVMValueRef gemm_lanes(const GemmBuild *g, LLVMBuilderRef b, int first, LLVMValueRef lo, LLVMValueRef hi);
LLVMValueRef gemm_load(const GemmBuild *g, LLVMBuilderRef b, LLVMValueRef p, LLVMValueRef mask);
void gemm_store(const GemmBuild *g, LLVMBuilderRef b, LLVMValueRef v, LLVMValueRef p, LLVMValueRef mask);

/* for (i = from; i < to; i += step) { ... } */
typedef struct {
    LLVMBasicBlockRef head, exit;
    LLVMValueRef i, step;
} GemmLoop;
GemmLoop gemm_loop(const GemmBuild *g, LLVMBuilderRef b, LLVMValueRef from, LLVMValueRef to, LLVMValueRef step);
void gemm_loop_end(LLVMBuilderRef b, GemmLoop *loop);

/* if (cond) { ... } */
LLVMBasicBlockRef gemm_if(const GemmBuild *g, LLVMBuilderRef b, LLVMValueRef cond);
void gemm_end(LLVMBuilderRef b, LLVMBasicBlockRef after);

#endif
