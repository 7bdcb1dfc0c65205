/* The value of a scalar expression at the builder's position. Each node is emitted once per scope and remembered
 * (Emit.memo). select, and, or become branches only where an operand may not be evaluated without its condition: a
 * load whose index may lie outside. Everything else is straight-line code. */
#include "fault.h"
#include "internal.h"
#include "random.h"
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- analysis ---- */

/* args[0..n) are letters, each the parent of the next: indices of ancestors that exist. */
static bool are_ancestors(const Equation *e, int n, Scalar *const *args)
{
    for (int i = 0; i < n; i++) {
        if (args[i]->op != OP_LETTER || (i > 0 && e->letters[args[i]->inum].parent != args[i - 1]->inum)) {
            return false;
        }
    }
    return true;
}

/* Values that an integer expression can take, as far as ranges of tensors and axes tell; false: not known. Absent cells
 * hold 0, so a tensor's range is widened to it; cells behind a list hold anything. */
static bool range_of(const Equation *e, const Scalar *s, int64_t *lo, int64_t *hi)
{
    int64_t a, b, c, d;
    switch (s->op) {
    case OP_CONST:
        *lo = *hi = s->inum;
        return s->type == TYPE_INT;
    case OP_LETTER:
        *lo = 0;
        *hi = axis_static_size(e->letters[s->inum].axis) - 1;
        return *hi >= 0;
    case OP_LOAD:
        *lo = s->tensor->lo < 0 ? s->tensor->lo : 0;
        *hi = s->tensor->hi > 0 ? s->tensor->hi : 0;
        return s->type == TYPE_INT && s->tensor->lo <= s->tensor->hi && !s->tensor->is_list;
    case OP_STEP:
        *lo = 0;
        *hi = s->ntable;
        return true;
    case OP_min:
    case OP_max:
        if (s->type != TYPE_INT || !range_of(e, s->args[0], &a, &b) || !range_of(e, s->args[1], &c, &d)) {
            return false;
        }
        *lo = (s->op == OP_min) == (a < c) ? a : c;
        *hi = (s->op == OP_min) == (b < d) ? b : d;
        return true;
    case OP_mod:
        *lo = 0;
        *hi = s->args[1]->inum - 1;
        return s->args[1]->op == OP_CONST && s->args[1]->inum > 0;
    default:
        return false;
    }
}

static bool load_is_safe(const Equation *e, const Scalar *s)
{
    const Tensor *t = s->tensor;
    Layout l;
    const char *why;
    if (!tensor_layout(t, &l, &why)) {
        return false;
    }
    for (int d = 0; d < t->ndim; d++) {
        const Scalar *a = s->args[d];
        const Axis *axis = t->dims[d];
        int64_t lo, hi;
        if (axis->kind == AXIS_FIXED && range_of(e, a, &lo, &hi) && lo >= 0 && hi < axis->size) {
            continue; /* whatever its value, and its own operands are looked at for themselves */
        }
        if (a->op != OP_LETTER || !axis_same(e->letters[a->inum].axis, axis)) {
            return false;
        }
        int parent = e->letters[a->inum].parent;
        int dim = l.parent[d] >= 0 ? l.parent[d] : axis_is_ragged(axis) ? 0 : -1;
        if (dim >= 0 && (s->args[dim]->op != OP_LETTER || s->args[dim]->inum != parent)) {
            return false;
        }
    }
    return true;
}

/* A node whose operands are safe. */
static bool node_is_safe(const Equation *e, const Scalar *s)
{
    switch (s->op) {
    case OP_LOAD:
        return load_is_safe(e, s);
    case OP_SIZE:
        return are_ancestors(e, s->nargs, s->args);
    case OP_PART:
    case OP_LOCAL:
    case OP_INJECT:
        return are_ancestors(e, s->nargs - 1, s->args + 1);
    default:
        return true;
    }
}

bool scalar_is_safe(const Equation *e, const Scalar *s)
{
    for (int i = 0; i < s->nargs; i++) {
        if (!scalar_is_safe(e, s->args[i])) {
            return false;
        }
    }
    return node_is_safe(e, s);
}

