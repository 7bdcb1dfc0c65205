/* Inside the prover: linear forms, the facts it knows, and what its three files ask of each other.
 *
 *   facts.c      linear forms of integer expressions; inequalities known from letters, sizes and conditions
 *   intervals.c  bounds of any expression, node by node
 *   proofs.c     what follows: comparisons, conditions, loads in range */
#ifndef HEDDLE_PROVER_H
#define HEDDLE_PROVER_H

#include "intervals.h"
#include "rewrite.h"

#include <math.h>

enum { MAX_TERMS = 10, MAX_DEPTH = 5, MAX_TRIES = 4000 };

typedef struct {
    int64_t k;
    const Scalar *atom;
} LinTerm;

typedef struct {
    int64_t c;
    int n;
    LinTerm t[MAX_TERMS];
    bool bad; /* overflow or too many terms: says nothing */
} Lin;

typedef struct {
    const Scalar *cond;
    bool value;
} Known;

struct Prover {
    Graph *g;
    const Equation *e; /* may be NULL */
    const Letter *letters;
    int batch_letter; /* before pass_batch: the letter that reduces over the batch; -1: none */
    Lin *facts;       /* each is >= 0 */
    int nfacts;
    const Scalar **atoms; /* whose own facts are in */
    int natoms;
    Known *known;
    int nknown;
    bool nothing; /* what is assumed contradicts itself: the place is never reached, everything holds there */
    int max_depth, tries, nested; /* a question asked while another is answered shares its tries */
    int depth;                    /* of nested interval questions */
};

/* l += k * s */
void prover_linearize(Prover *f, Lin *l, int64_t k, const Scalar *s);
/* l += k * m */
void lin_add_lin(Lin *l, int64_t k, const Lin *m);
/* The part of a sum axis that this index is known to lie in: said so, or all others excluded; -1 if unknown. */
int prover_known_part(const Prover *f, const Scalar *local);
/* Bounds of s from its tree alone. */
Interval prover_bounds(Prover *f, const Scalar *s);
Interval interval_product(Interval a, Interval b);
static const Interval anything = {-INFINITY, INFINITY};

#endif
