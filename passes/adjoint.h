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

/* active_tensor: whether a tensor carries gradient, by tensor id. Calls f on the loads through which the body's
 * value depends differentiably on one that does. */
void scalar_active_loads(Graph *g, Scalar *body, const bool *active_tensor, void (*f)(const Scalar *, void *),
                         void *ctx);
LoadAdjoints scalar_adjoints(Graph *g, Scalar *body, Scalar *adjoint, const bool *active_tensor);

/* The left-hand side of a contribution: moves the adjoint of `load` (in draft d, a copy of the reading equation with
 * its body replaced) to the elements that were read: d->e.lhs becomes the load's indices, inverted where possible. */
void contribution_place(Draft *d, const Scalar *load, Tensor *dst);

#endif
