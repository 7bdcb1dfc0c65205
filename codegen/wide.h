/* Functions of f32 made of AVX-512's own instructions: wide.c. */
#ifndef HEDDLE_WIDE_H
#define HEDDLE_WIDE_H

#include "internal.h"

/* Makes the function's value as straight-line code, of arguments that are vectors of 4, 8 or 16: the first of floats,
 * as is the value, the others of floats or of integers as wide. */
typedef LLVMValueRef WideBody(Emit *x, const LLVMValueRef *args);

/* Whether v is a float, or a vector of so many, on a target that has the instructions. */
bool wide_can(const Emit *x, LLVMValueRef v);
/* The function of n arguments, at those, which are single or vectors alike. */
LLVMValueRef wide_value(Emit *x, const char *name, WideBody *body, int n, const LLVMValueRef *args);
/* a^b of floats: wide_pow.c. */
LLVMValueRef wide_pow(Emit *x, LLVMValueRef a, LLVMValueRef b);

/* For bodies: v * 2^k for an integral k of any size; 1 / v within 2^-14 of it, or 0 for v > 2^126. */
LLVMValueRef wide_scale(Emit *x, LLVMValueRef v, LLVMValueRef k);
LLVMValueRef wide_reciprocal(Emit *x, LLVMValueRef v);
/* Of 16 numbers the one whose index is in the last four bits of each integer. */
LLVMValueRef wide_lookup(Emit *x, const double *table, LLVMValueRef index);
/* v within -1 and 1; one of those for a NaN. */
LLVMValueRef wide_unit(Emit *x, LLVMValueRef v);
/* y, but where v is of a special class what that class's hexadecimal digit in answers says. Digits from the last one:
 * two for NaN, then 0, 1, -inf, inf, negative, positive; 0 is y, 2 the NaN, 3 a NaN, 5 inf, 8 zero, a 1 (VFIXUPIMMPS).
 */
LLVMValueRef wide_cases(Emit *x, LLVMValueRef y, LLVMValueRef v, LLVMValueRef answers);

#endif
