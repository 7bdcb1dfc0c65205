/* A keyed sum whose cell a step function picks, the gradient of a table over buckets of times, a vector of terms at a
 * time, in place of runs (runs.c), each of which would wait for the end of the last one:
 *
 *     c = step(arg(lo)), sum = 0                            one search
 *     for each vector of terms:
 *         while some arg is less than table[c - 1]:         sum += the lanes in which it is not
 *                                                           cell[c] += sum of the lanes of sum, sum = 0, c = c - 1
 *         the same upwards, for the lanes not less than table[c] at first
 *         sum += the lanes that are left
 *     cell[c] += ...
 *
 * So lanes are only added up where a run ends. Every cell has its terms in the order of the vectors. */
#include "tally.h"
#include "fault.h"
#include "lanes.h"
#include "runs.h"

typedef struct {
    Loops *s;
    const Scalar *step;
    LLVMTypeRef vector;
    LLVMValueRef sum, count, left; /* locals: of the cell at hand; its count; lanes that are in no sum yet */
    LLVMValueRef terms;
} Tally;

bool tally_can(const Loops *s, const Scalar *step, int letter)
{
    const Equation *e = s->x->k->e;
    bool can = s->n.mode == NEST_KEYED && e->op == RED_SUM && s->type == TYPE_REAL && e->body->type == TYPE_REAL &&
               e->dst->elem == ELEM_REAL && lanes_can(e->body, letter) && s->key_level < s->n.n - 1;
    bool *moves = runs_moves(s->x, step, letter);
    for (int d = 0; d < e->dst->ndim && can; d++) {
        int node = kernel_node(s->x->k, e->lhs[d]);
        can = !sc_uses_letter(e->lhs[d], letter) || (node >= 0 && !moves[node]);
    }
    free(moves);
    for (int i = 0; i < s->n.ntests && can; i++) { /* bounds are in lo and hi */
        can = s->n.tests[i].level < s->n.n - 1 || s->n.tests[i].bound >= 0;
    }
    return can;
}

/* Adds the lanes of a mask to the sum. */
static void add_lanes(Tally *t, LLVMValueRef mask)
{
    LLVMBuilderRef b = t->s->x->b;
    LLVMValueRef old = LLVMBuildLoad2(b, t->vector, t->sum, "");
    LLVMBuildStore(b, LLVMBuildSelect(b, mask, LLVMBuildFAdd(b, old, t->terms, ""), old, ""), t->sum);
}

/* Adds the sum to its cell, and begins the next one at another count. */
static void next_cell(Tally *t, LLVMValueRef count)
{
    Emit *x = t->s->x;
    LLVMValueRef args[2] = {emit_number(x, x->real, 0), LLVMBuildLoad2(x->b, t->vector, t->sum, "")};
    LLVMValueRef sum = emit_intrinsic(x, "llvm.vector.reduce.fadd", 1, &t->vector, 2, args);
    LLVMSetFastMathFlags(sum, LLVMFastMathAllowReassoc);
    int scope = scope_enter(x);
    runs_know(x, t->step, LLVMBuildLoad2(x->b, x->i64, t->count, ""));
    LLVMValueRef cell = loops_destination(t->s);
    emit_store(x, 0, LLVMBuildFAdd(x->b, emit_load(x, 0, cell), sum, ""), cell);
    scope_leave(x, scope);
    LLVMBuildStore(x->b, LLVMConstNull(t->vector), t->sum);
    LLVMBuildStore(x->b, count, t->count);
}

static void pass(void *ctx, LLVMValueRef beyond, LLVMValueRef next)
{
    Tally *t = ctx;
    LLVMBuilderRef b = t->s->x->b;
    LLVMValueRef left = LLVMBuildLoad2(b, LLVMTypeOf(beyond), t->left, "");
    add_lanes(t, FAULT(55) ? left : LLVMBuildAnd(b, left, LLVMBuildNot(b, beyond, ""), ""));
    next_cell(t, next);
    LLVMBuildStore(b, beyond, t->left);
}

