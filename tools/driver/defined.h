/* Which cells of a partial tensor exist: a condition that equations state, as a tensor of its own. */
#ifndef HEDDLE_DEFINED_H
#define HEDDLE_DEFINED_H

#include "ir.h"

/* Adds the output NAME.defined (bool, the axes of NAME): true where an equation defines the cell. Before any pass.
 * False if there is no such tensor. */
bool graph_add_defined(Graph *g, const char *name);

#endif
