/* Emits any equation as a loop nest (nest.h), and chooses how its work is cut. What makes a case fast is decided in
 * nest.c; whatever is left over still runs, only slower. LLVM's own passes hoist, unroll and vectorise afterwards. */
#include "loops.h"
#include "ahead.h"
#include "fault.h"
#include "flat.h"
#include "runs.h"
#include "tally.h"
#include <math.h>
#include <string.h>

/* ---- choices ---- */

enum {
    CHUNK = 16,           /* examples per chunk, at least */
    ROW_CHUNK = 512,      /* rows per chunk */
    SMALL_COPY = 1 << 14, /* elements of a result up to which chunks are that small */
    COPY_LIMIT = 1 << 20  /* and up to which every chunk sums into a copy of its own */
};

static bool is_batch(const Equation *e, int letter)
{
    return letter >= 0 && e->letters[letter].axis->kind == AXIS_BATCH;
}

static int bare(const Equation *e, int d)
{
    return d < e->dst->ndim && e->lhs[d]->op == OP_LETTER ? (int)e->lhs[d]->inum : -1;
}

/* Cuts over positions of a fixed axis: first the outermost bare letter in memory that has several. */
static bool split_fixed(KernelInfo *k, const Layout *l, int64_t least)
{
    const Equation *e = k->e;
    for (int i = 0; i < e->dst->ndim; i++) {
        int v = bare(e, l->order[i]);
        if (v >= 0 && e->letters[v].axis->kind == AXIS_FIXED && e->letters[v].axis->size >= least) {
            k->split = SPLIT_FIXED;
            k->item = v;
            return true;
        }
    }
    return false;
}

/* A keyed sum into a result too large to copy: each call scans all tuples and takes the keys of its range. */
static bool split_keys(KernelInfo *k)
{
    const Equation *e = k->e;
    for (int d = 0; d < e->dst->ndim; d++) {
        if (bare(e, d) < 0 && e->lhs[d]->op != OP_CONST && e->dst->dims[d]->kind == AXIS_FIXED &&
            e->dst->dims[d]->size >= 64) {
            k->split = SPLIT_KEYS;
            k->key_dim = d;
            return true;
        }
    }
    return false;
}

/* A keyed sum of rows: its calls list quickly which tuples have keys in their range, and copies would cost more. */
static bool adds_rows(const KernelInfo *k)
{
    Nest n;
    nest_choose(k, &n);
    return n.mode == NEST_KEYED && access_ascends(k->e->dst, k->e->lhs, n.order[n.n - 1]);
}

/* Another equation defines cells of the rows that this one sums into: they must not be filled with zeros first. */
static bool shares_rows(const KernelInfo *k, const Nest *n)
{
    bool shares = false;
    bool may = n->mode == NEST_MEMORY && !k->sole && k->e->op == RED_SUM;
    for (int i = 0; i < k->e->nconds && may; i++) {
        shares |= sc_uses_letter(k->e->conds[i], n->order[n->n - 1]);
    }
    return shares;
}

