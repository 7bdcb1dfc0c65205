/* Strongly connected components of equations (Tarjan): an equation depends on every equation that defines a tensor it
 * reads. Components are numbered so that what a component depends on has a smaller number. */
#include "ir.h"

#include <stdlib.h>

typedef struct {
    const Graph *g;
    int *first, *following; /* the equations that define tensor t: a list by id */
    int *index, *low, *component;
    int *stack, nstack, clock, ncomponents;
} Order;

typedef struct {
    Order *o;
    int self;
} Visit;

static void visit(Order *o, int e);

static void depend(Order *o, int self, int on)
{
    if (o->index[on] == 0) {
        visit(o, on);
        o->low[self] = o->low[on] < o->low[self] ? o->low[on] : o->low[self];
    } else if (o->component[on] < 0) {
        o->low[self] = o->index[on] < o->low[self] ? o->index[on] : o->low[self];
    }
}

static void follow(const Scalar *s, void *ctx)
{
    Visit *v = ctx;
    for (int d = s->op == OP_LOAD ? v->o->first[s->tensor->id] : -1; d >= 0; d = v->o->following[d]) {
        depend(v->o, v->self, d);
    }
}

bool equation_adds_to(const Equation *e, const Equation *other)
{
    return e->adds && e->dst == other->dst && (!other->adds || other->id < e->id);
}

void equation_walk(const Equation *e, void (*f)(const Scalar *, void *), void *ctx)
{
    sc_walk(e->body, f, ctx);
    for (int k = 0; k < e->nconds; k++) {
        sc_walk(e->conds[k], f, ctx);
    }
    for (int d = 0; d < e->dst->ndim; d++) {
        sc_walk(e->lhs[d], f, ctx);
    }
}

static void visit(Order *o, int e)
{
    o->index[e] = o->low[e] = ++o->clock;
    o->stack[o->nstack++] = e;
    Visit v = {o, e};
    equation_walk(o->g->equations[e], follow, &v);
    for (int d = o->first[o->g->equations[e]->dst->id]; d >= 0; d = o->following[d]) {
        if (equation_adds_to(o->g->equations[e], o->g->equations[d])) {
            depend(o, e, d);
        }
    }
    if (o->low[e] == o->index[e]) {
        int top;
        do {
            top = o->stack[--o->nstack];
            o->component[top] = o->ncomponents;
        } while (top != e);
        o->ncomponents++;
    }
}

int graph_components(const Graph *g, int *component)
{
    int n = g->nequations;
    int *memory = calloc((size_t)g->ntensors + 4 * (size_t)n + 1, sizeof *memory);
    if (memory == NULL) {
        bug("out of memory while ordering %d equations", n);
    }
    Order o = {.g = g, .first = memory, .component = component};
    o.following = o.first + g->ntensors;
    o.index = o.following + n;
    o.low = o.index + n;
    o.stack = o.low + n;
    for (int t = 0; t < g->ntensors; t++) {
        o.first[t] = -1;
    }
    for (int e = n - 1; e >= 0; e--) {
        component[e] = -1;
        o.following[e] = o.first[g->equations[e]->dst->id];
        o.first[g->equations[e]->dst->id] = e;
    }
    for (int e = 0; e < n; e++) {
        if (o.index[e] == 0) {
            visit(&o, e);
        }
    }
    free(memory);
    return o.ncomponents;
}
