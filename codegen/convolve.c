/* Kernels of convolutions along lists: a loop over examples, and over the letters that stand in no sum, around a call
 * of runtime/convolve.h for each list. The function is that of the CPU's vectors; it is part of this program, not of
 * the kernel. */
#include "convolution.h"
#include "internal.h"

#include "../runtime/convolve.h"

#include <stdio.h>

enum { GRAIN = 4 }; /* examples whose gradients are summed in one copy */

#define FUNCTION(variant)                                                                                              \
    {"convolve_" #variant, (void (*)(void))convolve_##variant},                                                        \
        {"correlate_" #variant, (void (*)(void))correlate_##variant},
const Function convolve_functions[] = {CONVOLVE_VARIANTS(FUNCTION){NULL, NULL}};

/* Neighbours in memory differ in the last index. */
static bool has_columns(const Tensor *t)
{
    Layout l;
    const char *why;
    return tensor_layout(t, &l, &why) && l.order[t->ndim - 1] == t->ndim - 1;
}

bool convolve_choose(KernelInfo *k)
{
    Convolution c;
    const Equation *e = k->e;
    if (k->tile || k->scan >= 0 || k->row >= 0 || !convolution_match(k->g, e, &c) || !has_columns(c.x->tensor) ||
        !has_columns(c.is_gradient ? c.y->tensor : e->dst)) {
        return false;
    }
    k->convolves = true;
    k->item = c.example;
    k->split = c.is_gradient ? SPLIT_REDUCE : SPLIT_BATCH;
    k->grain = c.is_gradient ? GRAIN : 1;
    k->accumulate = c.is_gradient;
    k->zero = c.is_gradient;
    for (int d = 0; d < e->dst->ndim; d++) { /* another case of the result may be nobody's */
        k->zero = k->zero || (e->lhs[d]->op != OP_LETTER && !k->unread);
    }
    return true;
}

static int64_t columns_of(const KernelInfo *k, const Convolution *c)
{
    return k->e->letters[c->column].axis->size;
}

void convolve_scratch_of(const KernelInfo *k, const Axis **axis, int64_t *row, int64_t *fixed)
{
    Convolution c;
    convolution_match(k->g, k->e, &c);
    *axis = k->e->letters[c.later].axis;
    *row = convolve_scratch_row(columns_of(k, &c));
    *fixed = CONVOLVE_SCRATCH;
}

double convolve_flop(const KernelInfo *k)
{
    Convolution c;
    convolution_match(k->g, k->e, &c);
    int64_t n = axis_bound(k->e->letters[c.later].axis) / 2; /* a list of moderate length */
    return convolution_lists(k->e, &c) * convolve_operations(n, columns_of(k, &c), c.is_gradient);
}

/* ---- emission ---- */

typedef struct {
    Emit *x;
    Convolution c;
    LLVMTypeRef fields; /* ConvolveArgs */
    LLVMValueRef call;  /* one of them */
    LLVMValueRef fn;
    LLVMTypeRef type;
} Calls;

static void put(Calls *s, unsigned field, LLVMValueRef v)
{
    LLVMBuildStore(s->x->b, v, LLVMBuildStructGEP2(s->x->b, s->fields, s->call, field, ""));
}

/* The address of an element where both positions are given, and the stride of one dim there. */
static LLVMValueRef element_at(Calls *s, const Tensor *t, Scalar *const *at, LLVMValueRef later, LLVMValueRef earlier,
                               int dim, LLVMValueRef *stride)
{
    Emit *x = s->x;
    LLVMValueRef index[MAX_DIMS];
    int mark = scope_enter(x), tensor = kernel_tensor(x->k, t);
    x->letter[s->c.later] = later;
    x->letter[s->c.earlier] = earlier;
    x->letter[s->c.column] = emit_i64(x, 0);
    for (int d = 0; d < t->ndim; d++) {
        index[d] = emit_scalar(x, at[d]);
    }
    LLVMValueRef address = emit_element(x, tensor, index);
    *stride = emit_stride(x, tensor, dim, index);
    scope_leave(x, mark);
    return address;
}

static int dim_of(const Tensor *t, Scalar *const *at, int letter)
{
    int d = 0;
    while (d < t->ndim && !(at[d]->op == OP_LETTER && at[d]->inum == letter)) {
        d++;
    }
    return d;
}

static void put_rows(Calls *s, unsigned field, const Tensor *t, Scalar *const *at, int letter, LLVMValueRef first,
                     bool backwards)
{
    LLVMValueRef stride, address = element_at(s, t, at, first, first, dim_of(t, at, letter), &stride);
    put(s, field, address);
    put(s, field + 1, backwards ? LLVMBuildNSWNeg(s->x->b, stride, "") : stride);
}

/* The weight of distance 0, which need not exist, from that of the first. */
static void put_weights(Calls *s)
{
    Emit *x = s->x;
    LLVMTypeRef real = x->real;
    LLVMValueRef stride, zero = emit_i64(x, 0), first = emit_i64(x, s->c.first);
    LLVMValueRef address = element_at(s, s->c.weights, s->c.weight, first, zero, s->c.dim, &stride);
    stride = s->c.sign < 0 ? LLVMBuildNSWNeg(x->b, stride, "") : stride;
    LLVMValueRef back = LLVMBuildNSWNeg(x->b, LLVMBuildNSWMul(x->b, stride, first, ""), "");
    put(s, 3, LLVMBuildGEP2(x->b, real, address, &back, 1, ""));
    put(s, 4, stride);
}

static void emit_call(Calls *s)
{
    Emit *x = s->x;
    const Equation *e = x->k->e;
    const Convolution *c = &s->c;
    LLVMValueRef n = emit_letter_size(x, c->later), zero = emit_i64(x, 0);
    LLVMBasicBlockRef some = emit_block(x, "some"), none = emit_block(x, "none");
    LLVMBuildCondBr(x->b, LLVMBuildICmp(x->b, LLVMIntSLT, emit_i64(x, c->is_gradient ? c->first : 0), n, ""), some,
                    none);
    LLVMPositionBuilderAtEnd(x->b, some);
    bool backwards = !c->is_gradient && c->to == c->earlier;
    LLVMValueRef end = backwards ? LLVMBuildNSWSub(x->b, n, emit_i64(x, 1), "") : zero;
    put(s, 0, n);
    put(s, 1, emit_i64(x, columns_of(x->k, c)));
    put(s, 2, emit_i64(x, c->first));
    put_weights(s);
    int from = backwards ? c->later : c->earlier, to = backwards ? c->earlier : c->later;
    put_rows(s, 5, c->x->tensor, c->x->args, from, end, backwards);
    if (c->is_gradient) {
        put_rows(s, 7, c->y->tensor, c->y->args, to, end, false);
    } else {
        put_rows(s, 7, e->dst, e->lhs, to, end, backwards);
    }
    LLVMBuildCall2(x->b, s->type, s->fn, &s->call, 1, "");
    LLVMBuildBr(x->b, none);
    LLVMPositionBuilderAtEnd(x->b, none);
}

/* Loops over the letters from l on that are neither position nor column, the example before those read at it. */
static void emit_loops(Calls *s, int l)
{
    Emit *x = s->x;
    const Equation *e = x->k->e;
    const Convolution *c = &s->c;
    if (l == e->nletters) {
        emit_call(s);
        return;
    }
    if (l == c->later || l == c->earlier || l == c->column || l == c->example) {
        emit_loops(s, l + 1);
        return;
    }
    Loop loop;
    loop_begin(x, &loop, e->letters[l].name, emit_i64(x, 0), emit_letter_size(x, l), 1);
    x->letter[l] = loop.i;
    emit_loops(s, l + 1);
    loop_end(x, &loop);
}

void convolve_emit(Emit *x)
{
    Calls s = {.x = x};
    convolution_match(x->k->g, x->k->e, &s.c);
    LLVMTypeRef fields[] = {x->i64, x->i64, x->i64, x->ptr, x->i64, x->ptr, x->i64, x->ptr, x->i64, x->ptr};
    s.fields = LLVMStructTypeInContext(x->ctx, fields, sizeof fields / sizeof *fields, 0);
    s.call = emit_local(x, s.fields, "call");
    s.type = LLVMFunctionType(LLVMVoidTypeInContext(x->ctx), &x->ptr, 1, 0);
    char name[64];
    snprintf(name, sizeof name, "%s_%s_v%d", s.c.is_gradient ? "correlate" : "convolve",
             x->k->real == DT_F64 ? "f64" : "f32",
             x->target->avx512                   ? 4
             : x->target->avx2 && x->target->fma ? 3
                                                 : 1);
    s.fn = LLVMAddFunction(x->module, name, s.type);
    put(&s, 9, x->kept);
    Loop loop;
    loop_begin(x, &loop, "example", x->lo, x->hi, 1);
    x->letter[s.c.example] = loop.i;
    emit_loops(&s, 0);
    loop_end(x, &loop);
}
