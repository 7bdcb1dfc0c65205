/* A loop that is cut into runs of a step function (runs.c) ends each run with a masked vector, and a run of a few cells
 * is nothing but that. Where each cell is stored for itself, the values that the function alone changes are written
 * out run by run instead, into a row of the stack,
 *
 *     for each run lo .. end:  row[lo ..] = w[c]      whole vectors: the next run overwrites those behind its start
 *     for i:                   cell[i] = f(row[i], i)
 *
 * so the dear part of the cell runs at the speed of a loop without runs. Rows are short and stay in the first cache. */
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

void spread_write(Emit *x, Spread *p, LLVMValueRef lo, LLVMValueRef hi)
{
    int lanes = target_lanes(x->target, x->k->real == DT_F64);
    LLVMTypeRef type = emit_type(x, TYPE_REAL);
    p->first = lo;
    for (int i = 0; i < p->n; i++) {
        p->row[i] = emit_local(x, LLVMArrayType2(type, SPREAD_CELLS + (unsigned)lanes), "row");
    }
    Runs r;
    runs_begin(x, &r, p->step, p->letter, lo, hi);
    LLVMValueRef value[SPREAD_ROWS];
    for (int i = 0; i < p->n; i++) {
        value[i] = lanes_splat(x, runs_value_at(x, p->value[i], p->letter, r.lo), lanes);
    }
    Loop l;
    loop_begin(x, &l, "spread", FAULT(52) ? LLVMBuildNSWAdd(x->b, r.lo, emit_i64(x, 1), "") : r.lo, r.end, lanes);
    for (int i = 0; i < p->n; i++) {
        LLVMValueRef at = LLVMBuildNSWSub(x->b, l.i, p->first, "");
        LLVMValueRef store = LLVMBuildStore(x->b, value[i], LLVMBuildGEP2(x->b, type, p->row[i], &at, 1, ""));
        LLVMSetAlignment(store, emit_bytes(x, type));
    }
    loop_end(x, &l);
    runs_end(&r);
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
