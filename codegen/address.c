/* Sizes of axes and addresses of elements, from the offset arrays. See plan.h for the layout; in short, for a tensor
 * x[b, i, f] with ragged i the element number is (offsets[b] + i) * F + f, and in general
 *
 *     sig(b) * fixed  +  sum over the groups of dims of  (index in the group) * stride
 *
 * where a group is a dim with the lists that hang on it, counted as one list of rows of the example. */
#include "fault.h"
#include "internal.h"
#include <stdio.h>
#include <stdlib.h>

/* offsets[n][i] */
static LLVMValueRef offset_at(Emit *x, int n, LLVMValueRef i)
{
    LLVMValueRef v = LLVMBuildLoad2(x->b, x->i64, LLVMBuildInBoundsGEP2(x->b, x->i64, x->offsets[n], &i, 1, ""), "");
    emit_mark_invariant(x, v);
    return v;
}

static LLVMValueRef add(Emit *x, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildNSWAdd(x->b, a, b, "");
}

static LLVMValueRef mul(Emit *x, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildNSWMul(x->b, a, b, "");
}

/* Number, in the whole batch, of the first row of axis a in example b; rows lie example after example. */
static LLVMValueRef example_row(Emit *x, const Axis *a, LLVMValueRef b)
{
    switch (a->kind) {
    case AXIS_RAGGED:
        if (!a->parent) {
            return offset_at(x, kernel_offsets(x->k, OFF_SIGNATURE, 1, &a), b);
        }
        return offset_at(x, kernel_offsets(x->k, OFF_ROWS, 1, &a), example_row(x, a->parent, b));
    case AXIS_FIXED:
        return mul(x, b, emit_i64(x, a->size));
    case AXIS_SUM: {
        LLVMValueRef row = emit_i64(x, 0);
        for (int i = 0; i < a->nparts; i++) {
            row = add(x, row, example_row(x, a->parts[i], b));
        }
        return row;
    }
    default:
        bug("axis %s has no rows", a->name);
    }
}

/* First row of the list of axis a that hangs on the element at[0..n) of its ancestors, or of the list after it. */
static LLVMValueRef first_row(Emit *x, const Axis *a, LLVMValueRef *at, int n, bool next)
{
    LLVMValueRef one = emit_i64(x, 1);
    if (!a->parent) {
        return example_row(x, a, next ? add(x, at[0], one) : at[0]);
    }
    bool nested = a->parent->kind == AXIS_RAGGED && a->parent->parent;
    LLVMValueRef row = nested ? first_row(x, a->parent, at, n - 1, false) : example_row(x, a->parent, at[0]);
    row = add(x, row, at[n - 1]);
    return offset_at(x, kernel_offsets(x->k, OFF_ROWS, 1, &a), next ? add(x, row, one) : row);
}

static LLVMValueRef table_entry(Emit *x, const Axis *a, LLVMValueRef f, bool prefix)
{
    int64_t n = a->parent->size;
    char name[64];
    snprintf(name, sizeof name, "hd_%s_%d", prefix ? "rows" : "size", a->id);
    LLVMValueRef g = LLVMGetNamedGlobal(x->module, name);
    if (!g) {
        int64_t *v = calloc((size_t)n + 1, sizeof *v);
        if (!v) {
            bug("out of memory while emitting a table");
        }
        for (int64_t i = 0; i < n; i++) {
            v[prefix ? i + 1 : i] = (prefix ? v[i] : 0) + a->sizes[i];
        }
        g = emit_table(x, n + 1, v, name);
        free(v);
    }
    LLVMValueRef v = LLVMBuildLoad2(x->b, x->i64, LLVMBuildInBoundsGEP2(x->b, x->i64, g, &f, 1, ""), "");
    emit_mark_invariant(x, v);
    return v;
}

LLVMValueRef emit_axis_size(Emit *x, const Axis *a, int n, LLVMValueRef *at)
{
    switch (a->kind) {
    case AXIS_FIXED:
        return emit_i64(x, a->size);
    case AXIS_BATCH:
        return x->batch;
    case AXIS_RAGGED: {
        LLVMValueRef first = first_row(x, a, at, n, false);
        return LLVMBuildNSWSub(x->b, first_row(x, a, at, n, true), first, "size");
    }
    case AXIS_TABLE:
        return table_entry(x, a, at[n - 1], false);
    case AXIS_SUM: {
        LLVMValueRef size = emit_i64(x, 0);
        for (int i = 0; i < a->nparts; i++) {
            size = add(x, size, emit_axis_size(x, a->parts[i], n, at));
        }
        return size;
    }
    }
    bug("unknown axis kind %d", (int)a->kind);
}

