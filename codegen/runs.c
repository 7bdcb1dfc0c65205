/* Runs of a step function. bucket(t1[i] - ts[j]) counts thresholds, and along a list of times it is the same for many
 * neighbours j: a search for each of them is wasted. The innermost loop over such a letter is cut into runs:
 *
 *     j = lo, c = step(arg(j))                      one search
 *     while j < hi:
 *         e = first of j + 1 .. hi that leaves [table[c - 1], table[c])      compares alone, 16 neighbours at a time
 *         for j .. e: the statement, with c known   a constant to store, or one key to add a sum to
 *         j = e, c = step(arg(e))                   the next count up or down, or another search
 *
 * That holds for any values; that neighbours differ little is only why it is fast. So it is done for arguments that
 * differ along the loop by a stored integer of 64 bits, which is what times are, and for tables worth a search. */
#include "runs.h"
#include "lanes.h"

enum { WORTH_A_SEARCH = 9, BLOCK = 16 };

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
        if (found || !x->safe[i] || !a.found || !lanes_can(s->args[0], letter)) {
            return NULL;
        }
        found = s;
    }
    return found;
}

LLVMValueRef runs_threshold(Emit *x, const Scalar *step, LLVMValueRef c, int beyond)
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

LLVMValueRef runs_value_at(Emit *x, const Scalar *s, int letter, LLVMValueRef at)
{
    int mark = scope_enter(x);
    x->letter[letter] = at;
    LLVMValueRef v = emit_scalar(x, s);
    x->letter[letter] = NULL;
    scope_leave(x, mark);
    return v;
}

bool *runs_moves(const Emit *x, const Scalar *step, int letter)
{
    const KernelInfo *k = x->k;
    bool *moves = calloc((size_t)k->nnodes + 1, sizeof *moves);
    if (!moves) {
        bug("out of memory while emitting a loop");
    }
    for (int i = 0; i < k->nnodes; i++) { /* args come before their users */
        const Scalar *s = k->nodes[i];
        moves[i] = (s->op == OP_LETTER && s->inum == letter) || (s->at && sc_uses_letter(s, letter));
        for (int m = 0; m < s->nargs && s != step; m++) {
            moves[i] |= sc_uses_letter(s->args[m], letter) && moves[kernel_node(k, s->args[m])];
        }
    }
    return moves;
}

void runs_know(Emit *x, const Scalar *step, LLVMValueRef c)
{
    int node = kernel_node(x->k, step);
    x->memo[node] = c;
    x->memo_log[x->nlog++] = node;
}

LLVMValueRef runs_any(Emit *x, LLVMValueRef mask)
{
    LLVMTypeRef bits = LLVMIntTypeInContext(x->ctx, LLVMGetVectorSize(LLVMTypeOf(mask)));
    return LLVMBuildICmp(x->b, LLVMIntNE, LLVMBuildBitCast(x->b, mask, bits, ""), LLVMConstNull(bits), "");
}

LLVMValueRef runs_pass(Emit *x, const Scalar *step, LLVMValueRef args, LLVMValueRef mask, LLVMValueRef count, bool up,
                       RunsPass *pass, void *ctx)
{
    int lanes = (int)LLVMGetVectorSize(LLVMTypeOf(args));
    LLVMBasicBlockRef before = LLVMGetInsertBlock(x->b), head = emit_block(x, "threshold");
    LLVMBasicBlockRef body = emit_block(x, "pass"), done = emit_block(x, "passed");
    LLVMBuildBr(x->b, head);
    LLVMPositionBuilderAtEnd(x->b, head);
    LLVMValueRef c = LLVMBuildPhi(x->b, x->i64, "count");
    LLVMValueRef t = lanes_splat(x, runs_threshold(x, step, c, up), lanes);
    LLVMValueRef beyond = LLVMBuildICmp(x->b, up ? LLVMIntSGE : LLVMIntSLT, args, t, "");
    beyond = mask ? LLVMBuildAnd(x->b, beyond, mask, "") : beyond;
    LLVMValueRef more = runs_any(x, beyond);
    if (up) { /* the largest number is beyond all there is */
        more = LLVMBuildAnd(x->b, more, LLVMBuildICmp(x->b, LLVMIntSLT, c, emit_i64(x, step->ntable), ""), "");
    }
    LLVMBuildCondBr(x->b, more, body, done);
    LLVMPositionBuilderAtEnd(x->b, body);
    LLVMValueRef next = LLVMBuildNSWAdd(x->b, c, emit_i64(x, up ? 1 : -1), "");
    pass(ctx, beyond, next);
    LLVMAddIncoming(c, (LLVMValueRef[]){count, next}, (LLVMBasicBlockRef[]){before, LLVMGetInsertBlock(x->b)}, 2);
    LLVMBuildBr(x->b, head);
    LLVMPositionBuilderAtEnd(x->b, done);
    return c;
}

