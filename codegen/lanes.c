/* Vectors along one letter. Loads and stores are masked where not all lanes are there, so that no element outside the
 * list is touched; everything else is computed in all lanes. */
#include "lanes.h"
#include "fault.h"

/* ---- how memory is walked ---- */

bool affine_in(const Scalar *s, int v, int64_t *coef)
{
    int64_t a, b;
    *coef = 0;
    if (!sc_uses_letter(s, v)) {
        return true;
    }
    switch (s->op) {
    case OP_LETTER:
        *coef = 1;
        return true;
    case OP_add:
    case OP_sub:
        if (s->type != TYPE_INT || !affine_in(s->args[0], v, &a) || !affine_in(s->args[1], v, &b)) {
            return false;
        }
        *coef = s->op == OP_add ? a + b : a - b;
        return true;
    case OP_neg:
        if (s->type != TYPE_INT || !affine_in(s->args[0], v, &a)) {
            return false;
        }
        *coef = -a;
        return true;
    case OP_mul:
        for (int i = 0; i < 2; i++) {
            if (s->type == TYPE_INT && s->args[i]->op == OP_CONST && affine_in(s->args[1 - i], v, &a)) {
                return !__builtin_mul_overflow(a, s->args[i]->inum, coef);
            }
        }
        return false;
    case OP_INJECT:
        for (int i = 1; i < s->nargs; i++) {
            if (sc_uses_letter(s->args[i], v)) {
                return false;
            }
        }
        return affine_in(s->args[0], v, coef);
    default:
        return false;
    }
}

/* The innermost dim that has more than one position. */
static int unit_dim(const Tensor *t, const Layout *l)
{
    int unit = t->ndim - 1;
    while (unit > 0 && axis_static_size(t->dims[l->order[unit]]) == 1) {
        unit--;
    }
    return unit;
}

Access access_of(const Tensor *t, Scalar *const *index, int v)
{
    Layout l;
    const char *why;
    bool used = false;
    for (int d = 0; d < t->ndim; d++) {
        used = used || sc_uses_letter(index[d], v);
    }
    if (!used) {
        return ACCESS_SAME;
    }
    if (!tensor_layout(t, &l, &why)) {
        return ACCESS_ACROSS;
    }
    int unit = unit_dim(t, &l);
    for (int i = 0; i < t->ndim; i++) {
        int64_t coef;
        int d = l.order[i];
        if (!affine_in(index[d], v, &coef) || (i == unit ? coef != 1 && coef != -1 : coef != 0 && i < unit)) {
            return ACCESS_ACROSS;
        }
    }
    return ACCESS_ALONG;
}

bool access_ascends(const Tensor *t, Scalar *const *index, int v)
{
    Layout l;
    const char *why;
    int64_t coef;
    return access_of(t, index, v) == ACCESS_ALONG && tensor_layout(t, &l, &why) &&
           affine_in(index[l.order[unit_dim(t, &l)]], v, &coef) && coef == 1;
}

/* ---- which values ---- */

static bool can_load(const Scalar *s, int v)
{
    bool known = s->type == TYPE_REAL ? s->tensor->elem == ELEM_REAL : s->tensor->elem != ELEM_F32;
    return known && !s->at && access_ascends(s->tensor, s->args, v);
}

bool lanes_can_knowing(const Scalar *s, int v, const Scalar *known)
{
    if (s->type == TYPE_F32) {
        return false; /* every operation is rounded: left to emit_scalar */
    }
    if (s == known || !sc_uses_letter(s, v)) {
        return true;
    }
    switch (s->op) {
    case OP_LETTER:
        return true;
    case OP_LOAD:
        return can_load(s, v);
    case OP_lt:
    case OP_le:
    case OP_eq:
    case OP_ne:
        return s->args[0]->type == s->args[1]->type && s->args[0]->type != TYPE_BOOL &&
               lanes_can_knowing(s->args[0], v, known) && lanes_can_knowing(s->args[1], v, known);
    case OP_add:
    case OP_sub:
    case OP_mul:
    case OP_and:
    case OP_or:
        return s->args[0]->type == s->type && s->args[1]->type == s->type && lanes_can_knowing(s->args[0], v, known) &&
               lanes_can_knowing(s->args[1], v, known);
    case OP_neg:
    case OP_not:
        return s->args[0]->type == s->type && lanes_can_knowing(s->args[0], v, known);
    case OP_abs:
        return s->type == TYPE_INT && lanes_can_knowing(s->args[0], v, known);
    default:
        return false;
    }
}

bool lanes_can(const Scalar *s, int v)
{
    return lanes_can_knowing(s, v, NULL);
}

/* ---- vectors ---- */

LLVMValueRef lanes_splat(Emit *x, LLVMValueRef v, int lanes)
{
    LLVMTypeRef type = LLVMVectorType(LLVMTypeOf(v), (unsigned)lanes);
    LLVMValueRef one = LLVMBuildInsertElement(x->b, LLVMGetUndef(type), v, LLVMConstInt(x->i32, 0, 0), "");
    LLVMValueRef zeros = LLVMConstNull(LLVMVectorType(x->i32, (unsigned)lanes));
    return LLVMBuildShuffleVector(x->b, one, LLVMGetUndef(type), zeros, "");
}