void loops_choose(KernelInfo *k)
{
    const Equation *e = k->e;
    Layout l;
    const char *why;
    k->split = SPLIT_NONE;
    k->item = k->key_dim = -1;
    k->grain = 0; /* the runtime decides by the cost of an item */
    if (!tensor_layout(e->dst, &l, &why)) {
        return; /* kernel_describe reports it */
    }
    int batch = -1; /* a reduced letter over the batch */
    for (int v = e->nletters - 1; v >= 0; v--) {
        if (is_batch(e, v) && !equation_is_output(e, v)) {
            batch = v;
        }
    }
    if (k->tile) {
        k->split = SPLIT_TILE;
        k->item = equation_tile_letter(e);
    } else if (e->dst->per_example && is_batch(e, bare(e, 0))) {
        k->split = k->row >= 0 && !is_batch(e, k->row) ? SPLIT_ROWS : SPLIT_BATCH;
        k->item = k->split == SPLIT_ROWS ? k->row : bare(e, 0);
    } else if (k->scan >= 0) {
        k->split = SPLIT_NONE;
    } else if (batch < 0) { /* rows of a table: by keys, as other sums into it are (tables.c) */
        bool by_keys = e->op == RED_SUM && !e->dst->per_example && adds_rows(k) && split_keys(k);
        if (!by_keys) {
            split_fixed(k, &l, 2);
        }
    } else if (e->op == RED_SUM && !e->dst->per_example && l.batch_dims == 0 && l.fixed <= COPY_LIMIT &&
               !(l.fixed > SMALL_COPY && adds_rows(k) && split_keys(k))) {
        k->split = SPLIT_REDUCE;
        k->item = k->row >= 0 ? k->row : batch;
        k->grain = k->item != batch ? ROW_CHUNK : l.fixed <= SMALL_COPY ? CHUNK : 2 * CHUNK;
    } else if (!split_keys(k) && !split_fixed(k, &l, 2)) {
        k->split = SPLIT_NONE;
    }
    if (e->op == RED_NTH && k->item >= 0 && equation_rank_letter(e) == k->item) {
        k->split = SPLIT_NONE;
        k->item = -1;
    }
    Nest n;
    nest_choose(k, &n);
    k->too_large = n.too_many;
    k->accumulate = n.mode == NEST_KEYED || shares_rows(k, &n) ||
                    (k->scan >= 0 && e->op != RED_NONE && !(n.outputs >> k->scan & 1)) ||
                    (k->item >= 0 && k->tile && e->op != RED_NONE && !(n.outputs >> k->item & 1));
    for (int i = 0; i < n.nouter && e->op != RED_NONE; i++) {
        k->accumulate = k->accumulate || !(n.outputs >> n.order[i] & 1);
    }
    k->zero = (k->accumulate || (!n.covers && !k->unread)) && !FAULT(22);
}

/* ---- emission ---- */

static LLVMValueRef identity(const Loops *s, LLVMTypeRef type)
{
    bool number = s->type == TYPE_REAL || s->type == TYPE_F32;
    switch (s->x->k->e->op) {
    case RED_MAX:
        return number ? emit_number(s->x, type, FAULT(19) ? 0 : -INFINITY) : emit_i64(s->x, INT64_MIN);
    case RED_MIN:
        return number ? emit_number(s->x, type, INFINITY) : emit_i64(s->x, INT64_MAX);
    default:
        return LLVMConstNull(type);
    }
}

LLVMValueRef loops_destination(Loops *s)
{
    const Equation *e = s->x->k->e;
    LLVMValueRef index[MAX_DIMS];
    for (int d = 0; d < e->dst->ndim; d++) {
        index[d] = emit_scalar(s->x, e->lhs[d]);
    }
    return emit_element(s->x, 0, index);
}

static LLVMValueRef allow_reassociation(LLVMValueRef v)
{
    if (LLVMIsAInstruction(v) && LLVMCanValueUseFastMathFlags(v)) {
        LLVMSetFastMathFlags(v, LLVMFastMathAllowReassoc);
    }
    return v;
}

/* old + value, in any order of summation. */
static LLVMValueRef plus(Loops *s, LLVMValueRef old, LLVMValueRef value)
{
    if (s->type == TYPE_REAL || s->type == TYPE_F32) {
        return allow_reassociation(LLVMBuildFAdd(s->x->b, old, value, ""));
    }
    if (s->type == TYPE_BOOL) {
        return LLVMBuildOr(s->x->b, old, value, "");
    }
    return LLVMBuildNSWAdd(s->x->b, old, value, "");
}

static LLVMValueRef body_value(Loops *s)
{
    const Scalar *body = s->x->k->e->body;
    return emit_convert(s->x, emit_scalar(s->x, body), body->type, s->type);
}