void emit_analyse(Emit *x)
{
    const KernelInfo *k = x->k;
    for (int i = 0; i < k->nnodes; i++) {
        const Scalar *s = k->nodes[i];
        unsigned set = s->op == OP_LETTER ? 1u << s->inum : 0;
        bool safe = true;
        for (int j = 0; j < s->nargs; j++) {
            int n = kernel_node(k, s->args[j]);
            set |= x->letters[n];
            safe = safe && x->safe[n];
        }
        x->letters[i] = set;
        x->safe[i] = safe && node_is_safe(k->e, s);
    }
}

/* ---- conversions ---- */

LLVMValueRef emit_convert(Emit *x, LLVMValueRef v, Type from, Type to)
{
    LLVMTypeRef want = emit_type(x, to);
    if (from == to || LLVMTypeOf(v) == want) {
        return v;
    }
    bool from_real = from == TYPE_REAL || from == TYPE_F32, to_real = to == TYPE_REAL || to == TYPE_F32;
    if (from_real && to_real) {
        return want == x->f64 ? LLVMBuildFPExt(x->b, v, want, "") : LLVMBuildFPTrunc(x->b, v, want, "");
    }
    if (to == TYPE_BOOL) {
        return from_real ? LLVMBuildFCmp(x->b, LLVMRealUNE, v, emit_number(x, LLVMTypeOf(v), 0), "")
                         : LLVMBuildICmp(x->b, LLVMIntNE, v, emit_i64(x, 0), "");
    }
    if (to == TYPE_INT) {
        if (from == TYPE_BOOL) {
            return LLVMBuildZExt(x->b, v, x->i64, "");
        }
        LLVMTypeRef types[2] = {x->i64, LLVMTypeOf(v)}; /* saturating: NaN is 0, never poison */
        return emit_intrinsic(x, "llvm.fptosi.sat", 2, types, 1, &v);
    }
    return from == TYPE_BOOL ? LLVMBuildUIToFP(x->b, v, want, "") : LLVMBuildSIToFP(x->b, v, want, "");
}

static LLVMValueRef value_as(Emit *x, const Scalar *s, Type type)
{
    return emit_convert(x, emit_scalar(x, s), s->type, type);
}

static LLVMValueRef unary(Emit *x, const char *intrinsic, LLVMValueRef v)
{
    LLVMTypeRef t = LLVMTypeOf(v);
    return emit_intrinsic(x, intrinsic, 1, &t, 1, &v);
}

/* ---- branches ---- */

static bool is_safe(const Emit *x, const Scalar *s)
{
    int n = kernel_node(x->k, s);
    return n >= 0 && (x->safe[n] || x->memo[n]);
}

/* cond ? yes : no, where only the chosen one is evaluated. NULL stands for the constant false. */
static LLVMValueRef branch(Emit *x, LLVMValueRef cond, const Scalar *yes, const Scalar *no, Type type)
{
    LLVMBasicBlockRef then = emit_block(x, "then"), other = LLVMCreateBasicBlockInContext(x->ctx, "else");
    LLVMBasicBlockRef join = LLVMCreateBasicBlockInContext(x->ctx, "join");
    LLVMBuildCondBr(x->b, cond, then, other);
    LLVMValueRef v[2];
    LLVMBasicBlockRef from[2];
    const Scalar *arm[2] = {yes, no};
    for (int i = 0; i < 2; i++) {
        if (i == 1) {
            LLVMAppendExistingBasicBlock(x->fn, other);
        }
        LLVMPositionBuilderAtEnd(x->b, i == 0 ? then : other);
        int mark = scope_enter(x);
        v[i] = arm[i] ? value_as(x, arm[i], type) : LLVMConstInt(x->i1, 0, 0);
        scope_leave(x, mark);
        from[i] = LLVMGetInsertBlock(x->b);
        LLVMBuildBr(x->b, join);
    }
    LLVMAppendExistingBasicBlock(x->fn, join);
    LLVMPositionBuilderAtEnd(x->b, join);
    LLVMValueRef phi = LLVMBuildPhi(x->b, emit_type(x, type), "");
    LLVMAddIncoming(phi, v, from, 2);
    return phi;
}

static LLVMValueRef emit_select(Emit *x, const Scalar *s)
{
    LLVMValueRef cond = value_as(x, s->args[0], TYPE_BOOL);
    if (LLVMIsConstant(cond) && LLVMIsAConstantInt(cond)) {
        return value_as(x, s->args[LLVMConstIntGetZExtValue(cond) ? 1 : 2], s->type);
    }
    if (is_safe(x, s->args[1]) && is_safe(x, s->args[2])) {
        LLVMValueRef yes = value_as(x, s->args[1], s->type);
        return LLVMBuildSelect(x->b, cond, yes, value_as(x, s->args[2], s->type), "");
    }
    return branch(x, cond, s->args[1], s->args[2], s->type);
}

