/* Operands of a bf16 product on their way into tiles (product_amx.h): rounded, split, padded with zeros, turned.
 *
 *     k side by side in memory      a vector of a tile is 32 values of one row (or column): two loads, one rounding
 *     rows (columns) side by side   a vector is a pair of k of 16 rows: two loads, one rounding, one interleaving
 *
 * The first is what a tile of A wants, the second what a tile of B wants; the other way round sixteen such vectors are
 * turned in registers, as squares of pairs. */
#include "product_amx.h"
#include <string.h>

LLVMValueRef amx_call(const Amx *x, LLVMBuilderRef b, const char *name, LLVMValueRef *args, unsigned n)
{
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    LLVMValueRef f = LLVMGetIntrinsicDeclaration(x->g->target->module, id, NULL, 0);
    return LLVMBuildCall2(b, LLVMIntrinsicGetType(x->g->target->llvm, id, NULL, 0), f, args, n, "");
}

LLVMValueRef amx_byte(const Amx *x, LLVMBuilderRef b, LLVMValueRef base, LLVMValueRef at)
{
    return LLVMBuildGEP2(b, x->i8, base, &at, 1, "");
}

LLVMValueRef amx_is_null(const Amx *x, LLVMBuilderRef b, LLVMValueRef p)
{
    return LLVMBuildICmp(b, LLVMIntEQ, p, LLVMConstNull(x->g->ptr), "");
}

static LLVMValueRef clamp(const GemmBuild *g, LLVMBuilderRef b, LLVMValueRef v, long long most)
{
    return gemm_max(b, gemm_min(b, v, gemm_int(g, most)), gemm_int(g, 0));
}

/* 2^hi - 2^lo: no branch, no table. */
LLVMValueRef amx_lanes(const Amx *x, LLVMBuilderRef b, LLVMValueRef lo, LLVMValueRef hi)
{
    const GemmBuild *g = x->g;
    LLVMValueRef from = clamp(g, b, lo, AMX_K), to = gemm_max(b, clamp(g, b, hi, AMX_K), from), one = gemm_int(g, 1);
    LLVMValueRef bits = LLVMBuildSub(b, LLVMBuildShl(b, one, to, ""), LLVMBuildShl(b, one, from, ""), "");
    return LLVMBuildTrunc(b, bits, g->i32, "");
}

LLVMValueRef amx_mask(const Amx *x, LLVMBuilderRef b, LLVMValueRef lanes, int half)
{
    LLVMValueRef bits = half ? LLVMBuildLShr(b, lanes, LLVMConstInt(x->g->i32, 16, false), "") : lanes;
    return LLVMBuildBitCast(b, LLVMBuildTrunc(b, bits, x->i16, ""), x->mask, "");
}

LLVMValueRef amx_bound(const Amx *x, LLVMBuilderRef b, LLVMValueRef ranges, LLVMValueRef r, int which)
{
    const GemmBuild *g = x->g;
    LLVMValueRef at = LLVMBuildAdd(b, LLVMBuildMul(b, r, gemm_int(g, 2), ""), gemm_int(g, which), "");
    return LLVMBuildLoad2(b, g->i64, LLVMBuildGEP2(b, g->i64, ranges, &at, 1, ""), "");
}

/* ---- rounding ------------------------------------------------------------------------------------------------- */

static LLVMValueRef round_two(const Amx *x, LLVMBuilderRef b, LLVMValueRef low, LLVMValueRef high)
{
    LLVMValueRef args[2] = {high, low};
    return amx_call(x, b, "llvm.x86.avx512bf16.cvtne2ps2bf16.512", args, 2);
}

/* Half `which` of a vector of rounded values, as f32. */
static LLVMValueRef widen(const Amx *x, LLVMBuilderRef b, LLVMValueRef v, int which)
{
    LLVMValueRef lane[16];
    for (unsigned i = 0; i < 16; i++) {
        lane[i] = LLVMConstInt(x->g->i32, i + (which ? 16 : 0), false);
    }
    LLVMValueRef words = LLVMBuildBitCast(b, v, x->words, "");
    LLVMValueRef half = LLVMBuildShuffleVector(b, words, LLVMGetUndef(x->words), LLVMConstVector(lane, 16), "");
    LLVMValueRef shift[16];
    for (int i = 0; i < 16; i++) {
        shift[i] = LLVMConstInt(x->g->i32, 16, false);
    }
    half = LLVMBuildShl(b, LLVMBuildZExt(b, half, x->pairs, ""), LLVMConstVector(shift, 16), "");
    return LLVMBuildBitCast(b, half, x->g->vector, "");
}

