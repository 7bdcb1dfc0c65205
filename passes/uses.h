/* Who reads what: the lists that decisions about storing and inlining are made from. Private to passes/. */
#ifndef HEDDLE_USES_H
#define HEDDLE_USES_H

#include "rewrite.h"

typedef struct {
    Graph *g;
    Equation ***defs;
    Order order;
    Equation ***readers; /* by tensor id: equations that load it, each once */
    int *nreaders;
    bool *pinned; /* by tensor id: has to be in memory whatever it costs */
} Uses;

Uses uses_of(Graph *g);
void uses_add(Uses *u, const Equation *reader);    /* after its expressions changed: it reads what it loads now */
void uses_remove(Uses *u, const Equation *reader); /* it is dead */

/* What it takes to compute a scalar once. */
typedef struct {
    int ops;            /* cheap functions */
    int heavy;          /* exp, log, a random number, ... */
    int loads, gathers; /* of them: loads whose index is itself loaded */
    int nodes;
} Cost;
Cost cost_of(const Scalar *s);
bool is_heavy(const Scalar *s); /* this node alone */

/* Whether e's equation may be put in place of loads of its tensor at all, and whether it pays in this reader. */
bool can_inline(const Uses *u, const Equation *e);
bool pays_to_inline(const Uses *u, const Equation *e, const Equation *reader);
/* Replaces every load of e's tensor in the reader by e's body. False (and nothing done) if it would grow too large. */
bool inline_into(const Uses *u, const Equation *e, Equation *reader);
/* Expressions that a stored value holds become loads of it. */
void reuse_stored(Graph *g);
/* Matrices that recurrences and clusters read with the summed index along memory get a turned copy. */
void turn_operands(Graph *g);

#endif
