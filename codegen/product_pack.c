/* Packing of a block of B into panels, so that a tile reads whole vectors one after another whatever B's strides are.
 *
 *     B (k rows, n columns)            panel 0: width columns      panel 1         last: zeros behind column n
 *     ┌──────────────────┐             ┌──────┐                    ┌──────┐        ┌────┬─┐
 *     │                  │      ─►     │      │ k rows             │      │        │    │0│
 *     └──────────────────┘             └──────┘                    └──────┘        └────┴─┘
 *
 * Columns side by side are copied; k side by side (B is a transposed matrix) goes through square transposes in
 * registers; any other layout is copied element by element. */
#include "product_micro.h"
#include <stddef.h>

static void copy_columns(GemmBuild *g, LLVMBuilderRef b, LLVMValueRef src, LLVMValueRef dst, LLVMValueRef k,
                         LLVMValueRef left, LLVMValueRef b_k, int width)
{
    int lanes = g->target->lanes;
    LLVMValueRef mask[GEMM_MAX_VECTORS];
    for (int v = 0; v * lanes < width; v++) {
        mask[v] = gemm_lanes(g, b, v * lanes, NULL, left);
    }
    GemmLoop row = gemm_loop(g, b, gemm_int(g, 0), k, gemm_int(g, 1));
    LLVMValueRef from = gemm_at(g, b, src, LLVMBuildMul(b, row.i, b_k, ""));
    LLVMValueRef to = gemm_at(g, b, dst, LLVMBuildMul(b, row.i, gemm_int(g, width), ""));
    for (int v = 0; v * lanes < width; v++) {
        LLVMValueRef at = gemm_int(g, v * lanes);
        gemm_store(g, b, gemm_load(g, b, gemm_at(g, b, from, at), mask[v]), gemm_at(g, b, to, at), NULL);
    }
    gemm_loop_end(b, &row);
}

/* Swaps, for each bit d of the index, the off-diagonal d x d blocks: after the last bit, row i holds column i. */
void gemm_transpose(const GemmBuild *g, LLVMBuilderRef b, LLVMValueRef *x)
{
    int lanes = g->target->lanes;
    for (int d = 1; d < lanes; d *= 2) {
        LLVMValueRef upper[16], lower[16];
        for (int l = 0; l < lanes; l++) {
            upper[l] = LLVMConstInt(g->i32, (unsigned)(l & d ? lanes + (l ^ d) : l), false);
            lower[l] = LLVMConstInt(g->i32, (unsigned)(l & d ? lanes + l : l | d), false);
        }
        LLVMValueRef up = LLVMConstVector(upper, (unsigned)lanes), low = LLVMConstVector(lower, (unsigned)lanes);
        for (int i = 0; i < lanes; i++) {
            if (i & d) {
                continue;
            }
            LLVMValueRef p = x[i], q = x[i + d];
            x[i] = LLVMBuildShuffleVector(b, p, q, up, "");
            x[i + d] = LLVMBuildShuffleVector(b, p, q, low, "");
        }
    }
}

/* Columns [c, c + lanes) of the panel: row r of a square is column c + r of B, `lanes` values of k long. The last
 * square of a panel may write up to lanes - 1 rows behind it: the next panel, written later, or the scratch's slack. */
static void transpose_columns(GemmBuild *g, LLVMBuilderRef b, LLVMValueRef src, LLVMValueRef dst, LLVMValueRef k,
                              LLVMValueRef left, LLVMValueRef b_n, int width)
{
    int lanes = g->target->lanes;
    LLVMContextRef llvm = g->target->llvm;
    GemmLoop col = gemm_loop(g, b, gemm_int(g, 0), gemm_int(g, width), gemm_int(g, lanes));
    GemmLoop run = gemm_loop(g, b, gemm_int(g, 0), k, gemm_int(g, lanes));
    LLVMValueRef f = LLVMGetBasicBlockParent(LLVMGetInsertBlock(b));
    LLVMBasicBlockRef whole = LLVMAppendBasicBlockInContext(llvm, f, "whole");
    LLVMBasicBlockRef edge = LLVMAppendBasicBlockInContext(llvm, f, "edge");
    LLVMBasicBlockRef join = LLVMAppendBasicBlockInContext(llvm, f, "join");
    LLVMValueRef rows = LLVMBuildSub(b, left, col.i, ""), values = LLVMBuildSub(b, k, run.i, "");
    LLVMValueRef full = LLVMBuildICmp(b, LLVMIntSGE, gemm_min(b, rows, values), gemm_int(g, lanes), "");
    LLVMValueRef square = gemm_at(g, b, src, LLVMBuildMul(b, col.i, b_n, ""));
    square = gemm_at(g, b, square, run.i);
    LLVMBuildCondBr(b, full, whole, edge);

    LLVMValueRef x[16], y[16];
    LLVMPositionBuilderAtEnd(b, whole);
    for (int r = 0; r < lanes; r++) {
        x[r] = gemm_load(g, b, gemm_at(g, b, square, LLVMBuildMul(b, b_n, gemm_int(g, r), "")), NULL);
    }
    LLVMBuildBr(b, join);
    LLVMPositionBuilderAtEnd(b, edge);
    for (int r = 0; r < lanes; r++) {
        LLVMValueRef there = LLVMBuildICmp(b, LLVMIntSLT, gemm_int(g, r), rows, "");
        LLVMValueRef mask = gemm_lanes(g, b, 0, NULL, LLVMBuildSelect(b, there, values, gemm_int(g, 0), ""));
        y[r] = gemm_load(g, b, gemm_at(g, b, square, LLVMBuildMul(b, b_n, gemm_int(g, r), "")), mask);
    }
    LLVMBasicBlockRef edge_end = LLVMGetInsertBlock(b);
    LLVMBuildBr(b, join);
    LLVMPositionBuilderAtEnd(b, join);
    for (int r = 0; r < lanes; r++) {
        LLVMValueRef phi = LLVMBuildPhi(b, g->vector, "");
        LLVMAddIncoming(phi, (LLVMValueRef[]){x[r], y[r]}, (LLVMBasicBlockRef[]){whole, edge_end}, 2);
        x[r] = phi;
    }
    gemm_transpose(g, b, x);
    LLVMValueRef to = gemm_at(g, b, dst, LLVMBuildMul(b, run.i, gemm_int(g, width), ""));
    to = gemm_at(g, b, to, col.i);
    for (int r = 0; r < lanes; r++) {
        gemm_store(g, b, x[r], gemm_at(g, b, to, gemm_int(g, (long long)r * width)), NULL);
    }
    gemm_loop_end(b, &run);
    gemm_loop_end(b, &col);
}

