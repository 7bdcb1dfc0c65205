/* Sums over tiles that are kept transposed: product_turned.h. */
#include "product_turned.h"
#include <stdio.h>
#include <string.h>

/* ---- when ----------------------------------------------------------------------------------------------------- */

static int vectors(const GemmTarget *t)
{
    return t->registers == 32 ? 3 : 2; /* as fast as wider panels, and less of the last one is empty */
}

int gemm_turned_width(const GemmTarget *t)
{
    return vectors(t) * t->lanes;
}

/* Vectors of multiply-adds per full vector of C and value of k, those that idle included: as it is, where `columns`
 * fill panels from one row on, */
static double cost(const GemmTarget *t, int64_t columns)
{
    int nv = gemm_panel_width(t, columns) / t->lanes;
    int64_t all = (columns + t->lanes - 1) / t->lanes;
    double c = (double)(all / nv) * gemm_panel_cost[nv] + gemm_panel_cost[all % nv];
    return c * t->lanes / (double)columns;
}

/* and turned: so many rows against panels over `length` columns (0: many), of the last of which half is empty. A tile
 * takes at least the time of a multiply-add, in which eight of them could begin; to write a cell at the end takes as
 * long as 1.2 vectors (measured: 0.6 cycles), which `sums` values of k (0: many) have to pay for. */
static double cost_turned(const GemmTarget *t, int64_t rows, double length, double sums)
{
    static const double write = 1.2;
    int nv = vectors(t), tile = gemm_tile_rows(t, nv);
    double c = 0;
    for (int64_t left = rows; left > 0; left -= tile) {
        while (tile > left) {
            tile = gemm_rest_rows(tile);
        }
        c += tile * nv > 8 ? tile * nv : 8;
    }
    double empty = length > 0 ? 0.5 * nv * t->lanes / length : 0;
    double end = sums > 0 ? write * t->lanes / sums : 0;
    return c / ((double)rows * nv) * gemm_panel_cost[nv] / nv * (1 + empty) + end;
}

bool gemm_turned_pays(const GemmTarget *t, int64_t columns, double rows, double sums)
{
    return 1.05 * cost_turned(t, columns, rows, sums) < cost(t, columns);
}

/* ---- one panel ------------------------------------------------------------------------------------------------ */

enum { S_A, S_B, S_C, S_M, S_K, S_AK, S_BK, S_NCOLS, S_FIRST, S_WHOLE, S_RANGES, S_COUNT };

/* Values of k of a block in which some, and all, of a panel's columns take part: those with any lie in
 * [any[0], any[1]), and of these [all[0], all[1]) are the first that are whole. */
typedef struct {
    LLVMValueRef any[2], all[2];
} Part;

static LLVMValueRef choose(LLVMBuilderRef b, LLVMValueRef c, LLVMValueRef x, LLVMValueRef y)
{
    return LLVMBuildSelect(b, c, x, y, "");
}

static Part find_part(GemmBuild *g, LLVMBuilderRef b, LLVMValueRef *p)
{
    LLVMValueRef place[4], none = gemm_int(g, -1), value[4];
    for (int i = 0; i < 4; i++) {
        place[i] = gemm_alloca(b, g->i64, 1, 8);
        LLVMValueRef start = i == 0 ? p[S_K] : gemm_int(g, 0);
        LLVMBuildStore(b, i < 2 ? start : none, place[i]);
    }
    GemmLoop k = gemm_loop(g, b, gemm_int(g, 0), p[S_K], gemm_int(g, 1));
    LLVMValueRef bound[2], after = LLVMBuildAdd(b, k.i, gemm_int(g, 1), "");
    for (int w = 0; w < 2; w++) {
        LLVMValueRef at = LLVMBuildAdd(b, k.i, gemm_int(g, w * GEMM_RANGES), "");
        bound[w] = LLVMBuildLoad2(b, g->i32, LLVMBuildGEP2(b, g->i32, p[S_RANGES], &at, 1, ""), "");
        bound[w] = LLVMBuildSub(b, LLVMBuildSExt(b, bound[w], g->i64, ""), p[S_FIRST], "");
        bound[w] = gemm_max(b, gemm_min(b, bound[w], p[S_NCOLS]), gemm_int(g, 0));
    }
    LLVMValueRef any = LLVMBuildICmp(b, LLVMIntSLT, bound[0], bound[1], "");
    LLVMValueRef all = LLVMBuildICmp(b, LLVMIntEQ, LLVMBuildSub(b, bound[1], bound[0], ""), p[S_NCOLS], "");
    for (int i = 0; i < 4; i++) {
        value[i] = LLVMBuildLoad2(b, g->i64, place[i], "");
    }
    LLVMValueRef first = LLVMBuildICmp(b, LLVMIntSLT, value[2], gemm_int(g, 0), "");
    LLVMValueRef next = LLVMBuildOr(b, first, LLVMBuildICmp(b, LLVMIntEQ, value[3], k.i, ""), "");
    LLVMBuildStore(b, choose(b, any, gemm_min(b, value[0], k.i), value[0]), place[0]);
    LLVMBuildStore(b, choose(b, any, after, value[1]), place[1]);
    LLVMBuildStore(b, choose(b, LLVMBuildAnd(b, all, first, ""), k.i, value[2]), place[2]);
    LLVMBuildStore(b, choose(b, LLVMBuildAnd(b, all, next, ""), after, value[3]), place[3]);
    gemm_loop_end(b, &k);
    for (int i = 0; i < 4; i++) {
        value[i] = LLVMBuildLoad2(b, g->i64, place[i], "");
    }
    LLVMValueRef no = LLVMBuildICmp(b, LLVMIntSLT, value[2], gemm_int(g, 0), "");
    Part part = {.any = {value[0], value[1]}};
    for (int w = 0; w < 2; w++) {
        part.all[w] = LLVMBuildSelect(b, no, value[1], value[2 + w], "");
    }
    return part;
}

