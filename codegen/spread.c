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

/* Whether the letter changes s other than through the step function. */
static bool moves(const Spread *p, const Scalar *s)
{
    if (s == p->step) {
        return false;
    }
    bool found = (s->op == OP_LETTER && s->inum == p->letter) || (s->at && sc_uses_letter(s, p->letter));
    for (int i = 0; i < s->nargs && !found; i++) {
        found = moves(p, s->args[i]);
    }
    return found;
}

/* Finds the greatest parts of s that the step function alone changes; false: one of them fits no row. */
static bool collect(const Emit *x, Spread *p, const Scalar *s)
{
    if (!sc_uses_letter(s, p->letter)) {
        return true;
    }
    if (moves(p, s)) {
        bool ok = true;
        for (int i = 0; i < s->nargs && ok; i++) {
            ok = collect(x, p, s->args[i]);
        }
        return ok;
    }
    for (int i = 0; i < p->n; i++) {
        if (p->value[i] == s) {
            return true;
        }
    }
    int node = kernel_node(x->k, s);
    if (s->type != TYPE_REAL || node < 0 || !x->safe[node] || p->n == SPREAD_ROWS) {
        return false;
    }
    p->value[p->n++] = s;
    return true;
}

static void look_for_step(const Scalar *s, void *ctx)
{
    const Scalar **step = ctx;
    *step = s == *step ? NULL : *step;
}

bool spread_can(const Emit *x, const Scalar *step, int letter, Spread *p)
{
    const Equation *e = x->k->e;
    *p = (Spread){.step = step, .letter = letter};
    for (int i = 0; i < e->nconds; i++) {
        const Scalar *left = step;
        sc_walk(e->conds[i], look_for_step, &left);
        if (!left) {
            return false;
        }
    }
    return collect(x, p, e->body) && p->n > 0;
}

static int lanes_of(const Emit *x)
{
    return x->target->vector_bits / (x->k->real == DT_F64 ? 64 : 32);
}

void spread_write(Emit *x, Spread *p, LLVMValueRef lo, LLVMValueRef hi)
{
    int lanes = lanes_of(x);
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
