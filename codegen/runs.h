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

/* Per node of the kernel: whether the letter changes it otherwise than by the function alone. To be freed. */
bool *runs_moves(const Emit *x, const Scalar *step, int letter);

/* Passes the thresholds on one side of a count, one after another, as long as some arg lies beyond, in the lanes of a
 * mask (NULL: all): pass() makes what becomes of these when the count goes from c to `next`. Returns the last count. */
typedef void RunsPass(void *ctx, LLVMValueRef beyond, LLVMValueRef next);
LLVMValueRef runs_pass(Emit *x, const Scalar *step, LLVMValueRef args, LLVMValueRef mask, LLVMValueRef count, bool up,
                       RunsPass *pass, void *ctx);
/* Of counts found downwards and upwards from c, that at the end of a vector: where args rise or fall, and that is why
 * runs are fast, its last lane has passed all there was to pass. */
LLVMValueRef runs_last(Emit *x, LLVMValueRef c, LLVMValueRef down, LLVMValueRef up);

/* table[c - 1] (beyond: 0) and table[c] (1), unbounded at the ends. */
LLVMValueRef runs_threshold(Emit *x, const Scalar *step, LLVMValueRef c, int beyond);
LLVMValueRef runs_value_at(Emit *x, const Scalar *s, int letter, LLVMValueRef at);
/* From here on the function has this value; scope_leave ends it. */
void runs_know(Emit *x, const Scalar *step, LLVMValueRef c);
/* Whether some lane of a mask is set. */
LLVMValueRef runs_any(Emit *x, LLVMValueRef mask);

#endif
