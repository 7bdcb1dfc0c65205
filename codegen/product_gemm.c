/* The loops around the tiles of a matrix product; product_gemm.h has the picture.
 *
 * A strip is all rows of a block against one panel of columns: as many tiles of mr rows as fit, then smaller ones.
 * It is a function of its own, because a product calls it from several places (whole panels, the last panel). */
#include "fault.h"
#include "product_micro.h"
#include "product_turned.h"
#include <stdio.h>
#include <string.h>

/* A block of B (KC rows, a panel) and its tile's rows of A stay in the first cache; all panels of NC columns and MC
 * rows of A in the second. Up to KC_WHOLE, reading the second cache costs less than sums that leave the registers.
 * (400 x 4096 x 400 TN by 1024: 72 % of the peak with 256, 78 % with 96.) */
enum { KC = 96, KC_WHOLE = 384, MC = GEMM_BLOCK, NC = 320 };

static long long value_of(LLVMValueRef v) /* 0: not known now */
{
    return LLVMIsAConstantInt(v) ? LLVMConstIntGetSExtValue(v) : 0;
}

/* Of a row of a panel of so many vectors, in vectors of a wide one: narrow tiles are slower. */
const double gemm_panel_cost[GEMM_MAX_VECTORS + 1] = {0, 1.5, 2.2, 3.05, 4, 5};

/* Vectors of a panel. A known width is cut so that the panels are full and alike. */
int gemm_panel_width(const GemmTarget *t, long long n)
{
    int most = t->registers == 32 ? 5 : 2, usual = t->registers == 32 ? 4 : 2;
    long long vectors = n > 0 ? (n + t->lanes - 1) / t->lanes : usual;
    if (vectors <= usual) {
        return (int)vectors * t->lanes;
    }
    int best = usual;
    double least = 0;
    for (int nv = usual - (usual > 2); nv <= most; nv++) {
        long long whole = vectors / nv;
        double c = (double)whole * gemm_panel_cost[nv] + gemm_panel_cost[vectors % nv];
        if (least == 0 || c < least - 1e-9 || (c < least + 1e-9 && nv == usual)) {
            least = c;
            best = nv;
        }
    }
    return best * t->lanes;
}

/* ---- strips ------------------------------------------------------------------------------------------------- */

enum {
    S_A,
    S_B,
    S_C,
    S_M,
    S_K,
    S_AM,
    S_AK,
    S_BK,
    S_CM,
    S_CN,
    S_LOAD,
    S_NCOLS,
    S_FIRST,
    S_RANGES,
    S_ALIST,
    S_CLIST,
    S_COUNT
};

typedef struct {
    GemmBuild *g;
    LLVMBuilderRef b;
    LLVMValueRef f, p[S_COUNT], bounds, buffer; /* of a tile across an edge: its rows' intervals, its elements */
    int nv;
    bool masked;
} Strip;

static LLVMValueRef row_of(Strip *s, int operand, LLVMValueRef r)
{
    if (s->g->op->a_list) {
        return s->p[operand]; /* the lists lead from there to each row */
    }
    return gemm_at(s->g, s->b, s->p[operand], LLVMBuildMul(s->b, r, s->p[operand == S_A ? S_AM : S_CM], ""));
}

/* Calls the tile for `mr` rows from row `r` on and k[0] values of k from value `k0` of the block on; k[1] and k[2]: of
 * a ragged tile, else NULL. C lies at c, or is what edge_of_columns says: nv vectors of the panel, behind its first
 * `skip` columns. */
static void call_tile_at(Strip *s, int mr, LLVMValueRef r, LLVMValueRef k0, LLVMValueRef k[3], LLVMValueRef load,
                         int nv, LLVMValueRef skip, LLVMValueRef c, LLVMValueRef c_m, LLVMValueRef c_n)
{
    GemmBuild *g = s->g;
    LLVMBuilderRef b = s->b;
    LLVMValueRef tile = gemm_tile(g, mr, nv, s->masked, k[1] != NULL), zero = gemm_int(g, 0);
    LLVMValueRef ncols = LLVMBuildSub(b, s->p[S_NCOLS], skip, "");
    LLVMValueRef a = gemm_at(g, b, row_of(s, S_A, r), LLVMBuildMul(b, k0, s->p[S_AK], ""));
    LLVMValueRef row = LLVMBuildAdd(b, LLVMBuildMul(b, k0, s->p[S_BK], ""), skip, "");
    LLVMValueRef args[17] = {
        a, gemm_at(g, b, s->p[S_B], row), c, k[0], s->p[S_AM], s->p[S_AK], s->p[S_BK], c_m, c_n, load, ncols};
    args[13] = s->bounds ? s->bounds : LLVMConstNull(g->ptr);
    args[14] = k0;
    args[15] = k[1] ? k[1] : zero;
    args[16] = k[1] ? k[2] : zero;
    for (int i = 0; i < 2; i++) {
        args[11 + i] = LLVMBuildGEP2(b, g->i64, s->p[S_ALIST + i], &r, 1, "");
    }
    LLVMBuildCall2(b, g->tile_type, tile, args, 17, "");
}