/* Indices of the ancestors of a letter, outermost first. */
static int ancestors(const Equation *e, int letter, int out[MAX_LETTERS])
{
    int n = 0, chain[MAX_LETTERS];
    for (int p = e->letters[letter].parent; p >= 0 && n < MAX_LETTERS; p = e->letters[p].parent) {
        chain[n++] = p;
    }
    for (int i = 0; i < n; i++) {
        out[i] = chain[n - 1 - i];
    }
    return n;
}

unsigned letter_ancestors(const Equation *e, int letter)
{
    int at[MAX_LETTERS], n = ancestors(e, letter, at);
    unsigned set = 0;
    for (int i = 0; i < n; i++) {
        set |= 1u << at[i];
    }
    return set;
}

LLVMValueRef emit_letter_size(Emit *x, int letter)
{
    const Equation *e = x->k->e;
    int at[MAX_LETTERS], n = ancestors(e, letter, at);
    LLVMValueRef v[MAX_LETTERS];
    for (int i = 0; i < n; i++) {
        v[i] = x->letter[at[i]];
        if (!v[i]) {
            bug("%s: the size of %s is read before %s is bound", e->dst->name, e->letters[letter].name,
                e->letters[at[i]].name);
        }
    }
    return emit_axis_size(x, e->letters[letter].axis, n, v);
}

/* Positions before part k of the sum of axes that is tiled. */
static LLVMValueRef positions_before(Emit *x, const Scalar *tile)
{
    LLVMValueRef before = emit_i64(x, 0);
    for (int i = 0; i < tile->inum; i++) {
        before = add(x, before, emit_axis_size(x, tile->axis->parts[i], 1, &x->t));
    }
    return before;
}

void emit_item_guard(Emit *x)
{
    const Scalar *tile = x->k->tile;
    if (!tile || x->k->item >= 0) {
        return;
    }
    LLVMValueRef at = add(x, positions_before(x, tile), emit_i64(x, tile->args[0]->inum));
    LLVMValueRef in = LLVMBuildAnd(x->b, LLVMBuildICmp(x->b, LLVMIntSLE, x->lo, at, ""),
                                   LLVMBuildICmp(x->b, LLVMIntSLT, at, x->hi, ""), "");
    LLVMBasicBlockRef here = emit_block(x, "here");
    LLVMBuildCondBr(x->b, in, here, x->ret);
    LLVMPositionBuilderAtEnd(x->b, here);
}

void emit_item_range(Emit *x, LLVMValueRef *lo, LLVMValueRef *hi)
{
    const Scalar *tile = x->k->tile;
    *lo = x->lo;
    *hi = x->hi;
    if (!tile || tile->op != OP_INJECT) {
        return;
    }
    LLVMValueRef before = positions_before(x, tile);
    *lo = LLVMBuildNSWSub(x->b, *lo, before, "");
    *hi = LLVMBuildNSWSub(x->b, *hi, before, "");
    *lo = emit_max(x, *lo, emit_i64(x, 0));
    *hi = emit_min(x, *hi, emit_axis_size(x, tile->axis->parts[tile->inum], 1, &x->t));
    *hi = emit_max(x, *hi, *lo);
}

/* How many examples begin before this row: offsets ascend from 0. */
static LLVMValueRef examples_before(Emit *x, int offsets, LLVMValueRef row)
{
    LLVMValueRef lo[2] = {emit_i64(x, 0)}, hi[2] = {x->batch}, one = emit_i64(x, 1); /* the answer is in [lo, hi] */
    LLVMBasicBlockRef from[2] = {LLVMGetInsertBlock(x->b)}, head = emit_block(x, "search"),
                      body = emit_block(x, "half"), found = emit_block(x, "found");
    LLVMBuildBr(x->b, head);
    LLVMPositionBuilderAtEnd(x->b, head);
    LLVMValueRef l = LLVMBuildPhi(x->b, x->i64, ""), h = LLVMBuildPhi(x->b, x->i64, "");
    LLVMBuildCondBr(x->b, LLVMBuildICmp(x->b, LLVMIntSLT, l, h, ""), body, found);
    LLVMPositionBuilderAtEnd(x->b, body);
    LLVMValueRef mid = LLVMBuildLShr(x->b, add(x, l, h), one, "");
    LLVMValueRef before = LLVMBuildICmp(x->b, LLVMIntSLT, offset_at(x, offsets, mid), row, "");
    lo[1] = LLVMBuildSelect(x->b, before, add(x, mid, one), l, "");
    hi[1] = LLVMBuildSelect(x->b, before, h, mid, "");
    from[1] = LLVMGetInsertBlock(x->b);
    LLVMBuildBr(x->b, head);
    LLVMAddIncoming(l, lo, from, 2);
    LLVMAddIncoming(h, hi, from, 2);
    LLVMPositionBuilderAtEnd(x->b, found);
    return l;
}