/* The values of k of a part, for mr rows from row r on, if there are any. */
static void call_tile(GemmBuild *g, LLVMBuilderRef b, LLVMValueRef *p, int mr, int nv, LLVMValueRef r, const Part *k)
{
    LLVMBasicBlockRef after = gemm_if(g, b, LLVMBuildICmp(b, LLVMIntSLT, k->any[0], k->any[1], ""));
    LLVMValueRef tile = gemm_tile(g, mr, nv, false, true), zero = gemm_int(g, 0), one = gemm_int(g, 1), k0 = k->any[0];
    LLVMValueRef width = gemm_int(g, (long long)nv * g->target->lanes), null = LLVMConstNull(g->ptr);
    LLVMValueRef a = gemm_at(g, b, gemm_at(g, b, p[S_A], r), LLVMBuildMul(b, k0, p[S_AK], ""));
    LLVMValueRef from = gemm_at(g, b, p[S_B], LLVMBuildMul(b, k0, p[S_BK], ""));
    LLVMValueRef args[17] = {a,
                             from,
                             gemm_at(g, b, p[S_C], LLVMBuildMul(b, r, width, "")),
                             LLVMBuildSub(b, k->all[0], k0, ""),
                             one,
                             p[S_AK],
                             p[S_BK],
                             width,
                             one,
                             LLVMConstInt(g->i1, 1, false),
                             zero,
                             null,
                             null,
                             LLVMBuildGEP2(b, g->i32, p[S_RANGES], &k0, 1, ""),
                             p[S_FIRST],
                             LLVMBuildSub(b, k->all[1], k->all[0], ""),
                             LLVMBuildSub(b, k->any[1], k->all[1], "")};
    LLVMBuildCall2(b, g->tile_type, tile, args, 17, "");
    gemm_end(b, after);
}

