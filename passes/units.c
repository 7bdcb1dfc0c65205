/* Units of a graph; see units.h. */
#include "units.h"

typedef struct {
    const Graph *g;
    Equation ***defs;
    Units u;
    Unit *reading;
    const Equation *reader;
} Building;

static void add_link(const Scalar *load, void *ctx)
{
    Building *b = ctx;
    Equation **def = b->defs[load->tensor->id];
    for (; def && *def; def++) {
        Unit *from = b->u.of[(*def)->id];
        if (from != b->reading) {
            ARENA_PUSH(b->g->arena, b->reading->reads, b->reading->nreads, ((Link){from, b->reader, load}));
            ARENA_PUSH(b->g->arena, from->readers, from->nreaders, ((Link){b->reading, b->reader, load}));
        }
    }
}

static void visit(Units *u, Unit *unit)
{
    unit->is_visited = true;
    for (int i = 0; i < unit->nreads; i++) {
        if (!unit->reads[i].unit->is_visited) {
            visit(u, unit->reads[i].unit);
        }
    }
    u->units[u->n++] = unit;
}

Units units_of(const Graph *g)
{
    Order order = order_equations(g);
    Building b = {.g = g, .defs = equations_by_tensor(g)};
    int nclusters = 0;
    for (int i = 0; i < g->nequations; i++) {
        nclusters = g->equations[i]->cluster > nclusters ? g->equations[i]->cluster : nclusters;
    }
    size_t most = (size_t)(order.n + nclusters) + 1;
    Unit *all = arena_alloc(g->arena, most * sizeof *all);
    b.u.units = arena_alloc(g->arena, most * sizeof *b.u.units);
    b.u.of = arena_alloc(g->arena, (size_t)(g->nequations + 1) * sizeof *b.u.of);
    for (int i = 0; i < g->nequations; i++) {
        Equation *e = order.order[i];
        Unit *unit = &all[e->cluster ? order.n + e->cluster : order.component[e->id]];
        b.u.of[e->id] = unit;
        unit->cluster = e->cluster;
        unit->is_cycle = order.in_cycle[e->id];
        ARENA_PUSH(g->arena, unit->e, unit->n, e);
    }
    for (size_t i = 0; i < most; i++) {
        b.reading = &all[i];
        for (int k = 0; k < all[i].n; k++) {
            b.reader = all[i].e[k];
            equation_loads(b.reader, add_link, &b);
        }
    }
    for (int i = 0; i < g->nequations; i++) {
        if (!b.u.of[order.order[i]->id]->is_visited) {
            visit(&b.u, b.u.of[order.order[i]->id]);
        }
    }
    return b.u;
}
