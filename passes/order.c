/* The order of equations: strongly connected components by Tarjan's algorithm (Depth-first search and linear graph
 * algorithms, 1972), with a stack of our own because a deep model is a deep graph.
 *
 * An edge goes from an equation to every equation that defines a tensor it loads. Components come out with their
 * dependencies first, and depth-first from each equation in turn, so a value is made shortly before its use. */
#include "rewrite.h"

#include <stdlib.h>
#include <string.h>

Equation ***equations_by_tensor(const Graph *g)
{
    int *count = arena_alloc(g->arena, (size_t)(g->ntensors + 1) * sizeof *count);
    for (int i = 0; i < g->nequations; i++) {
        count[g->equations[i]->dst->id]++;
    }
    Equation ***defs = arena_alloc(g->arena, (size_t)(g->ntensors + 1) * sizeof *defs);
    for (int i = 0; i < g->nequations; i++) {
        Equation *e = g->equations[i];
        int id = e->dst->id;
        if (!defs[id]) {
            defs[id] = arena_alloc(g->arena, (size_t)(count[id] + 1) * sizeof **defs);
            count[id] = 0;
        }
        defs[id][count[id]++] = e;
    }
    return defs;
}

typedef struct {
    const Graph *g;
    Equation ***defs;
    Equation **to; /* dependencies of the equation being looked at */
    int nto;
} Edges;

static void add_edges(const Scalar *load, void *ctx)
{
    Edges *edges = ctx;
    Equation **def = edges->defs[load->tensor->id];
    for (; def && *def; def++) {
        ARENA_PUSH(edges->g->arena, edges->to, edges->nto, *def);
    }
}

typedef struct {
    Equation *e;
    Equation **to;
    int nto, next;
} Frame;

typedef struct {
    Edges edges;
    Order order;
    int *index, *low; /* by equation id; 0: not visited */
    bool *on_stack;
    Equation **stack;
    int nstack, time, nout;
    Frame *frames;
    int nframes;
} Tarjan;

static void enter(Tarjan *t, Equation *e)
{
    t->index[e->id] = t->low[e->id] = ++t->time;
    t->stack[t->nstack++] = e;
    t->on_stack[e->id] = true;
    t->edges.to = NULL;
    t->edges.nto = 0;
    equation_loads(e, add_edges, &t->edges);
    for (Equation **other = t->edges.defs[e->dst->id]; *other; other++) {
        if (equation_adds_to(e, *other)) {
            ARENA_PUSH(t->edges.g->arena, t->edges.to, t->edges.nto, *other);
        }
    }
    t->frames[t->nframes++] = (Frame){e, t->edges.to, t->edges.nto, 0};
}

static void close_component(Tarjan *t, const Equation *root)
{
    int from = t->nstack;
    do {
        from--;
    } while (t->stack[from] != root);
    Order *o = &t->order;
    o->first[o->n] = t->nout;
    bool cycle = t->nstack - from > 1;
    for (int i = from; i < t->nstack; i++) { /* in the order in which they were met */
        Equation *e = t->stack[i];
        t->on_stack[e->id] = false;
        o->component[e->id] = o->n;
        o->in_cycle[e->id] |= cycle;
        o->order[t->nout++] = e;
    }
    t->nstack = from;
    o->first[++o->n] = t->nout;
}

static void visit(Tarjan *t, Equation *start)
{
    enter(t, start);
    while (t->nframes) {
        Frame *f = &t->frames[t->nframes - 1];
        if (f->next < f->nto) {
            Equation *to = f->to[f->next++];
            if (to == f->e) {
                t->order.in_cycle[to->id] = true;
            }
            if (!t->index[to->id]) {
                enter(t, to);
            } else if (t->on_stack[to->id] && t->index[to->id] < t->low[f->e->id]) {
                t->low[f->e->id] = t->index[to->id];
            }
            continue;
        }
        Equation *done = f->e;
        t->nframes--;
        if (t->low[done->id] == t->index[done->id]) {
            close_component(t, done);
        }
        if (t->nframes) {
            const Equation *user = t->frames[t->nframes - 1].e;
            if (t->low[done->id] < t->low[user->id]) {
                t->low[user->id] = t->low[done->id];
            }
        }
    }
}

Order order_equations(const Graph *g)
{
    size_t n = (size_t)g->nequations + 1;
    Tarjan t = {.edges = {.g = g, .defs = equations_by_tensor(g)},
                .order = {.first = arena_alloc(g->arena, (n + 1) * sizeof(int)),
                          .order = arena_alloc(g->arena, n * sizeof(Equation *)),
                          .component = arena_alloc(g->arena, n * sizeof(int)),
                          .in_cycle = arena_alloc(g->arena, n * sizeof(bool))},
                .index = calloc(n, sizeof(int)),
                .low = calloc(n, sizeof(int)),
                .on_stack = calloc(n, sizeof(bool)),
                .stack = calloc(n, sizeof(Equation *)),
                .frames = calloc(n, sizeof(Frame))};
    if (!t.index || !t.low || !t.on_stack || !t.stack || !t.frames) {
        bug("out of memory while ordering %d equations", g->nequations);
    }
    for (int i = 0; i < g->nequations; i++) {
        if (g->equations[i]->id != i) {
            bug("equation of '%s' has number %d at place %d", g->equations[i]->dst->name, g->equations[i]->id, i);
        }
        if (!t.index[i]) {
            visit(&t, g->equations[i]);
        }
    }
    free(t.index);
    free(t.low);
    free(t.on_stack);
    free(t.stack);
    free(t.frames);
    return t.order;
}

void graph_reorder(Graph *g)
{
    Order o = order_equations(g);
    for (int i = 0; i < g->nequations; i++) {
        g->equations[i] = o.order[i];
        g->equations[i]->id = i;
    }
}

void graph_drop_equations(Graph *g, const bool *keep)
{
    int n = 0;
    for (int i = 0; i < g->nequations; i++) {
        if (keep[i]) {
            g->equations[n] = g->equations[i];
            g->equations[n]->id = n;
            n++;
        }
    }
    g->nequations = n;
    graph_drop_externs(g);
}