/* The terms of the lanes of a mask, from the count at which the vector begins. */
static void one_way(Tally *t, LLVMValueRef args, LLVMValueRef mask, LLVMValueRef c, bool up)
{
    Emit *x = t->s->x;
    LLVMBuildStore(x->b, mask, t->left);
    runs_pass(x, t->step, args, mask, c, up, pass, t);
    add_lanes(t, LLVMBuildLoad2(x->b, LLVMTypeOf(mask), t->left, ""));
}

void tally_level(Loops *s, const Scalar *step, int letter, LLVMValueRef lo, LLVMValueRef hi)
{
    Emit *x = s->x;
    int lanes = target_lanes(x->target, x->k->real == DT_F64);
    LLVMTypeRef vector = LLVMVectorType(x->real, (unsigned)lanes), mask = LLVMVectorType(x->i1, (unsigned)lanes);
    Tally t = {.s = s, .step = step, .vector = vector};
    t.sum = emit_local(x, vector, "sum");
    t.count = emit_local(x, x->i64, "count");
    t.left = emit_local(x, mask, "left");
    LLVMBasicBlockRef some = emit_block(x, "some"), done = LLVMCreateBasicBlockInContext(x->ctx, "told");
    LLVMBuildCondBr(x->b, LLVMBuildICmp(x->b, LLVMIntSLT, lo, hi, ""), some, done);
    LLVMPositionBuilderAtEnd(x->b, some);
    int scope = scope_enter(x);
    LLVMBuildStore(x->b, runs_value_at(x, step, letter, lo), t.count);
    LLVMBuildStore(x->b, LLVMConstNull(vector), t.sum);
    Loop l;
    loop_begin(x, &l, "terms", lo, hi, lanes);
    x->letter[letter] = l.i;
    /* Of args whole vectors are read, also behind hi (TENSOR_SLACK is there). */
    Lanes whole = {.letter = letter, .lanes = lanes}, part = whole;
    part.mask = lanes_below(x, lanes, LLVMBuildNSWSub(x->b, hi, l.i, ""));
    LLVMValueRef args = lanes_value(x, &whole, step->args[0]), c = LLVMBuildLoad2(x->b, x->i64, t.count, "");
    t.terms = lanes_value(x, &part, x->k->e->body);
    LLVMValueRef over = lanes_splat(x, runs_threshold(x, step, c, 1), lanes);
    over = LLVMBuildAnd(x->b, LLVMBuildICmp(x->b, LLVMIntSGE, args, over, ""), part.mask, "");
    LLVMValueRef more = LLVMBuildICmp(x->b, LLVMIntSLT, c, emit_i64(x, step->ntable), ""); /* beyond it nothing is */
    over = LLVMBuildSelect(x->b, more, over, LLVMConstNull(LLVMTypeOf(over)), "");
    LLVMValueRef rest = LLVMBuildAnd(x->b, part.mask, LLVMBuildNot(x->b, over, ""), "");
    one_way(&t, args, rest, c, false);
    LLVMBasicBlockRef rises = emit_block(x, "rises"), next = LLVMCreateBasicBlockInContext(x->ctx, "terms.next");
    LLVMBuildCondBr(x->b, runs_any(x, over), rises, next);
    LLVMPositionBuilderAtEnd(x->b, rises);
    one_way(&t, args, over, c, true);
    LLVMBuildBr(x->b, next);
    LLVMAppendExistingBasicBlock(x->fn, next);
    LLVMPositionBuilderAtEnd(x->b, next);
    loop_end(x, &l);
    x->letter[letter] = lo;
    next_cell(&t, emit_i64(x, 0));
    x->letter[letter] = NULL;
    scope_leave(x, scope);
    LLVMBuildBr(x->b, done);
    LLVMAppendExistingBasicBlock(x->fn, done);
    LLVMPositionBuilderAtEnd(x->b, done);
}