void emit_row_examples(Emit *x, const Axis *a, LLVMValueRef *first, LLVMValueRef *end)
{
    int n = kernel_offsets(x->k, OFF_SIGNATURE, 1, &a);
    LLVMValueRef one = emit_i64(x, 1);
    *first = LLVMBuildNSWSub(x->b, examples_before(x, n, add(x, x->lo, one)), one, "");
    *end = examples_before(x, n, x->hi);
}

void emit_row_positions(Emit *x, const Axis *a, LLVMValueRef example, LLVMValueRef *lo, LLVMValueRef *hi)
{
    int n = kernel_offsets(x->k, OFF_SIGNATURE, 1, &a);
    LLVMValueRef row = offset_at(x, n, example), end = offset_at(x, n, add(x, example, emit_i64(x, 1)));
    *lo = LLVMBuildNSWSub(x->b, emit_max(x, x->lo, row), row, "");
    *hi = LLVMBuildNSWSub(x->b, emit_min(x, x->hi, end), row, "");
    *hi = emit_max(x, *hi, *lo);
}

/* ---- elements ---- */

/* Indices of the ancestors of a dim with a list per element: the example, then the parent dims. */
static int dim_ancestors(const Layout *l, int dim, LLVMValueRef *index, LLVMValueRef *at)
{
    int n = 0, m = 0, chain[MAX_DIMS];
    for (int p = l->parent[dim]; p >= 0; p = l->parent[p]) {
        chain[n++] = p;
    }
    at[m++] = index[0];
    for (int i = n - 1; i >= 0; i--) {
        at[m++] = index[chain[i]];
    }
    return m;
}

static int child_of(const Tensor *t, const Layout *l, int dim)
{
    for (int d = 0; d < t->ndim; d++) {
        if (l->parent[d] == dim) {
            return d;
        }
    }
    return -1;
}

static int deepest(const Tensor *t, const Layout *l, int dim)
{
    for (int c = child_of(t, l, dim); c >= 0; c = child_of(t, l, c)) {
        dim = c;
    }
    return dim;
}

/* Elements of the group that starts at dim, in the example index[0]. */
static LLVMValueRef group_elements(Emit *x, const Tensor *t, const Layout *l, int dim, LLVMValueRef *index)
{
    int d = deepest(t, l, dim);
    const Axis *a = t->dims[d];
    if (a->kind == AXIS_TABLE) {
        return emit_i64(x, a->size);
    }
    if (d == dim) {
        LLVMValueRef at[1] = {t->per_example ? index[0] : NULL};
        return emit_axis_size(x, a, 1, at);
    }
    LLVMValueRef first = example_row(x, a, index[0]);
    return LLVMBuildNSWSub(x->b, example_row(x, a, add(x, index[0], emit_i64(x, 1))), first, "");
}

/* Index inside the group that starts at dim. */
static LLVMValueRef group_index(Emit *x, const Tensor *t, const Layout *l, int dim, LLVMValueRef *index)
{
    int d = deepest(t, l, dim);
    if (d == dim) {
        return index[dim];
    }
    const Axis *a = t->dims[d];
    if (a->kind == AXIS_TABLE) {
        return add(x, table_entry(x, a, index[l->parent[d]], true), index[d]);
    }
    LLVMValueRef at[MAX_DIMS + 1];
    int n = dim_ancestors(l, d, index, at);
    LLVMValueRef row = add(x, first_row(x, a, at, n, false), index[d]);
    return LLVMBuildNSWSub(x->b, row, example_row(x, a, index[0]), "");
}

