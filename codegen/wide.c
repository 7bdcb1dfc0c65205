/* Target intrinsics of vectors are nothing that LLVM's vectoriser can widen a loop of. So a loop calls a function of
 * one float, whose call says that functions of 4, 8 and 16 of them exist; when the loop has been widened, the calls
 * that are left are inlined (kernel.c). A value has the same bits in whichever of them it is computed. */
#include "wide.h"
#include <stdio.h>
#include <string.h>

enum { LEAST_LANES = 4, MOST_LANES = 16 };

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

/* The function of one float: lane 0 of the smallest vector. */
static LLVMValueRef single(Emit *x, WideBody *body, LLVMValueRef v)
{
    LLVMValueRef zero = LLVMConstInt(x->i32, 0, 0), none = LLVMConstNull(LLVMVectorType(x->f32, LEAST_LANES));
    return LLVMBuildExtractElement(x->b, body(x, LLVMBuildInsertElement(x->b, none, v, zero, "")), zero, "");
}

static LLVMValueRef define(Emit *x, const char *name, WideBody *body, unsigned lanes)
{
    LLVMTypeRef type = lanes > 1 ? LLVMVectorType(x->f32, lanes) : x->f32;
    LLVMValueRef f = LLVMAddFunction(x->module, name, LLVMFunctionType(type, &type, 1, 0));
    mark(x, f);
    LLVMBasicBlockRef here = LLVMGetInsertBlock(x->b);
    LLVMPositionBuilderAtEnd(x->b, LLVMAppendBasicBlockInContext(x->ctx, f, "entry"));
    LLVMValueRef v = LLVMGetParam(f, 0);
    LLVMBuildRet(x->b, lanes > 1 ? body(x, v) : single(x, body, v));
    LLVMPositionBuilderAtEnd(x->b, here);
    return f;
}

LLVMValueRef wide_value(Emit *x, const char *name, WideBody *body, LLVMValueRef v)
{
    if (lanes_of(v) > 1) {
        return body(x, v);
    }
    Text variants = {0};
    char one[48], several[64];
    snprintf(one, sizeof one, "wide.%s", name);
    LLVMValueRef f = LLVMGetNamedFunction(x->module, one);
    for (unsigned lanes = LEAST_LANES; lanes <= MOST_LANES; lanes *= 2) {
        snprintf(several, sizeof several, "%s.%u", one, lanes);
        if (!f) {
            define(x, several, body, lanes);
        }
        text_printf(&variants, "%s_ZGV_LLVM_N%uv_%s(%s)", lanes > LEAST_LANES ? "," : "", lanes, one, several);
    }
    f = f ? f : define(x, one, body, 1);
    LLVMTypeRef type = LLVMFunctionType(x->f32, &x->f32, 1, 0);
    LLVMValueRef call = LLVMBuildCall2(x->b, type, f, &v, 1, "");
    static const char key[] = "vector-function-abi-variant";
    LLVMAttributeRef a =
        LLVMCreateStringAttribute(x->ctx, key, (unsigned)strlen(key), variants.s, (unsigned)variants.n);
    LLVMAddCallSiteAttribute(call, LLVMAttributeFunctionIndex, a);
    text_free(&variants);
    return call;
}
