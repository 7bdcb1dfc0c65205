/* Loops cut into runs on which a step function stands still: runs.c. */
#ifndef HEDDLE_RUNS_H
#define HEDDLE_RUNS_H

#include "internal.h"
#include <stdlib.h>

typedef struct {
    Emit *x;
    const Scalar *step;
    int letter;
    LLVMValueRef lo, end; /* of the run at hand */
    LLVMValueRef hi;
    LLVMValueRef count, next; /* the function's value in it, and at its end */
    LLVMBasicBlockRef head, exit;
    int mark;
} Runs;

/* The step function for whose sake the loop over `letter` is worth cutting, or NULL. */
const Scalar *runs_find(const Emit *x, int letter);
/* Leaves the builder where the loop from r->lo to r->end belongs, the function's value known there. */
void runs_begin(Emit *x, Runs *r, const Scalar *step, int letter, LLVMValueRef lo, LLVMValueRef hi);
void runs_end(Runs *r);

/* table[c - 1] (beyond: 0) and table[c] (1), unbounded at the ends. */
LLVMValueRef runs_threshold(Emit *x, const Scalar *step, LLVMValueRef c, int beyond);
LLVMValueRef runs_value_at(Emit *x, const Scalar *s, int letter, LLVMValueRef at);

#endif