static LLVMValueRef count_up(LLVMTypeRef type, int lanes)
{
    LLVMValueRef v[64];
    for (int i = 0; i < lanes; i++) {
        v[i] = LLVMConstInt(type, (unsigned long long)i, 0);
    }
    return LLVMConstVector(v, (unsigned)lanes);
}

LLVMValueRef lanes_below(Emit *x, int lanes, LLVMValueRef n)
{
    LLVMValueRef most = emit_min(x, n, emit_i64(x, lanes)); /* fits 32 bits, where comparing is cheap */
    LLVMValueRef end = lanes_splat(x, LLVMBuildTrunc(x->b, most, x->i32, ""), lanes);
    return LLVMBuildICmp(x->b, LLVMIntSLT, count_up(x->i32, lanes), end, "");
}

LLVMValueRef lanes_load(Emit *x, int n, LLVMTypeRef element, LLVMValueRef address, int lanes, LLVMValueRef mask)
{
    LLVMTypeRef type = LLVMVectorType(element, (unsigned)lanes);
    unsigned bytes = emit_bytes(x, element);
    LLVMValueRef v;
    if (!mask) {
        v = LLVMBuildLoad2(x->b, type, address, "");
        LLVMSetAlignment(v, bytes);
    } else {
        LLVMTypeRef overload[2] = {type, x->ptr};
        LLVMValueRef args[4] = {address, LLVMConstInt(x->i32, bytes, 0), mask, LLVMConstNull(type)};
        v = emit_intrinsic(x, "llvm.masked.load", 2, overload, 4, args);
    }
    emit_mark_tensor(x, v, n);
    return v;
}

void lanes_store(Emit *x, int n, LLVMValueRef v, LLVMValueRef address, LLVMValueRef mask)
{
    LLVMTypeRef type = LLVMTypeOf(v);
    unsigned bytes = emit_bytes(x, LLVMGetElementType(type));
    LLVMValueRef store;
    if (!mask) {
        store = LLVMBuildStore(x->b, v, address);
        LLVMSetAlignment(store, bytes);
    } else {
        LLVMTypeRef overload[2] = {type, x->ptr};
        LLVMValueRef args[4] = {v, address, LLVMConstInt(x->i32, bytes, 0), mask};
        store = emit_intrinsic(x, "llvm.masked.store", 2, overload, 4, args);
    }
    emit_mark_tensor(x, store, n);
}

static LLVMValueRef load(Emit *x, const Lanes *l, const Scalar *s)
{
    int n = kernel_tensor(x->k, s->tensor);
    LLVMValueRef index[MAX_DIMS];
    for (int d = 0; d < s->nargs; d++) {
        index[d] = emit_scalar(x, s->args[d]);
    }
    LLVMTypeRef element = emit_elem_type(x, s->tensor);
    LLVMValueRef v = lanes_load(x, n, element, emit_element(x, n, index), l->lanes, l->mask);
    return s->tensor->elem == ELEM_BOOL ? LLVMBuildICmp(x->b, LLVMIntNE, v, LLVMConstNull(LLVMTypeOf(v)), "") : v;
}

static bool is_narrow(const Scalar *s)
{
    return s->op == OP_LOAD && s->tensor->elem == ELEM_I32;
}

LLVMValueRef lanes_int(Emit *x, const Lanes *l, const Scalar *s)
{
    if (!is_narrow(s)) {
        return lanes_value(x, l, s);
    }
    return sc_uses_letter(s, l->letter) ? load(x, l, s)
                                        : lanes_splat(x, LLVMBuildTrunc(x->b, emit_scalar(x, s), x->i32, ""), l->lanes);
}

/* a + b, a - b of reals: a product is fused into it, as in emit_scalar. */
static LLVMValueRef sum(Emit *x, const Lanes *l, const Scalar *s)
{
    const Scalar *a = s->args[0], *b = s->args[1];
    bool right = b->op == OP_mul, left = !right && a->op == OP_mul;
    if (!left && !right) {
        LLVMValueRef u = lanes_value(x, l, a), v = lanes_value(x, l, b);
        return s->op == OP_add ? LLVMBuildFAdd(x->b, u, v, "") : LLVMBuildFSub(x->b, u, v, "");
    }
    const Scalar *product = right ? b : a;
    LLVMValueRef u = lanes_value(x, l, product->args[0]), v = lanes_value(x, l, product->args[1]);
    LLVMValueRef w = lanes_value(x, l, right ? a : b);
    if (s->op == OP_sub && right) {
        u = LLVMBuildFNeg(x->b, u, "");
    } else if (s->op == OP_sub) {
        w = LLVMBuildFNeg(x->b, w, "");
    }
    return math_fma(x, u, v, w);
}

