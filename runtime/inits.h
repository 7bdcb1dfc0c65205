/* Initial values of params and states. Cell i of a tensor gets a value that depends on (seed, name, i) alone:
 * neither on the order in which params are made nor on the other params of the model. */
#ifndef HEDDLE_INITS_H
#define HEDDLE_INITS_H

#include "runtime.h"

/* Writes `count` values (row-major in dims order) of the tensor's type; rows * columns = count for the orthogonal
 * initialiser, whose first dim is `rows`. */
bool init_fill(const PlanTensor *t, uint64_t seed, int64_t count, int64_t rows, void *out, Error *e);

/* Standard normal number `which` of cell `index` of a stream. */
double init_normal(uint64_t key, int64_t index, int64_t which);
uint64_t init_key(uint64_t seed, const char *name);

#endif
