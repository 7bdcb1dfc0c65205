/* Counts the operations of equations inside their domains, for given lengths: what bench divides by time. */
#ifndef HEDDLE_COUNT_H
#define HEDDLE_COUNT_H

#include "ir.h"

/* Floating-point operations of all equations of a batched graph, one example after another: every function of the
 * body that yields a real number counts 1, a reduction counts 1 more per tuple. Conditions on letters and lengths
 * bound the domain; conditions on data are taken as true, and a letter below a number that is loaded, or that counts
 * what nth picks, as one position. lengths[b] stands for every ragged axis of example b. NaN: no memory. */
double count_operations(const Graph *g, int64_t batch, const int64_t *lengths);
/* The same for one equation. */
double count_equation(const Graph *g, const Equation *e, int64_t batch, const int64_t *lengths);
/* Tuples of the equation's index space, and elements of a tensor, over the same examples. */
double count_tuples(const Graph *g, const Equation *e, int64_t batch, const int64_t *lengths);
double count_cells(const Graph *g, const Tensor *t, int64_t batch, const int64_t *lengths);

#endif