static void call_tile(Strip *s, int mr, LLVMValueRef r, LLVMValueRef k0, LLVMValueRef k, LLVMValueRef load)
{
    LLVMValueRef values[3] = {k};
    call_tile_at(s, mr, r, k0, values, load, s->nv, gemm_int(s->g, 0), row_of(s, S_C, r), s->p[S_CM], s->p[S_CN]);
}

/* Bounds `which` (0: lower, 1: upper) of rows r .. r + lanes - 1. */
static LLVMValueRef bounds_from(Strip *s, LLVMValueRef r, int which, LLVMTypeRef type)
{
    GemmBuild *g = s->g;
    LLVMValueRef at = LLVMBuildAdd(s->b, r, gemm_int(g, which * GEMM_RANGES), "");
    LLVMValueRef v = LLVMBuildLoad2(s->b, type, LLVMBuildGEP2(s->b, g->i32, s->p[S_RANGES], &at, 1, ""), "");
    LLVMSetAlignment(v, 4);
    return v;
}

/* Whether x < y in one of the first `rows` lanes. */
static LLVMValueRef any_less(Strip *s, LLVMValueRef x, LLVMValueRef y, int rows)
{
    LLVMContextRef llvm = s->g->target->llvm;
    LLVMValueRef less = LLVMBuildICmp(s->b, LLVMIntSLT, x, y, "");
    unsigned lanes = LLVMGetVectorSize(LLVMTypeOf(x));
    LLVMTypeRef bits = LLVMIntTypeInContext(llvm, lanes);
    LLVMValueRef set = LLVMBuildBitCast(s->b, less, bits, "");
    set = LLVMBuildAnd(s->b, set, LLVMConstInt(bits, (1ull << rows) - 1, false), "");
    return LLVMBuildICmp(s->b, LLVMIntNE, set, LLVMConstNull(bits), "");
}

/* Whether the intervals of rows r .. r + rows all hold first .. first + n. */
static LLVMValueRef all_inside(Strip *s, int rows, LLVMValueRef r, LLVMValueRef n)
{
    GemmBuild *g = s->g;
    LLVMBuilderRef b = s->b;
    unsigned lanes = rows > 8 ? 16 : rows > 4 ? 8 : rows > 2 ? 4 : 2;
    LLVMTypeRef type = LLVMVectorType(g->i32, lanes);
    LLVMValueRef first = LLVMBuildTrunc(b, s->p[S_FIRST], g->i32, "");
    LLVMValueRef end = LLVMBuildAdd(b, first, LLVMBuildTrunc(b, n, g->i32, ""), "");
    LLVMValueRef late = any_less(s, gemm_splat(g, b, type, first), bounds_from(s, r, 0, type), rows);
    LLVMValueRef early = any_less(s, bounds_from(s, r, 1, type), gemm_splat(g, b, type, end), rows);
    return LLVMBuildNot(b, LLVMBuildOr(b, late, early, ""), "");
}

/* Bound `which` (0: lower, 1: upper) of row r, relative to the first k or column here. */
static LLVMValueRef bound_of(Strip *s, LLVMValueRef r, int which)
{
    LLVMValueRef v = LLVMBuildSExt(s->b, bounds_from(s, r, which, s->g->i32), s->g->i64, "");
    return LLVMBuildSub(s->b, v, s->p[S_FIRST], "");
}

static LLVMValueRef clamp(const GemmBuild *g, LLVMBuilderRef b, LLVMValueRef x, LLVMValueRef most)
{
    return gemm_max(b, gemm_min(b, x, most), gemm_int(g, 0));
}

/* Rows r .. r + mr of which each has its own interval of columns, and not all hold all of the panel: what some row
 * needs, by whole vectors, goes to a buffer, from where the cells inside are copied; what they are added to is copied
 * into it first. Where the other cells count for nothing it all goes to C itself. */
