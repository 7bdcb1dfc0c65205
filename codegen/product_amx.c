/* The loops around the tiles of a bf16 product (product_amx.h):
 *
 *     columns by AMX_NT tiles ── k by AMX_KB blocks ── [B packed] ── rows by 32 ── [A packed] ── columns by 32
 *                                                                        2 x 2 tiles of C in registers, one pass over k
 *
 * All of it is one function for all sizes and strides, which kernels share: the tile registers are configured when it
 * begins and released when it ends, so that no other code of the process ever meets them. Sums that are longer than the
 * blocks of k go on from what C holds; f32 memory keeps an accumulator's bits.
 *
 * Intervals of k by row: B is packed within the hull of the rows' intervals. Where they leave a gap between them, B may
 * hold there what nobody has computed: the rows before and behind it are products of their own. A B that is kept holds
 * numbers everywhere, and is read where the rows' intervals reach. */
#include "product_amx.h"
#include <stdio.h>
#include <string.h>

enum { MR = 2 * AMX_ROWS, RANGE_ROWS = 256 }; /* rows whose intervals a kernel evaluates at a time */

enum {
    X_A,
    X_B,
    X_C,
    X_KRANGES, /* i64 pairs by row, of k or of columns, or null */
    X_NRANGES,
    X_ALIST, /* distances of rows, or null */
    X_CLIST,
    X_KEPT, /* B, packed before, or null */
    X_M,
    X_N,
    X_K,
    X_FIRST, /* number of the first k on its axis */
    X_AS,    /* the strides of A and B that are not 1 */
    X_BS,
    X_CM,
    X_LOAD, /* 1: C is added to */
    X_STEP, /* blocks of k of the kept B */
    X_COUNT
};

bool amx_is_kind(char kind)
{
    return kind >= AMX_KIND && kind < AMX_KIND + 8;
}

static LLVMTypeRef function_type(const GemmBuild *g)
{
    LLVMTypeRef types[X_COUNT];
    for (int i = 0; i < X_COUNT; i++) {
        types[i] = i <= X_KEPT ? g->ptr : g->i64;
    }
    return LLVMFunctionType(g->none, types, X_COUNT, false);
}

static LLVMValueRef count_blocks(const GemmBuild *g, LLVMBuilderRef b, LLVMValueRef k)
{
    return LLVMBuildLShr(b, LLVMBuildAdd(b, k, gemm_int(g, AMX_K - 1), ""), gemm_int(g, 5), "");
}

static int tile_bytes(int passes)
{
    return passes == 3 ? 2 * AMX_TILE : AMX_TILE;
}

/* ---- the call -------------------------------------------------------------------------------------------------- */

/* With columns of C side by side: else C' = B' A'. */
static Gemm turned(const Gemm *given)
{
    Gemm op = *given;
    if (!gemm_is(op.c_n, 1)) {
        op.m = given->n, op.n = given->m, op.a = given->b, op.b = given->a, op.c_m = given->c_n, op.c_n = given->c_m;
        op.a_m = given->b_n, op.a_k = given->b_k, op.b_k = given->a_k, op.b_n = given->a_m;
    }
    return op;
}

char amx_kind(const Gemm *given)
{
    Gemm op = turned(given);
    return (char)(AMX_KIND + gemm_is(op.a_k, 1) + 2 * gemm_is(op.b_k, 1));
}

void amx_emit(const GemmTarget *t, LLVMBuilderRef b, const Gemm *given, int passes, LLVMValueRef k_first)
{
    Gemm op = turned(given);
    GemmBuild g = gemm_build(t, &op);
    bool a_beside = gemm_is(op.a_k, 1), b_beside = gemm_is(op.b_k, 1);
    LLVMTypeRef type = function_type(&g);
    LLVMValueRef none = LLVMConstNull(g.ptr);
    LLVMValueRef f = gemm_declare_shared(&g, passes, amx_kind(&op), type);
    LLVMValueRef args[X_COUNT] = {
        [X_A] = op.a,
        [X_B] = op.b,
        [X_C] = op.c,
        [X_KRANGES] = none,
        [X_NRANGES] = none,
        [X_ALIST] = op.a_list ? op.a_list : none,
        [X_CLIST] = op.c_list ? op.c_list : none,
        [X_KEPT] = none,
        [X_M] = op.m,
        [X_N] = op.n,
        [X_K] = op.k,
        [X_FIRST] = k_first,
        [X_AS] = a_beside ? op.a_m : op.a_k,
        [X_BS] = b_beside ? op.b_n : op.b_k,
        [X_CM] = op.c_m,
        [X_LOAD] = gemm_int(&g, op.accumulate),
        [X_STEP] = gemm_int(&g, 0),
    };
    if (op.kept) {
        LLVMValueRef step = args[X_STEP] = count_blocks(&g, b, op.kept_k);
        LLVMValueRef at = LLVMBuildMul(b, LLVMBuildLShr(b, op.kept_n0, gemm_int(&g, 4), ""), step, "");
        at = LLVMBuildAdd(b, at, LLVMBuildLShr(b, op.kept_k0, gemm_int(&g, 5), ""), "");
        args[X_KEPT] = gemm_at(&g, b, op.kept, LLVMBuildMul(b, at, gemm_int(&g, tile_bytes(passes) / 4), ""));
        args[X_FIRST] = op.kept_k0;
    }
    GemmRange range = op.k_range ? op.k_range : op.n_range;
    if (!range) {
        LLVMBuildCall2(b, type, f, args, X_COUNT, "");
        return;
    }
    LLVMValueRef ranges = gemm_alloca(b, g.i64, 2LL * RANGE_ROWS, 8);
    GemmLoop block = gemm_loop(&g, b, gemm_int(&g, 0), op.m, gemm_int(&g, RANGE_ROWS));
    LLVMValueRef m = gemm_min(b, LLVMBuildSub(b, op.m, block.i, ""), gemm_int(&g, RANGE_ROWS));
    GemmLoop row = gemm_loop(&g, b, gemm_int(&g, 0), m, gemm_int(&g, 1));
    LLVMValueRef bound[2];
    range(op.range_ctx, b, LLVMBuildAdd(b, block.i, row.i, ""), bound);
    for (int w = 0; w < 2; w++) {
        LLVMValueRef at = LLVMBuildAdd(b, LLVMBuildMul(b, row.i, gemm_int(&g, 2), ""), gemm_int(&g, w), "");
        LLVMBuildStore(b, bound[w], LLVMBuildGEP2(b, g.i64, ranges, &at, 1, ""));
    }
    gemm_loop_end(b, &row);
    args[X_A] = gemm_at(&g, b, op.a, LLVMBuildMul(b, block.i, op.a_m, ""));
    args[X_C] = gemm_at(&g, b, op.c, LLVMBuildMul(b, block.i, op.c_m, ""));
    args[op.k_range ? X_KRANGES : X_NRANGES] = ranges;
    args[X_M] = m;
    LLVMBuildCall2(b, type, f, args, X_COUNT, "");
    gemm_loop_end(b, &block);
}