static void copy_elements(GemmBuild *g, LLVMBuilderRef b, LLVMValueRef src, LLVMValueRef dst, LLVMValueRef k,
                          LLVMValueRef left, LLVMValueRef b_k, LLVMValueRef b_n, int width)
{
    GemmLoop row = gemm_loop(g, b, gemm_int(g, 0), k, gemm_int(g, 1));
    GemmLoop col = gemm_loop(g, b, gemm_int(g, 0), gemm_int(g, width), gemm_int(g, 1));
    LLVMValueRef there = LLVMBuildICmp(b, LLVMIntSLT, col.i, left, "");
    LLVMValueRef c = LLVMBuildSelect(b, there, col.i, gemm_int(g, 0), "");
    LLVMValueRef from = gemm_at(g, b, src, LLVMBuildMul(b, row.i, b_k, ""));
    LLVMValueRef x = LLVMBuildLoad2(b, g->real, gemm_at(g, b, from, LLVMBuildMul(b, c, b_n, "")), "");
    x = LLVMBuildSelect(b, there, x, LLVMConstReal(g->real, 0), "");
    LLVMValueRef to = gemm_at(g, b, dst, LLVMBuildMul(b, row.i, gemm_int(g, width), ""));
    LLVMBuildStore(b, x, gemm_at(g, b, to, col.i));
    gemm_loop_end(b, &col);
    gemm_loop_end(b, &row);
}

LLVMValueRef gemm_pack(GemmBuild *g, int width)
{
    if (g->pack) {
        return g->pack;
    }
    LLVMTypeRef types[6] = {g->ptr, g->ptr, g->i64, g->i64, g->i64, g->i64};
    g->pack_type = LLVMFunctionType(g->none, types, 6, false);
    int nv = width / g->target->lanes;
    if (g->target->shares && (gemm_is(g->op->b_n, 1) || gemm_is(g->op->b_k, 1))) {
        return g->pack = gemm_declare_shared(g, nv, gemm_is(g->op->b_n, 1) ? 'c' : 't', g->pack_type);
    }
    LLVMValueRef f = g->pack = gemm_function(g, "pack", g->pack_type, 2);
    LLVMBuilderRef b = LLVMCreateBuilderInContext(g->target->llvm);
    LLVMPositionBuilderAtEnd(b, LLVMAppendBasicBlockInContext(g->target->llvm, f, "entry"));
    LLVMValueRef src = LLVMGetParam(f, 0), dst = LLVMGetParam(f, 1), k = LLVMGetParam(f, 2), n = LLVMGetParam(f, 3);
    LLVMValueRef b_k = LLVMIsAConstantInt(g->op->b_k) ? g->op->b_k : LLVMGetParam(f, 4);
    LLVMValueRef b_n = LLVMIsAConstantInt(g->op->b_n) ? g->op->b_n : LLVMGetParam(f, 5);
    GemmLoop panel = gemm_loop(g, b, gemm_int(g, 0), n, gemm_int(g, width));
    LLVMValueRef from = gemm_at(g, b, src, LLVMBuildMul(b, panel.i, b_n, ""));
    LLVMValueRef to = gemm_at(g, b, dst, LLVMBuildMul(b, panel.i, k, ""));
    LLVMValueRef left = LLVMBuildSub(b, n, panel.i, "");
    if (gemm_is(b_n, 1)) {
        copy_columns(g, b, from, to, k, left, b_k, width);
    } else if (gemm_is(b_k, 1)) {
        transpose_columns(g, b, from, to, k, left, b_n, width);
    } else {
        copy_elements(g, b, from, to, k, left, b_k, b_n, width);
    }
    gemm_loop_end(b, &panel);
    LLVMBuildRetVoid(b);
    LLVMDisposeBuilder(b);
    return f;
}