int64_t static_stride(const KernelInfo *k, int tensor, int dim)
{
    const Tensor *t = k->tensors[tensor];
    const Layout *l = &k->layouts[tensor];
    int64_t stride = 1;
    for (int i = t->ndim - 1; i >= 0; i--) {
        int d = l->order[i];
        if (d == dim) {
            return child_of(t, l, d) >= 0 ? 0 : stride;
        }
        if (l->parent[d] >= 0) {
            continue; /* counted with the head of its group */
        }
        int64_t n = t->dims[deepest(t, l, d)]->kind == AXIS_TABLE ? t->dims[deepest(t, l, d)]->size
                    : child_of(t, l, d) >= 0                      ? -1
                                                                  : axis_static_size(t->dims[d]);
        if (n < 0) {
            return 0;
        }
        stride *= n;
    }
    bug("tensor %s has no dim %d", t->name, dim);
}

LLVMValueRef emit_stride(Emit *x, int tensor, int dim, LLVMValueRef *index)
{
    const Tensor *t = x->k->tensors[tensor];
    const Layout *l = &x->k->layouts[tensor];
    LLVMValueRef stride = emit_i64(x, 1);
    for (int i = t->ndim - 1; i >= 0; i--) {
        int d = l->order[i];
        if (d == dim) {
            return stride;
        }
        if (l->parent[d] < 0) {
            stride = mul(x, stride, group_elements(x, t, l, d, index));
        }
    }
    bug("tensor %s has no dim %d", t->name, dim);
}

LLVMValueRef emit_element_index(Emit *x, int tensor, LLVMValueRef *index)
{
    const Tensor *t = x->k->tensors[tensor];
    const Layout *l = &x->k->layouts[tensor];
    LLVMValueRef element = emit_i64(x, 0), stride = emit_i64(x, 1);
    for (int i = t->ndim - 1; i >= (t->per_example ? 1 : 0); i--) {
        int d = l->order[i];
        if (l->parent[d] >= 0) {
            continue;
        }
        element = add(x, mul(x, group_index(x, t, l, d, index), stride), element);
        if (i > 0) {
            stride = mul(x, stride, group_elements(x, t, l, FAULT(24) ? l->order[i - 1] : d, index));
        }
    }
    if (!t->per_example) {
        return element;
    }
    LLVMValueRef start = index[0];
    if (l->nsig > 0) {
        start = offset_at(x, kernel_offsets(x->k, OFF_SIGNATURE, l->nsig, l->sig), index[0]);
    }
    start = mul(x, start, emit_i64(x, l->fixed));
    for (int d = 1; d < t->ndim && l->batch_dims > 0; d++) {
        if (axis_over_batch(t->dims[d])) {
            start = mul(x, start, emit_axis_size(x, t->dims[d], 0, NULL));
        }
    }
    return add(x, start, element);
}

LLVMValueRef emit_element(Emit *x, int tensor, LLVMValueRef *index)
{
    LLVMValueRef i = emit_element_index(x, tensor, index);
    return LLVMBuildInBoundsGEP2(x->b, emit_elem_type(x, x->k->tensors[tensor]), x->tensors[tensor], &i, 1, "");
}

LLVMValueRef emit_load(Emit *x, int tensor, LLVMValueRef address)
{
    const Tensor *t = x->k->tensors[tensor];
    LLVMValueRef v = LLVMBuildLoad2(x->b, emit_elem_type(x, t), address, t->name);
    emit_mark_tensor(x, v, tensor);
    if (t->elem == ELEM_BOOL) {
        return LLVMBuildICmp(x->b, LLVMIntNE, v, LLVMConstInt(x->i8, 0, 0), "");
    }
    if (t->elem == ELEM_I32) {
        return LLVMBuildSExt(x->b, v, x->i64, "");
    }
    return v;
}

void emit_store(Emit *x, int tensor, LLVMValueRef value, LLVMValueRef address)
{
    const Tensor *t = x->k->tensors[tensor];
    if (t->elem == ELEM_BOOL) {
        value = LLVMBuildZExt(x->b, value, x->i8, "");
    } else if (t->elem == ELEM_I32) {
        value = LLVMBuildTrunc(x->b, value, x->i32, "");
    }
    emit_mark_tensor(x, LLVMBuildStore(x->b, value, address), tensor);
}
