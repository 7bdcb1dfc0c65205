/* Target intrinsics of vectors are nothing that LLVM's vectoriser can widen a loop of. So a loop calls a function of
 * single numbers, whose call says that functions of 4, 8 and 16 of them exist; when the loop has been widened, the
 * calls that are left are inlined (kernel.c). A value has the same bits in whichever of them it is computed. */
#include "wide.h"
#include <stdio.h>
#include <string.h>

enum { LEAST_LANES = 4, MOST_LANES = 16, MOST_ARGS = 4 };

static unsigned lanes_of(LLVMValueRef v)
{
    LLVMTypeRef type = LLVMTypeOf(v);
    return LLVMGetTypeKind(type) == LLVMVectorTypeKind ? LLVMGetVectorSize(type) : 1;
}

bool wide_can(const Emit *x, LLVMValueRef v)
{
    unsigned lanes = lanes_of(v);
    LLVMTypeRef type = LLVMTypeOf(v), element = lanes > 1 ? LLVMGetElementType(type) : type;
    return x->target->avx512 && element == x->f32 && (lanes == 1 || (lanes >= LEAST_LANES && lanes <= MOST_LANES));
}

/* All lanes of a mask, as the intrinsics take it. */
static LLVMValueRef all(const Emit *x, unsigned lanes)
{
    return LLVMConstInt(lanes == MOST_LANES ? x->i16 : x->i8, ~0ull, 0);
}

static LLVMValueRef intrinsic(Emit *x, const char *what, unsigned lanes, int nargs, LLVMValueRef *args)
{
    char name[64];
    snprintf(name, sizeof name, "llvm.x86.avx512.%s.ps.%u", what, 32 * lanes);
    return emit_intrinsic(x, name, 0, NULL, nargs, args);
}

LLVMValueRef wide_scale(Emit *x, LLVMValueRef v, LLVMValueRef k)
{
    unsigned lanes = lanes_of(v);
    LLVMValueRef current = LLVMConstInt(x->i32, 4, 0); /* rounding */
    LLVMValueRef args[5] = {v, k, v, all(x, lanes), current};
    return intrinsic(x, "mask.scalef", lanes, lanes == MOST_LANES ? 5 : 4, args);
}

LLVMValueRef wide_reciprocal(Emit *x, LLVMValueRef v)
{
    unsigned lanes = lanes_of(v);
    return intrinsic(x, "rcp14", lanes, 3, (LLVMValueRef[]){v, v, all(x, lanes)});
}

/* The vector registers of tables and indices are whole ones; narrower indices come first in theirs. */
static LLVMValueRef resized(Emit *x, LLVMValueRef v, unsigned lanes)
{
    LLVMValueRef lane[MOST_LANES];
    for (unsigned i = 0; i < lanes; i++) {
        lane[i] = i < lanes_of(v) ? LLVMConstInt(x->i32, i, 0) : LLVMGetUndef(x->i32);
    }
    return LLVMBuildShuffleVector(x->b, v, LLVMGetUndef(LLVMTypeOf(v)), LLVMConstVector(lane, lanes), "");
}

LLVMValueRef wide_lookup(Emit *x, const double *table, LLVMValueRef index)
{
    LLVMValueRef entry[MOST_LANES];
    for (unsigned i = 0; i < MOST_LANES; i++) {
        entry[i] = LLVMConstReal(x->f32, table[i]);
    }
    LLVMValueRef args[2] = {LLVMConstVector(entry, MOST_LANES), resized(x, index, MOST_LANES)};
    return resized(x, emit_intrinsic(x, "llvm.x86.avx512.permvar.sf.512", 0, NULL, 2, args), lanes_of(index));
}

LLVMValueRef wide_unit(Emit *x, LLVMValueRef v)
{
    unsigned lanes = lanes_of(v);
    LLVMValueRef smaller = LLVMConstInt(x->i32, 6, 0), current = LLVMConstInt(x->i32, 4, 0);
    LLVMValueRef args[6] = {v, emit_number(x, LLVMTypeOf(v), 1), smaller, v, all(x, lanes), current};
    return intrinsic(x, "mask.range", lanes, lanes == MOST_LANES ? 6 : 5, args);
}