/* ---- a B that is kept ------------------------------------------------------------------------------------------ */

enum { KEEP_B, KEEP_TO, KEEP_K, KEEP_N, KEEP_STRIDE, KEEP_COUNT };

static LLVMTypeRef keep_type(const GemmBuild *g)
{
    LLVMTypeRef types[KEEP_COUNT] = {g->ptr, g->ptr, g->i64, g->i64, g->i64};
    return LLVMFunctionType(g->none, types, KEEP_COUNT, false);
}

LLVMValueRef amx_kept_size(const GemmTarget *t, LLVMBuilderRef b, LLVMValueRef k, LLVMValueRef n, int passes)
{
    GemmBuild g = gemm_build(t, &(Gemm){0});
    LLVMValueRef tiles = LLVMBuildLShr(b, LLVMBuildAdd(b, n, gemm_int(&g, AMX_ROWS - 1), ""), gemm_int(&g, 4), "");
    tiles = LLVMBuildMul(b, tiles, count_blocks(&g, b, k), "");
    return LLVMBuildMul(b, tiles, gemm_int(&g, tile_bytes(passes) / 4), "");
}

void amx_keep(const GemmTarget *t, LLVMBuilderRef b, const Gemm *op, int passes)
{
    GemmBuild g = gemm_build(t, op);
    bool beside = gemm_is(op->b_k, 1);
    LLVMTypeRef type = keep_type(&g);
    LLVMValueRef f = gemm_declare_shared(&g, passes, (char)(AMX_KIND + 4 + 2 * beside), type);
    LLVMValueRef args[KEEP_COUNT] = {op->b, op->kept, op->k, op->n, beside ? op->b_n : op->b_k};
    LLVMBuildCall2(b, type, f, args, KEEP_COUNT, "");
}

static void define_keep(const Amx *x, const char *name, bool beside)
{
    GemmBuild *g = x->g;
    LLVMValueRef f = gemm_function(g, name, keep_type(g), 2), p[KEEP_COUNT], zero = gemm_int(g, 0);
    LLVMSetLinkage(f, LLVMExternalLinkage);
    LLVMGetParams(f, p);
    LLVMBuilderRef b = LLVMCreateBuilderInContext(g->target->llvm);
    LLVMPositionBuilderAtEnd(b, LLVMAppendBasicBlockInContext(g->target->llvm, f, "entry"));
    LLVMValueRef n = count_blocks(g, b, p[KEEP_K]);
    AmxBlocks all = {.first = zero, .end = n, .base = zero, .step = n};
    amx_pack_b(x, b, beside, p[KEEP_B], p[KEEP_STRIDE], p[KEEP_N], zero, p[KEEP_K], &all, p[KEEP_TO]);
    LLVMBuildRetVoid(b);
    LLVMDisposeBuilder(b);
}

/* ---- intervals of rows ----------------------------------------------------------------------------------------- */

enum { HULL_LO, HULL_HI, HULL_MAX_LO, HULL_MIN_HI, HULL_COUNT };

typedef struct {
    Amx x;
    LLVMBuilderRef b;
    LLVMValueRef p[X_COUNT], pa, pb, pc; /* packed A and B; a tile of C across an edge */
    LLVMValueRef b_at, b_step;           /* of the piece of B at hand: its first tile, tiles between columns */
    LLVMValueRef hull, copy[2];          /* functions; copy: C to pc, pc to C */
    LLVMTypeRef hull_type, copy_type;
} Body;

static LLVMValueRef slot(const Body *y, LLVMValueRef array, int i)
{
    LLVMValueRef at = gemm_int(y->x.g, i);
    return LLVMBuildGEP2(y->b, y->x.g->i64, array, &at, 1, "");
}

static LLVMValueRef load_slot(const Body *y, LLVMValueRef array, int i)
{
    return LLVMBuildLoad2(y->b, y->x.g->i64, slot(y, array, i), "");
}

