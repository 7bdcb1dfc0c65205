/* Lists the ends of runs (ends.h) 16 positions at a time. A run ends where the next one starts, so what is looked for
 * are positions s at which the step function differs from that at s - 1:
 *
 *     c = step(arg(lo))
 *     for each block of 16:
 *         arg within [table[c - 1], table[c]) at all of them: go on        which is what happens most often
 *         counts = c, less one for each threshold below it that an arg is less than, and one more for each above it
 *                                                          a comparison of all 16 for each threshold that is passed
 *         where counts differ from those one position before: compress the values, put them behind those listed
 *         c = the last count, by how many thresholds were passed
 *
 * So the runs of a block do not wait for one another, and a row costs as many rounds as there are blocks and thresholds
 * that it passes; how long its runs are matters little. The list is made in memory of the thread, behind which there is
 * room for a block, and copied when it is complete: neighbours' lists lie side by side. */
#include "fault.h"
#include "loops.h"
#include "runs.h"

enum { LANES = 16 };

typedef struct {
    Loops *s;
    int letter;
    LLVMTypeRef bits;
    LLVMValueRef lo, hi;
    LLVMValueRef known; /* the step function is looked at below: hi, and the position behind it if there is one */
    LLVMValueRef tail;  /* all positions from here on are listed; NULL: there is no such */
    LLVMValueRef list, room;
    LLVMValueRef at, limit; /* locals: of the block; the last one in which there is nothing special */
    LLVMValueRef counts;    /* local: the step function in the block looked at last */
    LLVMValueRef base;      /* local: at its end, as far as can be said without waiting for the counts */
} Ends;

static LLVMValueRef load_local(Ends *n, LLVMTypeRef type, LLVMValueRef local)
{
    return LLVMBuildLoad2(n->s->x->b, type, local, "");
}

/* Lanes at positions before `end`. */
static LLVMValueRef before(Ends *n, LLVMValueRef at, LLVMValueRef end)
{
    return lanes_below(n->s->x, LANES, LLVMBuildNSWSub(n->s->x->b, end, at, ""));
}

static LLVMValueRef and_not(Ends *n, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildAnd(n->s->x->b, a, LLVMBuildNot(n->s->x->b, b, ""), "");
}

static LLVMValueRef bits_of(Ends *n, LLVMValueRef mask)
{
    return LLVMBuildBitCast(n->s->x->b, mask, n->bits, "");
}

static LLVMValueRef args_at(Ends *n, LLVMValueRef at, LLVMValueRef mask)
{
    Emit *x = n->s->x;
    Lanes l = {.letter = n->letter, .lanes = LANES, .mask = mask};
    int scope = scope_enter(x);
    x->letter[n->letter] = at;
    LLVMValueRef v = lanes_value(x, &l, n->s->n.ends.step->args[0]);
    x->letter[n->letter] = NULL;
    scope_leave(x, scope);
    return v;
}

/* Whether the step function takes another value than before anywhere in a block: one comparison, without signs. */
static LLVMValueRef changes(Ends *n, LLVMValueRef args)
{
    Emit *x = n->s->x;
    const Scalar *step = n->s->n.ends.step;
    LLVMValueRef c = load_local(n, x->i64, n->base);
    LLVMValueRef least = runs_threshold(x, step, c, 0), most = runs_threshold(x, step, c, 1);
    LLVMValueRef v = LLVMBuildSub(x->b, args, lanes_splat(x, least, LANES), "");
    LLVMValueRef width = lanes_splat(x, LLVMBuildSub(x->b, most, least, ""), LANES);
    return runs_any(x, LLVMBuildICmp(x->b, LLVMIntUGE, v, width, ""));
}

typedef struct {
    Ends *n;
    bool up;
} Move;

/* Moves the counts of the lanes whose args lie beyond a threshold. */
static void move(void *ctx, LLVMValueRef beyond, LLVMValueRef next)
{
    const Move *m = ctx;
    LLVMBuilderRef b = m->n->s->x->b;
    LLVMTypeRef type = LLVMVectorType(m->n->s->x->i32, LANES);
    LLVMValueRef by = m->up ? LLVMBuildZExt(b, beyond, type, "") : LLVMBuildSExt(b, beyond, type, "");
    (void)next;
    LLVMBuildStore(b, LLVMBuildAdd(b, load_local(m->n, type, m->n->counts), by, ""), m->n->counts);
}