static void edge_of_columns(Strip *s, int mr, LLVMValueRef r)
{
    GemmBuild *g = s->g;
    LLVMBuilderRef b = s->b;
    LLVMValueRef lo = NULL, hi = NULL; /* least and greatest over the rows */
    for (int i = 0; i < mr; i++) {
        LLVMValueRef row = LLVMBuildAdd(b, r, gemm_int(g, i), ""), bound[2];
        for (int w = 0; w < 2; w++) {
            bound[w] = clamp(g, b, bound_of(s, row, w), s->p[S_NCOLS]);
            LLVMValueRef at = gemm_int(g, 2 * i + w);
            LLVMBuildStore(b, bound[w], LLVMBuildGEP2(b, g->i64, s->bounds, &at, 1, ""));
        }
        lo = i ? gemm_min(b, lo, bound[0]) : bound[0];
        hi = i ? gemm_max(b, hi, bound[1]) : bound[1];
    }
    LLVMBasicBlockRef after = gemm_if(g, b, LLVMBuildICmp(b, LLVMIntSLT, lo, hi, ""));
    int lanes = g->target->lanes;
    bool loose = g->op->loose;
    LLVMValueRef one = gemm_int(g, 1), width = gemm_int(g, (long long)s->nv * lanes), c = row_of(s, S_C, r);
    LLVMValueRef to = loose ? c : s->buffer, to_m = loose ? s->p[S_CM] : width, to_n = loose ? s->p[S_CN] : one;
    if (!loose) {
        LLVMValueRef in[8] = {c, s->p[S_CM], s->p[S_CN], to, to_m, to_n, gemm_int(g, mr), s->bounds};
        LLVMBasicBlockRef loaded = gemm_if(g, b, s->p[S_LOAD]);
        LLVMBuildCall2(b, g->copy_type, gemm_copy(g), in, 8, "");
        gemm_end(b, loaded);
    }
    /* Whole tiles have narrower ones for their edges. */
    int narrowest = mr == gemm_tile_rows(g->target, s->nv) ? 1 : s->nv;
    LLVMValueRef from = LLVMBuildSDiv(b, lo, gemm_int(g, lanes), "");
    LLVMValueRef vectors = LLVMBuildSDiv(b, LLVMBuildAdd(b, hi, gemm_int(g, lanes - 1), ""), gemm_int(g, lanes), "");
    vectors = LLVMBuildSub(b, vectors, from, "");
    LLVMBasicBlockRef done = LLVMAppendBasicBlockInContext(g->target->llvm, s->f, "done");
    for (int nv = narrowest; nv <= s->nv; nv++) {
        LLVMBasicBlockRef wider = LLVMAppendBasicBlockInContext(g->target->llvm, s->f, "wider");
        if (nv < s->nv) {
            LLVMBasicBlockRef fits = LLVMAppendBasicBlockInContext(g->target->llvm, s->f, "fits");
            LLVMBuildCondBr(b, LLVMBuildICmp(b, LLVMIntSLE, vectors, gemm_int(g, nv), ""), fits, wider);
            LLVMPositionBuilderAtEnd(b, fits);
        }
        LLVMValueRef skip = nv < s->nv ? LLVMBuildMul(b, from, gemm_int(g, lanes), "") : gemm_int(g, 0);
        LLVMValueRef at = gemm_at(g, b, to, LLVMBuildMul(b, skip, to_n, "")), k[3] = {s->p[S_K]};
        call_tile_at(s, mr, r, gemm_int(g, 0), k, s->p[S_LOAD], nv, skip, at, to_m, to_n);
        LLVMBuildBr(b, done);
        LLVMPositionBuilderAtEnd(b, wider);
    }
    LLVMBuildUnreachable(b);
    LLVMPositionBuilderAtEnd(b, done);
    if (!loose) {
        LLVMValueRef out[8] = {to, to_m, to_n, c, s->p[S_CM], s->p[S_CN], gemm_int(g, mr), s->bounds};
        LLVMBuildCall2(b, g->copy_type, gemm_copy(g), out, 8, "");
    }
    gemm_end(b, after);
}

/* Rows r .. r + mr where each row has its own interval of k: before the interval common to all, in it, behind it. In
 * this order every element still sums over ascending k. */