static LLVMValueRef emit_logic(Emit *x, const Scalar *s)
{
    LLVMValueRef a = value_as(x, s->args[0], TYPE_BOOL);
    bool is_and = s->op == OP_and;
    if (is_safe(x, s->args[1])) {
        LLVMValueRef b = value_as(x, s->args[1], TYPE_BOOL);
        return is_and ? LLVMBuildAnd(x->b, a, b, "") : LLVMBuildOr(x->b, a, b, "");
    }
    if (is_and) {
        return branch(x, a, s->args[1], NULL, TYPE_BOOL);
    }
    /* a or b = not (not a and not b), with b evaluated only where a is false */
    LLVMValueRef b = branch(x, LLVMBuildNot(x->b, a, ""), s->args[1], NULL, TYPE_BOOL);
    return LLVMBuildOr(x->b, a, b, "");
}

/* ---- arithmetic ---- */

static Type common(const Scalar *a, const Scalar *b)
{
    if (a->type == TYPE_REAL || b->type == TYPE_REAL) {
        return TYPE_REAL;
    }
    if (a->type == TYPE_F32 || b->type == TYPE_F32) {
        return TYPE_F32;
    }
    return a->type == TYPE_BOOL && b->type == TYPE_BOOL ? TYPE_BOOL : TYPE_INT;
}

static LLVMValueRef emit_compare(Emit *x, const Scalar *s)
{
    Type type = common(s->args[0], s->args[1]);
    LLVMValueRef a = value_as(x, s->args[0], type), b = value_as(x, s->args[1], type);
    if (type == TYPE_REAL || type == TYPE_F32) {
        LLVMRealPredicate p = s->op == OP_lt   ? LLVMRealOLT
                              : s->op == OP_le ? LLVMRealOLE
                              : s->op == OP_eq ? LLVMRealOEQ
                                               : LLVMRealUNE;
        return LLVMBuildFCmp(x->b, p, a, b, "");
    }
    bool is_bool = type == TYPE_BOOL;
    LLVMIntPredicate p = s->op == OP_lt   ? is_bool ? LLVMIntULT : LLVMIntSLT
                         : s->op == OP_le ? is_bool ? LLVMIntULE : LLVMIntSLE
                         : s->op == OP_eq ? LLVMIntEQ
                                          : LLVMIntNE;
    return LLVMBuildICmp(x->b, p, a, b, "");
}

/* Quotient or remainder rounded towards minus infinity. A divisor of 0 counts as 1, because the machine would trap. */
static LLVMValueRef emit_floor_div(Emit *x, LLVMValueRef a, LLVMValueRef d, bool remainder)
{
    LLVMBuilderRef b = x->b;
    LLVMValueRef zero = emit_i64(x, 0), one = emit_i64(x, 1), minus = emit_i64(x, -1);
    LLVMValueRef is_minus = LLVMBuildICmp(b, LLVMIntEQ, d, minus, "");
    LLVMValueRef bad = LLVMBuildOr(b, LLVMBuildICmp(b, LLVMIntEQ, d, zero, ""), is_minus, "");
    LLVMValueRef by = LLVMBuildSelect(b, bad, one, d, ""); /* -1 too: the smallest integer has no negation */
    LLVMValueRef q = LLVMBuildSDiv(b, a, by, ""), r = LLVMBuildSub(b, a, LLVMBuildMul(b, q, by, ""), "");
    LLVMValueRef differ = LLVMBuildICmp(b, LLVMIntSLT, LLVMBuildXor(b, r, by, ""), zero, "");
    LLVMValueRef down = LLVMBuildAnd(b, LLVMBuildICmp(b, LLVMIntNE, r, zero, ""), differ, "");
    if (remainder) {
        return LLVMBuildAdd(b, r, LLVMBuildSelect(b, down, FAULT(26) ? zero : by, zero, ""), "");
    }
    q = LLVMBuildSub(b, q, LLVMBuildZExt(b, down, x->i64, ""), "");
    return LLVMBuildSelect(b, is_minus, LLVMBuildSub(b, zero, a, ""), q, "");
}