/* old + body; a product is fused into the sum. */
static LLVMValueRef plus_body(Loops *s, LLVMValueRef old)
{
    Emit *x = s->x;
    const Scalar *body = x->k->e->body;
    if (body->op != OP_mul || body->type != TYPE_REAL || s->type != TYPE_REAL) {
        return plus(s, old, body_value(s));
    }
    LLVMValueRef a = emit_scalar(x, body->args[0]);
    return allow_reassociation(math_fma(x, a, emit_scalar(x, body->args[1]), old));
}

static bool is_inner_test(const Loops *s, const Test *t)
{
    return t->level == s->n.n - 1 && t->bound < 0;
}

static bool has_inner_tests(const Loops *s)
{
    for (int i = 0; i < s->n.ntests; i++) {
        if (is_inner_test(s, &s->n.tests[i])) {
            return true;
        }
    }
    return false;
}

static bool node_is_safe(const Loops *s, const Scalar *v)
{
    int node = kernel_node(s->x->k, v);
    return v->op == OP_CONST || v->op == OP_LETTER || (node >= 0 && s->x->safe[node]);
}

/* The body where the conditions of the innermost loop hold, else `other`; *holds says which (NULL: no conditions). */
static LLVMValueRef guarded_body(Loops *s, LLVMValueRef other, LLVMValueRef *holds)
{
    Emit *x = s->x;
    bool safe = node_is_safe(s, x->k->e->body);
    int tests = 0;
    for (int i = 0; i < s->n.ntests; i++) {
        if (is_inner_test(s, &s->n.tests[i])) {
            safe = safe && node_is_safe(s, s->n.tests[i].s);
            tests++;
        }
    }
    *holds = NULL;
    if (tests == 0) {
        return body_value(s);
    }
    if (safe) {
        for (int i = 0; i < s->n.ntests; i++) {
            if (is_inner_test(s, &s->n.tests[i])) {
                LLVMValueRef c = emit_scalar(x, s->n.tests[i].s);
                *holds = *holds ? LLVMBuildAnd(x->b, *holds, c, "") : c;
            }
        }
        return LLVMBuildSelect(x->b, *holds, body_value(s), other, "");
    }
    LLVMBasicBlockRef join = LLVMCreateBasicBlockInContext(x->ctx, "join"), from[MAX_TESTS + 1];
    LLVMValueRef value[MAX_TESTS + 1], truth[MAX_TESTS + 1];
    int n = 0, mark = scope_enter(x);
    for (int i = 0; i < s->n.ntests; i++) {
        if (is_inner_test(s, &s->n.tests[i])) {
            LLVMValueRef c = emit_scalar(x, s->n.tests[i].s);
            LLVMBasicBlockRef more = emit_block(x, "holds");
            from[n] = LLVMGetInsertBlock(x->b);
            value[n] = other;
            truth[n++] = LLVMConstInt(x->i1, 0, 0);
            LLVMBuildCondBr(x->b, c, more, join);
            LLVMPositionBuilderAtEnd(x->b, more);
        }
    }
    value[n] = body_value(s);
    from[n] = LLVMGetInsertBlock(x->b);
    truth[n++] = LLVMConstInt(x->i1, 1, 0);
    LLVMBuildBr(x->b, join);
    scope_leave(x, mark);
    LLVMAppendExistingBasicBlock(x->fn, join);
    LLVMPositionBuilderAtEnd(x->b, join);
    LLVMValueRef v = LLVMBuildPhi(x->b, LLVMTypeOf(other), "");
    LLVMAddIncoming(v, value, from, (unsigned)n);
    *holds = LLVMBuildPhi(x->b, x->i1, "");
    LLVMAddIncoming(*holds, truth, from, (unsigned)n);
    return v;
}

/* Branches to `skip` unless the condition holds. */
static void require(Loops *s, LLVMValueRef cond, LLVMBasicBlockRef skip)
{
    LLVMBasicBlockRef more = emit_block(s->x, "holds");
    LLVMBuildCondBr(s->x->b, cond, more, skip);
    LLVMPositionBuilderAtEnd(s->x->b, more);
}