/* i64 hull(ptr ranges, i64 rows, i64 most, i1 stops, ptr out): of rows' intervals, cut to [0, most), in out the least
 * and the greatest element (0, 0: none), the greatest begin and the least end. Stops before the first row whose
 * interval does not touch those before it, if told so; returns the rows that it looked at. */
static void define_hull(Body *y)
{
    GemmBuild *g = y->x.g;
    LLVMTypeRef types[5] = {g->ptr, g->i64, g->i64, g->i1, g->ptr};
    y->hull_type = LLVMFunctionType(g->i64, types, 5, false);
    LLVMValueRef f = y->hull = gemm_function(g, "hull", y->hull_type, 0), p[5], zero = gemm_int(g, 0);
    LLVMGetParams(f, p);
    LLVMBuilderRef b = LLVMCreateBuilderInContext(g->target->llvm), outer = y->b;
    y->b = b;
    LLVMPositionBuilderAtEnd(b, LLVMAppendBasicBlockInContext(g->target->llvm, f, "entry"));
    LLVMValueRef first[HULL_COUNT] = {zero, zero, zero, p[2]};
    for (int i = 0; i < HULL_COUNT; i++) {
        LLVMBuildStore(b, first[i], slot(y, p[4], i));
    }
    LLVMBasicBlockRef gap = LLVMAppendBasicBlockInContext(g->target->llvm, f, "gap");
    LLVMBasicBlockRef some = LLVMAppendBasicBlockInContext(g->target->llvm, f, "some");
    LLVMBasicBlockRef touches = LLVMAppendBasicBlockInContext(g->target->llvm, f, "touches");
    LLVMBasicBlockRef next = LLVMAppendBasicBlockInContext(g->target->llvm, f, "next");
    GemmLoop row = gemm_loop(g, b, zero, p[1], gemm_int(g, 1));
    LLVMValueRef lo = gemm_max(b, gemm_min(b, amx_bound(&y->x, b, p[0], row.i, 0), p[2]), zero);
    LLVMValueRef hi = gemm_max(b, gemm_min(b, amx_bound(&y->x, b, p[0], row.i, 1), p[2]), lo);
    LLVMBuildStore(b, gemm_max(b, load_slot(y, p[4], HULL_MAX_LO), lo), slot(y, p[4], HULL_MAX_LO));
    LLVMBuildStore(b, gemm_min(b, load_slot(y, p[4], HULL_MIN_HI), hi), slot(y, p[4], HULL_MIN_HI));
    LLVMBuildCondBr(b, LLVMBuildICmp(b, LLVMIntSLT, lo, hi, ""), some, next);
    LLVMPositionBuilderAtEnd(b, some);
    LLVMValueRef old_lo = load_slot(y, p[4], HULL_LO), old_hi = load_slot(y, p[4], HULL_HI);
    LLVMValueRef empty = LLVMBuildICmp(b, LLVMIntEQ, old_lo, old_hi, "");
    LLVMValueRef apart =
        LLVMBuildOr(b, LLVMBuildICmp(b, LLVMIntSGT, lo, old_hi, ""), LLVMBuildICmp(b, LLVMIntSLT, hi, old_lo, ""), "");
    apart = LLVMBuildAnd(b, apart, LLVMBuildAnd(b, p[3], LLVMBuildNot(b, empty, ""), ""), "");
    LLVMBuildCondBr(b, apart, gap, touches);
    LLVMPositionBuilderAtEnd(b, touches);
    LLVMBuildStore(b, LLVMBuildSelect(b, empty, lo, gemm_min(b, lo, old_lo), ""), slot(y, p[4], HULL_LO));
    LLVMBuildStore(b, LLVMBuildSelect(b, empty, hi, gemm_max(b, hi, old_hi), ""), slot(y, p[4], HULL_HI));
    LLVMBuildBr(b, next);
    LLVMPositionBuilderAtEnd(b, gap);
    LLVMBuildRet(b, row.i);
    LLVMPositionBuilderAtEnd(b, next);
    gemm_loop_end(b, &row);
    LLVMBuildRet(b, p[1]);
    LLVMDisposeBuilder(b);
    y->b = outer;
}

static LLVMValueRef call_hull(const Body *y, LLVMValueRef ranges, LLVMValueRef rows, LLVMValueRef most,
                              LLVMValueRef stops, LLVMValueRef out)
{
    LLVMValueRef args[5] = {ranges, rows, most, stops, out};
    return LLVMBuildCall2(y->b, y->hull_type, y->hull, args, 5, "");
}

/* The blocks of k, of those in `all`, that hold a value of [lo, hi). */
static AmxBlocks blocks_of(const Body *y, const AmxBlocks *all, LLVMValueRef lo, LLVMValueRef hi)
{
    GemmBuild *g = y->x.g;
    LLVMBuilderRef b = y->b;
    LLVMValueRef five = gemm_int(g, 5), last = gemm_int(g, AMX_K - 1);
    LLVMValueRef first = LLVMBuildAShr(b, LLVMBuildSub(b, lo, all->base, ""), five, "");
    LLVMValueRef end = LLVMBuildAShr(b, LLVMBuildAdd(b, LLVMBuildSub(b, hi, all->base, ""), last, ""), five, "");
    AmxBlocks out = {.base = all->base, .step = all->step};
    out.first = gemm_max(b, gemm_min(b, first, all->end), all->first);
    out.end = gemm_max(b, gemm_min(b, end, all->end), out.first);
    return out;
}

/* ---- tiles of C ------------------------------------------------------------------------------------------------ */