/* Known not to be negative. */
static bool is_counted(const Emit *x, const Scalar *s)
{
    int64_t lo, hi;
    bool is_listed = s->op == OP_LOAD && s->tensor->is_list; /* what is made of anything else is not looked at */
    return is_listed ? s->tensor->lo >= 0 : range_of(x->k->e, s, &lo, &hi) && lo >= 0;
}

static bool is_number(Type t)
{
    return t == TYPE_REAL || t == TYPE_F32;
}

/* a + b and a - b; a product on one side is fused into it, always, so that no code shape changes the bits. */
static LLVMValueRef emit_sum(Emit *x, const Scalar *s)
{
    const Scalar *a = s->args[0], *b = s->args[1];
    if (!is_number(s->type)) {
        LLVMValueRef u = value_as(x, a, s->type), v = value_as(x, b, s->type);
        return s->op == OP_add ? LLVMBuildNSWAdd(x->b, u, v, "") : LLVMBuildNSWSub(x->b, u, v, "");
    }
    bool fused = s->type == TYPE_REAL; /* every single operation of an F32 is rounded */
    bool left = fused && a->op == OP_mul && a->type == s->type, right = fused && b->op == OP_mul && b->type == s->type;
    if (left || right) {
        const Scalar *product = right ? b : a, *other = right ? a : b;
        LLVMValueRef u = value_as(x, product->args[0], s->type), v = value_as(x, product->args[1], s->type);
        LLVMValueRef w = value_as(x, other, s->type);
        if (s->op == OP_sub) {
            if (right) {
                u = LLVMBuildFNeg(x->b, u, "");
            } else {
                w = LLVMBuildFNeg(x->b, w, "");
            }
        }
        return math_fma(x, u, v, w);
    }
    LLVMValueRef u = value_as(x, a, s->type), v = value_as(x, b, s->type);
    return s->op == OP_add ? LLVMBuildFAdd(x->b, u, v, "") : LLVMBuildFSub(x->b, u, v, "");
}

static LLVMValueRef emit_extreme(Emit *x, const Scalar *s)
{
    LLVMValueRef a = value_as(x, s->args[0], s->type), b = value_as(x, s->args[1], s->type);
    bool max = s->op == OP_max;
    LLVMValueRef first = is_number(s->type) ? LLVMBuildFCmp(x->b, max ? LLVMRealOGT : LLVMRealOLT, a, b, "")
                                            : LLVMBuildICmp(x->b, max ? LLVMIntSGT : LLVMIntSLT, a, b, "");
    return LLVMBuildSelect(x->b, first, a, b, "");
}

static LLVMValueRef emit_pow(Emit *x, const Scalar *s)
{
    LLVMValueRef a = value_as(x, s->args[0], s->type);
    const Scalar *e = s->args[1];
    double v = e->op == OP_CONST ? is_number(e->type) ? e->num : (double)e->inum : 0;
    if (v == 1) {
        return a;
    }
    if (v == 2) {
        return LLVMBuildFMul(x->b, a, a, "");
    }
    if (v == 0.5) { /* pow(-0, 0.5) is +0 and pow(-inf, 0.5) is inf; no reader of a model expects that */
        return unary(x, "llvm.sqrt", a);
    }
    if (v == -1) {
        return LLVMBuildFDiv(x->b, emit_number(x, LLVMTypeOf(a), 1), a, "");
    }
    return math_pow(x, a, value_as(x, e, s->type));
}

/* ---- axes ---- */

static int values_of(Emit *x, int n, Scalar *const *args, LLVMValueRef *out)
{
    for (int i = 0; i < n; i++) {
        out[i] = value_as(x, args[i], TYPE_INT);
    }
    return n;
}

/* PART: how many parts start after the first one at or before the index; LOCAL: index - start of that part. */
static LLVMValueRef emit_axis_op(Emit *x, const Scalar *s)
{
    LLVMValueRef v[MAX_DIMS];
    int n = values_of(x, s->nargs, s->args, v);
    const Axis *a = s->axis;
    if (s->op == OP_SIZE) {
        return emit_axis_size(x, a, n, v);
    }
    LLVMValueRef start = emit_i64(x, 0);
    if (s->op == OP_INJECT) {
        for (int i = 0; i < s->inum; i++) {
            start = LLVMBuildNSWAdd(x->b, start, emit_axis_size(x, a->parts[i], n - 1, v + 1), "");
        }
        return LLVMBuildNSWAdd(x->b, start, v[0], "");
    }
    LLVMValueRef part = emit_i64(x, 0), local = v[0];
    for (int i = 1; i < a->nparts; i++) {
        start = LLVMBuildNSWAdd(x->b, start, emit_axis_size(x, a->parts[i - 1], n - 1, v + 1), "");
        LLVMValueRef inside = LLVMBuildICmp(x->b, LLVMIntSGE, v[0], start, "");
        part = LLVMBuildSelect(x->b, inside, emit_i64(x, i), part, "");
        local = LLVMBuildSelect(x->b, inside, LLVMBuildNSWSub(x->b, v[0], FAULT(25) ? emit_i64(x, 0) : start, ""),
                                local, "");
    }
    return s->op == OP_PART ? part : local;
}