static bool tests_by_value(const Loops *s)
{
    Reduce op = s->x->k->e->op;
    return (s->n.mode == NEST_MAP && s->n.dense) || s->n.mode == NEST_MEMORY ||
           (s->n.mode == NEST_REGISTER && op != RED_ARGMAX);
}

void loops_require(Loops *s, int level, LLVMBasicBlockRef skip)
{
    Emit *x = s->x;
    for (int i = 0; i < s->n.ntests; i++) {
        const Test *t = &s->n.tests[i];
        if (t->level == level && t->bound < 0 && !s->is_listed[i] && !(is_inner_test(s, t) && tests_by_value(s))) {
            require(s, emit_scalar(x, t->s), skip);
        }
    }
    if (level == s->key_level && !s->n.lists_keys) {
        LLVMValueRef key = emit_scalar(x, x->k->e->lhs[x->k->key_dim]);
        LLVMValueRef in = LLVMBuildAnd(x->b, LLVMBuildICmp(x->b, LLVMIntSGE, key, x->lo, ""),
                                       LLVMBuildICmp(x->b, LLVMIntSLT, key, x->hi, ""), "");
        require(s, in, skip);
    }
}

/* What depends on the letters bound so far and is safe is computed here, outside the inner loops. */
void loops_hoist(Loops *s, int level)
{
    Emit *x = s->x;
    unsigned bound = 0;
    for (int i = 0; i <= level; i++) {
        bound |= 1u << s->n.order[i];
    }
    for (int i = 0; i < x->k->nnodes; i++) {
        const Scalar *v = x->k->nodes[i];
        if (v->op == OP_CONST || v->op == OP_LETTER || !x->safe[i] || (x->letters[i] & ~bound) ||
            (level >= 0 && !(x->letters[i] >> s->n.order[level] & 1))) {
            continue;
        }
        emit_scalar(x, v);
    }
}

/* a - b with letter v set to 0. */
static LLVMValueRef rest_at_zero(Emit *x, const Test *t, int v)
{
    int mark = scope_enter(x);
    x->letter[v] = emit_i64(x, 0);
    LLVMValueRef a = emit_scalar(x, t->a);
    LLVMValueRef r = LLVMBuildNSWSub(x->b, a, emit_scalar(x, t->b), "");
    x->letter[v] = NULL;
    scope_leave(x, mark);
    return r;
}

static void range_of(Loops *s, int level, LLVMValueRef *from, LLVMValueRef *to)
{
    Emit *x = s->x;
    int v = s->n.order[level];
    *from = emit_i64(x, 0);
    if (loops_by_rows(x->k)) {
        const Letter *row = &x->k->e->letters[x->k->item];
        if (v == row->parent) {
            *from = s->first_example;
            *to = s->end_example;
            return;
        }
        if (v == x->k->item) {
            emit_row_positions(x, row->axis, x->letter[row->parent], from, to);
            return;
        }
    } else if (v == x->k->item) {
        emit_item_range(x, from, to);
        return;
    }
    *to = emit_letter_size(x, v);
    if (v == x->k->scan) {
        *from = x->t;
        *to = emit_min(x, *to, LLVMBuildNSWAdd(x->b, x->t, emit_i64(x, 1), ""));
    }
}

/* A condition that bounds this loop: coef * v + r <= 0 (or < 0, or == 0). Where its two sides are equal. */
static LLVMValueRef equal_at(Loops *s, int level, const Test *t)
{
    LLVMValueRef r = rest_at_zero(s->x, t, s->n.order[level]);
    return t->coef == 1 ? LLVMBuildNSWNeg(s->x->b, r, "") : r;
}

LLVMValueRef loops_lower_bound(Loops *s, int level, const Test *t)
{
    LLVMValueRef at = equal_at(s, level, t);
    return t->strict && !FAULT(18) ? LLVMBuildNSWAdd(s->x->b, at, emit_i64(s->x, 1), "") : at;
}