/* void copy(ptr c, i64 c_m, ptr list, ptr tile, i64 rows, i64 columns, ptr ranges, i64 column): the part of C that a
 * tile covers, to it or from it. list, ranges: of its first row, or null; column: number of its first one. */
static void define_copy(Body *y, bool back)
{
    GemmBuild *g = y->x.g;
    LLVMTypeRef types[8] = {g->ptr, g->i64, g->ptr, g->ptr, g->i64, g->i64, g->ptr, g->i64};
    y->copy_type = LLVMFunctionType(g->none, types, 8, false);
    LLVMValueRef f = y->copy[back] = gemm_function(g, back ? "from_tile" : "to_tile", y->copy_type, 0), p[8];
    LLVMGetParams(f, p);
    LLVMBuilderRef b = LLVMCreateBuilderInContext(g->target->llvm), outer = y->b;
    y->b = b;
    LLVMPositionBuilderAtEnd(b, LLVMAppendBasicBlockInContext(g->target->llvm, f, "entry"));
    LLVMValueRef local = gemm_alloca(b, g->i64, 3, 8), zero = gemm_int(g, 0); /* distance, first and last column */
    LLVMValueRef listed = LLVMBuildNot(b, amx_is_null(&y->x, b, p[2]), "");
    LLVMValueRef ranged = LLVMBuildNot(b, amx_is_null(&y->x, b, p[6]), "");
    GemmLoop row = gemm_loop(g, b, zero, p[4], gemm_int(g, 1));
    LLVMBuildStore(b, LLVMBuildMul(b, row.i, p[1], ""), slot(y, local, 0));
    LLVMBuildStore(b, zero, slot(y, local, 1));
    LLVMBuildStore(b, p[5], slot(y, local, 2));
    LLVMBasicBlockRef after = gemm_if(g, b, listed);
    LLVMBuildStore(b, LLVMBuildLoad2(b, g->i64, LLVMBuildGEP2(b, g->i64, p[2], &row.i, 1, ""), ""), slot(y, local, 0));
    gemm_end(b, after);
    after = gemm_if(g, b, ranged);
    LLVMValueRef lo = LLVMBuildSub(b, amx_bound(&y->x, b, p[6], row.i, 0), p[7], "");
    LLVMValueRef hi = LLVMBuildSub(b, amx_bound(&y->x, b, p[6], row.i, 1), p[7], "");
    LLVMBuildStore(b, gemm_max(b, lo, zero), slot(y, local, 1));
    LLVMBuildStore(b, gemm_min(b, hi, p[5]), slot(y, local, 2));
    gemm_end(b, after);
    LLVMValueRef lanes = amx_lanes(&y->x, b, load_slot(y, local, 1), load_slot(y, local, 2));
    LLVMValueRef mask = amx_mask(&y->x, b, lanes, 0), c = gemm_at(g, b, p[0], load_slot(y, local, 0));
    LLVMValueRef tile = gemm_at(g, b, p[3], LLVMBuildMul(b, row.i, gemm_int(g, AMX_ROWS), ""));
    if (back) {
        gemm_store(g, b, gemm_load(g, b, tile, NULL), c, mask);
    } else {
        gemm_store(g, b, gemm_load(g, b, c, mask), tile, NULL);
    }
    gemm_loop_end(b, &row);
    LLVMBuildRetVoid(b);
    LLVMDisposeBuilder(b);
    y->b = outer;
}

/* A square of 2 x 2 tiles of C, or of fewer at the edges of the matrix. */
typedef struct {
    int rows, columns;                               /* tiles */
    LLVMValueRef m, n, row, column, c, list, ranges; /* rows and columns there are, numbers of the first ones */
    LLVMValueRef hull[2];                            /* of the intervals of columns of the rows of a tile */
    LLVMValueRef load, panel;                        /* panel: number of B's tile */
    AmxBlocks blocks;
} Square;

static LLVMValueRef number(const Body *y, int tile)
{
    return LLVMConstInt(y->x.i8, (unsigned)tile, false);
}

static void tile_memory(const Body *y, bool stores, int tile, LLVMValueRef at, LLVMValueRef stride)
{
    LLVMValueRef args[3] = {number(y, tile), at, stride};
    amx_call(&y->x, y->b, stores ? "llvm.x86.tilestored64" : "llvm.x86.tileloadd64", args, 3);
}

/* Tile i, j of the square lies inside C and all its cells are wanted: it can be read and written where it is. */
static LLVMValueRef is_whole(const Body *y, const Square *q, int i, int j)
{
    GemmBuild *g = y->x.g;
    LLVMBuilderRef b = y->b;
    LLVMValueRef whole = LLVMBuildICmp(b, LLVMIntSGE, q->m, gemm_int(g, AMX_ROWS * (i + 1LL)), "");
    whole = LLVMBuildAnd(b, whole, LLVMBuildICmp(b, LLVMIntSGE, q->n, gemm_int(g, AMX_ROWS * (j + 1LL)), ""), "");
    whole = LLVMBuildAnd(b, whole, amx_is_null(&y->x, b, y->p[X_CLIST]), "");
    LLVMValueRef first = LLVMBuildAdd(b, q->column, gemm_int(g, 16LL * j), "");
    LLVMValueRef end = LLVMBuildAdd(b, first, gemm_int(g, 16), "");
    LLVMValueRef inside = LLVMBuildICmp(b, LLVMIntSLE, load_slot(y, q->hull[i], HULL_MAX_LO), first, "");
    inside = LLVMBuildAnd(b, inside, LLVMBuildICmp(b, LLVMIntSGE, load_slot(y, q->hull[i], HULL_MIN_HI), end, ""), "");
    inside = LLVMBuildOr(b, inside, amx_is_null(&y->x, b, y->p[X_NRANGES]), "");
    return LLVMBuildAnd(b, whole, inside, "");
}

