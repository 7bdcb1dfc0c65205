/* Tiles of a matrix product: mr rows of nv vectors of C live in registers while k runs.
 *
 *            B[k, 0..nv)      one row of a panel: nv loads
 *               │
 *     A[r, k] ──*── acc[r][v]     r < mr: one broadcast and nv fused multiply-adds each
 *
 * mr * nv + nv + 1 registers must suffice, else the loop spills and runs at half its speed. Nothing is unrolled
 * over k: the accumulators already keep both multipliers busy, and unrolled code costs compile time.
 * A mask concerns loads and stores of C alone. Of B whole vectors are read, also behind its last column: what lies
 * there is some other number or the slack behind the tensor (GEMM_SLACK), and goes into lanes that are not stored.
 * Masks in the loop would be computed anew in every round, on a port that the multiplications need. */
#include "product_micro.h"
#include <stdio.h>
#include <string.h>

void gemm_target_features(GemmTarget *t, const char *features, bool is_double)
{
    int bytes = strstr(features, "+avx512f") ? 64 : strstr(features, "+avx2") ? 32 : 16;
    t->is_double = is_double;
    t->lanes = bytes / (is_double ? 8 : 4);
    t->registers = bytes == 64 ? 32 : 16;
    t->has_fma = bytes == 64 || strstr(features, "+fma,") != NULL;
}

/* ---- helpers ------------------------------------------------------------------------------------------------ */

LLVMValueRef gemm_int(const GemmBuild *g, long long v)
{
    return LLVMConstInt(g->i64, (unsigned long long)v, true);
}

bool gemm_is(LLVMValueRef v, long long value)
{
    return LLVMIsAConstantInt(v) && LLVMConstIntGetSExtValue(v) == value;
}

LLVMValueRef gemm_at(const GemmBuild *g, LLVMBuilderRef b, LLVMValueRef base, LLVMValueRef index)
{
    return LLVMBuildGEP2(b, g->real, base, &index, 1, "");
}

LLVMValueRef gemm_min(LLVMBuilderRef b, LLVMValueRef x, LLVMValueRef y)
{
    return LLVMBuildSelect(b, LLVMBuildICmp(b, LLVMIntSLT, x, y, ""), x, y, "");
}

LLVMValueRef gemm_max(LLVMBuilderRef b, LLVMValueRef x, LLVMValueRef y)
{
    return LLVMBuildSelect(b, LLVMBuildICmp(b, LLVMIntSGT, x, y, ""), x, y, "");
}

LLVMValueRef gemm_function(const GemmBuild *g, const char *name, LLVMTypeRef type, unsigned pointers)
{
    LLVMValueRef f = LLVMAddFunction(g->target->module, name, type);
    LLVMSetLinkage(f, LLVMInternalLinkage);
    unsigned noalias = LLVMGetEnumAttributeKindForName("noalias", 7);
    for (unsigned i = 1; i <= pointers; i++) {
        LLVMAddAttributeAtIndex(f, i, LLVMCreateEnumAttribute(g->target->llvm, noalias, 0));
    }
    /* The tiles are called from many places of one kernel; inlined they would only cost compile time. */
    unsigned keep = LLVMGetEnumAttributeKindForName("noinline", 8);
    LLVMAddAttributeAtIndex(f, LLVMAttributeFunctionIndex, LLVMCreateEnumAttribute(g->target->llvm, keep, 0));
    if (g->target->attributes) {
        g->target->attributes(g->target->ctx, f);
    }
    return f;
}

LLVMValueRef gemm_alloca(LLVMBuilderRef b, LLVMTypeRef type, long long count, unsigned align)
{
    LLVMBasicBlockRef here = LLVMGetInsertBlock(b);
    LLVMBasicBlockRef entry = LLVMGetEntryBasicBlock(LLVMGetBasicBlockParent(here));
    LLVMValueRef first = LLVMGetFirstInstruction(entry);
    if (first) {
        LLVMPositionBuilderBefore(b, first);
    } else {
        LLVMPositionBuilderAtEnd(b, entry);
    }
    LLVMValueRef p = LLVMBuildAlloca(b, LLVMArrayType2(type, (uint64_t)count), "scratch");
    LLVMSetAlignment(p, align);
    LLVMPositionBuilderAtEnd(b, here);
    return p;
}