LLVMValueRef gemm_turned_strip(GemmBuild *g, int nv, LLVMTypeRef *type)
{
    LLVMTypeRef types[S_COUNT];
    for (int i = 0; i < S_COUNT; i++) {
        types[i] = i <= S_C || i == S_RANGES ? g->ptr : i == S_WHOLE ? g->i1 : g->i64;
    }
    *type = LLVMFunctionType(g->none, types, S_COUNT, false);
    if (g->target->shares) {
        return gemm_declare_shared(g, nv, 'd', *type);
    }
    LLVMValueRef f = gemm_function(g, "turned", *type, 3), p[S_COUNT];
    LLVMGetParams(f, p);
    LLVMBuilderRef b = LLVMCreateBuilderInContext(g->target->llvm);
    LLVMPositionBuilderAtEnd(b, LLVMAppendBasicBlockInContext(g->target->llvm, f, "entry"));
    LLVMBasicBlockRef entry = LLVMGetInsertBlock(b), parts[2];
    LLVMBasicBlockRef partly = LLVMAppendBasicBlockInContext(g->target->llvm, f, "partly");
    LLVMBasicBlockRef start = LLVMAppendBasicBlockInContext(g->target->llvm, f, "start");
    LLVMBuildCondBr(b, p[S_WHOLE], start, partly);
    LLVMPositionBuilderAtEnd(b, partly);
    Part found = find_part(g, b, p);
    parts[0] = entry;
    parts[1] = LLVMGetInsertBlock(b);
    LLVMBuildBr(b, start);
    LLVMPositionBuilderAtEnd(b, start);
    LLVMValueRef zero = gemm_int(g, 0);
    Part k;
    for (int i = 0; i < 4; i++) {
        LLVMValueRef *end = i < 2 ? &k.any[i] : &k.all[i - 2], in[2] = {i % 2 ? p[S_K] : zero};
        in[1] = i < 2 ? found.any[i] : found.all[i - 2];
        *end = LLVMBuildPhi(b, g->i64, "");
        LLVMAddIncoming(*end, in, parts, 2);
    }
    LLVMValueRef done = zero;
    for (int rows = gemm_tile_rows(g->target, nv);; rows = gemm_rest_rows(rows)) {
        LLVMValueRef last = LLVMBuildSub(b, p[S_M], gemm_int(g, rows - 1), "");
        GemmLoop r = gemm_loop(g, b, done, last, gemm_int(g, rows));
        call_tile(g, b, p, rows, nv, r.i, &k);
        gemm_loop_end(b, &r);
        done = r.i;
        if (rows == 1) {
            break;
        }
    }
    LLVMBuildRetVoid(b);
    LLVMDisposeBuilder(b);
    return f;
}

/* ---- all of it ------------------------------------------------------------------------------------------------ */

LLVMValueRef gemm_turned_size(const GemmTarget *t, LLVMBuilderRef b, LLVMValueRef m, LLVMValueRef n)
{
    Gemm none = {0};
    GemmBuild g = gemm_build(t, &none);
    int width = gemm_turned_width(t);
    LLVMValueRef w = gemm_int(&g, width), last = LLVMBuildAdd(b, n, gemm_int(&g, width - 1), "");
    LLVMValueRef size = LLVMBuildMul(b, LLVMBuildMul(b, LLVMBuildUDiv(b, last, w, ""), w, ""), m, "");
    return LLVMBuildAdd(b, size, gemm_int(&g, (long long)t->lanes * width), ""); /* gemm_turned_end reads squares */
}

/* The intervals of columns of a block's values of k; common[0] and [1]: what all of them hold. */
static void fill_ranges(GemmBuild *g, LLVMBuilderRef b, LLVMValueRef k0, LLVMValueRef k, LLVMValueRef ranges,
                        LLVMValueRef common[2])
{
    LLVMBuildStore(b, gemm_int(g, 0), common[0]);
    LLVMBuildStore(b, gemm_int(g, 1 << 30), common[1]);
    GemmLoop i = gemm_loop(g, b, gemm_int(g, 0), k, gemm_int(g, 1));
    LLVMValueRef bound[2];
    g->op->n_range(g->op->range_ctx, b, LLVMBuildAdd(b, k0, i.i, ""), bound);
    bound[0] = gemm_max(b, gemm_min(b, bound[0], gemm_int(g, 1 << 30)), gemm_int(g, 0));
    bound[1] = gemm_max(b, gemm_min(b, bound[1], gemm_int(g, 1 << 30)), bound[0]);
    for (int w = 0; w < 2; w++) {
        LLVMValueRef at = LLVMBuildAdd(b, i.i, gemm_int(g, w * GEMM_RANGES), "");
        LLVMBuildStore(b, LLVMBuildTrunc(b, bound[w], g->i32, ""), LLVMBuildGEP2(b, g->i32, ranges, &at, 1, ""));
        LLVMValueRef had = LLVMBuildLoad2(b, g->i64, common[w], "");
        LLVMBuildStore(b, w ? gemm_min(b, had, bound[w]) : gemm_max(b, had, bound[w]), common[w]);
    }
    gemm_loop_end(b, &i);
}