static void move_tile(const Body *y, const Square *q, int i, int j, bool stores)
{
    GemmBuild *g = y->x.g;
    LLVMBuilderRef b = y->b;
    LLVMContextRef llvm = g->target->llvm;
    LLVMValueRef f = LLVMGetBasicBlockParent(LLVMGetInsertBlock(b)), line = gemm_int(g, 64),
                 row = gemm_int(g, 16LL * i);
    LLVMBasicBlockRef whole = LLVMAppendBasicBlockInContext(llvm, f, "whole");
    LLVMBasicBlockRef edge = LLVMAppendBasicBlockInContext(llvm, f, "edge");
    LLVMBasicBlockRef join = LLVMAppendBasicBlockInContext(llvm, f, "join");
    LLVMValueRef c =
        gemm_at(g, b, q->c, LLVMBuildAdd(b, LLVMBuildMul(b, row, y->p[X_CM], ""), gemm_int(g, 16LL * j), ""));
    LLVMBuildCondBr(b, is_whole(y, q, i, j), whole, edge);
    LLVMPositionBuilderAtEnd(b, whole);
    tile_memory(y, stores, 2 * i + j, c, LLVMBuildMul(b, y->p[X_CM], gemm_int(g, 4), ""));
    LLVMBuildBr(b, join);
    LLVMPositionBuilderAtEnd(b, edge);
    LLVMValueRef twice = LLVMBuildMul(b, row, gemm_int(g, 2), ""), none = LLVMConstNull(g->ptr);
    LLVMValueRef listed = amx_is_null(&y->x, b, y->p[X_CLIST]), ranged = amx_is_null(&y->x, b, y->p[X_NRANGES]);
    LLVMValueRef of_list = gemm_at(g, b, q->c, gemm_int(g, 16LL * j));
    LLVMValueRef args[8] = {
        LLVMBuildSelect(b, listed, c, of_list, ""),
        y->p[X_CM],
        LLVMBuildSelect(b, listed, none, LLVMBuildGEP2(b, g->i64, q->list, &row, 1, ""), ""),
        y->pc,
        gemm_min(b, LLVMBuildSub(b, q->m, row, ""), gemm_int(g, AMX_ROWS)),
        gemm_min(b, LLVMBuildSub(b, q->n, gemm_int(g, 16LL * j), ""), gemm_int(g, AMX_ROWS)),
        LLVMBuildSelect(b, ranged, none, LLVMBuildGEP2(b, g->i64, q->ranges, &twice, 1, ""), ""),
        LLVMBuildAdd(b, q->column, gemm_int(g, 16LL * j), ""),
    };
    if (stores) {
        tile_memory(y, true, 2 * i + j, y->pc, line);
    }
    LLVMBuildCall2(b, y->copy_type, y->copy[stores], args, 8, "");
    if (!stores) {
        tile_memory(y, false, 2 * i + j, y->pc, line);
    }
    LLVMBuildBr(b, join);
    LLVMPositionBuilderAtEnd(b, join);
}

static LLVMValueRef packed_at(const Body *y, LLVMValueRef base, LLVMValueRef tile, LLVMValueRef step,
                              LLVMValueRef block, bool low)
{
    GemmBuild *g = y->x.g;
    LLVMBuilderRef b = y->b;
    LLVMValueRef at = LLVMBuildAdd(b, LLVMBuildMul(b, tile, step, ""), block, "");
    at = LLVMBuildMul(b, at, gemm_int(g, y->x.bytes), "");
    return amx_byte(&y->x, b, base, LLVMBuildAdd(b, at, gemm_int(g, low ? AMX_TILE : 0), ""));
}

/* Tiles 0-3: C, 4-5: A, 6-7: B. */
static void load_operand(const Body *y, const Square *q, bool of_b, LLVMValueRef block, bool low)
{
    GemmBuild *g = y->x.g;
    for (int i = 0; i < (of_b ? q->columns : q->rows); i++) {
        LLVMValueRef tile = of_b ? LLVMBuildAdd(y->b, q->panel, gemm_int(g, i), "") : gemm_int(g, i);
        LLVMValueRef base = of_b ? y->b_at : y->pa, step = of_b ? y->b_step : gemm_int(g, AMX_KB);
        tile_memory(y, false, (of_b ? 6 : 4) + i, packed_at(y, base, tile, step, block, low), gemm_int(g, 64));
    }
}

static void multiply(const Body *y, const Square *q)
{
    for (int i = 0; i < q->rows; i++) {
        for (int j = 0; j < q->columns; j++) {
            LLVMValueRef args[3] = {number(y, 2 * i + j), number(y, 4 + i), number(y, 6 + j)};
            amx_call(&y->x, y->b, "llvm.x86.tdpbf16ps", args, 3);
        }
    }
}