/* out[0]: `low` and `high` rounded, behind one another or interleaved; out[1] of three passes: what is left, rounded.
 */
static void split(const Amx *x, LLVMBuilderRef b, LLVMValueRef low, LLVMValueRef high, bool interleave,
                  LLVMValueRef out[2])
{
    out[0] = round_two(x, b, low, high);
    if (x->passes == 3) {
        LLVMValueRef rest[2];
        for (int i = 0; i < 2; i++) {
            rest[i] = LLVMBuildFSub(b, i ? high : low, widen(x, b, out[0], i), "");
        }
        out[1] = round_two(x, b, rest[0], rest[1]);
    }
    LLVMValueRef lane[32];
    for (unsigned i = 0; i < 32; i++) {
        lane[i] = LLVMConstInt(x->g->i32, i / 2 + (i % 2 ? 16 : 0), false);
    }
    for (int i = 0; i < (x->passes == 3 ? 2 : 1); i++) {
        LLVMValueRef v = LLVMBuildBitCast(b, out[i], x->words, "");
        if (interleave) {
            v = LLVMBuildShuffleVector(b, v, LLVMGetUndef(x->words), LLVMConstVector(lane, 32), "");
        }
        out[i] = LLVMBuildBitCast(b, v, x->pairs, "");
    }
}

static void store(const Amx *x, LLVMBuilderRef b, LLVMValueRef tile, LLVMValueRef vector, const LLVMValueRef v[2])
{
    for (int i = 0; i < (x->passes == 3 ? 2 : 1); i++) {
        LLVMValueRef at = LLVMBuildAdd(b, LLVMBuildMul(b, vector, gemm_int(x->g, 64), ""),
                                       gemm_int(x->g, (long long)i * AMX_TILE), "");
        LLVMSetAlignment(LLVMBuildStore(b, v[i], amx_byte(x, b, tile, at)), 64);
    }
}

static LLVMValueRef tile_at(const Amx *x, LLVMBuilderRef b, LLVMValueRef dst, LLVMValueRef t, LLVMValueRef block,
                            const AmxBlocks *blocks)
{
    LLVMValueRef n = LLVMBuildAdd(b, LLVMBuildMul(b, t, blocks->step, ""), block, "");
    return amx_byte(x, b, dst, LLVMBuildMul(b, n, gemm_int(x->g, x->bytes), ""));
}

/* The first k of a block. */
static LLVMValueRef start_of(const Amx *x, LLVMBuilderRef b, const AmxBlocks *blocks, LLVMValueRef block)
{
    return LLVMBuildAdd(b, blocks->base, LLVMBuildMul(b, block, gemm_int(x->g, AMX_K), ""), "");
}

/* Sixteen vectors of both halves into the tile, turned: vector i becomes column i. */
static void store_turned(const Amx *x, LLVMBuilderRef b, LLVMValueRef tile, LLVMValueRef v[16][2])
{
    for (int h = 0; h < (x->passes == 3 ? 2 : 1); h++) {
        LLVMValueRef square[16];
        for (int i = 0; i < 16; i++) {
            square[i] = v[i][h];
        }
        gemm_transpose(x->g, b, square);
        for (int i = 0; i < 16; i++) {
            LLVMValueRef at = gemm_int(x->g, (long long)i * 64 + (long long)h * AMX_TILE);
            LLVMSetAlignment(LLVMBuildStore(b, square[i], amx_byte(x, b, tile, at)), 64);
        }
    }
}

/* Two blocks that join: `full` decides which runs. */
typedef struct {
    LLVMBasicBlockRef whole, edge, join;
} Fork;

static Fork fork_at(const Amx *x, LLVMBuilderRef b, LLVMValueRef full)
{
    LLVMContextRef llvm = x->g->target->llvm;
    LLVMValueRef f = LLVMGetBasicBlockParent(LLVMGetInsertBlock(b));
    Fork k = {LLVMAppendBasicBlockInContext(llvm, f, "whole"), LLVMAppendBasicBlockInContext(llvm, f, "edge"),
              LLVMAppendBasicBlockInContext(llvm, f, "join")};
    LLVMBuildCondBr(b, full, k.whole, k.edge);
    LLVMPositionBuilderAtEnd(b, k.whole);
    return k;
}

