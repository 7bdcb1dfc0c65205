/* A loop that is cut into runs (runs.c) ends each run with a masked vector, and looks for the next one only then: runs of
 * a few cells are nothing but that. Where each cell is stored for itself, the values that the step function alone changes
 * are written out ahead of the loop instead, into a row of the stack, a vector of cells at a time:
 *
 *     c = step(arg(lo))                                     one search
 *     for each vector of cells:
 *         row = w[c]
 *         while some arg is less than table[c - 1]:         row = w[c - 1] in those lanes, c = c - 1
 *         or not less than table[c]:                        and the same upwards
 *
 *     for i:  cell[i] = f(row[i], i)
 *
 * Along a list of times c goes one way, and a row costs as many rounds as it has vectors and thresholds that it passes.
 * The dear part of the cell runs at the speed of a loop without runs. Rows are short and stay in the first cache. */
#include "spread.h"
#include "fault.h"
#include "lanes.h"
#include "runs.h"

/* Takes s, a part of something that the letter changes by itself, too, if the step function alone changes it; false:
 * then it fits no row. */
static bool take(const Emit *x, Spread *p, const bool *moves, const Scalar *s)
{
    int node = kernel_node(x->k, s);
    if (!sc_uses_letter(s, p->letter) || moves[node]) {
        return true;
    }
    for (int i = 0; i < p->n; i++) {
        if (p->value[i] == s) {
            return true;
        }
    }
    if (s->type != TYPE_REAL || !x->safe[node] || p->n == SPREAD_ROWS) {
        return false;
    }
    p->value[p->n++] = s;
    return true;
}

bool spread_can(const Emit *x, const Scalar *step, int letter, Spread *p)
{
    const KernelInfo *k = x->k;
    bool *moves = calloc((size_t)k->nnodes + 1, sizeof *moves); /* the letter changes it not by the function alone */
    bool ok = moves != NULL;
    *p = (Spread){.step = step, .letter = letter};
    for (int i = 0; i < k->nnodes && ok; i++) { /* args come before their users */
        const Scalar *s = k->nodes[i];
        moves[i] = (s->op == OP_LETTER && s->inum == letter) || (s->at && sc_uses_letter(s, letter));
        for (int m = 0; m < s->nargs && s != step; m++) {
            moves[i] |= sc_uses_letter(s->args[m], letter) && moves[kernel_node(k, s->args[m])];
        }
        for (int m = 0; m < s->nargs && moves[i]; m++) {
            ok = ok && take(x, p, moves, s->args[m]);
        }
    }
    for (int i = 0; i < k->e->nconds && ok; i++) {
        ok = take(x, p, moves, k->e->conds[i]);
    }
    ok = ok && take(x, p, moves, k->e->body) && p->n > 0;
    free(moves);
    return ok;
}

/* At hand while rows are written: what a vector of cells holds, and the step function of its last lanes. */
typedef struct {
    Emit *x;
    const Spread *p;
    int lanes;
    LLVMValueRef args, mask, value[SPREAD_ROWS];
} Cells;

/* The values where the step function is c, in all lanes. */
static void values_at(Cells *v, LLVMValueRef c, LLVMValueRef out[SPREAD_ROWS])
{
    Emit *x = v->x;
    int node = kernel_node(x->k, v->p->step), mark = scope_enter(x);
    x->memo[node] = c;
    x->memo_log[x->nlog++] = node;
    for (int i = 0; i < v->p->n; i++) {
        out[i] = lanes_splat(x, emit_scalar(x, v->p->value[i]), v->lanes);
    }
    scope_leave(x, mark);
}