static void square(const Body *y, const Square *q)
{
    GemmBuild *g = y->x.g;
    LLVMBuilderRef b = y->b;
    LLVMContextRef llvm = g->target->llvm;
    LLVMValueRef f = LLVMGetBasicBlockParent(LLVMGetInsertBlock(b));
    LLVMBasicBlockRef adds = LLVMAppendBasicBlockInContext(llvm, f, "adds");
    LLVMBasicBlockRef sets = LLVMAppendBasicBlockInContext(llvm, f, "sets");
    LLVMBasicBlockRef begin = LLVMAppendBasicBlockInContext(llvm, f, "begin");
    LLVMBuildCondBr(b, q->load, adds, sets);
    LLVMPositionBuilderAtEnd(b, adds);
    for (int t = 0; t < 4; t++) {
        if (t / 2 < q->rows && t % 2 < q->columns) {
            move_tile(y, q, t / 2, t % 2, false);
        }
    }
    LLVMBuildBr(b, begin);
    LLVMPositionBuilderAtEnd(b, sets);
    for (int t = 0; t < 4; t++) {
        LLVMValueRef tile = number(y, t);
        amx_call(&y->x, b, "llvm.x86.tilezero", &tile, 1);
    }
    LLVMBuildBr(b, begin);
    LLVMPositionBuilderAtEnd(b, begin);
    GemmLoop block = gemm_loop(g, b, q->blocks.first, q->blocks.end, gemm_int(g, 1));
    load_operand(y, q, false, block.i, false);
    load_operand(y, q, true, block.i, false);
    multiply(y, q);
    if (y->x.passes == 3) {
        load_operand(y, q, false, block.i, true); /* the rest of A by B, */
        multiply(y, q);
        load_operand(y, q, false, block.i, false); /* A by the rest of B */
        load_operand(y, q, true, block.i, true);
        multiply(y, q);
    }
    gemm_loop_end(b, &block);
    for (int t = 0; t < 4; t++) {
        if (t / 2 < q->rows && t % 2 < q->columns) {
            move_tile(y, q, t / 2, t % 2, true);
        }
    }
}

/* The square in as many tiles as it has rows and columns for. */
static void any_square(const Body *y, Square *q)
{
    GemmBuild *g = y->x.g;
    LLVMBuilderRef b = y->b;
    LLVMContextRef llvm = g->target->llvm;
    LLVMValueRef f = LLVMGetBasicBlockParent(LLVMGetInsertBlock(b)), sixteen = gemm_int(g, AMX_ROWS);
    LLVMBasicBlockRef done = LLVMAppendBasicBlockInContext(llvm, f, "done"), half[2], whole[2][2];
    LLVMValueRef tall = LLVMBuildICmp(b, LLVMIntSGT, q->m, sixteen, "");
    LLVMValueRef wide = LLVMBuildICmp(b, LLVMIntSGT, q->n, sixteen, "");
    for (int i = 0; i < 2; i++) {
        half[i] = LLVMAppendBasicBlockInContext(llvm, f, i ? "tall" : "low");
        for (int j = 0; j < 2; j++) {
            whole[i][j] = LLVMAppendBasicBlockInContext(llvm, f, j ? "wide" : "narrow");
        }
    }
    LLVMBuildCondBr(b, tall, half[1], half[0]);
    for (int i = 0; i < 2; i++) {
        LLVMPositionBuilderAtEnd(b, half[i]);
        LLVMBuildCondBr(b, wide, whole[i][1], whole[i][0]);
        for (int j = 0; j < 2; j++) {
            LLVMPositionBuilderAtEnd(b, whole[i][j]);
            q->rows = i + 1;
            q->columns = j + 1;
            square(y, q);
            LLVMBuildBr(b, done);
        }
    }
    LLVMPositionBuilderAtEnd(b, done);
}

/* ---- the function ---------------------------------------------------------------------------------------------- */