/* Number of thresholds <= v: few are counted, many searched by halving without branches over a table that is padded
 * to 2^p - 1 entries, so that no index is ever outside. */
static LLVMValueRef search_step(Emit *x, const Scalar *s, LLVMValueRef v)
{
    LLVMBuilderRef b = x->b;
    LLVMValueRef count = emit_i64(x, 0);
    int64_t n = 1;
    while (n - 1 < s->ntable) {
        n *= 2;
    }
    char name[64];
    snprintf(name, sizeof name, "hd_step_%d", kernel_node(x->k, s));
    LLVMValueRef table = LLVMGetNamedGlobal(x->module, name);
    if (!table) {
        int64_t *padded = malloc((size_t)n * sizeof *padded);
        if (!padded) {
            bug("out of memory while emitting a table");
        }
        for (int64_t i = 0; i < n; i++) {
            padded[i] = i < s->ntable ? s->table[i] : INT64_MAX;
        }
        table = emit_table(x, n, padded, name);
        free(padded);
    }
    v = emit_min(x, v, emit_i64(x, INT64_MAX - 1));
    for (int64_t half = n / 2; half > 0; half /= 2) {
        LLVMValueRef at = LLVMBuildAdd(b, count, emit_i64(x, half - 1), "");
        LLVMValueRef t = LLVMBuildLoad2(b, x->i64, LLVMBuildInBoundsGEP2(b, x->i64, table, &at, 1, ""), "");
        emit_mark_invariant(x, t);
        LLVMValueRef further = LLVMBuildAdd(b, count, emit_i64(x, half), "");
        count = LLVMBuildSelect(b, LLVMBuildICmp(b, LLVMIntSLE, t, v, ""), further, count, "");
    }
    return count;
}

LLVMValueRef emit_table_entry(Emit *x, const Scalar *s, const char *kind, int64_t n, const int64_t *v, LLVMValueRef at)
{
    char name[64];
    snprintf(name, sizeof name, "hd_%s_%d", kind, kernel_node(x->k, s));
    LLVMValueRef table = LLVMGetNamedGlobal(x->module, name);
    if (!table) {
        table = emit_table(x, n, v, name);
    }
    LLVMValueRef t = LLVMBuildLoad2(x->b, x->i64, LLVMBuildInBoundsGEP2(x->b, x->i64, table, &at, 1, ""), "");
    emit_mark_invariant(x, t);
    return t;
}

/* Thresholds that grow with what they bound, as those of a logarithm do: few lie between two powers of two. The
 * exponent of the argument says how many lie below its power, and only the next ones are compared. */
enum { MOST_PER_OCTAVE = 4, OCTAVES = 63 };

static int thresholds_per_octave(const Scalar *s, int64_t *below)
{
    int most = 0;
    for (int e = 0, at = 0; e < OCTAVES; e++) {
        int first = at;
        below[e] = at;
        while (at < s->ntable && (e == OCTAVES - 1 || s->table[at] < INT64_C(2) << e)) {
            at++;
        }
        most = at - first > most ? at - first : most;
    }
    return s->table[0] < 1 ? INT_MAX : most;
}