void gemm_turned(const GemmTarget *t, LLVMBuilderRef b, const Gemm *given, LLVMValueRef all_n)
{
    Gemm op = *given;
    op.turned = true;
    GemmBuild g = gemm_build(t, &op);
    int width = gemm_turned_width(t);
    LLVMValueRef zero = gemm_int(&g, 0), w = gemm_int(&g, width), common[2];
    op.a_m = op.c_n = gemm_int(&g, 1);
    op.c_m = w;
    g.b_k = op.b_k;
    LLVMValueRef ranges = op.n_range ? gemm_alloca(b, g.i32, 2 * GEMM_RANGES, 64) : LLVMConstNull(g.ptr);
    for (int i = 0; i < 2; i++) {
        common[i] = gemm_alloca(b, g.i64, 1, 8);
    }
    LLVMTypeRef type;
    LLVMValueRef strip = gemm_turned_strip(&g, vectors(t), &type);
    GemmLoop block = gemm_loop(&g, b, zero, op.k, gemm_int(&g, GEMM_BLOCK));
    LLVMValueRef k = gemm_min(b, LLVMBuildSub(b, op.k, block.i, ""), gemm_int(&g, GEMM_BLOCK));
    LLVMValueRef a = gemm_at(&g, b, op.a, LLVMBuildMul(b, block.i, op.a_k, ""));
    LLVMValueRef from = gemm_at(&g, b, op.b, LLVMBuildMul(b, block.i, op.b_k, ""));
    if (op.n_range) {
        fill_ranges(&g, b, block.i, k, ranges, common);
    }
    GemmLoop panel = gemm_loop(&g, b, zero, op.n, w);
    LLVMValueRef column = LLVMBuildAdd(b, op.kept_n0, panel.i, "");
    LLVMValueRef c = gemm_at(&g, b, op.kept, LLVMBuildMul(b, column, op.m, ""));
    LLVMValueRef ncols = gemm_min(b, LLVMBuildSub(b, all_n, column, ""), w), whole = LLVMConstInt(g.i1, 1, false);
    if (op.n_range) {
        LLVMValueRef lo = LLVMBuildLoad2(b, g.i64, common[0], ""), hi = LLVMBuildLoad2(b, g.i64, common[1], "");
        whole = LLVMBuildAnd(b, LLVMBuildICmp(b, LLVMIntSLE, lo, panel.i, ""),
                             LLVMBuildICmp(b, LLVMIntSGE, hi, LLVMBuildAdd(b, panel.i, ncols, ""), ""), "");
    }
    LLVMValueRef args[S_COUNT] = {
        a, gemm_at(&g, b, from, panel.i), c, op.m, k, op.a_k, op.b_k, ncols, panel.i, whole, ranges};
    LLVMBuildCall2(b, type, strip, args, S_COUNT, "");
    gemm_loop_end(b, &panel);
    gemm_loop_end(b, &block);
}

void gemm_turned_end(const GemmTarget *t, LLVMBuilderRef b, const Gemm *op, bool adds)
{
    GemmBuild g = gemm_build(t, op);
    int lanes = t->lanes, width = gemm_turned_width(t);
    LLVMValueRef zero = gemm_int(&g, 0), step = gemm_int(&g, lanes), w = gemm_int(&g, width), x[16];
    GemmLoop panel = gemm_loop(&g, b, zero, op->n, w);
    LLVMValueRef end = gemm_min(b, op->n, LLVMBuildAdd(b, panel.i, w, ""));
    LLVMValueRef from = gemm_at(&g, b, op->kept, LLVMBuildMul(b, panel.i, op->m, ""));
    GemmLoop column = gemm_loop(&g, b, panel.i, end, step);
    GemmLoop row = gemm_loop(&g, b, zero, op->m, step);
    LLVMValueRef square = gemm_at(&g, b, from, LLVMBuildMul(b, row.i, w, ""));
    square = gemm_at(&g, b, square, LLVMBuildSub(b, column.i, panel.i, ""));
    for (int r = 0; r < lanes; r++) { /* rows behind the last are read, too, and not used */
        x[r] = gemm_load(&g, b, gemm_at(&g, b, square, gemm_int(&g, (long long)r * width)), NULL);
    }
    gemm_transpose(&g, b, x);
    LLVMValueRef rows = LLVMBuildSub(b, op->m, row.i, "");
    for (int r = 0; r < lanes; r++) {
        LLVMValueRef at = LLVMBuildAdd(b, column.i, gemm_int(&g, r), "");
        LLVMValueRef count = LLVMBuildSelect(b, LLVMBuildICmp(b, LLVMIntSLT, at, end, ""), rows, zero, "");
        LLVMValueRef mask = gemm_lanes(&g, b, 0, NULL, count);
        LLVMValueRef to = gemm_at(&g, b, gemm_at(&g, b, op->c, LLVMBuildMul(b, at, op->c_n, "")), row.i);
        LLVMValueRef sum = adds ? LLVMBuildFAdd(b, gemm_load(&g, b, to, mask), x[r], "") : x[r];
        gemm_store(&g, b, sum, to, mask);
    }
    gemm_loop_end(b, &row);
    gemm_loop_end(b, &column);
    gemm_loop_end(b, &panel);
}