LLVMValueRef runs_last(Emit *x, LLVMValueRef c, LLVMValueRef down, LLVMValueRef up)
{
    return LLVMBuildSelect(x->b, LLVMBuildICmp(x->b, LLVMIntEQ, up, c, ""), down, up, "");
}

/* The first position from `from` on, below hi, whose argument is not in [least, most); else hi. Whole blocks are read,
 * also behind hi: what a mask would have to wait for is what the next run waits for (TENSOR_SLACK is there). */
static LLVMValueRef end_of_run(Runs *r, LLVMValueRef from, LLVMValueRef hi, LLVMValueRef least, LLVMValueRef most)
{
    Emit *x = r->x;
    LLVMBasicBlockRef before = LLVMGetInsertBlock(x->b), body = emit_block(x, "scan"), after = emit_block(x, "run");
    LLVMValueRef start = lanes_splat(x, least, BLOCK), width = LLVMBuildSub(x->b, most, least, "");
    width = lanes_splat(x, width, BLOCK);
    LLVMBuildBr(x->b, body);
    LLVMPositionBuilderAtEnd(x->b, body);
    LLVMValueRef at = LLVMBuildPhi(x->b, x->i64, "at");
    int mark = scope_enter(x);
    x->letter[r->letter] = at;
    Lanes l = {.letter = r->letter, .lanes = BLOCK};
    LLVMValueRef v = LLVMBuildSub(x->b, lanes_value(x, &l, r->step->args[0]), start, "");
    x->letter[r->letter] = NULL;
    scope_leave(x, mark);
    LLVMTypeRef bits = LLVMIntTypeInContext(x->ctx, BLOCK);
    LLVMValueRef out = LLVMBuildBitCast(x->b, LLVMBuildICmp(x->b, LLVMIntUGE, v, width, ""), bits, "");
    LLVMValueRef first = LLVMBuildZExt(x->b, out, x->i64, ""); /* bit i: the run does not hold position at + i */
    first = emit_intrinsic(x, "llvm.cttz", 1, &x->i64, 2, (LLVMValueRef[]){first, LLVMConstInt(x->i1, 0, 0)});
    LLVMValueRef next = LLVMBuildNSWAdd(x->b, at, emit_i64(x, BLOCK), "");
    LLVMValueRef end = emit_min(x, LLVMBuildNSWAdd(x->b, at, first, ""), hi);
    LLVMAddIncoming(at, (LLVMValueRef[]){from, next}, (LLVMBasicBlockRef[]){before, LLVMGetInsertBlock(x->b)}, 2);
    LLVMValueRef inside = LLVMBuildICmp(x->b, LLVMIntEQ, out, LLVMConstNull(bits), "");
    LLVMValueRef more = LLVMBuildAnd(x->b, inside, LLVMBuildICmp(x->b, LLVMIntSLT, next, hi, ""), "");
    LLVMBuildCondBr(x->b, more, body, after);
    LLVMPositionBuilderAtEnd(x->b, after);
    return end;
}

/* Whether v has the count c. */
static LLVMValueRef counts_to(Runs *r, LLVMValueRef v, LLVMValueRef c)
{
    Emit *x = r->x;
    LLVMValueRef least = runs_threshold(x, r->step, c, 0), most = runs_threshold(x, r->step, c, 1);
    return LLVMBuildAnd(x->b, LLVMBuildICmp(x->b, LLVMIntSGE, v, least, ""),
                        LLVMBuildICmp(x->b, LLVMIntSLT, v, most, ""), "");
}

/* The count at the position where the run ends: a neighbour of the run's own, or else searched for. Which of them is a
 * branch, that the processor foresees: it need not wait for the run's end to know the next run's thresholds. */