/* Of the lanes where a run starts, those that are looked at, and those behind positions that are listed in any case. */
static LLVMValueRef with_special(Ends *n, LLVMValueRef at, LLVMValueRef found)
{
    Emit *x = n->s->x;
    found = LLVMBuildAnd(x->b, found, before(n, at, n->known), "");
    if (n->tail) {
        LLVMValueRef all = before(n, at, LLVMBuildNSWAdd(x->b, n->tail, emit_i64(x, 1), ""));
        found = LLVMBuildOr(x->b, found, LLVMBuildNot(x->b, all, ""), "");
    }
    LLVMValueRef bits = bits_of(n, found);
    if (n->s->n.block > 0) {
        LLVMValueRef left = LLVMBuildURem(x->b, at, emit_i64(x, n->s->n.block), "");
        LLVMValueRef first = LLVMBuildICmp(x->b, LLVMIntEQ, left, emit_i64(x, 0), "");
        bits = LLVMBuildOr(x->b, bits, LLVMBuildZExt(x->b, first, n->bits, ""), "");
    }
    LLVMValueRef one = emit_i64(x, 1), inside = before(n, at, LLVMBuildNSWAdd(x->b, n->hi, one, ""));
    inside = and_not(n, inside, before(n, at, LLVMBuildNSWAdd(x->b, n->lo, one, "")));
    return LLVMBuildAnd(x->b, LLVMBuildBitCast(x->b, bits, LLVMTypeOf(found), ""), inside, "");
}

/* The lanes of a mask one behind the other from an address on; behind them anything. */
static void store_compressed(Ends *n, LLVMValueRef v, LLVMValueRef mask, LLVMValueRef to)
{
    Emit *x = n->s->x;
    LLVMTypeRef type = LLVMTypeOf(v);
    if (x->target->avx512) {
        LLVMValueRef args[3] = {v, LLVMConstNull(type), mask};
        LLVMSetAlignment(
            LLVMBuildStore(x->b, emit_intrinsic(x, "llvm.x86.avx512.mask.compress", 1, &type, 3, args), to), 4);
        return;
    }
    LLVMValueRef all = emit_local(x, type, "all"), left = emit_local(x, n->bits, "left"),
                 end = emit_local(x, x->ptr, "to");
    LLVMBasicBlockRef head = emit_block(x, "more"), body = emit_block(x, "next"), done = emit_block(x, "stored");
    LLVMBuildStore(x->b, v, all);
    LLVMBuildStore(x->b, bits_of(n, mask), left);
    LLVMBuildStore(x->b, to, end);
    LLVMBuildBr(x->b, head);
    LLVMPositionBuilderAtEnd(x->b, head);
    LLVMValueRef bits = load_local(n, n->bits, left), one = LLVMConstInt(n->bits, 1, 0);
    LLVMBuildCondBr(x->b, LLVMBuildICmp(x->b, LLVMIntNE, bits, LLVMConstNull(n->bits), ""), body, done);
    LLVMPositionBuilderAtEnd(x->b, body);
    LLVMValueRef lane =
        emit_intrinsic(x, "llvm.cttz", 1, &n->bits, 2, (LLVMValueRef[]){bits, LLVMConstInt(x->i1, 1, 0)});
    lane = LLVMBuildZExt(x->b, lane, x->i64, "");
    LLVMValueRef from = LLVMBuildInBoundsGEP2(x->b, x->i32, all, &lane, 1, ""), here = load_local(n, x->ptr, end);
    LLVMBuildStore(x->b, LLVMBuildLoad2(x->b, x->i32, from, ""), here);
    LLVMValueRef next = emit_i64(x, 1);
    LLVMBuildStore(x->b, LLVMBuildInBoundsGEP2(x->b, x->i32, here, &next, 1, ""), end);
    LLVMBuildStore(x->b, LLVMBuildAnd(x->b, bits, LLVMBuildSub(x->b, bits, one, ""), ""), left);
    LLVMBuildBr(x->b, head);
    LLVMPositionBuilderAtEnd(x->b, done);
}