static void fork_else(LLVMBuilderRef b, const Fork *k)
{
    LLVMBuildBr(b, k->join);
    LLVMPositionBuilderAtEnd(b, k->edge);
}

static void fork_end(LLVMBuilderRef b, const Fork *k)
{
    LLVMBuildBr(b, k->join);
    LLVMPositionBuilderAtEnd(b, k->join);
}

/* lo <= v && v + 32 <= hi */
static LLVMValueRef covers(const Amx *x, LLVMBuilderRef b, LLVMValueRef lo, LLVMValueRef hi, LLVMValueRef v)
{
    LLVMValueRef above = LLVMBuildICmp(b, LLVMIntSLE, lo, v, "");
    LLVMValueRef end = LLVMBuildAdd(b, v, gemm_int(x->g, AMX_K), "");
    return LLVMBuildAnd(b, above, LLVMBuildICmp(b, LLVMIntSLE, end, hi, ""), "");
}

/* ---- k side by side ------------------------------------------------------------------------------------------- */

/* 32 values from p on, of which `lanes` (i32; NULL: all) are there. */
static void load_row(const Amx *x, LLVMBuilderRef b, LLVMValueRef p, LLVMValueRef lanes, LLVMValueRef out[2])
{
    for (int h = 0; h < 2; h++) {
        LLVMValueRef at = gemm_at(x->g, b, p, gemm_int(x->g, 16LL * h));
        out[h] = gemm_load(x->g, b, at, lanes ? amx_mask(x, b, lanes, h) : NULL);
    }
}

static void pack_a_rows(const Amx *x, LLVMBuilderRef b, LLVMValueRef a, LLVMValueRef stride, LLVMValueRef rows,
                        LLVMValueRef k, LLVMValueRef ranges, LLVMValueRef list, const AmxBlocks *blocks,
                        LLVMValueRef dst)
{
    const GemmBuild *g = x->g;
    LLVMValueRef zero = gemm_int(g, 0), one = gemm_int(g, 1), fifteen = gemm_int(g, 15), four = gemm_int(g, 4);
    LLVMValueRef free = amx_is_null(x, b, ranges), even = amx_is_null(x, b, list);
    LLVMValueRef padded = LLVMBuildAnd(b, LLVMBuildAdd(b, rows, fifteen, ""), gemm_int(g, -16), "");
    LLVMValueRef bounds = gemm_alloca(b, g->i64, 3, 8); /* lo, hi, distance of the row */
    GemmLoop row = gemm_loop(g, b, zero, padded, one);
    LLVMValueRef slot[3];
    for (int i = 0; i < 3; i++) {
        LLVMValueRef at = gemm_int(g, i);
        slot[i] = LLVMBuildGEP2(b, g->i64, bounds, &at, 1, "");
    }
    LLVMValueRef there = LLVMBuildICmp(b, LLVMIntSLT, row.i, rows, "");
    LLVMBuildStore(b, zero, slot[0]);
    LLVMBuildStore(b, LLVMBuildSelect(b, there, k, zero, ""), slot[1]);
    LLVMBuildStore(b, LLVMBuildMul(b, row.i, stride, ""), slot[2]);
    LLVMBasicBlockRef ranged = gemm_if(g, b, LLVMBuildAnd(b, there, LLVMBuildNot(b, free, ""), ""));
    LLVMBuildStore(b, gemm_max(b, amx_bound(x, b, ranges, row.i, 0), zero), slot[0]);
    LLVMBuildStore(b, gemm_min(b, amx_bound(x, b, ranges, row.i, 1), k), slot[1]);
    gemm_end(b, ranged);
    LLVMBasicBlockRef listed = gemm_if(g, b, LLVMBuildAnd(b, there, LLVMBuildNot(b, even, ""), ""));
    LLVMBuildStore(b, LLVMBuildLoad2(b, g->i64, LLVMBuildGEP2(b, g->i64, list, &row.i, 1, ""), ""), slot[2]);
    gemm_end(b, listed);
    LLVMValueRef lo = LLVMBuildLoad2(b, g->i64, slot[0], ""), hi = LLVMBuildLoad2(b, g->i64, slot[1], "");
    LLVMValueRef from = gemm_at(g, b, a, LLVMBuildLoad2(b, g->i64, slot[2], ""));
    LLVMValueRef tile = LLVMBuildLShr(b, row.i, four, ""), vector = LLVMBuildAnd(b, row.i, fifteen, "");
    GemmLoop block = gemm_loop(g, b, blocks->first, blocks->end, one);
    LLVMValueRef start = start_of(x, b, blocks, block.i), p = gemm_at(g, b, from, start), v[2][2], out[2];
    Fork fork = fork_at(x, b, covers(x, b, lo, hi, start));
    load_row(x, b, p, NULL, v[0]);
    fork_else(b, &fork);
    LLVMValueRef lanes = amx_lanes(x, b, LLVMBuildSub(b, lo, start, ""), LLVMBuildSub(b, hi, start, ""));
    load_row(x, b, p, lanes, v[1]);
    fork_end(b, &fork);
    for (int h = 0; h < 2; h++) {
        LLVMValueRef phi = LLVMBuildPhi(b, g->vector, "");
        LLVMAddIncoming(phi, (LLVMValueRef[]){v[0][h], v[1][h]}, (LLVMBasicBlockRef[]){fork.whole, fork.edge}, 2);
        v[0][h] = phi;
    }
    split(x, b, v[0][0], v[0][1], false, out);
    store(x, b, tile_at(x, b, dst, tile, block.i, blocks), vector, out);
    gemm_loop_end(b, &block);
    gemm_loop_end(b, &row);
}