static void edge_of_k(Strip *s, int mr, LLVMValueRef r)
{
    GemmBuild *g = s->g;
    LLVMBuilderRef b = s->b;
    LLVMValueRef first = NULL, mid_lo = NULL, mid_hi = NULL, last = NULL;
    for (int i = 0; i < mr; i++) {
        LLVMValueRef row = LLVMBuildAdd(b, r, gemm_int(g, i), ""), bound[2];
        bound[0] = clamp(g, b, bound_of(s, row, 0), s->p[S_K]);
        bound[1] = gemm_max(b, clamp(g, b, bound_of(s, row, 1), s->p[S_K]), bound[0]);
        for (int w = 0; w < 2; w++) {
            LLVMValueRef at = gemm_int(g, 2 * i + w), v = w ? LLVMBuildSub(b, bound[1], bound[0], "") : bound[0];
            LLVMBuildStore(b, LLVMBuildTrunc(b, v, g->i32, ""), LLVMBuildGEP2(b, g->i32, s->bounds, &at, 1, ""));
        }
        first = i ? gemm_min(b, first, bound[0]) : bound[0];
        mid_lo = i ? gemm_max(b, mid_lo, bound[0]) : bound[0];
        mid_hi = i ? gemm_min(b, mid_hi, bound[1]) : bound[1];
        last = i ? gemm_max(b, last, bound[1]) : bound[1];
    }
    mid_hi = gemm_max(b, mid_lo, mid_hi);
    /* A sum over nothing is stored, but to add nothing is to leave it: half of all rows, where keys gather from a tile.
     */
    LLVMValueRef load = s->p[S_LOAD];
    LLVMValueRef stores = LLVMBuildOr(b, LLVMBuildNot(b, load, ""), LLVMBuildICmp(b, LLVMIntSLT, first, last, ""), "");
    LLVMBasicBlockRef after = gemm_if(g, b, stores);
    if (mr == 1) {
        call_tile(s, mr, r, first, LLVMBuildSub(b, last, first, ""), load);
    } else {
        LLVMValueRef k[3] = {LLVMBuildSub(b, mid_lo, first, ""), LLVMBuildSub(b, mid_hi, mid_lo, ""),
                             FAULT(32) ? gemm_int(g, 0) : LLVMBuildSub(b, last, mid_hi, "")};
        call_tile_at(s, mr, r, first, k, load, s->nv, gemm_int(g, 0), row_of(s, S_C, r), s->p[S_CM], s->p[S_CN]);
    }
    gemm_end(b, after);
}

LLVMValueRef gemm_strip(GemmBuild *g, int nv, bool masked, LLVMTypeRef *type)
{
    LLVMTypeRef types[S_COUNT];
    for (int i = 0; i < S_COUNT; i++) {
        types[i] = i <= S_C || i >= S_RANGES ? g->ptr : i == S_LOAD ? g->i1 : g->i64;
    }
    *type = LLVMFunctionType(g->none, types, S_COUNT, false);
    const Gemm *op = g->op;
    if (g->target->shares && !op->a_list && gemm_is(op->c_n, 1)) {
        return gemm_declare_shared(g, nv, op->k_range ? 'k' : !op->n_range ? 's' : op->loose ? 'l' : 'n', *type);
    }
    char name[64];
    snprintf(name, sizeof name, "strip_%d%s", nv, masked ? "m" : "");
    Strip s = {.g = g, .nv = nv, .masked = masked};
    s.f = gemm_function(g, name, *type, 3);
    LLVMBuilderRef b = s.b = LLVMCreateBuilderInContext(g->target->llvm);
    LLVMPositionBuilderAtEnd(b, LLVMAppendBasicBlockInContext(g->target->llvm, s.f, "entry"));
    LLVMValueRef constant[S_COUNT] = {
        [S_AM] = op->a_m, [S_AK] = op->a_k, [S_BK] = g->b_k, [S_CM] = op->c_m, [S_CN] = op->c_n};
    for (unsigned i = 0; i < S_COUNT; i++) {
        s.p[i] = constant[i] && LLVMIsAConstantInt(constant[i]) ? constant[i] : LLVMGetParam(s.f, i);
    }
    LLVMValueRef done = gemm_int(g, 0), m = s.p[S_M];
    int rows = gemm_tile_rows(g->target, nv);
    if (op->n_range || op->k_range) {
        s.bounds = gemm_alloca(b, g->i64, 2 * GEMM_MAX_ROWS, 8);
    }
    if (op->n_range && !op->loose) {
        s.buffer = gemm_alloca(b, g->real, (long long)rows * nv * g->target->lanes, 64);
    }
    for (;;) {
        LLVMValueRef end = LLVMBuildAdd(b, LLVMBuildSub(b, m, gemm_int(g, rows), ""), gemm_int(g, 1), "");
        GemmLoop loop = gemm_loop(g, b, done, end, gemm_int(g, rows));
        if (op->n_range || op->k_range) {
            LLVMValueRef inside = all_inside(&s, rows, loop.i, op->n_range ? s.p[S_NCOLS] : s.p[S_K]);
            LLVMBasicBlockRef whole = LLVMAppendBasicBlockInContext(g->target->llvm, s.f, "whole");
            LLVMBasicBlockRef partly = LLVMAppendBasicBlockInContext(g->target->llvm, s.f, "partly");
            LLVMBasicBlockRef next = LLVMAppendBasicBlockInContext(g->target->llvm, s.f, "next");
            LLVMBuildCondBr(b, inside, whole, partly);
            LLVMPositionBuilderAtEnd(b, whole);
            call_tile(&s, rows, loop.i, gemm_int(g, 0), s.p[S_K], s.p[S_LOAD]);
            LLVMBuildBr(b, next);
            LLVMPositionBuilderAtEnd(b, partly);
            (op->n_range ? edge_of_columns : edge_of_k)(&s, rows, loop.i);
            LLVMBuildBr(b, next);
            LLVMPositionBuilderAtEnd(b, next);
        } else {
            call_tile(&s, rows, loop.i, gemm_int(g, 0), s.p[S_K], s.p[S_LOAD]);
        }
        gemm_loop_end(b, &loop);
        done = loop.i;
        if (rows == 1) {
            break;
        }
        rows = gemm_rest_rows(rows);
    }
    LLVMBuildRetVoid(b);
    LLVMDisposeBuilder(b);
    return s.f;
}