/* Narrows [lo, hi) by the conditions that bound this loop. */
static void narrow(Loops *s, int level, LLVMValueRef *lo, LLVMValueRef *hi)
{
    Emit *x = s->x;
    for (int i = 0; i < s->n.ntests; i++) {
        const Test *t = &s->n.tests[i];
        if (t->bound != level) {
            continue;
        }
        if (t->upper) {
            LLVMValueRef at = equal_at(s, level, t);
            *hi = emit_min(x, *hi, t->strict ? at : LLVMBuildNSWAdd(x->b, at, emit_i64(x, 1), ""));
        }
        if (t->lower) {
            *lo = emit_max(x, *lo, loops_lower_bound(s, level, t));
        }
    }
}

void loops_range(Loops *s, int level, LLVMValueRef *from, LLVMValueRef *to)
{
    range_of(s, level, from, to);
    narrow(s, level, from, to);
}

/* for (v = from; v < to) dst[.., v] = 0 */
static void fill(Loops *s, int v, LLVMValueRef from, LLVMValueRef to)
{
    Emit *x = s->x;
    Loop l;
    loop_begin(x, &l, "fill", from, to, 1);
    x->letter[v] = l.i;
    emit_store(x, 0, LLVMConstNull(emit_type(x, s->type)), loops_destination(s));
    x->letter[v] = NULL;
    l.inner = true;
    loop_end(x, &l);
}

void loops_list(Loops *s, LLVMValueRef at, LLVMValueRef value)
{
    Emit *x = s->x;
    int rank = equation_rank_letter(x->k->e), mark = scope_enter(x);
    x->letter[rank] = at;
    emit_store(x, 0, value, loops_destination(s));
    x->letter[rank] = NULL;
    scope_leave(x, mark);
}

/* Stores the value behind the last one, if there is room. */
static void list_value(Loops *s)
{
    Emit *x = s->x;
    LLVMValueRef at = LLVMBuildLoad2(x->b, x->i64, s->acc, "");
    LLVMValueRef size = emit_letter_size(x, equation_rank_letter(x->k->e)),
                 next = LLVMBuildNSWAdd(x->b, at, emit_i64(x, 1), "");
    LLVMBasicBlockRef store = emit_block(x, "room"), full = emit_block(x, "full");
    LLVMBuildCondBr(x->b, LLVMBuildICmp(x->b, LLVMIntSLT, next, size, ""), store, full);
    LLVMPositionBuilderAtEnd(x->b, store);
    int mark = scope_enter(x);
    loops_list(s, next, body_value(s));
    scope_leave(x, mark);
    LLVMBuildStore(x->b, next, s->acc);
    LLVMBuildBr(x->b, full);
    LLVMPositionBuilderAtEnd(x->b, full);
}