static void pack_b_rows(const Amx *x, LLVMBuilderRef b, LLVMValueRef from, LLVMValueRef stride, LLVMValueRef n,
                        LLVMValueRef lo, LLVMValueRef hi, const AmxBlocks *blocks, LLVMValueRef dst)
{
    const GemmBuild *g = x->g;
    LLVMValueRef sixteen = gemm_int(g, AMX_ROWS), v[2][16][2], phi[16][2], out[16][2];
    GemmLoop col = gemm_loop(g, b, gemm_int(g, 0), n, sixteen);
    LLVMValueRef left = LLVMBuildSub(b, n, col.i, "");
    LLVMValueRef wide = LLVMBuildICmp(b, LLVMIntSGE, left, sixteen, "");
    LLVMValueRef tile = LLVMBuildLShr(b, col.i, gemm_int(g, 4), "");
    GemmLoop block = gemm_loop(g, b, blocks->first, blocks->end, gemm_int(g, 1));
    LLVMValueRef start = start_of(x, b, blocks, block.i);
    LLVMValueRef p = gemm_at(g, b, from, LLVMBuildAdd(b, LLVMBuildMul(b, col.i, stride, ""), start, ""));
    Fork fork = fork_at(x, b, LLVMBuildAnd(b, wide, covers(x, b, lo, hi, start), ""));
    for (int i = 0; i < 16; i++) {
        load_row(x, b, gemm_at(g, b, p, LLVMBuildMul(b, stride, gemm_int(g, i), "")), NULL, v[0][i]);
    }
    fork_else(b, &fork);
    LLVMValueRef lanes = amx_lanes(x, b, LLVMBuildSub(b, lo, start, ""), LLVMBuildSub(b, hi, start, ""));
    for (int i = 0; i < 16; i++) {
        LLVMValueRef there = LLVMBuildICmp(b, LLVMIntSLT, gemm_int(g, i), left, "");
        LLVMValueRef some = LLVMBuildSelect(b, there, lanes, LLVMConstInt(g->i32, 0, false), "");
        load_row(x, b, gemm_at(g, b, p, LLVMBuildMul(b, stride, gemm_int(g, i), "")), some, v[1][i]);
    }
    fork_end(b, &fork);
    for (int i = 0; i < 16; i++) { /* the phis of a block come before all else */
        for (int h = 0; h < 2; h++) {
            phi[i][h] = LLVMBuildPhi(b, g->vector, "");
            LLVMAddIncoming(phi[i][h], (LLVMValueRef[]){v[0][i][h], v[1][i][h]},
                            (LLVMBasicBlockRef[]){fork.whole, fork.edge}, 2);
        }
    }
    for (int i = 0; i < 16; i++) {
        split(x, b, phi[i][0], phi[i][1], false, out[i]);
    }
    store_turned(x, b, tile_at(x, b, dst, tile, block.i, blocks), out);
    gemm_loop_end(b, &block);
    gemm_loop_end(b, &col);
}

/* ---- rows or columns side by side ------------------------------------------------------------------------------ */

static LLVMValueRef splat(const Amx *x, LLVMBuilderRef b, LLVMValueRef v)
{
    const GemmBuild *g = x->g;
    LLVMValueRef narrow = LLVMBuildTrunc(b, v, g->i32, "");
    LLVMValueRef one = LLVMBuildInsertElement(b, LLVMGetUndef(x->pairs), narrow, LLVMConstInt(g->i32, 0, false), "");
    return LLVMBuildShuffleVector(b, one, LLVMGetUndef(x->pairs), LLVMConstNull(x->pairs), "");
}

