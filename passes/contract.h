/* Matrix products among equations: sums over two loads whose letters fall into rows, columns, summed and shared ones.
 *
 *     o[b, i, h, f] sum= a[b, h, i, j] * val[b, j, h, f]      m: i   n: f   k: j   shared: b, h */
#ifndef HEDDLE_CONTRACT_H
#define HEDDLE_CONTRACT_H

#include "ir.h"

typedef enum { CONTRACT_M, CONTRACT_N, CONTRACT_K, CONTRACT_SHARED } ContractRole;

typedef struct {
    const Scalar *a, *b;            /* the two loads: a has the m letters, b the n letters */
    ContractRole role[MAX_LETTERS]; /* per letter of the equation */
    int nm, nn, nk, nshared;
} Contraction;

/* True if e is `sum= load * load`, every reduced letter stands in both loads and every output letter in at least one.
 * Conditions may be anything. */
bool contract_match(const Graph *g, const Equation *e, Contraction *out);

#endif