LLVMValueRef wide_cases(Emit *x, LLVMValueRef y, LLVMValueRef v, LLVMValueRef answers)
{
    unsigned lanes = lanes_of(v);
    LLVMValueRef quiet = LLVMConstInt(x->i32, 0, 0), current = LLVMConstInt(x->i32, 4, 0);
    LLVMValueRef args[6] = {y, v, answers, quiet, all(x, lanes), current};
    return intrinsic(x, "mask.fixupimm", lanes, lanes == MOST_LANES ? 6 : 5, args);
}

static void mark(Emit *x, LLVMValueRef f)
{
    static const char *const kinds[] = {"alwaysinline", "memory", "nounwind", "willreturn", "nosync", "speculatable"};
    target_attributes(x->target, x->ctx, f);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        unsigned kind = LLVMGetEnumAttributeKindForName(kinds[i], strlen(kinds[i]));
        LLVMAddAttributeAtIndex(f, LLVMAttributeFunctionIndex, LLVMCreateEnumAttribute(x->ctx, kind, 0));
    }
    LLVMSetLinkage(f, LLVMInternalLinkage);
}

static LLVMTypeRef of_lanes(LLVMTypeRef element, unsigned lanes)
{
    return lanes > 1 ? LLVMVectorType(element, lanes) : element;
}

/* The function of single numbers: lane 0 of the smallest vector. */
static LLVMValueRef single(Emit *x, WideBody *body, int n, LLVMValueRef *args)
{
    LLVMValueRef zero = LLVMConstInt(x->i32, 0, 0);
    for (int i = 0; i < n; i++) {
        LLVMValueRef none = LLVMConstNull(LLVMVectorType(LLVMTypeOf(args[i]), LEAST_LANES));
        args[i] = LLVMBuildInsertElement(x->b, none, args[i], zero, "");
    }
    return LLVMBuildExtractElement(x->b, body(x, args), zero, "");
}

/* The function of so many lanes; args: single numbers of the arguments' types. */
static LLVMValueRef define(Emit *x, const char *name, WideBody *body, unsigned lanes, int n, const LLVMValueRef *args)
{
    LLVMTypeRef types[MOST_ARGS];
    LLVMValueRef own[MOST_ARGS];
    for (int i = 0; i < n; i++) {
        types[i] = of_lanes(LLVMTypeOf(args[i]), lanes);
    }
    LLVMTypeRef type = LLVMFunctionType(types[0], types, (unsigned)n, 0);
    LLVMValueRef f = LLVMAddFunction(x->module, name, type);
    mark(x, f);
    LLVMBasicBlockRef here = LLVMGetInsertBlock(x->b);
    LLVMPositionBuilderAtEnd(x->b, LLVMAppendBasicBlockInContext(x->ctx, f, "entry"));
    LLVMGetParams(f, own);
    LLVMBuildRet(x->b, lanes > 1 ? body(x, own) : single(x, body, n, own));
    LLVMPositionBuilderAtEnd(x->b, here);
    return f;
}

LLVMValueRef wide_value(Emit *x, const char *name, WideBody *body, int n, const LLVMValueRef *args)
{
    if (lanes_of(args[0]) > 1) {
        return body(x, args);
    }
    Text variants = {0};
    char one[48], several[64];
    snprintf(one, sizeof one, "wide.%s", name);
    LLVMValueRef f = LLVMGetNamedFunction(x->module, one), own[MOST_ARGS];
    for (unsigned lanes = LEAST_LANES; lanes <= MOST_LANES; lanes *= 2) {
        snprintf(several, sizeof several, "%s.%u", one, lanes);
        if (!f) {
            define(x, several, body, lanes, n, args);
        }
        text_printf(&variants, "%s_ZGV_LLVM_N%u%.*s_%s(%s)", lanes > LEAST_LANES ? "," : "", lanes, n, "vvvv", one,
                    several);
    }
    f = f ? f : define(x, one, body, 1, n, args);
    memcpy(own, args, (size_t)n * sizeof *own);
    LLVMValueRef call = LLVMBuildCall2(x->b, LLVMGlobalGetValueType(f), f, own, (unsigned)n, "");
    static const char key[] = "vector-function-abi-variant";
    LLVMAttributeRef a =
        LLVMCreateStringAttribute(x->ctx, key, (unsigned)strlen(key), variants.s, (unsigned)variants.n);
    LLVMAddCallSiteAttribute(call, LLVMAttributeFunctionIndex, a);
    text_free(&variants);
    return call;
}