static LLVMValueRef compare(Emit *x, const Lanes *l, const Scalar *s)
{
    static const struct {
        Op op;
        LLVMRealPredicate real;
        LLVMIntPredicate number;
    } table[] = {{OP_lt, LLVMRealOLT, LLVMIntSLT},
                 {OP_le, LLVMRealOLE, LLVMIntSLE},
                 {OP_eq, LLVMRealOEQ, LLVMIntEQ},
                 {OP_ne, LLVMRealUNE, LLVMIntNE}};
    int i = 0;
    while (table[i].op != s->op) {
        i++;
    }
    bool narrow = is_narrow(s->args[0]) && is_narrow(s->args[1]); /* twice as many in a register */
    LLVMValueRef a = narrow ? lanes_int(x, l, s->args[0]) : lanes_value(x, l, s->args[0]);
    LLVMValueRef b = narrow ? lanes_int(x, l, s->args[1]) : lanes_value(x, l, s->args[1]);
    return s->args[0]->type == TYPE_REAL ? LLVMBuildFCmp(x->b, table[i].real, a, b, "")
                                         : LLVMBuildICmp(x->b, table[i].number, a, b, "");
}

static LLVMValueRef make(Emit *x, const Lanes *l, const Scalar *s)
{
    bool real = s->type == TYPE_REAL;
    LLVMValueRef a, b;
    switch (s->op) {
    case OP_LETTER: {
        LLVMValueRef first = lanes_splat(x, x->letter[l->letter], l->lanes);
        return LLVMBuildAdd(x->b, first, count_up(x->i64, l->lanes), "");
    }
    case OP_LOAD:
        a = load(x, l, s);
        return is_narrow(s) ? LLVMBuildSExt(x->b, a, LLVMVectorType(x->i64, (unsigned)l->lanes), "") : a;
    case OP_lt:
    case OP_le:
    case OP_eq:
    case OP_ne:
        return compare(x, l, s);
    case OP_neg:
    case OP_not:
        a = lanes_value(x, l, s->args[0]);
        return real              ? LLVMBuildFNeg(x->b, a, "")
               : s->op == OP_not ? LLVMBuildNot(x->b, a, "")
                                 : LLVMBuildNeg(x->b, a, "");
    case OP_abs:
        a = lanes_value(x, l, s->args[0]);
        b = LLVMConstNull(LLVMTypeOf(a));
        return LLVMBuildSelect(x->b, LLVMBuildICmp(x->b, LLVMIntSLT, a, b, ""), LLVMBuildNeg(x->b, a, ""), a, "");
    default:
        break;
    }
    if (real && s->op != OP_mul) {
        return sum(x, l, s);
    }
    a = lanes_value(x, l, s->args[0]);
    b = lanes_value(x, l, s->args[1]);
    switch (s->op) {
    case OP_mul:
        return real ? LLVMBuildFMul(x->b, a, b, "") : LLVMBuildMul(x->b, a, b, "");
    case OP_add:
        return LLVMBuildAdd(x->b, a, b, "");
    case OP_sub:
        return LLVMBuildSub(x->b, a, b, "");
    case OP_and:
        return LLVMBuildAnd(x->b, a, b, "");
    case OP_or:
        return LLVMBuildOr(x->b, a, b, "");
    default:
        bug("no vector code for the function %s", op_info[s->op].name);
    }
}

LLVMValueRef lanes_value(Emit *x, const Lanes *l, const Scalar *s)
{
    int n = s->op == OP_CONST || s->op == OP_LETTER ? -1 : kernel_node(x->k, s);
    if (n >= 0 && l->memo && l->memo[n]) {
        return l->memo[n];
    }
    return sc_uses_letter(s, l->letter) ? make(x, l, s) : lanes_splat(x, emit_scalar(x, s), l->lanes);
}

/* ---- sums across lanes ---- */

/* Lane i of the result is the sum of two lanes of p or of q: bit d of i says which, and the lanes differ in that bit.
 */
static LLVMValueRef merge(Emit *x, LLVMValueRef p, LLVMValueRef q, int lanes, int d)
{
    LLVMValueRef low[64], high[64];
    for (int i = 0; i < lanes; i++) {
        low[i] = LLVMConstInt(x->i32, (unsigned long long)(i & d ? lanes + (i ^ d) : i), 0);
        high[i] = LLVMConstInt(x->i32, (unsigned long long)(i & d ? lanes + i : i | d), 0);
    }
    LLVMValueRef a = LLVMBuildShuffleVector(x->b, p, q, LLVMConstVector(low, (unsigned)lanes), "");
    LLVMValueRef b = LLVMBuildShuffleVector(x->b, p, q, LLVMConstVector(high, (unsigned)lanes), "");
    return LLVMBuildFAdd(x->b, a, b, "");
}

/* Depth first, so that few vectors are waiting at any time. */
static LLVMValueRef sums(Emit *x, int first, int n, int lanes, LanesRow *row, void *ctx)
{
    if (n == 1) {
        return row(ctx, first);
    }
    LLVMValueRef p = sums(x, first, n / 2, lanes, row, ctx), q = sums(x, first + n / 2, n / 2, lanes, row, ctx);
    return merge(x, p, q, lanes, n / 2);
}

LLVMValueRef lanes_sums(Emit *x, int lanes, LanesRow *row, void *ctx)
{
    return sums(x, 0, lanes, lanes, row, ctx);
}