LLVMValueRef gemm_splat(const GemmBuild *g, LLVMBuilderRef b, LLVMTypeRef vector, LLVMValueRef x)
{
    LLVMTypeRef i32 = g->i32;
    LLVMValueRef one = LLVMBuildInsertElement(b, LLVMGetUndef(vector), x, LLVMConstInt(i32, 0, false), "");
    LLVMValueRef zeros = LLVMConstNull(LLVMVectorType(i32, LLVMGetVectorSize(vector)));
    return LLVMBuildShuffleVector(b, one, LLVMGetUndef(vector), zeros, "");
}

LLVMValueRef gemm_lanes(const GemmBuild *g, LLVMBuilderRef b, int first, LLVMValueRef lo, LLVMValueRef hi)
{
    int lanes = g->target->lanes;
    LLVMTypeRef type = LLVMVectorType(g->i32, (unsigned)lanes);
    LLVMValueRef column[16];
    for (int i = 0; i < lanes; i++) {
        column[i] = LLVMConstInt(g->i32, (unsigned)(first + i), false);
    }
    LLVMValueRef iota = LLVMConstVector(column, (unsigned)lanes);
    LLVMValueRef in = LLVMBuildICmp(b, LLVMIntSLT, iota, gemm_splat(g, b, type, LLVMBuildTrunc(b, hi, g->i32, "")), "");
    if (lo) {
        LLVMValueRef from = gemm_splat(g, b, type, LLVMBuildTrunc(b, lo, g->i32, ""));
        in = LLVMBuildAnd(b, in, LLVMBuildICmp(b, LLVMIntSGE, iota, from, ""), "");
    }
    return in;
}

static LLVMValueRef intrinsic(const GemmBuild *g, LLVMBuilderRef b, const char *name, LLVMTypeRef *overload,
                              size_t noverload, LLVMValueRef *args, unsigned nargs)
{
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    LLVMValueRef f = LLVMGetIntrinsicDeclaration(g->target->module, id, overload, noverload);
    LLVMTypeRef type = LLVMIntrinsicGetType(g->target->llvm, id, overload, noverload);
    return LLVMBuildCall2(b, type, f, args, nargs, "");
}

static LLVMValueRef element_bytes(const GemmBuild *g)
{
    return LLVMConstInt(g->i32, g->target->is_double ? 8 : 4, false);
}

LLVMValueRef gemm_load(const GemmBuild *g, LLVMBuilderRef b, LLVMValueRef p, LLVMValueRef mask)
{
    if (!mask) {
        LLVMValueRef v = LLVMBuildLoad2(b, g->vector, p, "");
        LLVMSetAlignment(v, g->target->is_double ? 8 : 4);
        return v;
    }
    LLVMTypeRef overload[2] = {g->vector, g->ptr};
    LLVMValueRef args[4] = {p, element_bytes(g), mask, LLVMConstNull(g->vector)};
    return intrinsic(g, b, "llvm.masked.load", overload, 2, args, 4);
}

void gemm_store(const GemmBuild *g, LLVMBuilderRef b, LLVMValueRef v, LLVMValueRef p, LLVMValueRef mask)
{
    if (!mask) {
        LLVMSetAlignment(LLVMBuildStore(b, v, p), g->target->is_double ? 8 : 4);
        return;
    }
    LLVMTypeRef overload[2] = {g->vector, g->ptr};
    LLVMValueRef args[4] = {v, p, element_bytes(g), mask};
    intrinsic(g, b, "llvm.masked.store", overload, 2, args, 4);
}

GemmLoop gemm_loop(const GemmBuild *g, LLVMBuilderRef b, LLVMValueRef from, LLVMValueRef to, LLVMValueRef step)
{
    GemmLoop loop = {.step = step};
    LLVMBasicBlockRef before = LLVMGetInsertBlock(b);
    LLVMValueRef f = LLVMGetBasicBlockParent(before);
    LLVMContextRef llvm = g->target->llvm;
    loop.head = LLVMAppendBasicBlockInContext(llvm, f, "loop");
    LLVMBasicBlockRef body = LLVMAppendBasicBlockInContext(llvm, f, "body");
    loop.exit = LLVMAppendBasicBlockInContext(llvm, f, "after");
    LLVMBuildBr(b, loop.head);
    LLVMPositionBuilderAtEnd(b, loop.head);
    loop.i = LLVMBuildPhi(b, g->i64, "i");
    LLVMAddIncoming(loop.i, &from, &before, 1);
    LLVMBuildCondBr(b, LLVMBuildICmp(b, LLVMIntSLT, loop.i, to, ""), body, loop.exit);
    LLVMPositionBuilderAtEnd(b, body);
    return loop;
}

