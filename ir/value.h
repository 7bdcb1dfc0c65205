/* Values of scalars while the compiler or the interpreter computes them: the value column of scalar.def made code. */
#ifndef HEDDLE_VALUE_H
#define HEDDLE_VALUE_H

#include "ir.h"

typedef union {
    double num;   /* REAL, F32 (holding a float exactly) */
    int64_t inum; /* INT, BOOL (0 or 1) */
} Value;

/* out = op(args), one of the functions of scalar.def, all operands given. NULL, or why there is no such value:
 * a division of integers by zero, a truncation that does not fit int64. REAL is computed in double; F32 is computed
 * in double and rounded to float, which for + - * / sqrt is the correctly rounded float operation. */
const char *value_apply(const Scalar *s, const Value *args, Value *out);

#endif
