/* Equations without a sum whose operands all lie in memory as the result does: one loop over elements. */
#ifndef HEDDLE_FLAT_H
#define HEDDLE_FLAT_H

#include "internal.h"

/* Emits the kernel as such a loop, or returns false: it is none. */
bool flat_emit(Emit *x);

#endif