/* ---- blocks ------------------------------------------------------------------------------------------------- */

typedef struct {
    GemmBuild *g;
    LLVMBuilderRef b;
    LLVMValueRef a, panels, c, m, k, n, n0, k0, load, ranges, list[2]; /* of the current block */
    LLVMValueRef strip[GEMM_MAX_VECTORS + 1][2];
    LLVMTypeRef strip_type;
} Block;

static void call_strip(Block *x, int nv, bool masked, LLVMValueRef column, LLVMValueRef ncols)
{
    GemmBuild *g = x->g;
    LLVMBuilderRef b = x->b;
    LLVMValueRef *f = &x->strip[nv][masked];
    if (!*f) {
        *f = gemm_strip(g, nv, masked, &x->strip_type);
    }
    const Gemm *op = g->op;
    LLVMValueRef per_column = g->op->kept ? g->op->kept_k : g->packed ? x->k : gemm_int(g, 1);
    LLVMValueRef panel = gemm_at(g, b, x->panels, LLVMBuildMul(b, column, per_column, ""));
    LLVMValueRef c = gemm_at(g, b, x->c, LLVMBuildMul(b, column, op->c_n, ""));
    LLVMValueRef first = op->n_range ? LLVMBuildAdd(b, x->n0, column, "") : x->k0;
    LLVMValueRef args[S_COUNT] = {x->a,    panel,   c,       x->m,  x->k,  op->a_m,   op->a_k,    g->b_k,
                                  op->c_m, op->c_n, x->load, ncols, first, x->ranges, x->list[0], x->list[1]};
    LLVMBuildCall2(b, x->strip_type, *f, args, S_COUNT, "");
}

/* One block of rows against all panels of the block of columns. Where n is not known, the rest is one vector, two or a
 * whole panel under a mask, and all panels use the masked tiles, so that there are few of them to compile. */