/* Lists the positions before those of a mask at which the conditions hold. */
static void append(Ends *n, LLVMValueRef at, LLVMValueRef mask, LLVMValueRef earlier)
{
    Emit *x = n->s->x;
    const Nest *nest = &n->s->n;
    const Equation *e = x->k->e;
    LLVMValueRef *known = calloc((size_t)x->k->nnodes + 1, sizeof *known);
    if (!known) {
        bug("out of memory while emitting a list");
    }
    Lanes l = {.letter = n->letter, .lanes = LANES, .mask = mask, .memo = known};
    known[kernel_node(x->k, nest->ends.step)] = LLVMBuildSExt(x->b, earlier, LLVMVectorType(x->i64, LANES), "");
    int scope = scope_enter(x);
    x->letter[n->letter] = LLVMBuildNSWSub(x->b, at, emit_i64(x, FAULT(53) ? 0 : 1), "");
    for (int i = 0; i < nest->ntests; i++) {
        const Test *t = &nest->tests[i];
        if (nest_tests_ends(x->k->e, nest, t)) {
            mask = LLVMBuildAnd(x->b, mask, lanes_value(x, &l, t->s), "");
        }
    }
    LLVMValueRef v = LLVMBuildTrunc(x->b, lanes_value(x, &l, e->body), LLVMVectorType(x->i32, LANES), "");
    x->letter[n->letter] = NULL;
    scope_leave(x, scope);
    free(known);
    LLVMValueRef listed = load_local(n, x->i64, n->s->acc);
    store_compressed(n, v, mask, LLVMBuildInBoundsGEP2(x->b, x->i32, n->list, &listed, 1, ""));
    LLVMValueRef more = emit_intrinsic(x, "llvm.ctpop", 1, &n->bits, 1, (LLVMValueRef[]){bits_of(n, mask)});
    more = LLVMBuildNSWAdd(x->b, listed, LLVMBuildZExt(x->b, more, x->i64, ""), "");
    LLVMBuildStore(x->b, emit_min(x, more, n->room), n->s->acc);
}

/* The last position at which a block may begin if nothing but a change of the step function can be in it. */
static LLVMValueRef plain_until(Ends *n, LLVMValueRef at)
{
    Emit *x = n->s->x;
    LLVMValueRef end = n->known, one = emit_i64(x, 1);
    if (n->tail) {
        end = emit_min(x, end, LLVMBuildNSWAdd(x->b, n->tail, one, ""));
    }
    if (n->s->n.block > 0) {
        LLVMValueRef size = emit_i64(x, n->s->n.block), number = LLVMBuildUDiv(x->b, at, size, "");
        end = emit_min(x, end, LLVMBuildNSWMul(x->b, LLVMBuildNSWAdd(x->b, number, one, ""), size, ""));
    }
    return LLVMBuildNSWSub(x->b, end, emit_i64(x, LANES), "");
}

/* Lists what ends before the positions of a block. A plain one has nothing but changes of the step function in it. */
static void look_at_block(Ends *n, LLVMValueRef at, LLVMValueRef args, LLVMValueRef mask, bool is_plain)
{
    Emit *x = n->s->x;
    LLVMTypeRef type = LLVMVectorType(x->i32, LANES);
    LLVMValueRef c = load_local(n, x->i64, n->base), last = load_local(n, type, n->counts), lane[LANES];
    LLVMBuildStore(x->b, lanes_splat(x, LLVMBuildTrunc(x->b, c, x->i32, ""), LANES), n->counts);
    const Scalar *step = n->s->n.ends.step;
    LLVMValueRef down = runs_pass(x, step, args, mask, c, false, move, &(Move){n, false});
    LLVMValueRef up = runs_pass(x, step, args, mask, c, true, move, &(Move){n, true});
    LLVMValueRef counts = load_local(n, type, n->counts);
    for (int i = 0; i < LANES; i++) {
        lane[i] = LLVMConstInt(x->i32, (unsigned)(LANES + i - 1), 0);
    }
    LLVMValueRef earlier = LLVMBuildShuffleVector(x->b, last, counts, LLVMConstVector(lane, LANES), "");
    LLVMValueRef found = LLVMBuildICmp(x->b, LLVMIntNE, counts, earlier, "");
    append(n, at, is_plain ? found : with_special(n, at, found), earlier);

    LLVMValueRef base = runs_last(x, c, down, up);
    LLVMValueRef end = LLVMBuildExtractElement(x->b, counts, LLVMConstInt(x->i32, LANES - 1, 0), "");
    LLVMValueRef is_end = LLVMBuildICmp(x->b, LLVMIntEQ, LLVMBuildSExt(x->b, end, x->i64, ""), base, "");
    LLVMValueRef limit = is_plain ? load_local(n, x->i64, n->limit) : plain_until(n, at);
    LLVMBuildStore(x->b, base, n->base);
    LLVMBuildStore(x->b, LLVMBuildSelect(x->b, is_end, limit, emit_i64(x, -1), ""), n->limit);
}

