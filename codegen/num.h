/* Arithmetic on values of one floating type, as math.c and wide_pow.c write it down. */
#ifndef HEDDLE_NUM_H
#define HEDDLE_NUM_H

#include "wide.h"

typedef struct {
    Emit *x;
    LLVMTypeRef type, itype; /* the floating type and the integer type of equal width and lanes */
    bool is_double;
    bool wide; /* a vector for which AVX-512 has instructions of its own */
} Num;

static inline LLVMTypeRef like(LLVMTypeRef shape, LLVMTypeRef element)
{
    return LLVMGetTypeKind(shape) == LLVMVectorTypeKind ? LLVMVectorType(element, LLVMGetVectorSize(shape)) : element;
}

static inline Num num(Emit *x, LLVMValueRef v)
{
    LLVMTypeRef type = LLVMTypeOf(v);
    LLVMTypeRef element = LLVMGetTypeKind(type) == LLVMVectorTypeKind ? LLVMGetElementType(type) : type;
    bool is_double = element == x->f64;
    bool wide = element != type && wide_can(x, v);
    return (Num){x, type, like(type, is_double ? x->i64 : x->i32), is_double, wide};
}

static inline LLVMValueRef c(const Num *n, double v)
{
    return emit_number(n->x, n->type, v);
}

static inline LLVMValueRef ci(const Num *n, int64_t v)
{
    LLVMTypeRef t = n->itype;
    if (LLVMGetTypeKind(t) != LLVMVectorTypeKind) {
        return LLVMConstInt(t, (unsigned long long)v, 1);
    }
    LLVMValueRef lane[64];
    unsigned lanes = LLVMGetVectorSize(t);
    for (unsigned i = 0; i < lanes && i < 64; i++) {
        lane[i] = LLVMConstInt(LLVMGetElementType(t), (unsigned long long)v, 1);
    }
    return LLVMConstVector(lane, lanes);
}

static inline LLVMValueRef add(const Num *n, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildFAdd(n->x->b, a, b, "");
}

static inline LLVMValueRef sub(const Num *n, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildFSub(n->x->b, a, b, "");
}

static inline LLVMValueRef mul(const Num *n, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildFMul(n->x->b, a, b, "");
}

static inline LLVMValueRef quotient(const Num *n, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildFDiv(n->x->b, a, b, "");
}

static inline LLVMValueRef fma3(const Num *n, LLVMValueRef a, LLVMValueRef b, LLVMValueRef d)
{
    return math_fma(n->x, a, b, d);
}

/* a < b ? yes : no, with a NaN to "no". */
static inline LLVMValueRef if_less(const Num *n, LLVMValueRef a, LLVMValueRef b, LLVMValueRef yes, LLVMValueRef no)
{
    return LLVMBuildSelect(n->x->b, LLVMBuildFCmp(n->x->b, LLVMRealOLT, a, b, ""), yes, no, "");
}

static inline LLVMValueRef bits(const Num *n, LLVMValueRef v)
{
    return LLVMBuildBitCast(n->x->b, v, n->itype, "");
}

static inline LLVMValueRef number(const Num *n, LLVMValueRef v)
{
    return LLVMBuildBitCast(n->x->b, v, n->type, "");
}

static inline LLVMValueRef unary(const Num *n, const char *intrinsic, LLVMValueRef v)
{
    LLVMTypeRef t = n->type;
    return emit_intrinsic(n->x, intrinsic, 1, &t, 1, &v);
}

static inline LLVMValueRef copysign3(const Num *n, LLVMValueRef magnitude, LLVMValueRef sign)
{
    LLVMTypeRef t = n->type;
    return emit_intrinsic(n->x, "llvm.copysign", 1, &t, 2, (LLVMValueRef[]){magnitude, sign});
}

/* p[0] + p[1] v + ... by Horner. */
static inline LLVMValueRef polynomial(const Num *n, int count, const double *p, LLVMValueRef v)
{
    LLVMValueRef y = c(n, p[count - 1]);
    for (int i = count - 2; i >= 0; i--) {
        y = fma3(n, y, v, c(n, p[i]));
    }
    return y;
}

#endif