void gemm_loop_end(LLVMBuilderRef b, GemmLoop *loop)
{
    LLVMBasicBlockRef latch = LLVMGetInsertBlock(b);
    LLVMValueRef next = LLVMBuildAdd(b, loop->i, loop->step, "");
    LLVMAddIncoming(loop->i, &next, &latch, 1);
    LLVMBuildBr(b, loop->head);
    LLVMPositionBuilderAtEnd(b, loop->exit);
}

LLVMBasicBlockRef gemm_if(const GemmBuild *g, LLVMBuilderRef b, LLVMValueRef cond)
{
    LLVMValueRef f = LLVMGetBasicBlockParent(LLVMGetInsertBlock(b));
    LLVMBasicBlockRef then = LLVMAppendBasicBlockInContext(g->target->llvm, f, "then");
    LLVMBasicBlockRef after = LLVMAppendBasicBlockInContext(g->target->llvm, f, "end");
    LLVMBuildCondBr(b, cond, then, after);
    LLVMPositionBuilderAtEnd(b, then);
    return after;
}

void gemm_end(LLVMBuilderRef b, LLVMBasicBlockRef after)
{
    LLVMBuildBr(b, after);
    LLVMPositionBuilderAtEnd(b, after);
}

/* ---- a tile ------------------------------------------------------------------------------------------------- */

/* Addresses of the lanes of C from column v * lanes on when its columns do not lie side by side. */
static LLVMValueRef scattered(const GemmBuild *g, LLVMBuilderRef b, LLVMValueRef row, int v, LLVMValueRef c_n)
{
    int lanes = g->target->lanes;
    LLVMValueRef p = LLVMGetUndef(LLVMVectorType(g->ptr, (unsigned)lanes));
    for (int i = 0; i < lanes; i++) {
        LLVMValueRef at = gemm_at(g, b, row, LLVMBuildMul(b, gemm_int(g, v * lanes + i), c_n, ""));
        p = LLVMBuildInsertElement(b, p, at, LLVMConstInt(g->i32, (unsigned)i, false), "");
    }
    return p;
}

static LLVMValueRef load_c(const GemmBuild *g, LLVMBuilderRef b, LLVMValueRef row, int v, LLVMValueRef c_n,
                           LLVMValueRef mask)
{
    if (gemm_is(c_n, 1)) {
        return gemm_load(g, b, gemm_at(g, b, row, gemm_int(g, v * g->target->lanes)), mask);
    }
    LLVMTypeRef overload[2] = {g->vector, LLVMVectorType(g->ptr, (unsigned)g->target->lanes)};
    LLVMValueRef args[4] = {scattered(g, b, row, v, c_n), element_bytes(g), mask, LLVMConstNull(g->vector)};
    return intrinsic(g, b, "llvm.masked.gather", overload, 2, args, 4);
}

static void store_c(const GemmBuild *g, LLVMBuilderRef b, LLVMValueRef x, LLVMValueRef row, int v, LLVMValueRef c_n,
                    LLVMValueRef mask)
{
    if (gemm_is(c_n, 1)) {
        gemm_store(g, b, x, gemm_at(g, b, row, gemm_int(g, v * g->target->lanes)), mask);
        return;
    }
    LLVMTypeRef overload[2] = {g->vector, LLVMVectorType(g->ptr, (unsigned)g->target->lanes)};
    LLVMValueRef args[4] = {x, scattered(g, b, row, v, c_n), element_bytes(g), mask};
    intrinsic(g, b, "llvm.masked.scatter", overload, 2, args, 4);
}

