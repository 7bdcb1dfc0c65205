/* What is known about integers at one place of an equation: ranges of letters, sizes, values of tensors, and the
 * conditions that hold there. Used to prove loads in range, to drop conditions that always hold, to find the
 * direction of a recurrence; code generation may ask it too. Every answer `true` is a proof, `false` is "unknown". */
#ifndef HEDDLE_INTERVALS_H
#define HEDDLE_INTERVALS_H

#include "ir.h"

typedef struct {
    double lo, hi; /* -inf, inf: unbounded */
} Interval;

typedef struct Prover Prover;

/* Prover about the letters of an equation; conds: the first n of its conditions hold. Freed with prover_free. */
Prover *prover_new(Graph *g, const Equation *e, int nconds);
void prover_free(Prover *f);

/* From here on cond has this value. Assumptions are a stack: release goes back to a mark. */
typedef struct {
    int known, facts, atoms;
    bool nothing;
} ProverMark;
ProverMark prover_mark(const Prover *f);
void prover_assume(Prover *f, const Scalar *cond, bool value);
void prover_release(Prover *f, ProverMark mark);

Interval prover_interval(Prover *f, const Scalar *s);                         /* of any number */
bool prover_at_least(Prover *f, const Scalar *a, const Scalar *b, int64_t d); /* a - b >= d; INT */
bool prover_holds(Prover *f, const Scalar *cond);                             /* cond is true */
bool prover_fails(Prover *f, const Scalar *cond);                             /* cond is false */

/* A load (or an inject) whose indices all lie in range. `which` gets the first index that may not. */
bool prover_in_range(Prover *f, const Scalar *load, int *which);
/* Every load in s is, where only what f knows and the choices around it hold. */
bool prover_is_safe(Prover *f, const Scalar *s);

#endif
