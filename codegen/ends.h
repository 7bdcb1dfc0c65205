/* Conditions that hold at the ends of runs: a step function takes another value at the next position.
 *
 *     i < j + 1 or step(t[b,i] - t[b,j]) != step(t[b,i] - t[b,j + 1])
 *
 * A list of such positions (NTH) is made a block of positions at a time (ends_emit.c). */
#ifndef HEDDLE_ENDS_H
#define HEDDLE_ENDS_H

#include "ir.h"

enum { MAX_ENDS = 8 };

typedef struct {
    int letter;         /* j */
    int cond;           /* number of the condition */
    const Scalar *step; /* at j */
    int nothers;        /* what else the condition allows: it holds where one of these does */
    const Scalar *others[MAX_ENDS];
} RunEnds;

/* Whether e has such a condition; *out says which. */
bool equation_run_ends(const Equation *e, RunEnds *out);

#endif