/* Blocks begin at multiples of their size, as those of nest.h do. */
static void list_ends(Ends *n)
{
    Emit *x = n->s->x;
    LLVMBasicBlockRef head = emit_block(x, "block"), plain = emit_block(x, "plain"), change = emit_block(x, "change");
    LLVMBasicBlockRef special = emit_block(x, "special"), next = emit_block(x, "next"), done = emit_block(x, "listed");
    LLVMValueRef c = runs_value_at(x, n->s->n.ends.step, n->letter, n->lo);
    LLVMBuildStore(x->b, c, n->base);
    LLVMBuildStore(x->b, lanes_splat(x, LLVMBuildTrunc(x->b, c, x->i32, ""), LANES), n->counts);
    LLVMBuildStore(x->b, LLVMBuildAnd(x->b, n->lo, emit_i64(x, -LANES), ""), n->at);
    LLVMBuildStore(x->b, emit_i64(x, -1), n->limit);
    LLVMBuildBr(x->b, head);
    LLVMPositionBuilderAtEnd(x->b, head);
    LLVMValueRef at = load_local(n, x->i64, n->at), limit = load_local(n, x->i64, n->limit);
    LLVMBuildCondBr(x->b, LLVMBuildICmp(x->b, LLVMIntSLE, at, limit, ""), plain, special);
    LLVMPositionBuilderAtEnd(x->b, plain);
    LLVMValueRef args = args_at(n, at, NULL);
    LLVMBuildCondBr(x->b, changes(n, args), change, next);
    LLVMPositionBuilderAtEnd(x->b, change);
    look_at_block(n, at, args, NULL, true);
    LLVMBuildBr(x->b, next);
    LLVMPositionBuilderAtEnd(x->b, special);
    LLVMValueRef mask = and_not(n, before(n, at, n->known), before(n, at, n->lo));
    look_at_block(n, at, args_at(n, at, mask), mask, false);
    LLVMBuildBr(x->b, next);
    LLVMPositionBuilderAtEnd(x->b, next);
    LLVMValueRef after = LLVMBuildNSWAdd(x->b, at, emit_i64(x, LANES), "");
    LLVMBuildStore(x->b, after, n->at);
    LLVMBuildCondBr(x->b, LLVMBuildICmp(x->b, LLVMIntSLE, after, n->hi, ""), head, done);
    LLVMPositionBuilderAtEnd(x->b, done);
}

void ends_level(Loops *s, int level)
{
    Emit *x = s->x;
    int64_t room = x->k->e->letters[equation_rank_letter(x->k->e)].axis->size - 1;
    LLVMTypeRef i64 = x->i64;
    Ends n = {.s = s,
              .letter = s->n.order[level],
              .bits = LLVMIntTypeInContext(x->ctx, LANES),
              .list = emit_local(x, LLVMArrayType(x->i32, (unsigned)(room + LANES)), "list"),
              .room = emit_i64(x, room),
              .at = emit_local(x, i64, "at"),
              .limit = emit_local(x, i64, "limit"),
              .counts = emit_local(x, LLVMVectorType(x->i32, LANES), "counts"),
              .base = emit_local(x, i64, "base")};
    loops_range(s, level, &n.lo, &n.hi);
    LLVMBasicBlockRef some = emit_block(x, "some"), done = LLVMCreateBasicBlockInContext(x->ctx, "no.more");
    LLVMBuildCondBr(x->b, LLVMBuildICmp(x->b, LLVMIntSLT, n.lo, n.hi, ""), some, done);
    LLVMPositionBuilderAtEnd(x->b, some);
    int scope = scope_enter(x);
    n.known = emit_min(x, LLVMBuildNSWAdd(x->b, n.hi, emit_i64(x, 1), ""), emit_letter_size(x, n.letter));
    for (int i = 0; i < s->n.ntails; i++) {
        LLVMValueRef from = loops_lower_bound(s, level, &s->n.tails[i]);
        n.tail = n.tail ? emit_min(x, n.tail, from) : from;
    }
    list_ends(&n);
    Loop l;
    loop_begin(x, &l, "copy", emit_i64(x, 0), load_local(&n, i64, s->acc), 1);
    LLVMValueRef from = LLVMBuildInBoundsGEP2(x->b, x->i32, n.list, &l.i, 1, "");
    LLVMValueRef v = LLVMBuildSExt(x->b, LLVMBuildLoad2(x->b, x->i32, from, ""), i64, "");
    loops_list(s, LLVMBuildNSWAdd(x->b, l.i, emit_i64(x, 1), ""), v);
    l.apart = true;
    loop_end(x, &l);
    scope_leave(x, scope);
    LLVMBuildBr(x->b, done);
    LLVMAppendExistingBasicBlock(x->fn, done);
    LLVMPositionBuilderAtEnd(x->b, done);
}