static void statement(Loops *s)
{
    Emit *x = s->x;
    const Equation *e = x->k->e;
    LLVMTypeRef type = emit_type(x, s->type);
    LLVMValueRef holds = NULL;
    if (s->n.mode == NEST_MAP) {
        LLVMValueRef v = s->n.dense ? guarded_body(s, LLVMConstNull(type), &holds) : body_value(s);
        emit_store(x, 0, v, loops_destination(s));
        return;
    }
    if (s->n.mode == NEST_LIST) {
        list_value(s);
        return;
    }
    if (s->n.mode == NEST_MEMORY || s->n.mode == NEST_KEYED) {
        bool guarded = s->n.mode == NEST_MEMORY && has_inner_tests(s);
        LLVMValueRef v = guarded ? guarded_body(s, LLVMConstNull(type), &holds) : NULL, cell = loops_destination(s);
        LLVMValueRef old = emit_load(x, 0, cell);
        emit_store(x, 0,
                   guarded ? plus(s, old, v)
                           : plus_body(s, FAULT(21) && s->n.mode == NEST_KEYED ? LLVMConstNull(type) : old),
                   cell);
        return;
    }
    if (e->op == RED_ARGMAX) {
        LLVMValueRef v = emit_scalar(x, e->body);
        bool number = e->body->type == TYPE_REAL || e->body->type == TYPE_F32;
        LLVMValueRef best = LLVMBuildLoad2(x->b, LLVMTypeOf(v), s->best, "");
        LLVMValueRef at = LLVMBuildLoad2(x->b, x->i64, s->acc, "");
        LLVMValueRef better = number ? LLVMBuildFCmp(x->b, FAULT(20) ? LLVMRealOGE : LLVMRealOGT, v, best, "")
                                     : LLVMBuildICmp(x->b, LLVMIntSGT, v, best, "");
        better = LLVMBuildOr(x->b, better, LLVMBuildICmp(x->b, LLVMIntSLT, at, emit_i64(x, 0), ""), "");
        LLVMBuildStore(x->b, LLVMBuildSelect(x->b, better, v, best, ""), s->best);
        int reduced = 0; /* the one reduced letter */
        while (s->n.outputs >> reduced & 1) {
            reduced++;
        }
        LLVMValueRef here = x->letter[reduced];
        LLVMBuildStore(x->b, LLVMBuildSelect(x->b, better, here, at, ""), s->acc);
        return;
    }
    LLVMValueRef old = LLVMBuildLoad2(x->b, type, s->acc, "");
    if (e->op == RED_SUM && !has_inner_tests(s)) {
        LLVMBuildStore(x->b, plus_body(s, old), s->acc);
        return;
    }
    LLVMValueRef v = guarded_body(s, identity(s, type), &holds);
    if (e->op == RED_MAX || e->op == RED_MIN) {
        bool max = e->op == RED_MAX;
        if (s->type == TYPE_INT) {
            v = max ? emit_max(x, old, v) : emit_min(x, old, v);
        } else {
            v = emit_intrinsic(x, max ? "llvm.maximum" : "llvm.minimum", 1, &type, 2, (LLVMValueRef[]){old, v});
        }
        LLVMValueRef seen = LLVMConstInt(x->i1, 1, 0);
        if (holds) {
            seen = LLVMBuildOr(x->b, LLVMBuildLoad2(x->b, x->i1, s->reached, ""), holds, "");
        }
        LLVMBuildStore(x->b, seen, s->reached);
        LLVMBuildStore(x->b, v, s->acc);
        return;
    }
    LLVMBuildStore(x->b, plus(s, old, v), s->acc);
}

static void start_cell(Loops *s)
{
    Emit *x = s->x;
    if (s->n.mode == NEST_LIST) {
        LLVMBuildStore(x->b, emit_i64(x, 0), s->acc);
    } else if (s->n.mode == NEST_REGISTER) {
        bool argmax = x->k->e->op == RED_ARGMAX;
        LLVMTypeRef type = emit_type(x, s->type);
        LLVMBuildStore(x->b, argmax ? emit_i64(x, -1) : identity(s, type), s->acc);
        if (s->reached) {
            LLVMBuildStore(x->b, LLVMConstInt(x->i1, 0, 0), s->reached);
        }
        if (argmax) {
            LLVMBuildStore(x->b, LLVMConstNull(emit_type(x, x->k->e->body->type)), s->best);
        }
    } else if (s->n.mode == NEST_MEMORY && s->n.lanes) {
        rows_start_cell(s);
    } else if (s->n.mode == NEST_MEMORY && !x->k->accumulate) {
        int v = s->n.order[s->n.n - 1];
        LLVMValueRef from, to;
        range_of(s, s->n.n - 1, &from, &to);
        fill(s, v, from, to);
    }
}

