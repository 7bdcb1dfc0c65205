/* What is known about integers at one place of an equation: ranges of letters, sizes, values of tensors, and the
 * conditions that hold there. Used to prove loads in range, to drop conditions that always hold, to find the
 * direction of a recurrence; code generation may ask it too. Every answer `true` is a proof, `false` is "unknown". */
#ifndef HEDDLE_INTERVALS_H
#define HEDDLE_INTERVALS_H

#include "ir.h"

typedef struct {
    double lo, hi; /* -inf, inf: unbounded */
} Interval;

typedef struct Facts Facts;

/* Facts about the letters of an equation; conds: the first n of its conditions hold. Freed with facts_free. */
Facts *facts_new(Graph *g, const Equation *e, int nconds);
void facts_free(Facts *f);

/* From here on cond has this value. Assumptions are a stack: release goes back to a mark. */
typedef struct {
    int known, facts, atoms;
} FactsMark;
FactsMark facts_mark(const Facts *f);
void facts_assume(Facts *f, const Scalar *cond, bool value);
void facts_release(Facts *f, FactsMark mark);

Interval facts_interval(Facts *f, const Scalar *s);                        /* of any number */
bool facts_at_least(Facts *f, const Scalar *a, const Scalar *b, int64_t d); /* a - b >= d; INT */
bool facts_holds(Facts *f, const Scalar *cond);                            /* cond is true */
bool facts_fails(Facts *f, const Scalar *cond);                            /* cond is false */

/* A load (or an inject) whose indices all lie in range. `which` gets the first index that may not. */
bool facts_in_range(Facts *f, const Scalar *load, int *which);

#endif
