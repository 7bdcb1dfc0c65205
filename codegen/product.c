/* Kernels for equations that are matrix products (product_match.h says which): loops over the outer letters around
 * one generated product (product_gemm.h).
 *
 *     how the work is cut                          what a call computes
 *     rows of the batch are rows of C    ROWS      its rows, all columns
 *     rows of the batch are summed       REDUCE    A' B over its chunk of rows, added into a private copy of C
 *       and C is large                   FIXED     its rows of C, summed over all rows of the batch
 *     few rows, many columns             FIXED     its columns of all rows
 *     the example is a loop              BATCH     the products of its examples
 *
 * A row of C comes out the same to the bit wherever it stands: product_gemm.h.
 *
 * In a step of tiles, an operand that is the same for all tiles of an example (keys, values, weights) is packed once
 * per example, into memory that the call keeps (plan.h, PHASE_*), instead of once per tile. */
#include "fault.h"
#include "lanes.h"
#include "product_amx.h"
#include "product_choose.h"
#include "product_turned.h"

_Static_assert((int)GEMM_SLACK <= (int)TENSOR_SLACK, "a product reads behind its operands");

enum { LIST_ROWS = 192 };

typedef struct {
    Emit *x;
    const Product *p;
    GemmTarget target;
    LLVMValueRef lower[MAX_LETTERS], upper[MAX_LETTERS]; /* of inner letters */
    LLVMValueRef first[MAX_LETTERS];                     /* the same as lower, but of columns that begin a panel */
    LLVMValueRef list[2], nlisted;                       /* of the current block of listed rows: in A, in C */
} Frame;

/* Upper bound (exclusive) in out[1] or lower bound in out[0] that b gives its letter, under the bound letters. */
static void solve(Frame *f, const ProductBound *b, LLVMValueRef out[2])
{
    Emit *x = f->x;
    LLVMValueRef saved = x->letter[b->letter];
    int mark = scope_enter(x);
    x->letter[b->letter] = emit_i64(x, 0);
    LLVMValueRef d = LLVMBuildSub(x->b, emit_scalar(x, b->less), emit_scalar(x, b->more), "");
    scope_leave(x, mark);
    x->letter[b->letter] = saved;
    if (b->sign > 0) {
        LLVMValueRef hi = LLVMBuildSub(x->b, emit_i64(x, b->is_strict || FAULT(30) ? 0 : 1), d, "");
        out[1] = emit_min(x, out[1], hi);
    } else {
        out[0] = emit_max(x, out[0], LLVMBuildAdd(x->b, d, emit_i64(x, b->is_strict ? 1 : 0), ""));
    }
}

/* Bounds at the value of the row they depend on. */
static void solve_at(Frame *f, const ProductBound *b, LLVMValueRef row, LLVMValueRef out[2])
{
    Emit *x = f->x;
    LLVMValueRef saved = x->letter[b->by];
    int mark = scope_enter(x);
    x->letter[b->by] = row;
    solve(f, b, out);
    scope_leave(x, mark);
    x->letter[b->by] = saved;
}

/* The intervals of one row: GemmRange. */
static void row_range(void *ctx, LLVMBuilderRef builder, LLVMValueRef row, LLVMValueRef out[2])
{
    (void)builder; /* the emitter's own */
    Frame *f = ctx;
    Emit *x = f->x;
    int letter = -1;
    for (int i = 0; i < f->p->nbounds; i++) {
        const ProductBound *b = &f->p->bound[i];
        if (b->by < 0) {
            continue;
        }
        if (letter < 0) {
            letter = b->letter;
            out[0] = f->first[letter];
            out[1] = f->upper[letter];
        }
        solve_at(f, b, LLVMBuildAdd(x->b, row, f->lower[b->by], ""), out);
    }
    out[0] = LLVMBuildSub(x->b, out[0], f->lower[letter], "");
    out[1] = LLVMBuildSub(x->b, out[1], f->lower[letter], "");
}

/* What no row takes part in is left out altogether: where a bound is affine in the row, its values at the first and the
 * last row enclose all others. Each bound by itself: two that move opposite ways are tightest in between. */