/* Passes the thresholds on one side of a count as long as some arg lies beyond; returns the count there. */
static LLVMValueRef pass_thresholds(Cells *v, LLVMValueRef count, bool up)
{
    Emit *x = v->x;
    LLVMBasicBlockRef before = LLVMGetInsertBlock(x->b), head = emit_block(x, "threshold");
    LLVMBasicBlockRef body = emit_block(x, "pass"), done = emit_block(x, "passed");
    LLVMBuildBr(x->b, head);
    LLVMPositionBuilderAtEnd(x->b, head);
    LLVMValueRef c = LLVMBuildPhi(x->b, x->i64, "count"), value[SPREAD_ROWS], beyond_value[SPREAD_ROWS];
    for (int i = 0; i < v->p->n; i++) {
        value[i] = LLVMBuildPhi(x->b, LLVMTypeOf(v->value[i]), "row");
        LLVMAddIncoming(value[i], &v->value[i], &before, 1);
    }
    LLVMValueRef t = lanes_splat(x, runs_threshold(x, v->p->step, c, up), v->lanes);
    LLVMValueRef beyond = LLVMBuildICmp(x->b, up ? LLVMIntSGE : LLVMIntSLT, v->args, t, "");
    beyond = LLVMBuildAnd(x->b, beyond, v->mask, "");
    LLVMTypeRef bits = LLVMIntTypeInContext(x->ctx, (unsigned)v->lanes);
    LLVMValueRef any = LLVMBuildBitCast(x->b, beyond, bits, "");
    LLVMValueRef more = LLVMBuildICmp(x->b, LLVMIntNE, any, LLVMConstNull(bits), "");
    if (up) { /* the largest number is beyond all there is */
        more = LLVMBuildAnd(x->b, more, LLVMBuildICmp(x->b, LLVMIntSLT, c, emit_i64(x, v->p->step->ntable), ""), "");
    }
    LLVMBuildCondBr(x->b, more, body, done);
    LLVMPositionBuilderAtEnd(x->b, body);
    LLVMValueRef next = LLVMBuildNSWAdd(x->b, c, emit_i64(x, up ? 1 : -1), "");
    values_at(v, FAULT(52) ? c : next, beyond_value);
    LLVMBasicBlockRef latch = LLVMGetInsertBlock(x->b);
    LLVMAddIncoming(c, (LLVMValueRef[]){count, next}, (LLVMBasicBlockRef[]){before, latch}, 2);
    for (int i = 0; i < v->p->n; i++) {
        LLVMValueRef passed = LLVMBuildSelect(x->b, beyond, beyond_value[i], value[i], "");
        LLVMAddIncoming(value[i], &passed, &latch, 1);
        v->value[i] = value[i];
    }
    LLVMBuildBr(x->b, head);
    LLVMPositionBuilderAtEnd(x->b, done);
    return c;
}

void spread_write(Emit *x, Spread *p, LLVMValueRef lo, LLVMValueRef hi)
{
    int lanes = target_lanes(x->target, x->k->real == DT_F64);
    LLVMTypeRef type = emit_type(x, TYPE_REAL);
    p->first = lo;
    for (int i = 0; i < p->n; i++) {
        p->row[i] = emit_local(x, LLVMArrayType2(type, SPREAD_CELLS + (unsigned)lanes), "row");
    }
    LLVMValueRef count = emit_local(x, x->i64, "count");
    LLVMBuildStore(x->b, runs_value_at(x, p->step, p->letter, lo), count);
    Loop l;
    loop_begin(x, &l, "spread", lo, hi, lanes);
    x->letter[p->letter] = l.i;
    /* Whole vectors are read, also behind hi (TENSOR_SLACK is there); what stands there passes nothing. */
    Cells v = {.x = x, .p = p, .lanes = lanes, .mask = lanes_below(x, lanes, LLVMBuildNSWSub(x->b, hi, l.i, ""))};
    v.args = lanes_value(x, &(Lanes){.letter = p->letter, .lanes = lanes}, p->step->args[0]);
    LLVMValueRef c = LLVMBuildLoad2(x->b, x->i64, count, "");
    values_at(&v, c, v.value);
    LLVMValueRef down = pass_thresholds(&v, c, false), up = pass_thresholds(&v, c, true);
    LLVMValueRef went_up = LLVMBuildICmp(x->b, LLVMIntSGT, up, c, "");
    LLVMBuildStore(x->b, LLVMBuildSelect(x->b, went_up, up, down, ""), count);
    LLVMValueRef at = LLVMBuildNSWSub(x->b, l.i, p->first, "");
    for (int i = 0; i < p->n; i++) {
        LLVMValueRef store = LLVMBuildStore(x->b, v.value[i], LLVMBuildGEP2(x->b, type, p->row[i], &at, 1, ""));
        LLVMSetAlignment(store, emit_bytes(x, type));
    }
    x->letter[p->letter] = NULL;
    loop_end(x, &l);
}

void spread_recall(Emit *x, const Spread *p)
{
    LLVMTypeRef type = emit_type(x, TYPE_REAL);
    LLVMValueRef at = LLVMBuildNSWSub(x->b, x->letter[p->letter], p->first, "");
    for (int i = 0; i < p->n; i++) {
        int node = kernel_node(x->k, p->value[i]);
        x->memo[node] = LLVMBuildLoad2(x->b, type, LLVMBuildGEP2(x->b, type, p->row[i], &at, 1, ""), "");
        x->memo_log[x->nlog++] = node;
    }
}