static void finish_cell(Loops *s)
{
    Emit *x = s->x;
    if (s->n.mode == NEST_MEMORY && s->n.lanes) {
        rows_finish_cell(s);
    }
    if (s->n.mode == NEST_LIST) {
        loops_list(s, emit_i64(x, 0), LLVMBuildLoad2(x->b, x->i64, s->acc, ""));
    }
    if (s->n.mode != NEST_REGISTER) {
        return;
    }
    LLVMTypeRef type = emit_type(x, s->type);
    LLVMValueRef v = LLVMBuildLoad2(x->b, type, s->acc, ""), cell = loops_destination(s);
    if (s->reached) {
        LLVMValueRef seen = LLVMBuildLoad2(x->b, x->i1, s->reached, "");
        v = LLVMBuildSelect(x->b, seen, v, LLVMConstNull(type), "");
    } else if (x->k->e->op == RED_ARGMAX) {
        v = emit_max(x, v, emit_i64(x, 0));
    }
    if (x->k->accumulate) {
        v = plus(s, emit_load(x, 0, cell), v);
    }
    emit_store(x, 0, v, cell);
}

/* The loop of a level from `first` on, and what is inside. whole: all rounds fill vectors of so many lanes. */
static void one_loop(Loops *s, int level, int whole, LLVMValueRef first, LLVMValueRef end)
{
    Emit *x = s->x;
    int v = s->n.order[level];
    Loop l;
    LLVMValueRef from = whole ? emit_i64(x, 0) : first;
    loop_begin(x, &l, x->k->e->letters[v].name, from, end, 1);
    x->letter[v] = whole ? LLVMBuildNSWAdd(x->b, first, l.i, "") : l.i;
    loops_require(s, level, l.next);
    if (s->spread) {
        spread_recall(x, s->spread);
    }
    if (level < s->n.n - 1) {
        if (level == s->n.n - 2) {
            ahead_of_row(x, s->n.order[level + 1]);
        }
        loops_hoist(s, level);
        rows_hoist(s, level);
    }
    loops_level(s, level + 1);
    rows_forget(s, level);
    l.inner = level == s->n.n - 1;
    l.whole = whole;
    loop_end(x, &l);
}

static void look_for_functions(const Scalar *v, void *ctx)
{
    bool *found = ctx;
    *found = *found || (v->type == TYPE_REAL && v->op > OP_STEP && !(op_info[v->op].flags & CHEAP));
}

/* Where values are expensive and positions many, whole vectors need no masks, which take a fifth of the time of silu.
 * Returns the position behind the last of them. */
static LLVMValueRef whole_vectors(Loops *s, int level, LLVMValueRef lo, LLVMValueRef hi)
{
    Emit *x = s->x;
    const KernelInfo *k = x->k;
    const Letter *l = &k->e->letters[s->n.order[level]];
    int lanes = target_lanes(k->target, k->real == DT_F64);
    bool is_dear = false, sums = s->n.mode == NEST_REGISTER && k->e->op == RED_SUM;
    if (level == s->n.n - 1 && (s->n.mode == NEST_MAP || sums) && s->type == TYPE_REAL &&
        axis_static_size(l->axis) < 0) {
        sc_walk(k->e->body, look_for_functions, &is_dear);
    }
    if (!is_dear || !k->target->avx512) {
        return lo;
    }
    LLVMValueRef n = LLVMBuildNSWSub(x->b, hi, lo, "");
    n = LLVMBuildAnd(x->b, n, emit_i64(x, -(int64_t)lanes), "");
    one_loop(s, level, lanes, lo, n);
    return emit_max(x, lo, LLVMBuildNSWAdd(x->b, lo, n, ""));
}

/* The loop of a level over lo .. hi. An innermost one with a step function goes by vectors that pass its thresholds, or
 * else run by run. */