LLVMValueRef gemm_copy(GemmBuild *g)
{
    if (g->copy) {
        return g->copy;
    }
    LLVMTypeRef types[8] = {g->ptr, g->i64, g->i64, g->ptr, g->i64, g->i64, g->i64, g->ptr};
    g->copy_type = LLVMFunctionType(g->none, types, 8, false);
    LLVMValueRef f = g->copy = gemm_function(g, "copy", g->copy_type, 0), p[8];
    LLVMGetParams(f, p);
    LLVMBuilderRef b = LLVMCreateBuilderInContext(g->target->llvm);
    LLVMPositionBuilderAtEnd(b, LLVMAppendBasicBlockInContext(g->target->llvm, f, "entry"));
    GemmLoop row = gemm_loop(g, b, gemm_int(g, 0), p[6], gemm_int(g, 1));
    LLVMValueRef bound[2], at[2];
    for (int w = 0; w < 2; w++) {
        at[w] = LLVMBuildAdd(b, LLVMBuildMul(b, row.i, gemm_int(g, 2), ""), gemm_int(g, w), "");
        bound[w] = LLVMBuildLoad2(b, g->i64, LLVMBuildGEP2(b, g->i64, p[7], &at[w], 1, ""), "");
        at[w] = gemm_at(g, b, p[3 * w], LLVMBuildMul(b, row.i, p[3 * w + 1], ""));
    }
    /* Side by side in both: vectors, the last under a mask. */
    LLVMValueRef one = gemm_int(g, 1), lanes = gemm_int(g, g->target->lanes), even = LLVMConstInt(g->i1, 1, false);
    for (int w = 0; w < 2; w++) {
        even = LLVMBuildAnd(b, even, LLVMBuildICmp(b, LLVMIntEQ, p[3 * w + 2], one, ""), "");
    }
    LLVMValueRef step = LLVMBuildSelect(b, even, lanes, one, "");
    GemmLoop col = gemm_loop(g, b, bound[0], bound[1], step);
    for (int w = 0; w < 2; w++) {
        at[w] = gemm_at(g, b, at[w], LLVMBuildMul(b, col.i, p[3 * w + 2], ""));
    }
    LLVMValueRef left = gemm_min(b, LLVMBuildSub(b, bound[1], col.i, ""), step);
    LLVMValueRef mask = gemm_lanes(g, b, 0, NULL, left);
    gemm_store(g, b, gemm_load(g, b, at[0], mask), at[1], mask);
    gemm_loop_end(b, &col);
    gemm_loop_end(b, &row);
    LLVMBuildRetVoid(b);
    LLVMDisposeBuilder(b);
    return f;
}

LLVMValueRef gemm_rows(GemmBuild *g)
{
    if (g->rows) {
        return g->rows;
    }
    LLVMTypeRef types[6] = {g->ptr, g->ptr, g->i64, g->i64, g->i64, g->i64};
    g->rows_type = LLVMFunctionType(g->none, types, 6, false);
    if (g->target->shares) {
        return g->rows = gemm_declare_shared(g, 1, 'r', g->rows_type);
    }
    LLVMValueRef f = g->rows = gemm_function(g, "rows", g->rows_type, 2), p[6];
    LLVMGetParams(f, p);
    LLVMBuilderRef b = LLVMCreateBuilderInContext(g->target->llvm);
    LLVMPositionBuilderAtEnd(b, LLVMAppendBasicBlockInContext(g->target->llvm, f, "entry"));
    LLVMValueRef lanes = gemm_int(g, g->target->lanes);
    GemmLoop run = gemm_loop(g, b, gemm_int(g, 0), p[2], gemm_int(g, 1));
    LLVMValueRef from = gemm_at(g, b, p[0], LLVMBuildMul(b, run.i, p[4], ""));
    LLVMValueRef to = gemm_at(g, b, p[1], LLVMBuildMul(b, run.i, p[5], ""));
    LLVMValueRef whole = LLVMBuildAdd(b, LLVMBuildSub(b, p[3], lanes, ""), gemm_int(g, 1), "");
    GemmLoop at = gemm_loop(g, b, gemm_int(g, 0), whole, lanes);
    gemm_store(g, b, gemm_load(g, b, gemm_at(g, b, from, at.i), NULL), gemm_at(g, b, to, at.i), NULL);
    gemm_loop_end(b, &at);
    LLVMValueRef rest = gemm_lanes(g, b, 0, NULL, LLVMBuildSub(b, p[3], at.i, ""));
    gemm_store(g, b, gemm_load(g, b, gemm_at(g, b, from, at.i), rest), gemm_at(g, b, to, at.i), rest);
    gemm_loop_end(b, &run);
    LLVMBuildRetVoid(b);
    LLVMDisposeBuilder(b);
    return f;
}