static void all_panels(Block *x, int nv)
{
    GemmBuild *g = x->g;
    LLVMBuilderRef b = x->b;
    int width = nv * g->target->lanes;
    bool known = LLVMIsAConstantInt(g->op->n);
    long long n = known ? LLVMConstIntGetSExtValue(g->op->n) : 0;
    LLVMValueRef done = gemm_int(g, 0), whole = gemm_int(g, width);
    if (!known || n >= width) {
        LLVMValueRef end = LLVMBuildAdd(b, LLVMBuildSub(b, x->n, whole, ""), gemm_int(g, 1), "");
        GemmLoop panel = gemm_loop(g, b, done, end, whole);
        call_strip(x, nv, !known, panel.i, whole);
        gemm_loop_end(b, &panel);
        done = panel.i;
    }
    if (known && n % width == 0) {
        return;
    }
    LLVMValueRef rest = LLVMBuildSub(b, x->n, FAULT(31) ? gemm_int(g, 1) : done, "");
    LLVMBasicBlockRef after = gemm_if(g, b, LLVMBuildICmp(b, LLVMIntSGT, rest, gemm_int(g, 0), ""));
    int narrow = known ? (int)((n % width + g->target->lanes - 1) / g->target->lanes) : 1;
    LLVMValueRef f = LLVMGetBasicBlockParent(LLVMGetInsertBlock(b));
    for (; !known && narrow <= 2 && narrow < nv; narrow++) {
        LLVMBasicBlockRef fits = LLVMAppendBasicBlockInContext(g->target->llvm, f, "fits");
        LLVMBasicBlockRef wider = LLVMAppendBasicBlockInContext(g->target->llvm, f, "wider");
        LLVMValueRef width_of = gemm_int(g, (long long)narrow * g->target->lanes);
        LLVMBuildCondBr(b, LLVMBuildICmp(b, LLVMIntSLE, rest, width_of, ""), fits, wider);
        LLVMPositionBuilderAtEnd(b, fits);
        call_strip(x, narrow, true, done, rest);
        LLVMBuildBr(b, after);
        LLVMPositionBuilderAtEnd(b, wider);
    }
    call_strip(x, known ? narrow : nv, true, done, rest);
    gemm_end(b, after);
}

/* The intervals of the rows of a block, evaluated once for all its panels. */
static void fill_ranges(Block *x, LLVMValueRef row0)
{
    GemmBuild *g = x->g;
    LLVMBuilderRef b = x->b;
    GemmRange range = g->op->k_range ? g->op->k_range : g->op->n_range;
    GemmLoop row = gemm_loop(g, b, gemm_int(g, 0), x->m, gemm_int(g, 1));
    LLVMValueRef bound[2];
    range(g->op->range_ctx, b, LLVMBuildAdd(b, row0, row.i, ""), bound);
    for (int w = 0; w < 2; w++) {
        LLVMValueRef at = LLVMBuildAdd(b, row.i, gemm_int(g, w * GEMM_RANGES), "");
        bound[w] = gemm_max(b, gemm_min(b, bound[w], gemm_int(g, 1 << 30)), gemm_int(g, -(1 << 30)));
        LLVMBuildStore(b, LLVMBuildTrunc(b, bound[w], g->i32, ""), LLVMBuildGEP2(b, g->i32, x->ranges, &at, 1, ""));
    }
    gemm_loop_end(b, &row);
}

/* B is packed where a tile cannot read it as it lies: columns apart, or rows so far apart that they fall into the same
 * few lines of the first cache. Rows that begin anywhere in a line cost a second access for most vectors, and loads of
 * B wait for stores of C that fall into the same place of a page; packing mends both, worth 15 to 25 % at 50 columns
 * and 40 % at 150 (192 x 50 x n), where a panel of all columns fits. */
bool gemm_packs(const GemmTarget *t, bool columns_lie_side_by_side, long long b_k, long long n)
{
    enum { LINE = 64 };
    if (!columns_lie_side_by_side || !gemm_has_masks(t)) { /* padded panels need no masks */
        return true;
    }
    long long size = t->is_double ? 8 : 4, bytes = b_k * size;
    bool narrow = n > 0 && n <= NC;
    return (bytes >= 1024 && bytes % 512 == 0) || (narrow && bytes % LINE != 0);
}

/* A is copied where its rows lie side by side and its values of k far apart: weight gradients of wide layers and of
 * tables. Runs of a block of rows stream in; tiles alone would come back to each line several times too late
 * (200 x 25600 x 50: 74 instead of 45 GFLOP/s). */
static bool must_copy_rows(const GemmTarget *t, const Gemm *op)
{
    enum { FAR = 512 };
    return gemm_is(op->a_m, 1) && !op->a_list && LLVMIsAConstantInt(op->a_k) &&
           LLVMConstIntGetSExtValue(op->a_k) * (t->is_double ? 8 : 4) >= FAR;
}

static long long least(LLVMValueRef v, long long most)
{
    return LLVMIsAConstantInt(v) && LLVMConstIntGetSExtValue(v) < most ? LLVMConstIntGetSExtValue(v) : most;
}