/* Rows [from, to) of C, columns n0 .. n0 + n, against the packed B. */
static void rows_of(const Body *y, bool a_beside, LLVMValueRef from, LLVMValueRef to, LLVMValueRef n0, LLVMValueRef n,
                    const AmxBlocks *blocks, LLVMValueRef load, LLVMValueRef hulls[3])
{
    GemmBuild *g = y->x.g;
    LLVMBuilderRef b = y->b;
    LLVMValueRef zero = gemm_int(g, 0), none = LLVMConstNull(g->ptr), two = gemm_int(g, 2);
    LLVMValueRef k_free = amx_is_null(&y->x, b, y->p[X_KRANGES]), n_free = amx_is_null(&y->x, b, y->p[X_NRANGES]);
    LLVMValueRef even = amx_is_null(&y->x, b, y->p[X_ALIST]), never = LLVMConstInt(g->i1, 0, false);
    GemmLoop row = gemm_loop(g, b, from, to, gemm_int(g, MR));
    LLVMValueRef m = gemm_min(b, LLVMBuildSub(b, to, row.i, ""), gemm_int(g, MR)),
                 twice = LLVMBuildMul(b, row.i, two, "");
    LLVMValueRef ranges[2];
    for (int w = 0; w < 2; w++) {
        ranges[w] = LLVMBuildGEP2(b, g->i64, y->p[w ? X_NRANGES : X_KRANGES], &twice, 1, "");
    }
    LLVMBuildStore(b, zero, slot(y, hulls[2], HULL_LO));
    LLVMBuildStore(b, y->p[X_K], slot(y, hulls[2], HULL_HI));
    LLVMBasicBlockRef ranged = gemm_if(g, b, LLVMBuildNot(b, k_free, ""));
    call_hull(y, ranges[0], m, y->p[X_K], never, hulls[2]);
    gemm_end(b, ranged);
    ranged = gemm_if(g, b, LLVMBuildNot(b, n_free, ""));
    for (int i = 0; i < 2; i++) {
        LLVMValueRef first = gemm_int(g, 32LL * i), rows = LLVMBuildSub(b, m, gemm_int(g, 16LL * i), "");
        call_hull(y, LLVMBuildGEP2(b, g->i64, ranges[1], &first, 1, ""), gemm_min(b, rows, gemm_int(g, AMX_ROWS)),
                  y->p[X_N], never, hulls[i]);
    }
    gemm_end(b, ranged);
    AmxBlocks part = blocks_of(y, blocks, load_slot(y, hulls[2], HULL_LO), load_slot(y, hulls[2], HULL_HI));
    part.step = gemm_int(g, AMX_KB);
    LLVMValueRef skip = LLVMBuildMul(b, row.i, a_beside ? y->p[X_AS] : gemm_int(g, 1), "");
    LLVMValueRef a = gemm_at(g, b, y->p[X_A], LLVMBuildSelect(b, even, skip, zero, ""));
    amx_pack_a(&y->x, b, a_beside, a, y->p[X_AS], m, y->p[X_K], LLVMBuildSelect(b, k_free, none, ranges[0], ""),
               LLVMBuildSelect(b, even, none, LLVMBuildGEP2(b, g->i64, y->p[X_ALIST], &row.i, 1, ""), ""), &part,
               y->pa);
    GemmLoop col = gemm_loop(g, b, zero, n, gemm_int(g, MR));
    Square q = {.m = m, .row = row.i, .ranges = ranges[1], .hull = {hulls[0], hulls[1]}, .load = load, .blocks = part};
    q.n = gemm_min(b, LLVMBuildSub(b, n, col.i, ""), gemm_int(g, MR));
    q.column = LLVMBuildAdd(b, n0, col.i, "");
    q.panel = LLVMBuildLShr(b, col.i, gemm_int(g, 4), "");
    q.list = LLVMBuildGEP2(b, g->i64, y->p[X_CLIST], &row.i, 1, "");
    LLVMValueRef c =
        LLVMBuildSelect(b, amx_is_null(&y->x, b, y->p[X_CLIST]), LLVMBuildMul(b, row.i, y->p[X_CM], ""), zero, "");
    q.c = gemm_at(g, b, y->p[X_C], LLVMBuildAdd(b, c, q.column, ""));
    LLVMValueRef wanted = n_free, end = LLVMBuildAdd(b, q.column, q.n, "");
    for (int i = 0; i < 2; i++) {
        LLVMValueRef in = LLVMBuildICmp(b, LLVMIntSLT, load_slot(y, hulls[i], HULL_LO), end, "");
        in = LLVMBuildAnd(b, in, LLVMBuildICmp(b, LLVMIntSLT, q.column, load_slot(y, hulls[i], HULL_HI), ""), "");
        wanted = LLVMBuildOr(b, wanted, in, "");
    }
    LLVMBasicBlockRef after = gemm_if(g, b, wanted);
    any_square(y, &q);
    gemm_end(b, after);
    gemm_loop_end(b, &col);
    gemm_loop_end(b, &row);
}