static void narrow_to_rows(Frame *f)
{
    Emit *x = f->x;
    const Product *p = f->p;
    for (int i = 0; i < p->nbounds; i++) {
        const ProductBound *b = &p->bound[i];
        int64_t coef;
        if (b->by < 0 || !affine_in(b->less, b->by, &coef) || !affine_in(b->more, b->by, &coef)) {
            continue;
        }
        LLVMValueRef *lower = &f->lower[b->letter], *upper = &f->upper[b->letter];
        LLVMValueRef first[2] = {*lower, *upper}, last[2] = {*lower, *upper};
        solve_at(f, b, f->lower[b->by], first);
        solve_at(f, b, LLVMBuildSub(x->b, f->upper[b->by], emit_i64(x, 1), ""), last);
        *lower = emit_min(x, emit_min(x, first[0], last[0]), *upper);
        *upper = emit_max(x, emit_max(x, first[1], last[1]), *lower);
    }
}

/* Binds the inner letters to their first values and finds how many there are. */
static void bind_inner(Frame *f)
{
    Emit *x = f->x;
    const Product *p = f->p;
    for (int r = 0; r < 3; r++) {
        for (int i = 0; i < p->index[r].n; i++) {
            int l = p->index[r].letter[i];
            if (p->index[r].is_listed) {
                continue;
            }
            f->lower[l] = emit_i64(x, 0);
            f->upper[l] = i < p->index[r].nrows ? NULL : emit_letter_size(x, l);
            if (l == x->k->item && (x->k->split == SPLIT_FIXED || x->k->split == SPLIT_TILE)) {
                emit_item_range(x, &f->lower[l], &f->upper[l]);
            }
        }
    }
    for (int i = 0; i < p->nbounds; i++) {
        const ProductBound *b = &p->bound[i];
        if (b->by < 0) {
            LLVMValueRef range[2] = {f->lower[b->letter], f->upper[b->letter]};
            solve(f, b, range);
            f->lower[b->letter] = range[0];
            f->upper[b->letter] = range[1];
        }
    }
    narrow_to_rows(f);
    for (int r = 0; r < 3; r++) {
        for (int i = 0; i < p->index[r].n; i++) {
            int l = p->index[r].letter[i];
            if (p->index[r].is_listed) {
                continue;
            }
            f->first[l] = f->lower[l];
            if (x->k->keeps && r == INDEX_N && product_bounds(p, l)) { /* the rows' own intervals leave out the rest */
                LLVMValueRef width = emit_i64(x, product_kept_width(x->k, p));
                f->lower[l] = LLVMBuildMul(x->b, LLVMBuildUDiv(x->b, f->lower[l], width, ""), width, "");
            }
            x->letter[l] = f->lower[l];
        }
    }
}

/* Whether the rows of the batch in this index are cut into items. */
static bool is_cut(const Emit *x, const Product *p, int index)
{
    return p->index[index].nrows > 0 && x->k->item == product_deepest_row(p, index);
}

/* All rows of the batch, as the lists of the deepest row letter count them. */
static LLVMValueRef all_rows(Emit *x, const Product *p, int index)
{
    const ProductIndex *i = &p->index[index];
    if (i->nrows == 1) {
        return x->batch;
    }
    const Axis *axis = x->k->e->letters[product_deepest_row(p, index)].axis;
    int n = kernel_offsets(x->k, OFF_SIGNATURE, 1, &axis);
    LLVMValueRef total = LLVMBuildLoad2(x->b, x->i64, LLVMBuildGEP2(x->b, x->i64, x->offsets[n], &x->batch, 1, ""), "");
    emit_mark_invariant(x, total);
    return total;
}

static LLVMValueRef count(Frame *f, int index)
{
    Emit *x = f->x;
    const ProductIndex *i = &f->p->index[index];
    if (i->is_listed) {
        return f->nlisted;
    }
    if (i->nrows > 0) {
        LLVMValueRef rows = is_cut(x, f->p, index) ? LLVMBuildSub(x->b, x->hi, x->lo, "") : all_rows(x, f->p, index);
        return LLVMBuildMul(x->b, rows, emit_i64(x, i->size), "");
    }
    LLVMValueRef n = LLVMBuildSub(x->b, f->upper[i->letter[0]], f->lower[i->letter[0]], "");
    for (int j = 1; j < i->n; j++) {
        n = LLVMBuildMul(x->b, n, f->upper[i->letter[j]], "");
    }
    return n;
}