enum {
    P_A,
    P_B,
    P_C,
    P_K,
    P_AM,
    P_AK,
    P_BK,
    P_CM,
    P_CN,
    P_LOAD,
    P_NCOLS,
    P_ALIST,
    P_CLIST,
    P_BOUNDS,
    P_FIRST,
    P_MIDDLE,
    P_LAST,
    P_COUNT
};

/* A stride that is known is used as a constant, whatever the caller passes. */
static LLVMValueRef known(LLVMValueRef f, unsigned param, LLVMValueRef v)
{
    return LLVMIsAConstantInt(v) ? v : LLVMGetParam(f, param);
}

static LLVMValueRef listed(const GemmBuild *g, LLVMBuilderRef b, LLVMValueRef list, int r)
{
    LLVMValueRef at = gemm_int(g, r);
    return LLVMBuildLoad2(b, g->i64, LLVMBuildGEP2(b, g->i64, list, &at, 1, ""), "");
}

/* Whether row r takes part in the value of k in all lanes of `at`: as a mask, so that its sum stays untouched else;
 * multiplying by a zero of A would let an infinity of B through. */
static LLVMValueRef takes_part(const GemmBuild *g, LLVMBuilderRef b, LLVMValueRef bounds, int r, LLVMValueRef at)
{
    LLVMValueRef bound[2];
    for (int w = 0; w < 2; w++) {
        LLVMValueRef i = gemm_int(g, 2 * r + w);
        bound[w] = LLVMBuildLoad2(b, g->i32, LLVMBuildGEP2(b, g->i32, bounds, &i, 1, ""), "");
        bound[w] = gemm_splat(g, b, LLVMTypeOf(at), bound[w]);
    }
    return LLVMBuildICmp(b, LLVMIntULT, LLVMBuildSub(b, at, bound[0], ""), bound[1], "");
}

/* Lanes of the nv vectors that take part in value `i` of k, all rows alike. */
static void columns_of_k(const GemmBuild *g, LLVMBuilderRef b, LLVMValueRef bounds, LLVMValueRef i, LLVMValueRef first,
                         int nv, LLVMValueRef in[])
{
    int lanes = g->target->lanes;
    LLVMTypeRef type = LLVMVectorType(g->i32, (unsigned)lanes);
    LLVMValueRef bound[2];
    for (int w = 0; w < 2; w++) {
        LLVMValueRef at = LLVMBuildAdd(b, i, gemm_int(g, w * GEMM_RANGES), "");
        bound[w] = LLVMBuildLoad2(b, g->i32, LLVMBuildGEP2(b, g->i32, bounds, &at, 1, ""), "");
    }
    LLVMValueRef count = gemm_splat(g, b, type, LLVMBuildSub(b, bound[1], bound[0], ""));
    LLVMValueRef from = LLVMBuildSub(b, LLVMBuildTrunc(b, first, g->i32, ""), bound[0], "");
    for (int v = 0; v < nv; v++) {
        LLVMValueRef column[16];
        for (int c = 0; c < lanes; c++) {
            column[c] = LLVMConstInt(g->i32, (unsigned)(v * lanes + c), false);
        }
        LLVMValueRef at = LLVMBuildAdd(b, LLVMConstVector(column, (unsigned)lanes), gemm_splat(g, b, type, from), "");
        in[v] = LLVMBuildICmp(b, LLVMIntULT, at, count, "");
    }
}

/* Address of row r of C. Made where it is used: while k runs, the registers hold what the rows of A need. */
static LLVMValueRef row_of_c(GemmBuild *g, LLVMBuilderRef b, LLVMValueRef f, int r, LLVMValueRef c_m)
{
    LLVMValueRef at =
        g->op->c_list ? listed(g, b, LLVMGetParam(f, P_CLIST), r) : LLVMBuildMul(b, c_m, gemm_int(g, r), "");
    return gemm_at(g, b, LLVMGetParam(f, P_C), at);
}

/* While a tile runs, the rows of A that the next one needs are on their way: a row is too short for the processor to
 * find out by itself. Each value of k asks for its element of one of these rows, and the next for one of the next row,
 * so that no line is left out; where values of k lie apart, the next rows share the lines of these. Worth 20 % for
 * 25600 x 50 x 50 and 60 % for 25600 x 200 x 50. `at`: the row's distance from pa; returns the next one's. */