/* The intervals of 16 rows from `r` on, as vectors: where each begins and how long it is; none behind `rows`. */
static void row_bounds(const Amx *x, LLVMBuilderRef b, LLVMValueRef r, LLVMValueRef rows, LLVMValueRef k,
                       LLVMValueRef ranges, LLVMValueRef out[2])
{
    const GemmBuild *g = x->g;
    LLVMValueRef zero = gemm_int(g, 0), free = amx_is_null(x, b, ranges), array = gemm_alloca(b, g->i32, 32, 64);
    GemmLoop row = gemm_loop(g, b, zero, gemm_int(g, AMX_ROWS), gemm_int(g, 1));
    LLVMValueRef at[2] = {row.i, LLVMBuildAdd(b, row.i, gemm_int(g, AMX_ROWS), "")};
    for (int i = 0; i < 2; i++) {
        at[i] = LLVMBuildGEP2(b, g->i32, array, &at[i], 1, "");
    }
    LLVMValueRef number = LLVMBuildAdd(b, r, row.i, ""), there = LLVMBuildICmp(b, LLVMIntSLT, number, rows, "");
    LLVMBuildStore(b, LLVMConstInt(g->i32, 0, false), at[0]);
    LLVMBuildStore(b, LLVMBuildTrunc(b, LLVMBuildSelect(b, there, k, zero, ""), g->i32, ""), at[1]);
    LLVMBasicBlockRef ranged = gemm_if(g, b, LLVMBuildAnd(b, there, LLVMBuildNot(b, free, ""), ""));
    LLVMValueRef lo = gemm_max(b, amx_bound(x, b, ranges, number, 0), zero);
    LLVMValueRef hi = gemm_max(b, gemm_min(b, amx_bound(x, b, ranges, number, 1), k), lo);
    LLVMBuildStore(b, LLVMBuildTrunc(b, lo, g->i32, ""), at[0]);
    LLVMBuildStore(b, LLVMBuildTrunc(b, LLVMBuildSub(b, hi, lo, ""), g->i32, ""), at[1]);
    gemm_end(b, ranged);
    gemm_loop_end(b, &row);
    for (int i = 0; i < 2; i++) {
        LLVMValueRef from = gemm_int(g, 16LL * i);
        out[i] = LLVMBuildLoad2(b, x->pairs, LLVMBuildGEP2(b, g->i32, array, &from, 1, ""), "");
    }
}

static void pack_a_columns(const Amx *x, LLVMBuilderRef b, LLVMValueRef a, LLVMValueRef stride, LLVMValueRef rows,
                           LLVMValueRef k, LLVMValueRef ranges, const AmxBlocks *blocks, LLVMValueRef dst)
{
    const GemmBuild *g = x->g;
    GemmLoop row = gemm_loop(g, b, gemm_int(g, 0), rows, gemm_int(g, AMX_ROWS));
    LLVMValueRef bounds[2], tile = LLVMBuildLShr(b, row.i, gemm_int(g, 4), ""), out[16][2];
    row_bounds(x, b, row.i, rows, k, ranges, bounds);
    GemmLoop block = gemm_loop(g, b, blocks->first, blocks->end, gemm_int(g, 1));
    LLVMValueRef start = start_of(x, b, blocks, block.i);
    for (int p = 0; p < 16; p++) {
        LLVMValueRef v[2];
        for (int h = 0; h < 2; h++) {
            LLVMValueRef at = LLVMBuildAdd(b, start, gemm_int(g, 2LL * p + h), "");
            LLVMValueRef in = LLVMBuildSub(b, splat(x, b, at), bounds[0], "");
            in = LLVMBuildICmp(b, LLVMIntULT, in, bounds[1], "");
            LLVMValueRef from = LLVMBuildAdd(b, LLVMBuildMul(b, at, stride, ""), row.i, "");
            v[h] = gemm_load(g, b, gemm_at(g, b, a, from), in);
        }
        split(x, b, v[0], v[1], true, out[p]);
    }
    store_turned(x, b, tile_at(x, b, dst, tile, block.i, blocks), out);
    gemm_loop_end(b, &block);
    gemm_loop_end(b, &row);
}

