/* Functions of f32 made of AVX-512's own instructions: wide.c. */
#ifndef HEDDLE_WIDE_H
#define HEDDLE_WIDE_H

#include "internal.h"

/* Makes the function's value at a vector of 4, 8 or 16 floats, as straight-line code. */
typedef LLVMValueRef WideBody(Emit *x, LLVMValueRef v);

/* Whether v is a float, or a vector of so many, on a target that has the instructions. */
bool wide_can(const Emit *x, LLVMValueRef v);
/* The function, at v. */
LLVMValueRef wide_value(Emit *x, const char *name, WideBody *body, LLVMValueRef v);

/* For bodies: v * 2^k for an integral k of any size; 1 / v within 2^-14 of it, or 0 for v > 2^126. */
LLVMValueRef wide_scale(Emit *x, LLVMValueRef v, LLVMValueRef k);
LLVMValueRef wide_reciprocal(Emit *x, LLVMValueRef v);

#endif