static LLVMValueRef prefetch_rows(GemmBuild *g, LLVMBuilderRef b, LLVMValueRef pa, LLVMValueRef at,
                                  LLVMValueRef next_rows, LLVMValueRef a_m)
{
    /* to read, into all caches, data */
    LLVMValueRef args[4] = {gemm_at(g, b, pa, at), LLVMConstInt(g->i32, 0, false), LLVMConstInt(g->i32, 3, false),
                            LLVMConstInt(g->i32, 1, false)};
    intrinsic(g, b, "llvm.prefetch", &g->ptr, 1, args, 4);
    LLVMValueRef next = LLVMBuildAdd(b, at, a_m, ""), end = LLVMBuildMul(b, next_rows, gemm_int(g, 2), "");
    return LLVMBuildSelect(b, LLVMBuildICmp(b, LLVMIntEQ, next, end, ""), next_rows, next, "");
}

typedef struct {
    GemmBuild *g;
    LLVMBuilderRef b;
    LLVMValueRef f;
    int mr, nv;
    bool prefetches;
    LLVMValueRef a_m, a_k, b_k, next_rows, a_row[GEMM_MAX_ROWS];
    /* As k runs: the value of k in A and B, what prefetch_rows asks for, the elements of C. */
    LLVMValueRef pa, pb, ahead, sum[GEMM_MAX_ROWS][GEMM_MAX_VECTORS];
} Tile;

static LLVMValueRef carried(Tile *t, LLVMValueRef *v, LLVMBasicBlockRef before)
{
    LLVMValueRef phi = LLVMBuildPhi(t->b, LLVMTypeOf(*v), "");
    LLVMAddIncoming(phi, v, &before, 1);
    return *v = phi;
}

/* Adds the next `count` values of k, the first of them number `from` of the tile's. */
static void add_values(Tile *t, LLVMValueRef count, LLVMValueRef from, bool ragged)
{
    GemmBuild *g = t->g;
    LLVMBuilderRef b = t->b;
    int lanes = g->target->lanes;
    LLVMBasicBlockRef before = LLVMGetInsertBlock(b);
    LLVMBasicBlockRef head = LLVMAppendBasicBlockInContext(g->target->llvm, t->f, "head");
    LLVMBasicBlockRef body = LLVMAppendBasicBlockInContext(g->target->llvm, t->f, "body");
    LLVMBasicBlockRef exit = LLVMAppendBasicBlockInContext(g->target->llvm, t->f, "exit");
    LLVMBuildBr(b, head);
    LLVMPositionBuilderAtEnd(b, head);
    LLVMValueRef left = count, k = carried(t, &left, before), pa = carried(t, &t->pa, before);
    LLVMValueRef pb = carried(t, &t->pb, before), ahead = carried(t, &t->ahead, before);
    for (int r = 0; r < t->mr; r++) {
        for (int v = 0; v < t->nv; v++) {
            carried(t, &t->sum[r][v], before);
        }
    }
    LLVMBuildCondBr(b, LLVMBuildICmp(b, LLVMIntSGT, k, gemm_int(g, 0), ""), body, exit);

    LLVMPositionBuilderAtEnd(b, body);
    LLVMValueRef row[GEMM_MAX_VECTORS];
    for (int v = 0; v < t->nv; v++) {
        row[v] = gemm_load(g, b, gemm_at(g, b, pb, gemm_int(g, v * lanes)), NULL);
    }
    LLVMValueRef further = t->prefetches ? prefetch_rows(g, b, pa, ahead, t->next_rows, t->a_m) : ahead;
    const char *fma = g->target->has_fma ? "llvm.fma" : "llvm.fmuladd";
    LLVMValueRef at = NULL, columns[GEMM_MAX_VECTORS] = {NULL};
    if (ragged) {
        LLVMValueRef bounds = LLVMGetParam(t->f, P_BOUNDS), first = LLVMGetParam(t->f, P_FIRST);
        LLVMValueRef i = LLVMBuildSub(b, LLVMBuildAdd(b, from, count, ""), k, "");
        if (g->op->turned) {
            columns_of_k(g, b, bounds, i, first, t->nv, columns);
        } else {
            i = LLVMBuildTrunc(b, LLVMBuildAdd(b, first, i, ""), g->i32, "");
            at = gemm_splat(g, b, LLVMVectorType(g->i32, (unsigned)lanes), i);
        }
    }
    for (int r = 0; r < t->mr; r++) {
        LLVMValueRef in = at ? takes_part(g, b, LLVMGetParam(t->f, P_BOUNDS), r, at) : NULL;
        LLVMValueRef x = LLVMBuildLoad2(b, g->real, gemm_at(g, b, pa, t->a_row[r]), "");
        x = gemm_splat(g, b, g->vector, x);
        for (int v = 0; v < t->nv; v++) {
            LLVMValueRef args[3] = {x, row[v], t->sum[r][v]};
            LLVMValueRef next = intrinsic(g, b, fma, &g->vector, 1, args, 3);
            LLVMValueRef lanes_in = in ? in : columns[v];
            next = lanes_in ? LLVMBuildSelect(b, lanes_in, next, t->sum[r][v], "") : next;
            LLVMAddIncoming(t->sum[r][v], &next, &body, 1);
        }
    }
    LLVMValueRef phi[4] = {k, pa, pb, ahead};
    LLVMValueRef next[4] = {LLVMBuildSub(b, k, gemm_int(g, 1), ""), gemm_at(g, b, pa, t->a_k),
                            gemm_at(g, b, pb, t->b_k), further};
    for (int i = 0; i < 4; i++) {
        LLVMAddIncoming(phi[i], &next[i], &body, 1);
    }
    LLVMBuildBr(b, head);
    LLVMPositionBuilderAtEnd(b, exit);
}

