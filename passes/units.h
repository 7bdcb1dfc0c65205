/* Units: what runs as one (a single equation, a recurrence, a cluster) and which of them read what another makes.
 * Private to passes/. */
#ifndef HEDDLE_UNITS_H
#define HEDDLE_UNITS_H

#include "rewrite.h"

typedef struct Unit Unit;

/* A load of what another unit makes. */
typedef struct {
    Unit *unit; /* the other one: that makes it, or that reads it */
    const Equation *reader;
    const Scalar *load;
} Link;

struct Unit {
    Equation **e; /* in an order in which values are defined before use, recurrences aside */
    int n;
    int cluster; /* 0: it is none */
    bool is_cycle;
    enum { UNIT_NEW, UNIT_OPEN, UNIT_DONE } visit;
    Link *reads, *readers;
    int nreads, nreaders;
};

typedef struct {
    Order order;
    Equation ***defs; /* by tensor id, as of equations_by_tensor */
    Unit **units;     /* each after those that it reads, shortly before its first use */
    int n, nclusters;
    Unit **of; /* by equation id */
} Units;

/* Of the graph as it is; in its arena. */
Units units_of(const Graph *g);

/* Whether states are carried from example to example, so that examples do not all run at once. */
bool runs_in_levels(const Graph *g);

#endif