static void loop_or_runs(Loops *s, int level, LLVMValueRef lo, LLVMValueRef hi)
{
    Emit *x = s->x;
    int v = s->n.order[level];
    const Scalar *step = level == s->n.n - 1 ? runs_find(x, v) : NULL;
    Spread spread;
    if (!step) {
        one_loop(s, level, 0, whole_vectors(s, level, lo, hi), hi);
    } else if (s->n.mode == NEST_MAP && spread_can(x, step, v, &spread)) {
        Loop cells;
        loop_begin(x, &cells, "cells", lo, hi, SPREAD_CELLS);
        LLVMValueRef end = emit_min(x, hi, LLVMBuildNSWAdd(x->b, cells.i, emit_i64(x, SPREAD_CELLS), ""));
        spread_write(x, &spread, cells.i, end);
        s->spread = &spread;
        one_loop(s, level, 0, whole_vectors(s, level, cells.i, end), end);
        s->spread = NULL;
        loop_end(x, &cells);
    } else if (tally_can(s, step, v)) {
        tally_level(s, step, v, lo, hi);
    } else {
        Runs runs;
        runs_begin(x, &runs, step, v, lo, hi);
        one_loop(s, level, 0, runs.lo, runs.end);
        runs_end(&runs);
    }
}

void loops_level(Loops *s, int level)
{
    Emit *x = s->x;
    if (level == s->n.nouter && s->n.mode != NEST_MAP) {
        start_cell(s);
    }
    if (level == s->n.n) {
        statement(s);
    } else if (s->n.lanes && !s->n.dots && level == s->n.n - 1) {
        rows_statement(s);
    } else if (s->n.dots && level == s->n.n - 2) {
        rows_dots(s, level);
    } else if (s->n.lists_keys && level == s->n.n - 2) {
        rows_listed(s, level);
    } else if (s->n.by_runs && level == s->n.n - 1) {
        ends_level(s, level);
    } else {
        int v = s->n.order[level];
        LLVMValueRef from, to, lo, hi;
        range_of(s, level, &from, &to);
        lo = from;
        hi = to;
        narrow(s, level, &lo, &hi);
        bool fills = s->n.dense && !x->k->unread && level == s->n.n - 1 && (lo != from || hi != to);
        if (fills) {
            lo = emit_min(x, lo, to);
            hi = emit_max(x, hi, lo);
            fill(s, v, from, lo);
        }
        loop_or_runs(s, level, lo, hi);
        if (fills) {
            fill(s, v, hi, to);
        }
        x->letter[v] = NULL;
    }
    if (level == s->n.nouter && s->n.mode != NEST_MAP) {
        finish_cell(s);
    }
}

void loops_emit(Emit *x)
{
    if (flat_emit(x)) {
        return;
    }
    Loops s = {.x = x, .key_level = -2};
    const Equation *e = x->k->e;
    nest_choose(x->k, &s.n);
    s.type = elem_type(e->dst->elem);
    if (s.n.mode == NEST_REGISTER) {
        s.acc = emit_local(x, emit_type(x, s.type), "acc");
        if (e->op == RED_MAX || e->op == RED_MIN) {
            s.reached = emit_local(x, x->i1, "reached");
        }
        if (e->op == RED_ARGMAX) {
            s.best = emit_local(x, emit_type(x, e->body->type), "best");
        }
    }
    if (x->k->key_dim >= 0) {
        const Scalar *key = e->lhs[x->k->key_dim];
        unsigned set = sc_letters(key);
        s.key_level = -1;
        for (int i = 0; i < s.n.n; i++) {
            s.key_level = set >> s.n.order[i] & 1 ? i : s.key_level;
        }
        for (int i = 0; i < s.n.ntests && !node_is_safe(&s, key); i++) {
            s.key_level = s.n.tests[i].level > s.key_level ? s.n.tests[i].level : s.key_level;
        }
    }
    if (s.n.mode == NEST_LIST) {
        s.acc = emit_local(x, x->i64, "count");
    }
    emit_item_guard(x);
    if (loops_by_rows(x->k)) {
        emit_row_examples(x, e->letters[x->k->item].axis, &s.first_example, &s.end_example);
    }
    loops_require(&s, -1, x->ret);
    loops_hoist(&s, -1);
    rows_start(&s);
    rows_hoist(&s, -1);
    loops_level(&s, 0);
    rows_finish(&s);
}