static void tile_body(GemmBuild *g, LLVMValueRef f, int mr, int nv, bool masked, bool ragged)
{
    LLVMContextRef llvm = g->target->llvm;
    LLVMBuilderRef b = LLVMCreateBuilderInContext(llvm);
    LLVMBasicBlockRef entry = LLVMAppendBasicBlockInContext(llvm, f, "entry");
    LLVMBasicBlockRef adds = LLVMAppendBasicBlockInContext(llvm, f, "adds");
    LLVMBasicBlockRef start = LLVMAppendBasicBlockInContext(llvm, f, "start");

    LLVMPositionBuilderAtEnd(b, entry);
    int lanes = g->target->lanes;
    Tile t = {.g = g, .b = b, .f = f, .mr = mr, .nv = nv};
    t.a_m = known(f, P_AM, g->op->a_m);
    t.a_k = known(f, P_AK, g->op->a_k);
    t.b_k = known(f, P_BK, g->b_k);
    LLVMValueRef c_m = known(f, P_CM, g->op->c_m), c_n = known(f, P_CN, g->op->c_n);
    if (g->op->n_range) { /* a tile across an edge goes to a buffer, which has strides of its own */
        c_m = LLVMGetParam(f, P_CM);
        c_n = gemm_is(c_n, 1) ? c_n : LLVMGetParam(f, P_CN);
    }
    LLVMValueRef mask[GEMM_MAX_VECTORS], acc[GEMM_MAX_ROWS][GEMM_MAX_VECTORS];
    for (int v = 0; v < nv; v++) {
        bool all = !masked && gemm_is(c_n, 1);
        mask[v] =
            all ? NULL : gemm_lanes(g, b, v * lanes, NULL, masked ? LLVMGetParam(f, P_NCOLS) : gemm_int(g, nv * lanes));
    }
    for (int r = 0; r < mr; r++) {
        t.a_row[r] =
            g->op->a_list ? listed(g, b, LLVMGetParam(f, P_ALIST), r) : LLVMBuildMul(b, t.a_m, gemm_int(g, r), "");
    }
    t.next_rows = LLVMBuildMul(b, t.a_m, gemm_int(g, mr), "");
    t.prefetches = !g->op->n_range && !g->op->k_range && !g->op->turned; /* else A has just been made */
    t.pa = LLVMGetParam(f, P_A);
    t.pb = LLVMGetParam(f, P_B);
    t.ahead = t.next_rows;
    /* C is added to, or overwritten: then it is not even read, which would wait for the second cache. */
    if (g->op->turned) {
        LLVMBuildBr(b, adds);
    } else {
        LLVMBuildCondBr(b, LLVMGetParam(f, P_LOAD), adds, start);
    }
    LLVMPositionBuilderAtEnd(b, adds);
    for (int r = 0; r < mr; r++) {
        LLVMValueRef c_row = row_of_c(g, b, f, r, c_m);
        for (int v = 0; v < nv; v++) {
            acc[r][v] = load_c(g, b, c_row, v, c_n, mask[v]);
        }
    }
    LLVMBuildBr(b, start);

    LLVMPositionBuilderAtEnd(b, start);
    for (int r = 0; r < mr; r++) {
        for (int v = 0; v < nv; v++) {
            LLVMValueRef nothing = LLVMConstNull(g->vector);
            t.sum[r][v] = LLVMBuildPhi(b, g->vector, "acc");
            LLVMAddIncoming(t.sum[r][v], &acc[r][v], &adds, 1);
            if (!g->op->turned) {
                LLVMAddIncoming(t.sum[r][v], &nothing, &entry, 1);
            }
        }
    }
    LLVMValueRef count = LLVMGetParam(f, P_K);
    add_values(&t, count, gemm_int(g, 0), ragged);
    if (ragged) {
        LLVMValueRef middle = LLVMGetParam(f, P_MIDDLE);
        add_values(&t, middle, NULL, false);
        add_values(&t, LLVMGetParam(f, P_LAST), LLVMBuildAdd(b, count, middle, ""), true);
    }
    for (int r = 0; r < mr; r++) {
        LLVMValueRef c_row = row_of_c(g, b, f, r, c_m);
        for (int v = 0; v < nv; v++) {
            store_c(g, b, t.sum[r][v], c_row, v, c_n, mask[v]);
        }
    }
    LLVMBuildRetVoid(b);
    LLVMDisposeBuilder(b);
}

