/* Asks for memory before the loop that is being emitted comes to it: ahead.c. */
#ifndef HEDDLE_AHEAD_H
#define HEDDLE_AHEAD_H

#include "internal.h"

/* Of what lies as elements at .. at + n of the result do, and of the result. */
void ahead_of_elements(Emit *x, LLVMValueRef at, int n);
/* Of rows that the loop over this letter, innermost and not yet bound, reads or writes. */
void ahead_of_row(Emit *x, int inner);

#endif
