/* Equations without a sum whose operands all lie in memory as the result does:
 *
 *     y[b,i,d] = silu(x[b,i,d]) * g[b,i,d]          for e in first .. end: y[e] = silu(x[e]) * g[e]
 *
 * What a call does of them lies in one piece, so the rows' ends need no masks: with 50 columns a row of its own takes
 * four vectors of 16 and leaves 14 lanes idle, and comes to its end every fourth time. */
#include "flat.h"
#include "ahead.h"
#include "fault.h"

enum { BLOCK = 64 }; /* elements, a few vectors: for which memory is asked ahead at once */

/* Whether load is of the element that the equation computes, in a tensor that lies like the result. */
static bool is_beside(const KernelInfo *k, const Scalar *load)
{
    const Equation *e = k->e;
    const Tensor *t = load->tensor;
    int n = kernel_tensor(k, t);
    if (t->ndim != e->dst->ndim || t->per_example != e->dst->per_example || t->tile_dim > 0) {
        return false;
    }
    for (int d = 0; d < t->ndim; d++) {
        bool same = load->args[d] == e->lhs[d] && axis_same(t->dims[d], e->dst->dims[d]);
        if (!same || k->layouts[n].order[d] != k->layouts[0].order[d]) {
            return false;
        }
    }
    return true;
}

/* A number that is the same for all elements. */
static bool is_single(const Scalar *load)
{
    return load->nargs == 0;
}

static bool is_flat(const KernelInfo *k)
{
    const Equation *e = k->e;
    unsigned seen = 0;
    if (e->op != RED_NONE || e->nconds > 0 || k->scan >= 0 || k->item < 0 || e->dst->elem != ELEM_REAL ||
        e->dst->tile_dim > 0 || k->layouts[0].batch_dims > 0) {
        return false;
    }
    for (int d = 0; d < e->dst->ndim; d++) {
        const Scalar *s = e->lhs[d];
        if (s->op != OP_LETTER || seen >> s->inum & 1 || e->letters[s->inum].axis != e->dst->dims[d]) {
            return false;
        }
        seen |= 1u << s->inum;
    }
    int outermost = k->layouts[0].order[0];
    bool by_rows =
        k->split == SPLIT_ROWS && k->layouts[0].nsig == 1 && axis_same(k->layouts[0].sig[0], e->letters[k->item].axis);
    bool by_part = (k->split == SPLIT_BATCH || k->split == SPLIT_FIXED) && e->lhs[outermost]->inum == k->item;
    return seen == (1u << e->nletters) - 1 && (by_rows || by_part);
}

/* Whether a value depends on nothing but elements beside the result's, single numbers and constants. */
static bool is_of_elements(const KernelInfo *k, const Scalar *s)
{
    if (s->op == OP_CONST) {
        return true;
    }
    if (s->op == OP_LOAD) {
        return is_single(s) || is_beside(k, s);
    }
    bool good = s->nargs > 0 && s->op > OP_STEP;
    for (int i = 0; good && i < s->nargs; i++) {
        good = is_of_elements(k, s->args[i]);
    }
    return good;
}

/* Number of the element where position `at` of the item letter begins. */
static LLVMValueRef element_of(Emit *x, LLVMValueRef at)
{
    const KernelInfo *k = x->k;
    if (k->split == SPLIT_ROWS) {
        return LLVMBuildMul(x->b, at, emit_i64(x, k->layouts[0].fixed), "");
    }
    LLVMValueRef index[MAX_DIMS];
    for (int d = 0; d < k->e->dst->ndim; d++) {
        index[d] = k->e->lhs[d]->inum == k->item ? at : emit_i64(x, 0);
    }
    return emit_element_index(x, 0, index);
}

/* Elements first .. first + n. whole: n is a multiple of so many lanes, else 0. */
static void elements(Emit *x, LLVMValueRef first, LLVMValueRef n, int whole)
{
    const Equation *e = x->k->e;
    Loop l;
    loop_begin(x, &l, "element", emit_i64(x, 0), n, 1);
    LLVMValueRef at = LLVMBuildNSWAdd(x->b, first, l.i, "");
    for (int i = 0; i < x->k->nnodes; i++) {
        const Scalar *s = x->k->nodes[i];
        if (s->op == OP_LOAD && !is_single(s)) {
            int t = kernel_tensor(x->k, s->tensor);
            LLVMTypeRef type = emit_elem_type(x, s->tensor);
            x->memo[i] = emit_load(x, t, LLVMBuildGEP2(x->b, type, x->tensors[t], &at, 1, ""));
            x->memo_log[x->nlog++] = i;
        }
    }
    LLVMValueRef v = emit_convert(x, emit_scalar(x, e->body), e->body->type, TYPE_REAL);
    emit_store(x, 0, v, LLVMBuildGEP2(x->b, x->real, x->tensors[0], &at, 1, ""));
    l.inner = true;
    l.whole = whole;
    loop_end(x, &l);
}

/* As many whole blocks of `size` elements as there are in the next n, of which it takes them. Returns where the rest
 * begins. */
static LLVMValueRef blocks(Emit *x, LLVMValueRef first, LLVMValueRef *n, int size, int lanes)
{
    LLVMValueRef all = LLVMBuildAnd(x->b, *n, emit_i64(x, -(int64_t)size), "");
    if (size == lanes) {
        elements(x, first, all, lanes);
    } else {
        Loop l;
        loop_begin(x, &l, "block", emit_i64(x, 0), all, size);
        LLVMValueRef at = LLVMBuildNSWAdd(x->b, first, l.i, "");
        ahead_of_elements(x, at, size);
        elements(x, at, emit_i64(x, size), lanes);
        loop_end(x, &l);
    }
    *n = LLVMBuildNSWSub(x->b, *n, all, "");
    return LLVMBuildNSWAdd(x->b, first, all, "");
}

bool flat_emit(Emit *x)
{
    const KernelInfo *k = x->k;
    if (!is_flat(k) || !is_of_elements(k, k->e->body)) {
        return false;
    }
    LLVMValueRef first = element_of(x, x->lo), end = element_of(x, x->hi);
    LLVMValueRef n = LLVMBuildNSWSub(x->b, end, first, "");
    for (int i = 0; i < k->nnodes; i++) { /* single numbers, before the loops */
        if (k->nodes[i]->op == OP_LOAD && is_single(k->nodes[i])) {
            emit_scalar(x, k->nodes[i]);
        }
    }
    if (k->target->avx512) {
        int lanes = target_lanes(k->target, k->real == DT_F64);
        first = blocks(x, first, &n, BLOCK, lanes);
        first = blocks(x, first, &n, lanes, lanes);
    }
    elements(x, first, LLVMBuildNSWSub(x->b, n, emit_i64(x, FAULT(43)), ""), 0);
    return true;
}
