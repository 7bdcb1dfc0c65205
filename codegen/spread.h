/* What a step function alone changes along a loop, written out ahead of it: spread.c. */
#ifndef HEDDLE_SPREAD_H
#define HEDDLE_SPREAD_H

#include "internal.h"

enum { SPREAD_CELLS = 1024, SPREAD_ROWS = 2 };

typedef struct {
    const Scalar *step;
    int letter, n;
    const Scalar *value[SPREAD_ROWS];
    LLVMValueRef row[SPREAD_ROWS], first; /* the positions from `first` on */
} Spread;

/* Whether the loop over `letter`, which `step` would cut into runs (runs.h), can run uncut over such rows. */
bool spread_can(const Emit *x, const Scalar *step, int letter, Spread *p);
/* Writes the rows of the positions lo <= i < hi, at most SPREAD_CELLS. */
void spread_write(Emit *x, Spread *p, LLVMValueRef lo, LLVMValueRef hi);
/* Inside the loop: the values at the position at hand are known. */
void spread_recall(Emit *x, const Spread *p);

#endif