/* Address of the first element of a tensor that the product touches; of listed rows, where their distances count from.
 */
static LLVMValueRef base(Frame *f, int t)
{
    Emit *x = f->x;
    const Product *p = f->p;
    int n = kernel_tensor(x->k, p->tensor[t]);
    LLVMValueRef address = x->tensors[n];
    if (!p->index[INDEX_M].is_listed || t == PRODUCT_B) {
        LLVMValueRef at[MAX_DIMS];
        int mark = scope_enter(x);
        for (int d = 0; d < p->tensor[t]->ndim; d++) {
            at[d] = emit_scalar(x, p->at[t][d]);
        }
        address = emit_element(x, n, at);
        scope_leave(x, mark);
    }
    for (int r = 0; r < 3; r++) {
        int row = product_deepest_row(p, r);
        if (row >= 0 && p->dim[t][row] >= 0 && is_cut(x, p, r)) {
            LLVMValueRef skip = LLVMBuildMul(x->b, x->lo, emit_i64(x, p->stride[t][row]), "");
            address = LLVMBuildGEP2(x->b, x->real, address, &skip, 1, "");
        }
    }
    return address;
}

static LLVMValueRef stride(Frame *f, int t, int index)
{
    Emit *x = f->x;
    const Product *p = f->p;
    const ProductIndex *i = &p->index[index];
    int l = i->letter[i->n - 1];
    if (i->is_listed) {
        return emit_i64(x, 0);
    }
    if (p->stride[t][l] > 0) {
        return emit_i64(x, p->stride[t][l]);
    }
    LLVMValueRef at[MAX_DIMS] = {NULL}; /* only the example matters: letters of listed rows have no value here */
    int mark = scope_enter(x);
    if (p->tensor[t]->per_example) {
        at[0] = emit_scalar(x, p->at[t][0]);
    }
    LLVMValueRef s = emit_stride(x, kernel_tensor(x->k, p->tensor[t]), p->dim[t][l], at);
    scope_leave(x, mark);
    return s;
}

static void attributes(void *ctx, LLVMValueRef fn)
{
    const Emit *x = ctx;
    target_attributes(x->target, x->ctx, fn);
}

/* Number of rows or columns of what is kept: of B those that no condition on them alone leaves out. */
static LLVMValueRef all_of(Frame *f, int index)
{
    Emit *x = f->x;
    const ProductIndex *i = &f->p->index[index];
    LLVMValueRef n = emit_letter_size(x, i->letter[0]);
    for (int j = 0; j < f->p->nbounds && !x->k->turns; j++) {
        const ProductBound *b = &f->p->bound[j];
        if (b->letter == i->letter[0] && (sc_letters(b->less) | sc_letters(b->more)) == 1u << b->letter) {
            LLVMValueRef range[2] = {emit_i64(x, 0), n};
            solve(f, b, range);
            n = emit_max(x, range[1], emit_i64(x, 0));
        }
    }
    for (int j = 1; j < i->n; j++) {
        n = LLVMBuildMul(x->b, n, emit_letter_size(x, i->letter[j]), "");
    }
    return n;
}

static int passes_of(const KernelInfo *k)
{
    return k->products == PRODUCTS_BF16X3 ? 3 : 1;
}

static LLVMValueRef kept_elements(Frame *f)
{
    const KernelInfo *k = f->x->k;
    if (k->turns) {
        return gemm_turned_size(&f->target, f->x->b, all_of(f, INDEX_M), all_of(f, INDEX_N));
    }
    if (k->products != PRODUCTS_F32) {
        return amx_kept_size(&f->target, f->x->b, all_of(f, INDEX_K), all_of(f, INDEX_N), passes_of(k));
    }
    return gemm_kept_size(&f->target, f->x->b, all_of(f, INDEX_K), all_of(f, INDEX_N),
                          product_panel_width(f->x->k, f->p));
}

