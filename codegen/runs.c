/* Runs of a step function. bucket(t1[i] - ts[j]) counts thresholds, and along a list of times it is the same for many
 * neighbours j: a search for each of them is wasted. The innermost loop over such a letter is cut into runs:
 *
 *     j = lo
 *     while j < hi:
 *         c = step(arg(j))                          one search
 *         e = first of j + 1 .. hi that leaves [table[c - 1], table[c])      compares alone, 32 neighbours at a time
 *         for j .. e: the statement, with c known   a constant to store, or one key to add a sum to
 *         j = e
 *
 * That holds for any values; that neighbours differ little is only why it is fast. So it is done for arguments that
 * differ along the loop by a stored integer of 64 bits, which is what times are, and for tables worth a search. */
#include "runs.h"

enum { WORTH_A_SEARCH = 9, BLOCK = 32 };

typedef struct {
    int letter;
    bool found;
} Along;

static void look_for_times(const Scalar *s, void *ctx)
{
    Along *a = ctx;
    if (s->op == OP_LOAD && s->tensor->elem == ELEM_I64 && s->nargs > 0) {
        const Scalar *last = s->args[s->nargs - 1];
        a->found = a->found || (last->op == OP_LETTER && last->inum == a->letter);
    }
}

const Scalar *runs_find(const Emit *x, int letter)
{
    const Scalar *found = NULL;
    for (int i = 0; i < x->k->nnodes; i++) {
        const Scalar *s = x->k->nodes[i];
        if (s->op != OP_STEP || s->ntable < WORTH_A_SEARCH || !(x->letters[i] >> letter & 1)) {
            continue;
        }
        Along a = {.letter = letter};
        sc_walk(s->args[0], look_for_times, &a);
        if (found || !x->safe[i] || !a.found) {
            return NULL;
        }
        found = s;
    }
    return found;
}

/* table[c - 1] and table[c], unbounded at the ends. */
static LLVMValueRef threshold(Emit *x, const Scalar *step, LLVMValueRef c, int beyond)
{
    int64_t n = step->ntable, *v = malloc((size_t)(n + 2) * sizeof *v);
    if (!v) {
        bug("out of memory while emitting a table");
    }
    v[0] = INT64_MIN;
    v[n + 1] = INT64_MAX;
    for (int64_t i = 0; i < n; i++) {
        v[i + 1] = step->table[i];
    }
    LLVMValueRef t = emit_table_entry(x, step, "bounds", n + 2, v, LLVMBuildNSWAdd(x->b, c, emit_i64(x, beyond), ""));
    free(v);
    return t;
}

static LLVMValueRef value_at(Emit *x, const Scalar *s, int letter, LLVMValueRef at)
{
    int mark = scope_enter(x);
    x->letter[letter] = at;
    LLVMValueRef v = emit_scalar(x, s);
    x->letter[letter] = NULL;
    scope_leave(x, mark);
    return v;
}

/* The first position from `from` on, below hi, whose argument is not in [least, most); else hi. */
static LLVMValueRef end_of_run(Runs *r, LLVMValueRef from, LLVMValueRef least, LLVMValueRef most)
{
    Emit *x = r->x;
    LLVMValueRef end = emit_local(x, x->i64, "end"), first = emit_local(x, x->i64, "first");
    LLVMValueRef goes_on = emit_local(x, x->i1, "goes_on");
    LLVMBuildStore(x->b, from, end);
    LLVMBuildStore(x->b, LLVMConstInt(x->i1, 1, 0), goes_on);
    LLVMBasicBlockRef head = emit_block(x, "scan"), body = emit_block(x, "block"), after = emit_block(x, "run");
    LLVMBuildBr(x->b, head);
    LLVMPositionBuilderAtEnd(x->b, head);
    LLVMValueRef at = LLVMBuildLoad2(x->b, x->i64, end, "");
    LLVMValueRef more = LLVMBuildAnd(x->b, LLVMBuildICmp(x->b, LLVMIntSLT, at, r->hi, ""),
                                     LLVMBuildLoad2(x->b, x->i1, goes_on, ""), "");
    LLVMBuildCondBr(x->b, more, body, after);
    LLVMPositionBuilderAtEnd(x->b, body);
    LLVMValueRef stop = emit_min(x, LLVMBuildNSWAdd(x->b, at, emit_i64(x, BLOCK), ""), r->hi);
    LLVMBuildStore(x->b, stop, first);
    Loop l;
    loop_begin(x, &l, "neighbour", at, stop, 1);
    LLVMValueRef v = value_at(x, r->step->args[0], r->letter, l.i);
    LLVMValueRef in = LLVMBuildAnd(x->b, LLVMBuildICmp(x->b, LLVMIntSGE, v, least, ""),
                                   LLVMBuildICmp(x->b, LLVMIntSLT, v, most, ""), "");
    LLVMValueRef here = LLVMBuildSelect(x->b, in, stop, l.i, "");
    LLVMBuildStore(x->b, emit_min(x, LLVMBuildLoad2(x->b, x->i64, first, ""), here), first);
    l.inner = true;
    loop_end(x, &l);
    LLVMValueRef found = LLVMBuildLoad2(x->b, x->i64, first, "");
    LLVMBuildStore(x->b, found, end);
    LLVMBuildStore(x->b, LLVMBuildICmp(x->b, LLVMIntEQ, found, stop, ""), goes_on);
    LLVMBuildBr(x->b, head);
    LLVMPositionBuilderAtEnd(x->b, after);
    return LLVMBuildLoad2(x->b, x->i64, end, "");
}

void runs_begin(Emit *x, Runs *r, const Scalar *step, int letter, LLVMValueRef lo, LLVMValueRef hi)
{
    *r = (Runs){.x = x, .step = step, .letter = letter, .hi = hi};
    r->head = emit_block(x, "runs");
    r->exit = LLVMCreateBasicBlockInContext(x->ctx, "runs.end");
    LLVMBasicBlockRef body = emit_block(x, "run.begin");
    r->at = emit_local(x, x->i64, "run");
    LLVMBuildStore(x->b, lo, r->at);
    LLVMBuildBr(x->b, r->head);
    LLVMPositionBuilderAtEnd(x->b, r->head);
    r->lo = LLVMBuildLoad2(x->b, x->i64, r->at, "");
    LLVMBuildCondBr(x->b, LLVMBuildICmp(x->b, LLVMIntSLT, r->lo, hi, ""), body, r->exit);
    LLVMPositionBuilderAtEnd(x->b, body);
    LLVMValueRef count = value_at(x, step, letter, r->lo);
    LLVMValueRef next = LLVMBuildNSWAdd(x->b, r->lo, emit_i64(x, 1), "");
    r->end = end_of_run(r, next, threshold(x, step, count, 0), threshold(x, step, count, 1));
    r->mark = scope_enter(x);
    int node = kernel_node(x->k, step);
    x->memo[node] = count;
    x->memo_log[x->nlog++] = node;
}

void runs_end(Runs *r)
{
    Emit *x = r->x;
    scope_leave(x, r->mark);
    LLVMBuildStore(x->b, r->end, r->at);
    LLVMBuildBr(x->b, r->head);
    LLVMAppendExistingBasicBlock(x->fn, r->exit);
    LLVMPositionBuilderAtEnd(x->b, r->exit);
}