void gemm_emit(const GemmTarget *t, LLVMBuilderRef b, const Gemm *given)
{
    Gemm op = *given;
    if (!gemm_is(op.c_n, 1) && gemm_is(op.c_m, 1) && !op.k_range && !op.n_range && !op.a_list && !op.kept) {
        /* Vectors run along the rows of C instead: C' = B' A'. The same multiplications in the same order. */
        op.m = given->n, op.n = given->m, op.a = given->b, op.b = given->a, op.c_m = given->c_n, op.c_n = given->c_m;
        op.a_m = given->b_n, op.a_k = given->b_k, op.b_k = given->a_k, op.b_n = given->a_m;
    }
    GemmBuild g = gemm_build(t, &op);
    g.packed = op.kept || gemm_packs(t, gemm_is(op.b_n, 1), value_of(op.b_k), value_of(op.n));
    int width = op.kept ? op.kept_width : gemm_panel_width(t, value_of(op.n)), nv = width / t->lanes;
    int rows = gemm_tile_rows(t, nv);
    g.b_k = g.packed ? gemm_int(&g, width) : op.b_k;
    bool whole_k = LLVMIsAConstantInt(op.k) && LLVMConstIntGetSExtValue(op.k) <= KC_WHOLE;
    bool whole_n = !g.packed || op.kept || (LLVMIsAConstantInt(op.n) && LLVMConstIntGetSExtValue(op.n) <= NC);
    long long kc = whole_k ? LLVMConstIntGetSExtValue(op.k) : KC, nc = NC / width * width, mc = MC / rows * rows;
    LLVMValueRef zero = gemm_int(&g, 0), a_k = op.a_k, copied = NULL;
    Block x = {.g = &g, .b = b};
    if (must_copy_rows(t, &op)) {
        copied = gemm_alloca(b, g.real, kc * mc, 64);
        op.a_k = gemm_int(&g, mc);
    }
    if (g.packed && !op.kept) {
        long long columns = (least(op.n, whole_n ? NC : nc) + width - 1) / width * width;
        x.panels = gemm_alloca(b, g.real, kc * columns + (long long)t->lanes * width, 64);
    }
    x.ranges = op.k_range || op.n_range ? gemm_alloca(b, g.i32, 2 * GEMM_RANGES, 64) : LLVMConstNull(g.ptr);
    x.list[0] = x.list[1] = LLVMConstNull(g.ptr);

    GemmLoop columns = {0}, ks = {0};
    x.n0 = zero, x.n = op.n;
    if (!whole_n) {
        columns = gemm_loop(&g, b, zero, op.n, gemm_int(&g, nc));
        x.n0 = columns.i;
        x.n = gemm_min(b, LLVMBuildSub(b, op.n, columns.i, ""), gemm_int(&g, nc));
    }
    x.k0 = zero, x.k = op.k;
    x.load = LLVMConstInt(g.i1, op.accumulate, false);
    if (!whole_k) {
        /* At least once: a sum over nothing is 0 and must be stored. */
        ks = gemm_loop(&g, b, zero, gemm_max(b, op.k, gemm_int(&g, 1)), gemm_int(&g, kc));
        x.k0 = ks.i;
        x.k = gemm_min(b, LLVMBuildSub(b, op.k, ks.i, ""), gemm_int(&g, kc));
        x.load = LLVMBuildOr(b, x.load, LLVMBuildICmp(b, LLVMIntSGT, ks.i, zero, ""), "");
    }
    if (op.kept) {
        LLVMValueRef row = LLVMBuildMul(b, LLVMBuildAdd(b, op.kept_k0, x.k0, ""), g.b_k, "");
        x.panels = gemm_at(&g, b, op.kept, LLVMBuildAdd(b, LLVMBuildMul(b, op.kept_n0, op.kept_k, ""), row, ""));
    } else {
        LLVMValueRef from = gemm_at(&g, b, op.b, LLVMBuildMul(b, x.k0, op.b_k, ""));
        from = gemm_at(&g, b, from, LLVMBuildMul(b, x.n0, op.b_n, ""));
        if (g.packed) {
            LLVMValueRef args[6] = {from, x.panels, x.k, x.n, op.b_k, op.b_n}, pack = gemm_pack(&g, width);
            LLVMBuildCall2(b, g.pack_type, pack, args, 6, "");
        } else {
            x.panels = from;
        }
    }
    GemmLoop blocks = gemm_loop(&g, b, zero, op.m, gemm_int(&g, mc));
    x.m = gemm_min(b, LLVMBuildSub(b, op.m, blocks.i, ""), gemm_int(&g, mc));
    LLVMValueRef row = op.a_list ? zero : blocks.i;
    x.a = gemm_at(&g, b, gemm_at(&g, b, op.a, LLVMBuildMul(b, row, op.a_m, "")), LLVMBuildMul(b, x.k0, a_k, ""));
    x.c = gemm_at(&g, b, gemm_at(&g, b, op.c, LLVMBuildMul(b, row, op.c_m, "")), LLVMBuildMul(b, x.n0, op.c_n, ""));
    if (copied) {
        LLVMValueRef args[6] = {x.a, copied, x.k, x.m, a_k, op.a_k}, copy = gemm_rows(&g);
        LLVMBuildCall2(b, g.rows_type, copy, args, 6, "");
        x.a = copied;
    }
    if (op.a_list) {
        x.list[0] = LLVMBuildGEP2(b, g.i64, op.a_list, &blocks.i, 1, "");
        x.list[1] = LLVMBuildGEP2(b, g.i64, op.c_list, &blocks.i, 1, "");
    }
    if (op.k_range || op.n_range) {
        fill_ranges(&x, blocks.i);
    }
    all_panels(&x, nv);
    gemm_loop_end(b, &blocks);
    if (!whole_k) {
        gemm_loop_end(b, &ks);
    }
    if (!whole_n) {
        gemm_loop_end(b, &columns);
    }
}

