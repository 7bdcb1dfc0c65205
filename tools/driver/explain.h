/* What the compiler makes of a graph, for people and programs. */
#ifndef HEDDLE_EXPLAIN_H
#define HEDDLE_EXPLAIN_H

#include "ir.h"

/* One line per equation in the order of execution: the spec's line, what kind of kernel it is, its index space, what
 * it reads, operations and stored bytes of one example at the bound. False after an error in g->diag. */
bool explain_graph(Graph *g, int real_bytes, bool json, Text *out);

#endif
