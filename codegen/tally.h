/* Sums into cells that a step function picks: tally.c. */
#ifndef HEDDLE_TALLY_H
#define HEDDLE_TALLY_H

#include "loops.h"

/* Whether the innermost loop, which `step` would cut into runs (runs.h), can be taken a vector at a time. */
bool tally_can(const Loops *s, const Scalar *step, int letter);
void tally_level(Loops *s, const Scalar *step, int letter, LLVMValueRef lo, LLVMValueRef hi);

#endif