/* A pair of k of 16 columns. lanes: columns that are there (i32; NULL: all, and both values of k). */
static void pair_of_columns(const Amx *x, LLVMBuilderRef b, LLVMValueRef from, LLVMValueRef stride, LLVMValueRef k,
                            LLVMValueRef lanes, LLVMValueRef lo, LLVMValueRef hi, LLVMValueRef out[2])
{
    const GemmBuild *g = x->g;
    LLVMValueRef v[2];
    for (int h = 0; h < 2; h++) {
        LLVMValueRef at = LLVMBuildAdd(b, k, gemm_int(g, h), ""), mask = NULL;
        if (lanes) {
            LLVMValueRef in =
                LLVMBuildAnd(b, LLVMBuildICmp(b, LLVMIntSLE, lo, at, ""), LLVMBuildICmp(b, LLVMIntSLT, at, hi, ""), "");
            mask = amx_mask(x, b, LLVMBuildSelect(b, in, lanes, LLVMConstInt(g->i32, 0, false), ""), 0);
        }
        v[h] = gemm_load(g, b, gemm_at(g, b, from, LLVMBuildMul(b, at, stride, "")), mask);
    }
    split(x, b, v[0], v[1], true, out);
}

static void pack_b_columns(const Amx *x, LLVMBuilderRef b, LLVMValueRef from, LLVMValueRef stride, LLVMValueRef n,
                           LLVMValueRef lo, LLVMValueRef hi, const AmxBlocks *blocks, LLVMValueRef dst)
{
    const GemmBuild *g = x->g;
    LLVMValueRef zero = gemm_int(g, 0), sixteen = gemm_int(g, AMX_ROWS), out[2];
    GemmLoop col = gemm_loop(g, b, zero, n, sixteen);
    LLVMValueRef left = LLVMBuildSub(b, n, col.i, ""), lanes = amx_lanes(x, b, zero, gemm_min(b, left, sixteen));
    LLVMValueRef wide = LLVMBuildICmp(b, LLVMIntSGE, left, sixteen, "");
    LLVMValueRef tile = LLVMBuildLShr(b, col.i, gemm_int(g, 4), ""), columns = gemm_at(g, b, from, col.i);
    GemmLoop block = gemm_loop(g, b, blocks->first, blocks->end, gemm_int(g, 1));
    LLVMValueRef start = start_of(x, b, blocks, block.i), to = tile_at(x, b, dst, tile, block.i, blocks);
    Fork fork = fork_at(x, b, LLVMBuildAnd(b, wide, covers(x, b, lo, hi, start), ""));
    for (int p = 0; p < 16; p++) {
        LLVMValueRef k = LLVMBuildAdd(b, start, gemm_int(g, 2LL * p), "");
        pair_of_columns(x, b, columns, stride, k, NULL, NULL, NULL, out);
        store(x, b, to, gemm_int(g, p), out);
    }
    fork_else(b, &fork);
    GemmLoop pair = gemm_loop(g, b, zero, sixteen, gemm_int(g, 1));
    LLVMValueRef k = LLVMBuildAdd(b, start, LLVMBuildMul(b, pair.i, gemm_int(g, 2), ""), "");
    pair_of_columns(x, b, columns, stride, k, lanes, lo, hi, out);
    store(x, b, to, pair.i, out);
    gemm_loop_end(b, &pair);
    fork_end(b, &fork);
    gemm_loop_end(b, &block);
    gemm_loop_end(b, &col);
}

void amx_pack_a(const Amx *x, LLVMBuilderRef b, bool k_beside, LLVMValueRef a, LLVMValueRef stride, LLVMValueRef rows,
                LLVMValueRef k, LLVMValueRef ranges, LLVMValueRef list, const AmxBlocks *blocks, LLVMValueRef dst)
{
    if (k_beside) {
        pack_a_rows(x, b, a, stride, rows, k, ranges, list, blocks, dst);
    } else {
        pack_a_columns(x, b, a, stride, rows, k, ranges, blocks, dst);
    }
}

void amx_pack_b(const Amx *x, LLVMBuilderRef b, bool k_beside, LLVMValueRef from, LLVMValueRef stride, LLVMValueRef n,
                LLVMValueRef lo, LLVMValueRef hi, const AmxBlocks *blocks, LLVMValueRef dst)
{
    if (k_beside) {
        pack_b_rows(x, b, from, stride, n, lo, hi, blocks, dst);
    } else {
        pack_b_columns(x, b, from, stride, n, lo, hi, blocks, dst);
    }
}
