/* What the compiler makes of a graph, for people and programs. */
#ifndef HEDDLE_EXPLAIN_H
#define HEDDLE_EXPLAIN_H

#include "ir.h"

/* One line per equation in the order of execution, those of a cluster under it: the spec's line (spec: its path), what
 * kind of kernel it is, its index space, what it reads, operations and stored bytes of one example at the bound. False
 * after an error in g->diag. */
bool explain_graph(Graph *g, const char *spec, int real_bytes, bool json, Text *out);

#endif
