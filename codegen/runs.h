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
    LLVMValueRef hi, size;
    LLVMValueRef count, next; /* the function's value in it, and at its end */
    LLVMBasicBlockRef head, exit;
    int mark;
} Runs;

/* The step function for whose sake the loop over `letter` is worth cutting, or NULL. */
const Scalar *runs_find(const Emit *x, int letter);
/* Leaves the builder where the loop from r->lo to r->end belongs, the function's value known there. Runs end at hi and
 * with every block of so many positions (0: there are none); r->next is the value at r->end where that is below size.
 */
void runs_begin(Emit *x, Runs *r, const Scalar *step, int letter, LLVMValueRef lo, LLVMValueRef hi, LLVMValueRef size,
                int64_t block);
void runs_end(Runs *r);

#endif