LLVMValueRef gemm_kept_size(const GemmTarget *t, LLVMBuilderRef b, LLVMValueRef k, LLVMValueRef n, int width)
{
    Gemm none = {0};
    GemmBuild g = gemm_build(t, &none);
    LLVMValueRef w = gemm_int(&g, width), last = LLVMBuildAdd(b, n, gemm_int(&g, width - 1), "");
    LLVMValueRef size = LLVMBuildMul(b, LLVMBuildMul(b, LLVMBuildUDiv(b, last, w, ""), w, ""), k, "");
    return LLVMBuildAdd(b, size, gemm_int(&g, (long long)t->lanes * width), ""); /* packing writes whole squares */
}

void gemm_keep(const GemmTarget *t, LLVMBuilderRef b, const Gemm *op)
{
    GemmBuild g = gemm_build(t, op);
    LLVMValueRef args[6] = {op->b, op->kept, op->k, op->n, op->b_k, op->b_n}, pack = gemm_pack(&g, op->kept_width);
    LLVMBuildCall2(b, g.pack_type, pack, args, 6, "");
}

/* ---- parts in objects of their own ---------------------------------------------------------------------------- */

void gemm_shared_name(bool is_double, int nv, char kind, char name[64])
{
    snprintf(name, 64, GEMM_SHARED_PREFIX "%s_%d%c", is_double ? "f64" : "f32", nv, kind);
}

LLVMValueRef gemm_declare_shared(GemmBuild *g, int nv, char kind, LLVMTypeRef type)
{
    char name[64];
    gemm_shared_name(g->target->is_double, nv, kind, name);
    LLVMValueRef f = LLVMGetNamedFunction(g->target->module, name);
    return f ? f : LLVMAddFunction(g->target->module, name, type);
}

static void some_range(void *ctx, LLVMBuilderRef b, LLVMValueRef row, LLVMValueRef out[2])
{
    (void)ctx, (void)b;
    out[0] = out[1] = row;
}

void gemm_define_shared(const GemmTarget *shared, int nv, char kind)
{
    GemmTarget t = *shared;
    t.shares = false;
    Gemm op = {.k_range = kind == 'k' ? some_range : NULL,
               .n_range = kind == 'n' || kind == 'l' ? some_range : NULL,
               .loose = kind == 'l',
               .turned = kind == 'd'};
    GemmBuild g = gemm_build(&t, &op);
    LLVMValueRef one = gemm_int(&g, 1), unknown = LLVMGetUndef(g.i64);
    op.a_m = op.a_k = op.c_m = g.b_k = unknown;
    op.c_n = one;
    if (op.turned) {
        op.a_m = one;
        op.c_m = gemm_int(&g, (long long)nv * t.lanes);
    }
    op.b_k = kind == 't' ? one : unknown;
    op.b_n = kind == 'c' ? one : unknown;
    g.packed = !gemm_has_masks(&t);
    LLVMTypeRef type;
    LLVMValueRef f = kind == 'c' || kind == 't' ? gemm_pack(&g, nv * t.lanes)
                     : kind == 'r'              ? gemm_rows(&g)
                     : kind == 'd'              ? gemm_turned_strip(&g, nv, &type)
                                                : gemm_strip(&g, nv, true, &type);
    char name[64];
    gemm_shared_name(t.is_double, nv, kind, name);
    LLVMSetValueName2(f, name, strlen(name));
    LLVMSetLinkage(f, LLVMExternalLinkage);
}
