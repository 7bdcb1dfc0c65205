/* Reverse mode inside one expression: what reaches each load of an active tensor. Private to differentiate. */
#ifndef HEDDLE_ADJOINT_H
#define HEDDLE_ADJOINT_H

#include "rewrite.h"

typedef struct {
    const Scalar *load;
    Scalar *value; /* REAL: adjoint * d body / d load, to be evaluated only where guard holds */
    Scalar *guard; /* BOOL, constant true if none */
} LoadAdjoint;

typedef struct {
    LoadAdjoint *items;
    int n;
} LoadAdjoints;

/* Which scalars carry gradient: those that depend differentiably on a load of an active tensor. Memo by scalar id. */
typedef struct {
    const bool *tensor;  /* by tensor id */
    signed char *scalar; /* by scalar id: 0 not known yet, 1 yes, -1 no */
    bool *reached;       /* by scalar id: scalar_reach has been here */
} Activity;

bool scalar_is_active(const Activity *a, const Scalar *s);
/* Calls f on the active loads below s that were not reached before. */
void scalar_reach(const Activity *a, const Scalar *s, void (*f)(const Scalar *load, void *ctx), void *ctx);
LoadAdjoints scalar_adjoints(Graph *g, Scalar *body, Scalar *adjoint, const Activity *activity);

/* The left-hand side of a contribution: moves the adjoint of `load` (in draft d, a copy of the reading equation with
 * its body replaced) to the elements that were read: d->e.lhs becomes the load's indices, inverted where possible. */
void contribution_place(Draft *d, const Scalar *load, Tensor *dst);

#endif