static LLVMValueRef next_count(Runs *r, LLVMValueRef count)
{
    Emit *x = r->x;
    LLVMBasicBlockRef known = LLVMCreateBasicBlockInContext(x->ctx, "known"), look = emit_block(x, "next");
    LLVMBasicBlockRef up = emit_block(x, "up"), search = emit_block(x, "search"), from[4];
    LLVMValueRef value[4] = {count};
    from[0] = LLVMGetInsertBlock(x->b);
    LLVMBuildCondBr(x->b, LLVMBuildICmp(x->b, LLVMIntSLT, r->end, r->hi, ""), look, known);
    LLVMPositionBuilderAtEnd(x->b, look);
    LLVMValueRef v = runs_value_at(x, r->step->args[0], r->letter, r->end);
    value[1] = emit_max(x, LLVMBuildNSWSub(x->b, count, emit_i64(x, 1), ""), emit_i64(x, 0));
    LLVMValueRef in = counts_to(r, v, value[1]);
    from[1] = LLVMGetInsertBlock(x->b);
    LLVMBuildCondBr(x->b, in, known, up);
    LLVMPositionBuilderAtEnd(x->b, up);
    value[2] = emit_min(x, LLVMBuildNSWAdd(x->b, count, emit_i64(x, 1), ""), emit_i64(x, r->step->ntable));
    in = counts_to(r, v, value[2]);
    from[2] = LLVMGetInsertBlock(x->b);
    LLVMBuildCondBr(x->b, in, known, search);
    LLVMPositionBuilderAtEnd(x->b, search);
    value[3] = runs_value_at(x, r->step, r->letter, r->end);
    from[3] = LLVMGetInsertBlock(x->b);
    LLVMBuildBr(x->b, known);
    LLVMAppendExistingBasicBlock(x->fn, known);
    LLVMPositionBuilderAtEnd(x->b, known);
    LLVMValueRef phi = LLVMBuildPhi(x->b, x->i64, "next");
    LLVMAddIncoming(phi, value, from, 4);
    return phi;
}

void runs_begin(Emit *x, Runs *r, const Scalar *step, int letter, LLVMValueRef lo, LLVMValueRef hi)
{
    *r = (Runs){.x = x, .step = step, .letter = letter, .hi = hi};
    LLVMBasicBlockRef first = emit_block(x, "first"), body = emit_block(x, "run.begin");
    r->head = LLVMCreateBasicBlockInContext(x->ctx, "runs");
    r->exit = LLVMCreateBasicBlockInContext(x->ctx, "runs.end");
    LLVMBuildCondBr(x->b, LLVMBuildICmp(x->b, LLVMIntSLT, lo, hi, ""), first, r->exit);
    LLVMPositionBuilderAtEnd(x->b, first);
    LLVMValueRef searched = runs_value_at(x, step, letter, lo);
    LLVMBasicBlockRef before = LLVMGetInsertBlock(x->b);
    LLVMBuildBr(x->b, r->head);
    LLVMAppendExistingBasicBlock(x->fn, r->head);
    LLVMPositionBuilderAtEnd(x->b, r->head);
    r->lo = LLVMBuildPhi(x->b, x->i64, "run");
    r->count = LLVMBuildPhi(x->b, x->i64, "count");
    LLVMAddIncoming(r->lo, &lo, &before, 1);
    LLVMAddIncoming(r->count, &searched, &before, 1);
    LLVMBuildBr(x->b, body);
    LLVMPositionBuilderAtEnd(x->b, body);
    LLVMValueRef from = LLVMBuildNSWAdd(x->b, r->lo, emit_i64(x, 1), "");
    LLVMValueRef least = runs_threshold(x, step, r->count, 0), most = runs_threshold(x, step, r->count, 1);
    r->end = end_of_run(r, from, hi, least, most);
    r->next = next_count(r, r->count);
    r->mark = scope_enter(x);
    runs_know(x, step, r->count);
}

void runs_end(Runs *r)
{
    Emit *x = r->x;
    scope_leave(x, r->mark);
    LLVMBasicBlockRef latch = LLVMGetInsertBlock(x->b);
    LLVMAddIncoming(r->lo, &r->end, &latch, 1);
    LLVMAddIncoming(r->count, &r->next, &latch, 1);
    LLVMBuildCondBr(x->b, LLVMBuildICmp(x->b, LLVMIntSLT, r->end, r->hi, ""), r->head, r->exit);
    LLVMAppendExistingBasicBlock(x->fn, r->exit);
    LLVMPositionBuilderAtEnd(x->b, r->exit);
}