/* What is kept: B, or the sums that become C. */
static int kept_tensor(const KernelInfo *k)
{
    return k->turns ? PRODUCT_C : PRODUCT_B;
}

/* Where it is kept under the bound outer letters: one after another those that they lead to. */
static LLVMValueRef kept_operand(Frame *f)
{
    Emit *x = f->x;
    LLVMValueRef at = emit_i64(x, 0);
    for (int i = 0; i < f->p->nouter; i++) {
        int l = f->p->outer[i];
        if (f->p->dim[kept_tensor(x->k)][l] >= 0) {
            at = LLVMBuildAdd(x->b, LLVMBuildMul(x->b, at, emit_letter_size(x, l), ""), x->letter[l], "");
        }
    }
    at = LLVMBuildMul(x->b, at, kept_elements(f), "");
    return LLVMBuildGEP2(x->b, x->real, x->kept, &at, 1, "");
}

static void emit_product(Frame *f)
{
    Emit *x = f->x;
    Gemm op = {.m = count(f, INDEX_M),
               .n = count(f, INDEX_N),
               .k = count(f, INDEX_K),
               .a = base(f, PRODUCT_A),
               .b = base(f, PRODUCT_B),
               .c = base(f, PRODUCT_C),
               .a_m = stride(f, PRODUCT_A, INDEX_M),
               .a_k = stride(f, PRODUCT_A, INDEX_K),
               .b_k = stride(f, PRODUCT_B, INDEX_K),
               .b_n = stride(f, PRODUCT_B, INDEX_N),
               .c_m = stride(f, PRODUCT_C, INDEX_M),
               .c_n = stride(f, PRODUCT_C, INDEX_N),
               .a_list = f->list[0],
               .c_list = f->list[1],
               .accumulate = x->k->accumulate,
               .loose = x->k->loose,
               .range_ctx = f};
    for (int i = 0; i < f->p->nbounds; i++) {
        const ProductBound *b = &f->p->bound[i];
        if (b->by >= 0) {
            *(f->p->role[b->letter] == INDEX_K ? &op.k_range : &op.n_range) = row_range;
        }
    }
    if (x->k->turns) {
        op.kept = kept_operand(f);
        op.kept_n0 = f->lower[f->p->index[INDEX_N].letter[0]];
        gemm_turned(&f->target, x->b, &op, all_of(f, INDEX_N));
        return;
    }
    if (x->k->keeps) {
        op.kept = kept_operand(f);
        op.kept_width = product_panel_width(x->k, f->p);
        op.kept_k = all_of(f, INDEX_K);
        op.kept_k0 = f->lower[f->p->index[INDEX_K].letter[0]]; /* 0 of several letters: none of them is bounded */
        op.kept_n0 = f->lower[f->p->index[INDEX_N].letter[0]];
    }
    if (x->k->products != PRODUCTS_F32) {
        const ProductIndex *k = &f->p->index[INDEX_K];
        LLVMValueRef first = k->n == 1 && k->nrows == 0 ? f->lower[k->letter[0]] : emit_i64(x, 0);
        amx_emit(&f->target, x->b, &op, passes_of(x->k), first);
        return;
    }
    gemm_emit(&f->target, x->b, &op);
}

/* Branches to `skip` where a condition fails that the letters in `bound` decide but those in `before` did not; in a
 * scan over lists of different lengths an example takes part only while its list lasts. */
static void require_guards(Frame *f, unsigned bound, unsigned before, LLVMBasicBlockRef skip)
{
    Emit *x = f->x;
    const Product *p = f->p;
    int scan = x->k->scan, parent = scan >= 0 ? x->k->e->letters[scan].parent : -1;
    for (int g = -1; g < p->nguards; g++) {
        unsigned letters = g >= 0 ? sc_letters(p->guard[g]) : parent >= 0 ? 1u << parent : 0;
        bool is_new = !(letters & ~bound) && ((letters & ~before) || before == bound);
        if (!is_new || (g < 0 && scan < 0)) {
            continue;
        }
        LLVMBasicBlockRef holds = emit_block(x, "holds");
        LLVMValueRef in =
            g >= 0 ? emit_scalar(x, p->guard[g]) : LLVMBuildICmp(x->b, LLVMIntSLT, x->t, emit_letter_size(x, scan), "");
        LLVMBuildCondBr(x->b, in, holds, skip);
        LLVMPositionBuilderAtEnd(x->b, holds);
    }
}

