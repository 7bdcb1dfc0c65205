/* Compiled against interpreted: the plan of an optimised graph is run on a batch, the oracle runs the plain graph on
 * the same batch, and everything that both know by name is compared. */
#ifndef HEDDLE_TEST_ORACLE_H
#define HEDDLE_TEST_ORACLE_H

#include "interp.h"
#include "runtime.h"

typedef struct {
    double worst;       /* largest relative difference (absolute below 1) */
    char where[256];    /* tensor and cell of it */
    int compared;       /* tensors */
    const Batch *batch; /* set by oracle_bind */
    char error[1024];   /* what kept the comparison from being made, or "" */
} Comparison;

/* Sets offsets, inputs, params (from the session) and draws in an interpreter of `plain`. */
bool oracle_bind(Interp *in, const Graph *plain, Session *s, const Plan *plan, const Batch *b, Comparison *c);
/* Runs the interpreter, which knows no levels, on a batch that may have some: once for each level, handing states on
 * between runs, and once for each backwards, handing on gradients. False: interp_error. */
bool oracle_run(Interp *in, const Graph *plain, const Batch *b);
/* Every output of the plan that `plain` also has; the session has run. */
void oracle_compare(Interp *in, const Graph *plain, Session *s, const Plan *plan, Comparison *c);

#endif