LLVMValueRef gemm_tile(GemmBuild *g, int mr, int nv, bool masked, bool ragged)
{
    LLVMValueRef *made = &g->tiles[mr][nv][masked][ragged];
    if (*made) {
        return *made;
    }
    LLVMTypeRef types[P_COUNT];
    for (int i = 0; i < P_COUNT; i++) {
        types[i] = i <= P_C || (i >= P_ALIST && i <= P_BOUNDS) ? g->ptr : i == P_LOAD ? g->i1 : g->i64;
    }
    g->tile_type = LLVMFunctionType(g->none, types, P_COUNT, false);
    char name[64];
    snprintf(name, sizeof name, "tile_%dx%d%s%s", mr, nv, masked ? "m" : "", ragged ? "r" : "");
    *made = gemm_function(g, name, g->tile_type, 3);
    tile_body(g, *made, mr, nv, masked, ragged);
    return *made;
}

bool gemm_has_masks(const GemmTarget *t)
{
    return t->registers == 32 || t->has_fma;
}

GemmBuild gemm_build(const GemmTarget *t, const Gemm *op)
{
    LLVMContextRef llvm = t->llvm;
    GemmBuild g = {.target = t,
                   .i1 = LLVMInt1TypeInContext(llvm),
                   .i32 = LLVMInt32TypeInContext(llvm),
                   .i64 = LLVMInt64TypeInContext(llvm),
                   .ptr = LLVMPointerTypeInContext(llvm, 0),
                   .real = t->is_double ? LLVMDoubleTypeInContext(llvm) : LLVMFloatTypeInContext(llvm),
                   .none = LLVMVoidTypeInContext(llvm),
                   .op = op};
    g.vector = LLVMVectorType(g.real, (unsigned)t->lanes);
    return g;
}

/* Found by measurement: mr * nv accumulators, nv vectors of B and one of A must fit the registers. */
int gemm_tile_rows(const GemmTarget *t, int nv)
{
    static const int wide[GEMM_MAX_VECTORS + 1] = {0, 12, 12, 8, 6, 5},
                                             narrow[GEMM_MAX_VECTORS + 1] = {0, 8, 6, 4, 2, 2};
    return (t->registers == 32 ? wide : narrow)[nv];
}

int gemm_rest_rows(int rows)
{
    return rows >= 10 ? 4 : rows == 8 ? 3 : rows > 2 ? 2 : 1;
}