/* Rows that do not lie evenly, in blocks: first the addresses of those whose conditions hold, then their product. */
static void emit_listed(Frame *f, unsigned bound)
{
    Emit *x = f->x;
    const Product *p = f->p;
    int l = p->index[INDEX_M].letter[0];
    LLVMValueRef from = emit_i64(x, 0), to;
    if (l == x->k->item) {
        emit_item_range(x, &from, &to);
    } else {
        to = emit_letter_size(x, l);
    }
    LLVMValueRef counter = emit_local(x, x->i64, "count");
    for (int w = 0; w < 2; w++) {
        f->list[w] = emit_local(x, LLVMArrayType2(x->i64, LIST_ROWS), "rows");
    }
    Loop block, row;
    loop_begin(x, &block, "block", from, to, LIST_ROWS);
    LLVMBuildStore(x->b, emit_i64(x, 0), counter);
    LLVMValueRef end = emit_min(x, to, LLVMBuildAdd(x->b, block.i, emit_i64(x, LIST_ROWS), ""));
    loop_begin(x, &row, x->k->e->letters[l].name, block.i, end, 1);
    x->letter[l] = row.i;
    require_guards(f, bound | 1u << l, bound, row.next);
    LLVMValueRef n = LLVMBuildLoad2(x->b, x->i64, counter, "");
    for (int w = 0; w < 2; w++) {
        int t = w ? PRODUCT_C : PRODUCT_A;
        LLVMValueRef at[MAX_DIMS];
        for (int d = 0; d < p->tensor[t]->ndim; d++) {
            at[d] = emit_scalar(x, p->at[t][d]);
        }
        LLVMValueRef element = emit_element_index(x, kernel_tensor(x->k, p->tensor[t]), at);
        LLVMBuildStore(x->b, element, LLVMBuildGEP2(x->b, x->i64, f->list[w], &n, 1, ""));
    }
    LLVMBuildStore(x->b, LLVMBuildAdd(x->b, n, emit_i64(x, 1), ""), counter);
    loop_end(x, &row);
    x->letter[l] = NULL;
    f->nlisted = LLVMBuildLoad2(x->b, x->i64, counter, "");
    emit_product(f);
    loop_end(x, &block);
}

/* Loops over outer[i..], each with the guards that its letter completes, then the product. */
static void emit_loops(Frame *f, int i, unsigned bound)
{
    Emit *x = f->x;
    const Product *p = f->p;
    LLVMBasicBlockRef skip = emit_block(x, "skip");
    int mark = scope_enter(x);
    require_guards(f, bound, i > 0 ? bound & ~(1u << p->outer[i - 1]) : bound, skip);
    if (i == p->nouter) {
        bind_inner(f);
        if (p->index[INDEX_M].is_listed) {
            emit_listed(f, bound);
        } else {
            emit_product(f);
        }
    } else {
        int l = p->outer[i];
        LLVMValueRef from = emit_i64(x, 0), to;
        if (l == x->k->item) {
            emit_item_range(x, &from, &to);
        } else {
            to = emit_letter_size(x, l);
        }
        Loop loop;
        loop_begin(x, &loop, x->k->e->letters[l].name, from, to, 1);
        x->letter[l] = loop.i;
        emit_loops(f, i + 1, bound | 1u << l);
        loop_end(x, &loop);
        x->letter[l] = NULL;
    }
    scope_leave(x, mark);
    LLVMBuildBr(x->b, skip);
    LLVMPositionBuilderAtEnd(x->b, skip);
}

