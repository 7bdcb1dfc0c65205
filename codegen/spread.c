/* A loop that is cut into runs (runs.c) ends each run with a masked vector, and looks for the next one only then: runs
 * of a few cells are nothing but that. Where each cell is stored for itself, the values that the step function alone
 * changes are written out ahead of the loop instead, into a row of the stack, a vector of cells at a time:
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
    bool *moves = runs_moves(x, step, letter), ok = true;
    *p = (Spread){.step = step, .letter = letter};
    for (int i = 0; i < k->nnodes; i++) {
        for (int m = 0; m < k->nodes[i]->nargs && moves[i]; m++) {
            ok = ok && take(x, p, moves, k->nodes[i]->args[m]);
        }
    }
    for (int i = 0; i < k->e->nconds && ok; i++) {
        ok = take(x, p, moves, k->e->conds[i]);
    }
    ok = ok && take(x, p, moves, k->e->body) && p->n > 0;
    free(moves);
    return ok;
}

/* Writes the values where the step function is c in the lanes of a mask, or in all. */
typedef struct {
    Emit *x;
    const Spread *p;
    int lanes;
    LLVMValueRef value[SPREAD_ROWS]; /* locals */
} Cells;

static void write_values(Cells *v, LLVMValueRef c, LLVMValueRef mask)
{
    Emit *x = v->x;
    int scope = scope_enter(x);
    runs_know(x, v->p->step, c);
    for (int i = 0; i < v->p->n; i++) {
        LLVMValueRef w = lanes_splat(x, emit_scalar(x, v->p->value[i]), v->lanes);
        if (mask) {
            w = LLVMBuildSelect(x->b, mask, w, LLVMBuildLoad2(x->b, LLVMTypeOf(w), v->value[i], ""), "");
        }
        LLVMBuildStore(x->b, w, v->value[i]);
    }
    scope_leave(x, scope);
}

static void pass(void *ctx, LLVMValueRef beyond, LLVMValueRef next)
{
    Cells *v = ctx;
    LLVMValueRef one = emit_i64(v->x, FAULT(52));
    write_values(v, LLVMBuildNSWAdd(v->x->b, next, one, ""), beyond);
}

void spread_write(Emit *x, Spread *p, LLVMValueRef lo, LLVMValueRef hi)
{
    int lanes = target_lanes(x->target, x->k->real == DT_F64);
    LLVMTypeRef type = emit_type(x, TYPE_REAL), vector = LLVMVectorType(type, (unsigned)lanes);
    Cells v = {.x = x, .p = p, .lanes = lanes};
    p->first = lo;
    for (int i = 0; i < p->n; i++) {
        p->row[i] = emit_local(x, LLVMArrayType2(type, SPREAD_CELLS + (unsigned)lanes), "row");
        v.value[i] = emit_local(x, vector, "value");
    }
    LLVMValueRef count = emit_local(x, x->i64, "count");
    LLVMBuildStore(x->b, runs_value_at(x, p->step, p->letter, lo), count);
    Loop l;
    loop_begin(x, &l, "spread", lo, hi, lanes);
    x->letter[p->letter] = l.i;
    /* Whole vectors are read, also behind hi (TENSOR_SLACK is there); what stands there passes nothing. */
    LLVMValueRef mask = lanes_below(x, lanes, LLVMBuildNSWSub(x->b, hi, l.i, ""));
    LLVMValueRef args = lanes_value(x, &(Lanes){.letter = p->letter, .lanes = lanes}, p->step->args[0]);
    LLVMValueRef c = LLVMBuildLoad2(x->b, x->i64, count, "");
    write_values(&v, c, NULL);
    LLVMValueRef down = runs_pass(x, p->step, args, mask, c, false, pass, &v);
    LLVMValueRef up = runs_pass(x, p->step, args, mask, c, true, pass, &v);
    LLVMBuildStore(x->b, runs_last(x, c, down, up), count);
    LLVMValueRef at = LLVMBuildNSWSub(x->b, l.i, p->first, "");
    for (int i = 0; i < p->n; i++) {
        LLVMValueRef cells = LLVMBuildGEP2(x->b, type, p->row[i], &at, 1, "");
        LLVMSetAlignment(LLVMBuildStore(x->b, LLVMBuildLoad2(x->b, vector, v.value[i], ""), cells),
                         emit_bytes(x, type));
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