static LLVMValueRef emit_step(Emit *x, const Scalar *s)
{
    LLVMBuilderRef b = x->b;
    LLVMValueRef v = value_as(x, s->args[0], TYPE_INT), count = emit_i64(x, 0);
    if (s->ntable <= 8) {
        for (int i = 0; i < s->ntable; i++) {
            LLVMValueRef reached = LLVMBuildICmp(b, LLVMIntSGE, v, emit_i64(x, s->table[i]), "");
            count = LLVMBuildAdd(b, count, LLVMBuildZExt(b, reached, x->i64, ""), "");
        }
        return count;
    }
    int64_t below[OCTAVES];
    int most = thresholds_per_octave(s, below);
    if (most > MOST_PER_OCTAVE) {
        return search_step(x, s, v);
    }
    int64_t *padded = malloc((size_t)(s->ntable + most) * sizeof *padded);
    if (!padded) {
        bug("out of memory while emitting a table");
    }
    for (int i = 0; i < s->ntable + most; i++) {
        padded[i] = i < s->ntable ? s->table[i] : INT64_MAX;
    }
    v = emit_max(x, emit_min(x, v, emit_i64(x, INT64_MAX - 1)), emit_i64(x, 0));
    LLVMValueRef args[2] = {LLVMBuildOr(b, v, emit_i64(x, 1), ""), LLVMConstInt(x->i1, 1, 0)};
    LLVMValueRef zeros = emit_intrinsic(x, "llvm.ctlz", 1, &x->i64, 2, args);
    LLVMValueRef octave = LLVMBuildNSWSub(b, emit_i64(x, 63), zeros, "");
    LLVMValueRef first = emit_table_entry(x, s, "octave", OCTAVES, below, octave);
    count = first;
    for (int i = 0; i < most; i++) {
        LLVMValueRef at = LLVMBuildNSWAdd(b, first, emit_i64(x, i), "");
        LLVMValueRef t = emit_table_entry(x, s, "threshold", s->ntable + most, padded, at);
        count = LLVMBuildNSWAdd(b, count, LLVMBuildZExt(b, LLVMBuildICmp(b, LLVMIntSLE, t, v, ""), x->i64, ""), "");
    }
    free(padded);
    return count;
}

/* random.h in IR. The low 24 bits fit an i32, which converts faster than an unsigned i64. */
static LLVMValueRef emit_rand(Emit *x, const Scalar *s)
{
    LLVMBuilderRef b = x->b;
    LLVMValueRef key = x->keys[kernel_key(x->k, s->name, s->by_step)];
    LLVMValueRef c1 = emit_i64(x, (int64_t)RANDOM_C1), step = emit_i64(x, (int64_t)RANDOM_STEP);
    LLVMValueRef half = emit_i64(x, 32);
    for (int i = FAULT(27) && !s->by_step; i < s->nargs; i++) {
        LLVMValueRef index = LLVMBuildAdd(b, value_as(x, s->args[i], TYPE_INT), emit_i64(x, 1), "");
        key = LLVMBuildAdd(b, key, LLVMBuildMul(b, index, step, ""), "");
        for (int round = 0; round < 2; round++) {
            key = LLVMBuildXor(b, key, LLVMBuildLShr(b, key, half, ""), "");
            key = LLVMBuildMul(b, key, c1, "");
        }
        key = LLVMBuildXor(b, key, LLVMBuildLShr(b, key, half, ""), "");
    }
    LLVMValueRef top = LLVMBuildTrunc(b, LLVMBuildLShr(b, key, emit_i64(x, 40), ""), x->i32, "");
    LLVMTypeRef type = emit_type(x, s->type);
    return LLVMBuildFMul(b, LLVMBuildSIToFP(b, top, type, ""), emit_number(x, type, 0x1p-24), "");
}

/* trunc(u * n) with u in [0, 1), which draws are made of: it fits 32 bits, where conversions are cheap. */
static bool is_draw_below(const Scalar *s)
{
    for (int i = 0; s->op == OP_mul && s->type == TYPE_REAL && i < 2; i++) {
        const Scalar *n = s->args[1 - i];
        if (s->args[i]->op == OP_RAND && n->op == OP_CONST && n->num >= 0 && n->num <= 1 << 30) {
            return true;
        }
    }
    return false;
}

/* ---- the switch ---- */

