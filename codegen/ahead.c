/* What no call before this one has touched in its tile comes from far away, and of what is dear to compute the
 * processor sees only a few vectors ahead: half a dozen for the gradient of silu. So the loops ask for what lies AHEAD
 * bytes further on, and for the memory of their results as well, which a store fetches first. (6,400 rows of 50: the
 * gradient of silu 0.27 -> 0.17 ms, a gradient of 150 columns times its gate 0.47 -> 0.37.) */
#include "ahead.h"
#include "lanes.h"

enum { AHEAD = 4096, LINE = 64, MOST_LINES = 16, MOST_OPERANDS = 64 };

static int64_t bytes_of(const Emit *x, int tensor, int64_t elements)
{
    return elements * emit_bytes(x, emit_elem_type(x, x->k->tensors[tensor]));
}

static void ask(Emit *x, int tensor, LLVMValueRef address, int64_t elements)
{
    LLVMTypeRef type = LLVMTypeOf(address);
    bool writes = tensor == 0;
    for (int64_t at = 0; at < bytes_of(x, tensor, elements); at += LINE) {
        LLVMValueRef far = emit_i64(x, AHEAD + at);
        LLVMValueRef args[4] = {LLVMBuildGEP2(x->b, x->i8, address, &far, 1, ""), LLVMConstInt(x->i32, writes, 0),
                                LLVMConstInt(x->i32, 3, 0), LLVMConstInt(x->i32, 1, 0)};
        emit_intrinsic(x, "llvm.prefetch", 1, &type, 4, args);
    }
}

typedef struct {
    int tensor; /* argument */
    Scalar *const *index;
    int ndim;
} Place;

/* Where the kernel reads, for the first time of each operand, and where it writes, of what is far. Returns how many. */
static int list_places(const KernelInfo *k, Place places[MOST_OPERANDS])
{
    const Equation *e = k->e;
    uint64_t seen = 0;
    int n = 0;
    if (k->far[0] && e->op == RED_NONE) { /* else a cell may be added to in memory that is near by then */
        places[n++] = (Place){0, e->lhs, e->dst->ndim};
    }
    for (int i = 0; i < k->nnodes; i++) {
        const Scalar *s = k->nodes[i];
        int t = s->op == OP_LOAD ? kernel_tensor(k, s->tensor) : 0;
        if (t > 0 && t < MOST_OPERANDS && k->far[t] && !(seen >> t & 1)) {
            seen |= UINT64_C(1) << t;
            places[n++] = (Place){t, s->args, s->nargs};
        }
    }
    return n;
}

void ahead_of_elements(Emit *x, LLVMValueRef at, int n)
{
    Place places[MOST_OPERANDS];
    for (int i = 0, count = list_places(x->k, places); i < count; i++) {
        int t = places[i].tensor;
        if (places[i].ndim > 0) {
            LLVMTypeRef type = emit_elem_type(x, x->k->tensors[t]);
            ask(x, t, LLVMBuildGEP2(x->b, type, x->tensors[t], &at, 1, ""), n);
        }
    }
}

void ahead_of_row(Emit *x, int inner)
{
    const KernelInfo *k = x->k;
    Place places[MOST_OPERANDS];
    int64_t size = axis_static_size(k->e->letters[inner].axis);
    for (int i = 0, count = list_places(k, places); i < count; i++) {
        const Place *p = &places[i];
        LLVMValueRef index[MAX_DIMS];
        bool is_row = p->ndim > 1 && size > 0 && bytes_of(x, p->tensor, size) <= MOST_LINES * LINE &&
                      access_ascends(k->tensors[p->tensor], p->index, inner);
        for (int d = 0; d < p->ndim && is_row; d++) {
            bool is_letter = p->index[d]->op == OP_LETTER;
            index[d] = !is_letter ? NULL : p->index[d]->inum == inner ? emit_i64(x, 0) : x->letter[p->index[d]->inum];
            is_row = index[d] != NULL;
        }
        if (is_row) {
            ask(x, p->tensor, emit_element(x, p->tensor, index), size);
        }
    }
}