static void body(Body *y, bool a_beside, bool b_beside)
{
    GemmBuild *g = y->x.g;
    LLVMBuilderRef b = y->b;
    LLVMValueRef zero = gemm_int(g, 0), k = gemm_max(b, y->p[X_K], zero), hulls[3], run = gemm_alloca(b, g->i64, 4, 8);
    y->p[X_K] = k;
    y->pa = gemm_alloca(b, y->x.i8, 2LL * AMX_KB * y->x.bytes, 64);
    y->pb = gemm_alloca(b, y->x.i8, (long long)AMX_NT * AMX_KB * y->x.bytes, 64);
    y->pc = gemm_alloca(b, y->x.i8, AMX_TILE, 64);
    for (int i = 0; i < 3; i++) {
        hulls[i] = gemm_alloca(b, g->i64, HULL_COUNT, 8);
        for (int j = 0; j < HULL_COUNT; j++) {
            LLVMBuildStore(b, zero, slot(y, hulls[i], j));
        }
    }
    LLVMValueRef shift = LLVMBuildAnd(b, y->p[X_FIRST], gemm_int(g, AMX_K - 1), "");
    LLVMValueRef nblocks = LLVMBuildAdd(b, LLVMBuildAdd(b, k, shift, ""), gemm_int(g, AMX_K - 1), "");
    nblocks = LLVMBuildLShr(b, nblocks, gemm_int(g, 5), "");
    LLVMValueRef k_free = amx_is_null(&y->x, b, y->p[X_KRANGES]), packs = amx_is_null(&y->x, b, y->p[X_KEPT]);
    y->b_step = LLVMBuildSelect(b, packs, gemm_int(g, AMX_KB), y->p[X_STEP], "");
    GemmLoop cols = gemm_loop(g, b, zero, y->p[X_N], gemm_int(g, 16LL * AMX_NT));
    LLVMValueRef n = gemm_min(b, LLVMBuildSub(b, y->p[X_N], cols.i, ""), gemm_int(g, 16LL * AMX_NT));
    /* At least once: a sum over nothing is 0 and must be stored. */
    GemmLoop ks = gemm_loop(g, b, zero, gemm_max(b, nblocks, gemm_int(g, 1)), gemm_int(g, AMX_KB));
    AmxBlocks all = {.first = zero, .step = gemm_int(g, AMX_KB)};
    all.end = gemm_min(b, LLVMBuildSub(b, nblocks, ks.i, ""), gemm_int(g, AMX_KB));
    all.base = LLVMBuildSub(b, LLVMBuildMul(b, ks.i, gemm_int(g, AMX_K), ""), shift, "");
    LLVMValueRef load = LLVMBuildOr(b, LLVMBuildICmp(b, LLVMIntNE, y->p[X_LOAD], zero, ""),
                                    LLVMBuildICmp(b, LLVMIntSGT, ks.i, zero, ""), "");
    LLVMValueRef kept = LLVMBuildMul(b, LLVMBuildLShr(b, cols.i, gemm_int(g, 4), ""), y->p[X_STEP], "");
    kept = LLVMBuildMul(b, LLVMBuildAdd(b, kept, ks.i, ""), gemm_int(g, y->x.bytes), "");
    y->b_at = LLVMBuildSelect(b, packs, y->pb, amx_byte(&y->x, b, y->p[X_KEPT], kept), "");
    GemmLoop rows = gemm_loop(g, b, zero, y->p[X_M], gemm_int(g, 1));
    LLVMValueRef left = LLVMBuildSub(b, y->p[X_M], rows.i, ""), length = gemm_alloca(b, g->i64, 1, 8);
    LLVMBuildStore(b, zero, slot(y, run, HULL_LO));
    LLVMBuildStore(b, k, slot(y, run, HULL_HI));
    LLVMBuildStore(b, left, length);
    LLVMBasicBlockRef ranged = gemm_if(g, b, LLVMBuildNot(b, k_free, ""));
    LLVMValueRef first = LLVMBuildMul(b, rows.i, gemm_int(g, 2), "");
    LLVMValueRef ranges = LLVMBuildGEP2(b, g->i64, y->p[X_KRANGES], &first, 1, "");
    LLVMBuildStore(b, call_hull(y, ranges, left, k, packs, run), length);
    gemm_end(b, ranged);
    LLVMValueRef lo = load_slot(y, run, HULL_LO), hi = load_slot(y, run, HULL_HI);
    AmxBlocks part = blocks_of(y, &all, lo, hi);
    LLVMBasicBlockRef packed = gemm_if(g, b, packs);
    LLVMValueRef from = LLVMBuildMul(b, cols.i, b_beside ? y->p[X_BS] : gemm_int(g, 1), "");
    amx_pack_b(&y->x, b, b_beside, gemm_at(g, b, y->p[X_B], from), y->p[X_BS], n, lo, hi, &part, y->pb);
    gemm_end(b, packed);
    rows.step = LLVMBuildLoad2(b, g->i64, length, "");
    rows_of(y, a_beside, rows.i, LLVMBuildAdd(b, rows.i, rows.step, ""), cols.i, n, &part, load, hulls);
    gemm_loop_end(b, &rows);
    gemm_loop_end(b, &ks);
    gemm_loop_end(b, &cols);
}

/* Eight tiles of 16 rows of 64 bytes: palette 1, bytes of a row at 16, rows at 48 of the 64 that ldtilecfg reads. */
static LLVMValueRef configuration(const Amx *x)
{
    LLVMValueRef byte[64];
    for (int i = 0; i < 64; i++) {
        unsigned v = i == 0 ? 1 : i >= 16 && i < 32 && i % 2 == 0 ? 64 : i >= 48 && i < 56 ? AMX_ROWS : 0;
        byte[i] = LLVMConstInt(x->i8, v, false);
    }
    LLVMValueRef g = LLVMAddGlobal(x->g->target->module, LLVMArrayType2(x->i8, 64), "tiles");
    LLVMSetInitializer(g, LLVMConstArray2(x->i8, byte, 64));
    LLVMSetGlobalConstant(g, true);
    LLVMSetLinkage(g, LLVMPrivateLinkage);
    LLVMSetAlignment(g, 64);
    return g;
}

void amx_define(const GemmTarget *t, int passes, char kind)
{
    Gemm op = {0};
    GemmBuild g = gemm_build(t, &op);
    LLVMContextRef llvm = t->llvm;
    Body y = {.x = {.g = &g, .passes = passes, .bytes = tile_bytes(passes)}};
    y.x.i8 = LLVMInt8TypeInContext(llvm);
    y.x.i16 = LLVMInt16TypeInContext(llvm);
    y.x.mask = LLVMVectorType(g.i1, 16);
    y.x.words = LLVMVectorType(y.x.i16, 32);
    y.x.pairs = LLVMVectorType(g.i32, 16);
    char name[64];
    gemm_shared_name(false, passes, kind, name);
    if ((kind - AMX_KIND) & 4) {
        define_keep(&y.x, name, (kind - AMX_KIND) & 2);
        return;
    }
    LLVMTypeRef type = function_type(&g);
    LLVMValueRef f = gemm_function(&g, name, type, 0);
    LLVMSetLinkage(f, LLVMExternalLinkage);
    define_hull(&y);
    define_copy(&y, false);
    define_copy(&y, true);
    y.b = LLVMCreateBuilderInContext(llvm);
    LLVMPositionBuilderAtEnd(y.b, LLVMAppendBasicBlockInContext(llvm, f, "entry"));
    LLVMGetParams(f, y.p);
    LLVMValueRef tiles = configuration(&y.x);
    amx_call(&y.x, y.b, "llvm.x86.ldtilecfg", &tiles, 1);
    body(&y, (kind - AMX_KIND) & 1, (kind - AMX_KIND) & 2);
    amx_call(&y.x, y.b, "llvm.x86.tilerelease", NULL, 0);
    LLVMBuildRetVoid(y.b);
    LLVMDisposeBuilder(y.b);
}