static LLVMValueRef emit_node(Emit *x, const Scalar *s)
{
    LLVMBuilderRef b = x->b;
    LLVMValueRef v, w, index[MAX_DIMS];
    LLVMTypeRef type = emit_type(x, s->type);
    switch (s->op) {
    case OP_CONST:
        return is_number(s->type) ? emit_number(x, type, s->num) : LLVMConstInt(type, (unsigned long long)s->inum, 1);
    case OP_LETTER:
        if (!x->letter[s->inum]) {
            bug("%s: letter %d is read before it is bound", x->k->e->dst->name, (int)s->inum);
        }
        return x->letter[s->inum];
    case OP_LOAD: {
        int n = kernel_tensor(x->k, s->tensor);
        values_of(x, s->nargs, s->args, index);
        return emit_load(x, n, emit_element(x, n, index));
    }
    case OP_SIZE:
    case OP_PART:
    case OP_LOCAL:
    case OP_INJECT:
        return emit_axis_op(x, s);
    case OP_RAND:
        return emit_rand(x, s);
    case OP_STEP:
        return emit_step(x, s);
    case OP_add:
    case OP_sub:
        return emit_sum(x, s);
    case OP_max:
    case OP_min:
        return emit_extreme(x, s);
    case OP_lt:
    case OP_le:
    case OP_eq:
    case OP_ne:
        return emit_compare(x, s);
    case OP_and:
    case OP_or:
        return emit_logic(x, s);
    case OP_not:
        return LLVMBuildNot(b, value_as(x, s->args[0], TYPE_BOOL), "");
    case OP_select:
        return emit_select(x, s);
    case OP_real:
    case OP_f32:
    case OP_stop:
        return value_as(x, s->args[0], s->type);
    case OP_idiv:
    case OP_mod:
        v = value_as(x, s->args[0], TYPE_INT);
        if (is_counted(x, s->args[0]) && s->args[1]->op == OP_CONST && s->args[1]->inum > 0) {
            LLVMValueRef by = value_as(x, s->args[1], TYPE_INT);
            return s->op == OP_mod && !FAULT(26) ? LLVMBuildURem(b, v, by, "") : LLVMBuildUDiv(b, v, by, "");
        }
        return emit_floor_div(x, v, value_as(x, s->args[1], TYPE_INT), s->op == OP_mod);
    case OP_trunc:
        if (is_draw_below(s->args[0])) {
            v = LLVMBuildFPToSI(b, emit_scalar(x, s->args[0]), x->i32, "");
            return LLVMBuildSExt(b, v, x->i64, "");
        }
        return value_as(x, s->args[0], TYPE_INT);
    case OP_round:
        v = emit_scalar(x, s->args[0]);
        if (is_number(s->args[0]->type)) {
            v = unary(x, "llvm.rint", v);
        }
        return emit_convert(x, v, s->args[0]->type, TYPE_INT);
    case OP_pow:
        return emit_pow(x, s);
    case OP_SELF:
        bug("%s: an example's own index is left after pass_batch", x->k->e->dst->name);
    default:
        break;
    }
    v = value_as(x, s->args[0], s->type);
    switch (s->op) {
    case OP_mul:
        w = value_as(x, s->args[1], s->type);
        return is_number(s->type) ? LLVMBuildFMul(b, v, w, "") : LLVMBuildNSWMul(b, v, w, "");
    case OP_div:
        return LLVMBuildFDiv(b, v, value_as(x, s->args[1], s->type), "");
    case OP_neg:
        return is_number(s->type) ? LLVMBuildFNeg(b, v, "") : LLVMBuildNSWNeg(b, v, "");
    case OP_abs:
        if (is_number(s->type)) {
            return unary(x, "llvm.fabs", v);
        }
        return emit_max(x, v, LLVMBuildNSWNeg(b, v, ""));
    case OP_exp:
        return math_exp(x, v);
    case OP_log:
        return math_log(x, v);
    case OP_sqrt:
        return unary(x, "llvm.sqrt", v);
    case OP_rsqrt:
        return LLVMBuildFDiv(b, emit_number(x, type, 1), unary(x, "llvm.sqrt", v), "");
    case OP_tanh:
        return math_tanh(x, v);
    case OP_sigmoid:
        return math_sigmoid(x, v);
    case OP_erf:
        return math_erf(x, v);
    case OP_sin:
        return math_sin(x, v);
    case OP_cos:
        return math_cos(x, v);
    case OP_floor:
        return unary(x, "llvm.floor", v);
    default:
        bug("no code for the function %s", op_info[s->op].name);
    }
}

LLVMValueRef emit_scalar(Emit *x, const Scalar *s)
{
    int n = s->op == OP_LETTER || s->op == OP_CONST ? -1 : kernel_node(x->k, s);
    if (n >= 0 && x->memo[n]) {
        return x->memo[n];
    }
    LLVMValueRef v = emit_node(x, s);
    if (n >= 0) {
        x->memo[n] = v;
        x->memo_log[x->nlog++] = n;
    }
    return v;
}
