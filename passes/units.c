/* Units of a graph; see units.h. */
#include "units.h"

typedef struct {
    const Graph *g;
    Units u;
    Unit *reading;
    const Equation *reader;
} Building;

static void add_link(const Scalar *load, void *ctx)
{
    Building *b = ctx;
    Equation **def = b->u.defs[load->tensor->id];
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
    if (unit->visit == UNIT_OPEN) {
        bug("units wait for each other");
    }
    if (unit->visit == UNIT_DONE) {
        return;
    }
    unit->visit = UNIT_OPEN;
    for (int i = 0; i < unit->nreads; i++) {
        visit(u, unit->reads[i].unit);
    }
    unit->visit = UNIT_DONE;
    u->units[u->n++] = unit;
}

Units units_of(const Graph *g)
{
    Building b = {.g = g, .u = {.order = order_equations(g), .defs = equations_by_tensor(g)}};
    Units *u = &b.u;
    for (int i = 0; i < g->nequations; i++) {
        u->nclusters = g->equations[i]->cluster > u->nclusters ? g->equations[i]->cluster : u->nclusters;
    }
    size_t most = (size_t)(u->order.n + u->nclusters) + 1;
    Unit *all = arena_alloc(g->arena, most * sizeof *all);
    u->units = arena_alloc(g->arena, most * sizeof(Unit *));
    u->of = arena_alloc(g->arena, (size_t)(g->nequations + 1) * sizeof(Unit *));
    for (int i = 0; i < g->nequations; i++) {
        Equation *e = u->order.order[i];
        Unit *unit = &all[e->cluster ? u->order.n + e->cluster : u->order.component[e->id]];
        u->of[e->id] = unit;
        unit->cluster = e->cluster;
        unit->is_cycle = u->order.in_cycle[e->id];
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
        visit(u, u->of[u->order.order[i]->id]);
    }
    return *u;
}

bool runs_in_levels(const Graph *g)
{
    for (int i = 0; i < g->ntensors; i++) {
        if (g->tensors[i]->is_carried) {
            return true;
        }
    }
    return false;
}