/* Loops over outer[i..] as far as what is kept has them, and packs B or, at the end, writes the sums. */
static void emit_keeping(Frame *f, int i)
{
    Emit *x = f->x;
    const Product *p = f->p;
    if (i < p->nouter) {
        int l = p->outer[i];
        if (p->dim[kept_tensor(x->k)][l] < 0) {
            emit_keeping(f, i + 1);
            return;
        }
        Loop loop;
        loop_begin(x, &loop, x->k->e->letters[l].name, emit_i64(x, 0), emit_letter_size(x, l), 1);
        x->letter[l] = loop.i;
        emit_keeping(f, i + 1);
        loop_end(x, &loop);
        x->letter[l] = NULL;
        return;
    }
    for (int r = 0; r < 3; r++) {
        for (int j = 0; j < p->index[r].n; j++) {
            x->letter[p->index[r].letter[j]] = emit_i64(x, 0);
        }
    }
    if (x->k->turns) {
        Gemm op = {.c = base(f, PRODUCT_C),
                   .c_n = stride(f, PRODUCT_C, INDEX_N),
                   .m = all_of(f, INDEX_M),
                   .n = all_of(f, INDEX_N),
                   .kept = kept_operand(f)};
        gemm_turned_end(&f->target, x->b, &op, !x->k->sole);
        return;
    }
    Gemm op = {.b = base(f, PRODUCT_B),
               .b_k = stride(f, PRODUCT_B, INDEX_K),
               .b_n = stride(f, PRODUCT_B, INDEX_N),
               .k = all_of(f, INDEX_K),
               .n = all_of(f, INDEX_N),
               .kept = kept_operand(f),
               .kept_width = product_panel_width(x->k, p)};
    if (x->k->products != PRODUCTS_F32) {
        amx_keep(&f->target, x->b, &op, passes_of(x->k));
        return;
    }
    gemm_keep(&f->target, x->b, &op);
}

/* Bytes of all that is kept. */
static LLVMValueRef kept_bytes(Frame *f)
{
    Emit *x = f->x;
    LLVMValueRef bytes = emit_i64(x, x->k->real == DT_F64 ? 8 : 4);
    for (int i = 0; i < f->p->nouter; i++) {
        int l = f->p->outer[i];
        if (f->p->dim[kept_tensor(x->k)][l] >= 0) {
            bytes = LLVMBuildMul(x->b, bytes, emit_letter_size(x, l), "");
        }
    }
    return LLVMBuildMul(x->b, bytes, kept_elements(f), "");
}

/* What a call does outside of tiles; leaves the builder where the tile's code begins. */
static void emit_phases(Frame *f)
{
    Emit *x = f->x;
    LLVMBasicBlockRef tile = emit_block(x, "tile");
    LLVMValueRef phase = LLVMBuildSwitch(x->b, x->phase, tile, 3);
    int mark = scope_enter(x);
    for (int i = PHASE_SIZE; i <= (x->k->turns ? PHASE_END : PHASE_BEGIN); i++) {
        LLVMBasicBlockRef block = emit_block(x, "phase");
        LLVMAddCase(phase, emit_i64(x, i), block);
        LLVMPositionBuilderAtEnd(x->b, block);
        if (i == PHASE_SIZE) {
            LLVMBuildStore(x->b, kept_bytes(f), x->kept);
        } else if (i == PHASE_BEGIN && x->k->turns) {
            LLVMBuildMemSet(x->b, x->kept, LLVMConstInt(x->i8, 0, false), kept_bytes(f), TENSOR_ALIGN);
        } else {
            emit_keeping(f, 0);
        }
        LLVMBuildBr(x->b, x->ret);
        scope_leave(x, mark);
    }
    LLVMPositionBuilderAtEnd(x->b, tile);
}

void product_emit(Emit *x)
{
    Product p;
    const char *why;
    int scan = x->k->scan;
    if (!product_match_chosen(x->k, &p, &why)) {
        bug("%s is no product: %s", x->k->e->dst->name, why);
    }
    Frame f = {.x = x, .p = &p};
    product_target(&f.target, x->target, x->module, x->k->real == DT_F64);
    f.target.attributes = attributes;
    f.target.ctx = x;
    if (scan >= 0) {
        x->letter[scan] = x->t;
    }
    if (x->k->keeps) {
        emit_phases(&f);
    }
    emit_item_guard(x);
    emit_loops(&f, 0, scan >= 0 ? 1u << scan : 0);
}
